//! The bytes of a message file: the one place where such a file is read.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::buffer::spare_capacity;
use rustix::io::retry_on_intr;

use super::Compression;
use super::format::ForeignFormat;
use super::mapped::{ForwardReader, MappedFile};
use super::spool::RAISE_LIMIT;
use crate::mailbox::fs::{durable, holes};
use crate::mailbox::{Cancel, Error, Result};

/// A larger message is mapped. Reading a small one is faster.
const MAPPED_FROM: u64 = 1 << 18;
/// A message that decompresses to more is written to a file without a name, and mapped.
const DECODED_IN_MEMORY: usize = 4 << 20;

/// How many first bytes of a file [`StoredForm::of`] needs.
pub(crate) const STORED_HEAD: u64 = 16;

/// Where large messages are decompressed.
#[derive(Debug, Clone)]
pub(crate) struct UnpackOptions {
    /// The directory. The files have no name in it.
    pub dir: PathBuf,
    /// The most bytes of one message.
    pub limit: Option<u64>,
    pub cancel: Cancel,
}

/// Set by the command. Without it, large messages are decompressed in memory.
static UNPACK: OnceLock<UnpackOptions> = OnceLock::new();

/// Sets where large messages are decompressed, once for the process: every reader of a Maildir may meet one.
pub(crate) fn unpack_in(options: UnpackOptions) {
    // A command that runs another one has set the same.
    let _ = UNPACK.set(options);
}

/// The form in which a server has stored a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoredForm {
    Plain,
    /// Dovecot's zlib plugin writes it, and scripts that save space. `S=` in the name is the size of the message.
    Compressed(Compression),
    Unreadable(Unreadable),
}

/// The reason that the contents of a message cannot be read, though its file can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Compressed or encrypted in a way that is not read, such as Dovecot's lz4 and mail_crypt.
    Wrapped(ForeignFormat),
    /// It decompresses to what is compressed again.
    CompressedTwice,
    /// Its compressed data is damaged or ends early.
    Damaged(Compression),
    /// It decompresses to more than a gibibyte more than its size.
    TooLarge,
}

impl StoredForm {
    /// Recognizes the form by the first bytes of a file.
    pub(crate) fn of(head: &[u8]) -> StoredForm {
        let wrapped = || ForeignFormat::recognize_wrapping(head).map(Unreadable::Wrapped);
        let compressed = Compression::detect(head).map(StoredForm::Compressed);
        compressed.or_else(|| wrapped().map(StoredForm::Unreadable)).unwrap_or(StoredForm::Plain)
    }
}

/// The path of a message, which only an error needs: to join it takes longer than to close the file.
pub(crate) trait ErrorPath {
    fn error_path(&self) -> PathBuf;
}

impl ErrorPath for Path {
    fn error_path(&self) -> PathBuf {
        self.to_owned()
    }
}

impl ErrorPath for PathBuf {
    fn error_path(&self) -> PathBuf {
        self.clone()
    }
}

/// A message, in memory or mapped. It is loaded again and again, to keep its buffer.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    buffer: Vec<u8>,
    map: Option<MappedFile>,
}

impl Contents {
    /// Loads the first `size` bytes of a file, or all of a shorter one. `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Sparse`], [`Error::Io`].
    pub(crate) fn load(&mut self, file: &File, size: u64, path: &(impl ErrorPath + ?Sized)) -> Result<()> {
        self.buffer.clear();
        self.map = None;
        if size > MAPPED_FROM {
            let path = path.error_path();
            holes::check(file, size, &path)?;
            self.map = MappedFile::map(file, size, &path)?;
            return Ok(());
        }
        let size = size as usize;
        self.buffer.reserve(size);
        // A message does not grow. Stopping at its size saves the read that would find the end.
        while self.buffer.len() < size {
            let read = retry_on_intr(|| rustix::io::read(file, spare_capacity(&mut self.buffer)));
            if read.map_err(|e| Error::io("read", path.error_path())(e.into()))? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Replaces the bytes of the file by the message in it, if a server has compressed it. Unreadable bytes stay.
    ///
    /// # Errors
    /// [`Error::Interrupted`], [`Error::InsufficientSpace`], [`Error::Io`].
    pub(crate) fn decode(&mut self, path: &(impl ErrorPath + ?Sized)) -> Result<Result<(), Unreadable>> {
        self.decode_at_most(self.len() as u64 + holes::MAX_HOLES, path)
    }

    /// Does the same for a message of at most this many bytes.
    pub(crate) fn decode_at_most(
        &mut self,
        most: u64,
        path: &(impl ErrorPath + ?Sized),
    ) -> Result<Result<(), Unreadable>> {
        let compression = match StoredForm::of(self) {
            StoredForm::Plain => return Ok(Ok(())),
            StoredForm::Unreadable(why) => return Ok(Err(why)),
            StoredForm::Compressed(compression) => compression,
        };
        let decoded = decompress(self, compression, most)?;
        self.check_complete(path)?;
        Ok(match decoded {
            Ok(decoded) if StoredForm::of(&decoded) != StoredForm::Plain => Err(Unreadable::CompressedTwice),
            Ok(decoded) => {
                *self = decoded;
                Ok(())
            }
            Err(why) => Err(why),
        })
    }

    /// Fails if a part of the message could not be read, and zeros were read in its place.
    pub(crate) fn check_complete(&self, path: &(impl ErrorPath + ?Sized)) -> Result<()> {
        match &self.map {
            Some(map) if map.has_lost_pages() => {
                let how = "it was cut off while it was read, or the disk is bad".into();
                Err(Error::Changed { path: path.error_path(), how })
            }
            _ => Ok(()),
        }
    }
}

impl Deref for Contents {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or(&self.buffer)
    }
}

/// The bytes of a file, released as they are read.
struct SliceReader<'a> {
    bytes: &'a [u8],
    at: usize,
    reader: ForwardReader<'a>,
}

impl Read for SliceReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.reached(self.at);
        let read = (&self.bytes[self.at..]).read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

fn decompress(bytes: &[u8], compression: Compression, most: u64) -> Result<Result<Contents, Unreadable>> {
    const CHUNK: usize = 1 << 16;
    let input = SliceReader { bytes, at: 0, reader: ForwardReader::new(bytes) };
    let Ok(mut decoder) = compression.decoder(input) else {
        return Ok(Err(Unreadable::Damaged(compression)));
    };
    let mut out = Unpacked::default();
    let mut chunk = vec![0; CHUNK];
    loop {
        match decoder.read(&mut chunk) {
            Ok(0) => return out.into_contents().map(Ok),
            Ok(read) => out.write(&chunk[..read])?,
            Err(_) => return Ok(Err(Unreadable::Damaged(compression))),
        }
        if out.length > most {
            return Ok(Err(Unreadable::TooLarge));
        }
    }
}

/// Decompressed bytes: in memory while they are few, then in a file.
#[derive(Default)]
struct Unpacked {
    length: u64,
    buffer: Vec<u8>,
    file: Option<File>,
}

impl Unpacked {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        self.length += bytes.len() as u64;
        if self.buffer.len() < DECODED_IN_MEMORY {
            return Ok(());
        }
        let options = UNPACK.get();
        options.map_or(Ok(()), |options| options.cancel.check())?;
        if let Some((limit, options)) = options.and_then(|options| Some((options.limit?, options)))
            && self.length > limit
        {
            let path = options.dir.clone();
            let (unit, need, hint) = ("bytes", self.length, RAISE_LIMIT);
            return Err(Error::InsufficientSpace { path, unit, need, free: limit, hint });
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        let dir = UNPACK.get().map_or(Path::new("memory"), |options| &options.dir);
        let failed = || Error::io("write a temporary file there", dir);
        let file = match self.file.take() {
            Some(file) => file,
            None if UNPACK.get().is_some() => durable::anonymous_file(dir)?,
            None => durable::memory_file("message").map_err(failed())?,
        };
        durable::write_all(&file, &self.buffer).map_err(failed())?;
        self.buffer.clear();
        self.file = Some(file);
        Ok(())
    }

    fn into_contents(mut self) -> Result<Contents> {
        if self.file.is_none() {
            return Ok(Contents { buffer: self.buffer, map: None });
        }
        self.flush()?;
        let dir = UNPACK.get().map_or(Path::new("memory"), |options| &options.dir);
        let map = match &self.file {
            Some(file) => MappedFile::map(file, self.length, dir)?,
            None => None,
        };
        Ok(Contents { buffer: Vec::new(), map })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn load(bytes: &[u8]) -> (Contents, Result<(), Unreadable>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let mut contents = Contents::default();
        contents.load(&file, bytes.len() as u64, Path::new("message")).unwrap();
        let decoded = contents.decode(Path::new("message")).unwrap();
        (contents, decoded)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_compressed_message_is_read_whatever_its_size() {
        let message = b"Subject: x\n\nbody\n";
        let large = [&message[..], &vec![b'x'; 3 * DECODED_IN_MEMORY + 1]].concat();
        for whole in [&message[..], &large] {
            for stored in [whole.to_vec(), gzip(whole), zstd::encode_all(whole, 1).unwrap()] {
                let (contents, decoded) = load(&stored);
                assert_eq!(decoded, Ok(()));
                assert!(*contents == *whole, "{}", stored.len());
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_and_its_bytes_stay() {
        let packed = gzip(b"Subject: x\n\nbody\n");
        let wrapped = |stored: &[u8]| Unreadable::Wrapped(ForeignFormat::recognize(stored).unwrap());
        let [lz4, crypt] = [&b"Dovecot-LZ4\r*\x9b\xc5\0\0\0\x10"[..], b"CRYPTED\x03\x07\x02\x01"];
        for (stored, want) in [
            (lz4, wrapped(lz4)),
            (crypt, wrapped(crypt)),
            (&packed[..packed.len() - 9], Unreadable::Damaged(Compression::Gzip)),
            (&gzip(&packed), Unreadable::CompressedTwice),
        ] {
            let (contents, decoded) = load(stored);
            assert_eq!(decoded, Err(want));
            assert_eq!(*contents, *stored);
        }
    }

    #[test]
    fn a_message_that_becomes_too_large_is_not_read() {
        let packed = gzip(&vec![0; 1 << 20]);
        assert!(decompress(&packed, Compression::Gzip, 1 << 20).unwrap().is_ok());
        let refused = decompress(&packed, Compression::Gzip, (1 << 20) - 1).unwrap();
        assert_eq!(refused.err(), Some(Unreadable::TooLarge));
    }
}
