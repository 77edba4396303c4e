//! macOS.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, RenameFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::SendFlags;

/// The flag of a handle for lookups only. There is none: the file is opened. Only root looks up names by such handles,
/// and every path is refused to root.
pub(crate) const LOOKUP: OFlags = OFlags::NONBLOCK;

/// There is no such flag: [`without_signal`] and the standard library have an option of the socket.
pub(crate) const NO_SIGNAL: SendFlags = SendFlags::empty();

/// Opens a name in a directory. A symbolic link that is not followed gives ELOOP, or ENOTDIR for a directory.
pub(crate) fn open_at(dir: impl AsFd, name: &OsStr, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    retry_on_intr(|| rustix::fs::openat(&dir, name, flags, mode))
}

/// Flushes the bytes and the metadata of a file, or the names in a directory, to stable storage: fsync(2) only gives
/// them to the disk, which may keep them in its memory, so it is fcntl(2) with F_FULLFSYNC. A file system without that
/// (SMB, some disks) gets an fsync, and then the guarantee is the server's or the disk's. A real error is reported.
pub(crate) fn sync_file(fd: impl AsFd) -> Result<(), Errno> {
    match retry_on_intr(|| rustix::fs::fcntl_fullfsync(&fd)) {
        // Each of them means that the file system does not have the call.
        Err(Errno::NOTSUP | Errno::INVAL | Errno::NOTTY) => sync_before_directory(fd),
        result => result,
    }
}

/// Gives a file to the disk before the directory that has its name is flushed by [`sync_file`]: that makes the disk write
/// all it has, this file included. Until then the file is not on stable storage. A flush of each file by
/// [`sync_file`] would take milliseconds for each.
pub(crate) fn sync_before_directory(fd: impl AsFd) -> Result<(), Errno> {
    retry_on_intr(|| rustix::fs::fsync(&fd))
}

/// Renames a file or directory in one step, and fails if the name is taken (RENAME_EXCL). A file system without the call
/// says so, and the caller links and removes.
pub(crate) fn rename_noreplace(
    dir: BorrowedFd<'_>,
    from: &OsStr,
    to: BorrowedFd<'_>,
    name: &OsStr,
) -> Result<(), Errno> {
    rustix::fs::renameat_with(dir, from, to, name, RenameFlags::NOREPLACE).map_err(|errno| match errno {
        Errno::NOTSUP => Errno::NOSYS,
        errno => errno,
    })
}

/// Makes a closed connection an error, not a signal.
pub(crate) fn without_signal(socket: &OwnedFd) -> Result<(), Errno> {
    rustix::net::sockopt::set_socket_nosigpipe(socket, true)
}
