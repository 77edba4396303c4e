//! The header of the original message, and the new message around its body.

use std::borrow::Cow;
use std::path::Path;

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

/// Refuses a message in which a line that is not a field separates a field with recipients from the header. Its author did
/// not intend that as text, least of all a Bcc.
pub(super) fn check_split_header(message: &SpooledMessage, end: HeaderEnd) -> Result<(), InjectError> {
    const RECIPIENTS: [&str; 7] =
        ["To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc", "Apparently-To"];
    let head = message.in_memory();
    let Some(body) = end.body.and_then(|at| usize::try_from(at).ok()).filter(|&at| at <= head.len()) else {
        return Ok(());
    };
    let before = &head[..body];
    if before.ends_with(b"\n\n") || before.ends_with(b"\n\r\n") || matches!(before, b"\n" | b"\r\n") {
        return Ok(());
    }
    let line = memchr::memchr_iter(b'\n', before).count() as u64 + 1;
    let text = head[body..].split_inclusive(|&b| b == b'\n');
    // The line that ended the header may consist of blanks.
    let continues = |(n, line): &(usize, &[u8])| *n == 0 || !line.trim_ascii().is_empty();
    let following = text.enumerate().take_while(continues).skip(1);
    for (n, field) in following.filter(|(_, line)| header::is_field_line(line)) {
        let field = header::fields(field).next();
        if let Some(name) = field.and_then(|field| RECIPIENTS.iter().find(|name| field.is(name))) {
            let (name, field_line) = (name.as_bytes().to_vec(), line + n as u64);
            return Err(InjectError::SplitHeader { line, name, field_line });
        }
    }
    Ok(())
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
