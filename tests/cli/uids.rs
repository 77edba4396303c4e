//! UIDs of IMAP and POP3 clients: which messages keep theirs, and the lists that are written, extended or left alone.
//! `uids_real.rs` shows the same with Dovecot and mbsync.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::strace::Stopped;
use crate::support::*;
use crate::trial::numbered;

const LIST: &str = "dovecot-uidlist";
const VALIDITY: u32 = 1_104_746_400;

/// Returns an mbox with X-IMAPbase, and the X-UID of each message; an empty one for none.
fn mbox(base: &str, uids: &[&str]) -> String {
    let message = |(n, uid): (usize, &&str)| {
        let base = if n == 0 && !base.is_empty() { format!("X-IMAPbase: {base}\n") } else { String::new() };
        let uid = if uid.is_empty() { String::new() } else { format!("X-UID: {uid}\n") };
        format!("From ada@example.org Mon Mar  2 08:00:0{n} 1998\n{base}{uid}Subject: {n}\n\ntext\n\n")
    };
    uids.iter().enumerate().map(message).collect()
}

/// A list as it was read.
#[derive(Debug, PartialEq, Eq)]
struct List {
    validity: u32,
    next: u32,
    /// The UIDs and fields, by base name.
    entries: Vec<(String, String)>,
}

fn read_list(maildir: &Path) -> Option<List> {
    let text = fs::read_to_string(maildir.join(LIST)).ok()?;
    let (header, entries) = text.split_once('\n').unwrap();
    let value = |key: char| header.split(' ').find_map(|word| word.strip_prefix(key)).unwrap().to_owned();
    assert!(header.starts_with("3 ") && value('G').len() == 32, "{header}");
    let entry = |line: &str| line.split_once(" :").map(|(uid, name)| (uid.to_owned(), name.to_owned()));
    let entries = entries.lines().map(|line| entry(line).unwrap()).collect();
    Some(List { validity: value('V').parse().unwrap(), next: value('N').parse().unwrap(), entries })
}

/// Returns the UID and the fields of each message in the order of subjects; `-` for none.
#[track_caller]
fn uids(maildir: &Path) -> Vec<String> {
    let list = read_list(maildir).expect("a list of UIDs");
    let mut by_subject = Vec::new();
    for path in ["cur", "new"].iter().flat_map(|directory| fs::read_dir(maildir.join(directory)).unwrap()) {
        let path = path.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let base = name.split_once(":2,").map_or(name, |(base, _)| base);
        let entry = list.entries.iter().find(|(_, name)| name == base);
        let text = fs::read_to_string(&path).unwrap();
        let subject = text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap().to_owned();
        by_subject.push((subject, entry.map_or("-".to_owned(), |(uid, _)| uid.clone())));
    }
    by_subject.sort();
    by_subject.into_iter().map(|(_, uid)| uid).collect()
}

/// Returns the messages of the findings about UIDs.
fn losses(run: &Run) -> Vec<String> {
    let findings = run.findings().into_iter().filter(|finding| finding["code"] == "uids-not-kept");
    findings.map(|finding| finding["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_uid_that_is_rising_and_free_is_kept_and_any_other_is_the_next() {
    /// X-IMAPbase, X-UIDs, UIDs, UIDNEXT, and the numbers of messages that keep their UIDs and that had others.
    type Case = (&'static str, &'static [&'static str], &'static [&'static str], u32, [u64; 2]);
    let cases: [Case; 9] = [
        ("1104746400 0000000009", &["1", "4", "9"], &["1", "4", "9"], 10, [3, 0]),
        ("1104746400 0000000018", &["1", "4", "9"], &["1", "4", "9"], 19, [3, 0]),
        (
            "1104746400 9 Work NonJunk",
            &["1", "2", "4", "9", "7", "8"],
            &["1", "2", "4", "9", "10", "11"],
            12,
            [4, 2],
        ),
        ("1104746400 0000000003", &["1", "", "3", ""], &["1", "4", "5", "6"], 7, [1, 1]),
        ("1104746400 0000000003", &["0", "2", "2", "x"], &["4", "5", "6", "7"], 8, [0, 2]),
        ("1104746400 0000000003", &["1", "4294967294", "3"], &["1", "4", "5"], 6, [1, 2]),
        ("1104746400 0000000003", &["1    ", "2\n \t", "4294967295"], &["1", "2", "4"], 5, [2, 0]),
        ("1104746400 0000004711", &["1", "4711"], &["1", "4711"], 4712, [2, 0]),
        ("1104746400", &["1", "2"], &["1", "2"], 3, [2, 0]),
    ];
    for (base, given, kept, next, counts) in cases {
        let setup = Setup::new();
        let source = setup.file("inbox", mbox(base, given));
        let out = setup.path("out.mbox");
        let to_mbox = || {
            let paths = [&*source, &*out].map(|path| path.to_str().unwrap());
            run(mailferry(["convert", "--json"].into_iter().chain(paths))).exits(0)
        };
        for run in [setup.try_convert(&[], &[&source]).exits(0), to_mbox()] {
            let summary = run.summary();
            assert_eq!(["uids_kept", "uids_changed"].map(|key| count(&summary, key)), counts, "{given:?}");
            assert_eq!(losses(&run).len() as u64, counts[1].min(1), "{given:?}");
        }
        assert_eq!(uids(&setup.maildir()), kept, "{base} {given:?}");
        let list = read_list(&setup.maildir()).unwrap();
        assert_eq!((list.validity, list.next), (VALIDITY, next), "{base} {given:?}");
        setup.restores(&source);
    }
}

#[test]
fn a_uid_that_occurs_twice_is_neither_kept_nor_accepted_where_uids_are_required() {
    let setup = Setup::new();
    let source = setup.file("inbox", mbox("1104746400 9", &["3", "5", "5", "4"]));
    let second = fs::read_to_string(&source).unwrap().match_indices("From ada@").nth(2).unwrap().0;
    for destination in [setup.maildir(), setup.path("out.mbox")] {
        let paths = [&*source, &*destination].map(|path| path.to_str().unwrap());
        let run = |options: &[&'static str]| {
            run(mailferry(["convert"].into_iter().chain(options.iter().copied()).chain(paths)))
        };
        let why = "2 messages without the UIDs of the source: X-UID occurs twice or does not rise";
        let refused = run(&["--uids=require"]).exits(1).stderr;
        let expected =
            format!("{}: UIDs would not be kept: {why}, first at byte {second};", source.display());
        assert!(refused.contains(&expected), "{refused}");
        assert!(!destination.exists());
        let run = run(&[]).exits(0);
        let report = run.text() + &run.stderr;
        assert!(report.contains(why) && !report.contains("download nothing"), "{report}");
        assert!(report.contains("2 UIDs kept; clients download 2 messages again."), "{report}");
    }
}

#[test]
fn a_mailbox_whose_uids_are_used_up_is_reported() {
    for given in [&["1", ""], &["4294967294", ""]] {
        let setup = Setup::new();
        let source = setup.file("inbox", mbox("1104746400 4294967294", given));
        let run = setup.try_convert(&["--uids=require"], &[&source]).exits(1);
        assert_eq!((run.complaints(), setup.maildir().exists()), (vec!["uids-not-kept".into()], false));
        let run = setup.try_convert(&[], &[&source]).exits(0);
        assert_eq!(losses(&run), ["1 message without the UIDs of the source: all UIDs are used up"]);
        assert_eq!(["uids_kept", "uids_changed"].map(|key| count(&run.summary(), key)), [0, 1]);
        assert_eq!(read_list(&setup.maildir()), None);
    }
}

#[test]
fn a_source_without_uids_gets_no_list() {
    for text in [mbox("", &["1", "2"]), mbox("0 5", &["1"]), mbox("x", &["1"]), mbox("", &["", ""])] {
        let setup = Setup::new();
        let run = setup.try_convert(&[], &[&setup.file("inbox", text)]).exits(0);
        assert_eq!((read_list(&setup.maildir()), losses(&run).len()), (None, 0));
        assert_eq!(count(&run.summary(), "uids_kept"), 0);
    }
    let setup = Setup::new();
    let source = setup.file("inbox", mbox("1104746400 9", &["1"]));
    setup.convert(&["--uids=new"], &[&source]);
    assert_eq!(read_list(&setup.maildir()), None);
}

#[test]
fn only_fields_of_the_message_itself_are_read() {
    let setup = Setup::new();
    let attached = "From a@b Mon Mar  2 08:00:00 1998\nX-IMAPbase: 1104746400 9\nX-UID: 5\nX-IMAPbase: 7 7\n\
        Subject: 0\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\
        Content-Type: message/rfc822\n\nX-UID: 8\nX-IMAPbase: 3 3\nSubject: in it\n\ntext\n--b--\n\n\
        From a@b Mon Mar  2 08:00:01 1998\nX-IMAPbase: 99 99\nX-UID: 6\nSubject: 1\n\ntext\n\n";
    setup.convert(&[], &[&setup.file("inbox", attached)]);
    assert_eq!(uids(&setup.maildir()), ["5", "6"]);
    assert_eq!(read_list(&setup.maildir()).unwrap().validity, VALIDITY);
}

#[test]
fn the_pseudo_message_gives_the_uids_and_the_uidls_of_uw_imap() {
    let setup = Setup::new();
    let pseudo = "From MAILER-DAEMON Mon Mar  2 08:00:00 1998\nFrom: Mail System Internal Data <a@b>\n\
        Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1104746400 0000000009 Work\n\ntext\n\n";
    let source = setup.file("inbox", pseudo.to_owned() + &mbox("", &["3", "7"]));
    let run = setup.try_convert(&[], &[&source]).exits(0);
    assert_eq!(uids(&setup.maildir()), ["3 P41d917a000000003", "7 P41d917a000000007"]);
    assert_eq!(count(&run.summary(), "uids_kept"), 2);
    let back = setup.path("back");
    convert([source.to_str().unwrap(), &format!("mboxrd:{}", back.display())]);
    let back = fs::read_to_string(back).unwrap();
    assert!(back.contains("X-IMAPbase: 1104746400 0000000009 Work\nX-UID: 3\n"), "{back}");
}

#[test]
fn a_list_is_extended_only_as_mailferry_left_it() {
    let setup = Setup::new();
    let source = setup.file("inbox", numbered(3, 1));
    setup.convert(&[], &[&source]);
    let first = fs::read_to_string(setup.maildir().join(LIST)).unwrap();
    assert_eq!(setup.convert(&[], &[&source]), [0, 3, 0]);
    assert_eq!(fs::read_to_string(setup.maildir().join(LIST)).unwrap(), first);
    // The source grows.
    fs::write(&source, numbered(5, 1)).unwrap();
    setup.convert(&[], &[&source]);
    assert_eq!(uids(&setup.maildir()), ["1", "2", "3", "4", "5"]);
    let second = fs::read_to_string(setup.maildir().join(LIST)).unwrap();
    let guid = |text: &str| text.split(' ').nth(3).unwrap().lines().next().unwrap().to_owned();
    assert!(guid(&first) == guid(&second) && second.lines().skip(1).count() == 5, "{first}{second}");
    // A server appends a message of its own.
    fs::write(setup.maildir().join(LIST), second.clone() + "6 :1104746400.M1P1.host\n").unwrap();
    let changed = fs::read(setup.maildir().join(LIST)).unwrap();
    fs::write(&source, numbered(7, 1)).unwrap();
    let before = tree(&setup.maildir());
    let run = setup.try_convert(&["--uids=require"], &[&source]).exits(1);
    assert_eq!((losses(&run).len(), count(&run.summary(), "written")), (1, 0));
    assert_eq!(tree(&setup.maildir()), before);
    let run = setup.try_convert(&[], &[&source]).exits(0);
    assert_eq!(
        losses(&run),
        ["2 messages without the UIDs of the source: another program has changed dovecot-uidlist"]
    );
    assert_eq!((count(&run.summary(), "uids_changed"), count(&run.summary(), "uids_kept")), (2, 0));
    assert_eq!(fs::read(setup.maildir().join(LIST)).unwrap(), changed);
}

#[test]
fn a_maildir_without_a_list_gets_one() {
    let setup = Setup::new();
    for directory in ["cur", "new", "tmp"] {
        fs::create_dir_all(setup.maildir().join(directory)).unwrap();
    }
    let source = setup.file("inbox", numbered(3, 4));
    setup.convert(&[], &[&source]);
    assert_eq!(uids(&setup.maildir()), ["4", "5", "6"]);
    assert!(!setup.maildir().join("dovecot-uidlist.lock").exists());
}

#[test]
fn dovecots_lock_is_waited_for_before_anything_is_visible() {
    let setup = Setup::new();
    let source = setup.file("inbox", numbered(3, 1));
    setup.convert(&[], &[&source]);
    fs::write(&source, numbered(5, 1)).unwrap();
    let lock = setup.maildir().join("dovecot-uidlist.lock");
    fs::write(&lock, "4711:example").unwrap();
    let visible = || ["cur", "new"].map(|place| names(&setup.maildir().join(place)));
    let before = visible();
    let all = mail_files(&setup.maildir());
    let run = setup.try_convert(&["--lock-timeout=0"], &[&source]).exits(3);
    assert_eq!(run.complaints(), ["locked"]);
    assert_eq!(mail_files(&setup.maildir()), all);
    let words = ["convert", "--json", "--lock-timeout=3000"].map(OsStr::new);
    let mut command = mailferry(words.into_iter().chain([source.as_os_str(), setup.maildir().as_os_str()]));
    let waiting = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("the staged messages", || names(&setup.maildir().join("tmp")).len() == 2);
    assert_eq!(visible(), before);
    fs::remove_file(lock).unwrap();
    let run = Run::of(waiting.wait_with_output().unwrap()).exits(0);
    assert_eq!(count(&run.summary(), "written"), 2);
    assert_eq!(uids(&setup.maildir()), ["1", "2", "3", "4", "5"]);
}

/// A server gets mail while mailferry stages: no UID is used twice, and the list of the server stays.
#[test]
fn a_list_that_changes_during_the_run_is_left_alone() {
    if !have_strace() {
        return;
    }
    let lists =
        [(LIST, "dovecot"), (LIST, "both"), ("courierimapuiddb", "courier"), ("courierimapuiddb", "both")];
    let policies = [("keep", 0, 5), ("require", 1, 3)];
    for ((name, format), (policy, code, left)) in
        lists.into_iter().flat_map(|l| policies.map(|policy| (l, policy)))
    {
        let setup = Setup::new();
        let source = setup.file("inbox", numbered(3, 1));
        let (format, policy) = (format!("--uid-format={format}"), format!("--uids={policy}"));
        setup.convert(&[&format], &[&source]);
        fs::write(&source, numbered(5, 1)).unwrap();
        let maildir = setup.maildir();
        let paths = [&*source, &*maildir].map(|path| path.to_str().unwrap());
        let command = ["convert", "--json", "-j1", &format, &policy, paths[0], paths[1]];
        // The messages are in tmp/.
        let stopped = Stopped::after("syncfs:when=1", None, command, b"");
        let mut list = fs::read_to_string(setup.maildir().join(name)).unwrap();
        list.push_str(if name == LIST { "4 :1104746400.M1P1.host\n" } else { "4 1104746400.M1P1.host\n" });
        fs::write(setup.maildir().join(name), &list).unwrap();
        let run = stopped.resume().exits(code);
        let found: Vec<_> =
            run.findings().into_iter().filter(|finding| finding["code"] == "uids-not-kept").collect();
        let [finding] = &found[..] else { panic!("{run:?}") };
        assert!(finding.to_string().contains(name), "{finding}");
        for other in [LIST, "courierimapuiddb"].iter().filter(|other| **other != name) {
            assert!(!finding.to_string().contains(other), "{finding}");
        }
        assert_eq!(
            (setup.messages().len(), fs::read_to_string(setup.maildir().join(name)).unwrap()),
            (left, list)
        );
        assert_eq!(names(&setup.maildir().join("tmp")), [""; 0]);
    }
}

#[test]
fn a_tree_is_not_written_if_one_folder_cannot_keep_required_uids() {
    let scratch = scratch();
    let (source, destination) = (scratch.path().join("mail"), scratch.path().join("Maildir"));
    let paths = [&*source, &*destination].map(|path| path.to_str().unwrap());
    let convert = || run(mailferry(["convert", "--json", "--uids=require", paths[0], paths[1]]));
    fs::create_dir(&source).unwrap();
    for (count, code) in [(3, 0), (5, 1)] {
        for name in ["a", "b"] {
            fs::write(source.join(name), numbered(count, 1)).unwrap();
        }
        let before = if destination.exists() { tree(&destination) } else { BTreeMap::new() };
        let run = convert().exits(code);
        if code == 1 {
            assert_eq!(run.complaints(), ["uids-not-kept"]);
            assert!(tree(&destination) == before, "{run:?}");
        }
        let list = destination.join(".b").join(LIST);
        let text = fs::read_to_string(&list).unwrap();
        fs::write(&list, format!("{text}4 :1104746400.M1P1.host\n")).unwrap();
    }
}

#[test]
fn a_kill_between_list_and_messages_changes_no_uid() {
    if !have_strace() {
        return;
    }
    let setup = Setup::new();
    let source = setup.file("inbox", numbered(3, 1));
    setup.convert(&[], &[&source]);
    fs::write(&source, numbered(6, 1)).unwrap();
    let mut command = std::process::Command::new("strace");
    command.args([
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "inject=renameat2:signal=KILL:when=2",
        BINARY,
        "convert",
        "-j1",
    ]);
    command.args([&source, &setup.maildir()]);
    assert_eq!(command.output().unwrap().status.code(), None);
    assert!(setup.messages().len() < 6 && setup.maildir().join("dovecot-uidlist.lock").exists());
    assert_eq!(read_list(&setup.maildir()).unwrap().entries.len(), 6);
    setup.convert(&[], &[&source]);
    assert_eq!(uids(&setup.maildir()), ["1", "2", "3", "4", "5", "6"]);
    assert!(!setup.maildir().join("dovecot-uidlist.lock").exists());
    fs::write(&source, numbered(7, 1)).unwrap();
    setup.convert(&[], &[&source]);
    assert_eq!(uids(&setup.maildir()), ["1", "2", "3", "4", "5", "6", "7"]);
}

#[test]
fn the_first_source_with_uids_keeps_them_and_the_others_follow() {
    let setup = Setup::new();
    let plain = setup.file("plain", mbox("", &["", ""]).replace("Subject: ", "Subject: 2"));
    let first = setup.file("first", mbox("1104746400 0000000009", &["4", "7"]));
    let second = setup.file("second", mbox("99 5", &["4", "5"]).replace("Subject: ", "Subject: 1"));
    let run = setup.try_convert(&[], &[&plain, &first, &second]).exits(0);
    // Dovecot's POP3 server makes a UIDL of UID and validity.
    assert_eq!(
        uids(&setup.maildir()),
        ["4", "7", "12 P0000000400000063", "13 P0000000500000063", "10", "11"]
    );
    let list = read_list(&setup.maildir()).unwrap();
    assert_eq!((list.validity, list.next), (VALIDITY, 14));
    assert_eq!(
        losses(&run),
        ["2 messages without the UIDs of the source: the folder has the UIDs of another mailbox"]
    );
    let again = Setup::new();
    let run = again.try_convert(&["--uids=require"], &[&first, &second]).exits(1);
    assert_eq!((losses(&run).len(), again.maildir().exists()), (1, false));
}

#[test]
fn with_folders_of_labels_the_maildir_itself_keeps_the_uids() {
    let setup = Setup::new();
    let text =
        mbox("1104746400 9", &["1", "2", "3", ""]).replace("Subject: 1", "X-Gmail-Labels: Work\nSubject: 1");
    let text = text.replace("Subject: 3", "X-Gmail-Labels: Work\nSubject: 3");
    let text = text.replace("Subject: 2", "X-Gmail-Labels: Inbox,Work\nSubject: 2");
    let run = setup.try_convert(&["--labels=folders"], &[&setup.file("inbox", text)]).exits(0);
    assert_eq!(uids(&setup.maildir()), ["1", "3"]);
    assert_eq!(read_list(&setup.maildir().join(".Work")), None);
    let why = "1 message without the UIDs of the source: they are in other folders than the source";
    assert_eq!(losses(&run), [why]);
    assert_eq!(["uids_kept", "uids_changed"].map(|key| count(&run.summary(), key)), [2, 1]);
}

/// A Maildir of Dovecot, with gaps, fields, an expunged message and one that is not listed yet.
fn dovecot_maildir(setup: &Setup) -> std::path::PathBuf {
    let maildir = setup.path("dovecot");
    for directory in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(directory)).unwrap();
    }
    for n in 0..4 {
        let name = format!("cur/110474640{n}.M{n}.host:2,S");
        fs::write(maildir.join(name), format!("Subject: {n}\n\ntext {n}\n")).unwrap();
    }
    let list = "3 V1104746400 N9 G0123456789abcdef0123456789abcdef P%g\n\
        1 Puidl O2 Xnew :1104746402.M2.host\n3 :1104746409.M9.host\n4 P :1104746400.M0.host\n\
        8 S16 W18 :1104746401.M1.host\n";
    fs::write(maildir.join(LIST), list).unwrap();
    maildir
}

fn copy(setup: &Setup, maildir: &Path) -> Run {
    let destination = format!("maildir:{}", setup.maildir().display());
    run(mailferry(["convert", "--json", maildir.to_str().unwrap(), &destination])).exits(0)
}

/// Dovecot gives a message another UID that appears with one below the UIDNEXT that clients have seen.
#[test]
fn no_message_of_another_source_gets_a_uid_below_uidnext() {
    let setup = Setup::new();
    let first = setup.file("first", mbox("1104746400 0000000009", &["2", "4"]));
    // UW-IMAP gives two mailboxes the same validity if it makes them in one second.
    let second = mbox("1104746400 0000000007", &["3", "7"]).replace("Subject: ", "Subject: 1");
    let second = setup.file("second", second);
    let together = Setup::new();
    for setup in [&setup, &together] {
        let run = match setup.path("first").exists() {
            true => {
                setup.convert(&[], &[&first]);
                let before = tree(&setup.maildir());
                let refused = setup.try_convert(&["--uids=require"], &[&second]).exits(1);
                assert_eq!(
                    (refused.complaints(), tree(&setup.maildir())),
                    (vec!["uids-not-kept".into()], before)
                );
                setup.try_convert(&[], &[&second]).exits(0)
            }
            false => setup.try_convert(&[], &[&first, &second]).exits(0),
        };
        let own = ["10 P0000000341d917a0", "11 P0000000741d917a0"];
        assert_eq!(uids(&setup.maildir()), ["2", "4", own[0], own[1]]);
        assert_eq!(read_list(&setup.maildir()).unwrap().next, 12);
        assert_eq!(
            losses(&run),
            ["2 messages without the UIDs of the source: the folder has the UIDs of another mailbox"]
        );
    }
    // The source of the list grows, and comes first.
    fs::write(&first, mbox("1104746400 0000000012", &["2", "4", "12"])).unwrap();
    let third = setup.file("third", mbox("7 3", &["1"]).replace("Subject: ", "Subject: 2"));
    let run = setup.try_convert(&[], &[&third, &first]).exits(0);
    assert_eq!(
        uids(&setup.maildir())[2..],
        ["10 P0000000341d917a0", "11 P0000000741d917a0", "12", "13 P0000000100000007"]
    );
    assert_eq!(losses(&run).len(), 1, "{run:?}");
}

#[test]
fn a_message_that_was_not_selected_before_gets_a_new_uid() {
    let setup = Setup::new();
    let text = mbox("1104746400 0000000009", &["2", "4", "8"]).replace("08:00:02 1998", "08:00:02 2005");
    let source = setup.file("inbox", text);
    setup.convert(&["--since=2005-01-01"], &[&source]);
    assert_eq!(uids(&setup.maildir()), ["8"]);
    let run = setup.try_convert(&[], &[&source]).exits(0);
    assert_eq!(uids(&setup.maildir()), ["10 P0000000241d917a0", "11 P0000000441d917a0", "8"]);
    assert_eq!(losses(&run).len(), 1);
}

#[test]
fn two_lists_with_different_uids_stay_two_lists() {
    let setup = Setup::new();
    let first = setup.file("first", mbox("1104746400 0000000005", &["1", "3", "5"]));
    setup.convert(&[], &[&first]);
    let second = setup.file("second", mbox("99 2", &["1", "2"]).replace("Subject: ", "Subject: 1"));
    setup.convert(&["--uid-format=courier"], &[&second]);
    fs::write(&second, mbox("99 4", &["1", "2", "3", "4"]).replace("Subject: ", "Subject: 1")).unwrap();
    let run = setup.try_convert(&["--uid-format=both"], &[&second]).exits(0);
    assert_eq!(["uids_kept", "uids_changed"].map(|key| count(&run.summary(), key)), [0, 2]);
    // Dovecot drops a list in which a UID occurs twice.
    let numbers = |text: &str| {
        let lines = text.lines().skip(1).map(|line| line.split(' ').next().unwrap().parse().unwrap());
        lines.collect::<Vec<u32>>()
    };
    let list = fs::read_to_string(setup.maildir().join(LIST)).unwrap();
    assert_eq!((numbers(&list), read_list(&setup.maildir()).unwrap().next), (vec![1, 3, 5, 6, 7, 8, 9], 10));
    let courier = fs::read_to_string(setup.maildir().join("courierimapuiddb")).unwrap();
    assert!(courier.starts_with("1 99 5\n") && numbers(&courier) == [1, 2, 3, 4], "{courier}");
    // A list that is missing gets the UIDs of the other one.
    let setup = Setup::new();
    setup.convert(&[], &[&first]);
    fs::write(&first, mbox("1104746400 0000000007", &["1", "3", "5", "7"])).unwrap();
    let run = setup.try_convert(&["--uid-format=both"], &[&first]).exits(0);
    assert_eq!((count(&run.summary(), "uids_kept"), losses(&run).len()), (1, 0));
    let courier = fs::read_to_string(setup.maildir().join("courierimapuiddb")).unwrap();
    assert!(courier.starts_with("1 1104746400 8\n") && numbers(&courier) == [1, 3, 5, 7], "{courier}");
}

#[test]
fn nothing_is_written_without_uids_that_are_required() {
    let setup = Setup::new();
    let damaged = dovecot_maildir(&setup);
    let good = setup.path("good");
    fs::create_dir(&good).unwrap();
    for name in ["cur", "new", "tmp", LIST] {
        fs::rename(damaged.join(name), good.join(name)).unwrap();
        run_cp(&good.join(name), &damaged.join(name));
    }
    fs::write(damaged.join(LIST), "3 V1 N9\n5 :1104746402.M2.host\n4 :1104746400.M0.host\n").unwrap();
    let tree_of_both = setup.path("tree");
    run_cp(&good, &tree_of_both);
    run_cp(&damaged, &tree_of_both.join(".Damaged"));
    fs::write(tree_of_both.join(".Damaged/maildirfolder"), "").unwrap();
    let mbox = setup.file("inbox", mbox("1104746400 9", &["4", "5"]));
    let before = names(setup.path("").as_path());
    for (source, destinations) in [
        (&damaged, &["maildir:out", "out", "mbox:out/", "eml:out", "-"][..]),
        (&tree_of_both, &["maildir:out", "mbox:out/", "eml:out"]),
        (&good, &["eml:out"]),
        (&mbox, &["eml:out"]),
    ] {
        for destination in destinations {
            for options in [&[][..], &["--split=year"]] {
                if !options.is_empty() && matches!(*destination, "out" | "-") {
                    continue;
                }
                let what = format!("{} to {destination} {options:?}", source.display());
                let mut command = mailferry(["convert", "--uids=require"].iter().chain(options));
                command.arg(source).arg(destination).current_dir(setup.path(""));
                let refused = run(command).exits(1);
                assert!(refused.stderr.contains("UIDs would not be kept"), "{what}: {}", refused.stderr);
                assert_eq!(refused.stdout, b"", "{what}");
                assert_eq!(names(setup.path("").as_path()), before, "{what}");
            }
        }
    }
    // Without that it is a warning, and the files are written.
    let mut command = mailferry(["convert", "--json"]);
    command.arg(&good).arg("eml:out").current_dir(setup.path(""));
    let run = run(command).exits(0);
    assert_eq!(losses(&run), ["3 messages without the UIDs of the source: .eml files have none"]);
    assert_eq!(count(&run.summary(), "written"), 4);
}

fn run_cp(from: &Path, to: &Path) {
    run(wrapped("exec \"$@\"", ["cp", "-a"], [from, to])).exits(0);
}

/// A message that moves meanwhile is written after the others. Only the first message of an mbox has X-IMAPbase.
#[test]
fn an_mbox_has_one_base_even_if_messages_move_meanwhile() {
    if !have_strace() {
        return;
    }
    let setup = Setup::new();
    let maildir = dovecot_maildir(&setup);
    let folder = maildir.join(".Folder");
    for directory in ["cur", "new", "tmp"] {
        fs::create_dir_all(folder.join(directory)).unwrap();
    }
    fs::write(folder.join("maildirfolder"), "").unwrap();
    let name = "cur/1104746405.M5.host:2,S";
    fs::write(folder.join(name), "Subject: 5\n\ntext 5\n").unwrap();
    let target = format!("mbox:{}/", setup.path("out").display());
    let args = ["convert", "--json", "-j1", "--fsync=none", maildir.to_str().unwrap(), &target];
    let stopped = Stopped::after("renameat2:when=1", None, args, b"");
    fs::rename(folder.join(name), maildir.join(name)).unwrap();
    let list = fs::read_to_string(maildir.join(LIST)).unwrap();
    fs::write(maildir.join(LIST), list + "9 :1104746405.M5.host\n").unwrap();
    let run = stopped.resume().exits(0);
    let text = fs::read_to_string(setup.path("out/INBOX")).unwrap();
    assert_eq!((text.matches("Subject: ").count(), text.matches("X-IMAPbase").count()), (5, 1), "{text}");
    let why = "1 message without the UIDs of the source: the mbox has its own";
    assert!(losses(&run).iter().any(|loss| loss == why), "{:?}", losses(&run));
    assert_eq!(["uids_kept", "uids_changed"].map(|key| count(&run.summary(), key)), [3, 1]);
}

#[test]
fn a_copy_has_the_entries_of_its_messages_with_all_fields() {
    let setup = Setup::new();
    let maildir = dovecot_maildir(&setup);
    let run = copy(&setup, &maildir);
    assert_eq!((losses(&run).len(), count(&run.summary(), "uids_kept")), (0, 3));
    let source = fs::read_to_string(maildir.join(LIST)).unwrap();
    let without_expunged = source.replace("3 :1104746409.M9.host\n", "");
    assert_eq!(fs::read_to_string(setup.maildir().join(LIST)).unwrap(), without_expunged);
    assert_eq!(count(&copy(&setup, &maildir).summary(), "written"), 0);
    // The server numbers the last message, and one that is expunged at once.
    fs::write(maildir.join(LIST), source.replace("N9", "N20") + "12 :1104746403.M3.host\n").unwrap();
    let run = copy(&setup, &maildir);
    assert_eq!((count(&run.summary(), "written"), losses(&run).len()), (0, 0));
    assert_eq!(uids(&setup.maildir()), ["4 P", "8 S16 W18", "1 Puidl O2 Xnew", "12"]);
    assert_eq!(read_list(&setup.maildir()).unwrap().next, 20);
    let before = tree(&setup.maildir());
    copy(&setup, &maildir);
    assert_eq!(tree(&setup.maildir()), before);
}

#[test]
fn a_message_that_is_renamed_keeps_its_uid_uidl_and_guid() {
    let setup = Setup::new();
    let maildir = dovecot_maildir(&setup);
    for directory in ["cur", "new", "tmp"] {
        fs::create_dir_all(setup.maildir().join(directory)).unwrap();
    }
    fs::write(setup.maildir().join("cur/1104746400.M0.host:2,"), "Subject: 9\n\nanother\n").unwrap();
    copy(&setup, &maildir);
    let uids = uids(&setup.maildir());
    assert_eq!(uids[0], "4 P1104746400.M0.host G1104746400.M0.host");
    assert_eq!(uids[4], "-");
}

#[test]
fn a_damaged_list_is_reported_with_its_line() {
    let setup = Setup::new();
    let maildir = dovecot_maildir(&setup);
    fs::write(maildir.join(LIST), "3 V1 N9\n5 :1104746402.M2.host\n4 :1104746400.M0.host\n").unwrap();
    let run = copy(&setup, &maildir);
    assert_eq!(losses(&run), ["its UIDs are lost: line 3 the UID 4 comes after 5; a server drops the list"]);
    assert_eq!(read_list(&setup.maildir()), None);
}

#[test]
fn an_mbox_has_the_uids_of_its_maildir_in_their_order() {
    let setup = Setup::new();
    let maildir = dovecot_maildir(&setup);
    fs::write(maildir.join("dovecot-keywords"), "0 Work\n1 $Label1\n").unwrap();
    let out = setup.path("out.mbox");
    let run =
        run(mailferry(["convert", "--json"].map(Path::new).into_iter().chain([&*maildir, &out]))).exits(0);
    let text = fs::read_to_string(&out).unwrap();
    let fields = text.lines().filter(|line| line.starts_with("X-") || line.starts_with("Subject"));
    let expected = [
        "Subject: 2",
        "X-IMAPbase: 1104746400 0000000008 Work $Label1",
        "X-UID: 1",
        "Subject: 0",
        "X-UID: 4",
        "Subject: 1",
        "X-UID: 8",
        "Subject: 3",
    ];
    assert_eq!(fields.collect::<Vec<_>>(), expected);
    assert_eq!(count(&run.summary(), "uids_kept"), 3);
    // `Puidl` and `P` of the base name have no place in an mbox.
    assert_eq!(losses(&run), ["2 messages with POP3 UIDLs of their own, which an mbox cannot keep"]);
    let back = setup.path("back");
    convert([&out, &back]);
    assert_eq!(uids(&back), ["4", "8", "1", "9"]);
    assert_eq!(read_list(&back).unwrap().next, 10);
}

#[test]
fn an_mbox_that_exists_keeps_its_own_uids() {
    let setup = Setup::new();
    let maildir = dovecot_maildir(&setup);
    let out = setup.file("out.mbox", mbox("7 5", &["5"]));
    let command = ["convert", "--json", "--append"].map(Path::new).into_iter().chain([&*maildir, &out]);
    let appended = run(mailferry(command)).exits(0);
    let why = "3 messages without the UIDs of the source: the mbox has its own";
    assert!(losses(&appended).iter().any(|loss| loss == why), "{appended:?}");
    let text = fs::read_to_string(&out).unwrap();
    assert_eq!((text.matches("X-UID").count(), text.matches("X-IMAPbase").count()), (1, 1));
}

/// A server would take a later X-UID for one of the mbox.
#[test]
fn an_mbox_has_the_uids_of_its_first_source_only() {
    let setup = Setup::new();
    let first = setup.file("first", mbox("1104746400 0000000009", &["2", "4"]));
    let second = mbox("1104746400 0000000009", &["7", ""]).replace("Subject: ", "Subject: 1");
    let second = setup.file("second", second);
    let (together, appended) = (setup.path("together"), setup.path("appended"));
    let convert = |arguments: &[&Path]| {
        run(mailferry([Path::new("convert"), Path::new("--json")].iter().chain(arguments))).exits(0)
    };
    let prefixed = |path: &Path| format!("mbox:{}", path.display());
    convert(&[&first, prefixed(&appended).as_ref()]);
    for run in [
        convert(&[&first, &second, prefixed(&together).as_ref()]),
        convert(&["--append".as_ref(), &second, prefixed(&appended).as_ref()]),
    ] {
        assert_eq!((count(&run.summary(), "uids_changed"), losses(&run).len()), (1, 1));
    }
    for path in [together, appended] {
        let text = fs::read_to_string(path).unwrap();
        let fields = text.lines().filter(|line| line.starts_with("X-") || line.starts_with("Subject"));
        let expected = [
            "X-IMAPbase: 1104746400 0000000009",
            "X-UID: 2",
            "Subject: 0",
            "X-UID: 4",
            "Subject: 1",
            "Subject: 10",
            "Subject: 11",
        ];
        assert_eq!(fields.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_dry_run_says_what_happens_to_the_uids_and_writes_nothing() {
    let setup = Setup::new();
    let (first, second) =
        (setup.file("first", mbox("1104746400 9", &["4"])), setup.file("second", mbox("9 9", &["4"])));
    let run = setup.try_convert(&["-n"], &[&first, &second]).exits(0);
    assert_eq!((count(&run.summary(), "uids_kept"), count(&run.summary(), "uids_changed")), (1, 1));
    assert!(!setup.maildir().exists() && losses(&run).len() == 1);
}

#[test]
fn couriers_numbers_of_pop3_become_uidls() {
    let setup = Setup::new();
    let maildir = dovecot_maildir(&setup);
    fs::remove_file(maildir.join(LIST)).unwrap();
    let list = "1 104746400 9\n1 1104746402.M2.host\n4 1104746400.M0.host\n8 1104746401.M1.host\n";
    fs::write(maildir.join("courierimapuiddb"), list).unwrap();
    let sizes = "/3 4 1104746400\n1104746400.M0.host:2, 18 1:1104746400:0\n1104746402.M2.host:2,S 18 3:1104746400:0\n";
    fs::write(maildir.join("courierpop3dsizelist"), sizes).unwrap();
    fs::write(maildir.join("courierimapacl"), "owner aceilrstwx\n").unwrap();
    let run = copy(&setup, &maildir);
    assert_eq!(uids(&setup.maildir()), ["4 PUID1-1104746400", "8", "1 PUID3-1104746400", "-"]);
    let list = read_list(&setup.maildir()).unwrap();
    assert_eq!((list.validity, list.next, losses(&run).len()), (104_746_400, 9, 0));
    assert!(
        run.findings()
            .iter()
            .any(|f| f["code"] == "acls-left" && f["message"].to_string().contains("courierimapacl"))
    );
    let command = ["convert", "--json", "--uid-format=both", maildir.to_str().unwrap()];
    let both = format!("maildir:{}", setup.path("both").display());
    crate::support::run(mailferry(command.into_iter().chain([&*both]))).exits(0);
    let written = fs::read_to_string(setup.path("both").join("courierimapuiddb")).unwrap();
    assert!(written.starts_with("1 104746400 9\n1 1104746402.M2.host\n4 "), "{written}");
}

#[test]
fn verify_reports_the_line_for_which_a_server_drops_a_list() {
    let setup = Setup::new();
    let maildir = dovecot_maildir(&setup);
    let damage = |text: &str| {
        fs::write(maildir.join(LIST), text).unwrap();
        let run = run(mailferry(["verify", "--json", maildir.to_str().unwrap()])).exits(0);
        let findings = run.findings().into_iter().filter(|finding| finding["code"] == "uidlist-damaged");
        findings.map(|finding| finding["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let dropped = "a server drops the list, and clients download all mail again";
    for (text, expected) in [
        ("3 V1 N9\n1 :a\n9 Xy :b\n", Vec::new()),
        ("3 V1 N9\n5 :a\n4 :b\n", vec![format!("line 3 the UID 4 comes after 5: {dropped}")]),
        ("3 V0 N9\n", vec![format!("line 1 the validity or the next UID is 0: {dropped}")]),
        ("3 V1 N9\n1 x :a\n2 :a\n3 :b", vec!["line 2: \"x\" is not a field, and 2 lines more".to_owned()]),
    ] {
        assert_eq!(damage(text), expected, "{text}");
    }
}
