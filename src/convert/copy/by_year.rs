//! A copy of a Maildir into a folder for each year. Each folder is a copy of its own, of the messages of that year.

use std::path::Path;

use super::copy_entries;
use super::source::SourceMaildir;
use crate::convert::{
    Abort, DestinationOptions, FolderCount, Outcome, Report, SplitOptions, Totals, UidPolicy, YearSplit,
};
use crate::mailbox::fs::files;
use crate::mailbox::maildir::{Entry, create};
use crate::mailbox::manifest::ByteCounts;
use crate::mailbox::message::Selection;
use crate::mailbox::tree::folder::maildirpp_directory;
use crate::mailbox::{Code, Context, Error, Finding, NoEvents, Result};

/// The messages of a year.
struct YearOfMaildir {
    entries: Vec<Entry>,
    /// The year, as far as it is selected.
    selection: Selection,
}

/// The messages of a Maildir by year.
struct DividedMaildir {
    years: Vec<YearOfMaildir>,
    split: YearSplit,
    /// The counts of messages that are in none of the years.
    others: Totals,
    findings: Vec<Finding>,
}

/// Copies a Maildir without its folders, each message into the folder of its year. `options` are those of the Maildir
/// that has these folders.
pub(crate) fn copy_by_year(
    source: &Path,
    selection: Selection,
    split: &SplitOptions,
    options: &DestinationOptions<'_>,
    context: &Context<'_>,
) -> Outcome {
    if let Err(error) = refuse_lost_uids(source, selection, split, options, context) {
        return Outcome::new(Err(Abort::from(error)), 1, 0);
    }
    let divided = match divide(source, selection, split, context).and_then(|divided| {
        // A dry run creates nothing.
        if !options.dry_run {
            create::open_or_create(options.path)?;
        }
        Ok(divided)
    }) {
        Ok(divided) => divided,
        Err(error) => return Outcome::new(Err(Abort::from(error)), 1, 0),
    };
    let DividedMaildir { years, split: numbers, others: mut totals, findings } = divided;
    let (mut report, mut folders) = (Report::new(source, findings), Vec::new());
    let mut order: Vec<usize> = (0..years.len()).filter(|&n| !years[n].entries.is_empty()).collect();
    order.sort_by_key(|&n| numbers.name(n));
    let mut error = None;
    for n in order {
        let YearOfMaildir { entries, selection } = &years[n];
        let levels = split.levels(numbers.name(n));
        let directory = options.path.join(maildirpp_directory(&levels));
        let is_missing = options.dry_run && !files::is_dir(options.path);
        let path = if is_missing { options.path } else { &directory };
        let options = DestinationOptions { path, ..options.clone() };
        let copied = copy_entries(source, Some(entries.clone()), *selection, &options, context);
        totals += &Totals { sources: 0, ..copied.totals };
        report.findings.extend(copied.reports.into_iter().flat_map(|report| report.findings));
        let Totals { messages_found: found, written, already_present, skipped, .. } = copied.totals;
        let name = levels.join("/");
        folders.push(FolderCount {
            name,
            found,
            written,
            already_present,
            skipped,
            ..FolderCount::default()
        });
        error = copied.error;
        if error.is_some() {
            break;
        }
    }
    keep_one(&mut report.findings, Code::SourceKnown, folders.iter().all(|folder| folder.written == 0));
    keep_one(&mut report.findings, Code::IndexesLeft, true);
    Outcome { reports: vec![report], totals, folders, error }
}

/// Looks at all years before anything is written, if the UIDs are required.
///
/// # Errors
/// [`Error::UidsNotKept`] if a message cannot keep its UID.
fn refuse_lost_uids(
    source: &Path,
    selection: Selection,
    split: &SplitOptions,
    options: &DestinationOptions<'_>,
    context: &Context<'_>,
) -> Result<()> {
    if options.uids.policy != UidPolicy::Require || options.dry_run {
        return Ok(());
    }
    let options = DestinationOptions { dry_run: true, ..options.clone() };
    let context = Context { events: &NoEvents, ..*context };
    match copy_by_year(source, selection, split, &options, &context).error {
        Some(error @ Error::UidsNotKept { .. }) => Err(error),
        // The copy reports what else is wrong.
        _ => Ok(()),
    }
}

/// Keeps one finding of a kind, or none. Each year has one, and they are about the Maildir.
fn keep_one(findings: &mut Vec<Finding>, code: Code, mut is_kept: bool) {
    findings.retain(|finding| finding.code != code || std::mem::take(&mut is_kept));
}

/// Divides the messages of a Maildir by their years.
fn divide(
    source: &Path,
    selection: Selection,
    split: &SplitOptions,
    context: &Context<'_>,
) -> Result<DividedMaildir> {
    let SourceMaildir { files, entries } = SourceMaildir::open(source, context.now)?;
    let mut divided = DividedMaildir {
        years: Vec::new(),
        split: YearSplit::new(split.zone.clone()),
        others: Totals { sources: 1, ..Totals::default() },
        findings: Vec::new(),
    };
    for entry in entries {
        context.cancel.check()?;
        let date = match files.find_date(&entry)? {
            Ok((date, _)) => date,
            Err(none) => {
                let finding = none.finding(files.path(&entry));
                let is_found = finding.code != Code::MessageExpunged;
                divided.others.messages_found += u64::from(is_found);
                divided.others.skipped += u64::from(is_found);
                divided.findings.push(finding);
                continue;
            }
        };
        if !selection.contains(date) {
            let size = files.size(&entry);
            divided.others += &Totals {
                messages_found: 1,
                not_selected: 1,
                bytes_source: size,
                bytes: ByteCounts { messages: size, ..ByteCounts::default() },
                ..Totals::default()
            };
            continue;
        }
        // A date that is not real is 0.
        let number = divided.split.number((date != 0).then_some(date));
        if number == divided.years.len() {
            let selection = selection.intersection(divided.split.selection(number));
            divided.years.push(YearOfMaildir { entries: Vec::new(), selection });
        }
        divided.years[number].entries.push(entry);
    }
    Ok(divided)
}
