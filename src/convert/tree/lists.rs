//! Lists in the root of a tree: the former names of folders, and the subscriptions.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::{Conversion, TreeEntry};
use crate::mailbox::fs::{Dir, read_regular};
use crate::mailbox::maildir::Fsync;
use crate::mailbox::manifest::{self, ManifestLocation};
use crate::mailbox::tree::{Folder, naming, renames, subscriptions};
use crate::mailbox::{Code, Error, Finding, Result, display_path};

impl Conversion<'_> {
    /// Finds mailboxes that an earlier run put into another folder. The name of a folder depends on the mailboxes next
    /// to it. Under a second name its mail would be there twice, perhaps among that of another mailbox.
    pub(super) fn find_previous(&self, entries: &mut [TreeEntry]) -> Result<()> {
        // Mboxes that are split are recorded in the manifest of the root.
        if self.destination.manifest != ManifestLocation::InMaildir || self.has_year_folders() {
            return Ok(());
        }
        let renamed = renames::read(self.destination.path)?;
        let folders = folders_to_record(entries);
        let unmapped = entries.iter_mut().zip(&folders).filter(|(entry, _)| !entry.is_mapped);
        for (entry, folder) in unmapped {
            let now = &entry.name.directory;
            let recorded = renamed.iter().filter(|(_, name)| *name == folder);
            let mut directories: Vec<PathBuf> = recorded.map(|(directory, _)| directory.clone()).collect();
            if entry.name.rename_reason.is_some() {
                let layout = self.options.layout;
                directories.push(layout.path(&folder.0));
                directories.extend(naming::may_be_inbox(folder).then(|| layout.path(&[])));
            }
            let has_it = |directory: &PathBuf| {
                let name = manifest::source_name(entry.first_source());
                let manifest = ManifestLocation::InMaildir.read(&self.destination.path.join(directory));
                let headers = manifest.ok().flatten().map(|manifest| manifest.headers()).unwrap_or_default();
                headers.iter().any(|header| header.source.is_path(&name))
            };
            let previous = directories.into_iter().filter(|directory| directory != now).find(has_it);
            entry.previous = previous.filter(|_| !has_it(now));
        }
        Ok(())
    }

    pub(super) fn refuse_moved(&self, entry: &TreeEntry) -> Result<()> {
        let Some(previous) = &entry.previous else { return Ok(()) };
        let directory = |folder| display_path(&self.destination.path.join(folder));
        let reason = format!(
            "was converted into {} before, and would be in {} now, for other mailboxes lie beside it than did then; \
             convert it by itself into the former, or say by --map which folder is which",
            directory(previous),
            directory(&entry.name.directory)
        );
        Err(Error::destination(&entry.mailbox.path, reason))
    }

    /// Records the names of folders that could not keep them.
    pub(super) fn record_renames(&self, entries: &[TreeEntry]) -> Result<()> {
        let years = self.year_folders()?;
        let folders = entries.iter().zip(folders_to_record(entries));
        let renamed = folders.filter(|(entry, _)| entry.name.rename_reason.is_some());
        let new: renames::Renames =
            renamed.flat_map(|(entry, folder)| self.folders_of(entry, &folder, &years)).collect();
        let before = renames::read(self.destination.path)?;
        let all: renames::Renames = before.clone().into_iter().chain(new).collect();
        if all == before {
            return Ok(());
        }
        let root = Dir::open(self.destination.path)?;
        renames::write(&root, &all)?;
        self.sync(&root)
    }

    /// Merges the list of subscribed folders into that of the destination. A dry run reports what would be lost.
    pub(super) fn subscribe(&self, entries: &[TreeEntry], findings: &mut Vec<Finding>) -> Result<()> {
        let Some(subscribed) = self.options.subscribed else { return Ok(()) };
        let (file, separator) = subscriptions::file_for(self.options.layout);
        let path = self.destination.path.join(file);
        let mut list = match read_regular(&path) {
            Ok(text) => subscriptions::parse(&text, separator),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(Error::io("read", &path)(e)),
        };
        let (before, years) = (list.len(), self.year_folders()?);
        let now = |folder: &[Vec<u8>]| {
            let is_inbox = |entry: &&TreeEntry| folder.is_empty() && entry.is_inbox();
            let is_named = |entry: &&TreeEntry| entry.mailbox.folder.0 == folder;
            let entry = entries.iter().find(|entry| is_named(entry) || is_inbox(entry))?;
            let folders = self.folders_of(entry, &entry.name.folder, &years).into_iter();
            Some(folders.map(|(_, folder)| folder).collect::<Vec<Folder>>())
        };
        for folder in subscribed {
            // UW-IMAP lists them relative to the home directory.
            let named = now(&folder.0).or_else(|| folder.0.get(1..).filter(|f| !f.is_empty()).and_then(now));
            let named = named.or_else(|| (*folder == Folder::INBOX).then_some(vec![Folder::INBOX]));
            match named {
                Some(named) => {
                    let new: Vec<Folder> = named.into_iter().filter(|named| !list.contains(named)).collect();
                    list.extend(new);
                }
                None => {
                    let message = format!("{folder} is subscribed, but does not exist");
                    findings.push(Finding::new(Code::SubscriptionLost, message).in_file(&path));
                }
            }
        }
        if list.len() == before || self.destination.dry_run {
            return Ok(());
        }
        let text = subscriptions::format(&list, self.options.layout);
        let root = Dir::open(self.destination.path)?;
        root.write_atomic(&root, OsStr::new(file), &text, 0o666)?;
        self.sync(&root)
    }

    fn sync(&self, root: &Dir) -> Result<()> {
        if self.destination.fsync == Fsync::None { Ok(()) } else { root.sync() }
    }
}

/// Returns the folders of the entries as a list in the destination names them: with INBOX in one spelling.
fn folders_to_record(entries: &[TreeEntry]) -> Vec<Folder> {
    let mut folders: Vec<Folder> = entries.iter().map(|entry| entry.mailbox.folder.clone()).collect();
    naming::normalize_inbox(&mut folders);
    folders
}
