//! A copy of a Maildir into a folder for each year. Each folder is a copy of its own, of the messages of that year.

use std::collections::HashSet;
use std::path::Path;

use super::copy_entries;
use super::source::SourceMaildir;
use crate::convert::{
    Abort, DestinationOptions, FolderCount, Outcome, Report, SplitOptions, Totals, UidPolicy, YearSplit,
};
use crate::mailbox::fs::files;
use crate::mailbox::maildir::{Entry, create};
use crate::mailbox::message::Selection;
use crate::mailbox::tree::folder::maildirpp_directory;
use crate::mailbox::{Code, Context, Error, Finding, NoEvents, Result};

/// The messages of a year.
struct YearOfMaildir {
    entries: Vec<Entry>,
    /// The year, as far as it is selected.
    selection: Selection,
    /// A message is selected.
    is_selected: bool,
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
    let mut order: Vec<usize> = (0..years.len()).collect();
    order.sort_by_key(|&n| numbers.name(n));
    let mut error = None;
    for n in order {
        let YearOfMaildir { entries, selection, is_selected } = &years[n];
        let levels = split.levels(numbers.name(n));
        let directory = options.path.join(maildirpp_directory(&levels));
        // A year of which nothing is selected is only counted.
        let dry_run = options.dry_run || !is_selected;
        let is_missing = dry_run && !files::is_dir(options.path);
        let path = if is_missing { options.path } else { &directory };
        let options = DestinationOptions { path, dry_run, ..options.clone() };
        let copied = copy_entries(source, Some(entries.clone()), *selection, &options, context);
        totals += &Totals { sources: 0, ..copied.totals };
        let found = copied.reports.into_iter().flat_map(|report| report.findings);
        report.findings.extend(found.filter(|found| *is_selected || found.code == Code::SourceKnown));
        let of_year = FolderCount::inbox(&copied.totals).into_iter();
        folders.extend(of_year.map(|count| FolderCount { name: levels.join("/"), ..count }));
        error = copied.error;
        if error.is_some() {
            break;
        }
    }
    // Each year has those that are about the source.
    let nothing_new = folders.iter().all(|folder| folder.written == 0);
    report.findings.retain(|finding| finding.code != Code::SourceKnown || nothing_new);
    let mut seen = HashSet::new();
    report
        .findings
        .retain(|finding| seen.insert((finding.code, finding.path.clone(), finding.message.clone())));
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
        let (epoch, origin) = match files.find_date(&entry)? {
            Ok(date) => date,
            Err(none) => {
                let finding = none.finding(files.path(&entry));
                let is_found = finding.code != Code::MessageExpunged;
                divided.others.messages_found += u64::from(is_found);
                divided.others.skipped += u64::from(is_found);
                divided.findings.push(finding);
                continue;
            }
        };
        let number = divided.split.number(epoch, origin, true);
        if number == divided.years.len() {
            let selection = selection.intersection(divided.split.selection(number));
            divided.years.push(YearOfMaildir { entries: Vec::new(), selection, is_selected: false });
        }
        divided.years[number].is_selected |= selection.contains(epoch);
        divided.years[number].entries.push(entry);
    }
    Ok(divided)
}
