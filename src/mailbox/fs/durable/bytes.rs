//! Calls on an open file: writing, its size, mode and time, flushing, closing.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::retry_on_intr;

use crate::mailbox::fs::modes::mode_of;
use crate::mailbox::fs::system;

/// The most slices of one `writev` (IOV_MAX of all three systems).
pub(super) const SLICES_A_CALL: usize = 1024;

pub(crate) fn set_mode(fd: impl AsFd, mode: u32) -> io::Result<()> {
    Ok(rustix::fs::fchmod(fd, mode_of(mode))?)
}

/// Writes all of `bytes`. The caller adds the path to an error.
pub(crate) fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match retry_on_intr(|| rustix::io::write(&fd, bytes))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => bytes = &bytes[written..],
        }
    }
    Ok(())
}

/// Writes as many of `bytes` as one call takes, at least one, and returns how many: for a caller that must know its
/// position after an error.
pub(crate) fn write_some(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    match retry_on_intr(|| rustix::io::write(&fd, bytes))? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        written => Ok(written),
    }
}

/// Makes every later write go to the end of the file (O_APPEND).
pub(crate) fn set_append(fd: impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    Ok(rustix::fs::fcntl_setfl(&fd, flags | OFlags::APPEND)?)
}

/// Writes all of `bytes` at an offset. Several threads may write at once, each at its own offset.
pub(crate) fn write_all_at(fd: impl AsFd, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match retry_on_intr(|| rustix::io::pwrite(&fd, bytes, at))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => {
                bytes = &bytes[written..];
                at += written as u64;
            }
        }
    }
    Ok(())
}

/// Writes all of `slices`, in as many calls as needed; they are consumed.
pub(crate) fn write_vectored_all(fd: impl AsFd, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    // Drops empty slices at the start: a writev of only those would look like a full disk.
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        let now = &slices[..slices.len().min(SLICES_A_CALL)];
        match retry_on_intr(|| rustix::io::writev(&fd, now))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => IoSlice::advance_slices(&mut slices, written),
        }
    }
    Ok(())
}

/// Sets the modification time, in seconds since 1970. The access time stays current, because programs that clean
/// tmp/ use it.
pub(crate) fn set_mtime(fd: impl AsFd, epoch: i64) -> io::Result<()> {
    use rustix::fs::{Timespec, Timestamps, UTIME_NOW};
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        last_modification: Timespec { tv_sec: epoch, tv_nsec: 0 },
    };
    Ok(rustix::fs::futimens(fd, &times)?)
}

pub(crate) fn truncate(fd: impl AsFd, length: u64) -> io::Result<()> {
    Ok(retry_on_intr(|| rustix::fs::ftruncate(&fd, length))?)
}

/// Flushes the bytes and the metadata of a file to stable storage.
pub(crate) fn sync_file(fd: impl AsFd) -> io::Result<()> {
    Ok(system::sync_file(fd)?)
}

/// Flushes a file so that the next flush of a directory on the same disk leaves it on stable storage, if it is not there
/// at once.
pub(crate) fn sync_before_directory(fd: impl AsFd) -> io::Result<()> {
    Ok(system::sync_before_directory(fd)?)
}

/// Closes a file and returns errors that the file system reports only now (NFS).
#[allow(unsafe_code)]
pub(crate) fn close(fd: OwnedFd) -> io::Result<()> {
    use std::os::fd::IntoRawFd;
    // SAFETY: the descriptor is owned and given up here; the system has closed it on EINTR, too.
    match unsafe { libc::close(fd.into_raw_fd()) } {
        0 => Ok(()),
        _ => match io::Error::last_os_error() {
            e if e.kind() == io::ErrorKind::Interrupted => Ok(()),
            e => Err(e),
        },
    }
}
