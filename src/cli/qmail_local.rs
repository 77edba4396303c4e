//! What happens when the program is called `qmail-local`: the arguments, output and exit codes of that
//! program (qmail-local(8)), for qmail-lspawn and for scripts that know no other.
//!
//! It does not what qmail-local does wrong: an mbox without a final newline gets one before the next message.
//! And it looks through the whole `.qmail` file before it does anything, where qmail-local follows a file up
//! to the line that it may not follow.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::deliver::dot_qmail::error::DotQmailError;
use crate::deliver::dot_qmail::find::shown;
use crate::deliver::dot_qmail::home::{Editing, Trust};
use crate::deliver::dot_qmail::line::{Fault, Instruction};
use crate::deliver::dot_qmail::program::{OutputMode, ProgramOutcome};
use crate::deliver::dot_qmail::{self, Executor, LocalRecipient, Route, RunOptions, RunSummary, environment};
use crate::deliver::prepared_message::PreparedMessage;
use crate::deliver::{self, DeliverOptions, DeliveryTarget};
use crate::mailbox::context::Cancel;
use crate::mailbox::error::{Error, Result};
use crate::mailbox::fs::durable::Dir;
use crate::mailbox::mbox::append::MboxAppender;
use crate::mailbox::mbox::write::{FromLineSpec, HeaderEdit, MessageHead};
use crate::mailbox::message::flags::Flags;
use crate::mailbox::source::input::InterruptibleReader;
use crate::mailbox::text::escape;
use crate::transport::envelope;
use crate::transport::failure::{Failure, FailureReason};
use crate::transport::process::Limits;
use crate::transport::spool::SpooledMessage;
use crate::transport::{self, queue};

use super::clock::now;
use super::inject_env::default_queue_program;
use super::open::Locks;
use super::signals;
use super::ui::exit::{Exit, ExitCodes};

const NAME: &str = "qmail-local";
const USAGE: &str =
    "qmail-local: usage: qmail-local [ -nN ] user homedir local dash ext domain sender aliasempty";
/// qmail-local sets no limit to a program, and a day to everything else.
const A_DAY: Duration = Duration::from_secs(86400);
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether it is this program that is meant: by the last part of the name that we are called by.
pub fn invoked_as(mut args: impl Iterator<Item = OsString>) -> bool {
    let name = args.next().unwrap_or_default();
    Path::new(&name).file_name() == Some(OsStr::new(NAME))
}

/// Runs it with these arguments, the name excepted.
pub fn run(args: impl Iterator<Item = OsString>) -> Exit {
    let said = match Arguments::parse(args) {
        Ok(arguments) => deliver(&arguments),
        Err(why) => Err(Said::never(&format!("{why}{USAGE}"))),
    };
    match said {
        Ok(report) => {
            // What is delivered stays so, whoever listens.
            let _ = io::stdout().write_all(&report);
            Exit::Done
        }
        Err(Said { reason, text }) => {
            if !text.is_empty() {
                let _ = io::stderr().write_all(&[text.as_bytes(), b"\n"].concat());
            }
            Exit::NotDelivered(reason, ExitCodes::Qmail)
        }
    }
}

/// Why it failed, in the words of qmail-local.
struct Said {
    reason: FailureReason,
    text: String,
}

impl Said {
    fn not_now(text: String) -> Said {
        Said { reason: FailureReason::TryAgain, text }
    }

    fn never(text: &str) -> Said {
        Said { reason: FailureReason::Refused, text: text.into() }
    }
}

struct Arguments {
    /// `-n`: say what would be done.
    tell: bool,
    home: PathBuf,
    address: LocalRecipient,
    default: Vec<u8>,
}

impl Arguments {
    /// getopt(3)'s rules; there are eight arguments, and the second is an absolute path. The error goes before
    /// the usage.
    fn parse(args: impl Iterator<Item = OsString>) -> Result<Arguments, String> {
        let mut args = args.map(OsString::into_vec).peekable();
        let mut tell = false;
        while let Some(options) = args.next_if(|arg| arg.len() > 1 && arg[0] == b'-') {
            if options == b"--" {
                break;
            }
            for option in &options[1..] {
                tell = match option {
                    b'n' => true,
                    b'N' => false,
                    _ => return Err(format!("{NAME}: illegal option -- {}\n", escape(&[*option]))),
                };
            }
        }
        let all: [Vec<u8>; 8] = args.collect::<Vec<_>>().try_into().map_err(|_| String::new())?;
        let [user, home, local, dash, extension, host, sender, default] = all;
        let home = PathBuf::from(OsString::from_vec(home));
        let address = LocalRecipient { user, local, dash, extension, host, sender, delimiter: None };
        match home.is_absolute() {
            true => Ok(Arguments { tell, home, address, default }),
            false => Err(String::new()),
        }
    }
}

/// Delivers, or says what would be done; what goes to standard output comes back.
fn deliver(arguments: &Arguments) -> Result<Vec<u8>, Said> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let Arguments { tell, home, address, default } = arguments;
    // The paths of mailboxes are as the .qmail file has them.
    env::set_current_dir(home).map_err(|e| unable("switch to", home.as_os_str().as_bytes(), &e, "4.3.0"))?;
    let cancel = signals::cancel_on_signals_with(111);
    // Looked at in this order: what is wrong with the home says nothing of the message.
    let home_is_fine = dot_qmail::home::check(home, Trust::Owner).map_err(|trouble| say(&trouble))?;
    if home_is_fine == Editing::Now && *tell {
        let _ = writeln!(io::stderr(), "Warning: home directory is sticky.");
    } else if home_is_fine == Editing::Now {
        return Err(say(&DotQmailError::HomeSticky { home: home.clone() }));
    }
    let letter = if *tell { None } else { Some(read(&cancel)?) };
    if letter.as_ref().is_some_and(|letter| is_looping(letter, address)) {
        return Err(Said::never("This message is looping: it already has my Delivered-To line. (#5.4.6)"));
    }
    let route = Route::find(home, address, default, Trust::Owner, &mut Vec::new())
        .map_err(|trouble| say(&trouble))?;
    let Some(letter) = letter else { return Ok(told(&route)) };
    let epoch = now();
    let locks = Locks::all().with_timeout(LOCK_TIMEOUT);
    let how = RunOptions {
        epoch: epoch.as_secs() as i64,
        output: OutputMode::Inherit,
        program_limits: Limits { time: A_DAY, cancel: &cancel },
    };
    let rules = DeliverOptions {
        create: false,
        flags: Flags::default(),
        quota: None,
        quota_is_temporary: false,
        dedupe: false,
        locks: &locks,
        now: epoch,
        cancel: &cancel,
    };
    let line = |line: Vec<u8>| [&line[..], b"\n"].concat();
    let mut local = Local {
        letter: &letter,
        rules,
        from_line: line(environment::from_line(&address.sender, how.epoch)),
        return_path: line(envelope::return_path(&address.sender)),
        delivered_to: line(envelope::delivered_to(&address.address())),
    };
    let done = dot_qmail::run(&route, address, &how, &mut local).map_err(|trouble| say(&trouble))?;
    Ok(did(&done))
}

fn read(cancel: &Cancel) -> Result<SpooledMessage, Said> {
    let stdin = io::stdin();
    // qmail-lspawn hands over a file, which may have been read; a pipe has no beginning to go back to.
    let _ = rustix::fs::seek(&stdin, rustix::fs::SeekFrom::Start(0));
    let input = InterruptibleReader {
        reader: stdin.lock(),
        name: Path::new("standard input"),
        timeout: None,
        cancel,
    };
    SpooledMessage::read(input, &env::temp_dir(), None)
        .map_err(|failure| Said::not_now(format!("Unable to read message: {}. (#4.3.0)", failure.text)))
}

/// A line of the header that is ours, byte for byte; the header ends at a line of one byte, or at none.
fn is_looping(letter: &SpooledMessage, address: &LocalRecipient) -> bool {
    let ours = [&envelope::delivered_to(&address.address())[..], b"\n"].concat();
    let lines = letter.head().split_inclusive(|&b| b == b'\n');
    lines.take_while(|line| line.len() > 1).any(|line| line == ours)
}

/// What `-n` prints.
fn told(route: &Route) -> Vec<u8> {
    let mut report = Vec::new();
    let mut done = RunSummary::default();
    for line in &route.lines {
        let (word, what) = match &line.instruction {
            Instruction::Mbox(path) => ("mbox", path),
            Instruction::Maildir(path) => ("maildir", path),
            Instruction::Program(command) => ("program", command),
            Instruction::Forward(address) => ("forward", address),
            _ => continue,
        };
        match word {
            "program" => done.programs += 1,
            "forward" => done.forwards += 1,
            _ => done.files += 1,
        }
        report.extend_from_slice(&[word.as_bytes(), b" ", what, b"\n"].concat());
    }
    report.extend_from_slice(&did(&done));
    report
}

fn did(done: &RunSummary) -> Vec<u8> {
    let RunSummary { files, forwards, programs, queued } = done;
    let queued = queued.map_or(String::new(), |process| format!("qp {process}\n"));
    format!("did {files}+{forwards}+{programs}\n{queued}").into_bytes()
}

/// The deliveries of one run.
struct Local<'a> {
    letter: &'a SpooledMessage,
    rules: DeliverOptions<'a>,
    from_line: Vec<u8>,
    return_path: Vec<u8>,
    delivered_to: Vec<u8>,
}

impl Executor for Local<'_> {
    fn deliver(&mut self, what: &Instruction) -> Result<(), Failure> {
        let said = match what {
            Instruction::Maildir(path) => self.fill_maildir(path),
            Instruction::Mbox(path) => self.fill_mbox(path),
            _ => Ok(()),
        };
        said.map_err(|Said { reason, text }| Failure { reason, text })
    }

    fn message_file(&self) -> Result<File, Failure> {
        Ok(self.letter.to_file(b"", 0)?)
    }

    fn forward(&mut self, envelope: &transport::envelope::Envelope) -> Result<Option<u32>, DotQmailError> {
        let message = self.letter.to_file(&self.delivered_to, 0).map_err(Failure::from)?;
        let limits = Limits { time: A_DAY, cancel: self.rules.cancel };
        queue::send(&default_queue_program(), message, envelope, limits)
            .map(Some)
            .map_err(DotQmailError::Queue)
    }
}

impl Local<'_> {
    fn top(&self) -> Vec<u8> {
        [&self.return_path[..], &self.delivered_to].concat()
    }

    fn fill_maildir(&self, path: &[u8]) -> Result<(), Said> {
        let path = Path::new(OsStr::from_bytes(path));
        let failed = || Said::not_now("Temporary error on maildir delivery. (#4.3.0)".into());
        match Dir::open(path) {
            Err(error) if error.retry_helps() => return Err(failed()),
            Err(_) => return Err(Said::not_now("Unable to chdir to maildir. (#4.2.1)".into())),
            Ok(_) => {}
        }
        let draft = PreparedMessage::verbatim(self.letter, self.top());
        match deliver::deliver(&draft, &[DeliveryTarget::Maildir(path.to_owned())], &self.rules) {
            Ok(_) => Ok(()),
            // A quota is nothing that qmail-local would know; who set one wants it told.
            Err(failure) if !failure.reason.is_temporary() => Err(Said {
                reason: failure.reason,
                text: format!("{} (#{})", failure.text, failure.reason.status()),
            }),
            Err(_) => Err(failed()),
        }
    }

    fn fill_mbox(&self, name: &[u8]) -> Result<(), Said> {
        let path = Path::new(OsStr::from_bytes(name));
        // The system would say so of a file to be written, and ours is not opened for that at first.
        if path.is_dir() {
            return Err(unable("open", name, &io::ErrorKind::IsADirectory.into(), "4.2.1"));
        }
        self.append(path).map_err(|error| match error {
            Error::Locked { .. } => {
                Said::not_now("File has been locked for 30 seconds straight. (#4.3.0)".into())
            }
            Error::Io { action: "write" | "flush", source, .. } => unable("write", name, &source, "4.3.0"),
            Error::Io { source, .. } => unable("open", name, &source, "4.2.1"),
            error => Said::not_now(format!("{error} (#4.2.1)")),
        })
    }

    fn append(&self, path: &Path) -> Result<()> {
        let DeliverOptions { locks, cancel, .. } = self.rules;
        let mut mbox = match MboxAppender::open_for_delivery(path, None, true, locks, cancel) {
            // As in spool directories: qmail-local itself makes no lock file.
            Err(Error::Io { ref source, .. }) if is_closed(source) && may_write(path) => {
                let locks = Locks::without_dotlock().with_timeout(LOCK_TIMEOUT);
                MboxAppender::open_for_delivery(path, None, false, &locks, cancel)?
            }
            mbox => mbox?,
        };
        let top = self.top();
        let head = MessageHead {
            from_line: FromLineSpec::Verbatim(&self.from_line),
            header: HeaderEdit::Verbatim(&top),
            eol: b"\n",
        };
        mbox.append(&head, cancel, |chunk| self.letter.for_each_chunk(0, chunk))?;
        mbox.sync()?;
        mbox.commit();
        Ok(())
    }
}

/// Whether nothing may be made beside a file.
fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn may_write(path: &Path) -> bool {
    File::options().append(true).open(path).is_ok()
}

/// `Unable to DO WHAT: why. (#status)`.
fn unable(to: &str, what: &[u8], error: &io::Error, status: &str) -> Said {
    let what = String::from_utf8_lossy(what);
    Said::not_now(format!("Unable to {to} {what}: {}. (#{status})", why(error)))
}

/// What the system said, in the words of qmail where it has words of its own.
fn why(error: &io::Error) -> String {
    use io::ErrorKind::*;
    let words = match error.kind() {
        NotFound => "file does not exist",
        PermissionDenied if error.raw_os_error() == Some(libc::EPERM) => "permission denied",
        PermissionDenied => "access denied",
        AlreadyExists => "file already exists",
        IsADirectory => "is a directory",
        NotADirectory => "not a directory",
        StorageFull => "out of disk space",
        QuotaExceeded => "disk quota exceeded",
        FileTooLarge => "file too big",
        ReadOnlyFilesystem => "file system is read-only",
        OutOfMemory => "out of memory",
        TimedOut => "timed out",
        InvalidFilename => "file name too long",
        _ if error.raw_os_error() == Some(libc::EIO) => "input/output error",
        _ if error.raw_os_error() == Some(libc::ELOOP) => "symbolic link loop",
        _ => return error.to_string(),
    };
    words.into()
}

/// What qmail-local says of it.
fn say(trouble: &DotQmailError) -> Said {
    let not_now = |text: &str| Said::not_now(text.into());
    match trouble {
        DotQmailError::HomeWritable { .. } => not_now("Uh-oh: home directory is writable. (#4.7.0)"),
        DotQmailError::HomeSticky { .. } => {
            not_now("Home directory is sticky: user is editing his .qmail file. (#4.2.1)")
        }
        DotQmailError::HomeInaccessible { source, .. } => {
            Said::not_now(format!("Unable to stat home directory: {}. (#4.3.0)", why(source)))
        }
        DotQmailError::FileUnreadable { path, source } => {
            let name = path.file_name().map(shown).unwrap_or_default();
            unable("open", name.as_bytes(), source, "4.3.0")
        }
        DotQmailError::FileWritable { .. } => not_now("Uh-oh: .qmail file is writable. (#4.7.0)"),
        // It is asked to trust root alone nowhere: qmail-lspawn has become the user.
        DotQmailError::NotRootOnly { .. } => not_now("Uh-oh: not only root may write this. (#4.7.0)"),
        DotQmailError::FileTooLarge { .. } => not_now("Uh-oh: .qmail file is too large. (#4.3.0)"),
        DotQmailError::NoMailbox { .. } => Said::never("Sorry, no mailbox here by that name. (#5.1.1)"),
        DotQmailError::Line { fault: Fault::FirstLineBlank, .. } => {
            not_now("Uh-oh: first line of .qmail file is blank. (#4.2.1)")
        }
        DotQmailError::Line { fault: Fault::MailboxInForwardOnly, .. } => {
            not_now("Uh-oh: .qmail has file delivery but has x bit set. (#4.7.0)")
        }
        DotQmailError::Line { fault: Fault::ProgramInForwardOnly, .. } => {
            not_now("Uh-oh: .qmail has prog delivery but has x bit set. (#4.7.0)")
        }
        DotQmailError::Line { fault: Fault::Nul, .. } => not_now("Uh-oh: .qmail file has a NUL. (#4.2.1)"),
        DotQmailError::Program { outcome: ended, .. } => match ended {
            // It has told what it had to say.
            ProgramOutcome::Refused(_) => Said::never(""),
            ProgramOutcome::Crashed(_) => not_now("Aack, child crashed. (#4.3.0)"),
            ProgramOutcome::TimeLimit => not_now("Program took too long. (#4.3.0)"),
            ProgramOutcome::Interrupted => not_now("Interrupted. (#4.3.2)"),
            _ => not_now(""),
        },
        DotQmailError::ProgramNotStarted { source, .. } => unable("run", b"/bin/sh", source, "4.3.0"),
        DotQmailError::Queue(refusal) => Said {
            reason: if refusal.kind == transport::outcome::OutcomeKind::Permanent {
                FailureReason::Refused
            } else {
                FailureReason::TryAgain
            },
            text: format!("Unable to forward message: {refusal}."),
        },
        DotQmailError::Delivery(Failure { reason, text }) => Said { reason: *reason, text: text.clone() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_of_getopt() {
        let tells = |options: &str| {
            let words = format!("{options} joe /home joe - e h s@x ./M");
            Arguments::parse(words.split_whitespace().map(OsString::from)).map(|arguments| arguments.tell)
        };
        for (options, tell) in
            [("", false), ("-n", true), ("-nN", false), ("-N -n", true), ("--", false), ("-n --", true)]
        {
            assert_eq!(tells(options), Ok(tell), "{options}");
        }
        assert_eq!(tells("-nx"), Err("qmail-local: illegal option -- x\n".into()));
        assert_eq!(tells("-"), Err(String::new()));
    }
}
