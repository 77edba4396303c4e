//! The sentences at the end of a report.

use crate::mailbox::finding::Severity;
use crate::mailbox::text::{grouped, grouped_plural, is_or_are};
use crate::mailbox::{Code, Finding, display_path};
use crate::verify::{Depth, SourceStatus};

/// Errors and warnings.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct FaultCounts {
    pub errors: u64,
    pub warnings: u64,
}

impl FaultCounts {
    pub(super) fn of(findings: &[Finding]) -> FaultCounts {
        let count = |severity| findings.iter().filter(|f| f.severity == severity).count() as u64;
        FaultCounts { errors: count(Severity::Error), warnings: count(Severity::Warning) }
    }

    /// Subtracts the errors that [`source_sentence`] counts as messages.
    pub(super) fn without_counted(self, findings: &[Finding]) -> FaultCounts {
        let counted = findings.iter().filter(|f| f.severity == Severity::Error && is_counted(f.code)).count();
        FaultCounts { errors: self.errors - counted as u64, ..self }
    }

    pub(super) fn is_none(self) -> bool {
        self == FaultCounts::default()
    }
}

/// Numbers of mailboxes by outcome.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct MailboxCounts {
    /// Without an error or a warning.
    pub sound: u64,
    pub damaged: u64,
    /// With warnings only.
    pub warned: u64,
    /// Could not be verified.
    pub failed: u64,
}

impl MailboxCounts {
    pub(super) fn add(&mut self, faults: FaultCounts) {
        match faults {
            FaultCounts { errors: 0, warnings: 0 } => self.sound += 1,
            FaultCounts { errors: 0, .. } => self.warned += 1,
            FaultCounts { .. } => self.damaged += 1,
        }
    }

    fn all(self) -> u64 {
        self.sound + self.damaged + self.warned + self.failed
    }

    /// Returns the verdict without its full stop. `place` says where the mailboxes are, and begins with a blank. `is_all`
    /// is false if something else that may be mail was not read.
    pub(super) fn verdict(self, place: &str, is_all: bool) -> String {
        let all = match self.all() {
            1 => "1 mailbox".to_owned(),
            all => format!("{} mailboxes", grouped(all)),
        };
        if is_all && self.sound == self.all() {
            return format!("No damage found in {all}{place}");
        }
        let counts = [
            (self.sound, "without damage"),
            (self.damaged, "damaged"),
            (self.warned, "with warnings"),
            (self.failed, "not verified"),
        ];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, what)| format!("{} {what}", grouped(count))).collect();
        format!("{all}{place}: {}", counts.join(", "))
    }
}

/// Returns the verdict on one mailbox. `size` are its messages and bytes.
pub(super) fn mailbox_verdict(name: &str, size: &str, faults: FaultCounts) -> String {
    let FaultCounts { errors, warnings } = faults;
    let (error_count, warning_count) = (grouped_plural(errors, "error"), grouped_plural(warnings, "warning"));
    match (errors, warnings) {
        (0, 0) => format!("{name}: no damage found in {size}."),
        (0, _) => format!("{name} has no errors, but {warning_count}."),
        (_, 0) => format!("{name} is damaged: {error_count}."),
        (_, _) => format!("{name} is damaged: {error_count}, {warning_count}."),
    }
}

/// Reports whether the sentence about a source counts the messages with this error.
fn is_counted(code: Code) -> bool {
    use Code::{MessageChanged, MessageGone, MessageRenamed, MessageSwapped};
    matches!(code, MessageChanged | MessageGone | MessageRenamed | MessageSwapped)
}

/// Returns the sentence about one source, or several. `others` are faults that are about no message of them.
pub(super) fn source_sentence(name: &str, source: &SourceStatus, others: FaultCounts) -> String {
    let mut sentence = format!(
        "{} of {} of {} {} in {}",
        grouped(source.intact),
        grouped_plural(source.messages, "message"),
        name,
        is_or_are(source.intact, source.messages),
        display_path(&source.maildir),
    );
    sentence.push_str(match source.depth {
        Depth::Contents => ", byte for byte",
        Depth::Structure => ", by their names",
    });
    let counts: Vec<String> = [
        (source.changed, "changed"),
        (source.gone, "gone"),
        (source.renamed, "renamed"),
        (source.moved, "moved"),
        (source.reflagged, "with other flags"),
        (source.not_selected, "not selected, as asked"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{} {what}", grouped(*count)))
    .collect();
    if !counts.is_empty() {
        sentence.push_str(&format!("; {}", counts.join(", ")));
    }
    if others.errors > 0 {
        sentence.push_str(&format!("; {}", grouped_plural(others.errors, "other error")));
    }
    if others.warnings > 0 {
        sentence.push_str(&format!("; {}", grouped_plural(others.warnings, "warning")));
    }
    sentence.push('.');
    sentence
}
