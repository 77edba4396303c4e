//! Why the instructions of a `.qmail` file were not followed, or not to the end.

use std::io;
use std::path::{Path, PathBuf};

use crate::deliver::dot_qmail::line::Fault;
use crate::deliver::dot_qmail::program::ProgramOutcome;
use crate::mailbox::error::Error;
use crate::mailbox::text::{display_path, escape};
use crate::transport::failure::{Failure, FailureReason};
use crate::transport::outcome::{OutcomeKind, Refusal};

/// Why.
#[derive(Debug)]
pub enum DotQmailError {
    /// Anybody may write to the home directory.
    HomeWritable {
        /// The directory.
        home: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The home directory is sticky.
    HomeSticky {
        /// The directory.
        home: PathBuf,
    },
    /// The home directory cannot be looked at.
    HomeInaccessible {
        /// The directory.
        home: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is there, and cannot be read.
    FileUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Anybody may write to the file.
    FileWritable {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It would be done as root, and somebody else may have written it.
    NotRootOnly {
        /// The home directory, or the file.
        path: PathBuf,
    },
    /// A file is larger than 1 MiB.
    FileTooLarge {
        /// The file.
        path: PathBuf,
    },
    /// No file is for this address.
    NoMailbox {
        /// The home directory.
        home: PathBuf,
        /// The last file that was looked for.
        last: String,
    },
    /// A line may not be followed.
    Line {
        /// Which.
        place: LineLocation,
        /// Why.
        fault: Fault,
    },
    /// A program did not say that it is done.
    Program {
        /// Its line.
        place: LineLocation,
        /// What it said instead.
        outcome: ProgramOutcome,
        /// What it wrote, if that was kept.
        output: Vec<u8>,
    },
    /// A program could not be run.
    ProgramNotStarted {
        /// Its line.
        place: LineLocation,
        /// What the system said.
        source: io::Error,
    },
    /// The queue program did not take the forwards.
    Queue(Refusal),
    /// A mailbox did not take the message, or the message could not be had.
    Delivery(Failure),
}

/// A line of a `.qmail` file, or of the default delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineLocation {
    /// The file; None for the default delivery.
    pub file: Option<PathBuf>,
    /// From 1.
    pub line: usize,
}

impl DotQmailError {
    pub(crate) fn home(home: &Path, source: io::Error) -> DotQmailError {
        DotQmailError::HomeInaccessible { home: home.to_owned(), source }
    }
}

impl std::fmt::Display for LineLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}: line {}", display_path(file), self.line),
            None => write!(f, "the default delivery, line {}", self.line),
        }
    }
}

impl From<Failure> for DotQmailError {
    fn from(failure: Failure) -> DotQmailError {
        DotQmailError::Delivery(failure)
    }
}

impl From<DotQmailError> for Failure {
    fn from(trouble: DotQmailError) -> Failure {
        let configuration = |text: String| Failure::new(FailureReason::Configuration, text);
        match trouble {
            DotQmailError::HomeWritable { home, mode } => configuration(format!(
                "{}: anybody may write to this home directory (mode {mode:04o}); run chmod o-w on it",
                display_path(&home)
            )),
            DotQmailError::HomeSticky { home } => Failure::new(
                FailureReason::TryAgain,
                format!(
                    "{}: the home directory is sticky, so its owner is editing .qmail files; chmod -t ends that",
                    display_path(&home)
                ),
            ),
            DotQmailError::HomeInaccessible { home: path, source }
            | DotQmailError::FileUnreadable { path, source } => {
                Error::Io { action: "read", path, source }.into()
            }
            DotQmailError::FileWritable { path, mode } => configuration(format!(
                "{}: anybody may write to this file (mode {mode:04o}); run chmod o-w on it",
                display_path(&path)
            )),
            DotQmailError::NotRootOnly { path } => configuration(format!(
                "{}: root follows only what root alone may write; run chmod go-w on it, or give the home \
                 directory to its user",
                display_path(&path)
            )),
            DotQmailError::FileTooLarge { path } => {
                configuration(format!("{}: a .qmail file has at most 1 MiB", display_path(&path)))
            }
            DotQmailError::NoMailbox { home, last } => Failure::new(
                FailureReason::NoSuchMailbox,
                format!("no mailbox here by that name: {} has no {last}", display_path(&home)),
            ),
            DotQmailError::Line { place, fault } => configuration(format!("{place}: {}", fault.message())),
            DotQmailError::Program { place, outcome: ended, output } => {
                let mut text = format!("{place}: {}", ended.message());
                let lines = output.split(|&b| b == b'\n').map(|line| escape(line.trim_ascii()));
                let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
                if !lines.is_empty() {
                    text = format!("{text}: {}", lines.join(" / "));
                }
                Failure::new(ended.reason(), text)
            }
            DotQmailError::ProgramNotStarted { place, source } => {
                Failure::new(FailureReason::TryAgain, format!("{place}: cannot run /bin/sh: {source}"))
            }
            DotQmailError::Queue(refusal) => {
                let reason = if refusal.kind == OutcomeKind::Permanent {
                    FailureReason::Refused
                } else {
                    FailureReason::TryAgain
                };
                Failure::new(reason, format!("unable to forward the message: {refusal}"))
            }
            DotQmailError::Delivery(failure) => failure,
        }
    }
}

impl Fault {
    /// For a person.
    pub fn message(self) -> &'static str {
        match self {
            Fault::FirstLineBlank => {
                "the first line is blank, as if the file had not been written to its end"
            }
            Fault::MailboxInForwardOnly => {
                "a mailbox, where only forwards are allowed (the file is executable, or +list stands above)"
            }
            Fault::ProgramInForwardOnly => {
                "a program, where only forwards are allowed (the file is executable, or +list stands above)"
            }
            Fault::Nul => "there is a NUL in this line, as a crash leaves it",
        }
    }
}
