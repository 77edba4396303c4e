//! Mailboxes that another user made, in a directory where others may create names: no mail is put into them, for the
//! other user would read it. Postfix calls this strict_mailbox_modes.

use std::os::fd::AsFd;
use std::path::Path;

use crate::mailbox::error::{Error, Result};
use crate::mailbox::fs::files::{self, Metadata};
use crate::mailbox::fs::parent_of;

const GROUP_WRITABLE: u32 = 0o020;
const OTHERS_WRITABLE: u32 = 0o002;

/// Refuses an open mbox of another user, or one with several names, in a directory where others may create names.
///
/// # Errors
/// [`Error::Destination`] and [`Error::Io`].
pub(crate) fn refuse_foreign_mbox(path: &Path, file: impl AsFd) -> Result<()> {
    let stat = rustix::fs::fstat(file).map_err(|e| Error::io("look at", path)(e.into()))?;
    refuse_owner_for_root(path, stat.st_uid)?;
    let why = match stat.st_nlink {
        _ if !is_trusted(stat.st_uid) => format!("belongs to user {}", stat.st_uid),
        1 => return Ok(()),
        n => format!("has {n} names (hard links)"),
    };
    refuse_in_shared_directory(path, &why)
}

/// Refuses an open Maildir of another user in a directory where others may create names.
///
/// # Errors
/// [`Error::Destination`] and [`Error::Io`].
pub(crate) fn refuse_foreign_maildir(path: &Path, dir: impl AsFd) -> Result<()> {
    let stat = rustix::fs::fstat(dir).map_err(|e| Error::io("look at", path)(e.into()))?;
    refuse_owner_for_root(path, stat.st_uid)?;
    if is_trusted(stat.st_uid) {
        return Ok(());
    }
    refuse_in_shared_directory(path, &format!("belongs to user {}", stat.st_uid))
}

/// Refuses a path that leads over another user's symbolic link, made where others may create names. Does nothing in a
/// process that was root, which follows no such link.
///
/// # Errors
/// [`Error::Destination`].
pub(crate) fn refuse_foreign_links(path: &Path) -> Result<()> {
    if files::is_by_handle() {
        return Ok(());
    }
    for name in path.ancestors().filter(|name| !name.as_os_str().is_empty()) {
        let Ok(meta) = files::symlink_metadata(name) else { continue };
        if meta.is_symlink() && !is_trusted(meta.uid()) && is_shared(parent_of(name)) {
            let reason = format!(
                "is a symbolic link of user {}, where others may create files: nothing is delivered over it",
                meta.uid()
            );
            return Err(Error::Destination { path: name.to_owned(), reason });
        }
    }
    Ok(())
}

/// Refuses an open directory of a user in a tree of root's, where this process is still root: what it created would not
/// be the user's.
///
/// # Errors
/// [`Error::Destination`] and [`Error::Io`].
pub(crate) fn refuse_for_root(path: &Path, dir: impl AsFd) -> Result<()> {
    let stat = rustix::fs::fstat(dir).map_err(|e| Error::io("look at", path)(e.into()))?;
    refuse_owner_for_root(path, stat.st_uid)
}

fn refuse_owner_for_root(path: &Path, uid: u32) -> Result<()> {
    if uid == 0 || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let reason = format!(
        "belongs to user {uid}, and root acts for a user only in mailboxes that are named; name this one by itself"
    );
    Err(Error::Destination { path: path.to_owned(), reason })
}

fn refuse_in_shared_directory(path: &Path, why: &str) -> Result<()> {
    let real = files::canonicalize(path).map_err(Error::io("look up", path))?;
    if !is_shared(parent_of(&real)) {
        return Ok(());
    }
    let reason =
        format!("{why}, where others may create files: nothing is written to it; remove or rename it");
    Err(Error::Destination { path: real, reason })
}

/// Reports whether a file is the user's own or root's.
fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// Reports whether others may create names in a directory. The user's own group does not count.
fn is_shared(directory: &Path) -> bool {
    let own_group = rustix::process::getegid().as_raw();
    let is_shared = |meta: Metadata| {
        meta.mode() & OTHERS_WRITABLE != 0 || meta.mode() & GROUP_WRITABLE != 0 && meta.gid() != own_group
    };
    files::metadata(directory).is_ok_and(is_shared)
}
