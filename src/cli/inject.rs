//! `mailferry inject`.

use std::env;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgAction, Args, ValueEnum};
use serde::{Serialize, Serializer};
use serde_json::json;

use super::args::{CommonArgs, seconds};
use super::inject_env::{EnvOverlay, InjectEnvironment, RecipientSource};
use super::relay::{default_next_hops, relay_message};
#[cfg(feature = "tls")]
use super::tls_args::TlsArgs;
use super::ui::exit;
use super::{open, signals};
use crate::cli::ui::{Exit, ExitCodes, Reporter, print_error, report_waits};
use crate::inject::{CompletedMessage, InjectError, Injector};
use crate::mailbox::message::address::Compat;
use crate::mailbox::text::plural;
use crate::mailbox::{Code, Error, escape};
use crate::transport::{
    Failure, FailureReason, NextHop, OutcomeKind, OutgoingMessage, RelayOutcome, envelope,
};

/// Complete the message on standard input and send it
///
/// Adds missing Date, Message-ID and From fields, completes addresses, takes the recipients from the arguments or the
/// header, and removes Bcc. It works like qmail-inject, with the same environment variables and control files. A
/// recipient field that cannot be parsed is refused. Exit status 0 means that the next hop accepted the message for
/// every recipient.
///
/// Fields that need no change stay unchanged, byte for byte. If the first line of the message ends in CRLF, each CRLF
/// becomes LF. A missing newline at the end is added.
#[derive(Args, Debug)]
#[command(after_help = help(), disable_help_flag = true)]
pub(super) struct InjectArgs {
    /// Envelope address: no name, brackets, quotes or blanks
    #[arg(value_name = "RECIPIENT", value_parser = OsStringValueParser::new().try_map(parse_recipient))]
    recipients: Vec<OsString>,
    /// Envelope sender, may be empty [default: Return-Path, or the author]
    #[arg(short = 'f', long, value_name = "ADDRESS", allow_hyphen_values = true, help_heading = "Envelope", value_parser = OsStringValueParser::new().try_map(parse_sender))]
    sender: Option<OsString>,
    /// Recipients are the arguments only
    #[arg(short = 'a', overrides_with_all = ["header", "both", "either"], help_heading = "Envelope")]
    arguments: bool,
    /// Recipients are those in the header only
    #[arg(short = 'h', overrides_with_all = ["arguments", "both", "either"], help_heading = "Envelope")]
    header: bool,
    /// Recipients are the arguments and those in the header
    #[arg(short = 'H', overrides_with_all = ["arguments", "header", "either"], help_heading = "Envelope")]
    both: bool,
    /// Recipients are the arguments, or without any those in the header (default)
    #[arg(short = 'A', overrides_with_all = ["arguments", "header", "both"], help_heading = "Envelope")]
    either: bool,
    /// Next hop; repeat it for fallbacks
    ///
    /// A URL is smtps://HOST or smtp+starttls://HOST (both over TLS, with USER@ before HOST for a login), qmqp://HOST,
    /// qmtp://HOST, smtp://HOST (each also with :PORT), lmtp://HOST:PORT, lmtp+unix:PATH, queue:PATH, sendmail:PATH,
    /// maildir:PATH or mbox:PATH. A later one gets the recipients for which the one before it failed
    /// temporarily. The default is queue:$QMAILQUEUE, or queue:$QMAILHOME/bin/qmail-queue if that exists, or else
    /// qmqp://HOST for each line of $QMAILHOME/control/qmqpservers, or else the lines of ~/.config/mailferry/relays or
    /// /etc/mailferry/relays. $QMAILHOME is /var/qmail unless set.
    #[arg(long, value_name = "URL", value_parser = OsStringValueParser::new().try_map(parse_via), help_heading = "Next hop")]
    via: Vec<NextHop>,
    #[cfg(feature = "tls")]
    #[command(flatten)]
    tls: TlsArgs,
    /// Time limit for a next hop
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value_t = 900, help_heading = "Next hop")]
    timeout: u64,
    /// Content of a new Message-ID
    #[arg(long, value_enum, value_name = "KIND", default_value_t = MessageId::Qmail, help_heading = "Message")]
    message_id: MessageId,
    /// Directory for large messages and those for programs [default: $TMPDIR or /tmp]
    #[arg(long, value_name = "DIR", help_heading = "Message")]
    spool_dir: Option<PathBuf>,
    /// Exit codes: those of sysexits(3), or qmail's 0, 100 and 111
    #[arg(long, value_enum, value_name = "KIND", default_value_t = ExitCodes::Sysexits, help_heading = "Report")]
    exit_codes: ExitCodes,
    /// Print the message with its Return-Path on top; send nothing
    #[arg(short = 'n', long, overrides_with = "queue")]
    dry_run: bool,
    /// Send it (default)
    #[arg(short = 'N', overrides_with = "dry_run")]
    queue: bool,
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    #[command(flatten)]
    common: CommonArgs,
}

/// The unique part of a Message-ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MessageId {
    /// Time and process, as qmail has it
    Qmail,
    /// 128 random bits, which disclose nothing
    Random,
}

fn help() -> String {
    format!(
        "\
Examples:
  mailferry inject < message
  mailferry inject -n ann@example.org < message
  mailferry inject --via qmqp://mail1 --via qmqp://mail2 < message
  mailferry inject -f '' -H --via queue:/var/qmail/bin/qmail-queue joe@example.net < message

Environment, as in qmail-inject(8): QMAILUSER, MAILUSER, USER, LOGNAME, or the account; QMAILHOST,
MAILHOST; QMAILNAME, MAILNAME, NAME; QMAILSUSER, QMAILSHOST; QMAILDEFAULTHOST, QMAILDEFAULTDOMAIN,
QMAILPLUSDOMAIN, QMAILIDHOST; QMAILMFTFILE; QMAILINJECT. Called through a link named qmail-inject or
sendmail, it takes that program's options and exit codes.

{}",
        exit::INJECTION_HELP
    )
}

/// Refuses what a script makes of an unset variable, or of one with a blank too many. An address with a blank in its
/// quoted local part goes into the header.
fn parse_recipient(address: OsString) -> Result<OsString, String> {
    let text = address.to_string_lossy();
    match text.is_empty() || text.contains(char::is_whitespace) {
        true => {
            Err("give one address, without a name, brackets or blanks, each as an argument of its own".into())
        }
        false => Ok(address),
    }
}

/// Refuses blanks around the sender; the null sender is empty.
fn parse_sender(address: OsString) -> Result<OsString, String> {
    let text = address.to_string_lossy();
    match text.trim().len() == text.len() {
        true => Ok(address),
        false => Err("there are blanks around the address".into()),
    }
}

fn parse_via(url: OsString) -> Result<NextHop, String> {
    NextHop::parse(&url)
}

/// The state of the message when the command ends.
#[derive(Default)]
struct Progress {
    bytes_source: u64,
    completed: Option<CompletedMessage>,
    hops: Vec<NextHop>,
    outcomes: Vec<RelayOutcome>,
}

/// Runs the command.
pub(super) fn run(args: InjectArgs) -> Exit {
    let mut reporter = Reporter::new(&args.common);
    let named = match args.named_hops() {
        Ok(named) => named,
        Err(error) => {
            print_error(&error.to_string(), Some("see mailferry inject --help"));
            return match args.exit_codes {
                ExitCodes::Sysexits => Exit::InjectUsage,
                codes => Exit::NotDelivered(FailureReason::Configuration, codes),
            };
        }
    };
    let mut progress = Progress { hops: named, ..Progress::default() };
    let done = inject(&args, &mut progress, &mut reporter);
    let failed = match &done {
        Err(failure) => {
            reporter.failure(Code::NotDelivered, failure);
            Some(failure.reason)
        }
        Ok(()) => report_outcomes(&args, &progress, &mut reporter),
    };
    let completed = progress.completed.as_ref();
    let summary = Summary {
        kind: "summary",
        command: "inject",
        dry_run: args.dry_run,
        sender: completed.map(|completed| escape(&completed.envelope.sender)),
        recipients: RecipientOutcomes {
            progress: &progress,
            default: if args.dry_run { "planned" } else { "temporary" },
        },
        bytes_source: progress.bytes_source,
        bytes_message: completed.map(|completed| completed.message.length()),
        status: failed.map_or("2.0.0", FailureReason::status),
        warnings: reporter.warnings,
        errors: reporter.errors,
        seconds: reporter.seconds(),
    };
    reporter.object(&summary);
    let exit = Exit::of_delivery(failed, args.exit_codes);
    match reporter.finish(exit) {
        // The result of a dry run is the printed message. A message that was relayed stays so even if the report is lost.
        Exit::CouldNotFinish if args.dry_run => Exit::NotDelivered(FailureReason::TryAgain, args.exit_codes),
        _ => exit,
    }
}

fn inject(args: &InjectArgs, progress: &mut Progress, reporter: &mut Reporter) -> Result<(), Failure> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let cancel = report_waits(signals::cancel_on_signals_with(exit::TRY_AGAIN), &args.common);
    let overlay = EnvOverlay::default().with_account_fallback();
    let environment = InjectEnvironment::read(&overlay, Compat::Strict)?;
    if let Some(guessed) = environment.guessed.as_ref().filter(|_| args.common.verbose) {
        print_remark(guessed);
    }
    let named: Vec<Vec<u8>> = args.recipients.iter().cloned().map(OsString::into_vec).collect();
    let (arguments, header_recipients) = args.recipient_source().choose(&named);
    // Many users write the null sender as `<>`.
    let sender = args.sender.as_ref().map(|sender| match sender.as_bytes() {
        b"<>" => b"",
        sender => sender,
    });
    let mut options = environment.options(arguments, header_recipients, sender);
    if args.message_id == MessageId::Random {
        options.random = Some(random_bytes()?);
    }
    // An invalid command is reported before the message is read.
    let injector = Injector::new(&options).map_err(into_failure)?;
    if !args.dry_run && progress.hops.is_empty() {
        progress.hops = args.default_hops()?;
    }
    let spool_dir = args.spool_dir.clone().unwrap_or_else(env::temp_dir);
    let completed = {
        let message = open::read_message(&spool_dir, None, &cancel)?;
        progress.bytes_source = message.length();
        injector.complete(&message, &spool_dir).map_err(into_failure)?
    };
    let CompletedMessage { message, envelope } = &*progress.completed.insert(completed);
    if args.dry_run && !args.common.json {
        reporter.data(&envelope::return_path(&envelope.sender));
        reporter.data(b"\n");
        message.for_each_chunk(0, &mut |bytes| {
            reporter.data(bytes);
            Ok(())
        })?;
    }
    if !args.dry_run {
        let time = Duration::from_secs(args.timeout);
        let message = OutgoingMessage::unmodified(message, envelope);
        progress.outcomes = relay_message(&message, &progress.hops, time, &cancel)?;
    }
    Ok(())
}

impl InjectArgs {
    fn recipient_source(&self) -> RecipientSource {
        match self {
            _ if self.arguments => RecipientSource::Arguments,
            _ if self.header => RecipientSource::Header,
            _ if self.both => RecipientSource::Both,
            _ => RecipientSource::ArgumentsOrHeader,
        }
    }

    /// Returns the next hops of `--via`, with the passwords that belong to them.
    fn named_hops(&self) -> Result<Vec<NextHop>, Error> {
        let hops = self.via.clone();
        #[cfg(feature = "tls")]
        let hops = if hops.is_empty() { hops } else { self.tls.complete(hops)? };
        Ok(hops)
    }

    fn default_hops(&self) -> Result<Vec<NextHop>, Failure> {
        let hops = default_next_hops()?;
        #[cfg(feature = "tls")]
        let hops = self.tls.complete(hops)?;
        match &hops[..] {
            [NextHop::Queue(program)] if !program.exists() => {
                let text = format!(
                    "there is no {}, and no next hop in control/qmqpservers or /etc/mailferry/relays: use --via to \
                     name one",
                    program.display()
                );
                Err(Failure::new(FailureReason::Configuration, text))
            }
            _ => Ok(hops),
        }
    }
}

fn into_failure(error: InjectError) -> Failure {
    match error {
        InjectError::Failure(failure) => failure,
        error => Failure::new(error.reason(), error),
    }
}

fn random_bytes() -> Result<[u8; 16], Failure> {
    let mut bytes = [0; 16];
    let read = std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes));
    let text = "no random bytes from /dev/urandom for a Message-ID";
    read.map(|()| bytes).map_err(|e| Failure::new(FailureReason::TryAgain, format!("{text}: {e}")))
}

/// Prints to standard error, because standard output may carry the message.
fn print_remark(text: &str) {
    let _ = writeln!(anstream::stderr(), "mailferry: {text}");
}

/// A failure that several recipients share.
struct SharedFailure<'a> {
    failure: Failure,
    hop: &'a NextHop,
    recipients: Vec<&'a [u8]>,
}

/// Reports the outcomes and returns the reason for the exit code. Temporary failures come first: Postfix evaluates the
/// first line.
fn report_outcomes(args: &InjectArgs, progress: &Progress, reporter: &mut Reporter) -> Option<FailureReason> {
    let recipients = &progress.completed.as_ref()?.envelope.recipients;
    if args.common.verbose && args.dry_run {
        recipients.iter().for_each(|recipient| print_remark(&format!("to <{}>", escape(recipient))));
    }
    let mut failures: Vec<SharedFailure<'_>> = Vec::new();
    for (recipient, RelayOutcome { hop_index, outcome }) in recipients.iter().zip(&progress.outcomes) {
        let hop = &progress.hops[*hop_index];
        let Some(failure) = outcome.failure() else {
            if args.common.verbose {
                let text = &outcome.text;
                let separator = if text.is_empty() { "" } else { ": " };
                reporter.line(&format!("<{}>: accepted by {hop}{separator}{text}", escape(recipient)));
            }
            continue;
        };
        match failures.iter_mut().find(|known| (&known.failure, known.hop) == (&failure, hop)) {
            Some(known) => known.recipients.push(recipient),
            None => failures.push(SharedFailure { failure, hop, recipients: vec![recipient] }),
        }
    }
    failures.sort_by_key(|one| !one.failure.reason.is_temporary());
    for SharedFailure { failure, hop, recipients } in &failures {
        let text = format!("{}: {hop}: {}", list_recipients(recipients), failure.text);
        reporter.failure(Code::NotDelivered, &Failure::new(failure.reason, text));
    }
    failures.first().map(|one| match one.failure.reason {
        reason if reason.is_temporary() => reason,
        FailureReason::LoginRefused => FailureReason::LoginRefused,
        // The next hop's permanent reasons are not this machine's: the exit code is 69 for all.
        _ => FailureReason::Refused,
    })
}

/// Lists the first ten recipients.
fn list_recipients(recipients: &[&[u8]]) -> String {
    let shown: Vec<String> = recipients.iter().take(10).map(|one| format!("<{}>", escape(one))).collect();
    let more = match recipients.len().saturating_sub(10) {
        0 => String::new(),
        more => format!(" and {}", plural(more as u64, "other recipient")),
    };
    shown.join(", ") + &more
}

/// The JSON summary. It is serialized while it is written, because a tree of values for ten thousand
/// recipients would need more memory than everything else.
#[derive(Serialize)]
struct Summary<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    command: &'static str,
    dry_run: bool,
    sender: Option<String>,
    recipients: RecipientOutcomes<'a>,
    bytes_source: u64,
    bytes_message: Option<u64>,
    status: &'static str,
    warnings: u64,
    errors: u64,
    seconds: f64,
}

/// The recipients with their outcomes; `default` is that of recipients without one.
struct RecipientOutcomes<'a> {
    progress: &'a Progress,
    default: &'static str,
}

impl Serialize for RecipientOutcomes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Progress { completed, hops, outcomes, .. } = self.progress;
        let addresses = completed.iter().flat_map(|completed| &completed.envelope.recipients);
        let outcomes = outcomes.iter().map(Some).chain(std::iter::repeat(None));
        serializer.collect_seq(addresses.zip(outcomes).map(|(address, one)| {
            let mut object = json!({ "recipient": escape(address), "outcome": self.default });
            if let Some(RelayOutcome { hop_index, outcome }) = one {
                object["outcome"] = match outcome.kind {
                    OutcomeKind::Accepted => "accepted".into(),
                    OutcomeKind::Temporary | OutcomeKind::Unsure => "temporary".into(),
                    OutcomeKind::Permanent | OutcomeKind::LoginRefused => "permanent".into(),
                };
                object["unsure"] = (outcome.kind == OutcomeKind::Unsure).into();
                let status = || outcome.failure_reason().map_or("2.0.0", FailureReason::status).to_owned();
                object["status"] = outcome.status.clone().unwrap_or_else(status).into();
                object["via"] = hops[*hop_index].to_string().into();
                object["text"] = outcome.text.as_str().into();
            }
            object
        }))
    }
}
