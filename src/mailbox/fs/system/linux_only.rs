//! Calls of Linux for which `unix` has others.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::LazyLock;

use rustix::fs::{AtFlags, CWD, MemfdFlags, OFlags, RenameFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::linux::{CIFS, NFS, NINE_P, SMB, SMB2, magic};

/// The flag that opens a file without a name in a directory. Older kernels and some file systems do not have it.
pub(crate) const UNNAMED_FILE: Option<OFlags> = Some(OFlags::TMPFILE);

/// Gives a name to an open file that has none. It needs /proc.
pub(crate) fn name_open_file(fd: RawFd, dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    let own = format!("/proc/self/fd/{fd}");
    retry_on_intr(|| rustix::fs::linkat(CWD, &own, dir, name, AtFlags::SYMLINK_FOLLOW))
}

/// Renames a file or directory in one step, and fails if the name is taken. NFS says EINVAL.
pub(crate) fn rename_noreplace(
    dir: BorrowedFd<'_>,
    from: &OsStr,
    to: BorrowedFd<'_>,
    name: &OsStr,
) -> Result<(), Errno> {
    rustix::fs::renameat_with(dir, from, to, name, RenameFlags::NOREPLACE)
}

/// Flushes the file system of a directory to stable storage.
pub(crate) fn sync_fs(dir: BorrowedFd<'_>) -> Result<(), Errno> {
    retry_on_intr(|| rustix::fs::syncfs(dir))
}

/// Reports whether [`sync_fs`] reports data that could not be written: since Linux 5.8.
pub(crate) fn sync_fs_reports_errors() -> bool {
    // This file of the kernel says the same to every process.
    static ANSWER: LazyLock<bool> = LazyLock::new(|| {
        std::fs::read("/proc/sys/kernel/osrelease").is_ok_and(|release| is_at_least(&release, 5, 8))
    });
    *ANSWER
}

fn is_at_least(release: &[u8], least_major: u32, least_minor: u32) -> bool {
    let text = String::from_utf8_lossy(release);
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse::<u32>().ok());
    matches!((numbers.next(), numbers.next()), (Some(major), Some(minor)) if (major, minor) >= (least_major, least_minor))
}

/// Asks the disk to start writing these bytes, so that the flush at the end has little left to do. It is only a
/// hint, and not a flush.
#[allow(unsafe_code)]
pub(crate) fn begin_writeback(file: &File, at: u64, length: u64) {
    if let (Ok(at), Ok(length)) = (at.try_into(), length.try_into()) {
        // SAFETY: the descriptor is open while `file` is borrowed; no memory is passed.
        unsafe { libc::sync_file_range(file.as_raw_fd(), at, length, libc::SYNC_FILE_RANGE_WRITE) };
    }
}

/// Reports whether flock(2) and fcntl(2) take the same locks here, as on NFS and SMB: a process with both would
/// wait for itself.
pub(crate) fn flock_uses_fcntl(fd: impl AsFd) -> bool {
    magic(fd).is_some_and(|magic| [NFS, SMB, CIFS, SMB2, NINE_P].contains(&magic))
}

/// Returns the process that holds a flock(2) lock. Linux lists the locks of this machine as
/// `1: FLOCK  ADVISORY  WRITE 4711 08:01:123456 0 EOF`.
pub(crate) fn flock_holder(fd: impl AsFd) -> Option<u32> {
    let stat = rustix::fs::fstat(fd).ok()?;
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let (major, minor) = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
    let file = format!("{major:02x}:{minor:02x}:{}", stat.st_ino);
    let fields = locks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut held = fields.filter(|fields| fields.get(1) == Some(&"FLOCK") && fields.get(5) == Some(&&*file));
    held.find_map(|fields| fields[4].parse::<u32>().ok().filter(|pid| *pid > 0))
}

/// Returns the PID namespace as a word of a lock's signature; `None` if the kernel does not tell.
pub(crate) fn pid_namespace() -> Option<String> {
    // A file of the kernel, not the environment: `pid:[4026531836]`.
    let link = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let inode = link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.to_owned();
    Some(format!("pidns:{inode}"))
}

/// Returns the time at which a process started, in clock ticks since the system did: proc_pid_stat(5), field 22. `None`
/// if there is no such process, or the kernel does not tell.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in brackets, which may have any bytes.
    let (_, fields) = stat.split_at(memchr::memrchr(b')', &stat)? + 1);
    let ticks = fields.split(|&b| b == b' ').nth(20)?;
    std::str::from_utf8(ticks).ok()?.parse().ok()
}

/// Creates a file in memory.
pub(crate) fn memory_file(name: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)
}

/// Opens a stream socket that does not block, and that no program inherits.
pub(crate) fn stream_socket(family: AddressFamily) -> Result<OwnedFd, Errno> {
    socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_compared_by_number() {
        assert!(is_at_least(b"5.8.0-rc1\n", 5, 8));
        assert!(is_at_least(b"5.15.0-91-generic", 5, 8));
        assert!(is_at_least(b"6.1", 5, 8));
        assert!(!is_at_least(b"5.4.0", 5, 8));
        assert!(!is_at_least(b"4.19", 5, 8));
        assert!(!is_at_least(b"", 5, 8));
    }
}
