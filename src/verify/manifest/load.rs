//! Reading of the manifests of a Maildir and its folders.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::mailbox::manifest::{
    self, FolderRecord, Gap, ManifestFile, ManifestLocation, MessageRecord, Outline, Section, SectionFooter,
    SectionHeader, UnselectedRange,
};
use crate::mailbox::text::plural;
use crate::mailbox::{Code, Error, Finding, Result};
use crate::verify::VerifyOptions;

/// A valid manifest.
#[derive(Debug)]
pub(crate) struct LoadedManifest {
    pub(crate) path: PathBuf,
    /// The position of its folder among all folders.
    pub(super) folder: usize,
    pub(super) sections: Vec<Section>,
    /// True if a section is the newest one of its source; parallel to `sections`.
    pub(super) newest: Vec<bool>,
    /// The folders of a tree, oldest line first.
    pub(crate) listed: Vec<FolderRecord>,
}

impl LoadedManifest {
    pub(super) fn newest_sections(&self) -> impl Iterator<Item = &Section> {
        self.sections_with_age().filter_map(|(section, newest)| newest.then_some(section))
    }

    /// Returns all sections, each with true if it is the newest one of its source.
    pub(super) fn sections_with_age(&self) -> impl Iterator<Item = (&Section, bool)> {
        self.sections.iter().zip(self.newest.iter().copied())
    }
}

/// Reads the manifests of a Maildir and its folders. The Maildir is at the position `first` among all folders. A
/// damaged manifest is reported and not used.
pub(crate) fn load(
    folders: &[PathBuf],
    first: usize,
    options: &VerifyOptions<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<LoadedManifest>> {
    let mut manifests = Vec::new();
    for (folder, directory) in (first..).zip(folders) {
        let manifest = match ManifestLocation::named(options.manifest.filter(|_| folder == first)) {
            location @ ManifestLocation::File(_) => location.read_existing(directory).map(Some),
            location => location.read(directory),
        };
        let loaded = manifest.and_then(|manifest| match manifest {
            Some(ManifestFile { path, text }) => {
                LoadedManifest::parse(&text, path, folder, findings).map(Some)
            }
            None => Ok(None),
        });
        match loaded {
            Ok(manifest) => manifests.extend(manifest),
            Err(error) if is_damage(&error) => findings.push(error_finding(&error, directory)),
            Err(error) => return Err(error),
        }
    }
    Ok(manifests)
}

/// Reports whether an error is about what a manifest or list is: it has an invalid line, or is not a regular file.
pub(crate) fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Manifest { .. }) || error.is(ErrorKind::Other)
}

/// Returns the finding about a manifest of `maildir` that is damaged.
pub(crate) fn error_finding(error: &Error, maildir: &Path) -> Finding {
    damage_finding(error.path().unwrap_or(maildir), error.without_path())
}

/// Returns the finding about a manifest that is damaged.
pub(crate) fn damage_finding(path: &Path, message: String) -> Finding {
    let finding = Finding::new(Code::ManifestDamaged, message).in_file(path);
    finding.with_hint("restore it from a backup; without it nothing shows what was converted")
}

impl LoadedManifest {
    fn parse(
        text: &[u8],
        path: PathBuf,
        folder: usize,
        findings: &mut Vec<Finding>,
    ) -> Result<LoadedManifest> {
        let manifest = manifest::parse(text, &path)?;
        if manifest.sections.is_empty() && manifest.folders.is_empty() {
            return Err(Error::Manifest { path, line: 1, reason: "does not begin a section".into() });
        }
        if manifest.sections.iter().any(|section| section.footer.is_none()) {
            check_lines(text, &path)?;
        } else {
            findings.extend(tail_finding(manifest.tail, &path));
        }
        let newest = manifest.superseded(|_| ()).into_iter().map(|superseded| !superseded).collect();
        let sections = manifest.sections.iter().map(Outline::read).collect::<Result<_>>()?;
        let listed = manifest.folders;
        Ok(LoadedManifest { path, folder, sections, newest, listed })
    }
}

/// Returns the finding about bytes after the last line: the beginning of a line that a killed run wrote, or junk.
pub(crate) fn tail_finding(tail: &[u8], path: &Path) -> Option<Finding> {
    if tail.is_empty() {
        return None;
    }
    let length = plural(tail.len() as u64, "byte");
    let is_cut_off = |error: serde_json::Error| error.is_eof();
    if serde_json::from_slice::<SectionHeader>(tail).is_err_and(is_cut_off)
        || serde_json::from_slice::<FolderRecord>(tail).is_err_and(is_cut_off)
    {
        let text = format!("ends with {length} of a line: a conversion was killed, or is running");
        let finding = Finding::new(Code::ConversionUnfinished, text).in_file(path);
        return Some(finding.with_hint("run the same convert command again to complete it"));
    }
    let text = format!("ends with {length} that are not a line");
    let finding = Finding::new(Code::ManifestDamaged, text).in_file(path);
    Some(finding.with_hint("the next conversion into this Maildir removes them"))
}

/// Checks the lines of a manifest with an open section, which has no hash. A kill truncates only the last line, so
/// every other one must parse, and the last one must be the beginning of a line.
fn check_lines(text: &[u8], path: &Path) -> Result<()> {
    for (n, line) in text.split_inclusive(|&b| b == b'\n').enumerate() {
        let parsed = match () {
            () if line.starts_with(b"{\"section\":") => serde_json::from_slice::<SectionHeader>(line).err(),
            () if line.starts_with(b"{\"closes\":") => serde_json::from_slice::<SectionFooter>(line).err(),
            () if line.starts_with(b"{\"folder\":") => serde_json::from_slice::<FolderRecord>(line).err(),
            () if line.starts_with(b"{\"unselected\":") => {
                serde_json::from_slice::<UnselectedRange>(line).err()
            }
            () if line.starts_with(b"{\"gap\":") => serde_json::from_slice::<Gap>(line).err(),
            () => serde_json::from_slice::<MessageRecord>(line).err(),
        };
        let is_truncated = !line.ends_with(b"\n");
        if let Some(error) = parsed.filter(|error| !(is_truncated && error.is_eof())) {
            let reason = format!("is not a line of a manifest: {error}");
            return Err(Error::Manifest { path: path.to_owned(), line: n as u64 + 1, reason });
        }
    }
    Ok(())
}
