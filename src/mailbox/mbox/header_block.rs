//! Header blocks: the evidence that lines after a From_ line are the header of a message.

use super::lines::{begins_from_line, line_end};
use crate::mailbox::message::header;

/// Fields that every writer of mail uses, and few other texts.
const MAIL_FIELDS: [&str; 9] =
    ["From", "To", "Subject", "Date", "Received", "Return-Path", "Message-ID", "Status", "X-Mozilla-Status"];
/// Fields that identify a message together. One of them can be the first word of a sentence.
const IDENTIFYING_FIELDS: [&str; 6] = ["From", "To", "Subject", "Date", "Received", "Message-ID"];

/// The lines at the start of a text that can be a header: fields and continuation lines, and `>From ` lines of UUCP.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HeaderBlock {
    /// The length of the lines.
    pub len: usize,
    /// An empty line or the end of the file follows, and there is a field of mail.
    pub is_header: bool,
}

/// Reads the block at the start of `text`. It is short in prose, since it ends at the first line that is not a field.
pub(super) fn read(text: &[u8]) -> HeaderBlock {
    let (mut len, mut has_mail_field) = (0, false);
    let mut ends = text.is_empty();
    while len < text.len() {
        let rest = &text[len..];
        let continues = len > 0 && matches!(rest[0], b' ' | b'\t');
        if matches!(rest, [b'\n', ..] | [b'\r', b'\n', ..]) {
            ends = true;
            break;
        }
        if !continues && !rest.starts_with(b">From ") {
            if begins_from_line(rest) {
                break;
            }
            let Some(name) = header::field_name(rest) else { break };
            has_mail_field |= is_one_of(name, &MAIL_FIELDS);
        }
        len = line_end(text, len);
        ends = len == text.len();
    }
    HeaderBlock { len, is_header: ends && has_mail_field }
}

/// Reports whether a line is a field of mail, of MIME or of a program, and not a sentence with a colon.
pub(super) fn is_mail_field(line: &[u8]) -> bool {
    let of_program = |name: &[u8]| {
        let prefix = &name[..name.len().min(8)];
        prefix.eq_ignore_ascii_case(b"Content-") || name.starts_with(b"X-") || name.starts_with(b"x-")
    };
    header::field_name(line).is_some_and(|name| is_one_of(name, &MAIL_FIELDS) || of_program(name))
}

/// Reports whether `text` contains lines like a header: two of the fields that identify a message.
pub(super) fn contains_message(text: &[u8]) -> bool {
    let mut seen = [false; IDENTIFYING_FIELDS.len()];
    let mut at = 0;
    while at < text.len() {
        let line = &text[at..];
        if let Some(name) = header::field_name(line) {
            if let Some(n) =
                IDENTIFYING_FIELDS.iter().position(|field| name.eq_ignore_ascii_case(field.as_bytes()))
            {
                seen[n] = true;
                if seen.iter().filter(|&&seen| seen).count() >= 2 {
                    return true;
                }
            }
        } else if !matches!(line[0], b' ' | b'\t') {
            seen = Default::default();
        }
        at = line_end(text, at);
    }
    false
}

fn is_one_of(name: &[u8], fields: &[&str]) -> bool {
    fields.iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_header(text: &str) -> bool {
        read(text.as_bytes()).is_header
    }

    #[test]
    fn a_header_block_is_fields_up_to_an_empty_line_with_a_field_of_mail() {
        for text in [
            "Subject: x\n\nbody\n",
            "X-A: 1\r\n folded\r\nsubject : x\r\n\r\nbody",
            ">From uucp\nTo: x\n\n",
            "From : a@b\nX: y\n\n",
            "Status: RO\n",
            "Date: x",
        ] {
            assert!(is_header(text), "{text:?}");
        }
        for text in [
            "",
            "\nSubject: x\n\n",
            "X-A: 1\n\n",
            "http://example.org/\n\n",
            "Subject: x\nand more text\n\n",
            "Subject: x\nFrom a@b\n\n",
            " Subject: x\n\n",
        ] {
            assert!(!is_header(text), "{text:?}");
        }
        assert_eq!(read(b"A: 1\nB: 2\ntext\nTo: x\n\n").len, 10);
    }

    #[test]
    fn two_fields_in_a_row_look_like_a_message() {
        assert!(contains_message(b"banner\n\nFrom: a\n b\nX: y\nSubject: x\n\ntext\n"));
        assert!(contains_message(b"Date: x\r\nTo: y"));
        for text in ["From: a\n\nSubject: x\n", "Subject: x\nSubject: y\n", "Note: x\nTo: y\n", "text\n"] {
            assert!(!contains_message(text.as_bytes()), "{text:?}");
        }
    }
}
