//! Why a message was not delivered, as mail systems say it.

use std::fmt;
use std::io;

use crate::mailbox::error::Error;

/// Why, in the classes that callers act upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum FailureReason {
    /// Something of the machine failed.
    TryAgain,
    /// No room on the disk.
    DiskFull,
    /// Another program holds a lock.
    Locked,
    /// Over quota, which may be mended: a quota of the file system, or the caller wants it so.
    OverQuotaForNow,
    /// A signal, or a time limit.
    Interrupted,
    /// What is asked for cannot be done until somebody mends it: a missing Maildir, a typing error. A
    /// message must not bounce for that.
    Configuration,
    /// Over the mailbox's quota.
    OverQuota,
    /// There is no such recipient.
    NoSuchMailbox,
    /// The recipient's address cannot be that of a mailbox here.
    BadAddress,
    /// There is no message, or one that the mailbox's format cannot hold.
    BadMessage,
    /// Larger than is allowed.
    TooLarge,
    /// It was delivered to this recipient before, on its way.
    Looping,
    /// A program or the next hop refused it for good.
    Refused,
}

impl FailureReason {
    /// All of them.
    pub(crate) const ALL: [FailureReason; 13] = [
        FailureReason::TryAgain,
        FailureReason::DiskFull,
        FailureReason::Locked,
        FailureReason::OverQuotaForNow,
        FailureReason::Interrupted,
        FailureReason::Configuration,
        FailureReason::OverQuota,
        FailureReason::NoSuchMailbox,
        FailureReason::BadAddress,
        FailureReason::BadMessage,
        FailureReason::TooLarge,
        FailureReason::Looping,
        FailureReason::Refused,
    ];

    /// The enhanced status code (RFC 3463): Postfix goes by it when the output begins with it.
    pub(crate) fn status(self) -> &'static str {
        match self {
            FailureReason::TryAgain => "4.3.0",
            FailureReason::DiskFull => "4.3.1",
            FailureReason::Locked => "4.2.0",
            FailureReason::OverQuotaForNow => "4.2.2",
            FailureReason::Interrupted => "4.3.2",
            FailureReason::Configuration => "4.3.5",
            FailureReason::OverQuota => "5.2.2",
            FailureReason::NoSuchMailbox => "5.1.1",
            FailureReason::BadAddress => "5.1.3",
            FailureReason::BadMessage => "5.6.0",
            FailureReason::TooLarge => "5.3.4",
            FailureReason::Looping => "5.4.6",
            FailureReason::Refused => "5.3.0",
        }
    }

    /// Whether trying again can help.
    pub(crate) fn is_temporary(self) -> bool {
        self.status().starts_with('4')
    }
}

/// Why a message was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {text}", reason.status())]
pub(crate) struct Failure {
    /// The class.
    pub(crate) reason: FailureReason,
    /// One line for a person: what, where, and what to do.
    pub(crate) text: String,
}

impl Failure {
    /// A failure with its sentence.
    pub(crate) fn new(reason: FailureReason, text: impl fmt::Display) -> Failure {
        Failure { reason, text: text.to_string() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let reason = match &error {
            Error::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull => FailureReason::DiskFull,
                io::ErrorKind::QuotaExceeded => FailureReason::OverQuotaForNow,
                // Missing, forbidden, of the wrong kind: somebody has to mend it.
                _ if !error.retry_helps() => FailureReason::Configuration,
                _ => FailureReason::TryAgain,
            },
            Error::InsufficientSpace { .. } => FailureReason::DiskFull,
            Error::Locked { .. } => FailureReason::Locked,
            Error::Interrupted => FailureReason::Interrupted,
            Error::Changed { .. } | Error::ConcurrentWrite { .. } => FailureReason::TryAgain,
            Error::Unrepresentable { .. } => FailureReason::BadMessage,
            _ => FailureReason::Configuration,
        };
        let text = match &error {
            Error::Interrupted => "interrupted before all was done".to_owned(),
            _ => error.to_string(),
        };
        Failure { reason, text }
    }
}
