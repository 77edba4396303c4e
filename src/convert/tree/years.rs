//! Folders of a Maildir that are split by year. All of them are in the root.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{Conversion, TreeEntry};
use crate::convert::labels::parse_directory;
use crate::convert::{OtherSplit, SplitOptions, SplitSource, YearDirectories};
use crate::mailbox::manifest::ManifestLocation;
use crate::mailbox::tree::{Folder, Layout, MailboxKind};
use crate::mailbox::{Error, Result};

impl Conversion<'_> {
    /// Reports whether messages go into folders by year.
    pub(super) fn has_year_folders(&self) -> bool {
        self.options.import.split.is_some() && !self.options.layout.is_export()
    }

    /// Returns how the messages of a mailbox are split, if they are.
    pub(super) fn split(&self, entry: &TreeEntry) -> Result<Option<SplitOptions>> {
        let Some(split) = self.options.import.split.clone() else { return Ok(None) };
        let directory = &entry.name.directory;
        if self.options.layout.is_export() || directory.as_os_str().is_empty() {
            return Ok(Some(split));
        }
        let levels = parse_directory(directory.as_os_str().as_bytes());
        let reason = "is not text, so the folder cannot have years; --map gives it another name";
        let base = levels.ok_or_else(|| Error::destination(directory, reason))?;
        Ok(Some(SplitOptions { base, ..split }))
    }

    /// Refuses a layout that has no folders of years.
    pub(super) fn refuse_split_layout(&self) -> Result<()> {
        match self.options.layout {
            Layout::Fs if self.has_year_folders() => {
                let reason = "makes folders of Maildir++; leave out --layout fs";
                Err(Error::usage("--split", reason))
            }
            _ => Ok(()),
        }
    }

    /// Refuses mailboxes that an earlier run converted with another `--split`.
    pub(super) fn refuse_other_split(&self, entries: &[TreeEntry]) -> Result<()> {
        let has_manifests = self.destination.manifest == ManifestLocation::InMaildir
            && self.options.layout == Layout::MaildirPlusPlus;
        if !has_manifests || self.options.import.new_source {
            return Ok(());
        }
        let other = OtherSplit::read(self.destination.path, self.has_year_folders())?;
        entries.iter().try_for_each(|entry| {
            other.refuse(SplitSource {
                path: entry.first_source(),
                is_maildir: entry.mailbox.kind == MailboxKind::Maildir,
                directory: &entry.name.directory,
            })
        })
    }

    /// Lists the folders of years in the root, if there are to be any.
    pub(super) fn year_folders(&self) -> Result<YearDirectories> {
        match self.has_year_folders() {
            true => YearDirectories::list(self.destination.path),
            false => Ok(YearDirectories::default()),
        }
    }

    /// Returns the folders in the root that a mailbox has become, with their directories. `folder` is its name.
    pub(super) fn folders_of(
        &self,
        entry: &TreeEntry,
        folder: &Folder,
        years: &YearDirectories,
    ) -> Vec<(PathBuf, Folder)> {
        let directory = &entry.name.directory;
        // INBOX is there without mail, too.
        let itself = !self.has_year_folders() || entry.is_inbox();
        let itself = itself.then(|| (directory.clone(), folder.clone()));
        let of_year =
            |(year, directory): &(String, PathBuf)| (directory.clone(), folder.child(year.clone().into()));
        itself.into_iter().chain(years.of(directory).iter().map(of_year)).collect()
    }
}
