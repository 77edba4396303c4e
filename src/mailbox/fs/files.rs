//! Files by their path.
//!
//! Without root these are the calls of the standard library. A process that was root looks up every path one name at
//! a time, from a handle, and follows no link that a user could have made. A path below a mailbox of another actor
//! is looked up with that actor's rights. A path into an archive is looked up in the archive.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use crate::mailbox::Error;
use crate::mailbox::fs::actor::{self, Place};
use crate::mailbox::fs::identity::IdentityThread;
use crate::mailbox::fs::modes::{self, mode_of};
use crate::mailbox::fs::{archived, holes, parent_of, system};

/// Symbolic links that are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// All, as the kernel does: the process was never root.
    All,
    /// Those that root alone could have made.
    Roots,
    None,
}

/// The rights with which a directory is used.
#[derive(Debug, Clone)]
pub(crate) struct Rights {
    pub links: Links,
    /// The thread that has them; this process itself by default.
    pub thread: Option<IdentityThread>,
}

impl Rights {
    /// The rights of this process, which was never root.
    pub(crate) const OWN: Rights = Rights { links: Links::All, thread: None };

    /// Runs `work` with these rights.
    pub(crate) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        match &self.thread {
            Some(thread) => thread.run(work),
            None => work(),
        }
    }
}

/// A path of the command line, and the rights with which everything below it is used.
#[derive(Debug)]
pub(crate) struct Root {
    /// The path as the user named it, as far as the first name in `below`.
    named: PathBuf,
    /// The same path without links.
    real: PathBuf,
    base: Arc<OwnedFd>,
    below: Vec<OsString>,
    /// A handle of the directory that `below` leads to, once it is one.
    inside: OnceLock<Arc<OwnedFd>>,
    rights: Rights,
    /// The thread that creates lock files next to it, if the actor may not.
    locks: Option<IdentityThread>,
}

impl Root {
    /// `locks` is for the lock file of a mailbox in a spool of root's.
    pub(crate) fn new(
        path: &Path,
        place: Place,
        thread: Option<IdentityThread>,
        locks: Option<IdentityThread>,
    ) -> io::Result<Root> {
        let Place { base, base_path, mut below, named, first, is_roots, .. } = place;
        let links = if is_roots { Links::Roots } else { Links::None };
        let cut = below.len().saturating_sub(named);
        // All that is below a user's directory is reached from a handle of it.
        let keep = if is_roots { below.len() } else { cut.max(1) };
        let path = std::path::absolute(path)?;
        let extra = below.len() - keep;
        below.truncate(keep);
        let named = path.components().take(path.components().count() - extra).collect();
        let mut real = base_path;
        real.extend(&below);
        let inside =
            first.filter(|it| keep == 1 && FileType::from_raw_mode(it.stat.st_mode) == FileType::Directory);
        let inside = inside.map_or_else(OnceLock::new, |first| OnceLock::from(Arc::new(first.fd)));
        Ok(Root { named, real, base: Arc::new(base), below, inside, rights: Rights { links, thread }, locks })
    }
}

impl Root {
    /// Returns what a normalized path names below this one. [`Path::strip_prefix`] would take most of a lookup's time.
    fn strip<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        let strip = |root: &Path| {
            let root = root.as_os_str().as_bytes();
            match path.as_os_str().as_bytes().strip_prefix(root)? {
                [] => Some(Path::new("")),
                [b'/', rest @ ..] => Some(Path::new(OsStr::from_bytes(rest))),
                rest if root.ends_with(b"/") => Some(Path::new(OsStr::from_bytes(rest))),
                _ => None,
            }
        };
        strip(&self.named).or_else(|| strip(&self.real))
    }

    /// Opens the directory that `below` leads to, if it is one.
    fn open_inside(&self) -> Option<Arc<OwnedFd>> {
        let (base, names) = (Arc::clone(&self.base), self.below.clone());
        let flags = system::LOOKUP | OFlags::DIRECTORY;
        let open = move || descend(base.as_fd(), &names, |dir, name| open_at(dir, name, flags));
        self.rights.run(open).ok().map(Arc::new)
    }
}

/// The roots of a process that was root; set once, when it has taken its identity.
#[derive(Debug)]
struct Roots {
    directory: PathBuf,
    list: Vec<Root>,
}

static ROOTS: OnceLock<Roots> = OnceLock::new();

/// From now on paths are looked up from these roots, and all others from `/`.
pub(crate) fn look_up_from(list: Vec<Root>) -> io::Result<()> {
    let directory = std::path::absolute(".")?;
    ROOTS.set(Roots { directory, list }).map_err(|_| io::Error::other("the identity was taken already"))
}

/// Reads a file that an option of root's names. No link of a user's is followed, and what a user has linked there from
/// elsewhere is refused.
///
/// # Errors
/// [`Error::Io`], and those of [`actor::resolve`].
pub(crate) fn read_as_root(path: &Path) -> Result<Vec<u8>, Error> {
    let place = actor::resolve(path)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let opened = descend(place.base.as_fd(), &place.below, |dir, name| open_at(dir, name, flags));
    let read = |fd: OwnedFd| {
        let mut bytes = Vec::new();
        let stat = rustix::fs::fstat(&fd)?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        match place.is_roots || is_file && stat.st_nlink == 1 && stat.st_uid == place.actor.uid() {
            true => File::from(fd).read_to_end(&mut bytes).map(|_| bytes),
            false => Err(io::Error::other("it is not a plain file of the directory's owner")),
        }
    };
    opened.map_err(io::Error::from).and_then(read).map_err(Error::io("read", path))
}

/// Reports whether a directory is below a place.
pub(crate) fn has_directory(place: &Place, name: &str) -> bool {
    let names: Vec<OsString> = place.below.iter().cloned().chain([name.into()]).collect();
    let flags = system::LOOKUP | OFlags::DIRECTORY;
    descend(place.base.as_fd(), &names, |dir, name| open_at(dir, name, flags)).is_ok()
}

/// Creates the first directory of a path that is missing in one of root's, and gives it to a user.
pub(crate) fn create_for(place: &Place, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
    descend(place.base.as_fd(), &place.below[..1], |dir, name| {
        rustix::fs::mkdirat(dir, name, Mode::RWXU)?;
        let made = open_at(dir, name, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::fchown(&made, Some(uid), Some(gid))?;
        rustix::fs::fchmod(&made, mode_of(mode))
    })?;
    Ok(())
}

/// A path to look up from a handle.
struct Location {
    base: Arc<OwnedFd>,
    /// Names from `base`; empty for `base` itself.
    names: Vec<OsString>,
    /// The path without links of roots above `base`.
    real: PathBuf,
    rights: Rights,
    /// It is a path of the command line, and not one below.
    is_root_itself: bool,
}

/// Finds the handle for a path; `None` if the process was never root.
fn locate(path: &Path) -> io::Result<Option<Location>> {
    let Some(roots) = ROOTS.get() else { return Ok(None) };
    let whole = normalize(roots.directory.join(path));
    let below = roots.list.iter().filter_map(|root| Some((root, root.strip(&whole)?)));
    let Some((root, rest)) = below.max_by_key(|(root, _)| root.real.as_os_str().len()) else {
        return elsewhere(&whole).map(Some);
    };
    let mut names = Vec::new();
    for component in rest.components() {
        match component {
            Component::Normal(name) => names.push(name.to_owned()),
            Component::ParentDir if !names.is_empty() && root.rights.links == Links::Roots => {
                names.pop();
            }
            Component::ParentDir => return Err(io::Error::other("`..` leads out of the mailbox")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    let mut real = root.real.clone();
    real.extend(&names);
    // What is missing at first is a directory later.
    if root.inside.get().is_none()
        && !names.is_empty()
        && let Some(inside) = root.open_inside()
    {
        let _ = root.inside.set(inside);
    }
    let base = match root.inside.get() {
        Some(inside) => Arc::clone(inside),
        None => {
            names.splice(..0, root.below.iter().cloned());
            Arc::clone(&root.base)
        }
    };
    let is_root_itself = rest.as_os_str().is_empty();
    Ok(Some(Location { base, names, real, rights: root.rights.clone(), is_root_itself }))
}

/// Removes `.` and double slashes, so that paths can be compared byte by byte.
fn normalize(path: PathBuf) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    let has = |part: &[u8]| memchr::memmem::find(bytes, part).is_some();
    match has(b"//") || has(b"/./") || bytes.ends_with(b"/.") {
        true => path.components().collect(),
        false => path,
    }
}

/// Looks up a path that was not named on the command line, such as a directory for temporary files.
fn elsewhere(path: &Path) -> io::Result<Location> {
    let place = resolve(path)?;
    let real = place.real_path();
    let links = if place.is_roots { Links::Roots } else { Links::None };
    let rights = Rights { links, thread: None };
    let base = Arc::new(place.base);
    Ok(Location { base, names: place.below, real, rights, is_root_itself: true })
}

fn resolve(path: &Path) -> io::Result<Place> {
    actor::resolve(path).map_err(|error| match error {
        Error::Io { source, .. } => source,
        Error::Unsupported { reason, .. } => io::Error::other(reason),
        error => io::Error::other(error.to_string()),
    })
}

impl Location {
    /// Runs a call on the last name, in the directory that has it. No link is followed on the way, except root's.
    fn at<T: Send + 'static>(
        &self,
        call: impl Fn(BorrowedFd<'_>, &OsStr) -> Result<T, Errno> + Send + 'static,
    ) -> io::Result<T> {
        let (base, names, real) = (Arc::clone(&self.base), self.names.clone(), self.real.clone());
        let links = self.rights.links;
        self.rights.run(move || match descend(base.as_fd(), &names, &call) {
            // One of the names may be a link, and root's.
            Err(Errno::LOOP) if links == Links::Roots => {
                let place = resolve(&real)?;
                Ok(descend(place.base.as_fd(), &place.below, &call)?)
            }
            result => Ok(result?),
        })
    }
}

/// Runs a call on a name in a directory, with the rights for it. A name of several parts is looked up part by part.
pub(crate) fn on<T: Send + 'static>(
    dir: &Arc<OwnedFd>,
    name: &OsStr,
    rights: &Rights,
    call: impl Fn(BorrowedFd<'_>, &OsStr) -> Result<T, Errno> + Send + 'static,
) -> Result<T, Errno> {
    match &rights.thread {
        None => descend_name(dir.as_fd(), name, call),
        Some(thread) => {
            let (dir, names) = (Arc::clone(dir), parts(name));
            thread.run(move || descend(dir.as_fd(), &names, call))
        }
    }
}

/// Runs a call like [`on`], and fails where the rights are another user's.
pub(crate) fn on_own<T>(
    dir: &OwnedFd,
    name: &OsStr,
    rights: &Rights,
    call: impl Fn(BorrowedFd<'_>, &OsStr) -> Result<T, Errno>,
) -> Result<T, Errno> {
    match rights.thread {
        None => descend_name(dir.as_fd(), name, call),
        Some(_) => Err(Errno::PERM),
    }
}

fn parts(name: &OsStr) -> Vec<OsString> {
    Path::new(name).iter().map(OsStr::to_owned).collect()
}

/// Runs a call on the last part of a name; see [`descend`].
fn descend_name<T>(
    base: BorrowedFd<'_>,
    name: &OsStr,
    call: impl Fn(BorrowedFd<'_>, &OsStr) -> Result<T, Errno>,
) -> Result<T, Errno> {
    // Nearly every name is from a listing.
    match memchr::memchr(b'/', name.as_bytes()) {
        None if !name.is_empty() => call(base, name).map_err(|errno| name_link(base, name, errno)),
        _ => descend(base, &parts(name), call),
    }
}

/// Opens the directories that `names` lead through, one by one, and runs a call on the last name.
fn descend<T>(
    base: BorrowedFd<'_>,
    names: &[OsString],
    call: impl Fn(BorrowedFd<'_>, &OsStr) -> Result<T, Errno>,
) -> Result<T, Errno> {
    let Some((last, above)) = names.split_last() else { return call(base, OsStr::new(".")) };
    let mut held: Option<OwnedFd> = None;
    for name in above {
        let at = held.as_ref().map_or(base, |fd| fd.as_fd());
        let opened = open_at(at, name, system::LOOKUP | OFlags::DIRECTORY);
        held = Some(opened.map_err(|errno| name_link(at, name, errno))?);
    }
    let at = held.as_ref().map_or(base, |fd| fd.as_fd());
    call(at, last).map_err(|errno| name_link(at, last, errno))
}

/// Turns "not a directory" into "a symbolic link", where that is the reason.
fn name_link(dir: BorrowedFd<'_>, name: &OsStr, errno: Errno) -> Errno {
    let is_link = || {
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
    };
    if errno == Errno::NOTDIR && is_link() { Errno::LOOP } else { errno }
}

/// Opens a name. A symbolic link is an error.
fn open_at(dir: BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    system::open_at(dir, name, flags, Mode::empty())
}

/// Opens a directory for listing and flushing, with the rights for what is in it.
pub(crate) fn open_directory(path: &Path) -> io::Result<(OwnedFd, Rights)> {
    const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
    match locate(path)? {
        None => {
            let fd = system::open_at(CWD, path.as_os_str(), FLAGS, Mode::empty())?;
            Ok((fd, Rights::OWN))
        }
        Some(at) => Ok((at.at(|dir, name| open_at(dir, name, FLAGS))?, at.rights)),
    }
}

/// Opens the directory in which the lock file of a mailbox is, and returns the path of the mailbox without links.
pub(crate) fn open_lock_directory(mailbox: &Path) -> io::Result<(OwnedFd, Rights, PathBuf)> {
    let Some(roots) = ROOTS.get() else {
        let real = match mailbox.is_symlink() {
            true => mailbox.canonicalize()?,
            false => mailbox.to_owned(),
        };
        let (fd, rights) = open_directory(parent_of(&real))?;
        return Ok((fd, rights, real));
    };
    let real = canonicalize(mailbox).or_else(|e| match e.kind() {
        io::ErrorKind::NotFound => Ok(roots.directory.join(mailbox)),
        _ => Err(e),
    })?;
    let is_it = |root: &&Root| root.real == real || root.named == real;
    let Some(root) = roots.list.iter().find(is_it) else {
        let (fd, rights) = open_directory(parent_of(&real))?;
        return Ok((fd, rights, real));
    };
    // The mailbox itself was named: its directory is not below it.
    let thread = root.locks.as_ref().or(root.rights.thread.as_ref()).cloned();
    let rights = Rights { links: Links::None, thread };
    let (base, names) = (Arc::clone(&root.base), root.below.clone());
    let fd = rights.run(move || {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        descend(base.as_fd(), &names, |dir, _| open_at(dir, OsStr::new("."), flags))
    })?;
    Ok((fd, rights, real))
}

/// Opens a file for reading. A FIFO is not waited for.
pub(crate) fn open(path: impl AsRef<Path>) -> io::Result<File> {
    open_with(path.as_ref(), OFlags::RDONLY)
}

/// Opens a file that exists. A FIFO is not waited for.
pub(crate) fn open_with(path: &Path, flags: OFlags) -> io::Result<File> {
    if let Some(member) = archived::find(path) {
        return match flags {
            OFlags::RDONLY => member?.open(),
            _ => Err(Errno::ROFS.into()),
        };
    }
    let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = match locate(path)? {
        None => system::open_at(CWD, path.as_os_str(), flags, Mode::empty())?,
        Some(at) => at.at(move |dir, name| open_at(dir, name, flags))?,
    };
    Ok(File::from(fd))
}

/// Reads a regular file that is not a message: a list or a manifest. Another user may have put anything under the
/// name: no FIFO is waited for, and no endless device and no file of holes is read.
pub(crate) fn read_regular(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let (file, size) = open_regular(path.as_ref())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(size).unwrap_or(0).saturating_add(1))?;
    // `File::read_to_end` would query the size again.
    file.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens a file for [`read_regular`], and returns its size.
pub(crate) fn open_regular(path: &Path) -> io::Result<(File, u64)> {
    let file = match ROOTS.get() {
        _ if archived::is_member(path) => open(path)?,
        None => File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?,
        Some(_) => open(path)?,
    };
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if holes::exceed(&file, meta.len(), 1 << 20)? {
        return Err(io::Error::other("it is a sparse file"));
    }
    Ok((file, meta.len()))
}

/// Reports whether paths are looked up by handles: this process was root.
pub(crate) fn is_by_handle() -> bool {
    ROOTS.get().is_some()
}

/// Returns the state of a file. A link is followed like by [`open`].
pub(crate) fn stat(path: &Path) -> io::Result<Stat> {
    if let Some(member) = archived::find(path) {
        return Ok(member?.stat());
    }
    match locate(path)? {
        None => Ok(rustix::fs::stat(path)?),
        Some(at) => at.at(stat_at),
    }
}

/// Returns the size of a file; 0 for a file that cannot be looked up.
#[allow(clippy::unnecessary_cast)] // the type differs between architectures
pub(crate) fn size(path: &Path) -> u64 {
    stat(path).map_or(0, |stat| stat.st_size as u64)
}

/// Returns the state of a file in a directory. A link is an error.
fn stat_at(dir: BorrowedFd<'_>, name: &OsStr) -> Result<Stat, Errno> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => Err(Errno::LOOP),
        _ => Ok(stat),
    }
}

/// What is known of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Metadata(Stat);

impl From<Stat> for Metadata {
    fn from(stat: Stat) -> Metadata {
        Metadata(stat)
    }
}

#[allow(clippy::unnecessary_cast)] // the types differ between architectures
impl Metadata {
    /// Asks an open file.
    pub(crate) fn of(file: impl AsFd) -> io::Result<Metadata> {
        Ok(Metadata(rustix::fs::fstat(file)?))
    }

    pub(crate) fn stat(&self) -> &Stat {
        &self.0
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.file_type() == FileType::Directory
    }

    pub(crate) fn is_file(&self) -> bool {
        self.file_type() == FileType::RegularFile
    }

    pub(crate) fn is_symlink(&self) -> bool {
        self.file_type() == FileType::Symlink
    }

    fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.0.st_mode)
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.st_size as u64
    }

    pub(crate) fn mode(&self) -> u32 {
        modes::bits_of(&self.0)
    }

    pub(crate) fn uid(&self) -> u32 {
        self.0.st_uid
    }

    pub(crate) fn gid(&self) -> u32 {
        self.0.st_gid
    }

    /// Returns the time of the last access, in seconds since 1970.
    pub(crate) fn atime(&self) -> i64 {
        self.0.st_atime as i64
    }

    /// Returns the modification time, in seconds since 1970.
    pub(crate) fn mtime(&self) -> i64 {
        self.0.st_mtime as i64
    }
}

/// Returns what is known of a file. A link is followed like by [`open`].
pub(crate) fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    stat(path.as_ref()).map(Metadata)
}

/// Returns what is known of a name; a link is not followed.
pub(crate) fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref();
    if let Some(member) = archived::find_itself(path) {
        return Ok(Metadata(member?.stat()));
    }
    let Some(mut at) = locate(path)? else { return Ok(Metadata(rustix::fs::lstat(path)?)) };
    // A path of the command line that is root's has its links followed: this one may be a link itself.
    if at.is_root_itself && at.rights.links == Links::Roots {
        let above = resolve(parent_of(path))?;
        at.base = Arc::new(above.base);
        at.names = above.below;
        at.names.extend(path.file_name().map(OsStr::to_owned));
    }
    at.at(|dir, name| rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)).map(Metadata)
}

/// Returns the path without links.
pub(crate) fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref();
    if let Some(real) = archived::canonicalize(path) {
        return real;
    }
    let Some(at) = locate(path)? else { return std::fs::canonicalize(path) };
    let Location { base, names, real, rights, .. } = at;
    rights.clone().run(move || match descend(base.as_fd(), &names, stat_at) {
        // One of the names may be a link, and root's.
        Err(Errno::LOOP) if rights.links == Links::Roots => {
            let place = resolve(&real)?;
            match place.exists {
                true => Ok(place.real_path()),
                false => Err(io::ErrorKind::NotFound.into()),
            }
        }
        stat => Ok(stat.map(|_| real)?),
    })
}

/// Returns the first symbolic link on the way that is not followed, because a user could lead root by it.
pub(crate) fn refused_link(path: &Path) -> Option<PathBuf> {
    let at = locate(path).ok()??;
    if at.rights.links != Links::None {
        return None;
    }
    let mut names: Vec<&Path> = path.ancestors().take(at.names.len()).collect();
    names.reverse();
    names.into_iter().find(|name| is_symlink(name)).map(Path::to_owned)
}

/// Returns the nearest directory that exists.
pub(crate) fn nearest_dir(path: &Path) -> &Path {
    path.ancestors().find(|path| is_dir(path)).unwrap_or(Path::new("."))
}

/// Reports whether the path leads to a directory.
pub(crate) fn is_dir(path: impl AsRef<Path>) -> bool {
    kind(path.as_ref()) == Some(FileType::Directory)
}

/// Reports whether the path leads to a regular file.
pub(crate) fn is_file(path: impl AsRef<Path>) -> bool {
    kind(path.as_ref()) == Some(FileType::RegularFile)
}

/// Reports whether the path leads to anything.
pub(crate) fn exists(path: impl AsRef<Path>) -> bool {
    kind(path.as_ref()).is_some()
}

fn kind(path: &Path) -> Option<FileType> {
    stat(path).ok().map(|stat| FileType::from_raw_mode(stat.st_mode))
}

/// Reports whether the last name is a symbolic link.
pub(crate) fn is_symlink(path: impl AsRef<Path>) -> bool {
    symlink_metadata(path).is_ok_and(|meta| meta.is_symlink())
}
