//! One model of names, manifest, resume, deletion, growth and several sources. Whatever happens to the
//! mailboxes, to the Maildir and to the runs, in any order, a conversion gives what the model predicts.
//!
//! A *mail* has a number, which stands for its content, and a state, which its mail program rewrites. A
//! mailbox is a list of mails. A file that a conversion gave is *settled* if the conversion finished. It is
//! *pending* if the conversion was killed after it published the file. Every mail of a converted mailbox
//! needs a file. For one number these count, in this order:
//!
//! 1. settled files, 2. pending files that are there, 3. settled files that the user removed.
//!
//! The run writes what is still missing. So nothing that was settled comes back, but a file that a killed run
//! published and the user removed does. The contract leaves the order open. It matters only for two mails
//! with the same content: a file that is there comes first, so that `--exact` can use it. Pending files that
//! no mail needs stay: nothing is ever deleted.
//!
//! With `--labels folders` or `--split year` the file of a mail has a name in each of its folders. It counts as there as long
//! as one of them has it. A pending file is added again to the folders that lack it, a settled one is not. Of
//! several pending files with the same content a run may take any, also those that lack a folder.
//!
//! A mailbox whose conversion was killed is unfinished. `--exact` refuses it, even if an earlier section
//! describes an earlier state, and reports how to finish it.
//!
//! A run may select the mails of some years. A mail that is not selected counts as before if it needs no new file.
//! Else it is left out, and the section is partial: `--exact` names how many mails it lacks, and a later run with
//! another selection writes them.
//!
//! Each run spells its paths differently. At the end the manifest is cut at a line. Then the next run completes
//! every mailbox, except for what a whole section names and the user removed.
//!
//! The model reads from the manifest, in the format of mailferry-manifest(5), which mailbox a file belongs to.
//! It predicts by itself how many there are and whether they are settled.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use crate::support::*;

/// State fields of a mail.
const STATES: [&str; 4] = ["", "Status: O\n", "Status: RO\n", "Status: RO\nX-Status: AF\n"];
/// System calls at which a run may be killed, each with how many of the first calls count. A few are enough
/// for calls that occur once per message. The first dozen files are those that any program opens.
pub(crate) const CALLS: [(&str, usize); 9] = [
    ("openat", 40),
    ("write", 6),
    ("writev", 6),
    ("utimensat", 6),
    ("renameat2", 6),
    ("linkat", 6),
    ("fsync", 10),
    ("syncfs", 2),
    ("mkdirat", 4),
];
const MAILBOXES: usize = 3;
/// The labels of mails, by number, and their folders.
const LABELS: [(&str, &[&str]); 4] = [
    ("", &[""]),
    ("X-Gmail-Labels: Inbox,Work\n", &["", ".Work"]),
    ("X-Gmail-Labels: Home,Unread\n", &[".Home"]),
    ("X-Gmail-Labels: Work,Home,Lists/a\n", &[".Work", ".Home", ".Lists.a"]),
];

/// Selections of the years in [`YEARS`].
const SELECTIONS: [(&[&str], &[u32]); 4] = [
    (&[], &YEARS),
    (&["--since=2000"], &[2000, 2001]),
    (&["--before=2000-01"], &[1998, 1999]),
    (&["--since=1999-01-01", "--before=2001"], &[1999, 2000]),
];
/// The years of mails, by number.
const YEARS: [u32; 4] = [1998, 1999, 2000, 2001];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mail {
    number: u32,
    state: usize,
}

impl Mail {
    /// Returns the mail as in an mbox.
    fn source(self) -> String {
        self.mail() + "\n"
    }

    fn mail(self) -> String {
        let (labels, _) = LABELS[self.number as usize % LABELS.len()];
        let year = year(self.number);
        // From_ lines that are all alike have no real date.
        let date = format!("Date: 2 Mar {year} 08:00:00 +0000\n");
        let mail = mail_with(self.number, &format!("{labels}{date}{}", STATES[self.state]));
        mail.replacen(" 1998\n", &format!(" {year}\n"), 1)
    }

    /// Returns the contents of its file.
    fn file(self) -> String {
        let mail = self.mail();
        mail.split_once('\n').expect("a From_ line").1.replace("\n>From", "\nFrom")
    }
}

fn year(number: u32) -> u32 {
    // Each label has mails of each year.
    YEARS[(number as usize + number as usize / LABELS.len()) % YEARS.len()]
}

/// Numbers are taken modulo what exists. So any sequence of steps is valid, and any part of it too.
#[derive(Debug, Clone)]
enum Step {
    /// A new mailbox.
    Begin {
        mails: Vec<AddedMail>,
    },
    /// New mail.
    Grow {
        mailbox: usize,
        mails: Vec<AddedMail>,
    },
    /// The mail program rewrites the state of a mail.
    Mark {
        mailbox: usize,
        mail: usize,
        state: usize,
    },
    /// A mail is removed from the mailbox; never the first one, which identifies the mailbox.
    Expunge {
        mailbox: usize,
        mail: usize,
    },
    /// Two mails are swapped.
    Swap {
        mailbox: usize,
        mails: (usize, usize),
    },
    /// The mailbox returns to an earlier state.
    Restore {
        mailbox: usize,
        version: usize,
    },
    /// The user moves a message to another Maildir.
    Move {
        message: usize,
    },
    /// The user's mail reader sets flags.
    Flag {
        message: usize,
        flags: &'static str,
    },
    Delete {
        message: usize,
    },
    Convert {
        mailboxes: Vec<usize>,
        /// See [`SELECTIONS`].
        selection: usize,
        /// How the paths are spelled.
        spelling: usize,
        jobs: usize,
    },
    /// A conversion with one worker, killed at the n-th system call of this name, if there are that many.
    Kill {
        mailboxes: Vec<usize>,
        selection: usize,
        spelling: usize,
        call: &'static str,
        nth: usize,
    },
}

/// A mail that is added to a mailbox.
#[derive(Debug, Clone, Copy)]
struct AddedMail {
    /// True for a mail that no mailbox has or had.
    new: bool,
    which: usize,
    state: usize,
}

fn step() -> impl Strategy<Value = Step> {
    let nth = || 0..12usize;
    let mails = || {
        let added = (any::<bool>(), nth(), 0..STATES.len());
        prop::collection::vec(added.prop_map(|(new, which, state)| AddedMail { new, which, state }), 1..5)
    };
    let mailboxes = || prop::collection::vec(0..MAILBOXES, 1..=MAILBOXES);
    let flags = prop::sample::select(&["", "S", "FS", "RST"][..]);
    let selection = || prop_oneof![Just(0), 0..SELECTIONS.len()];
    prop_oneof![
        2 => mails().prop_map(|mails| Step::Begin { mails }),
        4 => (nth(), mails()).prop_map(|(mailbox, mails)| Step::Grow { mailbox, mails }),
        2 => (nth(), nth(), 0..STATES.len())
            .prop_map(|(mailbox, mail, state)| Step::Mark { mailbox, mail, state }),
        2 => (nth(), nth()).prop_map(|(mailbox, mail)| Step::Expunge { mailbox, mail }),
        1 => (nth(), (nth(), nth())).prop_map(|(mailbox, mails)| Step::Swap { mailbox, mails }),
        2 => (nth(), nth()).prop_map(|(mailbox, version)| Step::Restore { mailbox, version }),
        1 => nth().prop_map(|message| Step::Move { message }),
        1 => (nth(), flags).prop_map(|(message, flags)| Step::Flag { message, flags }),
        4 => nth().prop_map(|message| Step::Delete { message }),
        6 => (mailboxes(), selection(), nth(), 1..4usize).prop_map(|(mailboxes, selection, spelling, jobs)| {
            Step::Convert { mailboxes, selection, spelling, jobs }
        }),
        6 => (mailboxes(), selection(), nth(), prop::sample::select(&CALLS[..]), 0..120usize).prop_map(
            |(mailboxes, selection, spelling, (call, first), nth)| Step::Kill {
                mailboxes,
                selection,
                spelling,
                call,
                nth: 1 + nth % first,
            }
        ),
    ]
}

#[derive(Debug)]
struct Mailbox {
    path: PathBuf,
    now: Vec<Mail>,
    /// The state before each change.
    backups: Vec<Vec<Mail>>,
    /// The state at the last finished conversion.
    converted: Option<Vec<Mail>>,
    /// How many mails that conversion did not select, by number.
    not_selected: BTreeMap<u32, u64>,
    /// True if a killed conversion left its section open.
    unfinished: bool,
    /// True if a conversion was killed since, possibly before its section began.
    killed: bool,
}

impl Mailbox {
    fn text(mails: &[Mail]) -> String {
        mails.iter().map(|mail| mail.source()).collect()
    }

    fn write(&self) {
        fs::write(&self.path, Mailbox::text(&self.now)).unwrap();
    }

    /// Returns how many mails it had at its last conversion.
    fn now_converted(&self) -> usize {
        self.converted.as_ref().map_or(0, Vec::len)
    }

    /// Returns the number of mails by number.
    fn numbers(&self) -> BTreeMap<u32, u64> {
        let mut numbers = BTreeMap::new();
        self.now.iter().for_each(|mail| *numbers.entry(mail.number).or_default() += 1);
        numbers
    }

    /// Reports whether it is as at its last conversion, which finished.
    fn is_same(&self) -> bool {
        !self.unfinished && self.converted.as_ref() == Some(&self.now)
    }
}

/// A file that a conversion gave.
#[derive(Debug, Clone)]
struct OutputFile {
    mailbox: usize,
    number: u32,
    settled: bool,
    /// The folders in which it still is. A pending file that is gone is forgotten.
    there: BTreeSet<String>,
}

impl OutputFile {
    fn is_there(&self) -> bool {
        !self.there.is_empty()
    }
}

/// The work of a conversion for the mails of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Work {
    /// Number of pending files that it uses.
    pending: u64,
    /// How many of these lack a folder: minimum and maximum.
    completed: (u64, u64),
    /// Number of settled files that count although they are gone.
    gone: u64,
    written: u64,
    not_selected: u64,
}

/// A section of the manifest.
#[derive(Debug, PartialEq, Eq)]
struct Section {
    mailbox: usize,
    closed: bool,
    /// The names, each with whether the manifest has the bytes as well.
    names: Vec<(String, bool)>,
    /// How many messages were not selected.
    not_selected: u64,
}

/// The mailboxes and the selection of a conversion.
struct Chosen {
    mailboxes: Vec<usize>,
    selection: usize,
}

struct Model {
    setup: Setup,
    mailboxes: Vec<Mailbox>,
    /// By base name.
    files: BTreeMap<String, OutputFile>,
    /// The next unused number.
    next: u32,
    spread: Spread,
    strace: bool,
}

/// What becomes folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spread {
    Nothing,
    Labels,
    Years,
}

/// New files in the Maildir after a run.
#[derive(Debug, Default)]
struct NewFiles {
    /// New files, by base name.
    files: BTreeMap<String, OutputFile>,
    /// Folders that got existing files, by base name.
    completed: BTreeMap<String, BTreeSet<String>>,
}

impl Model {
    fn new(spread: Spread, strace: bool) -> Model {
        let (mailboxes, files) = (Vec::new(), BTreeMap::new());
        let mut model = Model { setup: Setup::new(), mailboxes, files, next: 0, spread, strace };
        fs::create_dir(model.setup.path("outside")).unwrap();
        std::os::unix::fs::symlink(".", model.setup.path("link")).unwrap();
        model.begin(&[]);
        model
    }

    fn mail(&mut self, added: AddedMail) -> Mail {
        let AddedMail { new, which, state } = added;
        if new {
            self.next += 1;
            return Mail { number: self.next - 1, state };
        }
        Mail { number: which as u32 % self.next, state }
    }

    fn begin(&mut self, mails: &[AddedMail]) {
        let path = self.setup.path(["one", "two", "three"][self.mailboxes.len()]);
        // No mailbox begins as another one does or did: the contract would take them for the same mailbox.
        let first = AddedMail { new: true, which: 0, state: 0 };
        let now = [&[first], mails].concat().into_iter().map(|added| self.mail(added)).collect();
        let mailbox = Mailbox {
            path,
            now,
            backups: Vec::new(),
            converted: None,
            not_selected: BTreeMap::new(),
            unfinished: false,
            killed: false,
        };
        mailbox.write();
        self.mailboxes.push(mailbox);
    }

    fn change(&mut self, mailbox: usize, change: impl FnOnce(&mut Vec<Mail>)) {
        let mailbox = &mut self.mailboxes[mailbox];
        let before = mailbox.now.clone();
        change(&mut mailbox.now);
        mailbox.write();
        mailbox.backups.push(before);
    }

    /// Returns the messages of all folders.
    fn messages(&self) -> Vec<Message> {
        let maildir = self.setup.maildir();
        let folders = if maildir.exists() { names(&maildir) } else { return Vec::new() };
        // A folder that was being created at a kill may lack a directory. Without all three it gets no mail.
        let is_complete = |name: &&str| {
            let folder = maildir.join(name);
            let is_incomplete = ["tmp", "new", "cur"].iter().any(|place| !folder.join(place).exists());
            let has_mail = paths(&folder).iter().any(|path| path.contains('/'));
            assert!(!is_incomplete || !has_mail, "{folder:?}: {:?}", paths(&folder));
            !is_incomplete
        };
        let folders =
            folders.iter().map(String::as_str).filter(|name| name.starts_with('.')).filter(is_complete);
        [""].into_iter().chain(folders).flat_map(|folder| messages(&maildir.join(folder))).collect()
    }

    /// Returns the folder of a message.
    fn folder(&self, message: &Message) -> String {
        let folder = message.path.parent().unwrap().parent().unwrap();
        folder.strip_prefix(self.setup.maildir()).unwrap().to_str().unwrap().to_owned()
    }

    /// Returns the folders of a mail.
    fn folders(&self, number: u32) -> BTreeSet<String> {
        match self.spread {
            Spread::Nothing => BTreeSet::from([String::new()]),
            Spread::Labels => {
                LABELS[number as usize % LABELS.len()].1.iter().map(|&f| f.to_owned()).collect()
            }
            Spread::Years => BTreeSet::from([format!(".{}", year(number))]),
        }
    }

    fn options(&self) -> &'static [&'static str] {
        match self.spread {
            Spread::Nothing => &[],
            Spread::Labels => &["--labels=folders"],
            Spread::Years => &["--split=year"],
        }
    }

    /// Returns a message that a user step changes, if there is one.
    fn message(&self, nth: usize) -> Option<Message> {
        let mut messages = self.messages();
        (!messages.is_empty()).then(|| messages.swap_remove(nth % messages.len()))
    }

    fn took_away(&mut self, message: &Message) {
        let folder = self.folder(message);
        let files = self.files.get_mut(message.base()).expect("all that is there was given");
        assert!(files.there.remove(&folder));
        if !files.settled && !files.is_there() {
            self.files.remove(message.base());
        }
    }

    fn take(&mut self, step: &Step) {
        let count = self.mailboxes.len();
        // Any mail but the first.
        let later = |mails: &[Mail], n: usize| 1 + n % (mails.len() - 1).max(1);
        match step {
            Step::Begin { mails } => {
                if count < MAILBOXES {
                    self.begin(mails);
                }
            }
            Step::Grow { mailbox, mails } => {
                let mails: Vec<_> = mails.iter().map(|added| self.mail(*added)).collect();
                self.change(mailbox % count, |now| now.extend(mails));
            }
            Step::Mark { mailbox, mail, state } => {
                self.change(mailbox % count, |now| {
                    let nth = mail % now.len();
                    now[nth].state = *state;
                });
            }
            Step::Expunge { mailbox, mail } => self.change(mailbox % count, |now| {
                if now.len() > 1 {
                    now.remove(later(now, *mail));
                }
            }),
            Step::Swap { mailbox, mails: (a, b) } => self.change(mailbox % count, |now| {
                if now.len() > 1 {
                    let (a, b) = (later(now, *a), later(now, *b));
                    now.swap(a, b);
                }
            }),
            Step::Restore { mailbox, version } => {
                let backups = self.mailboxes[mailbox % count].backups.clone();
                if !backups.is_empty() {
                    self.change(mailbox % count, |now| now.clone_from(&backups[version % backups.len()]));
                }
            }
            Step::Move { message } => {
                if let Some(message) = self.message(*message) {
                    fs::rename(&message.path, self.setup.path("outside").join(&message.name)).unwrap();
                    self.took_away(&message);
                }
            }
            Step::Delete { message } => {
                if let Some(message) = self.message(*message) {
                    fs::remove_file(&message.path).unwrap();
                    self.took_away(&message);
                }
            }
            Step::Flag { message, flags } => {
                if let Some(message) = self.message(*message) {
                    let name = format!("{}:2,{flags}", message.base());
                    let folder = self.setup.maildir().join(self.folder(&message));
                    fs::rename(&message.path, folder.join("cur").join(name)).unwrap();
                }
            }
            Step::Convert { mailboxes, selection, spelling, jobs } => {
                self.convert(&self.chosen(mailboxes, *selection), *spelling, *jobs);
            }
            Step::Kill { mailboxes, selection, spelling, call, nth } => {
                let chosen = self.chosen(mailboxes, *selection);
                self.kill(&self.arguments(&chosen, *spelling), &chosen, call, *nth);
            }
        }
    }

    /// Returns each mailbox once.
    fn chosen(&self, mailboxes: &[usize], selection: usize) -> Chosen {
        let mut chosen = Vec::new();
        for mailbox in mailboxes.iter().map(|n| n % self.mailboxes.len()) {
            if !chosen.contains(&mailbox) {
                chosen.push(mailbox);
            }
        }
        Chosen { mailboxes: chosen, selection }
    }

    fn due(&self, mailbox: usize, selection: usize) -> BTreeMap<u32, Work> {
        let same = self.mailboxes[mailbox].is_same();
        let due = |(number, needed): (u32, u64)| {
            let of_it = || self.files.values().filter(move |g| (g.mailbox, g.number) == (mailbox, number));
            let count = |settled, is_there| {
                of_it().filter(|g| (g.settled, g.is_there()) == (settled, is_there)).count() as u64
            };
            let lacks = |files: &&OutputFile| !files.settled && files.there != self.folders(number);
            let in_part = of_it().filter(lacks).count() as u64;
            let left = needed.saturating_sub(count(true, true));
            // What a run left that was killed before the last one that finished does not matter to the same mailbox.
            let pending = if same { 0 } else { left.min(count(false, true)) };
            let gone = (left - pending).min(count(true, false));
            let whole = count(false, true) - in_part;
            let completed = (pending.saturating_sub(whole), pending.min(in_part));
            let missing = left - pending - gone;
            let is_selected = SELECTIONS[selection].1.contains(&year(number));
            let (written, not_selected) = if is_selected { (missing, 0) } else { (0, missing) };
            (number, Work { pending, completed, gone, written, not_selected })
        };
        self.mailboxes[mailbox].numbers().into_iter().map(due).collect()
    }

    /// Reports whether a conversion has nothing to do.
    fn is_known(&self, mailbox: usize, selection: usize) -> bool {
        let left_out = not_selected(&self.due(mailbox, selection));
        self.mailboxes[mailbox].is_same() && self.mailboxes[mailbox].not_selected == left_out
    }

    /// Returns the options and paths of a conversion, each path spelled differently.
    fn arguments(&self, chosen: &Chosen, spelling: usize) -> Vec<PathBuf> {
        let dir = self.setup.scratch.path();
        let name = |n: usize| self.mailboxes[n].path.file_name().unwrap().to_str().unwrap();
        let sources = chosen.mailboxes.iter().map(|&n| spelled(dir, name(n), spelling + n, false));
        let maildir = spelled(dir, "Maildir", spelling / 2, true);
        let options = self.options().iter().chain(SELECTIONS[chosen.selection].0);
        options.map(PathBuf::from).chain(sources).chain([maildir]).collect()
    }

    fn run(&self, arguments: &[PathBuf], jobs: usize) -> Run {
        let mut command = convert_command(["--lock=none".to_owned(), format!("-j{jobs}")]);
        command.args(arguments).current_dir(self.setup.scratch.path()).env("TZ", "UTC");
        run(command)
    }

    fn convert(&mut self, chosen: &Chosen, spelling: usize, jobs: usize) {
        let before = self.mail_files();
        let sections = self.sections();
        let run = self.run(&self.arguments(chosen, spelling), jobs).exits(0);
        self.finished(chosen, &run, &before, &sections);
        self.again(chosen, spelling + 1);
        self.verify();
    }

    /// Runs a conversion again that was just done, with other spellings.
    fn again(&self, chosen: &Chosen, spelling: usize) {
        let state = tree(self.setup.scratch.path());
        let mailboxes = || chosen.mailboxes.iter().map(|&n| &self.mailboxes[n]);
        let needed = mailboxes().map(|mailbox| mailbox.now.len() as u64).sum::<u64>();
        let left_out = mailboxes().flat_map(|mailbox| mailbox.not_selected.values()).sum::<u64>();
        let again = self.run(&self.arguments(chosen, spelling), 1).exits(0).summary();
        let counts = ["written", "already_present", "duplicates", "not_selected"];
        let counts = counts.map(|key| count(&again, key));
        assert_eq!(counts, [0, needed - left_out, 0, left_out], "the same command again");
        assert!(tree(self.setup.scratch.path()) == state, "the same command again touches nothing");
        (0..self.mailboxes.len()).for_each(|n| self.restores(n));
    }

    /// Asserts that two spellings of one path are refused.
    fn refuses_twice(&self, spelling: usize) {
        let (dir, state) = (self.setup.scratch.path(), tree(self.setup.scratch.path()));
        let [one, other] = [0, 1].map(|n| spelled(dir, "one", spelling + n, false));
        self.run(&[one, other, self.setup.maildir()], 1).exits(2);
        assert!(tree(self.setup.scratch.path()) == state, "nothing is touched");
    }

    /// Asserts that `verify` reports what is gone, unfinished and in no section, and nothing else.
    fn verify(&self) {
        let (sections, shown) = (self.sections(), self.messages());
        let there: BTreeSet<&str> = shown.iter().map(Message::base).collect();
        let (mut all, mut gone, mut unfinished) = (BTreeSet::new(), BTreeSet::new(), 0);
        for (n, section) in sections.iter().enumerate() {
            // A run that finished replaces the section of one that did not.
            let is_finished =
                sections[n..].iter().any(|later| later.closed && later.mailbox == section.mailbox);
            let names = section.names.iter().map(|(name, _)| &**name);
            all.extend(names.clone());
            match is_finished {
                true => gone.extend(names.filter(|name| !there.contains(name))),
                false => unfinished += 1,
            }
        }
        let is_unrecorded = there.iter().any(|name| !all.contains(name));
        let run = run(mailferry(["verify".as_ref(), "--json".as_ref(), self.setup.maildir().as_os_str()]));
        let findings = run.findings();
        let with = |code: &str| findings.iter().filter(|finding| finding["code"] == code).count();
        let found = (with("message-gone"), with("conversion-unfinished"), with("message-unrecorded") > 0);
        assert_eq!(found, (gone.len(), unfinished, is_unrecorded), "{}", run.text());
        let expected = ["message-gone", "conversion-unfinished", "message-unrecorded"];
        assert!(run.complaints().iter().all(|code| expected.contains(&&**code)), "{}", run.text());
        run.exits(i32::from(gone.len() + unfinished > 0));
    }

    /// Cuts the manifest at a line, and converts all mailboxes, which are unchanged since their conversion. Every
    /// message is there, except for what a whole section names.
    fn cut(&mut self, at: usize) {
        let text = fs::read_to_string(self.setup.manifest()).unwrap();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        fs::write(self.setup.manifest(), lines[..1 + at % lines.len()].concat()).unwrap();
        self.verify();
        let sections = self.sections();
        let is_open = |n: usize| newest(&sections, n).is_some_and(|(_, section)| !section.closed);
        for n in (0..self.mailboxes.len()).filter(|&n| is_open(n)) {
            self.mailboxes[n].unfinished = true;
            self.restores(n);
            self.mailboxes[n].unfinished = false;
        }
        let closed = || sections.iter().filter(|section| section.closed);
        let is_settled = |name: &str| closed().any(|s| s.names.iter().any(|(other, _)| other == name));
        let before = self.mail_files();
        let all = Chosen { mailboxes: (0..self.mailboxes.len()).collect(), selection: 0 };
        self.run(&self.arguments(&all, at), 2).exits(0);
        let after = self.mail_files();
        assert!(before.iter().all(|(path, state)| after.get(path) == Some(state)), "what was there");
        let (sections, shown) = (self.sections(), self.messages());
        let there: BTreeSet<&str> = shown.iter().map(Message::base).collect();
        for &n in &all.mailboxes {
            let (_, section) = newest(&sections, n).unwrap();
            let is_complete = |name: &str| there.contains(name) || is_settled(name);
            assert!(section.names.iter().all(|(name, _)| is_complete(name)), "nothing is missing");
            let names: BTreeSet<&str> = section.names.iter().map(|(name, _)| &**name).collect();
            assert_eq!(names.len(), self.mailboxes[n].now.len(), "every message has its name");
        }
        self.again(&all, at + 1);
    }

    fn kill(&mut self, paths: &[PathBuf], chosen: &Chosen, call: &str, nth: usize) {
        let before = self.mail_files();
        let sections = self.sections();
        let arguments = ["convert", "--json", "--lock=none", "-j1"];
        let inject = format!("inject={call}:signal=KILL:when={nth}");
        let trace = format!("trace={call}");
        let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject, BINARY];
        let mut command =
            if self.strace { wrapped("exec \"$@\"", strace, arguments) } else { mailferry(arguments) };
        command.args(paths).current_dir(self.setup.scratch.path()).env("TZ", "UTC");
        let run = if self.strace { run(command) } else { killed_after(command, nth) };
        match run.code {
            Some(0) => self.finished(chosen, &run, &before, &sections),
            None => self.killed(chosen, &before, &sections),
            Some(_) => panic!("{run:?}"),
        }
    }

    /// Updates the model after a successful run.
    fn finished(&mut self, chosen: &Chosen, run: &Run, before: &Files, sections: &[Section]) {
        let Chosen { mailboxes: chosen, selection } = chosen;
        let known: Vec<bool> = chosen.iter().map(|&n| self.is_known(n, *selection)).collect();
        let due: Vec<Work> = chosen.iter().flat_map(|&n| self.due(n, *selection).into_values()).collect();
        let needed = chosen.iter().map(|&n| self.mailboxes[n].now.len() as u64).sum::<u64>();
        let sum = |of: fn(&Work) -> u64| due.iter().map(of).sum::<u64>();
        let (new, all) = self.new_files(before);
        let completed = new.completed.len() as u64;
        let possible = sum(|due| due.completed.0)..=sum(|due| due.completed.1);
        assert!(possible.contains(&completed), "{completed} of {possible:?} were completed: {due:?}");
        let (written, left_out) = (sum(|due| due.written) + completed, sum(|due| due.not_selected));
        let counts = ["written", "already_present", "duplicates", "skipped", "not_selected"];
        let counts = counts.map(|key| count(&run.summary(), key));
        let present = needed - written - left_out;
        assert_eq!(counts, [written, present, 0, 0, left_out], "{due:?}\n{:?}", self.files);
        self.complete(&new);
        for (&mailbox, known) in chosen.iter().zip(known) {
            let is_new = newest(sections, mailbox) != newest(&all, mailbox);
            assert_eq!(is_new, !known, "it is recorded, if there is news");
            let (_, section) = newest(&all, mailbox).expect("it is recorded");
            assert!(section.closed);
            self.settle(mailbox, *selection, is_new.then_some(section), &new.files);
        }
        assert!(new.files.values().all(|g| chosen.contains(&g.mailbox)));
        let maildir = self.setup.maildir();
        let (folders, own): (Vec<_>, Vec<_>) =
            names(&maildir).into_iter().partition(|name| name.starts_with('.'));
        // A killed run leaves the lock of the keywords to the next one that needs it.
        let is_killed = self.mailboxes.iter().any(|mailbox| mailbox.killed);
        let is_other =
            |name: &String| name != "dovecot-keywords" && !(is_killed && name == "dovecot-keywords.lock");
        let own: Vec<String> = own.into_iter().filter(is_other).collect();
        assert_eq!(own, ["cur", MANIFEST, "new", "tmp"]);
        assert_eq!(names(&maildir.join("tmp")), [""; 0]);
        for folder in folders {
            let folder = maildir.join(folder);
            let own: Vec<String> = names(&folder).into_iter().filter(is_other).collect();
            assert_eq!(own, ["cur", "maildirfolder", "new", "tmp"]);
            assert_eq!(names(&folder.join("tmp")), [""; 0]);
        }
        let mut expected: Vec<_> =
            self.mailboxes.iter().map(|m| m.path.file_name().unwrap().to_str().unwrap()).collect();
        expected.extend(["Maildir", "link", "outside"]);
        expected.sort();
        assert_eq!(names(self.setup.scratch.path()), expected);
    }

    /// Records that pending files were added to folders that lacked them.
    fn complete(&mut self, new: &NewFiles) {
        for (name, folders) in &new.completed {
            let files = self.files.get_mut(name).expect("it is there in another folder");
            assert!(!files.settled, "nothing that is settled comes back");
            files.there.extend(folders.iter().cloned());
        }
    }

    /// Updates the model after a killed run.
    fn killed(&mut self, chosen: &Chosen, before: &Files, sections: &[Section]) {
        let Chosen { mailboxes: chosen, selection } = chosen;
        chosen.iter().for_each(|&mailbox| self.mailboxes[mailbox].killed = true);
        if !self.setup.maildir().exists() {
            assert!(before.is_empty());
            return;
        }
        let (new, all) = self.new_files(before);
        self.complete(&new);
        let new = new.files;
        for &mailbox in chosen {
            let now = newest(&all, mailbox);
            let Some((_, section)) =
                now.filter(|now| Some(*now) != newest(sections, mailbox) || !now.1.closed)
            else {
                continue;
            };
            if section.closed {
                self.settle(mailbox, *selection, Some(section), &new);
                continue;
            }
            self.mailboxes[mailbox].unfinished = true;
            let due = self.due(mailbox, *selection);
            for (name, files) in new.iter().filter(|(_, files)| files.mailbox == mailbox) {
                let shown = new.values().filter(|g| (g.mailbox, g.number) == (mailbox, files.number));
                assert!(shown.count() as u64 <= due[&files.number].written, "no more than is due");
                self.files.insert(name.clone(), files.clone());
            }
        }
        assert!(new.keys().all(|name| self.files.contains_key(name)), "nothing else is shown");
    }

    /// Settles a converted mailbox: the run did what was due, and the section confirms it.
    fn settle(
        &mut self,
        mailbox: usize,
        selection: usize,
        section: Option<&Section>,
        new: &BTreeMap<String, OutputFile>,
    ) {
        let due = self.due(mailbox, selection);
        let left_out = not_selected(&due);
        let ours = |number: u32| new.iter().filter(move |(_, g)| (g.mailbox, g.number) == (mailbox, number));
        for (&number, due) in &due {
            assert_eq!(ours(number).count() as u64, due.written, "files with number {number}");
            assert!(ours(number).all(|(_, g)| g.there == self.folders(number)), "in each of its folders");
            let settled =
                ours(number).map(|(name, g)| (name.clone(), OutputFile { settled: true, ..g.clone() }));
            self.files.extend(settled);
        }
        assert!(new.values().all(|g| g.mailbox != mailbox || due.contains_key(&g.number)));
        if let Some(section) = section {
            let (mut pending, mut gone) = (BTreeMap::<u32, u64>::new(), BTreeMap::<u32, u64>::new());
            for (name, _) in &section.names {
                let everywhere = self.files.get(name).map(|files| self.folders(files.number));
                let files = self.files.get_mut(name).expect("a name that was given");
                assert_eq!(files.mailbox, mailbox, "a name has one owner");
                *pending.entry(files.number).or_default() += u64::from(!files.settled);
                *gone.entry(files.number).or_default() += u64::from(!files.is_there());
                assert!(files.settled || Some(&files.there) == everywhere.as_ref(), "in each of its folders");
                files.settled = true;
            }
            for (number, due) in due {
                let of = |counts: &BTreeMap<u32, u64>| counts.get(&number).copied().unwrap_or(0);
                assert_eq!((of(&pending), of(&gone)), (due.pending, due.gone), "number {number}");
            }
            assert_eq!(section.not_selected, left_out.values().sum::<u64>());
        }
        let mailbox = &mut self.mailboxes[mailbox];
        mailbox.converted = Some(mailbox.now.clone());
        mailbox.not_selected = left_out;
        mailbox.unfinished = false;
        mailbox.killed = false;
    }

    /// Returns the files that a run added, none of them settled yet, and the sections after it. Asserts that
    /// existing files are unchanged.
    fn new_files(&self, before: &Files) -> (NewFiles, Vec<Section>) {
        let after = self.mail_files();
        assert!(before.iter().all(|(path, state)| after.get(path) == Some(state)), "what was there");
        let sections = self.sections();
        let mut owners = BTreeMap::new();
        for section in &sections {
            owners.extend(section.names.iter().map(|(name, _)| (name.as_str(), section.mailbox)));
        }
        let shown = self.messages();
        assert!(shown.iter().all(|m| owners.contains_key(m.base())), "whatever is shown is recorded");
        let new = shown.into_iter().filter(|message| {
            let path = message.path.strip_prefix(self.setup.maildir()).unwrap();
            !before.contains_key(path)
        });
        let mut all = NewFiles::default();
        for message in new {
            let number = message.subject().strip_prefix("number ").unwrap().parse().unwrap();
            let states = 0..STATES.len();
            let is_complete = |state| Mail { number, state }.file().as_bytes() == message.bytes;
            assert!(states.into_iter().any(is_complete), "{} is whole", message.name);
            let (name, folder) = (message.base().to_owned(), self.folder(&message));
            assert!(self.folders(number).contains(&folder), "{} is in {folder}", message.name);
            if self.files.get(&name).is_some_and(OutputFile::is_there) {
                all.completed.entry(name).or_default().insert(folder);
                continue;
            }
            let mailbox = owners[message.base()];
            let files = OutputFile { mailbox, number, settled: false, there: BTreeSet::new() };
            all.files.entry(name).or_insert(files).there.insert(folder);
        }
        (all, sections)
    }

    fn mail_files(&self) -> Files {
        if self.setup.maildir().exists() { shown_files(&self.setup.maildir()) } else { Files::new() }
    }

    /// Reads the manifest. The code shares nothing with the program.
    fn sections(&self) -> Vec<Section> {
        let Ok(text) = fs::read_to_string(self.setup.manifest()) else { return Vec::new() };
        let whole = &text[..text.rfind('\n').map_or(0, |lf| lf + 1)];
        let mut sections = Vec::<Section>::new();
        for line in whole.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if let Some(path) = line["source"].as_str().filter(|_| line["section"].is_u64()) {
                let mailbox = self.mailboxes.iter().position(|m| m.path.as_os_str() == path).unwrap();
                sections.push(Section { mailbox, closed: false, names: Vec::new(), not_selected: 0 });
            } else if let Some(nth) = line["closes"].as_u64() {
                sections[nth as usize - 1].closed = true;
            } else if let Some(count) = line["unselected"].as_u64() {
                sections.last_mut().unwrap().not_selected += count;
            } else if let Some(name) = line["name"].as_str() {
                let name = (name.to_owned(), line["verbatim"].is_string());
                sections.last_mut().unwrap().names.push(name);
            }
        }
        sections
    }

    /// Asserts that `--exact` restores a mailbox to the state of its last conversion, or names what is gone.
    fn restores(&self, mailbox: usize) {
        let (sections, there) = (self.sections(), self.messages());
        let Some((_, newest)) = newest(&sections, mailbox) else { return };
        let mailbox = &self.mailboxes[mailbox];
        let which = ["--source".as_ref(), mailbox.path.as_os_str()];
        if mailbox.unfinished {
            let refused = self.setup.try_exact(&which).exits(3);
            assert!(refused.stderr.contains("not finished"), "{}", refused.stderr);
            return;
        }
        if newest.not_selected > 0 {
            let refused = self.setup.try_exact(&which).exits(1);
            let [finding] = &refused.findings()[..] else { panic!("{}", refused.text()) };
            let words = finding["message"].as_str().unwrap();
            let count = newest.not_selected;
            assert!(words.starts_with(&format!("{count} of {} ", mailbox.now_converted())), "{words}");
            assert_eq!(finding["code"], "not-selected");
            return;
        }
        let there: BTreeSet<&str> = there.iter().map(Message::base).collect();
        let needed = newest.names.iter().filter(|(_, verbatim)| !verbatim);
        let gone: Vec<&str> =
            needed.map(|(name, _)| name.as_str()).filter(|name| !there.contains(name)).collect();
        if gone.is_empty() {
            let text = Mailbox::text(mailbox.converted.as_ref().expect("it has a closed section"));
            same(&self.setup.exact(&which), text.as_bytes(), "--exact");
            let only = sections.iter().all(|s| self.mailboxes[s.mailbox].path == mailbox.path);
            if only {
                same(&self.setup.exact(&[]), text.as_bytes(), "--exact of the only source");
            }
        } else {
            let findings = self.setup.try_exact(&which).exits(3).findings();
            let gone_by = |f: &&Value| f["code"] == "message-gone";
            let named: Vec<&str> =
                findings.iter().filter(gone_by).map(|f| f["message"].as_str().unwrap()).collect();
            assert_eq!(named.len(), gone.len(), "{named:?}, {gone:?}");
            assert!(gone.iter().all(|name| named.iter().any(|message| message.contains(name))));
        }
    }
}

/// Returns how many mails are left out, by number.
fn not_selected(due: &BTreeMap<u32, Work>) -> BTreeMap<u32, u64> {
    let left_out = due.iter().filter(|(_, due)| due.not_selected > 0);
    left_out.map(|(&number, due)| (number, due.not_selected)).collect()
}

/// Returns the last section of a mailbox, and its index.
fn newest(sections: &[Section], mailbox: usize) -> Option<(usize, &Section)> {
    sections.iter().enumerate().rfind(|(_, section)| section.mailbox == mailbox)
}

/// Files by path in the Maildir.
type Files = BTreeMap<PathBuf, FileState>;

/// Returns all visible messages.
fn shown_files(maildir: &Path) -> Files {
    let is_shown = |path: &Path| path.parent().is_some_and(|p| p.ends_with("new") || p.ends_with("cur"));
    tree(maildir).into_iter().filter(|(path, _)| is_shown(path)).collect()
}

/// Kills the run after a delay, where strace is absent.
fn killed_after(mut command: std::process::Command, moment: usize) -> Run {
    use std::process::Stdio;
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_micros(500 * moment as u64));
    child.kill().unwrap();
    Run::of(child.wait_with_output().unwrap())
}

fn play(spread: Spread, steps: &[Step], cut: usize, strace: bool) {
    let mut model = Model::new(spread, strace);
    steps.iter().for_each(|step| model.take(step));
    // After any sequence of steps a conversion succeeds.
    let all = Chosen { mailboxes: (0..model.mailboxes.len()).collect(), selection: 0 };
    model.convert(&all, 0, 2);
    model.refuses_twice(cut);
    model.cut(cut);
}

/// Each case runs dozens of processes. So there are hundreds of cases at most, not thousands as for
/// properties in memory. `PROPTEST_CASES` overrides the number.
pub(crate) fn config() -> ProptestConfig {
    let cases = match std::env::var_os("PROPTEST_CASES") {
        _ if full() => 400,
        Some(_) => ProptestConfig::default().cases,
        None => samples(10, 25, 400),
    };
    // A failing case becomes a plain test, not a stored seed.
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 400, ..ProptestConfig::default() }
}

#[test]
fn any_sequence_of_events_gives_what_the_model_predicts() {
    let strace = have_strace();
    // Half of the cases begin with a Maildir: a new one gets all messages at once.
    let spread = || prop::sample::select(&[Spread::Nothing, Spread::Labels, Spread::Years][..]);
    let steps = (spread(), any::<bool>(), prop::collection::vec(step(), 1..=12), 0..1000usize);
    let steps = steps.prop_map(|(spread, existing, mut steps, cut)| {
        if existing {
            let selection = cut % SELECTIONS.len();
            steps.insert(0, Step::Convert { mailboxes: vec![0], selection, spelling: 0, jobs: 1 });
        }
        (spread, steps, cut)
    });
    TestRunner::new(config())
        .run(&steps, |(spread, steps, cut)| {
            play(spread, &steps, cut, strace);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}
