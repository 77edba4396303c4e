//! maildir2mbox: the mail of a Maildir is moved to an mbox, whatever happens meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use super::strace::{Call, Fault, Stopped};
use super::support::*;

/// An mbox that lacks its last newline.
const OLD: &str = "From a Sat Feb  3 00:00:00 2001\n\nold";
const FIRST: &str = "Return-Path: <s@x.example>\nSubject: 1\n\nFrom here\n>From there\n";
const SECOND: &[u8] = b"Subject: 2\n\na\0b, no newline";
/// The mbox afterwards.
const NEW: &[u8] = b"From a Sat Feb  3 00:00:00 2001\n\nold\n\n\
    From s@x.example Thu Feb 01 04:00:00 2001\nReturn-Path: <s@x.example>\nSubject: 1\n\n>From here\n\
    >>From there\n\nFrom XXX Thu Feb 01 04:00:01 2001\nSubject: 2\n\na\0b, no newline\n\n\
    From XXX Thu Feb 01 04:00:02 2001\n\n";

struct Mail {
    scratch: tempfile::TempDir,
}

impl Mail {
    fn new() -> Mail {
        let mail = Mail { scratch: scratch() };
        for dir in ["md/new", "md/cur", "md/tmp"] {
            fs::create_dir_all(mail.path(dir)).unwrap();
        }
        mail
    }

    /// Creates a Maildir with three messages, and the old mbox.
    fn with_messages() -> Mail {
        let mail = Mail::new();
        mail.message("md/new/9.a", FIRST, 981_000_000);
        mail.message("md/cur/1.b:2,RS", SECOND, 981_000_001);
        mail.message("md/new/5.c", "", 981_000_002);
        fs::write(mail.path("mbox"), OLD).unwrap();
        mail
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn message(&self, name: &str, content: impl AsRef<[u8]>, epoch: u64) {
        fs::write(self.path(name), content).unwrap();
        set_time(&self.path(name), epoch);
    }

    /// Returns the command, run by another program.
    fn command(&self, program: &[String]) -> Command {
        let program = program.iter().cloned().chain([BINARY.to_owned(), "maildir2mbox".into()]);
        let mut command = wrapped::<_, &str>("exec \"$@\"", program, []);
        for (name, path) in [("MAILDIR", "md"), ("MAIL", "mbox"), ("MAILTMP", "mbox.tmp")] {
            command.env(name, self.path(path));
        }
        command
    }

    fn run(&self) -> Run {
        run(self.command(&[]))
    }

    fn mbox(&self) -> Vec<u8> {
        fs::read(self.path("mbox")).unwrap_or_default()
    }

    fn waiting(&self) -> Vec<String> {
        ["md/new", "md/cur"].iter().flat_map(|dir| names(&self.path(dir))).collect()
    }

    /// Asserts that the mail is where it was.
    #[track_caller]
    fn is_untouched(&self) {
        assert_eq!(
            (self.waiting().len(), self.mbox().escape_ascii().to_string()),
            (3, OLD.escape_default().to_string())
        );
    }

    /// Asserts that the mail has been moved, once, and that nothing else is left.
    #[track_caller]
    fn is_moved(&self) {
        assert_eq!(self.mbox().escape_ascii().to_string(), NEW.escape_ascii().to_string());
        assert_eq!(paths(self.scratch.path()), ["mbox", "md", "md/cur", "md/new", "md/tmp"]);
    }
}

fn set_time(path: &Path, epoch: u64) {
    let time = UNIX_EPOCH + Duration::from_secs(epoch);
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn no_line_is_lost_and_no_from_line_is_glued() {
    let mail = Mail::with_messages();
    mail.run().exits(0);
    mail.is_moved();
    // Nothing more to do.
    mail.run().exits(0);
    mail.is_moved();
    assert_eq!(fs::metadata(mail.path("mbox")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_is_not_a_message_is_left_or_stops_it() {
    let mail = Mail::with_messages();
    // A dot file, mail of the future, a link to nothing, and a link to a message.
    mail.message("md/new/.hidden", "x", 1);
    mail.message("md/new/7.d", "Subject: later\n\n", 4_000_000_000);
    symlink("nowhere", mail.path("md/cur/3.e")).unwrap();
    mail.message("elsewhere", "Subject: linked\n\n", 981_000_005);
    symlink(mail.path("elsewhere"), mail.path("md/cur/2.f")).unwrap();
    mail.run().exits(0);
    let linked = b"From XXX Thu Feb 01 04:00:05 2001\nSubject: linked\n\n\n";
    assert_eq!(mail.mbox().escape_ascii().to_string(), [NEW, linked].concat().escape_ascii().to_string());
    assert_eq!(mail.waiting(), [".hidden", "7.d", "3.e"]);
    assert!(mail.path("elsewhere").exists());

    // What cannot be read may be mail.
    let mail = Mail::with_messages();
    fs::create_dir(mail.path("md/cur/4.directory")).unwrap();
    set_directory_time(&mail.path("md/cur/4.directory"));
    mail.run().exits(111).complains(&["maildir2mbox: fatal: ", "4.directory"]);
    fs::remove_dir(mail.path("md/cur/4.directory")).unwrap();
    mail.is_untouched();

    let mail = Mail::with_messages();
    fs::remove_dir_all(mail.path("md/cur")).unwrap();
    mail.run()
        .exits(111)
        .complains(&["maildir2mbox: fatal: unable to open the directory $MAILDIR/cur: file does not exist"]);
    let mail = Mail::with_messages();
    fs::write(mail.path("mbox"), "not an mbox\n").unwrap();
    mail.run().exits(111).complains(&["not a mailbox"]);
    assert_eq!((mail.waiting().len(), mail.mbox()), (3, b"not an mbox\n".to_vec()));
}

fn set_directory_time(path: &Path) {
    fs::File::open(path).unwrap().set_modified(UNIX_EPOCH + Duration::from_secs(981_000_000)).unwrap();
}

#[test]
fn the_mbox_is_never_its_own_copy() {
    let mail = Mail::with_messages();
    let mut command = mail.command(&[]);
    command.env("MAILTMP", mail.path("mbox"));
    run(command).exits(111).complains(&["is the mbox itself"]);
    mail.is_untouched();
    fs::hard_link(mail.path("mbox"), mail.path("mbox.tmp")).unwrap();
    mail.run().exits(111);
    mail.is_untouched();
    fs::remove_file(mail.path("mbox.tmp")).unwrap();
    symlink("mbox", mail.path("mbox.tmp")).unwrap();
    mail.run().exits(111);
    mail.is_untouched();
}

#[test]
fn a_link_to_the_mbox_stays_a_link() {
    let mail = Mail::with_messages();
    fs::create_dir(mail.path("spool")).unwrap();
    fs::rename(mail.path("mbox"), mail.path("spool/joe")).unwrap();
    symlink("spool/joe", mail.path("mbox")).unwrap();
    mail.run().exits(0);
    assert_eq!(fs::read_link(mail.path("mbox")).unwrap(), Path::new("spool/joe"));
    assert_eq!(mail.mbox(), NEW);
}

/// A message that arrives while it runs, and one that a reader moves to cur/.
#[test]
fn mail_that_arrives_or_moves_meanwhile_is_not_lost() {
    if !have_strace() {
        return;
    }
    let mail = Mail::with_messages();
    let environment = [("MAILDIR", "md"), ("MAIL", "mbox"), ("MAILTMP", "mbox.tmp")]
        .map(|(name, path)| (name, mail.path(path)));
    // All is copied, and nothing is removed yet.
    let copy = mail.path("mbox.tmp");
    let stopped = Stopped::after_in(&environment, "fsync:when=1", Some(&copy), ["maildir2mbox"], b"");
    mail.message("md/new/8.new", "Subject: new\n\n", 981_000_000);
    fs::rename(mail.path("md/new/9.a"), mail.path("md/cur/9.a:2,S")).unwrap();
    stopped.resume().exits(0);
    assert_eq!((mail.mbox(), mail.waiting()), (NEW.to_vec(), vec!["8.new".to_owned()]));
}

/// Every call that touches the mailboxes fails once, and is the last one once.
#[test]
fn after_a_fault_at_any_system_call_the_next_run_moves_all_mail_once() {
    if !have_strace() {
        return;
    }
    let strace = |root: &Path, option: &str| {
        let log = root.join("log");
        ["strace", "-f", "-qq", "-y", "-o", log.to_str().unwrap(), "-e", option].map(str::to_owned)
    };
    let mail = Mail::with_messages();
    let aside = scratch();
    run(mail.command(&strace(aside.path(), "trace=all"))).exits(0);
    mail.is_moved();
    let log = fs::read_to_string(aside.path().join("log")).unwrap();
    let calls: Vec<Call> = log.lines().filter_map(|line| Call::parse(line, mail.scratch.path())).collect();
    let main = &calls[0].thread;
    let begin = calls.iter().position(Call::is_at_destination).unwrap();
    let mut points = BTreeSet::new();
    for n in begin..calls.len() {
        let alike = |call: &&Call| call.thread == *main && call.name == calls[n].name;
        let is_point = calls[n].thread == *main && !calls[n].is_check && calls[n].is_at_destination();
        if is_point {
            points.insert((calls[n].name.clone(), calls[..=n].iter().filter(alike).count()));
        }
    }
    assert!(points.len() > 40, "{points:?}");
    let faults = [Fault::Kill, Fault::Error("ENOSPC"), Fault::Full, Fault::Error("EIO")];
    let cases = points.iter().flat_map(|point| faults.map(|fault| (fault, point)));
    let (mut killed, mut failed) = (0, 0);
    for (fault, (call, nth)) in cases.step_by(samples(5, 3, 1)) {
        let mail = Mail::with_messages();
        let ended = run(mail.command(&strace(aside.path(), &fault.injected(call, *nth))));
        let what = format!("{fault:?} at {call} {nth}: {ended:?}");
        let has_all = mail.mbox() == NEW;
        // Either the mbox has all mail, or the Maildir still has.
        assert!(has_all || mail.waiting().len() == 3 && mail.mbox() == OLD.as_bytes(), "{what}");
        match ended.code {
            None => killed += 1,
            Some(0) => assert!(has_all, "{what}"),
            Some(code) => {
                // Where all writes fail, so does that of the reason.
                let is_explained = ended.stderr.starts_with("maildir2mbox: fatal: ");
                assert!(code == 111 && (is_explained || fault == Fault::Full), "{what}");
                failed += 1;
            }
        }
        let again = mail.run();
        assert_eq!(again.code, Some(0), "{what}; then {again:?}");
        assert_eq!(mail.mbox().escape_ascii().to_string(), NEW.escape_ascii().to_string(), "{what}");
        assert_eq!(mail.waiting(), [""; 0], "{what}");
        let mut rest = paths(mail.scratch.path());
        // A run that has nothing to do takes no lock. So it does not take over one that was not removed.
        rest.retain(|name| !has_all || name != "mbox.lock");
        assert_eq!(rest, ["mbox", "md", "md/cur", "md/new", "md/tmp"], "{what}");
    }
    note!("maildir2mbox: {killed} kills and {failed} failures at {} calls", points.len());
    assert!(killed > 10 && failed > 10, "{killed} {failed}");
}
