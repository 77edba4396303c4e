//! A file that appears complete: it is written to `.NAME.mailferry-partial`, and renamed once it is on stable
//! storage.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Dir;
use crate::mailbox::fs::durable::{self, FileId};
use crate::mailbox::fs::lock::{self, DirLock};
use crate::mailbox::fs::modes::FILE_MODE;
use crate::mailbox::fs::{files, parent_of};
use crate::mailbox::{Cancel, Error, Result};

/// A file that is being written. Dropped before [`AtomicFile::commit`] it is removed.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    pub file: File,
    dir: Dir,
    name: OsString,
    partial: OsString,
    path: PathBuf,
    replace: bool,
    published: bool,
    _lock: DirLock,
}

impl AtomicFile {
    /// Starts to write. A file that has the name is refused unless `replace` is set. A file that a killed run left
    /// over is reused; a run that is still writing is waited for.
    ///
    /// # Errors
    /// [`Error::Destination`], [`Error::Locked`], [`Error::Interrupted`], [`Error::Io`].
    pub(crate) fn create(path: &Path, replace: bool, wait: Duration, cancel: &Cancel) -> Result<AtomicFile> {
        let (dir, name) = AtomicFile::check(path, replace)?;
        let mut partial = OsString::from(".");
        partial.push(&name);
        partial.push(".mailferry-partial");
        loop {
            let file = dir.open_or_create(&partial, FILE_MODE)?;
            let lock = lock::lock_file(path, &file, wait, cancel)?;
            let ours = rustix::fs::fstat(&file).map_err(|e| Error::io("look at", path)(e.into()))?;
            // Another run may have published the opened file while this one waited.
            if dir.child_id(&partial)? == Some(FileId::of(&ours)) {
                durable::truncate(&file, 0).map_err(Error::io("write", path))?;
                let path = path.to_owned();
                return Ok(AtomicFile {
                    file,
                    dir,
                    name,
                    partial,
                    path,
                    replace,
                    published: false,
                    _lock: lock,
                });
            }
        }
    }

    /// Refuses what [`AtomicFile::create`] would refuse, and writes nothing.
    pub(crate) fn check(path: &Path, replace: bool) -> Result<(Dir, OsString)> {
        let name = path.file_name().ok_or_else(|| refuse(path, "is not a name for a file"))?;
        let parent = parent_of(path);
        let dir = Dir::open(parent).map_err(|error| match error.is(std::io::ErrorKind::NotFound) {
            true => refuse(parent, MISSING_PARENT),
            false => error,
        })?;
        dir.check_writable()?;
        if files::is_dir(path) {
            return Err(refuse(path, "is a directory; name a file"));
        }
        if dir.exists(name)? && !replace {
            return Err(refuse(path, EXISTS));
        }
        Ok((dir, name.to_owned()))
    }

    /// Renames the file. With `flush`, the file and its name are on stable storage afterwards.
    pub(crate) fn commit(mut self, flush: bool) -> Result<()> {
        if flush {
            durable::sync_file(&self.file).map_err(Error::io("flush", &self.path))?;
        }
        let done = if self.replace {
            self.dir.replace(&self.partial, &self.name).map(|()| true)
        } else {
            self.dir.rename_noreplace(&self.partial, &self.dir, &self.name)
        };
        self.published = done?;
        if !self.published {
            return Err(refuse(&self.path, EXISTS));
        }
        if flush { self.dir.sync() } else { Ok(()) }
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.published {
            // There is no caller to report an error to; the next run reuses the file.
            let _ = self.dir.unlink(&self.partial);
        }
    }
}

/// What to do about a directory that is missing above a new mailbox.
pub(crate) const MISSING_PARENT: &str = "no such directory; use --parents to create it";
const EXISTS: &str = "already exists; use --force to replace it";

fn refuse(path: &Path, reason: &str) -> Error {
    Error::Destination { path: path.to_owned(), reason: reason.into() }
}
