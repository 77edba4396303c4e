//! The public types: small owned views of the core.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::iter;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::mailbox::fs::modes::DIR_MODE;
use crate::mailbox::fs::{Dir, durable};
use crate::mailbox::maildir::deliver::{Delivery, MessageMeta, Stamp, flush_messages, flush_names};
use crate::mailbox::maildir::{create, detect, list};
use crate::mailbox::mbox::{Extent, ReadOptions, ScanHooks, read};
use crate::mailbox::message::Flags;
use crate::mailbox::source::{Source, SpoolOptions};
use crate::mailbox::{Cancel, Context, Error, Finding, LockOptions, NoEvents, Result, finding};
use crate::verify::{self, Depth, VerifyOptions};

/// An mbox file: locked and mapped, or unpacked if it is compressed (gzip, zstd, bzip2, xz).
#[derive(Debug)]
pub struct MboxFile(Source);

impl MboxFile {
    /// Opens the file at `path`. A compressed one is unpacked into a file without a name in `spool_dir`.
    ///
    /// # Errors
    /// [`Error::Locked`] after the time of `locks`, [`Error::NotAMailbox`] for a directory or a device,
    /// [`Error::Compressed`] for damaged data, [`Error::Io`].
    pub fn open(path: &Path, locks: &LockOptions, spool_dir: &Path) -> Result<MboxFile> {
        let spool = SpoolOptions { dir: spool_dir, limit: None, cancel: Cancel::never(), progress: &|_| () };
        Source::open(path, locks, &spool).map(MboxFile)
    }

    /// Finds the messages.
    ///
    /// # Errors
    /// [`Error::NotAMailbox`] for a file without any.
    pub fn read(&self) -> Result<Mbox<'_>> {
        Mbox::read(self.0.path(), self.0.text())
    }
}

/// The messages of an mbox, with everything that is odd about it.
///
/// ```
/// let text = b"From ann@example.org Mon Jan  1 10:00:00 2001\nSubject: hello\n\n>From here on\n";
/// let mbox = mailferry::Mbox::parse(text)?;
/// let message = mbox.messages().next().unwrap();
/// assert_eq!(message.bytes(), &b"Subject: hello\n\nFrom here on\n"[..]);
/// assert_eq!(mbox.variant(), "mboxrd");
/// # Ok::<(), mailferry::Error>(())
/// ```
#[derive(Debug)]
pub struct Mbox<'a> {
    mbox: read::Mbox<'a>,
    findings: Vec<Finding>,
}

impl<'a> Mbox<'a> {
    /// Finds the messages in `text`, an uncompressed mbox.
    ///
    /// # Errors
    /// [`Error::NotAMailbox`] for bytes without any. An empty mbox has no message and is no error.
    pub fn parse(text: &'a [u8]) -> Result<Mbox<'a>> {
        Mbox::read(Path::new("-"), text)
    }

    fn read(path: &Path, text: &'a [u8]) -> Result<Mbox<'a>> {
        let read = read::read(text, &ReadOptions::default(), ScanHooks::none());
        let mut mbox = read.map_err(|not| not.in_file(path))?;
        let mut findings = std::mem::take(&mut mbox.findings);
        finding::number_lines(&mut findings, text, &|_| ());
        Ok(Mbox { mbox, findings })
    }

    /// Returns the messages in the order of the file.
    pub fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        self.mbox.messages().iter().map(|&extent| Message { mbox: &self.mbox, extent })
    }

    /// Returns what was noticed, in the order of the file, with byte and line.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Returns `mboxo`, `mboxrd`, `mboxcl`, `mboxcl2` or `mmdf`.
    pub fn variant(&self) -> &'static str {
        self.mbox.variant.name()
    }
}

/// One message of an [`Mbox`].
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    mbox: &'a read::Mbox<'a>,
    extent: Extent,
}

impl<'a> Message<'a> {
    /// Returns the byte at which its From_ line begins.
    pub fn offset(&self) -> u64 {
        self.extent.at
    }

    /// Returns its From_ line with the line end, or the frame of MMDF.
    pub fn from_line(&self) -> &'a [u8] {
        &self.mbox.text()[self.extent.at as usize..self.extent.start as usize]
    }

    /// Returns its bytes without the quoting of `From ` lines.
    pub fn bytes(&self) -> Cow<'a, [u8]> {
        let mut pieces = Vec::new();
        self.mbox.pieces(&self.extent, &mut pieces);
        match pieces[..] {
            [all] => Cow::Borrowed(all),
            _ => Cow::Owned(pieces.concat()),
        }
    }
}

/// A Maildir.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// let maildir = mailferry::Maildir::create(&dir.path().join("Maildir"))?;
/// let path = maildir.deliver(b"Subject: hello\n\nworld\n", std::time::SystemTime::now(), "host.example")?;
/// let entries = maildir.entries()?;
/// assert_eq!(entries[0].path(), path);
/// let findings = maildir.verify(std::time::SystemTime::now())?;
/// assert!(findings.iter().all(|finding| finding.severity != mailferry::Severity::Error));
/// # Ok::<(), mailferry::Error>(())
/// ```
#[derive(Debug)]
pub struct Maildir(Dir);

impl Maildir {
    /// Opens the Maildir at `path`: a directory with at least two of cur/, new/ and tmp/.
    ///
    /// # Errors
    /// [`Error::NotAMailbox`], [`Error::Io`].
    pub fn open(path: &Path) -> Result<Maildir> {
        detect::require_maildir(path)?;
        Dir::open(path).map(Maildir)
    }

    /// Opens the Maildir at `path`, or creates it with mode 0700 where there is none.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path) -> Result<Maildir> {
        let is_new = !path.exists();
        let dir = create::open_or_create(path)?;
        if is_new {
            durable::set_mode(&dir, DIR_MODE).map_err(Error::io("set its mode", path))?;
        }
        Ok(Maildir(dir))
    }

    /// Lists the messages in new/ and cur/.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn entries(&self) -> Result<Vec<MaildirEntry>> {
        let entry = |entry: list::Entry| MaildirEntry {
            path: entry.path(self.0.path()),
            flags: entry.parsed().flags().to_string(),
        };
        Ok(list::list_messages(self.0.path(), list::NO_CLOCK)?.into_iter().map(entry).collect())
    }

    /// Delivers `message` into new/ and returns its path. It is on stable storage when this returns. `now` and
    /// `host` become part of its name. The umask decides its mode.
    ///
    /// # Errors
    /// [`Error::Io`]; the Maildir is unchanged then.
    pub fn deliver(&self, message: &[u8], now: SystemTime, host: &str) -> Result<PathBuf> {
        let size = message.len() as u64;
        let wire_size = size + memchr::memchr_iter(b'\n', message).count() as u64
            - memchr::memmem::find_iter(message, b"\r\n").count() as u64;
        let meta = MessageMeta { size, wire_size, flags: Flags::default() };
        let stamp = Stamp { now: since_epoch(now), pid: std::process::id(), host };
        let mut delivery = Delivery::write(&self.0, stamp, meta, |write| write(message))?;
        flush_messages(iter::once(&mut delivery))?;
        delivery.publish()?;
        flush_names(iter::once(&mut delivery))?;
        Ok(delivery.commit())
    }

    /// Reads every message and returns what is damaged or odd. `now` decides what is stale.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn verify(&self, now: SystemTime) -> Result<Vec<Finding>> {
        let options =
            VerifyOptions { depth: Depth::Contents, manifest: None, source: None, open_source: None };
        let context = Context {
            cancel: Cancel::never(),
            events: &NoEvents,
            now: since_epoch(now).as_secs() as i64,
            host: "",
            locks: &LockOptions::none(),
            collect_details: false,
        };
        Ok(verify::verify_maildir(self.0.path(), &options, &context)?.findings)
    }
}

/// A message file of a [`Maildir`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaildirEntry {
    path: PathBuf,
    flags: String,
}

impl MaildirEntry {
    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the file name.
    pub fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }

    /// Returns the flags of maildir(5), such as `RS`.
    pub fn flags(&self) -> &str {
        &self.flags
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
