//! The kind of a file in a tree, by its content and not by its name.

use std::io;
use std::path::Path;

use super::takeout::{self, TakeoutExport};
use crate::mailbox::fs::files;
use crate::mailbox::mbox::bare::{self, BareMessage, looks_like_message};
use crate::mailbox::mbox::lines::begins_from_line;
use crate::mailbox::mbox::read::{self, ContentGuess, MboxHead, NotAMailbox};
use crate::mailbox::mbox::single::looks_like_emlx;
use crate::mailbox::mbox::{ReadOptions, ScanHooks};
use crate::mailbox::source::format::ForeignFormat;
use crate::mailbox::source::head::Head;
use crate::mailbox::source::{Compression, Source, SpoolOptions};
use crate::mailbox::{Error, LockOptions, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// No bytes, or only blanks.
    Empty,
    /// An mbox.
    Mbox {
        /// No second message begins in its first part.
        may_be_single: bool,
        /// It is from a Google Takeout.
        takeout: Option<TakeoutExport>,
    },
    /// One message: it begins with a header, or a banner and a header. If it has lines that look like From_ lines, it
    /// may also be an mbox without its first one. As one message nothing is lost.
    Message {
        /// It has such lines.
        has_separators: bool,
    },
    Other {
        /// A phrase.
        reason: String,
        /// It may contain mail.
        may_be_mail: bool,
        /// The remedy.
        hint: Option<String>,
    },
}

/// How much of a file is read first. That is enough for most files.
const HEAD: usize = 64 << 10;

/// Determines the kind of a regular file. It is not locked: the result only selects the reader.
///
/// # Errors
/// [`Error::Io`], [`Error::Interrupted`]. Damaged compressed data is not an error, but a file that may contain mail.
pub(crate) fn sniff(path: &Path, spooling: &SpoolOptions<'_>) -> Result<FileKind> {
    let file = files::open(path).map_err(Error::io("open", path))?;
    let head = match Head::read(&file, HEAD).map_err(Error::io("read", path))? {
        Ok(head) => head,
        Err(error) => return Ok(FileKind::undecodable(&error)),
    };
    let foreign = match head.compression {
        Some(_) => ForeignFormat::recognize_decoded(&head.bytes),
        None => ForeignFormat::recognize(&head.bytes),
    };
    if let Some(format) = foreign {
        return Ok(FileKind::foreign(format, path));
    }
    let text = with_lf(head.bytes);
    if head.is_whole && text.trim_ascii().is_empty() {
        return Ok(FileKind::Empty);
    }
    if looks_like_emlx(&text) {
        return Ok(FileKind::Message { has_separators: false });
    }
    let read = read::examine_head(&text);
    // A From_ line at the top makes it an mbox, and anything else is a banner.
    if looks_like_message(&text) && !begins_with_from_line(&text) {
        return Ok(FileKind::Message { has_separators: read.is_ok() });
    }
    match read {
        Ok(MboxHead { messages, .. }) => {
            Ok(FileKind::Mbox { may_be_single: messages == 1, takeout: takeout::recognize(&text) })
        }
        Err(not) if head.is_whole || not.guess == ContentGuess::MaybeMail => Ok(FileKind::of(not)),
        Err(_) => whole(path, spooling),
    }
}

/// Returns the text with LF line ends, if its lines end in CR alone.
fn with_lf(mut text: Vec<u8>) -> Vec<u8> {
    if !text.contains(&b'\n') {
        text.iter_mut().filter(|b| **b == b'\r').for_each(|b| *b = b'\n');
    }
    text
}

fn begins_with_from_line(text: &[u8]) -> bool {
    begins_from_line(text.trim_ascii_start())
}

/// Reports whether a file of these bytes, named as one message, is read as this message.
pub(crate) fn reads_as_one_message(text: &[u8]) -> bool {
    let head = &text[..text.len().min(HEAD)];
    let is_foreign = ForeignFormat::recognize(head).is_some() || Compression::detect(head).is_some();
    let is_cr_only = || !text.contains(&b'\n') && text.contains(&b'\r');
    let is_message = || looks_like_message(head) && bare::locate(text) == BareMessage { at: 0, start: 0 };
    !is_foreign && is_message() && !is_cr_only()
}

/// Reads all of a file in whose first part there is no mail.
fn whole(path: &Path, spooling: &SpoolOptions<'_>) -> Result<FileKind> {
    let source = match Source::open(path, &LockOptions::none(), spooling) {
        Ok(source) => source,
        Err(error @ Error::Compressed { .. }) => {
            return Ok(FileKind::Other { reason: error.without_path(), may_be_mail: true, hint: None });
        }
        Err(error) => return Err(error),
    };
    let release = |range| source.release(range);
    let watch = ScanHooks { on_scan: &|_| (), on_release: &release, cancel: spooling.cancel };
    let read = read::read(source.text(), &ReadOptions::default(), watch);
    if spooling.cancel.is_requested() {
        return Err(Error::Interrupted);
    }
    Ok(match read {
        Ok(_) => FileKind::Mbox { may_be_single: false, takeout: None },
        Err(not) => FileKind::of(not),
    })
}

impl FileKind {
    fn of(not: NotAMailbox) -> FileKind {
        let may_be_mail = not.guess != ContentGuess::Other;
        FileKind::Other { reason: not.reason, may_be_mail, hint: not.hint }
    }

    fn foreign(format: ForeignFormat, path: &Path) -> FileKind {
        let hint = format.hint_for(path).map(str::to_owned);
        FileKind::Other { reason: format.reason(), may_be_mail: hint.is_some(), hint }
    }

    fn undecodable(error: &io::Error) -> FileKind {
        let reason = format!("its compressed data is damaged: {error}");
        FileKind::Other { reason, may_be_mail: true, hint: None }
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::mailbox::context::Cancel;

    fn kind(bytes: &[u8]) -> &'static str {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        let spooling =
            SpoolOptions { dir: temp.path(), limit: None, cancel: Cancel::never(), progress: &|_| () };
        match sniff(&path, &spooling).unwrap() {
            FileKind::Empty => "empty",
            FileKind::Mbox { may_be_single: false, .. } => "mbox",
            FileKind::Mbox { may_be_single: true, .. } => "mbox of one",
            FileKind::Message { has_separators: false } => "message",
            FileKind::Message { has_separators: true } => "message or mbox",
            FileKind::Other { may_be_mail: true, .. } => "may be mail",
            FileKind::Other { .. } => "other",
        }
    }

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_file_is_recognized_by_its_content() {
        let mbox = b"From a@b Mon Jan  1 10:00:05 2001\nSubject: x\n\ny\n";
        let late = [b"x\n".repeat(HEAD), b"\n".to_vec(), mbox.to_vec()].concat();
        let macintosh: Vec<u8> = mbox.iter().map(|&b| if b == b'\n' { b'\r' } else { b }).collect();
        for (bytes, want) in [
            (&b""[..], "empty"),
            (b"\r\n", "empty"),
            (&gzipped(b""), "empty"),
            (mbox, "mbox of one"),
            (&mbox.repeat(2), "mbox"),
            (&late, "mbox"),
            (&macintosh, "mbox of one"),
            (&gzipped(mbox), "mbox of one"),
            (&gzipped(&late), "mbox"),
            (&gzipped(&gzipped(mbox)), "may be mail"),
            (&gzipped(b"PK\x03\x04"), "may be mail"),
            (&[&[0x80; 4 << 10][..], b"\x01\x02\n\n", mbox].concat(), "mbox of one"),
            (&[&b"\x01\x02\x03\x04".repeat(1 << 10)[..], b"\n\n", mbox].concat(), "may be mail"),
            (&[&b"\x01\x02\x03\x04".repeat(HEAD)[..], b"\n\n", mbox].concat(), "may be mail"),
            (b"\n \nSubject: x\nFrom: a@b\n\ny\n", "message"),
            (b"A banner\nSubject: x\nFrom: a@b\n\ny\n", "message"),
            (b"Subject: x\rFrom: a@b\r\ry\r", "message"),
            (b"\0\0\0\0Subject: x\r\nFrom: a@b\r\n\r\ny\r\n", "may be mail"),
            (&gzipped(mbox)[..30], "may be mail"),
            (b"Subject: x\nFrom: a@b\n\ny\n", "message"),
            (&[&b"Subject: x\n\n"[..], mbox].concat(), "message or mbox"),
            (b"unseen: 1-3\n", "other"),
            (b"Once upon a time\nFrom here on\n", "other"),
            (b"From nobody knows when\nSubject: x\n\ny\n", "mbox of one"),
            (b"From nobody knows when\nColour: x\n\ny\n", "may be mail"),
            (b"BABYL OPTIONS:\n", "may be mail"),
            (b"\x89PNG\r\n", "other"),
            (&[0; 100], "may be mail"),
        ] {
            assert_eq!(kind(bytes), want, "{}", crate::mailbox::text::escape(&bytes[..bytes.len().min(60)]));
        }
    }
}
