//! Pairing of the messages of two sides by what they have in common. Duplicates are paired by count.

use std::num::NonZeroU64;

use rayon::prelude::*;

use super::both::Both;
use super::text::{Text, Tolerance};
use crate::mailbox::message::header;

/// Messages without a counterpart yet, by number.
pub(crate) type Unmatched = Both<Vec<usize>>;

impl Unmatched {
    /// Returns all messages of both sides.
    pub(crate) fn all(counts: Both<usize>) -> Unmatched {
        counts.map(|count| (0..count).collect())
    }

    /// Reports whether nothing can be paired.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.here.is_empty() || self.there.is_empty()
    }

    /// Removes pairs of messages with the same key: the first ones of both sides, the second ones, and so on. Messages
    /// without a key stay.
    pub(crate) fn match_by<K: Ord>(
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

pub(crate) const LEVELS: usize = 5;

/// Keys by which changed messages are paired, best first: the words; the header, if it identifies a message; the
/// Message-ID with the body; the Message-ID; Date, From and Subject. Short hashes suffice, since the pairs are compared.
pub(crate) type Keys = [Option<NonZeroU64>; LEVELS];

/// Returns the keys of a message.
pub(crate) fn keys_of(text: &Text<'_>) -> Keys {
    let key = |hash: &[u8]| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hash[..8]);
        NonZeroU64::new(u64::from_le_bytes(bytes))
    };
    let hash = |parts: &[&[u8]]| {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&part.len().to_le_bytes());
            hasher.update(part);
        }
        key(hasher.finalize().as_bytes())
    };
    let field = |name| {
        let value = header::fields(text.header()).find(|f| f.is(name)).map(|f| header::unfold(f.value));
        value.filter(|value| !value.is_empty())
    };
    let (id, date) = (field("Message-ID"), field("Date"));
    let is_identified = id.is_some() || date.is_some();
    let body = id.as_ref().map(|_| text.tolerant_body_digest(Tolerance::ALL));
    let (from, subject) = (field("From").unwrap_or_default(), field("Subject").unwrap_or_default());
    [
        key(&text.tolerant_digest(Tolerance::ALL)),
        is_identified.then(|| text.tolerant_header_digest(Tolerance::ALL)).and_then(|hash| key(&hash)),
        id.as_ref().zip(body).and_then(|(id, body)| hash(&[id, &body])),
        id.as_ref().and_then(|id| hash(&[id])),
        date.as_ref().and_then(|date| hash(&[date, &from, &subject])),
    ]
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
            let mut unpaired = Unmatched::all(Both { here: here.len(), there: there.len() });
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
