//! Trees: each mailbox in a tree becomes a folder. One that cannot be read does not stop the rest.
//!
//! Each folder is a conversion of its own, with its own stage and manifest. So the same command again resumes where a
//! run was killed. Many small folders are flushed together, by a [`SyncGroup`].

mod deleted;
mod entry;
mod folder;
mod listed;
mod lists;
mod moved;
mod options;
mod years;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::convert::export::{ExportedMessages, OutputMode};
use crate::convert::{DestinationOptions, ExportOptions, ImportOptions, Report, Totals, UidPolicy};
use crate::mailbox::fs::sync_group::SyncGroup;
use crate::mailbox::fs::{Dir, files, ignore_poison, parent_of};
use crate::mailbox::maildir::destination::check_destination;
use crate::mailbox::maildir::write::WriterOptions;
use crate::mailbox::maildir::{DestinationState, MaildirWriter, create, detect};
use crate::mailbox::tree::{Folder, Layout, MailboxKind};
use crate::mailbox::{Context, Error, Finding, NoEvents, Phase, Result, display_path};
use entry::{Fate, Round};
use folder::{FolderConversion, FolderEvents, StopAll};

pub(crate) use entry::{FolderMapping, TreeEntry, assign_folders};
pub(crate) use folder::FolderOutcome;
pub(crate) use options::TreeOptions;

/// The limit on folders that are converted concurrently.
const MAX_CONCURRENT: usize = 128;
/// The limit on bytes of mboxes that are converted concurrently: a large mbox keeps all cores busy by itself.
const MAX_CONCURRENT_BYTES: u64 = 64 << 20;
/// Files that one folder has open while it is written.
const OPEN_FILES: usize = 12;
/// Mode of directories that contain folders and no mail, subject to the umask.
const DIR_MODE: u32 = 0o777;

/// The outcome of a tree.
#[derive(Debug, Default)]
pub(crate) struct TreeOutcome {
    /// In the order of the folders' names.
    pub folders: Vec<FolderOutcome>,
    /// Why it ended early; mailboxes that are not in `folders` were not reached.
    pub error: Option<Error>,
    /// Subscribed folders that are missing.
    pub findings: Vec<Finding>,
}

/// Converts the mailboxes, several at a time. One that cannot be read does not stop the others.
pub(crate) fn convert(
    mut entries: Vec<TreeEntry>,
    options: &TreeOptions<'_>,
    context: &Context<'_>,
) -> TreeOutcome {
    let (destination, exported) = (&options.import.destination, ExportedMessages::default());
    let tree = Conversion { options, context, destination, exported };
    let mut outcome = TreeOutcome::default();
    if let Err(error) = tree.refuse_lost_uids(&entries) {
        outcome.error = Some(error);
        return outcome;
    }
    context.events.begin(Phase::Writing, entries.iter().map(|entry| entry.size).sum());
    outcome.error = tree.run(&mut entries, &mut outcome).err();
    outcome
}

struct Conversion<'a> {
    options: &'a TreeOptions<'a>,
    context: &'a Context<'a>,
    /// The root of the folders.
    destination: &'a DestinationOptions<'a>,
    /// The messages that are in the mboxes of a tree.
    exported: ExportedMessages,
}

impl Conversion<'_> {
    fn run(&self, entries: &mut [TreeEntry], outcome: &mut TreeOutcome) -> Result<()> {
        self.refuse_second_mbox(entries)?;
        let mut listed = self.read_list()?;
        self.refuse_other_layout(&listed)?;
        self.refuse_split_layout()?;
        self.create_root(entries)?;
        self.find_previous(entries)?;
        self.find_fates(entries, &listed)?;
        self.refuse_other_split(entries)?;
        let mut versions = Vec::with_capacity(entries.len());
        let mut rest = &entries[..];
        while !rest.is_empty() {
            let batch;
            (batch, rest) = rest.split_at(self.batch_size(rest));
            versions.extend(batch.iter().map(|entry| self.version(entry)));
            let (folders, error) = self.convert_batch(batch, Round::First);
            self.list_folders(&folders, &mut listed)?;
            outcome.folders.extend(folders);
            error.map_or(Ok(()), Err)?;
            if !self.destination.dry_run
                && self.options.layout == Layout::MaildirPlusPlus
                && batch[0].is_inbox()
            {
                // Where INBOX could not be converted the others still need their root.
                self.create_maildir()?;
            }
        }
        self.convert_moved(entries, versions, outcome, &mut listed)?;
        if !self.destination.dry_run {
            self.record_renames(entries)?;
            self.flush_list(&listed)?;
        }
        self.subscribe(entries, &mut outcome.findings)
    }

    /// Looks at all folders before anything is written, if their UIDs are required.
    ///
    /// # Errors
    /// [`Error::UidsNotKept`] if a folder cannot keep them.
    fn refuse_lost_uids(&self, entries: &[TreeEntry]) -> Result<()> {
        let TreeOptions { import, export, .. } = *self.options;
        let policy = if self.options.layout.is_export() { export.uids } else { self.destination.uids.policy };
        if policy != UidPolicy::Require || self.destination.dry_run {
            return Ok(());
        }
        let destination = DestinationOptions { dry_run: true, ..self.destination.clone() };
        let import = ImportOptions { destination, ..import.clone() };
        let export = ExportOptions { dry_run: true, ..export.clone() };
        let options = TreeOptions { import: &import, export: &export, ..*self.options };
        let context = Context { events: &NoEvents, ..*self.context };
        match convert(entries.to_vec(), &options, &context).error {
            Some(error @ Error::UidsNotKept { .. }) => Err(error),
            // The conversion reports what else is wrong.
            _ => Ok(()),
        }
    }

    /// An mbox is written once: a second mailbox would replace the first one instead of following it. Only the user
    /// can ask for that.
    fn refuse_second_mbox(&self, entries: &[TreeEntry]) -> Result<()> {
        let mut seen = HashSet::new();
        let second = entries.iter().find(|entry| !seen.insert(&entry.name.directory));
        match second.filter(|_| self.options.layout.is_export()) {
            None => Ok(()),
            Some(entry) => {
                let reason = format!(
                    "{} is not the only mailbox for {}, and an mbox takes them only as the sources of one command: \
                     convert A B mbox:FILE",
                    display_path(&entry.mailbox.path),
                    entry.name.folder
                );
                Err(Error::usage("--into or --map", reason))
            }
        }
    }

    /// Creates the root: a Maildir, or a directory.
    fn create_root(&self, entries: &[TreeEntry]) -> Result<()> {
        let root = self.destination.path;
        // A dry run refuses what the run would.
        let is_maildir = self.options.layout == Layout::MaildirPlusPlus;
        if is_maildir || !files::is_dir(root) {
            let state = check_destination(root)?;
            debug_assert!(is_maildir || state == DestinationState::Nothing);
        }
        // Its mail would be converted again, into the folder INBOX.
        if self.options.layout == Layout::Fs && detect::is_maildir(root)? {
            let reason = "is a Maildir, and the layout fs has its Maildirs below a directory; leave out --layout fs, or \
                          name another directory";
            return Err(Error::destination(root, reason.to_owned()));
        }
        if !files::exists(root) {
            let dir = Dir::open(files::nearest_dir(parent_of(root)))?;
            dir.check_writable()?;
            dir.free_space()?.require_bytes(root, entries.iter().map(|entry| entry.size).sum())?;
        }
        let has_inbox = entries.first().is_some_and(TreeEntry::is_inbox);
        match self.options.layout {
            _ if self.destination.dry_run => Ok(()),
            // It is created with INBOX.
            Layout::MaildirPlusPlus if has_inbox => Ok(()),
            Layout::MaildirPlusPlus => self.create_maildir(),
            Layout::Fs | Layout::Mboxes | Layout::MessageFiles => {
                let name = root.file_name().unwrap_or_else(|| OsStr::new("."));
                let parent = Dir::open(parent_of(root))?;
                parent.open_or_create_dir(name, DIR_MODE)?;
                parent.sync()
            }
        }
    }

    /// Creates the root as a Maildir. It appears complete, and after that of another run which has begun it.
    fn create_maildir(&self) -> Result<()> {
        let root = self.destination.path;
        if check_destination(root)? != DestinationState::Nothing {
            return create::open_or_create(root).map(drop);
        }
        let options = WriterOptions { resume: false, ..self.destination.writer_options(self.context) };
        MaildirWriter::open(options)?.0.commit(&mut 0).map(drop)
    }

    /// Returns how many of the next mailboxes are converted concurrently.
    fn batch_size(&self, entries: &[TreeEntry]) -> usize {
        let most = (self.options.open_files / OPEN_FILES).saturating_sub(4).clamp(1, MAX_CONCURRENT);
        let mut bytes = 0;
        let fits = |(n, entry): &(usize, &TreeEntry)| {
            bytes += entry.size;
            // A folder is locked while it is written, and in the layout fs it contains others.
            let is_apart = entries[..*n].iter().all(|other| {
                let (one, other) = (&entry.name.directory, &other.name.directory);
                !one.starts_with(other) && !other.starts_with(one)
            });
            // So is a source.
            let is_apart = is_apart && entries[..*n].iter().all(|other| other.file_id != entry.file_id);
            // INBOX contains all others, and messages open many files.
            let is_alone = |entry: &TreeEntry| {
                entry.is_inbox() || matches!(entry.mailbox.kind, MailboxKind::Messages(_))
            };
            let is_crowd = is_alone(entry) || is_alone(&entries[0]);
            // Folders of years are all in the root, which is locked.
            let is_crowd = is_crowd || self.has_year_folders();
            *n == 0 || (bytes <= MAX_CONCURRENT_BYTES && is_apart && !is_crowd)
        };
        entries.iter().enumerate().take(most).take_while(fits).count()
    }

    fn convert_batch(&self, batch: &[TreeEntry], round: Round) -> (Vec<FolderOutcome>, Option<Error>) {
        let stop = StopAll::default();
        let folders: Vec<Option<FolderOutcome>> = match batch {
            [one] => vec![Some(self.convert_folder(one, None, round, &stop))],
            several => {
                let group = Dir::open(files::nearest_dir(self.destination.path))
                    .and_then(|dir| SyncGroup::new(dir, several.len(), self.options.jobs));
                let group = match group {
                    Ok(group) => Arc::new(group),
                    Err(error) => return (Vec::new(), Some(error)),
                };
                std::thread::scope(|scope| {
                    let spawn = |entry| {
                        let (group, stop) = (&group, &stop);
                        scope.spawn(move || {
                            let _member = group.begin();
                            let go_on = ignore_poison(stop.lock()).is_none();
                            go_on.then(|| self.convert_folder(entry, Some(group), round, stop))
                        })
                    };
                    let threads: Vec<_> = several.iter().map(spawn).collect();
                    let join = |thread: std::thread::ScopedJoinHandle<'_, Option<FolderOutcome>>| {
                        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                    };
                    threads.into_iter().map(join).collect()
                })
            }
        };
        let error = ignore_poison(stop.into_inner());
        (folders.into_iter().flatten().collect(), error)
    }

    fn convert_folder(
        &self,
        entry: &TreeEntry,
        sync_group: Option<&Arc<SyncGroup>>,
        round: Round,
        stop: &StopAll,
    ) -> FolderOutcome {
        let mut outcome = FolderOutcome {
            entry: entry.clone(),
            reports: Vec::new(),
            totals: Totals::default(),
            parts: 1,
            state: None,
            failed: false,
            details: None,
        };
        if let Some(finding) = self.fate_finding(entry) {
            outcome.reports.push(Report::new(&entry.mailbox.path, vec![finding]));
        }
        let events = FolderEvents::new(self.context.events, entry);
        let context = Context { events: &events, ..*self.context };
        if let Some(Fate::Deleted(known)) = &entry.fate {
            let counted = self.count_deleted(entry, *known, &context, &mut outcome);
            counted.unwrap_or_else(|error| outcome.add(Err(error), stop));
            events.finish();
            return outcome;
        }
        // The folders of all years are in the root, and the mboxes of the years of INBOX.
        let is_root = self.has_year_folders()
            || self.options.import.split.is_some() && entry.name.folder == Folder::INBOX;
        let directory = if is_root { Path::new("") } else { &entry.name.directory };
        let placed = self.refuse_moved(entry).and_then(|()| self.create_parents(directory));
        let (destination, split) = match placed.and_then(|placed| Ok((placed, self.split(entry)?))) {
            Ok(placed) => placed,
            Err(error) => {
                outcome.add(Err(error), stop);
                return outcome;
            }
        };
        let siblings: Vec<&Path> = entry.siblings.iter().map(PathBuf::as_path).collect();
        let import = self.options.import;
        let mut folder = FolderConversion {
            options: self.options,
            context,
            import: ImportOptions {
                destination: DestinationOptions {
                    path: &destination,
                    sync_group,
                    folder: Some(directory).filter(|directory| !directory.as_os_str().is_empty()),
                    ..import.destination.clone()
                },
                siblings: &siblings,
                split,
                ..import.clone()
            },
            export: ExportOptions {
                destination: &destination,
                exported: Some(&self.exported),
                sync_group,
                output: match (round, self.options.export.output) {
                    (Round::First, output) => output,
                    (Round::Again, OutputMode::Files) => OutputMode::Files,
                    (Round::Again, _) => OutputMode::Continue,
                },
                ..self.options.export.clone()
            },
            stop,
            outcome,
        };
        folder.convert(entry);
        let outcome = folder.outcome;
        events.finish();
        outcome
    }

    /// Creates the directories above a folder, and returns its path. A dry run creates none, and returns the first one
    /// that is missing.
    fn create_parents(&self, folder: &Path) -> Result<PathBuf> {
        let directory: &Path = &self.destination.path.join(folder);
        if self.destination.dry_run {
            let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !files::is_dir(path);
            return Ok(directory.ancestors().take_while(is_missing).last().unwrap_or(directory).to_owned());
        }
        if self.options.layout != Layout::MaildirPlusPlus {
            create::create_parents(directory, self.destination.path)?;
        }
        Ok(directory.to_owned())
    }
}
