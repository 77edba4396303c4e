//! Progress: an observer of the work. Nothing else knows that somebody watches.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::mailbox::context::{Events, Phase};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{CommonArgs, When};

/// Work shorter than this shows no bar: it would only flicker.
const PATIENCE: Duration = Duration::from_millis(250);
/// Without a terminal a line is printed this often.
const LINES_APART: Duration = Duration::from_secs(1);

/// Shows how far the work is, on standard error.
pub enum ProgressDisplay {
    /// Nobody watches.
    Silent,
    /// A bar on a terminal.
    Bar(Bar),
    /// Lines, for `--progress always` into a file.
    Lines(Lines),
}

/// See [`Watcher::Bar`].
pub struct Bar {
    bar: ProgressBar,
    started: Instant,
    shown: AtomicBool,
}

/// See [`Watcher::Lines`].
pub struct Lines {
    phase: Mutex<(Phase, Instant, Instant)>,
    total: AtomicU64,
    done: AtomicU64,
    messages: AtomicU64,
}

impl ProgressDisplay {
    /// What the options ask for.
    pub fn new(common: &CommonArgs) -> ProgressDisplay {
        let terminal = std::io::stderr().is_terminal();
        match common.progress {
            When::Never => ProgressDisplay::Silent,
            When::Auto if common.quiet || !terminal => ProgressDisplay::Silent,
            When::Always if !terminal => ProgressDisplay::Lines(Lines {
                phase: Mutex::new((Phase::Reading, Instant::now(), Instant::now())),
                total: AtomicU64::new(0),
                done: AtomicU64::new(0),
                messages: AtomicU64::new(0),
            }),
            When::Auto | When::Always => ProgressDisplay::Bar(Bar {
                bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()),
                started: Instant::now(),
                shown: AtomicBool::new(false),
            }),
        }
    }

    /// Takes the bar away, so that the report begins on a clean line.
    pub fn finish(&self) {
        if let ProgressDisplay::Bar(bar) = self {
            bar.bar.finish_and_clear();
        }
    }

    /// Bytes taken in so far while spooling.
    pub fn spooled(&self, bytes: u64) {
        match self {
            ProgressDisplay::Silent => {}
            ProgressDisplay::Bar(bar) => {
                bar.bar.set_message(name(Phase::Spooling));
                bar.bar.set_position(bytes);
                bar.show();
            }
            ProgressDisplay::Lines(lines) => lines.done.store(bytes, Ordering::Relaxed),
        }
    }
}

impl Events for ProgressDisplay {
    fn begin(&self, phase: Phase, total: u64) {
        match self {
            ProgressDisplay::Silent => {}
            ProgressDisplay::Bar(bar) => bar.begin(phase, total),
            ProgressDisplay::Lines(lines) => lines.begin(phase, total),
        }
    }

    fn advance(&self, bytes: u64, messages: u64) {
        match self {
            ProgressDisplay::Silent => {}
            ProgressDisplay::Bar(bar) => {
                bar.bar.inc(bytes);
                bar.show();
            }
            ProgressDisplay::Lines(lines) => lines.advance(bytes, messages),
        }
    }
}

impl Bar {
    fn begin(&self, phase: Phase, total: u64) {
        let template = match phase {
            Phase::Flushing => "{msg}  {elapsed}",
            _ => "{msg} {wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left",
        };
        // A template that does not parse would be seen by the test that runs it; the default will do.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_length(total);
        self.bar.reset();
        self.bar.set_message(name(phase));
        self.show();
    }

    fn show(&self) {
        if self.started.elapsed() >= PATIENCE && !self.shown.swap(true, Ordering::Relaxed) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
    }
}

impl Lines {
    fn begin(&self, phase: Phase, total: u64) {
        let now = Instant::now();
        *self.phase.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = (phase, now, now);
        self.total.store(total, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        self.messages.store(0, Ordering::Relaxed);
        self.print(phase, Duration::ZERO);
    }

    fn advance(&self, bytes: u64, messages: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
        self.messages.fetch_add(messages, Ordering::Relaxed);
        let mut phase = self.phase.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if phase.2.elapsed() >= LINES_APART {
            phase.2 = Instant::now();
            self.print(phase.0, phase.1.elapsed());
        }
    }

    fn print(&self, phase: Phase, elapsed: Duration) {
        let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        let percent = (done * 100).checked_div(total).unwrap_or(0);
        let rate = done as f64 / 1e6 / elapsed.as_secs_f64().max(0.001);
        let left = if done > 0 {
            elapsed.as_secs_f64() * (total.saturating_sub(done)) as f64 / done as f64
        } else {
            0.0
        };
        // Progress that cannot be shown is no reason to stop.
        let _ = writeln!(
            std::io::stderr(),
            "{}: {percent}% of {total} bytes, {} messages, {rate:.0} MB/s, {left:.0} s left",
            name(phase),
            self.messages.load(Ordering::Relaxed)
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
