//! The original names of folders whose names could not be kept, in a file in the root. JSON Lines. Names that decode
//! from their escapes are not listed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Folder;
use crate::mailbox::fs::{Dir, read_regular};
use crate::mailbox::manifest::Bytes;
use crate::mailbox::{Error, Result};

pub(crate) const FILE_NAME: &str = "mailferry.folders";

/// Folders by their path below the root.
pub(crate) type Renames = BTreeMap<PathBuf, Folder>;

#[derive(Serialize, Deserialize)]
struct Line {
    directory: Bytes,
    folder: Vec<Bytes>,
}

/// Reads the list of a root. A missing list is empty.
///
/// # Errors
/// [`Error::Io`]; [`Error::Manifest`] for an invalid line.
pub(crate) fn read(root: &Path) -> Result<Renames> {
    let path = root.join(FILE_NAME);
    let text = match read_regular(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Renames::new()),
        Err(e) => return Err(Error::io("read", &path)(e)),
    };
    let lines = text.split(|&b| b == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    let renames = lines.map(|(n, line)| {
        let line: Line = serde_json::from_slice(line).map_err(|e| {
            let reason = format!("is not a line of a list of folders: {e}");
            Error::Manifest { path: path.clone(), line: n as u64 + 1, reason }
        })?;
        let folder = Folder(line.folder.into_iter().map(|level| level.0).collect());
        Ok((PathBuf::from(OsStr::from_bytes(&line.directory.0)), folder))
    });
    renames.collect()
}

/// Replaces the list of a root.
pub(crate) fn write(root: &Dir, renames: &Renames) -> Result<()> {
    let mut text = Vec::new();
    for (directory, folder) in renames {
        let line = Line {
            directory: Bytes(directory.as_os_str().as_bytes().to_vec()),
            folder: folder.0.iter().cloned().map(Bytes).collect(),
        };
        // Writing these types into memory cannot fail.
        let written = serde_json::to_writer(&mut text, &line);
        debug_assert!(written.is_ok());
        text.push(b'\n');
    }
    root.write_atomic(root, OsStr::new(FILE_NAME), &text, 0o666)
}
