//! Appending to a manifest, with a way back.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::PathBuf;

use crate::mailbox::error::{Error, Result};
use crate::mailbox::fs::durable::{self, Dir};

/// A manifest being appended to. Dropped before [`Appending::keep`] it takes back what it wrote.
#[derive(Debug)]
pub struct ManifestAppender {
    dir: Dir,
    name: OsString,
    file: File,
    path: PathBuf,
    /// How long it was before.
    before: u64,
    kept: bool,
}

impl ManifestAppender {
    /// Opens a manifest to append to. The caller holds the lock of its Maildir. What stands behind byte
    /// `end`, the end of a line, was left by a killed run and is cut off, for good before this returns:
    /// nothing must be listed that is about to be removed.
    pub fn open(dir: &Dir, name: &OsStr, end: u64) -> Result<ManifestAppender> {
        let path = dir.path().join(name);
        let file = dir.open_append(name, 0o600)?;
        let length = file.metadata().map_err(Error::io("look at", &path))?.len();
        if length > end {
            durable::truncate(&file, end).map_err(Error::io("cut the torn end of", &path))?;
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

    /// Adds whole lines.
    pub fn append(&mut self, lines: &[u8]) -> Result<()> {
        durable::write_all(&self.file, lines).map_err(Error::io("write", &self.path))
    }

    /// From here on what was written stays, however the run ends.
    pub fn commit(&mut self) {
        self.kept = true;
    }

    /// Dates a manifest that is new: the same conversion gives the same tree, times included. (When it
    /// ran is no part of what it says.)
    pub fn set_mtime(&self, epoch: i64) -> Result<()> {
        durable::set_mtime(&self.file, epoch).map_err(Error::io("set the time of", &self.path))
    }

    /// Brings it to stable storage.
    pub fn sync(&self) -> Result<()> {
        durable::sync_file(&self.file).map_err(Error::io("flush", &self.path))
    }
}

impl Drop for ManifestAppender {
    fn drop(&mut self) {
        if !self.kept {
            // The error that brought us here has been told. If this fails too, an open section stays,
            // which says no more than that a run ended early.
            let _ = match self.before {
                0 => self.dir.unlink(&self.name).is_ok(),
                before => durable::truncate(&self.file, before).is_ok(),
            };
        }
    }
}
