//! `qmail-local`: the arguments, output and exit codes of qmail-local(8), when mailferry is run under that name.
//!
//! Two faults of qmail-local are not repeated. An mbox without a final newline gets one before the next message. And
//! the whole `.qmail` file is checked before the first delivery; qmail-local executes it up to the faulty line.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::name::QmailProgram;
use super::open_mbox::open_mbox;
use super::system_error::system_error_text;
use crate::cli::clock::now;
use crate::cli::identity::{self, Privilege};
use crate::cli::inject_env::default_queue_program;
use crate::cli::open::{self, Locks, delivery_context};
use crate::cli::signals;
use crate::cli::ui::{Exit, ExitCodes};
use crate::deliver::dot_qmail::line::Fault;
use crate::deliver::dot_qmail::{
    DotQmailError, Executor, Instruction, LocalRecipient, OutputMode, ProgramOutcome, Route, RunOptions,
    RunSummary, Trust, environment, home, run,
};
use crate::deliver::{DeliverOptions, DeliveryTarget, PreparedMessage, transaction};
use crate::mailbox::fs::Dir;
use crate::mailbox::mbox::write::{FromLineSpec, HeaderEdit, MessageHead};
use crate::mailbox::{Cancel, Context, Error, Result, escape};
use crate::transport::{
    Envelope, Failure, FailureReason, ProcessLimits, QueueProgram, SpooledMessage, envelope,
};

const NAME: &str = "qmail-local";
const USAGE: &str =
    "qmail-local: usage: qmail-local [ -nN ] user homedir local dash ext domain sender aliasempty";
/// qmail-local has no time limit for a program, and one day for everything else.
const ONE_DAY: Duration = Duration::from_secs(86400);
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs it with the arguments after the name.
pub(super) fn run(args: impl Iterator<Item = OsString>) -> Exit {
    let result = match Arguments::parse(args) {
        Ok(arguments) => deliver(&arguments),
        Err(why) => Err(permanent(&format!("{why}{USAGE}"))),
    };
    match result {
        Ok(report) => {
            // A closed standard output does not undo the delivery.
            let _ = io::stdout().write_all(&report);
            Exit::Done
        }
        Err(Failure { reason, text }) => {
            if !text.is_empty() {
                let _ = io::stderr().write_all(&[text.as_bytes(), b"\n"].concat());
            }
            Exit::NotDelivered(reason, ExitCodes::Qmail)
        }
    }
}

fn temporary(text: impl Into<String>) -> Failure {
    Failure { reason: FailureReason::TryAgain, text: text.into() }
}

fn permanent(text: &str) -> Failure {
    Failure { reason: FailureReason::Refused, text: text.into() }
}

struct Arguments {
    /// `-n`
    dry_run: bool,
    home: PathBuf,
    recipient: LocalRecipient,
    default: Vec<u8>,
}

impl Arguments {
    /// Parses eight arguments by getopt(3)'s rules. The second is an absolute path. The error precedes the usage.
    fn parse(args: impl Iterator<Item = OsString>) -> Result<Arguments, String> {
        let mut args = args.map(OsString::into_vec).peekable();
        let mut dry_run = false;
        while let Some(options) = args.next_if(|arg| arg.len() > 1 && arg[0] == b'-') {
            if options == b"--" {
                break;
            }
            for option in &options[1..] {
                dry_run = match option {
                    b'n' => true,
                    b'N' => false,
                    _ => return Err(format!("{NAME}: illegal option -- {}\n", escape(&[*option]))),
                };
            }
        }
        let all: [Vec<u8>; 8] = args.collect::<Vec<_>>().try_into().map_err(|_| String::new())?;
        let [user, home, local, dash, extension, host, sender, default] = all;
        let home = PathBuf::from(OsString::from_vec(home));
        let recipient = LocalRecipient { user, local, dash, extension, host, sender, delimiter: None };
        match home.is_absolute() {
            true => Ok(Arguments { dry_run, home, recipient, default }),
            false => Err(String::new()),
        }
    }
}

/// Delivers, or reports what a delivery would do. Returns the standard output.
fn deliver(arguments: &Arguments) -> Result<Vec<u8>, Failure> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let Arguments { dry_run, home, recipient, default } = arguments;
    // Mailboxes of the .qmail file have relative paths.
    env::set_current_dir(home)
        .map_err(|e| unable_to("switch to", home.as_os_str().as_bytes(), &e, "4.3.0"))?;
    let cancel = signals::cancel_on_signals_with(111);
    // In this order: a fault of the home is not one of the message.
    let is_sticky = home::check_home(home, Trust::Owner).map_err(|error| failure(&error))?;
    if is_sticky && *dry_run {
        let _ = writeln!(io::stderr(), "Warning: home directory is sticky.");
    } else if is_sticky {
        return Err(failure(&DotQmailError::HomeSticky { home: home.clone() }));
    }
    // qmail-lspawn has become the user; anything else that root starts it from has not.
    let user = OsStr::from_bytes(&recipient.user);
    let privilege = identity::become_home_owner(home, Some(user))
        .map_err(|error| temporary(format!("Uh-oh: {}. (#4.3.5)", error.text)))?;
    let trust = match privilege {
        Privilege::User => Trust::Owner,
        Privilege::Root => Trust::RootOnly,
    };
    let message = if *dry_run { None } else { Some(read_message(&cancel)?) };
    if message.as_ref().is_some_and(|message| is_looping(message, recipient)) {
        return Err(permanent("This message is looping: it already has my Delivered-To line. (#5.4.6)"));
    }
    let route =
        Route::find(home, recipient, default, trust, &mut Vec::new()).map_err(|error| failure(&error))?;
    let Some(message) = message else { return Ok(dry_run_report(&route)) };
    let time = now();
    let epoch = time.as_secs() as i64;
    let locks = Locks::all().with_timeout(LOCK_TIMEOUT);
    let line = |line: Vec<u8>| [&line[..], b"\n"].concat();
    let mut executor = QmailExecutor {
        message: &message,
        options: DeliverOptions { time, ..DeliverOptions::default() },
        ctx: &delivery_context(&cancel, &locks),
        from_line: line(environment::from_line(&recipient.sender, epoch)),
        return_path: line(envelope::return_path(&recipient.sender)),
        delivered_to: line(envelope::delivered_to(&recipient.address())),
    };
    // A program could read what is typed at a terminal that it inherits.
    let output = match io::stdout().is_terminal() || io::stderr().is_terminal() {
        true => OutputMode::Capture,
        false => OutputMode::Inherit,
    };
    let own_programs = QmailProgram::for_commands(Vec::new())?;
    let options = RunOptions { epoch, output, program_time: ONE_DAY, own_programs: &own_programs };
    let summary =
        run::run(&route, recipient, options, &mut executor, &cancel).map_err(|error| failure(&error))?;
    Ok(summary_report(&summary))
}

fn read_message(cancel: &Cancel) -> Result<SpooledMessage, Failure> {
    // qmail-lspawn passes a file, which may have been read. A pipe cannot be rewound.
    let _ = rustix::fs::seek(io::stdin(), rustix::fs::SeekFrom::Start(0));
    open::read_message(&env::temp_dir(), None, cancel)
        .map_err(|failure| temporary(format!("Unable to read message: {}. (#4.3.0)", failure.text)))
}

/// Searches the header for this recipient's Delivered-To, byte for byte. The header ends at a line of one byte.
fn is_looping(message: &SpooledMessage, recipient: &LocalRecipient) -> bool {
    let delivered_to = [&envelope::delivered_to(&recipient.address())[..], b"\n"].concat();
    let lines = message.in_memory().split_inclusive(|&b| b == b'\n');
    lines.take_while(|line| line.len() > 1).any(|line| line == delivered_to)
}

/// The output of `-n`.
fn dry_run_report(route: &Route) -> Vec<u8> {
    let mut report = Vec::new();
    let mut summary = RunSummary::default();
    for line in &route.lines {
        let (word, what) = match &line.instruction {
            Instruction::Mbox(path) => ("mbox", path),
            Instruction::Maildir(path) => ("maildir", path),
            Instruction::Program(command) => ("program", command),
            Instruction::Forward(address) => ("forward", address),
            _ => continue,
        };
        match word {
            "program" => summary.programs += 1,
            "forward" => summary.forwards += 1,
            _ => summary.files += 1,
        }
        report.extend_from_slice(&[word.as_bytes(), b" ", what, b"\n"].concat());
    }
    report.extend_from_slice(&summary_report(&summary));
    report
}

fn summary_report(summary: &RunSummary) -> Vec<u8> {
    let RunSummary { files, forwards, programs, queued } = summary;
    let queued = queued.map_or(String::new(), |process| format!("qp {process}\n"));
    format!("did {files}+{forwards}+{programs}\n{queued}").into_bytes()
}

/// The deliveries of one message, as qmail-local does them.
struct QmailExecutor<'a> {
    message: &'a SpooledMessage,
    options: DeliverOptions,
    ctx: &'a Context<'a>,
    from_line: Vec<u8>,
    return_path: Vec<u8>,
    delivered_to: Vec<u8>,
}

impl Executor for QmailExecutor<'_> {
    fn deliver(&mut self, instruction: &Instruction) -> Result<(), Failure> {
        match instruction {
            Instruction::Maildir(path) => self.deliver_to_maildir(path),
            Instruction::Mbox(path) => self.append_to_mbox(path),
            _ => Ok(()),
        }
    }

    fn message_file(&self) -> Result<File, Failure> {
        Ok(self.message.to_file(b"", 0)?)
    }

    fn forward(&mut self, envelope: &Envelope) -> Result<Option<u32>, DotQmailError> {
        let message = self.message.to_file(&self.delivered_to, 0).map_err(Failure::from)?;
        let limits = ProcessLimits { time: ONE_DAY, cancel: self.ctx.cancel };
        QueueProgram { path: &default_queue_program(), limits, capture_stderr: false }
            .send(message, envelope)
            .map(Some)
            .map_err(DotQmailError::Queue)
    }
}

impl QmailExecutor<'_> {
    fn prefix(&self) -> Vec<u8> {
        [&self.return_path[..], &self.delivered_to].concat()
    }

    fn deliver_to_maildir(&self, path: &[u8]) -> Result<(), Failure> {
        let path = Path::new(OsStr::from_bytes(path));
        let failed = || temporary("Temporary error on maildir delivery. (#4.3.0)");
        match Dir::open(path) {
            Err(error) if error.retry_helps() => return Err(failed()),
            Err(_) => return Err(temporary("Unable to chdir to maildir. (#4.2.1)")),
            Ok(_) => {}
        }
        let message = PreparedMessage::verbatim(self.message, self.prefix());
        let target = DeliveryTarget::Maildir(path.to_owned());
        match transaction::deliver(&message, &[target], &self.options, self.ctx) {
            Ok(_) => Ok(()),
            // qmail-local knows no quota. Who sets one needs the reason.
            Err(Failure { reason, text }) if !reason.is_temporary() => {
                Err(Failure { reason, text: format!("{text} (#{})", reason.status()) })
            }
            Err(_) => Err(failed()),
        }
    }

    fn append_to_mbox(&self, name: &[u8]) -> Result<(), Failure> {
        let path = Path::new(OsStr::from_bytes(name));
        // open(2) for writing would fail for a directory, but the mbox is first opened for reading.
        if path.is_dir() {
            return Err(unable_to("open", name, &io::ErrorKind::IsADirectory.into(), "4.2.1"));
        }
        self.append(path).map_err(|error| match error {
            Error::Locked { .. } => temporary("File has been locked for 30 seconds straight. (#4.3.0)"),
            Error::Io { action: "write" | "flush", source, .. } => unable_to("write", name, &source, "4.3.0"),
            Error::Io { source, .. } => unable_to("open", name, &source, "4.2.1"),
            error => temporary(format!("{error} (#4.2.1)")),
        })
    }

    fn append(&self, path: &Path) -> Result<()> {
        let cancel = self.ctx.cancel;
        let mut mbox = open_mbox(path, self.ctx, LOCK_TIMEOUT)?;
        let prefix = self.prefix();
        let from_line = FromLineSpec::Verbatim(&self.from_line);
        let head = MessageHead { from_line, header: HeaderEdit::Verbatim(&prefix), eol: b"\n" };
        mbox.append(&head, cancel, |chunk| self.message.for_each_chunk(0, chunk))?;
        mbox.sync()?;
        mbox.commit();
        Ok(())
    }
}

/// `Unable to DO WHAT: why. (#status)`.
fn unable_to(action: &str, what: &[u8], error: &io::Error, status: &str) -> Failure {
    let what = String::from_utf8_lossy(what);
    temporary(format!("Unable to {action} {what}: {}. (#{status})", system_error_text(error)))
}

/// The failure in the words of qmail-local.
fn failure(error: &DotQmailError) -> Failure {
    match error {
        DotQmailError::HomeWritable { .. } => temporary("Uh-oh: home directory is writable. (#4.7.0)"),
        DotQmailError::HomeSticky { .. } => {
            temporary("Home directory is sticky: user is editing his .qmail file. (#4.2.1)")
        }
        DotQmailError::HomeInaccessible { source, .. } => {
            temporary(format!("Unable to stat home directory: {}. (#4.3.0)", system_error_text(source)))
        }
        DotQmailError::FileUnreadable { path, source } => {
            let name = path.file_name().map(|name| escape(name.as_bytes())).unwrap_or_default();
            unable_to("open", name.as_bytes(), source, "4.3.0")
        }
        DotQmailError::FileWritable { .. } => temporary("Uh-oh: .qmail file is writable. (#4.7.0)"),
        // Only as root.
        DotQmailError::NotRootOnly { .. } => temporary("Uh-oh: not only root may write this. (#4.7.0)"),
        DotQmailError::FileTooLarge { .. } => temporary("Uh-oh: .qmail file is too large. (#4.3.0)"),
        DotQmailError::NoMailbox { .. } => permanent("Sorry, no mailbox here by that name. (#5.1.1)"),
        DotQmailError::Line { fault, .. } => temporary(match fault {
            Fault::FirstLineBlank => "Uh-oh: first line of .qmail file is blank. (#4.2.1)",
            Fault::MailboxInForwardOnly => "Uh-oh: .qmail has file delivery but has x bit set. (#4.7.0)",
            Fault::ProgramInForwardOnly => "Uh-oh: .qmail has prog delivery but has x bit set. (#4.7.0)",
            Fault::Nul => "Uh-oh: .qmail file has a NUL. (#4.2.1)",
        }),
        DotQmailError::Program { outcome, output, .. } => match outcome {
            // The program has reported its reason itself, unless its output was captured.
            ProgramOutcome::Refused(_) => permanent(&escape(output.trim_ascii())),
            ProgramOutcome::Crashed(_) => temporary("Aack, child crashed. (#4.3.0)"),
            ProgramOutcome::TimeLimit => temporary("Program took too long. (#4.3.0)"),
            ProgramOutcome::Interrupted => temporary("Interrupted. (#4.3.2)"),
            _ => temporary(escape(output.trim_ascii())),
        },
        DotQmailError::ProgramNotStarted { source, .. } => unable_to("run", b"/bin/sh", source, "4.3.0"),
        DotQmailError::Queue(refusal) => {
            Failure { reason: refusal.reason(), text: format!("Unable to forward message: {refusal}.") }
        }
        DotQmailError::Delivery(failure) => failure.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_of_getopt() {
        let dry_run = |options: &str| {
            let words = format!("{options} joe /home joe - e h s@x ./M");
            Arguments::parse(words.split_whitespace().map(OsString::from)).map(|arguments| arguments.dry_run)
        };
        for (options, want) in
            [("", false), ("-n", true), ("-nN", false), ("-N -n", true), ("--", false), ("-n --", true)]
        {
            assert_eq!(dry_run(options), Ok(want), "{options}");
        }
        assert_eq!(dry_run("-nx"), Err("qmail-local: illegal option -- x\n".into()));
        assert_eq!(dry_run("-"), Err(String::new()));
    }
}
