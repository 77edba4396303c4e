//! Check of the list of original folder names.

use std::path::{Path, PathBuf};

use super::manifest::is_damage;
use crate::mailbox::fs::files;
use crate::mailbox::tree::{Folder, renames};
use crate::mailbox::{Code, Finding, Result, display_path};

/// Reports a damaged list of original folder names, and folders in it that are gone.
pub(crate) fn check_folder_names(root: &Path) -> Result<Vec<Finding>> {
    let list = root.join(renames::FILE_NAME);
    let renames = match renames::read(root) {
        Ok(renames) => renames,
        Err(error) if is_damage(&error) => {
            return Ok(vec![Finding::new(Code::ManifestDamaged, error.without_path()).in_file(list)]);
        }
        Err(error) => return Err(error),
    };
    let gone = renames.into_iter().filter(|(directory, _)| !files::exists(root.join(directory)));
    let finding = |(directory, folder): (PathBuf, Folder)| {
        let message = format!("{} is not there; it was named {folder}", display_path(&directory));
        Finding::new(Code::FolderGone, message).in_file(&list)
    };
    Ok(gone.map(finding).collect())
}
