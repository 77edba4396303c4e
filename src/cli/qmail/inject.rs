//! `qmail-inject` and `sendmail`, for a process called by these names: their options, output and exit codes.
//!
//! cron, PHP and many others know only these programs. Unlike qmail-inject, a recipient list that cannot be parsed to its
//! end is not sent to the recipients found so far. `sendmail` accepts CRLF, which PHP writes.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;

use super::enqueue::enqueue;
use super::getopt::{ParsedWords, getopt};
use crate::cli::inject_env::{EnvOverlay, InjectEnvironment, RecipientSource};
use crate::cli::ui::{Exit, ExitCodes};
use crate::cli::{open, signals};
use crate::inject::{CompletedMessage, InjectError, InjectOptions, Injector, quotable};
use crate::mailbox::message::address::Compat;
use crate::mailbox::{Error, Result};
use crate::transport::{FailureReason, OutcomeKind, OutgoingMessage, Refusal, SpooledMessage, envelope};

/// Runs qmail-inject.
pub(super) fn run_qmail_inject(args: impl Iterator<Item = OsString>) -> Exit {
    finish(Job::parse_qmail_inject(args.map(OsString::into_vec).collect()))
}

/// Runs sendmail.
pub(super) fn run_sendmail(args: impl Iterator<Item = OsString>) -> Exit {
    finish(Job::parse_sendmail(args.map(OsString::into_vec).collect()))
}

fn finish(job: Result<Job, QmailError>) -> Exit {
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
    fn usage(text: Vec<u8>) -> QmailError {
        QmailError { reason: FailureReason::BadMessage, text }
    }

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
        let ParsedWords { options, operands } =
            getopt("qmail-inject", words, b"aAhHnNf:").map_err(QmailError::usage)?;
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
        let usage = || QmailError::usage(USAGE.to_vec());
        let parsed = getopt("sendmail", words, b"vimte:f:p:o:B:F:E?J?xb:");
        let ParsedWords { options, operands } =
            parsed.map_err(|text| QmailError::usage([&text[..], USAGE].concat()))?;
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
        let CompletedMessage { message, envelope } = &completed;
        match enqueue(&OutgoingMessage::unmodified(message, envelope), &cancel) {
            Ok(_) => Ok(()),
            Err(Refusal { kind, text }) => {
                let is_permanent = kind == OutcomeKind::Permanent;
                let reason = if is_permanent { FailureReason::Refused } else { FailureReason::TryAgain };
                Err(QmailError::fatal(reason, format!("{text}\n")))
            }
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
