//! What can go wrong with the world, as opposed to the mail.
//!
//! Bad mail is never an error: it is a [`finding`](super::finding). An error says what was being
//! done, to which path, and whether trying again can help.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::finding::Code;
use crate::mailbox::text::display_path;

/// The result of everything that touches files.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation could not run or could not finish. Nothing is half-published when one is
/// returned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("{}: cannot {action}: {}", display_path(path), cause(source))]
    Io {
        /// What was being done, as a verb phrase: `open`, `write`, `create the directory`.
        action: &'static str,
        /// The file or directory it was done to.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The input is not a mailbox; it is refused by name and nothing is written.
    #[error("{}: not a mailbox: {reason}", display_path(path))]
    NotAMailbox {
        /// The input.
        path: PathBuf,
        /// What it looks like instead.
        reason: String,
        /// What the user can do, a phrase.
        hint: Option<String>,
    },
    /// Somebody else holds a lock that we need.
    #[error("{}: locked by {holder}; gave up after {} s", display_path(path), waited.as_secs())]
    Locked {
        /// The locked file or directory.
        path: PathBuf,
        /// Who has it, as far as can be known.
        holder: String,
        /// How long we waited.
        waited: Duration,
    },
    /// The source grew, shrank or was rewritten while it was read.
    #[error(
        "{}: changed while it was read: {how}; nothing was published, run the same command again",
        display_path(path)
    )]
    Changed {
        /// The source.
        path: PathBuf,
        /// In which way, with the sizes.
        how: String,
    },
    /// An mbox that was being appended to was written to by somebody else. What we appended may be there still.
    #[error(
        "{}: changed by somebody who does not keep to the lock: {how}; look that all lock alike",
        display_path(path)
    )]
    ConcurrentWrite {
        /// The mbox.
        path: PathBuf,
        /// In which way, with the sizes.
        how: String,
    },
    /// The destination cannot be what it would have to be.
    #[error("{}: {reason}", display_path(path))]
    Destination {
        /// The destination.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// Compressed data that ends early or does not decode.
    #[error("{}: damaged {format} data after {decoded} decoded bytes: {source}", display_path(path))]
    Compressed {
        /// The source.
        path: PathBuf,
        /// `gzip`, `zstd`, `bzip2` or `xz`.
        format: &'static str,
        /// How many bytes came out before the damage.
        decoded: u64,
        /// What the decoder said.
        source: io::Error,
    },
    /// The preflight found too little room.
    #[error("{}: not enough room: {need} {unit} needed, {free} free", display_path(path))]
    InsufficientSpace {
        /// A directory on the file system in question.
        path: PathBuf,
        /// `bytes` or `inodes`.
        unit: &'static str,
        /// How many are needed.
        need: u64,
        /// How many are free for us.
        free: u64,
    },
    /// A file given by an option says something impossible.
    #[error("{}: line {line}: {reason}", display_path(path))]
    Boundaries {
        /// The boundaries file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The manifest is not what we wrote.
    #[error("{}: line {line} {reason}", display_path(path))]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Its line, counted from 1.
        line: u64,
        /// What is wrong, continuing "line N".
        reason: String,
    },
    /// The user asked for something that this version does not do.
    #[error("{}: {reason}", display_path(path))]
    Unsupported {
        /// What it was asked for.
        path: PathBuf,
        /// What is not done, and what to do instead.
        reason: String,
    },
    /// An option or argument that does not apply to what the command was asked to do.
    #[error("{option}: {reason}")]
    Usage {
        /// The option as the user types it, such as `--append`.
        option: String,
        /// Why it does not apply, and what to do.
        reason: String,
    },
    /// A message that the mailbox's format cannot hold.
    #[error("{}: {reason}", display_path(path))]
    Unrepresentable {
        /// The mailbox.
        path: PathBuf,
        /// What of the message cannot be said there.
        reason: &'static str,
    },
    /// SIGINT, SIGTERM or SIGHUP.
    #[error("interrupted; what was not finished was not published")]
    Interrupted,
}

impl Error {
    /// Returns a usage error about `option`.
    pub fn usage(option: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::Usage { option: option.into(), reason: reason.into() }
    }

    /// Puts path and action to what the system said.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
        let path = path.as_ref().to_owned();
        move |source| Error::Io { action, path, source }
    }

    /// A message that an MMDF file cannot hold.
    pub fn unrepresentable(path: &Path) -> Error {
        let reason = "the message has a line of four ^A, which would end its frame in an MMDF file";
        Error::Unrepresentable { path: path.to_owned(), reason }
    }

    /// Whether the same command may succeed later without anything being mended.
    pub fn retry_helps(&self) -> bool {
        match self {
            Error::Io { source, .. } => !matches!(
                source.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::ReadOnlyFilesystem
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::IsADirectory
            ),
            Error::Locked { .. }
            | Error::Changed { .. }
            | Error::ConcurrentWrite { .. }
            | Error::InsufficientSpace { .. }
            | Error::Interrupted => true,
            Error::NotAMailbox { .. }
            | Error::Destination { .. }
            | Error::Compressed { .. }
            | Error::Boundaries { .. }
            | Error::Manifest { .. }
            | Error::Unsupported { .. }
            | Error::Usage { .. }
            | Error::Unrepresentable { .. } => false,
        }
    }

    /// The code under which reports tell it.
    pub fn code(&self) -> Code {
        match self {
            Error::Io { .. } => Code::IoError,
            Error::NotAMailbox { .. } => Code::NotAMailbox,
            Error::Locked { .. } => Code::Locked,
            Error::Changed { .. } => Code::SourceChanged,
            Error::ConcurrentWrite { .. } | Error::Destination { .. } => Code::DestinationRefused,
            Error::Compressed { .. } => Code::DamagedCompression,
            Error::InsufficientSpace { .. } => Code::NoRoom,
            Error::Boundaries { .. } => Code::BoundariesFile,
            Error::Manifest { .. } => Code::ManifestDamaged,
            Error::Unsupported { .. } | Error::Usage { .. } | Error::Unrepresentable { .. } => {
                Code::Unsupported
            }
            Error::Interrupted => Code::Interrupted,
        }
    }

    /// The file or directory it is about.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Error::Io { path, .. }
            | Error::NotAMailbox { path, .. }
            | Error::Locked { path, .. }
            | Error::Changed { path, .. }
            | Error::ConcurrentWrite { path, .. }
            | Error::Destination { path, .. }
            | Error::Compressed { path, .. }
            | Error::InsufficientSpace { path, .. }
            | Error::Boundaries { path, .. }
            | Error::Manifest { path, .. }
            | Error::Unsupported { path, .. }
            | Error::Unrepresentable { path, .. } => Some(path),
            Error::Usage { .. } | Error::Interrupted => None,
        }
    }

    /// What went wrong, less the path that it went wrong with: for where that is told beside it.
    pub fn without_path(&self) -> String {
        let text = self.to_string();
        let path = self.path().map(|path| format!("{}: ", crate::mailbox::text::display_path(path)));
        path.and_then(|path| text.strip_prefix(&path).map(str::to_owned)).unwrap_or(text)
    }

    /// What the user can do about it, where we know.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::NotAMailbox { hint: mend, .. } => mend.as_deref(),
            Error::Manifest { .. } => {
                Some("restore it from a backup, or move it away: then names alone say what is there already")
            }
            Error::InsufficientSpace { .. } => {
                Some("free some space or choose another destination; nothing of this was written")
            }
            Error::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space and run the same command again; nothing of this was published")
            }
            _ => None,
        }
    }
}

/// The system's sentence without Rust's `(os error N)`, which says nothing to a person.
pub(crate) fn cause(source: &io::Error) -> String {
    let text = source.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}
