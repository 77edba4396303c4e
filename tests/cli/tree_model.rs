//! A model of a tree that is converted again and again. Whatever its user and the runs do in between, every
//! message arrives once. Deleted mail and deleted folders stay deleted, and a moved folder gets its new mail
//! where it is. `verify` reports what was deleted and moved, and nothing else.
//!
//! Every mail has its own number. `model.rs` covers mails with the same content, and kills that the user's
//! changes follow.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;

use crate::model::{CALLS, config};
use crate::support::*;

/// The mailboxes of the tree. The first one is never moved or deleted: it is the root in one of the layouts.
const MAILBOXES: [&str; 4] = ["INBOX", "A", "B", "Lists/C"];
/// The codes that the model predicts.
const CODES: [&str; 5] =
    ["folder-deleted", "folder-moved", "message-gone", "message-moved", "message-unrecorded"];

/// Numbers are taken modulo what exists.
#[derive(Debug, Clone)]
enum Step {
    Grow {
        mailbox: usize,
        count: usize,
    },
    /// A mail is removed from a mailbox, perhaps the first one, but not the last one left.
    Expunge {
        mailbox: usize,
        mail: usize,
    },
    Delete {
        message: usize,
    },
    /// The user moves a message to another folder.
    Move {
        message: usize,
        folder: usize,
    },
    DeleteFolder {
        mailbox: usize,
    },
    MoveFolder {
        mailbox: usize,
        to: Target,
    },
    Convert {
        spelling: usize,
    },
    /// A conversion that is killed at the n-th system call of this name, and repeated with another spelling.
    Kill {
        spelling: usize,
        call: &'static str,
        nth: usize,
    },
    Verify,
}

#[derive(Debug, Clone, Copy)]
enum Target {
    New,
    /// Below another folder.
    Below(usize),
    /// The place that another folder had.
    PlaceOf(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let nth = || 0..12usize;
    let target = prop_oneof![
        1 => Just(Target::New),
        1 => nth().prop_map(Target::Below),
        1 => nth().prop_map(Target::PlaceOf),
    ];
    prop_oneof![
        4 => (nth(), 1..3usize).prop_map(|(mailbox, count)| Step::Grow { mailbox, count }),
        2 => (nth(), nth()).prop_map(|(mailbox, mail)| Step::Expunge { mailbox, mail }),
        2 => nth().prop_map(|message| Step::Delete { message }),
        2 => (nth(), nth()).prop_map(|(message, folder)| Step::Move { message, folder }),
        1 => nth().prop_map(|mailbox| Step::DeleteFolder { mailbox }),
        3 => (nth(), target).prop_map(|(mailbox, to)| Step::MoveFolder { mailbox, to }),
        4 => nth().prop_map(|spelling| Step::Convert { spelling }),
        2 => (nth(), prop::sample::select(&CALLS[..]), 0..200usize).prop_map(
            |(spelling, (call, first), nth)| Step::Kill { spelling, call, nth: 1 + nth % (first * 4) },
        ),
        2 => Just(Step::Verify),
    ]
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Folder {
    Missing,
    At(PathBuf),
    Deleted,
}

#[derive(Debug)]
struct Mailbox {
    now: Vec<u32>,
    /// The state at the last conversion.
    converted: Vec<u32>,
    /// All mails that were ever converted.
    settled: BTreeSet<u32>,
    folder: Folder,
    /// Where the folder was at the last conversion.
    listed: Option<PathBuf>,
}

struct Model {
    dir: TempDir,
    layout: &'static str,
    mailboxes: Vec<Mailbox>,
    /// The mailbox in whose folder each converted mail is, by number.
    places: BTreeMap<u32, usize>,
    /// The next unused number.
    next: u32,
    folders: usize,
    strace: bool,
}

impl Model {
    fn new(layout: &'static str, strace: bool) -> Model {
        let (dir, places) = (scratch(), BTreeMap::new());
        fs::create_dir_all(dir.path().join("Mail/Lists")).unwrap();
        std::os::unix::fs::symlink(".", dir.path().join("link")).unwrap();
        let mut model = Model { dir, layout, mailboxes: Vec::new(), places, next: 0, folders: 0, strace };
        for n in 0..MAILBOXES.len() {
            let (folder, settled) = (Folder::Missing, BTreeSet::new());
            let (now, converted) = (Vec::new(), Vec::new());
            model.mailboxes.push(Mailbox { now, converted, settled, folder, listed: None });
            model.grow(n, 2);
        }
        model
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("Out")
    }

    fn text(mails: &[u32]) -> String {
        mails.iter().map(|&n| mail_with(n, "") + "\n").collect()
    }

    fn write(&self, mailbox: usize) {
        let path = self.dir.path().join("Mail").join(MAILBOXES[mailbox]);
        fs::write(path, Model::text(&self.mailboxes[mailbox].now)).unwrap();
    }

    fn grow(&mut self, mailbox: usize, count: usize) {
        for _ in 0..count {
            self.mailboxes[mailbox].now.push(self.next);
            self.next += 1;
        }
        self.write(mailbox);
    }

    /// Returns the folder that convert gives a mailbox, relative to the root.
    fn home(&self, mailbox: usize) -> PathBuf {
        match (self.layout, MAILBOXES[mailbox]) {
            ("fs", name) => name.into(),
            (_, "INBOX") => PathBuf::new(),
            (_, name) => format!(".{}", name.replace('/', ".")).into(),
        }
    }

    fn folder(&self, mailbox: usize) -> Option<&Path> {
        match &self.mailboxes[mailbox].folder {
            Folder::At(path) => Some(path),
            _ => None,
        }
    }

    /// Returns the number of a movable mailbox that has a folder.
    fn movable(&self, mailbox: usize) -> Option<usize> {
        let movable: Vec<usize> = (1..MAILBOXES.len()).filter(|&n| self.folder(n).is_some()).collect();
        (!movable.is_empty()).then(|| movable[mailbox % movable.len()])
    }

    /// Returns the numbers of the messages in a folder, each with its path.
    fn messages(&self, mailbox: usize) -> Vec<(u32, Message)> {
        let Some(folder) = self.folder(mailbox) else { return Vec::new() };
        let number = |m: &Message| m.subject().strip_prefix("number ").unwrap().parse().unwrap();
        messages(&self.out().join(folder)).into_iter().map(|m| (number(&m), m)).collect()
    }

    fn message(&self, nth: usize) -> Option<(u32, Message)> {
        let mut all: Vec<_> = (0..MAILBOXES.len()).flat_map(|n| self.messages(n)).collect();
        all.sort_by_key(|(number, _)| *number);
        (!all.is_empty()).then(|| all.swap_remove(nth % all.len()))
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Grow { mailbox, count } => self.grow(mailbox % MAILBOXES.len(), count),
            Step::Expunge { mailbox, mail } => {
                let mailbox = mailbox % MAILBOXES.len();
                let now = &mut self.mailboxes[mailbox].now;
                if now.len() > 1 {
                    now.remove(mail % now.len());
                    self.write(mailbox);
                }
            }
            Step::Delete { message } => {
                if let Some((number, message)) = self.message(message) {
                    fs::remove_file(&message.path).unwrap();
                    self.places.remove(&number);
                }
            }
            Step::Move { message, folder } => {
                let found = self.message(message).zip(self.movable(folder));
                if let Some(((number, message), mailbox)) = found {
                    let folder = self.out().join(self.folder(mailbox).unwrap());
                    let name = format!("{}:2,", message.base());
                    fs::rename(&message.path, folder.join("cur").join(name)).unwrap();
                    self.places.insert(number, mailbox);
                }
            }
            Step::DeleteFolder { mailbox } => {
                if let Some(mailbox) = self.movable(mailbox) {
                    self.delete_folder(mailbox);
                }
            }
            Step::MoveFolder { mailbox, to } => {
                if let Some(mailbox) = self.movable(mailbox) {
                    self.move_folder(mailbox, to);
                }
            }
            Step::Convert { spelling } => self.convert(spelling),
            Step::Kill { spelling, call, nth } => self.kill(spelling, call, nth),
            Step::Verify => self.verify(),
        }
    }

    /// Deletes the folder of a mailbox and, in the layout fs, those below it.
    fn delete_folder(&mut self, mailbox: usize) {
        let folder = self.folder(mailbox).unwrap().to_owned();
        fs::remove_dir_all(self.out().join(&folder)).unwrap();
        for n in 0..MAILBOXES.len() {
            if self.folder(n).is_some_and(|path| path.starts_with(&folder) && !self.out().join(path).exists())
            {
                self.mailboxes[n].folder = Folder::Deleted;
                self.places.retain(|_, place| *place != n);
            }
        }
    }

    fn move_folder(&mut self, mailbox: usize, to: Target) {
        let from = self.folder(mailbox).unwrap().to_owned();
        self.folders += 1;
        let level = format!("M{}", self.folders);
        let to = match to {
            Target::New if self.layout == "fs" => PathBuf::from(level),
            Target::New => PathBuf::from(format!(".{level}")),
            Target::Below(n) => {
                let parent = self.folder(self.movable(n).unwrap()).unwrap();
                let separator = if self.layout == "fs" { "/" } else { "." };
                PathBuf::from(format!("{}{separator}{level}", parent.display()))
            }
            Target::PlaceOf(n) => self.home(1 + n % (MAILBOXES.len() - 1)),
        };
        let path = self.out().join(&to);
        if to.starts_with(&from) || path.exists() || !path.parent().unwrap().is_dir() {
            return;
        }
        fs::rename(self.out().join(&from), path).unwrap();
        for mailbox in &mut self.mailboxes {
            if let Folder::At(path) = &mut mailbox.folder
                && let Ok(below) = path.strip_prefix(&from)
            {
                *path = if below == Path::new("") { to.clone() } else { to.join(below) };
            }
        }
    }

    /// Returns the arguments of a conversion. Source and destination are spelled differently.
    fn arguments(&self, spelling: usize) -> Vec<PathBuf> {
        let spelled = |name, nth| spelled(self.dir.path(), name, nth, true);
        let layout = format!("--layout={}", self.layout);
        vec![layout.into(), spelled("Mail", spelling), spelled("Out", spelling / 2 + 1)]
    }

    fn convert(&mut self, spelling: usize) {
        let written = self.convert_any(spelling);
        let due = |m: &Mailbox| m.now.iter().filter(|n| !m.settled.contains(n)).count() as u64;
        let live = self.mailboxes.iter().filter(|m| m.folder != Folder::Deleted);
        assert_eq!(written, live.map(due).sum::<u64>(), "new mail alone is written");
        self.converted();
        let before = tree(self.dir.path());
        assert_eq!(self.convert_any(spelling + 1), 0, "the same command again");
        assert!(tree(self.dir.path()) == before, "the same command again touches nothing");
    }

    /// Converts the tree, and returns how many messages were written.
    fn convert_any(&self, spelling: usize) -> u64 {
        let mut command = convert_command(self.arguments(spelling));
        command.current_dir(self.dir.path());
        let run = run(command);
        let skipped = self.skipped();
        // All that was converted may have been expunged, and other mail added.
        let is_replaced = |m: &Mailbox| !m.now.iter().any(|number| m.settled.contains(number));
        let may_be_replaced = self.mailboxes.iter().any(is_replaced);
        let is_expected = |code: &String| {
            ["folder-not-restored", "folder-mail-skipped"].contains(&&**code)
                || may_be_replaced && code == "source-replaced"
        };
        assert!(run.complaints().iter().all(is_expected), "{}", run.text());
        let reported = run.findings().iter().filter(|f| f["code"] == "folder-not-restored").count();
        assert_eq!(reported, self.deleted().count(), "each deleted folder is reported");
        let summary = run.exits(i32::from(skipped > 0)).summary();
        assert_eq!(count(&summary, "skipped"), skipped as u64, "new mail for a deleted folder: {summary}");
        let all: usize = self.mailboxes.iter().map(|m| m.now.len()).sum();
        assert_eq!(count(&summary, "messages_found"), all as u64, "{summary}");
        count(&summary, "written")
    }

    fn deleted(&self) -> impl Iterator<Item = &Mailbox> {
        self.mailboxes.iter().filter(|m| m.folder == Folder::Deleted)
    }

    /// Returns the number of messages that are skipped because the user deleted their folder.
    fn skipped(&self) -> usize {
        // The mail that was there when the folder was, is known if the mailbox only grew since.
        let skipped = |m: &Mailbox| match m.now.starts_with(&m.converted) {
            true => m.now.len() - m.converted.len(),
            false => m.now.len(),
        };
        self.deleted().map(skipped).sum()
    }

    fn kill(&mut self, spelling: usize, call: &str, nth: usize) {
        if !self.strace {
            return self.convert(spelling);
        }
        let inject = format!("inject={call}:signal=KILL:when={nth}");
        let trace = format!("trace={call}");
        let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject, BINARY];
        let mut command = wrapped("exec \"$@\"", strace, ["convert", "--json", "--lock=none", "-j1"]);
        command.args(self.arguments(spelling)).current_dir(self.dir.path());
        let code = run(command).code;
        let unharmed = i32::from(self.skipped() > 0);
        assert!(code.is_none_or(|code| code == unharmed), "{code:?}");
        self.convert_any(spelling + 1);
        self.converted();
    }

    /// Updates the model after a run, and checks the tree.
    fn converted(&mut self) {
        for n in 0..MAILBOXES.len() {
            let home = self.home(n);
            let mailbox = &mut self.mailboxes[n];
            if mailbox.folder == Folder::Deleted {
                continue;
            }
            if mailbox.folder == Folder::Missing {
                mailbox.folder = Folder::At(home);
            }
            for &number in &mailbox.now {
                if mailbox.settled.insert(number) {
                    self.places.insert(number, n);
                }
            }
            mailbox.converted.clone_from(&mailbox.now);
            let Folder::At(path) = &mailbox.folder else { unreachable!() };
            mailbox.listed = Some(path.clone());
        }
        self.is_as_predicted();
        self.verify();
        (0..MAILBOXES.len()).for_each(|n| self.restores(n));
    }

    /// Asserts that each folder has its messages, each once, and that there are no others.
    fn is_as_predicted(&self) {
        for (n, name) in MAILBOXES.iter().enumerate() {
            let mut found: Vec<u32> = self.messages(n).into_iter().map(|(number, _)| number).collect();
            found.sort_unstable();
            let expected = self.places.iter().filter(|(_, place)| **place == n);
            let expected: Vec<u32> = expected.map(|(number, _)| *number).collect();
            assert_eq!(found, expected, "{name} in {:?}", self.mailboxes[n].folder);
        }
        let is_mail =
            |path: &&PathBuf| path.parent().is_some_and(|p| p.ends_with("new") || p.ends_with("cur"));
        assert_eq!(
            tree(&self.out()).keys().filter(is_mail).count(),
            self.places.len(),
            "there are no others"
        );
    }

    /// Asserts that `verify` reports what was moved and deleted.
    fn verify(&self) {
        if !self.out().exists() {
            return;
        }
        let mut command = mailferry(["verify", "--json", "Out"]);
        command.current_dir(self.dir.path());
        let run = run(command);
        let mut expected = BTreeMap::from(CODES.map(|code| (code, 0)));
        for (n, mailbox) in self.mailboxes.iter().enumerate() {
            let Folder::At(path) = &mailbox.folder else {
                *expected.get_mut("folder-deleted").unwrap() +=
                    usize::from(mailbox.folder == Folder::Deleted);
                let elsewhere = mailbox.settled.iter().filter(|number| self.places.contains_key(number));
                *expected.get_mut("message-unrecorded").unwrap() += elsewhere.count();
                continue;
            };
            *expected.get_mut("folder-moved").unwrap() += usize::from(mailbox.listed.as_ref() != Some(path));
            for number in &mailbox.settled {
                match self.places.get(number) {
                    None => *expected.get_mut("message-gone").unwrap() += 1,
                    Some(&place) if place != n => *expected.get_mut("message-moved").unwrap() += 1,
                    Some(_) => {}
                }
            }
        }
        let findings = run.findings();
        let with = |code: &str| findings.iter().filter(|finding| finding["code"] == code).count();
        let found = BTreeMap::from(CODES.map(|code| (code, with(code))));
        assert_eq!(found, expected, "{}", run.text());
        assert!(run.complaints().iter().all(|code| CODES.contains(&&**code)), "{}", run.text());
        let is_damaged = expected["folder-deleted"] + expected["message-gone"] > 0;
        run.exits(i32::from(is_damaged));
    }

    /// Asserts that `--exact` restores a mailbox, or names what is not in its folder.
    fn restores(&self, mailbox: usize) {
        let Some(folder) = self.folder(mailbox) else { return };
        let back = self.dir.path().join("back");
        let source = self.dir.path().join("Mail").join(MAILBOXES[mailbox]);
        let mut command = convert_command(["--exact", "--source"]);
        command.arg(source).arg(self.out().join(folder)).arg(&back);
        let run = run(command);
        // The root of the layout maildir++ has all folders.
        let is_found = |number: &&u32| {
            let place = self.places.get(number).and_then(|&place| self.folder(place));
            place.is_some_and(|place| place == folder || folder == Path::new(""))
        };
        let converted = &self.mailboxes[mailbox].converted;
        let gone = converted.len() - converted.iter().filter(is_found).count();
        if gone == 0 {
            run.exits(0);
            same(&fs::read(&back).unwrap(), Model::text(converted).as_bytes(), "--exact");
            fs::remove_file(back).unwrap();
        } else {
            let run = run.exits(3);
            let named = run.findings().iter().filter(|f| f["code"] == "message-gone").count();
            assert_eq!(named, gone, "{}", run.text());
            assert!(!back.exists(), "nothing is written");
        }
    }
}

fn play(layout: &'static str, steps: &[Step], strace: bool) {
    let mut model = Model::new(layout, strace);
    steps.iter().for_each(|step| model.take(step));
    model.convert(0);
}

#[test]
fn a_tree_and_its_user_give_what_the_model_predicts() {
    let strace = have_strace();
    let steps = (any::<bool>(), prop::collection::vec(step(), 1..=12));
    TestRunner::new(config())
        .run(&steps, |(fs, mut steps)| {
            steps.insert(0, Step::Convert { spelling: 0 });
            play(if fs { "fs" } else { "maildir++" }, &steps, strace);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}
