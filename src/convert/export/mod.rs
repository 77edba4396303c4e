//! Export: Maildirs, and mboxes of other variants, into one mbox. Every message comes over: trashed, empty, header
//! only, with CRLF or NULs.

mod maildir;
mod output;
mod render;

use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use jiff::tz::TimeZone;

use crate::convert::chunks::divide;
use crate::convert::names::{NameTable, PreviousMessages};
use crate::convert::plan::{Plan, PlanOptions, plan};
use crate::convert::render::{Eol, RenderOptions};
use crate::convert::{Dedupe, FolderCount, Input, Outcome, Report, Totals};
use crate::mailbox::context::{Context, Phase};
use crate::mailbox::error::{Error, Result};
use crate::mailbox::fs::durable::Dir;
use crate::mailbox::fs::ownership::Ownership;
use crate::mailbox::fs::parent_of;
use crate::mailbox::maildir::write::Fsync;
use crate::mailbox::manifest::{ByteCounts, ManifestLocation};
use crate::mailbox::mbox::read::Mbox;
use crate::mailbox::mbox::variant::Variant;
use crate::mailbox::mbox::verdict::Extent;
use crate::mailbox::message::received::DateRules;
use maildir::SourceMaildir;
pub(crate) use maildir::find_nested_folders;
use output::{Output, SourceChunk, Work};
use render::Tally;

/// Messages that a worker renders and writes at once.
const MESSAGES_AT_ONCE: usize = 256;

/// A source of an export.
pub(crate) enum ExportSource {
    /// An mbox.
    Mbox(Box<Input>),
    /// A Maildir.
    Maildir(PathBuf),
}

/// How an mbox is written.
#[derive(Clone)]
pub(crate) struct ExportOptions<'a> {
    /// The mbox, or `-` for a stream.
    pub destination: &'a Path,
    /// The variant; None: mboxrd, or that of the mbox which is appended to.
    pub variant: Option<Variant>,
    /// The treatment of an mbox that exists.
    pub output: OutputMode<'a>,
    /// Line ends of the messages written.
    pub eol: Eol,
    /// The zone of From_ lines that name none.
    pub from_zone: Option<TimeZone>,
    /// The manifest of each Maildir, which has the order of its messages.
    pub manifest: ManifestLocation<'a>,
    /// When to flush.
    pub fsync: Fsync,
    /// Owner and mode of a new mbox.
    pub ownership: Ownership,
    /// Write nothing.
    pub dry_run: bool,
}

/// A way to write an mbox.
#[derive(Clone, Copy)]
pub(crate) enum OutputMode<'a> {
    /// As a new file, which appears complete.
    New,
    /// As a new file, which replaces an existing one.
    Replace,
    /// At the end of an existing file, under its locks.
    Append,
    /// To a stream.
    Stream(&'a Mutex<dyn Write + Send>),
}

/// Exports all sources into one mbox, and returns the variant it has. On an error the destination is unchanged.
pub(crate) fn export(
    sources: &[ExportSource],
    options: &ExportOptions<'_>,
    context: &Context<'_>,
) -> (Outcome, Variant) {
    let variant = options.variant.unwrap_or(Variant::Mboxrd);
    let mut export = Export { sources, options, context, reports: Vec::new(), bytes_source: 0, variant };
    let (totals, error) = match export.run() {
        Ok(totals) => (totals, None),
        Err(error) => {
            // A source that changed explains any other error.
            let changed = export.inputs().find_map(|input| input.source.check_unchanged().err());
            let error = if matches!(error, Error::Interrupted) { error } else { changed.unwrap_or(error) };
            (Totals::not_reached(sources.len(), export.bytes_source, 0), Some(error))
        }
    };
    totals.check();
    let Export { mut reports, variant, .. } = export;
    for (source, report) in sources.iter().zip(&mut reports) {
        if let ExportSource::Mbox(input) = source {
            input.complete_report(report, error.is_none());
        }
    }
    let folders = if error.is_none() { FolderCount::inbox(totals.written) } else { Vec::new() };
    (Outcome { reports, totals, folders, error }, variant)
}

/// A source that is ready to be written.
enum ReadySource<'a> {
    Mbox { input: &'a Input, mbox: Mbox<'a>, plan: Plan },
    Maildir(SourceMaildir),
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

impl<'a> Export<'a> {
    fn inputs(&self) -> impl Iterator<Item = &'a Input> + use<'a> {
        self.sources.iter().filter_map(|source| match source {
            ExportSource::Mbox(input) => Some(&**input),
            ExportSource::Maildir(_) => None,
        })
    }

    fn run(&mut self) -> Result<Totals> {
        let Export { sources, options, context, .. } = *self;
        self.bytes_source = self.inputs().map(|input| input.source.text().len() as u64).sum();
        if self.inputs().next().is_some() {
            context.events.begin(Phase::Reading, self.bytes_source);
        }
        let ready = sources.iter().map(|source| self.prepare(source)).collect::<Result<Vec<_>>>()?;
        let numbered = ready.iter().enumerate();
        let chunks: Vec<SourceChunk> = numbered
            .flat_map(|(source, ready)| {
                let parts = divide(ready.sizes().into_iter(), MESSAGES_AT_ONCE);
                parts.into_iter().map(move |part| SourceChunk { source, part })
            })
            .collect();
        let mut output = Output::open(options, context)?;
        self.reports.iter_mut().take(1).for_each(|report| report.findings.append(&mut output.findings));
        self.variant = output.variant;
        check_free_space(options, &chunks)?;
        context.events.begin(Phase::Writing, chunks.iter().map(|chunk| chunk.part.size).sum());
        let tallies = output.write(&Work { sources: &ready, chunks: &chunks, options, context })?;
        self.inputs().try_for_each(|input| input.source.check_unchanged())?;
        context.cancel.check()?;
        let messages = tallies.iter().map(|tally| tally.messages).sum();
        let differing = output.read_back(options, messages)?;
        self.reports.iter_mut().take(1).for_each(|report| report.findings.extend_from_slice(&differing));
        context.events.begin(Phase::Flushing, 0);
        output.finish(options)?;

        let mut total = Totals::default();
        for ((ready, tally), report) in ready.iter().zip(tallies).zip(&mut self.reports) {
            total += &ready.totals(&tally);
            report.findings.extend(tally.findings());
        }
        Ok(total)
    }

    /// Reads a source, and reports on it.
    fn prepare(&mut self, source: &'a ExportSource) -> Result<ReadySource<'a>> {
        match source {
            ExportSource::Maildir(path) => {
                let (maildir, report) = SourceMaildir::open(path, self.options.manifest)?;
                self.bytes_source += maildir.messages.iter().map(|message| message.size).sum::<u64>();
                self.reports.push(report);
                Ok(ReadySource::Maildir(maildir))
            }
            ExportSource::Mbox(input) => {
                let (mbox, mut report) = input.read(self.context);
                let planned = mbox.and_then(|mbox| Ok((self.plan(input, &mbox)?, mbox)));
                let planned = planned.map(|(mut plan, mbox)| {
                    report.findings.append(&mut plan.findings);
                    ReadySource::Mbox { input, mbox, plan }
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
            previous: PreviousMessages::default(),
        };
        let on_progress = |_| context.cancel.check();
        plan(&input.source, mbox, plan_options, &mut NameTable::default(), &on_progress)
    }
}

impl ReadySource<'_> {
    fn sizes(&self) -> Vec<u64> {
        match self {
            ReadySource::Mbox { plan, .. } => plan.messages.iter().map(|m| m.size).collect(),
            ReadySource::Maildir(maildir) => maildir.messages.iter().map(|m| m.size).collect(),
        }
    }

    /// Releases the pages of messages that are rendered, and of all before them.
    fn release(&self, messages: Range<usize>) {
        if let ReadySource::Mbox { input, mbox, .. } = self {
            input.source.release(Extent::span(&mbox.messages()[messages]));
        }
    }

    fn totals(&self, tally: &Tally) -> Totals {
        match self {
            ReadySource::Mbox { mbox, plan, .. } => {
                let mut totals = Totals::default();
                totals.add_source(mbox, &plan.messages);
                assert_eq!(totals.written, tally.messages, "a message is missing");
                totals.line_ends_changed = tally.line_ends;
                totals
            }
            ReadySource::Maildir(maildir) => {
                assert_eq!(
                    maildir.messages.len() as u64,
                    tally.messages + tally.skipped,
                    "a message is missing"
                );
                Totals {
                    sources: 1,
                    messages_found: tally.messages + tally.skipped,
                    written: tally.messages,
                    skipped: tally.skipped,
                    bytes_source: tally.bytes,
                    bytes: ByteCounts { messages: tally.bytes, ..ByteCounts::default() },
                    line_ends_changed: tally.line_ends,
                    ..Totals::default()
                }
            }
        }
    }
}

/// Refuses what cannot fit before the first byte is written.
fn check_free_space(options: &ExportOptions<'_>, chunks: &[SourceChunk]) -> Result<()> {
    if matches!(options.output, OutputMode::Stream(_)) {
        return Ok(());
    }
    /// A From_ line, a blank line, Status.
    const OVERHEAD: u64 = 80;
    let directory = parent_of(options.destination);
    let need = chunks.iter().map(|chunk| chunk.part.size + chunk.part.messages.len() as u64 * OVERHEAD).sum();
    Dir::open(directory)?.free_space()?.require_bytes(directory, need)
}
