//! Appending to a manifest.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::PathBuf;

use crate::mailbox::fs::{Dir, durable};
use crate::mailbox::{Error, Result};

/// A manifest to append to. If it is dropped before [`ManifestAppender::commit`], the appended lines are removed.
#[derive(Debug)]
pub(crate) struct ManifestAppender {
    dir: Dir,
    name: OsString,
    file: File,
    path: PathBuf,
    /// The old length.
    before: u64,
    kept: bool,
}

impl ManifestAppender {
    /// Opens a manifest to append to. The caller holds the lock of the Maildir. The bytes after `end`, the end of a
    /// line, are left from a killed run. They are cut off and flushed before this returns, so that no line lists a
    /// file that is about to be removed.
    pub(crate) fn open(dir: &Dir, name: &OsStr, end: u64) -> Result<ManifestAppender> {
        let path = dir.path().join(name);
        let file = dir.open_append(name, 0o600)?;
        let length = file.metadata().map_err(Error::io("look at", &path))?.len();
        if length > end {
            durable::truncate(&file, end).map_err(Error::io("cut off its torn end", &path))?;
            durable::sync_file(&file).map_err(Error::io("flush", &path))?;
        }
        Ok(ManifestAppender {
            dir: dir.try_clone()?,
            name: name.to_owned(),
            file,
            path,
            before: end,
            kept: false,
        })
    }

    /// Appends complete lines.
    pub(crate) fn append(&mut self, lines: &[u8]) -> Result<()> {
        durable::write_all(&self.file, lines).map_err(Error::io("write", &self.path))
    }

    /// Keeps the appended lines.
    pub(crate) fn commit(&mut self) {
        self.kept = true;
    }

    /// Sets the time of a new manifest: the same conversion creates the same tree, including times.
    pub(crate) fn set_mtime(&self, epoch: i64) -> Result<()> {
        durable::set_mtime(&self.file, epoch).map_err(Error::io("set its time", &self.path))
    }

    /// Brings the manifest to stable storage.
    pub(crate) fn sync(&self) -> Result<()> {
        durable::sync_file(&self.file).map_err(Error::io("flush", &self.path))
    }
}

impl Drop for ManifestAppender {
    fn drop(&mut self) {
        if !self.kept {
            // The first error was reported. If this fails, too, an open section stays, which only shows that a run
            // ended early.
            let _ = match self.before {
                0 => self.dir.unlink(&self.name).is_ok(),
                before => durable::truncate(&self.file, before).is_ok(),
            };
        }
    }
}
