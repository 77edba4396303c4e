//! The directories above a destination that `--parents` creates.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::mailbox::Result;
use crate::mailbox::fs::{files, parent_of};
use crate::mailbox::maildir::create::create_parents;

/// Creates the missing directories above a destination, and returns them.
pub(super) fn create(destination: &Path) -> Result<Vec<PathBuf>> {
    let above = parent_of(destination);
    let existing = above.ancestors().find(|path| !path.as_os_str().is_empty() && files::exists(path));
    create_parents(destination, existing.unwrap_or(Path::new(".")))
}

/// Returns what a dry run looks at in place of a destination whose parents would be created: the first of them. A slash
/// at the end stays.
pub(super) fn first_missing(destination: &Path) -> PathBuf {
    let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !files::exists(path);
    let first = destination.ancestors().skip(1).take_while(is_missing).last();
    match first {
        Some(first) if destination.as_os_str().as_bytes().ends_with(b"/") => first.join(""),
        Some(first) => first.to_owned(),
        None => destination.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_looks_at_the_first_directory_that_is_missing() {
        let temp = tempfile::tempdir().unwrap();
        let path = |name: &str| temp.path().join(name);
        for (destination, want) in
            [("a/b/Maildir", "a"), ("a/b/c/", "a/"), ("Maildir", "Maildir"), ("out/", "out/")]
        {
            assert_eq!(first_missing(&path(destination)).as_os_str(), path(want).as_os_str());
        }
    }
}
