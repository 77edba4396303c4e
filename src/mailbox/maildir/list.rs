//! Lists and reads the messages of a Maildir while other programs use it.
//!
//! A rename during readdir(3) can hide a name or show it twice. So new/ and cur/ are listed until neither changed
//! meanwhile. A name that is gone when its file is opened is looked up in a newer listing, which all names share
//! that are gone by then.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rayon::prelude::*;
use rustix::fs::FileType;

use super::Subdir;
use crate::mailbox::fs::{Dir, files, holes, ignore_poison};
use crate::mailbox::maildir::detect::{DirectoryKind, detect};
use crate::mailbox::maildir::name;
use crate::mailbox::message::{Flags, Origin, Selection, header};
use crate::mailbox::source::{Contents, ErrorPath, Unreadable};
use crate::mailbox::{Code, Error, Finding, Result};

/// Listings of a folder that changes during each of them. Their union counts as stable.
const PASSES: usize = 5;
/// Attempts to open a message that is renamed after each listing.
const ATTEMPTS: usize = 100;
/// The time of a caller that has no clock. Each directory is listed twice then.
pub(crate) const NO_CLOCK: i64 = i64::MIN;

/// A message file in new/ or cur/.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub subdir: Subdir,
    /// The length of the base name, for which every list, index and comparison asks.
    base_length: u32,
    pub name: OsString,
    /// Distinguishes two files with one base name.
    inode: u64,
}

impl Entry {
    fn new(subdir: Subdir, name: OsString, inode: u64) -> Entry {
        let base_length = name::parse(name.as_bytes()).base.len() as u32;
        Entry { subdir, base_length, name, inode }
    }

    pub(crate) fn path(&self, maildir: &Path) -> PathBuf {
        maildir.join(self.subdir.dir()).join(&self.name)
    }

    pub(crate) fn parsed(&self) -> name::ParsedName<'_> {
        name::ParsedName::with_base_length(self.name.as_bytes(), self.base_length as usize)
    }

    fn is_hidden(&self) -> bool {
        self.name.as_bytes().starts_with(b".")
    }
}

/// The path of a listed message.
pub(crate) struct EntryPath<'a> {
    maildir: &'a Path,
    entry: &'a Entry,
}

impl ErrorPath for EntryPath<'_> {
    fn error_path(&self) -> PathBuf {
        self.entry.path(self.maildir)
    }
}

/// The names in new/ and cur/.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The messages, sorted by date and then by name.
    pub messages: Vec<Entry>,
    /// Files that begin with a dot. No reader shows them, as maildir(5) requires.
    pub hidden: Vec<Entry>,
}

/// The times of the last changes of new/ and cur/.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FolderVersion([Option<(i64, i64)>; 2]);

/// The reason that a listed name has no message to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoMessage {
    /// It was removed, or moved to another folder: a later listing does not have it.
    Removed,
    /// It is a symbolic link to nothing.
    DanglingLink,
    /// It is a symbolic link of a user, which root does not follow.
    UnfollowedLink,
    /// It is a directory, a FIFO or a device.
    NotAFile,
    /// It is a file of this size that is mostly holes.
    Sparse(u64),
    /// Its contents cannot be read.
    Unreadable(Unreadable),
}

impl NoMessage {
    /// Returns the finding about the entry at `path`.
    pub(crate) fn finding(self, path: PathBuf) -> Finding {
        let (code, text) = match self {
            NoMessage::Removed => (Code::MessageExpunged, "was removed from this folder during the run"),
            NoMessage::DanglingLink => (Code::MaildirNotAFile, "is a link to nothing: it was left out"),
            NoMessage::UnfollowedLink => {
                (Code::MaildirNotAFile, "is a symbolic link that is not followed: it was left out")
            }
            NoMessage::NotAFile => (Code::MaildirNotAFile, "is not a regular file: it was left out"),
            NoMessage::Sparse(size) => {
                return Finding::from(&Error::Sparse { path: path.clone(), size }).in_file(path);
            }
            NoMessage::Unreadable(why) => return unreadable_finding(why).in_file(path),
        };
        Finding::new(code, text).in_file(path)
    }
}

/// Returns the finding about a message whose contents cannot be read.
pub(crate) fn unreadable_finding(why: Unreadable) -> Finding {
    let (code, text) = match why {
        Unreadable::Wrapped(format) => {
            let finding = Finding::new(Code::MessageCompressed, format!("was not read: {}", format.reason()));
            return match format.hint() {
                Some(hint) => finding.with_hint(hint),
                None => finding,
            };
        }
        Unreadable::CompressedTwice => {
            (Code::MessageCompressed, "is compressed twice, so it was not read".to_owned())
        }
        Unreadable::Damaged(compression) => {
            let text = format!("has damaged {} data, so it was not read", compression.name());
            (Code::DamagedCompression, text)
        }
        Unreadable::TooLarge => {
            let text = "decompresses to more than 1 GiB more than its size, so it was not read";
            (Code::FileSparse, text.to_owned())
        }
    };
    Finding::new(code, text)
}

/// A message that was read, and the time of its file.
#[derive(Debug)]
pub(crate) struct FoundMessage<'a> {
    /// Current location, which may differ from the listed one.
    pub entry: Cow<'a, Entry>,
    /// Modification time, in seconds since 1970.
    pub mtime: i64,
}

/// The directories new/ and cur/ of a folder, as far as they exist.
#[derive(Debug)]
struct Subdirs {
    new: Option<Dir>,
    cur: Option<Dir>,
}

impl Subdirs {
    fn open(maildir: &Dir) -> Result<Subdirs> {
        let child = |subdir: Subdir| {
            let name = OsStr::new(subdir.dir());
            if maildir.exists(name)? { maildir.open_child(name).map(Some) } else { Ok(None) }
        };
        Ok(Subdirs { new: child(Subdir::New)?, cur: child(Subdir::Cur)? })
    }

    fn get(&self, subdir: Subdir) -> Option<&Dir> {
        match subdir {
            Subdir::New => self.new.as_ref(),
            Subdir::Cur => self.cur.as_ref(),
        }
    }

    fn version(&self) -> Result<FolderVersion> {
        let modified = |dir: &Option<Dir>| dir.as_ref().map(Dir::modified).transpose();
        Ok(FolderVersion([modified(&self.new)?, modified(&self.cur)?]))
    }

    fn read_names(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        // Messages move from new/ to cur/: in this order such a message is listed at least once.
        for subdir in [Subdir::New, Subdir::Cur] {
            if let Some(dir) = self.get(subdir) {
                dir.for_each_name(|name, inode| {
                    entries.push(Entry::new(subdir, name.to_owned(), inode));
                })?;
            }
        }
        Ok(entries)
    }

    /// Looks for a message under its names with other flags. A reader changes flags far more often than anything else,
    /// and this takes a hundredth of the time of a listing.
    fn try_other_flags(&self, entry: &Entry) -> Result<Option<Entry>> {
        let parsed = entry.parsed();
        let (old, base) = (parsed.flags(), parsed.base);
        let separator = entry.name.as_bytes().get(base.len()).copied().unwrap_or(b':');
        let in_cur = Flags::changes().map(|change| {
            let name = name::with_info(base, separator, old ^ change, parsed.keywords());
            (Subdir::Cur, name)
        });
        for (subdir, name) in in_cur.chain([(Subdir::New, name::bare(base))]) {
            let Some(dir) = self.get(subdir) else { continue };
            if dir.child_id(&name)?.is_some_and(|id| id.inode == entry.inode) {
                return Ok(Some(Entry::new(subdir, name, entry.inode)));
            }
        }
        Ok(None)
    }

    /// Takes each file of all passes once, by the name of the last pass that has it.
    fn unite(&self, passes: Vec<Vec<Entry>>) -> Result<Vec<Entry>> {
        let mut by_base: HashMap<Vec<u8>, Vec<Entry>> = HashMap::new();
        for entry in passes.into_iter().rev().flatten() {
            let same = by_base.entry(entry.parsed().base.to_vec()).or_default();
            if !same.contains(&entry) {
                same.push(entry);
            }
        }
        let mut entries = Vec::with_capacity(by_base.len());
        for same in by_base.into_values() {
            entries.extend(self.distinct_files(same)?);
        }
        Ok(entries)
    }

    /// Keeps one name of each file in a sorted list: some programs rename by link(2) and unlink(2).
    fn without_second_links(&self, entries: Vec<Entry>) -> Result<Vec<Entry>> {
        let is_same = |a: &Entry, b: &Entry| a.parsed().base == b.parsed().base;
        if !entries.windows(2).any(|pair| is_same(&pair[0], &pair[1])) {
            return Ok(entries);
        }
        let groups = entries.chunk_by(is_same).map(|same| self.distinct_files(same.to_vec()));
        Ok(groups.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// Keeps one name of each file, at least one of all. A file that was renamed meanwhile is still looked up when it is
    /// opened.
    fn distinct_files(&self, names: Vec<Entry>) -> Result<Vec<Entry>> {
        if names.len() == 1 {
            return Ok(names);
        }
        let (mut seen, mut files) = (Vec::new(), Vec::new());
        for entry in &names {
            let id = self.get(entry.subdir).map(|dir| dir.child_id(&entry.name)).transpose()?.flatten();
            if let Some(id) = id.filter(|id| !seen.contains(id)) {
                seen.push(id);
                files.push(entry.clone());
            }
        }
        Ok(if files.is_empty() { names.into_iter().take(1).collect() } else { files })
    }
}

/// A folder whose messages are listed and read. Both directories stay open, so the path is looked up once and not for
/// every message.
#[derive(Debug)]
pub(crate) struct MaildirReader {
    maildir: PathBuf,
    subdirs: Mutex<Option<Arc<Subdirs>>>,
    /// Seconds since 1970, when the run began.
    now: i64,
    /// The number of later listings that were begun.
    begun: AtomicU64,
    latest: Mutex<LatestListing>,
}

/// The latest of the later listings, in which names are looked up that are gone.
#[derive(Debug, Default)]
struct LatestListing {
    /// The number of the listing, from 1.
    number: u64,
    /// A name that it does not have is gone.
    is_stable: bool,
    by_base: HashMap<Vec<u8>, Vec<Entry>>,
}

impl LatestListing {
    /// Finds the name of the file that was listed as `entry`. The same name again counts only if `is_newer`.
    fn find(&self, entry: &Entry, is_newer: bool) -> Option<Entry> {
        let same = self.by_base.get(entry.parsed().base)?;
        let is_candidate = |other: &&Entry| is_newer || *other != entry;
        let by_inode = same.iter().filter(|other| other.inode == entry.inode).find(is_candidate);
        // A file that was written anew has another inode.
        let only = || same.first().filter(|other| same.len() == 1 && is_candidate(other));
        by_inode.or_else(only).cloned()
    }
}

impl MaildirReader {
    /// Returns the received date of a message and its origin.
    pub(crate) fn received_date(&self, found: &FoundMessage<'_>, header: &[u8]) -> (i64, Origin) {
        found.entry.parsed().received_date(found.mtime, header, self.now)
    }

    /// Opens new/ and cur/, if they exist. `now` is the time when the run began: a directory that has not changed since
    /// long before is listed once.
    pub(crate) fn open(maildir: &Path, now: i64) -> Result<MaildirReader> {
        MaildirReader::in_dir(&Dir::open(maildir)?, now)
    }

    /// Opens new/ and cur/ in `maildir`, if they exist.
    pub(crate) fn in_dir(maildir: &Dir, now: i64) -> Result<MaildirReader> {
        Ok(MaildirReader::new(maildir.path(), Subdirs::open(maildir)?, now))
    }

    /// Opens those of new/ and cur/ that can be opened.
    pub(crate) fn open_readable(maildir: &Path, now: i64) -> Result<MaildirReader> {
        let root = Dir::open(maildir)?;
        let open = |subdir: Subdir| root.open_child(OsStr::new(subdir.dir())).ok();
        let subdirs = Subdirs { new: open(Subdir::New), cur: open(Subdir::Cur) };
        Ok(MaildirReader::new(maildir, subdirs, now))
    }

    fn new(maildir: &Path, subdirs: Subdirs, now: i64) -> MaildirReader {
        MaildirReader {
            maildir: maildir.to_owned(),
            subdirs: Mutex::new(Some(Arc::new(subdirs))),
            now,
            begun: AtomicU64::new(0),
            latest: Mutex::default(),
        }
    }

    /// Closes the directories until they are needed again: a process cannot have those of all folders open.
    pub(crate) fn close(&self) {
        *ignore_poison(self.subdirs.lock()) = None;
    }

    /// Returns the received date of a listed message and its origin. The message is read only if neither its name nor
    /// its file has a real date.
    pub(crate) fn find_date(&self, entry: &Entry) -> Result<Result<(i64, Origin), NoMessage>> {
        let (entry, mtime) = match self.locate(entry, Dir::message_mtime)? {
            Ok((entry, Some(mtime))) => (entry, mtime),
            Ok((_, None)) => return Ok(Err(NoMessage::NotAFile)),
            Err(none) => return Ok(Err(none)),
        };
        let (date, origin) = entry.parsed().received_date(mtime, b"", self.now);
        if origin != Origin::None {
            return Ok(Ok((date, origin)));
        }
        let mut contents = Contents::default();
        let found = self.read(&entry, &mut contents)?;
        Ok(found.map(|found| self.received_date(&found, header::split(&contents).header)))
    }

    /// Reports whether a listed message is selected. One that cannot be read is, so that this is reported.
    pub(crate) fn is_selected(&self, entry: &Entry, selection: Selection) -> Result<bool> {
        if selection == Selection::ALL {
            return Ok(true);
        }
        Ok(self.find_date(entry)?.map_or(true, |(date, _)| selection.contains(date)))
    }

    fn subdirs(&self) -> Result<Arc<Subdirs>> {
        let mut subdirs = ignore_poison(self.subdirs.lock());
        if let Some(subdirs) = &*subdirs {
            return Ok(subdirs.clone());
        }
        let opened = Arc::new(Subdirs::open(&Dir::open(&self.maildir)?)?);
        *subdirs = Some(opened.clone());
        Ok(opened)
    }

    pub(crate) fn path(&self, entry: &Entry) -> PathBuf {
        entry.path(&self.maildir)
    }

    /// Returns the path of a message for an error that may occur.
    pub(crate) fn error_path<'a>(&'a self, entry: &'a Entry) -> EntryPath<'a> {
        EntryPath { maildir: &self.maildir, entry }
    }

    /// Lists the folder as it was at one moment. In a folder that never stops changing, each message that is there
    /// during all passes is in the list once.
    pub(crate) fn list(&self) -> Result<Listing> {
        let mut entries = self.list_entries()?;
        let hidden = entries.extract_if(.., |entry| entry.is_hidden()).collect();
        let messages = self.subdirs()?.without_second_links(sort_by_date(entries))?;
        Ok(Listing { messages, hidden })
    }

    /// Lists the messages in no order. A file that has two names may be listed twice.
    pub(crate) fn list_unsorted(&self) -> Result<Vec<Entry>> {
        let mut entries = self.list_entries()?;
        entries.retain(|entry| !entry.is_hidden());
        Ok(entries)
    }

    fn list_entries(&self) -> Result<Vec<Entry>> {
        let subdirs = self.subdirs()?;
        let mut passes: Vec<Vec<Entry>> = Vec::new();
        let (mut before, mut was_quiet) = (subdirs.version()?, false);
        loop {
            let entries = subdirs.read_names()?;
            let after = subdirs.version()?;
            let is_quiet = before == after;
            // Kernels count time in steps of milliseconds: two changes in one step leave the same time. So a time that
            // may be of this run counts only if a second listing agrees.
            let agrees = || was_quiet && passes.last() == Some(&entries);
            if is_quiet && (self.is_past(&subdirs, after) || agrees()) {
                return Ok(entries);
            }
            passes.push(entries);
            if passes.len() == PASSES {
                return subdirs.unite(passes);
            }
            (before, was_quiet) = (after, is_quiet);
        }
    }

    /// Returns the times of the last changes of the directories.
    pub(crate) fn version(&self) -> Result<FolderVersion> {
        self.subdirs()?.version()
    }

    /// Reports whether all changes up to this version were over when the run began. Two seconds cover the steps of the
    /// clock and the cut to seconds.
    fn is_past(&self, subdirs: &Subdirs, version: FolderVersion) -> bool {
        let is_local = subdirs.new.iter().chain(&subdirs.cur).all(|dir| !dir.is_remote());
        is_local && version.0.iter().flatten().all(|(seconds, _)| *seconds < self.now.saturating_sub(2))
    }

    /// Passes the directory and the name of a listed message to `look`. While `look` does not find the file, its current
    /// name is looked up in newer listings.
    pub(crate) fn locate<'a, T>(
        &self,
        entry: &'a Entry,
        look: impl Fn(&Dir, &OsStr) -> Result<T>,
    ) -> Result<Result<(Cow<'a, Entry>, T), NoMessage>> {
        let (subdirs, mut current) = (self.subdirs()?, Cow::Borrowed(entry));
        for _ in 0..ATTEMPTS {
            if let Some(dir) = subdirs.get(current.subdir) {
                match look(dir, &current.name) {
                    Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                    Err(Error::Io { source, .. })
                        if source.raw_os_error() == Some(libc::ELOOP) && !dir.follows_links() =>
                    {
                        return Ok(Err(NoMessage::UnfollowedLink));
                    }
                    looked => return looked.map(|found| Ok((current, found))),
                }
                if dir.is_link(&current.name)? {
                    return Ok(Err(NoMessage::DanglingLink));
                }
            }
            if let Some(entry) = subdirs.try_other_flags(&current)? {
                current = Cow::Owned(entry);
                continue;
            }
            // The file was gone before any listing that begins now.
            let begun = self.begun.load(Ordering::SeqCst);
            match self.find(&current, begun)? {
                Some(entry) => current = Cow::Owned(entry),
                None => return Ok(Err(NoMessage::Removed)),
            }
        }
        let reason =
            io::Error::other("it is renamed again and again; try again when no program uses the folder");
        Err(Error::io("open", self.path(&current))(reason))
    }

    /// Finds the current name of a file that had none when `begun` listings had begun. All that are gone wait for the
    /// same listing.
    fn find(&self, entry: &Entry, begun: u64) -> Result<Option<Entry>> {
        let mut latest = ignore_poison(self.latest.lock());
        if let Some(found) = latest.find(entry, latest.number > begun) {
            return Ok(Some(found));
        }
        if latest.number <= begun {
            // One pass finds nearly all, and a name that leads to the file is right however old it is.
            *latest = self.relist(false)?;
            if let Some(found) = latest.find(entry, true) {
                return Ok(Some(found));
            }
        }
        if !latest.is_stable {
            *latest = self.relist(true)?;
        }
        Ok(latest.find(entry, true))
    }

    fn relist(&self, is_stable: bool) -> Result<LatestListing> {
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let entries = if is_stable { self.list_entries()? } else { self.subdirs()?.read_names()? };
        let mut by_base: HashMap<Vec<u8>, Vec<Entry>> = HashMap::with_capacity(entries.len());
        for entry in entries {
            by_base.entry(entry.parsed().base.to_vec()).or_default().push(entry);
        }
        Ok(LatestListing { number, is_stable, by_base })
    }

    /// Reads a listed message by its current name. If a server has compressed it, it is decompressed.
    pub(crate) fn read<'a>(
        &self,
        entry: &'a Entry,
        contents: &mut Contents,
    ) -> Result<Result<FoundMessage<'a>, NoMessage>> {
        let found = match self.read_stored(entry, contents)? {
            Ok(found) => found,
            Err(none) => return Ok(Err(none)),
        };
        let decoded = contents.decode(&self.error_path(&found.entry))?;
        Ok(decoded.map(|()| found).map_err(NoMessage::Unreadable))
    }

    /// Reads the file of a listed message as it is.
    pub(crate) fn read_stored<'a>(
        &self,
        entry: &'a Entry,
        contents: &mut Contents,
    ) -> Result<Result<FoundMessage<'a>, NoMessage>> {
        let (entry, file) = match self.locate(entry, Dir::open_message)? {
            Ok(found) => found,
            Err(none) => return Ok(Err(none)),
        };
        let failed = |error: io::Error| Error::io("read", self.path(&entry))(error);
        let stat = rustix::fs::fstat(&file).map_err(|e| failed(e.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(Err(NoMessage::NotAFile));
        }
        match contents.load(&file, stat.st_size as u64, &self.error_path(&entry)) {
            Err(Error::Sparse { size, .. }) => Ok(Err(NoMessage::Sparse(size))),
            loaded => loaded.map(|()| Ok(FoundMessage { mtime: stat.st_mtime as i64, entry })),
        }
    }

    /// Reads a listed message, or returns the finding about an entry without a message.
    pub(crate) fn read_or_explain<'a>(
        &self,
        entry: &'a Entry,
        contents: &mut Contents,
    ) -> Result<Result<FoundMessage<'a>, Finding>> {
        Ok(self.read(entry, contents)?.map_err(|none| none.finding(self.path(entry))))
    }

    /// Returns the size of a message without reading it, by its current name.
    pub(crate) fn current_size<'a>(
        &self,
        entry: &'a Entry,
    ) -> Result<Result<(Cow<'a, Entry>, u64), NoMessage>> {
        Ok(match self.locate(entry, Dir::message_size)? {
            Ok((entry, Some(size))) if size > holes::MAX_HOLES => self.size_without_holes(entry, size)?,
            Ok((entry, Some(size))) => Ok((entry, size)),
            Ok((_, None)) => Err(NoMessage::NotAFile),
            Err(none) => Err(none),
        })
    }

    /// Returns the size of a message that may be mostly holes.
    fn size_without_holes<'a>(
        &self,
        entry: Cow<'a, Entry>,
        size: u64,
    ) -> Result<Result<(Cow<'a, Entry>, u64), NoMessage>> {
        let file = match self.locate(&entry, Dir::open_message)? {
            Ok((_, file)) => file,
            Err(none) => return Ok(Err(none)),
        };
        match holes::check(&file, size, &self.path(&entry)) {
            Err(Error::Sparse { size, .. }) => Ok(Err(NoMessage::Sparse(size))),
            checked => checked.map(|()| Ok((entry, size))),
        }
    }

    /// Returns the size of a message for an estimate: its `S=` field, or the file size without one. A file that is
    /// mostly holes is not written.
    pub(crate) fn size(&self, entry: &Entry) -> u64 {
        // A name can say anything.
        let named = entry.parsed().field(b'S').filter(|&size| size <= holes::MAX_HOLES);
        let file = || self.current_size(entry).ok()?.ok().map(|(_, size)| size);
        named.or_else(file).unwrap_or(0)
    }
}

/// Lists the messages of a Maildir, sorted by date and then by name; see [`MaildirReader::list`].
pub(crate) fn list_messages(maildir: &Path, now: i64) -> Result<Vec<Entry>> {
    Ok(MaildirReader::open(maildir, now)?.list()?.messages)
}

fn sort_by_date(entries: Vec<Entry>) -> Vec<Entry> {
    let key = |entry: Entry| (entry.parsed().epoch().unwrap_or(i64::MAX), entry);
    let mut dated: Vec<(i64, Entry)> = entries.into_iter().map(key).collect();
    // By base name before the whole name, so that all names of a file are next to each other.
    let by_name = |one: &Entry, other: &Entry| {
        one.parsed().base.cmp(other.parsed().base).then_with(|| one.name.cmp(&other.name))
    };
    dated.par_sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| by_name(one, other)));
    dated.into_iter().map(|(_, entry)| entry).collect()
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
    match files::stat(&path.join("cur")) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(true),
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(Error::io("look at", path)(error))
        }
        _ => Ok(detect(path) != DirectoryKind::Other),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::mailbox::maildir::list::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new(names: &[&str]) -> Folder {
            let folder = Folder(tempfile::tempdir().unwrap());
            ["new", "cur"].iter().for_each(|name| fs::create_dir(folder.path(name)).unwrap());
            names.iter().for_each(|name| fs::write(folder.path(name), name).unwrap());
            folder
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn rename(&self, from: &str, to: &str) {
            fs::rename(self.path(from), self.path(to)).unwrap();
        }

        fn open(&self) -> MaildirReader {
            MaildirReader::open(self.0.path(), NO_CLOCK).unwrap()
        }
    }

    fn names(entries: &[Entry]) -> Vec<String> {
        entries.iter().map(|entry| entry.path(Path::new("")).to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_message_that_moves_after_the_listing_is_read_and_a_removed_one_is_not() {
        let folder = Folder::new(&["new/1.a.h"]);
        let reader = folder.open();
        let listed = reader.list().unwrap().messages;
        folder.rename("new/1.a.h", "cur/1.a.h:2,FS");
        let mut bytes = Contents::default();
        let found = reader.read(&listed[0], &mut bytes).unwrap().unwrap();
        assert_eq!(
            (names(&[found.entry.into_owned()]), &bytes[..]),
            (vec!["cur/1.a.h:2,FS".into()], &b"new/1.a.h"[..])
        );
        folder.rename("cur/1.a.h:2,FS", "cur/1.a.h:2,S");
        assert!(reader.read(&listed[0], &mut bytes).unwrap().is_ok());
        fs::remove_file(folder.path("cur/1.a.h:2,S")).unwrap();
        assert_eq!(reader.read(&listed[0], &mut bytes).unwrap().unwrap_err(), NoMessage::Removed);
    }

    #[test]
    fn other_flags_need_no_listing() {
        let folder = Folder::new(&["new/1.a.h", "cur/2.b.h:2,Sa", "cur/3.c.h!2,F"]);
        let reader = folder.open();
        let listed = reader.list().unwrap().messages;
        folder.rename("new/1.a.h", "cur/1.a.h:2,");
        folder.rename("cur/2.b.h:2,Sa", "cur/2.b.h:2,DFRTa");
        folder.rename("cur/3.c.h!2,F", "new/3.c.h");
        // Another file with the base name is not the message.
        fs::write(folder.path("cur/1.a.h:2,S"), "other").unwrap();
        let sizes: Vec<u64> = listed.iter().map(|e| reader.current_size(e).unwrap().unwrap().1).collect();
        assert_eq!(sizes, [9, 14, 13]);
        assert_eq!(reader.begun.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn names_that_are_gone_share_one_listing() {
        let files: Vec<String> = (0..50).map(|n| format!("new/{n}.a.h")).collect();
        let folder = Folder::new(&files.iter().map(|name| &name[..]).collect::<Vec<_>>());
        let reader = folder.open();
        let listed = reader.list().unwrap().messages;
        for n in 0..50 {
            folder.rename(&format!("new/{n}.a.h"), &format!("cur/{n}.a.h:2,Sk"));
        }
        let mut bytes = Contents::default();
        for entry in &listed {
            reader.read(entry, &mut bytes).unwrap().unwrap();
            assert_eq!(*bytes, entry.path(Path::new("")).as_os_str().as_bytes()[..]);
        }
        assert_eq!(reader.begun.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn two_files_of_one_base_name_stay_two_when_they_are_renamed() {
        let folder = Folder::new(&["cur/1.a.h:2,", "new/1.a.h"]);
        let reader = folder.open();
        let listed = reader.list().unwrap().messages;
        folder.rename("new/1.a.h", "cur/1.a.h:2,F");
        folder.rename("cur/1.a.h:2,", "cur/1.a.h:2,S");
        let mut read: Vec<Vec<u8>> = Vec::new();
        for entry in &listed {
            let mut bytes = Contents::default();
            reader.read(entry, &mut bytes).unwrap().unwrap();
            read.push(bytes.to_vec());
        }
        read.sort();
        assert_eq!(read, [&b"cur/1.a.h:2,"[..], b"new/1.a.h"]);
    }

    #[test]
    fn the_union_of_passes_has_each_file_once() {
        let folder =
            Folder::new(&["new/1.seen", "cur/2.flagged:2,", "cur/3.hidden:2,", "new/4.two", "cur/4.two:2,"]);
        let reader = folder.open();
        let subdirs = reader.subdirs().unwrap();
        let first = subdirs.read_names().unwrap();
        folder.rename("new/1.seen", "cur/1.seen:2,S");
        folder.rename("cur/2.flagged:2,", "cur/2.flagged:2,F");
        let mut second = subdirs.read_names().unwrap();
        second.retain(|entry| entry.parsed().base != b"3.hidden");
        let mut united = names(&subdirs.unite(vec![first, second]).unwrap());
        united.sort();
        let want = ["cur/1.seen:2,S", "cur/2.flagged:2,F", "cur/3.hidden:2,", "cur/4.two:2,", "new/4.two"];
        assert_eq!(united, want);
    }

    #[test]
    fn a_link_to_nothing_is_not_looked_for() {
        let folder = Folder::new(&[]);
        std::os::unix::fs::symlink("nowhere", folder.path("cur/1.a.h:2,")).unwrap();
        let reader = folder.open();
        let listed = reader.list().unwrap().messages;
        assert_eq!(
            reader.read(&listed[0], &mut Contents::default()).unwrap().unwrap_err(),
            NoMessage::DanglingLink
        );
        assert_eq!(reader.begun.load(Ordering::SeqCst), 0);
    }
}
