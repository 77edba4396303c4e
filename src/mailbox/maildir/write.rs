//! Messages into a Maildir. A final name appears only after the bytes are on stable storage.
//!
//! A new Maildir is written to a stage, `.NAME.mailferry-partial`, and appears by one rename; a later run resumes
//! the stage of a killed one. In an existing Maildir, messages go through its tmp/, and each is renamed without
//! replacing another. Either way there is one flush for all messages, unless each is to be flushed by itself.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::keywords::{self, SharedKeywords};
use super::quota::Quota;
use super::uids::pending::{PendingUidLists, UidListLock, UidListWrite};
use super::{DestinationState, KeywordSet, KeywordTable, Subdir, name, uids};
use crate::mailbox::fs::foreign::{refuse_foreign_links, refuse_foreign_maildir};
use crate::mailbox::fs::lock::{self, DirLock};
use crate::mailbox::fs::modes::DIR_MODE;
use crate::mailbox::fs::sync_group::SyncGroup;
use crate::mailbox::fs::{Dir, Modes, durable, files, ignore_poison, parent_of, sync_parent};
use crate::mailbox::maildir::destination::check_destination;
use crate::mailbox::maildir::{create, detect};
use crate::mailbox::manifest::{ManifestAppender, ManifestLocation};
use crate::mailbox::source::{Contents, mapped};
use crate::mailbox::{Cancel, Error, LockOptions, Result};

/// When bytes are brought to stable storage.
// Doc comments of the variants would be the help of --fsync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub(crate) enum Fsync {
    // As few flushes as possible: one before the names appear, one after.
    #[default]
    Batch,
    Each,
    // A power cut may lose everything.
    None,
}

/// How long to wait for deliveries, which hold the quota's lock for milliseconds.
const QUOTA_WAIT: Duration = Duration::from_secs(5);
/// A message to write.
#[derive(Debug)]
pub(crate) struct NewMessage<'a> {
    /// The numbers of its folders in [`MaildirWriter::set_folders`]; 0 is the Maildir itself. The file is in the
    /// first one. The others get links, or copies if the file system has no links.
    pub folders: &'a [u32],
    /// The directory in each folder.
    pub subdir: Subdir,
    /// The name up to the info.
    pub base: Vec<u8>,
    /// The complete name in the first folder.
    pub name: OsString,
    /// Those in the others: the letters of keywords are those of a folder.
    pub further_names: Vec<OsString>,
    pub content: MessageContent<'a>,
    /// The modification time, in seconds since 1970.
    pub mtime: i64,
    /// A file of the Maildir, relative to it, to link to instead of writing these bytes.
    pub existing: Option<&'a Path>,
}

impl NewMessage<'_> {
    /// Returns the folder of its nth file, and the complete name there.
    fn file(&self, nth: usize) -> (u32, &OsStr) {
        let further = nth.checked_sub(1).map(|nth| &self.further_names[nth]);
        (self.folders[nth], further.unwrap_or(&self.name))
    }
}

/// The bytes of a message to write.
#[derive(Debug)]
pub(crate) enum MessageContent<'a> {
    /// In memory or mapped, in order.
    Slices(Cow<'a, [&'a [u8]]>),
    /// Too large for the memory.
    Stream(&'a dyn MessageStream),
}

/// A message whose bytes come in chunks.
pub(crate) trait MessageStream: std::fmt::Debug + Sync {
    /// Passes on the bytes, in order.
    fn for_each(&self, put: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>;
}

/// Updates a quota after messages were published. A failure does not fail the conversion: the next delivery counts.
fn count_anew(maildir: &Dir) {
    if let Ok(Some(quota)) = Quota::find(maildir, None) {
        let _ = quota.recount(QUOTA_WAIT, Cancel::never());
    }
}

/// A Maildir that is being written. Dropped before [`MaildirWriter::commit`] it leaves nothing over, unless the run is
/// interrupted: then a stage stays, and the next run continues it.
#[derive(Debug)]
pub(crate) struct MaildirWriter {
    kind: Kind,
    new: Dir,
    cur: Dir,
    fsync: Fsync,
    /// True if one syncfs replaces many fsyncs on this file system.
    one_flush: bool,
    /// The other Maildirs that are flushed with this one.
    together: Option<Arc<SyncGroup>>,
    modes: Modes,
    /// Lets one thread create files at a time: two in one directory would wait for each other inside the kernel, at
    /// a high price.
    creating: Mutex<()>,
    /// Messages that are not published.
    held: AtomicU64,
    folders: Folders,
    /// The lists that appear with the messages.
    uid_lists: Option<PendingUidLists>,
}

/// The folders of the Maildir that get messages.
#[derive(Debug, Default)]
struct Folders {
    /// The directories of all folders by number; that of the Maildir itself is empty.
    directories: Vec<OsString>,
    /// The numbers of the folders that get messages, without the Maildir itself.
    needed: Vec<u32>,
}

#[derive(Debug)]
enum Kind {
    Staged(Staged),
    InPlace { tmp: Dir, waiting: Mutex<Vec<Pending>>, created: CreatedDirs, cancel: Cancel, _lock: DirLock },
}

/// Directories of a Maildir that were missing and are created: they are removed again unless messages come.
#[derive(Debug)]
struct CreatedDirs {
    root: Dir,
    names: Vec<&'static str>,
    modes: Modes,
    /// Folders that were missing.
    folders: Vec<OsString>,
}

/// A message in tmp/. Every message of a conversion waits there, so this is small.
#[derive(Debug)]
struct Pending {
    /// The name in tmp/ and the final name; the first is nearly always a prefix of the second.
    names: Box<[u8]>,
    /// The end of the first: no file system has longer names.
    in_tmp: u16,
    /// The start of the second.
    to_be: u16,
    place: Subdir,
    folder: u32,
    /// True if it is published first of the names of its message.
    counts: bool,
}

impl Pending {
    /// Creates it under its base name; in another folder a number follows.
    fn new(in_tmp: &OsStr, message: &NewMessage<'_>, nth: usize, counts: bool) -> Pending {
        let (folder, name) = message.file(nth);
        let (first, second) = (in_tmp.as_bytes(), name.as_bytes());
        let (names, to_be) = match second.starts_with(first) {
            true => (second.into(), 0),
            false => ([first, second].concat().into(), first.len() as u16),
        };
        Pending { names, in_tmp: first.len() as u16, to_be, place: message.subdir, folder, counts }
    }

    fn in_tmp(&self) -> &OsStr {
        OsStr::from_bytes(&self.names[..self.in_tmp.into()])
    }

    fn to_be(&self) -> &OsStr {
        OsStr::from_bytes(&self.names[self.to_be.into()..])
    }
}

#[derive(Debug)]
struct Staged {
    parent: Dir,
    stage_name: OsString,
    final_name: OsString,
    root: Dir,
    published: bool,
    cancel: Cancel,
    _lock: DirLock,
}

/// Data that a killed run left over for a new Maildir.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Leftover {
    Nothing,
    /// Data that describes nothing; it was removed.
    Removed,
    /// Messages and the manifest that lists them; these are the bytes of the manifest. [`MaildirWriter::retain`]
    /// removes the messages that are not needed.
    Stage(Vec<u8>),
}

/// A folder whose keywords get letters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeywordFolder<'a> {
    /// The directory, relative to the Maildir; empty for the Maildir itself.
    pub directory: &'a OsStr,
    /// The letters of its messages.
    pub in_use: KeywordSet,
}

/// The place of a message in a Maildir.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessagePath<'a> {
    /// The number of its folder in [`MaildirWriter::set_folders`].
    pub folder: u32,
    /// The directory in the folder.
    pub subdir: Subdir,
    /// The file name.
    pub name: &'a OsStr,
}

/// Options of [`MaildirWriter::open`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriterOptions<'a> {
    pub path: &'a Path,
    pub fsync: Fsync,
    /// How long to wait for another writer.
    pub lock_timeout: Duration,
    /// Resumes the stage of a killed run.
    pub resume: bool,
    /// The group to flush with.
    pub sync_group: Option<&'a Arc<SyncGroup>>,
    pub modes: Modes,
    pub cancel: &'a Cancel,
}

impl MaildirWriter {
    /// Opens a Maildir for writing, and returns what an earlier run left over.
    pub(crate) fn open(opening: WriterOptions<'_>) -> Result<(MaildirWriter, Leftover)> {
        match check_destination(opening.path)? {
            DestinationState::Nothing => MaildirWriter::open_staged(opening),
            DestinationState::EmptyDirectory | DestinationState::Maildir => {
                let removed = remove_stage_beside(opening)?;
                Ok((
                    MaildirWriter::open_in_place(opening)?,
                    if removed { Leftover::Removed } else { Leftover::Nothing },
                ))
            }
        }
    }

    fn open_staged(opening: WriterOptions<'_>) -> Result<(MaildirWriter, Leftover)> {
        let WriterOptions { path, fsync, lock_timeout, sync_group: together, modes, cancel, .. } = opening;
        let parent = Dir::open(parent_of(path))?;
        let final_name = path.file_name().ok_or_else(|| Error::Destination {
            path: path.to_owned(),
            reason: "does not end in a name for a Maildir".into(),
        })?;
        let stage_name = stage_name(final_name);
        // Between creating the directory and locking it, another run could take it for that of a killed run.
        let mut entering = lock::lock_dir(&parent, lock_timeout, cancel)?;
        let mut left = Leftover::Nothing;
        let (root, lock) = loop {
            if check_destination(path)? != DestinationState::Nothing {
                // The run that this one waited for has created it.
                return Ok((MaildirWriter::open_in_place(opening)?, left));
            }
            if !parent.exists(&stage_name)? {
                let root = parent.create_dir(&stage_name, modes.dir_mode())?;
                let lock = lock::lock_dir(&root, lock_timeout, cancel).inspect_err(|_| {
                    // The first error is reported.
                    let _ = parent.remove_empty(&stage_name);
                })?;
                break (root, lock);
            }
            let root = parent.open_own_child(&stage_name)?;
            match lock::lock_dir(&root, Duration::ZERO, cancel) {
                Ok(lock) if !lock.is_held() => return Err(cannot_tell(&root)),
                // The run that held the lock has published it meanwhile: it is a Maildir, and no longer a stage.
                Ok(_) if parent.child_id(&stage_name)? != Some(root.file_id()?) => {}
                Ok(lock) => match ManifestLocation::read_staged(&root).filter(|_| opening.resume) {
                    Some(manifest) => {
                        left = Leftover::Stage(manifest);
                        break (root, lock);
                    }
                    None => {
                        parent.remove_tree(&stage_name)?;
                        left = Leftover::Removed;
                    }
                },
                Err(Error::Locked { .. }) => {
                    // Other runs may enter the parent during the wait.
                    drop(entering);
                    drop(lock::lock_dir(&root, lock_timeout, cancel)?);
                    entering = lock::lock_dir(&parent, lock_timeout, cancel)?;
                }
                Err(error) => return Err(error),
            }
        };
        drop(entering);
        let final_name = final_name.to_owned();
        let cancel = cancel.clone();
        let staged = Staged { stage_name, final_name, root, published: false, cancel, _lock: lock, parent };
        let (new, cur) = subdirs(&staged.root, path, modes)?;
        let one_flush = staged.root.syncfs_reports_errors();
        let filling = MaildirWriter {
            kind: Kind::Staged(staged),
            new,
            cur,
            fsync,
            one_flush,
            together: together.cloned(),
            modes,
            creating: Mutex::new(()),
            held: AtomicU64::new(0),
            folders: Folders::default(),
            uid_lists: None,
        };
        Ok((filling, left))
    }

    /// Sets the folders that messages go to: the directories of all numbers (the first is empty, the Maildir
    /// itself), and the numbers that get messages. Missing folders are created: at once in a stage, otherwise not
    /// before the first message is published.
    ///
    /// # Errors
    /// [`Error::Destination`] for a directory with other files in it, or on another file system, to which messages
    /// cannot be renamed; [`Error::Io`].
    pub(crate) fn set_folders(&mut self, directories: Vec<OsString>, mut needed: Vec<u32>) -> Result<()> {
        needed.retain(|&folder| folder != 0);
        for &folder in &needed {
            let directory = &directories[folder as usize];
            match &self.kind {
                Kind::Staged(staged) => {
                    let (folder, _) = staged.root.open_or_create_dir(directory, DIR_MODE)?;
                    create::complete(&folder, true, Modes::default())?;
                }
                Kind::InPlace { created, .. } if created.root.exists(directory)? => {
                    let path = created.root.path().join(directory);
                    check_destination(&path)?;
                    if created.root.open_child(directory)?.device()? != created.root.device()? {
                        let reason = "is on another file system than its Maildir; move it there".into();
                        return Err(Error::Destination { path, reason });
                    }
                }
                Kind::InPlace { .. } => {}
            }
        }
        self.folders = Folders { directories, needed };
        Ok(())
    }

    /// Reports whether a message of an earlier run exists with this size.
    pub(crate) fn has_message(&self, message: MessagePath<'_>, size: u64) -> Result<bool> {
        let MessagePath { folder, subdir, name } = message;
        let size_there = match folder {
            0 => self.subdir(subdir).file_size(name)?,
            folder => self.root().file_size(&self.folders.within(folder, subdir, name))?,
        };
        Ok(size_there == Some(size))
    }

    /// Removes all that an earlier run left over except these messages of each folder. If each message is to be
    /// flushed by itself, these are flushed: the earlier run may have had another option.
    pub(crate) fn retain(&self, wanted: &[HashSet<(Subdir, OsString)>], messages: u64) -> Result<()> {
        for folder in self.root().names()?.into_iter().filter(|name| name.as_bytes().starts_with(b".")) {
            if !self.folders.directories().any(|needed| *needed == folder) {
                self.root().remove_tree(&folder)?;
            }
        }
        for place in [Subdir::New, Subdir::Cur] {
            self.keep_only_in(self.subdir(place), place, &wanted[0])?;
            for &folder in &self.folders.needed {
                let dir = self.root().open_child(&self.folders.within(folder, place, OsStr::new("")))?;
                self.keep_only_in(&dir, place, &wanted[folder as usize])?;
            }
        }
        self.held.store(messages, Ordering::Relaxed);
        Ok(())
    }

    fn keep_only_in(&self, dir: &Dir, place: Subdir, wanted: &HashSet<(Subdir, OsString)>) -> Result<()> {
        for name in dir.names()? {
            let key = (place, name);
            if !wanted.contains(&key) {
                dir.remove_tree(&key.1)?;
            } else if self.flushes_each() {
                let file = dir.open_file(&key.1)?;
                durable::sync_before_directory(&file).map_err(Error::io("flush", dir.path().join(&key.1)))?;
            }
        }
        Ok(())
    }

    fn open_in_place(opening: WriterOptions<'_>) -> Result<MaildirWriter> {
        refuse_foreign_links(opening.path)?;
        let root = Dir::open(opening.path)?;
        refuse_foreign_maildir(opening.path, &root)?;
        let lock = lock::lock_dir(&root, opening.lock_timeout, opening.cancel)?;
        let mut created = CreatedDirs { root, names: Vec::new(), modes: opening.modes, folders: Vec::new() };
        let tmp = created.open_or_create("tmp")?;
        if lock.is_held() {
            remove_left(&tmp)?;
        }
        let new = created.open_or_create("new")?;
        let cur = created.open_or_create("cur")?;
        if opening.fsync != Fsync::None {
            created.root.sync()?;
            sync_parent(opening.path)?;
        }
        let one_flush = created.root.syncfs_reports_errors();
        let (waiting, cancel) = (Mutex::new(Vec::new()), opening.cancel.clone());
        let kind = Kind::InPlace { tmp, waiting, created, cancel, _lock: lock };
        Ok(MaildirWriter {
            kind,
            new,
            cur,
            fsync: opening.fsync,
            one_flush,
            together: opening.sync_group.cloned(),
            modes: opening.modes,
            creating: Mutex::new(()),
            held: AtomicU64::new(0),
            folders: Folders::default(),
            uid_lists: None,
        })
    }

    /// Assigns letters to keywords of a folder and returns all of its keywords. A new Maildir gets a file of these
    /// alone; an existing file is extended under `locks`.
    pub(crate) fn assign_keywords<'a>(
        &mut self,
        folder: KeywordFolder<'_>,
        keywords: impl Iterator<Item = &'a str>,
        locks: &LockOptions,
        cancel: &Cancel,
    ) -> Result<KeywordTable> {
        let KeywordFolder { directory, in_use } = folder;
        let mut keywords = keywords.peekable();
        let nothing = keywords.peek().is_none();
        match &mut self.kind {
            // A killed run may have left its folder, which goes with the messages that are not needed.
            Kind::Staged(_) if nothing && !self.folders.gets_messages(directory) => {
                Ok(KeywordTable::default())
            }
            Kind::Staged(Staged { root, .. }) => {
                let root = match directory.is_empty() {
                    true => root,
                    false => &root.open_child(directory)?,
                };
                // Another run may have assigned other letters.
                root.unlink_if_exists(OsStr::new(keywords::FILE_NAME))?;
                let mut names = KeywordTable::default();
                for keyword in keywords {
                    names.add(keyword);
                }
                if !nothing {
                    names.create(root, self.modes.file_mode())?;
                }
                Ok(names)
            }
            Kind::InPlace { created, .. } if nothing => {
                KeywordTable::read(&created.root.path().join(directory))
            }
            Kind::InPlace { created, tmp, .. } => {
                let flush = self.fsync != Fsync::None;
                let folder = match directory.is_empty() {
                    true => None,
                    false => Some(created.create_folder(directory)?),
                };
                let root = folder.as_ref().unwrap_or(&created.root);
                let shared = SharedKeywords { root, tmp, flush, locks, cancel };
                shared.add(keywords, in_use)
            }
        }
    }

    /// Sets the lists of UIDs that appear with the messages.
    pub(crate) fn set_uid_lists(&mut self, lists: PendingUidLists) -> Result<()> {
        match &self.kind {
            Kind::Staged(staged) => lists.stage(&staged.root, self.modes.file_mode(), self.flushes_each())?,
            Kind::InPlace { .. } => self.uid_lists = Some(lists),
        }
        Ok(())
    }

    /// Removes the lists of UIDs that a killed run wrote into the stage.
    pub(crate) fn remove_staged_uid_lists(&self) -> Result<()> {
        let Kind::Staged(staged) = &self.kind else { return Ok(()) };
        uids::FILE_NAMES.iter().try_for_each(|name| staged.root.unlink_if_exists(OsStr::new(name)))
    }

    /// Writes messages under names that no reader sees yet. Several threads may call this at once.
    pub(crate) fn stage(&self, batch: &[NewMessage<'_>]) -> Result<()> {
        let files = self.create(batch)?;
        for (message, file) in batch.iter().zip(files) {
            // `None` is a link to an existing file.
            if let Some(file) = file {
                self.write_file(message, file)?;
            }
        }
        for message in batch.iter().filter(|message| message.folders.len() > 1) {
            self.put_into_further(message)?;
        }
        self.held.fetch_add(batch.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn write_file(&self, message: &NewMessage<'_>, file: OwnedFd) -> Result<()> {
        // The path is needed only for an error.
        let failed = |action| move |cause| Error::io(action, self.path_of(message))(cause);
        let mut put = |bytes: &[u8]| durable::write_all(&file, bytes).map_err(failed("write"));
        match (&message.content, message.existing) {
            (_, Some(path)) => {
                let existing = self.root().open_file(path.as_os_str())?;
                let (path, mut contents) = (self.root().path().join(path), Contents::default());
                let size = existing.metadata().map_err(Error::io("look at", &path))?.len();
                contents.load(&existing, size, &path)?;
                mapped::windows(&contents).try_for_each(put)?;
            }
            (MessageContent::Stream(stream), None) => stream.for_each(&mut put)?,
            (MessageContent::Slices(slices), None) if slices.iter().any(|s| s.len() > mapped::WINDOW) => {
                slices.iter().flat_map(|slice| mapped::windows(slice)).try_for_each(put)?;
            }
            (MessageContent::Slices(slices), None) => match slices[..] {
                // Nearly every message.
                [whole] => durable::write_vectored_all(&file, &mut [IoSlice::new(whole)]),
                ref slices => {
                    let mut slices: Vec<IoSlice<'_>> = slices.iter().map(|s| IoSlice::new(s)).collect();
                    durable::write_vectored_all(&file, &mut slices)
                }
            }
            .map_err(failed("write"))?,
        }
        durable::set_mtime(&file, message.mtime).map_err(failed("set its time"))?;
        if self.flushes_each() {
            durable::sync_before_directory(&file).map_err(failed("flush"))?;
        }
        Ok(())
    }

    /// Links a message whose file is written into its other folders.
    fn put_into_further(&self, message: &NewMessage<'_>) -> Result<()> {
        for nth in 1..message.folders.len() {
            let (dir, from, to) = match &self.kind {
                Kind::Staged(staged) => {
                    let within = |nth| {
                        let (folder, name) = message.file(nth);
                        self.folders.within(folder, message.subdir, name)
                    };
                    (&staged.root, within(0), within(nth))
                }
                Kind::InPlace { tmp, waiting, .. } => {
                    let from = OsString::from_vec(message.base.clone());
                    let mut base = from.clone();
                    base.push(format!(",{nth}"));
                    // The last one in the list is published first.
                    let counts = nth + 1 == message.folders.len();
                    let waiting_too = Pending::new(&base, message, nth, counts);
                    // Listed before it exists, so that it is removed however this ends.
                    ignore_poison(waiting.lock()).push(waiting_too);
                    (tmp, from, base)
                }
            };
            let linked = {
                let _one_at_a_time = ignore_poison(self.creating.lock());
                dir.try_link(&from, dir, &to)?
            };
            match linked {
                Some(true) => {}
                Some(false) => {
                    let taken = io::ErrorKind::AlreadyExists.into();
                    return Err(Error::io("link", dir.path().join(&to))(taken));
                }
                None => self.write_file(message, dir.create_file(&to, self.modes.file_mode())?)?,
            }
        }
        Ok(())
    }

    /// Reports whether [`MaildirWriter::stage`] flushes each message.
    pub(crate) fn flushes_each(&self) -> bool {
        match self.fsync {
            Fsync::Each => true,
            Fsync::Batch => !self.one_flush,
            Fsync::None => false,
        }
    }

    /// The Maildir, or its stage.
    pub(crate) fn root(&self) -> &Dir {
        match &self.kind {
            Kind::Staged(staged) => &staged.root,
            Kind::InPlace { created, .. } => &created.root,
        }
    }

    /// Reports whether everything appears at once.
    pub(crate) fn is_staged(&self) -> bool {
        matches!(self.kind, Kind::Staged(_))
    }

    /// Runs `work`, which writes, and flushes early what is already written, so that the last flush has little left
    /// to do. `checkpoint` makes each early flush by calling its argument, and knows what is safe once it
    /// succeeded. The last flush does not report an error again that an early one reported, so it counts here. `bytes`
    /// are the size of the work. If the work is interrupted and a flush is quick, another one makes the rest safe.
    pub(crate) fn flush_while(
        &self,
        bytes: u64,
        checkpoint: impl Fn(&dyn Fn() -> Result<()>) -> Result<()> + Sync,
        work: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        const APART: Duration = Duration::from_millis(150);
        /// A Maildir that is flushed with others has checkpoints of its own only if it takes longer.
        const LARGE: u64 = 32 << 20;
        /// A run ends within a second after a signal.
        const QUICK: Duration = Duration::from_millis(300);
        let is_short = self.together.is_some() && bytes < LARGE;
        if self.fsync != Fsync::Batch || !self.one_flush || is_short {
            return work();
        }
        std::thread::scope(|scope| {
            let (done, ended) = std::sync::mpsc::channel::<()>();
            let checkpoint = &checkpoint;
            let flusher = scope.spawn(move || {
                let mut took = Duration::ZERO;
                while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(APART) {
                    let start = Instant::now();
                    checkpoint(&|| self.new.sync_fs())?;
                    took = start.elapsed();
                }
                Ok(took)
            });
            let worked = work();
            drop(done);
            let flushed = flusher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            if matches!((&worked, &flushed), (Err(Error::Interrupted), Ok(took)) if *took < QUICK) {
                checkpoint(&|| self.new.sync_fs())?;
            }
            worked.and(flushed.map(|_| ()))
        })
    }

    /// Flushes everything that was written, under names that no reader sees yet.
    pub(crate) fn flush(&self) -> Result<()> {
        match self.fsync {
            Fsync::None => Ok(()),
            Fsync::Batch if self.one_flush => match &self.together {
                Some(together) => together.flush(&self.new),
                None => self.new.sync_fs(),
            },
            Fsync::Batch | Fsync::Each => match &self.kind {
                Kind::Staged(staged) => {
                    self.folders.sync(&staged.root)?;
                    self.new.sync().and_then(|()| self.cur.sync())
                }
                Kind::InPlace { tmp, .. } => tmp.sync(),
            },
        }
    }

    /// Flushes what was written of a manifest.
    pub(crate) fn flush_manifest(&self, manifest: &ManifestAppender) -> Result<()> {
        match (self.fsync, self.group()) {
            (Fsync::None, _) => Ok(()),
            (_, Some(together)) => together.flush(&self.new),
            (_, None) => manifest.sync(),
        }
    }

    /// The group whose one flush is enough for everything, if there is one.
    fn group(&self) -> Option<&SyncGroup> {
        self.together.as_deref().filter(|_| self.fsync == Fsync::Batch && self.one_flush)
    }

    fn create(&self, batch: &[NewMessage<'_>]) -> Result<Vec<Option<OwnedFd>>> {
        let _one_at_a_time = ignore_poison(self.creating.lock());
        match &self.kind {
            Kind::Staged(staged) => {
                let create = |m: &NewMessage<'_>| match m.folders[0] {
                    0 => self.subdir(m.subdir).create_file(&m.name, self.modes.file_mode()),
                    folder => {
                        let name = self.folders.within(folder, m.subdir, &m.name);
                        staged.root.create_file(&name, self.modes.file_mode())
                    }
                };
                batch.iter().map(|m| create(m).map(Some)).collect()
            }
            Kind::InPlace { tmp, waiting, created, .. } => {
                let mut waiting = ignore_poison(waiting.lock());
                batch
                    .iter()
                    .map(|m| {
                        let base = OsString::from_vec(m.base.clone());
                        let linked = match m.existing {
                            Some(there) => created.root.try_link(there.as_os_str(), tmp, &base)?,
                            None => None,
                        };
                        let file = match linked {
                            Some(true) => None,
                            _ => Some(tmp.create_file(&base, self.modes.file_mode())?),
                        };
                        waiting.push(Pending::new(&base, m, 0, m.folders.len() == 1));
                        Ok(file)
                    })
                    .collect()
            }
        }
    }

    fn subdir(&self, subdir: Subdir) -> &Dir {
        match subdir {
            Subdir::New => &self.new,
            Subdir::Cur => &self.cur,
        }
    }

    fn path_of(&self, message: &NewMessage<'_>) -> PathBuf {
        match &self.kind {
            Kind::Staged(staged) => match message.folders[0] {
                0 => self.subdir(message.subdir).path().join(&message.name),
                folder => staged.root.path().join(self.folders.within(folder, message.subdir, &message.name)),
            },
            Kind::InPlace { tmp, .. } => tmp.path().join(OsStr::from_bytes(&message.base)),
        }
    }

    /// Publishes everything that was flushed, and returns when the names are on stable storage. An error leaves no
    /// partial message; `published` counts those that are visible anyway. The Maildir stays locked until this
    /// writer is dropped. Returns the list of UIDs that another program has changed: then the lists stay as they are.
    pub(crate) fn commit(&mut self, published: &mut u64) -> Result<Option<&'static str>> {
        let flush = self.fsync != Fsync::None;
        let group = self.together.clone().filter(|_| self.group().is_some());
        match &mut self.kind {
            Kind::Staged(staged) => {
                // The names in it were flushed with the rest.
                staged.publish(flush && group.is_none())?;
                *published = self.held.load(Ordering::Relaxed);
                match group {
                    Some(together) => together.flush(&staged.parent)?,
                    None if flush => staged.parent.sync()?,
                    None => {}
                }
                Ok(None)
            }
            Kind::InPlace { tmp, waiting, created, cancel, .. } => {
                let waiting = ignore_poison(waiting.get_mut());
                created.create_folders(&self.folders, flush)?;
                // Held until all messages are visible.
                let mut uid_lock = match &self.uid_lists {
                    None => None,
                    Some(lists) => {
                        let (root, tmp) = (created.root.try_clone()?, tmp.try_clone()?);
                        let mode = self.modes.file_mode();
                        Some(lists.replace(UidListWrite { root, tmp, mode, flush, cancel })?)
                    }
                };
                while let Some(message) = waiting.last() {
                    cancel.check()?;
                    uid_lock.iter_mut().for_each(UidListLock::refresh);
                    let name = Cow::Borrowed(message.to_be());
                    let (to, name) = match (message.folder, message.place) {
                        (0, Subdir::New) => (&self.new, name),
                        (0, Subdir::Cur) => (&self.cur, name),
                        (folder, place) => (&created.root, self.folders.within(folder, place, &name).into()),
                    };
                    if !tmp.rename_noreplace(message.in_tmp(), to, &name)? {
                        return Err(Error::Appeared { path: to.path().join(&name) });
                    }
                    *published += u64::from(message.counts);
                    waiting.pop();
                    created.keep();
                    uid_lock.iter_mut().for_each(UidListLock::keep);
                }
                created.keep();
                uid_lock.iter_mut().for_each(UidListLock::keep);
                if let Some(together) = group {
                    together.flush(&self.new)?;
                } else if flush {
                    self.folders.sync(&created.root)?;
                    self.new.sync()?;
                    self.cur.sync()?;
                    created.root.sync()?;
                }
                count_anew(&created.root);
                Ok(uid_lock.and_then(|lock| lock.changed))
            }
        }
    }
}

impl Drop for MaildirWriter {
    /// Removes what is not published: the next run starts from nothing or from complete messages.
    fn drop(&mut self) {
        /// The time for it after a signal. The next run removes the rest, as after a kill.
        const LIMIT: Duration = Duration::from_millis(500);
        if let Kind::InPlace { tmp, waiting, cancel, .. } = &mut self.kind {
            let start = Instant::now();
            for message in ignore_poison(waiting.get_mut()) {
                if cancel.is_requested() && start.elapsed() > LIMIT {
                    break;
                }
                // The first error is reported; a file in tmp/ is not mail.
                let _ = tmp.unlink(message.in_tmp());
            }
        }
    }
}

impl Folders {
    /// Returns the directories of the folders that get messages.
    fn directories(&self) -> impl Iterator<Item = &OsString> {
        self.needed.iter().map(|&folder| &self.directories[folder as usize])
    }

    /// Reports whether messages go to this directory. Those of the Maildir itself are not listed.
    fn gets_messages(&self, directory: &OsStr) -> bool {
        directory.is_empty() || self.directories().any(|needed| needed == directory)
    }

    /// Returns the name of a message relative to the Maildir.
    fn within(&self, folder: u32, place: Subdir, name: &OsStr) -> OsString {
        let directory = Path::new(&self.directories[folder as usize]);
        directory.join(place.dir()).join(name).into_os_string()
    }

    /// Flushes the names in the folders that get messages.
    fn sync(&self, root: &Dir) -> Result<()> {
        for directory in self.directories() {
            let folder = root.open_child(directory)?;
            for name in ["tmp", "new", "cur"] {
                folder.open_child(OsStr::new(name))?.sync()?;
            }
            folder.sync()?;
        }
        Ok(())
    }
}

impl CreatedDirs {
    /// Keeps the directories: a message has come, or none was to come.
    fn keep(&mut self) {
        self.names.clear();
        self.folders.clear();
    }

    /// Creates the folders that are missing.
    fn create_folders(&mut self, folders: &Folders, flush: bool) -> Result<()> {
        for directory in folders.directories() {
            let folder = self.create_folder(directory)?;
            if flush {
                folder.sync()?;
            }
        }
        if flush && !folders.needed.is_empty() { self.root.sync() } else { Ok(()) }
    }

    fn create_folder(&mut self, directory: &OsStr) -> Result<Dir> {
        let (folder, created) = self.root.open_or_create_dir(directory, DIR_MODE)?;
        if created {
            self.folders.push(directory.to_owned());
        }
        create::complete(&folder, true, Modes::default())?;
        Ok(folder)
    }

    fn open_or_create(&mut self, name: &'static str) -> Result<Dir> {
        let (dir, created) = self.root.open_or_create_dir(OsStr::new(name), self.modes.dir_mode())?;
        if created {
            self.names.push(name);
        }
        Ok(dir)
    }
}

impl Drop for CreatedDirs {
    fn drop(&mut self) {
        for folder in &self.folders {
            let within = |name: &str| Path::new(folder).join(name).into_os_string();
            let stays = |name: &str| {
                let name = within(name);
                self.root.exists(&name).unwrap_or(true) && self.root.remove_empty(&name).is_err()
            };
            // A delivery may have put mail there meanwhile.
            if !["cur", "new", "tmp"].into_iter().any(stays) {
                let _ = self.root.unlink(&within("maildirfolder"));
                let _ = self.root.unlink_if_exists(&within(keywords::FILE_NAME));
                let _ = self.root.remove_empty(folder);
            }
        }
        for name in &self.names {
            // A delivery may have put mail there meanwhile: only an empty directory is removed.
            let _ = self.root.remove_empty(OsStr::new(name));
        }
    }
}

impl Staged {
    fn publish(&mut self, flush: bool) -> Result<()> {
        if flush {
            self.root.open_child(OsStr::new("tmp"))?.sync()?;
            self.root.sync()?;
        }
        if !self.parent.rename_noreplace(&self.stage_name, &self.parent, &self.final_name)? {
            return Err(Error::Appeared { path: self.parent.path().join(&self.final_name) });
        }
        self.published = true;
        Ok(())
    }

    /// Reports whether it has nothing that another run could continue, or that takes long to remove.
    fn is_empty(&self) -> bool {
        let has_messages = |name: &str| {
            let names = self.root.open_child(OsStr::new(name)).and_then(|dir| dir.names());
            names.is_ok_and(|names| !names.is_empty())
        };
        !["new", "cur"].into_iter().any(has_messages) && ManifestLocation::read_staged(&self.root).is_none()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let is_kept = || self.cancel.is_requested() && !self.is_empty();
        if !self.published && !is_kept() {
            let _ = self.parent.remove_tree(&self.stage_name);
        }
    }
}

/// Returns `.NAME.mailferry-partial`.
fn stage_name(final_name: &OsStr) -> OsString {
    let mut name = OsString::from(".");
    name.push(final_name);
    name.push(".mailferry-partial");
    name
}

fn cannot_tell(stage: &Dir) -> Error {
    Error::Destination {
        path: stage.path().to_owned(),
        reason: "is from another run, which may still write to it, and the file system has no locks; remove it if no other mailferry is running"
            .into(),
    }
}

/// Creates the directories of a new Maildir that an earlier run has not created.
fn subdirs(root: &Dir, path: &Path, modes: Modes) -> Result<(Dir, Dir)> {
    let make = |name: &str| root.open_or_create_dir(OsStr::new(name), modes.dir_mode()).map(|(dir, _)| dir);
    make("tmp")?;
    let (new, cur) = (make("new")?, make("cur")?);
    let folder = OsStr::new("maildirfolder");
    if detect::is_maildirpp_folder(path) && !root.exists(folder)? {
        root.create_file(folder, modes.file_mode())?;
    }
    Ok((new, cur))
}

/// Reports whether a killed run left something over in the tmp/ of a Maildir or next to it that the next run
/// removes.
pub(crate) fn has_leftovers(path: &Path) -> Result<bool> {
    let stage = path.file_name().map(|name| parent_of(path).join(stage_name(name)));
    if stage.is_some_and(|stage| files::symlink_metadata(stage).is_ok()) {
        return Ok(true);
    }
    match Dir::open(&path.join("tmp")) {
        Ok(tmp) => Ok(tmp.names()?.iter().any(|name| is_ours(name))),
        // There is no tmp/, or mailferry could not have written there.
        Err(_) => Ok(false),
    }
}

/// Removes what a killed run left over in tmp/: any other run that works here would hold the lock. No reader ever
/// saw it, and its source still has it.
fn remove_left(tmp: &Dir) -> Result<()> {
    let ours = tmp.names()?.into_iter().filter(|name| is_ours(name));
    ours.filter(|name| tmp.file_size(name).is_ok_and(|size| size.is_some()))
        .try_for_each(|name| tmp.remove_tree(&name))
}

/// Reports whether a name has the form that only a conversion uses.
fn is_ours(name: &OsStr) -> bool {
    if name == keywords::PARTIAL_NAME || uids::is_partial(name) {
        return true;
    }
    let parsed = name::parse(name.as_bytes());
    let has = |part: &[u8]| parsed.base.windows(part.len()).any(|window| window == part);
    parsed.unique().is_some() && parsed.epoch().is_some() && has(b",S=") && has(b",W=")
}

/// Removes a stage if another program created its Maildir since, unless a run works there.
fn remove_stage_beside(opening: WriterOptions<'_>) -> Result<bool> {
    let Some(stage) = opening.path.file_name().map(stage_name) else { return Ok(false) };
    let beside = match Dir::open(parent_of(opening.path)) {
        Ok(parent) => parent,
        // Then no run has created a stage there.
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let is_directory =
        files::symlink_metadata(parent_of(opening.path).join(&stage)).is_ok_and(|meta| meta.is_dir());
    if !is_directory {
        return Ok(false);
    }
    // No run is between creating a stage and locking it.
    let _entering = lock::lock_dir(&beside, opening.lock_timeout, opening.cancel)?;
    if !beside.exists(&stage)? {
        return Ok(false);
    }
    let root = beside.open_own_child(&stage)?;
    match lock::lock_dir(&root, Duration::ZERO, opening.cancel) {
        Ok(lock) if lock.is_held() && beside.child_id(&stage)? == Some(root.file_id()?) => {
            beside.remove_tree(&stage).map(|()| true)
        }
        Ok(_) | Err(Error::Locked { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
