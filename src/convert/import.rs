//! Imports mboxes into a Maildir. Sources are read and planned before the first byte is written; what is
//! written is published only when all of it is safe.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::history::identity_finding;
use super::plan::plan;
use super::planned::Disposition;
use super::resume::{adopt_stage, match_lines};
use super::section_writer::SectionWriter;
use super::{
    Abort, Commit, Dedupe, Destination, Fingerprint, FolderCount, FolderIndex, History, Identity,
    ImportOptions, Input, KeywordLetters, LabelFolders, ListBuilder, NameTable, NumberedMessage,
    OpenDestination, Outcome, Plan, PlanOptions, PlannedMessage, PlannedSource, Report, ResumePoint,
    RunOptions, SourceDetails, SourceHash, Totals, UidPlan, UidPolicy, labels, renumbered_finding,
};
use crate::mailbox::maildir::write::KeywordFolder;
use crate::mailbox::maildir::{KeywordTable, Leftover, MaildirWriter, write};
use crate::mailbox::manifest::{ManifestLocation, SectionHeader, SourceState};
use crate::mailbox::mbox::Mbox;
use crate::mailbox::text::grouped_plural;
use crate::mailbox::{Code, Context, Error, Finding, Phase, Result};

/// Imports mboxes into a Maildir. If it fails, nothing new is visible there, except, in a Maildir that existed,
/// the messages that the totals count as written.
pub(crate) fn import_mboxes(inputs: &[Input], options: &ImportOptions<'_>, context: &Context<'_>) -> Outcome {
    let hashes = inputs.iter().map(|input| SourceHash::new(&input.source)).collect();
    let mut import = Import { inputs, hashes, options, context, reports: Vec::with_capacity(inputs.len()) };
    let done = import.run().map_err(|abort| prefer_source_change(abort, inputs));
    let mut reports = import.reports;
    let bytes_source = inputs.iter().map(|i| i.source.raw().len() as u64).sum();
    let outcome = Outcome::new(done, inputs.len(), bytes_source);
    if context.collect_details {
        // Those that an error kept from being read.
        for input in &inputs[reports.len()..] {
            let details = Some(Box::new(input.size_only()));
            reports.push(Report { details, ..Report::new(input.source.path(), Vec::new()) });
        }
    }
    // The sources were reported in their order.
    for (report, input) in reports.iter_mut().zip(inputs) {
        input.complete_report(report, outcome.error.is_none());
    }
    Outcome { reports, ..outcome }
}

/// A file that looks like no mailbox may be one that another program is rewriting.
fn prefer_source_change(abort: Abort, inputs: &[Input]) -> Abort {
    match &abort.error {
        Error::NotAMailbox { .. } => {
            let changed = inputs.iter().find_map(|input| input.source.check_unchanged().err());
            Abort { error: changed.unwrap_or(abort.error), ..abort }
        }
        _ => abort,
    }
}

/// An import while it runs.
struct Import<'a> {
    inputs: &'a [Input],
    /// Those of the inputs.
    hashes: Vec<SourceHash<'a>>,
    options: &'a ImportOptions<'a>,
    context: &'a Context<'a>,
    reports: Vec<Report>,
}

/// A source that was read.
struct ReadSource<'a> {
    mbox: Mbox<'a>,
    /// The run may need to identify the source.
    is_identified: bool,
}

/// A source that was planned.
struct IdentifiedPlan {
    plan: Plan,
    identity: Identity,
    fingerprint: Fingerprint,
}

impl<'a> Import<'a> {
    fn run(&mut self) -> Result<(Totals, Vec<FolderCount>), Abort> {
        let Import { inputs, options, context, .. } = *self;
        let destination = Destination::look(&options.destination)?;
        let path = options.destination.path;
        if let Some(known) = self.find_all_known(&destination)? {
            return Ok(known);
        }
        let sources = self.read_sources(&destination)?;
        let (destination, mut opened) = destination.open(&options.destination, context)?;
        let history = History::parse(destination.manifest.as_ref())?.with_siblings(options.siblings);
        history.check_destination(&options.destination, &destination.state)?;
        let mut names = history.names(options, &destination.state, context)?;
        let planned = self.plan_sources(&sources, &history, &mut names)?;
        names.forget_names();
        let folders = std::mem::take(&mut names.folders);
        let mut uids = self.plan_uids(&sources, &planned, &destination, &history)?;
        let totals = Totals { uids: uids.counts, ..self.count(&sources, &planned) };
        let (folder_counts, needed) = count_folders(&folders, &planned);
        let folder_sizes = space_of_folders(needed.len());
        let directories = folders.directories();
        let tables = match &mut opened {
            Some(OpenDestination { writer, .. }) => {
                writer.set_folders(directories.clone(), needed)?;
                assign_keywords(writer, &names, &directories, context)?
            }
            None => preview_keywords(&names, &directories, options)?,
        };
        let keywords = names.keywords.letters(&tables);
        for (planned, report) in planned.iter().zip(&mut self.reports) {
            report.findings.extend(overflow_finding(&keywords, &planned.plan));
        }
        let Some(OpenDestination { _manifest_lock, mut writer, leftover }) = opened else {
            let sizes = planned.iter().flat_map(|p| &p.plan.messages).map(PlannedMessage::size_to_write);
            let bytes_needed = destination.check_free_space(path, sizes.chain(folder_sizes))?;
            self.report_uids(uids);
            inputs.iter().try_for_each(|input| input.source.check_unchanged())?;
            return Ok((Totals { bytes_needed, ..totals }, folder_counts));
        };
        let run = RunOptions {
            render: options.render,
            folders: &folders,
            keywords: &keywords,
            host: context.host,
            info_separator: options.destination.info_separator,
        };
        let mut sections = self.sections(&sources, &planned, run);
        let digests = uids.digests();
        for section in &mut sections {
            section.set_previous(history.manifest.hash);
            section.set_uid_lists(&digests);
        }
        let identities: Vec<Identity> = planned.iter().map(|planned| planned.identity).collect();
        let resume = match &leftover {
            Leftover::Stage(text) => adopt_stage(&writer, text, &sections, folders.count())?,
            _ => resume_in_place(&mut sections, &identities, &history)?,
        };
        self.reports.iter_mut().take(1).for_each(|report| report.findings.extend(resume.finding(&leftover)));
        let missing = planned.iter().zip(&resume.progress).flat_map(|(planned, progress)| {
            let first = if resume.has_files { progress.messages } else { 0 };
            let messages = planned.plan.messages[first..].iter();
            messages.filter(|m| m.disposition != Disposition::NotSelected).map(PlannedMessage::size_to_write)
        });
        destination.check_free_space(path, missing.chain(folder_sizes))?;
        uids.hand_over(&mut writer, &leftover, &options.destination, context)?;
        let manifest = options.destination.manifest.open(writer.root(), resume.end)?;
        let commit = Commit { sources: &sections, resume: &resume, options: &options.destination, context };
        if let Some(changed) = commit.run(writer, manifest)? {
            uids.lose_lists(changed, path);
        }
        let totals = Totals { uids: uids.counts, ..totals };
        self.report_uids(uids);
        Ok((totals, folder_counts))
    }

    /// If every source was converted before, byte for byte, there is nothing to do. Then nothing is touched, not
    /// even a lock.
    fn find_all_known(&mut self, destination: &Destination) -> Result<Option<(Totals, Vec<FolderCount>)>> {
        let Import { inputs, options, context, .. } = *self;
        if destination.manifest.is_none() {
            return Ok(None);
        }
        let history = History::parse(destination.manifest.as_ref())?.with_siblings(options.siblings);
        let mut totals = Totals { sources: inputs.len() as u64, ..Totals::default() };
        let mut folders = BTreeMap::<String, u64>::new();
        let mut reports = Vec::new();
        for (input, hash) in inputs.iter().zip(&self.hashes) {
            let (identity, _) = history.identify(input, hash, &[]);
            context.cancel.check()?;
            let Identity::Same(n) = identity else { return Ok(None) };
            history.check_destination(&options.destination, &destination.state)?;
            let outline = &history.manifest.sections[n];
            let Some(footer) = &outline.footer else { return Ok(None) };
            totals.add_known(outline.header.size, footer);
            if options.makes_folders() {
                let messages = outline.read()?.messages;
                let names = messages.iter().flat_map(labels::folder_names);
                names.for_each(|name| *folders.entry(name).or_default() += 1);
            }
            let findings = identity_finding(identity).into_iter();
            let findings = findings
                .chain(history.options_finding(identity, &options.section_header(context.host)))
                .collect();
            let SectionHeader { size, blake3, .. } = outline.header;
            let state = Some(SourceState { size, blake3 });
            let details = if context.collect_details { self.read_details(input)? } else { None };
            reports.push(Report { state, details, ..Report::new(input.source.path(), findings) });
        }
        if write::has_leftovers(options.destination.path)? {
            return Ok(None);
        }
        inputs.iter().try_for_each(|input| input.source.check_unchanged())?;
        history.sync(&options.destination)?;
        self.reports = reports;
        let count = |(name, messages)| FolderCount {
            name,
            found: messages,
            already_present: messages,
            ..FolderCount::default()
        };
        let folders: Vec<FolderCount> = folders.into_iter().map(count).collect();
        Ok(Some((totals, if folders.is_empty() { FolderCount::inbox(&totals) } else { folders })))
    }

    /// Reads a source for its details only.
    fn read_details(&self, input: &Input) -> Result<Option<Box<SourceDetails>>> {
        let Import { options, context, .. } = *self;
        let (mbox, Report { mut details, .. }) = input.read(context);
        let (mbox, plan_options) = (mbox?, options.date_options(context.now, input.source.mtime()));
        let on_progress = |_| context.cancel.check();
        let plan = plan(&input.source, &mbox, plan_options, &mut NameTable::default(), &on_progress)?;
        if let Some(details) = &mut details {
            details.add_messages(&input.source, &mbox, &plan);
        }
        Ok(details)
    }

    /// Reads the sources, and hashes them meanwhile if the run may need to identify them.
    fn read_sources(&mut self, destination: &Destination) -> Result<Vec<ReadSource<'a>>> {
        let Import { inputs, options, context, .. } = *self;
        // A run that writes no manifest identifies a source only by one that exists.
        let is_identified = match options.destination.manifest {
            ManifestLocation::None => false,
            _ => !options.destination.dry_run || destination.manifest.is_some(),
        };
        context.events.begin(Phase::Reading, inputs.iter().map(|i| i.source.text().len() as u64).sum());
        let mut sources = Vec::with_capacity(inputs.len());
        for (input, hash) in inputs.iter().zip(&self.hashes) {
            let on_scan = |window| {
                if is_identified {
                    hash.add(window);
                }
            };
            let (mbox, report) = input.read_with(context, &on_scan);
            self.reports.push(report);
            sources.push(ReadSource { mbox: mbox?, is_identified });
        }
        Ok(sources)
    }

    fn plan_sources(
        &mut self,
        sources: &[ReadSource<'_>],
        history: &History<'_>,
        names: &mut NameTable,
    ) -> Result<Vec<IdentifiedPlan>> {
        let Import { inputs, options, context, .. } = *self;
        let mut plans: Vec<IdentifiedPlan> = Vec::with_capacity(sources.len());
        context.events.begin(Phase::Planning, sources.iter().map(|s| s.mbox.text().len() as u64).sum());
        let on_progress = |bytes| {
            context.events.advance(bytes, 0);
            context.cancel.check()
        };
        let sources = inputs.iter().zip(&self.hashes).zip(sources);
        for (((input, hash), source), report) in sources.zip(&mut self.reports) {
            let (identity, fingerprint) = match source.is_identified {
                false => (Identity::New, Fingerprint::NONE),
                true => {
                    let taken: Vec<Identity> = plans.iter().map(|planned| planned.identity).collect();
                    history.identify(input, hash, &taken)
                }
            };
            let state = SourceState { size: input.source.raw().len() as u64, blake3: fingerprint.digest };
            report.state = source.is_identified.then_some(state);
            let (identity, replaced) = match identity {
                Identity::New if !options.new_source => history.find_rewritten(input, &source.mbox)?,
                identity => (identity, None),
            };
            let other = match identity {
                Identity::New if options.dedupe == Dedupe::No => {
                    history.other_archive_finding(input, &source.mbox)?
                }
                _ => None,
            };
            let plan_options = PlanOptions {
                render: options.render,
                dates: options.date_rules(context.now, input.source.mtime()),
                dedupe: options.dedupe,
                selection: options.selection,
                split: options.split.clone(),
                reports_assumptions: true,
                previous: history.previous_messages(input, identity)?,
            };
            if plans.len() + 1 == inputs.len() {
                names.expect_last_source();
            }
            let mut plan = plan(&input.source, &source.mbox, plan_options, names, &on_progress)?;
            let identity = match identity {
                Identity::Partial(n) if plan.adds_nothing(history.not_selected(n)) => Identity::Same(n),
                identity => identity,
            };
            report.findings.extend(identity_finding(identity).into_iter().chain(replaced).chain(other));
            report.findings.extend(history.options_finding(identity, &options.section_header(context.host)));
            report.findings.append(&mut plan.findings);
            if let Some(details) = &mut report.details {
                details.add_messages(&input.source, &source.mbox, &plan);
            }
            plans.push(IdentifiedPlan { plan, identity, fingerprint });
        }
        Ok(plans)
    }

    /// Builds the list of UIDs: of the messages in the Maildir itself, since each folder has UIDs of its own.
    fn plan_uids(
        &mut self,
        sources: &[ReadSource<'_>],
        planned: &[IdentifiedPlan],
        destination: &Destination,
        history: &History<'_>,
    ) -> Result<UidPlan> {
        let Import { options: ImportOptions { destination: options, .. }, context, .. } = *self;
        if options.uids.policy == UidPolicy::New {
            return Ok(UidPlan::default());
        }
        for ((source, IdentifiedPlan { plan, .. }), report) in
            sources.iter().zip(planned).zip(&mut self.reports)
        {
            if let Some(loss) = renumbered_finding(plan, &source.mbox) {
                options.uids.policy.refuse(&loss, &report.path)?;
                report.findings.push(loss);
            }
        }
        let Some(first) = planned.iter().position(|planned| planned.plan.uids.is_some()) else {
            return Ok(UidPlan::without_list(planned.iter().flat_map(|planned| &planned.plan.messages)));
        };
        let mut builder = ListBuilder::open(options.path, &destination.state, history, options.uids)?;
        // The source whose UIDs the folder gets comes first.
        let has_its_uids = |planned: &IdentifiedPlan| {
            planned.plan.uids.as_ref().is_some_and(|uids| Some(uids.validity) == builder.validity())
        };
        let first = planned.iter().position(has_its_uids).unwrap_or(first);
        let (before, from_first) = planned.split_at(first);
        let rest = from_first.iter().skip(1);
        for planned in from_first.iter().take(1).chain(before).chain(rest) {
            let Plan { messages, uids, .. } = &planned.plan;
            let is_placed = |message: &&PlannedMessage| {
                matches!(message.disposition, Disposition::Write | Disposition::Present)
            };
            let (inside, elsewhere): (Vec<_>, Vec<_>) =
                messages.iter().filter(is_placed).partition(|message| message.folders().contains(&0));
            let written = elsewhere.iter().filter(|message| message.disposition == Disposition::Write);
            written.for_each(|message| builder.add_elsewhere(message.uid_origin));
            let numbered = inside.iter().map(|message| NumberedMessage {
                name: if message.has_name() { message.base_name(context.host) } else { Vec::new() },
                uid: message.uid,
                origin: message.uid_origin,
                is_written: message.disposition == Disposition::Write,
                fields: Box::default(),
            });
            builder.add(uids.as_ref(), numbered);
        }
        builder.finish(options.path, options.uids)
    }

    fn report_uids(&mut self, uids: UidPlan) {
        self.reports.iter_mut().take(1).for_each(|report| report.findings.extend(uids.findings.clone()));
    }

    fn count(&self, sources: &[ReadSource<'_>], planned: &[IdentifiedPlan]) -> Totals {
        let mut totals = Totals::default();
        for ((input, source), planned) in self.inputs.iter().zip(sources).zip(planned) {
            totals.add_source(&source.mbox, &planned.plan);
            if input.source.is_cr_only() {
                totals.line_ends_changed += memchr::memchr_iter(b'\n', source.mbox.text()).count() as u64;
            }
        }
        totals
    }

    fn sections<'s>(
        &self,
        sources: &'s [ReadSource<'s>],
        planned: &'s [IdentifiedPlan],
        run: RunOptions<'s>,
    ) -> Vec<SectionWriter<'s>>
    where
        'a: 's,
    {
        let keeps_manifest = self.options.destination.manifest != ManifestLocation::None;
        let inputs: &'a [Input] = self.inputs;
        let section = |((input, source), planned): ((&'s Input, &'s ReadSource<'s>), &'s IdentifiedPlan)| {
            let IdentifiedPlan { plan, identity, fingerprint } = planned;
            let source = PlannedSource { source: &input.source, mbox: &source.mbox, plan, run };
            if !keeps_manifest || matches!(identity, Identity::Same(_)) {
                return SectionWriter::unrecorded(source);
            }
            let header = self.options.section_header(self.context.host);
            let mut section = SectionWriter::recorded(source, input.name(), *fingerprint, header);
            section.set_folder(self.options.destination.folder);
            section.set_follows(identity.section().map(|n| n + 1));
            section
        };
        inputs.iter().zip(sources).zip(planned).map(section).collect()
    }
}

/// Finds out how far a killed run had come in a Maildir that exists: its sections are open, and its messages have
/// to be written again.
fn resume_in_place(
    sections: &mut [SectionWriter<'_>],
    identities: &[Identity],
    history: &History<'_>,
) -> Result<ResumePoint> {
    let outlines = &history.manifest.sections;
    let (count, end) = (outlines.len(), history.end());
    let new = ResumePoint::new_sections(sections.len(), count, end);
    let recorded = || sections.iter().zip(identities).filter(|(section, _)| section.is_recorded());
    let unfinished: Vec<Identity> = recorded().map(|(_, identity)| *identity).collect();
    let Some((first, text)) = history.unfinished_run(&unfinished) else { return Ok(new) };
    for (section, identity) in sections.iter_mut().zip(identities) {
        if let Identity::Unfinished(n) = *identity {
            section.set_follows(outlines[n].header.follows);
            section.set_previous(outlines[n].header.previous);
        }
    }
    let matched = match_lines(text, sections, None)?;
    if !matched.is_prefix {
        for (section, identity) in sections.iter_mut().zip(identities) {
            section.set_follows(identity.section().map(|n| n + 1));
            section.set_previous(history.manifest.hash);
        }
        return Ok(new);
    }
    let mut progress = matched.progress.iter().zip(&*sections);
    let is_cut = progress.any(|(progress, section)| section.is_recorded() && !progress.is_complete);
    let cut = (outlines[first].at + matched.bytes) as u64;
    let end = if is_cut { cut } else { end };
    Ok(ResumePoint { progress: matched.progress, has_files: false, sections: first, end })
}

/// Returns the folders of all messages, and the numbers of those that get any.
fn count_folders(folders: &LabelFolders, planned: &[IdentifiedPlan]) -> (Vec<FolderCount>, Vec<FolderIndex>) {
    let mut counts = vec![FolderCount::default(); folders.count()];
    let messages = planned.iter().flat_map(|planned| &planned.plan.messages);
    for message in messages.filter(|message| message.disposition != Disposition::Pseudo) {
        let missing = message.missing_folders();
        for folder in message.folders() {
            counts[*folder as usize].add(message.disposition, missing.contains(folder));
        }
    }
    let numbered = || (0..).zip(&counts);
    let needed = numbered().filter(|(_, count)| count.written > 0).map(|(folder, _)| folder).collect();
    let used = numbered().filter(|(_, count)| count.found > 0);
    let name = |(folder, count): (FolderIndex, &FolderCount)| FolderCount {
        name: folders.name(folder),
        directory: folders.renamed_directory(folder),
        ..count.clone()
    };
    let mut counts: Vec<FolderCount> = used.map(name).collect();
    counts.sort();
    if counts.is_empty() {
        counts = FolderCount::inbox(&Totals::default());
    }
    (counts, needed)
}

/// Returns the space that folders take, as if it were messages: four directories each, and a `maildirfolder`.
fn space_of_folders(folders: usize) -> impl Iterator<Item = Option<u64>> + Clone {
    std::iter::repeat_n(Some(1), 5 * folders)
}

/// Gives the keywords of this run their letters in each folder, on disk, before the first name with such a letter is
/// visible.
fn assign_keywords(
    writer: &mut MaildirWriter,
    names: &NameTable,
    directories: &[OsString],
    context: &Context<'_>,
) -> Result<Vec<KeywordTable>> {
    if names.keywords.is_empty() && !writer.is_staged() {
        // The lists of other programs are not needed.
        return Ok(Vec::new());
    }
    let assign = |(folder, directory): (FolderIndex, &OsString)| {
        let in_use = names.letters_in_use.get(&folder).copied().unwrap_or_default();
        let keywords = names.keywords.required(folder);
        let folder = KeywordFolder { directory, in_use };
        writer.assign_keywords(folder, keywords, context.locks, context.cancel)
    };
    (0..).zip(directories).map(assign).collect()
}

/// Returns the letters that the keywords would get in each folder.
fn preview_keywords(
    names: &NameTable,
    directories: &[OsString],
    options: &ImportOptions<'_>,
) -> Result<Vec<KeywordTable>> {
    if names.keywords.is_empty() {
        return Ok(Vec::new());
    }
    let preview = |(folder, directory): (FolderIndex, &OsString)| {
        let in_use = names.letters_in_use.get(&folder).copied().unwrap_or_default();
        let path = options.destination.path.join(directory);
        KeywordTable::preview(&path, names.keywords.required(folder), in_use)
    };
    (0..).zip(directories).map(preview).collect()
}

/// Returns the finding about keywords that got no letter.
fn overflow_finding(keywords: &KeywordLetters<'_>, plan: &Plan) -> Option<Finding> {
    let written = plan.messages.iter().filter(|m| m.disposition == Disposition::Write);
    let (messages, names) = keywords.without_letter(written);
    let hint = "remove keywords that nothing uses from the Maildir, or convert into more than one";
    (messages > 0).then(|| {
        let names = names.join(", ");
        let text = format!(
            "{} without keywords for which no letter is left: {names}",
            grouped_plural(messages as u64, "message")
        );
        Finding::new(Code::KeywordsOverflow, text).with_hint(hint)
    })
}
