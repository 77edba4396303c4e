//! Progress on standard error: a bar on a terminal, or lines elsewhere.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use console::truncate_str;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::estimate::Estimate;
use super::layout::stderr_width;
use crate::cli::args::{CommonArgs, When};
use crate::mailbox::fs::ignore_poison;
use crate::mailbox::text::{grouped_plural, human_size};
use crate::mailbox::{Cancel, Events, Phase, display_path};

/// Shorter work shows no bar, which would only flicker.
const BAR_DELAY: Duration = Duration::from_millis(250);
/// The time between two lines with `--progress always`.
const LINE_INTERVAL: Duration = Duration::from_secs(1);
/// The time between two lines with `-v`.
const VERBOSE_INTERVAL: Duration = Duration::from_secs(10);
/// Columns of the bar.
const BAR_WIDTH: usize = 20;
/// Steps of the bar.
const STEPS: u64 = 1000;

/// The bar on the terminal. A line about a wait goes above it.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Shows progress on standard error.
pub(crate) enum ProgressDisplay {
    Silent,
    /// A bar on a terminal.
    Bar(Bar),
    /// Lines, where there is no terminal.
    Lines(Lines),
}

/// See [`ProgressDisplay::Bar`].
pub(crate) struct Bar {
    bar: ProgressBar,
    progress: Arc<Mutex<Progress>>,
    started: Instant,
    is_shown: AtomicBool,
}

/// See [`ProgressDisplay::Lines`].
pub(crate) struct Lines {
    progress: Mutex<Progress>,
    interval: Duration,
    last_line: Mutex<Instant>,
}

/// The state of a run.
struct Progress {
    phase: Phase,
    /// When the phase began.
    started: Instant,
    /// Bytes of the phase.
    total: u64,
    done: u64,
    messages: u64,
    folder: Option<String>,
    /// Phases of the whole run, in their order.
    phases: &'static [Phase],
    estimate: Estimate,
}

/// Makes a request to stop report long waits for locks, on a terminal.
pub(crate) fn report_waits(cancel: Cancel, common: &CommonArgs) -> Cancel {
    if common.quiet || !std::io::stderr().is_terminal() {
        return cancel;
    }
    cancel.with_wait_listener(|path, holder, left| {
        const UNLIMITED: Duration = Duration::from_secs(1 << 32);
        let path = display_path(path);
        let limit = match left >= UNLIMITED {
            true => String::new(),
            false => format!("; giving up in {} s", left.as_secs().max(1)),
        };
        print_above_bar(&format!("waiting for the lock of {path}, held by {holder}{limit}"));
    })
}

/// Prints a line where a bar may be shown.
fn print_above_bar(line: &str) {
    let print = || {
        let _ = writeln!(std::io::stderr(), "{line}");
    };
    match &*ignore_poison(SHOWN.lock()) {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

impl ProgressDisplay {
    /// Returns the display of a run with these phases. The bar says so while the run is being cancelled.
    pub(crate) fn new(common: &CommonArgs, cancel: &Cancel, phases: &'static [Phase]) -> ProgressDisplay {
        let is_terminal = std::io::stderr().is_terminal();
        let lines = |interval| {
            let progress = Mutex::new(Progress::new(phases));
            ProgressDisplay::Lines(Lines { progress, interval, last_line: Mutex::new(Instant::now()) })
        };
        match common.progress {
            When::Never => ProgressDisplay::Silent,
            When::Auto if common.quiet => ProgressDisplay::Silent,
            When::Auto if !is_terminal && common.verbose => lines(VERBOSE_INTERVAL),
            When::Auto if !is_terminal => ProgressDisplay::Silent,
            When::Always if !is_terminal => lines(LINE_INTERVAL),
            When::Auto | When::Always => ProgressDisplay::Bar(Bar::new(phases, cancel)),
        }
    }

    /// Removes the bar, so that the report starts on a new line.
    pub(crate) fn finish(&self) {
        if let ProgressDisplay::Bar(bar) = self {
            *ignore_poison(SHOWN.lock()) = None;
            bar.bar.finish_and_clear();
        }
    }

    /// Shows how many bytes were spooled.
    pub(crate) fn spooled(&self, bytes: u64) {
        self.update(|progress| (progress.phase, progress.done) = (Phase::Spooling, bytes));
    }

    fn update(&self, change: impl FnOnce(&mut Progress)) {
        match self {
            ProgressDisplay::Silent => {}
            ProgressDisplay::Bar(bar) => {
                let mut progress = ignore_poison(bar.progress.lock());
                change(&mut progress);
                let step = (progress.estimate.fraction() * STEPS as f64) as u64;
                drop(progress);
                bar.bar.set_position(step);
                bar.show();
            }
            ProgressDisplay::Lines(lines) => {
                let mut progress = ignore_poison(lines.progress.lock());
                change(&mut progress);
                lines.print(progress);
            }
        }
    }
}

impl Events for ProgressDisplay {
    fn begin(&self, phase: Phase, total: u64) {
        self.update(|progress| progress.begin(phase, total));
    }

    fn advance(&self, bytes: u64, messages: u64) {
        self.update(|progress| progress.advance(bytes, messages));
    }

    fn begin_folder(&self, name: &dyn fmt::Display) {
        self.update(|progress| progress.folder = Some(name.to_string()));
    }
}

impl Bar {
    fn new(phases: &'static [Phase], cancel: &Cancel) -> Bar {
        let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::hidden());
        let progress = Arc::new(Mutex::new(Progress::new(phases)));
        let (shown, cancel) = (progress.clone(), cancel.clone());
        let text = move |_: &ProgressState, out: &mut dyn fmt::Write| {
            let text = match cancel.is_requested() {
                true => "stopping …".to_owned(),
                false => ignore_poison(shown.lock()).text(),
            };
            let width = stderr_width().unwrap_or(80).saturating_sub(BAR_WIDTH + 2);
            let _ = out.write_str(&truncate_str(&text, width, "…"));
        };
        // A test runs the template. If it does not parse, the default style is good enough.
        if let Ok(style) = ProgressStyle::with_template(&format!("{{bar:{BAR_WIDTH}}} {{text}}")) {
            bar.set_style(style.with_key("text", text));
        }
        Bar { bar, progress, started: Instant::now(), is_shown: AtomicBool::new(false) }
    }

    fn show(&self) {
        if self.started.elapsed() >= BAR_DELAY && !self.is_shown.swap(true, Ordering::Relaxed) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.enable_steady_tick(Duration::from_millis(200));
            *ignore_poison(SHOWN.lock()) = Some(self.bar.clone());
        }
    }
}

impl Lines {
    fn print(&self, mut progress: MutexGuard<'_, Progress>) {
        let mut last_line = ignore_poison(self.last_line.lock());
        if last_line.elapsed() >= self.interval {
            *last_line = Instant::now();
            // Work continues even if its progress cannot be shown.
            let _ = writeln!(std::io::stderr(), "{}", progress.text());
        }
    }
}

impl Progress {
    fn new(phases: &'static [Phase]) -> Progress {
        Progress {
            phase: Phase::Reading,
            started: Instant::now(),
            total: 0,
            done: 0,
            messages: 0,
            folder: None,
            phases,
            estimate: Estimate::new(Instant::now()),
        }
    }

    fn begin(&mut self, phase: Phase, total: u64) {
        (self.phase, self.started, self.total, self.done) = (phase, Instant::now(), total, 0);
        let position = self.phases.iter().position(|&one| one == phase);
        let later = position.map_or(&[][..], |position| &self.phases[position + 1..]);
        let later_work = later.iter().map(|phase| phase.work() * total).sum();
        self.estimate.begin(phase.work() * total, later_work);
    }

    fn advance(&mut self, bytes: u64, messages: u64) {
        self.done += bytes;
        self.messages += messages;
        self.estimate.advance(bytes * self.phase.work());
    }

    /// Describes the state.
    fn text(&mut self) -> String {
        let Progress { phase, started, total, done, messages, .. } = *self;
        let mut parts = vec![name(phase).to_owned()];
        let bytes = match total {
            0 => human_size(done),
            total => format!("{} of {}", human_size(done.min(total)), human_size(total)),
        };
        let elapsed = started.elapsed().as_secs_f64();
        if phase != Phase::Flushing {
            parts.push(bytes);
            if elapsed >= 1.0 {
                parts.push(format!("{}/s", human_size((done as f64 / elapsed) as u64)));
            }
        }
        if messages > 0 {
            parts.push(grouped_plural(messages, "message"));
        }
        parts.extend(self.estimate.left(Instant::now()).map(|left| format!("{} left", time_left(left))));
        parts.extend(self.folder.clone());
        parts.join(", ")
    }
}

/// Formats a time, the longer the more roughly.
fn time_left(left: Duration) -> String {
    match left.as_secs() {
        seconds @ ..=20 => format!("{} s", seconds.max(1)),
        seconds @ 21..=90 => format!("{} s", seconds.div_ceil(5) * 5),
        seconds @ 91..=7200 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h", seconds.div_ceil(3600)),
    }
}

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Spooling => "unpacking",
        Phase::Reading => "reading",
        Phase::Planning => "planning",
        Phase::Writing => "writing",
        Phase::Flushing => "flushing to disk",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_names_bytes_messages_and_the_folder() {
        let mut progress = Progress::new(&[Phase::Reading, Phase::Planning, Phase::Writing]);
        progress.begin(Phase::Writing, 3_400_000_000);
        progress.folder = Some("INBOX/Travel".to_owned());
        progress.advance(1_200_000_000, 12_345);
        assert_eq!(progress.text(), "writing, 1.2 GB of 3.4 GB, 12,345 messages, INBOX/Travel");
        progress.begin(Phase::Flushing, 0);
        assert_eq!(progress.text(), "flushing to disk, 12,345 messages, INBOX/Travel");
    }

    #[test]
    fn the_template_of_the_bar_parses() {
        assert!(ProgressStyle::with_template(&format!("{{bar:{BAR_WIDTH}}} {{text}}")).is_ok());
    }
}
