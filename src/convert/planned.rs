//! One message of an mbox, planned: its name, date, flags and folders.

use std::path::PathBuf;

use super::FolderIndex;
use crate::mailbox::maildir::{BaseName, Unique};
use crate::mailbox::manifest::Digest;
use crate::mailbox::message::uids::UidOrigin;
use crate::mailbox::message::{Origin, Status};

/// The decision about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Disposition {
    /// It is written.
    #[default]
    Write,
    /// It is in the destination already, or was and the user removed it.
    Present,
    /// `--dedupe` skips it: the destination has an equal message.
    Duplicate,
    /// It is UW-IMAP's pseudo message, which is not mail.
    Pseudo,
    /// It is marked as deleted, and `--deleted skip` skips it.
    Deleted,
    /// It is outside of the [`Selection`](super::Selection), and the destination does not have it.
    NotSelected,
}

impl Disposition {
    /// Reports whether the message is mail that the destination has after the run.
    pub(crate) fn is_mail(self) -> bool {
        !matches!(self, Disposition::Pseudo | Disposition::Deleted | Disposition::NotSelected)
    }
}

/// The name of a message that an earlier run wrote, or of the message it duplicates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExistingName {
    /// The base name.
    pub(crate) name: Vec<u8>,
    /// BLAKE3 of the file with that name, if known.
    pub(crate) file: Option<Digest>,
    /// The folders that have it; empty for the Maildir itself.
    pub(crate) folders: Vec<FolderIndex>,
}

/// The folders of a message that does not go into the Maildir itself alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FolderPlacement {
    /// The folder of its file, followed by the folders that get links.
    pub(crate) folders: Vec<FolderIndex>,
    /// Those that do not have it yet.
    pub(crate) missing: Vec<FolderIndex>,
    /// The file relative to the Maildir, if a killed run has already written it into one of the folders.
    pub(crate) existing: Option<PathBuf>,
}

impl FolderPlacement {
    /// Returns None for the Maildir itself alone.
    pub(crate) fn new(folders: Vec<FolderIndex>) -> Option<FolderPlacement> {
        let is_elsewhere = !matches!(folders[..], [] | [0]);
        is_elsewhere.then(|| FolderPlacement { missing: folders.clone(), folders, existing: None })
    }
}

/// A message with everything that its file needs, except its extent. That is in [`Mbox::messages`] under the
/// same number. All messages of a run are kept in memory, so this is small.
///
/// [`Mbox::messages`]: crate::mailbox::mbox::read::Mbox::messages
#[derive(Debug, Clone, Default)]
pub(crate) struct PlannedMessage {
    /// The unique part of its name; None in a run that needs no names.
    pub(crate) unique: Option<Unique>,
    /// BLAKE3 of its bytes in the source, without From_ lines, in a run that needs it.
    pub(crate) source: Digest,
    /// 0 for the first message with these bytes, k for the k-th copy of it.
    pub(crate) copy: u32,
    /// Received date, seconds since 1970.
    pub(crate) epoch: i64,
    /// The source of that date.
    pub(crate) origin: Origin,
    pub(crate) status: Status,
    /// Bytes of the file.
    pub(crate) size: u64,
    /// Bytes of the file with CRLF line ends.
    pub(crate) wire_size: u64,
    /// How many quoting `>` are removed.
    pub(crate) quotes: u32,
    /// How many line ends are changed.
    pub(crate) eols: u32,
    /// The UID in the source; 0 for none.
    pub(crate) uid: u32,
    pub(crate) uid_origin: UidOrigin,
    /// It has fields that mail readers rewrite.
    pub(crate) has_volatile_fields: bool,
    pub(crate) disposition: Disposition,
    rare: Option<Box<RareFields>>,
}

/// Fields that most messages lack.
#[derive(Debug, Clone, Default)]
struct RareFields {
    keywords: Box<[u32]>,
    existing_name: Option<ExistingName>,
    placement: Option<FolderPlacement>,
}

impl PlannedMessage {
    /// Returns its keywords, as numbers of [`Keywords`](super::keywords::Keywords).
    pub(crate) fn keywords(&self) -> &[u32] {
        self.rare.as_ref().map_or(&[], |rare| &rare.keywords)
    }

    /// Returns its name, unless it gets a new one.
    pub(crate) fn existing_name(&self) -> Option<&ExistingName> {
        self.rare.as_ref()?.existing_name.as_ref()
    }

    /// Returns its folders, unless it goes into the Maildir itself alone.
    pub(crate) fn placement(&self) -> Option<&FolderPlacement> {
        self.rare.as_ref()?.placement.as_ref()
    }

    fn rare(&mut self) -> &mut RareFields {
        self.rare.get_or_insert_default()
    }

    pub(crate) fn set_keywords(&mut self, keywords: Box<[u32]>) {
        self.rare().keywords = keywords;
    }

    pub(crate) fn set_existing_name(&mut self, name: ExistingName) {
        self.rare().existing_name = Some(name);
    }

    pub(crate) fn set_placement(&mut self, placement: Option<FolderPlacement>) {
        if placement.is_some() || self.placement().is_some() {
            self.rare().placement = placement;
        }
    }

    /// Returns the folders that it belongs to.
    pub(crate) fn folders(&self) -> &[FolderIndex] {
        self.placement().map_or(&[0], |placement| &placement.folders)
    }

    /// Returns its folders as [`ExistingName::folders`] has them.
    pub(crate) fn placed_folders(&self) -> Vec<FolderIndex> {
        self.placement().map_or_else(Vec::new, |placement| placement.folders.clone())
    }

    /// Returns the folders that it is written into.
    pub(crate) fn missing_folders(&self) -> &[FolderIndex] {
        match self.placement() {
            _ if self.disposition != Disposition::Write => &[],
            Some(placement) => &placement.missing,
            None => &[0],
        }
    }

    /// Returns the size of its file, if it is written.
    pub(crate) fn size_to_write(&self) -> Option<u64> {
        (self.disposition == Disposition::Write).then_some(self.size)
    }

    /// Reports whether it was planned with a name.
    pub(crate) fn has_name(&self) -> bool {
        self.unique.is_some() || self.existing_name().is_some()
    }

    /// Returns its name up to the info: the existing one, or a new one that ends with `host`.
    ///
    /// # Panics
    /// If it was planned without names.
    pub(crate) fn base_name(&self, host: &str) -> Vec<u8> {
        if let Some(existing) = self.existing_name() {
            return existing.name.clone();
        }
        let PlannedMessage { epoch, copy, size, wire_size, .. } = *self;
        let unique = self.unique.expect("planned without names");
        BaseName { epoch, unique, copy, host, size, wire_size }.to_bytes()
    }
}
