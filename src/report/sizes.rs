//! The sizes of mailboxes that are still to be converted.

use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::totals::BytesLeft;
use crate::mailbox::fs::{entries, files};
use crate::mailbox::{Cancel, Error, Result};

/// Adds up the sizes of the sources of accounts. No file is read, and no link is followed.
///
/// # Errors
/// [`Error::Interrupted`].
pub(crate) fn add_up(accounts: &[Vec<PathBuf>], cancel: &Cancel) -> Result<BytesLeft> {
    let left = |sources: &Vec<PathBuf>| -> Result<BytesLeft> {
        cancel.check()?;
        let sizes: Result<Vec<u64>, Unknown> = sources.iter().map(|source| size(source, cancel)).collect();
        match sizes {
            Ok(sizes) if !sizes.is_empty() => {
                Ok(BytesLeft { bytes: sizes.into_iter().fold(0, u64::saturating_add), unknown: 0 })
            }
            _ => Ok(BytesLeft { bytes: 0, unknown: 1 }),
        }
    };
    let add = |a: BytesLeft, b: BytesLeft| BytesLeft {
        bytes: a.bytes.saturating_add(b.bytes),
        unknown: a.unknown + b.unknown,
    };
    let left = accounts.par_iter().map(left).try_reduce(BytesLeft::default, |a, b| Ok(add(a, b)))?;
    cancel.check()?;
    Ok(left)
}

/// A file or directory could not be looked up.
struct Unknown;

impl From<io::Error> for Unknown {
    fn from(_: io::Error) -> Unknown {
        Unknown
    }
}

impl From<Error> for Unknown {
    fn from(_: Error) -> Unknown {
        Unknown
    }
}

/// Returns the size of a file, or of all files below a directory.
fn size(path: &Path, cancel: &Cancel) -> Result<u64, Unknown> {
    let meta = files::metadata(path)?;
    if !meta.is_dir() {
        return Ok(meta.len());
    }
    let mut sum = 0_u64;
    for entry in entries::below(path, false) {
        cancel.check()?;
        let entry = entry.map_err(|_| Unknown)?;
        if entry.kind == rustix::fs::FileType::RegularFile {
            match files::symlink_metadata(&entry.path) {
                Ok(meta) => sum = sum.saturating_add(meta.len()),
                // A mail program works in it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(sum)
}
