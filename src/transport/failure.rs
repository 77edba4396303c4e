//! Why a message was not delivered, in the terms of mail systems.

use std::{fmt, io};

use crate::mailbox::Error;

/// The classes of failures that callers distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum FailureReason {
    /// A failure of this machine.
    TryAgain,
    DiskFull,
    /// Another program holds a lock.
    Locked,
    /// Over a quota that may be raised: of the file system, or if the caller asked to treat quotas as temporary.
    OverQuotaForNow,
    /// A signal, or a time limit.
    Interrupted,
    /// Impossible until the administrator fixes it: a missing Maildir, a wrong option. A message must not bounce for that.
    Configuration,
    /// The message has recipients enough; this one needs another copy.
    TooManyRecipients,
    /// Over the mailbox's quota.
    OverQuota,
    /// The recipient does not exist.
    NoSuchMailbox,
    /// No mail has such a sender.
    BadSender,
    /// The recipient's address cannot belong to a mailbox of this machine.
    BadAddress,
    /// There is no message, or the mailbox's format cannot hold it.
    BadMessage,
    /// Standard input is empty.
    NoInput,
    TooLarge,
    /// The message was delivered to this recipient before.
    Looping,
    /// A program or the next hop permanently refused it.
    Refused,
    /// The next hop permanently refused the login. No status code of a next hop means this.
    LoginRefused,
}

impl FailureReason {
    /// The reasons that a status code can state.
    const ALL: [FailureReason; 16] = [
        FailureReason::TryAgain,
        FailureReason::DiskFull,
        FailureReason::Locked,
        FailureReason::OverQuotaForNow,
        FailureReason::Interrupted,
        FailureReason::Configuration,
        FailureReason::OverQuota,
        FailureReason::NoSuchMailbox,
        FailureReason::TooManyRecipients,
        FailureReason::BadSender,
        FailureReason::BadAddress,
        FailureReason::BadMessage,
        FailureReason::NoInput,
        FailureReason::TooLarge,
        FailureReason::Looping,
        FailureReason::Refused,
    ];

    /// Returns the enhanced status code (RFC 3463). Postfix evaluates it at the beginning of the output.
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
            FailureReason::TooManyRecipients => "4.5.3",
            FailureReason::BadSender => "5.1.7",
            FailureReason::BadAddress => "5.1.3",
            FailureReason::BadMessage => "5.6.0",
            FailureReason::NoInput => "5.6.1",
            FailureReason::TooLarge => "5.3.4",
            FailureReason::Looping => "5.4.6",
            FailureReason::Refused => "5.3.0",
            FailureReason::LoginRefused => "5.7.8",
        }
    }

    /// Returns the reason that a status code states.
    pub(crate) fn of_status(status: &[u8]) -> Option<FailureReason> {
        FailureReason::ALL.into_iter().find(|reason| reason.status().as_bytes() == status)
    }

    /// Reports whether a later attempt can succeed.
    pub(crate) fn is_temporary(self) -> bool {
        self.status().starts_with('4')
    }
}

/// Why a message was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {text}", reason.status())]
pub(crate) struct Failure {
    pub(crate) reason: FailureReason,
    /// One line for the user: what failed, where, and what to do.
    pub(crate) text: String,
}

impl Failure {
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
                // Missing, forbidden, or of the wrong kind.
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
