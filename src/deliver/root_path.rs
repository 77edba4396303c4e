//! Paths that root alone can change.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::mailbox::{Error, display_path};
use crate::transport::{Failure, FailureReason};

const STICKY: u32 = 0o1000;
const OTHERS_WRITABLE: u32 = 0o022;
/// Symbolic links in one path, as many as Linux follows.
const MAX_LINKS: u32 = 40;

/// Checks that root alone can change or replace what is at `path`, as far as it exists. Each directory and symbolic link
/// on the way must be root's, and not writable by others. A sticky directory may be: no other user can remove
/// root's names there.
///
/// # Errors
/// [`FailureReason::Configuration`] with the path at fault.
pub(crate) fn require_root_only(path: &Path) -> Result<(), Failure> {
    let path = std::path::absolute(path).map_err(Error::io("look up", path))?;
    walk(&path, MAX_LINKS)
}

fn walk(path: &Path, links: u32) -> Result<(), Failure> {
    let refuse = |at: &Path, why: &str| {
        let text = format!("{}: {why}; root delivers where nobody else can write", display_path(at));
        Err(Failure::new(FailureReason::Configuration, text))
    };
    let mut at = PathBuf::new();
    let mut parts = path.components();
    while let Some(part) = parts.next() {
        at.push(part);
        let meta = match std::fs::symlink_metadata(&at) {
            Ok(meta) => meta,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            Err(e) => return Err(Error::io("look up", &at)(e).into()),
        };
        if meta.uid() != 0 {
            return refuse(&at, &format!("it belongs to user {}", meta.uid()));
        }
        if meta.is_symlink() {
            if links == 0 {
                return refuse(&at, "there are too many symbolic links");
            }
            let to = std::fs::read_link(&at).map_err(Error::io("read the link", &at))?;
            at.pop();
            return walk(&at.join(to).join(parts.as_path()), links - 1);
        }
        let is_last = parts.as_path().as_os_str().is_empty();
        let is_shared = meta.is_dir() && !is_last && meta.mode() & STICKY != 0;
        if meta.mode() & OTHERS_WRITABLE != 0 && !is_shared {
            let who = if meta.mode() & OTHERS_WRITABLE == 0o002 { "o-w" } else { "go-w" };
            let mode = meta.mode() & 0o7777;
            return refuse(&at, &format!("others may write to it (mode {mode:04o}); run chmod {who} on it"));
        }
    }
    Ok(())
}
