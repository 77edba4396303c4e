//! Folders of a tree: which ones a command means, and what was skipped.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::mailbox_arg::MailboxArg;
use crate::cli::ui::Reporter;
use crate::convert::tree::FolderMapping;
use crate::mailbox::text::grouped_plural;
use crate::mailbox::tree::walk::SkippedEntry;
use crate::mailbox::tree::{Folder, Tree};
use crate::mailbox::{Code, Error, Finding, Result};

/// How folders of a source correspond to folders of the destination.
#[derive(Args, Debug)]
pub(crate) struct FolderArgs {
    /// One folder for everything, such as Archive/2019
    ///
    /// Levels are separated by slashes, or without one by dots.
    #[arg(long, value_name = "FOLDER", value_parser = parse_folder, help_heading = "Trees")]
    pub(crate) into: Option<Folder>,
    /// New name for a folder and those in it; repeatable
    ///
    /// For example --map 'Sent Items=Sent'.
    #[arg(long, value_name = "FROM=TO", value_parser = parse_map, help_heading = "Trees")]
    pub(crate) map: Vec<(Folder, Folder)>,
    /// Follow symbolic links inside a tree, never out of it
    #[arg(long, hide_short_help = true, help_heading = "Trees")]
    pub(crate) follow: bool,
}

impl FolderArgs {
    /// Reports whether the user has assigned folders.
    pub(crate) fn is_used(&self) -> bool {
        self.into.is_some() || !self.map.is_empty()
    }

    /// Converts the options for the library.
    pub(crate) fn mapping(&self) -> FolderMapping {
        FolderMapping { into: self.into.clone(), map: self.map.clone() }
    }
}

fn parse_folder(text: &str) -> Result<Folder, String> {
    Folder::parse(text.as_bytes()).map_err(|reason| format!("{reason}; a folder is such as Archive/2019"))
}

fn parse_map(text: &str) -> Result<(Folder, Folder), String> {
    let (from, to) =
        text.split_once('=').ok_or("two folders with = between them, such as 'Sent Items=Sent'")?;
    Ok((parse_folder(from)?, parse_folder(to)?))
}

/// Fails if a tree contains neither a mailbox nor a file that may be one.
pub(crate) fn refuse_empty(tree: &mut Tree, root: &Path) -> Result<()> {
    if !has_no_mail(tree) {
        return Ok(());
    }
    Err(tree.refused.pop().unwrap_or_else(|| {
        let what = if tree.root == root { "directory" } else { "archive" };
        Error::not_a_mailbox(root, format!("there is no mailbox in this {what}"))
    }))
}

/// Reports whether a tree contains neither a mailbox nor a file that may be one.
pub(crate) fn has_no_mail(tree: &Tree) -> bool {
    tree.mailboxes.is_empty() && tree.skipped.iter().all(|skipped| !skipped.may_be_mail)
}

/// Returns the error about sources with files that may be mail, of which none can be read. Nothing is created for them.
pub(crate) fn nothing_read(sources: &[MailboxArg]) -> Error {
    let others = match sources.len() as u64 {
        1 => String::new(),
        count => format!(" and in {}", grouped_plural(count - 1, "more source")),
    };
    let reason = format!("nothing in it{others} can be read; each file that may hold mail is listed");
    Error::not_a_mailbox(&sources[0].path, reason)
}

/// Reports the files of a tree that were skipped or are doubtful.
pub(crate) fn report_skipped(tree: &Tree, reporter: &mut Reporter) {
    tree.refused.iter().for_each(|error| reporter.error(error));
    skipped_findings(tree).into_iter().for_each(|(path, finding)| reporter.findings(&path, &[finding]));
}

/// Returns the findings about files of a tree that were skipped or are doubtful.
pub(crate) fn skipped_findings(tree: &Tree) -> Vec<(PathBuf, Finding)> {
    let mut findings = Vec::new();
    for path in &tree.ambiguous {
        let finding = Finding::new(
            Code::TreeMessage,
            "begins with a header, so it was read as one message, though lines in it look like separators",
        );
        findings.push((path.clone(), finding.with_hint("write mbox: before its path to read it as an mbox")));
    }
    if let [first, others @ ..] = &tree.repeated[..] {
        let members = match others.len() as u64 {
            0 => "was read before, under the same name and byte for byte".to_owned(),
            more => format!(
                "and {} were read before, under the same names and byte for byte",
                grouped_plural(more, "more member")
            ),
        };
        findings.push((first.clone(), Finding::new(Code::ArchiveRepeated, members)));
    }
    findings.extend(tree.skipped.iter().map(|skipped| (skipped.path.clone(), finding(skipped))));
    findings
}

fn finding(skipped: &SkippedEntry) -> Finding {
    let code = if skipped.may_be_mail { Code::TreeMailSkipped } else { Code::TreeSkipped };
    let finding = Finding::new(code, format!("skipped: {}", skipped.reason));
    match &skipped.hint {
        Some(mend) => finding.with_hint(mend.clone()),
        None => finding,
    }
}

/// Raises the limit on open files as far as possible, and returns it.
pub(crate) fn raise_open_file_limit() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let target = limit.maximum.map_or(8192, |most| most.min(8192));
    let raised = Rlimit { current: Some(target), maximum: limit.maximum };
    let current = limit.current.unwrap_or(8192);
    let now = if current < target && setrlimit(Resource::Nofile, raised).is_ok() { target } else { current };
    usize::try_from(now).unwrap_or(usize::MAX)
}
