//! The mailboxes in an archive, found as in the directory that it unpacks to.

use std::path::{Path, PathBuf};

use super::Tree;
use super::walk::{SkippedEntry, walk};
use crate::mailbox::Result;
use crate::mailbox::source::{SpoolOptions, archive};

/// Finds the mailboxes in an archive. A file that is in one of `earlier`, under its name and byte for byte, is left
/// out: the parts of a Takeout have files in common.
///
/// # Errors
/// Those of [`archive::read`] and [`walk`].
pub(crate) fn walk_archive(path: &Path, earlier: &[PathBuf], spooling: &SpoolOptions<'_>) -> Result<Tree> {
    let opened = archive::read(path, earlier, spooling)?;
    let mut tree = walk(&opened.root, false, spooling)?;
    let unread = opened.unread.into_iter().map(|member| SkippedEntry {
        path: member.path,
        reason: member.reason,
        may_be_mail: member.may_be_mail,
        hint: member.hint,
    });
    tree.skipped.extend(unread);
    tree.repeated = opened.repeated;
    Ok(tree)
}
