//! Stores of other programs, archives, and files of one message: each is read, or named.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::*;

/// A directory of mail next to a place for what it becomes.
struct Store(TempDir);

impl Store {
    fn new() -> Store {
        let store = Store(scratch());
        store.put("good.mbox", mail(1));
        store
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("in")
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn convert(&self, options: &[&str]) -> Run {
        let (root, out) = (self.root(), self.0.path().join("Out"));
        let mut args = options.to_vec();
        args.extend([root.to_str().unwrap(), out.to_str().unwrap()]);
        run(convert_command(args))
    }

    /// Converts the tree, and returns what it complains about, by paths in it.
    fn refused(&self) -> BTreeSet<String> {
        let run = self.convert(&[]).exits(1);
        assert_eq!(count(&run.summary(), "written"), 1, "{}", run.text());
        paths_of(&run, "tree-mail-skipped")
    }

    fn folders(&self) -> BTreeSet<String> {
        let out = self.0.path().join("Out");
        names(&out).into_iter().filter(|name| name.starts_with('.')).collect()
    }

    fn subjects(&self, folder: &str) -> BTreeSet<String> {
        let folder = self.0.path().join("Out").join(folder);
        messages(&folder).iter().map(Message::subject).collect()
    }
}

/// Returns the paths below `in` of the findings of a code.
fn paths_of(run: &Run, code: &str) -> BTreeSet<String> {
    let of_code = run.findings().into_iter().filter(|finding| finding["code"] == code);
    let path = |finding: serde_json::Value| {
        let path = finding["path"].as_str().unwrap().to_owned();
        path.split_once("/in/").map_or(path.clone(), |(_, path)| path.to_owned())
    };
    of_code.map(path).collect()
}

fn bare(subject: &str) -> String {
    format!(
        "Received: from a by b; Mon, 3 Jan 2005 10:00:00 +0000\nFrom: a@example.org\nSubject: {subject}\n\nx\n"
    )
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Runs a shell command in a directory.
fn shell(directory: &Path, command: &str) {
    let output = Command::new("sh").arg("-c").arg(command).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_store_of_another_program_is_named_in_a_tree() {
    let store = Store::new();
    let (text, crlf) = (bare("x"), bare("x").replace('\n', "\r\n"));
    let wide = |unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
    let compressed = |level: i32| zstd::encode_all(text.as_bytes(), level).unwrap();
    store.put("dbox-Mails/u.1", format!("2 M1e C5ef2f6a0\n\x01\x02N          0000000000000169\n{text}"));
    store.put("mtx", format!("27-Feb-2016 20:21:27 +0000,390;000000000005\r\n{crlf}").repeat(2));
    store.put("tenex", format!(" 3-Jan-2005 10:00:00 +0000,93;000000000001\n{text}"));
    store.put("mbx", format!("*mbx*\r\n6b0cda800000000\r\n{}{crlf}", "\0".repeat(2000)));
    store.put("mix/.mix6b0cdae8", format!(":msg:00000001:20160227202127+0000:00000186:\r\n{crlf}"));
    store.put("FOL001.PMM", [&[0; 128][..], crlf.as_bytes(), b"\x1a"].concat());
    store.put("messages.tbb", [&b"\x20\x08\x79\x19"[..], &[0; 3000], crlf.as_bytes()].concat());
    store.put("in.box", format!("\x10\x10\x10\x10\x10\x10\x11\x11\x11\x11\x11\x11S\r\n{crlf}"));
    store.put("unknown", [&b"\x07\x01\x02\x03"[..], &[0; 500], crlf.as_bytes()].concat());
    store.put("records", format!("record 1\n{text}record 22\n{text}"));
    store.put("rmail", "BABYL OPTIONS: -*- rmail -*-\n");
    store.put("utf16.txt", [&b"\xff\xfe"[..], &wide(u16::to_le_bytes)].concat());
    store.put("utf16be", wide(u16::to_be_bytes));
    store.put("twice", zstd::encode_all(&compressed(1)[..], 1).unwrap());
    store.put("locked", b"CRYPTED\x03\x07\x02\x01");
    store.put("quoting.txt", format!("They wrote\nthis\n\n\n{}{text}", "a line\n".repeat(20)));
    store.put("notes.eml", "no header here\n");
    store.put("x.pst", "not known\n");
    for name in ["empty.eml", "Empty.MSG", "blank.eml"] {
        store.put(name, if name == "blank.eml" { "\r\n\r\n" } else { "" });
    }
    // Nothing in these is mail.
    store.put("todo.txt", "Once upon a time\n");
    store.put("photo.jpg", b"\xff\xd8\xff\xe0 Subject: x\nFrom: a@b\n");
    let named = [
        "dbox-Mails/u.1",
        "mtx",
        "tenex",
        "mbx",
        "mix/.mix6b0cdae8",
        "FOL001.PMM",
        "messages.tbb",
        "in.box",
        "unknown",
        "records",
        "rmail",
        "utf16.txt",
        "utf16be",
        "twice",
        "locked",
        "quoting.txt",
        "notes.eml",
        "x.pst",
        "empty.eml",
        "Empty.MSG",
        "blank.eml",
    ];
    assert_eq!(store.refused(), set(&named));
}

#[test]
fn an_archive_is_refused_by_its_content() {
    let store = Store::new();
    let members = store.0.path().join("members");
    fs::create_dir(&members).unwrap();
    fs::write(members.join("a.mbox"), many(3)).unwrap();
    fs::create_dir_all(store.root()).unwrap();
    for (kind, name, command) in [
        ("tar archive", "v7", "tar --format=v7 -cf - a.mbox"),
        ("tar archive", "ustar", "tar --format=ustar -cf - a.mbox"),
        ("tar archive", "gnu", "tar --format=gnu -cf - a.mbox"),
        ("tar archive", "All mail.mbox", "tar --format=pax -cf - a.mbox"),
        ("tar archive", "a.tgz", "tar -czf - a.mbox"),
        ("tar archive", "a.tar.xz", "tar -cf - a.mbox | xz"),
        ("tar archive", "a.tar.bz2", "tar -cf - a.mbox | bzip2"),
        ("tar archive", "a.tar.zst", "tar -cf - a.mbox | zstd -q"),
        ("with lzma", "a.tar.lzma", "tar -cf - a.mbox | xz --format=lzma"),
        ("cpio archive", "newc", "echo a.mbox | cpio -o -H newc"),
        ("cpio archive", "odc", "echo a.mbox | cpio -o -H odc"),
        ("cpio archive", "bin", "echo a.mbox | cpio -o -H bin"),
        ("cpio archive", "newc.gz", "echo a.mbox | cpio -o -H newc | gzip"),
        ("ar archive", "ar", "ar rc ../a a.mbox && cat ../a"),
        ("zip archive", "zip", "zip -q - a.mbox"),
    ] {
        let program = ["cpio", "zip", "ar"].into_iter().find(|&name| command.contains(&format!("{name} ")));
        if program.is_some_and(|program| !have(program, &["--version"]) && !have(program, &["-h"])) {
            continue;
        }
        let archive = store.root().join(name);
        shell(&members, &format!("({command}) > '{}'", archive.display()));
        let out = store.0.path().join("Refused");
        // A tar or zip archive is read where it is named by itself, and refused as an mbox and in a tree.
        let source = PathBuf::from(format!("mbox:{}", archive.display()));
        let refused = run(convert_command([&source, &out])).exits(3);
        assert!(refused.text().contains(kind) && !out.exists(), "{command}: {}", refused.text());
        let piped = mailferry(["convert", "-"]).arg(&out).stdin(fs::File::open(&archive).unwrap()).output();
        assert_eq!(piped.unwrap().status.code(), Some(3), "{command}");
    }
    let all: BTreeSet<String> = names(&store.root()).into_iter().filter(|name| name != "good.mbox").collect();
    assert!(all.len() > 8, "{all:?}");
    assert_eq!(store.refused(), all);
}

#[test]
fn an_mbox_that_only_mentions_an_archive_is_mail() {
    let store = Store::new();
    let head = "From a@b Mon Jan  3 10:00:00 2005\nSubject: x\n\n";
    store.put("word", format!("{head}{}ustar\n\n", ".".repeat(257 - head.len())));
    store.put("nulls", format!("{}{head}x\n", "\0".repeat(4096)));
    // The hole of a crash at the start of an mbox is junk, and junk is an error.
    let run = store.convert(&[]).exits(1);
    assert_eq!(count(&run.summary(), "written"), 3);
    assert_eq!(paths_of(&run, "tree-mail-skipped"), set(&[]));
}

#[test]
fn a_file_whose_first_separator_comes_after_binary_data_is_refused() {
    let store = Store::new();
    let binary: Vec<u8> = (0..4096u32).map(|n| (n * 7 % 256) as u8).collect();
    let file = store.put("odd", [&binary[..], b"\n\n", &many(2)].concat());
    let out = store.0.path().join("Refused");
    let refused = run(convert_command([&file, &out])).exits(3).text();
    assert!(refused.contains("binary data") && refused.contains("mboxrd:") && !out.exists(), "{refused}");
    assert_eq!(store.refused(), set(&["odd"]));
    let named = format!("mboxrd:{}", file.display());
    let run = run(convert_command([named.as_str(), out.to_str().unwrap()])).exits(1);
    assert_eq!(count(&run.summary(), "written"), 2);
}

#[test]
fn a_message_with_something_above_its_header_arrives_without_it() {
    let store = Store::new();
    fs::remove_file(store.root().join("good.mbox")).unwrap();
    for (name, lead) in [
        ("a", "Microsoft Mail Internet Headers Version 2.0\n"),
        ("b", "\n \n"),
        ("c", "\u{feff}"),
        ("d", ">From a@b Mon Jan  3 10:00:00 2005\n"),
        ("e", "From a@b Mon Jan  3 10:00:00 2005\n"),
    ] {
        store.put(&format!("{name}.eml"), format!("{lead}{}", bare(name)));
    }
    store.put("cr.eml", bare("f").replace('\n', "\r"));
    let run = store.convert(&[]).exits(0);
    assert_eq!(count(&run.summary(), "written"), 6);
    assert_eq!(store.subjects("."), set(&["a", "b", "c", "d", "e", "f"]));
    assert_eq!(paths_of(&run, "message-no-header"), set(&["a.eml"]));
    assert_eq!(store.folders(), set(&[]));
    for message in messages(&store.0.path().join("Out")) {
        let lead = fs::read(&message.path).unwrap();
        let begins = [&b"Received:"[..], b"Microsoft", b">From"].iter().any(|start| lead.starts_with(start));
        assert!(begins, "{}", String::from_utf8_lossy(&lead));
    }
    let (root, out) = (store.root(), store.0.path().join("Out"));
    let args = ["verify", "--against", out.to_str().unwrap(), "--metadata", root.to_str().unwrap()];
    run_json(&args).exits(0);
}

fn run_json(args: &[&str]) -> Run {
    let mut command = mailferry(args);
    command.arg("--json");
    run(command)
}

#[test]
fn what_is_above_a_blank_line_above_the_header_is_reported_as_junk() {
    let store = Store::new();
    let path = store.put("box/a.eml", format!("Exported by a program\n\n{}", bare("a")));
    let run = store.convert(&[]).exits(1);
    assert_eq!(count(&run.summary(), "written"), 2);
    assert_eq!(paths_of(&run, "mbox-junk"), set(&["box/a.eml"]));
    let exact = store.0.path().join("exact");
    let folder = store.0.path().join("Out/.box");
    mailferry(["convert", "--exact"]).arg(folder).arg(&exact).output().unwrap();
    assert_eq!(fs::read(exact).unwrap(), fs::read(path).unwrap());
}

#[test]
fn messages_of_one_directory_are_one_folder_whatever_is_at_their_top() {
    let store = Store::new();
    for n in 0..3 {
        store.put(&format!("eml/m{n}.eml"), mail(n));
        store.put(&format!("mh/{}", n + 1), if n == 0 { bare("bare") } else { mail(n) });
        store.put(&format!("numbers/{}", n + 1), mail(n));
        // Years are names of mailboxes.
        store.put(&format!("years/{}", 2003 + n), mail(n));
    }
    store.put("mixed/1", mail(1));
    store.put("mixed/2", many(2));
    let run = store.convert(&[]).exits(0);
    assert_eq!(count(&run.summary(), "written"), 16, "{}", run.text());
    let folders = [".eml", ".good", ".mh", ".mixed.1", ".mixed.2", ".numbers"];
    let years = [".years.2003", ".years.2004", ".years.2005"];
    assert_eq!(store.folders(), set(&[&folders[..], &years].concat()));
    let first = |folder: &str| messages(&store.0.path().join("Out").join(folder))[0].path.clone();
    assert!(!fs::read(first(".eml")).unwrap().starts_with(b"From "));
}

#[test]
fn a_tree_becomes_a_maildir_whatever_is_in_it_and_the_report_says_so() {
    let store = Store::new();
    fs::remove_file(store.root().join("good.mbox")).unwrap();
    for folder in ["A", "B"] {
        fs::create_dir_all(store.root().join(folder).join("new")).unwrap();
        store.put(&format!("{folder}/cur/1104746400.1.h:2,S"), bare(folder));
    }
    let (root, out) = (store.root(), store.0.path().join("Out"));
    let (mboxes, fs_layout) = (store.0.path().join("mboxes/"), store.0.path().join("fs"));
    let to_mboxes = format!("mbox:{}", mboxes.display());
    for (options, to, is, layout) in [
        (&[][..], out.to_str().unwrap(), "a Maildir with 2 folders", "maildir++"),
        (&["--layout", "fs"], fs_layout.to_str().unwrap(), "a directory with 2 Maildirs", "fs"),
        (&[], &to_mboxes, "a directory with 2 mboxes", "mboxes"),
    ] {
        for dry_run in [&["-n"][..], &[]] {
            let mut command = mailferry(["convert"]);
            let text = run({
                command.args(options).args(dry_run).arg(&root).arg(to);
                command
            });
            let verb = if dry_run.is_empty() { "is" } else { "would be" };
            let text = text.exits(0).text();
            assert!(text.contains(&format!("{verb} {is}")), "{text}");
        }
        let again = run(convert_command([options, &["-n", root.to_str().unwrap(), to]].concat()));
        let known = ["fs", "maildir++"].contains(&layout);
        assert_eq!(again.exits(if known { 0 } else { 1 }).summary()["layout"], layout);
    }
    assert_eq!(store.folders(), set(&[".A", ".B"]));
    assert!(fs::metadata(mboxes.join("A")).unwrap().is_file() && fs_layout.join("A/cur").is_dir());
}

#[test]
fn missing_directories_are_created_on_request_and_removed_if_nothing_is_written() {
    let scratch = scratch();
    let path = |name: &str| scratch.path().join(name);
    fs::write(path("a.mbox"), many(2)).unwrap();
    fs::write(path("text"), "no mail\n").unwrap();
    let try_convert = |options: &[&str], source: &str, to: &str| {
        let mut command = mailferry(["convert"]);
        command.current_dir(scratch.path()).args(options).args([source, to]);
        run(command)
    };
    fs::create_dir(path("tree")).unwrap();
    fs::copy(path("a.mbox"), path("tree/a")).unwrap();
    for (source, to) in [
        ("a.mbox", "x/y/Maildir"),
        ("a.mbox", "mbox:./x/y/file"),
        ("tree", "x/y/Maildir"),
        ("tree", "mbox:x/y/dir/"),
    ] {
        try_convert(&[], source, to).exits(3).complains(&["x/y", "--parents"]);
        try_convert(&["-n", "-p"], source, to).exits(0);
        assert!(!path("x").exists(), "{to}");
        try_convert(&["-p"], "text", to).exits(3);
        assert!(!path("x").exists(), "{to}");
        try_convert(&["--parents"], source, to).exits(0);
        assert!(path("x/y").is_dir(), "{to}");
        fs::remove_dir_all(path("x")).unwrap();
    }
    try_convert(&[], "a.mbox", "Maildir").exits(0);
    try_convert(&["--exact"], "Maildir", "x/y/a.mbox").exits(3).complains(&["--parents"]);
    try_convert(&["--exact", "-p"], "Maildir", "x/y/a.mbox").exits(0);
    assert_eq!(fs::read(path("x/y/a.mbox")).unwrap(), fs::read(path("a.mbox")).unwrap());
}

#[test]
fn directories_that_root_creates_for_a_user_are_the_users() {
    const NOBODY: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        return skipped("only root can act as another user");
    }
    let scratch = scratch();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mbox = scratch.path().join("a.mbox");
    fs::write(&mbox, many(2)).unwrap();
    let home = scratch.path().join("home");
    fs::create_dir(&home).unwrap();
    lchown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    for (options, to) in
        [(&["--owner", "nobody"][..], "new/er/Maildir"), (&[], "home/er/Maildir"), (&[], "home/x/y/box")]
    {
        let to = scratch.path().join(to);
        let mut command = mailferry(["convert", "-p"]);
        let prefix = if to.ends_with("box") { "mbox:" } else { "" };
        command.args(options).arg(&mbox).arg(format!("{prefix}{}", to.display()));
        run(command).exits(0);
        for path in [&to, to.parent().unwrap(), to.parent().unwrap().parent().unwrap()] {
            assert_eq!(fs::metadata(path).unwrap().uid(), NOBODY, "{}", path.display());
        }
    }
}

/// Compresses as a server does: `xz` by the program, the others by their libraries.
fn compress(format: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    use std::io::Write;
    Some(match format {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => zstd::encode_all(bytes, 1).unwrap(),
        program => {
            let mut child = Command::new(program)
                .arg("-c")
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .ok()?;
            child.stdin.take().unwrap().write_all(bytes).unwrap();
            child.wait_with_output().unwrap().stdout
        }
    })
}

fn maildir(path: &Path, messages: &[(String, Vec<u8>)]) {
    for directory in ["cur", "new", "tmp"] {
        fs::create_dir_all(path.join(directory)).unwrap();
        fs::set_permissions(path.join(directory), fs::Permissions::from_mode(0o700)).unwrap();
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    for (name, bytes) in messages {
        fs::write(path.join("cur").join(name), bytes).unwrap();
    }
}

#[test]
fn messages_that_a_server_has_compressed_are_read_by_every_command() {
    let scratch = scratch();
    let path = |name: &str| scratch.path().join(name);
    let text = |subject: &str| bare(subject).into_bytes();
    let large = [text("large"), b"a line of a large message\n".repeat(400_000)].concat();
    let messages: Vec<(&str, Vec<u8>)> = [
        ("plain", text("plain")),
        ("gzip", large),
        ("zstd", text("zstd")),
        ("bzip2", text("bzip2")),
        ("xz", text("xz")),
    ]
    .into_iter()
    .filter(|(format, _)| *format == "plain" || compress(format, b"").is_some())
    .collect();
    let name = |n: usize, size: usize| format!("110474640{n}.M{n}.h,S={size}:2,S");
    let plain: Vec<_> =
        messages.iter().enumerate().map(|(n, (_, whole))| (name(n, whole.len()), whole.clone())).collect();
    let stored: Vec<_> = messages
        .iter()
        .enumerate()
        .map(|(n, (format, whole))| {
            let bytes = if *format == "plain" { whole.clone() } else { compress(format, whole).unwrap() };
            (name(n, whole.len()), bytes)
        })
        .collect();
    maildir(&path("plain"), &plain);
    maildir(&path("stored"), &stored);
    for (source, out) in [("plain", "plain.mbox"), ("stored", "stored.mbox")] {
        let run = run(convert_command([path(source), path(out)])).exits(0);
        assert_eq!(count(&run.summary(), "written"), messages.len() as u64);
    }
    assert!(fs::read(path("plain.mbox")).unwrap() == fs::read(path("stored.mbox")).unwrap());
    let command = |args: &[&str]| {
        let mut command = mailferry(args);
        command.current_dir(scratch.path());
        run(command)
    };
    command(&["verify", "stored"]).exits(0);
    command(&["verify", "--quick", "stored"]).exits(0);
    for other in ["plain", "stored.mbox"] {
        command(&["verify", "stored", "--against", other]).exits(0);
    }
    let listed = command(&["inspect", "--json", "stored"]).exits(0).text();
    assert!(
        messages
            .iter()
            .all(|(name, _)| *name == "gzip" || listed.contains(&format!("\"subject\":\"{name}\"")))
    );
    assert!(command(&["inspect", "stored", "2"]).exits(0).stdout == messages[1].1);
    // A copy keeps the bytes, and a repeated delivery finds the message.
    command(&["convert", "stored", "maildir:copy"]).exits(0);
    for (name, bytes) in &stored {
        assert!(fs::read(path("copy/cur").join(name)).unwrap() == *bytes, "{name}");
    }
    command(&["verify", "copy"]).exits(0);
    for (_, whole) in &messages {
        let mut deliver = mailferry(["deliver", "--once", "stored"]);
        deliver.current_dir(scratch.path());
        run_with_stdin(deliver, whole.clone()).exits(0);
    }
    assert_eq!(names(&path("stored/new")), [""; 0]);
    // Only the message of another size than its name says is a fault.
    let wrong = [("1.M1.h,S=7:2,S".to_owned(), stored[2].1.clone())];
    maildir(&path("wrong"), &wrong);
    let run = run_json(&["verify", path("wrong").to_str().unwrap()]).exits(1);
    assert_eq!(run.complaints(), ["maildir-untrue-size"]);
}

#[test]
fn a_maildir_is_as_converted_after_a_server_has_compressed_it() {
    let setup = Setup::new();
    let source = setup.file("a.mbox", many(4));
    setup.convert(&[], &[&source]);
    for message in setup.messages() {
        let (mtime, bytes) = (message.meta.modified().unwrap(), compress("zstd", &message.bytes).unwrap());
        fs::write(&message.path, bytes).unwrap();
        fs::File::options().write(true).open(&message.path).unwrap().set_modified(mtime).unwrap();
    }
    run_json(&["verify", setup.maildir().to_str().unwrap()]).exits(0);
    setup.restores(&source);
}

#[test]
fn messages_that_cannot_be_read_are_named_and_never_written() {
    let scratch = scratch();
    let path = |name: &str| scratch.path().join(name);
    let whole = bare("x").into_bytes();
    let packed = compress("gzip", &whole).unwrap();
    let bomb = {
        use std::io::Write;
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        (0..1100).for_each(|_| encoder.write_all(&vec![b'x'; 1 << 20]).unwrap());
        encoder.finish().unwrap()
    };
    let message = |n: usize, bytes: &[u8]| (format!("110474640{n}.M{n}.h:2,S"), bytes.to_vec());
    let all = [
        message(0, &whole),
        message(1, b"Dovecot-LZ4\r*\x9b\xc5\0\0\0\x10 and so on"),
        message(2, b"CRYPTED\x03\x07\x02\x01 and so on"),
        message(3, &packed[..packed.len() - 10]),
        message(4, &compress("gzip", &packed).unwrap()),
        message(5, &bomb),
        message(6, b"\x04\x22\x4d\x18\x64\x40\xa7 lz4"),
        message(7, b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0 lzma"),
        message(8, b"\x78\x9c zlib"),
        message(9, b"LZIP\x01\x0c lzip"),
    ];
    maildir(&path("in"), &all);
    let run = run(convert_command([path("in"), path("out.mbox")])).exits(1);
    assert_eq!(count(&run.summary(), "written"), 1);
    assert_eq!(count(&run.summary(), "skipped"), 9);
    let codes = |run: &Run| {
        let mut codes: Vec<String> = run
            .findings()
            .iter()
            .filter(|finding| finding["severity"] == "error")
            .map(|finding| finding["code"].as_str().unwrap().to_owned())
            .collect();
        codes.sort();
        codes
    };
    let mut named = vec!["message-compressed"; 9];
    (named[0], named[1]) = ("damaged-compression", "file-sparse");
    assert_eq!(codes(&run), named);
    assert!(fs::read(path("out.mbox")).unwrap().ends_with(b"\n\nx\n\n"));
    assert_eq!(codes(&run_json(&["verify", path("in").to_str().unwrap()]).exits(1)), named);
    assert_eq!(codes(&run_json(&["inspect", path("in").to_str().unwrap()]).exits(1)), named);
    // Between Maildirs, even these come over byte for byte.
    let to = format!("maildir:{}", path("copy").display());
    run_json(&["convert", path("in").to_str().unwrap(), &to]).exits(0);
    run_json(&["verify", path("in").to_str().unwrap(), "--against", path("copy").to_str().unwrap()]).exits(0);
}

#[test]
fn a_wrapped_mailbox_is_named_by_what_its_name_promises() {
    let store = Store::new();
    for name in ["a.mbox.gpg", "b.MBOX.br", "c.eml.age", "d.mbox.bak"] {
        store.put(name, b"\x85\x02\x0c\x03 wrapped");
    }
    assert_eq!(store.refused(), set(&["a.mbox.gpg", "b.MBOX.br", "c.eml.age", "d.mbox.bak"]));
}

/// RFC 5322, 4.5: blanks can precede the colon.
#[test]
fn a_field_from_with_a_blank_stays_in_one_message() {
    let scratch = scratch();
    let path = |name: &str| scratch.path().join(name).display().to_string();
    let message = "From : a@example.org\nSubject: x\n\ny\n";
    fs::write(path("m"), message).unwrap();
    run(convert_command([format!("rfc822:{}", path("m")), path("M")])).exits(0);
    let [only] = &messages(Path::new(&path("M")))[..] else { panic!() };
    assert_eq!(fs::read_to_string(&only.path).unwrap(), message);
    fs::create_dir(path("tree")).unwrap();
    fs::write(path("tree/m.eml"), message).unwrap();
    let run = run(convert_command([path("tree"), path("Out")])).exits(0);
    assert_eq!(count(&run.summary(), "written"), 1);
}

#[test]
fn a_maildir_does_not_get_its_mail_again_in_the_layout_fs() {
    let scratch = scratch();
    let path = |name: &str| scratch.path().join(name).display().to_string();
    fs::write(path("m"), mail(1)).unwrap();
    run(convert_command([path("m"), path("M")])).exits(0);
    let again = run(convert_command(["--layout", "fs", &path("m"), &path("M")])).exits(3);
    assert!(again.stderr.contains("leave out --layout fs"), "{}", again.stderr);
}

/// rmm(1) of nmh only renames a message.
#[test]
fn messages_that_mh_has_removed_are_deleted() {
    let store = Store::new();
    fs::remove_file(store.root().join("good.mbox")).unwrap();
    for (name, subject) in [("1", "one"), ("2", "two"), (",3", "comma"), ("#4", "hash")] {
        store.put(name, bare(subject));
    }
    store.put(",5", format!("From a@b Mon Jan  3 10:00:00 2005\n{}", bare("from")));
    let deleted = |out: &str| {
        let all = messages(&store.0.path().join(out)).into_iter();
        all.map(|m| (m.subject(), m.flags.unwrap_or_default())).collect::<Vec<_>>()
    };
    let convert = |options: &[&str], out: &str| {
        let out = store.0.path().join(out);
        let mut args = options.to_vec();
        let root = store.root();
        args.extend([root.to_str().unwrap(), out.to_str().unwrap()]);
        run(convert_command(args)).exits(0)
    };
    convert(&[], "Out");
    let flags = deleted("Out");
    for (subject, removed) in
        [("one", false), ("two", false), ("comma", true), ("hash", true), ("from", true)]
    {
        let (_, flags) = flags.iter().find(|(found, _)| found == subject).unwrap();
        assert_eq!(flags == "T", removed, "{subject}");
    }
    assert_eq!(store.folders(), set(&[]));
    let (root, out) = (store.root(), store.0.path().join("Out"));
    let paths = [root.to_str().unwrap(), "--against", out.to_str().unwrap()];
    run_json(&[&["verify", "--metadata"][..], &paths].concat()).exits(0);
    convert(&["--deleted", "keep"], "Keep");
    assert!(deleted("Keep").iter().all(|(_, flags)| flags.is_empty()));
    convert(&["--deleted", "skip"], "Skip");
    assert_eq!(deleted("Skip").len(), 2);
    // An mbox says it in the header.
    let to = format!("mbox:{}/", store.0.path().join("mboxes").display());
    run(convert_command([root.to_str().unwrap(), &to])).exits(0);
    let text = fs::read_to_string(store.0.path().join("mboxes/INBOX")).unwrap();
    assert_eq!(text.matches("\nX-Status: D\n").count(), 3, "{text}");
}
