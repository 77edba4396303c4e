//! The one answer to "is this directory a Maildir?".
//!
//! A Maildir has at least two of cur/, new/ and tmp/, and no mailbox inside them. Git, zip and `rsync -m` drop empty
//! directories, and Thunderbird's Maildirs have no new/. A directory with cur/ or new/ alone may be the remnant of a
//! Maildir or a tree of mboxes; its files decide.

use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::mailbox::fs::durable::Name;
use crate::mailbox::fs::entries::{self, Entry};
use crate::mailbox::fs::{Dir, files, parent_of};
use crate::mailbox::maildir::name;
use crate::mailbox::source::Compression;
use crate::mailbox::text::shell_quote;
use crate::mailbox::{Error, Result};

/// The directories of a Maildir.
pub(crate) const SUBDIRECTORIES: [&str; 3] = ["cur", "new", "tmp"];

/// The result of [`detect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DirectoryKind {
    /// A Maildir; one of its directories may be missing.
    Maildir,
    /// cur/ or new/ alone, with files named as in a Maildir. Every command refuses it.
    Remnant,
    /// Anything else, or nothing.
    Other,
}

/// Finds out what a directory is. Symbolic links are followed.
pub(crate) fn detect(path: &Path) -> DirectoryKind {
    if !files::is_dir(path) {
        return DirectoryKind::Other;
    }
    let directories = SUBDIRECTORIES.map(|name| path.join(name));
    let present: Vec<&PathBuf> = directories.iter().filter(|directory| files::is_dir(directory)).collect();
    match present[..] {
        [] => DirectoryKind::Other,
        [only] if *only == directories[2] => DirectoryKind::Other,
        [_] if contents(&present) == Contents::Messages => DirectoryKind::Remnant,
        [_] => DirectoryKind::Other,
        _ if contents(&present) == Contents::Mailboxes => DirectoryKind::Other,
        _ => DirectoryKind::Maildir,
    }
}

/// Reports whether a directory is a Maildir.
///
/// # Errors
/// [`Error::NotAMailbox`] for the remnant of one.
pub(crate) fn is_maildir(path: &Path) -> Result<bool> {
    match detect(path) {
        DirectoryKind::Maildir => Ok(true),
        DirectoryKind::Other => Ok(false),
        DirectoryKind::Remnant => Err(remnant(path)),
    }
}

/// Fails unless a path is a Maildir.
pub(crate) fn require_maildir(path: &Path) -> Result<()> {
    if is_maildir(path)? { Ok(()) } else { Err(not_a_maildir(path)) }
}

/// Reports whether a path names a Maildir++ folder: a dot directory in a Maildir. It need not exist.
pub(crate) fn is_maildirpp_folder(path: &Path) -> bool {
    let is_hidden = path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"."));
    is_hidden && detect(parent_of(path)) == DirectoryKind::Maildir
}

/// Reports whether a dot directory in a Maildir is a folder that lost directories: it has its marker or one of
/// them, and no mailbox in them.
pub(crate) fn is_damaged_folder(path: &Path) -> bool {
    let directories = SUBDIRECTORIES.map(|name| path.join(name));
    let present: Vec<&PathBuf> = directories.iter().filter(|directory| files::is_dir(directory)).collect();
    let has_any = !present.is_empty() || files::exists(path.join("maildirfolder"));
    has_any && contents(&present) != Contents::Mailboxes
}

/// Reports whether a regular file begins like an mbox.
pub(crate) fn begins_as_mbox(path: &Path) -> bool {
    head(path).is_some_and(|head| head.starts_with(b"From "))
}

/// Returns the error about the remnant of a Maildir.
pub(crate) fn remnant(path: &Path) -> Error {
    let missing: Vec<String> = SUBDIRECTORIES
        .iter()
        .map(|name| path.join(name))
        .filter(|path| !files::is_dir(path))
        .map(|path| shell_quote(&path))
        .collect();
    let only = SUBDIRECTORIES.iter().find(|name| files::is_dir(path.join(name))).unwrap_or(&"cur");
    Error::NotAMailbox {
        path: path.to_owned(),
        reason: format!(
            "it has {only}/ with messages, and a Maildir has at least two of cur/, new/ and tmp/"
        ),
        hint: Some(format!("mkdir {}", missing.join(" "))),
    }
}

fn not_a_maildir(path: &Path) -> Error {
    let meta = match files::metadata(path) {
        Ok(meta) => meta,
        Err(error) => return Error::io("open", path)(error),
    };
    let has_any = ["cur", "new"].iter().any(|name| files::is_dir(path.join(name)));
    let reason = match meta.is_dir() {
        true if has_any => "it has cur/ or new/, and no messages in them",
        true => "it is a directory without cur/ and new/",
        false => "it is not a directory",
    };
    Error::not_a_mailbox(path, reason)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contents {
    Messages,
    Mailboxes,
    Neither,
}

/// Looks into the directories of a possible Maildir until the first message. A directory that cannot be listed
/// decides nothing: opening it reports the error.
fn contents(directories: &[&PathBuf]) -> Contents {
    let mut found = Contents::Neither;
    for directory in directories {
        let Ok(dir) = Dir::open(directory) else { continue };
        let _ = dir.visit(|entry| match classify(directory, &entry) {
            Contents::Messages => {
                found = Contents::Messages;
                ControlFlow::Break(())
            }
            Contents::Mailboxes => {
                found = Contents::Mailboxes;
                ControlFlow::Continue(())
            }
            Contents::Neither => ControlFlow::Continue(()),
        });
        if found == Contents::Messages {
            break;
        }
    }
    found
}

/// A name with an info or a recent time is a message's: such a file is not opened. Archives of mailing lists have
/// names such as `2005.06`, so a shorter number decides only where the file does not begin like a mailbox.
fn classify(directory: &Path, entry: &Name<'_>) -> Contents {
    /// 1973, in seconds since 1970.
    const RECENT: i64 = 100_000_000;
    let name = entry.name;
    let path = directory.join(name);
    let is_directory = match entry.kind {
        FileType::Unknown => files::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()),
        kind => kind == FileType::Directory,
    };
    let parsed = name::parse(name.as_bytes());
    let time = parsed.epoch().filter(|_| parsed.base.contains(&b'.'));
    if name.as_bytes().starts_with(b".") {
        Contents::Neither
    } else if is_directory {
        if holds_mailbox(&path) { Contents::Mailboxes } else { Contents::Neither }
    } else if parsed.info.is_some() || time.is_some_and(|time| time >= RECENT) {
        Contents::Messages
    } else if begins_as_mailbox(&path) {
        Contents::Mailboxes
    } else if time.is_some() {
        Contents::Messages
    } else {
        Contents::Neither
    }
}

fn holds_mailbox(directory: &Path) -> bool {
    let has_subdirectories =
        |path: &Path| SUBDIRECTORIES.iter().filter(|name| files::is_dir(path.join(name))).count() >= 2;
    let is_mailbox = |entry: Entry| match entry.is_dir() {
        true => has_subdirectories(&entry.path),
        false => begins_as_mailbox(&entry.path),
    };
    has_subdirectories(directory) || entries::below(directory, false).flatten().any(is_mailbox)
}

/// Reports whether a regular file begins like an mbox, or is compressed.
pub(crate) fn begins_as_mailbox(path: &Path) -> bool {
    let is_mailbox = |head: Vec<u8>| {
        head.starts_with(b"From ")
            || head.starts_with(b"\x01\x01\x01\x01")
            || Compression::detect(&head).is_some()
    };
    head(path).is_some_and(is_mailbox)
}

/// The first bytes of a regular file. A FIFO is not waited for.
fn head(path: &Path) -> Option<Vec<u8>> {
    let file = files::open(path).ok()?;
    let mut head = vec![0; 16];
    let length =
        file.metadata().ok().filter(|meta| meta.is_file()).and_then(|_| file.read_at(&mut head, 0).ok())?;
    head.truncate(length);
    Some(head)
}
