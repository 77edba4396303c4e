//! `mailferry report`.

mod args;
mod csv;
mod json;
mod text;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::account_list;
use super::identity::{self, Paths};
use super::mailbox_arg::MailboxArg;
use super::report_file::ReportFile;
use super::signals;
use crate::accounts::list::{AccountList, ListedAccount};
use crate::cli::ui::{Exit, Reporter, print_error};
use crate::mailbox::fs::parent_of;
use crate::mailbox::text::shell_quote;
use crate::mailbox::{Cancel, Error, Result, escape};
use crate::report::totals::{Accounts, BytesLeft};
use crate::report::{AccountsReport, accounts_page, results, sizes};
pub(super) use args::ReportArgs;

/// Runs the command.
pub(super) fn run(args: &ReportArgs) -> Exit {
    let common = args.common();
    let mut reporter = Reporter::new(&common);
    let added = common.set_up_workers().and_then(|()| add_up(args));
    let (exit, keys) = match added {
        Ok(Totals { accounts, report }) => {
            let exit = if report.exit == 0 { Exit::Done } else { Exit::Flawed };
            (reporter.warnings, reporter.errors) = (report.warnings, report.errors);
            match args.csv {
                true => csv::print(&accounts, &report, &mut reporter),
                false if args.json => json::print(&report, &mut reporter),
                false => text::print(&report, &mut reporter),
            }
            (exit, json::summary(&report))
        }
        // That is all of the report.
        Err(error @ Error::Usage { .. }) => {
            print_error(&error.to_string(), error.hint());
            return Exit::Usage;
        }
        Err(error) => {
            reporter.error(&error);
            (Exit::of(&error), json!({}))
        }
    };
    reporter.summary("report", exit, keys);
    reporter.finish(exit)
}

/// What the results add up to.
struct Totals {
    accounts: Accounts,
    report: AccountsReport,
}

fn add_up(args: &ReportArgs) -> Result<Totals> {
    let list = args.accounts.as_deref().map(read_list).transpose()?;
    take_identity(args)?;
    let cancel = &signals::cancel_on_signals();
    let page = args.html.as_deref().map(ReportFile::open).transpose()?;
    let records = results::read_all(&args.results, cancel)?;
    if records.is_empty() {
        let reason = "has no results; name the directory of convert --results";
        return Err(Error::unsupported(&args.results[0], reason));
    }
    let mut accounts = Accounts::new(records);
    let left = list.map(|list| find_missing(&mut accounts, &list, cancel)).transpose()?;
    if args.redact {
        accounts.redact();
    }
    let report = accounts.report(left);
    page.map(|page| page.write(accounts_page(&report).as_bytes())).transpose()?;
    Ok(Totals { accounts, report })
}

/// Takes the identity for the results. Files are looked up from their directories: there may be 100,000.
fn take_identity(args: &ReportArgs) -> Result<()> {
    let directory = |path: &'_ PathBuf| -> PathBuf {
        if path.is_dir() { path.clone() } else { parent_of(path).to_owned() }
    };
    let mut read: Vec<PathBuf> = args.results.iter().map(directory).collect();
    read.sort_unstable();
    read.dedup();
    let read = read.iter().map(PathBuf::as_path).collect();
    let written = args.html.as_deref().into_iter().collect();
    identity::take(&Paths { read, written, ..Paths::default() })
}

fn read_list(path: &Path) -> Result<AccountList> {
    // Where the command line of convert names the sources, they are not known here.
    let accept = |_: &ListedAccount| Ok(None);
    AccountList::new(account_list::read(path)?, &shell_quote(path), accept)
}

fn find_missing(accounts: &mut Accounts, list: &AccountList, cancel: &Cancel) -> Result<BytesLeft> {
    let users = list.accounts().map(|account| escape(account.user.as_bytes()));
    let missing: HashSet<usize> = accounts.compare_with_list(users).into_iter().collect();
    let listed = list.accounts().enumerate().filter(|(at, _)| missing.contains(at));
    let sources = listed.map(|(_, account)| account.sources.iter().map(|source| path_of(source)).collect());
    sizes::add_up(&sources.collect::<Vec<_>>(), cancel)
}

/// Returns the path of a source, which may be `FORMAT:PATH`.
fn path_of(source: &OsStr) -> PathBuf {
    MailboxArg::parse(source).map_or_else(|_| source.into(), |mailbox| mailbox.path)
}
