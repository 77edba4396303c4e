//! Steps of a conversion, one by one, for `benches/parts.rs`.

use std::path::Path;
use std::time::Duration;

use crate::mailbox::Cancel;
use crate::mailbox::fs::Modes;
use crate::mailbox::maildir::write::MessageContent;
use crate::mailbox::maildir::write::WriterOptions;
use crate::mailbox::maildir::{BaseName, Fsync, MaildirWriter, NewMessage, Subdir, Unique, name};
use crate::mailbox::manifest::{self, Bytes, Digest, MessageRecord};
use crate::mailbox::mbox::scan::scan;
use crate::mailbox::mbox::verdict::{BoundaryOptions, Overrides};
use crate::mailbox::mbox::write::{FromLineSpec, MboxMessage, UidFields, write};
use crate::mailbox::mbox::{Quoting, ScanHooks, Variant, boundary, from_line, quote};
use crate::mailbox::message::header;

/// Counts the candidates for boundaries.
pub fn candidates(text: &[u8]) -> usize {
    scan(text, ScanHooks::none()).candidates.len()
}

/// Scans now, and returns a function that decides the boundaries.
pub fn decision(text: &[u8]) -> impl Fn() {
    let (candidates, overrides) = (scan(text, ScanHooks::none()).candidates, Overrides::default());
    move || {
        let options = BoundaryOptions {
            framed: false,
            quotes_all: false,
            overrides: &overrides,
            keep_candidates: false,
        };
        std::hint::black_box(boundary::decide(text, &candidates, options, ScanHooks::none()));
    }
}

/// Parses a From_ line and returns the length of its sender.
pub fn from_line(line: &[u8]) -> usize {
    from_line::parse(line).sender.len()
}

/// Returns a function that undoes the quoting of a message.
pub fn unquoting(message: &[u8]) -> impl Fn() -> usize {
    let body_at = header::split(message).body_at(message);
    move || quote::unquote(message, body_at, Quoting::Any, &mut Vec::with_capacity(1))
}

/// Returns the base name of a message.
pub fn name(message: &[u8]) -> Vec<u8> {
    let size = message.len() as u64;
    let wire_size = size + memchr::memchr_iter(b'\n', message).count() as u64;
    let unique = Unique::of(Digest::of(message), b"");
    BaseName { epoch: 1_000_000_000, unique, copy: 0, host: "example", size, wire_size }.to_bytes()
}

/// Returns the line of a message in the manifest.
pub fn manifest_line(from_line: &[u8], message: &[u8]) -> Vec<u8> {
    manifest::to_line(&MessageRecord {
        at: 4711,
        len: message.len() as u64,
        from: Bytes(from_line.to_vec()),
        name: Bytes(b"1000000000.0123456789abcdef01234567.example,S=4096,W=4150".to_vec()),
        source: Digest::of(message),
        date: "from".into(),
        ..MessageRecord::default()
    })
}

/// Writes a message as mboxrd into `out`.
pub fn mboxrd(from_line: &[u8], message: &[u8], out: &mut Vec<u8>) {
    let envelope = FromLineSpec::Verbatim(from_line);
    let message =
        MboxMessage { message, from_line: envelope, status: None, keywords: None, uids: UidFields::Keep };
    write(Variant::Mboxrd, &message, out).expect("mboxrd can represent it");
}

/// A new Maildir that is written to without a flush.
pub struct Writer(MaildirWriter);

impl Writer {
    /// Creates the Maildir.
    pub fn open(path: &Path) -> Writer {
        let options = WriterOptions {
            path,
            fsync: Fsync::None,
            lock_timeout: Duration::ZERO,
            resume: false,
            sync_group: None,
            modes: Modes::default(),
            cancel: Cancel::never(),
        };
        Writer(MaildirWriter::open(options).expect("a new directory").0)
    }

    /// Stages messages.
    pub fn stage(&self, messages: &[Vec<u8>]) {
        let messages: Vec<_> = messages.iter().map(|text| new_message(text)).collect();
        self.0.stage(&messages).expect("space for the messages");
    }
}

fn new_message(text: &[u8]) -> NewMessage<'_> {
    let base = name(text);
    let name = name::bare(&base);
    let (content, mtime) = (MessageContent::Slices(vec![text].into()), 1_000_000_000);
    NewMessage {
        folders: &[0],
        subdir: Subdir::New,
        base,
        name,
        further_names: Vec::new(),
        content,
        mtime,
        existing: None,
    }
}
