//! The first pass over an mbox: finds the candidates and counts quoting, line ends and NULs.
//!
//! Nothing is decided here. Everything that the decision needs from the text around a candidate is read now:
//! the pages are in memory, and several threads read, while one thread decides. A candidate takes 24 bytes.

use std::ops::Range;

use memchr::{memchr, memchr2, memmem};
use rayon::prelude::*;

use super::attachment::attached_above;
use super::from_line::{self, LineClass};
use super::glued::GluedScan;
use super::lines::{BOM, FRAME, begins_from_line, closing_blank, is_line_start, line_before, line_end};
use super::quoted_blocks::QuotedBlocks;
use super::{Candidate, NextLine, ScanHooks, length};
use crate::mailbox::message::header;

/// Small enough to stay in the cache between the searches over it. A power of two, so that a window is a subtree of
/// BLAKE3.
pub(crate) const WINDOW: usize = 1 << 20;

/// The result of the first pass.
#[derive(Debug, Default, Clone)]
pub(crate) struct Scan {
    /// In file order.
    pub candidates: Vec<Candidate>,
    /// The number of `>From ` lines where a writer would quote.
    pub quoted_once: u64,
    /// The number of lines `>>From ` and deeper that are deeper than the text around: only an mboxrd writer
    /// does that.
    pub deeper_than_text: u64,
    /// The number of lines `>>From ` and deeper that are as deep as the text around: quoted replies, which mboxo
    /// does not change.
    pub deep_as_text: u64,
    /// The number of CRLFs.
    pub crlf: u64,
    /// The number of CRs without an LF.
    pub lone_cr: u64,
    pub first_lone_cr: Option<u64>,
    /// At most [`MAX_NUL_RUNS`].
    pub nul_runs: Vec<NulRun>,
    pub nul_bytes: u64,
    pub quoted_blocks: QuotedBlocks,
}

/// NUL bytes, with at most [`NUL_GAP`] other bytes between one and the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NulRun {
    pub range: Range<u64>,
    pub count: u64,
}

/// How many runs of NULs are reported one by one.
pub(crate) const MAX_NUL_RUNS: usize = 100;
/// NULs come in runs, in a damaged block or a binary attachment. A run is one finding.
pub(crate) const NUL_GAP: u64 = 4096;

/// Scans `text` in parallel windows.
pub(crate) fn scan(text: &[u8], hooks: ScanHooks<'_>) -> Scan {
    let windows = text.len().div_ceil(WINDOW);
    let scan = |n: usize| {
        if hooks.cancel.is_requested() {
            return Scan::default();
        }
        let range = n * WINDOW..((n + 1) * WINDOW).min(text.len());
        let part = scan_window(text, range.clone());
        (hooks.on_scan)(range.clone());
        (hooks.on_release)(range);
        part
    };
    if windows == 1 {
        // Waking another thread takes longer.
        let mut whole = scan(0);
        whole.classify_patches(text);
        return whole;
    }
    let parts: Vec<Scan> = (0..windows).into_par_iter().map(scan).collect();
    let mut whole = Scan::default();
    whole.candidates.reserve_exact(parts.iter().map(|p| p.candidates.len()).sum());
    for part in parts {
        whole.merge(part);
    }
    whole.classify_patches(text);
    whole
}

impl Scan {
    fn merge(&mut self, part: Scan) {
        self.candidates.extend(part.candidates);
        self.quoted_once += part.quoted_once;
        self.deeper_than_text += part.deeper_than_text;
        self.deep_as_text += part.deep_as_text;
        self.crlf += part.crlf;
        self.lone_cr += part.lone_cr;
        self.first_lone_cr = self.first_lone_cr.or(part.first_lone_cr);
        self.nul_bytes += part.nul_bytes;
        self.quoted_blocks.merge(part.quoted_blocks);
        part.nul_runs.into_iter().for_each(|nuls| self.add_nuls(nuls));
    }

    /// The first line of a patch is a From_ line in a file of patches, which begins with such a date. Elsewhere a
    /// mail contains the patch.
    fn classify_patches(&mut self, text: &[u8]) {
        if !self.candidates.iter().any(|c| c.is_patch) {
            return;
        }
        let is_separator =
            |c: &&Candidate| c.line == LineClass::Dated && c.next == NextLine::Header && !c.glued;
        let first = self.candidates.iter().find(is_separator);
        let line = first.map(|c| &text[c.offset as usize..c.end() as usize]).unwrap_or_default();
        if !from_line::parse(line).has_git_date() {
            let patches = self.candidates.iter_mut().filter(|c| c.is_patch);
            patches.for_each(|c| c.line = LineClass::Unknown);
        }
    }

    fn add_nuls(&mut self, nuls: NulRun) {
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

    /// Counts the CRs and NULs in a range.
    fn count_control_bytes(&mut self, text: &[u8], range: Range<usize>) {
        let bytes = &text[range.clone()];
        for at in memchr::memchr_iter(b'\r', bytes) {
            if text.get(range.start + at + 1) == Some(&b'\n') {
                self.crlf += 1;
            } else {
                self.lone_cr += 1;
                self.first_lone_cr.get_or_insert((range.start + at) as u64);
            }
        }
        let mut rest = 0;
        while let Some(at) = memchr(0, &bytes[rest..]) {
            let start = rest + at;
            let len = bytes[start..].iter().take_while(|&&b| b == 0).count();
            self.nul_bytes += len as u64;
            let at = (range.start + start) as u64;
            self.add_nuls(NulRun { range: at..at + len as u64, count: len as u64 });
            rest = start + len;
        }
    }

    fn add_quoted(&mut self, text: &[u8], start: usize, depth: usize) {
        // Directly after a From_ line it is a header line of UUCP, not quoting.
        let before = line_before(text, start);
        if before.is_some_and(begins_from_line) {
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

/// Reports whether a candidate begins at `at`.
pub(crate) fn is_candidate(text: &[u8], at: usize) -> bool {
    begins_from_line(&text[at..]) && (is_line_start(text, at) || GluedScan::default().is_glued(text, at))
}

fn scan_window(text: &[u8], window: Range<usize>) -> Scan {
    let mut scan = Scan::default();
    let mut glued = GluedScan::default();
    // A needle that begins in this window may end in the next one.
    let reach = &text[window.start..(window.end + 4).min(text.len())];
    for at in memmem::find_iter(reach, b"From ") {
        let at = window.start + at;
        if is_line_start(text, at) {
            if begins_from_line(&text[at..]) {
                scan.candidates.push(classify(text, at));
            }
            continue;
        }
        if text[at - 1] == b'>' {
            scan.quoted_blocks.add(at - 1);
            let depth = text[..at].iter().rev().take_while(|&&b| b == b'>').count();
            if is_line_start(text, at - depth) {
                scan.add_quoted(text, at - depth, depth);
                continue;
            }
        }
        if glued.is_glued(text, at) {
            scan.candidates.push(Candidate { glued: true, ..classify(text, at) });
        }
    }
    // Most mailboxes have neither, and one search takes half the time of two.
    if let Some(first) = memchr2(b'\r', 0, &text[window.clone()]) {
        scan.count_control_bytes(text, window.start + first..window.end);
    }
    scan
}

fn classify(text: &[u8], at: usize) -> Candidate {
    let end = from_line_end(text, at);
    let parsed = from_line::parse(&text[at..end]);
    let len = u32::try_from(end - at);
    let next = next_line(&text[end..]);
    let line = match (parsed.class, next) {
        (LineClass::Shaped, NextLine::Header) => LineClass::Dated,
        (LineClass::Shaped, _) => LineClass::Unknown,
        (class, _) => class,
    };
    Candidate {
        offset: at as u64,
        len: len.unwrap_or(u32::MAX),
        spelling: parsed.spelling,
        line,
        next,
        blank_before: blank_before(text, at),
        dash: text[at..end].trim_ascii() == b"From -" || parsed.sender == b"-",
        blank: closing_blank(&text[..at]) as u8,
        may_have_length: match next {
            NextLine::Header => len.is_err() || length::content_length(&text[end..]).is_some(),
            NextLine::Empty | NextLine::Text => true,
        },
        heads_attached: line == LineClass::Dated && attached_above(&text[..at]).is_some(),
        is_patch: parsed.is_patch(),
        glued: false,
    }
}

/// Returns the offset after a candidate. Its line end may be lost in a hole, so it also ends where the next
/// candidate begins. That way a line with a million candidates is scanned once.
fn from_line_end(text: &[u8], at: usize) -> usize {
    memchr::memchr2_iter(b'\n', 0, &text[at..])
        .map(|n| at + n + 1)
        .find(|&end| text[end - 1] == b'\n' || begins_from_line(&text[end..]))
        .unwrap_or(text.len())
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

/// Returns how deep the text around a quoted line is itself quoted: the deeper one of the nearest lines above
/// and below that are not From lines. Only a few lines are read, so that the cost stays linear in a file of
/// From lines.
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

/// Counts the leading `>`. Replies have blanks between them.
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
        // An unknown language, and then a header or not.
        assert_eq!(classes("\nFrom a@b Foo  1 10:00:05 2001\nA: 1\n"), ["DHB"]);
        assert_eq!(classes("\nFrom a@b Foo  1 10:00:05 2001\ntext\n"), ["UTB"]);
        assert_eq!(classes("\nFrom a@b Foo  1 10:00:05 2001\n\n"), ["UEB"]);
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
