//! The grammar of dates, see [`super`].

use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

use super::names::{MONTHS, ZONES, is_english_weekday, is_name_or_abbreviation};
use super::scanner::Scanner;
use super::{Form, Order, ParsedDate, Weekday, ZonePosition};
use crate::mailbox::message::Stamp;

/// Parses the date at the start of `bytes`.
pub(crate) fn parse_prefix(bytes: &[u8]) -> Option<ParsedDate<'_>> {
    let scanner = Scanner { rest: bytes };
    // Without a weekday is tried first: `Mar 5 10:00 2001` is March, `Mar Jan 5 10:00 2001` is Tuesday.
    scanner.iso().or_else(|| scanner.named_month()).or_else(|| scanner.with_weekday())
}

/// The parts of a date, not yet validated.
struct Parts {
    year: i16,
    month: i8,
    day: i8,
    time: Time,
    zone: Option<Zone>,
}

impl Parts {
    fn stamp(&self) -> Option<Stamp> {
        let Time { hour, minute, second, .. } = self.time;
        // A leap second is the first second of the next minute.
        let leap = i64::from(second == 60);
        let time = jiff::civil::Time::new(hour, minute, second - leap as i8, 0).ok()?;
        let date = Date::new(self.year, self.month, self.day).ok()?;
        let local = Offset::UTC.to_timestamp(DateTime::from_parts(date, time)).ok()?;
        Some(Stamp { local: local.as_second() + leap, zone: self.zone.and_then(|z| z.offset) })
    }
}

/// A time of day on a 24-hour clock, not yet validated.
#[derive(Clone, Copy)]
struct Time {
    hour: i8,
    minute: i8,
    second: i8,
    seconds_written: bool,
}

/// A zone, in seconds east of UTC if that is known.
#[derive(Clone, Copy)]
struct Zone {
    offset: Option<i32>,
}

/// Whole dates. These methods take the scanner by value, since one is tried after the other.
impl<'a> Scanner<'a> {
    fn with_weekday(mut self) -> Option<ParsedDate<'a>> {
        let weekday = self.weekday()?;
        let mut written = self.named_month()?;
        written.form.weekday = weekday;
        Some(written)
    }

    fn named_month(mut self) -> Option<ParsedDate<'a>> {
        if let Some((day, month, year)) = self.dashed() {
            return self.year_before_time(Order::Dashed, day, month, year);
        }
        let (month_first, day, month) = match self.month() {
            Some(month) => (true, self.after_gap(Self::day)?, month),
            None => (false, self.day()?, self.after_gap(Self::month)?),
        };
        if let Some(time) = self.after_gap(Self::time) {
            let order = if month_first { Order::Asctime } else { Order::AsctimeDayFirst };
            return self.time_before_year(order, day, month, time);
        }
        let order = if month_first { Order::AsctimeYearFirst } else { Order::Rfc822 };
        let year = self.after_gap(Self::year)?;
        self.year_before_time(order, day, month, year)
    }

    fn iso(mut self) -> Option<ParsedDate<'a>> {
        let (year, 4) = self.number()? else { return None };
        let month = self.after(b'-', Self::two_digits)?;
        let day = self.after(b'-', Self::two_digits)?;
        if self.rest.first().is_some_and(|b| b.eq_ignore_ascii_case(&b'T')) {
            self.skip(1);
        }
        self.year_before_time(Order::Iso, day, month, year as i16)
    }

    fn time_before_year(mut self, order: Order, day: i8, month: i8, time: Time) -> Option<ParsedDate<'a>> {
        let early = self.after_gap(Self::zone);
        let year = self.after_gap(Self::year)?;
        let late = self.zone();
        let place = match (early, late) {
            (Some(_), _) => ZonePosition::BeforeYear,
            (None, Some(_)) => ZonePosition::AtEnd,
            (None, None) => ZonePosition::Missing,
        };
        Some(self.end(order, place, Parts { year, month, day, time, zone: early.or(late) }))
    }

    fn year_before_time(mut self, order: Order, day: i8, month: i8, year: i16) -> Option<ParsedDate<'a>> {
        let time = self.after_gap(Self::time)?;
        let zone = self.zone();
        let place = if zone.is_some() { ZonePosition::AtEnd } else { ZonePosition::Missing };
        Some(self.end(order, place, Parts { year, month, day, time, zone }))
    }

    fn end(mut self, order: Order, zone: ZonePosition, parts: Parts) -> ParsedDate<'a> {
        self.blanks_and_comments();
        let form = Form { order, weekday: Weekday::Missing, seconds: parts.time.seconds_written, zone };
        ParsedDate { stamp: parts.stamp(), form, rest: self.rest }
    }
}

/// The parts of a date.
impl Scanner<'_> {
    /// Parses a word that can be a weekday, and the blanks and punctuation after it. Comments are not allowed there:
    /// a word before a comment is the name of a sender.
    fn weekday(&mut self) -> Option<Weekday> {
        self.attempt(|s| {
            let word = s.word();
            let point = s.eat(b',') || s.eat(b'.');
            let blank = s.blanks();
            match word.len() {
                2..=9 if point || is_english_weekday(word) => Some(Weekday::Sure),
                2..=9 if blank => Some(Weekday::Word),
                _ => None,
            }
        })
    }

    /// Parses an English month: its first three letters, all of them, or `Sept`.
    fn month(&mut self) -> Option<i8> {
        self.attempt(|s| {
            let word = s.word();
            let index = MONTHS.iter().position(|m| is_name_or_abbreviation(word, m))?;
            Some(index as i8 + 1)
        })
    }

    /// Parses one or two digits. The month is checked later.
    fn day(&mut self) -> Option<i8> {
        self.two_digits()
    }

    /// Parses four digits, or two, or one of the two ways in which programs got the year 2000 wrong: `100` and
    /// `19100`.
    fn year(&mut self) -> Option<i16> {
        self.attempt(|s| {
            let year = match s.number()? {
                (year @ 70.., 2) => 1900 + year,
                (year, 2) => 2000 + year,
                (year, 3) => 1900 + year,
                (year, 4) => year,
                (year @ 19100..=19199, 5) => year - 19100 + 2000,
                _ => return None,
            };
            Some(year as i16)
        })
    }

    /// `day-month-year`
    fn dashed(&mut self) -> Option<(i8, i8, i16)> {
        self.attempt(|s| {
            let day = s.day()?;
            let month = s.after(b'-', Self::month)?;
            let year = s.after(b'-', Self::year)?;
            Some((day, month, year))
        })
    }

    fn time(&mut self) -> Option<Time> {
        self.attempt(|s| {
            let mut hour = s.two_digits()?;
            let by_points = s.rest.first() == Some(&b'.');
            let minute = s.time_part(by_points)?;
            let second = s.time_part(by_points);
            if second.is_some() {
                s.fraction();
            }
            match s.half_day() {
                Some(true) if hour < 12 => hour += 12,
                Some(false) if hour == 12 => hour = 0,
                _ => {}
            }
            Some(Time { hour, minute, second: second.unwrap_or(0), seconds_written: second.is_some() })
        })
    }

    /// Parses `:05`. RFC 5322 section 4.3 allows blanks and comments around the colon. Around a point they would turn
    /// the end of a sentence into a time.
    fn time_part(&mut self, by_points: bool) -> Option<i8> {
        if by_points {
            return self.after(b'.', Self::two_digits);
        }
        self.attempt(|s| {
            s.blanks_and_comments();
            if !s.eat(b':') {
                return None;
            }
            s.blanks_and_comments();
            s.two_digits()
        })
    }

    /// Skips fractions of a second.
    fn fraction(&mut self) {
        self.after(b'.', Self::number).or_else(|| self.after(b',', Self::number));
    }

    /// `AM` is false, `PM` is true.
    fn half_day(&mut self) -> Option<bool> {
        self.attempt(|s| {
            s.blanks();
            match s.word() {
                word if word.eq_ignore_ascii_case(b"AM") => Some(false),
                word if word.eq_ignore_ascii_case(b"PM") => Some(true),
                _ => None,
            }
        })
    }

    /// Parses a zone, with the blanks before it.
    fn zone(&mut self) -> Option<Zone> {
        self.attempt(|s| {
            s.blanks();
            s.zone_in_comment().or_else(|| s.zone_by_number()).or_else(|| s.zone_by_name())
        })
    }

    /// Parses `(CET)`. Any comment but a known zone is only a comment.
    fn zone_in_comment(&mut self) -> Option<Zone> {
        self.attempt(|s| {
            let mut inside = Scanner { rest: s.comment()? };
            let zone = inside.zone_by_number().or_else(|| inside.zone_by_name())?;
            (inside.rest.is_empty() && zone.offset.is_some()).then_some(zone)
        })
    }

    /// Parses `+0100` or `+0100 MET`.
    fn zone_by_number(&mut self) -> Option<Zone> {
        let offset = self.signed()?;
        self.attempt(|s| {
            s.blanks();
            s.zone_name()
        });
        Some(Zone { offset })
    }

    /// `GMT`, `GMT+0100`, `GMT +0100`, `MET DST`.
    fn zone_by_name(&mut self) -> Option<Zone> {
        let named = self.zone_name()?;
        let number = self.attempt(|s| {
            s.blanks();
            s.signed()
        });
        let summer = self.attempt(|s| {
            s.blanks();
            s.word().eq_ignore_ascii_case(b"DST").then_some(())
        });
        let offset = match (named, number, summer) {
            // POSIX counts `EST+5` westward, so a number only adds to names without an offset.
            (Some(0) | None, Some(number), _) => number,
            (Some(offset), None, Some(())) => Some(offset + 3600),
            (named, _, _) => named,
        };
        Some(Zone { offset })
    }

    /// Parses a name. `Some(None)` is a name of unknown offset.
    fn zone_name(&mut self) -> Option<Option<i32>> {
        self.attempt(|s| {
            let word = s.word();
            let is_word = |name: &&str| name.as_bytes().eq_ignore_ascii_case(word);
            match ZONES.iter().find(|(_, names)| names.iter().any(is_word)) {
                Some((minutes, _)) => Some(Some(minutes * 60)),
                None if (1..=5).contains(&word.len()) && word.is_ascii() => Some(None),
                None => None,
            }
        })
    }

    /// Parses `+0100`, `-08:00`, `+01` or `-800`. `Some(None)` is a number that is not an offset. `-0000` is UTC (RFC
    /// 5322 section 3.3).
    fn signed(&mut self) -> Option<Option<i32>> {
        self.attempt(|s| {
            let sign = if s.eat(b'-') { -1 } else { s.eat(b'+').then_some(1)? };
            let (hours, minutes) = match s.number()? {
                (hours, 1 | 2) => (hours, s.after(b':', Self::two_digits).unwrap_or(0) as u32),
                (both, 3 | 4) => (both / 100, both % 100),
                _ => return None,
            };
            let possible = hours < 24 && minutes < 60;
            Some(possible.then_some(sign * (hours * 3600 + minutes * 60) as i32))
        })
    }
}
