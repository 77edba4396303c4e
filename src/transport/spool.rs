//! A message on its way: read once, before anything of a mailbox is touched or anything is sent.
//!
//! What all know who have it in hand, those who take it in and those who hand it on: the message itself,
//! [`envelope`] the addresses it goes by, [`failure`] why it did not get there.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::mailbox::error::{Error, Result};
use crate::mailbox::fs::durable;
use crate::mailbox::message::header;
use crate::mailbox::source::input::InterruptibleReader;
use crate::transport::failure::{Failure, Reason};

/// How much of a message is held in memory; what is longer goes into a file without a name.
const IN_MEMORY: usize = 8 << 20;
/// One read, one write.
const CHUNK: usize = 1 << 18;

/// A message as it came in.
#[derive(Debug)]
pub struct Letter {
    head: Vec<u8>,
    rest: Option<File>,
    length: u64,
    bare_newlines: u64,
    last: Option<u8>,
    spool_dir: PathBuf,
}

/// A message that is coming in, in pieces of any size.
#[derive(Debug)]
pub struct Arriving {
    letter: Letter,
    max_size: Option<u64>,
}

impl Arriving {
    /// `spool_dir` is for what is longer than memory should hold, `max_size` in bytes.
    pub fn new(spool_dir: &Path, max_size: Option<u64>) -> Arriving {
        let spool_dir = spool_dir.to_owned();
        let letter =
            Letter { head: Vec::new(), rest: None, length: 0, bare_newlines: 0, last: None, spool_dir };
        Arriving { letter, max_size }
    }

    /// Takes the next bytes. Of a message that is too large they are counted and dropped: whoever sends it
    /// shall hear why it is refused, and not find that nobody listens.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let letter = &mut self.letter;
        letter.length += bytes.len() as u64;
        if self.max_size.is_some_and(|max| letter.length > max) {
            letter.head = Vec::new();
            letter.rest = None;
            return Ok(());
        }
        letter.count_lines(bytes);
        let (near, far) = bytes.split_at(bytes.len().min(IN_MEMORY - letter.head.len()));
        letter.head.extend_from_slice(near);
        if !far.is_empty() {
            let failed = Error::io("write a temporary file in", &letter.spool_dir);
            if letter.rest.is_none() {
                letter.rest = Some(durable::anonymous_file(&letter.spool_dir)?);
            }
            if let Some(rest) = &letter.rest {
                durable::write_all(rest, far).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// All of it has come.
    ///
    /// # Errors
    /// [`Reason::TooLarge`].
    pub fn finish(self) -> Result<Letter, Failure> {
        let Arriving { letter, max_size } = self;
        match max_size {
            Some(max) if letter.length > max => Err(Failure::new(
                Reason::TooLarge,
                format_args!("the message has {} bytes, {max} are allowed", letter.length),
            )),
            _ => Ok(letter),
        }
    }
}

impl Letter {
    /// Reads a message to the end of `input`.
    pub fn read(
        mut input: InterruptibleReader<'_, impl Read + AsFd>,
        spool_dir: &Path,
        max_size: Option<u64>,
    ) -> Result<Letter, Failure> {
        let mut arriving = Arriving::new(spool_dir, max_size);
        let mut buffer = vec![0; CHUNK];
        loop {
            match input.read(&mut buffer)? {
                0 => return arriving.finish(),
                n => arriving.push(&buffer[..n])?,
            }
        }
    }

    fn count_lines(&mut self, bytes: &[u8]) {
        for lf in memchr::memchr_iter(b'\n', bytes) {
            let before = if lf == 0 { self.last } else { Some(bytes[lf - 1]) };
            self.bare_newlines += u64::from(before != Some(b'\r'));
        }
        self.last = bytes.last().copied().or(self.last);
    }

    /// Its first bytes: all, or as many as are held in memory (8 MiB).
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Its header, up to the empty line. Of one that does not end within [`Letter::head`], that much.
    pub fn header(&self) -> &[u8] {
        header::split(&self.head).header
    }

    /// How many bytes it has.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How many of its line ends are an LF without a CR before it: what it would grow by on the wire.
    pub fn bare_newlines(&self) -> u64 {
        self.bare_newlines
    }

    /// Its last byte.
    pub fn last(&self) -> Option<u8> {
        self.last
    }

    /// All its bytes from offset `from` on, in order, in chunks of at most 256 KiB beyond the head. An
    /// error of `chunk` ends it.
    pub fn each_chunk(&self, from: u64, chunk: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let head = usize::try_from(from).ok().and_then(|from| self.head.get(from..)).unwrap_or_default();
        if !head.is_empty() {
            chunk(head)?;
        }
        let Some(rest) = &self.rest else { return Ok(()) };
        let mut at = from.saturating_sub(self.head.len() as u64);
        let mut buffer = vec![0; CHUNK];
        loop {
            match rest.read_at(&mut buffer, at) {
                Ok(0) => return Ok(()),
                Ok(n) => {
                    chunk(&buffer[..n])?;
                    at += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("read a temporary file in", &self.spool_dir)(e)),
            }
        }
    }

    /// A letter of its own: `top`, then this one from offset `from` on.
    pub fn with_top(&self, top: &[u8], from: u64) -> Result<Letter, Failure> {
        let mut arriving = Arriving::new(&self.spool_dir, None);
        arriving.push(top)?;
        self.each_chunk(from, &mut |bytes| arriving.push(bytes))?;
        arriving.finish()
    }

    /// A new file without a name, standing at its beginning: `top`, then the message from offset `from` on.
    pub fn file(&self, top: &[u8], from: u64) -> Result<File> {
        let failed = || Error::io("write a temporary file in", &self.spool_dir);
        let mut file = match durable::anonymous_file(&self.spool_dir) {
            // We may have become a user since the letter came, and the directory be root's only.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
                durable::memory_file("message").map_err(failed())?
            }
            other => other?,
        };
        durable::write_all(&file, top).map_err(failed())?;
        self.each_chunk(from, &mut |bytes| durable::write_all(&file, bytes).map_err(failed()))?;
        file.rewind().map_err(failed())?;
        Ok(file)
    }
}
