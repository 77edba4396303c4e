//! Lists and reads the messages of a Maildir.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::FileType;
use rustix::io::retry_on_intr;

use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::fs::durable::Dir;
use crate::mailbox::fs::read_regular;
use crate::mailbox::maildir::detect::{DirectoryKind, detect};
use crate::mailbox::maildir::name;
use crate::mailbox::maildir::subdir::Subdir;
use crate::mailbox::source;

/// A message file in new/ or cur/.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub subdir: Subdir,
    pub name: OsString,
}

impl Entry {
    pub(crate) fn path(&self, maildir: &Path) -> PathBuf {
        maildir.join(self.subdir.dir()).join(&self.name)
    }

    pub(crate) fn parsed(&self) -> name::ParsedName<'_> {
        name::parse(self.name.as_bytes())
    }
}

/// Reads a listed message. Since the listing it may have moved from new/ to cur/ and changed its flags. A
/// search by base name follows before it counts as missing.
pub(crate) fn read_entry(maildir: &Path, entry: &Entry) -> Result<(Entry, Vec<u8>)> {
    let error = match read_regular(&entry.path(maildir)) {
        Ok(bytes) => return Ok((entry.clone(), bytes)),
        Err(error) => error,
    };
    if error.kind() == io::ErrorKind::NotFound {
        let moved = list_messages(maildir)?.into_iter().find(|e| e.parsed().base == entry.parsed().base);
        if let Some(moved) = moved {
            let path = moved.path(maildir);
            let bytes = read_regular(&path).map_err(Error::io("read", &path))?;
            return Ok((moved, bytes));
        }
    }
    Err(Error::io("read", entry.path(maildir))(error))
}

/// Returns the reason that a listed message has nothing to read, such as a FIFO or an expunged message.
/// Returns None for a regular file and for any other error.
pub(crate) fn explain_unreadable(maildir: &Path, entry: &Entry) -> Option<Finding> {
    let path = entry.path(maildir);
    let (code, text) = match std::fs::metadata(&path) {
        Ok(meta) if meta.is_file() => return None,
        Ok(_) => (Code::MaildirNotAFile, "is no regular file: it was left out"),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return None,
        Err(_) if path.is_symlink() => (Code::MaildirNotAFile, "is a link to nothing: it was left out"),
        Err(_) => (Code::MessageExpunged, "was removed by somebody meanwhile"),
    };
    Some(Finding::new(code, text).in_file(path))
}

/// A reader of the messages of a Maildir. It keeps both directories open, so the path is looked up once and
/// not for every message.
#[derive(Debug)]
pub(crate) struct MaildirReader {
    maildir: PathBuf,
    new: Option<Dir>,
    cur: Option<Dir>,
}

/// A message that was read, and the time of its file.
#[derive(Debug)]
pub(crate) struct FoundMessage<'a> {
    /// Current location, which may differ from the listed one; see [`read_entry`].
    pub entry: Cow<'a, Entry>,
    /// Modification time, in seconds since 1970.
    pub mtime: i64,
}

impl MaildirReader {
    /// Opens new/ and cur/, if they exist.
    pub(crate) fn open(maildir: &Path) -> Result<MaildirReader> {
        let root = Dir::open(maildir)?;
        let child = |name: &str| {
            let name = OsStr::new(name);
            if root.exists(name)? { root.open_child(name).map(Some) } else { Ok(None) }
        };
        Ok(MaildirReader { maildir: maildir.to_owned(), new: child("new")?, cur: child("cur")? })
    }

    /// Reads a listed message into `bytes`, even if it has moved. Returns a finding if it has nothing to
    /// read.
    pub(crate) fn read_or_explain<'a>(
        &self,
        entry: &'a Entry,
        bytes: &mut Vec<u8>,
    ) -> Result<Result<FoundMessage<'a>, Finding>> {
        match self.read(entry, bytes) {
            Ok(found) => Ok(Ok(found)),
            Err(error @ Error::Io { .. }) => {
                explain_unreadable(&self.maildir, entry).map_or(Err(error), |f| Ok(Err(f)))
            }
            Err(error) => Err(error),
        }
    }

    /// Reads a listed message into `bytes`, even if it has moved.
    pub(crate) fn read<'a>(&self, entry: &'a Entry, bytes: &mut Vec<u8>) -> Result<FoundMessage<'a>> {
        match self.read_here(entry, bytes) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            read => return Ok(FoundMessage { mtime: read?, entry: Cow::Borrowed(entry) }),
        }
        let moved =
            list_messages(&self.maildir)?.into_iter().find(|e| e.parsed().base == entry.parsed().base);
        let entry = moved.map_or(Cow::Borrowed(entry), Cow::Owned);
        Ok(FoundMessage { mtime: self.read_here(&entry, bytes)?, entry })
    }

    /// Returns the size of a message for an estimate: its `S=` field, or the file size without one.
    pub(crate) fn size(&self, entry: &Entry) -> u64 {
        let file = || std::fs::metadata(entry.path(&self.maildir)).map_or(0, |meta| meta.len());
        entry.parsed().field(b'S').unwrap_or_else(file)
    }

    pub(crate) fn path(&self, entry: &Entry) -> PathBuf {
        entry.path(&self.maildir)
    }

    fn read_here(&self, entry: &Entry, bytes: &mut Vec<u8>) -> Result<i64> {
        let failed = |error: io::Error| Error::io("read", self.path(entry))(error);
        let dir = match entry.subdir {
            Subdir::New => &self.new,
            Subdir::Cur => &self.cur,
        };
        let dir = dir.as_ref().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        let file = dir.open_message(&entry.name)?;
        let stat = rustix::fs::fstat(&file).map_err(|e| failed(e.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(failed(io::Error::other("it is no regular file")));
        }
        // A message does not grow. Stopping at its size saves the read that would find the end.
        let size = stat.st_size as usize;
        bytes.clear();
        bytes.reserve(size);
        while bytes.len() < size {
            let read = || rustix::io::read(&file, spare_capacity(bytes));
            if retry_on_intr(read).map_err(|e| failed(e.into()))? == 0 {
                break;
            }
        }
        Ok(stat.st_mtime as i64)
    }
}

/// Number of leading bytes that [`is_compressed`] needs.
pub(crate) const MAGIC_LENGTH: u64 = 16;

/// Returns true if a message with this head was compressed by a server. `S=` in its name is the uncompressed
/// size.
pub(crate) fn is_compressed(head: &[u8]) -> bool {
    source::Compression::detect(head).is_some() || head.starts_with(b"Dovecot-LZ4\r*\x9b\xc5")
}

/// Returns the directory names of a Maildir's folders (Maildir++), sorted. The list includes a folder that
/// denies access. It may contain mail, and opening it reports the error.
pub(crate) fn list_folders(maildir: &Path) -> Result<Vec<OsString>> {
    let mut folders = Vec::new();
    for name in Dir::open(maildir)?.names()? {
        let path = maildir.join(&name);
        if name.as_bytes().starts_with(b".") && may_be_folder(&path)? {
            folders.push(name);
        }
    }
    folders.sort();
    Ok(folders)
}

fn may_be_folder(path: &Path) -> Result<bool> {
    match std::fs::metadata(path.join("cur")) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(true),
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(Error::io("look at", path)(error))
        }
        _ => Ok(detect(path) != DirectoryKind::Other),
    }
}

/// Returns all messages, sorted by date and then by name. Dot files are skipped, as maildir(5) requires.
pub(crate) fn list_messages(maildir: &Path) -> Result<Vec<Entry>> {
    let root = Dir::open(maildir)?;
    let mut entries = Vec::new();
    for place in [Subdir::New, Subdir::Cur] {
        if !root.exists(OsStr::new(place.dir()))? {
            continue;
        }
        let names = root.open_child(OsStr::new(place.dir()))?.names()?;
        let visible = names.into_iter().filter(|n| !n.as_bytes().starts_with(b"."));
        entries.extend(visible.map(|name| Entry { subdir: place, name }));
    }
    let key = |entry: Entry| (entry.parsed().epoch().unwrap_or(i64::MAX), entry);
    let mut dated: Vec<(i64, Entry)> = entries.into_iter().map(key).collect();
    dated.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.name.cmp(&other.name)));
    Ok(dated.into_iter().map(|(_, entry)| entry).collect())
}

#[cfg(test)]
mod tests {
    use crate::mailbox::maildir::list::*;

    #[test]
    fn a_message_that_moves_between_listing_and_opening_is_found() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["new", "cur"] {
            std::fs::create_dir(temp.path().join(name)).unwrap();
        }
        std::fs::write(temp.path().join("new/1.a.h"), "one").unwrap();
        let (files, listed) =
            (MaildirReader::open(temp.path()).unwrap(), list_messages(temp.path()).unwrap());
        let moved = temp.path().join("cur/1.a.h:2,FS");
        std::fs::rename(temp.path().join("new/1.a.h"), &moved).unwrap();
        let mut bytes = b"left over".to_vec();
        let found = files.read(&listed[0], &mut bytes).unwrap();
        assert_eq!((found.entry.path(temp.path()), &bytes[..]), (moved.clone(), &b"one"[..]));
        std::fs::remove_file(moved).unwrap();
        let gone = files.read(&listed[0], &mut bytes).unwrap_err().to_string();
        assert!(gone.contains("new/1.a.h"), "{gone}");
    }
}
