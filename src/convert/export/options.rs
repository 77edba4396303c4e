//! The sources and the options of an export.

use std::collections::HashSet;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use jiff::tz::TimeZone;

use crate::convert::{Input, UidPolicy};
use crate::mailbox::fs::sync_group::SyncGroup;
use crate::mailbox::fs::{Modes, ignore_poison};
use crate::mailbox::maildir::{Entry, Fsync};
use crate::mailbox::manifest::{Digest, ManifestLocation};
use crate::mailbox::mbox::Variant;
use crate::mailbox::message::{Eol, Selection};

/// A source of an export.
pub(crate) enum ExportSource {
    /// An mbox.
    Mbox(Box<Input>),
    /// A Maildir.
    Maildir(PathBuf),
}

/// How an mbox, or a directory of files with one message each, is written.
#[derive(Clone)]
pub(crate) struct ExportOptions<'a> {
    /// The mbox, or `-` for a stream; or the directory.
    pub destination: &'a Path,
    /// The variant; None: mboxrd, or that of the mbox which is appended to.
    pub variant: Option<Variant>,
    /// The treatment of an mbox that exists.
    pub output: OutputMode<'a>,
    pub selection: Selection,
    /// Writes an mbox for each year in this time zone, in a directory.
    pub split: Option<TimeZone>,
    /// Line ends of the messages written.
    pub eol: Eol,
    /// The zone of From_ lines that name none.
    pub from_zone: Option<TimeZone>,
    /// The manifest of each Maildir, which has the order of its messages.
    pub manifest: ManifestLocation<'a>,
    /// The messages of Maildirs that an earlier round has exported.
    pub exported: Option<&'a ExportedMessages>,
    /// When to flush.
    pub fsync: Fsync,
    /// The other directories of files that are flushed with this one.
    pub sync_group: Option<&'a Arc<SyncGroup>>,
    /// Owner and mode of a new mbox.
    pub modes: Modes,
    /// Write nothing.
    pub dry_run: bool,
    pub uids: UidPolicy,
}

/// The messages of Maildirs that were read, as hashes of Maildir and base name.
#[derive(Default)]
pub(crate) struct ExportedMessages(Mutex<HashSet<Digest>>);

impl ExportedMessages {
    pub(super) fn insert(&self, maildir: &Path, entry: &Entry) {
        ignore_poison(self.0.lock()).insert(ExportedMessages::key(maildir, entry));
    }

    pub(super) fn contains(&self, maildir: &Path, entry: &Entry) -> bool {
        ignore_poison(self.0.lock()).contains(&ExportedMessages::key(maildir, entry))
    }

    fn key(maildir: &Path, entry: &Entry) -> Digest {
        Digest::of(&[maildir.as_os_str().as_bytes(), b"\0", entry.parsed().base].concat())
    }
}

/// A way to write messages.
#[derive(Clone, Copy)]
pub(crate) enum OutputMode<'a> {
    /// As a new mbox, which appears complete.
    New,
    /// As a new mbox, which replaces an existing one.
    Replace,
    /// At the end of an existing file, under its locks.
    Append,
    /// At the end of the mbox that this run has written. Where there is no more mail, the mbox is not opened.
    Continue,
    /// To a stream.
    Stream(&'a Mutex<dyn Write + Send>),
    /// As a file each in a directory, which may exist.
    Files,
}
