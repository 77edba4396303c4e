//! Root becomes somebody else before it touches what is his.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use mailferry::deliver::failure::{Failure, Reason};
use mailferry::mailbox::error::{Error, Result};
use mailferry::mailbox::shown;

/// As root: becomes the owner of `home`, with his groups, for good; a home of root's own is left to root.
/// Whoever is not root stays who he is.
pub fn become_owner_of(home: &Path) -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let meta = std::fs::metadata(home).map_err(Error::io("look up the owner of", home))?;
    if meta.uid() == 0 {
        return Ok(());
    }
    become_user(meta.uid(), meta.gid()).map_err(|e| {
        let text = format!("{}: cannot become its owner, user {}: {e}", shown(home), meta.uid());
        Failure::new(Reason::TryAgain, text)
    })
}

/// The group is that of the user's account; one who has no account has that of the directory, and no other.
fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    let account = account(uid)?;
    let gid = account.as_ref().map_or(gid, |account| account.gid);
    // SAFETY: all of these are system calls, or libc's way to make them for all threads; the name is a C string
    // that lives as long as the call, and the list has the one element that is said.
    unsafe {
        match &account {
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

struct Account {
    name: CString,
    gid: u32,
}

/// The account of a user; None for a number that has none.
fn account(uid: u32) -> io::Result<Option<Account>> {
    let mut buffer = vec![0; 1 << 12];
    loop {
        // SAFETY: passwd is plain data of pointers and numbers, of which all zeros is a value.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        // SAFETY: entry, buffer (of the length said) and found live until the call returns.
        let error =
            unsafe { libc::getpwuid_r(uid, &mut entry, buffer.as_mut_ptr(), buffer.len(), &mut found) };
        match error {
            0 if found.is_null() => return Ok(None),
            0 => {
                // SAFETY: found points to entry, whose name is a C string within buffer.
                let name = unsafe { std::ffi::CStr::from_ptr(entry.pw_name) }.to_owned();
                return Ok(Some(Account { name, gid: entry.pw_gid }));
            }
            libc::ERANGE if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 2, 0),
            // What POSIX allows to say for "not found".
            libc::ENOENT | libc::ESRCH => return Ok(None),
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
