//! One message file of a Maildir: its name, its metadata, its bytes.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use memchr::memmem::Finder;

use super::message::{self, HeaderFault};
use super::repair::RepairStep;
use super::{Depth, REPAIR_COMMAND, VerifyOptions, said};
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::fs::durable::Dir;
use crate::mailbox::maildir::write::Subdir;
use crate::mailbox::maildir::{list, name};
use crate::mailbox::manifest::Digest;
use crate::mailbox::mbox::scan;
use crate::mailbox::mbox::scan_hooks::ScanHooks;
use crate::mailbox::text::escape;

/// So far a file's time may be from the one in its name: a delivery takes a while.
const APART: i64 = 60;
/// A buffer that one large message made larger than this is not kept.
const BUFFER: usize = 8 << 20;

/// A folder: the Maildir itself is the first.
#[derive(Debug)]
pub(crate) struct MaildirFolder {
    pub path: PathBuf,
}

/// What holds for all messages of a run.
pub(crate) struct FileOptions<'a> {
    pub options: &'a VerifyOptions<'a>,
    /// Whose the Maildir is.
    pub owner: u32,
    /// Whether other users can enter it.
    pub reachable: bool,
    /// Whether a manifest will ask for hashes.
    pub hashes: bool,
    pub second: Finder<'static>,
}

/// A message file as it was found.
#[derive(Debug)]
pub(crate) struct MessageFile {
    /// Which folder, by its number.
    pub folder: usize,
    pub place: Subdir,
    pub name: OsString,
    pub size: u64,
    /// A server has compressed it.
    pub compressed: bool,
    /// BLAKE3 of the file, where a manifest asks for it and the file could be read.
    pub digest: Option<Digest>,
    /// Where a second message seems to begin.
    pub inner_message: Option<u64>,
    /// The manifest says that these are the bytes that were written.
    pub matches: bool,
}

impl MessageFile {
    fn new(folder: usize, place: Subdir, name: OsString, size: u64) -> MessageFile {
        MessageFile {
            folder,
            place,
            name,
            size,
            compressed: false,
            digest: None,
            inner_message: None,
            matches: false,
        }
    }

    pub fn parsed(&self) -> name::ParsedName<'_> {
        name::parse(self.name.as_bytes())
    }

    pub fn path(&self, folders: &[MaildirFolder]) -> PathBuf {
        folders[self.folder].path.join(self.place.dir()).join(&self.name)
    }
}

/// The directories of a folder that has them.
pub(crate) struct Subdirs {
    new: Option<Dir>,
    cur: Option<Dir>,
}

impl Subdirs {
    pub fn open(folder: &Path) -> Result<Subdirs> {
        let root = Dir::open(folder)?;
        // One that is missing or closed has been told.
        let open = |name: &str| root.open_child(OsStr::new(name)).ok();
        Ok(Subdirs { new: open("new"), cur: open("cur") })
    }

    fn of(&self, place: Subdir) -> Option<&Dir> {
        match place {
            Subdir::New => self.new.as_ref(),
            Subdir::Cur => self.cur.as_ref(),
        }
    }
}

/// What a chunk of messages showed.
#[derive(Default)]
pub(crate) struct FileCheck {
    pub messages: Vec<MessageFile>,
    pub findings: Vec<Finding>,
    pub steps: Vec<RepairStep>,
    pub repeated: RepeatedFindings,
}

/// What is normal for thousands of messages and said once for all, with the first.
#[derive(Default)]
pub(crate) struct RepeatedFindings([Option<(u64, PathBuf)>; 5]);

impl RepeatedFindings {
    /// What is said of one message, and what of several, behind their number.
    const CODES: [(Code, &str, &str); 5] = [
        (Code::MaildirFlagsInNew, "lies in new/ and has flags", "messages in new/ have flags"),
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

    fn add(&mut self, code: Code, path: impl FnOnce() -> PathBuf) {
        let slot = RepeatedFindings::CODES.iter().position(|(c, ..)| *c == code);
        if let Some(slot) = slot.map(|n| &mut self.0[n]) {
            slot.get_or_insert_with(|| (0, path())).0 += 1;
        }
    }

    pub fn merge(&mut self, other: RepeatedFindings) {
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

    pub fn into_findings(self) -> impl Iterator<Item = Finding> {
        let told = self.0.into_iter().zip(RepeatedFindings::CODES);
        told.filter_map(|(seen, (code, one, several))| {
            let (count, path) = seen?;
            let message = match count {
                1 => one.to_owned(),
                count => format!("{count} {several}, the first here"),
            };
            Some(Finding::new(code, message).in_file(path))
        })
    }
}

impl FileCheck {
    fn note(&mut self, code: Code, path: PathBuf, message: impl Into<std::borrow::Cow<'static, str>>) {
        self.findings.push(Finding::new(code, message).in_file(path));
    }

    /// Looks at one message.
    pub fn check(
        &mut self,
        (folder, root): (usize, &Path),
        dirs: &Subdirs,
        (place, name): (Subdir, &OsStr),
        look: &FileOptions<'_>,
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
        let mut message = MessageFile::new(folder, place, name, meta.len());
        self.name(&message, &path);
        self.metadata(&message, &meta, &path, look);
        if let Err(error) = self.contents(&mut message, &file, &path, look, buffer) {
            let text = said(&Error::io("read", &path)(error), &path);
            self.note(Code::IoError, path.clone(), text);
        }
        if buffer.capacity() > BUFFER {
            *buffer = Vec::new();
        }
        self.messages.push(message);
    }

    /// A message that is there and cannot be opened; what a link leads to is none.
    fn unreadable(&mut self, (folder, root): (usize, &Path), (place, name): (Subdir, &OsStr), error: &Error) {
        let path = root.join(place.dir()).join(name);
        if path.is_symlink() {
            self.note(Code::MaildirNotAFile, path, "is a symbolic link; what it leads to was not looked at");
        } else {
            self.messages.push(MessageFile::new(folder, place, name.to_owned(), 0));
            let text = said(error, &path);
            self.note(Code::IoError, path, text);
        }
    }

    fn name(&mut self, message: &MessageFile, path: &Path) {
        let parsed = message.parsed();
        if let Some(why) = bad_info(message.name.as_bytes(), &parsed) {
            self.note(Code::MaildirBadInfo, path.to_owned(), why);
        }
        if message.place == Subdir::New && parsed.info.is_some_and(|info| !info.is_empty()) {
            self.repeated.add(Code::MaildirFlagsInNew, || path.to_owned());
        }
    }

    fn metadata(&mut self, message: &MessageFile, meta: &Metadata, path: &Path, look: &FileOptions<'_>) {
        const NEEDED: u32 = 0o400;
        let mode = meta.mode() & 0o7777;
        if mode & NEEDED != NEEDED {
            let text = format!("has the mode {mode:04o}: its owner cannot read it");
            let finding = Finding::new(Code::MaildirMode, text).in_file(path);
            self.findings.push(finding.with_hint(REPAIR_COMMAND));
            self.steps.push(RepairStep::SetMode { path: path.to_owned(), from: mode, to: mode | 0o600 });
        }
        if mode & 0o066 != 0 {
            self.repeated.add(Code::MaildirLooseMode, || path.to_owned());
        }
        if meta.uid() != look.owner {
            self.repeated.add(Code::MaildirOwner, || path.to_owned());
        }
        let parsed = message.parsed();
        // A number that is all of the name is no date: MH and archives of mail count so.
        let dated = parsed.base.contains(&b'.');
        let epoch = parsed.epoch().filter(|_| dated).unwrap_or(meta.mtime());
        if epoch.abs_diff(meta.mtime()) > APART as u64 {
            self.repeated.add(Code::MaildirMtime, || path.to_owned());
        }
    }

    fn contents(
        &mut self,
        message: &mut MessageFile,
        file: &File,
        path: &Path,
        look: &FileOptions<'_>,
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
        file.take(if quick { list::MAGIC_LENGTH } else { message.size }).read_to_end(buffer)?;
        if list::is_compressed(buffer) {
            message.compressed = true;
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

    fn wire_size(&mut self, message: &MessageFile, path: &Path, bytes: &[u8]) {
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

    fn bytes(&mut self, message: &mut MessageFile, path: &Path, bytes: &[u8], look: &FileOptions<'_>) {
        let at = |code, at: usize, text: &'static str| Finding::at(code, at as u64, text).in_file(path);
        if bytes.starts_with(b"From ") {
            self.findings.push(at(
                Code::MessageFromLine,
                0,
                "begins with a From_ line: an mbox remains in it",
            ));
        }
        match message::find_header_fault(bytes) {
            Some(HeaderFault::Missing) => {
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
            let text = match count {
                1 => "a NUL byte".to_owned(),
                _ => format!("{count} NUL bytes, the first here"),
            };
            self.findings.push(Finding::at(Code::MessageNul, first as u64, text).in_file(path));
        }
        if message::count_long_lines(bytes).is_some() {
            self.repeated.add(Code::MessageLongLine, || path.to_owned());
        }
        if look.second.find(bytes).is_some() {
            message.inner_message = second_message(bytes);
        }
    }
}

/// The first line that would be a separator in an mbox beyond doubt. The ones that git writes at the head
/// of a patch are not meant: people send those.
fn second_message(bytes: &[u8]) -> Option<u64> {
    let candidates = scan::scan(bytes, ScanHooks::none()).candidates;
    let meant = |c: &&scan::Candidate| {
        let line = &bytes[c.offset as usize..c.end() as usize];
        c.offset > 0 && c.is_confident() && memchr::memmem::find(line, b"Mon Sep 17 00:00:00 2001").is_none()
    };
    candidates.iter().find(meant).map(|c| c.offset)
}

/// Opens a listed message. It may have moved from new/ to cur/ and changed its flags meanwhile: before it is
/// called gone (None) it is looked for by its base name.
fn find(
    dirs: &Subdirs,
    folder: &Path,
    place: Subdir,
    name: &OsStr,
) -> Result<Option<(Subdir, OsString, File)>> {
    let open = |place: Subdir, name: &OsStr| match dirs.of(place) {
        Some(dir) => dir.open_file(name),
        None => Err(Error::io("open", folder.join(place.dir()))(io::ErrorKind::NotFound.into())),
    };
    match open(place, name) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        other => return other.map(|file| Some((place, name.to_owned(), file))),
    }
    let base = name::parse(name.as_bytes()).base;
    let Some(entry) = list::list_messages(folder)?.into_iter().find(|e| e.parsed().base == base) else {
        return Ok(None);
    };
    let file = open(entry.subdir, &entry.name)?;
    Ok(Some((entry.subdir, entry.name, file)))
}

/// What is wrong with what stands behind the base name.
fn bad_info(name: &[u8], parsed: &name::ParsedName<'_>) -> Option<String> {
    // What Dovecot's compression adds is no flag of maildir(5), and known.
    const KNOWN: &[u8] = b"DFPRSTZ";
    if let Some(info) = parsed.info {
        let unknown = info.iter().find(|l| !KNOWN.contains(l) && !l.is_ascii_lowercase());
        if let Some(letter) = unknown {
            return Some(format!("has the flag {}, which nobody knows", escape(&[*letter])));
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
        let bad = |name: &str| bad_info(name.as_bytes(), &name::parse(name.as_bytes()));
        for name in ["1.a.b", "1.a.b:2,", "1.a.b:2,FRS", "1.a.b;2,Sab", "1.a.b!2,S", "1.a.b,S=1:2,SZ"] {
            assert_eq!(bad(name), None, "{name}");
        }
        for name in ["1.a.b:2,SR", "1.a.b:2,SS", "1.a.b:2,X", "1.a.b:1,S", "1.a.b:S", "1.a.b:", "1.a.b:2,S,R"]
        {
            assert!(bad(name).is_some(), "{name}");
        }
    }
}
