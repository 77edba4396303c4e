//! Messages spread over folders or files by the year in which they were received.

use std::collections::HashMap;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::mailbox::Result;
use crate::mailbox::fs::{Dir, files};
use crate::mailbox::message::{Origin, Selection};

/// The name of the part for messages without a real date.
const UNDATED: &str = "undated";

/// How messages are spread over folders by year.
#[derive(Debug, Clone)]
pub(crate) struct SplitOptions {
    /// The time zone of the years.
    pub(crate) zone: TimeZone,
    /// The levels of the folder that has the folders of the years; none for the Maildir itself.
    pub(crate) base: Vec<String>,
}

impl SplitOptions {
    /// Returns the levels of the folder of a year.
    pub(crate) fn levels(&self, year: &str) -> Vec<String> {
        self.base.iter().map(String::as_str).chain([year]).map(str::to_owned).collect()
    }
}

/// The years of the messages so far, numbered from 0 as they occur.
#[derive(Debug)]
pub(crate) struct YearSplit {
    zone: TimeZone,
    years: Vec<Year>,
    /// The year of the message before: mail is mostly in the order of its dates.
    last: usize,
}

#[derive(Debug)]
struct Year {
    name: String,
    /// The first second and the first one after the year, since 1970; None for messages without a date.
    seconds: Option<Range<i64>>,
}

impl Year {
    fn contains(&self, date: Option<i64>) -> bool {
        match (&self.seconds, date) {
            (Some(seconds), Some(date)) => seconds.contains(&date),
            (seconds, date) => seconds.is_none() && date.is_none(),
        }
    }
}

impl YearSplit {
    /// Splits at the beginning of each year in a time zone.
    pub(crate) fn new(zone: TimeZone) -> YearSplit {
        YearSplit { zone, years: Vec::new(), last: 0 }
    }

    /// Returns the number of the year of a message. [`Origin::is_real`] has `counts_mtime`.
    pub(crate) fn number(&mut self, epoch: i64, origin: Origin, counts_mtime: bool) -> usize {
        self.find(origin.is_real(counts_mtime).then_some(epoch))
    }

    /// Returns the number of the year of a date.
    fn find(&mut self, date: Option<i64>) -> usize {
        let is_in = |year: &Year| year.contains(date);
        if !self.years.get(self.last).is_some_and(is_in) {
            self.last = self.years.iter().position(is_in).unwrap_or_else(|| {
                self.years.push(self.year(date));
                self.years.len() - 1
            });
        }
        self.last
    }

    fn year(&self, date: Option<i64>) -> Year {
        let Some(epoch) = date else { return Year { name: UNDATED.to_owned(), seconds: None } };
        let year = Timestamp::from_second(epoch).map_or(1970, |time| self.zone.to_datetime(time).year());
        let begin = |year| {
            let first = Date::new(year, 1, 1).ok()?.to_zoned_datetime(self.zone.clone()).ok()?;
            Some(first.timestamp().as_second())
        };
        let seconds = begin(year).unwrap_or(epoch)..begin(year.saturating_add(1)).unwrap_or(epoch + 1);
        Year { name: format!("{year:04}"), seconds: Some(seconds) }
    }

    pub(crate) fn count(&self) -> usize {
        self.years.len()
    }

    /// Returns the selection of the messages of a year. Those without a real date are dated 0.
    pub(crate) fn selection(&self, number: usize) -> Selection {
        let seconds = self.years[number].seconds.clone().unwrap_or(0..1);
        Selection { since: Some(seconds.start), before: Some(seconds.end) }
    }

    pub(crate) fn name(&self, number: usize) -> &str {
        &self.years[number].name
    }
}

/// The folders of years in a Maildir, by the directory of the folder that was split.
#[derive(Debug, Default)]
pub(crate) struct YearDirectories(HashMap<PathBuf, Vec<(String, PathBuf)>>);

impl YearDirectories {
    /// Lists them. A Maildir that is missing has none.
    pub(crate) fn list(maildir: &Path) -> Result<YearDirectories> {
        if !files::is_dir(maildir) {
            return Ok(YearDirectories::default());
        }
        let mut names = Dir::open(maildir)?.names()?;
        names.sort();
        let mut folders = YearDirectories::default();
        for name in names {
            let directory = PathBuf::from(&name);
            let Some((base, year)) = directory.to_str().and_then(|name| name.rsplit_once('.')) else {
                continue;
            };
            if name.as_bytes().starts_with(b".") && is_year(year) {
                folders.0.entry(base.into()).or_default().push((year.to_owned(), name.into()));
            }
        }
        Ok(folders)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the years of a folder, and their directories.
    pub(crate) fn of(&self, directory: &Path) -> &[(String, PathBuf)] {
        self.0.get(directory).map_or(&[], Vec::as_slice)
    }
}

/// Reports whether a split gives a folder this name.
pub(crate) fn is_year(name: &str) -> bool {
    name == UNDATED || name.len() >= 4 && name.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_in_the_year_of_the_zone() {
        let new_year = 1_420_070_400;
        for (zone, names) in [
            ("UTC", ["2014", "2015", "2015"]),
            ("America/New_York", ["2014", "2014", "2015"]),
            ("Asia/Kolkata", ["2015", "2015", "2015"]),
        ] {
            let mut split = YearSplit::new(TimeZone::get(zone).unwrap());
            let dates = [new_year - 1, new_year, new_year + 5 * 3600];
            let numbers = dates.map(|date| split.find(Some(date)));
            assert_eq!(numbers.map(|number| split.name(number).to_owned()), names, "{zone}");
        }
    }

    #[test]
    fn each_year_has_one_number() {
        let mut split = YearSplit::new(TimeZone::UTC);
        let numbers = [Some(0), Some(1_420_070_400), None, Some(31_535_999), Some(31_536_000), None];
        assert_eq!(numbers.map(|date| split.find(date)), [0, 1, 2, 0, 3, 2]);
        assert_eq!(["1970", "2015", "undated", "1971"], [0, 1, 2, 3].map(|n| split.name(n).to_owned())[..]);
        assert_eq!(split.count(), 4);
    }
}
