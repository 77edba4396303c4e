//! Assumptions of an import about the messages of a source: flags from header fields, deleted messages, zones and dates.
//! The user may know better, so each assumption is reported in one line.

use super::MailStats;
use crate::mailbox::message::{
    DateRules, DeletedPolicy, Field, Flags, FromLineDates, Origin, PackedStamp, StatusFields, StatusProblems,
};
use crate::mailbox::text::{grouped, grouped_plural};
use crate::mailbox::{Code, Finding};

/// The fields with flags and keywords.
const FIELDS: [&str; 8] = [
    "Status",
    "X-Status",
    "X-Keywords",
    "X-Evolution",
    "X-Mozilla-Keys",
    "X-Gmail-Labels",
    "X-Mozilla-Status",
    "X-Mozilla-Status2",
];
const FLAGS: [(Flags, &str); 6] = [
    (Flags::SEEN, "read"),
    (Flags::REPLIED, "replied to"),
    (Flags::FLAGGED, "flagged"),
    (Flags::PASSED, "passed on"),
    (Flags::DRAFT, "drafts"),
    (Flags::TRASHED, "trashed"),
];

/// The fields with flags of one message.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FlagFields(u8);

impl FlagFields {
    /// Adds a field if it has flags or keywords.
    pub(super) fn add(&mut self, field: &Field<'_>) {
        // Most fields have another length.
        if matches!(field.name.len(), 6 | 8 | 10 | 11 | 14 | 16 | 17)
            && let Some(n) = FIELDS.iter().position(|name| field.is(name))
        {
            self.0 |= 1 << n;
        }
    }
}

/// Counts of messages by their flags, and by the fields that these are from.
#[derive(Debug, Default)]
pub(super) struct FlagStats {
    messages: u64,
    fields: [u64; FIELDS.len()],
    flags: [u64; FLAGS.len()],
    problems: StatusProblems,
}

impl FlagStats {
    pub(super) fn add(&mut self, fields: FlagFields, flags: Flags) {
        if fields.0 == 0 {
            return;
        }
        self.messages += 1;
        let has_field = |n: usize| u64::from(fields.0 >> n & 1);
        (0..FIELDS.len()).for_each(|n| self.fields[n] += has_field(n));
        FLAGS
            .iter()
            .zip(&mut self.flags)
            .for_each(|((flag, _), count)| *count += u64::from(flags.has(*flag)));
    }

    pub(super) fn add_problems(&mut self, at: u64, fields: &StatusFields) {
        self.problems.add(at, fields);
    }

    pub(super) fn merge(&mut self, other: FlagStats) {
        self.messages += other.messages;
        self.problems.merge(other.problems);
        self.fields.iter_mut().zip(other.fields).for_each(|(count, more)| *count += more);
        self.flags.iter_mut().zip(other.flags).for_each(|(count, more)| *count += more);
    }

    /// Returns the findings about flags that were read from fields.
    pub(super) fn findings(self) -> Vec<Finding> {
        let list = |counts: &mut dyn Iterator<Item = (&str, u64)>| {
            let counts = counts.filter(|(_, count)| *count > 0);
            counts.map(|(name, count)| format!("{} {name}", grouped(count))).collect::<Vec<_>>().join(", ")
        };
        let flags = list(&mut FLAGS.iter().map(|(_, name)| *name).zip(self.flags));
        let flags = if flags.is_empty() { "no flags" } else { &flags };
        let fields = list(&mut FIELDS.into_iter().zip(self.fields));
        let messages = grouped_plural(self.messages, "message");
        let text = || format!("flags of {messages} are from their header: {flags}; fields: {fields}");
        let read = (self.messages > 0).then(|| Finding::new(Code::FlagsRead, text()));
        read.into_iter().chain(self.problems.findings()).collect()
    }
}

/// Counts of messages that are marked as deleted, and of dates by their origin.
#[derive(Debug, Default)]
pub(super) struct Assumptions {
    pub(super) deleted: u64,
    /// From_ lines without a zone.
    local: u64,
    received: u64,
    header: u64,
}

impl Assumptions {
    /// Adds the date of a message, and the stamp of its From_ line.
    pub(super) fn add_date(&mut self, origin: Origin, stamp: PackedStamp) {
        match origin {
            Origin::FromLine => self.local += u64::from(stamp.is_local()),
            Origin::Received => self.received += 1,
            Origin::Header => self.header += 1,
            // These have findings of their own.
            Origin::Mtime | Origin::Name | Origin::None => {}
        }
    }

    /// Returns the counts for the report.
    pub(super) fn stats(
        &self,
        deleted: DeletedPolicy,
        rules: &DateRules,
        from_lines: &FromLineDates,
    ) -> MailStats {
        let is_inferred = from_lines.found_offset.is_some();
        let count_if = |condition, count| if condition { count } else { 0 };
        MailStats {
            deleted_kept: count_if(deleted == DeletedPolicy::Keep, self.deleted),
            zones_assumed: count_if(rules.from_zone.is_none() && !is_inferred, self.local),
            zones_inferred: count_if(is_inferred, self.local),
            ..MailStats::default()
        }
    }

    /// Returns one finding for each assumption.
    pub(super) fn findings(
        &self,
        deleted: DeletedPolicy,
        rules: &DateRules,
        from_lines: &FromLineDates,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.deleted > 0 {
            let marked = grouped_plural(self.deleted, "message");
            findings.push(match deleted {
                DeletedPolicy::Flag => Finding::new(
                    Code::DeletedFlagged,
                    format!("{marked} marked as deleted, flagged T; a mail program may expunge them"),
                )
                .with_hint("--deleted keep leaves the flag out, --deleted skip the messages"),
                DeletedPolicy::Keep => Finding::new(
                    Code::DeletedFlagged,
                    format!("{marked} marked as deleted, kept without the flag T"),
                ),
                DeletedPolicy::Skip => {
                    Finding::new(Code::DeletedSkipped, format!("{marked} marked as deleted, left out"))
                }
            });
        }
        let zones_assumed = self.stats(deleted, rules, from_lines).zones_assumed;
        if zones_assumed > 0 {
            let text =
                format!("{} without a zone, taken as UTC", grouped_plural(zones_assumed, "From_ line"));
            let hint = "--from-zone names the zone of the machine that wrote them";
            findings.push(Finding::new(Code::DateZoneAssumed, text).with_hint(hint));
        }
        if rules.first.is_none() && self.received + self.header > 0 {
            let messages = grouped_plural(self.received + self.header, "message");
            let text = format!(
                "{messages} without a real date in the From_ line, dated by other fields: {} by Received, {} by Date",
                grouped(self.received),
                grouped(self.header)
            );
            findings.push(Finding::new(Code::DateFromFields, text));
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::message::header;

    #[test]
    fn flags_are_counted_with_the_fields_that_they_are_from() {
        let mut stats = FlagStats::default();
        for (message, flags) in [
            (&b"Status: RO\nX-Status: A\n\n"[..], Flags::SEEN | Flags::REPLIED),
            (b"Status: RO\n\n", Flags::SEEN),
            (b"Subject: Status\n\n", Flags::default()),
        ] {
            let mut fields = FlagFields::default();
            header::fields(message).for_each(|field| fields.add(&field));
            let mut part = FlagStats::default();
            part.add(fields, flags);
            stats.merge(part);
        }
        assert_eq!(
            stats.findings()[0].message,
            "flags of 2 messages are from their header: 2 read, 1 replied to; fields: 2 Status, 1 X-Status"
        );
        assert_eq!(FlagStats::default().findings(), []);
    }
}
