//! The identity with which a command works.
//!
//! Root acts for the users whose mailboxes a command names, and as one of them: see mailbox/fs/actor.rs. What another
//! user owns is read on a thread that has that user's rights.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use crate::mailbox::fs::actor::{self, Actor, OpenedName, Place};
use crate::mailbox::fs::files::{self, Root};
use crate::mailbox::fs::identity::{self, By, Identity, IdentityThread, account, group_of};
use crate::mailbox::fs::modes;
use crate::mailbox::{Error, Result, display_path};
use crate::transport::failure::{Failure, FailureReason};

/// Variables that a command in a user's place keeps: they are about the terminal, the language and the time zone.
const HARMLESS: [&str; 9] =
    ["TZ", "LANG", "LC_ALL", "LC_CTYPE", "TERM", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"];

/// A user and a group, as `--owner` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub uid: u32,
    /// The group; the user's own by default.
    pub gid: Option<u32>,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.gid {
            Some(gid) => write!(f, "{}:{gid}", self.uid),
            None => self.uid.fmt(f),
        }
    }
}

/// The paths that a command reads and writes.
#[derive(Debug, Default)]
pub(crate) struct Paths<'a> {
    pub written: Vec<&'a Path>,
    pub read: Vec<&'a Path>,
    /// The user to act as.
    pub owner: Option<Owner>,
    /// The mode of a destination of this user's that is missing in a directory of root's, where the user cannot create
    /// it; `None` if it is not to be created.
    pub directory_mode: Option<u32>,
    /// The same for the first missing directory above a destination.
    pub parents_mode: Option<u32>,
    /// Lock files are created next to mailboxes.
    pub locks: bool,
}

/// Takes the identity for these paths, permanently. Does nothing without root.
///
/// # Errors
/// [`Error::Unsupported`] for paths of several users that cannot be separated.
pub(crate) fn take(paths: &Paths<'_>) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return check_own(paths.owner);
    }
    let resolve = |path: &&'_ Path| actor::resolve(path);
    let mut written = paths.written.iter().map(resolve).collect::<Result<Vec<_>>>()?;
    let read = paths.read.iter().map(resolve).collect::<Result<Vec<_>>>()?;
    let main = match paths.owner {
        Some(owner) => {
            written.iter().try_for_each(|place| check_owner(place, owner))?;
            let user = written.iter().map(|place| place.actor).find(|actor| *actor != Actor::Root);
            let group = user.map_or(0, Actor::gid);
            Actor::new(owner.uid, owner.gid.unwrap_or(group))
        }
        None => common_actor(&written)?.unwrap_or_else(|| least_powerful(&read)),
    };
    let failed = |e: io::Error| Error::io("take the identity of its owner", named_first(paths))(e);
    let own = match main {
        Actor::Root => None,
        Actor::User { uid, gid } => {
            let group = paths.owner.and_then(|owner| owner.gid);
            Some(identity_of(uid, gid, group, named_first(paths))?)
        }
    };
    if let Some(own) = &own {
        for place in &mut written {
            let mode = if place.below.len() == 1 { paths.directory_mode } else { paths.parents_mode };
            let is_missing = place.actor == Actor::Root && !place.exists && !place.is_open_to_all();
            if let Some(mode) = mode.filter(|_| is_missing) {
                files::create_for(place, own.uid, own.gid, mode)
                    .map_err(Error::io("create the directory", &place.path))?;
                *place = actor::resolve(&place.path)?;
            }
        }
    }
    let mut threads = IdentityThreads::default();
    let is_separate = |place: &Place| place.actor.uid() != main.uid();
    if main != Actor::Root || read.iter().any(is_separate) {
        identity::forbid_new_privileges().map_err(failed)?;
        drop_environment(&HARMLESS);
    }
    let mut roots = Vec::new();
    for (n, place) in written.into_iter().chain(read).enumerate() {
        let path = place.path.clone();
        let is_read = n >= paths.written.len();
        let reader = if is_out_of_reach(&place) { Actor::Root } else { place.actor };
        if is_read && main != Actor::Root && reader.uid() != main.uid() {
            refuse_further_names(&place)?;
        }
        let thread = match is_read && reader.uid() != main.uid() {
            true => Some(threads.get(reader, &path)?),
            false => None,
        };
        let is_spool = paths.locks && place.actor != Actor::Root && place.is_spool_entry();
        let locks = if is_spool { Some(threads.get(Actor::Root, &path)?) } else { None };
        roots.push(Root::new(&path, place, thread, locks).map_err(failed)?);
    }
    if let Some(own) = &own {
        identity::take(own).map_err(failed)?;
    }
    if own.is_some() || !threads.0.is_empty() {
        identity::seclude().map_err(failed)?;
    }
    files::look_up_from(roots).map_err(failed)
}

/// Takes the identity of the one user whose these directories are. If they are several users', root stays root, and
/// must refuse what is not root's alone.
pub(crate) fn take_if_common(directories: &[PathBuf]) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let places = directories.iter().map(|path| actor::resolve(path)).collect::<Result<Vec<_>>>()?;
    let first = places.first().map_or(Actor::Root, |place| place.actor);
    let is_common = places.iter().all(|place| place.actor.uid() == first.uid());
    let written = directories.iter().filter(|_| is_common).map(PathBuf::as_path).collect();
    take(&Paths { written, locks: true, ..Paths::default() })
}

fn named_first<'a>(paths: &Paths<'a>) -> &'a Path {
    paths.written.first().or(paths.read.first()).copied().unwrap_or(Path::new("."))
}

/// The threads with other identities than this process's own, by user.
#[derive(Default)]
struct IdentityThreads(HashMap<u32, IdentityThread>);

impl IdentityThreads {
    fn get(&mut self, actor: Actor, path: &Path) -> Result<IdentityThread> {
        if let Some(thread) = self.0.get(&actor.uid()) {
            return Ok(thread.clone());
        }
        let identity = match actor {
            Actor::Root => None,
            Actor::User { uid, gid } => Some(identity_of(uid, gid, None, path)?),
        };
        let thread =
            IdentityThread::start(identity).map_err(Error::io("take the identity of its owner", path))?;
        self.0.insert(actor.uid(), thread.clone());
        Ok(thread)
    }
}

/// Without root, a user acts as that user only.
fn check_own(owner: Option<Owner>) -> Result<()> {
    let own = rustix::process::geteuid().as_raw();
    match owner.filter(|owner| owner.uid != own) {
        None => Ok(()),
        Some(owner) => {
            let reason = format!("only root can act as user {}; run the command as that user", owner.uid);
            Err(Error::usage("--owner", reason))
        }
    }
}

/// Fails unless a destination is the owner's, or is missing in a directory of root's.
fn check_owner(place: &Place, owner: Owner) -> Result<()> {
    if place.actor.uid() == owner.uid || place.actor == Actor::Root && !place.exists {
        return Ok(());
    }
    let reason = format!(
        "belongs to {}, and --owner names user {}; name another destination, or run chown on this one",
        actor::describe(place.actor),
        owner.uid
    );
    Err(Error::Unsupported { path: place.path.clone(), reason })
}

/// Returns the one actor of all paths; `None` if there are none.
fn common_actor(places: &[Place]) -> Result<Option<Actor>> {
    let Some(first) = places.first() else { return Ok(None) };
    match places.iter().find(|place| place.actor.uid() != first.actor.uid()) {
        None => Ok(Some(first.actor)),
        Some(place) => Err(actor::two_actors(first, place, "run the command once for each of them")),
    }
}

/// Returns the first user among the actors, or root.
fn least_powerful(places: &[Place]) -> Actor {
    let mut actors = places.iter().map(|place| place.actor);
    actors.find(|actor| *actor != Actor::Root).unwrap_or(Actor::Root)
}

/// Reports whether a file is a user's, and in a directory that only root can enter. The user cannot have exchanged it,
/// so that root reads it.
fn is_out_of_reach(place: &Place) -> bool {
    const ENTER: u32 = 0o011;
    let is_file = place.first.as_ref().is_some_and(|OpenedName { stat, .. }| {
        rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile
            && stat.st_nlink == 1
    });
    is_file && place.below.len() == 1 && modes::bits_of(&place.base_stat) & ENTER == 0
}

/// Refuses a file with several names where others may create names: one of them may have put it there from elsewhere, to
/// get what another user's rights read.
fn refuse_further_names(place: &Place) -> Result<()> {
    let is_linked = place.first.as_ref().is_some_and(|OpenedName { stat, .. }| {
        rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile
            && stat.st_nlink > 1
    });
    match is_linked && place.below.len() == 1 && place.is_open_to_all() {
        true => {
            let reason =
                "has several names (hard links), and another user may have put it there; copy it".into();
            Err(Error::Unsupported { path: place.path.clone(), reason })
        }
        false => Ok(()),
    }
}

/// Looks up the credentials of a user. `gid` is the group of the user's directory.
fn identity_of(uid: u32, gid: u32, group: Option<u32>, path: &Path) -> Result<Identity> {
    let unknown = |e: io::Error| Error::io("look up its owner's account", path)(e);
    let identity = match account(&By::Number(uid)).map_err(unknown)? {
        Some(account) => Identity::of_account(account).map_err(unknown)?,
        None if group.unwrap_or(gid) == 0 => {
            let reason = "its owner has no account, and its group is root's; run chgrp on it";
            return Err(Error::Unsupported { path: path.to_owned(), reason: reason.into() });
        }
        None => Identity::without_account(uid, gid),
    };
    match group {
        Some(gid) => identity.with_group(gid).map_err(unknown),
        None => Ok(identity),
    }
}

/// Reports whether root is to convert a Maildir, before the identity for it is taken.
pub(crate) fn is_maildir(path: &Path) -> bool {
    actor::resolve(path).is_ok_and(|place| {
        ["cur", "new", "tmp"].iter().filter(|name| files::has_directory(&place, name)).count() > 1
    })
}

/// Reads a file that an option names, before the identity is taken.
pub(crate) fn read_option_file(path: &Path) -> Result<Vec<u8>> {
    match rustix::process::geteuid().is_root() {
        true => files::read_as_root(path),
        false => std::fs::read(path).map_err(Error::io("read", path)),
    }
}

/// Starts the thread that writes a file which an option names. It has the rights of the actor of that path, whatever
/// identity the command takes later.
pub(crate) fn start_writer(path: &Path) -> Result<IdentityThread> {
    match rustix::process::geteuid().is_root() {
        true => IdentityThreads::default().get(actor::resolve(path)?.actor, path),
        false => IdentityThread::start(None).map_err(Error::io("start a thread that writes", path)),
    }
}

/// Privilege with which mail is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// An ordinary user, permanently.
    User,
    /// Root, in a home that root alone can change.
    Root,
}

/// Lets root permanently become `user`, with that user's groups, if it is an account and the home is its own or root's.
/// Otherwise root becomes the home's owner. It stays root for root's account, and for a home of root's without another
/// account; then root alone must be able to change the path of the home. Does nothing without root.
///
/// # Errors
/// [`FailureReason::Configuration`] for a home that cannot be trusted.
pub(crate) fn become_home_owner(home: &Path, user: Option<&OsStr>) -> Result<Privilege, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Privilege::User);
    }
    let unknown =
        |e: io::Error| Failure::new(FailureReason::TryAgain, format_args!("cannot look up accounts: {e}"));
    let meta = files::metadata(home).map_err(Error::io("look up its owner", home))?;
    let named = match user {
        Some(user) => account(&By::Name(user)).map_err(unknown)?,
        None => None,
    };
    // A virtual user may have the name of an unrelated account (`mail`).
    let named = named.filter(|account| [account.uid, 0].contains(&meta.uid()));
    let uid = named.as_ref().map_or(meta.uid(), |account| account.uid);
    if uid == 0 {
        let trusted = actor::require_root_only(home);
        return trusted.map(|()| Privilege::Root).map_err(|error| {
            let text = format!("{error}; root delivers only where no other user can write");
            Failure::new(FailureReason::Configuration, text)
        });
    }
    let identity = match named {
        Some(account) => Identity::of_account(account).map_err(unknown)?,
        None => identity_of(uid, meta.gid(), None, home)
            .map_err(|error| Failure::new(FailureReason::Configuration, error))?,
    };
    let taken = identity::take(&identity).and_then(|()| identity::seclude());
    taken.map_err(|e| {
        let text = format!("{}: cannot become user {uid}: {e}", display_path(home));
        Failure::new(FailureReason::TryAgain, text)
    })?;
    // QMAILHOME is the directory of the next hop's settings.
    drop_environment(&["TZ", "LANG", "QMAILHOME"]);
    let name = identity.name.as_ref().map(|name| OsStr::from_bytes(name.as_bytes()));
    set_environment(name);
    Ok(Privilege::User)
}

/// Drops root's environment, which is not the user's.
#[allow(unsafe_code)]
fn drop_environment(keep: &[&str]) {
    for (key, _) in std::env::vars_os().filter(|(key, _)| !keep.iter().any(|kept| key == *kept)) {
        // SAFETY: no other thread uses the environment, and signal handlers do not read it.
        unsafe { std::env::remove_var(key) };
    }
}

/// Gives programs a fixed PATH and shell, and the user's name.
#[allow(unsafe_code)]
fn set_environment(name: Option<&OsStr>) {
    // SAFETY: there is only one thread, and signal handlers do not read the environment.
    unsafe {
        std::env::set_var("PATH", "/usr/local/bin:/usr/bin:/bin");
        std::env::set_var("SHELL", "/bin/sh");
        if let Some(name) = name {
            std::env::set_var("LOGNAME", name);
        }
    }
}

/// Looks up the name of the account of this process.
pub(crate) fn current_account_name() -> Option<Vec<u8>> {
    let own = account(&By::Number(rustix::process::getuid().as_raw())).ok()??;
    Some(own.name.into_bytes())
}

/// Looks up the home directory of the account of this process.
pub(crate) fn current_account_home() -> Option<PathBuf> {
    let own = account(&By::Number(rustix::process::getuid().as_raw())).ok()??;
    Some(PathBuf::from(OsStr::from_bytes(own.home.as_bytes())))
}

/// Parses `USER` or `USER:GROUP`, by name or by number. The default group is the user's own.
///
/// # Errors
/// A message for the user.
pub(crate) fn parse_owner(text: &str) -> Result<Owner, String> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let unknown = |e: io::Error| format!("cannot look up accounts: {e}");
    let named = account(&By::Name(OsStr::new(user))).map_err(unknown)?;
    let uid = match (named, user.parse()) {
        (Some(account), _) => account.uid,
        (None, Ok(uid)) => uid,
        (None, Err(_)) => return Err("there is no such user".to_owned()),
    };
    let gid = match group {
        None | Some("") => None,
        Some(group) => match (group_of(group).map_err(unknown)?, group.parse()) {
            (Some(gid), _) | (None, Ok(gid)) => Some(gid),
            (None, Err(_)) => return Err("there is no such group".to_owned()),
        },
    };
    Ok(Owner { uid, gid })
}
