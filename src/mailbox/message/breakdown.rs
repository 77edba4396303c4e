//! Messages by year, by size and by the origin of their dates, and the largest of them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::path::PathBuf;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Headline, Origin};

/// How many of the largest messages are kept.
const LARGEST: usize = 10;
/// Sizes below this one are one class. The limit of each further class is four times that of the one before.
const FIRST_LIMIT: u64 = 1 << 10;

/// Counts of messages by their properties.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Breakdown {
    pub(crate) all: Volume,
    /// By year in UTC.
    pub(crate) years: BTreeMap<i16, Volume>,
    /// Messages without a date.
    pub(crate) undated: Volume,
    /// By the name of the origin.
    pub(crate) origins: BTreeMap<&'static str, u64>,
    /// By the limit of the class, which no message of it reaches.
    pub(crate) sizes: BTreeMap<u64, Volume>,
    /// Largest first.
    pub(crate) largest: Vec<LargeMessage>,
}

/// So many messages, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

/// One of the largest messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LargeMessage {
    /// The mbox, or the file of the message.
    pub(crate) path: PathBuf,
    /// The byte of the mbox where it begins.
    pub(crate) offset: Option<u64>,
    pub(crate) bytes: u64,
    /// Seconds since 1970.
    pub(crate) received: Option<i64>,
    pub(crate) headline: Headline,
}

impl Breakdown {
    /// Adds a message, but not to the largest.
    pub(crate) fn add(&mut self, bytes: u64, received: Option<i64>, origin: Origin) {
        let one = Volume { messages: 1, bytes };
        self.all += one;
        *match received.and_then(year) {
            Some(year) => self.years.entry(year).or_default(),
            None => &mut self.undated,
        } += one;
        *self.origins.entry(origin.name()).or_default() += 1;
        *self.sizes.entry(size_limit(bytes)).or_default() += one;
    }

    /// Adds a message to the largest.
    pub(crate) fn add_large(&mut self, message: LargeMessage) {
        self.largest.push(message);
        self.sort_largest();
    }

    fn sort_largest(&mut self) {
        self.largest.sort_by(|a, b| {
            let rank = |message: &LargeMessage| (Reverse(message.bytes), message.offset);
            rank(a).cmp(&rank(b)).then_with(|| a.path.cmp(&b.path))
        });
        self.largest.truncate(LARGEST);
    }
}

impl AddAssign<Volume> for Volume {
    fn add_assign(&mut self, other: Volume) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

impl AddAssign<&Breakdown> for Breakdown {
    fn add_assign(&mut self, other: &Breakdown) {
        self.all += other.all;
        other.years.iter().for_each(|(year, volume)| *self.years.entry(*year).or_default() += *volume);
        self.undated += other.undated;
        other.origins.iter().for_each(|(name, count)| *self.origins.entry(name).or_default() += count);
        other.sizes.iter().for_each(|(limit, volume)| *self.sizes.entry(*limit).or_default() += *volume);
        self.largest.extend_from_slice(&other.largest);
        self.sort_largest();
    }
}

/// Returns the numbers of the largest messages, the first of equal ones.
pub(crate) fn find_largest(sizes: impl Iterator<Item = u64>) -> Vec<usize> {
    let mut largest: Vec<(Reverse<u64>, usize)> = Vec::with_capacity(LARGEST + 1);
    for (n, bytes) in sizes.enumerate() {
        if largest.len() == LARGEST && largest[LARGEST - 1].0.0 >= bytes {
            continue;
        }
        let at = largest.partition_point(|other| *other < (Reverse(bytes), n));
        largest.insert(at, (Reverse(bytes), n));
        largest.truncate(LARGEST);
    }
    largest.into_iter().map(|(_, n)| n).collect()
}

fn year(epoch: i64) -> Option<i16> {
    Some(TimeZone::UTC.to_datetime(Timestamp::from_second(epoch).ok()?).year())
}

fn size_limit(bytes: u64) -> u64 {
    let mut limit = FIRST_LIMIT;
    while bytes >= limit && limit < 1 << 62 {
        limit *= 4;
    }
    limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_in_one_year_one_class_and_one_origin() {
        let mut breakdown = Breakdown::default();
        for (bytes, received, origin) in [
            (0, None, Origin::None),
            (1023, Some(0), Origin::FromLine),
            (1024, Some(-1), Origin::FromLine),
            (1 << 30, Some(1_700_000_000), Origin::Received),
            (u64::MAX >> 1, Some(i64::MAX), Origin::Received),
        ] {
            breakdown.add(bytes, received, origin);
        }
        let messages = |volumes: Vec<&Volume>| volumes.iter().map(|volume| volume.messages).sum::<u64>();
        assert_eq!(breakdown.years.keys().copied().collect::<Vec<_>>(), [1969, 1970, 2023]);
        assert_eq!(messages(breakdown.years.values().chain([&breakdown.undated]).collect()), 5);
        assert_eq!(breakdown.sizes.keys().copied().collect::<Vec<_>>(), [1 << 10, 1 << 12, 1 << 32, 1 << 62]);
        assert_eq!(messages(breakdown.sizes.values().collect()), 5);
        assert_eq!(breakdown.origins.values().sum::<u64>(), 5);
    }

    #[test]
    fn the_largest_are_found_in_any_order() {
        assert_eq!(find_largest([5, 9, 5, 7].into_iter()), [1, 3, 0, 2]);
        assert_eq!(
            find_largest((0..1000).map(|n| n % 100)),
            [99, 199, 299, 399, 499, 599, 699, 799, 899, 999]
        );
        assert!(find_largest(std::iter::empty()).is_empty());
    }
}
