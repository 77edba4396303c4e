//! Verification of a Maildir with its folders, both Maildir++ and nested ones (layout fs).

use std::borrow::Cow;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::file::{FileCheck, FileOptions, MessageFile, OpenFolder, RepeatedFindings};
use super::folder_list;
use super::folder_names::check_folder_names;
use super::manifest;
use super::options::VerifyOptions;
use super::repair::{LOST_DIR, REPAIR_COMMAND, RepairStep};
use super::report::{FolderSummary, VerifyReport, error_text, raise_damage};
use crate::mailbox::fs::durable::FileId;
use crate::mailbox::fs::files::{self, Metadata};
use crate::mailbox::fs::{Dir, parent_of, read_regular};
use crate::mailbox::maildir::detect::{DirectoryKind, detect, is_damaged_folder, remnant, require_maildir};
use crate::mailbox::maildir::{Entry, FolderVersion, MaildirReader, NoMessage, Subdir};
use crate::mailbox::maildir::{folders as names, quota};
use crate::mailbox::manifest::{FILE_NAME, FolderList};
use crate::mailbox::message::Flags;
use crate::mailbox::source::Contents;
use crate::mailbox::text::{display_path, plural, shell_quote};
use crate::mailbox::tree::own_files::{is_own_directory, is_own_file};
use crate::mailbox::{Code, Context, Error, Finding, Phase, Result};

/// Seconds after which an untouched file in tmp/ is stale (maildir(5)).
const STALE: i64 = 36 * 3600;
/// Messages per task.
const CHUNK: usize = 64;
/// Listings of all folders in search of a message, while messages move between folders.
const ROUNDS: usize = 5;

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

/// Verifies a Maildir.
///
/// # Errors
/// [`Error::NotAMailbox`], [`Error::Io`] where directories cannot be listed, [`Error::Interrupted`].
pub(crate) fn verify(
    path: &Path,
    options: &VerifyOptions<'_>,
    context: &Context<'_>,
) -> Result<VerifyReport> {
    let mut check = MaildirCheck::default();
    let folders = check.find_folders(path)?;
    let root = files::metadata(path).map_err(Error::io("look at", path))?;
    let manifests = manifest::load(&folders, options, &mut check.findings)?;
    let file_options = FileOptions {
        depth: options.depth,
        owner: root.uid(),
        reachable: root.mode() & 0o001 != 0 && is_reachable(path)?,
        hashes: !manifests.is_empty(),
        now: context.now,
    };
    let mut listed = Vec::new();
    for folder in &folders {
        listed.push(check.list(folder, &file_options, context)?);
    }
    // Before the files are opened, only their names give sizes.
    let size = |entry: &Entry| entry.parsed().field(b'S').unwrap_or(0);
    context.events.begin(Phase::Reading, listed.iter().flatten().map(size).sum());
    let mut messages = Vec::new();
    for (n, (folder, entries)) in folders.iter().zip(listed).enumerate() {
        let folder = OpenFolder::open(n, folder, &file_options, context.now)?;
        messages.extend(check.check_messages(&folder, &entries, context)?);
    }
    let search = Search { folders: &folders, options: &file_options, context };
    let removed = search.find_moved(&manifests, &mut messages, &mut check)?;
    check.check_duplicates(&folders, &messages);
    let summaries = summarize(&folders, &messages);
    check.check_maildirsize(path, &folders, &messages)?;
    check.findings.extend(check_folder_names(path)?);
    check.check_folder_list(path, &manifests)?;
    check.check_manifest_present(path, &manifests, &messages);
    let maildir = manifest::Maildir { folders: &folders, messages: &mut messages, removed: &removed };
    let sources = manifest::check(&manifests, maildir, options, context, &mut check.findings)?;
    check.findings.extend(messages.iter().filter(|m| !m.matches).filter_map(|m| {
        let message = "a From_ line with a header after it: a second message may be in this file";
        Some(Finding::at(Code::MessageFromInside, m.inner_message?, message).in_file(m.path(&folders)))
    }));
    let MaildirCheck { mut findings, steps, refused, .. } = check;
    findings
        .extend(refused.into_iter().map(|error| Finding::from(&error).in_file(error.path().unwrap_or(path))));
    raise_damage(&mut findings);
    findings.sort_by(|a, b| (&a.path, a.offset).cmp(&(&b.path, b.offset)));
    // The mailbox is repaired, not a file in it.
    for finding in findings.iter_mut().filter(|finding| finding.hint.as_deref() == Some(REPAIR_COMMAND)) {
        finding.hint = Some(format!("{REPAIR_COMMAND} {}", shell_quote(path)).into());
    }
    Ok(VerifyReport { path: path.to_owned(), folders: summaries, findings, steps, sources })
}

fn summarize(folders: &[PathBuf], messages: &[MessageFile]) -> Vec<FolderSummary> {
    let new = |path: &PathBuf| FolderSummary { path: path.clone(), messages: 0, bytes: 0, variant: None };
    let mut summaries: Vec<FolderSummary> = folders.iter().map(new).collect();
    for message in messages {
        summaries[message.folder].messages += 1;
        summaries[message.folder].bytes += message.size;
    }
    summaries
}

/// The search for messages that another program moved to another folder during the run.
struct Search<'a> {
    folders: &'a [PathBuf],
    options: &'a FileOptions,
    context: &'a Context<'a>,
}

impl Search<'_> {
    /// Looks for the messages that were removed from their folder since it was listed, and for those of the manifests
    /// that no listing has, and checks those that it finds. A message that was moved after its new folder and before
    /// its old one was listed is in neither listing. Returns the base names of messages that were removed.
    fn find_moved(
        &self,
        manifests: &[manifest::LoadedManifest],
        messages: &mut Vec<MessageFile>,
        check: &mut MaildirCheck,
    ) -> Result<HashSet<Vec<u8>>> {
        let mut removed = std::mem::take(&mut check.removed);
        let mut wanted = manifest::missing_names(manifests, messages);
        wanted.extend(removed.iter().map(|(_, entry)| entry.parsed().base.to_vec()));
        for _ in 0..ROUNDS {
            if wanted.is_empty() {
                break;
            }
            let (before, found) = (self.versions()?, self.list(&wanted)?);
            let with_wanted_name = messages.iter().filter(|m| wanted.contains(m.parsed().base));
            let known: HashSet<(usize, Vec<u8>)> =
                with_wanted_name.map(|m| (m.folder, m.parsed().base.to_vec())).collect();
            for (n, mut entries) in found {
                entries.retain(|entry| !known.contains(&(n, entry.parsed().base.to_vec())));
                let folder = OpenFolder::open(n, &self.folders[n], self.options, self.context.now)?;
                let found = check.check_messages(&folder, &entries, self.context)?;
                found.iter().for_each(|message| {
                    wanted.remove(message.parsed().base);
                });
                messages.extend(found);
            }
            // Nothing moved while all folders were listed: what is not there is gone.
            if self.versions()? == before {
                break;
            }
        }
        removed.append(&mut check.removed);
        removed.retain(|(_, entry)| wanted.contains(entry.parsed().base));
        removed.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.name.cmp(&other.name)));
        removed.dedup_by(|(a, one), (b, other)| a == b && one.parsed().base == other.parsed().base);
        for (n, entry) in &removed {
            check.findings.push(NoMessage::Removed.finding(entry.path(&self.folders[*n])));
        }
        let mut names: HashSet<Vec<u8>> =
            removed.into_iter().map(|(_, entry)| entry.parsed().base.to_vec()).collect();
        // A message may be in several folders.
        messages.iter().for_each(|message| {
            names.remove(message.parsed().base);
        });
        Ok(names)
    }

    fn versions(&self) -> Result<Vec<FolderVersion>> {
        let open = |folder: &PathBuf| MaildirReader::open_readable(folder, self.context.now)?.version();
        self.folders.iter().map(open).collect()
    }

    /// Lists the messages with these base names in each folder.
    fn list(&self, wanted: &HashSet<Vec<u8>>) -> Result<Vec<(usize, Vec<Entry>)>> {
        let mut found = Vec::new();
        for (n, folder) in self.folders.iter().enumerate() {
            self.context.cancel.check()?;
            let listing = MaildirReader::open_readable(folder, self.context.now)?.list()?;
            let mut entries = listing.messages;
            entries.retain(|entry| wanted.contains(entry.parsed().base));
            if !entries.is_empty() {
                found.push((n, entries));
            }
        }
        Ok(found)
    }
}

/// Reports whether other users can get to this directory: a home directory usually keeps them out.
fn is_reachable(path: &Path) -> Result<bool> {
    let absolute = files::canonicalize(path).map_err(Error::io("look up", path))?;
    for ancestor in absolute.ancestors().skip(1) {
        let meta = files::metadata(ancestor).map_err(Error::io("look at", ancestor))?;
        if meta.mode() & 0o001 == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

#[derive(Default)]
struct MaildirCheck {
    findings: Vec<Finding>,
    steps: Vec<RepairStep>,
    /// Errors for the rests of Maildirs.
    refused: Vec<Error>,
    /// Messages that were removed from a folder since it was listed, with its index.
    removed: Vec<(usize, Entry)>,
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
    fn find_folders(&mut self, root: &Path) -> Result<Vec<PathBuf>> {
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
                && !is_own_directory(bytes)
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
    fn list(&mut self, folder: &Path, options: &FileOptions, context: &Context<'_>) -> Result<Vec<Entry>> {
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

    /// Checks every message of a folder, in parallel.
    fn check_messages(
        &mut self,
        folder: &OpenFolder<'_>,
        entries: &[Entry],
        context: &Context<'_>,
    ) -> Result<Vec<MessageFile>> {
        let chunks = entries.par_chunks(CHUNK).map(|chunk| {
            context.cancel.check()?;
            let (mut check, mut contents) = (FileCheck::default(), Contents::default());
            chunk.iter().for_each(|entry| check.check(folder, entry, &mut contents));
            let bytes = check.messages.iter().map(|m| m.size).sum();
            context.events.advance(bytes, check.messages.len() as u64);
            Ok(check)
        });
        let mut messages = Vec::with_capacity(entries.len());
        let mut repeated = RepeatedFindings::default();
        for check in chunks.collect::<Result<Vec<FileCheck>>>()? {
            messages.extend(check.messages);
            self.findings.extend(check.findings);
            self.steps.extend(check.steps);
            self.removed.extend(check.removed.into_iter().map(|entry| (folder.index(), entry)));
            repeated.merge(check.repeated);
        }
        self.findings.extend(repeated.into_findings());
        Ok(messages)
    }

    /// Reports names of a folder that are equal up to the info.
    fn check_duplicates(&mut self, folders: &[PathBuf], messages: &[MessageFile]) {
        fn key(message: &MessageFile) -> (usize, &[u8], &str, &OsStr) {
            (message.folder, message.parsed().base, message.entry.subdir.dir(), &message.entry.name)
        }
        let mut sorted: Vec<&MessageFile> = messages.iter().collect();
        sorted.sort_by(|a, b| key(a).cmp(&key(b)));
        for pair in sorted.windows(2) {
            if pair[0].folder == pair[1].folder && pair[0].parsed().base == pair[1].parsed().base {
                let message = format!("has the same base name as {}", display_path(&pair[0].path(folders)));
                self.note(Code::MaildirDuplicate, pair[1].path(folders), message);
            }
        }
    }

    /// Checks the folders that the manifest lists. A damaged one was reported.
    fn check_folder_list(&mut self, root: &Path, manifests: &[manifest::LoadedManifest]) -> Result<()> {
        let own = root.join(FILE_NAME);
        if self.findings.iter().any(|f| f.code == Code::ManifestDamaged && f.path.as_deref() == Some(&own)) {
            return Ok(());
        }
        let listed = manifests.iter().filter(|m| m.path == own).flat_map(|m| m.listed.iter().cloned());
        folder_list::check_folders(root, &FolderList::new(listed), &mut self.findings)
    }

    /// Reports a missing manifest where messages have names that convert gives.
    fn check_manifest_present(
        &mut self,
        root: &Path,
        manifests: &[manifest::LoadedManifest],
        messages: &[MessageFile],
    ) {
        let is_damaged = self.findings.iter().any(|f| f.code == Code::ManifestDamaged);
        if manifests.is_empty() && !is_damaged && messages.iter().any(manifest::has_converted_name) {
            let message = "missing, so mail may be missing unnoticed";
            self.note(Code::ManifestMissing, root.join(FILE_NAME), message);
        }
    }

    /// Compares the quota's totals with the messages (Maildir++). Messages flagged T do not count. Servers differ
    /// on .Trash, and on whether a wrong S= counts: either total is accepted.
    fn check_maildirsize(
        &mut self,
        root: &Path,
        folders: &[PathBuf],
        messages: &[MessageFile],
    ) -> Result<()> {
        let path = root.join(quota::FILE_NAME);
        let text = match read_regular(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let in_trash = |m: &MessageFile| folders[m.folder].file_name() == Some(OsStr::new(quota::TRASH));
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
