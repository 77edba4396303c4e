//! `qmail-inject` and `sendmail`, for a process called by these names: their options, output and exit codes.
//!
//! cron, PHP and many others know only these programs. Unlike qmail-inject, a recipient list that cannot be parsed to its
//! end is not sent to the recipients found so far. `sendmail` accepts CRLF, which PHP writes.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use super::inject_env::{EnvOverlay, InjectEnvironment, RecipientSource};
use super::invocation::program_name;
use super::relay::{default_next_hops, relay_message};
use super::{open, signals};
use crate::cli::ui::{Exit, ExitCodes};
use crate::inject::{CompletedMessage, InjectError, InjectOptions, Injector, quotable};
use crate::mailbox::message::address::Compat;
use crate::mailbox::{Cancel, Error, Result};
use crate::transport::{
    FailureReason, NextHop, OutcomeKind, OutgoingMessage, ProcessLimits, QueueProgram, Refusal,
    SpooledMessage, envelope,
};

/// qmail-inject waits without limit for its queue program; a day makes no difference.
const A_DAY: Duration = Duration::from_secs(86400);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    QmailInject,
    Sendmail,
}

impl Program {
    fn parse(args: impl Iterator<Item = OsString>) -> Option<Program> {
        match program_name(args)?.as_bytes() {
            b"qmail-inject" => Some(Program::QmailInject),
            b"sendmail" => Some(Program::Sendmail),
            _ => None,
        }
    }
}

/// Reports whether the process was called by one of these names.
pub(super) fn invoked_as(args: impl Iterator<Item = OsString>) -> bool {
    Program::parse(args).is_some()
}

/// Runs the program.
pub(super) fn run(mut args: impl Iterator<Item = OsString>) -> Exit {
    let program = Program::parse(args.by_ref());
    let words: Vec<Vec<u8>> = args.map(OsString::into_vec).collect();
    let job = match program {
        Some(Program::Sendmail) => Job::parse_sendmail(words),
        _ => Job::parse_qmail_inject(words),
    };
    match job.and_then(|job| job.run()) {
        Ok(()) => Exit::Done,
        Err(QmailError { reason, text }) => {
            let _ = io::stderr().write_all(&text);
            Exit::NotDelivered(reason, ExitCodes::Qmail)
        }
    }
}

/// An error in the words of qmail's program.
struct QmailError {
    reason: FailureReason,
    text: Vec<u8>,
}

impl QmailError {
    fn fatal(reason: FailureReason, text: impl AsRef<[u8]>) -> QmailError {
        QmailError { reason, text: [b"qmail-inject: fatal: ", text.as_ref()].concat() }
    }
}

impl From<InjectError> for QmailError {
    fn from(error: InjectError) -> QmailError {
        const LINE: &[u8] = b"unable to parse this line:\n";
        let text = match &error {
            InjectError::Field { text, .. } => match quotable(text) {
                text if text.ends_with(b"\n") => [LINE, text].concat(),
                text => [LINE, text, b"\n"].concat(),
            },
            InjectError::Address { address, is_sender: true, .. } => {
                [LINE, &envelope::quote(address)].concat()
            }
            InjectError::Setting { text, .. } => [LINE, text].concat(),
            InjectError::Address { address, .. } => {
                [b"unable to parse address: ", &address[..], b"\n"].concat()
            }
            error => format!("{error}\n").into_bytes(),
        };
        let reason = match &error {
            // In qmail-inject a wrong setting is a permanent failure.
            InjectError::Setting { .. } => FailureReason::BadMessage,
            error => error.reason(),
        };
        QmailError::fatal(reason, text)
    }
}

impl From<Error> for QmailError {
    fn from(error: Error) -> QmailError {
        QmailError::fatal(FailureReason::TryAgain, format!("read error: {error}\n"))
    }
}

/// A command line as getopt(3) parses it: no operands before options.
struct ParsedWords {
    options: Vec<(u8, Vec<u8>)>,
    operands: Vec<Vec<u8>>,
}

/// Parses `words`. In `letters` a `:` follows an option with an argument, and a `?` one whose argument is optional and in
/// the same word.
fn getopt(name: &str, words: Vec<Vec<u8>>, letters: &[u8]) -> Result<ParsedWords, QmailError> {
    let wrong = |what: &str, letter: u8| QmailError {
        reason: FailureReason::BadMessage,
        text: [format!("{name}: {what} -- ").as_bytes(), &[letter], b"\n"].concat(),
    };
    let mut options = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next_if(|word| word.starts_with(b"-") && word.len() > 1) {
        if word == b"--" {
            break;
        }
        let mut rest = &word[1..];
        while let Some((&letter, after)) = rest.split_first() {
            rest = after;
            let known = letters.iter().position(|&known| known == letter && !b":?".contains(&letter));
            let at = known.ok_or_else(|| wrong("illegal option", letter))?;
            let argument = match letters.get(at + 1) {
                Some(b':' | b'?') if !rest.is_empty() => std::mem::take(&mut rest).to_vec(),
                Some(b':') => words.next().ok_or_else(|| wrong("option requires an argument", letter))?,
                _ => Vec::new(),
            };
            options.push((letter, argument));
        }
    }
    Ok(ParsedWords { options, operands: words.collect() })
}

/// A parsed command line.
struct Job {
    recipients: RecipientSource,
    arguments: Vec<Vec<u8>>,
    print: bool,
    sender: Option<Vec<u8>>,
    environment: EnvOverlay,
    crlf: bool,
}

impl Job {
    fn new(recipients: RecipientSource, arguments: Vec<Vec<u8>>, crlf: bool) -> Job {
        Job { recipients, arguments, print: false, sender: None, environment: EnvOverlay::default(), crlf }
    }

    fn parse_qmail_inject(words: Vec<Vec<u8>>) -> Result<Job, QmailError> {
        let ParsedWords { options, operands } = getopt("qmail-inject", words, b"aAhHnNf:")?;
        let mut job = Job::new(RecipientSource::ArgumentsOrHeader, operands, false);
        for (letter, argument) in options {
            match letter {
                b'a' => job.recipients = RecipientSource::Arguments,
                b'A' => job.recipients = RecipientSource::ArgumentsOrHeader,
                b'h' => job.recipients = RecipientSource::Header,
                b'H' => job.recipients = RecipientSource::Both,
                b'n' => job.print = true,
                b'N' => job.print = false,
                _ => job.sender = Some(argument),
            }
        }
        Ok(job)
    }

    fn parse_sendmail(words: Vec<Vec<u8>>) -> Result<Job, QmailError> {
        const USAGE: &[u8] =
            b"sendmail: usage: sendmail [ -t ] [ -fsender ] [ -Fname ] [ -bp ] [ -bs ] [ arg ... ]\n";
        let usage = || QmailError { reason: FailureReason::BadMessage, text: USAGE.to_vec() };
        let parsed = getopt("sendmail", words, b"vimte:f:p:o:B:F:E?J?xb:");
        let ParsedWords { options, operands } = parsed.map_err(|mut error| {
            error.text.extend_from_slice(USAGE);
            error
        })?;
        let mut job = Job::new(RecipientSource::Arguments, operands, true);
        job.environment = EnvOverlay::default().with_account_fallback();
        for (letter, argument) in options {
            match letter {
                b't' => job.recipients = RecipientSource::Both,
                b'f' => job.sender = Some(argument),
                b'F' => job.environment.set("MAILNAME", Some(argument)),
                b'b' => match argument.first() {
                    Some(b'm') => {}
                    Some(b'p') => return Err(not_available("qmail-qread")),
                    Some(b's') => return Err(not_available("qmail-smtpd")),
                    _ => return Err(usage()),
                },
                // Delivery mode, error mode, the meaning of a dot: there is no choice here.
                _ => {}
            }
        }
        if let Some(sender) = &job.sender {
            let (user, host) = envelope::split(sender);
            for name in ["QMAILNAME", "MAILNAME", "NAME", "QMAILHOST", "MAILHOST"] {
                job.environment.set(name, None);
            }
            job.environment.set("QMAILUSER", Some(user.to_vec()));
            if let Some(host) = host.strip_prefix(b"@") {
                job.environment.set("QMAILHOST", Some(host.to_vec()));
            }
        }
        Ok(job)
    }

    fn run(&self) -> Result<(), QmailError> {
        let cancel = signals::cancel_on_signals_with(111);
        let environment = InjectEnvironment::read(&self.environment, Compat::Qmail)?;
        let (arguments, header_recipients) = self.recipients.choose(&self.arguments);
        // A message that is printed needs no recipients, so an unreadable list must not stop it.
        let header_recipients = header_recipients && !self.print;
        let options = environment.options(arguments, header_recipients, self.sender.as_deref());
        let options = InjectOptions { crlf: self.crlf, ..options };
        let injector = Injector::new(&options)?;
        let spool_dir = env::temp_dir();
        let message = open::read_message(&spool_dir, None, &cancel).map_err(|failure| {
            QmailError::fatal(failure.reason, format!("read error: {}\n", failure.text))
        })?;
        let completed = injector.complete(&message, &spool_dir)?;
        if self.print {
            return print(&envelope::return_path(&completed.envelope.sender), &completed.message);
        }
        enqueue(&completed, &cancel)
    }
}

/// Passes a message to the queue program, which inherits standard error, or on a null client to the servers that replace
/// it.
fn enqueue(completed: &CompletedMessage, cancel: &Cancel) -> Result<(), QmailError> {
    let CompletedMessage { message, envelope } = completed;
    let refused = |kind: OutcomeKind, text: &str| {
        let is_permanent = kind == OutcomeKind::Permanent;
        let reason = if is_permanent { FailureReason::Refused } else { FailureReason::TryAgain };
        QmailError::fatal(reason, format!("{text}\n"))
    };
    let hops = default_next_hops().map_err(|failure| refused(OutcomeKind::Temporary, &failure.text))?;
    if let [NextHop::Queue(program)] = &hops[..] {
        let limits = ProcessLimits { time: A_DAY, cancel };
        let queued = QueueProgram { path: program, limits, capture_stderr: false }
            .send(message.to_file(b"", 0)?, envelope);
        return queued.map(|_| ()).map_err(|Refusal { kind, text }| refused(kind, &text));
    }
    // A QMQP server would refuse that, and without recipients there is no outcome.
    if envelope.recipients.is_empty() {
        return Err(refused(OutcomeKind::Permanent, "no recipients specified (#5.5.4)"));
    }
    let outcomes = relay_message(&OutgoingMessage::unmodified(message, envelope), &hops, A_DAY, cancel)?;
    // A server's reply is for all recipients.
    match outcomes.iter().find(|one| one.outcome.failure_reason().is_some()) {
        None => Ok(()),
        Some(one) => {
            let text = format!("{}: {}", hops[one.hop_index], one.outcome);
            Err(refused(one.outcome.kind, &text))
        }
    }
}

fn not_available(program: &str) -> QmailError {
    let text = format!("sendmail: fatal: unable to run {program}\n").into_bytes();
    QmailError { reason: FailureReason::TryAgain, text }
}

fn print(first_line: &[u8], message: &SpooledMessage) -> Result<(), QmailError> {
    let mut out = io::stdout().lock();
    let mut write =
        |bytes: &[u8]| out.write_all(bytes).map_err(Error::io("write to", OsStr::new("standard output")));
    write(first_line)?;
    write(b"\n")?;
    message.for_each_chunk(0, &mut write)?;
    out.flush().map_err(Error::io("write to", OsStr::new("standard output")))?;
    Ok(())
}
