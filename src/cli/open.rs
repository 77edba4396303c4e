//! Opening the sources of a command, with what the environment adds to its options.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::args::{bytes, seconds};
use super::clock;
use super::folders::raise_open_file_limit;
use super::mailbox_arg::{Format, MailboxArg};
use crate::cli::ui::ProgressDisplay;
use crate::mailbox::context::LockMethod;
use crate::mailbox::fs::files;
use crate::mailbox::maildir::detect::is_maildir;
use crate::mailbox::mbox::Variant;
use crate::mailbox::source::input::InterruptibleReader;
use crate::mailbox::source::{Source, SpoolOptions, UnpackOptions, unpack_in};
use crate::mailbox::tree::Tree;
use crate::mailbox::tree::archive::walk_archive;
use crate::mailbox::tree::walk::walk;
use crate::mailbox::{Cancel, Context, Error, Events, LockOptions, NoEvents, Result};
use crate::transport::{Failure, SpooledMessage};

/// How sources are opened.
#[derive(Args, Debug, Clone)]
pub(super) struct OpenArgs {
    /// Locks to take on mboxes, in the order dotlock, fcntl, flock; or none
    #[arg(long, hide_short_help = true, value_name = "LIST", default_value = "dotlock,fcntl", value_parser = parse_locks, help_heading = "Source")]
    pub lock: Locks,
    /// Time limit for locks, in seconds
    #[arg(long, hide_short_help = true, value_name = "SECS", value_parser = seconds, default_value_t = 30, help_heading = "Source")]
    pub lock_timeout: u64,
    /// Directory to unpack compressed sources in [default: $TMPDIR, or /tmp]
    #[arg(long, hide_short_help = true, value_name = "DIR", help_heading = "Source")]
    pub spool_dir: Option<PathBuf>,
    /// Limit on the bytes unpacked there [default: free space less 64 MiB]
    #[arg(long, hide_short_help = true, value_name = "BYTES", value_parser = bytes, help_heading = "Source")]
    pub spool_limit: Option<u64>,
}

/// The value of `--lock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Locks(Vec<LockMethod>);

/// The default of a delivery: [`Locks::all`].
pub(super) const ALL_LOCKS: &str = "dotlock,fcntl,flock";

/// Reads the value of `--lock`.
pub(super) fn parse_locks(text: &str) -> Result<Locks, String> {
    LockOptions::parse_list(text).map(Locks)
}

/// Standard input, read by system calls: the standard library takes one that cannot be read for an empty one.
#[derive(Debug)]
pub(super) struct StandardInput(io::Stdin);

impl StandardInput {
    /// Nothing else in the process may read it.
    pub(super) fn new() -> StandardInput {
        StandardInput(io::stdin())
    }
}

impl Read for StandardInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.0, buffer)?)
    }
}

impl AsFd for StandardInput {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Reads the message on standard input.
pub(super) fn read_message(
    spool_dir: &Path,
    max_size: Option<u64>,
    cancel: &Cancel,
) -> Result<SpooledMessage, Failure> {
    let reader = StandardInput::new();
    let input = InterruptibleReader { reader, name: Path::new("standard input"), timeout: None, cancel };
    SpooledMessage::read(input, spool_dir, max_size)
}

impl OpenArgs {
    /// Returns the directory in which sources are spooled.
    pub(super) fn spool_directory(&self) -> PathBuf {
        self.spool_dir.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// Returns what opens the sources. With `leave_no_trace` no dot-lock is created: it would be a file.
    pub(super) fn opener<'a>(
        &'a self,
        cancel: &'a Cancel,
        display: &'a ProgressDisplay,
        leave_no_trace: bool,
    ) -> Opener<'a> {
        let spool_dir = self.spool_directory();
        let (dir, limit) = (spool_dir.clone(), self.spool_limit);
        unpack_in(UnpackOptions { dir, limit, cancel: cancel.clone() });
        Opener { args: self, cancel, display, leave_no_trace, spool_dir, is_live: false }
    }

    /// Returns a dot-lock, whatever `--lock` asks for: some files have no other lock.
    pub(super) fn dotlock_options(&self) -> LockOptions {
        Locks(vec![LockMethod::Dotlock]).with_timeout(Duration::from_secs(self.lock_timeout))
    }

    /// Returns the locks of `--lock`. A dot-lock leaves a trace: it is a file.
    pub(super) fn lock_options(&self, leave_no_trace: bool) -> LockOptions {
        let methods = self.lock.0.iter().copied().filter(|&m| !(leave_no_trace && m == LockMethod::Dotlock));
        Locks(methods.collect()).with_timeout(Duration::from_secs(self.lock_timeout))
    }
}

/// Opens the sources of a command.
pub(super) struct Opener<'a> {
    args: &'a OpenArgs,
    cancel: &'a Cancel,
    display: &'a ProgressDisplay,
    leave_no_trace: bool,
    spool_dir: PathBuf,
    /// The sources are in use: see [`Source::open_live`].
    pub is_live: bool,
}

impl Opener<'_> {
    pub(super) fn open(&self, mailbox: &MailboxArg) -> Result<Source> {
        let progress = |bytes| self.display.spooled(bytes);
        let spooling = self.spooling(&progress);
        if mailbox.is_standard_stream() {
            return Source::from_reader(Path::new("standard input"), &mut StandardInput::new(), &spooling);
        }
        if mailbox.format == Some(Format::Maildir) || is_maildir(&mailbox.path)? {
            return Err(Error::unsupported(&mailbox.path, "is a Maildir, not a file"));
        }
        let open = if self.is_live { Source::open_live } else { Source::open };
        let locks = match mailbox.variant() {
            // A file with one message is not appended to.
            Some(Variant::Rfc822) => LockOptions::none(),
            _ => self.args.lock_options(self.leave_no_trace),
        };
        open(&mailbox.path, &locks, &spooling)
    }

    /// Finds the mailboxes in a directory or in an archive.
    pub(super) fn walk(&self, root: &Path, follow: bool) -> Result<Tree> {
        self.walk_after(root, follow, &[])
    }

    /// Finds mailboxes like [`Opener::walk`]. Members that the archives `earlier` have, too, are left out.
    pub(super) fn walk_after(&self, root: &Path, follow: bool, earlier: &[PathBuf]) -> Result<Tree> {
        let progress = |bytes| self.display.spooled(bytes);
        let spooling = self.spooling(&progress);
        if files::is_dir(root) {
            return walk(root, follow, &spooling);
        }
        // Its large members have a descriptor each.
        raise_open_file_limit();
        walk_archive(root, earlier, &spooling)
    }

    fn spooling<'a>(&'a self, progress: &'a (dyn Fn(u64) + Sync)) -> SpoolOptions<'a> {
        SpoolOptions { dir: &self.spool_dir, limit: self.args.spool_limit, cancel: self.cancel, progress }
    }
}

impl Locks {
    /// Returns the locks that need no file next to the mailbox.
    pub(super) fn without_dotlock() -> Locks {
        Locks(vec![LockMethod::Fcntl, LockMethod::Flock])
    }

    /// Returns all locks.
    pub(super) fn all() -> Locks {
        Locks(vec![LockMethod::Dotlock, LockMethod::Fcntl, LockMethod::Flock])
    }

    /// Adds the timeout, and the identity of this process.
    pub(super) fn with_timeout(&self, timeout: Duration) -> LockOptions {
        LockOptions {
            methods: self.0.clone(),
            timeout,
            pid: std::process::id(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        }
    }
}

/// Returns the context of an operation that begins now.
pub(super) fn context<'a>(
    cancel: &'a Cancel,
    events: &'a dyn Events,
    host: &'a str,
    locks: &'a LockOptions,
) -> Context<'a> {
    Context { cancel, events, now: clock::seconds_since_epoch(), host, locks, collect_details: false }
}

/// Returns the context of a delivery, which shows no progress.
pub(super) fn delivery_context<'a>(cancel: &'a Cancel, locks: &'a LockOptions) -> Context<'a> {
    context(cancel, &NoEvents, &locks.host, locks)
}
