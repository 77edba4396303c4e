//! Reading from a descriptor that may have nothing to say for long.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::mailbox::context::Cancel;
use crate::mailbox::error::{Error, Result};

/// How long a signal may go unnoticed while nothing comes in: one that arrives just before we wait does not
/// wake us.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// A reader that can be interrupted while it waits, and that may be told how long to wait.
#[derive(Debug)]
pub struct InterruptibleReader<'a, R> {
    /// Where the bytes come from.
    pub reader: R,
    /// What it is called in an error.
    pub name: &'a Path,
    /// How long one read may wait; None: for ever.
    pub timeout: Option<Duration>,
    /// Set by a signal.
    pub cancel: &'a Cancel,
}

impl<R: Read + AsFd> InterruptibleReader<'_, R> {
    /// Reads some bytes; 0 at the end.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; [`Error::Io`], of the kind [`io::ErrorKind::TimedOut`] when nothing came in
    /// for as long as was allowed.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let started = Instant::now();
        loop {
            if self.cancel.is_requested() {
                return Err(Error::Interrupted);
            }
            if !self.is_ready()? {
                if self.timeout.is_some_and(|limit| started.elapsed() >= limit) {
                    return Err(Error::io("read", self.name)(io::ErrorKind::TimedOut.into()));
                }
                continue;
            }
            match self.reader.read(buffer) {
                // WouldBlock: somebody shares the pipe, made it non-blocking, and was quicker.
                Err(e) if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                result => return result.map_err(Error::io("read", self.name)),
            }
        }
    }

    fn is_ready(&self) -> Result<bool> {
        let mut polled = [PollFd::new(&self.reader, PollFlags::IN)];
        match rustix::event::poll(&mut polled, Some(&PATIENCE)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(e) => Err(Error::io("wait for", self.name)(e.into())),
        }
    }
}
