//! Is a Maildir sound? Its directories and what lies in them; its folders of the same kind (Maildir++)
//! and the nested ones (layout fs) with it. What its files show is for `file.rs`.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::file::{FileCheck, FileOptions, MaildirFolder, MessageFile, RepeatedFindings, Subdirs};
use super::repair::{LOST_DIR, RepairStep};
use super::{FolderSummary, REPAIR_COMMAND, VerifyOptions, VerifyReport, manifest, said};
use crate::mailbox::context::{Events, Phase};
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::fs::durable::Dir;
use crate::mailbox::fs::read_regular;
use crate::mailbox::maildir::write::{Subdir, parent_of};
use crate::mailbox::maildir::{folders as names, list, name, quota};
use crate::mailbox::manifest::FILE_NAME;
use crate::mailbox::message::flags::Flags;
use crate::mailbox::text::{display_path, plural, shell_quote};
use crate::mailbox::tree::renames;
use crate::mailbox::tree::walk::is_false_maildir;

/// What nobody has touched for so long in tmp/ is no delivery any more (maildir(5)).
const STALE: i64 = 36 * 3600;
/// Messages that a worker takes at once.
const CHUNK: usize = 64;

/// Where a folder lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The Maildir itself.
    Root,
    /// `.A.B` in it.
    Plus,
    /// A plain directory in it.
    Nested,
}

/// Verifies a Maildir.
///
/// # Errors
/// [`Error::NotAMailbox`], [`Error::Io`] where directories cannot be listed, [`Error::Interrupted`].
pub fn verify(path: &Path, options: &VerifyOptions<'_>, progress: &dyn Events) -> Result<VerifyReport> {
    let mut notes = Notes::default();
    let folders = notes.find_folders(path)?;
    let root = std::fs::metadata(path).map_err(Error::io("look at", path))?;
    let manifests = manifest::load(&folders, options, &mut notes.findings)?;
    let look = FileOptions {
        options,
        owner: root.uid(),
        reachable: root.mode() & 0o001 != 0 && others_come_to(path)?,
        hashes: !manifests.is_empty(),
        second: memchr::memmem::Finder::new(b"\nFrom "),
    };
    let mut listed = Vec::new();
    for folder in &folders {
        listed.push(notes.list(folder, &look)?);
    }
    // How large they are only their names say, before they are opened.
    let size = |(_, name): &(Subdir, OsString)| name::parse(name.as_bytes()).field(b'S').unwrap_or(0);
    progress.begin(Phase::Reading, listed.iter().flatten().map(size).sum());
    let mut messages = Vec::new();
    let mut report_folders = Vec::new();
    for (n, names) in listed.into_iter().enumerate() {
        let first = messages.len();
        messages.extend(notes.read(&folders, n, names, &look, progress)?);
        let own = &messages[first..];
        notes.duplicates(&folders, own);
        report_folders.push(FolderSummary {
            path: folders[n].path.clone(),
            messages: own.len() as u64,
            bytes: own.iter().map(|m| m.size).sum(),
            variant: None,
        });
    }
    notes.maildirsize(path, &folders, &messages)?;
    notes.findings.extend(super::check_folder_names(path)?);
    notes.manifest_missing(path, &manifests, &messages);
    let proofs = manifest::check(&manifests, &folders, &mut messages, options, &mut notes.findings)?;
    notes.findings.extend(messages.iter().filter(|m| !m.matches).filter_map(|m| {
        let message = "a From_ line with a header behind it: a second message may be in this file";
        Some(Finding::at(Code::MessageFromInside, m.inner_message?, message).in_file(m.path(&folders)))
    }));
    let Notes { mut findings, steps } = notes;
    findings.sort_by(|a, b| (&a.path, a.offset).cmp(&(&b.path, b.offset)));
    // It is the mailbox that is repaired, not the file in it.
    for finding in findings.iter_mut().filter(|finding| finding.hint.as_deref() == Some(REPAIR_COMMAND)) {
        finding.hint = Some(format!("{REPAIR_COMMAND} {}", shell_quote(path)).into());
    }
    Ok(VerifyReport { path: path.to_owned(), folders: report_folders, findings, steps, sources: proofs })
}

/// Whether other users get as far as this directory: a home directory mostly keeps them out.
fn others_come_to(path: &Path) -> Result<bool> {
    let whole = path.canonicalize().map_err(Error::io("look up", path))?;
    for above in whole.ancestors().skip(1) {
        let meta = std::fs::metadata(above).map_err(Error::io("look at", above))?;
        if meta.mode() & 0o001 == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What is noticed.
#[derive(Default)]
struct Notes {
    findings: Vec<Finding>,
    steps: Vec<RepairStep>,
}

/// A Maildir and the folders in it, the Maildir first. What may not be looked into is among them: who opens it
/// is told so.
///
/// # Errors
/// [`Error::NotAMailbox`] for a directory that is none, [`Error::Io`].
pub fn list_folders(path: &Path) -> Result<Vec<PathBuf>> {
    let mut notes = Notes::default();
    let found = notes.find_folders(path)?.into_iter().map(|folder| folder.path);
    let closed = notes.findings.into_iter().filter(|finding| finding.code == Code::IoError);
    Ok(found.chain(closed.filter_map(|finding| finding.path)).collect())
}

/// Whether a directory has what makes a Maildir of it.
pub fn is_folder(path: &Path) -> bool {
    (path.join("cur").is_dir() || path.join("new").is_dir()) && !is_false_maildir(path)
}

impl Notes {
    fn note(
        &mut self,
        code: Code,
        path: impl Into<PathBuf>,
        message: impl Into<std::borrow::Cow<'static, str>>,
    ) {
        self.findings.push(Finding::new(code, message).in_file(path));
    }

    fn mendable(&mut self, finding: Finding, step: RepairStep) {
        self.findings.push(finding.with_hint(REPAIR_COMMAND));
        self.steps.push(step);
    }

    /// The Maildir and the folders in it, sorted; and what lies there besides.
    fn find_folders(&mut self, root: &Path) -> Result<Vec<MaildirFolder>> {
        if !is_folder(root) {
            return Err(list::not_a_maildir(root));
        }
        self.unfinished(parent_of(root), root.file_name());
        let mut folders = vec![MaildirFolder { path: root.to_owned() }];
        self.look_around(root, Kind::Root, &mut folders)?;
        folders[1..].sort_by(|a, b| a.path.cmp(&b.path));
        Ok(folders)
    }

    fn unfinished(&mut self, parent: &Path, name: Option<&OsStr>) {
        let Some(name) = name else { return };
        let partial = [b".", name.as_bytes(), b".mailferry-partial"].concat();
        let path = parent.join(OsStr::from_bytes(&partial));
        if path.symlink_metadata().is_ok() {
            self.tell_unfinished(path);
        }
    }

    fn tell_unfinished(&mut self, path: PathBuf) {
        let message = "left by a conversion that was cut off, or one is running";
        let finding = Finding::new(Code::MaildirUnfinished, message).in_file(path);
        self.findings.push(finding.with_hint("the same convert command again completes it"));
    }

    /// Looks at all names of a folder but its three directories.
    fn look_around(&mut self, folder: &Path, kind: Kind, folders: &mut Vec<MaildirFolder>) -> Result<()> {
        let mut names = Dir::open(folder)?.names()?;
        names.sort();
        for name in names {
            let (path, bytes) = (folder.join(&name), name.as_bytes());
            if matches!(bytes, b"tmp" | b"new" | b"cur") {
                continue;
            }
            let hidden = bytes.starts_with(b".");
            let is_link = path.is_symlink();
            if bytes.ends_with(b".mailferry-partial") && hidden {
                self.tell_unfinished(path);
            } else if hidden && kind == Kind::Root && path.is_dir() {
                // A broken one may have but tmp/ or the file that says what it is.
                if is_folder(&path) || ["maildirfolder", "tmp"].iter().any(|it| path.join(it).exists()) {
                    self.look_around(&path, Kind::Plus, folders)?;
                    self.folder_name(&path, bytes);
                    folders.push(MaildirFolder { path });
                } else {
                    self.stranger(path);
                }
            } else if !hidden && kind != Kind::Plus && !is_link && is_folder(&path) {
                self.look_around(&path, Kind::Nested, folders)?;
                folders.push(MaildirFolder { path });
            } else if !hidden && !is_known(bytes) {
                self.note(
                    Code::MaildirForeignFile,
                    path,
                    "is nothing that is known beside cur/; if it is mail, no reader shows it",
                );
            }
        }
        Ok(())
    }

    /// A directory that is named like a folder and is none. What other programs keep beside the mail
    /// (.notmuch, .snapshot) has directories in it, and files that begin with a dot; mail has neither.
    fn stranger(&mut self, path: PathBuf) {
        let names = match Dir::open(&path).and_then(|dir| dir.names()) {
            Ok(names) => names,
            Err(error) => {
                let text = said(&error, &path);
                return self.note(Code::IoError, path, text);
            }
        };
        let is_file = |name: &OsString| !name.as_bytes().starts_with(b".") && path.join(name).is_file();
        let files = names.iter().filter(|name| is_file(name)).count() as u64;
        if files > 0 {
            let message = format!(
                "{} in what is named like a folder and has none of cur/, new/ and tmp/; if it is mail, no \
                 reader shows it",
                plural(files, "file")
            );
            self.note(Code::MaildirForeignFile, path, message);
        }
    }

    fn folder_name(&mut self, path: &Path, name: &[u8]) {
        if let Err(why) = names::levels(name) {
            let message = format!("the folder's name {why}: IMAP clients cannot name it");
            self.note(Code::MaildirFolderName, path, message);
        }
        let marker = path.join("maildirfolder");
        if !marker.exists() {
            let message = "this folder has no file maildirfolder: a delivery to it forgets the quota";
            let finding = Finding::new(Code::MaildirNoMarker, message).in_file(path);
            self.findings.push(finding.with_hint(format!("touch {}", shell_quote(&marker))));
        }
    }

    /// Looks at a folder's directories and at tmp/, and gives the names of its messages.
    fn list(&mut self, folder: &MaildirFolder, look: &FileOptions<'_>) -> Result<Vec<(Subdir, OsString)>> {
        look.options.cancel.check()?;
        let root = std::fs::metadata(&folder.path).map_err(Error::io("look at", &folder.path))?;
        self.directory(&folder.path, &root, look.owner);
        let mut messages = Vec::new();
        for place in [None, Some(Subdir::New), Some(Subdir::Cur)] {
            let path = folder.path.join(place.map_or("tmp", Subdir::dir));
            let meta = match std::fs::metadata(&path) {
                Ok(meta) => meta,
                Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
                    let message = "this directory is missing: nothing can be delivered";
                    let finding = Finding::new(Code::MaildirNoDirectory, message).in_file(&path);
                    self.mendable(finding, RepairStep::MakeDirectory { path });
                    continue;
                }
                Err(error) => return Err(Error::io("look at", &path)(error)),
            };
            if !meta.is_dir() {
                self.note(Code::MaildirNotAFile, path, "is no directory, and no mail can lie in it");
                continue;
            }
            self.directory(&path, &meta, look.owner);
            if look.reachable && root.mode() & 0o001 != 0 {
                self.open_to_all(&path, &meta);
            }
            let names = match Dir::open(&path).and_then(|dir| dir.names()) {
                Ok(names) => names,
                // The other directories can still be looked at.
                Err(error @ Error::Io { .. }) => {
                    let text = said(&error, &path);
                    self.note(Code::IoError, path, text);
                    continue;
                }
                Err(error) => return Err(error),
            };
            match place {
                None => {
                    names.iter().for_each(|name| self.in_tmp(&folder.path, &path, name, look.options.now))
                }
                Some(place) => {
                    for name in names {
                        if name.as_bytes().starts_with(b".") {
                            // Empty ones keep a directory in an archive (.keep), or nothing at all.
                            if path.join(&name).symlink_metadata().is_ok_and(|m| m.len() == 0) {
                                continue;
                            }
                            let message = "begins with a dot: no reader shows it";
                            self.note(Code::MaildirForeignFile, path.join(&name), message);
                        } else {
                            messages.push((place, name));
                        }
                    }
                }
            }
        }
        Ok(messages)
    }

    fn directory(&mut self, path: &Path, meta: &Metadata, owner: u32) {
        const NEEDED: u32 = 0o700;
        let mode = meta.mode() & 0o7777;
        if mode & NEEDED != NEEDED {
            let message = format!("has the mode {mode:04o}: its owner cannot use it");
            let finding = Finding::new(Code::MaildirMode, message).in_file(path);
            self.mendable(
                finding,
                RepairStep::SetMode { path: path.to_owned(), from: mode, to: mode | NEEDED },
            );
        }
        if meta.uid() != owner {
            let message = format!("belongs to user {}, the Maildir to user {owner}", meta.uid());
            self.note(Code::MaildirOwner, path, message);
        }
    }

    /// Whether anybody can get at what is in this directory. (Groups may be meant to: mailboxes are shared.)
    fn open_to_all(&mut self, path: &Path, meta: &Metadata) {
        let mode = meta.mode() & 0o7777;
        if mode & 0o007 != 0 {
            let message =
                format!("has the mode {mode:04o}: every user of this machine can get at the mail in it");
            let finding = Finding::new(Code::MaildirOpen, message).in_file(path);
            self.mendable(
                finding,
                RepairStep::SetMode { path: path.to_owned(), from: mode, to: mode & !0o007 },
            );
        }
    }

    fn in_tmp(&mut self, maildir: &Path, tmp: &Path, name: &OsStr, now: i64) {
        let path = tmp.join(name);
        // What is gone by now was delivered.
        let Ok(meta) = path.symlink_metadata() else { return };
        if !meta.is_file() {
            self.note(Code::MaildirForeignFile, path, "is no file, and no delivery");
            return;
        }
        let idle = now - meta.atime().max(meta.mtime());
        if idle > STALE {
            let message = format!("{} bytes that nobody has touched for {} hours", meta.len(), idle / 3600);
            let finding = Finding::new(Code::MaildirStaleTmp, message).in_file(path);
            self.mendable(
                finding,
                RepairStep::MoveStale { maildir: maildir.to_owned(), name: name.to_owned() },
            );
        }
    }

    /// Looks at every message of a folder, in parallel.
    fn read(
        &mut self,
        folders: &[MaildirFolder],
        n: usize,
        names: Vec<(Subdir, OsString)>,
        look: &FileOptions<'_>,
        progress: &dyn Events,
    ) -> Result<Vec<MessageFile>> {
        let folder = &folders[n].path;
        let dirs = Subdirs::open(folder)?;
        let parts: Vec<FileCheck> = names
            .par_chunks(CHUNK)
            .map(|chunk| {
                look.options.cancel.check()?;
                let mut part = FileCheck::default();
                let mut buffer = Vec::new();
                for (place, name) in chunk {
                    part.check((n, folder), &dirs, (*place, name), look, &mut buffer);
                }
                let bytes = part.messages.iter().map(|m| m.size).sum();
                progress.advance(bytes, part.messages.len() as u64);
                Ok(part)
            })
            .collect::<Result<_>>()?;
        let mut messages = Vec::with_capacity(names.len());
        let mut many = RepeatedFindings::default();
        for mut part in parts {
            messages.append(&mut part.messages);
            self.findings.append(&mut part.findings);
            self.steps.append(&mut part.steps);
            many.merge(part.repeated);
        }
        self.findings.extend(many.into_findings());
        Ok(messages)
    }

    /// Names that are the same up to the info.
    fn duplicates(&mut self, folders: &[MaildirFolder], messages: &[MessageFile]) {
        let mut sorted: Vec<&MessageFile> = messages.iter().collect();
        sorted.sort_by(|a, b| {
            (a.parsed().base, a.place.dir(), &a.name).cmp(&(b.parsed().base, b.place.dir(), &b.name))
        });
        for pair in sorted.windows(2) {
            if pair[0].parsed().base == pair[1].parsed().base {
                let message = format!("has the same base name as {}", display_path(&pair[0].path(folders)));
                self.note(Code::MaildirDuplicate, pair[1].path(folders), message);
            }
        }
    }

    /// Names as convert gives them, and nothing that says of what.
    fn manifest_missing(
        &mut self,
        root: &Path,
        manifests: &[manifest::LoadedManifest],
        messages: &[MessageFile],
    ) {
        let is_ours = |m: &MessageFile| {
            let parsed = m.parsed();
            parsed.unique().is_some() && parsed.field(b'S').is_some() && parsed.field(b'W').is_some()
        };
        let damaged = self.findings.iter().any(|f| f.code == Code::ManifestDamaged);
        if manifests.is_empty() && !damaged && messages.iter().any(is_ours) {
            let message = "is not here, and messages were converted: nothing proves that these are all";
            self.note(Code::ManifestMissing, root.join(FILE_NAME), message);
        }
    }

    /// The quota's sums beside what is there (Maildir++). Messages flagged T do not count; whether those
    /// in .Trash do is for each server to say, and most believe an S= that is not true: either sum is right.
    fn maildirsize(
        &mut self,
        root: &Path,
        folders: &[MaildirFolder],
        messages: &[MessageFile],
    ) -> Result<()> {
        let path = root.join(quota::FILE_NAME);
        let text = match read_regular(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let in_trash = |m: &MessageFile| folders[m.folder].path.file_name() == Some(OsStr::new(quota::TRASH));
        let sum = |trash_counts: bool, believing: bool| {
            let counts =
                |m: &&MessageFile| !m.parsed().flags().has(Flags::TRASHED) && (trash_counts || !in_trash(m));
            let said = |m: &MessageFile| m.parsed().field(b'S').filter(|_| believing || m.compressed);
            let size = |m: &MessageFile| said(m).unwrap_or(m.size) as i64;
            messages.iter().filter(counts).fold((0, 0), |(b, n), m| (b + size(m), n + 1))
        };
        let is_right = |sums: (i64, i64)| {
            [(false, false), (true, false), (false, true), (true, true)]
                .iter()
                .any(|&(t, b)| sum(t, b) == sums)
        };
        let message = match quota::sums(&text) {
            Ok(sums) if is_right(sums) => return Ok(()),
            Ok((bytes, count)) => {
                let (count, there) = (plural(count.unsigned_abs(), "message"), sum(true, false));
                format!("sums up to {bytes} bytes in {count}; there are {} bytes in {}", there.0, there.1)
            }
            Err(line) => format!("line {line} is not two numbers"),
        };
        let finding = Finding::new(Code::MaildirsizeDrift, message).in_file(&path);
        if root.join(quota::MARKER).exists() {
            self.findings
                .push(finding.with_hint("a delivery was cut off between the two; the next one counts anew"));
            return Ok(());
        }
        // With the file goes its first line, and where nobody else knows the quota, there is none then.
        self.findings.push(finding.with_hint(format!(
            "rm {} has the next delivery count anew; but if the quota in its first line is set nowhere else, keep that",
            shell_quote(&path)
        )));
        Ok(())
    }
}

/// What servers, mailers and we ourselves keep in a Maildir.
fn is_known(name: &[u8]) -> bool {
    const NAMES: &[&[u8]] = &[
        FILE_NAME.as_bytes(),
        renames::FILE_NAME.as_bytes(),
        LOST_DIR.as_bytes(),
        quota::FILE_NAME.as_bytes(),
        quota::MARKER.as_bytes(),
        b"maildirfolder",
        b"subscriptions",
        b"sieve",
        b"mailfilter",
        b"keywords",
        b"msgid.cache",
    ];
    const BEGINNINGS: &[&[u8]] =
        &[b"dovecot", b"courier", b"maildirshared", b"shared-", b"sqwebmail", b"quotawarn", b"loginexec"];
    NAMES.contains(&name) || BEGINNINGS.iter().any(|b| name.starts_with(b))
}
