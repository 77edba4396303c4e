//! Calls that change a disk, and those that differ between systems: directory handles, flushes, atomic files, group commit, locks.

pub(crate) mod actor;
pub(crate) mod archived;
pub(crate) mod atomic_file;
pub(crate) mod durable;
pub(crate) mod entries;
pub(crate) mod files;
pub(crate) mod fingerprint;
pub(crate) mod foreign;
pub(crate) mod holes;
pub(crate) mod identity;
pub(crate) mod link_directory;
pub(crate) mod lock;
mod lock_signature;
pub(crate) mod modes;
pub(crate) mod random;
pub(crate) mod sync_group;
pub(crate) mod system;

use std::path::Path;
use std::sync::LockResult;

pub(crate) use durable::{Dir, sync_parent};
pub(crate) use files::read_regular;
pub(crate) use modes::Modes;

/// Returns the directory of a path; `.` for a bare name.
pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    }
}

/// Returns the value in a mutex even if a thread panicked while it held the lock. That panic ends the run
/// anyway.
pub(crate) fn ignore_poison<T>(locked: LockResult<T>) -> T {
    locked.unwrap_or_else(|poisoned| poisoned.into_inner())
}
