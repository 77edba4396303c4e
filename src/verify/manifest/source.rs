//! Comparison of converted sources with their state at the conversion.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use super::load::{LoadedManifest, MessageLine, damage_finding};
use super::ranges::{SourceParts, find_false_line};
use crate::mailbox::fs::{Dir, files, parent_of};
use crate::mailbox::maildir::list;
use crate::mailbox::manifest::{Digest, MessageRecord, Section};
use crate::mailbox::source::{Contents, mapped};
use crate::mailbox::text::plural;
use crate::mailbox::{Code, Context, Error, Finding, Result, display_path};
use crate::verify::VerifyOptions;
use crate::verify::options::SourceOpener;
use crate::verify::report::error_text;

/// A message whose file has other bytes than were converted.
pub(super) struct ChangedMessage<'a> {
    pub(super) finding: Finding,
    pub(super) record: MessageRecord,
    pub(super) section: &'a Section<MessageLine>,
    pub(super) path: PathBuf,
}

/// Comparison of the sources in a manifest.
pub(super) struct SourceComparison<'a> {
    pub(super) manifest: &'a LoadedManifest,
    pub(super) options: &'a VerifyOptions<'a>,
    pub(super) open: SourceOpener<'a>,
    pub(super) context: &'a Context<'a>,
}

impl SourceComparison<'_> {
    /// Returns a finding about each source. Where a source is unchanged, the findings about `changed` messages get the
    /// first byte that differs.
    pub(super) fn compare(&self, changed: &mut [ChangedMessage<'_>]) -> Result<Vec<Finding>> {
        let (mut findings, mut maildirs) = (Vec::new(), HashSet::new());
        for section in self.manifest.newest_sections() {
            if section.header.is_maildir() {
                if maildirs.insert(&section.header.source.0) {
                    findings.push(self.compare_maildir(section)?);
                }
                continue;
            }
            let named = section.source();
            let path = match self.options.source {
                Some(path) => path,
                None if named.as_os_str() == "-" => continue,
                None => &named,
            };
            let compared = self.compare_source(section, path, changed, &mut findings);
            let text = match compared {
                Ok(text) => text,
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => format!("could not be compared: {}", error_text(&error, path)),
            };
            findings.push(Finding::new(Code::SourceCompared, text).in_file(path));
        }
        Ok(findings)
    }

    /// Returns a phrase about a source.
    fn compare_source(
        &self,
        section: &Section<MessageLine>,
        path: &Path,
        changed: &mut [ChangedMessage<'_>],
        findings: &mut Vec<Finding>,
    ) -> Result<String> {
        if files::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok("is gone; what was converted is known by the manifest alone".to_owned());
        }
        let source = (self.open)(path)?;
        let (raw, before) = (source.raw(), section.header.size as usize);
        if raw.len() < before {
            return Ok(format!("is another file or shorter now: {} bytes, was {before}", raw.len()));
        }
        let digest = Digest::from(source.hash_first(before, self.context.cancel)?);
        source.check_unchanged()?;
        if digest != section.header.blake3 {
            return Ok("is not the file that was converted".into());
        }
        // The lines of an open section do not cover the source.
        let is_closed = section.footer.is_some();
        let find = || find_false_line(self.manifest, section, &source, self.context.cancel);
        let false_line = is_closed.then(find);
        if let Some(what) = false_line.transpose()?.flatten() {
            let text = format!("does not match {}: {what}", display_path(path));
            findings.push(damage_finding(&self.manifest.path, text));
        }
        let of_section = changed.iter_mut().filter(|changed| std::ptr::eq(changed.section, section));
        of_section.for_each(|changed| changed.locate(raw));
        Ok(match raw.len() - before {
            0 => "is the same as when it was converted".into(),
            more => format!("has grown by {more} bytes since it was converted; its beginning is the same"),
        })
    }

    /// Compares the names in a Maildir with those that were copied.
    fn compare_maildir(&self, section: &Section<MessageLine>) -> Result<Finding> {
        let named = section.source();
        let path = self.options.source.unwrap_or(&named);
        let text = match list::list_messages(path, self.context.now) {
            Ok(entries) => {
                let now: HashSet<&[u8]> = entries.iter().map(|entry| entry.parsed().base).collect();
                let sections =
                    self.manifest.sections.iter().filter(|s| s.header.source == section.header.source);
                let lines = sections.filter(|s| s.header.is_maildir()).flat_map(|s| &s.messages);
                let original = |line| {
                    let record = self.manifest.record(line)?;
                    Ok(record.original.unwrap_or(record.name).0)
                };
                let copied: HashSet<Vec<u8>> = lines.map(original).collect::<Result<_>>()?;
                let there = copied.iter().filter(|name| now.contains(&name[..])).count();
                format!(
                    "has {there} of the {} messages that were copied, by their names, and {} others",
                    copied.len(),
                    now.iter().filter(|name| !copied.contains(**name)).count()
                )
            }
            Err(error) if error.is(io::ErrorKind::NotFound) => {
                "is gone; what was copied is known by the manifest alone".to_owned()
            }
            Err(error) => format!("could not be compared: {}", error_text(&error, path)),
        };
        Ok(Finding::new(Code::SourceCompared, text).in_file(path))
    }
}

impl ChangedMessage<'_> {
    /// Finds the first byte that differs from the source.
    fn locate(&mut self, raw: &[u8]) {
        let mut file = Contents::default();
        let expected = SourceParts::new(&self.record, &self.section.header, raw)
            .filter(|parts| parts.is_file(&self.record));
        let Some(expected) = expected.filter(|_| self.record.eols.is_empty()) else { return };
        if load_file(&self.path, &mut file).is_err() {
            return;
        }
        let at = expected.first_difference(&file);
        let (before, now) = (expected.len(), file.len());
        self.finding.offset = Some(at as u64);
        self.finding.line = Some(mapped::count_byte(b'\n', &file[..at]) as u64 + 1);
        let message = match before == now {
            true => format!("changed since conversion: differs from byte {at}"),
            false => {
                format!(
                    "changed since conversion: differs from byte {at} ({}, was {before})",
                    plural(now as u64, "byte")
                )
            }
        };
        self.finding.message = message.into();
    }
}

/// Loads a message again.
fn load_file(path: &Path, contents: &mut Contents) -> Result<()> {
    let file = Dir::open(parent_of(path))?.open_file(path.file_name().unwrap_or_default())?;
    let meta = file.metadata().map_err(Error::io("look at", path))?;
    let size = if meta.is_file() { meta.len() } else { 0 };
    contents.load(&file, size, path)?;
    // What cannot be decompressed is compared as it is.
    contents.decode(path).map(drop)
}
