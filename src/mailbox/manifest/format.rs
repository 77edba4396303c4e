//! The lines of a manifest as types; serde fixes how they are written.

use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::byte_counts::ByteCounts;

use crate::mailbox::text::escape;

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
        escape(&self.0)
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
    #[serde(flatten)]
    pub bytes: ByteCounts,
    /// BLAKE3 of the lines of the section, from its head on, and of this one up to the first digit of
    /// the hash.
    pub end: Digest,
}

impl SectionFooter {
    pub(super) fn balances(&self, head: &SectionHeader) -> bool {
        let size = if head.is_maildir() { self.bytes.messages } else { head.size };
        self.bytes.balances(size) && self.mail <= self.messages
    }

    /// The tail with the hash that seals it. `lines` has hashed the lines of the section.
    pub fn seal(self, lines: &blake3::Hasher) -> SectionFooter {
        let line = to_line(&self);
        let end = lines.clone().update(before_end(line.trim_ascii_end())).finalize().into();
        SectionFooter { end, ..self }
    }
}

/// A tail's line up to its hash, which is its last value.
pub(super) fn before_end(line: &[u8]) -> &[u8] {
    const HASH: usize = 64 + "\"}".len();
    &line[..line.len().saturating_sub(HASH)]
}

/// A head, a tail, a message or a gap as its line.
pub fn to_line(line: &impl Serialize) -> Vec<u8> {
    // None of our types can fail to be written into memory.
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text
}
