//! Comparison with mbox-reader. Where it finds a message, mailferry finds the same one. It loses messages, so
//! it cannot be the reader.
#![allow(missing_docs)]

use std::path::Path;

use mailferry::Mbox;

/// Returns the offsets of mailferry's From_ lines, and of the ends of messages in mbox-reader.
fn offsets(path: &Path) -> (Vec<usize>, Vec<usize>) {
    let text = std::fs::read(path).unwrap();
    let mbox = Mbox::parse(&text).unwrap();
    let ours = mbox.messages().map(|message| message.offset() as usize).collect();
    let theirs = mbox_reader::MboxFile::from_file(path).unwrap().iter().map(|e| e.offset()).collect();
    (ours, theirs)
}

#[test]
fn both_split_plain_mail_alike_except_the_last_message() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for name in ["inbox.mbox", "crlf.mbox"] {
        let (ours, theirs) = offsets(&fixtures.join(name));
        assert!(ours.len() > 1, "{name}");
        // Each entry has the offset of the *next* From_ line, so there is none for the last message.
        assert_eq!(theirs, ours[1..], "{name}");
    }
}

#[test]
fn prose_that_begins_with_from_does_not_split_a_message() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mbox");
    let text = "From a@example.org Mon Jan  1 10:00:00 2001\nSubject: x\n\nFrom here on it rains.\n\n\
                From b@example.org Mon Jan  1 10:00:00 2001\nSubject: y\n\nend\n";
    std::fs::write(&path, text).unwrap();
    let (ours, theirs) = offsets(&path);
    assert_eq!((ours.len(), theirs.len()), (2, 2));
    assert_ne!(theirs, ours[1..], "mbox-reader cuts at the prose");
}
