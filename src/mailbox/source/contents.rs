//! The bytes of a message file: the one place where such a file is read.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::io::retry_on_intr;

use super::mapped::MappedFile;
use crate::mailbox::fs::holes;
use crate::mailbox::{Error, Result};

/// A larger message is mapped. Reading a small one is faster.
const MAPPED_FROM: u64 = 1 << 18;

/// A message, in memory or mapped. It is loaded again and again, to keep its buffer.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    buffer: Vec<u8>,
    map: Option<MappedFile>,
}

impl Contents {
    /// Loads the first `size` bytes of a file, or all of a shorter one. `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Sparse`], [`Error::Io`].
    pub(crate) fn load(&mut self, file: &File, size: u64, path: &Path) -> Result<()> {
        self.buffer.clear();
        self.map = None;
        if size > MAPPED_FROM {
            holes::check(file, size, path)?;
            self.map = MappedFile::map(file, size, path)?;
            return Ok(());
        }
        let size = size as usize;
        self.buffer.reserve(size);
        // A message does not grow. Stopping at its size saves the read that would find the end.
        while self.buffer.len() < size {
            let read = retry_on_intr(|| rustix::io::read(file, spare_capacity(&mut self.buffer)));
            if read.map_err(|e| Error::io("read", path)(e.into()))? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Fails if a part of the message could not be read, and zeros were read in its place.
    pub(crate) fn check_complete(&self, path: &Path) -> Result<()> {
        match &self.map {
            Some(map) if map.has_lost_pages() => {
                let how = "it was cut off while it was read, or the disk is bad".into();
                Err(Error::Changed { path: path.to_owned(), how })
            }
            _ => Ok(()),
        }
    }
}

impl Deref for Contents {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or(&self.buffer)
    }
}
