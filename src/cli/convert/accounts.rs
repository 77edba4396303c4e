//! `convert --accounts`: a list of accounts, each converted by a process of its own.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Command;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::account_totals::AccountTotals;
use super::args::ConvertArgs;
use super::report::usage;
use crate::accounts::conversion::{Conversion, Processes, Report};
use crate::accounts::list::{AccountList, ListedAccount};
use crate::accounts::result::{AccountResult, ManifestHash, Outcome};
use crate::accounts::results::{Claim, ResultDir};
use crate::accounts::shard::Shard;
use crate::accounts::template::{Account, Templates};
use crate::cli::args::When;
use crate::cli::ui::{Exit, Reporter, print_error, report_waits};
use crate::cli::{account_list, signals};
use crate::mailbox::fs::identity::{By, account};
use crate::mailbox::fs::{ignore_poison, system};
use crate::mailbox::text::{grouped_plural, shell_quote};
use crate::mailbox::{Cancel, Error, Result, escape};

/// How often a request to stop is looked for.
const CANCEL_INTERVAL: Duration = Duration::from_millis(50);

/// Options by which a done account does not become another one, such as those of the passes before a move.
const TEMPORARY: [&str; 5] = ["live", "lock", "lock_timeout", "spool_dir", "spool_limit"];

/// Converts the accounts of a list.
pub(super) fn run(args: &ConvertArgs) -> Exit {
    let mut reporter = Reporter::new(&args.common);
    match Run::prepare(args) {
        Ok(run) => run.all(reporter),
        Err(error @ Error::Usage { .. }) => usage(&error),
        Err(error) => {
            reporter.error(&error);
            let exit = Exit::of(&error);
            reporter.summary("convert", exit, json!({ "accounts": 0 }));
            reporter.finish(exit)
        }
    }
}

struct Run<'a> {
    args: &'a ConvertArgs,
    list: AccountList,
    templates: Templates,
    shard: Shard,
    results: Option<ResultDir>,
    cancel: Cancel,
    processes: Processes,
    /// The words of all conversions: options of this command.
    options: Vec<OsString>,
    /// Those that decide what is written.
    lasting_options: Vec<OsString>,
    jobs: usize,
    failed: AtomicU64,
    /// No more accounts are started.
    is_full: AtomicBool,
}

/// What became of an account in this run.
enum Ended {
    /// Another run is converting it.
    Claimed(ListedAccount),
    /// An earlier run has finished it, and nothing has changed since.
    Unchanged(AccountResult),
    Result(AccountResult),
}

impl<'a> Run<'a> {
    fn prepare(args: &'a ConvertArgs) -> Result<Run<'a>> {
        let Some(file) = &args.accounts.accounts else { unreachable!("the caller looked") };
        let templates = Templates::new(args.mailboxes.clone())?;
        let check = |account: &ListedAccount| templates.check(account);
        let list = AccountList::new(account_list::read(file)?, &shell_quote(file), check)?;
        let is_root = rustix::process::geteuid().is_root();
        let results = args.accounts.results.as_ref().filter(|_| !args.dry_run);
        let results = results.map(|path| ResultDir::open(path, is_root)).transpose()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = args.common.jobs.map_or(cores, usize::from);
        let threads = (cores / jobs).max(1);
        let of_run = ["json", "quiet", "verbose", "color", "progress", "jobs", "owner"];
        let of_accounts = ["mailboxes", "accounts", "shard", "results", "max_failures"];
        let command = <ConvertArgs as clap::Args>::augment_args(Command::new("convert"));
        let is_taken = |id: &str| !of_run.contains(&id) && !of_accounts.contains(&id);
        let mut options: Vec<OsString> = vec!["convert".into(), "--json".into()];
        options.extend(["--progress=never".into(), format!("--jobs={threads}").into()]);
        options.extend(args.given.words(&command, is_taken));
        let is_lasting = |id: &str| is_taken(id) && !TEMPORARY.contains(&id);
        let lasting_options = args.given.words(&command, is_lasting);
        Ok(Run {
            args,
            list,
            templates,
            shard: args.accounts.shard.unwrap_or_else(Shard::all),
            results,
            cancel: report_waits(signals::cancel_on_signals(), &args.common),
            processes: Processes::default(),
            options,
            lasting_options,
            jobs,
            failed: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
        })
    }

    fn all(&self, mut reporter: Reporter) -> Exit {
        let mine = || self.list.accounts().filter(|account| self.shard.has(&account.user));
        let count = if self.shard == Shard::all() { self.list.len } else { mine().count() };
        let bar = self.bar(count as u64);
        let totals = Mutex::new((&mut reporter, AccountTotals::new(count as u64)));
        let is_over = AtomicBool::new(false);
        let claimed = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    if self.cancel.is_requested() {
                        return self.processes.interrupt();
                    }
                    std::thread::park_timeout(CANCEL_INTERVAL);
                }
            });
            let claimed = self.pass(mine(), Duration::ZERO, &totals, &bar);
            // Another run may be killed or fail before it is done with these.
            let claimed = claimed.and_then(|claimed| {
                self.report_claimed(claimed.len() as u64);
                self.pass(claimed.into_iter(), Duration::MAX, &totals, &bar)
            });
            is_over.store(true, Ordering::Relaxed);
            claimed
        });
        bar.finish_and_clear();
        let (_, totals) = totals.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let flushed = self.results.as_ref().map_or(Ok(()), ResultDir::flush);
        let exit = match claimed.map(drop).and(flushed) {
            Err(error) => {
                reporter.error(&error);
                Exit::of(&error)
            }
            Ok(()) if self.cancel.is_requested() => {
                reporter.error(&Error::Interrupted);
                Exit::Interrupted
            }
            Ok(()) if self.is_full.load(Ordering::Relaxed) => {
                reporter.errors += 1;
                let limit = self.args.accounts.max_failures.unwrap_or_default();
                let failed = grouped_plural(limit, "account");
                print_error(
                    &format!("more than {failed} failed, so no more were started"),
                    Some("see why, and run the same command again"),
                );
                Exit::CouldNotFinish
            }
            Ok(()) => Exit::finished(totals.not_done(), 0, false),
        };
        for line in totals.lines(reporter.seconds(), self.args.dry_run) {
            reporter.sentence(&line);
        }
        if let Some(next) = self.next_line(&totals) {
            reporter.line(&next);
        }
        let mut keys = totals.json();
        keys.insert("dry_run".to_owned(), self.args.dry_run.into());
        reporter.summary("convert", exit, keys.into());
        reporter.finish(exit)
    }

    /// Converts accounts, several at once. Returns those that other runs are converting.
    ///
    /// # Errors
    /// One that holds for all accounts: the results cannot be written.
    fn pass(
        &self,
        accounts: impl Iterator<Item = ListedAccount> + Send,
        wait: Duration,
        totals: &Mutex<(&mut Reporter, AccountTotals)>,
        bar: &ProgressBar,
    ) -> Result<Vec<ListedAccount>> {
        let accounts = Mutex::new(accounts);
        let (claimed, failed) = (Mutex::new(Vec::new()), Mutex::new(None));
        let next = || {
            let stops = self.cancel.is_requested() || self.is_full.load(Ordering::Relaxed);
            let account = ignore_poison(accounts.lock()).next()?;
            (!stops && ignore_poison(failed.lock()).is_none()).then_some(account)
        };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| {
                    while let Some(account) = next() {
                        match self.convert(account, wait) {
                            Ok(Ended::Claimed(account)) => ignore_poison(claimed.lock()).push(account),
                            Ok(ended) => {
                                self.report(&ended, totals);
                                bar.inc(1);
                            }
                            Err(Error::Interrupted) => {}
                            Err(error) => *ignore_poison(failed.lock()) = Some(error),
                        }
                    }
                });
            }
        });
        let into_inner = |e: std::sync::PoisonError<_>| e.into_inner();
        match failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(claimed.into_inner().unwrap_or_else(into_inner)),
        }
    }

    /// Converts one account, unless it is done, unchanged, or another run's.
    fn convert(&self, listed: ListedAccount, wait: Duration) -> Result<Ended> {
        let claim = match &self.results {
            None => None,
            Some(results) => match results.claim(&listed.user, wait, &self.cancel) {
                Ok(claim) => Some(claim),
                Err(Error::Locked { .. }) => return Ok(Ended::Claimed(listed)),
                // Another file has the name of its result.
                Err(error @ Error::Destination { .. }) => {
                    let mut result = self.new_result(&listed.user);
                    result.errors.push(error.to_string());
                    return self.end(result, None);
                }
                Err(error) => return Err(error),
            },
        };
        let mut result = self.new_result(&listed.user);
        let started = Instant::now();
        let account = match self.templates.fill(listed, home_of) {
            Ok(account) => account,
            Err(why) => {
                result.errors.push(why);
                return self.end(result, claim);
            }
        };
        self.describe(&account, &mut result);
        let earlier = claim.as_ref().and_then(Claim::earlier);
        let is_same = |earlier: &AccountResult| {
            let is_finished = matches!(earlier.outcome, Outcome::Done | Outcome::Flawed);
            is_finished && earlier.user == result.user && earlier.command_hash == result.command_hash
        };
        let earlier = earlier.filter(is_same);
        let fingerprint = earlier.as_ref().and_then(|earlier| earlier.fingerprint.clone());
        let words = self.words(&account, fingerprint);
        let handle = claim.as_ref().map(Claim::handle).transpose();
        let run = handle.and_then(|claim| {
            let program = system::running_program()?;
            self.processes.run(Conversion { program: &program, words: &words, claim })
        });
        let report = match run {
            Ok(report) => report,
            // A line of the list may be too long, or the system may have no room for a process.
            Err(e) => {
                result.retry = e.kind() != io::ErrorKind::ArgumentListTooLong;
                result.errors.push(format!("cannot start a process for it: {e}"));
                return self.end(result, claim);
            }
        };
        let is_unchanged = report.summary.as_ref().is_some_and(|summary| summary.contains_key("unchanged"));
        match earlier.filter(|_| is_unchanged) {
            Some(earlier) => Ok(Ended::Unchanged(earlier)),
            None => {
                complete(&mut result, report);
                result.seconds = (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
                self.end(result, claim)
            }
        }
    }

    fn end(&self, mut result: AccountResult, claim: Option<Claim>) -> Result<Ended> {
        result.end = timestamp();
        if let Some(claim) = claim {
            claim.publish(&result)?;
        }
        if result.outcome == Outcome::Failed {
            let failed = self.failed.fetch_add(1, Ordering::Relaxed) + 1;
            if self.args.accounts.max_failures.is_some_and(|limit| failed > limit) {
                self.is_full.store(true, Ordering::Relaxed);
            }
        }
        Ok(Ended::Result(result))
    }

    /// Returns a result that says that nothing was done.
    fn new_result(&self, user: &OsStr) -> AccountResult {
        AccountResult {
            kind: "account".to_owned(),
            user: escape(user.as_bytes()),
            sources: Vec::new(),
            destination: String::new(),
            owner: None,
            outcome: Outcome::Failed,
            exit: None,
            signal: None,
            retry: false,
            host: rustix::system::uname().nodename().to_string_lossy().into(),
            version: env!("MAILFERRY_VERSION").to_owned(),
            start: timestamp(),
            end: String::new(),
            seconds: 0.0,
            command_hash: String::new(),
            fingerprint: None,
            manifest: None,
            findings: Default::default(),
            errors: Vec::new(),
            summary: None,
        }
    }

    fn describe(&self, account: &Account, result: &mut AccountResult) {
        let text = |text: &OsString| escape(text.as_bytes());
        result.sources = account.sources.iter().map(text).collect();
        result.destination = text(&account.destination);
        result.owner = account.owner.as_ref().map(text);
        let mut hasher = blake3::Hasher::new();
        for word in self.lasting_options.iter().chain(self.account_words(account).iter()) {
            hasher.update(word.as_bytes());
            hasher.update(&[0]);
        }
        result.command_hash = hasher.finalize().to_hex().to_string();
    }

    fn words(&self, account: &Account, fingerprint: Option<String>) -> Vec<OsString> {
        let mut words = self.options.clone();
        if self.results.is_some() {
            words.push(format!("--fingerprint={}", fingerprint.as_deref().unwrap_or("-")).into());
        }
        words.extend(self.account_words(account));
        words
    }

    /// Returns the words of an account's own.
    fn account_words(&self, account: &Account) -> Vec<OsString> {
        let owner = |owner: &OsStr| {
            let mut word = OsString::from("--owner=");
            word.push(owner);
            word
        };
        let owner = match &account.owner {
            Some(named) => Some(owner(named)),
            None => self.args.owner.map(|of_all| owner(of_all.to_string().as_ref())),
        };
        let mailboxes = account.sources.iter().chain([&account.destination]);
        owner.into_iter().chain([OsString::from("--")]).chain(mailboxes.cloned()).collect()
    }

    /// Says what the run is waiting for.
    fn report_claimed(&self, accounts: u64) {
        if accounts > 0 && !self.args.common.quiet {
            let accounts = grouped_plural(accounts, "account");
            print_error(&format!("{accounts} left, which other runs are converting; waiting for them"), None);
        }
    }

    fn report(&self, ended: &Ended, totals: &Mutex<(&mut Reporter, AccountTotals)>) {
        let mut totals = ignore_poison(totals.lock());
        let (reporter, totals) = &mut *totals;
        let result = match ended {
            Ended::Unchanged(result) if result.outcome == Outcome::Done => {
                totals.add_unchanged();
                return reporter.detail(&format!("{}: done before, and unchanged", result.user));
            }
            Ended::Unchanged(result) => {
                totals.add_still_flawed();
                result
            }
            Ended::Result(result) => {
                totals.add(result);
                result
            }
            Ended::Claimed(_) => return,
        };
        reporter.object(result);
        let of_account = |key: &str| result.summary.as_ref().and_then(|summary| summary.get(key)?.as_u64());
        reporter.warnings += of_account("warnings").unwrap_or(0);
        reporter.errors += of_account("errors").unwrap_or(0);
        match result.outcome {
            Outcome::Done => reporter.detail(&format!("{}: done", result.user)),
            _ => {
                // A process that reported none failed all the same.
                reporter.errors += u64::from(of_account("errors").unwrap_or(0) == 0);
                let first = result.errors.first().filter(|_| result.outcome != Outcome::Interrupted);
                let why = first.map_or_else(|| how(result), |first| format!("{}: {first}", how(result)));
                print_error(&format!("{}: {why}", result.user), None);
            }
        }
    }

    fn bar(&self, accounts: u64) -> ProgressBar {
        let common = &self.args.common;
        let is_shown = match common.progress {
            When::Never => false,
            When::Auto => !common.quiet,
            When::Always => true,
        };
        let target = if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(accounts), target);
        // A test runs the template. If it does not parse, the default style is good enough.
        match ProgressStyle::with_template(TEMPLATE) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }

    fn next_line(&self, totals: &AccountTotals) -> Option<String> {
        if self.args.dry_run {
            return None;
        }
        let results = self.args.accounts.results.as_ref();
        let report = results.map(|results| format!("mailferry report {}", shell_quote(results)));
        match (totals.not_done(), report) {
            (0, Some(report)) => Some(format!("All results: {report}")),
            (0, None) => None,
            (_, Some(report)) => {
                Some(format!("See why: {report}; the same command again tries these accounts only."))
            }
            (_, None) => Some("The same command again writes only what is missing.".to_owned()),
        }
    }
}

const TEMPLATE: &str = "{bar:20} {human_pos} of {human_len} accounts, {eta} left";

/// Copies what the conversion reported.
fn complete(result: &mut AccountResult, report: Report) {
    let Report { exit, signal, findings, errors, retry, mut summary } = report;
    result.outcome = match exit {
        Some(0) => Outcome::Done,
        Some(1) => Outcome::Flawed,
        Some(4) => Outcome::Interrupted,
        _ => Outcome::Failed,
    };
    (result.exit, result.signal, result.findings, result.errors) = (exit, signal, findings, errors);
    result.retry = retry || signal.is_some() || result.outcome == Outcome::Interrupted;
    let mut take = |key: &str| summary.as_mut().and_then(|summary| summary.remove(key));
    result.fingerprint = take("fingerprint").and_then(|value| value.as_str().map(str::to_owned));
    result.manifest = take("manifest").and_then(|value| {
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        Some(ManifestHash { path: text("path")?, blake3: text("blake3")? })
    });
    // A later run does not read a source again, and a kill may have lost the result of the run that did.
    let junk = summary.as_ref().and_then(|summary| summary.get("bytes_junk")?.as_u64()).unwrap_or(0);
    if result.outcome == Outcome::Done && junk > 0 {
        result.outcome = Outcome::Flawed;
        result.errors.push(format!("{} of its sources belong to no message", grouped_plural(junk, "byte")));
    }
    result.summary = summary;
}

/// Says how an account ended that is not done.
fn how(result: &AccountResult) -> String {
    match (result.outcome, result.exit, result.signal) {
        (Outcome::Flawed, ..) => "finished with errors".to_owned(),
        (Outcome::Interrupted, ..) => "interrupted".to_owned(),
        (_, Some(exit), _) => format!("failed with exit code {exit}"),
        (_, _, Some(signal)) => format!("ended by signal {signal}"),
        _ => "failed".to_owned(),
    }
}

fn home_of(user: &OsStr) -> Result<Vec<u8>, String> {
    match account(&By::Name(user)) {
        Ok(Some(account)) => Ok(account.home.into_bytes()),
        Ok(None) => Err("there is no such user, so %h is unknown".to_owned()),
        Err(e) => Err(format!("cannot look up the home: {e}")),
    }
}

/// Returns the time, as results have it.
fn timestamp() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_of_the_bar_parses() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
