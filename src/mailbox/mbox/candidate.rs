//! Candidates: the lines that could be From_ lines.

use super::from_line::{LineClass, Spelling};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum NextLine {
    /// A header field, a `>From ` line or a From_ line.
    Header,
    /// An empty line or the end of the file.
    Empty,
    /// Other text.
    Text,
}

/// A line that begins with `From `, or a glued one, and what the decision needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The byte offset of the line.
    pub offset: u64,
    /// The length of the line with its line end, at most 4 GiB: a longer line is prose.
    pub len: u32,
    pub spelling: Spelling,
    /// D, K or U in the decision table.
    pub line: LineClass,
    /// H, E or T in the decision table.
    pub next: NextLine,
    /// B in the decision table: directly after a blank line, the start of the file or a frame.
    pub blank_before: bool,
    /// The sender is `-`, as Mozilla writes it.
    pub dash: bool,
    /// The length in bytes of the blank line before it, see [`lines::closing_blank`](super::lines::closing_blank).
    pub blank: u8,
    /// The header after it may have a Content-Length.
    pub may_have_length: bool,
    /// It follows the header of a message/rfc822 part, see [`attachment`](super::attachment).
    pub heads_attached: bool,
    /// It is the first line of a patch of git, see [`is_patch`](super::from_line::FromLine::is_patch).
    pub is_patch: bool,
    /// It is in the middle of a line: an append to a file without a final newline leaves it there.
    pub glued: bool,
}

impl Candidate {
    /// Returns the offset after the line.
    pub(crate) fn end(&self) -> u64 {
        self.offset + u64::from(self.len)
    }

    /// Reports whether the class is DHB, that of an undamaged separator.
    pub(crate) fn is_confident(&self) -> bool {
        self.line == LineClass::Dated && self.next == NextLine::Header && self.blank_before
    }

    /// Returns the three letters of the decision table.
    pub(crate) fn class(&self) -> String {
        let line = match self.line {
            LineClass::Dated => 'D',
            LineClass::Known => 'K',
            LineClass::Shaped | LineClass::Unknown => 'U',
        };
        let next = match self.next {
            NextLine::Header => 'H',
            NextLine::Empty => 'E',
            NextLine::Text => 'T',
        };
        [line, next, if self.blank_before { 'B' } else { 'N' }].iter().collect()
    }
}
