//! The list of the folders of a tree: a folder that the user deleted or moved is known, and does not come back.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::*;

/// The layouts, with the directory of the folder A in each.
const LAYOUTS: [(&str, &str); 2] = [("maildir++", "."), ("fs", "")];

/// A tree of the mboxes A, B and C/D, and its conversion.
struct Converted {
    dir: TempDir,
    layout: &'static str,
    prefix: &'static str,
}

impl Converted {
    fn new((layout, prefix): (&'static str, &'static str)) -> Converted {
        let converted = Converted { dir: scratch(), layout, prefix };
        fs::create_dir_all(converted.path("Mail/C")).unwrap();
        for (name, first) in [("A", 10), ("B", 20), ("C/D", 30)] {
            converted.write(name, first..first + 2);
        }
        converted.convert(&[]).exits(0);
        converted
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn out(&self) -> PathBuf {
        self.path("Out")
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.out().join(format!("{}{name}", self.prefix))
    }

    /// Writes an mbox with the messages of these numbers.
    fn write(&self, name: &str, numbers: std::ops::Range<u32>) {
        let text: String = numbers.map(|n| mail_with(n, "") + "\n").collect();
        fs::write(self.path("Mail").join(name), text).unwrap();
    }

    fn convert(&self, options: &[&str]) -> Run {
        let (mail, out) = (self.path("Mail"), self.out());
        let mut args = vec!["--layout", self.layout];
        args.extend(options);
        args.extend([mail.to_str().unwrap(), out.to_str().unwrap()]);
        run(convert_command(args))
    }

    /// Verifies the tree, and returns the codes of warnings and errors.
    fn verify(&self, exit: i32) -> Vec<String> {
        run(mailferry([Path::new("verify"), Path::new("--json"), &self.out()])).exits(exit).complaints()
    }
}

/// Returns the Subjects of the messages in a folder.
fn subjects(folder: &Path) -> BTreeSet<String> {
    let messages = if folder.exists() { messages(folder) } else { return BTreeSet::new() };
    messages.iter().map(|message| message.subject().to_owned()).collect()
}

#[test]
fn a_deleted_folder_is_reported_and_does_not_come_back() {
    for layout in LAYOUTS {
        let tree = Converted::new(layout);
        assert_eq!(tree.verify(0), [""; 0]);
        fs::remove_dir_all(tree.folder("B")).unwrap();
        assert_eq!(tree.verify(1), ["folder-deleted"]);
        // Nothing new: the user deleted this mail.
        let run = tree.convert(&[]).exits(0);
        assert_eq!(run.complaints(), ["folder-not-restored"]);
        assert_eq!((count(&run.summary(), "already_present"), count(&run.summary(), "skipped")), (6, 0));
        tree.write("A", 10..13);
        tree.write("B", 20..23);
        for (dry_run, written) in [(&["-n"][..], 1), (&[], 1), (&[], 0)] {
            let run = tree.convert(dry_run).exits(1);
            assert_eq!(run.complaints(), ["folder-mail-skipped", "folder-not-restored"]);
            let counts = ["messages_found", "written", "already_present", "skipped"];
            let counts = counts.map(|key| count(&run.summary(), key));
            assert_eq!(counts, [8, written, 7 - written, 1]);
        }
        assert_eq!((subjects(&tree.folder("A")).len(), tree.folder("B").exists()), (3, false));
        tree.convert(&["--new-source"]).exits(0);
        assert_eq!(subjects(&tree.folder("B")).len(), 3);
        assert_eq!(tree.verify(0), [""; 0]);
    }
}

/// In any kind of mailbox, mail that was there before is known, and UW-IMAP's pseudo message is no mail.
#[test]
fn mail_for_a_deleted_folder_is_counted() {
    let dir = scratch();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir_all(path("Mail/MH")).unwrap();
    ["cur", "new", "tmp"].iter().for_each(|part| fs::create_dir_all(path("Mail/M").join(part)).unwrap());
    let whole = |n: u32| mail_with(n, "").split_once('\n').unwrap().1.to_owned();
    let pseudo = "From a Mon Jan  3 10:00:00 2005\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n\
                  From: Mail System Internal Data <a@b>\nX-IMAP: 1104746400 2\n\nno mail\n\n";
    fs::write(path("Mail/uw"), pseudo.to_owned() + &mail_with(0, "") + "\n").unwrap();
    let add = |n: u32| {
        fs::write(path("Mail/MH").join(n.to_string()), whole(n)).unwrap();
        fs::write(path("Mail/M/cur").join(format!("110474640{n}.M{n}P1.host:2,S")), whole(n)).unwrap();
    };
    (1..3).for_each(add);
    let convert = || run(convert_command([path("Mail"), path("Out")]));
    convert().exits(0);
    [".uw", ".MH", ".M"].iter().for_each(|folder| fs::remove_dir_all(path("Out").join(folder)).unwrap());
    let run = convert().exits(0);
    // The pseudo message is skipped, as ever.
    assert_eq!((count(&run.summary(), "already_present"), count(&run.summary(), "skipped")), (5, 1));
    assert_eq!(run.complaints(), ["folder-not-restored"]);
    add(3);
    let uw = fs::read_to_string(path("Mail/uw")).unwrap();
    fs::write(path("Mail/uw"), uw + &mail_with(9, "") + "\n").unwrap();
    let run = convert().exits(1);
    let skipped = run.findings().iter().filter(|f| f["code"] == "folder-mail-skipped").count();
    assert_eq!((skipped, count(&run.summary(), "written")), (3, 0), "{}", run.text());
    // Of an mbox that grew, the mail before is known.
    assert_eq!(count(&run.summary(), "already_present"), 1, "{}", run.text());
}

#[test]
fn a_tree_keeps_its_layout() {
    let directories = LAYOUTS;
    for (before, now) in [(directories[0], directories[1]), (directories[1], directories[0])] {
        let tree = Converted { layout: now.0, ..Converted::new(before) };
        let run = tree.convert(&[]).exits(2);
        let words = format!("--layout: {} was converted with {}", tree.out().display(), before.0);
        assert!(run.stderr.contains(&words), "{}", run.text());
    }
}

#[test]
fn a_list_that_is_no_file_is_damage_and_no_failure() {
    for layout in LAYOUTS {
        for name in ["mailferry.folders", "mailferry.manifest"] {
            let tree = Converted::new(layout);
            let path = tree.out().join(name);
            if path.exists() {
                fs::remove_file(&path).unwrap();
            }
            fs::create_dir(&path).unwrap();
            assert!(tree.verify(1).contains(&"manifest-damaged".to_owned()), "{layout:?} {name}");
        }
    }
}

#[test]
fn a_folder_moved_to_the_place_of_a_deleted_one_is_no_damage() {
    for layout in LAYOUTS {
        let tree = Converted::new(layout);
        fs::remove_dir_all(tree.folder("A")).unwrap();
        fs::rename(tree.folder("B"), tree.folder("A")).unwrap();
        assert_eq!(tree.verify(1), ["folder-deleted"]);
        tree.convert(&[]).exits(0);
        assert_eq!(tree.verify(1), ["folder-deleted"]);
        // A copy of a manifest is not a folder that was moved.
        let manifest = |name: &str| tree.folder(name).join("mailferry.manifest");
        fs::rename(tree.folder("A"), tree.folder("B")).unwrap();
        fs::create_dir_all(tree.folder("A/cur")).unwrap();
        fs::copy(manifest("B"), manifest("A")).unwrap();
        assert!(tree.verify(1).contains(&"manifest-damaged".to_owned()));
    }
}

#[test]
fn new_mail_of_a_moved_folder_goes_where_it_is() {
    for layout in LAYOUTS {
        let tree = Converted::new(layout);
        // B takes the place of A, as after two renames.
        fs::rename(tree.folder("A"), tree.folder("Z")).unwrap();
        fs::rename(tree.folder("B"), tree.folder("A")).unwrap();
        assert_eq!(tree.verify(0), [""; 0]);
        tree.write("A", 10..13);
        tree.write("B", 20..23);
        let moved = tree.convert(&[]).exits(0);
        let findings = moved.findings();
        assert_eq!(findings.iter().filter(|finding| finding["code"] == "folder-moved").count(), 2);
        assert_eq!(count(&moved.summary(), "written"), 2);
        let numbers = |range: std::ops::Range<u32>| range.map(|n| format!("number {n}")).collect();
        assert_eq!(subjects(&tree.folder("Z")), numbers(10..13));
        assert_eq!(subjects(&tree.folder("A")), numbers(20..23));
        assert!(!tree.folder("B").exists());
        assert_eq!(tree.verify(0), [""; 0]);
        assert_eq!(count(&tree.convert(&[]).exits(0).summary(), "written"), 0);
    }
}

#[test]
fn any_fault_of_the_list_or_of_a_listed_manifest_is_reported() {
    for layout in LAYOUTS {
        let tree = Converted::new(layout);
        let (root, folder) =
            (tree.out().join("mailferry.manifest"), tree.folder("A").join("mailferry.manifest"));
        let before = [fs::read(&root).unwrap(), fs::read(&folder).unwrap()];
        tree.write("A", 10..13);
        tree.convert(&[]).exits(0);
        let after = [fs::read(&root).unwrap(), fs::read(&folder).unwrap()];
        // The folder's manifest as it was before the last run, while the root lists that run.
        fs::write(&folder, &before[1]).unwrap();
        assert!(tree.verify(1).contains(&"manifest-damaged".to_owned()));
        fs::write(&folder, &after[1]).unwrap();
        // The list may lag, as after a kill.
        fs::write(&root, &before[0]).unwrap();
        assert_eq!(tree.verify(0), [""; 0]);
        tree.convert(&[]).exits(0);
        assert_eq!(fs::read(&root).unwrap(), after[0], "the next run brings it up to date");
        let lines: Vec<&[u8]> = after[0].split_inclusive(|&b| b == b'\n').collect();
        for n in 0..lines.len() {
            let (mut without, mut doubled, mut swapped) = (lines.clone(), lines.clone(), lines.clone());
            without.remove(n);
            doubled.insert(n, lines[n]);
            swapped.swap(n, (n + 1) % lines.len());
            for changed in [without, doubled, swapped] {
                fs::write(&root, changed.concat()).unwrap();
                let run = run(mailferry([Path::new("verify"), Path::new("--json"), &tree.out()]));
                let last_is_gone = changed.len() < lines.len() && n + 1 == lines.len();
                // Without its last line the list is what it was before the last run.
                assert_eq!(run.complaints().is_empty(), last_is_gone, "line {n}: {}", run.text());
            }
        }
    }
}
