//! The second pass over an mbox: decides which candidates begin a message, by the rows of the decision table.
//!
//! `inspect --boundaries` shows the verdict and the row of each candidate, and the user can overrule it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use memchr::memmem;

use super::attachment::heads_attached_message;
use super::candidate::{Candidate, NextLine};
use super::frames::{Frame, find_frames};
use super::from_line::{LineClass, Spelling};
use super::length::{self, ContentLength};
use super::lines::{BOM, FRAME, closing_blank};
use super::scan_hooks::ScanHooks;
use super::verdict::{Boundaries, BoundaryOptions, Decision, Extent, Reason, Verdict};
use crate::mailbox::message::header;
use crate::mailbox::text::plural;
use crate::mailbox::{Code, Finding};

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
    pass.out.junk = find_junk(text, &pass.out.messages, framed);
    report_junk(text, &mut pass.out);
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
            self.apply(candidate, verdict, reason);
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

    fn apply(&mut self, c: Candidate, verdict: Verdict, reason: Reason) {
        self.report(&c, verdict, reason);
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
        self.record(c, verdict, reason);
    }

    fn record(&mut self, candidate: Candidate, verdict: Verdict, reason: Reason) {
        if self.options.keep_candidates {
            self.out.decisions.push(Decision { candidate, verdict, reason });
        }
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
            if is_envelope {
                start = candidate.end().min(frame.end);
            } else {
                self.report(&candidate, verdict, Reason::Row(row));
            }
            self.record(candidate, verdict, Reason::Row(row));
        }
        if !frame.closed {
            let message = "this MMDF frame is never closed; read up to the end of the file";
            self.out.findings.push(Finding::at(Code::MmdfUnclosed, frame.open, message));
        }
        self.out.messages.push(Extent { at, start, end: frame.end });
    }

    fn report(&mut self, c: &Candidate, verdict: Verdict, reason: Reason) {
        let Reason::Row(row) = reason else {
            if verdict == Verdict::Body && self.options.overrides.get(&c.offset) == Some(&Verdict::Doubled) {
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

    fn covering(&self) -> Cow<'static, str> {
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

/// The finding about a header at the end of the file without an empty line. If its last line is complete, the
/// message may be complete, too.
pub(crate) fn header_cut(at: u64, message: &[u8]) -> Finding {
    if message.ends_with(b"\n") {
        let text = "the file ends with the header of this message: it has no body, or that is cut off";
        return Finding::at(Code::MboxHeaderCut, at, text);
    }
    let text = "the file ends inside the header of this message";
    Finding::at(Code::MboxHeaderCut, at, text).with_hint("look for the rest of it in a backup")
}

/// Finds the bytes before and between messages that are neither blank lines nor frame lines.
fn find_junk(text: &[u8], messages: &[Extent], framed: bool) -> Vec<Range<u64>> {
    let mut junk = Vec::new();
    let first = messages.first().map_or(text.len() as u64, |m| m.at);
    if !framed {
        if first > 0 {
            junk.push(0..first);
        }
        return junk;
    }
    let mut from = 0;
    let ends = messages.iter().map(|m| (m.at, m.end)).chain([(text.len() as u64, text.len() as u64)]);
    for (at, end) in ends {
        let gap = &text[from as usize..at as usize];
        let mut offset = from;
        for line in gap.split_inclusive(|&b| b == b'\n') {
            let trimmed = line.trim_ascii_end();
            if !trimmed.is_empty() && trimmed != FRAME {
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
        let (mark, rest) = match bytes.strip_prefix(BOM) {
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
            // For example a bare message with an attached message that has a From_ line.
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
    use crate::mailbox::mbox::verdict::Overrides;

    /// Returns a line for each candidate, the number of messages, and the codes of the findings.
    fn decided(text: &str, overrides: Overrides) -> (Vec<String>, usize, Vec<&'static str>) {
        let options =
            ReadOptions { keep_candidates: true, allow_empty: true, overrides, ..ReadOptions::default() };
        let mbox = read::read(text.as_bytes(), &options, ScanHooks::none()).unwrap();
        let line = |d: &Decision| match d.reason {
            Reason::Row(row) => format!("{} {row} {}", d.candidate.class(), d.verdict.name()),
            Reason::User => format!("{} user {}", d.candidate.class(), d.verdict.name()),
        };
        let lines = mbox.boundaries.decisions.iter().map(line).collect();
        let codes = mbox.findings.iter().map(|f| f.code).filter(|&c| c != Code::MboxVariant);
        (lines, mbox.messages().len(), codes.map(Code::name).collect())
    }

    /// Expands `@` to a From_ line with a date, `%` to one with a date in another spelling, `~` to Mozilla's and
    /// `^` to a frame line.
    fn expand(text: &str) -> String {
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
        let found = decided(&expand(text), Overrides::new());
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
        // With one line of header between them, each is a message.
        check("@\nA: 1\n@\nA: 2\n\nx\n", &["DHB 5 separator", "DHN 5 separator"], 2, &["mbox-no-blank-line"]);
    }

    #[test]
    fn row_2_what_a_frame_or_a_right_length_covers_is_body() {
        let covered = "x\n\n@\nB: 2\n\ny\n";
        let length = expand(covered).len();
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
        // Only a line that would have been a separator is reported.
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
        // The closing line must come before the next candidate.
        check(
            &text("b", "message/rfc822", "\n@\nB: 2\n\n--b--\n"),
            &["DHB 5 separator", "DHB 5 separator", "DHB 5 separator"],
            3,
            &[],
        );
        // A writer that quotes every From_ line leaves none of them in a body.
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
        // Junk before the first separator counts as a blank line.
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
        // The file has a confident candidate, and the undated line has no other evidence.
        check("@\nA: 1\n\nx\n\nFrom c@d\nB: 2\n\ny\n", &body, 1, &["mbox-from-in-body"]);
        // Its address is that of the sender.
        for field in ["From: C <c@d>", "Sender: c@d", "Return-Path: <c@d>"] {
            check(&format!("@\nA: 1\n\nx\n\nFrom c@d\n{field}\n\ny\n"), &separator, 2, &undated);
        }
        check("@\nA: 1\n\nx\n\nFrom c@d\nTo: c@d\n\ny\n", &body, 1, &["mbox-from-in-body"]);
        check("@\nA: 1\n\nx\n\nFrom joe\nFrom: joe\n\ny\n", &body, 1, &["mbox-from-in-body"]);
        check("@\nA: 1\n\nx\n\nFrom c@d\nB: 2\n\nFrom: c@d\n", &body, 1, &["mbox-from-in-body"]);
        // Mozilla omitted the date.
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
        let text = expand("@\nA: 1\n\nx\n\nFrom the beginning\nto the end\n\n@\nB: 2\n\ny\n");
        let (first, second) = (text.find("From the").unwrap() as u64, text.rfind("From a").unwrap() as u64);
        let found = decided(&text, [(first, Verdict::Separator), (second, Verdict::Body)].into());
        assert_eq!(found.0, ["DHB 5 separator", "UTB user separator", "DHB user body"]);
        assert_eq!((found.1, found.2), (2, vec!["mbox-user-boundary", "mbox-user-boundary"]));
        let found = decided(&text, [(first, Verdict::Doubled)].into());
        assert_eq!(found.0, ["DHB 5 separator", "UTB user body", "DHB 5 separator"]);
        assert_eq!((found.1, found.2), (2, vec!["mbox-from-in-body"]));
    }
}
