//! Is a Maildir sound? Its directories, each name, each file; its folders of the same kind (Maildir++)
//! and the nested ones (layout fs) with it.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use memchr::memmem::Finder;
use rayon::prelude::*;

use super::message::{self, HeaderFault};
use super::repair::{LOST, Step};
use super::{Depth, Folder, Options, Report, manifest, stop_if};
use crate::convert::{Phase, Progress};
use crate::mailbox::durable::Dir;
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::maildir::flags::Flags;
use crate::mailbox::maildir::name;
use crate::mailbox::maildir::write::{Place, parent_of};
use crate::mailbox::maildir::{folders, read};
use crate::mailbox::manifest::{Digest, FILE_NAME};
use crate::mailbox::mbox::scan;
use crate::mailbox::mbox::watch::Watch;
use crate::mailbox::source;
use crate::mailbox::{escaped, shown};

/// What nobody has touched for so long in tmp/ is no delivery any more (maildir(5)).
const STALE: i64 = 36 * 3600;
/// So far a file's time may be from the one in its name: a delivery takes a while.
const APART: i64 = 60;
/// Messages that a worker takes at once.
const CHUNK: usize = 64;
/// A buffer that one large message made larger than this is not kept.
const BUFFER: usize = 8 << 20;

/// A message file as it was found.
#[derive(Debug)]
pub(super) struct Message {
    /// Which folder, by its number.
    pub folder: usize,
    pub place: Place,
    pub name: OsString,
    pub size: u64,
    /// BLAKE3 of the file, where a manifest asks for it and the file could be read.
    pub digest: Option<Digest>,
    /// Where a second message seems to begin.
    inside: Option<u64>,
    /// The manifest says that these are the bytes that were written.
    pub vouched: bool,
}

impl Message {
    fn new(folder: usize, place: Place, name: OsString, size: u64) -> Message {
        Message { folder, place, name, size, digest: None, inside: None, vouched: false }
    }

    pub fn parsed(&self) -> name::Parsed<'_> {
        name::parse(self.name.as_bytes())
    }

    pub fn path(&self, folders: &[Found]) -> PathBuf {
        folders[self.folder].path.join(self.place.dir()).join(&self.name)
    }
}

/// A folder: the Maildir itself is the first.
#[derive(Debug)]
pub(super) struct Found {
    pub path: PathBuf,
}

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
pub fn verify(path: &Path, options: &Options<'_>, progress: &dyn Progress) -> Result<Report> {
    let mut notes = Notes::default();
    let folders = notes.find_folders(path)?;
    let root = std::fs::metadata(path).map_err(Error::io("look at", path))?;
    let manifests = manifest::find(&folders, options, &mut notes.findings)?;
    let look = Look {
        options,
        owner: root.uid(),
        reachable: root.mode() & 0o001 != 0,
        hashes: !manifests.is_empty(),
        second: Finder::new(b"\nFrom "),
    };
    let mut listed = Vec::new();
    for folder in &folders {
        listed.push(notes.list(folder, &look)?);
    }
    // How large they are is not known before they are opened.
    progress.begin(Phase::Reading, 0);
    let mut messages = Vec::new();
    let mut report_folders = Vec::new();
    for (n, names) in listed.into_iter().enumerate() {
        let first = messages.len();
        messages.extend(notes.read(&folders, n, names, &look, progress)?);
        let own = &messages[first..];
        notes.duplicates(&folders, own);
        report_folders.push(Folder {
            path: folders[n].path.clone(),
            messages: own.len() as u64,
            bytes: own.iter().map(|m| m.size).sum(),
            kind: None,
        });
    }
    notes.maildirsize(path, &folders, &messages)?;
    let proofs = manifest::judge(&manifests, &folders, &mut messages, options, &mut notes.findings)?;
    notes.findings.extend(messages.iter().filter(|m| !m.vouched).filter_map(|m| {
        let message = "a From_ line with a header behind it: a second message may be in this file";
        Some(Finding::at(Code::MessageFromInside, m.inside?, message).in_file(m.path(&folders)))
    }));
    let Notes { mut findings, steps } = notes;
    findings.sort_by(|a, b| (&a.path, a.offset).cmp(&(&b.path, b.offset)));
    Ok(Report { path: path.to_owned(), folders: report_folders, findings, steps, proofs })
}

/// What holds for all messages of a run.
struct Look<'a> {
    options: &'a Options<'a>,
    /// Whose the Maildir is.
    owner: u32,
    /// Whether other users can enter it.
    reachable: bool,
    /// Whether a manifest will ask for hashes.
    hashes: bool,
    second: Finder<'static>,
}

/// What is noticed.
#[derive(Default)]
struct Notes {
    findings: Vec<Finding>,
    steps: Vec<Step>,
}

/// Whether a directory has what makes a Maildir of it.
fn is_folder(path: &Path) -> bool {
    path.join("cur").is_dir() || path.join("new").is_dir()
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

    fn mendable(&mut self, finding: Finding, step: Step) {
        self.findings.push(finding.mend("mailferry verify --repair mends it"));
        self.steps.push(step);
    }

    /// The Maildir and the folders in it, sorted; and what lies there besides.
    fn find_folders(&mut self, root: &Path) -> Result<Vec<Found>> {
        if !is_folder(root) {
            return Err(Error::NotAMailbox {
                path: root.to_owned(),
                reason: "it is a directory without cur/ and new/".into(),
                mend: None,
            });
        }
        self.unfinished(parent_of(root), root.file_name());
        let mut folders = vec![Found { path: root.to_owned() }];
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
        self.findings.push(finding.mend("the same convert command again removes it and goes on"));
    }

    /// Looks at all names of a folder but its three directories.
    fn look_around(&mut self, folder: &Path, kind: Kind, folders: &mut Vec<Found>) -> Result<()> {
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
                // A broken one may have but the file that says what it is.
                if is_folder(&path) || path.join("maildirfolder").exists() {
                    self.look_around(&path, Kind::Plus, folders)?;
                    self.folder_name(&path, bytes);
                    folders.push(Found { path });
                }
            } else if !hidden && kind != Kind::Plus && !is_link && is_folder(&path) {
                self.look_around(&path, Kind::Nested, folders)?;
                folders.push(Found { path });
            } else if !hidden && !is_known(bytes) {
                self.note(Code::MaildirForeignFile, path, "belongs to no Maildir that we know of");
            }
        }
        Ok(())
    }

    fn folder_name(&mut self, path: &Path, name: &[u8]) {
        if let Err(why) = folders::levels(name) {
            let message = format!("the folder's name {why}: IMAP clients cannot name it");
            self.note(Code::MaildirFolderName, path, message);
        }
        let marker = path.join("maildirfolder");
        if !marker.exists() {
            let message = "this folder has no file maildirfolder: a delivery to it forgets the quota";
            let finding = Finding::new(Code::MaildirNoMarker, message).in_file(path);
            self.findings.push(finding.mend(format!("touch {}", shown(&marker))));
        }
    }

    /// Looks at a folder's directories and at tmp/, and gives the names of its messages.
    fn list(&mut self, folder: &Found, look: &Look<'_>) -> Result<Vec<(Place, OsString)>> {
        stop_if(look.options.interrupted)?;
        let root = std::fs::metadata(&folder.path).map_err(Error::io("look at", &folder.path))?;
        self.directory(&folder.path, &root, look.owner);
        let mut messages = Vec::new();
        for place in [None, Some(Place::New), Some(Place::Cur)] {
            let path = folder.path.join(place.map_or("tmp", Place::dir));
            let meta = match std::fs::metadata(&path) {
                Ok(meta) => meta,
                Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
                    let message = "this directory is missing: nothing can be delivered";
                    let finding = Finding::new(Code::MaildirNoDirectory, message).in_file(&path);
                    self.mendable(finding, Step::MakeDirectory { path });
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
                    self.note(Code::IoError, path, error.to_string());
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
            self.mendable(finding, Step::SetMode { path: path.to_owned(), from: mode, to: mode | NEEDED });
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
            self.mendable(finding, Step::SetMode { path: path.to_owned(), from: mode, to: mode & !0o007 });
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
            self.mendable(finding, Step::MoveStale { maildir: maildir.to_owned(), name: name.to_owned() });
        }
    }

    /// Looks at every message of a folder, in parallel.
    fn read(
        &mut self,
        folders: &[Found],
        n: usize,
        names: Vec<(Place, OsString)>,
        look: &Look<'_>,
        progress: &dyn Progress,
    ) -> Result<Vec<Message>> {
        let folder = &folders[n].path;
        let dirs = Dirs::open(folder)?;
        let parts: Vec<Part> = names
            .par_chunks(CHUNK)
            .map(|chunk| {
                stop_if(look.options.interrupted)?;
                let mut part = Part::default();
                let mut buffer = Vec::new();
                for (place, name) in chunk {
                    part.message((n, folder), &dirs, (*place, name), look, &mut buffer);
                }
                let bytes = part.messages.iter().map(|m| m.size).sum();
                progress.advance(bytes, part.messages.len() as u64);
                Ok(part)
            })
            .collect::<Result<_>>()?;
        let mut messages = Vec::with_capacity(names.len());
        let mut many = Many::default();
        for mut part in parts {
            messages.append(&mut part.messages);
            self.findings.append(&mut part.findings);
            self.steps.append(&mut part.steps);
            many.take(part.many);
        }
        self.findings.extend(many.findings());
        Ok(messages)
    }

    /// Names that are the same up to the info.
    fn duplicates(&mut self, folders: &[Found], messages: &[Message]) {
        let mut sorted: Vec<&Message> = messages.iter().collect();
        sorted.sort_by(|a, b| {
            (a.parsed().base, a.place.dir(), &a.name).cmp(&(b.parsed().base, b.place.dir(), &b.name))
        });
        for pair in sorted.windows(2) {
            if pair[0].parsed().base == pair[1].parsed().base {
                let message = format!("has the same base name as {}", shown(&pair[0].path(folders)));
                self.note(Code::MaildirDuplicate, pair[1].path(folders), message);
            }
        }
    }

    /// The quota's sums beside what is there (Maildir++). Messages flagged T do not count; whether those
    /// in .Trash do is for each server to say, so either sum is right.
    fn maildirsize(&mut self, root: &Path, folders: &[Found], messages: &[Message]) -> Result<()> {
        let path = root.join("maildirsize");
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let counted = |m: &&Message| !m.parsed().flags().has(Flags::TRASHED);
        let in_trash = |m: &&Message| folders[m.folder].path.file_name() == Some(OsStr::new(".Trash"));
        let size = |m: &Message| m.parsed().field(b'S').unwrap_or(m.size) as i64;
        let all = messages.iter().filter(counted).fold((0, 0), |(b, n), m| (b + size(m), n + 1));
        let trash = messages.iter().filter(counted).filter(in_trash);
        let less = trash.fold(all, |(b, n), m| (b - size(m), n - 1));
        let message = match sums(&text) {
            Ok(sums) if sums == all || sums == less => return Ok(()),
            Ok((bytes, count)) => {
                format!("says {count} messages in {bytes} bytes; there are {} in {} bytes", all.1, all.0)
            }
            Err(line) => format!("line {line} is not two numbers"),
        };
        let finding = Finding::new(Code::MaildirsizeDrift, message).in_file(&path);
        self.findings.push(finding.mend(format!("rm {}; the next delivery writes it anew", shown(&path))));
        Ok(())
    }
}

/// The sums of a maildirsize: bytes and messages. The first line is the quota. The error is the number of
/// a line that says something else.
fn sums(text: &[u8]) -> std::result::Result<(i64, i64), usize> {
    let (mut bytes, mut count) = (0i64, 0i64);
    for (n, line) in text.split(|&b| b == b'\n').enumerate().skip(1) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let mut numbers = line
            .split(|b| b.is_ascii_whitespace())
            .filter(|w| !w.is_empty())
            .map(|word| std::str::from_utf8(word).ok().and_then(|w| w.parse::<i64>().ok()));
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Some(b)), Some(Some(c)), None) => {
                (bytes, count) = (bytes.saturating_add(b), count.saturating_add(c));
            }
            _ => return Err(n + 1),
        }
    }
    Ok((bytes, count))
}

/// What servers, mailers and we ourselves keep in a Maildir.
fn is_known(name: &[u8]) -> bool {
    const NAMES: &[&[u8]] = &[
        FILE_NAME.as_bytes(),
        LOST.as_bytes(),
        b"maildirsize",
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

/// The directories of a folder that has them.
struct Dirs {
    new: Option<Dir>,
    cur: Option<Dir>,
}

impl Dirs {
    fn open(folder: &Path) -> Result<Dirs> {
        let root = Dir::open(folder)?;
        // One that is missing or closed has been told.
        let open = |name: &str| root.open_child(OsStr::new(name)).ok();
        Ok(Dirs { new: open("new"), cur: open("cur") })
    }

    fn of(&self, place: Place) -> Option<&Dir> {
        match place {
            Place::New => self.new.as_ref(),
            Place::Cur => self.cur.as_ref(),
        }
    }
}

/// What a chunk of messages showed.
#[derive(Default)]
struct Part {
    messages: Vec<Message>,
    findings: Vec<Finding>,
    steps: Vec<Step>,
    many: Many,
}

/// What is normal for thousands of messages and said once for all, with the first.
#[derive(Default)]
struct Many([Option<(u64, PathBuf)>; 5]);

impl Many {
    const CODES: [(Code, &str); 5] = [
        (Code::MaildirFlagsInNew, "messages in new/ have flags, the first here"),
        (
            Code::MaildirMtime,
            "messages have another modification time than the date in their name, the first here",
        ),
        (
            Code::MaildirLooseMode,
            "messages allow more than their owner to read or write them, the first here",
        ),
        (Code::MaildirOwner, "messages belong to another user than the Maildir, the first here"),
        (Code::MessageLongLine, "messages have lines of more than 998 bytes, the first here"),
    ];

    fn add(&mut self, code: Code, path: impl FnOnce() -> PathBuf) {
        let slot = Many::CODES.iter().position(|(c, _)| *c == code);
        if let Some(slot) = slot.map(|n| &mut self.0[n]) {
            slot.get_or_insert_with(|| (0, path())).0 += 1;
        }
    }

    fn take(&mut self, other: Many) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            let Some((count, path)) = theirs else { continue };
            match mine {
                None => *mine = Some((count, path)),
                Some((sum, first)) => {
                    *sum += count;
                    if path < *first {
                        *first = path;
                    }
                }
            }
        }
    }

    fn findings(self) -> impl Iterator<Item = Finding> {
        let told = self.0.into_iter().zip(Many::CODES);
        told.filter_map(|(seen, (code, what))| {
            let (count, path) = seen?;
            Some(Finding::new(code, format!("{count} {what}")).in_file(path))
        })
    }
}

impl Part {
    fn note(&mut self, code: Code, path: PathBuf, message: impl Into<std::borrow::Cow<'static, str>>) {
        self.findings.push(Finding::new(code, message).in_file(path));
    }

    /// Looks at one message.
    fn message(
        &mut self,
        (folder, root): (usize, &Path),
        dirs: &Dirs,
        (place, name): (Place, &OsStr),
        look: &Look<'_>,
        buffer: &mut Vec<u8>,
    ) {
        let (place, name, file) = match find(dirs, root, place, name) {
            Ok(Some(found)) => found,
            // Somebody has deleted it since it was listed.
            Ok(None) => return,
            Err(error) => return self.unreadable((folder, root), (place, name), &error),
        };
        let path = root.join(place.dir()).join(&name);
        let meta = match file.metadata() {
            Ok(meta) => meta,
            Err(error) => {
                let error = Error::io("look at", &path)(error);
                return self.unreadable((folder, root), (place, &name), &error);
            }
        };
        if !meta.is_file() {
            let what = if meta.is_dir() { "is a directory" } else { "is no regular file" };
            self.note(Code::MaildirNotAFile, path, format!("{what}; nothing in it was looked at"));
            return;
        }
        let mut message = Message::new(folder, place, name, meta.len());
        self.name(&message, &path);
        self.metadata(&message, &meta, &path, look);
        if let Err(error) = self.contents(&mut message, &file, &path, look, buffer) {
            self.note(Code::IoError, path.clone(), Error::io("read", &path)(error).to_string());
        }
        if buffer.capacity() > BUFFER {
            *buffer = Vec::new();
        }
        self.messages.push(message);
    }

    /// A message that is there and cannot be opened; what a link leads to is none.
    fn unreadable(&mut self, (folder, root): (usize, &Path), (place, name): (Place, &OsStr), error: &Error) {
        let path = root.join(place.dir()).join(name);
        if path.is_symlink() {
            self.note(Code::MaildirNotAFile, path, "is a symbolic link; what it leads to was not looked at");
        } else {
            self.messages.push(Message::new(folder, place, name.to_owned(), 0));
            self.note(Code::IoError, path, error.to_string());
        }
    }

    fn name(&mut self, message: &Message, path: &Path) {
        let parsed = message.parsed();
        if let Some(why) = bad_info(message.name.as_bytes(), &parsed) {
            self.note(Code::MaildirBadInfo, path.to_owned(), why);
        }
        if message.place == Place::New && parsed.info.is_some_and(|info| !info.is_empty()) {
            self.many.add(Code::MaildirFlagsInNew, || path.to_owned());
        }
    }

    fn metadata(&mut self, message: &Message, meta: &Metadata, path: &Path, look: &Look<'_>) {
        const NEEDED: u32 = 0o400;
        let mode = meta.mode() & 0o7777;
        if mode & NEEDED != NEEDED {
            let text = format!("has the mode {mode:04o}: its owner cannot read it");
            let finding = Finding::new(Code::MaildirMode, text).in_file(path);
            self.findings.push(finding.mend("mailferry verify --repair mends it"));
            self.steps.push(Step::SetMode { path: path.to_owned(), from: mode, to: mode | 0o600 });
        }
        if mode & 0o077 != 0 {
            self.many.add(Code::MaildirLooseMode, || path.to_owned());
        }
        if meta.uid() != look.owner {
            self.many.add(Code::MaildirOwner, || path.to_owned());
        }
        let epoch = message.parsed().epoch().unwrap_or(meta.mtime());
        if epoch.abs_diff(meta.mtime()) > APART as u64 {
            self.many.add(Code::MaildirMtime, || path.to_owned());
        }
    }

    fn contents(
        &mut self,
        message: &mut Message,
        file: &File,
        path: &Path,
        look: &Look<'_>,
        buffer: &mut Vec<u8>,
    ) -> io::Result<()> {
        let said = message.parsed().field(b'S');
        if message.size == 0 {
            match said {
                Some(0) => self.note(Code::MessageNoHeader, path.to_owned(), "is empty, as its name says"),
                _ => self.note(Code::MessageEmpty, path.to_owned(), "is empty"),
            }
        }
        let quick = look.options.depth == Depth::Structure;
        let untrue = said.filter(|&said| said != message.size && message.size > 0);
        if quick && untrue.is_none() {
            return Ok(());
        }
        buffer.clear();
        // A server's compressed file says how long it is when it is unpacked.
        const MAGIC: u64 = 16;
        file.take(if quick { MAGIC } else { message.size }).read_to_end(buffer)?;
        if source::Format::recognise(buffer).is_some() || buffer.starts_with(b"Dovecot-LZ4\r*\x9b\xc5") {
            if !quick {
                message.digest = look.hashes.then(|| Digest::of(buffer));
            }
            let text = "was compressed by a server; its contents were not looked at";
            self.note(Code::MessageCompressed, path.to_owned(), text);
            return Ok(());
        }
        if let Some(said) = untrue {
            let text = format!("has {} bytes, its name says S={said}", message.size);
            self.note(Code::MaildirUntrueSize, path.to_owned(), text);
        }
        if quick {
            return Ok(());
        }
        message.digest = look.hashes.then(|| Digest::of(buffer));
        if untrue.is_none() {
            self.wire_size(message, path, buffer);
        }
        self.bytes(message, path, buffer, look);
        Ok(())
    }

    fn wire_size(&mut self, message: &Message, path: &Path, bytes: &[u8]) {
        let Some(said) = message.parsed().field(b'W') else { return };
        let lines = memchr::memchr_iter(b'\n', bytes).count();
        let crlf = match memchr::memchr(b'\r', bytes) {
            None => 0,
            Some(_) => memchr::memmem::find_iter(bytes, b"\r\n").count(),
        };
        let wire = (bytes.len() + lines - crlf) as u64;
        if said != wire {
            let text = format!("has {wire} bytes with CRLF line ends, its name says W={said}");
            self.note(Code::MaildirUntrueSize, path.to_owned(), text);
        }
    }

    fn bytes(&mut self, message: &mut Message, path: &Path, bytes: &[u8], look: &Look<'_>) {
        let at = |code, at: usize, text: &'static str| Finding::at(code, at as u64, text).in_file(path);
        if bytes.starts_with(b"From ") {
            self.findings.push(at(
                Code::MessageFromLine,
                0,
                "begins with a From_ line: an mbox remains in it",
            ));
        }
        match message::header_fault(bytes) {
            Some(HeaderFault::None) => {
                self.findings.push(at(Code::MessageNoHeader, 0, "does not begin with a header"));
            }
            Some(HeaderFault::NoField(offset)) => self.findings.push(at(
                Code::MessageHeaderLine,
                offset,
                "a line in the header is no field: readers end the header here, or pass over the line",
            )),
            Some(HeaderFault::Cut) => {
                self.findings.push(at(
                    Code::MessageHeaderCut,
                    bytes.len(),
                    "ends in the middle of a header line",
                ));
            }
            None => {}
        }
        if let Some(first) = memchr::memchr(0, bytes) {
            let count = memchr::memchr_iter(0, bytes).count();
            self.findings.push(
                Finding::at(Code::MessageNul, first as u64, format!("{count} NUL bytes, the first here"))
                    .in_file(path),
            );
        }
        if message::long_lines(bytes).is_some() {
            self.many.add(Code::MessageLongLine, || path.to_owned());
        }
        if look.second.find(bytes).is_some() {
            message.inside = second_message(bytes);
        }
    }
}

/// The first line that would be a separator in an mbox beyond doubt. The ones that git writes at the head
/// of a patch are not meant: people send those.
fn second_message(bytes: &[u8]) -> Option<u64> {
    let candidates = scan::scan(bytes, Watch::nobody()).candidates;
    let meant = |c: &&scan::Candidate| {
        let line = &bytes[c.offset as usize..c.end() as usize];
        c.offset > 0 && c.is_confident() && memchr::memmem::find(line, b"Mon Sep 17 00:00:00 2001").is_none()
    };
    candidates.iter().find(meant).map(|c| c.offset)
}

/// Opens a listed message. It may have moved from new/ to cur/ and changed its flags meanwhile: before it is
/// called gone (None) it is looked for by its base name.
fn find(dirs: &Dirs, folder: &Path, place: Place, name: &OsStr) -> Result<Option<(Place, OsString, File)>> {
    let open = |place: Place, name: &OsStr| match dirs.of(place) {
        Some(dir) => dir.open_file(name),
        None => Err(Error::io("open", folder.join(place.dir()))(io::ErrorKind::NotFound.into())),
    };
    match open(place, name) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        other => return other.map(|file| Some((place, name.to_owned(), file))),
    }
    let base = name::parse(name.as_bytes()).base;
    let Some(entry) = read::list(folder)?.into_iter().find(|e| e.parsed().base == base) else {
        return Ok(None);
    };
    let file = open(entry.place, &entry.name)?;
    Ok(Some((entry.place, entry.name, file)))
}

/// What is wrong with what stands behind the base name.
fn bad_info(name: &[u8], parsed: &name::Parsed<'_>) -> Option<String> {
    // What Dovecot's compression adds is no flag of maildir(5), and known.
    const KNOWN: &[u8] = b"DFPRSTZ";
    if let Some(info) = parsed.info {
        let unknown = info.iter().find(|l| !KNOWN.contains(l) && !l.is_ascii_lowercase());
        if let Some(letter) = unknown {
            return Some(format!("has the flag {}, which nobody knows", escaped(&[*letter])));
        }
        return (!info.is_sorted_by(|a, b| a < b))
            .then(|| format!("has the flags {}, not in ASCII order or not each once", escaped(info)));
    }
    let colon = memchr::memchr(b':', name)?;
    Some(format!("has the info {}, which is not :2, and flags", escaped(&name[colon..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_info_is_2_and_sorted_flags() {
        let bad = |name: &str| bad_info(name.as_bytes(), &name::parse(name.as_bytes()));
        for name in ["1.a.b", "1.a.b:2,", "1.a.b:2,FRS", "1.a.b;2,Sab", "1.a.b!2,S", "1.a.b,S=1:2,SZ"] {
            assert_eq!(bad(name), None, "{name}");
        }
        for name in ["1.a.b:2,SR", "1.a.b:2,SS", "1.a.b:2,X", "1.a.b:1,S", "1.a.b:S", "1.a.b:", "1.a.b:2,S,R"]
        {
            assert!(bad(name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_maildirsize_is_added_up() {
        assert_eq!(sums(b"1000S,10C\n100 2\n-50 -1\n\n"), Ok((50, 1)));
        assert_eq!(sums(b"1000S"), Ok((0, 0)));
        assert_eq!(sums(b"0S\n1 2\nx 3\n"), Err(3));
        assert_eq!(sums(b"0S\n1 2 3\n"), Err(2));
    }
}
