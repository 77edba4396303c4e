//! Reading of the manifests of a Maildir and its folders.

use std::path::{Path, PathBuf};

use crate::mailbox::manifest::{
    self, Gap, ManifestFile, ManifestLocation, MessageRecord, Outline, Section, SectionFooter, SectionHeader,
};
use crate::mailbox::{Code, Error, Finding, Result};
use crate::verify::VerifyOptions;

/// A valid manifest.
#[derive(Debug)]
pub(crate) struct LoadedManifest {
    pub(super) path: PathBuf,
    /// Index of its folder.
    pub(super) folder: usize,
    pub(super) sections: Vec<Section>,
    /// True if a section is the newest one of its source; parallel to `sections`.
    pub(super) newest: Vec<bool>,
}

impl LoadedManifest {
    pub(super) fn newest_sections(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter().zip(&self.newest).filter_map(|(section, newest)| newest.then_some(section))
    }
}

/// Reads the manifests of all folders. A damaged one is reported and not used.
pub(crate) fn load(
    folders: &[PathBuf],
    options: &VerifyOptions<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<LoadedManifest>> {
    let mut manifests = Vec::new();
    for (folder, directory) in folders.iter().enumerate() {
        let manifest = match ManifestLocation::named(options.manifest.filter(|_| folder == 0)) {
            location @ ManifestLocation::File(_) => Some(location.read_existing(directory)?),
            location => location.read(directory)?,
        };
        let Some(ManifestFile { path, text }) = manifest else { continue };
        match parse(&text, &path) {
            Ok((sections, newest)) => manifests.push(LoadedManifest { path, folder, sections, newest }),
            Err(Error::Manifest { line, reason, .. }) => {
                let text = format!("line {line} {reason}");
                let finding = Finding::new(Code::ManifestDamaged, text).in_file(&path);
                findings.push(
                    finding.with_hint("restore it from a backup; without it nothing says what was converted"),
                );
            }
            Err(error) => return Err(error),
        }
    }
    Ok(manifests)
}

fn parse(text: &[u8], path: &Path) -> Result<(Vec<Section>, Vec<bool>)> {
    let outlines = manifest::outline(text, path)?;
    if outlines.is_empty() {
        return Err(Error::Manifest { path: path.to_owned(), line: 1, reason: "begins no section".into() });
    }
    if outlines.iter().any(|o| o.footer.is_none()) {
        check_lines(text, path)?;
    }
    let newest = (0..outlines.len()).map(|n| is_newest(&outlines, n)).collect();
    let sections = outlines.iter().map(Outline::read).collect::<Result<_>>()?;
    Ok((sections, newest))
}

/// Checks the lines of a manifest with an open section, which has no hash. A kill truncates only the last line, so
/// every other one must parse, and the last one must be the beginning of a line.
fn check_lines(text: &[u8], path: &Path) -> Result<()> {
    for (n, line) in text.split_inclusive(|&b| b == b'\n').enumerate() {
        let parsed = match () {
            () if line.starts_with(b"{\"section\":") => serde_json::from_slice::<SectionHeader>(line).err(),
            () if line.starts_with(b"{\"closes\":") => serde_json::from_slice::<SectionFooter>(line).err(),
            () if line.starts_with(b"{\"gap\":") => serde_json::from_slice::<Gap>(line).err(),
            () => serde_json::from_slice::<MessageRecord>(line).err(),
        };
        let is_truncated = !line.ends_with(b"\n");
        if let Some(error) = parsed.filter(|error| !(is_truncated && error.is_eof())) {
            let reason = format!("is none of ours: {error}");
            return Err(Error::Manifest { path: path.to_owned(), line: n as u64 + 1, reason });
        }
    }
    Ok(())
}

/// Reports whether no later closed section describes the same source.
fn is_newest(outlines: &[Outline<'_>], n: usize) -> bool {
    let later = n + 1..outlines.len();
    !later.into_iter().any(|later| outlines[later].footer.is_some() && manifest::follows(outlines, later, n))
}
