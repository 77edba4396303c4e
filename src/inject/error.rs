//! Why a message cannot be completed.

use crate::mailbox::escape;
use crate::mailbox::message::address::FaultKind;
use crate::transport::{Failure, FailureReason};

/// The limit on recipients, which are kept in memory with their outcomes.
pub(super) const MAX_RECIPIENTS: usize = 100_000;

/// Why a message is not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InjectError {
    /// A header field that cannot be parsed.
    #[error("{}: line {line}, byte {byte}: {kind}: {}", escape(name), quote(text))]
    Field {
        name: Vec<u8>,
        /// The unchanged field.
        text: Vec<u8>,
        /// Counted from 1.
        line: u64,
        /// Counted from 0.
        byte: u64,
        kind: FaultKind,
    },
    /// An invalid address that the caller named.
    #[error("{}: {why}", escape(address))]
    Address { address: Vec<u8>, why: String, is_sender: bool },
    /// An invalid host or user that completes addresses.
    #[error("{}: {why}", escape(text))]
    Setting { text: Vec<u8>, why: String },
    #[error("{place}: more than {MAX_RECIPIENTS} recipients; divide the message among them")]
    TooManyRecipients {
        /// The field that exceeds the limit, with its line, or the arguments.
        place: String,
    },
    #[error("no recipients: none was named, and the header has none")]
    NoRecipients,
    /// A header that does not end within the part of the message that is in memory.
    #[error("the header has more than {0} bytes")]
    LongHeader(usize),
    /// A line that ends the header although a field with recipients follows. All recipients would see it in the text.
    #[error(
        "line {line} is not a field and ends the header; {} in line {field_line} would be part of the text",
        escape(name)
    )]
    SplitHeader {
        /// Counted from 1.
        line: u64,
        name: Vec<u8>,
        field_line: u64,
    },
    /// A line that may be a damaged field with recipients. All recipients would see it.
    #[error("line {line} may be a damaged field with recipients; correct or remove it: {}", quote(text))]
    HiddenRecipients {
        /// Counted from 1.
        line: u64,
        /// The unchanged line.
        text: Vec<u8>,
    },
    /// A failure of this machine.
    #[error("{}", .0.text)]
    Failure(Failure),
}

/// The part of an unreadable field that is reported, in bytes.
const MAX_QUOTED: usize = 200;

/// Returns the start of an unreadable field.
pub(crate) fn quotable(text: &[u8]) -> &[u8] {
    &text[..text.len().min(MAX_QUOTED)]
}

fn quote(text: &[u8]) -> String {
    let text = text.trim_ascii();
    let dots = if text.len() > MAX_QUOTED { "..." } else { "" };
    format!("`{}`{dots}", escape(quotable(text)))
}

impl InjectError {
    pub(crate) fn reason(&self) -> FailureReason {
        match self {
            InjectError::Setting { .. } => FailureReason::Configuration,
            InjectError::Failure(failure) => failure.reason,
            _ => FailureReason::BadMessage,
        }
    }
}

impl<T: Into<Failure>> From<T> for InjectError {
    fn from(failure: T) -> InjectError {
        InjectError::Failure(failure.into())
    }
}
