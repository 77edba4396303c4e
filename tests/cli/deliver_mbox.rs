//! Delivery into an mbox: the message comes after the existing mail, joins nothing, and reads back unchanged.
//! On any error the mbox is byte for byte as before.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::strace::Stopped;
use crate::support::*;

const OLD: &str = "From ada@example.org Mon Mar  2 08:00:00 1998\nSubject: old\n\nold\n";

/// Runs `mailferry deliver OPTIONS… MAILBOX` with this message.
fn deliver(options: &[&str], mailbox: &str, message: impl Into<Vec<u8>>) -> Run {
    let mut command = mailferry(["deliver"]);
    command.args(options).arg(mailbox);
    run_with_stdin(command, message)
}

/// Creates a scratch directory with an mbox.
fn mbox(content: impl AsRef<[u8]>) -> (TempDir, PathBuf, String) {
    let (scratch, path) = file("inbox", content);
    let name = path.to_str().unwrap().to_owned();
    (scratch, path, name)
}

/// Returns message N as mailferry's own reader has it.
#[track_caller]
fn message(mbox: &str, n: usize) -> Vec<u8> {
    run(mailferry(["inspect", "--lock=none", mbox, &n.to_string()])).exits(0).stdout
}

/// Asserts that a refusal leaves the mbox unchanged and nothing next to it.
#[track_caller]
fn refused(options: &[&str], content: impl AsRef<[u8]>, mail: &str, code: i32, words: &[&str]) {
    let (scratch, path, name) = mbox(&content);
    deliver(options, &name, mail).exits(code).complains(words);
    assert_eq!(fs::read(&path).unwrap(), content.as_ref());
    assert_eq!(names(scratch.path()), ["inbox"]);
}

#[test]
fn a_message_is_read_back_as_it_was_and_the_one_before_it_too() {
    let long = [b"Subject: x\n\n".to_vec(), vec![b'y'; 3_000_000], b"\nFrom z\n".to_vec()].concat();
    for old in ["", OLD, &format!("{OLD}\n"), OLD.trim_end(), &OLD.replace('\n', "\r\n")] {
        for mail in [
            &b"Subject: x\n\nbody\n"[..],
            b"Subject: x\n\nno newline at the end",
            b"Subject: x\r\n\r\nCRLF\r\nFrom me\r\nand LF\n",
            b"Subject: x\n\n\0From \0\0From a@b Mon Mar  2 08:00:00 1998\n\0",
            b"Subject: caf\xe9\n\n\xff\xfe\n",
            b"Subject: x\n\nFrom a\n>From b\n>>From c\n\nFrom a@b Mon Mar  2 08:00:00 1998\nSubject: y\n\n",
            b"Subject: header alone\n",
            b"no header at all\n",
            b"\n",
            &long,
        ] {
            let (scratch, path, name) = mbox(old);
            deliver(&[], &name, mail).exits(0);
            let got = message(&name, if old.is_empty() { 1 } else { 2 });
            let ended = if mail.ends_with(b"\n") { mail.to_vec() } else { [mail, b"\n"].concat() };
            // A reader expects a field after the From_ line.
            let got = got.strip_prefix(b"X-Status: \n").unwrap_or(&got);
            same(got, &ended, "the message");
            let text = fs::read(&path).unwrap();
            assert!(text.starts_with(old.as_bytes()) && text.ends_with(b"\n\n") | text.ends_with(b"\n\r\n"));
            if !old.is_empty() {
                let eol = if old.contains('\r') { "\r\n" } else { "\n" };
                let content = old.trim_end().split_once(eol).unwrap().1;
                assert_eq!(message(&name, 1), format!("{content}{eol}").as_bytes());
            }
            assert_eq!(names(scratch.path()), ["inbox"]);
        }
    }
}

#[test]
fn other_readers_find_the_same_messages() {
    if !have("python3", &["-c", ""]) {
        skip!("python3 is not here");
    }
    let (_scratch, path, name) = mbox(OLD.trim_end());
    let bodies = ["one\n", "From the start\n\nFrom a@b Mon Mar  2 08:00:00 1998\n", "no end"];
    for (n, body) in bodies.iter().enumerate() {
        let mail = format!("From: b@c\nSubject: number {n}\nContent-Length: 7\nLines: 99\n\n{body}");
        deliver(&["-f", "a@b"], &name, mail).exits(0);
    }
    let script = "import mailbox, sys\n\
                  for m in mailbox.mbox(sys.argv[1]): print(m.get_from().split()[0], m['Subject'], m['Content-Length'], \
                  m['Lines'], repr(m.get_payload()))";
    let output = Command::new("python3").args(["-c", script]).arg(&path).output().unwrap();
    let found = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        found,
        "ada@example.org old None None 'old\\n'\n\
         a@b number 0 None None 'one\\n'\n\
         a@b number 1 None None '>From the start\\n\\n>From a@b Mon Mar  2 08:00:00 1998\\n'\n\
         a@b number 2 None None 'no end\\n'\n"
    );
    run(mailferry(["verify", &name])).exits(0);
}

#[test]
fn flags_become_header_fields() {
    let (_scratch, path, name) = mbox("");
    deliver(&["--flags", "SFR"], &name, "Status: O\nSubject: x\n\nbody\n").exits(0);
    let text = fs::read_to_string(&path).unwrap();
    let header = text.split_once('\n').unwrap().1;
    assert_eq!(header, "Status: RO\nSubject: x\nX-Status: AF\n\nbody\n\n");
}

/// Nor can the sender set UIDs or the state of the whole mbox.
#[test]
fn a_sender_cannot_set_flags() {
    let (_scratch, path, name) = mbox("");
    let marked = "Status: RO\nSubject: x\nX-Status: AFTD\nX-UID: 7\nx-imap: 1 2\nX-IMAPbase: 3 4\n five\n\
                  X-Keywords: six\nX-Mozilla-Status: 0009\nX-Mozilla-Status2: 00200000\n\
                  X-Mozilla-Keys: eight\nX-Evolution: 00000001-0010\nX-Uidl: kept\n\n\
                  Status: of the body\n";
    deliver(&[], &name, marked).exits(0);
    let text = fs::read_to_string(&path).unwrap();
    let message = text.split_once('\n').unwrap().1;
    assert_eq!(message, "Subject: x\nX-Uidl: kept\n\nStatus: of the body\n\n");
    deliver(&["--once"], &name, marked).exits(0);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    // The message has no other fields.
    deliver(&[], &name, "Status: RO\n\nbody\n").exits(0);
    assert!(!fs::read_to_string(&path).unwrap().contains("Status: RO"));
}

#[test]
fn a_missing_mbox_is_created_only_with_create() {
    let scratch = scratch();
    let path = scratch.path().join("inbox");
    let name = format!("mbox:{}", path.display());
    deliver(&[], &name, "Subject: x\n\n").exits(75).complains(&["4.3.5 ", "inbox", "no such file"]);
    assert_eq!(names(scratch.path()), [""; 0]);
    deliver(&["--create"], &name, "Subject: x\n\n").exits(0);
    deliver(&["--create"], &name, "Subject: y\n\n").exits(0);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(message(&name, 2), b"Subject: y\n\n");
    // The mbox was created and not needed: it is removed.
    let mmdf = format!("mmdf:{}", scratch.path().join("other").display());
    deliver(&["--create"], &mmdf, "Subject: x\n\n\u{1}\u{1}\u{1}\u{1}\n").exits(65);
    assert_eq!(names(scratch.path()), ["inbox"]);
    symlink("inbox", scratch.path().join("link")).unwrap();
    deliver(&[], scratch.path().join("link").to_str().unwrap(), "Subject: z\n\n").exits(0);
    assert_eq!(message(&name, 3), b"Subject: z\n\n");
    assert!(fs::symlink_metadata(scratch.path().join("link")).unwrap().is_symlink());
}

#[test]
fn mmdf_is_continued_with_frames() {
    let scratch = scratch();
    let path = scratch.path().join("inbox");
    let name = format!("mmdf:{}", path.display());
    deliver(&["--create"], &name, "Subject: x\n\nFrom x\nno end").exits(0);
    deliver(&[], path.to_str().unwrap(), "Subject: y\n\n>From y\n").exits(0);
    assert_eq!(message(&name, 1), b"Subject: x\n\nFrom x\nno end\n");
    assert_eq!(message(&name, 2), b"Subject: y\n\n>From y\n");
    let text = fs::read(&path).unwrap();
    let frame = "a\n\n\u{1}\u{1}\u{1}\u{1} \nb\n";
    refused(&[], &text, frame, 65, &["5.6.0 ", "four ^A"]);
    let large = format!("Subject: x\n\n{}{frame}", "x\n".repeat(2_000_000));
    refused(&[], &text, &large, 65, &["5.6.0 ", "four ^A"]);
    let open = [&text[..], b"\x01\x01\x01\x01\nSubject: z\n"].concat();
    refused(&[], open, "Subject: x\n\n", 75, &["4.3.5 ", "never closed"]);
}

#[test]
fn what_is_no_mbox_is_refused_by_name_and_left_alone() {
    let zipped = b"\x1f\x8b\x08\0\0\0\0\0\0\x03";
    refused(&[], zipped, "Subject: x\n\n", 75, &["4.3.5 ", "compressed (gzip)"]);
    refused(&[], "From a\rSubject: x\r\rx\r", "Subject: x\n\n", 75, &["4.3.5 ", "CR alone"]);
    refused(&[], "# a script\nFrom here\n", "Subject: x\n\n", 75, &["4.3.5 ", "not a mailbox"]);
    refused(&[], OLD, "", 65, &["5.6.0 ", "empty"]);
    let scratch = scratch();
    let fifo = scratch.path().join("fifo");
    assert!(have("mkfifo", &[fifo.to_str().unwrap()]));
    deliver(&[], fifo.to_str().unwrap(), "Subject: x\n\n").exits(75).complains(&["4.3.5 ", "not a regular"]);
}

#[test]
fn with_several_mailboxes_all_have_it_or_none() {
    let (scratch, path, name) = mbox(OLD);
    let maildir = scratch.path().join("Maildir");
    ["tmp", "new", "cur"].iter().for_each(|place| fs::create_dir_all(maildir.join(place)).unwrap());
    let into = |targets: &[&Path]| {
        let mut command = mailferry(["deliver"]);
        command.args(targets);
        run_with_stdin(command, "Subject: x\n\nbody\n")
    };
    into(&[&path, &maildir]).exits(0);
    assert_eq!((message(&name, 2), messages(&maildir).len()), (b"Subject: x\n\nbody\n".to_vec(), 1));
    let before = (fs::read(&path).unwrap(), tree(&maildir));
    for missing in ["a", "z"] {
        let missing = scratch.path().join(format!("{missing}/"));
        into(&[&path, &maildir, &missing]).exits(75);
        assert_eq!((fs::read(&path).unwrap(), tree(&maildir)), before);
    }
    assert_eq!(names(scratch.path()), ["Maildir", "inbox"]);
}

/// The error names the holder of the lock, and the time limit is kept.
#[test]
fn a_locked_mbox_is_reported_with_its_holder() {
    let (scratch, path, name) = mbox(OLD);
    let lock = scratch.path().join("inbox.lock");
    let limit = ["--lock-timeout", "1"];
    fs::write(&lock, "4711 of somebody").unwrap();
    deliver(&limit, &name, "Subject: x\n\n").exits(75).complains(&[
        "4.2.0 ",
        "inbox.lock",
        "4711 of somebody",
    ]);
    assert_eq!(fs::read_to_string(&lock).unwrap(), "4711 of somebody");
    fs::remove_file(&lock).unwrap();

    let holder = format!("{} {} mailferry\n", std::process::id(), hostname());
    fs::write(&lock, &holder).unwrap();
    deliver(&limit, &name, "Subject: x\n\n").exits(75).complains(&[
        "4.2.0 ",
        "inbox.lock",
        holder.trim_end(),
    ]);
    // A mailferry that has ended.
    let mut dead = Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    fs::write(&lock, format!("{} {} mailferry\n", dead.id(), hostname())).unwrap();
    deliver(&limit, &name, "Subject: x\n\nbody\n").exits(0);
    assert_eq!(names(scratch.path()), ["inbox"]);

    if !have("python3", &["-c", ""]) {
        skip!("python3 is not here");
    }
    let before = fs::read(&path).unwrap();
    let script = "import fcntl, sys\nf = open(sys.argv[1], 'r+b')\nfcntl.lockf(f, fcntl.LOCK_EX)\n\
                  print('locked', flush=True)\nsys.stdin.read()";
    let mut other = Command::new("python3")
        .args(["-c", script, &name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(other.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let run = deliver(&limit, &name, "Subject: x\n\n");
    assert_eq!((fs::read(&path).unwrap(), names(scratch.path())), (before, vec!["inbox".to_owned()]));
    drop(other.stdin.take());
    other.wait().unwrap();
    run.exits(75).complains(&["4.2.0 ", &format!("pid {}", other.id())]);
    deliver(&limit, &name, "Subject: x\n\n").exits(0);
}

#[test]
fn a_lock_file_that_cannot_be_created_has_a_remedy() {
    let (scratch, path, _) = mbox(OLD);
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    if !have(user[0], &[&user[1..], &["true"]].concat()) {
        skip!("not allowed to become another user");
    }
    let dir = scratch.path();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    // Another user may not be able to reach the binary.
    let binary = dir.join("mailferry");
    copy_binary(&binary);
    let as_user = |options: &[&str]| {
        let program = user.iter().map(Path::new).chain([&*binary]);
        let command =
            wrapped("exec \"$@\"", program, [&["deliver", path.to_str().unwrap()], options].concat());
        run_with_stdin(command, "Subject: x\n\n")
    };
    let created_in = format!("lock files are created in {}:", dir.display());
    as_user(&[]).exits(75).complains(&[
        "4.3.5 ",
        "inbox.lock",
        "permission denied",
        &created_in,
        "--lock fcntl",
    ]);
    assert_eq!(fs::read_to_string(&path).unwrap(), OLD);
    as_user(&["--lock", "fcntl"]).exits(0);
}

/// The delivery that created the mbox may have been killed before it flushed the name.
#[test]
fn the_name_of_an_mbox_that_has_mail_is_flushed_too() {
    if !have_strace() {
        skip!("strace is not here");
    }
    let (scratch, path, _) = mbox(OLD);
    let (_log, log) = file("log", "");
    let strace = ["strace", "-f", "-qq", "-y", "-o", log.to_str().unwrap(), "-e", "trace=fsync", BINARY];
    let command = wrapped("exec \"$@\"", strace, ["deliver", path.to_str().unwrap()]);
    run_with_stdin(command, "Subject: x\n\n").exits(0);
    let dir = scratch.path().canonicalize().unwrap();
    let flushed = fs::read_to_string(&log).unwrap();
    assert!(flushed.contains(&format!("<{}>", dir.display())), "{flushed}");
}

/// qmail-local and fdm lock with flock(2) only.
#[test]
fn whoever_locks_with_flock_alone_is_waited_for() {
    let (scratch, path, name) = mbox(OLD);
    let theirs = fs::File::open(&path).unwrap();
    rustix::fs::flock(&theirs, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let limit = ["--lock-timeout", "1"];
    deliver(&limit, &name, "Subject: x\n\n").exits(75).complains(&["4.2.0 ", "flock"]);
    assert_eq!(
        (fs::read_to_string(&path).unwrap(), names(scratch.path())),
        (OLD.into(), vec!["inbox".into()])
    );
    drop(theirs);
    deliver(&limit, &name, "Subject: x\n\n").exits(0);
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_str().unwrap().to_owned()
}

#[test]
fn a_signal_during_a_lock_wait_leaves_the_mbox_unchanged() {
    let (scratch, path, name) = mbox(OLD);
    fs::write(scratch.path().join("inbox.lock"), "").unwrap();
    let mut command = mailferry(["deliver", &name]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"Subject: x\n\nbody\n").unwrap();
    wait_for("it to wait for the lock", || sleeps_with(&child, &path));
    send(&child, Signal::TERM);
    Run::of(child.wait_with_output().unwrap()).exits(75).complains(&["4.3.2 ", "interrupted"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), OLD);
    assert_eq!(names(scratch.path()), ["inbox", "inbox.lock"]);
}

#[test]
fn a_full_disk_leaves_the_mbox_byte_for_byte_as_it_was() {
    let scratch = scratch();
    let disk = scratch.path().join("disk");
    fs::create_dir(&disk).unwrap();
    if !have("mount", &["-t", "tmpfs", "-o", "size=2m", "tmpfs", disk.to_str().unwrap()]) {
        skip!("not allowed to mount");
    }
    let path = disk.join("inbox");
    fs::write(&path, OLD.trim_end()).unwrap();
    let filler = disk.join("filler");
    // One write(2), and several.
    let runs = [(1_400_000, 900_000), (0, 5_000_000)].map(|(filled, size)| {
        fs::write(&filler, vec![b'x'; filled]).unwrap();
        let mail = format!("Subject: x\n\n{}", "y".repeat(size));
        let run = deliver(&[], path.to_str().unwrap(), mail.clone());
        let created = deliver(&["--create"], &format!("mbox:{}", disk.join("new").display()), mail);
        ([run, created], fs::read(&path).unwrap() == OLD.trim_end().as_bytes(), names(&disk))
    });
    let small = deliver(&[], path.to_str().unwrap(), "Subject: small\n\n");
    assert!(have("umount", &[disk.to_str().unwrap()]));
    for (runs, as_before, names) in runs {
        assert!(as_before && names == ["filler", "inbox"], "{names:?}");
        for run in runs {
            run.exits(75).complains(&["4.3.1 ", "disk/", "no space"]);
        }
    }
    small.exits(0);
}

/// A limit on the size of files, as Postfix sets one, raises a signal. It must not kill the delivery midway.
#[test]
fn a_limit_on_the_size_of_files_leaves_the_mbox_as_it_was() {
    let (_scratch, path, name) = mbox(OLD);
    // In blocks of 512 bytes.
    let command = wrapped("ulimit -f 100; exec \"$@\"", [BINARY], ["deliver", &name]);
    let run = run_with_stdin(command, format!("Subject: x\n\n{}", "y\n".repeat(100_000)));
    assert!(fs::read(&path).unwrap() == OLD.as_bytes(), "it is not cut back");
    run.exits(75).complains(&["inbox: cannot write: file too large"]);
}

#[test]
fn a_message_of_100_mb_and_an_endless_line_take_little_memory() {
    if !have("python3", &["-c", ""]) {
        skip!("python3 is not here");
    }
    let line = [&[b'x'; 70][..], b"\n"].concat();
    let lines = [b"Subject: large\n\n".to_vec(), line.repeat(100_000_000 / line.len())].concat();
    let endless = [b"Subject: large\n\n".to_vec(), vec![b'z'; 100_000_000]].concat();
    // Not even the header ends within the memory limit.
    let header = [b"Subject: large\nX: ".to_vec(), vec![b'z'; 20_000_000], b"\n\nFrom a\n".to_vec()].concat();
    for mail in [lines, endless, vec![b'z'; 20_000_000], header] {
        let (scratch, path, name) = mbox(OLD);
        let input = scratch.path().join("input");
        fs::write(&input, &mail).unwrap();
        let (code, memory) = peak_memory(&["deliver", &name], &input);
        assert_eq!(code, 0);
        assert!(memory < 64 << 10, "{memory} KiB");
        let got = message(path.to_str().unwrap(), 2);
        let got = got.strip_prefix(b"X-Status: \n").unwrap_or(&got);
        same(&got[..mail.len()], &mail, "the message");
        assert!(got.len() - mail.len() <= 1);
    }
}

/// The size of an mbox does not matter: of 20 GB only the ends are read.
#[test]
fn a_huge_mbox_costs_no_more_than_a_small_one() {
    let (_scratch, path, name) = mbox(format!("{OLD}\n"));
    // A hole, which takes no space.
    fs::File::options().write(true).open(&path).unwrap().set_len(20 << 30).unwrap();
    let (_mail, mail) = file("mail", "Subject: x\n\nbody\n");
    let (code, memory) = peak_memory(&["deliver", &name], &mail);
    assert_eq!(code, 0);
    assert!(memory < 64 << 10, "{memory} KiB");
    let mut end = fs::File::open(&path).unwrap();
    let mut tail = Vec::new();
    std::io::Seek::seek(&mut end, std::io::SeekFrom::Start(20 << 30)).unwrap();
    std::io::Read::read_to_end(&mut end, &mut tail).unwrap();
    let tail = String::from_utf8(tail).unwrap();
    assert!(
        tail.starts_with("\n\nFrom MAILER-DAEMON ") && tail.ends_with("\nSubject: x\n\nbody\n\n"),
        "{tail}"
    );
}

const OURS: &[u8] = b"Subject: ours\n\nbody\n";

/// Runs a delivery that stops after a system call on the mbox. Meanwhile a peer without locks appends.
fn disturbed(path: &Path, fault: &str) -> Run {
    let stopped = Stopped::after(fault, Some(path), [OsStr::new("deliver"), path.as_os_str()], OURS);
    let mut peer = fs::File::options().append(true).open(path).unwrap();
    peer.write_all(PEER.as_bytes()).unwrap();
    stopped.resume()
}

/// Returns the last call before a delivery writes to the mbox: it takes the size.
fn call_before_write() -> String {
    let (scratch, path, _) = mbox(format!("{OLD}\n"));
    let log = scratch.path().join("log");
    let strace = ["strace", "-f", "-qq", "-o", log.to_str().unwrap(), "-P", path.to_str().unwrap(), BINARY];
    let command = wrapped("exec \"$@\"", strace, [OsStr::new("deliver"), path.as_os_str()]);
    run_with_stdin(command, OURS).exits(0);
    let log = fs::read_to_string(log).unwrap();
    // strace pads short process ids with blanks.
    let calls =
        log.lines().map(|line| line.split([' ', '(']).filter(|word| !word.is_empty()).nth(1).unwrap());
    let before: Vec<&str> = calls.take_while(|call| *call != "write").collect();
    let last = before.last().unwrap();
    format!("{last}:when={}", before.iter().filter(|call| *call == last).count())
}

const PEER: &str = "From eve@example.org Mon Mar  2 09:00:00 1998\nSubject: theirs\n\na peer\n\n";

#[test]
fn a_peer_without_locks_loses_nothing() {
    if !have_strace() {
        skip!("strace is not here");
    }
    let words = ["changed by a program that ignores the lock"];
    for fault in [&call_before_write()[..], "write:when=1", "fsync:error=EIO:when=1"] {
        let (scratch, path, _) = mbox(format!("{OLD}\n"));
        let run = disturbed(&path, fault);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(OLD) && text.matches(PEER).count() == 1, "{fault}: {text}");
        assert_eq!(names(scratch.path()), ["inbox"], "{fault}");
        run.exits(75).complains(&words);
    }
}
