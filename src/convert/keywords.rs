//! The keywords of a run, the messages that have them, and the letters they get.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{FolderIndex, PlannedMessage};
use crate::mailbox::maildir::{KeywordSet, KeywordTable, keywords};

/// The keywords of all sources of a run, each once, in the order in which they are first seen. A message has
/// their numbers.
#[derive(Debug, Default)]
pub(crate) struct Keywords {
    /// The atoms, in their first spelling.
    names: Vec<String>,
    /// By the names in lower case.
    numbers: HashMap<String, u32>,
    /// The keywords of messages that are written, by folder.
    required: BTreeMap<FolderIndex, BTreeSet<u32>>,
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

    /// Marks the keywords of a message that is written: they need letters in these folders.
    pub(crate) fn require(&mut self, numbers: &[u32], folders: &[FolderIndex]) {
        for &folder in folders {
            self.required.entry(folder).or_default().extend(numbers);
        }
    }

    /// Returns the keywords that need letters in a folder.
    pub(crate) fn required(&self, folder: FolderIndex) -> impl Iterator<Item = &str> {
        let numbers = self.required.get(&folder).into_iter().flatten();
        numbers.map(|&number| self.names[number as usize].as_str())
    }

    /// Looks up the letters of the keywords in the tables of the folders.
    pub(crate) fn letters(&self, tables: &[KeywordTable]) -> KeywordLetters<'_> {
        let letters = |table: &KeywordTable| self.names.iter().map(|name| table.number(name)).collect();
        KeywordLetters { names: &self.names, letters: tables.iter().map(letters).collect() }
    }
}

/// The keywords of a run with their letters.
#[derive(Debug)]
pub(crate) struct KeywordLetters<'a> {
    names: &'a [String],
    /// By folder, since each has a list of its own. None for a keyword that came when no letter was left.
    letters: Vec<Vec<Option<usize>>>,
}

impl KeywordLetters<'_> {
    /// Returns the letters of a message in one of its folders.
    pub(crate) fn letters(&self, planned: &PlannedMessage, folder: FolderIndex) -> KeywordSet {
        let numbers = planned.keywords().iter().filter(|&&number| self.has_letter(planned, number));
        let letters = numbers.filter_map(|&number| self.letter(number, folder));
        letters.fold(KeywordSet::default(), KeywordSet::with)
    }

    fn letter(&self, number: u32, folder: FolderIndex) -> Option<usize> {
        *self.letters.get(folder as usize)?.get(number as usize)?
    }

    /// Reports whether a keyword has a letter in each folder of a message. The manifest has one list of keywords for
    /// all files of the message.
    fn has_letter(&self, planned: &PlannedMessage, number: u32) -> bool {
        let folders = match planned.missing_folders() {
            [] => planned.folders(),
            missing => missing,
        };
        folders.iter().all(|&folder| self.letter(number, folder).is_some())
    }

    /// Returns the keywords of a message that have a letter, and those that have none.
    pub(crate) fn names(&self, planned: &PlannedMessage) -> (Vec<String>, Vec<String>) {
        let (with_letter, without): (Vec<u32>, Vec<u32>) =
            planned.keywords().iter().partition(|&&number| self.has_letter(planned, number));
        let name = |number: u32| self.names[number as usize].clone();
        let names = |numbers: Vec<u32>| numbers.into_iter().map(name).collect();
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
                if !self.has_letter(planned, number) {
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
