//! The file of a report: it appears complete, and replaces an earlier one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::mailbox::fs::{Dir, files, parent_of};
use crate::mailbox::{Error, Result};

/// It names people, so others cannot read it.
const MODE: u32 = 0o600;

#[derive(Debug)]
pub(super) struct ReportFile {
    path: PathBuf,
    dir: Dir,
    name: OsString,
}

impl ReportFile {
    /// Opens the directory, to fail before the work and not after it.
    ///
    /// # Errors
    /// [`Error::Destination`] for a missing directory, or a directory of that name; [`Error::Io`].
    pub(super) fn open(path: &Path) -> Result<ReportFile> {
        let parent = parent_of(path);
        let dir = Dir::open(parent).map_err(|error| match error.is(std::io::ErrorKind::NotFound) {
            true => Error::destination(parent, "no such directory for the report; create it"),
            false => error,
        })?;
        dir.check_writable()?;
        match path.file_name().filter(|_| !files::is_dir(path)) {
            Some(name) => Ok(ReportFile { path: path.to_owned(), dir, name: name.to_owned() }),
            None => Err(Error::destination(path, "is a directory; name a file for the report")),
        }
    }

    /// Returns its path without links. An existing link is replaced, and its target stays.
    pub(super) fn real_path(&self) -> Result<PathBuf> {
        let parent = parent_of(&self.path);
        let real = files::canonicalize(parent).map_err(Error::io("look up", parent))?;
        Ok(real.join(&self.name))
    }

    pub(super) fn write(&self, bytes: &[u8]) -> Result<()> {
        let written = self.dir.write_atomic(&self.dir, &self.name, bytes, MODE);
        written.and_then(|()| self.dir.sync()).map_err(|error| match error {
            // The name of the temporary file is of no use.
            Error::Io { source, .. } => Error::io("write the report", &self.path)(source),
            error => error,
        })
    }
}
