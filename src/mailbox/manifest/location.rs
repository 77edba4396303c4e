//! Where the manifest of a Maildir is. Nothing else decides that.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::read::read_headers;
use super::{Manifest, ManifestAppender, SectionHeader, parse};
use crate::mailbox::fs::durable::{self, FileId};
use crate::mailbox::fs::lock::{self, DirLock};
use crate::mailbox::fs::{Dir, files, parent_of, read_regular};
use crate::mailbox::source::mapped::MappedFile;
use crate::mailbox::{Cancel, Error, Result};

/// The name of the manifest in a Maildir.
pub(crate) const FILE_NAME: &str = "mailferry.manifest";

/// Where the manifest of a Maildir is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ManifestLocation<'a> {
    /// In the Maildir itself.
    InMaildir,
    /// In this file.
    File(&'a Path),
    /// Nowhere: there is no manifest.
    None,
}

impl<'a> ManifestLocation<'a> {
    /// The location that a `--manifest` names; in the Maildir where there is none.
    pub(crate) fn named(path: Option<&'a Path>) -> ManifestLocation<'a> {
        path.map_or(ManifestLocation::InMaildir, ManifestLocation::File)
    }

    /// Returns the path of the manifest of `maildir`.
    pub(crate) fn path(self, maildir: &Path) -> Option<PathBuf> {
        match self {
            ManifestLocation::InMaildir => Some(maildir.join(FILE_NAME)),
            ManifestLocation::File(path) => Some(path.to_owned()),
            ManifestLocation::None => None,
        }
    }

    /// Reports whether `maildir` has its manifest.
    pub(crate) fn exists(self, maildir: &Path) -> bool {
        self.path(maildir).is_some_and(files::exists)
    }

    /// Reads the manifest in the stage of a killed run; `None` where there is nothing to resume.
    pub(crate) fn read_staged(stage: &Dir) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        stage.open_file(OsStr::new(FILE_NAME)).ok()?.read_to_end(&mut text).ok()?;
        (!text.is_empty()).then_some(text)
    }

    /// Reads the manifest of `maildir`; `None` where there is none.
    pub(crate) fn read(self, maildir: &Path) -> Result<Option<ManifestFile>> {
        if self == ManifestLocation::None {
            return Ok(None);
        }
        match self.read_existing(maildir) {
            Err(error) if error.is(io::ErrorKind::NotFound) => Ok(None),
            read => read.map(Some),
        }
    }

    /// Reads the manifest of `maildir`, and fails where there is none.
    pub(crate) fn read_existing(self, maildir: &Path) -> Result<ManifestFile> {
        let path = self.path(maildir).unwrap_or_else(|| maildir.join(FILE_NAME));
        let text = read_regular(&path).map_err(Error::io("read the manifest", &path))?;
        Ok(ManifestFile { path, text })
    }

    /// Reads the manifest of `maildir` like [`ManifestLocation::read`], and maps a large one.
    pub(crate) fn load(self, maildir: &Path) -> Result<Option<(PathBuf, ManifestText)>> {
        match self.load_existing(maildir) {
            Err(error) if error.is(io::ErrorKind::NotFound) => Ok(None),
            loaded => loaded.map(Some),
        }
    }

    /// Reads the manifest of `maildir` like [`ManifestLocation::read_existing`], and maps a large one.
    pub(crate) fn load_existing(self, maildir: &Path) -> Result<(PathBuf, ManifestText)> {
        let path = self.path(maildir).unwrap_or_else(|| maildir.join(FILE_NAME));
        let (file, size) = files::open_regular(&path).map_err(Error::io("read the manifest", &path))?;
        if size >= MAPPED_FROM
            && let Some(map) = MappedFile::map(&file, size, &path)?.filter(MappedFile::is_guarded)
        {
            return Ok((path, ManifestText::Mapped(map)));
        }
        let text = read_regular(&path).map_err(Error::io("read the manifest", &path))?;
        Ok((path, ManifestText::Read(text)))
    }

    /// Locks a manifest outside of the Maildir. Several Maildirs may share one, each with a lock of its own.
    /// Returns `None` where the lock of the Maildir is enough.
    pub(crate) fn lock(self, timeout: Duration, cancel: &Cancel) -> Result<Option<ManifestLock>> {
        match self {
            ManifestLocation::File(path) => ManifestLock::acquire(path, timeout, cancel).map(Some),
            ManifestLocation::InMaildir | ManifestLocation::None => Ok(None),
        }
    }

    /// Opens the manifest to append to after byte `end`. `root` is the Maildir, or its stage.
    pub(crate) fn open(self, root: &Dir, end: u64) -> Result<Option<ManifestAppender>> {
        match self {
            ManifestLocation::InMaildir => ManifestAppender::open(root, OsStr::new(FILE_NAME), end).map(Some),
            ManifestLocation::File(path) => {
                ManifestAppender::open(&Dir::open(parent_of(path))?, file_name(path)?, end).map(Some)
            }
            ManifestLocation::None => Ok(None),
        }
    }
}

/// A larger manifest is mapped. Few have this size, so that no mapping is without its guard.
const MAPPED_FROM: u64 = 4 << 20;

/// The bytes of a manifest.
#[derive(Debug)]
pub(crate) enum ManifestText {
    Read(Vec<u8>),
    Mapped(MappedFile),
}

impl Deref for ManifestText {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            ManifestText::Read(text) => text,
            ManifestText::Mapped(map) => map,
        }
    }
}

/// A manifest that was read.
#[derive(Debug)]
pub(crate) struct ManifestFile {
    pub path: PathBuf,
    pub text: Vec<u8>,
}

impl ManifestFile {
    /// Divides the manifest into sections. See [`parse`].
    pub(crate) fn parse(&self) -> Result<Manifest<'_>> {
        parse(&self.text, &self.path)
    }

    /// See [`read_headers`].
    pub(crate) fn headers(&self) -> Vec<SectionHeader> {
        read_headers(&self.text)
    }

    /// Brings the manifest to stable storage.
    pub(crate) fn sync(&self) -> Result<()> {
        let file = files::open(&self.path).map_err(Error::io("open", &self.path))?;
        durable::sync_file(&file).map_err(Error::io("flush", &self.path))
    }
}

/// The lock of a manifest outside of the Maildir. The file is created for the lock where it is missing.
/// It is removed again if nothing was written.
#[derive(Debug)]
pub(crate) struct ManifestLock {
    dir: Dir,
    name: OsString,
    file: File,
    _lock: DirLock,
}

impl ManifestLock {
    fn acquire(path: &Path, timeout: Duration, cancel: &Cancel) -> Result<ManifestLock> {
        let name = file_name(path)?;
        let dir = Dir::open(parent_of(path))?;
        loop {
            let file = dir.open_append(name, 0o600)?;
            let _lock = lock::lock_file(path, &file, timeout, cancel)?;
            let lock = ManifestLock { dir: dir.try_clone()?, name: name.to_owned(), file, _lock };
            // The previous holder may have removed the file, having written nothing.
            if lock.is_named()? {
                return Ok(lock);
            }
        }
    }

    fn is_named(&self) -> Result<bool> {
        let stat =
            rustix::fs::fstat(&self.file).map_err(|e| Error::io("look up", self.dir.path())(e.into()))?;
        Ok(self.dir.child_id(&self.name)? == Some(FileId::of(&stat)))
    }
}

impl Drop for ManifestLock {
    fn drop(&mut self) {
        let is_empty = self.file.metadata().is_ok_and(|meta| meta.len() == 0);
        if is_empty && self.is_named().unwrap_or(false) {
            let _ = self.dir.unlink(&self.name);
        }
    }
}

fn file_name(path: &Path) -> Result<&OsStr> {
    path.file_name().ok_or_else(|| Error::destination(path, "is not a name for a manifest"))
}
