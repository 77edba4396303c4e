//! Locks on a mailbox file, in one order (dot-lock, fcntl, flock) and with one time limit.
//!
//! The fixed order keeps two mailferries from waiting for each other. Kernel locks are polled: to end a blocking
//! wait would take a signal.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::{Dir, lock_signature};
use crate::mailbox::context::LockMethod;
use crate::mailbox::error::cause;
use crate::mailbox::fs::durable::FileId;
use crate::mailbox::fs::{files, ignore_poison, system};
use crate::mailbox::{Cancel, Code, Error, Finding, LockOptions, Result, display_path, escape};

/// A delivery holds the lock on a quota for less than this.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// A wait that is reported while it lasts.
const LONG_WAIT: Duration = Duration::from_secs(2);
/// Bytes of a lock file that are read: a signature with the longest name of a host has fewer.
const READ_BYTES: u64 = 512;
/// Bytes of a lock file that are reported.
const SHOWN_BYTES: usize = 80;

/// The purpose of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockMode {
    /// A lock that permission or support forbids is a finding.
    Read,
    /// A lock that permission or support forbids is an error. The file must be open for writing.
    Write,
}

/// The locks of a mailbox. Dropping it releases them, last taken first.
#[derive(Debug)]
pub(crate) struct MailboxLock {
    // One second descriptor for all locks: closing it releases the fcntl lock, so it stays open until all are to
    // be released. The fields are dropped in this order.
    file: File,
    flocked: bool,
    dotlock: Option<Dotlock>,
}

/// Locks the mailbox `path`, open as `file`, and returns findings about locks that were left out.
///
/// fcntl locks belong to the process. They are lost when *any* descriptor of that file is closed in it: until the
/// lock is dropped, the caller opens the file once, as `file`, and does not close it.
///
/// A dot-lock is waited for, and taken over in one case only: it has mailferry's format, this host and this PID
/// namespace, and its process is gone. A dot-lock with this process's own number that this process does not hold is
/// stale, too: in a container every run is process 1. In another namespace it is unknown whether the process lives.
/// A number that another process got since is not noticed. (Dovecot takes over a dot-lock that is two minutes old.)
///
/// # Errors
/// [`Error::Locked`] when the time is up, [`Error::Interrupted`], or [`Error::Io`].
pub(crate) fn acquire(
    path: &Path,
    file: &File,
    mode: LockMode,
    wanted: &LockOptions,
    cancel: &Cancel,
) -> Result<(MailboxLock, Vec<Finding>)> {
    let open = || file.try_clone().map_err(Error::io("lock", path));
    acquire_with(path, open, mode, wanted, cancel)
}

/// Locks a mailbox that `open` opens once the dot-lock is taken. The mailbox can be created, and removed if
/// something fails, while no other program that honours the dot-lock reads it. The lock owns the file.
pub(crate) fn acquire_with(
    path: &Path,
    open: impl FnOnce() -> Result<File>,
    mode: LockMode,
    wanted: &LockOptions,
    cancel: &Cancel,
) -> Result<(MailboxLock, Vec<Finding>)> {
    let patience = Deadline::new(wanted.timeout, cancel);
    let asked = |method| wanted.methods.contains(&method);
    let mut findings = Vec::new();
    let mut dotlock = None;
    if asked(LockMethod::Dotlock) {
        let lock = Dotlock::acquire(path, wanted, &patience).map_err(|error| match mode {
            LockMode::Read => error,
            LockMode::Write => with_way_out(error),
        });
        dotlock = tolerate(lock, mode, cannot_write, Code::LockUnwritable, &mut findings)?;
    }
    let mut guard = MailboxLock { file: open()?, flocked: false, dotlock };
    let mut fcntl = None;
    if asked(LockMethod::Fcntl) {
        let lock = fcntl_acquire(path, &guard.file, mode, &patience);
        fcntl = tolerate(lock, mode, is_unsupported, Code::LockUnsupported, &mut findings)?;
    }
    // If flock is an fcntl lock of another owner in disguise, the two would exclude each other.
    if asked(LockMethod::Flock) && !(fcntl.is_some() && system::flock_uses_fcntl(&guard.file)) {
        let lock = flock_acquire(path, &guard.file, mode, &patience);
        // A file system with fcntl locks alone excludes every program that can lock there.
        let is_locked = mode == LockMode::Write && fcntl.is_some();
        let lock = if is_locked { tolerate_unsupported(lock) } else { lock.map(Some) };
        let lock = tolerate(lock, mode, is_unsupported, Code::LockUnsupported, &mut findings)?;
        guard.flocked = lock.flatten().is_some();
    }
    Ok((guard, findings))
}

impl MailboxLock {
    /// Sets the time of the dot-lock to now: other programs take an old one for stale.
    pub(crate) fn touch(&self) {
        if let Some(dotlock) = &self.dotlock {
            // A lock that cannot be refreshed is still held.
            let _ = dotlock.dir.touch(&dotlock.name);
        }
    }

    /// Returns the same open file that was locked. Closing it before the lock is dropped would release an fcntl
    /// lock.
    pub(crate) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

impl Drop for MailboxLock {
    fn drop(&mut self) {
        // flock belongs to the open file, not to a descriptor, and the caller's descriptor stays open.
        if self.flocked {
            let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
        }
    }
}

/// Turns a harmless error into a finding, for a reader.
fn tolerate<T>(
    lock: Result<T>,
    mode: LockMode,
    harmless: fn(&io::Error) -> bool,
    code: Code,
    findings: &mut Vec<Finding>,
) -> Result<Option<T>> {
    match lock {
        Ok(lock) => Ok(Some(lock)),
        Err(ref error @ Error::Io { ref source, .. }) if mode == LockMode::Read && harmless(source) => {
            let finding = Finding::new(code, format!("{error}; it is read without this lock"));
            findings.push(finding.with_hint("make sure that nothing writes to it meanwhile"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Returns `None` if the file system does not support this lock.
fn tolerate_unsupported(lock: Result<()>) -> Result<Option<()>> {
    match lock {
        Err(Error::Io { ref source, .. }) if is_unsupported(source) => Ok(None),
        lock => lock.map(Some),
    }
}

/// Explains that no lock file can be created next to the mailbox, and which lock needs none. Otherwise the error
/// does not say that the lock failed, and it would fail every time.
fn with_way_out(error: Error) -> Error {
    match error {
        Error::Io { action, path, source } if is_forbidden(&source) => {
            let parent = path.parent().filter(|_| !files::is_dir(&path));
            let dir = display_path(parent.unwrap_or(&path));
            let text = format!(
                "{}; lock files are created in {dir}: allow writing there, or use --lock fcntl",
                cause(&source)
            );
            Error::Io { action, path, source: io::Error::new(source.kind(), text) }
        }
        error => error,
    }
}

fn is_forbidden(error: &io::Error) -> bool {
    [Errno::ACCESS, Errno::PERM, Errno::ROFS]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// A full disk is included: mail is moved away from it.
fn cannot_write(error: &io::Error) -> bool {
    [Errno::ACCESS, Errno::PERM, Errno::ROFS, Errno::NAMETOOLONG, Errno::NOSPC, Errno::DQUOT]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn is_unsupported(error: &io::Error) -> bool {
    [Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOSYS]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// A time limit that a cancel request ends early.
struct Deadline<'a> {
    start: Instant,
    timeout: Duration,
    cancel: &'a Cancel,
}

impl<'a> Deadline<'a> {
    fn new(timeout: Duration, cancel: &'a Cancel) -> Deadline<'a> {
        Deadline { start: Instant::now(), timeout, cancel }
    }

    /// Tries to lock `path` until it succeeds, at least once. `holder` describes who has the lock.
    ///
    /// # Errors
    /// [`Error::Locked`] when the time is up, [`Error::Interrupted`], or that of `attempt`.
    fn retry<T>(
        &self,
        path: &Path,
        holder: impl Fn() -> String,
        mut attempt: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let (mut pause, mut is_reported) = (FIRST_PAUSE, false);
        loop {
            if self.cancel.is_requested() {
                return Err(Error::Interrupted);
            }
            if let Some(lock) = attempt()? {
                return Ok(lock);
            }
            let waited = self.start.elapsed();
            let left = self.timeout.saturating_sub(waited);
            if left.is_zero() {
                return Err(Error::Locked { path: path.to_owned(), holder: holder(), waited });
            }
            if waited >= LONG_WAIT && !is_reported {
                self.cancel.report_wait(path, &holder(), left);
                is_reported = true;
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// The dot-locks of this process. Another one with this process id was left over by an earlier process with that
/// id.
static HELD: Mutex<Vec<FileId>> = Mutex::new(Vec::new());

fn held() -> MutexGuard<'static, Vec<FileId>> {
    ignore_poison(HELD.lock())
}

/// A `PATH.lock` of this process.
#[derive(Debug)]
struct Dotlock {
    dir: Dir,
    name: OsString,
    identity: FileId,
}

impl Dotlock {
    fn acquire(mailbox: &Path, wanted: &LockOptions, patience: &Deadline<'_>) -> Result<Dotlock> {
        let (dir, name) = beside(mailbox)?;
        let create = || match Dotlock::create(&dir, &name, wanted)? {
            Some(identity) => Ok(Some(identity)),
            // After a stale lock is removed there is no pause.
            None if remove_if_stale(&dir, &name, wanted) => Dotlock::create(&dir, &name, wanted),
            None => Ok(None),
        };
        let identity = patience.retry(mailbox, || describe(&dir, &name), create)?;
        Ok(Dotlock { dir, name, identity })
    }

    /// Creates the lock; `None` if there is one. It is signed from the start: an empty lock file, left over by a
    /// kill, could never be called stale.
    fn create(dir: &Dir, name: &OsStr, wanted: &LockOptions) -> Result<Option<FileId>> {
        let signature = lock_signature::sign(wanted);
        // Until it is in the list no thread may judge it.
        let mut held = held();
        let fd = match dir.create_with(name, 0o644, signature.as_bytes()) {
            Ok(fd) => fd,
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|e| {
            let _ = dir.unlink(name);
            Error::io("look at the lock file", dir.path().join(name))(e.into())
        })?;
        held.push(FileId::of(&stat));
        Ok(Some(FileId::of(&stat)))
    }
}

impl Drop for Dotlock {
    fn drop(&mut self) {
        // Another program may have called it stale and replaced it: that lock must stay. There is no caller to
        // report an error to, so a failure is tried again. If it fails again, the lock file names this process and
        // is found stale.
        let identity = || self.dir.child_id(&self.name);
        if let Ok(Some(identity)) = identity().or_else(|_| identity())
            && identity == self.identity
        {
            let _ = self.dir.unlink_if_exists(&self.name);
        }
        held().retain(|identity| *identity != self.identity);
    }
}

/// Returns the directory of the mailbox and the name of its dot-lock.
fn beside(mailbox: &Path) -> Result<(Dir, OsString)> {
    let (dir, mut name) = Dir::open_for_lock(mailbox)?;
    name.push(".lock");
    Ok((dir, name))
}

/// Removes a stale dot-lock of mailferry, and returns whether it did.
///
/// Two processes may find it stale at once, and the slower one must not remove the new lock of the faster one. So
/// it is removed only under flock, and only while the name is still the file that was judged.
fn remove_if_stale(dir: &Dir, name: &OsStr, wanted: &LockOptions) -> bool {
    let Ok(file) = dir.open_file(name) else { return false };
    let identity = || rustix::fs::fstat(&file).ok().map(|stat| FileId::of(&stat));
    let is_held = || identity().is_none_or(|identity| held().contains(&identity));
    let judged = lock_signature::is_stale(&first_bytes(&file), wanted, is_held)
        && rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
    let same = || {
        let judged = identity();
        judged.is_some() && dir.child_id(name).ok().flatten() == judged
    };
    judged && same() && dir.unlink(name).is_ok()
}

/// Describes a lock file by its time, not its age: the library has no clock.
fn describe(dir: &Dir, name: &OsStr) -> String {
    let path = display_path(&dir.path().join(name));
    let Ok(file) = dir.open_file(name) else { return format!("the lock file {path}") };
    let made = file.metadata().and_then(|meta| meta.modified()).ok();
    let made = made.and_then(|time| jiff::Timestamp::try_from(time).ok());
    let made = made.map_or(String::new(), |time| format!(" of {}", time.strftime("%Y-%m-%d %H:%M:%S UTC")));
    match first_bytes(&file).trim_ascii_end() {
        b"" => format!("the lock file {path}{made}, which is empty"),
        content => {
            let shown = &content[..content.len().min(SHOWN_BYTES)];
            format!("the lock file {path}{made}, which contains \"{}\"", escape(shown))
        }
    }
}

fn first_bytes(file: &File) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = file.take(READ_BYTES).read_to_end(&mut bytes);
    bytes
}

fn fcntl_acquire(path: &Path, file: &File, mode: LockMode, patience: &Deadline<'_>) -> Result<()> {
    let kind = match mode {
        LockMode::Read => libc::F_RDLCK as libc::c_short,
        LockMode::Write => libc::F_WRLCK as libc::c_short,
    };
    let lock = || match fcntl_lock(file, libc::F_SETLK, kind) {
        Ok(_) => Ok(Some(())),
        Err(e) if is_busy(&e) => Ok(None),
        Err(e) => Err(Error::io("lock (fcntl)", path)(e)),
    };
    patience.retry(path, || fcntl_holder(file, kind), lock)
}

/// POSIX leaves the choice between these two.
fn is_busy(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EACCES | libc::EAGAIN))
}

fn fcntl_holder(file: &File, kind: libc::c_short) -> String {
    match fcntl_lock(file, libc::F_GETLK, kind) {
        // A lock that is held over NFS or by an open file description has no pid here.
        Ok(lock) if lock.l_type != libc::F_UNLCK as libc::c_short && lock.l_pid > 0 => {
            format!("pid {} (fcntl)", lock.l_pid)
        }
        _ => "another process (fcntl)".to_owned(),
    }
}

/// Calls fcntl(2) for the whole file with a command that takes a `struct flock`. rustix has no F_GETLK.
#[allow(unsafe_code)]
fn fcntl_lock(file: &File, command: libc::c_int, kind: libc::c_short) -> io::Result<libc::flock> {
    // SAFETY: `struct flock` is plain integers, for which all zeros are a value; zero start and length mean the
    // whole file.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    loop {
        // SAFETY: the descriptor is open while `file` is borrowed, and both commands access only the one `struct
        // flock` that is passed.
        if unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) } == 0 {
            return Ok(lock);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn flock_acquire(path: &Path, file: &File, mode: LockMode, patience: &Deadline<'_>) -> Result<()> {
    let operation = match mode {
        LockMode::Read => FlockOperation::NonBlockingLockShared,
        LockMode::Write => FlockOperation::NonBlockingLockExclusive,
    };
    patience.retry(
        path,
        || flock_holder(file, "another process (flock)"),
        || try_flock(path, file, operation),
    )
}

fn try_flock(path: &Path, fd: impl AsFd, operation: FlockOperation) -> Result<Option<()>> {
    match rustix::fs::flock(fd, operation) {
        Ok(()) => Ok(Some(())),
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(None),
        Err(e) => Err(Error::io("lock (flock)", path)(e.into())),
    }
}

/// Describes the holder of a flock lock.
fn flock_holder(fd: impl AsFd, unknown: &str) -> String {
    system::flock_holder(fd).map_or_else(|| unknown.to_owned(), |pid| format!("pid {pid} (flock)"))
}

/// A lock that keeps other mailferries out of a directory or file until it is dropped.
#[derive(Debug)]
pub(crate) struct DirLock {
    fd: OwnedFd,
    held: bool,
}

impl DirLock {
    /// Returns false if the file system cannot lock directories (NFS). Then the mail is protected only because
    /// nothing replaces an existing name.
    pub(crate) fn is_held(&self) -> bool {
        self.held
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.fd, FlockOperation::Unlock);
    }
}

/// Locks a directory by flock(2) on its handle, which leaves no file over after a kill. Two handles exclude each
/// other within one process, too.
pub(crate) fn lock_dir(dir: &Dir, timeout: Duration, cancel: &Cancel) -> Result<DirLock> {
    lock_file(dir.path(), dir, timeout, cancel)
}

/// Locks a file that is being written under a name of mailferry.
pub(crate) fn lock_file(path: &Path, fd: impl AsFd, timeout: Duration, cancel: &Cancel) -> Result<DirLock> {
    let patience = Deadline::new(timeout, cancel);
    let fd = fd.as_fd().try_clone_to_owned().map_err(Error::io("lock (flock)", path))?;
    let lock = || try_flock(path, &fd, FlockOperation::NonBlockingLockExclusive);
    match patience.retry(path, || flock_holder(&fd, "another mailferry"), lock) {
        Ok(()) => Ok(DirLock { fd, held: true }),
        Err(Error::Io { ref source, .. }) if is_unlockable_dir(source) => Ok(DirLock { fd, held: false }),
        Err(error) => Err(error),
    }
}

/// NFS needs a descriptor open for writing, which no directory can have, and says EBADF.
fn is_unlockable_dir(error: &io::Error) -> bool {
    is_unsupported(error) || error.raw_os_error() == Some(libc::EBADF)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{BufRead, BufReader, Write};
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    use crate::mailbox::fs::lock::*;

    fn mailbox() -> (tempfile::TempDir, PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("inbox");
        fs::write(&path, "From a\n").unwrap();
        (temp, path)
    }

    fn wanted(methods: &[LockMethod]) -> LockOptions {
        let timeout = Duration::from_millis(120);
        LockOptions { methods: methods.to_vec(), timeout, pid: std::process::id(), host: "here".into() }
    }

    fn open(path: &Path) -> File {
        File::options().read(true).write(true).open(path).unwrap()
    }

    fn lock(path: &Path, mode: LockMode, methods: &[LockMethod]) -> Result<(MailboxLock, Vec<Finding>)> {
        acquire(path, &open(path), mode, &wanted(methods), Cancel::never())
    }

    fn held(result: Result<(MailboxLock, Vec<Finding>)>) -> String {
        match result {
            Err(error @ Error::Locked { .. }) => error.to_string(),
            other => panic!("not locked: {other:?}"),
        }
    }

    /// Returns a pid that was alive a moment ago.
    fn dead_pid() -> u32 {
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        child.id()
    }

    #[test]
    fn lists_are_read() {
        use LockMethod::*;
        assert_eq!(LockOptions::parse_list("dotlock,fcntl"), Ok(vec![Dotlock, Fcntl]));
        assert_eq!(LockOptions::parse_list("flock, dotlock"), Ok(vec![Flock, Dotlock]));
        assert_eq!(LockOptions::parse_list("none"), Ok(vec![]));
        for bad in ["", "lockf", "dotlock,none", "dotlock,,fcntl"] {
            assert!(LockOptions::parse_list(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_dotlock_excludes_and_goes_away() {
        let (_temp, path) = mailbox();
        let lockfile = path.with_extension("lock");
        let (guard, findings) = lock(&path, LockMode::Read, &[LockMethod::Dotlock]).unwrap();
        assert_eq!(findings, []);
        let pid = std::process::id();
        let namespace = system::pid_namespace().map_or(String::new(), |namespace| format!(" {namespace}"));
        let started = system::start_time(pid).map_or(String::new(), |ticks| format!(" started:{ticks}"));
        let signature = format!("{pid} here mailferry{namespace}{started}");
        assert_eq!(fs::read_to_string(&lockfile).unwrap(), format!("{signature}\n"));
        let message = held(lock(&path, LockMode::Read, &[LockMethod::Dotlock]));
        assert!(message.contains("inbox.lock") && message.contains(&signature), "{message}");
        drop(guard);
        assert!(!lockfile.exists());
        lock(&path, LockMode::Write, &[LockMethod::Dotlock]).unwrap();
    }

    #[test]
    fn all_names_of_a_mailbox_have_one_dotlock_beside_the_file() {
        let (temp, path) = mailbox();
        fs::create_dir(temp.path().join("elsewhere")).unwrap();
        let link = temp.path().join("elsewhere/link");
        std::os::unix::fs::symlink("../inbox", &link).unwrap();
        let (guard, _) = lock(&link, LockMode::Write, &[LockMethod::Dotlock]).unwrap();
        assert!(path.with_extension("lock").exists() && !link.with_extension("lock").exists());
        held(lock(&path, LockMode::Write, &[LockMethod::Dotlock]));
        drop(guard);
        let (_guard, _) = lock(&path, LockMode::Write, &[LockMethod::Dotlock]).unwrap();
        held(lock(&link, LockMode::Write, &[LockMethod::Dotlock]));
    }

    #[test]
    fn a_dotlock_is_waited_for() {
        let (_temp, path) = mailbox();
        let (guard, _) = lock(&path, LockMode::Write, &[LockMethod::Dotlock]).unwrap();
        let patient = LockOptions { timeout: Duration::from_secs(20), ..wanted(&[LockMethod::Dotlock]) };
        std::thread::scope(|scope| {
            let waiting = scope
                .spawn(|| acquire(&path, &open(&path), LockMode::Write, &patient, Cancel::never()).map(drop));
            std::thread::sleep(Duration::from_millis(80));
            drop(guard);
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn only_a_dotlock_of_a_dead_mailferry_here_is_removed() {
        let (_temp, path) = mailbox();
        let lockfile = path.with_extension("lock");
        let dead = dead_pid();
        let alive = std::process::id();
        let parent = std::os::unix::process::parent_id();
        // Only Linux has them.
        let Some(namespace) = system::pid_namespace() else { return };
        let parents_start = system::start_time(parent).unwrap();
        for (content, stale) in [
            (format!("{dead} here mailferry {namespace}\n"), true),
            // Of an earlier process with this number.
            (format!("{alive} here mailferry {namespace}\n"), true),
            (format!("{alive} there mailferry {namespace}\n"), false),
            (format!("{parent} here mailferry {namespace}\n"), false),
            (format!("{parent} here mailferry {namespace} started:{parents_start}\n"), false),
            // The number of a process that is gone, which another has now.
            (format!("{parent} here mailferry {namespace} started:{}\n", parents_start + 1), true),
            (format!("{parent} here mailferry pidns:1 started:{}\n", parents_start + 1), false),
            (format!("{dead} here mailferry {namespace} started:1\n"), true),
            // Of another container on this host: whether they live is unknown.
            (format!("{dead} here mailferry pidns:1\n"), false),
            (format!("{alive} here mailferry pidns:1\n"), false),
            (format!("{dead} here mailferry {namespace} more\n"), false),
            (format!("{dead} here mailferry\n"), true),
            (format!("{dead} there mailferry\n"), false),
            (format!("{alive} here mailferry\n"), false),
            (format!("{dead}\n"), false),
            ("0 here mailferry\n".to_owned(), false),
            ("-1 here mailferry\n".to_owned(), false),
            (String::new(), false),
        ] {
            fs::write(&lockfile, &content).unwrap();
            let result = lock(&path, LockMode::Write, &[LockMethod::Dotlock]);
            assert_eq!(result.is_ok(), stale, "{content:?}");
            drop(result);
            assert_eq!(lockfile.exists(), !stale, "{content:?}");
        }
        fs::remove_file(&lockfile).unwrap();
        for host in ["a host", "a mailferry", " ", "", "a\nb\n", &"x".repeat(64)] {
            let wanted = LockOptions { host: host.to_owned(), ..wanted(&[LockMethod::Dotlock]) };
            let lock = || acquire(&path, &open(&path), LockMode::Write, &wanted, Cancel::never()).unwrap();
            let guard = lock();
            let content = fs::read_to_string(&lockfile).unwrap();
            drop(guard);
            fs::write(&lockfile, content.replacen(&alive.to_string(), &dead.to_string(), 1)).unwrap();
            drop(lock());
            assert!(!lockfile.exists(), "{host:?}");
        }
        fs::write(&lockfile, "\x1b[2J\n").unwrap();
        let message = held(lock(&path, LockMode::Write, &[LockMethod::Dotlock]));
        assert!(message.contains("\\u{1b}[2J"), "{message}");
    }

    #[test]
    fn a_dotlock_that_another_put_in_place_of_ours_stays() {
        let (_temp, path) = mailbox();
        let (guard, _) = lock(&path, LockMode::Read, &[LockMethod::Dotlock]).unwrap();
        let lockfile = path.with_extension("lock");
        fs::rename(&lockfile, path.with_extension("moved")).unwrap();
        fs::write(&lockfile, "4711").unwrap();
        drop(guard);
        assert_eq!(fs::read(&lockfile).unwrap(), b"4711");
    }

    #[test]
    fn a_dotlock_that_cannot_be_written_stops_only_writers() {
        let temp = tempfile::tempdir().unwrap();
        // The only refusal that root gets, too: the name with .lock is too long.
        let path = temp.path().join("n".repeat(255));
        fs::write(&path, "").unwrap();
        let (_guard, findings) =
            lock(&path, LockMode::Read, &[LockMethod::Dotlock, LockMethod::Flock]).unwrap();
        assert_eq!(findings.iter().map(|f| f.code).collect::<Vec<_>>(), [Code::LockUnwritable]);
        assert!(matches!(lock(&path, LockMode::Write, &[LockMethod::Dotlock]), Err(Error::Io { .. })));
    }

    #[test]
    fn flock_excludes_writers_and_lets_readers_share() {
        let (_temp, path) = mailbox();
        let reader = lock(&path, LockMode::Read, &[LockMethod::Flock]).unwrap();
        let second = lock(&path, LockMode::Read, &[LockMethod::Flock]).unwrap();
        held(lock(&path, LockMode::Write, &[LockMethod::Flock]));
        drop((reader, second));
        let (guard, _) = lock(&path, LockMode::Write, &[LockMethod::Flock]).unwrap();
        held(lock(&path, LockMode::Read, &[LockMethod::Flock]));
        drop(guard);
    }

    #[test]
    fn flock_is_given_back_while_the_callers_file_stays_open() {
        let (_temp, path) = mailbox();
        let file = open(&path);
        drop(acquire(&path, &file, LockMode::Write, &wanted(&[LockMethod::Flock]), Cancel::never()).unwrap());
        lock(&path, LockMode::Write, &[LockMethod::Flock]).unwrap();
        drop(file);
    }

    #[test]
    fn locks_of_an_earlier_kind_are_given_back_when_a_later_one_is_refused() {
        let (_temp, path) = mailbox();
        let (_guard, _) = lock(&path, LockMode::Write, &[LockMethod::Flock]).unwrap();
        held(lock(&path, LockMode::Write, &[LockMethod::Flock, LockMethod::Dotlock]));
        assert!(!path.with_extension("lock").exists());
    }

    /// The other process of the test below: locks the file it reads from its input, until the input ends.
    #[test]
    #[ignore = "run by fcntl_excludes_another_process"]
    fn other_process() {
        let mut line = String::new();
        io::stdin().read_line(&mut line).unwrap();
        let file = open(Path::new(line.trim_end()));
        let _guard = acquire(
            Path::new(line.trim_end()),
            &file,
            LockMode::Write,
            &wanted(&[LockMethod::Fcntl]),
            Cancel::never(),
        )
        .unwrap();
        io::stdout().write_all(b"\nlocked\n").unwrap();
        io::stdin().read_line(&mut line).unwrap();
    }

    #[test]
    fn fcntl_excludes_another_process() {
        let (_temp, path) = mailbox();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "mailbox::fs::lock::tests::other_process", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(child.stdin.as_mut().unwrap(), "{}", path.display()).unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "locked"));
        let message = held(lock(&path, LockMode::Read, &[LockMethod::Fcntl]));
        assert!(message.contains(&format!("pid {}", child.id())), "{message}");
        drop(child.stdin.take());
        lines.for_each(drop);
        assert!(child.wait().unwrap().success());
        let (_guard, findings) = lock(&path, LockMode::Write, &[LockMethod::Fcntl]).unwrap();
        assert_eq!(findings, []);
    }

    #[test]
    fn an_interruption_ends_the_wait() {
        let (_temp, path) = mailbox();
        let (_guard, _) = lock(&path, LockMode::Read, &[LockMethod::Dotlock]).unwrap();
        let cancel = Cancel::pending();
        let patient = LockOptions { timeout: Duration::from_secs(60), ..wanted(&[LockMethod::Dotlock]) };
        std::thread::scope(|scope| {
            let waiting =
                scope.spawn(|| acquire(&path, &open(&path), LockMode::Read, &patient, &cancel).map(drop));
            std::thread::sleep(Duration::from_millis(30));
            cancel.request();
            assert!(matches!(waiting.join().unwrap(), Err(Error::Interrupted)));
        });
    }

    #[test]
    fn a_directory_is_locked_by_one_handle_at_a_time() {
        let (temp, _) = mailbox();
        let (one, two) = (Dir::open(temp.path()).unwrap(), Dir::open(temp.path()).unwrap());
        let short = Duration::from_millis(60);
        let lock = lock_dir(&one, short, Cancel::never()).unwrap();
        assert!(lock.is_held());
        let Err(Error::Locked { holder, .. }) = lock_dir(&two, short, Cancel::never()) else { panic!() };
        let us = format!("pid {} (flock)", std::process::id());
        assert!([&us[..], "another mailferry"].contains(&&holder[..]), "{holder}");
        drop(lock);
        assert!(lock_dir(&two, short, Cancel::never()).unwrap().is_held());
    }
}
