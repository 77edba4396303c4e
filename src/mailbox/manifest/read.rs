//! Reading a manifest.

use std::collections::HashSet;
use std::hash::Hash;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;

use super::format::before_end;
use super::source_name::short_source;
use super::{
    Bytes, BytesRef, Digest, FolderRecord, Gap, MessageRecord, SectionFooter, SectionHeader, UnselectedRange,
    VERSION,
};
use crate::mailbox::source::mapped::{self, ForwardReader};
use crate::mailbox::{Error, Result};

/// A parsed section. What is kept of the line of a message is for the caller to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section<M = MessageRecord> {
    pub header: SectionHeader,
    /// In file order.
    pub messages: Vec<M>,
    /// In file order.
    pub gaps: Vec<Gap>,
    /// In file order. With any the section is partial.
    pub unselected: Vec<UnselectedRange>,
    /// `None` while the section is open.
    pub footer: Option<SectionFooter>,
    /// The number of its header's line in the manifest, from 1.
    pub first_line: u64,
}

impl<M> Section<M> {
    /// Returns the path of the source, to open it and to show it.
    pub(crate) fn source(&self) -> PathBuf {
        short_source(self.header.source.to_path())
    }
}

/// A section whose messages are not parsed. Recognizing a source needs only headers and footers.
#[derive(Debug, Clone)]
pub(crate) struct Outline<'a> {
    pub header: SectionHeader,
    /// `None` while the section is open.
    pub footer: Option<SectionFooter>,
    /// The offset of its header in the manifest.
    pub at: usize,
    /// The lines without the footer.
    lines: &'a [u8],
    path: &'a Path,
    first_line: u64,
}

/// A manifest divided into sections, which are numbered from 0.
#[derive(Debug, Default)]
pub(crate) struct Manifest<'a> {
    pub sections: Vec<Outline<'a>>,
    /// The folders of a tree, oldest line first.
    pub folders: Vec<FolderRecord>,
    /// The last hash, of a footer or of a folder's line. The next header repeats it.
    pub hash: Option<Digest>,
    /// The complete lines.
    pub lines: &'a [u8],
    /// The bytes after the last line.
    pub tail: &'a [u8],
}

/// Divides a manifest into sections.
///
/// # Errors
/// [`Error::Manifest`] for a closed section with a wrong hash, a section or folder that does not continue the line
/// before it, and an invalid line.
pub(crate) fn parse<'a>(text: &'a [u8], path: &'a Path) -> Result<Manifest<'a>> {
    let end = memchr::memrchr(b'\n', text).map_or(0, |lf| lf + 1);
    let (lines, tail) = text.split_at(end);
    let mut parser = Parser { manifest: Manifest { lines, tail, ..Manifest::default() }, path, line: 0 };
    let (mut at, mut reader) = (0, ForwardReader::new(lines));
    for end in memchr::memchr_iter(b'\n', lines) {
        parser.line += 1;
        parser.add(&lines[at..end], at)?;
        at = end + 1;
        reader.reached(at);
    }
    Ok(parser.manifest)
}

struct Parser<'a> {
    manifest: Manifest<'a>,
    path: &'a Path,
    /// The number of the line, from 1.
    line: u64,
}

impl<'a> Parser<'a> {
    fn damaged(&self, reason: impl Into<String>) -> Error {
        Error::Manifest { path: self.path.to_owned(), line: self.line, reason: reason.into() }
    }

    fn json<T: for<'de> Deserialize<'de>>(&self, line: &[u8]) -> Result<T> {
        serde_json::from_slice(line).map_err(|e| self.damaged(e.to_string()))
    }

    fn check_previous(&self, previous: Option<Digest>) -> Result<()> {
        match previous == self.manifest.hash {
            true => Ok(()),
            false => {
                Err(self.damaged("does not continue the lines before it: something was cut out or moved"))
            }
        }
    }

    /// Adds the line at an offset.
    fn add(&mut self, line: &[u8], at: usize) -> Result<()> {
        let text = self.manifest.lines;
        let through_here = at + line.len() + 1;
        if line.starts_with(SECTION) {
            let header: SectionHeader = self.json(line)?;
            if header.section != VERSION {
                return Err(self.damaged("has a format version that this mailferry cannot read"));
            }
            self.check_previous(header.previous)?;
            self.manifest.sections.push(Outline {
                header,
                footer: None,
                at,
                lines: &text[at..through_here],
                path: self.path,
                first_line: self.line,
            });
        } else if line.starts_with(CLOSES) {
            self.close(line)?;
        } else if line.starts_with(FOLDER) {
            let record: FolderRecord = self.json(line)?;
            if Digest::of(before_end(line)) != record.end {
                return Err(self.damaged("names a folder and was changed since"));
            }
            self.check_previous(record.previous)?;
            self.manifest.hash = Some(record.end);
            self.manifest.folders.push(record);
        } else if let Some(section) = self.manifest.sections.last_mut().filter(|s| s.end() == at) {
            if !is_line_of_section(line) && !is_torn(line) {
                return Err(self.damaged("is not a line of a manifest"));
            }
            section.lines = &text[section.at..through_here];
        } else {
            return Err(self.damaged("is not in a section"));
        }
        Ok(())
    }

    fn close(&mut self, line: &[u8]) -> Result<()> {
        /// Threads gain nothing for fewer bytes.
        const LARGE: usize = 1 << 18;
        let footer: SectionFooter = self.json(line)?;
        let number = footer.closes.checked_sub(1);
        let open = number.and_then(|n| self.manifest.sections.get(n)).filter(|s| s.footer.is_none());
        let (Some(number), Some(section)) = (number, open) else {
            return Err(self.damaged("closes a section that is not open"));
        };
        let mut hasher = blake3::Hasher::new();
        for window in mapped::windows(section.lines) {
            match window.len() < LARGE {
                true => hasher.update(window),
                false => hasher.update_rayon(window),
            };
        }
        if Digest::from(hasher.update(before_end(line)).finalize()) != footer.end {
            return Err(self.damaged("closes a section that was changed since"));
        }
        if !footer.balances(&section.header) {
            return Err(self.damaged("has impossible sums"));
        }
        self.manifest.hash = Some(footer.end);
        self.manifest.sections[number].footer = Some(footer);
        Ok(())
    }
}

impl Manifest<'_> {
    /// Returns the section about an earlier state of the source of section `n`.
    fn earlier(&self, n: usize) -> Option<usize> {
        self.sections[n].header.follows.and_then(|k| k.checked_sub(1)).filter(|&k| k < n)
    }

    /// Returns the sections about earlier states of the source of section `n`, the latest first.
    pub(crate) fn earlier_sections(&self, n: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(self.earlier(n), |&n| self.earlier(n))
    }

    /// Reports for each section whether it is about a later state of the source of section `n`.
    pub(crate) fn later_sections(&self, n: usize) -> Vec<bool> {
        let mut is_later = vec![false; self.sections.len()];
        for k in n + 1..is_later.len() {
            is_later[k] = self.earlier(k).is_some_and(|earlier| earlier == n || is_later[earlier]);
        }
        is_later
    }

    /// Reports for each section whether a closed section is about a later state of its source and has the same `key`.
    pub(crate) fn superseded<K: Eq + Hash>(&self, key: impl Fn(&SectionHeader) -> K) -> Vec<bool> {
        let count = self.sections.len();
        // The keys of the closed sections that follow each section.
        let mut keys: Vec<HashSet<K>> = std::iter::repeat_with(HashSet::new).take(count).collect();
        let mut superseded = vec![false; count];
        for n in (0..count).rev() {
            let section = &self.sections[n];
            let mut later = std::mem::take(&mut keys[n]);
            superseded[n] = later.contains(&key(&section.header));
            let Some(earlier) = self.earlier(n) else { continue };
            if section.footer.is_some() {
                later.insert(key(&section.header));
            }
            let mut fewer = std::mem::replace(&mut keys[earlier], later);
            if fewer.len() > keys[earlier].len() {
                std::mem::swap(&mut fewer, &mut keys[earlier]);
            }
            keys[earlier].extend(fewer);
        }
        superseded
    }

    /// Returns the last hash before an offset.
    pub(crate) fn hash_before(&self, at: usize) -> Option<Digest> {
        // A header has it.
        let next = self.sections.iter().find(|section| section.at >= at);
        next.map_or(self.hash, |section| section.header.previous)
    }
}

const SECTION: &[u8] = b"{\"section\":";
const CLOSES: &[u8] = b"{\"closes\":";
const FOLDER: &[u8] = b"{\"folder\":";
const MESSAGE: &[u8] = b"{\"at\":";
const GAP: &[u8] = b"{\"gap\":";
const UNSELECTED: &[u8] = b"{\"unselected\":";

/// Returns the readable headers of a manifest, for callers that only need the options of the conversion. Hashes are
/// not checked.
pub(super) fn read_headers(text: &[u8]) -> Vec<SectionHeader> {
    let starts = memchr::memmem::find_iter(text, SECTION).filter(|&at| at == 0 || text[at - 1] == b'\n');
    let line = |at: usize| &text[at..at + memchr::memchr(b'\n', &text[at..]).unwrap_or(0)];
    starts.filter_map(|at| serde_json::from_slice(line(at)).ok()).collect()
}

fn is_line_of_section(line: &[u8]) -> bool {
    [MESSAGE, GAP, UNSELECTED].iter().any(|start| line.starts_with(start))
}

/// Reports whether a power cut may have left this in place of a line: zeros, or older data. A line that begins or
/// ends like one of a manifest was changed by a program.
fn is_torn(line: &[u8]) -> bool {
    !line.starts_with(b"{\"") && !line.ends_with(b"}")
}

/// Reports whether the text begins as a manifest, perhaps cut off in its first line, or is empty.
pub(crate) fn looks_like_manifest(text: &[u8]) -> bool {
    SECTION.starts_with(text) || text.starts_with(SECTION) || text.iter().all(|&b| b == 0)
}

impl<'a> Outline<'a> {
    /// Reports whether the section is closed, and some of its messages were not selected.
    pub(crate) fn is_partial(&self) -> bool {
        self.footer.as_ref().is_some_and(|footer| footer.not_selected > 0)
    }

    /// Returns the path of the source, to open it and to show it.
    pub(crate) fn source(&self) -> PathBuf {
        short_source(self.header.source.to_path())
    }

    /// Returns the error about a section that is damaged as a whole.
    pub(crate) fn damaged(&self, reason: &str) -> Error {
        Error::Manifest { path: self.path.to_owned(), line: self.first_line, reason: reason.into() }
    }

    /// Returns the offset after its lines, without the footer.
    pub(crate) fn end(&self) -> usize {
        self.at + self.lines.len()
    }

    /// Parses all lines of the section. In an open section the lines after a torn one are ignored.
    pub(crate) fn read(&self) -> Result<Section> {
        self.read_with(serde_json::from_slice)
    }

    /// Reads the section like [`Outline::read`], and parses the lines of its messages with `parse`.
    pub(crate) fn read_with<M: Send>(
        &self,
        parse: impl Fn(&'a [u8]) -> serde_json::Result<M> + Sync,
    ) -> Result<Section<M>> {
        const LINES_AT_ONCE: usize = 1024;
        // Those of a whole section would be in memory twice.
        const BATCH: usize = LINES_AT_ONCE * 64;
        let (header, footer, first_line) = (self.header.clone(), self.footer.clone(), self.first_line);
        let (messages, gaps, unselected) = (Vec::new(), Vec::new(), Vec::new());
        let mut section = Section { header, messages, gaps, unselected, footer, first_line };
        let (text, mut reader) = (self.lines, ForwardReader::new(self.lines));
        let mut ends = memchr::memchr_iter(b'\n', text);
        // The header is parsed.
        let (mut at, mut number) = (ends.next().map_or(0, |end| end + 1), first_line + 1);
        loop {
            let line = |end| &text[std::mem::replace(&mut at, end + 1)..end];
            let lines: Vec<&[u8]> = ends.by_ref().take(BATCH).map(line).collect();
            if lines.is_empty() {
                return Ok(section);
            }
            let parts = lines.par_chunks(LINES_AT_ONCE).map(|lines| ParsedLines::parse(lines, &parse));
            for (n, part) in parts.collect::<Vec<_>>().into_iter().enumerate() {
                section.messages.extend(part.messages);
                section.gaps.extend(part.gaps);
                section.unselected.extend(part.unselected);
                let Some((at, error)) = part.error else { continue };
                let n = n * LINES_AT_ONCE + at;
                if section.footer.is_none() && is_torn(lines[n]) {
                    return Ok(section);
                }
                let (path, line) = (self.path.to_owned(), number + n as u64);
                return Err(Error::Manifest { path, line, reason: error.to_string() });
            }
            number += lines.len() as u64;
            reader.reached(at);
        }
    }

    /// Divides the messages of a closed section into chunks, and parses its other lines.
    pub(crate) fn divide(&self, messages_at_once: usize) -> Result<DividedSection<'a>> {
        let (lines, path) = (self.lines, self.path);
        let mut divided = DividedSection {
            messages: 0,
            gaps: Vec::new(),
            unselected: Vec::new(),
            lines,
            path,
            chunks: Vec::new(),
        };
        let mut at = 0;
        for (number, end) in (self.first_line..).zip(memchr::memchr_iter(b'\n', lines)) {
            let line = NumberedLine { line: &lines[at..end], number, path };
            if line.line.starts_with(GAP) {
                divided.gaps.push(line.parse()?);
            } else if line.line.starts_with(UNSELECTED) {
                divided.unselected.push(line.parse()?);
            } else if at > 0 && line.is_of_message() {
                if divided.messages.is_multiple_of(messages_at_once) {
                    divided.chunks.push((at, number));
                }
                divided.messages += 1;
            }
            at = end + 1;
        }
        Ok(divided)
    }

    /// Returns only the names and From_ lines of the messages: in parallel, and at a third of the cost. Invalid lines
    /// are skipped.
    pub(crate) fn names(&self) -> Vec<MessageName<'a>> {
        self.parts()
    }

    /// Returns only the names and lengths of the messages in a section of a Maildir.
    pub(crate) fn copied_names(&self) -> Vec<CopiedName> {
        self.parts()
    }

    /// Returns the hashes, in the source, of the messages that `--dedupe` left out.
    pub(crate) fn duplicates(&self) -> Vec<Digest> {
        #[derive(Deserialize)]
        struct Duplicate {
            source: Digest,
            #[serde(default)]
            duplicate: bool,
        }
        let all = self.parts::<Duplicate>().into_iter();
        all.filter(|message| message.duplicate).map(|message| message.source).collect()
    }

    fn parts<T: Deserialize<'a> + Send>(&self) -> Vec<T> {
        let (text, mut at) = (self.lines, 0);
        let line = |end| &text[std::mem::replace(&mut at, end + 1)..end];
        let lines: Vec<&[u8]> = memchr::memchr_iter(b'\n', text).map(line).collect();
        let messages = lines.par_iter().filter(|line| line.starts_with(MESSAGE));
        messages.filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }
}

/// A closed section whose messages are parsed in chunks: together they may be too many for the memory.
#[derive(Debug)]
pub(crate) struct DividedSection<'a> {
    /// The number of messages.
    pub messages: usize,
    /// In file order.
    pub gaps: Vec<Gap>,
    /// In file order. With any the section is partial.
    pub unselected: Vec<UnselectedRange>,
    lines: &'a [u8],
    path: &'a Path,
    /// The offset and the number of the first line of each chunk, which is that of a message.
    chunks: Vec<(usize, u64)>,
}

impl<'a> DividedSection<'a> {
    pub(crate) fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    /// Parses the messages of a chunk.
    pub(crate) fn read_chunk<T: Deserialize<'a>>(&self, n: usize) -> Result<Vec<T>> {
        self.messages_of(n).map(|line| line.parse()).collect()
    }

    /// Parses the first message of a chunk; None after the last chunk.
    pub(crate) fn read_first<T: Deserialize<'a>>(&self, n: usize) -> Result<Option<T>> {
        self.messages_of(n).next().map(|line| line.parse()).transpose()
    }

    fn messages_of(&self, n: usize) -> impl Iterator<Item = NumberedLine<'a>> {
        let (start, first) = self.chunks.get(n).copied().unwrap_or((self.lines.len(), 0));
        let end = self.chunks.get(n + 1).map_or(self.lines.len(), |&(end, _)| end);
        let (lines, path) = (&self.lines[start..end], self.path);
        let mut at = 0;
        let all = (first..).zip(memchr::memchr_iter(b'\n', lines)).map(move |(number, end)| {
            let line = &lines[at..end];
            at = end + 1;
            NumberedLine { line, number, path }
        });
        all.filter(NumberedLine::is_of_message)
    }
}

/// A line of a manifest, and its number from 1.
struct NumberedLine<'a> {
    line: &'a [u8],
    number: u64,
    path: &'a Path,
}

impl<'a> NumberedLine<'a> {
    /// Reports whether a line after the header is not one of the other kinds. Whether it is one of a message shows when it
    /// is parsed.
    fn is_of_message(&self) -> bool {
        !self.line.is_empty() && !self.line.starts_with(GAP) && !self.line.starts_with(UNSELECTED)
    }

    fn parse<T: Deserialize<'a>>(&self) -> Result<T> {
        serde_json::from_slice(self.line).map_err(|error| {
            let (path, line) = (self.path.to_owned(), self.number);
            Error::Manifest { path, line, reason: error.to_string() }
        })
    }
}

/// Some lines of a section after its header, up to the first one that cannot be parsed.
struct ParsedLines<M> {
    messages: Vec<M>,
    gaps: Vec<Gap>,
    unselected: Vec<UnselectedRange>,
    /// The position of that line, and why.
    error: Option<(usize, serde_json::Error)>,
}

impl<M> ParsedLines<M> {
    fn parse<'a>(lines: &[&'a [u8]], parse: impl Fn(&'a [u8]) -> serde_json::Result<M>) -> ParsedLines<M> {
        let messages = Vec::with_capacity(lines.len());
        let mut parsed = ParsedLines { messages, gaps: Vec::new(), unselected: Vec::new(), error: None };
        for (n, line) in lines.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
            let added = match () {
                () if line.starts_with(GAP) => serde_json::from_slice(line).map(|gap| parsed.gaps.push(gap)),
                () if line.starts_with(UNSELECTED) => {
                    serde_json::from_slice(line).map(|range| parsed.unselected.push(range))
                }
                () => parse(line).map(|message| parsed.messages.push(message)),
            };
            if let Err(error) = added {
                parsed.error = Some((n, error));
                break;
            }
        }
        parsed
    }
}

/// See [`Outline::copied_names`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct CopiedName {
    pub name: Bytes,
    /// See [`MessageRecord::original`].
    #[serde(default)]
    pub original: Option<Bytes>,
    pub len: u64,
}

/// See [`Outline::names`].
#[derive(Debug, Deserialize)]
pub(crate) struct MessageName<'a> {
    #[serde(borrow)]
    pub name: BytesRef<'a>,
    #[serde(borrow, default)]
    pub from: BytesRef<'a>,
}
