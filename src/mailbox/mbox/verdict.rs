//! The decisions about the candidates of a file, and the resulting messages.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Candidate;
use crate::mailbox::Finding;

/// The decision about a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    /// A message begins after this line.
    Separator,
    /// A second From_ line of the same message, directly after the first (or after the line that opens an MMDF
    /// frame).
    Doubled,
    /// Text of a message.
    Body,
}

impl Verdict {
    /// Returns the word in boundary lists.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Verdict::Separator => "separator",
            Verdict::Doubled => "doubled",
            Verdict::Body => "body",
        }
    }
}

/// The reason for a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reason {
    /// A row of the decision table, 1 to 11.
    Row(u8),
    /// The candidate is glued, see [`Candidate::glued`].
    Glued,
    /// `--boundaries`.
    User,
}

/// A candidate with its verdict and the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decision {
    pub candidate: Candidate,
    pub verdict: Verdict,
    pub reason: Reason,
}

/// The position of a message in its source. The bytes between `end` and the next `at` are separator or junk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The first byte of its From_ lines, or of the message where there are none.
    pub at: u64,
    /// The first byte after its From_ lines.
    pub start: u64,
    /// The byte after its last byte.
    pub end: u64,
}

impl Extent {
    /// Returns the bytes from the start of the first of these messages to the end of the last.
    pub(crate) fn span(messages: &[Extent]) -> Range<usize> {
        match messages {
            [] => 0..0,
            [first, ..] => first.at as usize..messages[messages.len() - 1].end as usize,
        }
    }

    pub(crate) fn separator_lines<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.at as usize..self.start as usize]
    }

    /// Returns the message with its quoting.
    pub(crate) fn message<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.start as usize..self.end as usize]
    }
}

/// A file, divided into messages.
#[derive(Debug, Default, Clone)]
pub(crate) struct Boundaries {
    /// In file order.
    pub messages: Vec<Extent>,
    /// All candidates, if [`BoundaryOptions::keep_candidates`] is set.
    pub decisions: Vec<Decision>,
    /// The ranges outside of messages that are not separators.
    pub junk: Vec<Range<u64>>,
    /// The number of messages with a validated Content-Length.
    pub lengths: u64,
    /// The number of unquoted From_ lines that such a length covers.
    pub raw_under_length: u64,
    pub findings: Vec<Finding>,
}

/// The user's verdicts by offset.
pub(crate) type Overrides = BTreeMap<u64, Verdict>;

#[derive(Debug, Clone, Copy)]
pub(crate) struct BoundaryOptions<'a> {
    /// The file is MMDF.
    pub framed: bool,
    /// The writer quoted every From_ line in a body, as an mboxrd writer does. Then row 4 does not apply. (Seen
    /// in an archive whose messages were split at the From_ line of an attachment before they were written as
    /// mboxrd.)
    pub quotes_all: bool,
    pub overrides: &'a Overrides,
    /// Fill in [`Boundaries::decisions`].
    pub keep_candidates: bool,
}
