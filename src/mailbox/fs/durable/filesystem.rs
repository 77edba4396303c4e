//! File systems: their free space, and what their kinds support.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::LazyLock;

use rustix::fs::StatVfs;

use crate::mailbox::error::{Error, Result};

/// Free space of a file system, as far as this user may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FreeSpace {
    /// Free bytes; only root may use the reserved blocks.
    pub bytes: u64,
    /// Free inodes; `None` for a file system that creates them as needed (btrfs).
    pub inodes: Option<u64>,
    /// The size of a block in bytes: the smallest file takes one.
    pub block: u64,
}

impl FreeSpace {
    /// Fails if fewer than `need` bytes are free in `directory`.
    pub(crate) fn require_bytes(self, directory: &Path, need: u64) -> Result<()> {
        require(directory, "bytes", need, Some(self.bytes))
    }

    /// Fails if fewer than `need` inodes are free in `directory`.
    pub(crate) fn require_inodes(self, directory: &Path, need: u64) -> Result<()> {
        require(directory, "inodes", need, self.inodes)
    }

    pub(super) fn of(stat: &StatVfs, root: bool) -> FreeSpace {
        let blocks = if root { stat.f_bfree } else { stat.f_bavail };
        let block = stat.f_frsize.max(1);
        FreeSpace {
            bytes: blocks.saturating_mul(block),
            inodes: (stat.f_files > 0).then_some(if root { stat.f_ffree } else { stat.f_favail }),
            block,
        }
    }
}

fn require(directory: &Path, unit: &'static str, need: u64, free: Option<u64>) -> Result<()> {
    match free.filter(|&free| need > free) {
        Some(free) => {
            let hint = "free some space or name another destination; nothing was written";
            Err(Error::InsufficientSpace { path: directory.to_owned(), unit, need, free, hint })
        }
        None => Ok(()),
    }
}

/// Reports whether flock(2) and fcntl(2) take the same locks here, as on NFS and SMB: a process with both would
/// wait for itself.
pub(crate) fn flock_uses_fcntl(fd: impl AsFd) -> bool {
    magic(fd).is_some_and(|magic| [NFS, SMB, CIFS, SMB2, NINE_P].contains(&magic))
}

const NFS: u32 = 0x6969;
const SMB: u32 = 0x517b;
const CIFS: u32 = 0xff53_4d42;
const SMB2: u32 = 0xfe53_4d42;
const NINE_P: u32 = 0x0102_1997;

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
pub(super) fn is_remote(fd: impl AsFd) -> bool {
    // If even statfs fails, nothing can be trusted.
    magic(fd).is_none_or(|magic| REMOTE.contains(&magic))
}

/// Returns the kind of file system. It has 32 bits in a field whose width and sign depend on the architecture.
#[allow(clippy::unnecessary_cast)]
fn magic(fd: impl AsFd) -> Option<u32> {
    rustix::fs::fstatfs(fd).ok().map(|stat| stat.f_type as u32)
}

pub(super) fn kernel_reports_syncfs_errors() -> bool {
    // This file of the kernel says the same to every process.
    static ANSWER: LazyLock<bool> = LazyLock::new(|| {
        std::fs::read("/proc/sys/kernel/osrelease").is_ok_and(|release| is_at_least(&release, 5, 8))
    });
    *ANSWER
}

pub(super) fn is_at_least(release: &[u8], least_major: u32, least_minor: u32) -> bool {
    let text = String::from_utf8_lossy(release);
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse::<u32>().ok());
    matches!((numbers.next(), numbers.next()), (Some(major), Some(minor)) if (major, minor) >= (least_major, least_minor))
}
