//! Reading a manifest.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;

use super::format::before_end;
use super::source_name::short_source;
use super::{Bytes, Digest, Gap, MessageRecord, SectionFooter, SectionHeader, VERSION};
use crate::mailbox::{Error, Result};

/// A parsed section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub header: SectionHeader,
    /// In file order.
    pub messages: Vec<MessageRecord>,
    /// In file order.
    pub gaps: Vec<Gap>,
    /// `None` while the section is open.
    pub footer: Option<SectionFooter>,
}

impl Section {
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

/// Divides a manifest into sections.
///
/// # Errors
/// [`Error::Manifest`] for a closed section with a wrong hash, and for an invalid line.
pub(crate) fn outline<'a>(text: &'a [u8], path: &'a Path) -> Result<Vec<Outline<'a>>> {
    let damaged = |line, reason: &str| Error::Manifest { path: path.to_owned(), line, reason: reason.into() };
    let mut sections: Vec<Outline<'a>> = Vec::new();
    let (mut at, mut number) = (0, 0);
    while let Some(length) = memchr::memchr(b'\n', &text[at..]) {
        let line = &text[at..at + length];
        let end = at + length + 1;
        number += 1;
        if line.starts_with(b"{\"section\":") {
            let header: SectionHeader =
                serde_json::from_slice(line).map_err(|e| damaged(number, &e.to_string()))?;
            if header.section != VERSION {
                return Err(damaged(
                    number,
                    "is of a version of the format that this mailferry does not know",
                ));
            }
            sections.push(Outline {
                header,
                footer: None,
                at,
                lines: &text[at..end],
                path,
                first_line: number,
            });
        } else if line.starts_with(b"{\"closes\":") {
            let footer: SectionFooter =
                serde_json::from_slice(line).map_err(|e| damaged(number, &e.to_string()))?;
            let open = footer.closes.checked_sub(1).and_then(|n| sections.get_mut(n));
            let Some(section) = open.filter(|s| s.footer.is_none()) else {
                return Err(damaged(number, "closes a section that is not open"));
            };
            let mut hasher = blake3::Hasher::new();
            if Digest::from(hasher.update(section.lines).update(before_end(line)).finalize()) != footer.end {
                return Err(damaged(number, "closes a section that was changed since"));
            }
            if !footer.balances(&section.header) {
                return Err(damaged(number, "has sums that cannot be"));
            }
            section.footer = Some(footer);
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

/// Returns the readable headers of a manifest, for callers that only need the options of the conversion. Hashes are
/// not checked.
pub(super) fn read_headers(text: &[u8]) -> Vec<SectionHeader> {
    const START: &[u8] = b"{\"section\":";
    let starts = memchr::memmem::find_iter(text, START).filter(|&at| at == 0 || text[at - 1] == b'\n');
    let line = |at: usize| &text[at..at + memchr::memchr(b'\n', &text[at..]).unwrap_or(0)];
    starts.filter_map(|at| serde_json::from_slice(line(at)).ok()).collect()
}

fn is_line_of_section(line: &[u8]) -> bool {
    [&b"{\"at\":"[..], b"{\"gap\":"].iter().any(|start| line.starts_with(start))
}

/// Reports whether a power cut may have left this in place of a line: zeros, or older data. A line that begins or
/// ends like one of a manifest was changed by a program.
fn is_torn(line: &[u8]) -> bool {
    !line.starts_with(b"{\"") && !line.ends_with(b"}")
}

/// Reports whether the text begins as a manifest, perhaps cut off in its first line, or is empty.
pub(crate) fn looks_like_manifest(text: &[u8]) -> bool {
    const HEAD: &[u8] = b"{\"section\":";
    HEAD.starts_with(text) || text.starts_with(HEAD) || text.iter().all(|&b| b == 0)
}

/// Reports whether section `later` is about a later state of the source of `earlier`. Both count from 0.
pub(crate) fn follows(sections: &[Outline<'_>], later: usize, earlier: usize) -> bool {
    let before = |n: usize| sections[n].header.follows.and_then(|k| k.checked_sub(1)).filter(|&k| k < n);
    std::iter::successors(before(later), |&n| before(n)).any(|n| n == earlier)
}

impl Outline<'_> {
    /// Parses all lines of the section. In an open section the lines after a torn one are ignored.
    pub(crate) fn read(&self) -> Result<Section> {
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
                Err(_) if self.footer.is_none() && is_torn(line) => break,
                Err(error) => {
                    let (path, line) = (self.path.to_owned(), self.first_line + n as u64);
                    return Err(Error::Manifest { path, line, reason: error.to_string() });
                }
            }
        }
        Ok(Section { header: self.header.clone(), messages, gaps, footer: self.footer.clone() })
    }

    /// Returns only the names and From_ lines of the messages: in parallel, and at a third of the cost. Invalid lines
    /// are skipped.
    pub(crate) fn names(&self) -> Vec<MessageName> {
        self.parts()
    }

    /// Returns only the names and lengths of the messages in a section of a Maildir.
    pub(crate) fn copied_names(&self) -> Vec<CopiedName> {
        self.parts()
    }

    fn parts<T: for<'de> Deserialize<'de> + Send>(&self) -> Vec<T> {
        let lines: Vec<&[u8]> = self.lines.split(|&b| b == b'\n').skip(1).collect();
        let messages = lines.par_iter().filter(|line| line.starts_with(b"{\"at\":"));
        messages.filter_map(|line| serde_json::from_slice(line).ok()).collect()
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct MessageName {
    pub name: Bytes,
    #[serde(default)]
    pub from: Bytes,
}
