//! The messages of a Maildir, listed.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
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

/// The messages of a Maildir, opened relative to its two directories: a path is looked up once and not for
/// every message.
#[derive(Debug)]
pub struct Files {
    maildir: PathBuf,
    new: Option<Dir>,
    cur: Option<Dir>,
}

/// A message's file, read.
#[derive(Debug)]
pub struct Letter {
    /// Where it was in the end, see [`open_moved`].
    pub entry: Entry,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its modification time, seconds since 1970.
    pub mtime: i64,
}

impl Files {
    /// Opens the directories that are there.
    pub fn open(maildir: &Path) -> Result<Files> {
        let root = Dir::open(maildir)?;
        let child = |name: &str| {
            let name = OsStr::new(name);
            if root.exists(name)? { root.open_child(name).map(Some) } else { Ok(None) }
        };
        Ok(Files { maildir: maildir.to_owned(), new: child("new")?, cur: child("cur")? })
    }

    /// Reads a listed message, wherever it has moved since.
    pub fn read(&self, entry: &Entry) -> Result<Letter> {
        match self.read_here(entry) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            read => return read,
        }
        let moved = list(&self.maildir)?.into_iter().find(|e| e.parsed().base == entry.parsed().base);
        self.read_here(moved.as_ref().unwrap_or(entry))
    }

    /// How many bytes a message has: what `S=` says, else the file. For an estimate.
    pub fn size(&self, entry: &Entry) -> u64 {
        let file = || std::fs::metadata(entry.path(&self.maildir)).map_or(0, |meta| meta.len());
        entry.parsed().field(b'S').unwrap_or_else(file)
    }

    /// The path of a message.
    pub fn path(&self, entry: &Entry) -> PathBuf {
        entry.path(&self.maildir)
    }

    fn read_here(&self, entry: &Entry) -> Result<Letter> {
        let dir = match entry.place {
            Place::New => &self.new,
            Place::Cur => &self.cur,
        };
        let failed = || Error::io("read", entry.path(&self.maildir));
        let Some(dir) = dir else { return Err(failed()(io::ErrorKind::NotFound.into())) };
        let mut file = dir.open_message(&entry.name)?;
        let meta = file.metadata().map_err(failed())?;
        if !meta.is_file() {
            return Err(failed()(io::Error::other("it is no regular file")));
        }
        // One byte more than it has, so that the read that finds the end is the first.
        let mut bytes = Vec::with_capacity(meta.len() as usize + 1);
        file.read_to_end(&mut bytes).map_err(failed())?;
        Ok(Letter { entry: entry.clone(), bytes, mtime: meta.mtime() })
    }
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
