//! A run of `mailferry inspect`, and what all of its forms need.

use serde_json::Value;

use super::args::InspectArgs;
use crate::cli::args::CommonArgs;
use crate::cli::folders::{raise_open_file_limit, refuse_empty, report_skipped};
use crate::cli::mailbox_arg::MailboxArg;
use crate::cli::open::Opener;
use crate::cli::ui::{Exit, ProgressDisplay, Reporter};
use crate::mailbox::fs::files;
use crate::mailbox::mbox::{Mbox, ReadOptions};
use crate::mailbox::source::Source;
use crate::mailbox::text::grouped_plural;
use crate::mailbox::tree::{Folder, MailboxKind, Tree, TreeMailbox};
use crate::mailbox::{Context, Result};

/// What was shown.
#[derive(Default)]
pub(super) struct Shown {
    pub messages: u64,
    /// More keys of the summary.
    pub keys: Value,
    /// The exit if a mailbox could not be read.
    pub unfinished: Option<Exit>,
}

impl Shown {
    pub(super) fn messages(count: usize) -> Shown {
        Shown { messages: count as u64, ..Shown::default() }
    }
}

/// A run of the command.
pub(super) struct Inspection<'a> {
    pub args: &'a InspectArgs,
    pub mailbox: MailboxArg,
    pub opener: &'a Opener<'a>,
    pub watcher: &'a ProgressDisplay,
    pub context: &'a Context<'a>,
}

impl Inspection<'_> {
    /// Reads the mailbox as an mbox.
    pub(super) fn read<'s>(&self, source: &'s Source, keep_candidates: bool) -> Result<Mbox<'s>> {
        let variant = self.mailbox.variant();
        let options = ReadOptions {
            variant,
            allow_empty: self.args.boundaries,
            keep_candidates,
            ..ReadOptions::default()
        };
        let read = Mbox::read(source, &options, self.context);
        self.watcher.finish();
        read
    }

    /// Lists the mailboxes in the directory, or else the named one.
    pub(super) fn mailboxes(&self, reporter: &mut Reporter) -> Result<(Vec<TreeMailbox>, Option<Exit>)> {
        let path = &self.mailbox.path;
        let is_tree =
            !self.mailbox.is_standard_stream() && files::is_dir(path) || self.mailbox.is_archive()?;
        if !is_tree {
            let one = TreeMailbox { path: path.clone(), folder: Folder::INBOX, kind: MailboxKind::Mbox };
            return Ok((vec![one], None));
        }
        raise_open_file_limit();
        let mut tree = self.opener.walk(path, false)?;
        refuse_empty(&mut tree, path)?;
        let unfinished = tree.refused.first().map(Exit::of);
        report_skipped_files(&tree, &self.args.common, reporter);
        Ok((tree.mailboxes, unfinished))
    }
}

/// Reports the files of a tree that were skipped. Without `-v`, a line on standard error counts those that may be mail.
fn report_skipped_files(tree: &Tree, common: &CommonArgs, reporter: &mut Reporter) {
    if reporter.is_json() || common.verbose {
        return report_skipped(tree, reporter);
    }
    tree.refused.iter().for_each(|error| reporter.error(error));
    let may_be_mail = tree.skipped.iter().filter(|skipped| skipped.may_be_mail).count() as u64;
    if may_be_mail > 0 {
        reporter.errors += may_be_mail;
        let files = grouped_plural(may_be_mail, "file");
        reporter.note(&format!("{files} not read, which may be mail; list with inspect -v"));
    }
}
