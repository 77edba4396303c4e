//! The conversion of one mailbox of a tree.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{TreeEntry, TreeOptions};
use crate::convert::copy::{copy_by_year, copy_maildir};
use crate::convert::export::export;
use crate::convert::import::import_mboxes;
use crate::convert::{
    ExportOptions, ExportSource, ImportOptions, Input, Outcome, Report, SourceDetails, Totals,
};
use crate::mailbox::fs::ignore_poison;
use crate::mailbox::manifest::{Digest, SourceState};
use crate::mailbox::mbox::Variant;
use crate::mailbox::tree::MailboxKind;
use crate::mailbox::{Code, Context, Error, Events, Finding, Phase, Result};

/// Single messages that are read at once, at most. Each has a file open, and a run reads the manifest for each such part
/// of a folder.
const MESSAGES_AT_ONCE: usize = 8192;

/// The outcome of one mailbox.
#[derive(Debug)]
pub(crate) struct FolderOutcome {
    /// The mailbox.
    pub entry: TreeEntry,
    /// One report for each source.
    pub reports: Vec<Report>,
    /// The totals over its sources.
    pub totals: Totals,
    /// The number of mboxes that it became, with `--split`.
    pub parts: u64,
    /// The state of the mailbox that was converted.
    pub(super) state: Option<MailboxState>,
    /// Some of it could not be converted; the findings say why.
    pub failed: bool,
    /// What a report shows of the mailbox, if that is collected.
    pub details: Option<Box<SourceDetails>>,
}

/// The state of the files of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MailboxState {
    /// All of them, one after the other.
    pub(super) joined: SourceState,
    pub(super) files: usize,
}

/// An error after which no other folder can fare better.
pub(super) type StopAll = Mutex<Option<Error>>;

/// The conversion of one mailbox into one folder.
pub(super) struct FolderConversion<'a> {
    pub(super) options: &'a TreeOptions<'a>,
    pub(super) context: Context<'a>,
    pub(super) import: ImportOptions<'a>,
    pub(super) export: ExportOptions<'a>,
    pub(super) stop: &'a StopAll,
    pub(super) outcome: FolderOutcome,
}

impl FolderConversion<'_> {
    pub(super) fn convert(&mut self, entry: &TreeEntry) {
        match &entry.mailbox.kind {
            MailboxKind::Messages(files) => {
                // An export is complete at once, and two equal messages of one are two files.
                let is_export = self.options.layout.is_export();
                let at_once = match is_export {
                    true => files.len(),
                    false => (self.options.open_files / 2).clamp(1, MESSAGES_AT_ONCE),
                };
                files.chunks(at_once).for_each(|files| self.convert_messages(files));
            }
            MailboxKind::Mbox => match (self.options.open)(&entry.mailbox.path, None) {
                Ok(input) => self.convert_inputs(vec![input]),
                Err(error) => self.outcome.add(Err(error), self.stop),
            },
            MailboxKind::Maildir => {
                let path = &entry.mailbox.path;
                let outcome = match self.options.layout.is_export() {
                    true => export(&[ExportSource::Maildir(path.clone())], &self.export, &self.context).0,
                    false => {
                        let ImportOptions { destination, selection, split, .. } = &self.import;
                        match split {
                            Some(split) => copy_by_year(path, *selection, split, destination, &self.context),
                            None => copy_maildir(path, *selection, destination, &self.context),
                        }
                    }
                };
                self.outcome.add(Ok(outcome), self.stop);
            }
        }
    }

    /// Converts files that are a message each, some at a time: each is a source.
    fn convert_messages(&mut self, files: &[PathBuf]) {
        let mut inputs = Vec::with_capacity(files.len());
        for file in files {
            match (self.options.open)(file, Some(Variant::Rfc822)) {
                Ok(input) => inputs.push(input),
                Err(error) => self.outcome.add(Err(error), self.stop),
            }
        }
        self.convert_inputs(inputs);
    }

    fn convert_inputs(&mut self, inputs: Vec<Input>) {
        let outcome = match self.options.layout.is_export() {
            true => {
                let sources = inputs.into_iter().map(|input| ExportSource::Mbox(Box::new(input)));
                export(&sources.collect::<Vec<_>>(), &self.export, &self.context).0
            }
            false => import_mboxes(&inputs, &self.import, &self.context),
        };
        self.outcome.add(Ok(outcome), self.stop);
    }
}

impl FolderOutcome {
    pub(super) fn add(&mut self, outcome: Result<Outcome>, stop: &StopAll) {
        let error = match outcome {
            Ok(Outcome { mut reports, totals, error, folders }) => {
                self.parts = self.parts.max(folders.len() as u64);
                // The folders of a Maildir have outcomes of their own.
                reports.iter_mut().for_each(|report| report.findings.retain(|f| f.code != Code::FoldersLeft));
                reports.iter().filter_map(|report| report.state).for_each(|state| self.add_state(state));
                reports.iter_mut().for_each(|report| self.add_details(report.details.take()));
                self.reports.extend(reports);
                let left_out = Totals { bytes_source: 0, bytes_not_reached: 0, ..totals };
                self.totals += if error.is_some() { &left_out } else { &totals };
                error
            }
            Err(error) => {
                self.totals.sources += 1;
                Some(error)
            }
        };
        let Some(error) = error else { return };
        self.failed = true;
        if stops_all(&error) {
            ignore_poison(stop.lock()).get_or_insert(error);
            return;
        }
        self.reports.push(Report::new(&self.entry.mailbox.path, vec![Finding::from(&error)]));
    }
}

impl FolderOutcome {
    /// Adds the details of another file of the mailbox.
    pub(super) fn add_details(&mut self, details: Option<Box<SourceDetails>>) {
        match (&mut self.details, details) {
            (Some(all), Some(details)) => all.add(*details),
            (all, details) => *all = all.take().or(details),
        }
    }

    /// Adds the state of another file of the mailbox.
    pub(super) fn add_state(&mut self, state: SourceState) {
        self.state = Some(match self.state {
            None => MailboxState { joined: state, files: 1 },
            Some(MailboxState { joined, files }) => {
                MailboxState { joined: joined.join(state), files: files + 1 }
            }
        });
    }

    /// Returns the hash of the mailbox, if it is one file that was converted.
    pub(crate) fn file_digest(&self) -> Option<Digest> {
        let is_file = !matches!(self.entry.mailbox.kind, MailboxKind::Maildir);
        self.state.filter(|state| is_file && state.files == 1).map(|state| state.joined.blake3)
    }

    /// Returns the state of all files of the folder, if all were converted and none belongs to another mailbox.
    pub(super) fn whole_state(&self) -> Option<SourceState> {
        let count = self.entry.file_count();
        let state = self.state.filter(|state| state.files == count && self.entry.siblings.len() <= count);
        state.map(|state| state.joined)
    }
}

/// Reports whether no other folder can fare better.
fn stops_all(error: &Error) -> bool {
    match error {
        Error::Interrupted
        | Error::InterruptedStage { .. }
        | Error::InsufficientSpace { .. }
        | Error::UidsNotKept { .. } => true,
        Error::Io { source, .. } => {
            matches!(
                source.raw_os_error(),
                Some(libc::ENOSPC | libc::EDQUOT | libc::EROFS | libc::EMFILE | libc::ENFILE)
            )
        }
        _ => false,
    }
}

/// Reports the progress of one folder as a part of the tree: the bytes of its mailbox by the work that is done.
pub(super) struct FolderEvents<'a> {
    events: &'a dyn Events,
    /// The size of the mailbox.
    size: u64,
    /// The work of a byte in the present phase.
    work: AtomicU64,
    /// Bytes that were reported.
    reported: AtomicU64,
}

impl<'a> FolderEvents<'a> {
    pub(super) fn new(events: &'a dyn Events, entry: &TreeEntry) -> FolderEvents<'a> {
        events.begin_folder(&entry.name.folder);
        FolderEvents { events, size: entry.size, work: AtomicU64::new(0), reported: AtomicU64::new(0) }
    }

    /// Reports what is left: less is read and written of a mailbox that was converted before.
    pub(super) fn finish(self) {
        self.events.advance(self.size.saturating_sub(self.reported.into_inner()), 0);
    }
}

impl Events for FolderEvents<'_> {
    fn begin(&self, phase: Phase, _: u64) {
        self.work.store(phase.work(), Ordering::Relaxed);
    }

    fn advance(&self, bytes: u64, messages: u64) {
        let work = self.work.load(Ordering::Relaxed);
        let messages = if work == Phase::Writing.work() { messages } else { 0 };
        let bytes = bytes * work / Phase::ALL_WORK;
        self.reported.fetch_add(bytes, Ordering::Relaxed);
        self.events.advance(bytes, messages);
    }
}
