//! Listed messages by their base names: for each message of a manifest, its file.

use std::borrow::Borrow;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use rayon::prelude::*;

use super::list::Entry;

/// The numbers of entries in a list, found by their base names. They are grouped by the first bits of a hash: that takes
/// eight bytes for each, and no search among many.
#[derive(Debug)]
pub(crate) struct BaseIndex {
    hasher: RandomState,
    /// Where each group begins, and at last the end.
    starts: Vec<u32>,
    numbers: Vec<u32>,
}

impl BaseIndex {
    /// Indexes at most 2³² entries.
    pub(crate) fn of(entries: &[impl Borrow<Entry> + Sync]) -> BaseIndex {
        let hasher = RandomState::new();
        let groups = entries.len().next_power_of_two();
        let of_entry = |entry: &Entry| group(&hasher, entry.parsed().base, groups);
        let of_entries = entries.par_iter().with_min_len(1024).map(|entry| of_entry(entry.borrow()) as u32);
        let of_entries: Vec<u32> = of_entries.collect();
        let mut starts = vec![0; groups + 1];
        of_entries.iter().for_each(|&group| starts[group as usize + 1] += 1);
        for group in 0..groups {
            starts[group + 1] += starts[group];
        }
        let (mut next, mut numbers) = (starts.clone(), vec![0; entries.len()]);
        for (number, group) in (0..).zip(of_entries) {
            let place = &mut next[group as usize];
            numbers[*place as usize] = number;
            *place += 1;
        }
        BaseIndex { hasher, starts, numbers }
    }

    /// Returns the numbers of the entries with this base name, in the order of the list. `entries` is the list.
    pub(crate) fn find<'a, E: Borrow<Entry>>(
        &'a self,
        entries: &'a [E],
        base: &'a [u8],
    ) -> impl Iterator<Item = usize> {
        let group = group(&self.hasher, base, self.starts.len() - 1);
        let range = self.starts[group] as usize..self.starts[group + 1] as usize;
        let numbers = self.numbers[range].iter().map(|&number| number as usize);
        numbers.filter(move |&number| entries[number].borrow().parsed().base == base)
    }
}

/// Returns the group of a base name. Their count is a power of two.
fn group(hasher: &RandomState, base: &[u8], groups: usize) -> usize {
    hasher.hash_one(base) as usize & (groups - 1)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::mailbox::maildir::MaildirReader;
    use crate::mailbox::maildir::list::NO_CLOCK;

    #[test]
    fn every_file_of_a_base_name_is_found_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        ["new", "cur"].iter().for_each(|name| fs::create_dir(folder.path().join(name)).unwrap());
        let names: Vec<String> = (0..300).map(|n| format!("{n}.a.h")).collect();
        for (n, name) in names.iter().enumerate() {
            fs::write(folder.path().join("new").join(name), "").unwrap();
            if n % 3 == 0 {
                fs::write(folder.path().join("cur").join(format!("{name}:2,S")), "").unwrap();
            }
        }
        for wanted in [300, 1, 0] {
            let mut entries = MaildirReader::open(folder.path(), NO_CLOCK).unwrap().list().unwrap().messages;
            entries.retain(|entry| names[..wanted].iter().any(|name| name.as_bytes() == entry.parsed().base));
            let index = BaseIndex::of(&entries);
            for (n, name) in names.iter().enumerate() {
                let count = index.find(&entries, name.as_bytes()).count();
                assert_eq!(count, usize::from(n < wanted) + usize::from(n < wanted && n % 3 == 0), "{name}");
            }
        }
    }
}
