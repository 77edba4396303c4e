//! The findings of a run, by code.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;

use super::{FindingExample, FindingRow};
use crate::mailbox::finding::Severity;
use crate::mailbox::{Code, Finding, display_path};

/// How many findings with one code are kept.
const EXAMPLES: usize = 20;
/// Characters that are kept of a message: some list the names of all folders.
const MESSAGE: usize = 400;

/// Findings by severity and code. Its size does not depend on their number.
#[derive(Debug, Default)]
pub(crate) struct FindingTable(BTreeMap<(Reverse<Severity>, Code), FindingRow>);

impl FindingTable {
    /// Adds a finding. `path` is that of the mailbox.
    pub(crate) fn add(&mut self, path: Option<&Path>, finding: &Finding) {
        let Finding { code, severity, .. } = *finding;
        let row = self.0.entry((Reverse(severity), code)).or_insert_with(|| FindingRow {
            code: code.name().to_owned(),
            severity: severity.name().to_owned(),
            remedy: code.advice().hint(),
            ..FindingRow::default()
        });
        row.count += 1;
        if row.examples.len() < EXAMPLES {
            row.examples.push(FindingExample {
                path: finding.path.as_deref().or(path).map(display_path),
                offset: finding.offset,
                line: finding.line,
                message: shorten(&finding.message),
            });
        }
    }

    /// Returns the rows: errors, warnings, infos.
    pub(crate) fn rows(self) -> Vec<FindingRow> {
        self.0.into_values().collect()
    }
}

fn shorten(message: &str) -> String {
    match message.char_indices().nth(MESSAGE) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_come_first_and_many_findings_are_counted() {
        let mut table = FindingTable::default();
        let path = Path::new("in.mbox");
        table.add(Some(path), &Finding::new(Code::MboxVariant, "mboxrd"));
        for n in 0..1000 {
            table.add(Some(path), &Finding::at(Code::MboxNul, n, "é".repeat(1 << 16)));
        }
        table.add(None, &Finding::new(Code::MessageGone, "gone"));
        let rows = table.rows();
        let summary: Vec<_> =
            rows.iter().map(|row| (&*row.code, &*row.severity, row.count, row.examples.len())).collect();
        assert_eq!(
            summary,
            [
                ("message-gone", "error", 1, 1),
                ("mbox-nul", "warning", 1000, 20),
                ("mbox-variant", "info", 1, 1)
            ]
        );
        assert!(rows[1].examples.iter().all(|example| example.message.chars().count() == 401));
        assert_eq!(rows[1].examples[19].offset, Some(19));
    }
}
