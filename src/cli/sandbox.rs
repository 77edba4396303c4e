//! The sandbox of a command: it can open only the paths that it needs (Landlock).
//!
//! It stops what a fault in the code that reads mail could do with other files. It begins when the command has its
//! user and has checked its arguments, and before there are threads: Landlock restricts only the calling thread and
//! those it starts. No command that runs a program has it, since the program would inherit it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::fs::{FileType, Mode, OFlags};

use super::mailbox_arg::MailboxArg;
use crate::deliver::DeliveryTarget;
use crate::deliver::session::template::Template;
use crate::mailbox::fs::parent_of;
use crate::mailbox::maildir::quota;
use crate::mailbox::manifest::{FILE_NAME, ManifestLocation};
use crate::mailbox::source::part_directories;
use crate::mailbox::text::plural;

/// More rules than these become rules for the directories above.
const MAX_PATHS: usize = 256;
/// Directories of an LMTP session's users in which links are looked for, at 10 microseconds each.
const MAX_LOOKS: usize = 1000;

/// The option of a command that has a sandbox.
#[derive(Args, Debug, Clone, Copy)]
pub(super) struct SandboxArgs {
    /// Run without the sandbox, to see whether it causes an error
    ///
    /// Otherwise the command can open only its mailboxes, the files that their manifests and links name, the spool
    /// directory and time zones. It needs Linux with Landlock of ABI 2 (5.19) or newer; -v reports it.
    #[arg(long, hide_short_help = true)]
    no_sandbox: bool,
}

/// The access to a path and everything below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Access {
    Read,
    /// Read, create, rename and remove.
    Write,
}

/// The paths that a command needs. Missing ones are left out.
#[derive(Debug, Default)]
pub(super) struct SandboxPaths {
    paths: BTreeMap<PathBuf, Access>,
    /// Directories in which links were looked for.
    looks: usize,
}

impl SandboxPaths {
    /// Returns what every command needs: time zones, the state of the system, and the spool directory.
    pub(super) fn new(spool_dir: &Path) -> SandboxPaths {
        const SYSTEM: [&str; 10] = [
            "/etc/localtime",
            "/etc/timezone",
            "/etc/zoneinfo",
            "/usr/share/zoneinfo",
            "/usr/share/lib/zoneinfo",
            "/usr/lib/zoneinfo",
            // The number of processors in a container, the version of the kernel, the holders of locks.
            "/sys/fs/cgroup",
            "/proc/self",
            "/proc/sys/kernel/osrelease",
            "/proc/locks",
        ];
        let mut paths = SandboxPaths::for_delivery(spool_dir);
        SYSTEM.iter().for_each(|path| paths.read(path));
        for name in ["TZ", "TZDIR"] {
            let value = std::env::var_os(name).unwrap_or_default();
            let bytes = value.as_bytes();
            let path = Path::new(OsStr::from_bytes(bytes.strip_prefix(b":").unwrap_or(bytes)));
            if path.is_absolute() {
                paths.read(path);
            }
        }
        paths
    }

    /// Returns what a delivery needs besides its mailboxes: the spool directory.
    pub(super) fn for_delivery(spool_dir: &Path) -> SandboxPaths {
        let mut paths = SandboxPaths::default();
        paths.add(spool_dir, Access::Write);
        paths
    }

    /// Returns what deliveries that share a flush need: the version of the kernel says whether it reports every error.
    pub(super) fn for_deliveries(spool_dir: &Path) -> SandboxPaths {
        let mut paths = SandboxPaths::for_delivery(spool_dir);
        paths.read("/proc/sys/kernel/osrelease");
        paths
    }

    fn add(&mut self, path: impl AsRef<Path>, access: Access) {
        let present = self.paths.entry(path.as_ref().to_owned()).or_insert(access);
        *present = access.max(*present);
    }

    pub(super) fn read(&mut self, path: impl AsRef<Path>) {
        self.add(path, Access::Read);
    }

    /// Adds a mailbox or a tree that is read, with the targets of links in it. Returns the manifests that it has.
    pub(super) fn read_mailbox(&mut self, mailbox: &MailboxArg) -> Vec<PathBuf> {
        match mailbox.is_standard_stream() {
            true => Vec::new(),
            false => {
                self.read_parts(&mailbox.path);
                self.add_tree(&mailbox.path, Access::Read)
            }
        }
    }

    /// Adds a mailbox or a tree that is repaired.
    pub(super) fn repair_mailbox(&mut self, mailbox: &MailboxArg) -> Vec<PathBuf> {
        if !mailbox.path.is_dir() {
            self.add_beside(&mailbox.path, Access::Write);
        }
        self.add_tree(&mailbox.path, Access::Write)
    }

    /// Adds the targets of messages of a Maildir that are links.
    pub(super) fn read_linked_messages(&mut self, maildir: &Path) {
        for name in ["new", "cur"] {
            let dir = maildir.join(name);
            let is_link = |entry: &Entry| entry.kind == FileType::Symlink;
            list(&dir).iter().filter(|entry| is_link(entry)).for_each(|link| self.read(dir.join(&link.name)));
        }
    }

    /// Adds the sources that a manifest names.
    pub(super) fn read_sources(&mut self, manifest: &Path) {
        // An unreadable manifest is reported when it is needed.
        let Ok(file) = ManifestLocation::File(manifest).read_existing(manifest) else { return };
        for header in file.headers() {
            let source = OsStr::from_bytes(&header.source.0);
            self.read_parts(Path::new(source));
            self.read(source);
        }
    }

    /// Adds the directories with parts of a message that are not in its file.
    fn read_parts(&mut self, path: &Path) {
        part_directories(path).iter().for_each(|directory| self.read(directory));
    }

    /// Adds a mailbox that gets a message. `create` is true if it is created where it is missing.
    pub(super) fn deliver_into(&mut self, target: &DeliveryTarget, create: bool) {
        let path = target.path();
        match target {
            // The lock and what replaces a lock are next to an mbox.
            DeliveryTarget::Mbox(..) => self.add_beside(path, Access::Write),
            DeliveryTarget::Maildir(_) | DeliveryTarget::Folder(_) => {
                self.add(path, Access::Write);
                // The Maildir of a folder has the quota.
                let is_folder = matches!(target, DeliveryTarget::Folder(_))
                    || path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"."))
                    || path.join("maildirfolder").exists();
                if is_folder {
                    self.add_beside(path, Access::Write);
                }
                for maildir in [Some(path), is_folder.then(|| parent_of(path))].into_iter().flatten() {
                    let subdirs = ["tmp", "new", "cur"].map(|name| maildir.join(name));
                    subdirs
                        .iter()
                        .filter(|dir| dir.is_symlink())
                        .for_each(|dir| self.add(dir, Access::Write));
                    // A quota counts the messages of all folders.
                    if maildir.join(quota::FILE_NAME).exists() {
                        self.add_links(maildir, Access::Write);
                    }
                }
            }
        }
        if create {
            self.create_below(path);
        }
    }

    /// Adds the directory in which a missing path is created.
    pub(super) fn create_below(&mut self, path: &Path) {
        let mut existing = path;
        while !existing.exists() {
            existing = parent_of(existing);
        }
        if existing != path {
            self.add(existing, Access::Write);
        }
    }

    /// Adds the mailboxes of all recipients of a template. Links on the way lead to other directories.
    pub(super) fn deliver_by_template(&mut self, template: &Template) {
        let directory = template.fixed_directory();
        self.add(&directory, Access::Write);
        self.add_links_on_the_way(&directory, &template.names());
    }

    fn add_links_on_the_way(&mut self, dir: &Path, names: &[Option<OsString>]) {
        self.looks += 1;
        if self.looks > MAX_LOOKS {
            return;
        }
        match names {
            // A mailbox, perhaps with folders that are links.
            [] => self.add_links(dir, Access::Write),
            [Some(name), rest @ ..] => {
                let path = dir.join(name);
                if path.is_symlink() {
                    self.add_beside(&path, Access::Write);
                    self.add(&path, Access::Write);
                }
                self.add_links_on_the_way(&path, rest);
            }
            [None, rest @ ..] => {
                for entry in list(dir) {
                    let path = dir.join(&entry.name);
                    if entry.kind == FileType::Symlink {
                        self.add_beside(&path, Access::Write);
                        self.add(&path, Access::Write);
                    }
                    if matches!(entry.kind, FileType::Symlink | FileType::Directory) {
                        self.add_links_on_the_way(&path, rest);
                    }
                }
            }
        }
    }

    /// Adds the directories of a path and of what it links to.
    fn add_beside(&mut self, path: &Path, access: Access) {
        self.add(parent_of(path), access);
        if let Ok(resolved) = path.canonicalize() {
            self.add(parent_of(&resolved), access);
        }
    }

    /// Adds the links in a directory that lead to something.
    fn add_links(&mut self, dir: &Path, access: Access) {
        let links = list(dir).into_iter().filter(|entry| entry.kind == FileType::Symlink);
        links.for_each(|link| self.add(dir.join(&link.name), access));
    }

    /// Adds a path, and what links in it lead to. The messages of Maildirs are not looked at. Returns the manifests.
    fn add_tree(&mut self, root: &Path, access: Access) -> Vec<PathBuf> {
        let (mut manifests, mut open) = (Vec::new(), vec![root.to_owned()]);
        let mut seen = HashSet::new();
        self.add(root, access);
        while let Some(dir) = open.pop() {
            for entry in list(&dir) {
                let path = dir.join(&entry.name);
                match entry.kind {
                    FileType::Symlink => {
                        // A link may lead to a directory above it.
                        let Ok(resolved) = path.canonicalize() else { continue };
                        if seen.insert(resolved) {
                            self.add(&path, access);
                            open.push(path);
                        }
                    }
                    FileType::Directory if !["cur", "new", "tmp"].iter().any(|name| entry.name == *name) => {
                        open.push(path);
                    }
                    FileType::RegularFile if entry.name == FILE_NAME => manifests.push(path),
                    _ => {}
                }
            }
        }
        manifests
    }

    /// Replaces paths by their directories until there are few. Those with many paths come first. The access to
    /// others is wider then.
    fn limit(&mut self) {
        for siblings in [16, 2, 1, 1, 1, 1] {
            if self.paths.len() <= MAX_PATHS {
                return;
            }
            let mut counts: HashMap<PathBuf, usize> = HashMap::new();
            self.paths.keys().for_each(|path| *counts.entry(parent_of(path).to_owned()).or_default() += 1);
            for (path, access) in std::mem::take(&mut self.paths) {
                let directory = parent_of(&path);
                let is_wide = directory == Path::new("/");
                self.add(if counts[directory] >= siblings && !is_wide { directory } else { &path }, access);
            }
        }
    }

    /// Restricts this thread, and the threads that it starts, to these paths. A system without Landlock has no sandbox.
    pub(super) fn enter(mut self, args: SandboxArgs, is_reported: bool) {
        self.limit();
        let entered = match args.no_sandbox {
            true => Err("--no-sandbox".to_owned()),
            false if self.looks > MAX_LOOKS => {
                Err("too many mailboxes to check their paths for links".into())
            }
            false => restrict(&self),
        };
        if is_reported {
            match entered {
                Ok(Restriction { abi, paths }) => {
                    eprintln!("sandbox: {} (Landlock ABI {abi})", plural(paths, "path"));
                }
                Err(reason) => eprintln!("no sandbox: {reason}"),
            }
        }
    }
}

/// An entry of a directory.
struct Entry {
    name: OsString,
    kind: FileType,
}

/// Lists a directory; empty if it cannot be read, or is a file.
fn list(dir: &Path) -> Vec<Entry> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(fd) = rustix::fs::open(dir, flags, Mode::empty()) else { return Vec::new() };
    let Ok(entries) = rustix::fs::Dir::read_from(&fd) else { return Vec::new() };
    let entries = entries.map_while(Result::ok).filter_map(|entry| {
        let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
        let kind = match entry.file_type() {
            // Some file systems do not tell.
            FileType::Unknown => {
                let stat = rustix::fs::statat(&fd, entry.file_name(), rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
                FileType::from_raw_mode(stat.ok()?.st_mode)
            }
            kind => kind,
        };
        (name != "." && name != "..").then_some(Entry { name, kind })
    });
    entries.collect()
}

/// A sandbox that was entered.
#[derive(Debug, PartialEq, Eq)]
struct Restriction {
    abi: i32,
    paths: u64,
}

/// Restricts this thread. An error is the reason why there is no sandbox.
#[cfg(target_os = "linux")]
fn restrict(paths: &SandboxPaths) -> Result<Restriction, String> {
    use std::fs::File;
    use std::os::unix::fs::OpenOptionsExt;

    use landlock::{
        ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, Ruleset,
        RulesetAttr, RulesetCreatedAttr,
    };

    use crate::mailbox::fs::files;

    let old = |_| "the kernel has no Landlock of ABI 2 or newer".to_owned();
    let failed = |error: landlock::RulesetError| error.to_string();
    let known = AccessFs::from_all(ABI::V5);
    let mut ruleset = Ruleset::default()
        // ABI 1 refuses every rename into another directory, such as from tmp/ to new/.
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V2))
        .map_err(old)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(known)
        .map_err(failed)?
        .create()
        .map_err(failed)?;
    let mut count = 0;
    for (path, access) in &paths.paths {
        // A user whose place root takes may not be able to enter the directories above.
        let by_path = File::options().read(true).custom_flags(libc::O_PATH).open(path);
        let Ok(file) = by_path.or_else(|_| files::open_with(path, OFlags::PATH)) else {
            // What is missing cannot be opened.
            continue;
        };
        let rights: BitFlags<AccessFs> = match access {
            Access::Read => AccessFs::ReadDir | AccessFs::ReadFile,
            Access::Write => {
                AccessFs::ReadDir
                    | AccessFs::ReadFile
                    | AccessFs::WriteFile
                    | AccessFs::Truncate
                    | AccessFs::MakeReg
                    | AccessFs::MakeDir
                    | AccessFs::RemoveFile
                    | AccessFs::RemoveDir
                    | AccessFs::Refer
            }
        };
        let is_dir = file.metadata().is_ok_and(|found| found.is_dir());
        let rights = if is_dir { rights } else { rights & AccessFs::from_file(ABI::V5) };
        if !rights.is_empty() {
            ruleset = ruleset.add_rule(PathBeneath::new(file, rights)).map_err(failed)?;
            count += 1;
        }
    }
    let abi = match ruleset.restrict_self().map_err(failed)?.landlock {
        LandlockStatus::Available { effective_abi, kernel_abi } => kernel_abi.unwrap_or(effective_abi as i32),
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => 0,
    };
    Ok(Restriction { abi, paths: count })
}

#[cfg(not(target_os = "linux"))]
fn restrict(_: &SandboxPaths) -> Result<Restriction, String> {
    Err("only Linux has Landlock".into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::{self, File};
    use std::io;

    use super::*;
    use crate::mailbox::mbox::Variant;

    /// Directories `home`, with a Maildir and an mbox, and `outside`.
    struct Fixture(tempfile::TempDir);

    impl Fixture {
        fn new() -> Fixture {
            let temp = tempfile::tempdir().unwrap();
            for dir in ["home/M/cur", "home/M/new", "home/M/tmp", "home/spool", "outside/cur"] {
                fs::create_dir_all(temp.path().join(dir)).unwrap();
            }
            for file in ["home/M/cur/1", "home/inbox", "home/other", "outside/cur/2", "outside/secret"] {
                fs::write(temp.path().join(file), "A: 1\n\n").unwrap();
            }
            Fixture(temp)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn mailbox(&self, name: &str) -> MailboxArg {
            MailboxArg { format: None, path: self.path(name) }
        }

        /// Adds paths, enters the sandbox in a thread of its own, and tries something there.
        fn within<T: Send>(
            &self,
            add: impl FnOnce(&mut SandboxPaths),
            attempt: impl FnOnce() -> T + Send,
        ) -> Option<T> {
            let mut paths = SandboxPaths::new(&self.path("home/spool"));
            add(&mut paths);
            std::thread::scope(|scope| {
                let run = || restrict(&paths).ok().map(|_| attempt());
                scope.spawn(run).join().unwrap()
            })
        }
    }

    fn is_refused<T>(result: io::Result<T>) -> bool {
        result.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    #[test]
    fn a_command_that_reads_can_read_its_mailbox_and_nothing_else() {
        let fixture = Fixture::new();
        std::os::unix::fs::symlink(fixture.path("outside"), fixture.path("home/M/.linked")).unwrap();
        let add = |paths: &mut SandboxPaths| {
            paths.read_mailbox(&fixture.mailbox("home/M"));
        };
        fixture.within(add, || {
            assert!(fs::read(fixture.path("home/M/cur/1")).is_ok());
            assert!(fs::read(fixture.path("home/M/.linked/cur/2")).is_ok(), "a folder may be a link");
            assert!(is_refused(fs::read(fixture.path("home/inbox"))));
            assert!(is_refused(fs::read_dir(fixture.path("home"))));
            assert!(is_refused(fs::write(fixture.path("home/M/cur/1"), "")));
            assert!(is_refused(File::create(fixture.path("home/M/new/3"))));
            assert!(is_refused(fs::remove_file(fixture.path("home/M/cur/1"))));
            assert!(fs::write(fixture.path("home/spool/x"), "").is_ok(), "what is unpacked needs a spool");
        });
        assert!(fs::read(fixture.path("home/inbox")).is_ok(), "only the thread is restricted");
    }

    #[test]
    fn messages_that_are_links_are_readable_if_they_are_read() {
        let fixture = Fixture::new();
        std::os::unix::fs::symlink(fixture.path("outside/secret"), fixture.path("home/M/cur/link")).unwrap();
        let link = fixture.path("home/M/cur/link");
        let without = |paths: &mut SandboxPaths| drop(paths.read_mailbox(&fixture.mailbox("home/M")));
        let with = |paths: &mut SandboxPaths| {
            without(paths);
            paths.read_linked_messages(&fixture.path("home/M"));
        };
        assert_ne!(fixture.within(without, || fs::read(&link).is_ok()), Some(true));
        assert_ne!(fixture.within(with, || fs::read(&link).is_ok()), Some(false));
    }

    #[test]
    fn a_delivery_can_change_its_maildir_and_nothing_else() {
        let fixture = Fixture::new();
        let target = DeliveryTarget::Maildir(fixture.path("home/M"));
        fixture.within(
            |paths| paths.deliver_into(&target, false),
            || {
                fs::write(fixture.path("home/M/tmp/4"), "A: 1\n\n").unwrap();
                fs::hard_link(fixture.path("home/M/tmp/4"), fixture.path("home/M/new/4")).unwrap();
                fs::rename(fixture.path("home/M/tmp/4"), fixture.path("home/M/cur/4")).unwrap();
                assert!(is_refused(fs::read(fixture.path("home/inbox"))));
                assert!(is_refused(fs::write(fixture.path("home/inbox"), "")));
                assert!(is_refused(fs::create_dir(fixture.path("home/M2"))));
                assert!(fs::rename(fixture.path("home/M/new/4"), fixture.path("home/4")).is_err());
            },
        );
    }

    #[test]
    fn a_delivery_into_an_mbox_can_create_its_lock() {
        let fixture = Fixture::new();
        let link = fixture.path("home/M/link");
        std::os::unix::fs::symlink(fixture.path("home/inbox"), &link).unwrap();
        for path in [fixture.path("home/inbox"), link] {
            let target = DeliveryTarget::Mbox(path, Some(Variant::Mboxrd));
            fixture.within(
                |paths| paths.deliver_into(&target, false),
                || {
                    fs::write(fixture.path("home/inbox.lock"), "1").unwrap();
                    fs::remove_file(fixture.path("home/inbox.lock")).unwrap();
                    fs::write(fixture.path("home/inbox"), "").unwrap();
                    assert!(is_refused(fs::read(fixture.path("outside/secret"))));
                },
            );
        }
    }

    #[test]
    fn a_missing_mailbox_is_created_in_the_directory_that_exists() {
        let fixture = Fixture::new();
        let target = DeliveryTarget::Maildir(fixture.path("home/new/M"));
        let made = |create| {
            fixture.within(
                |paths| paths.deliver_into(&target, create),
                || fs::create_dir_all(fixture.path("home/new/M/tmp")).is_ok(),
            )
        };
        assert_ne!(made(false), Some(true));
        assert_ne!(made(true), Some(false));
    }

    #[test]
    fn the_sources_of_a_manifest_are_readable() {
        let fixture = Fixture::new();
        let header = crate::mailbox::manifest::SectionHeader::for_maildir("x", &fixture.path("outside"));
        let manifest = fixture.path("home/M").join(FILE_NAME);
        fs::write(&manifest, crate::mailbox::manifest::to_line(&header)).unwrap();
        let add = |paths: &mut SandboxPaths| {
            let manifests = paths.read_mailbox(&fixture.mailbox("home/M"));
            assert_eq!(manifests, std::slice::from_ref(&manifest));
            manifests.iter().for_each(|manifest| paths.read_sources(manifest));
        };
        assert_ne!(fixture.within(add, || fs::read(fixture.path("outside/cur/2")).is_ok()), Some(false));
    }

    #[test]
    fn many_paths_become_their_directories() {
        let mut paths = SandboxPaths::default();
        (0..1000).for_each(|n| paths.read(format!("/srv/archive/{n}")));
        paths.add("/tmp", Access::Write);
        paths.limit();
        let limited = BTreeMap::from([("/srv/archive".into(), Access::Read), ("/tmp".into(), Access::Write)]);
        assert_eq!(paths.paths, limited);
    }
}
