//! `mailferry inject`.

use std::env;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::inject::{Completed, Options, Ready, Refused};
use crate::mailbox::context::Cancel;
use crate::mailbox::finding::Code;
use crate::mailbox::message::address::Compat;
use crate::mailbox::source::input::InterruptibleReader;
use crate::mailbox::text::{escape, plural};
use crate::relay::Told;
use crate::transport::envelope;
use crate::transport::failure::{Failure, Reason};
use crate::transport::next_hop::Place;
use crate::transport::spool::Letter;
use crate::transport::{Fate as Became, Message};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgAction, Args, ValueEnum};
use serde::{Serialize, Serializer};

use super::deliver::now;
use super::exit::{self, Exit, ExitCodes};
use super::open::StandardInput;
use super::qmail_inject::RecipientSource;
use super::report::Reporter;
use super::{CommonArgs, signals};
use crate::cli::inject_env::{EnvOverlay, InjectEnvironment};
use crate::cli::relay::{default_next_hops, failure_reason, outcome_failure, relay_message};

/// Complete the message on standard input and hand it on
///
/// Adds Date, Message-ID and From where they are missing, completes addresses, takes recipients from the arguments
/// or the header, and takes Bcc out: as qmail-inject does, by the same environment variables and control files. A
/// list of recipients that cannot be read is refused. Success is said when the next hop has taken the message for
/// every recipient.
///
/// Fields in which nothing is to be completed stay as they are, byte for byte. If the first line of the message ends
/// in CRLF, each CRLF of it becomes LF. A last line without an end gets one.
#[derive(Args, Debug)]
#[command(after_help = help(), disable_help_flag = true)]
pub struct InjectArgs {
    /// Addresses, each as it is in the envelope: without a name, brackets or quotes
    #[arg(value_name = "RECIPIENT")]
    recipients: Vec<OsString>,
    /// Envelope sender, empty for the null sender. Default: the message's Return-Path, or the author
    #[arg(short = 'f', long, value_name = "ADDRESS", allow_hyphen_values = true, help_heading = "Envelope")]
    sender: Option<OsString>,
    /// Recipients are the arguments, and no others
    #[arg(short = 'a', overrides_with_all = ["header", "both", "either"], help_heading = "Envelope")]
    arguments: bool,
    /// Recipients are those of the header (To, Cc, Bcc, or Resent-To and so on), and no others
    #[arg(short = 'h', overrides_with_all = ["arguments", "both", "either"], help_heading = "Envelope")]
    header: bool,
    /// Recipients are the arguments and those of the header
    #[arg(short = 'H', overrides_with_all = ["arguments", "header", "either"], help_heading = "Envelope")]
    both: bool,
    /// Recipients are the arguments if there are any, else those of the header; that is the default
    #[arg(short = 'A', overrides_with_all = ["arguments", "header", "both"], help_heading = "Envelope")]
    either: bool,
    /// Where to hand it on: qmqp://HOST, qmtp://HOST, smtp://HOST, each with :PORT if it is another, lmtp://HOST:PORT,
    /// lmtp+unix:PATH, queue:PATH, sendmail:PATH, maildir:PATH or mbox:PATH. Given again, a place for those recipients
    /// that the one before could not take for now. Default: queue:$QMAILQUEUE, or queue:$QMAILHOME/bin/qmail-queue ($QMAILHOME is /var/qmail) if that is there, else qmqp://HOST for each line of $QMAILHOME/control/qmqpservers
    #[arg(long, value_name = "URL", value_parser = OsStringValueParser::new().try_map(parse_via), help_heading = "Next hop")]
    via: Vec<Place>,
    /// How long a next hop may take
    #[arg(long, value_name = "SECS", default_value_t = 900, help_heading = "Next hop")]
    timeout: u64,
    /// What a new Message-ID is made of
    #[arg(long, value_enum, value_name = "KIND", default_value_t = MessageId::Qmail, help_heading = "Message")]
    message_id: MessageId,
    /// Where a message is kept meanwhile that has more than 8 MiB or goes to a program; default: $TMPDIR, or /tmp
    #[arg(long, value_name = "DIR", help_heading = "Message")]
    spool_dir: Option<PathBuf>,
    /// Exit codes: those of sysexits(3), or qmail's 0, 100 and 111
    #[arg(long, value_enum, value_name = "KIND", default_value_t = ExitCodes::Sysexits, help_heading = "Report")]
    exit_codes: ExitCodes,
    /// Print the message with its Return-Path on top, and hand nothing on
    #[arg(short = 'n', long, overrides_with = "queue")]
    dry_run: bool,
    /// Hand it on; that is the default
    #[arg(short = 'N', overrides_with = "dry_run")]
    queue: bool,
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    #[command(flatten)]
    common: CommonArgs,
}

/// What tells a Message-ID from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MessageId {
    /// Time and process, as qmail has it
    Qmail,
    /// 128 random bits, which tell nothing
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
QMAILPLUSDOMAIN, QMAILIDHOST; QMAILMFTFILE; QMAILINJECT. Called by a link of the name qmail-inject or
sendmail, it takes their options and exit codes.

{}",
        exit::INJECTION_HELP
    )
}

fn parse_via(url: OsString) -> Result<Place, String> {
    Place::parse(&url)
}

/// What `--json` has in its summary, for the manual.
pub const SUMMARY: &[(&str, &str)] = &[
    ("command", "inject"),
    ("dry_run", "whether -n was given; the message is not printed then"),
    ("sender", "the envelope sender, null where it is not known"),
    (
        "recipients",
        "an object for each, in the order of the envelope: recipient, outcome (accepted, temporary, permanent; with \
         -n planned), unsure (whether it is temporary because no answer came to the whole message: it may have \
         arrived), status (RFC 3463), via (the place that answered last) and text (what it said)",
    ),
    ("bytes_source", "bytes of the message as it came in"),
    ("bytes_message", "bytes of the completed message"),
    (
        "status",
        "the enhanced status code of the whole: a temporary one if there is any, else a permanent one",
    ),
    ("warnings", "warnings told"),
    ("errors", "errors told"),
    ("seconds", "how long it took"),
];

/// What is known of a message by the end.
#[derive(Default)]
struct Fate {
    bytes_source: u64,
    completed: Option<Completed>,
    places: Vec<Place>,
    outcomes: Vec<Told>,
}

/// Runs the command.
pub fn run(args: InjectArgs) -> Exit {
    let started = std::time::Instant::now();
    let mut reporter = Reporter::new(&args.common);
    let mut fate = Fate::default();
    let done = inject(&args, &mut fate, &mut reporter);
    let failed = match &done {
        Err(failure) => {
            reporter.failure(Code::NotDelivered, failure);
            Some(failure.reason)
        }
        Ok(()) => tell(&args, &fate, &mut reporter),
    };
    let summary = Summary {
        kind: "summary",
        command: "inject",
        dry_run: args.dry_run,
        sender: fate.completed.as_ref().map(|completed| escape(&completed.envelope.sender)),
        recipients: Outcomes { fate: &fate, otherwise: if args.dry_run { "planned" } else { "temporary" } },
        bytes_source: fate.bytes_source,
        bytes_message: fate.completed.as_ref().map(|completed| completed.letter.length()),
        status: failed.map_or("2.0.0", Reason::status),
        warnings: reporter.warnings,
        errors: reporter.errors,
        seconds: started.elapsed().as_secs_f64(),
    };
    reporter.object(&summary);
    let exit = Exit::of_delivery(failed, args.exit_codes);
    match reporter.finish(exit) {
        // A message that was to be printed is the outcome; what is handed on stays so, whatever becomes of the
        // report.
        Exit::CouldNotFinish if args.dry_run => Exit::NotDelivered(Reason::TryAgain, args.exit_codes),
        _ => exit,
    }
}

fn inject(args: &InjectArgs, fate: &mut Fate, reporter: &mut Reporter) -> Result<(), Failure> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let cancel = signals::cancel_on_signals_with(exit::TRY_AGAIN);
    let InjectEnvironment { author, flags: habits, domains, lists, guessed } =
        InjectEnvironment::read(&EnvOverlay::default().with_account_fallback(), Compat::Strict)?;
    if let Some(guessed) = guessed.filter(|_| args.common.verbose) {
        remark(&guessed);
    }
    let named: Vec<Vec<u8>> = args.recipients.iter().cloned().map(OsString::into_vec).collect();
    let (arguments, header_too) = args.recipients_from().choose(&named);
    let options = Options {
        manner: Compat::Strict,
        crlf: true,
        arguments,
        header_too,
        // As many write the null sender.
        sender: args.sender.as_ref().map(|sender| match sender.as_bytes() {
            b"<>" => b"",
            sender => sender,
        }),
        author: &author,
        habits,
        domains: &domains,
        lists: &lists,
        now: now().as_secs() as i64,
        pid: std::process::id(),
        random: match args.message_id {
            MessageId::Qmail => None,
            MessageId::Random => Some(random()?),
        },
    };
    // Before the message is read: what is wrong with the command is told at once.
    let ready = Ready::new(&options).map_err(failure)?;
    if !args.dry_run {
        fate.places = args.places()?;
    }
    let spool_dir = args.spool_dir.clone().unwrap_or_else(env::temp_dir);
    let completed = {
        let letter = read_message(&spool_dir, &cancel)?;
        fate.bytes_source = letter.length();
        ready.complete(&letter, &spool_dir).map_err(failure)?
    };
    let completed = fate.completed.insert(completed);
    if args.dry_run && !args.common.json {
        reporter.data(&envelope::return_path(&completed.envelope.sender));
        reporter.data(b"\n");
        completed.letter.each_chunk(0, &mut |bytes| {
            reporter.data(bytes);
            Ok(())
        })?;
    }
    if !args.dry_run {
        let time = Duration::from_secs(args.timeout);
        let Completed { letter, envelope } = &*completed;
        fate.outcomes = relay_message(&Message::whole(letter), envelope, &fate.places, time, &cancel)?;
    }
    Ok(())
}

impl InjectArgs {
    fn recipients_from(&self) -> RecipientSource {
        match self {
            _ if self.arguments => RecipientSource::Arguments,
            _ if self.header => RecipientSource::Header,
            _ if self.both => RecipientSource::Both,
            _ => RecipientSource::ArgumentsOrHeader,
        }
    }

    fn places(&self) -> Result<Vec<Place>, Failure> {
        if !self.via.is_empty() {
            return Ok(self.via.clone());
        }
        let places = default_next_hops()?;
        match &places[..] {
            [Place::Queue(program)] if !program.exists() => {
                let text = format!(
                    "there is no {}, nor a server in control/qmqpservers: say with --via where to hand the message on",
                    program.display()
                );
                Err(Failure::new(Reason::Configuration, text))
            }
            _ => Ok(places),
        }
    }
}

fn failure(refused: Refused) -> Failure {
    match refused {
        Refused::Failed(failure) => failure,
        refused => Failure::new(refused.reason(), refused),
    }
}

/// The message on standard input.
pub fn read_message(spool_dir: &Path, cancel: &Cancel) -> Result<Letter, Failure> {
    let reader = StandardInput::new();
    let input = InterruptibleReader { reader, name: Path::new("standard input"), timeout: None, cancel };
    Letter::read(input, spool_dir, None)
}

/// As random as the kernel is.
fn random() -> Result<[u8; 16], Failure> {
    let mut bytes = [0; 16];
    let read = std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes));
    let text = "no random bytes from /dev/urandom for a Message-ID";
    read.map(|()| bytes).map_err(|e| Failure::new(Reason::TryAgain, format!("{text}: {e}")))
}

/// Standard output may carry the message.
fn remark(text: &str) {
    let _ = writeln!(anstream::stderr(), "mailferry: {text}");
}

/// Tells the outcomes, and gives the reason that the exit code tells. Those that can be mended by waiting come
/// first: Postfix goes by the first line.
fn tell(args: &InjectArgs, fate: &Fate, reporter: &mut Reporter) -> Option<Reason> {
    let Some(completed) = &fate.completed else { return None };
    let recipients = &completed.envelope.recipients;
    if args.common.verbose && args.dry_run {
        recipients.iter().for_each(|recipient| remark(&format!("to <{}>", escape(recipient))));
    }
    let mut failures: Vec<(Failure, &Place, Vec<&[u8]>)> = Vec::new();
    for (recipient, told) in recipients.iter().zip(&fate.outcomes) {
        let by = &fate.places[told.by];
        let Some(why) = outcome_failure(&told.outcome) else {
            if args.common.verbose {
                let text = &told.outcome.text;
                let separator = if text.is_empty() { "" } else { ": " };
                reporter.line(&format!("<{}>: accepted by {by}{separator}{text}", escape(recipient)));
            }
            continue;
        };
        // A line for all recipients that have it in common.
        match failures.iter_mut().find(|(known, place, _)| (known, *place) == (&why, by)) {
            Some((.., all)) => all.push(recipient),
            None => failures.push((why, by, vec![recipient])),
        }
    }
    failures.sort_by_key(|(why, ..)| !why.reason.is_temporary());
    for (why, by, recipients) in &failures {
        let text = format!("{}: {by}: {}", named(recipients), why.text);
        reporter.failure(Code::NotDelivered, &Failure::new(why.reason, text));
    }
    failures.first().map(|(why, ..)| why.reason).map(|reason| match reason.is_temporary() {
        true => reason,
        // The next hop's reasons are not ours: 69 for all.
        false => Reason::Refused,
    })
}

/// Ten of them by name.
fn named(recipients: &[&[u8]]) -> String {
    let shown: Vec<String> = recipients.iter().take(10).map(|one| format!("<{}>", escape(one))).collect();
    let more = match recipients.len().saturating_sub(10) {
        0 => String::new(),
        more => format!(" and {}", plural(more as u64, "other recipient")),
    };
    shown.join(", ") + &more
}

/// As `SUMMARY` has it. Written as it is read: for ten thousand recipients a tree of values would take more memory
/// than all else.
#[derive(Serialize)]
struct Summary<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    command: &'static str,
    dry_run: bool,
    sender: Option<String>,
    recipients: Outcomes<'a>,
    bytes_source: u64,
    bytes_message: Option<u64>,
    status: &'static str,
    warnings: u64,
    errors: u64,
    seconds: f64,
}

/// What became of each; `otherwise` of whom nobody was told.
struct Outcomes<'a> {
    fate: &'a Fate,
    otherwise: &'static str,
}

#[derive(Serialize)]
struct Recipient<'a> {
    recipient: String,
    outcome: &'static str,
    #[serde(flatten)]
    told: Option<Answer<'a>>,
}

#[derive(Serialize)]
struct Answer<'a> {
    unsure: bool,
    status: &'a str,
    via: String,
    text: &'a str,
}

impl Serialize for Outcomes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Fate { completed, places, outcomes, .. } = self.fate;
        let addresses = completed.iter().flat_map(|completed| &completed.envelope.recipients);
        let outcomes = outcomes.iter().map(Some).chain(std::iter::repeat(None));
        serializer.collect_seq(addresses.zip(outcomes).map(|(address, told)| Recipient {
            recipient: escape(address),
            outcome: told.map_or(self.otherwise, |told| match told.outcome.fate {
                Became::Accepted => "accepted",
                Became::Temporary | Became::Unsure => "temporary",
                Became::Permanent => "permanent",
            }),
            told: told.map(|told| Answer {
                unsure: told.outcome.fate == Became::Unsure,
                status: match &told.outcome.status {
                    Some(status) => status,
                    None => failure_reason(&told.outcome).map_or("2.0.0", Reason::status),
                },
                via: places[told.by].to_string(),
                text: &told.outcome.text,
            }),
        }))
    }
}

/// Whether a command line is one of ours, by its words: for the exit code where it cannot be read.
pub fn invoked_as(args: impl Iterator<Item = OsString>) -> bool {
    super::is_about("inject", args)
}
