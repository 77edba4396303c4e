//! Messages into a Maildir. A final name appears only after the bytes are safe.
//!
//! Into a new Maildir: it grows beside its name, in `.NAME.mailferry-partial`, and appears whole by
//! one rename. Into an existing one: through its tmp/, then each message by a rename that never
//! replaces. Either way the flush is one for all, unless each message is asked to be flushed alone.

use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use crate::mailbox::durable::{self, Dir};
use crate::mailbox::error::{Error, Result};
use crate::mailbox::lock::{self, DirLock};
use crate::mailbox::manifest::{Appending, End, FILE_NAME};

/// When bytes are brought to stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Fsync {
    /// As few flushes as possible: one before the names appear, one after.
    #[default]
    Batch,
    /// Every file by itself.
    Each,
    /// Not at all: what a power cut takes is lost.
    None,
}

/// Mode of message files.
pub const FILE_MODE: u32 = 0o600;
/// Mode of directories.
pub const DIR_MODE: u32 = 0o700;

/// The two places a message can end up in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// new/: nobody has seen it.
    New,
    /// cur/: it was there before.
    Cur,
}

/// A message on its way in.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// Where to.
    pub place: Place,
    /// Its name up to the info.
    pub base: Vec<u8>,
    /// Its whole name.
    pub name: OsString,
    /// Its bytes, in order.
    pub pieces: Vec<&'a [u8]>,
    /// Its modification time, seconds since 1970.
    pub mtime: i64,
}

/// What stands at a destination before anything is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Nothing,
    /// An empty directory.
    EmptyDirectory,
    /// A Maildir, perhaps with one of its three directories missing.
    Maildir,
}

/// Looks at a destination, and refuses by name what cannot become a Maildir.
pub fn look(path: &Path) -> Result<Standing> {
    let meta = match std::fs::symlink_metadata(path).and_then(|_| std::fs::metadata(path)) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return look_beside(path),
        Err(e) => return Err(Error::io("look at the destination", path)(e)),
    };
    let refuse = |reason: &str| Err(Error::Destination { path: path.to_owned(), reason: reason.into() });
    if !meta.is_dir() {
        return refuse("exists and is no directory; a Maildir is a directory, name another destination");
    }
    let names = Dir::open(path)?.names()?;
    let has = |name: &str| names.iter().any(|n| n == name);
    if has("cur") || has("new") {
        Ok(Standing::Maildir)
    } else if names.iter().all(|n| n == "lost+found" || n == "tmp") {
        Ok(Standing::EmptyDirectory)
    } else {
        refuse(
            "is a directory with other things in it and no Maildir; name one, or a new directory inside it",
        )
    }
}

/// A destination that does not exist needs a parent that does.
fn look_beside(path: &Path) -> Result<Standing> {
    let parent = parent_of(path);
    if std::fs::symlink_metadata(path).is_ok() {
        let reason = "is a symbolic link to nothing".into();
        return Err(Error::Destination { path: path.to_owned(), reason });
    }
    match std::fs::metadata(parent) {
        Ok(meta) if meta.is_dir() => Ok(Standing::Nothing),
        Ok(_) => Err(Error::Destination { path: parent.to_owned(), reason: "is no directory".into() }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Error::Destination {
            path: parent.to_owned(),
            reason: "the directory for the new Maildir does not exist; create it first".into(),
        }),
        Err(e) => Err(Error::io("look at the directory", parent)(e)),
    }
}

/// The directory a path lies in; `.` for a bare name.
pub fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    }
}

/// A Maildir being filled: dropped without [`Filling::publish`] it leaves nothing behind.
#[derive(Debug)]
pub struct Filling {
    kind: Kind,
    new: Dir,
    cur: Dir,
    fsync: Fsync,
    /// Whether one syncfs stands for many fsyncs here.
    one_flush: bool,
    /// One thread creates files at a time: two in one directory only wait for each other inside the
    /// kernel, and dearly.
    creating: Mutex<()>,
}

#[derive(Debug)]
enum Kind {
    Staged(Staged),
    Through { tmp: Dir, waiting: Mutex<Vec<Waiting>>, made: MadeDirs, _lock: DirLock },
}

/// Which of a Maildir's directories were missing and made: they go again unless messages come.
#[derive(Debug)]
struct MadeDirs {
    root: Dir,
    names: Vec<&'static str>,
}

/// A message that waits in tmp/.
#[derive(Debug)]
struct Waiting {
    base: OsString,
    name: OsString,
    place: Place,
}

#[derive(Debug)]
struct Staged {
    parent: Dir,
    stage_name: OsString,
    final_name: OsString,
    root: Dir,
    published: bool,
    _lock: DirLock,
}

/// What [`Filling::open`] needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// The Maildir.
    pub path: &'a Path,
    /// When to flush.
    pub fsync: Fsync,
    /// How long to wait for another one who writes there.
    pub lock_timeout: Duration,
    /// Set by a signal.
    pub interrupted: &'a AtomicBool,
}

impl Filling {
    /// Prepares a Maildir for messages. The second value says whether an unfinished conversion of an
    /// earlier run was removed.
    pub fn open(opening: Opening<'_>) -> Result<(Filling, bool)> {
        match look(opening.path)? {
            Standing::Nothing => Filling::stage(opening),
            Standing::EmptyDirectory | Standing::Maildir => Ok((Filling::through(opening)?, false)),
        }
    }

    fn stage(opening: Opening<'_>) -> Result<(Filling, bool)> {
        let Opening { path, fsync, lock_timeout, interrupted } = opening;
        let parent = Dir::open(parent_of(path))?;
        let final_name = path.file_name().ok_or_else(|| Error::Destination {
            path: path.to_owned(),
            reason: "has no last part that could be the name of a Maildir".into(),
        })?;
        let stage_name = stage_name(final_name);
        // Between making the directory and locking it nobody may take it for a killed run's.
        let entering = lock::lock_dir(&parent, lock_timeout, interrupted)?;
        let removed = remove_stale(&parent, &stage_name, lock_timeout, interrupted)?;
        if look(path)? != Standing::Nothing {
            // The one we waited for has made it.
            return Ok((Filling::through(opening)?, removed));
        }
        let root = parent.create_dir(&stage_name, DIR_MODE)?;
        let lock = lock::lock_dir(&root, lock_timeout, interrupted)?;
        drop(entering);
        let staged = Staged {
            stage_name,
            final_name: final_name.to_owned(),
            root,
            published: false,
            _lock: lock,
            parent,
        };
        let (new, cur) = make_subdirs(&staged.root, path)?;
        let one_flush = staged.root.syncfs_is_honest();
        Ok((
            Filling { kind: Kind::Staged(staged), new, cur, fsync, one_flush, creating: Mutex::new(()) },
            removed,
        ))
    }

    fn through(opening: Opening<'_>) -> Result<Filling> {
        let root = Dir::open(opening.path)?;
        let lock = lock::lock_dir(&root, opening.lock_timeout, opening.interrupted)?;
        let mut made = MadeDirs { root, names: Vec::new() };
        let tmp = made.open_or_make("tmp")?;
        let new = made.open_or_make("new")?;
        let cur = made.open_or_make("cur")?;
        if opening.fsync != Fsync::None {
            made.root.sync()?;
        }
        let one_flush = made.root.syncfs_is_honest();
        let kind = Kind::Through { tmp, waiting: Mutex::new(Vec::new()), made, _lock: lock };
        Ok(Filling { kind, new, cur, fsync: opening.fsync, one_flush, creating: Mutex::new(()) })
    }

    /// Writes messages under names nobody sees yet. Several threads may call this at once.
    pub fn write(&self, batch: &[Incoming<'_>]) -> Result<()> {
        let files = self.create(batch)?;
        let flush_each = match self.fsync {
            Fsync::Each => true,
            Fsync::Batch => !self.one_flush,
            Fsync::None => false,
        };
        for (message, file) in batch.iter().zip(files) {
            let failed = |action| Error::io(action, self.path_of(message));
            let mut slices: Vec<IoSlice<'_>> = message.pieces.iter().map(|p| IoSlice::new(p)).collect();
            durable::write_vectored_all(&file, &mut slices).map_err(failed("write"))?;
            durable::set_mtime(&file, message.mtime).map_err(failed("set the time of"))?;
            if flush_each {
                durable::sync_file(&file).map_err(failed("flush"))?;
            }
        }
        Ok(())
    }

    /// Opens the Maildir's manifest to append to.
    pub fn manifest(&self, end: End) -> Result<Appending> {
        let root = match &self.kind {
            Kind::Staged(staged) => &staged.root,
            Kind::Through { made, .. } => &made.root,
        };
        Appending::open(root, OsStr::new(FILE_NAME), end)
    }

    /// Whether all appears at once.
    pub fn is_staged(&self) -> bool {
        matches!(self.kind, Kind::Staged(_))
    }

    /// Runs `work`, which writes, and has the disk begin with what is written already: the last flush
    /// then finds little left to do. An error that such an early flush hears of is not heard again by
    /// the last one, so it counts here.
    pub fn flush_while(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        const APART: Duration = Duration::from_millis(150);
        if self.fsync != Fsync::Batch || !self.one_flush {
            return work();
        }
        std::thread::scope(|scope| {
            let (done, ended) = std::sync::mpsc::channel::<()>();
            let flusher = scope.spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(APART) {
                    self.new.sync_fs()?;
                }
                Ok(())
            });
            let worked = work();
            drop(done);
            let flushed = flusher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            worked.and(flushed)
        })
    }

    fn create(&self, batch: &[Incoming<'_>]) -> Result<Vec<OwnedFd>> {
        let _one_at_a_time = self.creating.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match &self.kind {
            Kind::Staged(_) => {
                batch.iter().map(|m| self.place(m.place).create_file(&m.name, FILE_MODE)).collect()
            }
            Kind::Through { tmp, waiting, .. } => {
                let mut waiting = waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                batch
                    .iter()
                    .map(|m| {
                        let base = OsString::from_vec(m.base.clone());
                        let file = create_in_tmp(tmp, &base)?;
                        waiting.push(Waiting { base, name: m.name.clone(), place: m.place });
                        Ok(file)
                    })
                    .collect()
            }
        }
    }

    fn place(&self, place: Place) -> &Dir {
        match place {
            Place::New => &self.new,
            Place::Cur => &self.cur,
        }
    }

    fn path_of(&self, message: &Incoming<'_>) -> PathBuf {
        match &self.kind {
            Kind::Staged(_) => self.place(message.place).path().join(&message.name),
            Kind::Through { tmp, .. } => tmp.path().join(OsStr::from_bytes(&message.base)),
        }
    }

    /// Makes all that was written visible, and returns when it is on stable storage. An error leaves
    /// no message half there; into an existing Maildir the messages before it may be there, whole:
    /// `published` counts them. The Maildir stays locked until the `Filling` goes.
    pub fn publish(&mut self, published: &mut u64) -> Result<()> {
        let flush = self.fsync != Fsync::None;
        if flush && self.one_flush && self.fsync == Fsync::Batch {
            self.new.sync_fs()?;
        } else if flush {
            self.new.sync()?;
            self.cur.sync()?;
        }
        match &mut self.kind {
            Kind::Staged(staged) => staged.publish(flush),
            Kind::Through { tmp, waiting, made, .. } => {
                let waiting = waiting.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
                made.names.clear();
                while let Some(message) = waiting.last() {
                    let to = match message.place {
                        Place::New => &self.new,
                        Place::Cur => &self.cur,
                    };
                    if !tmp.publish(&message.base, to, &message.name)? {
                        return Err(Error::Destination {
                            path: to.path().join(&message.name),
                            reason: "appeared while we were writing; run the same command again".into(),
                        });
                    }
                    waiting.pop();
                    *published += 1;
                }
                if flush {
                    self.new.sync()?;
                    self.cur.sync()?;
                    made.root.sync()?;
                }
                Ok(())
            }
        }
    }
}

impl Drop for Filling {
    /// What is not published goes: a rerun starts from nothing or from whole messages.
    fn drop(&mut self) {
        if let Kind::Through { tmp, waiting, .. } = &mut self.kind {
            for message in waiting.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner()) {
                // The error that brought us here has been told; a file left in tmp/ is no mail.
                let _ = tmp.unlink(&message.base);
            }
        }
    }
}

impl MadeDirs {
    fn open_or_make(&mut self, name: &'static str) -> Result<Dir> {
        if self.root.exists(OsStr::new(name))? {
            return self.root.open_child(OsStr::new(name));
        }
        let dir = self.root.create_dir(OsStr::new(name), DIR_MODE)?;
        self.names.push(name);
        Ok(dir)
    }
}

impl Drop for MadeDirs {
    fn drop(&mut self) {
        for name in &self.names {
            // Somebody may have put mail there meanwhile: only an empty one goes.
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
        if !self.parent.publish(&self.stage_name, &self.parent, &self.final_name)? {
            return Err(Error::Destination {
                path: self.parent.path().join(&self.final_name),
                reason: "appeared while we were writing; run the same command again".into(),
            });
        }
        self.published = true;
        if flush { self.parent.sync() } else { Ok(()) }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published {
            let _ = self.parent.remove_tree(&self.stage_name);
        }
    }
}

/// `.NAME.mailferry-partial`, beside NAME.
fn stage_name(final_name: &OsStr) -> OsString {
    let mut name = OsString::from(".");
    name.push(final_name);
    name.push(".mailferry-partial");
    name
}

/// What a killed run left is removed once its lock is free.
fn remove_stale(parent: &Dir, name: &OsStr, timeout: Duration, interrupted: &AtomicBool) -> Result<bool> {
    if !parent.exists(name)? {
        return Ok(false);
    }
    let left = parent.open_child(name)?;
    let _lock = lock::lock_dir(&left, timeout, interrupted)?;
    parent.remove_tree(name)?;
    Ok(true)
}

fn make_subdirs(root: &Dir, path: &Path) -> Result<(Dir, Dir)> {
    root.create_dir(OsStr::new("tmp"), DIR_MODE)?;
    let new = root.create_dir(OsStr::new("new"), DIR_MODE)?;
    let cur = root.create_dir(OsStr::new("cur"), DIR_MODE)?;
    if is_maildirpp_subfolder(path) {
        root.create_file(OsStr::new("maildirfolder"), FILE_MODE)?;
    }
    Ok((new, cur))
}

/// A dot directory inside a Maildir is a Maildir++ folder, which carries an empty `maildirfolder`.
fn is_maildirpp_subfolder(path: &Path) -> bool {
    let dotted = path.file_name().is_some_and(|n| n.as_bytes().starts_with(b"."));
    dotted && parent_of(path).join("cur").is_dir() && parent_of(path).join("new").is_dir()
}

/// A file of this name in tmp/ is what a killed run of ours left: the name holds the hash of its
/// bytes, and we hold the Maildir's lock.
fn create_in_tmp(tmp: &Dir, base: &OsStr) -> Result<OwnedFd> {
    match tmp.create_file(base, FILE_MODE) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
            tmp.unlink(base)?;
            tmp.create_file(base, FILE_MODE)
        }
        done => done,
    }
}
