//! `eml:DIR`: one file per message, with its bytes as they are.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::failures::Disk;
use crate::support::*;

const MBOX: &str = "From a@b Mon Jan  3 10:00:05 2005\nFrom: a@b\nSubject: =?utf-8?q?caf=C3=A9?= one/two\nStatus: RO\n\n\
                    >From here\nx\n\nFrom c@d Tue Jan  4 23:59:59 2005\nFrom: c@d\n\nno subject\n\n";
const FIRST: &str = "From: a@b\nSubject: =?utf-8?q?caf=C3=A9?= one/two\nStatus: RO\n\nFrom here\nx\n";
const SECOND: &str = "From: c@d\n\nno subject\n";

/// Returns the bytes and the mtime of each file below a directory.
fn files(root: &Path) -> BTreeMap<PathBuf, (Vec<u8>, i64)> {
    let mut files = BTreeMap::new();
    if !root.exists() {
        return files;
    }
    for path in walkdir::WalkDir::new(root).into_iter().map(|entry| entry.unwrap().into_path()) {
        if path.is_file() {
            let name = path.strip_prefix(root).unwrap().to_owned();
            files.insert(name, (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().mtime()));
        }
    }
    files
}

fn names_in(root: &Path) -> Vec<String> {
    files(root).keys().map(|name| name.to_str().unwrap().to_owned()).collect()
}

/// Runs `convert SOURCE eml:DESTINATION`, and returns found, written and already present.
#[track_caller]
fn counts(source: &Path, destination: &Path) -> [u64; 3] {
    let summary = convert([source.as_os_str(), eml(destination).as_ref()]).summary();
    ["messages_found", "written", "already_present"].map(|key| count(&summary, key))
}

fn eml(destination: &Path) -> String {
    format!("eml:{}", destination.display())
}

/// Many messages, all different.
fn many() -> String {
    (0..300)
        .map(|n| format!("From a@b Mon Jan  3 10:00:05 2005\nSubject: number {n}\nFrom: a\n\nx {n}\n\n"))
        .collect()
}

#[test]
fn each_message_is_a_file_with_its_bytes_date_and_subject() {
    let (scratch, mbox) = file("in.mbox", MBOX);
    let out = scratch.path().join("out");
    assert_eq!(counts(&mbox, &out), [2, 2, 0]);
    // The hash is that of the bytes in the source, with their quoting.
    let hash = |text: &str| blake3::hash(text.as_bytes()).to_hex()[..16].to_owned();
    let first =
        format!("2005-01-03-café-one-two-{}.eml", hash(&FIRST.replace("\nFrom here", "\n>From here")));
    let second = format!("2005-01-04-no-subject-{}.eml", hash(SECOND));
    let expected = [(first, (FIRST.into(), 1_104_746_405)), (second, (SECOND.into(), 1_104_883_199))];
    let expected: BTreeMap<PathBuf, _> =
        expected.into_iter().map(|(name, file)| (name.into(), file)).collect();
    assert_eq!(files(&out), expected);
    run(mailferry(["verify".as_ref(), mbox.as_os_str(), "--against".as_ref(), out.as_os_str()])).exits(0);
    // Written is read.
    let maildir = scratch.path().join("Maildir");
    convert([&out, &maildir]);
    let mut read: Vec<Vec<u8>> = files(&maildir).into_values().map(|(bytes, _)| bytes).collect();
    read.retain(|bytes| bytes.starts_with(b"From: "));
    read.sort();
    assert_eq!(read, [FIRST.as_bytes(), SECOND.as_bytes()]);
}

#[test]
fn the_same_command_again_writes_nothing_and_restores_what_is_gone() {
    let (scratch, mbox) = file("in.mbox", [MBOX, MBOX].concat());
    let out = scratch.path().join("out");
    assert_eq!(counts(&mbox, &out), [4, 4, 0]);
    let written = files(&out);
    assert_eq!(written.len(), 4, "two equal messages are two files");
    assert_eq!(counts(&mbox, &out), [4, 0, 4]);
    assert_eq!(files(&out), written);
    let gone = out.join(written.keys().last().unwrap());
    fs::remove_file(&gone).unwrap();
    assert_eq!(counts(&mbox, &out), [4, 1, 3]);
    assert_eq!(files(&out), written);
}

#[test]
fn a_name_that_is_taken_gets_the_next_free_suffix() {
    let (scratch, mbox) = file("in.mbox", MBOX);
    let out = scratch.path().join("out");
    counts(&mbox, &out);
    let second = names_in(&out).pop().unwrap();
    fs::write(out.join(&second), "another").unwrap();
    assert_eq!(counts(&mbox, &out), [2, 1, 1]);
    assert_eq!(fs::read(out.join(&second)).unwrap(), b"another");
    assert_eq!(fs::read_to_string(out.join(second.replace(".eml", "_1.eml"))).unwrap(), SECOND);
    assert_eq!(counts(&mbox, &out), [2, 0, 2]);
}

#[test]
fn the_flags_of_a_maildir_are_reported_unless_the_header_has_them() {
    let (scratch, mbox) = file("in.mbox", MBOX.replace("Status: RO", "X-Other: RO"));
    let (maildir, out) = (scratch.path().join("Maildir"), scratch.path().join("out"));
    let flags_left_out = |maildir: &Path| {
        let run = convert([maildir.as_os_str(), eml(&out).as_ref()]);
        run.complaints().iter().filter(|code| code.contains("flags-left-out")).count()
    };
    convert([&mbox, &maildir]);
    assert_eq!(flags_left_out(&maildir), 0);
    for entry in fs::read_dir(maildir.join("new")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        fs::rename(entry.path(), maildir.join("cur").join(name + ":2,F")).unwrap();
    }
    assert_eq!(flags_left_out(&maildir), 1);
    let (_scratch, mbox) = file("in.mbox", MBOX);
    let maildir = mbox.with_file_name("Maildir");
    convert([&mbox, &maildir]);
    assert_eq!(flags_left_out(&maildir), 0);
}

#[test]
fn folders_become_directories_and_inbox_the_destination() {
    let scratch = scratch();
    let (tree, out, back) =
        (scratch.path().join("Mail"), scratch.path().join("out"), scratch.path().join("back"));
    fs::create_dir_all(tree.join("Lists.sbd")).unwrap();
    for name in ["Inbox", "Lists", "Lists.sbd/Grüße", "cur"] {
        fs::write(tree.join(name), MBOX).unwrap();
    }
    assert_eq!(counts(&tree, &out), [8, 8, 0]);
    let directories: Vec<_> =
        files(&out).keys().filter_map(|name| name.parent().map(Path::to_owned)).collect();
    let directories =
        |name: &str| directories.iter().filter(|directory| directory == &Path::new(name)).count();
    assert_eq!(["", "Lists", "Lists/Grüße", "\\63ur"].map(directories), [2, 2, 2, 2]);
    assert_eq!(counts(&tree, &out), [8, 0, 8]);
    convert([&out, &back]);
    for folder in ["", ".Lists", ".Lists.Gr&APwA3w-e", ".cur"] {
        assert_eq!(names(&back.join(folder).join("new")).len(), 1, "{folder}");
        assert_eq!(names(&back.join(folder).join("cur")).len(), 1, "{folder}");
    }
    run(mailferry(["verify".as_ref(), tree.as_os_str(), "--against".as_ref(), out.as_os_str()])).exits(0);
}

#[test]
fn it_is_only_a_destination_and_only_added_to() {
    let (scratch, mbox) = file("in.mbox", MBOX);
    let out = scratch.path().join("out");
    let eml = eml(&out);
    let path = mbox.to_str().unwrap();
    for (args, word) in [
        (&["convert", &eml, "x"][..], "eml:"),
        (&["convert", "--append", path, &eml], "--append"),
        (&["convert", "--force", path, &eml], "--force"),
        (&["convert", "--dedupe", "content", path, &eml], "--dedupe"),
        (&["convert", path, "eml:-"], "eml:"),
        (&["verify", &eml], "eml:"),
        (&["inspect", &eml], "eml:"),
    ] {
        run(mailferry(args)).exits(2).complains(&[word]);
    }
    run(convert_command([path, &format!("eml:{path}")])).exits(3).complains(&["not a directory"]);
    run(convert_command([path, "eml:/nonexistent/x/y"])).exits(3).complains(&["--parents"]);
    convert(["-n", path, &eml]);
    assert!(!out.exists());
    let run = run_with_stdin(convert_command(["-", &eml]), MBOX).exits(0);
    assert_eq!(count(&run.summary(), "written"), 2);
}

#[test]
fn a_message_that_reads_back_differently_is_named() {
    let (scratch, mbox) =
        file("in.mbox", format!("{MBOX}From a@b Wed Jan  5 10:00:05 2005\n\nonly a body\n\n"));
    let out = scratch.path().join("out");
    let run = convert([mbox.to_str().unwrap(), &eml(&out)]);
    assert!(run.complaints().contains(&"read-back-differs".to_owned()), "{:?}", run.complaints());
    assert_eq!(names_in(&out).len(), 3);
}

#[test]
fn after_a_fault_the_same_command_gives_the_whole_result() {
    if !have_strace() {
        return;
    }
    let (scratch, mbox) = file("in.mbox", many());
    let (whole, out) = (scratch.path().join("whole"), scratch.path().join("out"));
    counts(&mbox, &whole);
    let (expected, log) = (files(&whole), scratch.path().join("log"));
    for fault in [
        "mkdirat:signal=KILL:when=2",
        "openat,openat2:signal=KILL:when=200",
        "write:signal=KILL:when=150",
        "write:error=ENOSPC:when=150",
        "utimensat:error=EIO:when=20",
        "syncfs:error=EIO:when=1",
        "syncfs:signal=KILL:when=1",
        "renameat2:signal=KILL:when=100",
        "renameat2:signal=TERM:when=100",
        "renameat2:error=EIO:when=100",
        "fsync:error=EIO:when=1",
    ] {
        let inject = format!("inject={fault}");
        let strace = ["strace", "-f", "-qq", "-o", log.to_str().unwrap(), "-e", &inject, BINARY];
        let mut command = wrapped("exec \"$@\"", strace, ["convert", "-j1"]);
        command.args([mbox.to_str().unwrap(), &eml(&out)]);
        let run = run(command);
        assert_ne!(run.code, Some(0), "{fault}: {run:?}");
        // What is visible is whole.
        for (name, file) in files(&out) {
            if !name.starts_with(".mailferry-partial") {
                assert_eq!(expected.get(&name), Some(&file), "{fault}");
            }
        }
        counts(&mbox, &out);
        assert_eq!(files(&out), expected, "{fault}");
        assert_eq!(names(&out).len(), expected.len(), "{fault}");
        fs::remove_dir_all(&out).unwrap();
    }
}

#[test]
fn a_full_disk_leaves_nothing() {
    let Some(disk) = Disk::of("1m") else { return };
    let body =
        format!("From a@b Mon Jan  3 10:00:05 2005\nSubject: large\nFrom: a\n\n{}\n\n", "word ".repeat(2000));
    let (_scratch, mbox) = file("in.mbox", body.repeat(200));
    let out = disk.path.join("out");
    run(convert_command([mbox.to_str().unwrap(), &eml(&out)])).exits(3).complains(&["not enough space"]);
    assert_eq!(names(&disk.path), [""; 0]);
    fs::create_dir(&out).unwrap();
    run(convert_command([mbox.to_str().unwrap(), &eml(&out)])).exits(3).complains(&["no space left"]);
    assert_eq!(names(&out), [""; 0]);
}

#[test]
fn each_year_is_a_directory_if_asked_for() {
    let (scratch, mbox) = file("in.mbox", MBOX.replace("Jan  4 23:59:59 2005", "Jan  4 23:59:59 2006"));
    let (tree, out) = (scratch.path().join("Mail"), scratch.path().join("out"));
    fs::create_dir(&tree).unwrap();
    fs::copy(&mbox, tree.join("Inbox")).unwrap();
    for source in [&mbox, &tree] {
        for written in [2, 0] {
            let summary = convert(["--split=year", source.to_str().unwrap(), &eml(&out)]).summary();
            assert_eq!(count(&summary, "written"), written, "{source:?}");
            let names = names_in(&out);
            assert!(names.iter().any(|name| name.starts_with("2005/2005-01-03-")), "{names:?}");
            assert!(names.iter().any(|name| name.starts_with("2006/2006-01-04-")), "{names:?}");
        }
        fs::remove_dir_all(&out).unwrap();
    }
}

#[test]
fn a_selection_by_date_leaves_the_others_out() {
    let (scratch, mbox) = file("in.mbox", MBOX);
    let out = scratch.path().join("out");
    let summary = convert([mbox.to_str().unwrap(), &eml(&out), "--since=2005-01-04"]).summary();
    assert_eq!((count(&summary, "written"), count(&summary, "not_selected")), (1, 1));
    assert_eq!(names_in(&out).len(), 1);
    assert_eq!(counts(&mbox, &out), [2, 1, 1]);
}
