//! What users read on a terminal of 80 and of 120 columns.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use expect_test::{Expect, expect};

use crate::support::*;

/// A tree with flags, a folder in a folder, a name of CJK characters and a file without mail.
fn account() -> tempfile::TempDir {
    let scratch = scratch();
    let mail = scratch.path().join("Mail");
    fs::create_dir_all(mail.join("Inbox.sbd")).unwrap();
    let message = |n: u32, status: &str| {
        format!(
            "From - Mon Jan  5 10:{n:02}:00 2009\nX-Mozilla-Status: {status}\nSubject: {n}\n\
             From: ada@example.org\n\nx\n\n"
        )
    };
    let messages = |statuses: &[&str]| {
        let numbered = statuses.iter().enumerate();
        numbered.map(|(n, status)| message(n as u32, status)).collect::<String>()
    };
    fs::write(mail.join("Inbox"), messages(&["0001", "0009", "0000"])).unwrap();
    fs::write(mail.join("Inbox.sbd/Travel"), messages(&["0005"; 12])).unwrap();
    fs::write(mail.join("受信箱"), messages(&["0000"; 2])).unwrap();
    fs::write(mail.join("prefs.js"), "user_pref();\n").unwrap();
    scratch
}

/// Runs convert in a directory on a terminal, and compares what it shows. Times and sizes of the disk differ each time.
fn shows(scratch: &tempfile::TempDir, columns: u16, words: &[&str], expected: &Expect) {
    let mut command = mailferry([&["convert", "--lock=none", "--progress=never"], words].concat());
    command.current_dir(scratch.path()).env("NO_COLOR", "1");
    let run = run_on_terminal(command, columns);
    let steady = run.text().lines().map(steady).collect::<Vec<_>>().join("\n");
    assert!(run.text().lines().all(|line| console_width(line) <= usize::from(columns)), "{}", run.text());
    expected.assert_eq(&(steady + "\n"));
}

fn console_width(line: &str) -> usize {
    line.chars().map(|c| if ('\u{3000}'..='\u{9fff}').contains(&c) { 2 } else { 1 }).sum()
}

/// Replaces what differs in each run.
fn steady(line: &str) -> String {
    if let Some((before, _)) = line.split_once("done in ") {
        return format!("{before}done in TIME.");
    }
    match (line.split_once("that needs "), line.split_once(" are free)")) {
        (Some((before, _)), Some((_, rest))) => format!("{before}that needs SIZE (SPACE are free){rest}"),
        _ => line.to_owned(),
    }
}

#[test]
fn the_report_of_a_tree_fits_the_terminal_and_adds_up() {
    let scratch = account();
    let report = expect![[r#"
        1 other file or link skipped: without mail; -v names it
        folder        found  to write  already  skipped  from
        INBOX             3         3        0        0  Inbox
        INBOX/Travel     12        12        0        0  Inbox.sbd/Travel
        受信箱            2         2        0        0  受信箱
        17 messages found, 17 would be written; every byte of 1,566 accounted for.
        14 read, 3 unread, 12 flagged, 1 deleted (--deleted skip leaves them out);
        2009-01-05.
        17 dates without a zone were taken as UTC (--from-zone names another zone).
        Maildir would be a Maildir with 3 folders; that needs SIZE (SPACE are free)
        and about a second.
        Do it: mailferry convert --lock=none --progress=never Mail Maildir
    "#]];
    shows(&scratch, 80, &["-n", "Mail", "Maildir"], &report);
    let report = expect![[r#"
        1 other file or link skipped: without mail; -v names it
        folder        found  written  already  skipped  from
        INBOX             3        3        0        0  Inbox
        INBOX/Travel     12       12        0        0  Inbox.sbd/Travel
        受信箱            2        2        0        0  受信箱
        17 messages found, 17 written; every byte of 1,566 accounted for.
        14 read, 3 unread, 12 flagged, 1 deleted (--deleted skip leaves them out);
        2009-01-05.
        17 dates without a zone were taken as UTC (--from-zone names another zone).
        Maildir is a Maildir with 3 folders; done in TIME.
        Check it any time: mailferry verify Maildir
    "#]];
    shows(&scratch, 80, &["Mail", "Maildir"], &report);
    let report = expect![[r#"
        1 other file or link skipped: without mail; -v names it
        folder        found  written  already  skipped  from
        INBOX             3        0        3        0  Inbox
        INBOX/Travel     12        0       12        0  Inbox.sbd/Travel
        受信箱            2        0        2        0  受信箱
        17 messages found, 0 written, 17 already there; every byte of 1,566 accounted for.
        Maildir is a Maildir with 3 folders; done in TIME.
        Check it any time: mailferry verify Maildir
    "#]];
    shows(&scratch, 120, &["Mail", "Maildir"], &report);
    let sent = "From - Tue Jan  6 10:00:00 2009\nSubject: new\n\nx\n\n";
    let grown = fs::read_to_string(scratch.path().join("Mail/Inbox")).unwrap() + sent;
    fs::write(scratch.path().join("Mail/Inbox"), grown).unwrap();
    let report = expect![[r#"
        1 other file or link skipped: without mail; -v names it
        folder        found  written  already  skipped  from
        INBOX             4        1        3        0  Inbox
        INBOX/Travel     12        0       12        0  Inbox.sbd/Travel
        受信箱            2        0        2        0  受信箱
        18 messages found, 1 written, 17 already there; every byte of 1,615 accounted
        for.
        0 read, 1 unread; 2009-01-06.
        1 date without a zone was taken as UTC (--from-zone names another zone).
        Maildir is a Maildir with 3 folders; done in TIME.
        Check it any time: mailferry verify Maildir
    "#]];
    shows(&scratch, 80, &["Mail", "Maildir"], &report);
}

#[test]
fn a_verdict_is_broken_between_words_and_findings_align() {
    let scratch = account();
    let long = "A folder with a name that is longer than half of the line of a terminal";
    fs::rename(scratch.path().join("Mail/Inbox"), scratch.path().join("Mail").join(long)).unwrap();
    let broken = fs::read("tests/fixtures/broken.mbox").unwrap();
    fs::write(scratch.path().join("broken.mbox"), broken).unwrap();
    let on_terminal = |words: &[&str]| {
        let mut command = mailferry(words);
        command.current_dir(scratch.path()).env("NO_COLOR", "1");
        run_on_terminal(command, 80).text().to_owned()
    };
    on_terminal(&["convert", "Mail", "Maildir"]);
    let verdict = on_terminal(&["verify", "Maildir"]);
    assert!(verdict.lines().all(|line| console_width(line) <= 80), "{verdict}");
    for words in [["convert", "broken.mbox", "out"].as_slice(), &["verify", "broken.mbox"]] {
        let report = on_terminal(words);
        let findings = report.lines().filter(|line| line.starts_with("  line "));
        let columns: Vec<_> = findings.map(|line| line.find("error").or(line.find("warning"))).collect();
        assert!(columns.len() > 4 && columns.iter().all(|column| *column == columns[0]), "{report}");
    }
}

#[test]
fn a_broken_mailbox_has_its_findings_in_columns_with_what_to_do() {
    let scratch = scratch();
    let broken = "junk here\nFrom a@b Mon Jan  5 10:00:00 2009\nSubject: x\nContent-Length: 9\n\nhi\n\
                  From a@b Mon Jan  5 10:00:00 2009\nSubject: x\nFro";
    fs::write(scratch.path().join("broken.mbox"), broken).unwrap();
    let report = expect![[r#"
        broken.mbox:
          line 1  error    10 bytes that belong to no message; they are not converted
                           [mbox-junk]
                           look at the line that is reported; the manifest keeps these
                           bytes, and convert --exact restores them
          line 4  warning  Content-Length 9 does not end at a separator (byte 83); it
                           was ignored  [mbox-content-length]
          line 7  warning  no blank line before this From_ line; it has a date and a
                           header follows, so a message begins here
                           [mbox-no-blank-line]
          line 7  warning  the file ends inside the header of this message
                           [mbox-header-cut]
                           look for the rest of it in a backup
        2 messages found, 2 written; every byte of 125 accounted for.
        0 read, 2 unread; 2009-01-05.
        2 dates without a zone were taken as UTC (--from-zone names another zone).
        one is a Maildir; done in TIME.
        See the errors above; the same command again writes only what is missing.
    "#]];
    shows(&scratch, 80, &["broken.mbox", "one"], &report);
    let report = expect![[r#"
        broken.mbox:
          line 1  error    10 bytes that belong to no message; they are not converted  [mbox-junk]
                           look at the line that is reported; the manifest keeps these bytes, and convert --exact restores them
          line 4  warning  Content-Length 9 does not end at a separator (byte 83); it was ignored  [mbox-content-length]
          line 7  warning  no blank line before this From_ line; it has a date and a header follows, so a message begins here
                           [mbox-no-blank-line]
          line 7  warning  the file ends inside the header of this message  [mbox-header-cut]
                           look for the rest of it in a backup
        2 messages found, 2 written; every byte of 125 accounted for.
        0 read, 2 unread; 2009-01-05.
        2 dates without a zone were taken as UTC (--from-zone names another zone).
        two is a Maildir; done in TIME.
        See the errors above; the same command again writes only what is missing.
    "#]];
    shows(&scratch, 120, &["broken.mbox", "two"], &report);
}

/// A disk of a megabyte.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf) -> Option<SmallDisk> {
        fs::create_dir(&path).unwrap();
        let options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs", path.to_str().unwrap()];
        let mounted = Command::new("mount").args(options).output();
        mounted.is_ok_and(|run| run.status.success()).then_some(SmallDisk(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_is_named_with_its_numbers_and_the_remedy() {
    let scratch = scratch();
    let Some(_disk) = SmallDisk::mount(scratch.path().join("disk")) else {
        skip!("cannot mount a tmpfs");
    };
    fs::write(scratch.path().join("in.mbox"), many(400)).unwrap();
    let narrow = expect![[r#"
        mailferry: disk: not enough space: 1,780,380 bytes needed, 1,048,576 free
          free some space or name another destination; nothing was written
    "#]];
    let wide = expect![[r#"
        mailferry: disk: not enough space: 1,780,380 bytes needed, 1,048,576 free
          free some space or name another destination; nothing was written
    "#]];
    shows(&scratch, 80, &["in.mbox", "disk/Maildir"], &narrow);
    shows(&scratch, 120, &["in.mbox", "disk/Maildir"], &wide);
}

#[test]
fn the_short_help_of_convert_fits_a_screen() {
    for (columns, most) in [(80, 45), (120, 40)] {
        let run = run_on_terminal(mailferry(["convert", "-h"]), columns).exits(0);
        let lines = run.text().lines().count();
        assert!(lines <= most, "{lines} lines at {columns} columns: {}", run.text());
        assert!(run.text().lines().all(|line| line.len() <= usize::from(columns)), "{}", run.text());
    }
}
