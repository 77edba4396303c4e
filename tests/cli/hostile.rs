//! Root works in the tree of a user who attacks: links, hard links, FIFOs, devices and files of a third user in the
//! place of all that a command opens or creates, and directories that are exchanged at its system calls. Nothing outside
//! of the user's tree is read for the user, changed or created; honest work next to it succeeds.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{CWD, FileType, Mode, RenameFlags};
use tempfile::TempDir;

use crate::strace::Stopped;
use crate::support::*;

/// The user, who has a shell, and a third user. Neither needs an account.
const JOE: u32 = 24011;
const ANN: u32 = 24012;
const SECRET: &str = "PIN 4711";
const STALE: i64 = 1_000_000_000;

/// Reports whether other users can be tried.
fn is_possible() -> bool {
    if !rustix::process::geteuid().is_root() {
        skip!("only root can work in the tree of another user");
    }
    let mapped = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    if mapped.split_whitespace().nth(2) == Some("1") {
        skip!("there is one user only");
    }
    true
}

/// A user's home, a directory of root's, and one of the third user's.
struct Scene(TempDir);

impl Scene {
    fn new() -> Scene {
        let scene = Scene(scratch());
        mode(scene.0.path(), 0o755);
        let home = scene.at("home");
        for maildir in ["home/Maildir", "home/Maildir/.F", "roots/box", "anns/Maildir"] {
            for name in ["cur", "new", "tmp"] {
                fs::create_dir_all(scene.at(maildir).join(name)).unwrap();
            }
        }
        scene.put("home/Maildir/cur/1.M1.h:2,S", "Subject: own\n\nown words\n");
        scene.put("home/Maildir/.F/maildirfolder", "");
        scene.put("home/Maildir/tmp/2.M2.h", "Subject: half\n\nhalf a message");
        rustix::fs::utimensat(
            CWD,
            scene.at("home/Maildir/tmp/2.M2.h"),
            &times(STALE),
            rustix::fs::AtFlags::empty(),
        )
        .unwrap();
        scene.put("home/inbox", &mail(1));
        scene.put("home/box", &mail(2));
        scene.put("home/mail/work", &mail(3));
        scene.put("home/mail/sub/old", &mail(4));
        scene.put("roots/backup", &mail(5));
        scene.put("roots/shadow", SECRET);
        scene.put(
            "roots/mbox",
            &format!("From x@h.example Sat Feb  3 04:05:06 2001\nSubject: s\n\n{SECRET}\n\n"),
        );
        scene.put("roots/box/cur/1.M1.h:2,S", &format!("Subject: s\n\n{SECRET}\n"));
        scene.put("anns/Maildir/cur/1.M1.h:2,S", &format!("Subject: s\n\n{SECRET}\n"));
        scene.put(
            "anns/mbox",
            &format!("From x@h.example Sat Feb  3 04:05:06 2001\nSubject: s\n\n{SECRET}\n\n"),
        );
        for (top, uid) in [("home", JOE), ("anns", ANN)] {
            give(&scene.at(top), uid);
        }
        for name in ["roots", "anns"] {
            mode(&scene.at(name), 0o700);
        }
        run(mailferry(["convert", "-q"].map(str::to_owned).into_iter().chain([
            home.join("inbox").display().to_string(),
            home.join("Converted").display().to_string(),
        ])))
        .exits(0);
        scene
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        mode(&path, 0o600);
    }

    /// Everything that is not the user's.
    fn others(&self) -> BTreeMap<PathBuf, String> {
        ["roots", "anns"].iter().flat_map(|top| states(&self.at(top))).collect()
    }

    /// Asserts that nothing outside was touched, that the user cannot read a secret, and that what is new in the user's
    /// tree is the user's.
    #[track_caller]
    fn is_safe(&self, before: &BTreeMap<PathBuf, String>, attack: &str) {
        let after = self.others();
        for (path, state) in before {
            assert_eq!(after.get(path), Some(state), "{attack}: {}", path.display());
        }
        for path in after.keys() {
            assert!(before.contains_key(path), "{attack}: {} was created", path.display());
        }
        for path in everything(&self.at("home")) {
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_file() && meta.nlink() == 1 && meta.uid() == JOE {
                let text = fs::read(&path).unwrap();
                let is_secret = memchr(&text, SECRET.as_bytes());
                assert!(!is_secret, "{attack}: the user can read {}", path.display());
            }
        }
    }
}

fn memchr(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

fn times(seconds: i64) -> rustix::fs::Timestamps {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 0 };
    rustix::fs::Timestamps { last_access: time, last_modification: time }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn give(top: &Path, uid: u32) {
    everything(top).iter().for_each(|path| lchown(path, Some(uid), Some(uid)).unwrap());
}

/// A directory and all that is below it; links are not followed.
fn everything(top: &Path) -> Vec<PathBuf> {
    let mut all = vec![top.to_owned()];
    let is_dir = fs::symlink_metadata(top).is_ok_and(|meta| meta.is_dir());
    let below = is_dir.then(|| fs::read_dir(top).unwrap());
    for entry in below.into_iter().flatten() {
        all.extend(everything(&entry.unwrap().path()));
    }
    all
}

/// What can be seen of each file, except when it was read.
fn states(top: &Path) -> BTreeMap<PathBuf, String> {
    let state = |path: PathBuf| {
        let meta = fs::symlink_metadata(&path).unwrap();
        let data = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        let text = String::from_utf8_lossy(&data).into_owned();
        // A lock next to root's own source comes and goes.
        let mtime = (!meta.is_dir()).then(|| (meta.mtime(), meta.mtime_nsec()));
        let state =
            format!("{:o} {} {} {} {mtime:?} {text}", meta.mode(), meta.uid(), meta.gid(), meta.ino());
        (path, state)
    };
    everything(top).into_iter().map(state).collect()
}

/// A command of root's, its arguments relative to the scene; what is delivered is on standard input.
struct Job {
    name: &'static str,
    args: &'static [&'static str],
}

const MESSAGE: &str = "Subject: hello\n\nwords for the user\n";
const LMTP: &str = "LHLO there\r\nMAIL FROM:<s@x.example>\r\nRCPT TO:<joe@h.example>\r\nDATA\r\nSubject: s\r\n\r\ntext\r\n\
                    .\r\nQUIT\r\n";

/// Each operation of convert into a new and an existing destination, and the other commands.
const JOBS: [Job; 22] = [
    Job { name: "import, new", args: &["convert", "home/inbox", "home/New"] },
    Job { name: "import, existing", args: &["convert", "home/inbox", "home/Maildir"] },
    Job { name: "import, root's", args: &["convert", "roots/backup", "home/Maildir"] },
    Job {
        name: "import, root's, new, as joe",
        args: &["convert", "--owner", "24011:24011", "roots/backup", "home/New"],
    },
    Job { name: "copy, new", args: &["convert", "home/Maildir", "maildir:home/Copy"] },
    Job { name: "copy, existing", args: &["convert", "home/Converted", "maildir:home/Maildir"] },
    Job { name: "copy, to root", args: &["convert", "home/Maildir", "maildir:archive/Copy"] },
    Job { name: "export, new", args: &["convert", "home/Maildir", "mbox:home/out"] },
    Job { name: "export, append", args: &["convert", "--append", "home/Maildir", "mbox:home/box"] },
    Job { name: "export, force", args: &["convert", "--force", "home/Maildir", "mbox:home/box"] },
    Job { name: "restore", args: &["convert", "--exact", "home/Converted", "home/out"] },
    Job { name: "tree, new", args: &["convert", "home/mail", "home/Tree"] },
    Job { name: "tree, existing", args: &["convert", "home/mail", "home/Maildir"] },
    Job { name: "tree, fs", args: &["convert", "--layout", "fs", "home/mail", "home/Tree"] },
    Job { name: "verify", args: &["verify", "home/Maildir", "home/box"] },
    Job { name: "verify --repair", args: &["verify", "--repair", "home/Maildir"] },
    Job { name: "verify --repair, mbox", args: &["verify", "--repair", "home/box"] },
    Job { name: "verify --against", args: &["verify", "--against", "roots/backup", "home/Maildir"] },
    Job { name: "inspect", args: &["inspect", "home/Maildir"] },
    Job { name: "deliver", args: &["deliver", "--create", "--quota", "1000000S", "home/Maildir/"] },
    Job { name: "deliver, mbox", args: &["deliver", "--create", "mbox:home/box"] },
    Job { name: "lmtp", args: &["deliver", "--protocol", "lmtp", "--mailbox", "home/Maildir/"] },
];

impl Job {
    /// The arguments, with absolute paths.
    fn arguments(&self, scene: &Scene) -> Vec<String> {
        let mut words = Vec::new();
        for (n, word) in self.args.iter().enumerate() {
            let (prefix, path) = word.split_once(':').unwrap_or(("", word));
            let is_path = ["home/", "roots/", "archive/"].iter().any(|top| path.starts_with(top));
            words.push(match (is_path, prefix) {
                (true, "") => scene.at(path).display().to_string(),
                (true, prefix) => format!("{prefix}:{}", scene.at(path).display()),
                (false, _) => (*word).to_owned(),
            });
            if n == 0 && !self.args.contains(&"lmtp") {
                words.push("-j1".to_owned());
                // A restore has no locks.
                let locks = if self.args.contains(&"--exact") { &[][..] } else { &["--lock-timeout", "1"] };
                words.extend(locks.iter().map(|word| (*word).to_owned()));
            }
        }
        words
    }

    fn input(&self) -> &'static str {
        if self.args.contains(&"lmtp") { LMTP } else { MESSAGE }
    }

    /// Runs it; it must end. A run that is killed by a signal or panics is a fault, too.
    #[track_caller]
    fn run(&self, scene: &Scene, attack: &str) -> Run {
        let command = wrapped("exec timeout 60 \"$@\"", [BINARY], self.arguments(scene));
        let done = run_with_stdin(command, self.input());
        assert!(done.code.is_some_and(|code| code < 100), "{attack}: {done:?}");
        done
    }
}

/// What a user puts in the place of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trap {
    /// A link to root's file, or root's directory.
    LinkToRoots,
    /// A link to a name in root's directory that is not there.
    LinkToNothing,
    /// A link to what is a third user's.
    LinkToAnns,
    /// Root's file under a second name.
    HardLink,
    Fifo,
    /// The user cannot make one; it may be left from a backup.
    Device,
    /// A file or directory of the third user's.
    Anns,
}

const TRAPS: [Trap; 7] = [
    Trap::LinkToRoots,
    Trap::LinkToNothing,
    Trap::LinkToAnns,
    Trap::HardLink,
    Trap::Fifo,
    Trap::Device,
    Trap::Anns,
];

/// What commands open or create in the user's tree. The second word is what it is usually: a directory, or a file.
const SLOTS: [(&str, bool); 26] = [
    ("home/Maildir", true),
    ("home/Maildir/cur", true),
    ("home/Maildir/new", true),
    ("home/Maildir/tmp", true),
    ("home/Maildir/.F", true),
    ("home/Maildir/.F/cur", true),
    ("home/Maildir/.work", true),
    ("home/Maildir/mailferry-lost", true),
    ("home/Maildir/mailferry.manifest", false),
    ("home/Maildir/mailferry.folders", false),
    ("home/Maildir/dovecot-keywords", false),
    ("home/Maildir/maildirsize", false),
    ("home/Maildir/subscriptions", false),
    ("home/Maildir/cur/1.M1.h:2,S", false),
    ("home/Maildir/cur/3.M3.h:2,S", false),
    ("home/Maildir/tmp/4.M4.h", false),
    ("home/inbox", false),
    ("home/box", false),
    ("home/box.lock", false),
    ("home/out", false),
    ("home/.out.mailferry-partial", false),
    ("home/New", true),
    ("home/.New.mailferry-partial", true),
    ("home/Tree", true),
    ("home/mail", true),
    ("home/Converted/mailferry.manifest", false),
];

impl Trap {
    /// Puts it there; false if it cannot be.
    fn set(self, scene: &Scene, slot: &str, is_dir: bool) -> bool {
        let path = scene.at(slot);
        if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
            fs::remove_dir_all(&path).unwrap();
        } else {
            let _ = fs::remove_file(&path);
        }
        let (roots, anns) = (scene.at("roots"), scene.at("anns"));
        match self {
            Trap::LinkToRoots => symlink(roots.join(if is_dir { "box" } else { "mbox" }), &path).unwrap(),
            Trap::LinkToNothing => symlink(roots.join("none"), &path).unwrap(),
            Trap::LinkToAnns => symlink(anns.join(if is_dir { "Maildir" } else { "mbox" }), &path).unwrap(),
            Trap::HardLink if is_dir => return false,
            Trap::HardLink => return fs::hard_link(roots.join("mbox"), &path).is_ok(),
            Trap::Fifo => rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap(),
            Trap::Device => {
                let zero = rustix::fs::makedev(1, 5);
                rustix::fs::mknodat(CWD, &path, FileType::CharacterDevice, Mode::RWXU, zero).unwrap();
            }
            Trap::Anns => {
                match is_dir {
                    true => fs::create_dir(&path).unwrap(),
                    false => fs::write(&path, "").unwrap(),
                }
                chown(&path, Some(ANN), Some(ANN)).unwrap();
                return true;
            }
        }
        lchown(&path, Some(JOE), Some(JOE)).unwrap();
        true
    }
}

/// Runs a closure for each number, on both cores.
fn in_parallel(count: usize, each: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(n) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < count) {
                    each(n);
                }
                drop(failed.lock());
            });
        }
    });
}

#[test]
fn a_trap_leads_no_command_out_of_the_users_tree() {
    if !is_possible() {
        return;
    }
    let attacks: Vec<_> = SLOTS.iter().flat_map(|slot| TRAPS.iter().map(move |trap| (slot, *trap))).collect();
    // Every attack and every job is tried; all pairs in the long campaign.
    let step = samples(7, 2, 1);
    let pairs: Vec<_> = (0..attacks.len())
        .flat_map(|n| (0..JOBS.len()).map(move |m| (n, m)))
        .filter(|(n, m)| (n * 3 + m) % step == 0)
        .collect();
    let (runs, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    in_parallel(pairs.len(), |n| {
        let ((slot, is_dir), trap) = attacks[pairs[n].0];
        let job = &JOBS[pairs[n].1];
        let scene = Scene::new();
        if !trap.set(&scene, slot, *is_dir) {
            return;
        }
        let attack = format!("{trap:?} at {slot}, {}", job.name);
        let before = scene.others();
        let done = job.run(&scene, &attack);
        scene.is_safe(&before, &attack);
        runs.fetch_add(1, Ordering::Relaxed);
        refused.fetch_add(usize::from(done.code != Some(0)), Ordering::Relaxed);
    });
    note!(
        "{} attacks × {} commands, {} runs: {} ended with an error, nothing outside was touched",
        attacks.len(),
        JOBS.len(),
        runs.into_inner(),
        refused.into_inner()
    );
}

/// Directories that the user exchanges, and what for.
const SWAPS: [(&str, &str); 5] = [
    ("home/Maildir", "box"),
    ("home/Maildir/cur", "box/cur"),
    ("home/Maildir/new", "box/new"),
    ("home/Maildir/tmp", "box/tmp"),
    ("home/mail", "box"),
];

#[test]
fn a_directory_exchanged_at_any_open_leads_no_command_out_of_the_users_tree() {
    if !is_possible() || !have_strace() {
        return;
    }
    let swaps: Vec<_> = SWAPS.iter().flat_map(|swap| JOBS.iter().map(move |job| (swap, job))).collect();
    let applies = |(path, job): (&str, &Job)| match path {
        "home/mail" => job.name.starts_with("tree"),
        _ => job.args.iter().any(|arg| arg.contains("home/Maildir")),
    };
    let swaps: Vec<_> = swaps.into_iter().filter(|((path, _), job)| applies((path, job))).collect();
    let (runs, stride) = (AtomicUsize::new(0), samples(40, 10, 1));
    in_parallel(swaps.len(), |n| {
        let ((path, target), job) = swaps[n];
        let opens = count_opens(job);
        for at in (1..=opens).skip(n % stride).step_by(stride) {
            let scene = Scene::new();
            let evil = scene.at("home/evil");
            symlink(scene.at("roots").join(target), &evil).unwrap();
            lchown(&evil, Some(JOE), Some(JOE)).unwrap();
            let before = scene.others();
            let attack = format!("{path} exchanged at open {at} of {opens}, {}", job.name);
            let fault = format!("openat:when={at}");
            let stopped = Stopped::after(&fault, None, job.arguments(&scene), job.input().as_bytes());
            rustix::fs::renameat_with(CWD, scene.at(path), CWD, &evil, RenameFlags::EXCHANGE).unwrap();
            let done = stopped.resume();
            assert!(done.code.is_some_and(|code| code < 100), "{attack}: {done:?}");
            scene.is_safe(&before, &attack);
            runs.fetch_add(1, Ordering::Relaxed);
        }
    });
    note!(
        "{} pairs of a directory and a command, {} exchanges at an open: nothing outside was touched",
        swaps.len(),
        runs.into_inner()
    );
}

/// Counts the opens of a command's first thread.
fn count_opens(job: &Job) -> usize {
    let scene = Scene::new();
    let log = scene.at("log");
    let strace = ["strace", "-f", "-qq", "-o", log.to_str().unwrap(), "-e", "trace=openat", BINARY];
    run_with_stdin(wrapped("exec \"$@\"", strace, job.arguments(&scene)), job.input());
    let text = fs::read_to_string(&log).unwrap();
    let first = text.split(' ').next().unwrap_or_default().to_owned();
    text.lines().filter(|line| line.starts_with(&first) && line.contains("openat(")).count()
}

/// After the identity is taken, the user's tree is reached by handles and single names only.
#[test]
fn no_path_leads_into_the_users_tree_after_the_identity_is_taken() {
    if !is_possible() || !have_strace() {
        return;
    }
    // The rules of the sandbox, which convert does not have, are made from paths.
    for job in JOBS.iter().filter(|job| job.args[0] == "convert") {
        let scene = Scene::new();
        let log = scene.at("log");
        let strace = [
            "strace",
            "-f",
            "-qq",
            "-y",
            "-s",
            "4096",
            "-o",
            log.to_str().unwrap(),
            "-e",
            "trace=%file,setresuid",
        ];
        let command = wrapped("exec \"$@\"", strace.into_iter().chain([BINARY]), job.arguments(&scene));
        run_with_stdin(command, job.input());
        let text = fs::read_to_string(&log).unwrap();
        let home = scene.at("home").display().to_string();
        let taken = text.lines().position(|line| line.contains(&format!("setresuid({JOE}")));
        let Some(taken) = taken else {
            assert!(
                job.args.iter().any(|arg| arg.starts_with("archive") || arg.contains(":archive")),
                "{}",
                job.name
            );
            continue;
        };
        for line in text.lines().skip(taken + 1).filter(|line| !line.contains("<unfinished")) {
            let names = line.split('"').skip(1).step_by(2);
            for name in names {
                let is_in_tree = name.starts_with(&home) || !name.starts_with('/') && name.contains('/');
                assert!(!is_in_tree, "{}: {line}", job.name);
            }
        }
    }
}

#[test]
fn honest_work_of_root_for_users_succeeds() {
    if !is_possible() {
        return;
    }
    for job in &JOBS {
        let scene = Scene::new();
        fs::create_dir(scene.at("archive")).unwrap();
        let done = job.run(&scene, "honest");
        let expected = if job.name == "verify --against" { 1 } else { 0 };
        assert_eq!(done.code, Some(expected), "{}: {} {}", job.name, done.stderr, done.text());
        for path in everything(&scene.at("home")) {
            let uid = fs::symlink_metadata(&path).unwrap().uid();
            assert_eq!(uid, JOE, "{}: {}", job.name, path.display());
        }
    }
}

/// A spool that only root and group mail may write to.
#[test]
fn a_mailbox_in_the_spool_is_converted_and_delivered_to_with_its_lock() {
    if !is_possible() || !have_strace() {
        return;
    }
    let scene = Scene::new();
    let mail_group = group_of_mail();
    fs::create_dir(scene.at("spool")).unwrap();
    chown(scene.at("spool"), Some(0), Some(mail_group)).unwrap();
    mode(&scene.at("spool"), 0o2775);
    scene.put("spool/joe", &mail(7));
    lchown(scene.at("spool/joe"), Some(JOE), Some(mail_group)).unwrap();
    let at = |path: &str| scene.at(path).display().to_string();
    for args in [
        vec!["convert".to_owned(), at("spool/joe"), at("home/FromSpool")],
        vec!["deliver".to_owned(), format!("mbox:{}", at("spool/joe"))],
    ] {
        let log = at("log");
        let strace = ["strace", "-f", "-qq", "-o", &log, "-e", "trace=linkat,unlinkat"];
        let command = wrapped("exec \"$@\"", strace.into_iter().chain([BINARY]), args);
        run_with_stdin(command, MESSAGE).exits(0).complains_of_nothing();
        let text = fs::read_to_string(&log).unwrap();
        let has = |call: &str| text.lines().any(|line| line.contains(call) && line.contains("\"joe.lock\""));
        assert!(has("linkat(") && has("unlinkat("), "{text}");
        assert_eq!(names(&scene.at("spool")), ["joe"]);
        assert_eq!(fs::metadata(scene.at("spool/joe")).unwrap().uid(), JOE);
    }
    assert!(fs::read_to_string(scene.at("spool/joe")).unwrap().contains("words for the user"));
    assert_eq!(messages(&scene.at("home/FromSpool")).len(), 1);
}

impl Run {
    #[track_caller]
    fn complains_of_nothing(self) -> Run {
        assert!(!self.stderr.contains("without this lock"), "{}", self.stderr);
        self
    }
}

fn group_of_mail() -> u32 {
    let output = Command::new("getent").args(["group", "mail"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(':').nth(2).map_or(8, |gid| gid.parse().unwrap())
}

/// The virtual users of one system user.
#[test]
fn one_system_user_for_all_mailboxes() {
    if !is_possible() {
        return;
    }
    let scene = Scene::new();
    for name in ["joe", "ann"] {
        for subdir in ["cur", "new", "tmp"] {
            fs::create_dir_all(scene.at(&format!("vmail/h.example/{name}/{subdir}"))).unwrap();
        }
    }
    give(&scene.at("vmail"), JOE);
    mode(&scene.at("vmail"), 0o770);
    let at = |path: &str| scene.at(path).display().to_string();
    run(mailferry(["convert", "-q", &at("roots/backup"), &at("vmail/h.example/joe")])).exits(0);
    let template = at("vmail/%d/%u/");
    let args = ["deliver", "--protocol", "lmtp", "--mailbox", &template];
    let run = run_with_stdin(mailferry(args), LMTP).exits(0);
    assert!(run.text().contains("250 2.0.0"), "{}", run.text());
    assert_eq!(messages(&scene.at("vmail/h.example/joe")).len(), 2);
    assert!(everything(&scene.at("vmail")).iter().all(|path| fs::metadata(path).unwrap().uid() == JOE));
}

/// The user cannot enter the directory that root is in.
#[test]
fn a_relative_path_of_roots_leads_to_a_users_mailbox() {
    if !is_possible() {
        return;
    }
    let scene = Scene::new();
    for command in ["verify", "inspect"] {
        for path in ["../home/Maildir", "../home/inbox"] {
            let mut command = mailferry([command, path]);
            command.current_dir(scene.at("roots"));
            let run = run(command);
            assert!(matches!(run.code, Some(0 | 1)), "{run:?}");
            assert!(!run.stderr.contains("permission denied"), "{run:?}");
        }
    }
}

/// A user gives a file of another user, or of root, a name in a directory in which all may create names.
#[test]
fn a_file_with_several_names_is_not_read_for_another_user() {
    if !is_possible() {
        return;
    }
    let scene = Scene::new();
    fs::create_dir(scene.at("spool")).unwrap();
    mode(&scene.at("spool"), 0o1777);
    for (from, name) in [("roots/mbox", "joe"), ("anns/mbox", "old")] {
        let (from, link, new) = (scene.at(from), scene.at("spool").join(name), scene.at("home/New"));
        fs::hard_link(&from, &link).unwrap();
        let convert =
            || run(mailferry([OsStr::new("convert"), "-q".as_ref(), link.as_os_str(), new.as_os_str()]));
        convert().exits(3).complains(&["has several names"]);
        assert!(!new.exists());
        // The same file with one name is the administrator's choice.
        fs::remove_file(&link).unwrap();
        fs::copy(&from, &link).unwrap();
        let uid = fs::metadata(&from).unwrap().uid();
        lchown(&link, Some(uid), Some(uid)).unwrap();
        convert().exits(0);
        fs::remove_dir_all(&new).unwrap();
    }
    // Nobody else can create a name here, as in a backup with hard links.
    fs::hard_link(scene.at("roots/backup"), scene.at("roots/again")).unwrap();
    let words = ["convert", "-q"].map(str::to_owned).into_iter();
    let paths = ["roots/again", "home/New"].map(|path| scene.at(path).display().to_string());
    run(mailferry(words.chain(paths))).exits(0);
}

#[test]
fn mailboxes_of_several_users_are_not_written_by_one_command() {
    if !is_possible() {
        return;
    }
    let scene = Scene::new();
    let at = |path: &str| scene.at(path).display().to_string();
    run(mailferry(["verify", "--repair", &at("home/Maildir"), &at("anns/Maildir")])).exits(3).complains(&[
        "anns/Maildir",
        "user 24012",
        "user 24011",
        "once for each",
    ]);
    let both = mailferry(["deliver", &(at("home/Maildir") + "/"), &(at("anns/Maildir") + "/")]);
    run_with_stdin(both, MESSAGE).exits(75).complains(&["anns/Maildir", "once for each"]);
    run(mailferry(["convert", "--owner", "24012:24012", &at("roots/backup"), &at("home/New")]))
        .exits(3)
        .complains(&["home/New", "user 24011", "--owner names user 24012"]);
    // Reading them is.
    run(mailferry(["verify", "-q", &at("home/Maildir"), &at("anns/Maildir")])).exits(0);
}
