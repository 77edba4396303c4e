//! Maildir to Maildir: everything stays the same and arrives once.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use crate::moments::Moments;
use crate::support::*;

/// A scratch directory with a Maildir `source` to copy.
struct Place {
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

impl Place {
    fn new(mail: &[Mail<'_>]) -> Place {
        let place = Place { scratch: scratch() };
        for directory in ["tmp", "new", "cur"] {
            fs::create_dir_all(place.source().join(directory)).unwrap();
        }
        mail.iter().for_each(|mail| place.deliver(*mail));
        place
    }

    fn deliver(&self, (place, name, bytes): Mail<'_>) {
        let path = self.source().join(place).join(name);
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
fn lying(maildir: &Path) -> BTreeMap<String, (Vec<u8>, i64)> {
    let mut all = BTreeMap::new();
    for place in ["new", "cur"] {
        for name in names(&maildir.join(place)) {
            let path = maildir.join(place).join(&name);
            if path.symlink_metadata().unwrap().is_file() && !name.starts_with('.') {
                let time = path.metadata().unwrap().mtime();
                all.insert(format!("{place}/{name}"), (fs::read(path).unwrap(), time));
            }
        }
    }
    all
}

/// Creates a Maildir with this many messages.
fn many_messages(count: u32) -> Place {
    let place = Place::new(&[]);
    fs::remove_dir_all(place.source()).unwrap();
    fs::write(place.path("mbox"), many(count)).unwrap();
    run(mailferry([
        "convert".as_ref(),
        "-q".as_ref(),
        "--no-manifest".as_ref(),
        place.path("mbox").as_os_str(),
        place.source().as_os_str(),
    ]))
    .exits(0);
    place
}

#[test]
fn a_new_maildir_has_every_message_with_its_name_flags_place_and_time() {
    let place = Place::new(&ODD);
    fs::write(place.source().join("cur/.hidden"), "no message").unwrap();
    fs::write(place.source().join("dovecot-keywords"), "0 $Label1\n1 Work\n").unwrap();
    fs::write(place.source().join("dovecot-uidlist"), "3 V1 N1\n").unwrap();
    let before = tree(&place.source());
    let run = place.try_copy(&[]).exits(0);
    assert_eq!(tree(&place.source()), before);
    assert_eq!((count(&run.summary(), "written"), run.complaints().len()), (9, 0));
    let told = run.findings();
    assert!(told.iter().any(|f| f["code"] == "indexes-left" && f["message"].to_string().contains("uidlist")));
    let mut want = lying(&place.source());
    for (was, is) in [
        ("cur/1000000006.M6P1.host;2,RS", "cur/1000000006.M6P1.host:2,RS"),
        ("cur/1000000007.M7P1.host!2,D", "cur/1000000007.M7P1.host:2,D"),
        ("new/1000000008.M8P1.host:2,FS", "cur/1000000008.M8P1.host:2,FS"),
    ] {
        let mail = want.remove(was).unwrap();
        want.insert(is.into(), mail);
    }
    assert_eq!(lying(&place.maildir()), want);
    assert_eq!(
        names(&place.maildir()),
        ["cur", "dovecot-keywords", "mailferry.manifest", "new", "tmp"],
        "nothing of a server but the keywords"
    );
    let keywords = |maildir: PathBuf| fs::read(maildir.join("dovecot-keywords")).unwrap();
    assert_eq!(keywords(place.maildir()), keywords(place.source()));
    place.verifies();
    place.is_the_same_mail();
    assert_eq!(place.copy(&[]), [0, 9]);
}

#[test]
fn a_separator_that_a_file_system_can_say_is_written_for_all() {
    let place = Place::new(&ODD);
    place.copy(&["--info-sep=!"]);
    let names = names(&place.maildir().join("cur"));
    assert!(names.iter().all(|name| !name.contains([':', ';'])), "{names:?}");
    place.is_the_same_mail();
}

#[test]
fn the_same_command_again_takes_what_is_new_and_brings_nothing_back() {
    let place = Place::new(&ODD);
    assert_eq!(place.copy(&[]), [9, 0]);
    let lies = tree(&place.maildir());
    assert_eq!(place.copy(&[]), [0, 9]);
    assert_eq!(tree(&place.maildir()), lies, "not even a lock");
    // In the destination one message is deleted, one moved, one read. In the source one is deleted and one
    // read.
    let at = |name: &str| place.maildir().join("cur").join(name);
    fs::remove_file(at("no date at all")).unwrap();
    fs::rename(at("1000000005.M5P1.host,S=0,W=0:2,T"), place.path("elsewhere")).unwrap();
    fs::rename(at("1000000003.M3P1.host:2,"), at("1000000003.M3P1.host:2,S")).unwrap();
    fs::remove_file(place.source().join("cur/1000000001.M1P1.host,S=19,W=22:2,FRS")).unwrap();
    fs::rename(
        place.source().join("new/1000000002.M2P1.host,S=18,W=21"),
        place.source().join("cur/1000000002.M2P1.host,S=18,W=21:2,S"),
    )
    .unwrap();
    place.deliver(("new", "1000000010.M10P1.host", b"Subject: later\n\nten\n"));
    let mut want = lying(&place.maildir());
    want.insert("new/1000000010.M10P1.host".into(), (b"Subject: later\n\nten\n".to_vec(), 900_000_000 + 20));
    assert_eq!(place.copy(&[]), [1, 8]);
    assert_eq!(lying(&place.maildir()), want);
    for _ in 0..2 {
        let manifest = fs::read(place.maildir().join(MANIFEST)).unwrap();
        assert_eq!(place.copy(&[]), [0, 9]);
        assert_eq!(fs::read(place.maildir().join(MANIFEST)).unwrap(), manifest);
    }
}

#[test]
fn beside_mail_that_is_there_names_and_messages_stay_apart() {
    let place = Place::new(&ODD);
    let there = place.maildir();
    for directory in ["tmp", "new", "cur"] {
        fs::create_dir_all(there.join(directory)).unwrap();
    }
    // The same message with other flags; another message with the same name; and one that only the
    // destination has.
    fs::write(there.join("new/1000000001.M1P1.host,S=19,W=22"), ODD[0].2).unwrap();
    fs::write(there.join("cur/1000000002.M2P1.host,S=18,W=21:2,S"), "Subject: other\n\nx\n").unwrap();
    fs::write(there.join("cur/own:2,"), "Subject: own\n\nx\n").unwrap();
    let before = tree(&there);
    let run = place.try_copy(&[]).exits(0);
    let summary = run.summary();
    assert_eq!((count(&summary, "written"), count(&summary, "already_present")), (8, 1));
    assert_eq!(run.complaints(), ["name-taken"]);
    let after = tree(&there);
    assert!(before.iter().all(|(path, lies)| after.get(path).is_some_and(|now| now == lies)));
    let finding = run.findings().into_iter().find(|f| f["code"] == "name-taken").unwrap();
    assert!(finding["path"].as_str().unwrap().ends_with("new/1000000002.M2P1.host,S=18,W=21"));
    let renamed = names(&there.join("new")).into_iter().find(|name| name.ends_with(",S=18,W=21")).unwrap();
    assert!(renamed.starts_with("1000000002.") && finding["message"].as_str().unwrap().ends_with(&renamed));
    assert_eq!(fs::read(there.join("new").join(renamed)).unwrap(), ODD[1].2);
    place.verifies();
    assert_eq!(place.copy(&[]), [0, 9]);
    assert_eq!(place.copy(&["--no-manifest"]), [0, 9], "also by what lies there alone");
    assert_eq!(tree(&there).len(), after.len());
}

#[test]
fn two_files_of_one_name_are_two_messages() {
    let place = Place::new(&[
        ("new", "1000000001.x", b"Subject: a\n\n1\n"),
        ("cur", "1000000001.x:2,S", b"Subject: b\n\n2\n"),
    ]);
    for options in [&[][..], &["--no-manifest"]] {
        let run = place.try_copy(options).exits(0);
        assert_eq!(
            (count(&run.summary(), "written"), &run.complaints()[..]),
            (2, &["name-taken".into()][..])
        );
        assert_eq!(place.copy(options), [0, 2]);
        fs::remove_dir_all(place.maildir()).unwrap();
    }
}

#[test]
fn a_dry_run_says_the_same_and_writes_nothing() {
    let place = Place::new(&ODD);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        place.source().join("cur/fifo"),
        rustix::fs::FileType::Fifo,
        0o644.into(),
        0,
    )
    .unwrap();
    let before = paths(place.scratch.path());
    let sums = |run: &Run| {
        let summary = run.summary();
        ["messages_found", "written", "skipped", "bytes_source"].map(|key| count(&summary, key))
    };
    let dry = place.try_copy(&["-n"]).exits(1);
    assert_eq!(paths(place.scratch.path()), before);
    let wet = place.try_copy(&[]).exits(1);
    assert_eq!(sums(&dry), sums(&wet));
    assert_eq!(sums(&wet)[..3], [10, 9, 1]);
    assert_eq!(
        (dry.complaints(), &wet.complaints()[..]),
        (wet.complaints(), &["maildir-not-a-file".into()][..])
    );
    // The FIFO is reported again, and no empty section is written because of it.
    let manifest = fs::read(place.maildir().join(MANIFEST)).unwrap();
    assert_eq!(sums(&place.try_copy(&[]).exits(1))[..3], [10, 0, 1]);
    assert_eq!(fs::read(place.maildir().join(MANIFEST)).unwrap(), manifest);
}

#[test]
fn a_message_that_cannot_be_read_is_named_and_nothing_is_published() {
    let place = Place::new(&ODD);
    let bad = place.source().join("cur/1000000009.loop:2,S");
    std::os::unix::fs::symlink(&bad, &bad).unwrap();
    place.try_copy(&[]).exits(3).complains(&["1000000009.loop:2,S"]);
    assert_eq!(names(place.scratch.path()), ["source"]);
}

#[test]
fn without_a_manifest_a_second_run_goes_by_what_lies_there() {
    let place = Place::new(&ODD);
    assert_eq!(place.copy(&["--no-manifest"]), [9, 0]);
    assert!(!place.maildir().join(MANIFEST).exists());
    assert_eq!(place.copy(&["--no-manifest"]), [0, 9]);
    fs::remove_file(place.maildir().join("cur/no date at all")).unwrap();
    assert_eq!(place.copy(&["--no-manifest"]), [1, 8]);
}

#[test]
fn the_manifest_may_be_kept_elsewhere() {
    let place = Place::new(&ODD);
    assert_eq!(place.copy(&["--manifest=list"]), [9, 0]);
    assert!(!place.maildir().join(MANIFEST).exists());
    fs::remove_file(place.maildir().join("cur/no date at all")).unwrap();
    assert_eq!(place.copy(&["--manifest=list"]), [0, 9]);
}

#[test]
fn the_copy_is_the_same_with_any_number_of_workers_and_any_fsync() {
    let place = many_messages(700);
    place.copy(&["-j1"]);
    let one = tree_alike(&place.maildir());
    for options in [["-j2", "--fsync=batch"], ["-j8", "--fsync=each"], ["-j3", "--fsync=none"]] {
        fs::remove_dir_all(place.maildir()).unwrap();
        place.copy(&options);
        assert!(tree_alike(&place.maildir()) == one, "{options:?}");
    }
}

#[test]
fn killed_at_any_moment_it_is_completed_by_the_same_command() {
    let kills = samples(3, 8, 100);
    let place = many_messages(3000);
    let before = place.path("before");
    for directory in ["tmp", "new", "cur"] {
        fs::create_dir_all(before.join(directory)).unwrap();
    }
    fs::write(before.join("cur/own:2,S"), "Subject: own\n\n").unwrap();
    for existing in [false, true] {
        let fresh = || {
            let _ = fs::remove_dir_all(place.maildir());
            if existing {
                let copied =
                    std::process::Command::new("cp").arg("-a").args([&before, &place.maildir()]).status();
                assert!(copied.unwrap().success());
            }
        };
        fresh();
        let what = if existing { "a copy into an existing Maildir" } else { "a copy into a new Maildir" };
        let mut moments = Moments::of(what, || {
            place.copy(&[]);
        });
        let mut want = tree_alike(&place.maildir());
        want.remove(Path::new(if existing { MANIFEST } else { "" }));
        let manifest = fs::read(place.maildir().join(MANIFEST)).unwrap();
        while let Some(n) = moments.next_round(kills) {
            fresh();
            moments.kill(place.command(&[]));
            place.try_copy(&[]).exits(0);
            let mut got = tree_alike(&place.maildir());
            got.remove(Path::new(if existing { MANIFEST } else { "" }));
            assert!(got == want, "{what}, after kill {n}");
            assert!(fs::read(place.maildir().join(MANIFEST)).unwrap() == manifest);
            let beside = names(place.scratch.path());
            assert_eq!(beside, ["Maildir", "before", "mbox", "source"]);
        }
        moments.tell();
    }
}

#[test]
fn what_became_of_it_is_proved_by_the_manifest() {
    let place = Place::new(&ODD);
    place.copy(&[]);
    place.deliver(("new", "1000000010.M10P1.host", b"Subject: later\n\nten\n"));
    place.copy(&[]);
    let at = |name: &str| place.maildir().join("cur").join(name);
    fs::remove_file(at("no date at all")).unwrap();
    fs::write(at("1000000003.M3P1.host:2,"), "Subject: crlf\r\n\r\nThree\r\n").unwrap();
    fs::rename(at("1000000007.M7P1.host:2,D"), at("1000000007.M7P1.host:2,DS")).unwrap();
    let mut command = mailferry(["verify", "--json", "Maildir"]);
    command.current_dir(place.scratch.path());
    let run = run(command).exits(1);
    let codes: Vec<String> = run.findings().iter().map(|f| f["code"].as_str().unwrap().to_owned()).collect();
    for code in ["message-gone", "message-changed", "message-reflagged", "source-compared"] {
        assert!(codes.iter().any(|c| c == code), "{code} is not in {codes:?}");
    }
    let summary = run.json().pop().unwrap();
    assert_eq!((count(&summary, "sources"), count(&summary, "gone"), count(&summary, "kept")), (1, 1, 8));
    let mut command = convert_command(["--exact", "Maildir", "back"]);
    command.current_dir(place.scratch.path());
    crate::support::run(command).exits(3).complains(&["source was a Maildir", "maildir:X"]);
    assert!(!place.path("back").exists());
}

#[test]
fn mboxes_and_maildirs_that_became_one_maildir_are_told_apart() {
    let place = Place::new(&ODD);
    let mbox = place.path("mbox");
    fs::write(&mbox, "").unwrap();
    place.copy(&[]);
    let convert = || {
        let mut command = convert_command(["mbox", "maildir:Maildir"]);
        command.current_dir(place.scratch.path());
        count(&run(command).exits(0).summary(), "written")
    };
    assert_eq!(convert(), 0, "an empty mbox is no Maildir of no messages");
    fs::write(&mbox, many(3)).unwrap();
    assert_eq!((convert(), convert()), (3, 0));
    assert_eq!(place.copy(&[]), [0, 9]);
    let exact = {
        let mut command = convert_command(["--exact", "--source=mbox", "Maildir", "back"]);
        command.current_dir(place.scratch.path());
        command
    };
    run(exact).exits(0);
    assert_eq!(fs::read(place.path("back")).unwrap(), many(3));
    place.verifies();
}

#[test]
fn keywords_that_mean_something_else_there_are_not_mixed_up() {
    let place = Place::new(&ODD);
    fs::write(place.source().join("dovecot-keywords"), "0 Work\n1 Play\n").unwrap();
    for directory in ["tmp", "new", "cur"] {
        fs::create_dir_all(place.maildir().join(directory)).unwrap();
    }
    fs::write(place.maildir().join("dovecot-keywords"), "0 Play\n").unwrap();
    let list = || fs::read_to_string(place.maildir().join("dovecot-keywords")).unwrap();
    // Another program holds the lock.
    let lock = place.maildir().join("dovecot-keywords.lock");
    fs::write(&lock, "Dovecot").unwrap();
    place.try_copy(&["--lock-timeout=0"]).exits(3).complains(&["dovecot-keywords", "locked"]);
    fs::remove_file(lock).unwrap();
    assert_eq!((place.copy(&["-n"]), list()), ([9, 0], "0 Play\n".into()));
    assert_eq!((place.copy(&[]), list()), ([9, 0], "0 Play\n1 Work\n".into()));
    // The destination has letters a and b. In the source a is Work and b is Play.
    assert!(place.maildir().join("cur/1000000004.M4P1.host:2,Sab").exists());
    place.deliver(("cur", "1000000011.only-work:2,Fa", b"Subject: work\n\nw\n"));
    place.deliver(("cur", "1000000012.nameless:2,az", b"Subject: nameless\n\nn\n"));
    fs::write(place.maildir().join("dovecot-keywords"), "0 Play\n1 Work\n25 Other\n").unwrap();
    let run = place.try_copy(&[]).exits(0);
    assert_eq!(
        (count(&run.summary(), "written"), run.complaints()),
        (2, vec!["keywords-overflow".to_owned()])
    );
    assert!(place.maildir().join("cur/1000000011.only-work:2,Fb").exists());
    assert!(place.maildir().join("cur/1000000012.nameless:2,b").exists(), "z is another's there");
    place.verifies();
    let verified = {
        let mut command = mailferry(["verify", "--json", "Maildir"]);
        command.current_dir(place.scratch.path());
        crate::support::run(command).findings()
    };
    assert!(verified.iter().all(|f| f["code"] != "message-reflagged"), "{verified:?}");
}

#[test]
fn what_makes_no_sense_for_a_copy_is_refused_by_name() {
    let place = Place::new(&ODD);
    fs::write(place.path("list"), "").unwrap();
    for option in [
        "--dedupe=content",
        "--new-source",
        "--eol=lf",
        "--date=header",
        "--from-zone=UTC",
        "--boundaries=list",
    ] {
        place.try_copy(&[option]).exits(3).complains(&[option.split('=').next().unwrap(), "copied as it is"]);
    }
    place.try_copy(&["--append"]).exits(3).complains(&["--append"]);
    let refused = |args: &[&str], words: &[&str]| {
        let mut command = convert_command(args);
        command.current_dir(place.scratch.path());
        run(command).exits(3).complains(words);
    };
    refused(&["source", "maildir:source"], &["is the source itself"]);
    refused(&["source", "mbox", "maildir:Maildir"], &["by itself"]);
    fs::create_dir_all(place.maildir().join("cur")).unwrap();
    fs::create_dir_all(place.maildir().join("new")).unwrap();
    refused(&["source", "Maildir"], &["say maildir: before it"]);
}
