//! `mailferry convert` of trees: folder by folder, with a table at the end.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::convert::ImportOptions;
use crate::convert::export::{MboxTarget, find_nested_folders};
use crate::convert::tree::{self, FolderOutcome, TreeEntry, TreeOptions, TreeOutcome};
use crate::convert::{Input, Totals};
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::maildir::detect::is_maildir;
use crate::mailbox::mbox::variant::Variant;
use crate::mailbox::text::display_path;
use crate::mailbox::tree::folder::{Folder, Layout};
use crate::mailbox::tree::walk::{MailboxKind, Tree, TreeMailbox, walk};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::folders::{FolderArgs, has_no_mail, raise_open_file_limit, report_skipped};
use super::mailbox_arg::{Format, MailboxArg};
use super::ui::exit::Exit;
use super::ui::report::Reporter;
use crate::mailbox::text::grouped;

/// Where the folders of a tree go.
#[derive(Args, Debug)]
pub struct TreeArgs {
    /// How folders lie in the destination: maildir++ (.A.B beside cur/) or fs (A/B)
    #[arg(long, value_enum, value_name = "LAYOUT", help_heading = "Trees")]
    pub layout: Option<LayoutArg>,
    #[command(flatten)]
    pub folders: FolderArgs,
    /// Read the sources from this file, one a line, or - for standard input
    #[arg(long, value_name = "FILE", help_heading = "Trees")]
    pub files_from: Option<PathBuf>,
    /// With --files-from: a NUL ends each name, as find -print0 writes them
    #[arg(short = '0', long, requires = "files_from", help_heading = "Trees")]
    pub null: bool,
}

/// The value of `--layout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LayoutArg {
    /// Maildirs .A.B beside cur/, as Courier and Dovecot have them
    #[value(name = "maildir++")]
    MaildirPlusPlus,
    /// Maildirs A/B
    Fs,
}

impl TreeArgs {
    /// The sources that a list names.
    pub fn read_files_from(&self) -> Result<Vec<OsString>> {
        let Some(file) = &self.files_from else { return Ok(Vec::new()) };
        let mut text = Vec::new();
        let read = match file.as_os_str() == "-" {
            true => std::io::stdin().read_to_end(&mut text).map(drop),
            false => std::fs::read(file).map(|bytes| text = bytes),
        };
        read.map_err(Error::io("read", file))?;
        let end = if self.null { 0 } else { b'\n' };
        let names = text.split(|&b| b == end).filter(|name| !name.is_empty());
        Ok(names.map(|name| OsString::from_vec(name.to_vec())).collect())
    }

    fn is_used(&self) -> bool {
        self.layout.is_some() || self.folders.is_used() || self.folders.follow
    }
}

/// Whether folders are meant, and not one mailbox: a tree, or a Maildir with folders that goes into another one
/// or into a directory.
///
/// # Errors
/// [`Error::NotAMailbox`] for the rest of a Maildir.
pub fn is_tree(args: &TreeArgs, sources: &[MailboxArg], destination: &MailboxArg) -> Result<bool> {
    let maildirs = sources.iter().map(MailboxArg::is_maildir).collect::<Result<Vec<bool>>>()?;
    let mut sources = sources.iter().zip(maildirs);
    let is_tree = |(source, is_maildir): (&MailboxArg, bool)| {
        !source.is_standard_stream() && source.path.is_dir() && source.format.is_none() && !is_maildir
    };
    let has_folders =
        |source: &MailboxArg| find_nested_folders(&source.path).is_ok_and(|left| left.is_some());
    let to_maildir = destination.format == Some(Format::Maildir);
    let to_directory = destination.format != Some(Format::Maildir)
        && (destination.path.as_os_str().as_bytes().ends_with(b"/") || destination.path.is_dir())
        && !is_maildir(&destination.path)?;
    Ok(args.is_used()
        || sources.clone().any(is_tree)
        || sources.any(|(s, is_maildir)| is_maildir && (to_directory || to_maildir && has_folders(s))))
}

/// What a conversion of folders needs of the command.
pub struct Job<'a> {
    /// The options of the command about folders.
    pub args: &'a TreeArgs,
    /// The sources.
    pub sources: &'a [MailboxArg],
    /// The root of the folders.
    pub destination: &'a MailboxArg,
    /// As for one mailbox.
    pub options: &'a ImportOptions<'a>,
    /// What to do where an mbox is there already.
    pub mboxes: &'a (dyn Fn() -> MboxTarget<'a> + Sync),
    /// Opens a source.
    pub open: &'a (dyn Fn(&Path, Option<Variant>) -> Result<Input> + Sync),
    /// Refuses options that would say nothing in such a layout, or, with true, where all mailboxes are Maildirs.
    pub suits: &'a dyn Fn(Layout, bool) -> Result<()>,
    /// Looks through a tree.
    pub spooling: &'a crate::mailbox::source::SpoolOptions<'a>,
}

/// What a conversion of folders has to say.
pub struct TreeReport {
    /// The folders.
    pub outcome: TreeOutcome,
    /// How they lie now.
    pub layout: Layout,
    /// What was passed over, tree by tree.
    trees: Vec<Tree>,
}

/// Finds the mailboxes, and converts them.
pub fn run(job: &Job<'_>, context: &crate::mailbox::context::Context<'_>) -> Result<TreeReport> {
    let mut trees = Vec::new();
    for source in job.sources {
        refuse_inside(source, job.destination)?;
        trees.push(look(source, job)?);
    }
    let found: Vec<TreeMailbox> =
        trees.iter_mut().flat_map(|tree| std::mem::take(&mut tree.mailboxes)).collect();
    if found.is_empty() && trees.iter().all(has_no_mail) {
        if let Some(error) = trees.iter_mut().find_map(|tree| tree.refused.pop()) {
            return Err(error);
        }
        let path = job.sources.first().map(|source| source.path.clone()).unwrap_or_default();
        let reason = "it is a directory without any mailbox in it".into();
        return Err(Error::NotAMailbox { path, reason, hint: None });
    }
    let layout = layout(job, &found)?;
    (job.suits)(layout, found.iter().all(|found| found.kind == MailboxKind::Maildir))?;
    let placing = job.args.folders.mapping();
    let subscribed: Vec<Folder> =
        trees.iter_mut().filter_map(|tree| tree.subscriptions.take()).flatten().collect();
    let entries = tree::assign_folders(found, &placing, layout);
    let wanted = TreeOptions {
        each: job.options,
        layout,
        mboxes: job.mboxes,
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
        open_files: raise_open_file_limit(),
        open: job.open,
    };
    let whole = tree::convert(entries, (!subscribed.is_empty()).then_some(&subscribed), &wanted, context);
    Ok(TreeReport { outcome: whole, layout, trees })
}

/// A destination in the tree itself would be a part of it the next time.
fn refuse_inside(source: &MailboxArg, destination: &MailboxArg) -> Result<()> {
    let there = destination.path.ancestors().find_map(|path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        path.canonicalize().ok()
    });
    let tree = source.path.canonicalize().ok().filter(|tree| tree.is_dir());
    match (there, tree) {
        (Some(there), Some(tree)) if there.starts_with(&tree) => {
            let reason = format!(
                "lies in {}, the tree that is converted; name a place outside of it",
                display_path(&tree)
            );
            Err(Error::Unsupported { path: destination.path.clone(), reason })
        }
        _ => Ok(()),
    }
}

/// What lies in one source.
fn look(source: &MailboxArg, job: &Job<'_>) -> Result<Tree> {
    let one = |kind| {
        let folder = Folder::INBOX;
        Tree { mailboxes: vec![TreeMailbox { path: source.path.clone(), folder, kind }], ..Tree::default() }
    };
    match source.format {
        _ if source.is_standard_stream() => {
            let reason =
                "standard input is one mailbox, and goes into one; name the Maildir of the folder".into();
            Err(Error::Unsupported { path: source.path.clone(), reason })
        }
        None | Some(Format::Maildir) if source.path.is_dir() => {
            walk(&source.path, job.args.folders.follow, job.spooling)
        }
        Some(Format::Variant(Variant::Rfc822)) => Ok(one(MailboxKind::Messages(vec![source.path.clone()]))),
        _ => Ok(one(MailboxKind::Mbox)),
    }
}

/// Folders go into the other kind, unless a prefix names one.
fn layout(job: &Job<'_>, found: &[TreeMailbox]) -> Result<Layout> {
    let of_maildirs = match job.args.layout {
        Some(LayoutArg::Fs) => Layout::Fs,
        Some(LayoutArg::MaildirPlusPlus) | None => Layout::MaildirPlusPlus,
    };
    let all_maildirs = !found.is_empty() && found.iter().all(|found| found.kind == MailboxKind::Maildir);
    let layout = match job.destination.format {
        Some(Format::Maildir) => of_maildirs,
        Some(Format::Mbox | Format::Variant(_)) => Layout::Mboxes,
        None if all_maildirs && job.args.layout.is_none() => Layout::Mboxes,
        None => of_maildirs,
    };
    let path = &job.destination.path;
    if layout == Layout::Mboxes && is_maildir(path)? {
        let reason = "is a Maildir; folders of mboxes go into a directory, or say maildir: before it".into();
        return Err(Error::Unsupported { path: path.clone(), reason });
    }
    if job.destination.is_standard_stream() {
        let reason = "folders cannot be written to standard output".into();
        return Err(Error::Unsupported { path: path.clone(), reason });
    }
    Ok(layout)
}

impl TreeReport {
    /// The sums over all folders.
    pub fn sums(&self) -> Totals {
        let mut sums = Totals::default();
        self.outcome.folders.iter().for_each(|row| sums += &row.sums);
        sums
    }

    /// Whether some of it could not be converted.
    pub fn report(&self, reporter: &mut Reporter) {
        for row in &self.outcome.folders {
            for report in &row.reports {
                reporter.findings(&report.path, &report.findings);
            }
            reporter.findings(&row.entry.found.path, renamed(row, self.layout).as_slice());
        }
        self.trees.iter().for_each(|tree| report_skipped(tree, reporter));
        reporter.findings(Path::new(""), &self.outcome.findings);
    }

    /// A line a folder.
    pub fn table(&self, reporter: &mut Reporter, dry_run: bool) {
        let names: Vec<String> =
            self.outcome.folders.iter().map(|row| row.entry.named.folder.to_string()).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).clamp(6, 40);
        let verb = if dry_run { "to write" } else { "written" };
        reporter.line(&format!("{:width$}  {:>9}  {verb:>9}  {:>9}  from", "folder", "found", "skipped"));
        for (row, name) in self.outcome.folders.iter().zip(&names) {
            let sums = &row.sums;
            let why = match (row.failed, row.entry.named.rename_reason) {
                (true, _) => "  (not all of it: see above)".to_owned(),
                (false, Some(why)) => format!("  (renamed: {why})"),
                (false, None) => String::new(),
            };
            reporter.line(&format!(
                "{name:width$}  {:>9}  {:>9}  {:>9}  {}{why}",
                grouped(sums.messages_found),
                grouped(sums.written),
                grouped(sums.skipped + sums.duplicates),
                display_path(&row.entry.found.path),
            ));
        }
        let passed_over = self.trees.iter().map(|tree| tree.skipped.len() as u64).sum::<u64>();
        let doubtful = self.trees.iter().flat_map(|tree| &tree.skipped).filter(|s| s.may_be_mail).count();
        if passed_over > 0 {
            let mail = match doubtful {
                0 => "no mail in them; -v lists them".to_owned(),
                n => format!("mail may be in {n}, listed above; -v lists all"),
            };
            reporter.line(&format!("{} other files and links passed over: {mail}", grouped(passed_over)));
        }
    }

    /// The same for programs.
    pub fn folders(&self) -> Vec<Value> {
        let folder = |row: &FolderOutcome| {
            let FolderOutcome { entry: TreeEntry { found, named, .. }, sums, failed, .. } = row;
            json!({
                "folder": named.folder.to_string(),
                "directory": display_path(&named.directory),
                "source": display_path(&found.path),
                "source_folder": found.folder.to_string(),
                "renamed": named.rename_reason,
                "messages_found": sums.messages_found,
                "written": sums.written,
                "already_present": sums.already_present,
                "duplicates": sums.duplicates,
                "skipped": sums.skipped,
                "failed": failed,
            })
        };
        self.outcome.folders.iter().map(folder).collect()
    }

    /// How the run ended.
    pub fn exit(&self, reporter: &Reporter, strict: bool) -> Exit {
        let refused = self.trees.iter().find_map(|tree| tree.refused.first());
        match self.outcome.error.as_ref().or(refused) {
            Some(error) => Exit::of(error),
            None => Exit::finished(reporter.errors, reporter.warnings, strict),
        }
    }
}

/// What of a name could not be kept.
fn renamed(row: &FolderOutcome, layout: Layout) -> Option<Finding> {
    let TreeEntry { found, named, .. } = &row.entry;
    let why = match named.rename_reason {
        Some(why) => why,
        None if named.directory.as_os_str().as_bytes().contains(&b'\\') => match layout {
            Layout::MaildirPlusPlus => "Maildir++ cannot say all of its name",
            Layout::Fs | Layout::Mboxes => "no file can have all of its name",
        },
        None => return None,
    };
    let message = format!("{} is called {}: {why}", found.folder, display_path(&named.directory));
    Some(Finding::new(Code::FolderRenamed, message))
}
