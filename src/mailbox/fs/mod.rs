//! Calls that change a disk: directory handles, flushes, atomic files, group commit, locks.

pub(crate) mod atomic_file;
pub(crate) mod durable;
pub(crate) mod lock;
pub(crate) mod ownership;
pub(crate) mod sync_group;

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::LockResult;

pub(crate) use durable::Dir;

use crate::mailbox::error::{Error, Result};
pub(crate) use ownership::Ownership;

/// Returns the directory of a path; `.` for a bare name.
pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    }
}

/// Flushes the name of a Maildir to stable storage. A run that was killed between the rename and the flush
/// may not have done it. An unreadable parent is skipped, because this user did not write to it.
pub(crate) fn sync_parent(path: &Path) -> Result<()> {
    match Dir::open(parent_of(path)) {
        Ok(parent) => parent.sync(),
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

/// Reads a regular file. Another user may have put anything under the name. It does not wait for a FIFO and
/// does not read an endless device.
pub(crate) fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(meta.len()).unwrap_or(0).saturating_add(1))?;
    // `File::read_to_end` would query the size again.
    file.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns the value in a mutex even if a thread panicked while it held the lock. That panic ends the run
/// anyway.
pub(crate) fn ignore_poison<T>(locked: LockResult<T>) -> T {
    locked.unwrap_or_else(|poisoned| poisoned.into_inner())
}
