//! The BLAKE3 of a source, and of its beginnings. Each window is hashed once in a run: by the reader, while its bytes
//! are in the cache, or when a hash of it is needed.

use std::ops::Range;
use std::sync::OnceLock;

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};
use rayon::prelude::*;

use crate::mailbox::manifest::Digest;
use crate::mailbox::mbox::scan::WINDOW;
use crate::mailbox::source::Source;

/// A source with the hashes of its windows, each a complete subtree of BLAKE3.
#[derive(Debug)]
pub(crate) struct SourceHash<'a> {
    pub(super) source: &'a Source,
    /// Without the last one if it is shorter.
    windows: Vec<OnceLock<ChainingValue>>,
}

impl<'a> SourceHash<'a> {
    pub(crate) fn new(source: &'a Source) -> SourceHash<'a> {
        let windows = (0..source.raw().len() / WINDOW).map(|_| OnceLock::new());
        SourceHash { source, windows: windows.collect() }
    }

    /// Hashes a window that the reader has just read.
    pub(crate) fn add(&self, window: Range<usize>) {
        let is_needed = self.source.initial_hash().is_none() && window.start.is_multiple_of(WINDOW);
        if is_needed && window.start / WINDOW < self.windows.len() {
            self.window(window.start / WINDOW);
        }
    }

    /// Returns the hash of the whole source.
    pub(crate) fn whole(&self) -> Digest {
        self.source.initial_hash().map_or_else(|| self.beginning(self.source.raw().len()), Digest::from)
    }

    /// Returns the hash of the first `size` bytes.
    pub(crate) fn beginning(&self, size: usize) -> Digest {
        let raw = &self.source.raw()[..size];
        if size <= WINDOW {
            return Digest::of(raw);
        }
        self.windows[..size / WINDOW].par_iter().enumerate().for_each(|(n, window)| {
            if window.get().is_none() {
                self.window(n);
                self.source.release(n * WINDOW..(n + 1) * WINDOW);
            }
        });
        let left = left_subtree_len(size as u64) as usize;
        let (left, right) = (self.subtree(0..left), self.subtree(left..size));
        merge_subtrees_root(&left, &right, Mode::Hash).into()
    }

    /// Returns the hash of a subtree, which begins with a window.
    fn subtree(&self, range: Range<usize>) -> ChainingValue {
        match range.len() {
            WINDOW => self.window(range.start / WINDOW),
            ..WINDOW => hash_subtree(self.source.raw(), range),
            length => {
                let middle = range.start + left_subtree_len(length as u64) as usize;
                let (left, right) = (self.subtree(range.start..middle), self.subtree(middle..range.end));
                merge_subtrees_non_root(&left, &right, Mode::Hash)
            }
        }
    }

    fn window(&self, n: usize) -> ChainingValue {
        let hash = || hash_subtree(self.source.raw(), n * WINDOW..(n + 1) * WINDOW);
        *self.windows[n].get_or_init(hash)
    }
}

fn hash_subtree(raw: &[u8], range: Range<usize>) -> ChainingValue {
    blake3::Hasher::new().set_input_offset(range.start as u64).update(&raw[range]).finalize_non_root()
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};
    use std::path::Path;

    use super::*;
    use crate::mailbox::Cancel;
    use crate::mailbox::source::SpoolOptions;

    fn source(bytes: &[u8]) -> Source {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        let (dir, cancel) = (tempfile::tempdir().unwrap(), Cancel::never());
        let spooling = SpoolOptions { dir: dir.path(), limit: None, cancel, progress: &|_| () };
        Source::from_reader(Path::new("-"), &mut file, &spooling).unwrap()
    }

    #[test]
    fn every_beginning_has_its_hash_whatever_the_reader_has_hashed() {
        let bytes: Vec<u8> = (0..5 * WINDOW as u32 + 7).map(|n| (n >> 7) as u8 ^ n as u8).collect();
        for read in [0..0, 1..3, 0..6] {
            let source = source(&bytes);
            let hash = SourceHash::new(&source);
            read.rev().for_each(|n| hash.add(n * WINDOW..((n + 1) * WINDOW).min(bytes.len())));
            for windows in 0..=5 {
                for size in [windows * WINDOW, windows * WINDOW + 1, windows * WINDOW + 5] {
                    assert_eq!(hash.beginning(size), Digest::of(&bytes[..size]), "{size}");
                }
            }
            assert_eq!(hash.whole(), Digest::of(&bytes));
        }
    }
}
