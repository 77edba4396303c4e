//! An estimate of the time that is left, which does not jump.

use std::time::{Duration, Instant};

/// An estimate before that much time would be a guess.
const MIN_TIME: Duration = Duration::from_secs(1);
/// An estimate before that part of the work would be a guess.
const MIN_FRACTION: f64 = 0.02;
/// The time in which a new rate replaces most of an old one.
const SMOOTHING: f64 = 5.0;

/// The work of a run, and the time that the rest takes.
pub(super) struct Estimate {
    started: Instant,
    /// Work of the phases that ended.
    before: u64,
    /// Work of the present phase, and how much of it is done.
    total: u64,
    done: u64,
    /// Work of the phases to come.
    later: u64,
    /// The part of the work that was done, as far as it was shown.
    fraction: f64,
    /// The seconds that were left at a time.
    shown: Option<(f64, Instant)>,
}

impl Estimate {
    pub(super) fn new(started: Instant) -> Estimate {
        Estimate { started, before: 0, total: 0, done: 0, later: 0, fraction: 0.0, shown: None }
    }

    /// Begins a phase with that much work, and as much in all phases after it.
    pub(super) fn begin(&mut self, total: u64, later: u64) {
        self.before += self.total;
        (self.total, self.done, self.later) = (total, 0, later);
    }

    pub(super) fn advance(&mut self, work: u64) {
        self.done = self.total.min(self.done + work);
    }

    /// Returns the part of the work that is done. It never decreases.
    pub(super) fn fraction(&mut self) -> f64 {
        let all = self.before + self.total + self.later;
        if all > 0 {
            self.fraction = self.fraction.max((self.before + self.done) as f64 / all as f64);
        }
        self.fraction
    }

    /// Returns the time that is left; None before it can be known.
    pub(super) fn left(&mut self, now: Instant) -> Option<Duration> {
        let (elapsed, fraction) = (now.duration_since(self.started), self.fraction());
        if elapsed < MIN_TIME || fraction < MIN_FRACTION {
            return None;
        }
        let measured = elapsed.as_secs_f64() * (1.0 - fraction) / fraction;
        let left = match self.shown {
            None => measured,
            Some((shown, at)) => {
                let passed = now.duration_since(at).as_secs_f64();
                let expected = (shown - passed).max(0.0);
                expected + (measured - expected) * (1.0 - (-passed / SMOOTHING).exp())
            }
        };
        self.shown = Some((left, now));
        Some(Duration::from_secs_f64(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the seconds left after each second of a run with these parts of 100 per second.
    fn seconds_left(steps: &[u64]) -> Vec<u64> {
        let start = Instant::now();
        let mut estimate = Estimate::new(start);
        estimate.begin(100, 0);
        let left = |(n, step): (usize, &u64)| {
            estimate.advance(*step);
            estimate.left(start + Duration::from_secs(n as u64 + 1)).unwrap().as_secs()
        };
        steps.iter().enumerate().map(left).collect()
    }

    #[test]
    fn a_steady_run_counts_down() {
        assert_eq!(seconds_left(&[10; 10]), [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn a_stall_of_a_second_moves_the_estimate_little() {
        let left = seconds_left(&[10, 10, 0, 0, 10, 10, 30, 10]);
        assert!(left.windows(2).all(|pair| pair[0].abs_diff(pair[1]) <= 2), "{left:?}");
    }

    #[test]
    fn the_work_of_all_phases_is_one_run() {
        let mut estimate = Estimate::new(Instant::now());
        estimate.begin(100, 500);
        estimate.advance(100);
        assert!((estimate.fraction() - 1.0 / 6.0).abs() < 1e-9);
        estimate.begin(100, 400);
        estimate.advance(200);
        estimate.begin(400, 0);
        assert!((estimate.fraction() - 2.0 / 6.0).abs() < 1e-9);
        estimate.advance(400);
        assert!((estimate.fraction() - 1.0).abs() < 1e-9);
        // A pass that nobody could foresee.
        estimate.begin(600, 0);
        assert!((estimate.fraction() - 1.0).abs() < 1e-9);
        assert!(estimate.left(Instant::now()).is_none());
    }
}
