//! Restore (`convert --exact`): a source back, byte for byte, from its Maildir and the manifest. Where a message is
//! gone or changed, it is named and nothing is written.

mod choose;
mod files;
mod message;
mod options;
mod rebuild;

use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use crate::mailbox::finding::Severity;
use crate::mailbox::fs::atomic_file::AtomicFile;
use crate::mailbox::fs::{durable, ignore_poison};
use crate::mailbox::manifest::{DividedSection, Outline, UnselectedRange};
use crate::mailbox::text::{grouped, grouped_plural};
use crate::mailbox::{Code, Context, Error, Finding, Phase, Result, display_path};
use choose::choose;
use files::MessageFiles;
use rebuild::{Check, MESSAGES_AT_ONCE, Rebuild, Rebuilt, Target};

pub(crate) use options::{RestoreOptions, RestoreTarget, SourceSelector};

/// A source that was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RestoreSummary {
    /// The source as the manifest names it.
    pub source: PathBuf,
    /// The number of messages.
    pub messages: u64,
    /// The number of bytes.
    pub bytes: u64,
}

/// Restores a source. The findings name the messages that are gone or changed. Returns None if not all of its messages
/// were converted, which a finding says.
pub(crate) fn restore(
    options: &RestoreOptions<'_>,
    context: &Context<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Option<RestoreSummary>> {
    let manifest = options.manifest.read_existing(options.maildir)?;
    let (parsed, files) = rayon::join(|| manifest.parse(), || MessageFiles::list(options.maildir, context));
    let parsed = parsed?;
    let outline = choose(&parsed, options.source.as_ref(), &manifest.path)?;
    let section = outline.divide(MESSAGES_AT_ONCE)?;
    if let Some(finding) = unselected_finding(outline, &section) {
        findings.push(finding);
        return Ok(None);
    }
    let rebuild = Rebuild { outline, section: &section, files: &files?, context };
    match &options.target {
        RestoreTarget::Stream(stream) => rebuild.write_stream(stream, findings)?,
        RestoreTarget::File { path, replace } => {
            let file = AtomicFile::create(path, *replace, Duration::ZERO, context.cancel)?;
            rebuild.write_file(&file, path, findings)?;
            context.events.begin(Phase::Flushing, 0);
            file.commit(true)?;
        }
    }
    let (messages, bytes) = (section.messages as u64, outline.header.size);
    Ok(Some(RestoreSummary { source: outline.source(), messages, bytes }))
}

impl Rebuild<'_> {
    /// Writes the source into a file that is new. It must be removed if this fails.
    fn write_file(&self, file: &AtomicFile, path: &Path, findings: &mut Vec<Finding>) -> Result<()> {
        let (events, size) = (self.context.events, self.outline.header.size);
        let target = Target::File(&file.file, path);
        events.begin(Phase::Writing, size);
        if let Rebuilt::Same = self.run(Check::Whole, target)? {
            return Ok(());
        }
        self.check_each(findings)?;
        // Another file of the same name has the bytes, or a message is as it was again.
        durable::truncate(&file.file, 0).map_err(Error::io("write", path))?;
        self.write(target)
    }

    /// Writes the source to a stream: only once all of it is known to be right.
    fn write_stream(&self, stream: &Mutex<dyn Write + Send>, findings: &mut Vec<Finding>) -> Result<()> {
        self.context.events.begin(Phase::Reading, self.outline.header.size);
        if !matches!(self.run(Check::Whole, Target::Nowhere)?, Rebuilt::Same) {
            self.check_each(findings)?;
        }
        self.write(Target::Stream(stream))?;
        ignore_poison(stream.lock()).flush().map_err(Error::io("write", Path::new("standard output")))
    }

    /// Finds every message that is gone or changed. Fails if there is one, or if the bytes of all of them are not those
    /// of the source.
    fn check_each(&self, findings: &mut Vec<Finding>) -> Result<()> {
        self.context.events.begin(Phase::Reading, self.outline.header.size);
        match self.run(Check::EachMessage, Target::Nowhere)? {
            Rebuilt::Same => Ok(()),
            Rebuilt::Different => Err(self.different()),
            Rebuilt::Faults(faults) => {
                let reason = format!(
                    "cannot be restored byte for byte: {} of {} messages are gone or changed; each is listed",
                    faults.len(),
                    self.section.messages
                );
                findings.extend(faults);
                Err(Error::destination(&self.outline.source(), reason))
            }
        }
    }

    /// Writes messages that may have changed since they were checked.
    fn write(&self, target: Target<'_>) -> Result<()> {
        self.context.events.begin(Phase::Writing, self.outline.header.size);
        match self.run(Check::EachMessage, target)? {
            Rebuilt::Same => Ok(()),
            Rebuilt::Different => Err(self.different()),
            Rebuilt::Faults(mut faults) => {
                let how = faults.swap_remove(0).message.into();
                Err(Error::Changed { path: self.files.maildir().to_owned(), how })
            }
        }
    }

    fn different(&self) -> Error {
        self.outline.damaged("begins a section whose parts do not add up to its source")
    }
}

/// Returns the finding about messages that were not selected: how many, and the first ranges of the source.
fn unselected_finding(outline: &Outline<'_>, section: &DividedSection<'_>) -> Option<Finding> {
    /// Ranges that are named.
    const NAMED: usize = 3;
    let first = section.unselected.first()?.at;
    let count: u64 = section.unselected.iter().map(|range| range.unselected).sum();
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for UnselectedRange { at, len, .. } in &section.unselected {
        let separator = outline.header.separator.0.len() as u64;
        match ranges.last_mut().filter(|last| last.end + separator == *at) {
            Some(last) => last.end = at + len,
            None => ranges.push(*at..at + len),
        }
    }
    let named = ranges.iter().take(NAMED).map(|range| format!("{} to {}", range.start, range.end));
    let mut named = named.collect::<Vec<_>>().join(", ");
    if ranges.len() > NAMED {
        named += &format!(", and {} more", grouped((ranges.len() - NAMED) as u64));
    }
    let message = format!(
        "{} of {} of {} were not selected, and cannot be restored: bytes {named}",
        grouped(count),
        grouped_plural(count + section.messages as u64, "message"),
        display_path(&outline.source()),
    );
    let hint = "convert the source again without --since and --before; then it can be restored";
    let finding = Finding::at(Code::NotSelected, first, message).with_hint(hint);
    Some(Finding { severity: Severity::Error, ..finding })
}
