//! The context of an operation: cancel, progress events, the time, a host name and lock options.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Error, Result};

/// Everything an operation needs besides its options.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// Stops the operation.
    pub cancel: &'a Cancel,
    /// Listens to its progress.
    pub events: &'a dyn Events,
    /// Seconds since 1970.
    pub now: i64,
    /// The last part of the names of messages.
    pub host: &'a str,
    /// How mailboxes that other programs use are locked.
    pub locks: &'a LockOptions,
    /// Collect what a report shows of each source, which takes time for each message.
    pub collect_details: bool,
}

/// A request to stop, made by a signal and honoured by every loop and every wait.
#[derive(Clone)]
pub(crate) struct Cancel {
    flag: Option<Arc<AtomicBool>>,
    /// Called once for a lock that another program holds for long.
    on_wait: Option<WaitListener>,
}

/// Gets the locked file or directory, the holder as far as known, and the time that is left to wait.
type WaitListener = Arc<dyn Fn(&Path, &str, Duration) + Send + Sync>;

impl Cancel {
    /// Returns a request that nothing makes.
    pub(crate) const fn never() -> &'static Cancel {
        const NEVER: &Cancel = &Cancel { flag: None, on_wait: None };
        NEVER
    }

    /// Returns the request that is made when a signal handler sets `flag`.
    pub(crate) fn from_flag(flag: Arc<AtomicBool>) -> Cancel {
        Cancel { flag: Some(flag), on_wait: None }
    }

    /// Sets the listener to long waits for locks.
    pub(crate) fn with_wait_listener(
        self,
        listener: impl Fn(&Path, &str, Duration) + Send + Sync + 'static,
    ) -> Cancel {
        Cancel { on_wait: Some(Arc::new(listener)), ..self }
    }

    /// Reports a long wait for a lock.
    pub(crate) fn report_wait(&self, path: &Path, holder: &str, left: Duration) {
        if let Some(listener) = &self.on_wait {
            listener(path, holder, left);
        }
    }

    /// Returns a request that [`Cancel::request`] can make.
    #[cfg(test)]
    pub(crate) fn pending() -> Cancel {
        Cancel::from_flag(Arc::default())
    }

    /// Makes the request.
    #[cfg(test)]
    pub(crate) fn request(&self) {
        if let Some(flag) = &self.flag {
            flag.store(true, Ordering::Relaxed);
        }
    }

    /// Returns a request that was made.
    #[cfg(test)]
    pub(crate) fn requested() -> &'static Cancel {
        static REQUESTED: std::sync::LazyLock<Cancel> =
            std::sync::LazyLock::new(|| Cancel::from_flag(Arc::new(AtomicBool::new(true))));
        &REQUESTED
    }

    /// Reports whether the request was made.
    pub(crate) fn is_requested(&self) -> bool {
        self.flag.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// Fails with [`Error::Interrupted`] once the request was made.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_requested() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.flag).finish()
    }
}

/// A way to lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMethod {
    /// A file `PATH.lock`.
    Dotlock,
    /// fcntl(2), the kind that belongs to the process, as Dovecot and Postfix use it.
    Fcntl,
    /// flock(2).
    Flock,
}

/// The methods and the time limit of locks, and the identity of the process.
#[derive(Debug, Clone)]
pub struct LockOptions {
    /// The methods; they are always taken in the order dot-lock, fcntl, flock.
    pub methods: Vec<LockMethod>,
    /// For all of them together.
    pub timeout: Duration,
    /// Our process id, for the dot-lock.
    pub pid: u32,
    /// Our host's name, for the dot-lock.
    pub host: String,
}

impl LockOptions {
    /// Returns options that take no lock.
    pub(crate) fn none() -> LockOptions {
        LockOptions { methods: Vec::new(), timeout: Duration::ZERO, pid: 0, host: String::new() }
    }

    /// Reads a list such as `dotlock,fcntl`, or `none`. The error names the right values.
    pub fn parse_list(text: &str) -> Result<Vec<LockMethod>, String> {
        if text == "none" {
            return Ok(Vec::new());
        }
        text.split(',').map(LockMethod::parse).collect()
    }
}

impl LockMethod {
    fn parse(word: &str) -> Result<LockMethod, String> {
        match word.trim() {
            "dotlock" => Ok(LockMethod::Dotlock),
            "fcntl" => Ok(LockMethod::Fcntl),
            "flock" => Ok(LockMethod::Flock),
            _ => Err("a list of dotlock, fcntl and flock with commas, or none".to_owned()),
        }
    }
}

/// Listens to an operation while it runs.
pub(crate) trait Events: Sync {
    /// A phase begins; `total` is its size in bytes.
    fn begin(&self, phase: Phase, total: u64);
    /// So many more bytes and messages are done.
    fn advance(&self, bytes: u64, messages: u64);
    /// A folder of a tree begins.
    fn begin_folder(&self, _name: &dyn fmt::Display) {}
}

/// A listener that ignores everything.
pub(crate) struct NoEvents;

impl Events for NoEvents {
    fn begin(&self, _: Phase, _: u64) {}
    fn advance(&self, _: u64, _: u64) {}
}

/// The phases that take time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Standard input or a compressed file is spooled.
    Spooling,
    /// Boundaries are searched.
    Reading,
    /// Dates, flags and names are determined.
    Planning,
    /// Messages are written.
    Writing,
    /// Everything is brought to stable storage.
    Flushing,
}

impl Phase {
    /// The parts of a byte's work, of which a conversion has [`Phase::ALL_WORK`].
    pub(crate) fn work(self) -> u64 {
        match self {
            Phase::Reading | Phase::Planning => 1,
            Phase::Writing => 4,
            Phase::Spooling | Phase::Flushing => 0,
        }
    }

    /// The work that a byte makes from reading to writing.
    pub(crate) const ALL_WORK: u64 = 6;
}
