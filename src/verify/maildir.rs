//! Verification of a Maildir with its folders, both Maildir++ and nested ones (layout fs).

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::file::{FileCheck, FileOptions, MessageFile, OpenFolder, RepeatedFindings};
use super::folder_list;
use super::manifest;
use super::repair::{LOST_DIR, REPAIR_COMMAND, RepairStep};
use super::report::error_text;
use super::uid_lists;
use crate::mailbox::fs::durable::FileId;
use crate::mailbox::fs::files::{self, Metadata};
use crate::mailbox::fs::{Dir, parent_of, read_regular};
use crate::mailbox::maildir::detect::{DirectoryKind, detect, is_damaged_folder, remnant, require_maildir};
use crate::mailbox::maildir::{Entry, MaildirReader, Subdir};
use crate::mailbox::maildir::{folders as names, quota};
use crate::mailbox::manifest::{FILE_NAME, FolderList};
use crate::mailbox::message::Flags;
use crate::mailbox::source::Contents;
use crate::mailbox::text::{display_path, plural, shell_quote};
use crate::mailbox::tree::own_files::{is_own_directory, is_own_file};
use crate::mailbox::{Code, Context, Error, Finding, Result};

/// Seconds after which an untouched file in tmp/ is stale (maildir(5)).
const STALE: i64 = 36 * 3600;
/// Messages per task.
const CHUNK: usize = 64;
/// Messages that are checked before their results are collected: those of all would be in memory twice.
const BATCH: usize = CHUNK * 256;

/// Position of a directory in a Maildir.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// The Maildir itself.
    Root,
    /// A Maildir++ folder, `.A.B`.
    MaildirPlusPlus,
    /// A folder of the layout fs.
    Nested,
}

/// Reports whether other users can get to this directory: a home directory usually keeps them out.
pub(super) fn is_reachable(path: &Path) -> Result<bool> {
    let absolute = files::canonicalize(path).map_err(Error::io("look up", path))?;
    for ancestor in absolute.ancestors().skip(1) {
        let meta = files::metadata(ancestor).map_err(Error::io("look at", ancestor))?;
        if meta.mode() & 0o001 == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The check of one Maildir with its folders.
#[derive(Default)]
pub(super) struct MaildirCheck {
    pub(super) findings: Vec<Finding>,
    pub(super) steps: Vec<RepairStep>,
    /// Errors for the rests of Maildirs.
    pub(super) refused: Vec<Error>,
    /// Messages that were removed from a folder since it was listed, with its position.
    pub(super) removed: Vec<(usize, Entry)>,
}

/// Lists a Maildir and the folders in it, the Maildir first. Folders that cannot be read are included, so that opening
/// them fails with the reason.
///
/// # Errors
/// [`Error::NotAMailbox`], [`Error::Io`].
pub(crate) fn list_folders(path: &Path) -> Result<Vec<PathBuf>> {
    let mut check = MaildirCheck::default();
    let mut folders = check.find_folders(path)?;
    if let Some(error) = check.refused.pop() {
        return Err(error);
    }
    let unreadable = check.findings.into_iter().filter(|finding| finding.code == Code::IoError);
    folders.extend(unreadable.filter_map(|finding| finding.path));
    Ok(folders)
}

impl MaildirCheck {
    fn note(&mut self, code: Code, path: impl Into<PathBuf>, message: impl Into<Cow<'static, str>>) {
        self.findings.push(Finding::new(code, message).in_file(path));
    }

    fn note_repairable(&mut self, finding: Finding, step: RepairStep) {
        self.findings.push(finding.with_hint(REPAIR_COMMAND));
        self.steps.push(step);
    }

    /// Finds the Maildir and the folders in it, sorted, and reports other files.
    pub(super) fn find_folders(&mut self, root: &Path) -> Result<Vec<PathBuf>> {
        require_maildir(root)?;
        self.check_unfinished(root);
        let mut folders = vec![root.to_owned()];
        self.walk(root, Level::Root, &mut folders)?;
        folders[1..].sort();
        Ok(folders)
    }

    fn check_unfinished(&mut self, root: &Path) {
        let Some(name) = root.file_name() else { return };
        let partial = [b".", name.as_bytes(), b".mailferry-partial"].concat();
        let path = parent_of(root).join(OsStr::from_bytes(&partial));
        if files::symlink_metadata(&path).is_ok() {
            self.note_unfinished(path);
        }
    }

    fn note_unfinished(&mut self, path: PathBuf) {
        let message = "from a conversion that was killed or is still running";
        let finding = Finding::new(Code::MaildirUnfinished, message).in_file(path);
        self.findings.push(finding.with_hint("run the same convert command again to complete it"));
    }

    /// Checks all names of a folder except its three directories.
    fn walk(&mut self, folder: &Path, level: Level, folders: &mut Vec<PathBuf>) -> Result<()> {
        let mut names = Dir::open(folder)?.names()?;
        names.sort();
        for name in names {
            let (path, bytes) = (folder.join(&name), name.as_bytes());
            if matches!(bytes, b"tmp" | b"new" | b"cur") {
                continue;
            }
            let hidden = bytes.starts_with(b".");
            let is_link = files::is_symlink(&path);
            if bytes.ends_with(b".mailferry-partial") && hidden {
                self.note_unfinished(path);
            } else if hidden && level == Level::Root && files::is_dir(&path) {
                let kind = detect(&path);
                if kind == DirectoryKind::Remnant {
                    self.refused.push(remnant(&path));
                } else if kind == DirectoryKind::Maildir || is_damaged_folder(&path) {
                    self.walk(&path, Level::MaildirPlusPlus, folders)?;
                    self.check_folder_name(&path, bytes);
                    folders.push(path);
                } else {
                    self.check_stranger(path);
                }
            } else if !hidden
                && level != Level::MaildirPlusPlus
                && !is_link
                && detect(&path) != DirectoryKind::Other
            {
                if let Err(error) = require_maildir(&path) {
                    self.refused.push(error);
                    continue;
                }
                self.walk(&path, Level::Nested, folders)?;
                folders.push(path);
            } else if !hidden
                && !is_own_file(bytes)
                && !is_own_directory(bytes, true)
                && bytes != LOST_DIR.as_bytes()
            {
                // A temporary file of another program may be gone by now.
                if files::symlink_metadata(&path).is_ok() {
                    let text = "unknown file next to cur/; mail programs do not show it";
                    self.note(Code::MaildirForeignFile, path, text);
                }
            }
        }
        Ok(())
    }

    /// Checks a directory that is named like a folder and is not one. Directories of other programs (.notmuch,
    /// .snapshot) contain directories, and files that begin with a dot; mail has neither.
    fn check_stranger(&mut self, path: PathBuf) {
        let names = match Dir::open(&path).and_then(|dir| dir.names()) {
            Ok(names) => names,
            Err(error) => {
                let text = error_text(&error, &path);
                return self.note(Code::IoError, path, text);
            }
        };
        let is_file = |name: &OsString| !name.as_bytes().starts_with(b".") && files::is_file(path.join(name));
        let files = names.iter().filter(|name| is_file(name)).count() as u64;
        if files > 0 {
            let message = format!(
                "{} in a directory that is named like a folder, but has none of cur/, new/ and tmp/; if it is mail, no reader shows it",
                plural(files, "file")
            );
            self.note(Code::MaildirForeignFile, path, message);
        }
    }

    fn check_folder_name(&mut self, path: &Path, name: &[u8]) {
        if let Err(why) = names::levels(name) {
            let message = format!("the folder's name {why}: IMAP clients cannot name it");
            self.note(Code::MaildirFolderName, path, message);
        }
        let marker = path.join("maildirfolder");
        if !files::exists(&marker) {
            let message =
                "this folder has no file maildirfolder: deliveries to it are not counted in the quota";
            let finding = Finding::new(Code::MaildirNoMarker, message).in_file(path);
            self.findings.push(finding.with_hint(format!("touch {}", shell_quote(&marker))));
        }
    }

    /// Checks the directories of a folder and tmp/, and lists its messages.
    pub(super) fn list(
        &mut self,
        folder: &Path,
        options: &FileOptions,
        context: &Context<'_>,
    ) -> Result<Vec<Entry>> {
        context.cancel.check()?;
        let root = files::metadata(folder).map_err(Error::io("look at", folder))?;
        let parent = FileId::of_metadata(&root);
        self.check_directory(folder, &root, options.owner);
        for subdir in [None, Some(Subdir::New), Some(Subdir::Cur)] {
            let path = folder.join(subdir.map_or("tmp", Subdir::dir));
            let meta = match files::metadata(&path) {
                Ok(meta) => meta,
                Err(error) if error.kind() == io::ErrorKind::NotFound && !files::is_symlink(&path) => {
                    let message = "this directory is missing: nothing can be delivered";
                    let finding = Finding::new(Code::MaildirNoDirectory, message).in_file(&path);
                    self.note_repairable(finding, RepairStep::MakeDirectory { path, parent });
                    continue;
                }
                // A user's link, which root does not follow.
                Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                    self.note(Code::MaildirNotAFile, path, "is a link that root does not follow");
                    continue;
                }
                Err(error) => return Err(Error::io("look at", &path)(error)),
            };
            if !meta.is_dir() {
                self.note(Code::MaildirNotAFile, path, "is not a directory, so no mail can be in it");
                continue;
            }
            self.check_directory(&path, &meta, options.owner);
            if options.reachable && root.mode() & 0o001 != 0 {
                self.check_privacy(&path, &meta);
            }
            let is_tmp = subdir.is_none();
            match Dir::open(&path).and_then(|dir| if is_tmp { dir.names() } else { Ok(Vec::new()) }) {
                Ok(staged) => staged.iter().for_each(|name| self.check_staged(folder, name, context.now)),
                // The other directories can still be checked.
                Err(error @ Error::Io { .. }) => {
                    let text = error_text(&error, &path);
                    self.note(Code::IoError, path, text);
                }
                Err(error) => return Err(error),
            }
        }
        self.findings.extend(uid_lists::check(folder)?);
        self.list_messages(folder, context)
    }

    fn list_messages(&mut self, folder: &Path, context: &Context<'_>) -> Result<Vec<Entry>> {
        let listing = match MaildirReader::open_readable(folder, context.now)?.list() {
            Ok(listing) => listing,
            Err(error @ Error::Io { .. }) => {
                let path = error.path().unwrap_or(folder).to_owned();
                let text = error_text(&error, &path);
                self.note(Code::IoError, path, text);
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        for entry in listing.hidden {
            let path = entry.path(folder);
            // Empty dot files such as .keep only preserve the directory in an archive.
            if files::symlink_metadata(&path).is_ok_and(|meta| meta.len() > 0) {
                self.note(Code::MaildirForeignFile, path, "begins with a dot: no reader shows it");
            }
        }
        Ok(listing.messages)
    }

    fn check_directory(&mut self, path: &Path, meta: &Metadata, owner: u32) {
        const NEEDED: u32 = 0o700;
        let mode = meta.mode() & 0o7777;
        if mode & NEEDED != NEEDED {
            let message = format!("has the mode {mode:04o}: its owner cannot use it");
            let finding = Finding::new(Code::MaildirMode, message).in_file(path);
            self.note_repairable(
                finding,
                RepairStep::SetMode {
                    path: path.to_owned(),
                    examined: FileId::of_metadata(meta),
                    from: mode,
                    to: mode | NEEDED,
                },
            );
        }
        if meta.uid() != owner {
            let message = format!("belongs to user {}, the Maildir to user {owner}", meta.uid());
            self.note(Code::MaildirOwner, path, message);
        }
    }

    /// Reports a directory that every user can enter. Groups may: mailboxes are shared.
    fn check_privacy(&mut self, path: &Path, meta: &Metadata) {
        let mode = meta.mode() & 0o7777;
        if mode & 0o007 != 0 {
            let message =
                format!("has the mode {mode:04o}: every user of this machine can access the mail in it");
            let finding = Finding::new(Code::MaildirOpen, message).in_file(path);
            self.note_repairable(
                finding,
                RepairStep::SetMode {
                    path: path.to_owned(),
                    examined: FileId::of_metadata(meta),
                    from: mode,
                    to: mode & !0o007,
                },
            );
        }
    }

    fn check_staged(&mut self, maildir: &Path, name: &OsStr, now: i64) {
        let path = maildir.join("tmp").join(name);
        // A file that is gone was delivered.
        let Ok(meta) = files::symlink_metadata(&path) else { return };
        if !meta.is_file() {
            self.note(Code::MaildirForeignFile, path, "is not a regular file, so not a delivery");
            return;
        }
        let idle = now - meta.atime().max(meta.mtime());
        if idle > STALE {
            let message = format!("{}, not accessed for {} hours", plural(meta.len(), "byte"), idle / 3600);
            let finding = Finding::new(Code::MaildirStaleTmp, message).in_file(path);
            self.note_repairable(
                finding,
                RepairStep::MoveStale {
                    maildir: maildir.to_owned(),
                    name: name.to_owned(),
                    examined: FileId::of_metadata(&meta),
                },
            );
        }
    }

    /// Checks every message of a folder, in parallel, and adds them to `messages`.
    pub(super) fn check_messages(
        &mut self,
        folder: &OpenFolder<'_>,
        entries: Vec<Entry>,
        messages: &mut Vec<MessageFile>,
        context: &Context<'_>,
    ) -> Result<()> {
        let (mut entries, mut repeated) = (entries.into_iter(), RepeatedFindings::default());
        while !entries.as_slice().is_empty() {
            let batch: Vec<Entry> = entries.by_ref().take(BATCH).collect();
            let chunks =
                batch.into_par_iter().chunks(CHUNK).map_init(Contents::default, |contents, chunk| {
                    context.cancel.check()?;
                    let mut check = FileCheck::default();
                    chunk.into_iter().for_each(|entry| check.check(folder, entry, contents));
                    let bytes = check.messages.iter().map(|m| m.size).sum();
                    context.events.advance(bytes, check.messages.len() as u64);
                    Ok(check)
                });
            for check in chunks.collect::<Result<Vec<FileCheck>>>()? {
                messages.extend(check.messages);
                self.findings.extend(check.findings);
                self.steps.extend(check.steps);
                self.removed.extend(check.removed.into_iter().map(|entry| (folder.index(), entry)));
                repeated.merge(check.repeated);
            }
        }
        self.findings.extend(repeated.into_findings());
        Ok(())
    }

    /// Reports names of a folder that are equal up to the info.
    pub(super) fn check_duplicates(&mut self, folders: &[PathBuf], messages: &[MessageFile]) {
        fn key(message: &MessageFile) -> (usize, &[u8], &str, &OsStr) {
            (message.folder(), message.parsed().base, message.entry.subdir.dir(), &message.entry.name)
        }
        // A listing is in this order, with the same base names next to each other.
        fn listed(message: &MessageFile) -> (usize, i64, &[u8]) {
            let parsed = message.parsed();
            (message.folder(), parsed.epoch().unwrap_or(i64::MAX), parsed.base)
        }
        if messages.par_windows(2).with_min_len(CHUNK).all(|pair| listed(&pair[0]) < listed(&pair[1])) {
            return;
        }
        let mut sorted: Vec<&MessageFile> = messages.iter().collect();
        sorted.sort_by(|a, b| key(a).cmp(&key(b)));
        for pair in sorted.windows(2) {
            if pair[0].folder() == pair[1].folder() && pair[0].parsed().base == pair[1].parsed().base {
                let message = format!("has the same base name as {}", display_path(&pair[0].path(folders)));
                self.note(Code::MaildirDuplicate, pair[1].path(folders), message);
            }
        }
    }

    /// Checks the folders that the manifest lists. A damaged one was reported.
    pub(super) fn check_folder_list(
        &mut self,
        root: &Path,
        manifests: &[manifest::LoadedManifest],
    ) -> Result<()> {
        let own = root.join(FILE_NAME);
        if self.findings.iter().any(|f| f.code == Code::ManifestDamaged && f.path.as_deref() == Some(&own)) {
            return Ok(());
        }
        let listed = manifests.iter().filter(|m| m.path == own).flat_map(|m| m.listed.iter().cloned());
        folder_list::check_folders(root, &FolderList::new(listed), &mut self.findings)
    }

    /// Compares the quota's totals with the messages (Maildir++). Messages flagged T do not count. Servers differ
    /// on .Trash, and on whether a wrong S= counts: either total is accepted.
    pub(super) fn check_maildirsize(
        &mut self,
        root: &Path,
        folders: &[PathBuf],
        messages: &[MessageFile],
    ) -> Result<()> {
        let path = root.join(quota::FILE_NAME);
        let text = match read_regular(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // It is a directory or a FIFO.
            Err(error) if error.kind() == io::ErrorKind::Other => {
                self.note(Code::MaildirsizeDrift, path, format!("cannot be read: {error}"));
                return Ok(());
            }
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let in_trash = |m: &MessageFile| folders[m.folder()].file_name() == Some(OsStr::new(quota::TRASH));
        let total = |trash_counts: bool, trust_names: bool| {
            let counts =
                |m: &&MessageFile| !m.parsed().flags().has(Flags::TRASHED) && (trash_counts || !in_trash(m));
            let named = |m: &MessageFile| m.parsed().field(b'S').filter(|_| trust_names || m.compressed);
            let size = |m: &MessageFile| named(m).unwrap_or(m.size) as i64;
            messages.iter().filter(counts).fold((0, 0), |(b, n), m| (b + size(m), n + 1))
        };
        let is_right = |totals: (i64, i64)| {
            [(false, false), (true, false), (false, true), (true, true)]
                .iter()
                .any(|&(trash_counts, trust_names)| total(trash_counts, trust_names) == totals)
        };
        let message = match quota::sums(&text) {
            Ok(totals) if is_right(totals) => return Ok(()),
            Ok((bytes, count)) => {
                let (count, there) = (plural(count.unsigned_abs(), "message"), total(true, false));
                format!(
                    "adds up to {bytes} bytes in {count}; the Maildir has {} bytes in {}",
                    there.0, there.1
                )
            }
            Err(line) => format!("line {line} is not two numbers"),
        };
        let finding = Finding::new(Code::MaildirsizeDrift, message).in_file(&path);
        if files::exists(root.join(quota::MARKER)) {
            self.findings.push(
                finding.with_hint("a delivery was interrupted between the two; the next one counts again"),
            );
            return Ok(());
        }
        // Without the file, its first line is gone: if the quota is set nowhere else, there is none.
        self.findings.push(finding.with_hint(format!(
            "to count again, run rm {} before the next delivery; note the quota in its first line if it is set nowhere else",
            shell_quote(&path)
        )));
        Ok(())
    }
}
