//! The home directory: whether its `.qmail` files may be followed.

use std::path::Path;

use rustix::fs::Stat;

use super::DotQmailError;

/// A directory or file with this bit may have been written by any user. Group-writable is allowed, as qmail's
/// conf-patrn is 002 on the many systems that have a group for each user.
pub(crate) const WORLD_WRITABLE: u32 = 0o002;
const STICKY: u32 = 0o1000;
const OTHERS_WRITABLE: u32 = 0o022;

/// The user with whose rights a file is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The owner of the home, and the owner's group, may write the file.
    Owner,
    /// Root: the file must be root's, and writable by root alone.
    RootOnly,
}

impl Trust {
    pub(super) fn check(self, stat: &Stat, path: &Path) -> Result<(), DotQmailError> {
        match self {
            Trust::RootOnly if stat.st_uid != 0 || mode(stat) & OTHERS_WRITABLE != 0 => {
                Err(DotQmailError::NotRootOnly { path: path.to_owned() })
            }
            _ => Ok(()),
        }
    }
}

/// Checks the home directory before anything in it is opened. Returns whether it is sticky: then its owner is
/// editing the `.qmail` files, and mail waits.
///
/// # Errors
/// [`DotQmailError::HomeWritable`], [`DotQmailError::NotRootOnly`], [`DotQmailError::HomeInaccessible`].
pub(crate) fn check_home(home: &Path, trust: Trust) -> Result<bool, DotQmailError> {
    let stat = rustix::fs::stat(home)
        .map_err(|e| DotQmailError::HomeInaccessible { home: home.to_owned(), source: e.into() })?;
    let mode = mode(&stat);
    if mode & WORLD_WRITABLE != 0 {
        return Err(DotQmailError::HomeWritable { home: home.to_owned(), mode });
    }
    trust.check(&stat, home)?;
    Ok(mode & STICKY != 0)
}

#[allow(clippy::unnecessary_cast)] // the type differs between architectures
pub(super) fn mode(stat: &Stat) -> u32 {
    stat.st_mode as u32 & 0o7777
}
