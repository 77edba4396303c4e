//! A whole tree: each mailbox in it becomes a folder. One that cannot be read never stops the rest.
//!
//! Each folder is a conversion of its own, with its own stage and manifest, so that the same command again
//! goes on where a run was killed. Many small ones are brought to stable storage [`Together`].

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::copy;
use super::import::import_mboxes;
use super::{CopyOptions, DestinationOptions, ImportOptions, Input, Outcome, Report, Totals};
use crate::convert::export;
use crate::convert::export::MboxTarget;
use crate::mailbox::context::{Context, Events, Phase};
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::fs::durable;
use crate::mailbox::fs::durable::Dir;
use crate::mailbox::fs::parent_of;
use crate::mailbox::fs::read_regular;
use crate::mailbox::fs::sync_group::SyncGroup;
use crate::mailbox::maildir::create;
use crate::mailbox::maildir::write::{self, DestinationState, Fsync, refuse_symlink};
use crate::mailbox::manifest::ManifestLocation;
use crate::mailbox::mbox::variant::Variant;
use crate::mailbox::text::display_path;
use crate::mailbox::tree::folder::{Folder, Layout};
use crate::mailbox::tree::naming::{self, FolderName};
use crate::mailbox::tree::renames;
use crate::mailbox::tree::subscriptions;
use crate::mailbox::tree::walk::{MailboxKind, TreeMailbox};

/// Folders that are converted side by side, at most.
const SIDE_BY_SIDE: usize = 128;
/// And so many bytes of mboxes: a large one is a crowd by itself.
const BYTES_SIDE_BY_SIDE: u64 = 64 << 20;
/// Messages by themselves that are read at once.
const MESSAGES_AT_ONCE: usize = 128;
/// Files that one folder has open while it is written.
const OPEN_FILES: usize = 12;

/// Which folder a user wants a folder to be.
#[derive(Debug, Clone, Default)]
pub struct FolderMapping {
    /// All of them this one.
    pub into: Option<Folder>,
    /// Each first one, and what is in it, the second.
    pub map: Vec<(Folder, Folder)>,
}

/// How trees are converted.
pub struct TreeOptions<'a> {
    /// As for one mailbox; the destination is the root of the folders.
    pub each: &'a ImportOptions<'a>,
    /// How the folders lie there.
    pub layout: Layout,
    /// With [`Layout::Mboxes`]: which mboxes, and what to do where one is there.
    pub mboxes: &'a (dyn Fn() -> MboxTarget<'a> + Sync),
    /// How many may work at once.
    pub jobs: usize,
    /// How many files may be open.
    pub open_files: usize,
    /// Opens a source.
    pub open: &'a (dyn Fn(&Path, Option<Variant>) -> Result<Input> + Sync),
}

/// A mailbox and the folder that it becomes.
#[derive(Debug, Clone)]
pub struct TreeEntry {
    /// The mailbox.
    pub found: TreeMailbox,
    /// The folder.
    pub named: FolderName,
    /// Bytes of its file, for one that is a file.
    size: u64,
    /// Which file or directory it is, whatever links led to it.
    identity: Option<(u64, u64)>,
    /// All files that go into its folder: one of them is no copy of another, however alike they are.
    beside: Arc<[PathBuf]>,
    /// Whether the user said which folder it is.
    is_told: bool,
    /// The folder that an earlier run had put it into, if that is another one.
    was: Option<PathBuf>,
}

impl TreeEntry {
    /// Whether it goes into the root itself.
    fn is_inbox(&self) -> bool {
        self.named.directory.as_os_str().is_empty()
    }
}

/// What became of one.
#[derive(Debug)]
pub struct FolderOutcome {
    /// Which.
    pub entry: TreeEntry,
    /// What was read, and what was noticed.
    pub reports: Vec<Report>,
    /// Its sums.
    pub sums: Totals,
    /// Whether some of it could not be converted; the findings say why.
    pub failed: bool,
}

/// All of it.
#[derive(Debug)]
pub struct TreeOutcome {
    /// In the order of the folders' names.
    pub folders: Vec<FolderOutcome>,
    /// Why it ended early; the mailboxes without a row were not reached.
    pub error: Option<Error>,
    /// Of subscribed folders that are not there.
    pub findings: Vec<Finding>,
}

/// Names the folders. Two mailboxes become one folder only where the user says so.
pub fn assign_folders(found: Vec<TreeMailbox>, placing: &FolderMapping, layout: Layout) -> Vec<TreeEntry> {
    let placed: Vec<(Folder, bool)> = found.iter().map(|found| placing.map_folder(&found.folder)).collect();
    let mut folders: Vec<Folder> = Vec::new();
    let mut which: Vec<usize> = vec![0; placed.len()];
    for wants_own in [true, false] {
        for (n, (folder, is_told)) in
            placed.iter().enumerate().filter(|(_, (_, is_told))| *is_told != wants_own)
        {
            let there = is_told.then(|| folders.iter().position(|other| other == folder)).flatten();
            which[n] = there.unwrap_or(folders.len());
            if there.is_none() {
                folders.push(folder.clone());
            }
        }
    }
    let names = naming::assign_names(&folders, layout);
    let mut files: Vec<Vec<PathBuf>> = vec![Vec::new(); folders.len()];
    for (found, &n) in found.iter().zip(&which) {
        match &found.kind {
            MailboxKind::Mbox => files[n].push(found.path.clone()),
            MailboxKind::Messages(messages) => files[n].extend_from_slice(messages),
            MailboxKind::Maildir => {}
        }
    }
    let files: Vec<Arc<[PathBuf]>> = files.into_iter().map(Arc::from).collect();
    let entry = |(found, (n, is_told)): (TreeMailbox, (usize, bool))| {
        let meta = std::fs::metadata(&found.path).ok();
        let size = meta.as_ref().filter(|meta| meta.is_file()).map_or(0, |meta| meta.len());
        let identity = meta.map(|meta| (meta.dev(), meta.ino()));
        TreeEntry {
            found,
            named: names[n].clone(),
            size,
            identity,
            beside: files[n].clone(),
            is_told,
            was: None,
        }
    };
    let told = placed.iter().map(|(_, is_told)| *is_told);
    let mut entries: Vec<TreeEntry> = found.into_iter().zip(which.into_iter().zip(told)).map(entry).collect();
    // What lies in another comes after it.
    entries.sort_by(|a, b| a.named.folder.cmp(&b.named.folder));
    entries
}

impl FolderMapping {
    /// Where a folder goes, and whether that was said.
    pub fn map_folder(&self, folder: &Folder) -> (Folder, bool) {
        if let Some(into) = &self.into {
            return (into.clone(), true);
        }
        // The longest says most.
        let matches =
            self.map.iter().filter_map(|(from, to)| Some((from, to, naming::levels_below(from, folder)?)));
        match matches.max_by_key(|(from, ..)| from.0.len()) {
            Some((_, to, rest)) => (Folder([&to.0[..], rest].concat()), true),
            None => (folder.clone(), false),
        }
    }
}

/// Converts.
pub fn convert(
    mut entries: Vec<TreeEntry>,
    subscribed: Option<&[Folder]>,
    wanted: &TreeOptions<'_>,
    context: &Context<'_>,
) -> TreeOutcome {
    context.events.begin(Phase::Writing, entries.iter().map(|entry| entry.size).sum());
    let mut whole =
        TreeOutcome { folders: Vec::with_capacity(entries.len()), error: None, findings: Vec::new() };
    let prepared = refuse_one_mbox(&entries, wanted)
        .and_then(|()| make_root(&entries, wanted))
        .and_then(|()| look_back(&mut entries, wanted));
    if let Err(error) = prepared {
        whole.error = Some(error);
        return whole;
    }
    let mut rest = &entries[..];
    while !rest.is_empty() && whole.error.is_none() {
        let (batch, later) = rest.split_at(side_by_side(rest, wanted));
        rest = later;
        let (rows, error) = convert_batch(batch, wanted, context);
        whole.folders.extend(rows);
        let is_made = wanted.each.destination.dry_run
            || wanted.layout != Layout::MaildirPlusPlus
            || !batch[0].is_inbox();
        // Where INBOX could not be converted the others need their root all the same.
        let made = if is_made || error.is_some() {
            Ok(())
        } else {
            create::open_or_create(wanted.each.destination.path).map(drop)
        };
        whole.error = error.or(made.err());
    }
    if whole.error.is_none() {
        let write = !wanted.each.destination.dry_run;
        let kept = if write { keep_names(&entries, wanted) } else { Ok(()) }
            .and_then(|()| subscribe(subscribed, &entries, wanted, &mut whole.findings))
            .and_then(|()| if write { own(&entries, wanted) } else { Ok(()) });
        whole.error = kept.err();
    }
    whole
}

/// An mbox is written once: a second mailbox would not go behind the first one, but in its place.
fn refuse_one_mbox(entries: &[TreeEntry], wanted: &TreeOptions<'_>) -> Result<()> {
    let mut seen = HashSet::new();
    let second = entries.iter().find(|entry| !seen.insert(&entry.named.directory));
    match second.filter(|_| wanted.layout == Layout::Mboxes) {
        None => Ok(()),
        Some(entry) => {
            let reason = format!(
                "is not the only mailbox for {}, and an mbox takes them only as the sources of one command: \
                 convert A B mbox:FILE",
                entry.named.folder
            );
            Err(Error::Unsupported { path: entry.found.path.clone(), reason })
        }
    }
}

/// Folders lie in a Maildir, or in a directory.
fn make_root(entries: &[TreeEntry], wanted: &TreeOptions<'_>) -> Result<()> {
    let root = wanted.each.destination.path;
    // A dry run says what is refused, too.
    let is_mail = wanted.layout == Layout::MaildirPlusPlus;
    if is_mail || !root.is_dir() {
        let standing = write::check_destination(root)?;
        debug_assert!(is_mail || standing == DestinationState::Nothing);
    }
    if !root.exists() {
        let dir = Dir::open(existing(parent_of(root)))?;
        dir.check_writable()?;
        let room = dir.free_space()?;
        let need = entries.iter().map(|entry| entry.size).sum();
        if need > room.bytes {
            return Err(Error::InsufficientSpace {
                path: root.to_owned(),
                unit: "bytes",
                need,
                free: room.bytes,
            });
        }
    }
    let is_made_with_inbox =
        entries.first().is_some_and(|entry| entry.named.directory.as_os_str().is_empty());
    match wanted.layout {
        _ if wanted.each.destination.dry_run => Ok(()),
        Layout::MaildirPlusPlus if is_made_with_inbox => Ok(()),
        Layout::MaildirPlusPlus => create::open_or_create(root).map(drop),
        Layout::Fs | Layout::Mboxes => {
            let name = root.file_name().unwrap_or_else(|| OsStr::new("."));
            let parent = Dir::open(parent_of(root))?;
            parent.open_or_create_dir(name, DIR_MODE)?;
            parent.sync()
        }
    }
}

/// Of directories that hold folders and no mail, subject to the umask.
const DIR_MODE: u32 = 0o777;

/// The nearest directory that is there.
fn existing(path: &Path) -> &Path {
    let mut path = path;
    while !path.is_dir() && path != parent_of(path) {
        path = parent_of(path);
    }
    path
}

/// How many of the next ones are converted side by side.
fn side_by_side(entries: &[TreeEntry], wanted: &TreeOptions<'_>) -> usize {
    let most = (wanted.open_files / OPEN_FILES).saturating_sub(4).clamp(1, SIDE_BY_SIDE);
    let mut bytes = 0;
    let fits = |(n, entry): &(usize, &TreeEntry)| {
        bytes += entry.size;
        // A folder is locked while it is written, and in the layout fs others lie in it.
        let is_other = entries[..*n].iter().all(|other| {
            let (one, other) = (&entry.named.directory, &other.named.directory);
            !one.starts_with(other) && !other.starts_with(one)
        });
        // So is a source.
        let is_other = is_other && entries[..*n].iter().all(|other| other.identity != entry.identity);
        // All others lie in it, or open many files.
        let is_alone =
            |entry: &TreeEntry| entry.is_inbox() || matches!(entry.found.kind, MailboxKind::Messages(_));
        *n == 0 || (bytes <= BYTES_SIDE_BY_SIDE && is_other && !is_alone(entry) && !is_alone(&entries[0]))
    };
    entries.iter().enumerate().take(most).take_while(fits).count()
}

fn convert_batch(
    batch: &[TreeEntry],
    wanted: &TreeOptions<'_>,
    context: &Context<'_>,
) -> (Vec<FolderOutcome>, Option<Error>) {
    let stop = AtomicBool::new(false);
    let stopped = Mutex::new(None);
    let note = |error: Error| {
        stop.store(true, Ordering::Relaxed);
        stopped.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get_or_insert(error);
    };
    let rows: Vec<Option<FolderOutcome>> = match batch {
        [one] => vec![Some(convert_one(one, wanted, None, context, &note))],
        several => {
            let at = existing(wanted.each.destination.path);
            let together = Dir::open(at).and_then(|dir| SyncGroup::new(dir, several.len(), wanted.jobs));
            let together = match together {
                Ok(together) => Arc::new(together),
                Err(error) => return (Vec::new(), Some(error)),
            };
            std::thread::scope(|scope| {
                let threads: Vec<_> = several
                    .iter()
                    .map(|entry| {
                        let (together, stop, note) = (&together, &stop, &note);
                        scope.spawn(move || {
                            let _member = together.begin();
                            let go_on = !stop.load(Ordering::Relaxed);
                            go_on.then(|| convert_one(entry, wanted, Some(together), context, note))
                        })
                    })
                    .collect();
                let join = |thread: std::thread::ScopedJoinHandle<'_, Option<FolderOutcome>>| {
                    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                };
                threads.into_iter().map(join).collect()
            })
        }
    };
    let error = stopped.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    (rows.into_iter().flatten().collect(), error)
}

fn convert_one(
    entry: &TreeEntry,
    wanted: &TreeOptions<'_>,
    together: Option<&Arc<SyncGroup>>,
    context: &Context<'_>,
    note: &dyn Fn(Error),
) -> FolderOutcome {
    let mut row =
        FolderOutcome { entry: entry.clone(), reports: Vec::new(), sums: Totals::default(), failed: false };
    let part = Part { progress: context.events, phase: Mutex::new(Phase::Reading) };
    let context = Context { events: &part, ..*context };
    let placed = refuse_moved(entry, wanted).and_then(|()| place_for(&entry.named.directory, wanted));
    let converted = placed.map(|destination| {
        let siblings: Vec<&Path> = entry.beside.iter().map(PathBuf::as_path).collect();
        let each = &wanted.each;
        let destination =
            DestinationOptions { path: &destination, sync_group: together, ..each.destination.clone() };
        let options = ImportOptions { destination, siblings: &siblings, ..(*each).clone() };
        match &entry.found.kind {
            MailboxKind::Messages(files) => {
                // An mbox appears whole, and there is no second time.
                let at_once = if wanted.layout == Layout::Mboxes { files.len() } else { MESSAGES_AT_ONCE };
                for files in files.chunks(at_once) {
                    row.add_messages(files, &options, wanted, &context, note);
                }
            }
            MailboxKind::Mbox => {
                let source = (wanted.open)(&entry.found.path, None)
                    .map(|input| export::ExportSource::Mbox(Box::new(input)));
                row.add(source.map(|source| run(source, &options, wanted, &context)), note);
            }
            MailboxKind::Maildir => {
                let source = export::ExportSource::Maildir(entry.found.path.clone());
                row.add(Ok(run(source, &options, wanted, &context)), note);
            }
        }
    });
    if let Err(error) = converted {
        row.add(Err(error), note);
    }
    row
}

/// Makes what a folder lies in, and says where it is. In a dry run nothing is made, and what lies nowhere is looked at
/// as the first thing that would be.
fn place_for(folder: &Path, wanted: &TreeOptions<'_>) -> Result<PathBuf> {
    let root = wanted.each.destination.path;
    let directory: &Path = &root.join(folder);
    if wanted.each.destination.ownership.owner.is_some() {
        let above = folder.ancestors().filter(|path| !path.as_os_str().is_empty());
        above.map(|path| root.join(path)).try_for_each(|path| refuse_symlink(&path))?;
    }
    if wanted.each.destination.dry_run {
        let mut first = directory;
        while !parent_of(first).is_dir() && first != parent_of(first) {
            first = parent_of(first);
        }
        return Ok(first.to_owned());
    }
    if wanted.layout != Layout::MaildirPlusPlus {
        create::create_parents(directory, root)?;
    }
    Ok(directory.to_owned())
}

/// Finds mailboxes that an earlier run has put into another folder: what a mailbox is called changes with those that
/// lie beside it, and by its second name its mail would be there twice, perhaps among that of another mailbox.
fn look_back(entries: &mut [TreeEntry], wanted: &TreeOptions<'_>) -> Result<()> {
    if wanted.each.destination.manifest != ManifestLocation::InMaildir {
        return Ok(());
    }
    let renamed = renames::read(wanted.each.destination.path)?;
    for entry in entries.iter_mut().filter(|entry| !entry.is_told) {
        let (folder, now) = (&entry.found.folder, &entry.named.directory);
        let had = renamed.iter().filter(|(_, was)| *was == folder).map(|(directory, _)| directory.clone());
        let mut places: Vec<PathBuf> = had.collect();
        if entry.named.rename_reason.is_some() {
            places.push(wanted.layout.path(&folder.0));
            places.extend(naming::may_be_inbox(folder).then(|| wanted.layout.path(&[])));
        }
        let path = match &entry.found.kind {
            MailboxKind::Messages(files) => files.first().unwrap_or(&entry.found.path),
            MailboxKind::Mbox | MailboxKind::Maildir => &entry.found.path,
        };
        let has_it = |place: &PathBuf| {
            let manifest = ManifestLocation::InMaildir.read(&wanted.each.destination.path.join(place));
            let headers = manifest.ok().flatten().map(|file| file.headers()).unwrap_or_default();
            headers.iter().any(|header| header.source.is_path(path))
        };
        let was = places.into_iter().filter(|place| place != now).find(has_it);
        entry.was = was.filter(|_| !has_it(now));
    }
    Ok(())
}

fn refuse_moved(entry: &TreeEntry, wanted: &TreeOptions<'_>) -> Result<()> {
    let Some(was) = &entry.was else { return Ok(()) };
    let directory = |place| display_path(&wanted.each.destination.path.join(place));
    let reason = format!(
        "was converted into {} before, and would be in {} now, for other mailboxes lie beside it than did then; \
         convert it by itself into the former, or say by --map which folder is which",
        directory(was),
        directory(&entry.named.directory)
    );
    Err(Error::Destination { path: entry.found.path.clone(), reason })
}

/// One mailbox into one folder.
fn run(
    source: export::ExportSource,
    options: &ImportOptions<'_>,
    wanted: &TreeOptions<'_>,
    context: &Context<'_>,
) -> Outcome {
    match (source, wanted.layout) {
        (source, Layout::Mboxes) => export::export(vec![source], options, (wanted.mboxes)(), context).0,
        (export::ExportSource::Mbox(input), _) => import_mboxes(vec![*input], options, context),
        (export::ExportSource::Maildir(path), _) => {
            let options = CopyOptions { destination: options.destination.clone() };
            copy::copy_maildir(&path, &options, context)
        }
    }
}

impl FolderOutcome {
    /// Messages by themselves, some at a time: each is a source.
    fn add_messages(
        &mut self,
        files: &[PathBuf],
        options: &ImportOptions<'_>,
        wanted: &TreeOptions<'_>,
        context: &Context<'_>,
        note: &dyn Fn(Error),
    ) {
        let mut inputs = Vec::with_capacity(files.len());
        for file in files {
            match (wanted.open)(file, Some(Variant::Rfc822)) {
                Ok(input) => inputs.push(input),
                Err(error) => self.add(Err(error), note),
            }
        }
        let outcome = match wanted.layout {
            Layout::Mboxes => {
                let sources =
                    inputs.into_iter().map(|input| export::ExportSource::Mbox(Box::new(input))).collect();
                export::export(sources, options, (wanted.mboxes)(), context).0
            }
            _ => import_mboxes(inputs, options, context),
        };
        self.add(Ok(outcome), note);
    }

    fn add(&mut self, outcome: Result<Outcome>, note: &dyn Fn(Error)) {
        let error = match outcome {
            Ok(Outcome { mut reports, sums, error, folders: _ }) => {
                // The folders of a Maildir are rows of their own.
                reports.iter_mut().for_each(|report| report.findings.retain(|f| f.code != Code::FoldersLeft));
                self.reports.extend(reports);
                let left_out = Totals { bytes_source: 0, bytes_not_reached: 0, ..sums };
                self.sums += if error.is_some() { &left_out } else { &sums };
                error
            }
            Err(error) => {
                self.sums.sources += 1;
                Some(error)
            }
        };
        let Some(error) = error else { return };
        self.failed = true;
        if stops_all(&error) {
            return note(error);
        }
        let mut finding = Finding::new(error.code(), error.without_path());
        finding.path = error.path().map(Path::to_owned);
        finding.hint = error.hint().map(|mend| mend.to_owned().into());
        self.reports.push(Report::new(&self.entry.found.path, vec![finding]));
    }
}

/// Whether no other folder can fare better.
fn stops_all(error: &Error) -> bool {
    match error {
        Error::Interrupted | Error::InsufficientSpace { .. } => true,
        Error::Io { source, .. } => {
            matches!(
                source.raw_os_error(),
                Some(libc::ENOSPC | libc::EDQUOT | libc::EROFS | libc::EMFILE | libc::ENFILE)
            )
        }
        _ => false,
    }
}

/// Says how far one folder is as a part of the whole.
struct Part<'a> {
    progress: &'a dyn Events,
    phase: Mutex<Phase>,
}

impl Events for Part<'_> {
    fn begin(&self, phase: Phase, _: u64) {
        *self.phase.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = phase;
    }

    fn advance(&self, bytes: u64, messages: u64) {
        if *self.phase.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) == Phase::Writing {
            self.progress.advance(bytes, messages);
        }
    }
}

/// Gives what is neither a mailbox nor in one to whom it is to belong: the directories that folders lie in,
/// and the lists.
fn own(entries: &[TreeEntry], wanted: &TreeOptions<'_>) -> Result<()> {
    let Some(owner) = wanted.each.destination.ownership.owner else { return Ok(()) };
    let root = Dir::open(wanted.each.destination.path)?;
    let (list, _) = subscriptions::file_for(wanted.layout);
    let above = entries.iter().flat_map(|entry| entry.named.directory.ancestors().skip(1));
    let directories: BTreeSet<&Path> = above.filter(|path| !path.as_os_str().is_empty()).collect();
    for path in directories.into_iter().chain([Path::new(list), Path::new(renames::FILE_NAME)]) {
        root.chown_child(path.as_os_str(), owner)?;
    }
    if wanted.layout == Layout::MaildirPlusPlus {
        // One without an INBOX of its own was made for its folders.
        ["tmp", "new", "cur"].iter().try_for_each(|name| root.chown_child(OsStr::new(name), owner))?;
    }
    durable::chown(&root, owner).map_err(Error::io("change the owner of", root.path()))
}

/// Writes down what folders were called that could not keep their names.
fn keep_names(entries: &[TreeEntry], wanted: &TreeOptions<'_>) -> Result<()> {
    let renamed = entries.iter().filter(|entry| entry.named.rename_reason.is_some());
    let new: renames::Renames =
        renamed.map(|entry| (entry.named.directory.clone(), entry.found.folder.clone())).collect();
    let before = renames::read(wanted.each.destination.path)?;
    let all: renames::Renames = before.clone().into_iter().chain(new).collect();
    if all == before {
        return Ok(());
    }
    let root = Dir::open(wanted.each.destination.path)?;
    renames::write(&root, &all)?;
    if wanted.each.destination.fsync == Fsync::None { Ok(()) } else { root.sync() }
}

/// Carries the list of subscribed folders over, to what is there of one already. A dry run says what would be lost.
fn subscribe(
    subscribed: Option<&[Folder]>,
    entries: &[TreeEntry],
    wanted: &TreeOptions<'_>,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let Some(subscribed) = subscribed else { return Ok(()) };
    let (file, separator) = subscriptions::file_for(wanted.layout);
    let path = wanted.each.destination.path.join(file);
    let mut list = match read_regular(&path) {
        Ok(text) => subscriptions::parse(&text, separator),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(Error::io("read", &path)(e)),
    };
    let before = list.len();
    let now = |folder: &[Vec<u8>]| {
        entries.iter().find(|entry| entry.found.folder.0 == folder).map(|entry| entry.named.folder.clone())
    };
    for folder in subscribed {
        // UW-IMAP lists them as they lie in the home directory.
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
    if list.len() == before || wanted.each.destination.dry_run {
        return Ok(());
    }
    let text = subscriptions::format(&list, wanted.layout);
    let root = Dir::open(wanted.each.destination.path)?;
    root.write_atomic(&root, OsStr::new(file), &text, 0o666)?;
    if wanted.each.destination.fsync == Fsync::None { Ok(()) } else { root.sync() }
}
