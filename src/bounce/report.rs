//! What a bounce reports.

use super::status::Status;

/// A report that a message was not, or not yet, delivered; or a receipt that it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bounce {
    pub(crate) kind: BounceKind,
    /// The server that wrote the report.
    pub(crate) reporting_mta: Option<Vec<u8>>,
    pub(crate) original: OriginalMessage,
    /// Never empty. A recipient that the report repeats is repeated.
    pub(crate) recipients: Vec<BouncedRecipient>,
}

/// How the report was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BounceKind {
    /// A report of RFC 3464, with a part for programs.
    Dsn,
    /// qmail's format, QSBMF.
    Qsbmf,
    /// Prose, by its wording.
    Words,
}

/// The message that the report is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OriginalMessage {
    /// With its angle brackets.
    pub(crate) message_id: Option<Vec<u8>>,
    /// The ENVID that its sender gave (RFC 3461).
    pub(crate) envelope_id: Option<Vec<u8>>,
}

/// The outcome for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BouncedRecipient {
    /// The address as the report has it: an address of the server that gave up, perhaps after forwarding. Never empty.
    pub(crate) recipient: Vec<u8>,
    /// The address to which the message was sent first.
    pub(crate) original_recipient: Option<Vec<u8>>,
    pub(crate) action: Option<Action>,
    pub(crate) status: Option<Status>,
    /// On one line.
    pub(crate) reason: Option<String>,
    /// The server that refused it.
    pub(crate) remote_mta: Option<Vec<u8>>,
    /// The recipient in the address that the bounce was sent to.
    pub(crate) verp_recipient: Option<Vec<u8>>,
    /// A key is a guess: it was found by wording, or deduced from something else.
    pub(crate) is_heuristic: bool,
}

/// What the server did (RFC 3464 §2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Failed,
    Delayed,
    Delivered,
    Relayed,
    Expanded,
}

/// Why a message is not a bounce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotABounce {
    #[error("it is an automatic reply")]
    AutomaticReply,
    #[error("it is a receipt by a mail reader (RFC 8098)")]
    ReadReceipt,
    #[error("it is a complaint about spam (RFC 5965)")]
    SpamReport,
    #[error("it is mail of a mailing list")]
    ListMail,
    #[error("it is a delivery report that names no recipient")]
    NoRecipient,
    #[error("nothing in it reports a failed or delayed delivery")]
    NoReport,
}

impl BounceKind {
    /// Returns the value in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            BounceKind::Dsn => "dsn",
            BounceKind::Qsbmf => "qsbmf",
            BounceKind::Words => "words",
        }
    }
}

impl Action {
    const ALL: [Action; 5] =
        [Action::Failed, Action::Delayed, Action::Delivered, Action::Relayed, Action::Expanded];

    /// Returns the word of RFC 3464.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Action::Failed => "failed",
            Action::Delayed => "delayed",
            Action::Delivered => "delivered",
            Action::Relayed => "relayed",
            Action::Expanded => "expanded",
        }
    }

    /// Reads the first word of a field; a comment may follow.
    pub(super) fn parse(value: &[u8]) -> Option<Action> {
        let word = value.split(|byte| !byte.is_ascii_alphabetic()).find(|word| !word.is_empty())?;
        Action::ALL.into_iter().find(|action| action.name().as_bytes().eq_ignore_ascii_case(word))
    }

    /// Returns the action that a status code suggests.
    pub(super) fn of_status(status: Status) -> Action {
        match status.class() {
            2 => Action::Delivered,
            4 => Action::Delayed,
            _ => Action::Failed,
        }
    }
}

impl BouncedRecipient {
    /// Returns a recipient about whom nothing else is known.
    pub(super) fn new(recipient: Vec<u8>) -> BouncedRecipient {
        BouncedRecipient {
            recipient,
            original_recipient: None,
            action: None,
            status: None,
            reason: None,
            remote_mta: None,
            verp_recipient: None,
            is_heuristic: false,
        }
    }
}
