//! The keywords of a run, the messages that have them, and the letters they get.

use std::collections::HashMap;

use super::PlannedMessage;
use crate::mailbox::maildir::{KeywordSet, KeywordTable, keywords};

/// The keywords of all sources of a run, each once, in the order in which they are first seen. A message has
/// their numbers.
#[derive(Debug, Default)]
pub(crate) struct Keywords {
    /// The atoms, in their first spelling.
    names: Vec<String>,
    /// By the names in lower case.
    numbers: HashMap<String, u32>,
    /// The keywords of messages that are written.
    required: Vec<bool>,
}

impl Keywords {
    /// Returns the numbers of a message's keywords, each once, in order. A keyword that is not an atom is turned
    /// into one; `on_rename` gets both the first time.
    pub(crate) fn intern(
        &mut self,
        keywords: &[String],
        on_rename: &mut dyn FnMut(&str, &str),
    ) -> Box<[u32]> {
        let mut numbers: Vec<u32> = Vec::with_capacity(keywords.len());
        for keyword in keywords {
            let atom = keywords::atom(keyword);
            let next = self.names.len() as u32;
            let number = *self.numbers.entry(atom.to_ascii_lowercase()).or_insert(next);
            if number == next {
                self.names.push(atom.clone().into_owned());
                self.required.push(false);
                if atom != keyword.as_str() {
                    on_rename(keyword, &atom);
                }
            }
            numbers.push(number);
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Marks the keywords of a message that is written: they need letters.
    pub(crate) fn require(&mut self, numbers: &[u32]) {
        numbers.iter().for_each(|&number| self.required[number as usize] = true);
    }

    /// Returns the keywords that need letters.
    pub(crate) fn required(&self) -> impl Iterator<Item = &str> {
        let names = self.names.iter().zip(&self.required);
        names.filter(|(_, required)| **required).map(|(name, _)| name.as_str())
    }

    /// Looks up the letters of the keywords in a Maildir's table.
    pub(crate) fn letters(&self, table: &KeywordTable) -> KeywordLetters<'_> {
        let letters = self.names.iter().map(|name| table.number(name)).collect();
        KeywordLetters { names: &self.names, letters }
    }
}

/// The keywords of a run with their letters.
#[derive(Debug)]
pub(crate) struct KeywordLetters<'a> {
    names: &'a [String],
    /// None for a keyword that came when no letter was left.
    letters: Vec<Option<usize>>,
}

impl KeywordLetters<'_> {
    /// Returns the letters of a message.
    pub(crate) fn letters(&self, planned: &PlannedMessage) -> KeywordSet {
        let letters = planned.keywords().iter().filter_map(|&number| self.letters[number as usize]);
        letters.fold(KeywordSet::default(), KeywordSet::with)
    }

    /// Returns the keywords of a message that have a letter, and those that have none.
    pub(crate) fn names(&self, planned: &PlannedMessage) -> (Vec<String>, Vec<String>) {
        let (with_letter, without): (Vec<usize>, Vec<usize>) = planned
            .keywords()
            .iter()
            .map(|&number| number as usize)
            .partition(|&number| self.letters[number].is_some());
        let names =
            |numbers: Vec<usize>| numbers.into_iter().map(|number| self.names[number].clone()).collect();
        (names(with_letter), names(without))
    }

    /// Returns how many of these messages have a keyword without a letter, and these keywords.
    pub(crate) fn without_letter<'m>(
        &self,
        messages: impl Iterator<Item = &'m PlannedMessage>,
    ) -> (usize, Vec<&str>) {
        let (mut count, mut lacks_letter) = (0, vec![false; self.names.len()]);
        for planned in messages {
            let mut is_affected = false;
            for &number in planned.keywords() {
                if self.letters[number as usize].is_none() {
                    lacks_letter[number as usize] = true;
                    is_affected = true;
                }
            }
            count += usize::from(is_affected);
        }
        let names = self.names.iter().zip(lacks_letter).filter(|(_, lacks)| *lacks);
        (count, names.map(|(name, _)| name.as_str()).collect())
    }
}
