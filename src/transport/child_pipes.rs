//! The pipes of a child process: what it reads, and what of its output is kept.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

/// All pipes of one child process. They are served together: it may read its inputs in any order, or not at all.
#[derive(Default)]
pub(crate) struct ChildPipes {
    pub inputs: Vec<InputPipe>,
    pub outputs: Vec<OutputPipe>,
}

impl ChildPipes {
    /// Moves what can be moved, after at most `time`, which is less than a second. Returns whether anything moved.
    pub(crate) fn serve(&mut self, time: Duration) -> io::Result<bool> {
        let inputs = self.inputs.iter().filter_map(InputPipe::poll_fd);
        let outputs = self.outputs.iter().filter_map(OutputPipe::poll_fd);
        let mut polled: Vec<PollFd<'_>> = inputs.chain(outputs).collect();
        if polled.is_empty() {
            std::thread::sleep(time);
            return Ok(false);
        }
        let time = Timespec { tv_sec: 0, tv_nsec: i64::from(time.subsec_nanos()) };
        match rustix::event::poll(&mut polled, Some(&time)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let mut has_moved = false;
        for input in &mut self.inputs {
            has_moved |= input.write_available()?;
        }
        for output in &mut self.outputs {
            has_moved |= output.read_available()?;
        }
        Ok(has_moved)
    }

    /// Reports whether the process, which has ended, read all of its inputs.
    pub(crate) fn all_read(&self) -> bool {
        self.inputs.iter().all(InputPipe::was_read)
    }
}

/// Content of an input pipe.
pub(crate) enum PipeSource {
    /// A file, from its position on.
    File(File),
    Bytes(Vec<u8>),
}

/// A pipe to a process, written as fast as the process reads.
pub(crate) struct InputPipe {
    source: PipeSource,
    /// Bytes taken from the source and not written yet.
    pending: Vec<u8>,
    /// Closed when all is written.
    writer: Option<PipeWriter>,
    /// The child's end. mailferry keeps it open, too: it shows what the child did not read, and no write fails.
    reader: PipeReader,
}

impl InputPipe {
    pub(crate) fn new(source: PipeSource) -> io::Result<InputPipe> {
        let (reader, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&writer, true)?;
        Ok(InputPipe { source, pending: Vec::new(), writer: Some(writer), reader })
    }

    /// Another handle of the child's end.
    pub(crate) fn for_child(&self) -> io::Result<Stdio> {
        Ok(OwnedFd::from(self.reader.try_clone()?).into())
    }

    fn poll_fd(&self) -> Option<PollFd<'_>> {
        self.writer.as_ref().map(|writer| PollFd::new(writer, PollFlags::OUT))
    }

    /// Writes until the pipe is full, and closes it after the last byte.
    fn write_available(&mut self) -> io::Result<bool> {
        let mut has_moved = false;
        loop {
            let Some(writer) = &self.writer else { return Ok(has_moved) };
            if self.pending.is_empty() {
                self.pending = self.source.next()?;
            }
            if self.pending.is_empty() {
                self.writer = None;
                return Ok(true);
            }
            match rustix::io::write(writer.as_fd(), &self.pending) {
                Ok(written) => {
                    self.pending.drain(..written);
                    has_moved = true;
                }
                Err(Errno::AGAIN) => return Ok(has_moved),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn was_read(&self) -> bool {
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

/// A pipe from a process. Its first bytes are kept and the rest is dropped, so that the process never waits.
pub(crate) struct OutputPipe {
    reader: Option<PipeReader>,
    captured: Vec<u8>,
    limit: usize,
}

impl OutputPipe {
    /// Creates a pipe of which `limit` bytes are kept, and the child's end of it.
    pub(crate) fn new(limit: usize) -> io::Result<(OutputPipe, PipeWriter)> {
        let (reader, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        Ok((OutputPipe { reader: Some(reader), captured: Vec::new(), limit }, writer))
    }

    pub(crate) fn into_captured(self) -> Vec<u8> {
        self.captured
    }

    fn poll_fd(&self) -> Option<PollFd<'_>> {
        self.reader.as_ref().map(|reader| PollFd::new(reader, PollFlags::IN))
    }

    /// Reads what the pipe holds, but no more than that: a background process may write without end.
    fn read_available(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        let mut has_moved = false;
        for _ in 0..16 {
            let Some(reader) = &mut self.reader else { break };
            match reader.read(&mut buffer) {
                // The process has closed it, and may live on.
                Ok(0) => self.reader = None,
                Ok(n) => {
                    let kept = n.min(self.limit - self.captured.len());
                    self.captured.extend_from_slice(&buffer[..kept]);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            }
            has_moved = true;
        }
        Ok(has_moved)
    }
}
