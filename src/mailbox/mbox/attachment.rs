//! The From_ line that some writers leave at the head of an attached message (row 4).

use memchr::memmem;

use super::lines::closing_blank;
use crate::mailbox::message::header;

/// Reports whether a candidate is the From_ line of an attached message. `message` ends directly before the
/// candidate, and `rest` begins after it.
pub(super) fn heads_attached_message(message: &[u8], rest: &[u8]) -> bool {
    attached_above(message).is_some_and(|boundary| {
        declares(message, boundary) && memmem::find(rest, &[b"\n--", boundary, b"--"].concat()).is_some()
    })
}

/// Returns the MIME boundary of the message/rfc822 part whose header, and a blank line, end this text.
pub(super) fn attached_above(text: &[u8]) -> Option<&[u8]> {
    // Part headers are short, so prose is not searched for long.
    const LIMIT: usize = 8 * 1024;
    let block_end = text.len().checked_sub(closing_blank(text)).filter(|&end| end < text.len())?;
    let block = &text[block_end.saturating_sub(LIMIT)..block_end];
    let mut start = block.len();
    let (line, part) = loop {
        let end = start;
        start = memchr::memrchr(b'\n', &block[..end.checked_sub(1)?])? + 1;
        match &block[start..end] {
            // No header continues above a blank line.
            [b'\n'] | [b'\r', b'\n'] => return None,
            line if line.starts_with(b"--") => break (line, &block[end..]),
            [b' ' | b'\t', ..] => {}
            line if header::is_field_line(line) => {}
            // Prose is not searched to its first blank line.
            _ => return None,
        }
    };
    let boundary = line[2..].trim_ascii_end();
    let is_attached = |field: header::Field<'_>| {
        field.is("Content-Type")
            && field.value.trim_ascii_start().to_ascii_lowercase().starts_with(b"message/rfc822")
    };
    (!boundary.is_empty() && header::fields(part).any(is_attached)).then_some(boundary)
}

/// Reports whether the message contains `boundary=` with this value.
fn declares(message: &[u8], boundary: &[u8]) -> bool {
    memmem::find_iter(message, boundary).any(|at| {
        let before = message[..at].strip_suffix(b"\"").unwrap_or(&message[..at]);
        let word = &before[before.len().saturating_sub(9)..];
        word.eq_ignore_ascii_case(b"boundary=")
    })
}
