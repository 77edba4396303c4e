//! Messages that a mail reader moves between the Maildirs of a tree while they are converted.

use super::entry::Round;
use super::listed::ListedFolders;
use super::{Conversion, FolderOutcome, TreeEntry, TreeOutcome};
use crate::mailbox::maildir::{FolderVersion, MaildirReader};
use crate::mailbox::tree::MailboxKind;
use crate::mailbox::{Code, Result};

/// Conversions of a folder that keeps changing.
const ROUNDS: usize = 5;

impl Conversion<'_> {
    /// Returns the version of a Maildir, before it is listed. Its conversion reports what cannot be read.
    pub(super) fn version(&self, entry: &TreeEntry) -> Option<FolderVersion> {
        let is_maildir = entry.mailbox.kind == MailboxKind::Maildir;
        let reader = || MaildirReader::open_readable(&entry.mailbox.path, self.context.now)?.version();
        if is_maildir { reader().ok() } else { None }
    }

    /// Converts the Maildirs again that changed since they were listed: a message that moved from a folder that was not
    /// listed yet to one that was is in neither listing. Only messages with new names are written. An mbox gets them at
    /// its end.
    pub(super) fn convert_moved(
        &self,
        entries: &[TreeEntry],
        mut versions: Vec<Option<FolderVersion>>,
        outcome: &mut TreeOutcome,
        listed: &mut ListedFolders,
    ) -> Result<()> {
        if self.destination.dry_run {
            return Ok(());
        }
        for _ in 1..ROUNDS {
            let is_changed = |n: &usize| {
                let is_open = versions[*n].is_some() && !outcome.folders[*n].failed;
                is_open && self.version(&entries[*n]) != versions[*n]
            };
            let changed: Vec<usize> = (0..entries.len()).filter(is_changed).collect();
            if changed.is_empty() {
                break;
            }
            for n in changed {
                versions[n] = self.version(&entries[n]);
                let (again, error) = self.convert_batch(&entries[n..=n], Round::Again);
                let is_export = self.options.layout.is_export();
                again.into_iter().for_each(|again| outcome.folders[n].add_again(again, is_export));
                self.list_folders(&outcome.folders[n..=n], listed)?;
                error.map_or(Ok(()), Err)?;
            }
        }
        Ok(())
    }
}

impl FolderOutcome {
    /// Adds the outcome of a further conversion of the same Maildir. An export counts only what it adds.
    fn add_again(&mut self, again: FolderOutcome, is_export: bool) {
        let (before, now) = (&self.totals, &again.totals);
        self.failed |= again.failed;
        self.state = again.state;
        if is_export {
            let sources = self.totals.sources;
            self.totals += &again.totals;
            self.totals.sources = sources;
        } else if now.written > 0 {
            let written = before.written + now.written;
            let already_present = now.messages_found.saturating_sub(written + now.skipped);
            let messages_found = written + already_present + now.skipped;
            let mut totals = *now;
            (totals.written, totals.already_present, totals.messages_found) =
                (written, already_present, messages_found);
            self.totals = totals;
        }
        match is_export {
            true => self.add_details(again.details),
            false if again.totals.written > 0 => self.details = again.details,
            false => {}
        }
        let is_new = |code: Code| code != Code::SourceKnown && code != Code::IndexesLeft;
        for mut report in again.reports {
            report.findings.retain(|finding| is_new(finding.code));
            self.reports.extend((!report.findings.is_empty()).then_some(report));
        }
    }
}
