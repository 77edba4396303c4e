//! The sums over the accounts of a run.

use serde_json::{Map, Value};

use crate::accounts::result::{AccountResult, Outcome};
use crate::mailbox::text::{duration, grouped, grouped_plural};

/// The keys of a conversion's summary that are added up.
const SUMS: [&str; 17] = [
    "sources",
    "messages_found",
    "written",
    "already_present",
    "duplicates",
    "skipped",
    "not_selected",
    "bytes_source",
    "bytes_messages",
    "bytes_from_lines",
    "bytes_quoting",
    "bytes_separators",
    "bytes_junk",
    "bytes_not_reached",
    "uids_kept",
    "uids_changed",
    "bytes_needed",
];

/// What became of the accounts of a run.
#[derive(Debug, Default)]
pub(super) struct AccountTotals {
    accounts: u64,
    done: u64,
    /// Done by an earlier run.
    unchanged: u64,
    flawed: u64,
    failed: u64,
    interrupted: u64,
    sums: [u64; SUMS.len()],
}

impl AccountTotals {
    pub(super) fn new(accounts: u64) -> AccountTotals {
        AccountTotals { accounts, ..AccountTotals::default() }
    }

    pub(super) fn add_unchanged(&mut self) {
        self.unchanged += 1;
    }

    /// Adds an account that an earlier run has finished with errors, and that has not changed.
    pub(super) fn add_still_flawed(&mut self) {
        self.flawed += 1;
    }

    pub(super) fn add(&mut self, result: &AccountResult) {
        match result.outcome {
            Outcome::Done => self.done += 1,
            Outcome::Flawed => self.flawed += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Interrupted => self.interrupted += 1,
        }
        let Some(summary) = &result.summary else { return };
        for (key, sum) in SUMS.iter().zip(&mut self.sums) {
            *sum += summary.get(*key).and_then(Value::as_u64).unwrap_or(0);
        }
    }

    /// Returns the number of accounts that are not done.
    pub(super) fn not_done(&self) -> u64 {
        self.accounts - self.done - self.unchanged
    }

    fn not_started(&self) -> u64 {
        self.not_done() - self.flawed - self.failed - self.interrupted
    }

    fn sum(&self, key: &str) -> u64 {
        SUMS.iter().position(|one| *one == key).map_or(0, |n| self.sums[n])
    }

    /// Returns the sentences of the summary.
    pub(super) fn lines(&self, seconds: f64, dry_run: bool) -> Vec<String> {
        let done = if dry_run { "would be done" } else { "done" };
        let mut line = format!("{}: {} {done}", grouped_plural(self.accounts, "account"), grouped(self.done));
        let not_started = self.not_started();
        for (count, what) in [
            (self.unchanged, "done before"),
            (self.flawed, "finished with errors"),
            (self.failed, "failed"),
            (self.interrupted, "interrupted"),
            (not_started, "not started"),
        ] {
            if count > 0 {
                line.push_str(&format!(", {} {what}", grouped(count)));
            }
        }
        let verb = if dry_run { "would be written" } else { "written" };
        let messages = format!(
            "{} found, {} {verb}, {} already there, in {}.",
            grouped_plural(self.sum("messages_found"), "message"),
            grouped(self.sum("written")),
            grouped(self.sum("already_present")),
            duration(seconds),
        );
        let has_run = self.not_done() + self.done > not_started;
        [Some(line + "."), has_run.then_some(messages)].into_iter().flatten().collect()
    }

    /// Returns the keys of the summary in JSON.
    pub(super) fn json(&self) -> Map<String, Value> {
        let counts = [
            ("accounts", self.accounts),
            ("done", self.done),
            ("unchanged", self.unchanged),
            ("flawed", self.flawed),
            ("failed", self.failed),
            ("interrupted", self.interrupted),
            ("not_started", self.not_started()),
        ];
        let sums = SUMS.iter().copied().zip(self.sums);
        counts.into_iter().chain(sums).map(|(key, count)| (key.to_owned(), count.into())).collect()
    }
}
