//! What a system without a call of its own does instead, in calls that every Unix has.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::{Errno, FdFlags};
use rustix::net::{AddressFamily, SocketType};

use super::{open_at, sync_before_directory, sync_file, without_signal};

/// There is no file without a name. A file that is to have all its bytes as soon as it has its name is written under a
/// hidden name and linked: a kill leaves no file or a complete one, and may leave the hidden name. A temporary file is
/// created under a hidden name that is removed at once: only a kill between both calls leaves it.
pub(crate) const UNNAMED_FILE: Option<OFlags> = None;

/// There is no open file without a name to give one to.
pub(crate) fn name_open_file(_: RawFd, _: BorrowedFd<'_>, _: &OsStr) -> Result<(), Errno> {
    Err(Errno::OPNOTSUPP)
}

/// There is no rename that fails if the name is taken. The caller links a file and removes the old name: no name that is
/// taken is replaced, and a kill in between leaves both names of the same file. A directory is renamed if its name is
/// free: another program that creates an empty directory of that name just then loses it.
#[cfg(not(target_os = "macos"))]
pub(crate) fn rename_noreplace(
    _: BorrowedFd<'_>,
    _: &OsStr,
    _: BorrowedFd<'_>,
    _: &OsStr,
) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

/// Flushes every file and directory below a directory, one by one: nothing else of its file system. What is removed
/// meanwhile is passed over, and no link is followed.
pub(crate) fn sync_fs(dir: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let names = |dir: BorrowedFd<'_>| -> Result<Vec<OsString>, Errno> {
        let mut names = Vec::new();
        for entry in Dir::read_from(dir)? {
            let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    };
    for name in names(dir)? {
        let kind = match rustix::fs::statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => FileType::from_raw_mode(stat.st_mode),
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(errno),
        };
        if !matches!(kind, FileType::RegularFile | FileType::Directory) {
            continue;
        }
        match (open_at(dir, &name, flags, Mode::empty()), kind) {
            (Ok(below), FileType::Directory) => sync_fs(below.as_fd())?,
            (Ok(file), _) => sync_before_directory(file)?,
            // It was removed, or exchanged for a link.
            (Err(Errno::NOENT | Errno::LOOP), _) => {}
            (Err(errno), _) => return Err(errno),
        }
    }
    sync_file(dir)
}

/// [`sync_fs`] flushes files that are written, but each writer has flushed its own before: the caller flushes every file
/// by [`sync_before_directory`], and then the directory. This is as safe as one flush of the file system, and slower.
pub(crate) fn sync_fs_reports_errors() -> bool {
    false
}

/// No system but Linux takes the hint. Nothing depends on it.
pub(crate) fn begin_writeback(_: &File, _: u64, _: u64) {}

/// flock(2) and fcntl(2) exclude each other, even within one process: it would wait for itself. The caller takes the
/// fcntl lock only, which keeps out the programs that use either.
pub(crate) fn flock_uses_fcntl(_: impl AsFd) -> bool {
    true
}

/// The kernel does not tell who holds a flock(2) lock.
pub(crate) fn flock_holder(_: impl AsFd) -> Option<u32> {
    None
}

/// There are no PID namespaces. A lock file of a process in another jail or container with the same host name looks
/// stale: such mailboxes need the locks of the kernel, too, which are the default.
pub(crate) fn pid_namespace() -> Option<String> {
    None
}

/// No portable call tells when a process started. A lock file whose process is gone, and whose number another process
/// has now, is waited for until the time is up; it is never taken over wrongly.
pub(crate) fn start_time(_: u32) -> Option<u64> {
    None
}

/// There are no files in memory. The caller creates a file of this user's in /tmp and removes its name: what is in it may
/// reach a disk, and is gone with the last handle. Only a kill between both calls leaves the name.
#[cfg(not(target_os = "freebsd"))]
pub(crate) fn memory_file(_: &str) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}

/// Opens a stream socket that does not block, and that no program inherits. A program that another thread starts
/// between the calls would inherit it.
pub(crate) fn stream_socket(family: AddressFamily) -> Result<OwnedFd, Errno> {
    let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    without_signal(&socket)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn all_below_a_directory_is_flushed_and_no_link_is_followed() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("a/b")).unwrap();
        fs::write(temp.path().join("a/b/file"), "x").unwrap();
        symlink("/absent", temp.path().join("a/link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, temp.path().join("fifo"), FileType::Fifo, Mode::RUSR, 0)
            .unwrap();
        let dir = fs::File::open(temp.path()).unwrap();
        sync_fs(dir.as_fd()).unwrap();
        // Not a directory.
        let file = fs::File::open(temp.path().join("a/b/file")).unwrap();
        assert!(sync_fs(file.as_fd()).is_err());
    }

    #[test]
    fn a_socket_neither_blocks_nor_is_inherited() {
        let socket = stream_socket(AddressFamily::UNIX).unwrap();
        assert!(rustix::io::fcntl_getfd(&socket).unwrap().contains(FdFlags::CLOEXEC));
        assert!(rustix::fs::fcntl_getfl(&socket).unwrap().contains(OFlags::NONBLOCK));
    }
}
