//! THE table: outcome → exit code.

use std::process::ExitCode;

use mailferry::mailbox::error::Error;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All of it done; nothing lost, nothing damaged.
    Done,
    /// Finished, but mail was skipped, damaged or different; with `--strict` also with warnings.
    Flawed,
    /// A usage error.
    Usage,
    /// Could not run or finish; nothing half-published.
    CouldNotFinish,
    /// A signal; the same command continues.
    Interrupted,
}

impl Exit {
    /// The exit code of convert, verify and inspect.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Flawed => 1,
            Exit::Usage => 2,
            Exit::CouldNotFinish => 3,
            Exit::Interrupted => 4,
        }
    }

    /// Of a run that finished with these counts.
    pub fn finished(errors: u64, warnings: u64, strict: bool) -> Exit {
        if errors > 0 || (strict && warnings > 0) { Exit::Flawed } else { Exit::Done }
    }

    /// Of a run that ended with an error.
    pub fn of(error: &Error) -> Exit {
        match error {
            Error::Interrupted => Exit::Interrupted,
            // The user typed a list by hand; what it says is part of the command.
            Error::Boundaries { .. } => Exit::Usage,
            _ => Exit::CouldNotFinish,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// The table for `--help` and the manual.
pub const HELP: &str = "\
Exit codes:
  0  all of it done; nothing lost, nothing damaged
  1  finished, but mail was skipped, damaged or different: every case is listed
     (with --strict warnings count too)
  2  usage
  3  could not run or finish; nothing half-published
  4  interrupted; the same command continues";
