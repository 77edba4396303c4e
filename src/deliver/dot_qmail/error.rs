//! Why the instructions of a `.qmail` file were not followed, or not to the end.

use std::io;
use std::path::{Path, PathBuf};

use crate::deliver::dot_qmail::line::Fault;
use crate::deliver::dot_qmail::program::Ended;
use crate::mailbox::error::Error;
use crate::mailbox::text::{display_path, escape};
use crate::transport::failure::{Failure, Reason};
use crate::transport::{Fate, Refusal};

/// Why.
#[derive(Debug)]
pub enum Trouble {
    /// Anybody may write to the home directory.
    HomeWritable {
        /// The directory.
        home: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The home directory is sticky.
    Editing {
        /// The directory.
        home: PathBuf,
    },
    /// The home directory cannot be looked at.
    Home {
        /// The directory.
        home: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is there, and cannot be read.
    Unreadable {
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
    NotOnlyRoots {
        /// The home directory, or the file.
        path: PathBuf,
    },
    /// A file is larger than 1 MiB.
    TooLarge {
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
        place: Place,
        /// Why.
        fault: Fault,
    },
    /// A program did not say that it is done.
    Program {
        /// Its line.
        place: Place,
        /// What it said instead.
        ended: Ended,
        /// What it wrote, if that was kept.
        output: Vec<u8>,
    },
    /// A program could not be run.
    NotRun {
        /// Its line.
        place: Place,
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
pub struct Place {
    /// The file; None for the default delivery.
    pub file: Option<PathBuf>,
    /// From 1.
    pub line: usize,
}

impl Trouble {
    pub(crate) fn home(home: &Path, source: io::Error) -> Trouble {
        Trouble::Home { home: home.to_owned(), source }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}: line {}", display_path(file), self.line),
            None => write!(f, "the default delivery, line {}", self.line),
        }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        Trouble::Delivery(failure)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Failure {
        let configuration = |text: String| Failure::new(Reason::Configuration, text);
        match trouble {
            Trouble::HomeWritable { home, mode } => configuration(format!(
                "{}: anybody may write to this home directory (mode {mode:04o}); run chmod o-w on it",
                display_path(&home)
            )),
            Trouble::Editing { home } => Failure::new(
                Reason::TryAgain,
                format!(
                    "{}: the home directory is sticky, so its owner is editing .qmail files; chmod -t ends that",
                    display_path(&home)
                ),
            ),
            Trouble::Home { home: path, source } | Trouble::Unreadable { path, source } => {
                Error::Io { action: "read", path, source }.into()
            }
            Trouble::FileWritable { path, mode } => configuration(format!(
                "{}: anybody may write to this file (mode {mode:04o}); run chmod o-w on it",
                display_path(&path)
            )),
            Trouble::NotOnlyRoots { path } => configuration(format!(
                "{}: root follows only what root alone may write; run chmod go-w on it, or give the home \
                 directory to its user",
                display_path(&path)
            )),
            Trouble::TooLarge { path } => {
                configuration(format!("{}: a .qmail file has at most 1 MiB", display_path(&path)))
            }
            Trouble::NoMailbox { home, last } => Failure::new(
                Reason::NoSuchMailbox,
                format!("no mailbox here by that name: {} has no {last}", display_path(&home)),
            ),
            Trouble::Line { place, fault } => configuration(format!("{place}: {}", fault.sentence())),
            Trouble::Program { place, ended, output } => {
                let mut text = format!("{place}: {}", ended.sentence());
                let lines = output.split(|&b| b == b'\n').map(|line| escape(line.trim_ascii()));
                let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
                if !lines.is_empty() {
                    text = format!("{text}: {}", lines.join(" / "));
                }
                Failure::new(ended.reason(), text)
            }
            Trouble::NotRun { place, source } => {
                Failure::new(Reason::TryAgain, format!("{place}: cannot run /bin/sh: {source}"))
            }
            Trouble::Queue(refusal) => {
                let reason = if refusal.fate == Fate::Permanent { Reason::Refused } else { Reason::TryAgain };
                Failure::new(reason, format!("unable to forward the message: {refusal}"))
            }
            Trouble::Delivery(failure) => failure,
        }
    }
}

impl Fault {
    /// For a person.
    pub fn sentence(self) -> &'static str {
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
