//! The From_ line: `From `, a sender, and a date in one of many spellings.
//!
//! RFC 4155 allows one spelling, asctime in UTC. This module parses all that writers use. Whether a From_ line
//! begins a message depends on the lines around it, see [`boundary`](super::boundary).

use std::borrow::Cow;
use std::fmt;

use super::lines::{begins_from_line, line_end};
use crate::mailbox::message::Stamp;
use crate::mailbox::message::date::{
    self, DateParser, Form, Names, Order, ParsedDate, Weekday, ZonePosition,
};

/// How far from its end a line is searched for the start of a date. The longest date, with a zone spelled out in a
/// comment, takes about 80 bytes. The length of a sender is not limited.
const DATE_WINDOW: usize = 200;

/// A parsed line that begins with `From `.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FromLine<'a> {
    pub class: LineClass,
    /// The text before the date, without the blanks around it. Empty in an unknown line.
    pub sender: &'a [u8],
    /// `None` also for an impossible date.
    pub stamp: Option<Stamp>,
    pub spelling: Spelling,
}

/// The class of a line in the decision table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LineClass {
    /// D: a sender, possibly empty, and a date to the end of the line.
    Dated,
    /// D before a header, else U: only the shape is that of a date, see [`Names::Unknown`] and [`Order`].
    Shaped,
    /// K: a known form without a date, `From ` alone or with a single token.
    Known,
    /// U: any other line.
    Unknown,
}

/// The spelling of a From_ line. Two lines with the same spelling may come from the same writer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Spelling(u16);

/// Parses a line with or without its line end. A line that is not a candidate is [`LineClass::Unknown`].
pub(crate) fn parse(line: &[u8]) -> FromLine<'_> {
    if !begins_from_line(line) {
        return FromLine::undated(LineClass::Unknown, &line[..0], Spelling::UNKNOWN);
    }
    let rest = without_remote(trimmed(&line[5..]));
    dated(rest).unwrap_or_else(|| undated(rest))
}

/// Returns the date of the first of these From_ lines.
pub(crate) fn first_stamp(lines: &[u8]) -> Option<Stamp> {
    parse(&lines[..line_end(lines, 0)]).stamp
}

/// Splits the line before the longest run of tokens at its end that is a date.
fn dated(rest: &[u8]) -> Option<FromLine<'_>> {
    let at_end = |parse: DateParser| find_date(rest, parse);
    // Decoding takes long, and a date has at least five digits.
    let may_be_encoded = !rest.is_ascii() && rest.iter().filter(|b| b.is_ascii_digit()).nth(4).is_some();
    let decoded = if may_be_encoded { in_other_charset(rest) } else { None };
    if let Some(date) = decoded.or_else(|| at_end(date::parse_prefix)) {
        return Some(date.line(rest, LineClass::Dated));
    }
    if let Some(date) = at_end(date::parse_shape) {
        return Some(date.line(rest, LineClass::Shaped));
    }
    // In a sentence more words come before these.
    let of_one_sender = |date: &DateAtEnd| !trimmed(&rest[..date.start]).iter().any(is_blank);
    let date = at_end(date::parse_time_and_year).or_else(|| at_end(date::parse_day)).filter(of_one_sender)?;
    let class = if rest.starts_with(KMAIL_SENDER) { LineClass::Dated } else { LineClass::Shaped };
    Some(date.line(rest, class))
}

/// KMail writes `From ???@??? 00:00:00 1997 +0000`.
const KMAIL_SENDER: &[u8] = b"???@???";

/// A date at the end of a line.
#[derive(Clone, Copy)]
struct DateAtEnd {
    start: usize,
    stamp: Option<Stamp>,
    form: Form,
}

impl DateAtEnd {
    fn line(self, rest: &[u8], class: LineClass) -> FromLine<'_> {
        let DateAtEnd { start, stamp, form } = self;
        FromLine { class, sender: trimmed(&rest[..start]), stamp, spelling: Spelling::dated(form) }
    }
}

fn find_date(rest: &[u8], parse: DateParser) -> Option<DateAtEnd> {
    let window = rest.len().saturating_sub(DATE_WINDOW);
    // An address is not the start of a date, and nearly every line begins with one.
    let is_address =
        |start: usize| rest[start..].split(is_blank).next().is_some_and(|token| token.contains(&b'@'));
    let mut starts = (window..rest.len()).filter(|&i| begins_token(rest, i) && !is_address(i));
    starts.find_map(|start| {
        let ParsedDate { stamp, form, rest: after } = parse(&rest[start..])?;
        // `From joe Jan 1 10:00 2001`: the only word before a date is the sender, not a weekday.
        let is_sender = start == 0 && form.weekday == Weekday::Word;
        (after.is_empty() && !is_sender).then_some(DateAtEnd { start, stamp, form })
    })
}

/// Finds a date with names in a charset that is not UTF-8. Its words are counted, since decoding changes their lengths.
fn in_other_charset(rest: &[u8]) -> Option<DateAtEnd> {
    let window = rest.len().saturating_sub(DATE_WINDOW);
    let starts: Vec<usize> = (window..rest.len()).filter(|&i| begins_token(rest, i)).collect();
    let tail = *starts.first()?;
    date::find_in_charsets(&rest[tail..], |decoded, parse| {
        let date = find_date(decoded, parse).filter(|date| date.stamp.is_some())?;
        if decoded.len() == rest.len() - tail {
            return Some(DateAtEnd { start: tail + date.start, ..date });
        }
        let words = (date.start..decoded.len()).filter(|&i| begins_token(decoded, i)).count();
        Some(DateAtEnd { start: *starts.get(starts.len().checked_sub(words)?)?, ..date })
    })
}

fn undated(rest: &[u8]) -> FromLine<'_> {
    if rest.iter().any(is_blank) {
        return FromLine::undated(LineClass::Unknown, &rest[..0], Spelling::UNKNOWN);
    }
    let spelling = match rest {
        [] => Spelling::BARE,
        token if token.contains(&b'@') => Spelling::ADDRESS,
        _ => Spelling::WORD,
    };
    FromLine::undated(LineClass::Known, rest, spelling)
}

/// Removes ` remote from HOST`, which rmail of UUCP added after the date (RFC 976).
fn without_remote(rest: &[u8]) -> &[u8] {
    let stripped = || {
        let (rest, _host) = split_last_token(rest)?;
        let (rest, from) = split_last_token(rest)?;
        let (rest, remote) = split_last_token(rest)?;
        (remote == b"remote" && from == b"from").then_some(rest)
    };
    stripped().unwrap_or(rest)
}

/// Splits off the last token, if there is one before it.
fn split_last_token(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = rest.iter().rposition(is_blank)?;
    Some((trimmed(&rest[..blank]), &rest[blank + 1..]))
}

fn begins_token(rest: &[u8], at: usize) -> bool {
    !is_blank(&rest[at]) && (at == 0 || is_blank(&rest[at - 1]))
}

fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [inner @ .., last] = bytes
        && (is_blank(last) || matches!(last, b'\r' | b'\n'))
    {
        bytes = inner;
    }
    while let [first, inner @ ..] = bytes
        && is_blank(first)
    {
        bytes = inner;
    }
    bytes
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// A From_ line to write.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FromLineSpec<'a> {
    /// The From_ lines of another mbox. The first of them has a date.
    Verbatim(&'a [u8]),
    /// `From SENDER DATE`, the date in UTC.
    Generated {
        /// The envelope sender. An empty one is written as MAILER-DAEMON.
        sender: &'a [u8],
        /// The received date in seconds since 1970.
        epoch: i64,
    },
}

impl<'a> FromLineSpec<'a> {
    /// Returns the line with its line end. Blanks and control characters in the sender become `-`, as in
    /// qmail-local. So does a colon at its start, since `From :` is a header field.
    pub(super) fn render(self, eol: &[u8]) -> Cow<'a, [u8]> {
        let (sender, epoch) = match self {
            FromLineSpec::Verbatim(lines) if lines.ends_with(b"\n") => return Cow::Borrowed(lines),
            FromLineSpec::Verbatim(line) => return Cow::Owned([line, eol].concat()),
            FromLineSpec::Generated { sender, epoch } => (sender, epoch),
        };
        let mut line = b"From ".to_vec();
        match sender {
            b"" => line.extend_from_slice(b"MAILER-DAEMON"),
            [first, ..] => {
                let start = line.len();
                line.extend(sender.iter().map(|&b| if b <= b' ' || b == 127 { b'-' } else { b }));
                if *first == b':' {
                    line[start] = b'-';
                }
            }
        }
        line.push(b' ');
        line.extend_from_slice(date::asctime_utc(epoch.clamp(0, LAST_SECOND)).as_bytes());
        line.extend_from_slice(eol);
        Cow::Owned(line)
    }
}

/// The last second of the year 9999: a From_ line has four digits for the year.
const LAST_SECOND: i64 = 253_402_300_799;

impl<'a> FromLine<'a> {
    /// Reports whether git-format-patch wrote the line: `From ` and a commit id, with the same date in every patch.
    pub(crate) fn is_patch(&self) -> bool {
        let is_id = matches!(self.sender.len(), 40 | 64) && self.sender.iter().all(u8::is_ascii_hexdigit);
        is_id && self.has_git_date()
    }

    /// Reports whether the date is the one of git's patches.
    pub(crate) fn has_git_date(&self) -> bool {
        self.stamp.is_some_and(|stamp| stamp.local == date::GIT)
    }

    fn undated(class: LineClass, sender: &'a [u8], spelling: Spelling) -> FromLine<'a> {
        FromLine { class, sender, stamp: None, spelling }
    }
}

/// Bits 0–3 are the kind. The others are variations of a date of that kind.
impl Spelling {
    const KIND: u16 = 0b1111;
    const NO_WEEKDAY: u16 = 1 << 4;
    const NO_SECONDS: u16 = 1 << 5;
    const ZONE_BEFORE_YEAR: u16 = 1 << 6;
    const ZONE_AT_END: u16 = 1 << 7;
    const FOREIGN_NAMES: u16 = 1 << 8;
    const UNKNOWN_MONTH: u16 = 1 << 9;

    const UNKNOWN: Spelling = Spelling(0);
    /// `From ` and nothing else.
    pub(crate) const BARE: Spelling = Spelling(1);
    const ADDRESS: Spelling = Spelling(2);
    const WORD: Spelling = Spelling(3);

    /// Indexed by the kind.
    const KINDS: [&str; 14] = [
        "unknown",
        "no date, no sender",
        "no date, address only",
        "no date, sender only",
        "asctime",
        "asctime, day before the month",
        "asctime, year before the time",
        "RFC 822 order",
        "day-month-year",
        "ISO 8601",
        "year, month, day",
        "day in numbers",
        "day in numbers, no time",
        "no day",
    ];

    fn dated(form: Form) -> Spelling {
        let mut bits = match form.order {
            Order::Asctime => 4,
            Order::AsctimeDayFirst => 5,
            Order::AsctimeYearFirst => 6,
            Order::Rfc822 => 7,
            Order::Dashed => 8,
            Order::Iso => 9,
            Order::YearFirst => 10,
            Order::Numeric => 11,
            Order::DayAlone => 12,
            Order::TimeAndYear => 13,
        };
        let has_names = bits < 9 || form.order == Order::YearFirst;
        if form.weekday == Weekday::Missing && has_names {
            bits |= Self::NO_WEEKDAY;
        }
        if !form.seconds && form.order != Order::DayAlone {
            bits |= Self::NO_SECONDS;
        }
        bits |= match form.names {
            Names::Foreign => Self::FOREIGN_NAMES,
            Names::Unknown if has_names => Self::UNKNOWN_MONTH,
            Names::Unknown | Names::English => 0,
        };
        bits |= match form.zone {
            ZonePosition::Missing => 0,
            ZonePosition::BeforeYear => Self::ZONE_BEFORE_YEAR,
            ZonePosition::AtEnd => Self::ZONE_AT_END,
        };
        Spelling(bits)
    }

    /// Returns the name in reports: `asctime, zone before the year`, `no date, sender only`.
    pub(crate) fn name(self) -> String {
        let mut name = Self::KINDS[usize::from(self.0 & Self::KIND)].to_owned();
        for (bit, words) in [
            (Self::NO_WEEKDAY, ", no weekday"),
            (Self::NO_SECONDS, ", no seconds"),
            (Self::ZONE_BEFORE_YEAR, ", zone before the year"),
            (Self::ZONE_AT_END, ", zone at the end"),
            (Self::FOREIGN_NAMES, ", not in English"),
            (Self::UNKNOWN_MONTH, ", unknown month"),
        ] {
            if self.0 & bit != 0 {
                name.push_str(words);
            }
        }
        name
    }
}

impl fmt::Debug for Spelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spelling({})", self.name())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mailbox::message::date::asctime_utc;

    /// 2001-01-01 10:00:00 UTC.
    const TEN: i64 = 978_343_200;
    const HOUR: i64 = 3600;

    #[track_caller]
    fn check_dated(line: &[u8], sender: &[u8], epoch: Option<i64>, spelling: &str) {
        let found = parse(line);
        let shown = crate::mailbox::text::escape(line);
        assert_eq!(found.class, LineClass::Dated, "{shown}");
        assert_eq!(
            crate::mailbox::text::escape(found.sender),
            crate::mailbox::text::escape(sender),
            "{shown}"
        );
        assert_eq!(found.stamp.map(|s| s.epoch(0)), epoch, "{shown}");
        assert_eq!(found.spelling.name(), spelling, "{shown}");
    }

    #[test]
    #[rustfmt::skip] // a row a line
    fn every_dated_spelling() {
        for (line, sender, epoch, spelling) in [
            // asctime, its blanks and its line ends
            ("From a@b Mon Jan  1 10:00:05 2001", "a@b", TEN + 5, "asctime"),
            ("From a@b Mon Jan 1 10:00:05 2001\n", "a@b", TEN + 5, "asctime"),
            ("From a@b Mon Jan 01 10:00:05 2001\r\n", "a@b", TEN + 5, "asctime"),
            ("From a@b  Mon Jan  1 10:00:05 2001 \t \r", "a@b", TEN + 5, "asctime"),
            ("From  a@b\tMon\tJan  1 10:00:05  2001", "a@b", TEN + 5, "asctime"),
            ("From a@b Mon Jan  1 9:00:05 2001", "a@b", TEN - HOUR + 5, "asctime"),
            ("From a@b Mon Jan  1 10:00 2001", "a@b", TEN, "asctime, no seconds"),
            ("From a@b Mon Jan  1 10:00:05 01", "a@b", TEN + 5, "asctime"),
            ("From a@b MON JAN  1 10:00:05 2001", "a@b", TEN + 5, "asctime"),
            ("From a@b Monday January  1 10:00:05 2001", "a@b", TEN + 5, "asctime"),
            ("From a@b Tue Sept  4 00:00:00 2001", "a@b", 999_561_600, "asctime"),
            ("From a@b Sun Dec 31 23:59:60 2000", "a@b", TEN - 10 * HOUR, "asctime"),
            // zones
            ("From a@b Mon Jan  1 10:00:05 2001 +0100", "a@b", TEN + 5 - HOUR, "asctime, zone at the end"),
            ("From a@b Mon Jan  1 10:00:05 +0100 2001", "a@b", TEN + 5 - HOUR, "asctime, zone before the year"),
            ("From a@b Mon Jan  1 10:00:05 GMT 2001", "a@b", TEN + 5, "asctime, zone before the year"),
            ("From a@b Mon Jan  1 10:00:05 EST 2001", "a@b", TEN + 5 + 5 * HOUR, "asctime, zone before the year"),
            ("From a@b Mon Jan  1 10:00 EST 2001", "a@b", TEN + 5 * HOUR, "asctime, no seconds, zone before the year"),
            ("From a@b Mon Jan  1 10:00:05 2001 EST", "a@b", TEN + 5 + 5 * HOUR, "asctime, zone at the end"),
            ("From a@b Mon Jan  1 10:00:05 2001 GMT+0100", "a@b", TEN + 5 - HOUR, "asctime, zone at the end"),
            ("From a@b Mon Jan  1 10:00:05 2001 -0800 (PST)", "a@b", TEN + 5 + 8 * HOUR, "asctime, zone at the end"),
            ("From a@b Mon Jan  1 10:00:05 +0100 (CET) 2001", "a@b", TEN + 5 - HOUR, "asctime, zone before the year"),
            ("From a@b Mon Jan  1 10:00:05 2001 (CET)", "a@b", TEN + 5 - HOUR, "asctime, zone at the end"),
            ("From a@b Mon Jan  1 10:00:05 MET DST 2001", "a@b", TEN + 5 - 2 * HOUR, "asctime, zone before the year"),
            ("From a@b Mon Jan  1 10:00:05 2001 WETDST", "a@b", TEN + 5 - HOUR, "asctime, zone at the end"),
            ("From a@b Mon Jan  1 10:00:05 2001 XYZ", "a@b", TEN + 5, "asctime, zone at the end"),
            // the weekday
            ("From a@b Mo Jan  1 10:00:05 2001", "a@b", TEN + 5, "asctime"),
            ("From a@b lun. Jan  1 10:00:05 2001", "a@b", TEN + 5, "asctime"),
            ("From a@b mar Jan  1 10:00:05 2001", "a@b", TEN + 5, "asctime"),
            ("From a@b mån Jan  1 10:00:05 2001", "a@b", TEN + 5, "asctime"),
            ("From a@b пн Jan  1 10:00:05 2001", "a@b", TEN + 5, "asctime"),
            ("From a@b Jan  1 10:00:05 2001", "a@b", TEN + 5, "asctime, no weekday"),
            ("From joe Jan  1 10:00:05 2001", "joe", TEN + 5, "asctime, no weekday"),
            ("From Jan 1 10:00:00 2001", "", TEN, "asctime, no weekday"),
            // other orders
            ("From a@b Mon, 1 Jan 2001 10:00:05 +0100", "a@b", TEN + 5 - HOUR, "RFC 822 order, zone at the end"),
            ("From a@b Mon, 01 Jan 2001 10:00:05 -0400 (EDT)", "a@b", TEN + 5 + 4 * HOUR, "RFC 822 order, zone at the end"),
            ("From a@b 1 Jan 01 10:00", "a@b", TEN, "RFC 822 order, no weekday, no seconds"),
            ("From a@b Mon, 1 Jan 2001 10:00:05 +0000 (Greenwich Mean Time)", "a@b", TEN + 5, "RFC 822 order, zone at the end"),
            ("From a@b Mon  1 Jan 10:00:05 GMT 2001", "a@b", TEN + 5, "asctime, day before the month, zone before the year"),
            ("From a@b Mon Jan 1, 2001 10:00:05", "a@b", TEN + 5, "asctime, year before the time"),
            ("From a@b Mon Jan  1 10:00:05 PM UTC 2001", "a@b", TEN + 5 + 12 * HOUR, "asctime, zone before the year"),
            ("From a@b 1-Jan-2001 10:00:05 +0100", "a@b", TEN + 5 - HOUR, "day-month-year, no weekday, zone at the end"),
            ("From a@b Monday, 01-Jan-01 10:00:05 GMT", "a@b", TEN + 5, "day-month-year, zone at the end"),
            ("From a@b 2001-01-01T10:00:05Z", "a@b", TEN + 5, "ISO 8601, zone at the end"),
            ("From a@b 2001-01-01 10:00:05", "a@b", TEN + 5, "ISO 8601"),
            ("From a@b 2001-01-01 10:00:05 +01:00", "a@b", TEN + 5 - HOUR, "ISO 8601, zone at the end"),
            ("From a@b 2001-01-01 10:00:05+01:00", "a@b", TEN + 5 - HOUR, "ISO 8601, zone at the end"),
            // other languages
            ("From a@b Mo Jän  1 10:00:05 2001", "a@b", TEN + 5, "asctime, not in English"),
            ("From a@b lun ene  1 10:00:05 2001", "a@b", TEN + 5, "asctime, not in English"),
            ("From a@b Mo 1. Jänner 10:00:05 CET 2001", "a@b", TEN + 5 - HOUR, "asctime, day before the month, zone before the year, not in English"),
            ("From a@b пн янв  1 10:00:05 2001", "a@b", TEN + 5, "asctime, not in English"),
            ("From a@b T2 Th01  1 10:00:05 2001", "a@b", TEN + 5, "asctime, not in English"),
            ("From a@b 月  1月  1 10:00:05 2001", "a@b", TEN + 5, "asctime, not in English"),
            ("From a@b 2001年 01月 01日 星期一 10:00:05 CST", "a@b", TEN + 5 + 6 * HOUR, "year, month, day, zone at the end, not in English"),
            ("From a@b 2001. jan.  1., hétfő, 10:00:05 CET", "a@b", TEN + 5 - HOUR, "year, month, day, zone at the end"),
            ("From lun ene  1 10:00:05 2001", "", TEN + 5, "asctime, not in English"),
            ("From mar ene  1 10:00:05 2001", "mar", TEN + 5, "asctime, no weekday, not in English"),
            // numbers
            ("From a@b 2001/01/01 10:00:05", "a@b", TEN + 5, "day in numbers"),
            ("From a@b 01.01.2001 10:00", "a@b", TEN, "day in numbers, no seconds"),
            // senders
            ("From - Mon Jan  1 10:00:05 2001", "-", TEN + 5, "asctime"),
            ("From - Mon, 01 Jan 2001 10:00:05 GMT", "-", TEN + 5, "RFC 822 order, zone at the end"),
            ("From  Mon Jan  1 10:00:05 2001", "", TEN + 5, "asctime"),
            ("From Mon Jan  1 10:00:05 2001", "", TEN + 5, "asctime"),
            ("From joe at b.example Mon Jan  1 10:00:05 2001", "joe at b.example", TEN + 5, "asctime"),
            ("From joe at b.example  Mon Jan  1 10:00:05 2001", "joe at b.example", TEN + 5, "asctime"),
            ("From \"joe doe\"@b Mon Jan  1 10:00:05 2001", "\"joe doe\"@b", TEN + 5, "asctime"),
            ("From Joe Doe <a@b> Mon Jan  1 10:00:05 2001", "Joe Doe <a@b>", TEN + 5, "asctime"),
            ("From a@b (Joe Doe) Mon Jan  1 10:00:05 2001", "a@b (Joe Doe)", TEN + 5, "asctime"),
            ("From a@b (Joe) Jan  1 10:00:05 2001", "a@b (Joe)", TEN + 5, "asctime, no weekday"),
            ("From <> Mon Jan  1 10:00:05 2001", "<>", TEN + 5, "asctime"),
            ("From Mon Mon Jan  1 10:00:05 2001", "Mon", TEN + 5, "asctime"),
            ("From joe Mon Jan  1 10:00:05 2001 Mon Jan  1 10:00:05 2001", "joe Mon Jan  1 10:00:05 2001", TEN + 5, "asctime"),
            // UUCP
            ("From joe Mon Jan  1 10:00:05 2001 remote from host", "joe", TEN + 5, "asctime"),
            ("From joe Mon Jan  1 10:00 EST 2001 remote from h \n", "joe", TEN + 5 * HOUR, "asctime, no seconds, zone before the year"),
        ] {
            check_dated(line.as_bytes(), sender.as_bytes(), Some(epoch), spelling);
        }
    }

    #[test]
    fn bytes_that_are_no_text() {
        check_dated(b"From \xff\0@b m\xe5n Jan  1 10:00:05 2001", b"\xff\0@b", Some(TEN + 5), "asctime");
    }

    #[test]
    fn names_in_old_charsets() {
        for line in [
            &b"From a@b Mo J\xe4n  1 10:00:05 2001"[..],
            b"From a@b \xd0\xce \xd1\xce\xd7  1 10:00:05 2001",
            b"From a@b \xef\xed \xff\xed\xe2  1 10:00:05 2001",
            b"From a@b \xd2\xbb 1\xd4\xc2  1 10:00:05 2001",
        ] {
            check_dated(line, b"a@b", Some(TEN + 5), "asctime, not in English");
        }
        let line = b"From a@b 2001\x94N 1\x8c\x8e 1\x93\xfa 10:00:05";
        check_dated(line, b"a@b", Some(TEN + 5), "year, month, day, no weekday, not in English");
    }

    #[test]
    fn the_shape_of_a_date_in_an_unknown_language() {
        for (line, sender) in [
            ("From a@b Xxx Foo  1 10:00:05 2001", "a@b"),
            ("From a@b M?r Foo? 1 10:00 2001 +0100", "a@b"),
            ("From Joe Doe <a@b> Xxx, 1 Foo 2001 10:00:05", "Joe Doe <a@b>"),
            ("From - Foo 1 10:00:05 2001", "-"),
            ("From a@b 2001/01/01", "a@b"),
            ("From a@b 10:00:05 2001 +0000", "a@b"),
        ] {
            let found = parse(line.as_bytes());
            assert_eq!((found.class, found.sender), (LineClass::Shaped, sender.as_bytes()), "{line}");
        }
        let kmail = parse(b"From ???@??? 00:00:00 1997 +0000");
        assert_eq!((kmail.class, kmail.sender, kmail.stamp), (LineClass::Dated, &b"???@???"[..], None));
        for prose in
            ["From here to there at 10:00 2001", "From the day 2001/01/01", "From 10:00 to 11:00 2001"]
        {
            assert_eq!(parse(prose.as_bytes()).class, LineClass::Unknown, "{prose}");
        }
    }

    #[test]
    fn an_impossible_date_is_still_a_date() {
        for line in [
            "From a@b Fri Feb 30 10:00:00 2001",
            "From a@b Mon Jan  1 25:00:00 2001",
            "From a@b Thu Jan  0 00:00:00 1970",
        ] {
            check_dated(line.as_bytes(), b"a@b", None, "asctime");
        }
    }

    #[test]
    fn known_forms_without_a_date() {
        for (line, sender, spelling) in [
            ("From ", "", "no date, no sender"),
            ("From  \t \r\n", "", "no date, no sender"),
            ("From a@b\n", "a@b", "no date, address only"),
            ("From  <a@b> ", "<a@b>", "no date, address only"),
            ("From -", "-", "no date, sender only"),
            ("From joe\r", "joe", "no date, sender only"),
            ("From joe remote from host", "joe", "no date, sender only"),
        ] {
            let found = parse(line.as_bytes());
            assert_eq!((found.class, found.stamp), (LineClass::Known, None), "{line}");
            assert_eq!(found.sender, sender.as_bytes(), "{line}");
            assert_eq!(found.spelling.name(), spelling, "{line}");
        }
    }

    #[test]
    fn prose_is_prose() {
        for line in [
            "From the beginning",
            "From the beginning of Jan 2001, at 10:00",
            "From Monday to Friday 10:00",
            "From 10:00 to 11:00 2001",
            "From Jan 5 2001 onwards",
            "From Jan 5 2001",
            "From Mon Jan  1 2001 to Tue Jan  2 2001",
            "From a@b Mon Jan  1 10:00:05 2001 until now",
            "From a@b Mon Jan  1 10:00:05 2001.",
            "From a@b Mon Jan  1 10:00:05 2001,",
            "From a@b Mon Jan  1 10:00:05",
            "From a@b Mon Jan  1 2001",
            "From remote from here",
            "From\ta@b Mon Jan  1 10:00:05 2001",
            "From: a@b",
            ">From a@b Mon Jan  1 10:00:05 2001",
            "from a@b Mon Jan  1 10:00:05 2001",
            "From",
            "",
        ] {
            let found = parse(line.as_bytes());
            assert_eq!((found.class, found.sender), (LineClass::Unknown, &b""[..]), "{line}");
            assert_eq!(found.spelling.name(), "unknown", "{line}");
        }
    }

    #[test]
    fn a_line_of_ten_megabytes() {
        for filler in ["a", "a ", "(", "\"", "1:", " "] {
            let sender = filler.repeat(10_000_000 / filler.len());
            let line = format!("From {sender}x Mon Jan  1 10:00:05 2001");
            let found = parse(line.as_bytes());
            assert_eq!(
                (found.class, found.sender.len()),
                (LineClass::Dated, format!("{sender}x").trim_start().len())
            );
            parse(&line.as_bytes()[..line.len() - 1]);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_at_all(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
            crate::promises::from_line(&tail);
        }

        /// Any sender without blanks, from 1971 to 2099.
        #[test]
        fn a_written_message_is_read_back(sender in "[!-9;-~][!-~]{0,39}", epoch in 31_536_000i64..4_102_444_800) {
            let line = format!("From {sender} {}", asctime_utc(epoch));
            let found = parse(line.as_bytes());
            prop_assert_eq!(found.class, LineClass::Dated);
            prop_assert_eq!(found.sender, sender.as_bytes());
            prop_assert_eq!(found.stamp, Some(Stamp { local: epoch, zone: None }));
            prop_assert_eq!(found.spelling.name(), "asctime");
        }
    }
}
