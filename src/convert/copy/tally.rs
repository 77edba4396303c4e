//! The counts and findings of a copy.

use super::letters::{self, MappedInfo};
use super::plan::CopyPlan;
use crate::convert::{MailStats, Totals};
use crate::mailbox::maildir::KeywordSet;
use crate::mailbox::manifest::ByteCounts;
use crate::mailbox::{Code, Finding};

/// Counts of messages that are done.
#[derive(Debug, Default)]
pub(super) struct CopyTally {
    pub(super) written: u64,
    pub(super) present: u64,
    skipped: u64,
    pub(super) bytes: u64,
    /// The messages written.
    pub(super) mail: MailStats,
    /// The latest modification time.
    pub(super) newest: Option<i64>,
    /// Messages with keywords that got no letter.
    without_letter: u64,
    /// The letters of these keywords in the source.
    unmapped: KeywordSet,
    findings: Vec<Finding>,
}

impl CopyTally {
    pub(super) fn add(&mut self, other: CopyTally) {
        self.written += other.written;
        self.present += other.present;
        self.skipped += other.skipped;
        self.bytes += other.bytes;
        self.mail += &other.mail;
        self.newest = self.newest.max(other.newest);
        self.without_letter += other.without_letter;
        self.unmapped = self.unmapped | other.unmapped;
        self.findings.extend(other.findings);
    }

    /// Counts a message whose keywords may have no letter in the destination.
    pub(super) fn note_unmapped(&mut self, info: &MappedInfo) {
        self.without_letter += u64::from(!info.unmapped.is_empty() || info.lacks_letter);
        self.unmapped = self.unmapped | info.unmapped;
    }

    pub(super) fn skip(&mut self, finding: Finding) {
        // A message that was expunged meanwhile is not among the messages found.
        self.skipped += u64::from(finding.code != Code::MessageExpunged);
        self.findings.push(finding);
    }

    pub(super) fn totals(&self, plan: &CopyPlan) -> Totals {
        let bytes = plan.known_bytes + plan.not_selected_bytes + self.bytes;
        Totals {
            sources: 1,
            messages_found: plan.known + plan.not_selected + self.written + self.present + self.skipped,
            written: self.written,
            already_present: plan.known + self.present,
            skipped: self.skipped,
            not_selected: plan.not_selected,
            bytes_source: bytes,
            bytes: ByteCounts { messages: bytes, ..ByteCounts::default() },
            mail: self.mail,
            ..Totals::default()
        }
    }

    pub(super) fn into_findings(self) -> impl Iterator<Item = Finding> {
        let overflow = letters::overflow_finding(self.without_letter, self.unmapped);
        self.findings.into_iter().chain(overflow)
    }
}
