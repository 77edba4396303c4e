//! What a message says, in whatever it lies: its bytes less the quoting and the fields that readers
//! rewrite; and the forms of it in which harmless differences are taken away.

use std::borrow::Cow;
use std::ops::Range;

use crate::mailbox::mbox::quote::{self, Quoting};
use crate::mailbox::message::header;
use crate::mailbox::text::escape;

/// BLAKE3 of what a message says, cut to 128 bits: enough for mail that was made to collide, too.
pub(crate) type Digest = [u8; 16];

/// A message as it lies in its file.
pub(crate) struct Text<'a> {
    raw: Cow<'a, [u8]>,
    /// Where in the file it begins.
    start: u64,
    header_len: usize,
    body_at: usize,
    quoting: Quoting,
}

/// Kinds of differences that are no difference of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tolerance {
    /// CRLF or LF.
    pub line_ends: bool,
    /// How many `>` stand before a `From ` at the beginning of a line.
    pub quoting: bool,
    /// Whether the last line has its newline.
    pub final_newline: bool,
}

impl Tolerance {
    pub const ALL: Tolerance = Tolerance { line_ends: true, quoting: true, final_newline: true };
}

/// A byte at which two messages part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// Byte offset in the message, as `inspect MAILBOX N` writes it.
    pub offset: u64,
    /// Line in the message, counted from 1.
    pub line: u64,
    /// Byte offset in the (uncompressed) file, quoting and all that comes before included.
    pub file_offset: u64,
    /// Whether it is in the header.
    pub in_header: bool,
    /// Bytes of the same line before it, escaped.
    pub before: String,
    /// The byte and some after it, escaped; empty at the end of the message.
    pub after: String,
}

impl<'a> Text<'a> {
    /// `start`: where in the file it begins.
    pub fn new(raw: Cow<'a, [u8]>, start: u64, quoting: Quoting) -> Text<'a> {
        let split = header::split(&raw);
        let (header_len, body_at) = (split.header.len(), split.body_at(&raw));
        Text { raw, start, header_len, body_at, quoting }
    }

    pub fn header(&self) -> &[u8] {
        &self.raw[..self.header_len]
    }

    /// As it lies in its file.
    pub fn raw_len(&self) -> usize {
        self.raw.len()
    }

    /// What counts, in order. Each range begins at the beginning of a line, behind a quoting `>` if
    /// there is one, so that no line end lies in two of them.
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

    /// Of what the message says.
    pub fn digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        self.ranges().for_each(|range| {
            hasher.update(&self.raw[range]);
        });
        first(hasher.finalize())
    }

    /// Of the fields that readers rewrite, byte for byte.
    pub fn volatile_hash(&self) -> u64 {
        let mut fields = header::volatile(self.header()).peekable();
        if fields.peek().is_none() {
            return 0;
        }
        let mut hasher = blake3::Hasher::new();
        fields.for_each(|range| {
            hasher.update(&self.raw[range]);
        });
        u64::from_le_bytes(first(hasher.finalize()))
    }

    /// Of what the message says when `trifles` do not count.
    pub fn tolerant_digest(&self, trifles: Tolerance) -> Digest {
        self.normal(self.ranges(), trifles)
    }

    /// The same of the header alone.
    pub fn tolerant_header_digest(&self, trifles: Tolerance) -> Digest {
        self.normal(self.ranges_in(0..self.header_len), trifles)
    }

    /// The same of the body alone.
    pub fn tolerant_body_digest(&self, trifles: Tolerance) -> Digest {
        self.normal(self.ranges_in(self.body_at..self.raw.len()), trifles)
    }

    fn ranges_in(&self, part: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let ranges = self.ranges().map(move |range| range.start.max(part.start)..range.end.min(part.end));
        ranges.filter(|range| range.start < range.end)
    }

    fn normal(&self, ranges: impl Iterator<Item = Range<usize>>, trifles: Tolerance) -> Digest {
        let mut hasher = blake3::Hasher::new();
        let mut line_end: &[u8] = b"";
        for range in ranges {
            let mut rest = &self.raw[range];
            while !rest.is_empty() {
                let end = memchr::memchr(b'\n', rest);
                let mut line = &rest[..end.unwrap_or(rest.len())];
                rest = &rest[end.map_or(rest.len(), |lf| lf + 1)..];
                hasher.update(line_end);
                line_end = if end.is_some() { b"\n" } else { b"" };
                if end.is_some() && line.ends_with(b"\r") {
                    // CR CR LF is one that was made CRLF twice.
                    let bare = line.iter().rposition(|&b| b != b'\r').map_or(0, |last| last + 1);
                    let one_less = line.len() - 1;
                    line_end = if trifles.line_ends { b"\n" } else { b"\r\n" };
                    line = if trifles.line_ends { &line[..bare] } else { &line[..one_less] };
                }
                hasher.update(if trifles.quoting { unquoted(line) } else { line });
            }
        }
        if !trifles.final_newline {
            hasher.update(line_end);
        }
        first(hasher.finalize())
    }

    /// Whether what it says ends in a newline.
    pub fn ends_in_newline(&self) -> bool {
        self.ranges().last().is_some_and(|range| self.raw[range].ends_with(b"\n"))
    }

    /// Where this and another message part: offsets into the raw bytes of both. None if they say the
    /// same.
    fn parting(&self, other: &Text<'_>) -> Option<(usize, usize)> {
        let (mut ranges, mut others) = (self.ranges(), other.ranges());
        let (mut here, mut there) = (0..0, 0..0);
        loop {
            if here.is_empty() {
                here = ranges.next().unwrap_or(self.raw.len()..self.raw.len());
            }
            if there.is_empty() {
                there = others.next().unwrap_or(other.raw.len()..other.raw.len());
            }
            let both = here.len().min(there.len());
            let same = {
                let (a, b) = (&self.raw[here.clone()][..both], &other.raw[there.clone()][..both]);
                if a == b { both } else { a.iter().zip(b).take_while(|(a, b)| a == b).count() }
            };
            here.start += same;
            there.start += same;
            if same < both {
                return Some((here.start, there.start));
            }
            if both == 0 {
                let over = here.is_empty() && there.is_empty();
                return (!over).then_some((here.start, there.start));
            }
        }
    }

    /// The first byte on both sides that is not the same. None if the two say the same.
    pub fn first_difference(&self, other: &Text<'_>) -> Option<(Spot, Spot)> {
        self.parting(other).map(|(here, there)| (self.spot(here), other.spot(there)))
    }

    fn spot(&self, at: usize) -> Spot {
        const SHOWN: usize = 24;
        let line_start = memchr::memrchr(b'\n', &self.raw[..at]).map_or(0, |lf| lf + 1);
        Spot {
            offset: (at - self.quotes().take_while(|&quote| quote < at).count()) as u64,
            line: memchr::memchr_iter(b'\n', &self.raw[..at]).count() as u64 + 1,
            file_offset: self.start + at as u64,
            in_header: at < self.header_len,
            before: escape(&self.raw[line_start.max(at.saturating_sub(SHOWN))..at]),
            after: escape(&self.raw[at..self.raw.len().min(at + SHOWN)]),
        }
    }
}

/// The beginning of a hash.
fn first<const N: usize>(hash: blake3::Hash) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&hash.as_bytes()[..N]);
    bytes
}

/// A line without any `>` that a writer of mbox may have put there.
fn unquoted(line: &[u8]) -> &[u8] {
    let depth = line.iter().take_while(|&&b| b == b'>').count();
    if line[depth..].starts_with(b"From ") { &line[depth..] } else { line }
}
