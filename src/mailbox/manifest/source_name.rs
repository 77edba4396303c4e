//! The name of a source in a manifest.

use std::path::{Path, PathBuf};

use crate::mailbox::fs::files;

/// Returns the name of a source in a manifest: the canonical absolute path, so that another spelling is the same
/// source; `-` for standard input. Of a path that does not exist the spelling is made absolute.
pub(crate) fn source_name(path: &Path) -> PathBuf {
    if path.as_os_str() == "-" {
        return path.to_owned();
    }
    files::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

/// Returns the shortest path of a source: relative if it is below the current directory.
pub(super) fn short_source(name: &Path) -> PathBuf {
    let here = files::canonicalize(".").ok();
    let short = here.and_then(|here| name.strip_prefix(here).ok().map(Path::to_owned));
    short.filter(|short| !short.as_os_str().is_empty()).unwrap_or_else(|| name.to_owned())
}
