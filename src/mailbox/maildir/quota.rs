//! The quota of a Maildir++: the file `maildirsize`, and how a delivery keeps it correct.
//!
//! The first line holds the limits. Each further line holds `bytes messages`; the sum of all lines is what is used,
//! and a delivery appends a line (Courier's maildirquota.txt). Other programs write the file without any lock, so
//! among them it is an estimate. Among mailferry's deliveries it is exact, even if they are killed:
//!
//! * From the check to the link into new/ a delivery holds flock(2) on the tmp/ of the Maildir. The Maildir itself
//!   is not locked, because a conversion holds that lock as long as it runs.
//! * Meanwhile the file [`MARKER`] is next to `maildirsize`. A delivery that gets the lock and finds the marker
//!   knows that its creator is dead: it counts the messages instead of trusting the sum.
//!
//! Without flock(2) for directories (NFS) there is neither lock nor marker, and the file is an estimate. It is an
//! estimate after a power cut, too: the file is flushed when it is rewritten, not with each line. The next count
//! corrects an estimate.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, Stat};
use rustix::io::Errno;

use super::{MaildirReader, name};
use crate::mailbox::fs::durable::{self, FileId};
use crate::mailbox::fs::lock::{self, DirLock};
use crate::mailbox::fs::{Dir, files, modes, parent_of};
use crate::mailbox::maildir::detect;
use crate::mailbox::maildir::list::NO_CLOCK;
use crate::mailbox::message::Flags;
use crate::mailbox::source::{STORED_HEAD, StoredForm};
use crate::mailbox::text::plural;
use crate::mailbox::{Cancel, Error, Result};

/// The name of the file, in the Maildir itself and never in one of its folders.
pub(crate) const FILE_NAME: &str = "maildirsize";
/// Exists while a delivery is between its line and its message. Not in tmp/: a file there is removed after 36
/// hours, and nothing else says that the sum may be wrong.
pub(crate) const MARKER: &str = "mailferry.counting";
/// The folder whose messages do not count.
pub(crate) const TRASH: &str = ".Trash";

const FILE_MODE: u32 = 0o666;
/// A longer file is counted again, so that adding up stays cheap.
const LONGEST: u64 = 5120;
/// Seconds for which a count of a full Maildir is trusted.
const STALE: u64 = 15 * 60;
/// How often a count is repeated because another program wrote meanwhile.
const COUNTS: usize = 3;

/// The limits of a Maildir. `None` is no limit; in the file 0 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Limits {
    /// Bytes in messages.
    pub bytes: Option<u64>,
    pub messages: Option<u64>,
}

/// The part of a Maildir that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    /// Bytes in messages.
    pub bytes: i64,
    pub messages: i64,
}

/// A message that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OverQuota {
    pub used: Usage,
    pub limits: Limits,
    /// The bytes of the message.
    pub size: u64,
}

#[derive(Debug)]
pub(crate) struct Quota {
    root: Dir,
    tmp: Dir,
    asked: Option<Limits>,
}

/// A message that is already in the sum, and is now to be linked. Dropped before [`Reservation::confirm`], it is
/// taken out of the sum again.
#[derive(Debug)]
pub(crate) struct Reservation<'a> {
    window: Guard<'a>,
    file: File,
    size: u64,
}

/// The lock and the marker.
#[derive(Debug)]
struct Guard<'a> {
    quota: &'a Quota,
    /// True if the file adds up to the messages. If not, the marker stays for the next delivery.
    is_true: bool,
    lock: DirLock,
}

/// The contents of the file.
#[derive(Debug, PartialEq, Eq)]
struct SizeFile {
    first_line: Vec<u8>,
    used: Usage,
    /// Lines after the first.
    lines: usize,
}

impl Limits {
    /// Parses the value of an option: `1000S,10C`, or either alone.
    ///
    /// # Errors
    /// A phrase that names the right values.
    pub(crate) fn parse(text: &str) -> Result<Limits, String> {
        let mut limits = Limits::default();
        let mut seen = HashSet::new();
        for part in text.split(',') {
            let (slot, digits) = match (part.strip_suffix('S'), part.strip_suffix('C')) {
                (Some(digits), _) => (&mut limits.bytes, digits),
                (_, Some(digits)) => (&mut limits.messages, digits),
                _ => return Err(unclear()),
            };
            if !digits.bytes().all(|b| b.is_ascii_digit()) || !seen.insert(part.ends_with('S')) {
                return Err(unclear());
            }
            let number: i64 = digits.parse().map_err(|_| unclear())?;
            *slot = Some(number.unsigned_abs()).filter(|&n| n > 0);
        }
        Ok(limits)
    }

    /// Returns the limits in a first line, and ignores the rest.
    fn of_line(line: &[u8]) -> Limits {
        let mut limits = Limits::default();
        for part in parts(line) {
            match part {
                Part::Bytes(limit) => limits.bytes = limit,
                Part::Messages(limit) => limits.messages = limit,
                Part::Other(_) => {}
            }
        }
        limits
    }

    /// Returns a first line with these limits that keeps the rest of `old`.
    fn line(self, old: &[u8]) -> Vec<u8> {
        let others = parts(old).filter_map(|part| match part {
            Part::Other(other) if !other.is_empty() => Some(other),
            _ => None,
        });
        others.fold(self.to_string().into_bytes(), |line, other| [&line[..], b",", other].concat())
    }

    /// Reports whether these amounts are within the limits.
    fn allow(self, bytes: i64, messages: i64) -> bool {
        let within = |limit: Option<u64>, n: i64| limit.is_none_or(|limit| n.max(0).unsigned_abs() <= limit);
        within(self.bytes, bytes) && within(self.messages, messages)
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.bytes, self.messages) {
            (Some(bytes), Some(messages)) => write!(f, "{bytes}S,{messages}C"),
            (None, Some(messages)) => write!(f, "{messages}C"),
            (bytes, None) => write!(f, "{}S", bytes.unwrap_or(0)),
        }
    }
}

impl fmt::Display for OverQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OverQuota { used, limits, size } = self;
        let bytes = limits.bytes.map(|limit| format!("{} of {}", used.bytes, plural(limit, "byte")));
        let messages =
            limits.messages.map(|limit| format!("{} of {}", used.messages, plural(limit, "message")));
        let both: Vec<String> = bytes.into_iter().chain(messages).collect();
        write!(f, "over quota: {} used; this message has {}", both.join(" and "), plural(*size, "byte"))
    }
}

impl Quota {
    /// Finds the quota of a delivery into a Maildir or one of its folders. `None` without a `maildirsize` and
    /// without `asked`, and for the trash, which does not count.
    ///
    /// A message with the flag T does not count either: its caller asks for no quota.
    pub(crate) fn find(maildir: &Dir, asked: Option<Limits>) -> Result<Option<Quota>> {
        let root = match enclosing_maildir(maildir)? {
            Some((_, name)) if name.as_bytes() == TRASH.as_bytes() => return Ok(None),
            Some((root, _)) => root,
            None => maildir.try_clone()?,
        };
        if asked.is_none() && !root.exists(OsStr::new(FILE_NAME))? {
            return Ok(None);
        }
        let tmp = root.open_child(OsStr::new("tmp"))?;
        Ok(Some(Quota { root, tmp, asked }))
    }

    /// The Maildir that has the quota.
    pub(crate) fn maildir(&self) -> &Path {
        self.root.path()
    }

    /// Reports, without counting, that a message of `size` bytes does not fit: then it need not be written first.
    /// `None` promises nothing. With a marker it is `None`, too, since only a delivery with the lock may remove it.
    pub(crate) fn check_unlocked(&self, size: u64, now: i64) -> Result<Option<OverQuota>> {
        let read = self.read(size, now)?;
        let over = read.ok().and_then(|(_, content)| self.over(&content.first_line, content.used, size));
        Ok(if over.is_some() && self.root.exists(OsStr::new(MARKER))? { None } else { over })
    }

    /// Reports whether a message of `size` bytes does not fit, without writing or waiting.
    pub(crate) fn check(&self, size: u64, now: i64, cancel: &Cancel) -> Result<Option<OverQuota>> {
        let (first_line, used) = match self.read(size, now)? {
            Ok((_, content)) => (content.first_line, content.used),
            Err(first_line) => (self.first_line(&first_line), count(&self.root, cancel)?),
        };
        Ok(self.over(&first_line, used, size))
    }

    /// Adds a message of `size` bytes to the sum, if it fits. `now` is seconds since 1970.
    ///
    /// Other deliveries wait until [`Reservation::confirm`]. Call this when everything but the link is done, for
    /// one message after the other.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Interrupted`], [`Error::Io`].
    pub(crate) fn reserve(
        &self,
        size: u64,
        now: i64,
        wait: Duration,
        cancel: &Cancel,
    ) -> Result<Result<Reservation<'_>, OverQuota>> {
        let mut window = Guard::open(self, wait, cancel)?;
        loop {
            let read = if window.is_true { self.read(size, now)? } else { Err(self.read_first_line()?) };
            let (file, content) = match read {
                Ok(found) => found,
                Err(first_line) => self.rebuild(&first_line, cancel)?,
            };
            window.is_true = true;
            if let Some(over) = self.over(&content.first_line, content.used, size) {
                return Ok(Err(over));
            }
            // From here on, a delivery that finds the marker has to count.
            window.is_true = false;
            durable::write_all(&file, format!("{size} 1\n").as_bytes())
                .map_err(Error::io("write", self.path()))?;
            if self.root.child_id(OsStr::new(FILE_NAME))? == Some(identity(&file, &self.path())?) {
                return Ok(Ok(Reservation { window, file, size }));
            }
            // Another program replaced the file with its own count: the line is not in there, and the message did
            // not exist when it counted.
            window.is_true = true;
        }
    }

    /// Takes a confirmed message out of the sum; `unlink` removes it. Nothing interrupts this. If the lock is not
    /// free in time, it goes on without.
    pub(crate) fn rollback(
        &self,
        size: u64,
        wait: Duration,
        unlink: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let mut window = Guard::open(self, wait, Cancel::never()).ok();
        let was_true = window.as_mut().is_some_and(|window| std::mem::replace(&mut window.is_true, false));
        let unlinked = unlink();
        let mut is_true = was_true;
        if unlinked.is_ok()
            && let Some(file) = self.root.open_append_if_exists(OsStr::new(FILE_NAME))?
        {
            is_true &= subtract(&file, size).is_ok();
        }
        if let Some(window) = &mut window {
            window.is_true = is_true;
        }
        unlinked
    }

    /// Counts again, after messages came in another way. If this fails or is killed, the marker stays and the next
    /// delivery counts.
    pub(crate) fn recount(&self, wait: Duration, cancel: &Cancel) -> Result<()> {
        let mut window = Guard::open(self, wait, cancel)?;
        window.is_true = false;
        self.rebuild(&self.read_first_line()?, cancel)?;
        window.is_true = true;
        Ok(())
    }

    fn over(&self, first_line: &[u8], used: Usage, size: u64) -> Option<OverQuota> {
        let limits = Limits::of_line(first_line);
        let size_too = i64::try_from(size).unwrap_or(i64::MAX);
        let fits = limits.allow(used.bytes.saturating_add(size_too), used.messages.saturating_add(1));
        (!fits).then_some(OverQuota { used, limits, size })
    }

    /// Opens the file for appending and reads it. The error is its first line, if the rest cannot be trusted.
    fn read(&self, size: u64, now: i64) -> Result<Result<(File, SizeFile), Vec<u8>>> {
        let Some(file) = self.root.open_append_if_exists(OsStr::new(FILE_NAME))? else {
            return Ok(Err(Vec::new()));
        };
        let (text, meta) = self.read_text(&file)?;
        let content = match SizeFile::of(&text) {
            Ok(content) if meta.len() <= LONGEST => content,
            Ok(SizeFile { first_line, .. }) | Err(first_line) => return Ok(Err(first_line)),
        };
        let is_other = self.asked.is_some_and(|asked| asked != Limits::of_line(&content.first_line));
        // A Maildir is not called full because of messages that may be gone: programs that delete messages need
        // not update this file. So only a fresh count without further lines is trusted.
        let is_doubtful = content.lines > 1 || now.abs_diff(meta.mtime()) > STALE;
        let is_over = self.over(&content.first_line, content.used, size).is_some();
        if is_other || (is_over && is_doubtful) {
            return Ok(Err(content.first_line));
        }
        Ok(Ok((file, content)))
    }

    fn read_first_line(&self) -> Result<Vec<u8>> {
        let Some(file) = self.root.open_append_if_exists(OsStr::new(FILE_NAME))? else {
            return Ok(Vec::new());
        };
        Ok(first_line(&self.read_text(&file)?.0).to_vec())
    }

    fn read_text(&self, file: &File) -> Result<(Vec<u8>, std::fs::Metadata)> {
        let meta = file.metadata().map_err(Error::io("look at", self.path()))?;
        if !meta.is_file() {
            let reason = "is not a regular file and cannot contain a quota; remove it".into();
            return Err(Error::Destination { path: self.path(), reason });
        }
        let mut text = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut text).map_err(Error::io("read", self.path()))?;
        Ok((text, meta))
    }

    /// Returns the new first line.
    fn first_line(&self, old: &[u8]) -> Vec<u8> {
        match self.asked {
            Some(asked) if asked != Limits::of_line(old) || old.is_empty() => asked.line(old),
            None if old.is_empty() => Limits::default().line(old),
            _ => old.to_vec(),
        }
    }

    /// Counts the messages and replaces the file.
    fn rebuild(&self, old: &[u8], cancel: &Cancel) -> Result<(File, SizeFile)> {
        let mut before = self.stat()?;
        let mut used = count(&self.root, cancel)?;
        for _ in 1..COUNTS {
            // A line that another program appends during the count would be lost with the old file.
            let now = self.stat()?;
            let same = |stat: &Stat| (FileId::of(stat), stat.st_size);
            if now.as_ref().map(same) == before.as_ref().map(same) {
                break;
            }
            before = now;
            used = count(&self.root, cancel)?;
        }
        let content = SizeFile { first_line: self.first_line(old), used, lines: 1 };
        let mode = before.map_or(FILE_MODE, |stat| modes::bits_of(&stat) & 0o777);
        self.tmp.write_atomic(&self.root, OsStr::new(FILE_NAME), &content.to_bytes(), mode)?;
        match self.root.open_append_if_exists(OsStr::new(FILE_NAME))? {
            Some(file) => Ok((file, content)),
            None => Err(Error::io("open", self.path())(io::ErrorKind::NotFound.into())),
        }
    }

    fn stat(&self) -> Result<Option<Stat>> {
        match rustix::fs::statat(&self.root, FILE_NAME, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(Error::io("look up", self.path())(e.into())),
        }
    }

    fn path(&self) -> PathBuf {
        self.root.path().join(FILE_NAME)
    }
}

impl Reservation<'_> {
    /// Keeps the message in the sum: it is linked.
    pub(crate) fn confirm(mut self) {
        self.window.is_true = true;
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if !self.window.is_true {
            // If this fails, the marker stays and the next delivery counts.
            self.window.is_true = subtract(&self.file, self.size).is_ok();
        }
    }
}

fn subtract(file: &File, size: u64) -> io::Result<()> {
    durable::write_all(file, format!("-{size} -1\n").as_bytes())
}

impl<'a> Guard<'a> {
    fn open(quota: &'a Quota, wait: Duration, cancel: &Cancel) -> Result<Guard<'a>> {
        let lock = lock::lock_dir(&quota.tmp, wait, cancel)?;
        let is_true = match lock.is_held() {
            true => match quota.root.create_file(OsStr::new(MARKER), FILE_MODE) {
                Ok(_) => true,
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => false,
                Err(error) => return Err(error),
            },
            // Other deliveries are at work at the same time, so a marker would say nothing.
            false => true,
        };
        Ok(Guard { quota, is_true, lock })
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.is_true && self.lock.is_held() {
            // A marker that stays costs the next delivery a count, and no more.
            let _ = self.quota.root.unlink(OsStr::new(MARKER));
        }
    }
}

impl SizeFile {
    /// Parses the file. The error is the first line, if the rest is missing or cannot be added up.
    fn of(text: &[u8]) -> Result<SizeFile, Vec<u8>> {
        let first_line = first_line(text).to_vec();
        let lines = text.split(|&b| b == b'\n').skip(1).filter(|line| !line.trim_ascii().is_empty()).count();
        match sums(text) {
            Ok((bytes, messages)) if bytes >= 0 && messages >= 0 && lines > 0 && text.ends_with(b"\n") => {
                Ok(SizeFile { first_line, used: Usage { bytes, messages }, lines })
            }
            _ => Err(first_line),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let Usage { bytes, messages } = self.used;
        [&self.first_line[..], format!("\n{bytes} {messages}\n").as_bytes()].concat()
    }
}

/// Returns the first line; empty if it is longer than any program writes.
fn first_line(text: &[u8]) -> &[u8] {
    const LONGEST: usize = 1024;
    let line = text.split(|&b| b == b'\n').next().unwrap_or_default();
    if line.len() > LONGEST { b"" } else { line.trim_ascii() }
}

enum Part<'a> {
    Bytes(Option<u64>),
    Messages(Option<u64>),
    Other(&'a [u8]),
}

fn parts(line: &[u8]) -> impl Iterator<Item = Part<'_>> {
    line.split(|&b| b == b',').map(|part| {
        let part = part.trim_ascii();
        let limit = |digits: &[u8]| {
            let number: i64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
            u64::try_from(number).ok().map(|n| Some(n).filter(|&n| n > 0))
        };
        match part {
            [digits @ .., b'S'] => limit(digits).map(Part::Bytes),
            [digits @ .., b'C'] => limit(digits).map(Part::Messages),
            _ => None,
        }
        .unwrap_or(Part::Other(part))
    })
}

fn unclear() -> String {
    "a number of bytes, of messages, or both, such as 1000000S,500C".to_owned()
}

/// Returns the Maildir that has this one as a folder, and the folder's name. The file maildirfolder marks a folder.
/// Dovecot writes one into the Maildir itself, too, which has no Maildir around it.
fn enclosing_maildir(maildir: &Dir) -> Result<Option<(Dir, OsString)>> {
    let path = match maildir.path().file_name() {
        Some(_) => Cow::Borrowed(maildir.path()),
        // `.` and the like do not show the name.
        None => {
            Cow::Owned(files::canonicalize(maildir.path()).map_err(Error::io("look up", maildir.path()))?)
        }
    };
    match path.file_name() {
        Some(name) if maildir.exists(OsStr::new("maildirfolder"))? && detect::is_maildirpp_folder(&path) => {
            Ok(Some((Dir::open(parent_of(&path))?, name.to_owned())))
        }
        _ => Ok(None),
    }
}

/// Counts a Maildir and its folders.
fn count(root: &Dir, cancel: &Cancel) -> Result<Usage> {
    let mut used = Usage::default();
    count_folder(root, &mut used, cancel)?;
    for name in root.names()? {
        let bytes = name.as_bytes();
        // A stage of a conversion is not published.
        if !bytes.starts_with(b".") || bytes == TRASH.as_bytes() || bytes.ends_with(b".mailferry-partial") {
            continue;
        }
        if let Some(folder) = there(root.open_child(&name))? {
            count_folder(&folder, &mut used, cancel)?;
        }
    }
    Ok(used)
}

fn count_folder(folder: &Dir, used: &mut Usage, cancel: &Cancel) -> Result<()> {
    let reader = MaildirReader::in_dir(folder, NO_CLOCK)?;
    for entry in &reader.list()?.messages {
        cancel.check()?;
        if entry.parsed().flags().has(Flags::TRASHED) {
            continue;
        }
        if let Ok((_, Some(size))) = reader.locate(entry, size)? {
            used.bytes = used.bytes.saturating_add_unsigned(size);
            used.messages += 1;
        }
    }
    Ok(())
}

/// Returns the bytes that a message counts for, or None if it is not a file. S= in its name is used only if a server has compressed it: then it
/// is the uncompressed size.
fn size(dir: &Dir, name: &OsStr) -> Result<Option<u64>> {
    let Some(size) = dir.file_size(name)? else {
        let gone = || Error::io("look at", dir.path().join(name))(io::ErrorKind::NotFound.into());
        return if dir.exists(name)? { Ok(None) } else { Err(gone()) };
    };
    let said = name::parse(name.as_bytes()).field(b'S').filter(|&said| said != size);
    Ok(Some(match said {
        Some(said) if is_compressed(dir, name) => said,
        _ => size,
    }))
}

fn is_compressed(dir: &Dir, name: &OsStr) -> bool {
    let mut head = Vec::new();
    let read = dir.open_message(name).map(|file| file.take(STORED_HEAD).read_to_end(&mut head));
    // An unreadable message counts for its size.
    matches!(read, Ok(Ok(_))) && StoredForm::of(&head) != StoredForm::Plain
}

/// Returns `None` if there is no such directory.
fn there(opened: Result<Dir>) -> Result<Option<Dir>> {
    match opened {
        Ok(dir) => Ok(Some(dir)),
        Err(Error::Io { source, .. })
            if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn identity(file: &File, path: &Path) -> Result<FileId> {
    let stat = rustix::fs::fstat(file).map_err(|e| Error::io("look at", path)(e.into()))?;
    Ok(FileId::of(&stat))
}

/// Adds up a maildirsize: bytes and messages. The error is the number of a line that cannot be parsed.
pub(crate) fn sums(text: &[u8]) -> Result<(i64, i64), usize> {
    let (mut bytes, mut count) = (0i64, 0i64);
    for (n, line) in text.split(|&b| b == b'\n').enumerate().skip(1) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let mut numbers = line
            .split(|b| b.is_ascii_whitespace())
            .filter(|w| !w.is_empty())
            .map(|word| std::str::from_utf8(word).ok().and_then(|w| w.parse::<i64>().ok()));
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Some(b)), Some(Some(c)), None) => {
                (bytes, count) = (bytes.saturating_add(b), count.saturating_add(c));
            }
            _ => return Err(n + 1),
        }
    }
    Ok((bytes, count))
}

#[cfg(test)]
mod tests;
