//! Every call that changes a disk: directory handles, flushes, atomic files, group commit, locks.

pub mod atomic_file;
pub mod durable;
pub mod lock;
pub mod sync_group;

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// All of a regular file. What lies under a name among mail may be anybody's: a FIFO is not waited for, and a device
/// that has no end is not read.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(meta.len()).unwrap_or(0).saturating_add(1))?;
    // Of a file itself the standard library would ask the size once more.
    file.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}
