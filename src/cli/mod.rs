//! The command line: arguments in, a report and an exit code out. What the library may not touch
//! (terminal, environment, clock, signals) is touched here.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod compare;
mod convert;
mod deliver;
mod dot_qmail;
mod exit;
mod generate;
mod inject;
mod inject_env;
mod inspect;
mod lmtp;
mod mailbox_arg;
mod open;
mod owner;
mod progress;
mod qmail_inject;
mod qmail_local;
mod relay;
mod report;
mod signals;
mod tree;
mod verify;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::transport::failure::Reason;
use exit::{Exit, ExitCodes};

/// A Maildir and mbox toolkit in qmail's tradition: it loses nothing, and proves it.
#[derive(Parser, Debug)]
#[command(name = "mailferry", version, propagate_version = true, after_help = MAIN_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const MAIN_HELP: &str = "\
Example:
  mailferry convert inbox.mbox ~/Maildir
  mailferry verify ~/Maildir
  mailferry deliver ~/Maildir/ < message
  mailferry inject ann@example.org < message
  mailferry inspect inbox.mbox

See mailferry-formats(5) for the formats and what is believed of them.";

#[derive(Subcommand, Debug)]
enum Command {
    Convert(convert::ConvertArgs),
    Verify(verify::VerifyArgs),
    Deliver(deliver::DeliverArgs),
    Inject(inject::InjectArgs),
    Inspect(inspect::InspectArgs),
    /// Write man pages and completions into a directory
    #[command(hide = true)]
    Generate(generate::GenerateArgs),
}

/// What every command takes.
#[derive(Args, Debug, Clone)]
pub struct CommonArgs {
    /// Report as JSON Lines: findings, then one summary
    #[arg(long, help_heading = "Report")]
    pub json: bool,
    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Report")]
    pub quiet: bool,
    /// List every finding, infos too
    #[arg(short, long, help_heading = "Report")]
    pub verbose: bool,
    /// Let warnings count for the exit code (1)
    #[arg(long, help_heading = "Report")]
    pub strict: bool,
    /// Colour the report
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = When::Auto, help_heading = "Report")]
    pub color: When,
    /// Show progress on standard error; auto: on a terminal, after 250 ms
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = When::Auto, help_heading = "Report")]
    pub progress: When,
    /// Number of worker threads; default: all cores
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub jobs: Option<u16>,
}

/// For things that go by whether there is a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// If there is a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// A delivery by itself: it is a process of its own, and to describe all other commands as well would take
/// it a tenth of its time.
#[derive(Parser)]
#[command(name = "mailferry", version, propagate_version = true)]
struct Delivery {
    #[command(subcommand)]
    command: OneCommand,
}

#[derive(Subcommand)]
enum OneCommand {
    Deliver(deliver::DeliverArgs),
}

/// What a usage error is for who called: mail must not bounce for a typing error in the table of an MTA.
fn usage_exit() -> Exit {
    match panic_exit() {
        Exit::CouldNotFinish => Exit::Usage,
        Exit::NotDelivered(_, ExitCodes::Sysexits) if inject::invoked_as(std::env::args_os()) => {
            Exit::InjectUsage
        }
        try_again => try_again,
    }
}

/// What a bug of ours is for who called: where it is mail that was handed to us, try again later.
fn panic_exit() -> Exit {
    let is_meant = |program: fn(std::env::ArgsOs) -> bool| program(std::env::args_os());
    if is_meant(qmail_local::invoked_as) || is_meant(qmail_inject::invoked_as) {
        return Exit::NotDelivered(Reason::Configuration, ExitCodes::Qmail);
    }
    match is_meant(deliver::invoked_as) || is_meant(inject::invoked_as) {
        true => Exit::NotDelivered(Reason::Configuration, codes(std::env::args_os())),
        false => Exit::CouldNotFinish,
    }
}

/// Whether a command line that cannot be read is about this command: its first word, whatever options stand in
/// the wrong place before it.
fn is_about(command: &str, args: impl Iterator<Item = OsString>) -> bool {
    let mut words = args.skip(1).peekable();
    match words.peek() {
        Some(first) if first.as_encoded_bytes().starts_with(b"-") => words.any(|word| word == command),
        Some(first) => *first == command,
        None => false,
    }
}

/// The codes that such a line asks for.
fn codes(args: impl Iterator<Item = OsString>) -> ExitCodes {
    let words: Vec<OsString> = args.collect();
    let is_apart = words.windows(2).any(|pair| pair[0] == "--exit-codes" && pair[1] == "qmail");
    if is_apart || words.iter().any(|word| word == "--exit-codes=qmail") {
        ExitCodes::Qmail
    } else {
        ExitCodes::Sysexits
    }
}

/// Runs the command that the process was started as.
#[doc(hidden)]
pub fn main() -> ExitCode {
    // A panic is a bug of ours. Nothing is published before all is written, so it loses no mail; but
    // a script must not read the code that Rust would give.
    match std::panic::catch_unwind(run) {
        Ok(exit) => exit.into(),
        // Bytes that were looked at twice were not the same: that is no bug.
        Err(_) if signals::source_was_truncated() => {
            complain("a source was truncated by somebody else while it was read");
            Exit::CouldNotFinish.into()
        }
        Err(_) => {
            complain("this is a bug in mailferry; nothing was half-published. Please report it");
            panic_exit().into()
        }
    }
}

/// Writes to standard error, which may be a full disk: that must not be a second panic, with a code of Rust's own.
fn complain(what: &str) {
    let _ = writeln!(std::io::stderr(), "mailferry: {what}");
}

/// Parses and runs.
fn run() -> Exit {
    if qmail_local::invoked_as(std::env::args_os()) {
        return qmail_local::run(std::env::args_os().skip(1));
    }
    if qmail_inject::invoked_as(std::env::args_os()) {
        return qmail_inject::run(std::env::args_os());
    }
    let parsed = match std::env::args_os().nth(1).is_some_and(|word| word == "deliver") {
        true => Delivery::try_parse()
            .map(|Delivery { command: OneCommand::Deliver(args) }| Command::Deliver(args)),
        false => Cli::try_parse().map(|cli| cli.command),
    };
    let command = match parsed {
        Ok(command) => command,
        Err(error) => {
            // Help and version are no errors; a closed pipe behind them is none either.
            let _ = error.print();
            return if error.use_stderr() { usage_exit() } else { Exit::Done };
        }
    };
    signals::catch_bus_error();
    match command {
        Command::Convert(args) => convert::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Deliver(args) => deliver::run(args),
        Command::Inject(args) => inject::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Generate(args) => generate::run(&args),
    }
}

impl CommonArgs {
    /// Gives rayon its number of threads. Must come before any parallel work.
    pub fn set_up_workers(&self) -> anyhow::Result<()> {
        let Some(jobs) = self.jobs else { return Ok(()) };
        rayon::ThreadPoolBuilder::new().num_threads(jobs.into()).build_global()?;
        Ok(())
    }
}
