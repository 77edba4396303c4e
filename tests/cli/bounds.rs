//! Memory and time have bounds that do not depend on what is in a mailbox.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::*;

/// In KiB. Pages of mapped files count, too.
const LITTLE: u64 = 64 << 10;
const HEADER: &str = "From: ann@example.org\nSubject: large\nDate: Mon, 1 Jan 2001 10:00:00 +0000\n\n";
const FROM_LINE: &str = "From ann@example.org Mon Jan  1 10:00:00 2001\n";

/// A message of 150 MB, as an mbox and in a Maildir.
struct LargeMessage {
    scratch: TempDir,
    mbox: PathBuf,
    maildir: PathBuf,
}

impl LargeMessage {
    fn new(body: &[u8]) -> LargeMessage {
        const SIZE: usize = 150_000_000;
        let (scratch, maildir) = empty_maildir();
        let mbox = scratch.path().join("large.mbox");
        let message = maildir.join("cur/978343200.M1.h:2,S");
        for (path, before, after) in [(&mbox, FROM_LINE, "\n"), (&message, "", "")] {
            let mut file = File::create(path).unwrap();
            write!(file, "{before}{HEADER}").unwrap();
            (0..SIZE / body.len()).for_each(|_| file.write_all(body).unwrap());
            write!(file, "\n{after}").unwrap();
        }
        LargeMessage { scratch, mbox, maildir }
    }

    fn path(&self, name: &str) -> String {
        self.scratch.path().join(name).to_str().unwrap().to_owned()
    }
}

fn empty_maildir() -> (TempDir, PathBuf) {
    let scratch = scratch();
    let maildir = scratch.path().join("Maildir");
    ["tmp", "new", "cur"].iter().for_each(|name| fs::create_dir_all(maildir.join(name)).unwrap());
    (scratch, maildir)
}

/// Runs a command with a path as its last argument, and this text on standard input.
fn run_on(args: &[&str], path: &Path, input: &str) -> Run {
    let mut command = mailferry(args);
    command.arg(path);
    run_with_stdin(command, input)
}

#[track_caller]
fn takes_little_memory(command: &[&str], codes: &[i32]) {
    let (code, memory) = peak_memory(command, Path::new("/dev/null"));
    assert!(codes.contains(&code), "{command:?}: exit {code}");
    assert!(memory < LITTLE, "{command:?}: {memory} KiB");
    note!("{command:?}: {memory} KiB at most");
}

#[test]
fn a_large_message_takes_little_memory_in_every_command() {
    if !have("python3", &["-c", ""]) {
        skip!("python3 is not here");
    }
    let lines = [&[b'x'; 70][..], b"\n"].concat().repeat(1000);
    for body in [[&lines[..], b">From a quoted line\n"].concat(), vec![b'z'; 1 << 20]] {
        let large = LargeMessage::new(&body);
        let (mbox, maildir) = (large.mbox.to_str().unwrap(), large.maildir.to_str().unwrap());
        let [copy, converted, out, restored] =
            ["copy", "converted", "out", "restored"].map(|name| large.path(name));
        takes_little_memory(&["verify", "-j2", mbox], &[0]);
        takes_little_memory(&["verify", "-j2", maildir], &[0]);
        takes_little_memory(&["inspect", mbox], &[0]);
        takes_little_memory(&["inspect", mbox, "1"], &[0]);
        takes_little_memory(&["inspect", maildir], &[0]);
        takes_little_memory(&["inspect", maildir, "1"], &[0]);
        takes_little_memory(&["convert", "-j2", maildir, &format!("maildir:{copy}")], &[0]);
        takes_little_memory(&["convert", "-j2", mbox, &converted], &[0]);
        takes_little_memory(&["verify", "-j2", &converted], &[0]);
        takes_little_memory(&["verify", "-j2", "--against", mbox, &converted], &[0]);
        takes_little_memory(&["convert", "--exact", &converted, &restored], &[0]);
        same_file(&large.mbox, Path::new(&restored));
        takes_little_memory(&["convert", "-j2", &converted, &out], &[0]);
        takes_little_memory(&["verify", "-j2", "--against", mbox, &out], &[0]);
        for made in [&copy, &converted] {
            fs::remove_dir_all(made).unwrap();
        }
        // Line ends and fields change, and are restored.
        takes_little_memory(&["convert", "--eol", "crlf", "--headers", "strip", mbox, &converted], &[0]);
        takes_little_memory(&["convert", "--exact", "--force", &converted, &restored], &[0]);
        same_file(&large.mbox, Path::new(&restored));
        takes_little_memory(
            &["convert", "--force", "--eol", "lf", &converted, &format!("mboxcl2:{out}")],
            &[0],
        );
    }
}

fn same_file(one: &Path, other: &Path) {
    let is_same = Command::new("cmp").args([one, other]).status().unwrap().success();
    assert!(is_same, "{} and {} differ", one.display(), other.display());
}

/// Returns a Maildir with a message, and another one of 3 TB that takes no space.
fn sparse_maildir() -> (TempDir, PathBuf) {
    let (scratch, maildir) = empty_maildir();
    fs::write(maildir.join("cur/1.M1.h:2,S"), "Subject: honest\n\nbody\n").unwrap();
    sparse(&maildir.join("cur/2.M2.h:2,S"), "Subject: huge\n\n");
    (scratch, maildir)
}

fn sparse(path: &Path, start: &str) {
    let mut file = File::create(path).unwrap();
    file.write_all(start.as_bytes()).unwrap();
    if file.set_len(3 << 40).is_err() {
        skip!("the file system has no files of 3 TB");
    }
}

#[test]
fn a_sparse_message_is_left_out_and_reported() {
    let (scratch, maildir) = sparse_maildir();
    let (copy, mbox) = (scratch.path().join("copy"), scratch.path().join("out.mbox"));
    let is_reported = |run: &Run| {
        let found = run.json().iter().filter(|object| object["code"] == "file-sparse").count();
        assert_eq!(found, 1, "{}", run.text());
    };
    is_reported(&run_on(&["verify", "--json"], &maildir, "").exits(1));
    for (prefix, destination, dry_run) in
        [("maildir:", &copy, true), ("maildir:", &copy, false), ("mbox:", &mbox, false)]
    {
        let mut named = OsString::from(prefix);
        named.push(destination);
        let args = [maildir.as_os_str(), &named].into_iter().chain(dry_run.then_some(OsStr::new("-n")));
        let mut command = mailferry(["convert", "--json"]);
        command.args(args);
        let converted = run(command).exits(1);
        is_reported(&converted);
        let summary = converted.summary();
        assert_eq!((&summary["written"], &summary["skipped"]), (&1.into(), &1.into()), "{summary}");
    }
    assert_eq!(fs::read_dir(copy.join("cur")).unwrap().count(), 1);
    assert!(fs::read_to_string(&mbox).unwrap().contains("Subject: honest"));
    is_reported(&run_on(&["inspect", "--json"], &maildir, "").exits(1));
    for (number, code) in [("1", 0), ("2", 3)] {
        let mut command = mailferry(["inspect"]);
        command.arg(&maildir).arg(number);
        run(command).exits(code);
    }
    let against = run_on(&["verify", "--against", mbox.to_str().unwrap()], &maildir, "").exits(3);
    assert!(against.stderr.contains("is a sparse file"), "{}", against.stderr);
    // The message comes in anyway, even if those that are there are searched.
    run_on(&["deliver", "--once"], &maildir, "Subject: new\n\n").exits(0);
}

#[test]
fn a_sparse_mbox_is_refused_with_its_size() {
    let (scratch, _) = empty_maildir();
    let mbox = scratch.path().join("inbox");
    sparse(&mbox, &format!("{FROM_LINE}Subject: huge\n\n"));
    for command in ["verify", "inspect"] {
        let refused = run_on(&[command], &mbox, "").exits(3);
        assert!(
            refused.stderr.contains("is a sparse file: of its 3,298,534,883,328 bytes"),
            "{}",
            refused.stderr
        );
    }
    run_on(&["convert", mbox.to_str().unwrap()], &scratch.path().join("M"), "").exits(3);
    run_on(&["deliver", "--once"], &mbox, "Subject: new\n\n").exits(75);
}

#[test]
fn a_list_that_is_a_sparse_file_is_not_read() {
    let (_scratch, maildir) = empty_maildir();
    for (name, code, exit) in [
        ("mailferry.manifest", "manifest-damaged", 1),
        ("maildirsize", "maildirsize-drift", 0),
        ("mailferry.folders", "manifest-damaged", 1),
    ] {
        let path = maildir.join(name);
        sparse(&path, "");
        let run = run_on(&["verify", "--json"], &maildir, "").exits(exit);
        assert!(run.complaints().contains(&code.to_owned()), "{name}: {}", run.text());
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn the_time_for_keywords_grows_with_their_number() {
    let words = |separator: &str| (0..100_000).map(|n| format!("K{n}")).collect::<Vec<_>>().join(separator);
    let blank = " ".repeat(400_000);
    for (n, field) in [
        format!("X-Keywords: {}", words(" ")),
        format!("X-Gmail-Labels: {}", words(",")),
        format!("X-Gmail-Labels: x,{blank}{}", "\"\"".repeat(400_000)),
    ]
    .iter()
    .enumerate()
    {
        let (scratch, mbox) = file("inbox", format!("{FROM_LINE}A: 1\n{field}\nB: 2\n\nbody\n\n"));
        let [maildir, out] = ["M", "out"].map(|name| scratch.path().join(name));
        // Limits the processor time. Comparing each word with each other one took minutes.
        let limited = |args: &[&OsStr]| {
            let mut command = Command::new("sh");
            command.args(["-c", "ulimit -t 15; exec \"$0\" \"$@\""]).arg(BINARY).args(args);
            let status = command.output().unwrap().status;
            assert_eq!(status.code(), Some(0), "{n}: {args:?}");
        };
        limited(&["inspect".as_ref(), mbox.as_os_str()]);
        limited(&["verify".as_ref(), mbox.as_os_str()]);
        limited(&["convert".as_ref(), mbox.as_os_str(), maildir.as_os_str()]);
        limited(&["convert".as_ref(), maildir.as_os_str(), out.as_os_str()]);
        limited(&[
            "verify".as_ref(),
            "--metadata".as_ref(),
            "--against".as_ref(),
            mbox.as_os_str(),
            maildir.as_os_str(),
        ]);
    }
}

#[test]
fn verify_takes_memory_in_proportion_to_the_folders() {
    if !have("python3", &["-c", ""]) {
        skip!("python3 is not here");
    }
    let scratch = scratch();
    let (tree, maildir) = (scratch.path().join("tree"), scratch.path().join("M"));
    fs::create_dir(&tree).unwrap();
    for n in 0..1500 {
        fs::write(tree.join(format!("f{n}")), format!("{FROM_LINE}Subject: {n}\n\nbody\n\n")).unwrap();
    }
    let tree = tree.to_str().unwrap();
    run_on(&["convert", "-q", "--fsync", "none", tree], &maildir, "").exits(0);
    takes_little_memory(&["verify", "-q", "-j2", maildir.to_str().unwrap()], &[0]);
}
