//! A message that is read completely before a mailbox is touched or anything is sent.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{Failure, FailureReason};
use crate::mailbox::fs::durable;
use crate::mailbox::source::input::InterruptibleReader;
use crate::mailbox::{Error, Result};

/// How much of a message is kept in memory. The rest goes to an unnamed file.
const IN_MEMORY: usize = 8 << 20;
/// The size of one read.
const CHUNK: usize = 1 << 18;

/// A complete message, in memory or in an unnamed file.
#[derive(Debug)]
pub(crate) struct SpooledMessage {
    in_memory: Vec<u8>,
    rest: Option<File>,
    length: u64,
    lines: LineCounts,
    spool_dir: PathBuf,
}

/// Properties of a message on which its form on the wire depends.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LineCounts {
    /// Line ends: LF and CRLF.
    pub(crate) lines: u64,
    /// LFs without a CR before them, each of which gets one on the wire.
    pub(crate) bare_lfs: u64,
    pub(crate) last_byte: Option<u8>,
}

impl LineCounts {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for lf in memchr::memchr_iter(b'\n', bytes) {
            let before = if lf == 0 { self.last_byte } else { Some(bytes[lf - 1]) };
            self.lines += 1;
            self.bare_lfs += u64::from(before != Some(b'\r'));
        }
        self.last_byte = bytes.last().copied().or(self.last_byte);
    }
}

/// Collects a message that arrives in pieces of any size.
#[derive(Debug)]
pub(crate) struct MessageSpool {
    message: SpooledMessage,
    max_size: Option<u64>,
}

impl MessageSpool {
    /// `spool_dir` gets what exceeds memory; `max_size` is in bytes.
    pub(crate) fn new(spool_dir: &Path, max_size: Option<u64>) -> MessageSpool {
        let message = SpooledMessage {
            in_memory: Vec::new(),
            rest: None,
            length: 0,
            lines: LineCounts::default(),
            spool_dir: spool_dir.to_owned(),
        };
        MessageSpool { message, max_size }
    }

    /// Appends bytes. Those of a message that is too large are counted and dropped, because the sender expects to send all
    /// of it before it reads the refusal.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let message = &mut self.message;
        message.length += bytes.len() as u64;
        if self.max_size.is_some_and(|max| message.length > max) {
            message.in_memory = Vec::new();
            message.rest = None;
            return Ok(());
        }
        message.lines.push(bytes);
        let (near, far) = bytes.split_at(bytes.len().min(IN_MEMORY - message.in_memory.len()));
        message.in_memory.extend_from_slice(near);
        if !far.is_empty() {
            let failed = Error::io("write a temporary file there", &message.spool_dir);
            if message.rest.is_none() {
                message.rest = Some(durable::anonymous_file(&message.spool_dir)?);
            }
            if let Some(rest) = &message.rest {
                durable::write_all(rest, far).map_err(failed)?;
            }
        }
        Ok(())
    }

    pub(crate) fn is_too_large(&self) -> bool {
        self.max_size.is_some_and(|max| self.message.length > max)
    }

    /// Returns the message.
    ///
    /// # Errors
    /// [`FailureReason::TooLarge`].
    pub(crate) fn finish(self) -> Result<SpooledMessage, Failure> {
        let MessageSpool { message, max_size } = self;
        match max_size {
            Some(max) if message.length > max => Err(Failure::new(
                FailureReason::TooLarge,
                format_args!("the message has {} bytes, {max} are allowed", message.length),
            )),
            _ => Ok(message),
        }
    }
}

impl SpooledMessage {
    /// Reads a message to the end of `input`.
    pub(crate) fn read(
        mut input: InterruptibleReader<'_, impl Read + AsFd>,
        spool_dir: &Path,
        max_size: Option<u64>,
    ) -> Result<SpooledMessage, Failure> {
        let mut spool = MessageSpool::new(spool_dir, max_size);
        let mut buffer = vec![0; CHUNK];
        loop {
            match input.read(&mut buffer)? {
                0 => return spool.finish(),
                n => spool.push(&buffer[..n])?,
            }
        }
    }

    /// Returns the part that is in memory: all, or the first 8 MiB.
    pub(crate) fn in_memory(&self) -> &[u8] {
        &self.in_memory
    }

    /// Returns the size in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Returns how much longer the message is on the wire, where every line ends in CRLF.
    pub(crate) fn bare_newlines(&self) -> u64 {
        self.lines.bare_lfs
    }

    /// Passes all bytes from `offset` on to `process`, in order: those in memory at once, then at most
    /// 256 KiB at a time. An error of `process` ends it.
    pub(crate) fn for_each_chunk(
        &self,
        offset: u64,
        process: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let in_memory =
            usize::try_from(offset).ok().and_then(|offset| self.in_memory.get(offset..)).unwrap_or_default();
        if !in_memory.is_empty() {
            process(in_memory)?;
        }
        let Some(rest) = &self.rest else { return Ok(()) };
        let mut at = offset.saturating_sub(self.in_memory.len() as u64);
        let mut buffer = vec![0; CHUNK];
        loop {
            match rest.read_at(&mut buffer, at) {
                Ok(0) => return Ok(()),
                Ok(n) => {
                    process(&buffer[..n])?;
                    at += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("read a temporary file there", &self.spool_dir)(e)),
            }
        }
    }

    /// Returns a new message: `prefix`, then this one from `offset` on.
    pub(crate) fn with_prefix(&self, prefix: &[u8], offset: u64) -> Result<SpooledMessage, Failure> {
        let mut spool = MessageSpool::new(&self.spool_dir, None);
        spool.push(prefix)?;
        self.for_each_chunk(offset, &mut |bytes| spool.push(bytes))?;
        spool.finish()
    }

    /// Writes `prefix`, then this message from `offset` on, into a new unnamed file, and rewinds it.
    pub(crate) fn to_file(&self, prefix: &[u8], offset: u64) -> Result<File> {
        let failed = || Error::io("write a temporary file there", &self.spool_dir);
        let mut file = match durable::anonymous_file(&self.spool_dir) {
            // The process may have become another user since the message arrived, and only root may write there.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
                durable::memory_file("message").map_err(failed())?
            }
            other => other?,
        };
        durable::write_all(&file, prefix).map_err(failed())?;
        self.for_each_chunk(offset, &mut |bytes| durable::write_all(&file, bytes).map_err(failed()))?;
        file.rewind().map_err(failed())?;
        Ok(file)
    }
}
