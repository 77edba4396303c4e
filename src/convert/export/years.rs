//! An export into an mbox for each year.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::options::{ExportOptions, OutputMode};
use super::output::{MESSAGES_AT_ONCE, SourceChunk};
use super::ready_source::ReadySource;
use crate::convert::YearSplit;
use crate::convert::chunks::divide as divide_messages;
use crate::mailbox::fs::atomic_file::AtomicFile;
use crate::mailbox::fs::{Dir, files, parent_of};
use crate::mailbox::{Context, Error, Result};

/// The mbox of a year.
pub(super) struct YearMbox {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) chunks: Vec<SourceChunk>,
}

impl YearMbox {
    /// Refuses an mbox that exists before the first one is written.
    pub(super) fn check(&self, options: &ExportOptions<'_>) -> Result<()> {
        match options.output {
            OutputMode::New | OutputMode::Replace if files::is_dir(options.destination) => {
                let replace = matches!(options.output, OutputMode::Replace);
                AtomicFile::check(&self.path, replace).map(drop)
            }
            _ => Ok(()),
        }
    }
}

/// Divides the messages of all sources by their years. The mboxes are in the order of their names.
pub(super) fn divide(
    sources: &[ReadySource<'_>],
    options: &ExportOptions<'_>,
    context: &Context<'_>,
) -> Result<Vec<YearMbox>> {
    let Some(zone) = options.split.clone() else { return Ok(Vec::new()) };
    let mut split = YearSplit::new(zone);
    let mut years: Vec<YearMbox> = Vec::new();
    // A dry run creates no directory.
    let is_missing = options.dry_run && !files::is_dir(options.destination);
    for (source, ready) in sources.iter().enumerate() {
        context.cancel.check()?;
        let numbers = ready.split(&mut split)?;
        for number in years.len()..split.count() {
            let name = split.name(number).to_owned();
            let path = match is_missing {
                true => options.destination.to_owned(),
                false => options.destination.join(&name),
            };
            years.push(YearMbox { path, name, chunks: Vec::new() });
        }
        let sizes = ready.sizes();
        let mut first = 0;
        for run in numbers.chunk_by(|a, b| a == b) {
            let messages = first..first + run.len();
            first = messages.end;
            let Some(number) = run[0] else { continue };
            for mut part in divide_messages(sizes[messages.clone()].iter().copied(), MESSAGES_AT_ONCE) {
                part.messages = part.messages.start + messages.start..part.messages.end + messages.start;
                years[number].chunks.push(SourceChunk { source, part });
            }
        }
    }
    years.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(years)
}

/// Creates the directory of the mboxes if it is missing.
pub(super) fn create_directory(options: &ExportOptions<'_>) -> Result<()> {
    let path = options.destination;
    if options.dry_run || files::is_dir(path) {
        return Ok(());
    }
    let name: &OsStr =
        path.file_name().ok_or_else(|| Error::destination(path, "is not a name for a directory"))?;
    let parent = Dir::open(parent_of(path))?;
    parent.open_or_create_dir(name, options.modes.dir_mode())?;
    parent.sync()
}
