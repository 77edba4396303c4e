//! The header of the original message, and the new message around its body.

use std::borrow::Cow;
use std::path::Path;

use bstr::ByteSlice;

use super::InjectError;
use crate::mailbox::message::header;
use crate::transport::{MessageSpool, SpooledMessage};

/// A field with its continuation lines, each of which ends in LF.
#[derive(Debug)]
pub(super) struct RawField<'a> {
    pub(super) text: Cow<'a, [u8]>,
    /// The first line, counted from 1.
    pub(super) line: u64,
    /// The offset in the message.
    pub(super) at: u64,
    /// Set if the lines ended in CRLF.
    pub(super) had_crs: bool,
}

/// The end of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeaderEnd {
    /// The offset of the body; `None` if there is neither a body nor an empty line.
    body: Option<u64>,
    /// Converts CRLF to LF.
    crlf: bool,
}

/// Passes the header fields to `process`. A line that is not a field ends the header and starts the body. A From_ line
/// becomes a field named MBOX-Line.
///
/// `crlf` is [`InjectOptions::crlf`](super::InjectOptions::crlf).
pub(super) fn read_fields<'a>(
    message: &'a SpooledMessage,
    crlf: bool,
    mut process: impl FnMut(&RawField<'a>) -> Result<(), InjectError>,
) -> Result<HeaderEnd, InjectError> {
    let head = message.in_memory();
    let first = head.split_inclusive(|&b| b == b'\n').next().unwrap_or_default();
    let crlf = crlf && first.ends_with(b"\r\n");
    let mut field: Option<RawField<'_>> = None;
    let mut end = HeaderEnd { body: None, crlf };
    let mut at = 0;
    for (n, line) in head.split_inclusive(|&b| b == b'\n').enumerate() {
        let is_truncated = !line.ends_with(b"\n") && message.length() > head.len() as u64;
        let text = with_lf(line, crlf);
        let raw = |text| RawField { text, line: n as u64 + 1, at: at as u64, had_crs: crlf };
        let next = match &mut field {
            _ if is_truncated => return Err(InjectError::LongHeader(head.len())),
            Some(field) if matches!(line[0], b' ' | b'\t') => {
                match &mut field.text {
                    // Unchanged lines are adjacent in the message, so they need no copy.
                    Cow::Borrowed(before) if matches!(text, Cow::Borrowed(_)) => {
                        let start = field.at as usize;
                        debug_assert_eq!(start + before.len(), at);
                        *before = &head[start..at + line.len()];
                    }
                    before => before.to_mut().extend_from_slice(&text),
                }
                None
            }
            _ if text == &b"\n"[..] => {
                end.body = Some((at + line.len()) as u64);
                break;
            }
            _ if line.starts_with(b"From ") => Some(raw([b"MBOX-Line: ", &text[..]].concat().into())),
            _ if header::is_field_line(&text) => Some(raw(text)),
            _ => {
                end.body = Some(at as u64);
                break;
            }
        };
        if let Some(next) = next
            && let Some(before) = field.replace(next)
        {
            process(&before)?;
        }
        at += line.len();
    }
    if end.body.is_none() && message.length() > head.len() as u64 {
        return Err(InjectError::LongHeader(head.len()));
    }
    field.iter().try_for_each(process)?;
    Ok(end)
}

const RECIPIENT_FIELDS: [&str; 7] =
    ["To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc", "Apparently-To"];

/// Refuses a message with recipients in a place where nobody reads them but all recipients see them, least of all a Bcc:
/// a field after a line that is not a field, a field whose name is damaged, or one after a bare CR or a control
/// character, which a mail program may take for a line end.
pub(super) fn check_hidden_recipients(message: &SpooledMessage, end: HeaderEnd) -> Result<(), InjectError> {
    let head = message.in_memory();
    let body = end.body.and_then(|at| usize::try_from(at).ok()).unwrap_or(head.len()).min(head.len());
    let (header, rest) = head.split_at(body);
    let hidden = |line: usize, text: &[u8]| {
        Err(InjectError::HiddenRecipients { line: line as u64 + 1, text: text.trim_ascii_end().to_vec() })
    };
    let mut is_in_recipients = false;
    for (n, line) in header.split_inclusive(|&b| b == b'\n').enumerate() {
        is_in_recipients = if is_continuation(line) { is_in_recipients } else { has_recipient_name(line) };
        if has_damaged_recipient_name(line) || later_lines(line).any(names_recipients) {
            return hidden(n, line);
        }
    }
    // A message without a header may begin with an empty line. A Bcc is no text that begins one.
    let is_empty = matches!(header, b"\n" | b"\r\n");
    if !is_empty && (header.ends_with(b"\n\n") || header.ends_with(b"\n\r\n")) {
        return Ok(());
    }
    let above = memchr::memchr_iter(b'\n', header).count();
    // If the first of these lines were not there, the others would be the rest of the header.
    let lines = rest.split_inclusive(|&b| b == b'\n').enumerate();
    for (n, line) in lines.take_while(|(n, line)| *n == 0 || !matches!(*line, b"\n" | b"\r\n")) {
        if is_empty && !is_bcc(line) {
            continue;
        }
        let field = header::fields(line).next().filter(|_| n > 0 && !is_empty && header::is_field_line(line));
        if let Some(name) = field.and_then(|field| RECIPIENT_FIELDS.iter().find(|name| field.is(name))) {
            let (name, line) = (name.as_bytes().to_vec(), above as u64 + 1);
            return Err(InjectError::SplitHeader { line, name, field_line: line + n as u64 });
        }
        // A list of recipients that goes on without a blank at the start of the line.
        let goes_on = is_in_recipients && line.contains(&b'@');
        if goes_on || names_recipients(line) || later_lines(line).any(names_recipients) {
            return hidden(above + n, line);
        }
    }
    Ok(())
}

/// Splits a line at CR and the other characters that end a line in Unicode, and at NUL, which ends a string. Returns
/// the parts after the first.
fn later_lines(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_line_end = |b: &u8| matches!(b, b'\r' | 0x0b | 0x0c | 0x1c..=0x1e);
    // A NUL may also be in the middle of a name.
    let at_nul = line.split(|&b| b == 0).skip(1);
    let wide = ["\u{85}", "\u{2028}", "\u{2029}"].into_iter().flat_map(|end| line.split_str(end).skip(1));
    line.split(is_line_end).skip(1).chain(at_nul).chain(wide)
}

fn is_continuation(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// Reports whether a line begins a recipient field.
fn has_recipient_name(line: &[u8]) -> bool {
    let name = memchr::memchr(b':', line).map(|colon| line[..colon].trim_ascii_end());
    name.is_some_and(|name| RECIPIENT_FIELDS.iter().any(|one| name.eq_ignore_ascii_case(one.as_bytes())))
}

/// Reports whether a line of the header has the name of a recipient field with something in it that does not belong
/// there: `.Bcc`.
fn has_damaged_recipient_name(line: &[u8]) -> bool {
    let name = memchr::memchr(b':', line).map(|colon| &line[..colon]);
    !is_continuation(line) && name.is_some_and(is_recipient_name) && !has_recipient_name(line)
}

/// Reports whether a line that is not a field of the header may be meant as a field with recipients.
fn names_recipients(line: &[u8]) -> bool {
    let has_name = memchr::memchr(b':', line).is_some_and(|colon| is_recipient_name(&line[..colon]));
    // The colon may be missing.
    let first_word = || {
        let start = line.iter().position(is_name_byte).unwrap_or(line.len());
        let end = line[start..].iter().position(|b| !is_name_byte(b)).unwrap_or(line.len() - start);
        &line[start..start + end]
    };
    has_name || line.contains(&b'@') && (is_recipient_name(first_word()) || is_bcc(line))
}

/// Reports whether the letters of a line are first those of a Bcc.
fn is_bcc(line: &[u8]) -> bool {
    let letters: Vec<u8> =
        line.iter().filter(|b| is_name_byte(b)).map(u8::to_ascii_lowercase).take(10).collect();
    letters.starts_with(b"bcc") || letters.starts_with(b"resent-bcc")
}

fn is_name_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'-'
}

/// Compares a name with those of the recipient fields, without control characters, blanks, punctuation and bytes beyond
/// ASCII.
fn is_recipient_name(name: &[u8]) -> bool {
    let letters = || name.iter().filter(|b| is_name_byte(b));
    RECIPIENT_FIELDS
        .iter()
        .any(|one| letters().map(u8::to_ascii_lowercase).eq(one.bytes().map(|b| b.to_ascii_lowercase())))
}

fn with_lf(line: &[u8], crlf: bool) -> Cow<'_, [u8]> {
    match line.strip_suffix(b"\n") {
        Some(line) if crlf && line.ends_with(b"\r") => [&line[..line.len() - 1], b"\n"].concat().into(),
        Some(_) => line.into(),
        None => [line.strip_suffix(b"\r").filter(|_| crlf).unwrap_or(line), b"\n"].concat().into(),
    }
}

/// Returns the message with a new header, given in two parts. Its last line gets a line end if it has none.
pub(super) fn rebuild(
    header: [&[u8]; 2],
    message: &SpooledMessage,
    end: HeaderEnd,
    spool_dir: &Path,
) -> Result<SpooledMessage, InjectError> {
    let mut spool = MessageSpool::new(spool_dir, None);
    header.into_iter().try_for_each(|part| spool.push(part))?;
    if let Some(body) = end.body {
        spool.push(b"\n")?;
        let mut last = b'\n';
        let mut pending_cr = false;
        message.for_each_chunk(body, &mut |mut chunk| {
            last = chunk.last().copied().unwrap_or(last);
            while end.crlf && !chunk.is_empty() {
                if std::mem::take(&mut pending_cr) && chunk[0] != b'\n' {
                    spool.push(b"\r")?;
                }
                let cr = memchr::memchr(b'\r', chunk).unwrap_or(chunk.len());
                spool.push(&chunk[..cr])?;
                pending_cr = cr < chunk.len();
                chunk = &chunk[chunk.len().min(cr + 1)..];
            }
            spool.push(chunk)
        })?;
        // A CR at the very end was half a line end, and is dropped.
        if last != b'\n' {
            spool.push(b"\n")?;
        }
    }
    Ok(spool.finish()?)
}
