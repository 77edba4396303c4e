//! Lists of UIDs that appear with the messages of a run.
//!
//! In a Maildir that servers use, the lists are replaced under Dovecot's lock, and before the first message is visible.
//! Dovecot numbers a message without an entry. It accepts an entry without a file, because messages are expunged. So
//! neither a kill nor a server that waits for the lock gives a message another UID.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::{LIST_NAME, PARTIAL_SUFFIX, UidListChange};
use crate::mailbox::context::LockMethod;
use crate::mailbox::fs::lock::{self, LockMode, MailboxLock};
use crate::mailbox::fs::{Dir, durable};
use crate::mailbox::{Cancel, Error, LockOptions, Result};

/// Dovecot takes over a lock that is two minutes old.
const REFRESH: Duration = Duration::from_secs(20);

/// The lists to write, and how to lock them.
#[derive(Debug)]
pub(crate) struct PendingUidLists {
    changes: Vec<UidListChange>,
    locks: LockOptions,
    /// The run fails if another program has changed a list.
    is_required: bool,
}

/// The directories and the options of a write.
pub(crate) struct UidListWrite<'a> {
    pub root: Dir,
    pub tmp: Dir,
    pub mode: u32,
    /// Bring the list to stable storage before it is visible.
    pub flush: bool,
    pub cancel: &'a Cancel,
}

/// Dovecot's lock, held while messages become visible. Dropped before [`UidListLock::keep`] it puts the old lists back:
/// without messages, the manifest does not name the new ones.
pub(crate) struct UidListLock<'a> {
    lock: MailboxLock,
    refreshed: Instant,
    write: UidListWrite<'a>,
    undo: Vec<&'a UidListChange>,
    /// The list that another program has changed; then no list has the messages of the run.
    pub(crate) changed: Option<&'static str>,
}

#[derive(Clone, Copy)]
struct CreateOptions {
    mode: u32,
    flush: bool,
}

impl PendingUidLists {
    pub(crate) fn new(
        changes: Vec<UidListChange>,
        locks: &LockOptions,
        is_required: bool,
    ) -> PendingUidLists {
        // Servers take no other lock for it.
        let locks = LockOptions { methods: vec![LockMethod::Dotlock], ..locks.clone() };
        PendingUidLists { changes, locks, is_required }
    }

    /// Writes the lists into a Maildir that no server sees yet, in the place of those of a killed run.
    pub(crate) fn stage(&self, root: &Dir, mode: u32, flush: bool) -> Result<()> {
        for UidListChange { name, after, .. } in &self.changes {
            create(root, OsStr::new(name), after, CreateOptions { mode, flush })?;
        }
        Ok(())
    }

    /// Takes the lock and replaces the lists, unless another program has changed one meanwhile: then all stay.
    ///
    /// # Errors
    /// [`Error::UidsNotKept`] for such a list if the UIDs are required, [`Error::Locked`], [`Error::Interrupted`],
    /// [`Error::Io`].
    pub(crate) fn replace<'a>(&'a self, write: UidListWrite<'a>) -> Result<UidListLock<'a>> {
        let UidListWrite { root, cancel, .. } = &write;
        let path = root.path().join(LIST_NAME);
        // The lock is that of the file, which may not exist yet.
        let open =
            || root.as_fd().try_clone_to_owned().map(File::from).map_err(Error::io("open", root.path()));
        let (lock, _) = lock::acquire_with(&path, open, LockMode::Write, &self.locks, cancel)?;
        let mut changed = None;
        for UidListChange { name, before, .. } in &self.changes {
            if read(root, name)? != *before {
                if self.is_required {
                    return Err(changed_meanwhile(root.path().join(name)));
                }
                changed = Some(*name);
            }
        }
        let mut locked = UidListLock { lock, refreshed: Instant::now(), write, undo: Vec::new(), changed };
        let is_new =
            |change: &&UidListChange| changed.is_none() && change.before.as_ref() != Some(&change.after);
        for change in self.changes.iter().filter(is_new) {
            locked.write.replace(change.name, &change.after)?;
            locked.undo.push(change);
        }
        Ok(locked)
    }
}

impl UidListWrite<'_> {
    fn replace(&self, name: &str, text: &[u8]) -> Result<()> {
        let UidListWrite { root, tmp, mode, flush, .. } = self;
        let mut partial = OsString::from(name);
        partial.push(PARTIAL_SUFFIX);
        let written = create(tmp, &partial, text, CreateOptions { mode: *mode, flush: *flush });
        let done = written.and_then(|()| tmp.replace_in(&partial, root, OsStr::new(name)));
        done.inspect_err(|_| {
            // The first error is reported.
            let _ = tmp.unlink_if_exists(&partial);
        })
    }
}

/// Creates a file, in the place of one that a killed run may have left.
fn create(dir: &Dir, name: &OsStr, text: &[u8], options: CreateOptions) -> Result<()> {
    dir.unlink_if_exists(name)?;
    let file = dir.create_file(name, options.mode)?;
    let written = durable::write_all(&file, text).and_then(|()| match options.flush {
        true => durable::sync_file(&file),
        false => Ok(()),
    });
    written.map_err(Error::io("write", dir.path().join(name)))
}

impl Drop for UidListLock<'_> {
    fn drop(&mut self) {
        for UidListChange { name, before, .. } in self.undo.drain(..) {
            // The first error is reported.
            let _ = match before {
                Some(text) => self.write.replace(name, text),
                None => self.write.root.unlink_if_exists(OsStr::new(name)),
            };
        }
    }
}

impl UidListLock<'_> {
    /// Keeps the lists: a message is visible, or none was to come.
    pub(crate) fn keep(&mut self) {
        self.undo.clear();
    }

    /// Keeps servers from taking the lock over, if it is time.
    pub(crate) fn refresh(&mut self) {
        if self.refreshed.elapsed() > REFRESH {
            self.lock.touch();
            self.refreshed = Instant::now();
        }
    }
}

fn changed_meanwhile(path: std::path::PathBuf) -> Error {
    Error::UidsNotKept { path, reason: "another program changed it during the run".into() }
}

/// Reads a list in a Maildir; None if there is none.
pub(crate) fn read(root: &Dir, name: &str) -> Result<Option<Vec<u8>>> {
    let file = match root.open_file(OsStr::new(name)) {
        Err(error) if error.is(io::ErrorKind::NotFound) => return Ok(None),
        file => file?,
    };
    let path = root.path().join(name);
    let meta = file.metadata().map_err(Error::io("look at", &path))?;
    if !meta.is_file() {
        return Err(Error::io("read", &path)(io::Error::other("it is not a regular file")));
    }
    let mut text = Vec::new();
    (&file).take(meta.len()).read_to_end(&mut text).map_err(Error::io("read", &path))?;
    Ok(Some(text))
}
