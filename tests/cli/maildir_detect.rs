//! One answer of all commands to "is this directory a Maildir?": two of cur/, new/ and tmp/ make one, cur/ or new/
//! alone with messages is refused by name, and folders of mboxes that are called so make none.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::*;

const SUBDIRECTORIES: [&str; 3] = ["cur", "new", "tmp"];

/// Makes the directories, and a message in cur/ and in new/ where they are among them.
fn make(maildir: &Path, directories: &[&str]) -> u64 {
    for directory in directories {
        fs::create_dir_all(maildir.join(directory)).unwrap();
    }
    let messages = [("cur", "1104746400.M1P1.h:2,S"), ("new", "1104746401.M2P1.h")];
    let there = messages.iter().filter(|(directory, _)| directories.contains(directory));
    there.map(|(directory, name)| fs::write(maildir.join(directory).join(name), mail(1)).unwrap()).count()
        as u64
}

fn files(maildir: &Path) -> u64 {
    let count = |name: &str| fs::read_dir(maildir.join(name)).map_or(0, |entries| entries.count() as u64);
    count("cur") + count("new")
}

fn without(missing: &str) -> Vec<&'static str> {
    SUBDIRECTORIES.into_iter().filter(|name| *name != missing).collect()
}

/// A Maildir with one directory less.
struct Ground {
    scratch: TempDir,
    missing: &'static str,
    messages: u64,
}

impl Ground {
    /// One for each directory that can be missing; the Maildir is made at `path`.
    fn each(path: &str) -> impl Iterator<Item = Ground> {
        SUBDIRECTORIES.into_iter().map(move |missing| {
            let scratch = scratch();
            let messages = make(&scratch.path().join(path), &without(missing));
            Ground { scratch, missing, messages }
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Runs `mailferry COMMAND --json`, with `@` in arguments as the scratch directory.
    fn run(&self, args: &[&str]) -> Run {
        run_in(self.scratch.path(), args)
    }

    /// The missing directory is named as such.
    #[track_caller]
    fn reports(&self, run: &Run, maildir: &str) {
        let findings = run.findings();
        let missing = self.path(maildir).join(self.missing);
        let is_it = |f: &&serde_json::Value| {
            f["code"] == "maildir-no-directory" && f["path"].as_str().is_some_and(|p| Path::new(p) == missing)
        };
        assert_eq!(findings.iter().filter(is_it).count(), 1, "{}: {findings:?}", self.missing);
    }
}

fn run_in(scratch: &Path, args: &[&str]) -> Run {
    let at = scratch.to_str().unwrap();
    let args: Vec<OsString> = args.iter().map(|arg| arg.replace('@', at).into()).collect();
    let mut command = mailferry([&args[0], OsStr::new("--json")]);
    command.args(&args[1..]);
    run(command)
}

#[test]
fn inspect_lists_what_is_there() {
    for ground in Ground::each("M") {
        for name in ["@/M", "maildir:@/M", "@/M/"] {
            let run = ground.run(&["inspect", name]).exits(0);
            let rows = run.json().iter().filter(|object| object["type"] == "message").count();
            assert_eq!(rows as u64, ground.messages, "{}", ground.missing);
        }
    }
}

#[test]
fn verify_counts_the_messages_and_names_the_directory() {
    for ground in Ground::each("M") {
        let run = ground.run(&["verify", "@/M"]).exits(1);
        ground.reports(&run, "M");
        assert_eq!(count(run.json().last().unwrap(), "messages_found"), ground.messages);
        ground.run(&["verify", "--repair", "@/M"]).exits(0);
        ground.run(&["verify", "@/M"]).exits(0);
    }
}

#[test]
fn convert_writes_an_mbox_or_a_copy() {
    for ground in Ground::each("M") {
        for (to, out) in [("@/out.mbox", "out.mbox"), ("mbox:@/out", "out")] {
            let summary = ground.run(&["convert", "@/M", to]).exits(0).summary();
            assert_eq!(count(&summary, "written"), ground.messages);
            assert!(ground.path(out).is_file());
        }
        let run = ground.run(&["convert", "@/M", "maildir:@/copy"]).exits(0);
        assert_eq!(count(&run.summary(), "written"), ground.messages);
        assert_eq!(files(&ground.path("copy")), ground.messages);
    }
}

#[test]
fn a_destination_is_completed() {
    for ground in Ground::each("M") {
        fs::write(ground.path("in.mbox"), many(3)).unwrap();
        let summary = ground.run(&["convert", "@/in.mbox", "@/M"]).exits(0).summary();
        assert_eq!(count(&summary, "written"), 3);
        assert_eq!(files(&ground.path("M")), ground.messages + 3);
        assert!(SUBDIRECTORIES.iter().all(|name| ground.path("M").join(name).is_dir()));
        ground.run(&["convert", "--exact", "@/M", "@/out.mbox"]).exits(0);
        same(&fs::read(ground.path("out.mbox")).unwrap(), &many(3), "the mbox");
    }
}

#[test]
fn both_sides_of_a_comparison_may_lack_a_directory() {
    for ground in Ground::each("M") {
        ground.run(&["convert", "@/M", "maildir:@/copy"]).exits(0);
        ground.run(&["verify", "--against", "@/copy", "@/M"]).exits(0);
        ground.run(&["verify", "--against", "@/M", "@/copy"]).exits(0);
        ground.run(&["verify", "--against", "@/M", "@/M"]).exits(0);
    }
}

#[test]
fn in_a_tree_it_is_a_folder() {
    for ground in Ground::each("tree/Work") {
        fs::write(ground.path("tree/list"), many(2)).unwrap();
        for (to, layout) in [("@/out", "maildir++"), ("@/fs", "fs")] {
            let run = ground.run(&["convert", "--layout", layout, "@/tree", to]).exits(0);
            assert_eq!(count(&run.summary(), "written"), ground.messages + 2);
            ground.run(&["verify", "--against", "@/tree", to]).exits(0);
        }
        let run = ground.run(&["convert", "@/tree", "mbox:@/mboxes"]).exits(0);
        assert_eq!(count(&run.summary(), "written"), ground.messages + 2);
        assert!(ground.path("mboxes/Work").is_file());
        let run = ground.run(&["verify", "@/tree"]).exits(1);
        ground.reports(&run, "tree/Work");
        assert_eq!(count(run.json().last().unwrap(), "messages_found"), ground.messages + 2);
    }
}

#[test]
fn in_a_maildir_it_is_a_folder() {
    for ground in Ground::each("M/.Sent") {
        let inbox = make(&ground.path("M"), &SUBDIRECTORIES);
        fs::write(ground.path("M/.Sent/maildirfolder"), "").unwrap();
        for (to, layout) in [("maildir:@/out", "maildir++"), ("maildir:@/fs", "fs")] {
            let run = ground.run(&["convert", "--layout", layout, "@/M", to]).exits(0);
            assert_eq!(count(&run.summary(), "written"), ground.messages + inbox);
        }
        let run = ground.run(&["verify", "@/M"]).exits(1);
        ground.reports(&run, "M/.Sent");
        assert_eq!(count(run.json().last().unwrap(), "messages_found"), ground.messages + inbox);
        ground.run(&["verify", "--against", "@/M", "@/out"]).exits(0);
        let left = ground.run(&["convert", "@/M", "@/inbox.mbox"]).exits(0).findings();
        assert!(left.iter().any(|f| f["code"] == "folders-left"), "{left:?}");
    }
}

#[test]
fn verify_reports_what_is_left_of_a_folder_without_messages() {
    for left in ["cur", "new", "tmp"] {
        let scratch = scratch();
        make(&scratch.path().join("M"), &SUBDIRECTORIES);
        fs::create_dir_all(scratch.path().join("M/.Sent").join(left)).unwrap();
        let findings = run_in(scratch.path(), &["verify", "@/M"]).exits(1).findings();
        let missing = findings.iter().filter(|f| f["code"] == "maildir-no-directory").count();
        assert_eq!(missing, 2, "{left}: {findings:?}");
        run_in(scratch.path(), &["verify", "--repair", "@/M"]).exits(0);
        run_in(scratch.path(), &["verify", "@/M"]).exits(0);
    }
}

#[test]
fn a_delivery_needs_the_directories_it_writes_to_or_is_told_to_create_them() {
    for ground in Ground::each("M") {
        let deliver = |options: &[&str]| {
            let mut command = mailferry(["deliver"]);
            command.args(options).arg(ground.path("M"));
            run_with_stdin(command, mail(7))
        };
        deliver(&[]).exits(if ground.missing == "cur" { 0 } else { 75 });
        deliver(&["--create"]).exits(0);
        let delivered = if ground.missing == "cur" { 2 } else { 1 };
        assert_eq!(files(&ground.path("M")), ground.messages + delivered);
    }
}

#[test]
fn cur_or_new_alone_with_messages_is_refused_by_every_command() {
    for alone in ["cur", "new"] {
        let scratch = scratch();
        make(&scratch.path().join("M"), &[alone]);
        fs::write(scratch.path().join("in.mbox"), many(1)).unwrap();
        make(&scratch.path().join("whole"), &SUBDIRECTORIES);
        let before = paths(scratch.path());
        for args in [
            &["convert", "@/M", "@/out"][..],
            &["convert", "@/M", "@/out/"],
            &["convert", "@/M", "mbox:@/out"],
            &["convert", "@/M", "maildir:@/out"],
            &["convert", "-n", "@/M", "@/out"],
            &["convert", "--layout", "fs", "@/M", "@/out"],
            &["convert", "maildir:@/M", "@/out"],
            &["convert", "--exact", "@/M", "@/out"],
            &["convert", "@/in.mbox", "@/M"],
            &["convert", "@/in.mbox", "maildir:@/M"],
            &["convert", "@/whole", "@/M"],
            &["convert", "@/whole", "maildir:@/M"],
            &["convert", "@/whole", "mbox:@/M"],
            &["inspect", "@/M"],
            &["inspect", "maildir:@/M"],
            &["inspect", "@/M", "1"],
            &["verify", "@/M"],
            &["verify", "maildir:@/M"],
            &["verify", "--repair", "@/M"],
            &["verify", "--against", "@/M", "@/whole"],
            &["verify", "--against", "@/whole", "@/M"],
        ] {
            let run = run_in(scratch.path(), args).exits(3);
            let findings = run.findings();
            assert_eq!(run.complaints(), ["not-a-mailbox"], "{args:?}");
            assert!(findings[0]["path"].as_str().unwrap().ends_with("/M"), "{args:?}: {findings:?}");
            assert!(findings[0]["mend"].as_str().unwrap().contains("/M/tmp"), "{args:?}: {findings:?}");
            assert_eq!(paths(scratch.path()), before, "{args:?}");
        }
        for options in [&[][..], &["--create"], &["-n"]] {
            let mut command = mailferry(["deliver"]);
            command.args(options).arg(scratch.path().join("M"));
            run_with_stdin(command, mail(7)).exits(75).complains(&["/M: ", "cur/, new/ and tmp/"]);
            assert_eq!(paths(scratch.path()), before, "{options:?}");
        }
    }
}

#[test]
fn in_a_tree_cur_or_new_alone_is_refused_and_the_rest_is_converted() {
    for alone in ["cur", "new"] {
        for (root, folder) in [("tree", "tree/Work"), ("M", "M/.Work"), ("M", "M/Work")] {
            let scratch = scratch();
            make(&scratch.path().join(folder), &[alone]);
            let rest = match root {
                "M" => make(&scratch.path().join("M"), &SUBDIRECTORIES),
                _ => {
                    fs::write(scratch.path().join("tree/list"), many(2)).unwrap();
                    2
                }
            };
            let root = &format!("@/{root}");
            for args in [
                &["convert", root, "maildir:@/out"][..],
                &["convert", root, "mbox:@/mboxes/"],
                &["verify", root],
            ] {
                let run = run_in(scratch.path(), args).exits(3);
                let refused: Vec<_> =
                    run.findings().into_iter().filter(|f| f["code"] == "not-a-mailbox").collect();
                assert_eq!(refused.len(), 1, "{args:?}: {refused:?}");
                assert!(refused[0]["path"].as_str().unwrap().ends_with(folder), "{args:?}: {refused:?}");
                let found = count(run.json().last().unwrap(), "messages_found");
                assert_eq!(found, rest, "{args:?}");
            }
            for args in [&["--against", root, "@/out"][..], &["--against", "@/out", root]] {
                let run = run_in(scratch.path(), &[&["verify"], args].concat()).exits(3);
                assert!(run.complaints().contains(&"not-a-mailbox".into()), "{args:?}: {:?}", run.findings());
            }
        }
    }
    let scratch = scratch();
    make(&scratch.path().join("tree/Work"), &["cur"]);
    let before = paths(scratch.path());
    let run = run_in(scratch.path(), &["convert", "@/tree", "@/out"]).exits(3);
    assert_eq!((run.complaints(), paths(scratch.path())), (vec!["not-a-mailbox".into()], before));
}

/// People name folders of mboxes so, too.
#[test]
fn directories_with_mailboxes_in_them_make_no_maildir() {
    let trees: [&[&str]; 5] = [
        &["cur/list", "new/work", "tmp/scratch"],
        &["cur/2005.06", "new/2005.07"],
        &["new/work", "tmp/scratch"],
        &["cur/work"],
        &["cur/projects/work", "new/projects/work"],
    ];
    for mboxes in trees {
        let scratch = scratch();
        for mbox in mboxes {
            let path = scratch.path().join("tree").join(mbox);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, many(1)).unwrap();
        }
        let n = mboxes.len() as u64;
        let run = run_in(scratch.path(), &["convert", "@/tree", "@/out"]).exits(0);
        assert_eq!(
            (count(&run.summary(), "written"), count(&run.summary(), "folders")),
            (n, n),
            "{mboxes:?}"
        );
        let run = run_in(scratch.path(), &["verify", "@/tree"]).exits(0);
        assert_eq!(count(run.json().last().unwrap(), "messages_found"), n, "{mboxes:?}");
        run_in(scratch.path(), &["verify", "--against", "@/tree", "@/out"]).exits(0);
        let run = run_in(scratch.path(), &["inspect", "@/tree"]).exits(0);
        assert_eq!(count(run.json().last().unwrap(), "mailboxes"), n, "{mboxes:?}");
        run_in(scratch.path(), &["convert", "maildir:@/tree", "@/never"]).exits(3);
        run_in(scratch.path(), &["convert", "@/out", "maildir:@/tree"]).exits(3);
    }
    // Accounts that are called so.
    let scratch = scratch();
    let n = make(&scratch.path().join("tree/cur"), &SUBDIRECTORIES)
        + make(&scratch.path().join("tree/new"), &SUBDIRECTORIES);
    let run = run_in(scratch.path(), &["convert", "@/tree", "maildir:@/out"]).exits(0);
    assert_eq!((count(&run.summary(), "written"), count(&run.summary(), "folders")), (n, 2));
}

/// An empty directory holds nothing that could be taken for something else.
#[test]
fn one_empty_directory_is_an_empty_destination() {
    for directory in SUBDIRECTORIES {
        let (_scratch, mbox) = file("in.mbox", many(2));
        let maildir = mbox.with_file_name("M");
        fs::create_dir_all(maildir.join(directory)).unwrap();
        convert([mbox.as_os_str(), maildir.as_os_str()]);
        assert_eq!(messages(&maildir).len(), 2);
    }
}
