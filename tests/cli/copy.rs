//! Maildir to Maildir: everything stays the same and arrives once.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use crate::random_kills::RandomKills;
use crate::support::*;

/// A scratch directory with a Maildir `source` to copy.
struct CopySetup {
    scratch: TempDir,
}

/// Subdirectory, name, bytes.
type Mail<'a> = (&'a str, &'a str, &'a [u8]);

/// Mail that a copy must not change or misread.
const ODD: [Mail<'static>; 9] = [
    ("cur", "1000000001.M1P1.host,S=19,W=22:2,FRS", b"Subject: seen\n\none\n"),
    ("new", "1000000002.M2P1.host,S=18,W=21", b"Subject: new\n\ntwo\n"),
    ("cur", "1000000003.M3P1.host:2,", b"Subject: crlf\r\n\r\nthree\r\n"),
    ("cur", "1000000004.M4P1.host:2,Sab", b"Subject: nul\n\n\0\0four\xff"),
    ("cur", "1000000005.M5P1.host,S=0,W=0:2,T", b""),
    ("cur", "1000000006.M6P1.host;2,RS", b"Subject: semicolon\n\nsix\n"),
    ("cur", "1000000007.M7P1.host!2,D", b"Subject: exclamation mark\n\nseven\n"),
    ("new", "1000000008.M8P1.host:2,FS", b"Subject: flags in new\n\neight\n"),
    ("cur", "no date at all", b"Subject: odd name\n\nnine\n"),
];

impl CopySetup {
    fn new(mail: &[Mail<'_>]) -> CopySetup {
        let setup = CopySetup { scratch: scratch() };
        for directory in ["tmp", "new", "cur"] {
            fs::create_dir_all(setup.source().join(directory)).unwrap();
        }
        mail.iter().for_each(|mail| setup.deliver(*mail));
        setup
    }

    fn deliver(&self, (subdir, name, bytes): Mail<'_>) {
        let path = self.source().join(subdir).join(name);
        fs::write(&path, bytes).unwrap();
        let date = UNIX_EPOCH + Duration::from_secs(900_000_000 + bytes.len() as u64);
        File::options().write(true).open(path).unwrap().set_modified(date).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn source(&self) -> PathBuf {
        self.path("source")
    }

    fn maildir(&self) -> PathBuf {
        self.path("Maildir")
    }

    /// Runs `convert OPTIONS… source maildir:Maildir`, whatever the result.
    fn try_copy(&self, options: &[&str]) -> Run {
        run(self.command(options))
    }

    fn command(&self, options: &[&str]) -> std::process::Command {
        let mut command = convert_command(options);
        command.args(["source", "maildir:Maildir"]).current_dir(self.scratch.path());
        command
    }

    /// Returns how many messages were written, and how many were already present.
    #[track_caller]
    fn copy(&self, options: &[&str]) -> [u64; 2] {
        let summary = self.try_copy(options).exits(0).summary();
        assert_eq!(count(&summary, "bytes_source"), count(&summary, "bytes_messages"));
        ["written", "already_present"].map(|key| count(&summary, key))
    }

    /// Asserts that verify finds no damage.
    #[track_caller]
    fn verifies(&self) {
        let run = run({
            let mut command = mailferry(["verify", "--json", "Maildir"]);
            command.current_dir(self.scratch.path());
            command
        });
        let complaints = run.exits(0).findings();
        assert!(complaints.iter().all(|f| f["severity"] == "info" || is_of_the_mail(f)), "{complaints:?}");
    }

    /// Asserts that `verify --against source --metadata Maildir` finds no difference.
    #[track_caller]
    fn is_the_same_mail(&self) {
        let mut command = mailferry(["verify", "--json", "--metadata", "--against"]);
        command.args([self.source(), self.maildir()]);
        run(command).exits(0);
    }
}

/// Tells whether a finding is about mail that is odd in the source, or about directories that a test created.
fn is_of_the_mail(finding: &serde_json::Value) -> bool {
    let code = finding["code"].as_str().unwrap();
    code.starts_with("message-") || code == "maildir-open"
}

/// Returns bytes and mtime of all messages, by name and subdirectory.
fn mail_in(maildir: &Path) -> BTreeMap<String, (Vec<u8>, i64)> {
    let mut all = BTreeMap::new();
    for subdir in ["new", "cur"] {
        for name in names(&maildir.join(subdir)) {
            let path = maildir.join(subdir).join(&name);
            if path.symlink_metadata().unwrap().is_file() && !name.starts_with('.') {
                let time = path.metadata().unwrap().mtime();
                all.insert(format!("{subdir}/{name}"), (fs::read(path).unwrap(), time));
            }
        }
    }
    all
}

/// Creates a Maildir with this many messages.
fn many_messages(count: u32) -> CopySetup {
    let setup = CopySetup::new(&[]);
    fs::remove_dir_all(setup.source()).unwrap();
    fs::write(setup.path("mbox"), many(count)).unwrap();
    run(mailferry([
        "convert".as_ref(),
        "-q".as_ref(),
        "--no-manifest".as_ref(),
        setup.path("mbox").as_os_str(),
        setup.source().as_os_str(),
    ]))
    .exits(0);
    setup
}

#[test]
fn a_new_maildir_keeps_names_flags_and_times() {
    let setup = CopySetup::new(&ODD);
    fs::write(setup.source().join("cur/.hidden"), "no message").unwrap();
    fs::write(setup.source().join("dovecot-keywords"), "0 $Label1\n1 Work\n").unwrap();
    fs::write(setup.source().join("dovecot.index.log"), "index").unwrap();
    let before = tree(&setup.source());
    let run = setup.try_copy(&[]).exits(0);
    assert_eq!(tree(&setup.source()), before);
    assert_eq!((count(&run.summary(), "written"), run.complaints().len()), (9, 0));
    let findings = run.findings();
    assert!(
        findings
            .iter()
            .any(|f| f["code"] == "indexes-left" && f["message"].to_string().contains("index.log"))
    );
    let mut want = mail_in(&setup.source());
    for (was, is) in [
        ("cur/1000000006.M6P1.host;2,RS", "cur/1000000006.M6P1.host:2,RS"),
        ("cur/1000000007.M7P1.host!2,D", "cur/1000000007.M7P1.host:2,D"),
        ("new/1000000008.M8P1.host:2,FS", "cur/1000000008.M8P1.host:2,FS"),
    ] {
        let mail = want.remove(was).unwrap();
        want.insert(is.into(), mail);
    }
    assert_eq!(mail_in(&setup.maildir()), want);
    assert_eq!(
        names(&setup.maildir()),
        ["cur", "dovecot-keywords", "mailferry.manifest", "new", "tmp"],
        "nothing of a server but the keywords"
    );
    let keywords = |maildir: PathBuf| fs::read(maildir.join("dovecot-keywords")).unwrap();
    assert_eq!(keywords(setup.maildir()), keywords(setup.source()));
    setup.verifies();
    setup.is_the_same_mail();
    assert_eq!(setup.copy(&[]), [0, 9]);
}

#[test]
fn any_separator_that_a_file_system_allows_is_written() {
    let setup = CopySetup::new(&ODD);
    setup.copy(&["--info-sep=!"]);
    let names = names(&setup.maildir().join("cur"));
    assert!(names.iter().all(|name| !name.contains([':', ';'])), "{names:?}");
    setup.is_the_same_mail();
}

#[test]
fn the_same_command_again_copies_only_new_mail() {
    let setup = CopySetup::new(&ODD);
    assert_eq!(setup.copy(&[]), [9, 0]);
    let before_copy = tree(&setup.maildir());
    assert_eq!(setup.copy(&[]), [0, 9]);
    assert_eq!(tree(&setup.maildir()), before_copy, "not even a lock");
    // In the destination one message is deleted, one moved, one read. In the source one is deleted and one
    // read.
    let at = |name: &str| setup.maildir().join("cur").join(name);
    fs::remove_file(at("no date at all")).unwrap();
    fs::rename(at("1000000005.M5P1.host,S=0,W=0:2,T"), setup.path("elsewhere")).unwrap();
    fs::rename(at("1000000003.M3P1.host:2,"), at("1000000003.M3P1.host:2,S")).unwrap();
    fs::remove_file(setup.source().join("cur/1000000001.M1P1.host,S=19,W=22:2,FRS")).unwrap();
    fs::rename(
        setup.source().join("new/1000000002.M2P1.host,S=18,W=21"),
        setup.source().join("cur/1000000002.M2P1.host,S=18,W=21:2,S"),
    )
    .unwrap();
    setup.deliver(("new", "1000000010.M10P1.host", b"Subject: later\n\nten\n"));
    let mut want = mail_in(&setup.maildir());
    want.insert("new/1000000010.M10P1.host".into(), (b"Subject: later\n\nten\n".to_vec(), 900_000_000 + 20));
    assert_eq!(setup.copy(&[]), [1, 8]);
    assert_eq!(mail_in(&setup.maildir()), want);
    for _ in 0..2 {
        let manifest = fs::read(setup.maildir().join(MANIFEST)).unwrap();
        assert_eq!(setup.copy(&[]), [0, 9]);
        assert_eq!(fs::read(setup.maildir().join(MANIFEST)).unwrap(), manifest);
    }
}

#[test]
fn beside_mail_that_is_there_names_and_messages_stay_apart() {
    let setup = CopySetup::new(&ODD);
    let there = setup.maildir();
    for directory in ["tmp", "new", "cur"] {
        fs::create_dir_all(there.join(directory)).unwrap();
    }
    // The same message with other flags; another message with the same name; and one that only the
    // destination has.
    fs::write(there.join("new/1000000001.M1P1.host,S=19,W=22"), ODD[0].2).unwrap();
    fs::write(there.join("cur/1000000002.M2P1.host,S=18,W=21:2,S"), "Subject: other\n\nx\n").unwrap();
    fs::write(there.join("cur/own:2,"), "Subject: own\n\nx\n").unwrap();
    let before = tree(&there);
    let run = setup.try_copy(&[]).exits(0);
    let summary = run.summary();
    assert_eq!((count(&summary, "written"), count(&summary, "already_present")), (8, 1));
    assert_eq!(run.complaints(), ["name-taken"]);
    let after = tree(&there);
    assert!(before.iter().all(|(path, before_copy)| after.get(path).is_some_and(|now| now == before_copy)));
    let finding = run.findings().into_iter().find(|f| f["code"] == "name-taken").unwrap();
    assert!(finding["path"].as_str().unwrap().ends_with("new/1000000002.M2P1.host,S=18,W=21"));
    let renamed = names(&there.join("new")).into_iter().find(|name| name.ends_with(",S=18,W=21")).unwrap();
    assert!(renamed.starts_with("1000000002.") && finding["message"].as_str().unwrap().ends_with(&renamed));
    assert_eq!(fs::read(there.join("new").join(renamed)).unwrap(), ODD[1].2);
    setup.verifies();
    assert_eq!(setup.copy(&[]), [0, 9]);
    assert_eq!(setup.copy(&["--no-manifest"]), [0, 9], "also by what lies there alone");
    assert_eq!(tree(&there).len(), after.len());
}

#[test]
fn two_files_of_one_name_are_two_messages() {
    let setup = CopySetup::new(&[
        ("new", "1000000001.x", b"Subject: a\n\n1\n"),
        ("cur", "1000000001.x:2,S", b"Subject: b\n\n2\n"),
    ]);
    for options in [&[][..], &["--no-manifest"]] {
        let run = setup.try_copy(options).exits(0);
        assert_eq!(
            (count(&run.summary(), "written"), &run.complaints()[..]),
            (2, &["name-taken".into()][..])
        );
        assert_eq!(setup.copy(options), [0, 2]);
        fs::remove_dir_all(setup.maildir()).unwrap();
    }
}

#[test]
fn a_dry_run_reports_the_same_and_writes_nothing() {
    let setup = CopySetup::new(&ODD);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        setup.source().join("cur/fifo"),
        rustix::fs::FileType::Fifo,
        0o644.into(),
        0,
    )
    .unwrap();
    let before = paths(setup.scratch.path());
    let sums = |run: &Run| {
        let summary = run.summary();
        ["messages_found", "written", "skipped", "bytes_source"].map(|key| count(&summary, key))
    };
    let dry = setup.try_copy(&["-n"]).exits(1);
    assert_eq!(paths(setup.scratch.path()), before);
    let wet = setup.try_copy(&[]).exits(1);
    assert_eq!(sums(&dry), sums(&wet));
    assert_eq!(sums(&wet)[..3], [10, 9, 1]);
    assert_eq!(
        (dry.complaints(), &wet.complaints()[..]),
        (wet.complaints(), &["maildir-not-a-file".into()][..])
    );
    // The FIFO is reported again, and no empty section is written because of it.
    let manifest = fs::read(setup.maildir().join(MANIFEST)).unwrap();
    assert_eq!(sums(&setup.try_copy(&[]).exits(1))[..3], [10, 0, 1]);
    assert_eq!(fs::read(setup.maildir().join(MANIFEST)).unwrap(), manifest);
}

#[test]
fn an_unreadable_message_is_named_and_publishes_nothing() {
    let setup = CopySetup::new(&ODD);
    let bad = setup.source().join("cur/1000000009.loop:2,S");
    std::os::unix::fs::symlink(&bad, &bad).unwrap();
    setup.try_copy(&[]).exits(3).complains(&["1000000009.loop:2,S"]);
    assert_eq!(names(setup.scratch.path()), ["source"]);
}

#[test]
fn without_a_manifest_a_second_run_compares_files() {
    let setup = CopySetup::new(&ODD);
    assert_eq!(setup.copy(&["--no-manifest"]), [9, 0]);
    assert!(!setup.maildir().join(MANIFEST).exists());
    assert_eq!(setup.copy(&["--no-manifest"]), [0, 9]);
    fs::remove_file(setup.maildir().join("cur/no date at all")).unwrap();
    assert_eq!(setup.copy(&["--no-manifest"]), [1, 8]);
}

#[test]
fn the_manifest_may_be_elsewhere() {
    let setup = CopySetup::new(&ODD);
    assert_eq!(setup.copy(&["--manifest=list"]), [9, 0]);
    assert!(!setup.maildir().join(MANIFEST).exists());
    fs::remove_file(setup.maildir().join("cur/no date at all")).unwrap();
    assert_eq!(setup.copy(&["--manifest=list"]), [0, 9]);
}

#[test]
fn the_copy_is_the_same_with_any_jobs_and_fsync() {
    let setup = many_messages(700);
    setup.copy(&["-j1"]);
    let one = tree_alike(&setup.maildir());
    for options in [["-j2", "--fsync=batch"], ["-j8", "--fsync=each"], ["-j3", "--fsync=none"]] {
        fs::remove_dir_all(setup.maildir()).unwrap();
        setup.copy(&options);
        assert!(tree_alike(&setup.maildir()) == one, "{options:?}");
    }
}

#[test]
fn killed_at_any_moment_it_is_completed_by_the_same_command() {
    let rounds = samples(3, 8, 100);
    let setup = many_messages(3000);
    let before = setup.path("before");
    for directory in ["tmp", "new", "cur"] {
        fs::create_dir_all(before.join(directory)).unwrap();
    }
    fs::write(before.join("cur/own:2,S"), "Subject: own\n\n").unwrap();
    for existing in [false, true] {
        let fresh = || {
            let _ = fs::remove_dir_all(setup.maildir());
            if existing {
                let copied =
                    std::process::Command::new("cp").arg("-a").args([&before, &setup.maildir()]).status();
                assert!(copied.unwrap().success());
            }
        };
        fresh();
        let what = if existing { "a copy into an existing Maildir" } else { "a copy into a new Maildir" };
        let mut kills = RandomKills::of(what, || {
            setup.copy(&[]);
        });
        let mut want = tree_alike(&setup.maildir());
        want.remove(Path::new(if existing { MANIFEST } else { "" }));
        let manifest = fs::read(setup.maildir().join(MANIFEST)).unwrap();
        while let Some(n) = kills.next_round(rounds) {
            fresh();
            kills.kill(setup.command(&[]));
            setup.try_copy(&[]).exits(0);
            let mut got = tree_alike(&setup.maildir());
            got.remove(Path::new(if existing { MANIFEST } else { "" }));
            assert!(got == want, "{what}, after kill {n}");
            assert!(fs::read(setup.maildir().join(MANIFEST)).unwrap() == manifest);
            let siblings = names(setup.scratch.path());
            assert_eq!(siblings, ["Maildir", "before", "mbox", "source"]);
        }
        kills.report();
    }
}

#[test]
fn what_became_of_it_is_proved_by_the_manifest() {
    let setup = CopySetup::new(&ODD);
    setup.copy(&[]);
    setup.deliver(("new", "1000000010.M10P1.host", b"Subject: later\n\nten\n"));
    setup.copy(&[]);
    let at = |name: &str| setup.maildir().join("cur").join(name);
    fs::remove_file(at("no date at all")).unwrap();
    fs::write(at("1000000003.M3P1.host:2,"), "Subject: crlf\r\n\r\nThree\r\n").unwrap();
    fs::rename(at("1000000007.M7P1.host:2,D"), at("1000000007.M7P1.host:2,DS")).unwrap();
    let mut command = mailferry(["verify", "--json", "Maildir"]);
    command.current_dir(setup.scratch.path());
    let run = run(command).exits(1);
    let codes: Vec<String> = run.findings().iter().map(|f| f["code"].as_str().unwrap().to_owned()).collect();
    for code in ["message-gone", "message-changed", "message-reflagged", "source-compared"] {
        assert!(codes.iter().any(|c| c == code), "{code} is not in {codes:?}");
    }
    let summary = run.json().pop().unwrap();
    assert_eq!((count(&summary, "sources"), count(&summary, "gone"), count(&summary, "kept")), (1, 1, 8));
    let mut command = convert_command(["--exact", "Maildir", "back"]);
    command.current_dir(setup.scratch.path());
    crate::support::run(command).exits(3).complains(&["source was a Maildir", "maildir:DIR"]);
    assert!(!setup.path("back").exists());
}

#[test]
fn mboxes_and_maildirs_in_one_maildir_stay_separate() {
    let setup = CopySetup::new(&ODD);
    let mbox = setup.path("mbox");
    fs::write(&mbox, "").unwrap();
    setup.copy(&[]);
    let convert = || {
        let mut command = convert_command(["mbox", "maildir:Maildir"]);
        command.current_dir(setup.scratch.path());
        count(&run(command).exits(0).summary(), "written")
    };
    assert_eq!(convert(), 0, "an empty mbox is no Maildir of no messages");
    fs::write(&mbox, many(3)).unwrap();
    assert_eq!((convert(), convert()), (3, 0));
    assert_eq!(setup.copy(&[]), [0, 9]);
    let exact = {
        let mut command = convert_command(["--exact", "--source=mbox", "Maildir", "back"]);
        command.current_dir(setup.scratch.path());
        command
    };
    run(exact).exits(0);
    assert_eq!(fs::read(setup.path("back")).unwrap(), many(3));
    setup.verifies();
}

#[test]
fn keywords_that_mean_something_else_there_are_not_mixed_up() {
    let setup = CopySetup::new(&ODD);
    fs::write(setup.source().join("dovecot-keywords"), "0 Work\n1 Play\n").unwrap();
    for directory in ["tmp", "new", "cur"] {
        fs::create_dir_all(setup.maildir().join(directory)).unwrap();
    }
    fs::write(setup.maildir().join("dovecot-keywords"), "0 Play\n").unwrap();
    let list = || fs::read_to_string(setup.maildir().join("dovecot-keywords")).unwrap();
    // Another program holds the lock.
    let lock = setup.maildir().join("dovecot-keywords.lock");
    fs::write(&lock, "Dovecot").unwrap();
    setup.try_copy(&["--lock-timeout=0"]).exits(3).complains(&["dovecot-keywords", "locked"]);
    fs::remove_file(lock).unwrap();
    assert_eq!((setup.copy(&["-n"]), list()), ([9, 0], "0 Play\n".into()));
    assert_eq!((setup.copy(&[]), list()), ([9, 0], "0 Play\n1 Work\n".into()));
    // The destination has letters a and b. In the source a is Work and b is Play.
    assert!(setup.maildir().join("cur/1000000004.M4P1.host:2,Sab").exists());
    setup.deliver(("cur", "1000000011.only-work:2,Fa", b"Subject: work\n\nw\n"));
    setup.deliver(("cur", "1000000012.nameless:2,az", b"Subject: nameless\n\nn\n"));
    fs::write(setup.maildir().join("dovecot-keywords"), "0 Play\n1 Work\n25 Other\n").unwrap();
    let run = setup.try_copy(&[]).exits(0);
    assert_eq!(
        (count(&run.summary(), "written"), run.complaints()),
        (2, vec!["keywords-overflow".to_owned()])
    );
    assert!(setup.maildir().join("cur/1000000011.only-work:2,Fb").exists());
    assert!(setup.maildir().join("cur/1000000012.nameless:2,b").exists(), "z is another's there");
    setup.verifies();
    let verified = {
        let mut command = mailferry(["verify", "--json", "Maildir"]);
        command.current_dir(setup.scratch.path());
        crate::support::run(command).findings()
    };
    assert!(verified.iter().all(|f| f["code"] != "message-reflagged"), "{verified:?}");
}

#[test]
fn an_option_that_does_not_apply_to_a_copy_is_refused() {
    let setup = CopySetup::new(&ODD);
    fs::write(setup.path("list"), "").unwrap();
    for option in [
        "--dedupe=content",
        "--new-source",
        "--eol=lf",
        "--date=header",
        "--from-zone=UTC",
        "--boundaries=list",
    ] {
        setup.try_copy(&[option]).exits(2).complains(&[option.split('=').next().unwrap(), "copied as it is"]);
    }
    setup.try_copy(&["--append"]).exits(2).complains(&["--append"]);
    let refused = |args: &[&str], words: &[&str]| {
        let mut command = convert_command(args);
        command.current_dir(setup.scratch.path());
        run(command).exits(2).complains(words);
    };
    refused(&["source", "maildir:source"], &["is the source itself"]);
    refused(&["source", "mbox", "maildir:Maildir"], &["by itself"]);
    fs::create_dir_all(setup.maildir().join("cur")).unwrap();
    fs::create_dir_all(setup.maildir().join("new")).unwrap();
    refused(&["source", "Maildir"], &["write maildir: before it"]);
}
