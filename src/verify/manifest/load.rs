//! Reading of the manifests of a Maildir and its folders.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::mailbox::manifest::{
    self, BytesRef, Digest, FolderRecord, Gap, ManifestLocation, ManifestText, MessageRecord, Outline,
    Section, SectionFooter, SectionHeader, UnselectedRange,
};
use crate::mailbox::text::plural;
use crate::mailbox::{Code, Error, Finding, Result};
use crate::verify::VerifyOptions;

/// A valid manifest.
#[derive(Debug)]
pub(crate) struct LoadedManifest {
    pub(crate) path: PathBuf,
    /// The position of its folder among all folders.
    pub(super) folder: usize,
    text: ManifestText,
    pub(super) sections: Vec<Section<MessageLine>>,
    /// The number of messages before each section.
    starts: Vec<usize>,
    /// True if a section is the newest one of its source; parallel to `sections`.
    pub(super) newest: Vec<bool>,
    /// The folders of a tree, oldest line first.
    pub(crate) listed: Vec<FolderRecord>,
}

impl LoadedManifest {
    pub(super) fn newest_sections(&self) -> impl Iterator<Item = &Section<MessageLine>> {
        self.sections_with_age().filter_map(|(section, newest)| newest.then_some(section))
    }

    /// Returns all sections, each with true if it is the newest one of its source.
    pub(super) fn sections_with_age(&self) -> impl Iterator<Item = (&Section<MessageLine>, bool)> {
        self.sections.iter().zip(self.newest.iter().copied())
    }
}

/// Reads the manifests of a Maildir and its folders. The Maildir is at the position `first` among all folders. A
/// damaged manifest is reported and not used.
pub(crate) fn load(
    folders: &[PathBuf],
    first: usize,
    options: &VerifyOptions<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<LoadedManifest>> {
    let mut manifests = Vec::new();
    for (folder, directory) in (first..).zip(folders) {
        let manifest = match ManifestLocation::named(options.manifest.filter(|_| folder == first)) {
            location @ ManifestLocation::File(_) => location.load_existing(directory).map(Some),
            location => location.load(directory),
        };
        let loaded = manifest.and_then(|manifest| {
            manifest.map(|(path, text)| LoadedManifest::parse(text, path, folder, findings)).transpose()
        });
        match loaded {
            Ok(manifest) => manifests.extend(manifest),
            Err(error) if is_damage(&error) => findings.push(error_finding(&error, directory)),
            Err(error) => return Err(error),
        }
    }
    Ok(manifests)
}

/// Reports whether an error is about what a manifest or list is: it has an invalid line, or is not a regular file.
pub(crate) fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Manifest { .. }) || error.is(ErrorKind::Other)
}

/// Returns the finding about a manifest of `maildir` that is damaged.
pub(crate) fn error_finding(error: &Error, maildir: &Path) -> Finding {
    damage_finding(error.path().unwrap_or(maildir), error.without_path())
}

/// Returns the finding about a manifest that is damaged.
pub(crate) fn damage_finding(path: &Path, message: String) -> Finding {
    let finding = Finding::new(Code::ManifestDamaged, message).in_file(path);
    finding.with_hint("restore it from a backup; without it nothing shows what was converted")
}

impl LoadedManifest {
    fn parse(
        text: ManifestText,
        path: PathBuf,
        folder: usize,
        findings: &mut Vec<Finding>,
    ) -> Result<LoadedManifest> {
        let manifest = manifest::parse(&text, &path)?;
        if manifest.sections.is_empty() && manifest.folders.is_empty() {
            return Err(Error::Manifest { path, line: 1, reason: "does not begin a section".into() });
        }
        if manifest.sections.iter().any(|section| section.footer.is_none()) {
            check_lines(&text, &path)?;
        } else {
            findings.extend(tail_finding(manifest.tail, &path));
        }
        let newest = manifest.superseded(|_| ()).into_iter().map(|superseded| !superseded).collect();
        let read = |outline: &Outline<'_>| outline.read_with(|line| MessageLine::parse(line, &text));
        let sections: Vec<Section<MessageLine>> =
            manifest.sections.iter().map(read).collect::<Result<_>>()?;
        let starts = sections.iter().scan(0, |next, section| {
            let start = *next;
            *next += section.messages.len();
            Some(start)
        });
        let (starts, listed) = (starts.collect(), manifest.folders);
        Ok(LoadedManifest { path, folder, text, sections, starts, newest, listed })
    }

    /// Returns the lines of the messages of all sections, in order, each with its section.
    pub(super) fn messages(&self) -> impl Iterator<Item = (&Section<MessageLine>, &MessageLine)> {
        self.sections.iter().flat_map(|section| section.messages.iter().map(move |line| (section, line)))
    }

    pub(super) fn message_count(&self) -> usize {
        self.sections.iter().map(|section| section.messages.len()).sum()
    }

    /// Returns one of [`messages`](LoadedManifest::messages), which there must be.
    pub(super) fn line(&self, number: usize) -> &MessageLine {
        let section = self.starts.partition_point(|&start| start <= number) - 1;
        &self.sections[section].messages[number - self.starts[section]]
    }

    /// Returns the base name of a message.
    pub(super) fn name<'a>(&'a self, line: &'a MessageLine) -> &'a [u8] {
        match &line.name {
            Name::InLine { start, length } => &self.text[line.at + *start as usize..][..usize::from(*length)],
            Name::Escaped(name) => name,
        }
    }

    /// Releases the memory of some lines of a mapped manifest. They stay readable.
    pub(super) fn release(&self, lines: &[MessageLine]) {
        if let ([first, .., last], ManifestText::Mapped(map)) = (lines, &self.text) {
            map.release(first.at..last.at);
        }
    }

    /// Parses all of a line.
    pub(super) fn record(&self, line: &MessageLine) -> Result<MessageRecord> {
        let rest = &self.text[line.at..];
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        serde_json::from_slice(&rest[..end]).map_err(|error| {
            let before = memchr::memchr_iter(b'\n', &self.text[..line.at]).count() as u64;
            Error::Manifest { path: self.path.clone(), line: before + 1, reason: error.to_string() }
        })
    }
}

/// The line of a message, reduced to what nearly every message is compared by. The rest is parsed when it is needed:
/// a whole record takes ten times the memory.
#[derive(Debug)]
pub(crate) struct MessageLine {
    /// The offset of the line in the manifest.
    at: usize,
    name: Name,
    /// The hash of the file.
    pub(super) digest: Digest,
    /// The letters, and zeros after them.
    flags: [u8; MOST_FLAGS],
    /// True for a message with folders, with keywords or with more letters.
    pub(super) has_more: bool,
}

/// maildir(5) has as many.
const MOST_FLAGS: usize = 6;

/// The base name of a message.
#[derive(Debug)]
enum Name {
    /// In the line, without escapes.
    InLine {
        start: u32,
        length: u16,
    },
    Escaped(Vec<u8>),
}
impl MessageLine {
    /// Parses a line of the manifest.
    fn parse(line: &[u8], manifest: &[u8]) -> serde_json::Result<MessageLine> {
        let fields: Fields<'_> = serde_json::from_slice(line)?;
        let name = match fields.name.0 {
            Cow::Borrowed(name) => {
                let start = u32::try_from(offset_in(line, name)).ok().zip(u16::try_from(name.len()).ok());
                start.map(|(start, length)| Name::InLine { start, length }).ok_or(name.to_vec())
            }
            Cow::Owned(name) => Err(name),
        };
        let (mut flags, letters) = ([0; MOST_FLAGS], fields.flags.as_bytes());
        let fits = letters.len() <= MOST_FLAGS && !letters.contains(&0);
        flags.iter_mut().zip(letters).for_each(|(flag, letter)| *flag = *letter);
        Ok(MessageLine {
            at: offset_in(manifest, line),
            name: name.unwrap_or_else(Name::Escaped),
            digest: fields.file.unwrap_or(fields.source),
            flags,
            has_more: !(fits && fields.keywords.is_empty() && fields.folders.is_empty()),
        })
    }

    /// Returns the flags at the conversion, unless [`has_more`](MessageLine::has_more).
    pub(super) fn flags(&self) -> &[u8] {
        let length = self.flags.iter().take_while(|&&letter| letter != 0).count();
        &self.flags[..length]
    }
}

/// Returns the offset of a part in its whole.
fn offset_in(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr() - whole.as_ptr().addr()
}

/// The fields of a [`MessageRecord`] that are looked at, and those that it must have.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(rename = "at")]
    _at: u64,
    #[serde(rename = "len")]
    _len: u64,
    #[serde(borrow)]
    name: BytesRef<'a>,
    source: Digest,
    #[serde(default)]
    file: Option<Digest>,
    #[serde(borrow, rename = "date")]
    _date: Cow<'a, str>,
    #[serde(borrow, default)]
    flags: Cow<'a, str>,
    #[serde(default)]
    keywords: Vec<IgnoredAny>,
    #[serde(default)]
    folders: Vec<IgnoredAny>,
}

/// Returns the finding about bytes after the last line: the beginning of a line that a killed run wrote, or junk.
pub(crate) fn tail_finding(tail: &[u8], path: &Path) -> Option<Finding> {
    if tail.is_empty() {
        return None;
    }
    let length = plural(tail.len() as u64, "byte");
    let is_cut_off = |error: serde_json::Error| error.is_eof();
    if serde_json::from_slice::<SectionHeader>(tail).is_err_and(is_cut_off)
        || serde_json::from_slice::<FolderRecord>(tail).is_err_and(is_cut_off)
    {
        let text = format!("ends with {length} of a line: a conversion was killed, or is running");
        let finding = Finding::new(Code::ConversionUnfinished, text).in_file(path);
        return Some(finding.with_hint("run the same convert command again to complete it"));
    }
    let text = format!("ends with {length} that are not a line");
    let finding = Finding::new(Code::ManifestDamaged, text).in_file(path);
    Some(finding.with_hint("the next conversion into this Maildir removes them"))
}

/// Checks the lines of a manifest with an open section, which has no hash. A kill truncates only the last line, so
/// every other one must parse, and the last one must be the beginning of a line.
fn check_lines(text: &[u8], path: &Path) -> Result<()> {
    for (n, line) in text.split_inclusive(|&b| b == b'\n').enumerate() {
        let parsed = match () {
            () if line.starts_with(b"{\"section\":") => serde_json::from_slice::<SectionHeader>(line).err(),
            () if line.starts_with(b"{\"closes\":") => serde_json::from_slice::<SectionFooter>(line).err(),
            () if line.starts_with(b"{\"folder\":") => serde_json::from_slice::<FolderRecord>(line).err(),
            () if line.starts_with(b"{\"unselected\":") => {
                serde_json::from_slice::<UnselectedRange>(line).err()
            }
            () if line.starts_with(b"{\"gap\":") => serde_json::from_slice::<Gap>(line).err(),
            () => serde_json::from_slice::<MessageRecord>(line).err(),
        };
        let is_truncated = !line.ends_with(b"\n");
        if let Some(error) = parsed.filter(|error| !(is_truncated && error.is_eof())) {
            let reason = format!("is not a line of a manifest: {error}");
            return Err(Error::Manifest { path: path.to_owned(), line: n as u64 + 1, reason });
        }
    }
    Ok(())
}
