//! May the `.qmail` files of this home directory be believed now?

use std::path::Path;

use rustix::fs::Stat;

use crate::deliver::dot_qmail::error::DotQmailError;

/// Writable by everybody: then anybody may have written it. Group-writable is allowed, since many systems
/// have a group for each user (qmail's conf-patrn is 002 there).
pub const WORLD_WRITABLE: u32 = 0o002;
const STICKY: u32 = 0o1000;

const NOT_ROOTS: u32 = 0o022;

/// Whose word counts in a home directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// That of its owner and of his group: it is done with his rights.
    Owner,
    /// Root's alone: it is done with root's.
    RootOnly,
}

impl Trust {
    /// Whether what has this status may be followed.
    pub(crate) fn check(self, stat: &Stat, path: &Path) -> Result<(), DotQmailError> {
        match self {
            Trust::RootOnly if stat.st_uid != 0 || mode(stat) & NOT_ROOTS != 0 => {
                Err(DotQmailError::NotRootOnly { path: path.to_owned() })
            }
            _ => Ok(()),
        }
    }
}

/// What there is to say of the home directory before anything in it is looked at.
///
/// # Errors
/// [`Trouble::HomeWritable`], [`Trouble::NotOnlyRoots`], [`Trouble::Unreadable`].
pub fn check(home: &Path, trust: Trust) -> Result<Editing, DotQmailError> {
    let stat = rustix::fs::stat(home).map_err(|e| DotQmailError::home(home, e.into()))?;
    let mode = mode(&stat);
    if mode & WORLD_WRITABLE != 0 {
        return Err(DotQmailError::HomeWritable { home: home.to_owned(), mode });
    }
    trust.check(&stat, home)?;
    Ok(if mode & STICKY != 0 { Editing::Now } else { Editing::No })
}

/// A sticky home directory says that its owner is at work on the `.qmail` files: mail waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Editing {
    /// The directory is not sticky.
    No,
    /// It is.
    Now,
}

#[allow(clippy::unnecessary_cast)] // the type differs between architectures
pub(crate) fn mode(stat: &Stat) -> u32 {
    stat.st_mode as u32 & 0o7777
}
