//! Maildirs in which a mail reader is at work. Every message that is there during the whole run is found once, and no
//! finding is false.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::peers::{Dovecot, NOBODY, have_dovecot, have_mutt, peer};
use crate::strace::Stopped;
use crate::support::*;

/// Messages that are there during the whole run. The reader renames them, and moves them from new/ to cur/ and back.
const KEPT: usize = 2_000;
/// Messages that the reader deletes, and their successors that it delivers.
const PASSING: usize = 100;

/// Returns message `n`. The body has its number, too.
fn message(n: usize) -> String {
    format!("From: ada@example.org\nSubject: number {n}\nMessage-ID: <{n}@race.example>\n\nbody {n}\n")
}

/// Ends each name that the reader gives.
const HOST: &str = "race.example";

/// Returns the base name of message `n`.
fn base(n: usize) -> String {
    format!("{}.R{n}.{HOST}", 1_000_000_000 + n)
}

/// Returns the number of the message that has this name or path.
fn number(name: &str) -> usize {
    name.split(".R").nth(1).unwrap().split('.').next().unwrap().parse().unwrap()
}

/// Fills a Maildir with messages, half of them in new/.
fn fill(maildir: &Path, count: usize) {
    for name in ["new", "cur", "tmp"] {
        fs::create_dir_all(maildir.join(name)).unwrap();
        fs::set_permissions(maildir.join(name), fs::Permissions::from_mode(0o700)).unwrap();
    }
    for n in 0..count {
        let name = if n % 2 == 0 { format!("new/{}", base(n)) } else { format!("cur/{}:2,", base(n)) };
        fs::write(maildir.join(name), message(n)).unwrap();
    }
}

/// What a mail reader does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// Changes flags, and moves messages from new/ to cur/ and back.
    Flags,
    /// Also deletes messages, and receives some.
    Mail,
}

/// A mail reader at work in a Maildir until it is dropped.
struct Reader {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Starts a reader that does this many things per second, and waits until it has done the first.
    fn start(maildir: &Path, habit: Habit, rate: u64, seed: u64) -> Reader {
        let mut desk =
            Desk { files: BTreeMap::new(), dice: Dice(seed), maildir: maildir.to_owned(), next: 0 };
        for subdir in ["new", "cur"] {
            for name in names(&maildir.join(subdir)) {
                let n = number(&name);
                desk.files.insert(n, format!("{subdir}/{name}"));
                desk.next = desk.next.max(n + 1);
            }
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, begun) = (stop.clone(), Arc::new(AtomicBool::new(false)));
        let begins = begun.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                desk.act(habit);
                begins.store(true, Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(1_000_000 / rate));
            }
        });
        wait_for("the reader to begin", || begun.load(Ordering::Relaxed));
        Reader { stop, thread: Some(thread) }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the reader failed");
    }
}

/// The messages as the reader left them.
struct Desk {
    maildir: PathBuf,
    files: BTreeMap<usize, String>,
    dice: Dice,
    next: usize,
}

impl Desk {
    fn act(&mut self, habit: Habit) {
        match self.dice.roll(10) {
            0 if habit == Habit::Mail => self.receive(),
            1 if habit == Habit::Mail => self.delete(),
            _ => self.rename(),
        }
    }

    fn rename(&mut self) {
        let n = self.dice.roll(KEPT);
        let flags = ["", "S", "FS", "RS", "FRS", "T", "ST"][self.dice.roll(7)];
        let name = match self.dice.roll(8) {
            0 => format!("new/{}", base(n)),
            _ => format!("cur/{}:2,{flags}", base(n)),
        };
        let old = self.files.insert(n, name.clone()).unwrap();
        fs::rename(self.maildir.join(old), self.maildir.join(name)).unwrap();
    }

    fn receive(&mut self) {
        let (n, name) = (self.next, base(self.next));
        self.next += 1;
        let staged = self.maildir.join("tmp").join(&name);
        fs::write(&staged, message(n)).unwrap();
        fs::rename(staged, self.maildir.join("new").join(&name)).unwrap();
        self.files.insert(n, format!("new/{name}"));
    }

    fn delete(&mut self) {
        let passing = self.files.range(KEPT..).map(|(n, _)| *n).nth(self.dice.roll(PASSING));
        if let Some(name) = passing.and_then(|n| self.files.remove(&n)) {
            fs::remove_file(self.maildir.join(name)).unwrap();
        }
    }
}

/// Returns the numbers of the messages in an mbox, in a file, or in a list of Message-IDs.
fn numbers(text: &str) -> Vec<usize> {
    let ids = text.split("Message-ID: <").skip(1);
    ids.map(|rest| rest.split('@').next().unwrap().parse().unwrap()).collect()
}

/// Returns the numbers of the messages in an mbox; none for a directory.
fn numbers_in(path: &Path) -> Vec<usize> {
    fs::read_to_string(path).map(|text| numbers(&text)).unwrap_or_default()
}

fn numbers_in_maildir(maildir: &Path) -> Vec<usize> {
    let files = ["new", "cur"].into_iter().flat_map(|subdir| {
        let directory = maildir.join(subdir);
        names(&directory).into_iter().map(move |name| directory.join(name))
    });
    files.flat_map(|path| numbers(&fs::read_to_string(path).unwrap())).collect()
}

/// Asserts that each message that was there all the time is there once, and no other twice.
#[track_caller]
fn has_each_once(found: Vec<usize>, what: &str) {
    has_each_of(KEPT, found, what);
}

#[track_caller]
fn has_each_of(kept: usize, mut found: Vec<usize>, what: &str) {
    found.sort_unstable();
    let repeated: Vec<usize> =
        found.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    assert_eq!(repeated, [0; 0], "{what}: these are there twice");
    let missing: Vec<usize> = (0..kept).filter(|n| found.binary_search(n).is_err()).collect();
    assert_eq!(missing, [0; 0], "{what}: these are missing");
}

/// Asserts that nothing is reported but what another program did.
#[track_caller]
fn finds_no_fault(run: &Run, what: &str) {
    for finding in run.findings() {
        let path = finding["path"].as_str().unwrap_or_default();
        match finding["code"].as_str().unwrap() {
            // The names of the test say nothing about its clock.
            "maildir-mtime" | "maildir-loose-mode" => {}
            "message-gone" => assert!(number(path) >= KEPT, "{what}: {finding}"),
            _ => assert_eq!(finding["severity"], "info", "{what}: {finding}"),
        }
    }
}

/// A directory with the tree `T` and its Maildir `T/M`.
struct Mailbox(tempfile::TempDir);

impl Mailbox {
    fn new(count: usize) -> Mailbox {
        let mailbox = Mailbox(scratch());
        fill(&mailbox.maildir(), count);
        mailbox
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn maildir(&self) -> PathBuf {
        self.path("T/M")
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = mailferry(args);
        command.current_dir(self.0.path());
        command
    }

    fn run(&self, args: &[&str]) -> Run {
        run(self.command(args))
    }
}

/// A command whose result is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    Export,
    Copy,
    ExportTree,
    Verify,
    Quick,
    Manifest,
    Against,
    Inspect,
    Once,
}

impl Job {
    const ALL: [Job; 9] = [
        Job::Export,
        Job::Copy,
        Job::ExportTree,
        Job::Verify,
        Job::Quick,
        Job::Manifest,
        Job::Against,
        Job::Inspect,
        Job::Once,
    ];

    /// Makes what the command needs while the Maildir is quiet.
    fn prepare(self, mailbox: &Mailbox) {
        let maildir = mailbox.maildir();
        match self {
            Job::Against => drop(mailbox.run(&["convert", "-q", "--fsync=none", "T/M", "mbox:ref"]).exits(0)),
            Job::Manifest => {
                mailbox.run(&["convert", "-q", "--fsync=none", "T/M", "maildir:copy"]).exits(0);
                fs::remove_dir_all(&maildir).unwrap();
                fs::rename(mailbox.path("copy"), maildir).unwrap();
            }
            Job::Once => {
                run_with_stdin(mailbox.command(&["deliver", "T/M"]), message(ONCE)).exits(0);
                let delivered = delivered(&maildir);
                fs::rename(&delivered[0], maildir.join("new").join(base(ONCE))).unwrap();
            }
            _ => {}
        }
    }

    #[track_caller]
    fn check(self, mailbox: &Mailbox, what: &str) {
        let json = |args: &[&str]| mailbox.run(&[args, &["--json"]].concat());
        for name in ["out", "C", "D"] {
            let path = mailbox.path(name);
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { drop(fs::remove_file(path)) }
        }
        match self {
            Job::Export | Job::ExportTree => {
                let (from, to, out) = match self {
                    Job::Export => ("T/M", "mbox:out", "out"),
                    _ => ("T", "mbox:D", "D/M"),
                };
                let run = json(&["convert", "--fsync=none", from, to]).exits(0);
                finds_no_fault(&run, what);
                let text = fs::read_to_string(mailbox.path(out)).unwrap();
                assert_eq!(count(&run.summary(), "written"), numbers(&text).len() as u64, "{what}");
                has_each_once(numbers(&text), what);
            }
            Job::Copy => {
                let run = json(&["convert", "--fsync=none", "T/M", "maildir:C"]).exits(0);
                finds_no_fault(&run, what);
                has_each_once(numbers_in_maildir(&mailbox.path("C")), what);
            }
            Job::Verify | Job::Quick | Job::Manifest => {
                let quick: &[&str] = if self == Job::Quick { &["--quick"] } else { &[] };
                let run = json(&[&["verify", "T/M"], quick].concat());
                finds_no_fault(&run, what);
                let found = count(&run.json().pop().unwrap(), "messages_found");
                assert!(found >= KEPT as u64, "{what}: {found}");
                // With a manifest, a message that the reader deleted before is an error.
                assert!(
                    run.code == Some(0) || self == Job::Manifest && run.code == Some(1),
                    "{what}: {run:?}"
                );
            }
            Job::Against => {
                let run = json(&["verify", "T/M", "--against", "ref"]);
                // Messages that came or went are true differences.
                for finding in run.findings() {
                    let text = finding["message"].as_str().unwrap();
                    let n = text.split(&format!("@{HOST}")).next().unwrap().rsplit('<').next().unwrap();
                    assert!(n.parse::<usize>().is_ok_and(|n| n >= KEPT), "{what}: {finding}");
                }
                assert!(matches!(run.code, Some(0 | 1)), "{what}: {run:?}");
            }
            Job::Inspect => {
                let run = json(&["inspect", "T/M"]).exits(0);
                finds_no_fault(&run, what);
                let rows = run.json().into_iter().filter(|row| row["type"] == "message");
                let ids = rows.map(|row| format!("Message-ID: {}", row["message_id"].as_str().unwrap()));
                has_each_once(numbers(&ids.collect::<String>()), what);
            }
            Job::Once => {
                run_with_stdin(mailbox.command(&["deliver", "--once", "T/M"]), message(ONCE)).exits(0);
                let again = delivered(&mailbox.maildir());
                assert!(again.is_empty(), "{what}: {again:?}");
            }
        }
    }
}

/// Gives the Maildir to the user as whom a test by root runs other programs.
fn give_away(maildir: &Path) {
    if rustix::process::geteuid().is_root() {
        let paths = tree(maildir).into_keys().map(|path| maildir.join(path));
        for path in paths.chain([maildir.to_owned()]) {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
}

/// Runs commands while `session` of a real mail program is repeated, from the end of the first one on.
fn check_with(mailbox: &Mailbox, what: &str, session: impl Fn() + Sync) {
    let (stop, sessions) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let program = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                session();
                sessions.fetch_add(1, Ordering::Relaxed);
            }
        });
        wait_for("its first session", || sessions.load(Ordering::Relaxed) > 0 || program.is_finished());
        let checked = std::panic::catch_unwind(AssertUnwindSafe(|| {
            for round in 0..samples(2, 4, 20) {
                for job in [Job::Export, Job::Copy, Job::Verify, Job::Inspect] {
                    job.check(mailbox, &format!("{job:?} with {what}, round {round}"));
                }
            }
        }));
        stop.store(true, Ordering::Relaxed);
        checked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    note!("{} sessions of {what}", sessions.into_inner());
}

#[test]
fn no_command_misses_mail_while_dovecot_changes_flags() {
    if !have_dovecot() {
        return;
    }
    let (mailbox, home) = (Mailbox::new(KEPT), scratch());
    give_away(&mailbox.maildir());
    let dovecot = Dovecot::over(&format!("maildir:{}", mailbox.maildir().display()), home.path());
    check_with(&mailbox, "Dovecot", || {
        let store = |sign: char| format!("STORE 1:* {sign}FLAGS.SILENT (\\Seen \\Flagged)\r\n");
        let session = format!("1 SELECT INBOX\r\n2 {}3 {}4 LOGOUT\r\n", store('+'), store('-'));
        dovecot.answers(&session);
    });
}

#[test]
fn no_command_misses_mail_while_mutt_changes_flags() {
    if !have_mutt() {
        return;
    }
    let (mailbox, home) = (Mailbox::new(KEPT), scratch());
    give_away(&mailbox.maildir());
    let settings = "set mbox_type=Maildir folder=. spoolfile=none record=\"\" header_cache=\"\"\n\
                    set move=no delete=no wait_key=no auto_tag=no quit=yes\n\
                    push <tag-pattern>~A<enter><tag-prefix><flag-message><sync-mailbox><exit>\n";
    fs::write(home.path().join("muttrc"), settings).unwrap();
    let maildir = mailbox.maildir();
    check_with(&mailbox, "mutt", || {
        let mut command = peer("script", home.path());
        command.args(["-qec", &format!("exec mutt -n -F muttrc -f {}", maildir.display()), "/dev/null"]);
        run(command).exits(0);
    });
}

/// The message that is delivered again.
const ONCE: usize = KEPT / 3 * 2;

/// Returns the files that mailferry delivered.
fn delivered(maildir: &Path) -> Vec<PathBuf> {
    let new = maildir.join("new");
    names(&new).into_iter().filter(|name| !name.ends_with(HOST)).map(|name| new.join(name)).collect()
}

/// A reader renames, moves, deletes and delivers 20 to 1,000 times a second.
#[test]
fn no_command_misses_mail_while_a_reader_is_at_work() {
    let rounds = samples(1, 4, 56);
    for round in 0..rounds {
        for job in Job::ALL {
            let rate = [1000, 200, 20][round % 3];
            let habit = if round % 2 == 0 { Habit::Mail } else { Habit::Flags };
            let mailbox = Mailbox::new(KEPT + PASSING);
            job.prepare(&mailbox);
            let reader = Reader::start(&mailbox.maildir(), habit, rate, round as u64);
            job.check(&mailbox, &format!("{job:?} with {habit:?}, {rate} a second, round {round}"));
            drop(reader);
        }
    }
    note!("{} runs with a reader at work", rounds * Job::ALL.len());
}

/// A reader renames every message between two parts of the first listing.
#[test]
fn a_listing_that_was_disturbed_is_made_again() {
    // Few messages with long names, for strace is slow and a listing must have several parts.
    const COUNT: usize = 500;
    let name = |n: usize, flags: &str| format!("cur/{}{}:2,{flags}", base(n), "x".repeat(180));
    if !have_strace() {
        return;
    }
    let jobs: [&[&str]; 4] = [
        &["convert", "--json", "-j1", "--fsync=none", "M", "mbox:out"],
        &["convert", "--json", "-j1", "--fsync=none", "M", "maildir:C"],
        &["verify", "--json", "-j1", "M"],
        &["inspect", "--json", "-j1", "M"],
    ];
    for args in jobs {
        for when in samples(3..6, 1..7, 1..7) {
            let mailbox = Mailbox::new(0);
            let maildir = mailbox.maildir();
            for n in 0..COUNT {
                fs::write(maildir.join(name(n, "")), message(n)).unwrap();
            }
            let here = |arg: &str| match arg {
                "M" => maildir.display().to_string(),
                "mbox:out" => format!("mbox:{}", mailbox.path("out").display()),
                "maildir:C" => format!("maildir:{}", mailbox.path("C").display()),
                other => other.to_owned(),
            };
            let args: Vec<String> = args.iter().map(|arg| here(arg)).collect();
            let fault = format!("getdents64:when={when}");
            let stopped = Stopped::after(&fault, Some(&maildir.join("cur")), &args, b"");
            for n in 0..COUNT {
                fs::rename(maildir.join(name(n, "")), maildir.join(name(n, "S"))).unwrap();
            }
            let run = stopped.resume().exits(0);
            let what = format!("{args:?}, stopped at {fault}");
            finds_no_fault(&run, &what);
            let found = count(&run.json().pop().unwrap(), "messages_found");
            assert_eq!(found, COUNT as u64, "{what}");
            match args.last().unwrap() {
                arg if arg.starts_with("mbox:") => {
                    has_each_of(COUNT, numbers(&fs::read_to_string(mailbox.path("out")).unwrap()), &what);
                }
                arg if arg.starts_with("maildir:") => {
                    has_each_of(COUNT, numbers_in_maildir(&mailbox.path("C")), &what);
                }
                _ => {}
            }
        }
    }
}

/// Converts an mbox `in` into a Maildir `A`, moves every second message to a folder of it, and returns the folder.
fn converted_with_folder(count: usize) -> (Mailbox, PathBuf) {
    let mailbox = Mailbox::new(0);
    let mbox: String =
        (0..count).map(|n| format!("From a Mon Jan  5 10:{n:02}:00 2009\n{}\n", message(n))).collect();
    fs::write(mailbox.path("in"), mbox).unwrap();
    mailbox.run(&["convert", "-q", "in", "A"]).exits(0);
    let folder = mailbox.path("A/.Folder");
    ["new", "cur", "tmp"].iter().for_each(|name| fs::create_dir_all(folder.join(name)).unwrap());
    fs::write(folder.join("maildirfolder"), "").unwrap();
    for (n, message) in messages(&mailbox.path("A")).iter().enumerate().filter(|(n, _)| n % 2 == 0) {
        fs::rename(&message.path, folder.join("cur").join(format!("{}:2,{n}", message.base()))).unwrap();
    }
    (mailbox, folder)
}

/// A message that a reader moves to another folder is not gone, whichever of the two folders is listed first.
#[test]
fn a_message_that_moves_to_another_folder_during_verify_is_not_gone() {
    if !have_strace() {
        return;
    }
    let (mailbox, folder) = converted_with_folder(40);
    for when in 1..8 {
        let (a, b) = match when % 2 {
            0 => (mailbox.path("A/cur"), folder.join("cur")),
            _ => (folder.join("cur"), mailbox.path("A/cur")),
        };
        let args = ["verify".into(), "--json".into(), mailbox.path("A").display().to_string()];
        let stopped =
            Stopped::after(&format!("getdents64:when={when}"), Some(&folder.join("cur")), &args, b"");
        for name in names(&a) {
            fs::rename(a.join(&name), b.join(&name)).unwrap();
        }
        let run = stopped.resume().exits(0);
        let codes: Vec<_> = run.findings().iter().map(|f| f["code"].as_str().unwrap().to_owned()).collect();
        assert!(!codes.iter().any(|code| code == "message-gone"), "{when}: {codes:?}");
    }
}

/// A message that a reader moves to another folder during a comparison has its counterpart.
#[test]
fn a_message_that_moves_during_a_comparison_is_neither_missing_nor_extra() {
    if !have_strace() {
        return;
    }
    let (mailbox, folder) = converted_with_folder(20);
    mailbox.run(&["convert", "-q", "A", "maildir:B"]).exits(0);
    let path = |name: &str| mailbox.path(name).display().to_string();
    for other in ["in", "B"] {
        for when in 1..5 {
            let (from, to) = match when % 2 {
                0 => (mailbox.path("A/cur"), folder.join("cur")),
                _ => (folder.join("cur"), mailbox.path("A/cur")),
            };
            let args =
                ["verify".into(), "--json".into(), "-j1".into(), path("A"), "--against".into(), path(other)];
            let fault = format!("getdents64:when={when}");
            let stopped = Stopped::after(&fault, Some(&folder.join("cur")), &args, b"");
            for name in names(&from) {
                fs::rename(from.join(&name), to.join(&name)).unwrap();
            }
            let run = stopped.resume();
            let summary = run.json().pop().unwrap();
            let what = format!("{other}, stopped at {fault}: {}", run.text());
            assert_eq!((count(&summary, "missing"), count(&summary, "extra")), (0, 0), "{what}");
            assert_eq!(count(&summary, "messages_found"), 20, "{what}");
        }
    }
}

/// A message that a reader moves to another folder while a tree is copied or exported arrives, whichever folder is
/// listed first.
#[test]
fn a_message_that_moves_while_a_tree_is_converted_is_not_missed() {
    if !have_strace() {
        return;
    }
    let ways = [("maildir:", false), ("maildir:", true), ("mbox:", false), ("eml:", false)];
    for ((format, is_split), when) in (1..5).flat_map(|when| ways.map(|way| (way, when))) {
        let mailbox = Mailbox::new(0);
        let (maildir, folder) = (mailbox.maildir(), mailbox.maildir().join(".Folder"));
        fill(&folder, 0);
        fs::write(folder.join("maildirfolder"), "").unwrap();
        let (from, to) = match when % 2 {
            0 => (maildir.join("cur"), folder.join("cur")),
            _ => (folder.join("cur"), maildir.join("cur")),
        };
        for n in 0..20 {
            fs::write(from.join(format!("{}:2,S", base(n))), message(n)).unwrap();
        }
        let target = format!("{format}{}/", mailbox.path("C").display());
        let args = ["convert", "--json", "-j1", "--fsync=none", &maildir.display().to_string(), &target];
        let args: Vec<String> =
            args.into_iter().chain(is_split.then_some("--split=year")).map(str::to_owned).collect();
        let fault = format!("getdents64:when={when}");
        let stopped = Stopped::after(&fault, Some(&folder.join("cur")), &args, b"");
        for name in names(&from) {
            fs::rename(from.join(&name), to.join(&name)).unwrap();
        }
        let run = stopped.resume().exits(0);
        let copy = mailbox.path("C");
        let found = match format {
            "mbox:" | "eml:" => tree(&copy).keys().flat_map(|path| numbers_in(&copy.join(path))).collect(),
            _ => {
                let folders = names(&copy).into_iter().filter(|name| name.starts_with('.'));
                let of_folders = folders.flat_map(|folder| numbers_in_maildir(&copy.join(folder)));
                numbers_in_maildir(&copy).into_iter().chain(of_folders).collect()
            }
        };
        let mut found: Vec<usize> = found;
        found.sort_unstable();
        // A message that moves from a folder that was read to one that was not is in both.
        assert_eq!(count(&run.summary(), "written"), found.len() as u64, "{}", run.text());
        found.dedup();
        assert_eq!(found.len(), 20, "{format} {is_split} stopped at {fault}: {}", run.text());
    }
}
