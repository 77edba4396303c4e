//! Maildir flags: the letters after `:2,` (maildir(5)).

use std::fmt;

/// A set of the six flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub(crate) struct Flags(u8);

impl Flags {
    /// Draft.
    pub(crate) const DRAFT: Flags = Flags(1);
    /// Flagged, starred.
    pub(crate) const FLAGGED: Flags = Flags(2);
    /// Passed on: forwarded, resent, bounced.
    pub(crate) const PASSED: Flags = Flags(4);
    /// Replied to.
    pub(crate) const REPLIED: Flags = Flags(8);
    /// Seen.
    pub(crate) const SEEN: Flags = Flags(16);
    /// Trashed.
    pub(crate) const TRASHED: Flags = Flags(32);

    /// In ASCII order, as names require.
    const LETTERS: [(Flags, u8); 6] = [
        (Flags::DRAFT, b'D'),
        (Flags::FLAGGED, b'F'),
        (Flags::PASSED, b'P'),
        (Flags::REPLIED, b'R'),
        (Flags::SEEN, b'S'),
        (Flags::TRASHED, b'T'),
    ];

    /// Parses letters. Others, such as the keywords a–z, are ignored.
    pub(crate) fn parse(letters: &[u8]) -> Flags {
        Flags::LETTERS
            .iter()
            .filter(|(_, l)| letters.contains(l))
            .fold(Flags::default(), |set, (f, _)| set | *f)
    }

    /// Returns all sets, those with few flags first.
    pub(crate) fn changes() -> impl Iterator<Item = Flags> {
        let mut sets: [u8; 64] = std::array::from_fn(|set| set as u8);
        sets.sort_by_key(|set| set.count_ones());
        sets.into_iter().map(Flags)
    }

    /// Reports whether all of `other` are set.
    pub(crate) fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Reports whether no flag is set.
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl std::ops::BitXor for Flags {
    type Output = Flags;
    fn bitxor(self, other: Flags) -> Flags {
        Flags(self.0 ^ other.0)
    }
}

impl std::ops::BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Flags) {
        self.0 |= other.0;
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = Flags::LETTERS.iter().filter(|(flag, _)| self.has(*flag));
        letters.into_iter().try_for_each(|(_, letter)| write!(f, "{}", *letter as char))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn letters_are_written_sorted_and_read_back(bits in 0u8..64) {
            let flags = Flags(bits);
            let letters = flags.to_string();
            let mut sorted = letters.clone().into_bytes();
            sorted.sort();
            prop_assert_eq!(letters.as_bytes(), &sorted[..]);
            prop_assert_eq!(Flags::parse(letters.as_bytes()), flags);
        }
    }
}
