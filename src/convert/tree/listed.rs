//! The list of the folders in the manifest of the root. It shows later which folders the user deleted or moved.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::entry::Fate;
use super::{Conversion, FolderOutcome, TreeEntry};
use crate::mailbox::fs::{Dir, files, lock};
use crate::mailbox::maildir::{Fsync, detect};
use crate::mailbox::manifest::{
    self, Bytes, Digest, FolderList, FolderRecord, FolderState, ManifestFile, ManifestLocation, to_line,
};
use crate::mailbox::tree::Layout;
use crate::mailbox::{Code, Error, Finding, Result, display_path};

/// The list of a root, and the end of its manifest.
#[derive(Default)]
pub(super) struct ListedFolders {
    list: FolderList,
    hash: Option<Digest>,
    /// The length of the complete lines.
    length: u64,
    /// The latest modification time of the manifests: the same conversion makes the same tree.
    mtime: i64,
    /// Lines were appended.
    has_grown: bool,
}

impl Conversion<'_> {
    /// Reports whether the root lists its folders.
    fn has_list(&self) -> bool {
        self.destination.manifest == ManifestLocation::InMaildir && !self.options.layout.is_export()
    }

    /// Reads the list of the root.
    pub(super) fn read_list(&self) -> Result<ListedFolders> {
        let mut listed = ListedFolders::default();
        if self.has_list()
            && let Some(file) = ManifestLocation::InMaildir.read(self.destination.path)?
        {
            listed.read(&file)?;
        }
        Ok(listed)
    }

    /// Refuses another layout than that of an earlier run: all mail would be there twice.
    pub(super) fn refuse_other_layout(&self, listed: &ListedFolders) -> Result<()> {
        let (root, now) = (self.destination.path, self.options.layout);
        if listed.list.is_empty() {
            return Ok(());
        }
        let before = if detect::is_maildir(root)? { Layout::MaildirPlusPlus } else { Layout::Fs };
        let reason = || {
            let (root, before, now) = (display_path(root), before.name(), now.name());
            format!(
                "{root} was converted with {before}, and is to be {now}; use --layout {before}, or another directory"
            )
        };
        if before == now { Ok(()) } else { Err(Error::usage("--layout", reason())) }
    }

    /// Finds the folders that the user deleted or moved since an earlier run. They are not created again.
    pub(super) fn find_fates(&self, entries: &mut [TreeEntry], listed: &ListedFolders) -> Result<()> {
        let root = self.destination.path;
        if listed.list.is_empty() || self.options.import.new_source {
            return Ok(());
        }
        let mut lost = Vec::new();
        for (n, entry) in entries.iter_mut().enumerate() {
            let Some(record) = listed.list.get(&entry.name.directory) else { continue };
            let path = root.join(record.path());
            let is_lost = match FolderState::read(&path) {
                // The conversion of the folder reports what cannot be read.
                Err(_) => false,
                Ok(Some(state)) if state.id == record.id => false,
                // Another folder took its place.
                Ok(Some(state)) => listed.list.has_id(state.id),
                Ok(None) => !files::is_dir(&path),
            };
            match &record.moved {
                _ if is_lost => lost.push((n, record.id, record.source)),
                Some(path) => entry.set_moved(path.to_path().to_owned()),
                None => {}
            }
        }
        if lost.is_empty() {
            return Ok(());
        }
        let found = manifest::folders::find_folders(root);
        let moved: HashMap<Digest, PathBuf> =
            found.into_iter().map(|(path, state)| (state.id, path)).collect();
        for (n, id, source) in lost {
            match moved.get(&id) {
                Some(path) => entries[n].set_moved(path.clone()),
                None => entries[n].fate = Some(Fate::Deleted(source)),
            }
        }
        Ok(())
    }

    /// Returns the finding about the folder of a mailbox that the user deleted or moved.
    pub(super) fn fate_finding(&self, entry: &TreeEntry) -> Option<Finding> {
        let directory = |folder: &Path| display_path(&self.destination.path.join(folder)).to_string();
        let now = directory(&entry.name.directory);
        Some(match entry.fate.as_ref()? {
            Fate::Deleted(_) => {
                let message =
                    format!("its folder {now} was deleted since it was converted: not converted again");
                let finding = Finding::new(Code::FolderNotRestored, message);
                finding.with_hint("--new-source converts it again")
            }
            Fate::Moved(former) => {
                let message =
                    format!("its folder {} was renamed to {now}: new mail goes there", directory(former));
                Finding::new(Code::FolderMoved, message)
            }
        })
    }

    /// Adds to the list what these folders are now. Their manifests are on stable storage.
    pub(super) fn list_folders(&self, folders: &[FolderOutcome], listed: &mut ListedFolders) -> Result<()> {
        let root = self.destination.path;
        // Mboxes that are split are recorded in the manifest of the root.
        if !self.has_list() || self.destination.dry_run || self.has_year_folders() {
            return Ok(());
        }
        let (mut new, mut seen) = (Vec::new(), HashSet::new());
        for outcome in folders {
            let entry = &outcome.entry;
            if entry.is_inbox() || matches!(entry.fate, Some(Fate::Deleted(_))) {
                continue;
            }
            let directory = &entry.name.directory;
            if !seen.insert(directory) {
                continue;
            }
            // The conversion of the folder has reported what cannot be read.
            let Ok(Some(found)) = FolderState::read(&root.join(directory)) else { continue };
            let Some(state) = found.state else { continue };
            let folder = match &entry.fate {
                Some(Fate::Moved(folder)) => folder,
                _ => directory,
            };
            let moved = (folder != directory).then(|| Bytes::of_path(directory));
            let is_current = |r: &FolderRecord| r.id == found.id && r.state == state && r.path() == directory;
            if !listed.list.get(folder).is_some_and(is_current) {
                listed.mtime = listed.mtime.max(found.mtime);
                let folder = Bytes::of_path(folder);
                let source = outcome.whole_state();
                new.push(FolderRecord {
                    folder,
                    moved,
                    id: found.id,
                    state,
                    source,
                    previous: None,
                    end: state,
                });
            }
        }
        if new.is_empty() { Ok(()) } else { self.append_to_list(new, listed) }
    }

    fn append_to_list(&self, new: Vec<FolderRecord>, listed: &mut ListedFolders) -> Result<()> {
        let root = Dir::open(self.destination.path)?;
        let _lock = lock::lock_dir(&root, self.context.locks.timeout, self.context.cancel)?;
        // Another run may have appended to it. The first mailbox may have been INBOX.
        let size = root.file_size(manifest::FILE_NAME.as_ref())?.unwrap_or(0);
        if size != listed.length
            && let Some(file) = ManifestLocation::InMaildir.read(root.path())?
        {
            listed.read(&file)?;
        }
        let mut lines = Vec::new();
        for record in new {
            let record = FolderRecord { previous: listed.hash, ..record }.seal();
            lines.extend_from_slice(&to_line(&record));
            listed.hash = Some(record.end);
            listed.list.insert(record);
        }
        if let Some(mut file) = ManifestLocation::InMaildir.open(&root, listed.length)? {
            file.append(&lines)?;
            file.set_mtime(listed.mtime)?;
            file.commit();
        }
        listed.length += lines.len() as u64;
        listed.has_grown = true;
        Ok(())
    }

    /// Brings the list to stable storage: once, since it may lag behind the folders.
    pub(super) fn flush_list(&self, listed: &ListedFolders) -> Result<()> {
        if !listed.has_grown || self.destination.fsync == Fsync::None {
            return Ok(());
        }
        ManifestLocation::InMaildir.read_existing(self.destination.path)?.sync()?;
        Dir::open(self.destination.path)?.sync()
    }
}

impl ListedFolders {
    fn read(&mut self, file: &ManifestFile) -> Result<()> {
        let manifest = file.parse()?;
        (self.hash, self.length) = (manifest.hash, manifest.lines.len() as u64);
        self.list = FolderList::new(manifest.folders);
        Ok(())
    }
}
