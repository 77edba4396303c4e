//! Dates in mail. Every date crate rejects dates that occur there: without seconds or a zone, with the zone
//! before the year, with names in any language.
//!
//! One grammar serves header fields and From_ lines. Blanks and comments are allowed between all tokens, `,` or `.`
//! after a word or number, and words such as `de` or `um` between the parts:
//!
//! ```text
//! date    := [weekday] (month day | day month) (time [zone] year [zone] | year time [zone])
//!          | [weekday] year (month day | day month) time [zone]
//!          | [weekday] day "-" month "-" year time [zone]
//!          | [weekday] (year "/" number "/" day | day "/" number "/" year) time [zone]       also with "." or "-"
//!          | year "-" number "-" number ("T" | blank) time [zone]
//! time    := hour ":" minute [":" second ["." fraction]] ["AM" | "PM"]      also with "." for ":"
//! zone    := number [name] | name [number | "DST"] | "(" name ")"
//! ```
//!
//! A weekday can also come before the time of a date that begins with a day or a year.

mod charsets;
mod form;
mod grammar;
mod names;
mod scanner;

use jiff::Timestamp;
use jiff::tz::Offset;

use names::{MONTHS, WEEKDAYS, Words};
use scanner::Scanner;

pub(crate) use charsets::find_in_charsets;
pub(crate) use form::{Form, Names, Order, ParsedDate, Stamp, Weekday, ZonePosition};
pub(crate) use grammar::{parse_day, parse_prefix, parse_shape, parse_time_and_year};

/// `Mon Sep 17 00:00:00 2001`: git writes it into every From_ line.
pub(crate) const GIT: i64 = 1_000_684_800;

/// Parses a `Date:` value, or the tail of a `Received:` value after its last `;`.
///
/// Accepts RFC 5322 sections 3.3 and 4.3, and the other spellings in real mail. Ignores text after a complete
/// date. Returns `None` for other text and for an impossible date (30 Feb, 25:00).
pub(crate) fn parse_header_date(value: &[u8]) -> Option<Stamp> {
    /// A date is shorter.
    const MAX_DATE: usize = 200;
    let value = &value[..value.len().min(MAX_DATE)];
    let decoded = if value.is_ascii() { None } else { find_in_charsets(value, first_date) };
    decoded.or_else(|| first_date(value, parse_prefix))
}

/// A parser of the date at the start of some bytes.
pub(crate) type DateParser = fn(&[u8]) -> Option<ParsedDate<'_>>;

/// Returns the first date if it is possible.
fn first_date(value: &[u8], parse: DateParser) -> Option<Stamp> {
    // The weekday can be any text (`=?big5?B?...?=,`). Up to three tokens are skipped.
    let mut scanner = Scanner { rest: value, words: Words::Known };
    for _ in 0..4 {
        scanner.blanks();
        if let Some(date) = parse(scanner.rest) {
            return date.stamp;
        }
        scanner.token();
    }
    None
}

/// Formats the date of a From_ line as asctime(3) does, in UTC: `Mon Jan  1 10:00:00 2001`.
///
/// Clamps `epoch` to the range of jiff: the years -9999 to 9999, less 26 hours at either end.
pub(crate) fn asctime_utc(epoch: i64) -> String {
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::mailbox::message::charset;

    /// 2001-01-01 10:00:00 on the clock of the sender.
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
            // other languages
            ("lunes, 1 de enero de 2001 10:00:00 +0100", TEN, Some(hour)),
            ("lun., 1er janv. 2001 à 10:00:00 +0100", TEN, Some(hour)),
            ("Montag, 1. Januar 2001 um 10:00:00 Uhr MEZ", TEN, Some(hour)),
            ("Mo 01.01.2001 10:00", TEN, None),
            ("segunda-feira, 1 de Janeiro de 2001 10h00", TEN, None),
            ("dl., 1 d'oct. 2001 10:00:00 GMT", TEN + 273 * 86_400, Some(0)),
            ("понедельник, 1 января 2001 г. в 10:00:00 GMT+3", TEN, Some(3 * hour)),
            ("Пн, 1 янв 2001 10:00:00 +0300", TEN, Some(3 * hour)),
            ("\u{3a4}ρίτη, 1 Μαΐου 2001 10:00:00 π.μ. +0300", TEN + 120 * 86_400, Some(3 * hour)),
            ("2001. január 1., hétfő 10:00:00 +0100", TEN, Some(hour)),
            ("2001 m. sausio 1 d. 10:00:00 +0200", TEN, Some(2 * hour)),
            ("1 Ocak 2001 Pazartesi 10:00:00 +0200", TEN, Some(2 * hour)),
            ("2001年1月1日 10:00:00 JST", TEN, Some(9 * hour)),
            ("2001年1月1日(月) 10時00分05秒", TEN + 5, None),
            ("2001년 1월 1일 월요일 오전 10:00:00 GMT+9", TEN, Some(9 * hour)),
            ("2001. 1. 1. 오후 1:00:00", TEN + 3 * 3600, None),
            ("CN, 07 Th01 2001 10:00:00 +0700", TEN + 6 * 86_400, Some(7 * hour)),
            ("Thứ Hai, 1 tháng 1 Năm 2001 lúc 10:00", TEN, None),
            ("January 1st, 2001 at 10:00:00\u{202f}AM GMT+1", TEN, Some(hour)),
            ("Po 1.\u{a0}ledna\u{a0}2001, 10:00:00", TEN, None),
            // The weekday tells the November of Poland from the October of Croatia.
            ("pon, 5 lis 2001 10:00:00 +0100", TEN + 308 * 86_400, Some(hour)),
            ("pet, 5 lis 2001 10:00:00 +0100", TEN + 277 * 86_400, Some(hour)),
            // numbers
            ("2001/01/01 10:00:00", TEN, None),
            ("31/01/2001 10:00", TEN + 30 * 86_400, None),
            ("01/31/2001 10:00", TEN + 30 * 86_400, None),
            ("1.1.01 10.00.05", TEN + 5, None),
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
            "5 lis 2001 10:00:00 +0100",
            "02/03/2001 10:00",
            "1 Mon 2001 10:00:00 GMT",
            "999999999999999999999-01-01T10:00:00Z",
        ] {
            assert_eq!(parse_header_date(value.as_bytes()), None, "{value}");
        }
    }

    /// The bytes of the letters of a charset.
    type Bytes = HashMap<char, u8>;

    fn bytes_of(charset: &str) -> Bytes {
        let decode = |byte: u8| charset::decode(charset.as_bytes(), &[byte]).unwrap().text.chars().next();
        (0..=255u8).filter_map(|byte| Some((decode(byte)?, byte))).collect()
    }

    #[test]
    fn a_date_in_any_language_and_charset_is_read_back() {
        let days: Vec<i64> = (0..12).map(|n| TEN + (n * 31 + 2) * 86_400).collect();
        let charsets: Vec<(&str, Bytes)> =
            charsets::of_one_byte().iter().map(|charset| (*charset, bytes_of(charset))).collect();
        for (language, months, weekdays) in names::languages() {
            let months: Vec<Vec<&str>> = months.map(Iterator::collect).collect();
            let weekdays: Vec<Vec<&str>> = weekdays.map(Iterator::collect).collect();
            for day in &days {
                let date = Offset::UTC.to_datetime(Timestamp::from_second(*day).unwrap());
                let month = &months[date.month() as usize - 1];
                let english = [&MONTHS[date.month() as usize - 1][..3]];
                let names = if month.is_empty() { &english[..] } else { month };
                let weekday = &weekdays[date.weekday().to_monday_zero_offset() as usize];
                for (name, weekday) in names.iter().flat_map(|name| weekday.iter().map(move |w| (name, w))) {
                    let (day_of_month, year) = (date.day(), date.year());
                    for text in [
                        format!("{weekday}, {day_of_month} {name} {year} 10:00:00 +0000"),
                        format!("{weekday} {name} {day_of_month:2} 10:00:00 {year}"),
                        format!("{weekday}. {day_of_month}. {name}. {year} 10:00 GMT"),
                    ] {
                        let read = |bytes: &[u8]| parse_header_date(bytes).map(|stamp| stamp.local);
                        assert_eq!(read(text.as_bytes()), Some(*day), "{language}: {text}");
                        for (charset, bytes) in &charsets {
                            let encoded: Option<Vec<u8>> =
                                text.chars().map(|c| bytes.get(&c).copied()).collect();
                            let Some(bytes) = encoded.filter(|bytes| !bytes.is_ascii()) else { continue };
                            assert_eq!(read(&bytes), Some(*day), "{language} in {charset}: {text}");
                        }
                    }
                }
            }
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
