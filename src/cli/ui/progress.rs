//! Progress on standard error: a bar, or lines where there is no terminal.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::args::{CommonArgs, When};
use crate::mailbox::fs::ignore_poison;
use crate::mailbox::{Events, Phase};

/// Shorter work shows no bar, which would only flicker.
const BAR_DELAY: Duration = Duration::from_millis(250);
/// The time between two lines.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// Shows progress on standard error.
pub(crate) enum ProgressDisplay {
    Silent,
    /// A bar on a terminal.
    Bar(Bar),
    /// Lines, for `--progress always` without a terminal.
    Lines(Mutex<Lines>),
}

/// See [`ProgressDisplay::Bar`].
pub(crate) struct Bar {
    bar: ProgressBar,
    started: Instant,
    is_shown: AtomicBool,
}

/// See [`ProgressDisplay::Lines`].
pub(crate) struct Lines {
    phase: Phase,
    started: Instant,
    last_line: Instant,
    total: u64,
    done: u64,
    messages: u64,
}

impl ProgressDisplay {
    pub(crate) fn new(common: &CommonArgs) -> ProgressDisplay {
        let is_terminal = std::io::stderr().is_terminal();
        match common.progress {
            When::Never => ProgressDisplay::Silent,
            When::Auto if common.quiet || !is_terminal => ProgressDisplay::Silent,
            When::Always if !is_terminal => ProgressDisplay::Lines(Mutex::new(Lines::new(Phase::Reading, 0))),
            When::Auto | When::Always => ProgressDisplay::Bar(Bar {
                bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()),
                started: Instant::now(),
                is_shown: AtomicBool::new(false),
            }),
        }
    }

    /// Removes the bar, so that the report starts on a new line.
    pub(crate) fn finish(&self) {
        if let ProgressDisplay::Bar(bar) = self {
            bar.bar.finish_and_clear();
        }
    }

    /// Shows how many bytes were spooled.
    pub(crate) fn spooled(&self, bytes: u64) {
        match self {
            ProgressDisplay::Silent => {}
            ProgressDisplay::Bar(bar) => {
                bar.bar.set_message(name(Phase::Spooling));
                bar.bar.set_position(bytes);
                bar.show();
            }
            ProgressDisplay::Lines(lines) => ignore_poison(lines.lock()).done = bytes,
        }
    }
}

impl Events for ProgressDisplay {
    fn begin(&self, phase: Phase, total: u64) {
        match self {
            ProgressDisplay::Silent => {}
            ProgressDisplay::Bar(bar) => bar.begin(phase, total),
            ProgressDisplay::Lines(lines) => {
                let mut lines = ignore_poison(lines.lock());
                *lines = Lines::new(phase, total);
                lines.print();
            }
        }
    }

    fn advance(&self, bytes: u64, messages: u64) {
        match self {
            ProgressDisplay::Silent => {}
            ProgressDisplay::Bar(bar) => {
                bar.bar.inc(bytes);
                bar.show();
            }
            ProgressDisplay::Lines(lines) => ignore_poison(lines.lock()).advance(bytes, messages),
        }
    }
}

impl Bar {
    fn begin(&self, phase: Phase, total: u64) {
        let template = match phase {
            Phase::Flushing => "{msg}  {elapsed}",
            _ => "{msg} {wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left",
        };
        // A test runs both templates. If one does not parse, the default style is good enough.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_length(total);
        self.bar.reset();
        self.bar.set_message(name(phase));
        self.show();
    }

    fn show(&self) {
        if self.started.elapsed() >= BAR_DELAY && !self.is_shown.swap(true, Ordering::Relaxed) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
    }
}

impl Lines {
    fn new(phase: Phase, total: u64) -> Lines {
        let now = Instant::now();
        Lines { phase, started: now, last_line: now, total, done: 0, messages: 0 }
    }

    fn advance(&mut self, bytes: u64, messages: u64) {
        self.done += bytes;
        self.messages += messages;
        if self.last_line.elapsed() >= LINE_INTERVAL {
            self.last_line = Instant::now();
            self.print();
        }
    }

    fn print(&self) {
        let Lines { phase, started, total, done, messages, .. } = *self;
        let elapsed = started.elapsed().as_secs_f64();
        let percent = (done * 100).checked_div(total).unwrap_or(0);
        let rate = done as f64 / 1e6 / elapsed.max(0.001);
        let left = if done > 0 { elapsed * total.saturating_sub(done) as f64 / done as f64 } else { 0.0 };
        // Work continues even if its progress cannot be shown.
        let _ = writeln!(
            std::io::stderr(),
            "{}: {percent}% of {total} bytes, {messages} messages, {rate:.0} MB/s, {left:.0} s left",
            name(phase)
        );
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
