//! A section of the manifest while it is written: chunk by chunk, each made by a worker, in the order of the source.

use std::borrow::Cow;
use std::ffi::OsString;

use super::FolderIndex;
use crate::mailbox::maildir::{MaildirWriter, Subdir};
use crate::mailbox::manifest::SectionFooter;
use crate::mailbox::{Error, Result};

/// A source whose messages are written with their section of the manifest.
pub(crate) trait SectionSource: Sync {
    /// A chunk that a worker has made, until its turn comes.
    type Chunk: Send;

    /// Returns the section's first line; None if nothing is recorded.
    fn header(&self) -> Option<Vec<u8>>;

    fn chunk_count(&self) -> usize;

    /// Returns bytes and messages of a chunk, for progress.
    fn chunk_size(&self, n: usize) -> (u64, u64);

    /// Writes the messages of chunk `n`. Its lines are needed only if it is `recorded`.
    fn write_chunk(&self, n: usize, writer: &MaildirWriter, recorded: bool) -> Result<Self::Chunk>;

    /// Makes chunk `n` to compare it with a manifest. With a `writer`, returns None if it lacks a file of the chunk.
    fn check_chunk(
        &self,
        n: usize,
        writer: Option<&MaildirWriter>,
    ) -> Result<Option<CheckedChunk<Self::Chunk>>>;

    /// Returns the lines of the next chunk.
    fn lines<'c>(&self, chunk: &'c Self::Chunk) -> Cow<'c, [u8]>;

    /// Counts the next chunk as done.
    fn finish_chunk(&self, chunk: Self::Chunk);

    /// Returns the lines after those of the last chunk.
    fn final_lines(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Returns the footer, yet without number and hash.
    fn footer(&self) -> SectionFooter;

    /// Returns the date that a new manifest gets, seconds since 1970.
    fn mtime(&self) -> Option<i64>;

    fn check_unchanged(&self) -> Result<()> {
        Ok(())
    }

    /// Replaces an error of the destination that the source has caused.
    fn blame(&self, error: Error) -> Error {
        error
    }
}

/// A chunk as a killed run may have written it.
#[derive(Debug)]
pub(crate) struct CheckedChunk<C> {
    pub(crate) chunk: C,
    /// The messages, for the report.
    pub(crate) messages: usize,
    /// Those of them that have files.
    pub(crate) staged: u64,
    pub(crate) files: Vec<StagedFile>,
}

/// A file in a Maildir that is not visible yet.
#[derive(Debug)]
pub(crate) struct StagedFile {
    pub(crate) folder: FolderIndex,
    pub(crate) subdir: Subdir,
    pub(crate) name: OsString,
}
