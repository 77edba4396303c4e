//! Files without a name.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::dir::{Dir, failed, random};
use crate::mailbox::error::Result;

/// Creates a file in `dir` for reading and writing that has no name when this returns. It disappears with its last
/// handle, however the process ends.
pub(crate) fn anonymous_file(dir: &Path) -> Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let dir = Dir::open(dir)?;
    match dir.open_at(OsStr::new("."), flags, Mode::RUSR | Mode::WUSR) {
        Ok(fd) => Ok(File::from(fd)),
        // Kernels and file systems without the flag say EISDIR.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => unlinked_file(&dir),
        Err(e) => Err(failed("create a temporary file there", dir.path())(e)),
    }
}

/// Returns a hidden name that nothing else has.
pub(crate) fn random_name() -> OsString {
    format!(".mailferry-{:016x}", random()).into()
}

/// Creates a file in memory, for when no directory may be written to.
pub(crate) fn memory_file(name: &str) -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)?))
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
