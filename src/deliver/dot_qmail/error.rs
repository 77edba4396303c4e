//! Failures of a delivery by a `.qmail` file.

use std::io;
use std::path::PathBuf;

use super::ProgramOutcome;
use super::line::Fault;
use crate::mailbox::{Error, display_path, escape};
use crate::transport::{Failure, FailureReason, Refusal};

#[derive(Debug)]
pub(crate) enum DotQmailError {
    /// The home directory is writable by all users.
    HomeWritable {
        home: PathBuf,
        mode: u32,
    },
    /// The home directory has the sticky bit: its owner is editing the files.
    HomeSticky {
        home: PathBuf,
    },
    HomeInaccessible {
        home: PathBuf,
        source: io::Error,
    },
    FileUnreadable {
        path: PathBuf,
        source: io::Error,
    },
    /// The file is writable by all users.
    FileWritable {
        path: PathBuf,
        mode: u32,
    },
    /// Delivery would run as root, and another user may have written the path.
    NotRootOnly {
        path: PathBuf,
    },
    /// The file is larger than 1 MiB.
    FileTooLarge {
        path: PathBuf,
    },
    /// No file matches the address; `last` is the last candidate.
    NoMailbox {
        home: PathBuf,
        last: String,
    },
    Line {
        location: LineLocation,
        fault: Fault,
    },
    /// A program failed; `output` is empty where it is not captured.
    Program {
        location: LineLocation,
        outcome: ProgramOutcome,
        output: Vec<u8>,
    },
    ProgramNotStarted {
        location: LineLocation,
        source: io::Error,
    },
    /// The queue program did not accept the forwards.
    Queue(Refusal),
    /// A mailbox did not accept the message, or the message could not be read.
    Delivery(Failure),
}

/// A line of a `.qmail` file, or of the default delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LineLocation {
    /// None for the default delivery.
    pub file: Option<PathBuf>,
    /// Line number from 1.
    pub line: usize,
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
    fn from(error: DotQmailError) -> Failure {
        let configuration = |text: String| Failure::new(FailureReason::Configuration, text);
        match error {
            DotQmailError::HomeWritable { home, mode } => configuration(format!(
                "{}: every user can write to this home directory (mode {mode:04o}); run chmod o-w on it",
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
                "{}: every user can write to this file (mode {mode:04o}); run chmod o-w on it",
                display_path(&path)
            )),
            DotQmailError::NotRootOnly { path } => configuration(format!(
                "{}: root follows only files that only root can write; run chmod go-w on it, or give the home \
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
            DotQmailError::Line { location, fault } => {
                configuration(format!("{location}: {}", fault.message()))
            }
            DotQmailError::Program { location, outcome, output } => {
                let mut text = format!("{location}: {}", outcome.message());
                let lines = output.split(|&b| b == b'\n').map(|line| escape(line.trim_ascii()));
                let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
                if !lines.is_empty() {
                    text = format!("{text}: {}", lines.join(" / "));
                }
                Failure::new(outcome.reason(), text)
            }
            DotQmailError::ProgramNotStarted { location, source } => {
                Failure::new(FailureReason::TryAgain, format!("{location}: cannot run /bin/sh: {source}"))
            }
            DotQmailError::Queue(refusal) => {
                Failure::new(refusal.reason(), format!("unable to forward the message: {refusal}"))
            }
            DotQmailError::Delivery(failure) => failure,
        }
    }
}

impl Fault {
    pub(crate) fn message(self) -> &'static str {
        match self {
            Fault::FirstLineBlank => {
                "the first line is blank, as if the file had not been written to its end"
            }
            Fault::MailboxInForwardOnly => {
                "a mailbox, where only forwards are allowed (the file is executable, or +list is above)"
            }
            Fault::ProgramInForwardOnly => {
                "a program, where only forwards are allowed (the file is executable, or +list is above)"
            }
            Fault::Nul => "this line contains a NUL, as after a crash",
        }
    }
}
