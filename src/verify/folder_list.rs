//! Check of the folders that the manifest of a tree's root lists.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::manifest::{damage_finding, error_finding, is_damage, tail_finding};
use crate::mailbox::fs::files;
use crate::mailbox::manifest::folders::{find_folders, has_hash};
use crate::mailbox::manifest::{Digest, FILE_NAME, FolderList, FolderState, ManifestLocation};
use crate::mailbox::text::plural;
use crate::mailbox::{Code, Finding, Result, display_path};

/// Checks the folders of a tree that is not a Maildir.
pub(crate) fn check_tree(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut list = FolderList::default();
    let read = ManifestLocation::InMaildir.read(root).and_then(|file| {
        if let Some(file) = file {
            let manifest = file.parse()?;
            findings.extend(tail_finding(manifest.tail, &file.path));
            list = FolderList::new(manifest.folders);
        }
        Ok(())
    });
    match read {
        Ok(()) => {}
        Err(error) if is_damage(&error) => {
            findings.push(error_finding(&error, root));
            return Ok(findings);
        }
        Err(error) => return Err(error),
    }
    check_folders(root, &list, &mut findings)?;
    Ok(findings)
}

/// Checks that each folder in the list is there with its manifest, and that each folder that should be is in the list.
pub(crate) fn check_folders(root: &Path, list: &FolderList, findings: &mut Vec<Finding>) -> Result<()> {
    let found = find_folders(root);
    let by_id: HashMap<Digest, &Path> = found.iter().map(|(path, state)| (state.id, &**path)).collect();
    // A copy of another folder's manifest is damage.
    let is_moved_folder = |state: &FolderState| {
        list.has_id(state.id) && found.iter().filter(|(_, other)| other.id == state.id).count() == 1
    };
    for record in list.iter() {
        let path = root.join(record.path());
        let finding = match FolderState::read(&path) {
            Ok(Some(state)) if state.id == record.id => {
                if state.state == Some(record.state) {
                    continue;
                }
                if has_hash(&path, record.state)? {
                    let message = "has a section that the manifest of the root does not have yet";
                    Finding::new(Code::FolderListBehind, message).in_file(path.join(FILE_NAME))
                } else {
                    let message = "lacks a section that it had: it was cut off, or replaced by an older one";
                    damage_finding(&path.join(FILE_NAME), message.to_owned())
                }
            }
            Ok(state) => match (by_id.get(&record.id), state) {
                (Some(now), _) => {
                    let message = format!("was converted into {}", display_path(&path));
                    Finding::new(Code::FolderMoved, message).in_file(root.join(now))
                }
                (None, _) if !files::exists(&path) => {
                    let message = "gone with its mail and its manifest";
                    let finding = Finding::new(Code::FolderDeleted, message).in_file(path);
                    finding.with_hint("convert --new-source brings it back, if the source is there")
                }
                (None, Some(other)) if is_moved_folder(&other) => {
                    let message =
                        "was converted, and is gone with its mail: another folder was moved to its place";
                    let finding = Finding::new(Code::FolderDeleted, message).in_file(path);
                    finding.with_hint("convert --new-source brings it back, if the source is there")
                }
                // The check of the folder reports what is left of it.
                (None, None) if files::exists(path.join(FILE_NAME)) => continue,
                (None, None) => {
                    let message = "missing, so mail of this folder may be missing unnoticed";
                    Finding::new(Code::ManifestGone, message).in_file(path.join(FILE_NAME))
                }
                (None, Some(_)) => {
                    let message = "is not that of this folder any more: it begins differently";
                    damage_finding(&path.join(FILE_NAME), message.to_owned())
                }
            },
            Err(error) => {
                let text = super::report::error_text(&error, &path);
                Finding::new(Code::IoError, text).in_file(error.path().unwrap_or(&path))
            }
        };
        findings.push(finding);
    }
    // A folder of another tree may have been moved here.
    let is_unlisted = |folder: &Path, state: &FolderState| {
        !list.has_id(state.id) && state.created_as.as_deref() == Some(folder)
    };
    let unlisted: Vec<PathBuf> =
        found.into_iter().filter(|(path, state)| is_unlisted(path, state)).map(|(path, _)| path).collect();
    if let Some(first) = unlisted.first() {
        let others = match unlisted.len() as u64 - 1 {
            0 => String::new(),
            others => format!(", and {} more", plural(others, "folder")),
        };
        let message = format!(
            "does not list the folder {}{others}: it was cut off, or a conversion was killed",
            display_path(first)
        );
        let finding = Finding::new(Code::FolderUnlisted, message).in_file(root.join(FILE_NAME));
        findings.push(finding.with_hint("run the same convert command again to list them"));
    }
    Ok(())
}
