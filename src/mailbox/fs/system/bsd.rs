//! What FreeBSD and macOS have in common.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, Mode, Stat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

/// Credentials belong to the whole process, so that root cannot act for one user here and another there. mailferry
/// refuses every path to root.
pub(crate) const ROOT_ACTS_FOR_USERS: bool = false;

/// The file systems, by the start of their names, that keep their bytes in another program.
const USER_SPACE: [&[u8]; 4] = [b"fuse", b"macfuse", b"osxfuse", b"p9fs"];

/// Reports whether the bytes are on another machine or in another program.
#[allow(clippy::unnecessary_cast)] // the types differ between systems
pub(crate) fn is_remote(fd: impl AsFd) -> bool {
    // If even statfs fails, nothing can be trusted.
    let Ok(stat) = rustix::fs::fstatfs(fd) else { return true };
    let name: Vec<u8> = stat.f_fstypename.iter().map(|&c| c as u8).collect();
    stat.f_flags as u64 & libc::MNT_LOCAL as u64 == 0 || USER_SPACE.iter().any(|kind| name.starts_with(kind))
}

/// A file or directory whose mode can be changed. The name is looked up for each call: a file that another program puts
/// in its place just before the last one gets the mode. A link is never followed.
#[derive(Debug)]
pub(crate) struct ModeHandle {
    dir: OwnedFd,
    name: OsString,
}

impl ModeHandle {
    /// Looks up a name. A symbolic link is not followed.
    pub(crate) fn open(dir: BorrowedFd<'_>, name: &OsStr) -> Result<ModeHandle, Errno> {
        let handle = ModeHandle { dir: rustix::io::fcntl_dupfd_cloexec(dir, 0)?, name: name.to_owned() };
        handle.stat().map(|_| handle)
    }

    pub(crate) fn stat(&self) -> Result<Stat, Errno> {
        rustix::fs::statat(&self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW)
    }

    pub(crate) fn set_mode(&self, mode: Mode) -> Result<(), Errno> {
        rustix::fs::chmodat(&self.dir, &self.name, mode, AtFlags::SYMLINK_NOFOLLOW)
    }
}

/// Returns the file that the running program was started from. After an update it is the new one.
pub(crate) fn running_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// Refuses: see [`ROOT_ACTS_FOR_USERS`].
pub(crate) fn take_credentials(_: Uid, _: Gid, _: &[Gid]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Refuses: only a process that takes another user's credentials needs it.
pub(crate) fn seclude() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Refuses: only a process that takes another user's credentials needs it.
pub(crate) fn forbid_new_privileges() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
