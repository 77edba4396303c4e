//! verify of trees. Converted to either layout and back, the same mail is in the same folders. A single fault
//! in one of two trees is reported under its code. Each mailbox of a tree is checked.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::*;

/// Folders by the path of their mbox, with the number of the first message and their count. There are INBOX
/// in another case, names that no layout can represent, an mbox next to a directory of its name, two that
/// differ only in case, one without mail, and a compressed one.
const FOLDERS: [(&str, u32, u32); 11] = [
    ("Inbox", 0, 7),
    ("Sent", 10, 4),
    ("Lists/v1.2 & others", 20, 3),
    ("Lists/cur", 30, 1),
    ("Lists.sbd/qmail", 40, 2),
    ("Entwürfe", 50, 1),
    ("work", 60, 3),
    ("Work", 70, 2),
    ("Trash", 0, 0),
    ("archive.mbox", 80, 5),
    ("~peter/.x.mbox", 90, 1),
];

/// Returns the messages of a folder, as an mbox.
fn text(first: u32, count: u32) -> String {
    (first..first + count).map(|n| mail(n) + "\n").collect()
}

/// Number of messages that are in folders as single files, such as `MH/1`: without a From_ line and quoting.
const ALONE: u32 = 3;

fn alone(n: u32) -> String {
    let whole = mail_with(100 + n, "Status: RO\n").replace("\n>From", "\nFrom");
    whole.split_once('\n').expect("a From_ line").1.to_owned()
}

struct Trees {
    scratch: tempfile::TempDir,
}

impl Trees {
    /// Creates a tree of mboxes.
    fn new() -> Trees {
        let trees = Trees { scratch: scratch() };
        for (folder, first, count) in FOLDERS {
            let path = trees.path("Mail").join(folder);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text(first, count)).unwrap();
        }
        fs::create_dir(trees.path("Mail/MH")).unwrap();
        for n in 0..ALONE {
            fs::write(trees.path("Mail/MH").join((n + 1).to_string()), alone(n)).unwrap();
        }
        trees
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Converts the tree to `name`, in this layout.
    fn converted(&self, layout: &str, name: &str) -> PathBuf {
        let path = self.path(name);
        let layout = format!("--layout={layout}");
        convert([OsStr::new("--lock=none"), layout.as_ref(), self.path("Mail").as_ref(), path.as_ref()]);
        path
    }
}

fn verify<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Run {
    let mut command = mailferry(["verify", "--json", "--lock=none"]);
    command.args(args);
    run(command)
}

/// Runs `verify HERE --against THERE`.
fn against(here: &Path, there: &Path, metadata: bool) -> Run {
    let metadata = metadata.then_some(OsStr::new("--metadata"));
    verify([here.as_os_str(), "--against".as_ref(), there.as_os_str()].into_iter().chain(metadata))
}

fn summary(run: &Run) -> Value {
    run.json().pop().expect("a summary")
}

/// Returns the number of messages in the whole tree.
fn total() -> u64 {
    FOLDERS.iter().map(|(_, _, count)| u64::from(*count)).sum::<u64>() + u64::from(ALONE)
}

#[track_caller]
fn same(here: &Path, there: &Path) {
    for metadata in [false, true] {
        let run = against(here, there, metadata).exits(0);
        assert_eq!(run.complaints(), [""; 0], "{}", run.text());
        let summary = summary(&run);
        assert_eq!(count(&summary, "same"), total(), "{summary}");
        assert_eq!(count(&summary, "sound"), 1, "{summary}");
    }
}

#[test]
fn a_tree_in_either_layout_and_back_is_the_same_mail() {
    let trees = Trees::new();
    let mail = trees.path("Mail");
    same(&mail, &mail);
    for layout in ["maildir++", "fs"] {
        let converted = trees.converted(layout, layout);
        same(&mail, &converted);
        same(&converted, &mail);
        let back = trees.path(&format!("back from {layout}"));
        fs::create_dir(&back).unwrap();
        convert([OsStr::new("--lock=none"), converted.as_ref(), format!("mbox:{}", back.display()).as_ref()]);
        same(&mail, &back);
        same(&converted, &back);
    }
    same(&trees.path("maildir++"), &trees.path("fs"));
    let summary = summary(&against(&mail, &trees.path("fs"), true));
    assert_eq!(count(&summary, "folders"), FOLDERS.len() as u64 + 1);
    let verdict = summary["verdict"].as_str().unwrap();
    let (mail, fs) = (mail.display(), trees.path("fs"));
    let want = format!("32 of 32 messages in 12 folders of {mail} are in {}, byte for byte", fs.display());
    assert!(verdict.starts_with(&want), "{verdict}");
}

/// An expected finding: its code, and the folder that it names.
type Expected = (&'static str, &'static str);
/// A fault in a tree of mboxes, made at its root.
type Fault = (&'static str, fn(&Path), &'static [Expected]);

/// Replaces the first `from` in a file.
fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from));
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

fn append(path: &Path, text: &str) {
    fs::write(path, fs::read_to_string(path).unwrap() + text).unwrap();
}

/// An mbox whose first line is not a From_ line any more.
const SPOILED: &str = "BABYL OPTIONS: -*- rmail -*-\n";

const FAULTS: &[Fault] = &[
    (
        "a message is dropped",
        |root| edit(&root.join("Sent"), &(mail(11) + "\n"), ""),
        &[("message-missing", "Sent")],
    ),
    (
        "a message is added",
        |root| append(&root.join("Sent"), &(mail(700) + "\n")),
        &[("message-extra", "Sent")],
    ),
    (
        "a message lies there twice",
        |root| append(&root.join("Sent"), &(mail(11) + "\n")),
        &[("message-extra", "Sent")],
    ),
    (
        "a byte is changed",
        |root| edit(&root.join("Lists/cur"), "text 30", "text 3O"),
        &[("message-differs", "Lists/cur")],
    ),
    (
        "a byte of a message by itself is changed",
        |root| edit(&root.join("MH/2"), "text 101", "text l01"),
        &[("message-differs", "MH")],
    ),
    (
        "a message is moved to another folder",
        |root| {
            edit(&root.join("Sent"), &(mail(11) + "\n"), "");
            append(&root.join("Work"), &(mail(11) + "\n"));
        },
        &[("folder-differs", "Sent")],
    ),
    (
        "a message is moved from a folder whose name differs only in case",
        |root| {
            edit(&root.join("work"), &(mail(61) + "\n"), "");
            append(&root.join("Work"), &(mail(61) + "\n"));
        },
        &[("folder-differs", "work")],
    ),
    (
        "a message is copied to another folder",
        |root| append(&root.join("Work"), &(mail(11) + "\n")),
        &[("message-extra", "Work")],
    ),
    (
        "a folder is dropped",
        |root| fs::remove_file(root.join("Work")).unwrap(),
        &[("folder-missing", "Work"), ("message-missing", "Work"), ("message-missing", "Work")],
    ),
    (
        "a folder without mail is dropped",
        |root| fs::remove_file(root.join("Trash")).unwrap(),
        &[("folder-empty", "Trash")],
    ),
    (
        "a folder is added",
        |root| fs::write(root.join("New"), text(700, 1)).unwrap(),
        &[("folder-extra", "New"), ("message-extra", "New")],
    ),
    (
        "a folder is renamed",
        |root| fs::rename(root.join("archive.mbox"), root.join("Lists/2001")).unwrap(),
        &[("folder-missing", "archive"), ("folder-extra", "Lists/2001")],
    ),
    (
        "a folder is merged into another one",
        |root| {
            append(&root.join("Sent"), &text(80, 5));
            fs::remove_file(root.join("archive.mbox")).unwrap();
        },
        &[("folder-missing", "archive")],
    ),
    (
        "a folder is split",
        |root| {
            fs::write(root.join("Lists/a"), text(80, 2)).unwrap();
            fs::write(root.join("Lists/b"), text(82, 2)).unwrap();
            fs::remove_file(root.join("archive.mbox")).unwrap();
        },
        &[
            ("folder-missing", "archive"),
            ("message-missing", "archive"),
            ("folder-extra", "Lists/a"),
            ("folder-extra", "Lists/b"),
        ],
    ),
    (
        "flags are changed",
        |root| edit(&root.join("Sent"), "Status: RO\n", "Status: O\n"),
        &[("flags-differ", "Sent"), ("fields-differ", "Sent")],
    ),
    (
        "an mbox is spoiled",
        |root| fs::write(root.join("Work"), SPOILED).unwrap(),
        &[
            ("folder-missing", "Work"),
            ("message-missing", "Work"),
            ("message-missing", "Work"),
            // It may be an mbox with a damaged first line.
            ("tree-mail-skipped", ""),
        ],
    ),
];

/// Codes that are reported only when metadata is compared.
const METADATA: [&str; 2] = ["flags-differ", "fields-differ"];
/// Codes that are not errors.
const WARNINGS: [&str; 2] = ["folder-empty", "fields-differ"];

/// Returns the code that the other side of a comparison reports.
fn turned(code: &str) -> &str {
    match code {
        "message-missing" => "message-extra",
        "message-extra" => "message-missing",
        "folder-missing" => "folder-extra",
        "folder-extra" => "folder-missing",
        code => code,
    }
}

/// Returns the reported codes and folders, sorted.
fn reported(run: &Run) -> Vec<(String, String)> {
    let findings = run.findings().into_iter().filter(|finding| finding["severity"] != "info");
    let word = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let mut reported: Vec<_> = findings.map(|f| (word(&f, "code"), word(&f, "folder"))).collect();
    reported.sort();
    reported
}

#[test]
fn any_single_fault_in_a_tree_is_found_under_its_name() {
    let trees = Trees::new();
    let mail = trees.path("Mail");
    let layouts = ["maildir++", "fs"].map(|layout| trees.converted(layout, layout));
    let copy = trees.path("copy");
    let mut seen = BTreeSet::new();
    for (how, fault, want) in FAULTS {
        let cp = std::process::Command::new("cp").arg("-a").args([&mail, &copy]).status().unwrap();
        assert!(cp.success());
        fault(&copy);
        for converted in [&mail].into_iter().chain(&layouts) {
            for (metadata, turn) in [(false, false), (true, false), (true, true)] {
                let run = if turn {
                    against(&copy, converted, metadata)
                } else {
                    against(converted, &copy, metadata)
                };
                let want = want.iter().filter(|(code, _)| metadata || !METADATA.contains(code));
                let mut want: Vec<(String, String)> = want
                    .map(|(code, folder)| {
                        (if turn { turned(code) } else { code }.to_owned(), folder.to_string())
                    })
                    .collect();
                if turn {
                    // A moved message is reported with the folder on this side.
                    want.iter_mut()
                        .filter(|reported| reported.0 == "folder-differs")
                        .for_each(|reported| reported.1 = "Work".into());
                }
                want.sort();
                let what = format!(
                    "{how}; {}, metadata {metadata}, turned {turn}: {}",
                    converted.display(),
                    run.text()
                );
                assert_eq!(reported(&run), want, "{what}");
                let is_error = want.iter().any(|(code, _)| !WARNINGS.contains(&code.as_str()));
                assert_eq!(run.code, Some(i32::from(is_error)), "{what}");
                let is_lost = want.iter().any(|(code, _)| is_error && !METADATA.contains(&code.as_str()));
                assert_eq!(count(&summary(&run), "sound"), u64::from(!is_lost), "{what}");
                seen.extend(want.into_iter().map(|reported| reported.0));
            }
        }
        fs::remove_dir_all(&copy).unwrap();
    }
    assert_eq!(seen.len(), 10, "each kind of difference was among them: {seen:?}");
}

/// A fault in a tree of Maildirs. The function maps a folder's name to its directory in an `fs` layout.
type MaildirFault = (&'static str, fn(&dyn Fn(&str) -> PathBuf), &'static [Expected]);

fn first(maildir: &Path) -> PathBuf {
    messages(maildir).remove(0).path
}

const MAILDIR_FAULTS: &[MaildirFault] = &[
    ("a file is removed", |at| fs::remove_file(first(&at("Work"))).unwrap(), &[("message-missing", "Work")]),
    ("a byte is changed", |at| edit(&first(&at("Work")), "text", "t3xt"), &[("message-differs", "Work")]),
    (
        "a flag is set",
        |at| {
            let file = first(&at("Work"));
            let name = file.file_name().unwrap().to_str().unwrap();
            let epoch = name.split('.').next().unwrap();
            fs::rename(&file, file.with_file_name(format!("{epoch}.new.name:2,FS"))).unwrap();
        },
        &[("flags-differ", "Work")],
    ),
    (
        "a file is moved",
        |at| {
            let file = first(&at("Work"));
            let place = file.parent().unwrap().file_name().unwrap();
            fs::rename(&file, at("Trash").join(place).join(file.file_name().unwrap())).unwrap();
        },
        &[("folder-differs", "Work")],
    ),
    (
        "a folder is removed",
        |at| fs::remove_dir_all(at("Work")).unwrap(),
        &[("folder-missing", "Work"), ("message-missing", "Work"), ("message-missing", "Work")],
    ),
    (
        "a folder without mail is removed",
        |at| fs::remove_dir_all(at("Trash")).unwrap(),
        &[("folder-empty", "Trash")],
    ),
    (
        "a folder is renamed",
        |at| fs::rename(at("Work"), at("Play")).unwrap(),
        &[("folder-missing", "Work"), ("folder-extra", "Play")],
    ),
    (
        "the list of names is lost",
        |at| {
            for root in [at("Work").parent().unwrap(), &at("")] {
                let _ = fs::remove_file(root.join("mailferry.folders"));
            }
        },
        &[("folder-missing", "work"), ("folder-extra", "work (2)")],
    ),
];

#[test]
fn any_single_fault_in_a_tree_of_maildirs_has_its_code() {
    let trees = Trees::new();
    let mail = trees.path("Mail");
    for (layout, prefix) in [("maildir++", "."), ("fs", "")] {
        let (converted, copy) = (trees.converted(layout, layout), trees.path("copy"));
        for (how, fault, want) in MAILDIR_FAULTS {
            let cp = std::process::Command::new("cp").arg("-a").args([&converted, &copy]).status().unwrap();
            assert!(cp.success());
            fault(&|name| copy.join(format!("{prefix}{name}")));
            for metadata in [false, true] {
                let run = against(&mail, &copy, metadata);
                let want = want.iter().filter(|(code, _)| metadata || !METADATA.contains(code));
                let mut want: Vec<_> =
                    want.map(|(code, folder)| (code.to_string(), folder.to_string())).collect();
                want.sort();
                let what = format!("{layout}: {how}, metadata {metadata}: {}", run.text());
                assert_eq!(reported(&run), want, "{what}");
                let is_error = want.iter().any(|(code, _)| !WARNINGS.contains(&code.as_str()));
                assert_eq!(run.code, Some(i32::from(is_error)), "{what}");
            }
            fs::remove_dir_all(&copy).unwrap();
        }
    }
}

#[test]
fn mailboxes_of_one_name_are_one_folder() {
    let scratch = scratch();
    let (mail, converted) = (scratch.path().join("Mail"), scratch.path().join("Maildir"));
    fs::create_dir(&mail).unwrap();
    fs::write(mail.join("archive"), text(0, 3)).unwrap();
    fs::write(mail.join("archive.mbox"), text(2, 3)).unwrap();
    fs::write(mail.join("archive.txt"), text(10, 1)).unwrap();
    convert([OsStr::new("--lock=none"), mail.as_ref(), converted.as_ref()]);
    let run = against(&mail, &converted, true).exits(0);
    assert_eq!((run.complaints(), count(&summary(&run), "same")), (vec![], 7));
    fs::remove_file(first(&converted.join(".archive (2)"))).unwrap();
    let run = against(&mail, &converted, true).exits(1);
    assert_eq!(reported(&run), [("message-missing".into(), "archive".into())]);
}

#[test]
fn moved_messages_and_renamed_folders_are_recognised() {
    let trees = Trees::new();
    let converted = trees.converted("maildir++", "Maildir");
    fs::rename(converted.join(".Sent"), converted.join(".Gone out")).unwrap();
    let moved = messages(&converted.join(".archive")).remove(0);
    fs::rename(&moved.path, converted.join(".Work/cur").join(&moved.name)).unwrap();
    let run = against(&trees.path("Mail"), &converted, false).exits(1);
    let finding = |code: &str| run.findings().into_iter().find(|finding| finding["code"] == code).unwrap();
    let reported = finding("folder-differs");
    assert_eq!((&reported["folder"], &reported["other_folder"]), (&"archive".into(), &"Work".into()));
    assert_eq!(reported["subject"], "number 80");
    assert!(reported["other_path"].as_str().unwrap().contains("/.Work/cur/"), "{reported}");
    let message = finding("folder-missing")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("the folder Sent, with 4 messages, is not in "), "{message}");
    assert!(message.ends_with("; all of its mail is in Gone out there"), "{message}");
    let summary = summary(&run);
    for (key, want) in [
        ("moved", 5),
        ("missing", 0),
        ("extra", 0),
        ("folders_missing", 1),
        ("folders_extra", 1),
        ("same", total() - 5),
    ] {
        assert_eq!(count(&summary, key), want, "{key}: {summary}");
    }
    let verdict = summary["verdict"].as_str().unwrap();
    assert!(verdict.contains("; 5 are in another folder; 1 folder is missing; "), "{verdict}");
    assert!(verdict.ends_with(" has 1 folder more."), "{verdict}");
}

#[test]
fn a_message_moved_within_a_tree_is_not_gone() {
    let trees = Trees::new();
    for layout in ["maildir++", "fs"] {
        let (tree, prefix) = (trees.converted(layout, layout), if layout == "fs" { "" } else { "." });
        let at = |name: &str| tree.join(format!("{prefix}{name}"));
        for dir in ["Mine", "Mine/cur", "Mine/new", "Mine/tmp"] {
            fs::create_dir(at(dir)).unwrap();
        }
        // A mail reader keeps the name, and an IMAP server gives a new one.
        let moves = [
            ("Work", "Sent", "kept"),
            ("Sent", "Work", "1104746400.M1P1.host"),
            ("archive", "Mine", "kept"),
            ("archive", "Mine", "1104746401.M2P1.host"),
        ];
        for (from, to, name) in moves {
            let message = messages(&at(from)).remove(0);
            let name = if name == "kept" { message.base() } else { name };
            fs::rename(&message.path, at(to).join("cur").join(format!("{name}:2,S"))).unwrap();
        }
        let run = verify([&tree]).exits(0);
        let codes = |code: &str| run.findings().iter().filter(|f| f["code"] == code).count();
        assert_eq!(codes("message-moved"), moves.len(), "{layout}: {}", run.text());
        let other: Vec<String> =
            run.complaints().into_iter().filter(|code| code != "maildir-no-marker").collect();
        assert_eq!(other, [""; 0], "{layout}: {}", run.text());
        assert_eq!(count(&summary(&run), "gone"), 0, "{layout}");
        let gone = messages(&at("Sent")).remove(0);
        fs::remove_file(&gone.path).unwrap();
        let run = verify([&tree]).exits(1);
        assert_eq!(count(&summary(&run), "gone"), 1, "{layout}: {}", run.text());
    }
}

#[test]
fn what_could_not_be_read_is_never_called_the_same() {
    let trees = Trees::new();
    let (mail, converted) = (trees.path("Mail"), trees.converted("fs", "fs"));
    let away = trees.path("away");
    fs::write(&away, text(500, 1)).unwrap();
    std::os::unix::fs::symlink(&away, mail.join("linked")).unwrap();
    let run = against(&mail, &converted, false).exits(1);
    assert_eq!(run.complaints(), ["tree-mail-skipped"]);
    let summary = summary(&run);
    let verdict = summary["verdict"].as_str().unwrap();
    assert!(verdict.ends_with("; mail may be in 1 file that was not read."), "{verdict}");
    assert_eq!(count(&summary, "sound"), 0);
}

#[test]
fn an_unreadable_folder_does_not_stop_the_comparison() {
    let trees = Trees::new();
    let (mail, converted) = (trees.path("Mail"), trees.converted("fs", "fs"));
    let file = messages(&converted.join("Sent")).remove(0).path;
    // A file that even root cannot read.
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(&file, &file).unwrap();
    let run = against(&mail, &converted, false).exits(3);
    let failed = run.findings().into_iter().find(|finding| finding["code"] == "io-error").unwrap();
    assert_eq!((&failed["folder"], &failed["path"]), (&"Sent".into(), &file.to_str().unwrap().into()));
    let summary = summary(&run);
    assert!(summary["verdict"].as_str().unwrap().ends_with("; 1 folder could not be compared."), "{summary}");
    assert_eq!((count(&summary, "same"), count(&summary, "sound")), (total() - 4, 0));
}

#[test]
fn one_mailbox_is_compared_with_all_folders_together() {
    let trees = Trees::new();
    let (mail, one) = (trees.path("Mail"), trees.path("one"));
    convert([OsStr::new("--lock=none"), "--into=INBOX".as_ref(), mail.as_ref(), one.as_ref()]);
    for (here, there) in [(&mail, &one), (&one, &mail)] {
        let run = against(here, there, true).exits(0);
        assert_eq!(count(&summary(&run), "same"), total());
    }
    let lost = messages(&one).remove(0).path;
    fs::remove_file(lost).unwrap();
    assert_eq!(reported(&against(&mail, &one, false).exits(1)), [("message-missing".into(), String::new())]);
}

#[test]
fn mapped_folders_are_found_with_the_same_options() {
    let trees = Trees::new();
    let (mail, converted) = (trees.path("Mail"), trees.path("Maildir"));
    let map = ["--map=Sent=Gone out", "--map=Lists=Lists/all", "--map=archive=work"].map(OsStr::new);
    let other = [mail.as_os_str(), converted.as_os_str()];
    convert([OsStr::new("--lock=none")].into_iter().chain(map).chain(other));
    let against = ["--against".as_ref(), converted.as_os_str(), mail.as_os_str()];
    let run = verify(against.into_iter().chain(map)).exits(0);
    assert_eq!((run.complaints(), count(&summary(&run), "same")), (vec![], total()));
    let run = verify(against).exits(1);
    let all = reported(&run);
    assert!(all.contains(&("folder-missing".into(), "Sent".into())), "{all:?}");
    assert!(all.contains(&("folder-extra".into(), "Gone out".into())), "{all:?}");
    // Also into one folder among others.
    let into = [OsStr::new("--into=Old/mail")];
    let there = trees.path("there");
    convert([OsStr::new("--lock=none")].into_iter().chain(into).chain([mail.as_os_str(), there.as_os_str()]));
    let run =
        verify(into.into_iter().chain(["--against".as_ref(), there.as_os_str(), mail.as_os_str()])).exits(0);
    assert_eq!((run.complaints(), count(&summary(&run), "same")), (vec![], total()));
    // Without a comparison these options are a usage error.
    verify([into[0], mail.as_os_str()]).exits(2);
}

#[test]
fn a_tree_without_a_mailbox_is_refused() {
    let scratch = scratch();
    let (empty, other) = (scratch.path().join("empty"), scratch.path().join("other"));
    fs::create_dir(&empty).unwrap();
    fs::create_dir(&other).unwrap();
    fs::write(other.join("box"), text(0, 1)).unwrap();
    for run in [verify([&empty]), against(&empty, &other, false), against(&other, &empty, false)] {
        let run = run.exits(3);
        assert_eq!(run.complaints(), ["not-a-mailbox"]);
    }
}

#[test]
fn every_mailbox_of_a_tree_is_checked() {
    let trees = Trees::new();
    let mail = trees.path("Mail");
    let sound = |root: &Path, mailboxes: u64| {
        let run = verify([root]).exits(0);
        assert_eq!(run.complaints(), [""; 0], "{}", run.text());
        let summary = summary(&run);
        assert_eq!((count(&summary, "messages_found"), count(&summary, "sound")), (total(), 1), "{summary}");
        let verdict = summary["verdict"].as_str().unwrap().to_owned();
        let want = format!("No damage found in {mailboxes} mailboxes in {}; 32 messages, ", root.display());
        assert!(verdict.starts_with(&want), "{verdict}");
    };
    sound(&mail, 12);
    let fs_layout = trees.converted("fs", "fs");
    sound(&fs_layout, 12);
    // As one Maildir: its list of folder names is not a foreign file.
    let plus = trees.converted("maildir++", "Maildir");
    assert!(plus.join("mailferry.folders").exists());
    let run = verify([&plus]).exits(0);
    assert_eq!(run.complaints(), [""; 0], "{}", run.text());

    // A directory with all three: the folders in a Maildir are checked with it, and only once.
    let run = verify([trees.scratch.path()]).exits(0);
    assert_eq!(count(&summary(&run), "messages_found"), 3 * total());
    let verdict = summary(&run)["verdict"].to_string();
    assert!(verdict.starts_with("\"No damage found in 25 mailboxes in "), "{verdict}");

    for (root, fault) in [
        (&mail, ("Sent", "message-header-cut")),
        (&mail, ("MH/2", "mbox-header-cut")),
        (&fs_layout, ("work (2)/tmp", "maildir-no-directory")),
    ] {
        let (place, code) = fault;
        let place = root.join(place);
        if code == "maildir-no-directory" {
            fs::remove_dir_all(&place).unwrap();
            let run = verify([root]).exits(1);
            assert_eq!(run.complaints(), [code], "{}", run.text());
            assert_eq!(count(&summary(&run), "sound"), 0);
            let run = verify([OsStr::new("--repair"), root.as_ref()]).exits(0);
            assert_eq!(count(&summary(&run), "repairs"), 1);
            assert!(place.is_dir());
        } else {
            fs::write(&place, fs::read_to_string(&place).unwrap().split_at(80).0).unwrap();
            let run = verify([root]);
            let found = run
                .findings()
                .into_iter()
                .find(|f| f["path"] == place.to_str().unwrap() && f["severity"] != "info");
            assert!(found.is_some(), "{}", run.text());
        }
    }
}

#[test]
fn a_lost_folder_name_is_reported() {
    let trees = Trees::new();
    for (layout, prefix) in [("maildir++", "."), ("fs", "")] {
        let converted = trees.converted(layout, layout);
        let renamed = converted.join(format!("{prefix}work (2)"));
        assert!(renamed.is_dir(), "{:?}", paths(&converted));
        fs::remove_dir_all(renamed).unwrap();
        let run = verify([&converted]).exits(1);
        let reported: Vec<Value> =
            run.findings().into_iter().filter(|f| f["code"] == "folder-gone").collect();
        assert_eq!(reported.len(), 1, "{}", run.text());
        assert_eq!(reported[0]["path"], converted.join("mailferry.folders").to_str().unwrap());
        assert!(reported[0]["message"].as_str().unwrap().ends_with("it was named work"), "{}", reported[0]);
        // A damaged list gives no names. It is reported, and the rest is compared.
        fs::write(converted.join("mailferry.folders"), "{\"directory\":").unwrap();
        let run = verify([&converted]);
        assert!(run.complaints().contains(&"manifest-damaged".to_owned()), "{}", run.text());
        assert_ne!(run.code, Some(0));
        let run = against(&trees.path("Mail"), &converted, false).exits(1);
        assert!(run.complaints().contains(&"tree-mail-skipped".to_owned()), "{}", run.text());
    }
}

#[test]
fn an_invalid_mailbox_does_not_stop_the_check() {
    let trees = Trees::new();
    let mail = trees.path("Mail");
    fs::write(mail.join("Sent"), SPOILED).unwrap();
    let run = verify([&mail]).exits(1);
    assert_eq!(run.complaints(), ["tree-mail-skipped"]);
    let summary = summary(&run);
    assert_eq!((count(&summary, "messages_found"), count(&summary, "sound")), (total() - 4, 0));
    let verdict = summary["verdict"].as_str().unwrap();
    assert!(verdict.contains(": 11 without damage; "), "{verdict}");
    assert!(verdict.ends_with("; mail may be in 1 file that was not read."), "{verdict}");
}

/// Of several copies of a message, those match that have the same metadata on both sides.
#[test]
fn copies_are_compared_with_those_that_have_their_dates() {
    let scratch = scratch();
    let [source, maildir, back] = ["in", "Maildir", "back"].map(|name| scratch.path().join(name));
    let copy = |day: u32, status: &str| {
        format!("From a@b Mon Jan  {day} 10:00:00 2001\nSubject: x\n{status}\nbody\n\n")
    };
    fs::write(&source, copy(2, "Status: R\n") + &copy(1, "X-Status: F\n") + &copy(3, "")).unwrap();
    convert([&source, &maildir]);
    let named = format!("mboxcl2:{}", back.display());
    convert([maildir.as_os_str(), named.as_ref()]);
    against(&maildir, &back, true).exits(0);
}

#[test]
fn a_repair_that_fails_does_not_stop_the_others() {
    if !have_strace() {
        return;
    }
    let scratch = scratch();
    let (root, log) = (scratch.path().join("Mail"), scratch.path().join("log"));
    let broken = ["a", "b", "c", "d"];
    let of_broken = broken.iter().flat_map(|name| ["cur", "new"].map(|part| format!("{name}/{part}")));
    let of_intact = ["cur", "new", "tmp"].map(|part| format!("intact/{part}"));
    for directory in of_broken.chain(of_intact) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root.join(directory)).unwrap();
    }
    fs::write(root.join("intact/cur/1104746400.M1.host:2,"), mail(1).split_once('\n').unwrap().1).unwrap();
    let strace = ["strace", "-f", "-qq", "-o", log.to_str().unwrap(), "-e", "trace=mkdirat,openat"];
    let program = strace.into_iter().chain(["-e", "inject=mkdirat:error=EIO:when=1", BINARY]);
    let run =
        run(wrapped("exec \"$@\"", program, ["verify", "--json", "--repair", "-j1", root.to_str().unwrap()]));
    let run = run.exits(3);
    let paths_of = |code: &str| -> Vec<String> {
        let findings = run.findings().into_iter().filter(|finding| finding["code"] == code);
        findings.map(|finding| finding["path"].as_str().unwrap().to_owned()).collect()
    };
    let tmp = |name: &str| root.join(name).join("tmp").to_str().unwrap().to_owned();
    assert_eq!(paths_of("repair-done"), broken[1..].iter().map(|name| tmp(name)).collect::<Vec<_>>());
    assert_eq!(paths_of("io-error"), [tmp("a")]);
    assert_eq!(broken.map(|name| root.join(name).join("tmp").is_dir()), [false, true, true, true]);
    // Without a manifest only what was repaired is read again.
    let log = fs::read_to_string(log).unwrap();
    assert_eq!(log.matches("1104746400.M1.host").count(), 1);
}
