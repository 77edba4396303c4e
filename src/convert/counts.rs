//! Totals of a conversion. Every byte of the sources is in exactly one of the byte counts.

use std::ops::AddAssign;
use std::path::PathBuf;

use super::planned::Disposition;
use super::{MailStats, Plan, PlannedMessage, UidCounts};
use crate::mailbox::manifest::{ByteCounts, SectionFooter};
use crate::mailbox::mbox::Mbox;
use crate::mailbox::message::Origin;

/// The counts of a run, or of one of its sources.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) sources: u64,
    /// Messages found, including pseudo messages.
    pub(crate) messages_found: u64,
    /// Messages written, or in a dry run those to write.
    pub(crate) written: u64,
    /// Messages that the destination had.
    pub(crate) already_present: u64,
    pub(crate) duplicates: u64,
    /// Messages skipped for another reason.
    pub(crate) skipped: u64,
    /// Messages that the user did not select.
    pub(crate) not_selected: u64,
    /// Size of the sources, uncompressed.
    pub(crate) bytes_source: u64,
    pub(crate) bytes: ByteCounts,
    /// Bytes that were not converted because the run ended early.
    pub(crate) bytes_not_reached: u64,
    /// Line ends changed by `--eol`, or because the source has only CRs.
    pub(crate) line_ends_changed: u64,
    /// Links written, or to write: one for each further folder of a message.
    pub(crate) links: u64,
    /// Bytes that the files take on the disk; known once the run has checked that they fit.
    pub(crate) bytes_needed: u64,
    /// The messages written.
    pub(crate) mail: MailStats,
    /// Their UIDs.
    pub(crate) uids: UidCounts,
}

impl Totals {
    /// Returns the totals of a run that failed after `published` messages had become visible.
    pub(crate) fn not_reached(sources: usize, bytes_source: u64, published: u64) -> Totals {
        Totals {
            sources: sources as u64,
            bytes_source,
            bytes_not_reached: bytes_source,
            messages_found: published,
            written: published,
            ..Totals::default()
        }
    }

    /// Adds a source that was converted before.
    pub(crate) fn add_known(&mut self, size: u64, footer: &SectionFooter) {
        self.messages_found += footer.messages;
        self.already_present += footer.mail;
        self.not_selected += footer.not_selected;
        self.skipped += footer.messages - footer.mail - footer.not_selected;
        self.bytes_source += size;
        self.bytes += footer.bytes;
    }

    /// Adds a source that was planned.
    pub(crate) fn add_source(&mut self, mbox: &Mbox<'_>, plan: &Plan) {
        mbox.check_conservation().unwrap_or_else(|why| panic!("{why}"));
        let messages = &plan.messages;
        self.sources += 1;
        for message in messages {
            self.line_ends_changed += u64::from(message.eols);
            self.links += (message.missing_folders().len() as u64).saturating_sub(1);
            match message.disposition {
                Disposition::Write => {
                    self.written += 1;
                    let date = (message.origin != Origin::None).then_some(message.epoch);
                    self.mail.add_message(message.status.flags, date);
                }
                Disposition::Present => self.already_present += 1,
                Disposition::Duplicate => self.duplicates += 1,
                Disposition::Pseudo => self.skipped += 1,
                Disposition::Deleted => {
                    self.skipped += 1;
                    self.mail.deleted_skipped += 1;
                }
                Disposition::NotSelected => self.not_selected += 1,
            }
        }
        self.mail += &plan.assumed;
        self.messages_found += messages.len() as u64;
        self.bytes_source += mbox.text().len() as u64;
        self.bytes += byte_counts(mbox, messages);
    }

    /// Adds an mbox whose folder the user deleted. Mail before byte `known` was there before; other mail is skipped.
    /// Returns the number of the latter.
    pub(crate) fn add_deleted(&mut self, mbox: &Mbox<'_>, mut plan: Plan, known: u64) -> u64 {
        let mut new = 0;
        for (planned, extent) in plan.messages.iter_mut().zip(mbox.messages()) {
            if planned.disposition == Disposition::Write {
                new += u64::from(extent.at >= known);
                planned.disposition = Disposition::Present;
            }
        }
        plan.assumed = MailStats::default();
        self.add_source(mbox, &plan);
        self.already_present -= new;
        self.skipped += new;
        new
    }

    /// Counts skipped messages as present.
    pub(crate) fn set_present(&mut self, messages: u64) {
        self.already_present += messages;
        self.skipped -= messages;
    }

    /// Panics unless nothing is counted twice and nothing is missing. A mismatch is our bug: a migration must
    /// abort rather than report success.
    pub(crate) fn check(&self) {
        assert!(self.balances(), "the sums do not add up: {self:?}");
    }

    fn balances(&self) -> bool {
        let reached = self.bytes_source.checked_sub(self.bytes_not_reached);
        let accounted =
            self.written + self.already_present + self.duplicates + self.skipped + self.not_selected;
        self.messages_found == accounted && reached.is_some_and(|reached| self.bytes.balances(reached))
    }
}

impl AddAssign<&Totals> for Totals {
    fn add_assign(&mut self, other: &Totals) {
        self.sources += other.sources;
        self.messages_found += other.messages_found;
        self.written += other.written;
        self.already_present += other.already_present;
        self.duplicates += other.duplicates;
        self.skipped += other.skipped;
        self.not_selected += other.not_selected;
        self.bytes_source += other.bytes_source;
        self.bytes += other.bytes;
        self.bytes_not_reached += other.bytes_not_reached;
        self.line_ends_changed += other.line_ends_changed;
        self.links += other.links;
        self.bytes_needed += other.bytes_needed;
        self.mail += &other.mail;
        self.uids += other.uids;
    }
}

/// Classifies the bytes of an mbox. Separators are counted where they are and not as the remainder: a wrong
/// extent must not vanish in a subtraction.
pub(crate) fn byte_counts(mbox: &Mbox<'_>, messages: &[PlannedMessage]) -> ByteCounts {
    let junk = mbox.boundaries.junk.iter().map(|range| range.end - range.start).sum();
    let mut bytes = ByteCounts { junk, ..ByteCounts::default() };
    let mut end = 0;
    let mut between = 0;
    for (message, extent) in messages.iter().zip(mbox.messages()) {
        between += extent.at - end;
        end = extent.end;
        bytes.from_lines += extent.start - extent.at;
        bytes.quoting += u64::from(message.quotes);
        bytes.messages += extent.end - extent.start - u64::from(message.quotes);
    }
    between += mbox.text().len() as u64 - end;
    bytes.separators = between - junk;
    bytes
}

/// A folder that messages belong to, and how many. A message in several folders counts in each.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FolderCount {
    /// The name to display, with a slash between levels: `INBOX` is the Maildir itself.
    pub(crate) name: String,
    /// The directory, if its label is not the folder's name.
    pub(crate) directory: Option<PathBuf>,
    pub(crate) found: u64,
    /// Messages written into it, or in a dry run those to write.
    pub(crate) written: u64,
    pub(crate) already_present: u64,
    pub(crate) duplicates: u64,
    pub(crate) skipped: u64,
    pub(crate) not_selected: u64,
}

impl FolderCount {
    /// Returns the list of a conversion into the Maildir itself.
    pub(crate) fn inbox(totals: &Totals) -> Vec<FolderCount> {
        vec![FolderCount {
            name: "INBOX".to_owned(),
            directory: None,
            found: totals.messages_found,
            written: totals.written,
            already_present: totals.already_present,
            duplicates: totals.duplicates,
            skipped: totals.skipped,
            not_selected: totals.not_selected,
        }]
    }

    /// Adds a message, which is written into this folder if `is_missing` there.
    pub(super) fn add(&mut self, disposition: Disposition, is_missing: bool) {
        self.found += 1;
        match disposition {
            Disposition::Write if is_missing => self.written += 1,
            Disposition::Write | Disposition::Present => self.already_present += 1,
            Disposition::Duplicate => self.duplicates += 1,
            Disposition::Pseudo | Disposition::Deleted => self.skipped += 1,
            Disposition::NotSelected => self.not_selected += 1,
        }
    }
}
