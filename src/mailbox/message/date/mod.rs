//! Dates as mail has them: a scanner of our own, since every date crate refuses what is out there
//! (no seconds, no zone, the zone before the year, weekdays in any language).
//!
//! One grammar serves header fields and From_ lines. Blanks and comments may stand between all
//! tokens, and `,` or `.` after a word or number:
//!
//! ```text
//! date    := [weekday] (month day | day month) (time [zone] year [zone] | year time [zone])
//!          | [weekday] day "-" month "-" year time [zone]
//!          | year "-" number "-" number ("T" | blank) time [zone]
//! time    := hour ":" minute [":" second ["." fraction]] ["AM" | "PM"]      also with "." for ":"
//! zone    := number [name] | name [number | "DST"] | "(" name ")"
//! ```

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

/// A date as written: seconds of its civil time counted as if it were UTC, and the zone if one was
/// given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Seconds from 1970-01-01 00:00:00 to the civil time, both on the same clock.
    pub local: i64,
    /// Seconds east of UTC; `None` where no zone was written, or one of unknown or ambiguous offset.
    pub zone: Option<i32>,
}

impl Stamp {
    /// Seconds since the epoch; `default_zone` (seconds east of UTC) counts where none was given.
    pub fn epoch(self, default_zone: i32) -> i64 {
        self.local.saturating_sub(self.zone.unwrap_or(default_zone).into())
    }
}

/// The date of a `Date:` value, or of a `Received:` value's tail after its last `;`.
///
/// RFC 5322 section 3.3 and 4.3, and what else is sent under that name. Text after a complete date
/// does not matter. `None` for what is no date, and for an impossible one (30 Feb, 25:00).
pub fn parse_header_date(value: &[u8]) -> Option<Stamp> {
    // A weekday need not be a word we could know (`=?big5?B?...?=,`, `terça-feira,`), so up to
    // three tokens before the date are passed over.
    let mut scanner = Scanner { rest: value };
    for _ in 0..4 {
        scanner.blanks();
        if let Some(written) = parse_prefix(scanner.rest) {
            return written.stamp;
        }
        scanner.token();
    }
    None
}

/// The date of a From_ line as asctime(3) writes it, in UTC: `Mon Jan  1 10:00:00 2001`.
///
/// Seconds outside the years -9999 to 9999 (less the 26 hours at either end that could be another year
/// in another zone) give the nearest date inside.
pub fn asctime_utc(epoch: i64) -> String {
    let epoch = epoch.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    let time = Timestamp::from_second(epoch).unwrap_or_default();
    let date = Offset::UTC.to_datetime(time);
    let weekday = WEEKDAYS[date.weekday().to_monday_zero_offset() as usize];
    let month = MONTHS[date.month() as usize - 1];
    format!(
        "{} {} {:2} {:02}:{:02}:{:02} {:04}",
        &weekday[..3],
        &month[..3],
        date.day(),
        date.hour(),
        date.minute(),
        date.second(),
        date.year()
    )
}

/// A date at the start of some bytes: what it says, how it is spelled, and what follows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ParsedDate<'a> {
    /// `None` if the date is well spelled and impossible.
    pub stamp: Option<Stamp>,
    pub form: Form,
    /// What follows the date and its comments and blanks.
    pub rest: &'a [u8],
}

/// How a date is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    pub order: Order,
    pub weekday: Weekday,
    pub seconds: bool,
    pub zone: ZonePosition,
}

/// The order of a date's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// `Jan 1 10:00:00 2001`
    Asctime,
    /// `1 Jan 10:00:00 2001`, as date(1) has it in British locales
    AsctimeDayFirst,
    /// `Jan 1, 2001 10:00:00`
    AsctimeYearFirst,
    /// `1 Jan 2001 10:00:00`
    Rfc822,
    /// `1-Jan-2001 10:00:00`, as in IMAP and RFC 850
    Dashed,
    /// `2001-01-01 10:00:00`
    Iso,
}

/// Whether a date begins with a weekday.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weekday {
    Missing,
    /// An English one, or a word with `,` or `.` after it.
    Sure,
    /// A bare word: a weekday in another language, or not a weekday at all.
    Word,
}

/// Where the zone stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ZonePosition {
    Missing,
    BeforeYear,
    AtEnd,
}

/// The date that begins with the first of `bytes`, if one does.
pub(crate) fn parse_prefix(bytes: &[u8]) -> Option<ParsedDate<'_>> {
    let scanner = Scanner { rest: bytes };
    // Without a weekday first: `Mar 5 10:00 2001` is March, `Mar Jan 5 10:00 2001` is Tuesday.
    scanner.iso().or_else(|| scanner.named_month()).or_else(|| scanner.with_weekday())
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Names with one meaning in mail, and their minutes east of UTC.
///
/// The American ones mean what RFC 822 says. Left out, and so of unknown offset: IST (India,
/// Ireland, Israel), AST (Atlantic, Arabia), and the military letters, which RFC 822 had the wrong
/// way round and RFC 5322 section 4.3 tells readers not to trust.
const ZONES: [(&str, i32); 44] = [
    ("UT", 0),
    ("UTC", 0),
    ("GMT", 0),
    ("Z", 0),
    ("EST", -300),
    ("EDT", -240),
    ("CST", -360),
    ("CDT", -300),
    ("MST", -420),
    ("MDT", -360),
    ("PST", -480),
    ("PDT", -420),
    ("AKST", -540),
    ("AKDT", -480),
    ("HST", -600),
    ("ADT", -180),
    ("NST", -210),
    ("NDT", -150),
    ("WET", 0),
    ("WEST", 60),
    ("WETDST", 60),
    ("BST", 60),
    ("CET", 60),
    ("CEST", 120),
    ("CETDST", 120),
    ("MET", 60),
    ("MEST", 120),
    ("METDST", 120),
    ("MEZ", 60),
    ("MESZ", 120),
    ("EET", 120),
    ("EEST", 180),
    ("EETDST", 180),
    ("SAST", 120),
    ("MSK", 180),
    ("MSD", 240),
    ("HKT", 480),
    ("SGT", 480),
    ("JST", 540),
    ("KST", 540),
    ("AEST", 600),
    ("AEDT", 660),
    ("NZST", 720),
    ("NZDT", 780),
];

/// The parts of a date as written, not yet checked to be possible.
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

/// A time of day on a 24-hour clock; not yet checked.
#[derive(Clone, Copy)]
struct Time {
    hour: i8,
    minute: i8,
    second: i8,
    seconds_written: bool,
}

/// A zone that was written, in seconds east of UTC if that is known.
#[derive(Clone, Copy)]
struct Zone {
    offset: Option<i32>,
}

/// What is left to read. Each method takes a part from the front, or takes nothing and says `None`
/// (or `false`).
#[derive(Clone, Copy)]
struct Scanner<'a> {
    rest: &'a [u8],
}

/// Whole dates: these take the scanner by value, since they are tried one after the other.
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
    /// A word that can be a weekday, and the blanks and punctuation after it. Comments do not
    /// belong there: a word before a comment is a sender's name.
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

    /// An English month: its first three letters, or all of them, or `Sept`.
    fn month(&mut self) -> Option<i8> {
        self.attempt(|s| {
            let word = s.word();
            let index = MONTHS.iter().position(|m| is_name_or_abbreviation(word, m))?;
            Some(index as i8 + 1)
        })
    }

    /// One or two digits; whether the month has that day is asked later.
    fn day(&mut self) -> Option<i8> {
        self.two_digits()
    }

    /// Four digits, or two, or the two ways in which programs got the year 2000 wrong: `100` and
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

    /// `:05`. RFC 5322 section 4.3 has room for blanks and comments around the colon; around a point
    /// they would make a time of a sentence's end.
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

    /// Fractions of a second are passed over.
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

    /// A zone, with the blanks before it.
    fn zone(&mut self) -> Option<Zone> {
        self.attempt(|s| {
            s.blanks();
            s.zone_in_comment().or_else(|| s.zone_by_number()).or_else(|| s.zone_by_name())
        })
    }

    /// `(CET)`, but only what we know: any other comment is just that.
    fn zone_in_comment(&mut self) -> Option<Zone> {
        self.attempt(|s| {
            let mut inside = Scanner { rest: s.comment()? };
            let zone = inside.zone_by_number().or_else(|| inside.zone_by_name())?;
            (inside.rest.is_empty() && zone.offset.is_some()).then_some(zone)
        })
    }

    /// `+0100`, also with the name after it: `+0100 MET`.
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
            // POSIX counts `EST+5` the other way, so a number only adds to names that say nothing.
            (Some(0) | None, Some(number), _) => number,
            (Some(offset), None, Some(())) => Some(offset + 3600),
            (named, _, _) => named,
        };
        Some(Zone { offset })
    }

    /// A name's offset; `Some(None)` for a name of unknown offset.
    fn zone_name(&mut self) -> Option<Option<i32>> {
        self.attempt(|s| {
            let word = s.word();
            let known = ZONES.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
            match known {
                Some((_, minutes)) => Some(Some(minutes * 60)),
                None if (1..=5).contains(&word.len()) && word.is_ascii() => Some(None),
                None => None,
            }
        })
    }

    /// `+0100`, `-08:00`, `+01`, `-800`; `Some(None)` for a number that is no offset. `-0000` is
    /// UTC (RFC 5322 section 3.3).
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

fn is_english_weekday(word: &[u8]) -> bool {
    WEEKDAYS.iter().any(|name| is_name_or_abbreviation(word, name))
}

fn is_name_or_abbreviation(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
        || word.eq_ignore_ascii_case(&name.as_bytes()[..3])
        || (name == "September" && word.eq_ignore_ascii_case(b"Sept"))
}

/// Bytes, blanks and words.
impl<'a> Scanner<'a> {
    /// All of `part`, or nothing taken.
    fn attempt<T>(&mut self, part: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let mut ahead = *self;
        let taken = part(&mut ahead)?;
        *self = ahead;
        Some(taken)
    }

    fn after_gap<T>(&mut self, part: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.attempt(|s| {
            s.gap();
            part(s)
        })
    }

    fn after<T>(&mut self, byte: u8, part: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.attempt(|s| if s.eat(byte) { part(s) } else { None })
    }

    /// Blanks, comments, and the punctuation between parts of a date.
    fn gap(&mut self) {
        loop {
            self.blanks_and_comments();
            if !self.eat(b',') && !self.eat(b'.') {
                return;
            }
        }
    }

    fn blanks_and_comments(&mut self) {
        self.blanks();
        while self.comment().is_some() {
            self.blanks();
        }
    }

    /// Blanks and the line ends of folded fields; whether there were any.
    fn blanks(&mut self) -> bool {
        !self.take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).is_empty()
    }

    /// What is inside a closed comment (RFC 5322 section 3.2.2: they nest, and `\` quotes).
    fn comment(&mut self) -> Option<&'a [u8]> {
        if self.rest.first() != Some(&b'(') {
            return None;
        }
        let (mut depth, mut quoted) = (0u32, false);
        for (i, byte) in self.rest.iter().enumerate() {
            match byte {
                _ if quoted => quoted = false,
                b'\\' => quoted = true,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let inside = &self.rest[1..i];
                self.skip(i + 1);
                return Some(inside);
            }
        }
        None
    }

    /// Letters and 8-bit bytes; may be empty.
    fn word(&mut self) -> &'a [u8] {
        self.take_while(|b| b.is_ascii_alphabetic() || !b.is_ascii())
    }

    /// Anything up to the next blank; may be empty.
    fn token(&mut self) -> &'a [u8] {
        self.take_while(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
    }

    fn two_digits(&mut self) -> Option<i8> {
        self.attempt(|s| match s.number()? {
            (value, 1 | 2) => Some(value as i8),
            _ => None,
        })
    }

    /// All the digits that follow: their value (right for up to nine of them) and how many.
    fn number(&mut self) -> Option<(u32, usize)> {
        let digits = self.take_while(|b| b.is_ascii_digit());
        let value = digits.iter().take(9).fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
        (!digits.is_empty()).then_some((value, digits.len()))
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.rest.first() == Some(&byte);
        if there {
            self.skip(1);
        }
        there
    }

    fn take_while(&mut self, wanted: impl Fn(&u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|b| !wanted(b)).unwrap_or(self.rest.len());
        let taken = &self.rest[..end];
        self.skip(end);
        taken
    }

    fn skip(&mut self, count: usize) {
        self.rest = &self.rest[count..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::mailbox::message::date::*;

    /// 2001-01-01 10:00:00 on the clock of whoever wrote it.
    const TEN: i64 = 978_343_200;

    #[test]
    fn header_dates_in_all_their_spellings() {
        let hour = 3600;
        for (value, local, zone) in [
            // RFC 5322 and its examples
            ("Mon, 1 Jan 2001 10:00:05 +0100", TEN + 5, Some(hour)),
            ("Mon, 01 Jan 2001 10:00:00 -0800 (PST)", TEN, Some(-8 * hour)),
            (" Mon,\r\n\t1\r\n\tJan 2001\r\n\t10:00 -0330 (Newfoundland Time)", TEN, Some(-7 * hour / 2)),
            ("Mon, 1 Jan 2001 10(a (nested\\)) comment):   00  :  05 -0600", TEN + 5, Some(-6 * hour)),
            ("Mon, 1 Jan 2001 10:00:00 -0000", TEN, Some(0)),
            // the weekday
            ("1 Jan 2001 10:00:00 +0000", TEN, Some(0)),
            ("Monday, 1 January 2001 10:00:00 GMT", TEN, Some(0)),
            ("Mon,1 Jan 2001 10:00:00 GMT", TEN, Some(0)),
            ("Mon 1 Jan 2001 10:00:00 GMT", TEN, Some(0)),
            ("Mo., 1. Jan. 2001 10:00:00 MEZ", TEN, Some(hour)),
            ("Mar, 1 Jan 2001 10:00:00 +0100", TEN, Some(hour)),
            ("sábado, 1 Jan 2001 10:00:00 +0100", TEN, Some(hour)),
            ("segunda-feira, 1 Jan 2001 10:00:00 +0100", TEN, Some(hour)),
            ("=?big5?B?pEA=?=, 1 Jan 2001 10:00:00 +0800", TEN, Some(8 * hour)),
            // the year
            ("Mon, 1 Jan 01 10:00:00 GMT", TEN, Some(0)),
            ("Mon, 1 Jan 101 10:00:00 GMT", TEN, Some(0)),
            ("Mon, 1 Jan 19101 10:00:00 GMT", TEN, Some(0)),
            // the time
            ("Mon, 1 Jan 2001 10:00 GMT", TEN, Some(0)),
            ("Mon, 1 Jan 2001 9:05:07 GMT", TEN - 3600 + 307, Some(0)),
            ("Mon, 1 Jan 2001 10.00.05 GMT", TEN + 5, Some(0)),
            ("Mon, 1 Jan 2001 10:00:05.25 GMT", TEN + 5, Some(0)),
            ("Mon, 1 Jan 2001 10:00:00 PM GMT", TEN + 12 * 3600, Some(0)),
            ("Mon, 1 Jan 2001 12:00:00AM +0100", TEN - 10 * 3600, Some(hour)),
            ("Mon, 1 Jan 2001 09:59:60 GMT", TEN, Some(0)),
            // the zone
            ("Mon, 1 Jan 2001 10:00:00", TEN, None),
            ("Mon, 1 Jan 2001 10:00:00 (CET)", TEN, Some(hour)),
            ("Mon, 1 Jan 2001 10:00:00 (Central Europe)", TEN, None),
            ("Mon, 1 Jan 2001 10:00:00 IST", TEN, None),
            ("Mon, 1 Jan 2001 10:00:00 K", TEN, None),
            ("Mon, 1 Jan 2001 10:00:00 +9999", TEN, None),
            ("Mon, 1 Jan 2001 10:00:00 +01:00", TEN, Some(hour)),
            ("Mon, 1 Jan 2001 10:00:00+0100", TEN, Some(hour)),
            ("Mon, 1 Jan 2001 10:00:00 GMT+0100", TEN, Some(hour)),
            ("Mon, 1 Jan 2001 10:00:00 GMT -8", TEN, Some(-8 * hour)),
            ("Mon, 1 Jan 2001 10:00:00 +0200 MET DST", TEN, Some(2 * hour)),
            ("Mon, 1 Jan 2001 10:00:00 MET DST", TEN, Some(2 * hour)),
            ("Mon, 1 Jan 2001 10:00:00 EST5EDT", TEN, Some(-5 * hour)),
            // the order
            ("Mon Jan  1 10:00:00 2001", TEN, None),
            ("Mon Jan  1 10:00:00 PST 2001", TEN, Some(-8 * hour)),
            ("Mon  1 Jan 10:00:00 GMT 2001", TEN, Some(0)),
            ("Jan 1, 2001 10:00 AM", TEN, None),
            ("Monday, 01-Jan-01 10:00:00 GMT", TEN, Some(0)),
            (" 1-Jan-2001 10:00:00 +0100", TEN, Some(hour)),
            ("2001-01-01T10:00:05Z", TEN + 5, Some(0)),
            ("2001-01-01T10:00:05.123+01:00", TEN + 5, Some(hour)),
            ("2001-01-01 10:00", TEN, None),
            // what follows
            ("Mon, 1 Jan 2001 10:00:00 +0100 and then some, 11:00", TEN, Some(hour)),
            ("Mon, 1 Jan 2001 10:00:00 +0100 (unclosed", TEN, Some(hour)),
            ("Mon, 1 Jan 2001 10:00:00 GMT Standard Time\r\n", TEN, Some(0)),
        ] {
            assert_eq!(parse_header_date(value.as_bytes()), Some(Stamp { local, zone }), "{value}");
        }
    }

    #[test]
    fn no_date_and_impossible_dates() {
        for value in [
            "",
            "Mon",
            "yesterday",
            "Mon, 1 Jan 2001",
            "1 Jan 2001 10",
            "1 Jan 10:00",
            "1 Foo 2001 10:00:00 GMT",
            "1 Jan 2 10:00:00 GMT",
            "1 Jan 20010 10:00:00 GMT",
            "Fri, 30 Feb 2001 10:00:00 GMT",
            "Thu, 29 Feb 2001 10:00:00 GMT",
            "Mon, 0 Jan 2001 10:00:00 GMT",
            "Mon, 99 Jan 2001 10:00:00 GMT",
            "Mon, 1 Jan 2001 25:00:00 GMT",
            "Mon, 1 Jan 2001 24:00:00 GMT",
            "Mon, 1 Jan 2001 10:60:00 GMT",
            "Mon, 1 Jan 2001 10:00:61 GMT",
            "2001-13-01T10:00:00Z",
            "999999999999999999999-01-01T10:00:00Z",
        ] {
            assert_eq!(parse_header_date(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn the_two_digit_century() {
        let year = |yy: &str| {
            let stamp = parse_header_date(format!("1 Jan {yy} 00:00 GMT").as_bytes());
            asctime_utc(stamp.unwrap().epoch(0))[20..].to_owned()
        };
        assert_eq!(["69", "70", "99", "00"].map(year), ["2069", "1970", "1999", "2000"]);
    }

    #[test]
    fn a_missing_zone_is_the_default() {
        let stamp = |zone| Stamp { local: TEN, zone };
        assert_eq!(stamp(None).epoch(7200), TEN - 7200);
        assert_eq!(stamp(Some(-3600)).epoch(7200), TEN + 3600);
    }

    #[test]
    fn asctime_pads_the_day_and_takes_any_number() {
        assert_eq!(asctime_utc(TEN), "Mon Jan  1 10:00:00 2001");
        assert_eq!(asctime_utc(-1), "Wed Dec 31 23:59:59 1969");
        assert!(asctime_utc(i64::MAX).ends_with(" 9999"));
        assert!(asctime_utc(i64::MIN).ends_with(" -9999"));
    }

    proptest! {
        #[test]
        fn any_bytes_at_all(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            crate::promises::dates(&value);
        }

        #[test]
        fn anything_out_of_date_parts(
            parts in proptest::collection::vec(
                proptest::sample::select(vec![
                    "Mon", "Mo.", ",", " ", "Jan", "1", "31", "-", "2001", "99", "10:00", "10:00:60", ":", ".",
                    "T", "Z", "+", "+0100", "-99:99", "GMT", "DST", "PM", "(", ")", "(CET)", "\\", "\r\n\t", "é",
                    "2001-01-01", "99999999999",
                ]),
                0..14,
            )
        ) {
            parse_header_date(parts.concat().as_bytes());
        }

        #[test]
        fn asctime_is_read_back(epoch in 0i64..250_000_000_000) {
            crate::promises::dates(&epoch.to_le_bytes());
        }
    }
}
