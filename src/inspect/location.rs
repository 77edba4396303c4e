//! The place of a line in an mbox.

use std::ops::Range;

use super::rules;
use crate::mailbox::mbox::Mbox;
use crate::mailbox::mbox::verdict::Decision;
use crate::mailbox::message::header;
use crate::mailbox::source::mapped;

/// Lines shown before and after the line.
const CONTEXT: usize = 4;

/// A line of an mbox.
#[derive(Debug)]
pub(crate) struct LineLocation {
    /// Line number, from 1.
    pub line: u64,
    /// Offset of its first byte.
    pub offset: u64,
    pub part: LinePart,
    /// Number of the message, from 1.
    pub message: Option<usize>,
    /// The decision, if a message could begin at or in this line. The reader must have kept the candidates.
    pub decision: Option<Decision>,
    /// Number of the first line of `context`.
    pub context_line: u64,
    /// The lines around it, without their line ends.
    pub context: Vec<Range<usize>>,
}

/// The part of an mbox that a line belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinePart {
    FromLine,
    Header,
    Body,
    /// Between two messages: a blank line, or the line of a frame.
    Separator,
    Junk,
}

impl LinePart {
    /// Returns the word in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            LinePart::FromLine => "from_line",
            LinePart::Header => "header",
            LinePart::Body => "body",
            LinePart::Separator => "separator",
            LinePart::Junk => "junk",
        }
    }
}

impl LineLocation {
    /// Returns the rule that decided about the line, if a message could begin there.
    pub(crate) fn rule(&self) -> Option<&'static str> {
        self.decision.map(|decision| rules::rule(decision.reason))
    }
}

/// Finds a line, from 1. Returns the number of lines if there are fewer.
pub(crate) fn locate(mbox: &Mbox<'_>, line: u64) -> Result<LineLocation, u64> {
    let text = mbox.text();
    let offset = match line {
        0 => return Err(count_lines(text)),
        1 if text.is_empty() => return Err(0),
        1 => 0,
        _ => {
            let lf = mapped::find_all(text, b"\n").nth(line as usize - 2);
            lf.map(|lf| lf + 1).filter(|&at| at < text.len()).ok_or_else(|| count_lines(text))?
        }
    };
    let end = line_end(text, offset);
    let (part, message) = part_at(mbox, offset as u64);
    let decisions = &mbox.boundaries.decisions;
    let first = decisions.partition_point(|decision| decision.candidate.offset < offset as u64);
    let decision =
        decisions.get(first).filter(|decision| decision.candidate.offset < end.max(offset + 1) as u64);
    let (mut start, mut context_line) = (offset, line);
    while start > 0 && line - context_line < CONTEXT as u64 {
        start = mapped::find_last_byte(b'\n', &text[..start - 1]).map_or(0, |lf| lf + 1);
        context_line -= 1;
    }
    let mut context = Vec::new();
    while start < text.len() && context.len() <= CONTEXT + (line - context_line) as usize {
        let end = line_end(text, start);
        context.push(start..end);
        start = end + 1;
    }
    Ok(LineLocation {
        line,
        offset: offset as u64,
        part,
        message,
        decision: decision.copied(),
        context_line,
        context,
    })
}

/// Returns the offset of the LF of a line, or the end of the text.
fn line_end(text: &[u8], start: usize) -> usize {
    mapped::find_byte(b'\n', &text[start..]).map_or(text.len(), |lf| start + lf)
}

fn count_lines(text: &[u8]) -> u64 {
    let is_open = !text.is_empty() && !text.ends_with(b"\n");
    (mapped::count_byte(b'\n', text) + usize::from(is_open)) as u64
}

fn part_at(mbox: &Mbox<'_>, offset: u64) -> (LinePart, Option<usize>) {
    let messages = mbox.messages();
    let number = messages.partition_point(|message| message.at <= offset);
    let message =
        number.checked_sub(1).map(|n| messages[n]).filter(|message| offset < message.end.max(message.start));
    let Some(message) = message else {
        let is_junk = mbox.boundaries.junk.iter().any(|junk| junk.contains(&offset));
        return (if is_junk { LinePart::Junk } else { LinePart::Separator }, None);
    };
    let bytes = message.message(mbox.text());
    let part = match offset.checked_sub(message.start) {
        None => LinePart::FromLine,
        Some(at) if (at as usize) < header::split(bytes).body_at(bytes) => LinePart::Header,
        Some(_) => LinePart::Body,
    };
    (part, Some(number))
}
