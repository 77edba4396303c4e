//! One message on standard input: durable in every mailbox named, or in none of them, with an exit code for
//! scripts and MTAs.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::*;

/// Creates a scratch directory with an empty Maildir.
fn empty_maildir() -> (TempDir, PathBuf) {
    let scratch = scratch();
    let maildir = scratch.path().join("Maildir");
    make_maildir(&maildir);
    (scratch, maildir)
}

fn make_maildir(maildir: &Path) {
    ["tmp", "new", "cur"].iter().for_each(|place| fs::create_dir_all(maildir.join(place)).unwrap());
}

fn deliver(options: &[&str], targets: &[&Path], message: impl Into<Vec<u8>>) -> Run {
    deliver_in(&[], options, targets, message)
}

/// Delivers with these environment variables.
fn deliver_in(
    environment: &[(&str, &str)],
    options: &[&str],
    targets: &[&Path],
    message: impl Into<Vec<u8>>,
) -> Run {
    let mut command = mailferry(["deliver"]);
    command.args(options).args(targets).envs(environment.iter().copied());
    run_with_stdin(command, message)
}

/// Returns the one message, and asserts that there is nothing else.
#[track_caller]
fn the_one(maildir: &Path) -> Vec<u8> {
    let all = messages(maildir);
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(names(&maildir.join("tmp")), [""; 0]);
    all[0].bytes.clone()
}

#[track_caller]
fn is_empty(maildir: &Path) {
    for place in ["tmp", "new", "cur"] {
        assert_eq!(names(&maildir.join(place)), [""; 0], "{place}");
    }
}

#[test]
fn every_byte_of_a_message_is_preserved() {
    let long = [b"Subject: x\n\n".to_vec(), vec![b'y'; 300_000], b"\nlast".to_vec()].concat();
    for message in [
        &b"Subject: x\n\nbody\n"[..],
        b"Subject: x\n\nno newline at the end",
        b"Subject: x\r\n\r\nCRLF\r\nand LF\n",
        b"\0\0Subject: \0x\n\n\0",
        b"Subject: caf\xe9\n\n\xff\xfe\n",
        b"From here to eternity\n\nFrom there\n",
        b"no header at all",
        b"\n",
        b"A: 1\nFrom b\n>From c\n\n>From d\n",
        &long,
    ] {
        let (_scratch, maildir) = empty_maildir();
        deliver(&[], &[&maildir], message).exits(0);
        same(&the_one(&maildir), message, "the message");
        let all = messages(&maildir);
        assert_eq!(all[0].size, message.len() as u64);
        let crs =
            message.iter().enumerate().filter(|&(n, &b)| b == b'\n' && (n == 0 || message[n - 1] != b'\r'));
        assert_eq!(all[0].wire_size, all[0].size + crs.count() as u64);
        assert_eq!((all[0].subdir, all[0].meta.mode() & 0o777), ("new", 0o600));
    }
}

#[test]
fn a_message_of_100_mb_and_an_endless_line_take_little_memory() {
    if !have("python3", &["-c", ""]) {
        skip!("python3 is not here");
    }
    let mut mail = b"Subject: large\n\n".to_vec();
    let line = [&[b'x'; 70][..], b"\n"].concat();
    while mail.len() < 100_000_000 {
        mail.extend_from_slice(&line);
    }
    for message in [mail, vec![b'z'; 100_000_000]] {
        let (scratch, maildir) = empty_maildir();
        let input = scratch.path().join("input");
        fs::write(&input, &message).unwrap();
        let (code, memory) = peak_memory(&["deliver", "-fs@x", maildir.to_str().unwrap()], &input);
        assert_eq!(code, 0);
        assert!(memory < 64 << 10, "{memory} KiB");
        same(&the_one(&maildir), &[b"Return-Path: <s@x>\n", &message[..]].concat(), "the message");
    }
}

#[test]
fn each_mail_systems_environment_tells_the_envelope() {
    let from_line = "From ann@b.example  Sat Feb  3 04:05:06 2001\n";
    let fields = "Return-Path: <ann@b.example>\nDelivered-To: joe-list@h.example\n";
    let bounce = "Return-Path: <>\nDelivered-To: joe@h.example\n";
    let message = "Received: by h\nSubject: x\n\nbody\n";
    let with = |lines: &str| format!("{lines}{message}");
    let postfix_local = [
        ("SENDER", "ann@b.example"),
        ("RECIPIENT", "joe-list@h.example"),
        ("LOCAL", "joe-list"),
        ("EXTENSION", "list"),
        ("DOMAIN", "h.example"),
        ("USER", "joe"),
    ];
    let exim = [
        ("SENDER", "ann@b.example"),
        ("LOCAL_PART", "joe"),
        ("LOCAL_PART_SUFFIX", "-list"),
        ("DOMAIN", "h.example"),
    ];
    let qmail = [("SENDER", ""), ("LOCAL", "joe"), ("HOST", "h.example"), ("EXT", "")];
    let pipe = [("MAIL_CONFIG", "/etc/postfix")];
    let pipe_options = ["-f", "ann@b.example", "-r", "joe-list@h.example"];
    for (what, environment, options, stdin, header) in [
        ("nothing known", &[][..], &[][..], with(""), ""),
        ("Postfix local(8)", &postfix_local, &[], with(&format!("{from_line}{fields}")), fields),
        ("Exim's pipe", &exim, &[], with(&format!("{from_line}Return-Path: <ann@b.example>\n")), ""),
        ("qmail-local", &qmail, &[], with(""), bounce),
        ("Postfix pipe(8)", &pipe, &pipe_options, with(""), fields),
        ("with flags=DR", &pipe, &pipe_options, with(fields), fields),
        ("a From_ line alone", &[], &[], with(from_line), "Return-Path: <ann@b.example>\n"),
        (
            "options beat the environment",
            &postfix_local,
            &["-f", "", "-r", "joe@h.example"],
            with(""),
            bounce,
        ),
        ("null sender of pipe(8)", &pipe, &["-f", "MAILER-DAEMON", "-r", "joe@h.example"], with(""), bounce),
        ("null sender in brackets", &[], &["-f", "<>", "-r", "joe@h.example"], with(""), bounce),
    ] {
        let (_scratch, maildir) = empty_maildir();
        deliver_in(environment, options, &[&maildir], stdin).exits(0);
        let got = String::from_utf8(the_one(&maildir)).unwrap();
        // Delivered-To goes on top of the header.
        let want = match what {
            "Exim's pipe" => with("Delivered-To: joe-list@h.example\nReturn-Path: <ann@b.example>\n"),
            _ => with(header),
        };
        assert_eq!(got, want, "{what}");
    }
}

#[test]
fn a_message_that_was_here_before_is_refused_for_good() {
    let (_scratch, maildir) = empty_maildir();
    let options = ["-r", "joe@h.example"];
    deliver(&options, &[&maildir], "Subject: x\n\n").exits(0);
    let delivered = the_one(&maildir);
    let run = deliver(&options, &[&maildir], delivered.clone()).exits(69);
    run.complains(&["5.4.6 ", "looping", "joe@h.example"]);
    // Also for an MTA that reports the recipient itself, once the message has travelled.
    let travelled = [b"Received: by relay\n", &delivered[..]].concat();
    deliver_in(&[("MAIL_CONFIG", "/etc/postfix")], &options, &[&maildir], travelled).exits(69);
    deliver(&["-r", "jim@h.example"], &[&maildir], delivered).exits(0);
    assert_eq!(messages(&maildir).len(), 2);
}

#[test]
fn what_is_no_message_is_refused_for_good() {
    let (_scratch, maildir) = empty_maildir();
    deliver(&[], &[&maildir], "").exits(65).complains(&["5.6.0 ", "empty"]);
    deliver(&[], &[&maildir], "From a@b Sat Feb  3 04:05:06 2001\n")
        .exits(65)
        .complains(&["5.6.0 ", "From_ line"]);
    deliver(&["--max-size", "10"], &[&maildir], "0123456789\n").exits(69).complains(&["5.3.4 ", "11 bytes"]);
    is_empty(&maildir);
    deliver(&["--max-size", "10"], &[&maildir], "0123456789").exits(0);
}

#[test]
fn an_input_that_cannot_be_read_is_no_empty_message() {
    let (scratch, maildir) = empty_maildir();
    let file = scratch.path().join("written");
    let command = wrapped(
        &format!("exec \"$@\" 0> {}", file.display()),
        [BINARY],
        ["deliver", maildir.to_str().unwrap()],
    );
    run(command).exits(75).complains(&["4.3.0 standard input"]);
    let full = wrapped("exec \"$@\" 2> /dev/full", [BINARY], ["deliver", "/nonexistent/"]);
    assert_eq!(run_with_stdin(full, "Subject: x\n\n").code, Some(75));
    is_empty(&maildir);
}

#[test]
fn a_missing_mailbox_creates_nothing() {
    let scratch = scratch();
    for missing in ["Maildir", "Maildir/", "no/such/Maildir/"] {
        let path = scratch.path().join("").join(missing);
        let run = deliver(&[], &[&path], "Subject: x\n\n").exits(75);
        run.complains(&["4.3.5 ", path.to_str().unwrap()]);
        assert_eq!(names(scratch.path()), [""; 0], "{missing}");
    }
    // A directory that is not a Maildir is refused.
    deliver(&[], &[scratch.path()], "Subject: x\n\n").exits(75).complains(&["4.3.5 "]);
    assert_eq!(names(scratch.path()), [""; 0]);
}

#[test]
fn a_missing_directory_is_created_on_request() {
    let scratch = scratch();
    let path = |name: &str| scratch.path().join(name);
    let created = |options: &[&str], target: &Path| {
        deliver(&[&["--create"], options].concat(), &[target], "Subject: x\n\n").exits(0);
    };
    created(&[], &path("Maildir/"));
    the_one(&path("Maildir"));
    created(&["--folder", "Lists.qmail"], &path("Maildir/"));
    the_one(&path("Maildir/.Lists.qmail"));
    assert!(path("Maildir/.Lists.qmail/maildirfolder").is_file());
    created(&["--folder", "Entwürfe"], &path("other/"));
    the_one(&path("other/.Entw&APw-rfe"));
    created(&[], &PathBuf::from(format!("mbox:{}", path("inbox").display())));
    assert!(fs::read_to_string(path("inbox")).unwrap().starts_with("From MAILER-DAEMON "));
    // Neither format is guessed.
    let run = deliver(&["--create"], &[&path("Either")], "Subject: x\n\n").exits(75);
    run.complains(&["maildir:", "mbox:"]);
    deliver(&["--folder", "No"], &[&path("Maildir/")], "Subject: x\n\n").exits(75).complains(&["--create"]);
    for bad in ["..", "A/B", "A..B", ".A", ""] {
        deliver(&["--create", "--folder", bad], &[&path("Maildir/")], "Subject: x\n\n").exits(75);
    }
    deliver(&["--folder", "A"], &[&path("inbox")], "Subject: x\n\n").exits(75).complains(&["--folder"]);
    assert_eq!(names(scratch.path()), ["Maildir", "inbox", "other"]);
}

#[test]
fn all_of_several_mailboxes_have_it_or_none() {
    let (scratch, one) = empty_maildir();
    let (two, broken) = (scratch.path().join("two"), scratch.path().join("broken"));
    make_maildir(&two);
    deliver(&[], &[&one, &two], "Subject: x\n\n").exits(0);
    assert_eq!(the_one(&one), the_one(&two));
    make_maildir(&broken);
    fs::remove_dir(broken.join("new")).unwrap();
    for targets in [[&one, &two, &broken], [&broken, &one, &two]] {
        deliver(&[], &targets.map(PathBuf::as_path), "Subject: y\n\n")
            .exits(75)
            .complains(&["4.3.5 ", "broken/new"]);
        the_one(&one);
        the_one(&two);
        assert_eq!(names(&broken.join("tmp")), [""; 0]);
    }
    let again = scratch.path().join("link");
    std::os::unix::fs::symlink(&one, &again).unwrap();
    for other in [&one, &again, &one.join("cur/..")] {
        deliver(&[], &[&one, other], "Subject: y\n\n").exits(75).complains(&["named twice"]);
    }
}

#[test]
fn a_repeat_doubles_nothing_if_that_is_asked_for() {
    let (_scratch, maildir) = empty_maildir();
    let (options, message) = (["--once", "-v", "-f", "a@b"], "Subject: x\n\nbody\n");
    deliver(&options, &[&maildir], message).exits(0);
    let mut there = messages(&maildir).remove(0);
    for _ in 0..2 {
        let run = deliver(&options, &[&maildir], message).exits(0);
        assert_eq!(run.text(), format!("{} (was there already)\n", there.path.display()));
        // A reader marks it as read.
        let read = maildir.join("cur").join(format!("{}:2,S", there.name));
        fs::rename(&there.path, &read).unwrap();
        there.path = read;
    }
    // The same length, but different content.
    deliver(&options, &[&maildir], message.replace("body", "BODY")).exits(0);
    deliver(&["--once", "-f", "c@d"], &[&maildir], message).exits(0);
    deliver(&[], &[&maildir], message).exits(0);
    assert_eq!(messages(&maildir).len(), 4);
}

#[test]
fn what_is_not_a_message_does_not_stop_a_search_for_a_repeat() {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    type Make = fn(&Path);
    let make: [(&str, Make); 7] = [
        ("a socket", |path| drop(UnixListener::bind(path).unwrap())),
        ("a link to itself", |path| symlink(path.file_name().unwrap(), path).unwrap()),
        ("a link to nothing", |path| symlink("nothing", path).unwrap()),
        ("a link below a file", |path| symlink("../maildirsize/x", path).unwrap()),
        ("a link to a name that is too long", |path| symlink("x".repeat(300), path).unwrap()),
        ("a FIFO", |path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success())),
        ("a file that only root may read", |path| {
            fs::write(path, "Subject: y\n\nonce\n").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
        }),
    ];
    for (what, make) in make {
        for place in ["cur/1.M1.h:2,S", "new/2.M2.h,S=17"] {
            let (_scratch, maildir) = empty_maildir();
            fs::write(maildir.join("maildirsize"), "1000000S\n").unwrap();
            make(&maildir.join(place));
            let there = messages_besides(&maildir, place);
            for already_present in [false, true] {
                let run = deliver(&["--once", "-v"], &[&maildir], "Subject: x\n\nonce\n").exits(0);
                assert_eq!(run.text().ends_with("(was there already)\n"), already_present, "{what}");
            }
            assert_eq!(messages_besides(&maildir, place), there + 1, "{what} as {place}");
        }
    }
}

fn messages_besides(maildir: &Path, odd: &str) -> usize {
    let paths = ["new", "cur"]
        .map(|dir| names(&maildir.join(dir)).into_iter().map(move |name| format!("{dir}/{name}")));
    paths.into_iter().flatten().filter(|path| path != odd).count()
}

#[test]
fn a_repeat_into_an_mbox_doubles_nothing_either() {
    let quoted = "Subject: x\nStatus: R\n\nFrom here on\n>From there\nno newline at the end";
    for (name, message) in [("mbox", quoted), ("mmdf", quoted), ("mbox", "\n\n"), ("mbox", "no header")] {
        let scratch = scratch();
        let path = scratch.path().join("inbox");
        let target = PathBuf::from(format!("{name}:{}", path.display()));
        let once = |options: &[&str], message: &str| {
            let options = [&["--once", "--create", "-v"], options].concat();
            deliver(&options, &[&target], message).exits(0).text()
        };
        let (new, there) =
            (format!("{}\n", path.display()), format!("{} (was there already)\n", path.display()));
        assert_eq!(once(&[], message), new);
        let before = fs::read(&path).unwrap();
        assert_eq!(once(&[], message), there, "{message:?}");
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(once(&[], &format!("{message}\nmore")), new);
        assert_eq!(once(&["-f", "a@b"], message), new);
        assert_eq!(once(&["-f", "a@b"], message), there);
    }
}

#[test]
fn an_mbox_and_a_maildir_have_it_together_or_not_at_all() {
    let (scratch, maildir) = empty_maildir();
    let mbox = scratch.path().join("inbox");
    fs::write(&mbox, "From a@b Sat Feb  3 04:05:06 2001\nSubject: old\n\nno newline").unwrap();
    let before = fs::read(&mbox).unwrap();
    fs::rename(maildir.join("new"), maildir.join("away")).unwrap();
    let message = "Subject: new\n\nFrom here on\n";
    for targets in [[&mbox, &maildir], [&maildir, &mbox]] {
        deliver(&[], &targets.map(PathBuf::as_path), message).exits(75);
        assert_eq!(fs::read(&mbox).unwrap(), before);
    }
    fs::rename(maildir.join("away"), maildir.join("new")).unwrap();
    deliver(&["-f", "c@d"], &[&mbox, &maildir], message).exits(0);
    assert_eq!(the_one(&maildir), format!("Return-Path: <c@d>\n{message}").as_bytes());
    let text = String::from_utf8(fs::read(&mbox).unwrap()).unwrap();
    let added = text
        .strip_prefix("From a@b Sat Feb  3 04:05:06 2001\nSubject: old\n\nno newline\n\nFrom c@d ")
        .unwrap();
    assert!(added.ends_with("\nReturn-Path: <c@d>\nSubject: new\n\n>From here on\n\n"), "{text}");
    let mut left = names(scratch.path());
    left.sort();
    assert_eq!(left, ["Maildir", "inbox"]);
}

#[test]
fn flags_and_umask_are_as_asked_for() {
    let (_scratch, maildir) = empty_maildir();
    let run = deliver(&["--flags", "SF", "--umask", "007", "-v"], &[&maildir], "Subject: x\n\n").exits(0);
    let all = messages(&maildir);
    assert_eq!(
        (all[0].subdir, all[0].flags.as_deref(), all[0].meta.mode() & 0o777),
        ("cur", Some("FS"), 0o660)
    );
    assert_eq!(run.text(), format!("{}\n", all[0].path.display()));
    for wrong in [&["--flags", "X"][..], &["--umask", "8"], &["--umask", "1000"], &["--flags", "SS x"]] {
        deliver(wrong, &[&maildir], "Subject: x\n\n").exits(75);
    }
}

#[test]
fn a_dry_run_reports_and_does_nothing() {
    let (_scratch, maildir) = empty_maildir();
    let before = tree(&maildir);
    deliver(&["-n"], &[&maildir], "Subject: x\n\n").exits(0);
    deliver(&["-n"], &[&maildir], "").exits(65);
    deliver(&["-n"], &[&maildir.join("cur").join("x")], "Subject: x\n\n").exits(75);
    assert_eq!(tree(&maildir), before);
}

#[test]
fn a_typing_error_never_bounces_mail() {
    for words in [&["deliver"][..], &["deliver", "--no-such"], &["deliver", "--flags"], &["deliver", "-f"]] {
        run(mailferry(words)).exits(75);
    }
    let (_scratch, maildir) = empty_maildir();
    deliver(&["--exit-codes", "qmail", "-r", "a@b"], &[&maildir], "Delivered-To: a@b\n\n").exits(100);
    deliver(&["--exit-codes", "qmail"], &[&maildir.join("x")], "Subject: x\n\n").exits(111);
    deliver(&["--exit-codes", "qmail"], &[&maildir], "Subject: x\n\n").exits(0);
}

#[test]
fn the_json_report_has_status_and_errors() {
    let (_scratch, maildir) = empty_maildir();
    let report = deliver(&["--json"], &[&maildir], "Subject: x\n\n").exits(0).json();
    let [summary] = &report[..] else { panic!("{report:?}") };
    assert_eq!(summary["type"], "summary");
    assert_eq!(summary["delivered"][0], messages(&maildir)[0].path.to_str().unwrap());
    assert_eq!((&summary["status"], &summary["bytes_source"]), (&"2.0.0".into(), &12.into()));
    let report = deliver(&["--json"], &[&maildir.join("x")], "Subject: x\n\n").exits(75).json();
    let [finding, summary] = &report[..] else { panic!("{report:?}") };
    assert_eq!((&finding["code"], &finding["retry"]), (&"not-delivered".into(), &true.into()));
    assert_eq!((&summary["status"], &summary["errors"]), (&"4.3.5".into(), &1.into()));
}

#[test]
fn a_signal_while_the_message_comes_in_leaves_nothing() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let (_scratch, maildir) = empty_maildir();
        let mut command = mailferry(["deliver", maildir.to_str().unwrap()]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(b"Subject: half").unwrap();
        wait_for("its signal handlers", || catches(&child, Signal::HUP));
        send(&child, signal);
        let stdin = child.stdin.take();
        let run = Run::of(child.wait_with_output().unwrap()).exits(75);
        drop(stdin);
        run.complains(&["4.3.2 ", "interrupted"]);
        is_empty(&maildir);
    }
}

#[test]
fn a_full_disk_is_an_error_and_leaves_nothing() {
    let scratch = scratch();
    let disk = scratch.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=128k", "tmpfs", disk.to_str().unwrap()];
    if !have("mount", &mount) {
        skip!("not allowed to mount");
    }
    let maildir = disk.join("Maildir");
    make_maildir(&maildir);
    let message = [b"Subject: x\n\n".to_vec(), vec![b'x'; 284_000]].concat();
    let run = deliver(&[], &[&maildir], message);
    let clean = ["tmp", "new", "cur"].map(|place| names(&maildir.join(place)).len());
    let small = deliver(&[], &[&maildir], "Subject: small\n\n");
    assert!(have("umount", &[disk.to_str().unwrap()]));
    run.exits(75).complains(&["4.3.1 ", "disk/Maildir/tmp/", "no space"]);
    assert_eq!(clean, [0; 3]);
    small.exits(0);
}

#[test]
fn what_root_alone_may_enter_is_tried_again_later() {
    let (scratch, maildir) = empty_maildir();
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    if !have(user[0], &[&user[1..], &["true"]].concat()) {
        skip!("not allowed to become another user");
    }
    fs::set_permissions(maildir.join("tmp"), fs::Permissions::from_mode(0o755)).unwrap();
    // Another user may not be able to reach the binary.
    let binary = scratch.path().join("mailferry");
    copy_binary(&binary);
    let mut program: Vec<&str> = user.to_vec();
    program.push(binary.to_str().unwrap());
    let command = wrapped("exec \"$@\"", program, ["deliver", maildir.to_str().unwrap()]);
    run_with_stdin(command, "Subject: x\n\n").exits(75).complains(&["4.3.5 ", "permission denied"]);
    is_empty(&maildir);
}

#[test]
fn a_misplaced_option_does_not_bounce_mail() {
    let (_scratch, maildir) = empty_maildir();
    let maildir = maildir.to_str().unwrap();
    for (words, code) in [
        (&["--quiet", "deliver", maildir][..], 75),
        (&["-v", "deliver", maildir], 75),
        (&["--exit-codes", "qmail", "deliver", maildir], 111),
        (&["deliver", "--exit-codes=qmail", "--umaks", "022", maildir], 111),
        (&["inject", "--exit-codes", "qmail", "--nosuch"], 111),
        (&["inject", "--nosuch"], 64),
        (&["convert", "--nosuch"], 2),
    ] {
        run_with_stdin(mailferry(words), "Subject: x\n\n").exits(code);
    }
}

#[test]
fn an_address_may_begin_with_a_dash() {
    let (_scratch, maildir) = empty_maildir();
    deliver(&["-f", "-x@y.example", "-r", "-j@h.example"], &[&maildir], "Subject: x\n\n").exits(0);
    assert_eq!(the_one(&maildir), b"Return-Path: <-x@y.example>\nDelivered-To: -j@h.example\nSubject: x\n\n");
    let (_scratch, maildir) = empty_maildir();
    deliver(&["-r", ""], &[&maildir], "Delivered-To:\nSubject: x\n\n").exits(0);
    assert_eq!(the_one(&maildir), b"Delivered-To:\nSubject: x\n\n");
}

#[test]
fn a_reader_may_mark_a_message_and_it_is_the_same_one() {
    let (scratch, _) = empty_maildir();
    let mbox = scratch.path().join("mbox");
    let target = PathBuf::from(format!("mbox:{}", mbox.display()));
    deliver(&["--create"], &[&target], "Subject: a\n\none\n").exits(0);
    deliver(&[], &[&target], "Subject: b\n\ntwo\n").exits(0);
    let marked =
        fs::read_to_string(&mbox).unwrap().replace("Subject: a\n", "Subject: a\nStatus: RO\nX-Status: F\n");
    fs::write(&mbox, &marked).unwrap();
    deliver(&["--once"], &[&target], "Subject: a\n\none\n").exits(0);
    deliver(&["--once", "--flags", "S"], &[&target], "Subject: b\n\ntwo\n").exits(0);
    assert_eq!(fs::read_to_string(&mbox).unwrap(), marked);
    for another in ["Subject: a\n\none more\n", "Subject: a\nX: 1\n\none\n", "Subject: a\n\n\none\n"] {
        deliver(&["--once"], &[&target], another).exits(0);
    }
    assert_eq!(fs::read_to_string(&mbox).unwrap().matches("\nSubject: a\n").count(), 4);
}

#[test]
fn one_mailbox_by_two_names_is_created_once() {
    let (scratch, maildir) = empty_maildir();
    let at = |name: &str| scratch.path().join(name);
    let slashed = |name: &str| PathBuf::from(format!("{}/", at(name).display()));
    let mbox = |name: &str| PathBuf::from(format!("mbox:{}", at(name).display()));
    for (options, one, two) in [
        (&["--create"][..], slashed("new"), slashed("./new")),
        (&["--create", "--lock-timeout=1"], mbox("new"), mbox("Maildir/../new")),
        (&["--create", "--folder", "A"], maildir.clone(), at("./Maildir")),
    ] {
        let run = deliver(options, &[&one, &two], "Subject: x\n\n").exits(75);
        run.complains(&["named twice"]);
        assert_eq!(names(scratch.path()), ["Maildir"]);
    }
}

#[test]
fn what_cannot_be_delivered_would_not_be() {
    let (scratch, maildir) = empty_maildir();
    let at = |name: &str, bytes: &[u8]| {
        fs::write(scratch.path().join(name), bytes).unwrap();
        scratch.path().join(name)
    };
    let with = |prefix: &str, path: &Path| PathBuf::from(format!("{prefix}:{}", path.display()));
    let mbox = at("mbox", b"From a@b Sat Feb  3 04:05:06 2001\n\nx\n\n");
    for target in [
        with("mmdf", &mbox),
        with("mboxcl", &mbox),
        at("junk", b"junk\n"),
        at("open", b"\x01\x01\x01\x01\nFrom a\nx: y\n\n"),
        PathBuf::from(format!("{}/q/w/e/", scratch.path().display())),
        with("mbox", &scratch.path().join("q/nope")),
    ] {
        let before = tree(scratch.path());
        deliver(&["-n", "--create"], &[&target], "Subject: x\n\n").exits(75);
        assert_eq!(tree(scratch.path()), before);
        deliver(&["--create"], &[&target], "Subject: x\n\n").exits(75);
    }
    let output = deliver(&["-n"], &[&maildir], "Subject: x\n\n").exits(0).text();
    assert_eq!(output, format!("{}: would get the message\n", maildir.display()));
    is_empty(&maildir);
}

#[test]
fn delivered_to_of_this_delivery_is_not_a_loop_with_its_option() {
    let message = "Delivered-To: joe@h.example\nReceived: x\nSubject: x\n\n";
    let (_scratch, maildir) = empty_maildir();
    deliver(&["-r", "joe@h.example"], &[&maildir], message).exits(69);
    deliver(&["-r", "joe@h.example", "--from-mta"], &[&maildir], message).exits(0);
    assert_eq!(the_one(&maildir), message.as_bytes());
}
