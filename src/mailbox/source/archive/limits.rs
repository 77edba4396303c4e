//! Limits against archives that unpack to far more than they hold.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::spool::SpoolOptions;
use crate::mailbox::text::grouped;
use crate::mailbox::{Error, Result};

/// The bytes that any archive may unpack to.
const FREE: u64 = 1 << 30;
/// How many times its size an archive may unpack to beyond that. Mail is compressed to a twentieth at best.
const RATIO: u64 = 200;
/// The most members, and directories that they are in: each takes memory.
const MEMBERS: usize = 4_000_000;
/// The longest name of a member.
pub(super) const NAME: u64 = 32 << 10;
/// The longest header that gives a name and other properties of a member.
pub(super) const EXTENDED_HEADER: u64 = 1 << 20;

const UNPACK: &str = "unpack it yourself, and name the directory as the source";

/// Counts what is read and what it unpacks to.
pub(super) struct Limits {
    archive: PathBuf,
    /// The user has set a limit, which replaces the ratio.
    has_own_limit: bool,
    read: AtomicU64,
    unpacked: AtomicU64,
}

impl Limits {
    pub(super) fn new(archive: &Path, spooling: &SpoolOptions<'_>) -> Limits {
        let (read, unpacked) = (AtomicU64::new(0), AtomicU64::new(0));
        Limits { archive: archive.to_owned(), has_own_limit: spooling.limit.is_some(), read, unpacked }
    }

    /// Counts bytes of the archive.
    pub(super) fn add_read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts unpacked bytes.
    ///
    /// # Errors
    /// [`Error::Archive`] if they are too many.
    pub(super) fn add_unpacked(&self, bytes: u64) -> Result<()> {
        let unpacked = self.unpacked.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let read = self.read.load(Ordering::Relaxed);
        if self.has_own_limit || unpacked <= FREE || unpacked / RATIO <= read {
            return Ok(());
        }
        let reason = format!(
            "unpacks to more than {RATIO} times its size: {} bytes of it to {}; if this is right, {UNPACK}, or set \
             --spool-limit",
            grouped(read),
            grouped(unpacked)
        );
        Err(Error::Archive { path: self.archive.clone(), reason })
    }

    /// Fails if there are too many members.
    pub(super) fn check_members(&self, count: usize) -> Result<()> {
        if count <= MEMBERS {
            return Ok(());
        }
        let reason = format!("has more than {} members; {UNPACK}", grouped(MEMBERS as u64));
        Err(Error::Archive { path: self.archive.clone(), reason })
    }
}
