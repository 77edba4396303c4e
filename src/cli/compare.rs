//! `mailferry verify --against`.

use std::path::{Path, PathBuf};

use crate::mailbox::context::Cancel;
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::Finding;
use crate::mailbox::manifest::{ManifestLocation, SectionHeader};
use crate::mailbox::mbox::status::{DeletedPolicy, LabelPolicy};
use crate::mailbox::text::display_path;
use crate::mailbox::tree::folder::Folder;
use crate::mailbox::tree::walk::{MailboxKind, Tree, TreeMailbox, walk};
use crate::verify::compare;
use crate::verify::compare::tree;
use crate::verify::compare::tree::CompareEvent;
use crate::verify::compare::{CompareOptions, Difference, MailboxRef, MessageTotals};
use crate::verify::maildir;
use serde_json::{Value, json};

use crate::cli::folders::{FolderArgs, has_no_mail, raise_open_file_limit, report_skipped};
use crate::cli::mailbox_arg::{Format, MailboxArg};
use crate::cli::open::OpenArgs;
use crate::cli::ui::exit::Exit;
use crate::cli::ui::progress::ProgressDisplay;
use crate::cli::ui::report::{FindingCounts, Reporter};
use crate::mailbox::text::grouped;

/// How to compare.
pub struct CompareJob<'a> {
    /// The mailboxes of this side.
    pub mailboxes: &'a [MailboxArg],
    /// The other side.
    pub other: &'a MailboxArg,
    /// What is compared besides contents, and how.
    pub wanted: CompareChoices,
    /// Which folders of this side are which of the other one.
    pub folders: &'a FolderArgs,
    /// How mailboxes are opened.
    pub open: &'a OpenArgs,
    /// Who looks on.
    pub watcher: &'a ProgressDisplay,
    /// Set by a signal.
    pub cancel: &'a Cancel,
}

/// What came out.
#[derive(Default)]
pub struct Outcome {
    /// Message by message.
    pub sums: MessageTotals,
    /// Folders that only this side has.
    pub folders_missing: u64,
    /// Folders that only the other side has.
    pub folders_extra: u64,
    /// The last line of the report.
    pub sentence: String,
    /// Files that were passed over and in which mail may be.
    pub not_read: u64,
    /// How it ended, where it could not be finished for all folders.
    pub unfinished: Option<Exit>,
}

impl Outcome {
    /// Whether all of both sides was looked at.
    pub fn is_finished(&self) -> bool {
        self.not_read == 0 && self.unfinished.is_none()
    }
}

/// Compares the mailboxes, taken together, with another one, and tells every difference. Where both sides
/// have folders, or somebody says which is which, it is folder by folder.
pub fn compare(job: &CompareJob<'_>, reporter: &mut Reporter) -> Result<Outcome> {
    raise_open_file_limit();
    let here = job.mailboxes.iter().map(Side::of).collect::<Result<Vec<_>>>()?;
    let there = Side::of(job.other)?;
    let by_folder = job.folders.is_used() || (here.iter().any(Side::has_folders) && there.has_folders());
    let mut trees = Vec::new();
    let mut parts = |side: Side<'_>| side.parts(by_folder, job, &mut trees);
    let ours = here.into_iter().map(&mut parts).collect::<Result<Vec<_>>>()?;
    let (ours, theirs): (Vec<_>, Vec<_>) = (ours.into_iter().flatten().collect(), parts(there)?);
    trees.iter().for_each(|tree| report_skipped(tree, reporter));
    let not_read = trees.iter().flat_map(|tree| &tree.skipped).filter(|s| s.may_be_mail).count() as u64;
    let (labels, deleted) = as_converted(ours.iter().chain(&theirs).map(|(_, mailbox)| mailbox));
    let options = CompareOptions {
        metadata: job.wanted.metadata,
        labels: job.wanted.labels.unwrap_or(labels),
        deleted: job.wanted.deleted.unwrap_or(deleted),
        now: crate::cli::clock::seconds_since_epoch(),
        from_zone: None,
        cancel: job.cancel,
    };
    // Looking leaves nothing behind, not even for a moment.
    let open = &|path: &Path| {
        let mailbox = MailboxArg { format: Some(Format::Mbox), path: path.to_owned() };
        job.open.open(&mailbox, job.cancel, job.watcher, true)
    };
    let comparison = Comparison { job, options, open, not_read };
    if by_folder {
        let place =
            |(folder, mailbox): (Folder, MailboxRef)| (job.folders.mapping().map_folder(&folder).0, mailbox);
        let pairs = tree::pair_folders(ours.into_iter().map(place).collect(), theirs);
        comparison.folder_by_folder(&pairs, reporter)
    } else {
        let all = |parts: Vec<(Folder, MailboxRef)>| {
            parts.into_iter().map(|(_, mailbox)| mailbox).collect::<Vec<_>>()
        };
        comparison.as_one(&all(ours), &all(theirs), reporter)
    }
}

/// What one argument is.
enum Side<'a> {
    /// A file, or standard input.
    File(&'a MailboxArg),
    /// A Maildir, and the folders in it.
    Maildir(&'a Path, Vec<PathBuf>),
    /// A directory in which mailboxes lie.
    Tree(&'a Path),
}

impl<'a> Side<'a> {
    fn of(mailbox: &'a MailboxArg) -> Result<Side<'a>> {
        let path = &mailbox.path;
        let is_directory = path.is_dir() && !mailbox.is_standard_stream();
        Ok(match mailbox.format {
            None if is_directory && !maildir::is_folder(path) => Side::Tree(path),
            Some(Format::Maildir) => Side::Maildir(path, maildir::list_folders(path)?),
            _ if is_directory => Side::Maildir(path, maildir::list_folders(path)?),
            _ => Side::File(mailbox),
        })
    }

    fn has_folders(&self) -> bool {
        match self {
            Side::File(_) => false,
            Side::Maildir(_, folders) => folders.len() > 1,
            Side::Tree(_) => true,
        }
    }

    /// The mailboxes in it. What a walk through a tree said goes to `trees`.
    fn parts(
        self,
        by_folder: bool,
        job: &CompareJob<'_>,
        trees: &mut Vec<Tree>,
    ) -> Result<Vec<(Folder, MailboxRef)>> {
        let alone =
            |path: &Path, kind, variant| (Folder::INBOX, MailboxRef { path: path.to_owned(), kind, variant });
        let root = match self {
            Side::File(mailbox) => {
                return Ok(vec![alone(&mailbox.path, MailboxKind::Mbox, mailbox.variant())]);
            }
            Side::Maildir(_, folders) if !by_folder => {
                return Ok(folders.iter().map(|path| alone(path, MailboxKind::Maildir, None)).collect());
            }
            Side::Maildir(root, _) | Side::Tree(root) => root,
        };
        let spool_dir = job.open.spool_dir();
        let progress = |bytes| job.watcher.spooled(bytes);
        let spooling = job.open.spooling(&spool_dir, job.cancel, &progress);
        let mut tree = walk(root, job.folders.follow, &spooling)?;
        if has_no_mail(&tree) {
            let reason = "there is no mailbox in it".into();
            return Err(Error::NotAMailbox { path: root.to_owned(), reason, hint: None });
        }
        let found = std::mem::take(&mut tree.mailboxes);
        trees.push(tree);
        let part = |TreeMailbox { path, folder, kind }| (folder, MailboxRef { path, kind, variant: None });
        Ok(found.into_iter().map(part).collect())
    }
}

struct Comparison<'a> {
    job: &'a CompareJob<'a>,
    options: CompareOptions<'a>,
    open: compare::SourceOpener<'a>,
    /// Files that were passed over and in which mail may be.
    not_read: u64,
}

impl Comparison<'_> {
    /// What the two sides are called.
    fn names(&self) -> (String, String) {
        let here = match self.job.mailboxes {
            [one] => one.display_name(),
            several => format!("the {} mailboxes", several.len()),
        };
        (here, self.job.other.display_name())
    }

    fn as_one(&self, ours: &[MailboxRef], theirs: &[MailboxRef], reporter: &mut Reporter) -> Result<Outcome> {
        let (here, there) = self.names();
        let mut told = FindingCounts::default();
        let mut tell = |difference: Difference| {
            let finding = difference.finding(&here, &there);
            reporter.finding(difference.path(), &finding, keys(&difference), &mut told);
        };
        let sums =
            compare::open_and_compare((ours, theirs), &self.options, self.open, self.job.watcher, &mut tell);
        reporter.report_suppressed(&self.job.other.path, told);
        let sums = sums?;
        let sentence = sums.sentence(&here, &there, self.not_read, grouped);
        Ok(Outcome { sums, sentence, not_read: self.not_read, ..Outcome::default() })
    }

    fn folder_by_folder(&self, pairs: &[tree::FolderPair], reporter: &mut Reporter) -> Result<Outcome> {
        let (here, there) = self.names();
        let mut told = FindingCounts::default();
        let mut unfinished = None;
        let mut tell = |event: CompareEvent<'_>| match event {
            CompareEvent::Message(difference, folder) => {
                let finding = difference.finding(&here, &there);
                let mut keys = keys(&difference);
                keys["folder"] = json!(folder.to_string());
                if let Some(other) = difference.other_folder() {
                    keys["other_folder"] = json!(other);
                }
                reporter.finding(difference.path(), &finding, keys, &mut told);
            }
            CompareEvent::Folder(alone) => {
                let other = if alone.is_here { &there } else { &here };
                let keys = json!({
                    "folder": alone.folder.to_string(),
                    "messages": alone.messages,
                    "elsewhere": alone.elsewhere,
                    "other_folder": alone.other_folder.map(Folder::to_string),
                });
                reporter.finding(alone.path, &alone.finding(other), keys, &mut told);
            }
            CompareEvent::Failed(error, folder) => {
                let mut finding = Finding::new(error.code(), error.to_string());
                finding.hint = error.hint().map(|mend| mend.to_owned().into());
                let path = error.path().unwrap_or(&self.job.other.path);
                reporter.finding(path, &finding, json!({ "folder": folder.to_string() }), &mut told);
                unfinished.get_or_insert(Exit::of(&error));
            }
        };
        let verdict = tree::compare(pairs, &self.options, self.open, self.job.watcher, &mut tell);
        reporter.report_suppressed(&self.job.other.path, told);
        let verdict = verdict?;
        Ok(Outcome {
            sums: verdict.sums,
            folders_missing: verdict.missing,
            folders_extra: verdict.extra,
            sentence: verdict.sentence(&here, &there, self.not_read, grouped),
            not_read: self.not_read,
            unfinished,
        })
    }
}

/// What the user says of the comparison.
#[derive(Debug, Clone, Copy)]
pub struct CompareChoices {
    /// Whether flags and dates are compared.
    pub metadata: bool,
    /// What was made of labels; None: what the manifests say.
    pub labels: Option<LabelPolicy>,
    /// What was made of messages that are marked as deleted; likewise.
    pub deleted: Option<DeletedPolicy>,
}

/// What convert was told of labels and deleted messages, where all manifests of these mailboxes say the same;
/// else what it does when it is told nothing. A manifest that cannot be read says nothing here: that it is
/// damaged is for verify without --against to say.
fn as_converted<'a>(mailboxes: impl Iterator<Item = &'a MailboxRef>) -> (LabelPolicy, DeletedPolicy) {
    let maildirs = mailboxes.filter(|mailbox| mailbox.kind == MailboxKind::Maildir);
    let manifests = maildirs.filter_map(|maildir| ManifestLocation::InMaildir.read(&maildir.path).ok()?);
    let heads: Vec<SectionHeader> = manifests.flat_map(|manifest| manifest.headers()).collect();
    let same = |word: fn(&SectionHeader) -> Option<&str>| {
        let first = heads.first().and_then(word);
        first.filter(|_| heads.iter().all(|head| word(head) == first))
    };
    let labels = match same(|head| head.labels.as_deref()) {
        Some("ignore" | "folders" | "first") => LabelPolicy::Ignore,
        _ => LabelPolicy::Keywords,
    };
    let deleted = match same(|head| head.deleted.as_deref()) {
        Some("keep") => DeletedPolicy::Keep,
        Some("skip") => DeletedPolicy::Skip,
        _ => DeletedPolicy::Flag,
    };
    (labels, deleted)
}

/// What a difference has for programs beyond its finding.
fn keys(difference: &Difference) -> Value {
    let sighting = difference.message();
    let other = difference.here.as_ref().and(difference.there.as_ref());
    json!({
        "message_id": sighting.message_id,
        "subject": sighting.subject,
        "number": sighting.number,
        "other_path": other.map(|o| display_path(&o.path)),
        "other_offset": other.and_then(|o| o.offset),
        "other_line": other.and_then(|o| o.line),
    })
}
