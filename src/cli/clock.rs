//! The clock, the only one of the program.

use std::time::{Duration, SystemTime};

/// Returns the time since 1970.
pub(super) fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Returns the seconds since 1970.
pub(super) fn seconds_since_epoch() -> i64 {
    now().as_secs() as i64
}

/// Rounds to milliseconds, for reports.
pub(super) fn round_seconds(elapsed: Duration) -> f64 {
    (elapsed.as_secs_f64() * 1000.0).round() / 1000.0
}
