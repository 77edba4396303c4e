//! The second pass over an mbox: decides which candidates begin a message, by the rows of the decision table.
//!
//! `inspect --boundaries` shows the verdict and the row of each candidate, and the user can overrule it.

mod evidence;
mod findings;
mod junk;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::attachment::heads_attached_message;
use super::candidate::{Candidate, NextLine};
use super::frames::{Frame, find_frames};
use super::from_line::LineClass;
use super::length::{self, ContentLength};
use super::lines::closing_blank;
use super::scan_hooks::ScanHooks;
use super::verdict::{Boundaries, BoundaryOptions, Decision, Extent, Reason, Verdict};
use crate::mailbox::message::header;
use crate::mailbox::{Code, Finding};
use evidence::{Evidence, UndatedReason, has_header_block};
pub(super) use findings::header_cut;
use findings::{FileFacts, OpenLength};
pub(super) use junk::about_junk;

/// Decides all candidates of `text`.
pub(crate) fn decide(
    text: &[u8],
    candidates: &[Candidate],
    options: BoundaryOptions<'_>,
    hooks: ScanHooks<'_>,
) -> Boundaries {
    let framed = options.framed;
    let frames = if framed { find_frames(text) } else { Vec::new() };
    let mut pass = Pass {
        text,
        candidates,
        options,
        evidence: Evidence::collect(text, candidates),
        open: None,
        undated_reason: None,
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
    evidence: Evidence,
    open: Option<OpenMessage>,
    /// The reason of the last verdict by row 9.
    undated_reason: Option<UndatedReason>,
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
            candidate.blank_before |= !candidate.glued && self.is_before_messages();
            if candidate.glued && self.is_in_header(&candidate) {
                continue;
            }
            let (reason, verdict) = match self.options.overrides.get(&candidate.offset) {
                // Anywhere else, all the mail above it would become a From_ line.
                Some(Verdict::Doubled) if !self.follows_from_line(&candidate) => {
                    (Reason::User, Verdict::Body)
                }
                Some(&verdict) => (Reason::User, verdict),
                None => self.decide(&candidate, n),
            };
            self.apply(Decision { candidate, verdict, reason });
        }
    }

    /// Decides by the first row of the table that applies.
    fn decide(&mut self, c: &Candidate, n: usize) -> (Reason, Verdict) {
        use {LineClass::*, NextLine::*, Verdict::*};
        if self.follows_from_line(c) {
            return (Reason::Row(1), Doubled);
        }
        if let Some(length) = self.length() {
            if c.offset < length.separator {
                return (Reason::Row(2), Body);
            }
            if c.offset == length.separator {
                return (Reason::Row(3), Separator);
            }
        }
        if c.glued {
            return (Reason::Glued, Body);
        }
        if c.heads_attached && !self.options.quotes_all && self.is_attached(c, n) {
            return (Reason::Row(4), Body);
        }
        let blank = c.blank_before;
        let (row, is_separator) = match (c.line, c.next) {
            (Dated, Header) => (5, true),
            (Dated, Empty) if blank => (6, true),
            (Dated, Empty) => (7, self.evidence.confident.contains(&c.spelling)),
            (Dated, Text) => (8, false),
            (Known, Header) if blank => {
                self.undated_reason = self.evidence.undated_reason(self.text, c);
                (9, self.undated_reason.is_some())
            }
            (Known, Header) => (10, self.evidence.continues_undated(self.text, c)),
            (Unknown, Header) => (11, blank && self.is_of_unknown_form(c)),
            _ => (11, false),
        };
        (Reason::Row(row), if is_separator { Separator } else { Body })
    }

    fn apply(&mut self, decision: Decision) {
        self.report(&decision);
        let Decision { candidate: c, verdict, reason } = decision;
        match verdict {
            Verdict::Separator => {
                self.close(c.offset, Some(&c));
                self.evidence.add_separator(&c);
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
            Reason::Glued => self.open.as_ref().map(|_| findings::about_glued(candidate.offset)),
            Reason::Row(row) => {
                let open = self.open.as_ref();
                let length =
                    open.and_then(|open| Some(OpenLength { message: open.at, end: open.length??.end }));
                let facts = FileFacts { undated_reason: self.undated_reason, open_length: length };
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
        let next = self.candidates[n + 1..].iter().find(|next| !next.glued);
        let until = next.map_or(self.text.len() as u64, |next| next.offset);
        let message = &self.text[open.start as usize..c.offset as usize];
        let rest = &self.text[c.end() as usize..until as usize];
        heads_attached_message(message, rest)
    }

    /// Reports whether a line of unknown form is a separator: no message is open before it, or its writer repeats the form.
    fn is_of_unknown_form(&self, c: &Candidate) -> bool {
        has_header_block(self.text, c)
            && !c.is_patch
            && (self.is_before_messages() || self.evidence.has_shape_of_another(self.text, c))
    }

    fn is_before_messages(&self) -> bool {
        self.open.is_none() && self.out.messages.is_empty()
    }

    /// Reports whether a candidate is in the From_ line or the header of the open message.
    fn is_in_header(&self, c: &Candidate) -> bool {
        self.open.as_ref().is_some_and(|open| {
            let above = self.text.get(open.start as usize..c.offset as usize);
            above.is_none_or(|message| !header::split(message).closed)
        })
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
