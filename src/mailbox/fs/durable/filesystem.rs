//! The free space of file systems.

use std::path::Path;

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
