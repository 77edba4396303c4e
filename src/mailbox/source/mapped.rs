//! Files mapped into memory, and their addresses for the handler of SIGBUS.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use memmap2::{Mmap, MmapOptions, UncheckedAdvice};

use crate::mailbox::{Error, Result};

/// The unit in which pages are released. Each release interrupts every core that mailferry runs on.
const BLOCK: usize = 4 << 20;

/// A read-only mapping of a file.
#[derive(Debug)]
pub(crate) struct MappedFile {
    map: Mmap,
    slot: Option<&'static Slot>,
}

impl MappedFile {
    /// Maps the first `size` bytes of a file, if there are any. `path` is for messages.
    #[allow(unsafe_code)]
    pub(crate) fn map(file: &File, size: u64, path: &Path) -> Result<Option<MappedFile>> {
        if size == 0 {
            return Ok(None);
        }
        let failed = Error::io("map", path);
        let Ok(size) = usize::try_from(size) else { return Err(failed(io::ErrorKind::FileTooLarge.into())) };
        // SAFETY: the mapping is read-only, and its type is bytes, for which any value is valid. No other
        // program can open a spool. Another program may change a source in spite of the locks. Then a byte
        // that is read twice may differ: no code here indexes unchecked by a byte that it checked before, and
        // `Source::check_unchanged` rejects the result. A truncated source raises SIGBUS, and the handler of
        // the binary maps zeros in place of the lost pages.
        let map = unsafe { MmapOptions::new().len(size).map(file) }.map_err(failed)?;
        let slot = Slot::take(&map);
        Ok(Some(MappedFile { map, slot }))
    }

    /// Reports whether zeros were read in place of bytes, since the file was truncated or the disk is bad.
    pub(crate) fn has_lost_pages(&self) -> bool {
        self.slot.is_some_and(|slot| slot.lost.load(Ordering::SeqCst))
    }

    /// Releases every block that ends in the range. Consecutive ranges together release all blocks.
    #[allow(unsafe_code)]
    pub(crate) fn release(&self, range: Range<usize>) {
        let start = range.start.min(self.len()) / BLOCK * BLOCK;
        let end = if range.end >= self.len() { self.len() } else { range.end / BLOCK * BLOCK };
        if start < end {
            // SAFETY: MADV_DONTNEED discards what was written to private or anonymous pages. This is a shared
            // read-only mapping of a file: the next access reads the same bytes again. (The zeros of the
            // handler of SIGBUS stay zeros.) It is advice, so a refusal is not an error.
            let _ = unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, start, end - start) };
        }
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            slot.start.store(FREE, Ordering::SeqCst);
        }
    }
}

/// The address of a mapping, for the signal handler. The handler may neither lock nor allocate, so the number
/// of slots is fixed. A mapping that finds no free slot is unknown to the handler.
#[derive(Debug)]
struct Slot {
    /// The address, [`FREE`] or [`TAKEN`].
    start: AtomicUsize,
    length: AtomicUsize,
    /// Set by the handler.
    lost: AtomicBool,
}

const FREE: usize = 0;
/// The address follows.
const TAKEN: usize = 1;

static SLOTS: [Slot; 512] = [const {
    Slot { start: AtomicUsize::new(FREE), length: AtomicUsize::new(0), lost: AtomicBool::new(false) }
}; 512];

impl Slot {
    fn take(map: &Mmap) -> Option<&'static Slot> {
        let take = |slot: &&Slot| {
            slot.start.compare_exchange(FREE, TAKEN, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        };
        let slot = SLOTS.iter().find(take)?;
        slot.lost.store(false, Ordering::SeqCst);
        slot.length.store(map.len(), Ordering::SeqCst);
        slot.start.store(map.as_ptr().addr(), Ordering::SeqCst);
        Some(slot)
    }
}

/// Marks the mapping at this address as having lost pages, and returns its end. Async-signal-safe.
pub(crate) fn mark_lost(address: usize) -> Option<usize> {
    SLOTS.iter().find_map(|slot| {
        let (start, length) = (slot.start.load(Ordering::SeqCst), slot.length.load(Ordering::SeqCst));
        let is_in = start > TAKEN && (start..start + length).contains(&address);
        is_in.then(|| {
            slot.lost.store(true, Ordering::SeqCst);
            start + length
        })
    })
}
