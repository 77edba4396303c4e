//! Earlier conversions into the same Maildir with another `--split`.

use std::path::{Path, PathBuf};

use super::YearDirectories;
use crate::mailbox::manifest::{self, ManifestLocation, SectionHeader};
use crate::mailbox::{Error, Result, display_path};

/// What earlier runs converted into a Maildir with another `--split` than this one.
pub(crate) struct OtherSplit<'a> {
    root: &'a Path,
    is_split: bool,
    /// The sections in the manifest of the Maildir itself, if they may be those of folders of years.
    sections: Vec<SectionHeader>,
    years: YearDirectories,
}

/// A source, and the folder that it becomes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SplitSource<'a> {
    pub(crate) path: &'a Path,
    pub(crate) is_maildir: bool,
    /// The directory of the folder without `--split`, relative to the Maildir; empty for the Maildir itself.
    pub(crate) directory: &'a Path,
}

impl OtherSplit<'_> {
    /// Reads what a Maildir with folders has. `is_split` says whether this run splits.
    pub(crate) fn read(root: &Path, is_split: bool) -> Result<OtherSplit<'_>> {
        let years = YearDirectories::list(root)?;
        let sections = if is_split || years.is_empty() { Vec::new() } else { read_sections(root) };
        Ok(OtherSplit { root, is_split, sections, years })
    }

    /// Refuses a source that is there with the other `--split`: its mail would be there twice.
    pub(crate) fn refuse(&self, source: SplitSource<'_>) -> Result<()> {
        let Some(folder) = self.find(source) else { return Ok(()) };
        let (path, folder) = (display_path(source.path), display_path(&folder));
        let reason = match self.is_split {
            true => format!(
                "{path} was converted into {folder} without it, and its mail would be there twice; leave it out, or \
                 use another directory"
            ),
            false => format!(
                "{path} was converted with it into folders such as {folder}, and its mail would be there twice; use \
                 --split year, or another directory"
            ),
        };
        Err(Error::usage("--split", reason))
    }

    fn find(&self, source: SplitSource<'_>) -> Option<PathBuf> {
        let SplitSource { path, is_maildir, directory } = source;
        let name = manifest::source_name(path);
        let is_own =
            |header: &SectionHeader| header.is_maildir() == is_maildir && header.source.is_path(&name);
        let has_it = |folder: &PathBuf| read_sections(folder).iter().any(is_own);
        let of_years = || self.years.of(directory).iter().map(|(_, folder)| self.root.join(folder));
        let is_inbox = directory.as_os_str().is_empty();
        match (is_maildir, self.is_split) {
            // Both are recorded in the manifest of the Maildir itself, so what is there stays where it is.
            (false, _) if is_inbox => None,
            (_, true) => Some(self.root.join(directory)).filter(has_it),
            (true, false) => of_years().find(has_it),
            (false, false) => {
                let is_split = self.sections.iter().any(|header| header.split.is_some() && is_own(header));
                is_split.then(of_years)?.next()
            }
        }
    }
}

/// Reads the first lines of the sections of a manifest. Who writes to it reports what cannot be read.
fn read_sections(maildir: &Path) -> Vec<SectionHeader> {
    let manifest = ManifestLocation::InMaildir.read(maildir).ok().flatten();
    manifest.map(|manifest| manifest.headers()).unwrap_or_default()
}
