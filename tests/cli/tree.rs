//! Conversion of a whole tree of mail in one command: every mailbox in it becomes a folder, of any mail
//! program, and what is skipped is named.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::corpus;
use crate::random_kills::RandomKills;
use crate::support::*;

const NOBODY: u32 = 65534;

/// A tree of mail in a scratch directory.
struct Tree(TempDir);

impl Tree {
    fn new() -> Tree {
        let tree = Tree(scratch());
        fs::create_dir(tree.root()).unwrap();
        tree
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("Mail")
    }

    fn out(&self) -> PathBuf {
        self.0.path().join("Out")
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> &Tree {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Adds an mbox with the messages of these numbers.
    fn mbox(&self, name: &str, numbers: std::ops::Range<u32>) -> &Tree {
        self.put(name, numbers.map(|n| mail_with(n, "Status: RO\n")).collect::<String>())
    }

    fn maildir(&self, name: &str, mail: &[(&str, u32)]) -> &Tree {
        for directory in ["tmp", "new", "cur"] {
            fs::create_dir_all(self.root().join(name).join(directory)).unwrap();
        }
        for (file, n) in mail {
            self.put(&format!("{name}/{file}"), format!("Subject: message {n}\n\nbody {n}\n"));
        }
        self
    }

    fn convert(&self, options: &[&str]) -> Run {
        self.convert_to(options, self.out().to_str().unwrap())
    }

    fn convert_to(&self, options: &[&str], to: &str) -> Run {
        let (root, mut args) = (self.root(), Vec::new());
        args.extend(options);
        args.extend([root.to_str().unwrap(), to]);
        run(convert_command(args))
    }
}

/// Returns the folders of the summary with their message counts.
fn folders(run: &Run) -> BTreeMap<String, u64> {
    let table = run.summary()["table"].as_array().unwrap().clone();
    let row = |row: &Value| (row["folder"].as_str().unwrap().to_owned(), count(row, "messages_found"));
    table.iter().map(row).collect()
}

/// Returns the files of the findings of a code, without the directory before `Mail/`.
fn found(run: &Run, code: &str) -> BTreeSet<String> {
    let of_code = run.findings().into_iter().filter(|finding| finding["code"] == code);
    of_code
        .map(|finding| {
            let path = finding["path"].as_str().unwrap();
            path.split_once("/Mail/").map_or(path, |(_, path)| path).to_owned()
        })
        .collect()
}

/// Creates a tree with mail of every mail program.
fn everything() -> Tree {
    let tree = Tree::new();
    let long = "long ".repeat(48);
    tree.mbox("INBOX", 0..3).mbox("Inbox", 3..5).mbox("inbox", 5..6);
    // Thunderbird
    tree.mbox("Inbox.sbd/Entwürfe", 10..12)
        .mbox("Inbox.sbd/a.sbd/b.sbd/c", 12..13)
        .put("Inbox.msf", "// <!-- <mdb:mork");
    // Apple Mail, pipermail, MMDF, pine
    tree.mbox("Apple.mbox/mbox", 20..22).put("Apple.mbox/table_of_contents", "");
    let frame = "\x01\x01\x01\x01\n";
    tree.put("mmdf", format!("{frame}Subject: message 23\n\nbody 23\n{frame}"));
    tree.put("lists/2005-November.txt.gz", gzip(&many(4)));
    tree.mbox("mail/saved-messages", 30..32).mbox("mail/v1.2", 32..33).mbox("mail/R&D", 33..34);
    // Maildirs: Maildir++ and fs
    tree.maildir("Maildir", &[("cur/1000000040.M1.h:2,FS", 40), ("new/1000000041.M1.h", 41)]);
    tree.maildir("Maildir/.Archiv.Entw&APw-rfe", &[("cur/1000000042.M1.h:2,RS", 42)]);
    tree.maildir("fs/deep/er", &[("cur/1000000043.M1.h:2,", 43)]);
    // MH, and messages saved one by one
    tree.put("mh/1", "From: a@b\nSubject: message 50\n\nbody 50\n")
        .put("mh/2", "From: a@b\nSubject: message 51\n\nbody 51\n");
    tree.put("mh/.mh_sequences", "unseen: 1-2\n");
    // Names
    tree.mbox(&long, 60..61)
        .mbox("names/Work", 61..62)
        .mbox("names/work", 62..63)
        .mbox("names/tab\there", 63..64);
    // None of these is mail.
    tree.put("Trash", "")
        .put("README", "Once upon a time\n")
        .put("image.png", "\x7fPNG")
        .put("filters.lock", "");
    tree.put(".subscriptions", "INBOX\nmail/saved-messages\nnames/Work\ngone\n");
    symlink(".", tree.root().join("loop")).unwrap();
    symlink("nowhere", tree.root().join("dangling")).unwrap();
    symlink("mail/v1.2", tree.root().join("link")).unwrap();
    let _ = UnixListener::bind(tree.root().join("socket")).unwrap();
    tree
}

/// The folders of `everything`.
const EVERYTHING: [(&str, u64); 22] = [
    ("INBOX", 3),
    ("Apple", 2),
    ("Inbox (2)", 2),
    ("Inbox (2)/Entwürfe", 2),
    ("Inbox (2)/a/b/c", 1),
    ("Maildir", 2),
    ("Maildir/Archiv/Entwürfe", 1),
    ("Trash", 0),
    ("fs/deep/er", 1),
    ("inbox (3)", 1),
    ("lists/2005-November", 4),
    ("mail/R&D", 1),
    ("mail/saved-messages", 2),
    ("mail/v1.2", 1),
    ("mh", 2),
    ("mmdf", 1),
    ("names/Work", 1),
    ("names/tab\\there", 1),
    ("names/work (2)", 1),
    ("", 1),
    ("", 0),
    ("", 0),
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[track_caller]
fn holds_everything(run: &Run) {
    let mut all = folders(run);
    let long: Vec<String> = all.keys().filter(|name| name.starts_with("long ")).cloned().collect();
    assert_eq!(long.iter().map(|name| all.remove(name)).collect::<Vec<_>>(), [Some(1)], "{all:#?}");
    let expected: BTreeMap<String, u64> = EVERYTHING
        .iter()
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, n)| ((*name).to_owned(), *n))
        .collect();
    assert_eq!(all, expected);
}

#[test]
fn one_of_everything_arrives_and_what_is_no_mail_is_named() {
    let tree = everything();
    let run = tree.convert(&["-v"]).exits(0);
    holds_everything(&run);
    assert_eq!(
        found(&run, "tree-skipped").into_iter().collect::<Vec<_>>(),
        [
            "Apple.mbox/table_of_contents",
            "Inbox.msf",
            "README",
            "dangling",
            "filters.lock",
            "image.png",
            "link",
            "loop",
            "mh/.mh_sequences",
            "socket"
        ]
    );
    let lines: Vec<String> =
        fs::read_to_string(tree.out().join("subscriptions")).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(lines, ["V\t2", "", "INBOX", "mail\tsaved-messages", "names\tWork"]);
    // Flags, and an unread message.
    assert_eq!(names(&tree.out().join(".Maildir.Archiv.Entw&APw-rfe/cur")), ["1000000042.M1.h:2,RS"]);
    // The source is unchanged, and nothing else is left.
    assert!(paths(&tree.0.path().join("Out")).iter().all(|path| !path.contains("partial")));
}

#[test]
fn the_same_command_again_writes_nothing_and_new_mail_arrives() {
    let tree = everything();
    tree.convert(&[]).exits(0);
    let before = lasting(&tree.out());
    let again = tree.convert(&[]).exits(0);
    assert_eq!(count(&again.summary(), "written"), 0);
    same_tree(&lasting(&tree.out()), &before);
    let grown = [fs::read(tree.root().join("mail/v1.2")).unwrap(), mail(99).into_bytes()].concat();
    tree.put("mail/v1.2", grown).mbox("mail/late", 100..103);
    let more = tree.convert(&[]).exits(0);
    assert_eq!(count(&more.summary(), "written"), 4);
}

#[test]
fn in_the_layout_fs_inbox_is_next_to_the_other_folders() {
    let tree = everything();
    let run = tree.convert(&["--layout", "fs"]).exits(0);
    holds_everything(&run);
    for folder in [
        "INBOX",
        "Inbox (2)",
        "Inbox (2)/a/b/c",
        "mail/v1.2",
        "names/tab\\09here",
        "Maildir/Archiv/Entw&APw-rfe",
    ] {
        assert!(tree.out().join(folder).join("cur").is_dir(), "{folder}");
    }
}

/// Runs `verify TREE --against OTHER --metadata`.
fn verified(tree: &Path, other: &Path) -> Run {
    let mut command = mailferry(["verify", "--json", "--metadata"]);
    command.arg(tree).arg("--against").arg(other);
    run(command)
}

/// To Maildirs of either layout, and back to mboxes: the mail of each folder is the same.
#[test]
fn a_tree_comes_back() {
    for layout in ["maildir++", "fs"] {
        let tree = everything();
        let there = tree.convert(&["--layout", layout]).exits(0);
        let back = tree.0.path().join("Back/");
        let run = run(convert_command([tree.out().to_str().unwrap(), &format!("mbox:{}", back.display())]))
            .exits(0);
        assert_eq!(count(&run.summary(), "messages_found"), count(&there.summary(), "messages_found"));
        for there in [tree.out(), back.clone()] {
            let run = verified(&tree.root(), &there).exits(0);
            // Flags in a file name become fields in an mbox.
            assert!(run.complaints().iter().all(|code| code == "fields-differ"), "{layout}: {}", run.text());
        }
        assert!(!run.complaints().contains(&"folders-left".to_owned()), "{layout}: {:#?}", run.findings());
        // The original names, as far as files can have them.
        for (file, subjects) in [
            ("INBOX", vec!["number 0", "number 1", "number 2"]),
            ("Inbox (2)", vec!["number 3", "number 4"]),
            ("Inbox (2).sbd/Entwürfe", vec!["number 10", "number 11"]),
            ("mail/v1.2", vec!["number 32"]),
            ("Maildir.sbd/Archiv/Entwürfe", vec!["message 42"]),
            ("names/tab\\09here", vec!["number 63"]),
        ] {
            let text = fs::read_to_string(back.join(file)).unwrap_or_else(|e| panic!("{layout} {file}: {e}"));
            let found: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("Subject: ")).collect();
            assert_eq!(found, subjects, "{layout} {file}");
        }
    }
}

/// A folder NAME.sbd is no directory of subfolders, and a cut name below Inbox belongs to INBOX.
#[test]
fn a_tree_just_converted_is_the_same_mail_in_the_same_folders() {
    for layout in ["maildir++", "fs"] {
        let tree = Tree::new();
        tree.mbox("foo.sbd", 0..1).mbox("bar", 1..2).mbox("baz.sbd/inner", 2..3).mbox("Deep/x.SBD", 3..4);
        tree.mbox(&format!("Inbox/{}", "y".repeat(240)), 4..5).mbox("Inbox/other", 5..6);
        tree.convert(&["--layout", layout]).exits(0);
        verified(&tree.root(), &tree.out()).exits(0);
        verified(&tree.out(), &tree.root()).exits(0);
        for again in ["maildir++", "fs"] {
            let copy = tree.0.path().join(again);
            let mut command = convert_command(["--layout", again]);
            command.arg(tree.out()).arg(format!("maildir:{}", copy.display()));
            run(command).exits(0);
            verified(&tree.root(), &copy).exits(0);
        }
    }
}

/// The subfolders of INBOX are those of the Maildir itself.
#[test]
fn a_maildir_comes_back_with_the_folders_below_its_inbox() {
    let tree = Tree::new();
    tree.maildir("", &[("cur/1.a:2,S", 1)]).maildir(".INBOX.Travel", &[("cur/2.a:2,S", 2)]);
    tree.maildir(".INBOX.Travel.2005", &[("cur/3.a:2,FS", 3)]).maildir(".Sent", &[("cur/4.a:2,S", 4)]);
    let (mboxes, again) = (tree.0.path().join("Mboxes"), tree.0.path().join("Again"));
    tree.convert_to(&[], &format!("mbox:{}/", mboxes.display())).exits(0);
    for file in ["INBOX", "INBOX.sbd/Travel", "INBOX.sbd/Travel.sbd/2005", "Sent"] {
        assert!(mboxes.join(file).is_file(), "{file}: {:?}", names(&mboxes));
    }
    let mut back = convert_command([&mboxes]);
    back.arg(&again);
    let folders_again = folders(&run(back).exits(0));
    assert_eq!(
        folders_again.keys().collect::<Vec<_>>(),
        ["INBOX", "INBOX/Travel", "INBOX/Travel/2005", "Sent"]
    );
    assert!(again.join(".INBOX.Travel.2005/cur").is_dir());
    verified(&tree.root(), &again).exits(0);
    verified(&tree.root(), &mboxes).exits(0);
}

#[test]
fn one_bad_file_never_stops_the_rest() {
    let tree = everything();
    tree.put("bad.gz", &gzip(&many(50))[..200]).put("babyl", "BABYL OPTIONS: -*- rmail -*-\n");
    let outside = tree.0.path().join("outside");
    fs::write(&outside, mail(1)).unwrap();
    symlink(&outside, tree.root().join("out")).unwrap();
    let run = tree.convert(&[]).exits(1);
    assert_eq!(found(&run, "tree-mail-skipped").into_iter().collect::<Vec<_>>(), ["babyl", "bad.gz", "out"]);
    holds_everything(&run);
    // The message has the path once, next to the cause.
    fs::create_dir_all(tree.0.path().join("There")).unwrap();
    fs::write(tree.0.path().join("There/Trash"), "").unwrap();
    let mboxes = tree.convert_to(&[], &format!("mbox:{}/", tree.0.path().join("There").display())).exits(1);
    for finding in run.findings().iter().chain(&mboxes.findings()) {
        let (path, message) = (finding["path"].as_str().unwrap(), finding["message"].as_str().unwrap());
        assert!(path.is_empty() || !message.contains(&format!("{path}: ")), "{finding}");
    }
    assert!(!found(&mboxes, "destination-refused").is_empty());
}

/// Root can read everything, so another user runs it.
#[test]
fn what_cannot_be_read_is_listed_and_the_rest_arrives() {
    let tree = Tree::new();
    tree.mbox("readable", 0..2).mbox("secret", 2..4).mbox("closed/inside", 4..5);
    for name in ["secret", "closed"] {
        fs::set_permissions(tree.root().join(name), fs::Permissions::from_mode(0o0)).unwrap();
    }
    fs::set_permissions(tree.0.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let mut command = mailferry(["convert", "--json", "--lock", "none"]);
    command.arg(tree.root()).arg(tree.out());
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let run = run(command).exits(1);
    assert_eq!(found(&run, "tree-mail-skipped").into_iter().collect::<Vec<_>>(), ["closed", "secret"]);
    assert_eq!(count(&run.summary(), "written"), 2);
    fs::set_permissions(tree.root().join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
}

/// A folder that may not be entered looked like a file without mail, and the rest looked like everything.
#[test]
fn a_folder_that_cannot_be_entered_is_missed() {
    let tree = Tree::new();
    tree.maildir(".", &[("cur/1.a:2,S", 1)]).maildir(".Closed", &[("cur/2.b:2,S", 2)]);
    let closed = tree.root().join(".Closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).unwrap();
    fs::set_permissions(tree.0.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let by_nobody = |args: [String; 4]| {
        let mut command = mailferry(args);
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        run(command)
    };
    let (from, to) = (tree.root().display().to_string(), tree.out().display().to_string());
    let copied =
        by_nobody(["convert".into(), "--json".into(), from.clone(), format!("maildir:{to}")]).exits(1);
    assert_eq!(found(&copied, "tree-mail-skipped").into_iter().collect::<Vec<_>>(), [".Closed"]);
    assert_eq!(count(&copied.summary(), "written"), 1);
    // As one mbox it has no folders, and a finding says so.
    let mbox = by_nobody(["convert".into(), "--json".into(), from.clone(), format!("{to}.mbox")]).exits(0);
    assert!(mbox.findings().iter().any(|finding| finding["code"] == "folders-left"));
    // The copy is not complete either: on whichever side it is, it cannot be compared.
    for (here, there) in [(&from, &to), (&to, &from)] {
        by_nobody(["verify".into(), "--against".into(), there.clone(), here.clone()])
            .exits(3)
            .complains(&[".Closed", "permission denied"]);
    }
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn symbolic_links_are_followed_on_request_and_never_out() {
    let tree = Tree::new();
    tree.mbox("real", 0..2).mbox("dir/inside", 2..3);
    symlink("real", tree.root().join("alias")).unwrap();
    symlink("dir", tree.root().join("also")).unwrap();
    symlink("..", tree.root().join("dir/up")).unwrap();
    let outside = tree.0.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("mbox"), mail(9)).unwrap();
    symlink(&outside, tree.root().join("out")).unwrap();
    let run = tree.convert(&["--follow"]).exits(1);
    let expected = [("alias", 2), ("also/inside", 1), ("dir/inside", 1), ("real", 2)];
    assert_eq!(folders(&run), expected.map(|(name, n)| (name.to_owned(), n)).into());
    assert_eq!(found(&run, "tree-mail-skipped").into_iter().collect::<Vec<_>>(), ["out"]);
}

#[test]
fn into_and_map_set_the_folders() {
    let tree = Tree::new();
    tree.mbox("Sent Items", 0..2)
        .mbox("Sent", 2..3)
        .mbox("Sent Items.sbd/2005", 3..4)
        .mbox("lists/qmail", 4..5);
    let run = tree.convert(&["--map", "Sent Items=Sent", "--map", "lists=Lists/old"]).exits(0);
    let paths: Vec<String> = names(&tree.out()).into_iter().filter(|name| name.starts_with('.')).collect();
    assert_eq!(paths, [".Lists.old.qmail", ".Sent", ".Sent.2005"]);
    assert_eq!(messages(&tree.out().join(".Sent")).len(), 3);
    assert_eq!(count(&run.summary(), "written"), 5);

    let all =
        tree.convert_to(&["--into", "Archive.all"], tree.0.path().join("One").to_str().unwrap()).exits(0);
    assert_eq!(count(&all.summary(), "written"), 5);
    assert_eq!(messages(&tree.0.path().join("One/.Archive.all")).len(), 5);
}

/// Each of the two files is there on purpose. A copy of a file that an earlier run had from another path is
/// recognised by its bytes; a second file in the same command is not.
#[test]
fn mailboxes_that_are_alike_all_arrive_in_one_folder() {
    let tree = Tree::new();
    tree.mbox("a", 0..2).mbox("b", 0..2).mbox("goes-on", 0..3);
    for n in 0..300 {
        tree.put(&format!("mh/{n}"), "Subject: again\n\nthe same\n");
    }
    let dry = tree.convert(&["-n", "--into", "All"]).exits(0);
    for (run, written) in
        [(dry, 307), (tree.convert(&["--into", "All"]), 307), (tree.convert(&["--into", "All"]), 0)]
    {
        let sums = run.exits(0).summary();
        assert_eq!([count(&sums, "messages_found"), count(&sums, "written")], [307, written]);
    }
    assert_eq!(messages(&tree.out().join(".All")).len(), 307);
    let (to, from) = (tree.out().join(".All"), tree.root());
    run(mailferry([
        OsStr::new("verify"),
        "--into".as_ref(),
        "INBOX".as_ref(),
        "--against".as_ref(),
        to.as_ref(),
        from.as_ref(),
    ]))
    .exits(0);
}

/// A FIFO with the name of a list was read forever, and SIGTERM did not end it.
#[test]
fn a_fifo_named_like_a_list_does_not_block() {
    let lists = ["mailferry.folders", "mailferry.manifest", "dovecot-keywords", "subscriptions"];
    for (n, (list, of_source)) in lists.iter().flat_map(|list| [(list, true), (list, false)]).enumerate() {
        let tree = Tree::new();
        tree.maildir(".", &[("cur/1.a:2,S", 1)]).mbox("list", 2..3).put("subscriptions", "list\n");
        let out = tree.0.path().join("There");
        tree.maildir("../There", &[("cur/2.b:2,S", 2)]);
        let at = if of_source { tree.root() } else { out.clone() }.join(list);
        let _ = fs::remove_file(&at);
        let made = Command::new("mkfifo").arg(&at).status().unwrap();
        assert!(made.success());
        let to = format!("maildir:{}", out.display());
        let mut command = Command::new("timeout");
        command
            .args(["-s", "KILL", "20", env!("CARGO_BIN_EXE_mailferry"), "convert"])
            .arg(tree.root())
            .arg(to);
        let code = command.output().unwrap().status.code();
        assert!(matches!(code, Some(0 | 1 | 3)), "{n}: {}: {code:?}", at.display());
    }
    let (_temp, at) = file("mailferry.manifest", "");
    let maildir = at.parent().unwrap();
    ["tmp", "new", "cur"].iter().for_each(|name| fs::create_dir(maildir.join(name)).unwrap());
    fs::remove_file(&at).unwrap();
    assert!(Command::new("mkfifo").args([&at, &maildir.join("maildirsize")]).status().unwrap().success());
    for (list, exit) in [("mailferry.manifest", 1), ("maildirsize", 0)] {
        let run = run(mailferry([OsStr::new("verify"), maildir.as_ref()])).exits(exit);
        let found = run.text().lines().any(|line| line.contains("not a regular file"));
        assert!(found && run.text().contains(list), "{}", run.text());
        fs::remove_file(maildir.join(list)).unwrap();
    }
}

/// Root acts as the user, and must not follow the user's links, neither when reading nor when writing.
#[test]
fn owner_follows_no_links() {
    if !rustix::process::geteuid().is_root() {
        skip!("only root can act as another user");
    }
    let owner = ["--owner", "65534:65534"];
    for (layout, link) in
        [("fs", "a"), ("fs", "a/b"), ("fs", "a/b/cur"), ("maildir++", ".a.b"), ("maildir++", ".a.b/new")]
    {
        let tree = Tree::new();
        tree.mbox("a/b", 0..1).mbox("c", 1..2).put("../victim/keep", "");
        tree.convert(&[&owner[..], &["--layout", layout]].concat()).exits(0);
        tree.mbox("a/b", 0..2);
        let (victim, link) = (tree.0.path().join("victim"), tree.out().join(link));
        fs::remove_dir_all(&link).unwrap();
        symlink(&victim, &link).unwrap();
        lchown(&link, Some(NOBODY), Some(NOBODY)).unwrap();
        let options = [&owner[..], &["--layout", layout]].concat();
        let run = tree.convert(&options).exits(1);
        let refused =
            run.findings().into_iter().find(|finding| finding["code"] == "destination-refused").unwrap();
        assert_eq!(refused["path"], link.to_str().unwrap());
        assert_eq!(count(&run.summary(), "written"), 0);
        assert_eq!(paths(&victim), ["keep"]);
        assert_eq!(fs::metadata(&victim).unwrap().uid(), 0);
    }

    let tree = Tree::new();
    tree.maildir(".", &[("cur/1.a:2,S", 1)]).put("../secret", "Subject: secret\n");
    symlink("../../secret", tree.root().join("cur/2.b:2,S")).unwrap();
    let give = |to| tree_of(&tree.root()).iter().for_each(|path| lchown(path, Some(to), Some(to)).unwrap());
    give(NOBODY);
    let (from, to) = (tree.root(), format!("maildir:{}", tree.out().display()));
    let mut args = vec!["convert", "--json"];
    args.extend(owner);
    args.extend([from.to_str().unwrap(), &to]);
    let copied = run(mailferry(&args)).exits(1);
    assert_eq!(count(&copied.summary(), "skipped"), 1);
    assert_eq!(found(&copied, "maildir-not-a-file").into_iter().collect::<Vec<_>>(), ["cur/2.b:2,S"]);
    assert_eq!(paths(&tree.out().join("cur")), ["1.a:2,S"]);
    fs::rename(tree.root().join("cur"), tree.0.path().join("theirs")).unwrap();
    symlink("../theirs", tree.root().join("cur")).unwrap();
    give(NOBODY);
    run(mailferry(&args)).exits(3).complains(&["Mail/cur", "symbolic link"]);
    // Users do link messages. Root's links in root's Maildir are followed.
    fs::remove_file(tree.root().join("cur")).unwrap();
    fs::rename(tree.0.path().join("theirs"), tree.root().join("cur")).unwrap();
    args.retain(|arg| !owner.contains(arg));
    give(0);
    tree_of(&tree.out()).iter().for_each(|path| lchown(path, Some(0), Some(0)).unwrap());
    run(mailferry(&args)).exits(0);
    assert_eq!(paths(&tree.out().join("cur")), ["1.a:2,S", "2.b:2,S"]);
}

#[test]
fn a_folder_with_the_name_of_a_programs_directory_is_read() {
    let tree = Tree::new();
    tree.mbox("work.mailferry-partial/a", 0..2);
    tree.mbox("courierimapkeywords/b", 2..5);
    // This one is what a killed run leaves.
    tree.maildir(".old.mailferry-partial", &[("cur/1.1.host:2,S", 5)]);
    let summary = convert([&tree.root(), &tree.out()]).summary();
    assert_eq!(count(&summary, "written"), 5);
}

/// Files reported as skipped are not converted.
#[test]
fn a_maildir_in_a_tree_has_its_messages_in_the_tree() {
    let tree = Tree::new();
    tree.mbox("a", 0..1).maildir("../theirs", &[("cur/1.a:2,S", 1)]);
    fs::create_dir(tree.root().join("m")).unwrap();
    for name in ["new", "cur", "tmp"] {
        symlink(tree.0.path().join("theirs").join(name), tree.root().join("m").join(name)).unwrap();
    }
    for options in [&["--into", "X"][..], &["--into", "X", "--follow"]] {
        let run = tree.convert(options).exits(1);
        assert_eq!(found(&run, "tree-mail-skipped"), ["m/cur", "m/new", "m/tmp"].map(str::to_owned).into());
        assert_eq!(count(&run.summary(), "messages_found"), 1);
    }
}

#[test]
fn an_option_that_does_not_apply_to_a_tree_is_refused() {
    let tree = Tree::new();
    tree.maildir("m", &[("cur/1.a:2,S", 1)]);
    let out = tree.out();
    let (maildirs, mboxes) = (format!("maildir:{}", out.display()), format!("mbox:{}/", out.display()));
    for options in
        [&["--dedupe", "content"][..], &["--headers", "strip"], &["--deleted", "skip"], &["--date", "header"]]
    {
        for to in [&maildirs, &mboxes] {
            tree.convert_to(options, to).exits(2).complains(&[options[0]]);
        }
    }
    for options in [["--append"], ["--force"]] {
        tree.convert_to(&options, &maildirs).exits(2).complains(&options);
    }
    assert!(!out.exists());
    // These options apply to mboxes.
    tree.mbox("a", 0..1);
    tree.convert_to(&["--headers", "strip"], &maildirs).exits(0);
}

#[test]
fn a_file_inside_a_source_is_not_another_source() {
    let tree = Tree::new();
    tree.mbox("a", 0..1).mbox("sub/b", 1..2);
    symlink("Mail", tree.0.path().join("link")).unwrap();
    let (root, out) = (tree.root(), tree.out());
    for other in [
        root.join("sub"),
        root.join("a"),
        root.join("."),
        tree.0.path().join("link"),
        root.join("sub/../sub/b"),
    ] {
        let both = [&root, &other, &out].map(|path| path.to_str().unwrap());
        run(convert_command(both)).exits(2).complains(&["twice"]);
    }
    assert!(!out.exists());
}

#[test]
fn a_dry_run_refuses_what_the_run_would() {
    let tree = Tree::new();
    tree.mbox("a", 0..1).mbox("INBOX", 1..2).put("../photographs/one.jpg", "").put("../file", "");
    let places = [
        ("maildir++", "photographs"),
        ("maildir++", "file"),
        ("fs", "file"),
        ("maildir++", "no/where"),
        ("fs", "no/where"),
    ];
    for (layout, folder) in places {
        let to = tree.0.path().join(folder);
        let findings = [&["-n"][..], &[]].map(|dry| {
            let run = tree.convert_to(&[dry, &["--layout", layout]].concat(), to.to_str().unwrap()).exits(3);
            run.stderr
        });
        assert_eq!(findings[0], findings[1], "{layout} {folder}");
    }
    let none = tree.0.path().join("none");
    let list = ["--files-from".as_ref(), none.as_os_str(), tree.out().as_os_str()].map(OsStr::to_owned);
    let listed = run(convert_command(list)).exits(3);
    assert_eq!(listed.summary()["errors"], 1);
}

/// The folder of a mailbox depends on the mailboxes next to it. When they change, its mail must not go into a
/// second folder, nor into that of another mailbox.
#[test]
fn a_mailbox_stays_in_its_folder_whatever_its_neighbours() {
    type Change = fn(&Tree);
    let cases: [(&[&str], Change, &str); 4] = [
        (&["work"], |tree| drop(tree.mbox("Work", 8..9).root()), "work"),
        (&["inbox"], |tree| drop(tree.mbox("INBOX", 8..9).root()), "inbox"),
        (&["Work", "work"], |tree| fs::remove_file(tree.root().join("Work")).unwrap(), "work"),
        (&["a", "a.mbox"], |tree| fs::remove_file(tree.root().join("a")).unwrap(), "a.mbox"),
    ];
    for layout in ["maildir++", "fs"] {
        for (n, (before, change, moved)) in cases.iter().enumerate() {
            let tree = Tree::new();
            tree.mbox("other", 6..7);
            for (n, name) in (0..).zip(*before) {
                tree.mbox(name, n..n + 1);
            }
            let convert = || tree.convert(&["--layout", layout]);
            convert().exits(0);
            assert_eq!(count(&convert().exits(0).summary(), "written"), 0);
            change(&tree);
            tree.mbox("other", 6..8);
            let lay = paths(&tree.out());
            let run = convert().exits(1);
            let refused = found(&run, "destination-refused").into_iter().collect::<Vec<_>>();
            assert_eq!(refused, [moved.to_owned()], "{layout} {n}");
            let new: Vec<String> =
                paths(&tree.out()).into_iter().filter(|path| !lay.contains(path)).collect();
            let mail = new.iter().filter(|path| path.contains(",S=")).count();
            assert_eq!(mail as u64, count(&run.summary(), "written"));
            assert_eq!(mail, if n < 2 { 2 } else { 1 }, "{layout}: {new:?}");
        }
    }
}

/// Others may write to the tree: what they put under the name of mailferry's list stops no other mail.
#[test]
fn a_list_of_folder_names_that_is_none_stops_nothing() {
    for (what, make, code) in [
        ("an mbox", (|path| fs::write(path, mail_with(3, "")).unwrap()) as fn(&Path), 0),
        ("words", |path| fs::write(path, "\0not\ta list {[\n\n").unwrap(), 1),
        ("half a list", |path| fs::write(path, "[\"x\",\n").unwrap(), 1),
        (
            "a directory",
            |path| {
                fs::create_dir(path).unwrap();
                fs::write(path.join("c"), mail_with(3, "")).unwrap();
            },
            0,
        ),
        ("a link to itself", |path| std::os::unix::fs::symlink("mailferry.folders", path).unwrap(), 0),
        ("a socket", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()), 0),
    ] {
        let tree = Tree::new();
        tree.mbox("a", 1..2).mbox("sub/b", 2..3);
        make(&tree.root().join("mailferry.folders"));
        let run = tree.convert(&[]).exits(code);
        let is_mail = matches!(what, "an mbox" | "a directory");
        assert_eq!(count(&run.summary(), "written"), if is_mail { 3 } else { 2 }, "{what}");
        if code == 1 {
            let skipped: Vec<String> = found(&run, "tree-mail-skipped").into_iter().collect();
            assert_eq!(skipped, ["mailferry.folders"], "{what}");
        }
        verified(&tree.root(), &tree.out()).exits(code);
    }
}

/// With "" as the folder, the first one became the folder x, and the second one the directory above the
/// Maildir.
#[test]
fn a_level_without_a_name_is_no_other_folder_and_no_way_out() {
    let tree = Tree::new();
    tree.maildir(".", &[]).maildir(".x", &[("cur/1.a:2,S", 1)]).maildir("..x", &[("cur/2.b:2,S", 2)]);
    tree.mbox("list", 3..4).put("mailferry.folders", "{\"directory\":\"list\",\"folder\":[\"\",\"\"]}\n");
    let places = [("maildir++", [".x", ".\\.x", ".\\.\\"]), ("fs", ["x", "\\/x", "\\/\\"])];
    for (layout, expected) in places {
        let out = tree.out().join(layout);
        tree.maildir("../Out", &[]);
        tree.convert_to(&["--layout", layout], &format!("maildir:{}", out.display())).exits(0);
        for folder in expected {
            assert_eq!(
                paths(&out.join(folder).join("cur")).len() + paths(&out.join(folder).join("new")).len(),
                1,
                "{folder}"
            );
        }
        assert!(paths(&tree.out().join("new")).is_empty());
        verified(&tree.root(), &out).exits(0);
        let again = tree.0.path().join("Again").join(layout);
        fs::create_dir_all(again.parent().unwrap()).unwrap();
        let back = format!("mbox:{}/", again.display());
        convert([out.to_str().unwrap(), &back]);
        verified(&tree.root(), &again).exits(0);
    }
}

#[test]
fn sources_can_be_listed() {
    let tree = Tree::new();
    tree.mbox("one\ntwo", 0..1).mbox("three", 1..3);
    let list = tree.0.path().join("list");
    fs::write(&list, format!("{0}/one\ntwo\0{0}/three\0", tree.root().display())).unwrap();
    let out = tree.out();
    let listed =
        run(convert_command(["-0", "--files-from", list.to_str().unwrap(), out.to_str().unwrap()])).exits(0);
    assert_eq!(count(&listed.summary(), "written"), 3);
    assert_eq!(messages(&out).len(), 3);
    run(convert_command([out.to_str().unwrap()])).exits(2);
}

/// Neither mailbox may take the place of the other.
#[test]
fn what_becomes_one_mbox_is_written_at_once_or_not_at_all() {
    let tree = Tree::new();
    for n in 0..300 {
        tree.put(&format!("mh/{n}"), format!("From: a@b\nSubject: message {n}\n\nbody {n}\n"));
    }
    let out = format!("mbox:{}/", tree.out().display());
    let run = tree.convert_to(&["--force"], &out).exits(0);
    assert_eq!(count(&run.summary(), "written"), 300);
    let text = fs::read_to_string(tree.out().join("mh")).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("Subject: message ")).count(), 300);
    tree.mbox("one", 0..1).mbox("two", 1..2);
    let before = tree_alike(&tree.out());
    tree.convert_to(&["--force", "--into", "all"], &out).exits(2).complains(&["only mailbox"]);
    assert_eq!(tree_alike(&tree.out()), before);
}

#[test]
fn a_tree_is_not_converted_into_itself() {
    let tree = Tree::new();
    tree.mbox("one", 0..1);
    for inside in ["new", "new/deeper", "."] {
        let to = tree.root().join(inside);
        let run = tree.convert_to(&[], to.to_str().unwrap()).exits(2);
        run.complains(&["is inside", "outside"]);
    }
    assert_eq!(names(&tree.root()), ["one"]);
}

#[test]
fn a_dry_run_of_a_tree_writes_nothing() {
    let tree = everything();
    for layout in ["maildir++", "fs"] {
        let run = tree.convert(&["-n", "--layout", layout]).exits(0);
        holds_everything(&run);
        assert!(!tree.out().exists());
    }
}

#[test]
fn created_files_have_the_owner_and_mode_of_the_options() {
    if !rustix::process::geteuid().is_root() {
        skip!("only root can give files away");
    }
    for (layout, expected) in [("maildir++", 0o750), ("fs", 0o750)] {
        let tree = everything();
        tree.convert(&["--layout", layout, "--owner", "65534:65534", "--mode", "640"]).exits(0);
        let all = tree_of(&tree.out());
        assert!(all.len() > 60);
        for path in all {
            let meta = fs::symlink_metadata(&path).unwrap();
            assert_eq!((meta.uid(), meta.gid()), (NOBODY, NOBODY), "{}", path.display());
            let mode = meta.mode() & 0o777;
            let own = if meta.is_dir() { expected } else { 0o640 };
            let lists = ["mailferry.manifest", "subscriptions", "mailferry.folders", "maildirfolder"];
            let is_list = lists.iter().any(|list| path.ends_with(list));
            assert!(mode == own || is_list, "{}: {mode:o}", path.display());
        }
    }
}

fn tree_of(root: &Path) -> Vec<PathBuf> {
    let below = tree(root).into_keys().map(|path| root.join(path));
    below.chain([root.to_owned()]).collect()
}

/// Returns the messages, with the permanent metadata of their files.
fn mail_of(root: &Path) -> BTreeMap<PathBuf, FileState> {
    let is_mail = |path: &Path| path.parent().is_some_and(|dir| dir.ends_with("cur") || dir.ends_with("new"));
    tree_alike(root).into_iter().filter(|(path, _)| is_mail(path)).collect()
}

/// Asserts that two trees are the same, and prints only what differs.
#[track_caller]
fn same_tree(got: &BTreeMap<PathBuf, FileState>, expected: &BTreeMap<PathBuf, FileState>) {
    let differing = |a: &BTreeMap<PathBuf, FileState>, b: &BTreeMap<PathBuf, FileState>| {
        a.iter()
            .filter(|(path, state)| b.get(*path) != Some(*state))
            .map(|(p, l)| format!("{p:?}: {l:?}"))
            .collect()
    };
    let (ours, theirs): (Vec<String>, Vec<String>) = (differing(got, expected), differing(expected, got));
    assert!(ours.is_empty() && theirs.is_empty(), "{ours:#?} instead of {theirs:#?}");
}

/// Killed at any moment, the same command gives the result of an undisturbed run.
#[test]
fn a_tree_that_is_killed_is_completed_by_the_same_command() {
    let tree = everything();
    for n in 0..60 {
        tree.mbox(&format!("many/folder {n}"), n * 20 + 1000..n * 20 + 1020);
    }
    let mut kills = RandomKills::of("a tree", || drop(tree.convert(&[]).exits(0)));
    let undisturbed = mail_of(&tree.out());
    let rounds = samples(2, 6, 40);
    while kills.next_round(rounds).is_some() {
        fs::remove_dir_all(tree.out()).unwrap();
        for _ in 0..2 {
            let mut command = mailferry(["convert", "--quiet"]);
            command.arg(tree.root()).arg(tree.out());
            kills.kill(command);
        }
        tree.convert(&[]).exits(0);
        same_tree(&mail_of(&tree.out()), &undisturbed);
    }
    kills.report();
}

/// All mail of the corpus, as one tree.
#[test]
fn fifty_projects_mail_arrives_as_one_tree() {
    let Some(archive) = shared("corpus/open.tar.zst") else { return };
    let scratch = scratch();
    let unpacked = scratch.path().join("Mail");
    let packed = zstd::Decoder::new(fs::File::open(archive).unwrap()).unwrap();
    tar::Archive::new(packed).unpack(&unpacked).unwrap();
    let out = scratch.path().join("Out");
    let run = run(convert_command([unpacked.to_str().unwrap(), out.to_str().unwrap()])).exits(1);
    // Each of these may be mail, and the finding has a remedy.
    let skipped = found(&run, "tree-mail-skipped");
    assert!((1..20).contains(&skipped.len()), "{skipped:#?}");
    let folders = folders(&run);
    for (folder, messages) in MAILDIRS_OF_PROJECTS.iter().map(|(folder, flags)| (*folder, flags.len() as u64))
    {
        assert_eq!(folders.get(folder), Some(&messages), "{folder}");
    }
    for (folder, flags) in MAILDIRS_OF_PROJECTS {
        assert_eq!(flags_in(&run, &out, folder), flags, "{folder}");
    }
    // cur/ alone, with a file that is not named as in a Maildir, is a directory of messages.
    assert_eq!(folders.get("notmuch-corpora/corpora/threading/parent-priority/cur"), Some(&1));
    // All mail of notmuch, as its tests count it: in Maildirs, and next to them.
    let of_notmuch =
        folders.iter().filter(|(folder, _)| folder.starts_with("notmuch-corpora/corpora/default"));
    assert_eq!(of_notmuch.map(|(_, messages)| messages).sum::<u64>(), 53);
    held_to_expected(&run);
    let summary = run.summary();
    assert!(count(&summary, "messages_found") > 3000, "{summary:#}");
    assert_eq!(count(&summary, "messages_found"), count(&summary, "written") + count(&summary, "skipped"));
    let verified = verified(&unpacked, &out).exits(1);
    assert_eq!(found(&verified, "tree-mail-skipped"), skipped);
    let codes: BTreeSet<String> = verified.complaints().into_iter().collect();
    assert_eq!(codes, ["tree-mail-skipped", "tree-message"].map(str::to_owned).into(), "nothing differs");
    let same = count(verified.json().last().unwrap(), "same");
    assert_eq!(same, count(&summary, "written"));
}

/// The Maildirs of KMail, mairix, notmuch and of KMail's import, by the names in those projects: the flags of
/// each message in cur/, in the order of names, and a dash for each in new/.
const MAILDIRS_OF_PROJECTS: [(&str, &[&str]); 11] = [
    ("kdepim-runtime/kdepim-runtime-24.12.3/resources/maildir/autotests/maildir/root", &["S"]),
    ("kdepim-runtime/kdepim-runtime-24.12.3/resources/maildir/autotests/maildir/root/child1", &["S"]),
    (
        "kdepim-runtime/kdepim-runtime-24.12.3/resources/maildir/autotests/maildir/root/child1/grandchild",
        &["S"],
    ),
    ("kdepim-runtime/kdepim-runtime-24.12.3/resources/maildir/autotests/maildir/root/child2", &[]),
    // The colon in its names was replaced when it was packed.
    (
        "kdepim-runtime/kdepim-runtime-24.12.3/resources/mixedmaildir/autotests/data/maildir",
        &["", "", "", ""],
    ),
    ("mairix/mairix-0.24/test/messages/maildir/animals", &["RS", "S", "-"]),
    ("notmuch-corpora/corpora/default/bar", &["", "", "-", "-"]),
    ("notmuch-corpora/corpora/default/bar/baz", &["", "", "-", "-"]),
    ("notmuch-corpora/corpora/default/foo", &["", "", "-", "-", "-"]),
    ("notmuch-corpora/corpora/default/foo/baz", &["", "", "-", "-"]),
    // This name was changed too when it was packed.
    ("staktrace-maildir/testdata/maildir", &["", "-"]),
];

fn flags_in(run: &Run, root: &Path, folder: &str) -> Vec<String> {
    let table = run.summary()["table"].as_array().unwrap().clone();
    let row = table.iter().find(|row| row["folder"] == folder).unwrap();
    // No other escapes occur in these names.
    let directory = row["directory"].as_str().unwrap().replace("\\\\", "\\");
    let flags = |name: &String| name.rsplit_once(":2,").map_or(String::new(), |(_, flags)| flags.to_owned());
    let in_cur = names(&root.join(&directory).join("cur"));
    let in_new = names(&root.join(&directory).join("new"));
    in_cur.iter().map(flags).chain(in_new.iter().map(|_| "-".to_owned())).collect()
}

/// Asserts that each mbox of the tree has as many messages as the reference counted.
fn held_to_expected(run: &Run) {
    let Some(table) = shared("corpus/EXPECTED.tsv") else { return };
    let expected = corpus::expected(&fs::read_to_string(table).unwrap());
    let mut held = 0;
    for row in run.summary()["table"].as_array().unwrap() {
        let source = row["source"].as_str().unwrap();
        let file = source.split_once("/Mail/").map_or(source, |(_, file)| file);
        let deviation = corpus::DEVIATIONS.iter().find(|(name, _)| *name == file).map(|(_, ours)| *ours);
        if let Some(wanted) = deviation.or(expected.get(file).copied()) {
            assert_eq!(count(row, "messages_found"), wanted, "{file}");
            held += 1;
        }
    }
    assert!(held > 100, "{held}");
}

/// KMail stores the folders below `name` in `.name.directory`, next to it.
#[test]
fn what_kmail_keeps_below_a_folder_is_below_it() {
    let tree = Tree::new();
    tree.maildir("inbox", &[("cur/1000000001.R1.h:2,S", 1)])
        .maildir(".inbox.directory/Projekte", &[("new/1000000002.R2.h", 2)])
        .maildir(".inbox.directory/.Projekte.directory/2005", &[("cur/1000000003.R3.h!2,RS", 3)])
        // In older versions a folder may be an mbox with an index.
        .mbox("archive", 4..6)
        .put(".archive.index", "# KMail-Index V1506\n\x01\nFrom here on\n")
        .mbox(".archive.directory/old", 6..7)
        // A folder may have this name.
        .maildir("Maildir", &[])
        .maildir("Maildir/.my.directory", &[("cur/1000000008.R8.h:2,", 8)]);
    let run = tree.convert(&["-v"]).exits(0);
    let expected = [
        ("INBOX", 1),
        ("INBOX/Projekte", 1),
        ("INBOX/Projekte/2005", 1),
        ("Maildir", 0),
        ("Maildir/my/directory", 1),
        ("archive", 2),
        ("archive/old", 1),
    ];
    assert_eq!(folders(&run), expected.map(|(name, n)| (name.to_owned(), n)).into());
    assert_eq!(found(&run, "tree-skipped").into_iter().collect::<Vec<_>>(), [".archive.index"]);
}

/// Users also give the names of index files, and of the directories of a Maildir, to their folders.
#[test]
fn what_is_called_like_something_else_is_what_is_in_it() {
    let tree = Tree::new();
    tree.mbox("dovecot-users", 0..1)
        .put("dovecot-news.gz", gzip(&many(2)))
        .mbox("cyrus.info", 3..4)
        .mbox("door.lock", 4..5)
        .mbox("new/friends", 5..7)
        .mbox("new/work", 7..8)
        .put("dovecot.index.log", "\x02\x02\n")
        .put("old.lock", "4711\n");
    let run = tree.convert(&["-v"]).exits(0);
    let expected = [
        ("cyrus.info", 1),
        ("door.lock", 1),
        ("dovecot-news", 2),
        ("dovecot-users", 1),
        ("new/friends", 2),
        ("new/work", 1),
    ];
    assert_eq!(folders(&run), expected.map(|(name, n)| (name.to_owned(), n)).into());
    let skipped = found(&run, "tree-skipped").into_iter().collect::<Vec<_>>();
    assert_eq!(skipped, ["dovecot.index.log", "old.lock"]);
}

/// An mbox is recognised under any name, also under those of files in which programs list folders.
#[test]
fn an_mbox_that_is_called_like_a_list_of_folders_is_mail() {
    let tree = Tree::new();
    let lists = ["subscriptions", ".subscriptions", ".mailboxlist", "courierimapsubscribed"];
    for (list, n) in lists.iter().zip(1..) {
        tree.mbox(list, n..n + 1);
    }
    tree.mbox("a", 0..1);
    let run = tree.convert(&[]).exits(0);
    assert_eq!(count(&run.summary(), "messages_found"), 5);
    assert_eq!(found(&run, "subscription-lost"), BTreeSet::new());
}

#[test]
fn a_dry_run_reports_which_subscriptions_would_be_lost() {
    let tree = Tree::new();
    tree.mbox("a", 0..1).put(".subscriptions", "a\nnothere\n");
    let findings = |options: &[&str]| {
        let finding = tree.convert(options).exits(0).findings();
        finding.into_iter().find(|finding| finding["code"] == "subscription-lost").expect("it is reported")
    };
    let dry = findings(&["-n"]);
    assert_eq!(dry["path"].as_str().unwrap(), tree.out().join("subscriptions").to_str().unwrap());
    assert_eq!(findings(&[]), dry);
}

/// Mail next to the messages of a Maildir is converted with it, or named.
#[test]
fn mail_next_to_the_messages_of_a_maildir_is_converted() {
    let tree = Tree::new();
    tree.maildir(".", &[("cur/1000000001.a:2,S", 1)])
        .mbox("work", 2..3)
        .mbox("sub/x", 3..5)
        .put("dovecot.index", "x");
    let out = tree.0.path().join("Out");
    let run = tree.convert_to(&[], &format!("maildir:{}", out.display())).exits(0);
    assert_eq!(
        folders(&run),
        [("INBOX", 1), ("sub/x", 2), ("work", 1)].map(|(f, n)| (f.to_owned(), n)).into()
    );
    let one = tree.0.path().join("one.mbox");
    let run = tree.convert_to(&[], one.to_str().unwrap()).exits(0);
    let left: Vec<Value> = run.findings().into_iter().filter(|f| f["code"] == "folders-left").collect();
    assert!(left.len() == 1 && left[0]["message"].as_str().unwrap().ends_with(": sub/x, work"), "{left:?}");
}

/// `new` is an ordinary name for a folder of mboxes.
#[test]
fn a_folder_called_new_does_not_make_a_maildir() {
    let tree = Tree::new();
    tree.mbox("new/list", 1..2).mbox("work", 2..3);
    tree.convert(&[]).exits(0);
    let verify = |args: &[&Path]| {
        let mut command = mailferry(["verify"]);
        command.args(args);
        run(command)
    };
    verify(&[Path::new("--against"), &tree.root(), &tree.out()]).exits(0);
    let before = paths(&tree.root());
    verify(&[Path::new("--repair"), &tree.root()]).exits(0);
    assert_eq!(paths(&tree.root()), before);
}

#[test]
fn inbox_is_mapped_in_any_spelling() {
    for (file, map) in [("INBOX", "INBOX=Old"), ("Inbox", "inbox=Old"), ("INBOX", "Inbox=Old")] {
        let tree = Tree::new();
        tree.mbox(file, 1..2).mbox("x", 2..3);
        let run = tree.convert(&["--map", map]).exits(0);
        assert_eq!(folders(&run).into_keys().collect::<Vec<_>>(), ["Old", "x"], "{file}, {map}");
    }
    let tree = Tree::new();
    tree.mbox("Inbox", 1..2).mbox("Inbox.sbd/sub", 2..3);
    let run = tree.convert(&["--map", "INBOX/sub=S"]).exits(0);
    assert!(folders(&run).contains_key("S"), "{:?}", folders(&run));
}

#[test]
fn what_is_called_a_maildir_and_is_none_is_refused() {
    let tree = Tree::new();
    tree.mbox("x", 1..2);
    let named = format!("maildir:{}", tree.root().display());
    let out = tree.out();
    for command in
        [convert_command([named.as_ref(), out.as_os_str()]), mailferry(["inspect", "--json", &named])]
    {
        let run = run(command).exits(3);
        assert_eq!(run.complaints(), ["not-a-mailbox"]);
    }
    assert_eq!(names(tree.0.path()), ["Mail"]);
}
