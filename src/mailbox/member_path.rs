//! Paths of the members of archives.
//!
//! In memory a member's path is the archive's path, a NUL byte, and the names in the archive. No file has such a name,
//! and the kernel takes no such path, so the name of a member never leads to a file. A user and the manifest see
//! `archive!member`.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Returns the path of the directory that an archive is read as.
pub(crate) fn root_of(archive: &Path) -> PathBuf {
    let mut root = archive.as_os_str().to_owned();
    root.push(OsStr::from_bytes(b"\0"));
    root.into()
}

/// Divides the path of a member into the archive's path and the path in it; `None` for the path of a file.
pub(crate) fn split(path: &Path) -> Option<(&Path, &Path)> {
    let bytes = path.as_os_str().as_bytes();
    let end = bytes.iter().position(|&b| b == 0)?;
    let inside = bytes[end + 1..].strip_prefix(b"/").unwrap_or(&bytes[end + 1..]);
    Some((Path::new(OsStr::from_bytes(&bytes[..end])), Path::new(OsStr::from_bytes(inside))))
}

/// Returns `archive!member` for the path of a member. Any other path stays.
pub(crate) fn shown(path: &Path) -> Cow<'_, Path> {
    match split(path) {
        None => Cow::Borrowed(path),
        Some((archive, inside)) if inside.as_os_str().is_empty() => Cow::Borrowed(archive),
        Some((archive, inside)) => {
            let parts = [archive.as_os_str().as_bytes(), b"!", inside.as_os_str().as_bytes()];
            Cow::Owned(OsString::from_vec(parts.concat()).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_member_has_two_forms() {
        let root = root_of(Path::new("/a/takeout.tgz"));
        let member = root.join("Takeout/Mail/x.mbox");
        assert_eq!(split(&member), Some((Path::new("/a/takeout.tgz"), Path::new("Takeout/Mail/x.mbox"))));
        assert_eq!(*shown(&member), *Path::new("/a/takeout.tgz!Takeout/Mail/x.mbox"));
        assert_eq!(*shown(&root), *Path::new("/a/takeout.tgz"));
        assert_eq!(*shown(Path::new("/a/b!c")), *Path::new("/a/b!c"));
        assert_eq!(split(Path::new("/a/b")), None);
        assert!(std::fs::metadata(&member).is_err_and(|e| e.kind() == std::io::ErrorKind::InvalidInput));
    }
}
