//! Copies a Maildir into another one. Bytes, base names, flags, directories and times stay the same, since an
//! IMAP server identifies a message by its base name.
//!
//! A Maildir is identified by the names in it. A name in a closed section of the same path was copied once and
//! is not looked at again. So a second run costs a listing, and a message that was deleted or moved in the
//! destination does not come back. Two messages with one name and different bytes stay two: the second one gets
//! a new name.

mod by_year;
mod collisions;
mod copied;
mod letters;
mod plan;
mod section;
mod source;
mod tally;
mod uids;

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Mutex;

use super::resume::adopt_stage;
use crate::convert::{
    Abort, Commit, Destination, DestinationOptions, FolderCount, History, OpenDestination, OtherSplit,
    Outcome, Report, ResumePoint, SourceDetails, SourceList, SplitOptions, SplitSource, Totals, UidPlan,
};
use crate::mailbox::fs::Dir;
use crate::mailbox::maildir::write::KeywordFolder;
use crate::mailbox::maildir::{
    DestinationState, Entry, KeywordTable, Leftover, MaildirReader, MaildirWriter, write,
};
use crate::mailbox::manifest::{self, Digest, ManifestLocation, SourceState};
use crate::mailbox::message::Selection;
use crate::mailbox::{Code, Context, Error, Finding, Result};
pub(crate) use by_year::copy_by_year;
use copied::CopiedMessages;
use letters::LetterMapping;
use plan::{CopyPlan, Planner};
use section::CopySection;
use source::SourceMaildir;
use tally::CopyTally;
use uids::{Copied, plan_list};

/// Copies a Maildir that is not in a tree, without its folders. `options` are those of the Maildir that has the folders
/// of years, if it is split.
pub(crate) fn copy(
    source: &Path,
    selection: Selection,
    split: Option<&SplitOptions>,
    options: &DestinationOptions<'_>,
    context: &Context<'_>,
) -> Outcome {
    let split_source = SplitSource { path: source, is_maildir: true, directory: Path::new("") };
    let other = OtherSplit::read(options.path, split.is_some());
    match (other.and_then(|other| other.refuse(split_source)), split) {
        (Err(error), _) => Outcome::new(Err(Abort::from(error)), 1, 0),
        (Ok(()), Some(split)) => copy_by_year(source, selection, split, options, context),
        (Ok(()), None) => copy_maildir(source, selection, options, context),
    }
}

/// Copies a Maildir without its folders. If it fails, nothing new is visible in the destination, except, in a
/// Maildir that existed, the messages that the totals count as written.
pub(crate) fn copy_maildir(
    source: &Path,
    selection: Selection,
    options: &DestinationOptions<'_>,
    context: &Context<'_>,
) -> Outcome {
    copy_entries(source, None, selection, options, context)
}

/// Copies only some messages of a Maildir, if there are `entries`.
fn copy_entries(
    source: &Path,
    entries: Option<Vec<Entry>>,
    selection: Selection,
    options: &DestinationOptions<'_>,
    context: &Context<'_>,
) -> Outcome {
    let mut copy = Copy {
        source,
        entries,
        selection,
        options,
        context,
        findings: Vec::new(),
        bytes: 0,
        state: None,
        details: None,
    };
    let done = copy.run().map(|totals| (totals, FolderCount::inbox(&totals)));
    let outcome = Outcome::new(done, 1, copy.bytes);
    let Copy { state, details, findings, .. } = copy;
    let report = Report { state, details, ..Report::new(source, findings) };
    Outcome { reports: vec![report], ..outcome }
}

/// A copy while it runs.
struct Copy<'a> {
    source: &'a Path,
    /// Only these messages.
    entries: Option<Vec<Entry>>,
    selection: Selection,
    options: &'a DestinationOptions<'a>,
    context: &'a Context<'a>,
    findings: Vec<Finding>,
    /// The size of the source, once it is known.
    bytes: u64,
    /// The state of the source, if it is a folder of a tree.
    state: Option<SourceState>,
    /// What a report shows of the source, if that is collected.
    details: Option<Box<SourceDetails>>,
}

impl Copy<'_> {
    fn run(&mut self) -> Result<Totals, Abort> {
        let Copy { source, selection, options, context, .. } = *self;
        let destination = Destination::look(options)?;
        refuse_itself(source, options.path, &destination.state)?;
        let maildir = match self.entries.take() {
            Some(entries) => SourceMaildir { files: MaildirReader::open(source, context.now)?, entries },
            None => SourceMaildir::open(source, context.now)?,
        };
        self.state = options.folder.map(|_| source_state(&maildir.entries));
        self.details = SourceDetails::collect(&maildir.files, &maildir.entries, context)?;
        let name = manifest::source_name(source);
        if let Some(totals) = self.find_all_known(&maildir, &name, &destination)? {
            let text = "all of its messages were copied before: nothing to do";
            self.findings.push(Finding::new(Code::SourceKnown, text));
            return Ok(totals);
        }
        let list = SourceList::read(source, options.uids.policy)?;
        self.findings.extend(source::server_findings(source, options.uids.policy)?);
        let (destination, mut opened) = destination.open(options, context)?;
        let history = History::parse(destination.manifest.as_ref())?;
        history.check_destination(options, &destination.state)?;
        let copied = CopiedMessages::new(&history, &name);
        let planner =
            Planner { source: &maildir, selection, copied: &copied, history: &history, options, context };
        let plan = planner.plan(&destination.state, &mut self.findings)?;
        self.bytes = plan.bytes();
        let present = Copied { source: &maildir, earlier: &copied, plan: &plan };
        let mut uids = plan_list(list, present, &destination, &history, options)?;
        let mapping =
            self.map_letters(&plan, &destination, opened.as_mut().map(|opened| &mut opened.writer))?;
        let section = |header| CopySection {
            source: &maildir,
            plan: &plan,
            mapping: &mapping,
            options,
            context,
            header,
            done: Mutex::default(),
        };
        let Some(OpenDestination { _manifest_lock, mut writer, leftover }) = opened else {
            let bytes_needed = destination.check_free_space(options.path, plan.sizes(0))?;
            let tally = section(None).preview()?;
            return Ok(Totals { bytes_needed, ..self.finish(tally, &plan, uids) });
        };
        let is_recorded = options.manifest != ManifestLocation::None
            && (copied.is_open || !plan.messages.is_empty() || uids.has_changes());
        let header = || copied.header(&name, options.folder, selection, uids.digests());
        let sections = [section(is_recorded.then(header))];
        let resume = match &leftover {
            Leftover::Stage(text) => adopt_stage(&writer, text, &sections, 1)?,
            _ => ResumePoint::new_sections(1, copied.sections, copied.end),
        };
        self.findings.extend(resume.finding(&leftover));
        destination.check_free_space(options.path, plan.sizes(resume.progress[0].chunks))?;
        uids.hand_over(&mut writer, &leftover, options, context)?;
        let manifest = match is_recorded {
            true => options.manifest.open(writer.root(), resume.end)?,
            false => None,
        };
        let commit = Commit { sources: &sections, resume: &resume, options, context };
        if let Some(changed) = commit.run(writer, manifest)? {
            uids.lose_lists(changed, options.path);
        }
        let [section] = sections;
        Ok(self.finish(section.into_tally(), &plan, uids))
    }

    /// If every message was copied before there is nothing to do. Then nothing is touched, not even a lock.
    fn find_all_known(
        &self,
        source: &SourceMaildir,
        name: &Path,
        destination: &Destination,
    ) -> Result<Option<Totals>> {
        let options = self.options;
        if destination.manifest.is_none() {
            return Ok(None);
        }
        let history = History::parse(destination.manifest.as_ref())?;
        let copied = CopiedMessages::new(&history, name);
        let mut plan = CopyPlan::default();
        for entry in &source.entries {
            match copied.length(entry) {
                Some(length) => plan.add_known(length),
                None if source.files.is_selected(entry, self.selection)? => return Ok(None),
                None => plan.add_unselected(source.files.size(entry)),
            }
        }
        if copied.is_open || write::has_leftovers(options.path)? {
            return Ok(None);
        }
        history.check_destination(options, &destination.state)?;
        let present = Copied { source, earlier: &copied, plan: &plan };
        let list = SourceList::read(self.source, options.uids.policy)?;
        // The server of the source may have numbered messages since.
        if plan_list(list, present, destination, &history, options)?.has_changes() {
            return Ok(None);
        }
        history.sync(options)?;
        Ok(Some(CopyTally::default().totals(&plan)))
    }

    /// Gives letters of the destination to the keywords of the messages to write.
    fn map_letters(
        &self,
        plan: &CopyPlan,
        destination: &Destination,
        writer: Option<&mut MaildirWriter>,
    ) -> Result<LetterMapping> {
        let Copy { source, options, context, .. } = *self;
        let in_headers = plan.header_keywords();
        if destination.state != DestinationState::Maildir && in_headers.is_empty() {
            return LetterMapping::for_new_maildir(source, writer.as_deref(), options.fsync);
        }
        let own = KeywordTable::read(source)?;
        let used = plan.letters_used();
        let required = used.numbers().filter_map(|number| own.name(number));
        let required = required.chain(in_headers.iter().map(String::as_str));
        let table = match writer {
            Some(writer) => {
                let folder = KeywordFolder { directory: OsStr::new(""), in_use: plan.letters_there };
                writer.assign_keywords(folder, required, context.locks, context.cancel)?
            }
            None => KeywordTable::preview(options.path, required, plan.letters_there)?,
        };
        Ok(LetterMapping::new(&own, table))
    }

    fn finish(&mut self, mut tally: CopyTally, plan: &CopyPlan, uids: UidPlan) -> Totals {
        plan.skipped.iter().for_each(|finding| tally.skip(finding.clone()));
        let totals = tally.totals(plan);
        self.findings.extend(tally.into_findings().chain(uids.findings));
        Totals { uids: uids.counts, ..totals }
    }
}

/// Returns the state of a Maildir: its base names.
pub(crate) fn source_state(entries: &[Entry]) -> SourceState {
    let mut names: Vec<&[u8]> = entries.iter().map(|entry| entry.parsed().base).collect();
    names.sort_unstable();
    SourceState { size: names.len() as u64, blake3: Digest::of(&names.join(&b'\n')) }
}

fn refuse_itself(source: &Path, destination: &Path, state: &DestinationState) -> Result<()> {
    if *state == DestinationState::Nothing {
        return Ok(());
    }
    let file_id = |path: &Path| Dir::open(path)?.file_id();
    if file_id(source)? != file_id(destination)? {
        return Ok(());
    }
    Err(Error::destination(destination, "is the source itself; a Maildir cannot be copied into itself"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::convert::UidOptions;
    use crate::mailbox::context::{Cancel, Events, LockOptions, Phase};
    use crate::mailbox::maildir::list;
    use crate::mailbox::maildir::write::Fsync;
    use crate::mailbox::manifest;

    /// Runs a function after the Maildir was listed and before its messages are read.
    struct WhenWriting<F: Fn() + Sync>(F);

    impl<F: Fn() + Sync> Events for WhenWriting<F> {
        fn begin(&self, phase: Phase, _: u64) {
            if phase == Phase::Writing {
                (self.0)();
            }
        }
        fn advance(&self, _: u64, _: u64) {}
    }

    #[test]
    fn a_message_that_moves_meanwhile_is_copied_and_an_expunged_one_reported() {
        let temp = tempfile::tempdir().unwrap();
        let (source, destination) = (temp.path().join("a"), temp.path().join("b"));
        for directory in ["new", "cur"] {
            std::fs::create_dir_all(source.join(directory)).unwrap();
        }
        for name in ["new/1.read", "new/2.stays", "cur/3.expunged:2,S"] {
            std::fs::write(source.join(name), name).unwrap();
        }
        let destination_options = DestinationOptions {
            path: &destination,
            manifest: ManifestLocation::InMaildir,
            fsync: Fsync::None,
            info_separator: b':',
            dry_run: false,
            modes: Default::default(),
            sync_group: None,
            folder: None,
            uids: UidOptions::default(),
        };
        let locks = LockOptions { methods: Vec::new(), timeout: Duration::ZERO, pid: 1, host: String::new() };
        let events = WhenWriting(|| {
            std::fs::rename(source.join("new/1.read"), source.join("cur/1.read:2,RS")).unwrap();
            std::fs::remove_file(source.join("cur/3.expunged:2,S")).unwrap();
        });
        let context = Context {
            cancel: Cancel::never(),
            events: &events,
            now: 0,
            host: "mailferry",
            locks: &locks,
            collect_details: false,
        };
        let Outcome { reports, totals, error, .. } =
            copy_maildir(&source, Selection::ALL, &destination_options, &context);
        assert!(error.is_none(), "{error:?}");
        assert_eq!((totals.messages_found, totals.written, totals.bytes_source), (2, 2, 21));
        let codes: Vec<Code> = reports[0].findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, [Code::MessageExpunged]);
        let entries = list::list_messages(&destination, list::NO_CLOCK).unwrap();
        let names: Vec<_> = entries.iter().map(|entry| entry.path(Path::new(""))).collect();
        assert_eq!(names, [Path::new("cur/1.read:2,RS"), Path::new("new/2.stays")]);
        let text = std::fs::read(destination.join(manifest::FILE_NAME)).unwrap();
        let sections = manifest::parse(&text, Path::new("m")).unwrap().sections;
        let messages = sections[0].read().unwrap().messages;
        let records: Vec<_> = messages.iter().map(|m| (m.at, m.name.escaped(), &m.flags[..])).collect();
        assert_eq!(records, [(0, "1.read".into(), "RS"), (10, "2.stays".into(), "")]);
    }
}
