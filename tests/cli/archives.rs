//! Archives as sources: each is read as the directory that it unpacks to, or an error names what cannot be read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::*;

/// A directory with mail, archives of it, and what they become.
pub(crate) struct Archives(TempDir);

impl Archives {
    pub(crate) fn new() -> Archives {
        let archives = Archives(scratch());
        fs::create_dir(archives.tree()).unwrap();
        archives
    }

    /// What the archives hold.
    pub(crate) fn tree(&self) -> PathBuf {
        self.path("tree")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn put(&self, name: &str, content: impl AsRef<[u8]>) -> &Archives {
        let path = self.tree().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        self
    }

    /// Adds the mailboxes of several mail programs.
    fn with_mail(self) -> Archives {
        self.put("inbox", many(3)).put("Lists/qmail.mbox", mail(7)).put("Lists/empty", "");
        self.put("Mozilla/Sent", mail(8))
            .put("Mozilla/Sent.sbd/2004", mail(9))
            .put("Mozilla/Sent.msf", "// <!--");
        let gzipped = zstd::encode_all(&many(2)[..], 1).unwrap();
        self.put("Old/2003.mbox.zst", gzipped);
        for n in 1..4 {
            self.put(&format!("mh/{n}"), format!("From: a@b\nSubject: message {n}\n\nbody {n}\n"));
        }
        for directory in ["cur", "new", "tmp", ".Work/cur", ".Work/new", ".Work/tmp"] {
            fs::create_dir_all(self.tree().join("Maildir").join(directory)).unwrap();
        }
        self.put("Maildir/cur/1104746400.M1.host:2,FSa", "Subject: one\n\nbody\n");
        self.put("Maildir/new/1104746401.M2.host", "Subject: two\n\nbody\n");
        self.put("Maildir/.Work/cur/1104746402.M3.host:2,S", "Subject: three\n\nbody\n");
        self.put("Maildir/dovecot-keywords", "0 $Label1\n");
        self.put("holiday.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF").put("notes.txt", "nothing\n");
        self.shell("find . -depth -exec touch -h -d @1104746000 {} +");
        self
    }

    /// Runs a command in the tree.
    pub(crate) fn shell(&self, command: &str) {
        let status = Command::new("sh").args(["-c", command]).current_dir(self.tree()).status().unwrap();
        assert!(status.success(), "{command}");
    }

    /// Runs a script of Python in the scratch directory.
    pub(crate) fn python(&self, script: &str) {
        let mut python = Command::new("python3");
        python.args(["-c", &[PYTHON, script].concat()]).current_dir(self.0.path());
        assert!(python.status().unwrap().success());
    }

    pub(crate) fn convert(&self, archive: &str, destination: &str) -> Run {
        run(convert_command([self.path(archive), self.path(destination)]))
    }
}

/// Returns a list of UIDs without its GUID, which depends on the name of the Maildir.
fn list_without_guid(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let (header, entries) = text.split_once('\n').unwrap();
    let words: Vec<&str> = header.split(' ').filter(|word| !word.starts_with('G')).collect();
    format!("{}\n{entries}", words.join(" "))
}

/// Returns a converted tree without the times of what is not a message, and without the GUIDs of lists of UIDs.
fn converted_mail(root: &Path) -> BTreeMap<PathBuf, FileState> {
    let mut tree = mail_alike(root);
    for (path, state) in &mut tree {
        let is_list = path.ends_with("dovecot-uidlist");
        if is_list || path.ends_with("dovecot-keywords") || path.ends_with("subscriptions") {
            state.mtime = (0, 0);
        }
        if is_list {
            state.digest = list_without_guid(&root.join(path));
        }
    }
    tree
}

#[test]
fn an_archive_is_converted_as_the_directory_it_unpacks_to() {
    let archives = Archives::new().with_mail();
    archives.convert("tree", "unpacked").exits(0);
    let unpacked = converted_mail(&archives.path("unpacked"));
    for (name, command) in [
        ("v7", "tar --format=v7 -cf ../v7 *"),
        ("ustar", "tar --format=ustar -cf ../ustar ."),
        ("gnu", "tar --format=gnu -cf ../gnu ."),
        ("pax", "tar --format=pax -cf ../pax ."),
        ("sparse", "tar --sparse --format=pax -cf ../sparse ."),
        ("a.tgz", "tar -czf ../a.tgz ."),
        ("a.tar.zst", "tar -cf - . | zstd -q > ../a.tar.zst"),
        ("a.tar.bz2", "tar -cf - . | bzip2 > ../a.tar.bz2"),
        ("mail.mbox", "tar -cf - . | xz > ../mail.mbox"),
        ("bsd", "bsdtar -cf ../bsd ."),
        ("bsd.zip", "bsdtar --format=zip -cf ../bsd.zip ."),
        ("a.zip", "zip -qry ../a.zip ."),
        ("stored", "zip -qry0 - . > ../stored"),
        ("bzip2.zip", "zip -qry -Z bzip2 ../bzip2.zip ."),
        ("7z.zip", "7z a -bso0 -tzip ../7z.zip ."),
        ("reversed", "find . -depth | tac | tar --no-recursion -cf ../reversed -T -"),
    ] {
        let program = ["bsdtar", "zip", "7z"].into_iter().find(|program| command.starts_with(program));
        if program.is_some_and(|program| !have("which", &[program])) {
            let _: () = skipped(&format!("{command} does not work here"));
            continue;
        }
        archives.shell(command);
        let out = format!("out-{name}");
        let converted = archives.convert(name, &out).exits(0);
        assert_eq!(count(&converted.summary(), "written"), 14, "{command}");
        let same = converted_mail(&archives.path(&out));
        let other = same
            .iter()
            .chain(&unpacked)
            .find(|(path, state)| [&same, &unpacked].iter().any(|tree| tree.get(*path) != Some(state)));
        assert_eq!(other, None, "{command}");
        let again = archives.convert(name, &out).exits(0).summary();
        assert_eq!((count(&again, "written"), count(&again, "already_present")), (0, 14), "{command}");
        let proof = run(mailferry(["verify", "--against"]).tap(|c| {
            c.arg(archives.path(name)).arg(archives.path(&out));
        }));
        proof.exits(0);
    }
}

#[test]
fn a_member_with_holes_is_read_as_it_was_packed() {
    let archives = Archives::new();
    archives.put("inbox", many(2));
    archives.shell("truncate -s 3M inbox && printf '\\nFrom a@b Mon Jan  3 10:00:00 2005\\nSubject: late\\n\\nx\\n' >> inbox");
    archives.shell("truncate -s 5M inbox");
    let kinds = [
        "--format=gnu",
        "--format=pax --sparse-version=0.0",
        "--format=pax --sparse-version=0.1",
        "--format=pax",
    ];
    for (n, options) in kinds.iter().enumerate() {
        archives
            .shell(&format!("tar --sparse {options} -cf ../{n} . && [ $(stat -c %s ../{n}) -lt 100000 ]"));
    }
    // In memory, reading a hole fills it.
    assert!(archives.convert("tree", "unpacked").text().contains("mbox-nul"));
    for (n, options) in kinds.iter().enumerate() {
        let out = format!("out{n}");
        assert!(archives.convert(&n.to_string(), &out).text().contains("mbox-nul"), "{options}");
        assert!(
            converted_mail(&archives.path(&out)) == converted_mail(&archives.path("unpacked")),
            "{options}"
        );
    }
    // A hole of terabytes is packed into nothing.
    archives.shell("truncate -s 3T inbox && tar --sparse -cf ../endless .");
    let run = archives.convert("endless", "Endless").exits(3);
    assert!(reported(&run, "tree-mail-skipped")["inbox"].contains("more than 1 GiB are holes"));
}

/// Changes a command in place.
trait Tap {
    fn tap(self, change: impl FnOnce(&mut Command)) -> Command;
}

impl Tap for Command {
    fn tap(mut self, change: impl FnOnce(&mut Command)) -> Command {
        change(&mut self);
        self
    }
}

/// Returns the members that a run reports by a code, with the messages.
pub(crate) fn reported(run: &Run, code: &str) -> BTreeMap<String, String> {
    let findings = run.findings().into_iter().filter(|finding| finding["code"] == code);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let member = |path: String| path.rsplit_once('!').map_or(path.clone(), |(_, member)| member.to_owned());
    findings.map(|finding| (member(text(&finding["path"])), text(&finding["message"]))).collect()
}

/// Functions for scripts of Python: `mbox(n)` is a mailbox with a message.
const PYTHON: &str = r#"
import gzip, io, os, struct, sys, tarfile, zipfile, zlib
def mbox(n):
    return b"From a@b Mon Jan  3 10:00:%02d 2005\nSubject: message %d\n\nbody %d\n" % (n % 60, n, n)
def add(tar, name, data=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(data), 1104746000
    for key, value in fields.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(data))
"#;

#[test]
fn the_names_of_members_are_data_and_never_paths() {
    let archives = Archives::new();
    archives.python(
        r#"
long = "/".join(["n" * 200] * 5)
with tarfile.open("hostile", "w", format=tarfile.PAX_FORMAT) as tar:
    add(tar, "/absolute/inbox", mbox(1))
    add(tar, "../../dotted/../up", mbox(2))
    add(tar, "./late/file", mbox(3))
    add(tar, "late", type=tarfile.DIRTYPE)
    add(tar, "late/same", mbox(4))
    add(tar, "late/same", mbox(4))
    add(tar, "late/changed", mbox(5))
    add(tar, "late/changed", mbox(5) + b"\n" + mbox(6))
    add(tar, "late/Changed", mbox(7))
    add(tar, "late/hard", type=tarfile.LNKTYPE, linkname="late/file")
    add(tar, "late/gone", type=tarfile.LNKTYPE, linkname="not/here")
    add(tar, "late/soft", type=tarfile.SYMTYPE, linkname="file")
    add(tar, "late/loop", type=tarfile.SYMTYPE, linkname="loop")
    add(tar, "late/out", type=tarfile.SYMTYPE, linkname="/etc/passwd")
    add(tar, "late/up", type=tarfile.SYMTYPE, linkname="../../../etc/passwd")
    add(tar, "late/fifo", type=tarfile.FIFOTYPE)
    add(tar, "late/disk", type=tarfile.BLKTYPE, devmajor=8)
    add(tar, long, mbox(8))
    add(tar, "x" * 10000, mbox(9))
    add(tar, "a\nb\\c", mbox(10))
    add(tar, "y" * 40000, mbox(11))
    add(tar, "file", mbox(12))
    add(tar, "file/below", mbox(13))
    add(tar, "way", mbox(14))
    add(tar, "way/hard", type=tarfile.LNKTYPE, linkname="late/file")
"#,
    );
    let before = paths(archives.0.path());
    let run = archives.convert("hostile", "Out").exits(1);
    let mail_skipped = reported(&run, "tree-mail-skipped");
    let names: Vec<&str> = mail_skipped.keys().map(|name| name.split('/').next_back().unwrap()).collect();
    assert_eq!(names, ["gone", "out", "up", &"y".repeat(200)], "{mail_skipped:?}");
    assert!(mail_skipped["late/gone"].contains("a hard link to not/here, which is not in the archive"));
    assert!(mail_skipped["late/out"].contains("a symbolic link out of the archive"));
    let skipped = reported(&run, "tree-skipped");
    assert!(skipped["late/changed"].contains("the first one is read as changed (2)"), "{skipped:?}");
    for name in ["late/soft", "late/loop", "late/fifo", "late/disk"] {
        assert!(skipped.contains_key(name), "{name}: {skipped:?}");
    }
    let repeated = reported(&run, "archive-repeated");
    assert_eq!(repeated.keys().collect::<Vec<_>>(), ["late/same"]);
    let folders = run.summary()["table"].as_array().unwrap().clone();
    let mut sources: Vec<String> =
        folders.iter().map(|row| row["source_folder"].as_str().unwrap().into()).collect();
    sources.sort();
    assert_eq!(sources.len(), 15);
    for name in [
        "absolute/inbox",
        "dotted/up",
        "late/file",
        "late/hard",
        "late/changed (2)",
        "file (2)",
        "file/below",
        "way (2)",
        "way/hard",
    ] {
        assert!(sources.iter().any(|source| source == name), "{name}");
    }
    assert_eq!(count(&run.summary(), "written"), 16);
    // Nothing is written beside the destination.
    let after = paths(archives.0.path());
    let new: Vec<&String> =
        after.iter().filter(|path| !before.contains(path) && !path.starts_with("Out")).collect();
    assert_eq!(new, [""; 0], "{after:?}");
}

#[test]
fn an_archive_that_is_cut_off_or_damaged_is_refused() {
    let archives = Archives::new();
    archives.python(
        r#"
body = b"".join(b"%d\n" % (n * 2654435761 % 2**32) for n in range(40000))
with tarfile.open("whole", "w") as tar:
    add(tar, "first", mbox(1))
    add(tar, "second", mbox(2) + body)
whole = open("whole", "rb").read()
packed = gzip.compress(whole)
flipped = bytearray(packed)
flipped[len(packed) // 2] ^= 0x55
header = bytearray(whole)
header[1024 + 5] ^= 1
for name, data in [("cut", whole[:100000]), ("boundary", whole[:1024]), ("cut.tgz", packed[:-2000]),
                   ("trailer.tgz", packed[:-4]), ("flipped.tgz", bytes(flipped)), ("header", bytes(header))]:
    open(name, "wb").write(data)
with zipfile.ZipFile("whole.zip", "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("first", mbox(1))
    archive.writestr("second", mbox(2) + body)
whole = open("whole.zip", "rb").read()
open("cut.zip", "wb").write(whole[:-30])
open("half.zip", "wb").write(whole[:len(whole) // 2])
directory = whole.index(b"PK\x01\x02")
second = whole.index(b"PK\x01\x02", directory + 4)
overlapping = bytearray(whole)
overlapping[second + 42:second + 46] = whole[directory + 42:directory + 46]
open("overlapping.zip", "wb").write(bytes(overlapping))
"#,
    );
    for (name, words) in [
        ("cut", "cut!second: the archive is cut off in this member"),
        ("boundary", "boundary: ends without the end mark"),
        ("cut.tgz", "cut.tgz!second: the gzip data of the archive is damaged or cut off"),
        ("trailer.tgz", "trailer.tgz: the gzip data of the archive is damaged or cut off"),
        ("flipped.tgz", "the gzip data of the archive is damaged or cut off"),
        ("header", "header: is damaged: there is no valid header at byte 1,024"),
        ("cut.zip", "cut.zip: has no central directory"),
        ("half.zip", "half.zip: has no central directory"),
        ("overlapping.zip", "overlapping.zip!second: overlaps another member"),
    ] {
        let out = archives.path("Out");
        let run = archives.convert(name, "Out").exits(3);
        assert!(run.text().contains(words), "{name}: {}", run.text());
        assert_eq!(run.complaints(), ["archive-unreadable"], "{name}");
        assert!(!out.exists(), "{name}");
        let mut verify = mailferry(["verify", "--json"]);
        verify.arg(archives.path(name));
        assert!(run_text(verify, 3).contains(words), "{name}");
    }
    // With others it is refused, too: a part of a Takeout that is missing is not a Takeout.
    let run = run(convert_command(["whole", "cut.tgz", "Out"].map(|name| archives.path(name)))).exits(3);
    assert!(!archives.path("Out").exists(), "{}", run.text());
}

fn run_text(command: Command, code: i32) -> String {
    run(command).exits(code).text()
}

#[test]
fn a_member_that_cannot_be_read_is_named_and_the_rest_is_converted() {
    let archives = Archives::new();
    archives.python(
        r#"
with zipfile.ZipFile("plain.zip", "w", zipfile.ZIP_DEFLATED) as archive:
    for n in range(1, 5):
        archive.writestr("mail/%d.mbox" % n, mbox(n))
whole = bytearray(open("plain.zip", "rb").read())
first = whole.index(b"PK\x01\x02")
second = whole.index(b"PK\x01\x02", first + 4)
third = whole.index(b"PK\x01\x02", second + 4)
whole[first + 16] ^= 1
whole[second + 8] |= 1
whole[third + 10] = 98
open("odd.zip", "wb").write(bytes(whole))
"#,
    );
    let run = archives.convert("odd.zip", "Out").exits(1);
    assert_eq!(count(&run.summary(), "written"), 1);
    let skipped = reported(&run, "tree-mail-skipped");
    for (name, words) in [
        ("mail/1.mbox", "its checksum (CRC-32) is not that of the archive"),
        ("mail/2.mbox", "it is encrypted"),
        ("mail/3.mbox", "it is compressed by method 98, which is not read"),
    ] {
        assert!(skipped[name].contains(words), "{skipped:?}");
    }
    assert_eq!(skipped.len(), 3);
}

#[test]
fn an_archive_that_unpacks_to_a_full_disk_is_refused() {
    let archives = Archives::new();
    archives.python(
        r#"
SIZE = 10 << 30
zeros = bytes(64 << 20)
with tarfile.open("start", "w") as tar:
    info = tarfile.TarInfo("inbox")
    info.size = SIZE
    start = info.tobuf()
part = gzip.compress(zeros)
open("bomb.tgz", "wb").write(gzip.compress(start) + part * (SIZE // len(zeros)) + gzip.compress(bytes(1024)))
encoder = zlib.compressobj(9, zlib.DEFLATED, -15)
encoder.compress(zeros[:1 << 20])
encoder.flush(zlib.Z_FULL_FLUSH)
part = encoder.compress(zeros[:1 << 20]) + encoder.flush(zlib.Z_FULL_FLUSH)
data = part * (SIZE >> 20) + zlib.compressobj(9, zlib.DEFLATED, -15).flush()
large = struct.pack("<HHQQ", 1, 16, SIZE, len(data))
local = struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 8, 0, 33, 0, 2**32 - 1, 2**32 - 1, 5, len(large)) + b"inbox" + large
entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 45, 45, 0, 8, 0, 33, 0, 2**32 - 1, 2**32 - 1, 5, len(large), 0, 0, 0, 0, 0) + b"inbox" + large
end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(local) + len(data), 0)
open("bomb.zip", "wb").write(local + data + entry + end)
"#,
    );
    for name in ["bomb.tgz", "bomb.zip"] {
        assert!(fs::metadata(archives.path(name)).unwrap().len() < 12 << 20);
        let command =
            ["convert", archives.path(name).to_str().unwrap(), archives.path("Out").to_str().unwrap()]
                .map(str::to_owned);
        let started = std::time::Instant::now();
        let (code, memory) = peak_memory(&command.each_ref().map(|word| &word[..]), &archives.path("start"));
        assert_eq!(code, 3, "{name}");
        assert!(memory < 200 << 10, "{name}: {memory} KiB");
        note!("{name}: {:?}, {memory} KiB", started.elapsed());
        let run = archives.convert(name, "Out").exits(3);
        assert!(run.text().contains("unpacks to more than 200 times its size"), "{}", run.text());
        assert!(run.text().contains("--spool-limit") && !archives.path("Out").exists());
    }
}

#[test]
fn the_parts_of_a_takeout_are_read_in_any_order_and_common_files_once() {
    let archives = Archives::new();
    archives.python(
        r#"
def part(name, members):
    with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            archive.writestr("Takeout/" + member, data)
index = b"<html>index</html>"
part("takeout-001.zip", {"Mail/Inbox.mbox": mbox(1), "Mail/Sent-001.mbox": mbox(2), "archive_browser.html": index})
part("takeout-002.zip", {"Mail/Sent-002.mbox": mbox(3), "Mail/Inbox.mbox": mbox(1), "archive_browser.html": index})
"#,
    );
    let parts = ["takeout-002.zip", "takeout-001.zip"].map(|name| archives.path(name));
    let out = archives.path("Out");
    let run_with = |parts: &[PathBuf]| {
        let mut command = convert_command::<&str>([]);
        command.args(parts).arg(&out);
        run(command).exits(0)
    };
    let run = run_with(&parts);
    assert_eq!(count(&run.summary(), "written"), 3);
    assert_eq!(reported(&run, "archive-repeated").keys().collect::<Vec<_>>(), ["Takeout/Mail/Inbox.mbox"]);
    let again = run_with(&[parts[1].clone(), parts[0].clone()]).summary();
    assert_eq!((count(&again, "written"), count(&again, "already_present")), (0, 3));
}

/// Takeouts in two languages, with the mail of a group.
const TAKEOUT: &str = r#"
def message(n, fields):
    return ("From %d@xxx Sat Jun 09 06:07:13 +0000 2012\r\nX-GM-THRID: %d\r\n%sMessage-ID: <%d@example.org>\r\n"
            "From: a@example.org\r\nSubject: message %d\r\n\r\nbody\r\n\r\n" % (n, n, fields, n, n)).encode()
mail = message(1, "X-Gmail-Labels: Inbox,Unread\r\n") + message(2, "X-Gmail-Labels: Work,Starred\r\n")
topics = message(3, "X-Google-Groups: vecinos\r\n")
topics += message(4, "X-Google-Groups: vecinos\r\nX-Gmail-Labels: El tema se ha fijado\r\n")
with tarfile.open("takeout.tgz", "w:gz") as tar:
    add(tar, "Takeout/archive_browser.html", b"<html></html>")
    add(tar, "Takeout/Correo/Todo el correo.mbox", mail)
    add(tar, "Takeout/Correo/Configuraci\u00f3n de usuario/Filtros.json", b"{}\n")
    add(tar, "Takeout/Grupos/googlegroups.com/vecinos@googlegroups.com/temas.mbox", topics)
    add(tar, "Takeout/Fotos/a.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(2 << 20))
"#;

#[test]
fn the_folders_of_a_takeout_have_the_names_of_its_mailboxes() {
    let archives = Archives::new();
    archives.python(TAKEOUT);
    archives.shell("tar -xzf ../takeout.tgz");
    for (source, out) in [("takeout.tgz", "packed"), ("tree", "unpacked")] {
        let run = archives.convert(source, out).exits(0);
        let directories: Vec<String> = run.summary()["table"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["folder"].as_str().unwrap().into())
            .collect();
        assert_eq!(directories, ["Todo el correo", "vecinos"]);
        // The state of a topic is no label.
        assert_eq!(run.complaints(), [""; 0], "{}", run.text());
        assert!(!archives.path(out).join(".vecinos/dovecot-keywords").exists());
    }
    assert!(converted_mail(&archives.path("packed")) == converted_mail(&archives.path("unpacked")));
    let mut by_label = convert_command(["--labels=folders"]);
    by_label.arg(archives.path("takeout.tgz")).arg(archives.path("labels"));
    let run = run(by_label).exits(0);
    assert_eq!(count(&run.summary(), "written"), 4);
    let of = |folder: &str| {
        messages(&archives.path("labels").join(folder)).iter().map(Message::subject).collect::<Vec<_>>()
    };
    assert_eq!(of(".Work"), ["message 2"]);
    assert_eq!(of("").len(), 3);
}

#[test]
fn each_member_is_restored_and_grows_by_its_name() {
    let archives = Archives::new();
    archives.python(
        r#"
def write(name, count):
    with tarfile.open(name, "w:gz") as tar:
        add(tar, "Mail/inbox", b"\n".join(mbox(n) for n in range(1, count + 1)))
        add(tar, "Mail/sent", mbox(70))
write("mail.tgz", 2)
write("newer.tgz", 3)
with tarfile.open("other.tgz", "w:gz") as tar:
    add(tar, "Mail/inbox", mbox(4) + b"\n" + mbox(2))
"#,
    );
    archives.convert("mail.tgz", "Out").exits(0);
    let before = mail_alike(&archives.path("Out"));
    fs::rename(archives.path("newer.tgz"), archives.path("mail.tgz")).unwrap();
    let grown = archives.convert("mail.tgz", "Out").exits(0);
    assert_eq!((count(&grown.summary(), "written"), count(&grown.summary(), "already_present")), (1, 3));
    let after = mail_alike(&archives.path("Out"));
    assert!(before.keys().all(|path| after.contains_key(path)));
    // Another archive has a newer state of the member.
    let other = archives.convert("other.tgz", "Copy").exits(0);
    assert_eq!(other.complaints(), [""; 0]);
    let mut dry = convert_command(["-n"]);
    dry.arg(archives.path("other.tgz")).arg(archives.path("Out"));
    let dry = run(dry).exits(0);
    assert_eq!(dry.complaints(), ["archive-newer"]);
    assert!(dry.text().contains("--dedupe content"), "{}", dry.text());
    let mut deduped = convert_command(["--dedupe=content"]);
    deduped.arg(archives.path("other.tgz")).arg(archives.path("Out"));
    let deduped = run(deduped).exits(0);
    assert_eq!((count(&deduped.summary(), "written"), count(&deduped.summary(), "duplicates")), (1, 1));
    archives.shell("tar -xzf ../mail.tgz");
    let restored = archives.path("restored");
    let exact = |source: &str, folder: &str| {
        let mut exact = mailferry(["convert", "--exact", "--force", "--source", source]);
        exact.arg(archives.path("Out").join(folder)).arg(&restored);
        run(exact)
    };
    let archive = archives.path("mail.tgz").display().to_string();
    // The other archive has an inbox, too.
    for (member, end) in [("Mail/inbox", "mail.tgz!Mail/inbox"), ("Mail/sent", "Mail/sent")] {
        for source in [&format!("{archive}!{member}"), end] {
            exact(source, &format!(".{}", member.replace('/', "."))).exits(0);
            let original = fs::read(archives.tree().join(member)).unwrap();
            assert!(fs::read(&restored).unwrap() == original, "{source}");
            fs::remove_file(&restored).unwrap();
        }
    }
    // The root of a tree has no source.
    for source in ["Mail/sent", "1"] {
        let refused = exact(source, "").exits(3);
        assert!(refused.stderr.contains("has no source of its own; name the folder that has it"));
    }
}

#[test]
fn a_store_is_the_same_packed_and_unpacked() {
    let Some(stores) = shared("stores") else { return };
    let mut compared = 0;
    for entry in fs::read_dir(stores).unwrap() {
        let packed = entry.unwrap().path().join("store.tar.zst");
        let Ok(archive) = fs::File::open(&packed) else { continue };
        let archives = Archives::new();
        tar::Archive::new(zstd::Decoder::new(archive).unwrap()).unpack(archives.tree()).unwrap();
        let convert = |source: &Path, out: &str| {
            let mut command = convert_command::<&str>([]);
            command.arg(source).arg(archives.path(out));
            run(command)
        };
        let unpacked = convert(&archives.tree(), "unpacked");
        let converted = convert(&packed, "packed");
        let code = |run: &Run| run.summary()["exit"].as_u64();
        assert_eq!(code(&converted), code(&unpacked), "{}: {}", packed.display(), converted.text());
        assert_eq!(count(&converted.summary(), "written"), count(&unpacked.summary(), "written"));
        assert_eq!(converted.complaints(), unpacked.complaints(), "{}", packed.display());
        if archives.path("unpacked").exists() {
            let (packed_mail, mail) =
                (converted_mail(&archives.path("packed")), converted_mail(&archives.path("unpacked")));
            let other = mail.iter().find(|(path, state)| packed_mail.get(*path) != Some(state));
            assert_eq!((other, packed_mail.len()), (None, mail.len()), "{}", packed.display());
            compared += 1;
        }
    }
    assert!(compared > 20, "{compared} stores");
}
