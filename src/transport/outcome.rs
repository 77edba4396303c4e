//! What became of a message for one recipient.

use std::fmt;

use super::Refusal;
use super::net::Broken;
use crate::mailbox::text::escape;
use crate::transport::failure::Failure;

/// As much of what a peer says as is told.
const TOLD: usize = 400;

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// The next hop has said that it has it.
    Accepted,
    /// It has it not; try again later.
    Temporary,
    /// All of it was sent and no answer that can be understood came back. The next hop may have it: to try again
    /// at once, or at another place, may be to send it twice. Later one has to.
    Unsure,
    /// Refused for good.
    Permanent,
}

/// What became of a message for one recipient, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The class.
    pub fate: Fate,
    /// The enhanced status code (RFC 3463), where the peer gave one; ours, where the peer said nothing.
    pub status: Option<String>,
    /// What the peer said, or is to be said of it; on one line, fit for the screen.
    pub text: String,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Outcome {
    /// A judgement of ours.
    pub fn ours(fate: Fate, status: &str, text: impl fmt::Display) -> Outcome {
        Outcome { fate, status: Some(status.into()), text: text.to_string() }
    }

    /// What a peer said in qmail's style: a status in parentheses at the end, `(#5.1.1)`.
    pub fn said(fate: Fate, text: &[u8]) -> Outcome {
        let status = text.strip_suffix(b")").and_then(|text| {
            let at = memchr::memmem::rfind(text, b"(#")?;
            status(&text[at + 2..]).filter(|status| fits(fate, status))
        });
        Outcome { fate, status, text: told(text) }
    }

    /// A conversation that ended early; `unsure` if all of the message had been sent.
    pub fn broken(broken: &Broken, unsure: bool) -> Outcome {
        match unsure {
            false => Outcome::ours(Fate::Temporary, broken.status(), broken),
            true => {
                let text = format!("{broken} after the whole message was sent: it may have arrived");
                Outcome::ours(Fate::Unsure, broken.status(), text)
            }
        }
    }
}

impl From<Refusal> for Outcome {
    fn from(Refusal { fate, text }: Refusal) -> Outcome {
        let mut outcome = Outcome::said(fate, text.as_bytes());
        if fate == Fate::Unsure {
            outcome.text += "; it had read the whole message, which may have arrived";
        }
        outcome
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Outcome {
        let fate = if failure.reason.is_temporary() { Fate::Temporary } else { Fate::Permanent };
        Outcome::ours(fate, failure.reason.status(), failure.text)
    }
}

/// On one line, for the screen, and not all of it.
pub fn told(text: &[u8]) -> String {
    let (text, more) = match text.get(..TOLD) {
        Some(start) if text.len() > TOLD => (start, " ..."),
        _ => (text, ""),
    };
    escape(text) + more
}

/// `5.1.1`, and nothing else.
pub fn status(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let mut parts = text.split('.');
    let class = parts.next().filter(|class| matches!(*class, "2" | "4" | "5"));
    let is_number = |part: &str| matches!(part.len(), 1..=3) && part.bytes().all(|b| b.is_ascii_digit());
    let numbers = parts.next().is_some_and(is_number) && parts.next().is_some_and(is_number);
    (class.is_some() && numbers && parts.next().is_none()).then(|| text.to_owned())
}

/// Whether a status says the same as what it goes with: the first is believed no further than that.
pub fn fits(fate: Fate, status: &str) -> bool {
    let class = match fate {
        Fate::Accepted => '2',
        Fate::Temporary | Fate::Unsure => '4',
        Fate::Permanent => '5',
    };
    status.starts_with(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_found_where_it_belongs() {
        for (text, fate, found) in [
            (&b"no mailbox here by that name. (#5.1.1)"[..], Fate::Permanent, Some("5.1.1")),
            (b"qq out of memory (#4.3.0)", Fate::Temporary, Some("4.3.0")),
            (b"ok 981173106 qp 23801", Fate::Accepted, None),
            (b"says (#5.1.1) in the middle", Fate::Permanent, None),
            (b"a lie (#5.1.1)", Fate::Temporary, None),
            (b"(#5.1)", Fate::Permanent, None),
            (b"(#5.1.1.1)", Fate::Permanent, None),
            (b"(#5..1)", Fate::Permanent, None),
        ] {
            assert_eq!(Outcome::said(fate, text).status.as_deref(), found, "{text:?}");
        }
    }

    #[test]
    fn what_a_peer_says_does_no_harm_to_a_screen() {
        assert_eq!(told(b"no\r\n\x1b[2J\xff"), "no\\r\\n\\u{1b}[2J\\xff");
        assert!(told(&[b'x'; 100_000]).len() < 500);
    }
}
