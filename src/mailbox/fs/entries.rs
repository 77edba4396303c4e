//! The entries of a directory tree, sorted by name.
//!
//! walkdir opens every directory by its whole path. In a process that was root a user could exchange a part of that
//! path for a link, so there each directory is opened from the handle of the one above, and only root's links are
//! followed. The entries of an archive are found by handles, too.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use walkdir::WalkDir;

use super::Dir;
use crate::mailbox::Error;
use crate::mailbox::fs::durable::FileId;
use crate::mailbox::fs::{archived, files};

/// A file, directory or link below the directory that is walked.
#[derive(Debug)]
pub(crate) struct Entry {
    pub path: PathBuf,
    /// 1 for what is in the directory itself.
    pub depth: usize,
    pub kind: FileType,
    /// It was reached by a symbolic link of its name, which was followed.
    pub is_followed_link: bool,
}

impl Entry {
    pub(crate) fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.kind == FileType::Directory
    }

    fn of(entry: &walkdir::DirEntry) -> Entry {
        let found = entry.file_type();
        let kind = match () {
            () if found.is_dir() => FileType::Directory,
            () if found.is_file() => FileType::RegularFile,
            () if found.is_symlink() => FileType::Symlink,
            () if found.is_socket() => FileType::Socket,
            () if found.is_fifo() => FileType::Fifo,
            () => FileType::BlockDevice,
        };
        let is_followed_link = entry.path_is_symlink() && !found.is_symlink();
        Entry { path: entry.path().to_owned(), depth: entry.depth(), kind, is_followed_link }
    }
}

/// An entry that could not be read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// The entry, if it is known.
    pub path: Option<PathBuf>,
    /// It is a link to a directory that it is in.
    pub is_loop: bool,
    pub cause: io::Error,
}

/// The entries below a directory.
pub(crate) enum Entries {
    /// By paths.
    Paths(walkdir::IntoIter),
    /// By handles.
    Handles(HandleEntries),
}

/// Walks through what is below a directory. With `follow`, links are followed, unless a user could lead root by them.
pub(crate) fn below(root: &Path, follow: bool) -> Entries {
    // Links in an archive are not followed.
    let follow = follow && !archived::is_member(root);
    match files::is_by_handle() || archived::is_member(root) {
        false => Entries::Paths(
            WalkDir::new(root).min_depth(1).follow_links(follow).sort_by_file_name().into_iter(),
        ),
        true => Entries::Handles(HandleEntries {
            follow,
            next: Some(Next::Root(root.to_owned())),
            above: Vec::new(),
        }),
    }
}

impl Entries {
    /// Leaves out what is in the directory that was returned last.
    pub(crate) fn skip_current_dir(&mut self) {
        match self {
            Entries::Paths(entries) => entries.skip_current_dir(),
            Entries::Handles(entries) => entries.next = None,
        }
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, Unreadable>;

    fn next(&mut self) -> Option<Result<Entry, Unreadable>> {
        match self {
            Entries::Paths(entries) => Some(match entries.next()? {
                Ok(entry) => Ok(Entry::of(&entry)),
                Err(error) => Err(Unreadable {
                    path: error.path().map(Path::to_owned),
                    is_loop: error.loop_ancestor().is_some(),
                    cause: error.into(),
                }),
            }),
            Entries::Handles(entries) => entries.next(),
        }
    }
}

/// Entries by handles: the open directories from the first one to the current one.
pub(crate) struct HandleEntries {
    follow: bool,
    /// The directory to enter next.
    next: Option<Next>,
    above: Vec<Level>,
}

/// An open directory.
struct Level {
    dir: Dir,
    id: FileId,
    names: std::vec::IntoIter<(OsString, FileType)>,
}

enum Next {
    Root(PathBuf),
    Child(OsString),
}

impl HandleEntries {
    fn next(&mut self) -> Option<Result<Entry, Unreadable>> {
        if let Some(next) = self.next.take()
            && let Err(error) = self.enter(&next)
        {
            let path = match next {
                Next::Root(path) => path,
                Next::Child(name) => self.above.last()?.dir.path().join(name),
            };
            let cause = match error {
                Error::Io { source, .. } => source,
                other => io::Error::other(other.without_path()),
            };
            return Some(Err(Unreadable { path: Some(path), is_loop: false, cause }));
        }
        loop {
            let depth = self.above.len();
            let level = self.above.last_mut()?;
            let Some((name, kind)) = level.names.next() else {
                self.above.pop();
                continue;
            };
            let path = level.dir.path().join(&name);
            let is_followed_link = self.follow && kind == FileType::Symlink && level.dir.follows_links();
            let kind = match is_followed_link.then(|| self.follow_link(&path)) {
                None => kind,
                Some(Ok(kind)) => kind,
                Some(Err(error)) => return Some(Err(error)),
            };
            if kind == FileType::Directory {
                self.next = Some(Next::Child(name));
            }
            return Some(Ok(Entry { path, depth, kind, is_followed_link }));
        }
    }

    /// Returns what a link of root's leads to.
    fn follow_link(&self, path: &Path) -> Result<FileType, Unreadable> {
        let unreadable = |is_loop, cause| Unreadable { path: Some(path.to_owned()), is_loop, cause };
        let stat = files::stat(path).map_err(|e| unreadable(false, e))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let is_above = |level: &Level| level.id == FileId::of(&stat);
        match kind == FileType::Directory && self.above.iter().any(is_above) {
            true => Err(unreadable(true, io::Error::other("it is a directory above"))),
            false => Ok(kind),
        }
    }

    fn enter(&mut self, next: &Next) -> Result<(), Error> {
        let dir = match (next, self.above.last()) {
            (Next::Child(name), Some(above)) => above.dir.open_child(name)?,
            (Next::Child(name), None) => Dir::open(Path::new(name))?,
            (Next::Root(path), _) => Dir::open(path)?,
        };
        let mut names = dir.entries()?;
        names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        self.above.push(Level { id: dir.file_id()?, dir, names: names.into_iter() });
        Ok(())
    }
}
