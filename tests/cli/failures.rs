//! Errors, obstacles and interruptions: the exit code, one clear line, nothing half-published and nothing
//! left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::*;

const MAIL: &str = "From ada@example.org Mon Mar  2 08:15:00 1998\nSubject: one\nStatus: RO\n\nfirst\n";
/// Enough messages to stop a conversion while it writes.
const MANY: u32 = 16_000;
const NOBODY: &str = "65534";

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Asserts that a conversion fails with 3 and one line with these words on standard error, and that
/// everything in `around` is unchanged.
#[track_caller]
fn refused(command: Command, around: &Path, words: &[&str]) -> Run {
    let before = lasting(around);
    let run = run(command).exits(3).complains(words);
    assert_eq!(lasting(around), before, "nothing is written and nothing left");
    run
}

#[test]
fn what_is_no_mailbox_is_refused_by_name() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";
    let message =
        "Date: Mon, 2 Mar 1998 08:15:00 +0000\nFrom: Ada <ada@example.org>\nSubject: alone\n\nbody\n";
    let cases: [(&str, &[u8], &[&str]); 8] = [
        ("zeros", &[0; 1 << 20], &["zero"]),
        ("letter.eml", message.as_bytes(), &["one bare message", "rfc822:"]),
        ("picture.png", png, &["PNG"]),
        ("RMAIL", b"BABYL OPTIONS: -*- rmail -*-\nVersion: 5\n\x1f\x0c\n1,,\n", &["Babyl"]),
        ("notes.txt", b"Milk\nBread\n", &[]),
        ("prose.txt", b"Dear diary,\n\nFrom here on I write daily.\n", &[]),
        ("noise", &[0xff, 0xfe, 0x80, 0x00, 0x0a, 0x0d, 0x01], &[]),
        ("old.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 From \n", &[]),
    ];
    for (name, content, words) in cases {
        let (scratch, source) = file(name, content);
        let words = [&[name, "not a mailbox"], words].concat();
        let command = convert_command([&source, &scratch.path().join("Maildir")]);
        let run = refused(command, scratch.path(), &words);
        assert_eq!(run.complaints(), ["not-a-mailbox"], "{name}");
        assert_eq!(count(&run.summary(), "messages_found"), 0);
    }
    let (scratch, source) = file("letter.eml", message);
    let maildir = scratch.path().join("Maildir");
    convert([format!("rfc822:{}", source.display()), maildir.display().to_string()]);
    let written = messages(&maildir);
    assert_eq!(
        (written.len(), &written[0].bytes[..]),
        (1, message.as_bytes()),
        "asked for by name it is a message"
    );
}

#[test]
fn a_source_without_mail_is_refused_at_once() {
    let scratch = scratch();
    fs::create_dir(scratch.path().join("photos")).unwrap();
    fs::write(scratch.path().join("photos/summer.jpg"), b"\xff\xd8\xff").unwrap();
    let fifo = scratch.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    for (source, what) in [
        (scratch.path().join("photos"), "directory"),
        (fifo, "FIFO"),
        ("/dev/zero".into(), "character device"),
        (scratch.path().join("absent"), "no such file"),
    ] {
        let start = Instant::now();
        let command = convert_command([&source, &scratch.path().join("Maildir")]);
        refused(command, scratch.path(), &[source.to_str().unwrap(), what]);
        assert!(start.elapsed() < Duration::from_secs(10), "{what}: waited for nothing");
    }
}

#[test]
fn an_empty_file_is_an_empty_mailbox() {
    let (scratch, source) = file("empty", "");
    let maildir = scratch.path().join("Maildir");
    let summary = convert([&source, &maildir]).summary();
    assert_eq!((count(&summary, "messages_found"), count(&summary, "bytes_source")), (0, 0));
    assert_eq!(paths(&maildir), ["cur", "mailferry.manifest", "new", "tmp"]);
}

#[test]
fn damaged_compression_is_not_taken_for_the_end_of_the_mail() {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(&many(2000)).unwrap();
    let packed = packer.finish().unwrap();
    let (scratch, source) = file("mail.gz", &packed[..packed.len() / 2]);
    let maildir = scratch.path().join("Maildir");
    let words = ["mail.gz", "damaged gzip data"];
    let run = refused(convert_command([&source, &maildir]), scratch.path(), &words);
    assert_eq!(run.complaints(), ["damaged-compression"]);
    // It is there, and damaged: another run finds the same.
    let verified =
        crate::support::run(mailferry([OsStr::new("verify"), OsStr::new("--json"), source.as_os_str()]))
            .exits(1);
    assert_eq!(verified.complaints(), ["damaged-compression"]);
    let verdict = verified.json().pop().unwrap()["verdict"].as_str().unwrap().to_owned();
    assert!(verdict.ends_with("mail.gz is damaged: 1 error."), "{verdict}");
}

#[test]
fn a_destination_that_cannot_be_one_is_refused_by_name() {
    let (scratch, source) = file("source", MAIL);
    let at = |name: &str| scratch.path().join(name);
    fs::write(at("file"), "no Maildir").unwrap();
    fs::create_dir(at("letters")).unwrap();
    fs::write(at("letters/to-ada.odt"), "PK").unwrap();
    std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
    for (destination, words) in [
        ("file", &["file", "not a directory"][..]),
        ("letters", &["letters", "not a Maildir"]),
        ("dangling", &["dangling", "symbolic link"]),
        ("absent/Maildir", &["absent", "no such directory"]),
        ("file/Maildir", &["file", "directory"]),
    ] {
        refused(convert_command([&source, &at(destination)]), scratch.path(), words);
        let mut dry = convert_command(["-n"]);
        dry.args([&source, &at(destination)]);
        refused(dry, scratch.path(), words);
    }
    let twice = convert_command([&source, &source, &at("Maildir")]);
    run(twice).exits(2).complains(&["source", "twice"]);
    assert!(!at("Maildir").exists());
}

/// Returns the command as an unprivileged user, and the directory of its binary. Skips the test where this is
/// not possible.
pub(crate) fn as_nobody(args: &[&OsStr]) -> Option<(TempDir, Command)> {
    // The user may not be able to reach the original binary, or to execute files on a tmpfs.
    let place = scratch_in(&std::env::temp_dir());
    if !is_root() {
        return Some((place, convert_command(args)));
    }
    let copy = place.path().join("mailferry");
    copy_binary(&copy);
    let become_nobody = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"];
    if !have(become_nobody[0], &[&become_nobody[1..], &[copy.to_str().unwrap(), "--version"]].concat()) {
        skip!("cannot become another user and run the binary");
    }
    let program: Vec<&OsStr> = become_nobody.iter().map(OsStr::new).chain([copy.as_os_str()]).collect();
    let options = ["convert".as_ref(), "--json".as_ref()].into_iter().chain(args.iter().copied());
    let command = wrapped("exec \"$@\"", program, options);
    Some((place, command))
}

#[test]
fn a_missing_permission_is_an_error_with_the_path() {
    let (scratch, source) = file("source", MAIL);
    let secret = scratch.path().join("secret");
    fs::write(&secret, MAIL).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    // One directory that the user may write to, and one that is read-only.
    let (open, closed) = (scratch.path().join("open"), scratch.path().join("closed"));
    for (dir, mode) in [(&open, 0o777), (&closed, 0o555)] {
        fs::create_dir(dir).unwrap();
        fs::set_permissions(dir, fs::Permissions::from_mode(mode)).unwrap();
    }
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("inbox"), MAIL).unwrap();
    let foreign = scratch.path().join("foreign");
    ["tmp", "new", "cur"].iter().for_each(|name| fs::create_dir_all(foreign.join(name)).unwrap());
    fs::write(foreign.join("new/1000000000.1.host"), "Subject: x\n\n").unwrap();
    let mbox = PathBuf::from(format!("mbox:{}", closed.join("mbox").display()));
    for (source, destination, words) in [
        (&secret, &open.join("Maildir"), ["secret", "permission denied"]),
        (&source, &closed.join("Maildir"), ["closed", "permission denied"]),
        (&source, &mbox, ["closed", "permission denied"]),
        (&source, &foreign, ["foreign", "permission denied"]),
        (&tree, &closed.join("Mail"), ["closed", "permission denied"]),
        (&foreign, &closed.join("copy"), ["closed", "permission denied"]),
    ] {
        // A dry run refuses the same.
        for dry in [None, Some("-n")] {
            let args = [source.as_os_str(), destination.as_os_str()];
            let args: Vec<&OsStr> = dry.iter().map(OsStr::new).chain(args).collect();
            let Some((_binary, command)) = as_nobody(&args) else { return };
            let run = refused(command, &closed, &words);
            assert!(run.complaints().contains(&"io-error".to_owned()));
            assert_eq!(paths(&open), [""; 0]);
        }
    }
}

#[test]
fn a_source_that_cannot_be_dot_locked_is_read_with_a_warning() {
    let (scratch, source) = file("source", MAIL);
    let open = scratch.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let closed = fs::Permissions::from_mode(0o555);
    let Some((_binary, command)) = as_nobody(&[source.as_os_str(), open.join("Maildir").as_os_str()]) else {
        return;
    };
    fs::set_permissions(scratch.path(), closed).unwrap();
    let run = run(command);
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let run = run.exits(0);
    assert_eq!(run.complaints(), ["lock-unwritable"]);
    assert_eq!(count(&run.summary(), "written"), 1);
}

/// A small file system, unmounted when dropped.
pub(crate) struct Disk {
    _scratch: TempDir,
    pub path: PathBuf,
}

impl Disk {
    pub(crate) fn of(size: &str) -> Option<Disk> {
        let scratch = scratch();
        let path = scratch.path().join("disk");
        fs::create_dir(&path).unwrap();
        let option = format!("size={size}");
        if !is_root()
            || !have("mount", &["-t", "tmpfs", "-o", &option, "mailferry-test", path.to_str().unwrap()])
        {
            skip!("cannot mount a tmpfs");
        }
        Some(Disk { _scratch: scratch, path })
    }

    fn make_read_only(&self) {
        assert!(have("mount", &["-o", "remount,ro", self.path.to_str().unwrap()]));
    }

    /// Fills the disk.
    fn fill(&self) {
        let mut file = fs::File::create(self.path.join("filler")).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
    }

    /// Frees the space. A child that another test has forked may still have the file open until its exec.
    fn make_room(&self) {
        let filler = self.path.join("filler");
        fs::File::options().write(true).open(&filler).unwrap().set_len(0).unwrap();
        fs::remove_file(filler).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        have("umount", &["-l", self.path.to_str().unwrap()]);
    }
}

#[test]
fn a_disk_too_small_is_found_before_the_first_byte() {
    let Some(disk) = Disk::of("2m") else { return };
    let (scratch, source) = file("source", many(2000));
    let destination = disk.path.join("Maildir");
    let words = [disk.path.to_str().unwrap(), "not enough space"];
    let run = refused(convert_command([&source, &destination]), &disk.path, &words);
    assert_eq!(run.complaints(), ["no-room"]);
    assert_eq!(count(&run.summary(), "bytes_not_reached"), fs::metadata(&source).unwrap().len());
    assert_eq!(paths(scratch.path()), ["source"]);
}

#[test]
fn a_disk_that_fills_up_leaves_nothing_half_done() {
    // Enough to stop the run while it writes, also on a busy machine.
    let (_scratch, source) = file("source", many(MANY));
    for existing in [false, true] {
        let Some(disk) = Disk::of("256m") else { return };
        let destination = disk.path.join("Maildir");
        if existing {
            make_maildir(&destination);
        }
        let before = lasting(&disk.path);
        let stopped = AtWork::stop(one_worker(&source, &destination), &destination);
        disk.fill();
        let run =
            stopped.go_on().exits(3).complains(&["Maildir", "no space left", "run the same command again"]);
        assert_eq!(run.complaints(), ["io-error"]);
        assert_eq!(run.summary()["written"], 0);
        disk.make_room();
        assert_eq!(lasting(&disk.path), before, "existing: {existing}");
        assert_eq!(count(&again(&source, &destination), "written"), u64::from(MANY));
    }
}

#[test]
fn a_read_only_destination_is_refused() {
    let Some(disk) = Disk::of("2m") else { return };
    make_maildir(&disk.path.join("existing"));
    disk.make_read_only();
    let (_scratch, source) = file("source", MAIL);
    for name in ["new", "existing"] {
        let destination = disk.path.join(name);
        refused(convert_command([&source, &destination]), &disk.path, &[name, "read-only file system"]);
    }
}

#[test]
fn mail_is_flushed_before_it_is_visible_and_its_name_after() {
    if !have_strace() {
        return;
    }
    for existing in [false, true] {
        for (fsync, least) in [("batch", 2), ("each", 8 + 2), ("none", 0)] {
            let scratch = scratch();
            let (maildir, log) = (scratch.path().join("Maildir"), scratch.path().join("strace.log"));
            if existing {
                convert_fixture("crlf.mbox", &maildir);
            }
            let trace = "trace=fsync,fdatasync,syncfs,renameat2";
            let strace = ["strace", "-f", "-qq", "-y", "-o", log.to_str().unwrap(), "-e", trace, BINARY];
            let option = format!("--fsync={fsync}");
            let mut command = wrapped("exec \"$@\"", strace, ["convert", "--lock=none", &option]);
            command.args([&fixture("inbox.mbox"), &maildir]);
            run(command).exits(0);
            let log = fs::read_to_string(&log).unwrap();
            let calls: Vec<&str> = log.lines().filter(|line| line.contains("sync")).collect();
            assert!(calls.len() >= least && (calls.is_empty() || least > 0), "{fsync}, {existing}: {log}");
            let at = |line: Option<usize>| line.unwrap_or_else(|| panic!("{fsync}, {existing}: {log}"));
            let lines: Vec<&str> = log.lines().collect();
            let first = at(lines.iter().position(|line| line.contains("renameat2(")));
            let last = at(lines.iter().rposition(|line| line.contains("renameat2(")));
            if fsync == "none" {
                continue;
            }
            assert!(lines[..first].iter().any(|line| line.contains("sync")), "{fsync}, {existing}: {log}");
            // The directories that hold the new names.
            let holders = if existing {
                vec![maildir.join("new"), maildir.join("cur")]
            } else {
                vec![scratch.path().into()]
            };
            for holder in holders {
                let flushed = format!("<{}>", holder.display());
                let flush = |line: &&str| line.contains("fsync(") && line.contains(&flushed);
                assert!(lines[last..].iter().any(flush), "{fsync}, {existing}: {log}");
            }
        }
    }
}

#[test]
fn a_failed_write_or_flush_publishes_nothing() {
    if !have_strace() {
        return;
    }
    let (scratch, source) = file("source", many(500));
    let log = scratch.path().join("strace.log");
    for (fault, option) in [
        ("writev:error=ENOSPC:when=5+", "--fsync=batch"),
        ("writev:error=EIO:when=100", "--fsync=batch"),
        ("syncfs:error=EIO", "--fsync=batch"),
        ("fsync:error=EIO:when=20", "--fsync=each"),
        ("fsync:error=EIO", "--fsync=batch"),
        ("utimensat:error=EIO:when=3", "--fsync=batch"),
        ("openat:error=EMFILE:when=90", "--fsync=batch"),
    ] {
        for existing in [false, true] {
            let destination = scratch.path().join("destination");
            fs::create_dir(&destination).unwrap();
            let maildir = destination.join("Maildir");
            if existing {
                make_maildir(&maildir);
            }
            let before = lasting(&destination);
            let (trace, inject) =
                (format!("trace={}", fault.split(':').next().unwrap()), format!("inject={fault}"));
            let strace =
                ["strace", "-f", "-qq", "-o", log.to_str().unwrap(), "-e", &trace, "-e", &inject, BINARY];
            // strace counts per thread. With one worker the counts are the same everywhere.
            let mut command = wrapped("exec \"$@\"", strace, ["convert", "--json", "-j1", option]);
            command.args([&source, &maildir]);
            let run = run(command).exits(3);
            let what = format!("{fault}, existing: {existing}: {}", run.stderr);
            assert!(fs::read_to_string(&log).unwrap().contains("(INJECTED)"), "{what}");
            assert_eq!(run.complaints(), ["io-error"], "{what}");
            assert_eq!(run.stderr.lines().count(), 1, "{what}");
            assert!(run.stderr.contains(destination.to_str().unwrap()), "{what}");
            assert_eq!(count(&run.summary(), "written"), 0, "{what}");
            assert!(lasting(&destination) == before, "{what}: {:?}", paths(&destination));
            fs::remove_dir_all(destination).unwrap();
        }
    }
}

#[test]
fn a_locked_source_is_waited_for_and_its_holder_named() {
    let (scratch, source) = file("source", MAIL);
    let lock_file = scratch.path().join("source.lock");
    let with = |option: &str| {
        let destination = scratch.path().join("Maildir");
        let mut command = convert_command([option, "--lock-timeout=1"]);
        command.args([&source, &destination]);
        command
    };
    fs::write(&lock_file, "4711 elsewhere").unwrap();
    let words = ["source", "source.lock", "4711 elsewhere"];
    let waited = refused(with("--lock=dotlock,fcntl"), scratch.path(), &words);
    assert_eq!(waited.complaints(), ["locked"]);
    fs::remove_file(&lock_file).unwrap();

    // An fcntl lock is lost when its process closes any descriptor of the file, so the test must not open it.
    let held = fs::File::options().read(true).write(true).open(&source).unwrap();
    rustix::fs::fcntl_lock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let us = std::process::id().to_string();
    run(with("--lock=dotlock,fcntl")).exits(3).complains(&["source", "locked by", &us]);
    assert_eq!(names(scratch.path()), ["source"]);
    drop(held);

    let held = fs::File::open(&source).unwrap();
    held.lock().unwrap();
    refused(with("--lock=flock"), scratch.path(), &["source", "locked by"]);
    drop(held);
    run(with("--lock=dotlock,fcntl,flock")).exits(0);
}

#[test]
fn a_lock_released_in_time_is_not_an_error() {
    let (scratch, source) = file("source", MAIL);
    let lock_file = scratch.path().join("source.lock");
    fs::write(&lock_file, "4711 elsewhere").unwrap();
    let child = convert_command([&source, &scratch.path().join("Maildir")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("it to wait for the lock", || sleeps_with(&child, &source));
    fs::write(&source, MAIL.repeat(2)).unwrap();
    fs::remove_file(&lock_file).unwrap();
    let run = Run::of(child.wait_with_output().unwrap()).exits(0);
    assert_eq!(count(&run.summary(), "bytes_source"), 2 * MAIL.len() as u64, "read after the wait");
}

/// Creates a Maildir with mail. It skips the flushes to save time.
fn make_maildir(path: &Path) {
    let options = ["--fsync=none", "--lock=none"].map(OsStr::new);
    convert(options.into_iter().chain([fixture("inbox.mbox").as_os_str(), path.as_os_str()]));
}

/// Runs the same command again.
#[track_caller]
fn again(source: &Path, destination: &Path) -> serde_json::Value {
    convert([OsStr::new("--fsync=none"), source.as_os_str(), destination.as_os_str()]).summary()
}

fn one_worker(source: &Path, destination: &Path) -> Command {
    let mut command = convert_command(["-j1", "--fsync=none"]);
    command.args([source, destination]);
    command
}

fn staging(destination: &Path) -> PathBuf {
    let name = destination.file_name().unwrap().to_str().unwrap();
    destination.with_file_name(format!(".{name}.mailferry-partial"))
}

/// A conversion stopped in the middle of writing.
struct AtWork(Child);

impl AtWork {
    /// Starts it, and stops it once there are messages in its staging directory, or in the tmp/ of an
    /// existing Maildir.
    #[track_caller]
    fn stop(mut command: Command, destination: &Path) -> AtWork {
        let at_work =
            if destination.exists() { destination.join("tmp") } else { staging(destination).join("cur") };
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stopped = AtWork(child);
        wait_for("it to write", || fs::read_dir(&at_work).is_ok_and(|mut dir| dir.next().is_some()));
        stopped.send(Signal::STOP);
        // Wait until all its threads have stopped.
        wait_for("it to stop", || stopped.state().contains("T (stopped)"));
        assert!(
            fs::read_dir(&at_work).is_ok_and(|mut dir| dir.next().is_some()),
            "it was quicker than we are"
        );
        stopped
    }

    fn state(&self) -> String {
        fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default()
    }

    fn send(&self, signal: Signal) {
        send(&self.0, signal);
    }

    fn end(self) -> Run {
        Run::of(self.0.wait_with_output().unwrap())
    }

    fn go_on(self) -> Run {
        self.send(Signal::CONT);
        self.end()
    }
}

#[test]
fn a_source_that_changes_while_it_is_read_publishes_nothing() {
    for (existing, how, word) in [
        (false, "grow", "grew"),
        (true, "grow", "grew"),
        (false, "replace", "another file"),
        (true, "remove", "removed"),
    ] {
        let (scratch, source) = file("source", many(MANY));
        let destination = scratch.path().join("Maildir");
        if existing {
            make_maildir(&destination);
        }
        let before = paths(scratch.path());
        let stopped = AtWork::stop(one_worker(&source, &destination), &destination);
        match how {
            "grow" => fs::File::options().append(true).open(&source).unwrap().write_all(b"\nx").unwrap(),
            "replace" => {
                fs::copy(&source, scratch.path().join("copy")).unwrap();
                fs::rename(scratch.path().join("copy"), &source).unwrap();
            }
            _ => fs::remove_file(&source).unwrap(),
        }
        let run = stopped.go_on().exits(3).complains(&["source", "changed while it was read", word]);
        assert_eq!(run.complaints(), ["source-changed"]);
        let left = before.into_iter().filter(|path| how != "remove" || path != "source");
        assert_eq!(paths(scratch.path()), left.collect::<Vec<_>>(), "{how}");
    }
}

#[test]
fn a_source_truncated_during_the_run_publishes_nothing() {
    // Shorter than the part being written, and longer.
    for left in [MAIL.len(), 256 << 10] {
        let (scratch, source) = file("source", many(MANY));
        let destination = scratch.path().join("Maildir");
        let stopped = AtWork::stop(one_worker(&source, &destination), &destination);
        fs::File::options().write(true).open(&source).unwrap().set_len(left as u64).unwrap();
        let run = stopped.go_on().exits(3).complains(&[source.to_str().unwrap(), "it shrank from"]);
        assert_eq!(run.complaints(), ["source-changed"]);
        assert_eq!(count(&run.summary(), "written"), 0);
        assert_eq!(names(scratch.path()), ["source"]);
        assert!(count(&again(&source, &destination), "written") > 0, "the same command does it");
        assert_eq!(names(scratch.path()), ["Maildir", "source"]);
    }
}

/// An ext4 image, mounted on a loop device.
struct Mounted(PathBuf);

impl Mounted {
    fn of(image: &Path, at: &Path, options: &str) -> Option<Mounted> {
        let (image, place) = (image.to_str().unwrap(), at.to_str().unwrap());
        have("mount", &["-t", "ext4", "-o", options, image, place]).then(|| Mounted(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        have("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

#[test]
fn a_source_on_a_bad_disk_is_an_error_and_never_mail_of_zeros() {
    let scratch = scratch();
    let (image, disk) = (scratch.path().join("image"), scratch.path().join("disk"));
    fs::create_dir(&disk).unwrap();
    fs::File::create(&image).unwrap().set_len(48 << 20).unwrap();
    let made = is_root() && have("mkfs.ext4", &["-q", "-F", "-b", "4096", image.to_str().unwrap()]);
    let Some(mounted) = made.then(|| Mounted::of(&image, &disk, "loop")).flatten() else {
        skip!("cannot mount an ext4");
    };
    let source = disk.join("source");
    fs::write(&source, many(MANY)).unwrap();
    fs::File::open(&source).unwrap().sync_all().unwrap();
    assert!(have("umount", &[disk.to_str().unwrap()]));
    drop(mounted);
    let blocks = Command::new("debugfs")
        .args(["-R", "blocks /source", image.to_str().unwrap()])
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .output()
        .unwrap();
    let blocks = String::from_utf8(blocks.stdout).unwrap();
    let blocks: Vec<u64> = blocks.split_whitespace().map(|block| block.parse().unwrap()).collect();
    let Some(_mounted) = Mounted::of(&image, &disk, "loop,ro,noload") else {
        panic!("it was mounted before")
    };
    let size = fs::metadata(&source).unwrap().len();
    // From here on the disk cannot be read in the middle of the mail.
    let image = fs::File::options().write(true).open(&image).unwrap();
    image.set_len(blocks[blocks.len() / 2] * 4096).unwrap();
    if fs::read(&source).is_ok() {
        skip!("the disk can still be read");
    }
    let path = source.to_str().unwrap();
    let words = [path, "cannot read all of", "input/output error"];
    for maildir in ["Maildir", "Existing"].map(|name| scratch.path().join(name)) {
        if maildir.ends_with("Existing") {
            make_maildir(&maildir);
        }
        let left = || (names(scratch.path()), maildir.exists().then(|| lasting(&maildir)));
        let before = left();
        let mut command = convert_command(["--lock=none"]);
        command.args([&source, &maildir]);
        let run = run(command).exits(3).complains(&words);
        assert!(run.complaints().contains(&"io-error".into()));
        assert_eq!(count(&run.summary(), "bytes_not_reached"), size);
        assert!(left() == before);
    }
    for command in [&["verify", "--lock=none"][..], &["inspect", "--lock=none"]] {
        let mut command = mailferry(command);
        command.arg(&source);
        let run = run(command).exits(3);
        assert!(words.iter().all(|word| run.stderr.contains(word)), "{}", run.stderr);
    }
    let mut to = std::ffi::OsString::from("mboxcl2:");
    to.push(scratch.path().join("out"));
    let mut command = convert_command(["--lock=none"]);
    command.args([source.as_os_str(), &to]);
    run(command).exits(3).complains(&words);
    assert!(!scratch.path().join("out").exists());
}

/// Returns the inodes of the messages in cur/.
fn inodes(maildir: &Path) -> BTreeSet<u64> {
    let entries = fs::read_dir(maildir.join("cur")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().metadata().unwrap().ino()).collect()
}

#[test]
fn a_signal_keeps_the_stage_and_the_same_command_continues() {
    for (signal, fsync) in [(Signal::INT, "none"), (Signal::TERM, "none"), (Signal::HUP, "batch")] {
        let (scratch, source) = file("source", many(MANY));
        let destination = scratch.path().join("Maildir");
        let mut command = convert_command(["-j1", &format!("--fsync={fsync}")]);
        command.args([&source, &destination]);
        let stopped = AtWork::stop(command, &destination);
        stopped.send(signal);
        let words = ["interrupted", ".Maildir.mailferry-partial", "run the same command again to continue"];
        let run = stopped.go_on().exits(4).complains(&words);
        assert_eq!(run.complaints(), ["interrupted"]);
        assert_eq!(count(&run.summary(), "bytes_not_reached"), fs::metadata(&source).unwrap().len());
        assert!(!destination.exists(), "half of it was published");
        let staged = inodes(&staging(&destination));
        assert!(!staged.is_empty());
        assert_eq!(count(&again(&source, &destination), "written"), u64::from(MANY));
        let published = inodes(&destination);
        assert_eq!(published.len(), MANY as usize);
        if fsync == "none" {
            // Each message is used whose chunk was complete.
            let used = staged.intersection(&published).count();
            assert!(used + 64 > staged.len(), "{used} of {} were used", staged.len());
        }
        assert_eq!(names(scratch.path()), ["Maildir", "source"]);
    }
}

#[test]
fn a_signal_leaves_an_existing_maildir_as_it_was() {
    let (scratch, source) = file("source", many(MANY));
    let destination = scratch.path().join("Maildir");
    make_maildir(&destination);
    let before = lasting(scratch.path());
    let stopped = AtWork::stop(one_worker(&source, &destination), &destination);
    stopped.send(Signal::INT);
    let run = stopped.go_on().exits(4).complains(&["interrupted", "run the same command again to continue"]);
    assert_eq!(run.complaints(), ["interrupted"]);
    // What half a second was not enough for, the next run removes from tmp/.
    let visible = |mut tree: BTreeMap<PathBuf, FileState>| {
        tree.retain(|path, _| !path.to_str().unwrap().contains("/tmp/"));
        tree
    };
    assert!(visible(lasting(scratch.path())) == visible(before));
    assert_eq!(count(&again(&source, &destination), "written"), u64::from(MANY));
    assert_eq!(names(&destination.join("tmp")), [""; 0]);
}

#[test]
fn what_nohup_set_to_be_ignored_stays_ignored() {
    let (scratch, source) = file("source", many(MANY));
    let destination = scratch.path().join("Maildir");
    let args = [
        "convert".as_ref(),
        "--json".as_ref(),
        "-j1".as_ref(),
        "--fsync=none".as_ref(),
        source.as_os_str(),
        destination.as_os_str(),
    ];
    let command = wrapped("trap '' HUP; exec \"$@\"", [BINARY], args);
    let stopped = AtWork::stop(command, &destination);
    stopped.send(Signal::HUP);
    assert_eq!(count(&stopped.go_on().exits(0).summary(), "written"), u64::from(MANY));
}

#[test]
fn an_interruption_works_while_standard_input_is_silent() {
    let scratch = scratch();
    let mut command = convert_command([Path::new("-"), &scratch.path().join("Maildir")]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut waiting = AtWork(command.spawn().unwrap());
    // It stays open: no more input, and no end of file.
    let mut input = waiting.0.stdin.take().unwrap();
    input.write_all(MAIL.as_bytes()).unwrap();
    // It catches SIGTERM after SIGINT.
    wait_for("its signal handlers", || catches(&waiting.0, Signal::TERM));
    waiting.send(Signal::INT);
    waiting.end().exits(4).complains(&["interrupted"]);
    drop(input);
    assert_eq!(paths(scratch.path()), [""; 0]);
}

#[test]
fn the_same_command_completes_and_removes_a_killed_stage() {
    for existing in [false, true] {
        let (scratch, source) = file("source", many(MANY));
        let destination = scratch.path().join("Maildir");
        if existing {
            make_maildir(&destination);
        }
        let stopped = AtWork::stop(one_worker(&source, &destination), &destination);
        stopped.send(Signal::KILL);
        assert_eq!(stopped.end().code, None);
        assert_eq!(destination.exists(), existing);
        assert_eq!(staging(&destination).exists(), !existing);
        if existing {
            assert_eq!(messages(&destination).len(), 8, "nothing is half-published");
        }
        let summary = again(&source, &destination);
        assert_eq!(count(&summary, "written"), u64::from(MANY));
        assert_eq!(names(scratch.path()), ["Maildir", "source"], "existing: {existing}");
        assert_eq!(names(&destination.join("tmp")), [""; 0]);
        let written = messages(&destination);
        assert_eq!(written.len(), MANY as usize + if existing { 8 } else { 0 });
        assert!(written.iter().all(|m| m.size == m.bytes.len() as u64));
    }
}

#[test]
fn the_second_of_two_conversions_waits_or_names_the_lock() {
    for existing in [false, true] {
        let (scratch, source) = file("source", many(MANY));
        let destination = scratch.path().join("Maildir");
        if existing {
            make_maildir(&destination);
        }
        // They must wait for the destination, not for the source.
        let with = |timeout: &str| {
            let mut command = convert_command(["-j1", "--fsync=none", "--lock=none", timeout]);
            command.args([&source, &destination]);
            command
        };
        let first = AtWork::stop(with("--lock-timeout=30"), &destination);
        let hasty = run(with("--lock-timeout=1")).exits(3).complains(&["Maildir", "locked by"]);
        assert_eq!(hasty.complaints(), ["locked"]);
        let patient =
            with("--lock-timeout=60").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let first = first.go_on().exits(0).summary();
        let second = Run::of(patient.wait_with_output().unwrap()).exits(0).summary();
        assert_eq!((count(&first, "written"), count(&second, "written")), (u64::from(MANY), 0));
        assert_eq!(count(&second, "already_present"), u64::from(MANY));
        assert!(!staging(&destination).exists());
    }
}
