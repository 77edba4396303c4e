//! A Maildir never exceeds its quota, even when other programs deliver into it: maildrop's deliverquota
//! appends to the same maildirsize, and Dovecot reads it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::peers::{Dovecot, have_dovecot};
use crate::support::*;

/// Size of a message with LF line ends.
const SIZE: usize = 300;

fn message() -> Vec<u8> {
    let mut message = b"Subject: all of it\n\n".to_vec();
    message.resize(SIZE - 1, b'x');
    message.push(b'\n');
    message
}

/// A scratch directory with a Maildir, two folders, and optionally a maildirsize.
struct QuotaMaildir {
    scratch: TempDir,
}

/// Creates a Maildir as a program does that keeps mail private.
pub(crate) fn new_maildir(path: &Path) {
    ["tmp", "new", "cur"].iter().for_each(|place| fs::create_dir_all(path.join(place)).unwrap());
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
}

impl QuotaMaildir {
    fn new(maildirsize: Option<&str>) -> QuotaMaildir {
        let this = QuotaMaildir { scratch: scratch() };
        for folder in ["", ".Lists.qmail", ".Trash"] {
            new_maildir(&this.path(folder));
            if !folder.is_empty() {
                fs::write(this.path(folder).join("maildirfolder"), "").unwrap();
            }
        }
        if let Some(text) = maildirsize {
            fs::write(this.path("maildirsize"), text).unwrap();
        }
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join("Maildir").join(name)
    }

    fn deliver(&self, options: &[&str]) -> Run {
        let mut command = mailferry(["deliver"]);
        command.args(options).arg(self.path(""));
        run_with_stdin(command, message())
    }

    /// Asserts the contents of maildirsize, with the sum as one line.
    #[track_caller]
    fn has_sum(&self, limits: &str, bytes: usize, messages: usize) {
        let text = fs::read_to_string(self.path("maildirsize")).unwrap();
        assert_eq!(sums(&text), (limits.to_owned(), bytes as i64, messages as i64), "{text}");
        assert!(!self.path("mailferry.counting").exists());
        self.verifies();
    }

    /// Asserts that verify confirms the sum.
    #[track_caller]
    fn verifies(&self) {
        let mut command = mailferry(["verify", "--json"]);
        command.arg(self.path(""));
        let findings = run(command).findings();
        assert!(findings.iter().all(|f| f["code"] != "maildirsize-drift"), "{findings:#?}");
    }

    /// Counts the messages in new/ and cur/ of the Maildir or a folder, and asserts that tmp/ is empty.
    #[track_caller]
    fn message_count(&self, folder: &str) -> usize {
        assert!(files(&self.path(folder).join("tmp")).is_empty());
        self.message_files(folder).len()
    }

    fn message_files(&self, folder: &str) -> Vec<PathBuf> {
        ["new", "cur"].iter().flat_map(|place| files(&self.path(folder).join(place))).collect()
    }

    /// Sets the mtime of maildirsize back.
    fn age(&self) {
        let file = fs::File::options().append(true).open(self.path("maildirsize")).unwrap();
        let hours_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
        file.set_modified(hours_ago).unwrap();
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Returns the first line of a maildirsize, and the sums of the others.
pub(crate) fn sums(text: &str) -> (String, i64, i64) {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default().to_owned();
    let numbers = lines.map(|line| line.split_whitespace().map(|n| n.parse().unwrap()).collect::<Vec<i64>>());
    let (bytes, messages) = numbers.fold((0, 0), |(b, m), line| (b + line[0], m + line[1]));
    (first, bytes, messages)
}

#[test]
fn over_quota_is_for_good_or_tried_again_as_is_asked_for() {
    let maildir = QuotaMaildir::new(None);
    let quota = ["--quota", "899S"];
    maildir.deliver(&quota).exits(0);
    maildir.deliver(&quota).exits(0);
    maildir.has_sum("899S", 600, 2);
    for (options, code, status) in [
        (&[][..], 77, "5.2.2"),
        (&["--quota-temp"], 75, "4.2.2"),
        (&["--exit-codes", "qmail"], 100, "5.2.2"),
        (&["--exit-codes", "qmail", "--quota-temp"], 111, "4.2.2"),
    ] {
        let run = maildir.deliver(&[&quota, options].concat()).exits(code);
        let first = run.stderr.lines().next().unwrap();
        let over = "over quota: 600 of 899 bytes used; this message has 300 bytes";
        assert_eq!(first, format!("{status} {}: {over}", maildir.path("").display()));
        assert_eq!(maildir.message_count(""), 2);
        maildir.has_sum("899S", 600, 2);
    }
    // The last byte fits.
    maildir.deliver(&["--quota", "900S"]).exits(0);
    maildir.has_sum("900S", 900, 3);
}

#[test]
fn the_quota_that_is_asked_for_is_the_maildirs_from_then_on() {
    let maildir = QuotaMaildir::new(None);
    maildir.deliver(&[]).exits(0);
    assert!(!maildir.path("maildirsize").exists());
    maildir.deliver(&["--quota", "1000S,10C"]).exits(0);
    maildir.has_sum("1000S,10C", 600, 2);
    maildir.deliver(&["--quota", "2C"]).exits(77);
    maildir.has_sum("2C", 600, 2);
    // Without --quota the last limits apply.
    maildir.deliver(&[]).exits(77);
    maildir.deliver(&["--quota", "3C"]).exits(0);
    maildir.has_sum("3C", 900, 3);
    maildir.deliver(&["--quota", "0S"]).exits(0);
    maildir.has_sum("0S", 1200, 4);
    for wrong in ["", "1000", "1000s", "-1S", "1S;1C", "1S,2S"] {
        maildir.deliver(&["--quota", wrong]).exits(75);
    }
    maildir.has_sum("0S", 1200, 4);
}

#[test]
fn a_folder_counts_in_its_maildir_and_the_trash_does_not() {
    let maildir = QuotaMaildir::new(Some("700S\n0 0\n"));
    maildir.deliver(&[]).exits(0);
    maildir.deliver(&["--folder", "Lists.qmail"]).exits(0);
    maildir.has_sum("700S", 600, 2);
    maildir.deliver(&["--folder", "Lists.qmail"]).exits(77);
    maildir.deliver(&["--folder", "New", "--create"]).exits(77);
    maildir.deliver(&["--folder", "Trash"]).exits(0);
    maildir.deliver(&["--flags", "ST"]).exits(0);
    maildir.has_sum("700S", 600, 2);
    assert_eq!(
        ["", ".Lists.qmail", ".Trash", ".New"].map(|folder| maildir.message_count(folder)),
        [2, 1, 1, 0]
    );
    assert!(!maildir.path(".Lists.qmail/maildirsize").exists());
    // The path of a folder means that folder, in any spelling.
    fs::write(maildir.path("maildirsize"), "1200S\n600 2\n").unwrap();
    for target in [maildir.path(".Lists.qmail"), maildir.path(".Lists.qmail/"), ".".into()] {
        let mut command = mailferry(["deliver"]);
        command.arg(target).current_dir(maildir.path(".Lists.qmail"));
        let expected = if maildir.message_count(".Lists.qmail") < 3 { 0 } else { 77 };
        run_with_stdin(command, message()).exits(expected);
    }
    maildir.has_sum("1200S", 1200, 4);
}

#[test]
fn a_damaged_or_doubtful_sum_is_counted_again() {
    for (text, limits) in [
        ("", "0S"),
        ("5000S,9C", "5000S,9C"),
        ("5000S\n300", "5000S"),
        ("5000S\nnothing\n", "5000S"),
        ("5000S\n-300 -1\n", "5000S"),
        ("5000S\n4900 1\n99 1\n", "5000S"),
        ("5000S,7X\n\0\0\0\0\0\0\n", "5000S,7X"),
    ] {
        let maildir = QuotaMaildir::new(None);
        maildir.deliver(&[]).exits(0);
        // Other programs trust S=, though it is wrong.
        fs::write(maildir.path("cur/1.M1P1.h,S=5:2,S"), [b'x'; 100]).unwrap();
        fs::write(maildir.path("maildirsize"), text).unwrap();
        maildir.deliver(&[]).exits(0);
        maildir.has_sum(limits, 700, 3);
    }
    // Full according to the file, whatever is there: trusted for a quarter of an hour.
    let maildir = QuotaMaildir::new(Some("1000S\n999 1\n"));
    maildir.deliver(&[]).exits(77);
    maildir.age();
    maildir.deliver(&[]).exits(0);
    maildir.has_sum("1000S", 300, 1);
    // A long file is rewritten as a short one.
    let text = format!("1000000S\n300 1\n{}", "0 0\n".repeat(2000));
    fs::write(maildir.path("maildirsize"), text).unwrap();
    maildir.deliver(&[]).exits(0);
    assert!(fs::metadata(maildir.path("maildirsize")).unwrap().len() < 100);
    maildir.has_sum("1000000S", 600, 2);
}

#[test]
fn mail_that_is_converted_into_it_counts() {
    let b = QuotaMaildir::new(Some("100000S,100C\n0 0\n"));
    b.deliver(&[]).exits(0);
    let mbox = b.scratch.path().join("old.mbox");
    fs::write(&mbox, many(10)).unwrap();
    for folder in ["", ".Lists.qmail"] {
        convert([mbox.as_os_str(), b.path(folder).as_os_str()]);
    }
    let sound = run(mailferry(
        ["verify", "--json"].map(std::ffi::OsStr::new).into_iter().chain([b.path("").as_os_str()]),
    ));
    assert_eq!(sound.exits(0).complaints(), [""; 0]);
}

#[test]
fn the_next_delivery_repairs_the_sum_after_a_kill() {
    let maildir = QuotaMaildir::new(Some("1000S\n0 0\n"));
    maildir.deliver(&[]).exits(0);
    // It was killed between its line and its message.
    fs::write(maildir.path("maildirsize"), "1000S\n0 0\n300 1\n300 1\n").unwrap();
    fs::write(maildir.path("mailferry.counting"), "").unwrap();
    let mut command = mailferry(["verify", "--json"]);
    command.arg(maildir.path(""));
    let findings = run(command).findings();
    let codes: Vec<_> = findings.iter().map(|f| f["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["maildirsize-drift"], "{findings:#?}");
    assert!(findings[0]["mend"].as_str().unwrap().contains("the next one counts"), "{findings:#?}");
    maildir.deliver(&[]).exits(0);
    maildir.has_sum("1000S", 600, 2);
}

/// It was killed after it counted a message that leaves no space.
#[test]
fn a_refused_delivery_also_repairs_the_sum_after_a_kill() {
    let maildir = QuotaMaildir::new(Some("1000S,1C\n0 0\n"));
    maildir.deliver(&[]).exits(0);
    fs::write(maildir.path("maildirsize"), "1000S,1C\n300 1\n").unwrap();
    fs::write(maildir.path("mailferry.counting"), "").unwrap();
    maildir.deliver(&[]).exits(77);
    assert!(!maildir.path("mailferry.counting").exists());
    maildir.has_sum("1000S,1C", 300, 1);
}

/// One of two mailboxes is full: neither gets the message, and neither sum counts it.
#[test]
fn what_is_taken_back_is_taken_out_of_the_sum() {
    let (roomy, full) = (QuotaMaildir::new(Some("1000S\n0 0\n")), QuotaMaildir::new(Some("1000S\n0 0\n")));
    let both = |paths: [PathBuf; 2]| {
        let mut command = mailferry(["deliver"]);
        command.args(paths);
        run_with_stdin(command, message())
    };
    let paths = || [roomy.path(""), full.path("")];
    for _ in 0..3 {
        both(paths()).exits(0);
    }
    fs::remove_file(&roomy.message_files("")[0]).unwrap();
    fs::write(roomy.path("maildirsize"), "1000S\n600 2\n").unwrap();
    // The sum is in doubt, so the overrun is not known before everything is written.
    fs::write(full.path("maildirsize"), "1000S\n500 2\n400 1\n").unwrap();
    both(paths()).exits(77);
    roomy.has_sum("1000S", 600, 2);
    full.has_sum("1000S", 900, 3);
    assert_eq!((roomy.message_count(""), full.message_count("")), (2, 3));
}

#[test]
fn the_umask_sets_the_mode_of_the_file() {
    let maildir = QuotaMaildir::new(None);
    maildir.deliver(&["--quota", "1000S", "--umask", "007"]).exits(0);
    let mode = |name: &str| fs::metadata(maildir.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("maildirsize"), 0o660);
    // The mode stays when the file is rewritten.
    maildir.deliver(&["--quota", "2000S", "--umask", "007"]).exits(0);
    assert_eq!(mode("maildirsize"), 0o660);
}

const DELIVERQUOTA: &str = "/usr/sbin/deliverquota.maildrop";

#[test]
fn maildrops_deliverquota_and_this_keep_one_sum() {
    if !Path::new(DELIVERQUOTA).exists() {
        skip!("maildrop is not here");
    }
    let maildir = QuotaMaildir::new(None);
    let theirs = |folder: &str| {
        let file = maildir.scratch.path().join("letter");
        fs::write(&file, message()).unwrap();
        let mut command = Command::new(DELIVERQUOTA);
        command.arg(maildir.path(folder)).stdin(fs::File::open(file).unwrap());
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().code().unwrap()
    };
    maildir.deliver(&["--quota", "2000S,10C"]).exits(0);
    assert_eq!(theirs(""), 0);
    maildir.deliver(&["--folder", "Lists.qmail"]).exits(0);
    assert_eq!(theirs(".Lists.qmail"), 0);
    maildir.has_sum("2000S,10C", 1200, 4);
    maildir.deliver(&[]).exits(0);
    assert_eq!(theirs(""), 0);
    // 200 bytes are free.
    assert_eq!(theirs(""), 77);
    maildir.deliver(&[]).exits(77);
    maildir.has_sum("2000S,10C", 1800, 6);
    // Both programs count deleted messages again when the sum is old.
    for _ in 0..2 {
        fs::remove_file(&maildir.message_files("")[0]).unwrap();
    }
    maildir.age();
    assert_eq!(theirs(""), 0);
    maildir.has_sum("2000S,10C", 1500, 5);
    maildir.deliver(&[]).exits(0);
    maildir.has_sum("2000S,10C", 1800, 6);
    // deliverquota pads its lines, mailferry does not. Each reads the other's.
    assert!(fs::read_to_string(maildir.path("maildirsize")).unwrap().contains("\n        1200 "));
}

#[test]
fn dovecot_sees_flags_sizes_and_the_quota_of_what_was_delivered() {
    if !have_dovecot() {
        return;
    }
    let maildir = QuotaMaildir::new(None);
    maildir.deliver(&["--quota", "10240S,7C"]).exits(0);
    maildir.deliver(&["--flags", "FS"]).exits(0);
    maildir.deliver(&["--folder", "Lists.qmail"]).exits(0);
    let dovecot = Dovecot::over("maildir:~/Maildir", maildir.scratch.path()).with_quota();
    let shown = dovecot.shows();
    assert_eq!(shown.len(), 2);
    for message in &messages(&maildir.path("")) {
        let shown = shown.iter().find(|s| s.guid == message.base()).unwrap();
        // Three lines end in LF.
        assert_eq!((shown.size, message.size, message.wire_size), (303, 300, 303));
        let flags: Vec<&str> = shown.flags.iter().map(String::as_str).collect();
        let is_flagged = message.flags.as_deref() == Some("FS");
        assert_eq!(flags, if is_flagged { vec!["\\Flagged", "\\Seen"] } else { vec![] });
        assert_eq!(message.subdir, "cur", "Dovecot has taken what was in new/");
    }
    // Dovecot counts in units of 1024 bytes, rounded up, and reads the limits from the file.
    fs::write(maildir.path("maildirsize"), "10240S,7C\n2048 2\n").unwrap();
    maildir.deliver(&["--quota", "10240S,7C"]).exits(0);
    assert_eq!(dovecot.quota(), "(STORAGE 3 10 MESSAGE 3 7)");
    // It subtracts its own deletions from the sum, and mailferry continues with that.
    fs::remove_file(maildir.path("maildirsize")).unwrap();
    maildir.deliver(&["--quota", "10240S,7C"]).exits(0);
    maildir.has_sum("10240S,7C", 1500, 5);
    dovecot.expunges_all();
    maildir.has_sum("10240S,7C", 300, 1);
    maildir.deliver(&[]).exits(0);
    maildir.has_sum("10240S,7C", 600, 2);
}
