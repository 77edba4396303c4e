//! Sources of which nothing or not all can be read: trees and archives.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::archives::{Archives, reported};
use crate::failures::{Disk, as_nobody};
use crate::support::*;

/// Returns the remedy of the first finding or error of this code.
fn remedy(run: &Run, code: &str) -> String {
    let found = run.json().into_iter().find(|object| object["code"] == code);
    let found = found.unwrap_or_else(|| panic!("no {code}: {}", run.text()));
    found["hint"].as_str().unwrap_or_else(|| panic!("no remedy: {found}")).to_owned()
}

/// A tree of which a user who is not its owner cannot read all.
struct Closed(TempDir);

impl Closed {
    fn new() -> Closed {
        let closed = Closed(scratch());
        for file in ["closed/inbox", "file/inbox", "folder/Work/inbox", "part/closed/inbox", "part/inbox"] {
            fs::create_dir_all(closed.path(file).parent().unwrap()).unwrap();
            fs::write(closed.path(file), mail(1)).unwrap();
        }
        fs::create_dir(closed.path("open")).unwrap();
        // Locks are created next to a mailbox.
        let open = ["open", "part"].map(|name| (name, 0o777));
        for (name, mode) in
            ["closed", "file/inbox", "folder/Work", "part/closed"].map(|name| (name, 0)).iter().chain(&open)
        {
            fs::set_permissions(closed.path(name), fs::Permissions::from_mode(*mode)).unwrap();
        }
        closed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Converts parts of it as another user. None where this is not possible.
    fn convert(&self, sources: &[&str]) -> Option<Run> {
        let args: Vec<PathBuf> =
            sources.iter().chain(&["open/Maildir"]).map(|name| self.path(name)).collect();
        let (_binary, command) = as_nobody(&args.iter().map(|path| path.as_os_str()).collect::<Vec<_>>())?;
        Some(run(command))
    }
}

#[test]
fn the_remedy_for_a_missing_permission_is_named() {
    let closed = Closed::new();
    let Some(run) = closed.convert(&["part"]) else { return };
    assert_eq!(run.complaints(), ["tree-mail-skipped"]);
    assert!(remedy(&run, "tree-mail-skipped").contains("change the permissions"));
    assert_eq!(count(&run.exits(1).summary(), "written"), 1);
}

#[test]
fn a_source_that_cannot_be_read_becomes_no_empty_maildir() {
    let closed = Closed::new();
    for (sources, code) in [
        (&["closed"][..], "io-error"),
        (&["file"], "tree-mail-skipped"),
        (&["folder"], "tree-mail-skipped"),
        (&["file", "folder"], "tree-mail-skipped"),
    ] {
        let Some(run) = closed.convert(sources) else { return };
        let run = run.exits(3);
        assert_eq!(run.findings().iter().filter(|finding| finding["code"] == code).count(), sources.len());
        assert!(remedy(&run, code).contains("change the permissions"), "{sources:?}");
        assert_eq!(run.complaints().contains(&"not-a-mailbox".to_owned()), code != "io-error", "{sources:?}");
        assert_eq!(paths(&closed.path("open")), [""; 0], "{sources:?}");
    }
}

#[test]
fn the_remedy_for_a_spool_without_space_is_about_the_spool() {
    let archives = Archives::new();
    archives.put("inbox", many(100));
    archives.shell("tar -czf ../mail.tgz . && gzip -k inbox && mv inbox.gz ..");
    let Some(disk) = Disk::of("2m") else { return };
    let spool = format!("--spool-dir={}", disk.path.display());
    for (option, words) in
        [(&*spool, "another directory with --spool-dir"), ("--spool-limit=1000", "--spool-limit")]
    {
        for source in ["mail.tgz", "inbox.gz"] {
            let mut command = convert_command([option]);
            command.arg(archives.path(source)).arg(archives.path("Out"));
            let run = run(command).exits(3);
            assert_eq!(run.complaints(), ["no-room"], "{option}");
            assert!(remedy(&run, "no-room").contains(words), "{option} {source}: {}", run.text());
        }
    }
}

#[test]
fn an_archive_of_encrypted_mail_becomes_no_empty_maildir() {
    let archives = Archives::new();
    archives.python(
        r#"
with zipfile.ZipFile("plain.zip", "w") as archive:
    archive.writestr("inbox", mbox(1))
whole = bytearray(open("plain.zip", "rb").read())
whole[whole.index(b"PK\x01\x02") + 8] |= 1
open("secret.zip", "wb").write(bytes(whole))
"#,
    );
    for labels in [&[][..], &["--labels=folders"]] {
        let mut command = convert_command(labels);
        command.arg(archives.path("secret.zip")).arg(archives.path("Out"));
        let run = run(command).exits(3);
        assert_eq!(run.complaints(), ["not-a-mailbox", "tree-mail-skipped"], "{labels:?}");
        assert!(reported(&run, "tree-mail-skipped")["inbox"].contains("it is encrypted"));
        assert!(!archives.path("Out").exists(), "{labels:?}");
    }
}

#[test]
fn what_is_in_an_archive_has_a_remedy_that_is_possible() {
    let archives = Archives::new();
    for directory in ["Maildir/cur", "Maildir/new"] {
        fs::create_dir_all(archives.tree().join(directory)).unwrap();
    }
    // The last line has no end, a directory is missing, and there is another archive.
    archives.put("inbox", mail(1).trim_end()).put("Maildir/cur/1104746400.M1.host:2,", "Subject: one\n\nx\n");
    archives.shell("tar -cf ../inner.tar . && gzip -k ../inner.tar && mv ../inner.tar* .");
    archives.shell("tar -czf ../outer.tgz .");
    let verify = |path: &Path| {
        let mut command = mailferry(["verify", "--json"]);
        command.arg(path);
        run(command)
    };
    let remedies = |run: &Run| -> Vec<String> {
        run.findings().iter().filter_map(|finding| finding["hint"].as_str().map(str::to_owned)).collect()
    };
    let unpacked = remedies(&verify(&archives.tree()));
    let packed = remedies(&verify(&archives.path("outer.tgz")));
    for (remedies, words) in [
        (&unpacked, ["mailferry verify --repair", "name the archive itself as a source"]),
        (&packed, ["unpack the archive, and repair", "unpack the archive that it is in, and name it"]),
    ] {
        for words in words {
            assert!(
                remedies.iter().filter(|hint| hint.contains(words)).count() >= 2,
                "{words}: {remedies:?}"
            );
        }
    }
    assert!(!packed.iter().any(|hint| unpacked.contains(hint) || hint.contains("--repair")), "{packed:?}");
}

#[test]
fn a_maildir_that_is_refused_in_an_archive_is_reported_with_labels() {
    let archives = Archives::new();
    archives.put("inbox", mail(1)).put("Remnant/cur/1104746400.M1.host:2,S", "Subject: one\n\nbody\n");
    archives.shell("tar -cf ../remnant.tar .");
    let mut command = convert_command(["--labels=folders"]);
    command.arg(archives.path("remnant.tar")).arg(archives.path("Out"));
    let run = run(command).exits(3);
    assert_eq!(run.complaints(), ["not-a-mailbox"]);
    assert!(run.text().contains("remnant.tar!Remnant"), "{}", run.text());
    assert!(!archives.path("Out").exists());
}

#[test]
fn an_error_of_the_disk_is_not_damage_of_an_archive() {
    if !have_strace() {
        return;
    }
    let archives = Archives::new();
    archives.python(
        r#"
body = b"".join(b"%d\n" % (n * 2654435761 % 2**32) for n in range(130000))
mail = {"small": mbox(1), "large": mbox(2) + body, "late": mbox(3)}
for suffix in ["", "gz", "bz2", "xz"]:
    with tarfile.open("tar." + suffix, "w:" + suffix) as tar:
        for name, data in mail.items():
            add(tar, name, data)
for method in [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]:
    with zipfile.ZipFile("zip.%d" % method, "w", method) as archive:
        for name, data in mail.items():
            archive.writestr(name, data)
"#,
    );
    archives.shell("zstd -q ../tar. -o ../tar.zst");
    for name in ["tar.", "tar.gz", "tar.bz2", "tar.xz", "tar.zst", "zip.0", "zip.8", "zip.12"] {
        let archive = archives.path(name);
        let (out, log) = (archives.path("Out"), archives.path("log"));
        let mut injected = 0;
        for nth in 1.. {
            let inject = format!("inject=pread64:error=EIO:when={nth}");
            let strace = ["strace", "-f", "-qq", "-o", log.to_str().unwrap(), "-e", &inject, "-P"];
            let program = strace.map(OsStr::new).into_iter().chain([archive.as_os_str(), OsStr::new(BINARY)]);
            let args = [OsStr::new("convert"), "--json".as_ref(), archive.as_os_str(), out.as_os_str()];
            let run = run(wrapped("exec \"$@\"", program, args));
            if !fs::read_to_string(&log).unwrap().contains("(INJECTED)") {
                assert_eq!(run.code, Some(0), "{name} {nth}");
                break;
            }
            injected += 1;
            assert_eq!((run.complaints(), run.code), (vec!["io-error".to_owned()], Some(3)), "{name} {nth}");
            assert!(run.text().contains("input/output error"), "{name} {nth}: {}", run.text());
            assert!(!Path::exists(&out), "{name} {nth}");
        }
        note!("{name}: {injected} faults");
        assert!(injected > 5, "{name}: {injected} faults");
        fs::remove_dir_all(&out).unwrap();
    }
}
