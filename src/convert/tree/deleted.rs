//! Mail for a folder that the user deleted. It does not bring the folder back.

use std::path::Path;

use super::{Conversion, FolderOutcome, TreeEntry};
use crate::convert::copy::source_state;
use crate::convert::plan::plan;
use crate::convert::{Input, NameTable, Report, SourceDetails, SourceHash, Totals};
use crate::mailbox::maildir::{Entry, MaildirReader};
use crate::mailbox::manifest::{ByteCounts, Digest, SourceState};
use crate::mailbox::mbox::Variant;
use crate::mailbox::source::Source;
use crate::mailbox::text::grouped_plural;
use crate::mailbox::tree::MailboxKind;
use crate::mailbox::{Code, Context, Finding, Result, display_path};

impl Conversion<'_> {
    /// Counts the mail of a mailbox whose folder the user deleted. `known` is its state when it was converted. Mail that
    /// was there then is not missing: the user deleted it. Other mail is skipped, which is an error.
    pub(super) fn count_deleted(
        &self,
        entry: &TreeEntry,
        known: Option<SourceState>,
        context: &Context<'_>,
        outcome: &mut FolderOutcome,
    ) -> Result<()> {
        let path = &entry.mailbox.path;
        let new = match &entry.mailbox.kind {
            MailboxKind::Mbox => {
                let input = (self.options.open)(path, None)?;
                let known = known.map_or(0, |known| known_bytes(&input.source, known));
                self.count_file(&input, known, context, outcome)?
            }
            MailboxKind::Messages(files) => {
                let mut new = 0;
                for file in files {
                    let input = (self.options.open)(file, Some(Variant::Rfc822))?;
                    let size = input.source.raw().len() as u64;
                    outcome.add_state(SourceState { size, blake3: SourceHash::new(&input.source).whole() });
                    new += self.count_file(&input, 0, context, outcome)?;
                }
                count_known(new, known.is_some() && outcome.whole_state() == known, &mut outcome.totals)
            }
            MailboxKind::Maildir => {
                let reader = MaildirReader::open(path, context.now)?;
                let entries = reader.list()?.messages;
                let selected = |entry: &Entry| reader.is_selected(entry, self.options.import.selection);
                let selected = entries.iter().map(selected).collect::<Result<Vec<bool>>>()?;
                let new = selected.iter().filter(|selected| **selected).count() as u64;
                outcome.add_details(SourceDetails::collect(&reader, &entries, context)?);
                let bytes = entries.iter().map(|entry| reader.size(entry)).sum();
                outcome.totals = Totals {
                    sources: 1,
                    messages_found: entries.len() as u64,
                    skipped: new,
                    not_selected: entries.len() as u64 - new,
                    bytes_source: bytes,
                    bytes: ByteCounts { messages: bytes, ..ByteCounts::default() },
                    ..Totals::default()
                };
                count_known(new, known == Some(source_state(&entries)), &mut outcome.totals)
            }
        };
        outcome.totals.check();
        if new > 0 {
            let folder = self.destination.path.join(&entry.name.directory);
            let finding = skipped_finding(new, outcome.totals.already_present > 0, &folder);
            outcome.reports.push(Report::new(path, vec![finding]));
        }
        Ok(())
    }

    /// Counts a file, and returns how many of its messages come after byte `known`.
    fn count_file(
        &self,
        input: &Input,
        known: u64,
        context: &Context<'_>,
        outcome: &mut FolderOutcome,
    ) -> Result<u64> {
        let (mbox, mut report) = input.read(context);
        let (mbox, import) = (mbox?, self.options.import);
        let plan_options = import.date_options(context.now, input.source.mtime());
        let on_progress = |_| context.cancel.check();
        let plan = plan(&input.source, &mbox, plan_options, &mut NameTable::default(), &on_progress)?;
        if let Some(details) = &mut report.details {
            details.add_messages(&input.source, &mbox, &plan);
            outcome.add_details(report.details.take());
        }
        Ok(outcome.totals.add_deleted(&mbox, plan, known))
    }
}

/// Counts messages that were skipped as present if they are known. Returns how many are not.
fn count_known(messages: u64, are_known: bool, totals: &mut Totals) -> u64 {
    if !are_known {
        return messages;
    }
    totals.set_present(messages);
    0
}

/// Returns how many bytes of a file were there when it had this state. They are its beginning, or unknown.
fn known_bytes(source: &Source, known: SourceState) -> u64 {
    let raw = source.raw();
    let is_start = |&size: &usize| size <= raw.len() && Digest::of(&raw[..size]) == known.blake3;
    usize::try_from(known.size).ok().filter(is_start).map_or(0, |size| size as u64)
}

fn skipped_finding(count: u64, is_known: bool, folder: &Path) -> Finding {
    let messages = grouped_plural(count, "message");
    let folder = display_path(folder);
    let message = match is_known {
        true => format!("{messages} new since its folder {folder} was deleted: skipped"),
        false => format!(
            "{messages} skipped: its folder {folder} was deleted, and which of them are new is unknown"
        ),
    };
    Finding::new(Code::FolderMailSkipped, message).with_hint("--new-source converts all of its mail again")
}
