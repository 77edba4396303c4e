//! The files of messages, found by their base names.

use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::mailbox::fs::ignore_poison;
use crate::mailbox::maildir::{BaseIndex, Entry, MaildirReader, list};
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
    index: BaseIndex,
}

impl FolderFiles {
    fn list(path: &Path, context: &Context<'_>) -> Result<FolderFiles> {
        let reader = MaildirReader::open(path, context.now)?;
        let entries = reader.list_unsorted()?;
        Ok(FolderFiles { index: BaseIndex::of(&entries), reader, entries })
    }

    fn named<'a>(&'a self, base: &'a [u8]) -> impl Iterator<Item = &'a Entry> {
        self.index.find(&self.entries, base).map(|number| &self.entries[number])
    }
}
