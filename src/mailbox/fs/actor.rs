//! The actor of a path: the user in whose place root acts there.
//!
//! A path is resolved one component at a time, from `/`. As long as root alone can change every component, symbolic
//! links are root's and are followed. The first component that another user owns, or could exchange, ends that. Its
//! owner is the actor, and no link is followed from there on.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::mailbox::fs::identity::mail_group;
use crate::mailbox::fs::{modes, system};
use crate::mailbox::{Error, Result, display_path};

/// Symbolic links in one path, as many as Linux follows.
const MAX_LINKS: u32 = 40;
const STICKY: u32 = 0o1000;
const GROUP_WRITABLE: u32 = 0o020;
const OTHERS_WRITABLE: u32 = 0o002;

/// The user in whose place root acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actor {
    Root,
    User {
        uid: u32,
        /// The group of the first component that is the user's.
        gid: u32,
    },
}

impl Actor {
    /// Returns the actor with these numbers.
    pub(crate) fn new(uid: u32, gid: u32) -> Actor {
        if uid == 0 { Actor::Root } else { Actor::User { uid, gid } }
    }

    /// Returns the number of the user.
    pub(crate) fn uid(self) -> u32 {
        match self {
            Actor::Root => 0,
            Actor::User { uid, .. } => uid,
        }
    }

    /// Returns the number of the group.
    pub(crate) fn gid(self) -> u32 {
        match self {
            Actor::Root => 0,
            Actor::User { gid, .. } => gid,
        }
    }
}

/// A name that was looked up: a handle for lookups only (O_PATH), and what it is.
#[derive(Debug)]
pub(crate) struct OpenedName {
    pub fd: OwnedFd,
    pub stat: Stat,
}

/// A path as far as root alone can change it, and what is below.
#[derive(Debug)]
pub(crate) struct Place {
    pub actor: Actor,
    /// The last directory that root alone can change; a handle for lookups only (O_PATH).
    pub base: OwnedFd,
    /// The path of `base`, without links.
    pub base_path: PathBuf,
    /// The permissions and owners of `base`.
    pub base_stat: Stat,
    /// Names below `base`. None of them is a link.
    pub below: Vec<OsString>,
    /// How many of the last names were in the path as it was named, and not in the target of a link.
    pub named: usize,
    /// The path as it was named.
    pub path: PathBuf,
    /// The first name in `below`, if it exists.
    pub first: Option<OpenedName>,
    /// Does the whole path exist?
    pub exists: bool,
    /// Root alone can change all of it, `below` included.
    pub is_roots: bool,
}

impl Place {
    /// Returns the path without links.
    pub(crate) fn real_path(&self) -> PathBuf {
        let mut path = self.base_path.clone();
        path.extend(&self.below);
        path
    }

    /// Reports whether all users may create files where this one is missing.
    pub(crate) fn is_open_to_all(&self) -> bool {
        modes::bits_of(&self.base_stat) & OTHERS_WRITABLE != 0
    }

    /// Reports whether it is an entry of a directory that only root and group mail write to: a mail spool.
    pub(crate) fn is_spool_entry(&self) -> bool {
        self.below.len() == 1 && !self.is_open_to_all()
    }
}

/// Resolves a path, and finds its actor. What is missing belongs to the actor of the directory that it would be in.
///
/// # Errors
/// [`Error::Unsupported`] for a path with parts of two users or a user's link, or on a system where root cannot act for
/// users; and [`Error::Io`].
pub(crate) fn resolve(path: &Path) -> Result<Place> {
    if !system::ROOT_ACTS_FOR_USERS {
        let reason = "root cannot use mailboxes on this system; run the command as the user whose it is";
        return Err(refuse(path, reason.into()));
    }
    let absolute = std::path::absolute(path).map_err(Error::io("look up", path))?;
    Walk::new(path).map_err(Error::io("look up", path))?.run(&absolute)
}

/// Fails unless root alone can change all of a path, as far as it exists.
///
/// # Errors
/// [`Error::Unsupported`] with the path at fault.
pub(crate) fn require_root_only(path: &Path) -> Result<()> {
    let place = resolve(path)?;
    let mode = place.first.as_ref().map_or(0, |first| modes::bits_of(&first.stat) & 0o7777);
    let why = match place.actor {
        Actor::User { uid, .. } => format!("it belongs to user {uid}"),
        // The last name is to be root's alone, even if it is a sticky directory.
        Actor::Root if place.is_roots && mode & (GROUP_WRITABLE | OTHERS_WRITABLE) == 0 => return Ok(()),
        Actor::Root => {
            let who = if mode & GROUP_WRITABLE == 0 { "o-w" } else { "go-w" };
            format!("others may write to it (mode {mode:04o}); run chmod {who} on it")
        }
    };
    Err(refuse(&place.base_path.join(&place.below[0]), why))
}

/// Reports whether users other than the owner may change a directory. Group mail does not count, and in a sticky
/// directory nobody can change the names of others.
fn is_shared(stat: &Stat) -> bool {
    let mode = modes::bits_of(stat);
    let is_trusted_group = || mail_group() == Some(stat.st_gid);
    mode & STICKY == 0 && (mode & OTHERS_WRITABLE != 0 || mode & GROUP_WRITABLE != 0 && !is_trusted_group())
}

fn refuse(path: &Path, reason: String) -> Error {
    Error::Unsupported { path: path.to_owned(), reason }
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// One name to look up.
struct Part {
    name: OsString,
    /// It is in the path as it was named.
    is_named: bool,
}

struct Walk<'a> {
    path: &'a Path,
    /// Directories from `/` on that root alone can change, with their names.
    dirs: Vec<(OwnedFd, Stat, OsString)>,
    todo: VecDeque<Part>,
    links: u32,
}

impl<'a> Walk<'a> {
    fn new(path: &'a Path) -> io::Result<Walk<'a>> {
        let root = open(CWD, OsStr::new("/"))?;
        let stat = rustix::fs::fstat(&root)?;
        Ok(Walk { path, dirs: vec![(root, stat, OsString::new())], todo: VecDeque::new(), links: 0 })
    }

    fn run(mut self, absolute: &Path) -> Result<Place> {
        self.push(absolute, true);
        while let Some(part) = self.todo.pop_front() {
            if part.name == ".." {
                if self.dirs.len() > 1 {
                    self.dirs.pop();
                }
                continue;
            }
            let Some(found) = self.look_up(&part.name)? else { return Ok(self.end(part, None, true)) };
            let OpenedName { fd, stat } = &found;
            if stat.st_uid != 0 {
                let actor = Actor::User { uid: stat.st_uid, gid: stat.st_gid };
                return self.check_below(part, found, actor);
            }
            match kind(stat) {
                FileType::Symlink => self.follow(fd, &part.name)?,
                FileType::Directory if is_shared(stat) => return self.check_below(part, found, Actor::Root),
                FileType::Directory if !self.todo.is_empty() => {
                    self.dirs.push((found.fd, found.stat, part.name));
                }
                _ => return Ok(self.end(part, Some(found), true)),
            }
        }
        // The path is `/`, or ends in `..`.
        let (fd, stat, name) = match self.dirs.len() {
            1 => return Ok(self.end_at_root()),
            _ => self.dirs.pop().unwrap_or_else(|| unreachable!("there are two")),
        };
        Ok(self.end(Part { name, is_named: true }, Some(OpenedName { fd, stat }), true))
    }

    fn push(&mut self, path: &Path, is_named: bool) {
        for component in path.components().rev() {
            let name = match component {
                Component::Normal(name) => name.to_owned(),
                Component::ParentDir => OsString::from(".."),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => continue,
            };
            self.todo.push_front(Part { name, is_named });
        }
    }

    fn at(&self, name: &OsStr) -> PathBuf {
        self.base_path().join(name)
    }

    fn base_path(&self) -> PathBuf {
        let mut path = PathBuf::from("/");
        path.extend(self.dirs.iter().map(|(_, _, name)| name).filter(|name| !name.is_empty()));
        path
    }

    fn look_up(&self, name: &OsStr) -> Result<Option<OpenedName>> {
        let (base, ..) = self.dirs.last().unwrap_or_else(|| unreachable!("`/` is always there"));
        look_up(base.as_fd(), name).map_err(|e| Error::io("look up", self.at(name))(e.into()))
    }

    fn follow(&mut self, link: &OwnedFd, name: &OsStr) -> Result<()> {
        let at = self.at(name);
        if self.links == MAX_LINKS {
            return Err(Error::io("look up", at)(Errno::LOOP.into()));
        }
        self.links += 1;
        let target = rustix::fs::readlinkat(link, "", Vec::new());
        let target = target.map_err(|e| Error::io("read the link", &at)(e.into()))?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        if target.is_absolute() {
            self.dirs.truncate(1);
        }
        self.push(&target, false);
        Ok(())
    }

    /// Checks that all below is one user's, without following a link.
    fn check_below(mut self, part: Part, found: OpenedName, mut actor: Actor) -> Result<Place> {
        let mut at = self.at(&part.name);
        let (mut parent, mut last) = (None, Some(found));
        for next in self.todo.iter().map(|part| Some(&part.name)).chain([None]) {
            let Some(OpenedName { fd, stat }) = last.take() else { break };
            let uid = stat.st_uid;
            match actor {
                Actor::Root if uid != 0 => actor = Actor::User { uid, gid: stat.st_gid },
                Actor::User { uid: owner, .. } if uid != 0 && uid != owner => {
                    let text = format!(
                        "belongs to user {uid}, and the directory that it is in to user {owner}; root acts for \
                         one user only: run the command as that user"
                    );
                    return Err(refuse(&at, text));
                }
                _ => {}
            }
            if kind(&stat) == FileType::Symlink {
                let text = "is a symbolic link that a user could have created, and root follows only links that only root can create; name its target";
                return Err(refuse(&at, text.into()));
            }
            let Some(name) = next else {
                last = Some(OpenedName { fd, stat });
                break;
            };
            if name == ".." {
                let text = "leads upwards from a directory that is not root's; name the path without `..`";
                return Err(refuse(self.path, text.into()));
            }
            at.push(name);
            last = look_up(fd.as_fd(), name).map_err(|e| Error::io("look up", &at)(e.into()))?;
            parent = parent.or(Some(OpenedName { fd, stat }));
        }
        let exists = last.is_some();
        let first = parent.or(last);
        let mut place = self.end(part, first, false);
        place.actor = actor;
        place.exists = exists;
        Ok(place)
    }

    fn end(&mut self, part: Part, first: Option<OpenedName>, is_roots: bool) -> Place {
        let base_path = self.base_path();
        let (base, base_stat, _) = self.dirs.pop().unwrap_or_else(|| unreachable!("`/` is always there"));
        let parts: Vec<Part> = std::iter::once(part).chain(self.todo.drain(..)).collect();
        Place {
            actor: Actor::Root,
            path: self.path.to_owned(),
            base,
            base_path,
            base_stat,
            named: parts.iter().filter(|part| part.is_named).count(),
            exists: first.is_some() && parts.len() == 1,
            below: parts.into_iter().map(|part| part.name).collect(),
            first,
            is_roots,
        }
    }

    fn end_at_root(mut self) -> Place {
        let mut place = self.end(Part { name: ".".into(), is_named: false }, None, true);
        place.exists = true;
        place
    }
}

fn look_up(base: BorrowedFd<'_>, name: &OsStr) -> Result<Option<OpenedName>, Errno> {
    match open(base, name) {
        Ok(fd) => {
            let stat = rustix::fs::fstat(&fd)?;
            Ok(Some(OpenedName { fd, stat }))
        }
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(e) => Err(e),
    }
}

fn open(base: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    system::open_at(base, name, system::LOOKUP | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Names the actor in a message.
pub(crate) fn describe(actor: Actor) -> String {
    match actor {
        Actor::Root => "root".into(),
        Actor::User { uid, .. } => format!("user {uid}"),
    }
}

/// Says that `place` has another actor than `first`, in one command.
pub(crate) fn two_actors(first: &Place, place: &Place, remedy: &str) -> Error {
    let reason = format!(
        "belongs to {}, and {} to {}; {remedy}",
        describe(place.actor),
        display_path(&first.path),
        describe(first.actor)
    );
    refuse(&place.path, reason)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, lchown, symlink};

    use super::*;

    const JOE: u32 = 24011;
    const ANN: u32 = 24012;

    /// A directory of root's that users may enter.
    fn scratch() -> Option<(tempfile::TempDir, PathBuf)> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let temp = tempfile::tempdir().unwrap();
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = temp.path().canonicalize().unwrap();
        Some((temp, path))
    }

    fn dir(path: &Path, uid: u32, gid: u32, mode: u32) {
        fs::create_dir(path).unwrap();
        lchown(path, Some(uid), Some(gid)).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn file(path: &Path, uid: u32) {
        fs::write(path, "").unwrap();
        lchown(path, Some(uid), Some(uid)).unwrap();
    }

    fn link(to: impl AsRef<Path>, path: &Path, uid: u32) {
        symlink(to, path).unwrap();
        lchown(path, Some(uid), Some(uid)).unwrap();
    }

    fn actor(path: &Path) -> u32 {
        resolve(path).unwrap().actor.uid()
    }

    fn refused(path: &Path) -> String {
        resolve(path).unwrap_err().to_string()
    }

    #[test]
    fn the_first_component_that_is_not_roots_has_the_actor() {
        let Some((_temp, top)) = scratch() else { return };
        dir(&top.join("joe"), JOE, JOE, 0o700);
        dir(&top.join("joe/Maildir"), JOE, JOE, 0o700);
        dir(&top.join("own"), 0, 0, 0o755);
        file(&top.join("joe/roots"), 0);
        for (path, uid) in [
            ("joe", JOE),
            ("joe/Maildir", JOE),
            ("joe/absent", JOE),
            ("joe/absent/too", JOE),
            ("joe/roots", JOE),
            ("own", 0),
            ("own/absent", 0),
            ("absent", 0),
            ("own/../joe/Maildir", JOE),
        ] {
            assert_eq!(actor(&top.join(path)), uid, "{path}");
        }
        let place = resolve(&top.join("joe/Maildir")).unwrap();
        assert_eq!((place.base_path.as_path(), place.named), (&*top, 2));
        assert_eq!(place.below, ["joe", "Maildir"]);
        assert_eq!(actor(Path::new("/")), 0);
        assert_eq!(actor(Path::new("/..")), 0);
    }

    #[test]
    fn roots_links_are_followed_and_no_others() {
        let Some((_temp, top)) = scratch() else { return };
        dir(&top.join("joe"), JOE, JOE, 0o700);
        dir(&top.join("own"), 0, 0, 0o755);
        link("joe", &top.join("relative"), 0);
        link(top.join("own"), &top.join("absolute"), 0);
        link(top.join("own"), &top.join("joe/link"), JOE);
        link(top.join("own"), &top.join("joe/roots-link"), 0);
        link(top.join("own"), &top.join("theirs"), ANN);
        link("loop", &top.join("loop"), 0);
        assert_eq!(actor(&top.join("relative/Maildir")), JOE);
        assert_eq!(resolve(&top.join("relative/x")).unwrap().real_path(), top.join("joe/x"));
        assert_eq!(resolve(&top.join("relative/x")).unwrap().named, 1);
        assert_eq!(actor(&top.join("absolute/x")), 0);
        assert_eq!(resolve(&top.join("absolute/x")).unwrap().real_path(), top.join("own/x"));
        for name in ["joe/link", "joe/link/x", "joe/roots-link", "theirs", "theirs/x"] {
            assert!(refused(&top.join(name)).contains("symbolic link that a user"), "{name}");
        }
        assert!(matches!(resolve(&top.join("loop")), Err(Error::Io { .. })));
        assert!(refused(&top.join("joe/../own")).contains("without `..`"));
    }

    #[test]
    fn two_users_on_one_path_are_refused() {
        let Some((_temp, top)) = scratch() else { return };
        dir(&top.join("joe"), JOE, JOE, 0o777);
        dir(&top.join("joe/anns"), ANN, ANN, 0o777);
        file(&top.join("joe/anns/mbox"), ANN);
        let message = refused(&top.join("joe/anns/mbox"));
        assert!(message.starts_with(&top.join("joe/anns").display().to_string()), "{message}");
        assert!(message.contains("24012") && message.contains("24011"), "{message}");
    }

    #[test]
    fn spools_and_sticky_directories_count_as_roots() {
        let Some((_temp, top)) = scratch() else { return };
        dir(&top.join("sticky"), 0, 0, 0o1777);
        dir(&top.join("spool"), 0, mail_group().unwrap_or(0), 0o2775);
        for name in ["sticky", "spool"] {
            file(&top.join(name).join("joe"), JOE);
            assert_eq!(actor(&top.join(name)), 0);
            assert_eq!(actor(&top.join(name).join("joe")), JOE);
            assert_eq!(actor(&top.join(name).join("absent")), 0);
            assert!(require_root_only(&top.join(name).join("absent")).is_ok());
            assert!(require_root_only(&top.join(name)).is_err());
        }
        assert!(resolve(&top.join("spool/joe")).unwrap().is_spool_entry());
        assert!(!resolve(&top.join("sticky/joe")).unwrap().is_spool_entry());
    }

    #[test]
    fn a_directory_that_others_may_change_hides_no_link() {
        let Some((_temp, top)) = scratch() else { return };
        dir(&top.join("open"), 0, 0, 0o777);
        dir(&top.join("group"), 0, JOE, 0o775);
        dir(&top.join("own"), 0, 0, 0o755);
        for name in ["open", "group"] {
            let at = top.join(name);
            file(&at.join("roots"), 0);
            file(&at.join("joes"), JOE);
            link(top.join("own"), &at.join("link"), 0);
            assert_eq!((actor(&at.join("roots")), actor(&at.join("joes"))), (0, JOE));
            assert!(refused(&at.join("link")).contains("symbolic link"));
            assert!(!resolve(&at.join("roots")).unwrap().is_roots);
            let message = require_root_only(&at.join("roots")).unwrap_err().to_string();
            assert!(message.contains("others may write to it") && message.contains("chmod"), "{message}");
        }
        let message = require_root_only(&top.join("open/joes")).unwrap_err().to_string();
        assert!(message.contains("belongs to user 24011"), "{message}");
    }
}
