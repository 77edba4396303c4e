//! A source that is ready to be written.

use std::ops::Range;

use super::maildir::{self, SourceMaildir};
use super::maildir_uids::UidEdit;
use super::tally::Tally;
use crate::convert::planned::Disposition;
use crate::convert::{Input, Plan, PlannedMessage, Totals, YearSplit};
use crate::mailbox::Result;
use crate::mailbox::manifest::ByteCounts;
use crate::mailbox::mbox::{Extent, Mbox};

/// A source that is ready to be written.
pub(super) enum ReadySource<'a> {
    Mbox { input: &'a Input, mbox: Mbox<'a>, plan: Plan, uid_edit: UidEdit },
    Maildir(SourceMaildir<'a>),
}

impl ReadySource<'_> {
    pub(super) fn sizes(&self) -> Vec<u64> {
        match self {
            ReadySource::Mbox { plan, .. } => {
                plan.messages.iter().map(|m| m.size_to_write().unwrap_or(0)).collect()
            }
            ReadySource::Maildir(maildir) => maildir.messages.iter().map(|m| m.size).collect(),
        }
    }

    /// Returns the number of the year of each message; None for one that is not written.
    pub(super) fn split(&self, years: &mut YearSplit) -> Result<Vec<Option<usize>>> {
        match self {
            ReadySource::Mbox { plan, .. } => {
                let number = |message: &PlannedMessage| {
                    let is_written = message.disposition == Disposition::Write;
                    is_written.then(|| years.number(message.epoch, message.origin, false))
                };
                Ok(plan.messages.iter().map(number).collect())
            }
            ReadySource::Maildir(maildir) => {
                let number = |message: &maildir::SourceMessage| {
                    let date = maildir.files.find_date(&message.entry)?;
                    let (epoch, origin) = date.unwrap_or_default();
                    Ok(Some(years.number(epoch, origin, true)))
                };
                maildir.messages.iter().map(number).collect()
            }
        }
    }

    /// Releases the pages of messages that are rendered, and of all before them.
    pub(super) fn release(&self, messages: Range<usize>) {
        if let ReadySource::Mbox { input, mbox, .. } = self {
            input.source.release(Extent::span(&mbox.messages()[messages]));
        }
    }

    pub(super) fn check_unchanged(&self) -> Result<()> {
        match self {
            ReadySource::Mbox { input, .. } => input.source.check_unchanged(),
            ReadySource::Maildir(_) => Ok(()),
        }
    }

    pub(super) fn totals(&mut self, tally: &Tally) -> Totals {
        match self {
            ReadySource::Mbox { mbox, plan, .. } => {
                for &number in &tally.present {
                    plan.messages[number].disposition = Disposition::Present;
                }
                let mut totals = Totals::default();
                totals.add_source(mbox, plan);
                assert_eq!(totals.written, tally.messages, "a message is missing");
                totals.line_ends_changed = tally.line_ends;
                totals
            }
            ReadySource::Maildir(maildir) => {
                let present = tally.present.len() as u64;
                let found = tally.messages + present + tally.skipped;
                let bytes = tally.bytes + maildir.not_selected_bytes;
                assert_eq!(maildir.messages.len() as u64, found + tally.removed, "a message is missing");
                Totals {
                    sources: 1,
                    messages_found: found + maildir.not_selected,
                    written: tally.messages,
                    already_present: present,
                    skipped: tally.skipped,
                    not_selected: maildir.not_selected,
                    bytes_source: bytes,
                    bytes: ByteCounts { messages: bytes, ..ByteCounts::default() },
                    line_ends_changed: tally.line_ends,
                    mail: tally.mail,
                    ..Totals::default()
                }
            }
        }
    }
}
