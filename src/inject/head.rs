//! Where the header is, and how the message is put together again.

use std::borrow::Cow;
use std::path::Path;

use super::Refused;
use crate::mailbox::message::header;
use crate::transport::spool::{Arriving, Letter};

/// A field with its continuation lines, each ending in LF.
#[derive(Debug)]
pub struct Raw<'a> {
    /// All of it.
    pub text: Cow<'a, [u8]>,
    /// The line it begins in, counted from 1.
    pub line: u64,
    /// Where it begins in the message.
    pub at: u64,
    /// Whether each of its lines ended in CRLF.
    pub had_crs: bool,
}

/// What follows the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Where the body begins; None: there is none, nor an empty line.
    body: Option<u64>,
    /// Whether lines end in CRLF, and are to end in LF.
    crlf: bool,
}

/// Reads the header, field by field. A line that is no field ends it, and is the first of the body; a From_ line
/// becomes a field of the name MBOX-Line.
/// `crlf`: see [`super::Options`].
pub fn read<'a>(
    letter: &'a Letter,
    crlf: bool,
    mut take: impl FnMut(&Raw<'a>) -> Result<(), Refused>,
) -> Result<End, Refused> {
    let head = letter.head();
    let first = head.split_inclusive(|&b| b == b'\n').next().unwrap_or_default();
    let crlf = crlf && first.ends_with(b"\r\n");
    let mut field: Option<Raw<'_>> = None;
    let mut end = End { body: None, crlf };
    let mut at = 0;
    for (n, line) in head.split_inclusive(|&b| b == b'\n').enumerate() {
        let is_cut = !line.ends_with(b"\n") && letter.length() > head.len() as u64;
        let text = with_lf(line, crlf);
        let raw = |text| Raw { text, line: n as u64 + 1, at: at as u64, had_crs: crlf };
        let next = match &mut field {
            _ if is_cut => return Err(Refused::LongHeader(head.len())),
            Some(field) if matches!(line[0], b' ' | b'\t') => {
                // Most fields have one line and need no copy; those that have more lie in one piece.
                match &mut field.text {
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
            take(&before)?;
        }
        at += line.len();
    }
    if end.body.is_none() && letter.length() > head.len() as u64 {
        return Err(Refused::LongHeader(head.len()));
    }
    field.iter().try_for_each(take)?;
    Ok(end)
}

/// Refuses a message whose header is ended by a line that is no field while fields for recipients stand
/// before the first empty line: whoever wrote them did not mean text, least of all with Bcc.
pub fn check_torn(letter: &Letter, end: End) -> Result<(), Refused> {
    const RECIPIENTS: [&str; 7] =
        ["To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc", "Apparently-To"];
    let head = letter.head();
    let Some(body) = end.body.and_then(|at| usize::try_from(at).ok()).filter(|&at| at <= head.len()) else {
        return Ok(());
    };
    let before = &head[..body];
    if before.ends_with(b"\n\n") || before.ends_with(b"\n\r\n") || matches!(before, b"\n" | b"\r\n") {
        return Ok(());
    }
    let line = memchr::memchr_iter(b'\n', before).count() as u64 + 1;
    let text = head[body..].split_inclusive(|&b| b == b'\n');
    // A line of blanks may have ended the header itself.
    let goes_on = |(n, line): &(usize, &[u8])| *n == 0 || !line.trim_ascii().is_empty();
    let behind = text.enumerate().take_while(goes_on).skip(1);
    for (n, field) in behind.filter(|(_, line)| header::is_field_line(line)) {
        let field = header::fields(field).next();
        if let Some(name) = field.and_then(|field| RECIPIENTS.iter().find(|name| field.is(name))) {
            return Err(Refused::Torn { line, name: name.as_bytes().to_vec(), behind: line + n as u64 });
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

/// A new header, in two parts, and the old body. The last line ends, if it did not.
pub fn rebuilt(header: [&[u8]; 2], letter: &Letter, end: End, spool_dir: &Path) -> Result<Letter, Refused> {
    let mut new = Arriving::new(spool_dir, None);
    header.into_iter().try_for_each(|part| new.push(part))?;
    if let Some(body) = end.body {
        new.push(b"\n")?;
        let mut last = b'\n';
        let mut held_cr = false;
        letter.each_chunk(body, &mut |mut chunk| {
            last = chunk.last().copied().unwrap_or(last);
            while end.crlf && !chunk.is_empty() {
                if std::mem::take(&mut held_cr) && chunk[0] != b'\n' {
                    new.push(b"\r")?;
                }
                let cr = memchr::memchr(b'\r', chunk).unwrap_or(chunk.len());
                new.push(&chunk[..cr])?;
                held_cr = cr < chunk.len();
                chunk = &chunk[chunk.len().min(cr + 1)..];
            }
            new.push(chunk)
        })?;
        // A CR that is the last byte of all was half a line end.
        if last != b'\n' {
            new.push(b"\n")?;
        }
    }
    Ok(new.finish()?)
}
