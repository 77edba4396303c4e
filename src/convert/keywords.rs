//! The keywords of a run: which there are, which messages have them, and which letters they get.

use std::collections::HashMap;

use super::plan::PlannedMessage;
use crate::mailbox::maildir::keywords::{self, KeywordSet, KeywordTable};

/// The keywords of all sources of a run, each once, in the order in which they are first met. A message has
/// their numbers.
#[derive(Debug, Default)]
pub struct Keywords {
    /// The atoms, in their first spelling.
    names: Vec<String>,
    /// By the names in lower case.
    numbers: HashMap<String, u32>,
    /// Whether a message that is to be written has it.
    wanted: Vec<bool>,
}

impl Keywords {
    /// The numbers of a message's keywords, each once, in order. What is no atom is made one; `renamed` hears
    /// of it, the first time.
    pub fn intern(&mut self, said: &[String], renamed: &mut dyn FnMut(&str, &str)) -> Box<[u32]> {
        let mut numbers: Vec<u32> = Vec::with_capacity(said.len());
        for keyword in said {
            let atom = keywords::atom(keyword);
            let next = self.names.len() as u32;
            let number = *self.numbers.entry(atom.to_ascii_lowercase()).or_insert(next);
            if number == next {
                self.names.push(atom.clone().into_owned());
                self.wanted.push(false);
                if atom != keyword.as_str() {
                    renamed(keyword, &atom);
                }
            }
            numbers.push(number);
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into()
    }

    /// Whether no message has any.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Says that a message with these is to be written: they are to get letters.
    pub fn require(&mut self, numbers: &[u32]) {
        numbers.iter().for_each(|&number| self.wanted[number as usize] = true);
    }

    /// Those that are to get letters.
    pub fn required(&self) -> impl Iterator<Item = &str> {
        self.names.iter().zip(&self.wanted).filter(|(_, wanted)| **wanted).map(|(name, _)| name.as_str())
    }

    /// With the letters that a Maildir has for them.
    pub fn letters(&self, names: &KeywordTable) -> KeywordLetters<'_> {
        KeywordLetters {
            names: &self.names,
            letters: self.names.iter().map(|name| names.number(name)).collect(),
        }
    }
}

/// The keywords of a run with their letters.
#[derive(Debug)]
pub struct KeywordLetters<'a> {
    names: &'a [String],
    /// None for those that came when no letter was left.
    letters: Vec<Option<usize>>,
}

impl KeywordLetters<'_> {
    /// The letters of a message.
    pub fn letters(&self, planned: &PlannedMessage) -> KeywordSet {
        let letters = planned.keywords().iter().filter_map(|&number| self.letters[number as usize]);
        letters.fold(KeywordSet::default(), KeywordSet::with)
    }

    /// A message's keywords that have a letter, or else those that have none.
    pub fn names(&self, planned: &PlannedMessage, with_letter: bool) -> Vec<String> {
        let numbers = planned.keywords().iter().map(|&number| number as usize);
        let chosen = numbers.filter(|&number| self.letters[number].is_some() == with_letter);
        chosen.map(|number| self.names[number].clone()).collect()
    }

    /// How many of these messages have a keyword without a letter, and these keywords.
    pub fn without_letter<'m>(
        &self,
        written: impl Iterator<Item = &'m PlannedMessage>,
    ) -> (usize, Vec<&str>) {
        let (mut messages, mut keywords) = (0, vec![false; self.names.len()]);
        for planned in written {
            let mut is_left = false;
            for &number in planned.keywords() {
                if self.letters[number as usize].is_none() {
                    keywords[number as usize] = true;
                    is_left = true;
                }
            }
            messages += usize::from(is_left);
        }
        let names = self.names.iter().zip(keywords).filter(|(_, left)| *left).map(|(name, _)| name.as_str());
        (messages, names.collect())
    }
}
