//! Reads tar archives of all kinds: v7, ustar, GNU, pax, with sparse members.
//!
//! The crate `tar` 0.4.46 was examined: it takes a missing end mark for the end, cuts names of pax at a newline, does not
//! expand sparse members of pax, and reads a long name of any length into memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc;

use rustix::fs::FileType;

use super::super::Compression;
use super::super::compression::is_of_system;
use super::super::format::{is_tar_header, tar_number};
use super::super::head::FileReader;
use super::limits::{EXTENDED_HEADER, Limits, NAME};
use super::members::{MemberData, MemberSpool};
use super::pax::{Extensions, SparsePart};
use super::pipeline::{BlockReader, WAITING, send};
use crate::mailbox::fs::holes;
use crate::mailbox::text::{grouped, grouped_plural};
use crate::mailbox::{Error, Result};

const BLOCK: usize = 512;
/// The most parts of a sparse member.
const SPARSE_PARTS: usize = 1 << 20;

/// Reads all members.
pub(super) fn read(
    file: &File,
    compression: Option<Compression>,
    members: &mut MemberSpool<'_>,
    limits: &Limits,
) -> Result<()> {
    let input = CountedReader { reader: FileReader::new(file), limits };
    let Some(compression) = compression else {
        let input = BufReader::with_capacity(1 << 18, input);
        return TarReader { input, at: 0, compression: None, members }.read();
    };
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(WAITING);
        scope.spawn(move || match compression.decoder(input) {
            Ok(decoder) => send(decoder, &sender),
            Err(error) => drop(sender.send(Err(error))),
        });
        TarReader { input: BlockReader::new(receiver), at: 0, compression: Some(compression), members }.read()
    })
}

/// Counts the bytes of the archive.
struct CountedReader<'a> {
    reader: FileReader<'a>,
    limits: &'a Limits,
}

impl Read for CountedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.limits.add_read(read as u64);
        Ok(read)
    }
}

struct TarReader<'a, 'b, R> {
    input: R,
    /// The offset in the archive without its compression.
    at: u64,
    compression: Option<Compression>,
    members: &'a mut MemberSpool<'b>,
}

/// A member by its headers.
struct Header {
    name: Vec<u8>,
    link: Vec<u8>,
    kind: u8,
    /// The size of the data in the archive.
    size: u64,
    mtime: i64,
    /// It has an extended header of pax.
    has_extensions: bool,
    sparse: Option<Sparse>,
}

/// The parts of a sparse member that are in the archive.
struct Sparse {
    parts: Vec<SparsePart>,
    /// The size with the holes.
    size: u64,
}

impl<R: BufRead> TarReader<'_, '_, R> {
    fn read(mut self) -> Result<()> {
        let mut global = Extensions::default();
        while let Some(header) = self.header(&mut global)? {
            self.member(header)?;
        }
        self.trailer()
    }

    /// Reads the headers of the next member; `None` at the end mark.
    fn header(&mut self, global: &mut Extensions) -> Result<Option<Header>> {
        let (mut long_name, mut long_link) = (None, None);
        let mut extensions: Option<Extensions> = None;
        loop {
            let start = self.at;
            let Some(block) = self.block(None)? else {
                let reason = "ends without the end mark of a tar archive, so it may be cut off; get it again, or unpack \
                              it and name the directory";
                return Err(self.damaged(None, reason.into()));
            };
            if block.iter().all(|&b| b == 0) {
                return Ok(None);
            }
            if !is_tar_header(&block) {
                let reason = format!("is damaged: there is no valid header at byte {}", grouped(start));
                return Err(self.damaged(None, reason));
            }
            let size = tar_number(&block[124..136]);
            let size = size.and_then(|size| u64::try_from(size).ok()).ok_or_else(|| {
                self.damaged(None, format!("is damaged: the size at byte {} is not a number", grouped(start)))
            })?;
            match block[156] {
                b'L' => long_name = Some(self.name_data(size)?),
                b'K' => long_link = Some(self.name_data(size)?),
                b'x' | b'X' => extensions.get_or_insert_default().read(&self.extended(size)?),
                b'g' => global.read(&self.extended(size)?),
                kind => {
                    let has_extensions = extensions.is_some();
                    let all = global.with(extensions.unwrap_or_default());
                    let name = all.path.clone().or(long_name).unwrap_or_else(|| short_name(&block));
                    let link = all.link.clone().or(long_link).unwrap_or_else(|| until_nul(&block[157..257]));
                    let mtime = all.mtime.or_else(|| tar_number(&block[136..148])).unwrap_or(0);
                    let size = all.size.unwrap_or(size);
                    let mut header = Header { name, link, kind, size, mtime, has_extensions, sparse: None };
                    header.sparse = self.sparse(&block, &all, &mut header)?;
                    return Ok(Some(header));
                }
            }
        }
    }

    fn member(&mut self, header: Header) -> Result<()> {
        let Header { name, link, mtime, .. } = &header;
        match header.kind {
            b'1' => {
                self.members.add_hard_link(name, link)?;
                // Only pax stores the bytes again; others may give the size all the same.
                if header.has_extensions { self.skip(name, header.size) } else { Ok(()) }
            }
            b'2' => self.members.add_link(name, link, *mtime),
            b'3' => self.members.add_special(name, FileType::CharacterDevice, *mtime),
            b'4' => self.members.add_special(name, FileType::BlockDevice, *mtime),
            b'5' => self.members.add_directory(name, *mtime),
            b'6' => self.members.add_special(name, FileType::Fifo, *mtime),
            // A directory with the list of its names.
            b'D' => {
                self.members.add_directory(name, *mtime)?;
                self.skip(name, header.size)
            }
            // The label of the archive, and lists of access rights.
            b'V' | b'A' | b'N' => self.skip(name, header.size),
            b'M' => {
                let reason = "continues in this archive from another volume; join the volumes with tar -M, and name \
                              the directory";
                Err(self.damaged(Some(name), reason.into()))
            }
            // In the first tar a directory was a file whose name ends in a slash.
            0 if name.ends_with(b"/") => self.members.add_directory(name, *mtime),
            _ => self.file(&header),
        }
    }

    fn file(&mut self, header: &Header) -> Result<()> {
        let name = &header.name;
        let real = header.sparse.as_ref().map_or(header.size, |sparse| sparse.size);
        if real.saturating_sub(header.size) > holes::MAX_HOLES {
            let reason = format!("of its {} more than 1 GiB are holes", grouped_plural(real, "byte"));
            self.members.leave(name, &reason, true);
            return self.skip(name, header.size);
        }
        let Some(mut data) = self.members.begin(name, real, header.mtime)? else {
            return self.skip(name, header.size);
        };
        match &header.sparse {
            None => self.copy(name, header.size, &mut data)?,
            Some(sparse) => self.expand(name, sparse, header.size, &mut data)?,
        }
        self.pad(name, header.size)?;
        self.members.end(data)
    }

    fn expand(&mut self, name: &[u8], sparse: &Sparse, size: u64, data: &mut MemberData) -> Result<()> {
        let (mut at, mut left) = (0, size);
        for part in &sparse.parts {
            let fits = part.start >= at
                && part.length <= left
                && part.start <= sparse.size - part.length.min(sparse.size);
            if !fits {
                return Err(self.damaged(Some(name), "is damaged: its map of holes does not fit".into()));
            }
            self.members.write_zeros(data, part.start - at)?;
            self.copy(name, part.length, data)?;
            (at, left) = (part.start + part.length, left - part.length);
        }
        self.members.write_zeros(data, sparse.size.saturating_sub(at))?;
        self.drop_bytes(Some(name), left)
    }

    /// Returns the parts of a sparse member, whose map is in the header, in an extended header or before the data.
    fn sparse(
        &mut self,
        block: &[u8; BLOCK],
        all: &Extensions,
        header: &mut Header,
    ) -> Result<Option<Sparse>> {
        if header.kind == b'S' {
            return self.gnu_sparse(block, &header.name).map(Some);
        }
        let Some(size) = all.sparse_size else { return Ok(None) };
        let parts = match all.sparse_in_data {
            false => all.sparse.clone(),
            true => {
                let start = self.at;
                let parts = self.sparse_map(header)?;
                header.size = header.size.saturating_sub(self.at - start);
                parts
            }
        };
        Ok(Some(Sparse { parts, size }))
    }

    fn gnu_sparse(&mut self, block: &[u8; BLOCK], name: &[u8]) -> Result<Sparse> {
        const ENTRY: usize = 24;
        let mut parts = Vec::new();
        let mut take = |entries: &[u8]| {
            for entry in entries.chunks_exact(ENTRY).filter(|entry| entry[0] != 0) {
                let number = |field: &[u8]| tar_number(field).and_then(|number| u64::try_from(number).ok());
                let (start, length) = (number(&entry[..12])?, number(&entry[12..])?);
                parts.push(SparsePart { start, length });
            }
            Some(parts.len())
        };
        let mut known = take(&block[386..386 + 4 * ENTRY]);
        let mut is_continued = block[482] != 0;
        while is_continued && known.is_some_and(|known| known <= SPARSE_PARTS) {
            let more = self.block(Some(name))?.unwrap_or([0; BLOCK]);
            known = take(&more[..21 * ENTRY]);
            is_continued = more[504] != 0;
        }
        let size = tar_number(&block[483..495]).and_then(|size| u64::try_from(size).ok());
        match (known, size) {
            (Some(known), Some(size)) if known <= SPARSE_PARTS => Ok(Sparse { parts, size }),
            _ => {
                Err(self.damaged(Some(name), "is damaged: its map of holes is not a list of numbers".into()))
            }
        }
    }

    /// Reads the map before the data of a member: decimal numbers, a line each, up to the end of a block.
    fn sparse_map(&mut self, header: &Header) -> Result<Vec<SparsePart>> {
        let mut numbers = Vec::new();
        let mut line: Vec<u8> = Vec::new();
        let (mut left, mut wanted) = (header.size, 1);
        while numbers.len() < wanted && left >= BLOCK as u64 {
            let block = self.block(Some(&header.name))?.unwrap_or([0; BLOCK]);
            left -= BLOCK as u64;
            for &byte in &block {
                if byte != b'\n' {
                    line.push(byte);
                    continue;
                }
                let number = std::str::from_utf8(&line).ok().and_then(|line| line.parse::<u64>().ok());
                let Some(number) = number else { break };
                line.clear();
                if numbers.is_empty() {
                    wanted = usize::try_from(number).unwrap_or(usize::MAX).min(SPARSE_PARTS) * 2 + 1;
                }
                numbers.push(number);
                if numbers.len() == wanted {
                    break;
                }
            }
        }
        if numbers.len() < wanted || numbers.is_empty() {
            return Err(self.damaged(Some(&header.name), "is damaged: its map of holes is cut off".into()));
        }
        Ok(numbers[1..].chunks_exact(2).map(|pair| SparsePart { start: pair[0], length: pair[1] }).collect())
    }

    /// Reads what follows the end mark. The compression has its checksum there.
    fn trailer(&mut self) -> Result<()> {
        let mut rest = 0;
        loop {
            let bytes = match self.input.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) => return Err(self.unreadable(None, &error)),
            };
            if bytes.is_empty() {
                break;
            }
            if rest > 0 || bytes.iter().any(|&b| b != 0) {
                rest += bytes.len() as u64;
            }
            let length = bytes.len();
            self.members.pass(length as u64)?;
            self.input.consume(length);
        }
        if rest > 0 {
            let reason = format!(
                "{} after the end mark of the archive were not read, maybe a second archive",
                grouped_plural(rest, "byte")
            );
            self.members.leave(b"", &reason, true);
        }
        Ok(())
    }

    /// Reads a block; `None` at the end of the archive.
    fn block(&mut self, member: Option<&[u8]>) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 && member.is_none() => return Ok(None),
                Ok(0) => return Err(self.cut_off(member)),
                Ok(read) => filled += read,
                Err(error) => return Err(self.unreadable(member, &error)),
            }
        }
        self.at += BLOCK as u64;
        Ok(Some(block))
    }

    fn name_data(&mut self, size: u64) -> Result<Vec<u8>> {
        // A longer name is refused when the member is added.
        let kept = self.bytes(size.min(NAME + 2))?;
        self.drop_bytes(None, size - kept.len() as u64)?;
        self.pad(b"", size)?;
        Ok(match size > NAME + 1 {
            true => kept,
            false => until_nul(&kept),
        })
    }

    fn extended(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > EXTENDED_HEADER {
            let reason = format!("has an extended header of {}", grouped_plural(size, "byte"));
            return Err(self.damaged(None, reason));
        }
        let bytes = self.bytes(size)?;
        self.pad(b"", size)?;
        Ok(bytes)
    }

    fn bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.input.by_ref().take(count).read_to_end(&mut bytes);
        read.map_err(|error| self.unreadable(None, &error))?;
        self.at += bytes.len() as u64;
        if bytes.len() as u64 == count { Ok(bytes) } else { Err(self.cut_off(None)) }
    }

    fn copy(&mut self, name: &[u8], count: u64, data: &mut MemberData) -> Result<()> {
        let mut left = count;
        while left > 0 {
            let bytes = match self.input.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) => return Err(self.unreadable(Some(name), &error)),
            };
            let length = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if length == 0 {
                return Err(self.cut_off(Some(name)));
            }
            self.members.write(data, &bytes[..length])?;
            self.input.consume(length);
            self.at += length as u64;
            left -= length as u64;
        }
        Ok(())
    }

    fn skip(&mut self, name: &[u8], size: u64) -> Result<()> {
        self.drop_bytes(Some(name), size)?;
        self.pad(name, size)
    }

    /// Data ends at the end of a block.
    fn pad(&mut self, name: &[u8], size: u64) -> Result<()> {
        self.drop_bytes(Some(name), (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64)
    }

    fn drop_bytes(&mut self, member: Option<&[u8]>, count: u64) -> Result<()> {
        let mut left = count;
        while left > 0 {
            let length = match self.input.fill_buf() {
                Ok(bytes) => bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX)),
                Err(error) => return Err(self.unreadable(member, &error)),
            };
            if length == 0 {
                return Err(self.cut_off(member));
            }
            self.members.pass(length as u64)?;
            self.input.consume(length);
            self.at += length as u64;
            left -= length as u64;
        }
        Ok(())
    }

    fn cut_off(&self, member: Option<&[u8]>) -> Error {
        let what = if member.is_some_and(|name| !name.is_empty()) {
            "the archive is cut off in this member"
        } else {
            "is cut off"
        };
        let reason = format!("{what}, after {}; get it again", grouped_plural(self.at, "byte"));
        self.damaged(member, reason)
    }

    /// Returns the error about the compressed data, or about the disk.
    fn unreadable(&self, member: Option<&[u8]>, error: &io::Error) -> Error {
        let Some(compression) = self.compression.filter(|_| !is_of_system(error)) else {
            return Error::io("read", self.members.archive())(io::Error::new(
                error.kind(),
                error.to_string(),
            ));
        };
        let (name, at) = (compression.name(), grouped_plural(self.at, "byte"));
        let reason = format!(
            "the {name} data of the archive is damaged or cut off, after {at}: {error}; get it again"
        );
        self.damaged(member, reason)
    }

    fn damaged(&self, member: Option<&[u8]>, reason: String) -> Error {
        let path = match member {
            Some(name) if !name.is_empty() => self.members.path(name),
            _ => self.members.archive().to_owned(),
        };
        Error::Archive { path, reason }
    }
}

/// Returns the name in a header. Only ustar and pax divide it into two fields.
fn short_name(block: &[u8; BLOCK]) -> Vec<u8> {
    let name = until_nul(&block[..100]);
    let prefix = until_nul(&block[345..500]);
    match block[257..263] == *b"ustar\0" && !prefix.is_empty() {
        true => [&prefix[..], b"/", &name].concat(),
        false => name,
    }
}

fn until_nul(field: &[u8]) -> Vec<u8> {
    field.split(|&b| b == 0).next().unwrap_or_default().to_vec()
}
