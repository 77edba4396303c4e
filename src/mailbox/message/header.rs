//! Headers as bytes: their end and their fields (RFC 5322 §2.2, and real mail). Nothing is decoded, and nothing is
//! rejected.

use std::ops::Range;

use super::encoded_word;
use crate::mailbox::source::mapped::{self, ForwardReader};

/// A longer field is copied, but not interpreted: nobody reads it, and its parts would take many times its memory.
const MAX_FIELD: usize = 2 << 20;
/// A longer word before a colon is not the name of a field.
const MAX_NAME: usize = 1 << 16;

/// A message divided into header and body. The empty line between them is in neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Split<'a> {
    /// The header with its last line end.
    pub header: &'a [u8],
    /// The bytes after the empty line.
    pub body: &'a [u8],
    /// There is an empty line. Without one, `body` is empty.
    pub closed: bool,
}

impl Split<'_> {
    /// Returns the offset of the body.
    pub(crate) fn body_at(&self, message: &[u8]) -> usize {
        message.len() - self.body.len()
    }
}

/// Splits a message at its first empty line (LF or CRLF).
pub(crate) fn split(message: &[u8]) -> Split<'_> {
    let mut at = 0;
    let mut reader = ForwardReader::new(message);
    loop {
        reader.reached(at);
        let rest = &message[at..];
        let empty = empty_line(rest);
        if empty > 0 {
            return Split { header: &message[..at], body: &rest[empty..], closed: true };
        }
        match mapped::find_byte(b'\n', rest) {
            Some(end) => at += end + 1,
            None => return Split { header: message, body: &[], closed: false },
        }
    }
}

/// Returns the length of the first line if it is empty, else 0.
fn empty_line(text: &[u8]) -> usize {
    match text {
        [b'\n', ..] => 1,
        [b'\r', b'\n', ..] => 2,
        _ => 0,
    }
}

/// A field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// The name, without blanks before the colon.
    pub name: &'a [u8],
    /// The bytes after the colon with continuation lines, without the last line end. Still folded.
    pub value: &'a [u8],
}

impl Field<'_> {
    /// Compares the name without case (RFC 5322 §1.2.2).
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// Reports whether mail readers rewrite this field. It is not part of the content of a message. X-Gmail-Labels is not
/// volatile: it is part of an export, and no program rewrites it.
pub(crate) fn is_volatile(field: &Field<'_>) -> bool {
    const VOLATILE: [&str; 12] = [
        "Status",
        "X-Status",
        "X-Keywords",
        "X-UID",
        "X-IMAP",
        "X-IMAPbase",
        "X-Mozilla-Status",
        "X-Mozilla-Status2",
        "X-Mozilla-Keys",
        "X-Evolution",
        "Content-Length",
        "Lines",
    ];
    VOLATILE.iter().any(|name| field.is(name))
}

/// Returns the ranges of the volatile fields in a header, each with its continuation lines and line end.
pub(crate) fn volatile(header: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let (mut at, mut reader) = (0, ForwardReader::new(header));
    std::iter::from_fn(move || {
        while at < header.len() {
            reader.reached(at);
            let start = at;
            at += field_len(&header[start..]);
            if field(&header[start..at]).is_some_and(|f| is_volatile(&f)) {
                return Some(start..at);
            }
        }
        None
    })
}

/// Returns the header without its volatile fields; `None` if it has none.
pub(crate) fn without_volatile(header: &[u8]) -> Option<Vec<u8>> {
    let mut cuts = volatile(header).peekable();
    cuts.peek()?;
    let (mut kept, mut from) = (Vec::with_capacity(header.len()), 0);
    for cut in cuts {
        kept.extend_from_slice(&header[from..cut.start]);
        from = cut.end;
    }
    kept.extend_from_slice(&header[from..]);
    Some(kept)
}

/// Returns the envelope sender in the first Return-Path, without its brackets. It is empty for a bounce.
pub(crate) fn return_path(header: &[u8]) -> Option<&[u8]> {
    let value = fields(header).find(|f| f.is("Return-Path"))?.value;
    let inside = || {
        let open = memchr::memchr(b'<', value)? + 1;
        let close = open + memchr::memchr(b'>', &value[open..])?;
        Some(&value[open..close])
    };
    Some(inside().unwrap_or(value).trim_ascii())
}

/// Splits a header into logical lines: each with its continuation lines, and the field if it is one. Their
/// concatenation is the header. Stops at the empty line.
pub(crate) fn logical_lines(header: &[u8]) -> LogicalLines<'_> {
    LogicalLines { whole: header, rest: header, reader: ForwardReader::new(header) }
}

/// See [`logical_lines`].
#[derive(Debug, Clone)]
pub(crate) struct LogicalLines<'a> {
    whole: &'a [u8],
    rest: &'a [u8],
    reader: ForwardReader<'a>,
}

impl<'a> Iterator for LogicalLines<'a> {
    type Item = (&'a [u8], Option<Field<'a>>);

    fn next(&mut self) -> Option<Self::Item> {
        if empty_line(self.rest) > 0 || self.rest.is_empty() {
            return None;
        }
        self.reader.reached(self.whole.len() - self.rest.len());
        let (lines, rest) = self.rest.split_at(field_len(self.rest));
        self.rest = rest;
        Some((lines, field(lines)))
    }
}

/// Returns the fields of a header, or of the header of a message. Lines that are not fields (`>From `, a stray line)
/// are skipped with their continuation lines.
pub(crate) fn fields(header: &[u8]) -> Fields<'_> {
    Fields { parts: logical_lines(header) }
}

impl<'a> Fields<'a> {
    /// Reads the rest of the header, and splits the message as [`split`] does.
    pub(crate) fn split(self) -> Split<'a> {
        let LogicalLines { whole, mut rest, mut reader } = self.parts;
        while empty_line(rest) == 0 && !rest.is_empty() {
            reader.reached(whole.len() - rest.len());
            rest = &rest[field_len(rest)..];
        }
        let header = &whole[..whole.len() - rest.len()];
        Split { header, body: &rest[empty_line(rest)..], closed: !rest.is_empty() }
    }
}

/// See [`fields`].
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    parts: LogicalLines<'a>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        self.parts.find_map(|(_, field)| field)
    }
}

/// Returns the length of the first line and its continuation lines, with line ends.
fn field_len(bytes: &[u8]) -> usize {
    let mut end = 0;
    loop {
        match mapped::find_byte(b'\n', &bytes[end..]) {
            None => return bytes.len(),
            Some(lf) => end += lf + 1,
        }
        if !matches!(bytes.get(end), Some(b' ' | b'\t')) {
            return end;
        }
    }
}

fn field(whole: &[u8]) -> Option<Field<'_>> {
    if whole.len() > MAX_FIELD {
        return None;
    }
    let name_len = name_len(whole)?;
    let colon = name_len + whole[name_len..].iter().position(|&b| b == b':')?;
    let mut value = &whole[colon + 1..];
    value = value.strip_suffix(b"\n").unwrap_or(value);
    value = value.strip_suffix(b"\r").unwrap_or(value);
    Some(Field { name: &whole[..name_len], value })
}

/// Reports whether a line begins a header field: a name of the bytes 33–126 except the colon. Blanks may precede the
/// colon (RFC 5322 §3.6.8, §4.5).
pub(crate) fn is_field_line(line: &[u8]) -> bool {
    name_len(line).is_some()
}

/// Returns the name of the field that this line begins.
pub(crate) fn field_name(line: &[u8]) -> Option<&[u8]> {
    name_len(line).map(|len| &line[..len])
}

fn name_len(line: &[u8]) -> Option<usize> {
    let line = &line[..line.len().min(MAX_NAME)];
    let len = line.iter().position(|&b| b == b':' || !(33..=126).contains(&b))?;
    let after = line[len..].iter().find(|&&b| b != b' ' && b != b'\t');
    (len > 0 && after == Some(&b':')).then_some(len)
}

/// Returns the value on one line, unfolded (RFC 5322 §2.2.3) and trimmed.
pub(crate) fn unfold(value: &[u8]) -> Vec<u8> {
    if memchr::memchr2(b'\n', b'\r', value).is_none() {
        return value.trim_ascii().to_vec();
    }
    let mut flat = Vec::with_capacity(value.len());
    flat.extend(value.iter().filter(|&&b| b != b'\n' && b != b'\r'));
    flat.trim_ascii().to_vec()
}

/// Returns the text of a field for display: unfolded, with encoded words decoded (RFC 2047).
pub(crate) fn decode_text(value: &[u8]) -> String {
    let value = &unfold(value)[..];
    plain_text(value).unwrap_or_else(|| encoded_word::decode(value))
}

/// Returns printable ASCII without encoded words unchanged. Nearly every field is, and this is a hundred times
/// faster.
fn plain_text(value: &[u8]) -> Option<String> {
    let is_printable = value.iter().all(|b| (b' '..=b'~').contains(b));
    let is_plain = is_printable && memchr::memmem::find(value, b"=?").is_none();
    std::str::from_utf8(value).ok().filter(|_| is_plain).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use crate::mailbox::message::header::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_empty_line_ends_the_header_whatever_the_line_ends() {
        for (message, header, body) in [
            (&b"A: 1\n\nbody\n"[..], &b"A: 1\n"[..], &b"body\n"[..]),
            (b"A: 1\r\n\r\nbody\r\n", b"A: 1\r\n", b"body\r\n"),
            (b"A: 1\r\n\nbody", b"A: 1\r\n", b"body"),
            (b"\nbody only\n", b"", b"body only\n"),
            (b"\n\nblank first\n", b"", b"\nblank first\n"),
        ] {
            let split = split(message);
            assert_eq!((split.header, split.body, split.closed), (header, body, true));
        }
        assert!(!split(b"A: 1\nSubj").closed);
    }

    #[test]
    fn fields_keep_their_bytes_and_other_lines_are_skipped() {
        let header = b"Subject : one\n two\n>From a@b Mon\nStatus:RO\r\nno field\n  continued\nX:\n";
        let got: Vec<_> = fields(header).map(|f| (f.name, f.value)).collect();
        let want: [(&[u8], &[u8]); 3] = [(b"Subject", b" one\n two"), (b"Status", b"RO"), (b"X", b"")];
        assert_eq!(got, want);
    }

    #[test]
    fn a_line_of_prose_is_no_field() {
        assert!(is_field_line(b"Subject: x") && is_field_line(b"X-A\t : y"));
        assert!(
            !is_field_line(b"see here: there") && !is_field_line(b": x") && !is_field_line(b"caf\xe9: x")
        );
        assert!(!is_field_line(b"NoColon\n"));
    }

    proptest! {
        #[test]
        fn any_bytes_split_into_slices_that_cover_them(message: Vec<u8>) {
            crate::promises::header(&message);
        }

        #[test]
        fn plain_text_is_decoded_as_itself(value in "[ -~]{1,40}|([a-z=?]{1,4}[ ]{0,3}){1,6}") {
            if let Some(plain) = plain_text(value.as_bytes()) {
                prop_assert_eq!(plain, encoded_word::decode(value.as_bytes()));
            }
        }

        #[test]
        fn any_fields_too(message in "([A-Za-z:> =?]{0,12}[\\r\\n\\t ]{0,2}){0,20}") {
            crate::promises::header(message.as_bytes());
        }
    }
}
