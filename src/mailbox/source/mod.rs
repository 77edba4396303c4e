//! The bytes of a source, read-only and mapped, however they lie there.
//!
//! A plain file is mapped as it is. What cannot be mapped (standard input, compressed data) is
//! spooled into a file without a name first; so is the translation of a file whose lines end in CR.
//! All offsets of the program are offsets into [`Source::raw`].

pub mod input;
pub mod mapped;

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::{Errno, retry_on_intr};

use crate::mailbox::context::Cancel;
use crate::mailbox::context::LockOptions;
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::Finding;
use crate::mailbox::fs::durable;
use crate::mailbox::fs::durable::{Dir, FileId};
use crate::mailbox::fs::lock;
use crate::mailbox::fs::lock::MailboxLock;
use crate::mailbox::source::input::InterruptibleReader;
use crate::mailbox::source::mapped::MappedFile;
use crate::mailbox::text::shell_quote;

/// One read, one write: large enough for system calls not to count.
const CHUNK: usize = 1 << 20;
/// What decoders read at a time.
const COMPRESSED_CHUNK: usize = 1 << 17;
/// How much is looked at, and may be resident, between two hand-backs of pages.
const WINDOW: usize = 4 << 20;
/// A spool leaves this much of its file system to others, unless a limit is given.
const LEFT_FREE: u64 = 64 << 20;
/// The longest magic number.
const MAGIC: usize = 10;
/// What decoding xz may take, in KiB: `xz -9` needs 65 MiB, and a header can ask for 4 GiB.
const XZ_MEMORY: u32 = 1 << 20;

/// How a source is compressed; known by its content, never by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames.
    Zstd,
    /// bzip2, any number of streams.
    Bzip2,
    /// xz, any number of streams.
    Xz,
}

/// Where and how far a source may be spooled.
#[derive(Clone, Copy)]
pub struct SpoolOptions<'a> {
    /// Where: the spool has no name there.
    pub dir: &'a Path,
    /// Bytes that the spools of one source may take together; `None`: what the file system has
    /// free, less 64 MiB.
    pub limit: Option<u64>,
    /// Set when the user wants us to stop.
    pub cancel: &'a Cancel,
    /// Told how many bytes have been spooled so far.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

/// A mailbox file, or what came from standard input.
///
/// The mapping shows the file as it is *now*. Others may write to it in spite of the locks, so what
/// was read counts only after [`check_unchanged`](Source::check_unchanged). If somebody truncates it
/// the next access beyond its end is a SIGBUS, upon which the binary puts zeros there.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    raw: Option<MappedFile>,
    translated: Option<MappedFile>,
    compression: Option<Compression>,
    findings: Vec<Finding>,
    origin: Option<Origin>,
}

/// The file behind a source; standard input has none. It stays open, as its locks live by it.
#[derive(Debug)]
struct Origin {
    /// None once the locks were given back, see [`Source::open_live`].
    guard: Option<MailboxLock>,
    file: File,
    first: Stamp,
    /// Of the bytes of a live source as they were before anybody else looked at them.
    before: Option<blake3::Hash>,
}

impl Compression {
    /// The name, as in messages and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Bzip2 => "bzip2",
            Compression::Xz => "xz",
        }
    }

    /// Knows the compression by the first bytes. bzip2's own magic, `BZh9`, could begin a line of
    /// text; the number of the first block after it (pi, or the square root of pi at an empty file's
    /// end) could not.
    pub fn detect(head: &[u8]) -> Option<Compression> {
        match head {
            [0x1f, 0x8b, 8, ..] => Some(Compression::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Compression::Zstd),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => {
                Some(Compression::Bzip2)
            }
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Compression::Xz),
            _ => None,
        }
    }

    fn decoder<'a>(self, input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        let input = BufReader::with_capacity(COMPRESSED_CHUNK, input);
        Ok(match self {
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
            Compression::Zstd => Box::new(zstd::Decoder::with_buffer(input)?),
            Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
            Compression::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(input, true, XZ_MEMORY)),
        })
    }
}

impl Source {
    /// Opens, locks and maps a regular file, and unpacks it if it is compressed.
    ///
    /// # Errors
    /// [`Error::NotAMailbox`] for what is no regular file, [`Error::Compressed`], [`Error::NoRoom`],
    /// [`Error::Locked`], [`Error::Interrupted`], [`Error::Io`].
    pub fn open(path: &Path, lock: &LockOptions, spooling: &SpoolOptions<'_>) -> Result<Source> {
        Source::open_held(path, lock, spooling, false)
    }

    /// The same for a mailbox that is in use: the locks are given back as soon as its size is known, so that
    /// no message in it is half appended, and others go on appending. What they append is not seen, and
    /// [`check_unchanged`](Source::check_unchanged) asks no more than that the bytes up to that size are the
    /// same; they are hashed for that, here and there. A compressed file stays locked: it does not grow.
    pub fn open_live(path: &Path, lock: &LockOptions, spooling: &SpoolOptions<'_>) -> Result<Source> {
        Source::open_held(path, lock, spooling, true)
    }

    fn open_held(path: &Path, lock: &LockOptions, spooling: &SpoolOptions<'_>, live: bool) -> Result<Source> {
        let (mut origin, findings) = Origin::open(path, lock, spooling.cancel)?;
        let compression = Compression::detect(&origin.head(path)?);
        let raw = match compression {
            None => MappedFile::map(&origin.file, origin.first.size, path)?,
            Some(format) => {
                let halt = Halt::default();
                let input = Halting::new(&origin.file, path, spooling, &halt);
                spool(input, Some(format), path, spooling, &halt)?
            }
        };
        if live && compression.is_none() {
            origin.guard = None;
            origin.before = Some(hash(raw.as_ref(), || spooling.check_interrupted())?);
        }
        Source { path: path.to_owned(), raw, translated: None, compression, findings, origin: Some(origin) }
            .translate(spooling)
    }

    /// Spools what `input` has, and unpacks it if it is compressed. `name` is for messages.
    ///
    /// An interruption is noticed even while nothing comes in, for which the descriptor is polled:
    /// `input` must not hold bytes back in a buffer that reads of 128 KiB do not bypass.
    pub fn from_reader(
        name: &Path,
        input: &mut (impl Read + AsFd),
        spooling: &SpoolOptions<'_>,
    ) -> Result<Source> {
        let halt = Halt::default();
        let mut input = Halting::new(input, name, spooling, &halt);
        let head = first_bytes(&mut input).map_err(|e| halt.or(Error::io("read", name)(e)))?;
        let compression = Compression::detect(&head);
        let raw = spool(Cursor::new(head).chain(input), compression, name, spooling, &halt)?;
        let (path, findings) = (name.to_owned(), Vec::new());
        Source { path, raw, translated: None, compression, findings, origin: None }.translate(spooling)
    }

    /// The path it was opened by, or the name it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The uncompressed bytes as they are.
    pub fn raw(&self) -> &[u8] {
        self.raw.as_deref().unwrap_or_default()
    }

    /// The same with LF for line ends, at the same offsets: [`raw`](Source::raw) itself, but for a
    /// file whose lines end in CR alone, where each CR is an LF.
    pub fn text(&self) -> &[u8] {
        self.translated.as_deref().unwrap_or_else(|| self.raw())
    }

    /// Whether there are CRs and not one LF.
    pub fn is_cr_only(&self) -> bool {
        self.translated.is_some()
    }

    /// How the source was compressed, if it was.
    pub fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// The modification time of the file in seconds since 1970; standard input has none.
    pub fn mtime(&self) -> Option<i64> {
        self.origin.as_ref().map(|origin| origin.first.mtime.0)
    }

    /// Takes what was noticed in opening it: locks that could not be had.
    pub fn take_findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.findings)
    }

    /// Says that these bytes are not needed soon: their pages no longer count as ours. They can be
    /// read as before, at the price of a page fault.
    pub fn release(&self, range: Range<usize>) {
        for map in [&self.raw, &self.translated].into_iter().flatten() {
            map.release(range.clone());
        }
    }

    /// Whether the file still is what it was when it was opened (and locked): same size, same
    /// modification time, and the path still leads to it. One that was opened live may have grown.
    ///
    /// Not seen: a change of the same size within one tick of the file system's clock (a few
    /// milliseconds) of the opening.
    ///
    /// # Errors
    /// [`Error::Changed`], which says how; [`Error::Io`] where some of it could not be read.
    pub fn check_unchanged(&self) -> Result<()> {
        if let Some(how) = self.difference()? {
            return Err(Error::Changed { path: self.path.clone(), how });
        }
        // It looks as it did, and all the same some of it could not be read: a bad disk.
        if [&self.raw, &self.translated].into_iter().flatten().any(MappedFile::has_lost_pages) {
            let error = io::Error::from_raw_os_error(libc::EIO);
            return Err(Error::io("read all of", &self.path)(error));
        }
        Ok(())
    }

    /// How many bytes were appended to a source that was opened live; 0 for any other.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn grown_by(&self) -> Result<u64> {
        match &self.origin {
            Some(origin) if origin.before.is_some() => {
                Ok(origin.now(&self.path)?.size.saturating_sub(origin.first.size))
            }
            _ => Ok(0),
        }
    }

    /// BLAKE3 of all bytes of a live source as they were when it was opened.
    pub fn initial_hash(&self) -> Option<blake3::Hash> {
        self.origin.as_ref()?.before
    }

    fn difference(&self) -> Result<Option<String>> {
        let Some(origin) = &self.origin else { return Ok(None) };
        let now = origin.now(&self.path)?;
        match (origin.first.difference(&now), origin.before) {
            (None, _) => {}
            (Some(_), Some(before)) if now.size >= origin.first.size => {
                if hash(self.raw.as_ref(), || Ok(()))? != before {
                    return Ok(Some("what was read of it is not what it says now".to_owned()));
                }
            }
            (Some(how), _) => return Ok(Some(how)),
        }
        origin.is_replaced(&self.path)
    }

    /// Makes the translated copy if there is an LF nowhere and a CR somewhere.
    fn translate(mut self, spooling: &SpoolOptions<'_>) -> Result<Source> {
        if self.has_only_cr(spooling)? {
            self.translated = self.spool_translated(spooling)?;
        }
        Ok(self)
    }

    /// Stops at the first LF, so it costs nothing but for files that have none.
    fn has_only_cr(&self, spooling: &SpoolOptions<'_>) -> Result<bool> {
        let mut has_cr = false;
        for range in windows(self.raw().len()) {
            spooling.check_interrupted()?;
            let window = &self.raw()[range.clone()];
            if memchr::memchr(b'\n', window).is_some() {
                return Ok(false);
            }
            has_cr = has_cr || memchr::memchr(b'\r', window).is_some();
            self.release(range);
        }
        Ok(has_cr)
    }

    fn spool_translated(&self, spooling: &SpoolOptions<'_>) -> Result<Option<MappedFile>> {
        // Unless the source is a file of its own it has used up some of the limit.
        let is_file = self.origin.is_some() && self.compression.is_none();
        let mut spool = Spool::new(spooling, if is_file { 0 } else { self.raw().len() as u64 })?;
        for range in windows(self.raw().len()) {
            let lines: Vec<u8> =
                self.raw()[range.clone()].iter().map(|&b| if b == b'\r' { b'\n' } else { b }).collect();
            spool.write(&lines)?;
            self.release(range);
        }
        spool.map()
    }
}

impl Origin {
    fn open(path: &Path, lock: &LockOptions, cancel: &Cancel) -> Result<(Origin, Vec<Finding>)> {
        let failed = |e: Errno| Error::io("open", path)(e.into());
        // Before it is opened: opening a device may do things (rewind a tape), a socket cannot be
        // opened. After it as well: it may have been exchanged meanwhile.
        refuse_irregular(path, &rustix::fs::stat(path).map_err(failed)?)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd =
            retry_on_intr(|| rustix::fs::open(path, flags, rustix::fs::Mode::empty())).map_err(failed)?;
        let file = File::from(fd);
        refuse_irregular(path, &rustix::fs::fstat(&file).map_err(failed)?)?;
        let (guard, findings) = lock::acquire(path, &file, lock::Mode::Read, lock, cancel)?;
        // Only now: it may have grown while we waited for the lock.
        let first = Stamp::of(&rustix::fs::fstat(&file).map_err(failed)?);
        Ok((Origin { guard: Some(guard), file, first, before: None }, findings))
    }

    fn head(&self, path: &Path) -> Result<Vec<u8>> {
        use std::os::unix::fs::FileExt;
        let mut head = [0; MAGIC];
        let mut filled = 0;
        while filled < MAGIC {
            match self.file.read_at(&mut head[filled..], filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("read", path)(e)),
            }
        }
        Ok(head[..filled].to_vec())
    }

    fn now(&self, path: &Path) -> Result<Stamp> {
        let failed = |e: Errno| Error::io("look up", path)(e.into());
        Ok(Stamp::of(&rustix::fs::fstat(&self.file).map_err(failed)?))
    }

    fn is_replaced(&self, path: &Path) -> Result<Option<String>> {
        let failed = |e: Errno| Error::io("look up", path)(e.into());
        match rustix::fs::stat(path) {
            Ok(stat) if FileId::of(&stat) == self.first.identity => Ok(None),
            Ok(_) => Ok(Some("another file was put in its place".to_owned())),
            Err(Errno::NOENT) => Ok(Some("it was removed or renamed".to_owned())),
            Err(e) => Err(failed(e)),
        }
    }
}

/// What a file looked like at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    identity: FileId,
    size: u64,
    /// Seconds and nanoseconds.
    mtime: (i64, u64),
}

impl Stamp {
    #[allow(clippy::unnecessary_cast)] // the types differ between architectures
    fn of(stat: &Stat) -> Stamp {
        Stamp {
            identity: FileId::of(stat),
            size: stat.st_size as u64,
            mtime: (stat.st_mtime as i64, stat.st_mtime_nsec as u64),
        }
    }

    fn difference(&self, now: &Stamp) -> Option<String> {
        let (was, is) = (self.size, now.size);
        if is != was {
            let verb = if is > was { "grew" } else { "shrank" };
            Some(format!("it {verb} from {was} to {is} bytes"))
        } else if now.mtime != self.mtime {
            Some(format!("it was written to, though its size is still {is} bytes"))
        } else {
            None
        }
    }
}

fn refuse_irregular(path: &Path, stat: &Stat) -> Result<()> {
    let piped = || format!("read it from standard input: name it - and add < {}", shell_quote(path));
    let (what, mend) = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => ("directory", "name a file in it".to_owned()),
        FileType::Fifo => ("FIFO", piped()),
        FileType::CharacterDevice => ("character device", piped()),
        FileType::BlockDevice => ("block device", piped()),
        FileType::Socket => ("socket", "name a file".to_owned()),
        _ => ("thing of an unknown kind", "name a file".to_owned()),
    };
    Err(Error::NotAMailbox { path: path.to_owned(), reason: format!("it is a {what}"), hint: Some(mend) })
}

/// BLAKE3 of what is mapped; pages are handed back.
fn hash(map: Option<&MappedFile>, go_on: impl Fn() -> Result<()>) -> Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    if let Some(map) = map {
        for window in windows(map.len()) {
            go_on()?;
            hasher.update_rayon(&map[window.clone()]);
            map.release(window);
        }
    }
    Ok(hasher.finalize())
}

fn windows(size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..size).step_by(WINDOW).map(move |start| start..size.min(start + WINDOW))
}

impl SpoolOptions<'_> {
    fn check_interrupted(&self) -> Result<()> {
        if self.cancel.is_requested() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// Why the input stopped, told past the decoder, which may wrap or reword what the reader said.
#[derive(Default)]
struct Halt(RefCell<Option<Error>>);

impl Halt {
    fn or(&self, other: Error) -> Error {
        self.0.take().unwrap_or(other)
    }
}

/// A reader that keeps its own errors apart from the decoder's.
struct Halting<'a, R> {
    input: InterruptibleReader<'a, R>,
    halt: &'a Halt,
}

impl<'a, R: Read + AsFd> Halting<'a, R> {
    fn new(reader: R, name: &'a Path, spooling: &SpoolOptions<'a>, halt: &'a Halt) -> Halting<'a, R> {
        Halting { input: InterruptibleReader { reader, name, timeout: None, cancel: spooling.cancel }, halt }
    }
}

impl<R: Read + AsFd> Read for Halting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer).map_err(|error| {
            *self.halt.0.borrow_mut() = Some(error);
            io::Error::other("the input stopped")
        })
    }
}

/// Enough to know a compression by, read with a large buffer (see [`Source::from_reader`]).
fn first_bytes(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = vec![0; COMPRESSED_CHUNK];
    let mut filled = 0;
    while filled < MAGIC {
        match input.read(&mut head[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    head.truncate(filled);
    Ok(head)
}

/// Copies the input, decoded, into a file without a name, and maps that.
fn spool(
    input: impl Read,
    compression: Option<Compression>,
    name: &Path,
    spooling: &SpoolOptions<'_>,
    halt: &Halt,
) -> Result<Option<MappedFile>> {
    let mut spool = Spool::new(spooling, 0)?;
    let failed = |decoded, source| {
        halt.or(match compression {
            Some(format) => {
                Error::Compressed { path: name.to_owned(), format: format.name(), decoded, source }
            }
            None => Error::io("read", name)(source),
        })
    };
    let mut input: Box<dyn Read> = match compression {
        Some(format) => format.decoder(input).map_err(|e| failed(0, e))?,
        None => Box::new(input),
    };
    let mut buffer = Buffer::new();
    loop {
        spooling.check_interrupted()?;
        match input.read(buffer.bytes()).map_err(|e| failed(spool.written, e))? {
            0 => break,
            n => spool.write(&buffer.bytes()[..n])?,
        }
    }
    drop(input);
    spool.map()
}

/// A buffer that begins at a page. A large `vec![0; n]` begins 16 bytes past one, where read(2) was
/// measured to be five times slower.
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

/// A growing file without a name, and how far it may grow.
struct Spool<'a> {
    file: File,
    written: u64,
    limit: u64,
    spooling: &'a SpoolOptions<'a>,
}

impl<'a> Spool<'a> {
    /// `used`: bytes that another spool has taken off a given limit.
    fn new(spooling: &'a SpoolOptions<'a>, used: u64) -> Result<Spool<'a>> {
        let limit = match spooling.limit {
            Some(limit) => limit.saturating_sub(used),
            None => Dir::open(spooling.dir)?.free_space()?.bytes.saturating_sub(LEFT_FREE),
        };
        Ok(Spool { file: durable::anonymous_file(spooling.dir)?, written: 0, limit, spooling })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.spooling.check_interrupted()?;
        let (dir, need) = (self.spooling.dir, self.written + bytes.len() as u64);
        if need > self.limit {
            return Err(Error::InsufficientSpace {
                path: dir.to_owned(),
                unit: "bytes",
                need,
                free: self.limit,
            });
        }
        durable::write_all(&self.file, bytes).map_err(Error::io("write a temporary file in", dir))?;
        self.written = need;
        (self.spooling.progress)(need);
        Ok(())
    }

    fn map(self) -> Result<Option<MappedFile>> {
        MappedFile::map(&self.file, self.written, self.spooling.dir)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::sync::atomic::AtomicU64;
    use std::time::Duration;

    use crate::mailbox::context::LockMethod;
    use crate::mailbox::finding::Code;
    use crate::mailbox::source::*;

    const MAIL: &[u8] = b"From a@b Thu Jan  1 00:00:01 2004\nSubject: x\n\nbody\n";

    fn spooling(dir: &Path) -> SpoolOptions<'_> {
        SpoolOptions { dir, limit: None, cancel: Cancel::never(), progress: &|_| () }
    }

    fn no_lock() -> LockOptions {
        LockOptions { methods: vec![], timeout: Duration::ZERO, pid: 1, host: "here".into() }
    }

    fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("inbox");
        fs::write(&path, content).unwrap();
        (temp, path)
    }

    fn open(path: &Path) -> Result<Source> {
        Source::open(path, &no_lock(), &spooling(path.parent().unwrap()))
    }

    fn compress(format: Compression, data: &[u8]) -> Vec<u8> {
        match format {
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
                // As the zstd program does; the library's frames have none unless asked.
                encoder.include_checksum(true).unwrap();
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Xz => {
                let options = lzma_rust2::XzOptions::with_preset(1);
                let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    const FORMATS: [Compression; 4] =
        [Compression::Gzip, Compression::Zstd, Compression::Bzip2, Compression::Xz];

    /// Several chunks of mail that do not compress to nothing.
    fn much_mail() -> Vec<u8> {
        let mut mail = Vec::new();
        for n in 0..60_000u32 {
            mail.extend_from_slice(MAIL);
            mail.extend_from_slice(n.wrapping_mul(2_654_435_761).to_string().as_bytes());
            mail.push(b'\n');
        }
        mail
    }

    #[test]
    fn a_plain_file_is_mapped_as_it_is() {
        let (_temp, path) = file(MAIL);
        let mut source = open(&path).unwrap();
        assert_eq!(source.raw(), MAIL);
        assert_eq!(source.text().as_ptr(), source.raw().as_ptr());
        assert_eq!((source.compression(), source.is_cr_only()), (None, false));
        assert!(source.mtime().unwrap() > 1_000_000_000);
        assert_eq!(source.take_findings(), []);
        assert_eq!(source.path(), path);
        source.release(0..usize::MAX);
        source.release(10..20);
        assert_eq!(source.raw(), MAIL);
        source.check_unchanged().unwrap();
    }

    #[test]
    fn an_empty_file_is_an_empty_mailbox() {
        let (_temp, path) = file(b"");
        let source = open(&path).unwrap();
        assert!(source.raw().is_empty() && source.text().is_empty() && !source.is_cr_only());
        source.release(0..1);
        source.check_unchanged().unwrap();
    }

    #[test]
    fn compressed_files_are_unpacked_all_members_of_them() {
        let mail = much_mail();
        let (one, two) = mail.split_at(1_500_000);
        for format in FORMATS {
            let packed = [compress(format, one), compress(format, two)].concat();
            let (_temp, path) = file(&packed);
            let source = open(&path).unwrap();
            assert!(source.raw() == mail, "{format:?}");
            assert_eq!(source.compression(), Some(format));
            source.check_unchanged().unwrap();
            let (_temp, path) = file(&compress(format, b""));
            assert_eq!(open(&path).unwrap().raw(), b"", "{format:?}");
        }
    }

    #[test]
    fn what_is_packed_twice_is_unpacked_once() {
        let inner = compress(Compression::Gzip, MAIL);
        let (_temp, path) = file(&compress(Compression::Xz, &inner));
        assert_eq!(open(&path).unwrap().raw(), inner);
    }

    #[test]
    fn damaged_data_is_an_error_and_names_the_format() {
        let mail = much_mail();
        for format in FORMATS {
            let packed = compress(format, &mail);
            let mut flipped = packed.clone();
            flipped[packed.len() / 2] ^= 0x55;
            let trailing = [&packed[..], b"From here on it is no longer packed"].concat();
            for damaged in [&packed[..packed.len() / 2], &packed[..packed.len() - 1], &flipped, &trailing] {
                let (_temp, path) = file(damaged);
                match open(&path) {
                    Err(Error::Compressed { format: name, .. }) => assert_eq!(name, format.name()),
                    other => panic!("{format:?}, {} of {}: {other:?}", damaged.len(), packed.len()),
                }
            }
        }
    }

    #[test]
    fn text_that_begins_like_a_magic_number_is_text() {
        let (_temp, path) = file(b"BZh9 is how bzip2 begins\n");
        assert_eq!(open(&path).unwrap().compression(), None);
    }

    #[test]
    fn a_spool_keeps_to_its_limit() {
        let mail = much_mail();
        let (temp, path) = file(&compress(Compression::Gzip, &mail));
        let small = SpoolOptions { limit: Some(2_000_000), ..spooling(temp.path()) };
        match Source::open(&path, &no_lock(), &small) {
            Err(Error::InsufficientSpace { path, need, free: 2_000_000, .. }) => {
                assert!(need > 2_000_000 && need < 2_000_000 + 2 * CHUNK as u64);
                assert_eq!(path, temp.path());
            }
            other => panic!("{other:?}"),
        }
        let spooled = AtomicU64::new(0);
        let progress = |bytes| spooled.store(bytes, std::sync::atomic::Ordering::Relaxed);
        let enough = SpoolOptions { limit: Some(mail.len() as u64), progress: &progress, ..small };
        Source::open(&path, &no_lock(), &enough).unwrap();
        assert_eq!(spooled.into_inner(), mail.len() as u64);
        // The translation of what was spooled counts too.
        let packed = compress(Compression::Gzip, b"From a\r\r");
        let (temp, path) = file(&packed);
        for (limit, fits) in [(15, false), (16, true)] {
            let tight = SpoolOptions { limit: Some(limit), ..spooling(temp.path()) };
            assert_eq!(Source::open(&path, &no_lock(), &tight).is_ok(), fits);
        }
    }

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let temp = tempfile::tempdir().unwrap();
        let fifo = temp.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        let socket = temp.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, what) in [
            (&*fifo, "FIFO"),
            (temp.path(), "directory"),
            (&*socket, "socket"),
            (Path::new("/dev/zero"), "character device"),
        ] {
            let error = Source::open(path, &no_lock(), &spooling(temp.path())).unwrap_err();
            assert!(matches!(error, Error::NotAMailbox { .. }));
            assert!(error.to_string().ends_with(&format!("it is a {what}")), "{error}");
            assert!(error.hint().is_some());
        }
        let absent = open(&temp.path().join("absent")).unwrap_err();
        assert!(matches!(absent, Error::Io { action: "open", .. }), "{absent}");
    }

    #[test]
    fn cr_only_lines_become_lf_in_the_text_and_stay_in_the_raw() {
        // More than a window, so that there is more than one.
        let raw: Vec<u8> = MAIL.iter().map(|&b| if b == b'\n' { b'\r' } else { b }).collect();
        let raw = raw.repeat(WINDOW / MAIL.len() + 10);
        let (_temp, path) = file(&raw);
        let source = open(&path).unwrap();
        assert!(source.is_cr_only());
        assert!(source.raw() == raw);
        assert!(source.text() == MAIL.repeat(WINDOW / MAIL.len() + 10));
        source.release(0..raw.len());
        assert!(source.text() == MAIL.repeat(WINDOW / MAIL.len() + 10));
    }

    #[test]
    fn one_lf_makes_it_a_file_of_lf_lines() {
        for content in [&b"a\rb\rc\n"[..], b"a\r\nb\r\n", b"no line end at all"] {
            let (_temp, path) = file(content);
            let source = open(&path).unwrap();
            assert!(!source.is_cr_only());
            assert_eq!(source.text(), content);
        }
    }

    #[test]
    fn every_change_of_the_file_is_noticed() {
        fn how(change: impl FnOnce(&Path), content: &[u8]) -> String {
            let (_temp, path) = file(content);
            let source = open(&path).unwrap();
            change(&path);
            match source.check_unchanged() {
                Err(Error::Changed { how, .. }) => how,
                other => panic!("{other:?}"),
            }
        }
        let grow = |path: &Path| File::options().append(true).open(path).unwrap().write_all(b"x").unwrap();
        let cut = |path: &Path| File::options().write(true).open(path).unwrap().set_len(1).unwrap();
        let touch = |path: &Path| {
            durable::set_mtime(File::options().write(true).open(path).unwrap(), 1).unwrap();
        };
        let replace = |path: &Path| {
            fs::copy(path, path.with_extension("new")).unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        };
        let size = MAIL.len();
        assert_eq!(how(grow, MAIL), format!("it grew from {size} to {} bytes", size + 1));
        assert_eq!(how(cut, MAIL), format!("it shrank from {size} to 1 bytes"));
        assert!(how(touch, MAIL).starts_with("it was written to"));
        assert_eq!(how(replace, MAIL), "another file was put in its place");
        assert_eq!(how(|path| fs::remove_file(path).unwrap(), MAIL), "it was removed or renamed");
        assert!(how(grow, &compress(Compression::Zstd, MAIL)).starts_with("it grew"));
    }

    #[test]
    fn a_live_source_may_grow_and_nothing_else() {
        use std::os::unix::fs::FileExt;
        let live = |change: &dyn Fn(&Path)| {
            let (temp, path) = file(MAIL);
            let lock = LockOptions { methods: vec![LockMethod::Dotlock, LockMethod::Fcntl], ..no_lock() };
            let source = Source::open_live(&path, &lock, &spooling(temp.path())).unwrap();
            assert!(!temp.path().join("inbox.lock").exists(), "the lock is given back");
            change(&path);
            (source.check_unchanged().map_err(|e| e.to_string()), source.grown_by(), source.raw().len())
        };
        let append =
            |path: &Path| File::options().append(true).open(path).unwrap().write_all(b"xyz").unwrap();
        let write_at =
            |path: &Path, at| File::options().write(true).open(path).unwrap().write_all_at(b"!", at).unwrap();
        let (done, grown, seen) = live(&|path| (0..2).for_each(|_| append(path)));
        assert_eq!((done, grown.unwrap(), seen), (Ok(()), 6, MAIL.len()));
        let (done, grown, _) = live(&|path| durable::set_mtime(File::open(path).unwrap(), 1).unwrap());
        assert_eq!((done, grown.unwrap()), (Ok(()), 0));
        let rewrite = |path: &Path| {
            append(path);
            write_at(path, MAIL.len() as u64 - 1);
        };
        let replace = |path: &Path| {
            fs::copy(path, path.with_extension("new")).unwrap();
            append(&path.with_extension("new"));
            fs::rename(path.with_extension("new"), path).unwrap();
        };
        let cut = |path: &Path| File::options().write(true).open(path).unwrap().set_len(1).unwrap();
        let refused = |change: &dyn Fn(&Path), how: &str| {
            let error = live(change).0.unwrap_err();
            assert!(error.contains(how), "{error}, not {how}");
        };
        refused(&rewrite, "what was read of it is not what it says now");
        refused(&|path| write_at(path, 0), "what was read of it is not what it says now");
        refused(&replace, "another file was put in its place");
        refused(&|path| fs::remove_file(path).unwrap(), "it was removed or renamed");
        refused(&cut, "it shrank from");
    }

    #[test]
    fn the_locks_are_held_as_long_as_the_source() {
        let (temp, path) = file(MAIL);
        let lock = LockOptions { methods: vec![LockMethod::Dotlock, LockMethod::Fcntl], ..no_lock() };
        let source = Source::open(&path, &lock, &spooling(temp.path())).unwrap();
        assert!(temp.path().join("inbox.lock").exists());
        let again = Source::open(&path, &lock, &spooling(temp.path()));
        assert!(matches!(again, Err(Error::Locked { .. })));
        source.check_unchanged().unwrap();
        drop(source);
        assert!(!temp.path().join("inbox.lock").exists());
        let unlockable = temp.path().join("n".repeat(255));
        fs::write(&unlockable, MAIL).unwrap();
        let mut source = Source::open(&unlockable, &lock, &spooling(temp.path())).unwrap();
        assert_eq!(source.take_findings()[0].code, Code::LockUnwritable);
        assert_eq!(source.take_findings(), []);
    }

    #[test]
    fn standard_input_is_spooled_packed_or_not_and_in_any_portions() {
        let temp = tempfile::tempdir().unwrap();
        for (content, compression) in [
            (MAIL.to_vec(), None),
            (compress(Compression::Zstd, MAIL), Some(Compression::Zstd)),
            (compress(Compression::Bzip2, MAIL), Some(Compression::Bzip2)),
        ] {
            let (mut reader, mut writer) = io::pipe().unwrap();
            let writing = std::thread::spawn(move || {
                for portion in content.chunks(3) {
                    writer.write_all(portion).unwrap();
                    std::thread::sleep(Duration::from_micros(100));
                }
            });
            let source = Source::from_reader(Path::new("-"), &mut reader, &spooling(temp.path())).unwrap();
            writing.join().unwrap();
            assert_eq!((source.raw(), source.compression()), (MAIL, compression));
            assert_eq!(source.mtime(), None);
            source.check_unchanged().unwrap();
        }
        let mut redirected = File::open("/dev/null").unwrap();
        let source = Source::from_reader(Path::new("-"), &mut redirected, &spooling(temp.path())).unwrap();
        assert_eq!(source.raw(), b"");
    }

    #[test]
    fn an_interruption_is_noticed_while_nothing_comes_in() {
        let temp = tempfile::tempdir().unwrap();
        for sent in [&b""[..], MAIL, &compress(Compression::Gzip, MAIL)[..12]] {
            let (mut reader, mut writer) = io::pipe().unwrap();
            writer.write_all(sent).unwrap();
            let cancel = Cancel::pending();
            let spooling = SpoolOptions { cancel: &cancel, ..spooling(temp.path()) };
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(50));
                    cancel.request();
                });
                let result = Source::from_reader(Path::new("-"), &mut reader, &spooling);
                assert!(matches!(result, Err(Error::Interrupted)));
            });
        }
    }
}
