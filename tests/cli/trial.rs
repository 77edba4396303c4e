//! Compares a conversion that was disturbed and repeated with one that was not.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use crate::strace::ANYWHERE;
use crate::support::*;

const MANIFEST: &str = "mailferry.manifest";
const KEYWORDS: &str = "dovecot-keywords";
const UID_LISTS: [&str; 2] = ["dovecot-uidlist", "courierimapuiddb"];

type Tree = BTreeMap<PathBuf, FileState>;

/// A source, the initial destination, and the destination after an undisturbed run.
pub(crate) struct Conversion {
    pub what: &'static str,
    pub messages: u64,
    options: &'static [&'static str],
    source: Vec<u8>,
    before: TempDir,
    after: Tree,
}

/// A scratch directory for one conversion: `run/source` to `run/dest/Maildir`.
pub(crate) struct Trial<'a> {
    conversion: &'a Conversion,
    scratch: TempDir,
    before: Tree,
}

impl Conversion {
    pub(crate) fn new(what: &'static str, source: Vec<u8>, messages: u64, before: TempDir) -> Conversion {
        Conversion::with(what, &[], source, messages, before)
    }

    pub(crate) fn with(
        what: &'static str,
        options: &'static [&'static str],
        source: Vec<u8>,
        messages: u64,
        before: TempDir,
    ) -> Conversion {
        let mut conversion = Conversion { what, messages, options, source, before, after: Tree::new() };
        let trial = conversion.trial();
        trial.again();
        let after = trial.states();
        drop(trial);
        conversion.after = after;
        conversion
    }

    /// Returns the same conversion, started from what a killed run left.
    pub(crate) fn continued(&self, what: &'static str, before: TempDir) -> Conversion {
        let (source, after) = (self.source.clone(), self.after.clone());
        Conversion { what, messages: self.messages, options: self.options, source, before, after }
    }

    pub(crate) fn trial(&self) -> Trial<'_> {
        let scratch = scratch();
        let root = scratch.path().join("run");
        fs::create_dir(&root).unwrap();
        let source = root.join("source");
        fs::write(&source, &self.source).unwrap();
        // A new manifest has the mtime of its source.
        let date = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        fs::File::open(&source).unwrap().set_modified(date).unwrap();
        copy(self.before.path(), &root.join("dest"));
        name_source(&root.join("dest"), &source.canonicalize().unwrap());
        let before = tree(&root.join("dest"));
        Trial { conversion: self, scratch, before }
    }
}

/// Replaces the source in the manifests that another trial left: its path is in another scratch directory.
fn name_source(dest: &Path, source: &Path) {
    for path in tree(dest).into_keys().filter(|path| path.ends_with(MANIFEST)) {
        let path = dest.join(path);
        let mtime = fs::metadata(&path).unwrap().modified().unwrap();
        let text = fs::read(&path).unwrap();
        let lines = text.split_inclusive(|&b| b == b'\n').map(|line| {
            let Some(end) = memchr::memmem::find(line, b"/run/source\"") else {
                return line.to_vec();
            };
            let start = memchr::memmem::rfind(&line[..end], b"\"").unwrap() + 1;
            [&line[..start], source.as_os_str().as_bytes(), &line[end + "/run/source".len()..]].concat()
        });
        fs::write(&path, lines.collect::<Vec<_>>().concat()).unwrap();
        fs::File::open(&path).unwrap().set_modified(mtime).unwrap();
    }
}

/// Returns the digest of a manifest without what depends on the path of the source: that path, and the hashes of
/// sections.
fn manifest_digest(path: &Path, root: &Path) -> String {
    let text = String::from_utf8(fs::read(path).unwrap()).unwrap();
    let text = text.replace(root.to_str().unwrap(), ANYWHERE);
    let without_end = |line: &str| match line.split_once("\"end\":\"") {
        Some((before, after)) => format!("{before}{}", &after[64..]),
        None => line.to_owned(),
    };
    sha256(text.split_inclusive('\n').map(without_end).collect::<String>().as_bytes())
}

/// Returns an empty destination.
pub(crate) fn nothing() -> TempDir {
    scratch()
}

/// Returns a destination with a Maildir: a manifest of another source, and mail that other programs
/// delivered.
pub(crate) fn a_maildir() -> TempDir {
    let scratch = scratch();
    let maildir = scratch.path().join("Maildir");
    convert_fixture("inbox.mbox", &maildir);
    fs::write(maildir.join("new/1234567890.M1P2.example"), "Subject: own\n\nnew\n").unwrap();
    fs::write(maildir.join("cur/1234567891.M1P3.example:2,RSa"), "Subject: own\n\nread\n").unwrap();
    fs::write(maildir.join(KEYWORDS), "0 Own\n").unwrap();
    scratch
}

/// Returns a destination whose messages have UIDs up to 9, of the same validity as in [`numbered`].
pub(crate) fn a_numbered_maildir() -> TempDir {
    let (_source, mbox) = file("other.mbox", numbered(4, 6));
    let scratch = scratch();
    convert([&mbox, &scratch.path().join("Maildir")]);
    scratch
}

/// Returns so many messages with UIDs from `first` on.
pub(crate) fn numbered(count: u32, first: u32) -> Vec<u8> {
    let mail = String::from_utf8(mixed(count)).unwrap();
    let messages = mail.split("From ada@").skip(1).zip(first..).map(|(message, uid)| {
        let base = if uid == first {
            format!("X-IMAPbase: 1104746400 {:010}\n", first + count - 1)
        } else {
            String::new()
        };
        let (from_line, message) = message.split_once('\n').unwrap();
        format!("From ada@{from_line}\n{base}X-UID: {uid}\n{message}")
    });
    messages.collect::<String>().into_bytes()
}

/// Copies a directory with its times.
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

impl Trial<'_> {
    fn root(&self) -> PathBuf {
        // As the kernel names it.
        self.scratch.path().canonicalize().unwrap().join("run")
    }

    /// Returns the directory of the Maildir.
    pub(crate) fn dest(&self) -> PathBuf {
        self.root().join("dest")
    }

    pub(crate) fn maildir(&self) -> PathBuf {
        self.dest().join("Maildir")
    }

    /// Returns a path outside of the conversion.
    pub(crate) fn aside(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Replaces the placeholder of the destination in a path.
    pub(crate) fn here(&self, path: &str) -> String {
        path.replace(ANYWHERE, self.dest().to_str().unwrap())
    }

    /// Returns the destination for use as the initial state of other conversions.
    pub(crate) fn leave(self) -> TempDir {
        let scratch = scratch();
        fs::remove_dir(scratch.path()).unwrap();
        copy(&self.dest(), scratch.path());
        scratch
    }

    /// Returns the command of the conversion, after `program`, with the default locks.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, program: &[S], options: &[&str]) -> Command {
        let program = program.iter().map(AsRef::as_ref).chain([OsStr::new(BINARY)]);
        let mut command = wrapped("exec \"$@\"", program, ["convert", "--json"]);
        command
            .args(options)
            .args(self.conversion.options)
            .arg("source")
            .arg(self.maildir())
            .current_dir(self.root());
        command
    }

    /// Runs the same command again, which must succeed.
    #[track_caller]
    pub(crate) fn again(&self) {
        let run = run(self.command::<&str>(&[], &[])).exits(0);
        assert_eq!(run.stderr, "");
        let summary = run.summary();
        assert_eq!(
            count(&summary, "written") + count(&summary, "already_present"),
            self.conversion.messages,
            "{summary}"
        );
    }

    /// Returns the destination in a form that can be compared between runs.
    fn states(&self) -> Tree {
        let mut tree = tree_alike(&self.dest());
        let is_list = |path: &Path| [KEYWORDS].iter().chain(&UID_LISTS).any(|list| path.ends_with(list));
        for (_, state) in tree.iter_mut().filter(|(path, _)| is_list(path)) {
            state.mtime = (0, 0);
        }
        for (path, state) in tree.iter_mut().filter(|(path, _)| path.ends_with(MANIFEST)) {
            state.digest = manifest_digest(&self.dest().join(path), &self.root());
        }
        let manifest = Path::new("Maildir").join(MANIFEST);
        if self.before.contains_key(&manifest) {
            // It existed before, and its mtime is that of the last change.
            tree.entry(manifest).and_modify(|states| states.mtime = (0, 0));
        }
        tree
    }

    /// Asserts that the destination is as after an undisturbed run: names, bytes, modes, times, and the
    /// manifest.
    #[track_caller]
    pub(crate) fn is_complete(&self) {
        let (got, expected) = (self.states(), &self.conversion.after);
        let paths: BTreeSet<_> = got.keys().chain(expected.keys()).collect();
        let differ = paths.into_iter().filter(|path| got.get(*path) != expected.get(*path));
        let differ: Vec<_> = differ.map(|path| (path, got.get(path), expected.get(path))).collect();
        let some = &differ[..differ.len().min(3)];
        assert!(differ.is_empty(), "{} differ from an undisturbed run: {some:?}", differ.len());
        let mut inodes = BTreeMap::new();
        for (path, states) in tree(&self.dest()).iter().filter(|(path, _)| is_visible(path)) {
            let inode = *inodes.entry(path.file_name().unwrap().to_owned()).or_insert(states.inode);
            assert_eq!(inode, states.inode, "{} takes no room a second time", path.display());
        }
    }

    /// Asserts that `convert --exact` restores the source.
    #[track_caller]
    pub(crate) fn restores(&self) {
        let mut command = mailferry(["convert", "--exact", "--source=source"]);
        command.args([&self.maildir(), Path::new("-")]);
        let back = run(command).exits(0).stdout;
        assert!(back == self.conversion.source, "another source comes back");
    }

    /// Asserts that nothing new is next to source and Maildir or in its tmp/.
    #[track_caller]
    pub(crate) fn leaves_nothing(&self) {
        assert_eq!(names(&self.root()), ["dest", "source"]);
        let is_tmp = |path: &Path| path.parent().is_some_and(|p| p.ends_with("tmp"));
        let outside = |path: &&PathBuf| !path.starts_with("Maildir") || is_tmp(path);
        let now = tree(&self.dest());
        let outside = now.keys().filter(outside);
        let leftovers: Vec<_> = outside.filter(|path| !self.before.contains_key(*path)).collect();
        assert!(leftovers.is_empty(), "left over: {leftovers:?}");
    }

    /// Asserts that a run that published nothing rolled back the manifest and the lists of UIDs, unless an earlier run
    /// had left a section open.
    #[track_caller]
    pub(crate) fn rolls_back_manifest(&self) {
        for list in UID_LISTS.map(|list| Path::new("Maildir").join(list)) {
            let (before, now) = (self.conversion.before.path().join(&list), self.dest().join(&list));
            assert!(fs::read(before).ok() == fs::read(now).ok(), "{} was changed", list.display());
        }
        let manifest = Path::new("Maildir").join(MANIFEST);
        let Ok(before) = fs::read(self.conversion.before.path().join(&manifest)) else { return };
        if closed_sections(&before) == before {
            assert!(fs::read(self.dest().join(&manifest)).unwrap() == before, "the manifest was changed");
        }
    }

    /// Asserts that only complete messages are visible, that existing files are unchanged, and that a list of UIDs is
    /// the one before the run or the one after it. Returns the number of new messages.
    #[track_caller]
    pub(crate) fn is_harmless(&self) -> u64 {
        let now = tree(&self.dest());
        for (path, before) in self.before.iter().filter(|(path, _)| is_protected(path)) {
            assert_eq!(now.get(path), Some(before), "{}", path.display());
        }
        if let Ok(before) = fs::read(self.conversion.before.path().join("Maildir").join(KEYWORDS)) {
            let now = fs::read(self.maildir().join(KEYWORDS)).unwrap();
            assert!(now.starts_with(&before), "a letter was given another name");
        }
        for list in UID_LISTS.map(|list| Path::new("Maildir").join(list)) {
            let digest = |tree: &Tree| tree.get(&list).map(|state| state.digest.clone());
            let is_after = digest(&now) == digest(&self.conversion.after);
            assert!(is_after || digest(&now) == digest(&self.before), "{} is another", list.display());
        }
        let manifest = Path::new("Maildir").join(MANIFEST);
        if self.before.contains_key(&manifest) {
            let before = fs::read(self.conversion.before.path().join(&manifest)).unwrap();
            let now = fs::read(self.dest().join(&manifest)).unwrap();
            assert!(now.starts_with(closed_sections(&before)), "the manifest of others was changed");
        }
        let mut new = BTreeSet::new();
        for path in now.keys().filter(|path| is_visible(path) && !self.before.contains_key(*path)) {
            let alike = FileState { inode: 0, ..now[path].clone() };
            assert_eq!(self.conversion.after.get(path), Some(&alike), "{}", path.display());
            let name = path.file_name().unwrap().to_str().unwrap();
            let size = name.split_once(",S=").and_then(|(_, rest)| rest.split_once(',')).unwrap().0;
            let length = fs::metadata(self.dest().join(path)).unwrap().len();
            assert_eq!(size, length.to_string(), "{name}");
            new.insert(name.to_owned());
        }
        let maildir = Path::new("Maildir");
        let new = new.len() as u64;
        if now.contains_key(maildir) && !self.before.contains_key(maildir) {
            assert_eq!(new, self.conversion.messages, "a new Maildir appears whole");
            assert_eq!(visible(&now), visible(&self.conversion.after), "in each folder");
        }
        new
    }

    /// Asserts that a run that published nothing created no folder either.
    #[track_caller]
    pub(crate) fn adds_no_folder(&self) {
        let now = tree(&self.dest());
        let new = now.keys().find(|path| is_in_folder(path) && !self.before.contains_key(*path));
        assert_eq!(new, None);
    }
}

/// Tells whether no run may change a file: all of a Maildir but its tmp/, the manifest, the lists, and the lock that
/// a killed run left.
fn is_protected(path: &Path) -> bool {
    path.starts_with("Maildir")
        && !path.starts_with("Maildir/tmp")
        && path != Path::new("Maildir").join(MANIFEST)
        && !path.ends_with(KEYWORDS)
        && UID_LISTS.iter().all(|list| path != Path::new("Maildir").join(list))
        && path != Path::new("Maildir/dovecot-uidlist.lock")
}

fn is_visible(path: &Path) -> bool {
    let is_place = |parent: &Path| parent.ends_with("new") || parent.ends_with("cur");
    path.starts_with("Maildir") && path.parent().is_some_and(is_place)
}

fn visible(tree: &Tree) -> usize {
    tree.keys().filter(|path| is_visible(path)).count()
}

/// Tells whether a path is a folder of the Maildir or in one.
fn is_in_folder(path: &Path) -> bool {
    path.strip_prefix("Maildir").is_ok_and(|path| path.as_os_str().as_bytes().starts_with(b"."))
}

/// Returns a manifest up to the end of its last closed section. A run may change the rest.
fn closed_sections(manifest: &[u8]) -> &[u8] {
    let mut lines: Vec<&[u8]> = manifest.split_inclusive(|&b| b == b'\n').collect();
    while lines.pop_if(|line| !line.starts_with(b"{\"closes\":")).is_some() {}
    &manifest[..lines.concat().len()]
}

/// Returns the names in a directory, sorted.
fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Returns this many messages for new/ and cur/, some of them quoted, some with keywords.
pub(crate) fn mixed(count: u32) -> Vec<u8> {
    let mail = String::from_utf8(many(count)).unwrap();
    let messages = mail.split("From ada@").skip(1).enumerate().map(|(n, message)| {
        let status = ["Status: RO\n", "", "Status: RO\nX-Status: AF\nX-Keywords: Work NonJunk  \n"][n % 3];
        let quoted = if n % 4 == 0 { "\n\n>From here on prose\n" } else { "\n\n" };
        let message = message.replacen("Status: RO\n", status, 1).replacen("\n\n", quoted, 1);
        format!("From ada@{message}")
    });
    messages.collect::<String>().into_bytes()
}

/// Returns them with the labels of Takeout: in one folder, in several, or only in the Maildir itself.
pub(crate) fn labelled(count: u32) -> Vec<u8> {
    const LABELS: [&str; 6] =
        ["Inbox,Unread", "Work,Inbox", "Archived", "Lists/a,Work,Lists/b", "Sent,Home", ""];
    let mail = String::from_utf8(mixed(count)).unwrap();
    let messages = mail.split("From ada@").skip(1).enumerate().map(|(n, message)| {
        let labels = LABELS[n % LABELS.len()];
        let field = if labels.is_empty() { String::new() } else { format!("X-Gmail-Labels: {labels}\n") };
        let (from_line, message) = message.split_once('\n').unwrap();
        format!("From ada@{from_line}\n{field}{message}")
    });
    messages.collect::<String>().into_bytes()
}

/// Returns a random number below `end`, the same in every run of the tests.
pub(crate) fn random(seed: &str, n: usize, end: u64) -> u64 {
    let hash = blake3::hash(format!("{seed} {n}").as_bytes());
    let word = hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    word % end.max(1)
}
