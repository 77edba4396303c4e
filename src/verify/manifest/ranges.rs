//! Check of each line of a section against the bytes of its source. A manifest can be forged together with a message;
//! the source shows it.

use std::borrow::Cow;
use std::ops::Range;

use data_encoding::BASE64;
use rayon::prelude::*;

use super::load::{LoadedManifest, MessageLine};
use crate::mailbox::manifest::{Digest, Gap, MessageRecord, Section, SectionHeader, UnselectedRange};
use crate::mailbox::message::line_ends::{LineEndChange, LineEndRuns, LineEnds};
use crate::mailbox::source::Source;
use crate::mailbox::source::mapped::{self, ForwardReader};
use crate::mailbox::{Cancel, Result};

/// Finds a line of a section that is not true to the source, and returns a phrase about it.
pub(super) fn find_false_line(
    manifest: &LoadedManifest,
    section: &Section<MessageLine>,
    source: &Source,
    cancel: &Cancel,
) -> Result<Option<String>> {
    /// Messages per task, and tasks at once: the ranges of all messages are too many for the memory.
    const CHUNK: usize = 64;
    const BATCH: usize = CHUNK * 64;
    let raw = &source.raw()[..section.header.size as usize];
    let check_chunk = |lines: &[MessageLine]| {
        cancel.check()?;
        let check = |line| Ok(SourceRange::check(&manifest.record(line)?, &section.header, raw));
        let ranges = lines.iter().map(check).collect::<Result<Vec<_>>>()?;
        if let (Some(first), Some(last)) = (ranges.first(), ranges.last()) {
            let end = last.end.min(raw.len() as u64);
            source.release(first.at.min(end) as usize..end as usize);
        }
        Ok(ranges)
    };
    let mut cover = Cover { section, raw, gaps: &section.gaps, unselected: &section.unselected, at: 0 };
    let mut is_covered = true;
    for batch in section.messages.chunks(BATCH) {
        let covered = cover.at;
        let ranges: Vec<Vec<SourceRange>> =
            batch.par_chunks(CHUNK).map(check_chunk).collect::<Result<_>>()?;
        for range in ranges.into_iter().flatten() {
            if !range.is_true {
                let text = format!("a line names the message at byte {}, which is another one", range.at);
                return Ok(Some(text));
            }
            is_covered = is_covered && cover.add(&range);
        }
        manifest.release(batch);
        // The bytes between the messages were read again.
        source.release(covered as usize..cover.at as usize);
    }
    is_covered = is_covered && cover.finish();
    Ok((!is_covered).then(|| format!("its lines do not have the bytes from {} on", cover.at)))
}

/// The range of a message in the source, as its line says.
struct SourceRange {
    /// The beginning of its From_ lines; None before the source.
    begin: Option<u64>,
    /// The usual separator is before it, and the From_ lines are there. The bytes are at hand while the message is checked.
    has_separator: bool,
    has_from_lines: bool,
    at: u64,
    end: u64,
    /// The line describes the bytes of the source.
    is_true: bool,
}

impl SourceRange {
    fn check(record: &MessageRecord, header: &SectionHeader, raw: &[u8]) -> SourceRange {
        let begin = record.at.checked_sub(record.from.0.len() as u64);
        let divided = begin.and_then(|begin| raw.split_at_checked(usize::try_from(begin).ok()?));
        SourceRange {
            begin,
            has_separator: divided.is_some_and(|(before, _)| before.ends_with(&header.separator.0)),
            has_from_lines: divided.is_some_and(|(_, rest)| rest.starts_with(&record.from.0)),
            at: record.at,
            end: record.at.saturating_add(record.len),
            is_true: is_true(record, header, raw),
        }
    }
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
    section: &'a Section<MessageLine>,
    raw: &'a [u8],
    /// The gaps that are left.
    gaps: &'a [Gap],
    /// The ranges of unselected messages that are left.
    unselected: &'a [UnselectedRange],
    at: u64,
}

impl Cover<'_> {
    /// Adds a message with the bytes before it. Returns false if these are not the bytes of the source.
    fn add(&mut self, range: &SourceRange) -> bool {
        let advance = |begin| self.advance_to(begin, range.has_separator);
        if !range.begin.is_some_and(advance) || !range.has_from_lines {
            return false;
        }
        self.at = range.end;
        true
    }

    /// Adds the bytes after the last message.
    fn finish(&mut self) -> bool {
        self.advance_to(self.raw.len() as u64, false) && self.gaps.is_empty() && self.unselected.is_empty()
    }

    /// Advances over the bytes before `end`. `has_separator` says that the usual separator is there.
    fn advance_to(&mut self, end: u64, has_separator: bool) -> bool {
        let separator = &self.section.header.separator.0;
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
                    gap.bytes().unwrap_or_default().into()
                }
                _ if has_separator && self.at + separator.len() as u64 == end => {
                    self.at = end;
                    break;
                }
                _ => Cow::Borrowed(&separator[..]),
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
