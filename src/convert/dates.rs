//! When a message was received: the first date that is real, and where it comes from.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::mailbox::date::{self, Stamp};
use crate::mailbox::header::Field;

/// Where a received date comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The From_ line.
    FromLine,
    /// The topmost Received field.
    Received,
    /// The Date field.
    Header,
    /// The modification time of the source file.
    Mtime,
    /// The name of the file in a Maildir.
    Name,
    /// Nowhere: it is 0.
    None,
}

impl Origin {
    /// The word in reports and JSON.
    pub fn name(self) -> &'static str {
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

/// The dates that one message offers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offered {
    /// Of its From_ line.
    pub from: Option<Stamp>,
    /// Of its topmost Received field.
    pub received: Option<Stamp>,
    /// Of its Date field.
    pub header: Option<Stamp>,
}

impl Offered {
    /// What one field of the header has to offer: the topmost one of a name counts, if it has a date.
    pub fn take(&mut self, field: &Field<'_>) {
        if self.received.is_none() && field.is("Received") {
            self.received = received_date(field.value);
        } else if self.header.is_none() && field.is("Date") {
            self.header = date::parse_header_date(field.value);
        }
    }
}

/// The date of a Received field stands behind its last semicolon (RFC 5322 §3.6.7).
fn received_date(value: &[u8]) -> Option<Stamp> {
    let semicolon = memchr::memrchr(b';', value)?;
    date::parse_header_date(&value[semicolon + 1..])
}

/// What the dates of a source are judged by.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Now, in seconds since 1970: nothing was received after tomorrow.
    pub now: i64,
    /// The modification time of the source file.
    pub mtime: Option<i64>,
    /// The zone of From_ lines that name none, where the user gave it.
    pub from_zone: Option<TimeZone>,
    /// The origin to look at first (`--date`); the others follow in their order.
    pub first: Option<Origin>,
}

/// What the From_ lines of one source have in common.
#[derive(Debug, Clone)]
pub struct FromDates {
    /// They are all the same, so they say when somebody wrote the file, not when mail came in.
    all_alike: bool,
    /// Their zone where they name none.
    zone: TimeZone,
    /// The zone as it was found out from the Received fields: seconds east of UTC.
    pub found_offset: Option<i32>,
}

/// 1 Jan 1971: before it there was no mail, only clocks that were never set.
const EARLIEST: i64 = 365 * DAY;
const DAY: i64 = 86_400;
/// `Mon Sep 17 00:00:00 2001`, which git writes into every From_ line.
const GIT: i64 = 1_000_684_800;

impl FromDates {
    /// Looks at all messages of a source.
    pub fn learn<'a>(offered: impl Iterator<Item = &'a Offered> + Clone, rules: &Rules) -> FromDates {
        let mut locals = offered.clone().map(|o| o.from.map(|s| s.local));
        let first = locals.next().flatten();
        let alike = first.is_some() && locals.clone().count() >= 2 && locals.all(|l| l == first);
        let found_offset = if rules.from_zone.is_none() { constant_offset(offered) } else { None };
        let fixed = |seconds| {
            TimeZone::fixed(jiff::tz::Offset::from_seconds(seconds).unwrap_or(jiff::tz::Offset::UTC))
        };
        let zone = match (&rules.from_zone, found_offset) {
            (Some(zone), _) => zone.clone(),
            (None, found) => fixed(found.unwrap_or(0)),
        };
        FromDates { all_alike: alike, zone, found_offset }
    }

    fn epoch(&self, stamp: Stamp) -> i64 {
        match stamp.zone {
            Some(_) => stamp.epoch(0),
            None => in_zone(stamp.local, &self.zone).unwrap_or(stamp.local),
        }
    }
}

fn in_zone(local: i64, zone: &TimeZone) -> Option<i64> {
    let utc = jiff::Timestamp::from_second(local).ok()?;
    let civil: DateTime = jiff::tz::Offset::UTC.to_datetime(utc);
    Some(civil.to_zoned(zone.clone()).ok()?.timestamp().as_second())
}

/// A From_ line without a zone is in local time of the machine that wrote it. The Received fields
/// know better: where From_ and Received differ by one and the same number of quarters of an hour,
/// that is its zone. Below three samples, or without nine in ten agreeing, there is no such number
/// (with summer time there are two, and then UTC stays).
fn constant_offset<'a>(offered: impl Iterator<Item = &'a Offered>) -> Option<i32> {
    const QUARTER: i64 = 900;
    const TRANSIT: i64 = 120;
    let mut counts = std::collections::HashMap::<i64, usize>::new();
    let mut samples = 0;
    for offer in offered {
        let (Some(from), Some(received)) = (offer.from, offer.received) else { continue };
        if from.zone.is_some() || received.zone.is_none() {
            continue;
        }
        samples += 1;
        let apart = from.local - received.epoch(0);
        let quarters = (apart + QUARTER / 2).div_euclid(QUARTER);
        if (apart - quarters * QUARTER).abs() <= TRANSIT && quarters.abs() <= 14 * 4 {
            *counts.entry(quarters).or_default() += 1;
        }
    }
    let (quarters, agreeing) = counts.into_iter().max_by_key(|&(q, n)| (n, -q.abs(), q))?;
    (samples >= 3 && agreeing * 10 >= samples * 9 && quarters != 0).then_some((quarters * QUARTER) as i32)
}

/// The received date of one message and its origin.
pub fn received(offer: &Offered, from: &FromDates, rules: &Rules) -> (i64, Origin) {
    const ORDER: [Origin; 4] = [Origin::FromLine, Origin::Received, Origin::Header, Origin::Mtime];
    let order = rules.first.into_iter().chain(ORDER);
    for origin in order {
        let date = match origin {
            Origin::FromLine => {
                offer.from.filter(|s| !from.all_alike && s.local != GIT).map(|stamp| from.epoch(stamp))
            }
            Origin::Received => offer.received.map(|s| s.epoch(0)),
            Origin::Header => offer.header.map(|s| s.epoch(0)),
            Origin::Mtime => rules.mtime,
            Origin::Name | Origin::None => None,
        };
        if let Some(date) = date.filter(|&d| (EARLIEST..=rules.now + DAY).contains(&d)) {
            return (date, origin);
        }
    }
    (0, Origin::None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn rules() -> Rules {
        Rules { now: NOW, mtime: Some(1_700_000_000), from_zone: None, first: None }
    }

    fn local(local: i64) -> Option<Stamp> {
        Some(Stamp { local, zone: None })
    }

    fn zoned(local: i64, zone: i32) -> Option<Stamp> {
        Some(Stamp { local, zone: Some(zone) })
    }

    fn all(offers: &[Offered], rules: &Rules) -> Vec<(i64, Origin)> {
        let from = FromDates::learn(offers.iter(), rules);
        offers.iter().map(|o| received(o, &from, rules)).collect()
    }

    #[test]
    fn the_first_real_date_counts() {
        let none = Offered::default();
        let t = 978_343_201;
        let offers = [
            Offered { from: local(t), received: local(t + 5), ..none },
            Offered { from: local(0), received: local(t + 5), ..none },
            Offered { from: local(GIT), header: local(t + 6), ..none },
            Offered { from: local(NOW + 2 * DAY), ..none },
            none,
        ];
        let got = all(&offers, &rules());
        let want = [
            (t, Origin::FromLine),
            (t + 5, Origin::Received),
            (t + 6, Origin::Header),
            (1_700_000_000, Origin::Mtime),
            (1_700_000_000, Origin::Mtime),
        ];
        assert_eq!(got, want);
        let stdin = Rules { mtime: None, ..rules() };
        assert_eq!(all(&[none], &stdin), [(0, Origin::None)]);
    }

    #[test]
    fn one_date_on_every_from_line_is_the_writers_not_the_mails() {
        let offer = |t| Offered { from: local(1_000_000_000), header: local(t), ..Offered::default() };
        let got = all(&[offer(978_000_001), offer(978_000_002), offer(978_000_003)], &rules());
        assert!(got.iter().all(|&(_, origin)| origin == Origin::Header));
        let got = all(&[offer(978_000_001), offer(978_000_002)], &rules());
        assert!(got.iter().all(|&(_, origin)| origin == Origin::FromLine));
    }

    #[test]
    fn a_constant_distance_to_received_is_the_from_lines_zone() {
        let t = 978_343_201;
        let offer = |n: i64| Offered {
            from: local(t + n + 7200 + 3),
            received: zoned(t + n, 0),
            ..Offered::default()
        };
        let offers: Vec<_> = (0..4).map(|n| offer(n * 1000)).collect();
        assert_eq!(all(&offers, &rules())[1], (t + 1003, Origin::FromLine));
        let two_zones =
            [offers[0], offers[1], Offered { from: local(t + 3600), received: zoned(t, 0), ..offers[0] }];
        assert_eq!(all(&two_zones, &rules())[0].0, t + 7203);
        let told = Rules { from_zone: Some(TimeZone::fixed(jiff::tz::offset(1))), ..rules() };
        assert_eq!(all(&offers, &told)[0].0, t + 3603);
    }

    #[test]
    fn the_user_may_prefer_another_origin() {
        let offer =
            Offered { from: local(978_000_000), header: zoned(978_000_000, 3600), ..Offered::default() };
        let header = Rules { first: Some(Origin::Header), ..rules() };
        assert_eq!(all(&[offer], &header), [(978_000_000 - 3600, Origin::Header)]);
    }
}
