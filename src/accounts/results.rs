//! The directory of results, which several machines share.
//!
//! An account is claimed by a lock on the unfinished file of its result. The kernel ends the lock with the last process
//! that has the file open, so that a kill leaves no claim behind, on NFS neither.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::result::AccountResult;
use crate::mailbox::fs::actor::require_root_only;
use crate::mailbox::fs::atomic_file::AtomicFile;
use crate::mailbox::fs::{Dir, durable, files, parent_of};
use crate::mailbox::{Cancel, Error, Result};

/// The mode of a new directory: results name people and their mail.
const DIRECTORY_MODE: u32 = 0o700;
/// Bytes of a user in the name of a file. The other parts of the longest name have fewer than 50.
const MAX_NAME: usize = 200;

#[derive(Debug)]
pub(crate) struct ResultDir {
    path: PathBuf,
}

/// An account that this process alone converts.
#[derive(Debug)]
pub(crate) struct Claim {
    file: AtomicFile,
    path: PathBuf,
}

impl ResultDir {
    /// Opens the directory, and creates it if it is missing.
    ///
    /// # Errors
    /// [`Error::Unsupported`] as root, for a directory that others may change; [`Error::Io`].
    pub(crate) fn open(path: &Path, is_root: bool) -> Result<ResultDir> {
        if !files::exists(path)
            && let Some(name) = path.file_name()
        {
            Dir::open(parent_of(path))?.open_or_create_dir(name, DIRECTORY_MODE)?;
        }
        if is_root {
            require_root_only(path).map_err(|error| match error {
                Error::Unsupported { path, reason } => {
                    let reason = format!("{reason}; name a directory that only root can change");
                    Error::Unsupported { path, reason }
                }
                error => error,
            })?;
        }
        Dir::open(path)?.check_writable()?;
        Ok(ResultDir { path: path.to_owned() })
    }

    /// Claims an account, and waits for another run that has it.
    ///
    /// # Errors
    /// [`Error::Locked`] when the time is up, [`Error::Interrupted`], [`Error::Io`].
    pub(crate) fn claim(&self, user: &OsStr, wait: Duration, cancel: &Cancel) -> Result<Claim> {
        let path = self.path.join(file_name(user));
        Ok(Claim { file: AtomicFile::create(&path, true, wait, cancel)?, path })
    }

    /// Flushes all results. What a power failure takes before is converted again, and found there.
    pub(crate) fn flush(&self) -> Result<()> {
        Dir::open(&self.path)?.sync_fs()
    }
}

impl Claim {
    /// Returns the result of an earlier run; `None` also for one that a power failure has cut off.
    pub(crate) fn earlier(&self) -> Option<AccountResult> {
        AccountResult::parse(&files::read_regular(&self.path).ok()?).ok()
    }

    /// Returns a handle that keeps the claim as long as a process has it.
    pub(crate) fn handle(&self) -> io::Result<File> {
        self.file.file.try_clone()
    }

    /// Writes the result. It replaces an earlier one.
    pub(crate) fn publish(self, result: &AccountResult) -> Result<()> {
        let write = || {
            // The process of the account has had the file, too.
            durable::truncate(&self.file.file, 0)?;
            durable::write_all_at(&self.file.file, result.to_line().as_bytes(), 0)
        };
        write().map_err(Error::io("write", &self.path))?;
        self.file.commit(false)
    }
}

/// Returns the name of the result of a user. Different users have different names.
pub(crate) fn file_name(user: &OsStr) -> OsString {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._@+-".contains(&b);
    let mut name = Vec::new();
    for (n, &b) in user.as_bytes().iter().enumerate() {
        match is_plain(b) && (n, b) != (0, b'.') {
            true => name.push(b),
            false => name.extend(format!("%{b:02X}").bytes()),
        }
    }
    if name.len() > MAX_NAME {
        let hash = blake3::hash(user.as_bytes()).to_hex();
        name.truncate(MAX_NAME - 33);
        name.extend(b"%".iter().chain(&hash.as_bytes()[..32]));
    }
    name.extend(b".json");
    OsString::from_vec(name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::accounts::result::Outcome;

    fn result(user: &str, outcome: Outcome) -> AccountResult {
        AccountResult {
            kind: "account".into(),
            user: user.into(),
            sources: vec!["/var/mail/joe".into()],
            destination: "/home/joe/Maildir".into(),
            owner: None,
            outcome,
            exit: Some(0),
            signal: None,
            retry: false,
            host: "here".into(),
            version: "0".into(),
            start: "2026-11-30T00:00:00Z".into(),
            end: "2026-11-30T00:00:01Z".into(),
            seconds: 1.0,
            command_hash: "c".into(),
            fingerprint: Some("f".into()),
            manifest: None,
            findings: BTreeMap::from([("mbox-junk".into(), 3)]),
            errors: Vec::new(),
            summary: None,
        }
    }

    #[test]
    fn users_have_names_that_are_no_paths() {
        let long = "x".repeat(300);
        for (user, name) in [
            ("joe", "joe.json"),
            ("joe@example.org", "joe@example.org.json"),
            (".joe", "%2Ejoe.json"),
            ("jo e%", "jo%20e%25.json"),
            ("jörg", "j%C3%B6rg.json"),
        ] {
            assert_eq!(file_name(user.as_ref()), name);
        }
        let names = [long.clone(), long.clone() + "y"].map(|user| file_name(user.as_ref()));
        assert!(names[0] != names[1] && names.iter().all(|name| name.len() <= 205), "{names:?}");
    }

    #[test]
    fn a_claim_excludes_others_until_its_last_handle_is_closed() {
        let temp = tempfile::tempdir().unwrap();
        let results = ResultDir::open(&temp.path().join("results"), false).unwrap();
        let claim = |user: &str| results.claim(user.as_ref(), Duration::ZERO, Cancel::never());
        let joe = claim("joe").unwrap();
        assert!(joe.earlier().is_none());
        assert!(matches!(claim("joe"), Err(Error::Locked { .. })));
        drop(claim("ann").unwrap());
        let result = result("joe", Outcome::Done);
        joe.publish(&result).unwrap();
        assert_eq!(claim("joe").unwrap().earlier(), Some(result));
        assert_eq!(results.path.read_dir().unwrap().count(), 1, "nothing else is left");
        std::fs::write(results.path.join("joe.json"), "{\"type\":\"acc").unwrap();
        assert!(claim("joe").unwrap().earlier().is_none());
    }
}
