//! The outcome of sending a message to one recipient.

use std::fmt;

use super::{Failure, FailureReason, TransportError};
use crate::mailbox::escape;

/// The longest part of a peer's reply that is reported, in bytes.
const MAX_REPORTED: usize = 400;

/// The next hop's decision about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum OutcomeKind {
    /// The next hop has confirmed that it has the message.
    Accepted,
    /// The next hop does not have the message; try again later.
    Temporary,
    /// All of the message was sent, but no valid reply came back. The next hop may have it: another attempt now, or at
    /// another hop, may deliver it twice. An attempt later is necessary anyway.
    Unsure,
    /// Permanently refused.
    Permanent,
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "a login needs TLS"))]
    /// The login was permanently refused, not the message: another hop may accept it.
    LoginRefused,
}

impl OutcomeKind {
    /// Checks that an enhanced status code agrees with this disposition. A code that contradicts is ignored.
    pub(crate) fn agrees_with(self, status: &str) -> bool {
        let class = match self {
            OutcomeKind::Accepted => '2',
            OutcomeKind::Temporary | OutcomeKind::Unsure => '4',
            OutcomeKind::Permanent | OutcomeKind::LoginRefused => '5',
        };
        status.starts_with(class)
    }
}

/// The outcome of sending a message to one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) kind: OutcomeKind,
    /// The enhanced status code (RFC 3463) that the peer gave. Where the peer said nothing, mailferry's own.
    pub(crate) status: Option<String>,
    /// The peer's reply or mailferry's explanation, on one line, escaped.
    pub(crate) text: String,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Outcome {
    /// Returns an outcome with mailferry's own status code and text.
    pub(crate) fn new(kind: OutcomeKind, status: &str, text: impl fmt::Display) -> Outcome {
        Outcome { kind, status: Some(status.into()), text: text.to_string() }
    }

    /// Parses a reply in qmail's style, which has the status in parentheses at the end: `(#5.1.1)`.
    pub(crate) fn from_qmail_reply(kind: OutcomeKind, text: &[u8]) -> Outcome {
        let status = text.strip_suffix(b")").and_then(|text| {
            let at = memchr::memmem::rfind(text, b"(#")?;
            parse_status(&text[at + 2..]).filter(|status| kind.agrees_with(status))
        });
        Outcome { kind, status, text: escape_reply(text) }
    }

    /// Returns the outcome of a connection that ended before all of the message was sent.
    pub(crate) fn not_sent(error: &TransportError) -> Outcome {
        Outcome::new(OutcomeKind::Temporary, error.status(), error)
    }

    /// Returns the outcome of a connection that ended after all of the message was sent.
    pub(crate) fn unconfirmed(error: &TransportError) -> Outcome {
        let text = format!("{error} after the whole message was sent: it may have arrived");
        Outcome::new(OutcomeKind::Unsure, error.status(), text)
    }

    /// Returns why a recipient does not have the message, unless it has.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failure_reason().map(|reason| Failure::new(reason, &self.text))
    }

    /// Returns the class of a failed outcome. The next hop's status decides if it agrees with the disposition.
    pub(crate) fn failure_reason(&self) -> Option<FailureReason> {
        let default = match self.kind {
            OutcomeKind::Accepted => return None,
            OutcomeKind::Temporary | OutcomeKind::Unsure => FailureReason::TryAgain,
            OutcomeKind::Permanent => FailureReason::Refused,
            OutcomeKind::LoginRefused => return Some(FailureReason::LoginRefused),
        };
        let stated = self.status.as_ref().and_then(|status| FailureReason::of_status(status.as_bytes()));
        Some(stated.filter(|reason| reason.is_temporary() == default.is_temporary()).unwrap_or(default))
    }
}

/// Why a program did not accept the message, or did not confirm that it has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Refusal {
    /// Permanent, temporary or unsure.
    pub(crate) kind: OutcomeKind,
    /// The reason in qmail's style, with an enhanced status at the end.
    pub(crate) text: String,
}

impl Refusal {
    /// Returns the reason of a delivery that fails with it.
    pub(crate) fn reason(&self) -> FailureReason {
        match self.kind {
            OutcomeKind::Permanent => FailureReason::Refused,
            _ => FailureReason::TryAgain,
        }
    }

    pub(crate) fn temporary(text: impl Into<String>) -> Refusal {
        Refusal { kind: OutcomeKind::Temporary, text: text.into() }
    }

    pub(crate) fn permanent(text: impl Into<String>) -> Refusal {
        Refusal { kind: OutcomeKind::Permanent, text: text.into() }
    }

    /// Describes a program that died or was killed. It may have accepted the message only if it has read all of it.
    pub(super) fn for_early_exit(all_was_read: bool, text: impl Into<String>) -> Refusal {
        let kind = if all_was_read { OutcomeKind::Unsure } else { OutcomeKind::Temporary };
        Refusal { kind, text: text.into() }
    }
}

impl From<Refusal> for Outcome {
    fn from(Refusal { kind, text }: Refusal) -> Outcome {
        let mut outcome = Outcome::from_qmail_reply(kind, text.as_bytes());
        if kind == OutcomeKind::Unsure {
            outcome.text += "; it had read the whole message, which may have arrived";
        }
        outcome
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Outcome {
        let kind = match failure.reason.is_temporary() {
            true => OutcomeKind::Temporary,
            false => OutcomeKind::Permanent,
        };
        Outcome::new(kind, failure.reason.status(), failure.text)
    }
}

/// Escapes a reply for the screen and truncates it.
pub(crate) fn escape_reply(text: &[u8]) -> String {
    let (text, more) = match text.get(..MAX_REPORTED) {
        Some(start) if text.len() > MAX_REPORTED => (start, " ..."),
        _ => (text, ""),
    };
    escape(text) + more
}

/// Parses an enhanced status code such as `5.1.1`.
pub(crate) fn parse_status(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let mut parts = text.split('.');
    let class = parts.next().filter(|class| matches!(*class, "2" | "4" | "5"));
    let is_number = |part: &str| matches!(part.len(), 1..=3) && part.bytes().all(|b| b.is_ascii_digit());
    let numbers = parts.next().is_some_and(is_number) && parts.next().is_some_and(is_number);
    (class.is_some() && numbers && parts.next().is_none()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_found_where_it_belongs() {
        for (text, kind, found) in [
            (&b"no mailbox here by that name. (#5.1.1)"[..], OutcomeKind::Permanent, Some("5.1.1")),
            (b"qq out of memory (#4.3.0)", OutcomeKind::Temporary, Some("4.3.0")),
            (b"ok 981173106 qp 23801", OutcomeKind::Accepted, None),
            (b"says (#5.1.1) in the middle", OutcomeKind::Permanent, None),
            (b"a lie (#5.1.1)", OutcomeKind::Temporary, None),
            (b"(#5.1)", OutcomeKind::Permanent, None),
            (b"(#5.1.1.1)", OutcomeKind::Permanent, None),
            (b"(#5..1)", OutcomeKind::Permanent, None),
        ] {
            assert_eq!(Outcome::from_qmail_reply(kind, text).status.as_deref(), found, "{text:?}");
        }
    }

    #[test]
    fn what_a_peer_says_does_no_harm_to_a_screen() {
        assert_eq!(escape_reply(b"no\r\n\x1b[2J\xff"), "no\\r\\n\\u{1b}[2J\\xff");
        assert!(escape_reply(&[b'x'; 100_000]).len() < 500);
    }
}
