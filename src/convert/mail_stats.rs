//! Properties of the mail that a run writes, for its report.

use std::ops::AddAssign;

use crate::mailbox::message::Flags;

/// Flags and dates of the messages that a run writes, and what it assumed about them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MailStats {
    pub(crate) read: u64,
    pub(crate) flagged: u64,
    /// Messages with the flag T.
    pub(crate) trashed: u64,
    /// Messages that a mail program has marked as deleted, and that came without the flag T.
    pub(crate) deleted_kept: u64,
    /// Messages that `--deleted skip` left out.
    pub(crate) deleted_skipped: u64,
    /// From_ lines without a zone that were taken as UTC.
    pub(crate) zones_assumed: u64,
    /// From_ lines without a zone whose zone the Received fields show.
    pub(crate) zones_inferred: u64,
    /// The first and the last date.
    pub(crate) dates: Option<DateRange>,
}

/// Seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DateRange {
    pub(crate) first: i64,
    pub(crate) last: i64,
}

impl MailStats {
    /// Adds a message that is written; `date` is None if it has no real one.
    pub(crate) fn add_message(&mut self, flags: Flags, date: Option<i64>) {
        self.read += u64::from(flags.has(Flags::SEEN));
        self.flagged += u64::from(flags.has(Flags::FLAGGED));
        self.trashed += u64::from(flags.has(Flags::TRASHED));
        self.add_dates(date.map(|date| DateRange { first: date, last: date }));
    }

    fn add_dates(&mut self, other: Option<DateRange>) {
        self.dates = match (self.dates, other) {
            (Some(one), Some(other)) => {
                Some(DateRange { first: one.first.min(other.first), last: one.last.max(other.last) })
            }
            (one, other) => one.or(other),
        };
    }
}

impl AddAssign<&MailStats> for MailStats {
    fn add_assign(&mut self, other: &MailStats) {
        self.read += other.read;
        self.flagged += other.flagged;
        self.trashed += other.trashed;
        self.deleted_kept += other.deleted_kept;
        self.deleted_skipped += other.deleted_skipped;
        self.zones_assumed += other.zones_assumed;
        self.zones_inferred += other.zones_inferred;
        self.add_dates(other.dates);
    }
}
