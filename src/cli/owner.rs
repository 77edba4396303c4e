//! Root becomes the owner of a mailbox before it touches it.
#![allow(unsafe_code)]

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::deliver::root_path::require_root_only;
use crate::mailbox::fs::durable::Owner;
use crate::mailbox::{Error, Result, display_path};
use crate::transport::{Failure, FailureReason};

/// Privilege with which mail is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// An ordinary user, permanently.
    User,
    /// Root, in a home that root alone can change.
    Root,
}

/// Lets root permanently become `user`, with that user's groups, if it is an account and the home is its own or root's.
/// Otherwise root becomes the home's owner. It stays root for root's account, and for a home of root's without another
/// account; then root alone must be able to change the path of the home. Does nothing without root.
///
/// # Errors
/// [`FailureReason::Configuration`] for a home that cannot be trusted.
pub(crate) fn become_home_owner(home: &Path, user: Option<&OsStr>) -> Result<Privilege, Failure> {
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
    // A virtual user may have the name of an unrelated account (`mail`).
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
    let result = become_user(uid, gid, account.as_ref()).and_then(|()| drop_inheritance(account.as_ref()));
    result.map(|()| Privilege::User).map_err(|e| {
        let text = format!("{}: cannot become user {uid}: {e}", display_path(home));
        Failure::new(FailureReason::TryAgain, text)
    })
}

/// Takes the groups of the user's account. A user without an account has only the group of the directory.
fn become_user(uid: u32, gid: u32, account: Option<&Account>) -> io::Result<()> {
    // SAFETY: these are system calls, or libc's way to make them for all threads. The name is a C string that
    // outlives the call, and the list has one element.
    unsafe {
        match account {
            Some(Account { name, .. }) => check(libc::initgroups(name.as_ptr(), gid as _))?,
            None => check(libc::setgroups(1, &gid))?,
        }
        check(libc::setgid(gid))?;
        check(libc::setuid(uid))?;
    }
    // A kernel or a container may report success without a change. A process without root cannot go back.
    let ids = (rustix::process::getuid().as_raw(), rustix::process::geteuid().as_raw());
    let gids = (rustix::process::getgid().as_raw(), rustix::process::getegid().as_raw());
    // SAFETY: a system call without pointers.
    let can_go_back = unsafe { libc::setuid(0) } == 0;
    match ids == (uid, uid) && gids == (gid, gid) && !can_go_back {
        true => Ok(()),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// Drops root's environment and open files, which are not the user's. Programs get a fixed PATH, the language, the time
/// zone and the user's name.
fn drop_inheritance(account: Option<&Account>) -> io::Result<()> {
    let name = account.map(|account| OsStr::from_bytes(account.name.as_bytes()));
    // SAFETY: there is only one thread, and signal handlers do not read the environment.
    unsafe {
        for (key, _) in std::env::vars_os() {
            // QMAILHOME is the directory of the next hop's settings.
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

/// Closes inherited descriptors on exec, except for the standard ones.
fn close_on_exec() -> io::Result<()> {
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for fd in open {
        // SAFETY: a system call without pointers. A descriptor that is closed by now gives an error.
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

/// Looks up the name of the account of this process.
pub(crate) fn current_account_name() -> Option<Vec<u8>> {
    let own = account(&By::Number(rustix::process::getuid().as_raw())).ok()??;
    Some(own.name.into_bytes())
}

/// Looks up an account; None if there is none.
fn account(by: &By<'_>) -> io::Result<Option<Account>> {
    let name = match by {
        By::Name(name) => CString::new(name.as_bytes())?,
        By::Number(_) => CString::default(),
    };
    let mut buffer = vec![0; 1 << 12];
    loop {
        // SAFETY: passwd has pointers and numbers only, so that all zeros are valid.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        let (at, length) = (buffer.as_mut_ptr(), buffer.len());
        // SAFETY: name, entry, found and buffer with its length outlive the call.
        let error = unsafe {
            match by {
                By::Name(_) => libc::getpwnam_r(name.as_ptr(), &mut entry, at, length, &mut found),
                By::Number(uid) => libc::getpwuid_r(*uid, &mut entry, at, length, &mut found),
            }
        };
        match error {
            0 if found.is_null() => return Ok(None),
            0 => {
                // SAFETY: found points to entry, whose name is a C string in buffer.
                let name = unsafe { std::ffi::CStr::from_ptr(entry.pw_name) }.to_owned();
                return Ok(Some(Account { name, uid: entry.pw_uid, gid: entry.pw_gid }));
            }
            libc::ERANGE if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 2, 0),
            // POSIX allows these for "not found".
            libc::ENOENT | libc::ESRCH => return Ok(None),
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// Parses `USER` or `USER:GROUP`, by name or by number. The default group is the user's own.
///
/// # Errors
/// A message for the user.
pub(crate) fn parse(text: &str) -> Result<Owner, String> {
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

/// Looks up the number of a group; None if there is none.
fn group_of(name: &str) -> io::Result<Option<u32>> {
    let name = CString::new(name)?;
    let mut buffer = vec![0; 1 << 16];
    // SAFETY: group has pointers and numbers only, so that all zeros are valid.
    let mut entry: libc::group = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    // SAFETY: name, entry, found and buffer with its length outlive the call.
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
