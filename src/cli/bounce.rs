//! `mailferry bounce`.

use std::env;
use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use super::args::bytes;
use super::bounce_write::WriteArgs;
use super::{open, signals};
use crate::bounce::{self, Bounce, BouncedRecipient};
use crate::cli::ui::{Exit, ExitCodes, exit, print_error};
use crate::mailbox::escape;
use crate::transport::{Failure, FailureReason, SpooledMessage};

/// The largest message that is read, unless --max-size names another limit.
const MAX_SIZE: u64 = 64 << 20;

/// Read the bounce on standard input: who did not get the message, and why; or write one
///
/// Prints a line of JSON for each recipient in the report. Reports of RFC 3464 and of qmail are read by their format.
/// Those of other programs are recognised by their wording, and marked as heuristic.
///
/// With --write, the message on standard input is one that failed, and the bounce for its sender is printed.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(super) struct BounceArgs {
    /// Refuse a message with more bytes
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value_t = MAX_SIZE)]
    max_size: u64,
    /// Exit codes: those of sysexits(3), or qmail's 0, 100 and 111
    #[arg(long, value_enum, value_name = "KIND", default_value_t = ExitCodes::Sysexits)]
    exit_codes: ExitCodes,
    #[command(flatten)]
    write: WriteArgs,
}

const HELP: &str = "\
Examples:
  mailferry bounce < message
  mailferry bounce < message | jq -r 'select(.action == \"failed\") | .recipient'
  mailferry bounce --write dsn -r joe@example.org --status 5.1.1 --reason 'No such user' < message

Exit codes (sysexits(3)):
  0   a report or a bounce was printed
  64  a wrong option or argument
  65  the message is not a bounce: a reply, mail of a list, a read receipt; or its sender gets no bounce
  66  there is no message
  69  the message is too large
  75  try again later: I/O, a bug
With --exit-codes qmail: 0, 100 for permanent failures, 111 for temporary ones.";

/// Runs the command.
pub(super) fn run(args: &BounceArgs) -> Exit {
    let done = read_message(args).and_then(|message| match args.write.job() {
        Some(job) => job.run(&message, args.exit_codes),
        None => read(&message).map(|bounce| print(&bounce, args.exit_codes)),
    });
    done.unwrap_or_else(|failure| {
        print_error(&failure.text, None);
        Exit::of_delivery(Some(failure.reason), args.exit_codes)
    })
}

fn read_message(args: &BounceArgs) -> Result<SpooledMessage, Failure> {
    let cancel = signals::cancel_on_signals_with(exit::TRY_AGAIN);
    let message = open::read_message(&env::temp_dir(), Some(args.max_size), &cancel)?;
    match message.length() {
        0 => Err(no_message()),
        _ => Ok(message),
    }
}

fn no_message() -> Failure {
    Failure::new(FailureReason::NoInput, "standard input: there is no message")
}

fn read(message: &SpooledMessage) -> Result<Bounce, Failure> {
    let mut bytes = Vec::new();
    message.for_each_chunk(0, &mut |chunk| {
        bytes.extend_from_slice(chunk);
        Ok(())
    })?;
    if bytes.trim_ascii().is_empty() {
        return Err(no_message());
    }
    bounce::read(&bytes).map_err(|reason| {
        Failure::new(FailureReason::BadMessage, format_args!("standard input: not a bounce: {reason}"))
    })
}

fn print(bounce: &Bounce, codes: ExitCodes) -> Exit {
    let lines = bounce.recipients.iter().map(|recipient| Line::new(bounce, recipient));
    let mut out = io::BufWriter::new(io::stdout().lock());
    let printed = lines.into_iter().try_for_each(|line| {
        serde_json::to_writer(&mut out, &line).map_err(io::Error::from)?;
        out.write_all(b"\n")
    });
    match printed.and_then(|()| out.flush()) {
        // A closed pipe is the reader's decision.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            print_error(&format!("standard output: cannot write: {error}"), None);
            Exit::of_delivery(Some(FailureReason::TryAgain), codes)
        }
        _ => Exit::Done,
    }
}

/// A line of the report. All keys are always there.
#[derive(Serialize)]
struct Line {
    #[serde(rename = "type")]
    kind_of_line: &'static str,
    kind: &'static str,
    recipient: String,
    original_recipient: Option<String>,
    action: Option<&'static str>,
    status: Option<String>,
    reason: Option<String>,
    remote_mta: Option<String>,
    reporting_mta: Option<String>,
    original_message_id: Option<String>,
    original_envelope_id: Option<String>,
    verp_recipient: Option<String>,
    heuristic: bool,
}

impl Line {
    fn new(bounce: &Bounce, recipient: &BouncedRecipient) -> Line {
        let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(escape);
        Line {
            kind_of_line: "recipient",
            kind: bounce.kind.name(),
            recipient: escape(&recipient.recipient),
            original_recipient: text(&recipient.original_recipient),
            action: recipient.action.map(|action| action.name()),
            status: recipient.status.map(|status| status.to_string()),
            reason: recipient.reason.as_ref().map(|reason| escape(reason.as_bytes())),
            remote_mta: text(&recipient.remote_mta),
            reporting_mta: text(&bounce.reporting_mta),
            original_message_id: text(&bounce.original.message_id),
            original_envelope_id: text(&bounce.original.envelope_id),
            verp_recipient: text(&recipient.verp_recipient),
            heuristic: recipient.is_heuristic,
        }
    }
}
