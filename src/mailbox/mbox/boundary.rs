//! The second pass: which candidates begin a message. The decision table, row by row; what decided
//! is kept, so that `inspect --boundaries` can show it and a person can overrule it.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use memchr::memmem;

use super::from_line::{LineClass, Spelling};
use super::length::{self, ContentLength};
use super::scan::{self, Candidate, NextLine};
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::mbox::scan_hooks::ScanHooks;
use crate::mailbox::message::header;
use crate::mailbox::text::plural;

/// What became of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// A message begins after this line.
    Separator,
    /// A From_ line that begins no message of its own, directly below one that does (or below the
    /// line that opens an MMDF frame).
    Doubled,
    /// Text of the message it stands in.
    Body,
}

impl Verdict {
    /// The word in boundary lists.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Separator => "separator",
            Verdict::Doubled => "doubled",
            Verdict::Body => "body",
        }
    }
}

/// Why: a row of the table, or a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Row 1 to 11 of the decision table.
    Row(u8),
    /// `--boundaries`.
    User,
}

/// A candidate with its verdict and the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The line.
    pub candidate: Candidate,
    /// What it is.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
}

/// Where a message lies. Everything between one message's `end` and the next one's `at` is separator
/// or junk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first byte of its From_ line; the first byte of the message where there is none.
    pub at: u64,
    /// The first byte of the message, after its From_ lines.
    pub start: u64,
    /// The byte after its last.
    pub end: u64,
}

impl Extent {
    /// The From_ lines in the source.
    pub fn from_lines<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.at as usize..self.start as usize]
    }

    /// The message as it lies in the source.
    pub fn message<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.start as usize..self.end as usize]
    }
}

/// The whole file, divided.
#[derive(Debug, Default, Clone)]
pub struct Boundaries {
    /// The messages in file order.
    pub messages: Vec<Extent>,
    /// Every candidate, where they were asked for.
    pub decisions: Vec<Decision>,
    /// Stretches outside of every message that are not separators.
    pub junk: Vec<Range<u64>>,
    /// Messages with a validated Content-Length.
    pub lengths: u64,
    /// Unquoted From_ lines under such a length.
    pub raw_under_length: u64,
    /// Whether the file is framed (MMDF).
    pub framed: bool,
    /// What was odd.
    pub findings: Vec<Finding>,
}

/// Verdicts of a person by offset.
pub type Overrides = BTreeMap<u64, Verdict>;

/// What is known of a file before its candidates are decided.
#[derive(Debug, Clone, Copy)]
pub struct BoundaryOptions<'a> {
    /// Whether to look for MMDF frames.
    pub framed: bool,
    /// Whether the writer quoted every From_ line in a body, as an mboxrd writer does: then one that
    /// stands unquoted is none of a body, also where row 4 would say so. (Seen in an archive whose
    /// messages had been split at the From_ line of an attachment before they were written as mboxrd.)
    pub quotes_all: bool,
    /// The user's verdicts.
    pub overrides: &'a Overrides,
    /// Whether somebody wants to know of every candidate what became of it.
    pub keep_candidates: bool,
}

/// Decides all candidates of `text`.
pub fn decide(
    text: &[u8],
    candidates: &[Candidate],
    known: BoundaryOptions<'_>,
    watch: ScanHooks<'_>,
) -> Boundaries {
    let BoundaryOptions { framed, quotes_all, overrides: overrules, keep_candidates: tell_all } = known;
    let frames = if framed { find_frames(text) } else { Vec::new() };
    let confident = candidates.iter().filter(|c| c.is_confident());
    let mut pass = Pass {
        text,
        candidates,
        overrules,
        quotes_all,
        tell_all,
        mozilla: confident.clone().any(|c| c.dash),
        confident: confident.map(|c| c.spelling).collect(),
        undated: undated_spellings(candidates),
        open: None,
        watch,
        handed_back: 0,
        out: Boundaries { framed, ..Boundaries::default() },
    };
    if tell_all {
        pass.out.decisions.reserve_exact(candidates.len());
    }
    let mut next = 0;
    for frame in frames {
        let before = candidates.partition_point(|c| c.offset < frame.open);
        pass.stretch(next..before);
        pass.close(frame.open, None);
        let inside = candidates.partition_point(|c| c.offset < frame.end);
        pass.frame(&frame, before..inside);
        next = inside;
    }
    pass.stretch(next..candidates.len());
    pass.close(text.len() as u64, None);
    pass.out.messages.shrink_to_fit();
    pass.out.junk = junk(text, &pass.out, framed);
    report_junk(text, &mut pass.out);
    pass.out
}

/// How undated separators of this file are spelled: those between a blank line and a header.
fn undated_spellings(candidates: &[Candidate]) -> HashSet<Spelling> {
    let known = |c: &&Candidate| c.line == LineClass::Known && c.next == NextLine::Header && c.blank_before;
    candidates.iter().filter(known).map(|c| c.spelling).collect()
}

/// The message that is being read.
struct Open {
    at: u64,
    start: u64,
    /// Its Content-Length; looked at once the From_ lines are known to be over.
    length: Option<Option<ContentLength>>,
    /// Whether it may have one.
    may_have_length: bool,
}

struct Pass<'a> {
    text: &'a [u8],
    candidates: &'a [Candidate],
    overrules: &'a Overrides,
    quotes_all: bool,
    tell_all: bool,
    confident: HashSet<Spelling>,
    undated: HashSet<Spelling>,
    mozilla: bool,
    open: Option<Open>,
    watch: ScanHooks<'a>,
    handed_back: usize,
    out: Boundaries,
}

impl Pass<'_> {
    /// Candidates outside of frames.
    fn stretch(&mut self, range: Range<usize>) {
        for n in range {
            if self.watch.is_interrupted() {
                return;
            }
            let mut candidate = self.candidates[n];
            // Before the first separator there is only junk, and junk is as good as a blank line.
            candidate.blank_before |= self.open.is_none() && self.out.messages.is_empty();
            let (verdict, reason) = match self.overrules.get(&candidate.offset) {
                // Anywhere else it would make a From_ line of all the mail above it.
                Some(Verdict::Doubled) if !self.is_directly_below(&candidate) => {
                    (Verdict::Body, Reason::User)
                }
                Some(&verdict) => (verdict, Reason::User),
                None => {
                    let (row, verdict) = self.row(&candidate, n);
                    (verdict, Reason::Row(row))
                }
            };
            self.carry_out(candidate, verdict, reason);
        }
    }

    /// The table: the first row that fits.
    fn row(&mut self, c: &Candidate, n: usize) -> (u8, Verdict) {
        use {LineClass::*, NextLine::*, Verdict::*};
        if self.is_directly_below(c) {
            return (1, Doubled);
        }
        if let Some(length) = self.length() {
            if c.offset < length.separator {
                return (2, Body);
            }
            if c.offset == length.separator {
                return (3, Separator);
            }
        }
        if c.heads_attached && !self.quotes_all && self.is_attached(c, n) {
            return (4, Body);
        }
        let blank = c.blank_before;
        match (c.line, c.next) {
            (Dated, Header) => (5, Separator),
            (Dated, Empty) if blank => (6, Separator),
            (Dated, Empty) if self.confident.contains(&c.spelling) => (7, Separator),
            (Dated, Empty) => (7, Body),
            (Dated, Text) => (8, Body),
            // Without a confident one in the file the undated ones are all there is to go by.
            (Known, Header) if blank => {
                let separator = self.confident.is_empty() || self.is_mozilla(c) || self.names_its_sender(c);
                (9, if separator { Separator } else { Body })
            }
            (Known, Header) => {
                let spelled_so = self.confident.is_empty() && self.undated.contains(&c.spelling);
                (10, if spelled_so || self.is_mozilla(c) { Separator } else { Body })
            }
            _ => (11, Body),
        }
    }

    fn carry_out(&mut self, c: Candidate, verdict: Verdict, reason: Reason) {
        self.report(&c, verdict, reason);
        match verdict {
            Verdict::Separator => {
                self.close(c.offset, Some(&c));
                if c.line == LineClass::Known {
                    self.undated.insert(c.spelling);
                }
                let may_have_length = c.may_have_length;
                self.open = Some(Open { at: c.offset, start: c.end(), length: None, may_have_length });
            }
            Verdict::Doubled => {
                if let Some(open) = &mut self.open {
                    open.start = c.end();
                    open.length = None;
                    open.may_have_length = c.may_have_length;
                }
            }
            Verdict::Body if reason == Reason::Row(2) => self.out.raw_under_length += 1,
            Verdict::Body => {}
        }
        self.tell(c, verdict, reason);
    }

    fn tell(&mut self, candidate: Candidate, verdict: Verdict, reason: Reason) {
        if self.tell_all {
            self.out.decisions.push(Decision { candidate, verdict, reason });
        }
    }

    /// The validated Content-Length of the open message.
    fn length(&mut self) -> Option<ContentLength> {
        let open = self.open.as_mut()?;
        if let Some(known) = open.length {
            return known;
        }
        let (length, finding) = match open.may_have_length {
            true => length::validate(self.text, open.start, self.candidates),
            false => (None, None),
        };
        open.length = Some(length);
        self.out.lengths += u64::from(length.is_some());
        self.out.findings.extend(finding);
        length
    }

    /// Whether the line before is the open message's From_ line.
    fn is_directly_below(&self, c: &Candidate) -> bool {
        self.open.as_ref().is_some_and(|open| open.start == c.offset)
    }

    /// Row 4: the From_ line that some writers leave at the head of an attached message.
    fn is_attached(&self, c: &Candidate, n: usize) -> bool {
        let Some(open) = &self.open else { return false };
        let until = self.candidates.get(n + 1).map_or(self.text.len() as u64, |next| next.offset);
        let message = &self.text[open.start as usize..c.offset as usize];
        let rest = &self.text[c.end() as usize..until as usize];
        heads_attached_message(message, rest)
    }

    /// Mozilla writes `From - ` and a date, and at times leaves the date out: in a file of its making
    /// the one is spelled like the other.
    fn is_mozilla(&self, c: &Candidate) -> bool {
        self.mozilla && c.dash
    }

    /// An undated line whose one word is the very address that the header below it names as sender:
    /// no prose does that.
    fn names_its_sender(&self, c: &Candidate) -> bool {
        const MOST: usize = 16 * 1024;
        let address = self.line(c)[5..].trim_ascii();
        let below = &self.text[c.end() as usize..];
        let header = header::split(&below[..below.len().min(MOST)]).header;
        address.contains(&b'@')
            && header::fields(header).any(|f| {
                (f.is("From") || f.is("Sender") || f.is("Return-Path"))
                    && memmem::find(f.value, address).is_some()
            })
    }

    fn line(&self, c: &Candidate) -> &[u8] {
        &self.text[c.offset as usize..c.end() as usize]
    }

    /// Ends the open message, if there is one, before the candidate that begins the next.
    fn close(&mut self, at: u64, next: Option<&Candidate>) {
        self.length();
        let Some(open) = self.open.take() else { return };
        let region = &self.text[open.start as usize..at as usize];
        let at_file_end = at == self.text.len() as u64;
        if at_file_end && !region.is_empty() && !header::split(region).closed {
            self.out.findings.push(header_cut(open.at, region));
        }
        self.hand_back(open.at as usize);
        let blank = match next {
            // Longer than any blank line and what makes it one: what the candidate says holds here.
            Some(candidate) if region.len() > 3 => candidate.blank.into(),
            _ => closing_blank(region),
        };
        self.out.messages.push(Extent { at: open.at, start: open.start, end: at - blank as u64 });
    }

    /// Headers were read up to here: their pages need not stay ours.
    fn hand_back(&mut self, until: usize) {
        const STEP: usize = 8 << 20;
        if until >= self.handed_back + STEP {
            (self.watch.on_release)(self.handed_back..until);
            self.handed_back = until;
        }
    }

    /// A frame's message: its From_ line, if it has one, then all up to the closing line.
    fn frame(&mut self, frame: &Frame, inside: Range<usize>) {
        let (at, mut start) = (frame.start, frame.start);
        for n in inside {
            let candidate = self.candidates[n];
            let is_envelope = candidate.offset == start && candidate.line != LineClass::Unknown;
            let (row, verdict) = if is_envelope { (1, Verdict::Doubled) } else { (2, Verdict::Body) };
            if is_envelope {
                start = candidate.end().min(frame.end);
            } else {
                self.report(&candidate, verdict, Reason::Row(row));
            }
            self.tell(candidate, verdict, Reason::Row(row));
        }
        if !frame.closed {
            let message = "this MMDF frame is never closed; read up to the end of the file";
            self.out.findings.push(Finding::at(Code::MmdfUnclosed, frame.open, message));
        }
        self.out.messages.push(Extent { at, start, end: frame.end });
    }

    fn report(&mut self, c: &Candidate, verdict: Verdict, reason: Reason) {
        let Reason::Row(row) = reason else {
            if verdict == Verdict::Body && self.overrules.get(&c.offset) == Some(&Verdict::Doubled) {
                let message = "--boundaries calls this doubled, but it is not directly below a From_ line: left in the body";
                self.out.findings.push(Finding::at(Code::MboxFromInBody, c.offset, message));
                return;
            }
            let message = format!("decided by --boundaries: {}", verdict.name());
            self.out.findings.push(Finding::at(Code::MboxUserBoundary, c.offset, message));
            return;
        };
        let finding = match (row, verdict) {
            (1, _) => Some((Code::MboxDoubledFrom, "a second From_ line directly below the first: no message of its own".into())),
            (2, _) if c.is_confident() => Some((Code::MboxCoveredFrom, self.covering())),
            (3, _) if !c.blank_before => Some((
                Code::MboxLengthNoBlank,
                "the Content-Length ends exactly here, but no blank line stands before this From_ line".into(),
            )),
            (4, _) => Some((
                Code::MboxAttachedFrom,
                "this From_ line heads an attached message whose multipart is closed below: left in the body".into(),
            )),
            (5, _) if !c.blank_before => Some((
                Code::MboxNoBlankLine,
                "no blank line before this From_ line; it has a date and a header follows, so a message begins here".into(),
            )),
            (6, _) => Some((Code::MboxNoHeader, "this message has no header, or is empty".into())),
            (7, Verdict::Separator) => Some((
                Code::MboxNoHeader,
                "no blank line before this From_ line and no header after it; it is spelled like the others, so a message begins here".into(),
            )),
            (7, _) => Some((
                Code::MboxFromInBody,
                "has a date, but no blank line before it, no header after it, and no other separator is spelled so: left in the body".into(),
            )),
            (8, _) => Some((
                Code::MboxFromInBody,
                "has a date, but no header follows: left in the body".into(),
            )),
            (9 | 10, Verdict::Separator) if self.confident.is_empty() => Some((
                Code::MboxUndated,
                "a From_ line without a date; a header follows and the file has no dated ones, so a message begins here".into(),
            )),
            (9 | 10, Verdict::Separator) if self.is_mozilla(c) => Some((
                Code::MboxUndated,
                "a From_ line without a date, as Mozilla writes it at times; a message begins here".into(),
            )),
            (9 | 10, Verdict::Separator) => Some((
                Code::MboxUndated,
                "a From_ line without a date; the header below names the same sender, so a message begins here".into(),
            )),
            (9 | 10, _) => Some((
                Code::MboxFromInBody,
                "a header follows, but the line has no date and the file's other separators have: left in the body".into(),
            )),
            (11, _) if c.next == NextLine::Header => Some((
                Code::MboxFromInBody,
                "a header follows, but the line is no known form of a From_ line: left in the body".into(),
            )),
            _ => None,
        };
        if let Some((code, message)) = finding {
            let finding = Finding::at(code, c.offset, message);
            self.out.findings.push(if code == Code::MboxFromInBody || code == Code::MboxUndated {
                finding.with_hint(
                    "mailferry inspect --boundaries, then convert --boundaries FILE, decides it otherwise",
                )
            } else {
                finding
            });
        }
    }

    fn covering(&self) -> std::borrow::Cow<'static, str> {
        match self.open.as_ref().and_then(|open| Some((open.at, open.length??))) {
            Some((at, length)) => format!(
                "looks like a separator, but the message at byte {at} has a Content-Length that ends rightly at byte {}: left in the body",
                length.end
            )
            .into(),
            None => "looks like a separator, but stands inside an MMDF frame: left in the body".into(),
        }
    }
}

/// A header that no empty line ends, at the end of the file. Where its last line is whole, it may be all there
/// ever was.
pub(crate) fn header_cut(at: u64, message: &[u8]) -> Finding {
    if message.ends_with(b"\n") {
        let text = "the file ends with the header of this message: it has no body, or that is cut off";
        return Finding::at(Code::MboxHeaderCut, at, text);
    }
    let text = "the file ends inside the header of this message";
    Finding::at(Code::MboxHeaderCut, at, text).with_hint("look for the rest of it in a backup")
}

/// Length of the blank line that ends a stretch: the separator's, no part of the message.
pub(crate) fn closing_blank(region: &[u8]) -> usize {
    let Some(rest) = region.strip_suffix(b"\n") else { return 0 };
    let above = rest.strip_suffix(b"\r").unwrap_or(rest);
    let is_blank = above.is_empty() || above.ends_with(b"\n");
    if is_blank { region.len() - above.len() } else { 0 }
}

/// See [`Pass::is_attached`]. `message` ends directly before the candidate.
fn heads_attached_message(message: &[u8], rest: &[u8]) -> bool {
    attached_above(message).is_some_and(|boundary| {
        declares(message, boundary) && memmem::find(rest, &[b"\n--", boundary, b"--"].concat()).is_some()
    })
}

/// The boundary under which the head of an attached message stands at the end of this text, and below it the
/// blank line above a candidate.
pub(crate) fn attached_above(text: &[u8]) -> Option<&[u8]> {
    // The header block of the part: the lines between the blank line above the candidate and the
    // boundary line that opens the part. Part headers are short; prose is not searched for long.
    const MOST: usize = 8 * 1024;
    let block_end = text.len().checked_sub(closing_blank(text)).filter(|&end| end < text.len())?;
    let block = &text[block_end.saturating_sub(MOST)..block_end];
    let mut start = block.len();
    let (line, part) = loop {
        let end = start;
        start = memchr::memrchr(b'\n', &block[..end.checked_sub(1)?])? + 1;
        match &block[start..end] {
            // Above it no header is open.
            [b'\n'] | [b'\r', b'\n'] => return None,
            line if line.starts_with(b"--") => break (line, &block[end..]),
            _ => {}
        }
    };
    let boundary = line[2..].trim_ascii_end();
    let is_attached = |field: header::Field<'_>| {
        field.is("Content-Type")
            && field.value.trim_ascii_start().to_ascii_lowercase().starts_with(b"message/rfc822")
    };
    (!boundary.is_empty() && header::fields(part).any(is_attached)).then_some(boundary)
}

/// Whether `boundary=` with this value stands in the message.
fn declares(message: &[u8], boundary: &[u8]) -> bool {
    memmem::find_iter(message, boundary).any(|at| {
        let before = message[..at].strip_suffix(b"\"").unwrap_or(&message[..at]);
        let word = &before[before.len().saturating_sub(9)..];
        word.eq_ignore_ascii_case(b"boundary=")
    })
}

/// One framed message.
struct Frame {
    /// The opening line.
    open: u64,
    /// After the opening line.
    start: u64,
    /// The closing line, or the end of the file.
    end: u64,
    closed: bool,
}

/// The lines of four ^A, with their line ends.
pub fn frame_lines(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    memmem::find_iter(text, scan::FRAME).filter_map(|at| {
        let end = scan::line_end(text, at);
        let at_start = at == 0 || text[at - 1] == b'\n';
        (at_start && text[at..end].trim_ascii_end() == scan::FRAME).then_some(at..end)
    })
}

/// Pairs the lines of four ^A: each opens a frame or closes the open one (mmdf(5)).
fn find_frames(text: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut open: Option<Range<u64>> = None;
    for Range { start: at, end } in frame_lines(text) {
        match open.take() {
            None => open = Some(at as u64..end as u64),
            Some(opening) => {
                frames.push(Frame { open: opening.start, start: opening.end, end: at as u64, closed: true });
            }
        }
    }
    if let Some(opening) = open {
        frames.push(Frame { open: opening.start, start: opening.end, end: text.len() as u64, closed: false });
    }
    frames
}

/// What lies before and between messages and is neither a blank line nor a frame line.
fn junk(text: &[u8], found: &Boundaries, framed: bool) -> Vec<Range<u64>> {
    let mut junk = Vec::new();
    let first = found.messages.first().map_or(text.len() as u64, |m| m.at);
    if !framed {
        if first > 0 {
            junk.push(0..first);
        }
        return junk;
    }
    let mut from = 0;
    let ends = found.messages.iter().map(|m| (m.at, m.end)).chain([(text.len() as u64, text.len() as u64)]);
    for (at, end) in ends {
        let gap = &text[from as usize..at as usize];
        let mut offset = from;
        for line in gap.split_inclusive(|&b| b == b'\n') {
            let trimmed = line.trim_ascii_end();
            if !trimmed.is_empty() && trimmed != scan::FRAME {
                match junk.last_mut() {
                    Some(Range { end, .. }) if *end == offset => *end = offset + line.len() as u64,
                    _ => junk.push(offset..offset + line.len() as u64),
                }
            }
            offset += line.len() as u64;
        }
        from = end;
    }
    junk
}

fn report_junk(text: &[u8], found: &mut Boundaries) {
    for range in &found.junk {
        let bytes = &text[range.start as usize..range.end as usize];
        let (mark, rest) = match bytes.strip_prefix(scan::BOM) {
            Some(rest) if range.start == 0 => (true, rest),
            _ => (false, bytes),
        };
        if mark {
            found.findings.push(Finding::at(
                Code::MboxBom,
                0,
                "the file begins with a UTF-8 byte order mark",
            ));
        }
        if rest.is_empty() {
            continue;
        }
        let offset = range.end - rest.len() as u64;
        found.findings.push(if rest.trim_ascii().is_empty() {
            let bytes = plural(rest.len() as u64, "byte");
            let message = format!("{bytes} of blank lines before the first message");
            Finding::at(Code::MboxBlankLead, offset, message)
        } else {
            let bytes = plural(rest.len() as u64, "byte");
            let message = format!("{bytes} that belong to no message; they are not converted");
            let finding = Finding::at(Code::MboxJunk, offset, message);
            // A bare message to which one is attached with its From_ line, say.
            if range.start == 0 && header::is_field_line(rest) {
                finding.with_hint("if the whole file is one message, write rfc822: before the path")
            } else {
                finding
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::mbox::read::{self, ReadOptions};

    /// What a text is decided to be: a line a candidate, the number of messages, what is said of it.
    fn decided(text: &str, overrules: Overrides) -> (Vec<String>, usize, Vec<&'static str>) {
        let ask = ReadOptions {
            keep_candidates: true,
            allow_empty: true,
            overrides: overrules,
            ..ReadOptions::default()
        };
        let mbox = read::read(text.as_bytes(), &ask, ScanHooks::none()).unwrap();
        let line = |d: &Decision| match d.reason {
            Reason::Row(row) => format!("{} {row} {}", d.candidate.class(), d.verdict.name()),
            Reason::User => format!("{} user {}", d.candidate.class(), d.verdict.name()),
        };
        let lines = mbox.boundaries.decisions.iter().map(line).collect();
        let said = mbox.findings.iter().map(|f| f.code).filter(|&c| c != Code::MboxVariant);
        (lines, mbox.messages().len(), said.map(Code::name).collect())
    }

    /// In the texts: `@` at the start of a line is a From_ line with a date, `%` one with a date in
    /// another spelling, `~` Mozilla's; `^` is a frame.
    fn spelled_out(text: &str) -> String {
        let lines = text.split_inclusive('\n').map(|line| match line {
            "@\n" => "From a@b.example Mon Jan  1 10:00:05 2001\n",
            "%\n" => "From a@b.example Mon, 1 Jan 2001 10:00:05 +0100\n",
            "~\n" => "From - Mon Jan  1 10:00:05 2001\n",
            "^\n" => "\u{1}\u{1}\u{1}\u{1}\n",
            _ => line,
        });
        lines.collect()
    }

    #[track_caller]
    fn check(text: &str, lines: &[&str], messages: usize, codes: &[&str]) {
        let found = decided(&spelled_out(text), Overrides::new());
        assert_eq!((&found.0[..], found.1, &found.2[..]), (&strings(lines)[..], messages, codes), "{text:?}");
    }

    fn strings(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|&l| l.to_owned()).collect()
    }

    #[test]
    fn row_1_a_from_line_below_a_from_line_is_its_double() {
        check("@\n@\nA: 1\n\nx\n", &["DHB 5 separator", "DHN 1 doubled"], 1, &["mbox-doubled-from"]);
        check(
            "@\nFrom over here\nFrom over there\nA: 1\n\nx\n",
            &["DHB 5 separator", "UHN 1 doubled", "UHN 1 doubled"],
            1,
            &["mbox-doubled-from", "mbox-doubled-from"],
        );
        // One line of header between them, and it is a message of its own.
        check("@\nA: 1\n@\nA: 2\n\nx\n", &["DHB 5 separator", "DHN 5 separator"], 2, &["mbox-no-blank-line"]);
    }

    #[test]
    fn row_2_what_a_frame_or_a_right_length_covers_is_body() {
        let covered = "x\n\n@\nB: 2\n\ny\n";
        let length = spelled_out(covered).len();
        let text = |length| format!("@\nContent-Length: {length}\n\n{covered}\n@\nC: 3\n\nz\n");
        check(
            &text(length),
            &["DHB 5 separator", "DHB 2 body", "DHB 3 separator"],
            2,
            &["mbox-covered-from"],
        );
        check(
            &text(length - 3),
            &["DHB 5 separator", "DHB 5 separator", "DHB 5 separator"],
            3,
            &["mbox-content-length"],
        );
        // Only what would have been a separator is told.
        check(
            "@\nContent-Length: 17\n\nFrom the bottom\n\n\n@\nC: 3\n",
            &["DHB 5 separator", "UEB 2 body", "DHB 3 separator"],
            2,
            &["mbox-header-cut"],
        );
        check(
            "^\n@\nA: 1\n\nx\n\n@\nB: 2\n^\n^\nC: 3\n\n@\ny\n^\n",
            &["DHB 1 doubled", "DHB 2 body", "DTB 2 body"],
            2,
            &["mbox-covered-from"],
        );
        check(
            "^\n@\nA: 1\n\n@\nB: 2\n",
            &["DHB 1 doubled", "DHB 2 body"],
            1,
            &["mbox-covered-from", "mmdf-unclosed"],
        );
    }

    #[test]
    fn row_3_where_a_right_length_ends_a_message_begins() {
        check("@\nContent-Length: 2\n\nx\n\n@\nB: 2\n\ny\n", &["DHB 5 separator", "DHB 3 separator"], 2, &[]);
        check(
            "@\nContent-Length: 2\n\nx\n@\nB: 2\n\ny\n",
            &["DHB 5 separator", "DHN 3 separator"],
            2,
            &["mbox-length-no-blank"],
        );
        check(
            "@\nContent-Length: 1\n\nxyz\n\n@\nB: 2\n\ny\n",
            &["DHB 5 separator", "DHB 5 separator"],
            2,
            &["mbox-content-length"],
        );
    }

    #[test]
    fn row_4_the_from_line_of_an_attached_message_is_body_if_its_multipart_is_closed_below() {
        let text = |boundary: &str, part: &str, below: &str| {
            format!(
                "@\nContent-Type: multipart/mixed; boundary=\"{boundary}\"\n\n--b\nContent-Type: {part}\n\n@\nA: 1\n\nx\n{below}"
            )
        };
        let body = |text: &str| {
            check(text, &["DHB 5 separator", "DHB 4 body"], 1, &["mbox-attached-from"]);
        };
        let separator = |text: &str| check(text, &["DHB 5 separator", "DHB 5 separator"], 2, &[]);
        body(&text("b", "message/rfc822", "\n--b--\n"));
        body(&text("b", "Message/RFC822; name=x", "\n--b--\n"));
        separator(&text("b", "message/rfc822", ""));
        separator(&text("b", "message/rfc822", "\n--c--\n"));
        separator(&text("b", "text/plain", "\n--b--\n"));
        separator(&text("c", "message/rfc822", "\n--b--\n"));
        // The closing line has to come before the next candidate.
        check(
            &text("b", "message/rfc822", "\n@\nB: 2\n\n--b--\n"),
            &["DHB 5 separator", "DHB 5 separator", "DHB 5 separator"],
            3,
            &[],
        );
        // A writer who quotes every From_ line has left none of them in a body.
        separator(&text("b", "message/rfc822", "\n--b--\n\ny\n>>From here\ny\n"));
    }

    #[test]
    fn row_5_a_date_above_and_a_header_below_make_a_separator() {
        check("@\nA: 1\n\nx\n\n@\nB: 2\n\ny\n", &["DHB 5 separator", "DHB 5 separator"], 2, &[]);
        check("@\n>From uucp\nA: 1\n\nx\n", &["DHB 5 separator"], 1, &[]);
        check(
            "@\nA: 1\n\nx\n@\nB: 2\n\ny\n",
            &["DHB 5 separator", "DHN 5 separator"],
            2,
            &["mbox-no-blank-line"],
        );
        // Junk before the first separator is as good as a blank line.
        check("junk\n@\nA: 1\n\nx\n", &["DHB 5 separator"], 1, &["mbox-junk"]);
    }

    #[test]
    fn row_6_a_message_without_header_needs_a_blank_line_before() {
        check("@\nA: 1\n\nx\n\n@\n\ny\n", &["DHB 5 separator", "DEB 6 separator"], 2, &["mbox-no-header"]);
        check("@\n", &["DEB 6 separator"], 1, &["mbox-no-header"]);
        check(
            "@\n\n@\n\n",
            &["DEB 6 separator", "DEB 6 separator"],
            2,
            &["mbox-no-header", "mbox-no-header"],
        );
    }

    #[test]
    fn row_7_without_blank_line_and_header_the_spelling_decides() {
        check("@\nA: 1\n\nx\n@\n\ny\n", &["DHB 5 separator", "DEN 7 separator"], 2, &["mbox-no-header"]);
        check("@\nA: 1\n\nx\n%\n\ny\n", &["DHB 5 separator", "DEN 7 body"], 1, &["mbox-from-in-body"]);
    }

    #[test]
    fn row_8_a_date_with_text_below_is_a_quotation() {
        for blank in ["", "\n"] {
            let class = if blank.is_empty() { "DTN 8 body" } else { "DTB 8 body" };
            check(
                &format!("@\nA: 1\n\nx\n{blank}@\nwrote this\n"),
                &["DHB 5 separator", class],
                1,
                &["mbox-from-in-body"],
            );
        }
    }

    #[test]
    fn row_9_an_undated_line_counts_where_it_is_all_there_is_or_has_a_witness() {
        let undated = ["mbox-undated"];
        check(
            "From a@b\nA: 1\n\nx\n\nFrom joe\nB: 2\n\ny\n",
            &["KHB 9 separator", "KHB 9 separator"],
            2,
            &["mbox-undated", "mbox-undated"],
        );
        let separator = ["DHB 5 separator", "KHB 9 separator"];
        let body = ["DHB 5 separator", "KHB 9 body"];
        // A confident one in the file, and nothing that speaks for the undated one.
        check("@\nA: 1\n\nx\n\nFrom c@d\nB: 2\n\ny\n", &body, 1, &["mbox-from-in-body"]);
        // Its address is the sender's.
        for field in ["From: C <c@d>", "Sender: c@d", "Return-Path: <c@d>"] {
            check(&format!("@\nA: 1\n\nx\n\nFrom c@d\n{field}\n\ny\n"), &separator, 2, &undated);
        }
        check("@\nA: 1\n\nx\n\nFrom c@d\nTo: c@d\n\ny\n", &body, 1, &["mbox-from-in-body"]);
        check("@\nA: 1\n\nx\n\nFrom joe\nFrom: joe\n\ny\n", &body, 1, &["mbox-from-in-body"]);
        check("@\nA: 1\n\nx\n\nFrom c@d\nB: 2\n\nFrom: c@d\n", &body, 1, &["mbox-from-in-body"]);
        // Mozilla forgot the date.
        check("~\nA: 1\n\nx\n\nFrom -\nB: 2\n\ny\n", &separator, 2, &undated);
        check("~\nA: 1\n\nx\n\nFrom - \nB: 2\n\ny\n", &separator, 2, &undated);
        check("@\nA: 1\n\nx\n\nFrom -\nB: 2\n\ny\n", &body, 1, &["mbox-from-in-body"]);
    }

    #[test]
    fn row_10_without_a_blank_line_others_must_be_spelled_so() {
        let undated = ["mbox-undated", "mbox-undated"];
        check(
            "From a@b\nA: 1\n\nx\nFrom c@d\nB: 2\n\ny\n",
            &["KHB 9 separator", "KHN 10 separator"],
            2,
            &undated,
        );
        check(
            "From a@b\nA: 1\n\nx\nFrom joe\nB: 2\n\ny\n",
            &["KHB 9 separator", "KHN 10 body"],
            1,
            &["mbox-undated", "mbox-from-in-body"],
        );
        check(
            "@\nA: 1\n\nx\nFrom c@d\nFrom: c@d\n\ny\n",
            &["DHB 5 separator", "KHN 10 body"],
            1,
            &["mbox-from-in-body"],
        );
        check(
            "~\nA: 1\n\nx\nFrom -\nB: 2\n\ny\n",
            &["DHB 5 separator", "KHN 10 separator"],
            2,
            &["mbox-undated"],
        );
    }

    #[test]
    fn row_11_all_else_is_body_and_told_only_if_a_header_follows() {
        check(
            "@\nA: 1\n\nx\n\nFrom the beginning\nto the end\n",
            &["DHB 5 separator", "UTB 11 body"],
            1,
            &[],
        );
        check("@\nA: 1\n\nx\n\nFrom a@b\n\n", &["DHB 5 separator", "KEB 11 body"], 1, &[]);
        check(
            "@\nA: 1\n\nx\n\nFrom the beginning\nto: the end\n",
            &["DHB 5 separator", "UHB 11 body"],
            1,
            &["mbox-from-in-body"],
        );
    }

    #[test]
    fn a_person_decides_anything_but_that_mail_is_a_from_line() {
        let text = spelled_out("@\nA: 1\n\nx\n\nFrom the beginning\nto the end\n\n@\nB: 2\n\ny\n");
        let (first, second) = (text.find("From the").unwrap() as u64, text.rfind("From a").unwrap() as u64);
        let found = decided(&text, [(first, Verdict::Separator), (second, Verdict::Body)].into());
        assert_eq!(found.0, ["DHB 5 separator", "UTB user separator", "DHB user body"]);
        assert_eq!((found.1, found.2), (2, vec!["mbox-user-boundary", "mbox-user-boundary"]));
        let found = decided(&text, [(first, Verdict::Doubled)].into());
        assert_eq!(found.0, ["DHB 5 separator", "UTB user body", "DHB 5 separator"]);
        assert_eq!((found.1, found.2), (2, vec!["mbox-from-in-body"]));
    }
}
