//! What the result of an account adds to the totals.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{AccountRow, ByteRow};
use crate::accounts::result::{AccountResult, Outcome};
use crate::mailbox::{Code, escape};

/// The state of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Done,
    Flawed,
    Failed,
    Interrupted,
    /// There is no result.
    Missing,
    /// The result cannot be read.
    Unreadable,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Status::Done => "done",
            Status::Flawed => "flawed",
            Status::Failed => "failed",
            Status::Interrupted => "interrupted",
            Status::Missing => "missing",
            Status::Unreadable => "unreadable",
        }
    }
}

/// The part of a result that is added up. There may be 100,000 at a time, so that it is small.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AccountRecord {
    pub(crate) user: Box<str>,
    pub(crate) status: Status,
    pub(crate) exit: Option<u8>,
    pub(crate) retry: bool,
    pub(crate) host: Arc<str>,
    /// Milliseconds since 1970.
    pub(crate) start: Option<i64>,
    pub(crate) end: Option<i64>,
    /// Milliseconds.
    pub(crate) took: u64,
    pub(super) messages: MessageCounts,
    pub(super) bytes: ByteRow,
    pub(super) warnings: u64,
    pub(super) errors: u64,
    findings: Box<[(Code, u32)]>,
    /// Findings of a newer version, and counts without end.
    other_findings: Vec<(String, u64)>,
    /// The first error.
    pub(crate) reason: Option<Box<str>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MessageCounts {
    pub(super) found: u64,
    pub(super) in_place: u64,
    pub(super) duplicates: u64,
    pub(super) skipped: u64,
    pub(super) not_selected: u64,
}

/// Returns the code with a name, unless it is of a newer version.
pub(super) fn code(name: &str) -> Option<Code> {
    static CODES: LazyLock<HashMap<&str, Code>> =
        LazyLock::new(|| Code::ALL.iter().map(|code| (code.name(), *code)).collect());
    CODES.get(name).copied()
}

impl AccountRecord {
    pub(crate) fn of(result: &AccountResult) -> AccountRecord {
        let count = |key: &str| count(result.summary.as_ref(), key);
        let bytes = ByteRow {
            source: count("bytes_source"),
            messages: count("bytes_messages"),
            from_lines: count("bytes_from_lines"),
            quoting: count("bytes_quoting"),
            separators: count("bytes_separators"),
            junk: count("bytes_junk"),
            not_reached: count("bytes_not_reached"),
        };
        let messages = MessageCounts {
            found: count("messages_found"),
            in_place: count("written").saturating_add(count("already_present")),
            duplicates: count("duplicates"),
            skipped: count("skipped"),
            not_selected: count("not_selected"),
        };
        let status = match result.outcome {
            Outcome::Done => Status::Done,
            Outcome::Flawed => Status::Flawed,
            Outcome::Failed => Status::Failed,
            Outcome::Interrupted => Status::Interrupted,
        };
        let (mut findings, mut other_findings) = (Vec::new(), Vec::new());
        for (name, &count) in &result.findings {
            match (code(name), u32::try_from(count)) {
                (Some(code), Ok(count)) => findings.push((code, count)),
                _ => other_findings.push((escape(name.as_bytes()), count)),
            }
        }
        AccountRecord {
            status,
            exit: result.exit,
            retry: result.retry,
            host: escape(result.host.as_bytes()).into(),
            start: milliseconds(&result.start),
            end: milliseconds(&result.end),
            took: (result.seconds * 1000.0).round() as u64,
            messages,
            bytes,
            warnings: count("warnings"),
            errors: count("errors"),
            findings: findings.into(),
            other_findings,
            reason: reason(result, status),
            ..AccountRecord::without_result(&result.user, status)
        }
    }

    /// Returns the record of an account in the list that has no result.
    pub(crate) fn missing(user: &str) -> AccountRecord {
        AccountRecord::without_result(user, Status::Missing)
    }

    /// Returns the record of an account whose result cannot be read.
    pub(crate) fn unreadable(user: &str, reason: &str) -> AccountRecord {
        let reason = Some(reason.into());
        AccountRecord { reason, ..AccountRecord::without_result(user, Status::Unreadable) }
    }

    fn without_result(user: &str, status: Status) -> AccountRecord {
        AccountRecord {
            user: escape(user.as_bytes()).into(),
            status,
            exit: None,
            // The next run converts it.
            retry: true,
            host: "".into(),
            start: None,
            end: None,
            took: 0,
            messages: MessageCounts::default(),
            bytes: ByteRow::default(),
            warnings: 0,
            errors: 0,
            findings: Box::default(),
            other_findings: Vec::new(),
            reason: None,
        }
    }

    pub(crate) fn messages(&self) -> u64 {
        self.messages.found
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.source
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.took as f64 / 1000.0
    }

    pub(crate) fn row(&self) -> AccountRow {
        AccountRow {
            user: self.user.to_string(),
            outcome: self.status.name().to_owned(),
            exit: self.exit,
            retry: self.retry,
            messages: self.messages(),
            bytes: self.bytes(),
            seconds: self.seconds(),
            reason: self.reason.as_deref().map(str::to_owned),
        }
    }

    /// Compares results of one account: the newer is greater. One that cannot be read may be the newest. Equal times are
    /// told apart by the contents, so that the order of the files does not matter.
    pub(super) fn compare_age(&self, other: &AccountRecord) -> Ordering {
        let key = |record: &AccountRecord| (record.status == Status::Unreadable, record.end);
        key(self).cmp(&key(other)).then_with(|| self.cmp(other))
    }

    /// Returns how many findings there are of each name.
    pub(super) fn findings(&self) -> impl Iterator<Item = (&str, u64)> {
        let known = self.findings.iter().map(|(code, count)| (code.name(), u64::from(*count)));
        let others = self.other_findings.iter().map(|(name, count)| (&**name, *count));
        known.chain(others)
    }

    pub(super) fn interval(&self) -> Option<(i64, i64)> {
        let start = self.start?;
        Some((start, self.end.unwrap_or(start).max(start)))
    }
}

/// Returns a count of a summary; 0 if it is missing.
fn count(summary: Option<&Map<String, Value>>, key: &str) -> u64 {
    summary.and_then(|summary| summary.get(key)).and_then(Value::as_u64).unwrap_or(0)
}

fn milliseconds(time: &str) -> Option<i64> {
    time.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

fn reason(result: &AccountResult, status: Status) -> Option<Box<str>> {
    match (result.errors.first(), result.signal) {
        _ if status == Status::Done => None,
        (Some(error), _) => Some(escape(error.as_bytes()).into()),
        (None, Some(signal)) => Some(format!("ended by signal {signal}").into()),
        (None, None) => None,
    }
}

/// Formats milliseconds since 1970 as RFC 3339.
pub(crate) fn time(milliseconds: i64) -> Option<String> {
    let time = Timestamp::from_millisecond(milliseconds).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}
