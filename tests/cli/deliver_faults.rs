//! Faults in a delivery: each system call that touches the mailbox fails, or the process is killed at it.
//! Success is reported only for a message that is there, complete and durable. In any other case the mailbox
//! is unchanged, and the exit code asks for a retry, which delivers it.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::strace::{Call, FAULTS, Fault};
use crate::support::*;

const OLD: &str = "From ada@example.org Mon Mar  2 08:00:00 1998\nSubject: old\n\nold";
const MMDF: &str = "\u{1}\u{1}\u{1}\u{1}\nFrom MAILER-DAEMON Mon Mar  2 08:00:00 1998\nSubject: old\n\nold\n\
                    \u{1}\u{1}\u{1}\u{1}\n";
const MESSAGE: &str = "Subject: new\n\nFrom here on\nno end";

/// A delivery with a fault.
struct Delivery {
    what: &'static str,
    options: &'static [&'static str],
    /// The target, in the scratch directory.
    target: &'static str,
    before: fn(&Path),
    message: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Maildir,
    /// The existing text, and whether the appended message gets MMDF frames.
    Mbox {
        before: &'static str,
        framed: bool,
    },
}

/// The n-th call of a name in the process, as strace counts.
#[derive(Debug, Clone)]
struct Point {
    call: String,
    operand: String,
    nth: usize,
}

#[derive(Debug, Default)]
struct Tally {
    completed: u32,
    reported: u32,
    killed: u32,
    missed: u32,
}

fn maildir(root: &Path) {
    ["tmp", "new", "cur"]
        .iter()
        .for_each(|subdir| fs::create_dir_all(root.join("box").join(subdir)).unwrap());
}

fn deliveries() -> Vec<Delivery> {
    let mbox = |before| Kind::Mbox { before, framed: false };
    let deliver = |what, options, target, before, kind| Delivery {
        what,
        options,
        target,
        before,
        message: MESSAGE.into(),
        kind,
    };
    let nothing = |_: &Path| ();
    let with_quota = |root: &Path| {
        maildir(root);
        fs::write(root.join("box/maildirsize"), "1000000S,1000C\n0 0\n").unwrap();
    };
    let with_old = |root: &Path| fs::write(root.join("box"), OLD).unwrap();
    let large = format!("Subject: new\n\n{}", "From here on\n".repeat(180_000));
    vec![
        deliver("into a Maildir", &[], "box", maildir, Kind::Maildir),
        deliver("into a Maildir with a quota", &[], "box", with_quota, Kind::Maildir),
        deliver("into a new folder", &["--folder", "A.B", "--create"], "maildir:box", maildir, Kind::Maildir),
        deliver("into a new Maildir", &["--create"], "maildir:box", nothing, Kind::Maildir),
        deliver("into an mbox", &[], "box", with_old, mbox(OLD)),
        deliver("into a new mbox", &["--create"], "mbox:box", nothing, mbox("")),
        deliver(
            "into an MMDF file",
            &[],
            "box",
            |root| fs::write(root.join("box"), MMDF).unwrap(),
            Kind::Mbox { before: MMDF, framed: true },
        ),
        Delivery { message: large, ..deliver("much into an mbox", &[], "box", with_old, mbox(OLD)) },
    ]
}

#[test]
fn a_fault_at_any_system_call_of_a_delivery_is_reported() {
    if !have_strace() {
        return;
    }
    let deliveries = deliveries();
    let mut cases = Vec::new();
    for delivery in &deliveries {
        let points = delivery.points();
        assert!(points.len() > 15, "{}: {points:?}", delivery.what);
        let all = points.iter().flat_map(|point| FAULTS.map(|fault| (delivery, fault, point.clone())));
        // Six and the number of faults have no common divisor: each fault is tried, at every sixth case.
        cases.extend(all.step_by(samples(6, 1, 1)));
    }
    let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
    let failed = Mutex::new(Vec::new());
    let work = || {
        while let Some((delivery, fault, point)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let tried = catch_unwind(AssertUnwindSafe(|| delivery.disturb(*fault, point, &tally)));
            if let Err(panic) = tried {
                let formatted = panic.downcast_ref::<String>().map(String::as_str);
                let why = formatted.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
                let Point { call, operand, nth } = point;
                let what = delivery.what;
                let why = format!("{fault:?} at {call} {nth} of {operand}, {what}: {why:.2000}");
                failed.lock().unwrap().push(why);
            }
        }
    };
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(work))));
    let (tally, failed) = (tally.into_inner().unwrap(), failed.into_inner().unwrap());
    note!(
        "{} faults in deliveries: {} reported, {} completed anyway, {} killed, {} not reached",
        cases.len(),
        tally.reported,
        tally.completed,
        tally.killed,
        tally.missed
    );
    assert!(failed.is_empty(), "{} of {} fail:\n{}", failed.len(), cases.len(), failed.join("\n"));
    let (tried, reported, killed) = samples((80, 25, 15), (500, 150, 100), (500, 150, 100));
    assert!(cases.len() > tried && tally.reported > reported && tally.killed > killed, "{tally:?}");
    assert!(tally.missed < cases.len() as u32 / 10, "{tally:?}");
}

impl Delivery {
    /// Delivers under strace, and returns the run and the log.
    fn run(&self, root: &Path, options: &[String]) -> (Run, String) {
        let aside = scratch();
        let log = aside.path().join("log");
        let strace = ["strace", "-f", "-qq", "-y", "-o", log.to_str().unwrap()].map(str::to_owned);
        let program = [&strace[..], options, &[BINARY.to_owned()]].concat();
        // A relative path, so that the paths are the same in all scratch directories.
        let script = format!("cd {} && exec \"$@\"", root.display());
        let args = [&["deliver", "--lock-timeout=5"], self.options, &[self.target]].concat();
        let run = run_with_stdin(wrapped(&script, program, args), self.message.clone());
        (run, fs::read_to_string(&log).unwrap_or_default())
    }

    /// Returns every call of a run without faults that touches the mailbox or a file next to it.
    fn points(&self) -> Vec<Point> {
        let scratch_dir = scratch();
        (self.before)(scratch_dir.path());
        let (run, log) = self.run(scratch_dir.path(), &[]);
        run.exits(0);
        self.has_it(scratch_dir.path(), 1);
        let calls: Vec<Call> = log.lines().filter_map(|line| Call::parse(line, scratch_dir.path())).collect();
        self.is_safe(&calls);
        let main = &calls[0].thread;
        let is_point = |call: &Call| call.thread == *main && !call.is_check && call.is_at_destination();
        let at = |n: usize| {
            let alike = |other: &&Call| (&other.thread, &other.name) == (main, &calls[n].name);
            let nth = calls[..=n].iter().filter(alike).count();
            Point { call: calls[n].name.clone(), operand: calls[n].operand().into(), nth }
        };
        (0..calls.len()).filter(|&n| is_point(&calls[n])).map(at).collect()
    }

    /// Asserts that bytes are flushed before their name appears, and the name before success is reported.
    fn is_safe(&self, calls: &[Call]) {
        let of = |name: &str, operand: &str| {
            let is_it = |call: &Call| call.name == name && call.operands.iter().any(|o| o.contains(operand));
            calls.iter().rposition(is_it)
        };
        let folder = if self.options.contains(&"A.B") { "/DEST/box/.A.B" } else { "/DEST/box" };
        let order = match self.kind {
            Kind::Maildir => {
                let (tmp, new) = (format!("{folder}/tmp/"), format!("{folder}/new"));
                vec![of("fsync", &tmp), of("linkat", &new), of("fsync", &new)]
            }
            Kind::Mbox { before: "", .. } => {
                let last = calls.iter().rposition(|c| c.name == "fsync" && c.operands == ["/DEST"]);
                vec![of("write", "/DEST/box"), of("fsync", "/DEST/box"), last]
            }
            Kind::Mbox { .. } => vec![of("write", "/DEST/box"), of("fsync", "/DEST/box")],
        };
        assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{}: {order:?}", self.what);
    }

    fn disturb(&self, fault: Fault, point: &Point, tally: &Mutex<Tally>) {
        let scratch_dir = scratch();
        let root = scratch_dir.path();
        (self.before)(root);
        let options = ["-e".to_owned(), fault.injected(&point.call, point.nth)];
        let (run, log) = self.run(root, &options);
        let happened = log.contains("(INJECTED)");
        let count = |count: fn(&mut Tally) -> &mut u32| *count(&mut tally.lock().unwrap()) += 1;
        let copies = match run.code {
            None => {
                assert!(fault == Fault::Kill && log.contains("killed by SIGKILL"), "{run:?}");
                count(|tally| &mut tally.killed);
                self.killed(root)
            }
            Some(0) => {
                let needed = ["fsync", "write"].contains(&&point.call[..]);
                let may_be_silent = !happened || fault == Fault::Error("EINTR") || !needed;
                assert!(may_be_silent, "it was not reported: {log}");
                count(if happened { |tally| &mut tally.completed } else { |tally| &mut tally.missed });
                self.has_it(root, 1);
                self.leaves_nothing(root, point);
                1
            }
            Some(code) => {
                assert!(happened, "{run:?}");
                assert_eq!(code, 75, "{run:?}");
                assert!(run.stderr.starts_with("4.") && run.stderr.lines().count() == 1, "{run:?}");
                count(|tally| &mut tally.reported);
                self.has_it(root, 0);
                self.leaves_nothing(root, point);
                0
            }
        };
        // Then the same command again.
        let (again, _) = self.run(root, &["-e".to_owned(), "trace=none".to_owned()]);
        again.exits(0);
        self.has_it(root, copies + 1);
    }

    /// Asserts that the mailbox has this many complete copies of the message, and everything it had before.
    fn has_it(&self, root: &Path, copies: usize) {
        match self.kind {
            Kind::Maildir => {
                let all = self.messages(root);
                assert!(all.iter().all(|message| *message == self.message), "a partial message in new/");
                assert_eq!(all.len(), copies);
            }
            Kind::Mbox { before, framed } => {
                let text = masked(&fs::read(root.join("box")).unwrap_or_default());
                let expected = self.mbox(before, framed, copies);
                assert!(text == expected, "{text:.600} is not {expected:.600}");
            }
        }
    }

    fn messages(&self, root: &Path) -> Vec<String> {
        let folder = root.join(if self.options.contains(&"A.B") { "box/.A.B" } else { "box" });
        let in_place = |subdir: &str| fs::read_dir(folder.join(subdir)).into_iter().flatten().flatten();
        let files: Vec<PathBuf> = ["new", "cur"].into_iter().flat_map(in_place).map(|f| f.path()).collect();
        files.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    /// Returns what the mbox must contain, with masked dates.
    fn mbox(&self, before: &str, framed: bool, copies: usize) -> String {
        let from_line = masked(b"From MAILER-DAEMON Mon Mar  2 08:00:00 1998\n");
        let body = match framed {
            true => format!("\u{1}\u{1}\u{1}\u{1}\n{from_line}{}\n\u{1}\u{1}\u{1}\u{1}\n", self.message),
            false => {
                let quoted = self.message.replace("\nFrom ", "\n>From ");
                let end = if quoted.ends_with('\n') { "\n" } else { "\n\n" };
                format!("{from_line}{quoted}{end}")
            }
        };
        let repair = if copies > 0 && before == OLD { "\n\n" } else { "" };
        format!("{}{repair}{}", masked(before.as_bytes()), body.repeat(copies))
    }

    /// Returns how many copies a killed delivery left, and asserts that none is partial. An mbox that takes
    /// several writes may end in a part of the message: it is cut off here, as the next delivery closes it.
    fn killed(&self, root: &Path) -> usize {
        let path = root.join("box");
        match self.kind {
            Kind::Maildir => {
                let copies = self.messages(root).len();
                self.has_it(root, copies);
                copies
            }
            Kind::Mbox { before, framed } => {
                let bytes = fs::read(&path).unwrap_or_default();
                let (none, one) = (self.mbox(before, framed, 0), self.mbox(before, framed, 1));
                let text = masked(&bytes);
                if text != none && text != one {
                    assert!(self.message.len() > 1 << 20 && one.starts_with(&text), "{text:.600}");
                    // The next message does not join the partial one.
                    let copy = scratch();
                    fs::write(copy.path().join("box"), &bytes).unwrap();
                    self.run(copy.path(), &[]).0.exits(0);
                    let then = masked(&fs::read(copy.path().join("box")).unwrap());
                    let added = then.strip_prefix(&text).expect("nothing before it changed");
                    let is_closed = added.trim_start_matches('\n').starts_with("From MAILER-DAEMON ");
                    assert!(is_closed && added.starts_with('\n'), "{added:.200}");
                    fs::write(&path, before).unwrap();
                }
                usize::from(text == one)
            }
        }
    }

    /// Asserts that no file of the delivery is left in tmp/ or next to an mbox. If the removal itself fails,
    /// the lock stays; it names its process, and the next delivery sees that the process is gone.
    fn leaves_nothing(&self, root: &Path, point: &Point) {
        let names = names(root);
        let is_lock = ["unlinkat", "newfstatat", "fstatat64"].contains(&&point.call[..]);
        assert!(
            names.iter().all(|name| name == "box" || name == "box.lock" && is_lock),
            "left beside it: {names:?}"
        );
        if self.kind == Kind::Maildir {
            let left: Vec<_> = paths(root).into_iter().filter(|path| path.contains("tmp/")).collect();
            assert!(left.is_empty(), "left in tmp/: {left:?}");
        }
    }
}

/// Returns the text without the dates of mailferry's From_ lines.
fn masked(text: &[u8]) -> String {
    let text = String::from_utf8(text.to_vec()).unwrap();
    let is_own = |line: &str| line.starts_with("From MAILER-DAEMON ") && line.ends_with('\n');
    let mask = |line: &str| if is_own(line) { "From MAILER-DAEMON DATE\n".into() } else { line.to_owned() };
    text.split_inclusive('\n').map(mask).collect()
}
