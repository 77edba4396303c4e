//! Files mapped into memory, and where they are, for the handler of SIGBUS.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use memmap2::{Mmap, MmapOptions, UncheckedAdvice};

use crate::mailbox::error::{Error, Result};

/// Pages are handed back by so many bytes: each time costs an interrupt on every core we run on.
const BLOCK: usize = 4 << 20;

/// A file's bytes, read-only.
#[derive(Debug)]
pub struct MappedFile {
    map: Mmap,
    slot: Option<&'static Slot>,
}

impl MappedFile {
    /// Maps the first `size` bytes of a file; None if there are none. The path is for messages.
    #[allow(unsafe_code)]
    pub fn map(file: &File, size: u64, path: &Path) -> Result<Option<MappedFile>> {
        if size == 0 {
            return Ok(None);
        }
        let failed = Error::io("map", path);
        let Ok(size) = usize::try_from(size) else { return Err(failed(io::ErrorKind::FileTooLarge.into())) };
        // SAFETY: the mapping is read-only and all that is behind it is bytes, for which any value is
        // valid. Our spools nobody else can open. A source others may change under us against the locks:
        // that bytes seen twice may differ is what every user of a mapping accepts (nothing here trusts
        // a byte it has checked before to index with it unchecked), and `Source::check_unchanged` rejects
        // the result; that it is truncated is a SIGBUS, upon which the binary puts zeros in the place of
        // what is gone.
        let map = unsafe { MmapOptions::new().len(size).map(file) }.map_err(failed)?;
        let slot = Slot::take(&map);
        Ok(Some(MappedFile { map, slot }))
    }

    /// Whether some of the bytes could not be had when they were looked at, because the file was truncated
    /// or the disk is bad: what was seen in their place is not what the file says.
    pub fn has_lost_pages(&self) -> bool {
        self.slot.is_some_and(|slot| slot.lost.load(Ordering::SeqCst))
    }

    /// Hands back every block that ends in the range, so that ranges handed back one after the other hand
    /// back all; the last, partial block is whole if the range reaches its end.
    #[allow(unsafe_code)]
    pub fn release(&self, range: Range<usize>) {
        let start = range.start.min(self.len()) / BLOCK * BLOCK;
        let end = if range.end >= self.len() { self.len() } else { range.end / BLOCK * BLOCK };
        if start < end {
            // SAFETY: MADV_DONTNEED loses what was written to private or anonymous pages. This is a
            // shared read-only mapping of a file: the next access reads the same bytes from it again.
            // (What the handler of SIGBUS put there is zeros, and stays so.) It is advice, so that it is
            // refused is no error.
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

/// Where one of ours is mapped. A signal handler may take no lock and allocate nothing, so the places are
/// fixed; what finds none free is not known to the handler.
#[derive(Debug)]
struct Slot {
    /// Its address, [`FREE`] or [`TAKEN`].
    start: AtomicUsize,
    length: AtomicUsize,
    /// Whether the handler was called for it.
    lost: AtomicBool,
}

const FREE: usize = 0;
/// By somebody who has not said yet where he is.
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

/// Notes that the bytes at this address cannot be had, and gives the end of the mapping of ours that it
/// lies in. Async-signal-safe.
pub fn mark_lost(address: usize) -> Option<usize> {
    SLOTS.iter().find_map(|slot| {
        let (start, length) = (slot.start.load(Ordering::SeqCst), slot.length.load(Ordering::SeqCst));
        let is_in = start > TAKEN && (start..start + length).contains(&address);
        is_in.then(|| {
            slot.lost.store(true, Ordering::SeqCst);
            start + length
        })
    })
}
