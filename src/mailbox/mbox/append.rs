//! Appending to an mbox under its locks. The end of the mbox is repaired first. On an error the mbox is truncated
//! to its old length.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::Variant;
use super::tail::{self, Tail};
use super::write::{Changes, MessageHead, MessageWriter};
use crate::mailbox::fs::durable::{self, FileId};
use crate::mailbox::fs::foreign::{refuse_foreign_links, refuse_foreign_mbox};
use crate::mailbox::fs::lock::{self, LockMode, MailboxLock};
use crate::mailbox::fs::{Dir, files, parent_of};
use crate::mailbox::mbox::write::Unrepresentable;
use crate::mailbox::source::mapped::MappedFile;
use crate::mailbox::{Cancel, Error, Finding, LockOptions, Result};

/// The size of a write. A message of the usual size is one write(2), so a kill leaves all of it or nothing.
const BUFFER: usize = 1 << 20;
/// The mode of a new mbox, subject to the umask.
const MODE: u32 = 0o666;
/// How often a mailbox is opened again that other programs replace while mailferry waits for its lock.
const ATTEMPTS: usize = 10;

/// An mbox to append to. If it is dropped before [`MboxAppender::commit`], the mbox gets its old length back.
#[derive(Debug)]
pub(crate) struct MboxAppender {
    pub file: File,
    /// The old length in bytes.
    pub length: u64,
    /// The variant to continue with.
    pub variant: Variant,
    /// The bytes to write first: a final newline, a blank line.
    pub repair: Vec<u8>,
    /// Locks that were not acquired.
    pub findings: Vec<Finding>,
    path: PathBuf,
    /// The expected length. `None` while several threads write.
    end: Option<u64>,
    /// Set if the mbox is new.
    created: Option<CreatedFile>,
    committed: bool,
    // Released before the file is closed: fields are dropped in this order.
    _lock: MailboxLock,
}

/// The directory entry of a new mbox.
#[derive(Debug)]
struct CreatedFile {
    dir: Dir,
    name: OsString,
}

impl MboxAppender {
    /// Opens and locks an mbox, and examines all of it. By default it keeps its variant.
    ///
    /// # Errors
    /// [`Error::Destination`] for a file that cannot be continued, [`Error::NotAMailbox`], [`Error::Locked`],
    /// [`Error::Interrupted`], [`Error::Io`].
    pub(crate) fn open(
        path: &Path,
        variant: Option<Variant>,
        locks: &LockOptions,
        cancel: &Cancel,
    ) -> Result<MboxAppender> {
        let mut appender = MboxAppender::lock(path, false, locks, cancel)?;
        let old = MappedFile::map(&appender.file, appender.length, path)?;
        appender.continue_as(tail::examine(old.as_deref().unwrap_or_default(), path, variant, cancel)?);
        Ok(appender)
    }

    /// Opens and locks an mbox for one message, and examines only its two ends: the size of the mbox does not
    /// matter. By default a file without frames is continued as mboxrd. With `create`, a missing mbox is created,
    /// and removed again unless it is committed.
    ///
    /// # Errors
    /// As [`MboxAppender::open`]; [`Error::Unsupported`] for a variant with Content-Length.
    pub(crate) fn open_for_delivery(
        path: &Path,
        variant: Option<Variant>,
        create: bool,
        locks: &LockOptions,
        cancel: &Cancel,
    ) -> Result<MboxAppender> {
        if let Some(variant @ (Variant::Mboxcl | Variant::Mboxcl2 | Variant::Rfc822)) = variant {
            let reason = format!("a message cannot be delivered as {variant}; mboxrd, mboxo and mmdf can");
            return Err(Error::unsupported(path, reason));
        }
        let mut appender = MboxAppender::lock(path, create, locks, cancel)?;
        // A program that uses another lock, or none, may append at any time. mailferry must then append after
        // its bytes, not overwrite them.
        durable::set_append(&appender.file).map_err(Error::io("open", path))?;
        appender.continue_as(tail::examine_ends(&appender.file, appender.length, path, variant)?);
        Ok(appender)
    }

    fn continue_as(&mut self, tail: Tail) {
        self.variant = tail.variant;
        self.repair = tail.repair;
    }

    /// Opens and locks an mbox without reading it.
    fn lock(path: &Path, create: bool, locks: &LockOptions, cancel: &Cancel) -> Result<MboxAppender> {
        for _ in 0..ATTEMPTS {
            let mut created = None;
            let existing = open(path, create)?;
            let open = || match existing {
                Some(file) => Ok(file),
                None => {
                    let (file, entry) = create_mbox(path)?;
                    created = Some(entry);
                    Ok(file)
                }
            };
            let locked = lock::acquire_with(path, open, LockMode::Write, locks, cancel);
            let (lock, findings) = match locked {
                // Another program created it first.
                Err(error) if create && error.is(io::ErrorKind::AlreadyExists) => continue,
                locked => locked?,
            };
            let file = lock.file().map_err(Error::io("open", path))?;
            let Some(length) = length_if_current(path, &file)? else { continue };
            // Another program may have locked the new mbox first, and delivered into it.
            let created = created.filter(|_| length == 0);
            return Ok(MboxAppender {
                file,
                length,
                variant: Variant::Mboxrd,
                repair: Vec::new(),
                findings,
                path: path.to_owned(),
                end: Some(length),
                created,
                committed: false,
                _lock: lock,
            });
        }
        let how = "another file was put in its place, again and again".into();
        Err(Error::Changed { path: path.to_owned(), how })
    }

    /// Appends one message. `chunks` passes its bytes, see [`MessageHead`]. [`MboxAppender::sync`] brings it to
    /// stable storage.
    ///
    /// # Errors
    /// [`Error::Unrepresentable`] for a message that MMDF cannot represent, [`Error::ConcurrentWrite`],
    /// [`Error::Io`], [`Error::Interrupted`], and those of `chunks`.
    pub(crate) fn append(
        &mut self,
        head: &MessageHead<'_>,
        cancel: &Cancel,
        chunks: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
    ) -> Result<Changes> {
        let (variant, path) = (self.variant, self.path.clone());
        let unrepresentable = |Unrepresentable| Error::unrepresentable(&path);
        let mut out = self.repair.clone();
        let mut flush = |out: &mut Vec<u8>| {
            cancel.check()?;
            self.write(out)?;
            out.clear();
            Ok(())
        };
        let mut writer = MessageWriter::begin(variant, head, &mut out).map_err(unrepresentable)?;
        chunks(&mut |chunk| {
            for chunk in chunk.chunks(BUFFER) {
                writer.push(chunk, &mut out).map_err(unrepresentable)?;
                if out.len() >= BUFFER {
                    flush(&mut out)?;
                }
            }
            Ok(())
        })?;
        let changes = writer.finish(&mut out).map_err(unrepresentable)?;
        flush(&mut out)?;
        self.check_length()?;
        Ok(changes)
    }

    /// Writes at the end, after checking the length.
    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            self.check_length()?;
            let written = durable::write_some(&self.file, bytes).map_err(Error::io("write", &self.path))?;
            self.end = self.end.map(|end| end + written as u64);
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Lets several threads write, each at its own offset, until [`MboxAppender::finish_parallel`].
    pub(crate) fn begin_parallel(&mut self) -> Result<()> {
        self.check_length()?;
        self.end = None;
        Ok(())
    }

    /// Ends parallel writing. `end` is the offset after the last byte written.
    pub(crate) fn finish_parallel(&mut self, end: u64) -> Result<()> {
        self.end = Some(end);
        self.check_length()
    }

    /// Checks that the mbox has the expected length. A lock stops only programs that use the same lock. Others may
    /// append, or truncate.
    fn check_length(&self) -> Result<()> {
        let length = self.file.metadata().map_err(Error::io("look at", &self.path))?.len();
        match self.end {
            Some(end) if end != length => {
                let how = format!("it has {length} bytes and should have {end}");
                Err(Error::ConcurrentWrite { path: self.path.clone(), how })
            }
            _ => Ok(()),
        }
    }

    /// Brings the appended bytes to stable storage, and the name of the mbox: the program that created it may have
    /// been killed before it did that.
    pub(crate) fn sync(&self) -> Result<()> {
        let flushed = durable::sync_file(&self.file).map_err(Error::io("flush", &self.path));
        // Checked first: after a concurrent write nothing is truncated.
        self.check_length()?;
        flushed?;
        let real = files::canonicalize(&self.path).map_err(Error::io("look up", &self.path))?;
        match Dir::open(parent_of(&real)) {
            // A directory that cannot be read (mode 0711) cannot be flushed.
            Err(_) if self.length > 0 => Ok(()),
            dir => dir?.sync(),
        }
    }

    /// Keeps the appended bytes, and releases the locks.
    pub(crate) fn commit(mut self) {
        self.committed = true;
    }

    /// Truncates the mbox to its old length, or removes a new one. After a concurrent write it stays: a duplicate
    /// is better than a lost message of another program.
    fn roll_back(&self) {
        // If nothing was written, the modification time stays, too.
        let is_ours = |length| length > self.length && self.end.is_none_or(|end| end == length);
        if self.file.metadata().is_ok_and(|meta| is_ours(meta.len())) {
            // If the second attempt fails, too, the first error was reported, and all appended messages but the
            // last are complete.
            let truncate = || durable::truncate(&self.file, self.length);
            let _ = truncate().or_else(|_| truncate());
            let _ = durable::sync_file(&self.file);
        }
        let Some(CreatedFile { dir, name }) = &self.created else { return };
        let id = rustix::fs::fstat(&self.file).map(|stat| (FileId::of(&stat), stat.st_size));
        // A file that replaced it stays, and so does one that was not truncated.
        if let Ok((id, 0)) = id
            && dir.child_id(name).ok().flatten() == Some(id)
        {
            let _ = dir.unlink(name).or_else(|_| dir.unlink(name));
        }
    }
}

impl Drop for MboxAppender {
    fn drop(&mut self) {
        if !self.committed {
            self.roll_back();
        }
    }
}

/// Opens an mbox. Returns `None` if it is missing and `create` is set.
fn open(path: &Path, create: bool) -> Result<Option<File>> {
    let refuse = |reason| Error::destination(path, reason);
    refuse_foreign_links(path)?;
    // What is no link now must be none when it is opened.
    let flags = if files::is_symlink(path) { OFlags::RDWR } else { OFlags::RDWR | OFlags::NOFOLLOW };
    let opened = files::metadata(path).and_then(|meta| match meta.is_file() {
        true => files::open_with(path, flags).map(Some),
        false => Ok(None),
    });
    match opened {
        Ok(Some(file)) => refuse_foreign_mbox(path, &file).map(|()| Some(file)),
        Ok(None) => Err(refuse("is not a regular file; nothing can be appended to it")),
        Err(e) if create && e.kind() == io::ErrorKind::NotFound && files::is_symlink(path) => {
            Err(refuse("is a symbolic link to a file that does not exist"))
        }
        Err(e) if create && e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("open", path)(e)),
    }
}

/// Creates an mbox. It stays if its locks are not acquired: another program may use it already.
fn create_mbox(path: &Path) -> Result<(File, CreatedFile)> {
    let name =
        path.file_name().ok_or_else(|| Error::destination(path, "is not a name for a file"))?.to_owned();
    let dir = Dir::open(parent_of(path))?;
    let file = dir.create_read_write(&name, MODE)?;
    Ok((file, CreatedFile { dir, name }))
}

/// Returns the length of the file if the path still leads to it: it may have been replaced or removed before it was
/// locked.
fn length_if_current(path: &Path, file: &File) -> Result<Option<u64>> {
    let failed = |e: rustix::io::Errno| Error::io("look at", path)(e.into());
    let ours = rustix::fs::fstat(file).map_err(failed)?;
    let current = match files::stat(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        current => current.map_err(Error::io("look at", path))?,
    };
    Ok((FileId::of(&ours) == FileId::of(&current)).then_some(ours.st_size as u64))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;
    use crate::mailbox::context::LockMethod;
    use crate::mailbox::mbox::write::{FromLineSpec, HeaderEdit, line_ending};

    const LINE: &str = "From a@b Mon Jan  1 10:00:05 2001\n";

    fn lock_options(methods: &[LockMethod]) -> LockOptions {
        let timeout = Duration::from_secs(20);
        LockOptions { methods: methods.to_vec(), timeout, pid: std::process::id(), host: "here".into() }
    }

    fn deliver(path: &Path, create: bool, message: &str, fail: bool) -> Result<()> {
        let lock_options = lock_options(&[LockMethod::Dotlock, LockMethod::Fcntl]);
        let mut appender =
            MboxAppender::open_for_delivery(path, None, create, &lock_options, Cancel::never())?;
        let (header, rest) = HeaderEdit::for_delivery(message.as_bytes(), true, None);
        let envelope = FromLineSpec::Generated { sender: b"a@b", epoch: 978_343_205 };
        let head = MessageHead { from_line: envelope, header, eol: line_ending(message.as_bytes()) };
        appender.append(&head, Cancel::never(), |chunk| {
            chunk(rest)?;
            if fail { Err(Error::Interrupted) } else { Ok(()) }
        })?;
        appender.sync()?;
        appender.commit();
        Ok(())
    }

    /// Returns the bytes that a delivery appends to an mbox with this text.
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
    fn a_message_is_appended_after_a_blank_line() {
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
            // Cut off in the middle of a message, as by a kill.
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
    fn only_an_mbox_that_can_be_continued_is_appended_to() {
        let frame = "\u{1}\u{1}\u{1}\u{1}\n";
        let framed = format!("{frame}A: 1\n\nx\n{frame}");
        for (text, why) in [
            ("hello\n", "no line of its 6 bytes begins"),
            ("From here on it is prose\nand so on\n", "is not a separator"),
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
        assert!(refused(temp.path(), true).contains("not a regular file"));
        assert!(refused(&temp.path().join("none"), false).contains("cannot open: no such file"));
        assert!(refused(&temp.path().join("none/none"), true).contains("no such file"));
        std::os::unix::fs::symlink("nowhere", temp.path().join("link")).unwrap();
        assert!(refused(&temp.path().join("link"), true).contains("symbolic link to a file"));
    }

    #[test]
    fn a_new_mbox_is_removed_if_its_message_is_not_committed() {
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

    /// Appends without a lock.
    fn append_as_a_peer(path: &Path) {
        use std::io::Write;
        File::options().append(true).open(path).unwrap().write_all(b"From peer\n\n").unwrap();
    }

    #[test]
    fn bytes_that_another_program_appends_survive() {
        let old = format!("{LINE}A: 0\n\nold\n\n");
        let (temp, large) = (tempfile::tempdir().unwrap(), "x\n".repeat(BUFFER));
        let path = temp.path().join("inbox");
        for when in ["before", "between two writes", "unseen", "before the flush", "before it is dropped"] {
            fs::write(&path, &old).unwrap();
            let mut appender =
                MboxAppender::open_for_delivery(&path, None, false, &lock_options(&[]), Cancel::never())
                    .unwrap();
            if when == "before" {
                append_as_a_peer(&path);
            }
            if when == "unseen" {
                appender.end = None;
                append_as_a_peer(&path);
            }
            let (header, rest) = HeaderEdit::for_delivery(b"A: 1\n\n", true, None);
            let head = MessageHead {
                from_line: FromLineSpec::Generated { sender: b"", epoch: 0 },
                header,
                eol: b"\n",
            };
            let appended = appender.append(&head, Cancel::never(), |chunk| {
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
                    Err(appender.check_length().err().unwrap_or(Error::Interrupted))
                }
                _ => appender.sync(),
            });
            assert_eq!(
                matches!(done, Err(Error::ConcurrentWrite { .. })),
                when != "unseen",
                "{when}: {done:?}"
            );
            if when == "unseen" {
                appender.committed = true;
            }
            drop(appender);
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.starts_with(&old) && text.contains("From peer\n\n"), "{when}");
        }
        // Several threads write at offsets that are fixed.
        for when in ["before", "meanwhile"] {
            fs::write(&path, &old).unwrap();
            let mut appender = MboxAppender::open(&path, None, &lock_options(&[]), Cancel::never()).unwrap();
            let (length, peer) = (appender.length, || append_as_a_peer(&path));
            let done = match when {
                "before" => {
                    peer();
                    appender.begin_parallel()
                }
                _ => {
                    appender.begin_parallel().unwrap();
                    durable::write_all_at(&appender.file, b"From a\n\n", length).unwrap();
                    peer();
                    appender.finish_parallel(length + 8)
                }
            };
            assert!(matches!(done, Err(Error::ConcurrentWrite { .. })), "{when}");
            drop(appender);
            assert!(fs::read_to_string(&path).unwrap().ends_with("From peer\n\n"), "{when}");
        }
    }

    #[test]
    fn verbatim_writing_quotes_every_from_line_as_qmail_local() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("inbox");
        let lock_options = lock_options(&[]);
        let mut appender =
            MboxAppender::open_for_delivery(&path, None, true, &lock_options, Cancel::never()).unwrap();
        let head = MessageHead {
            from_line: FromLineSpec::Verbatim(b"From a-b Sat Feb 03 04:05:06 2001\n"),
            header: HeaderEdit::Verbatim(b"Return-Path: <a b>\nDelivered-To: c@d\n"),
            eol: b"\n",
        };
        let chunks = [&b"Status: RO\nFro"[..], b"m x\n>From y\n\n>>F", b"rom z\r"];
        appender
            .append(&head, Cancel::never(), |chunk| chunks.iter().try_for_each(|bytes| chunk(bytes)))
            .unwrap();
        appender.commit();
        let written = "From a-b Sat Feb 03 04:05:06 2001\nReturn-Path: <a b>\nDelivered-To: c@d\n\
            Status: RO\n>From x\n>>From y\n\n>>>From z\r\n\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), written);
    }
}
