//! The user interface: reports, progress and exit codes.

pub(super) mod exit;
pub(super) mod progress;
pub(super) mod report;
