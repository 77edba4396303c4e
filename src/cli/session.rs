//! `mailferry deliver --protocol lmtp|qmtp|qmqp`.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{Shutdown, shutdown};

use super::clock;
use super::dot_qmail::ProgramArguments;
use super::identity;
use super::mailbox_arg::MailboxArg;
use super::sandbox::{SandboxArgs, SandboxPaths};
use crate::deliver::session::lmtp::reply::ReplyLine;
use crate::deliver::session::mailbox_recipients::{MailboxRecipients, MailboxTemplate, MailboxTemplates};
use crate::deliver::session::map::RecipientMap;
use crate::deliver::session::program_recipients::ProgramRecipients;
use crate::deliver::session::serve::serve;
use crate::deliver::session::template::Template;
use crate::deliver::session::unavailable::UnavailableRecipients;
use crate::deliver::session::wire::Peer;
use crate::deliver::session::{self, Recipients, SessionEnd, SessionOptions};
use crate::deliver::{DeliverOptions, DeliveredMessage};
use crate::mailbox::{Cancel, Context, Error, display_path};
use crate::transport::{Failure, FailureReason};

/// Time for a command, for a message (and more for a long one), and to read a reply: RFC 5321, 4.5.3.2.7.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Time for a session of QMTP or QMQP, as in qmail.
const SESSION_TIME: Duration = Duration::from_secs(3600);
/// Interval of the checks for cancellation.
const CANCEL_CHECK: Duration = Duration::from_secs(1);
/// Time for a peer to stop sending after the last reply.
const LINGER: Duration = Duration::from_secs(10);
/// Bytes that a peer may send after the last reply.
const MAX_DROPPED: usize = 1 << 20;
/// PIPE_BUF: a pipe that poll(2) reports as writable takes at least this much.
const PIECE: usize = 4096;

/// The options of a session.
#[derive(Args, Debug)]
pub(crate) struct SessionArgs {
    /// Speak this protocol with a mail system on standard input and output
    ///
    /// A recipient has a positive reply when its message is on stable storage. A message has at most 1000 recipients. The
    /// peer has 300 seconds for it, and one more for each 64 KiB. The exit status is 0 after the last message, otherwise 75.
    ///
    /// LMTP has a reply for each recipient, and the extensions PIPELINING, SIZE, 8BITMIME and ENHANCEDSTATUSCODES. A command
    /// has at most 4096 bytes and 300 seconds; then the reply is 421 4.4.2. After 20 errors, 100 commands without effect or
    /// 1000 refused recipients without a message it is 421 4.7.0.
    ///
    /// QMTP has a reply for each recipient: K, Z (try again) or D. QMQP has one message for each connection, and one reply
    /// for all its recipients. A session has one hour. Neither protocol has access control.
    ///
    /// With --dot-qmail, several users get their mail at a time: a slow program delays only the replies after its own.
    #[arg(long, value_enum, value_name = "NAME", requires = "recipients", help_heading = "Sessions",
        conflicts_with_all = ["sender", "recipient", "dry_run", "json", "verbose"])]
    pub protocol: Option<Protocol>,
    /// Mailbox of a recipient, with %u (local part), %d (domain), %e (extension)
    ///
    /// The parts are in lower case, and %% is a percent sign. With %e the local part is split at its first delimiter;
    /// without an extension, `/.%e` is left out. A part that is missing, begins with a dot, contains a slash or a control
    /// character, or has more than 255 bytes is refused (5.1.3). If the mailbox is missing, there is no such recipient
    /// (5.1.1); if the directory before the first % is missing too, the mail waits. --create creates the mailbox
    /// and the directories above it, up to that one.
    #[arg(
        long,
        value_name = "TEMPLATE",
        requires = "protocol",
        group = "recipients",
        help_heading = "Sessions",
        conflicts_with = "mailboxes"
    )]
    pub mailbox: Option<OsString>,
    /// File with lines of ADDRESS MAILBOX; @DOMAIN is the rest of a domain
    ///
    /// Blanks separate the two, and # begins a comment. A mailbox may contain %u, %d and %e. Addresses are compared without
    /// case: first the whole address, then the address without its extension (with --delimiter or %e), then the domain.
    /// The file is read once, when the session begins. After an invalid line no mail is accepted, and all of it
    /// waits (4.3.5). If a mailbox without %u, %d or %e is missing, the mail waits.
    // In convert and verify, --map is about folders.
    #[arg(
        long = "recipient-map",
        alias = "map",
        value_name = "FILE",
        requires = "protocol",
        group = "recipients",
        help_heading = "Sessions",
        conflicts_with = "mailboxes"
    )]
    pub map: Option<PathBuf>,
}

/// Values of `--protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// RFC 2033
    Lmtp,
    /// qmail's protocol between hosts
    Qmtp,
    /// qmail's protocol for clients without a queue
    Qmqp,
}

impl Protocol {
    fn of_session(self) -> session::Protocol {
        match self {
            Protocol::Lmtp => session::Protocol::Lmtp,
            Protocol::Qmtp => session::Protocol::Qmtp,
            Protocol::Qmqp => session::Protocol::Qmqp,
        }
    }
}

/// A session on standard input and output, with the options that deliver has for each message, too.
pub(crate) struct Session<'a> {
    pub protocol: Protocol,
    /// The peer writes trace fields, as an LMTP client does.
    pub from_mta: bool,
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
        let templates = templates(args).map_err(|failure| self.refuse_service(failure))?;
        let directories = templates.fixed_directories();
        identity::take_if_common(&directories).map_err(|error| self.refuse_service(error.into()))?;
        let mut paths = SandboxPaths::for_deliveries(self.spool_dir);
        templates.iter().for_each(|template| paths.deliver_by_template(&template.path));
        paths.enter(sandbox, false);
        let mut recipients = MailboxRecipients {
            templates,
            delimiter: self.delimiter,
            from_mta: self.from_mta,
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
            let usage = |why| self.refuse_service(Error::usage(option, why).into());
            Template::parse(text.as_bytes()).map_err(usage)
        };
        let program = std::env::current_exe()
            .map_err(|e| self.refuse_service(Error::io("find", "our own program")(e).into()))?;
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
            protocol: self.protocol.of_session(),
            host: host.unwrap_or("localhost"),
            max_size: self.max_size,
            spool_dir: self.spool_dir,
        };
        let mut peer = StandardStreams::new(self.protocol);
        let end = serve(&mut peer, recipients, &options, self.ctx.cancel);
        if matches!(end, SessionEnd::ProtocolError(_) | SessionEnd::TooManyErrors) {
            peer.linger(self.ctx.cancel);
        }
        let (reason, text) = match end {
            SessionEnd::Orderly => return Ok(()),
            SessionEnd::Disconnected => {
                (FailureReason::TryAgain, "the peer has closed in the middle of a command or message")
            }
            SessionEnd::TimedOut => {
                (FailureReason::TryAgain, "the peer sent nothing, or too little, in its time")
            }
            SessionEnd::TooManyErrors => {
                (FailureReason::TryAgain, "the peer made too many errors, or sent commands without a message")
            }
            SessionEnd::ProtocolError(text) => (FailureReason::TryAgain, text),
            SessionEnd::Interrupted => {
                (FailureReason::Interrupted, "interrupted; every message that was reported as delivered is")
            }
            SessionEnd::Failed(e) => {
                return Err(Error::io("exchange data", "standard input and output")(e).into());
            }
        };
        Err(Failure::new(reason, text))
    }

    /// Reports to the peer that no mail is accepted now, so that it tries again. LMTP has a reply for this before any
    /// command. In the other protocols each recipient gets it.
    fn refuse_service(&self, failure: Failure) -> Failure {
        // The first failure is the one to report.
        if self.protocol == Protocol::Lmtp {
            let mut line = Vec::new();
            ReplyLine::new(421, &failure.to_string()).write_to(&mut line);
            let _ = StandardStreams::new(self.protocol).write_all(&line);
        } else {
            let _ = self.serve(&mut UnavailableRecipients(failure.clone()));
        }
        failure
    }
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
    /// No deadline is later.
    end: Option<Instant>,
}

impl StandardStreams {
    fn new(protocol: Protocol) -> StandardStreams {
        let now = Instant::now();
        let end = (protocol != Protocol::Lmtp).then(|| now + SESSION_TIME);
        StandardStreams { deadline: now + TIMEOUT, end }
    }

    /// Lets the peer read the last replies while it is still sending: a socket that is closed with unread data resets the
    /// connection, and the replies on their way are lost.
    fn linger(&mut self, cancel: &Cancel) {
        if shutdown(io::stdout(), Shutdown::Write).is_err() {
            return;
        }
        self.end = Some(Instant::now() + LINGER);
        let mut dropped = 0;
        let mut buffer = [0; PIECE];
        while dropped < MAX_DROPPED && !cancel.is_requested() {
            match self.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => dropped += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

impl Peer for StandardStreams {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let deadline = self.end.map_or(self.deadline, |end| end.min(self.deadline));
        let left = deadline.saturating_duration_since(Instant::now());
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
