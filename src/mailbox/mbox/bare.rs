//! Files with one message and no separator: where the message begins, and whether a file is one.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::lines::{BOM, begins_from_line, line_end};
use crate::mailbox::message::header;
use crate::mailbox::source::format::is_binary;

/// Fields that only mail has. A file that begins with one of them is a message.
const MAIL_FIELDS: [&str; 13] = [
    "From",
    "Received",
    "Return-Path",
    "Message-ID",
    "Date",
    "Subject",
    "To",
    "Cc",
    "Delivered-To",
    "MIME-Version",
    "Content-Type",
    "Reply-To",
    "Newsgroups",
];
/// Fields of which any two together make a header of mail, wherever they are.
const PRINCIPAL_FIELDS: [&str; 7] =
    ["Received", "From", "Subject", "Date", "Message-ID", "Return-Path", "To"];

/// The most lines and bytes of text above a header that some program wrote there.
const BANNER_LINES: usize = 10;
const BANNER_BYTES: usize = 2 << 10;
/// How far into a text a header is looked for. In binary data it is looked for in all that is there.
const NEAR_START: usize = 8 << 10;
/// The most bytes of a header that are read to recognize it.
const HEADER_BYTES: usize = 16 << 10;

/// The place of the message in a file with one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BareMessage {
    /// The end of what precedes the message: blank lines, a byte order mark, and what is above a blank line.
    pub at: usize,
    /// The end of the From_ lines above its header.
    pub start: usize,
}

/// Finds the message in a file with one message. It begins after the last blank line above its header, and after
/// the From_ lines there. Text without a header is a message from its first byte on.
pub(crate) fn locate(text: &[u8]) -> BareMessage {
    let Some(header) = find_header(text) else { return BareMessage { at: 0, start: 0 } };
    let mut at = if text.starts_with(BOM) { BOM.len() } else { 0 };
    let mut next = at;
    while next < header {
        let end = line_end(text, next);
        if is_blank(&text[next..end]) {
            at = end;
        }
        next = end;
    }
    let mut start = at;
    while begins_from_line(&text[start..]) {
        start = line_end(text, start);
    }
    BareMessage { at, start }
}

/// The extensions of a message that was exported or compressed.
const EXTENSIONS: [&[u8]; 7] = [b"eml", b"msg", b"gz", b"bz2", b"xz", b"zst", b"lzma"];

/// Reports whether MH removed the message: rmm(1) puts a comma before its number, and older versions a `#`. Programs
/// that compress old mail or give it an extension keep that name.
pub(crate) fn is_removed(path: &Path) -> bool {
    let name = path.file_name().map_or(&b""[..], OsStr::as_bytes);
    let [b',' | b'#', rest @ ..] = name else { return false };
    let mut parts = rest.split(|&b| b == b'.');
    let number = parts.next().unwrap_or_default();
    let is_extension = |part: &[u8]| EXTENSIONS.iter().any(|extension| part.eq_ignore_ascii_case(extension));
    !number.is_empty() && number.iter().all(u8::is_ascii_digit) && parts.all(is_extension)
}

/// Finds the header of a file with one message: at its start, or below blank lines, From_ lines, and a banner of a few
/// lines, as mail programs write them at the top of an export.
fn find_header(text: &[u8]) -> Option<usize> {
    let mut at = if text.starts_with(BOM) { BOM.len() } else { 0 };
    let mut banner: Option<&[u8]> = None;
    let mut lines = 0;
    while at < text.len().min(BANNER_BYTES) {
        let end = line_end(text, at);
        let line = &text[at..end];
        if header::is_field_line(line) {
            let is_header = match banner {
                None => begins_with_mail_field(&text[at..]),
                Some(_) => principal_fields(&text[at..]) > 1,
            };
            if is_header {
                let is_store = banner.is_some_and(|banner| recurs(banner, &text[end..]));
                return (!is_store).then_some(at);
            }
        }
        if !is_blank(line) && !begins_from_line(line) && !line.starts_with(b">From ") {
            lines += 1;
            // A script or a web page may have an example of a header.
            let is_code = line.starts_with(b"#!/") || line.starts_with(b"<");
            if lines > BANNER_LINES || is_binary(line) || is_length(line) || is_code {
                return None;
            }
            banner = Some(line);
        }
        at = end;
    }
    None
}

/// Reports whether the text is one message: its header is at the start, or below a banner.
pub(crate) fn looks_like_message(text: &[u8]) -> bool {
    find_header(text).is_some()
}

/// Reports whether a header of mail is near the start of a file, after binary data or text of another kind.
pub(crate) fn has_buried_header(head: &[u8]) -> bool {
    let is_text = !is_binary(&head[..head.len().min(NEAR_START)]);
    let searched = if is_text { &head[..head.len().min(NEAR_START)] } else { head };
    let starts_line = |at: usize| at == 0 || !matches!(searched[at - 1], b'\t' | 32..=126);
    let is_initial = |b: u8| b"RFSDMTrfsdmt".contains(&b);
    let begins = |&at: &usize| is_initial(searched[at]) && starts_line(at);
    (0..searched.len()).filter(begins).any(|at| principal_fields(&head[at..]) > 1)
}

/// Reports whether a header begins with this line and has a field of mail. Many files begin with a word and a colon.
fn begins_with_mail_field(text: &[u8]) -> bool {
    header::fields(header_of(text)).any(|field| MAIL_FIELDS.iter().any(|name| field.is(name)))
}

/// Counts the principal fields in the block of fields at the start of the text.
fn principal_fields(text: &[u8]) -> usize {
    if !header::is_field_line(text) {
        return 0;
    }
    let mut found = [false; PRINCIPAL_FIELDS.len()];
    for (_, field) in header::logical_lines(header_of(text)) {
        let Some(field) = field else { break };
        if let Some(n) = PRINCIPAL_FIELDS.iter().position(|name| field.is(name)) {
            found[n] = true;
        }
    }
    found.iter().filter(|&&is_found| is_found).count()
}

fn header_of(text: &[u8]) -> &[u8] {
    header::split(&text[..text.len().min(HEADER_BYTES)]).header
}

fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

/// Reports whether a line is only a number, as above a message of Apple Mail (emlx).
pub(crate) fn is_length(line: &[u8]) -> bool {
    let digits = line.trim_ascii();
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// Reports whether a line of the same shape as the banner is above another header: then it is the separator of a store
/// with several messages.
fn recurs(banner: &[u8], text: &[u8]) -> bool {
    let (shape, mut at) = (shape(banner), 0);
    while at < text.len() {
        let end = line_end(text, at);
        let line = &text[at..end];
        if !is_blank(line) && line[0] == banner[0] && self::shape(line) == shape {
            let below = text[end..].trim_ascii_start();
            if principal_fields(below) > 1 {
                return true;
            }
        }
        at = end;
    }
    false
}

/// Returns a line with its numbers and words reduced to one character each.
fn shape(line: &[u8]) -> Vec<u8> {
    let class = |&b: &u8| match b {
        b'0'..=b'9' => b'0',
        b if b.is_ascii_alphabetic() => b'a',
        b => b,
    };
    let mut shape: Vec<u8> = line.trim_ascii().iter().map(class).collect();
    shape.dedup_by(|b, before| b == before && matches!(b, b'0' | b'a'));
    shape
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_begins_after_the_last_blank_line_above_its_header() {
        let header = "Received: from a by b\r\nFrom: a@b\nSubject: x\n\ny\n";
        for (lead, at, start) in [
            ("", 0, 0),
            ("\n \t\r\n", 5, 5),
            ("\u{feff}", 3, 3),
            ("\u{feff}\n", 4, 4),
            ("Microsoft Mail Internet Headers Version 2.0\r\n", 0, 0),
            ("Re\n", 0, 0),
            ("A banner\nof two lines.\n\n", 24, 24),
            ("\n\nRe\n", 2, 2),
            (">From a@b Mon Jan  1 10:00:05 2001\n", 0, 0),
            ("From a@b Mon Jan  1 10:00:05 2001\n", 0, 34),
            ("\nFrom a@b\nFrom a@b Mon Jan  1 10:00:05 2001\n>From c\n", 1, 44),
        ] {
            let text = format!("{lead}{header}");
            assert!(looks_like_message(text.as_bytes()), "{lead:?}");
            assert_eq!(locate(text.as_bytes()), BareMessage { at, start }, "{lead:?}");
        }
    }

    fn line() -> impl Strategy<Value = Vec<u8>> {
        let known = proptest::sample::select(&[
            "Subject: x",
            "From: a@b",
            "Received: from a by b",
            "",
            " ",
            "From a@b Mon Jan  1 10:00:05 2001",
            ">From a@b",
            "record 1",
            "Re",
            "2945",
            "\u{feff}",
            "\0\0\0\x01",
        ]);
        let line = prop_oneof![
            8 => known.prop_map(|line| line.as_bytes().to_vec()),
            1 => proptest::collection::vec(any::<u8>(), 0..600),
        ];
        (line, proptest::sample::select(&["\n", "\n", "\r\n", "\r", ""]))
            .prop_map(|(line, eol)| [&line, eol.as_bytes()].concat())
    }

    proptest! {
        #[test]
        fn one_message_is_found_in_any_bytes(lines in proptest::collection::vec(line(), 0..12)) {
            crate::promises::one_message(&lines.concat());
        }
    }

    #[test]
    fn text_is_not_a_message() {
        let example = "Subject: x\nFrom: a@b\n\ny\n";
        let record = format!("rec 1\n{example}\nrec 22\n{example}");
        for text in [
            "",
            "\n\n",
            "Once upon a time\nFrom: here\n\non",
            "unseen: 1-3\n",
            &format!("2945      \n{example}"),
            &format!("#!/usr/bin/perl\nprint <<E;\n{example}"),
            &format!("{}{example}", "A line of an essay.\n".repeat(BANNER_LINES + 1)),
            &format!("\0\x01\x02\x03\n{example}"),
            &record,
        ] {
            assert!(!looks_like_message(text.as_bytes()), "{text:?}");
            assert_eq!(locate(text.as_bytes()), BareMessage { at: 0, start: 0 });
        }
    }

    #[test]
    fn a_header_is_found_in_binary_data_and_near_the_start_of_a_text() {
        let example = "Subject: x\nFrom: a@b\n\ny\n";
        for (before, want) in [
            ("\0\0\0\0\x01\x02", true),
            (&"\0\x01".repeat(NEAR_START), true),
            ("Hello\nthere\n\n", true),
            (&"Hello\n".repeat(NEAR_START), false),
            ("quoted: ", false),
        ] {
            let text = format!("{before}{example}");
            assert_eq!(has_buried_header(text.as_bytes()), want, "{:?}", &before[..before.len().min(20)]);
        }
    }
}
