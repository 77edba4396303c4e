//! Messages whose name the destination has already.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::source::SourceMaildir;
use crate::convert::RenderOptions;
use crate::convert::render::render;
use crate::mailbox::Result;
use crate::mailbox::maildir::{BaseName, Entry, FoundMessage, KeywordSet, MaildirReader, Unique};
use crate::mailbox::manifest::Digest;
use crate::mailbox::mbox::Quoting;
use crate::mailbox::message::header;
use crate::mailbox::source::Contents;

/// A message of the destination.
#[derive(Debug)]
pub(super) struct DestinationMessage {
    pub(super) base: Vec<u8>,
    pub(super) letters: Vec<u8>,
    pub(super) length: u64,
    pub(super) digest: Digest,
}

/// The messages of the destination, by base name.
#[derive(Default)]
pub(super) struct DestinationIndex {
    files: Option<MaildirReader>,
    entries: HashMap<Vec<u8>, Vec<Entry>>,
}

/// A message compared with those of its name in the destination.
pub(super) enum Collision {
    Same(DestinationMessage),
    Other(CollidingMessage),
    /// It is not a message, or it is gone.
    Unread,
}

/// A message that needs another name.
pub(super) struct CollidingMessage {
    digest: Digest,
    unique: Unique,
    epoch: i64,
    size: u64,
    wire_size: u64,
}

/// The name of a message whose own is taken.
pub(super) enum NewName {
    Free(Vec<u8>),
    /// A killed run has written it under this name.
    Present(DestinationMessage),
}

impl DestinationIndex {
    pub(super) fn open(destination: &Path, now: i64) -> Result<DestinationIndex> {
        let files = MaildirReader::open(destination, now)?;
        let mut entries: HashMap<Vec<u8>, Vec<Entry>> = HashMap::new();
        for entry in files.list()?.messages {
            entries.entry(entry.parsed().base.to_vec()).or_default().push(entry);
        }
        Ok(DestinationIndex { files: Some(files), entries })
    }

    pub(super) fn contains(&self, base: &[u8]) -> bool {
        self.entries.contains_key(base)
    }

    /// Returns the keyword letters of all messages.
    pub(super) fn letters(&self) -> KeywordSet {
        super::letters::union(self.entries.values().flatten())
    }

    pub(super) fn compare(&self, source: &SourceMaildir, entry: &Entry) -> Result<Collision> {
        let mut bytes = Contents::default();
        let Ok(FoundMessage { mtime, .. }) = source.files.read_stored(entry, &mut bytes)? else {
            return Ok(Collision::Unread);
        };
        let (base, digest) = (entry.parsed().base, Digest::of(&bytes));
        if let Some(same) = self.find(base, digest)? {
            return Ok(Collision::Same(same));
        }
        let rendered = render(&bytes, &header::split(&bytes), Quoting::None, RenderOptions::default());
        let (size, wire_size) = rendered.sizes(true);
        let epoch = entry.parsed().epoch().unwrap_or(mtime);
        Ok(Collision::Other(CollidingMessage {
            digest,
            unique: Unique::of(digest, b""),
            epoch,
            size,
            wire_size,
        }))
    }

    /// Finds the file with this name and these bytes.
    fn find(&self, base: &[u8], digest: Digest) -> Result<Option<DestinationMessage>> {
        let (Some(files), Some(entries)) = (&self.files, self.entries.get(base)) else { return Ok(None) };
        let mut bytes = Contents::default();
        for entry in entries {
            let Ok(found) = files.read_stored(entry, &mut bytes)? else { continue };
            if Digest::of(&bytes) == digest {
                let letters = found.entry.parsed().info.unwrap_or_default().to_vec();
                let (base, length) = (base.to_vec(), bytes.len() as u64);
                return Ok(Some(DestinationMessage { base, letters, length, digest }));
            }
        }
        Ok(None)
    }

    /// Derives a name from the bytes of a message whose own name is taken.
    pub(super) fn new_name(
        &self,
        message: &CollidingMessage,
        host: &str,
        taken: &mut HashSet<Vec<u8>>,
    ) -> Result<NewName> {
        let CollidingMessage { digest, unique, epoch, size, wire_size } = *message;
        for copy in 0.. {
            let base = BaseName { epoch, unique, copy, host, size, wire_size }.to_bytes();
            if taken.contains(&base) {
                continue;
            }
            match self.find(&base, digest)? {
                Some(same) => {
                    taken.insert(base);
                    return Ok(NewName::Present(same));
                }
                None if self.contains(&base) => {}
                None => {
                    taken.insert(base.clone());
                    return Ok(NewName::Free(base));
                }
            }
        }
        unreachable!("there are more numbers than files")
    }
}
