//! Spools: files without a name for bytes that cannot be mapped.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::fd::AsFd;
use std::path::Path;

use super::compression::{COMPRESSED_CHUNK, Compression};
use super::format::{FORMAT_HEAD, ForeignFormat};
use super::input::InterruptibleReader;
use super::mapped::MappedFile;
use crate::mailbox::fs::{Dir, durable};
use crate::mailbox::{Cancel, Error, Result};

/// Large enough for the cost of system calls not to matter.
pub(super) const CHUNK: usize = 1 << 20;

/// The remedy for a spool that a limit of the user ends.
pub(super) const RAISE_LIMIT: &str = "raise --spool-limit";

/// How much of the file system a spool without a limit leaves free.
const RESERVED: u64 = 64 << 20;

/// Where a source is spooled, and how much of it.
#[derive(Clone, Copy)]
pub(crate) struct SpoolOptions<'a> {
    /// The directory. The spool has no name in it.
    pub dir: &'a Path,
    /// The most bytes that the spools of one source take together; by default the free space of the file
    /// system, less 64 MiB.
    pub limit: Option<u64>,
    pub cancel: &'a Cancel,
    /// Called with the number of bytes spooled so far.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

impl SpoolOptions<'_> {
    /// Returns the error about a spool that needs more bytes than it may take.
    pub(super) fn insufficient(&self, need: u64, free: u64) -> Error {
        let hint = match self.limit {
            Some(_) => RAISE_LIMIT,
            None => "free some space there, or name another directory with --spool-dir",
        };
        Error::InsufficientSpace { path: self.dir.to_owned(), unit: "bytes", need, free, hint }
    }
}

/// The error of a reader, carried past the decoder, which may wrap or reword it.
#[derive(Default)]
struct ReadError(RefCell<Option<Error>>);

impl ReadError {
    fn or(&self, other: Error) -> Error {
        self.0.take().unwrap_or(other)
    }
}

/// A reader that keeps its errors apart from those of the decoder.
struct DecoderInput<'a, R> {
    input: InterruptibleReader<'a, R>,
    error: &'a ReadError,
}

impl<R: Read + AsFd> Read for DecoderInput<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer).map_err(|error| {
            *self.error.0.borrow_mut() = Some(error);
            io::Error::other("the input stopped")
        })
    }
}

/// Spools `reader`, and unpacks it if it is compressed. `name` is for messages.
pub(super) fn spool_reader(
    reader: impl Read + AsFd,
    name: &Path,
    spooling: &SpoolOptions<'_>,
) -> Result<(Option<MappedFile>, Option<Compression>)> {
    let error = ReadError::default();
    let input = InterruptibleReader { reader, name, timeout: None, cancel: spooling.cancel };
    let mut input = DecoderInput { input, error: &error };
    let head = first_bytes(&mut input).map_err(|e| error.or(Error::io("read", name)(e)))?;
    let compression = Compression::detect(&head);
    let mut spool = Spool::new(spooling, 0)?;
    let failed = |decoded, source| {
        error.or(match compression {
            Some(format) => {
                Error::Compressed { path: name.to_owned(), format: format.name(), decoded, source }
            }
            None => Error::io("read", name)(source),
        })
    };
    let input = Cursor::new(head).chain(input);
    let mut input: Box<dyn Read> = match compression {
        Some(format) => format.decoder(input).map_err(|e| failed(0, e))?,
        None => Box::new(input),
    };
    let mut buffer = Buffer::new();
    // A short read may give less than it takes to recognize a format.
    let mut checked = false;
    let mut filled = 0;
    loop {
        spooling.cancel.check()?;
        let read = input.read(&mut buffer.bytes()[filled..]);
        let read = read.map_err(|e| failed(spool.written + filled as u64, e))?;
        filled += read;
        if !checked && (filled >= FORMAT_HEAD || read == 0) {
            refuse_foreign(&buffer.bytes()[..filled], compression, name)?;
            checked = true;
        }
        if checked {
            spool.write(&buffer.bytes()[..std::mem::take(&mut filled)])?;
        }
        if read == 0 {
            break;
        }
    }
    drop(input);
    Ok((spool.map()?, compression))
}

/// Refuses an archive and the like before all of it is unpacked.
fn refuse_foreign(head: &[u8], compression: Option<Compression>, name: &Path) -> Result<()> {
    let format = match compression {
        Some(_) => ForeignFormat::recognize_decoded(head),
        None => ForeignFormat::recognize(head),
    };
    format.map_or(Ok(()), |format| Err(format.in_file(name)))
}

/// Reads enough to recognize a format. The buffer is large, see [`Source::from_reader`](super::Source).
fn first_bytes(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = vec![0; COMPRESSED_CHUNK];
    let mut filled = 0;
    while filled < FORMAT_HEAD {
        match input.read(&mut head[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    head.truncate(filled);
    Ok(head)
}

/// A buffer that begins at a page. A large `vec![0; n]` begins 16 bytes after one, where read(2) was measured
/// to be five times slower.
struct Buffer(Vec<u8>, usize);

impl Buffer {
    fn new() -> Buffer {
        let bytes = vec![0; CHUNK + 4096];
        let start = bytes.as_ptr().align_offset(4096).min(4096);
        Buffer(bytes, start)
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.0[self.1..][..CHUNK]
    }
}

/// Returns how many bytes may be spooled. `used` is how much of a given limit another spool has used.
pub(super) fn free_for_spools(spooling: &SpoolOptions<'_>, used: u64) -> Result<u64> {
    Ok(match spooling.limit {
        Some(limit) => limit.saturating_sub(used),
        None => Dir::open(spooling.dir)?.free_space()?.bytes.saturating_sub(RESERVED),
    })
}

/// A file without a name, and how far it may grow.
pub(super) struct Spool<'a> {
    file: File,
    written: u64,
    limit: u64,
    spooling: &'a SpoolOptions<'a>,
}

impl<'a> Spool<'a> {
    /// Creates a spool. `used` is how much of a given limit another spool has used.
    pub(super) fn new(spooling: &'a SpoolOptions<'a>, used: u64) -> Result<Spool<'a>> {
        let limit = free_for_spools(spooling, used)?;
        Ok(Spool { file: durable::anonymous_file(spooling.dir)?, written: 0, limit, spooling })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.spooling.cancel.check()?;
        let (dir, need) = (self.spooling.dir, self.written + bytes.len() as u64);
        if need > self.limit {
            return Err(self.spooling.insufficient(need, self.limit));
        }
        durable::write_all(&self.file, bytes).map_err(Error::io("write a temporary file there", dir))?;
        self.written = need;
        (self.spooling.progress)(need);
        Ok(())
    }

    pub(super) fn map(self) -> Result<Option<MappedFile>> {
        MappedFile::map(&self.file, self.written, self.spooling.dir)
    }
}
