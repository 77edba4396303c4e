//! Files without a name.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::dir::{Dir, failed};
use crate::mailbox::error::Result;
use crate::mailbox::fs::random::random_name;
use crate::mailbox::fs::system;

/// Creates a file in `dir` for reading and writing that has no name when this returns. It disappears with its last
/// handle, however the process ends.
pub(crate) fn anonymous_file(dir: &Path) -> Result<File> {
    let dir = Dir::open(dir)?;
    let Some(unnamed) = system::UNNAMED_FILE else { return unlinked_file(&dir) };
    let flags = unnamed | OFlags::RDWR | OFlags::CLOEXEC;
    match dir.open_at(OsStr::new("."), flags, Mode::RUSR | Mode::WUSR) {
        Ok(fd) => Ok(File::from(fd)),
        // Kernels and file systems without the flag say EISDIR.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => unlinked_file(&dir),
        Err(e) => Err(failed("create a temporary file there", dir.path())(e)),
    }
}

/// Creates a file in memory, for when no directory may be written to. A system without such files has it in /tmp.
pub(crate) fn memory_file(name: &str) -> io::Result<File> {
    match system::memory_file(name) {
        Err(Errno::NOSYS) => {
            let dir = Dir::open(Path::new("/tmp")).map_err(io::Error::other)?;
            unlinked_file(&dir).map_err(io::Error::other)
        }
        file => Ok(File::from(file?)),
    }
}

/// Creates an [`anonymous_file`] without O_TMPFILE: a hidden file whose name is removed at once.
pub(super) fn unlinked_file(dir: &Dir) -> Result<File> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    loop {
        let name = random_name();
        match dir.open_at(&name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => return dir.unlink(&name).map(|()| File::from(fd)),
            Err(Errno::EXIST) => {}
            Err(e) => return Err(failed("create a temporary file there", dir.path())(e)),
        }
    }
}
