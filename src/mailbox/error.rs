//! Errors of the system and of the user. Bad mail is never an error: it is a [`finding`](super::finding).

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::finding::Severity;
use super::text::{grouped, grouped_plural};
use super::{Code, Finding, display_path};

/// The result of an operation on files.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The remedy for a file or directory that the user cannot read or write.
pub(crate) const PERMISSION_REMEDY: &str = "run the command as the owner, or change the permissions";

/// The reason that an operation did not run or did not finish. Nothing is half-published then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("{}: cannot {action}: {}", display_path(path), cause(source))]
    Io {
        /// The action as a verb phrase: `open`, `write`, `create the directory`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The input is not a mailbox.
    #[error("{}: not a mailbox: {reason}", display_path(path))]
    NotAMailbox {
        /// The input.
        path: PathBuf,
        /// The format that it resembles.
        reason: String,
        /// The remedy.
        hint: Option<String>,
    },
    /// Another program holds a lock.
    #[error("{}: locked by {holder}; gave up after {} s", display_path(path), waited.as_secs())]
    Locked {
        /// The locked file or directory.
        path: PathBuf,
        /// The process that holds it, as far as known.
        holder: String,
        /// How long mailferry waited.
        waited: Duration,
    },
    /// The source grew, shrank or was rewritten while it was read.
    #[error("{}: changed while it was read: {how}; run the same command again", display_path(path))]
    Changed {
        /// The source.
        path: PathBuf,
        /// The change, with the sizes.
        how: String,
    },
    /// Another program wrote to an mbox while mailferry appended to it. The appended bytes may still be there.
    #[error(
        "{}: changed by a program that ignores the lock: {how}; configure the same locks in all programs",
        display_path(path)
    )]
    ConcurrentWrite {
        /// The mbox.
        path: PathBuf,
        /// The change, with the sizes.
        how: String,
    },
    /// Another program created a path that mailferry was about to create.
    #[error("{}: was created by another program meanwhile; run the same command again", display_path(path))]
    Appeared {
        /// The path.
        path: PathBuf,
    },
    /// The destination is not usable.
    #[error("{}: {reason}", display_path(path))]
    Destination {
        /// The destination.
        path: PathBuf,
        /// The fault, and the remedy.
        reason: String,
    },
    /// Compressed data that ends early or is damaged.
    #[error("{}: damaged {format} data after {}: {source}", display_path(path), grouped_plural(*decoded, "decoded byte"))]
    Compressed {
        /// The source.
        path: PathBuf,
        /// `gzip`, `zstd`, `bzip2` or `xz`.
        format: &'static str,
        /// The number of bytes decoded before the damage.
        decoded: u64,
        /// The error of the decoder.
        source: io::Error,
    },
    /// An archive that is damaged or cut off, or that unpacks to more than a limit.
    #[error("{}: {reason}", display_path(path))]
    Archive {
        /// The archive or its member.
        path: PathBuf,
        /// The fault, and the remedy.
        reason: String,
    },
    /// The file system has too little free space. Found before anything is written.
    #[error("{}: not enough space: {} {unit} needed, {} free", display_path(path), grouped(*need), grouped(*free))]
    InsufficientSpace {
        /// A directory on the file system in question.
        path: PathBuf,
        /// `bytes` or `inodes`.
        unit: &'static str,
        /// The number needed.
        need: u64,
        /// The number free for this user.
        free: u64,
        /// The remedy.
        hint: &'static str,
    },
    /// The file is mostly holes, which take no space on the disk and hours to read.
    #[error(
        "{}: is a sparse file: of its {} bytes more than 1 GiB is not on the disk; copy it with cp --sparse=never \
         first",
        display_path(path),
        grouped(*size)
    )]
    Sparse {
        /// The file.
        path: PathBuf,
        /// The size with the holes.
        size: u64,
    },
    /// A boundary list does not fit its source.
    #[error("{}: line {line}: {reason}", display_path(path))]
    Boundaries {
        /// The boundary list.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The fault.
        reason: String,
    },
    /// The manifest was changed, or is of another version.
    #[error("{}: line {line} {reason}", display_path(path))]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The fault, continuing "line N".
        reason: String,
    },
    /// This version does not support the request.
    #[error("{}: {reason}", display_path(path))]
    Unsupported {
        /// The file or directory in question.
        path: PathBuf,
        /// The unsupported feature, and the alternative.
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
    /// The format of the mailbox cannot represent the message.
    #[error("{}: {reason}", display_path(path))]
    Unrepresentable {
        /// The mailbox.
        path: PathBuf,
        /// The part of the message that it cannot represent.
        reason: &'static str,
    },
    /// UIDs that the user requires would not be kept. Found before anything is written.
    #[error("{}: UIDs would not be kept: {reason}; use --uids keep to convert anyway", display_path(path))]
    UidsNotKept {
        /// The source, or the list of UIDs.
        path: PathBuf,
        /// The messages in question, and why.
        reason: String,
    },
    /// SIGINT, SIGTERM or SIGHUP.
    #[error("interrupted; nothing unfinished is visible; run the same command again to continue")]
    Interrupted,
    /// The same while a new Maildir was staged.
    #[error(
        "{}: interrupted; what was written stays here; run the same command again to continue",
        display_path(path)
    )]
    InterruptedStage {
        /// The stage.
        path: PathBuf,
    },
}

impl Error {
    /// Returns a usage error about `option`.
    pub fn usage(option: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::Usage { option: option.into(), reason: reason.into() }
    }

    /// Adds the action and the path to an error of the system.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
        let path = path.as_ref().to_owned();
        move |source| Error::Io { action, path, source }
    }

    /// Returns the error about an input that is not a mailbox, without a remedy.
    pub(crate) fn not_a_mailbox(path: &Path, reason: impl Into<String>) -> Error {
        Error::NotAMailbox { path: path.to_owned(), reason: reason.into(), hint: None }
    }

    /// Returns the error about an unusable destination.
    pub(crate) fn destination(path: &Path, reason: impl Into<String>) -> Error {
        Error::Destination { path: path.to_owned(), reason: reason.into() }
    }

    /// Returns the error about something that this version does not support.
    pub(crate) fn unsupported(path: &Path, reason: impl Into<String>) -> Error {
        Error::Unsupported { path: path.to_owned(), reason: reason.into() }
    }

    /// Reports whether a system call failed with this kind of error.
    pub(crate) fn is(&self, kind: io::ErrorKind) -> bool {
        matches!(self, Error::Io { source, .. } if source.kind() == kind)
    }

    /// Returns the error about a message that MMDF cannot represent.
    pub fn unrepresentable(path: &Path) -> Error {
        let reason = "the message has a line of four ^A, which would end its frame in an MMDF file";
        Error::Unrepresentable { path: path.to_owned(), reason }
    }

    /// Reports whether the same command may succeed later, without a remedy.
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
            | Error::Appeared { .. }
            | Error::InsufficientSpace { .. }
            | Error::Interrupted
            | Error::InterruptedStage { .. } => true,
            Error::NotAMailbox { .. }
            | Error::Destination { .. }
            | Error::Compressed { .. }
            | Error::Archive { .. }
            | Error::Sparse { .. }
            | Error::Boundaries { .. }
            | Error::Manifest { .. }
            | Error::Unsupported { .. }
            | Error::Usage { .. }
            | Error::UidsNotKept { .. }
            | Error::Unrepresentable { .. } => false,
        }
    }

    /// Returns the code in reports.
    pub fn code(&self) -> Code {
        match self {
            Error::Io { .. } => Code::IoError,
            Error::NotAMailbox { .. } => Code::NotAMailbox,
            Error::Locked { .. } => Code::Locked,
            Error::Changed { .. } => Code::SourceChanged,
            Error::ConcurrentWrite { .. } | Error::Appeared { .. } | Error::Destination { .. } => {
                Code::DestinationRefused
            }
            Error::Compressed { .. } => Code::DamagedCompression,
            Error::Archive { .. } => Code::ArchiveUnreadable,
            Error::InsufficientSpace { .. } => Code::InsufficientSpace,
            Error::Sparse { .. } => Code::FileSparse,
            Error::Boundaries { .. } => Code::BoundariesFile,
            Error::Manifest { .. } => Code::ManifestDamaged,
            Error::Unsupported { .. } | Error::Usage { .. } | Error::Unrepresentable { .. } => {
                Code::Unsupported
            }
            Error::UidsNotKept { .. } => Code::UidsNotKept,
            Error::Interrupted | Error::InterruptedStage { .. } => Code::Interrupted,
        }
    }

    /// Returns the file or directory in question.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Error::Io { path, .. }
            | Error::NotAMailbox { path, .. }
            | Error::Locked { path, .. }
            | Error::Changed { path, .. }
            | Error::ConcurrentWrite { path, .. }
            | Error::Appeared { path }
            | Error::Destination { path, .. }
            | Error::Compressed { path, .. }
            | Error::Archive { path, .. }
            | Error::InsufficientSpace { path, .. }
            | Error::Sparse { path, .. }
            | Error::Boundaries { path, .. }
            | Error::Manifest { path, .. }
            | Error::Unsupported { path, .. }
            | Error::Unrepresentable { path, .. }
            | Error::UidsNotKept { path, .. }
            | Error::InterruptedStage { path } => Some(path),
            Error::Usage { .. } | Error::Interrupted => None,
        }
    }

    /// Returns the message without the path in front of it.
    pub fn without_path(&self) -> String {
        let text = self.to_string();
        let path = self.path().map(|path| format!("{}: ", display_path(path)));
        path.and_then(|path| text.strip_prefix(&path).map(str::to_owned)).unwrap_or(text)
    }

    /// Returns the remedy, if one is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::NotAMailbox { hint, .. } => hint.as_deref(),
            Error::Manifest { .. } => Some(
                "restore it from a backup, or move it away: existing mail is then recognised by file names only",
            ),
            Error::InsufficientSpace { hint, .. } => Some(hint),
            Error::Locked { .. } => Some("run the same command again later, or raise --lock-timeout"),
            Error::Compressed { .. } => Some("get the file again, or restore it from a backup"),
            Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Some("check the path"),
            Error::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some(PERMISSION_REMEDY)
            }
            Error::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space and run the same command again; nothing unfinished is visible")
            }
            Error::Unrepresentable { .. } => Some("name another variant with a prefix, such as mboxrd:PATH"),
            _ => None,
        }
    }

    /// Returns the JSON object in reports. The path is part of the message, too.
    pub fn to_json(&self) -> Value {
        let mut object = Finding::from(self).to_json(self.path());
        object["message"] = self.to_string().into();
        object["hint"] = self.hint().into();
        object["mend"] = self.hint().into();
        object
    }
}

impl From<&Error> for Finding {
    fn from(error: &Error) -> Finding {
        Finding {
            path: error.path().map(Path::to_owned),
            hint: error.hint().map(|hint| hint.to_owned().into()),
            retry: error.retry_helps(),
            // Without the error it may be a warning: UIDs that are not kept.
            severity: Severity::Error,
            ..Finding::new(error.code(), error.without_path())
        }
    }
}

/// Returns the text of a system error without the `(os error N)` of Rust.
pub(crate) fn cause(source: &io::Error) -> String {
    let text = source.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}
