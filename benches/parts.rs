//! The parts that each message of a conversion goes through, one by one, with other readers beside ours:
//! `cargo bench --locked --bench parts`. The mail is made here, plain messages of 4 KB.
#![allow(missing_docs)]

use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use mailferry::mailbox::context::Cancel;
use mailferry::mailbox::maildir::name::{self, BaseName, Unique};
use mailferry::mailbox::maildir::write::{
    Fsync, MaildirWriter, NewMessage, Ownership, Subdir, WriterOptions,
};
use mailferry::mailbox::manifest::{self, Bytes, Digest, MessageRecord};
use mailferry::mailbox::mbox::boundary::{self, BoundaryOptions, Overrides};
use mailferry::mailbox::mbox::from_line;
use mailferry::mailbox::mbox::quote::{self, Quoting};
use mailferry::mailbox::mbox::read::{ReadOptions, read};
use mailferry::mailbox::mbox::scan::scan;
use mailferry::mailbox::mbox::scan_hooks::ScanHooks;
use mailferry::mailbox::mbox::variant::Variant;
use mailferry::mailbox::mbox::write::{FromLineSpec, MboxMessage, write};
use mailferry::mailbox::message::header;

const FROM: &[u8] = b"From ann@example.org Sun Sep  9 01:46:40 2001\n";

/// 16 MB.
static MBOX: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let letters = (0..4000).map(|n| [FROM, &message(n), b"\n"].concat());
    letters.collect::<Vec<_>>().concat()
});
static MESSAGE: LazyLock<Vec<u8>> = LazyLock::new(|| message(1));

fn main() {
    divan::main();
}

/// Message `n`, unquoted.
fn message(n: usize) -> Vec<u8> {
    let mut text = format!(
        "Return-Path: <ann@example.org>\nReceived: from a.example.org by b.example.org; \
         Sun, 9 Sep 2001 01:46:40 +0000\nMessage-ID: <{n}@example.org>\nFrom: Ann <ann@example.org>\n\
         To: list@example.org\nSubject: number {n}\nDate: Sun, 9 Sep 2001 01:46:40 +0000\n\n"
    );
    for line in 0..55 {
        text += &format!("line {line} of a letter of the usual size, number {n}, that goes on for a while\n");
    }
    text.into_bytes()
}

// All of an mbox, by us and by other readers.

#[divan::bench]
fn mbox_scan(bencher: Bencher<'_, '_>) {
    let text = &*MBOX;
    bencher.counter(BytesCount::new(text.len())).bench(|| scan(black_box(text), ScanHooks::none()));
}

#[divan::bench]
fn mbox_classify(bencher: Bencher<'_, '_>) {
    let (text, overrules) = (&*MBOX, Overrides::default());
    let candidates = scan(text, ScanHooks::none()).candidates;
    bencher.counter(BytesCount::new(text.len())).bench(|| {
        let known = BoundaryOptions {
            framed: false,
            quotes_all: false,
            overrides: &overrules,
            keep_candidates: false,
        };
        boundary::decide(black_box(text), &candidates, known, ScanHooks::none())
    });
}

#[divan::bench]
fn mbox_read(bencher: Bencher<'_, '_>) {
    let text = &*MBOX;
    bencher.counter(BytesCount::new(text.len())).bench(|| {
        read(black_box(text), &ReadOptions::default(), ScanHooks::none()).unwrap().messages().len()
    });
}

#[divan::bench]
fn mbox_read_by_mbox_reader(bencher: Bencher<'_, '_>) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&MBOX).unwrap();
    bencher
        .counter(BytesCount::new(MBOX.len()))
        .bench(|| mbox_reader::MboxFile::from_file(black_box(file.path())).unwrap().iter().count());
}

#[divan::bench]
fn mbox_read_by_mail_parser(bencher: Bencher<'_, '_>) {
    let text = &*MBOX;
    bencher
        .counter(BytesCount::new(text.len()))
        .bench(|| mail_parser::mailbox::mbox::MessageIterator::new(Cursor::new(black_box(text))).count());
}

// One message of 4 KB.

#[divan::bench]
fn message_from_line() -> usize {
    from_line::parse(black_box(FROM)).sender.len()
}

#[divan::bench]
fn message_unquote(bencher: Bencher<'_, '_>) {
    let text = &*MESSAGE;
    let body_at = header::split(text).body_at(text);
    bencher
        .counter(BytesCount::new(text.len()))
        .bench(|| quote::unquote(black_box(text), body_at, Quoting::Any, &mut Vec::with_capacity(1)));
}

#[divan::bench]
fn message_name(bencher: Bencher<'_, '_>) {
    let text = &*MESSAGE;
    bencher.counter(BytesCount::new(text.len())).bench(|| named(black_box(text)));
}

#[divan::bench]
fn message_line_of_manifest(bencher: Bencher<'_, '_>) {
    let text = &*MESSAGE;
    bencher.counter(BytesCount::new(text.len())).bench(|| manifest::to_line(&recorded(black_box(text))));
}

#[divan::bench]
fn message_as_mboxrd(bencher: Bencher<'_, '_>) {
    let text = &*MESSAGE;
    let envelope = FromLineSpec::Verbatim(FROM);
    let letter = MboxMessage { message: text, envelope, status: None, keywords: None };
    bencher
        .counter(BytesCount::new(text.len()))
        .bench(|| write(Variant::Mboxrd, black_box(&letter), &mut Vec::with_capacity(8192)).unwrap());
}

/// 1,000 messages into a new Maildir, on whatever the temporary directory is; nothing is flushed.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn maildir_write(bencher: Bencher<'_, '_>) {
    let letters: Vec<Vec<u8>> = (0..1000).map(message).collect();
    let open = |path: &Path| {
        let opening = WriterOptions {
            path,
            fsync: Fsync::None,
            lock_timeout: Duration::ZERO,
            resume: false,
            sync_group: None,
            ownership: Ownership::default(),
            cancel: Cancel::never(),
        };
        MaildirWriter::open(opening).unwrap().0
    };
    let inputs = || {
        let dir = tempfile::tempdir().unwrap();
        (open(&dir.path().join("Maildir")), dir)
    };
    // What is returned is dropped outside of the time: that removes all of it.
    bencher.counter(ItemsCount::new(letters.len())).with_inputs(inputs).bench_values(|(filling, dir)| {
        for batch in letters.chunks(64) {
            let incoming = batch.iter().map(|text| {
                let base = named(text);
                let name = name::bare(&base);
                let (place, pieces, mtime) = (Subdir::New, vec![&text[..]], 1_000_000_000);
                NewMessage { folders: &[0], subdir: place, base, name, pieces, mtime, existing: None }
            });
            filling.stage(&incoming.collect::<Vec<_>>()).unwrap();
        }
        (filling, dir)
    });
}

fn named(text: &[u8]) -> Vec<u8> {
    let size = text.len() as u64;
    let wire_size = size + memchr::memchr_iter(b'\n', text).count() as u64;
    let unique = Unique::of(text);
    BaseName { epoch: 1_000_000_000, unique, copy: 0, host: "example", size, wire_size }.to_bytes()
}

fn recorded(text: &[u8]) -> MessageRecord {
    MessageRecord {
        at: 4711,
        len: text.len() as u64,
        from: Bytes(FROM.to_vec()),
        name: Bytes(b"1000000000.0123456789abcdef01234567.example,S=4096,W=4150".to_vec()),
        source: Digest::of(text),
        file: None,
        content: None,
        quotes: Vec::new(),
        eols: Vec::new(),
        stripped: Vec::new(),
        date: "from".into(),
        flags: String::new(),
        keywords: Vec::new(),
        unlettered: Vec::new(),
        folders: Vec::new(),
        duplicate: false,
        verbatim: None,
        original: None,
    }
}
