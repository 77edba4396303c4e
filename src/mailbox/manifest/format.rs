//! The lines of a manifest.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

use super::ByteCounts;
use crate::mailbox::escape;
use crate::mailbox::message::Selection;
use crate::mailbox::source::mapped;

/// The version that this module writes, and the only one that it reads.
pub(crate) const VERSION: u32 = 1;

/// How many leading bytes of a source have a hash of their own.
///
/// Few, so that a source stays recognizable after a mail reader rewrites the Status of the first message. Enough for
/// the first From_ line and the first fields.
pub(crate) const LEAD: u64 = 256;

/// The variant of a Maildir.
const MAILDIR: &str = "maildir";

/// A BLAKE3 hash in hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest(pub [u8; 32]);

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Digest {
        mapped::hash(bytes).into()
    }
}

/// The hash of no bytes.
impl Default for Digest {
    fn default() -> Digest {
        Digest::of(b"")
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Digest {
        Digest(*hash.as_bytes())
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut hex = [0; 64];
        serializer.serialize_str(HEXLOWER.encode_mut_str(&self.0, &mut hex))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        deserializer.deserialize_str(DigestVisitor)
    }
}

/// Reads hexadecimal digits where they are.
struct DigestVisitor;

impl Visitor<'_> for DigestVisitor {
    type Value = Digest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("64 hexadecimal digits")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Digest, E> {
        let mut digest = [0; 32];
        match text.len() == 64 && HEXLOWER_PERMISSIVE.decode_mut(text.as_bytes(), &mut digest).is_ok() {
            true => Ok(Digest(digest)),
            false => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

/// Bytes in JSON: a string if they are UTF-8, else an object with base64.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Bytes(pub Vec<u8>);

impl Bytes {
    pub(crate) fn of_path(path: &Path) -> Bytes {
        Bytes(path.as_os_str().as_bytes().to_vec())
    }

    pub(crate) fn escaped(&self) -> String {
        escape(&self.0)
    }

    pub(crate) fn to_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    pub(crate) fn is_path(&self, path: &Path) -> bool {
        path.as_os_str().as_bytes() == self.0
    }
}

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Base64 { base64: BASE64.encode(&self.0) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        Ok(Bytes(BytesRef::deserialize(deserializer)?.0.into_owned()))
    }
}

/// [`Bytes`] that are read from a line: part of the line where they are a string without escapes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct BytesRef<'a>(pub Cow<'a, [u8]>);

impl<'de: 'a, 'a> Deserialize<'de> for BytesRef<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<BytesRef<'a>, D::Error> {
        deserializer.deserialize_any(BytesVisitor)
    }
}

/// Reads both forms of [`Bytes`]. An untagged enum would first copy each value.
struct BytesVisitor;

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = BytesRef<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an object with base64")
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<BytesRef<'de>, E> {
        Ok(BytesRef(Cow::Borrowed(text.as_bytes())))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<BytesRef<'de>, E> {
        Ok(BytesRef(Cow::Owned(text.as_bytes().to_vec())))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BytesRef<'de>, A::Error> {
        let Base64 { base64 } = Base64::deserialize(MapAccessDeserializer::new(map))?;
        let bytes = BASE64.decode(base64.as_bytes()).map_err(serde::de::Error::custom)?;
        Ok(BytesRef(Cow::Owned(bytes)))
    }
}

/// Bytes that are not UTF-8.
#[derive(Serialize, Deserialize)]
struct Base64 {
    base64: String,
}

/// The first line of a section.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SectionHeader {
    pub section: u32,
    pub program: String,
    /// See [`source_name`](super::source_name).
    pub source: Bytes,
    /// The uncompressed size.
    pub size: u64,
    /// The hash of the whole source.
    pub blake3: Digest,
    /// The number of bytes in `lead_blake3`.
    pub lead: u64,
    pub lead_blake3: Digest,
    /// The number, from 1, of the section about an earlier state of the same source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<usize>,
    /// The last hash in the manifest before this line, of a footer or of a folder's line. So a section that is missing
    /// is noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// The path of the folder below the root of its tree, whose manifest lists it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<Bytes>,
    pub variant: String,
    /// The evidence for the variant.
    pub evidence: String,
    /// The bytes between two messages, except in gaps.
    pub separator: Bytes,
    /// The lines of the source end in CR, and those of the messages in LF.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cr_only: bool,
    /// `keep`, `lf` or `crlf`, from `--eol`.
    pub eol: String,
    /// From `--labels`, if not `keywords`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// From `--deleted`, if not `flag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<String>,
    /// From `--headers`, if not `keep`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<String>,
    /// From `--date`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// From `--from-zone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_zone: Option<String>,
    /// From `--host`, if not `mailferry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// From `--dedupe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedupe: Option<String>,
    /// From `--split`: `year`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// From `--since` and `--before`.
    #[serde(flatten)]
    pub selection: Selection,
    /// The hashes of the lists of UIDs after the run, by file name. Only a list with this hash is extended.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub uid_lists: BTreeMap<String, Digest>,
}

/// A message of the source. They are in file order.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MessageRecord {
    /// The offset of its first byte (after its From_ lines) in the source.
    pub at: u64,
    /// The length in the source.
    pub len: u64,
    /// The From_ lines, unchanged.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub from: Bytes,
    /// The base name of the file: the part before the info.
    pub name: Bytes,
    /// The hash of its bytes in the source, without From_ lines.
    pub source: Digest,
    /// The hash of the file, if it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Digest>,
    /// The hash of its bytes in the source without volatile fields (Status and so on), if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Digest>,
    /// The offsets of the removed quoting `>` in the quoted message. Each is relative to the one before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotes: Vec<u64>,
    /// The line ends that were changed, as run lengths: lines with a changed end, lines with an unchanged end, and so
    /// on. After the last run none was changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub eols: Vec<u64>,
    /// The fields that were removed from its header, each with its offset in the quoted message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stripped: Vec<(u64, Bytes)>,
    /// The origin of its date.
    pub date: Cow<'static, str>,
    /// The flags at the conversion.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub flags: String,
    /// The keywords at the conversion that have a letter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// The keywords without a letter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unlettered: Vec<String>,
    /// The folders of the message, each as its levels. The Maildir itself has no level, and is omitted if it is the
    /// only one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<Vec<String>>,
    /// A duplicate of the named file, without a file of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// The bytes in the source in base64, if those of the named file differ (a header that was rewritten in between;
    /// the same Message-ID with another text).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verbatim: Option<String>,
    /// The base name in the copied Maildir, if that name was taken in the destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Bytes>,
}

impl SectionHeader {
    /// Returns the header for a Maildir that is copied. Its bytes are unknown before.
    pub(crate) fn for_maildir(program: &str, source: &Path) -> SectionHeader {
        SectionHeader {
            section: VERSION,
            program: program.into(),
            source: Bytes::of_path(source),
            variant: MAILDIR.into(),
            evidence: "it has cur and new".into(),
            eol: "keep".into(),
            ..SectionHeader::default()
        }
    }

    pub(crate) fn is_maildir(&self) -> bool {
        self.variant == MAILDIR
    }
}

fn is_empty(bytes: &Bytes) -> bool {
    bytes.0.is_empty()
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl MessageRecord {
    pub(crate) fn file_digest(&self) -> Digest {
        self.file.unwrap_or(self.source)
    }

    pub(crate) fn content_digest(&self) -> Digest {
        self.content.unwrap_or(self.source)
    }
}

/// A range of the source outside of messages that is not the usual separator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gap {
    /// `separator`, `junk`, `pseudo` or `skipped`.
    pub gap: String,
    pub at: u64,
    /// In base64.
    pub bytes: String,
}

impl Gap {
    pub(crate) fn new(kind: &str, at: u64, bytes: &[u8]) -> Gap {
        Gap { gap: kind.to_owned(), at, bytes: BASE64.encode(bytes) }
    }

    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        BASE64.decode(self.bytes.as_bytes()).ok()
    }
}

/// A range of the source with adjacent messages that were not selected, from the first From_ line to the end of the
/// last message. One line for many messages: a selection may leave out nearly all of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnselectedRange {
    /// The number of messages, at least 1.
    pub unselected: u64,
    pub at: u64,
    pub len: u64,
    /// The hash of these bytes.
    pub source: Digest,
}

impl UnselectedRange {
    /// Returns its bytes in a source, if they are unchanged.
    pub(crate) fn bytes_in<'r>(&self, raw: &'r [u8]) -> Option<&'r [u8]> {
        let at = usize::try_from(self.at).ok()?;
        let bytes = raw.get(at..at.checked_add(self.len.try_into().ok()?)?)?;
        (Digest::of(bytes) == self.source).then_some(bytes)
    }
}

/// The line that closes a section. It is written when the messages are safe, after the lines of all sections of the
/// same run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SectionFooter {
    /// The number of the section, from 1.
    pub closes: usize,
    /// The number of messages in the source.
    pub messages: u64,
    /// The number of them that became mail: not the pseudo message, nor skipped or unselected ones.
    pub mail: u64,
    /// The number of messages that were not selected. Above 0 the section is *partial*: another selection adds to it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_selected: u64,
    #[serde(flatten)]
    pub bytes: ByteCounts,
    /// The hash of the lines of the section, and of this line up to the first digit of the hash.
    pub end: Digest,
}

impl SectionFooter {
    pub(super) fn balances(&self, header: &SectionHeader) -> bool {
        let size = if header.is_maildir() { self.bytes.messages } else { header.size };
        let left_out = self.messages.checked_sub(self.mail);
        self.bytes.balances(size) && left_out.is_some_and(|left_out| self.not_selected <= left_out)
    }

    /// Sets the hash. `lines` has hashed the lines of the section.
    pub(crate) fn seal(self, lines: &blake3::Hasher) -> SectionFooter {
        let line = to_line(&self);
        let end = lines.clone().update(before_end(line.trim_ascii_end())).finalize().into();
        SectionFooter { end, ..self }
    }
}

/// The state of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceState {
    /// The uncompressed size; for a Maildir, the number of its messages.
    pub size: u64,
    /// The hash of the source; for a Maildir, of its base names.
    pub blake3: Digest,
}

impl SourceState {
    /// Returns the state of this source and the next one.
    pub(crate) fn join(self, next: SourceState) -> SourceState {
        let blake3 = Digest::of(&[self.blake3.0, next.blake3.0].concat());
        SourceState { size: self.size + next.size, blake3 }
    }
}

/// A folder of a tree, in the manifest of the root. A later line about the same folder replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FolderRecord {
    /// The path below the root that convert gives it.
    pub folder: Bytes,
    /// The path below the root where it is, if the user moved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<Bytes>,
    /// The hash of the first line of the folder's manifest.
    pub id: Digest,
    /// The last hash in the folder's manifest. The folder's manifest is written first, so it may have later ones.
    pub state: Digest,
    /// The state of its mailbox when it was converted. It shows which mail is new when the folder is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceState>,
    /// The last hash in this manifest before this line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// The hash of this line up to the first digit of the hash.
    pub end: Digest,
}

impl FolderRecord {
    /// Returns the path below the root where it was last.
    pub(crate) fn path(&self) -> &Path {
        self.moved.as_ref().unwrap_or(&self.folder).to_path()
    }

    /// Sets the hash.
    pub(crate) fn seal(self) -> FolderRecord {
        let end = Digest::of(before_end(to_line(&self).trim_ascii_end()));
        FolderRecord { end, ..self }
    }
}

/// Returns a line up to its hash, which is its last value.
pub(super) fn before_end(line: &[u8]) -> &[u8] {
    const HASH: usize = 64 + "\"}".len();
    &line[..line.len().saturating_sub(HASH)]
}

/// Formats a line.
pub(crate) fn to_line(line: &impl Serialize) -> Vec<u8> {
    // Writing these types into memory cannot fail.
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text
}
