//! Verification of one message file of a Maildir: name, metadata, bytes.

use std::borrow::{Borrow, Cow};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::message::{self, HeaderFault};
use super::options::Depth;
use super::repair::{REPAIR_COMMAND, RepairStep};
use super::report::error_text;
use crate::mailbox::fs::Dir;
use crate::mailbox::fs::durable::FileId;
use crate::mailbox::fs::files::{self, Metadata};
use crate::mailbox::maildir::list::{EntryPath, unreadable_finding};
use crate::mailbox::maildir::{Entry, MaildirReader, NoMessage, Subdir, name};
use crate::mailbox::manifest::Digest;
use crate::mailbox::mbox::{Candidate, ScanHooks, begins_from_line, scan};
use crate::mailbox::message::has_hole;
use crate::mailbox::source::{Contents, ErrorPath, STORED_HEAD, StoredForm, mapped};
use crate::mailbox::{Code, Error, Finding, Result, escape};

/// Seconds that a file's time may differ from the one in its name, since a delivery takes time.
const DELIVERY_TIME: u64 = 60;

/// Settings for all messages of a Maildir.
pub(crate) struct FileOptions {
    pub depth: Depth,
    /// The owner of the Maildir.
    pub owner: u32,
    /// True if other users can enter the Maildir.
    pub reachable: bool,
    /// True if files are hashed for a manifest.
    pub hashes: bool,
    /// Seconds since 1970.
    pub now: i64,
}

/// A message file, as found.
#[derive(Debug)]
pub(crate) struct MessageFile {
    pub entry: Entry,
    pub size: u64,
    /// BLAKE3 of the file, if a manifest needs it and the file is readable.
    pub digest: Option<Digest>,
    rare: Option<Box<RareProperties>>,
    folder: u32,
    /// True if a server has compressed it.
    pub compressed: bool,
    /// True if a manifest names these bytes.
    pub matches: bool,
}

/// Properties that few messages have.
#[derive(Debug, Default)]
struct RareProperties {
    /// BLAKE3 of the message in the file, if a server has compressed it.
    decoded_digest: Option<Digest>,
    /// Offset of a second message in the file.
    inner_message: Option<u64>,
}

impl Borrow<Entry> for MessageFile {
    fn borrow(&self) -> &Entry {
        &self.entry
    }
}

impl MessageFile {
    fn new(folder: usize, entry: Entry, size: u64) -> MessageFile {
        MessageFile {
            entry,
            size,
            digest: None,
            rare: None,
            folder: folder as u32,
            compressed: false,
            matches: false,
        }
    }

    /// Returns the index of its folder.
    pub(super) fn folder(&self) -> usize {
        self.folder as usize
    }

    /// Returns the offset of a second message in the file.
    pub(super) fn inner_message(&self) -> Option<u64> {
        self.rare.as_ref()?.inner_message
    }

    fn rare(&mut self) -> &mut RareProperties {
        self.rare.get_or_insert_default()
    }

    /// Returns the digests of the file and of the message in it.
    pub(super) fn digests(&self) -> impl Iterator<Item = Digest> + use<> {
        self.digest.into_iter().chain(self.rare.as_ref().and_then(|rare| rare.decoded_digest))
    }

    pub(super) fn parsed(&self) -> name::ParsedName<'_> {
        self.entry.parsed()
    }

    pub(super) fn path(&self, folders: &[PathBuf]) -> PathBuf {
        self.entry.path(&folders[self.folder()])
    }
}

/// A folder whose messages are checked.
pub(crate) struct OpenFolder<'a> {
    index: usize,
    path: &'a Path,
    reader: MaildirReader,
    options: &'a FileOptions,
    /// The user of the process.
    user: u32,
}

impl<'a> OpenFolder<'a> {
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Opens the folder. A missing or closed directory is reported elsewhere.
    pub(super) fn open(
        index: usize,
        path: &'a Path,
        options: &'a FileOptions,
        now: i64,
    ) -> Result<OpenFolder<'a>> {
        let user = rustix::process::geteuid().as_raw();
        Ok(OpenFolder { index, path, reader: MaildirReader::open_readable(path, now)?, options, user })
    }

    /// Looks up a message by its current name, and passes its directory and that name to `look`.
    fn locate<T>(&self, entry: Entry, look: impl Fn(&Dir, &OsStr) -> Result<T>) -> Located<T> {
        let found = match self.reader.locate(&entry, look) {
            Ok(Ok((Cow::Owned(current), found))) => return Located::Found(current, found),
            Ok(Ok((Cow::Borrowed(_), found))) => found,
            Ok(Err(NoMessage::Removed)) => return Located::Removed(entry),
            Ok(Err(none)) => return Located::NoMessage(none.finding(self.path_of(&entry))),
            Err(error) => return Located::Unreadable(entry, error),
        };
        Located::Found(entry, found)
    }

    fn path_of(&self, entry: &Entry) -> PathBuf {
        entry.path(self.path)
    }

    /// Returns the path of a message for a finding that may occur.
    fn error_path<'e>(&'e self, entry: &'e Entry) -> EntryPath<'e> {
        self.reader.error_path(entry)
    }
}

/// The outcome of looking up a listed message.
enum Located<T> {
    /// By its current name.
    Found(Entry, T),
    Removed(Entry),
    NoMessage(Finding),
    Unreadable(Entry, Error),
}

/// Findings about some messages of a folder.
#[derive(Default)]
pub(crate) struct FileCheck {
    pub messages: Vec<MessageFile>,
    pub findings: Vec<Finding>,
    pub steps: Vec<RepairStep>,
    pub repeated: RepeatedFindings,
    /// Messages that are not in the folder any more.
    pub removed: Vec<Entry>,
}

/// Findings that thousands of messages share: each code is reported once, with a count and the first path.
#[derive(Default)]
pub(crate) struct RepeatedFindings([Option<(u64, PathBuf)>; 5]);

impl RepeatedFindings {
    /// The text about one message, and the text about several, after their number.
    const CODES: [(Code, &str, &str); 5] = [
        (Code::MaildirFlagsInNew, "in new/, but has flags", "messages in new/ have flags"),
        (
            Code::MaildirMtime,
            "has another modification time than the date in its name",
            "messages have another modification time than the date in their name",
        ),
        (
            Code::MaildirLooseMode,
            "allows more than its owner to read or write it",
            "messages allow more than their owner to read or write them",
        ),
        (
            Code::MaildirOwner,
            "belongs to another user than the Maildir",
            "messages belong to another user than the Maildir",
        ),
        (
            Code::MessageLongLine,
            "has lines of more than 998 bytes",
            "messages have lines of more than 998 bytes",
        ),
    ];

    fn add(&mut self, code: Code, folder: &OpenFolder<'_>, entry: &Entry) {
        let slot = RepeatedFindings::CODES.iter().position(|(c, ..)| *c == code);
        if let Some(slot) = slot.map(|n| &mut self.0[n]) {
            slot.get_or_insert_with(|| (0, folder.path_of(entry))).0 += 1;
        }
    }

    pub(super) fn merge(&mut self, other: RepeatedFindings) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own = match (own.take(), other) {
                (Some((a, path)), Some((b, other))) => Some((a + b, path.min(other))),
                (one, other) => one.or(other),
            };
        }
    }

    pub(super) fn into_findings(self) -> impl Iterator<Item = Finding> {
        let slots = self.0.into_iter().zip(RepeatedFindings::CODES);
        slots.filter_map(|(slot, (code, one, several))| {
            let (count, path) = slot?;
            let message = match count {
                1 => one.to_owned(),
                count => format!("{count} {several}, the first here"),
            };
            Some(Finding::new(code, message).in_file(path))
        })
    }
}

impl FileCheck {
    fn note(&mut self, code: Code, path: impl Into<PathBuf>, message: impl Into<Cow<'static, str>>) {
        self.findings.push(Finding::new(code, message).in_file(path));
    }

    /// Checks one message. `contents` is reused between messages.
    pub(super) fn check(&mut self, folder: &OpenFolder<'_>, entry: Entry, contents: &mut Contents) {
        let to_open = match folder.options.depth {
            Depth::Structure => self.check_unopened(folder, entry),
            Depth::Contents => Some(entry),
        };
        if let Some(entry) = to_open {
            self.check_opened(folder, entry, contents);
        }
    }

    /// Checks the name and the metadata of a message, and returns a message that must be opened. Only that shows why it
    /// cannot be read, or whether a server has compressed what has another size than its name says.
    fn check_unopened(&mut self, folder: &OpenFolder<'_>, entry: Entry) -> Option<Entry> {
        let look = |dir: &Dir, name: &OsStr| {
            let meta = dir.child_metadata(name)?;
            let is_readable = meta.is_file() && dir.certainly_reads(&meta, folder.user);
            Ok((meta, is_readable))
        };
        let (entry, meta) = match folder.locate(entry, look) {
            Located::Found(entry, (meta, true)) if meta.len() > 0 => (entry, meta),
            Located::Found(entry, _) | Located::Unreadable(entry, _) => return Some(entry),
            Located::Removed(entry) => {
                self.removed.push(entry);
                return None;
            }
            Located::NoMessage(finding) => {
                self.findings.push(finding);
                return None;
            }
        };
        let message = MessageFile::new(folder.index, entry, meta.len());
        if message.parsed().field(b'S').is_some_and(|named| named != message.size) {
            return Some(message.entry);
        }
        self.check_name(&message, folder);
        self.check_metadata(&message, &meta, folder);
        self.messages.push(message);
        None
    }

    fn check_opened(&mut self, folder: &OpenFolder<'_>, entry: Entry, contents: &mut Contents) {
        let (entry, file) = match folder.locate(entry, Dir::open_file) {
            Located::Found(entry, file) => (entry, file),
            Located::Removed(entry) => return self.removed.push(entry),
            Located::NoMessage(finding) => return self.findings.push(finding),
            Located::Unreadable(entry, error) => return self.note_unreadable(folder, entry, &error),
        };
        let meta = match Metadata::of(&file) {
            Ok(meta) => meta,
            Err(error) => {
                let error = Error::io("look at", folder.path_of(&entry))(error);
                return self.note_unreadable(folder, entry, &error);
            }
        };
        if !meta.is_file() {
            let what = if meta.is_dir() { "is a directory" } else { "is not a regular file" };
            let text = format!("{what}; nothing in it was checked");
            return self.note(Code::MaildirNotAFile, folder.path_of(&entry), text);
        }
        let mut message = MessageFile::new(folder.index, entry, meta.len());
        self.check_name(&message, folder);
        self.check_metadata(&message, &meta, folder);
        if let Err(error) = self.check_contents(&mut message, &file, folder, contents) {
            // A digest of zeros in place of lost bytes would show another change.
            (message.digest, message.rare().decoded_digest) = (None, None);
            self.note(error.code(), folder.path_of(&message.entry), error.without_path());
        }
        self.messages.push(message);
    }

    /// Reports a message that cannot be opened. A symbolic link is not a message.
    fn note_unreadable(&mut self, folder: &OpenFolder<'_>, entry: Entry, error: &Error) {
        let path = folder.path_of(&entry);
        if files::is_symlink(&path) {
            let text = "is a symbolic link; its target was not checked";
            self.note(Code::MaildirNotAFile, &path, text);
        } else {
            self.messages.push(MessageFile::new(folder.index, entry, 0));
            self.note(Code::IoError, &path, error_text(error, &path));
        }
    }

    fn check_name(&mut self, message: &MessageFile, folder: &OpenFolder<'_>) {
        let (entry, parsed) = (&message.entry, message.parsed());
        if let Some(why) = find_bad_info(entry.name.as_bytes(), &parsed) {
            self.note(Code::MaildirBadInfo, folder.path_of(entry), why);
        }
        if entry.subdir == Subdir::New && parsed.info.is_some_and(|info| !info.is_empty()) {
            self.repeated.add(Code::MaildirFlagsInNew, folder, entry);
        }
    }

    fn check_metadata(&mut self, message: &MessageFile, meta: &Metadata, folder: &OpenFolder<'_>) {
        const NEEDED: u32 = 0o400;
        let (entry, options) = (&message.entry, folder.options);
        let mode = meta.mode() & 0o7777;
        if mode & NEEDED != NEEDED {
            let (path, examined) = (folder.path_of(entry), FileId::of_metadata(meta));
            let text = format!("has the mode {mode:04o}: its owner cannot read it");
            let finding = Finding::new(Code::MaildirMode, text).in_file(&path);
            self.findings.push(finding.with_hint(REPAIR_COMMAND));
            self.steps.push(RepairStep::SetMode { path, examined, from: mode, to: mode | 0o600 });
        }
        if mode & 0o066 != 0 {
            self.repeated.add(Code::MaildirLooseMode, folder, entry);
        }
        if meta.uid() != options.owner {
            self.repeated.add(Code::MaildirOwner, folder, entry);
        }
        let parsed = message.parsed();
        // A name that is only a number is not a date: MH and mail archives count messages so.
        let is_dated = parsed.base.contains(&b'.');
        let epoch = parsed.real_epoch(options.now).filter(|_| is_dated).unwrap_or(meta.mtime());
        if epoch.abs_diff(meta.mtime()) > DELIVERY_TIME {
            self.repeated.add(Code::MaildirMtime, folder, entry);
        }
    }

    fn check_contents(
        &mut self,
        message: &mut MessageFile,
        file: &File,
        folder: &OpenFolder<'_>,
        contents: &mut Contents,
    ) -> Result<()> {
        let options = folder.options;
        let named_size = message.parsed().field(b'S');
        if message.size == 0 {
            match named_size {
                Some(0) => {
                    let path = folder.path_of(&message.entry);
                    self.note(Code::MessageNoHeader, path, "is empty, as its name says");
                }
                _ => self.note(Code::MessageEmpty, folder.path_of(&message.entry), "is empty"),
            }
        }
        let is_quick = options.depth == Depth::Structure;
        let is_wrong = |size: u64| move |named: &u64| *named != size && size > 0;
        if is_quick && named_size.filter(is_wrong(message.size)).is_none() {
            return Ok(());
        }
        let needed = if is_quick { STORED_HEAD.min(message.size) } else { message.size };
        contents.load(file, needed, &folder.error_path(&message.entry))?;
        message.compressed = StoredForm::of(contents) != StoredForm::Plain;
        // S= is the size of the message, which a quick check does not decompress.
        if is_quick && message.compressed {
            return Ok(());
        }
        if !is_quick {
            message.digest = options.hashes.then(|| Digest::of(contents));
            if let Err(why) = contents.decode(&folder.error_path(&message.entry))? {
                self.findings.push(unreadable_finding(why).in_file(folder.path_of(&message.entry)));
                return Ok(());
            }
            if options.hashes && message.compressed {
                message.rare().decoded_digest = Some(Digest::of(contents));
            }
        }
        let size = if is_quick { message.size } else { contents.len() as u64 };
        let wrong_size = named_size.filter(is_wrong(size));
        if let Some(named) = wrong_size {
            let text = format!("has {size} bytes, its name says S={named}");
            self.note(Code::MaildirUntrueSize, folder.path_of(&message.entry), text);
        }
        if is_quick {
            return Ok(());
        }
        if wrong_size.is_none() {
            self.check_wire_size(message, folder, contents);
        }
        self.check_bytes(&folder.error_path(&message.entry), contents);
        if message::find_long_lines(contents).is_some() {
            self.repeated.add(Code::MessageLongLine, folder, &message.entry);
        }
        if mapped::find_all(contents, b"\nFrom ").next().is_some()
            && let Some(at) = find_second_message(contents)
        {
            message.rare().inner_message = Some(at);
        }
        contents.check_complete(&folder.error_path(&message.entry))
    }

    fn check_wire_size(&mut self, message: &MessageFile, folder: &OpenFolder<'_>, bytes: &[u8]) {
        let Some(named) = message.parsed().field(b'W') else { return };
        let lines = mapped::count_byte(b'\n', bytes);
        let crlf = match mapped::find_byte(b'\r', bytes) {
            None => 0,
            Some(_) => mapped::find_all(bytes, b"\r\n").count(),
        };
        let wire = (bytes.len() + lines - crlf) as u64;
        if named != wire {
            let text = format!("has {wire} bytes with CRLF line ends, its name says W={named}");
            self.note(Code::MaildirUntrueSize, folder.path_of(&message.entry), text);
        }
    }

    fn check_bytes(&mut self, path: &EntryPath<'_>, bytes: &[u8]) {
        let mut note = |code, at: usize, text: Cow<'static, str>| {
            let finding = Finding::at(code, at as u64, text).in_file(path.error_path());
            let is_damage = code == Code::MessageHeaderCut || code == Code::MessageNul && has_hole(bytes);
            self.findings.push(if is_damage { finding.as_damage() } else { finding });
        };
        if begins_from_line(bytes) {
            note(Code::MessageFromLine, 0, "begins with a From_ line, which is left from an mbox".into());
        }
        match message::find_header_fault(bytes) {
            Some(HeaderFault::Missing) => {
                note(Code::MessageNoHeader, 0, "does not begin with a header".into());
            }
            Some(HeaderFault::NoField(at)) => note(Code::MessageHeaderLine, at, message::NO_FIELD.into()),
            Some(HeaderFault::Cut) => {
                note(Code::MessageHeaderCut, bytes.len(), "ends in the middle of a header line".into());
            }
            None => {}
        }
        if let Some(first) = mapped::find_byte(0, bytes) {
            let text = match mapped::count_byte(0, bytes) {
                1 => "a NUL byte".into(),
                count => format!("{count} NUL bytes, the first here").into(),
            };
            note(Code::MessageNul, first, text);
        }
    }
}

/// Finds the first line that would certainly be a separator in an mbox. The ones at the head of git patches do not
/// count: users send those.
fn find_second_message(bytes: &[u8]) -> Option<u64> {
    let on_release = &|range: std::ops::Range<usize>| mapped::release(&bytes[range]);
    let candidates = scan::scan(bytes, ScanHooks { on_release, ..ScanHooks::none() }).candidates;
    let is_separator = |c: &&Candidate| {
        let line = &bytes[c.offset as usize..c.end() as usize];
        c.offset > 0 && c.is_confident() && memchr::memmem::find(line, b"Mon Sep 17 00:00:00 2001").is_none()
    };
    candidates.iter().find(is_separator).map(|c| c.offset)
}

/// Finds a fault in the part of the name after the base name.
fn find_bad_info(name: &[u8], parsed: &name::ParsedName<'_>) -> Option<String> {
    // Z, which Dovecot's compression adds, is not in maildir(5).
    const KNOWN: &[u8] = b"DFPRSTZ";
    if let Some(info) = parsed.info {
        let unknown = info.iter().find(|l| !KNOWN.contains(l) && !l.is_ascii_lowercase());
        if let Some(letter) = unknown {
            return Some(format!("has the unknown flag {}", escape(&[*letter])));
        }
        return (!info.is_sorted_by(|a, b| a < b))
            .then(|| format!("has the flags {}, not in ASCII order or not each once", escape(info)));
    }
    let colon = memchr::memchr(b':', name)?;
    Some(format!("has the info {}, which is not :2, and flags", escape(&name[colon..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_info_is_2_and_sorted_flags() {
        let bad = |name: &str| find_bad_info(name.as_bytes(), &name::parse(name.as_bytes()));
        for name in ["1.a.b", "1.a.b:2,", "1.a.b:2,FRS", "1.a.b;2,Sab", "1.a.b!2,S", "1.a.b,S=1:2,SZ"] {
            assert_eq!(bad(name), None, "{name}");
        }
        for name in ["1.a.b:2,SR", "1.a.b:2,SS", "1.a.b:2,X", "1.a.b:1,S", "1.a.b:S", "1.a.b:", "1.a.b:2,S,R"]
        {
            assert!(bad(name).is_some(), "{name}");
        }
    }
}
