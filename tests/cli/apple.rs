//! Apple Mail: `.emlx` files, partial ones with their attachments, and the tree of `~/Library/Mail`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::*;

/// Set in every real file, with no meaning that is documented.
const UNKNOWN: u64 = 1 << 33;
const RECEIVED: i64 = 1_339_222_033;

/// Returns an `.emlx` with these flags, received a number of seconds after [`RECEIVED`].
pub(crate) fn emlx(message: &str, flags: u64, seconds: i64) -> String {
    format!(
        "{:<10}\n{message}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST \
         1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">\n<dict>\n\
         \t<key>date-received</key>\n\t<integer>{}</integer>\n\t<key>flags</key>\n\t<integer>{}</integer>\n\
         \t<key>remote-id</key>\n\t<string>a &amp; b</string>\n</dict>\n</plist>\n",
        message.len(),
        RECEIVED + seconds,
        UNKNOWN | flags
    )
}

fn message(subject: &str) -> String {
    format!(
        "From: a@example.org\nSubject: {subject}\nMessage-ID: <{subject}@example.org>\n\nFrom here\n{subject}\n"
    )
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Returns a message with an attachment of Apple Mail that is elsewhere, and the whole one.
pub(crate) fn with_attachment(attachment: &[u8]) -> (String, String) {
    let encoded: String = data_encoding::BASE64
        .encode(attachment)
        .as_bytes()
        .chunks(76)
        .map(|line| std::str::from_utf8(line).unwrap().to_owned() + "\n")
        .collect();
    let whole = |length: &str, body: &str| {
        format!(
            "Subject: partial\nFrom: a@b\nContent-Type: multipart/mixed; boundary=\"x\"\n\n--x\nContent-Type: text/plain\n\n\
             Hello\n--x\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment;\n\tfilename=photo.png\n\
             {length}\n{body}\n--x--\n"
        )
    };
    let length = format!("X-Apple-Content-Length: {}\n", encoded.len() - 1);
    (whole(&length, ""), whole("", &encoded))
}

/// Writes a tree of one account.
fn account() -> (TempDir, PathBuf) {
    let scratch = scratch();
    let root = scratch.path().join("Mail");
    let account = root.join("V10/13C9A646-1111-4222-8333-E07FFBDDEED3");
    let data = |mailbox: &str| account.join(mailbox).join("0D2BFF40-5555-4666-8777-A4D8444F65D1/Data");
    write(&data("INBOX.mbox").join("Messages/7.emlx"), emlx(&message("seven"), 1, 7));
    write(&data("INBOX.mbox").join("4/1/1/Messages/114892.emlx"), emlx(&message("late"), 0, 9));
    write(&data("INBOX.mbox").join("Messages/.DS_Store"), "x");
    let (partial, _) = with_attachment(&[7; 5000]);
    write(&data("INBOX.mbox").join("1/Messages/1000.partial.emlx"), emlx(&partial, 1, 8));
    write(&data("INBOX.mbox").join("1/Attachments/1000/2/Foto 1.png"), [7; 5000]);
    write(&data("INBOX.mbox").join("1/Messages/1001.partial.emlx"), emlx(&partial, 1, 8));
    write(&data("INBOX.mbox").join("1/Messages/1001.emlx"), emlx(&message("whole"), 1, 8));
    // An attached message is not a message of the mailbox.
    write(&data("INBOX.mbox").join("1/Attachments/1001/2/attached.eml"), message("attached"));
    write(&data("Archive.mbox/2019.mbox").join("Messages/3.emlx"), emlx(&message("archived"), 1 | 1 << 4, 3));
    write(&data("Bu\u{308}ro.mbox").join("Messages/4.emlx"), emlx(&message("office"), 1, 4));
    write(&account.join("INBOX.mbox/Info.plist"), "<?xml version=\"1.0\"?><plist><dict></dict></plist>");
    write(&root.join("V10/MailData/Envelope Index"), "SQLite format 3\0");
    (scratch, root)
}

/// Returns the flags of each message by its subject, with its keywords in full.
fn flags_by_subject(maildir: &Path) -> BTreeMap<String, String> {
    let keywords = fs::read_to_string(maildir.join("dovecot-keywords")).unwrap_or_default();
    let keyword = |letter: char| {
        let line = keywords.lines().nth(letter as usize - 'a' as usize).unwrap();
        line.split_once(' ').unwrap().1
    };
    let mut flags = BTreeMap::new();
    for directory in ["cur", "new"] {
        for name in names(&maildir.join(directory)) {
            let text = fs::read_to_string(maildir.join(directory).join(&name)).unwrap();
            let subject = text.split_once("Subject: ").unwrap().1.lines().next().unwrap().to_owned();
            let info = name.split_once(":2,").map_or("", |(_, info)| info);
            let shown = |letter: char| match letter {
                'a'..='z' => format!(" {}", keyword(letter)),
                letter => letter.to_string(),
            };
            flags.insert(subject, info.chars().map(shown).collect());
        }
    }
    flags
}

#[test]
fn every_flag_of_a_message_comes_over() {
    let scratch = scratch();
    let (tree, maildir) = (scratch.path().join("INBOX.mbox"), scratch.path().join("Maildir"));
    let bits = [
        ("read", 0, "S"),
        ("deleted", 1, "T"),
        ("answered", 2, "R"),
        ("encrypted", 3, ""),
        ("flagged", 4, "F"),
        ("recent", 5, ""),
        ("draft", 6, "D"),
        ("initial", 7, ""),
        ("forwarded", 8, "P"),
        ("redirected", 9, "P"),
        ("attachments", 10, ""),
        ("priority", 16, ""),
        ("signed", 23, ""),
        ("junk", 24, " $Junk"),
        ("not-junk", 25, " $NotJunk"),
        ("font", 26, ""),
        ("junk-level", 29, ""),
        ("highlight", 30, ""),
        ("bit-31", 31, ""),
        ("bit-63", 63, ""),
    ];
    let mut expected = BTreeMap::new();
    for (n, (name, bit, flags)) in bits.iter().enumerate() {
        write(&tree.join(format!("Messages/{n}.emlx")), emlx(&message(name), 1 << bit, n as i64));
        expected.insert((*name).to_owned(), (*flags).to_owned());
    }
    let all = 1 | 2 | 4 | 1 << 4 | 1 << 6 | 1 << 8 | 1 << 24;
    // The store decides, and not what the header says.
    let header = message("all").replace("\n\n", "\nStatus: O\nX-Status: T\nX-Keywords: own\n\n");
    write(&tree.join("Messages/99.emlx"), emlx(&header, all, 0));
    expected.insert("all".into(), "DFPRST own $Junk".into());
    convert([&tree, &maildir]);
    let mut found = flags_by_subject(&maildir);
    let sorted = |text: &String| {
        let mut words: Vec<&str> = text.split(' ').collect();
        words[1..].sort();
        words.join(" ")
    };
    found.values_mut().for_each(|flags| *flags = sorted(flags));
    expected.values_mut().for_each(|flags| *flags = sorted(flags));
    assert_eq!(found, expected);
    // Verify takes the flags and dates as convert does.
    let run =
        mailferry(["verify", "--metadata", tree.to_str().unwrap(), "--against", maildir.to_str().unwrap()]);
    assert_eq!(crate::support::run(run).exits(0).stderr, "");
    // Each file is a source, and a sentence about each would hide the sum.
    let verdict = run_on(&["verify"], &maildir).exits(0).text();
    assert_eq!(verdict.lines().count(), 2, "{verdict}");
    assert!(verdict.contains("21 of 21 messages of 21 sources"), "{verdict}");
    // They go into an mbox, too.
    let mbox = scratch.path().join("mbox/");
    convert([tree.as_os_str(), format!("mbox:{}/", mbox.display()).as_ref()]);
    let back = scratch.path().join("back");
    convert([mbox.join("INBOX"), back.clone()]);
    let mut again = flags_by_subject(&back);
    again.values_mut().for_each(|flags| *flags = sorted(flags));
    assert_eq!(again, expected);
}

#[test]
fn a_tree_becomes_folders_and_partial_messages_become_whole() {
    let (scratch, tree) = account();
    let maildir = scratch.path().join("Maildir");
    let before = crate::support::tree(&tree);
    let run = convert([&tree, &maildir]);
    assert_eq!(run.complaints(), [""; 0]);
    let summary = run.summary();
    assert_eq!((count(&summary, "messages_found"), count(&summary, "written")), (6, 6));
    assert_eq!(crate::support::tree(&tree), before, "the source is unchanged");
    let of = |folder: &str| flags_by_subject(&maildir.join(folder));
    let inbox: Vec<String> = of("").into_keys().collect();
    assert_eq!(inbox, ["late", "partial", "seven", "whole"]);
    assert_eq!(of(".Archive.2019").into_values().collect::<Vec<_>>(), ["FS"]);
    assert_eq!(of(".B&APw-ro").len(), 1);
    let (_, whole) = with_attachment(&[7; 5000]);
    let read = |name: &String| fs::read_to_string(maildir.join("cur").join(name)).unwrap();
    let partial =
        names(&maildir.join("cur")).into_iter().find(|name| read(name).starts_with("Subject: partial"));
    let partial = partial.unwrap();
    assert_eq!(read(&partial), whole);
    assert!(partial.starts_with(&format!("{}.", RECEIVED + 8)), "{partial}");
    // Again, and after a change of flags.
    assert_eq!(count(&convert([&tree, &maildir]).summary(), "already_present"), 6);
    let seven = tree.join("V10/13C9A646-1111-4222-8333-E07FFBDDEED3/INBOX.mbox/0D2BFF40-5555-4666-8777-A4D8444F65D1/Data/Messages/7.emlx");
    write(&seven, emlx(&message("seven"), 1 | 4, 7));
    assert_eq!(count(&convert([&tree, &maildir]).summary(), "written"), 0);
    for args in [&["verify"][..], &["verify", tree.to_str().unwrap(), "--against"]] {
        run_on(args, &maildir).exits(0);
    }
    // Each file comes back byte for byte; a partial one as the whole one.
    for (name, expected) in
        [("7.emlx", emlx(&message("seven"), 1 | 4, 7)), ("1000.partial.emlx", emlx(&whole, 1, 8))]
    {
        let manifest = fs::read_to_string(maildir.join("mailferry.manifest")).unwrap();
        let line = manifest.lines().find(|line| line.contains(&format!("/{name}\""))).unwrap();
        let source = line.split("\"source\":\"").nth(1).unwrap().split('"').next().unwrap();
        let out = scratch.path().join(name);
        let args =
            ["convert", "--exact", "--source", source, maildir.to_str().unwrap(), out.to_str().unwrap()];
        run_on(&args, Path::new("--quiet")).exits(0);
        assert_eq!(fs::read_to_string(out).unwrap(), expected, "{name}");
    }
}

fn run_on(args: &[&str], last: &Path) -> Run {
    let mut command = mailferry(args);
    command.arg(last);
    run(command)
}

#[test]
fn several_accounts_are_kept_apart() {
    let scratch = scratch();
    let tree = scratch.path().join("V10");
    for (account, subject) in [("1A", "one"), ("2B", "two")] {
        write(&tree.join(account).join("INBOX.mbox/9F/Data/Messages/1.emlx"), emlx(&message(subject), 1, 0));
    }
    let maildir = scratch.path().join("Maildir");
    convert([&tree, &maildir]);
    for (folder, subject) in [(".1A.INBOX", "one"), (".2B.INBOX", "two")] {
        let found: Vec<String> = flags_by_subject(&maildir.join(folder)).into_keys().collect();
        assert_eq!(found, [subject]);
    }
}

#[test]
fn a_missing_part_is_an_error_and_the_rest_is_written() {
    let scratch = scratch();
    let file = scratch.path().join("Messages/8.partial.emlx");
    let (partial, whole) = with_attachment(b"attachment");
    write(&file, emlx(&partial, 1, 0));
    let maildir = scratch.path().join("Maildir");
    let run = run(convert_command([&file, &maildir])).exits(1);
    assert_eq!(run.complaints(), ["emlx-part-missing"]);
    assert!(run.stderr.is_empty() && run.text().contains("part 2 (photo.png) is missing"), "{}", run.text());
    assert_eq!(count(&run.summary(), "written"), 1);
    // Once Apple Mail has loaded the part, the whole message is new.
    write(&scratch.path().join("Attachments/8/2/photo.png"), "attachment");
    let run = convert([&file, &maildir]);
    assert_eq!(count(&run.summary(), "written"), 1);
    let texts: Vec<Vec<u8>> = names(&maildir.join("cur"))
        .iter()
        .map(|name| fs::read(maildir.join("cur").join(name)).unwrap())
        .collect();
    assert!(texts.contains(&whole.into_bytes()));
}

#[test]
fn damage_is_reported_with_the_file_and_the_mail_is_kept() {
    let scratch = scratch();
    let text = message("x");
    let good = emlx(&text, 1, 0);
    let list = &good[11 + text.len()..];
    for (name, bytes, code, verdict) in [
        ("count too small", format!("{}\n{text}{list}", text.len() - 4), "emlx-length", 1),
        ("count too large", format!("{}\n{text}{list}", text.len() + 4000), "emlx-length", 1),
        ("cut off", format!("{}\n{text}", text.len()), "emlx-plist", 0),
        ("cut in the list", good[..good.len() - 60].to_owned(), "emlx-plist", 0),
        ("binary list", format!("{}\n{text}bplist00\u{1}", text.len()), "emlx-plist", 0),
    ] {
        let directory = scratch.path().join(name);
        let (file, maildir) = (directory.join("store/7.emlx"), directory.join("Maildir"));
        write(&file, &bytes);
        for source in [&file, &directory.join("store")] {
            let run = convert([source, &maildir]);
            assert_eq!(
                (run.complaints(), count(&run.summary(), "written")),
                (vec![code.to_owned()], 1),
                "{name}"
            );
            let subdir = if names(&maildir.join("cur")).is_empty() { "new" } else { "cur" };
            let file = maildir.join(subdir).join(&names(&maildir.join(subdir))[0]);
            assert_eq!(fs::read_to_string(file).unwrap(), text, "{name}");
            fs::remove_dir_all(&maildir).unwrap();
        }
        run_on(&["verify"], &file).exits(verdict);
    }
    // A file without a byte count and without a header is named.
    let file = scratch.path().join("other/1.emlx");
    write(&file, "no mail\n");
    write(&file.with_file_name("2.emlx"), &good);
    let run = run(convert_command([file.parent().unwrap(), &scratch.path().join("M")])).exits(1);
    assert_eq!(run.complaints(), ["tree-mail-skipped"]);
}

#[test]
fn bytes_after_the_property_list_are_not_lost_silently() {
    let scratch = scratch();
    let (file, maildir) = (scratch.path().join("7.emlx"), scratch.path().join("Maildir"));
    let good = emlx(&message("first"), 1, 0);
    for more in [emlx(&message("second"), 1, 0), "more\n".to_owned()] {
        write(&file, format!("{good}{more}"));
        let run = run(convert_command([&file, &maildir])).exits(1);
        assert_eq!((run.complaints(), count(&run.summary(), "written")), (vec!["mbox-junk".to_owned()], 1));
        assert_eq!(count(&run.summary(), "bytes_junk"), more.len() as u64);
        run_on(&["verify"], &file).exits(1);
        let out = scratch.path().join("out");
        run_on(&["convert", "--exact", maildir.to_str().unwrap()], &out).exits(0);
        assert_eq!(fs::read_to_string(&out).unwrap(), format!("{good}{more}"));
        fs::remove_dir_all(&maildir).unwrap();
        fs::remove_file(&out).unwrap();
    }
}

#[test]
fn an_archive_of_the_tree_gives_the_same_mail() {
    let (scratch, tree) = account();
    let tar = scratch.path().join("mail.tar");
    let status = std::process::Command::new("tar")
        .arg("-C")
        .arg(scratch.path())
        .arg("-cf")
        .arg(&tar)
        .arg("Mail")
        .status();
    assert!(status.unwrap().success());
    let (maildir, from_tar) = (scratch.path().join("Maildir"), scratch.path().join("from-tar"));
    convert([&tree, &maildir]);
    convert([&tar, &from_tar]);
    run_on(&["verify", maildir.to_str().unwrap(), "--against"], &from_tar).exits(0);
}

#[test]
fn a_single_partial_message_is_whole_within_the_sandbox() {
    // The sandbox of a command can read its spool directory, so this is the only one elsewhere.
    let (_scratch, tree) = account();
    let (scratch, spool) = (scratch(), scratch());
    let data = tree.join(
        "V10/13C9A646-1111-4222-8333-E07FFBDDEED3/INBOX.mbox/0D2BFF40-5555-4666-8777-A4D8444F65D1/Data",
    );
    let partial = data.join("1/Messages/1000.partial.emlx");
    let (_, whole) = with_attachment(&[7; 5000]);
    let run_in = |args: &[&str]| {
        let mut command = mailferry(args);
        command.env("TMPDIR", spool.path());
        run(command)
    };
    let path = partial.to_str().unwrap();
    assert_eq!(run_in(&["inspect", path, "1"]).exits(0).text(), whole);
    let maildir = scratch.path().join("Maildir");
    convert([&partial, &maildir]);
    run_in(&["verify", path, "--against", maildir.to_str().unwrap()]).exits(0);
    run_in(&["verify", "--strict", maildir.to_str().unwrap()]).exits(0);
}

/// Real and synthetic stores, with what other readers reported.
#[test]
fn the_stores_are_read_as_other_readers_do() {
    // How many flags, dates and hashes are compared at least.
    for (store, uncertain, least) in [("emlx-v10", 1, [25, 25, 28]), ("emlx-public", 0, [3, 3, 2])] {
        let Some(directory) = shared(&format!("stores/{store}")) else { return };
        let scratch = scratch();
        let archive = directory.join("store.tar.zst");
        let unpacked = std::process::Command::new("tar")
            .arg("--zstd")
            .arg("-xpf")
            .arg(archive)
            .current_dir(&scratch)
            .status();
        if !unpacked.is_ok_and(|status| status.success()) {
            skip!("tar cannot unpack zstd");
        }
        let json: Value =
            serde_json::from_str(&fs::read_to_string(directory.join("expected.json")).unwrap()).unwrap();
        let root = scratch.path().join("store");
        let (mut differing, mut flagged, mut dated, mut hashed) = (0, 0, 0, 0);
        for expected in json["messages"].as_array().unwrap() {
            let file = root.join(expected["file"].as_str().unwrap());
            if expected.get("superseded_by").is_some() || expected.get("broken").is_some() {
                continue;
            }
            let what = file.display();
            let maildir = scratch.path().join("Maildir");
            let run = run(convert_command([&file, &maildir]));
            assert_eq!(count(&run.summary(), "written"), 1, "{what}");
            let entry = ["cur", "new"]
                .map(|dir| maildir.join(dir))
                .into_iter()
                .find(|dir| !names(dir).is_empty())
                .unwrap();
            let name = names(&entry).remove(0);
            let bytes = fs::read(entry.join(&name)).unwrap();
            if let Some(flags) = expected["flags"]["maildir"].as_str() {
                let info: String = name
                    .split(":2,")
                    .nth(1)
                    .unwrap_or_default()
                    .chars()
                    .filter(|c| c.is_ascii_uppercase())
                    .collect();
                assert_eq!(info, flags, "{what}");
                flagged += 1;
            }
            if let Some(received) = expected["received_unix"].as_i64() {
                assert!(name.starts_with(&format!("{received}.")), "{what}: {name}");
                dated += 1;
            }
            let hash = expected["whole"]["sha256_if_base64_is_76_columns_LF"].as_str();
            let is_partial = expected.get("parts").is_some();
            let hash = hash.or(expected["sha256"].as_str().filter(|_| !is_partial));
            if let Some(hash) = hash {
                let found = data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes));
                differing += usize::from(found != hash);
                hashed += 1;
            }
            assert_eq!(run.code == Some(1), expected["whole"] == "missing", "{what}");
            fs::remove_dir_all(maildir).unwrap();
        }
        // The message whose count is larger than its file ends at its property list.
        assert_eq!(differing, uncertain, "{store}");
        let compared = [flagged, dated, hashed];
        assert!(compared.iter().zip(least).all(|(found, least)| *found >= least), "{store}: {compared:?}");
    }
}

#[test]
fn folders_of_mh_with_the_names_of_apple_mail_are_mail() {
    let scratch = scratch();
    let (tree, maildir) = (scratch.path().join("Mail"), scratch.path().join("Maildir"));
    for n in 1..4 {
        write(&tree.join(format!("Messages/{n}")), message(&format!("message {n}")));
        write(&tree.join(format!("Attachments/{n}")), message(&format!("attachment {n}")));
        // A folder of MH can be in another, and its name can be a number.
        write(&tree.join(format!("Old/Attachments/2004/{n}")), message(&format!("old {n}")));
    }
    // The messages next to it are of Apple Mail, and of an MH that saved some with this extension.
    write(&tree.join("Old/Messages/1.emlx"), emlx(&message("saved"), 1, 0));
    let run = convert([&tree, &maildir]);
    assert_eq!(count(&run.summary(), "written"), 10);
    for folder in [".Messages", ".Attachments", ".Old.Attachments.2004"] {
        assert_eq!(messages(&maildir.join(folder)).len(), 3, "{folder}");
    }
}

#[test]
fn names_in_a_tree_are_bytes() {
    let scratch = scratch();
    let tree = scratch.path().join("V2");
    let mailbox = tree.join("IMAP-a@b").join(std::ffi::OsStr::from_bytes(b"caf\xe9.imapmbox"));
    write(&mailbox.join("Messages/1.emlx"), emlx(&message("latin"), 1, 0));
    let maildir = scratch.path().join("Maildir");
    convert([&tree, &maildir]);
    assert_eq!(flags_by_subject(&maildir.join(".caf\\e9")).len(), 1);
}
