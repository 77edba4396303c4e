//! Reading from a descriptor that a signal or a time limit can interrupt.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::mailbox::{Cancel, Error, Result};

/// How long a signal may go unnoticed. One that arrives just before poll(2) does not wake it.
const POLL_INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

#[derive(Debug)]
pub(crate) struct InterruptibleReader<'a, R> {
    pub reader: R,
    /// The name in errors.
    pub name: &'a Path,
    /// The time limit of one read.
    pub timeout: Option<Duration>,
    pub cancel: &'a Cancel,
}

impl<R: Read + AsFd> InterruptibleReader<'_, R> {
    /// Reads some bytes, or 0 at the end. After the timeout the error is of kind
    /// [`io::ErrorKind::TimedOut`].
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let started = Instant::now();
        loop {
            self.cancel.check()?;
            if !self.is_ready()? {
                if self.timeout.is_some_and(|limit| started.elapsed() >= limit) {
                    return Err(Error::io("read", self.name)(io::ErrorKind::TimedOut.into()));
                }
                continue;
            }
            match self.reader.read(buffer) {
                // WouldBlock: another reader of the pipe made it non-blocking, and was faster.
                Err(e) if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                result => return result.map_err(Error::io("read", self.name)),
            }
        }
    }

    fn is_ready(&self) -> Result<bool> {
        let mut polled = [PollFd::new(&self.reader, PollFlags::IN)];
        match rustix::event::poll(&mut polled, Some(&POLL_INTERVAL)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(e) => Err(Error::io("wait for input", self.name)(e.into())),
        }
    }
}
