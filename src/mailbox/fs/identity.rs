//! The identities of accounts, and the only module by which this process changes its identity.
//!
//! Linux keeps credentials per thread. A process that reads as one user and writes as another gives each its own
//! thread. The C library's setuid changes all threads at once, so the system calls are made directly.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, OnceLock, mpsc};
use std::{io, thread};

use rustix::process::{Gid, Uid};

use crate::mailbox::fs::system;
pub(crate) use crate::mailbox::fs::system::{forbid_new_privileges, seclude};

/// An account of the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub name: CString,
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    pub home: CString,
}

/// The key of an account.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By<'a> {
    Name(&'a OsStr),
    Number(u32),
}

/// The credentials of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub uid: u32,
    pub gid: u32,
    groups: Vec<u32>,
    /// The account's name; a user may have none.
    pub name: Option<CString>,
}

impl Identity {
    /// The credentials of an account, with all its groups.
    pub(crate) fn of_account(account: Account) -> io::Result<Identity> {
        let groups = groups_of(&account.name, account.gid)?;
        Ok(Identity { uid: account.uid, gid: account.gid, groups, name: Some(account.name) })
    }

    /// The credentials of a user without an account, who is in one group only.
    pub(crate) fn without_account(uid: u32, gid: u32) -> Identity {
        Identity { uid, gid, groups: vec![gid], name: None }
    }

    /// The same user with another group for new files.
    pub(crate) fn with_group(self, gid: u32) -> io::Result<Identity> {
        let groups = match &self.name {
            Some(name) => groups_of(name, gid)?,
            None => vec![gid],
        };
        Ok(Identity { gid, groups, ..self })
    }
}

/// Gives the calling thread these credentials permanently. Threads that it starts inherit them.
pub(crate) fn take(identity: &Identity) -> io::Result<()> {
    let groups: Vec<Gid> = identity.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    system::take_credentials(Uid::from_raw(identity.uid), Gid::from_raw(identity.gid), &groups)
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread that has its own credentials as long as the process lives.
#[derive(Debug, Clone)]
pub(crate) struct IdentityThread(Arc<mpsc::Sender<Job>>);

impl IdentityThread {
    /// Starts a thread that takes `identity`, or stays root.
    pub(crate) fn start(identity: Option<Identity>) -> io::Result<IdentityThread> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (taken, is_taken) = mpsc::sync_channel(1);
        let work = move || {
            let is_ready = identity.as_ref().map_or(Ok(()), take);
            let failed = is_ready.is_err();
            // The thread that started this one waits for the answer.
            let _ = taken.send(is_ready);
            if !failed {
                queue.iter().for_each(|job| job());
            }
        };
        thread::Builder::new().name("identity".into()).spawn(work)?;
        is_taken.recv().map_err(io::Error::other)??;
        Ok(IdentityThread(Arc::new(jobs)))
    }

    /// Runs `work` on the thread, and waits for its result.
    pub(crate) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (result, wait) = mpsc::sync_channel(1);
        let job = Box::new(move || {
            // The receiver is the waiting caller.
            let _ = result.send(work());
        });
        match self.0.send(job).ok().and_then(|()| wait.recv().ok()) {
            Some(result) => result,
            None => panic!("the thread of another user's identity ended"),
        }
    }
}

/// Returns the groups of an account, `gid` among them.
fn groups_of(name: &CStr, gid: u32) -> io::Result<Vec<u32>> {
    let mut groups = vec![0; 64];
    loop {
        let mut count = groups.len() as libc::c_int;
        // SAFETY: the name is a C string, and the list has `count` elements; both outlive the call.
        let found =
            unsafe { libc::getgrouplist(name.as_ptr(), gid as _, groups.as_mut_ptr().cast(), &mut count) };
        match found {
            -1 if groups.len() < 1 << 16 => groups.resize(groups.len() * 4, 0),
            -1 => return Err(io::Error::other("too many groups")),
            _ => {
                groups.truncate(usize::try_from(count).unwrap_or(0));
                return Ok(groups);
            }
        }
    }
}

/// Looks up an account; None if there is none.
pub(crate) fn account(by: &By<'_>) -> io::Result<Option<Account>> {
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
                // SAFETY: found points to entry, whose name and home are C strings in buffer.
                let (name, home) = unsafe { (CStr::from_ptr(entry.pw_name), CStr::from_ptr(entry.pw_dir)) };
                let (name, home) = (name.to_owned(), home.to_owned());
                return Ok(Some(Account { name, uid: entry.pw_uid, gid: entry.pw_gid, home }));
            }
            libc::ERANGE if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 2, 0),
            // POSIX allows these for "not found".
            libc::ENOENT | libc::ESRCH => return Ok(None),
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// Looks up the number of a group; None if there is none.
pub(crate) fn group_of(name: &str) -> io::Result<Option<u32>> {
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

/// The group that mail spools are writable for.
pub(crate) fn mail_group() -> Option<u32> {
    static GROUP: OnceLock<Option<u32>> = OnceLock::new();
    *GROUP.get_or_init(|| group_of("mail").ok().flatten())
}
