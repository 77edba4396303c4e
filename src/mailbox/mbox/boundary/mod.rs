//! The second pass over an mbox: decides which candidates begin a message, by the rows of the decision table.
//!
//! `inspect --boundaries` shows the verdict and the row of each candidate, and the user can overrule it.

mod findings;
mod junk;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::ops::Range;

use memchr::memmem;

use super::attachment::heads_attached_message;
use super::candidate::{Candidate, NextLine};
use super::frames::{Frame, find_frames};
use super::from_line::{LineClass, Spelling};
use super::length::{self, ContentLength};
use super::lines::closing_blank;
use super::scan_hooks::ScanHooks;
use super::verdict::{Boundaries, BoundaryOptions, Decision, Extent, Reason, Verdict};
use crate::mailbox::message::header;
use crate::mailbox::{Code, Finding};
pub(super) use findings::header_cut;
use findings::{FileFacts, OpenLength};

/// Decides all candidates of `text`.
pub(crate) fn decide(
    text: &[u8],
    candidates: &[Candidate],
    options: BoundaryOptions<'_>,
    hooks: ScanHooks<'_>,
) -> Boundaries {
    let framed = options.framed;
    let frames = if framed { find_frames(text) } else { Vec::new() };
    let confident = candidates.iter().filter(|c| c.is_confident());
    let mut pass = Pass {
        text,
        candidates,
        options,
        mozilla: confident.clone().any(|c| c.dash),
        confident: confident.map(|c| c.spelling).collect(),
        undated: undated_spellings(candidates),
        open: None,
        hooks,
        released: 0,
        out: Boundaries::default(),
    };
    if options.keep_candidates {
        pass.out.decisions.reserve_exact(candidates.len());
    }
    let mut next = 0;
    for frame in frames {
        let before = candidates.partition_point(|c| c.offset < frame.open);
        pass.outside(next..before);
        pass.close(frame.open, None);
        let inside = candidates.partition_point(|c| c.offset < frame.end);
        pass.frame(&frame, before..inside);
        next = inside;
    }
    pass.outside(next..candidates.len());
    pass.close(text.len() as u64, None);
    pass.out.messages.shrink_to_fit();
    pass.out.junk = junk::find_junk(text, &pass.out.messages, framed);
    pass.out.findings.extend(junk::about_junk(text, &pass.out.junk));
    pass.out
}

/// Returns the spellings of undated separators: of those between a blank line and a header.
fn undated_spellings(candidates: &[Candidate]) -> HashSet<Spelling> {
    let known = |c: &&Candidate| c.line == LineClass::Known && c.next == NextLine::Header && c.blank_before;
    candidates.iter().filter(known).map(|c| c.spelling).collect()
}

/// The message that is being read.
struct OpenMessage {
    at: u64,
    start: u64,
    /// Set once the last of its From_ lines was read.
    length: Option<Option<ContentLength>>,
    may_have_length: bool,
}

struct Pass<'a> {
    text: &'a [u8],
    candidates: &'a [Candidate],
    options: BoundaryOptions<'a>,
    /// The spellings of confident candidates.
    confident: HashSet<Spelling>,
    /// The spellings of undated separators.
    undated: HashSet<Spelling>,
    /// Mozilla wrote the file.
    mozilla: bool,
    open: Option<OpenMessage>,
    hooks: ScanHooks<'a>,
    released: usize,
    out: Boundaries,
}

impl Pass<'_> {
    /// Decides candidates outside of frames.
    fn outside(&mut self, range: Range<usize>) {
        for n in range {
            if self.hooks.cancel.is_requested() {
                return;
            }
            let mut candidate = self.candidates[n];
            // Before the first separator there is only junk, which counts as a blank line.
            candidate.blank_before |= self.open.is_none() && self.out.messages.is_empty();
            let (verdict, reason) = match self.options.overrides.get(&candidate.offset) {
                // Anywhere else, all the mail above it would become a From_ line.
                Some(Verdict::Doubled) if !self.follows_from_line(&candidate) => {
                    (Verdict::Body, Reason::User)
                }
                Some(&verdict) => (verdict, Reason::User),
                None => {
                    let (row, verdict) = self.row(&candidate, n);
                    (verdict, Reason::Row(row))
                }
            };
            self.apply(Decision { candidate, verdict, reason });
        }
    }

    /// Returns the first row of the decision table that applies.
    fn row(&mut self, c: &Candidate, n: usize) -> (u8, Verdict) {
        use {LineClass::*, NextLine::*, Verdict::*};
        if self.follows_from_line(c) {
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
        if c.heads_attached && !self.options.quotes_all && self.is_attached(c, n) {
            return (4, Body);
        }
        let blank = c.blank_before;
        match (c.line, c.next) {
            (Dated, Header) => (5, Separator),
            (Dated, Empty) if blank => (6, Separator),
            (Dated, Empty) if self.confident.contains(&c.spelling) => (7, Separator),
            (Dated, Empty) => (7, Body),
            (Dated, Text) => (8, Body),
            // Without a confident candidate in the file, undated lines count.
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

    fn apply(&mut self, decision: Decision) {
        self.report(&decision);
        let Decision { candidate: c, verdict, reason } = decision;
        match verdict {
            Verdict::Separator => {
                self.close(c.offset, Some(&c));
                if c.line == LineClass::Known {
                    self.undated.insert(c.spelling);
                }
                let may_have_length = c.may_have_length;
                self.open = Some(OpenMessage { at: c.offset, start: c.end(), length: None, may_have_length });
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
        self.record(decision);
    }

    fn record(&mut self, decision: Decision) {
        if self.options.keep_candidates {
            self.out.decisions.push(decision);
        }
    }

    fn report(&mut self, decision: &Decision) {
        let candidate = &decision.candidate;
        let finding = match decision.reason {
            Reason::User => {
                let user_verdict = self.options.overrides.get(&candidate.offset).copied();
                Some(findings::about_override(decision, user_verdict))
            }
            Reason::Row(row) => {
                let open = self.open.as_ref();
                let length =
                    open.and_then(|open| Some(OpenLength { message: open.at, end: open.length??.end }));
                let facts = FileFacts {
                    has_confident: !self.confident.is_empty(),
                    is_mozilla: self.is_mozilla(candidate),
                    open_length: length,
                };
                findings::about_row(row, decision, &facts)
            }
        };
        self.out.findings.extend(finding);
    }

    /// Returns the validated Content-Length of the open message.
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

    /// Reports whether the line before is a From_ line of the open message.
    fn follows_from_line(&self, c: &Candidate) -> bool {
        self.open.as_ref().is_some_and(|open| open.start == c.offset)
    }

    /// Row 4.
    fn is_attached(&self, c: &Candidate, n: usize) -> bool {
        let Some(open) = &self.open else { return false };
        let until = self.candidates.get(n + 1).map_or(self.text.len() as u64, |next| next.offset);
        let message = &self.text[open.start as usize..c.offset as usize];
        let rest = &self.text[c.end() as usize..until as usize];
        heads_attached_message(message, rest)
    }

    /// Reports whether Mozilla wrote the line. It writes `From - ` and a date, and sometimes omits the date.
    fn is_mozilla(&self, c: &Candidate) -> bool {
        self.mozilla && c.dash
    }

    /// Reports whether the one word of an undated line is the sender in the header after it: no prose does that.
    fn names_its_sender(&self, c: &Candidate) -> bool {
        const LIMIT: usize = 16 * 1024;
        let address = self.line(c)[5..].trim_ascii();
        let below = &self.text[c.end() as usize..];
        let header = header::split(&below[..below.len().min(LIMIT)]).header;
        address.contains(&b'@')
            && header::fields(header).any(|f| {
                (f.is("From") || f.is("Sender") || f.is("Return-Path"))
                    && memmem::find(f.value, address).is_some()
            })
    }

    fn line(&self, c: &Candidate) -> &[u8] {
        &self.text[c.offset as usize..c.end() as usize]
    }

    /// Ends the open message, if any, before the candidate that begins the next one.
    fn close(&mut self, at: u64, next: Option<&Candidate>) {
        self.length();
        let Some(open) = self.open.take() else { return };
        let region = &self.text[open.start as usize..at as usize];
        let at_file_end = at == self.text.len() as u64;
        if at_file_end && !region.is_empty() && !header::split(region).closed {
            self.out.findings.push(header_cut(open.at, region));
        }
        self.release_until(open.at as usize);
        let blank = match next {
            // The region is longer than a blank line and the line end before it, so the candidate's value holds.
            Some(candidate) if region.len() > 3 => candidate.blank.into(),
            _ => closing_blank(region),
        };
        self.out.messages.push(Extent { at: open.at, start: open.start, end: at - blank as u64 });
    }

    /// Releases the pages of the headers that were read.
    fn release_until(&mut self, until: usize) {
        const STEP: usize = 8 << 20;
        if until >= self.released + STEP {
            (self.hooks.on_release)(self.released..until);
            self.released = until;
        }
    }

    /// Adds the message of a frame: its From_ line, if any, and all bytes up to the closing line.
    fn frame(&mut self, frame: &Frame, inside: Range<usize>) {
        let (at, mut start) = (frame.start, frame.start);
        for n in inside {
            let candidate = self.candidates[n];
            let is_envelope = candidate.offset == start && candidate.line != LineClass::Unknown;
            let (row, verdict) = if is_envelope { (1, Verdict::Doubled) } else { (2, Verdict::Body) };
            let decision = Decision { candidate, verdict, reason: Reason::Row(row) };
            if is_envelope {
                start = candidate.end().min(frame.end);
            } else {
                self.report(&decision);
            }
            self.record(decision);
        }
        if !frame.closed {
            let message = "this MMDF frame is never closed; read up to the end of the file";
            self.out.findings.push(Finding::at(Code::MmdfUnclosed, frame.open, message).as_damage());
        }
        self.out.messages.push(Extent { at, start, end: frame.end });
    }
}
