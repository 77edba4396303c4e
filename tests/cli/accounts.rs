//! Many accounts in one run: each is converted once and whole, and by a process of its own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::*;

/// A directory with the mboxes of accounts, a list of them, and results.
struct Site(TempDir);

impl Site {
    /// Creates accounts with these numbers of messages.
    fn new(accounts: &[(&str, u32)]) -> Site {
        let site = Site(scratch());
        fs::set_permissions(site.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (user, count) in accounts {
            fs::write(site.mbox(user), many(*count)).unwrap();
        }
        let names: Vec<&str> = accounts.iter().map(|(user, _)| *user).collect();
        fs::write(site.at("list"), names.join("\n") + "\n").unwrap();
        site
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn mbox(&self, user: &str) -> PathBuf {
        self.at(&format!("{user}.mbox"))
    }

    fn maildir(&self, user: &str) -> PathBuf {
        self.at(&format!("{user}.Maildir"))
    }

    /// Returns the command for the list, with templates for all that it does not have.
    fn command(&self, options: &[&str]) -> Command {
        let paths = ["list", "results", "%u.mbox", "%u.Maildir"].map(|name| self.at(name));
        let [list, results, source, destination] = paths.each_ref().map(|path| path.to_str().unwrap());
        let all = ["convert", "--json", "--accounts", list, "--results", results];
        mailferry(all.iter().chain(options).chain(&[source, destination]))
    }

    fn convert(&self, options: &[&str]) -> Run {
        run(self.command(options))
    }

    fn result(&self, user: &str) -> Value {
        let text = fs::read(self.at("results").join(format!("{user}.json"))).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// Asserts that an account has these messages, each once.
    #[track_caller]
    fn has(&self, user: &str, count: u32) {
        let mut subjects: Vec<String> = messages(&self.maildir(user)).iter().map(Message::subject).collect();
        let mut expected: Vec<String> = (0..count).map(|n| format!("number {n}")).collect();
        subjects.sort();
        expected.sort();
        assert_eq!(subjects, expected, "{user}");
    }
}

/// Returns counts of a summary.
fn counts<const N: usize>(run: &Run, keys: [&str; N]) -> [u64; N] {
    let summary = run.summary();
    keys.map(|key| count(&summary, key))
}

/// Returns the outcomes that a run reports, by user.
fn outcomes(run: &Run) -> BTreeMap<String, String> {
    let results = run.json().into_iter().filter(|line| line["type"] == "account");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    results.map(|result| (text(&result["user"]), text(&result["outcome"]))).collect()
}

#[test]
fn each_account_is_converted_and_a_rerun_takes_only_what_is_left() {
    let site = Site::new(&[("ann", 3), ("joe", 40), ("eve", 2)]);
    fs::write(site.mbox("eve"), "no mail\n").unwrap();
    let first = site.convert(&[]).exits(1).complains(&["eve: failed with exit code 3", "not a mailbox"]);
    assert_eq!(
        counts(&first, ["accounts", "done", "failed", "messages_found", "written"]),
        [3, 2, 1, 43, 43]
    );
    site.has("ann", 3);
    site.has("joe", 40);
    assert!(!site.maildir("eve").exists());
    let joe = site.result("joe");
    let summary = &joe["summary"];
    assert_eq!((&joe["outcome"], &joe["exit"], &summary["written"]), (&json!("done"), &json!(0), &json!(40)));
    assert_eq!(joe["findings"]["date-zone-assumed"], 1);
    let manifest = fs::read(site.maildir("joe").join("mailferry.manifest")).unwrap();
    assert_eq!(joe["manifest"]["blake3"], blake3::hash(&manifest).to_hex().to_string());
    let eve = site.result("eve");
    assert_eq!((&eve["outcome"], &eve["exit"], &eve["retry"]), (&json!("failed"), &json!(3), &json!(false)));
    assert!(eve["errors"][0].as_str().unwrap().contains("not a mailbox"), "{eve}");

    let before = tree(&site.maildir("joe"));
    fs::write(site.mbox("eve"), many(2)).unwrap();
    fs::write(site.mbox("ann"), many(4)).unwrap();
    let second = site.convert(&[]).exits(0);
    assert_eq!(counts(&second, ["done", "unchanged", "written", "already_present"]), [2, 1, 3, 3]);
    assert_eq!(outcomes(&second).into_keys().collect::<Vec<_>>(), ["ann", "eve"]);
    assert_eq!(tree(&site.maildir("joe")), before);
    assert_eq!(site.result("joe"), joe, "its result stays");
    site.has("ann", 4);
    site.has("eve", 2);
    assert_eq!(counts(&site.convert(&[]).exits(0), ["done", "unchanged"]), [0, 3]);

    // How the locks are held makes no difference afterwards.
    assert_eq!(counts(&site.convert(&["--live"]).exits(0), ["done", "unchanged"]), [0, 3]);
    // Neither a missing destination nor other options are "unchanged".
    fs::remove_dir_all(site.maildir("ann")).unwrap();
    assert_eq!(counts(&site.convert(&[]).exits(0), ["done", "unchanged"]), [1, 2]);
    assert_eq!(counts(&site.convert(&["--from-zone", "+0100"]).exits(0), ["done", "unchanged"]), [3, 0]);
    // A result that was cut off is none.
    fs::write(site.at("results/joe.json"), "{\"type\":\"acc").unwrap();
    assert_eq!(counts(&site.convert(&["--from-zone", "+0100"]).exits(0), ["done", "unchanged"]), [1, 2]);
    assert_eq!(names(&site.at("results")), ["ann.json", "eve.json", "joe.json"]);
}

#[test]
fn an_account_with_damaged_mail_stays_flawed() {
    let site = Site::new(&[("ann", 3)]);
    fs::write(site.mbox("ann"), [b"junk\n\n".to_vec(), many(3)].concat()).unwrap();
    for written in [3, 0] {
        let run =
            site.convert(&[]).exits(1).complains(&["ann: finished with errors", "belong to no message"]);
        assert_eq!(counts(&run, ["done", "flawed", "written"]), [0, 1, written]);
        assert_eq!(site.result("ann")["findings"]["mbox-junk"], 1);
    }
    // A kill between the conversion and its result.
    fs::remove_file(site.at("results/ann.json")).unwrap();
    let run = site.convert(&[]).exits(1).complains(&["ann: finished with errors", "belong to no message"]);
    assert_eq!(counts(&run, ["done", "flawed", "already_present"]), [0, 1, 3]);
    assert_eq!(site.result("ann")["outcome"], "flawed");
}

#[test]
fn the_list_names_sources_destinations_and_homes() {
    let site = Site::new(&[("ann", 3), ("joe", 4), ("eve", 5)]);
    let at = |name: &str| site.at(name).to_str().unwrap().to_owned();
    let list = format!(
        "# all of them\nann\t{}\t{}\n\n{}\n{}\n",
        at("ann.mbox"),
        at("ann.Maildir"),
        json!({"user": "joe", "sources": [at("joe.mbox"), at("eve.mbox")], "destination": at("joe.Maildir")}),
        json!({"user": "eve", "source": at("eve.mbox"), "home": at("eve's % home")}),
    );
    fs::create_dir(site.at("eve's % home")).unwrap();
    fs::write(site.at("list"), &list).unwrap();
    let (all, template) = (at("list"), "%h/Maildir");
    assert_eq!(
        counts(&convert(["--accounts", &all, "-n", template]), ["accounts", "done", "written"]),
        [3, 3, 17]
    );
    assert_eq!(
        names(site.0.path()).iter().filter(|name| name.ends_with("Maildir")).count(),
        0,
        "nothing is written"
    );
    let run = run_with_stdin(mailferry(["convert", "--accounts", "-", template]), list).exits(0);
    run.has_line("3 accounts: 3 done.");
    site.has("ann", 3);
    assert_eq!(messages(&site.maildir("joe")).len(), 9);
    assert_eq!(messages(&site.at("eve's % home/Maildir")).len(), 5);
}

#[test]
fn a_wrong_list_or_option_is_refused_before_anything_is_written() {
    let site = Site::new(&[("ann", 3)]);
    let list = site.at("list");
    for (text, words) in [
        ("ann\n../etc\n", "list, line 2: the user ../etc has a slash"),
        ("ann\nann\n", "line 2: the account ann is also in line 1"),
        ("ann\ta\tb\tc\td\n", "more than four fields"),
        ("", "there is no account in the list"),
        ("ann\t/a\t/x\njoe\t/b\t/x\n", "line 2: its destination is also that of line 1"),
    ] {
        fs::write(&list, text).unwrap();
        site.convert(&[]).exits(2).complains(&[words]);
    }
    fs::write(&list, "ann\n").unwrap();
    for (options, words) in [
        (&["--shard", "0/4"][..], "I/N"),
        (&["--shard", "auto"], "name a shard"),
        (&["--exact"], "cannot be used"),
        // A repeated append after a kill would double the mail.
        (&["--append"], "cannot be used"),
        (&["--manifest", "x"], "cannot be used"),
    ] {
        site.convert(options).exits(2).complains(&[words]);
    }
    run(mailferry(["convert", "--shard", "1/2", "a", "b"])).exits(2);
    assert!(!site.at("results").exists() && !site.maildir("ann").exists());
}

#[test]
fn an_account_that_cannot_be_started_or_recorded_stops_no_other() {
    let site = Site::new(&[("ann", 3), ("eve", 1), ("joe", 2)]);
    let long = json!({"user": "max", "source": "x".repeat(200_000)});
    fs::write(site.at("list"), format!("ann\neve\n{long}\njoe\n")).unwrap();
    // Something else has the name of a result.
    fs::create_dir_all(site.at("results/eve.json")).unwrap();
    let run = site.convert(&["-j1"]).exits(1);
    let expected = [("ann", "done"), ("eve", "failed"), ("joe", "done"), ("max", "failed")];
    assert_eq!(outcomes(&run), expected.map(|(user, outcome)| (user.to_owned(), outcome.to_owned())).into());
    assert_eq!(counts(&run, ["done", "failed", "not_started"]), [2, 2, 0]);
    assert!(run.stderr.contains("eve: failed: ") && run.stderr.contains("is a directory"), "{}", run.stderr);
    assert!(run.stderr.contains("max: failed: cannot start a process for it"), "{}", run.stderr);
}

#[test]
fn shards_are_disjoint_and_complete() {
    let users: Vec<String> = (0..23).map(|n| format!("user{n}")).collect();
    let site = Site::new(&users.iter().map(|user| (user.as_str(), 1)).collect::<Vec<_>>());
    let mut all = 0;
    for index in 1..=3 {
        let run = site.convert(&["--shard", &format!("{index}/3")]).exits(0);
        let [accounts, done, unchanged] = counts(&run, ["accounts", "done", "unchanged"]);
        assert_eq!((done, unchanged), (accounts, 0));
        all += accounts;
    }
    assert_eq!(all, 23);
    let task = |id: &str| {
        let mut command = site.command(&["--shard", "auto"]);
        for (name, value) in [("ID", id), ("MIN", "4"), ("MAX", "6"), ("COUNT", "3")] {
            command.env(format!("SLURM_ARRAY_TASK_{name}"), value);
        }
        counts(&run(command).exits(0), ["accounts", "unchanged"])
    };
    let tasks = ["4", "5", "6"].map(task);
    assert!(tasks.iter().all(|[accounts, unchanged]| accounts == unchanged), "{tasks:?}");
    assert_eq!(tasks.iter().map(|[accounts, _]| accounts).sum::<u64>(), 23);
}

#[test]
fn a_run_stops_when_too_many_accounts_fail() {
    let users: Vec<String> = (0..12).map(|n| format!("user{n}")).collect();
    let site = Site::new(&users.iter().map(|user| (user.as_str(), 1)).collect::<Vec<_>>());
    users.iter().for_each(|user| fs::remove_file(site.mbox(user)).unwrap());
    let run = site.convert(&["-j1", "--max-failures", "2"]).exits(3);
    assert!(run.stderr.contains("more than 2 accounts failed"), "{}", run.stderr);
    assert_eq!(counts(&run, ["failed", "not_started"]), [3, 9]);
    assert_eq!(names(&site.at("results")).len(), 3);
}

/// Waits for the process that converts an account while its source is locked.
fn conversion_of(site: &Site, user: &str) -> Pid {
    let mbox = site.mbox(user);
    let mut found = None;
    wait_for("the conversion", || {
        let numbers = fs::read_dir("/proc").unwrap().flatten();
        let pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        found = pids.into_iter().find(|pid| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.starts_with(b"mailferry\0convert\0")
                && words.windows(mbox.as_os_str().len()).any(|w| w == mbox.as_os_str().as_encoded_bytes())
        });
        found.is_some()
    });
    Pid::from_raw(found.unwrap()).unwrap()
}

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Locks the mbox of a user as a mail program does.
fn lock(site: &Site, user: &str) -> PathBuf {
    let lock = site.at(&format!("{user}.mbox.lock"));
    fs::write(&lock, "another program\n").unwrap();
    lock
}

#[test]
fn a_killed_run_leaves_its_account_to_the_conversion_that_goes_on() {
    let site = Site::new(&[("ann", 30), ("joe", 3)]);
    let lock = lock(&site, "ann");
    let mut killed = start(site.command(&["--lock-timeout", "3000", "-j1"]));
    conversion_of(&site, "ann");
    killed.kill().unwrap();
    killed.wait().unwrap();
    // The second run has joe at once, and waits for the account that is still being converted.
    let again = start(site.command(&["--lock-timeout", "3000", "-j1"]));
    wait_for("joe", || site.at("results/joe.json").exists());
    assert!(!site.at("results/ann.json").exists());
    fs::remove_file(lock).unwrap();
    let again = Run::of(again.wait_with_output().unwrap()).exits(0);
    assert_eq!(counts(&again, ["done", "written", "already_present"]), [2, 3, 30]);
    site.has("ann", 30);
    site.has("joe", 3);
}

#[test]
fn two_runs_at_once_share_the_accounts() {
    let users: Vec<String> = (0..24).map(|n| format!("user{n}")).collect();
    let site = Site::new(&users.iter().map(|user| (user.as_str(), 5)).collect::<Vec<_>>());
    let both = [(), ()].map(|()| start(site.command(&["-j2"])));
    let both = both.map(|child| Run::of(child.wait_with_output().unwrap()).exits(0));
    let sums = both
        .each_ref()
        .map(|run| counts(run, ["accounts", "done", "unchanged", "written", "already_present"]));
    let sum = |n: usize| sums.iter().map(|sums| sums[n]).sum::<u64>();
    assert_eq!([sum(1), sum(3), sum(4)], [24, 120, 0], "each was converted once: {sums:?}");
    users.iter().for_each(|user| site.has(user, 5));
}

#[test]
fn an_interrupted_run_stops_its_conversions_and_can_continue() {
    let site = Site::new(&[("ann", 3), ("joe", 3)]);
    let lock = lock(&site, "ann");
    let child = start(site.command(&["--lock-timeout", "3000", "-j1"]));
    let conversion = conversion_of(&site, "ann");
    wait_for("its handler", || {
        let status =
            fs::read_to_string(format!("/proc/{}/status", conversion.as_raw_nonzero())).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap_or("0");
        u64::from_str_radix(caught, 16).unwrap() & 1 << (Signal::TERM.as_raw() - 1) != 0
    });
    send(&child, Signal::TERM);
    let run = Run::of(child.wait_with_output().unwrap()).exits(4);
    assert_eq!(outcomes(&run), BTreeMap::from([("ann".to_owned(), "interrupted".to_owned())]));
    assert_eq!(site.result("ann")["retry"], true);
    fs::remove_file(lock).unwrap();
    site.convert(&[]).exits(0);
    site.has("ann", 3);
    site.has("joe", 3);
}

/// Users of root's machine. They need no accounts.
const ANN: u32 = 24012;
const JOE: u32 = 24011;

fn give(path: &Path, uid: u32) {
    chown(path, Some(uid), Some(uid)).unwrap();
}

#[test]
fn root_converts_each_account_as_its_user() {
    if !rustix::process::geteuid().is_root() {
        skip!("only root can work for other users");
    }
    let site = Site::new(&[]);
    let at = |name: &str| site.at(name);
    for (user, uid) in [("ann", ANN), ("joe", JOE)] {
        fs::create_dir(at(user)).unwrap();
        fs::write(at(user).join("mbox"), many(4)).unwrap();
        give(&at(user), uid);
        give(&at(user).join("mbox"), uid);
    }
    // A secret of root's, to which joe links, and mail of a user without a home.
    fs::write(at("secret"), many(9)).unwrap();
    fs::set_permissions(at("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink(at("secret"), at("joe/link")).unwrap();
    fs::create_dir(at("vmail")).unwrap();
    let line = |user: &str, source: &str, destination: &str, owner: &str| {
        format!("{user}\t{}\t{}\t{owner}\n", at(source).display(), at(destination).display())
    };
    let list = [
        line("ann", "ann/mbox", "ann/Maildir", ""),
        line("joe", "joe/link", "joe/Maildir", ""),
        line("eve", "secret", "vmail/eve", "24013:24013"),
    ];
    fs::write(at("list"), list.concat()).unwrap();
    let run = site.convert(&[]).exits(1);
    let expected = [("ann", "done"), ("eve", "done"), ("joe", "failed")];
    assert_eq!(outcomes(&run), expected.map(|(user, outcome)| (user.to_owned(), outcome.to_owned())).into());
    assert!(!at("joe/Maildir").exists());
    for (path, uid) in [("ann/Maildir", ANN), ("vmail/eve", 24013)] {
        for path in paths(&at(path)).iter().map(|below| at(path).join(below)).chain([at(path)]) {
            assert_eq!(fs::symlink_metadata(&path).unwrap().uid(), uid, "{}", path.display());
        }
    }
    assert_eq!(messages(&at("ann/Maildir")).len(), 4);
    assert_eq!(messages(&at("vmail/eve")).len(), 9);
    // A directory that a user may change is no place for root's results.
    fs::remove_dir_all(at("results")).unwrap();
    fs::create_dir(at("results")).unwrap();
    give(&at("results"), JOE);
    site.convert(&[]).exits(3).complains(&["results", "belongs to user 24011", "that only root"]);
}

#[test]
fn a_list_of_100_000_lines_needs_little_memory() {
    let site = Site::new(&[]);
    let lines: String = (0..100_000).map(|n| format!("user{n}@customer-{}.example.org\n", n % 977)).collect();
    fs::write(site.at("list"), lines).unwrap();
    let list = site.at("list");
    // This share has some accounts, all without a mailbox.
    let words = [
        "convert",
        "-q",
        "--accounts",
        list.to_str().unwrap(),
        "--shard",
        "7/5000",
        "/nowhere/%u",
        "/none/%u",
    ];
    let (code, memory) = peak_memory(&words, Path::new("/dev/null"));
    assert_eq!(code, 1);
    assert!(memory < 64 << 10, "{memory} KiB");
    note!("a list of 100,000 accounts: {memory} KiB at most");
}
