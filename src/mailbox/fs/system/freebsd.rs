//! FreeBSD.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::SendFlags;

/// The flag of a handle for lookups only.
pub(crate) const LOOKUP: OFlags = OFlags::PATH;

/// The flag with which a closed connection is an error, not a signal.
pub(crate) const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;

/// Opens a name in a directory. FreeBSD says EMLINK for a symbolic link that is not followed, and this ELOOP.
pub(crate) fn open_at(dir: impl AsFd, name: &OsStr, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    retry_on_intr(|| rustix::fs::openat(&dir, name, flags, mode)).map_err(|errno| match errno {
        Errno::MLINK => Errno::LOOP,
        errno => errno,
    })
}

/// Flushes the bytes and the metadata of a file, or the names in a directory, to stable storage.
pub(crate) fn sync_file(fd: impl AsFd) -> Result<(), Errno> {
    retry_on_intr(|| rustix::fs::fsync(&fd))
}

/// Flushes a file before the directory that has its name is flushed by [`sync_file`]. It is on stable storage at once.
pub(crate) fn sync_before_directory(fd: impl AsFd) -> Result<(), Errno> {
    sync_file(fd)
}

/// Creates a file in memory: FreeBSD has the call since version 13.
pub(crate) fn memory_file(name: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)
}

/// Makes a closed connection an error, not a signal: [`NO_SIGNAL`] does so for each call.
pub(crate) fn without_signal(_: &OwnedFd) -> Result<(), Errno> {
    Ok(())
}
