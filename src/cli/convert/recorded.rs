//! What a report in a file has of the sources, folders and messages of a conversion.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use super::ConvertArgs;
use super::table::FolderRow;
use super::tree::TreeReport;
use crate::cli::mailbox_arg::MailboxArg;
use crate::cli::run_report::{add_boundaries, add_messages, hex, manifest_row};
use crate::convert::tree::FolderOutcome;
use crate::convert::{Outcome, Report, SourceDetails, Totals};
use crate::mailbox::display_path;
use crate::mailbox::tree::MailboxKind;
use crate::report::{self, ByteRow, ManifestRow, RunReport, SourceRow};

/// Returns the bytes of all sources.
pub(super) fn bytes(totals: &Totals) -> ByteRow {
    ByteRow {
        source: totals.bytes_source,
        messages: totals.bytes.messages,
        from_lines: totals.bytes.from_lines,
        quoting: totals.bytes.quoting,
        separators: totals.bytes.separators,
        junk: totals.bytes.junk,
        not_reached: totals.bytes_not_reached,
    }
}

/// Returns the rows of sources of which nothing but the path is known.
pub(super) fn named(sources: &[MailboxArg]) -> Vec<SourceRow> {
    let row = |source: &MailboxArg| SourceRow { path: display_path(&source.path), ..SourceRow::default() };
    sources.iter().map(row).collect()
}

/// Returns the manifests of these Maildirs, relative to the destination.
fn manifests<'p>(
    args: &ConvertArgs,
    destination: &Path,
    maildirs: impl IntoIterator<Item = &'p Path>,
) -> Vec<ManifestRow> {
    let path = |maildir: &Path| args.manifest().path(&destination.join(maildir));
    maildirs.into_iter().filter_map(path).filter_map(|path| manifest_row(&path)).collect()
}

/// Returns the manifest of a Maildir that was written.
pub(super) fn manifest(args: &ConvertArgs, maildir: &Path) -> Vec<ManifestRow> {
    manifests(args, maildir, [Path::new("")])
}

/// Returns the manifests of the folders of a tree.
pub(super) fn tree_manifests(args: &ConvertArgs, root: &Path, tree: &TreeReport) -> Vec<ManifestRow> {
    if tree.layout.is_export() {
        return Vec::new();
    }
    let folders = tree.outcome.folders.iter().map(|folder| &*folder.entry.name.directory);
    let all: BTreeSet<&Path> = folders.chain([Path::new("")]).collect();
    manifests(args, root, all)
}

/// Returns what is known after an import, a copy or an export.
pub(super) fn of_outcome(outcome: &Outcome, sources: &[MailboxArg]) -> RunReport {
    let mut all = SourceDetails::default();
    let mut rows = Vec::new();
    let detailed = outcome.reports.iter().filter_map(|report| Some((report, report.details.as_deref()?)));
    for (report, details) in detailed {
        rows.push(source_row(report, details));
        all.add(details.clone());
    }
    if rows.len() < sources.len() {
        rows.extend(named(&sources[rows.len()..]));
    }
    if let [row] = &mut rows[..]
        && outcome.error.is_none()
    {
        // The sizes of messages in a Maildir are estimates until they are read.
        (row.bytes, row.messages) = (outcome.totals.bytes_source, outcome.totals.messages_found);
    }
    let folders = outcome.folders.iter().map(FolderRow::of_label).map(|row| row.counts.row(row.folder));
    with_details(RunReport { sources: rows, folders: folders.collect(), ..RunReport::default() }, all)
}

/// Returns what is known after the conversion of a tree.
pub(super) fn of_tree(tree: &TreeReport) -> RunReport {
    let mut all = SourceDetails::default();
    let outcomes = &tree.outcome.folders;
    outcomes
        .iter()
        .filter_map(|folder| folder.details.as_deref())
        .for_each(|details| all.add(details.clone()));
    // Several mailboxes may go into one folder.
    let (mut folders, mut numbers) = (Vec::<report::FolderRow>::new(), HashMap::new());
    for row in tree.rows() {
        let row = row.counts.row(row.folder);
        match numbers.get(&row.folder) {
            Some(&n) => add(&mut folders[n], &row),
            None => {
                numbers.insert(row.folder.clone(), folders.len());
                folders.push(row);
            }
        }
    }
    let sources = outcomes.iter().map(folder_source).collect();
    with_details(RunReport { sources, folders, ..RunReport::default() }, all)
}

fn with_details(mut report: RunReport, details: SourceDetails) -> RunReport {
    report.command = "convert".to_owned();
    add_messages(&mut report, details.messages);
    add_boundaries(&mut report, details.boundaries);
    report
}

fn source_row(report: &Report, details: &SourceDetails) -> SourceRow {
    SourceRow {
        path: display_path(&report.path),
        format: details.format.unwrap_or("unknown").to_owned(),
        bytes: details.size,
        messages: details.messages.all.messages,
        blake3: report.state.map(|state| hex(state.blake3)),
    }
}

fn folder_source(folder: &FolderOutcome) -> SourceRow {
    let variant = folder.details.as_ref().and_then(|details| details.format);
    SourceRow {
        path: display_path(&folder.entry.mailbox.path),
        format: match folder.entry.mailbox.kind {
            MailboxKind::Maildir => "Maildir",
            MailboxKind::Messages(_) => "files with a message each",
            MailboxKind::Mbox => variant.unwrap_or("unknown"),
        }
        .to_owned(),
        bytes: folder.totals.bytes_source,
        messages: folder.totals.messages_found,
        blake3: folder.file_digest().map(hex),
    }
}

fn add(sum: &mut report::FolderRow, row: &report::FolderRow) {
    sum.found += row.found;
    sum.written += row.written;
    sum.already_present += row.already_present;
    sum.duplicates += row.duplicates;
    sum.skipped += row.skipped;
    sum.not_selected += row.not_selected;
}
