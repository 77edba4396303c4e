//! Export: a Maildir, or an mbox of another variant, becomes an mbox, and no message is left out.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;

use crate::failures::Disk;
use crate::support::*;

const FRAME: &str = "\u{1}\u{1}\u{1}\u{1}\n";

/// Creates a Maildir with these messages: subdirectory and name, then the bytes.
fn maildir<B: AsRef<[u8]>>(messages: &[(&str, B)]) -> (TempDir, PathBuf) {
    let scratch = scratch();
    let maildir = scratch.path().join("Maildir");
    for name in ["tmp", "new", "cur"] {
        fs::create_dir_all(maildir.join(name)).unwrap();
    }
    for (name, bytes) in messages {
        let path = maildir.join(name);
        fs::write(&path, bytes).unwrap();
        // As after a delivery: the name and the mtime agree.
        let epoch = name.split(['/', '.']).nth(1).and_then(|digits| digits.parse().ok()).unwrap_or(0);
        set_mtime(&path, epoch);
    }
    (scratch, maildir)
}

fn set_mtime(path: &Path, epoch: u64) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(epoch);
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Runs `convert OPTIONS… Maildir DESTINATION`, which must succeed, and returns what was written.
#[track_caller]
fn back(maildir: &Path, options: &[&str], prefix: &str) -> Vec<u8> {
    let out = maildir.with_file_name("out");
    let mut named = OsString::from(prefix);
    named.push(&out);
    let mut command = convert_command(options);
    command.arg(maildir).arg(named);
    run(command).exits(0).summary();
    let written = fs::read(&out).unwrap();
    fs::remove_file(out).unwrap();
    written
}

#[track_caller]
fn is_text(got: &[u8], expected: &str) {
    assert_eq!(String::from_utf8_lossy(got), expected);
}

/// Returns a message without the fields that readers rewrite. The code shares nothing with the program.
fn lasting(message: &[u8]) -> Vec<u8> {
    const REWRITTEN: [&str; 12] = [
        "status",
        "x-status",
        "x-keywords",
        "x-uid",
        "x-imap",
        "x-imapbase",
        "x-mozilla-status",
        "x-mozilla-status2",
        "x-mozilla-keys",
        "x-evolution",
        "content-length",
        "lines",
    ];
    let (mut kept, mut dropping, mut in_header) = (Vec::new(), false, true);
    for line in message.split_inclusive(|&b| b == b'\n') {
        in_header &= !matches!(line, b"\n" | b"\r\n");
        if in_header && !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let name = line.split(|&b| b == b':').next().filter(|name| name.len() < line.len());
            let name = name.unwrap_or_default().trim_ascii_end().to_ascii_lowercase();
            dropping = REWRITTEN.iter().any(|rewritten| rewritten.as_bytes() == name);
        }
        if !in_header || !dropping {
            kept.extend_from_slice(line);
        }
    }
    kept
}

/// Counts each message, with its flags.
fn mail(maildir: &Path) -> BTreeMap<(String, String), u32> {
    let mut mail = BTreeMap::new();
    for message in messages(maildir) {
        let mut bytes = lasting(&message.bytes);
        // In an mbox every message ends with a newline.
        if !bytes.is_empty() && !bytes.ends_with(b"\n") {
            let first = message.bytes.split(|&b| b == b'\n').next().unwrap_or_default();
            let is_crlf = first.len() < message.bytes.len() && first.ends_with(b"\r");
            bytes.extend_from_slice(if is_crlf { b"\r\n" } else { b"\n" });
        }
        let text = bytes.escape_ascii().to_string();
        *mail.entry((text, message.flags.unwrap_or_default())).or_insert(0) += 1;
    }
    mail
}

/// Mail that other converters leave out, join or cut; see the names.
fn what_peers_lose() -> Vec<(&'static str, &'static [u8])> {
    vec![
        ("cur/1000000001.trashed.h:2,ST", b"Subject: trashed\n\nx\n"),
        ("cur/1000000002.header-only.h:2,S", b"Subject: header only\n"),
        ("cur/1000000003.no-end.h:2,", b"Subject: header without its end"),
        ("new/1000000004.empty.h", b""),
        ("cur/1000000005.crlf.h:2,F", b"Subject: crlf\r\n\r\nFrom here\r\nx\r\n"),
        ("cur/1000000006.nul.h:2,DR", b"Subject: nul\n\na\0b\n\0From nul\n\0\0"),
        ("new/1000000007.tail.h", b"Subject: no final newline\n\nlast line"),
        ("new/1000000008.blank.h", b"Subject: blank tail\n\nx\n\n\n"),
        ("new/1000000009.body.h", b"\nonly a body\n"),
        ("new/1000000010.text.h", b"no header at all\nSubject: x\n\ny\n"),
        (
            "new/1000000011.from.h",
            b"Subject: from\n\nFrom a@b Mon Jan  1 10:00:05 2001\nA: 1\n\n>From b\n>>From c\n",
        ),
        (
            "new/1000000012.length.h",
            b"Content-Length: 4\nSubject: length\nLines: 99\n\nlonger than it says\n",
        ),
        ("cur/1000000013.8bit.h:2,S", b"Subject: \xe4\n\n\xff\xfe\x80\r\n"),
        ("new/1000000014.fold.h", b" folded\nSubject: begins amid a field\n\nx\n"),
        ("new/1000000015.sender.h", b"Return-Path: <a b\n\t@c>\nSubject: sender\n\nx\n"),
        (
            "new/1000000016.long.h",
            b"Subject: long\n\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ),
    ]
}

#[test]
fn a_maildir_becomes_an_mbox_in_the_order_of_its_dates() {
    let (_scratch, maildir) = maildir(&[
        ("cur/1000000002.b.h:2,FS", "Return-Path: <ada@example.org>\nStatus: O\nSubject: two\n\nFrom here\n"),
        ("new/1000000001.a.h", "Subject: one\n\n>From there\nno end"),
        ("cur/1000000003.c.h:2,", "Return-Path: <>\r\nSubject: three\r\n\r\nx\r\n"),
    ]);
    let expected = "From MAILER-DAEMON Sun Sep  9 01:46:41 2001\nSubject: one\n\n>>From there\nno end\n\n\
                    From ada@example.org Sun Sep  9 01:46:42 2001\nReturn-Path: <ada@example.org>\n\
                    Status: RO\nSubject: two\nX-Status: F\n\n>From here\n\n\
                    From MAILER-DAEMON Sun Sep  9 01:46:43 2001\r\nReturn-Path: <>\r\nSubject: three\r\n\
                    Status: O\r\n\r\nx\r\n\r\n";
    let out = maildir.with_file_name("out.mbox");
    let before = tree(&maildir);
    let run = convert([&maildir, &out]);
    is_text(&fs::read(&out).unwrap(), expected);
    let summary = run.summary();
    let bytes: u64 = before
        .keys()
        .filter_map(|path| fs::metadata(maildir.join(path)).ok())
        .filter(|m| m.is_file())
        .map(|m| m.len())
        .sum();
    assert_eq!(["messages_found", "written", "skipped"].map(|key| count(&summary, key)), [3, 3, 0]);
    assert_eq!((count(&summary, "bytes_source"), count(&summary, "bytes_messages")), (bytes, bytes));
    assert_eq!((&summary["variant"], &summary["folders"]), (&"mboxrd".into(), &1.into()));
    assert!(run.findings().iter().any(|f| f["code"] == "final-newline"), "{}", run.text());
    assert!(tree(&maildir) == before, "a source is never changed");
}

#[test]
fn nothing_that_peers_lose_is_lost_in_any_variant() {
    let (scratch, maildir) = maildir(&what_peers_lose());
    for variant in ["mboxrd:", "mboxcl2:", "mmdf:"] {
        let out = scratch.path().join("out");
        let again = scratch.path().join("again");
        let named = |path: &Path| format!("{variant}{}", path.display());
        convert([maildir.as_os_str(), named(&out).as_ref()]);
        convert([named(&out).as_ref(), again.as_os_str()]);
        let expected: BTreeMap<_, u32> = what_peers_lose()
            .into_iter()
            .map(|(name, bytes)| {
                let mut bytes = lasting(bytes);
                if !bytes.is_empty() && !bytes.ends_with(b"\n") {
                    bytes.push(b'\n');
                }
                let flags = name.split_once(":2,").map_or("", |(_, flags)| flags);
                ((bytes.escape_ascii().to_string(), flags.to_owned()), 1)
            })
            .collect();
        assert_eq!(mail(&again), expected, "{variant}");
        let dates: Vec<i64> = messages(&again).iter().map(|m| m.epoch).collect();
        assert_eq!(dates, (1_000_000_001..=1_000_000_016).collect::<Vec<i64>>(), "{variant}");
        fs::remove_file(out).unwrap();
        fs::remove_dir_all(again).unwrap();
    }
}

#[test]
fn mail_that_an_mbox_cannot_represent_is_reported() {
    let messages = [
        ("cur/1000000001.a.h:2,PSa", "Subject: one\n\nx\n"),
        ("cur/1000000002.b.h:2,S", "From a@b Mon Jan  1 10:00:05 2001\nSubject: two\n\n>From x\n"),
        ("cur/1000000003.c.h:2,S", " folded\nSubject: three\n\nx\n"),
    ];
    let (scratch, maildir) = maildir(&messages);
    fs::create_dir_all(maildir.join(".Sent/cur")).unwrap();
    fs::create_dir_all(maildir.join(".Sent/new")).unwrap();
    let out = scratch.path().join("out");
    let run = convert([maildir.as_os_str(), format!("mboxo:{}", out.display()).as_ref()]);
    assert_eq!(
        run.complaints(),
        ["flags-unsaid", "folders-left", "from-doubled", "header-quoted", "quoting-ambiguous"]
    );
    assert!(run.text().contains(".Sent"));
    fs::write(maildir.join("cur/1000000004.d.h:2,S"), format!("Subject: four\n\n{FRAME}")).unwrap();
    let mmdf = format!("mmdf:{}", scratch.path().join("mmdf").display());
    let refused = crate::support::run(convert_command([maildir.as_os_str(), mmdf.as_ref()]));
    let refused = refused.exits(3).complains(&["1000000004.d.h", "four ^A", "another variant"]);
    assert_eq!(refused.complaints(), ["folders-left", "unsupported"]);
    assert_eq!(names(scratch.path()), ["Maildir", "out"]);
}

fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn messages_keep_the_order_of_their_sources_and_senders() {
    let message = |sender: &str, hour: u32, text: &str| {
        format!("From {sender} Mon Mar  2 {hour:02}:00:00 1998\nSubject: {text}\n\n{text}\n\n")
    };
    let one = message("one@a", 12, "late") + &message("two@a", 9, "early");
    let two = message("three@a", 10, "middle");
    let (scratch, first) = file("one", &one);
    let (second, maildir) = (scratch.path().join("two"), scratch.path().join("Maildir"));
    fs::write(&second, &two).unwrap();
    convert([&first, &second, &maildir]);
    let later = message("four@a", 8, "appended later");
    fs::write(&first, [&one[..], &later].concat()).unwrap();
    convert([&first, &maildir]);
    fs::write(maildir.join("new/888800000.delivered.h"), "Subject: delivered\n\ndelivered\n").unwrap();
    set_mtime(&maildir.join("new/888800000.delivered.h"), 888_800_000);
    let delivered = "From MAILER-DAEMON Mon Mar  2 00:53:20 1998\nSubject: delivered\n\ndelivered\n\n";
    // The second source comes first: the first one is in the order of its last conversion.
    is_text(&back(&maildir, &[], ""), &[&two[..], &one, &later, delivered].concat());
    is_text(
        &back(&maildir, &["--no-manifest"], ""),
        &[
            delivered,
            &message("MAILER-DAEMON", 8, "appended later"),
            &message("MAILER-DAEMON", 9, "early"),
            &message("MAILER-DAEMON", 10, "middle"),
            &message("MAILER-DAEMON", 12, "late"),
        ]
        .concat(),
    );
    for jobs in ["-j1", "-j2", "-j7"] {
        assert!(back(&maildir, &[jobs], "") == back(&maildir, &[], ""), "{jobs}");
    }
}

#[test]
fn where_name_and_time_disagree_the_headers_decide() {
    let (_scratch, maildir) = maildir(&[
        ("cur/1000000000.copied.h:2,S", "Received: from a by b; Sun, 09 Sep 2001 01:46:41 +0000\n\n"),
        ("cur/1700000000.named-late.h:2,S", "Date: Sun, 09 Sep 2001 01:46:42 +0000\n\n"),
        ("cur/nodate:2,S", "Subject: x\n\n"),
    ]);
    set_mtime(&maildir.join("cur/1000000000.copied.h:2,S"), 1_700_000_000);
    set_mtime(&maildir.join("cur/1700000000.named-late.h:2,S"), 1_000_000_002);
    set_mtime(&maildir.join("cur/nodate:2,S"), 1_000_000_003);
    let written = String::from_utf8(back(&maildir, &[], "")).unwrap();
    let dates: Vec<&str> = written.lines().filter_map(|l| l.strip_prefix("From MAILER-DAEMON ")).collect();
    assert_eq!(dates, ["Sun Sep  9 01:46:40 2001", "Sun Sep  9 01:46:42 2001", "Sun Sep  9 01:46:43 2001"]);
}

#[test]
fn an_existing_file_is_replaced_on_request_only() {
    let (scratch, maildir) = maildir(&[("new/1000000001.a.h", "Subject: one\n\nx\n")]);
    let out = scratch.path().join("out");
    fs::write(&out, "precious").unwrap();
    let refused = run(convert_command([&maildir, &out])).exits(3).complains(&["out", "--force"]);
    assert_eq!(refused.complaints(), ["destination-refused"]);
    assert_eq!(fs::read(&out).unwrap(), b"precious");
    run(convert_command([OsStr::new("-n"), maildir.as_os_str(), out.as_os_str()])).exits(3);
    // The next run takes over what a killed run left.
    fs::write(
        scratch.path().join(".out.mailferry-partial"),
        "left behind, and longer than the mail that comes\n".repeat(9),
    )
    .unwrap();
    convert([OsStr::new("--force"), maildir.as_os_str(), out.as_os_str()]);
    is_text(&fs::read(&out).unwrap(), "From MAILER-DAEMON Sun Sep  9 01:46:41 2001\nSubject: one\n\nx\n\n");
    assert_eq!(names(scratch.path()), ["Maildir", "out"]);
    use std::os::unix::fs::PermissionsExt;
    let other = scratch.path().join("new.mbox");
    convert([&maildir, &other]);
    assert_eq!(fs::metadata(&other).unwrap().permissions().mode() & 0o777, 0o600);
    // A directory gets a file in it.
    let folders = scratch.path().join("folders");
    fs::create_dir(&folders).unwrap();
    convert([maildir.as_os_str(), format!("mbox:{}", folders.display()).as_ref()]);
    assert_eq!(names(&folders), ["INBOX"]);
}

#[test]
fn a_dry_run_writes_nothing_and_counts_the_same() {
    let (scratch, maildir) = maildir(&what_peers_lose());
    let out = scratch.path().join("out");
    let before = tree(scratch.path());
    let mut dry = convert([OsStr::new("-n"), maildir.as_os_str(), out.as_os_str()]).summary();
    assert!(tree(scratch.path()) == before);
    let mut wet = convert([&maildir, &out]).summary();
    assert!(
        count(&dry, "bytes_needed") >= count(&wet, "bytes_source") && dry["seconds_estimated"].is_number()
    );
    for summary in [&mut dry, &mut wet] {
        let keys = summary.as_object_mut().unwrap();
        for key in ["seconds", "dry_run", "start", "end", "command_line"] {
            assert!(keys.remove(key).is_some(), "{key}");
        }
        keys.retain(|key, _| !["bytes_needed", "bytes_free", "seconds_estimated"].contains(&&key[..]));
    }
    assert_eq!(dry, wet);
    let before = tree(scratch.path());
    let dry =
        convert([OsStr::new("-n"), "--append".as_ref(), maildir.as_os_str(), out.as_os_str()]).summary();
    assert_eq!(count(&dry, "written"), 16);
    assert!(tree(scratch.path()) == before);
}

#[test]
fn standard_output_has_the_mbox_and_standard_error_the_report() {
    let (_scratch, maildir) = maildir(&[("new/1000000001.a.h", "Subject: one\n\nx\n")]);
    let mbox = "From MAILER-DAEMON Sun Sep  9 01:46:41 2001\nSubject: one\n\nx\n\n";
    let run_to = |options: &[&str]| {
        let mut command = mailferry(["convert"]);
        command.args(options).arg(&maildir).arg("-");
        run(command).exits(0)
    };
    let plain = run_to(&[]);
    is_text(&plain.stdout, mbox);
    assert!(
        plain.stderr.starts_with("1 message found, 1 written; every byte of 16 accounted for.\n"),
        "{plain:?}"
    );
    let json = run_to(&["--json"]);
    is_text(&json.stdout, mbox);
    let report = Run { code: Some(0), stdout: json.stderr.into_bytes(), stderr: String::new() };
    assert_eq!(count(&report.summary(), "written"), 1);
    assert_eq!(run_to(&["-q"]).stderr, "");
    let dry = run_to(&["-n"]);
    is_text(&dry.stdout, "");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let mails: Vec<(String, String)> = (0..4000)
        .map(|n| {
            (format!("new/{}.m.h", 1_000_000_000 + n), format!("Subject: {n}\n\n{}\n", "word ".repeat(90)))
        })
        .collect();
    let mails: Vec<(&str, &str)> = mails.iter().map(|(n, b)| (&n[..], &b[..])).collect();
    let (_scratch, maildir) = maildir(&mails);
    let script = "{ \"$@\"; echo $? >&2; } | head -c 10";
    let mut command = wrapped(script, [BINARY], ["convert", "-q"]);
    command.arg(&maildir).arg("-");
    let run = run(command);
    assert_eq!((run.text().as_str(), run.stderr.as_str()), ("From MAILE", "0\n"));
}

// Appending.

const OLD: &str = "From ada@example.org Mon Mar  2 08:15:00 1998\nSubject: old\n\nold\n";
const ADDED: &str = "From MAILER-DAEMON Sun Sep  9 01:46:41 2001\nSubject: one\n\nx\n";

#[track_caller]
fn appended(old: &str, prefix: &str) -> (Run, String) {
    let (scratch, maildir) = maildir(&[("new/1000000001.a.h", "Subject: one\n\nx\n")]);
    let out = scratch.path().join("out");
    fs::write(&out, old).unwrap();
    let named = format!("{prefix}{}", out.display());
    let run = run(convert_command([OsStr::new("--append"), maildir.as_os_str(), named.as_ref()]));
    assert_eq!(names(scratch.path()), ["Maildir", "out"]);
    (run, String::from_utf8(fs::read(out).unwrap()).unwrap())
}

#[test]
fn what_is_appended_is_never_glued_to_what_is_there() {
    let crlf = OLD.replace('\n', "\r\n");
    let framed = |text: &str| format!("{FRAME}{text}{FRAME}");
    for (old, missing, added) in [
        ("", "", format!("{ADDED}\n")),
        (&format!("{OLD}\n"), "", format!("{ADDED}\n")),
        (OLD, "\n", format!("{ADDED}\n")),
        (OLD.trim_end(), "\n\n", format!("{ADDED}\n")),
        (&crlf, "\r\n", format!("{ADDED}\n")),
        (crlf.trim_end(), "\r\n\r\n", format!("{ADDED}\n")),
        (&framed(OLD), "", framed(ADDED)),
        (framed(OLD).trim_end(), "\n", framed(ADDED)),
    ] {
        let (run, written) = appended(old, "");
        assert_eq!(count(&run.exits(0).summary(), "written"), 1);
        assert_eq!(written, format!("{old}{missing}{added}"), "{old:?}");
        let (scratch, source) = file("source", &written);
        let read =
            convert([OsStr::new("-n"), source.as_os_str(), scratch.path().join("Maildir").as_os_str()]);
        assert_eq!(count(&read.summary(), "messages_found"), 1 + u64::from(!old.is_empty()), "{written:?}");
    }
    // Content-Length where the mbox has it.
    let lengths = "From ada@example.org Mon Mar  2 08:15:00 1998\nContent-Length: 12\n\nFrom b\ntext\n\n";
    let (run, written) = appended(lengths, "");
    assert_eq!(run.exits(0).summary()["variant"], "mboxcl2");
    assert!(written.ends_with("Subject: one\nContent-Length: 2\n\nx\n\n"), "{written}");
}

#[test]
fn what_cannot_be_appended_to_is_refused_by_name_and_left_alone() {
    let cr = OLD.replace('\n', "\r");
    for (old, prefix, words) in [
        (&cr[..], "", &["CR alone"][..]),
        ("%PDF-1.4\n", "", &["PDF", "nothing was appended"]),
        ("Subject: letter\n\nx\n", "", &["one bare message"]),
        (OLD, "mmdf:", &["no MMDF"]),
        (&format!("{FRAME}{OLD}{FRAME}"), "mboxrd:", &["MMDF"]),
        (&format!("{FRAME}{OLD}"), "", &["never closed"]),
    ] {
        let (run, written) = appended(old, prefix);
        run.exits(3).complains(&["out"]).complains(words);
        assert_eq!(written, old);
    }
    let (scratch, source) = file("source", OLD);
    let command = convert_command([
        OsStr::new("--append"),
        source.as_os_str(),
        format!("mbox:{}", source.display()).as_ref(),
    ]);
    run(command).exits(2).complains(&["itself"]);
    let zipped = scratch.path().join("out.gz");
    fs::write(&zipped, b"\x1f\x8b\x08\0\0\0\0\0\0\0").unwrap();
    let command = convert_command([
        OsStr::new("--append"),
        source.as_os_str(),
        format!("mbox:{}", zipped.display()).as_ref(),
    ]);
    run(command).exits(3).complains(&["gzip"]);
    let absent = scratch.path().join("absent");
    let named = format!("mbox:{}", absent.display());
    convert([OsStr::new("--append"), source.as_os_str(), named.as_ref()]);
    assert_eq!(fs::read_to_string(absent).unwrap(), format!("{OLD}\n"), "where there is none it is made");
}

#[test]
fn appending_waits_for_locks_and_then_names_the_holder() {
    let (scratch, maildir) = maildir(&[("new/1000000001.a.h", "Subject: one\n\nx\n")]);
    let out = scratch.path().join("out");
    fs::write(&out, OLD).unwrap();
    let append = |lock: &str| {
        let mut command = convert_command(["--append", "--lock-timeout=1", lock]);
        command.args([&maildir, &out]);
        run(command)
    };
    fs::write(scratch.path().join("out.lock"), "4711 elsewhere").unwrap();
    append("--lock=dotlock,fcntl").exits(3).complains(&["out.lock", "4711 elsewhere"]);
    fs::remove_file(scratch.path().join("out.lock")).unwrap();
    let locked = fs::File::options().read(true).write(true).open(&out).unwrap();
    rustix::fs::fcntl_lock(&locked, rustix::fs::FlockOperation::LockExclusive).unwrap();
    append("--lock=dotlock,fcntl").exits(3).complains(&["out", "locked by"]);
    is_text(&fs::read(&out).unwrap(), OLD);
    drop(locked);
    append("--lock=dotlock,fcntl").exits(0);
    is_text(&fs::read(&out).unwrap(), &format!("{OLD}\n{ADDED}\n"));
    assert_eq!(names(scratch.path()), ["Maildir", "out"]);
}

#[test]
fn an_error_or_a_signal_leaves_the_mbox_unchanged() {
    if !have_strace() {
        return;
    }
    let mails: Vec<(String, String)> = (0..2000)
        .map(|n| (format!("new/{}.m.h", 1_000_000_000 + n), format!("Subject: {n}\n\nx\n")))
        .collect();
    let mails: Vec<(&str, &str)> = mails.iter().map(|(n, b)| (&n[..], &b[..])).collect();
    let (scratch, maildir) = maildir(&mails);
    let (out, log) = (scratch.path().join("out"), scratch.path().join("strace.log"));
    for (fault, code, words) in [
        ("pwrite64:error=ENOSPC:when=4", 3, "no space left"),
        ("pwrite64:error=EIO:when=1", 3, "input/output error"),
        ("fsync:error=EIO:when=1", 3, "input/output error"),
        ("pwrite64:signal=SIGINT:when=3", 4, "interrupted"),
        ("pwrite64:signal=SIGTERM:when=2", 4, "interrupted"),
        ("pwrite64:signal=SIGHUP:when=2", 4, "interrupted"),
    ] {
        for append in [false, true] {
            if append {
                fs::write(&out, OLD).unwrap();
            }
            let (trace, inject) =
                (format!("trace={}", fault.split(':').next().unwrap()), format!("inject={fault}"));
            let strace =
                ["strace", "-f", "-qq", "-o", log.to_str().unwrap(), "-e", &trace, "-e", &inject, BINARY];
            let mut command = wrapped("exec \"$@\"", strace, ["convert", "--json", "-j1"]);
            command.args(append.then_some("--append")).args([&maildir, &out]);
            let what = format!("{fault}, append: {append}");
            let run = run(command).exits(code).complains(&[words]);
            let log = fs::read_to_string(&log).unwrap();
            assert!(log.contains("(INJECTED)") || log.contains("--- SIG"), "{what}: {log}");
            let summary = run.summary();
            assert_eq!((count(&summary, "written"), count(&summary, "messages_found")), (0, 0), "{what}");
            assert_eq!(count(&summary, "bytes_not_reached"), count(&summary, "bytes_source"), "{what}");
            if append {
                is_text(&fs::read(&out).unwrap(), OLD);
                fs::remove_file(&out).unwrap();
            }
            assert_eq!(names(scratch.path()), ["Maildir", "strace.log"], "{what}");
        }
    }
}

#[test]
fn a_disk_too_small_leaves_nothing_found_before_or_meanwhile() {
    let Some(disk) = Disk::of("1m") else { return };
    let body = format!("Subject: large\n\n{}\n", "word ".repeat(2000));
    for (size, words) in [("", "not enough space"), (",S=1", "no space left")] {
        let mails: Vec<(String, &str)> =
            (0..200).map(|n| (format!("new/{}.m.h{size}", 1_000_000_000 + n), &body[..])).collect();
        let mails: Vec<(&str, &str)> = mails.iter().map(|(n, b)| (&n[..], *b)).collect();
        let (_scratch, maildir) = maildir(&mails);
        let out = disk.path.join("out");
        run(convert_command([&maildir, &out])).exits(3).complains(&[words]);
        assert_eq!(names(&disk.path), [""; 0]);
        fs::write(&out, OLD).unwrap();
        run(convert_command([OsStr::new("--append"), maildir.as_os_str(), out.as_os_str()]))
            .exits(3)
            .complains(&[words]);
        is_text(&fs::read(&out).unwrap(), OLD);
        fs::remove_file(&out).unwrap();
    }
}

// mbox to mbox.

#[test]
fn an_mbox_becomes_one_of_another_variant() {
    let rd = "From ada@example.org  Mon Mar  2 08:15 1998\nContent-Length: 99\nStatus: RO\nSubject: one\n\n>From here\n>>From there\n\n\
              From bob\nSubject: undated\nDate: Mon, 2 Mar 1998 09:00:00 +0000\n\nx\n\n";
    let (scratch, source) = file("old.mbox", rd);
    let dated = "From ada@example.org  Mon Mar  2 08:15 1998\n";
    let added = "From bob Mon Mar  2 09:00:00 1998\n";
    let head = "Status: RO\nSubject: one\n";
    let undated = "Subject: undated\nDate: Mon, 2 Mar 1998 09:00:00 +0000\n";
    // By the table the undated line is body, unless the user decides differently.
    let list = scratch.path().join("list");
    let second = rd.find("From bob").unwrap();
    fs::write(&list, format!("{second}\t9\tKHB\t9\tseparator\tFrom\n")).unwrap();
    let boundaries = format!("--boundaries={}", list.display());
    for (variant, expected) in [
        ("mboxrd", format!("{dated}{head}\n>From here\n>>From there\n\n{added}{undated}\nx\n\n")),
        ("mboxo", format!("{dated}{head}\n>From here\n>From there\n\n{added}{undated}\nx\n\n")),
        (
            "mboxcl",
            format!(
                "{dated}Content-Length: 23\n{head}\n>From here\n>From there\n\n{added}{undated}Content-Length: 2\n\nx\n\n"
            ),
        ),
        (
            "mboxcl2",
            format!(
                "{dated}Content-Length: 22\n{head}\nFrom here\n>From there\n\n{added}{undated}Content-Length: 2\n\nx\n\n"
            ),
        ),
        (
            "mmdf",
            format!(
                "{FRAME}{dated}{head}\nFrom here\n>From there\n{FRAME}{FRAME}{added}{undated}\nx\n{FRAME}"
            ),
        ),
    ] {
        let out = scratch.path().join(variant);
        let args = [
            "--lock=none".into(),
            boundaries.clone(),
            format!("mboxrd:{}", source.display()),
            format!("{variant}:{}", out.display()),
        ];
        let summary = convert(args).summary();
        assert_eq!((count(&summary, "written"), count(&summary, "bytes_source")), (2, rd.len() as u64));
        assert_eq!((count(&summary, "bytes_quoting"), &summary["variant"]), (2, &"mboxrd".into()));
        is_text(&fs::read(&out).unwrap(), &expected);
    }
}

#[test]
fn the_pseudo_message_is_skipped_in_an_export() {
    let pseudo = "From MAILER-DAEMON Mon Mar  2 08:00:00 1998\nFrom: Mail System Internal Data <MAILER-DAEMON@x>\n\
                  Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 0888826400 0000000002\n\n\
                  This text is part of the internal format of your mail folder.\n\n";
    let (scratch, source) = file("old.mbox", format!("junk\n\n{pseudo}{OLD}\n"));
    let out = scratch.path().join("out");
    let run = convert_junk([source.as_os_str(), format!("mboxcl2:{}", out.display()).as_ref()]);
    let summary = run.summary();
    assert_eq!(["messages_found", "written", "skipped"].map(|key| count(&summary, key)), [2, 1, 1]);
    assert_eq!(count(&summary, "bytes_junk"), 6);
    assert_eq!(run.complaints(), ["mbox-junk"]);
    let fields = "Subject: old\nX-IMAPbase: 888826400 0000000003\nX-UID: 3\nContent-Length: 4\n";
    let lengthy = OLD.replace("Subject: old\n", fields);
    is_text(&fs::read(&out).unwrap(), &format!("{lengthy}\n"));
}

#[test]
fn the_destination_has_the_other_format_without_a_prefix() {
    let (scratch, maildir) = maildir(&[("new/1000000001.a.h", "Subject: one\n\nx\n")]);
    let (inbox, out) = (scratch.path().join("inbox"), scratch.path().join("out"));
    fs::write(&inbox, OLD).unwrap();
    let prefixed = format!("mbox:{}", out.display());
    let other = scratch.path().join("other");
    let [inbox, out, maildir, prefixed, other] =
        [inbox.as_os_str(), out.as_os_str(), maildir.as_os_str(), prefixed.as_ref(), other.as_os_str()];
    let refused: [(&[&OsStr], i32, &[&str]); 7] = [
        (&[inbox, maildir, out], 2, &["out", "mbox: or maildir:"]),
        (&["--append".as_ref(), inbox, other], 2, &["--append", "for an mbox"]),
        (&["--dedupe=content".as_ref(), maildir, out], 2, &["--dedupe", "not into an mbox"]),
        (&["--host=h".as_ref(), maildir, out], 2, &["--host", "not into an mbox"]),
        (&[maildir, "rfc822:out".as_ref()], 2, &["one message"]),
        (&[maildir, maildir, out], 2, &["twice"]),
        (&[inbox, "mbox:/nonexistent/out".as_ref()], 3, &["/nonexistent"]),
    ];
    for (args, code, words) in refused {
        run(convert_command(args)).exits(code).complains(words);
        assert_eq!(names(scratch.path()), ["Maildir", "inbox"], "{words:?}");
    }
    let mut to_stream = mailferry([OsStr::new("convert"), inbox]);
    to_stream.arg("-");
    run(to_stream).exits(2).complains(&["standard output", "mbox:-"]);
    let summary = convert([inbox, maildir, prefixed]).summary();
    assert_eq!((count(&summary, "sources"), count(&summary, "written")), (2, 2));
    is_text(&fs::read(out).unwrap(), &format!("{OLD}\n{ADDED}\n"));
    convert([OsStr::new("--append"), "--eol=crlf".as_ref(), maildir, out]);
    let crlf = ADDED.replace('\n', "\r\n");
    is_text(&fs::read(out).unwrap(), &format!("{OLD}\n{ADDED}\n{crlf}\r\n"));
}

// Round trips.

/// Generates a normalised mbox: mboxrd; `From sender asctime` with the sender of the Return-Path if there is
/// one; Status and X-Status from the flags at the end of the header; a final newline and a blank line.
fn normalised() -> impl Strategy<Value = Vec<u8>> {
    let line = proptest::sample::select(&[
        "",
        "text",
        ">From a",
        ">>From b",
        "> quoted",
        ">>>From c@d Mon Jan  1 10:00:05 2001",
        "x\0\0y",
        "\u{fc}",
        "\tfolded",
        "Status: RO",
        "--x",
        "a\rb",
    ]);
    let body = proptest::collection::vec(line, 0..9);
    let status = proptest::sample::select(&[
        "",
        "Status: O\n",
        "Status: RO\n",
        "Status: O\nX-Status: AF\n",
        "Status: RO\nX-Status: AFTD\n",
        "Status: O\nX-Status: D\n",
    ]);
    let message = (body, status, any::<bool>(), 1u32..2000, any::<bool>());
    proptest::collection::vec(message, 0..12).prop_map(|mails| {
        let mut mbox = Vec::new();
        for (n, (body, status, path, seconds, crlf)) in mails.into_iter().enumerate() {
            let at = n as u32 * 2000 + seconds;
            let date = format!("Mon Mar  2 {:02}:{:02}:{:02} 1998", at / 3600, at / 60 % 60, at % 60);
            let sender = format!("s{n}@example.org");
            let path = if path { format!("Return-Path: <{sender}>\n") } else { String::new() };
            let body: String = body.iter().map(|line| format!("{line}\n")).collect();
            let message = format!("From {sender} {date}\n{path}Subject: {n}\n{status}\n{body}\n");
            mbox.extend(if crlf { message.replace('\n', "\r\n") } else { message }.into_bytes());
        }
        mbox
    })
}

#[test]
fn a_normalised_mbox_comes_back_without_its_manifest() {
    let cases = samples(24, 24, 500);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let property = |mbox: Vec<u8>| {
        let (scratch, source) = file("source", &mbox);
        let (maildir, out) = (scratch.path().join("Maildir"), scratch.path().join("out"));
        convert([
            OsStr::new("--fsync=none"),
            format!("mboxrd:{}", source.display()).as_ref(),
            maildir.as_os_str(),
        ]);
        convert([OsStr::new("--fsync=none"), maildir.as_os_str(), out.as_os_str()]);
        let got = fs::read(&out).unwrap();
        prop_assert_eq!(got.escape_ascii().to_string(), mbox.escape_ascii().to_string());
        Ok(())
    };
    TestRunner::new(config).run(&normalised(), property).unwrap();
}

/// Generates messages with lines that a reader may take for quoting, and fields by which it judges the variant.
fn tempting() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let line = proptest::sample::select(&[
        "",
        "text",
        "> quoted",
        ">> quoted twice",
        "From here on",
        ">From here on",
        ">>From here on",
        ">>>From here on",
        "From a@b Mon Jan  1 10:00:05 2001",
        "Subject: in the body",
    ]);
    let field = proptest::sample::select(&["", "X-UID: 7\n", "X-IMAPbase: 1 9\n", "Content-Length: 5\n"]);
    let message_parts = (field, proptest::collection::vec(line, 0..6));
    // The subjects differ: a message that is read with other bytes could otherwise equal another one.
    let message = |(n, (field, body)): (usize, (&str, Vec<&str>))| {
        let body: String = body.iter().map(|line| format!("{line}\n")).collect();
        format!("From: a@example.org\nSubject: {n}\n{field}\n{body}").into_bytes()
    };
    let messages = proptest::collection::vec(message_parts, 1..5);
    messages.prop_map(move |messages| messages.into_iter().enumerate().map(message).collect())
}

/// Counts the messages by their lasting bytes, whatever their names are.
fn lasting_texts(maildir: &Path) -> BTreeMap<String, u32> {
    let mut texts = BTreeMap::new();
    for directory in ["new", "cur"] {
        for entry in fs::read_dir(maildir.join(directory)).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            *texts.entry(lasting(&bytes).escape_ascii().to_string()).or_insert(0) += 1;
        }
    }
    texts
}

#[test]
fn what_is_written_reads_back_without_a_prefix_or_is_named() {
    let config = Config { cases: samples(30, 60, 1000), failure_persistence: None, ..Config::default() };
    let variants = proptest::sample::select(&["mboxo", "mboxrd", "mboxcl", "mboxcl2", "mmdf"]);
    let property = |(variant, texts): (&str, Vec<Vec<u8>>)| {
        let names: Vec<_> = (0..texts.len()).map(|n| format!("new/{}.M1P1.h", 1_000_000_000 + n)).collect();
        let messages: Vec<_> = names.iter().map(String::as_str).zip(&texts).collect();
        let (scratch, first) = maildir(&messages);
        let (out, again) = (scratch.path().join("out"), scratch.path().join("again"));
        let named = format!("{variant}:{}", out.display());
        let wrote = convert([OsStr::new("--fsync=none"), first.as_os_str(), named.as_ref()]);
        let warned = |code: &str| wrote.findings().iter().filter(|f| f["code"] == code).count();
        // An existing > that mboxo and mboxcl cannot represent is reported by its own code.
        if warned("quoting-ambiguous") > 0 {
            return Ok(());
        }
        run(convert_command([OsStr::new("--fsync=none"), out.as_os_str(), again.as_os_str()])).exits(0);
        let (before, after) = (lasting_texts(&first), lasting_texts(&again));
        let changed: u32 = before.iter().map(|(text, n)| n - n.min(after.get(text).unwrap_or(&0))).sum();
        prop_assert_eq!(warned("read-back-differs") as u32, changed, "{}", wrote.text());
        let by_prefix = scratch.path().join("by_prefix");
        run(convert_command([OsStr::new("--fsync=none"), named.as_ref(), by_prefix.as_os_str()])).exits(0);
        prop_assert_eq!(lasting_texts(&by_prefix), before);
        Ok(())
    };
    TestRunner::new(config).run(&(variants, tempting()), property).unwrap();
}

/// Converts mbox → Maildir → mbox → Maildir, and returns an error if the Maildirs differ.
fn round_trip(source: &Path) -> Result<(), String> {
    let scratch = scratch();
    let [there, out, again] = ["there", "out", "again"].map(|name| scratch.path().join(name));
    let step = |from: &OsStr, to: &Path| {
        let mut command = convert_command(["--lock=none", "--fsync=none", "-j1"]);
        command.arg(from).arg(to);
        run(command)
    };
    if step(source.as_os_str(), &there).code != Some(0) {
        return Ok(());
    }
    for (from, to) in [(there.as_os_str(), &out), (format!("mboxrd:{}", out.display()).as_ref(), &again)] {
        let run = step(from, to);
        if run.code != Some(0) {
            return Err(format!("{source:?}: {run:?}"));
        }
    }
    let (first, second) = (mail(&there), mail(&again));
    let lost = first.iter().find(|(mail, n)| second.get(*mail) != Some(n));
    match lost {
        _ if first == second => Ok(()),
        Some((mail, _)) => Err(format!(
            "{source:?}: {} of {} messages came back, not {mail:.600?}",
            second.len(),
            first.len()
        )),
        None => Err(format!("{source:?}: {} messages became {}", first.len(), second.len())),
    }
}

#[test]
fn every_hostile_mbox_comes_there_and_back_and_there_again() {
    let Some(hard) = shared("hard") else { return };
    let files = fs::read_dir(hard).unwrap().map(|entry| entry.unwrap().path());
    let wrong: Vec<String> = files
        .filter(|f| f.as_os_str().as_bytes().ends_with(b".mbox"))
        .filter_map(|f| round_trip(&f).err())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn real_mailboxes_come_there_and_back_and_there_again() {
    let Some(archive) = shared("corpus/open.tar.zst") else { return };
    let scratch = scratch();
    let packed = zstd::Decoder::new(fs::File::open(archive).unwrap()).unwrap();
    tar::Archive::new(packed).unpack(scratch.path()).unwrap();
    let files: Vec<PathBuf> = tree(scratch.path())
        .into_iter()
        .filter(|(_, l)| !l.digest.is_empty())
        .map(|(path, _)| path)
        .collect();
    assert!(files.len() > 1000, "{} files", files.len());
    let step = samples(26, 13, 1);
    let wrong: Vec<String> =
        files.iter().step_by(step).filter_map(|file| round_trip(&scratch.path().join(file)).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A FIFO among the messages is reported and does not keep any message from being read.
#[test]
fn a_file_that_is_not_a_message_is_named_and_skipped() {
    let (scratch, maildir) = maildir(&[
        ("cur/1000000001.1.host:2,S", "Subject: one\n\n"),
        ("new/1000000003.3.host", "Subject: two\n\n"),
    ]);
    let fifo = maildir.join("cur/1000000002.2.host:2,S");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    std::os::unix::fs::symlink("/nonexistent", maildir.join("cur/1000000004.4.host:2,")).unwrap();
    fs::create_dir(maildir.join("new/1000000005.5.host")).unwrap();
    let out = scratch.path().join("out");
    for dry in [true, false] {
        let mut command = convert_command(if dry { &["-n"][..] } else { &[] });
        command.args([&maildir, &out]);
        let run = run(command).exits(1);
        assert_eq!(run.findings().iter().filter(|f| f["code"] == "maildir-not-a-file").count(), 3);
        let summary = run.summary();
        let sums = ["messages_found", "written", "skipped"].map(|key| count(&summary, key));
        assert_eq!(sums, [5, 2, 3]);
        assert_eq!(out.exists(), !dry);
    }
    let written = fs::read_to_string(&out).unwrap();
    assert_eq!(written.matches("\nSubject: ").count(), 2, "{written}");
    let listed = run(mailferry(["inspect", maildir.to_str().unwrap()])).exits(1);
    assert_eq!(listed.text().lines().count(), 2);
    assert!(listed.stderr.contains("3 unreadable files left out"), "{}", listed.stderr);
    let run = run(mailferry(["inspect", "--json", maildir.to_str().unwrap()])).exits(1);
    assert_eq!(run.complaints(), ["maildir-not-a-file"]);
}

#[test]
fn a_source_is_not_replaced_by_its_result() {
    let scratch = scratch();
    let source = scratch.path().join("f");
    fs::write(&source, [b"precious\n", &many(2)[..]].concat()).unwrap();
    let link = scratch.path().join("link");
    std::os::unix::fs::symlink(&source, &link).unwrap();
    let before = fs::read(&source).unwrap();
    for from in [&source, &link] {
        let mut command = convert_command(["--force"]);
        command.arg(from).arg(format!("mbox:{}", source.display()));
        run(command).exits(2).complains(&["is a source too"]);
    }
    assert!(fs::read(&source).unwrap() == before);
}

/// Nothing is reported about mail that was not read.
#[test]
fn what_was_cut_off_by_its_reader_is_not_summed_up() {
    let (_scratch, maildir) =
        maildir(&[("cur/1000000001.1.host:2,S", format!("Subject: x\n\n{}", "line\n".repeat(4_000_000)))]);
    let pipe = ["sh", "-c", "\"$0\" convert \"$1\" - 2>err | head -c 100 >/dev/null"];
    let mut command = wrapped("exec \"$@\"", pipe, [BINARY]);
    command.arg(&maildir).current_dir(maildir.parent().unwrap());
    run(command).exits(0);
    let stderr = fs::read_to_string(maildir.with_file_name("err")).unwrap();
    assert!(stderr.contains("was closed by its reader") && !stderr.contains("every byte of 2"), "{stderr}");
}
