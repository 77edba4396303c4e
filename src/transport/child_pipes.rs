//! What a program is given through a pipe, and whether it has read it.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::transport::process;

/// What is still to be read and given.
pub enum PipeSource {
    /// A file, from where it stands.
    File(File),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// A pipe that we write to, as fast as the program reads.
pub struct InputPipe {
    left: PipeSource,
    /// Read, and not written yet.
    pending: Vec<u8>,
    /// Closed when all is written.
    writer: Option<PipeWriter>,
    /// The child's end. We keep one too: so we see what nobody has read, and no write fails.
    reader: PipeReader,
}

impl InputPipe {
    /// A pipe of its own.
    pub fn new(left: PipeSource) -> io::Result<InputPipe> {
        let (reader, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&writer, true)?;
        Ok(InputPipe { left, pending: Vec::new(), writer: Some(writer), reader })
    }

    /// The end that a program reads from.
    pub fn for_child(&self) -> io::Result<Stdio> {
        Ok(OwnedFd::from(self.reader.try_clone()?).into())
    }

    /// To wait until there is room; None when all is written.
    pub fn poll_fd(&self) -> Option<PollFd<'_>> {
        self.writer.as_ref().map(|writer| PollFd::new(writer, PollFlags::OUT))
    }

    /// Writes as much as goes in; at the end of all, closes.
    pub fn write_available(&mut self) -> io::Result<()> {
        loop {
            let Some(writer) = &self.writer else { return Ok(()) };
            if self.pending.is_empty() {
                self.pending = self.left.next()?;
            }
            if self.pending.is_empty() {
                self.writer = None;
                return Ok(());
            }
            match rustix::io::write(writer.as_fd(), &self.pending) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Of an ended program: whether it has taken everything.
    pub fn was_read(&self) -> bool {
        self.writer.is_none() && rustix::io::ioctl_fionread(&self.reader).is_ok_and(|unread| unread == 0)
    }
}

impl PipeSource {
    /// The next bytes; none at the end.
    fn next(&mut self) -> io::Result<Vec<u8>> {
        match self {
            PipeSource::Bytes(bytes) => Ok(std::mem::take(bytes)),
            PipeSource::File(file) => {
                let mut bytes = Vec::new();
                file.take(1 << 16).read_to_end(&mut bytes)?;
                Ok(bytes)
            }
        }
    }
}

/// Waits until one of these pipes can be served, or for that time, which is less than a second.
pub fn wait(polled: &mut [PollFd<'_>], time: Duration) -> io::Result<()> {
    if polled.is_empty() {
        return process::idle(time);
    }
    let time = Timespec { tv_sec: 0, tv_nsec: i64::from(time.subsec_nanos()) };
    match rustix::event::poll(polled, Some(&time)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}
