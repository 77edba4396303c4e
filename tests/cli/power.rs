//! Power cuts during a conversion: what the disk holds, and what the same command makes of it.
//!
//! The disk is an ext4 image on a loop device. The image is on an XFS, where a file can be cloned. A clone is
//! one step for the writers of the file: it has each write of the loop driver or does not have it, and
//! everything that was confirmed to ext4 before. So it is a state that a power cut can leave. A copy made by
//! reading is not: a block that is read later may be newer than a journal that was read before. e2fsck checks
//! each clone.
//!
//! A clone loses what ext4 still had in its page cache, and the writes in progress. It does not lose what a
//! real disk may: writes that the disk had confirmed but kept in a volatile cache. Flushing that cache in
//! fsync is the task of ext4.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::{NamedTempFile, TempDir};

use crate::support::*;

/// How a disk is mounted and used.
#[derive(Debug, Clone, Copy)]
struct Disk {
    /// Mount options. `commit` is the number of seconds between ext4's own flushes. With `data=writeback`
    /// names may reach the disk before their bytes.
    options: &'static str,
    /// Another process flushes the journal all the time, and with it the latest names. Without it half of the
    /// renames would hardly ever be visible.
    neighbour: bool,
    /// The value of `--fsync`.
    fsync: &'static str,
}

const DISKS: [Disk; 4] = [
    Disk { options: "data=ordered", neighbour: true, fsync: "batch" },
    Disk { options: "commit=30", neighbour: false, fsync: "batch" },
    Disk { options: "data=writeback,commit=30", neighbour: true, fsync: "batch" },
    Disk { options: "data=writeback", neighbour: true, fsync: "each" },
];

#[test]
fn after_a_power_cut_a_new_maildir_is_complete_or_absent() {
    cut_power(false);
}

#[test]
fn after_a_power_cut_an_existing_maildir_has_no_partial_mail() {
    cut_power(true);
}

/// Cuts the power at random moments of a conversion and at its exit 0, on each of the disks.
fn cut_power(existing: bool) {
    let Some(bench) = Bench::new(existing) else { return };
    let (at_exit, before_end) = samples((1, 1), (1, 1), (5, 20));
    let disks = samples(if existing { &DISKS[2..] } else { &DISKS[..2] }, &DISKS, &DISKS);
    let (mut random, mut turn, mut cuts, mut before) = (Random(1998), 0, 0, 0);
    for &disk in disks {
        let mut conversion = Conversion::undisturbed(&bench, disk);
        for n in 0..at_exit {
            let cut = conversion.cut(&bench.disk.before, None);
            conversion.takes = conversion.takes.min(cut.after);
            conversion.judge(&cut).unwrap_or_else(|why| panic!("{disk:?}, at exit 0, {n}: {why}"));
            cuts += 1;
        }
        let mut remaining = before_end;
        // On a busy machine some come too late. They count as cuts at exit 0.
        for _ in 0..3 * before_end {
            // Every second one is near the end, where names appear, and sometimes a little later.
            let part = if turn % 2 == 0 { random.unit() } else { 0.7 + 0.35 * random.unit() };
            let mut cut = conversion.cut(&bench.disk.before, Some(conversion.takes.mul_f64(part)));
            if cut.at_exit {
                conversion.takes = conversion.takes.min(cut.after);
            }
            (cuts, before, remaining) =
                (cuts + 1, before + u32::from(cut.meanwhile), remaining - u32::from(cut.meanwhile));
            if turn % 4 == 1 {
                // A second cut during the recovery.
                cut = conversion.cut(&cut.remains, Some(conversion.takes.mul_f64(random.unit())));
            }
            let after = cut.after;
            conversion
                .judge(&cut)
                .unwrap_or_else(|why| panic!("{disk:?}, cut {turn}, after {after:?}: {why}"));
            turn += 1;
            if remaining == 0 {
                break;
            }
        }
    }
    let kind = if existing { "an existing" } else { "a new" };
    note!("power cuts into {kind} Maildir: {cuts}, {before} of them before the end of the run");
    // The machine decides how many cuts come before the end. Without one the test shows nothing.
    assert!(before > 0, "{cuts} cuts");
}

/// The method detects a conversion that is not durable.
#[test]
fn a_conversion_that_does_not_flush_is_found_out() {
    for existing in [false, true] {
        let Some(bench) = Bench::new(existing) else { return };
        let disk = Disk { options: "commit=30", neighbour: false, fsync: "none" };
        let conversion = Conversion::undisturbed(&bench, disk);
        let cut = conversion.cut(&bench.disk.before, None);
        let why = conversion.judge(&cut).expect_err("nothing had been written by then");
        assert!(why.contains("is missing"), "existing: {existing}: {why}");

        // Another process flushes the journal afterwards: all names are there, but not their bytes.
        let image = bench.disk.before.cut().unwrap();
        let mounted = bench.mount(&image, disk);
        run(conversion.command()).exits(0);
        fs::File::create(bench.disk.mount_point.join("neighbour")).unwrap().sync_all().unwrap();
        let remains = image.cut().unwrap();
        drop(mounted);
        let _mounted = bench.mount(&remains, disk);
        let why = conversion.nothing_is_partial().expect_err("names were written before their bytes");
        assert!(why.contains("is not as it should be"), "existing: {existing}: {why}");
    }
}

/// Returns a command for a system tool.
fn tool(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    command.stdin(Stdio::null());
    command
}

/// Runs a tool. The error has its output.
fn done(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let Output { status, stdout, stderr } = command.output().map_err(|e| format!("{name}: {e}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{name}: {status}: {}", String::from_utf8_lossy(&[stdout, stderr].concat()).trim()))
}

/// A mounted file system. Dropping it unmounts it and frees the loop device.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    fn new(image: &Path, at: &Path, options: &str) -> Result<Mounted, String> {
        done(tool("mount").arg("-o").arg(format!("loop,{options}")).args([image, at]))?;
        Ok(Mounted(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A child that another test is starting may have the descriptors until its exec.
        for _ in 0..100 {
            if done(tool("umount").arg(&self.0)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = done(tool("umount").arg("-l").arg(&self.0));
    }
}

/// The image of a disk, removed when dropped.
pub(crate) struct Image(NamedTempFile);

impl Image {
    /// Creates an empty ext4 with all tables written, so that the kernel has nothing to do later.
    fn blank(store: &Path) -> Result<Image, String> {
        const SIZE: u64 = 96 << 20;
        let file = NamedTempFile::new_in(store).unwrap();
        file.as_file().set_len(SIZE).unwrap();
        let at_once = "lazy_itable_init=0,lazy_journal_init=0";
        done(tool("mkfs.ext4").args(["-q", "-b", "4096", "-N", "16384", "-E", at_once]).arg(file.path()))?;
        Ok(Image(file))
    }

    /// Returns what a power cut at this moment leaves.
    pub(crate) fn cut(&self) -> io::Result<Image> {
        let remains = NamedTempFile::new_in(self.0.path().parent().unwrap())?;
        rustix::fs::ioctl_ficlone(remains.as_file(), self.0.as_file())?;
        Ok(Image(remains))
    }

    /// Asserts that a power cut can leave this state: after the journal is replayed there is nothing to
    /// repair that a mount does not repair.
    #[track_caller]
    pub(crate) fn assert_possible(&self) {
        let copy = self.cut().unwrap();
        let fsck = tool("e2fsck").args(["-f", "-p"]).arg(copy.0.path()).output().unwrap();
        assert!(fsck.status.code().is_some_and(|code| code < 4), "{fsck:?}");
    }
}

/// Another process that flushes its file repeatedly.
pub(crate) struct Neighbour {
    stop: Arc<AtomicBool>,
    works: Option<JoinHandle<()>>,
}

impl Neighbour {
    pub(crate) fn on(mount_point: &Path) -> Neighbour {
        let file = fs::File::create(mount_point.join("neighbour")).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let remains = Arc::clone(&stop);
        let work = move || {
            while !remains.load(Ordering::Relaxed) {
                file.write_all_at(b"here", 0).and_then(|()| file.sync_all()).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        Neighbour { stop, works: Some(std::thread::spawn(work)) }
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.works.take().map(JoinHandle::join);
    }
}

/// A running conversion, killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Random numbers that are the same in every run: SplitMix64.
struct Random(u64);

impl Random {
    /// Returns a number from 0 to 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Returns a mailbox with small and large messages.
fn mailbox() -> Vec<u8> {
    let mut mbox = Vec::new();
    for n in 0..1500 {
        let words = if n % 50 == 7 { 40_000 } else { n * 37 % 1500 };
        let (minute, second) = (n / 60, n % 60);
        let status = if n % 3 == 0 { "Status: RO\n" } else { "" };
        let head = format!(
            "From ada@example.org Mon Mar  2 08:{minute:02}:{second:02} 1998\n\
             From: Ada <ada@example.org>\nSubject: number {n}\n{status}\n"
        );
        mbox.extend_from_slice(head.as_bytes());
        mbox.extend_from_slice("word ".repeat(words).as_bytes());
        mbox.extend_from_slice(b"\n>From the garden\n\n");
    }
    mbox
}

type Tree = BTreeMap<PathBuf, FileState>;

const MANIFEST: &str = "mailferry.manifest";

/// A disk whose power can be cut.
pub(crate) struct Cuttable {
    /// The mount point.
    pub mount_point: PathBuf,
    /// The disk before a run.
    pub before: Image,
    // These two are dropped last, in this order.
    _store: Mounted,
    scratch: TempDir,
}

impl Cuttable {
    /// Creates the disk. `fill` writes its initial files into a directory. Skips the test where this is not
    /// possible.
    pub(crate) fn new(fill: impl FnOnce(&Path)) -> Option<Cuttable> {
        let disk =
            if rustix::process::geteuid().is_root() { Cuttable::build(fill) } else { Err("not root".into()) };
        match disk {
            Ok(disk) => Some(disk),
            Err(why) => skip!("no power cuts without root, loop devices, ext4 and XFS: {why}"),
        }
    }

    fn build(fill: impl FnOnce(&Path)) -> Result<Cuttable, String> {
        let scratch = scratch();
        let at = |name: &str| scratch.path().join(name);
        let (store_image, store, mount_point) = (at("store.xfs"), at("store"), at("disk"));
        fs::create_dir(&store).unwrap();
        fs::create_dir(&mount_point).unwrap();
        // Sparse: mkfs.xfs needs a large file, but uses little of it.
        fs::File::create(&store_image).unwrap().set_len(1 << 30).unwrap();
        done(tool("mkfs.xfs").args(["-q", "-m", "reflink=1"]).arg(&store_image))?;
        let _store = Mounted::new(&store_image, &store, "noatime")?;
        let before = Image::blank(&store)?;
        before.cut().map_err(|e| format!("no clone: {e}"))?;
        let mounted = Mounted::new(before.0.path(), &mount_point, "noatime")?;
        fill(&mount_point);
        drop(mounted);
        Ok(Cuttable { mount_point, before, _store, scratch })
    }

    #[track_caller]
    pub(crate) fn mount(&self, image: &Image, options: &str) -> Mounted {
        Mounted::new(image.0.path(), &self.mount_point, options).unwrap_or_else(|why| panic!("{why}"))
    }
}

/// A disk whose power can be cut, and a mailbox to convert onto it.
struct Bench {
    /// It is not on the disk.
    source: PathBuf,
    maildir: PathBuf,
    /// The initial contents of the Maildir; empty if the conversion creates it.
    initial: Tree,
    /// The initial manifest.
    manifest: Vec<u8>,
    disk: Cuttable,
}

impl Bench {
    /// Skips the test where this is not possible.
    fn new(existing: bool) -> Option<Bench> {
        let (mut initial, mut manifest) = (Tree::new(), Vec::new());
        let disk = Cuttable::new(|mount_point| {
            let maildir = mount_point.join("Maildir");
            if existing {
                convert_fixture("inbox.mbox", &maildir);
                fs::write(maildir.join("new/920000000.1.elsewhere"), "Subject: another's\n\nhello\n")
                    .unwrap();
                initial = tree_alike(&maildir);
                manifest = fs::read(maildir.join(MANIFEST)).unwrap();
            }
        })?;
        let source = disk.scratch.path().join("source.mbox");
        fs::write(&source, mailbox()).unwrap();
        Some(Bench { source, maildir: disk.mount_point.join("Maildir"), initial, manifest, disk })
    }

    #[track_caller]
    fn mount(&self, image: &Image, disk: Disk) -> Mounted {
        self.disk.mount(image, disk.options)
    }

    fn is_existing(&self) -> bool {
        !self.initial.is_empty()
    }

    /// Returns the Maildir as every successful run leaves it. The mtime of a manifest that was appended to is
    /// left out.
    fn outcome(&self) -> Tree {
        let mut tree = if self.maildir.exists() { tree_alike(&self.maildir) } else { Tree::new() };
        if let Some(manifest) = tree.get_mut(Path::new(MANIFEST)).filter(|_| self.is_existing()) {
            manifest.mtime = (0, 0);
        }
        tree
    }
}

/// The state after a cut.
struct Cut {
    remains: Image,
    /// Time since the start.
    after: Duration,
    /// True if the run had succeeded.
    at_exit: bool,
    /// True if the run was still active.
    meanwhile: bool,
}

/// The conversion onto one kind of disk.
struct Conversion<'a> {
    bench: &'a Bench,
    disk: Disk,
    /// The result without a cut.
    outcome: Tree,
    /// Duration of a run.
    takes: Duration,
}

impl Conversion<'_> {
    fn undisturbed(bench: &Bench, disk: Disk) -> Conversion<'_> {
        let mut conversion = Conversion { bench, disk, outcome: Tree::new(), takes: Duration::ZERO };
        let image = bench.disk.before.cut().unwrap();
        let _mounted = bench.mount(&image, disk);
        let _neighbour = disk.neighbour.then(|| Neighbour::on(&bench.disk.mount_point));
        let start = Instant::now();
        run(conversion.command()).exits(0);
        conversion.takes = start.elapsed();
        conversion.outcome = bench.outcome();
        assert!(conversion.outcome.len() > 1000);
        conversion
    }

    fn command(&self) -> Command {
        // A lock file next to the source would outlive a killed run.
        let mut command = convert_command(["--lock=none", "--fsync", self.disk.fsync]);
        command.args([&self.bench.source, &self.bench.maildir]);
        command
    }

    /// Converts onto a copy of this disk, and cuts the power after this time, or right after exit 0.
    #[track_caller]
    fn cut(&self, from: &Image, after: Option<Duration>) -> Cut {
        let image = from.cut().unwrap();
        let _mounted = self.bench.mount(&image, self.disk);
        let _neighbour = self.disk.neighbour.then(|| Neighbour::on(&self.bench.disk.mount_point));
        let start = Instant::now();
        let mut command = self.command();
        let mut run = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let ended = match after {
            None => Some(run.0.wait().unwrap()),
            Some(after) => {
                std::thread::sleep(after.saturating_sub(start.elapsed()));
                run.0.try_wait().unwrap()
            }
        };
        let after = start.elapsed();
        let remains = image.cut().unwrap();
        let meanwhile = run.0.try_wait().unwrap().is_none();
        assert!(ended.is_none_or(|status| status.success()), "{ended:?}");
        Cut { remains, after, at_exit: ended.is_some(), meanwhile }
    }

    /// Replays the journal and checks all promises.
    fn judge(&self, cut: &Cut) -> Result<(), String> {
        cut.remains.assert_possible();
        let _mounted = self.bench.mount(&cut.remains, self.disk);
        self.nothing_is_partial()?;
        if cut.at_exit {
            self.all_is_there()?;
            self.the_same_command(|written| written == 0)
        } else {
            self.the_same_command(|_| true)
        }
    }

    /// Checks the promise for any moment. A new Maildir is complete or absent. In an existing one all visible
    /// mail is complete, and everything from before is there.
    fn nothing_is_partial(&self) -> Result<(), String> {
        let (bench, visible) = (self.bench, self.bench.outcome());
        if !bench.is_existing() {
            return if visible.is_empty() { Ok(()) } else { alike(&visible, &self.outcome) };
        }
        let is_mail = |path: &Path| path != Path::new(MANIFEST) && !path.starts_with("tmp");
        let mail = |tree: &Tree| -> Tree {
            tree.iter().filter(|(path, _)| is_mail(path)).map(|(p, l)| (p.clone(), l.clone())).collect()
        };
        let (mut expected, visible) = (mail(&self.outcome), mail(&visible));
        expected.retain(|path, _| visible.contains_key(path) || bench.initial.contains_key(path));
        alike(&visible, &expected)?;
        let manifest = fs::read(bench.maildir.join(MANIFEST)).map_err(|e| format!("{MANIFEST}: {e}"))?;
        if manifest.starts_with(&bench.manifest) { Ok(()) } else { Err(format!("{MANIFEST} has lost lines")) }
    }

    /// Checks that everything is there, and nothing next to it.
    fn all_is_there(&self) -> Result<(), String> {
        alike(&self.bench.outcome(), &self.outcome)?;
        let names =
            fs::read_dir(&self.bench.disk.mount_point).unwrap().map(|entry| entry.unwrap().file_name());
        let siblings: Vec<_> =
            names.filter(|n| n != "Maildir" && n != "neighbour" && n != "lost+found").collect();
        if siblings.is_empty() { Ok(()) } else { Err(format!("left beside it: {siblings:?}")) }
    }

    /// Runs the same command again: everything is there, and the source can be restored.
    fn the_same_command(&self, may_write: impl Fn(u64) -> bool) -> Result<(), String> {
        let written = count(&run(self.command()).exits(0).summary(), "written");
        if !may_write(written) {
            return Err(format!("{written} written once more"));
        }
        self.all_is_there()?;
        let mut exact = mailferry(["convert", "--exact", "--source"]);
        exact.args([&self.bench.source, &self.bench.maildir, Path::new("-")]);
        if run(exact).exits(0).stdout == fs::read(&self.bench.source).unwrap() {
            Ok(())
        } else {
            Err("--exact gives something else back".into())
        }
    }
}

/// Compares with an expected tree. The error names the first difference.
fn alike(tree: &Tree, expected: &Tree) -> Result<(), String> {
    let missing = expected.keys().filter(|path| !tree.contains_key(*path));
    let wrong = tree.iter().filter(|(path, state)| expected.get(*path) != Some(state));
    let missing = missing.map(|path| format!("{} is missing", path.display()));
    let wrong: Vec<String> = missing
        .chain(wrong.map(|(path, state)| format!("{} is not as it should be: {state:?}", path.display())))
        .collect();
    match &wrong[..] {
        [] => Ok(()),
        [first, ..] => Err(format!("{} of {}, first: {first}", wrong.len(), expected.len())),
    }
}
