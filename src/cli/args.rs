//! Options that several commands have.
//!
//! Comments on fields and variants are the text of --help.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use crate::mailbox::{Error, Result};

/// The options of every command.
#[derive(Args, Debug, Clone)]
pub(crate) struct CommonArgs {
    /// Report in JSON Lines: findings, then one summary
    #[arg(long, help_heading = "Report")]
    pub(crate) json: bool,
    /// Print errors only
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Report")]
    pub(crate) quiet: bool,
    /// List every finding, including infos
    #[arg(short, long, help_heading = "Report")]
    pub(crate) verbose: bool,
    /// Exit with 1 if there are warnings
    #[arg(long, hide_short_help = true, help_heading = "Report")]
    pub(crate) strict: bool,
    /// Colour the report
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = When::Auto, hide_short_help = true, help_heading = "Report")]
    pub(crate) color: When,
    /// Show progress on standard error
    ///
    /// A bar on a terminal, and with -v a line every ten seconds elsewhere.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = When::Auto, hide_short_help = true, help_heading = "Report")]
    pub(crate) progress: When,
    /// Number of worker threads [default: all cores]
    #[arg(short, long, value_name = "N", value_parser = number(1..=512_u16))]
    pub(crate) jobs: Option<u16>,
}

impl CommonArgs {
    /// Sets the number of rayon's threads. Must run before any parallel work.
    pub(crate) fn set_up_workers(&self) -> Result<()> {
        let Some(jobs) = self.jobs else { return Ok(()) };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs.into());
        pool.build_global().map_err(|e| Error::usage("--jobs", e.to_string()))
    }
}

/// Returns the parser of a number in a range.
pub(crate) fn number<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + Display + Clone,
{
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("a number from {} to {}", range.start(), range.end()))
    }
}

/// Parses a time limit.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "a whole number of seconds, such as 30".to_owned())
}

/// Parses a size.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "a whole number of bytes, such as 1000000".to_owned())
}

/// When to use the features of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// If there is a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}
