//! Dates on the command line.

use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Parses a year, a month or a day, and returns its first second in the time zone of the user, since 1970.
pub(super) fn parse(text: &str) -> Result<i64, String> {
    let date =
        parse_date(text).ok_or("use YYYY, YYYY-MM or YYYY-MM-DD, such as 2015, 2015-06 or 2015-06-30")?;
    let zone = time_zone()?;
    begin(date, zone).ok_or_else(|| format!("{date} is out of range"))
}

/// Parses the value of `--split`, and returns the time zone whose years count.
pub(super) fn parse_split(text: &str) -> Result<TimeZone, String> {
    match text {
        "year" => time_zone(),
        _ => Err("use year".to_owned()),
    }
}

fn parse_date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let mut number = |digits: usize| match parts.next() {
        None => Some(None),
        Some(part) if part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()) => {
            part.parse().ok().map(Some)
        }
        Some(_) => None,
    };
    let (year, month, day) = (number(4)??, number(2)?, number(2)?);
    let small = |number: Option<i16>| i8::try_from(number.unwrap_or(1)).ok();
    let is_complete = parts.next().is_none();
    Date::new(year, small(month)?, small(day)?).ok().filter(|_| is_complete)
}

/// Returns the first second of a day. Where a clock skips midnight, the day begins later.
fn begin(date: Date, zone: TimeZone) -> Option<i64> {
    let midnight = date.at(0, 0, 0, 0).to_zoned_datetime(zone).ok()?;
    Some(midnight.timestamp().as_second())
}

/// Returns the zone of `$TZ`, or that of the system. Without either it is UTC.
fn time_zone() -> Result<TimeZone, String> {
    TimeZone::try_system().or_else(|error| match std::env::var_os("TZ") {
        Some(name) if !name.is_empty() => Err(format!("the time zone in $TZ is not known: {error}")),
        _ => Ok(TimeZone::UTC),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_a_month_and_a_day_begin_with_their_first_day() {
        for (text, date) in [
            ("2015", "2015-01-01"),
            ("2015-06", "2015-06-01"),
            ("2015-06-30", "2015-06-30"),
            ("2016-02-29", "2016-02-29"),
        ] {
            assert_eq!(parse_date(text).unwrap().to_string(), date);
        }
        for text in [
            "",
            "15",
            "2015-",
            "2015-6",
            "2015-06-1",
            "2015-13",
            "2015-00",
            "2015-02-29",
            "2015-06-30-1",
            "+015",
            "2015/06/30",
            "30.06.2015",
            "2015-06-30T00:00:00Z",
            "yesterday",
            "-2015",
            "20150630",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn a_day_begins_at_midnight_or_when_the_clock_skips_it() {
        for (zone, date, begin_at) in [
            ("UTC", "2015-01-01", "2015-01-01T00:00:00Z"),
            ("America/New_York", "2015-01-01", "2015-01-01T05:00:00Z"),
            ("Asia/Kolkata", "2015-01-01", "2014-12-31T18:30:00Z"),
            // The clock goes from 23:59:59 to 01:00.
            ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"),
            // The clock goes from 00:59:59 back to midnight, so the day has that hour twice.
            ("America/Havana", "2018-11-04", "2018-11-04T04:00:00Z"),
            // There is no such day.
            ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z"),
        ] {
            let zone = TimeZone::get(zone).unwrap();
            let expected: jiff::Timestamp = begin_at.parse().unwrap();
            assert_eq!(begin(date.parse().unwrap(), zone), Some(expected.as_second()), "{date}");
        }
    }
}
