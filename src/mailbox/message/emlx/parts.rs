//! The parts that a message of Apple Mail lacks. The header of each has `X-Apple-Content-Length`, and its body is empty:
//! the program keeps the decoded bytes in a file of their own.

use std::ops::Range;

use memchr::memmem;

use crate::mailbox::message::header;

/// The field with the length of a part that is kept elsewhere.
const LENGTH_FIELD: &str = "X-Apple-Content-Length";

/// Deeper parts have no number that a mail program shows.
const DEEPEST: usize = 100;

/// A part whose body is not in the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MissingPart {
    /// The number as in IMAP, such as `2.4`.
    pub number: String,
    /// The name of the file in its header.
    pub name: Option<String>,
    pub encoding: PartEncoding,
    /// The length of the encoded body, without a final newline.
    pub length: Option<u64>,
    /// The field with the length, which the message did not have when it was received.
    pub field: Range<usize>,
    /// The place of the body.
    pub body: usize,
}

/// The Content-Transfer-Encoding of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartEncoding {
    Base64,
    QuotedPrintable,
    /// 7bit, 8bit or binary.
    Identity,
}

/// A multipart whose end has not come yet.
#[derive(Debug)]
struct OpenMultipart {
    /// `--` and its boundary.
    delimiter: Vec<u8>,
    /// The number, with a dot, unless it is the whole message.
    prefix: String,
    /// The number of its last part.
    parts: u32,
}

/// Finds the parts that a message lacks, in their order.
pub(crate) fn missing_parts(message: &[u8]) -> Vec<MissingPart> {
    let mut walk = PartWalk { message, open: Vec::new(), missing: Vec::new() };
    let mut at = walk.header(0, String::new());
    while at < message.len() {
        let end = memchr::memchr(b'\n', &message[at..]).map_or(message.len(), |lf| at + lf + 1);
        at = walk.line(at, end);
    }
    walk.missing
}

struct PartWalk<'a> {
    message: &'a [u8],
    open: Vec<OpenMultipart>,
    missing: Vec<MissingPart>,
}

impl PartWalk<'_> {
    /// Reads a line of a body, and the header after it if it begins a part. Returns the end of what was read.
    fn line(&mut self, at: usize, end: usize) -> usize {
        let line = self.message[at..end].trim_ascii_end();
        if !line.starts_with(b"--") {
            return end;
        }
        // A line may end an outer multipart whose inner one was never closed.
        let Some(n) = self.open.iter().rposition(|open| line.starts_with(&open.delimiter)) else {
            return end;
        };
        match &line[self.open[n].delimiter.len()..] {
            b"" => {
                self.open.truncate(n + 1);
                let open = &mut self.open[n];
                open.parts += 1;
                let number = format!("{}{}", open.prefix, open.parts);
                self.header(end, number)
            }
            b"--" => {
                self.open.truncate(n);
                end
            }
            _ => end,
        }
    }

    /// Reads the header of a part, and returns the place of its body.
    fn header(&mut self, mut at: usize, mut number: String) -> usize {
        let mut levels = 0;
        while let Some(body) = self.attached(at).filter(|_| !number.is_empty() && levels < DEEPEST) {
            at = body;
            levels += 1;
        }
        if levels > 0 && !self.is_multipart(at) {
            number += ".1";
        }
        self.leaf_or_multipart(at, number)
    }

    /// Returns the place of the message in a part that has an attached one.
    fn attached(&self, at: usize) -> Option<usize> {
        let split = header::split(&self.message[at..]);
        let is_message = header::fields(split.header)
            .any(|field| field.is("Content-Type") && begins(field.value, b"message/rfc822"));
        let is_here = !header::fields(split.header).any(|field| field.is(LENGTH_FIELD));
        (is_message && is_here).then(|| at + split.body_at(&self.message[at..]))
    }

    fn is_multipart(&self, at: usize) -> bool {
        let header = header::split(&self.message[at..]).header;
        header::fields(header).any(|field| field.is("Content-Type") && begins(field.value, b"multipart/"))
    }

    fn leaf_or_multipart(&mut self, at: usize, number: String) -> usize {
        let split = header::split(&self.message[at..]);
        let body = at + split.body_at(&self.message[at..]);
        let (mut encoding, mut content_type, mut disposition) = (PartEncoding::Identity, None, None);
        let mut length = None;
        for field in header::fields(split.header) {
            if field.is("Content-Transfer-Encoding") {
                encoding = PartEncoding::parse(field.value);
            } else if field.is("Content-Type") {
                content_type = Some(header::unfold(field.value));
            } else if field.is("Content-Disposition") {
                disposition = Some(header::unfold(field.value));
            } else if field.is(LENGTH_FIELD) {
                length =
                    Some(std::str::from_utf8(field.value.trim_ascii()).ok().and_then(|n| n.parse().ok()));
            }
        }
        let content_type = content_type.unwrap_or_default();
        let is_multipart = begins(&content_type, b"multipart/");
        if let Some(boundary) = parameter(&content_type, b"boundary").filter(|_| is_multipart) {
            if self.open.len() < DEEPEST {
                let prefix = if number.is_empty() { number } else { number + "." };
                let delimiter = [b"--", &boundary[..]].concat();
                self.open.push(OpenMultipart { delimiter, prefix, parts: 0 });
            }
            return body;
        }
        if let Some(length) = length.filter(|_| self.is_empty(body))
            && let Some(field) = field_range(split.header)
        {
            let name = disposition.as_deref().and_then(|value| parameter(value, b"filename"));
            let name = name.or_else(|| parameter(&content_type, b"name"));
            self.missing.push(MissingPart {
                number: if number.is_empty() { "1".to_owned() } else { number },
                name: name.map(|name| header::decode_text(&name)),
                encoding,
                length,
                field: at + field.start..at + field.end,
                body,
            });
        }
        body
    }

    /// Reports whether there is nothing but blanks up to the next line that begins with two dashes.
    fn is_empty(&self, body: usize) -> bool {
        let rest = self.message[body..].trim_ascii_start();
        rest.is_empty() || rest.starts_with(b"--")
    }
}

impl PartEncoding {
    fn parse(value: &[u8]) -> PartEncoding {
        let value = value.trim_ascii();
        match () {
            () if value.eq_ignore_ascii_case(b"base64") => PartEncoding::Base64,
            () if value.eq_ignore_ascii_case(b"quoted-printable") => PartEncoding::QuotedPrintable,
            () => PartEncoding::Identity,
        }
    }
}

/// Reports whether a value begins with a word, in any case.
fn begins(value: &[u8], word: &[u8]) -> bool {
    let value = value.trim_ascii_start();
    value.len() >= word.len() && value[..word.len()].eq_ignore_ascii_case(word)
}

/// Returns the place of the field with the length in a header.
fn field_range(header: &[u8]) -> Option<Range<usize>> {
    let mut at = 0;
    for (line, field) in header::logical_lines(header) {
        let end = at + line.len();
        if field.is_some_and(|field| field.is(LENGTH_FIELD)) {
            return Some(at..end);
        }
        at = end;
    }
    None
}

/// Returns a parameter of an unfolded value, without its quotes.
fn parameter(value: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let lower = value.to_ascii_lowercase();
    let starts = memmem::find_iter(&lower, name).filter(|&at| {
        let before = lower[..at].trim_ascii_end().last();
        matches!(before, Some(b';')) && lower[at + name.len()..].trim_ascii_start().starts_with(b"=")
    });
    let at = starts.into_iter().next()? + name.len();
    let text = value[at..].trim_ascii_start()[1..].trim_ascii_start();
    let mut out = Vec::new();
    if let Some(quoted) = text.strip_prefix(b"\"") {
        let mut bytes = quoted.iter();
        while let Some(&b) = bytes.next() {
            match b {
                b'"' => break,
                b'\\' => out.extend(bytes.next()),
                _ => out.push(b),
            }
        }
    } else {
        out.extend(text.iter().take_while(|&&b| b != b';' && !b.is_ascii_whitespace()));
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(message: &str) -> Vec<(String, Option<String>, Option<u64>)> {
        let parts = missing_parts(message.as_bytes());
        for part in &parts {
            assert!(message[part.field.clone()].starts_with("X-Apple-Content-Length:"), "{message}");
            assert!(
                message[part.body..].trim_start().is_empty()
                    || message[part.body..].trim_start().starts_with("--")
            );
        }
        parts.into_iter().map(|part| (part.number, part.name, part.length)).collect()
    }

    #[test]
    fn parts_have_the_numbers_of_imap() {
        let message = "Content-Type: multipart/mixed;\n\tboundary=\"out\"\n\n\
            --out\nContent-Type: multipart/alternative; boundary=in\n\n\
            --in\nContent-Type: text/plain\n\nx\n\
            --in\nContent-Transfer-Encoding: base64\nContent-Type: image/png; name=\"a b.png\"\nX-Apple-Content-Length: 12\n\n\n\
            --in--\n\
            --out\nContent-Type: message/rfc822\n\n\
            Content-Type: multipart/mixed; boundary=\"deep\"\n\n\
            --deep\nContent-Disposition: attachment;\n filename=x.pdf\nX-Apple-Content-Length: 7\n\n\n--deep--\n\
            --out\nX-Apple-Content-Length: many\n\n\n--out--\n";
        let part =
            |number: &str, name: Option<&str>, length| (number.to_owned(), name.map(str::to_owned), length);
        assert_eq!(
            numbers(message),
            [
                part("1.2", Some("a b.png"), Some(12)),
                part("2.1", Some("x.pdf"), Some(7)),
                part("3", None, None)
            ]
        );
    }

    #[test]
    fn a_part_that_has_its_body_is_not_missing() {
        assert_eq!(numbers("X-Apple-Content-Length: 3\n\nabc\n"), []);
        assert_eq!(numbers("X-Apple-Content-Length: 3\n\n"), [("1".to_owned(), None, Some(3))]);
        assert_eq!(numbers("Subject: X-Apple-Content-Length: 3\n\n"), []);
        assert_eq!(numbers("Content-Type: multipart/mixed; boundary=x\n\nno part\n"), []);
        assert_eq!(numbers(""), []);
    }

    #[test]
    fn nesting_without_end_is_no_stack_overflow() {
        let nested =
            "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: message/rfc822\n\n".repeat(5000);
        assert_eq!(numbers(&nested), []);
        let nested = format!(
            "Content-Type: multipart/mixed; boundary=x\n\n--x\n{}",
            "Content-Type: message/rfc822\n\n".repeat(100_000)
        );
        assert_eq!(numbers(&nested), []);
    }
}
