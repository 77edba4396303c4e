//! The messages of a Maildir, listed.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::name;
use super::write::Place;
use crate::mailbox::durable::Dir;
use crate::mailbox::error::{Error, Result};

/// A message as it lies in new/ or cur/.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which of the two.
    pub place: Place,
    /// Its file name.
    pub name: OsString,
}

impl Entry {
    /// The path of the file.
    pub fn path(&self, maildir: &Path) -> PathBuf {
        maildir.join(self.place.dir()).join(&self.name)
    }

    /// The name taken apart.
    pub fn parsed(&self) -> name::Parsed<'_> {
        name::parse(self.name.as_bytes())
    }
}

impl Place {
    /// The directory's name.
    pub fn dir(self) -> &'static str {
        match self {
            Place::New => "new",
            Place::Cur => "cur",
        }
    }
}

/// Reads a listed message. Between listing and opening it may have moved from new/ to cur/ and changed
/// its flags: before it is called lost it is looked for by its base name.
pub fn open_moved(maildir: &Path, entry: &Entry) -> Result<(Entry, Vec<u8>)> {
    let error = match std::fs::read(entry.path(maildir)) {
        Ok(bytes) => return Ok((entry.clone(), bytes)),
        Err(error) => error,
    };
    if error.kind() == io::ErrorKind::NotFound {
        let moved = list(maildir)?.into_iter().find(|e| e.parsed().base == entry.parsed().base);
        if let Some(moved) = moved {
            let path = moved.path(maildir);
            let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
            return Ok((moved, bytes));
        }
    }
    Err(Error::io("read", entry.path(maildir))(error))
}

/// Whether a path is a Maildir: it has cur/ and new/.
pub fn is_maildir(path: &Path) -> bool {
    path.join("cur").is_dir() && path.join("new").is_dir()
}

/// All messages, in the order of their dates and then of their names. Dot files are none (maildir(5)).
pub fn list(maildir: &Path) -> Result<Vec<Entry>> {
    let root = Dir::open(maildir)?;
    let mut entries = Vec::new();
    for place in [Place::New, Place::Cur] {
        if !root.exists(OsStr::new(place.dir()))? {
            continue;
        }
        let names = root.open_child(OsStr::new(place.dir()))?.names()?;
        let visible = names.into_iter().filter(|n| !n.as_bytes().starts_with(b"."));
        entries.extend(visible.map(|name| Entry { place, name }));
    }
    entries.sort_by(|a, b| {
        let key = |e: &Entry| e.parsed().epoch().unwrap_or(i64::MAX);
        key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
    });
    Ok(entries)
}
