//! The parts of a message (RFC 2045, 2046), as far as a report needs them, in damaged mail too.
//!
//! A part is a slice of the message. A message inside the message is a part, and is not opened.

use std::borrow::Cow;

use crate::mailbox::message::{charset, header};

/// Deeper parts are not separated. Each level reads all of its bytes once.
const MAX_DEPTH: usize = 8;
/// More parts than this are not separated.
const MAX_PARTS: usize = 1_000;

/// A part without parts of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) header: &'a [u8],
    /// Still encoded.
    pub(super) body: &'a [u8],
}

/// The parts of a message in order.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) leaves: Vec<Part<'a>>,
    /// The message itself is a `multipart/report`.
    pub(super) is_report: bool,
}

impl<'a> Parts<'a> {
    /// Separates the parts of a message with LF line ends.
    pub(super) fn of(message: &'a [u8]) -> Parts<'a> {
        let mut parts = Parts { leaves: Vec::new(), is_report: false };
        let split = header::split(message);
        parts.add(Part { header: split.header, body: split.body }, 0);
        parts
    }

    /// Separates the parts of a message that does not say that it has any. None if it seems to have none of its own: a
    /// returned message has its boundary after the field that names it.
    pub(super) fn guess(message: &'a [u8]) -> Option<Parts<'a>> {
        let split = header::split(message);
        let part = Part { header: split.header, body: split.body };
        let boundary = guess_boundary(part.body).filter(|_| part.content_type().is_missing())?;
        let first = memchr::memmem::find(part.body, boundary)?;
        let is_own = part.body[..first].ends_with(b"--")
            && matches!(part.body[..first - 2].last(), None | Some(b'\n'));
        let sections = sections(part.body, boundary).filter(|_| is_own)?;
        let mut parts = Parts { leaves: Vec::new(), is_report: false };
        sections.into_iter().for_each(|section| parts.add(Part::parse(section), 1));
        Some(parts)
    }

    fn add(&mut self, part: Part<'a>, depth: usize) {
        let content_type = part.content_type();
        let is_multipart = content_type.is("multipart/");
        self.is_report |= depth == 0 && content_type.is("multipart/report");
        if depth < MAX_DEPTH && is_multipart {
            let sections = content_type
                .parameter("boundary")
                .filter(|boundary| !boundary.is_empty())
                .and_then(|boundary| sections(part.body, boundary))
                // The header may name another boundary, or none.
                .or_else(|| sections(part.body, guess_boundary(part.body)?));
            if let Some(sections) = sections {
                for section in sections {
                    self.add(Part::parse(section), depth + 1);
                }
                return;
            }
        }
        if self.leaves.len() < MAX_PARTS {
            self.leaves.push(part);
        }
    }

    /// Returns the first part of one of these types, each a lower-case prefix.
    pub(super) fn find(&self, types: &[&str]) -> Option<Part<'a>> {
        self.leaves.iter().copied().find(|part| {
            let content_type = part.content_type();
            types.iter().any(|name| content_type.is(name))
        })
    }
}

/// Divides a body at the lines of a boundary. None if there is none.
fn sections<'a>(body: &'a [u8], boundary: &[u8]) -> Option<Vec<&'a [u8]>> {
    let mut sections = Vec::new();
    let (mut start, mut at, mut is_preamble) = (0, 0, true);
    // Set after the last boundary, until another one follows.
    let mut is_closed = false;
    while at < body.len() {
        let end = memchr::memchr(b'\n', &body[at..]).map_or(body.len(), |lf| at + lf + 1);
        if let Some(closes) = delimiter(&body[at..end], boundary) {
            if !is_closed && !is_preamble {
                sections.push(&body[start..at]);
            }
            (start, is_preamble, is_closed) = (end, false, closes);
        }
        at = end;
    }
    // The end may be missing.
    if !is_closed && !is_preamble {
        sections.push(&body[start..]);
    }
    (!is_preamble).then_some(sections)
}

/// Reports whether a line is a delimiter, and whether it is the last one.
fn delimiter(line: &[u8], boundary: &[u8]) -> Option<bool> {
    match line.strip_prefix(b"--")?.strip_prefix(boundary)?.trim_ascii_end() {
        b"" => Some(false),
        b"--" => Some(true),
        _ => None,
    }
}

/// Returns what looks like the boundary of a body whose header does not name it: a line that begins with `--`, directly
/// before a Content-Type.
fn guess_boundary(body: &[u8]) -> Option<&[u8]> {
    let lines: Vec<&[u8]> = body.split(|&byte| byte == b'\n').take(10_000).collect();
    let is_type =
        |line: &[u8]| line.get(..13).is_some_and(|name| name.eq_ignore_ascii_case(b"content-type:"));
    let before = lines.windows(2).find(|pair| pair[0].starts_with(b"--") && is_type(pair[1]))?;
    Some(before[0][2..].trim_ascii_end()).filter(|boundary| boundary.len() > 2)
}

impl<'a> Part<'a> {
    /// Parses a section. One without a header is text.
    fn parse(section: &'a [u8]) -> Part<'a> {
        let first = section.split(|&byte| byte == b'\n').next().unwrap_or_default();
        if !first.is_empty() && !header::is_field_line(first) {
            return Part { header: b"", body: section };
        }
        let split = header::split(section);
        let part = Part { header: split.header, body: split.body };
        match split.closed {
            true => part,
            // The empty line is missing. The fields of the part itself have names of MIME.
            false => {
                let mut length = 0;
                for (line, field) in header::logical_lines(section) {
                    let is_mime = |name: &[u8]| {
                        name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-"))
                    };
                    if !field.is_some_and(|field| is_mime(field.name)) {
                        break;
                    }
                    length += line.len();
                }
                Part { header: &section[..length], body: &section[length..] }
            }
        }
    }

    /// Returns the unfolded value of the first field of this name.
    pub(super) fn field(&self, name: &str) -> Option<Vec<u8>> {
        header::fields(self.header).find(|field| field.is(name)).map(|field| header::unfold(field.value))
    }

    pub(super) fn content_type(&self) -> ContentType {
        ContentType::parse(&self.field("Content-Type").unwrap_or_default())
    }

    /// Returns the body without its transfer encoding.
    pub(super) fn decoded_body(&self) -> Cow<'a, [u8]> {
        let encoding = self.field("Content-Transfer-Encoding").unwrap_or_default();
        match &encoding.to_ascii_lowercase()[..] {
            b"base64" => Cow::Owned(without_cr(decode_base64(self.body))),
            b"quoted-printable" => Cow::Owned(without_cr(decode_quoted_printable(self.body))),
            _ => Cow::Borrowed(self.body),
        }
    }

    /// Returns the body as text. An unknown charset is read as UTF-8, as far as it is that.
    pub(super) fn text(&self) -> String {
        let body = self.decoded_body();
        let content_type = self.content_type();
        let named = content_type.parameter("charset").and_then(|charset| charset::decode(charset, &body));
        match named {
            Some(decoded) => decoded.text,
            None => String::from_utf8_lossy(&body).into_owned(),
        }
    }
}

/// A Content-Type.
#[derive(Debug)]
pub(super) struct ContentType {
    /// `type/subtype` in lower case.
    name: Vec<u8>,
    /// Names are in lower case.
    parameters: Vec<(Vec<u8>, Vec<u8>)>,
}

impl ContentType {
    fn parse(value: &[u8]) -> ContentType {
        let end = value.iter().position(|&b| b == b';').unwrap_or(value.len());
        let name = value[..end].trim_ascii().to_ascii_lowercase();
        let mut parameters: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut rest = &value[end..];
        while let Some((name, value)) = next_parameter(&mut rest) {
            // RFC 2231 cuts a long value: `boundary*0="a"; boundary*1="b"`.
            let whole = name.split(|&b| b == b'*').next().unwrap_or_default();
            match parameters.last_mut() {
                Some(last) if last.0 == whole && whole.len() < name.len() => last.1.extend_from_slice(&value),
                _ => parameters.push((whole.to_vec(), value)),
            }
        }
        ContentType { name, parameters }
    }

    /// Compares a prefix of the name, which must be in lower case.
    pub(super) fn is(&self, prefix: &str) -> bool {
        self.name.starts_with(prefix.as_bytes())
    }

    pub(super) fn is_missing(&self) -> bool {
        self.name.is_empty()
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&[u8]> {
        self.parameters.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, value)| &value[..])
    }
}

/// Splits off `; name=value`.
fn next_parameter(rest: &mut &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let text = rest.trim_ascii_start();
    let text = &text[text.iter().position(|&b| b != b';' && !b.is_ascii_whitespace())?..];
    let equals = memchr::memchr(b'=', text)?;
    let name = text[..equals].trim_ascii().to_ascii_lowercase();
    let text = text[equals + 1..].trim_ascii_start();
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|&b| b == b';' || b.is_ascii_whitespace()).unwrap_or(text.len());
        *rest = &text[end..];
        return Some((name, text[..end].to_vec()));
    };
    let (mut value, mut bytes) = (Vec::new(), quoted.iter());
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => value.extend(bytes.next()),
            byte => value.push(byte),
        }
    }
    *rest = bytes.as_slice();
    Some((name, value))
}

/// Decodes base64, and skips what is none.
pub(super) fn decode_base64(text: &[u8]) -> Vec<u8> {
    let letters = |line: &[u8]| -> Vec<u8> {
        line.iter().copied().filter(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/')).collect()
    };
    // Padding ends a text, and another one may follow.
    text.split(|&b| b == b'=').flat_map(|piece| charset::base64_prefix(&letters(piece))).collect()
}

/// Decodes quoted-printable. An invalid `=` is itself.
fn decode_quoted_printable(text: &[u8]) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some(at) = memchr::memchr(b'=', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        // Blanks may have been added after the `=` that joins two lines.
        let blanks = rest.iter().take(80).take_while(|&&b| b == b' ' || b == b'\t').count();
        match (rest, rest.get(blanks)) {
            (_, Some(b'\n')) => rest = &rest[blanks + 1..],
            ([high, low, ..], _) if digit(*high).is_some() && digit(*low).is_some() => {
                out.push(digit(*high).unwrap_or_default() << 4 | digit(*low).unwrap_or_default());
                rest = &rest[2..];
            }
            _ => out.push(b'='),
        }
    }
    out.extend_from_slice(rest);
    out
}

/// Turns CRLF into LF.
pub(super) fn without_cr(mut text: Vec<u8>) -> Vec<u8> {
    let mut kept = 0;
    for at in 0..text.len() {
        if text[at] != b'\r' || text.get(at + 1) != Some(&b'\n') {
            text[kept] = text[at];
            kept += 1;
        }
    }
    text.truncate(kept);
    text
}
