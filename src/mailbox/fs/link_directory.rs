//! A directory of symbolic links, for a search path.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::Dir;
use super::random::random_name;
use crate::mailbox::error::{Error, Result};

/// A private directory that exists as long as its handle. A process that is killed leaves it behind.
#[derive(Debug)]
pub(crate) struct LinkDirectory {
    parent: Dir,
    name: OsString,
}

impl LinkDirectory {
    /// Creates it in `parent` with links of these names, which all lead to `target`.
    pub(crate) fn create(parent: &Path, names: &[&str], target: &Path) -> Result<LinkDirectory> {
        let (parent, name) = (Dir::open(parent)?, random_name());
        parent.create_dir(&name, 0o700)?;
        let directory = LinkDirectory { parent, name };
        for name in names {
            let link = directory.path().join(OsStr::new(name));
            symlink(target, &link).map_err(Error::io("create the link", &link))?;
        }
        Ok(directory)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.parent.path().join(&self.name)
    }
}

impl Drop for LinkDirectory {
    fn drop(&mut self) {
        // It disturbs nothing, and nothing can be done about it.
        let _ = self.parent.remove_tree(&self.name);
    }
}
