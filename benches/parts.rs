//! The steps that each message of a conversion goes through, compared with other readers:
//! `cargo bench --locked --features parts --bench parts`. The mail is generated: plain messages of 4 KB.
#![allow(missing_docs)]

use std::io::{Cursor, Write};
use std::sync::LazyLock;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use mailferry::{Mbox, parts};

const FROM: &[u8] = b"From ann@example.org Sun Sep  9 01:46:40 2001\n";

/// 16 MB.
static MBOX: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let messages = (0..4000).map(|n| [FROM, &message(n), b"\n"].concat());
    messages.collect::<Vec<_>>().concat()
});
static MESSAGE: LazyLock<Vec<u8>> = LazyLock::new(|| message(1));

fn main() {
    divan::main();
}

/// Returns message `n` without quoting.
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

// A whole mbox, by mailferry and by other readers.

#[divan::bench]
fn mbox_scan(bencher: Bencher<'_, '_>) {
    let text = &*MBOX;
    bencher.counter(BytesCount::new(text.len())).bench(|| parts::candidates(black_box(text)));
}

#[divan::bench]
fn mbox_classify(bencher: Bencher<'_, '_>) {
    let text = &*MBOX;
    bencher.counter(BytesCount::new(text.len())).bench(parts::decision(black_box(text)));
}

#[divan::bench]
fn mbox_read(bencher: Bencher<'_, '_>) {
    let text = &*MBOX;
    bencher
        .counter(BytesCount::new(text.len()))
        .bench(|| Mbox::parse(black_box(text)).unwrap().messages().count());
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
    parts::from_line(black_box(FROM))
}

#[divan::bench]
fn message_unquote(bencher: Bencher<'_, '_>) {
    let text = &*MESSAGE;
    bencher.counter(BytesCount::new(text.len())).bench(parts::unquoting(black_box(text)));
}

#[divan::bench]
fn message_name(bencher: Bencher<'_, '_>) {
    let text = &*MESSAGE;
    bencher.counter(BytesCount::new(text.len())).bench(|| parts::name(black_box(text)));
}

#[divan::bench]
fn message_line_of_manifest(bencher: Bencher<'_, '_>) {
    let text = &*MESSAGE;
    bencher.counter(BytesCount::new(text.len())).bench(|| parts::manifest_line(FROM, black_box(text)));
}

#[divan::bench]
fn message_as_mboxrd(bencher: Bencher<'_, '_>) {
    let text = &*MESSAGE;
    bencher
        .counter(BytesCount::new(text.len()))
        .bench(|| parts::mboxrd(FROM, black_box(text), &mut Vec::with_capacity(8192)));
}

/// Writes 1,000 messages into a new Maildir in the temporary directory, without a flush.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn maildir_write(bencher: Bencher<'_, '_>) {
    let messages: Vec<Vec<u8>> = (0..1000).map(message).collect();
    let inputs = || {
        let dir = tempfile::tempdir().unwrap();
        (parts::Writer::open(&dir.path().join("Maildir")), dir)
    };
    // The result is dropped outside of the measured time: that removes the Maildir.
    bencher.counter(ItemsCount::new(messages.len())).with_inputs(inputs).bench_values(|(writer, dir)| {
        messages.chunks(64).for_each(|batch| writer.stage(batch));
        (writer, dir)
    });
}
