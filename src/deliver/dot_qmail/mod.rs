//! Delivery as a user's `.qmail` files say: dot-qmail(5), qmail-command(8).
//!
//! First the [`Route`]: which file is this address's, and what do its lines say? Then the run: its lines in
//! their order, all forwards last and in one message.

pub mod environment;
pub mod error;
pub mod find;
pub mod home;
pub mod line;
pub mod program;

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::deliver::dot_qmail::error::{DotQmailError, LineLocation};
use environment::Variables;
use find::{Candidate, DotQmailFile};
use home::{Editing, Trust};
use line::{Instruction, Line};
use program::{OutputMode, ProgramOutcome};

use crate::mailbox::fs::durable::Dir;
use crate::transport::envelope::Envelope;
use crate::transport::failure::Failure;
use crate::transport::process::Limits;

/// The largest file that is followed, in bytes: what is larger is no text that a person wrote.
const LARGEST: u64 = 1 << 20;

/// Whom a message is for. All are bytes; a recipient is `LOCAL@HOST`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalRecipient {
    /// Whose home it is.
    pub user: Vec<u8>,
    /// The local part, whole.
    pub local: Vec<u8>,
    /// What stands before the extension in the name of a file: `-`, or nothing.
    pub dash: Vec<u8>,
    /// What the user may use for himself.
    pub extension: Vec<u8>,
    /// The domain.
    pub host: Vec<u8>,
    /// The envelope sender; empty for the null sender.
    pub sender: Vec<u8>,
    /// A byte that counts as `-` in the extension.
    pub delimiter: Option<u8>,
}

impl LocalRecipient {
    /// `LOCAL@HOST`.
    pub fn address(&self) -> Vec<u8> {
        [&self.local[..], b"@", &self.host].concat()
    }
}

/// What is to be done with a message.
#[derive(Debug)]
pub struct Route {
    /// The home directory.
    pub home: PathBuf,
    /// The file, in the home directory; None: there is none, and the address needs none.
    pub file: Option<OsString>,
    /// Whether the lines are the default delivery: there is no file, or an empty one.
    pub is_default: bool,
    /// Whether the file's owner may execute it: then it may only forward.
    pub forward_only: bool,
    /// Where in the extension `default` stands for the rest.
    pub default_offset: Option<usize>,
    /// The lines.
    pub lines: Vec<Line>,
    /// The sender of what is forwarded.
    pub new_sender: Vec<u8>,
    /// Whether the owner says that he is at work on his files.
    pub editing: Editing,
}

impl Route {
    /// Finds the file and reads it. `default` is the default delivery, lines of the same kind. Every file that
    /// was looked for is added to `tried`, whatever comes of it.
    ///
    /// # Errors
    /// All of [`Trouble`] that can be known before anything is done; [`Trouble::Editing`] is left to the run.
    pub fn find(
        home: &Path,
        address: &LocalRecipient,
        default: &[u8],
        trust: Trust,
        tried: &mut Vec<Candidate>,
    ) -> Result<Route, DotQmailError> {
        let editing = home::check(home, trust)?;
        let dir = Dir::open(home).map_err(|e| DotQmailError::Delivery(e.into()))?;
        let safe = find::safe_extension(&address.extension, address.delimiter);
        let found = find::find(&dir, &address.dash, &safe, trust, tried)?;
        if found.is_none() && !address.dash.is_empty() {
            let last = tried.last().map(|tried| find::shown(&tried.name)).unwrap_or_default();
            return Err(DotQmailError::NoMailbox { home: home.to_owned(), last });
        }
        let owners = find::find_list_owner(&dir, &address.dash, &safe)?;
        let new_sender = environment::new_sender(address, owners);
        let mut route = Route {
            home: home.to_owned(),
            file: None,
            is_default: true,
            forward_only: false,
            default_offset: None,
            lines: Vec::new(),
            new_sender,
            editing,
        };
        let mut text = Vec::new();
        if let Some(DotQmailFile { name, mut file, forward_only, default_offset: default_at }) = found {
            let path = home.join(&name);
            let read = (&mut file).take(LARGEST + 1).read_to_end(&mut text);
            match read {
                Ok(length) if length as u64 > LARGEST => return Err(DotQmailError::FileTooLarge { path }),
                Ok(_) => {}
                Err(source) => return Err(DotQmailError::FileUnreadable { path, source }),
            }
            route.is_default = text.is_empty();
            route.forward_only = forward_only && !text.is_empty();
            route.default_offset = default_at;
            route.file = Some(name);
        }
        route.lines = line::parse(if text.is_empty() { default } else { &text });
        let checked = line::check(&route.lines, route.forward_only);
        checked.map_err(|(line, fault)| DotQmailError::Line { place: route.location(line), fault })?;
        Ok(route)
    }

    /// Where a line stands.
    pub fn location(&self, line: usize) -> LineLocation {
        let file = self.file.as_ref().filter(|_| !self.is_default);
        LineLocation { file: file.map(|name| self.home.join(name)), line }
    }
}

/// What a run needs of its caller.
pub trait Executor {
    /// Delivers into the mailbox that `what` names, a [`Instruction::Mbox`] or a [`Instruction::Maildir`];
    /// its path is relative to the home directory.
    fn deliver(&mut self, what: &Instruction) -> Result<(), Failure>;
    /// The message for a program: a file of its own, standing at its beginning, without any line added.
    fn message_file(&self) -> Result<File, Failure>;
    /// Forwards the message, with a Delivered-To on top. The process id of a queue program comes back.
    fn forward(&mut self, envelope: &Envelope) -> Result<Option<u32>, DotQmailError>;
}

/// How a run goes about it.
#[derive(Debug, Clone, Copy)]
pub struct RunOptions<'a> {
    /// The time of delivery, in seconds since 1970.
    pub epoch: i64,
    /// What becomes of the output of programs.
    pub output: OutputMode,
    /// For each program.
    pub program_limits: Limits<'a>,
}

/// What a run has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunSummary {
    /// Deliveries into mailboxes.
    pub files: usize,
    /// Addresses that the message was forwarded to.
    pub forwards: usize,
    /// Programs.
    pub programs: usize,
    /// The process id of the queue program.
    pub queued: Option<u32>,
}

/// Does what the lines say, in their order. The first that fails ends it, and what was done before stays
/// done: the same again will do it again.
///
/// # Errors
/// [`Trouble`]; [`Trouble::Editing`] before anything is done.
pub fn run(
    route: &Route,
    address: &LocalRecipient,
    how: &RunOptions<'_>,
    caller: &mut dyn Executor,
) -> Result<RunSummary, DotQmailError> {
    if route.editing == Editing::Now {
        return Err(DotQmailError::HomeSticky { home: route.home.clone() });
    }
    let variables = Variables::new(address, &route.home, &route.new_sender, route.default_offset, how.epoch);
    let mut done = RunSummary::default();
    let mut recipients = Vec::new();
    for Line { number, instruction: what } in &route.lines {
        match what {
            Instruction::Comment | Instruction::Blank | Instruction::Unknown | Instruction::ForwardOnly => {}
            Instruction::Mbox(_) | Instruction::Maildir(_) => {
                caller.deliver(what)?;
                done.files += 1;
            }
            Instruction::Program(command) => {
                let message = caller.message_file()?;
                let place = || route.location(*number);
                let (ended, output) =
                    program::run(command, &route.home, &variables, message, how.output, how.program_limits)
                        .map_err(|source| DotQmailError::ProgramNotStarted { place: place(), source })?;
                match ended {
                    ProgramOutcome::Success | ProgramOutcome::SuccessAndStop => done.programs += 1,
                    ended => return Err(DotQmailError::Program { place: place(), outcome: ended, output }),
                }
                if ended == ProgramOutcome::SuccessAndStop {
                    break;
                }
            }
            Instruction::Forward(recipient) => recipients.push(recipient.clone()),
        }
    }
    done.forwards = recipients.len();
    if !recipients.is_empty() {
        let envelope = Envelope { sender: route.new_sender.clone(), recipients };
        done.queued = caller.forward(&envelope)?;
    }
    Ok(done)
}
