//! Linux. What `unix` has other calls for is in `linux_only`.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::SendFlags;
use rustix::process::{DumpableBehavior, Gid, Uid};
use rustix::thread::{
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid, set_thread_uid,
};

/// Root can act for the owner of a path: each thread has credentials of its own, and a name is held without opening
/// the file.
pub(crate) const ROOT_ACTS_FOR_USERS: bool = true;

/// The flag of a handle for lookups only.
pub(crate) const LOOKUP: OFlags = OFlags::PATH;

/// The flag with which a closed connection is an error, not a signal.
pub(crate) const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;

/// Makes a closed connection an error, not a signal: [`NO_SIGNAL`] does so for each call.
#[cfg(feature = "plain-unix")]
pub(crate) fn without_signal(_: &OwnedFd) -> Result<(), Errno> {
    Ok(())
}

/// Opens a name in a directory. A symbolic link that is not followed gives ELOOP, or ENOTDIR for a directory.
pub(crate) fn open_at(dir: impl AsFd, name: &OsStr, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    retry_on_intr(|| rustix::fs::openat(&dir, name, flags, mode))
}

/// Flushes the bytes and the metadata of a file, or the names in a directory, to stable storage.
pub(crate) fn sync_file(fd: impl AsFd) -> Result<(), Errno> {
    retry_on_intr(|| rustix::fs::fsync(&fd))
}

/// Flushes a file before the directory that has its name is flushed by [`sync_file`]. It is on stable storage at once.
pub(crate) fn sync_before_directory(fd: impl AsFd) -> Result<(), Errno> {
    sync_file(fd)
}

pub(super) const NFS: u32 = 0x6969;
pub(super) const SMB: u32 = 0x517b;
pub(super) const CIFS: u32 = 0xff53_4d42;
pub(super) const SMB2: u32 = 0xfe53_4d42;
pub(super) const NINE_P: u32 = 0x0102_1997;

/// The file systems of linux/magic.h that keep their bytes on another machine or in another program.
const REMOTE: [u32; 10] = [
    NFS,
    SMB,
    CIFS,
    SMB2,
    0x6573_5546, // FUSE
    NINE_P,
    0x5346_414f, // AFS
    0x6b41_4653, // the kernel's AFS
    0x7375_7245, // Coda
    0x00c3_6400, // Ceph
];

/// Reports whether the bytes are on another machine or in another program.
pub(crate) fn is_remote(fd: impl AsFd) -> bool {
    // If even statfs fails, nothing can be trusted.
    magic(fd).is_none_or(|magic| REMOTE.contains(&magic))
}

/// Returns the kind of file system. It has 32 bits in a field whose width and sign depend on the architecture.
#[allow(clippy::unnecessary_cast)]
pub(super) fn magic(fd: impl AsFd) -> Option<u32> {
    rustix::fs::fstatfs(fd).ok().map(|stat| stat.f_type as u32)
}

/// A file or directory whose mode can be changed: always the same one, whatever becomes of its name.
#[derive(Debug)]
pub(crate) struct ModeHandle(OwnedFd);

impl ModeHandle {
    /// Looks up a name. A symbolic link is not followed.
    pub(crate) fn open(dir: BorrowedFd<'_>, name: &OsStr) -> Result<ModeHandle, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        open_at(dir, name, flags, Mode::empty()).map(ModeHandle)
    }

    pub(crate) fn stat(&self) -> Result<Stat, Errno> {
        rustix::fs::fstat(&self.0)
    }

    pub(crate) fn set_mode(&self, mode: Mode) -> Result<(), Errno> {
        // fchmod takes no descriptor of this kind; the name leads to the same file.
        rustix::fs::chmod(format!("/proc/self/fd/{}", self.0.as_raw_fd()), mode)
    }
}

/// Returns the program that is running, also after an update has replaced its file.
pub(crate) fn running_program() -> io::Result<PathBuf> {
    Ok("/proc/self/exe".into())
}

/// Gives the calling thread these credentials permanently. Threads that it starts inherit them.
pub(crate) fn take_credentials(uid: Uid, gid: Gid, groups: &[Gid]) -> io::Result<()> {
    set_thread_groups(groups)?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    // A kernel or a container may report success without a change. A user cannot go back.
    let is_user = uid == rustix::process::getuid() && uid == rustix::process::geteuid();
    let is_in_group = gid == rustix::process::getgid() && gid == rustix::process::getegid();
    match is_user && is_in_group && set_thread_uid(Uid::ROOT).is_err() {
        true => Ok(()),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// Keeps other processes of a user from looking into this one, which was root's.
pub(crate) fn seclude() -> io::Result<()> {
    Ok(rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Gives up setuid and setgid programs: for a process that runs no other program.
pub(crate) fn forbid_new_privileges() -> io::Result<()> {
    Ok(set_no_new_privs(true)?)
}
