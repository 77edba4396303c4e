//! Finds the mailboxes in a tree: mboxes, Maildirs, and single messages, as mail programs of all times store them.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::apple;
use super::folder::{self, SUBFOLDERS_SUFFIX};
use super::message_name::{is_number, is_year, names_a_message, promises_mail};
use super::own_files::{is_own_directory, is_own_file};
use super::renames::{self, Renames};
use super::sniff::{FileKind, sniff};
use super::takeout::{self, TakeoutExport};
use super::{Folder, subscriptions};
use crate::mailbox::error::PERMISSION_REMEDY;
use crate::mailbox::fs::entries::{self, Entry, Unreadable};
use crate::mailbox::fs::{archived, files};
use crate::mailbox::maildir::detect::{DirectoryKind, begins_as_mailbox, begins_as_mbox, detect, remnant};
use crate::mailbox::source::SpoolOptions;
use crate::mailbox::{Error, Result, display_path};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TreeMailbox {
    pub path: PathBuf,
    pub folder: Folder,
    pub kind: MailboxKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MailboxKind {
    Mbox,
    Maildir,
    /// The files of a directory that are one message each, as in MH.
    Messages(Vec<PathBuf>),
}

/// A file or directory that was skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SkippedEntry {
    pub path: PathBuf,
    /// A phrase.
    pub reason: String,
    pub may_be_mail: bool,
    /// The remedy.
    pub hint: Option<String>,
}

/// The content of a tree.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// In the order of their paths.
    pub mailboxes: Vec<TreeMailbox>,
    pub skipped: Vec<SkippedEntry>,
    /// Errors about damaged Maildirs.
    pub refused: Vec<Error>,
    /// Single messages with lines that look like From_ lines.
    pub ambiguous: Vec<PathBuf>,
    /// The subscribed folders, if there is a list. Some may not exist.
    pub subscriptions: Option<Vec<Folder>>,
    /// Members of an archive that were read before, byte for byte.
    pub repeated: Vec<PathBuf>,
    /// The directory that was walked.
    pub root: PathBuf,
}

/// Finds the mailboxes in a tree. With `follow`, symbolic links are followed, but never out of the tree.
///
/// # Errors
/// [`Error::Io`] for an unreadable root, [`Error::NotAMailbox`] for a root that is a damaged Maildir,
/// [`Error::Interrupted`]. Other unreadable files are in [`Tree::skipped`].
pub(crate) fn walk(root: &Path, follow: bool, spooling: &SpoolOptions<'_>) -> Result<Tree> {
    let real = files::canonicalize(root).map_err(Error::io("open", root))?;
    // Others may write to the tree: what is under the name of the list is no reason to leave their mail.
    let (renames, list_error) = match renames::read(root) {
        Ok(renames) => (renames, None),
        Err(error) => (Renames::new(), Some(error)),
    };
    let mut walk = Walk {
        root,
        real,
        spooling,
        renames,
        list_error,
        tree: Tree { root: root.to_owned(), ..Tree::default() },
        directories: HashMap::new(),
        messages: BTreeMap::new(),
        numbered: BTreeMap::new(),
        takeout: HashMap::new(),
    };
    walk.enter(root, Folder::INBOX)?;
    let mut entries = entries::below(root, follow);
    while let Some(entry) = entries.next() {
        spooling.cancel.check()?;
        match entry {
            Ok(entry) => {
                let go_in = walk.entry(&entry)?;
                if !go_in && entry.is_dir() {
                    entries.skip_current_dir();
                }
            }
            Err(error) if error.path.as_deref().is_none_or(|path| path == root) => {
                return Err(Error::io("read", root)(error.cause));
            }
            Err(error) => walk.unreadable(&error),
        }
    }
    Ok(walk.finish())
}

struct Walk<'a> {
    root: &'a Path,
    /// Without symbolic links.
    real: PathBuf,
    spooling: &'a SpoolOptions<'a>,
    /// The original names of folders.
    renames: Renames,
    /// Why the file with these names cannot be read.
    list_error: Option<Error>,
    tree: Tree,
    /// The directories that were entered.
    directories: HashMap<PathBuf, Directory>,
    /// Single messages by directory.
    messages: BTreeMap<PathBuf, Vec<PathBuf>>,
    /// mboxes whose names are numbers by directory, which may be messages of MH.
    numbered: BTreeMap<PathBuf, Vec<NumberedMbox>>,
    /// The mboxes of a Google Takeout.
    takeout: HashMap<PathBuf, TakeoutExport>,
}

#[derive(Debug, Clone)]
struct NumberedMbox {
    path: PathBuf,
    folder: Folder,
    may_be_single: bool,
}

#[derive(Debug, Clone)]
struct Directory {
    folder: Folder,
    is_maildir: bool,
}

impl Walk<'_> {
    /// Returns true for a directory to enter.
    fn entry(&mut self, entry: &Entry) -> Result<bool> {
        let (path, name) = (&*entry.path, entry.name());
        let parent = path.parent().and_then(|parent| self.directories.get(parent)).cloned();
        let Some(parent) = parent else { return Ok(false) };
        if entry.kind == FileType::Symlink {
            self.link(path);
            return Ok(false);
        }
        if entry.is_followed_link && !files::canonicalize(path).is_ok_and(|real| real.starts_with(&self.real))
        {
            self.skip(path, "a symbolic link out of the tree", true, Some("name its target as a source"));
            return Ok(false);
        }
        if entry.is_dir() {
            return self.directory(path, name, &parent);
        }
        if entry.kind != FileType::RegularFile {
            let what = match entry.kind {
                FileType::Socket => "a socket",
                FileType::Fifo => "a FIFO",
                _ => "a device",
            };
            self.skip(path, what, false, None);
            return Ok(false);
        }
        self.file(path, name, &parent)?;
        Ok(false)
    }

    fn directory(&mut self, path: &Path, name: &OsStr, parent: &Directory) -> Result<bool> {
        let bytes = name.as_bytes();
        if parent.is_maildir && matches!(bytes, b"cur" | b"new" | b"tmp") {
            return Ok(false);
        }
        if is_own_directory(bytes, parent.is_maildir) {
            self.skip(path, "a mail program's own", false, None);
            return Ok(false);
        }
        if apple::has_attachments(path) {
            self.skip(path, "attachments of Apple Mail, which are put back into their messages", false, None);
            return Ok(false);
        }
        let folder = if let Some(above) =
            folder::kmail_folder(bytes).filter(|_| detect(path) == DirectoryKind::Other)
        {
            parent.folder.child(folder::decode_level(above))
        } else if parent.is_maildir && bytes.starts_with(b".") {
            Folder(parent.folder.0.iter().cloned().chain(folder::parse_maildirpp(bytes)).collect())
        } else if files::is_file(path.join("mbox")) {
            parent.folder.child(folder::level_of_mbox(Path::new(name)))
        } else {
            parent.folder.child(folder::decode_level(folder::strip_extension(bytes, SUBFOLDERS_SUFFIX)))
        };
        self.enter(path, folder)?;
        Ok(true)
    }

    fn enter(&mut self, path: &Path, folder: Folder) -> Result<()> {
        // A Maildir whose messages are outside of the tree is skipped, too: it is listed as a link out of the tree.
        let kind = detect(path);
        let is_maildir = kind != DirectoryKind::Other && (path == self.root || !self.leads_out(path));
        match kind {
            DirectoryKind::Maildir if is_maildir => self.found(path, &folder, MailboxKind::Maildir),
            DirectoryKind::Remnant if path == self.root => return Err(remnant(path)),
            DirectoryKind::Remnant if is_maildir => self.tree.refused.push(remnant(path)),
            _ => {}
        }
        self.directories.insert(path.to_owned(), Directory { folder, is_maildir });
        Ok(())
    }

    /// Reports whether the messages of a Maildir are outside of the tree.
    fn leads_out(&self, maildir: &Path) -> bool {
        let is_outside = |path: &Path| {
            files::is_symlink(path)
                && !files::canonicalize(path).is_ok_and(|real| real.starts_with(&self.real))
        };
        ["new", "cur"].iter().any(|name| is_outside(&maildir.join(name)))
    }

    fn file(&mut self, path: &Path, name: &OsStr, parent: &Directory) -> Result<()> {
        let list = subscriptions::FILES.iter().find(|(file, _)| name == *file);
        if let Some((_, separator)) =
            list.filter(|_| path.parent() == Some(self.root) && !begins_as_mbox(path))
        {
            match files::read_regular(path) {
                Ok(text) => {
                    let folders = subscriptions::parse(&text, *separator);
                    self.tree.subscriptions.get_or_insert_default().extend(folders);
                }
                Err(error) => self.skip(path, &format!("cannot be read: {error}"), false, None),
            }
            return Ok(());
        }
        if is_own_file(name.as_bytes()) && !begins_as_mailbox(path) {
            let is_list = name == renames::FILE_NAME && path.parent() == Some(self.root);
            if let Some(error) = self.list_error.as_ref().filter(|_| is_list) {
                let reason = format!("no list of folder names: {}", error.without_path());
                self.skip(path, &reason, true, Some("restore it from a backup, or move it away"));
                return Ok(());
            }
            self.skip(path, "a mail program's own", false, None);
            return Ok(());
        }
        let named = name.as_bytes();
        match sniff(path, self.spooling) {
            Ok(FileKind::Empty) if names_a_message(named) => {
                let reason = "empty: a message should be in it, and may have been lost before";
                self.skip(path, reason, true, Some("export the message again"));
            }
            Ok(FileKind::Empty) if named.starts_with(b".") || parent.is_maildir => {
                self.skip(path, "empty, and not named like a mailbox", false, None);
            }
            Ok(FileKind::Empty) => self.found_mbox(path, name, parent),
            Ok(FileKind::Mbox { may_be_single: true, .. }) if names_a_message(named) => {
                self.found_message(path)
            }
            Ok(FileKind::Mbox { may_be_single, .. }) if is_number(named) => {
                let folder = parent.folder.child(folder::level_of_mbox(path));
                let found = NumberedMbox { path: path.to_owned(), folder, may_be_single };
                self.numbered.entry(self.directory_of(path)).or_default().push(found);
            }
            Ok(FileKind::Mbox { takeout, .. }) => {
                self.takeout.extend(takeout.map(|export| (path.to_owned(), export)));
                self.found_mbox(path, name, parent);
            }
            Ok(FileKind::Message { has_separators }) => {
                self.found_message(path);
                if has_separators {
                    self.tree.ambiguous.push(path.to_owned());
                }
            }
            Ok(FileKind::Other { reason, may_be_mail, hint }) => {
                self.skip(path, &reason, may_be_mail || promises_mail(named), hint.as_deref());
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(Error::Io { source, .. }) => self.skip_unreadable(path, &source),
            Err(error) => self.skip(path, &error.without_path(), true, error.hint()),
        }
        Ok(())
    }

    fn directory_of(&self, path: &Path) -> PathBuf {
        path.parent().unwrap_or(self.root).to_owned()
    }

    fn found_message(&mut self, path: &Path) {
        self.messages.entry(self.directory_of(path)).or_default().push(path.to_owned());
    }

    fn found_messages(&mut self, path: &Path, folder: &Folder, mut files: Vec<PathBuf>) {
        for partial in apple::take_superseded(&mut files) {
            self.skip(&partial, "the whole message is next to it", false, None);
        }
        self.found(path, folder, MailboxKind::Messages(files));
    }

    fn found_mbox(&mut self, path: &Path, name: &OsStr, parent: &Directory) {
        // In Apple Mail, Name.mbox/mbox is the mailbox of its directory.
        let folder = match name == "mbox" && path.parent() != Some(self.root) {
            true => parent.folder.clone(),
            false => parent.folder.child(folder::level_of_mbox(path)),
        };
        self.found(path, &folder, MailboxKind::Mbox);
    }

    fn found(&mut self, path: &Path, folder: &Folder, kind: MailboxKind) {
        let before = path.strip_prefix(self.root).ok().and_then(|place| self.renames.get(place));
        let folder = before.unwrap_or(folder).clone();
        self.tree.mailboxes.push(TreeMailbox { path: path.to_owned(), folder, kind });
    }

    fn link(&mut self, path: &Path) {
        let kind = files::stat(path).map(|stat| FileType::from_raw_mode(stat.st_mode));
        match (kind, files::canonicalize(path)) {
            (Ok(kind), Ok(real)) if real.starts_with(&self.real) => {
                let what = if kind == FileType::Directory { "directory" } else { "file" };
                self.skip(path, &format!("a symbolic link to a {what} of the tree"), false, None);
            }
            (Ok(kind), Ok(real))
                if kind == FileType::Directory || kind == FileType::RegularFile && files::size(path) > 0 =>
            {
                let reason = format!("a symbolic link to {}, out of the tree", display_path(&real));
                self.skip(path, &reason, true, Some("name its target as a source"));
            }
            (Ok(_), _) => {
                self.skip(path, "a symbolic link out of the tree, to files without mail", false, None)
            }
            (Err(_), _) if archived::leads_out(path) => {
                let hint = "what it leads to is not in the archive; name it as a source";
                self.skip(path, "a symbolic link out of the archive", true, Some(hint));
            }
            (Err(_), _) => self.skip(path, "a symbolic link to nothing, or to itself", false, None),
        }
    }

    fn unreadable(&mut self, error: &Unreadable) {
        let path = error.path.clone().unwrap_or_else(|| self.root.to_owned());
        if error.is_loop {
            return self.skip(&path, "a symbolic link to a directory that contains it", false, None);
        }
        let is_link = files::symlink_metadata(&path).is_ok_and(|meta| meta.is_symlink());
        if is_link {
            return self.skip(&path, "a symbolic link to nothing, or to itself", false, None);
        }
        self.skip_unreadable(&path, &error.cause);
    }

    fn skip_unreadable(&mut self, path: &Path, cause: &io::Error) {
        let hint = (cause.kind() == io::ErrorKind::PermissionDenied).then_some(PERMISSION_REMEDY);
        self.skip(path, &format!("cannot be read: {cause}"), true, hint);
    }

    fn skip(&mut self, path: &Path, reason: &str, may_be_mail: bool, hint: Option<&str>) {
        let (reason, hint) = (reason.to_owned(), hint.map(str::to_owned));
        self.tree.skipped.push(SkippedEntry { path: path.to_owned(), reason, may_be_mail, hint });
    }

    /// Decides what files are whose names are numbers and that begin with a From_ line. Several of one message each
    /// are messages of MH, unless they are years.
    fn resolve_numbered(&mut self) {
        for (directory, mboxes) in std::mem::take(&mut self.numbered) {
            let messages = self.messages.get(&directory).map_or(0, Vec::len);
            let are_single = mboxes.iter().all(|mbox| mbox.may_be_single);
            let are_years =
                mboxes.iter().all(|mbox| mbox.path.file_name().is_some_and(|n| is_year(n.as_bytes())));
            if are_single && messages + mboxes.len() > 1 && !(are_years && messages == 0) {
                let all = self.messages.entry(directory).or_default();
                all.extend(mboxes.into_iter().map(|mbox| mbox.path));
                all.sort();
            } else {
                mboxes.iter().for_each(|mbox| self.found(&mbox.path, &mbox.folder, MailboxKind::Mbox));
            }
        }
    }

    fn finish(mut self) -> Tree {
        self.resolve_numbered();
        let mut messages = std::mem::take(&mut self.messages);
        for apple::AppleMailbox { path, folder, files } in apple::take_mailboxes(self.root, &mut messages) {
            self.found_messages(&path, &folder, files);
        }
        for (path, files) in messages {
            let folder = self.directories[&path].folder.clone();
            self.found_messages(&path, &folder, files);
        }
        // A tree with a list of names has been converted: its folders have their names.
        if self.renames.is_empty() {
            let folders = self.tree.mailboxes.iter_mut().map(|found| (&*found.path, &mut found.folder));
            takeout::name_folders(folders, &self.takeout);
        }
        self.tree.mailboxes.sort_by(|a, b| a.path.cmp(&b.path));
        self.tree
    }
}

/// Finds mail in a Maildir that is neither a message nor a folder: mboxes and Maildirs, by their paths in it.
/// Unreadable directories are not reported.
pub(crate) fn stray_mail(maildir: &Path) -> Vec<PathBuf> {
    let is_inside = |entry: &Entry| {
        let (name, is_directly) = (entry.name().as_bytes(), entry.depth == 1);
        let is_part = matches!(name, b"cur" | b"new" | b"tmp") || is_own_directory(name, is_directly);
        !(is_part || is_directly && name.starts_with(b"."))
    };
    let is_mail = |entry: &Entry| match entry.kind {
        FileType::RegularFile => begins_as_mbox(&entry.path),
        FileType::Directory => detect(&entry.path) != DirectoryKind::Other,
        _ => false,
    };
    let (mut entries, mut mail) = (entries::below(maildir, false), Vec::new());
    while let Some(entry) = entries.next() {
        let Ok(entry) = entry else { continue };
        if !is_inside(&entry) {
            if entry.is_dir() {
                entries.skip_current_dir();
            }
        } else if is_mail(&entry) {
            mail.push(entry.path.strip_prefix(maildir).map(PathBuf::from).unwrap_or(entry.path));
        }
    }
    mail
}
