//! The grammar of dates, see [`super`].

use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

use super::names::{self, Bits, Words};
use super::scanner::Scanner;
use super::{Form, Names, Order, ParsedDate, Weekday, ZonePosition};
use crate::mailbox::message::Stamp;

/// Parses the date at the start of `bytes`.
pub(crate) fn parse_prefix(bytes: &[u8]) -> Option<ParsedDate<'_>> {
    date(Scanner { rest: bytes, words: Words::Known })
}

/// Parses the date at the start of `bytes`, in which any word can be the month: only the shape is that of a date.
pub(crate) fn parse_shape(bytes: &[u8]) -> Option<ParsedDate<'_>> {
    date(Scanner { rest: bytes, words: Words::Any })
}

/// Parses the date at the start of a text that was decoded from a guessed charset: its names must have their accents.
pub(super) fn parse_decoded(bytes: &[u8]) -> Option<ParsedDate<'_>> {
    date(Scanner { rest: bytes, words: Words::Exact })
}

/// Parses a day in numbers, without a time.
pub(crate) fn parse_day(bytes: &[u8]) -> Option<ParsedDate<'_>> {
    Scanner { rest: bytes, words: Words::Known }.day_alone()
}

/// Parses a time and a year, without a day.
pub(crate) fn parse_time_and_year(bytes: &[u8]) -> Option<ParsedDate<'_>> {
    Scanner { rest: bytes, words: Words::Known }.time_and_year()
}

fn date(scanner: Scanner<'_>) -> Option<ParsedDate<'_>> {
    scanner.common().or_else(|| any_date(scanner))
}

fn any_date(scanner: Scanner<'_>) -> Option<ParsedDate<'_>> {
    // Nearly every date begins with an English weekday.
    if let Some(written) = scanner.with_english_weekday() {
        return Some(written);
    }
    // Without a weekday is tried first: `Mar 5 10:00 2001` is March, `Mar Jan 5 10:00 2001` is Tuesday.
    scanner.iso().or_else(|| scanner.after_weekday(None)).or_else(|| scanner.with_weekday())
}

/// The parts of a date before its time, not yet validated.
#[derive(Clone, Copy)]
struct Day {
    order: Order,
    weekday: Option<WeekdayName>,
    day: i8,
    month: MonthName,
    year: i16,
}

/// A weekday as written.
#[derive(Clone, Copy)]
struct WeekdayName {
    certainty: Weekday,
    /// Those that it can mean; none if it is unknown.
    weekdays: Bits,
}

/// A month as written.
#[derive(Clone, Copy)]
struct MonthName {
    /// Those that it can mean; none if it is unknown.
    months: Bits,
    names: Names,
}

impl MonthName {
    const UNKNOWN: MonthName = MonthName { months: 0, names: Names::Unknown };

    fn of_number(number: i8, names: Names) -> MonthName {
        let months = if (1..=12).contains(&number) { 1 << (number - 1) } else { 0 };
        MonthName { months, names }
    }
}

impl Day {
    /// Returns the date. If the name of the month means two months, the weekday decides.
    fn date(&self) -> Option<Date> {
        let date = |month: u32| Date::new(self.year, month as i8 + 1, self.day).ok();
        let months = self.month.months;
        if months.count_ones() == 1 {
            return date(months.trailing_zeros());
        }
        let mut dates = (0..12).filter(|n| months >> n & 1 == 1).filter_map(date);
        let weekday = self.weekday?;
        let date = dates.find(|&date| weekday.means(date))?;
        dates.all(|other| !weekday.means(other)).then_some(date)
    }
}

impl WeekdayName {
    fn means(self, date: Date) -> bool {
        self.weekdays >> date.weekday().to_monday_zero_offset() & 1 == 1
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

impl Time {
    const MIDNIGHT: Time = Time { hour: 0, minute: 0, second: 0, seconds_written: false };

    fn stamp(self, date: Date, zone: Option<Zone>) -> Option<Stamp> {
        // A leap second is the first second of the next minute.
        let leap = i64::from(self.second == 60);
        let time = jiff::civil::Time::new(self.hour, self.minute, self.second - leap as i8, 0).ok()?;
        let local = Offset::UTC.to_timestamp(DateTime::from_parts(date, time)).ok()?;
        Some(Stamp { local: local.as_second() + leap, zone: zone.and_then(|z| z.offset) })
    }
}

/// A zone, in seconds east of UTC if that is known.
#[derive(Clone, Copy)]
struct Zone {
    offset: Option<i32>,
}

/// The two spellings of nearly all dates, whose parts are at fixed places. [`any_date`] gives the same result.
impl<'a> Scanner<'a> {
    fn common(self) -> Option<ParsedDate<'a>> {
        self.whole_asctime().or_else(|| self.rfc5322())
    }

    /// `Mon Jan  1 10:00:00 2001` and nothing after it.
    fn whole_asctime(mut self) -> Option<ParsedDate<'a>> {
        let &[a, b, c, b' ', d, e, f, b' ', tens, ones, b' ', ref rest @ ..] = self.rest else { return None };
        let [time @ .., b' ', y0, y1, y2, y3] = rest else { return None };
        let day = digits(&[if tens == b' ' { b'0' } else { tens }, ones])?;
        let (weekday, month) = english_names([a, b, c], [d, e, f])?;
        let year = digits(&[*y0, *y1, *y2, *y3])? as i16;
        let (order, time) = (Order::Asctime, clock(time)?);
        self.rest = b"";
        let day = Day { order, weekday: Some(weekday), day: day as i8, month, year };
        Some(self.end(day, time, None, ZonePosition::Missing))
    }

    /// `Mon, 1 Jan 2001 10:00:00 +0100` and perhaps a comment.
    fn rfc5322(mut self) -> Option<ParsedDate<'a>> {
        let &[a, b, c, b',', b' ', ref rest @ ..] = self.rest else { return None };
        let (day, rest) = match rest {
            [ones, b' ', rest @ ..] => (digits(&[*ones])?, rest),
            [tens, ones, b' ', rest @ ..] => (digits(&[*tens, *ones])?, rest),
            _ => return None,
        };
        let &[d, e, f, b' ', y0, y1, y2, y3, b' ', ref rest @ ..] = rest else { return None };
        let (weekday, month) = english_names([a, b, c], [d, e, f])?;
        let year = digits(&[y0, y1, y2, y3])? as i16;
        let (time, rest) = rest.split_at_checked(8)?;
        let &[b' ', sign @ (b'+' | b'-'), h0, h1, m0, m1, ref rest @ ..] = rest else { return None };
        if !matches!(rest, [] | [b' ', b'(', ..]) {
            return None;
        }
        let (hours, minutes) = (digits(&[h0, h1])?, digits(&[m0, m1])?);
        let seconds = (hours * 3600 + minutes * 60) as i32;
        let offset = (hours < 24 && minutes < 60).then_some(if sign == b'-' { -seconds } else { seconds });
        let (order, time) = (Order::Rfc822, clock(time)?);
        self.rest = rest;
        let day = Day { order, weekday: Some(weekday), day: day as i8, month, year };
        Some(self.end(day, time, Some(Zone { offset }), ZonePosition::AtEnd))
    }
}

/// Returns the names of an English weekday and month.
fn english_names(weekday: [u8; 3], month: [u8; 3]) -> Option<(WeekdayName, MonthName)> {
    let weekdays = names::english_weekday(&weekday)?;
    let months = names::english_month(&month)?;
    let weekday = WeekdayName { certainty: Weekday::Sure, weekdays };
    Some((weekday, MonthName { months, names: Names::English }))
}

/// Returns the value of some digits.
fn digits(text: &[u8]) -> Option<u32> {
    text.iter()
        .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + u32::from(digit - b'0')))
}

/// Returns the time that is `10:00:00`.
fn clock(text: &[u8]) -> Option<Time> {
    let &[h0, h1, b':', m0, m1, b':', s0, s1] = text else { return None };
    let two = |tens, ones| digits(&[tens, ones]).map(|value| value as i8);
    let (hour, minute, second) = (two(h0, h1)?, two(m0, m1)?, two(s0, s1)?);
    Some(Time { hour, minute, second, seconds_written: true })
}

/// Whole dates. These methods take the scanner by value, since one is tried after the other.
impl<'a> Scanner<'a> {
    fn with_english_weekday(mut self) -> Option<ParsedDate<'a>> {
        names::english_weekday(self.ahead().word())?;
        let weekday = self.weekday()?;
        self.after_weekday(Some(weekday))
    }

    fn with_weekday(mut self) -> Option<ParsedDate<'a>> {
        let weekday = self.weekday()?;
        self.after_weekday(Some(weekday))
    }

    fn after_weekday(self, weekday: Option<WeekdayName>) -> Option<ParsedDate<'a>> {
        self.named_month(weekday).or_else(|| self.numeric(weekday))
    }

    fn named_month(mut self, weekday: Option<WeekdayName>) -> Option<ParsedDate<'a>> {
        if let Some((day, month, year)) = self.dashed() {
            return self.year_before_time(Day { order: Order::Dashed, weekday, day, month, year });
        }
        if let Some(year) = self.leading_year() {
            let (day, month, _) = self.after_gap(Self::day_and_month)?;
            return self.year_before_time(Day { order: Order::YearFirst, weekday, day, month, year });
        }
        let (day, month, month_first) = self.day_and_month()?;
        if let Some(time) = self.after_gap(Self::time) {
            let order = if month_first { Order::Asctime } else { Order::AsctimeDayFirst };
            return self.time_before_year(Day { order, weekday, day, month, year: 0 }, time);
        }
        let order = if month_first { Order::AsctimeYearFirst } else { Order::Rfc822 };
        let year = self.after_gap(Self::year)?;
        self.year_before_time(Day { order, weekday, day, month, year })
    }

    fn iso(mut self) -> Option<ParsedDate<'a>> {
        let (year, 4) = self.number()? else { return None };
        let month = self.after(b'-', Self::two_digits)?;
        let day = self.after(b'-', Self::two_digits)?;
        if self.rest.first().is_some_and(|b| b.eq_ignore_ascii_case(&b'T')) {
            self.skip(1);
        }
        let month = MonthName::of_number(month, Names::English);
        self.year_before_time(Day { order: Order::Iso, weekday: None, day, month, year: year as i16 })
    }

    fn numeric(mut self, weekday: Option<WeekdayName>) -> Option<ParsedDate<'a>> {
        let (day, month, year) = self.numbers()?;
        self.year_before_time(Day { order: Order::Numeric, weekday, day, month, year })
    }

    fn day_alone(mut self) -> Option<ParsedDate<'a>> {
        let (day, month, year) = self.numbers()?;
        let day = Day { order: Order::DayAlone, weekday: None, day, month, year };
        Some(self.end(day, Time::MIDNIGHT, None, ZonePosition::Missing))
    }

    /// KMail writes `00:00:00 1997 +0000`.
    fn time_and_year(mut self) -> Option<ParsedDate<'a>> {
        let time = self.time()?;
        let month = MonthName::UNKNOWN;
        self.time_before_year(Day { order: Order::TimeAndYear, weekday: None, day: 0, month, year: 0 }, time)
    }

    fn time_before_year(mut self, mut day: Day, time: Time) -> Option<ParsedDate<'a>> {
        let early = self.after_gap(Self::zone);
        day.year = self.after_gap(Self::year)?;
        let late = self.zone();
        let position = match (early, late) {
            (Some(_), _) => ZonePosition::BeforeYear,
            (None, Some(_)) => ZonePosition::AtEnd,
            (None, None) => ZonePosition::Missing,
        };
        Some(self.end(day, time, early.or(late), position))
    }

    fn year_before_time(mut self, mut day: Day) -> Option<ParsedDate<'a>> {
        if let Some(weekday) = self.after_gap(Self::known_weekday) {
            day.weekday = day.weekday.or(Some(weekday));
        }
        let time = self.after_gap(Self::time)?;
        let zone = self.zone();
        let position = if zone.is_some() { ZonePosition::AtEnd } else { ZonePosition::Missing };
        Some(self.end(day, time, zone, position))
    }

    fn end(mut self, day: Day, time: Time, zone: Option<Zone>, position: ZonePosition) -> ParsedDate<'a> {
        self.blanks_and_comments();
        let date = day.date();
        let weekday = match day.weekday {
            None => Weekday::Missing,
            Some(name) if date.is_some_and(|date| name.means(date)) => Weekday::Sure,
            Some(name) => name.certainty,
        };
        let form = Form {
            order: day.order,
            weekday,
            seconds: time.seconds_written,
            zone: position,
            names: day.month.names,
        };
        ParsedDate { stamp: date.and_then(|date| time.stamp(date, zone)), form, rest: self.rest }
    }
}

/// The parts of a date.
impl Scanner<'_> {
    /// Parses a word that can be a weekday, and the blanks and punctuation after it. Comments are not allowed there:
    /// a word before a comment is the name of a sender.
    fn weekday(&mut self) -> Option<WeekdayName> {
        self.attempt(|s| {
            let is_english = names::english_weekday(s.ahead().word()).is_some();
            let weekdays = s.weekday_name().unwrap_or(0);
            let is_possible = match weekdays {
                0 if (s.words == Words::Any) => !s.shape_word().is_empty(),
                0 => (2..=9).contains(&s.word().len()),
                _ => true,
            };
            let point = s.eat(b',') || s.eat(b'.');
            let blank = s.blanks();
            let certainty = if point || is_english { Weekday::Sure } else { Weekday::Word };
            let is_apart = point || blank || is_english;
            (is_possible && is_apart).then_some(WeekdayName { certainty, weekdays })
        })
    }

    /// Parses a known weekday that follows a date.
    fn known_weekday(&mut self) -> Option<WeekdayName> {
        let weekdays = self.weekday_name()?;
        Some(WeekdayName { certainty: Weekday::Sure, weekdays })
    }

    fn weekday_name(&mut self) -> Option<Bits> {
        let mut plain = *self;
        if let Some(weekday) = names::english_weekday(plain.word()) {
            *self = plain;
            return Some(weekday);
        }
        self.attempt(|s| {
            let start = s.rest;
            if s.name().is_empty() {
                return None;
            }
            // Vietnamese counts weekdays: `T2` is Monday.
            if s.rest.first().is_some_and(u8::is_ascii_digit) {
                s.skip(1);
            }
            let name = &start[..start.len() - s.rest.len()];
            Some(names::foreign_weekdays(name, s.words)).filter(|&bits| bits != 0)
        })
    }

    /// `3 Jan` or `Jan 3`. The last value is true if the month is first.
    fn day_and_month(&mut self) -> Option<(i8, MonthName, bool)> {
        match self.month() {
            Some(month) => Some((self.after_gap(Self::day)?, month, true)),
            None => Some((self.day()?, self.after_gap(Self::month)?, false)),
        }
    }

    fn month(&mut self) -> Option<MonthName> {
        let mut plain = *self;
        if let Some(months) = names::english_month(plain.word()) {
            *self = plain;
            return Some(MonthName { months, names: Names::English });
        }
        let known = self.attempt(Self::foreign_month);
        let is_word = |s: &mut Self| (s.words == Words::Any) && !s.shape_word().is_empty();
        known.or_else(|| is_word(self).then_some(MonthName::UNKNOWN))
    }

    fn foreign_month(&mut self) -> Option<MonthName> {
        // `1月`, `1월`
        if self.rest.first()?.is_ascii_digit() {
            let number = self.two_digits()?;
            return self.eat_one_of(&["月", "월"]).then(|| MonthName::of_number(number, Names::Foreign));
        }
        let word = self.name();
        // `Th01`, `tháng 1`
        if names::is_vietnamese_month(word) {
            self.blanks();
            return self.two_digits().map(|number| MonthName::of_number(number, Names::Foreign));
        }
        let months = names::foreign_months(word, self.words);
        (months != 0).then_some(MonthName { months, names: Names::Foreign })
    }

    /// Parses one or two digits, and an ordinal suffix. The month is checked later.
    fn day(&mut self) -> Option<i8> {
        let day = self.two_digits()?;
        self.eat_one_of(&["日", "일", "er", "st", "nd", "rd", "th", "º", "ª"]);
        Some(day)
    }

    /// Parses the year before a month.
    fn leading_year(&mut self) -> Option<i16> {
        self.attempt(|s| {
            let (year, 4) = s.number()? else { return None };
            let is_apart = s.eat_one_of(&["年", "년"]) || matches!(s.rest, [b' ' | b'\t' | b'.', ..]);
            is_apart.then_some(year as i16)
        })
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
            s.eat_one_of(&["年", "년"]);
            Some(year as i16)
        })
    }

    /// `day-month-year`
    fn dashed(&mut self) -> Option<(i8, MonthName, i16)> {
        self.attempt(|s| {
            let day = s.two_digits()?;
            let month = s.after(b'-', Self::month)?;
            let year = s.after(b'-', Self::year)?;
            Some((day, month, year))
        })
    }

    /// `2001/01/31`, `2001. 01. 31.`, `31.01.2001` or `31/01/2001`. With slashes and hyphens either of the first two
    /// numbers of the last form can be the month, so it is unknown unless one is above 12.
    fn numbers(&mut self) -> Option<(i8, MonthName, i16)> {
        self.attempt(|s| {
            let month = |number| MonthName::of_number(number, Names::English);
            let (first, digits) = s.number()?;
            let separator = *s.rest.first().filter(|b| matches!(b, b'.' | b'/' | b'-'))?;
            let second = s.after_separator(separator)?.two_digits()?;
            s.after_separator(separator)?;
            if digits == 4 {
                let day = s.two_digits()?;
                s.eat(b'.');
                return Some((day, month(second), first as i16));
            }
            let first = i8::try_from(first).ok().filter(|_| digits <= 2)?;
            let year = s.year()?;
            Some(match separator {
                b'.' => (first, month(second), year),
                _ if first > 12 || first == second => (first, month(second), year),
                _ if second > 12 => (second, month(first), year),
                _ => (first, MonthName::UNKNOWN, year),
            })
        })
    }

    fn after_separator(&mut self, separator: u8) -> Option<&mut Self> {
        if !self.eat(separator) {
            return None;
        }
        if separator == b'.' {
            self.blanks();
        }
        Some(self)
    }

    fn time(&mut self) -> Option<Time> {
        self.attempt(|s| {
            let early = if s.rest.first()?.is_ascii_digit() { None } else { Some(s.half_day()?) };
            s.blanks();
            let mut hour = s.two_digits()?;
            let (minute, second) = match s.eat_one_of(&["時", "时", "시", "h"]) {
                true => s.minute_after_unit()?,
                false => {
                    let by_points = s.rest.first() == Some(&b'.');
                    (s.time_part(by_points)?, s.time_part(by_points))
                }
            };
            if second.is_some() {
                s.fraction();
            }
            match early.or_else(|| s.half_day()) {
                Some(true) if hour < 12 => hour += 12,
                Some(false) if hour == 12 => hour = 0,
                _ => {}
            }
            Some(Time { hour, minute, second: second.unwrap_or(0), seconds_written: second.is_some() })
        })
    }

    /// Parses minutes and seconds after an hour with its unit: `10時00分05秒`, `10h00`.
    fn minute_after_unit(&mut self) -> Option<(i8, Option<i8>)> {
        self.blanks();
        let minute = self.two_digits()?;
        if !self.eat_one_of(&["分", "분"]) {
            return Some((minute, None));
        }
        let second = self.attempt(|s| {
            s.blanks();
            let second = s.two_digits()?;
            s.eat_one_of(&["秒", "초"]).then_some(second)
        });
        Some((minute, second))
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
            let is_afternoon = names::half_day(s.name())?;
            s.eat(b'.');
            Some(is_afternoon)
        })
    }

    /// Parses a zone, with the blanks before it.
    fn zone(&mut self) -> Option<Zone> {
        self.attempt(|s| {
            s.blanks();
            // `10:00 Uhr MEZ`
            s.attempt(Self::filler);
            s.blanks();
            s.zone_in_comment().or_else(|| s.zone_by_number()).or_else(|| s.zone_by_name())
        })
    }

    /// Parses `(CET)`. Any comment but a known zone is only a comment.
    fn zone_in_comment(&mut self) -> Option<Zone> {
        self.attempt(|s| {
            let mut inside = Scanner { rest: s.comment()?, words: s.words };
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
            let first = word.first()?.to_ascii_uppercase();
            let is_word =
                |name: &&str| name.as_bytes()[0] == first && name.as_bytes().eq_ignore_ascii_case(word);
            match names::ZONES.iter().find(|(_, names)| names.iter().any(is_word)) {
                Some((minutes, _)) => Some(Some(minutes * 60)),
                None if word.len() <= 5 && word.is_ascii() => Some(None),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_common_spellings_are_read_as_by_the_grammar(
            weekday in "Mon|Tue|wed|SUN|Mox|Mar|lun",
            month in "Jan|feb|MAY|Sep|Dec|Jun|Mai|lis",
            numbers in ("[ 0-3]?[0-9]", "[0-9]{2,5}"),
            time in "[0-2][0-9]:[0-6][0-9]:[0-6][0-9]|[0-9]:[0-9]{2}|[0-9]{2}:[0-9]{2}:[0-9]{2}",
            zone in "( [+-][0-9]{3,5}){0,2}( MET| DST|)",
            after in "| |\\(CET\\)| \\(CET\\)| \\(a\\) b| x|\r\n|0|, 1",
            words in proptest::sample::select(&[Words::Known, Words::Exact, Words::Any]),
        ) {
            let (day, year) = numbers;
            for text in [
                format!("{weekday} {month} {day} {time} {year}{after}"),
                format!("{weekday} {month} {day} {time}{zone} {year}{after}"),
                format!("{weekday}, {day} {month} {year} {time}{zone}{after}"),
            ] {
                let scanner = Scanner { rest: text.as_bytes(), words };
                if let Some(common) = scanner.common() {
                    let date = any_date(scanner).unwrap();
                    prop_assert_eq!(common.stamp, date.stamp, "{}", text);
                    prop_assert_eq!((common.form, common.rest), (date.form, date.rest), "{}", text);
                }
            }
        }

        #[test]
        fn correct_dates_have_the_common_spellings(seconds in 0i64..4_000_000_000) {
            let asctime = crate::mailbox::message::date::asctime_utc(seconds);
            let date = jiff::Timestamp::from_second(seconds).unwrap();
            let rfc5322 = date.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string();
            for text in [asctime, rfc5322] {
                let date = Scanner { rest: text.as_bytes(), words: Words::Known }.common();
                let stamp = date.and_then(|date| date.stamp);
                prop_assert_eq!(stamp.map(|stamp| stamp.local), Some(seconds), "{}", text);
            }
        }
    }
}
