//! A cursor over the bytes of a date.

use super::names::{self, Words};

/// The unread rest. Each method takes a part from the front, or takes nothing and returns `None` (or `false`).
#[derive(Clone, Copy)]
pub(super) struct Scanner<'a> {
    pub(super) rest: &'a [u8],
    pub(super) words: Words,
}

impl<'a> Scanner<'a> {
    /// Returns a cursor that leaves this one where it is.
    pub(super) fn ahead(&self) -> Scanner<'a> {
        *self
    }

    /// Takes all of `part`, or nothing.
    pub(super) fn attempt<T>(&mut self, part: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let mut ahead = *self;
        let taken = part(&mut ahead)?;
        *self = ahead;
        Some(taken)
    }

    /// Takes a part after a gap, in which up to two words can be that join the parts of a date: `3 de enero`.
    pub(super) fn after_gap<T>(&mut self, part: impl Fn(&mut Self) -> Option<T>) -> Option<T> {
        self.attempt(|s| {
            s.gap();
            for _ in 0..2 {
                if let Some(taken) = s.attempt(&part) {
                    return Some(taken);
                }
                s.filler()?;
                s.gap();
            }
            part(s)
        })
    }

    /// Takes a word that joins the parts of a date.
    pub(super) fn filler(&mut self) -> Option<()> {
        self.attempt(|s| names::is_filler(s.name()).then_some(()))
    }

    pub(super) fn after<T>(&mut self, byte: u8, part: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.attempt(|s| if s.eat(byte) { part(s) } else { None })
    }

    /// Skips blanks, comments, and the punctuation between parts of a date.
    pub(super) fn gap(&mut self) {
        loop {
            self.blanks_and_comments();
            if !self.eat(b',') && !self.eat(b'.') {
                return;
            }
        }
    }

    pub(super) fn blanks_and_comments(&mut self) {
        self.blanks();
        while self.comment().is_some() {
            self.blanks();
        }
    }

    /// Skips blanks and the line ends of folded fields. Reports whether there were any.
    pub(super) fn blanks(&mut self) -> bool {
        !self.take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).is_empty()
    }

    /// Takes a closed comment, and returns its content (RFC 5322 section 3.2.2: they nest, and `\` quotes).
    pub(super) fn comment(&mut self) -> Option<&'a [u8]> {
        if self.rest.first() != Some(&b'(') {
            return None;
        }
        let (mut depth, mut quoted) = (0u32, false);
        for (i, byte) in self.rest.iter().enumerate() {
            match byte {
                _ if quoted => quoted = false,
                b'\\' => quoted = true,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let inside = &self.rest[1..i];
                self.skip(i + 1);
                return Some(inside);
            }
        }
        None
    }

    /// Takes letters and 8-bit bytes. May be empty.
    pub(super) fn word(&mut self) -> &'a [u8] {
        self.take_while(|b| b.is_ascii_alphabetic() || !b.is_ascii())
    }

    /// Takes a word with the points, hyphens and apostrophes in it: `มี.ค`, `segunda-feira`, `d'abril`. May be empty.
    pub(super) fn name(&mut self) -> &'a [u8] {
        let start = self.rest;
        self.word();
        while let [b'.' | b'-' | b'\'', letter, ..] = self.rest
            && (letter.is_ascii_alphabetic() || !letter.is_ascii())
        {
            self.skip(1);
            self.word();
        }
        &start[..start.len() - self.rest.len()]
    }

    /// Takes a word that can be the name of a month or weekday in an unknown language. May be empty.
    pub(super) fn shape_word(&mut self) -> &'a [u8] {
        let is_possible =
            |b: &u8| b.is_ascii_alphabetic() || !b.is_ascii() || matches!(b, b'?' | b'.' | b'-' | b'\'');
        let mut ahead = *self;
        let word = ahead.take_while(is_possible);
        let has_letter = word.iter().any(|b| !matches!(b, b'?' | b'.' | b'-' | b'\''));
        if !has_letter {
            return &word[..0];
        }
        *self = ahead;
        word
    }

    /// Takes the first of these texts that is there.
    pub(super) fn eat_one_of(&mut self, texts: &[&str]) -> bool {
        // Most dates have none.
        if !self.rest.first().is_some_and(|b| b.is_ascii_alphabetic() || !b.is_ascii()) {
            return false;
        }
        let text = texts.iter().find(|text| self.rest.starts_with(text.as_bytes()));
        text.inspect(|text| self.skip(text.len())).is_some()
    }

    /// Takes all bytes up to the next blank. May be empty.
    pub(super) fn token(&mut self) -> &'a [u8] {
        self.take_while(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
    }

    pub(super) fn two_digits(&mut self) -> Option<i8> {
        self.attempt(|s| match s.number()? {
            (value, 1 | 2) => Some(value as i8),
            _ => None,
        })
    }

    /// Takes all digits. Returns their value (correct for up to nine digits) and their number.
    pub(super) fn number(&mut self) -> Option<(u32, usize)> {
        let digits = self.take_while(|b| b.is_ascii_digit());
        let value = digits.iter().take(9).fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
        (!digits.is_empty()).then_some((value, digits.len()))
    }

    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let there = self.rest.first() == Some(&byte);
        if there {
            self.skip(1);
        }
        there
    }

    pub(super) fn take_while(&mut self, predicate: impl Fn(&u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|b| !predicate(b)).unwrap_or(self.rest.len());
        let taken = &self.rest[..end];
        self.skip(end);
        taken
    }

    pub(super) fn skip(&mut self, count: usize) {
        self.rest = &self.rest[count..];
    }
}
