//! Replies of SMTP and LMTP servers: a code of three digits, and lines (RFC 5321, 4.2).

use super::{Outcome, OutcomeKind, TransportError, outcome};

/// RFC 5321 allows 512 bytes; some servers send longer lines.
const MAX_LINE: usize = 4096;
/// The limit for all lines together.
const MAX_LENGTH: usize = 1 << 16;

/// A complete reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// 200 to 599.
    pub(crate) code: u16,
    /// The lines without the code.
    pub(crate) lines: Vec<Vec<u8>>,
}

impl Reply {
    /// Returns the decision about the command; `None` for 3xx, which asks for more.
    pub(crate) fn kind(&self) -> Option<OutcomeKind> {
        match self.code / 100 {
            2 => Some(OutcomeKind::Accepted),
            4 => Some(OutcomeKind::Temporary),
            5 => Some(OutcomeKind::Permanent),
            _ => None,
        }
    }

    /// Returns the outcome for a recipient that this reply is about.
    pub(crate) fn outcome(&self, kind: OutcomeKind) -> Outcome {
        let first = self.lines.first().map(Vec::as_slice).unwrap_or_default();
        let word = first.split(|&b| b == b' ').next().unwrap_or_default();
        let status = outcome::parse_status(word).filter(|status| kind.agrees_with(status));
        Outcome { kind, status, text: self.text() }
    }

    /// Joins the lines, dropping repetitions of the enhanced status.
    pub(crate) fn text(&self) -> String {
        let mut text = self.code.to_string().into_bytes();
        let mut status: &[u8] = b"";
        for (n, line) in self.lines.iter().enumerate() {
            let word = line.split(|&b| b == b' ').next().unwrap_or_default();
            let line = match n {
                0 => &line[..],
                _ if !status.is_empty() && word == status => line[word.len()..].trim_ascii_start(),
                _ => &line[..],
            };
            if n == 0 && outcome::parse_status(word).is_some() {
                status = word;
            }
            if !line.is_empty() {
                text.push(b' ');
                text.extend_from_slice(line);
            }
        }
        outcome::escape_reply(&text)
    }
}

/// Parses one reply that arrives in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    code: Option<u16>,
    lines: Vec<Vec<u8>>,
    length: usize,
    is_complete: bool,
}

impl Parser {
    /// Consumes bytes and returns how many: all, unless the reply ends among them.
    ///
    /// # Errors
    /// [`TransportError::Garbled`].
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        let mut at = 0;
        while at < bytes.len() && !self.is_complete {
            let rest = &bytes[at..];
            let lf = memchr::memchr(b'\n', rest);
            let piece = &rest[..lf.map_or(rest.len(), |lf| lf + 1)];
            self.length += piece.len();
            if self.line.len() + piece.len() > MAX_LINE || self.length > MAX_LENGTH {
                return Err(TransportError::Garbled("an answer that is too long".into()));
            }
            self.line.extend_from_slice(piece);
            at += piece.len();
            if lf.is_some() {
                self.end_line()?;
            }
        }
        Ok(at)
    }

    fn end_line(&mut self) -> Result<(), TransportError> {
        let line = std::mem::take(&mut self.line);
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let parsed = Line::parse(text).ok_or_else(|| garbled(text))?;
        if *self.code.get_or_insert(parsed.code) != parsed.code {
            return Err(garbled(&line));
        }
        self.lines.push(parsed.text.to_vec());
        self.is_complete = parsed.is_last;
        Ok(())
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Returns the reply if it is complete.
    pub(crate) fn finish(self) -> Option<Reply> {
        Some(Reply { code: self.code.filter(|_| self.is_complete)?, lines: self.lines })
    }
}

fn garbled(line: &[u8]) -> TransportError {
    let text = outcome::escape_reply(line.trim_ascii_end());
    TransportError::Garbled(format!("an invalid answer: {text}"))
}

struct Line<'a> {
    code: u16,
    is_last: bool,
    text: &'a [u8],
}

impl Line<'_> {
    fn parse(line: &[u8]) -> Option<Line<'_>> {
        let (digits, rest) = line.split_first_chunk::<3>()?;
        if !matches!(digits[0], b'2'..=b'5') || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        match rest.split_first() {
            None => Some(Line { code, is_last: true, text: rest }),
            Some((b' ', text)) => Some(Line { code, is_last: true, text }),
            Some((b'-', text)) => Some(Line { code, is_last: false, text }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(wire: &[u8]) -> Result<Option<Reply>, TransportError> {
        let mut parser = Parser::default();
        parser.take(wire)?;
        Ok(parser.finish())
    }

    #[test]
    fn answers_are_read() {
        for (wire, told, status) in [
            (&b"250 ok\r\n"[..], "250 ok", None),
            (b"250\r\n", "250", None),
            (b"250 \n", "250", None),
            (b"550 5.1.1 no such user\r\n", "550 5.1.1 no such user", Some("5.1.1")),
            (
                b"550-5.1.1 no such user\r\n550-5.1.1 here\r\n550 5.1.1 at all\r\n",
                "550 5.1.1 no such user here at all",
                Some("5.1.1"),
            ),
            (b"450 5.1.1 it contradicts itself\r\n", "450 5.1.1 it contradicts itself", None),
            (b"452 4.2.2\r\n", "452 4.2.2", Some("4.2.2")),
            (b"250 2.0.0 ok\r\n354 more\r\n", "250 2.0.0 ok", Some("2.0.0")),
        ] {
            let reply = read(wire).unwrap().unwrap();
            let outcome = reply.outcome(reply.kind().unwrap());
            assert_eq!((outcome.text.as_str(), outcome.status.as_deref()), (told, status));
        }
        assert_eq!(read(b"354 go\r\n").unwrap().unwrap().kind(), None);
        for unfinished in [&b""[..], b"2", b"250 ok", b"250 ok\r", b"250-ok\r\n", b"250-ok\r\n250"] {
            assert_eq!(read(unfinished).unwrap(), None);
        }
        let long = [b"250 ".repeat(2000), b"\r\n".to_vec()].concat();
        let endless = b"250-and so on\r\n".repeat(100_000);
        let garbage: [&[u8]; 10] = [
            b"\n",
            b"25\r\n",
            b"2500\r\n",
            b"250x\r\n",
            b"ok\r\n",
            b" 250 ok\r\n",
            b"150 ok\r\n",
            b"250-a\r\n550 b\r\n",
            &long,
            &endless,
        ];
        for wire in garbage {
            assert!(read(wire).is_err(), "{wire:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_refused(
            wire in "([2-6 ][0-9]{2}[- x]?[a-z0-9\\. ]{0,9}\r?\n){0,4}[0-9]{0,4}",
            cuts in prop::collection::vec(1usize..9, 1..9),
        ) {
            crate::promises::smtp_reply(wire.as_bytes(), &cuts);
        }
    }
}
