//! Facts about a file that decide about its lines without a known date.

use std::collections::{HashMap, HashSet};

use memchr::memmem;

use crate::mailbox::mbox::candidate::{Candidate, NextLine};
use crate::mailbox::mbox::from_line::{LineClass, Spelling};
use crate::mailbox::mbox::header_block;
use crate::mailbox::message::header;

/// The evidence in all candidates of a file.
pub(super) struct Evidence {
    /// The spellings of confident candidates.
    pub(super) confident: HashSet<Spelling>,
    /// The spellings of undated lines that are separators without regard to other undated lines.
    pub(super) undated: HashSet<Spelling>,
    /// Mozilla wrote the file.
    mozilla: bool,
    /// The number of lines of unknown form by their shape: those between a blank line and a header block.
    shapes: HashMap<Vec<TokenKind>, usize>,
}

/// The reason that an undated line between a blank line and a header is a separator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UndatedReason {
    /// No line of the file has a date.
    NoneDated,
    /// Mozilla wrote the file, and the line has its sender `-`. It sometimes omits the date.
    Mozilla,
    /// Nothing follows `From `, and a header block is below.
    Bare,
    /// The header below names the address.
    NamesSender,
    /// Another undated line is a separator and has this spelling.
    LikeAnother,
}

/// The kind of a word in a line of unknown form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum TokenKind {
    Address,
    Time,
    Year,
    Number,
    Word,
}

impl Evidence {
    pub(super) fn collect(text: &[u8], candidates: &[Candidate]) -> Evidence {
        let confident = candidates.iter().filter(|c| c.is_confident());
        let mut evidence = Evidence {
            mozilla: confident.clone().any(|c| c.dash),
            confident: confident.map(|c| c.spelling).collect(),
            undated: HashSet::new(),
            shapes: HashMap::new(),
        };
        for c in candidates.iter().filter(|c| c.next == NextLine::Header && c.blank_before) {
            match c.line {
                LineClass::Known if evidence.own_reason(text, c).is_some() => {
                    evidence.undated.insert(c.spelling);
                }
                LineClass::Unknown if has_header_block(text, c) => {
                    *evidence.shapes.entry(shape(line(text, c))).or_default() += 1;
                }
                _ => {}
            }
        }
        evidence
    }

    /// Adds an undated line that became a separator.
    pub(super) fn add_separator(&mut self, c: &Candidate) {
        if c.line == LineClass::Known {
            self.undated.insert(c.spelling);
        }
    }

    fn has_confident(&self) -> bool {
        !self.confident.is_empty()
    }

    /// Row 9: returns the reason that an undated line is a separator.
    pub(super) fn undated_reason(&self, text: &[u8], c: &Candidate) -> Option<UndatedReason> {
        let like_another = || self.undated.contains(&c.spelling).then_some(UndatedReason::LikeAnother);
        self.own_reason(text, c).or_else(like_another)
    }

    /// Row 10: reports whether an undated line without a blank line before it is a separator. A bare line can be the end
    /// of a paragraph, so in a file with dates it needs a header block.
    pub(super) fn continues_undated(&self, text: &[u8], c: &Candidate) -> bool {
        let is_like_another = self.undated.contains(&c.spelling)
            && (!self.has_confident() || c.spelling != Spelling::BARE || has_header_block(text, c));
        is_like_another || self.is_mozilla(c)
    }

    /// Row 11: reports whether another line of unknown form has the same shape.
    pub(super) fn has_shape_of_another(&self, text: &[u8], c: &Candidate) -> bool {
        self.shapes.get(&shape(line(text, c))).is_some_and(|&count| count > 1)
    }

    /// Reports whether Mozilla wrote the line. It writes `From - ` and a date, and sometimes omits the date.
    fn is_mozilla(&self, c: &Candidate) -> bool {
        self.mozilla && c.dash
    }

    fn own_reason(&self, text: &[u8], c: &Candidate) -> Option<UndatedReason> {
        if !self.has_confident() {
            Some(UndatedReason::NoneDated)
        } else if self.is_mozilla(c) {
            Some(UndatedReason::Mozilla)
        } else if c.spelling == Spelling::BARE && has_header_block(text, c) {
            Some(UndatedReason::Bare)
        } else {
            names_its_sender(text, c).then_some(UndatedReason::NamesSender)
        }
    }
}

/// Reports whether a header block follows a candidate.
pub(super) fn has_header_block(text: &[u8], c: &Candidate) -> bool {
    header_block::read(&text[c.end() as usize..]).is_header
}

/// Reports whether the one word of an undated line is the sender in the header after it: no prose does that.
fn names_its_sender(text: &[u8], c: &Candidate) -> bool {
    const LIMIT: usize = 16 * 1024;
    let address = line(text, c)[5..].trim_ascii();
    let below = &text[c.end() as usize..];
    let header = header::split(&below[..below.len().min(LIMIT)]).header;
    address.contains(&b'@')
        && header::fields(header).any(|f| {
            (f.is("From") || f.is("Sender") || f.is("Return-Path"))
                && memmem::find(f.value, address).is_some()
        })
}

fn line<'a>(text: &'a [u8], c: &Candidate) -> &'a [u8] {
    &text[c.offset as usize..c.end() as usize]
}

/// Returns the kinds of the words of a line. A program that writes an unknown form repeats it.
fn shape(line: &[u8]) -> Vec<TokenKind> {
    /// More words are a sentence.
    const MAX_WORDS: usize = 32;
    let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.skip(1).take(MAX_WORDS).map(token_kind).collect()
}

fn token_kind(word: &[u8]) -> TokenKind {
    let digits = word.iter().filter(|b| b.is_ascii_digit()).count();
    let is_numeric = digits > 0
        && word.iter().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b',' | b'-' | b'/' | b':' | b'+'));
    match word {
        _ if word.contains(&b'@') => TokenKind::Address,
        [b'1', b'9', _, _] | [b'2', b'0', _, _] if digits == 4 => TokenKind::Year,
        _ if is_numeric && word[1..].contains(&b':') => TokenKind::Time,
        _ if is_numeric => TokenKind::Number,
        _ => TokenKind::Word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_of_a_line_is_the_kinds_of_its_words() {
        use TokenKind::*;
        assert_eq!(
            shape(b"From <a@b> via x, 12/03 10:00:05 2001\r\n"),
            [Address, Word, Word, Number, Time, Year]
        );
        assert_eq!(
            shape(b"From a-b 20010101 -5 9999 +01:00 :\n"),
            [Word, Number, Number, Number, Time, Word]
        );
    }
}
