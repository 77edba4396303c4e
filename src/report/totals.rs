//! The totals of many accounts.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::record::{AccountRecord, Status, code, time};
use super::{AccountRow, AccountsReport, ByteRow, FindingRow, HostRow};
use crate::mailbox::Code;
use crate::mailbox::finding::Severity;
use crate::mailbox::text::{grouped, grouped_plural, is_or_are, rough_duration};

/// Accounts in the lists of the slowest and the largest.
const TOP: usize = 5;

/// The sizes of the sources of missing accounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BytesLeft {
    pub(crate) bytes: u64,
    /// Accounts with a source of unknown size.
    pub(crate) unknown: u64,
}

/// The newest result of each account, by user.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    pub(crate) records: Vec<AccountRecord>,
    not_listed: u64,
    is_redacted: bool,
}

impl Accounts {
    pub(crate) fn new(mut records: Vec<AccountRecord>) -> Accounts {
        records.sort_unstable_by(|a, b| a.user.cmp(&b.user).then_with(|| b.compare_age(a)));
        records.dedup_by(|later, first| later.user == first.user);
        Accounts { records, ..Accounts::default() }
    }

    /// Leaves out the results of users who are not in a list, and adds a record for each user without a result. Returns the
    /// positions of these in the list.
    pub(crate) fn compare_with_list<S: AsRef<str>>(&mut self, users: impl Iterator<Item = S>) -> Vec<usize> {
        let mut is_listed = vec![false; self.records.len()];
        let (mut missing, mut positions) = (Vec::new(), Vec::new());
        for (position, user) in users.enumerate() {
            let user = user.as_ref();
            match self.records.binary_search_by(|record| (*record.user).cmp(user)) {
                Ok(at) => is_listed[at] = true,
                Err(_) => {
                    missing.push(AccountRecord::missing(user));
                    positions.push(position);
                }
            }
        }
        let mut is_listed = is_listed.into_iter();
        let before = self.records.len();
        self.records.retain(|_| is_listed.next() == Some(true));
        self.not_listed += (before - self.records.len()) as u64;
        self.records.append(&mut missing);
        self.records.sort_unstable_by(|a, b| a.user.cmp(&b.user));
        positions
    }

    /// Replaces users and hosts by numbers, and leaves out the errors, which have names and paths.
    pub(crate) fn redact(&mut self) {
        self.is_redacted = true;
        let width = self.records.len().to_string().len();
        let mut hosts: BTreeMap<Arc<str>, Arc<str>> = BTreeMap::new();
        for record in self.records.iter().filter(|record| !record.host.is_empty()) {
            hosts.entry(Arc::clone(&record.host)).or_default();
        }
        (1..).zip(hosts.values_mut()).for_each(|(number, host)| *host = format!("host {number}").into());
        for (number, record) in (1..).zip(&mut self.records) {
            record.user = format!("account {number:0width$}").into();
            if let Some(host) = hosts.get(&record.host) {
                record.host = Arc::clone(host);
            }
            record.reason = None;
        }
    }

    /// Adds up. `left` is about the missing accounts, if there is a list.
    pub(crate) fn report(&self, left: Option<BytesLeft>) -> AccountsReport {
        let records = || self.records.iter();
        let with = |status| records().filter(|record| record.status == status).count() as u64;
        let sum = |number: fn(&AccountRecord) -> u64| records().map(number).fold(0, u64::saturating_add);
        let intervals = || records().filter_map(AccountRecord::interval);
        let bytes = ByteRow {
            source: sum(|record| record.bytes.source),
            messages: sum(|record| record.bytes.messages),
            from_lines: sum(|record| record.bytes.from_lines),
            quoting: sum(|record| record.bytes.quoting),
            separators: sum(|record| record.bytes.separators),
            junk: sum(|record| record.bytes.junk),
            not_reached: sum(|record| record.bytes.not_reached),
        };
        let seconds = busy_seconds(intervals().collect());
        let done = bytes.reached() as f64;
        let bytes_per_second = (done > 0.0 && seconds > 0.0).then(|| done / seconds);
        let failed_for_now = records().filter(|record| record.status == Status::Failed && record.retry);
        let not_done = records().filter(|record| record.status != Status::Done);
        let mut report = AccountsReport {
            accounts: self.records.len() as u64,
            done: with(Status::Done),
            flawed: with(Status::Flawed),
            failed: with(Status::Failed),
            failed_for_now: failed_for_now.count() as u64,
            interrupted: with(Status::Interrupted),
            missing: with(Status::Missing),
            unreadable: with(Status::Unreadable),
            not_listed: self.not_listed,
            messages_found: sum(|record| record.messages.found),
            in_place: sum(|record| record.messages.in_place),
            duplicates: sum(|record| record.messages.duplicates),
            skipped: sum(|record| record.messages.skipped),
            not_selected: sum(|record| record.messages.not_selected),
            bytes,
            warnings: sum(|record| record.warnings),
            errors: sum(|record| record.errors),
            start: intervals().map(|(start, _)| start).min().and_then(time),
            end: intervals().map(|(_, end)| end).max().and_then(time),
            seconds,
            account_seconds: sum(|record| record.took) as f64 / 1000.0,
            bytes_per_second,
            bytes_left: None,
            sizes_unknown: 0,
            seconds_left: None,
            hosts: self.hosts(),
            not_done: not_done.map(AccountRecord::row).collect(),
            slowest: self.top(|record| record.took),
            largest: self.top(AccountRecord::bytes),
            findings: self.findings(),
            exit: 0,
            verdict: String::new(),
            redacted: self.is_redacted,
        };
        report.exit = u8::from(report.done < report.accounts);
        if let Some(left) = left {
            report.bytes_left = Some(left.bytes);
            report.sizes_unknown = left.unknown;
            report.seconds_left = self.seconds_left(left, bytes_per_second);
        }
        report.verdict = verdict(&report);
        report
    }

    /// Estimates the time that the missing accounts will take.
    fn seconds_left(&self, left: BytesLeft, bytes_per_second: Option<f64>) -> Option<f64> {
        let rate = bytes_per_second?;
        let finished = self.records.iter().filter(|record| record.status <= Status::Flawed);
        let (count, bytes) = finished
            .fold((0_u64, 0_u64), |(count, bytes), record| (count + 1, bytes.saturating_add(record.bytes())));
        let bytes_left = match (left.unknown, count) {
            (0, _) => left.bytes as f64,
            (_, 0) => return None,
            (unknown, _) => left.bytes as f64 + unknown as f64 * (bytes as f64 / count as f64),
        };
        Some(bytes_left / rate)
    }

    /// Returns the accounts with the greatest values, of those that have one.
    fn top(&self, value: impl Fn(&AccountRecord) -> u64) -> Vec<AccountRow> {
        let mut top: Vec<&AccountRecord> = Vec::new();
        for record in self.records.iter().filter(|record| value(record) > 0) {
            // Of equal ones the first by name stays.
            let at = top.partition_point(|other| value(other) >= value(record));
            if at < TOP {
                top.truncate(TOP - 1);
                top.insert(at, record);
            }
        }
        top.into_iter().map(AccountRecord::row).collect()
    }

    fn hosts(&self) -> Vec<HostRow> {
        let mut hosts: BTreeMap<&str, Vec<&AccountRecord>> = BTreeMap::new();
        for record in self.records.iter().filter(|record| record.status < Status::Missing) {
            hosts.entry(&record.host).or_default().push(record);
        }
        let row = |(host, records): (&str, Vec<&AccountRecord>)| HostRow {
            host: host.to_owned(),
            accounts: records.len() as u64,
            bytes: records.iter().map(|record| record.bytes.reached()).fold(0, u64::saturating_add),
            seconds: busy_seconds(records.iter().filter_map(|record| record.interval()).collect()),
        };
        hosts.into_iter().map(row).collect()
    }

    fn findings(&self) -> Vec<FindingRow> {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for (name, count) in self.records.iter().flat_map(AccountRecord::findings) {
            let sum = counts.entry(name).or_default();
            *sum = sum.saturating_add(count);
        }
        let row = |(name, count): (&str, u64)| {
            let code = code(name);
            let severity = match code {
                // A conversion leaves junk out, which is an error there.
                Some(Code::MboxJunk) => Severity::Error,
                Some(code) => code.severity(),
                // One that this version does not have may be of any severity.
                None => Severity::Warning,
            };
            let row = FindingRow {
                code: name.to_owned(),
                severity: severity.name().to_owned(),
                count,
                remedy: code.and_then(|code| code.advice().hint()),
                examples: Vec::new(),
            };
            (severity, row)
        };
        let mut rows: Vec<(Severity, FindingRow)> = counts.into_iter().map(row).collect();
        rows.sort_by_key(|(severity, row)| (Reverse(*severity), Reverse(row.count)));
        rows.into_iter().map(|(_, row)| row).collect()
    }
}

/// Returns the seconds in which at least one of these intervals of milliseconds was open.
fn busy_seconds(mut intervals: Vec<(i64, i64)>) -> f64 {
    intervals.sort_unstable();
    let (mut busy, mut until) = (0, i64::MIN);
    for (start, end) in intervals {
        busy += end.max(until) - start.max(until);
        until = until.max(end);
    }
    busy as f64 / 1000.0
}

fn verdict(report: &AccountsReport) -> String {
    let AccountsReport { accounts, done, .. } = *report;
    let mut verdict = match accounts == done && accounts > 1 {
        true => format!("all {} {} done", grouped_plural(accounts, "account"), is_or_are(accounts, accounts)),
        false => format!(
            "{} of {} {} done",
            grouped(done),
            grouped_plural(accounts, "account"),
            is_or_are(done, accounts)
        ),
    };
    let are = |count| is_or_are(count, count);
    let was = |count| if count == 1 { "was" } else { "were" };
    let has = |count| if count == 1 { "has a result" } else { "have results" };
    let others = [
        (report.flawed, format!("{} flawed", are(report.flawed))),
        (report.failed, "failed".to_owned()),
        (report.interrupted, format!("{} interrupted", was(report.interrupted))),
        (report.missing, format!("{} missing", are(report.missing))),
        (report.unreadable, format!("{} that cannot be read", has(report.unreadable))),
    ];
    let others: Vec<String> = others
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", grouped(count)))
        .collect();
    if !others.is_empty() {
        verdict = format!("{verdict}; {}", others.join(", "));
    }
    if let Some(seconds) = report.seconds_left.filter(|_| report.missing > 0) {
        let left = rough_duration(seconds);
        let verb = if left.ends_with(" second") { "is" } else { "are" };
        verdict = format!("{verdict}; {left} {verb} left");
    }
    if let Some(first) = verdict.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    verdict + "."
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::report::results::parse;

    /// Returns a result in JSON, for a run that ended in this second of 2026-11-30.
    fn result(user: &str, outcome: &str, end: u32, messages: u64) -> Value {
        let exit = ["done", "flawed", "", "failed", "interrupted"].iter().position(|name| *name == outcome);
        json!({
            "type": "account", "user": user, "sources": ["/m"], "destination": "/d", "owner": null,
            "outcome": outcome, "exit": exit, "signal": null, "retry": false, "host": "here", "version": "0",
            "start": "2026-11-30T00:00:00Z", "end": format!("2026-11-30T00:{:02}:{:02}Z", end / 60, end % 60),
            "seconds": end, "command_hash": "", "fingerprint": null, "manifest": null,
            "findings": {"mbox-junk": messages, "of-the-future": 1}, "errors": ["no luck"],
            "summary": {
                "messages_found": messages + 1, "written": messages, "skipped": 1, "warnings": 2, "errors": 3,
                "bytes_source": 10 * messages, "bytes_messages": 9 * messages, "bytes_junk": messages,
            },
        })
    }

    fn record(result: &Value) -> AccountRecord {
        parse(result.to_string().as_bytes()).unwrap()
    }

    proptest! {
        #[test]
        fn totals_are_those_of_the_newest_result_of_each_user(
            results in prop::collection::vec((0..6_u8, 0..4_usize, 0..3000_u32, 0..1000_u64), 0..40),
        ) {
            const OUTCOMES: [&str; 4] = ["done", "flawed", "failed", "interrupted"];
            let mut newest: BTreeMap<u8, (u32, usize, u64)> = BTreeMap::new();
            let mut records = Vec::new();
            for (n, (user, outcome, end, messages)) in results.iter().enumerate() {
                // No two results end at the same time.
                let end = end / 40 * 40 + n as u32;
                records.push(record(&result(&user.to_string(), OUTCOMES[*outcome], end, *messages)));
                let kept = newest.entry(*user).or_default();
                *kept = (*kept).max((end, *outcome, *messages));
            }
            let report = Accounts::new(records.clone()).report(None);
            let with = |outcome: usize| newest.values().filter(|kept| kept.1 == outcome).count() as u64;
            prop_assert_eq!(report.accounts, newest.len() as u64);
            prop_assert_eq!(
                [report.done, report.flawed, report.failed, report.interrupted],
                [with(0), with(1), with(2), with(3)]
            );
            let messages: u64 = newest.values().map(|kept| kept.2).sum();
            prop_assert_eq!(report.in_place, messages);
            prop_assert_eq!(report.messages_found, messages + report.accounts);
            prop_assert_eq!(report.messages_found, report.in_place + report.skipped);
            prop_assert_eq!(report.bytes.source, report.bytes.messages + report.bytes.junk);
            prop_assert_eq!(report.errors, 3 * report.accounts);
            prop_assert_eq!(report.not_done.len() as u64, report.accounts - report.done);
            prop_assert_eq!(report.hosts.iter().map(|host| host.accounts).sum::<u64>(), report.accounts);
            prop_assert_eq!(report.hosts.iter().map(|host| host.bytes).sum::<u64>(), report.bytes.reached());
            prop_assert_eq!(report.exit == 0, report.done == report.accounts);
            records.reverse();
            prop_assert_eq!(Accounts::new(records).report(None), report);
        }

        /// Equal times, too.
        #[test]
        fn the_order_of_the_files_does_not_matter(
            results in prop::collection::vec((0..3_u8, 0..3_u32, 0..3_u64), 0..12),
            seed: u64,
        ) {
            let results = results.iter().map(|(user, end, n)| record(&result(&user.to_string(), "done", *end, *n)));
            let mut records: Vec<AccountRecord> = results.collect();
            records.push(AccountRecord::unreadable("1", "is empty"));
            let report = Accounts::new(records.clone()).report(None);
            records.sort_by_key(|record| blake3::hash(format!("{seed}{record:?}").as_bytes()).to_hex());
            prop_assert_eq!(Accounts::new(records).report(None), report);
        }

        #[test]
        fn any_bytes_are_a_result_or_an_error(bytes: Vec<u8>, at in 0..800_usize, change in prop::option::of(any::<u8>())) {
            let _ = parse(&bytes);
            let mut whole = result("joe", "failed", 7, u64::MAX / 10 - 1).to_string().into_bytes();
            match (change, whole.get_mut(at)) {
                (Some(change), Some(byte)) => *byte = change,
                _ => {
                    let is_whole = at >= whole.len();
                    whole.truncate(at);
                    prop_assert_eq!(parse(&whole).is_ok(), is_whole);
                }
            }
            let records: Vec<AccountRecord> = parse(&whole).into_iter().cycle().take(3).collect();
            Accounts::new(records).report(Some(BytesLeft { bytes: u64::MAX, unknown: u64::MAX }));
        }
    }

    #[test]
    fn a_result_that_cannot_be_read_makes_its_account_not_done() {
        let records = vec![
            record(&result("joe", "done", 5, 7)),
            AccountRecord::unreadable("joe", "joe.json: is empty"),
            record(&result("ann", "done", 5, 7)),
        ];
        let report = Accounts::new(records).report(None);
        assert_eq!((report.accounts, report.done, report.unreadable, report.exit), (2, 1, 1, 1));
        assert_eq!(report.not_done[0].reason.as_deref(), Some("joe.json: is empty"));
    }

    #[test]
    fn a_list_names_missing_accounts_and_leaves_out_others() {
        let users = ["ann", "joe", "zoe"].map(|user| record(&result(user, "done", 9, 100)));
        let mut accounts = Accounts::new(users.to_vec());
        let missing = accounts.compare_with_list(["eve", "ann", "bob", "zoe"].iter());
        assert_eq!(missing, [0, 2]);
        let report = accounts.report(Some(BytesLeft { bytes: 1000, unknown: 1 }));
        assert_eq!((report.accounts, report.done, report.missing, report.not_listed), (4, 2, 2, 1));
        let names: Vec<&str> = report.not_done.iter().map(|row| &*row.user).collect();
        assert_eq!(names, ["bob", "eve"]);
        // 2,000 bytes in 9 s; 1,000 bytes are left, and an account that counts as an average one.
        assert_eq!(report.seconds_left, Some(9.0));
        assert_eq!(report.verdict, "2 of 4 accounts are done; 2 are missing; about 9 s are left.");
    }

    #[test]
    fn the_verdict_is_a_sentence() {
        let report = |rows: &[(&str, u8)]| {
            let results = rows.iter().flat_map(|(outcome, count)| (0..*count).map(move |n| (outcome, n)));
            let records =
                results.map(|(outcome, n)| record(&result(&format!("{outcome}{n}"), outcome, 1, 1)));
            Accounts::new(records.collect()).report(None).verdict
        };
        assert_eq!(report(&[("done", 3)]), "All 3 accounts are done.");
        assert_eq!(report(&[("done", 1)]), "1 of 1 account is done.");
        assert_eq!(report(&[("done", 1), ("failed", 1)]), "1 of 2 accounts is done; 1 failed.");
        assert_eq!(
            report(&[("flawed", 1), ("failed", 2), ("interrupted", 2)]),
            "0 of 5 accounts are done; 1 is flawed, 2 failed, 2 were interrupted."
        );
        let unreadable = Accounts::new(vec![AccountRecord::unreadable("joe", "is empty")]);
        assert_eq!(
            unreadable.report(None).verdict,
            "0 of 1 account is done; 1 has a result that cannot be read."
        );
    }

    #[test]
    fn an_idle_day_does_not_count_as_work() {
        assert!((busy_seconds(vec![(5000, 7000), (0, 2000), (1000, 3000), (1500, 1600)]) - 5.0).abs() < 1e-9);
        assert!(busy_seconds(Vec::new()).abs() < 1e-9);
    }

    #[test]
    fn a_redacted_report_has_no_names() {
        let mut accounts = Accounts::new(vec![record(&result("joe", "failed", 5, 7))]);
        accounts.redact();
        let report = format!("{:?}", accounts.report(None));
        assert!(
            !report.contains("joe") && !report.contains("no luck") && !report.contains("here"),
            "{report}"
        );
    }
}
