//! The received date of a message: its first real date, and the origin of that.

use std::collections::HashMap;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{Field, Stamp};
use crate::mailbox::message::date;
use crate::mailbox::text::grouped_plural;
use crate::mailbox::{Code, Finding};

/// The origin of a received date.
// The doc comments of the variants are the help of --date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub(crate) enum Origin {
    /// The From_ line
    #[cfg_attr(feature = "cli", value(name = "from"))]
    FromLine,
    /// The topmost Received field
    Received,
    /// The Date field
    Header,
    /// The source file
    Mtime,
    /// The name of the file in a Maildir
    #[cfg_attr(feature = "cli", value(skip))]
    Name,
    /// There is no date: it is 0
    #[default]
    #[cfg_attr(feature = "cli", value(skip))]
    None,
}

impl Origin {
    /// Reports whether the date is real: not a missing one. The modification time counts if the file is the message, and
    /// not an mbox, or if the user says so.
    pub(crate) fn is_real(self, counts_mtime: bool) -> bool {
        match self {
            Origin::None => false,
            Origin::Mtime => counts_mtime,
            Origin::FromLine | Origin::Received | Origin::Header | Origin::Name => true,
        }
    }

    /// Returns the word of reports and JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Origin::FromLine => "from",
            Origin::Received => "received",
            Origin::Header => "date",
            Origin::Mtime => "mtime",
            Origin::Name => "name",
            Origin::None => "none",
        }
    }
}

/// The dates in the fields of one message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DateFields {
    pub from: Option<Stamp>,
    pub received: Option<Stamp>,
    pub header: Option<Stamp>,
}

impl DateFields {
    /// Reads one field of the header. The topmost field of a name that has a date counts.
    pub(crate) fn read_field(&mut self, field: &Field<'_>) {
        if self.received.is_none() && field.is("Received") {
            self.received = parse_received(field.value);
        } else if self.header.is_none() && field.is("Date") {
            self.header = date::parse_header_date(field.value);
        }
    }
}

/// Returns the date of a Received field, which is after the last semicolon (RFC 5322 §3.6.7).
fn parse_received(value: &[u8]) -> Option<Stamp> {
    let semicolon = memchr::memrchr(b';', value)?;
    date::parse_header_date(&value[semicolon + 1..])
}

/// The rules by which a date counts as real.
#[derive(Debug, Clone)]
pub(crate) struct DateRules {
    /// Seconds since 1970. Nothing was received after tomorrow.
    pub now: i64,
    /// The modification time of the source file.
    pub mtime: Option<i64>,
    /// The zone of From_ lines that name none, if the user gave it.
    pub from_zone: Option<TimeZone>,
    /// The origin that is tried first (`--date`). The others follow in their order.
    pub first: Option<Origin>,
}

/// Properties that the From_ lines of one source have in common.
#[derive(Debug, Clone)]
pub(crate) struct FromLineDates {
    /// All dates are equal, so they are the date of the file and not of the mail.
    all_alike: bool,
    /// The zone of From_ lines that name none.
    zone: TimeZone,
    /// The zone that the Received fields imply, in seconds east of UTC.
    pub found_offset: Option<i32>,
}

/// The statistics for [`FromLineDates`]. Messages are added in any order.
#[derive(Debug, Clone, Default)]
pub(crate) struct FromLineStats {
    common: Common,
    messages: usize,
    /// Messages whose From_ line and Received field can be compared.
    samples: usize,
    /// The number of messages by the difference, for differences of whole quarters of an hour.
    quarters: HashMap<i64, usize>,
}

/// The date that all From_ lines so far have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Common {
    #[default]
    Nothing,
    /// None if no line has a date.
    All(Option<i64>),
    Several,
}

impl Common {
    fn join(self, other: Common) -> Common {
        match (self, other) {
            (Common::Nothing, common) | (common, Common::Nothing) => common,
            (one, other) if one == other => one,
            _ => Common::Several,
        }
    }
}

impl FromLineStats {
    /// Adds a message.
    pub(crate) fn add(&mut self, dates: &DateFields) {
        self.messages += 1;
        self.common = self.common.join(Common::All(dates.from.map(|stamp| stamp.local)));
        let (Some(from), Some(received)) = (dates.from, dates.received) else { return };
        if from.zone.is_some() || received.zone.is_none() {
            return;
        }
        const TRANSIT: i64 = 120;
        self.samples += 1;
        let apart = from.local - received.epoch(0);
        let quarters = (apart + QUARTER / 2).div_euclid(QUARTER);
        if (apart - quarters * QUARTER).abs() <= TRANSIT && quarters.abs() <= 14 * 4 {
            *self.quarters.entry(quarters).or_default() += 1;
        }
    }

    /// Adds the messages of another part of the source.
    pub(crate) fn merge(&mut self, other: FromLineStats) {
        self.common = self.common.join(other.common);
        self.messages += other.messages;
        self.samples += other.samples;
        other.quarters.into_iter().for_each(|(quarters, n)| *self.quarters.entry(quarters).or_default() += n);
    }

    /// Returns the offset of the zone, if it is constant. A From_ line without a zone is in the local time of the
    /// machine that wrote it. If From_ and Received always differ by the same number of quarters of an hour, that
    /// is the zone. It takes three samples, and nine in ten must agree. With summer time there are two offsets, and
    /// UTC stays.
    fn constant_offset(&self) -> Option<i32> {
        let most = self.quarters.iter().max_by_key(|&(&q, &n)| (n, -q.abs(), q));
        let (&quarters, &agreeing) = most?;
        let agree = self.samples >= 3 && agreeing * 10 >= self.samples * 9;
        (agree && quarters != 0).then_some((quarters * QUARTER) as i32)
    }
}

impl DateRules {
    fn is_real(&self, date: i64) -> bool {
        is_in_window(date, self.now)
    }

    /// Returns the date of a field, if it is real.
    fn real_date(&self, stamp: Option<Stamp>) -> Option<i64> {
        let date = stamp.filter(|stamp| !is_dummy(*stamp))?.epoch(0);
        Some(date).filter(|&date| self.is_real(date))
    }
}

/// Reports whether a message can have been received then: from 1971 to tomorrow.
pub(crate) fn is_in_window(date: i64, now: i64) -> bool {
    (EARLIEST..=now + DAY).contains(&date)
}

/// Reports whether programs write the date where they have none: KMail and KNode the first minute of 1997, and git
/// one second of 2001.
fn is_dummy(stamp: Stamp) -> bool {
    const FIRST_OF_1997: i64 = 852_076_800;
    stamp.local == date::GIT || (FIRST_OF_1997..FIRST_OF_1997 + 60).contains(&stamp.local)
}

/// 1 Jan 1971: an earlier date comes from a clock that was never set.
const EARLIEST: i64 = 365 * DAY;
const DAY: i64 = 86_400;
const QUARTER: i64 = 900;

impl FromLineDates {
    pub(crate) fn new(stats: &FromLineStats, rules: &DateRules) -> FromLineDates {
        let all_alike = stats.messages >= 3 && matches!(stats.common, Common::All(Some(_)));
        let found_offset = if rules.from_zone.is_none() { stats.constant_offset() } else { None };
        let fixed = |seconds| {
            TimeZone::fixed(jiff::tz::Offset::from_seconds(seconds).unwrap_or(jiff::tz::Offset::UTC))
        };
        let zone = match (&rules.from_zone, found_offset) {
            (Some(zone), _) => zone.clone(),
            (None, found) => fixed(found.unwrap_or(0)),
        };
        FromLineDates { all_alike, zone, found_offset }
    }

    /// Collects the statistics of all messages of a source.
    pub(crate) fn from_messages<'a>(
        messages: impl Iterator<Item = &'a DateFields>,
        rules: &DateRules,
    ) -> FromLineDates {
        let mut stats = FromLineStats::default();
        messages.for_each(|dates| stats.add(dates));
        FromLineDates::new(&stats, rules)
    }

    /// Returns the From_ line's date if it is real. It comes before any other except the one that the user prefers.
    pub(crate) fn preferred(&self, stamp: PackedStamp, fallback: Origin, rules: &DateRules) -> Option<i64> {
        self.epoch(stamp).filter(|&date| rules.first != Some(fallback) && rules.is_real(date))
    }

    fn epoch(&self, stamp: PackedStamp) -> Option<i64> {
        let seconds = stamp.0 >> 1;
        match stamp {
            PackedStamp::NONE => None,
            _ if self.all_alike => None,
            _ if stamp.0 & 1 == 0 => Some(seconds),
            _ => Some(in_zone(seconds, &self.zone).unwrap_or(seconds)),
        }
    }
}

/// The date of a From_ line in eight bytes: twice its seconds, plus one if they are local. The dates of all messages
/// are in memory at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedStamp(i64);

impl PackedStamp {
    /// Reports whether it is a date without a zone.
    pub(crate) fn is_local(self) -> bool {
        self != PackedStamp::NONE && self.0 & 1 == 1
    }

    /// No date, or not a real one.
    pub(crate) const NONE: PackedStamp = PackedStamp(i64::MIN);

    pub(crate) fn pack(stamp: Option<Stamp>) -> PackedStamp {
        let packed = stamp.filter(|stamp| !is_dummy(*stamp)).and_then(|stamp| {
            let twice = stamp.epoch(0).checked_mul(2)?;
            Some(PackedStamp(twice | i64::from(stamp.zone.is_none())))
        });
        packed.unwrap_or(PackedStamp::NONE)
    }
}

fn in_zone(local: i64, zone: &TimeZone) -> Option<i64> {
    let utc = jiff::Timestamp::from_second(local).ok()?;
    let civil: DateTime = jiff::tz::Offset::UTC.to_datetime(utc);
    Some(civil.to_zoned_datetime(zone.clone()).ok()?.timestamp().as_second())
}

/// Returns the received date of one message and its origin.
pub(crate) fn received_date(dates: &DateFields, from: &FromLineDates, rules: &DateRules) -> (i64, Origin) {
    let (epoch, origin) = fallback_date(dates, rules);
    from.preferred(PackedStamp::pack(dates.from), origin, rules)
        .map_or((epoch, origin), |epoch| (epoch, Origin::FromLine))
}

/// Returns the received date of a message whose From_ line has no date.
pub(crate) fn fallback_date(dates: &DateFields, rules: &DateRules) -> (i64, Origin) {
    const ORDER: [Origin; 3] = [Origin::Received, Origin::Header, Origin::Mtime];
    for origin in rules.first.into_iter().chain(ORDER) {
        let date = match origin {
            Origin::Received => rules.real_date(dates.received),
            Origin::Header => rules.real_date(dates.header),
            Origin::Mtime => rules.mtime.filter(|&date| rules.is_real(date)),
            Origin::FromLine | Origin::Name | Origin::None => None,
        };
        if let Some(date) = date {
            return (date, origin);
        }
    }
    (0, Origin::None)
}

impl FromLineDates {
    /// Returns the finding about a zone that was derived from Received fields.
    pub(crate) fn finding(&self) -> Option<Finding> {
        self.found_offset.map(|seconds| {
            let message = format!(
                "the From_ lines have no zone; the Received fields show {:+03}:{:02}",
                seconds / 3600,
                seconds.abs() % 3600 / 60
            );
            Finding::new(Code::DateZone, message)
        })
    }
}

/// Findings about the origins of the dates of a source.
#[derive(Debug, Default)]
pub(crate) struct OriginCheck {
    from_mtime: u64,
}

impl OriginCheck {
    /// Checks all messages, given by offset and origin.
    pub(crate) fn check(origins: impl Iterator<Item = (u64, Origin)>, rules: &DateRules) -> Vec<Finding> {
        let mut check = OriginCheck::default();
        let mut findings: Vec<Finding> =
            origins.filter_map(|(at, origin)| check.add(at, origin, rules)).collect();
        findings.extend(check.finding());
        findings
    }

    /// Adds a message at offset `at`, and returns the finding about its date.
    pub(crate) fn add(&mut self, at: u64, origin: Origin, rules: &DateRules) -> Option<Finding> {
        const UNDATED: &str =
            "no date of this message is real, and the source has no modification time: dated 1970";
        match origin {
            Origin::Mtime if rules.first != Some(Origin::Mtime) => self.from_mtime += 1,
            Origin::None => return Some(Finding::at(Code::DateMissing, at, UNDATED)),
            _ => {}
        }
        None
    }

    /// Returns the finding about messages dated as their source.
    pub(crate) fn finding(&self) -> Option<Finding> {
        let count = self.from_mtime;
        let message =
            || format!("{} without a real date, dated as the source file", grouped_plural(count, "message"));
        (count > 0).then(|| Finding::new(Code::DateFromMtime, message()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn rules() -> DateRules {
        DateRules { now: NOW, mtime: Some(1_700_000_000), from_zone: None, first: None }
    }

    fn local(local: i64) -> Option<Stamp> {
        Some(Stamp { local, zone: None })
    }

    fn zoned(local: i64, zone: i32) -> Option<Stamp> {
        Some(Stamp { local, zone: Some(zone) })
    }

    fn all(messages: &[DateFields], rules: &DateRules) -> Vec<(i64, Origin)> {
        let from = FromLineDates::from_messages(messages.iter(), rules);
        messages.iter().map(|dates| received_date(dates, &from, rules)).collect()
    }

    #[test]
    fn the_first_real_date_counts() {
        let none = DateFields::default();
        let t = 978_343_201;
        let messages = [
            DateFields { from: local(t), received: local(t + 5), ..none },
            DateFields { from: local(0), received: local(t + 5), ..none },
            DateFields { from: local(date::GIT), header: local(t + 6), ..none },
            DateFields { from: local(852_076_800), header: local(852_076_859), received: local(t) },
            DateFields { from: local(NOW + 2 * DAY), ..none },
            none,
        ];
        let got = all(&messages, &rules());
        let want = [
            (t, Origin::FromLine),
            (t + 5, Origin::Received),
            (t + 6, Origin::Header),
            (t, Origin::Received),
            (1_700_000_000, Origin::Mtime),
            (1_700_000_000, Origin::Mtime),
        ];
        assert_eq!(got, want);
        let stdin = DateRules { mtime: None, ..rules() };
        assert_eq!(all(&[none], &stdin), [(0, Origin::None)]);
    }

    #[test]
    fn a_date_that_all_from_lines_share_is_not_the_mails() {
        let fields = |t| DateFields { from: local(1_000_000_000), header: local(t), ..DateFields::default() };
        let got = all(&[fields(978_000_001), fields(978_000_002), fields(978_000_003)], &rules());
        assert!(got.iter().all(|&(_, origin)| origin == Origin::Header));
        let got = all(&[fields(978_000_001), fields(978_000_002)], &rules());
        assert!(got.iter().all(|&(_, origin)| origin == Origin::FromLine));
    }

    #[test]
    fn a_constant_distance_to_received_is_the_from_lines_zone() {
        let t = 978_343_201;
        let fields = |n: i64| DateFields {
            from: local(t + n + 7200 + 3),
            received: zoned(t + n, 0),
            ..DateFields::default()
        };
        let messages: Vec<_> = (0..4).map(|n| fields(n * 1000)).collect();
        assert_eq!(all(&messages, &rules())[1], (t + 1003, Origin::FromLine));
        let two_zones = [
            messages[0],
            messages[1],
            DateFields { from: local(t + 3600), received: zoned(t, 0), ..messages[0] },
        ];
        assert_eq!(all(&two_zones, &rules())[0].0, t + 7203);
        let in_zone = DateRules { from_zone: Some(TimeZone::fixed(jiff::tz::offset(1))), ..rules() };
        assert_eq!(all(&messages, &in_zone)[0].0, t + 3603);
    }

    #[test]
    fn the_user_may_prefer_another_origin() {
        let fields = DateFields {
            from: local(978_000_000),
            header: zoned(978_000_000, 3600),
            ..DateFields::default()
        };
        let header = DateRules { first: Some(Origin::Header), ..rules() };
        assert_eq!(all(&[fields], &header), [(978_000_000 - 3600, Origin::Header)]);
    }
}
