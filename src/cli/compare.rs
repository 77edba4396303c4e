//! `mailferry verify --against`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::cli::folders::{FolderArgs, raise_open_file_limit, refuse_empty, report_skipped};
use crate::cli::mailbox_arg::{Format, MailboxArg};
use crate::cli::open::Opener;
use crate::cli::ui::report::FindingCounts;
use crate::cli::ui::{Exit, Reporter};
use crate::convert::is_year;
use crate::mailbox::fs::files;
use crate::mailbox::maildir::detect::is_maildir;
use crate::mailbox::message::{DeletedPolicy, LabelPolicy};
use crate::mailbox::tree::{Folder, MailboxKind, Tree, TreeMailbox};
use crate::mailbox::{Context, Error, Finding, Result, display_path};
use crate::verify::compare::tree::{self, CompareEvent, FolderMailbox};
use crate::verify::compare::{
    self, AskedChanges, Both, CompareOptions, Difference, MailboxRef, MessageTotals,
};
use crate::verify::maildir;
use crate::verify::options::SourceOpener;

/// The comparison. The options need `--against`.
#[derive(Args, Debug)]
pub(crate) struct CompareArgs {
    /// With --against: also compare flags, dates and status fields
    #[arg(long, requires = "against")]
    metadata: bool,
    /// With --against: the --labels of convert [default: as in the manifest]
    #[arg(long, value_enum, value_name = "AS", requires = "against")]
    labels: Option<LabelPolicy>,
    /// With --against: the --deleted of convert [default: as in the manifest]
    ///
    /// With skip, messages marked as deleted may be missing.
    #[arg(long, value_enum, value_name = "HOW", requires = "against")]
    deleted: Option<DeletedPolicy>,
    /// With --against: the --split of convert
    ///
    /// The folders of the years in OTHER are taken together.
    #[arg(long, value_enum, value_name = "BY", requires = "against")]
    split: Option<SplitBy>,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum SplitBy {
    /// By the year of the received date
    Year,
}

/// Arguments of a comparison.
pub(crate) struct CompareJob<'a> {
    pub mailboxes: &'a [MailboxArg],
    pub other: &'a MailboxArg,
    pub args: &'a CompareArgs,
    pub folders: &'a FolderArgs,
    pub opener: &'a Opener<'a>,
    pub context: &'a Context<'a>,
}

/// Result of a comparison.
#[derive(Default)]
pub(crate) struct Outcome {
    pub totals: MessageTotals,
    /// Folders that only this side has.
    pub folders_missing: u64,
    /// Folders that only the other side has.
    pub folders_extra: u64,
    /// The last line of the report.
    pub sentence: String,
    /// Skipped files that may contain mail.
    pub not_read: u64,
    /// The exit if some folders could not be compared.
    pub unfinished: Option<Exit>,
}

impl Outcome {
    /// Reports whether all of both sides was compared.
    pub(super) fn is_finished(&self) -> bool {
        self.not_read == 0 && self.unfinished.is_none()
    }
}

/// Compares the mailboxes, taken together, with another one, and reports every difference. If both sides have folders, or
/// an option maps folders, it compares folder by folder.
pub(crate) fn compare(job: &CompareJob<'_>, reporter: &mut Reporter) -> Result<Outcome> {
    raise_open_file_limit();
    let here = job.mailboxes.iter().map(Side::new).collect::<Result<Vec<_>>>()?;
    let there = Side::new(job.other)?;
    let both_have_folders = here.iter().any(Side::has_folders) && there.has_folders();
    // The folders of labels are not those of a tree.
    let are_labels = || {
        let sides = || here.iter().chain([&there]);
        let labels = || AskedChanges::read(sides().filter_map(Side::maildir)).labels;
        let has_tree = sides().any(|side| side.maildir().is_none());
        has_tree && job.args.labels.unwrap_or_else(labels).are_folders()
    };
    let by_folder = job.folders.is_used() || both_have_folders && !are_labels();
    let mut trees = Vec::new();
    let mut list = |side: Side<'_>| side.mailboxes(by_folder, job, &mut trees);
    let here = here.into_iter().map(&mut list).collect::<Result<Vec<_>>>()?;
    let mut sides: Both<Vec<FolderMailbox>> =
        Both { here: here.into_iter().flatten().collect(), there: list(there)? };
    trees.iter().for_each(|tree| report_skipped(tree, reporter));
    let may_be_mail = trees.iter().flat_map(|tree| &tree.skipped).filter(|s| s.may_be_mail).count();
    let refused: Vec<&Error> = trees.iter().flat_map(|tree| &tree.refused).collect();
    let not_read = (may_be_mail + refused.len()) as u64;
    let all = sides.here.iter().chain(&sides.there).map(|found| &found.mailbox);
    let maildirs = all.filter(|mailbox| mailbox.kind == MailboxKind::Maildir);
    let mut asked = AskedChanges::read(maildirs.map(|maildir| &*maildir.path));
    asked.labels = job.args.labels.unwrap_or(asked.labels);
    asked.deleted = job.args.deleted.unwrap_or(asked.deleted);
    let options = CompareOptions { metadata: job.args.metadata, asked, from_zone: None };
    let open = &|path: &Path| {
        let mailbox = MailboxArg { format: Some(Format::Mbox), path: path.to_owned() };
        job.opener.open(&mailbox)
    };
    let comparison = Comparison { job, options, open, not_read };
    let mut outcome = if by_folder {
        let mapping = job.folders.mapping();
        sides.here.iter_mut().for_each(|found| found.folder = mapping.map_folder(&found.folder).0);
        if job.args.split.is_some() {
            sides.there.iter_mut().for_each(|found| leave_out_year(&mut found.folder));
        }
        comparison.compare_folders(&tree::pair_folders(sides), reporter)?
    } else {
        let sides = sides.map(|side| side.into_iter().map(|found| found.mailbox).collect::<Vec<_>>());
        comparison.compare_messages(sides.as_ref().map(|side| &side[..]), reporter)?
    };
    outcome.unfinished = outcome.unfinished.or(refused.first().map(|error| Exit::of(error)));
    Ok(outcome)
}

/// Names the folder of a year as the folder that was split.
fn leave_out_year(folder: &mut Folder) {
    folder.0.pop_if(|level| std::str::from_utf8(level).is_ok_and(is_year));
}

/// Kind of an argument.
enum Side<'a> {
    /// A file, or standard input.
    File(&'a MailboxArg),
    /// A Maildir, and the folders in it.
    Maildir(&'a Path, Vec<PathBuf>),
    /// A directory or an archive with mailboxes.
    Tree(&'a Path),
}

impl<'a> Side<'a> {
    fn new(mailbox: &'a MailboxArg) -> Result<Side<'a>> {
        let path = &mailbox.path;
        let is_directory = files::is_dir(path) && !mailbox.is_standard_stream();
        Ok(match mailbox.format {
            None if is_directory && !is_maildir(path)? || mailbox.is_archive()? => Side::Tree(path),
            Some(Format::Maildir) => Side::Maildir(path, maildir::list_folders(path)?),
            _ if is_directory => Side::Maildir(path, maildir::list_folders(path)?),
            _ => Side::File(mailbox),
        })
    }

    fn maildir(&self) -> Option<&'a Path> {
        match self {
            Side::Maildir(path, _) => Some(path),
            Side::File(_) | Side::Tree(_) => None,
        }
    }

    fn has_folders(&self) -> bool {
        match self {
            Side::File(_) => false,
            Side::Maildir(_, folders) => folders.len() > 1,
            Side::Tree(_) => true,
        }
    }

    /// Lists the mailboxes, and adds a tree that is walked to `trees`.
    fn mailboxes(
        self,
        by_folder: bool,
        job: &CompareJob<'_>,
        trees: &mut Vec<Tree>,
    ) -> Result<Vec<FolderMailbox>> {
        let inbox = |path: &Path, kind, variant| FolderMailbox {
            folder: Folder::INBOX,
            mailbox: MailboxRef { path: path.to_owned(), kind, variant },
        };
        let root = match self {
            Side::File(mailbox) => {
                return Ok(vec![inbox(&mailbox.path, MailboxKind::Mbox, mailbox.variant())]);
            }
            Side::Maildir(_, folders) if !by_folder => {
                return Ok(folders.iter().map(|path| inbox(path, MailboxKind::Maildir, None)).collect());
            }
            Side::Maildir(root, _) | Side::Tree(root) => root,
        };
        let mut tree = job.opener.walk(root, job.folders.follow)?;
        refuse_empty(&mut tree, root)?;
        let found = std::mem::take(&mut tree.mailboxes);
        trees.push(tree);
        let mailbox = |TreeMailbox { path, folder, kind }| FolderMailbox {
            folder,
            mailbox: MailboxRef { path, kind, variant: None },
        };
        Ok(found.into_iter().map(mailbox).collect())
    }
}

struct Comparison<'a> {
    job: &'a CompareJob<'a>,
    options: CompareOptions,
    open: SourceOpener<'a>,
    /// Skipped files that may contain mail.
    not_read: u64,
}

impl Comparison<'_> {
    fn names(&self) -> Both<String> {
        let here = match self.job.mailboxes {
            [one] => one.display_name(),
            several => format!("the {} mailboxes", several.len()),
        };
        Both { here, there: self.job.other.display_name() }
    }

    fn compare_messages(&self, sides: Both<&[MailboxRef]>, reporter: &mut Reporter) -> Result<Outcome> {
        let names = self.names();
        let names = names.as_ref().map(|name| &**name);
        let mut counts = FindingCounts::default();
        let mut report = |difference: Difference| {
            let finding = difference.finding(&names);
            reporter.finding(difference.path(), &finding, json_keys(&difference), &mut counts);
        };
        let totals =
            compare::open_and_compare(sides, &self.options, self.open, self.job.context, &mut report);
        reporter.report_suppressed(&self.job.other.path, counts);
        let totals = totals?;
        let sentence = totals.sentence(&names, self.not_read);
        Ok(Outcome { totals, sentence, not_read: self.not_read, ..Outcome::default() })
    }

    fn compare_folders(&self, pairs: &[tree::FolderPair], reporter: &mut Reporter) -> Result<Outcome> {
        let names = self.names();
        let names = names.as_ref().map(|name| &**name);
        let mut counts = FindingCounts::default();
        let mut unfinished = None;
        let mut report = |event: CompareEvent<'_>| match event {
            CompareEvent::Message(difference, folder) => {
                let finding = difference.finding(&names);
                let mut keys = json_keys(&difference);
                keys["folder"] = json!(folder.to_string());
                if let Some(other) = difference.other_folder() {
                    keys["other_folder"] = json!(other);
                }
                reporter.finding(difference.path(), &finding, keys, &mut counts);
            }
            CompareEvent::Folder(unmatched) => {
                let other = if unmatched.is_here { names.there } else { names.here };
                let keys = json!({
                    "folder": unmatched.folder.to_string(),
                    "messages": unmatched.messages,
                    "elsewhere": unmatched.elsewhere,
                    "other_folder": unmatched.other_folder.map(Folder::to_string),
                });
                reporter.finding(unmatched.path, &unmatched.finding(other), keys, &mut counts);
            }
            CompareEvent::Failed(error, folder) => {
                let finding = Finding { message: error.to_string().into(), ..Finding::from(&error) };
                let path = error.path().unwrap_or(&self.job.other.path);
                reporter.finding(path, &finding, json!({ "folder": folder.to_string() }), &mut counts);
                unfinished.get_or_insert(Exit::of(&error));
            }
        };
        let totals = tree::compare(pairs, &self.options, self.open, self.job.context, &mut report);
        reporter.report_suppressed(&self.job.other.path, counts);
        let totals = totals?;
        Ok(Outcome {
            totals: totals.messages,
            folders_missing: totals.missing,
            folders_extra: totals.extra,
            sentence: totals.sentence(&names, self.not_read),
            not_read: self.not_read,
            unfinished,
        })
    }
}

/// Returns the JSON keys of a difference that a finding does not have.
fn json_keys(difference: &Difference) -> Value {
    let message = difference.message();
    let other = difference.here.as_ref().and(difference.there.as_ref());
    json!({
        "message_id": message.message_id,
        "subject": message.subject,
        "number": message.number,
        "other_path": other.map(|o| display_path(&o.path)),
        "other_offset": other.and_then(|o| o.offset),
        "other_line": other.and_then(|o| o.line),
    })
}
