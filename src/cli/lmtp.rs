//! `mailferry deliver --protocol lmtp`.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::deliver::lmtp::Recipients;
use crate::deliver::lmtp::address::Address;
use crate::deliver::lmtp::map::Map;
use crate::deliver::lmtp::program_recipients::Programs;
use crate::deliver::lmtp::reply::Reply;
use crate::deliver::lmtp::session::{self, Ending, Options, Peer};
use crate::deliver::lmtp::template::{Parts, Template};
use crate::deliver::prepared_message::PreparedMessage;
use crate::deliver::{self, DeliverOptions, DeliveryTarget};
use crate::mailbox::error::Error;
use crate::mailbox::fs::parent_of;
use crate::mailbox::maildir::create::create_parents;
use crate::mailbox::text::display_path;
use crate::transport::envelope::DeliveryEnvelope;
use crate::transport::failure::{Failure, FailureReason};
use crate::transport::spool::SpooledMessage;
use clap::{Args, ValueEnum};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::clock::now;
use super::mailbox_arg::{Format, MailboxArg};
use super::owner;

/// How long a peer may take for a command, and between two pieces of a message; and to hear us out. RFC 5321
/// asks for at least this (4.5.3.2.7).
const PATIENCE: Duration = Duration::from_secs(300);
/// How often is looked whether we are to end.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// As much as a pipe that can be written to takes at once (PIPE_BUF).
const PIECE: usize = 4096;

/// The options of a session; everything else is said for each message.
#[derive(Args, Debug)]
pub struct LmtpArgs {
    /// Speak with an MTA on standard input and output instead: several messages, several recipients, an outcome
    /// for each
    ///
    /// With PIPELINING, SIZE, 8BITMIME and ENHANCEDSTATUSCODES. A command has at most 4096 bytes, a message at most
    /// 1000 recipients; a peer that says nothing for 300 seconds is told 421 4.4.2. A recipient is told 250 as
    /// soon as his message is on stable storage, and the ones behind him wait. Exit code 0: the peer has said QUIT, or has
    /// closed between two messages; else 75.
    #[arg(long, value_enum, value_name = "NAME", requires = "recipients", help_heading = "LMTP",
        conflicts_with_all = ["sender", "recipient", "dry_run", "json", "verbose"])]
    pub protocol: Option<Protocol>,
    /// The mailbox of a recipient: %u is the local part, %d the domain, %e the extension, in lower case; %% is a
    /// percent sign. With %e the local part is divided at its first delimiter, and `/.%e` goes where there is no
    /// extension
    ///
    /// Nothing leads out of the template: a part that is missing, begins with a dot, has a slash or a control
    /// character in it or more than 255 bytes is refused (550 5.1.3). A mailbox that is missing is a recipient who
    /// is missing (550 5.1.1) as long as the directory before the first % is there; else the mail waits (451).
    /// With --create it is made, and the directories above it up to that one.
    #[arg(
        long,
        value_name = "TEMPLATE",
        requires = "protocol",
        group = "recipients",
        help_heading = "LMTP",
        conflicts_with = "mailboxes"
    )]
    pub mailbox: Option<OsString>,
    /// A file of lines ADDRESS MAILBOX; @DOMAIN stands for the others of a domain. A mailbox may have %u, %d and %e
    ///
    /// Blanks divide the two, and what begins with # is a comment. Addresses are compared without case: the whole
    /// address first, then, if there is a --delimiter or the mailbox has %e, the address without its extension,
    /// then the domain. The file is read once, when the session begins; a line that is not understood has the peer
    /// told 421 4.3.5, and no mail taken. A mailbox without %u, %d or %e that is missing has the mail wait (451).
    #[arg(
        long,
        value_name = "FILE",
        requires = "protocol",
        group = "recipients",
        help_heading = "LMTP",
        conflicts_with = "mailboxes"
    )]
    pub map: Option<PathBuf>,
}

/// What `--protocol` may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// RFC 2033
    Lmtp,
}

/// What a session needs of the other options.
pub struct Setting<'a> {
    /// How to deliver; the time is that of each message.
    pub rules: DeliverOptions<'a>,
    /// The largest message.
    pub max_size: Option<u64>,
    /// Where a long message is kept meanwhile.
    pub spool_dir: &'a Path,
    /// Divides user and extension, if that was said.
    pub delimiter: Option<u8>,
    /// What a mailbox stands for that was found to be there.
    pub target: &'a dyn Fn(&MailboxArg) -> Result<DeliveryTarget, Failure>,
}

/// Speaks. `Err`: the session was not ended by the peer between two messages.
pub fn run(args: &LmtpArgs, setting: &Setting<'_>) -> Result<(), Failure> {
    let delimiters = setting.delimiter.map_or_else(|| vec![b'-'], |delimiter| vec![delimiter]);
    let routes = Routes::of(args).map_err(refuse_to_speak)?;
    let is_divided = setting.delimiter.is_some();
    speak(&mut Mailboxes { routes, delimiters, is_divided, setting }, setting)
}

/// Speaks for recipients who are served by `deliver --dot-qmail`, a process for each. `arguments` and
/// `last_arguments` are those of all of them, before and behind what is said of one; `program_timeout` is in seconds.
pub fn run_dot_qmail(
    home: &OsStr,
    user: Option<&OsStr>,
    arguments: Vec<OsString>,
    last_arguments: Vec<OsString>,
    program_timeout: u64,
    setting: &Setting<'_>,
) -> Result<(), Failure> {
    let template = |option: &str, text: &OsStr| {
        let wrong = |why| Failure::new(FailureReason::Configuration, format_args!("{option}: {why}"));
        Template::parse(text.as_bytes()).map_err(wrong).map_err(refuse_to_speak)
    };
    let program = std::env::current_exe().map_err(|e| Error::io("find", "our own program")(e).into());
    // `-` divides in any case, as in the names of the files.
    let delimiters: Vec<u8> = [b'-'].into_iter().chain(setting.delimiter).collect();
    let mut programs = Programs {
        program: program.map_err(refuse_to_speak)?,
        arguments,
        last_arguments,
        home: template("--home", home)?,
        user: template("--user", user.unwrap_or(OsStr::new("%u")))?,
        delimiters: &delimiters,
        time: Duration::from_secs(program_timeout.saturating_add(30)),
        cancel: setting.rules.cancel,
    };
    speak(&mut programs, setting)
}

fn speak(recipients: &mut impl Recipients, setting: &Setting<'_>) -> Result<(), Failure> {
    let host = Some(setting.rules.locks.host.as_str()).filter(|host| !host.is_empty());
    let options = Options {
        host: host.unwrap_or("localhost"),
        max_size: setting.max_size,
        spool_dir: setting.spool_dir,
        cancel: setting.rules.cancel,
    };
    let mut peer = StandardStreams { deadline: Instant::now() + PATIENCE };
    let failed = |reason, text: &str| Err(Failure::new(reason, text));
    match session::converse(&mut peer, recipients, &options) {
        Ending::Orderly => Ok(()),
        Ending::Cut => {
            failed(FailureReason::TryAgain, "the peer has closed in the middle of a command or message")
        }
        Ending::TimedOut => failed(FailureReason::TryAgain, "the peer said nothing for 300 seconds"),
        Ending::Interrupted => {
            failed(FailureReason::Interrupted, "interrupted; what was told to be delivered is")
        }
        Ending::Broken(e) => Err(Error::io("speak over", "standard input and output")(e).into()),
    }
}

/// The peer shall hear at once why nobody takes its mail, and try again.
fn refuse_to_speak(failure: Failure) -> Failure {
    let mut line = Vec::new();
    Reply::new(421, &failure.to_string()).write(&mut line);
    // The failure that is told is the first one.
    let _ = StandardStreams { deadline: Instant::now() }.write_all(&line);
    failure
}

/// Tells those who look after this machine how a session ended, and what was odd. Under inetd and systemd
/// standard error is the peer's socket, too, unless it is told otherwise: nothing is said there that is no reply.
pub fn print_diagnostic(what: impl Display) {
    let same = |a: &rustix::fs::Stat, b: &rustix::fs::Stat| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
    let stats = (rustix::fs::fstat(io::stdout()), rustix::fs::fstat(io::stderr()));
    if !matches!(stats, (Ok(out), Ok(err)) if same(&out, &err)) {
        // Nobody may listen: that is no reason to end.
        let _ = writeln!(io::stderr(), "{what}");
    }
}

/// Where the mail of somebody goes.
struct Route {
    format: Option<Format>,
    template: Template,
}

enum Routes {
    Same(Route),
    Map(Map<Route>),
}

impl Route {
    fn parse(text: &[u8]) -> Result<Route, String> {
        let MailboxArg { format, path } =
            MailboxArg::parse(OsStr::from_bytes(text)).map_err(|error| error.to_string())?;
        Ok(Route { format, template: Template::parse(path.as_os_str().as_bytes())? })
    }
}

impl Routes {
    fn of(args: &LmtpArgs) -> Result<Routes, Failure> {
        let wrong = |why: String| Failure::new(FailureReason::Configuration, why);
        if let Some(path) = &args.map {
            let text = std::fs::read(path).map_err(Error::io("read", path))?;
            return Map::parse(&text, path, Route::parse).map(Routes::Map).map_err(wrong);
        }
        let template = args.mailbox.as_deref().unwrap_or_default();
        let route = Route::parse(template.as_bytes()).map_err(|why| wrong(format!("--mailbox: {why}")))?;
        Ok(Routes::Same(route))
    }
}

/// Recipients whose mailboxes are found by their addresses.
struct Mailboxes<'a> {
    routes: Routes,
    delimiters: Vec<u8>,
    /// Whether a local part is divided although its mailbox has no place for the extension.
    is_divided: bool,
    setting: &'a Setting<'a>,
}

/// The mailbox of a recipient.
struct Place {
    target: DeliveryTarget,
    /// A directory that is there, if the mailbox and what lies between is to be made.
    make_below: Option<PathBuf>,
}

impl Recipients for Mailboxes<'_> {
    type Mailbox = Place;

    fn look_up(&mut self, recipient: &Address) -> Result<Place, Failure> {
        let is_divided = |route: &Route| self.is_divided || route.template.has_extension();
        let route = match &self.routes {
            Routes::Same(route) => Some(route),
            Routes::Map(map) => map.find(recipient, &self.delimiters, is_divided),
        };
        let Some(Route { format, template }) = route else {
            let text = format_args!("{}: no mailbox by that name", recipient.shown());
            return Err(Failure::new(FailureReason::NoSuchMailbox, text));
        };
        let delimiters: &[u8] = if route.is_some_and(is_divided) { &self.delimiters } else { b"" };
        let path = template.expand(&Parts::of(recipient, delimiters))?;
        let make_below = match std::fs::metadata(&path) {
            Ok(_) => None,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                let fixed = template.fixed_directory();
                if !self.setting.rules.create || !fixed.is_dir() {
                    return Err(template.missing(&path));
                }
                Some(fixed)
            }
            Err(e) => return Err(Error::io("look up", &path)(e).into()),
        };
        let is_folder = path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"."));
        let target = match (self.setting.target)(&MailboxArg { format: *format, path })? {
            // With the folder the Maildir that it is in is made.
            DeliveryTarget::Maildir(path) if is_folder && make_below.is_some() => {
                DeliveryTarget::Folder(path)
            }
            target => target,
        };
        // A sender would hold the lock of somebody's mailbox by writing to him.
        if matches!(target, DeliveryTarget::Mbox(..))
            && !template.is_fixed()
            && target.path().as_os_str().as_bytes().ends_with(b".lock")
        {
            let text =
                format_args!("{}: a name that ends in .lock is that of a lock", display_path(target.path()));
            return Err(Failure::new(FailureReason::BadAddress, text));
        }
        if rustix::process::geteuid().is_root() {
            not_for_others(&target)?;
        }
        Ok(Place { target, make_below })
    }

    fn deliver(
        &mut self,
        letter: &SpooledMessage,
        sender: Option<&Address>,
        recipient: &Address,
        place: &Place,
    ) -> Result<String, Failure> {
        let envelope = DeliveryEnvelope {
            sender: Some(sender.map(Address::to_bytes).unwrap_or_default()),
            recipient: Some(recipient.to_bytes()),
        };
        // Whoever speaks LMTP puts a Received field on top of what it takes in: a Delivered-To above it is
        // of this delivery.
        let draft = PreparedMessage::new(letter, &envelope, true)?;
        let rules = DeliverOptions { now: now(), ..self.setting.rules };
        if let Some(from) = &place.make_below {
            let made_with_it = matches!(place.target, DeliveryTarget::Folder(_));
            let path = place.target.path();
            create_parents(if made_with_it { parent_of(path) } else { path }, from)?;
        }
        let delivered = deliver::deliver(&draft, std::slice::from_ref(&place.target), &rules)?;
        for one in &delivered {
            one.findings.iter().for_each(|odd| {
                print_diagnostic(format_args!("{}: {}", display_path(&one.path), odd.message))
            });
        }
        Ok(delivered.iter().map(|one| display_path(&one.path)).collect::<Vec<_>>().join(", "))
    }
}

/// Root would follow whatever links a user puts into his own directories.
fn not_for_others(target: &DeliveryTarget) -> Result<(), Failure> {
    let refuse = |failure: Failure| {
        let text = format_args!("{}; run as the user of the mail, or with --dot-qmail", failure.text);
        Failure::new(failure.reason, text)
    };
    let path = target.path();
    let within: &[&str] =
        if matches!(target, DeliveryTarget::Mbox(..)) { &[""] } else { &["", "tmp", "new", "cur"] };
    within.iter().try_for_each(|name| owner::require_root_only(&path.join(name))).map_err(refuse)
}

/// Standard input and output: pipes, or one socket.
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
        // So often the flag is looked at: a signal may have come just before we began to wait.
        if !is_ready(&mut [PollFd::new(&stdin, PollFlags::IN)], left.min(LOOK_EVERY))? {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match rustix::io::read(&stdin, buffer) {
            // Not blocking, and somebody else was quicker.
            Err(rustix::io::Errno::AGAIN) => Err(io::ErrorKind::Interrupted.into()),
            other => Ok(other?),
        }
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let stdout = io::stdout();
        let deadline = Instant::now() + PATIENCE;
        while !bytes.is_empty() {
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let piece = &bytes[..bytes.len().min(PIECE)];
            match is_ready(&mut [PollFd::new(&stdout, PollFlags::OUT)], LOOK_EVERY) {
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

    fn start_clock(&mut self) {
        self.deadline = Instant::now() + PATIENCE;
    }
}

fn is_ready(fds: &mut [PollFd<'_>], at_most: Duration) -> io::Result<bool> {
    let at_most = Timespec {
        tv_sec: at_most.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: at_most.subsec_nanos().into(),
    };
    Ok(poll(fds, Some(&at_most))? > 0)
}
