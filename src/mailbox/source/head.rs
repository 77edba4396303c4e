//! The first bytes of a file, which show what it is.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::Compression;
use super::compression::is_of_system;

/// The first bytes of a file without its compression.
#[derive(Debug)]
pub(crate) struct Head {
    pub bytes: Vec<u8>,
    /// They are all that is in the file.
    pub is_whole: bool,
    pub compression: Option<Compression>,
}

impl Head {
    /// Reads and decodes up to `most` bytes. The outer error is of the file, the inner one of the decoder.
    pub(crate) fn read(file: &File, most: usize) -> io::Result<Result<Head, io::Error>> {
        let bytes = read(file, most)?;
        let Some(compression) = Compression::detect(&bytes) else {
            let is_whole = bytes.len() < most;
            return Ok(Ok(Head { bytes, is_whole, compression: None }));
        };
        let decoded = compression.decoder(FileReader::new(file)).and_then(|decoder| {
            let mut bytes = Vec::new();
            decoder.take(most as u64).read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        let head = |bytes: Vec<u8>| {
            let is_whole = bytes.len() < most;
            Head { bytes, is_whole, compression: Some(compression) }
        };
        match decoded {
            Err(error) if is_of_system(&error) => Err(error),
            decoded => Ok(decoded.map(head)),
        }
    }
}

/// Reads up to `most` bytes from the start of a file. Its position stays.
pub(crate) fn read(file: &File, most: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(most);
    FileReader::new(file).take(most as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Reads a file without moving its position, which descriptors of the same open file share.
pub(super) struct FileReader<'a> {
    file: &'a File,
    at: u64,
}

impl<'a> FileReader<'a> {
    pub(super) fn new(file: &'a File) -> FileReader<'a> {
        FileReader::from(file, 0)
    }

    /// Begins at an offset.
    pub(super) fn from(file: &'a File, at: u64) -> FileReader<'a> {
        FileReader { file, at }
    }
}

impl Read for FileReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
