//! The kind of a file in a tree, by its content and not by its name.

use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::mailbox::fs::files;
use crate::mailbox::mbox::read::{self, ContentGuess, NotAMailbox};
use crate::mailbox::mbox::{ReadOptions, ScanHooks};
use crate::mailbox::source::{Compression, Source, SpoolOptions};
use crate::mailbox::{Error, LockOptions, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// An mbox. An empty file is one without mail.
    Mbox,
    /// One message: it begins with a header. If it has lines that look like From_ lines, it may also be an mbox
    /// without its first one. As one message nothing is lost.
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
    let mut head = vec![0; HEAD];
    let mut filled = 0;
    while filled < HEAD {
        match file.read_at(&mut head[filled..], filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io("read", path)(e)),
        }
    }
    head.truncate(filled);
    let is_compressed = Compression::detect(&head).is_some();
    // Without an LF, the lines may end in CR.
    let is_plain = !is_compressed && (head.is_empty() || head.contains(&b'\n'));
    if is_plain {
        let read = read::is_framed(&head);
        if read::looks_like_message(&head) {
            return Ok(FileKind::Message { has_separators: read.is_ok() });
        }
        match read {
            Ok(_) => return Ok(FileKind::Mbox),
            Err(not) if filled < HEAD => return Ok(FileKind::of(not)),
            Err(_) => {}
        }
    }
    whole(path, spooling)
}

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
        read if read::looks_like_message(source.text()) => FileKind::Message { has_separators: read.is_ok() },
        Ok(_) => FileKind::Mbox,
        Err(not) => FileKind::of(not),
    })
}

impl FileKind {
    fn of(not: NotAMailbox) -> FileKind {
        let may_be_mail = not.guess != ContentGuess::Other;
        FileKind::Other { reason: not.reason, may_be_mail, hint: not.hint }
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
            FileKind::Mbox => "mbox",
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
            (&b""[..], "mbox"),
            (mbox, "mbox"),
            (&late, "mbox"),
            (&macintosh, "mbox"),
            (&gzipped(mbox), "mbox"),
            (&gzipped(mbox)[..30], "may be mail"),
            (b"Subject: x\nFrom: a@b\n\ny\n", "message"),
            (&[&b"Subject: x\n\n"[..], mbox].concat(), "message or mbox"),
            (b"unseen: 1-3\n", "other"),
            (b"Once upon a time\nFrom here on\n", "other"),
            (b"From nobody knows when\nSubject: x\n\ny\n", "may be mail"),
            (b"BABYL OPTIONS:\n", "may be mail"),
            (b"\x89PNG\r\n", "other"),
            (&[0; 100], "may be mail"),
        ] {
            assert_eq!(kind(bytes), want, "{}", crate::mailbox::text::escape(&bytes[..bytes.len().min(60)]));
        }
    }
}
