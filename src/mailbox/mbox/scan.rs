//! The first pass over an mbox: every line that could be a From_ line, classified by itself and its
//! neighbours, and what else the bytes show (quoting, line ends, NULs). Twenty-four bytes are kept of
//! each candidate; nothing is decided here. What deciding needs of the text around a candidate is looked
//! at now, while its pages are at hand and several threads are: deciding is one thread's work.

use std::ops::Range;

use memchr::{memchr, memmem};
use rayon::prelude::*;

use super::boundary;
use super::from_line::{self, LineClass, Spelling};
use super::length;
use super::quote;
use crate::mailbox::mbox::scan_hooks::ScanHooks;
use crate::mailbox::message::header;

/// A window is small enough to stay in the cache between the searches over it.
const WINDOW: usize = 1 << 20;
/// A line of this kind opens and closes each message of an MMDF file.
pub(crate) const FRAME: &[u8] = b"\x01\x01\x01\x01";
/// UTF-8's byte order mark.
pub(crate) const BOM: &[u8] = b"\xef\xbb\xbf";

/// The line after a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NextLine {
    /// A header field, a `>From ` line or another From_ line.
    Header,
    /// An empty line or the end of the file.
    Empty,
    /// Other text.
    Text,
}

/// `From ` at the start of a line, with all that the decision needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Where the line begins, in bytes.
    pub offset: u64,
    /// Length of the line with its line end. A line beyond 4 GiB is cut down to that: it is prose.
    pub len: u32,
    /// How the line is spelled.
    pub spelling: Spelling,
    /// D, K or U.
    pub line: LineClass,
    /// H, E or T.
    pub next: NextLine,
    /// Whether a blank line, the start of the file or a frame comes directly before.
    pub blank_before: bool,
    /// Whether the sender is a mere `-`, as Mozilla writes it.
    pub dash: bool,
    /// Length of the blank line before it (see `boundary::closing_blank`), in bytes.
    pub blank: u8,
    /// Whether there may be a Content-Length in the header below it.
    pub may_have_length: bool,
    /// Whether it stands below the head of an attached message (see `boundary::attached_above`).
    pub heads_attached: bool,
}

impl Candidate {
    /// The byte after the line.
    pub fn end(&self) -> u64 {
        self.offset + u64::from(self.len)
    }

    /// D, H and B: what a separator looks like when nothing is wrong.
    pub fn is_confident(&self) -> bool {
        self.line == LineClass::Dated && self.next == NextLine::Header && self.blank_before
    }

    /// The three letters of the decision table.
    pub fn class(&self) -> String {
        let line = match self.line {
            LineClass::Dated => 'D',
            LineClass::Known => 'K',
            LineClass::Unknown => 'U',
        };
        let next = match self.next {
            NextLine::Header => 'H',
            NextLine::Empty => 'E',
            NextLine::Text => 'T',
        };
        [line, next, if self.blank_before { 'B' } else { 'N' }].iter().collect()
    }
}

/// What the first pass found.
#[derive(Debug, Default, Clone)]
pub struct Scan {
    /// In file order.
    pub candidates: Vec<Candidate>,
    /// Lines beginning `>From ` in places where a writer would have quoted.
    pub quoted_once: u64,
    /// `>>From ` and deeper, one `>` deeper than the text around: only an mboxrd writer does that.
    pub deeper_than_text: u64,
    /// `>>From ` and deeper, as deep as the text around: a quoted reply, which mboxo leaves alone.
    pub deep_as_text: u64,
    /// Lines that end in CRLF.
    pub crlf: u64,
    /// CRs that no LF follows.
    pub lone_cr: u64,
    /// Where the first lone CR is.
    pub first_lone_cr: Option<u64>,
    /// The first stretches with NUL bytes, [`NUL_STRETCHES`] at most.
    pub nul_runs: Vec<NulRun>,
    /// All NUL bytes.
    pub nul_bytes: u64,
}

/// NUL bytes, with at most [`NUL_GAP`] other bytes between one and the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NulRun {
    /// From the first to behind the last.
    pub range: Range<u64>,
    /// How many.
    pub count: u64,
}

/// How many stretches of NULs are told one by one.
pub const MAX_NUL_RUNS: usize = 100;
/// NULs come in heaps, in a damaged block or a binary attachment: one finding a heap.
pub const NUL_GAP: u64 = 4096;

/// Scans `text` in parallel windows.
pub fn scan(text: &[u8], watch: ScanHooks<'_>) -> Scan {
    let windows = text.len().div_ceil(WINDOW);
    let scan = |n: usize| {
        if watch.is_interrupted() {
            return Scan::default();
        }
        let range = n * WINDOW..((n + 1) * WINDOW).min(text.len());
        let part = scan_window(text, range.clone());
        (watch.on_scan)(range.clone());
        (watch.on_release)(range);
        part
    };
    if windows == 1 {
        // Waking another thread for it takes longer.
        return scan(0);
    }
    let parts: Vec<Scan> = (0..windows).into_par_iter().map(scan).collect();
    let mut whole = Scan::default();
    whole.candidates.reserve_exact(parts.iter().map(|p| p.candidates.len()).sum());
    for part in parts {
        whole.take(part);
    }
    whole
}

impl Scan {
    fn take(&mut self, part: Scan) {
        self.candidates.extend(part.candidates);
        self.quoted_once += part.quoted_once;
        self.deeper_than_text += part.deeper_than_text;
        self.deep_as_text += part.deep_as_text;
        self.crlf += part.crlf;
        self.lone_cr += part.lone_cr;
        self.first_lone_cr = self.first_lone_cr.or(part.first_lone_cr);
        self.nul_bytes += part.nul_bytes;
        part.nul_runs.into_iter().for_each(|nuls| self.note_nuls(nuls));
    }

    fn note_nuls(&mut self, nuls: NulRun) {
        let full = self.nul_runs.len() == MAX_NUL_RUNS;
        match self.nul_runs.last_mut() {
            Some(last) if nuls.range.start - last.range.end <= NUL_GAP => {
                last.range.end = nuls.range.end;
                last.count += nuls.count;
            }
            _ if full => {}
            _ => self.nul_runs.push(nuls),
        }
    }

    fn note_quoted(&mut self, text: &[u8], start: usize, depth: usize) {
        // Directly below a From_ line it is a header line of the UUCP kind, no quoting.
        let before = line_before(text, start);
        if before.is_some_and(|l| l.starts_with(b"From ")) {
            return;
        }
        if depth == 1 {
            self.quoted_once += 1;
            return;
        }
        let around = text_depth(text, start);
        if depth > around {
            self.deeper_than_text += 1;
        } else if depth == around {
            self.deep_as_text += 1;
        }
    }
}

/// Scans one window.
pub(crate) fn scan_window(text: &[u8], window: Range<usize>) -> Scan {
    let mut scan = Scan::default();
    // A needle that begins in this window may end in the next.
    let reach = &text[window.start..(window.end + 4).min(text.len())];
    for at in memmem::find_iter(reach, b"From ") {
        let at = window.start + at;
        if is_line_start(text, at) {
            scan.candidates.push(classify(text, at));
        } else if text[at - 1] == b'>' {
            let depth = text[..at].iter().rev().take_while(|&&b| b == b'>').count();
            if is_line_start(text, at - depth) {
                scan.note_quoted(text, at - depth, depth);
            }
        }
    }
    let bytes = &text[window.clone()];
    for at in memchr::memchr_iter(b'\r', bytes) {
        if text.get(window.start + at + 1) == Some(&b'\n') {
            scan.crlf += 1;
        } else {
            scan.lone_cr += 1;
            scan.first_lone_cr.get_or_insert((window.start + at) as u64);
        }
    }
    let mut rest = 0;
    while let Some(at) = memchr(0, &bytes[rest..]) {
        let start = rest + at;
        let len = bytes[start..].iter().take_while(|&&b| b == 0).count();
        scan.nul_bytes += len as u64;
        let at = (window.start + start) as u64;
        scan.note_nuls(NulRun { range: at..at + len as u64, count: len as u64 });
        rest = start + len;
    }
    scan
}

/// Whether a line begins here. A byte order mark before the first line does not count as text, and
/// neither does a NUL: the hole that a crash left in a file ends where the next block of mail begins.
pub(crate) fn is_line_start(text: &[u8], at: usize) -> bool {
    quote::is_line_start(text, at) || (at == BOM.len() && text.starts_with(BOM))
}

fn classify(text: &[u8], at: usize) -> Candidate {
    let end = from_line_end(text, at);
    let parsed = from_line::parse(&text[at..end]);
    let len = u32::try_from(end - at);
    let next = next_line(&text[end..]);
    Candidate {
        offset: at as u64,
        len: len.unwrap_or(u32::MAX),
        spelling: parsed.spelling,
        line: parsed.class,
        next,
        blank_before: blank_before(text, at),
        dash: text[at..end].trim_ascii() == b"From -" || parsed.sender == b"-",
        blank: boundary::closing_blank(&text[..at]) as u8,
        may_have_length: match next {
            NextLine::Header => len.is_err() || length::content_length(&text[end..]).is_some(),
            NextLine::Empty | NextLine::Text => true,
        },
        heads_attached: parsed.class == LineClass::Dated && boundary::attached_above(&text[..at]).is_some(),
    }
}

/// The byte after a candidate. A hole may have swallowed its line end: where the next candidate begins,
/// it is over. Stops there, so that a line with a million of them is looked through once.
fn from_line_end(text: &[u8], at: usize) -> usize {
    memchr::memchr2_iter(b'\n', 0, &text[at..])
        .map(|n| at + n + 1)
        .find(|&end| text[end - 1] == b'\n' || text[end..].starts_with(b"From "))
        .unwrap_or(text.len())
}

/// The byte after the line that `at` is in.
pub(crate) fn line_end(text: &[u8], at: usize) -> usize {
    memchr(b'\n', &text[at..]).map_or(text.len(), |lf| at + lf + 1)
}

fn next_line(rest: &[u8]) -> NextLine {
    match rest {
        [] | [b'\n', ..] | [b'\r', b'\n', ..] => NextLine::Empty,
        _ if rest.starts_with(b"From ") || rest.starts_with(b">From ") => NextLine::Header,
        _ if header::is_field_line(rest) => NextLine::Header,
        _ => NextLine::Text,
    }
}

fn blank_before(text: &[u8], at: usize) -> bool {
    at == 0
        || (at == BOM.len() && text.starts_with(BOM))
        || line_before(text, at).is_some_and(|line| line.is_empty() || line == FRAME)
}

/// The line before the one that begins at `at`, without its line end.
pub(crate) fn line_before(text: &[u8], at: usize) -> Option<&[u8]> {
    let above = text[..at].strip_suffix(b"\n")?;
    let above = above.strip_suffix(b"\r").unwrap_or(above);
    let start = memchr::memrchr(b'\n', above).map_or(0, |lf| lf + 1);
    Some(&above[start..])
}

/// How deep the text around a quoted line is itself quoted: the deeper one of the nearest lines above
/// and below that are no From lines. Gives up after a few, so that a file of nothing but From lines
/// costs no more than its length.
fn text_depth(text: &[u8], start: usize) -> usize {
    const REACH: usize = 8;
    let mut above = start;
    let before = (0..REACH).find_map(|_| match line_before(text, above) {
        Some(line) if is_from(line) => {
            above = memchr::memrchr(b'\n', &text[..above - 1]).map_or(0, |lf| lf + 1);
            None
        }
        Some(line) => Some(depth_of(line)),
        None => Some(0),
    });
    let mut below = line_end(text, start);
    for _ in 0..REACH {
        if is_from(&text[below..]) {
            below = line_end(text, below);
        }
    }
    before.unwrap_or(0).max(depth_of(&text[below..]))
}

fn is_from(line: &[u8]) -> bool {
    let depth = line.iter().take_while(|&&b| b == b'>').count();
    line[depth..].starts_with(b"From ")
}

/// Number of leading `>`, blanks between them passed over, as replies are written by people.
fn depth_of(line: &[u8]) -> usize {
    line.iter().take_while(|&&b| b == b'>' || b == b' ').filter(|&&b| b == b'>').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(text: &str) -> Vec<String> {
        scan(text.as_bytes(), ScanHooks::none()).candidates.iter().map(Candidate::class).collect()
    }

    #[test]
    fn a_candidate_is_classified_by_its_line_the_next_and_the_one_before() {
        let date = "Mon Jan  1 10:00:00 2001";
        assert_eq!(classes(&format!("From a@b {date}\nA: 1\n")), ["DHB"]);
        assert_eq!(classes(&format!("\u{feff}From a@b {date}\nA: 1\n")), ["DHB"]);
        assert_eq!(classes(&format!("x\nFrom a@b {date}\n\n")), ["DEN"]);
        assert_eq!(classes(&format!("x\n\nFrom a@b {date}")), ["DEB"]);
        assert_eq!(classes(&format!("x\r\n\r\nFrom a@b {date}\r\ntext\r\n")), ["DTB"]);
        assert_eq!(classes("\nFrom a@b\n>From c\n"), ["KHB"]);
        assert_eq!(classes("a\nFrom here to there\nX : y\n"), ["UHN"]);
        assert_eq!(classes(&format!("\u{1}\u{1}\u{1}\u{1}\nFrom a@b {date}\nA: 1\n")), ["DHB"]);
    }

    #[test]
    fn candidates_on_window_edges_are_seen_once() {
        for shift in 0..8 {
            let mut text = vec![b'x'; WINDOW - shift];
            text.extend_from_slice(b"\n\nFrom a@b Mon Jan  1 10:00:00 2001\nA: 1\n\0\0");
            text.resize(2 * WINDOW - 1, 0);
            text.extend_from_slice(b"\0\0\r\n");
            let scan = scan(&text, ScanHooks::none());
            assert_eq!(scan.candidates.len(), 1, "shift {shift}");
            assert_eq!(scan.candidates[0].class(), "DHB");
            assert_eq!(scan.nul_runs.len(), 1);
            assert_eq!(scan.crlf, 1);
        }
    }

    #[test]
    fn a_candidate_whose_line_end_a_hole_swallowed_ends_where_the_next_begins() {
        let date = "Mon Jan  1 10:00:05 2001";
        let text = format!("From a@b {date}\0\0\0From c@d {date}\nA: 1\n\0From\0\0From x");
        let scan = scan(text.as_bytes(), ScanHooks::none());
        let found: Vec<_> = scan.candidates.iter().map(|c| (c.offset, c.end(), c.class())).collect();
        let (second, third) = (text.find("From c").unwrap() as u64, text.find("From x").unwrap() as u64);
        let first_line = text.find('\n').unwrap() as u64 + 1;
        assert_eq!(
            found,
            [
                (0, second, "UHB".into()),
                (second, first_line, "DHN".into()),
                (third, text.len() as u64, "KEN".into()),
            ]
        );
    }

    #[test]
    fn deep_quoting_is_weighed_against_the_text_around_it() {
        let votes = |text: &str| {
            let scan = scan(text.as_bytes(), ScanHooks::none());
            (scan.quoted_once, scan.deeper_than_text, scan.deep_as_text)
        };
        assert_eq!(votes("a\n>>From x\nb\n"), (0, 1, 0));
        assert_eq!(votes("> a\n>>From x\n> b\n"), (0, 1, 0));
        assert_eq!(votes(">> a\n>>From x\n>> b\n"), (0, 0, 1));
        assert_eq!(votes("> > a\n>>From x\nb\n"), (0, 0, 1));
        assert_eq!(votes("a\n>From x\n>>From y\nb\n"), (1, 1, 0));
        assert_eq!(votes("From a@b Mon Jan  1 10:00:00 2001\n>From x\nb: c\n"), (0, 0, 0));
    }
}
