//! A path that is to become a Maildir, or to get more messages.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::FileType;

use crate::mailbox::fs::atomic_file::MISSING_PARENT;
use crate::mailbox::fs::{Dir, files, parent_of};
use crate::mailbox::maildir::detect;
use crate::mailbox::{Error, Result};

/// The state of a destination before anything is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DestinationState {
    /// Nothing.
    Nothing,
    /// An empty directory.
    EmptyDirectory,
    /// A Maildir; one of its directories may be missing.
    Maildir,
}

/// Checks a destination, and fails for one that cannot become a Maildir.
pub(crate) fn check_destination(path: &Path) -> Result<DestinationState> {
    if let Some(link) = files::refused_link(path) {
        let reason = "is a symbolic link of a user, and root follows only links that only root can create; name its target";
        return Err(Error::Destination { path: link, reason: reason.into() });
    }
    let failed = Error::io("look at the destination", path);
    let meta = match files::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => files::metadata(path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return check_absent(path),
        meta => meta,
    };
    let meta = match meta {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let reason = "is a symbolic link to nothing".into();
            return Err(Error::Destination { path: path.to_owned(), reason });
        }
        Err(e) => return Err(failed(e)),
    };
    let refuse = |reason: &str| Err(Error::Destination { path: path.to_owned(), reason: reason.into() });
    if !meta.is_dir() {
        return refuse("exists and is not a directory; name another destination, or mbox:PATH for an mbox");
    }
    let dir = Dir::open(path)?;
    // Listed first: a delivery that creates the Maildir at this moment creates tmp/ and new/ before maildirfolder.
    let names = dir.names()?;
    if detect::is_maildir(path)? {
        return Ok(DestinationState::Maildir);
    }
    for name in names {
        let is_empty = match name.as_bytes() {
            b"lost+found" | b"tmp" => true,
            // A hidden file keeps an empty directory in an archive.
            b"cur" | b"new" => {
                dir.open_child(&name)?.names()?.iter().all(|name| name.as_bytes().starts_with(b"."))
            }
            _ => false,
        };
        if !is_empty {
            return refuse("is not a Maildir, and not empty; name a Maildir, or a new directory inside it");
        }
    }
    Ok(DestinationState::EmptyDirectory)
}

/// Checks the parent of a destination that does not exist.
fn check_absent(path: &Path) -> Result<DestinationState> {
    let parent = parent_of(path);
    match files::stat(parent) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            Ok(DestinationState::Nothing)
        }
        Ok(_) => Err(Error::Destination { path: parent.to_owned(), reason: "is not a directory".into() }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Err(Error::Destination { path: parent.to_owned(), reason: MISSING_PARENT.into() })
        }
        Err(e) => Err(Error::io("look at the directory", parent)(e)),
    }
}
