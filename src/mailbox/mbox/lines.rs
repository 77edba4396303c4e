//! Lines in the text of an mbox.

use memchr::memchr;

use super::quote;

/// The line that opens and closes each message of an MMDF file.
pub(crate) const FRAME: &[u8] = b"\x01\x01\x01\x01";

/// The byte order mark of UTF-8.
pub(crate) const BOM: &[u8] = b"\xef\xbb\xbf";

/// Reports whether a line begins at `at`. Neither a byte order mark before the first line nor a NUL counts as
/// text: a hole that a crash leaves in a file ends where the next block of mail begins.
pub(crate) fn is_line_start(text: &[u8], at: usize) -> bool {
    quote::is_line_start(text, at) || (at == BOM.len() && text.starts_with(BOM))
}

/// Reports whether a line begins with `From ` and is not a field: in `From : a@b` blanks precede the colon (RFC 5322
/// section 4.5). Bodies quote both, because other readers begin a message at either.
pub(crate) fn begins_from_line(line: &[u8]) -> bool {
    line.strip_prefix(b"From ").is_some_and(|rest| {
        let first = rest.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
        first != Some(&b':')
    })
}

/// Returns the offset after the line that contains `at`.
pub(crate) fn line_end(text: &[u8], at: usize) -> usize {
    memchr(b'\n', &text[at..]).map_or(text.len(), |lf| at + lf + 1)
}

/// Returns the line before the one at `at`, without its line end.
pub(crate) fn line_before(text: &[u8], at: usize) -> Option<&[u8]> {
    let above = text[..at].strip_suffix(b"\n")?;
    let above = above.strip_suffix(b"\r").unwrap_or(above);
    let start = memchr::memrchr(b'\n', above).map_or(0, |lf| lf + 1);
    Some(&above[start..])
}

/// Returns the length of the blank line that ends a region. It is part of the separator, not of the message.
pub(crate) fn closing_blank(region: &[u8]) -> usize {
    let Some(rest) = region.strip_suffix(b"\n") else { return 0 };
    let above = rest.strip_suffix(b"\r").unwrap_or(rest);
    let is_blank = above.is_empty() || above.ends_with(b"\n");
    if is_blank { region.len() - above.len() } else { 0 }
}
