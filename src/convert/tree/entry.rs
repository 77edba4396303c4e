//! The mailboxes of a tree, and the folders that they become.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::mailbox::fs::durable::FileId;
use crate::mailbox::fs::files;
use crate::mailbox::manifest::{self, SourceState};
use crate::mailbox::tree::naming::{self, FolderName};
use crate::mailbox::tree::{Folder, Layout, MailboxKind, TreeMailbox};

/// Folders that the user renames.
#[derive(Debug, Clone, Default)]
pub(crate) struct FolderMapping {
    /// The one folder for all of them.
    pub into: Option<Folder>,
    /// Pairs: a folder, and those in it, become the second.
    pub map: Vec<(Folder, Folder)>,
}

/// A mailbox and the folder that it becomes.
#[derive(Debug, Clone)]
pub(crate) struct TreeEntry {
    /// The mailbox.
    pub mailbox: TreeMailbox,
    /// The folder that it becomes.
    pub name: FolderName,
    /// Bytes of the file, for a mailbox that is a file.
    pub(super) size: u64,
    /// The identity of the file, whatever links led to it.
    pub(super) file_id: Option<FileId>,
    /// All files that go into the folder. None of them is a copy of another, even with the same content.
    pub(super) siblings: Arc<[PathBuf]>,
    /// The user chose the folder.
    pub(super) is_mapped: bool,
    /// The other folder that an earlier run put it into.
    pub(super) previous: Option<PathBuf>,
    /// The fate of the folder since an earlier run.
    pub(super) fate: Option<Fate>,
}

/// The fate of a folder that an earlier run converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// The user deleted it. This is the state of its mailbox when it was converted, if that is known.
    Deleted(Option<SourceState>),
    /// The user moved it. This is the path that convert gives it.
    Moved(PathBuf),
}

/// A conversion of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    First,
    /// Another program changed the Maildir meanwhile.
    Again,
}

impl TreeEntry {
    /// Returns the number of its files.
    pub(super) fn file_count(&self) -> usize {
        match &self.mailbox.kind {
            MailboxKind::Messages(files) => files.len(),
            MailboxKind::Mbox | MailboxKind::Maildir => 1,
        }
    }

    /// Returns the first of its files.
    pub(super) fn first_source(&self) -> &Path {
        match &self.mailbox.kind {
            MailboxKind::Messages(files) => files.first().unwrap_or(&self.mailbox.path),
            MailboxKind::Mbox | MailboxKind::Maildir => &self.mailbox.path,
        }
    }

    /// Sets the path where the user moved the folder.
    pub(super) fn set_moved(&mut self, path: PathBuf) {
        if path != self.name.directory {
            self.fate = Some(Fate::Moved(std::mem::replace(&mut self.name.directory, path)));
        }
    }

    /// Reports whether it goes into the root itself.
    pub(super) fn is_inbox(&self) -> bool {
        self.name.directory.as_os_str().is_empty()
    }
}

/// Names the folders. Two mailboxes become one folder only where the user asks for it.
pub(crate) fn assign_folders(
    found: Vec<TreeMailbox>,
    mapping: &FolderMapping,
    layout: Layout,
) -> Vec<TreeEntry> {
    let mapped: Vec<(Folder, bool)> = found.iter().map(|found| mapping.map_folder(&found.folder)).collect();
    let mut folders: Vec<Folder> = Vec::new();
    let mut numbers: Vec<usize> = vec![0; mapped.len()];
    // The folders that the user chose come last.
    for is_mapped in [false, true] {
        for (n, (folder, _)) in mapped.iter().enumerate().filter(|(_, (_, mapped))| *mapped == is_mapped) {
            let shared = is_mapped.then(|| folders.iter().position(|other| other == folder)).flatten();
            numbers[n] = shared.unwrap_or(folders.len());
            if shared.is_none() {
                folders.push(folder.clone());
            }
        }
    }
    let names = naming::assign_names(&folders, layout);
    let mut files: Vec<Vec<PathBuf>> = vec![Vec::new(); folders.len()];
    for (found, &n) in found.iter().zip(&numbers) {
        match &found.kind {
            MailboxKind::Mbox => files[n].push(found.path.clone()),
            MailboxKind::Messages(messages) => files[n].extend_from_slice(messages),
            MailboxKind::Maildir => {}
        }
    }
    let siblings_of = |files: Vec<PathBuf>| match &files[..] {
        // It has no siblings.
        [_] => Arc::default(),
        files => files.iter().map(|path| manifest::source_name(path)).collect(),
    };
    let files: Vec<Arc<[PathBuf]>> = files.into_iter().map(siblings_of).collect();
    let entry = |((found, n), (_, is_mapped)): ((TreeMailbox, usize), (Folder, bool))| {
        let size = if files::is_file(&found.path) { files::size(&found.path) } else { 0 };
        let file_id = files::stat(&found.path).ok().map(|stat| FileId::of(&stat));
        let (name, siblings) = (names[n].clone(), files[n].clone());
        TreeEntry { mailbox: found, name, size, file_id, siblings, is_mapped, previous: None, fate: None }
    };
    let mut entries: Vec<TreeEntry> = found.into_iter().zip(numbers).zip(mapped).map(entry).collect();
    // A folder comes before those in it.
    entries.sort_by(|a, b| a.name.folder.cmp(&b.name.folder));
    entries
}

impl FolderMapping {
    /// Returns the folder that `folder` becomes, and whether the user chose it.
    pub(crate) fn map_folder(&self, folder: &Folder) -> (Folder, bool) {
        if let Some(into) = &self.into {
            return (into.clone(), true);
        }
        // The longest is the most specific.
        let matches =
            self.map.iter().filter_map(|(from, to)| Some((from, to, naming::levels_below(from, folder)?)));
        match matches.max_by_key(|(from, ..)| from.0.len()) {
            Some((_, to, rest)) => (Folder([&to.0[..], rest].concat()), true),
            None => (folder.clone(), false),
        }
    }
}
