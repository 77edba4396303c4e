//! Random damage in a converted tree: `verify` reports each, and reports nothing where there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::*;
use crate::verify::write;

/// Codes that may follow from a damage.
struct Expected {
    kind: String,
    /// One of these must be reported, unless there are none.
    any: &'static [&'static str],
    /// These may be reported, too.
    also: &'static [&'static str],
}

const DAMAGED: &[&str] = &["manifest-damaged", "conversion-unfinished"];
/// What a list that is cut off leads to.
const LIST: &[&str] = &["folder-unlisted", "folder-list-behind", "message-unrecorded", "manifest-missing"];

fn expect(kind: impl Into<String>, any: &'static [&'static str], also: &'static [&'static str]) -> Expected {
    Expected { kind: kind.into(), any, also }
}

/// A tree that was converted twice, the second time with new mail.
struct Converted {
    dir: TempDir,
    layout: &'static str,
    prefix: &'static str,
}

impl Converted {
    fn new(layout: &'static str, prefix: &'static str) -> Converted {
        let tree = Converted { dir: scratch(), layout, prefix };
        fs::create_dir_all(tree.path("Mail/Lists")).unwrap();
        for run in 1..=2 {
            for (name, first) in [("INBOX", 0), ("A", 20), ("B", 40), ("Lists/C", 60)] {
                // Only some have new mail.
                let grown = if matches!(name, "INBOX" | "A") { run } else { 1 };
                let text: String = (first..first + 4 * grown).map(|n| mail(n) + "\n").collect();
                fs::write(tree.path("Mail").join(name), text).unwrap();
            }
            let (mail, out) = (tree.path("Mail"), tree.path("Out"));
            let args = ["--layout", tree.layout, mail.to_str().unwrap(), out.to_str().unwrap()];
            run_convert(&args);
        }
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns a copy of the converted tree.
    fn copy(&self) -> Copy<'_> {
        let dir = scratch();
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .arg(self.path("Out"))
            .arg(dir.path())
            .status()
            .unwrap();
        assert!(copied.success());
        Copy { tree: self, dir }
    }
}

fn run_convert(args: &[&str]) {
    run(convert_command(args)).exits(0);
}

/// A copy of a converted tree that is damaged.
struct Copy<'a> {
    tree: &'a Converted,
    dir: TempDir,
}

impl Copy<'_> {
    fn out(&self) -> PathBuf {
        self.dir.path().join("Out")
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.out().join(format!("{}{name}", self.tree.prefix))
    }

    fn inbox(&self) -> PathBuf {
        if self.tree.layout == "fs" { self.out().join("INBOX") } else { self.out() }
    }

    fn root(&self) -> PathBuf {
        self.out().join(MANIFEST)
    }

    /// Returns a folder that the root lists.
    fn any_folder(&self, dice: &mut Dice) -> PathBuf {
        let lists = if self.tree.layout == "fs" { "Lists/C" } else { "Lists.C" };
        self.folder(["A", "B", lists][dice.roll(3)])
    }

    fn any_mailbox(&self, dice: &mut Dice) -> PathBuf {
        if dice.roll(4) == 0 { self.inbox() } else { self.any_folder(dice) }
    }

    fn any_message(&self, dice: &mut Dice) -> (PathBuf, Message) {
        let mailbox = self.any_mailbox(dice);
        let mut all = messages(&mailbox);
        (mailbox, all.swap_remove(dice.roll(all.len())))
    }

    /// Returns any manifest, with its lines.
    fn any_manifest(&self, dice: &mut Dice) -> (PathBuf, Vec<Vec<u8>>) {
        let path = match dice.roll(3) {
            0 => self.root(),
            _ => self.any_mailbox(dice).join(MANIFEST),
        };
        let lines = lines_of(&path);
        (path, lines)
    }
}

fn lines_of(path: &Path) -> Vec<Vec<u8>> {
    fs::read(path).unwrap().split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect()
}

/// Returns the lines at which a section begins, and the number of all lines.
fn section_starts(lines: &[Vec<u8>]) -> Vec<usize> {
    let starts = (0..lines.len()).filter(|&n| lines[n].starts_with(b"{\"section\""));
    starts.chain([lines.len()]).collect()
}

/// Damages a folder as a whole.
fn damage_folder(copy: &Copy<'_>, dice: &mut Dice) -> Expected {
    let folder = copy.any_folder(dice);
    match dice.roll(6) {
        0 => {
            fs::remove_dir_all(folder).unwrap();
            expect("folder deleted", &["folder-deleted"], &[])
        }
        1 => {
            let mail = messages(&folder);
            mail.iter().for_each(|message| fs::remove_file(&message.path).unwrap());
            expect("folder emptied", &["message-gone"], &[])
        }
        2 => {
            fs::rename(&folder, copy.folder("Renamed")).unwrap();
            expect("folder renamed", &["folder-moved"], &[])
        }
        3 => {
            let name = if copy.tree.layout == "fs" { "B/Moved" } else { "B.Moved" };
            let folder = if folder == copy.folder("B") { copy.folder("A") } else { folder };
            fs::rename(&folder, copy.folder(name)).unwrap();
            expect("folder moved", &["folder-moved"], &[])
        }
        4 => {
            fs::remove_file(folder.join(MANIFEST)).unwrap();
            expect("folder's manifest deleted", &["manifest-gone"], &["manifest-missing"])
        }
        _ => {
            fs::remove_file(copy.root()).unwrap();
            expect("root's manifest deleted", LIST, &[])
        }
    }
}

/// Damages a message.
fn damage_message(copy: &Copy<'_>, dice: &mut Dice) -> Expected {
    let (mailbox, message) = copy.any_message(dice);
    let mut bytes = message.bytes.clone();
    // In the layout fs, each folder is verified by itself.
    let kinds = if copy.tree.layout == "fs" { 6 } else { 7 };
    match dice.roll(kinds) {
        0 => {
            let at = dice.roll(bytes.len());
            bytes[at] ^= 1 << dice.roll(8);
            rewrite(&message, &bytes);
            expect(
                "message: byte flipped",
                &["message-changed"],
                &[
                    "message-header-line",
                    "message-no-header",
                    "message-nul",
                    "message-from-line",
                    "message-long-line",
                    "maildir-untrue-size",
                ],
            )
        }
        1 => {
            rewrite(&message, &bytes[..dice.roll(bytes.len())]);
            expect(
                "message: cut off",
                &["message-changed"],
                &[
                    "maildir-untrue-size",
                    "message-empty",
                    "message-header-cut",
                    "message-header-line",
                    "message-no-header",
                ],
            )
        }
        2 => {
            fs::remove_file(&message.path).unwrap();
            expect("message: deleted", &["message-gone"], &[])
        }
        3 => {
            let all = messages(&mailbox);
            let other = all.iter().find(|other| other.bytes != message.bytes).unwrap();
            rewrite(&message, &other.bytes);
            rewrite(other, &message.bytes);
            expect("message: bytes swapped", &["message-swapped"], &["maildir-untrue-size"])
        }
        4 => {
            let name = format!("{}.M{}P1.host", message.epoch, dice.roll(1000));
            fs::rename(&message.path, mailbox.join("new").join(name)).unwrap();
            expect("message: renamed", &["message-renamed"], &[])
        }
        5 => {
            let name = format!("{}.070707070707070707070707.mailferry,S={},W=9", message.epoch, bytes.len());
            let path = mailbox.join("new").join(name);
            write(
                &path,
                b"Subject: other

not converted
",
            );
            expect("message: forged name", &["message-unrecorded"], &["maildir-untrue-size", "maildir-mtime"])
        }
        _ => {
            let target = if mailbox == copy.folder("A") { copy.folder("B") } else { copy.folder("A") };
            fs::rename(&message.path, target.join("cur").join(format!("{}:2,S", message.base()))).unwrap();
            expect("message: moved to another folder", &["message-moved"], &["message-reflagged"])
        }
    }
}

/// Writes other bytes with the old time.
fn rewrite(message: &Message, bytes: &[u8]) {
    write(&message.path, bytes);
}

/// Damages a manifest.
fn damage_manifest(copy: &Copy<'_>, dice: &mut Dice) -> Expected {
    let (path, mut lines) = copy.any_manifest(dice);
    let at = dice.roll(lines.len());
    let what = if path == copy.root() { "root's manifest" } else { "manifest" };
    let (kind, any, also): (&str, &[&str], &[&str]) = match dice.roll(9) {
        0 => {
            let mut text = lines.concat();
            let at = dice.roll(text.len());
            text[at] ^= 1 << dice.roll(8);
            lines = vec![text];
            ("bit flipped", DAMAGED, LIST)
        }
        1 => {
            let mut text = lines.concat();
            text.truncate(dice.roll(text.len()));
            lines = vec![text];
            ("cut off", &ANY_LOSS, LIST)
        }
        2 => {
            lines.remove(at);
            ("line deleted", &ANY_LOSS, LIST)
        }
        3 => {
            lines.insert(at, lines[at].clone());
            ("line doubled", DAMAGED, LIST)
        }
        4 => {
            let other = (at + 1) % lines.len();
            lines.swap(at, other);
            ("lines swapped", DAMAGED, LIST)
        }
        5 => {
            let junk: &[u8] = [&b"\0\0\0\0"[..], b"junk", b"junk\n", b"{}\n", b"\n"][dice.roll(5)];
            lines.push(junk.to_vec());
            ("junk at the end", DAMAGED, &[])
        }
        6 => {
            lines.push(lines[at].clone());
            ("line copied to the end", DAMAGED, LIST)
        }
        7 => {
            match section_starts(&lines)[..] {
                [_] => drop(lines.pop()),
                ref starts => {
                    let n = dice.roll(starts.len() - 1);
                    lines.drain(starts[n]..starts[n + 1]);
                }
            }
            ("section cut out", &ANY_LOSS, LIST)
        }
        _ => {
            let starts = section_starts(&lines);
            let n = dice.roll(starts.len());
            let section = match starts.get(n + 1) {
                Some(&end) => lines[starts[n]..end].to_vec(),
                None => vec![lines[at].clone()],
            };
            lines.extend(section);
            ("section doubled", DAMAGED, LIST)
        }
    };
    let was = fs::read(&path).unwrap();
    let now = lines.concat();
    // Swapping a line with itself, for example.
    if was == now {
        return expect("nothing", &[], &[]);
    }
    fs::write(&path, now).unwrap();
    expect(format!("{what}: {kind}"), any, also)
}

const ANY_LOSS: [&str; 7] = [
    "manifest-damaged",
    "conversion-unfinished",
    "folder-unlisted",
    "folder-list-behind",
    "message-unrecorded",
    "manifest-missing",
    "message-changed",
];

/// Forges the manifest of INBOX while its source is at hand: all hashes and sums are made right again.
fn forge(copy: &Copy<'_>, dice: &mut Dice) -> Expected {
    let path = copy.inbox().join(MANIFEST);
    let mut lines = lines_of(&path);
    // The last section that tells of all messages.
    let starts = section_starts(&lines);
    let begin = starts[starts.len() - 2];
    let of_messages: Vec<usize> =
        (begin..lines.len()).filter(|&n| lines[n].starts_with(b"{\"at\":")).collect();
    let n = of_messages[dice.roll(of_messages.len())];
    let text = String::from_utf8(lines[n].clone()).unwrap();
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    let name = line["name"].as_str().unwrap();
    let kind = match dice.roll(3) {
        0 => {
            // The message is another one, and so is its hash, in all sections.
            let all = messages(&copy.inbox());
            let message = all.iter().find(|message| message.base() == name).unwrap();
            let mut bytes = message.bytes.clone();
            let last = bytes.len() - 2;
            bytes[last] ^= 1;
            rewrite(message, &bytes);
            let digest = blake3::hash(&bytes).to_hex().to_string();
            for line in lines
                .iter_mut()
                .filter(|line| line.starts_with(b"{\"at\":") && String::from_utf8_lossy(line).contains(name))
            {
                let mut value: serde_json::Value = serde_json::from_slice(line).unwrap();
                let mut text = String::from_utf8(line.clone()).unwrap();
                for key in ["source", "file"] {
                    if let Some(old) = value[key].take().as_str() {
                        text =
                            text.replace(&format!("\"{key}\":\"{old}\""), &format!("\"{key}\":\"{digest}\""));
                    }
                }
                *line = text.into_bytes();
            }
            "a message"
        }
        1 => {
            // A message is left out, with its file.
            let all = messages(&copy.inbox());
            let message = all.iter().find(|message| message.base() == name).unwrap();
            fs::remove_file(&message.path).unwrap();
            lines.retain(|line| !String::from_utf8_lossy(line).contains(&format!("\"name\":\"{name}\"")));
            "a message left out"
        }
        _ => {
            let length = line["len"].as_u64().unwrap();
            lines[n] =
                text.replace(&format!("\"len\":{length},"), &format!("\"len\":{},", length - 1)).into_bytes();
            "a range"
        }
    };
    reseal(&mut lines);
    fs::write(&path, lines.concat()).unwrap();
    expect(format!("forged: {kind}"), &["manifest-damaged"], &["maildir-untrue-size"])
}

/// Makes all hashes of a manifest right.
fn reseal(lines: &mut [Vec<u8>]) {
    let mut last = None::<String>;
    let mut sections: Vec<Vec<u8>> = Vec::new();
    for line in lines {
        let mut text = String::from_utf8(line.clone()).unwrap();
        if let Some(at) = text.find("\"previous\":\"") {
            let at = at + "\"previous\":\"".len();
            text.replace_range(at..at + 64, last.as_deref().unwrap());
        }
        let mut hash = |hashed: &[u8], text: &mut String| {
            let at = text.find("\"end\":\"").unwrap() + "\"end\":\"".len();
            let digest = blake3::hash(&[hashed, &text.as_bytes()[..at]].concat()).to_hex().to_string();
            text.replace_range(at..at + 64, &digest);
            last = Some(digest);
        };
        if text.starts_with("{\"section\"") {
            sections.push(text.clone().into_bytes());
        } else if text.starts_with("{\"closes\"") {
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            let section = sections[value["closes"].as_u64().unwrap() as usize - 1].clone();
            hash(&section, &mut text);
        } else if text.starts_with("{\"folder\"") {
            hash(b"", &mut text);
        } else {
            sections.last_mut().unwrap().extend_from_slice(text.as_bytes());
        }
        *line = text.into_bytes();
    }
}

/// Does what users and mail programs do.
fn use_mail(copy: &Copy<'_>, dice: &mut Dice) -> Expected {
    let mut new = Vec::new();
    for _ in 0..1 + dice.roll(4) {
        let (mailbox, message) = copy.any_message(dice);
        match dice.roll(3) {
            0 => {
                let flags = ["", "S", "FS", "RS"][dice.roll(4)];
                let name = format!("{}:2,{flags}", message.base());
                fs::rename(&message.path, mailbox.join("cur").join(name)).unwrap();
            }
            1 => new.push(mailbox.join("new").join(format!("{}.M{}P7.host", message.epoch, dice.roll(9999)))),
            _ => fs::write(mailbox.join("dovecot-uidlist"), "3 V1 N1\n").unwrap(),
        }
    }
    for path in new {
        write(&path, format!("Subject: new {}\n\nmail\n", dice.roll(9999)).as_bytes());
    }
    expect("no damage: flags, new mail", &[], &[])
}

#[test]
fn any_damage_of_mail_folder_or_manifest_is_reported() {
    let trees = [Converted::new("maildir++", "."), Converted::new("fs", "")];
    let count = samples(60, 200, 1000);
    // By kind: the number of damages, of those reported, and the codes.
    let mut table: BTreeMap<String, (u32, u32, BTreeSet<String>)> = BTreeMap::new();
    let mut faults = Vec::new();
    for seed in 0..count {
        let mut dice = Dice(seed);
        let copy = trees[dice.roll(2)].copy();
        let expected = match dice.roll(11) {
            0..=2 => damage_folder(&copy, &mut dice),
            3..=4 => damage_message(&copy, &mut dice),
            5..=8 => damage_manifest(&copy, &mut dice),
            9 => forge(&copy, &mut dice),
            _ => use_mail(&copy, &mut dice),
        };
        let run = run(mailferry([Path::new("verify"), Path::new("--json"), &copy.out()]));
        let codes: BTreeSet<String> =
            run.findings().iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect();
        let Expected { kind, any, also } = expected;
        let what = format!("seed {seed}, {kind}, {}: {}", copy.tree.layout, run.text());
        if !matches!(run.code, Some(0 | 1)) {
            faults.push(format!("exit: {what}"));
        }
        let is_reported = any.iter().any(|code| codes.contains(*code));
        if !is_reported && !any.is_empty() {
            faults.push(format!("not reported: {what}"));
        }
        let complaints = run.complaints();
        let is_expected = |code: &String| any.contains(&&**code) || also.contains(&&**code);
        if !complaints.iter().all(is_expected) {
            faults.push(format!("falsely reported, {complaints:?}: {what}"));
        }
        let row = table.entry(kind).or_default();
        row.0 += 1;
        row.1 += u32::from(is_reported);
        row.2.extend(codes.into_iter().filter(|code| is_expected(code)));
    }
    for (kind, (damages, reported, codes)) in &table {
        let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
        note!("{kind:40} {damages:4} {reported:4}  {}", codes.join(", "));
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn exact_writes_nothing_before_all_of_it_is_known_to_be_right() {
    let setup = Setup::new();
    let source =
        setup.file("inbox", format!("junk\n\n{}", (0..5).map(|n| mail(n) + "\n").collect::<String>()));
    setup.convert(&[], &[&source]);
    // All messages are there, and the bytes before them are others.
    let mut lines = lines_of(&setup.manifest());
    let gap = lines.iter_mut().find(|line| line.starts_with(b"{\"gap\"")).unwrap();
    *gap = String::from_utf8_lossy(gap).replace("anVuaw", "SnVuaw").into_bytes();
    reseal(&mut lines);
    fs::write(setup.manifest(), lines.concat()).unwrap();
    let run =
        run(mailferry(["convert".as_ref(), "--exact".as_ref(), setup.maildir().as_os_str(), "-".as_ref()]));
    assert_eq!((run.code, run.stdout.len()), (Some(3), 0), "{}", run.stderr);
    assert!(run.stderr.contains("do not add up to its source"), "{}", run.stderr);
}
