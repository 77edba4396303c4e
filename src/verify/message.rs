//! Faults of one message, in an mbox or a Maildir.

use crate::mailbox::message::header;
use crate::mailbox::source::{ForwardReader, mapped};

/// Longest line of a message without its line end (RFC 5322 §2.1.1).
const LONGEST_LINE: usize = 998;

/// Text of the finding about [`HeaderFault::NoField`].
pub(crate) const NO_FIELD: &str =
    "a line in the header is not a field: readers end the header here, or skip the line";

/// First fault of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// The message begins with an empty line, or with a line that is not a field.
    Missing,
    /// A line is neither a field nor a continuation; its offset in the message.
    NoField(usize),
    /// The message ends in the middle of a header line.
    Cut,
}

/// Finds the first fault of the header. The caller reports an empty message.
///
/// These are not faults: `>From ` lines, which UUCP left in headers; a From_ line at the start, which has a finding
/// of its own; a header without an empty line after it, which is a message without a body.
pub(crate) fn find_header_fault(message: &[u8]) -> Option<HeaderFault> {
    let mut at = 0;
    let mut fault = None;
    let mut reader = ForwardReader::new(message);
    while at < message.len() {
        reader.reached(at);
        let rest = &message[at..];
        if matches!(rest, [b'\n', ..] | [b'\r', b'\n', ..]) {
            return if at == 0 { Some(HeaderFault::Missing) } else { fault };
        }
        let continues = at > 0 && matches!(rest[0], b' ' | b'\t');
        let from = rest.starts_with(b">From ") || (at == 0 && rest.starts_with(b"From "));
        let end = mapped::find_byte(b'\n', rest);
        if !continues && !from && !header::is_field_line(rest) {
            match (at, end) {
                (0, _) => return Some(HeaderFault::Missing),
                (_, Some(_)) => fault = fault.or(Some(HeaderFault::NoField(at))),
                // Part of a line: the missing end is reported below.
                (_, None) => {}
            }
        }
        match end {
            Some(end) => at += end + 1,
            None => return fault.or(Some(HeaderFault::Cut)),
        }
    }
    fault
}

/// Lines that are longer than RFC 5322 allows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LongLines {
    pub count: u64,
    /// Offset of the first one.
    pub first: usize,
}

/// Finds the lines that are too long.
pub(crate) fn find_long_lines(text: &[u8]) -> Option<LongLines> {
    let (mut count, mut first) = (0, 0);
    let mut at = 0;
    let mut reader = ForwardReader::new(text);
    // Jump from the last line end within the limit to the next: most short lines are never read.
    while text.len() - at > LONGEST_LINE {
        reader.reached(at);
        let reach = &text[at..(at + LONGEST_LINE + 1).min(text.len())];
        if let Some(end) = memchr::memrchr(b'\n', reach) {
            at += end + 1;
            continue;
        }
        let end = mapped::find_byte(b'\n', &text[at + reach.len()..])
            .map_or(text.len(), |lf| at + reach.len() + lf);
        // The CR of a line end is not part of the line.
        let line = &text[at..end];
        if line.strip_suffix(b"\r").unwrap_or(line).len() > LONGEST_LINE {
            if count == 0 {
                first = at;
            }
            count += 1;
        }
        at = (end + 1).min(text.len());
    }
    (count > 0).then_some(LongLines { count, first })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fault_of_a_header_is_found() {
        for (message, want) in [
            (&b"A: 1\n\nno field here\n"[..], None),
            (b"A: 1\n folded\n\tmore\n>From a b\nB: 2\r\n\r\nbody", None),
            (b"From a@b\nA: 1\n\nbody", None),
            (b"A: 1\n", None),
            (b"", None),
            (b"\nbody\n", Some(HeaderFault::Missing)),
            (b"\r\nbody\n", Some(HeaderFault::Missing)),
            (b"Dear all,\n\nbody\n", Some(HeaderFault::Missing)),
            (b" folded first\n\nbody\n", Some(HeaderFault::Missing)),
            (b"A: 1\nstray line\n also stray\nB: 2\nanother\n\n", Some(HeaderFault::NoField(5))),
            (b"A: 1\nSubje", Some(HeaderFault::Cut)),
            (b"A: 1\nSubject: hel", Some(HeaderFault::Cut)),
        ] {
            assert_eq!(find_header_fault(message), want, "{:?}", String::from_utf8_lossy(message));
        }
    }

    #[test]
    fn a_line_is_too_long_from_the_999th_byte_on() {
        let of = |lengths: &[usize], eol: &str| {
            let text: String = lengths.iter().map(|&n| format!("{}{eol}", "x".repeat(n))).collect();
            find_long_lines(text.as_bytes())
        };
        for eol in ["\n", "\r\n"] {
            assert_eq!(of(&[998, 1, 998, 998], eol), None);
            assert_eq!(of(&[5, 999, 3, 5000, 2], eol), Some(LongLines { count: 2, first: 5 + eol.len() }));
            assert_eq!(of(&[999], eol), Some(LongLines { count: 1, first: 0 }));
        }
        assert_eq!(find_long_lines(&[b'x'; 998]), None);
        assert_eq!(find_long_lines(&[b'x'; 999]), Some(LongLines { count: 1, first: 0 }));
    }
}
