//! Counts of messages by date, folder or sender.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::list::MessageRow;
use crate::mailbox::message::{Flags, Origin};

/// The property that messages are grouped by.
// The doc comments of the variants would be the help of --by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub(crate) enum GroupBy {
    Year,
    Month,
    Folder,
    Sender,
}

impl GroupBy {
    /// Returns the word of the command line and JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            GroupBy::Year => "year",
            GroupBy::Month => "month",
            GroupBy::Folder => "folder",
            GroupBy::Sender => "sender",
        }
    }

    /// Returns the key of the group of a message in this folder.
    pub(crate) fn key(self, folder: &str, row: &MessageRow) -> String {
        match self {
            GroupBy::Year => date_prefix(row, 4),
            GroupBy::Month => date_prefix(row, 7),
            GroupBy::Folder => folder.to_owned(),
            GroupBy::Sender => sender(&row.from),
        }
    }
}

/// Counts of a group of messages.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct MessageGroup {
    pub messages: u64,
    pub bytes: u64,
    pub unread: u64,
    pub flagged: u64,
    /// Marked as deleted.
    pub deleted: u64,
    /// The first and the last received date, seconds since 1970. Messages without a date do not count.
    pub dates: Option<(i64, i64)>,
}

impl MessageGroup {
    /// Adds a message.
    pub(crate) fn count(&mut self, row: &MessageRow) {
        self.messages += 1;
        self.bytes += row.length;
        self.unread += u64::from(!row.flags.has(Flags::SEEN));
        self.flagged += u64::from(row.flags.has(Flags::FLAGGED));
        self.deleted += u64::from(row.flags.has(Flags::TRASHED));
        if row.origin != Origin::None {
            self.dates = merge(self.dates, Some((row.epoch, row.epoch)));
        }
    }

    fn add(&mut self, other: &MessageGroup) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.unread += other.unread;
        self.flagged += other.flagged;
        self.deleted += other.deleted;
        self.dates = merge(self.dates, other.dates);
    }
}

fn merge(one: Option<(i64, i64)>, other: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (one, other) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (known, None) | (None, known) => known,
    }
}

/// Groups of messages.
#[derive(Debug)]
pub(crate) struct MailStats {
    by: GroupBy,
    groups: BTreeMap<String, MessageGroup>,
}

impl MailStats {
    pub(crate) fn new(by: GroupBy) -> MailStats {
        MailStats { by, groups: BTreeMap::new() }
    }

    pub(crate) fn group(&mut self, key: String) -> &mut MessageGroup {
        self.groups.entry(key).or_default()
    }

    /// Returns the counts of all messages.
    pub(crate) fn total(&self) -> MessageGroup {
        let mut total = MessageGroup::default();
        self.groups.values().for_each(|group| total.add(group));
        total
    }

    /// Returns the groups: the `top` largest, or else all, by sender the largest first.
    pub(crate) fn groups(&self, top: Option<usize>) -> Vec<(&str, &MessageGroup)> {
        let mut groups: Vec<(&str, &MessageGroup)> =
            self.groups.iter().map(|(key, group)| (&**key, group)).collect();
        if top.is_some() || self.by == GroupBy::Sender {
            // Groups of the same size stay in the order of their keys.
            groups.sort_by_key(|(_, group)| Reverse(group.messages));
            groups.truncate(top.unwrap_or(usize::MAX));
        }
        groups
    }
}

/// Returns the first characters of the date, as `2001` or `2001-07`.
fn date_prefix(row: &MessageRow, length: usize) -> String {
    let date = jiff::Timestamp::from_second(row.epoch).ok().filter(|_| row.origin != Origin::None);
    date.map_or_else(|| "no date".into(), |date| date.to_string()[..length].to_owned())
}

/// Returns the address in a displayed From field, in lower case.
fn sender(from: &str) -> String {
    let in_brackets = from.rfind('<').and_then(|open| from[open + 1..].split('>').next());
    match in_brackets.unwrap_or(from).trim() {
        "" => "no sender".into(),
        address => address.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_groups_come_first_where_asked_for() {
        let mut stats = MailStats::new(GroupBy::Year);
        for (epoch, count) in [(0, 1), (86400 * 400, 3), (86400 * 800, 2)] {
            for n in 0..count {
                let row = MessageRow {
                    epoch: epoch + n,
                    origin: Origin::Header,
                    length: 10,
                    ..MessageRow::default()
                };
                stats.group(GroupBy::Year.key("INBOX", &row)).count(&row);
            }
        }
        let undated = MessageRow::default();
        stats.group(GroupBy::Year.key("INBOX", &undated)).count(&undated);
        let keys = |top| stats.groups(top).iter().map(|(key, _)| *key).collect::<Vec<_>>();
        assert_eq!(keys(None), ["1970", "1971", "1972", "no date"]);
        assert_eq!(keys(Some(2)), ["1971", "1972"]);
        let total = stats.total();
        assert_eq!((total.messages, total.bytes, total.dates), (7, 60, Some((0, 86400 * 800 + 1))));
    }

    #[test]
    fn a_sender_is_an_address_in_any_case() {
        assert_eq!(sender("Ada Lindqvist <Ada@Example.org>"), "ada@example.org");
        assert_eq!(sender("ada@example.org"), "ada@example.org");
        assert_eq!(sender(""), "no sender");
        assert_eq!(sender("<>"), "no sender");
    }
}
