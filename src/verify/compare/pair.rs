//! Which message of one side is which of the other: by what is the same about them, duplicates by
//! count.

use rayon::prelude::*;

/// Messages without a counterpart yet, by their numbers.
pub(crate) struct Unmatched {
    pub here: Vec<usize>,
    pub there: Vec<usize>,
}

impl Unmatched {
    /// All of both sides.
    pub fn all(here: usize, there: usize) -> Unmatched {
        Unmatched { here: (0..here).collect(), there: (0..there).collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.here.is_empty() || self.there.is_empty()
    }

    /// Takes out messages with the same key, in pairs: the first ones of both sides, the second ones,
    /// and so on. Those without a key stay.
    pub fn match_by<K: Ord>(
        &mut self,
        here: impl Fn(usize) -> Option<K> + Sync,
        there: impl Fn(usize) -> Option<K> + Sync,
        mut paired: impl FnMut(usize, usize),
    ) {
        self.here.par_sort_unstable_by(|&a, &b| here(a).cmp(&here(b)).then(a.cmp(&b)));
        self.there.par_sort_unstable_by(|&a, &b| there(a).cmp(&there(b)).then(a.cmp(&b)));
        let (mut rest_here, mut rest_there) = (Vec::new(), Vec::new());
        let (mut h, mut t) = (0, 0);
        while let (Some(&a), Some(&b)) = (self.here.get(h), self.there.get(t)) {
            let (key, other) = (here(a), there(b));
            if key.is_some() && key == other {
                paired(a, b);
                (h, t) = (h + 1, t + 1);
            } else if key <= other && key.is_none_or(|key| other.is_some_and(|other| key < other)) {
                rest_here.push(a);
                h += 1;
            } else {
                rest_there.push(b);
                t += 1;
            }
        }
        rest_here.extend_from_slice(&self.here[h..]);
        rest_there.extend_from_slice(&self.there[t..]);
        (self.here, self.there) = (rest_here, rest_there);
    }
}

#[cfg(test)]
mod tests {
    use crate::verify::compare::pair::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn as_many_are_paired_as_there_are_on_both_sides(
            here in proptest::collection::vec(proptest::option::of(0u8..5), 0..20),
            there in proptest::collection::vec(proptest::option::of(0u8..5), 0..20),
        ) {
            let mut unpaired = Unmatched::all(here.len(), there.len());
            let mut pairs = Vec::new();
            unpaired.match_by(|n| here[n], |n| there[n], |a, b| pairs.push((a, b)));
            prop_assert!(pairs.iter().all(|&(a, b)| here[a].is_some() && here[a] == there[b]));
            for key in 0..5 {
                let count = |side: &[Option<u8>]| side.iter().filter(|&&k| k == Some(key)).count();
                let paired = pairs.iter().filter(|&&(a, _)| here[a] == Some(key)).count();
                prop_assert_eq!(paired, count(&here).min(count(&there)));
            }
            let all = |paired: Vec<usize>, rest: &[usize]| {
                let mut all = [&paired[..], rest].concat();
                all.sort();
                all
            };
            let (lefts, rights) = pairs.into_iter().unzip();
            prop_assert_eq!(all(lefts, &unpaired.here), (0..here.len()).collect::<Vec<_>>());
            prop_assert_eq!(all(rights, &unpaired.there), (0..there.len()).collect::<Vec<_>>());
        }
    }
}
