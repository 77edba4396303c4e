//! Files mapped into memory, and their addresses for the handler of SIGBUS.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use memchr::memmem;
use memmap2::{Mmap, MmapOptions, UncheckedAdvice};

use crate::mailbox::{Error, Result};

/// The unit in which pages are released. Each release interrupts every core that mailferry runs on.
const BLOCK: usize = 4 << 20;

/// How much of a message is read between two releases of its pages.
pub(crate) const WINDOW: usize = BLOCK;

/// Divides bytes into windows. Each is released before the next one, if the bytes are in a mapping. A message of
/// the usual size is one window, and its pages are released with those of its neighbours.
pub(crate) fn windows(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut reader = ForwardReader::new(bytes);
    (0..bytes.len()).step_by(WINDOW).map(move |start| {
        reader.reached(start);
        &bytes[start..bytes.len().min(start + WINDOW)]
    })
}

/// Finds the first `needle`, and releases what was searched before.
#[inline]
pub(crate) fn find_byte(needle: u8, bytes: &[u8]) -> Option<usize> {
    if bytes.len() <= WINDOW {
        return memchr::memchr(needle, bytes);
    }
    let mut windows = windows(bytes).enumerate();
    windows.find_map(|(n, window)| Some(n * WINDOW + memchr::memchr(needle, window)?))
}

/// Finds the last `needle`.
pub(crate) fn find_last_byte(needle: u8, bytes: &[u8]) -> Option<usize> {
    let mut end = bytes.len();
    while end > 0 {
        let start = end.saturating_sub(WINDOW);
        if let Some(at) = memchr::memrchr(needle, &bytes[start..end]) {
            return Some(start + at);
        }
        if bytes.len() > WINDOW {
            release(&bytes[start..end]);
        }
        end = start;
    }
    None
}

/// Hashes bytes with BLAKE3, and releases what was read.
pub(crate) fn hash(bytes: &[u8]) -> blake3::Hash {
    if bytes.len() <= WINDOW {
        return blake3::hash(bytes);
    }
    let mut hasher = blake3::Hasher::new();
    windows(bytes).for_each(|window| {
        hasher.update(window);
    });
    hasher.finalize()
}

/// Counts a byte, and releases what was read.
pub(crate) fn count_byte(byte: u8, bytes: &[u8]) -> usize {
    windows(bytes).map(|window| memchr::memchr_iter(byte, window).count()).sum()
}

/// Finds every `needle`, and releases what was searched. Matches do not overlap, as no needle here overlaps itself.
pub(crate) fn find_all<'a>(bytes: &'a [u8], needle: &'static [u8]) -> impl Iterator<Item = usize> + use<'a> {
    let (mut finder, mut reader, mut at) = (None, ForwardReader::new(bytes), 0);
    std::iter::from_fn(move || {
        while at < bytes.len() {
            reader.reached(at);
            let end = bytes.len().min(at + WINDOW + needle.len() - 1);
            let finder = finder.get_or_insert_with(|| memmem::Finder::new(needle));
            if let Some(found) = finder.find(&bytes[at..end]) {
                at += found + needle.len();
                return Some(at - needle.len());
            }
            at = (at + WINDOW).min(bytes.len());
        }
        None
    })
}

/// Releases the pages of bytes that are read once, from the first to the last. Other bytes than those of a mapping
/// stay in memory.
#[derive(Debug, Clone)]
pub(crate) struct ForwardReader<'a> {
    bytes: &'a [u8],
    released: usize,
}

impl<'a> ForwardReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> ForwardReader<'a> {
        ForwardReader { bytes, released: 0 }
    }

    /// Releases what is before `at`, if it is much.
    pub(crate) fn reached(&mut self, at: usize) {
        if at >= self.released + WINDOW {
            release(&self.bytes[self.released..at]);
            self.released = at;
        }
    }
}

/// Releases the pages that are wholly or partly in `bytes`, if they are in a mapping.
#[allow(unsafe_code)]
pub(crate) fn release(bytes: &[u8]) {
    /// A multiple of every page size.
    const ALIGNMENT: usize = 1 << 16;
    let (address, end) = (bytes.as_ptr().addr(), bytes.as_ptr().addr() + bytes.len());
    let map = SLOTS.iter().find_map(|slot| {
        let (start, length) = (slot.start.load(Ordering::SeqCst), slot.length.load(Ordering::SeqCst));
        (start > TAKEN && address >= start && end <= start + length).then_some(start)
    });
    if let Some(map) = map {
        let before = address - map.max(address / ALIGNMENT * ALIGNMENT);
        // SAFETY: `bytes` borrows from the mapping of this slot, so the range stays mapped while this runs. As in
        // `MappedFile::release`, the next access reads the same bytes again.
        unsafe {
            let start = bytes.as_ptr().sub(before).cast_mut();
            libc::madvise(start.cast(), bytes.len() + before, libc::MADV_DONTNEED);
        }
    }
}

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

    /// Reports whether truncating the file does no more than that zeros are read in place of its bytes.
    pub(crate) fn is_guarded(&self) -> bool {
        self.slot.is_some()
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
