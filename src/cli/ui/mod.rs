//! The user interface: reports, progress and exit codes.

pub(super) mod csv;
mod error_text;
mod estimate;
pub(super) mod exit;
mod finding_text;
pub(super) mod layout;
pub(super) mod progress;
pub(super) mod report;
pub(super) mod table;

pub(crate) use error_text::print_error;
pub(crate) use exit::{Exit, ExitCodes};
pub(crate) use progress::{ProgressDisplay, report_waits};
pub(crate) use report::Reporter;
