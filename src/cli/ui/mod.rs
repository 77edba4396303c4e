//! The user interface: reports, progress and exit codes.

mod estimate;
pub(super) mod exit;
mod finding_text;
pub(super) mod layout;
pub(super) mod progress;
pub(super) mod report;
pub(super) mod table;

pub(crate) use exit::{Exit, ExitCodes};
pub(crate) use progress::{ProgressDisplay, report_waits};
pub(crate) use report::Reporter;
