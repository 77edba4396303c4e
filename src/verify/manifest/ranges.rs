//! Check of each line of a section against the bytes of its source. A manifest can be forged together with a message;
//! the source shows it.

use std::borrow::Cow;
use std::ops::Range;

use data_encoding::BASE64;
use rayon::prelude::*;

use crate::mailbox::manifest::{Digest, Gap, MessageRecord, Section, SectionHeader, UnselectedRange};
use crate::mailbox::message::line_ends::{LineEndChange, LineEndRuns, LineEnds};
use crate::mailbox::source::Source;
use crate::mailbox::source::mapped::{self, ForwardReader};
use crate::mailbox::{Cancel, Result};

/// Finds a line of a section that is not true to the source, and returns a phrase about it.
pub(super) fn find_false_line(section: &Section, source: &Source, cancel: &Cancel) -> Result<Option<String>> {
    /// Messages per task.
    const CHUNK: usize = 64;
    let raw = &source.raw()[..section.header.size as usize];
    let chunks = section.messages.par_chunks(CHUNK).map(|chunk| {
        cancel.check()?;
        let is_false = |record: &&MessageRecord| !is_true(record, &section.header, raw);
        let found = chunk.iter().find(is_false).map(|record| record.at);
        if let (Some(first), Some(last)) = (chunk.first(), chunk.last()) {
            let end = last.at.saturating_add(last.len).min(raw.len() as u64);
            source.release(first.at.min(end) as usize..end as usize);
        }
        Ok(found)
    });
    let messages: Vec<Option<u64>> = chunks.collect::<Result<_>>()?;
    if let Some(at) = messages.into_iter().flatten().next() {
        return Ok(Some(format!("a line names the message at byte {at}, which is another one")));
    }
    let mut cover = Cover { section, raw, gaps: &section.gaps, unselected: &section.unselected, at: 0 };
    let is_covered = section.messages.iter().all(|record| cover.add(record)) && cover.finish();
    Ok((!is_covered).then(|| format!("its lines do not have the bytes from {} on", cover.at)))
}

/// Reports whether a line describes the bytes of the source.
fn is_true(record: &MessageRecord, header: &SectionHeader, raw: &[u8]) -> bool {
    let Some(message) = message_of(record, raw) else { return false };
    if Digest::of(message) != record.source {
        return false;
    }
    match &record.verbatim {
        Some(verbatim) => BASE64.decode(verbatim.as_bytes()).is_ok_and(|bytes| bytes == message),
        // Its file has the bytes that were just hashed.
        None if is_unchanged(record, header) => record.file_digest() == record.source,
        None => SourceParts::new(record, header, raw).is_some_and(|parts| parts.is_file(record)),
    }
}

/// Reports whether convert wrote the bytes of the source as they are.
fn is_unchanged(record: &MessageRecord, header: &SectionHeader) -> bool {
    let is_edited = !(record.stripped.is_empty() && record.quotes.is_empty() && record.eols.is_empty());
    !is_edited && !header.cr_only
}

fn message_of<'r>(record: &MessageRecord, raw: &'r [u8]) -> Option<&'r [u8]> {
    let at = usize::try_from(record.at).ok()?;
    raw.get(at..at.checked_add(record.len.try_into().ok()?)?)
}

/// The part of a source that the lines of its section cover, from its beginning.
struct Cover<'a> {
    section: &'a Section,
    raw: &'a [u8],
    /// The gaps that are left.
    gaps: &'a [Gap],
    /// The ranges of unselected messages that are left.
    unselected: &'a [UnselectedRange],
    at: u64,
}

impl Cover<'_> {
    /// Adds a message with the bytes before it. Returns false if these are not the bytes of the source.
    fn add(&mut self, record: &MessageRecord) -> bool {
        let Some(begins) = record.at.checked_sub(record.from.0.len() as u64) else { return false };
        if !self.advance_to(begins) || !self.take(&record.from.0) {
            return false;
        }
        self.at = record.at.saturating_add(record.len);
        true
    }

    /// Adds the bytes after the last message.
    fn finish(&mut self) -> bool {
        self.advance_to(self.raw.len() as u64) && self.gaps.is_empty() && self.unselected.is_empty()
    }

    fn advance_to(&mut self, end: u64) -> bool {
        while self.at < end {
            if let Some((range, rest)) =
                self.unselected.split_first().filter(|(range, _)| range.at == self.at)
            {
                self.unselected = rest;
                if range.bytes_in(self.raw).is_none() {
                    return false;
                }
                self.at += range.len;
                continue;
            }
            let bytes = match self.gaps.split_first() {
                Some((gap, rest)) if gap.at == self.at => {
                    self.gaps = rest;
                    gap.bytes().unwrap_or_default()
                }
                _ => self.section.header.separator.0.clone(),
            };
            if bytes.is_empty() || !self.take(&bytes) {
                return false;
            }
        }
        self.at == end
    }

    /// Advances if these bytes are next.
    fn take(&mut self, bytes: &[u8]) -> bool {
        let is_next = self.raw.get(self.at as usize..).is_some_and(|rest| rest.starts_with(bytes));
        self.at += if is_next { bytes.len() as u64 } else { 0 };
        is_next
    }
}

/// The parts of a message in its source that its file has.
pub(super) struct SourceParts<'r> {
    message: &'r [u8],
    /// Ranges of the message.
    parts: Vec<Range<usize>>,
    /// The lines end in CR in the source, and in LF in the file.
    cr_only: bool,
    /// The change of line ends.
    change: LineEndChange,
}

impl<'r> SourceParts<'r> {
    /// Returns None if this is another source.
    pub(super) fn new(
        record: &MessageRecord,
        header: &SectionHeader,
        raw: &'r [u8],
    ) -> Option<SourceParts<'r>> {
        let message = message_of(record, raw)?;
        let fields = record.stripped.iter().map(|(at, field)| (*at, &field.0[..]));
        let quotes = record.quotes.iter().scan(0, |at, distance| {
            *at = u64::saturating_add(*at, *distance);
            Some((*at, &b">"[..]))
        });
        let (mut parts, mut from, mut reader) = (Vec::new(), 0, ForwardReader::new(message));
        for (at, removed) in fields.chain(quotes) {
            let at = usize::try_from(at).ok().filter(|&at| at >= from)?;
            reader.reached(at.min(message.len()));
            parts.push(from..at);
            from = at.checked_add(removed.len())?;
            let is_same = |(a, b): (&u8, &u8)| a == b || header.cr_only && *a == b'\r' && *b == b'\n';
            if !message.get(at..from)?.iter().zip(removed).all(is_same) {
                return None;
            }
        }
        parts.push(from..message.len());
        let change = if header.eol == "lf" { LineEndChange::RemoveCr } else { LineEndChange::AddCr };
        Some(SourceParts { message, parts, cr_only: header.cr_only, change })
    }

    /// Reports whether they are the file that was written.
    pub(super) fn is_file(&self, record: &MessageRecord) -> bool {
        let mut hasher = blake3::Hasher::new();
        if record.eols.is_empty() {
            self.windows().for_each(|window| {
                hasher.update(&window);
            });
        } else {
            let mut runs = LineEndRuns::new(&record.eols, self.change);
            let (mut line_ends, mut out) = (LineEnds::new(|_| runs.next()), Vec::new());
            for window in self.windows() {
                line_ends.push(&window, &mut out);
                hasher.update(&out);
                out.clear();
            }
            line_ends.finish(&mut out);
            hasher.update(&out);
        }
        Digest::from(hasher.finalize()) == record.file_digest()
    }

    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(Range::len).sum()
    }

    /// Returns the bytes of the file, in order.
    fn windows(&self) -> impl Iterator<Item = Cow<'r, [u8]>> {
        let (message, cr_only) = (self.message, self.cr_only);
        let mut reader = ForwardReader::new(message);
        let parts = self.parts.iter().flat_map(move |part| {
            reader.reached(part.start);
            mapped::windows(&message[part.clone()])
        });
        parts.map(move |window| match cr_only {
            true => window.iter().map(|&b| if b == b'\r' { b'\n' } else { b }).collect(),
            false => Cow::Borrowed(window),
        })
    }

    /// Returns the offset of the first byte that differs in a file.
    pub(super) fn first_difference(&self, file: &[u8]) -> usize {
        let mut at = 0;
        for window in self.windows() {
            let here = &file[at..file.len().min(at + window.len())];
            if *here != *window {
                return at + here.iter().zip(&*window).take_while(|(a, b)| a == b).count();
            }
            at += window.len();
        }
        at
    }
}
