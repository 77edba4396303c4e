//! Content-Length in an mbox: believed only where it ends at a separator or at the end of the file.

use super::from_line::Line;
use super::scan::{Candidate, Next};
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::{escaped, header};

/// A validated Content-Length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// The byte after the counted body.
    pub end: u64,
    /// The separator it leads to, a blank line later; the end of the file where it is the last.
    pub separator: u64,
}

/// Looks at the Content-Length of the message that starts at `start`. A finding says why one that
/// is there was not believed.
pub(super) fn validate(
    text: &[u8],
    start: u64,
    candidates: &[Candidate],
) -> (Option<Length>, Option<Finding>) {
    let message = &text[start as usize..];
    let Some((field_at, value, body_at)) = content_length(message) else { return (None, None) };
    let lying = |why: String| {
        let message =
            format!("Content-Length {} {why}; it was ignored", escaped(&value[..value.len().min(40)]));
        (None, Some(Finding::at(Code::MboxContentLength, start + field_at as u64, message)))
    };
    let Some(count) = std::str::from_utf8(value).ok().and_then(|v| v.parse::<u64>().ok()) else {
        return lying("is no number of bytes".into());
    };
    let body = start + body_at as u64;
    let Some(end) = body.checked_add(count).filter(|&end| end <= text.len() as u64) else {
        return lying(format!("goes beyond the end of the file, {} bytes away", text.len() as u64 - body));
    };
    match separator_after(text, end, candidates) {
        Some(separator) => (Some(Length { end, separator }), None),
        None => lying(format!("does not end at a separator (byte {end})")),
    }
}

/// Offset of the field, its trimmed value, and the offset of the body. None where the header has no
/// end before the next line that begins "From ".
fn content_length(message: &[u8]) -> Option<(usize, &[u8], usize)> {
    let mut at = 0;
    let mut found = None;
    loop {
        let line = &message[at..];
        match line {
            [b'\n', ..] => return found.map(|(at_field, value)| (at_field, value, at + 1)),
            [b'\r', b'\n', ..] => return found.map(|(at_field, value)| (at_field, value, at + 2)),
            _ if line.starts_with(b"From ") => return None,
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

/// The separator that a length ending at `end` leads to: the end of the file, or a dated From_ line
/// with a header after it, up to two line ends further on (the blank line; and the line end that the
/// writer did not count, where the body has none of its own).
fn separator_after(text: &[u8], end: u64, candidates: &[Candidate]) -> Option<u64> {
    let mut at = end as usize;
    for _ in 0..3 {
        if at == text.len() {
            return Some(at as u64);
        }
        if let Ok(n) = candidates.binary_search_by_key(&(at as u64), |c| c.offset) {
            let c = &candidates[n];
            return (c.line == Line::Dated && c.next == Next::Header).then_some(at as u64);
        }
        at += match &text[at..] {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => return None,
        };
    }
    None
}
