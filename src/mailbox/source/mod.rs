//! The bytes of a source, mapped read-only.
//!
//! A plain file is mapped directly. Standard input and compressed data are first spooled into a file without
//! a name. So is the translation of a file whose lines end in CR. All offsets in mailferry are offsets into
//! [`Source::raw`].

pub(crate) mod archive;
mod compression;
mod contents;
pub(crate) mod format;
pub(crate) mod head;
pub(crate) mod input;
pub(crate) mod mapped;
mod origin;
mod partial;
mod spool;
#[cfg(test)]
mod tests;

use std::io::{self, Read};
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use crate::mailbox::fs::{archived, holes};
use crate::mailbox::{Cancel, Error, Finding, LockOptions, Result};
pub(crate) use compression::Compression;
pub(crate) use contents::{
    Contents, ErrorPath, STORED_HEAD, StoredForm, UnpackOptions, Unreadable, unpack_in,
};
use format::{FORMAT_HEAD, ForeignFormat};
pub(crate) use mapped::ForwardReader;
use mapped::MappedFile;
use origin::Origin;
pub(crate) use partial::part_directories;
pub(crate) use spool::SpoolOptions;
use spool::{Spool, spool_reader};

/// How much is read between two releases of pages.
const WINDOW: usize = 4 << 20;

/// A mailbox file, or the bytes of standard input.
///
/// The mapping shows the file as it is *now*. Another program may write to it in spite of the locks, so a
/// result counts only after [`check_unchanged`](Source::check_unchanged). If the file is truncated, the next
/// access beyond its end is a SIGBUS; the handler of the binary maps zeros there.
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    raw: Option<MappedFile>,
    translated: Option<MappedFile>,
    compression: Option<Compression>,
    findings: Vec<Finding>,
    origin: Option<Origin>,
}

impl Source {
    /// Opens, locks and maps a regular file, and unpacks it if it is compressed.
    ///
    /// # Errors
    /// [`Error::NotAMailbox`] for another kind of file, [`Error::Compressed`], [`Error::InsufficientSpace`],
    /// [`Error::Locked`], [`Error::Interrupted`], [`Error::Io`].
    pub(crate) fn open(path: &Path, locks: &LockOptions, spooling: &SpoolOptions<'_>) -> Result<Source> {
        Source::open_locked(path, locks, spooling, false)
    }

    /// Opens a mailbox that is in use, and releases its locks as soon as its size is known.
    ///
    /// No message up to that size is half appended, and other programs go on appending.
    /// [`check_unchanged`](Source::check_unchanged) then compares the hash of the bytes up to that size.
    /// A compressed file stays locked: it does not grow.
    pub(crate) fn open_live(path: &Path, locks: &LockOptions, spooling: &SpoolOptions<'_>) -> Result<Source> {
        Source::open_locked(path, locks, spooling, true)
    }

    fn open_locked(
        path: &Path,
        locks: &LockOptions,
        spooling: &SpoolOptions<'_>,
        live: bool,
    ) -> Result<Source> {
        let (mut origin, file, mut findings) = Origin::open(path, locks, spooling.cancel)?;
        let head = head::read(&file, FORMAT_HEAD).map_err(Error::io("read", path))?;
        let is_compressed = Compression::detect(&head).is_some();
        ForeignFormat::recognize(&head).map_or(Ok(()), |format| Err(format.in_file(path)))?;
        let (raw, compression) = match is_compressed {
            true => spool_reader(&file, path, spooling)?,
            false => {
                holes::check(&file, origin.first.size, path)?;
                (MappedFile::map(&file, origin.first.size, path)?, None)
            }
        };
        // A directory may have more one-message files than a process can open.
        let stays_open = !locks.methods.is_empty() || archived::is_member(path);
        origin.file = Some(file).filter(|_| stays_open);
        let raw = match partial::assemble(path, raw.as_deref().unwrap_or_default(), spooling)? {
            Some(assembled) => {
                findings.extend(assembled.findings);
                assembled.map.or(raw)
            }
            None => raw,
        };
        if live && !is_compressed {
            origin.lock = None;
            origin.initial_hash = Some(hash(raw.as_ref(), usize::MAX, spooling.cancel)?);
        }
        Source { path: path.to_owned(), raw, translated: None, compression, findings, origin: Some(origin) }
            .translate(spooling)
    }

    /// Spools `input`, and unpacks it if it is compressed. `name` is for messages.
    ///
    /// The descriptor is polled, so that a signal is noticed while nothing comes in. `input` must not keep
    /// bytes in a buffer that a read of 128 KiB does not bypass.
    pub(crate) fn from_reader(
        name: &Path,
        input: &mut (impl Read + AsFd),
        spooling: &SpoolOptions<'_>,
    ) -> Result<Source> {
        let (raw, compression) = spool_reader(input, name, spooling)?;
        let (path, findings) = (name.to_owned(), Vec::new());
        Source { path, raw, translated: None, compression, findings, origin: None }.translate(spooling)
    }

    /// Returns the path, or the name of standard input.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the uncompressed bytes.
    pub(crate) fn raw(&self) -> &[u8] {
        self.raw.as_deref().unwrap_or_default()
    }

    /// Returns the bytes with LF line ends, at the same offsets. They differ from [`raw`](Source::raw) only in
    /// a file whose lines end in CR alone.
    pub(crate) fn text(&self) -> &[u8] {
        self.translated.as_deref().unwrap_or_else(|| self.raw())
    }

    /// Reports whether the lines end in CR alone.
    pub(crate) fn is_cr_only(&self) -> bool {
        self.translated.is_some()
    }

    pub(crate) fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// Returns the modification time of the file in seconds since 1970. Standard input has none.
    pub(crate) fn mtime(&self) -> Option<i64> {
        self.origin.as_ref().map(|origin| origin.first.mtime.0)
    }

    /// Takes the findings of opening: locks that were not acquired.
    pub(crate) fn take_findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.findings)
    }

    /// Releases the pages of bytes that are not needed soon. They stay readable, after a page fault.
    pub(crate) fn release(&self, range: Range<usize>) {
        for map in [&self.raw, &self.translated].into_iter().flatten() {
            map.release(range.clone());
        }
    }

    /// Checks that the file has the same size and time as when it was opened, and that the path still leads to
    /// it. A file that was opened live may have grown.
    ///
    /// A change of the same size within one tick of the file system's clock (a few milliseconds) goes
    /// unnoticed.
    ///
    /// # Errors
    /// [`Error::Changed`], and [`Error::Io`] where a part was unreadable.
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        if let Some(how) = self.difference()? {
            return Err(Error::Changed { path: self.path.clone(), how });
        }
        // The file is unchanged, and yet a part was unreadable: a bad disk.
        if [&self.raw, &self.translated].into_iter().flatten().any(MappedFile::has_lost_pages) {
            let error = io::Error::from_raw_os_error(libc::EIO);
            return Err(Error::io("read all of it", &self.path)(error));
        }
        Ok(())
    }

    /// Returns how many bytes were appended to a live source. Any other source returns 0.
    pub(crate) fn grown_by(&self) -> Result<u64> {
        match &self.origin {
            Some(origin) if origin.initial_hash.is_some() => {
                Ok(origin.now(&self.path)?.size.saturating_sub(origin.first.size))
            }
            _ => Ok(0),
        }
    }

    /// Returns the BLAKE3 hash of a live source when it was opened.
    pub(crate) fn initial_hash(&self) -> Option<blake3::Hash> {
        self.origin.as_ref()?.initial_hash
    }

    /// Returns the BLAKE3 hash of the first `size` bytes, and releases their pages.
    pub(crate) fn hash_first(&self, size: usize, cancel: &Cancel) -> Result<blake3::Hash> {
        hash(self.raw.as_ref(), size, cancel)
    }

    fn difference(&self) -> Result<Option<String>> {
        let Some(origin) = &self.origin else { return Ok(None) };
        let now = origin.now(&self.path)?;
        match (origin.first.difference(&now), origin.initial_hash) {
            (None, _) => {}
            (Some(_), Some(before)) if now.size >= origin.first.size => {
                if hash(self.raw.as_ref(), usize::MAX, Cancel::never())? != before {
                    return Ok(Some("what was read of it is not what it says now".to_owned()));
                }
            }
            (Some(how), _) => return Ok(Some(how)),
        }
        origin.replaced(&self.path)
    }

    /// Makes the translated copy if there is a CR and no LF.
    fn translate(mut self, spooling: &SpoolOptions<'_>) -> Result<Source> {
        if self.has_only_cr(spooling)? {
            self.translated = self.spool_translated(spooling)?;
        }
        Ok(self)
    }

    fn has_only_cr(&self, spooling: &SpoolOptions<'_>) -> Result<bool> {
        let mut has_cr = false;
        for range in windows(self.raw().len()) {
            spooling.cancel.check()?;
            let window = &self.raw()[range.clone()];
            if memchr::memchr(b'\n', window).is_some() {
                return Ok(false);
            }
            has_cr = has_cr || memchr::memchr(b'\r', window).is_some();
            self.release(range);
        }
        Ok(has_cr)
    }

    fn spool_translated(&self, spooling: &SpoolOptions<'_>) -> Result<Option<MappedFile>> {
        // A source that was spooled has already used some of the limit.
        let is_file = self.origin.is_some() && self.compression.is_none();
        let mut spool = Spool::new(spooling, if is_file { 0 } else { self.raw().len() as u64 })?;
        for range in windows(self.raw().len()) {
            let lines: Vec<u8> =
                self.raw()[range.clone()].iter().map(|&b| if b == b'\r' { b'\n' } else { b }).collect();
            spool.write(&lines)?;
            self.release(range);
        }
        spool.map()
    }
}

/// Hashes the first `size` bytes of a mapping with BLAKE3, and releases their pages.
fn hash(map: Option<&MappedFile>, size: usize, cancel: &Cancel) -> Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    if let Some(map) = map {
        for window in windows(size.min(map.len())) {
            cancel.check()?;
            hasher.update_rayon(&map[window.clone()]);
            map.release(window);
        }
    }
    Ok(hasher.finalize())
}

fn windows(size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..size).step_by(WINDOW).map(move |start| start..size.min(start + WINDOW))
}
