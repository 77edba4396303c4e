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
