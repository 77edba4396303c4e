//! convert: mboxes into a Maildir. Sources are read and planned whole before the first byte is
//! written; what is written is published only when all of it is safe.

mod commit;
pub mod copy;
pub mod export;
mod history;
mod identity;
mod keywords;
pub mod labels;
pub mod plan;
mod planned_source;
pub mod render;
pub mod restore;
mod resume;
mod section_writer;
pub mod tree;

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::convert::commit::commit_sources;
use crate::convert::history::History;
use crate::convert::planned_source::PlannedSource;
use crate::convert::section_writer::SectionWriter;
use crate::mailbox::context::LockOptions;
use crate::mailbox::context::{Cancel, Events, Phase};
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::{self, Code, Finding};
use crate::mailbox::fs::durable::Dir;
use crate::mailbox::fs::sync_group::SyncGroup;
use crate::mailbox::maildir::keywords::KeywordTable;
use crate::mailbox::maildir::write::{
    self, DestinationState, Fsync, Leftover, MaildirWriter, Ownership, WriterOptions,
};
use crate::mailbox::manifest::{Digest, ManifestLocation, ManifestLock, SectionFooter};
use crate::mailbox::mbox::read::{Mbox, ReadOptions};
use crate::mailbox::mbox::scan_hooks::ScanHooks;
use crate::mailbox::mbox::{self};
use crate::mailbox::message::received::{DateRules, Origin};
use crate::mailbox::source::Source;
use identity::{Fingerprint, Identity};
use keywords::KeywordLetters;
use labels::{FolderIndex, LabelFolders};
use plan::{Dedupe, Disposition, Earlier, NameTable, Plan, PlannedMessage, RenderOptions};
use resume::{ResumePoint, SourceProgress};

/// What to convert, and how.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// The Maildir.
    pub destination: &'a Path,
    /// What becomes of line ends, header, flags and labels.
    pub render: RenderOptions,
    /// When to flush.
    pub fsync: Fsync,
    /// The last part of the names.
    pub host: &'a str,
    /// Stands before the info: `:`, `;` or `!`.
    pub info_separator: u8,
    /// Write nothing.
    pub dry_run: bool,
    /// How long to wait for another one who writes to the destination.
    pub lock_timeout: Duration,
    /// The dot-lock of the file in which a Maildir that is there names its keywords.
    pub keywords_lock: &'a LockOptions,
    /// Now, in seconds since 1970.
    pub now: i64,
    /// The zone of From_ lines that name none.
    pub from_zone: Option<jiff::tz::TimeZone>,
    /// The date to look at first.
    pub date: Option<Origin>,
    /// Which messages are left out as the same.
    pub dedupe: Dedupe,
    /// Take a path that the manifest names for another source where the file begins otherwise.
    pub new_source: bool,
    /// Where the manifest is kept.
    pub manifest: ManifestLocation<'a>,
    /// With whom to flush, where several Maildirs are written side by side.
    pub sync_group: Option<&'a Arc<SyncGroup>>,
    /// To whom it is to belong.
    pub ownership: Ownership,
    /// Set by a signal.
    pub cancel: &'a Cancel,
}

impl Options<'_> {
    /// Locks a manifest outside of the Maildir: several Maildirs may share it, each with a lock of its own.
    pub(crate) fn lock_manifest(&self) -> Result<Option<ManifestLock>> {
        self.manifest.lock(self.lock_timeout, self.cancel)
    }
}

/// An opened source with what the user said about it.
#[derive(Debug)]
pub struct Input {
    /// Its bytes.
    pub source: Source,
    /// Its path as it was given, `-` for standard input: the name in the manifest.
    pub name: PathBuf,
    /// The variant named, the verdicts given.
    pub read_options: ReadOptions,
}

/// What became of one source.
#[derive(Debug)]
pub struct Report {
    /// The source.
    pub path: PathBuf,
    /// What it was read as; None where it could not be read.
    pub variant: Option<mbox::variant::Variant>,
    /// Why.
    pub evidence: String,
    /// What was noticed, in file order.
    pub findings: Vec<Finding>,
}

/// The sums. Every byte of the sources is in exactly one of the byte counts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// How many sources.
    pub sources: u64,
    /// Messages found, pseudo messages among them.
    pub messages_found: u64,
    /// Written, or with a dry run to be written.
    pub written: u64,
    /// In the destination already.
    pub already_present: u64,
    /// Left out as duplicates.
    pub duplicates: u64,
    /// Left out for another reason.
    pub skipped: u64,
    /// All of the sources, uncompressed.
    pub bytes_source: u64,
    /// Of messages, less quoting.
    pub bytes_messages: u64,
    /// Of From_ lines.
    pub bytes_from_lines: u64,
    /// `>` taken off.
    pub bytes_quoting: u64,
    /// Blank lines and frames between messages.
    pub bytes_separators: u64,
    /// Of no message.
    pub bytes_junk: u64,
    /// Not dealt with, because the run ended early.
    pub bytes_not_reached: u64,
    /// Line ends changed by `--eol` or because the source has CRs only.
    pub line_ends_changed: u64,
    /// What was written once more, or would be: a message in its second and further folders.
    pub links: u64,
}

impl Totals {
    /// Adds a source that was converted before.
    fn add_known(&mut self, size: u64, tail: &SectionFooter) {
        self.messages_found += tail.messages;
        self.already_present += tail.mail;
        self.skipped += tail.messages - tail.mail;
        self.bytes_source += size;
        self.bytes_messages += tail.bytes_messages;
        self.bytes_from_lines += tail.bytes_from_lines;
        self.bytes_quoting += tail.bytes_quoting;
        self.bytes_separators += tail.bytes_separators;
        self.bytes_junk += tail.bytes_junk;
    }

    /// Adds those of other sources.
    pub fn add(&mut self, other: &Totals) {
        let Totals { sources, messages_found, written, already_present, duplicates, skipped, .. } = *other;
        self.sources += sources;
        self.messages_found += messages_found;
        self.written += written;
        self.already_present += already_present;
        self.duplicates += duplicates;
        self.skipped += skipped;
        self.bytes_source += other.bytes_source;
        self.bytes_messages += other.bytes_messages;
        self.bytes_from_lines += other.bytes_from_lines;
        self.bytes_quoting += other.bytes_quoting;
        self.bytes_separators += other.bytes_separators;
        self.bytes_junk += other.bytes_junk;
        self.bytes_not_reached += other.bytes_not_reached;
        self.line_ends_changed += other.line_ends_changed;
        self.links += other.links;
    }

    /// Conservation: nothing is counted twice and nothing is missing.
    pub fn balances(&self) -> bool {
        self.messages_found == self.written + self.already_present + self.duplicates + self.skipped
            && self.bytes_source
                == self.bytes_messages
                    + self.bytes_from_lines
                    + self.bytes_quoting
                    + self.bytes_separators
                    + self.bytes_junk
                    + self.bytes_not_reached
    }
}

/// All that a conversion has to say.
#[derive(Debug)]
pub struct Outcome {
    /// A report a source.
    pub reports: Vec<Report>,
    /// The sums over all sources.
    pub sums: Totals,
    /// The folders that messages of the sources belong to, in the order of their names; of a conversion that
    /// puts them all into the Maildir itself that alone.
    pub folders: Vec<FolderCount>,
    /// Why it ended early.
    pub error: Option<Error>,
}

/// A folder that messages belong to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FolderCount {
    /// Its name for people, with a slash between levels: `INBOX` is the Maildir itself.
    pub name: String,
    /// Its directory, if its label is not its name.
    pub directory: Option<PathBuf>,
    /// How many messages were written into it, or would be.
    pub written: u64,
}

impl FolderCount {
    /// The Maildir itself.
    pub fn inbox(written: u64) -> Vec<FolderCount> {
        vec![FolderCount { name: "INBOX".to_owned(), directory: None, written }]
    }
}

/// Converts. Never half: with an error nothing new is visible in the destination, except, into an
/// existing Maildir, the whole messages that the sums count as written.
pub fn import_mboxes(inputs: Vec<Input>, options: &Options<'_>, progress: &dyn Events) -> Outcome {
    import_with_siblings(inputs, &[], options, progress)
}

/// Converts some of the sources of a command. `beside` is where the others lie that go into the same Maildir.
fn import_with_siblings(
    mut inputs: Vec<Input>,
    beside: &[&Path],
    options: &Options<'_>,
    progress: &dyn Events,
) -> Outcome {
    let mut reports = Vec::with_capacity(inputs.len());
    let done =
        run((&mut inputs, beside), options, progress, &mut reports).map_err(|stopped| stopped.blame(&inputs));
    let bytes_source = inputs.iter().map(|i| i.source.raw().len() as u64).sum();
    let (sums, folders, error) = match done {
        Ok((sums, folders)) => (sums, folders, None),
        Err(Abort { error, published }) => {
            let not_reached = Totals {
                sources: inputs.len() as u64,
                bytes_source,
                bytes_not_reached: bytes_source,
                messages_found: published,
                written: published,
                ..Totals::default()
            };
            (not_reached, Vec::new(), Some(error))
        }
    };
    // A wrong sum is a bug of ours, and a migration must not be told that all is well.
    assert!(sums.balances(), "the sums do not add up: {sums:?}");
    for report in &mut reports {
        if let Some(input) = inputs.iter().find(|i| i.source.path() == report.path) {
            report.findings.extend(growth_finding(&input.source).filter(|_| error.is_none()));
            let release = |range| input.source.release(range);
            finding::number_lines(&mut report.findings, input.source.text(), &release);
        }
    }
    Outcome { reports, sums, folders, error }
}

/// What is said of a source that is in use.
fn growth_finding(source: &Source) -> Option<Finding> {
    // A run that has succeeded does not fail because of what it could say more.
    let bytes = source.grown_by().unwrap_or(0);
    let text = || format!("{bytes} bytes were appended while it was read; the same command again takes them");
    (bytes > 0).then(|| Finding::new(Code::SourceGrowing, text()))
}

/// An early end, and how many messages had become visible by then.
struct Abort {
    error: Error,
    published: u64,
}

impl Abort {
    /// What looks like no mailbox may be one that somebody is rewriting.
    fn blame(self, inputs: &[Input]) -> Abort {
        let changed = || inputs.iter().find_map(|input| input.source.check_unchanged().err());
        match &self.error {
            Error::NotAMailbox { .. } => Abort { error: changed().unwrap_or(self.error), ..self },
            _ => self,
        }
    }
}

impl From<Error> for Abort {
    fn from(error: Error) -> Abort {
        Abort { error, published: 0 }
    }
}

fn run(
    (inputs, beside): (&mut [Input], &[&Path]),
    options: &Options<'_>,
    progress: &dyn Events,
    reports: &mut Vec<Report>,
) -> Result<(Totals, Vec<FolderCount>), Abort> {
    let standing = write::check_destination(options.destination)?;
    if labels::are_folders(options.render.labels) && write::is_maildirpp_subfolder(options.destination) {
        let reason = "is a folder of a Maildir, and folders lie beside each other; name the Maildir".into();
        return Err(Error::Destination { path: options.destination.to_owned(), reason }.into());
    }
    let lock_findings: Vec<_> = inputs.iter_mut().map(|i| i.source.take_findings()).collect();
    if let Some(known) = all_known((inputs, beside), options, &standing, reports)? {
        return Ok(known);
    }
    let (mut mboxes, mut wholes) = (Vec::with_capacity(inputs.len()), Vec::with_capacity(inputs.len()));
    // What writes no manifest needs to know a source only where there is one to know it from.
    let wanted = match options.manifest {
        ManifestLocation::None => false,
        _ => !options.dry_run || history::read_manifest(options, &standing)?.is_some(),
    };
    progress.begin(Phase::Reading, inputs.iter().map(|i| i.source.text().len() as u64).sum());
    for (input, findings) in inputs.iter().zip(lock_findings) {
        // Deciding boundaries takes one core; the other hashes meanwhile.
        let read = || read_source(input, findings, options, progress);
        let hash = || wanted.then(|| identity::hash_source(&input.source));
        let ((mbox, report), whole) = match input.source.raw().len() {
            ..identity::MIN_PARALLEL => (read(), hash()),
            _ => rayon::join(read, hash),
        };
        reports.push(report);
        mboxes.push(mbox?);
        wholes.push(whole);
    }
    let opened = if options.dry_run { None } else { Some(MaildirWriter::open(writer_options(options))?) };
    // Read under the lock: somebody else may have written it while we waited.
    let standing = write::check_destination(options.destination)?;
    let _lock = if options.dry_run { None } else { options.lock_manifest()? };
    let manifest = history::read_manifest(options, &standing)?;
    let past =
        manifest.as_ref().map_or_else(|| Ok(History::default()), History::parse)?.with_siblings(beside);
    past.check_destination(options, &standing)?;
    let mut memory = history::load_names(options, &standing, &past)?;
    let (plans, identities) =
        plan_all((inputs, &mboxes, &wholes), &mut memory, options, &past, progress, reports)?;
    memory.forget_names();
    let folders = std::mem::take(&mut memory.folders);
    let sums = count_totals(inputs, &mboxes, &plans);
    let names = match &opened {
        Some((filling, _)) => name_keywords(filling, &memory, options)?,
        None => name_in_dry_run(&memory, options)?,
    };
    let keywords = memory.keywords.letters(&names);
    for (plan, report) in plans.iter().zip(&mut *reports) {
        report.findings.extend(left_over(&keywords, plan));
    }
    let (filled, needed) = count_folders(&folders, &plans);
    let Some((mut filling, left)) = opened else {
        let sizes = plans.iter().flat_map(|p| &p.messages).map(to_write);
        check_free_space(options.destination, &standing, sizes.chain(room_of(needed.len())))?;
        inputs.iter().try_for_each(|input| input.source.check_unchanged())?;
        return Ok((sums, filled));
    };
    let room_of_folders = room_of(needed.len());
    filling.set_folders(folders.directories(), needed)?;
    let mut loads: Vec<PlannedSource<'_>> = inputs
        .iter()
        .zip(&mboxes)
        .zip(&plans)
        .map(|((input, mbox), plan)| {
            PlannedSource::new(&input.source, mbox, plan, (&keywords, &folders), options)
        })
        .collect();
    let resumed = resume(&filling, &left, &mut loads, (inputs, &identities), &past, options)?;
    reports.iter_mut().take(1).for_each(|report| report.findings.extend(resumed.finding(&left)));
    let is_there = |n: usize| if resumed.has_files { resumed.done[n].messages } else { 0 };
    let missing = plans.iter().enumerate().flat_map(|(n, p)| &p.messages[is_there(n)..]);
    check_free_space(options.destination, &standing, missing.map(to_write).chain(room_of_folders))?;
    let manifest = options.manifest.open(filling.root(), resumed.end)?;
    commit_sources(filling, &loads, &resumed, manifest, options, progress)?;
    Ok((sums, filled))
}

/// The folders of all messages with what is written into each, and the numbers of those that get any.
fn count_folders(folders: &LabelFolders, plans: &[Plan]) -> (Vec<FolderCount>, Vec<FolderIndex>) {
    let mut written = vec![None; folders.count()];
    for planned in
        plans.iter().flat_map(|plan| &plan.messages).filter(|p| p.disposition != Disposition::Pseudo)
    {
        planned.folders().iter().for_each(|&folder| *written[folder as usize].get_or_insert(0) += 0);
        planned.missing_folders().iter().for_each(|&folder| *written[folder as usize].get_or_insert(0) += 1);
    }
    let numbered = || (0..).zip(&written);
    let needed = numbered().filter(|(_, written)| written.is_some_and(|n| n > 0)).map(|(folder, _)| folder);
    let belong = numbered().filter_map(|(folder, written)| Some((folder, (*written)?)));
    let filled = |(folder, written)| FolderCount {
        name: folders.name(folder),
        directory: folders.renamed_directory(folder),
        written,
    };
    let mut filled: Vec<FolderCount> = belong.map(filled).collect();
    filled.sort();
    if filled.is_empty() {
        filled = FolderCount::inbox(0);
    }
    (filled, needed.collect())
}

/// What so many folders take, as if it were messages: four directories each and a file that says what it is.
fn room_of(folders: usize) -> impl Iterator<Item = Option<u64>> {
    std::iter::repeat_n(Some(1), 5 * folders)
}

fn to_write(planned: &PlannedMessage) -> Option<u64> {
    (planned.disposition == Disposition::Write).then_some(planned.size)
}

/// Gives the keywords of this run their letters, on disk: before the first name with such a letter is visible.
fn name_keywords(filling: &MaildirWriter, memory: &NameTable, options: &Options<'_>) -> Result<KeywordTable> {
    if memory.keywords.is_empty() && !filling.is_staged() {
        // What others have there is not looked at in vain.
        return Ok(KeywordTable::default());
    }
    let lock = (options.keywords_lock, options.cancel);
    filling.assign_keywords(memory.keywords.required(), memory.letters_in_use, lock)
}

/// The letters that they would get.
fn name_in_dry_run(memory: &NameTable, options: &Options<'_>) -> Result<KeywordTable> {
    if memory.keywords.is_empty() {
        return Ok(KeywordTable::default());
    }
    let mut names = KeywordTable::read(options.destination)?;
    names.reserve(memory.letters_in_use);
    for keyword in memory.keywords.required() {
        names.add(keyword);
    }
    Ok(names)
}

/// What came without a letter.
fn left_over(keywords: &KeywordLetters<'_>, plan: &Plan) -> Option<Finding> {
    let (messages, left) =
        keywords.without_letter(plan.messages.iter().filter(|m| m.disposition == Disposition::Write));
    let mend = "remove keywords that nothing uses from the Maildir, or convert into more than one";
    let which = left.join(", ");
    (messages > 0).then(|| {
        let text = format!("{messages} messages come without keywords for which no letter is left: {which}");
        Finding::new(Code::KeywordsOverflow, text).with_hint(mend)
    })
}

fn writer_options<'a>(options: &Options<'a>) -> WriterOptions<'a> {
    WriterOptions {
        path: options.destination,
        fsync: options.fsync,
        lock_timeout: options.lock_timeout,
        // Without the list in it nothing can be said of its messages.
        resume: options.manifest == ManifestLocation::InMaildir,
        sync_group: options.sync_group,
        ownership: options.ownership,
        cancel: options.cancel,
    }
}

/// Gives every load that is to be recorded its recorder, and finds out how far an earlier run had come.
fn resume(
    filling: &MaildirWriter,
    left: &Leftover,
    loads: &mut [PlannedSource<'_>],
    (inputs, identities): (&[Input], &[IdentifiedSource]),
    past: &History<'_>,
    options: &Options<'_>,
) -> Result<ResumePoint> {
    let is_recorded = |identity: &Identity| {
        options.manifest != ManifestLocation::None && !matches!(identity, Identity::Same(_))
    };
    let record = |loads: &mut [PlannedSource<'_>], follows: &dyn Fn(Identity) -> Option<usize>| {
        for ((load, input), (identity, fingerprint)) in loads.iter_mut().zip(inputs).zip(identities) {
            let name = input.name.as_os_str().as_bytes();
            let new = || SectionWriter::new(load, name, *fingerprint, follows(*identity));
            load.section = is_recorded(identity).then(new);
        }
    };
    record(loads, &|identity| identity.section().map(|n| n + 1));
    if let Leftover::Stage(text) = left {
        let agreed = resume::adopt_stage(filling, text, loads)?;
        let end = agreed.bytes as u64;
        return Ok(ResumePoint { done: agreed.done, has_files: true, sections: 0, end });
    }
    let recorded: Vec<Identity> = identities.iter().map(|(i, _)| *i).filter(is_recorded).collect();
    if let Some((first, text)) = past.unfinished_run(&recorded) {
        record(loads, &|identity| match identity {
            Identity::Unfinished(n) => past.outlines[n].head.follows,
            other => other.section().map(|n| n + 1),
        });
        let agreed = resume::match_lines(text, loads, &|_, _| Ok(true))?;
        if agreed.is_prefix {
            let is_cut =
                loads.iter().zip(&agreed.done).any(|(l, done)| l.section.is_some() && !done.is_complete);
            let cut = (past.outlines[first].at + agreed.bytes) as u64;
            let (done, end) = (agreed.done, if is_cut { cut } else { past.end() });
            return Ok(ResumePoint { done, has_files: false, sections: first, end });
        }
        record(loads, &|identity| identity.section().map(|n| n + 1));
    }
    let done = vec![SourceProgress::default(); loads.len()];
    let (sections, end) = (past.outlines.len(), past.end());
    Ok(ResumePoint { done, has_files: false, sections, end })
}

/// Where every source was converted before, byte for byte, there is nothing to do, and nothing is
/// touched: not even a lock.
fn all_known(
    (inputs, beside): (&[Input], &[&Path]),
    options: &Options<'_>,
    standing: &DestinationState,
    reports: &mut Vec<Report>,
) -> Result<Option<(Totals, Vec<FolderCount>)>> {
    let Some(manifest) = history::read_manifest(options, standing)? else { return Ok(None) };
    let past = History::parse(&manifest)?.with_siblings(beside);
    let mut sums = Totals { sources: inputs.len() as u64, ..Totals::default() };
    let mut names = BTreeSet::new();
    let mut found = Vec::new();
    for input in inputs {
        let (identity, _) = past.identify(input, options, None, &[])?;
        options.cancel.check()?;
        let Identity::Same(n) = identity else { return Ok(None) };
        past.check_destination(options, standing)?;
        let outline = &past.outlines[n];
        let Some(tail) = &outline.tail else { return Ok(None) };
        sums.add_known(outline.head.size, tail);
        if labels::are_folders(options.render.labels) {
            let messages = outline.read()?.messages;
            names.extend(messages.iter().flat_map(labels::folder_names));
        }
        found.push(Report {
            path: input.source.path().to_owned(),
            variant: None,
            evidence: String::new(),
            findings: vec![Finding::new(
                Code::SourceKnown,
                "these very bytes were converted before: nothing to do",
            )],
        });
    }
    if write::has_leftovers(options.destination)? {
        return Ok(None);
    }
    inputs.iter().try_for_each(|input| input.source.check_unchanged())?;
    if options.fsync != Fsync::None && !options.dry_run {
        // A run that was killed may have left this to us.
        past.sync()?;
        write::sync_parent(options.destination)?;
    }
    reports.append(&mut found);
    let filled =
        names.into_iter().map(|name| FolderCount { name, directory: None, written: 0 }).collect::<Vec<_>>();
    Ok(Some((sums, if filled.is_empty() { FolderCount::inbox(0) } else { filled })))
}

type IdentifiedSource = (Identity, Fingerprint);

fn plan_all(
    (inputs, mboxes, wholes): (&[Input], &[Mbox<'_>], &[Option<Digest>]),
    memory: &mut NameTable,
    options: &Options<'_>,
    past: &History<'_>,
    progress: &dyn Events,
    reports: &mut [Report],
) -> Result<(Vec<Plan>, Vec<IdentifiedSource>)> {
    let (mut plans, mut identities) = (Vec::new(), Vec::new());
    progress.begin(Phase::Planning, mboxes.iter().map(|m| m.text().len() as u64).sum());
    for (((input, mbox), whole), report) in inputs.iter().zip(mboxes).zip(wholes).zip(reports) {
        let rules = DateRules {
            now: options.now,
            mtime: input.source.mtime(),
            from_zone: options.from_zone.clone(),
            first: options.date,
        };
        let planned = |bytes| {
            progress.advance(bytes, 0);
            options.cancel.check()
        };
        let (identity, fingerprint) = match whole {
            None => (Identity::New, Fingerprint::NONE),
            whole => {
                let taken: Vec<Identity> = identities.iter().map(|(identity, _)| *identity).collect();
                past.identify(input, options, *whole, &taken)?
            }
        };
        report.findings.extend(history::finding(identity));
        let earlier = Earlier { previous: past.previous_messages(identity)?, dedupe: options.dedupe };
        if plans.len() + 1 == inputs.len() {
            memory.expect_last_source();
        }
        let mut plan = plan::plan(&input.source, mbox, options.render, &rules, memory, earlier, &planned)?;
        report.findings.append(&mut plan.findings);
        plans.push(plan);
        identities.push((identity, fingerprint));
    }
    Ok((plans, identities))
}

/// Reads one source and reports on it, whether or not it is a mailbox.
fn read_source<'a>(
    input: &'a Input,
    findings: Vec<Finding>,
    options: &Options<'_>,
    progress: &dyn Events,
) -> (Result<Mbox<'a>>, Report) {
    let source = &input.source;
    let path = source.path().to_owned();
    let mut report = Report { path: path.clone(), variant: None, evidence: String::new(), findings };
    let watch = ScanHooks {
        on_scan: &|range| progress.advance(range.len() as u64, 0),
        on_release: &|range| source.release(range),
        cancel: options.cancel,
    };
    let read = mbox::read::read(source.text(), &input.read_options, watch);
    if let Err(error) = options.cancel.check() {
        return (Err(error), report);
    }
    match read {
        Ok(mut mbox) => {
            report.variant = Some(mbox.variant);
            report.evidence = mbox.evidence.clone();
            report.findings.append(&mut mbox.findings);
            if source.is_cr_only() {
                let message = "every line ends in CR, as on a classic Mac; the messages get LF";
                report.findings.push(Finding::new(Code::MboxCrOnly, message));
            }
            (Ok(mbox), report)
        }
        Err(not) => (Err(Error::NotAMailbox { path, reason: not.reason, hint: not.hint }), report),
    }
}

fn count_totals(inputs: &[Input], mboxes: &[Mbox<'_>], plans: &[Plan]) -> Totals {
    let mut sums = Totals { sources: inputs.len() as u64, ..Totals::default() };
    for ((input, mbox), plan) in inputs.iter().zip(mboxes).zip(plans) {
        mbox.check_conservation().unwrap_or_else(|why| panic!("{}: {why}", input.source.path().display()));
        let size = mbox.text().len() as u64;
        let junk: u64 = mbox.boundaries.junk.iter().map(|r| r.end - r.start).sum();
        let (mut from_lines, mut messages, mut quoting) = (0, 0, 0);
        for (message, extent) in plan.messages.iter().zip(mbox.messages()) {
            let PlannedMessage { quotes, disposition: fate, .. } = message;
            from_lines += extent.start - extent.at;
            quoting += u64::from(*quotes);
            messages += extent.end - extent.start - u64::from(*quotes);
            sums.line_ends_changed += u64::from(message.eols);
            sums.links += (message.missing_folders().len() as u64).saturating_sub(1);
            match fate {
                Disposition::Write => sums.written += 1,
                Disposition::Present => sums.already_present += 1,
                Disposition::Duplicate => sums.duplicates += 1,
                Disposition::Pseudo | Disposition::Deleted => sums.skipped += 1,
            }
        }
        if input.source.is_cr_only() {
            sums.line_ends_changed += memchr::memchr_iter(b'\n', mbox.text()).count() as u64;
        }
        sums.messages_found += plan.messages.len() as u64;
        sums.bytes_source += size;
        sums.bytes_junk += junk;
        sums.bytes_from_lines += from_lines;
        sums.bytes_messages += messages;
        sums.bytes_quoting += quoting;
        sums.bytes_separators += separators(mbox) - junk;
    }
    sums
}

/// Bytes between messages, counted where they are and not as what is left over: a wrong extent must
/// not vanish in a subtraction.
fn separators(mbox: &Mbox<'_>) -> u64 {
    let extents = mbox.messages();
    let ends = extents.iter().map(|extent| extent.end);
    let starts = extents.iter().skip(1).map(|extent| extent.at).chain([mbox.text().len() as u64]);
    let before_first = extents.first().map_or(mbox.text().len() as u64, |extent| extent.at);
    let between: u64 = ends.zip(starts).map(|(end, next)| next - end).sum();
    before_first + between
}

/// Refuses before the first byte what cannot fit: `sizes` are those of the messages' files, None for one that is
/// only recorded.
fn check_free_space(
    destination: &Path,
    standing: &DestinationState,
    sizes: impl Iterator<Item = Option<u64>>,
) -> Result<()> {
    let directory = match standing {
        DestinationState::Nothing => write::parent_of(destination),
        _ => destination,
    };
    let dir = Dir::open(directory)?;
    let room = dir.free_space()?;
    /// What the manifest takes for a message, at most for all but odd ones.
    const MANIFEST_LINE: u64 = 300;
    /// Three directories and the manifest.
    const FILES: u64 = 4;
    let (mut files, mut blocks, mut lines) = (FILES, 0, 0);
    for size in sizes {
        lines += MANIFEST_LINE;
        if let Some(size) = size {
            files += 1;
            blocks += size.div_ceil(room.block);
        }
    }
    if files > FILES {
        dir.check_writable()?;
    }
    let too_little =
        |unit, need, free| Error::InsufficientSpace { path: directory.to_owned(), unit, need, free };
    let need = blocks * room.block + lines;
    if need > room.bytes {
        return Err(too_little("bytes", need, room.bytes));
    }
    match room.inodes {
        Some(free) if files > free => Err(too_little("inodes", files, free)),
        _ => Ok(()),
    }
}
