//! Export: Maildirs, and mboxes of other variants, into one mbox. Every message comes over: trashed, empty, header
//! only, with CRLF or NULs.
//!
//! Workers read and render a chunk of messages, take their turn for a place in the file, and write there
//! concurrently. The order is that of the messages, and only the chunks at work are in memory.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};

use jiff::tz::TimeZone;

use crate::convert::names::{NameTable, PreviousMessages};
use crate::convert::plan::{self, Plan, PlanOptions};
use crate::convert::planned::Disposition;
use crate::convert::read_back::{self, WrittenMbox};
use crate::convert::render::{Eol, RenderOptions, render};
use crate::convert::{Dedupe, FolderCount, Input, Outcome, Report, Totals};
use crate::mailbox::context::{Context, Phase};
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::fs::atomic_file::AtomicFile;
use crate::mailbox::fs::durable::{self, Dir};
use crate::mailbox::fs::ignore_poison;
use crate::mailbox::fs::ownership::Ownership;
use crate::mailbox::fs::parent_of;
use crate::mailbox::maildir::keywords::{self, KeywordSet, KeywordTable};
use crate::mailbox::maildir::list::{self, Entry, MaildirReader};
use crate::mailbox::maildir::subdir::Subdir;
use crate::mailbox::maildir::write::Fsync;
use crate::mailbox::manifest::{self, ByteCounts, ManifestLocation, Outline};
use crate::mailbox::mbox::append::MboxAppender;
use crate::mailbox::mbox::from_line::{self, LineClass};
use crate::mailbox::mbox::quote::Quoting;
use crate::mailbox::mbox::read::Mbox;
use crate::mailbox::mbox::status::{LabelPolicy, Status, StatusFields};
use crate::mailbox::mbox::variant::Variant;
use crate::mailbox::mbox::verdict::Extent;
use crate::mailbox::mbox::write::{self, Changes, FromLineSpec, MboxMessage};
use crate::mailbox::message::header;
use crate::mailbox::message::received::DateRules;
use crate::mailbox::text::escape;
use crate::mailbox::tree::walk::stray_mail;

/// A source of an export.
#[derive(Debug)]
pub(crate) enum ExportSource {
    /// An mbox.
    Mbox(Box<Input>),
    /// A Maildir.
    Maildir(PathBuf),
}

/// How an mbox is written.
#[derive(Debug, Clone)]
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

impl std::fmt::Debug for OutputMode<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            OutputMode::New => "New",
            OutputMode::Replace => "Replace",
            OutputMode::Append => "Append",
            OutputMode::Stream(_) => "Stream",
        })
    }
}

/// Exports all sources into one mbox, and returns the variant it has. On an error the destination is unchanged.
pub(crate) fn export(
    mut sources: Vec<ExportSource>,
    options: &ExportOptions<'_>,
    context: &Context<'_>,
) -> (Outcome, Variant) {
    let lock_findings: Vec<_> = sources.iter_mut().map(ExportSource::take_findings).collect();
    let variant = options.variant.unwrap_or(Variant::Mboxrd);
    let reports = Vec::with_capacity(sources.len());
    let mut export = Export { options, context, report: PartialReport { reports, bytes_source: 0, variant } };
    let (totals, error) = match export.run(&sources, lock_findings) {
        Ok(totals) => (totals, None),
        Err(error) => {
            // A source that changed explains any other error.
            let changed = sources.iter().find_map(|source| source.input()?.source.check_unchanged().err());
            let error = if matches!(error, Error::Interrupted) { error } else { changed.unwrap_or(error) };
            (Totals::not_reached(sources.len(), export.report.bytes_source, 0), Some(error))
        }
    };
    let PartialReport { mut reports, variant, .. } = export.report;
    totals.check();
    for (source, report) in sources.iter().zip(&mut reports) {
        source.input().into_iter().for_each(|input| input.complete_report(report, error.is_none()));
    }
    let folders = if error.is_none() { FolderCount::inbox(totals.written) } else { Vec::new() };
    (Outcome { reports, totals, folders, error }, variant)
}

impl ExportSource {
    fn input(&self) -> Option<&Input> {
        match self {
            ExportSource::Mbox(input) => Some(input),
            ExportSource::Maildir(_) => None,
        }
    }

    fn take_findings(&mut self) -> Vec<Finding> {
        match self {
            ExportSource::Mbox(input) => input.source.take_findings(),
            ExportSource::Maildir(_) => Vec::new(),
        }
    }
}

/// The part of a report that exists when an error occurs.
struct PartialReport {
    reports: Vec<Report>,
    bytes_source: u64,
    variant: Variant,
}

/// A source that is ready to be written.
enum ReadySource<'a> {
    Mbox { input: &'a Input, mbox: Mbox<'a>, plan: Plan },
    Maildir(SourceMaildir),
}

struct Export<'a> {
    options: &'a ExportOptions<'a>,
    context: &'a Context<'a>,
    report: PartialReport,
}

impl Export<'_> {
    fn run(&mut self, sources: &[ExportSource], lock_findings: Vec<Vec<Finding>>) -> Result<Totals> {
        let Export { options, context, report } = self;
        let inputs = || sources.iter().filter_map(ExportSource::input);
        report.bytes_source = inputs().map(|input| input.source.text().len() as u64).sum();
        if inputs().next().is_some() {
            context.events.begin(Phase::Reading, report.bytes_source);
        }
        let mut ready = Vec::with_capacity(sources.len());
        for (source, findings) in sources.iter().zip(lock_findings) {
            ready.push(match source {
                ExportSource::Maildir(path) => {
                    let (maildir, found) = SourceMaildir::open(path, options.manifest)?;
                    report.bytes_source += maildir.messages.iter().map(|message| message.size).sum::<u64>();
                    report.reports.push(found);
                    ReadySource::Maildir(maildir)
                }
                ExportSource::Mbox(input) => {
                    let (mbox, found) = input.read(findings, context);
                    report.reports.push(found);
                    let mbox = mbox?;
                    let mut plan = plan_mbox(input, &mbox, options, context)?;
                    if let Some(found) = report.reports.last_mut() {
                        found.findings.append(&mut plan.findings);
                    }
                    ReadySource::Mbox { input, mbox, plan }
                }
            });
        }
        let chunks = chunks(&ready);
        let mut output = Output::open(options, context)?;
        report.reports.iter_mut().take(1).for_each(|report| report.findings.append(&mut output.findings));
        report.variant = output.variant;
        check_free_space(options, &chunks)?;
        context.events.begin(Phase::Writing, chunks.iter().map(|chunk| chunk.size).sum());
        let work = Work { ready: &ready, chunks: &chunks, variant: output.variant, options, context };
        let tallies = output.write(&work)?;
        inputs().try_for_each(|input| input.source.check_unchanged())?;
        context.cancel.check()?;
        let differing = output.read_back(options, tallies.iter().map(|tally| tally.messages).sum())?;
        report.reports.iter_mut().take(1).for_each(|report| report.findings.extend_from_slice(&differing));
        context.events.begin(Phase::Flushing, 0);
        output.finish(options)?;

        let mut total = Totals::default();
        for (n, ready) in ready.iter().enumerate() {
            let tally = tallies.iter().zip(&chunks).filter(|(_, chunk)| chunk.source == n);
            let tally = tally.fold(Tally::default(), |sum, (tally, _)| sum.and(tally));
            total += &source_totals(ready, &tally);
            report.reports[n].findings.extend(tally.findings());
        }
        Ok(total)
    }
}

fn source_totals(ready: &ReadySource<'_>, tally: &Tally) -> Totals {
    match ready {
        ReadySource::Mbox { mbox, plan, .. } => {
            let mut totals = Totals::default();
            totals.add_source(mbox, &plan.messages);
            assert_eq!(totals.written, tally.messages, "a message is missing");
            totals.line_ends_changed = tally.line_ends;
            totals
        }
        ReadySource::Maildir(maildir) => {
            assert_eq!(maildir.messages.len() as u64, tally.messages + tally.skipped, "a message is missing");
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

/// Plans dates for From_ lines that have none, and finds UW-IMAP's pseudo message.
fn plan_mbox(
    input: &Input,
    mbox: &Mbox<'_>,
    options: &ExportOptions<'_>,
    context: &Context<'_>,
) -> Result<Plan> {
    let from_zone = options.from_zone.clone();
    let plan_options = PlanOptions {
        render: RenderOptions { eol: options.eol, ..RenderOptions::default() },
        dates: DateRules { now: context.now, mtime: input.source.mtime(), from_zone, first: None },
        dedupe: Dedupe::No,
        previous: PreviousMessages::default(),
    };
    let on_progress = |_| context.cancel.check();
    plan::plan(&input.source, mbox, plan_options, &mut NameTable::default(), &on_progress)
}

/// A Maildir, its messages in the order in which they are written.
struct SourceMaildir {
    files: MaildirReader,
    messages: Vec<SourceMessage>,
    keywords: KeywordTable,
}

struct SourceMessage {
    entry: Entry,
    size: u64,
    /// The sender in the From_ line that the manifest has.
    sender: Option<Box<[u8]>>,
}

impl SourceMaildir {
    fn open(path: &Path, manifest: ManifestLocation<'_>) -> Result<(SourceMaildir, Report)> {
        let files = MaildirReader::open(path)?;
        let (entries, recorded) = rayon::join(|| list::list_messages(path), || read_recorded(path, manifest));
        let (entries, mut findings) = (entries?, Vec::new());
        let recorded = match recorded {
            Err(error @ Error::Manifest { .. }) => {
                let message = format!("{error}; the messages are in the order of their dates");
                findings.push(Finding::new(Code::ManifestDamaged, message));
                HashMap::new()
            }
            recorded => recorded?,
        };
        let mut messages: Vec<(usize, SourceMessage)> = entries
            .into_iter()
            .map(|entry| {
                let recorded = recorded.get(entry.parsed().base);
                let (rank, sender) = recorded.map_or((usize::MAX, None), |r| (r.rank, r.sender.clone()));
                (rank, SourceMessage { size: files.size(&entry), entry, sender })
            })
            .collect();
        // Stable: messages of no source stay in the order of date and name.
        messages.sort_by_key(|(rank, _)| *rank);
        findings.extend(find_nested_folders(path)?);
        let report = Report::new(path, findings);
        let messages = messages.into_iter().map(|(_, message)| message).collect();
        Ok((SourceMaildir { files, messages, keywords: KeywordTable::read(path)? }, report))
    }
}

/// A message as the manifest has it.
struct RecordedMessage {
    rank: usize,
    sender: Option<Box<[u8]>>,
}

/// Returns the messages of closed sections by name, ranked source after source, each in the order of its source. A
/// source that grew ranks where its last section is.
fn read_recorded(
    maildir: &Path,
    manifest: ManifestLocation<'_>,
) -> Result<HashMap<Vec<u8>, RecordedMessage>> {
    let Some(manifest) = manifest.read(maildir)? else { return Ok(HashMap::new()) };
    let outlines = manifest.outline()?;
    let is_closed = |o: &Outline<'_>| o.footer.is_some();
    let is_superseded = |n: usize| {
        (n + 1..outlines.len()).any(|m| is_closed(&outlines[m]) && manifest::follows(&outlines, m, n))
    };
    let mut order: Vec<usize> = (0..outlines.len()).filter(|&n| is_closed(&outlines[n])).collect();
    order.sort_by_key(|&n| is_superseded(n));
    let mut recorded = HashMap::new();
    for n in order {
        for message in outlines[n].names() {
            let rank = recorded.len();
            let line = message.from.0.split_inclusive(|&b| b == b'\n').next().unwrap_or_default();
            let sender = Some(from_line::parse(line).sender).filter(|s| !s.is_empty()).map(Box::from);
            recorded.entry(message.name.0).or_insert(RecordedMessage { rank, sender });
        }
    }
    Ok(recorded)
}

/// Reports the Maildir++ folders of a Maildir, and other mail in it.
pub(crate) fn find_nested_folders(maildir: &Path) -> Result<Option<Finding>> {
    let mut folders: Vec<String> =
        list::list_folders(maildir)?.iter().map(|name| escape(name.as_bytes())).collect();
    folders.extend(stray_mail(maildir).iter().map(|path| escape(path.as_os_str().as_bytes())));
    Ok((!folders.is_empty()).then(|| {
        let message = format!("its folders are not converted with it: {}", folders.join(", "));
        Finding::new(Code::FoldersLeft, message).with_hint("convert each by itself")
    }))
}

/// Messages that a worker renders and writes at once.
struct Chunk {
    source: usize,
    messages: Range<usize>,
    size: u64,
}

fn chunks(ready: &[ReadySource<'_>]) -> Vec<Chunk> {
    const MESSAGES: usize = 256;
    const BYTES: u64 = 2 << 20;
    let mut chunks: Vec<Chunk> = Vec::new();
    for (source, ready) in ready.iter().enumerate() {
        let sizes: Vec<u64> = match ready {
            ReadySource::Mbox { plan, .. } => plan.messages.iter().map(|m| m.size).collect(),
            ReadySource::Maildir(maildir) => maildir.messages.iter().map(|m| m.size).collect(),
        };
        for (n, size) in sizes.into_iter().enumerate() {
            let fits = |chunk: &&mut Chunk| {
                chunk.source == source && chunk.messages.len() < MESSAGES && chunk.size < BYTES
            };
            match chunks.last_mut().filter(fits) {
                Some(chunk) => {
                    chunk.messages.end = n + 1;
                    chunk.size += size;
                }
                None => chunks.push(Chunk { source, messages: n..n + 1, size }),
            }
        }
    }
    chunks
}

/// The mbox while it is written.
struct Output<'a> {
    sink: Sink<'a>,
    variant: Variant,
    findings: Vec<Finding>,
}

enum Sink<'a> {
    New(AtomicFile),
    Append(MboxAppender),
    Stream(&'a Mutex<dyn Write + Send>),
    DryRun,
}

impl<'a> Output<'a> {
    fn open(options: &ExportOptions<'a>, context: &Context<'_>) -> Result<Output<'a>> {
        let ExportOptions { destination: path, variant, output: mode, dry_run, .. } = *options;
        let new = |sink| Output { sink, variant: variant.unwrap_or(Variant::Mboxrd), findings: Vec::new() };
        let replace = matches!(mode, OutputMode::Replace);
        match mode {
            OutputMode::Stream(_) if dry_run => Ok(new(Sink::DryRun)),
            OutputMode::Stream(stream) => Ok(new(Sink::Stream(stream))),
            OutputMode::Append if std::fs::symlink_metadata(path).is_ok() => {
                let mut appender = MboxAppender::open(path, variant, context.locks, context.cancel)?;
                let (variant, findings) = (appender.variant, std::mem::take(&mut appender.findings));
                let sink = if dry_run { Sink::DryRun } else { Sink::Append(appender) };
                Ok(Output { sink, variant, findings })
            }
            _ if dry_run => AtomicFile::check(path, replace).map(|_| new(Sink::DryRun)),
            _ => {
                let file = AtomicFile::create(path, replace, context.locks.timeout, context.cancel)?;
                set_ownership(&file, options)?;
                Ok(new(Sink::New(file)))
            }
        }
    }

    fn write(&mut self, work: &Work<'_>) -> Result<Vec<Tally>> {
        let path = work.options.destination;
        let mut guard = None;
        let (file, at) = match &mut self.sink {
            Sink::New(file) => (Some(&file.file), 0),
            Sink::Append(appender) => {
                appender.begin_parallel()?;
                let (file, length) = (&appender.file, appender.length);
                durable::write_all_at(file, &appender.repair, length).map_err(Error::io("write", path))?;
                (Some(file), length + appender.repair.len() as u64)
            }
            Sink::Stream(stream) => {
                guard = Some(lock(stream));
                (None, 0)
            }
            Sink::DryRun => (None, 0),
        };
        let stream = guard.as_deref_mut();
        let queue = Queue {
            next: AtomicUsize::new(0),
            turn: Mutex::new(Turn { chunk: 0, at, stream, failed: false, tallies: Vec::new() }),
            moved: Condvar::new(),
        };
        let ends = rayon::broadcast(|_| {
            let mut fuse = Fuse { queue: &queue, safe: false };
            let end = queue.work(work, file);
            fuse.safe = end.is_ok();
            end
        });
        ends.into_iter().collect::<Result<()>>()?;
        let turn = ignore_poison(queue.turn.into_inner());
        let Turn { at, tallies, .. } = turn;
        if let Sink::Append(appender) = &mut self.sink {
            appender.finish_parallel(at)?;
        }
        Ok(tallies)
    }

    /// Returns a finding for each message that reads back differently without a prefix. A stream is not read.
    fn read_back(&self, options: &ExportOptions<'_>, messages: u64) -> Result<Vec<Finding>> {
        let (file, start) = match &self.sink {
            Sink::New(file) => (&file.file, 0),
            Sink::Append(appender) => (&appender.file, appender.length),
            Sink::Stream(_) | Sink::DryRun => return Ok(Vec::new()),
        };
        let (path, variant) = (options.destination, self.variant);
        read_back::check(WrittenMbox { file, path, variant, start, messages })
    }

    fn finish(self, options: &ExportOptions<'_>) -> Result<()> {
        let flush = options.fsync != Fsync::None;
        match self.sink {
            Sink::New(file) => file.commit(flush),
            Sink::Append(appender) => {
                if flush {
                    appender.sync()?;
                }
                appender.commit();
                Ok(())
            }
            Sink::Stream(stream) => lock(stream).flush().map_err(Error::io("write", options.destination)),
            Sink::DryRun => Ok(()),
        }
    }
}

/// Gives a new mbox the owner and the mode of the options.
fn set_ownership(file: &AtomicFile, options: &ExportOptions<'_>) -> Result<()> {
    let Ownership { owner, mode } = options.ownership;
    let failed = |action| Error::io(action, options.destination);
    if let Some(mode) = mode {
        durable::set_mode(&file.file, mode).map_err(failed("change the mode of"))?;
    }
    owner.map_or(Ok(()), |owner| durable::chown(&file.file, owner).map_err(failed("change the owner of")))
}

/// Refuses what cannot fit before the first byte is written.
fn check_free_space(options: &ExportOptions<'_>, chunks: &[Chunk]) -> Result<()> {
    if matches!(options.output, OutputMode::Stream(_)) {
        return Ok(());
    }
    /// A From_ line, a blank line, Status.
    const OVERHEAD: u64 = 80;
    let directory = parent_of(options.destination);
    let need = chunks.iter().map(|chunk| chunk.size + chunk.messages.len() as u64 * OVERHEAD).sum();
    Dir::open(directory)?.free_space()?.require_bytes(directory, need)
}

/// Everything that the workers need.
struct Work<'a> {
    ready: &'a [ReadySource<'a>],
    chunks: &'a [Chunk],
    variant: Variant,
    options: &'a ExportOptions<'a>,
    context: &'a Context<'a>,
}

/// Hands out places in the mbox in the order of the chunks.
struct Queue<'a> {
    next: AtomicUsize,
    turn: Mutex<Turn<'a>>,
    moved: Condvar,
}

struct Turn<'a> {
    chunk: usize,
    at: u64,
    stream: Option<&'a mut (dyn Write + Send + 'static)>,
    /// A worker ended early: there is no next turn.
    failed: bool,
    tallies: Vec<Tally>,
}

/// Wakes the others when a worker ends early, by an error or a panic: they would wait for its turn.
struct Fuse<'a, 'b> {
    queue: &'a Queue<'b>,
    safe: bool,
}

impl Drop for Fuse<'_, '_> {
    fn drop(&mut self) {
        if !self.safe {
            self.queue.turn().failed = true;
            self.queue.moved.notify_all();
        }
    }
}

/// Locks a mutex whose other users may have panicked: they leave nothing half-changed.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    ignore_poison(mutex.lock())
}

impl<'b> Queue<'b> {
    fn turn(&self) -> MutexGuard<'_, Turn<'b>> {
        lock(&self.turn)
    }

    /// Runs one worker. It holds one chunk. The chunks before it are held by other running workers, so every wait
    /// ends.
    fn work(&self, work: &Work<'_>, file: Option<&std::fs::File>) -> Result<()> {
        let failed = || Error::io("write", work.options.destination);
        let (mut file_bytes, mut bytes) = (Vec::new(), Vec::new());
        loop {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(chunk) = work.chunks.get(n) else { return Ok(()) };
            work.context.cancel.check()?;
            bytes.clear();
            let tally = work.render(chunk, &mut file_bytes, &mut bytes)?;
            let mut turn = self.turn();
            while turn.chunk != n && !turn.failed {
                turn = ignore_poison(self.moved.wait(turn));
            }
            if turn.failed {
                return Ok(());
            }
            let at = turn.at;
            turn.at += bytes.len() as u64;
            turn.chunk += 1;
            turn.tallies.push(tally);
            work.release(chunk);
            if let Some(stream) = &mut turn.stream {
                stream.write_all(&bytes).map_err(failed())?;
            }
            drop(turn);
            self.moved.notify_all();
            if let Some(file) = file {
                durable::write_all_at(file, &bytes, at).map_err(failed())?;
                if work.options.fsync != Fsync::None {
                    durable::begin_writeback(file, at, bytes.len() as u64);
                }
            }
            work.context.events.advance(chunk.size, chunk.messages.len() as u64);
        }
    }
}

impl Work<'_> {
    /// Appends the messages of a chunk to `out`; `file` is a buffer for one of them.
    fn render(&self, chunk: &Chunk, file: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<Tally> {
        let mut tally = Tally::default();
        match &self.ready[chunk.source] {
            ReadySource::Maildir(maildir) => {
                for message in &maildir.messages[chunk.messages.clone()] {
                    self.render_file(maildir, message, file, out, &mut tally)?;
                }
            }
            ReadySource::Mbox { input, mbox, plan } => {
                let extents = &mbox.messages()[chunk.messages.clone()];
                let messages = plan.messages[chunk.messages.clone()].iter().zip(extents);
                for (planned, extent) in
                    messages.filter(|(planned, _)| planned.disposition != Disposition::Pseudo)
                {
                    self.render_extent(mbox, extent, planned.epoch, out, &mut tally)
                        .map_err(|write::Unrepresentable| unrepresentable(input.source.path()))?;
                }
            }
        }
        Ok(tally)
    }

    /// Releases the pages of a rendered chunk and of all chunks before it.
    fn release(&self, chunk: &Chunk) {
        if let ReadySource::Mbox { input, mbox, .. } = &self.ready[chunk.source] {
            input.source.release(Extent::span(&mbox.messages()[chunk.messages.clone()]));
        }
    }

    fn render_file(
        &self,
        maildir: &SourceMaildir,
        message: &SourceMessage,
        bytes: &mut Vec<u8>,
        out: &mut Vec<u8>,
        tally: &mut Tally,
    ) -> Result<()> {
        let (entry, mtime) = match maildir.files.read_or_explain(&message.entry, bytes)? {
            Ok(list::FoundMessage { entry, mtime }) => (entry, mtime),
            Err(finding) => {
                tally.skipped += 1;
                tally.findings.push(finding);
                return Ok(());
            }
        };
        let parsed = entry.parsed();
        let status = Status { flags: parsed.flags(), old: entry.subdir == Subdir::Cur };
        let header = header::split(bytes).header;
        let letters = parsed.keywords();
        let table = &maildir.keywords;
        let unnamed: Vec<usize> = letters.numbers().filter(|&n| table.name(n).is_none()).collect();
        // Without a table the keywords of the header stay.
        let keywords = (!table.is_empty()).then(|| join_keywords(letters, table, header));
        let sender = header::return_path(header).or(message.sender.as_deref()).unwrap_or_default();
        let from_line = FromLineSpec::Generated { sender, epoch: parsed.received_date(mtime, header).0 };
        let name = || escape(entry.name.as_bytes());
        let text = self.with_line_ends(bytes, Quoting::None, tally);
        let rendered =
            MboxMessage { message: &text, from_line, status: Some(status), keywords: keywords.as_deref() };
        let changes = write::write(self.variant, &rendered, out)
            .map_err(|write::Unrepresentable| unrepresentable(&maildir.files.path(&entry)))?;
        tally.add(bytes.len(), changes, None, &name);
        if !unnamed.is_empty() {
            let letters = unnamed.into_iter().fold(KeywordSet::default(), KeywordSet::with);
            let message =
                format!("{}: no dovecot-keywords says which keywords the letters {letters} are", name());
            tally.findings.push(Finding::new(Code::FlagsUnsaid, message));
        }
        Ok(())
    }

    fn render_extent(
        &self,
        mbox: &Mbox<'_>,
        extent: &Extent,
        epoch: i64,
        out: &mut Vec<u8>,
        tally: &mut Tally,
    ) -> Result<(), write::Unrepresentable> {
        let source = extent.message(mbox.text());
        let lines = extent.separator_lines(mbox.text());
        let first = lines.split_inclusive(|&b| b == b'\n').next().unwrap_or_default();
        let from = from_line::parse(first);
        let text = self.with_line_ends(source, mbox.variant.quoting(), tally);
        let from_line = match from.class {
            LineClass::Dated => FromLineSpec::Verbatim(lines),
            LineClass::Known | LineClass::Unknown => {
                let path = header::return_path(header::split(source).header);
                let named = Some(from.sender).filter(|s| !s.is_empty());
                FromLineSpec::Generated { sender: named.or(path).unwrap_or_default(), epoch }
            }
        };
        let rendered = MboxMessage { message: &text, from_line, status: None, keywords: None };
        let changes = write::write(self.variant, &rendered, out)?;
        tally.add(source.len(), changes, Some(extent.at), &|| "this message".into());
        Ok(())
    }

    /// Returns the message without its quoting, with the line ends of `--eol`.
    fn with_line_ends<'m>(&self, message: &'m [u8], quoting: Quoting, tally: &mut Tally) -> Cow<'m, [u8]> {
        let eol = self.options.eol;
        if quoting == Quoting::None && eol == Eol::Keep {
            return Cow::Borrowed(message);
        }
        let options = RenderOptions { eol, ..RenderOptions::default() };
        let mut rendered = render(message, &header::split(message), quoting, options);
        tally.line_ends += u64::from(rendered.eols);
        match &mut rendered.pieces[..] {
            [one] => std::mem::take(one),
            pieces => Cow::Owned(pieces.concat()),
        }
    }
}

fn unrepresentable(path: &Path) -> Error {
    let reason =
        "a message has a line of four ^A, which an MMDF file cannot hold; write another variant".into();
    Error::Unsupported { path: path.to_owned(), reason }
}

/// Returns the keywords of a message, with blanks between them: those of its letters, and those of its header for
/// which the Maildir has no letter.
fn join_keywords(letters: KeywordSet, table: &KeywordTable, header: &[u8]) -> String {
    let mut keywords: Vec<Cow<'_, str>> =
        letters.numbers().filter_map(|number| table.name(number)).map(keywords::atom).collect();
    let fields = header::fields(header).filter(|f| f.is("X-Keywords") || f.is("X-Mozilla-Keys"));
    let mut status = StatusFields::default();
    fields.for_each(|field| status.add(&field, LabelPolicy::Ignore));
    for keyword in status.keywords {
        let atom = keywords::atom(&keyword).into_owned();
        if table.number(&atom).is_none() && !keywords.iter().any(|known| known.eq_ignore_ascii_case(&atom)) {
            keywords.push(Cow::Owned(atom));
        }
    }
    keywords.join(" ")
}

/// Counts of what was written, for the report.
#[derive(Debug, Default, Clone)]
struct Tally {
    messages: u64,
    /// Entries of a Maildir that are not messages.
    skipped: u64,
    /// Bytes of the messages in the source.
    bytes: u64,
    line_ends: u64,
    final_newlines: u64,
    ambiguous: u64,
    findings: Vec<Finding>,
}

impl Tally {
    fn add(&mut self, bytes: usize, changes: Changes, at: Option<u64>, name: &dyn Fn() -> String) {
        self.messages += 1;
        self.bytes += bytes as u64;
        self.final_newlines += u64::from(changes.final_newline);
        self.ambiguous += u64::from(changes.ambiguous);
        let mut find = |code, message: String| {
            self.findings.push(Finding { offset: at, ..Finding::new(code, message) });
        };
        if changes.header_quotes > 0 {
            let message = format!(
                "{}: {} lines of its header begin with From and were quoted for good",
                name(),
                changes.header_quotes
            );
            find(Code::HeaderQuoted, message);
        }
        if changes.doubled {
            let message =
                format!("{}: begins with a continuation line; its From_ line stands there twice", name());
            find(Code::FromDoubled, message);
        }
    }

    fn and(mut self, other: &Tally) -> Tally {
        self.messages += other.messages;
        self.skipped += other.skipped;
        self.bytes += other.bytes;
        self.line_ends += other.line_ends;
        self.final_newlines += other.final_newlines;
        self.ambiguous += other.ambiguous;
        self.findings.extend_from_slice(&other.findings);
        self
    }

    fn findings(self) -> Vec<Finding> {
        let mut findings = self.findings;
        if self.final_newlines > 0 {
            let message = format!("{} messages have no final newline; each got one", self.final_newlines);
            findings.push(Finding::new(Code::FinalNewline, message));
        }
        if self.ambiguous > 0 {
            let message = format!(
                "{} lines begin with >From already; readers will take the > for quoting and off",
                self.ambiguous
            );
            findings.push(Finding::new(Code::QuotingAmbiguous, message).with_hint("mboxrd can tell them"));
        }
        findings
    }
}
