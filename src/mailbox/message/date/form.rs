//! A parsed date, and how it is spelled.

/// A date as written: its civil time, and the zone if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Stamp {
    /// Seconds from 1970-01-01 00:00:00 to the civil time, both on the same clock.
    pub local: i64,
    /// Seconds east of UTC. `None` where the zone is missing, unknown or ambiguous.
    pub zone: Option<i32>,
}

impl Stamp {
    /// Returns seconds since 1970. `default_zone` (seconds east of UTC) applies where there is no zone.
    pub(crate) fn epoch(self, default_zone: i32) -> i64 {
        self.local.saturating_sub(self.zone.unwrap_or(default_zone).into())
    }
}

/// A date at the start of some bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ParsedDate<'a> {
    /// `None` for an impossible date, such as 30 Feb.
    pub stamp: Option<Stamp>,
    pub form: Form,
    /// The bytes after the date and the comments and blanks that follow it.
    pub rest: &'a [u8],
}

/// How a date is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    pub order: Order,
    pub weekday: Weekday,
    pub seconds: bool,
    pub zone: ZonePosition,
    pub names: Names,
}

/// The order of the parts of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// `Jan 1 10:00:00 2001`
    Asctime,
    /// `1 Jan 10:00:00 2001`, as date(1) writes it in British locales
    AsctimeDayFirst,
    /// `Jan 1, 2001 10:00:00`
    AsctimeYearFirst,
    /// `1 Jan 2001 10:00:00`
    Rfc822,
    /// `1-Jan-2001 10:00:00`, as in IMAP and RFC 850
    Dashed,
    /// `2001-01-01 10:00:00`
    Iso,
    /// `2001 Jan 1 10:00:00`
    YearFirst,
    /// `01.01.2001 10:00:00` or `2001/01/01 10:00:00`
    Numeric,
    /// `2001/01/01`
    DayAlone,
    /// `10:00:00 2001`
    TimeAndYear,
}

/// The language of the names in a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// Also for a date in numbers.
    English,
    Foreign,
    /// The month is unknown.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weekday {
    Missing,
    /// An English weekday, or a word with `,` or `.` after it.
    Sure,
    /// A bare word: a weekday in another language, or another word.
    Word,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ZonePosition {
    Missing,
    BeforeYear,
    AtEnd,
}
