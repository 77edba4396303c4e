//! verify: each finding has the right code and no other, an undamaged mailbox has none, any single fault in a
//! converted tree is found, and repairs fix what they report and touch no mail.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, FileTimes, Permissions};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use expect_test::expect;
use mailferry::Code;
use serde_json::Value;

use crate::apple::{emlx, with_attachment};
use crate::support::*;

const FROM: &str = "From ada@example.org Mon Mar  2 08:15:00 1998\n";
const EPOCH: u64 = 888_826_500;

fn verify<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Run {
    let mut command = mailferry(["verify", "--json", "--lock=none"]);
    command.args(args);
    run(command)
}

/// Returns the codes of a report, without those that every mailbox and every manifest has.
fn codes(run: &Run) -> BTreeSet<String> {
    let codes = run.findings().into_iter().map(|f| f["code"].as_str().unwrap().to_owned());
    codes.filter(|code| code != "mbox-variant" && code != "source-compared").collect()
}

fn set_times(path: &Path, time: SystemTime) {
    let times = FileTimes::new().set_modified(time).set_accessed(time);
    fs::File::open(path).unwrap().set_times(times).unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn epoch() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH)
}

/// The directory in which a case creates its mailboxes.
struct Workdir<'a>(&'a Path);

impl Workdir<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Creates a file, and the directories above it.
    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Creates an mbox with this text.
    fn mbox(&self, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path("box");
        fs::write(&path, text).unwrap();
        path
    }

    /// Creates an empty Maildir.
    fn maildir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        for directory in ["", "tmp", "new", "cur"] {
            fs::create_dir(path.join(directory)).unwrap();
            set_mode(&path.join(directory), 0o700);
        }
        path
    }

    /// Creates a Maildir with a message of this name.
    fn with(&self, subdir: &str, info: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let maildir = self.maildir("Maildir");
        put(&maildir, subdir, &format!("{EPOCH}.1.host{info}"), bytes.as_ref());
        maildir
    }

    /// Converts a tree of one mbox.
    fn converted_tree(&self) -> PathBuf {
        let (source, maildir) = (self.path("tree"), self.path("Maildir"));
        fs::create_dir(&source).unwrap();
        fs::write(source.join("a"), many(3)).unwrap();
        convert([&source, &maildir]);
        maildir
    }

    /// Converts an mbox of three messages, and returns the Maildir and its messages.
    fn converted(&self) -> (PathBuf, Vec<Message>) {
        let (source, maildir) = (self.path("source.mbox"), self.path("Maildir"));
        fs::write(&source, many(3)).unwrap();
        convert([&source, &maildir]);
        let messages = messages(&maildir);
        (maildir, messages)
    }
}

/// Writes a file as a delivery does.
fn put(maildir: &Path, subdir: &str, name: &str, bytes: &[u8]) -> PathBuf {
    let path = maildir.join(subdir).join(name);
    write(&path, bytes);
    path
}

/// Writes a file with the mode and mtime of a delivery.
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    set_mode(path, 0o600);
    let name = path.file_name().unwrap().to_str().unwrap();
    let seconds = name.split('.').next().and_then(|n| n.parse().ok()).unwrap_or(EPOCH);
    set_times(path, SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
}

const MESSAGE: &str = "Subject: one\n\nbody\n";

/// The arguments for verify, or None where the case cannot be created.
type CaseArgs = Option<Vec<OsString>>;
type Case = (Code, &'static [Code], fn(&Workdir<'_>) -> CaseArgs);

fn args(paths: impl IntoIterator<Item = PathBuf>) -> CaseArgs {
    Some(paths.into_iter().map(OsString::from).collect())
}

fn mbox(dir: &Workdir<'_>, text: impl AsRef<[u8]>) -> CaseArgs {
    args([dir.mbox(text)])
}

/// Creates two Maildirs with these messages, to be compared.
fn against(dir: &Workdir<'_>, here: &[&str], there: &[&str]) -> CaseArgs {
    for (name, messages) in [("here", here), ("other", there)] {
        let maildir = dir.maildir(name);
        for (n, message) in messages.iter().enumerate() {
            put(&maildir, "cur", &format!("{EPOCH}.{n}.host:2,"), message.as_bytes());
        }
    }
    args(["--against".into(), dir.path("other"), dir.path("here")])
}

/// Creates two trees of mboxes with one message each. They are the same, but if a name ends in `.gone`, the
/// second tree has no such folder and its mail is in the first folder.
fn two_trees(dir: &Workdir<'_>, here: &[&str], there: &[&str]) -> CaseArgs {
    for (side, names) in [("here", here), ("other", there)] {
        fs::create_dir(dir.path(side)).unwrap();
        let mut first = format!("{FROM}{MESSAGE}\n");
        for name in names {
            let text = format!("{FROM}{MESSAGE}\n");
            match name.strip_suffix(".gone") {
                None => fs::write(dir.path(side).join(name), text).unwrap(),
                Some(_) => first.push_str(&text),
            }
        }
        if let Some(name) = names.first() {
            fs::write(dir.path(side).join(name), first).unwrap();
        }
    }
    args(["--against".into(), dir.path("other"), dir.path("here")])
}

/// A fixture for each code: the code that must be found, and the codes that necessarily occur with it.
const CASES: &[Case] = &[
    (Code::NotAMailbox, &[], |d| mbox(d, "no mail in here\n")),
    (Code::MboxVariant, &[], |d| mbox(d, format!("{FROM}{MESSAGE}\n"))),
    (Code::MboxVotesSplit, &[], |d| {
        mbox(d, format!("{FROM}A: 1\n\n>> a\n>>From b\n>> c\nplain\n>>From d\nplain\n>>From e\nplain\n\n"))
    }),
    (Code::MboxJunk, &[], |d| mbox(d, format!("left over\n\n{FROM}{MESSAGE}\n"))),
    (Code::MboxBom, &[], |d| mbox(d, format!("\u{feff}{FROM}{MESSAGE}\n"))),
    (Code::MboxBlankLead, &[], |d| mbox(d, format!("\n\n{FROM}{MESSAGE}\n"))),
    (Code::MboxNoBlankLine, &[], |d| mbox(d, format!("{FROM}{MESSAGE}{FROM}{MESSAGE}\n"))),
    (Code::MboxNoHeader, &[], |d| mbox(d, format!("{FROM}{MESSAGE}\n{FROM}\nbody\n\n"))),
    (Code::MboxDoubledFrom, &[], |d| mbox(d, format!("{FROM}{FROM}{MESSAGE}\n"))),
    (Code::MboxUndated, &[], |d| mbox(d, format!("From ada@example.org\n{MESSAGE}\n"))),
    (Code::MboxFromInBody, &[], |d| mbox(d, format!("{FROM}{MESSAGE}\n{FROM}said this\n\n"))),
    (Code::MboxGluedFrom, &[], |d| mbox(d, format!("{FROM}A: 1\n\ntext{FROM}{MESSAGE}\n"))),
    (Code::MboxUnquotedFrom, &[], |d| mbox(d, format!("{FROM}A: 1\n\nFrom here to there\nit is far\n\n"))),
    (Code::MboxAttachedFrom, &[], |d| {
        let part = format!("--x\nContent-Type: message/rfc822\n\n{FROM}{MESSAGE}\n--x--\n");
        mbox(d, format!("{FROM}Content-Type: multipart/mixed; boundary=x\n\n{part}\n"))
    }),
    (Code::MboxCoveredFrom, &[], |d| {
        let body = format!("text\n\n{FROM}{MESSAGE}");
        mbox(d, format!("{FROM}Content-Length: {}\n\n{body}\n", body.len()))
    }),
    (Code::MboxContentLength, &[], |d| mbox(d, format!("{FROM}Content-Length: 2\n\nbody\n\n"))),
    (Code::MboxLengthNoBlank, &[], |d| {
        mbox(d, format!("{FROM}Content-Length: 5\n\nbody\n{FROM}Content-Length: 5\n\nbody\n\n"))
    }),
    (Code::MmdfUnclosed, &[], |d| mbox(d, format!("\u{1}\u{1}\u{1}\u{1}\n{MESSAGE}"))),
    (Code::MboxPseudo, &[], |d| {
        let pseudo = "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\n\ndata\n\n";
        mbox(d, format!("{FROM}{pseudo}{FROM}{MESSAGE}\n"))
    }),
    (Code::MboxCrOnly, &[], |d| mbox(d, format!("{FROM}{MESSAGE}\n").replace('\n', "\r"))),
    (Code::MboxLoneCr, &[], |d| mbox(d, format!("{FROM}A: 1\n\nbo\rdy\n\n"))),
    (Code::MboxNul, &[], |d| mbox(d, format!("{FROM}A: 1\n\nbo\0\0dy\n\n"))),
    (Code::MboxHeaderCut, &[], |d| mbox(d, format!("{FROM}{MESSAGE}\n{FROM}Subject: cu"))),
    (Code::MboxNoFinalNewline, &[], |d| mbox(d, format!("{FROM}A: 1\n\nbody"))),
    (Code::MboxNoFinalBlank, &[], |d| mbox(d, format!("{FROM}A: 1\n\nbody\n"))),
    (Code::EmlxLength, &[], |d| {
        let text = emlx(MESSAGE, 1, 0);
        args([d.file("7.emlx", text.replacen(&MESSAGE.len().to_string(), "9", 1))])
    }),
    (Code::EmlxPlist, &[], |d| args([d.file("7.emlx", format!("{}\n{MESSAGE}", MESSAGE.len()))])),
    (Code::EmlxPartMissing, &[], |d| {
        let (partial, _) = with_attachment(b"attachment");
        args([d.file("Messages/8.partial.emlx", emlx(&partial, 1, 0))])
    }),
    (Code::EmlxPartEncoded, &[], |d| {
        let (partial, _) = with_attachment(b"attachment");
        let partial = partial.replace("Length: 16", "Length: 99");
        d.file("Attachments/8/2/photo.png", "attachment");
        args([d.file("Messages/8.partial.emlx", emlx(&partial, 1, 0))])
    }),
    (Code::MaildirNoDirectory, &[], |d| {
        let maildir = d.with("cur", ":2,S", MESSAGE);
        fs::remove_dir(maildir.join("tmp")).unwrap();
        args([maildir])
    }),
    (Code::MaildirMode, &[], |d| {
        let maildir = d.with("cur", ":2,S", MESSAGE);
        set_mode(&maildir.join("new"), 0o500);
        args([maildir])
    }),
    (Code::MaildirOpen, &[], |d| {
        let maildir = d.with("cur", ":2,S", MESSAGE);
        set_mode(d.0, 0o755);
        if d.0.ancestors().any(|above| fs::metadata(above).unwrap().mode() & 0o001 == 0) {
            skip!("other users cannot get as far as the directory of tests");
        }
        set_mode(&maildir, 0o755);
        set_mode(&maildir.join("cur"), 0o755);
        args([maildir])
    }),
    (Code::MaildirLooseMode, &[], |d| {
        let maildir = d.with("cur", ":2,S", MESSAGE);
        set_mode(&maildir.join(format!("cur/{EPOCH}.1.host:2,S")), 0o644);
        args([maildir])
    }),
    (Code::MaildirOwner, &[], |d| {
        let maildir = d.with("cur", ":2,S", MESSAGE);
        let message = maildir.join(format!("cur/{EPOCH}.1.host:2,S"));
        if std::os::unix::fs::chown(&message, Some(65534), None).is_err() {
            skip!("only root can give a file away");
        }
        args([maildir])
    }),
    (Code::MaildirBadInfo, &[], |d| args([d.with("cur", ":2,SR", MESSAGE)])),
    (Code::MaildirDuplicate, &[], |d| {
        let maildir = d.with("cur", ":2,S", MESSAGE);
        put(&maildir, "new", &format!("{EPOCH}.1.host"), b"Subject: two\n\nother\n");
        args([maildir])
    }),
    (Code::MaildirUntrueSize, &[], |d| args([d.with("cur", ",S=17:2,S", MESSAGE)])),
    (Code::MaildirStaleTmp, &[], |d| {
        let maildir = d.with("cur", ":2,S", MESSAGE);
        put(&maildir, "tmp", "1.2.host", b"Subject: ha");
        args([maildir])
    }),
    (Code::MaildirFlagsInNew, &[], |d| args([d.with("new", ":2,S", MESSAGE)])),
    (Code::MaildirMtime, &[], |d| {
        let maildir = d.with("cur", ":2,S", MESSAGE);
        set_times(&maildir.join(format!("cur/{EPOCH}.1.host:2,S")), SystemTime::UNIX_EPOCH);
        args([maildir])
    }),
    (Code::UidListDamaged, &[], |d| {
        let maildir = d.with("cur", ":2,S", MESSAGE);
        fs::write(maildir.join("dovecot-uidlist"), "3 V1 N9\n5 :a\n4 :b\n").unwrap();
        args([maildir])
    }),
    (Code::MaildirsizeDrift, &[], |d| {
        let maildir = d.with("cur", ":2,S", MESSAGE);
        fs::write(maildir.join("maildirsize"), format!("1000S\n{} 2\n", MESSAGE.len())).unwrap();
        args([maildir])
    }),
    (Code::MaildirFolderName, &[], |d| {
        d.maildir("Maildir");
        let folder = d.maildir("Maildir/.Entw\u{fc}rfe");
        fs::write(folder.join("maildirfolder"), "").unwrap();
        args([d.path("Maildir")])
    }),
    (Code::MaildirNoMarker, &[], |d| {
        d.maildir("Maildir");
        d.maildir("Maildir/.Sent");
        args([d.path("Maildir")])
    }),
    (Code::MaildirForeignFile, &[], |d| {
        let maildir = d.with("cur", ":2,S", MESSAGE);
        fs::write(maildir.join("holiday.jpg"), "").unwrap();
        args([maildir])
    }),
    (Code::MaildirNotAFile, &[], |d| {
        let maildir = d.with("cur", ":2,S", MESSAGE);
        symlink("/etc/passwd", maildir.join("cur/1.2.host:2,S")).unwrap();
        args([maildir])
    }),
    (Code::MaildirUnfinished, &[], |d| {
        fs::create_dir(d.path(".Maildir.mailferry-partial")).unwrap();
        args([d.with("cur", ":2,S", MESSAGE)])
    }),
    (Code::FileSparse, &[], |d| {
        let maildir = d.with("cur", ":2,S", MESSAGE);
        let message =
            fs::File::options().write(true).open(maildir.join(format!("cur/{EPOCH}.1.host:2,S"))).unwrap();
        if message.set_len(2 << 40).is_err() {
            skip!("the file system has no files of 2 TB");
        }
        message.set_modified(epoch()).unwrap();
        args([maildir])
    }),
    (Code::MessageEmpty, &[], |d| args([d.with("cur", ":2,S", "")])),
    (Code::MessageNoHeader, &[], |d| args([d.with("cur", ":2,S", "Dear all,\n\nhello\n")])),
    (Code::MessageHeaderLine, &[], |d| args([d.with("cur", ":2,S", "A: 1\nno field here\n\nbody\n")])),
    (Code::MessageHeaderCut, &[], |d| args([d.with("cur", ":2,S", "A: 1\nSubject: hel")])),
    (Code::MessageNul, &[], |d| args([d.with("cur", ":2,S", "A: 1\n\nbo\0\0dy\n")])),
    (Code::MessageFromLine, &[], |d| args([d.with("cur", ":2,S", format!("{FROM}{MESSAGE}"))])),
    (Code::MessageFromInside, &[], |d| args([d.with("cur", ":2,S", format!("{MESSAGE}\n{FROM}{MESSAGE}"))])),
    (Code::MessageLongLine, &[], |d| args([d.with("cur", ":2,S", format!("A: 1\n\n{}\n", "x".repeat(999)))])),
    (Code::MessageCompressed, &[], |d| args([d.with("cur", ",S=99:2,S", b"CRYPTED\x03\x07 and so on")])),
    (Code::MessageGone, &[], |d| {
        let (maildir, messages) = d.converted();
        fs::remove_file(&messages[1].path).unwrap();
        args([maildir])
    }),
    (Code::MessageChanged, &[], |d| {
        let (maildir, messages) = d.converted();
        let mut bytes = messages[1].bytes.clone();
        bytes[0] = b'G';
        write(&messages[1].path, &bytes);
        // Without its source only the fact that it differs is known.
        fs::remove_file(d.path("source.mbox")).unwrap();
        args([maildir])
    }),
    (Code::MessageSwapped, &[Code::MaildirUntrueSize], |d| {
        let (maildir, messages) = d.converted();
        write(&messages[0].path, &messages[1].bytes);
        write(&messages[1].path, &messages[0].bytes);
        args([maildir])
    }),
    (Code::MessageRenamed, &[], |d| {
        let (maildir, messages) = d.converted();
        fs::rename(&messages[1].path, maildir.join(format!("cur/{}.M1P2.host:2,S", messages[1].epoch)))
            .unwrap();
        args([maildir])
    }),
    (Code::MessageCopied, &[], |d| {
        let (maildir, messages) = d.converted();
        put(&maildir, "cur", &format!("{}.M1P2.host:2,S", messages[1].epoch), &messages[1].bytes);
        args([maildir])
    }),
    (Code::MessageMoved, &[], |d| {
        let (maildir, messages) = d.converted();
        let folder = d.maildir("Maildir/.Sent");
        fs::write(folder.join("maildirfolder"), "").unwrap();
        fs::rename(&messages[1].path, folder.join("cur").join(&messages[1].name)).unwrap();
        args([maildir])
    }),
    (Code::MessageReflagged, &[], |d| {
        let (maildir, messages) = d.converted();
        fs::rename(
            &messages[1].path,
            messages[1].path.with_file_name(messages[1].name.replace(":2,S", ":2,FS")),
        )
        .unwrap();
        args([maildir])
    }),
    (Code::MessageAdded, &[], |d| {
        let (maildir, _) = d.converted();
        put(&maildir, "new", &format!("{EPOCH}.M1P2.host"), MESSAGE.as_bytes());
        args([maildir])
    }),
    (Code::ConversionUnfinished, &[], |d| {
        let (maildir, _) = d.converted();
        let manifest = maildir.join("mailferry.manifest");
        let text = fs::read_to_string(&manifest).unwrap();
        let tail = text.find("{\"closes\"").unwrap();
        fs::write(&manifest, &text[..tail]).unwrap();
        args([maildir])
    }),
    (Code::ManifestDamaged, &[], |d| {
        let (maildir, _) = d.converted();
        let manifest = maildir.join("mailferry.manifest");
        let text = fs::read_to_string(&manifest).unwrap().replace("\"flags\":\"S\"", "\"flags\":\"R\"");
        fs::write(&manifest, text).unwrap();
        args([maildir])
    }),
    (Code::MessageUnrecorded, &[], |d| {
        let (maildir, _) = d.converted();
        let name = format!(
            "{EPOCH}.070707070707070707070707.mailferry,S={0},W={1}",
            MESSAGE.len(),
            MESSAGE.len() + 3
        );
        put(&maildir, "new", &name, MESSAGE.as_bytes());
        args([maildir])
    }),
    (Code::FolderDeleted, &[], |d| {
        let maildir = d.converted_tree();
        fs::remove_dir_all(maildir.join(".a")).unwrap();
        args([maildir])
    }),
    (Code::FolderMoved, &[], |d| {
        let maildir = d.converted_tree();
        fs::rename(maildir.join(".a"), maildir.join(".b")).unwrap();
        args([maildir])
    }),
    (Code::FolderUnlisted, &[], |d| {
        let maildir = d.converted_tree();
        fs::remove_file(maildir.join("mailferry.manifest")).unwrap();
        args([maildir])
    }),
    (Code::FolderListBehind, &[], |d| {
        let maildir = d.converted_tree();
        fs::write(d.path("tree/a"), many(4)).unwrap();
        convert([d.path("tree/a"), maildir.join(".a")]);
        args([maildir])
    }),
    (Code::ManifestGone, &[], |d| {
        let maildir = d.converted_tree();
        fs::remove_file(maildir.join(".a/mailferry.manifest")).unwrap();
        args([maildir])
    }),
    (Code::ManifestMissing, &[], |d| {
        let (maildir, _) = d.converted();
        fs::remove_file(maildir.join("mailferry.manifest")).unwrap();
        args([maildir])
    }),
    (Code::SourceCompared, &[], |d| args([d.converted().0])),
    (Code::MessageMissing, &[], |d| against(d, &[MESSAGE, "Subject: two\n\nmore\n"], &[MESSAGE])),
    (Code::MessageExtra, &[], |d| against(d, &[MESSAGE], &[MESSAGE, "Subject: two\n\nmore\n"])),
    (Code::MessageDiffers, &[], |d| {
        against(d, &["Message-ID: <1@a>\n\nbody\n"], &["Message-ID: <1@a>\n\nBody\n"])
    }),
    (Code::MessageQuoting, &[], |d| against(d, &["A: 1\n\n>From a\n"], &["A: 1\n\nFrom a\n"])),
    (Code::MessageLineEnds, &[], |d| against(d, &["A: 1\r\n\r\nb\r\n"], &["A: 1\n\nb\n"])),
    (Code::MessageFinalNewline, &[], |d| {
        args(["--against".into(), d.mbox(format!("{FROM}A: 1\n\nb\n\n")), d.with("cur", ":2,", "A: 1\n\nb")])
    }),
    (Code::FlagsDiffer, &[], |d| {
        let args = against(d, &[MESSAGE], &[MESSAGE])?;
        let name = format!("{EPOCH}.0.host:2,");
        let cur = d.path("other").join("cur");
        fs::rename(cur.join(&name), cur.join(format!("{name}F"))).unwrap();
        Some([vec!["--metadata".into()], args].concat())
    }),
    (Code::DateDiffers, &[], |d| {
        let args = against(d, &[MESSAGE], &[MESSAGE])?;
        let cur = d.path("other").join("cur");
        fs::rename(cur.join(format!("{EPOCH}.0.host:2,")), cur.join("1.0.host:2,")).unwrap();
        set_times(&cur.join("1.0.host:2,"), SystemTime::UNIX_EPOCH);
        Some([vec!["--metadata".into()], args].concat())
    }),
    (Code::FieldsDiffer, &[], |d| {
        let args = against(d, &["A: 1\nStatus: RO\n\nb\n"], &["A: 1\nStatus: R\n\nb\n"])?;
        Some([vec!["--metadata".into()], args].concat())
    }),
    (Code::FolderMissing, &[], |d| two_trees(d, &["a", "b"], &["a", "b.gone"])),
    (Code::FolderExtra, &[], |d| two_trees(d, &["a", "b.gone"], &["a", "b"])),
    (Code::FolderEmpty, &[], |d| {
        let args = two_trees(d, &["a"], &["a"])?;
        fs::write(d.path("here/b"), "").unwrap();
        Some(args)
    }),
    (Code::FolderDiffers, &[], |d| {
        let args = two_trees(d, &["a", "b"], &["a", "b"])?;
        for side in ["here/a", "other/b"] {
            let other = format!("{FROM}Subject: two\n\nmore\n\n");
            fs::write(d.path(side), fs::read_to_string(d.path(side)).unwrap() + &other).unwrap();
        }
        Some(args)
    }),
    (Code::FolderGone, &[], |d| {
        let maildir = d.with("cur", ":2,S", MESSAGE);
        fs::write(maildir.join("mailferry.folders"), "{\"directory\":\".a (2)\",\"folder\":[\"A\"]}\n")
            .unwrap();
        args([maildir])
    }),
    (Code::TreeSkipped, &[], |d| {
        let args = two_trees(d, &["a"], &[])?;
        fs::write(d.path("here/dovecot.index"), "index").unwrap();
        Some(args[2..].to_vec())
    }),
    (Code::TreeMailSkipped, &[], |d| {
        let args = two_trees(d, &["a"], &[])?;
        fs::write(d.path("here/b"), "BABYL OPTIONS:\n").unwrap();
        Some(args[2..].to_vec())
    }),
    (Code::TreeMessage, &[], |d| {
        let args = two_trees(d, &["a"], &[])?;
        fs::write(d.path("here/b"), format!("{MESSAGE}\n{FROM}{MESSAGE}\n")).unwrap();
        Some(args[2..].to_vec())
    }),
    (Code::RepairPlanned, &[Code::MboxNoFinalBlank], |d| {
        Some(vec!["--repair".into(), "-n".into(), d.mbox(format!("{FROM}{MESSAGE}")).into()])
    }),
    (Code::RepairDone, &[], |d| Some(vec!["--repair".into(), d.mbox(format!("{FROM}{MESSAGE}")).into()])),
];

/// Codes of damaged mail, which are warnings where it is converted.
const DAMAGE: [Code; 6] = [
    Code::MboxJunk,
    Code::MboxGluedFrom,
    Code::MmdfUnclosed,
    Code::MboxHeaderCut,
    Code::EmlxLength,
    Code::MessageHeaderCut,
];

#[test]
fn every_finding_has_a_mailbox_with_it_alone() {
    let covered: Vec<&str> = CASES.iter().map(|(code, ..)| code.name()).collect();
    // This code takes a mail reader at work: see race.rs.
    let of_verify = Code::ALL.iter().filter(|code| code.is_of_verify() && **code != Code::MessageExpunged);
    let of_verify: Vec<&str> = of_verify.map(|code| code.name()).collect();
    assert_eq!(covered, of_verify, "a case for every code, in the order of the table");
    for (code, besides, make) in CASES {
        let scratch = scratch();
        let Some(args) = make(&Workdir(scratch.path())) else { continue };
        let run = verify(args);
        let found = codes(&run);
        let all = run.findings();
        let finding = all.iter().find(|f| f["code"] == code.name());
        let finding = finding.unwrap_or_else(|| panic!("{} was not found in {}", code.name(), run.text()));
        let severity = if DAMAGE.contains(code) { "error" } else { code.severity().name() };
        assert_eq!(finding["severity"], severity, "{finding}");
        let message = finding["message"].as_str().unwrap();
        assert!(!message.is_empty() && !message.contains('\n'), "{message}");
        let mut want: BTreeSet<String> = besides.iter().map(|c| c.name().to_owned()).collect();
        want.insert(code.name().to_owned());
        want.retain(|c| c != "mbox-variant" && c != "source-compared");
        assert_eq!(found, want, "{}", run.text());
        let errors = run.json().last().unwrap()["errors"].as_u64().unwrap();
        let want = if *code == Code::NotAMailbox { 3 } else { i32::from(errors > 0) };
        assert_eq!(run.code, Some(want), "{}: {}", code.name(), run.text());
    }
}

#[test]
fn a_finding_has_its_location() {
    let scratch = scratch();
    let dir = Workdir(scratch.path());
    let path = dir.mbox(format!("{FROM}{MESSAGE}\n{FROM}A: 1\nno field\n\nbody\n\n"));
    let run = verify([&path]);
    let odd = &run.findings().into_iter().find(|f| f["code"] == "message-header-line").unwrap();
    let at = FROM.len() * 2 + MESSAGE.len() + 1 + "A: 1\n".len();
    assert_eq!((count(odd, "offset"), count(odd, "line")), (at as u64, 8));
    assert_eq!(odd["path"], path.to_str().unwrap());

    // With the source it is known which byte of a message differs.
    let (maildir, messages) = dir.converted();
    let mut bytes = messages[2].bytes.clone();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    write(&messages[2].path, &bytes);
    let run = verify([&maildir]).exits(1);
    let changed = &run.findings().into_iter().find(|f| f["code"] == "message-changed").unwrap();
    assert_eq!(count(changed, "offset"), last as u64);
    assert_eq!(changed["path"], messages[2].path.to_str().unwrap());
}

#[test]
fn a_private_home_directory_makes_its_mail_private() {
    let scratch = scratch();
    let maildir = Workdir(scratch.path()).with("cur", ":2,S", MESSAGE);
    for directory in ["", "tmp", "new", "cur"] {
        set_mode(&maildir.join(directory), 0o755);
    }
    set_mode(scratch.path(), 0o700);
    let run = verify([&maildir]).exits(0);
    assert_eq!(codes(&run), BTreeSet::new(), "{}", run.text());
}

#[test]
fn a_number_is_no_date_and_one_message_is_not_several() {
    let scratch = scratch();
    let dir = Workdir(scratch.path());
    let maildir = dir.maildir("Maildir");
    // MH and some archives name messages like this.
    let message = put(&maildir, "cur", "27:2,S", MESSAGE.as_bytes());
    set_times(&message, epoch());
    assert_eq!(codes(&verify([&maildir])), BTreeSet::new());
    for (name, want) in [
        ("999999999.1.h:2,S", "has another modification time than"),
        ("999999999.2.h:2,S", "2 messages have another"),
    ] {
        set_times(&put(&maildir, "cur", name, MESSAGE.as_bytes()), epoch());
        let findings = verify([&maildir]).findings();
        let found = findings[0]["message"].as_str().unwrap();
        assert!(findings[0]["code"] == "maildir-mtime" && found.starts_with(want), "{found}");
    }
}

/// Text between frames or after a From_ line is not one stray byte: there was mail.
#[test]
fn an_empty_message_in_an_mbox_is_reported() {
    let scratch = scratch();
    let dir = Workdir(scratch.path());
    let frame = "\u{1}\u{1}\u{1}\u{1}\n";
    for (text, at) in [
        (format!("{frame}{frame}{frame}{MESSAGE}{frame}"), 5),
        (format!("{FROM}{MESSAGE}\n{FROM}{FROM}\n"), FROM.len() + MESSAGE.len() + 1),
    ] {
        let run = verify([dir.mbox(text)]).exits(0);
        let findings = run.findings();
        let found = findings.iter().find(|f| f["code"] == "message-no-header");
        assert_eq!(found.map(|f| count(f, "offset")), Some(at as u64), "{}", run.text());
    }
}

#[test]
fn a_bare_message_is_checked_like_any_other() {
    let scratch = scratch();
    let dir = Workdir(scratch.path());
    let found = |text: &str| {
        let path = dir.mbox(text);
        codes(&verify([[b"rfc822:", path.as_os_str().as_encoded_bytes()].concat()].map(OsString::from_vec)))
    };
    assert_eq!(found(MESSAGE), BTreeSet::new());
    // Only a header, and complete: some messages have no body.
    assert_eq!(found("A: 1\nSubject: hello\n"), BTreeSet::new());
    for (text, code) in [
        ("A: 1\n\nbo\0\0dy\n", "mbox-nul"),
        ("A: 1\n\nbo\rdy\n", "mbox-lone-cr"),
        ("A: 1\nSubject: he", "mbox-header-cut"),
    ] {
        assert_eq!(found(text), BTreeSet::from([code.to_owned()]));
    }
}

/// A crash or a full disk leaves holes, and files that end early. All other odd bytes are as someone sent them.
#[test]
fn damage_is_an_error_and_odd_mail_is_not() {
    let scratch = scratch();
    let dir = Workdir(scratch.path());
    let nuls = |n: usize| "\0".repeat(n);
    let whole = format!("{FROM}{MESSAGE}\n");
    let with_length = |n: usize| format!("{FROM}Content-Length: {n}\nA: 1\n\nbody\n");
    for (mbox, code) in [
        (format!("{FROM}A: 1\n\na{}b{}c\n\n", nuls(63), nuls(63)), 0),
        (format!("{FROM}A: 1\n\na{}b\n\n", nuls(64)), 1),
        (format!("{whole}{}", nuls(4096)), 1),
        (whole.trim_end().to_owned(), 0),
        (with_length(5), 0),
        // The line end at the end is missing, or was counted twice.
        (with_length(7), 0),
        (with_length(500), 1),
        (format!("{}\n{whole}", with_length(50_000)), 0),
        (format!("\n\n{whole}"), 0),
        (format!("\u{feff}{whole}"), 0),
    ] {
        let run = verify([dir.mbox(&mbox)]);
        assert_eq!(run.code, Some(code), "{:?}: {}", &mbox[..mbox.len().min(200)], run.text());
    }
    let hole = format!("A: 1\n\n{}\n", nuls(64));
    let run = verify([dir.with("cur", ":2,S", hole)]).exits(1);
    assert_eq!(run.complaints(), ["message-nul"]);
}

#[test]
fn a_cut_header_is_distinguished_from_a_complete_one() {
    let scratch = scratch();
    let dir = Workdir(scratch.path());
    for (end, cut) in [("Subject: he", true), ("Subject: hello\n", false)] {
        let run = verify([dir.mbox(format!("{FROM}{MESSAGE}\n{FROM}{end}"))]);
        let findings = run.exits(i32::from(cut)).findings();
        let found = findings.iter().find(|f| f["code"] == "mbox-header-cut").unwrap();
        assert_eq!(found["message"].as_str().unwrap().contains("inside"), cut, "{found}");
        assert_eq!(found.get("mend").is_some(), cut, "{found}");
    }
}

/// A message that contains a message with its From_ line looks like junk and a message.
#[test]
fn a_bare_message_that_looks_like_junk_has_a_remedy() {
    let scratch = scratch();
    let path = Workdir(scratch.path()).mbox(format!("{MESSAGE}\n{FROM}{MESSAGE}\n"));
    let findings = verify([&path]).exits(1).findings();
    let junk = findings.iter().find(|f| f["code"] == "mbox-junk").unwrap();
    assert!(junk["mend"].as_str().unwrap().contains("rfc822:"), "{junk}");
}

#[test]
fn what_is_no_maildir_is_refused_for_what_it_is() {
    let scratch = scratch();
    let dir = Workdir(scratch.path());
    let refused = |path: PathBuf| {
        let argument = OsString::from_vec([b"maildir:", path.as_os_str().as_encoded_bytes()].concat());
        let finding = verify([argument]).exits(3).findings().remove(0);
        (finding["code"].as_str().unwrap().to_owned(), finding["message"].as_str().unwrap().to_owned())
    };
    assert_eq!(refused(dir.path("absent")).0, "io-error");
    let (code, message) = refused(dir.mbox(format!("{FROM}{MESSAGE}\n")));
    assert!(code == "not-a-mailbox" && message.contains("not a directory"), "{message}");
    // A folder that has only tmp/ left still counts as one.
    dir.maildir("Maildir");
    fs::create_dir_all(dir.path("Maildir/.Sent/tmp")).unwrap();
    let found = codes(&verify([dir.path("Maildir")]).exits(1));
    assert!(found.contains("maildir-no-directory"), "{found:?}");
}

#[test]
fn mail_in_a_folder_without_its_directories_is_not_passed_over() {
    let scratch = scratch();
    let dir = Workdir(scratch.path());
    let maildir = dir.with("cur", ":2,S", MESSAGE);
    // Files of notmuch and of a file server.
    fs::create_dir_all(maildir.join(".notmuch/xapian")).unwrap();
    fs::create_dir_all(maildir.join(".snapshot/hourly.0/cur")).unwrap();
    assert_eq!(codes(&verify([&maildir]).exits(0)), BTreeSet::new());
    let stray = maildir.join(".Sent");
    fs::create_dir(&stray).unwrap();
    fs::write(stray.join(format!("{EPOCH}.2.host:2,S")), MESSAGE).unwrap();
    let run = verify([&maildir]).exits(0);
    assert_eq!(codes(&run), BTreeSet::from(["maildir-foreign-file".to_owned()]));
    let found = &run.findings()[0];
    assert_eq!(found["path"], stray.to_str().unwrap());
    assert!(found["message"].as_str().unwrap().starts_with("1 file in "), "{found}");
    verify([Path::new("--strict"), &maildir]).exits(1);
}

/// Users paste the command: `rm Old Mail/maildirsize` would remove another file.
#[test]
fn a_command_that_mends_names_its_file_as_one_word() {
    let scratch = scratch();
    let dir = Workdir(scratch.path());
    let maildir = dir.maildir("Old Mail");
    let folder = dir.maildir("Old Mail/.Sent");
    fs::write(maildir.join("maildirsize"), "1000S\n5 1\n").unwrap();
    let findings = verify([&maildir]).findings();
    let mend = |code: &str| findings.iter().find(|f| f["code"] == code).unwrap()["mend"].as_str().unwrap();
    let quoted = |path: PathBuf| format!("'{}'", path.display());
    assert_eq!(mend("maildir-no-marker"), format!("touch {}", quoted(folder.join("maildirfolder"))));
    assert!(mend("maildirsize-drift").contains(&quoted(maildir.join("maildirsize"))));
}

#[test]
fn standard_input_is_read_but_once() {
    for args in [&["-", "-"][..], &["-", "--against", "-"]] {
        let run = verify(args).exits(2);
        assert!(run.text().contains("standard input can be read only once"), "{}", run.text());
    }
}

#[test]
fn quick_checks_names_and_sizes_and_the_default_bytes() {
    let found = |name: &str, quick: bool| {
        let scratch = scratch();
        let maildir = Workdir(scratch.path()).maildir("Maildir");
        put(&maildir, "cur", &format!("{EPOCH}.1.host{name}"), MESSAGE.as_bytes());
        let run = verify(quick.then_some("--quick".into()).into_iter().chain([maildir.into_os_string()]));
        codes(&run).contains("maildir-untrue-size")
    };
    for (name, quick, thorough) in [
        (",S=19,W=22:2,S", false, false),
        (",S=18,W=22:2,S", true, true),
        (",S=19,W=21:2,S", false, true),
        (",W=23:2,", false, true),
    ] {
        assert_eq!((found(name, true), found(name, false)), (quick, thorough), "{name}");
    }
    // A manifest is checked for names only.
    let scratch = scratch();
    let (maildir, messages) = Workdir(scratch.path()).converted();
    let mut bytes = messages[0].bytes.clone();
    bytes[0] ^= 1;
    write(&messages[0].path, &bytes);
    verify(["--quick".as_ref(), maildir.as_os_str()]).exits(0);
    verify([&maildir]).exits(1);
    fs::remove_file(&messages[1].path).unwrap();
    let run = verify(["--quick".as_ref(), maildir.as_os_str()]).exits(1);
    assert_eq!(codes(&run), BTreeSet::from(["message-gone".to_owned()]), "{}", run.text());
}

/// The findings in a Maildir that a server has used, with files of Dovecot and Courier.
#[test]
fn where_nothing_is_wrong_nothing_is_found() {
    let scratch = scratch();
    let dir = Workdir(scratch.path());
    for name in ["inbox.mbox", "crlf.mbox", "mmdf.mbox"] {
        let maildir = scratch.path().join(name);
        convert_fixture(name, &maildir);
        for depth in [&[][..], &["--quick"]] {
            let found = |mailbox: &Path| {
                let run = verify(depth.iter().map(|d| d.as_ref()).chain([mailbox.as_os_str()])).exits(0);
                codes(&run)
            };
            assert_eq!(found(&maildir), BTreeSet::new());
            // Not every program ends an mbox with a blank line.
            assert!(found(&fixture(name)).iter().all(|code| code == "mbox-no-final-blank"));
        }
    }
    let maildir = dir.with("cur", ",S=19,W=22:2,FSa", MESSAGE);
    for file in ["dovecot-uidlist", "dovecot-keywords", "dovecot.index.log", "subscriptions", ".uidvalidity"]
    {
        fs::write(maildir.join(file), "").unwrap();
    }
    fs::write(maildir.join("maildirsize"), "100000S,10C\n30 2\n-11 -1\n").unwrap();
    for folder in [".Sent", ".A.B", ".Entw&APw-rfe"] {
        let folder = dir.maildir(&format!("Maildir/{folder}"));
        fs::write(folder.join("maildirfolder"), "").unwrap();
        fs::write(folder.join("dovecot-acl"), "").unwrap();
    }
    fs::write(maildir.join("tmp").join("a.delivery.just-now"), "Subject: ha").unwrap();
    let run = verify([&maildir]).exits(0);
    assert_eq!(codes(&run), BTreeSet::new(), "{}", run.text());
    assert_eq!(count(&run.json().pop().unwrap(), "folders"), 4);
}

#[test]
fn the_verdict_is_the_last_sentence() {
    let scratch = scratch();
    let maildir = scratch.path().join("Maildir");
    fs::write(scratch.path().join("inbox.mbox"), many(1200)).unwrap();
    let within = |args: &[&str]| {
        let mut command = mailferry(["verify"]);
        command.args(args).current_dir(scratch.path());
        run(command)
    };
    let mut command = mailferry(["convert", "-q", "inbox.mbox", "Maildir"]);
    command.current_dir(scratch.path());
    run(command).exits(0);
    assert_eq!(
        within(&["Maildir"]).exits(0).last_line(),
        "1,200 of 1,200 messages of inbox.mbox are in Maildir, byte for byte."
    );
    fs::remove_file(&messages(&maildir)[7].path).unwrap();
    assert_eq!(
        within(&["Maildir"]).exits(1).last_line(),
        "1,199 of 1,200 messages of inbox.mbox are in Maildir, byte for byte; 1 gone."
    );
    fs::write(scratch.path().join("single.mbox"), many(1)).unwrap();
    fs::write(scratch.path().join("other.mbox"), format!("{FROM}{MESSAGE}\n")).unwrap();
    assert_eq!(
        within(&["--against", "other.mbox", "single.mbox"]).exits(1).last_line(),
        "0 of 1 message of single.mbox is in other.mbox, byte for byte; 1 is missing; other.mbox has 1 more."
    );
    let size = fs::metadata(scratch.path().join("inbox.mbox")).unwrap().len();
    let run = within(&["inbox.mbox"]).exits(0);
    let bytes = size.to_string();
    let grouped = format!("{},{}", &bytes[..bytes.len() - 3], &bytes[bytes.len() - 3..]);
    assert_eq!(run.last_line(), format!("inbox.mbox: no damage found in 1,200 messages, {grouped} bytes."));
    // An unreadable mailbox does not prevent the check of the others.
    let run = within(&["absent", "inbox.mbox", "Maildir"]).exits(3);
    assert_eq!(run.last_line(), "3 mailboxes: 1 without damage, 1 damaged, 1 not verified.");
    assert!(run.text().contains("inbox.mbox: no damage found in 1,200 messages"), "{}", run.text());
    // A run that could not verify anything has a verdict too.
    assert_eq!(within(&["absent"]).exits(3).last_line(), "absent could not be verified.");
    assert_eq!(
        within(&["--against", "inbox.mbox", "absent"]).exits(3).last_line(),
        "absent could not be compared with inbox.mbox."
    );
}

#[test]
fn a_verdict_calls_nothing_undamaged_that_has_a_warning() {
    let scratch = scratch();
    fs::write(scratch.path().join("odd.mbox"), format!("{FROM}{MESSAGE}{FROM}{MESSAGE}\n")).unwrap();
    let mut command = mailferry(["verify", "odd.mbox"]);
    command.current_dir(scratch.path());
    let run = run(command).exits(0);
    assert_eq!(run.last_line(), "odd.mbox has no errors, but 1 warning.", "{}", run.text());
}

/// A pipe gets one line for each finding, a terminal columns that fit its width.
#[test]
fn a_damaged_mailbox_is_reported_as_fits_the_output() {
    let verify = || {
        let mut command = mailferry(["verify", "--color=never", "broken.mbox"]);
        command.current_dir(fixture("broken.mbox").parent().unwrap());
        command
    };
    let piped = run(verify()).exits(1).text();
    let lines: Vec<&str> = piped.lines().collect();
    assert_eq!(lines[0], "broken.mbox: mboxrd, 4 messages, 1,104 bytes");
    assert_eq!(*lines.last().unwrap(), "broken.mbox is damaged: 2 errors, 4 warnings.");
    for line in &lines[1..lines.len() - 1] {
        let (place, rest) = line.split_once(": ").unwrap();
        assert!(place.strip_prefix("broken.mbox:").unwrap().parse::<u64>().is_ok(), "{line}");
        let (severity, text) = rest.split_once(": ").unwrap();
        assert!(["error", "warning"].contains(&severity) && text.ends_with(']'), "{line}");
    }
    let shown = [80, 120].map(|columns| {
        let shown = run_on_terminal(verify(), columns).exits(1).text();
        assert!(shown.lines().all(|line| line.chars().count() <= usize::from(columns)), "{shown}");
        shown
    });
    expect![[r#"
        broken.mbox: mboxrd, 4 messages, 1,104 bytes
          line 1   error    76 bytes that belong to no message; they are not converted
                            [mbox-junk]
                            look at the line that is reported; the manifest keeps these
                            bytes, and convert --exact restores them
          line 5   warning  a second From_ line directly after the first; it does not
                            begin a message  [mbox-doubled-from]
          line 18  warning  Content-Length 9 does not end at a separator (byte 601); it
                            was ignored  [mbox-content-length]
          line 22  warning  a header follows, but the line is not a known form of From_
                            line; left in the body  [mbox-from-in-body]
                            to change this, edit the output of mailferry inspect
                            --boundaries, and use convert --boundaries FILE
          line 24  warning  no blank line before this From_ line; it has a date and a
                            header follows, so a message begins here
                            [mbox-no-blank-line]
          line 32  error    the file ends inside the header of this message
                            [mbox-header-cut]
                            look for the rest of it in a backup
        broken.mbox is damaged: 2 errors, 4 warnings.
    "#]]
    .assert_eq(&shown[0]);
    expect![[r#"
        broken.mbox: mboxrd, 4 messages, 1,104 bytes
          line 1   error    76 bytes that belong to no message; they are not converted  [mbox-junk]
                            look at the line that is reported; the manifest keeps these bytes, and convert --exact restores them
          line 5   warning  a second From_ line directly after the first; it does not begin a message  [mbox-doubled-from]
          line 18  warning  Content-Length 9 does not end at a separator (byte 601); it was ignored  [mbox-content-length]
          line 22  warning  a header follows, but the line is not a known form of From_ line; left in the body
                            [mbox-from-in-body]
                            to change this, edit the output of mailferry inspect --boundaries, and use convert --boundaries FILE
          line 24  warning  no blank line before this From_ line; it has a date and a header follows, so a message begins here
                            [mbox-no-blank-line]
          line 32  error    the file ends inside the header of this message  [mbox-header-cut]
                            look for the rest of it in a backup
        broken.mbox is damaged: 2 errors, 4 warnings.
    "#]].assert_eq(&shown[1]);
}

#[test]
fn what_was_converted_is_the_same_mail_also_by_comparison() {
    let scratch = scratch();
    let (one, two) = (scratch.path().join("one.mbox"), scratch.path().join("two.mbox"));
    let maildir = scratch.path().join("Maildir");
    fs::write(&one, many(20)).unwrap();
    fs::write(&two, format!("{FROM}{MESSAGE}\n{FROM}A: 1\n\n>From me to you\n\n")).unwrap();
    convert([&one, &two, &maildir]);
    let run = verify(["--against".as_ref(), maildir.as_os_str(), one.as_os_str(), two.as_os_str()]).exits(0);
    let summary = run.json().pop().unwrap();
    assert_eq!((count(&summary, "messages_found"), count(&summary, "same")), (22, 22));
    let bytes = |path: &Path| fs::metadata(path).unwrap().len();
    assert_eq!((count(&summary, "folders"), count(&summary, "bytes_source")), (2, bytes(&one) + bytes(&two)));
    // A missing message is reported with its location and Subject.
    let run = verify(["--against".as_ref(), one.as_os_str(), maildir.as_os_str()]).exits(1);
    let missing: Vec<Value> = run.findings().into_iter().filter(|f| f["code"] == "message-missing").collect();
    assert_eq!(missing.len(), 2);
    assert!(missing.iter().any(|f| f["subject"] == "one"), "{}", run.text());
    assert_eq!(count(&run.json().pop().unwrap(), "missing"), 2);
    // The mail of a folder counts.
    let folder = maildir.join(".Moved");
    convert([&two, &folder]);
    verify(["--against".as_ref(), maildir.as_os_str(), one.as_os_str(), two.as_os_str(), two.as_os_str()])
        .exits(0);
    verify(["--against".as_ref(), scratch.path().join("absent").as_os_str(), one.as_os_str()]).exits(3);
}

#[test]
fn hostile_and_real_mail_is_verified_without_a_stumble() {
    let (Some(hard), Some(archive)) = (shared("hard"), shared("corpus/open.tar.zst")) else { return };
    let scratch = scratch();
    let unpacked = scratch.path().join("corpus");
    let packed = zstd::Decoder::new(fs::File::open(archive).unwrap()).unwrap();
    tar::Archive::new(packed).unpack(&unpacked).unwrap();
    for root in [hard, unpacked] {
        let files: Vec<PathBuf> = tree(&root)
            .into_iter()
            .filter(|(_, l)| !l.digest.is_empty())
            .map(|(path, _)| root.join(path))
            .collect();
        let run = verify(&files);
        assert!(!run.stderr.contains("a bug in mailferry"), "{}", run.stderr);
        let report = run.json();
        assert_eq!(count(report.last().unwrap(), "mailboxes"), files.len() as u64);
        assert!(count(report.last().unwrap(), "sound") > 10);
        let others = [Code::IoError, Code::DamagedCompression];
        let known: Vec<&Code> = Code::ALL.iter().filter(|c| c.is_of_verify() || others.contains(c)).collect();
        for finding in run.findings() {
            assert!(known.iter().any(|code| finding["code"] == code.name()), "{finding}");
        }
    }
}

/// Makes a fault in a converted Maildir. Returns the code that must report it, the path and a description.
fn fault(dice: &mut Dice, maildir: &Path, messages: &[Message]) -> (&'static str, PathBuf, String) {
    let message = &messages[dice.roll(messages.len())];
    let path = message.path.clone();
    let (epoch, info) = (message.epoch, message.flags.clone().map_or(String::new(), |f| format!(":2,{f}")));
    let elsewhere =
        maildir.join(message.subdir).join(format!("{epoch}.M{}P7.host{info}", dice.roll(1_000_000)));
    match dice.roll(9) {
        0 => {
            let at = dice.roll(message.bytes.len());
            let mut bytes = message.bytes.clone();
            bytes[at] ^= 1 << dice.roll(8);
            write(&path, &bytes);
            ("message-changed", path, format!("a byte flipped at {at}"))
        }
        1 => {
            let length = dice.roll(message.bytes.len());
            write(&path, &message.bytes[..length]);
            ("message-changed", path, format!("cut off at {length}"))
        }
        2 => {
            fs::remove_file(&path).unwrap();
            let base = message.name.split(":2,").next().unwrap();
            ("message-gone", maildir.join(base), "removed".into())
        }
        3 => {
            write(&elsewhere, &message.bytes);
            ("message-copied", elsewhere, "copied under another name".into())
        }
        4 => {
            let base = message.name.split(":2,").next().unwrap();
            let (other, found) = match message.subdir {
                "new" => (maildir.join("cur").join(format!("{base}:2,")), "new"),
                _ => (maildir.join("new").join(base), "new"),
            };
            write(&other, &message.bytes);
            let found = if found == message.subdir { path } else { other };
            ("maildir-duplicate", found, "twice by one name".into())
        }
        5 => {
            fs::rename(&path, &elsewhere).unwrap();
            ("message-renamed", elsewhere, "renamed".into())
        }
        6 => {
            let flags = ["D", "FS", "PRT", "Sb"][dice.roll(4)];
            let base = message.name.split(":2,").next().unwrap();
            let flagged = maildir.join("cur").join(format!("{base}:2,{flags}"));
            fs::rename(&path, &flagged).unwrap();
            ("message-reflagged", flagged, format!("flagged {flags}"))
        }
        7 => {
            let others: Vec<&Message> = messages.iter().filter(|m| m.bytes != message.bytes).collect();
            let other = others[dice.roll(others.len())];
            write(&path, &other.bytes);
            write(&other.path, &message.bytes);
            ("message-swapped", path, format!("swapped with {}", other.name))
        }
        _ => {
            let manifest = maildir.join("mailferry.manifest");
            let mut text = fs::read(&manifest).unwrap();
            if dice.roll(4) == 0 {
                // Cut off at the end of a line, it is the manifest of a killed conversion.
                let length = dice.roll(text.len() - 1);
                fs::write(&manifest, &text[..length]).unwrap();
                let code = if text[..length].contains(&b'\n') {
                    "conversion-unfinished"
                } else {
                    "manifest-damaged"
                };
                return (code, manifest, format!("manifest cut off at {length}"));
            }
            let how = match dice.roll(3) {
                0 => {
                    let at = dice.roll(text.len());
                    text[at] ^= 1 << dice.roll(8);
                    format!("byte {at} of the manifest flipped")
                }
                1 => {
                    let mut lines: Vec<&[u8]> = text.split_inclusive(|&b| b == b'\n').collect();
                    // Without its last line it is the manifest of a killed conversion.
                    let n = dice.roll(lines.len() - 1);
                    lines.remove(n);
                    text = lines.concat();
                    format!("line {n} of the manifest removed")
                }
                _ => {
                    let lines: Vec<&[u8]> = text.split_inclusive(|&b| b == b'\n').collect();
                    let n = dice.roll(lines.len());
                    let twice = [&lines[..=n], &lines[n..]].concat();
                    text = twice.concat();
                    format!("line {n} of the manifest twice")
                }
            };
            fs::write(&manifest, text).unwrap();
            ("manifest-damaged", manifest, how)
        }
    }
}

/// Every single fault in a converted tree is found under its code. All are errors except changed flags, which
/// are the user's to change.
#[test]
fn any_single_fault_in_a_converted_tree_has_its_code() {
    let faults = samples(50, 100, 1000);
    let scratch = scratch();
    let (source, maildir) = (scratch.path().join("source.mbox"), scratch.path().join("Maildir"));
    let mut mbox = many(30);
    for n in 0..30 {
        let from = format!("From bob@example.org Tue Mar  3 09:{n:02}:00 1998\n");
        mbox.extend_from_slice(format!("{from}Subject: new {n}\n\n>From the {n}th of {n}\n\n").as_bytes());
    }
    fs::write(&source, mbox).unwrap();
    convert([&source, &maildir]);
    let messages = messages(&maildir);
    let before = tree(&maildir);
    let original: Vec<(PathBuf, Vec<u8>)> = before
        .iter()
        .filter(|(_, state)| !state.digest.is_empty())
        .map(|(path, _)| (maildir.join(path), fs::read(maildir.join(path)).unwrap()))
        .collect();
    let mut dice = Dice(1998);
    for n in 0..faults {
        let (code, path, how) = fault(&mut dice, &maildir, &messages);
        let run = verify([&maildir]);
        let found =
            run.findings().into_iter().any(|f| f["code"] == code && f["path"] == path.to_str().unwrap());
        assert!(found, "fault {n}, {how}: no {code} at {}: {}", path.display(), run.text());
        let want = i32::from(code != "message-reflagged");
        assert_eq!(run.code, Some(want), "fault {n}, {how}: {}", run.text());
        // Restore the tree.
        for path in paths(&maildir) {
            let path = maildir.join(path);
            if path.is_file() && !original.iter().any(|(was, _)| *was == path) {
                fs::remove_file(path).unwrap();
            }
        }
        for (path, bytes) in &original {
            if fs::read(path).ok().as_ref() != Some(bytes) {
                write(path, bytes);
            }
        }
    }
    let run = verify([&maildir]).exits(0);
    assert_eq!(codes(&run), BTreeSet::new(), "{}", run.text());
}

/// Creates a Maildir and an mbox with everything that can be repaired.
fn broken(dir: &Workdir<'_>) -> (PathBuf, PathBuf) {
    let maildir = dir.with("cur", ":2,S", MESSAGE);
    fs::remove_dir(maildir.join("new")).unwrap();
    set_mode(&maildir.join("cur"), 0o500);
    put(&maildir, "tmp", "1.2.host", b"Subject: may be mail");
    put(&maildir, "tmp", "1.3.host", b"Subject: this too");
    // The name is taken.
    fs::create_dir(maildir.join("mailferry-lost")).unwrap();
    fs::write(maildir.join("mailferry-lost/1.3.host"), "of another time").unwrap();
    (maildir, dir.mbox(format!("{FROM}{MESSAGE}\n{FROM}A: 1\n\nno end")))
}

#[test]
fn repair_shows_first_then_mends_and_touches_no_message() {
    let scratch = scratch();
    let (maildir, mbox) = broken(&Workdir(scratch.path()));
    let before = tree(scratch.path());
    // A reader changes the atime of a file.
    let age = || ["1.2.host", "1.3.host"].map(|name| set_times(&maildir.join("tmp").join(name), epoch()));
    age();
    let run = verify(["--repair".as_ref(), "-n".as_ref(), maildir.as_os_str(), mbox.as_os_str()]).exits(1);
    let after = tree(scratch.path());
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    let same =
        |(path, state): (&PathBuf, &FileState)| path.starts_with("Maildir/tmp") || before[path] == *state;
    assert!(after.iter().all(same), "-n changes nothing");
    age();
    let planned = run.findings().into_iter().filter(|f| f["code"] == "repair-planned").count();
    assert_eq!(planned, 5, "{}", run.text());

    let run = verify(["--repair".as_ref(), maildir.as_os_str(), mbox.as_os_str()]).exits(0);
    assert_eq!(codes(&run), BTreeSet::from(["repair-done".to_owned()]), "{}", run.text());
    assert_eq!(count(&run.json().pop().unwrap(), "repairs"), 5);
    let mended = verify([&maildir, &mbox]).exits(0);
    assert_eq!(codes(&mended), BTreeSet::new(), "{}", mended.text());

    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!((mode(&maildir.join("new")), mode(&maildir.join("cur"))), (0o700, 0o700));
    let lost = |name: &str| fs::read_to_string(maildir.join("mailferry-lost").join(name)).unwrap();
    assert_eq!(lost("1.2.host"), "Subject: may be mail");
    assert_eq!(
        (lost("1.3.host"), lost("1.3.host.1")),
        ("of another time".into(), "Subject: this too".into())
    );
    assert_eq!(fs::read_to_string(&mbox).unwrap(), format!("{FROM}{MESSAGE}\n{FROM}A: 1\n\nno end\n\n"));
    let name = format!("Maildir/cur/{EPOCH}.1.host:2,S");
    assert_eq!(tree(scratch.path())[Path::new(&name)], before[Path::new(&name)], "the message is as it was");

    let after = tree(scratch.path());
    verify(["--repair".as_ref(), maildir.as_os_str(), mbox.as_os_str()]).exits(0);
    assert_eq!(tree(scratch.path()), after, "there is nothing left to mend");
}

/// Killed or refused at any system call that changes something, a repair loses nothing, and the next one
/// completes it.
#[test]
fn a_repair_that_is_cut_off_or_refused_harms_nothing() {
    const CALLS: [&str; 7] = ["mkdirat", "fchmodat", "renameat2", "write", "fsync", "openat", "ftruncate"];
    let works = std::process::Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    if !works.is_ok_and(|status| status.success()) {
        skip!("strace does not work here");
    }
    let mut injected = 0;
    for call in CALLS {
        for (effect, when) in
            ["signal=KILL", "error=EIO", "error=ENOSPC"].iter().flat_map(|e| (1..5).map(move |n| (e, n)))
        {
            let scratch = scratch();
            let (maildir, mbox) = broken(&Workdir(scratch.path()));
            let log = scratch.path().join("log");
            // Calls of the loader and for the report are left out.
            let only = [
                &maildir,
                &maildir.join("tmp"),
                &maildir.join("mailferry-lost"),
                &mbox,
                &scratch.path().to_owned(),
            ];
            let mut strace = vec!["strace".into(), "-qq".into(), "-o".into(), log.clone().into_os_string()];
            for path in only {
                strace.extend(["-P".into(), path.clone().into_os_string()]);
            }
            strace.extend(["-e".into(), format!("trace={call}").into()]);
            strace.extend(["-e".into(), format!("inject={call}:{effect}:when={when}").into(), BINARY.into()]);
            let mut command = wrapped("exec \"$@\"", strace, ["verify", "--repair", "-j1"]);
            command.args([&maildir, &mbox]);
            let broken_off = run(command);
            assert!(
                !broken_off.stderr.contains("bug in mailferry"),
                "{call} {effect}: {}",
                broken_off.stderr
            );
            injected += usize::from(fs::read_to_string(&log).unwrap().contains("INJECTED"));
            let text = fs::read_to_string(&mbox).unwrap();
            let original = format!("{FROM}{MESSAGE}\n{FROM}A: 1\n\nno end");
            assert!(
                text.starts_with(&original) && "\n\n".starts_with(&text[original.len()..]),
                "{call} {effect}: {text}"
            );
            fs::remove_file(&log).unwrap();
            let lock = scratch.path().join("box.lock");
            let _ = fs::remove_file(lock);
            let run = verify(["--repair".as_ref(), maildir.as_os_str(), mbox.as_os_str()]).exits(0);
            let left = codes(&run);
            assert!(left.iter().all(|c| c == "repair-done"), "{call} {effect} {when}: {}", run.text());
            let mail: BTreeSet<Vec<u8>> = tree(&maildir)
                .into_iter()
                .filter(|(_, state)| !state.digest.is_empty())
                .map(|(path, _)| fs::read(maildir.join(path)).unwrap())
                .collect();
            for text in [MESSAGE, "Subject: may be mail", "Subject: this too", "of another time"] {
                assert!(mail.contains(text.as_bytes()), "{call} {effect} {when}: {text:?} is lost");
            }
        }
    }
    assert!(injected > 20, "{injected} faults were injected");
}

#[test]
fn grown_sources_and_folders_with_new_mail_are_not_faults() {
    let scratch = scratch();
    let (source, maildir) = (scratch.path().join("inbox.mbox"), scratch.path().join("Maildir"));
    fs::write(&source, many(5)).unwrap();
    convert([&source, &maildir]);
    fs::write(&source, many(7)).unwrap();
    let found = |run: &Run| -> String {
        let all: Vec<Value> = run.findings().into_iter().filter(|f| f["code"] == "source-compared").collect();
        all.iter().map(|f| f["message"].as_str().unwrap()).collect::<Vec<_>>().join("|")
    };
    assert!(found(&verify([&maildir]).exits(0)).contains("has grown by"));
    convert([&source, &maildir]);
    let run = verify([&maildir]).exits(0);
    assert_eq!((codes(&run), found(&run)), (BTreeSet::new(), "is the same as when it was converted".into()));
    assert_eq!(count(&run.json().pop().unwrap(), "converted"), 7);
    let moved = scratch.path().join("elsewhere.mbox");
    fs::rename(&source, &moved).unwrap();
    assert!(found(&verify([&maildir]).exits(0)).contains("is gone"));
    let run = verify(["--source".as_ref(), moved.as_os_str(), maildir.as_os_str()]).exits(0);
    assert_eq!(found(&run), "is the same as when it was converted");
    fs::write(&moved, &many(7)[1..]).unwrap();
    let run = verify(["--source".as_ref(), moved.as_os_str(), maildir.as_os_str()]).exits(0);
    assert!(found(&run).contains("another file or shorter"), "{}", run.text());
}

/// A user who names the source expects a report about it.
#[test]
fn a_source_that_is_named_and_is_not_there_is_an_error() {
    let scratch = scratch();
    let maildir = scratch.path().join("Maildir");
    convert_fixture("inbox.mbox", &maildir);
    let absent = scratch.path().join("absent");
    let args = ["--source".as_ref(), absent.as_os_str(), maildir.as_os_str()];
    verify(args).exits(3).complains(&["absent", "no such file"]);
}

#[test]
fn an_option_that_does_not_apply_is_a_usage_error() {
    let scratch = scratch();
    let plain = Workdir(scratch.path()).maildir("plain");
    let converted = scratch.path().join("converted");
    convert_fixture("inbox.mbox", &converted);
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("inbox"), many(1)).unwrap();
    let mbox = fixture("inbox.mbox");
    let [plain, converted, tree, mbox] =
        [&plain, &converted, &tree, &mbox].map(|path| path.to_str().unwrap());
    for args in [
        &["--source", mbox, plain][..],
        &["--source", mbox, mbox],
        &["--source", mbox, "--quick", converted],
        &["--source", mbox, tree],
        &["--manifest", mbox, mbox],
        &["--manifest", mbox, "-"],
        &["--manifest", mbox, plain, converted],
        &["--repair", "-"],
        &["--into", "Old", mbox],
        &["--map", "A=B", tree],
        &["--follow", mbox],
    ] {
        verify(args).exits(2).complains(&[args[0]]);
    }
    verify(["--source", mbox, converted]).exits(0);
    verify(["--follow", tree]).exits(0);
}

/// A remedy is a command that users paste into a shell, root among them.
#[test]
fn a_printed_remedy_is_safe_to_paste_whatever_the_path_is() {
    let names = [
        "it's $(touch pwned)",
        "x; touch pwned #",
        "`touch pwned`",
        "a\n touch pwned\n",
        "\\'; touch pwned; '",
    ];
    for name in names {
        let setup = Setup::new();
        let source = setup.file("inbox", many(1));
        let maildir = setup.path(name);
        run(convert_command([source.as_path(), &maildir])).exits(0);
        let message = &messages(&maildir)[0].path;
        let renamed = message.with_file_name(format!("{}:2,", name.trim()));
        fs::rename(message, &renamed).unwrap();
        fs::remove_dir(maildir.join("tmp")).unwrap();
        let run = verify([&maildir]).exits(1);
        let findings = run.findings();
        let remedy = |code: &str| {
            let finding = findings.iter().find(|finding| finding["code"] == code);
            finding.and_then(|finding| finding["mend"].as_str()).expect("a remedy").to_owned()
        };
        let binaries = Path::new(BINARY).parent().unwrap().to_str().unwrap();
        for command in [remedy("message-renamed"), remedy("maildir-no-directory")] {
            let mut bash = std::process::Command::new("bash");
            bash.args(["-c", &command]).current_dir(setup.scratch.path());
            bash.env("PATH", format!("{binaries}:/usr/bin:/bin"));
            assert!(bash.output().unwrap().status.success(), "{command}");
        }
        assert!(
            !setup.path("pwned").exists() && !renamed.exists() && maildir.join("tmp").exists(),
            "{name:?}"
        );
        verify([&maildir]).exits(0);
    }
}
