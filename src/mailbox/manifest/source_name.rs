//! The name of a source in a manifest.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::mailbox::fs::files;
use crate::mailbox::member_path;

/// Returns the name of a source in a manifest: the canonical absolute path, so that another spelling is the same
/// source; `archive!member` for a member of an archive; `-` for standard input. Of a path that does not exist the
/// spelling is made absolute.
pub(crate) fn source_name(path: &Path) -> PathBuf {
    if path.as_os_str() == "-" {
        return path.to_owned();
    }
    let canonical = files::canonicalize(path).map(|real| member_path::shown(&real).into_owned());
    let absolute = || std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    canonical.ok().or_else(|| member_name(path)).unwrap_or_else(absolute)
}

/// Returns the name of the member in `archive!member`, as a user types it.
fn member_name(path: &Path) -> Option<PathBuf> {
    let bytes = path.as_os_str().as_bytes();
    let marks = bytes.iter().enumerate().filter(|(_, b)| **b == b'!').map(|(at, _)| at);
    let archives = marks.map(|at| (Path::new(OsStr::from_bytes(&bytes[..at])), &bytes[at..]));
    let (archive, member) = archives.rev().find(|(archive, _)| files::is_file(archive))?;
    let mut name = files::canonicalize(archive).ok()?.into_os_string();
    name.push(OsStr::from_bytes(member));
    Some(name.into())
}

/// Reports whether the name of a source ends with this path. That of a member also ends with its path in the archive.
pub(crate) fn is_end_of_name(end: &Path, name: &Path) -> bool {
    let member = [b"!", end.as_os_str().as_bytes()].concat();
    name.ends_with(end) || name.as_os_str().as_bytes().ends_with(&member)
}

/// Returns the shortest path of a source: relative if it is below the current directory.
pub(super) fn short_source(name: &Path) -> PathBuf {
    let here = files::canonicalize(".").ok();
    let short = here.and_then(|here| name.strip_prefix(here).ok().map(Path::to_owned));
    short.filter(|short| !short.as_os_str().is_empty()).unwrap_or_else(|| name.to_owned())
}
