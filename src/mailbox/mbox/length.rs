//! Content-Length in an mbox. It is valid only if it ends at a separator or at the end of the file.

use super::candidate::{Candidate, NextLine};
use super::from_line::LineClass;
use super::lines::begins_from_line;
use crate::mailbox::message::header;
use crate::mailbox::text::plural;
use crate::mailbox::{Code, Finding, escape};

/// A validated Content-Length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ContentLength {
    /// The offset after the counted body.
    pub end: u64,
    /// The offset of the next separator, or the end of the file.
    pub separator: u64,
}

/// Validates the Content-Length of the message at `start`. A finding explains why one was ignored.
pub(crate) fn validate(
    text: &[u8],
    start: u64,
    candidates: &[Candidate],
) -> (Option<ContentLength>, Option<Finding>) {
    let message = &text[start as usize..];
    let Some((field_at, value, body_at)) = content_length(message) else { return (None, None) };
    let invalid = |why: String| {
        let message =
            format!("Content-Length {} {why}; it was ignored", escape(&value[..value.len().min(40)]));
        (None, Some(Finding::at(Code::MboxContentLength, start + field_at as u64, message)))
    };
    let Some(count) = std::str::from_utf8(value).ok().and_then(|v| v.parse::<u64>().ok()) else {
        return invalid("is not a number of bytes".into());
    };
    let body = start + body_at as u64;
    let Some(end) = body.checked_add(count).filter(|&end| end <= text.len() as u64) else {
        let left = text.len() as u64 - body;
        let (length, finding) =
            invalid(format!("goes beyond the end of the file, which is {} away", plural(left, "byte")));
        // Of the last message, more than a line end is missing. Of another one, the length is wrong.
        let is_cut = count > left + 2 && !candidates.iter().any(|c| c.offset >= body && is_separator(c));
        return (length, finding.map(|finding| if is_cut { finding.as_damage() } else { finding }));
    };
    match separator_after(text, end, candidates) {
        Some(separator) => (Some(ContentLength { end, separator }), None),
        None => invalid(format!("does not end at a separator (byte {end})")),
    }
}

/// Returns the offset of the field, its trimmed value, and the offset of the body. Returns `None` where the
/// header has no end before the next line that begins with "From ".
pub(crate) fn content_length(message: &[u8]) -> Option<(usize, &[u8], usize)> {
    let mut at = 0;
    let mut found = None;
    loop {
        let line = &message[at..];
        match line {
            [b'\n', ..] => return found.map(|(at_field, value)| (at_field, value, at + 1)),
            [b'\r', b'\n', ..] => return found.map(|(at_field, value)| (at_field, value, at + 2)),
            _ if begins_from_line(line) => return None,
            _ => {}
        }
        let end = at + memchr::memchr(b'\n', line)? + 1;
        if found.is_none() && matches!(line[0], b'C' | b'c') {
            found = header::fields(&message[at..end])
                .find(|f| f.is("Content-Length"))
                .map(|f| (at, f.value.trim_ascii()));
        }
        at = end;
    }
}

fn is_separator(candidate: &Candidate) -> bool {
    candidate.line == LineClass::Dated && candidate.next == NextLine::Header && !candidate.glued
}

/// Finds the separator after a length that ends at `end`: the end of the file, or a dated From_ line before a
/// header. Up to two line ends may come first: the blank line, and a line end that the writer added to the body
/// and did not count.
fn separator_after(text: &[u8], end: u64, candidates: &[Candidate]) -> Option<u64> {
    let mut at = end as usize;
    for _ in 0..3 {
        if at == text.len() {
            return Some(at as u64);
        }
        if let Ok(n) = candidates.binary_search_by_key(&(at as u64), |c| c.offset) {
            let c = &candidates[n];
            return is_separator(c).then_some(at as u64);
        }
        at += match &text[at..] {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => return None,
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::mbox::scan;
    use crate::mailbox::mbox::scan_hooks::ScanHooks;

    const FROM: &str = "From a@b Mon Jan  1 10:00:05 2001\n";

    /// Validates the first message. Returns the end of its length and the next separator, counted from the start
    /// of its body, or why the length was ignored.
    fn validated(field: &str, rest: &str) -> Result<(u64, u64), String> {
        let head = format!("{FROM}{field}\nA: 1\n\n");
        let text = format!("{head}{rest}");
        let candidates = scan::scan(text.as_bytes(), ScanHooks::none()).candidates;
        let body = head.len() as u64;
        match validate(text.as_bytes(), FROM.len() as u64, &candidates) {
            (Some(length), None) => Ok((length.end - body, length.separator - body)),
            (None, Some(finding)) => {
                assert_eq!(
                    (finding.code, finding.offset),
                    (Code::MboxContentLength, Some(FROM.len() as u64))
                );
                Err(finding.message.into_owned())
            }
            (None, None) => Err(String::new()),
            (Some(_), Some(_)) => unreachable!(),
        }
    }

    #[track_caller]
    fn check_ignored(field: &str, rest: &str, why: &str) {
        let message = validated(field, rest).unwrap_err();
        assert!(message.contains(why) && message.ends_with("it was ignored"), "{message}");
    }

    #[test]
    fn a_length_that_ends_at_a_separator_is_valid() {
        let next = format!("{FROM}B: 2\n\nlast\n");
        for (length, body, want) in [
            (6, "12345\n\n", (6, 7)),
            (6, "12345\n\r\n", (6, 8)),
            // It counts the blank line too.
            (7, "12345\n\n", (7, 7)),
            // The blank line is missing.
            (6, "12345\n", (6, 6)),
            // A body without a final newline, whose writer added one and did not count it.
            (5, "12345\n\n", (5, 7)),
            (0, "\n", (0, 1)),
            (0, "", (0, 0)),
        ] {
            let rest = format!("{body}{next}");
            assert_eq!(validated(&format!("Content-Length: {length}"), &rest), Ok(want), "{body:?}");
        }
    }

    #[test]
    fn a_length_that_ends_at_the_end_of_the_file_is_valid() {
        for (length, body, want) in [
            (6, "12345\n", (6, 6)),
            (6, "12345\n\n", (6, 7)),
            (5, "12345", (5, 5)),
            (5, "12345\n\n", (5, 7)),
            (0, "", (0, 0)),
        ] {
            assert_eq!(validated(&format!("Content-Length: {length}"), body), Ok(want), "{body:?}");
        }
    }

    #[test]
    fn a_length_that_ends_elsewhere_is_ignored_and_reported() {
        let rest = format!("123\n5\n\n{FROM}B: 2\n\nlast\n");
        let ends = "does not end at a separator (byte ";
        // Too short, into the middle; or too long, into the separator or the message after it.
        for length in ["1", "3", "4", "8", "40", "50"] {
            check_ignored(&format!("Content-Length: {length}"), &rest, ends);
        }
        check_ignored("Content-Length: 4", &format!("123\n\n\n\n{FROM}B: 2\n\nlast\n"), ends);
        check_ignored("Content-Length: 4", "123\n\nFrom here to there\nB: 2\n\n", ends);
        check_ignored("Content-Length: 4", "123\n\nFrom a@b\nB: 2\n\n", ends);
        check_ignored("Content-Length: 4", &format!("123\n\n{FROM}wrote this\n"), ends);
        check_ignored("Content-Length: 4", &format!("123\n>{FROM}B: 2\n\n"), ends);
    }

    #[test]
    fn a_length_that_is_not_a_number_is_ignored_and_reported() {
        for value in ["-1", "18446744073709551616", "99999999999999999999999", "", "0x10", "4 bytes", "4.0"] {
            check_ignored(&format!("Content-Length: {value}"), "123\n", "is not a number of bytes");
        }
        for value in ["5", "18446744073709551615"] {
            check_ignored(
                &format!("Content-Length: {value}"),
                "123\n",
                "goes beyond the end of the file, which is 4 bytes away",
            );
        }
    }

    #[test]
    fn only_the_first_length_in_the_header_counts() {
        assert_eq!(validated("content-length : 4 ", "123\n"), Ok((4, 4)));
        assert_eq!(validated("Content-Length: 4\nContent-Length: 9", "123\n"), Ok((4, 4)));
        assert_eq!(validated("X: y", "Content-Length: 4\n"), Err(String::new()));
        // The header has no end before the next From_ line.
        assert_eq!(validated(&format!("Content-Length: 4\n{FROM}"), "123\n"), Err(String::new()));
        assert_eq!(validated("Content-Lengths: 4", "123\n"), Err(String::new()));
    }
}
