//! Reports to keep and to show: of one run, and of the results of many accounts.
//!
//! The library fills in what it knows, and `cli/` adds the time, the host and the command line.

#[cfg(feature = "cli")]
mod page;
pub(crate) mod record;
mod redact;
pub(crate) mod results;
#[cfg(test)]
mod samples;
pub(crate) mod sizes;
pub(crate) mod totals;

pub(crate) mod findings;

use serde::Serialize;

#[cfg(feature = "cli")]
pub(crate) use page::{accounts_page, run_page};

/// A run of convert or verify.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct RunReport {
    /// `convert` or `verify`.
    pub(crate) command: String,
    pub(crate) version: String,
    pub(crate) host: String,
    /// The words of the command, escaped where they are not UTF-8.
    pub(crate) command_line: Vec<String>,
    /// RFC 3339, in UTC.
    pub(crate) start: String,
    pub(crate) end: String,
    pub(crate) seconds: f64,
    pub(crate) exit: u8,
    /// A sentence.
    pub(crate) verdict: String,
    pub(crate) destination: Option<String>,
    pub(crate) sources: Vec<SourceRow>,
    /// The bytes of all sources by kind. They add up to the sizes.
    pub(crate) bytes: ByteRow,
    pub(crate) folders: Vec<FolderRow>,
    /// By year of receipt in UTC, in order.
    pub(crate) years: Vec<YearRow>,
    /// Where the received dates come from, most frequent first.
    pub(crate) date_origins: Vec<CountRow>,
    /// Candidates for separators by the row of the table that decided, in the order of the table.
    pub(crate) boundaries: Vec<BoundaryRow>,
    /// Candidates that a person may want to look at.
    pub(crate) doubtful: Vec<DoubtfulLine>,
    pub(crate) doubtful_left_out: u64,
    /// Errors first, then warnings and infos.
    pub(crate) findings: Vec<FindingRow>,
    /// Messages by size, smallest first.
    pub(crate) sizes: Vec<SizeRow>,
    /// The largest messages, largest first.
    pub(crate) largest: Vec<LargeMessage>,
    pub(crate) manifests: Vec<ManifestRow>,
    /// The command that proves the conversion later.
    pub(crate) proof: Option<String>,
    /// Names, addresses, subjects and lines of mail are left out: see `redact`.
    pub(crate) redacted: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct SourceRow {
    pub(crate) path: String,
    /// Such as `mboxrd`, `Maildir`.
    pub(crate) format: String,
    /// Bytes, uncompressed.
    pub(crate) bytes: u64,
    pub(crate) messages: u64,
    /// BLAKE3 in hexadecimal, where it is known.
    pub(crate) blake3: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct ByteRow {
    pub(crate) source: u64,
    pub(crate) messages: u64,
    pub(crate) from_lines: u64,
    pub(crate) quoting: u64,
    pub(crate) separators: u64,
    pub(crate) junk: u64,
    pub(crate) not_reached: u64,
}

impl ByteRow {
    /// Returns the bytes that were converted.
    pub(crate) fn reached(&self) -> u64 {
        self.source.saturating_sub(self.not_reached)
    }
}

/// The messages of a folder. `found` is the sum of the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct FolderRow {
    pub(crate) folder: String,
    pub(crate) found: u64,
    pub(crate) written: u64,
    pub(crate) already_present: u64,
    pub(crate) duplicates: u64,
    pub(crate) skipped: u64,
    pub(crate) not_selected: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct YearRow {
    /// None for messages without a date.
    pub(crate) year: Option<i16>,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct CountRow {
    pub(crate) name: String,
    pub(crate) messages: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct BoundaryRow {
    /// The row of the table in mailferry-mbox(5), and what it says; 0 for what no row decided.
    pub(crate) row: u8,
    pub(crate) rule: String,
    /// Lines that it took for separators, and others.
    pub(crate) separators: u64,
    pub(crate) not_separators: u64,
}

/// A line that begins with "From ", with what is around it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct DoubtfulLine {
    pub(crate) path: String,
    /// Bytes from 0.
    pub(crate) offset: u64,
    pub(crate) row: u8,
    pub(crate) is_separator: bool,
    /// Lines above, the line, and lines below; lossy UTF-8.
    pub(crate) before: Vec<String>,
    pub(crate) line: String,
    pub(crate) after: Vec<String>,
}

/// The findings with one code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct FindingRow {
    pub(crate) code: String,
    /// `error`, `warning` or `info`.
    pub(crate) severity: String,
    pub(crate) count: u64,
    pub(crate) remedy: Option<String>,
    /// The first of them; a page shows no more.
    pub(crate) examples: Vec<FindingExample>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct FindingExample {
    pub(crate) path: Option<String>,
    pub(crate) offset: Option<u64>,
    pub(crate) line: Option<u64>,
    pub(crate) message: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct SizeRow {
    /// Messages of fewer bytes than this, and not in the row before.
    pub(crate) below: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct LargeMessage {
    /// The source, and the byte in it where the message begins (none in a Maildir).
    pub(crate) path: String,
    pub(crate) offset: Option<u64>,
    pub(crate) bytes: u64,
    /// Seconds since 1970.
    pub(crate) received: Option<i64>,
    pub(crate) from: String,
    pub(crate) subject: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ManifestRow {
    pub(crate) path: String,
    /// BLAKE3 in hexadecimal.
    pub(crate) blake3: String,
}

/// The results of many accounts.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct AccountsReport {
    pub(crate) accounts: u64,
    pub(crate) done: u64,
    /// Finished, but mail was skipped or damaged.
    pub(crate) flawed: u64,
    pub(crate) failed: u64,
    /// Failed accounts for which the same command can succeed later; they are also in `failed`.
    pub(crate) failed_for_now: u64,
    pub(crate) interrupted: u64,
    /// In the list, without a result.
    pub(crate) missing: u64,
    /// Result files that cannot be read.
    pub(crate) unreadable: u64,
    /// Results of accounts that are not in the list. They count nowhere else.
    pub(crate) not_listed: u64,
    /// Of all accounts with a summary.
    pub(crate) messages_found: u64,
    /// Found by the last run, as already there or written now.
    pub(crate) in_place: u64,
    pub(crate) duplicates: u64,
    pub(crate) skipped: u64,
    pub(crate) not_selected: u64,
    pub(crate) bytes: ByteRow,
    pub(crate) warnings: u64,
    pub(crate) errors: u64,
    /// RFC 3339: of the first account that started, and of the last that ended.
    pub(crate) start: Option<String>,
    pub(crate) end: Option<String>,
    /// Seconds in which at least one account was in progress: a day between two runs does not count.
    pub(crate) seconds: f64,
    /// The sum over all accounts.
    pub(crate) account_seconds: f64,
    /// Source bytes per second of `seconds`.
    pub(crate) bytes_per_second: Option<f64>,
    /// Bytes of the sources of missing accounts, as far as they are known.
    pub(crate) bytes_left: Option<u64>,
    /// Missing accounts with a source of unknown size.
    pub(crate) sizes_unknown: u64,
    /// Seconds that the missing accounts will take. One of unknown size is taken for an average one.
    pub(crate) seconds_left: Option<f64>,
    pub(crate) hosts: Vec<HostRow>,
    /// Accounts that are not done, missing ones included, by name.
    pub(crate) not_done: Vec<AccountRow>,
    pub(crate) slowest: Vec<AccountRow>,
    pub(crate) largest: Vec<AccountRow>,
    /// Findings by code, errors first. They have no examples.
    pub(crate) findings: Vec<FindingRow>,
    pub(crate) exit: u8,
    /// A sentence.
    pub(crate) verdict: String,
    /// Names of users and hosts, and reasons, are left out.
    pub(crate) redacted: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct HostRow {
    pub(crate) host: String,
    pub(crate) accounts: u64,
    pub(crate) bytes: u64,
    /// Seconds in which it had at least one account in progress.
    pub(crate) seconds: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct AccountRow {
    pub(crate) user: String,
    /// `done`, `flawed`, `failed`, `interrupted`, `missing` or `unreadable`.
    pub(crate) outcome: String,
    pub(crate) exit: Option<u8>,
    /// The same command can succeed later.
    pub(crate) retry: bool,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    /// The first error.
    pub(crate) reason: Option<String>,
}
