//! Why a message was not delivered, as mail systems say it.

use std::fmt;
use std::io;

use crate::mailbox::error::Error;

/// Why, in the classes that callers act upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
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

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 13] = [
        Reason::TryAgain,
        Reason::DiskFull,
        Reason::Locked,
        Reason::OverQuotaForNow,
        Reason::Interrupted,
        Reason::Configuration,
        Reason::OverQuota,
        Reason::NoSuchMailbox,
        Reason::BadAddress,
        Reason::BadMessage,
        Reason::TooLarge,
        Reason::Looping,
        Reason::Refused,
    ];

    /// The enhanced status code (RFC 3463): Postfix goes by it when the output begins with it.
    pub fn status(self) -> &'static str {
        match self {
            Reason::TryAgain => "4.3.0",
            Reason::DiskFull => "4.3.1",
            Reason::Locked => "4.2.0",
            Reason::OverQuotaForNow => "4.2.2",
            Reason::Interrupted => "4.3.2",
            Reason::Configuration => "4.3.5",
            Reason::OverQuota => "5.2.2",
            Reason::NoSuchMailbox => "5.1.1",
            Reason::BadAddress => "5.1.3",
            Reason::BadMessage => "5.6.0",
            Reason::TooLarge => "5.3.4",
            Reason::Looping => "5.4.6",
            Reason::Refused => "5.3.0",
        }
    }

    /// Whether trying again can help.
    pub fn is_temporary(self) -> bool {
        self.status().starts_with('4')
    }
}

/// Why a message was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {text}", reason.status())]
pub struct Failure {
    /// The class.
    pub reason: Reason,
    /// One line for a person: what, where, and what to do.
    pub text: String,
}

impl Failure {
    /// A failure with its sentence.
    pub fn new(reason: Reason, text: impl fmt::Display) -> Failure {
        Failure { reason, text: text.to_string() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let reason = match &error {
            Error::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull => Reason::DiskFull,
                io::ErrorKind::QuotaExceeded => Reason::OverQuotaForNow,
                // Missing, forbidden, of the wrong kind: somebody has to mend it.
                _ if !error.retry_helps() => Reason::Configuration,
                _ => Reason::TryAgain,
            },
            Error::InsufficientSpace { .. } => Reason::DiskFull,
            Error::Locked { .. } => Reason::Locked,
            Error::Interrupted => Reason::Interrupted,
            Error::Changed { .. } | Error::ConcurrentWrite { .. } => Reason::TryAgain,
            Error::Unrepresentable { .. } => Reason::BadMessage,
            _ => Reason::Configuration,
        };
        let text = match &error {
            Error::Interrupted => "interrupted before all was done".to_owned(),
            _ => error.to_string(),
        };
        Failure { reason, text }
    }
}
