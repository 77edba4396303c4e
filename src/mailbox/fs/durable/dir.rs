//! A directory handle.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, retry_on_intr};

use super::bytes::{sync_file, write_all};
use super::filesystem::FreeSpace;
use crate::mailbox::error::{Error, Result};
use crate::mailbox::fs::archived::{self, Member};
use crate::mailbox::fs::files;
use crate::mailbox::fs::files::{Links, Metadata, Rights};
use crate::mailbox::fs::modes::mode_of;
use crate::mailbox::fs::parent_of;
use crate::mailbox::fs::random::{random, random_name};
use crate::mailbox::fs::system::{self, ModeHandle};

/// A directory handle. Names are single components relative to it; the path is for messages.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: Arc<OwnedFd>,
    path: PathBuf,
    rights: Rights,
    /// It is a directory of an archive. Then the descriptor is not of a directory, and every call that changes
    /// something fails.
    archived: Option<Member>,
}

/// A name in a directory, as a listing gives it.
pub(crate) struct Name<'a> {
    pub name: &'a OsStr,
    /// A link is a link. Some file systems do not tell.
    pub kind: FileType,
    /// A file system without inodes gives any number.
    pub inode: u64,
}

/// The identity of a file: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId {
    pub device: u64,
    pub inode: u64,
}

impl Dir {
    /// Opens a directory, with the rights for its path.
    pub(crate) fn open(path: &Path) -> Result<Dir> {
        if let Some(member) = archived::find(path) {
            return Dir::of_member(member, path.to_owned());
        }
        let (fd, rights) = files::open_directory(path).map_err(Error::io("open the directory", path))?;
        Ok(Dir { fd: Arc::new(fd), path: path.to_owned(), rights, archived: None })
    }

    fn of_member(member: io::Result<Member>, path: PathBuf) -> Result<Dir> {
        let opened = member.and_then(|member| match member.is_directory() {
            true => Ok((member.descriptor()?, member)),
            false => Err(Errno::NOTDIR.into()),
        });
        let (fd, member) = opened.map_err(Error::io("open the directory", &path))?;
        Ok(Dir { fd: Arc::new(fd), path, rights: Rights::OWN, archived: Some(member) })
    }

    /// Opens the directory for the lock file of a mailbox, and returns the name of the mailbox in it. A symbolic link
    /// is followed: all names of a mailbox share the lock next to the file itself.
    pub(crate) fn open_for_lock(mailbox: &Path) -> Result<(Dir, OsString)> {
        let (fd, rights, real) =
            files::open_lock_directory(mailbox).map_err(Error::io("look up", mailbox))?;
        let name = real.file_name().unwrap_or(real.as_os_str()).to_owned();
        Ok((Dir { fd: Arc::new(fd), path: parent_of(&real).to_owned(), rights, archived: None }, name))
    }

    /// The path it was opened by: for messages, never for opening.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a directory in this one. A symbolic link is followed, since users link Maildir folders, unless a user
    /// could lead root by it.
    pub(crate) fn open_child(&self, name: &OsStr) -> Result<Dir> {
        match self.rights.links {
            Links::All => self.open_child_with(name, OFlags::empty()),
            Links::None => {
                self.open_child_with(name, OFlags::NOFOLLOW).map_err(|error| self.explain(name, error))
            }
            Links::Roots => match self.open_child_with(name, OFlags::NOFOLLOW) {
                Err(Error::Io { source, .. }) if may_be_link(&source) => Dir::open(&self.join(name)),
                opened => opened,
            },
        }
    }

    /// Reports whether some links in this directory are followed.
    pub(crate) fn follows_links(&self) -> bool {
        self.rights.links != Links::None
    }

    /// Opens a directory in this one that mailferry created. A symbolic link is not followed, and another owner's
    /// directory is refused.
    pub(crate) fn open_own_child(&self, name: &OsStr) -> Result<Dir> {
        let child = self.open_child_with(name, OFlags::NOFOLLOW)?;
        let stat = rustix::fs::fstat(&child.fd).map_err(failed("look up", &child.path))?;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            let reason = "belongs to another user; look what it is, and remove it".into();
            return Err(Error::Destination { path: child.path, reason });
        }
        Ok(child)
    }

    /// Creates a directory, which must not exist, and opens it. If it cannot be opened, it is removed. `mode` is
    /// subject to the umask.
    pub(crate) fn create_dir(&self, name: &OsStr, mode: u32) -> Result<Dir> {
        self.make_dir(name, mode).map_err(failed("create the directory", self.join(name)))?;
        self.open_child_with(name, OFlags::NOFOLLOW).inspect_err(|_| {
            // The first error is reported.
            let _ = self.remove_empty(name);
        })
    }

    /// Opens a directory in this one, and creates it if it is missing. Several processes may try at once. Returns
    /// whether this call created it. `mode` is subject to the umask.
    pub(crate) fn open_or_create_dir(&self, name: &OsStr, mode: u32) -> Result<(Dir, bool)> {
        match self.make_dir(name, mode) {
            Ok(()) => {
                let created = self.open_child_with(name, OFlags::NOFOLLOW).inspect_err(|_| {
                    // The first error is reported.
                    let _ = self.remove_empty(name);
                });
                Ok((created?, true))
            }
            Err(Errno::EXIST) => Ok((self.open_child(name)?, false)),
            Err(e) => Err(failed("create the directory", self.join(name))(e)),
        }
    }

    /// Creates a file for writing. A file or symbolic link that exists is an error
    /// ([`io::ErrorKind::AlreadyExists`]).
    ///
    /// `mode` is subject to the umask. An fchmod would be one more system call per message: a caller that needs an
    /// exact mode sets the umask once, as the binary does for `--mode`.
    pub(crate) fn create_file(&self, name: &OsStr, mode: u32) -> Result<OwnedFd> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        self.open_at(name, flags, mode_of(mode)).map_err(|e| failed("create", self.join(name))(e))
    }

    /// Creates a file like [`Dir::create_file`], for reading and writing.
    pub(crate) fn create_read_write(&self, name: &OsStr, mode: u32) -> Result<File> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        self.open_at(name, flags, mode_of(mode))
            .map(File::from)
            .map_err(|e| failed("create", self.join(name))(e))
    }

    /// Creates a file that has these bytes as soon as it has its name: a kill leaves no file or a complete one. Without
    /// unnamed files a kill may leave a hidden file, too, and without links an empty one. A name that is taken is an
    /// error, as for [`Dir::create_file`].
    pub(crate) fn create_with(&self, name: &OsStr, mode: u32, bytes: &[u8]) -> Result<OwnedFd> {
        let unnamed = system::UNNAMED_FILE.and_then(|unnamed| {
            let flags = unnamed | OFlags::WRONLY | OFlags::CLOEXEC;
            self.open_at(OsStr::new("."), flags, mode_of(mode)).ok()
        });
        if let Some(fd) = unnamed {
            write_all(&fd, bytes).map_err(Error::io("write", self.join(name)))?;
            let number = fd.as_raw_fd();
            match self.on(name, move |dir, name| system::name_open_file(number, dir, name)) {
                Ok(()) => return Ok(fd),
                Err(Errno::EXIST) => return Err(failed("create", self.join(name))(Errno::EXIST)),
                // Without /proc or links, the file gets a name first.
                Err(_) => {}
            }
        }
        self.create_linked(name, mode, bytes)
    }

    /// Creates a file under a hidden name and links it; without links, under its name.
    pub(super) fn create_linked(&self, name: &OsStr, mode: u32, bytes: &[u8]) -> Result<OwnedFd> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let create = |at: &OsStr| {
            let fd = self.open_at(at, flags, mode_of(mode)).map_err(failed("create", self.join(name)))?;
            let written = write_all(&fd, bytes).map_err(Error::io("write", self.join(name)));
            written.map(|()| fd).inspect_err(|_| {
                // The first error is reported.
                let _ = self.unlink(at);
            })
        };
        let hidden = random_name();
        let fd = create(&hidden)?;
        let from = hidden.clone();
        let linked = self.on(name, move |dir, name| {
            retry_on_intr(|| rustix::fs::linkat(dir, &from, dir, name, AtFlags::empty()))
        });
        // The file is there; a hidden name that cannot be removed disturbs nothing.
        let _ = self.unlink_if_exists(&hidden);
        match linked {
            Ok(()) => Ok(fd),
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK | Errno::NOSYS) => create(name),
            Err(e) => Err(failed("create", self.join(name))(e)),
        }
    }

    /// Opens a file for reading and appending, and creates it if it is missing.
    pub(crate) fn open_append(&self, name: &OsStr, mode: u32) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        self.open_at(name, flags, mode_of(mode))
            .map(File::from)
            .map_err(|e| failed("open", self.join(name))(e))
    }

    /// Opens a file for reading and appending; `None` if there is none. A FIFO is not waited for.
    pub(crate) fn open_append_if_exists(&self, name: &OsStr) -> Result<Option<File>> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        match self.open_at(name, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(File::from(fd))),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(failed("open", self.join(name))(e)),
        }
    }

    /// Opens a message for reading. A symbolic link is followed, since users link messages, unless a user could lead
    /// root by it; a FIFO is not waited for.
    pub(crate) fn open_message(&self, name: &OsStr) -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let flags = if self.rights.links == Links::All { flags } else { flags | OFlags::NOFOLLOW };
        match self.open_at(name, flags, Mode::empty()) {
            Err(Errno::LOOP) if self.rights.links == Links::Roots => {
                let path = self.join(name);
                files::open(&path).map_err(Error::io("open", path))
            }
            opened => opened.map(File::from).map_err(|e| failed("open", self.join(name))(e)),
        }
    }

    /// Opens a file for reading and writing at any offset, and creates it if it is missing.
    pub(crate) fn open_or_create(&self, name: &OsStr, mode: u32) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        self.open_at(name, flags, mode_of(mode))
            .map(File::from)
            .map_err(|e| failed("open", self.join(name))(e))
    }

    /// Opens a file for reading. A symbolic link is not followed, and a FIFO is not waited for.
    pub(crate) fn open_file(&self, name: &OsStr) -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        self.open_at(name, flags, Mode::empty())
            .map(File::from)
            .map_err(|e| failed("open", self.join(name))(e))
    }

    /// Renames a file or directory to `name` in `to`, on the same file system. `Ok(false)`: the name is taken, and
    /// neither file was touched.
    ///
    /// If the system or the file system (NFS) cannot rename without replacing, a file is linked and the old name removed. A
    /// directory is renamed if the name is free: rename(2) replaces only an empty directory.
    pub(crate) fn rename_noreplace(&self, from: &OsStr, to: &Dir, name: &OsStr) -> Result<bool> {
        match self.to(from, to, name, system::rename_noreplace) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(Errno::INVAL | Errno::NOSYS) => self.publish_without_noreplace(from, to, name),
            Err(e) => Err(failed("rename", self.join(from))(e)),
        }
    }

    /// Links a file to `name` in `to`, or renames it if the file system has no links. `Ok(false)`: the name is
    /// taken by another file.
    pub(crate) fn link(&self, from: &OsStr, to: &Dir, name: &OsStr) -> Result<bool> {
        match self.try_link(from, to, name)? {
            Some(linked) => Ok(linked),
            None => self.rename_noreplace(from, to, name),
        }
    }

    /// Links a file to `name` in `to`. `Some(false)`: the name is taken by another file. `None`: the file system
    /// has no links, or no more for this file.
    pub(crate) fn try_link(&self, from: &OsStr, to: &Dir, name: &OsStr) -> Result<Option<bool>> {
        match self.link_to(from, to, name) {
            Ok(()) => Ok(Some(true)),
            // On NFS the reply to the first attempt may have been lost.
            Err(Errno::EXIST) => Ok(Some(
                self.child_id(from)?
                    .is_some_and(|ours| to.child_id(name).is_ok_and(|theirs| theirs == Some(ours))),
            )),
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK | Errno::NOSYS) => Ok(None),
            Err(e) => Err(failed("link", to.join(name))(e)),
        }
    }

    /// Renames a file and replaces the file that has the name: only when the user asked for it.
    pub(crate) fn replace(&self, from: &OsStr, name: &OsStr) -> Result<()> {
        self.rename_to(from, self, name).map_err(failed("rename", self.join(from)))
    }

    /// Renames a file into `to` and replaces the file that has the name.
    pub(crate) fn replace_in(&self, from: &OsStr, to: &Dir, name: &OsStr) -> Result<()> {
        self.rename_to(from, to, name).map_err(failed("rename", self.join(from)))
    }

    /// Writes a file into this directory, flushes it and renames it to `name` in `to`, which may exist. A reader
    /// sees the old bytes or the new ones.
    pub(crate) fn write_atomic(&self, to: &Dir, name: &OsStr, bytes: &[u8], mode: u32) -> Result<()> {
        let mut temporary = name.to_owned();
        temporary.push(format!(".{:016x}", random()));
        let file = self.create_file(&temporary, mode)?;
        let written = write_all(&file, bytes).and_then(|()| sync_file(&file));
        let done = written.map_err(Error::io("write", self.join(&temporary))).and_then(|()| {
            self.rename_to(&temporary, to, name).map_err(failed("rename", self.join(&temporary)))
        });
        done.inspect_err(|_| {
            // The first error is reported.
            let _ = self.unlink(&temporary);
        })
    }

    /// Sets the times of a file to now.
    pub(crate) fn touch(&self, name: &OsStr) -> Result<()> {
        use rustix::fs::{Timespec, Timestamps, UTIME_NOW};
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        let touch = move |dir: BorrowedFd<'_>, name: &OsStr| {
            rustix::fs::utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW)
        };
        self.on(name, touch).map_err(failed("set its time", self.join(name)))
    }

    /// Changes the mode of a file or a directory in this one, which must still be `examined`. A symbolic link is
    /// refused, since it may lead to another user's file.
    pub(crate) fn set_mode(&self, name: &OsStr, examined: FileId, mode: u32) -> Result<()> {
        let changing = || failed("change its mode", self.join(name));
        if self.archived.is_some() {
            return Err(changing()(Errno::ROFS));
        }
        let handle = self.on(name, ModeHandle::open).map_err(changing())?;
        let stat = handle.stat().map_err(failed("look up", self.join(name)))?;
        FileId::of(&stat).require(examined, &self.join(name))?;
        let done = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => Err(Errno::LOOP),
            _ => handle.set_mode(mode_of(mode)),
        };
        done.map_err(changing())
    }

    /// Returns a second handle of the same directory.
    pub(crate) fn try_clone(&self) -> Result<Dir> {
        let fd = self.fd.try_clone().map_err(Error::io("open the directory", &self.path))?;
        let (path, rights, archived) = (self.path.clone(), self.rights.clone(), self.archived.clone());
        Ok(Dir { fd: Arc::new(fd), path, rights, archived })
    }

    /// Removes a name that is not a directory.
    pub(crate) fn unlink(&self, name: &OsStr) -> Result<()> {
        self.unlink_at(name, AtFlags::empty()).map_err(|e| failed("remove", self.join(name))(e))
    }

    /// Removes a name if it exists, and tries again if that fails: for files that must not be left over.
    pub(crate) fn unlink_if_exists(&self, name: &OsStr) -> Result<()> {
        let unlink = || match self.unlink_at(name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(failed("remove", self.join(name))(e)),
        };
        unlink().or_else(|_| unlink())
    }

    /// Removes a directory if it is empty.
    pub(crate) fn remove_empty(&self, name: &OsStr) -> Result<()> {
        self.unlink_at(name, AtFlags::REMOVEDIR)
            .map_err(|e| failed("remove the directory", self.join(name))(e))
    }

    /// Reports whether the name is taken, even by a dangling symbolic link.
    pub(crate) fn exists(&self, name: &OsStr) -> Result<bool> {
        Ok(self.child_id(name)?.is_some())
    }

    /// Returns the size of a regular file; `None` if there is none.
    pub(crate) fn file_size(&self, name: &OsStr) -> Result<Option<u64>> {
        match self.stat_at(name) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
                Ok(Some(stat.st_size as u64))
            }
            Ok(_) | Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(failed("look up", self.join(name))(e)),
        }
    }

    /// Returns the size of a message; `None` for what is not a regular file. A symbolic link is followed, since users
    /// link messages.
    pub(crate) fn message_size(&self, name: &OsStr) -> Result<Option<u64>> {
        Ok(self.message_stat(name)?.map(|stat| stat.st_size as u64))
    }

    fn message_stat(&self, name: &OsStr) -> Result<Option<Stat>> {
        let stat = match &self.archived {
            Some(_) => files::stat(&self.join(name)).map_err(Error::io("look up", self.join(name)))?,
            None => rustix::fs::statat(&self.fd, name, AtFlags::empty())
                .map_err(|e| failed("look up", self.join(name))(e))?,
        };
        let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        Ok(is_regular.then_some(stat))
    }

    /// Returns the modification time of a message, in seconds since 1970; see [`Dir::message_size`].
    pub(crate) fn message_mtime(&self, name: &OsStr) -> Result<Option<i64>> {
        Ok(self.message_stat(name)?.map(|stat| stat.st_mtime))
    }

    /// Reports whether the name is a symbolic link.
    pub(crate) fn is_link(&self, name: &OsStr) -> Result<bool> {
        let stat = match &self.archived {
            Some(_) => self.stat_at(name),
            None => rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW),
        };
        match stat {
            Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Symlink),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(failed("look up", self.join(name))(e)),
        }
    }

    pub(crate) fn file_id(&self) -> Result<FileId> {
        Ok(FileId::of(&self.stat()?))
    }

    fn stat(&self) -> Result<Stat> {
        match &self.archived {
            Some(member) => Ok(member.stat()),
            None => rustix::fs::fstat(&self.fd).map_err(failed("look up", &self.path)),
        }
    }

    /// Returns the device of its file system.
    #[allow(clippy::unnecessary_cast)] // the type differs between architectures
    pub(crate) fn device(&self) -> Result<u64> {
        let stat = rustix::fs::fstat(&self.fd).map_err(failed("look up", &self.path))?;
        Ok(stat.st_dev as u64)
    }

    /// Returns the identity of a name, and of a symbolic link itself; `None` if there is none.
    pub(crate) fn child_id(&self, name: &OsStr) -> Result<Option<FileId>> {
        match self.stat_at(name) {
            Ok(stat) => Ok(Some(FileId::of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(failed("look up", self.join(name))(e)),
        }
    }

    /// Returns what is known of a file or directory in this one. A symbolic link is not followed.
    pub(crate) fn child_metadata(&self, name: &OsStr) -> Result<Metadata> {
        self.stat_at(name).map(Metadata::from).map_err(|e| failed("look up", self.join(name))(e))
    }

    /// Reports whether a file in this directory can certainly be read: it belongs to the user of the process, who has
    /// the right. Only opening shows whether another file can be.
    pub(crate) fn certainly_reads(&self, file: &Metadata, user: u32) -> bool {
        let has_own_rights = self.archived.is_none() && self.rights.thread.is_none();
        has_own_rights && file.uid() == user && file.mode() & 0o400 != 0
    }

    /// Flushes the names in this directory to stable storage.
    pub(crate) fn sync(&self) -> Result<()> {
        system::sync_file(&self.fd).map_err(failed("flush the directory", &self.path))
    }

    /// Flushes the whole file system to stable storage, or what is below this directory on a system without that call.
    /// Write errors are reported only if [`syncfs_reports_errors`](Dir::syncfs_reports_errors).
    pub(crate) fn sync_fs(&self) -> Result<()> {
        system::sync_fs(self.fd.as_fd()).map_err(failed("flush its file system", &self.path))
    }

    /// Removes a file, or a directory with its contents. Symbolic links are removed, never followed. A missing name
    /// is not an error.
    pub(crate) fn remove_tree(&self, name: &OsStr) -> Result<()> {
        match self.unlink_at(name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            // POSIX says EPERM for a directory, Linux EISDIR. EPERM may have other reasons: opening it as a
            // directory shows them.
            Err(Errno::ISDIR | Errno::PERM) => self.remove_directory(name),
            Err(e) => Err(failed("remove", self.join(name))(e)),
        }
    }

    /// Lists the names in this directory except `.` and `..`, in no order.
    pub(crate) fn names(&self) -> Result<Vec<OsString>> {
        let mut names = Vec::new();
        self.for_each_name(|name, _| names.push(name.to_owned()))?;
        Ok(names)
    }

    /// Passes each name in this directory, except `.` and `..`, and its inode. A file system without inodes gives
    /// any number.
    pub(crate) fn for_each_name(&self, mut each: impl FnMut(&OsStr, u64)) -> Result<()> {
        self.visit(|found| {
            each(found.name, found.inode);
            ControlFlow::Continue(())
        })
    }

    /// Passes each name in this directory, except `.` and `..`, until `each` breaks.
    pub(crate) fn visit(&self, each: impl FnMut(Name<'_>) -> ControlFlow<()>) -> Result<()> {
        self.read_names(each).map_err(failed("list the directory", &self.path))
    }

    /// Returns the time of the last change of its names: seconds and nanoseconds since 1970.
    #[allow(clippy::unnecessary_cast)] // the types differ between architectures
    pub(crate) fn modified(&self) -> Result<(i64, i64)> {
        let stat = self.stat()?;
        Ok((stat.st_mtime as i64, stat.st_mtime_nsec as i64))
    }

    /// Lists the names like [`Dir::names`], with what each is. A link is a link.
    pub(crate) fn entries(&self) -> Result<Vec<(OsString, FileType)>> {
        let mut entries = Vec::new();
        self.visit(|found| {
            entries.push((found.name.to_owned(), found.kind));
            ControlFlow::Continue(())
        })?;
        entries
            .into_iter()
            .map(|(name, kind)| {
                let kind = match kind {
                    FileType::Unknown => {
                        let stat = self.stat_at(&name).map_err(failed("look up", self.join(&name)))?;
                        FileType::from_raw_mode(stat.st_mode)
                    }
                    kind => kind,
                };
                Ok((name, kind))
            })
            .collect()
    }

    /// Returns the free space of its file system.
    pub(crate) fn free_space(&self) -> Result<FreeSpace> {
        let stat = rustix::fs::fstatvfs(&self.fd)
            .map_err(failed("read the free space of its file system", &self.path))?;
        Ok(FreeSpace::of(&stat, rustix::process::geteuid().is_root()))
    }

    /// Fails if nothing can be created in this directory. A dry run reports it as a run would, though it may change
    /// meanwhile.
    pub(crate) fn check_writable(&self) -> Result<()> {
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        rustix::fs::accessat(&self.fd, ".", wanted, AtFlags::EACCESS)
            .map_err(failed("write into the directory", &self.path))
    }

    /// Reports whether [`sync_fs`](Dir::sync_fs) reports data that could not be written. It does not before Linux
    /// 5.8, on another system, nor on network and user space file systems: each file must be flushed there.
    pub(crate) fn syncfs_reports_errors(&self) -> bool {
        !self.is_remote() && system::sync_fs_reports_errors()
    }

    /// Reports whether it is on a network or user space file system, which may show old times of change.
    pub(crate) fn is_remote(&self) -> bool {
        system::is_remote(&self.fd)
    }

    /// Says that a name is a link, where that is the reason for an error.
    fn explain(&self, name: &OsStr, error: Error) -> Error {
        let is_link = || {
            self.stat_at(name).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
        };
        match &error {
            Error::Io { source, .. } if may_be_link(source) && is_link() => {
                let reason = "is a symbolic link of a user, and root follows only links that only root can create; name its target";
                Error::Destination { path: self.join(name), reason: reason.into() }
            }
            _ => error,
        }
    }

    fn open_child_with(&self, name: &OsStr, flags: OFlags) -> Result<Dir> {
        let path = self.join(name);
        if self.archived.is_some() {
            return Dir::open(&path);
        }
        let flags = flags | OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = self.open_at(name, flags, Mode::empty()).map_err(failed("open the directory", &path))?;
        Ok(Dir { fd: Arc::new(fd), path, rights: self.rights.clone(), archived: None })
    }

    /// Runs a call on a name in this directory, with the rights for it.
    fn on<T: Send + 'static>(
        &self,
        name: &OsStr,
        call: impl Fn(BorrowedFd<'_>, &OsStr) -> Result<T, Errno> + Send + 'static,
    ) -> Result<T, Errno> {
        match self.rights.links {
            Links::All => call(self.fd.as_fd(), name),
            _ => files::on(&self.fd, name, &self.rights, call),
        }
    }

    /// Runs a call on a name here and one in `to`. Both are this process's own: nothing is linked or renamed with the
    /// rights of another user.
    fn to(
        &self,
        from: &OsStr,
        to: &Dir,
        name: &OsStr,
        call: impl Fn(BorrowedFd<'_>, &OsStr, BorrowedFd<'_>, &OsStr) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        if self.rights.links == Links::All {
            return call(self.fd.as_fd(), from, to.fd.as_fd(), name);
        }
        let call = |dir: BorrowedFd<'_>, from: &OsStr| {
            files::on_own(&to.fd, name, &to.rights, |to, name| call(dir, from, to, name))
        };
        files::on_own(&self.fd, from, &self.rights, call)
    }

    fn rename_to(&self, from: &OsStr, to: &Dir, name: &OsStr) -> Result<(), Errno> {
        self.to(from, to, name, |dir, from, to, name| rustix::fs::renameat(dir, from, to, name))
    }

    fn link_to(&self, from: &OsStr, to: &Dir, name: &OsStr) -> Result<(), Errno> {
        self.to(from, to, name, |dir, from, to, name| {
            retry_on_intr(|| rustix::fs::linkat(dir, from, to, name, AtFlags::empty()))
        })
    }

    pub(super) fn open_at(&self, name: &OsStr, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        if self.archived.is_some() {
            let opened = match flags.intersects(OFlags::RDWR | OFlags::WRONLY | OFlags::CREATE) {
                true => return Err(Errno::ROFS),
                false => files::open(self.join(name)),
            };
            return opened.map(OwnedFd::from).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::NOENT));
        }
        self.on(name, move |dir, name| system::open_at(dir, name, flags, mode))
    }

    fn make_dir(&self, name: &OsStr, mode: u32) -> Result<(), Errno> {
        self.on(name, move |dir, name| rustix::fs::mkdirat(dir, name, mode_of(mode)))
    }

    fn stat_at(&self, name: &OsStr) -> Result<Stat, Errno> {
        if let Some(member) = &self.archived {
            return Ok(member.child(name)?.stat());
        }
        self.on(name, |dir, name| rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW))
    }

    fn unlink_at(&self, name: &OsStr, flags: AtFlags) -> Result<(), Errno> {
        self.on(name, move |dir, name| retry_on_intr(|| rustix::fs::unlinkat(dir, name, flags)))
    }

    pub(super) fn publish_without_noreplace(&self, from: &OsStr, to: &Dir, name: &OsStr) -> Result<bool> {
        let stat = self.stat_at(from).map_err(failed("look up", self.join(from)))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            self.rename_directory(from, to, name)
        } else {
            self.relink(from, to, name)
        }
    }

    fn rename_directory(&self, from: &OsStr, to: &Dir, name: &OsStr) -> Result<bool> {
        if to.exists(name)? {
            return Ok(false);
        }
        match self.rename_to(from, to, name) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => Ok(false),
            Err(e) => Err(failed("rename", self.join(from))(e)),
        }
    }

    fn relink(&self, from: &OsStr, to: &Dir, name: &OsStr) -> Result<bool> {
        match self.link_to(from, to, name) {
            Ok(()) => self.unlink(from).map(|()| true),
            Err(Errno::EXIST) => Ok(false),
            Err(e) => Err(failed("link", to.join(name))(e)),
        }
    }

    fn remove_directory(&self, name: &OsStr) -> Result<()> {
        let child = self.open_child_with(name, OFlags::NOFOLLOW)?;
        for name in child.names()? {
            child.remove_tree(&name)?;
        }
        self.unlink_at(name, AtFlags::REMOVEDIR).map_err(failed("remove the directory", &child.path))
    }

    fn read_names(&self, mut each: impl FnMut(Name<'_>) -> ControlFlow<()>) -> Result<(), Errno> {
        if let Some(member) = &self.archived {
            for (name, child) in member.children()? {
                let found = Name { name: &name, kind: child.file_type(), inode: child.inode() };
                if each(found).is_break() {
                    break;
                }
            }
            return Ok(());
        }
        // It is opened again, so that each listing starts at its beginning.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let again = self.open_at(OsStr::new("."), flags, Mode::empty())?;
        for entry in rustix::fs::Dir::new(again)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            if each(Name { name, kind: entry.file_type(), inode: entry.ino() }).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn join(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl FileId {
    /// Fails unless this is the file that was examined.
    pub(crate) fn require(self, examined: FileId, path: &Path) -> Result<()> {
        match self == examined {
            true => Ok(()),
            false => {
                let how = "another file was put in its place".to_owned();
                Err(Error::Changed { path: path.to_owned(), how })
            }
        }
    }

    /// Takes the identity from metadata.
    pub(crate) fn of_metadata(meta: &Metadata) -> FileId {
        FileId::of(meta.stat())
    }

    /// Takes the identity from a stat(2).
    #[allow(clippy::unnecessary_cast)] // the types differ between architectures
    pub(crate) fn of(stat: &rustix::fs::Stat) -> FileId {
        FileId { device: stat.st_dev as u64, inode: stat.st_ino as u64 }
    }
}

/// Flushes the name of a Maildir to stable storage. A run that was killed between the rename and the flush
/// may not have done it. An unreadable parent is skipped, because this user did not write to it.
pub(crate) fn sync_parent(path: &Path) -> Result<()> {
    match Dir::open(parent_of(path)) {
        Ok(parent) => parent.sync(),
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

/// Reports whether an error may come from a symbolic link that was not followed.
fn may_be_link(error: &io::Error) -> bool {
    [Errno::LOOP, Errno::NOTDIR].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

pub(super) fn failed(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(Errno) -> Error {
    let error = Error::io(action, path);
    move |errno| error(errno.into())
}
