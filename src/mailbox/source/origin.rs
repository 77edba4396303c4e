//! The file of a source, and what shows that it has changed.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FileType, Stat};

use crate::mailbox::fs::durable::FileId;
use crate::mailbox::fs::lock::{self, LockMode, MailboxLock};
use crate::mailbox::fs::{archived, files};
use crate::mailbox::text::shell_quote;
use crate::mailbox::{Cancel, Error, Finding, LockOptions, Result};

/// The file of a source. It stays open if it is locked, since its locks end with it.
#[derive(Debug)]
pub(super) struct Origin {
    /// `None` once the locks are released, see [`Source::open_live`](super::Source::open_live).
    pub(super) lock: Option<MailboxLock>,
    /// None if it is not locked.
    pub(super) file: Option<File>,
    pub(super) first: FileState,
    /// The hash of a live source when it was opened.
    pub(super) initial_hash: Option<blake3::Hash>,
}

impl Origin {
    /// Opens and locks a file. The caller may keep it open in [`Origin::file`].
    pub(super) fn open(
        path: &Path,
        locks: &LockOptions,
        cancel: &Cancel,
    ) -> Result<(Origin, File, Vec<Finding>)> {
        let failed = |e: io::Error| Error::io("open", path)(e);
        // Checked before opening, since opening a device may act on it (rewind a tape). Checked again after
        // opening, since the file may have been replaced.
        refuse_irregular(path, &files::stat(path).map_err(failed)?)?;
        let file = files::open(path).map_err(failed)?;
        let state = || rustix::fs::fstat(&file).map_err(|e| failed(e.into()));
        refuse_irregular(path, &state()?)?;
        // Nothing else opens a member of an archive.
        let no_locks = LockOptions::none();
        let locks = if archived::is_member(path) { &no_locks } else { locks };
        let (lock, findings) = lock::acquire(path, &file, LockMode::Read, locks, cancel)?;
        // Read after locking: the file may have grown while mailferry waited for the lock.
        let first = FileState::of(&state()?);
        Ok((Origin { lock: Some(lock), file: None, first, initial_hash: None }, file, findings))
    }

    pub(super) fn now(&self, path: &Path) -> Result<FileState> {
        let failed = Error::io("look up", path);
        let Some(file) = &self.file else {
            return match files::stat(path) {
                Ok(stat) if FileId::of(&stat) == self.first.id => Ok(FileState::of(&stat)),
                // That the path leads elsewhere is found next.
                Ok(_) => Ok(self.first),
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(self.first),
                Err(e) => Err(failed(e)),
            };
        };
        rustix::fs::fstat(file).map(|stat| FileState::of(&stat)).map_err(|e| failed(e.into()))
    }

    /// Describes how the path no longer leads to this file.
    pub(super) fn replaced(&self, path: &Path) -> Result<Option<String>> {
        if archived::is_member(path) {
            return Ok(None);
        }
        match files::stat(path) {
            Ok(stat) if FileId::of(&stat) == self.first.id => Ok(None),
            Ok(_) => Ok(Some("another file was put in its place".to_owned())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Some("it was removed or renamed".to_owned())),
            Err(e) => Err(Error::io("look up", path)(e)),
        }
    }
}

/// The identity, size and time of a file at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileState {
    id: FileId,
    pub(super) size: u64,
    /// Seconds and nanoseconds.
    pub(super) mtime: (i64, u64),
}

impl FileState {
    #[allow(clippy::unnecessary_cast)] // the types differ between architectures
    fn of(stat: &Stat) -> FileState {
        FileState {
            id: FileId::of(stat),
            size: stat.st_size as u64,
            mtime: (stat.st_mtime as i64, stat.st_mtime_nsec as u64),
        }
    }

    /// Describes how `now` differs.
    pub(super) fn difference(&self, now: &FileState) -> Option<String> {
        let (was, is) = (self.size, now.size);
        if is != was {
            let verb = if is > was { "grew" } else { "shrank" };
            Some(format!("it {verb} from {was} to {is} bytes"))
        } else if now.mtime != self.mtime {
            Some(format!("it was written to, though its size is still {is} bytes"))
        } else {
            None
        }
    }
}

fn refuse_irregular(path: &Path, stat: &Stat) -> Result<()> {
    let piped = || format!("read it from standard input: name it - and add < {}", shell_quote(path));
    let (what, hint) = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => ("directory", "name a file in it".to_owned()),
        FileType::Fifo => ("FIFO", piped()),
        FileType::CharacterDevice => ("character device", piped()),
        FileType::BlockDevice => ("block device", piped()),
        FileType::Socket => ("socket", "name a file".to_owned()),
        _ => ("thing of an unknown kind", "name a file".to_owned()),
    };
    Err(Error::NotAMailbox { path: path.to_owned(), reason: format!("it is a {what}"), hint: Some(hint) })
}
