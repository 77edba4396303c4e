//! Trees: each mailbox in a tree becomes a folder. One that cannot be read does not stop the rest.
//!
//! Each folder is a conversion of its own, with its own stage and manifest. So the same command again resumes where a
//! run was killed. Many small folders are flushed together, by a [`SyncGroup`].

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::import::import_mboxes;
use super::{
    CopyOptions, DestinationOptions, ExportOptions, ExportSource, ImportOptions, Input, Outcome, Report,
    Totals, copy, export,
};
use crate::mailbox::fs::files;
use crate::mailbox::fs::sync_group::SyncGroup;
use crate::mailbox::fs::{Dir, ignore_poison, parent_of, read_regular};
use crate::mailbox::maildir::destination::check_destination;
use crate::mailbox::maildir::{DestinationState, Fsync, create};
use crate::mailbox::manifest::{self, ManifestLocation};
use crate::mailbox::mbox::Variant;
use crate::mailbox::tree::naming::{self, FolderName};
use crate::mailbox::tree::{Folder, Layout, MailboxKind, TreeMailbox, renames, subscriptions};
use crate::mailbox::{Code, Context, Error, Events, Finding, Phase, Result, display_path};

/// The limit on folders that are converted concurrently.
const MAX_CONCURRENT: usize = 128;
/// The limit on bytes of mboxes that are converted concurrently: a large mbox keeps all cores busy by itself.
const MAX_CONCURRENT_BYTES: u64 = 64 << 20;
/// Single messages that are read at once.
const MESSAGES_AT_ONCE: usize = 128;
/// Files that one folder has open while it is written.
const OPEN_FILES: usize = 12;

/// Folders that the user renames.
#[derive(Debug, Clone, Default)]
pub(crate) struct FolderMapping {
    /// The one folder for all of them.
    pub into: Option<Folder>,
    /// Pairs: a folder, and those in it, become the second.
    pub map: Vec<(Folder, Folder)>,
}

/// How a tree is converted.
pub(crate) struct TreeOptions<'a> {
    /// How each folder becomes a Maildir; the destination is the root of the folders.
    pub import: &'a ImportOptions<'a>,
    /// How each folder becomes an mbox, with [`Layout::Mboxes`].
    pub export: &'a ExportOptions<'a>,
    /// The layout of the folders.
    pub layout: Layout,
    /// The folders that their user has subscribed to, if there is a list.
    pub subscribed: Option<&'a [Folder]>,
    /// The number of workers.
    pub jobs: usize,
    /// The limit on open files.
    pub open_files: usize,
    /// Opens a source.
    pub open: &'a (dyn Fn(&Path, Option<Variant>) -> Result<Input> + Sync),
}

/// A mailbox and the folder that it becomes.
#[derive(Debug, Clone)]
pub(crate) struct TreeEntry {
    /// The mailbox.
    pub found: TreeMailbox,
    /// The folder.
    pub named: FolderName,
    /// Bytes of the file, for a mailbox that is a file.
    size: u64,
    /// Device and inode, whatever links led to it.
    file_id: Option<(u64, u64)>,
    /// All files that go into the folder. None of them is a copy of another, even with the same content.
    siblings: Arc<[PathBuf]>,
    /// The user chose the folder.
    is_mapped: bool,
    /// The other folder that an earlier run put it into.
    previous: Option<PathBuf>,
}

impl TreeEntry {
    /// Reports whether it goes into the root itself.
    fn is_inbox(&self) -> bool {
        self.named.directory.as_os_str().is_empty()
    }
}

/// The outcome of one mailbox.
#[derive(Debug)]
pub(crate) struct FolderOutcome {
    /// The mailbox.
    pub entry: TreeEntry,
    /// One report for each source.
    pub reports: Vec<Report>,
    /// The totals over its sources.
    pub totals: Totals,
    /// Some of it could not be converted; the findings say why.
    pub failed: bool,
}

/// The outcome of a tree.
#[derive(Debug)]
pub(crate) struct TreeOutcome {
    /// In the order of the folders' names.
    pub folders: Vec<FolderOutcome>,
    /// Why it ended early; mailboxes that are not in `folders` were not reached.
    pub error: Option<Error>,
    /// Subscribed folders that are missing.
    pub findings: Vec<Finding>,
}

/// Names the folders. Two mailboxes become one folder only where the user asks for it.
pub(crate) fn assign_folders(
    found: Vec<TreeMailbox>,
    mapping: &FolderMapping,
    layout: Layout,
) -> Vec<TreeEntry> {
    let mapped: Vec<(Folder, bool)> = found.iter().map(|found| mapping.map_folder(&found.folder)).collect();
    let mut folders: Vec<Folder> = Vec::new();
    let mut numbers: Vec<usize> = vec![0; mapped.len()];
    // The folders that the user chose come last.
    for is_mapped in [false, true] {
        for (n, (folder, _)) in mapped.iter().enumerate().filter(|(_, (_, mapped))| *mapped == is_mapped) {
            let shared = is_mapped.then(|| folders.iter().position(|other| other == folder)).flatten();
            numbers[n] = shared.unwrap_or(folders.len());
            if shared.is_none() {
                folders.push(folder.clone());
            }
        }
    }
    let names = naming::assign_names(&folders, layout);
    let mut files: Vec<Vec<PathBuf>> = vec![Vec::new(); folders.len()];
    for (found, &n) in found.iter().zip(&numbers) {
        match &found.kind {
            MailboxKind::Mbox => files[n].push(manifest::source_name(&found.path)),
            MailboxKind::Messages(messages) => {
                files[n].extend(messages.iter().map(|path| manifest::source_name(path)));
            }
            MailboxKind::Maildir => {}
        }
    }
    let files: Vec<Arc<[PathBuf]>> = files.into_iter().map(Arc::from).collect();
    let entry = |((found, n), (_, is_mapped)): ((TreeMailbox, usize), (Folder, bool))| {
        let meta = files::metadata(&found.path).ok();
        let size = meta.as_ref().filter(|meta| meta.is_file()).map_or(0, |meta| meta.len());
        let file_id = meta.map(|meta| (meta.dev(), meta.ino()));
        let (named, siblings) = (names[n].clone(), files[n].clone());
        TreeEntry { found, named, size, file_id, siblings, is_mapped, previous: None }
    };
    let mut entries: Vec<TreeEntry> = found.into_iter().zip(numbers).zip(mapped).map(entry).collect();
    // A folder comes before those in it.
    entries.sort_by(|a, b| a.named.folder.cmp(&b.named.folder));
    entries
}

impl FolderMapping {
    /// Returns the folder that `folder` becomes, and whether the user chose it.
    pub(crate) fn map_folder(&self, folder: &Folder) -> (Folder, bool) {
        if let Some(into) = &self.into {
            return (into.clone(), true);
        }
        // The longest is the most specific.
        let matches =
            self.map.iter().filter_map(|(from, to)| Some((from, to, naming::levels_below(from, folder)?)));
        match matches.max_by_key(|(from, ..)| from.0.len()) {
            Some((_, to, rest)) => (Folder([&to.0[..], rest].concat()), true),
            None => (folder.clone(), false),
        }
    }
}

/// Converts the mailboxes, several at a time. One that cannot be read does not stop the others.
pub(crate) fn convert(
    mut entries: Vec<TreeEntry>,
    options: &TreeOptions<'_>,
    context: &Context<'_>,
) -> TreeOutcome {
    let tree = Conversion {
        options,
        context,
        root: options.import.destination.path,
        dry_run: options.import.destination.dry_run,
    };
    context.events.begin(Phase::Writing, entries.iter().map(|entry| entry.size).sum());
    let mut outcome =
        TreeOutcome { folders: Vec::with_capacity(entries.len()), error: None, findings: Vec::new() };
    let converted = tree.run(&mut entries, &mut outcome);
    outcome.error = converted.err();
    outcome
}

struct Conversion<'a> {
    options: &'a TreeOptions<'a>,
    context: &'a Context<'a>,
    root: &'a Path,
    dry_run: bool,
}

impl Conversion<'_> {
    fn run(&self, entries: &mut [TreeEntry], outcome: &mut TreeOutcome) -> Result<()> {
        self.refuse_second_mbox(entries)?;
        self.create_root(entries)?;
        self.find_previous(entries)?;
        let mut rest = &entries[..];
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(self.batch_size(rest));
            rest = later;
            let (folders, error) = self.convert_batch(batch);
            outcome.folders.extend(folders);
            error.map_or(Ok(()), Err)?;
            if !self.dry_run && self.options.layout == Layout::MaildirPlusPlus && batch[0].is_inbox() {
                // Where INBOX could not be converted the others still need their root.
                create::open_or_create(self.root)?;
            }
        }
        if !self.dry_run {
            self.record_renames(entries)?;
        }
        self.subscribe(entries, &mut outcome.findings)
    }

    /// An mbox is written once: a second mailbox would replace the first one instead of following it. Only the user
    /// can ask for that.
    fn refuse_second_mbox(&self, entries: &[TreeEntry]) -> Result<()> {
        let mut seen = HashSet::new();
        let second = entries.iter().find(|entry| !seen.insert(&entry.named.directory));
        match second.filter(|_| self.options.layout == Layout::Mboxes) {
            None => Ok(()),
            Some(entry) => {
                let reason = format!(
                    "{} is not the only mailbox for {}, and an mbox takes them only as the sources of one command: \
                     convert A B mbox:FILE",
                    display_path(&entry.found.path),
                    entry.named.folder
                );
                Err(Error::usage("--into or --map", reason))
            }
        }
    }

    /// Creates the root: a Maildir, or a directory.
    fn create_root(&self, entries: &[TreeEntry]) -> Result<()> {
        let root = self.root;
        // A dry run refuses what the run would.
        let is_maildir = self.options.layout == Layout::MaildirPlusPlus;
        if is_maildir || !files::is_dir(root) {
            let state = check_destination(root)?;
            debug_assert!(is_maildir || state == DestinationState::Nothing);
        }
        if !files::exists(root) {
            let dir = Dir::open(nearest_dir(parent_of(root)))?;
            dir.check_writable()?;
            dir.free_space()?.require_bytes(root, entries.iter().map(|entry| entry.size).sum())?;
        }
        let has_inbox = entries.first().is_some_and(TreeEntry::is_inbox);
        match self.options.layout {
            _ if self.dry_run => Ok(()),
            // It is created with INBOX.
            Layout::MaildirPlusPlus if has_inbox => Ok(()),
            Layout::MaildirPlusPlus => create::open_or_create(root).map(drop),
            Layout::Fs | Layout::Mboxes => {
                let name = root.file_name().unwrap_or_else(|| OsStr::new("."));
                let parent = Dir::open(parent_of(root))?;
                parent.open_or_create_dir(name, DIR_MODE)?;
                parent.sync()
            }
        }
    }

    /// Returns how many of the next mailboxes are converted concurrently.
    fn batch_size(&self, entries: &[TreeEntry]) -> usize {
        let most = (self.options.open_files / OPEN_FILES).saturating_sub(4).clamp(1, MAX_CONCURRENT);
        let mut bytes = 0;
        let fits = |(n, entry): &(usize, &TreeEntry)| {
            bytes += entry.size;
            // A folder is locked while it is written, and in the layout fs it contains others.
            let is_apart = entries[..*n].iter().all(|other| {
                let (one, other) = (&entry.named.directory, &other.named.directory);
                !one.starts_with(other) && !other.starts_with(one)
            });
            // So is a source.
            let is_apart = is_apart && entries[..*n].iter().all(|other| other.file_id != entry.file_id);
            // INBOX contains all others, and messages open many files.
            let is_alone =
                |entry: &TreeEntry| entry.is_inbox() || matches!(entry.found.kind, MailboxKind::Messages(_));
            let is_crowd = is_alone(entry) || is_alone(&entries[0]);
            *n == 0 || (bytes <= MAX_CONCURRENT_BYTES && is_apart && !is_crowd)
        };
        entries.iter().enumerate().take(most).take_while(fits).count()
    }

    fn convert_batch(&self, batch: &[TreeEntry]) -> (Vec<FolderOutcome>, Option<Error>) {
        let stop = StopAll::default();
        let folders: Vec<Option<FolderOutcome>> = match batch {
            [one] => vec![Some(self.convert_folder(one, None, &stop))],
            several => {
                let group = Dir::open(nearest_dir(self.root))
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
                            let go_on = !stop.requested.load(Ordering::Relaxed);
                            go_on.then(|| self.convert_folder(entry, Some(group), stop))
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
        let error = ignore_poison(stop.error.lock()).take();
        (folders.into_iter().flatten().collect(), error)
    }

    fn convert_folder(
        &self,
        entry: &TreeEntry,
        sync_group: Option<&Arc<SyncGroup>>,
        stop: &StopAll,
    ) -> FolderOutcome {
        let mut outcome = FolderOutcome {
            entry: entry.clone(),
            reports: Vec::new(),
            totals: Totals::default(),
            failed: false,
        };
        let events = FolderEvents { events: self.context.events, phase: Mutex::new(Phase::Reading) };
        let placed = self.refuse_moved(entry).and_then(|()| self.create_parents(&entry.named.directory));
        let destination = match placed {
            Ok(destination) => destination,
            Err(error) => {
                outcome.add(Err(error), stop);
                return outcome;
            }
        };
        let siblings: Vec<&Path> = entry.siblings.iter().map(PathBuf::as_path).collect();
        let import = self.options.import;
        let mut folder = FolderConversion {
            options: self.options,
            context: Context { events: &events, ..*self.context },
            import: ImportOptions {
                destination: DestinationOptions {
                    path: &destination,
                    sync_group,
                    ..import.destination.clone()
                },
                siblings: &siblings,
                ..import.clone()
            },
            export: ExportOptions { destination: &destination, ..self.options.export.clone() },
            stop,
            outcome,
        };
        folder.convert(entry);
        folder.outcome
    }

    /// Creates the directories above a folder, and returns its path. A dry run creates none, and returns the first one
    /// that is missing.
    fn create_parents(&self, folder: &Path) -> Result<PathBuf> {
        let directory: &Path = &self.root.join(folder);
        if self.dry_run {
            let mut first = directory;
            while !files::is_dir(parent_of(first)) && first != parent_of(first) {
                first = parent_of(first);
            }
            return Ok(first.to_owned());
        }
        if self.options.layout != Layout::MaildirPlusPlus {
            create::create_parents(directory, self.root)?;
        }
        Ok(directory.to_owned())
    }

    /// Finds mailboxes that an earlier run put into another folder. The name of a folder depends on the mailboxes next
    /// to it. Under a second name its mail would be there twice, perhaps among that of another mailbox.
    fn find_previous(&self, entries: &mut [TreeEntry]) -> Result<()> {
        if self.options.import.destination.manifest != ManifestLocation::InMaildir {
            return Ok(());
        }
        let renamed = renames::read(self.root)?;
        for entry in entries.iter_mut().filter(|entry| !entry.is_mapped) {
            let (folder, now) = (&entry.found.folder, &entry.named.directory);
            let recorded = renamed.iter().filter(|(_, name)| *name == folder);
            let mut directories: Vec<PathBuf> = recorded.map(|(directory, _)| directory.clone()).collect();
            if entry.named.rename_reason.is_some() {
                let layout = self.options.layout;
                directories.push(layout.path(&folder.0));
                directories.extend(naming::may_be_inbox(folder).then(|| layout.path(&[])));
            }
            let path = match &entry.found.kind {
                MailboxKind::Messages(files) => files.first().unwrap_or(&entry.found.path),
                MailboxKind::Mbox | MailboxKind::Maildir => &entry.found.path,
            };
            let name = manifest::source_name(path);
            let has_it = |directory: &PathBuf| {
                let manifest = ManifestLocation::InMaildir.read(&self.root.join(directory));
                let headers = manifest.ok().flatten().map(|manifest| manifest.headers()).unwrap_or_default();
                headers.iter().any(|header| header.source.is_path(&name))
            };
            let previous = directories.into_iter().filter(|directory| directory != now).find(has_it);
            entry.previous = previous.filter(|_| !has_it(now));
        }
        Ok(())
    }

    fn refuse_moved(&self, entry: &TreeEntry) -> Result<()> {
        let Some(previous) = &entry.previous else { return Ok(()) };
        let directory = |folder| display_path(&self.root.join(folder));
        let reason = format!(
            "was converted into {} before, and would be in {} now, for other mailboxes lie beside it than did then; \
             convert it by itself into the former, or say by --map which folder is which",
            directory(previous),
            directory(&entry.named.directory)
        );
        Err(Error::Destination { path: entry.found.path.clone(), reason })
    }

    /// Records the names of folders that could not keep them.
    fn record_renames(&self, entries: &[TreeEntry]) -> Result<()> {
        let renamed = entries.iter().filter(|entry| entry.named.rename_reason.is_some());
        let new: renames::Renames =
            renamed.map(|entry| (entry.named.directory.clone(), entry.found.folder.clone())).collect();
        let before = renames::read(self.root)?;
        let all: renames::Renames = before.clone().into_iter().chain(new).collect();
        if all == before {
            return Ok(());
        }
        let root = Dir::open(self.root)?;
        renames::write(&root, &all)?;
        if self.options.import.destination.fsync == Fsync::None { Ok(()) } else { root.sync() }
    }

    /// Merges the list of subscribed folders into that of the destination. A dry run reports what would be lost.
    fn subscribe(&self, entries: &[TreeEntry], findings: &mut Vec<Finding>) -> Result<()> {
        let Some(subscribed) = self.options.subscribed else { return Ok(()) };
        let (file, separator) = subscriptions::file_for(self.options.layout);
        let path = self.root.join(file);
        let mut list = match read_regular(&path) {
            Ok(text) => subscriptions::parse(&text, separator),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(Error::io("read", &path)(e)),
        };
        let before = list.len();
        let now = |folder: &[Vec<u8>]| {
            entries
                .iter()
                .find(|entry| entry.found.folder.0 == folder)
                .map(|entry| entry.named.folder.clone())
        };
        for folder in subscribed {
            // UW-IMAP lists them relative to the home directory.
            let named = now(&folder.0).or_else(|| folder.0.get(1..).filter(|f| !f.is_empty()).and_then(now));
            let named = named.or_else(|| (*folder == Folder::INBOX).then_some(Folder::INBOX));
            match named {
                Some(named) if !list.contains(&named) => list.push(named),
                Some(_) => {}
                None => {
                    let message = format!("{folder} is subscribed to, and is not there");
                    findings.push(Finding::new(Code::SubscriptionLost, message).in_file(&path));
                }
            }
        }
        if list.len() == before || self.dry_run {
            return Ok(());
        }
        let text = subscriptions::format(&list, self.options.layout);
        let root = Dir::open(self.root)?;
        root.write_atomic(&root, OsStr::new(file), &text, 0o666)?;
        if self.options.import.destination.fsync == Fsync::None { Ok(()) } else { root.sync() }
    }
}

/// Mode of directories that contain folders and no mail, subject to the umask.
const DIR_MODE: u32 = 0o777;

/// Returns the nearest directory that exists.
fn nearest_dir(path: &Path) -> &Path {
    let mut path = path;
    while !files::is_dir(path) && path != parent_of(path) {
        path = parent_of(path);
    }
    path
}

/// An error after which no other folder can fare better.
#[derive(Default)]
struct StopAll {
    requested: AtomicBool,
    error: Mutex<Option<Error>>,
}

impl StopAll {
    fn request(&self, error: Error) {
        self.requested.store(true, Ordering::Relaxed);
        ignore_poison(self.error.lock()).get_or_insert(error);
    }
}

/// The conversion of one mailbox into one folder.
struct FolderConversion<'a> {
    options: &'a TreeOptions<'a>,
    context: Context<'a>,
    import: ImportOptions<'a>,
    export: ExportOptions<'a>,
    stop: &'a StopAll,
    outcome: FolderOutcome,
}

impl FolderConversion<'_> {
    fn convert(&mut self, entry: &TreeEntry) {
        match &entry.found.kind {
            MailboxKind::Messages(files) => {
                // An mbox appears complete, and only once.
                let is_mbox = self.options.layout == Layout::Mboxes;
                let at_once = if is_mbox { files.len() } else { MESSAGES_AT_ONCE };
                files.chunks(at_once).for_each(|files| self.convert_messages(files));
            }
            MailboxKind::Mbox => match (self.options.open)(&entry.found.path, None) {
                Ok(input) => self.convert_inputs(vec![input]),
                Err(error) => self.outcome.add(Err(error), self.stop),
            },
            MailboxKind::Maildir => {
                let path = &entry.found.path;
                let outcome = match self.options.layout {
                    Layout::Mboxes => {
                        export::export(&[ExportSource::Maildir(path.clone())], &self.export, &self.context).0
                    }
                    _ => {
                        let options = CopyOptions { destination: self.import.destination.clone() };
                        copy::copy_maildir(path, &options, &self.context)
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
        let outcome = match self.options.layout {
            Layout::Mboxes => {
                let sources = inputs.into_iter().map(|input| ExportSource::Mbox(Box::new(input)));
                export::export(&sources.collect::<Vec<_>>(), &self.export, &self.context).0
            }
            _ => import_mboxes(&inputs, &self.import, &self.context),
        };
        self.outcome.add(Ok(outcome), self.stop);
    }
}

impl FolderOutcome {
    fn add(&mut self, outcome: Result<Outcome>, stop: &StopAll) {
        let error = match outcome {
            Ok(Outcome { mut reports, totals, error, folders: _ }) => {
                // The folders of a Maildir have outcomes of their own.
                reports.iter_mut().for_each(|report| report.findings.retain(|f| f.code != Code::FoldersLeft));
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
            return stop.request(error);
        }
        self.reports.push(Report::new(&self.entry.found.path, vec![Finding::from(&error)]));
    }
}

/// Reports whether no other folder can fare better.
fn stops_all(error: &Error) -> bool {
    match error {
        Error::Interrupted | Error::InterruptedStage { .. } | Error::InsufficientSpace { .. } => true,
        Error::Io { source, .. } => {
            matches!(
                source.raw_os_error(),
                Some(libc::ENOSPC | libc::EDQUOT | libc::EROFS | libc::EMFILE | libc::ENFILE)
            )
        }
        _ => false,
    }
}

/// Reports the progress of one folder as a part of the tree.
struct FolderEvents<'a> {
    events: &'a dyn Events,
    phase: Mutex<Phase>,
}

impl Events for FolderEvents<'_> {
    fn begin(&self, phase: Phase, _: u64) {
        *ignore_poison(self.phase.lock()) = phase;
    }

    fn advance(&self, bytes: u64, messages: u64) {
        if *ignore_poison(self.phase.lock()) == Phase::Writing {
            self.events.advance(bytes, messages);
        }
    }
}
