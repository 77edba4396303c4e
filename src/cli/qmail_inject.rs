//! What happens when the program is called `qmail-inject` or `sendmail`: the options, output and exit codes of
//! those programs of qmail, for cron, PHP and all that know no other.
//!
//! It does not what qmail-inject does wrong: a list of recipients that cannot be read to its end is not sent to
//! those that happen to be found in it. And `sendmail` understands CRLF, since PHP writes it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use crate::inject::{Completed, Options, Ready, Refused};
use crate::mailbox::context::Cancel;
use crate::mailbox::error::{Error, Result};
use crate::mailbox::message::address::Compat;
use crate::transport::envelope;
use crate::transport::failure::Reason;
use crate::transport::next_hop::Place;
use crate::transport::process::Limits;
use crate::transport::spool::Letter;
use crate::transport::{Fate, Message, Refusal, queue};

use super::deliver::now;
use super::exit::{Exit, ExitCodes};
use super::inject::read_message;
use super::signals;
use crate::cli::inject_env::{EnvOverlay, InjectEnvironment, program_name};
use crate::cli::relay::{default_next_hops, outcome_failure, relay_message};

/// qmail-inject waits for its queue program for ever; a day is as good.
const A_DAY: Duration = Duration::from_secs(86400);

/// The programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    QmailInject,
    Sendmail,
}

fn program(args: impl Iterator<Item = OsString>) -> Option<Program> {
    match program_name(args)?.as_bytes() {
        b"qmail-inject" => Some(Program::QmailInject),
        b"sendmail" => Some(Program::Sendmail),
        _ => None,
    }
}

/// Whether it is one of these programs that is meant: by the last part of the name that we are called by.
pub fn invoked_as(args: impl Iterator<Item = OsString>) -> bool {
    program(args).is_some()
}

/// Runs it with these arguments.
pub fn run(mut args: impl Iterator<Item = OsString>) -> Exit {
    let name = program(args.by_ref());
    let words: Vec<Vec<u8>> = args.map(OsString::into_vec).collect();
    let order = match name {
        Some(Program::Sendmail) => Order::of_sendmail(words),
        _ => Order::of_qmail_inject(words),
    };
    match order.and_then(|order| order.carry_out()) {
        Ok(()) => Exit::Done,
        Err(Said { reason, text }) => {
            let _ = io::stderr().write_all(&text);
            Exit::NotDelivered(reason, ExitCodes::Qmail)
        }
    }
}

/// Why it failed, in the words of the program.
struct Said {
    reason: Reason,
    text: Vec<u8>,
}

impl Said {
    fn fatal(reason: Reason, text: impl AsRef<[u8]>) -> Said {
        Said { reason, text: [b"qmail-inject: fatal: ", text.as_ref()].concat() }
    }

    fn of(refused: &Refused) -> Said {
        const LINE: &[u8] = b"unable to parse this line:\n";
        let text = match refused {
            Refused::Field { text, .. } => [LINE, text].concat(),
            Refused::Address { address, is_sender: true, .. } => [LINE, &envelope::quoted(address)].concat(),
            Refused::Setting { text, .. } => [LINE, text].concat(),
            Refused::Address { address, .. } => [b"unable to parse address: ", &address[..], b"\n"].concat(),
            refused => format!("{refused}\n").into_bytes(),
        };
        let reason = match refused {
            // What is set wrong is for good, as it is to qmail-inject.
            Refused::Setting { .. } => Reason::BadMessage,
            refused => refused.reason(),
        };
        Said::fatal(reason, text)
    }
}

impl From<Error> for Said {
    fn from(error: Error) -> Said {
        Said::fatal(Reason::TryAgain, format!("read error: {error}\n"))
    }
}

/// Options as getopt(3) reads them: no words before options.
struct Words {
    options: Vec<(u8, Vec<u8>)>,
    operands: Vec<Vec<u8>>,
}

/// In `letters` a `:` follows an option that has an argument, a `?` one that may have one behind it in the same
/// word.
fn getopt(name: &str, words: Vec<Vec<u8>>, letters: &[u8]) -> Result<Words, Said> {
    let wrong = |what: &str, letter: u8| Said {
        reason: Reason::BadMessage,
        text: [format!("{name}: {what} -- ").as_bytes(), &[letter], b"\n"].concat(),
    };
    let mut options = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next_if(|word| word.starts_with(b"-") && word.len() > 1) {
        if word == b"--" {
            break;
        }
        let mut rest = &word[1..];
        while let Some((&letter, behind)) = rest.split_first() {
            rest = behind;
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
    Ok(Words { options, operands: words.collect() })
}

/// Where the recipients come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecipientSource {
    /// The arguments if there are any, else the header.
    ArgumentsOrHeader,
    /// The arguments alone.
    Arguments,
    /// The header alone.
    Header,
    /// The arguments, then the header.
    Both,
}

impl RecipientSource {
    /// Which of the arguments count, and whether the header does.
    pub fn choose(self, arguments: &[Vec<u8>]) -> (&[Vec<u8>], bool) {
        match self {
            RecipientSource::ArgumentsOrHeader => (arguments, arguments.is_empty()),
            RecipientSource::Arguments => (arguments, false),
            RecipientSource::Header => (&[], true),
            RecipientSource::Both => (arguments, true),
        }
    }
}

/// What is to be done.
struct Order {
    recipients: RecipientSource,
    arguments: Vec<Vec<u8>>,
    print: bool,
    sender: Option<Vec<u8>>,
    environment: EnvOverlay,
    crlf: bool,
}

impl Order {
    fn new(recipients: RecipientSource, arguments: Vec<Vec<u8>>, crlf: bool) -> Order {
        Order { recipients, arguments, print: false, sender: None, environment: EnvOverlay::default(), crlf }
    }

    fn of_qmail_inject(words: Vec<Vec<u8>>) -> Result<Order, Said> {
        let Words { options, operands } = getopt("qmail-inject", words, b"aAhHnNf:")?;
        let mut order = Order::new(RecipientSource::ArgumentsOrHeader, operands, false);
        for (letter, argument) in options {
            match letter {
                b'a' => order.recipients = RecipientSource::Arguments,
                b'A' => order.recipients = RecipientSource::ArgumentsOrHeader,
                b'h' => order.recipients = RecipientSource::Header,
                b'H' => order.recipients = RecipientSource::Both,
                b'n' => order.print = true,
                b'N' => order.print = false,
                _ => order.sender = Some(argument),
            }
        }
        Ok(order)
    }

    fn of_sendmail(words: Vec<Vec<u8>>) -> Result<Order, Said> {
        const USAGE: &[u8] =
            b"sendmail: usage: sendmail [ -t ] [ -fsender ] [ -Fname ] [ -bp ] [ -bs ] [ arg ... ]\n";
        let usage = || Said { reason: Reason::BadMessage, text: USAGE.to_vec() };
        let parsed = getopt("sendmail", words, b"vimte:f:p:o:B:F:E?J?xb:");
        let Words { options, operands } = parsed.map_err(|mut said| {
            said.text.extend_from_slice(USAGE);
            said
        })?;
        let mut order = Order::new(RecipientSource::Arguments, operands, true);
        order.environment = EnvOverlay::default().with_account_fallback();
        for (letter, argument) in options {
            match letter {
                b't' => order.recipients = RecipientSource::Both,
                b'f' => order.sender = Some(argument),
                b'F' => order.environment.set("MAILNAME", Some(argument)),
                b'b' => match argument.first() {
                    Some(b'm') => {}
                    Some(b'p') => return Err(not_here("qmail-qread")),
                    Some(b's') => return Err(not_here("qmail-smtpd")),
                    _ => return Err(usage()),
                },
                // How to deliver, how to fail, what a dot means: there is one way.
                _ => {}
            }
        }
        if let Some(sender) = &order.sender {
            let (user, host) = envelope::split(sender);
            for name in ["QMAILNAME", "MAILNAME", "NAME", "QMAILHOST", "MAILHOST"] {
                order.environment.set(name, None);
            }
            order.environment.set("QMAILUSER", Some(user.to_vec()));
            if let Some(host) = host.strip_prefix(b"@") {
                order.environment.set("QMAILHOST", Some(host.to_vec()));
            }
        }
        Ok(order)
    }

    fn carry_out(&self) -> Result<(), Said> {
        let cancel = signals::cancel_on_signals_with(111);
        let InjectEnvironment { author, flags: habits, domains, lists, .. } =
            InjectEnvironment::read(&self.environment, Compat::Qmail)?;
        let (arguments, header_too) = self.recipients.choose(&self.arguments);
        let options = Options {
            manner: Compat::Qmail,
            crlf: self.crlf,
            arguments,
            // What is printed has no recipients: a list that cannot be read does no harm.
            header_too: header_too && !self.print,
            sender: self.sender.as_deref(),
            author: &author,
            habits,
            domains: &domains,
            lists: &lists,
            now: now().as_secs() as i64,
            pid: std::process::id(),
            random: None,
        };
        let ready = Ready::new(&options).map_err(|refused| Said::of(&refused))?;
        let spool_dir = env::temp_dir();
        let letter = read_message(&spool_dir, &cancel)
            .map_err(|failure| Said::fatal(failure.reason, format!("read error: {}\n", failure.text)))?;
        let completed = ready.complete(&letter, &spool_dir).map_err(|refused| Said::of(&refused))?;
        if self.print {
            return print(&envelope::return_path(&completed.envelope.sender), &completed.letter);
        }
        queue(&completed, &cancel)
    }
}

/// To the queue program, which says itself on standard error what it has to say; on a null client to the servers
/// that stand in for it.
fn queue(completed: &Completed, cancel: &Cancel) -> Result<(), Said> {
    let Completed { letter, envelope } = completed;
    let refused = |fate: Fate, text: &str| {
        let reason = if fate == Fate::Permanent { Reason::Refused } else { Reason::TryAgain };
        Said::fatal(reason, format!("{text}\n"))
    };
    let places = default_next_hops().map_err(|failure| refused(Fate::Temporary, &failure.text))?;
    if let [Place::Queue(program)] = &places[..] {
        let limits = Limits { time: A_DAY, cancel };
        let queued = queue::send(program, letter.file(b"", 0)?, envelope, limits);
        return queued.map(|_| ()).map_err(|Refusal { fate, text }| refused(fate, &text));
    }
    // No server takes that, and none would be asked.
    if envelope.recipients.is_empty() {
        return Err(refused(Fate::Permanent, "no recipients specified (#5.5.4)"));
    }
    let outcomes = relay_message(&Message::whole(letter), envelope, &places, A_DAY, cancel)?;
    // A server answers for all recipients at once.
    match outcomes.iter().find(|told| outcome_failure(&told.outcome).is_some()) {
        None => Ok(()),
        Some(told) => Err(refused(told.outcome.fate, &format!("{}: {}", places[told.by], told.outcome))),
    }
}

fn not_here(program: &str) -> Said {
    let text = format!("sendmail: fatal: unable to run {program}\n").into_bytes();
    Said { reason: Reason::TryAgain, text }
}

fn print(first: &[u8], letter: &Letter) -> Result<(), Said> {
    let mut out = io::stdout().lock();
    let mut put =
        |bytes: &[u8]| out.write_all(bytes).map_err(Error::io("write to", OsStr::new("standard output")));
    put(first)?;
    put(b"\n")?;
    letter.each_chunk(0, &mut put)?;
    out.flush().map_err(Error::io("write to", OsStr::new("standard output")))?;
    Ok(())
}
