//! The members of archives, as files below the archive: see [`member_path`].
//!
//! An archive is read once, when it is opened, and its members are kept in files without a name. From then on the calls
//! of [`files`](super::files) and [`Dir`](super::Dir) find its members as they would find the files of a directory.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, RwLock};

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::durable::{set_mtime, write_all};
use crate::mailbox::member_path;

/// The archives that this process has opened.
static ARCHIVES: RwLock<Vec<Arc<Archive>>> = RwLock::new(Vec::new());

/// Links that are followed one after another, as in Linux.
const MAX_LINKS: usize = 40;
/// The number of a node in an archive. The root is 0.
type NodeId = usize;

/// Where the bytes of a member are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// In the file that members share, from this offset on.
    Shared(u64),
    /// In a file of its own, by number.
    Own(usize),
}

/// The bytes of a member.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stored {
    pub place: Place,
    /// Bytes that were kept. The rest of a member that is no mailbox was passed over.
    pub kept: u64,
    pub size: u64,
}

/// A member of an archive.
#[derive(Debug)]
pub(crate) enum Node {
    Directory(BTreeMap<OsString, NodeId>),
    File(Stored),
    /// A symbolic link, and what it leads to.
    Link(PathBuf),
    /// A FIFO or a device.
    Special(FileType),
}

impl Node {
    fn file_type(&self) -> FileType {
        match self {
            Node::Directory(_) => FileType::Directory,
            Node::File(_) => FileType::RegularFile,
            Node::Link(_) => FileType::Symlink,
            Node::Special(kind) => *kind,
        }
    }
}

/// Creates a file without a name for a copy of a member of this size.
pub(crate) type CreateCopy = Box<dyn Fn(u64) -> io::Result<File> + Send + Sync>;

/// The files that keep the bytes of members.
pub(crate) struct MemberFiles {
    pub shared: OwnedFd,
    pub own: Vec<File>,
    pub create_copy: CreateCopy,
}

/// The members of an archive, by their names.
#[derive(Debug)]
pub(crate) struct MemberTable {
    nodes: Vec<(Node, i64)>,
    /// The number in the last second name that a name led to: a search from the start for each of many members with
    /// one name would never end.
    second_numbers: HashMap<(NodeId, OsString), u64>,
}

impl MemberTable {
    /// Returns a table with the root only.
    pub(crate) fn new() -> MemberTable {
        MemberTable { nodes: vec![(Node::Directory(BTreeMap::new()), 0)], second_numbers: HashMap::new() }
    }

    /// Counts the members, and the directories that they are in.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Finds a member by the names on the way to it. Links are not followed.
    pub(crate) fn find(&self, names: &[OsString]) -> Option<NodeId> {
        names.iter().try_fold(0, |node, name| self.child(node, name))
    }

    /// Returns the bytes of a member.
    pub(crate) fn stored(&self, node: NodeId) -> Option<Stored> {
        match self.nodes[node].0 {
            Node::File(stored) => Some(stored),
            _ => None,
        }
    }

    fn child(&self, node: NodeId, name: &OsStr) -> Option<NodeId> {
        match &self.nodes[node].0 {
            Node::Directory(children) => children.get(name).copied(),
            _ => None,
        }
    }

    /// Adds a member, and the directories on the way that the archive has not named yet. A second member of a name
    /// replaces the first, as in an unpacked tree; the first then has a second name. So does a file that is in the way
    /// of a directory. Returns the second name of a file that was replaced.
    ///
    /// `names` must not be empty.
    pub(crate) fn add(&mut self, names: &[OsString], node: Node, mtime: i64) -> Option<OsString> {
        let (last, above) = names.split_last()?;
        let parent = self.directory(above, mtime);
        if let (Node::Directory(_), Some(known)) = (&node, self.child(parent, last))
            && matches!(self.nodes[known].0, Node::Directory(_))
        {
            self.nodes[known].1 = mtime;
            return None;
        }
        let node = self.push(node, mtime);
        self.name(parent, last, node)
    }

    /// Gives another name to a member: a hard link.
    pub(crate) fn link(&mut self, names: &[OsString], node: NodeId) {
        let Some((last, above)) = names.split_last() else { return };
        if self.find(names) == Some(node) {
            return;
        }
        let parent = self.directory(above, 0);
        self.name(parent, last, node);
    }

    /// Returns a directory, and adds it and those on the way where they are missing.
    fn directory(&mut self, names: &[OsString], mtime: i64) -> NodeId {
        names.iter().fold(0, |parent, name| match self.child(parent, name) {
            Some(child) if matches!(self.nodes[child].0, Node::Directory(_)) => child,
            _ => {
                let child = self.push(Node::Directory(BTreeMap::new()), mtime);
                self.name(parent, name, child);
                child
            }
        })
    }

    fn push(&mut self, node: Node, mtime: i64) -> NodeId {
        self.nodes.push((node, mtime));
        self.nodes.len() - 1
    }

    /// Gives a member a name. The one that had it gets a second name: `NAME (2)`. Returns that of a file.
    fn name(&mut self, parent: NodeId, name: &OsStr, node: NodeId) -> Option<OsString> {
        let Node::Directory(children) = &mut self.nodes[parent].0 else { return None };
        let before = children.insert(name.to_owned(), node)?;
        let number = self.second_numbers.entry((parent, name.to_owned())).or_insert(1);
        let second = loop {
            *number += 1;
            let mut second = name.to_owned();
            second.push(format!(" ({number})"));
            if !children.contains_key(&second) {
                break second;
            }
        };
        children.insert(second.clone(), before);
        matches!(self.nodes[before].0, Node::File(_)).then_some(second)
    }
}

/// An archive whose members are found by paths.
pub(crate) struct Archive {
    /// As the user named it.
    path: PathBuf,
    /// Without links.
    real: PathBuf,
    number: u64,
    table: MemberTable,
    files: MemberFiles,
    /// The state of the file that members share: the fields that members do not have.
    stat: Stat,
}

/// A member that was looked up.
#[derive(Clone)]
pub(crate) struct Member {
    archive: Arc<Archive>,
    node: NodeId,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}!{}", self.archive.path.display(), self.node)
    }
}

/// Makes the members of an archive known, in place of those of an earlier reading.
pub(crate) fn register(path: &Path, real: PathBuf, table: MemberTable, files: MemberFiles) -> io::Result<()> {
    let stat = rustix::fs::fstat(&files.shared)?;
    let mut archives = super::ignore_poison(ARCHIVES.write());
    archives.retain(|archive| archive.path != path);
    let number = archives.iter().map(|archive| archive.number).max().unwrap_or(0) + 1;
    archives.push(Arc::new(Archive { path: path.to_owned(), real, number, table, files, stat }));
    Ok(())
}

/// Reports whether a path leads into an archive.
pub(crate) fn is_member(path: &Path) -> bool {
    member_path::split(path).is_some()
}

/// Looks up a member by its path, and follows links within the archive; `None` for the path of a file.
pub(crate) fn find(path: &Path) -> Option<io::Result<Member>> {
    let found = locate(path)?;
    Some(found.and_then(|(archive, names)| {
        let node = archive.resolve(&names, true)?.0;
        Ok(Member { archive, node })
    }))
}

/// Looks up a member, and follows no link at the end.
pub(crate) fn find_itself(path: &Path) -> Option<io::Result<Member>> {
    let found = locate(path)?;
    Some(found.and_then(|(archive, names)| {
        let node = archive.resolve(&names, false)?.0;
        Ok(Member { archive, node })
    }))
}

/// Returns the path of a member without links.
pub(crate) fn canonicalize(path: &Path) -> Option<io::Result<PathBuf>> {
    let found = locate(path)?;
    Some(found.and_then(|(archive, names)| {
        let names = archive.resolve(&names, true)?.1;
        let mut real = member_path::root_of(&archive.real);
        real.extend(names);
        Ok(real)
    }))
}

/// Reports whether a link leads out of its archive.
pub(crate) fn leads_out(path: &Path) -> bool {
    let Some(Ok((archive, names))) = locate(path) else { return false };
    archive.resolve(&names, true).is_err_and(|errno| errno == Errno::XDEV)
}

fn locate(path: &Path) -> Option<io::Result<(Arc<Archive>, Vec<OsString>)>> {
    let (archive, inside) = member_path::split(path)?;
    let archives = super::ignore_poison(ARCHIVES.read());
    let found = archives.iter().find(|known| known.path == archive || known.real == archive);
    let names = inside.iter().map(OsStr::to_owned).collect();
    Some(found.map(|archive| (Arc::clone(archive), names)).ok_or_else(|| io::ErrorKind::NotFound.into()))
}

impl Archive {
    /// Follows names from the root, and links on the way. A link that leads out of the archive is an error.
    fn resolve(&self, names: &[OsString], follow_last: bool) -> Result<(NodeId, Vec<OsString>), Errno> {
        let mut rest: VecDeque<OsString> = names.iter().cloned().collect();
        let mut way: Vec<(OsString, NodeId)> = Vec::new();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            let at = way.last().map_or(0, |(_, node)| *node);
            if name == ".." {
                way.pop().ok_or(Errno::XDEV)?;
                continue;
            }
            let Node::Directory(children) = &self.table.nodes[at].0 else { return Err(Errno::NOTDIR) };
            let node = *children.get(&name).ok_or(Errno::NOENT)?;
            match &self.table.nodes[node].0 {
                Node::Link(target) if follow_last || !rest.is_empty() => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP);
                    }
                    for component in target.components().rev() {
                        match component {
                            Component::RootDir | Component::Prefix(_) => return Err(Errno::XDEV),
                            Component::CurDir => {}
                            Component::ParentDir => rest.push_front("..".into()),
                            Component::Normal(name) => rest.push_front(name.to_owned()),
                        }
                    }
                }
                _ => way.push((name, node)),
            }
        }
        let node = way.last().map_or(0, |(_, node)| *node);
        Ok((node, way.into_iter().map(|(name, _)| name).collect()))
    }

    #[allow(clippy::unnecessary_cast)] // the types differ between architectures
    fn stat(&self, node: NodeId) -> Stat {
        let (found, mtime) = &self.table.nodes[node];
        let mut stat = self.stat;
        let size = self.table.stored(node).map_or(0, |stored| stored.size);
        stat.st_mode = found.file_type().as_raw_mode() | 0o700;
        stat.st_size = size as _;
        stat.st_mtime = *mtime as _;
        stat.st_mtime_nsec = 0;
        stat.st_nlink = 1;
        stat.st_ino = (node + 1) as _;
        // No file system has this number.
        stat.st_dev = (u64::from(u32::MAX) << 31 | self.number) as _;
        stat
    }

    /// Opens a member for reading.
    fn open(&self, node: NodeId) -> io::Result<File> {
        let (Node::File(stored), mtime) = &self.table.nodes[node] else {
            return Err(Errno::ISDIR.into());
        };
        let mut file = match stored.place {
            // Descriptors of one open file share a position: no two threads read a member at once.
            Place::Own(number) => self.files.own[number].try_clone()?,
            Place::Shared(start) => {
                let file = (self.files.create_copy)(stored.kept)?;
                self.copy(start, stored.kept, &file)?;
                file
            }
        };
        file.rewind()?;
        set_mtime(&file, *mtime)?;
        Ok(file)
    }

    fn copy(&self, start: u64, size: u64, to: &File) -> io::Result<()> {
        const CHUNK: u64 = 1 << 20;
        let shared = File::from(self.files.shared.try_clone()?);
        let mut buffer = vec![0; size.min(CHUNK) as usize];
        let mut at = 0;
        while at < size {
            let part = &mut buffer[..(size - at).min(CHUNK) as usize];
            shared.read_exact_at(part, start + at)?;
            write_all(to, part)?;
            at += part.len() as u64;
        }
        Ok(())
    }
}

impl Member {
    pub(crate) fn stat(&self) -> Stat {
        self.archive.stat(self.node)
    }

    /// Opens it for reading.
    pub(crate) fn open(&self) -> io::Result<File> {
        self.archive.open(self.node)
    }

    pub(crate) fn is_directory(&self) -> bool {
        matches!(self.archive.table.nodes[self.node].0, Node::Directory(_))
    }

    /// Lists a directory, sorted by name.
    pub(crate) fn children(&self) -> Result<Vec<(OsString, Member)>, Errno> {
        let Node::Directory(children) = &self.archive.table.nodes[self.node].0 else {
            return Err(Errno::NOTDIR);
        };
        let child = |(name, node): (&OsString, &NodeId)| {
            (name.clone(), Member { archive: Arc::clone(&self.archive), node: *node })
        };
        Ok(children.iter().map(child).collect())
    }

    /// Returns what a name in this directory is, and not what a link leads to.
    pub(crate) fn child(&self, name: &OsStr) -> Result<Member, Errno> {
        if matches!(name.as_bytes(), b"." | b"") {
            return Ok(self.clone());
        }
        let node = self.archive.table.child(self.node, name).ok_or(Errno::NOENT)?;
        Ok(Member { archive: Arc::clone(&self.archive), node })
    }

    /// Returns a descriptor that leads to no directory: a call that needs one fails.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.archive.files.shared.as_fd().try_clone_to_owned()
    }

    pub(crate) fn file_type(&self) -> FileType {
        self.archive.table.nodes[self.node].0.file_type()
    }

    pub(crate) fn inode(&self) -> u64 {
        (self.node + 1) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str) -> Vec<OsString> {
        path.split('/').map(OsString::from).collect()
    }

    fn file(start: u64) -> Node {
        Node::File(Stored { place: Place::Shared(start), kept: 1, size: 1 })
    }

    #[test]
    fn many_members_of_one_name_take_linear_time() {
        const COUNT: usize = 100_000;
        let mut table = MemberTable::new();
        let other = table.add(&names("inbox (3)"), file(0), 0);
        assert_eq!(other, None);
        for n in 1..=COUNT {
            table.add(&names("inbox"), file(n as u64), 0);
        }
        // The root is a node, too.
        assert_eq!(table.find(&names("inbox")), Some(COUNT + 1));
        let (first, second) = (table.find(&names("inbox (2)")), table.find(&names("inbox (4)")));
        assert_eq!((first, second), (Some(2), Some(3)));
        assert_eq!(table.find(&names(&format!("inbox ({})", COUNT + 1))), Some(COUNT));
    }

    #[test]
    fn a_link_below_a_file_keeps_both() {
        let mut table = MemberTable::new();
        table.add(&names("target"), file(0), 0);
        table.add(&names("way"), file(1), 0);
        table.link(&names("way/hard"), 1);
        assert_eq!(table.find(&names("way/hard")), Some(1));
        assert_eq!(table.find(&names("way (2)")), Some(2));
    }
}
