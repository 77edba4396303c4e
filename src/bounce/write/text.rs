//! Texts from the outside, in a form that cannot add a line, a field or a paragraph.

use crate::transport::envelope;

/// The longest address. Quoted, and with the name of its field, it fits in a line of 998 bytes (RFC 5322 §2.1.1).
const MAX_ADDRESS: usize = 450;
/// The longest word. Longer ones are divided, so that every line can be folded.
const MAX_WORD: usize = 450;
/// The width of a text for users, and of folded fields.
pub(super) const WIDTH: usize = 78;
/// The width of a text for programs, in bytes.
pub(super) const MAX_LINE: usize = 900;

/// Why a message failed: one line or several, of words with single blanks between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reason(Vec<String>);

impl Reason {
    /// Takes any text. Line ends stay, empty lines do not. Control characters become blanks, and bytes that are not
    /// UTF-8 become U+FFFD. Returns `None` if nothing is left.
    pub(crate) fn new(text: &[u8]) -> Option<Reason> {
        let text = String::from_utf8_lossy(text).replace("\r\n", "\n");
        let lines: Vec<String> = text.split(['\n', '\r']).map(tidy_line).filter(|l| !l.is_empty()).collect();
        (!lines.is_empty()).then_some(Reason(lines))
    }

    pub(crate) fn lines(&self) -> &[String] {
        &self.0
    }

    /// Returns the whole text on one line.
    pub(crate) fn line(&self) -> String {
        self.0.join(" ")
    }

    /// Reports whether this is the reply of an SMTP server: it begins with a code of failure.
    pub(crate) fn is_smtp_reply(&self) -> bool {
        match self.0[0].as_bytes() {
            [b'4' | b'5', b'0'..=b'5', b'0'..=b'9', rest @ ..] => matches!(rest, [] | [b' ' | b'-', ..]),
            _ => false,
        }
    }
}

fn tidy_line(line: &str) -> String {
    let line = line.replace(char::is_control, " ");
    let words = line.split_whitespace().flat_map(divide);
    words.collect::<Vec<_>>().join(" ")
}

/// Divides a word that is too long for a line.
fn divide(mut word: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    while word.len() > MAX_WORD {
        let end = (0..=MAX_WORD).rev().find(|&at| word.is_char_boundary(at)).unwrap_or(MAX_WORD);
        let (part, rest) = word.split_at(end);
        parts.push(part);
        word = rest;
    }
    parts.push(word);
    parts
}

/// Checks an address that may be quoted or in angle brackets, and returns it raw.
pub(crate) fn parse_recipient(address: &[u8]) -> Result<String, String> {
    let address = envelope::unquote(address);
    let text = String::from_utf8(address).ok().filter(|text| is_address(text));
    text.ok_or_else(|| "an address in UTF-8 of at most 450 bytes, without control characters".to_owned())
}

/// Reports whether this is a raw address that fits in a line. Its local part may have any characters but controls.
pub(super) fn is_address(text: &str) -> bool {
    let domain = text.rsplit_once('@').map_or("", |(_, domain)| domain);
    let is_part = |c: char| is_host_part(c) || !c.is_ascii() && !c.is_whitespace();
    let is_trimmed = !text.is_empty() && text.trim().len() == text.len();
    let is_line = text.len() <= MAX_ADDRESS && !text.contains(char::is_control);
    is_trimmed && is_line && domain.chars().all(is_part)
}

/// Checks the name of a host, or its address in brackets.
pub(crate) fn parse_remote_mta(name: &str) -> Result<String, String> {
    match is_host(name) {
        true => Ok(name.to_owned()),
        false => Err("the name of a host, such as mx.example.org or [192.0.2.1]".into()),
    }
}

/// Reports whether this can be the name of a host.
pub(super) fn is_host(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.chars().all(is_host_part)
}

fn is_host_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._:[]".contains(c)
}

/// Formats a date as RFC 5322 §3.3 has it, in UTC.
pub(super) fn date(epoch: i64) -> String {
    let time = jiff::Timestamp::from_second(epoch).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// Returns a field, folded at blanks. Unfolded it is the same text.
pub(super) fn field(name: &str, value: &str) -> String {
    let mut field = format!("{name}:");
    let mut width = field.len();
    for word in value.split(' ') {
        if width + 1 + word.len() > WIDTH && width > name.len() + 1 {
            field.push('\n');
            width = 0;
        }
        field.push(' ');
        field += word;
        width += 1 + word.len();
    }
    field.push('\n');
    field
}

/// Wraps a line of words. A word that is longer than the width gets a line of its own.
pub(super) fn wrap(line: &str, max_width: usize) -> String {
    let mut text = String::new();
    let mut width = 0;
    for word in line.split(' ') {
        if width > 0 && width + 1 + word.len() > max_width {
            text.push('\n');
            width = 0;
        } else if width > 0 {
            text.push(' ');
            width += 1;
        }
        text += word;
        width += word.len();
    }
    text
}
