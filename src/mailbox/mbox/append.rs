//! Appending to an mbox: locked, its end repaired and never glued to, and cut back to what it was unless
//! all went well.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::boundary;
use super::read::{self, NotAMailbox, ReadOptions};
use super::scan::FRAME;
use super::variant::Variant;
use super::write::{Changes, MessageHead, MessageWriter, Unrepresentable, line_ending};
use crate::mailbox::context::Cancel;
use crate::mailbox::context::LockOptions;
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::Finding;
use crate::mailbox::fs::durable;
use crate::mailbox::fs::durable::{Dir, FileId};
use crate::mailbox::fs::lock;
use crate::mailbox::fs::lock::{MailboxLock, Mode};
use crate::mailbox::fs::parent_of;
use crate::mailbox::mbox::scan_hooks::ScanHooks;
use crate::mailbox::source::Compression;
use crate::mailbox::source::mapped::MappedFile;

/// How much of an mbox is looked at from either end before one message is appended: the header of its first
/// message, and frames that are closed or not.
const WINDOW: usize = 64 << 10;
/// What is rendered before it is written: a message of the usual size is one write(2), so that a kill leaves
/// none of it or all.
const BUFFER: usize = 1 << 20;
/// The mode of an mbox that is made, subject to the umask.
const MODE: u32 = 0o666;
/// How often a mailbox is opened that others make and remove, or replace, while we wait for its lock.
const ATTEMPTS: usize = 10;

/// An mbox that is being appended to. Dropped before [`Extending::keep`] it is as long as it was.
#[derive(Debug)]
pub struct MboxAppender {
    /// To write into, behind [`Extending::length`].
    pub file: File,
    /// How long the mbox is, in bytes.
    pub length: u64,
    /// What it is to be continued as.
    pub variant: Variant,
    /// What it lacks at its end: a final newline, a blank line.
    pub repair: Vec<u8>,
    /// Locks that could not be had.
    pub findings: Vec<Finding>,
    path: PathBuf,
    /// How long it is by what we know and have written; None while several threads write.
    end: Option<u64>,
    /// The name under which it was made, if it was.
    made: Option<(Dir, OsString)>,
    kept: bool,
    // Released before the file is closed: fields are dropped in this order.
    _guard: MailboxLock,
}

/// How an mbox ends, and what to make of it.
#[derive(Debug, PartialEq, Eq)]
struct End {
    variant: Variant,
    repair: Vec<u8>,
}

impl MboxAppender {
    /// Opens, locks and looks at the mbox, at all of it. `asked` is the variant to write, where the user
    /// named one; otherwise it is what the mbox is.
    ///
    /// # Errors
    /// [`Error::Destination`] for what cannot be continued, [`Error::NotAMailbox`], [`Error::Locked`],
    /// [`Error::Interrupted`], [`Error::Io`].
    pub fn open(
        path: &Path,
        asked: Option<Variant>,
        wanted: &LockOptions,
        cancel: &Cancel,
    ) -> Result<MboxAppender> {
        let mut extending = MboxAppender::lock(path, false, wanted, cancel)?;
        let old = MappedFile::map(&extending.file, extending.length, path)?;
        let end = look(old.as_deref().unwrap_or_default(), path, asked, cancel)?;
        extending.continue_as(end);
        Ok(extending)
    }

    /// The same for one message: only the two ends of the mbox are looked at, so that one of 4 GB costs no
    /// more than a small one. What has no lengths and no frames is continued as mboxrd. With `create` it is
    /// made where it is missing; it is then gone again unless it is kept.
    ///
    /// # Errors
    /// As [`Extending::open`]; [`Error::Unsupported`] for a variant that says how long a message is.
    pub fn open_for_delivery(
        path: &Path,
        asked: Option<Variant>,
        create: bool,
        wanted: &LockOptions,
        cancel: &Cancel,
    ) -> Result<MboxAppender> {
        if let Some(asked @ (Variant::Mboxcl | Variant::Mboxcl2 | Variant::Rfc822)) = asked {
            let reason = format!("a message cannot be delivered as {asked}; mboxrd, mboxo and mmdf can");
            return Err(Error::Unsupported { path: path.to_owned(), reason });
        }
        let mut extending = MboxAppender::lock(path, create, wanted, cancel)?;
        // Whoever keeps to another lock than ours, or to none, may append at any time: our bytes then go behind
        // his, not over them.
        durable::set_append(&extending.file).map_err(Error::io("open", path))?;
        let end = look_at_ends(&extending.file, extending.length, path, asked)?;
        extending.continue_as(end);
        Ok(extending)
    }

    fn continue_as(&mut self, end: End) {
        self.variant = end.variant;
        self.repair = end.repair;
    }

    /// Opens and locks it. Nothing is known of its contents yet.
    fn lock(path: &Path, create: bool, wanted: &LockOptions, cancel: &Cancel) -> Result<MboxAppender> {
        for _ in 0..ATTEMPTS {
            let mut made = None;
            let there = open(path, create)?;
            let open = || match there {
                Some(file) => Ok(file),
                None => make(path, &mut made),
            };
            let locked = lock::acquire_with(path, open, Mode::Write, wanted, cancel);
            let (guard, findings) = match locked {
                // Another one was quicker in making it.
                Err(Error::Io { source, .. }) if create && source.kind() == io::ErrorKind::AlreadyExists => {
                    continue;
                }
                locked => locked?,
            };
            let file = guard.file().map_err(Error::io("open", path))?;
            let Some(length) = length_if_same(path, &file)? else { continue };
            // Who was quicker with the lock may have delivered into what we have made.
            let made = made.filter(|_| length == 0);
            return Ok(MboxAppender {
                file,
                length,
                variant: Variant::Mboxrd,
                repair: Vec::new(),
                findings,
                path: path.to_owned(),
                end: Some(length),
                made,
                kept: false,
                _guard: guard,
            });
        }
        let how = "another file was put in its place, again and again".into();
        Err(Error::Changed { path: path.to_owned(), how })
    }

    /// Writes one message behind what is there; `chunks` hands it over in pieces, see [`Head`]. It is in the
    /// file then, and [`Extending::flush`] makes it safe.
    ///
    /// # Errors
    /// [`Error::Unsayable`] for a message that an MMDF file cannot hold, [`Error::Disturbed`], [`Error::Io`],
    /// [`Error::Interrupted`], and those of `chunks`. The mbox is cut back when this is dropped.
    pub fn append(
        &mut self,
        head: &MessageHead<'_>,
        cancel: &Cancel,
        chunks: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
    ) -> Result<Changes> {
        let (variant, path) = (self.variant, self.path.clone());
        let unsayable = |Unrepresentable| Error::unrepresentable(&path);
        let mut out = self.repair.clone();
        let mut flush = |out: &mut Vec<u8>| {
            if cancel.is_requested() {
                return Err(Error::Interrupted);
            }
            self.write(out)?;
            out.clear();
            Ok(())
        };
        let mut writing = MessageWriter::begin(variant, head, &mut out).map_err(unsayable)?;
        chunks(&mut |chunk| {
            for chunk in chunk.chunks(BUFFER) {
                writing.push(chunk, &mut out).map_err(unsayable)?;
                if out.len() >= BUFFER {
                    flush(&mut out)?;
                }
            }
            Ok(())
        })?;
        let changes = writing.finish(&mut out).map_err(unsayable)?;
        flush(&mut out)?;
        self.check()?;
        Ok(changes)
    }

    /// Writes at the end, which must be where we left it.
    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            self.check()?;
            let written = durable::write_some(&self.file, bytes).map_err(Error::io("write", &self.path))?;
            self.end = self.end.map(|end| end + written as u64);
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Several threads write from here on, at offsets of their own, until [`Extending::ends_at`] is told.
    pub fn begin_parallel(&mut self) -> Result<()> {
        self.check()?;
        self.end = None;
        Ok(())
    }

    /// What the threads have written ends here.
    pub fn finish_parallel(&mut self, end: u64) -> Result<()> {
        self.end = Some(end);
        self.check()
    }

    /// Whether the mbox is as long as we have made it. A lock keeps out those alone who take the same one:
    /// others may append, or cut what is ours away.
    fn check(&self) -> Result<()> {
        let length = self.file.metadata().map_err(Error::io("look at", &self.path))?.len();
        match self.end {
            Some(end) if end != length => {
                let how = format!("it has {length} bytes and should have {end}");
                Err(Error::ConcurrentWrite { path: self.path.clone(), how })
            }
            _ => Ok(()),
        }
    }

    /// Brings what was appended to stable storage, and the mbox's name: whoever made it may have been killed
    /// before he had flushed that, however long it is by now.
    pub fn flush(&self) -> Result<()> {
        let flushed = durable::sync_file(&self.file).map_err(Error::io("flush", &self.path));
        // First: then what was appended is not taken back.
        self.check()?;
        flushed?;
        let real = self.path.canonicalize().map_err(Error::io("look up", &self.path))?;
        match Dir::open(parent_of(&real)) {
            // One that may be passed through and not read (mode 0711) cannot be flushed.
            Err(_) if self.length > 0 => Ok(()),
            dir => dir?.sync(),
        }
    }

    /// What was appended stays from here on, and the locks are given back.
    pub fn commit(mut self) {
        self.kept = true;
    }

    /// Takes back what was appended: all of it, and the file if it was made for it. Where somebody else has
    /// written meanwhile it stays: rather a message twice than his cut away.
    fn take_back(&self) {
        // A run that wrote nothing leaves its time alone, too.
        let ours = |length| length > self.length && self.end.is_none_or(|end| end == length);
        if self.file.metadata().is_ok_and(|meta| ours(meta.len())) {
            // If even the second try fails: the error that led here has been told, and what was appended is
            // whole messages but the last.
            let cut = || durable::truncate(&self.file, self.length);
            let _ = cut().or_else(|_| cut());
            let _ = durable::sync_file(&self.file);
        }
        let Some((dir, name)) = &self.made else { return };
        let ours = rustix::fs::fstat(&self.file).map(|stat| (FileId::of(&stat), stat.st_size));
        // Not what others have put there, nor what could not be cut.
        if let Ok((ours, 0)) = ours
            && dir.child_id(name).ok().flatten() == Some(ours)
        {
            let _ = dir.unlink(name).or_else(|_| dir.unlink(name));
        }
    }
}

impl Drop for MboxAppender {
    fn drop(&mut self) {
        if !self.kept {
            self.take_back();
        }
    }
}

/// Opens an mbox; None where it is missing and is to be made.
fn open(path: &Path, create: bool) -> Result<Option<File>> {
    let refuse = |reason: &str| Error::Destination { path: path.to_owned(), reason: reason.into() };
    // No FIFO is waited for: a mailbox is a regular file.
    let opened = std::fs::metadata(path).and_then(|meta| match meta.is_file() {
        true => File::options().read(true).write(true).open(path).map(Some),
        false => Ok(None),
    });
    match opened {
        Ok(Some(file)) => Ok(Some(file)),
        Ok(None) => Err(refuse("is no regular file; nothing can be appended to it")),
        Err(e) if create && e.kind() == io::ErrorKind::NotFound && path.is_symlink() => {
            Err(refuse("is a symbolic link to a file that does not exist"))
        }
        Err(e) if create && e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("open", path)(e)),
    }
}

/// Makes an mbox. Where the locks that follow cannot be had an empty one stays: others may be at it already.
fn make(path: &Path, made: &mut Option<(Dir, OsString)>) -> Result<File> {
    let refuse = || Error::Destination { path: path.to_owned(), reason: "is no name for a file".into() };
    let name = path.file_name().ok_or_else(refuse)?.to_owned();
    let dir = Dir::open(parent_of(path))?;
    let file = dir.create_read_write(&name, MODE)?;
    *made = Some((dir, name));
    Ok(file)
}

/// The length of the file, if it is the one that has the name: another may have been put in its place before
/// it was locked, or it may have been removed.
fn length_if_same(path: &Path, file: &File) -> Result<Option<u64>> {
    let failed = |e: rustix::io::Errno| Error::io("look at", path)(e.into());
    let ours = rustix::fs::fstat(file).map_err(failed)?;
    let theirs = match rustix::fs::stat(path) {
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        theirs => theirs.map_err(failed)?,
    };
    Ok((FileId::of(&ours) == FileId::of(&theirs)).then_some(ours.st_size as u64))
}

/// Looks at both ends of an mbox, as far as [`WINDOW`] reaches.
fn look_at_ends(file: &File, length: u64, path: &Path, asked: Option<Variant>) -> Result<End> {
    let failed = || Error::io("read", path);
    let size = length.min(WINDOW as u64) as usize;
    let mut head = vec![0; size];
    file.read_exact_at(&mut head, 0).map_err(failed())?;
    let mut tail = head.clone();
    if length > size as u64 {
        file.read_exact_at(&mut tail, length - size as u64).map_err(failed())?;
        // A line that is cut off is not judged.
        head.truncate(memchr::memrchr(b'\n', &head).map_or(size, |lf| lf + 1));
    }
    end_of(&head, &tail, length, path, asked)
}

/// The end of an mbox of this length whose first and last bytes these are: the same where it is short.
fn end_of(head: &[u8], tail: &[u8], length: u64, path: &Path, asked: Option<Variant>) -> Result<End> {
    let refuse = |reason| Error::Destination { path: path.to_owned(), reason };
    check_lines(head).map_err(refuse)?;
    let framed = read::is_framed(head).map_err(|not| not_a_mailbox(not, path))?;
    let is_blank = length == head.len() as u64 && head.trim_ascii().is_empty();
    let variant = match asked {
        Some(asked) if is_blank || (asked == Variant::Mmdf) == framed => asked,
        None if framed => Variant::Mmdf,
        None => Variant::Mboxrd,
        Some(asked) => return Err(refuse(other_kind(framed, asked))),
    };
    if framed && !closes_frame(tail, length) {
        return Err(refuse(UNCLOSED.into()));
    }
    Ok(End { variant, repair: repair(line_ending(head), tail, framed) })
}

/// Whether a framed file that ends like this has all frames closed. Which of the lines of four ^A open and
/// which close is known from the first line on; in a window, by the text before the last of them: that is in
/// a frame, so that the next one closes it.
fn closes_frame(tail: &[u8], length: u64) -> bool {
    if length == tail.len() as u64 {
        let (count, end) = boundary::frame_lines(tail).fold((0u64, 0), |(n, _), line| (n + 1, line.end));
        return count.is_multiple_of(2) && tail[end..].trim_ascii().is_empty();
    }
    let lines = tail.trim_ascii_end().rsplit(|&b| b == b'\n');
    lines.take_while(|line| line.trim_ascii_end() == FRAME).count() % 2 == 1
}

fn look(text: &[u8], path: &Path, asked: Option<Variant>, cancel: &Cancel) -> Result<End> {
    let refuse = |reason| Error::Destination { path: path.to_owned(), reason };
    check_lines(text).map_err(refuse)?;
    let watch = ScanHooks { on_scan: &|_| (), on_release: &|_| (), cancel };
    let mbox = read::read(text, &ReadOptions { variant: asked, ..ReadOptions::default() }, watch);
    if cancel.is_requested() {
        return Err(Error::Interrupted);
    }
    let mbox = mbox.map_err(|not| not_a_mailbox(not, path))?;
    let blank = text.trim_ascii().is_empty();
    let framed =
        boundary::frame_lines(text).next().is_some_and(|line| text[..line.start].trim_ascii().is_empty());
    let variant = mbox.variant;
    if !blank && framed != (variant == Variant::Mmdf) {
        return Err(refuse(other_kind(framed, variant)));
    }
    if framed && boundary::frame_lines(text).count() % 2 == 1 {
        return Err(refuse(UNCLOSED.into()));
    }
    Ok(End { variant, repair: repair(line_ending(text), text, framed) })
}

const UNCLOSED: &str = "ends in an MMDF frame that is never closed; close it first";

/// Refuses what has no lines to append to.
fn check_lines(text: &[u8]) -> Result<(), String> {
    if let Some(format) = Compression::detect(&text[..text.len().min(16)]) {
        return Err(format!("is compressed ({}); nothing can be appended to it", format.name()));
    }
    let lf = memchr::memchr(b'\n', text).is_some();
    if !lf && memchr::memchr(b'\r', text).is_some() {
        return Err("has lines that end in CR alone; convert it into a new file instead".into());
    }
    Ok(())
}

fn not_a_mailbox(not: NotAMailbox, path: &Path) -> Error {
    let reason = format!("{}; nothing was appended", not.reason);
    Error::NotAMailbox { path: path.to_owned(), reason, hint: not.hint }
}

fn other_kind(framed: bool, asked: Variant) -> String {
    let is = if framed { "an MMDF file" } else { "no MMDF file" };
    format!("is {is}; {asked} cannot be appended to it")
}

/// What must be written behind a text that ends so before the next From_ line, or MMDF's next frame.
fn repair(eol: &[u8], text: &[u8], framed: bool) -> Vec<u8> {
    let mut repair = Vec::new();
    if !text.is_empty() && !text.ends_with(b"\n") {
        repair.extend_from_slice(eol);
    }
    if !text.is_empty() && !framed && (!repair.is_empty() || boundary::closing_blank(text) == 0) {
        repair.extend_from_slice(eol);
    }
    repair
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;
    use crate::mailbox::context::LockMethod;
    use crate::mailbox::mbox::write::{FromLineSpec, HeaderEdit};

    #[test]
    fn what_the_end_lacks_is_put_there_with_the_line_ends_of_the_file() {
        for (text, missing) in [
            ("", ""),
            ("From a\n\nx\n\n", ""),
            ("From a\n\nx\n", "\n"),
            ("From a\n\nx", "\n\n"),
            ("From a\n", "\n"),
            ("From a\r\n\r\nx\r\n\r\n", ""),
            ("From a\r\n\r\nx\r\n", "\r\n"),
            ("From a\r\n\r\nx", "\r\n\r\n"),
            ("\n", ""),
            ("From a\n\nx\n\0\0", "\n\n"),
        ] {
            assert_eq!(
                repair(line_ending(text.as_bytes()), text.as_bytes(), false),
                missing.as_bytes(),
                "{text:?}"
            );
        }
        assert_eq!(repair(b"\n", b"\x01\x01\x01\x01\nx\n\x01\x01\x01\x01", true), b"\n");
        assert_eq!(repair(b"\n", b"\x01\x01\x01\x01\nx\n\x01\x01\x01\x01\n", true), b"");
    }

    const LINE: &str = "From a@b Mon Jan  1 10:00:05 2001\n";

    fn wanted(methods: &[LockMethod]) -> LockOptions {
        let timeout = Duration::from_secs(20);
        LockOptions { methods: methods.to_vec(), timeout, pid: std::process::id(), host: "here".into() }
    }

    fn deliver(path: &Path, create: bool, message: &str, fail: bool) -> Result<()> {
        let wanted = wanted(&[LockMethod::Dotlock, LockMethod::Fcntl]);
        let mut extending = MboxAppender::open_for_delivery(path, None, create, &wanted, Cancel::never())?;
        let (header, rest) = HeaderEdit::for_delivery(message.as_bytes(), true, None);
        let envelope = FromLineSpec::Made { sender: b"a@b", epoch: 978_343_205 };
        let head = MessageHead { from_line: envelope, header, eol: line_ending(message.as_bytes()) };
        extending.append(&head, Cancel::never(), |chunk| {
            chunk(rest)?;
            if fail { Err(Error::Interrupted) } else { Ok(()) }
        })?;
        extending.flush()?;
        extending.commit();
        Ok(())
    }

    /// What an mbox with this text becomes; the error, where it must be as it was.
    fn delivered_into(text: &str) -> Result<String> {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("inbox");
        fs::write(&path, text).unwrap();
        deliver(&path, false, "A: 1\n\nFrom x\n", true).unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        let delivered = deliver(&path, false, "A: 1\n\nFrom x\n", false);
        let now = fs::read_to_string(&path).unwrap();
        assert!(now.starts_with(text) && fs::read_dir(temp.path()).unwrap().count() == 1);
        delivered.map(|()| now[text.len()..].to_owned())
    }

    #[test]
    fn one_message_goes_behind_what_is_there_and_is_never_glued_to_it() {
        let old = format!("{LINE}A: 0\n\nold\n\n");
        let long = old.repeat(3000);
        let crlf = old.replace('\n', "\r\n").repeat(3000);
        let appended = format!("{LINE}A: 1\n\n>From x\n\n");
        for (text, repair) in [
            ("", ""),
            ("\n\n", ""),
            (&old, ""),
            (old.trim_end_matches('\n'), "\n\n"),
            (old.strip_suffix('\n').unwrap(), "\n"),
            (&format!("\u{feff}\n\n{old}"), ""),
            (&format!("junk before the first one\n\n{old}"), ""),
            (&long, ""),
            (long.trim_end_matches('\n'), "\n\n"),
            (crlf.trim_end_matches("\r\n"), "\r\n\r\n"),
            // Cut off in the middle, as a kill may leave it.
            (&format!("{old}{LINE}A: 0\n\nha"), "\n\n"),
        ] {
            assert_eq!(delivered_into(text).unwrap(), format!("{repair}{appended}"), "{text:.80?}");
        }
        let frame = format!("\u{1}\u{1}\u{1}\u{1}\n{LINE}A: 1\n\nFrom x\n\u{1}\u{1}\u{1}\u{1}\n");
        for (text, repair) in [
            (&frame[..], ""),
            (frame.trim_end(), "\n"),
            (&frame.repeat(2000), ""),
            (&format!("{frame}\n"), ""),
        ] {
            assert_eq!(delivered_into(text).unwrap(), format!("{repair}{frame}"), "{text:.80?}");
        }
    }

    #[test]
    fn what_is_no_mailbox_or_cannot_be_continued_is_refused() {
        let frame = "\u{1}\u{1}\u{1}\u{1}\n";
        let framed = format!("{frame}A: 1\n\nx\n{frame}");
        for (text, why) in [
            ("hello\n", "no line of its 6 bytes begins"),
            ("From here on it is prose\nand so on\n", "is a separator"),
            ("A: 1\n\nx\n", "one bare message"),
            ("BABYL OPTIONS: x\n", "Babyl"),
            ("From a\rA: 1\r", "CR alone"),
            ("\u{1f}\u{8b}\u{8}", "not a mailbox"),
            (&format!("{framed}{frame}"), "never closed"),
            (&format!("{frame}A: 1\n\nx\n"), "never closed"),
            (&format!("{framed}junk\n"), "never closed"),
            (&format!("{}{frame}", framed.repeat(6000)), "never closed"),
            (&framed.repeat(6000)[..89_000], "never closed"),
        ] {
            let refused = delivered_into(text).unwrap_err().to_string();
            assert!(refused.contains(why), "{text:.80?}: {refused}");
        }
        let temp = tempfile::tempdir().unwrap();
        let refused = |path: &Path, create| deliver(path, create, "A: 1\n", false).unwrap_err().to_string();
        assert!(refused(temp.path(), true).contains("no regular file"));
        assert!(refused(&temp.path().join("none"), false).contains("cannot open: no such file"));
        assert!(refused(&temp.path().join("none/none"), true).contains("no such file"));
        std::os::unix::fs::symlink("nowhere", temp.path().join("link")).unwrap();
        assert!(refused(&temp.path().join("link"), true).contains("symbolic link to a file"));
    }

    #[test]
    fn an_mbox_that_was_made_for_a_message_goes_with_it() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("inbox");
        deliver(&path, true, "A: 1\n", true).unwrap_err();
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
        std::thread::scope(|scope| {
            for n in 0..8 {
                let path = &path;
                scope.spawn(move || deliver(path, true, "A: 1\n", n % 2 == 0).is_ok() == (n % 2 == 1));
            }
        });
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{LINE}A: 1\n\n").repeat(4));
        let mode = |name: &str| fs::metadata(temp.path().join(name)).unwrap().permissions().mode();
        fs::write(temp.path().join("other"), "").unwrap();
        assert_eq!(mode("inbox"), mode("other"), "the umask decides");
    }

    /// Somebody who keeps to no lock.
    fn append_as_a_peer(path: &Path) {
        use std::io::Write;
        File::options().append(true).open(path).unwrap().write_all(b"From peer\n\n").unwrap();
    }

    #[test]
    fn what_a_peer_appends_meanwhile_is_neither_overwritten_nor_cut_away() {
        let old = format!("{LINE}A: 0\n\nold\n\n");
        let (temp, large) = (tempfile::tempdir().unwrap(), "x\n".repeat(BUFFER));
        let path = temp.path().join("inbox");
        for when in ["before", "between two writes", "unseen", "before the flush", "before it is dropped"] {
            fs::write(&path, &old).unwrap();
            let mut extending =
                MboxAppender::open_for_delivery(&path, None, false, &wanted(&[]), Cancel::never()).unwrap();
            if when == "before" {
                append_as_a_peer(&path);
            }
            if when == "unseen" {
                extending.end = None;
                append_as_a_peer(&path);
            }
            let (header, rest) = HeaderEdit::for_delivery(b"A: 1\n\n", true, None);
            let head =
                MessageHead { from_line: FromLineSpec::Made { sender: b"", epoch: 0 }, header, eol: b"\n" };
            let appended = extending.append(&head, Cancel::never(), |chunk| {
                chunk(rest)?;
                chunk(large.as_bytes())?;
                if when == "between two writes" {
                    append_as_a_peer(&path);
                }
                chunk(large.as_bytes())
            });
            if when.starts_with("before ") {
                append_as_a_peer(&path);
            }
            let done = appended.and_then(|_| match when {
                "before it is dropped" | "unseen" => {
                    Err(extending.check().err().unwrap_or(Error::Interrupted))
                }
                _ => extending.flush(),
            });
            assert_eq!(
                matches!(done, Err(Error::ConcurrentWrite { .. })),
                when != "unseen",
                "{when}: {done:?}"
            );
            if when == "unseen" {
                extending.kept = true;
            }
            drop(extending);
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.starts_with(&old) && text.contains("From peer\n\n"), "{when}");
        }
        // Several threads write at offsets that are fixed.
        for when in ["before", "meanwhile"] {
            fs::write(&path, &old).unwrap();
            let mut extending = MboxAppender::open(&path, None, &wanted(&[]), Cancel::never()).unwrap();
            let (length, peer) = (extending.length, || append_as_a_peer(&path));
            let done = match when {
                "before" => {
                    peer();
                    extending.begin_parallel()
                }
                _ => {
                    extending.begin_parallel().unwrap();
                    durable::write_all_at(&extending.file, b"From a\n\n", length).unwrap();
                    peer();
                    extending.finish_parallel(length + 8)
                }
            };
            assert!(matches!(done, Err(Error::ConcurrentWrite { .. })), "{when}");
            drop(extending);
            assert!(fs::read_to_string(&path).unwrap().ends_with("From peer\n\n"), "{when}");
        }
    }

    #[test]
    fn what_qmail_local_writes_is_the_message_with_every_from_line_quoted() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("inbox");
        let wanted = wanted(&[]);
        let mut extending =
            MboxAppender::open_for_delivery(&path, None, true, &wanted, Cancel::never()).unwrap();
        let head = MessageHead {
            from_line: FromLineSpec::Verbatim(b"From a-b Sat Feb 03 04:05:06 2001\n"),
            header: HeaderEdit::Verbatim(b"Return-Path: <a b>\nDelivered-To: c@d\n"),
            eol: b"\n",
        };
        let chunks = [&b"Status: RO\nFro"[..], b"m x\n>From y\n\n>>F", b"rom z\r"];
        extending
            .append(&head, Cancel::never(), |chunk| chunks.iter().try_for_each(|bytes| chunk(bytes)))
            .unwrap();
        extending.commit();
        let written = "From a-b Sat Feb 03 04:05:06 2001\nReturn-Path: <a b>\nDelivered-To: c@d\n\
            Status: RO\n>From x\n>>From y\n\n>>>From z\r\n\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), written);
    }
}
