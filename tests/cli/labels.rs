//! Google Takeout, with labels as folders.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::*;

const FOLDERS: &str = "--labels=folders";
const FIRST: &str = "--labels=first";

/// Returns a message with these labels. Without labels it has no field.
fn labelled(n: u32, labels: &str) -> String {
    let field = if labels.is_empty() { String::new() } else { format!("X-Gmail-Labels: {labels}\n") };
    mail_with(n, &field) + "\n"
}

fn takeout(labels: &[&str]) -> String {
    (0..).zip(labels).map(|(n, labels)| labelled(n, labels)).collect()
}

/// Returns the numbers of the messages by folder. "" is the Maildir itself.
fn numbers(maildir: &Path) -> BTreeMap<String, Vec<u32>> {
    let folders = names(maildir).into_iter().filter(|name| name.starts_with('.'));
    let mut all = BTreeMap::new();
    for folder in [String::new()].into_iter().chain(folders) {
        let mut numbers: Vec<u32> = messages(&maildir.join(&folder))
            .iter()
            .map(|m| m.subject().strip_prefix("number ").unwrap().parse().unwrap())
            .collect();
        numbers.sort();
        all.insert(folder, numbers);
    }
    all
}

fn expected(folders: &[(&str, &[u32])]) -> BTreeMap<String, Vec<u32>> {
    folders.iter().map(|(folder, numbers)| ((*folder).to_owned(), numbers.to_vec())).collect()
}

/// Returns the files of a message in all folders.
fn files(maildir: &Path, n: u32) -> Vec<Message> {
    let folders = numbers(maildir).into_iter().filter(|(_, numbers)| numbers.contains(&n));
    let all = folders.flat_map(|(folder, _)| messages(&maildir.join(folder)));
    all.filter(|m| m.subject() == format!("number {n}")).collect()
}

fn verify(args: &[&str], paths: &[&Path]) -> Run {
    let mut command = mailferry(["verify", "--json"]);
    command.args(args).args(paths);
    run(command)
}

const LABELS: [&str; 10] = [
    "Inbox,Unread",
    "Inbox,Work,Opened",
    "Sent,Important",
    "Archived,Starred",
    "Archived,Lists/qmail,Work",
    "=?UTF-8?Q?B=C3=BCro/M=C3=BCnchen,\"Work,_urgent\"?=",
    "Trash,Unread",
    "Spam,Category Promotions",
    "Drafts",
    "",
];

#[test]
fn each_label_of_a_takeout_is_a_folder_with_its_messages() {
    for existing in [false, true] {
        let setup = Setup::new();
        if existing {
            for name in ["cur", "new", "tmp"] {
                let path = setup.maildir().join(name);
                fs::create_dir_all(&path).unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
            }
        }
        let source = setup.file("takeout.mbox", takeout(&LABELS));
        let summary = setup.try_convert(&[FOLDERS], &[&source]).exits(0).summary();
        let want = expected(&[
            ("", &[0, 1, 9]),
            (".Archive", &[3]),
            (".B&APw-ro.M&APw-nchen", &[5]),
            (".Drafts", &[8]),
            (".Junk", &[7]),
            (".Lists.qmail", &[4]),
            (".Sent", &[2]),
            (".Trash", &[6]),
            (".Work", &[1, 4]),
            (".Work, urgent", &[5]),
        ]);
        assert_eq!(numbers(&setup.maildir()), want);
        assert_eq!([count(&summary, "written"), count(&summary, "links")], [10, 3]);
        assert_eq!(count(&summary, "folders"), 10);
        let by_folder = json!({
            "INBOX": 3, "Archive": 1, "Büro/München": 1, "Drafts": 1, "Junk": 1, "Lists/qmail": 1, "Sent": 1,
            "Trash": 1, "Work": 2, "Work, urgent": 1,
        });
        assert_eq!(summary["written_by_folder"], by_folder);
        for (n, flags) in [(0, ""), (1, "S"), (3, "FS"), (6, "T"), (8, "DS")] {
            for file in files(&setup.maildir(), n) {
                assert_eq!((file.subdir, file.flags.as_deref()), ("cur", Some(flags)), "number {n}");
            }
        }
        for n in 0..10 {
            let files = files(&setup.maildir(), n);
            let same: BTreeSet<_> = files.iter().map(|f| (&f.name, f.meta.ino(), f.meta.nlink())).collect();
            assert_eq!(same.len(), 1, "one file with several names");
            assert_eq!(files[0].meta.nlink(), files.len() as u64);
        }
        let folder = setup.maildir().join(".Lists.qmail");
        assert_eq!(names(&folder), ["cur", "maildirfolder", "new", "tmp"]);
        assert!(fs::metadata(folder.join("maildirfolder")).unwrap().len() == 0);
        assert_eq!(fs::metadata(folder.join("cur")).unwrap().mode() & 0o777, 0o700);
        setup.restores(&source);

        let proof = verify(&["--strict"], &[&setup.maildir()]).exits(0);
        let verdict = proof.json().pop().unwrap()["verdict"].as_str().unwrap().to_owned();
        assert!(verdict.starts_with("10 of 10 messages"), "{verdict}");
        for (one, other) in [(&source, &setup.maildir()), (&setup.maildir(), &source)] {
            let run = verify(&["--against", other.to_str().unwrap()], &[one]).exits(0);
            let verdict = run.json().pop().unwrap()["verdict"].as_str().unwrap().to_owned();
            assert!(verdict.starts_with("10 of 10 messages"), "{verdict}");
            assert!(verdict.contains("3 further files of the same messages in other folders"), "{verdict}");
        }
        let state = tree(setup.scratch.path());
        assert_eq!(setup.convert(&[FOLDERS], &[&source]), [0, 10, 0]);
        assert!(tree(setup.scratch.path()) == state, "the same command again touches nothing");
    }
}

#[test]
fn the_first_label_alone_is_the_folder_if_that_is_asked_for() {
    let setup = Setup::new();
    let source = setup.file("takeout.mbox", takeout(&LABELS));
    let summary = setup.try_convert(&[FIRST], &[&source]).exits(0).summary();
    let want = expected(&[
        ("", &[0, 9]),
        (".Archive", &[3]),
        (".B&APw-ro.M&APw-nchen", &[5]),
        (".Drafts", &[8]),
        (".Junk", &[7]),
        (".Lists.qmail", &[4]),
        (".Sent", &[2]),
        (".Trash", &[6]),
        (".Work", &[1]),
    ]);
    assert_eq!(numbers(&setup.maildir()), want);
    assert_eq!([count(&summary, "written"), count(&summary, "links")], [10, 0]);
    setup.restores(&source);
    assert_eq!(setup.convert(&[FIRST], &[&source]), [0, 10, 0]);
    verify(&["--strict"], &[&setup.maildir()]).exits(0);
}

#[test]
fn without_the_option_labels_make_no_folders() {
    let setup = Setup::new();
    let source = setup.file("takeout.mbox", takeout(&LABELS));
    let summary = setup.try_convert(&["--labels=ignore"], &[&source]).exits(0).summary();
    assert_eq!(numbers(&setup.maildir()).len(), 1);
    assert_eq!((count(&summary, "folders"), summary["written_by_folder"].clone()), (1, json!({"INBOX": 10})));
    assert!(!fs::read_to_string(setup.manifest()).unwrap().contains("\"folders\""));
}

#[test]
fn a_dry_run_names_the_folders_and_creates_none() {
    let setup = Setup::new();
    let source = setup.file("takeout.mbox", takeout(&["Inbox,Work", "Work/v1.0", "Work"]));
    let mut command = mailferry(["convert", "-n", FOLDERS]);
    let run = run({
        command.args([&source, &setup.maildir()]);
        command
    })
    .exits(0);
    for line in [
        "folder     found  to write  already  skipped  directory",
        "INBOX          1         1        0        0",
        "Work           2         2        0        0",
        r"Work/v1.0      1         1        0        0  .Work.v1\2e0",
        "Messages with several labels are in each of their folders, by 1 link.",
    ] {
        run.has_line(line);
    }
    assert!(run.text().contains("\n3 messages found, 3 would be written; every byte of "), "{}", run.text());
    assert_eq!(names(setup.scratch.path()), ["takeout.mbox"]);
}

#[test]
fn an_escaped_label_is_reported_and_legible() {
    let setup = Setup::new();
    let long = "long ".repeat(80);
    let source = setup.file("takeout.mbox", takeout(&["v1.0", r"a..b/\41", &long]));
    let run = setup.try_convert(&[FOLDERS], &[&source]).exits(0);
    let renamed: Vec<String> = run
        .findings()
        .iter()
        .filter(|f| f["code"] == "folder-renamed")
        .map(|f| f["message"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(renamed.len(), 3, "{renamed:?}");
    let expected = r"the label a..b/\41 is the folder .a\2e\2eb.\5c41: ";
    assert!(renamed[1].starts_with(expected), "{renamed:?}");
    let folders: Vec<String> = numbers(&setup.maildir()).into_keys().collect();
    assert_eq!(folders[..2], ["", r".a\2e\2eb.\5c41"]);
    assert!(folders[2].starts_with(".long long ") && folders[2].len() <= 255, "{folders:?}");
    assert_eq!(folders[3], r".v1\2e0");
    verify(&["--strict"], &[&setup.maildir()]).exits(0);
    setup.restores(&source);
}

#[test]
fn mail_removed_from_a_folder_stays_removed() {
    let setup = Setup::new();
    let source = setup.file("takeout.mbox", takeout(&["Inbox,Work", "Work,Home", "Work,Home"]));
    setup.convert(&[FOLDERS], &[&source]);
    let maildir = setup.maildir();
    let in_work = |n: u32| {
        let mut files = files(&maildir, n).into_iter().filter(|f| f.path.starts_with(maildir.join(".Work")));
        files.next().unwrap().path
    };
    fs::remove_file(in_work(0)).unwrap();
    fs::remove_file(in_work(1)).unwrap();
    files(&maildir, 2).iter().for_each(|file| fs::remove_file(&file.path).unwrap());
    let want = expected(&[("", &[0]), (".Home", &[1]), (".Work", &[])]);
    assert_eq!(numbers(&maildir), want);
    assert_eq!(setup.convert(&[FOLDERS], &[&source]), [0, 3, 0]);
    assert_eq!(numbers(&maildir), want);

    setup.file("takeout.mbox", takeout(&["Inbox,Work", "Work,Home", "Work,Home", "Work,New", "Inbox"]));
    assert_eq!(setup.convert(&[FOLDERS], &[&source]), [2, 3, 0]);
    let want = expected(&[("", &[0, 4]), (".Home", &[1]), (".New", &[3]), (".Work", &[3])]);
    assert_eq!(numbers(&maildir), want);
    // The manifest still records the folders of each message.
    let expected = verify(&[], &[&maildir]).exits(1);
    let codes: Vec<_> = expected.findings().iter().map(|f| f["code"].as_str().unwrap().to_owned()).collect();
    let count = |code: &str| codes.iter().filter(|c| *c == code).count();
    assert_eq!((count("message-moved"), count("message-gone")), (2, 1), "{codes:?}");
    // It can be restored as long as one folder has it.
    let name = setup.try_exact(&[]).exits(3).findings();
    assert_eq!(name.iter().filter(|f| f["code"] == "message-gone").count(), 1);
    setup.file("takeout.mbox", takeout(&["Inbox,Work", "Work,Home"]));
    assert_eq!(setup.convert(&[FOLDERS], &[&source]), [0, 2, 0]);
    setup.restores(&source);
}

/// Removes the footer of a manifest: the run was killed after it had published some messages.
fn open(manifest: &Path) {
    let text = fs::read_to_string(manifest).unwrap();
    let at = text.rfind("{\"closes\"").unwrap();
    fs::write(manifest, &text[..at]).unwrap();
}

#[test]
fn what_a_kill_left_in_one_folder_comes_into_the_others_too() {
    let setup = Setup::new();
    let source = setup.file("takeout.mbox", takeout(&["Inbox,Work,Home", "Work,Home", "Home"]));
    setup.convert(&[FOLDERS], &[&source]);
    let maildir = setup.maildir();
    let undisturbed = mail_alike(&maildir);
    for (n, gone) in [(0, 0..1), (0, 1..3), (1, 0..1), (1, 1..2), (1, 0..2)] {
        open(&setup.manifest());
        files(&maildir, n)[gone.clone()].iter().for_each(|file| fs::remove_file(&file.path).unwrap());
        let summary = setup.try_convert(&[FOLDERS], &[&source]).exits(0).summary();
        assert_eq!([count(&summary, "written"), count(&summary, "already_present")], [1, 2], "{n} {gone:?}");
        assert!(mail_alike(&maildir) == undisturbed, "{n} {gone:?}");
        let files = files(&maildir, n);
        assert!(files.iter().all(|f| f.meta.nlink() == files.len() as u64), "{n} {gone:?}");
        setup.restores(&source);
    }
    // A file that got a flag meanwhile is still recognised.
    open(&setup.manifest());
    let [inbox, home, _] = &files(&maildir, 0)[..] else { panic!() };
    fs::rename(&inbox.path, inbox.path.with_file_name(format!("{}:2,FS", inbox.base()))).unwrap();
    fs::remove_file(&home.path).unwrap();
    assert_eq!(setup.convert(&[FOLDERS], &[&source]), [1, 2, 0]);
    let flags: Vec<_> = files(&maildir, 0).into_iter().map(|f| f.flags.unwrap()).collect();
    assert_eq!(flags, ["FS", "S", "S"]);
}

#[test]
fn without_a_manifest_existing_files_are_known_by_name() {
    let setup = Setup::new();
    let source = setup.file("takeout.mbox", takeout(&["Inbox,Work", "Home", "Work"]));
    let options = [FOLDERS, "--no-manifest"];
    assert_eq!(setup.convert(&options, &[&source]), [3, 0, 0]);
    let state = mail_alike(&setup.maildir());
    assert_eq!(setup.convert(&options, &[&source]), [0, 3, 0]);
    fs::remove_file(&files(&setup.maildir(), 0)[1].path).unwrap();
    assert_eq!(setup.convert(&options, &[&source]), [1, 2, 0]);
    assert!(mail_alike(&setup.maildir()) == state);
}

#[test]
fn duplicates_are_recognised_in_any_folder() {
    let setup = Setup::new();
    let one = setup.file("one", takeout(&["Work,Home", "Inbox"]));
    let two = setup.file("two", labelled(5, "Sent") + &takeout(&["Home", "Inbox"]));
    setup.convert(&[FOLDERS], &[&one]);
    assert_eq!(setup.convert(&[FOLDERS, "--dedupe=message-id"], &[&two]), [1, 0, 2]);
    let want = expected(&[("", &[1]), (".Home", &[0]), (".Sent", &[5]), (".Work", &[0])]);
    assert_eq!(numbers(&setup.maildir()), want);
    setup.restores(&one);
    setup.restores(&two);
    verify(&["--strict"], &[&setup.maildir()]).exits(0);
    assert_eq!(setup.convert(&[FOLDERS, "--dedupe=message-id"], &[&two]), [0, 3, 0]);
}

#[test]
fn sources_with_and_without_labels_share_a_maildir() {
    let setup = Setup::new();
    let plain = setup.file("plain", (10..13).map(mail).map(|m| m + "\n").collect::<String>());
    let source = setup.file("takeout.mbox", takeout(&["Inbox,Work", "Home"]));
    setup.convert(&[], &[&plain]);
    assert_eq!(setup.convert(&[FOLDERS], &[&plain, &source]), [2, 3, 0]);
    let want = expected(&[("", &[0, 10, 11, 12]), (".Home", &[1]), (".Work", &[0])]);
    assert_eq!(numbers(&setup.maildir()), want);
    // Messages that are in folders stay there, even if other rules apply to later mail.
    setup.file("takeout.mbox", takeout(&["Inbox,Work", "Home", "Work"]));
    assert_eq!(setup.convert(&[], &[&source]), [1, 2, 0]);
    let want = expected(&[("", &[0, 2, 10, 11, 12]), (".Home", &[1]), (".Work", &[0])]);
    assert_eq!(numbers(&setup.maildir()), want);
    setup.restores(&plain);
    setup.restores(&source);
    verify(&["--strict"], &[&setup.maildir()]).exits(0);
}

#[test]
fn verify_names_what_became_of_a_message_in_any_of_its_folders() {
    let labels = ["Inbox,Work", "Work,Home", "Home"];
    type Case = (&'static str, fn(&Path), i32, &'static [&'static str]);
    let cases: [Case; 6] = [
        ("moved to another folder", |maildir| mv(maildir, 2, ".Home", ".Work"), 0, &["message-moved"]),
        ("taken from one of two", |maildir| remove(maildir, 1, ".Home"), 0, &["message-moved"]),
        ("moved from one of two to a third", |maildir| mv(maildir, 1, ".Home", ""), 0, &["message-moved"]),
        ("gone from its only folder", |maildir| remove(maildir, 2, ".Home"), 1, &["message-gone"]),
        (
            "gone from both",
            |maildir| {
                remove(maildir, 1, ".Home");
                remove(maildir, 1, ".Work");
            },
            1,
            &["message-gone"],
        ),
        (
            "changed in the second",
            |maildir| {
                let path = in_folder(maildir, 1, ".Work");
                let text = fs::read_to_string(&path).unwrap().replace("text", "Text");
                fs::remove_file(&path).unwrap();
                fs::write(&path, text).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
                let time = fs::metadata(in_folder(maildir, 1, ".Home")).unwrap().modified().unwrap();
                fs::File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
            },
            1,
            &["message-changed"],
        ),
    ];
    for (what, change, code, codes) in cases {
        let setup = Setup::new();
        let source = setup.file("takeout.mbox", takeout(&labels));
        setup.convert(&[FOLDERS], &[&source]);
        change(&setup.maildir());
        let run = verify(&[], &[&setup.maildir()]).exits(code);
        let found: Vec<String> = run.findings().iter().map(|f| f["code"].as_str().unwrap().into()).collect();
        let found: Vec<&str> = found.iter().map(|c| &**c).filter(|c| *c != "source-compared").collect();
        assert_eq!(found, codes, "{what}");
    }
}

fn in_folder(maildir: &Path, n: u32, folder: &str) -> PathBuf {
    let subject = format!("number {n}");
    messages(&maildir.join(folder)).into_iter().find(|m| m.subject() == subject).unwrap().path
}

fn remove(maildir: &Path, n: u32, folder: &str) {
    fs::remove_file(in_folder(maildir, n, folder)).unwrap();
}

fn mv(maildir: &Path, n: u32, folder: &str, to: &str) {
    let path = in_folder(maildir, n, folder);
    fs::rename(&path, maildir.join(to).join("cur").join(path.file_name().unwrap())).unwrap();
}

#[test]
fn two_maildirs_with_labels_compare_folder_by_folder() {
    let setup = Setup::new();
    let source = setup.file("takeout.mbox", takeout(&["Inbox,Work", "Work,Home", "Home"]));
    setup.convert(&[FOLDERS], &[&source]);
    let other = setup.path("other");
    convert([FOLDERS.as_ref(), "--lock=none".as_ref(), source.as_os_str(), other.as_os_str()]);
    let against = ["--against", other.to_str().unwrap()];
    verify(&against, &[&setup.maildir()]).exits(0);
    let missing = || {
        let findings = verify(&against, &[&setup.maildir()]).exits(1).findings();
        let missing = findings.into_iter().filter(|f| f["code"] == "message-missing");
        missing.map(|f| f["folder"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    remove(&other, 1, ".Home");
    assert_eq!(missing(), ["Home"]);
    remove(&other, 1, ".Work");
    assert_eq!(missing(), ["Home", "Work"]);
    // Two Maildirs that both have it count as two.
    verify(&["--against", source.to_str().unwrap()], &[&setup.maildir(), &setup.maildir()]).exits(1);
}

#[test]
fn without_hard_links_there_are_copies() {
    if !have_strace() {
        return;
    }
    for existing in [false, true] {
        let setup = Setup::new();
        let source = setup.file("takeout.mbox", takeout(&LABELS));
        if existing {
            setup.convert(&[], &[&setup.file("other", mail(20) + "\n")]);
        }
        let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=linkat:error=EPERM", BINARY];
        let mut command = wrapped("exec \"$@\"", strace, ["convert", "--json", "--lock=none", FOLDERS]);
        command.args([&source, &setup.maildir()]);
        let summary = run(command).exits(0).summary();
        assert_eq!([count(&summary, "written"), count(&summary, "links")], [10, 3]);
        let files = files(&setup.maildir(), 4);
        assert_eq!(files.iter().map(|f| f.meta.nlink()).collect::<Vec<_>>(), [1, 1]);
        verify(&["--strict"], &[&setup.maildir()]).exits(0);
        setup.restores(&source);
        assert_eq!(names(&setup.maildir().join("tmp")), [""; 0]);
    }
}

#[test]
fn more_labels_than_files_may_be_open_are_no_matter() {
    let labels: Vec<String> = (0..300).map(|n| format!("label {n},all,label {}", n * 7 % 300)).collect();
    let labels: Vec<&str> = labels.iter().map(|l| &**l).collect();
    for existing in [false, true] {
        let setup = Setup::new();
        let source = setup.file("takeout.mbox", takeout(&labels));
        if existing {
            setup.convert(&[], &[&setup.file("other", mail(900) + "\n")]);
        }
        let arguments = ["convert", "--json", "--lock=none", FOLDERS];
        let mut command = wrapped("ulimit -n 200; exec \"$@\"", [BINARY], arguments);
        command.args([&source, &setup.maildir()]);
        assert_eq!(count(&run(command).exits(0).summary(), "written"), 300);
        assert_eq!(numbers(&setup.maildir())[".all"].len(), 300);
        assert_eq!(numbers(&setup.maildir()).len(), 302);
        setup.restores(&source);
    }
}

#[test]
fn a_destination_without_folders_is_refused_early() {
    let setup = Setup::new();
    let source = setup.file("takeout.mbox", takeout(&["Inbox,Work"]));
    setup.convert(&[], &[&setup.file("other", mail(20) + "\n")]);
    let state = tree(setup.scratch.path());
    let refused = |destination: PathBuf, code: i32, words: &[&str]| {
        let mut command = mailferry(["convert", "--lock=none", FOLDERS]);
        command.arg(&source).arg(destination);
        run(command).exits(code).complains(words);
    };
    refused(setup.maildir().join(".Sub"), 2, &[".Sub", "name the Maildir"]);
    assert!(tree(setup.scratch.path()) == state);
    fs::create_dir(setup.maildir().join(".Work")).unwrap();
    fs::write(setup.maildir().join(".Work/photograph.jpg"), "").unwrap();
    let state = lasting(setup.scratch.path());
    refused(setup.maildir(), 3, &[".Work", "is not a Maildir, and not empty"]);
    assert!(lasting(setup.scratch.path()) == state);
}

#[test]
fn the_number_of_jobs_changes_no_folder() {
    let labels: Vec<&str> = (0..500).map(|n| LABELS[n % LABELS.len()]).collect();
    let setup = Setup::new();
    let source = setup.file("takeout.mbox", takeout(&labels));
    setup.convert(&[FOLDERS, "-j1"], &[&source]);
    let one = tree_alike(&setup.maildir());
    fs::remove_dir_all(setup.maildir()).unwrap();
    setup.convert(&[FOLDERS, "-j4"], &[&source]);
    assert!(tree_alike(&setup.maildir()) == one);
}
