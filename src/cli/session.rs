//! `mailferry deliver --protocol lmtp`.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::clock;
use super::dot_qmail::ProgramArguments;
use super::identity;
use super::mailbox_arg::MailboxArg;
use super::sandbox::{SandboxArgs, SandboxPaths};
use crate::deliver::session::lmtp::conversation;
use crate::deliver::session::lmtp::reply::ReplyLine;
use crate::deliver::session::mailbox_recipients::{MailboxRecipients, MailboxTemplate, MailboxTemplates};
use crate::deliver::session::map::RecipientMap;
use crate::deliver::session::program_recipients::ProgramRecipients;
use crate::deliver::session::template::Template;
use crate::deliver::session::wire::Peer;
use crate::deliver::session::{Recipients, SessionEnd, SessionOptions};
use crate::deliver::{DeliverOptions, DeliveredMessage};
use crate::mailbox::{Context, Error, display_path};
use crate::transport::{Failure, FailureReason};

/// Time for a command, for a message (and more for a long one), and to read a reply: RFC 5321, 4.5.3.2.7.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Interval of the checks for cancellation.
const CANCEL_CHECK: Duration = Duration::from_secs(1);
/// PIPE_BUF: a pipe that poll(2) reports as writable takes at least this much.
const PIECE: usize = 4096;

/// The options of a session.
#[derive(Args, Debug)]
pub(crate) struct SessionArgs {
    /// Speak this protocol with an MTA on standard input and output
    ///
    /// LMTP has the extensions PIPELINING, SIZE, 8BITMIME and ENHANCEDSTATUSCODES. A command has at most 4096 bytes, and a
    /// message at most 1000 recipients. A command may take 300 seconds, a message as long and one second more for each 64
    /// KiB; then the reply is 421 4.4.2. After 20 errors, 100 commands without effect or 1000 refused recipients without a
    /// message it is 421 4.7.0. Each recipient gets 250, in the order of RCPT, when the message is on stable storage. With
    /// --dot-qmail, several users get their mail at a time: a slow program delays only the replies after its own. The exit
    /// status is 0 after QUIT or when the peer closes between two messages, otherwise 75.
    #[arg(long, value_enum, value_name = "NAME", requires = "recipients", help_heading = "LMTP",
        conflicts_with_all = ["sender", "recipient", "dry_run", "json", "verbose"])]
    pub protocol: Option<Protocol>,
    /// Mailbox of a recipient, with %u (local part), %d (domain), %e (extension)
    ///
    /// The parts are in lower case, and %% is a percent sign. With %e the local part is split at its first delimiter;
    /// without an extension, `/.%e` is left out. A part that is missing, begins with a dot, contains a slash or a control
    /// character, or has more than 255 bytes is refused (550 5.1.3). If the mailbox is missing, there is no such recipient
    /// (550 5.1.1); if the directory before the first % is missing too, the mail waits (451). --create creates the mailbox
    /// and the directories above it, up to that one.
    #[arg(
        long,
        value_name = "TEMPLATE",
        requires = "protocol",
        group = "recipients",
        help_heading = "LMTP",
        conflicts_with = "mailboxes"
    )]
    pub mailbox: Option<OsString>,
    /// File with lines of ADDRESS MAILBOX; @DOMAIN is the rest of a domain
    ///
    /// Blanks separate the two, and # begins a comment. A mailbox may contain %u, %d and %e. Addresses are compared without
    /// case: first the whole address, then the address without its extension (with --delimiter or %e), then the domain.
    /// The file is read once, when the session begins. After an invalid line the reply is 421 4.3.5, and no mail is
    /// accepted. If a mailbox without %u, %d or %e is missing, the mail waits (451).
    // In convert and verify, --map is about folders.
    #[arg(
        long = "recipient-map",
        alias = "map",
        value_name = "FILE",
        requires = "protocol",
        group = "recipients",
        help_heading = "LMTP",
        conflicts_with = "mailboxes"
    )]
    pub map: Option<PathBuf>,
}

/// Values of `--protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// RFC 2033
    Lmtp,
}

/// A session on standard input and output, with the options that deliver has for each message, too.
pub(crate) struct Session<'a> {
    pub options: DeliverOptions,
    pub max_size: Option<u64>,
    pub spool_dir: &'a Path,
    pub delimiter: Option<u8>,
    pub folder: Option<&'a OsStr>,
    pub ctx: &'a Context<'a>,
}

impl Session<'_> {
    /// Delivers into mailboxes.
    ///
    /// # Errors
    /// The session did not end between two messages.
    pub(crate) fn with_mailboxes(&self, args: &SessionArgs, sandbox: SandboxArgs) -> Result<(), Failure> {
        let templates = templates(args).map_err(refuse_service)?;
        let directories = templates.fixed_directories();
        identity::take_if_common(&directories).map_err(|error| refuse_service(error.into()))?;
        let mut paths = SandboxPaths::for_delivery(self.spool_dir);
        templates.iter().for_each(|template| paths.deliver_by_template(&template.path));
        paths.enter(sandbox, false);
        let mut recipients = MailboxRecipients {
            templates,
            delimiter: self.delimiter,
            folder: self.folder,
            options: self.options,
            clock: clock::now,
            report: print_findings,
            ctx: self.ctx,
        };
        self.serve(&mut recipients)
    }

    /// Delivers by a `deliver --dot-qmail` for each recipient. `program_timeout` is in seconds.
    ///
    /// # Errors
    /// As [`Session::with_mailboxes`].
    pub(crate) fn with_programs(
        &self,
        home: &OsStr,
        user: Option<&OsStr>,
        arguments: ProgramArguments,
        program_timeout: u64,
    ) -> Result<(), Failure> {
        let template = |option: &str, text: &OsStr| {
            let usage = |why| refuse_service(Error::usage(option, why).into());
            Template::parse(text.as_bytes()).map_err(usage)
        };
        let program = std::env::current_exe()
            .map_err(|e| refuse_service(Error::io("find", "our own program")(e).into()))?;
        let mut recipients = ProgramRecipients {
            program,
            arguments: arguments.leading,
            trailing_arguments: arguments.trailing,
            home: template("--home", home)?,
            user: template("--user", user.unwrap_or(OsStr::new("%u")))?,
            // `-` is always a delimiter, as in the names of the files.
            delimiters: [b'-'].into_iter().chain(self.delimiter).collect(),
            time_limit: Duration::from_secs(program_timeout.saturating_add(30)),
            cancel: self.ctx.cancel,
        };
        self.serve(&mut recipients)
    }

    fn serve(&self, recipients: &mut impl Recipients) -> Result<(), Failure> {
        let host = Some(self.ctx.locks.host.as_str()).filter(|host| !host.is_empty());
        let options = SessionOptions {
            host: host.unwrap_or("localhost"),
            max_size: self.max_size,
            spool_dir: self.spool_dir,
        };
        let mut peer = StandardStreams { deadline: Instant::now() + TIMEOUT };
        let (reason, text) = match conversation::serve(&mut peer, recipients, &options, self.ctx.cancel) {
            SessionEnd::Orderly => return Ok(()),
            SessionEnd::Disconnected => {
                (FailureReason::TryAgain, "the peer has closed in the middle of a command or message")
            }
            SessionEnd::TimedOut => {
                (FailureReason::TryAgain, "the peer sent nothing, or too little, for 300 seconds")
            }
            SessionEnd::TooManyErrors => {
                (FailureReason::TryAgain, "the peer made too many errors, or sent commands without a message")
            }
            SessionEnd::Interrupted => {
                (FailureReason::Interrupted, "interrupted; every message that was reported as delivered is")
            }
            SessionEnd::Failed(e) => {
                return Err(Error::io("exchange data", "standard input and output")(e).into());
            }
        };
        Err(Failure::new(reason, text))
    }
}

/// Replies at once that no mail is accepted now, so that the peer tries again.
fn refuse_service(failure: Failure) -> Failure {
    let mut line = Vec::new();
    ReplyLine::new(421, &failure.to_string()).write_to(&mut line);
    // The first failure is the one to report.
    let _ = StandardStreams { deadline: Instant::now() }.write_all(&line);
    failure
}

/// Prints a line for the administrator. Under inetd and systemd standard error may be the peer's socket: nothing but
/// replies goes there.
pub(crate) fn print_diagnostic(line: impl Display) {
    let same = |a: &rustix::fs::Stat, b: &rustix::fs::Stat| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
    let stats = (rustix::fs::fstat(io::stdout()), rustix::fs::fstat(io::stderr()));
    if !matches!(stats, (Ok(out), Ok(err)) if same(&out, &err)) {
        // A closed standard error does not end the session.
        let _ = writeln!(io::stderr(), "{line}");
    }
}

fn print_findings(delivered: &DeliveredMessage) {
    for finding in &delivered.findings {
        print_diagnostic(format_args!("{}: {}", display_path(&delivered.path), finding.message));
    }
}

fn templates(args: &SessionArgs) -> Result<MailboxTemplates, Failure> {
    if let Some(path) = &args.map {
        let text = identity::read_option_file(path)?;
        let map = RecipientMap::parse(&text, path, template);
        return map.map(MailboxTemplates::Map).map_err(|why| Failure::new(FailureReason::Configuration, why));
    }
    let text = args.mailbox.as_deref().unwrap_or_default().as_bytes();
    let template = template(text).map_err(|why| Error::usage("--mailbox", why))?;
    Ok(MailboxTemplates::Single(template))
}

fn template(text: &[u8]) -> Result<MailboxTemplate, String> {
    let mailbox = MailboxArg::parse(OsStr::from_bytes(text)).map_err(|error| error.to_string())?;
    let path = Template::parse(mailbox.path.as_os_str().as_bytes())?;
    Ok(MailboxTemplate { format: mailbox.target_format(), path })
}

/// Standard input and output: two pipes, or one socket.
struct StandardStreams {
    deadline: Instant,
}

impl Peer for StandardStreams {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let stdin = io::stdin();
        // A signal just before the wait does not interrupt it.
        if !is_ready(&mut [PollFd::new(&stdin, PollFlags::IN)], left.min(CANCEL_CHECK))? {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match rustix::io::read(&stdin, buffer) {
            // Another process of a non-blocking descriptor read first.
            Err(rustix::io::Errno::AGAIN) => Err(io::ErrorKind::Interrupted.into()),
            other => Ok(other?),
        }
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let stdout = io::stdout();
        let deadline = Instant::now() + TIMEOUT;
        while !bytes.is_empty() {
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let piece = &bytes[..bytes.len().min(PIECE)];
            match is_ready(&mut [PollFd::new(&stdout, PollFlags::OUT)], CANCEL_CHECK) {
                Ok(false) => continue,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            match rustix::io::write(&stdout, piece) {
                Ok(n) => bytes = &bytes[n..],
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn reset_deadline(&mut self) {
        self.deadline = Instant::now() + TIMEOUT;
    }

    fn extend_deadline(&mut self, by: Duration) {
        self.deadline += by;
    }
}

fn is_ready(fds: &mut [PollFd<'_>], at_most: Duration) -> io::Result<bool> {
    let at_most = Timespec {
        tv_sec: at_most.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: at_most.subsec_nanos().into(),
    };
    Ok(poll(fds, Some(&at_most))? > 0)
}
