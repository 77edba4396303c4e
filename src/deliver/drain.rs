//! Moves the mail of a Maildir to the end of an mbox, as qmail's maildir2mbox does.
//!
//! A longer copy replaces the mbox, so that a reader sees the old mail or all of it. Only then are the messages removed
//! from the Maildir. A run that is killed meanwhile leaves a record there, with which the next run removes what the mbox
//! has, and delivers nothing twice.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::FileType;

use super::dot_qmail::environment;
use crate::mailbox::fs::durable::{self, FileId};
use crate::mailbox::fs::{Dir, files, parent_of};
use crate::mailbox::maildir::{Entry, MaildirReader, NoMessage};
use crate::mailbox::mbox::MboxAppender;
use crate::mailbox::mbox::write::{FromLineSpec, HeaderEdit, MessageHead, MessageWriter};
use crate::mailbox::source::Contents;
use crate::mailbox::{Context, Error, Result};

/// The size of a read and of a write.
const BUFFER: usize = 1 << 20;
/// A file in tmp/ that was not read for so many seconds is a remnant (maildir(5)).
const STALE: i64 = 129_600;
const MODE: u32 = 0o600;
/// The record's name in the Maildir.
const RECORD: &str = ".mailferry-maildir2mbox";

/// The mailboxes, and how the mbox is opened.
pub(crate) struct Drain<'a> {
    pub maildir: &'a Dir,
    pub mbox: &'a Path,
    /// The copy that replaces the mbox: in the same file system. What is there is overwritten.
    pub copy: &'a Path,
    /// Opens the mbox under its locks, and creates a missing one.
    pub open_mbox: &'a dyn Fn(&Path) -> Result<MboxAppender>,
    pub ctx: &'a Context<'a>,
}

impl Drain<'_> {
    /// Moves all messages that are older than now. Returns those that the mbox has but that could not be removed.
    ///
    /// # Errors
    /// Nothing is changed then, unless the mbox has the messages already and the next run removes them.
    pub(crate) fn run(&self) -> Result<Vec<Error>> {
        for name in ["new", "cur"] {
            self.maildir.open_child(OsStr::new(name))?;
        }
        self.remove_stale();
        let reader = MaildirReader::in_dir(self.maildir, self.ctx.now)?;
        let has_record = || self.maildir.exists(OsStr::new(RECORD));
        if !has_record()? && self.list(&reader)?.is_empty() {
            return Ok(Vec::new());
        }
        let mbox = (self.open_mbox)(self.mbox)?;
        if has_record()? {
            self.finish_killed_run(&reader, &mbox)?;
        }
        let messages = self.list(&reader)?;
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let mut copy = MboxCopy::create(self.copy, &mbox)?;
        let (record, copied) = self.write(&reader, messages, &mbox, &mut copy)?;
        if let Err(error) = self.write_record(&record).and_then(|()| copy.publish(self.mbox, &mbox)) {
            // With the record the next run removes what the new mbox has, if only its name was not flushed.
            if !copy.is_published {
                let _ = self.maildir.unlink_if_exists(OsStr::new(RECORD));
            }
            return Err(error);
        }
        let kept: Vec<Error> = copied.iter().filter_map(|entry| remove(&reader, entry).err()).collect();
        if kept.is_empty() {
            self.forget()?;
        }
        Ok(kept)
    }

    /// Removes old files from tmp/.
    fn remove_stale(&self) {
        let Ok(tmp) = self.maildir.open_child(OsStr::new("tmp")) else { return };
        for name in tmp.names().unwrap_or_default() {
            let is_stale = || {
                let meta = files::symlink_metadata(tmp.path().join(&name)).ok()?;
                Some(meta.is_file() && meta.atime() + STALE < self.ctx.now)
            };
            if !name.as_encoded_bytes().starts_with(b".") && is_stale() == Some(true) {
                // One that stays is tried again by the next run.
                let _ = tmp.unlink(&name);
            }
        }
    }

    /// Lists the messages in the order of their times. One of this second or of the future waits for a later run.
    fn list(&self, reader: &MaildirReader) -> Result<Vec<Entry>> {
        let mut dated = Vec::new();
        for entry in reader.list()?.messages {
            match reader.locate(&entry, Dir::message_mtime)? {
                Ok((_, Some(mtime))) if mtime >= self.ctx.now => {}
                Ok((_, mtime)) => dated.push((mtime.unwrap_or(0), entry)),
                Err(NoMessage::Removed | NoMessage::DanglingLink) => {}
                Err(_) => return Err(unreadable(reader, &entry)),
            }
        }
        dated.sort_by_key(|(mtime, _)| *mtime);
        Ok(dated.into_iter().map(|(_, entry)| entry).collect())
    }

    /// Writes the old mail and the messages into the copy. Returns the record, and the messages that were still there.
    fn write(
        &self,
        reader: &MaildirReader,
        messages: Vec<Entry>,
        mbox: &MboxAppender,
        copy: &mut MboxCopy,
    ) -> Result<(Record, Vec<Entry>)> {
        copy.take(&mbox.file, mbox.length, self.mbox)?;
        let mut sums = Vec::new();
        let mut copied = Vec::new();
        let mut out = mbox.repair.clone();
        let mut contents = Contents::default();
        for entry in messages {
            self.ctx.cancel.check()?;
            let found = match reader.read(&entry, &mut contents)? {
                Ok(found) => found,
                Err(NoMessage::Removed | NoMessage::DanglingLink) => continue,
                Err(_) => return Err(unreadable(reader, &entry)),
            };
            let path = reader.path(&found.entry);
            let unrepresentable = |_| Error::unrepresentable(&path);
            let from_line = environment::from_line(sender(&contents), found.mtime);
            let from_line = FromLineSpec::Verbatim(&from_line);
            let head = MessageHead { from_line, header: HeaderEdit::Verbatim(b""), eol: b"\n" };
            let mut writer = MessageWriter::begin(mbox.variant, &head, &mut out).map_err(unrepresentable)?;
            for chunk in contents.chunks(BUFFER) {
                writer.push(chunk, &mut out).map_err(unrepresentable)?;
                copy.append(&mut out, BUFFER)?;
            }
            writer.finish(&mut out).map_err(unrepresentable)?;
            contents.check_complete(&path)?;
            sums.push((entry.parsed().base.to_vec(), blake3::hash(&contents)));
            copied.push(entry);
        }
        copy.append(&mut out, 0)?;
        let record = Record { offset: mbox.length, length: copy.added, hash: copy.hasher.finalize(), sums };
        Ok((record, copied))
    }

    /// Writes the record, and brings it to stable storage.
    fn write_record(&self, record: &Record) -> Result<()> {
        // A name that a killed run may have left.
        let name = OsString::from(format!("{RECORD}.new"));
        let path = self.maildir.path().join(&name);
        let file = self.maildir.open_or_create(&name, MODE)?;
        let written = durable::truncate(&file, 0)
            .and_then(|()| durable::write_all(&file, &record.encode()))
            .and_then(|()| durable::sync_file(&file));
        let written = written.map_err(Error::io("write", &path));
        written.and_then(|()| self.maildir.replace(&name, OsStr::new(RECORD))).inspect_err(|_| {
            // The first error is reported.
            let _ = self.maildir.unlink_if_exists(&name);
        })?;
        self.maildir.sync()
    }

    /// Removes the messages of a killed run if the mbox has them: byte for byte, where that run wrote them.
    fn finish_killed_run(&self, reader: &MaildirReader, mbox: &MboxAppender) -> Result<()> {
        let path = self.maildir.path().join(RECORD);
        let record = Record::decode(&files::read_regular(&path).map_err(Error::io("read", &path))?);
        if let Some(record) = record
            && record.is_in(mbox).map_err(Error::io("read", self.mbox))?
        {
            mbox.sync()?;
            let mut contents = Contents::default();
            for entry in reader.list()?.messages {
                let Some((_, sum)) = record.sums.iter().find(|(base, _)| base == entry.parsed().base) else {
                    continue;
                };
                // Not a newer message that has got the name.
                if reader.read(&entry, &mut contents)?.is_ok() && blake3::hash(&contents) == *sum {
                    remove(reader, &entry)?;
                }
            }
        }
        self.forget()
    }

    /// Removes the record, once the messages are gone for good.
    fn forget(&self) -> Result<()> {
        for name in ["new", "cur"] {
            self.maildir.open_child(OsStr::new(name))?.sync()?;
        }
        self.maildir.unlink_if_exists(OsStr::new(RECORD))
    }
}

fn unreadable(reader: &MaildirReader, entry: &Entry) -> Error {
    Error::unsupported(&reader.path(entry), "cannot be read as a message; move it out of the Maildir")
}

fn remove(reader: &MaildirReader, entry: &Entry) -> Result<()> {
    reader.locate(entry, Dir::unlink).map(drop)
}

/// Returns the sender in a Return-Path on the first line; without one it is unknown.
fn sender(message: &[u8]) -> &[u8] {
    let line = memchr::memchr(b'\n', message).map_or(&b""[..], |lf| &message[..lf]);
    let address = line.strip_prefix(b"Return-Path: <");
    address.and_then(|rest| Some(&rest[..memchr::memrchr(b'>', rest)?])).unwrap_or(b"XXX")
}

/// The new mbox, before it has its name. Dropped before [`MboxCopy::publish`] it is removed.
struct MboxCopy<'a> {
    file: File,
    dir: Dir,
    name: OsString,
    path: &'a Path,
    /// Bytes after those of the old mbox, and their hash.
    added: u64,
    hasher: blake3::Hasher,
    is_published: bool,
}

impl<'a> MboxCopy<'a> {
    fn create(path: &'a Path, mbox: &MboxAppender) -> Result<MboxCopy<'a>> {
        let refuse = |reason: &str| Error::destination(path, reason.to_owned());
        let name = path.file_name().ok_or_else(|| refuse("is not a name for a file"))?.to_owned();
        let dir = Dir::open(parent_of(path))?;
        let file = dir.open_or_create(&name, MODE)?;
        let stat = |file: &File| rustix::fs::fstat(file).map_err(|e| Error::io("look at", path)(e.into()));
        let own = stat(&file)?;
        if FileId::of(&own) == FileId::of(&stat(&mbox.file)?) {
            return Err(refuse("is the mbox itself"));
        }
        if FileType::from_raw_mode(own.st_mode) != FileType::RegularFile || own.st_nlink != 1 {
            return Err(refuse("is not a regular file with one name; remove it"));
        }
        durable::truncate(&file, 0).map_err(Error::io("write", path))?;
        let hasher = blake3::Hasher::new();
        Ok(MboxCopy { file, dir, name, path, added: 0, hasher, is_published: false })
    }

    /// Copies the old mbox.
    fn take(&mut self, old: &File, length: u64, path: &Path) -> Result<()> {
        let mut buffer = vec![0; BUFFER.min(length as usize)];
        let mut at = 0;
        while at < length {
            let size = (length - at).min(BUFFER as u64) as usize;
            old.read_exact_at(&mut buffer[..size], at).map_err(Error::io("read", path))?;
            durable::write_all(&self.file, &buffer[..size]).map_err(Error::io("write", self.path))?;
            at += size as u64;
        }
        Ok(())
    }

    /// Writes what has been collected, if it is at least so much.
    fn append(&mut self, out: &mut Vec<u8>, least: usize) -> Result<()> {
        if out.len() >= least {
            durable::write_all(&self.file, out).map_err(Error::io("write", self.path))?;
            self.added += out.len() as u64;
            self.hasher.update(out);
            out.clear();
        }
        Ok(())
    }

    /// Replaces the mbox. Then the new one and its name are on stable storage.
    fn publish(&mut self, mbox: &Path, old: &MboxAppender) -> Result<()> {
        durable::sync_file(&self.file).map_err(Error::io("flush", self.path))?;
        // A symbolic link stays one.
        let real = files::canonicalize(mbox).map_err(Error::io("look up", mbox))?;
        let name = real.file_name().unwrap_or_default();
        let to = Dir::open(parent_of(&real))?;
        let length = old.file.metadata().map_err(Error::io("look at", mbox))?.len();
        if length != old.length {
            let how = format!("it has {length} bytes and had {}", old.length);
            return Err(Error::Changed { path: mbox.to_owned(), how });
        }
        self.dir.replace_in(&self.name, &to, name)?;
        self.is_published = true;
        to.sync()
    }
}

impl Drop for MboxCopy<'_> {
    fn drop(&mut self) {
        if !self.is_published {
            // The next run overwrites it.
            let _ = self.dir.unlink(&self.name);
        }
    }
}

/// What a run adds to the mbox, and the messages that it then removes.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    offset: u64,
    length: u64,
    hash: blake3::Hash,
    /// Base names, and the hashes of the contents.
    sums: Vec<(Vec<u8>, blake3::Hash)>,
}

impl Record {
    /// Reports whether an mbox has these bytes.
    fn is_in(&self, mbox: &MboxAppender) -> std::io::Result<bool> {
        if self.offset.checked_add(self.length).is_none_or(|end| end > mbox.length) {
            return Ok(false);
        }
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; BUFFER];
        let mut at = 0;
        while at < self.length {
            let size = (self.length - at).min(BUFFER as u64) as usize;
            mbox.file.read_exact_at(&mut buffer[..size], self.offset + at)?;
            hasher.update(&buffer[..size]);
            at += size as u64;
        }
        Ok(hasher.finalize() == self.hash)
    }

    /// Encodes fields that each end in a NUL, which no name contains.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = format!("{}\0{}\0{}\0", self.offset, self.length, self.hash.to_hex()).into_bytes();
        for (name, hash) in &self.sums {
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(format!("\0{}\0", hash.to_hex()).as_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Record> {
        let mut fields = bytes.strip_suffix(b"\0")?.split(|&b| b == 0);
        let mut text = || std::str::from_utf8(fields.next()?).ok();
        let (offset, length) = (text()?.parse().ok()?, text()?.parse().ok()?);
        let hash = blake3::Hash::from_hex(text()?).ok()?;
        let mut sums = Vec::new();
        while let Some(name) = fields.next() {
            sums.push((name.to_vec(), blake3::Hash::from_hex(fields.next()?).ok()?));
        }
        Some(Record { offset, length, hash, sums })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sender_is_in_a_return_path_on_the_first_line() {
        for (message, want) in [
            ("Return-Path: <s@x>\nA: 1\n", "s@x"),
            ("Return-Path: <>\n", ""),
            ("Return-Path: <\"a>b\"@x>\r\n", "\"a>b\"@x"),
            ("Return-Path: <s@x>", "XXX"),
            ("Return-Path: s@x\n", "XXX"),
            ("Return-Path: <s@x\n", "XXX"),
            ("return-path: <s@x>\n", "XXX"),
            ("A: 1\nReturn-Path: <s@x>\n", "XXX"),
            ("", "XXX"),
        ] {
            assert_eq!(sender(message.as_bytes()), want.as_bytes(), "{message:?}");
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let sums = vec![(b"1.a\nb\xff".to_vec(), blake3::hash(b"x")), (b"2".to_vec(), blake3::hash(b"y"))];
        let record = Record { offset: 7, length: u64::MAX, hash: blake3::hash(b"z"), sums };
        let bytes = record.encode();
        assert_eq!(Record::decode(&bytes), Some(record));
        for cut in 0..bytes.len() {
            // One that ends between two messages is shorter, but true.
            let part = Record::decode(&bytes[..cut]);
            assert!(part.is_none_or(|part| part.sums.len() < 2), "{cut}");
        }
    }
}
