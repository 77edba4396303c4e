//! The command line: arguments in, a report and an exit code out.
//!
//! Only this module uses the terminal, the environment, the clock and signals.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod account_list;
mod args;
mod bounce;
mod bounce_write;
mod clock;
mod compare;
mod convert;
mod deliver;
mod dot_qmail;
mod folders;
mod identity;
mod inject;
mod inject_env;
mod inspect;
mod install;
mod invocation;
mod mailbox_arg;
mod open;
mod qmail;
mod relay;
mod report;
mod report_file;
mod run_report;
mod sandbox;
mod session;
mod signals;
#[cfg(feature = "tls")]
mod tls_args;
mod ui;
mod usage;
mod verify;

use std::env::args_os;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::cli::ui::{Exit, ExitCodes, print_error};
use crate::transport::FailureReason;
use invocation::{exit_codes, is_about};
use qmail::name::invoked;

/// The version, with commit and day where the build knows them: see build.rs.
const VERSION: &str = env!("MAILFERRY_VERSION");

/// Converts, checks and delivers mail in mbox and Maildir without losing a message
#[derive(Parser, Debug)]
#[command(name = "mailferry", version = VERSION, propagate_version = true, after_help = MAIN_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const MAIN_HELP: &str = "\
Examples:
  mailferry convert inbox.mbox ~/Maildir
  mailferry verify ~/Maildir
  mailferry deliver ~/Maildir/ < message
  mailferry inject ann@example.org < message
  mailferry inspect inbox.mbox
  mailferry report --accounts accounts.tsv results
  mailferry bounce < message

The manual: mailferry man ~/.local/share/man, then man mailferry";

#[derive(Subcommand, Debug)]
enum Command {
    Convert(Box<convert::ConvertArgs>),
    Verify(verify::VerifyArgs),
    Deliver(deliver::DeliverArgs),
    Inject(inject::InjectArgs),
    Inspect(inspect::InspectArgs),
    Report(report::ReportArgs),
    Bounce(bounce::BounceArgs),
    Man(install::ManArgs),
    Completions(install::CompletionsArgs),
}

/// The command line of a delivery. Each delivery is a process, and building the parser of all commands would take a
/// tenth of its time.
#[derive(Parser)]
#[command(name = "mailferry", version = VERSION, propagate_version = true)]
struct DeliverCli {
    #[command(subcommand)]
    command: DeliverCommand,
}

#[derive(Subcommand)]
enum DeliverCommand {
    Deliver(deliver::DeliverArgs),
}

/// Returns the exit code of a usage error.
fn usage_exit() -> Exit {
    match panic_exit() {
        Exit::CouldNotFinish => Exit::Usage,
        Exit::NotDelivered(_, ExitCodes::Sysexits)
            if is_about("inject", args_os()) || is_about("bounce", args_os()) =>
        {
            Exit::InjectUsage
        }
        try_again => try_again,
    }
}

/// Returns the exit code of a bug. For a command that was given a message it is "try again later": mail must not bounce for
/// a bug, or for a typing error in the configuration of an MTA.
fn panic_exit() -> Exit {
    if invoked(args_os()).is_some() {
        return Exit::NotDelivered(FailureReason::Configuration, ExitCodes::Qmail);
    }
    match ["deliver", "inject", "bounce"].iter().any(|command| is_about(command, args_os())) {
        true => Exit::NotDelivered(FailureReason::Configuration, exit_codes(args_os())),
        false => Exit::CouldNotFinish,
    }
}

/// Runs the command line of this process.
#[doc(hidden)]
pub fn main() -> ExitCode {
    // After a panic nothing is half-published, so no mail is lost. The exit code must be one of the documented ones.
    match std::panic::catch_unwind(run) {
        Ok(exit) => exit.into(),
        // Reading a truncated mapping gives zeros, which contradicts what was read before. That is not a bug.
        Err(_) if signals::source_was_truncated() => {
            print_error("a source was truncated by another program while it was read", None);
            Exit::CouldNotFinish.into()
        }
        Err(_) => {
            print_error("this is a bug in mailferry; no half-written mailbox is visible", Some("report it"));
            panic_exit().into()
        }
    }
}

fn run() -> Exit {
    if let Some((program, args)) = invoked(args_os()) {
        return qmail::run(program, args);
    }
    let parsed = match args_os().nth(1).is_some_and(|word| word == "deliver") {
        true => DeliverCli::try_parse()
            .map(|DeliverCli { command: DeliverCommand::Deliver(args) }| Command::Deliver(args)),
        false => Cli::try_parse().map(|cli| cli.command),
    };
    let command = match parsed {
        Ok(command) => command,
        Err(error) => {
            let command = args_os().nth(1);
            let is_command = |word: &str| Cli::command().find_subcommand(word).is_some();
            usage::print(
                &error,
                command.as_deref().and_then(|word| word.to_str()).filter(|word| is_command(word)),
            );
            return if error.use_stderr() { usage_exit() } else { Exit::Done };
        }
    };
    signals::catch_bus_error();
    match command {
        Command::Convert(args) => convert::run(*args),
        Command::Verify(args) => verify::run(args),
        Command::Deliver(args) => deliver::run(args),
        Command::Inject(args) => inject::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Report(args) => report::run(&args),
        Command::Bounce(args) => bounce::run(&args),
        Command::Man(args) => install::write_manual(&args),
        Command::Completions(args) => install::print_completions(&args, Cli::command()),
    }
}
