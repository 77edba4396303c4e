//! Content of a message: its bytes without the quoting and the fields that readers rewrite, and forms of it without
//! harmless differences.

use std::ops::Range;
use std::path::Path;

use super::both::Both;
use crate::mailbox::mbox::{Extent, Quoting, quote};
use crate::mailbox::message::Eol;
use crate::mailbox::message::header;
use crate::mailbox::source::{Contents, ForwardReader, Source, mapped};
use crate::mailbox::{Result, escape};

/// BLAKE3 of the content, truncated to 128 bits: enough against mail that was made to collide.
pub(crate) type Digest = [u8; 16];

/// The bytes of a message: a part of an mbox, or a file.
pub(crate) enum MessageBytes<'a> {
    Mbox(&'a [u8]),
    File(Contents),
    /// A file with one message.
    Source {
        source: Box<Source>,
        extent: Extent,
    },
}

impl std::ops::Deref for MessageBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            MessageBytes::Mbox(bytes) => bytes,
            MessageBytes::File(contents) => contents,
            MessageBytes::Source { source, extent } => extent.message(source.text()),
        }
    }
}

/// A message as stored in its file.
pub(crate) struct Text<'a> {
    raw: MessageBytes<'a>,
    /// Offset in the file.
    start: u64,
    header_len: usize,
    body_at: usize,
    quoting: Quoting,
    /// Line ends that the message is compared with; [`Eol::Keep`] if it has them already.
    eol: Eol,
}

/// Differences that do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tolerance {
    /// CRLF instead of LF.
    pub line_ends: bool,
    /// The number of `>` before a `From ` at the start of a line.
    pub quoting: bool,
    /// The newline of the last line.
    pub final_newline: bool,
}

impl Tolerance {
    pub(super) const ALL: Tolerance = Tolerance { line_ends: true, quoting: true, final_newline: true };
}

/// The first byte of a message that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DiffPoint {
    /// Byte offset in the message, as `inspect MAILBOX N` writes it.
    pub offset: u64,
    /// Line in the message, from 1.
    pub line: u64,
    /// Byte offset in the (uncompressed) file.
    pub file_offset: u64,
    /// True if it is in the header.
    pub in_header: bool,
    /// Preceding bytes of the same line, escaped.
    pub before: String,
    /// The byte and some following ones, escaped; empty at the end of the message.
    pub after: String,
}

impl<'a> Text<'a> {
    /// Takes a message at offset `start` of its file.
    pub(super) fn new(raw: MessageBytes<'a>, start: u64, quoting: Quoting, eol: Eol) -> Text<'a> {
        let split = header::split(&raw);
        let (header_len, body_at) = (split.header.len(), split.body_at(&raw));
        let is_other = match eol {
            Eol::Keep => false,
            Eol::Lf => mapped::find_all(&raw, b"\r\n").next().is_some(),
            Eol::Crlf => mapped::find_all(&raw, b"\n").any(|lf| lf == 0 || raw[lf - 1] != b'\r'),
        };
        let eol = if is_other { eol } else { Eol::Keep };
        Text { raw, start, header_len, body_at, quoting, eol }
    }

    pub(super) fn header(&self) -> &[u8] {
        &self.raw[..self.header_len]
    }

    /// Fails if the file changed, or could not be read completely.
    pub(super) fn check_unchanged(&self, path: &Path) -> Result<()> {
        match &self.raw {
            // The whole mbox is checked at the end.
            MessageBytes::Mbox(_) => Ok(()),
            MessageBytes::File(contents) => contents.check_complete(path),
            MessageBytes::Source { source, .. } => source.check_unchanged(),
        }
    }

    /// Reports whether the message is compared with other line ends than it has.
    pub(super) fn has_other_line_ends(&self) -> bool {
        self.eol != Eol::Keep
    }

    /// Returns the length in the file.
    pub(super) fn raw_len(&self) -> usize {
        self.raw.len()
    }

    /// Returns the ranges of the content. Each begins at the start of a line, after the quoting `>` if there is one, so
    /// no line end is split.
    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let end = self.raw.len();
        let fields = header::volatile(self.header());
        let quotes = self.quotes().map(|at| at..at + 1);
        let mut from = 0;
        let ranges = fields.chain(quotes).chain(std::iter::once(end..end)).map(move |cut| {
            let kept = from..cut.start;
            from = cut.end;
            kept
        });
        ranges.filter(|range| !range.is_empty())
    }

    fn quotes(&self) -> impl Iterator<Item = usize> {
        quote::quote_offsets(&self.raw[self.body_at..], self.quoting).map(|at| self.body_at + at)
    }

    /// Returns the hash of the content.
    pub(super) fn digest(&self) -> Digest {
        if self.has_other_line_ends() {
            return self.tolerant_digest(Tolerance::default());
        }
        let mut hasher = blake3::Hasher::new();
        self.ranges().flat_map(|range| mapped::windows(&self.raw[range])).for_each(|window| {
            hasher.update(window);
        });
        truncate(hasher.finalize())
    }

    /// Returns the hash of the fields that readers rewrite; 0 if there are none.
    pub(super) fn volatile_hash(&self) -> u64 {
        let mut fields = header::volatile(self.header()).peekable();
        if fields.peek().is_none() {
            return 0;
        }
        let digest = self.hash_normalized(fields, Tolerance::default());
        u64::from_le_bytes(digest[..8].try_into().unwrap_or_default())
    }

    /// Returns the hash of the content without tolerated differences.
    pub(super) fn tolerant_digest(&self, tolerance: Tolerance) -> Digest {
        self.hash_normalized(self.ranges(), tolerance)
    }

    /// Returns the hash of the header without tolerated differences.
    pub(super) fn tolerant_header_digest(&self, tolerance: Tolerance) -> Digest {
        self.hash_normalized(self.ranges_in(0..self.header_len), tolerance)
    }

    /// Returns the hash of the body without tolerated differences.
    pub(super) fn tolerant_body_digest(&self, tolerance: Tolerance) -> Digest {
        self.hash_normalized(self.ranges_in(self.body_at..self.raw.len()), tolerance)
    }

    fn ranges_in(&self, part: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let ranges = self.ranges().map(move |range| range.start.max(part.start)..range.end.min(part.end));
        ranges.filter(|range| range.start < range.end)
    }

    fn hash_normalized(&self, ranges: impl Iterator<Item = Range<usize>>, tolerance: Tolerance) -> Digest {
        let mut hasher = blake3::Hasher::new();
        let mut line_end: &[u8] = b"";
        for range in ranges {
            let text = &self.raw[range];
            let (mut rest, mut reader) = (text, ForwardReader::new(text));
            while !rest.is_empty() {
                reader.reached(text.len() - rest.len());
                let end = mapped::find_byte(b'\n', rest);
                let mut line = &rest[..end.unwrap_or(rest.len())];
                rest = &rest[end.map_or(rest.len(), |lf| lf + 1)..];
                hasher.update(line_end);
                line_end = if end.is_some() { b"\n" } else { b"" };
                let is_crlf = end.is_some() && line.ends_with(b"\r");
                if is_crlf && tolerance.line_ends {
                    // CR CR LF is a line end that was converted to CRLF twice.
                    line = &line[..line.iter().rposition(|&b| b != b'\r').map_or(0, |last| last + 1)];
                } else if is_crlf {
                    line = &line[..line.len() - 1];
                    line_end = if self.eol == Eol::Lf { b"\n" } else { b"\r\n" };
                } else if end.is_some() && self.eol == Eol::Crlf && !tolerance.line_ends {
                    line_end = b"\r\n";
                }
                mapped::windows(if tolerance.quoting { unquote(line) } else { line }).for_each(|window| {
                    hasher.update(window);
                });
            }
        }
        if !tolerance.final_newline {
            hasher.update(line_end);
        }
        truncate(hasher.finalize())
    }

    /// Reports whether the content ends in a newline.
    pub(super) fn ends_in_newline(&self) -> bool {
        self.ranges().last().is_some_and(|range| self.raw[range].ends_with(b"\n"))
    }

    /// Returns the first offsets in the raw bytes at which the contents differ. CRLF is the same as LF if `line_ends`.
    fn find_difference(&self, other: &Text<'_>, line_ends: bool) -> Option<Both<usize>> {
        let (mut ranges, mut others) = (self.ranges(), other.ranges());
        let (mut here, mut there) = (0..0, 0..0);
        let (mut reader, mut other_reader) = (ForwardReader::new(&self.raw), ForwardReader::new(&other.raw));
        loop {
            reader.reached(here.start);
            other_reader.reached(there.start);
            if here.is_empty() {
                here = ranges.next().unwrap_or(self.raw.len()..self.raw.len());
            }
            if there.is_empty() {
                there = others.next().unwrap_or(other.raw.len()..other.raw.len());
            }
            let both = here.len().min(there.len()).min(mapped::WINDOW);
            let same = {
                let (a, b) = (&self.raw[here.clone()][..both], &other.raw[there.clone()][..both]);
                if a == b { both } else { a.iter().zip(b).take_while(|(a, b)| a == b).count() }
            };
            here.start += same;
            there.start += same;
            if line_ends && same < both {
                let (a, b) = (&self.raw[here.clone()], &other.raw[there.clone()]);
                let crs = [a.starts_with(b"\r\n") && b[0] == b'\n', b.starts_with(b"\r\n") && a[0] == b'\n'];
                here.start += usize::from(crs[0]);
                there.start += usize::from(crs[1]);
                if crs != [false; 2] {
                    continue;
                }
            }
            if same < both {
                return Some(Both { here: here.start, there: there.start });
            }
            if both == 0 {
                let is_end = here.is_empty() && there.is_empty();
                return (!is_end).then_some(Both { here: here.start, there: there.start });
            }
        }
    }

    /// Returns the first byte that differs, on both sides.
    pub(super) fn first_difference(&self, other: &Text<'_>) -> Option<Both<DiffPoint>> {
        let line_ends = self.has_other_line_ends() || other.has_other_line_ends();
        let found = if line_ends { self.find_difference(other, true) } else { None };
        let found = found.or_else(|| self.find_difference(other, false));
        // The bytes may be the same where other line ends were asked for.
        let first_line_end = |text: &Text<'_>| mapped::find_byte(b'\n', &text.raw).unwrap_or(text.raw.len());
        let is_other = line_ends && found.is_none() && self.digest() != other.digest();
        let line_end = is_other.then(|| Both { here: first_line_end(self), there: first_line_end(other) });
        let Both { here, there } = found.or(line_end)?;
        Some(Both { here: self.diff_point(here), there: other.diff_point(there) })
    }

    fn diff_point(&self, at: usize) -> DiffPoint {
        const SHOWN: usize = 24;
        let line_start = mapped::find_last_byte(b'\n', &self.raw[..at]).map_or(0, |lf| lf + 1);
        DiffPoint {
            offset: (at - self.quotes().take_while(|&quote| quote < at).count()) as u64,
            line: mapped::count_byte(b'\n', &self.raw[..at]) as u64 + 1,
            file_offset: self.start + at as u64,
            in_header: at < self.header_len,
            before: escape(&self.raw[line_start.max(at.saturating_sub(SHOWN))..at]),
            after: escape(&self.raw[at..self.raw.len().min(at + SHOWN)]),
        }
    }
}

/// Returns the first bytes of a hash.
fn truncate<const N: usize>(hash: blake3::Hash) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&hash.as_bytes()[..N]);
    bytes
}

/// Returns a line without any `>` that an mbox writer may have added.
fn unquote(line: &[u8]) -> &[u8] {
    let depth = line.iter().take_while(|&&b| b == b'>').count();
    if line[depth..].starts_with(b"From ") { &line[depth..] } else { line }
}
