//! Reads zip archives by their central directory.
//!
//! The crate `zip` 9.8 was examined: of several members with one name it keeps one, and it reads members that overlap.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc;

use super::super::Compression;
use super::super::compression::is_of_system;
use super::super::head::FileReader;
use super::limits::Limits;
use super::members::MemberSpool;
use super::pipeline::{BlockReader, WAITING, send};
use super::zip_entry::{ENTRY, Entry, Kind, field, long_field};
use crate::mailbox::text::grouped;
use crate::mailbox::{Error, Result};

/// The record at the end, without its comment.
const END: usize = 22;
/// The longest comment.
const COMMENT: u64 = u16::MAX as u64;
/// A smaller member is decompressed before another thread would have begun.
const PIPELINED_FROM: u64 = 1 << 20;
/// The longest target of a symbolic link.
const LINK: u64 = 4096;

/// Reads all members.
pub(super) fn read(file: &File, size: u64, members: &mut MemberSpool<'_>, limits: &Limits) -> Result<()> {
    let archive = members.archive().to_owned();
    let damaged = |reason: String| Error::Archive { path: archive.clone(), reason };
    let failed = Error::io("read", &archive);
    let directory = match Directory::find(file, size) {
        Ok(Some(directory)) => directory,
        Ok(None) => {
            let reason = "has no central directory at its end: it is cut off, or a part of a divided archive; get it again";
            return Err(damaged(reason.into()));
        }
        Err(error) => return Err(failed(error)),
    };
    let mut entries = match directory.entries(file, limits) {
        Ok(entries) => entries?,
        Err(error) => return Err(failed(error)),
    };
    if entries.len() as u64 != directory.count {
        let (listed, found) = (grouped(directory.count), grouped(entries.len() as u64));
        return Err(damaged(format!("is damaged: its central directory has {found} of {listed} members")));
    }
    entries.sort_by_key(|entry| entry.start);
    let mut reader = ZipReader { file, directory, members, limits, end: 0 };
    entries.iter().try_for_each(|entry| reader.member(entry))
}

/// The central directory.
struct Directory {
    /// The number of members that it lists.
    count: u64,
    /// The offset in the file.
    start: u64,
    size: u64,
    /// Bytes before the archive, such as a program that unpacks it.
    before: u64,
}

impl Directory {
    /// Finds the directory; `None` for a file without a valid one.
    fn find(file: &File, size: u64) -> io::Result<Option<Directory>> {
        let length = size.min(COMMENT + END as u64);
        let mut tail = vec![0; length as usize];
        file.read_exact_at(&mut tail, size - length)?;
        let is_end = |&at: &usize| {
            let comment = field(&tail[at..], 20, 2);
            tail[at..].starts_with(b"PK\x05\x06") && at + END + comment as usize <= tail.len()
        };
        let Some(at) = (0..=tail.len().saturating_sub(END)).rev().filter(|_| tail.len() >= END).find(is_end)
        else {
            return Ok(None);
        };
        let record = &tail[at..];
        let end = size - length + at as u64;
        let is_divided =
            field(record, 4, 2) != field(record, 6, 2) || field(record, 8, 2) != field(record, 10, 2);
        let (mut count, mut length, mut start) =
            (field(record, 10, 2), field(record, 12, 4), field(record, 16, 4));
        let mut end = end;
        if let Some(large) = large_end(file, end)? {
            let record = &large.1;
            (count, length, start) = (long_field(record, 32), long_field(record, 40), long_field(record, 48));
            end = large.0;
        } else if is_divided {
            return Ok(None);
        }
        let before = end.checked_sub(length).and_then(|begin| begin.checked_sub(start));
        Ok(before.map(|before| Directory { count, start: start + before, size: length, before }))
    }

    /// Reads the members. The outer error is of the file.
    fn entries(&self, file: &File, limits: &Limits) -> io::Result<Result<Vec<Entry>>> {
        let mut input = BufReader::with_capacity(1 << 18, FileReader::from(file, self.start).take(self.size));
        let mut entries = Vec::new();
        let mut record = [0; ENTRY];
        while is_filled(&mut input, &mut record)? && record.starts_with(b"PK\x01\x02") {
            let mut names = vec![0; Entry::names_length(&record)];
            if !is_filled(&mut input, &mut names)? {
                break;
            }
            entries.push(Entry::parse(&record, &names));
            if let Err(error) = limits.check_members(entries.len()) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(entries))
    }
}

/// Returns the record for large archives before the one at the end, and its offset.
fn large_end(file: &File, end: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    const LOCATOR: u64 = 20;
    const RECORD: u64 = 56;
    let Some(at) = end.checked_sub(LOCATOR) else { return Ok(None) };
    let mut locator = [0; LOCATOR as usize];
    file.read_exact_at(&mut locator, at)?;
    if !locator.starts_with(b"PK\x06\x07") {
        return Ok(None);
    }
    // Usually the locator follows the record at once. If there are bytes before the archive, its offset is too low.
    for begin in [Some(long_field(&locator, 8)), at.checked_sub(RECORD)].into_iter().flatten() {
        let mut record = vec![0; RECORD as usize];
        let is_inside = begin.checked_add(RECORD).is_some_and(|end| end <= at);
        if is_inside {
            file.read_exact_at(&mut record, begin)?;
        }
        if is_inside && record.starts_with(b"PK\x06\x06") {
            return Ok(Some((begin, record)));
        }
    }
    Ok(None)
}

/// Fills a buffer, unless the input ends before.
fn is_filled(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

struct ZipReader<'a, 'b> {
    file: &'a File,
    directory: Directory,
    members: &'a mut MemberSpool<'b>,
    limits: &'a Limits,
    /// The end of the last member.
    end: u64,
}

/// The reason that a member is not read.
enum Failure {
    /// It is damaged, and others may not be.
    Damaged(String),
    /// Nothing more is read.
    Fatal(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Fatal(error)
    }
}

impl ZipReader<'_, '_> {
    fn member(&mut self, entry: &Entry) -> Result<()> {
        let start = self.data_start(entry)?;
        if let Some(reason) = entry.refusal() {
            self.members.leave(&entry.name, &reason, true);
            return Ok(());
        }
        match entry.kind {
            Kind::Directory => self.members.add_directory(&entry.name, entry.mtime),
            Kind::Special(kind) => self.members.add_special(&entry.name, kind, entry.mtime),
            Kind::Link => self.link(entry, start),
            Kind::File => self.file(entry, start),
        }
    }

    /// Returns the offset of the data of a member. Its own header may have other names than the directory.
    fn data_start(&mut self, entry: &Entry) -> Result<u64> {
        const HEADER: usize = 30;
        let damaged = |reason: &str| {
            Err(Error::Archive { path: self.members.path(&entry.name), reason: reason.to_owned() })
        };
        let at = entry.start.checked_add(self.directory.before);
        let Some(at) = at.filter(|&at| at < self.directory.start) else {
            return damaged("its offset is outside of the archive; get the archive again");
        };
        let mut header = [0; HEADER];
        let read = is_filled(&mut FileReader::from(self.file, at), &mut header);
        if !read.map_err(Error::io("read", self.members.archive()))? || !header.starts_with(b"PK\x03\x04") {
            return damaged(
                "is not where the central directory has it: the archive is damaged; get it again",
            );
        }
        let start = at + HEADER as u64 + field(&header, 26, 2) + field(&header, 28, 2);
        let end = start.checked_add(entry.packed);
        match end.filter(|&end| at >= self.end && end <= self.directory.start) {
            Some(end) => {
                self.end = end;
                Ok(start)
            }
            None => damaged("overlaps another member, as in archives built to fill a disk"),
        }
    }

    fn link(&mut self, entry: &Entry, start: u64) -> Result<()> {
        if entry.size > LINK {
            self.members.leave(&entry.name, "a symbolic link whose target is too long", false);
            return Ok(());
        }
        let mut target = Vec::new();
        let read = self.with_data(entry, start, &mut |_, bytes| {
            target.extend_from_slice(bytes);
            Ok(())
        });
        match read {
            Ok(()) => self.members.add_link(&entry.name, &target, entry.mtime),
            Err(Failure::Damaged(reason)) => {
                self.members.leave(&entry.name, &reason, false);
                Ok(())
            }
            Err(Failure::Fatal(error)) => Err(error),
        }
    }

    fn file(&mut self, entry: &Entry, start: u64) -> Result<()> {
        let Some(mut data) = self.members.begin(&entry.name, entry.size, entry.mtime)? else { return Ok(()) };
        match self.with_data(entry, start, &mut |members, bytes| members.write(&mut data, bytes)) {
            Ok(()) => self.members.end(data),
            Err(Failure::Damaged(reason)) => {
                self.members.discard(&data);
                self.members.leave(&entry.name, &reason, true);
                Ok(())
            }
            Err(Failure::Fatal(error)) => Err(error),
        }
    }

    /// Passes the data of a member to `take`, and checks its size and checksum.
    fn with_data(&mut self, entry: &Entry, start: u64, take: Take<'_>) -> Result<(), Failure> {
        self.limits.add_read(entry.packed);
        let packed = FileReader::from(self.file, start).take(entry.packed);
        let Some(decoder) = decoder(entry.method, packed) else {
            let reason = format!("it is compressed by method {}, which is not read", entry.method);
            return Err(Failure::Damaged(reason));
        };
        if entry.size < PIPELINED_FROM {
            let decoder = decoder.map_err(|error| read_failure(error, self.members.archive()))?;
            return self.check(entry, BufReader::new(decoder), take);
        }
        drop(decoder);
        let (file, method, packed) = (self.file, entry.method, entry.packed);
        std::thread::scope(|scope| {
            let (sender, receiver) = mpsc::sync_channel(WAITING);
            scope.spawn(move || match self::decoder(method, FileReader::from(file, start).take(packed)) {
                Some(Ok(decoder)) => send(decoder, &sender),
                Some(Err(error)) => drop(sender.send(Err(error))),
                None => {}
            });
            self.check(entry, BlockReader::new(receiver), take)
        })
    }

    fn check(&mut self, entry: &Entry, mut input: impl BufRead, take: Take<'_>) -> Result<(), Failure> {
        let archive = self.members.archive();
        let mut checksum = flate2::Crc::new();
        let mut size = 0;
        loop {
            let bytes = input.fill_buf().map_err(|error| read_failure(error, archive))?;
            if bytes.is_empty() {
                break;
            }
            size += bytes.len() as u64;
            if size > entry.size {
                return Err(Failure::Damaged(format!(
                    "it unpacks to more than the {} bytes that the archive gives",
                    grouped(entry.size)
                )));
            }
            checksum.update(bytes);
            take(self.members, bytes)?;
            let length = bytes.len();
            input.consume(length);
        }
        if size != entry.size {
            let (is, should) = (grouped(size), grouped(entry.size));
            return Err(Failure::Damaged(format!(
                "its data is damaged: it has {is} bytes and should have {should}"
            )));
        }
        if checksum.sum() != entry.checksum {
            let reason = "its data is damaged: its checksum (CRC-32) is not that of the archive";
            return Err(Failure::Damaged(reason.to_owned()));
        }
        Ok(())
    }
}

/// Takes bytes of a member.
type Take<'a> = &'a mut dyn FnMut(&mut MemberSpool<'_>, &[u8]) -> Result<()>;

/// Returns the reason that reading the data of a member failed.
fn read_failure(error: io::Error, archive: &Path) -> Failure {
    match is_of_system(&error) {
        true => Failure::Fatal(Error::io("read", archive)(error)),
        false => Failure::Damaged(format!("its compressed data is damaged: {error}")),
    }
}

/// Returns the decoder of a method; `None` for one that is not read.
fn decoder<'a>(method: u16, packed: impl Read + 'a) -> Option<io::Result<Box<dyn Read + 'a>>> {
    let compression = match method {
        0 => return Some(Ok(Box::new(packed))),
        8 => {
            let input = BufReader::with_capacity(1 << 17, packed);
            return Some(Ok(Box::new(flate2::bufread::DeflateDecoder::new(input))));
        }
        12 => Compression::Bzip2,
        93 => Compression::Zstd,
        95 => Compression::Xz,
        _ => return None,
    };
    Some(compression.decoder(packed))
}
