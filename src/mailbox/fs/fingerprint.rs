//! A hash over names, sizes and times of files, which changes with them. Their contents are not read.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::entries;
use super::files::{self, Metadata};
use crate::mailbox::{Cancel, Error, Result};

/// Returns the hash over a file, or over all that is below a directory. A missing one has a hash, too.
///
/// # Errors
/// [`Error::Io`] for what cannot be looked up, [`Error::Interrupted`].
pub(crate) fn fingerprint(path: &Path, follow: bool, cancel: &Cancel) -> Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let found = match files::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(hasher.finalize()),
        found => found.map_err(Error::io("look up", path))?,
    };
    add(&mut hasher, path, &found);
    if found.is_dir() {
        for entry in entries::below(path, follow) {
            cancel.check()?;
            // What cannot be read now is an error of the conversion, if it is one.
            let Ok(entry) = entry else { continue };
            match files::symlink_metadata(&entry.path) {
                Ok(found) => add(&mut hasher, &entry.path, &found),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("look up", &entry.path)(e)),
            }
        }
    }
    Ok(hasher.finalize())
}

fn add(hasher: &mut blake3::Hasher, path: &Path, found: &Metadata) {
    let stat = found.stat();
    let (mode, inode) = (stat.st_mode, stat.st_ino);
    let state = match found.is_dir() {
        // Lock files change its times, and its names are hashed anyway.
        true => format!("{mode} {inode}"),
        false => format!(
            "{mode} {inode} {} {}.{} {}.{}",
            found.len(),
            stat.st_mtime,
            stat.st_mtime_nsec,
            stat.st_ctime,
            stat.st_ctime_nsec
        ),
    };
    for part in [path.as_os_str().as_bytes(), state.as_bytes()] {
        hasher.update(part);
        hasher.update(&[0]);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_change_of_any_file_changes_it() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("mail");
        let of = || fingerprint(&root, false, Cancel::never()).unwrap();
        let mut seen = vec![of()];
        let mut differs = |what: &str| {
            let now = of();
            assert!(!seen.contains(&now), "{what}");
            assert_eq!(now, of());
            seen.push(now);
        };
        fs::create_dir_all(root.join("sub")).unwrap();
        differs("a directory");
        fs::write(root.join("sub/a"), "one").unwrap();
        differs("a new file");
        fs::write(root.join("sub/a"), "two!").unwrap();
        differs("a change");
        fs::rename(root.join("sub/a"), root.join("sub/b")).unwrap();
        differs("a new name");
        fs::remove_file(root.join("sub/b")).unwrap();
        fs::write(root.join("sub/b"), "two!").unwrap();
        differs("another file with the same name and size");
    }
}
