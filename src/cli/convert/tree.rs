//! Trees: the mailboxes in them are found, converted folder by folder, and reported in a table.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::applies::{TREE_COPY, TREE_EXPORT, TREE_IMPORT};
use super::args::Mailboxes;
use super::run::Run;
use super::summary::Written;
use super::table::{FolderCounts, FolderRow};
use crate::cli::folders::{has_no_mail, nothing_read, raise_open_file_limit, refuse_empty, report_skipped};
use crate::cli::mailbox_arg::{Format, MailboxArg};
use crate::cli::ui::Reporter;
use crate::convert::tree::{self, FolderOutcome, TreeEntry, TreeOptions, TreeOutcome};
use crate::convert::{ExportOptions, ImportOptions, Totals};
use crate::mailbox::fs::files;
use crate::mailbox::maildir::detect::is_maildir;
use crate::mailbox::mbox::Variant;
use crate::mailbox::text::{grouped, grouped_plural};
use crate::mailbox::tree::{Folder, Layout, MailboxKind, Tree, TreeMailbox};
use crate::mailbox::{Code, Error, Finding, Result, display_path};

/// The outcome of a tree, for the report.
pub(super) struct TreeReport {
    /// The folders.
    pub(super) outcome: TreeOutcome,
    /// How they lie now.
    pub(super) layout: Layout,
    /// The skipped files, tree by tree.
    trees: Vec<Tree>,
    /// The tree, if it is the only source.
    root: Option<PathBuf>,
}

impl Run<'_> {
    /// Finds the mailboxes, and converts them.
    pub(super) fn tree(&self, import: &ImportOptions<'_>, export: &ExportOptions<'_>) -> Result<TreeReport> {
        let sources = &self.mailboxes.sources;
        let mut trees: Vec<Tree> = Vec::with_capacity(sources.len());
        for source in sources {
            let earlier: Vec<PathBuf> = trees.iter().map(|tree| tree.root.clone()).collect();
            trees.push(self.walk(source, &earlier)?);
        }
        if trees.iter().all(has_no_mail) {
            trees.iter_mut().zip(sources).try_for_each(|(tree, source)| refuse_empty(tree, &source.path))?;
        }
        let found: Vec<TreeMailbox> =
            trees.iter_mut().flat_map(|tree| std::mem::take(&mut tree.mailboxes)).collect();
        let are_maildirs = !found.is_empty() && found.iter().all(|found| found.kind == MailboxKind::Maildir);
        let layout = self.layout()?;
        self.args.given.check(match layout {
            Layout::Mboxes | Layout::MessageFiles => TREE_EXPORT,
            _ if are_maildirs => TREE_COPY,
            _ => TREE_IMPORT,
        })?;
        let has_maildirs = found.iter().any(|found| found.kind == MailboxKind::Maildir);
        if layout == Layout::Mboxes && !has_maildirs && self.args.given.has("no_manifest") {
            return Err(Error::usage("--no-manifest", "is for a Maildir as the source"));
        }
        let subscribed: Vec<Folder> =
            trees.iter_mut().filter_map(|tree| tree.subscriptions.take()).flatten().collect();
        let open = |path: &Path, variant: Option<Variant>| {
            let mailbox = MailboxArg { format: variant.map(Format::Variant), path: path.to_owned() };
            self.args.open(&mailbox, self.opener)
        };
        let context = if layout.is_export() { self.context } else { self.maildir_context() };
        let options = TreeOptions {
            import,
            export,
            layout,
            subscribed: (!subscribed.is_empty()).then_some(&subscribed),
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            open_files: raise_open_file_limit(),
            open: &open,
        };
        let entries = tree::assign_folders(found, &self.args.tree.folders.mapping(), layout);
        let root = match &trees[..] {
            [one] => Some(one.root.clone()),
            _ => None,
        };
        let outcome = match entries.is_empty() {
            true => TreeOutcome { error: Some(nothing_read(sources)), ..TreeOutcome::default() },
            false => tree::convert(entries, &options, &context),
        };
        Ok(TreeReport { outcome, layout, trees, root })
    }

    /// Returns the mailboxes in one source.
    fn walk(&self, source: &MailboxArg, earlier: &[PathBuf]) -> Result<Tree> {
        let one = |kind| {
            let mailbox = TreeMailbox { path: source.path.clone(), folder: Folder::INBOX, kind };
            Tree { mailboxes: vec![mailbox], root: source.path.clone(), ..Tree::default() }
        };
        if source.is_archive()? {
            return self.opener.walk_after(&source.path, false, earlier);
        }
        match source.format {
            None | Some(Format::Maildir) if files::is_dir(&source.path) => {
                self.opener.walk(&source.path, self.args.tree.folders.follow)
            }
            Some(Format::Variant(Variant::Rfc822)) => {
                Ok(one(MailboxKind::Messages(vec![source.path.clone()])))
            }
            _ => Ok(one(MailboxKind::Mbox)),
        }
    }

    /// Returns the layout of the destination. A tree becomes a Maildir with folders, unless a prefix names mboxes. A
    /// Maildir is one mailbox, which goes into the other format.
    fn layout(&self) -> Result<Layout> {
        let Mailboxes { sources, destination, .. } = self.mailboxes;
        let layout = self.args.tree.layout;
        let are_maildirs =
            sources.iter().map(MailboxArg::is_maildir).collect::<Result<Vec<_>>>()?.iter().all(|is| *is);
        let layout = match destination.format {
            Some(Format::Eml) => Layout::MessageFiles,
            Some(Format::Mbox | Format::Variant(_)) => Layout::Mboxes,
            None if are_maildirs && layout.is_none() => Layout::Mboxes,
            None | Some(Format::Maildir) => layout.unwrap_or_default(),
        };
        if layout.is_export() && is_maildir(&destination.path)? {
            let reason = "is a Maildir; name another directory, or write maildir: before it to copy into it";
            return Err(Error::usage(display_path(&destination.path), reason));
        }
        Ok(layout)
    }
}

impl TreeReport {
    /// Returns an error of a directory that was refused; it is among the findings.
    pub(super) fn refused(&self) -> Option<&Error> {
        self.trees.iter().find_map(|tree| tree.refused.first())
    }

    /// Returns the name of the layout in JSON.
    pub(super) fn layout_name(&self) -> &'static str {
        self.layout.name()
    }

    /// Returns the totals over all folders.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.outcome.folders.iter().for_each(|row| totals += &row.totals);
        totals
    }

    /// Reports the findings of all folders and trees.
    pub(super) fn report(&self, reporter: &mut Reporter) {
        for row in &self.outcome.folders {
            for report in &row.reports {
                reporter.findings(&report.path, &report.findings);
            }
            reporter.findings(&row.entry.mailbox.path, renamed(row, self.layout).as_slice());
        }
        self.trees.iter().for_each(|tree| report_skipped(tree, reporter));
        reporter.findings(Path::new(""), &self.outcome.findings);
    }

    /// Returns the rows of the table. A tree names its mailboxes by their paths in it.
    pub(super) fn rows(&self) -> Vec<FolderRow> {
        let row = |row: &FolderOutcome| {
            let path = &row.entry.mailbox.path;
            let in_tree = self.root.as_deref().and_then(|root| path.strip_prefix(root).ok());
            let in_tree = in_tree.filter(|path| !path.as_os_str().is_empty()).unwrap_or(path);
            let note = match (row.failed, row.entry.name.rename_reason) {
                (true, _) => Some("not all of it, see above".to_owned()),
                (false, Some(why)) => Some(format!("renamed: {why}")),
                (false, None) => None,
            };
            FolderRow {
                folder: row.entry.name.folder.to_string(),
                counts: FolderCounts::from(&row.totals),
                from: display_path(in_tree),
                note,
                ..FolderRow::default()
            }
        };
        self.outcome.folders.iter().map(row).collect()
    }

    /// Returns what the tree became.
    pub(super) fn written(&self) -> Written {
        let names: BTreeSet<_> = self.outcome.folders.iter().map(|row| &row.entry.name.directory).collect();
        let parts = self.outcome.folders.iter().map(|row| row.parts - 1).sum::<u64>();
        let folders = names.len() as u64 + parts;
        match self.layout {
            Layout::MaildirPlusPlus => Written::Maildir(Some(folders)),
            Layout::Fs => Written::Maildirs(folders),
            Layout::Mboxes => Written::Mboxes(folders),
            Layout::MessageFiles => Written::Files(Some(folders)),
        }
    }

    /// Returns the line about files that are not in the table.
    pub(super) fn skipped_line(&self, verbose: bool) -> Option<String> {
        let skipped = self.trees.iter().map(|tree| tree.skipped.len() as u64).sum::<u64>();
        let doubtful = self.trees.iter().flat_map(|tree| &tree.skipped).filter(|s| s.may_be_mail).count();
        let files = grouped_plural(skipped, "other file or link").replace("file or links", "files or links");
        let mail = match (doubtful, verbose) {
            (0, true) => "without mail, listed above".to_owned(),
            (0, false) if skipped == 1 => "without mail; -v names it".to_owned(),
            (0, false) => "without mail; -v lists them".to_owned(),
            (1, _) if skipped == 1 => "it may hold mail, see above".to_owned(),
            (1, _) => "1 of them may hold mail, see above".to_owned(),
            (n, _) => format!("{} of them may hold mail, see above", grouped(n as u64)),
        };
        (skipped > 0).then(|| format!("{files} skipped: {mail}"))
    }

    /// Returns the table as JSON.
    pub(super) fn folders(&self) -> Vec<Value> {
        let folder = |row: &FolderOutcome| {
            let FolderOutcome { entry: TreeEntry { mailbox, name, .. }, totals, failed, .. } = row;
            let mut keys = json!({
                "folder": name.folder.to_string(),
                "directory": display_path(&name.directory),
                "source": display_path(&mailbox.path),
                "source_folder": mailbox.folder.to_string(),
                "renamed": name.rename_reason,
                "failed": failed,
            });
            if let Value::Object(keys) = &mut keys {
                keys.extend(FolderCounts::from(totals).json());
            }
            keys
        };
        self.outcome.folders.iter().map(folder).collect()
    }
}

/// The parts of a name that could not be kept.
fn renamed(row: &FolderOutcome, layout: Layout) -> Option<Finding> {
    let TreeEntry { mailbox, name, .. } = &row.entry;
    let why = match name.rename_reason {
        Some(why) => why,
        None if name.directory.as_os_str().as_bytes().contains(&b'\\') => match layout {
            Layout::MaildirPlusPlus => "Maildir++ cannot represent its name",
            Layout::Fs | Layout::Mboxes | Layout::MessageFiles => "a file cannot have its name",
        },
        None => return None,
    };
    let message = format!("{} is called {}: {why}", mailbox.folder, display_path(&name.directory));
    Some(Finding::new(Code::FolderRenamed, message))
}
