//! The files of messages, found by their base names.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rayon::prelude::*;

use crate::mailbox::fs::ignore_poison;
use crate::mailbox::maildir::{Entry, MaildirReader, list};
use crate::mailbox::{Context, Result};

/// The messages of a Maildir. Users may move a message into a folder: those are listed if a message is not elsewhere.
pub(super) struct MessageFiles<'a> {
    maildir: &'a Path,
    context: &'a Context<'a>,
    own: FolderFiles,
    folders: Mutex<Option<Arc<Vec<FolderFiles>>>>,
}

impl<'a> MessageFiles<'a> {
    pub(super) fn list(maildir: &'a Path, context: &'a Context<'a>) -> Result<MessageFiles<'a>> {
        let own = FolderFiles::list(maildir, context)?;
        Ok(MessageFiles { maildir, context, own, folders: Mutex::default() })
    }

    pub(super) fn maildir(&self) -> &'a Path {
        self.maildir
    }

    /// Passes each file of this base name to `look`, those in the Maildir itself first, until it returns something.
    pub(super) fn find<T>(
        &self,
        base: &[u8],
        mut look: impl FnMut(&MaildirReader, &Entry) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let mut look_in = |folder: &FolderFiles| {
            folder.named(base).find_map(|entry| look(&folder.reader, entry).transpose()).transpose()
        };
        if let Some(found) = look_in(&self.own)? {
            return Ok(Some(found));
        }
        let folders = self.folders()?;
        folders.iter().find_map(|folder| look_in(folder).transpose()).transpose()
    }

    fn folders(&self) -> Result<Arc<Vec<FolderFiles>>> {
        let mut folders = ignore_poison(self.folders.lock());
        if let Some(folders) = &*folders {
            return Ok(folders.clone());
        }
        let names = list::list_folders(self.maildir)?;
        let list = |name| FolderFiles::list(&self.maildir.join(name), self.context);
        let listed = Arc::new(names.iter().map(list).collect::<Result<Vec<_>>>()?);
        *folders = Some(listed.clone());
        Ok(listed)
    }
}

/// The messages of one folder.
struct FolderFiles {
    reader: MaildirReader,
    entries: Vec<Entry>,
    hasher: RandomState,
    /// The hash of each base name and the number of its entry, sorted.
    by_base: Vec<(u64, u32)>,
}

impl FolderFiles {
    fn list(path: &Path, context: &Context<'_>) -> Result<FolderFiles> {
        let reader = MaildirReader::open(path, context.now)?;
        let (entries, hasher) = (reader.list_unsorted()?, RandomState::new());
        let mut by_base: Vec<(u64, u32)> =
            (0..).zip(&entries).map(|(n, entry)| (hasher.hash_one(entry.parsed().base), n)).collect();
        by_base.par_sort_unstable();
        Ok(FolderFiles { reader, entries, hasher, by_base })
    }

    fn named(&self, base: &[u8]) -> impl Iterator<Item = &Entry> {
        let hash = self.hasher.hash_one(base);
        let first = self.by_base.partition_point(|(other, _)| *other < hash);
        let same = self.by_base[first..].iter().take_while(move |(other, _)| *other == hash);
        same.map(|&(_, n)| &self.entries[n as usize]).filter(move |entry| entry.parsed().base == base)
    }
}
