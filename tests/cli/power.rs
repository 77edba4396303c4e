//! Power cuts: what a disk holds when the power goes while we convert onto it, and what the same
//! command makes of that.
//!
//! The disk is an ext4 image behind a loop device; the image lies on an XFS of its own, where a file
//! can be cloned. A clone is one step as seen by those who write to the file: each write of the loop
//! driver is in it or is not, and all that ext4 had been told is written before is in it. So it is a
//! state that a power cut leaves, which a copy made by reading is not (a block that is read later may
//! come from after a journal that was read before); e2fsck sees to that for each clone.
//!
//! What a clone loses: all that ext4 still had in its page cache, and the writes that were under way.
//! What it does not lose, and a real disk may: writes that the disk had confirmed but kept in a
//! volatile cache. To have that emptied when we call fsync is ext4's part of the bargain.

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

/// How a disk is mounted, and who else is on it.
#[derive(Debug, Clone, Copy)]
struct Disk {
    /// Mount options. ext4 writes on its own every so many seconds (`commit`), and with
    /// `data=writeback` names may reach the disk before the bytes that they stand for.
    options: &'static str,
    /// Somebody else has the journal written all the time, and with it whatever names we have made by
    /// then: without him a half of our renames is hardly ever to be seen.
    neighbour: bool,
    /// `--fsync`.
    fsync: &'static str,
}

const DISKS: [Disk; 4] = [
    Disk { options: "data=ordered", neighbour: true, fsync: "batch" },
    Disk { options: "commit=30", neighbour: false, fsync: "batch" },
    Disk { options: "data=writeback,commit=30", neighbour: true, fsync: "batch" },
    Disk { options: "data=writeback", neighbour: true, fsync: "each" },
];

#[test]
fn after_a_power_cut_a_new_maildir_is_whole_or_not_there_and_the_same_command_makes_it() {
    cut_power(false);
}

#[test]
fn after_a_power_cut_an_existing_maildir_has_only_whole_mail_and_the_same_command_completes_it() {
    cut_power(true);
}

/// Cuts at random instants of a conversion and at its exit 0, on each of the disks.
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
        let mut wanted = before_end;
        // On a busy machine some come too late; they count as made at exit 0.
        for _ in 0..3 * before_end {
            // Every second one towards the end, where names appear, and sometimes a little later.
            let part = if turn % 2 == 0 { random.unit() } else { 0.7 + 0.35 * random.unit() };
            let mut cut = conversion.cut(&bench.disk.before, Some(conversion.takes.mul_f64(part)));
            if cut.at_exit {
                conversion.takes = conversion.takes.min(cut.after);
            }
            (cuts, before, wanted) =
                (cuts + 1, before + u32::from(cut.meanwhile), wanted - u32::from(cut.meanwhile));
            if turn % 4 == 1 {
                // Trouble seldom comes alone.
                cut = conversion.cut(&cut.left, Some(conversion.takes.mul_f64(random.unit())));
            }
            let after = cut.after;
            conversion
                .judge(&cut)
                .unwrap_or_else(|why| panic!("{disk:?}, cut {turn}, after {after:?}: {why}"));
            turn += 1;
            if wanted == 0 {
                break;
            }
        }
    }
    let kind = if existing { "an existing" } else { "a new" };
    note!("power cuts into {kind} Maildir: {cuts}, {before} of them before the end of the run");
    // The machine decides how many cuts come before the end. Without one the test shows nothing.
    assert!(before > 0, "{cuts} cuts");
}

/// The method finds what is not safe.
#[test]
fn a_conversion_that_does_not_flush_is_found_out() {
    for existing in [false, true] {
        let Some(bench) = Bench::new(existing) else { return };
        let disk = Disk { options: "commit=30", neighbour: false, fsync: "none" };
        let conversion = Conversion::undisturbed(&bench, disk);
        let cut = conversion.cut(&bench.disk.before, None);
        let why = conversion.judge(&cut).expect_err("nothing had been written by then");
        assert!(why.contains("is missing"), "existing: {existing}: {why}");

        // Somebody else has the journal written after it: all the names are there, but not their bytes.
        let image = bench.disk.before.cut().unwrap();
        let mounted = bench.mount(&image, disk);
        run(conversion.command()).exits(0);
        fs::File::create(bench.disk.place.join("neighbour")).unwrap().sync_all().unwrap();
        let left = image.cut().unwrap();
        drop(mounted);
        let _mounted = bench.mount(&left, disk);
        let why = conversion.nothing_is_partial().expect_err("names were written before their bytes");
        assert!(why.contains("is not as it should be"), "existing: {existing}: {why}");
    }
}

/// A tool of the system.
fn tool(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    command.stdin(Stdio::null());
    command
}

/// Runs a tool; what it says goes into the error.
fn done(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let Output { status, stdout, stderr } = command.output().map_err(|e| format!("{name}: {e}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{name}: {status}: {}", String::from_utf8_lossy(&[stdout, stderr].concat()).trim()))
}

/// A mounted file system; unmounted with the value, which frees the loop device.
pub struct Mounted(PathBuf);

impl Mounted {
    fn new(image: &Path, at: &Path, options: &str) -> Result<Mounted, String> {
        done(tool("mount").arg("-o").arg(format!("loop,{options}")).args([image, at]))?;
        Ok(Mounted(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A child that another test is just starting may have our descriptors for a moment.
        for _ in 0..100 {
            if done(tool("umount").arg(&self.0)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = done(tool("umount").arg("-l").arg(&self.0));
    }
}

/// The image of a disk, gone with the value.
pub struct Image(NamedTempFile);

impl Image {
    /// An empty ext4, all of whose tables are written: nothing is left for the kernel to do later.
    fn blank(store: &Path) -> Result<Image, String> {
        const SIZE: u64 = 96 << 20;
        let file = NamedTempFile::new_in(store).unwrap();
        file.as_file().set_len(SIZE).unwrap();
        let at_once = "lazy_itable_init=0,lazy_journal_init=0";
        done(tool("mkfs.ext4").args(["-q", "-b", "4096", "-N", "16384", "-E", at_once]).arg(file.path()))?;
        Ok(Image(file))
    }

    /// What a power cut at this instant leaves of it.
    pub fn cut(&self) -> io::Result<Image> {
        let left = NamedTempFile::new_in(self.0.path().parent().unwrap())?;
        rustix::fs::ioctl_ficlone(left.as_file(), self.0.as_file())?;
        Ok(Image(left))
    }

    /// That it is a state which a power cut leaves: once the journal is replayed, nothing is to be
    /// repaired but what every mount repairs.
    #[track_caller]
    pub fn assert_possible(&self) {
        let copy = self.cut().unwrap();
        let fsck = tool("e2fsck").args(["-f", "-p"]).arg(copy.0.path()).output().unwrap();
        assert!(fsck.status.code().is_some_and(|code| code < 4), "{fsck:?}");
    }
}

/// Somebody else who has a file of his flushed, again and again.
pub struct Neighbour {
    leaves: Arc<AtomicBool>,
    works: Option<JoinHandle<()>>,
}

impl Neighbour {
    pub fn on(place: &Path) -> Neighbour {
        let file = fs::File::create(place.join("neighbour")).unwrap();
        let leaves = Arc::new(AtomicBool::new(false));
        let left = Arc::clone(&leaves);
        let work = move || {
            while !left.load(Ordering::Relaxed) {
                file.write_all_at(b"here", 0).and_then(|()| file.sync_all()).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        Neighbour { leaves, works: Some(std::thread::spawn(work)) }
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.leaves.store(true, Ordering::Relaxed);
        let _ = self.works.take().map(JoinHandle::join);
    }
}

/// A conversion that is under way, and ended with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Random numbers, the same in every run: SplitMix64.
struct Random(u64);

impl Random {
    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A mailbox with small letters and large ones.
fn letters() -> Vec<u8> {
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

type Tree = BTreeMap<PathBuf, Lying>;

const MANIFEST: &str = "mailferry.manifest";

/// A disk whose power can be cut.
pub struct Cuttable {
    /// Where the disk is mounted.
    pub place: PathBuf,
    /// The disk as it is before.
    pub before: Image,
    // Dropped last, and in this order.
    _store: Mounted,
    scratch: TempDir,
}

impl Cuttable {
    /// `fill` lays down what is there before, in the directory that it is given. None, and said so, where
    /// it cannot be had.
    pub fn new(fill: impl FnOnce(&Path)) -> Option<Cuttable> {
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
        let (store_image, store, place) = (at("store.xfs"), at("store"), at("disk"));
        fs::create_dir(&store).unwrap();
        fs::create_dir(&place).unwrap();
        // Sparse: mkfs.xfs wants much, and little is used.
        fs::File::create(&store_image).unwrap().set_len(1 << 30).unwrap();
        done(tool("mkfs.xfs").args(["-q", "-m", "reflink=1"]).arg(&store_image))?;
        let _store = Mounted::new(&store_image, &store, "noatime")?;
        let before = Image::blank(&store)?;
        before.cut().map_err(|e| format!("no clone: {e}"))?;
        let mounted = Mounted::new(before.0.path(), &place, "noatime")?;
        fill(&place);
        drop(mounted);
        Ok(Cuttable { place, before, _store, scratch })
    }

    #[track_caller]
    pub fn mount(&self, image: &Image, options: &str) -> Mounted {
        Mounted::new(image.0.path(), &self.place, options).unwrap_or_else(|why| panic!("{why}"))
    }
}

/// A disk whose power can be cut, and a mailbox to be converted onto it.
struct Bench {
    /// Outside of the disk.
    source: PathBuf,
    maildir: PathBuf,
    /// What lies in the Maildir before; nothing if it is to be a new one.
    lay: Tree,
    /// And its manifest.
    manifest: Vec<u8>,
    disk: Cuttable,
}

impl Bench {
    /// None, and said so, where it cannot be had.
    fn new(existing: bool) -> Option<Bench> {
        let (mut lay, mut manifest) = (Tree::new(), Vec::new());
        let disk = Cuttable::new(|place| {
            let maildir = place.join("Maildir");
            if existing {
                convert_fixture("inbox.mbox", &maildir);
                fs::write(maildir.join("new/920000000.1.elsewhere"), "Subject: another's\n\nhello\n")
                    .unwrap();
                lay = tree_alike(&maildir);
                manifest = fs::read(maildir.join(MANIFEST)).unwrap();
            }
        })?;
        let source = disk.scratch.path().join("source.mbox");
        fs::write(&source, letters()).unwrap();
        Some(Bench { source, maildir: disk.place.join("Maildir"), lay, manifest, disk })
    }

    #[track_caller]
    fn mount(&self, image: &Image, disk: Disk) -> Mounted {
        self.disk.mount(image, disk.options)
    }

    fn is_existing(&self) -> bool {
        !self.lay.is_empty()
    }

    /// What lies in the Maildir, as every run that ends well leaves it: a manifest that was appended
    /// to has the time of that.
    fn outcome(&self) -> Tree {
        let mut tree = if self.maildir.exists() { tree_alike(&self.maildir) } else { Tree::new() };
        if let Some(manifest) = tree.get_mut(Path::new(MANIFEST)).filter(|_| self.is_existing()) {
            manifest.mtime = (0, 0);
        }
        tree
    }
}

/// What a cut has left.
struct Cut {
    left: Image,
    /// How long after the start.
    after: Duration,
    /// The run had succeeded.
    at_exit: bool,
    /// The run went on.
    meanwhile: bool,
}

/// The conversion onto one kind of disk.
struct Conversion<'a> {
    bench: &'a Bench,
    disk: Disk,
    /// What it leaves when nobody disturbs it.
    outcome: Tree,
    /// How long that takes.
    takes: Duration,
}

impl Conversion<'_> {
    fn undisturbed(bench: &Bench, disk: Disk) -> Conversion<'_> {
        let mut conversion = Conversion { bench, disk, outcome: Tree::new(), takes: Duration::ZERO };
        let image = bench.disk.before.cut().unwrap();
        let _mounted = bench.mount(&image, disk);
        let _neighbour = disk.neighbour.then(|| Neighbour::on(&bench.disk.place));
        let start = Instant::now();
        run(conversion.command()).exits(0);
        conversion.takes = start.elapsed();
        conversion.outcome = bench.outcome();
        assert!(conversion.outcome.len() > 1000);
        conversion
    }

    fn command(&self) -> Command {
        // A lock file beside the source would outlive a run that is killed.
        let mut command = convert_command(["--lock=none", "--fsync", self.disk.fsync]);
        command.args([&self.bench.source, &self.bench.maildir]);
        command
    }

    /// Converts onto a copy of this disk, and cuts the power after so long, or at once after exit 0.
    #[track_caller]
    fn cut(&self, from: &Image, after: Option<Duration>) -> Cut {
        let image = from.cut().unwrap();
        let _mounted = self.bench.mount(&image, self.disk);
        let _neighbour = self.disk.neighbour.then(|| Neighbour::on(&self.bench.disk.place));
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
        let left = image.cut().unwrap();
        let meanwhile = run.0.try_wait().unwrap().is_none();
        assert!(ended.is_none_or(|status| status.success()), "{ended:?}");
        Cut { left, after, at_exit: ended.is_some(), meanwhile }
    }

    /// Has the journal replayed and looks at all that is promised.
    fn judge(&self, cut: &Cut) -> Result<(), String> {
        cut.left.assert_possible();
        let _mounted = self.bench.mount(&cut.left, self.disk);
        self.nothing_is_partial()?;
        if cut.at_exit {
            self.all_is_there()?;
            self.the_same_command(|written| written == 0)
        } else {
            self.the_same_command(|_| true)
        }
    }

    /// Whenever the power goes: a new Maildir is whole or not there; in an existing one whatever is
    /// visible is whole, and all is there that was there.
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
        expected.retain(|path, _| visible.contains_key(path) || bench.lay.contains_key(path));
        alike(&visible, &expected)?;
        let manifest = fs::read(bench.maildir.join(MANIFEST)).map_err(|e| format!("{MANIFEST}: {e}"))?;
        if manifest.starts_with(&bench.manifest) { Ok(()) } else { Err(format!("{MANIFEST} has lost lines")) }
    }

    /// All is there, and nothing beside it.
    fn all_is_there(&self) -> Result<(), String> {
        alike(&self.bench.outcome(), &self.outcome)?;
        let names = fs::read_dir(&self.bench.disk.place).unwrap().map(|entry| entry.unwrap().file_name());
        let beside: Vec<_> =
            names.filter(|n| n != "Maildir" && n != "neighbour" && n != "lost+found").collect();
        if beside.is_empty() { Ok(()) } else { Err(format!("left beside it: {beside:?}")) }
    }

    /// The same command once more: all is there, and the source comes back out of it.
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

/// Names what is not as in an expected tree.
fn alike(tree: &Tree, expected: &Tree) -> Result<(), String> {
    let missing = expected.keys().filter(|path| !tree.contains_key(*path));
    let wrong = tree.iter().filter(|(path, lying)| expected.get(*path) != Some(lying));
    let missing = missing.map(|path| format!("{} is missing", path.display()));
    let wrong: Vec<String> = missing
        .chain(wrong.map(|(path, lying)| format!("{} is not as it should be: {lying:?}", path.display())))
        .collect();
    match &wrong[..] {
        [] => Ok(()),
        [first, ..] => Err(format!("{} of {}, first: {first}", wrong.len(), expected.len())),
    }
}
