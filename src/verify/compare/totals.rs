//! Counts of a comparison, and the sentence about them.

use super::both::Both;
use crate::mailbox::Code;
use crate::mailbox::text::{grouped, grouped_plural, is_or_are};

/// Counts of a comparison. Every message of either side is counted once in `same` to `extra`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageTotals {
    /// Folders of this side; an mbox is one.
    pub folders: u64,
    /// The size of the mboxes of this side, and of the messages in its Maildirs.
    pub bytes: u64,
    /// Messages of this side. A message in several folders of a Maildir counts once, unless the other side has it as
    /// often.
    pub here: u64,
    /// Messages of the other side.
    pub there: u64,
    /// Pairs with the same content.
    pub same: u64,
    /// Pairs of these whose bytes differ as options of the conversion asked for.
    pub as_asked: u64,
    /// These options.
    pub asked_by: &'static str,
    /// Pairs that differ only in line ends (and perhaps in the final newline).
    pub line_ends: u64,
    /// Pairs that differ only in quoting (and perhaps in line ends and the final newline).
    pub quoting: u64,
    /// Pairs that differ only in the final newline, which an mbox had to add.
    pub final_newline: u64,
    /// Pairs with different content.
    pub differ: u64,
    /// Messages that only this side has.
    pub missing: u64,
    /// Messages that only the other side has.
    pub extra: u64,
    /// Pairs with the same content in different folders, if folders are compared.
    pub moved: u64,
    /// Pairs with the same content and different bytes in the fields that readers rewrite.
    pub rewritten: u64,
    /// Pairs with different flags. This and the next two are 0 unless metadata is compared.
    pub flags: u64,
    /// Pairs with different received dates.
    pub dates: u64,
    /// Pairs with different fields that readers rewrite.
    pub fields: u64,
    /// Files of messages in several folders that were not counted again, on both sides together.
    pub links: u64,
    /// Pseudo messages, on both sides together.
    pub pseudo: u64,
    /// Messages marked as deleted and left out, on both sides together.
    pub deleted: u64,
    /// Messages that the conversion left out as duplicates, on both sides together.
    pub duplicates: u64,
    /// Messages that the conversion did not select, on both sides together.
    pub not_selected: u64,
    /// Messages that were removed during the run and left out, on both sides together.
    pub removed: u64,
    /// True if a mailbox has CR line ends, which are read as LF.
    pub translated: bool,
}

impl MessageTotals {
    /// Reports whether every message of either side has a counterpart with all its words.
    pub(crate) fn is_complete(&self) -> bool {
        self.quoting + self.differ + self.missing + self.extra + self.moved == 0
    }

    /// Reports whether every message has a counterpart, whatever it is, and none was removed meanwhile.
    pub(super) fn has_counterparts(&self) -> bool {
        self.missing + self.extra + self.removed == 0
    }

    pub(crate) fn balances(&self) -> bool {
        let pairs = self.same + self.line_ends + self.quoting + self.final_newline + self.differ + self.moved;
        self.here == pairs + self.missing && self.there == pairs + self.extra
    }

    pub(crate) fn count(&mut self, code: Code) {
        match code {
            Code::MessageMissing => self.missing += 1,
            Code::MessageExtra => self.extra += 1,
            Code::MessageDiffers => self.differ += 1,
            Code::MessageQuoting => self.quoting += 1,
            Code::MessageLineEnds => self.line_ends += 1,
            Code::MessageFinalNewline => self.final_newline += 1,
            Code::FlagsDiffer => self.flags += 1,
            Code::DateDiffers => self.dates += 1,
            Code::FieldsDiffer => self.fields += 1,
            _ => unreachable!("no difference: {}", code.name()),
        }
    }

    /// Returns the last line of a report. `not_read` counts skipped files that may contain mail.
    pub(crate) fn sentence(&self, names: &Both<&str>, not_read: u64) -> String {
        self.clauses(&format!("of {}", names.here), names) + &unread_clause(not_read) + "."
    }

    /// Returns the sentence without the full stop. `of_here` says where the messages of this side are.
    pub(crate) fn clauses(&self, of_here: &str, names: &Both<&str>) -> String {
        let Both { here, there } = names;
        if self.here + self.there == 0 {
            return format!("There is no message in {here}, and none in {there}");
        }
        let mut text = format!(
            "{} of {} {of_here} {} in {there}, byte for byte",
            grouped(self.same),
            grouped_plural(self.here, "message"),
            is_or_are(self.same, self.here),
        );
        let except = [
            (self.rewritten, "fields that readers rewrite (Status, Content-Length …)".to_owned()),
            (self.as_asked, format!("what {} changed", self.asked_by)),
        ];
        for (n, (count, what)) in except.iter().filter(|(count, _)| *count > 0).enumerate() {
            let which = if *count == self.same { "" } else { &format!("{} of ", grouped(*count)) };
            text += &format!("{} except for {what} in {which}them", if n == 0 { "" } else { "," });
        }
        if self.translated {
            text += ", CR line ends read as LF";
        }
        let differing = [
            (self.line_ends, " only in line ends"),
            (self.final_newline, " only in a newline at the end"),
            (self.quoting, " only in quoting"),
            (self.differ, ""),
        ];
        for (count, how) in differing.into_iter().filter(|(count, _)| *count > 0) {
            text += &format!("; {} differ{}{how}", grouped(count), if count == 1 { "s" } else { "" });
        }
        if self.deleted > 0 {
            let verb = if self.deleted == 1 { "is" } else { "are" };
            text += &format!("; {} marked as deleted {verb} left out", grouped(self.deleted));
        }
        if self.duplicates > 0 {
            text += &format!("; {} left out by --dedupe", grouped_plural(self.duplicates, "duplicate"));
        }
        if self.not_selected > 0 {
            let verb = if self.not_selected == 1 { "was" } else { "were" };
            text += &format!("; {} {verb} not selected, as asked", grouped(self.not_selected));
        }
        if self.removed > 0 {
            let verb = if self.removed == 1 { "was" } else { "were" };
            text += &format!("; {} {verb} removed during the run", grouped(self.removed));
        }
        if self.moved > 0 {
            text +=
                &format!("; {} {} in another folder", grouped(self.moved), is_or_are(self.moved, self.here));
        }
        if self.missing > 0 {
            text += &format!("; {} {} missing", grouped(self.missing), is_or_are(self.missing, self.here));
        }
        if self.extra > 0 {
            text += &format!("; {there} has {} more", grouped(self.extra));
        }
        if self.links > 0 {
            let files = grouped_plural(self.links, "further file");
            text += &format!("; {files} of the same messages in other folders");
        }
        for (count, what) in [(self.flags, "flags"), (self.dates, "dates"), (self.fields, "rewritten fields")]
        {
            if count > 0 {
                text += &format!("; the {what} of {} differ", grouped(count));
            }
        }
        text
    }

    /// Adds the counts of another folder.
    pub(crate) fn add(&mut self, other: &MessageTotals) {
        for (total, count) in [
            (&mut self.folders, other.folders),
            (&mut self.bytes, other.bytes),
            (&mut self.here, other.here),
            (&mut self.there, other.there),
            (&mut self.same, other.same),
            (&mut self.as_asked, other.as_asked),
            (&mut self.line_ends, other.line_ends),
            (&mut self.quoting, other.quoting),
            (&mut self.final_newline, other.final_newline),
            (&mut self.differ, other.differ),
            (&mut self.missing, other.missing),
            (&mut self.extra, other.extra),
            (&mut self.moved, other.moved),
            (&mut self.deleted, other.deleted),
            (&mut self.duplicates, other.duplicates),
            (&mut self.not_selected, other.not_selected),
            (&mut self.removed, other.removed),
            (&mut self.rewritten, other.rewritten),
            (&mut self.flags, other.flags),
            (&mut self.dates, other.dates),
            (&mut self.fields, other.fields),
            (&mut self.pseudo, other.pseudo),
        ] {
            *total += count;
        }
        self.translated |= other.translated;
        self.asked_by = other.asked_by;
    }
}

/// Returns the clause about skipped files that may contain mail.
pub(crate) fn unread_clause(files: u64) -> String {
    match files {
        0 => String::new(),
        1 => "; mail may be in 1 file that was not read".into(),
        n => format!("; mail may be in {} files that were not read", grouped(n)),
    }
}
