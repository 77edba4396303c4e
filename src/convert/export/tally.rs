//! Counts of an export.

use std::ops::AddAssign;

use crate::convert::MailStats;
use crate::mailbox::mbox::write::Changes;
use crate::mailbox::text::grouped_plural;
use crate::mailbox::{Code, Finding};

/// Counts of what was written, for the report.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) messages: u64,
    /// The numbers of messages that the destination had.
    pub(super) present: Vec<usize>,
    /// Entries of a Maildir that are not messages.
    pub(super) skipped: u64,
    /// Messages that were removed since they were listed. They are not among the messages found.
    pub(super) removed: u64,
    /// Bytes of the messages in the source.
    pub(super) bytes: u64,
    pub(super) line_ends: u64,
    /// The messages of a Maildir.
    pub(super) mail: MailStats,
    /// Messages whose flags or keywords are not written.
    pub(super) flags_left_out: u64,
    /// The message with X-IMAPbase is written.
    pub(super) has_base: bool,
    final_newlines: u64,
    ambiguous: u64,
    pub(super) findings: Vec<Finding>,
}

impl Tally {
    pub(super) fn add(&mut self, bytes: usize, changes: Changes, at: Option<u64>, name: &dyn Fn() -> String) {
        self.messages += 1;
        self.bytes += bytes as u64;
        self.final_newlines += u64::from(changes.final_newline);
        self.ambiguous += u64::from(changes.ambiguous);
        let mut find = |code, message: String| {
            self.findings.push(Finding { offset: at, ..Finding::new(code, message) });
        };
        if changes.header_quotes > 0 {
            let message = format!(
                "{}: {} of its header that begin with From, quoted permanently",
                name(),
                grouped_plural(changes.header_quotes.into(), "line")
            );
            find(Code::HeaderQuoted, message);
        }
        if changes.doubled {
            let message =
                format!("{}: begins with a continuation line; its From_ line was written twice", name());
            find(Code::FromDoubled, message);
        }
    }

    /// Adds an entry of a Maildir that has no message to read.
    pub(super) fn add_unreadable(&mut self, finding: Finding) {
        match finding.code {
            Code::MessageExpunged => self.removed += 1,
            _ => self.skipped += 1,
        }
        self.findings.push(finding);
    }

    /// Counts one message, which is written.
    pub(super) fn of_one_message(mut self) -> Tally {
        self.messages = 1;
        self
    }

    /// Adds a message that the destination had.
    pub(super) fn add_present(&mut self, number: usize, counts: Tally) {
        self.present.push(number);
        self.bytes += counts.bytes;
        self.flags_left_out += counts.flags_left_out;
        self.findings.extend(counts.findings);
    }

    pub(super) fn findings(self) -> Vec<Finding> {
        let mut findings = self.findings;
        if self.final_newlines > 0 {
            let message = format!(
                "{} without a final newline, which an mbox needs",
                grouped_plural(self.final_newlines, "message")
            );
            findings.push(Finding::new(Code::FinalNewline, message));
        }
        if self.ambiguous > 0 {
            let message = format!(
                "{} with >From at the start already; readers will remove the >",
                grouped_plural(self.ambiguous, "line")
            );
            findings
                .push(Finding::new(Code::QuotingAmbiguous, message).with_hint("mboxrd can distinguish them"));
        }
        if self.flags_left_out > 0 {
            let message = format!(
                "{} with flags or keywords that are not in the .eml files, which have the bytes of messages only",
                grouped_plural(self.flags_left_out, "message")
            );
            let finding = Finding::new(Code::FlagsLeftOut, message);
            findings.push(finding.with_hint("an mbox or a Maildir as the destination keeps them"));
        }
        findings
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.messages += other.messages;
        self.present.extend(other.present);
        self.flags_left_out += other.flags_left_out;
        self.skipped += other.skipped;
        self.removed += other.removed;
        self.bytes += other.bytes;
        self.line_ends += other.line_ends;
        self.mail += &other.mail;
        self.has_base |= other.has_base;
        self.final_newlines += other.final_newlines;
        self.ambiguous += other.ambiguous;
        self.findings.extend(other.findings);
    }
}
