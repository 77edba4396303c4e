//! A file that appears whole: it grows beside its name, in `.NAME.mailferry-partial`, and gets the name
//! when all of it is on stable storage.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::mailbox::context::Cancel;
use crate::mailbox::error::{Error, Result};
use crate::mailbox::fs::durable;
use crate::mailbox::fs::durable::{Dir, FileId};
use crate::mailbox::fs::lock;
use crate::mailbox::fs::lock::DirLock;
use crate::mailbox::fs::ownership::FILE_MODE;
use crate::mailbox::fs::parent_of;

/// Such a file; dropped before [`Growing::publish`] it goes away.
#[derive(Debug)]
pub struct AtomicFile {
    /// To write into.
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
    /// Begins one. A file that has the name is refused unless it is to be replaced. What a killed run left
    /// behind is taken over; who else is at it now is waited for.
    ///
    /// # Errors
    /// [`Error::Destination`], [`Error::Locked`], [`Error::Interrupted`], [`Error::Io`].
    pub fn create(path: &Path, replace: bool, wait: Duration, cancel: &Cancel) -> Result<AtomicFile> {
        let (dir, name) = AtomicFile::check(path, replace)?;
        let mut partial = OsString::from(".");
        partial.push(&name);
        partial.push(".mailferry-partial");
        loop {
            let file = dir.open_or_create(&partial, FILE_MODE)?;
            let lock = lock::lock_file(path, &file, wait, cancel)?;
            let ours = rustix::fs::fstat(&file).map_err(|e| Error::io("look at", path)(e.into()))?;
            // While we waited another one may have published what we have opened.
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

    /// Refuses what [`Growing::create`] would, and writes nothing.
    pub fn check(path: &Path, replace: bool) -> Result<(Dir, OsString)> {
        let name = path.file_name().ok_or_else(|| refuse(path, "is no name for a file"))?;
        let dir = Dir::open(parent_of(path))?;
        dir.check_writable()?;
        if path.is_dir() {
            return Err(refuse(path, "is a directory; name a file"));
        }
        if dir.exists(name)? && !replace {
            return Err(refuse(path, EXISTS));
        }
        Ok((dir, name.to_owned()))
    }

    /// Gives the file its name; with `flush` both are on stable storage then.
    pub fn commit(mut self, flush: bool) -> Result<()> {
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
            // Nobody is left to hear of an error; the next run takes over what stays.
            let _ = self.dir.unlink(&self.partial);
        }
    }
}

const EXISTS: &str = "exists; --force replaces it";

fn refuse(path: &Path, reason: &str) -> Error {
    Error::Destination { path: path.to_owned(), reason: reason.into() }
}
