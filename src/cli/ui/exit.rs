//! The exit codes of all commands.

use std::process::ExitCode;

use clap::ValueEnum;

use crate::mailbox::Error;
use crate::transport::FailureReason;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Finished; nothing lost, nothing damaged.
    Done,
    /// Finished, but mail was skipped, damaged or different; with `--strict` also with warnings.
    Flawed,
    Usage,
    /// Could not run or finish.
    CouldNotFinish,
    /// Stopped by a signal; the same command continues.
    Interrupted,
    /// A usage error of inject. Its caller is a user at a terminal, unlike deliver's, so the mail does not have to wait.
    InjectUsage,
    NotDelivered(FailureReason, ExitCodes),
    /// The exit code of a small program of qmail.
    OfProgram(u8),
}

/// The exit codes with which a caller wants the outcome of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExitCodes {
    /// sysexits(3)
    Sysexits,
    /// qmail-command(8)
    Qmail,
}

/// "Try again later" in sysexits(3), the only code that Postfix, Exim and qmail understand alike.
pub(crate) const TRY_AGAIN: u8 = 75;

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Flawed => 1,
            Exit::Usage => 2,
            Exit::CouldNotFinish => 3,
            Exit::Interrupted => 4,
            Exit::InjectUsage => 64,
            Exit::OfProgram(code) => code,
            Exit::NotDelivered(reason, ExitCodes::Qmail) if reason.is_temporary() => 111,
            Exit::NotDelivered(_, ExitCodes::Qmail) => 100,
            // 73 is never used: Postfix bounces it, Exim defers.
            Exit::NotDelivered(reason, ExitCodes::Sysexits) => match reason {
                FailureReason::BadMessage => 65,
                FailureReason::NoInput => 66,
                FailureReason::NoSuchMailbox | FailureReason::BadAddress => 67,
                FailureReason::TooLarge
                | FailureReason::Looping
                | FailureReason::BadSender
                | FailureReason::Refused => 69,
                FailureReason::OverQuota | FailureReason::LoginRefused => 77,
                FailureReason::TryAgain
                | FailureReason::DiskFull
                | FailureReason::Locked
                | FailureReason::OverQuotaForNow
                | FailureReason::Interrupted
                | FailureReason::TooManyRecipients
                | FailureReason::Configuration => TRY_AGAIN,
            },
        }
    }

    /// Returns how a run ended that finished with these counts.
    pub(crate) fn finished(errors: u64, warnings: u64, strict: bool) -> Exit {
        if errors > 0 || (strict && warnings > 0) { Exit::Flawed } else { Exit::Done }
    }

    /// Returns how a delivery ended.
    pub(crate) fn of_delivery(failed: Option<FailureReason>, codes: ExitCodes) -> Exit {
        failed.map_or(Exit::Done, |reason| Exit::NotDelivered(reason, codes))
    }

    /// Returns how a run ended that failed with `error`.
    pub(crate) fn of(error: &Error) -> Exit {
        match error {
            Error::Interrupted | Error::InterruptedStage { .. } => Exit::Interrupted,
            // The user wrote the list of boundaries by hand; it is part of the command.
            Error::Boundaries { .. } | Error::Usage { .. } => Exit::Usage,
            Error::UidsNotKept { .. } => Exit::Flawed,
            _ => Exit::CouldNotFinish,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// The exit codes in `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done; nothing is lost, nothing is damaged
  1  finished, but mail was skipped, damaged or different: each case is listed
     (with --strict, warnings count too)
  2  a wrong option or argument
  3  could not run or finish; no half-written mailbox is visible
  4  interrupted; the same command continues";

/// The exit codes in `deliver --help`.
pub(crate) const DELIVERY_HELP: &str = "\
Exit codes (sysexits(3)); on failure the first line begins with an enhanced status code, which Postfix uses:
  0   the message is safe on disk
  65  there is no message, or the format of the mailbox cannot contain it
  67  no such recipient
  69  permanently refused: too large, looping, or refused by a program
  75  try again later: I/O, disk full, locked, a missing mailbox, a wrong option, a bug
  77  over quota
With --exit-codes qmail: 0, 100 for permanent failures, 111 for temporary ones.";

/// The exit codes in `inject --help`.
pub(crate) const INJECTION_HELP: &str = "\
Exit codes (sysexits(3)); on failure the first line begins with an enhanced status code:
  0   the next hop accepted the message for every recipient
  64  a wrong option or argument
  65  there is no message or no recipient, or a field or address cannot be parsed
  69  permanently refused for at least one recipient, who is named
  75  try again later, for at least one recipient: I/O, the next hop is missing or down, a bug
  77  the next hop refused the user or the password
With --exit-codes qmail: 0, 100 for permanent failures, 111 for temporary ones.";
