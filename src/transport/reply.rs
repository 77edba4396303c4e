//! What an SMTP or LMTP server says: a code of three digits, and lines (RFC 5321, 4.2).

use super::net::Broken;
use super::outcome::{self, Fate, Outcome};

/// RFC 5321 has 512 bytes; there are servers that say more.
const LONGEST_LINE: usize = 4096;
/// All its lines.
const LONGEST: usize = 1 << 16;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// Its lines, without the code.
    pub lines: Vec<Vec<u8>>,
}

impl Reply {
    /// What it says of the command before it. None: that it is not over, or nothing that is understood.
    pub fn fate(&self) -> Option<Fate> {
        match self.code / 100 {
            2 => Some(Fate::Accepted),
            4 => Some(Fate::Temporary),
            5 => Some(Fate::Permanent),
            _ => None,
        }
    }

    /// What it says of a recipient, where its fate is this.
    pub fn outcome(&self, fate: Fate) -> Outcome {
        let first = self.lines.first().map(Vec::as_slice).unwrap_or_default();
        let word = first.split(|&b| b == b' ').next().unwrap_or_default();
        let status = outcome::status(word).filter(|status| outcome::fits(fate, status));
        Outcome { fate, status, text: self.text() }
    }

    /// In one line; an enhanced status stands there once.
    pub fn text(&self) -> String {
        let mut text = self.code.to_string().into_bytes();
        let mut status: &[u8] = b"";
        for (n, line) in self.lines.iter().enumerate() {
            let word = line.split(|&b| b == b' ').next().unwrap_or_default();
            let line = match n {
                0 => &line[..],
                _ if !status.is_empty() && word == status => line[word.len()..].trim_ascii_start(),
                _ => &line[..],
            };
            if n == 0 && outcome::status(word).is_some() {
                status = word;
            }
            if !line.is_empty() {
                text.push(b' ');
                text.extend_from_slice(line);
            }
        }
        outcome::told(&text)
    }
}

/// An answer that comes in, in pieces of any size.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    code: Option<u16>,
    lines: Vec<Vec<u8>>,
    length: usize,
    is_at_end: bool,
}

impl Parser {
    /// Takes bytes and says how many: all, unless the answer ends among them.
    ///
    /// # Errors
    /// [`Broken::Garbled`].
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        let mut at = 0;
        while at < bytes.len() && !self.is_at_end {
            let rest = &bytes[at..];
            let lf = memchr::memchr(b'\n', rest);
            let piece = &rest[..lf.map_or(rest.len(), |lf| lf + 1)];
            self.length += piece.len();
            if self.line.len() + piece.len() > LONGEST_LINE || self.length > LONGEST {
                return Err(Broken::Garbled("an answer that is too long".into()));
            }
            self.line.extend_from_slice(piece);
            at += piece.len();
            if lf.is_some() {
                self.end_line()?;
            }
        }
        Ok(at)
    }

    fn end_line(&mut self) -> Result<(), Broken> {
        let line = std::mem::take(&mut self.line);
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let (code, is_last, text) = parsed(text).ok_or_else(|| garbled(text))?;
        if *self.code.get_or_insert(code) != code {
            return Err(garbled(&line));
        }
        self.lines.push(text.to_vec());
        self.is_at_end = is_last;
        Ok(())
    }

    /// Whether all of it has come.
    pub fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    /// The answer, once all of it has come.
    pub fn finish(self) -> Option<Reply> {
        Some(Reply { code: self.code.filter(|_| self.is_at_end)?, lines: self.lines })
    }
}

fn garbled(line: &[u8]) -> Broken {
    Broken::Garbled(format!("an answer that is none: {}", outcome::told(line.trim_ascii_end())))
}

/// Code, whether it is the last line, and the text.
fn parsed(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_first_chunk::<3>()?;
    if !matches!(digits[0], b'2'..=b'5') || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match rest.split_first() {
        None => Some((code, true, rest)),
        Some((b' ', text)) => Some((code, true, text)),
        Some((b'-', text)) => Some((code, false, text)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(wire: &[u8]) -> Result<Option<Reply>, Broken> {
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
            let outcome = reply.outcome(reply.fate().unwrap());
            assert_eq!((outcome.text.as_str(), outcome.status.as_deref()), (told, status));
        }
        assert_eq!(read(b"354 go\r\n").unwrap().unwrap().fate(), None);
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
