//! Archives as sources: each is read as the directory that it unpacks to, or an error names what cannot be read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::*;

/// A directory with mail, archives of it, and what they become.
struct Archives(TempDir);

impl Archives {
    fn new() -> Archives {
        let archives = Archives(scratch());
        fs::create_dir(archives.tree()).unwrap();
        archives
    }

    /// What the archives hold.
    fn tree(&self) -> PathBuf {
        self.path("tree")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> &Archives {
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
    fn shell(&self, command: &str) {
        let status = Command::new("sh").args(["-c", command]).current_dir(self.tree()).status().unwrap();
        assert!(status.success(), "{command}");
    }

    fn convert(&self, archive: &str, destination: &str) -> Run {
        run(convert_command([self.path(archive), self.path(destination)]))
    }
}

/// Returns a converted tree without the times of what is not a message.
fn converted_mail(root: &Path) -> BTreeMap<PathBuf, FileState> {
    let mut tree = mail_alike(root);
    tree.iter_mut()
        .filter(|(path, _)| path.ends_with("dovecot-keywords"))
        .for_each(|(_, s)| s.mtime = (0, 0));
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
