//! A conversion that is disturbed and run again, held against the same one undisturbed.

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

type Tree = BTreeMap<PathBuf, Lying>;

/// A source, what lies at the destination before, and what lies there after an undisturbed run.
pub struct Conversion {
    pub what: &'static str,
    pub messages: u64,
    options: &'static [&'static str],
    source: Vec<u8>,
    before: TempDir,
    after: Tree,
}

/// A directory of its own to do the conversion in: `run/source` to `run/dest/Maildir`.
pub struct Ground<'a> {
    conversion: &'a Conversion,
    scratch: TempDir,
    before: Tree,
}

impl Conversion {
    pub fn new(what: &'static str, source: Vec<u8>, messages: u64, before: TempDir) -> Conversion {
        Conversion::with(what, &[], source, messages, before)
    }

    pub fn with(
        what: &'static str,
        options: &'static [&'static str],
        source: Vec<u8>,
        messages: u64,
        before: TempDir,
    ) -> Conversion {
        let mut conversion = Conversion { what, messages, options, source, before, after: Tree::new() };
        let ground = conversion.ground();
        ground.again();
        let after = ground.lying();
        drop(ground);
        conversion.after = after;
        conversion
    }

    /// The same, begun already by a run that was killed and left this.
    pub fn continued(&self, what: &'static str, before: TempDir) -> Conversion {
        let (source, after) = (self.source.clone(), self.after.clone());
        Conversion { what, messages: self.messages, options: self.options, source, before, after }
    }

    pub fn ground(&self) -> Ground<'_> {
        let scratch = scratch();
        let root = scratch.path().join("run");
        fs::create_dir(&root).unwrap();
        let source = root.join("source");
        fs::write(&source, &self.source).unwrap();
        // A new manifest bears the date of its source.
        let date = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        fs::File::open(&source).unwrap().set_modified(date).unwrap();
        copy(self.before.path(), &root.join("dest"));
        let before = tree(&root.join("dest"));
        Ground { conversion: self, scratch, before }
    }
}

/// Nothing at the destination.
pub fn nothing() -> TempDir {
    scratch()
}

/// A Maildir with a manifest of another source, and mail that others delivered.
pub fn a_maildir() -> TempDir {
    let scratch = scratch();
    let maildir = scratch.path().join("Maildir");
    convert_fixture("inbox.mbox", &maildir);
    fs::write(maildir.join("new/1234567890.M1P2.example"), "Subject: own\n\nnew\n").unwrap();
    fs::write(maildir.join("cur/1234567891.M1P3.example:2,RSa"), "Subject: own\n\nread\n").unwrap();
    fs::write(maildir.join(KEYWORDS), "0 Own\n").unwrap();
    scratch
}

/// A directory as it lies there, times included.
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

impl Ground<'_> {
    fn root(&self) -> PathBuf {
        // As the kernel names it.
        self.scratch.path().canonicalize().unwrap().join("run")
    }

    /// Where the Maildir lies in.
    pub fn dest(&self) -> PathBuf {
        self.root().join("dest")
    }

    pub fn maildir(&self) -> PathBuf {
        self.dest().join("Maildir")
    }

    /// A path for what is no part of the conversion.
    pub fn aside(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// A path below the destination, as it is on every ground, on this one.
    pub fn here(&self, path: &str) -> String {
        path.replace(ANYWHERE, self.dest().to_str().unwrap())
    }

    /// Leaves all that lies at the destination now to other conversions as what lies there before.
    pub fn leave(self) -> TempDir {
        let scratch = scratch();
        fs::remove_dir(scratch.path()).unwrap();
        copy(&self.dest(), scratch.path());
        scratch
    }

    /// The conversion, `program` before it, with the dot-lock and fcntl lock that everybody gets.
    pub fn command<S: AsRef<OsStr>>(&self, program: &[S], options: &[&str]) -> Command {
        // The manifest names the source as it was given: a relative path is the same everywhere.
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

    /// The same command once more, which must succeed.
    #[track_caller]
    pub fn again(&self) {
        let run = run(self.command::<&str>(&[], &[])).exits(0);
        assert_eq!(run.stderr, "");
        let summary = run.summary();
        assert_eq!(
            count(&summary, "written") + count(&summary, "already_present"),
            self.conversion.messages,
            "{summary}"
        );
    }

    /// All that lies at the destination, as it is to be compared between runs.
    fn lying(&self) -> Tree {
        let mut tree = tree_alike(&self.dest());
        tree.entry(Path::new("Maildir").join(KEYWORDS)).and_modify(|lying| lying.mtime = (0, 0));
        let manifest = Path::new("Maildir").join(MANIFEST);
        if self.before.contains_key(&manifest) {
            // Somebody wrote it before, and it has the time of the last change.
            tree.entry(manifest).and_modify(|lying| lying.mtime = (0, 0));
        }
        tree
    }

    /// Asserts that the destination is as an undisturbed run leaves it: names, bytes, modes, times,
    /// the manifest too.
    #[track_caller]
    pub fn is_whole(&self) {
        let (got, expected) = (self.lying(), &self.conversion.after);
        let paths: BTreeSet<_> = got.keys().chain(expected.keys()).collect();
        let differ = paths.into_iter().filter(|path| got.get(*path) != expected.get(*path));
        let differ: Vec<_> = differ.map(|path| (path, got.get(path), expected.get(path))).collect();
        let some = &differ[..differ.len().min(3)];
        assert!(differ.is_empty(), "{} differ from an undisturbed run: {some:?}", differ.len());
        let mut inodes = BTreeMap::new();
        for (path, lying) in tree(&self.dest()).iter().filter(|(path, _)| is_visible(path)) {
            let inode = *inodes.entry(path.file_name().unwrap().to_owned()).or_insert(lying.inode);
            assert_eq!(inode, lying.inode, "{} takes no room a second time", path.display());
        }
    }

    /// Asserts that `convert --exact` gives the source back.
    #[track_caller]
    pub fn comes_back(&self) {
        let mut command = mailferry(["convert", "--exact", "--source=source"]);
        command.args([&self.maildir(), Path::new("-")]);
        let back = run(command).exits(0).stdout;
        assert!(back == self.conversion.source, "another source comes back");
    }

    /// Asserts that nothing lies beside source and Maildir or in its tmp/, unless it lay there before.
    #[track_caller]
    pub fn leaves_nothing(&self) {
        assert_eq!(names(&self.root()), ["dest", "source"]);
        let is_tmp = |path: &Path| path.parent().is_some_and(|p| p.ends_with("tmp"));
        let beside = |path: &&PathBuf| !path.starts_with("Maildir") || is_tmp(path);
        let now = tree(&self.dest());
        let beside = now.keys().filter(beside);
        let left: Vec<_> = beside.filter(|path| !self.before.contains_key(*path)).collect();
        assert!(left.is_empty(), "left lying: {left:?}");
    }

    /// Asserts that a run that made nothing visible took back what it had written to the manifest,
    /// unless an earlier one had left a section open there.
    #[track_caller]
    pub fn keeps_its_manifest(&self) {
        let manifest = Path::new("Maildir").join(MANIFEST);
        let Ok(before) = fs::read(self.conversion.before.path().join(&manifest)) else { return };
        if closed_sections(&before) == before {
            assert!(fs::read(self.dest().join(&manifest)).unwrap() == before, "the manifest was changed");
        }
    }

    /// Asserts that, whatever happened, only whole messages are visible, and nothing was done to what
    /// lay in the Maildir. Returns how many messages are visible that were not.
    #[track_caller]
    pub fn is_harmless(&self) -> u64 {
        let now = tree(&self.dest());
        for (path, before) in self.before.iter().filter(|(path, _)| is_own(path)) {
            assert_eq!(now.get(path), Some(before), "{}", path.display());
        }
        if let Ok(before) = fs::read(self.conversion.before.path().join("Maildir").join(KEYWORDS)) {
            let now = fs::read(self.maildir().join(KEYWORDS)).unwrap();
            assert!(now.starts_with(&before), "a letter was given another name");
        }
        let manifest = Path::new("Maildir").join(MANIFEST);
        if self.before.contains_key(&manifest) {
            let before = fs::read(self.conversion.before.path().join(&manifest)).unwrap();
            let now = fs::read(self.dest().join(&manifest)).unwrap();
            assert!(now.starts_with(closed_sections(&before)), "the manifest of others was changed");
        }
        let mut new = BTreeSet::new();
        for path in now.keys().filter(|path| is_visible(path) && !self.before.contains_key(*path)) {
            let alike = Lying { inode: 0, ..now[path].clone() };
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

    /// Asserts that a run that made nothing visible made no folder either.
    #[track_caller]
    pub fn has_no_more_folders(&self) {
        let now = tree(&self.dest());
        let new = now.keys().find(|path| is_in_folder(path) && !self.before.contains_key(*path));
        assert_eq!(new, None);
    }
}

/// What no run of ours may touch: all of a Maildir but its tmp/, the manifest, and the names of its keywords.
fn is_own(path: &Path) -> bool {
    path.starts_with("Maildir")
        && !path.starts_with("Maildir/tmp")
        && path != Path::new("Maildir").join(MANIFEST)
        && path != Path::new("Maildir").join(KEYWORDS)
}

fn is_visible(path: &Path) -> bool {
    let is_place = |parent: &Path| parent.ends_with("new") || parent.ends_with("cur");
    path.starts_with("Maildir") && path.parent().is_some_and(is_place)
}

fn visible(tree: &Tree) -> usize {
    tree.keys().filter(|path| is_visible(path)).count()
}

/// Whether it lies in a folder of the Maildir, or is one.
fn is_in_folder(path: &Path) -> bool {
    path.strip_prefix("Maildir").is_ok_and(|path| path.as_os_str().as_bytes().starts_with(b"."))
}

/// A manifest up to the end of its last closed section: what follows is ours to continue.
fn closed_sections(manifest: &[u8]) -> &[u8] {
    let mut lines: Vec<&[u8]> = manifest.split_inclusive(|&b| b == b'\n').collect();
    while lines.pop_if(|line| !line.starts_with(b"{\"closes\":")).is_some() {}
    &manifest[..lines.concat().len()]
}

/// What lies in a directory itself, sorted.
fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// So many messages for new/ and for cur/, some of them quoted, some with keywords.
pub fn mixed(count: u32) -> Vec<u8> {
    let mail = String::from_utf8(many(count)).unwrap();
    let messages = mail.split("From ada@").skip(1).enumerate().map(|(n, message)| {
        let status = ["Status: RO\n", "", "Status: RO\nX-Status: AF\nX-Keywords: Work NonJunk  \n"][n % 3];
        let quoted = if n % 4 == 0 { "\n\n>From here on prose\n" } else { "\n\n" };
        let message = message.replacen("Status: RO\n", status, 1).replacen("\n\n", quoted, 1);
        format!("From ada@{message}")
    });
    messages.collect::<String>().into_bytes()
}

/// The same with labels, as Takeout has them: some in one folder, some in several, some in none but the Maildir.
pub fn labelled(count: u32) -> Vec<u8> {
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

/// Some number below `end`, the same in every run of the tests.
pub fn random(seed: &str, n: usize, end: u64) -> u64 {
    let hash = blake3::hash(format!("{seed} {n}").as_bytes());
    let word = hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    word % end.max(1)
}
