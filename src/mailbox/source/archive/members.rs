//! The members of an archive as they are read: in one file that they share, or, for large ones, in files of their own.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::super::Compression;
use super::super::format::{FORMAT_HEAD, ForeignFormat};
use super::super::spool::{SpoolOptions, free_for_spools};
use super::limits::{self, Limits};
use crate::mailbox::fs::archived::{MemberFiles, MemberTable, Node, Place, Stored};
use crate::mailbox::fs::{durable, files};
use crate::mailbox::text::escape;
use crate::mailbox::{Error, Result, member_path};

/// A member of this size has a file of its own, which is mapped when it is read.
const OWN_FROM: u64 = 1 << 20;
/// The most files of their own: each takes a descriptor.
const MAX_OWN: usize = 256;
/// The shared file is written this much at a time.
const BUFFER: usize = 1 << 20;
/// How much is kept of a large member that is no mailbox: enough to recognize that again.
const FOREIGN_KEPT: u64 = 64 << 10;
/// A block of zeros of this size becomes a hole.
const HOLE: usize = 4 << 10;
const ZEROS: [u8; HOLE] = [0; HOLE];
/// The remedy for a member that cannot be read.
const UNPACK: &str = "unpack it, and name the file as a source";

/// A member that was not read, or not under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnreadMember {
    pub path: PathBuf,
    /// A phrase.
    pub reason: String,
    pub may_be_mail: bool,
    /// The remedy.
    pub hint: Option<String>,
}

/// The members that were read so far.
pub(super) struct MemberSpool<'a> {
    archive: &'a Path,
    /// The roots of archives whose members are not read again.
    earlier: &'a [PathBuf],
    spooling: &'a SpoolOptions<'a>,
    limits: &'a Limits,
    table: MemberTable,
    shared: File,
    /// Bytes that are not yet in the shared file.
    buffer: Vec<u8>,
    /// The length of the shared file without the buffer.
    flushed: u64,
    own: Vec<File>,
    /// Bytes on the disk.
    written: u64,
    limit: u64,
    unread: Vec<UnreadMember>,
    repeated: Vec<PathBuf>,
}

/// A member while it is read.
pub(super) struct MemberData {
    names: Vec<OsString>,
    mtime: i64,
    place: Place,
    /// The length so far.
    size: u64,
    kept: u64,
    /// The first bytes, until they show what it is.
    head: Vec<u8>,
    /// The most bytes to keep.
    keep: u64,
}

/// The result of [`MemberSpool::finish`]: the members, their bytes, those that were not read and those that repeat.
pub(super) type Finished = (MemberTable, MemberFiles, Vec<UnreadMember>, Vec<PathBuf>);

impl<'a> MemberSpool<'a> {
    pub(super) fn new(
        archive: &'a Path,
        earlier: &'a [PathBuf],
        spooling: &'a SpoolOptions<'a>,
        limits: &'a Limits,
    ) -> Result<MemberSpool<'a>> {
        Ok(MemberSpool {
            archive,
            earlier,
            spooling,
            limits,
            table: MemberTable::new(),
            shared: durable::anonymous_file(spooling.dir)?,
            buffer: Vec::with_capacity(BUFFER),
            flushed: 0,
            own: Vec::new(),
            written: 0,
            limit: free_for_spools(spooling, 0)?,
            unread: Vec::new(),
            repeated: Vec::new(),
        })
    }

    pub(super) fn archive(&self) -> &'a Path {
        self.archive
    }

    /// Returns the path of a member for messages.
    pub(super) fn path(&self, name: &[u8]) -> PathBuf {
        let mut path = member_path::root_of(self.archive);
        path.extend(without_special_names(name));
        path
    }

    /// Adds a directory.
    pub(super) fn add_directory(&mut self, name: &[u8], mtime: i64) -> Result<()> {
        self.add(name, Node::Directory(Default::default()), mtime)
    }

    /// Adds a symbolic link.
    pub(super) fn add_link(&mut self, name: &[u8], target: &[u8], mtime: i64) -> Result<()> {
        if target.contains(&0) {
            self.leave(name, "a symbolic link to an impossible name", false);
            return Ok(());
        }
        self.add(name, Node::Link(OsStr::from_bytes(target).into()), mtime)
    }

    /// Adds a FIFO or a device.
    pub(super) fn add_special(&mut self, name: &[u8], kind: FileType, mtime: i64) -> Result<()> {
        self.add(name, Node::Special(kind), mtime)
    }

    /// Adds another name of a member. Without one of that name it is reported.
    pub(super) fn add_hard_link(&mut self, name: &[u8], target: &[u8]) -> Result<()> {
        let Some(names) = self.names(name) else { return Ok(()) };
        let found = names_of(target).ok().and_then(|target| self.table.find(&target));
        match found.filter(|&node| self.table.stored(node).is_some()) {
            Some(node) => {
                self.table.link(&names, node);
                self.limits.check_members(self.table.len())
            }
            None => {
                let reason = format!("a hard link to {}, which is not in the archive", escape(target));
                self.leave(name, &reason, true);
                Ok(())
            }
        }
    }

    /// Reports a member that is not read.
    pub(super) fn leave(&mut self, name: &[u8], reason: &str, may_be_mail: bool) {
        let path = self.path(name);
        let hint = may_be_mail.then(|| UNPACK.to_owned());
        self.unread.push(UnreadMember { path, reason: reason.to_owned(), may_be_mail, hint });
    }

    /// Begins a file of this size. `None` for one that is reported instead.
    pub(super) fn begin(&mut self, name: &[u8], size: u64, mtime: i64) -> Result<Option<MemberData>> {
        let Some(names) = self.names(name) else { return Ok(None) };
        let is_own = size >= OWN_FROM && self.own.len() < MAX_OWN;
        let place = match is_own {
            true => {
                self.own.push(durable::anonymous_file(self.spooling.dir)?);
                Place::Own(self.own.len() - 1)
            }
            false => Place::Shared(self.flushed + self.buffer.len() as u64),
        };
        // A Maildir keeps any file.
        let is_message = names.iter().rev().nth(1).is_some_and(|dir| dir == "cur" || dir == "new");
        let head = Vec::new();
        let keep = if is_own && !is_message { 0 } else { u64::MAX };
        Ok(Some(MemberData { names, mtime, place, size: 0, kept: 0, head, keep }))
    }

    /// Counts bytes of a member that is not kept.
    pub(super) fn pass(&self, bytes: u64) -> Result<()> {
        self.spooling.cancel.check()?;
        self.limits.add_unpacked(bytes)
    }

    /// Adds bytes to a file.
    pub(super) fn write(&mut self, data: &mut MemberData, bytes: &[u8]) -> Result<()> {
        self.spooling.cancel.check()?;
        self.limits.add_unpacked(bytes.len() as u64)?;
        if data.keep == 0 {
            data.head.extend_from_slice(bytes);
            if data.head.len() < FORMAT_HEAD {
                return Ok(());
            }
            self.decide(data)?;
            return Ok(());
        }
        self.keep(data, bytes)
    }

    /// Decides by the first bytes how much of a large member is kept, and keeps these.
    fn decide(&mut self, data: &mut MemberData) -> Result<()> {
        let head = std::mem::take(&mut data.head);
        let is_foreign = Compression::detect(&head).is_none() && ForeignFormat::recognize(&head).is_some();
        data.keep = if is_foreign { FOREIGN_KEPT } else { u64::MAX };
        self.keep(data, &head)
    }

    fn keep(&mut self, data: &mut MemberData, bytes: &[u8]) -> Result<()> {
        let at = data.size;
        data.size += bytes.len() as u64;
        let kept =
            &bytes[..bytes.len().min(usize::try_from(data.keep.saturating_sub(at)).unwrap_or(usize::MAX))];
        data.kept = (data.kept + kept.len() as u64).max(data.kept);
        match data.place {
            Place::Shared(_) => {
                self.count(kept.len())?;
                self.buffer.extend_from_slice(kept);
                if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
            }
            Place::Own(number) => {
                let mut at = at;
                for block in kept.chunks(HOLE) {
                    if !is_hole(block) {
                        self.count(block.len())?;
                    }
                    at += block.len() as u64;
                }
                self.write_blocks(number, kept, at - kept.len() as u64)
            }
        }
    }

    /// Writes bytes at an offset, except for blocks of zeros.
    fn write_blocks(&self, number: usize, bytes: &[u8], at: u64) -> Result<()> {
        let (file, mut start) = (&self.own[number], 0);
        let write = |range: std::ops::Range<usize>| {
            durable::write_all_at(file, &bytes[range.clone()], at + range.start as u64)
                .map_err(Error::io("write a temporary file there", self.spooling.dir))
        };
        for (n, block) in bytes.chunks(HOLE).enumerate() {
            if is_hole(block) {
                write(start..n * HOLE)?;
                start = (n + 1) * HOLE;
            }
        }
        if start < bytes.len() { write(start..bytes.len()) } else { Ok(()) }
    }

    /// Adds zeros to a file: a hole of a sparse member.
    pub(super) fn write_zeros(&mut self, data: &mut MemberData, mut count: u64) -> Result<()> {
        if let Place::Own(_) = data.place {
            if data.keep == 0 {
                // A hole among the first bytes: it is no format that is passed over.
                data.keep = u64::MAX;
                let head = std::mem::take(&mut data.head);
                self.keep(data, &head)?;
            }
            data.size += count;
            data.kept = data.kept.max(data.size.min(data.keep));
            return Ok(());
        }
        while count > 0 {
            let part = count.min(HOLE as u64);
            self.write(data, &ZEROS[..part as usize])?;
            count -= part;
        }
        Ok(())
    }

    /// Ends a file, and gives it its name.
    pub(super) fn end(&mut self, mut data: MemberData) -> Result<()> {
        if data.keep == 0 {
            self.decide(&mut data)?;
        }
        if let Place::Own(number) = data.place {
            // Its last block may be a hole.
            durable::truncate(&self.own[number], data.kept)
                .map_err(Error::io("write a temporary file there", self.spooling.dir))?;
        }
        let MemberData { names, mtime, place, size, kept, .. } = data;
        let stored = Stored { place, kept, size };
        if self.is_repeated(&names, &stored)? {
            let mut path = member_path::root_of(self.archive);
            path.extend(&names);
            self.repeated.push(path);
            self.forget(place);
            return Ok(());
        }
        if let Some(second) = self.table.add(&names, Node::File(stored), mtime) {
            self.report_replaced(&names, &second);
        }
        self.limits.check_members(self.table.len())
    }

    /// Takes back what was written of a member that turned out to be damaged.
    pub(super) fn discard(&mut self, data: &MemberData) {
        self.forget(data.place);
    }

    fn forget(&mut self, place: Place) {
        match place {
            Place::Shared(start) if start >= self.flushed => {
                self.buffer.truncate((start - self.flushed) as usize)
            }
            Place::Shared(_) => {}
            Place::Own(number) if number + 1 == self.own.len() => drop(self.own.pop()),
            Place::Own(_) => {}
        }
    }

    /// Reports whether a member of the same name with the same bytes was read before.
    fn is_repeated(&mut self, names: &[OsString], stored: &Stored) -> Result<bool> {
        Ok(self.is_twice(names, stored)? || self.is_in_earlier(names, stored)?)
    }

    fn is_in_earlier(&mut self, names: &[OsString], stored: &Stored) -> Result<bool> {
        for root in self.earlier {
            let path = root.join(names.iter().collect::<PathBuf>());
            if !files::is_file(&path) || files::size(&path) != stored.size {
                continue;
            }
            self.flush()?;
            let other = files::open(&path).map_err(Error::io("read", &path))?;
            let is_same = self.is_equal(stored, &|bytes, at| other.read_exact_at(bytes, at))?;
            if is_same {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_twice(&mut self, names: &[OsString], stored: &Stored) -> Result<bool> {
        let before = self.table.find(names).and_then(|node| self.table.stored(node));
        let Some(before) = before.filter(|before| (before.size, before.kept) == (stored.size, stored.kept))
        else {
            return Ok(false);
        };
        self.flush()?;
        self.is_equal(stored, &|bytes, at| self.read_at(&before, at, bytes))
    }

    /// Compares what was kept of a member.
    fn is_equal(&self, stored: &Stored, read: ReadAt<'_>) -> Result<bool> {
        const CHUNK: u64 = 1 << 16;
        let (mut one, mut other) = (vec![0; CHUNK as usize], vec![0; CHUNK as usize]);
        let mut at = 0;
        while at < stored.kept {
            let length = (stored.kept - at).min(CHUNK) as usize;
            let failed = Error::io("read a temporary file there", self.spooling.dir);
            let done = read(&mut one[..length], at);
            done.and_then(|()| self.read_at(stored, at, &mut other[..length])).map_err(failed)?;
            if one[..length] != other[..length] {
                return Ok(false);
            }
            at += length as u64;
        }
        Ok(true)
    }

    fn read_at(&self, stored: &Stored, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        match stored.place {
            Place::Shared(start) => self.shared.read_exact_at(bytes, start + at),
            Place::Own(number) => self.own[number].read_exact_at(bytes, at),
        }
    }

    /// Reports a member that gets a second name because a later one has its name.
    fn report_replaced(&mut self, names: &[OsString], second: &OsStr) {
        let mut path = member_path::root_of(self.archive);
        path.extend(names);
        let reason = format!(
            "it is twice in the archive, with different contents; the first one is read as {}",
            escape(second.as_bytes())
        );
        self.unread.push(UnreadMember { path, reason, may_be_mail: false, hint: None });
    }

    fn add(&mut self, name: &[u8], node: Node, mtime: i64) -> Result<()> {
        if let Some(names) = self.names(name)
            && !names.is_empty()
        {
            self.table.add(&names, node, mtime);
        }
        self.limits.check_members(self.table.len())
    }

    /// Returns the names on the way to a member, or reports it.
    fn names(&mut self, name: &[u8]) -> Option<Vec<OsString>> {
        match names_of(name) {
            Ok(names) => Some(names),
            Err(reason) => {
                let shown = &name[..name.len().min(200)];
                self.leave(shown, reason, true);
                None
            }
        }
    }

    fn count(&mut self, bytes: usize) -> Result<()> {
        self.written += bytes as u64;
        if self.written > self.limit {
            return Err(self.spooling.insufficient(self.written, self.limit));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let failed = Error::io("write a temporary file there", self.spooling.dir);
        durable::write_all(&self.shared, &self.buffer).map_err(failed)?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        (self.spooling.progress)(self.written);
        Ok(())
    }

    /// Returns the members, and what became of the others.
    pub(super) fn finish(mut self) -> Result<Finished> {
        self.flush()?;
        (self.spooling.progress)(self.written);
        let dir = self.spooling.dir.to_owned();
        let create_copy = move |size| match size < OWN_FROM {
            true => {
                let file = durable::memory_file("message")?;
                // As that of a file in the spool directory.
                durable::set_mode(&file, 0o600)?;
                Ok(file)
            }
            false => durable::anonymous_file(&dir).map_err(io::Error::other),
        };
        let files =
            MemberFiles { shared: self.shared.into(), own: self.own, create_copy: Box::new(create_copy) };
        Ok((self.table, files, self.unread, self.repeated))
    }
}

fn is_hole(block: &[u8]) -> bool {
    block == &ZEROS[..]
}

/// Fills a buffer with the bytes of a member from an offset on.
type ReadAt<'a> = &'a dyn Fn(&mut [u8], u64) -> io::Result<()>;

/// Divides the name of a member. It is data and never a path: what would lead out of the archive is dropped, as tar
/// drops it.
fn names_of(name: &[u8]) -> Result<Vec<OsString>, &'static str> {
    if name.len() as u64 > limits::NAME {
        return Err("its name is longer than 32 kB");
    }
    if name.contains(&0) {
        return Err("its name has a NUL byte, which no file name can have");
    }
    let names: Vec<OsString> = without_special_names(name).collect();
    if names.is_empty() && !name.ends_with(b"/") && !matches!(name, b"." | b"..") {
        return Err("it has no name");
    }
    Ok(names)
}

fn without_special_names(name: &[u8]) -> impl Iterator<Item = OsString> {
    let names = name.split(|&b| b == b'/').filter(|name| !matches!(*name, b"" | b"." | b".."));
    names.map(|name| OsString::from_vec(name.to_vec()))
}
