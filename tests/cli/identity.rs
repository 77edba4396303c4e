//! Repeated conversions: run again, killed, with a source that grew or was rewritten, a conversion gives the
//! same mail, and restores the original byte for byte.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::Value;

use crate::strace::Stopped;
use crate::support::*;

fn mbox(numbers: Range<u32>) -> String {
    numbers.map(|n| mail(n) + "\n").collect()
}

#[test]
fn the_same_bytes_again_under_any_name_touch_nothing() {
    let setup = Setup::new();
    let inbox = setup.file("inbox", mbox(0..20));
    let sent = setup.file("sent", mbox(30..40));
    assert_eq!(setup.convert(&[], &[&inbox, &sent]), [30, 0, 0]);
    let before = tree(&setup.maildir());
    let copy = setup.file("copy", mbox(0..20));
    let cases: [(&[&Path], u64); 5] = [
        (&[&inbox, &sent], 30),
        (&[&sent, &inbox], 30),
        (&[&inbox], 20),
        (&[&copy], 20),
        (&[&copy, &sent], 30),
    ];
    for (sources, present) in cases {
        assert_eq!(setup.convert(&[], sources), [0, present, 0], "{sources:?}");
        assert!(tree(&setup.maildir()) == before, "{sources:?}");
    }
    let mut command = convert_command([OsStr::new("-"), setup.maildir().as_os_str()]);
    command.env("TMPDIR", setup.scratch.path());
    let piped = run_with_stdin(command, mbox(0..20)).exits(0).summary();
    assert_eq!(count(&piped, "already_present"), 20);
    assert!(tree(&setup.maildir()) == before, "from standard input");
}

#[test]
fn a_source_that_has_grown_gives_only_its_new_messages() {
    // How the last message ends before another program appends, and what a delivery agent puts in between.
    let cases = [
        ("a blank line", "\n", ""),
        ("a newline", "", "\n"),
        ("no blank line at all", "", ""),
        ("no final newline, which the append adds", "CUT", "\n\n"),
        ("no final newline, and only that is added", "CUT", "\n"),
        ("no final newline, with CRLF", "CUT", "\r\n\r\n"),
        ("a blank line, and two more are added", "\n", "\n\n"),
    ];
    for (what, end, glue) in cases {
        for count in [1, 2, 30] {
            let setup = Setup::new();
            let last = count - 1;
            let last_mail = match end {
                "CUT" => mail(last).trim_end().to_owned(),
                end => mail(last) + end,
            };
            let source = setup.file("inbox", mbox(0..last) + &last_mail);
            assert_eq!(setup.convert(&[], &[&source]), [count.into(), 0, 0], "{what}");
            let before = mail_files(&setup.maildir());
            let grown = fs::read_to_string(&source).unwrap() + glue + &mbox(count..count + 3);
            setup.file("inbox", &grown);
            assert_eq!(setup.convert(&[], &[&source]), [3, count.into(), 0], "{what}, {count}");
            let after = mail_files(&setup.maildir());
            assert!(before.iter().all(|file| after.contains(file)), "{what}, {count}");
            assert_eq!(after.len(), before.len() + 3);
            setup.restores(&source);
            same(&setup.exact(&[]), grown.as_bytes(), "one source, however often it grew");
            let maildir = setup.maildir();
            let verified = [OsStr::new("verify"), "--json".as_ref(), maildir.as_ref()];
            let verified = run(mailferry(verified)).exits(0);
            assert_eq!(verified.complaints(), [""; 0], "{what}, {count}: {}", verified.text());
            let before = tree(&setup.maildir());
            assert_eq!(setup.convert(&[], &[&source]), [0, u64::from(count) + 3, 0], "{what}, {count}");
            assert!(tree(&setup.maildir()) == before);
        }
    }
}

#[test]
fn the_line_end_of_the_last_message_makes_no_second_one() {
    let setup = Setup::new();
    let cut = |n: u32| mail(n).trim_end().to_owned();
    let source = setup.file("inbox", mbox(0..2) + &cut(2));
    assert_eq!(setup.convert(&[], &[&source]), [3, 0, 0]);
    // Each state is written from the start: by a reader that expunges, or by an editor.
    let states = [
        ("the first is expunged, and it has a newline", mail(1) + "\n" + &mail(2), [0, 2, 0]),
        ("the last is expunged, and no newline is left", cut(1), [0, 1, 0]),
        ("all are back", mbox(0..3), [0, 3, 0]),
        ("the last one alone, with CRLF at its end", cut(2) + "\r\n", [0, 1, 0]),
        ("it comes twice", cut(2) + "\n\n" + &cut(2), [1, 1, 0]),
    ];
    for (what, state, counts) in states {
        setup.file("inbox", &state);
        assert_eq!(setup.convert(&[], &[&source]), counts, "{what}");
        same(&setup.exact(&[]), state.as_bytes(), what);
    }
}

#[test]
fn a_source_that_grows_from_next_to_nothing_stays_one_source() {
    let setup = Setup::new();
    let short = |n| format!("From a@example.org Mon Mar  2 08:15:00 1998\nSubject: {n}\n\nx\n\n");
    let mut mail = String::new();
    let source = setup.file("inbox", &mail);
    for n in 0..8u64 {
        assert_eq!(setup.convert(&[], &[&source]), [u64::from(n > 0), n.saturating_sub(1), 0]);
        same(&setup.exact(&[]), mail.as_bytes(), "one source");
        setup.restores(&source);
        mail += &short(n);
        setup.file("inbox", &mail);
    }
}

#[test]
fn what_its_user_did_to_the_mail_since_stays_done() {
    let setup = Setup::new();
    let source = setup.file("inbox", mbox(0..10));
    setup.convert(&[], &[&source]);
    let folder = setup.maildir().join(".Kept");
    for subdir in ["tmp", "new", "cur"] {
        fs::create_dir_all(folder.join(subdir)).unwrap();
    }
    let (deleted, moved, flagged) = (setup.message(1), setup.message(2), setup.message(3));
    fs::remove_file(&deleted.path).unwrap();
    fs::rename(&moved.path, folder.join("cur").join(&moved.name)).unwrap();
    let base = flagged.name.split(":2,").next().unwrap();
    fs::rename(&flagged.path, setup.maildir().join("cur").join(format!("{base}:2,FRS"))).unwrap();
    let (after, everything) = (setup.subjects(), tree(&setup.maildir()));
    assert_eq!(after.len(), 8);
    assert_eq!(setup.convert(&[], &[&source]), [0, 10, 0]);
    assert!(tree(&setup.maildir()) == everything);
    for end in [12, 13] {
        setup.file("inbox", mbox(0..end));
        let new = if end == 12 { 2 } else { 1 };
        assert_eq!(setup.convert(&[], &[&source]), [new, u64::from(end) - new, 0]);
        assert_eq!(setup.subjects().len(), end as usize - 2, "{:?}", setup.subjects());
    }
    let subjects = setup.subjects();
    assert!(after.iter().all(|subject| subjects.contains(subject)));
    assert!(!subjects.contains(&"number 1".into()) && !subjects.contains(&"number 2".into()));
    assert_eq!(setup.message(3).flags.as_deref(), Some("FRS"));
}

#[test]
fn a_rewritten_source_is_matched_by_content() {
    let whole: Vec<String> = (0..12).map(|n| mail(n) + "\n").collect();
    let read =
        |n: u32| mail(n).replace("Status: RO\n", "").replace("Subject", "Status: RO\nX-Status: A\nSubject");
    let expunged = || [&whole[..5], &whole[6..]].concat();
    let mut restated = expunged();
    restated[4] = read(4) + "\n";
    restated[7] = read(8) + "\n";
    let mut swapped = whole.clone();
    swapped.swap(3, 9);
    let mut first = whole.clone();
    first[0] = read(0) + "\n";
    let renewed = [restated.clone(), vec![mail(20) + "\n"]].concat();
    let cases = [
        ("one expunged", expunged(), 0),
        ("expunged and read", restated, 0),
        ("in another order", swapped, 0),
        ("the first one read", first, 0),
        ("and a new one", renewed, 1),
    ];
    for (what, now, written) in cases {
        let setup = Setup::new();
        let source = setup.file("inbox", whole.concat());
        setup.convert(&[], &[&source]);
        let before = mail_files(&setup.maildir());
        setup.file("inbox", now.concat());
        let run = setup.try_convert(&[], &[&source]).exits(0);
        let counts = ["written", "already_present"].map(|key| count(&run.summary(), key));
        assert_eq!(counts, [written, now.len() as u64 - written], "{what}");
        assert!(run.findings().iter().any(|f| f["code"] == "source-rewritten"), "{what}");
        let after = mail_files(&setup.maildir());
        assert!(before.iter().all(|file| after.contains(file)), "{what}");
        setup.restores(&source);
        same(&setup.exact(&[]), now.concat().as_bytes(), what);
        // Unchanged, from a backup.
        setup.file("inbox", whole.concat());
        assert_eq!(setup.convert(&[], &[&source]), [0, 12, 0], "{what}, and back");
        same(&setup.exact(&[]), whole.concat().as_bytes(), what);
        let before = tree(&setup.maildir());
        assert_eq!(setup.convert(&[], &[&source]), [0, 12, 0], "{what}, and back, again");
        assert!(tree(&setup.maildir()) == before, "{what}");
    }
}

#[test]
fn an_emptied_mailbox_removes_nothing_and_may_be_filled_again() {
    let setup = Setup::new();
    let source = setup.file("inbox", mbox(0..5));
    setup.convert(&[], &[&source]);
    setup.file("inbox", "");
    assert_eq!(setup.convert(&[], &[&source]), [0, 0, 0]);
    same(&setup.exact(&[]), b"", "as it is now");
    setup.file("inbox", mbox(3..8));
    assert_eq!(setup.convert(&[], &[&source]), [3, 2, 0]);
    assert_eq!(setup.messages().len(), 8);
    setup.restores(&source);
}

#[test]
fn another_mailbox_of_a_path_is_converted_with_a_warning() {
    for (options, warnings) in [(&[][..], &["source-replaced"][..]), (&["--new-source"], &[])] {
        let setup = Setup::new();
        let source = setup.file("inbox", mbox(0..5));
        setup.convert(&[], &[&source]);
        setup.file("inbox", mbox(50..54));
        let run = setup.try_convert(options, &[&source]).exits(0);
        assert_eq!(run.complaints(), warnings);
        assert_eq!(count(&run.summary(), "written"), 4);
        assert_eq!(setup.messages().len(), 9);
        for (number, mail) in [("1", mbox(0..5)), ("2", mbox(50..54))] {
            same(&setup.exact(&["--source".as_ref(), number.as_ref()]), mail.as_bytes(), number);
        }
        same(&setup.exact(&[]), mbox(50..54).as_bytes(), "the newest state of the only path");
        setup.try_exact(&["--source".as_ref(), "3".as_ref()]).exits(3);
        assert_eq!(setup.convert(&[], &[&source]), [0, 4, 0], "it is known now");
    }
}

#[test]
fn a_source_is_the_same_without_its_first_message_and_in_another_order() {
    let setup = Setup::new();
    let source = setup.file("inbox", mbox(0..5));
    setup.convert(&[], &[&source]);
    setup.file("inbox", mbox(1..6));
    assert_eq!(setup.convert(&[], &[&source]), [1, 4, 0], "the first one was expunged");
    setup.file("inbox", mbox(5..7) + &mbox(2..4));
    assert_eq!(setup.convert(&[], &[&source]), [1, 3, 0], "reordered");
    setup.file("inbox", "");
    assert_eq!(setup.convert(&[], &[&source]), [0, 0, 0], "all was fetched");
    setup.file("inbox", mbox(7..9));
    assert_eq!(setup.convert(&[], &[&source]), [2, 0, 0], "and new mail came");
    setup.file("inbox", mbox(0..1) + &mbox(7..10));
    assert_eq!(setup.convert(&[], &[&source]), [1, 3, 0], "what any section of the path names is known");
    assert_eq!(setup.messages().len(), 10);
    same(&setup.exact(&[]), (mbox(0..1) + &mbox(7..10)).as_bytes(), "the newest state");
}

#[test]
fn a_source_is_the_same_by_any_spelling_of_its_path() {
    let setup = Setup::new();
    let source = setup.file("inbox", mbox(0..5));
    setup.convert(&[], &[&source]);
    let directory = source.parent().unwrap();
    std::os::unix::fs::symlink(directory, setup.path("link")).unwrap();
    let name = directory.file_name().unwrap();
    let spellings = [
        directory.join("./inbox"),
        directory.join("..").join(name).join("inbox"),
        setup.path("link").join("inbox"),
        PathBuf::from("inbox"),
    ];
    for (n, spelling) in (0u32..).zip(spellings) {
        setup.file("inbox", mbox(n + 1..n + 6));
        let mut command = convert_command([spelling.as_os_str(), setup.maildir().as_os_str()]);
        command.current_dir(directory);
        let summary = run(command).exits(0).summary();
        assert_eq!((count(&summary, "written"), count(&summary, "already_present")), (1, 4), "{spelling:?}");
    }
    assert_eq!(setup.messages().len(), 9);
    same(&setup.exact(&["--source".as_ref(), "inbox".as_ref()]), mbox(4..9).as_bytes(), "by its name");
}

#[test]
fn other_options_than_before_are_reported() {
    let setup = Setup::new();
    let source = setup.file("inbox", mbox(0..5));
    setup.convert(&[], &[&source]);
    for (options, words) in [
        (&["--eol=crlf"][..], &["--eol was keep and is crlf"][..]),
        (&["--headers=strip", "--deleted=keep"], &["--headers was keep and is strip", "--deleted was flag"]),
        (&["--host=here"], &["--host was mailferry and is here"]),
        (&["--date=header", "--from-zone=+0100"], &["--date was not given and is date", "and is +01:00"]),
        (&["--dedupe=content"], &["--dedupe was not given and is content"]),
    ] {
        let run = setup.try_convert(options, &[&source]).exits(0);
        assert_eq!(run.complaints(), ["options-changed"]);
        assert!(words.iter().all(|word| run.text().contains(word)), "{}", run.text());
    }
    assert!(setup.try_convert(&[], &[&source]).exits(0).complaints().is_empty());
    setup.file("inbox", mbox(0..7));
    let grown = setup.try_convert(&["--eol=crlf"], &[&source]).exits(0);
    assert_eq!(grown.complaints(), ["options-changed"], "the new messages get them");
}

#[test]
fn only_a_converted_maildir_is_restored() {
    let setup = Setup::new();
    let source = setup.file("inbox", mbox(0..1));
    fs::create_dir(setup.path("empty")).unwrap();
    for wrong in [&*source, &setup.path("empty"), Path::new("-")] {
        let mut command = convert_command(["--exact"]);
        command.args([wrong, &setup.path("back")]);
        let refused = run(command).exits(2);
        assert!(refused.stderr.contains("--exact: ") && !setup.path("back").exists(), "{}", refused.text());
    }
}

#[test]
fn mail_that_no_run_has_published_is_not_called_gone() {
    if !have_strace() {
        return;
    }
    let setup = Setup::new();
    let source = setup.file("inbox", mbox(0..5));
    setup.convert(&[], &[&source]);
    // Two runs are killed before the first message is visible, each with more mail.
    for count in [8, 11] {
        setup.file("inbox", mbox(0..count));
        let inject = "inject=renameat2:signal=KILL:when=1";
        let strace =
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=renameat2", "-e", inject, BINARY];
        let mut command = wrapped("exec \"$@\"", strace, ["convert", "--lock=none", "-j1"]);
        command.args([source.as_os_str(), setup.maildir().as_os_str()]);
        assert_eq!(run(command).code, None);
    }
    assert_eq!(setup.messages().len(), 5);
    let maildir = setup.maildir();
    let verify = || run(mailferry([OsStr::new("verify"), "--json".as_ref(), maildir.as_ref()]));
    let verified = verify().exits(1);
    let mut codes = verified.complaints();
    codes.dedup();
    assert_eq!(codes, ["conversion-unfinished"], "{}", verified.text());
    assert_eq!(count(&verified.json().pop().unwrap(), "gone"), 0, "{}", verified.text());
    // A message that only the killed runs have seen is expunged before the next one.
    setup.file("inbox", mbox(0..6) + &mbox(7..11));
    setup.convert(&[], &[&source]);
    assert_eq!(setup.messages().len(), 10);
    assert_eq!(verify().exits(0).complaints(), [""; 0]);
    setup.restores(&source);
}

#[test]
fn two_sources_that_share_messages_are_both_complete() {
    for together in [true, false] {
        for (option, kept) in [("--dedupe=none", 70), ("--dedupe=content", 50), ("--dedupe=message-id", 50)] {
            let setup = Setup::new();
            // Each mailbox has its own flags and UIDs for the same message.
            let other = mbox(20..50).replace("Status: RO\n", "X-UID: 7\n");
            let (one, other) = (setup.file("one", mbox(0..40)), setup.file("other", other));
            let options: &[&str] = if kept == 70 { &[] } else { &[option] };
            let duplicates = 70 - kept;
            if together {
                assert_eq!(setup.convert(options, &[&one, &other]), [kept, 0, duplicates], "{option}");
            } else {
                assert_eq!(setup.convert(options, &[&one]), [40, 0, 0], "{option}");
                let second = [30 - duplicates, 0, duplicates];
                assert_eq!(setup.convert(options, &[&other]), second, "{option}, in a second run");
            }
            assert_eq!(setup.messages().len() as u64, kept);
            let before = tree(&setup.maildir());
            assert_eq!(setup.convert(options, &[&other, &one])[0], 0, "{option}");
            assert!(tree(&setup.maildir()) == before);
            setup.restores(&one);
            setup.restores(&other);
        }
    }
}

#[test]
fn two_sources_that_share_a_thousand_messages_are_restored() {
    for together in [true, false] {
        for (options, kept) in [(&[][..], 3000), (&["--dedupe=content"], 2000)] {
            let setup = Setup::new();
            let (one, other) = (setup.file("one", mbox(0..1500)), setup.file("other", mbox(500..2000)));
            if together {
                assert_eq!(setup.convert(options, &[&one, &other]), [kept, 0, 3000 - kept], "{options:?}");
            } else {
                assert_eq!(setup.convert(options, &[&one]), [1500, 0, 0], "{options:?}");
                let second = [kept - 1500, 0, 3000 - kept];
                assert_eq!(setup.convert(options, &[&other]), second, "{options:?}, in a second run");
            }
            let mut copies = BTreeMap::new();
            setup.subjects().into_iter().for_each(|subject| *copies.entry(subject).or_insert(0) += 1);
            for n in 0..2000 {
                let is_shared = (500..1500).contains(&n) && kept == 3000;
                assert_eq!(
                    copies[&format!("number {n}")],
                    1 + u32::from(is_shared),
                    "{options:?}, number {n}"
                );
            }
            assert_eq!(copies.len(), 2000);
            setup.restores(&one);
            setup.restores(&other);
        }
    }
}

#[test]
fn deleted_mail_stays_deleted_when_a_later_run_is_killed() {
    let setup = Setup::new();
    let source = setup.file("inbox", mbox(0..5));
    setup.convert(&[], &[&source]);
    fs::remove_file(setup.message(1).path).unwrap();
    setup.file("inbox", mbox(0..7));
    setup.convert(&[], &[&source]);
    // The second run was killed: it published one of two messages, which the user then deleted.
    let manifest = fs::read(setup.manifest()).unwrap();
    fs::write(setup.manifest(), &manifest[..manifest.len() - 1]).unwrap();
    fs::remove_file(setup.message(5).path).unwrap();
    fs::remove_file(setup.message(6).path).unwrap();
    assert_eq!(setup.convert(&[], &[&source]), [2, 5, 0]);
    assert_eq!(setup.subjects(), [0, 2, 3, 4, 5, 6].map(|n| format!("number {n}")));
}

#[test]
fn of_two_equal_messages_the_present_one_stays() {
    for deleted in [0, 1] {
        let setup = Setup::new();
        let source = setup.file("inbox", mbox(0..2) + &mbox(1..2));
        setup.convert(&[], &[&source]);
        let twice: Vec<_> = setup.messages().into_iter().filter(|m| m.subject() == "number 1").collect();
        fs::remove_file(&twice[deleted].path).unwrap();
        setup.file("inbox", mbox(0..2));
        assert_eq!(setup.convert(&[], &[&source]), [0, 2, 0]);
        setup.restores(&source);
    }
}

#[test]
fn of_two_messages_with_the_same_words_a_kill_mixes_up_none() {
    let setup = Setup::new();
    let new = |n| mail_with(n, "") + "\n";
    let read = |n| mail_with(n, "Status: RO\n") + "\n";
    let source = setup.file("inbox", new(1));
    setup.convert(&[], &[&source]);
    setup.file("inbox", new(1) + &read(1) + &new(1));
    setup.convert(&[], &[&source]);
    let before = content(&setup.maildir());
    let manifest = fs::read(setup.manifest()).unwrap();
    fs::write(setup.manifest(), &manifest[..manifest.len() - 1]).unwrap();
    let unpublished = setup.messages().into_iter().find(|m| m.subdir == "cur").unwrap();
    fs::remove_file(unpublished.path).unwrap();
    assert_eq!(setup.convert(&[], &[&source]), [1, 2, 0]);
    assert!(content(&setup.maildir()) == before);
    setup.restores(&source);
}

#[test]
fn a_source_continued_from_an_earlier_state_is_one_source() {
    let setup = Setup::new();
    let source = setup.file("inbox", mbox(0..3));
    setup.convert(&[], &[&source]);
    let grown = mbox(0..5);
    setup.file("inbox", &grown);
    setup.convert(&[], &[&source]);
    // It begins as it did at first, but number 3 was expunged.
    let expunged = mbox(0..3) + &mbox(4..5);
    for (now, counts) in [
        (expunged.clone(), [0, 4, 0]),
        (grown.clone(), [0, 5, 0]),
        (expunged + &mbox(5..6), [1, 4, 0]),
        (grown, [0, 5, 0]),
    ] {
        setup.file("inbox", &now);
        assert_eq!(setup.convert(&[], &[&source]), counts);
        same(&setup.exact(&[]), now.as_bytes(), "one source");
        setup.restores(&source);
    }
}

#[test]
fn two_sources_that_were_once_equal_each_continue() {
    let setup = Setup::new();
    let sources = [setup.file("one", mbox(0..2)), setup.file("copy", mbox(0..2))];
    let [one, copy] = &sources;
    assert_eq!(setup.convert(&[], &[one, copy]), [4, 0, 0]);
    for (source, own) in [(one, 2), (copy, 3)] {
        fs::write(source, mbox(0..2) + &mbox(own..own + 1)).unwrap();
        assert_eq!(setup.convert(&[], &[source]), [1, 2, 0]);
    }
    for (number, source) in ["1", "2"].into_iter().zip(&sources) {
        setup.restores(source);
        same(&setup.exact(&["--source".as_ref(), number.as_ref()]), &fs::read(source).unwrap(), number);
    }
    let which = setup.try_exact(&[]).exits(3);
    assert!(which.stderr.contains("2 sources"), "{}", which.stderr);
}

#[test]
fn two_equal_sources_are_both_completed_after_a_kill() {
    for (closed, missing) in [(0, 0..4), (0, 1..3), (1, 2..4), (1, 0..0)] {
        let setup = Setup::new();
        let [one, copy] = [setup.file("one", mbox(0..2)), setup.file("copy", mbox(0..2))];
        assert_eq!(setup.convert(&[], &[&one, &copy]), [4, 0, 0]);
        let manifest = fs::read_to_string(setup.manifest()).unwrap();
        let lines: Vec<&str> = manifest.split_inclusive('\n').collect();
        fs::write(setup.manifest(), lines[..lines.len() - 2 + closed].concat()).unwrap();
        // The messages of the second source come after those of the first.
        let mut messages = setup.messages();
        messages.sort_by_key(|m| m.unique.contains('_'));
        let before = content(&setup.maildir());
        messages[missing.clone()].iter().for_each(|m| fs::remove_file(&m.path).unwrap());
        let written = missing.len() as u64;
        assert_eq!(setup.convert(&[], &[&one, &copy]), [written, 4 - written, 0], "{closed}, {missing:?}");
        assert!(content(&setup.maildir()) == before);
        setup.restores(&one);
        setup.restores(&copy);
    }
}

#[test]
fn what_a_copy_of_a_source_completed_is_completed() {
    let setup = Setup::new();
    let [one, copy] = [setup.file("one", mbox(0..4)), setup.file("copy", mbox(0..4))];
    setup.convert(&[], &[&one]);
    let manifest = fs::read(setup.manifest()).unwrap();
    fs::write(setup.manifest(), &manifest[..manifest.len() - 1]).unwrap();
    assert_eq!(setup.convert(&[], &[&copy]), [0, 4, 0]);
    fs::remove_file(setup.message(1).path).unwrap();
    assert_eq!(setup.convert(&[], &[&one]), [0, 4, 0], "it was deleted after it was settled");
    setup.file("one", mbox(0..5));
    assert_eq!(setup.convert(&[], &[&one]), [1, 4, 0], "it was deleted after it was settled");
}

#[test]
fn a_duplicate_is_one_however_its_source_spells_it() {
    let shared =
        "From a@example.org Mon Mar  2 08:15:00 1998\nMessage-ID: <1@x>\nSubject: s\n\n>From me\nx\n\n";
    let cr = |mbox: &str| mbox.replace('\n', "\r");
    let crlf = |mbox: &str| mbox.replace('\n', "\r\n");
    type Spelling<'a> = &'a dyn Fn(&str) -> String;
    let cases: [(&str, Spelling<'_>, Spelling<'_>); 4] = [
        ("quoted in both", &str::to_owned, &str::to_owned),
        ("CRs only in both", &cr, &cr),
        ("CRs only in one", &cr, &str::to_owned),
        ("CRLF in one, made LF", &crlf, &str::to_owned),
    ];
    for option in ["--dedupe=content", "--dedupe=message-id"] {
        for (what, one, other) in &cases {
            for together in [true, false] {
                let setup = Setup::new();
                let one = setup.file("one", one(shared));
                let other = setup.file("other", other(&(mail(1) + "\n" + shared)));
                let options = [option, "--eol=lf"];
                if together {
                    assert_eq!(setup.convert(&options, &[&one, &other]), [2, 0, 1], "{what}, {option}");
                } else {
                    assert_eq!(setup.convert(&options, &[&one]), [1, 0, 0], "{what}, {option}");
                    assert_eq!(setup.convert(&options, &[&other]), [1, 0, 1], "{what}, {option}, then");
                }
                setup.restores(&one);
                setup.restores(&other);
            }
        }
    }
}

#[test]
fn a_duplicate_stays_one_after_a_kill_or_a_deletion() {
    // A duplicate in the same source, and in another one.
    for other in ["", "other"] {
        for (killed, again) in
            [(true, "--dedupe=content"), (false, "--dedupe=content"), (false, "--eol=keep")]
        {
            let setup = Setup::new();
            let twice = if other.is_empty() { mbox(0..3) + &mbox(0..3) } else { mbox(5..8) + &mbox(0..3) };
            if !other.is_empty() {
                setup.convert(&[], &[&setup.file(other, mbox(0..3))]);
            }
            let source = setup.file("inbox", &twice);
            assert_eq!(setup.convert(&["--dedupe=content"], &[&source]), [3, 0, 3]);
            let subjects = setup.subjects();
            if killed {
                let manifest = fs::read(setup.manifest()).unwrap();
                fs::write(setup.manifest(), &manifest[..manifest.len() - 1]).unwrap();
                let ours = if other.is_empty() { 1 } else { 6 };
                fs::remove_file(setup.message(ours).path).unwrap();
                assert_eq!(setup.convert(&[again], &[&source]), [1, 2, 3], "{other}");
                assert_eq!(setup.subjects(), subjects);
                setup.restores(&source);
            } else {
                fs::remove_file(setup.message(1).path).unwrap();
                setup.file("inbox", twice + &mbox(20..21));
                assert_eq!(setup.convert(&[again], &[&source]), [1, 3, 3], "{other}, {again}");
                assert!(!setup.subjects().contains(&"number 1".into()), "it was deleted");
            }
        }
    }
}

/// Mailboxes of all variants.
fn variants() -> Vec<(String, Vec<u8>)> {
    let plain = mbox(0..4);
    let pseudo = "From MAILER-DAEMON Mon Mar  2 08:00:00 1998\nFrom: Mail System Internal Data <MAILER-DAEMON@x>\n\
                  Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 0888826400 0000000002\n\
                  Status: RO\n\nThis text is part of the internal format of your mail folder.\n\n";
    let frame = "\x01\x01\x01\x01\n";
    let mut variants: Vec<(String, Vec<u8>)> = [
        ("plain", plain.clone()),
        ("CRLF", plain.replace('\n', "\r\n")),
        ("mixed line ends", plain.replace("text 1\n", "text 1\r\n").replace("text 2\n", "text\r2\r\r\n")),
        ("CR only", plain.replace('\n', "\r")),
        ("MMDF", [frame, &mail(0), frame, frame, &mail(1), frame, "\n", frame, &mail(3), frame].concat()),
        ("byte order mark", format!("\u{feff}{plain}")),
        ("junk", format!("lost\nand found\n\n{plain}")),
        ("doubled From_ line", format!("From ada@example.org Mon Mar  2 08:15:00 1998\n{plain}")),
        ("pseudo message", format!("{pseudo}{plain}")),
        ("no final newline", plain.trim_end().to_owned()),
        ("no blank line", mail(0) + &mail(3) + &mail(6)),
        ("blank tail", format!("{plain}\n\n\n")),
        ("deep quoting", plain.replace("\n>From", "\n>>>From a\n>>From b\n>From")),
        ("NULs", format!("{plain}\0\0\0\n")),
        ("identical messages", mail(3).repeat(3)),
        ("empty", String::new()),
    ]
    .map(|(what, mbox)| (what.to_owned(), mbox.into_bytes()))
    .into();
    variants.push((
        "8 bit".to_owned(),
        plain.replace("text", "Gr\u{fc}\u{df}e").chars().map(|c| c as u8).collect(),
    ));
    for name in ["inbox.mbox", "crlf.mbox", "mmdf.mbox", "broken.mbox"] {
        variants.push((name.to_owned(), fs::read(fixture(name)).unwrap()));
    }
    variants
}

#[track_caller]
fn is_restored(what: &str, mail: &[u8], prefix: &str) {
    for options in [&[][..], &["--eol=lf"], &["--eol=crlf"]] {
        let setup = Setup::new();
        let source = setup.file("source", mail);
        let mut named = OsString::from(prefix);
        named.push(&source);
        if setup.try_convert(options, &[Path::new(&named)]).code == Some(3) {
            assert!(!setup.maildir().exists(), "{what}");
            continue;
        }
        same(&setup.exact(&[]), mail, &format!("{what} {options:?}"));
        lines_cover_the_source(&fs::read_to_string(setup.manifest()).unwrap(), mail, what);
    }
}

/// Asserts that headers, messages and gaps cover the source without overlap. The code shares nothing with the
/// program.
#[track_caller]
fn lines_cover_the_source(manifest: &str, mail: &[u8], what: &str) {
    let lines: Vec<Value> = manifest.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (head, tail) = (&lines[0], lines.last().unwrap());
    assert_eq!((count(head, "section"), count(head, "size")), (1, mail.len() as u64), "{what}");
    assert_eq!(head["blake3"], blake3::hash(mail).to_hex().to_string(), "{what}");
    let text = |value: &Value| match value.as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None if value.is_null() => Vec::new(),
        None => BASE64.decode(value["base64"].as_str().unwrap().as_bytes()).unwrap(),
    };
    let separator = text(&head["separator"]);
    let (mut at, mut messages) = (0, 0);
    for line in &lines[1..lines.len() - 1] {
        let gap = line["bytes"].as_str().map(|bytes| BASE64.decode(bytes.as_bytes()).unwrap());
        let from = text(&line["from"]);
        let begins = count(line, "at") as usize - from.len();
        if at != begins {
            same(&mail[at..begins], &separator, what);
        }
        let until = |length: usize| begins + length;
        at = match gap {
            Some(bytes) => {
                same(&mail[begins..until(bytes.len())], &bytes, what);
                until(bytes.len())
            }
            None => {
                messages += 1;
                same(&mail[begins..until(from.len())], &from, what);
                let end = until(from.len()) + count(line, "len") as usize;
                let hash = blake3::hash(&mail[until(from.len())..end]);
                assert_eq!(line["source"], hash.to_hex().to_string(), "{what}");
                // The name comes from the hash and the From_ lines alone.
                let unique = blake3::hash(&[hash.as_bytes(), &from[..]].concat()).to_hex();
                let name = String::from_utf8(text(&line["name"])).unwrap();
                assert!(name.split('.').nth(1).unwrap().starts_with(&unique[..24]), "{what}: {name}");
                end
            }
        };
    }
    if at != mail.len() {
        same(&mail[at..], &separator, what);
    }
    assert_eq!((count(tail, "closes"), count(tail, "mail")), (1, messages), "{what}");
    let sums = ["bytes_messages", "bytes_from_lines", "bytes_quoting", "bytes_separators", "bytes_junk"];
    assert_eq!(sums.iter().map(|key| count(tail, key)).sum::<u64>(), mail.len() as u64, "{what}");
}

#[test]
fn every_make_of_mailbox_comes_back_byte_for_byte() {
    for (what, mail) in variants() {
        is_restored(&what, &mail, "");
        for prefix in ["mboxo:", "mboxrd:", "mboxcl2:", "rfc822:"] {
            is_restored(&format!("{what} as {prefix}"), &mail, prefix);
        }
    }
}

#[test]
fn every_hostile_mbox_comes_back_byte_for_byte() {
    let Some(hard) = shared("hard") else { return };
    let mut mboxes = 0;
    for entry in fs::read_dir(hard).unwrap() {
        let path = entry.unwrap().path();
        if path.extension() == Some("mbox".as_ref()) {
            is_restored(&path.display().to_string(), &fs::read(&path).unwrap(), "");
            mboxes += 1;
        }
    }
    assert!(mboxes > 20);
}

#[test]
fn a_source_comes_back_to_standard_output_and_never_over_a_file() {
    let setup = Setup::new();
    let source = setup.file("inbox", mbox(0..5));
    setup.convert(&[], &[&source]);
    let mut command = mailferry(["convert", "--exact"]);
    command.arg(setup.maildir()).arg("-");
    same(&run(command).exits(0).stdout, mbox(0..5).as_bytes(), "standard output");
    let back = setup.file("back", "precious");
    let refused = setup.try_exact(&[]).exits(3).complains(&["back", "--force"]);
    assert_eq!(refused.complaints(), ["destination-refused"]);
    assert_eq!(fs::read(&back).unwrap(), b"precious");
    same(&setup.exact(&["--force".as_ref()]), mbox(0..5).as_bytes(), "--force");
    assert_eq!(names(setup.scratch.path()), ["Maildir", "inbox"]);
}

#[test]
fn what_is_gone_or_changed_is_named_and_nothing_is_written() {
    let setup = Setup::new();
    let source = setup.file("inbox", mbox(0..10));
    setup.convert(&[], &[&source]);
    let (gone, longer, shorter, other) =
        (setup.message(1), setup.message(3), setup.message(4), setup.message(6));
    let flagged = setup.message(5);
    fs::remove_file(&gone.path).unwrap();
    fs::write(&longer.path, [&longer.bytes[..], b"more\n"].concat()).unwrap();
    fs::write(&shorter.path, b"").unwrap();
    fs::write(&other.path, String::from_utf8(other.bytes.clone()).unwrap().replace("text", "tExt")).unwrap();
    let base = flagged.name.split(":2,").next().unwrap();
    fs::rename(&flagged.path, setup.maildir().join("cur").join(format!("{base}:2,FT"))).unwrap();
    let refused = setup.try_exact(&[]).exits(3);
    let base = |message: &Message| message.name.split(":2,").next().unwrap().to_owned();
    for (message, code) in [
        (&gone, "message-gone"),
        (&longer, "message-changed"),
        (&shorter, "message-changed"),
        (&other, "message-changed"),
    ] {
        let findings = refused.findings();
        let named: Vec<_> =
            findings.iter().filter(|f| f["message"].as_str().unwrap().contains(&base(message))).collect();
        let [finding] = named[..] else { panic!("{code}: {named:?}") };
        assert_eq!((&finding["code"], &finding["severity"]), (&code.into(), &"error".into()));
    }
    let codes = ["destination-refused", "message-changed", "message-gone"];
    assert_eq!(refused.complaints(), codes, "and no more than these are named");
    assert_eq!(names(setup.scratch.path()), ["Maildir", "inbox"]);
    let mut command = mailferry(["convert", "--exact"]);
    command.arg(setup.maildir()).arg("-");
    assert_eq!(run(command).exits(3).text(), "");
}

#[test]
fn a_changed_message_is_restored_from_its_copy_in_a_folder() {
    let setup = Setup::new();
    let source = setup.file("inbox", mbox(0..5));
    setup.convert(&[], &[&source]);
    let [shorter, other] = [setup.message(1), setup.message(3)];
    let folder = setup.maildir().join(".Copies");
    ["cur", "new", "tmp"].iter().for_each(|name| fs::create_dir_all(folder.join(name)).unwrap());
    for message in [&shorter, &other] {
        let base = message.name.split(":2,").next().unwrap();
        fs::copy(&message.path, folder.join("cur").join(format!("{base}:2,S"))).unwrap();
    }
    let changed = String::from_utf8(other.bytes).unwrap().replace("text", "tExt");
    fs::write(&other.path, changed).unwrap();
    same(&setup.exact(&[]), mbox(0..5).as_bytes(), "of the same length");
    fs::write(&shorter.path, "A: 1\n\n").unwrap();
    same(&setup.exact(&[]), mbox(0..5).as_bytes(), "of another length");
    fs::remove_file(folder.join("cur").read_dir().unwrap().next().unwrap().unwrap().path()).unwrap();
    assert_eq!(setup.try_exact(&[]).exits(3).complaints(), ["destination-refused", "message-changed"]);
    assert_eq!(names(setup.scratch.path()), ["Maildir", "inbox"]);
}

#[test]
fn a_changed_byte_in_a_closed_section_is_detected() {
    let setup = Setup::new();
    let source = setup.file("inbox", mbox(0..5));
    setup.convert(&[], &[&source]);
    let manifest = fs::read(setup.manifest()).unwrap();
    let last_line = manifest[..manifest.len() - 1].iter().rposition(|&b| b == b'\n').unwrap();
    let closed = &manifest[..last_line];
    // The beginning, middle and end of each line; and in the footer, every digit of a sum.
    let ends: Vec<usize> = closed.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(n, _)| n).collect();
    let spots =
        ends.iter().flat_map(|&end| [end.saturating_sub(120), end - 30, end - 2, end]).collect::<Vec<_>>();
    let sums = manifest.iter().enumerate().skip(last_line).filter(|(_, b)| b.is_ascii_digit());
    let closes = last_line..last_line + 12;
    let spots = [spots, sums.map(|(n, _)| n).collect(), closes.collect()].concat();
    assert!(spots.len() > 50);
    for (n, at) in spots.into_iter().enumerate() {
        let mut changed = manifest.clone();
        changed[at] ^= 1;
        fs::write(setup.manifest(), &changed).unwrap();
        // The next run, with the source unchanged and grown.
        setup.file("inbox", mbox(0..if n % 2 == 0 { 5 } else { 6 }));
        let before = tree(&setup.maildir());
        let refused = setup.try_convert(&[], &[&source]);
        assert_eq!(refused.code, Some(3), "byte {at} of {}: {}", manifest.len(), refused.stderr);
        assert_eq!(refused.complaints(), ["manifest-damaged"], "byte {at}");
        assert!(refused.stderr.contains(MANIFEST), "{}", refused.stderr);
        assert!(tree(&setup.maildir()) == before, "byte {at}");
        let refused = setup.try_exact(&[]).exits(3);
        assert_eq!(refused.complaints(), ["manifest-damaged"], "byte {at}");
    }
}

#[test]
fn the_next_run_completes_a_torn_manifest() {
    let original = mbox(0..6);
    for deleted in [false, true] {
        for cut in [1, 30, 200, 700, 1200] {
            let setup = Setup::new();
            let source = setup.file("inbox", &original);
            setup.convert(&[], &[&source]);
            let manifest = fs::read(setup.manifest()).unwrap();
            fs::write(setup.manifest(), &manifest[..manifest.len() - cut]).unwrap();
            let before = mail_files(&setup.maildir());
            if deleted {
                fs::remove_file(setup.message(2).path).unwrap();
            }
            let unfinished = setup.try_exact(&[]).exits(3);
            assert_eq!(unfinished.complaints(), ["destination-refused"], "{}", unfinished.stderr);
            let written = u64::from(deleted);
            assert_eq!(setup.convert(&[], &[&source]), [written, 6 - written, 0], "cut by {cut}");
            let names = |files: Vec<(PathBuf, FileState)>| files.into_iter().map(|(p, l)| (p, l.digest));
            assert!(names(mail_files(&setup.maildir())).eq(names(before)), "cut by {cut}");
            same(&setup.exact(&[]), original.as_bytes(), "it is whole again");
        }
    }
}

#[test]
fn the_manifest_is_where_the_user_wants_it_or_absent() {
    let setup = Setup::new();
    let source = setup.file("inbox", mbox(0..5));
    assert_eq!(setup.convert(&["--no-manifest"], &[&source]), [5, 0, 0]);
    assert_eq!(names(&setup.maildir()), ["cur", "new", "tmp"]);
    assert_eq!(setup.convert(&["--no-manifest"], &[&source]), [0, 5, 0], "known by the names");
    setup.try_exact(&[]).exits(3).complains(&[MANIFEST]);

    let setup = Setup::new();
    let source = setup.file("inbox", mbox(0..5));
    let manifest = setup.path("elsewhere.manifest");
    let option = format!("--manifest={}", manifest.display());
    assert_eq!(setup.convert(&[&option], &[&source]), [5, 0, 0]);
    assert_eq!(names(&setup.maildir()), ["cur", "new", "tmp"]);
    lines_cover_the_source(&fs::read_to_string(&manifest).unwrap(), mbox(0..5).as_bytes(), "elsewhere");
    let before = tree(setup.scratch.path());
    assert_eq!(setup.convert(&[&option], &[&source]), [0, 5, 0]);
    assert!(tree(setup.scratch.path()) == before);
    fs::remove_file(setup.message(1).path).unwrap();
    setup.file("inbox", mbox(0..7));
    assert_eq!(setup.convert(&[&option], &[&source]), [2, 5, 0]);
    assert_eq!(setup.messages().len(), 6);
    setup.try_exact(&[option.as_ref()]).exits(3);
    setup.file("inbox", mbox(0..7).replacen(&(mail(1) + "\n"), "", 1));
    assert_eq!(setup.convert(&[&option], &[&source]), [0, 6, 0]);
    let got = setup.exact(&[option.as_ref()]);
    same(&got, &fs::read(&source).unwrap(), "elsewhere");
}

#[test]
fn nothing_of_a_killed_run_remains() {
    let setup = Setup::new();
    let source = setup.file("inbox", mbox(0..5));
    setup.convert(&[], &[&source]);
    let undisturbed = tree_alike(setup.scratch.path());
    // Messages of an earlier state of the source, and a new Maildir that was created meanwhile.
    let left = setup.maildir().join("tmp/888826400.0123456789abcdef01234567_2.mailferry,S=3,W=4");
    let stage = setup.path(".Maildir.mailferry-partial");
    let foreign = setup.maildir().join("tmp/888826400.M1P2.example,S=3,W=4");
    for grown in [false, true] {
        fs::write(&left, "cut").unwrap();
        fs::create_dir_all(stage.join("cur")).unwrap();
        fs::write(&foreign, "somebody delivers").unwrap();
        let end = if grown { 6 } else { 5 };
        setup.file("inbox", mbox(0..end));
        setup.convert(&[], &[&source]);
        assert!(!left.exists() && !stage.exists() && foreign.exists(), "{grown}");
        fs::remove_file(&foreign).unwrap();
        if !grown {
            let names = |tree: &std::collections::BTreeMap<PathBuf, FileState>| {
                tree.iter().map(|(path, state)| (path.clone(), state.digest.clone())).collect::<Vec<_>>()
            };
            assert_eq!(names(&tree_alike(setup.scratch.path())), names(&undisturbed));
        }
    }
}

/// Removes the footers of the last sections, and `lines` lines before them.
fn tear(manifest: &Path, lines: usize) {
    let text = fs::read_to_string(manifest).unwrap();
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    fs::write(manifest, all[..all.len() - lines].concat()).unwrap();
}

#[test]
fn a_manifest_elsewhere_never_lists_more_than_is_there() {
    let setup = Setup::new();
    let source = setup.file("inbox", mbox(0..5));
    let manifest = setup.path("manifest");
    let option = format!("--manifest={}", manifest.display());
    if have_strace() {
        // Killed when everything is written and nothing is visible.
        let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=renameat2"];
        let inject = ["-e", "inject=renameat2:signal=KILL:when=1", BINARY, "convert", "--lock=none"];
        let mut command = wrapped("exec \"$@\"", strace, inject);
        command.args([option.as_ref(), source.as_os_str(), setup.maildir().as_os_str()]);
        run(command);
        assert!(manifest.exists() && !setup.maildir().exists());
    }
    assert_eq!(setup.convert(&[&option], &[&source]), [5, 0, 0]);
    assert_eq!(setup.messages().len(), 5);
    // The manifest does not apply to another Maildir.
    let other = setup.path("Other");
    let mut command = convert_command(["--lock=none", &option]);
    command.args([&source, &other]);
    let refused = run(command).exits(3).complains(&[manifest.to_str().unwrap(), "Other"]);
    assert_eq!(refused.complaints(), ["destination-refused"]);
    assert!(!other.exists());
}

#[test]
fn a_manifest_elsewhere_is_locked_and_must_be_one() {
    let setup = Setup::new();
    let source = setup.file("inbox", mbox(0..5));
    let note = setup.file("note", "precious");
    let option = format!("--manifest={}", note.display());
    let refused = setup.try_convert(&[&option], &[&source]).exits(3);
    assert_eq!(refused.complaints(), ["manifest-damaged"]);
    assert_eq!(fs::read_to_string(&note).unwrap(), "precious");
    assert_eq!(names(setup.scratch.path()), ["inbox", "note"]);

    let manifest = setup.file("manifest", "");
    let option = format!("--manifest={}", manifest.display());
    let held = fs::File::open(&manifest).unwrap();
    held.lock().unwrap();
    let refused = setup.try_convert(&[&option, "--lock-timeout=1"], &[&source]).exits(3);
    assert_eq!(refused.complaints(), ["locked"]);
    assert_eq!(names(setup.scratch.path()), ["inbox", "manifest", "note"]);
    drop(held);
    assert_eq!(setup.convert(&[&option], &[&source]), [5, 0, 0]);
}

#[test]
fn a_foreign_stage_is_not_entered() {
    let setup = Setup::new();
    let source = setup.file("inbox", mbox(0..5));
    setup.convert(&[], &[&source]);
    let victim = setup.path("victim");
    fs::rename(setup.maildir(), &victim).unwrap();
    let before = tree(&victim);
    std::os::unix::fs::symlink(&victim, setup.path(".Maildir.mailferry-partial")).unwrap();
    let other = setup.file("other", mbox(7..9));
    setup.try_convert(&[], &[&other]).exits(3).complains(&[".Maildir.mailferry-partial"]);
    assert!(tree(&victim) == before && !setup.maildir().exists());
}

#[test]
fn what_one_source_left_unfinished_is_not_another_ones() {
    let setup = Setup::new();
    for subdir in ["tmp", "new", "cur"] {
        fs::create_dir_all(setup.maildir().join(subdir)).unwrap();
    }
    let (one, two) = (setup.file("one", mbox(0..5)), setup.file("two", mbox(0..5)));
    assert_eq!(setup.convert(&[], &[&one, &two]), [10, 0, 0]);
    // Killed before the last five were visible; both files were renamed since.
    tear(&setup.manifest(), 2);
    let gone: Vec<PathBuf> = setup.messages().into_iter().map(|m| m.path).step_by(2).collect();
    gone.iter().for_each(|path| fs::remove_file(path).unwrap());
    let (first, second) = (setup.path("first"), setup.path("second"));
    fs::rename(&one, &first).unwrap();
    fs::rename(&two, &second).unwrap();
    assert_eq!(setup.convert(&[], &[&first, &second]), [5, 5, 0]);
    assert_eq!(setup.messages().len(), 10);
    setup.restores(&first);
    setup.restores(&second);

    let setup = Setup::new();
    let one = setup.file("one", mbox(0..5));
    setup.convert(&[], &[&one]);
    tear(&setup.manifest(), 1);
    setup.message(2).path.to_str().map(fs::remove_file).unwrap().unwrap();
    let copy = setup.file("copy", mbox(0..5));
    assert_eq!(setup.convert(&[], &[&one, &copy]), [6, 4, 0]);
    assert_eq!(setup.messages().len(), 10);
}

#[test]
fn another_mailboxs_mail_does_not_replace_what_a_kill_left_out() {
    let setup = Setup::new();
    let source = setup.file("inbox", mbox(0..5));
    setup.convert(&[], &[&source]);
    setup.file("inbox", mbox(10..13) + &mbox(0..5));
    assert_eq!(setup.convert(&["--new-source"], &[&source]), [8, 0, 0]);
    let whole = content(&setup.maildir());
    tear(&setup.manifest(), 1);
    for message in setup.messages() {
        if message.unique.contains('_') {
            fs::remove_file(message.path).unwrap();
        }
    }
    assert_eq!(setup.convert(&["--new-source"], &[&source]), [5, 3, 0]);
    assert!(content(&setup.maildir()) == whole);
}

#[test]
fn a_grown_source_is_recognised_after_an_unfinished_one() {
    let setup = Setup::new();
    let (one, two) = (setup.file("one", mbox(0..5)), setup.file("two", mbox(10..15)));
    setup.convert(&[], &[&two]);
    setup.file("two", mbox(10..18));
    setup.convert(&[], &[&one, &two]);
    let manifest = fs::read(setup.manifest()).unwrap();
    // The footers, and all of the second section.
    tear(&setup.manifest(), 2 + 1 + 8);
    setup.convert(&[], &[&one, &two]);
    same(&fs::read(setup.manifest()).unwrap(), &manifest, "the manifest");
    setup.restores(&two);
}

#[test]
fn two_runs_that_make_one_maildir_both_have_their_mail_in_it() {
    if !have_strace() {
        return;
    }
    let setup = Setup::new();
    let (one, two) = (setup.file("one", mbox(0..50)), setup.file("two", mbox(100..150)));
    let stage = setup.path(".Maildir.mailferry-partial");
    let stop = |call: &str, path: Option<&Path>, source: &Path| {
        let maildir = setup.maildir();
        let args = ["convert".as_ref(), "--lock=none".as_ref(), "-j1".as_ref(), source.as_os_str()];
        Stopped::after(call, path, args.into_iter().chain([maildir.as_os_str()]), b"")
    };
    // The first run publishes after the second one has opened the same stage and before it locks it.
    let first = stop("syncfs:when=1", None, &one);
    let second = stop("fstat,fcntl:when=1", Some(&stage), &two);
    first.resume().exits(0);
    second.resume().exits(0);
    assert_eq!(setup.messages().len(), 100);
    setup.restores(&one);
    setup.restores(&two);
}

#[test]
fn a_tree_and_a_mailbox_into_one_new_maildir_are_both_complete() {
    if !have_strace() {
        return;
    }
    let setup = Setup::new();
    let source = setup.file("one", mbox(0..50));
    fs::create_dir(setup.path("Mail")).unwrap();
    fs::write(setup.path("Mail/Sent"), mbox(100..110)).unwrap();
    let stop = |call: &str, path: Option<&Path>, source: &Path| {
        let maildir = setup.maildir();
        let args = ["convert".as_ref(), "--lock=none".as_ref(), "-j1".as_ref(), source.as_os_str()];
        Stopped::after(call, path, args.into_iter().chain([maildir.as_os_str()]), b"")
    };
    // The tree has no INBOX, and finds that another run has begun the Maildir.
    let first = stop("syncfs:when=1", None, &source);
    let stage = setup.path(".Maildir.mailferry-partial");
    let second = stop("flock:when=1", Some(&stage), &setup.path("Mail"));
    first.resume().exits(0);
    second.resume().exits(0);
    assert_eq!(setup.messages().len(), 50);
    assert_eq!(messages(&setup.maildir().join(".Sent")).len(), 10);
    setup.restores(&source);
}

/// Creates the state after a kill with `lines` lines in the manifest: all messages are there, but those
/// without a line are cut short.
fn leave_stage(setup: &Setup, lines: usize) -> PathBuf {
    let stage = setup.path(".Maildir.mailferry-partial");
    fs::rename(setup.maildir(), &stage).unwrap();
    let manifest = fs::read(stage.join(MANIFEST)).unwrap();
    let listed: Vec<&[u8]> = manifest.split_inclusive(|&b| b == b'\n').take(lines).collect();
    let listed = listed.concat();
    fs::write(stage.join(MANIFEST), &listed).unwrap();
    let text = String::from_utf8(listed).unwrap();
    for message in messages(&stage) {
        if !text.contains(message.name.split(":2,").next().unwrap()) {
            fs::write(&message.path, "cut sho").unwrap();
        }
    }
    stage
}

/// Counts the messages that are the files of an earlier tree.
fn same_files(earlier: &[(PathBuf, FileState)], maildir: &Path) -> usize {
    let inodes: Vec<u64> = earlier.iter().map(|(_, state)| state.inode).collect();
    mail_files(maildir).iter().filter(|(_, state)| inodes.contains(&state.inode)).count()
}

#[test]
fn a_new_maildir_that_was_killed_while_it_grew_is_continued() {
    // Lines that were durable at the kill, and messages that a later run keeps: whole chunks of 64.
    for (lines, kept) in [(0, 0), (1, 0), (64, 0), (65, 64), (150, 128), (301, 300), (302, 300)] {
        let setup = Setup::new();
        let source = setup.file("inbox", mbox(0..300));
        setup.convert(&[], &[&source]);
        let undisturbed = tree_alike(setup.scratch.path());
        let before = mail_files(&setup.maildir());
        leave_stage(&setup, lines);
        assert_eq!(setup.convert(&["-v"], &[&source]), [300, 0, 0]);
        assert!(tree_alike(setup.scratch.path()) == undisturbed, "{lines} lines");
        assert_eq!(same_files(&before, &setup.maildir()), kept, "{lines} lines");
        setup.restores(&source);
    }
}

#[test]
fn a_run_continues_only_what_it_would_write_itself() {
    type Change<'a> = &'a dyn Fn(&Setup, &Path);
    let file = |stage: &Path, subject: &str| {
        messages(stage).into_iter().find(|m| m.subject() == subject).unwrap().path
    };
    let cases: [(&str, &[&str], usize, Change<'_>); 9] = [
        ("nothing", &[], 192, &|_, _| {}),
        ("other line ends", &["--eol=crlf"], 0, &|_, _| {}),
        ("another host", &["--host=here"], 0, &|_, _| {}),
        ("another separator", &["--info-sep=;"], 0, &|_, _| {}),
        ("no manifest", &["--no-manifest"], 0, &|_, _| {}),
        ("the source", &[], 0, &|setup, _| drop(setup.file("inbox", mbox(0..299)))),
        ("a line", &[], 64, &|_, stage| {
            let listed = fs::read_to_string(stage.join(MANIFEST)).unwrap();
            let mut lines: Vec<String> = listed.split_inclusive('\n').map(str::to_owned).collect();
            lines[100] = lines[100].replace("\"date\":\"from\"", "\"date\":\"mtime\"");
            fs::write(stage.join(MANIFEST), lines.concat()).unwrap();
        }),
        ("a file is gone", &[], 64, &|_, stage| fs::remove_file(file(stage, "number 100")).unwrap()),
        ("a file is short", &[], 128, &|_, stage| fs::write(file(stage, "number 128"), "cut").unwrap()),
    ];
    for (what, options, kept, change) in cases {
        let setup = Setup::new();
        let source = setup.file("inbox", mbox(0..300));
        let date = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        setup.convert(&[], &[&source]);
        let before = mail_files(&setup.maildir());
        let stage = leave_stage(&setup, 200);
        change(&setup, &stage);
        fs::write(stage.join("cur/stray"), "").unwrap();
        fs::File::open(&source).unwrap().set_modified(date).unwrap();
        setup.convert(options, &[&source]);
        assert_eq!(same_files(&before, &setup.maildir()), kept, "{what}");
        let got = tree_alike(setup.scratch.path());
        fs::remove_dir_all(setup.maildir()).unwrap();
        setup.convert(options, &[&source]);
        assert!(got == tree_alike(setup.scratch.path()), "{what}");
    }
}

#[test]
fn an_unfinished_section_is_continued_and_closed() {
    for existing in ["", "other"] {
        for lines in [0, 1, 20, 100, 201, 202] {
            let setup = Setup::new();
            for subdir in ["tmp", "new", "cur"] {
                fs::create_dir_all(setup.maildir().join(subdir)).unwrap();
            }
            if !existing.is_empty() {
                setup.convert(&[], &[&setup.file(existing, mbox(500..510))]);
            }
            let own = fs::read(setup.manifest()).unwrap_or_default();
            let (one, two) = (setup.file("one", mbox(0..100)), setup.file("two", mbox(200..300)));
            setup.convert(&[], &[&one, &two]);
            let undisturbed = mail_alike(&setup.maildir());
            let manifest = fs::read(setup.manifest()).unwrap();
            // Each third message is visible; the others were not published yet.
            let kept: Vec<&[u8]> =
                manifest[own.len()..].split_inclusive(|&b| b == b'\n').take(lines).collect();
            let torn = if lines < 202 { &b"{\"section\":1,"[..] } else { b"" };
            fs::write(setup.manifest(), [&own, &kept.concat(), torn].concat()).unwrap();
            for message in setup.messages() {
                let number: u32 = message.subject()[7..].parse().unwrap();
                if number < 500 && (lines < 202 || !number.is_multiple_of(3)) {
                    fs::remove_file(message.path).unwrap();
                }
            }
            setup.convert(&[], &[&one, &two]);
            assert!(mail_alike(&setup.maildir()) == undisturbed, "{lines} lines");
            same(&fs::read(setup.manifest()).unwrap(), &manifest, &format!("{existing}, {lines} lines"));
            setup.restores(&one);
            setup.restores(&two);
        }
    }
}

const KILLED: u32 = 3000;

/// Returns subdirectory, name and content of all messages.
fn content(maildir: &Path) -> Vec<(String, String)> {
    let all = messages(maildir).into_iter();
    all.map(|m| (format!("{}/{}", m.subdir, m.name), sha256(&m.bytes))).collect()
}

#[test]
fn a_source_that_grew_after_a_kill_is_completed() {
    let (mail, grown) = (many(KILLED), many(KILLED + 10));
    let undisturbed = Setup::new();
    undisturbed.convert(&[], &[&undisturbed.file("inbox", &grown)]);
    for part in [4, 6, 7] {
        let setup = Setup::new();
        let source = setup.file("inbox", &mail);
        setup.convert(&[], &[&setup.file("other", mbox(0..1))]);
        let mut command =
            convert_command(["--lock=none".as_ref(), source.as_os_str(), setup.maildir().as_os_str()]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let staged = || fs::read_dir(setup.maildir().join("tmp")).unwrap().count() as u32;
        let mut has_ended = || child.try_wait().unwrap().is_some();
        wait_for("a part of the messages", || staged() >= KILLED * part / 8 || has_ended());
        child.kill().unwrap();
        child.wait().unwrap();
        setup.file("inbox", &grown);
        setup.convert(&[], &[&source]);
        let expected = content(&undisturbed.maildir());
        let got = content(&setup.maildir());
        assert_eq!(got.len(), expected.len() + 1, "at {part}/8");
        assert!(expected.iter().all(|message| got.contains(message)), "at {part}/8");
        setup.restores(&source);
    }
}

#[test]
fn the_number_of_jobs_changes_nothing() {
    let setup = Setup::new();
    setup.file("one", many(900));
    setup.file("two", mbox(0..300));
    fs::write(setup.path("three"), fs::read(fixture("broken.mbox")).unwrap()).unwrap();
    let date = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for name in ["one", "two", "three"] {
        fs::File::open(setup.path(name)).unwrap().set_modified(date).unwrap();
    }
    let trees = ["-j1", "-j2", "-j7"].map(|jobs| {
        let mut command = convert_command([jobs, "--eol=crlf", "one", "two", "three", "Maildir"]);
        command.current_dir(setup.scratch.path());
        // The third one has junk.
        run(command).exits(1);
        let tree = tree_alike(&setup.maildir());
        fs::remove_dir_all(setup.maildir()).unwrap();
        tree
    });
    assert!(trees[0].contains_key(Path::new(MANIFEST)));
    assert!(trees.iter().all(|tree| *tree == trees[0]));
}

#[test]
fn one_file_by_two_names_is_one_source() {
    let setup = Setup::new();
    let one = setup.file("one", many(2));
    let [hard, soft] = ["hard", "soft"].map(|name| setup.path(name));
    fs::hard_link(&one, &hard).unwrap();
    std::os::unix::fs::symlink(&one, &soft).unwrap();
    for other in [&hard, &soft, &setup.path("./one")] {
        let mut command = convert_command(["--lock=none"]);
        command.args([&one, other, &setup.maildir()]);
        run(command).exits(2).complains(&["named twice"]);
        assert!(!setup.maildir().exists());
    }
}

/// The user may move messages between folders.
#[test]
fn a_source_comes_back_when_its_mail_was_moved_into_a_folder() {
    let setup = Setup::new();
    let source = setup.file("one", many(5));
    setup.convert(&[], &[&source]);
    let folder = setup.maildir().join(".Arch");
    ["tmp", "new", "cur"].iter().for_each(|name| fs::create_dir_all(folder.join(name)).unwrap());
    let message = setup.messages().remove(2);
    let path = setup.maildir().join(message.subdir).join(&message.name);
    fs::rename(path, folder.join("cur").join(&message.name)).unwrap();
    setup.restores(&source);
    let summary = setup.try_exact(&[]).exits(0).summary();
    for key in ["sources", "messages_found", "written", "bytes_source", "bytes_messages", "already_present"] {
        assert!(summary[key].is_u64(), "{key} in {summary}");
    }
}
