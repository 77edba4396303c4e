//! Root becomes somebody else before it touches what is his.
#![allow(unsafe_code)]

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::mailbox::error::{Error, Result};
use crate::mailbox::fs::durable::Owner;
use crate::mailbox::text::display_path;
use crate::transport::failure::{Failure, FailureReason};

/// Who we are when mail is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// An ordinary user, for good.
    User,
    /// Root, in a home that only root can change.
    Root,
}

/// As root: becomes `user`, if that is an account and the home is his or root's, or else the owner of `home`, with
/// his groups, for good. Only root's account and a home of root's without another account leave us root; then
/// nobody else may be able to change which directory the home is.
/// Whoever is not root stays who he is.
///
/// # Errors
/// [`Reason::Configuration`] for a home that is not the account's or may not be believed.
pub fn become_home_owner(home: &Path, user: Option<&OsStr>) -> Result<Privilege, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Privilege::User);
    }
    let wrong =
        |why: &str| Failure::new(FailureReason::Configuration, format_args!("{}: {why}", display_path(home)));
    let unknown =
        |e: io::Error| Failure::new(FailureReason::TryAgain, format_args!("cannot look up accounts: {e}"));
    let meta = std::fs::metadata(home).map_err(Error::io("look up the owner of", home))?;
    let named = match user {
        Some(user) => account(&By::Name(user)).map_err(unknown)?,
        None => None,
    };
    // A virtual user may be called as an account is that has nothing to do with him (`mail`).
    let named = named.filter(|account| [account.uid, 0].contains(&meta.uid()));
    let account = match named {
        Some(account) => Some(account),
        None => account(&By::Number(meta.uid())).map_err(unknown)?,
    };
    let (uid, gid) = account.as_ref().map_or((meta.uid(), meta.gid()), |account| (account.uid, account.gid));
    if uid == 0 {
        return require_root_only(home).map(|()| Privilege::Root);
    }
    if account.is_none() && gid == 0 {
        return Err(wrong("its owner has no account, and the group that it has is root's; run chgrp on it"));
    }
    let became = become_user(uid, gid, account.as_ref()).and_then(|()| leave_behind(account.as_ref()));
    became.map(|()| Privilege::User).map_err(|e| {
        let text = format!("{}: cannot become user {uid}: {e}", display_path(home));
        Failure::new(FailureReason::TryAgain, text)
    })
}

/// Whether what is at `path`, as far as it exists, can be changed or replaced by root alone: each directory and
/// each symbolic link on the way is root's, and nobody else may write to them. In a sticky directory others may
/// make names, but not take away those of root.
///
/// # Errors
/// [`Reason::Configuration`], by name.
pub fn require_root_only(path: &Path) -> Result<(), Failure> {
    let path = std::path::absolute(path).map_err(Error::io("look up", path))?;
    walk(&path, LINKS_FOLLOWED)
}

/// As many symbolic links in one path as Linux follows.
const LINKS_FOLLOWED: u32 = 40;

fn walk(path: &Path, links: u32) -> Result<(), Failure> {
    let refuse = |at: &Path, why: &str| {
        let text = format!("{}: {why}; root delivers where nobody else can write", display_path(at));
        Err(Failure::new(FailureReason::Configuration, text))
    };
    let mut at = PathBuf::new();
    let mut parts = path.components();
    while let Some(part) = parts.next() {
        at.push(part);
        let meta = match std::fs::symlink_metadata(&at) {
            Ok(meta) => meta,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            Err(e) => return Err(Error::io("look up", &at)(e).into()),
        };
        if meta.uid() != 0 {
            return refuse(&at, &format!("it belongs to user {}", meta.uid()));
        }
        if meta.is_symlink() {
            if links == 0 {
                return refuse(&at, "there are too many symbolic links");
            }
            let to = std::fs::read_link(&at).map_err(Error::io("read the link", &at))?;
            at.pop();
            return walk(&at.join(to).join(parts.as_path()), links - 1);
        }
        let is_last = parts.as_path().as_os_str().is_empty();
        let is_shared = meta.is_dir() && !is_last && meta.mode() & STICKY != 0;
        if meta.mode() & OTHERS_WRITE != 0 && !is_shared {
            let who = if meta.mode() & OTHERS_WRITE == 0o002 { "o-w" } else { "go-w" };
            let mode = meta.mode() & 0o7777;
            return refuse(&at, &format!("others may write to it (mode {mode:04o}); run chmod {who} on it"));
        }
    }
    Ok(())
}

const STICKY: u32 = 0o1000;
const OTHERS_WRITE: u32 = 0o022;

/// The group is that of the user's account; one who has no account has that of the directory, and no other.
fn become_user(uid: u32, gid: u32, account: Option<&Account>) -> io::Result<()> {
    // SAFETY: all of these are system calls, or libc's way to make them for all threads; the name is a C string
    // that lives as long as the call, and the list has the one element that is said.
    unsafe {
        match account {
            Some(Account { name, .. }) => check(libc::initgroups(name.as_ptr(), gid as _))?,
            None => check(libc::setgroups(1, &gid))?,
        }
        check(libc::setgid(gid))?;
        check(libc::setuid(uid))?;
    }
    // A kernel or a container may say yes and mean no. There is no way back for who is not root any more.
    let ids = (rustix::process::getuid().as_raw(), rustix::process::geteuid().as_raw());
    let gids = (rustix::process::getgid().as_raw(), rustix::process::getegid().as_raw());
    // SAFETY: a system call without memory of ours.
    let can_go_back = unsafe { libc::setuid(0) } == 0;
    match ids == (uid, uid) && gids == (gid, gid) && !can_go_back {
        true => Ok(()),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// What root had is not his: programs find a fixed PATH, the language, the time zone and who they are, and none
/// of the files that root had open.
fn leave_behind(account: Option<&Account>) -> io::Result<()> {
    let name = account.map(|account| OsStr::from_bytes(account.name.as_bytes()));
    // SAFETY: there is one thread, so nobody reads the environment meanwhile; signal handlers do not.
    unsafe {
        for (key, _) in std::env::vars_os() {
            // QMAILHOME says where the next hop's settings are.
            if key != "TZ" && key != "LANG" && key != "QMAILHOME" {
                std::env::remove_var(key);
            }
        }
        std::env::set_var("PATH", "/usr/local/bin:/usr/bin:/bin");
        std::env::set_var("SHELL", "/bin/sh");
        if let Some(name) = name {
            std::env::set_var("LOGNAME", name);
        }
    }
    close_on_exec()
}

/// All descriptors but the standard ones are for us alone. Not all of those that we were given are so.
fn close_on_exec() -> io::Result<()> {
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for fd in open {
        // SAFETY: a system call without memory of ours; a descriptor that is closed meanwhile is an error.
        match unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } {
            -1 if io::Error::last_os_error().raw_os_error() != Some(libc::EBADF) => {
                return Err(io::Error::last_os_error());
            }
            _ => {}
        }
    }
    Ok(())
}

struct Account {
    name: CString,
    uid: u32,
    gid: u32,
}

enum By<'a> {
    Name(&'a OsStr),
    Number(u32),
}

/// The name of the account that we run as, if it has one that can be looked up.
pub fn current_account_name() -> Option<Vec<u8>> {
    let own = account(&By::Number(rustix::process::getuid().as_raw())).ok()??;
    Some(own.name.into_bytes())
}

/// The account of a user; None for a name or a number that has none.
fn account(by: &By<'_>) -> io::Result<Option<Account>> {
    let name = match by {
        By::Name(name) => CString::new(name.as_bytes())?,
        By::Number(_) => CString::default(),
    };
    let mut buffer = vec![0; 1 << 12];
    loop {
        // SAFETY: passwd is plain data of pointers and numbers, of which all zeros is a value.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        let (at, length) = (buffer.as_mut_ptr(), buffer.len());
        // SAFETY: name, entry, buffer (of the length said) and found live until the call returns.
        let error = unsafe {
            match by {
                By::Name(_) => libc::getpwnam_r(name.as_ptr(), &mut entry, at, length, &mut found),
                By::Number(uid) => libc::getpwuid_r(*uid, &mut entry, at, length, &mut found),
            }
        };
        match error {
            0 if found.is_null() => return Ok(None),
            0 => {
                // SAFETY: found points to entry, whose name is a C string within buffer.
                let name = unsafe { std::ffi::CStr::from_ptr(entry.pw_name) }.to_owned();
                return Ok(Some(Account { name, uid: entry.pw_uid, gid: entry.pw_gid }));
            }
            libc::ERANGE if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 2, 0),
            // What POSIX allows to say for "not found".
            libc::ENOENT | libc::ESRCH => return Ok(None),
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// Reads `USER` or `USER:GROUP`, by name or by number; without a group it is the user's own.
///
/// # Errors
/// A sentence for a person.
pub fn parse(text: &str) -> Result<Owner, String> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let unknown = |e: io::Error| format!("cannot look up accounts: {e}");
    let named = account(&By::Name(OsStr::new(user))).map_err(unknown)?;
    let (uid, own) = match (named, user.parse()) {
        (Some(account), _) => (account.uid, Some(account.gid)),
        (None, Ok(uid)) => (uid, account(&By::Number(uid)).map_err(unknown)?.map(|account| account.gid)),
        (None, Err(_)) => return Err(format!("there is no user {user}")),
    };
    let gid = match group {
        None | Some("") => own,
        Some(group) => match (group_of(group).map_err(unknown)?, group.parse()) {
            (Some(gid), _) | (None, Ok(gid)) => Some(gid),
            (None, Err(_)) => return Err(format!("there is no group {group}")),
        },
    };
    Ok(Owner { uid, gid })
}

/// The number of a group; None for a name that none has.
fn group_of(name: &str) -> io::Result<Option<u32>> {
    let name = CString::new(name)?;
    let mut buffer = vec![0; 1 << 16];
    // SAFETY: group is plain data of pointers and numbers, of which all zeros is a value.
    let mut entry: libc::group = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    // SAFETY: name, entry, buffer (of the length said) and found live until the call returns.
    let error =
        unsafe { libc::getgrnam_r(name.as_ptr(), &mut entry, buffer.as_mut_ptr(), buffer.len(), &mut found) };
    match error {
        0 => Ok((!found.is_null()).then_some(entry.gr_gid)),
        libc::ENOENT | libc::ESRCH => Ok(None),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
