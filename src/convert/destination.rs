//! The destination of an import or a copy, with its manifest: looked at, then opened under its lock.

use std::path::Path;

use super::DestinationOptions;
use super::history::read_manifest;
use crate::mailbox::fs::{Dir, parent_of};
use crate::mailbox::maildir::destination::check_destination;
use crate::mailbox::maildir::{DestinationState, Leftover, MaildirWriter};
use crate::mailbox::manifest::{ManifestFile, ManifestLock};
use crate::mailbox::{Context, Result};

/// A destination at one moment.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) state: DestinationState,
    pub(crate) manifest: Option<ManifestFile>,
}

/// A destination that is locked; it stays as [`Destination`] describes it.
#[derive(Debug)]
pub(crate) struct OpenDestination {
    /// A manifest outside of the Maildir may be that of several Maildirs, each with a lock of its own.
    pub(crate) _manifest_lock: Option<ManifestLock>,
    pub(crate) writer: MaildirWriter,
    /// The remains of a killed run.
    pub(crate) leftover: Leftover,
}

impl Destination {
    /// Looks at a destination, and refuses one that cannot become a Maildir.
    pub(crate) fn look(options: &DestinationOptions<'_>) -> Result<Destination> {
        let state = check_destination(options.path)?;
        let manifest = read_manifest(options, &state)?;
        Ok(Destination { state, manifest })
    }

    /// Locks the destination and looks at it again, since another run may have written it meanwhile. A dry run
    /// locks nothing.
    pub(crate) fn open(
        self,
        options: &DestinationOptions<'_>,
        context: &Context<'_>,
    ) -> Result<(Destination, Option<OpenDestination>)> {
        if options.dry_run {
            return Ok((self, None));
        }
        let (writer, leftover) = MaildirWriter::open(options.writer_options(context))?;
        let state = if writer.is_staged() { DestinationState::Nothing } else { DestinationState::Maildir };
        let _manifest_lock = options.manifest.lock(context.locks.timeout, context.cancel)?;
        let manifest = read_manifest(options, &state)?;
        Ok((Destination { state, manifest }, Some(OpenDestination { writer, leftover, _manifest_lock })))
    }

    /// Refuses before the first byte what cannot fit, and returns the bytes that are needed. `sizes` are those of the files of messages, None for a
    /// message that is only recorded.
    pub(crate) fn check_free_space(
        &self,
        path: &Path,
        sizes: impl Iterator<Item = Option<u64>>,
    ) -> Result<u64> {
        /// Bytes that the manifest takes for a message, at most for nearly all.
        const MANIFEST_LINE: u64 = 300;
        /// Three directories and the manifest.
        const FILES: u64 = 4;
        let directory = if self.state == DestinationState::Nothing { parent_of(path) } else { path };
        let dir = Dir::open(directory)?;
        let free = dir.free_space()?;
        let (mut files, mut blocks, mut lines) = (FILES, 0, 0);
        for size in sizes {
            lines += MANIFEST_LINE;
            if let Some(size) = size {
                files += 1;
                blocks += size.div_ceil(free.block);
            }
        }
        if files > FILES {
            dir.check_writable()?;
        }
        let need = blocks * free.block + lines;
        free.require_bytes(directory, need)?;
        free.require_inodes(directory, files)?;
        Ok(need)
    }
}
