//! The manifest: what was converted, and its proof. JSON Lines in `mailferry.manifest`, a *section* a
//! source, only ever appended to; mailferry-formats(5) fixes it. This module is the format, in and
//! out, and no policy.
//!
//! A section is a head, a line for every message, a line for every stretch between messages that is
//! not the usual separator, and a tail with the sums and the BLAKE3 of the section's lines. A section
//! without its tail is *open*: the run that wrote it was killed. What follows the last whole line of an
//! open section is torn and passed over; a closed section whose hash is wrong, and a line that is like
//! ours and none of ours, is damage, and nothing is built on it.
//!
//! A section of a Maildir ([`Head::is_maildir`]) tells of messages that are files there, too. It is known by
//! their names and not by its bytes: its head has neither a size nor a hash, and a later section of the same
//! path tells only of what came since.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::mailbox::error::{Error, Result};
use crate::mailbox::fs::durable;
use crate::mailbox::fs::durable::Dir;

/// The name of the file in a Maildir.
pub const FILE_NAME: &str = "mailferry.manifest";
/// The version of the format that this module writes, and the only one it reads.
pub const VERSION: u32 = 1;
/// How many leading bytes of a source are hashed by themselves.
///
/// Little, so that a mailer that rewrites the Status of the first message does not make the source a
/// stranger; enough to hold the first From_ line and the first fields.
pub const LEAD: u64 = 256;
/// What stands for the variant in a section of a Maildir.
const MAILDIR: &str = "maildir";

/// A BLAKE3 hash in hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Of some bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Digest {
        Digest(*hash.as_bytes())
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let hex = Cow::<str>::deserialize(deserializer)?;
        blake3::Hash::from_hex(&*hex).map(Digest::from).map_err(serde::de::Error::custom)
    }
}

/// Bytes in JSON: as text where they are UTF-8, else as an object with base64.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// For the screen.
    pub fn escaped(&self) -> String {
        crate::mailbox::text::escape(&self.0)
    }

    /// Whether these are the bytes of this path.
    pub fn is_path(&self, path: &Path) -> bool {
        path.as_os_str().as_bytes() == self.0
    }
}

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => BytesForm::Base64 { base64: BASE64.encode(&self.0) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        match BytesForm::deserialize(deserializer)? {
            BytesForm::Text(text) => Ok(Bytes(text.into_bytes())),
            BytesForm::Base64 { base64 } => {
                BASE64.decode(base64.as_bytes()).map(Bytes).map_err(serde::de::Error::custom)
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum BytesForm {
    Text(String),
    Base64 { base64: String },
}

/// The first line of a section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionHeader {
    /// [`VERSION`].
    pub section: u32,
    /// The program that wrote it.
    pub program: String,
    /// The path of the source as it was given; `-` for standard input.
    pub source: Bytes,
    /// Its size, uncompressed.
    pub size: u64,
    /// BLAKE3 of all of it.
    pub blake3: Digest,
    /// How many leading bytes `lead_blake3` is of.
    pub lead: u64,
    /// BLAKE3 of these.
    pub lead_blake3: Digest,
    /// Which section of the file, from 1, tells of the same source as it was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<usize>,
    /// The mbox variant.
    pub variant: String,
    /// The evidence for it.
    pub evidence: String,
    /// What is between two messages unless a gap says otherwise.
    pub separator: Bytes,
    /// Whether the source's lines ended in CR, which the messages have as LF.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cr_only: bool,
    /// `keep`, `lf` or `crlf`: what `--eol` said.
    pub eol: String,
    /// What `--labels` said, if not `keywords`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// What `--deleted` said, if not `flag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<String>,
    /// What `--headers` said, if not `keep`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<String>,
}

/// A message of the source, in file order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRecord {
    /// Offset of its first byte (after its From_ lines) in the source.
    pub at: u64,
    /// Its length there.
    pub len: u64,
    /// Its From_ lines, verbatim.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub from: Bytes,
    /// The base name of its file: all before the info.
    pub name: Bytes,
    /// BLAKE3 of its bytes in the source, without From_ lines.
    pub source: Digest,
    /// BLAKE3 of the file, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Digest>,
    /// BLAKE3 of its content, where it has fields that readers rewrite (Status and so on): all bytes of
    /// the source but these fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Digest>,
    /// Where a quoting `>` was taken off: offsets in the message as in the source, each as the distance
    /// from the one before (the first from the message's beginning).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotes: Vec<u64>,
    /// Which line ends were changed: lengths of runs of lines, the first, third and so on of lines whose
    /// end was changed, the others of lines whose end was not. After the last run none was changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub eols: Vec<u64>,
    /// Fields that were taken out of its header, verbatim, each with where in the message as in the source it
    /// began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stripped: Vec<(u64, Bytes)>,
    /// Where its date comes from.
    pub date: String,
    /// Its flags when it was converted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub flags: String,
    /// Its keywords when it was converted: those that have a letter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// Those that got none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unlettered: Vec<String>,
    /// The folders that it was put into, each by its levels, none for the Maildir itself. Absent where that is
    /// the only one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<Vec<String>>,
    /// Whether it has no file of its own, being the same as the one named.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// Its bytes in the source, in base64, where the file named has other ones (a header that was
    /// rewritten in between; the same Message-ID and another text).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verbatim: Option<String>,
    /// The base name that it has in the Maildir it was copied from, where that was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Bytes>,
}

impl SectionHeader {
    /// Of a Maildir that is copied. Its bytes are not known before they are copied.
    pub fn for_maildir(program: &str, source: &Path, follows: Option<usize>) -> SectionHeader {
        SectionHeader {
            section: VERSION,
            program: program.into(),
            source: Bytes(source.as_os_str().as_bytes().to_vec()),
            size: 0,
            blake3: Digest::of(b""),
            lead: 0,
            lead_blake3: Digest::of(b""),
            follows,
            variant: MAILDIR.into(),
            evidence: "it has cur and new".into(),
            separator: Bytes::default(),
            cr_only: false,
            eol: "keep".into(),
            labels: None,
            deleted: None,
            headers: None,
        }
    }

    /// Whether the source is a Maildir, and no file.
    pub fn is_maildir(&self) -> bool {
        self.variant == MAILDIR
    }
}

fn is_empty(bytes: &Bytes) -> bool {
    bytes.0.is_empty()
}

impl MessageRecord {
    /// BLAKE3 of its file.
    pub fn file_digest(&self) -> Digest {
        self.file.unwrap_or(self.source)
    }

    /// BLAKE3 of its content.
    pub fn content_digest(&self) -> Digest {
        self.content.unwrap_or(self.source)
    }
}

/// A stretch of the source that is in no message and is not the usual separator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// `separator`, `junk`, `pseudo` or `skipped`.
    pub gap: String,
    /// Its offset.
    pub at: u64,
    /// Its bytes in base64.
    pub bytes: String,
}

impl Gap {
    /// A gap with these bytes.
    pub fn new(kind: &str, at: u64, bytes: &[u8]) -> Gap {
        Gap { gap: kind.to_owned(), at, bytes: BASE64.encode(bytes) }
    }

    /// Its bytes.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        BASE64.decode(self.bytes.as_bytes()).ok()
    }
}

/// The line that closes a section: it comes when the messages are safe, after the lines of all sections
/// that the same run wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionFooter {
    /// Which section of the file, from 1.
    pub closes: usize,
    /// How many messages the source has.
    pub messages: u64,
    /// How many of them became mail (not the pseudo message, nor what was skipped).
    pub mail: u64,
    /// Bytes of messages, less quoting.
    pub bytes_messages: u64,
    /// Bytes of From_ lines.
    pub bytes_from_lines: u64,
    /// Bytes of quoting.
    pub bytes_quoting: u64,
    /// Bytes of separators.
    pub bytes_separators: u64,
    /// Bytes of junk.
    pub bytes_junk: u64,
    /// BLAKE3 of the lines of the section, from its head on, and of this one up to the first digit of
    /// the hash.
    pub end: Digest,
}

impl SectionFooter {
    fn adds_up(&self, head: &SectionHeader) -> bool {
        let parts = [
            self.bytes_messages,
            self.bytes_from_lines,
            self.bytes_quoting,
            self.bytes_separators,
            self.bytes_junk,
        ];
        let sum = parts.iter().try_fold(0u64, |sum, &part| sum.checked_add(part));
        let size = if head.is_maildir() { self.bytes_messages } else { head.size };
        sum == Some(size) && self.mail <= self.messages
    }

    /// The tail with the hash that seals it. `lines` has hashed the lines of the section.
    pub fn seal(self, lines: &blake3::Hasher) -> SectionFooter {
        let line = to_line(&self);
        let end = lines.clone().update(before_end(line.trim_ascii_end())).finalize().into();
        SectionFooter { end, ..self }
    }
}

/// A tail's line up to its hash, which is its last value.
fn before_end(line: &[u8]) -> &[u8] {
    const HASH: usize = 64 + "\"}".len();
    &line[..line.len().saturating_sub(HASH)]
}

/// One section, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its head.
    pub head: SectionHeader,
    /// Its messages, in file order.
    pub messages: Vec<MessageRecord>,
    /// Its gaps, in file order.
    pub gaps: Vec<Gap>,
    /// Its tail; None while it is open.
    pub tail: Option<SectionFooter>,
}

impl Section {
    /// The path of its source.
    pub fn source(&self) -> PathBuf {
        PathBuf::from(OsStr::from_bytes(&self.head.source.0))
    }
}

/// A section's lines and where they stand, before they are parsed: recognising a source needs the
/// heads and tails alone.
#[derive(Debug, Clone)]
pub struct Outline<'a> {
    /// Its head.
    pub head: SectionHeader,
    /// Its tail; None while it is open.
    pub tail: Option<SectionFooter>,
    /// Where its head stands in the manifest.
    pub at: usize,
    /// Its lines from the head on, without the tail.
    lines: &'a [u8],
    path: &'a Path,
    first_line: u64,
}

/// The sections of a manifest.
///
/// # Errors
/// [`Error::Manifest`] for a closed section whose hash is wrong, and for lines that are none of ours.
pub fn outline<'a>(text: &'a [u8], path: &'a Path) -> Result<Vec<Outline<'a>>> {
    let damaged = |line, reason: &str| Error::Manifest { path: path.to_owned(), line, reason: reason.into() };
    let mut sections: Vec<Outline<'a>> = Vec::new();
    let (mut at, mut number) = (0, 0);
    while let Some(length) = memchr::memchr(b'\n', &text[at..]) {
        let line = &text[at..at + length];
        let end = at + length + 1;
        number += 1;
        if line.starts_with(b"{\"section\":") {
            let head: SectionHeader =
                serde_json::from_slice(line).map_err(|e| damaged(number, &e.to_string()))?;
            if head.section != VERSION {
                return Err(damaged(
                    number,
                    "is of a version of the format that this mailferry does not know",
                ));
            }
            sections.push(Outline { head, tail: None, at, lines: &text[at..end], path, first_line: number });
        } else if line.starts_with(b"{\"closes\":") {
            let tail: SectionFooter =
                serde_json::from_slice(line).map_err(|e| damaged(number, &e.to_string()))?;
            let open = tail.closes.checked_sub(1).and_then(|n| sections.get_mut(n));
            let Some(section) = open.filter(|s| s.tail.is_none()) else {
                return Err(damaged(number, "closes a section that is not open"));
            };
            let mut hasher = blake3::Hasher::new();
            if Digest::from(hasher.update(section.lines).update(before_end(line)).finalize()) != tail.end {
                return Err(damaged(number, "closes a section that was changed since"));
            }
            if !tail.adds_up(&section.head) {
                return Err(damaged(number, "has sums that cannot be"));
            }
            section.tail = Some(tail);
        } else if let Some(section) = sections.last_mut().filter(|s| s.at + s.lines.len() == at) {
            if !is_line_of_section(line) && !is_torn(line) {
                return Err(damaged(number, "is no line of a manifest"));
            }
            section.lines = &text[section.at..end];
        } else {
            return Err(damaged(number, "stands in no section"));
        }
        at = end;
    }
    Ok(sections)
}

/// The heads of a manifest's sections, as far as they can be read: for who only wants to know what was asked
/// for. Nothing is held to its hash.
pub fn read_headers(text: &[u8]) -> Vec<SectionHeader> {
    const START: &[u8] = b"{\"section\":";
    let starts = memchr::memmem::find_iter(text, START).filter(|&at| at == 0 || text[at - 1] == b'\n');
    let line = |at: usize| &text[at..at + memchr::memchr(b'\n', &text[at..]).unwrap_or(0)];
    starts.filter_map(|at| serde_json::from_slice(line(at)).ok()).collect()
}

fn is_line_of_section(line: &[u8]) -> bool {
    [&b"{\"at\":"[..], b"{\"gap\":"].iter().any(|start| line.starts_with(start))
}

/// Whether a line may be what a power cut leaves in the place of lines that were being written: zeros, or
/// what lay there before. What begins or ends like one of ours was changed by somebody.
fn is_torn(line: &[u8]) -> bool {
    !line.starts_with(b"{\"") && !line.ends_with(b"}")
}

/// Whether this begins as a manifest does, perhaps cut off in its first line, or is nothing at all.
pub fn looks_like_manifest(text: &[u8]) -> bool {
    const HEAD: &[u8] = b"{\"section\":";
    HEAD.starts_with(text) || text.starts_with(HEAD) || text.iter().all(|&b| b == 0)
}

/// Whether section `later` tells of the same source as `earlier` did, as it was afterwards. Both count
/// from 0.
pub fn follows(sections: &[Outline<'_>], later: usize, earlier: usize) -> bool {
    let before = |n: usize| sections[n].head.follows.and_then(|k| k.checked_sub(1)).filter(|&k| k < n);
    std::iter::successors(before(later), |&n| before(n)).any(|n| n == earlier)
}

impl Outline<'_> {
    /// All lines of the section, parsed. In an open section whatever follows a line that was torn is
    /// passed over.
    pub fn read(&self) -> Result<Section> {
        let (mut messages, mut gaps) = (Vec::new(), Vec::new());
        for (n, line) in self.lines.split(|&b| b == b'\n').enumerate().skip(1).filter(|(_, l)| !l.is_empty())
        {
            let parsed = if line.starts_with(b"{\"gap\":") {
                serde_json::from_slice(line).map(|gap| gaps.push(gap))
            } else {
                serde_json::from_slice(line).map(|message| messages.push(message))
            };
            match parsed {
                Ok(()) => {}
                Err(_) if self.tail.is_none() && is_torn(line) => break,
                Err(error) => {
                    let (path, line) = (self.path.to_owned(), self.first_line + n as u64);
                    return Err(Error::Manifest { path, line, reason: error.to_string() });
                }
            }
        }
        Ok(Section { head: self.head.clone(), messages, gaps, tail: self.tail.clone() })
    }

    /// The messages' names with their From_ lines and nothing else, for those who need no more: in
    /// parallel, and at a third of the work. Lines that do not parse are passed over.
    pub fn names(&self) -> Vec<MessageName> {
        self.parts()
    }

    /// The same, of a section of a Maildir: by which names its messages are known there, and their lengths.
    pub fn copied_names(&self) -> Vec<CopiedName> {
        self.parts()
    }

    fn parts<T: for<'de> Deserialize<'de> + Send>(&self) -> Vec<T> {
        let lines: Vec<&[u8]> = self.lines.split(|&b| b == b'\n').skip(1).collect();
        let messages = lines.par_iter().filter(|line| line.starts_with(b"{\"at\":"));
        messages.filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }
}

/// See [`Outline::copied`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CopiedName {
    /// The base name of its file.
    pub name: Bytes,
    /// See [`Message::original`].
    #[serde(default)]
    pub original: Option<Bytes>,
    /// Its length.
    pub len: u64,
}

/// See [`Outline::names`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MessageName {
    /// The base name of its file.
    pub name: Bytes,
    /// Its From_ lines, verbatim.
    #[serde(default)]
    pub from: Bytes,
}

/// A manifest being appended to. Dropped before [`Appending::keep`] it takes back what it wrote.
#[derive(Debug)]
pub struct ManifestAppender {
    dir: Dir,
    name: OsString,
    file: File,
    path: PathBuf,
    /// How long it was before.
    before: u64,
    kept: bool,
}

impl ManifestAppender {
    /// Opens a manifest to append to. The caller holds the lock of its Maildir. What stands behind byte
    /// `end`, the end of a line, was left by a killed run and is cut off, for good before this returns:
    /// nothing must be listed that is about to be removed.
    pub fn open(dir: &Dir, name: &OsStr, end: u64) -> Result<ManifestAppender> {
        let path = dir.path().join(name);
        let file = dir.open_append(name, 0o600)?;
        let length = file.metadata().map_err(Error::io("look at", &path))?.len();
        if length > end {
            durable::truncate(&file, end).map_err(Error::io("cut the torn end of", &path))?;
            durable::sync_file(&file).map_err(Error::io("flush", &path))?;
        }
        Ok(ManifestAppender {
            dir: dir.try_clone()?,
            name: name.to_owned(),
            file,
            path,
            before: end,
            kept: false,
        })
    }

    /// Adds whole lines.
    pub fn append(&mut self, lines: &[u8]) -> Result<()> {
        durable::write_all(&self.file, lines).map_err(Error::io("write", &self.path))
    }

    /// From here on what was written stays, however the run ends.
    pub fn commit(&mut self) {
        self.kept = true;
    }

    /// Dates a manifest that is new: the same conversion gives the same tree, times included. (When it
    /// ran is no part of what it says.)
    pub fn set_mtime(&self, epoch: i64) -> Result<()> {
        durable::set_mtime(&self.file, epoch).map_err(Error::io("set the time of", &self.path))
    }

    /// Brings it to stable storage.
    pub fn sync(&self) -> Result<()> {
        durable::sync_file(&self.file).map_err(Error::io("flush", &self.path))
    }
}

impl Drop for ManifestAppender {
    fn drop(&mut self) {
        if !self.kept {
            // The error that brought us here has been told. If this fails too, an open section stays,
            // which says no more than that a run ended early.
            let _ = match self.before {
                0 => self.dir.unlink(&self.name).is_ok(),
                before => durable::truncate(&self.file, before).is_ok(),
            };
        }
    }
}

/// A head, a tail, a message or a gap as its line.
pub fn to_line(line: &impl Serialize) -> Vec<u8> {
    // None of our types can fail to be written into memory.
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use crate::mailbox::manifest::*;

    fn head() -> SectionHeader {
        SectionHeader {
            section: VERSION,
            program: "mailferry test".into(),
            source: Bytes(b"in\xffbox".to_vec()),
            size: 10,
            blake3: Digest::of(b"whole"),
            lead: 10,
            lead_blake3: Digest::of(b"whole"),
            follows: None,
            variant: "mboxrd".into(),
            evidence: "named".into(),
            separator: Bytes(b"\n".to_vec()),
            cr_only: false,
            eol: "keep".into(),
            labels: None,
            deleted: Some("skip".into()),
            headers: None,
        }
    }

    fn message(at: u64) -> MessageRecord {
        MessageRecord {
            at,
            len: 3,
            from: Bytes(b"From a Mon\n".to_vec()),
            name: Bytes(b"1.x.mailferry,S=3,W=4".to_vec()),
            source: Digest::of(b"abc"),
            file: None,
            content: None,
            quotes: vec![1, 2],
            eols: Vec::new(),
            stripped: vec![(1, Bytes(b"Status: \xff\n".to_vec()))],
            date: "from".into(),
            flags: "S".into(),
            keywords: vec!["Work".into()],
            unlettered: Vec::new(),
            folders: vec![vec![], vec!["A".into(), "Ä".into()]],
            duplicate: false,
            verbatim: None,
            original: None,
        }
    }

    fn tail() -> SectionFooter {
        SectionFooter {
            closes: 1,
            messages: 1,
            mail: 1,
            bytes_messages: 3,
            bytes_from_lines: 0,
            bytes_quoting: 0,
            bytes_separators: 0,
            bytes_junk: 7,
            end: Digest::of(b""),
        }
    }

    /// A section without and with its tail.
    fn section() -> (Vec<u8>, Vec<u8>) {
        let open = [to_line(&head()), to_line(&Gap::new("junk", 0, b"\0x")), to_line(&message(7))].concat();
        let closed = [&open[..], &to_line(&tail().seal(blake3::Hasher::new().update(&open)))].concat();
        (open, closed)
    }

    fn sections(text: &[u8]) -> Result<Vec<Section>> {
        outline(text, Path::new("m"))?.iter().map(Outline::read).collect()
    }

    #[test]
    fn what_is_written_is_read_back_section_by_section() {
        let (open, closed) = section();
        let text = [closed, open].concat();
        let got = sections(&text).unwrap();
        assert_eq!(got.len(), 2);
        assert_eq!(got[0].head, head());
        assert_eq!(got[0].messages, [message(7)]);
        assert_eq!(got[0].gaps[0].bytes().unwrap(), b"\0x");
        assert!(got[0].tail.is_some() && got[1].tail.is_none());
        assert_eq!(got[1].messages, [message(7)]);
    }

    #[test]
    fn a_torn_end_is_passed_over_and_a_changed_line_refused() {
        let (_, closed) = section();
        for cut in 0..closed.len() {
            let got = sections(&closed[..cut]).unwrap();
            assert!(got.iter().all(|s| s.tail.is_none()), "cut at {cut}");
        }
        for at in 0..closed.len() - 1 {
            let mut changed = closed.clone();
            changed[at] ^= 1;
            assert!(sections(&changed).is_err(), "a flip at byte {at} was not noticed");
        }
    }
}
