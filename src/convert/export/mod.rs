//! Export: Maildirs, and mboxes of other variants, into one mbox or into files of one message each. Every message comes
//! over: trashed, empty, header only, with CRLF or NULs.

mod file_name;
mod maildir;
mod maildir_uids;
mod message_files;
mod options;
mod output;
mod ready_source;
mod render;
mod tally;
mod uids;
mod years;

use crate::convert::chunks::divide;
use crate::convert::plan::plan;
use crate::convert::{
    Abort, Dedupe, FolderCount, Input, NameTable, Outcome, Plan, PlanOptions, PreviousMessages,
    RenderOptions, Report, Totals,
};
use crate::mailbox::fs::{Dir, files, parent_of};
use crate::mailbox::mbox::{Mbox, Variant};
use crate::mailbox::message::DateRules;
use crate::mailbox::{Context, Error, Phase, Result};
use maildir::SourceMaildir;
use maildir_uids::UidEdit;
use output::{MESSAGES_AT_ONCE, Output, SourceChunk, Work};
use ready_source::ReadySource;
use tally::Tally;
use uids::ExportUids;

pub(crate) use maildir::find_nested_folders;
pub(crate) use options::{ExportOptions, ExportSource, ExportedMessages, OutputMode};

/// Exports all sources, and returns the variant that an mbox has. On an error no mbox is new or changed, unless another
/// program puts a file in the place of a year's. Files of one message each that are complete stay.
pub(crate) fn export(
    sources: &[ExportSource],
    options: &ExportOptions<'_>,
    context: &Context<'_>,
) -> (Outcome, Variant) {
    let variant = options.variant.unwrap_or(Variant::Mboxrd);
    let mut export = Export { sources, options, context, reports: Vec::new(), bytes_source: 0, variant };
    let done = export.run().map_err(|error| {
        // A source that changed explains any other error.
        let changed = export.inputs().find_map(|input| input.source.check_unchanged().err());
        Abort::from(if matches!(error, Error::Interrupted) { error } else { changed.unwrap_or(error) })
    });
    let outcome = Outcome::new(done, sources.len(), export.bytes_source);
    let Export { mut reports, variant, .. } = export;
    for (source, report) in sources.iter().zip(&mut reports) {
        if let ExportSource::Mbox(input) = source {
            input.complete_report(report, outcome.error.is_none());
        }
    }
    (Outcome { reports, ..outcome }, variant)
}

/// An export while it runs, with what is known of it when an error occurs.
struct Export<'a> {
    sources: &'a [ExportSource],
    options: &'a ExportOptions<'a>,
    context: &'a Context<'a>,
    reports: Vec<Report>,
    bytes_source: u64,
    variant: Variant,
}

/// A destination that was written.
struct Written<'a> {
    /// The counts of each source.
    tallies: Vec<Tally>,
    bytes_needed: u64,
    /// The mbox, which has not appeared yet.
    output: Option<Output<'a>>,
}

impl<'a> Export<'a> {
    fn inputs(&self) -> impl Iterator<Item = &'a Input> + use<'a> {
        self.sources.iter().filter_map(|source| match source {
            ExportSource::Mbox(input) => Some(&**input),
            ExportSource::Maildir(_) => None,
        })
    }

    fn run(&mut self) -> Result<(Totals, Vec<FolderCount>)> {
        let Export { sources, options, context, .. } = *self;
        self.bytes_source = self.inputs().map(|input| input.source.text().len() as u64).sum();
        if self.inputs().next().is_some() {
            context.events.begin(Phase::Reading, self.bytes_source);
        }
        let mut ready = sources.iter().map(|source| self.prepare(source)).collect::<Result<Vec<_>>>()?;
        let mut uids = ExportUids::plan(&mut ready, &mut self.reports, options)?;
        let chunks = divide_sources(&ready);
        if chunks.is_empty() && matches!(options.output, OutputMode::Continue) {
            return Ok((Totals::default(), Vec::new()));
        }
        let work = Work { sources: &ready, chunks: &chunks, options, context };
        let mut folders = Vec::new();
        let (tallies, bytes_needed) = match options.split {
            Some(_) => self.write_years(&work, &mut folders)?,
            None => {
                let Written { tallies, bytes_needed, output } = self.write(&work, &mut uids)?;
                output.map_or(Ok(()), |output| self.finish(output, options))?;
                (tallies, bytes_needed)
            }
        };
        let mut total = Totals { bytes_needed, ..Totals::default() };
        for ((ready, tally), report) in ready.iter_mut().zip(tallies).zip(&mut self.reports) {
            total += &ready.totals(&tally);
            report.findings.extend(tally.findings());
        }
        self.reports.iter_mut().take(1).for_each(|report| report.findings.append(&mut uids.findings));
        let total = Totals { uids: uids.counts, ..total };
        if options.split.is_none() {
            folders = FolderCount::inbox(&total);
        }
        Ok((total, folders))
    }

    /// Writes an mbox, or a directory of files, for each year, with its counts to `folders`.
    fn write_years(&mut self, work: &Work<'_>, folders: &mut Vec<FolderCount>) -> Result<(Vec<Tally>, u64)> {
        let Work { sources, options, context, .. } = *work;
        let years = years::divide(sources, options, context)?;
        years.iter().try_for_each(|year| year.check(options))?;
        check_free_space(options, work.chunks)?;
        years::create_directory(options)?;
        let mut tallies: Vec<Tally> = sources.iter().map(|_| Tally::default()).collect();
        let (mut bytes_needed, mut outputs) = (0, Vec::new());
        let options_of_years: Vec<ExportOptions<'_>> =
            years.iter().map(|year| ExportOptions { destination: &year.path, ..options.clone() }).collect();
        for (year, options) in years.iter().zip(&options_of_years) {
            let work = Work { chunks: &year.chunks, options, ..*work };
            let Written { tallies: of_year, bytes_needed: bytes, output } =
                self.write(&work, &mut ExportUids::default())?;
            outputs.extend(output.map(|output| (options, output)));
            let written: u64 = of_year.iter().map(|tally| tally.messages).sum();
            let already_present: u64 = of_year.iter().map(|tally| tally.present.len() as u64).sum();
            let (name, found) = (year.name.clone(), written + already_present);
            folders.push(FolderCount { name, found, written, already_present, ..FolderCount::default() });
            bytes_needed += bytes;
            tallies.iter_mut().zip(of_year).for_each(|(tally, of_year)| *tally += of_year);
        }
        // None appears before all are complete.
        outputs.into_iter().try_for_each(|(options, output)| self.finish(output, options))?;
        Ok((tallies, bytes_needed))
    }

    /// Lets an mbox appear.
    fn finish(&self, output: Output<'_>, options: &ExportOptions<'_>) -> Result<()> {
        self.context.events.begin(Phase::Flushing, 0);
        output.finish(options)
    }

    /// Writes the destination.
    fn write<'o>(&mut self, work: &Work<'o>, uids: &mut ExportUids) -> Result<Written<'o>> {
        let Work { chunks, options, context, .. } = *work;
        if !matches!(options.output, OutputMode::Files) {
            return self.write_mbox(work, uids);
        }
        let bytes_needed = check_free_space(options, chunks)?;
        context.events.begin(Phase::Writing, chunks.iter().map(|chunk| chunk.part.size).sum());
        Ok(Written { tallies: message_files::write(work)?, bytes_needed, output: None })
    }

    /// Writes the mbox, which does not appear yet.
    fn write_mbox<'o>(&mut self, work: &Work<'o>, uids: &mut ExportUids) -> Result<Written<'o>> {
        let Work { chunks, options, context, .. } = *work;
        let mut output = Output::open(options, context)?;
        self.reports.iter_mut().take(1).for_each(|report| report.findings.append(&mut output.findings));
        self.variant = output.variant;
        let bytes_needed = check_free_space(options, chunks)?;
        context.events.begin(Phase::Writing, chunks.iter().map(|chunk| chunk.part.size).sum());
        let tallies = output.write(work)?;
        self.inputs().try_for_each(|input| input.source.check_unchanged())?;
        context.cancel.check()?;
        uids.check_base(tallies.iter().any(|tally| tally.has_base), options)?;
        let messages = tallies.iter().map(|tally| tally.messages).sum();
        let differing = output.read_back(options, messages)?;
        self.reports.iter_mut().take(1).for_each(|report| report.findings.extend_from_slice(&differing));
        Ok(Written { tallies, bytes_needed, output: Some(output) })
    }

    /// Reads a source, and reports on it.
    fn prepare(&mut self, source: &'a ExportSource) -> Result<ReadySource<'a>> {
        match source {
            ExportSource::Maildir(path) => {
                let (maildir, report) = SourceMaildir::open(path, self.options, self.context)?;
                let bytes = maildir.messages.iter().map(|message| message.size).sum::<u64>();
                self.bytes_source += bytes + maildir.not_selected_bytes;
                self.reports.push(report);
                Ok(ReadySource::Maildir(maildir))
            }
            ExportSource::Mbox(input) => {
                let (mbox, mut report) = input.read(self.context);
                let planned = mbox.and_then(|mbox| Ok((self.plan(input, &mbox)?, mbox)));
                let planned = planned.map(|(mut plan, mbox)| {
                    report.findings.append(&mut plan.findings);
                    if let Some(details) = &mut report.details {
                        details.add_messages(&input.source, &mbox, &plan);
                    }
                    ReadySource::Mbox { input, mbox, plan, uid_edit: UidEdit::Keep }
                });
                self.reports.push(report);
                planned
            }
        }
    }

    /// Plans dates for From_ lines that have none, and finds UW-IMAP's pseudo message.
    fn plan(&self, input: &Input, mbox: &Mbox<'_>) -> Result<Plan> {
        let Export { options, context, .. } = self;
        let from_zone = options.from_zone.clone();
        let plan_options = PlanOptions {
            render: RenderOptions { eol: options.eol, ..RenderOptions::default() },
            dates: DateRules { now: context.now, mtime: input.source.mtime(), from_zone, first: None },
            dedupe: Dedupe::No,
            selection: options.selection,
            split: None,
            reports_assumptions: false,
            previous: PreviousMessages::default(),
        };
        let on_progress = |_| context.cancel.check();
        plan(&input.source, mbox, plan_options, &mut NameTable::default(), &on_progress)
    }
}

/// Divides all messages of all sources into chunks.
fn divide_sources(sources: &[ReadySource<'_>]) -> Vec<SourceChunk> {
    let chunks = sources.iter().enumerate().flat_map(|(source, ready)| {
        let parts = divide(ready.sizes().into_iter(), MESSAGES_AT_ONCE);
        parts.into_iter().map(move |part| SourceChunk { source, part })
    });
    chunks.collect()
}

/// Refuses what cannot fit before the first byte is written, and returns the bytes that are needed.
fn check_free_space(options: &ExportOptions<'_>, chunks: &[SourceChunk]) -> Result<u64> {
    if matches!(options.output, OutputMode::Stream(_)) {
        return Ok(0);
    }
    /// A From_ line, a blank line, Status.
    const OVERHEAD: u64 = 80;
    let to_files = matches!(options.output, OutputMode::Files);
    let need = chunks.iter().map(|chunk| chunk.part.size + chunk.part.messages.len() as u64 * OVERHEAD).sum();
    // A directory that exists may have all of the messages.
    if to_files && files::is_dir(options.destination) {
        return Ok(need);
    }
    let directory = files::nearest_dir(parent_of(options.destination));
    let free = Dir::open(directory)?.free_space()?;
    free.require_bytes(directory, need)?;
    if to_files {
        free.require_inodes(directory, chunks.iter().map(|chunk| chunk.part.messages.len() as u64).sum())?;
    }
    Ok(need)
}
