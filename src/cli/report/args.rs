//! Arguments of `mailferry report`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};

use crate::cli::args::{CommonArgs, When, number};

/// Add up the results of many accounts
///
/// The results are those of convert --accounts --results DIR. If an account has several, from several machines,
/// the newest counts. With --accounts, accounts without a result are named, and the time is estimated that they
/// will take.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct ReportArgs {
    /// Directory of results, or a result
    #[arg(required = true, value_name = "DIR|FILE")]
    pub(super) results: Vec<PathBuf>,
    /// List of all accounts, as for convert
    #[arg(long, value_name = "FILE")]
    pub(super) accounts: Option<PathBuf>,
    /// Also write the report into FILE.html
    ///
    /// It is one file, without scripts, and without links to others. An existing file is replaced.
    #[arg(long, value_name = "FILE", value_parser = PathBufValueParser::new().try_map(html_path))]
    pub(super) html: Option<PathBuf>,
    /// Leave out the names of users and hosts, and the errors
    #[arg(long)]
    pub(super) redact: bool,
    /// Report in JSON Lines: accounts that are not done, then one summary
    #[arg(long, help_heading = "Report")]
    pub(super) json: bool,
    /// Print a row for each account, as CSV
    #[arg(long, conflicts_with = "json", help_heading = "Report")]
    pub(super) csv: bool,
    /// Print only the accounts that are not done
    #[arg(short, long, conflicts_with_all = ["verbose", "csv"], help_heading = "Report")]
    quiet: bool,
    /// On a terminal, list all accounts that are not done
    #[arg(short, long, help_heading = "Report")]
    verbose: bool,
    /// Number of worker threads [default: all cores]
    #[arg(short, long, value_name = "N", value_parser = number(1..=512_u16))]
    jobs: Option<u16>,
}

const HELP: &str = "\
Examples:
  mailferry report results
  mailferry report --accounts accounts.tsv results
  mailferry report --html report.html results
  mailferry report --csv results > accounts.csv

Exit codes:
  0  every account is done
  1  an account is flawed, failed, interrupted or missing, or its result cannot
     be read
  2  a wrong option or argument
  3  a path cannot be read, or there are no results
  4  interrupted";

impl ReportArgs {
    /// Returns these as the options of every command.
    pub(super) fn common(&self) -> CommonArgs {
        CommonArgs {
            json: self.json,
            quiet: self.quiet,
            verbose: self.verbose,
            strict: false,
            color: When::Auto,
            progress: When::Never,
            jobs: self.jobs,
        }
    }
}

/// Refuses names of other files: a mailbox would be replaced.
fn html_path(path: PathBuf) -> Result<PathBuf, &'static str> {
    let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
    match extension.as_deref() {
        Some("html" | "htm") => Ok(path),
        _ => Err("a file that ends in .html"),
    }
}
