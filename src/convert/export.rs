//! convert, the way back: Maildirs, and mboxes of other variants, into one mbox. No message is left out:
//! not the trashed, the empty, the header-only, those with CRLF or NULs.
//!
//! Workers read and render some messages at a time, take their turn for a place in the file, and write
//! there side by side: the order is that of the messages, and no more of them is in memory than is being
//! worked on.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::Write;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};

use crate::convert::names::{NameTable, PreviousMessages};
use crate::convert::plan::{self, Plan, PlanOptions};
use crate::convert::planned::{Disposition, PlannedMessage};
use crate::convert::render::{Eol, RenderOptions, render};
use crate::convert::{Dedupe, FolderCount, ImportOptions, Input, Outcome, Report, Totals};
use crate::mailbox::context::{Context, LockOptions, Phase};
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::fs::atomic_file::AtomicFile;
use crate::mailbox::fs::durable;
use crate::mailbox::fs::durable::Dir;
use crate::mailbox::fs::parent_of;
use crate::mailbox::maildir::keywords::{self, KeywordSet, KeywordTable};
use crate::mailbox::maildir::list;
use crate::mailbox::maildir::list::{Entry, MaildirReader};
use crate::mailbox::maildir::write::{Fsync, Ownership, Subdir};
use crate::mailbox::manifest::ByteCounts;
use crate::mailbox::manifest::{self, Outline};
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

/// A source.
#[derive(Debug)]
pub enum ExportSource {
    /// An mbox.
    Mbox(Box<Input>),
    /// A Maildir.
    Maildir(PathBuf),
}

/// The mbox to write; its path is the destination.
#[derive(Debug)]
pub struct MboxTarget<'a> {
    /// The variant; None: mboxrd, or what is there already.
    pub variant: Option<Variant>,
    /// What to do with what is there already.
    pub to: OutputMode<'a>,
}

/// Where to.
pub enum OutputMode<'a> {
    /// A new file, which appears whole.
    New,
    /// A file that is replaced, as a whole, if it is there.
    Replace,
    /// Behind what is there, locked.
    Append(&'a LockOptions),
    /// A stream.
    Stream(&'a mut (dyn Write + Send)),
}

impl std::fmt::Debug for OutputMode<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            OutputMode::New => "New",
            OutputMode::Replace => "Instead",
            OutputMode::Append(_) => "Behind",
            OutputMode::Stream(_) => "Stream",
        })
    }
}

/// Converts. With an error the destination is what it was. Says also as which variant it was written.
pub fn export(
    mut sources: Vec<ExportSource>,
    options: &ImportOptions<'_>,
    writing: MboxTarget<'_>,
    context: &Context<'_>,
) -> (Outcome, Variant) {
    let mut locks: Vec<Vec<Finding>> = Vec::new();
    for source in &mut sources {
        locks.push(if let ExportSource::Mbox(input) = source {
            input.source.take_findings()
        } else {
            Vec::new()
        });
    }
    let variant = writing.variant.unwrap_or(Variant::Mboxrd);
    let mut told = Told { reports: Vec::with_capacity(sources.len()), bytes_source: 0, variant };
    let (sums, error) = match run(&sources, locks, options, writing, context, &mut told) {
        Ok(sums) => (sums, None),
        Err(error) => {
            // What became of a source that changed is no error of its own.
            let changed = sources.iter().find_map(|source| match source {
                ExportSource::Mbox(input) => input.source.check_unchanged().err(),
                ExportSource::Maildir(_) => None,
            });
            let error = if matches!(error, Error::Interrupted) { error } else { changed.unwrap_or(error) };
            (Totals::not_reached(sources.len(), told.bytes_source, 0), Some(error))
        }
    };
    let Told { mut reports, variant, .. } = told;
    sums.check();
    for (source, report) in sources.iter().zip(&mut reports) {
        if let ExportSource::Mbox(input) = source {
            input.complete_report(report, error.is_none());
        }
    }
    let folders = if error.is_none() { FolderCount::inbox(sums.written) } else { Vec::new() };
    (Outcome { reports, sums, folders, error }, variant)
}

/// What is known by the time of an error.
struct Told {
    reports: Vec<Report>,
    bytes_source: u64,
    variant: Variant,
}

/// A source that is ready to be written.
enum Ready<'a> {
    Mbox { input: &'a Input, mbox: Mbox<'a>, plan: Plan },
    Maildir(Store),
}

fn run(
    sources: &[ExportSource],
    locks: Vec<Vec<Finding>>,
    options: &ImportOptions<'_>,
    writing: MboxTarget<'_>,
    context: &Context<'_>,
    told: &mut Told,
) -> Result<Totals> {
    let is_mbox = |s: &&ExportSource| matches!(s, ExportSource::Mbox(_));
    let text = |s: &ExportSource| {
        if let ExportSource::Mbox(input) = s { input.source.text().len() as u64 } else { 0 }
    };
    told.bytes_source = sources.iter().map(text).sum();
    if sources.iter().any(|s| is_mbox(&s)) {
        context.events.begin(Phase::Reading, told.bytes_source);
    }
    let mut ready = Vec::with_capacity(sources.len());
    for (source, locks) in sources.iter().zip(locks) {
        ready.push(match source {
            ExportSource::Maildir(path) => {
                let (store, report) = Store::open(path, options)?;
                told.bytes_source += store.letters.iter().map(|l| l.size).sum::<u64>();
                told.reports.push(report);
                Ready::Maildir(store)
            }
            ExportSource::Mbox(input) => {
                let (mbox, report) = input.read(locks, context);
                told.reports.push(report);
                let mbox = mbox?;
                let mut plan = plan_mbox(input, &mbox, options, context)?;
                if let Some(report) = told.reports.last_mut() {
                    report.findings.append(&mut plan.findings);
                }
                Ready::Mbox { input, mbox, plan }
            }
        });
    }
    let jobs = jobs(&ready);
    let mut output = Output::open(writing, options, context, told.reports.first_mut())?;
    told.variant = output.variant;
    check_room(&output, options, &jobs)?;
    context.events.begin(Phase::Writing, jobs.iter().map(|j| j.size).sum());
    let work = Work { ready: &ready, jobs: &jobs, variant: output.variant, options, context };
    let tallies = output.fill(&work)?;
    for ready in &ready {
        if let Ready::Mbox { input, .. } = ready {
            input.source.check_unchanged()?;
        }
    }
    context.cancel.check()?;
    context.events.begin(Phase::Flushing, 0);
    output.finish(options)?;

    let mut total = Totals::default();
    for (n, ready) in ready.iter().enumerate() {
        let tally = tallies.iter().zip(&jobs).filter(|(_, job)| job.source == n);
        let tally = tally.fold(Tally::default(), |sum, (tally, _)| sum.and(tally));
        total += &source_sums(ready, &tally);
        told.reports[n].findings.extend(tally.findings());
    }
    Ok(total)
}

fn source_sums(ready: &Ready<'_>, tally: &Tally) -> Totals {
    match ready {
        Ready::Mbox { mbox, plan, .. } => {
            let mut sums = Totals::default();
            sums.add_source(mbox, &plan.messages);
            assert_eq!(sums.written, tally.messages, "a message is missing");
            sums.line_ends_changed = tally.line_ends;
            sums
        }
        Ready::Maildir(store) => {
            assert_eq!(store.letters.len() as u64, tally.messages + tally.left_out, "a message is missing");
            Totals {
                sources: 1,
                messages_found: tally.messages + tally.left_out,
                written: tally.messages,
                skipped: tally.left_out,
                bytes_source: tally.bytes,
                bytes: ByteCounts { messages: tally.bytes, ..ByteCounts::default() },
                line_ends_changed: tally.line_ends,
                ..Totals::default()
            }
        }
    }
}

/// Dates for From_ lines that have none, and which message is UW-IMAP's own.
fn plan_mbox(
    input: &Input,
    mbox: &Mbox<'_>,
    options: &ImportOptions<'_>,
    context: &Context<'_>,
) -> Result<Plan> {
    let rules = DateRules {
        now: context.now,
        mtime: input.source.mtime(),
        from_zone: options.from_zone.clone(),
        first: options.date,
    };
    let plan_options = PlanOptions {
        // Every message is written unchanged.
        render: RenderOptions { eol: options.render.eol, ..RenderOptions::default() },
        dates: rules,
        dedupe: Dedupe::No,
        previous: PreviousMessages::default(),
    };
    let on_progress = |_| context.cancel.check();
    plan::plan(&input.source, mbox, plan_options, &mut NameTable::default(), &on_progress)
}

/// A Maildir, in the order in which its messages are written.
struct Store {
    files: MaildirReader,
    letters: Vec<Listed>,
    keywords: KeywordTable,
}

struct Listed {
    entry: Entry,
    size: u64,
    /// Of the From_ line that the manifest has.
    sender: Option<Box<[u8]>>,
}

impl Store {
    fn open(path: &Path, options: &ImportOptions<'_>) -> Result<(Store, Report)> {
        let files = MaildirReader::open(path)?;
        let (entries, known) = rayon::join(|| list::list_messages(path), || known(path, options));
        let (entries, mut findings) = (entries?, Vec::new());
        let known = match known {
            Err(error @ Error::Manifest { .. }) => {
                let message = format!("{error}; the messages are in the order of their dates");
                findings.push(Finding::new(Code::ManifestDamaged, message));
                HashMap::new()
            }
            known => known?,
        };
        let mut letters: Vec<(usize, Listed)> = entries
            .into_iter()
            .map(|entry| {
                let known = known.get(entry.parsed().base);
                let (rank, sender) = known.map_or((usize::MAX, None), |k| (k.rank, k.sender.clone()));
                (rank, Listed { size: files.size(&entry), entry, sender })
            })
            .collect();
        // Stable: what no source tells of stays in the order of date and name.
        letters.sort_by_key(|(rank, _)| *rank);
        findings.extend(find_nested_folders(path)?);
        let report = Report::new(path, findings);
        let letters = letters.into_iter().map(|(_, letter)| letter).collect();
        Ok((Store { files, letters, keywords: KeywordTable::read(path)? }, report))
    }
}

/// What the manifest knows of a message.
struct Known {
    rank: usize,
    sender: Option<Box<[u8]>>,
}

/// The messages of closed sections, source after source, each in the order of its source. A source that
/// grew is where its last section has it.
fn known(maildir: &Path, options: &ImportOptions<'_>) -> Result<HashMap<Vec<u8>, Known>> {
    let Some(manifest) = options.destination.manifest.read(maildir)? else { return Ok(HashMap::new()) };
    let outlines = manifest.outline()?;
    let is_closed = |o: &Outline<'_>| o.tail.is_some();
    let is_superseded = |n: usize| {
        (n + 1..outlines.len()).any(|m| is_closed(&outlines[m]) && manifest::follows(&outlines, m, n))
    };
    let mut order: Vec<usize> = (0..outlines.len()).filter(|&n| is_closed(&outlines[n])).collect();
    order.sort_by_key(|&n| is_superseded(n));
    let mut known = HashMap::new();
    for n in order {
        for message in outlines[n].names() {
            let rank = known.len();
            let line = message.from.0.split_inclusive(|&b| b == b'\n').next().unwrap_or_default();
            let sender = Some(from_line::parse(line).sender).filter(|s| !s.is_empty()).map(Box::from);
            known.entry(message.name.0).or_insert(Known { rank, sender });
        }
    }
    Ok(known)
}

/// Maildir++ folders beside cur/, which are Maildirs of their own, and other mail that lies there.
pub fn find_nested_folders(maildir: &Path) -> Result<Option<Finding>> {
    let mut folders: Vec<String> =
        list::list_folders(maildir)?.iter().map(|name| escape(name.as_bytes())).collect();
    folders.extend(stray_mail(maildir).iter().map(|path| escape(path.as_os_str().as_bytes())));
    Ok((!folders.is_empty()).then(|| {
        let message = format!("its folders are not converted with it: {}", folders.join(", "));
        Finding::new(Code::FoldersLeft, message).with_hint("convert each by itself")
    }))
}

/// Messages that a worker renders and writes at once.
struct Job {
    source: usize,
    messages: Range<usize>,
    size: u64,
}

fn jobs(ready: &[Ready<'_>]) -> Vec<Job> {
    const MESSAGES: usize = 256;
    const BYTES: u64 = 2 << 20;
    let mut jobs: Vec<Job> = Vec::new();
    for (source, ready) in ready.iter().enumerate() {
        let sizes: Vec<u64> = match ready {
            Ready::Mbox { plan, .. } => plan.messages.iter().map(|m| m.size).collect(),
            Ready::Maildir(store) => store.letters.iter().map(|l| l.size).collect(),
        };
        for (n, size) in sizes.into_iter().enumerate() {
            match jobs.last_mut() {
                Some(job) if job.source == source && job.messages.len() < MESSAGES && job.size < BYTES => {
                    job.messages.end = n + 1;
                    job.size += size;
                }
                _ => jobs.push(Job { source, messages: n..n + 1, size }),
            }
        }
    }
    jobs
}

/// Where the mbox is written.
struct Output<'a> {
    to: Target<'a>,
    variant: Variant,
}

enum Target<'a> {
    Whole(AtomicFile),
    Behind(MboxAppender),
    Stream(&'a mut (dyn Write + Send)),
    /// A dry run.
    Nowhere,
}

impl<'a> Output<'a> {
    fn open(
        writing: MboxTarget<'a>,
        options: &ImportOptions<'_>,
        context: &Context<'_>,
        report: Option<&mut Report>,
    ) -> Result<Output<'a>> {
        let path = options.destination.path;
        let asked = writing.variant;
        let new = asked.unwrap_or(Variant::Mboxrd);
        let wait = context.locks.timeout;
        let is_there = std::fs::symlink_metadata(path).is_ok();
        let (to, variant) = match writing.to {
            OutputMode::Stream(_) if options.destination.dry_run => (Target::Nowhere, new),
            OutputMode::Stream(stream) => (Target::Stream(stream), new),
            OutputMode::Append(wanted) if is_there => {
                let mut extending = MboxAppender::open(path, asked, wanted, context.cancel)?;
                let variant = extending.variant;
                if let Some(report) = report {
                    report.findings.append(&mut extending.findings);
                }
                (
                    if options.destination.dry_run { Target::Nowhere } else { Target::Behind(extending) },
                    variant,
                )
            }
            OutputMode::New | OutputMode::Replace | OutputMode::Append(_) if options.destination.dry_run => {
                AtomicFile::check(path, matches!(writing.to, OutputMode::Replace))?;
                (Target::Nowhere, new)
            }
            to => {
                let replace = matches!(to, OutputMode::Replace);
                let growing = AtomicFile::create(path, replace, wait, context.cancel)?;
                own(&growing, options)?;
                (Target::Whole(growing), new)
            }
        };
        Ok(Output { to, variant })
    }

    /// Writes all of it.
    fn fill(&mut self, work: &Work<'_>) -> Result<Vec<Tally>> {
        let path = work.options.destination.path;
        let mut stream: Option<&mut (dyn Write + Send)> = None;
        let (file, at) = match &mut self.to {
            Target::Whole(growing) => (Some(&growing.file), 0),
            Target::Behind(extending) => {
                extending.begin_parallel()?;
                let (file, length) = (&extending.file, extending.length);
                durable::write_all_at(file, &extending.repair, length).map_err(Error::io("write", path))?;
                (Some(file), length + extending.repair.len() as u64)
            }
            Target::Stream(out) => {
                stream = Some(&mut **out);
                (None, 0)
            }
            Target::Nowhere => (None, 0),
        };
        let queue = Queue {
            next: AtomicUsize::new(0),
            turn: Mutex::new(Turn { job: 0, at, stream, failed: false, tallies: Vec::new() }),
            moved: Condvar::new(),
        };
        let ends = rayon::broadcast(|_| {
            let mut fuse = Fuse { queue: &queue, safe: false };
            let end = queue.work(work, file);
            fuse.safe = end.is_ok();
            end
        });
        ends.into_iter().collect::<Result<()>>()?;
        let turn = queue.turn.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Turn { at, tallies, .. } = turn;
        if let Target::Behind(extending) = &mut self.to {
            extending.finish_parallel(at)?;
        }
        Ok(tallies)
    }

    fn finish(self, options: &ImportOptions<'_>) -> Result<()> {
        match self.to {
            Target::Whole(growing) => growing.commit(options.destination.fsync != Fsync::None),
            Target::Behind(extending) => {
                if options.destination.fsync != Fsync::None {
                    extending.sync()?;
                }
                extending.commit();
                Ok(())
            }
            Target::Stream(stream) => stream.flush().map_err(Error::io("write", options.destination.path)),
            Target::Nowhere => Ok(()),
        }
    }
}

/// Gives a new mbox the owner and the mode that were asked for.
fn own(growing: &AtomicFile, options: &ImportOptions<'_>) -> Result<()> {
    let Ownership { owner, mode } = options.destination.ownership;
    let failed = |action| Error::io(action, options.destination.path);
    if let Some(mode) = mode {
        durable::set_mode(&growing.file, mode).map_err(failed("change the mode of"))?;
    }
    owner.map_or(Ok(()), |owner| durable::chown(&growing.file, owner).map_err(failed("change the owner of")))
}

/// Refuses before the first byte what cannot fit.
fn check_room(output: &Output<'_>, options: &ImportOptions<'_>, jobs: &[Job]) -> Result<()> {
    if let Target::Stream(_) = output.to {
        return Ok(());
    }
    if options.destination.path.as_os_str() == OsStr::new("-") {
        return Ok(());
    }
    /// A From_ line, a blank line, Status.
    const AROUND: u64 = 80;
    let directory = parent_of(options.destination.path);
    let room = Dir::open(directory)?.free_space()?;
    let need = jobs.iter().map(|job| job.size + job.messages.len() as u64 * AROUND).sum();
    if need > room.bytes {
        return Err(Error::InsufficientSpace {
            path: directory.to_owned(),
            unit: "bytes",
            need,
            free: room.bytes,
        });
    }
    Ok(())
}

/// All that the workers need.
struct Work<'a> {
    ready: &'a [Ready<'a>],
    jobs: &'a [Job],
    variant: Variant,
    options: &'a ImportOptions<'a>,
    context: &'a Context<'a>,
}

/// Whose turn it is to get a place in the mbox.
struct Queue<'a> {
    next: AtomicUsize,
    turn: Mutex<Turn<'a>>,
    moved: Condvar,
}

struct Turn<'a> {
    job: usize,
    at: u64,
    stream: Option<&'a mut (dyn Write + Send)>,
    /// Somebody ended early: there is no next turn.
    failed: bool,
    tallies: Vec<Tally>,
}

/// Tells the others when a worker ends early, by an error or a panic: they would wait for its turn.
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

impl<'b> Queue<'b> {
    fn turn(&self) -> MutexGuard<'_, Turn<'b>> {
        self.turn.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// What each worker does. A worker holds one job, and the jobs before it are held by others at work,
    /// so that nobody waits for a job that nobody has.
    fn work(&self, work: &Work<'_>, file: Option<&std::fs::File>) -> Result<()> {
        let failed = || Error::io("write", work.options.destination.path);
        let (mut file_bytes, mut bytes) = (Vec::new(), Vec::new());
        loop {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = work.jobs.get(n) else { return Ok(()) };
            work.context.cancel.check()?;
            bytes.clear();
            let tally = work.render(job, &mut file_bytes, &mut bytes)?;
            let mut turn = self.turn();
            while turn.job != n && !turn.failed {
                turn = self.moved.wait(turn).unwrap_or_else(|poisoned| poisoned.into_inner());
            }
            if turn.failed {
                return Ok(());
            }
            let at = turn.at;
            turn.at += bytes.len() as u64;
            turn.job += 1;
            turn.tallies.push(tally);
            work.release(job);
            if let Some(stream) = &mut turn.stream {
                stream.write_all(&bytes).map_err(failed())?;
            }
            drop(turn);
            self.moved.notify_all();
            if let Some(file) = file {
                durable::write_all_at(file, &bytes, at).map_err(failed())?;
                if work.options.destination.fsync != Fsync::None {
                    durable::begin_writeback(file, at, bytes.len() as u64);
                }
            }
            work.context.events.advance(job.size, job.messages.len() as u64);
        }
    }
}

impl Work<'_> {
    /// Appends a job's messages to `out`; `file` is room for one of them.
    fn render(&self, job: &Job, file: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<Tally> {
        let mut tally = Tally::default();
        match &self.ready[job.source] {
            Ready::Maildir(store) => {
                for listed in &store.letters[job.messages.clone()] {
                    self.render_file(store, listed, file, out, &mut tally)?;
                }
            }
            Ready::Mbox { input, mbox, plan } => {
                let extents = &mbox.messages()[job.messages.clone()];
                let messages = plan.messages[job.messages.clone()].iter().zip(extents);
                for (planned, extent) in
                    messages.filter(|(planned, _)| planned.disposition != Disposition::Pseudo)
                {
                    let done = self.render_slice(mbox, (planned, extent), out, &mut tally);
                    done.map_err(|error| self.named(error, input.source.path()))?;
                }
            }
        }
        Ok(tally)
    }

    /// Hands back the pages of a job whose messages are rendered, and those of all jobs before it.
    fn release(&self, job: &Job) {
        if let Ready::Mbox { input, mbox, .. } = &self.ready[job.source] {
            input.source.release(plan::span(&mbox.messages()[job.messages.clone()]));
        }
    }

    fn render_file(
        &self,
        store: &Store,
        listed: &Listed,
        bytes: &mut Vec<u8>,
        out: &mut Vec<u8>,
        tally: &mut Tally,
    ) -> Result<()> {
        let (entry, mtime) = match store.files.read_or_explain(&listed.entry, bytes)? {
            Ok(list::FoundMessage { entry, mtime }) => (entry, mtime),
            Err(why) => {
                tally.left_out += 1;
                tally.findings.push(why);
                return Ok(());
            }
        };
        let parsed = entry.parsed();
        let status = Status { flags: parsed.flags(), old: entry.subdir == Subdir::Cur };
        let header = header::split(bytes).header;
        let letters = parsed.keywords();
        let unsaid: Vec<usize> = letters.numbers().filter(|&n| store.keywords.name(n).is_none()).collect();
        // Without names a Maildir says nothing of keywords, and those of the header stay.
        let keywords = (!store.keywords.is_empty()).then(|| keywords_of(letters, &store.keywords, header));
        let sender = header::return_path(header).or(listed.sender.as_deref()).unwrap_or_default();
        let envelope = FromLineSpec::Generated { sender, epoch: parsed.received_date(mtime, header).0 };
        let name = || escape(entry.name.as_bytes());
        let message = self.with_line_ends(bytes, Quoting::None, tally);
        let letter = MboxMessage {
            message: &message,
            from_line: envelope,
            status: Some(status),
            keywords: keywords.as_deref(),
        };
        let changes = write::write(self.variant, &letter, out)
            .map_err(|write::Unrepresentable| unsayable(store.files.path(&entry)))?;
        tally.note(bytes.len(), changes, None, &name);
        if !unsaid.is_empty() {
            let letters = unsaid.into_iter().fold(KeywordSet::default(), KeywordSet::with);
            let message =
                format!("{}: no dovecot-keywords says which keywords the letters {letters} are", name());
            tally.findings.push(Finding::new(Code::FlagsUnsaid, message));
        }
        Ok(())
    }

    fn render_slice(
        &self,
        mbox: &Mbox<'_>,
        (planned, extent): (&PlannedMessage, &Extent),
        out: &mut Vec<u8>,
        tally: &mut Tally,
    ) -> Result<()> {
        let source = extent.message(mbox.text());
        let lines = extent.from_lines(mbox.text());
        let first = lines.split_inclusive(|&b| b == b'\n').next().unwrap_or_default();
        let from = from_line::parse(first);
        let message = self.with_line_ends(source, mbox.variant.quoting(), tally);
        let envelope = match from.class {
            LineClass::Dated => FromLineSpec::Verbatim(lines),
            LineClass::Known | LineClass::Unknown => {
                let path = header::return_path(header::split(source).header);
                let named = Some(from.sender).filter(|s| !s.is_empty());
                FromLineSpec::Generated { sender: named.or(path).unwrap_or_default(), epoch: planned.epoch }
            }
        };
        let letter = MboxMessage { message: &message, from_line: envelope, status: None, keywords: None };
        let changes = write::write(self.variant, &letter, out)
            .map_err(|write::Unrepresentable| unsayable(PathBuf::new()))?;
        tally.note(source.len(), changes, Some(extent.at), &|| "this message".into());
        Ok(())
    }

    /// The message without its quoting, with the line ends that `--eol` wants.
    fn with_line_ends<'m>(&self, message: &'m [u8], quoting: Quoting, tally: &mut Tally) -> Cow<'m, [u8]> {
        let eol = self.options.render.eol;
        if quoting == Quoting::None && eol == Eol::Keep {
            return Cow::Borrowed(message);
        }
        let mut rendered = render(
            message,
            &header::split(message),
            quoting,
            RenderOptions { eol, ..RenderOptions::default() },
        );
        tally.line_ends += u64::from(rendered.eols);
        match &mut rendered.pieces[..] {
            [one] => std::mem::take(one),
            pieces => Cow::Owned(pieces.concat()),
        }
    }

    fn named(&self, error: Error, path: &Path) -> Error {
        match error {
            Error::Unsupported { reason, .. } => Error::Unsupported { path: path.to_owned(), reason },
            error => error,
        }
    }
}

fn unsayable(path: PathBuf) -> Error {
    let reason =
        "a message has a line of four ^A, which an MMDF file cannot hold; write another variant".into();
    Error::Unsupported { path, reason }
}

/// The keywords of a message, with blanks between them: those that its letters are, and those of its header
/// for which the Maildir has no letter, which it could not say otherwise.
fn keywords_of(letters: KeywordSet, names: &KeywordTable, header: &[u8]) -> String {
    let mut keywords: Vec<Cow<'_, str>> =
        letters.numbers().filter_map(|number| names.name(number)).map(keywords::atom).collect();
    let fields = header::fields(header).filter(|f| f.is("X-Keywords") || f.is("X-Mozilla-Keys"));
    let mut said = StatusFields::default();
    fields.for_each(|field| said.add(&field, LabelPolicy::Ignore));
    for keyword in said.keywords {
        let atom = keywords::atom(&keyword).into_owned();
        if names.number(&atom).is_none() && !keywords.iter().any(|known| known.eq_ignore_ascii_case(&atom)) {
            keywords.push(Cow::Owned(atom));
        }
    }
    keywords.join(" ")
}

/// What was done, to be reported.
#[derive(Debug, Default, Clone)]
struct Tally {
    messages: u64,
    /// What lay among the messages of a Maildir and is none.
    left_out: u64,
    /// As they lie in the source.
    bytes: u64,
    line_ends: u64,
    final_newlines: u64,
    ambiguous: u64,
    findings: Vec<Finding>,
}

impl Tally {
    fn note(&mut self, bytes: usize, changes: Changes, at: Option<u64>, name: &dyn Fn() -> String) {
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
        self.left_out += other.left_out;
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
