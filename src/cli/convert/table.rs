//! The table of folders in the report of a conversion.

use serde_json::{Map, Value, json};

use crate::cli::ui::table::{Column, Table};
use crate::convert::{FolderCount, Totals};
use crate::mailbox::text::grouped;
use crate::mailbox::{display_path, escape};
use crate::report;

/// A folder of the destination.
#[derive(Debug, Default)]
pub(super) struct FolderRow {
    pub(super) folder: String,
    /// Its directory, if the name does not say it.
    pub(super) directory: Option<String>,
    pub(super) counts: FolderCounts,
    /// The source, as the user named it.
    pub(super) from: String,
    /// What the user should know about the folder.
    pub(super) note: Option<String>,
}

/// The messages found, and what became of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct FolderCounts {
    found: u64,
    written: u64,
    already_present: u64,
    duplicates: u64,
    skipped: u64,
    not_selected: u64,
}

impl From<&Totals> for FolderCounts {
    fn from(totals: &Totals) -> FolderCounts {
        FolderCounts {
            found: totals.messages_found,
            written: totals.written,
            already_present: totals.already_present,
            duplicates: totals.duplicates,
            skipped: totals.skipped,
            not_selected: totals.not_selected,
        }
    }
}

impl FolderRow {
    /// Returns the row of a folder that messages of one mbox went to, by their labels.
    pub(super) fn of_label(count: &FolderCount) -> FolderRow {
        let FolderCount { name, directory, .. } = count;
        FolderRow {
            folder: escape(name.as_bytes()),
            directory: directory.as_deref().map(display_path),
            counts: FolderCounts {
                found: count.found,
                written: count.written,
                already_present: count.already_present,
                duplicates: count.duplicates,
                skipped: count.skipped,
                not_selected: count.not_selected,
            },
            ..FolderRow::default()
        }
    }

    /// Reports whether the folder has messages after the run.
    pub(super) fn has_mail(&self) -> bool {
        self.counts.written + self.counts.already_present > 0
    }

    /// Returns the row as JSON.
    pub(super) fn json(&self) -> Value {
        let mut row = json!({ "folder": self.folder, "directory": self.directory });
        if let Value::Object(row) = &mut row {
            row.extend(self.counts.json());
        }
        row
    }
}

impl FolderCounts {
    /// Returns the keys of a folder or of a run in JSON.
    pub(super) fn json(&self) -> Map<String, Value> {
        let FolderCounts { found, written, already_present, duplicates, skipped, not_selected } = *self;
        let keys = [
            ("messages_found", found),
            ("written", written),
            ("already_present", already_present),
            ("duplicates", duplicates),
            ("skipped", skipped),
            ("not_selected", not_selected),
        ];
        keys.into_iter().map(|(key, count)| (key.to_owned(), count.into())).collect()
    }

    /// Returns the row of a report.
    pub(super) fn row(&self, folder: String) -> report::FolderRow {
        let FolderCounts { found, written, already_present, duplicates, skipped, not_selected } = *self;
        report::FolderRow { folder, found, written, already_present, duplicates, skipped, not_selected }
    }

    /// Returns the numbers that add up to those found, with their headers.
    fn columns(&self, dry_run: bool) -> [(&'static str, u64); 5] {
        [
            (if dry_run { "to write" } else { "written" }, self.written),
            ("already", self.already_present),
            ("duplicate", self.duplicates),
            ("skipped", self.skipped),
            ("not selected", self.not_selected),
        ]
    }
}

/// Returns the lines of the table. A column that few conversions need is there if it has a number.
pub(super) fn lines(rows: &[FolderRow], dry_run: bool, terminal: Option<usize>) -> Vec<String> {
    let is_shown = |n: usize| n != 2 && n != 4 || rows.iter().any(|row| row.counts.columns(dry_run)[n].1 > 0);
    let shown: Vec<usize> = (0..5).filter(|&n| is_shown(n)).collect();
    let has_directory = rows.iter().any(|row| row.directory.is_some());
    let has_source = rows.iter().any(|row| !row.from.is_empty() || row.note.is_some());
    let mut table = Table { columns: vec![Column::Text, Column::Number], rows: Vec::new() };
    table.columns.extend(shown.iter().map(|_| Column::Number));
    let mut header = vec!["folder".to_owned(), "found".to_owned()];
    header.extend(shown.iter().map(|&n| FolderCounts::default().columns(dry_run)[n].0.to_owned()));
    for (is_used, name) in [(has_directory, "directory"), (has_source, "from")] {
        if is_used {
            table.columns.push(Column::Text);
            header.push(name.to_owned());
        }
    }
    table.rows.push(header);
    for row in rows {
        let mut cells = vec![row.folder.clone(), grouped(row.counts.found)];
        cells.extend(shown.iter().map(|&n| grouped(row.counts.columns(dry_run)[n].1)));
        if has_directory {
            cells.push(row.directory.clone().unwrap_or_default());
        }
        if has_source {
            let note = row.note.as_ref().map(|note| format!("  ({note})"));
            cells.push(format!("{}{}", row.from, note.unwrap_or_default()));
        }
        table.rows.push(cells);
    }
    table.lines(terminal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_each_row_add_up() {
        let row = |folder: &str, counts| FolderRow {
            folder: folder.to_owned(),
            from: format!("Mail/{folder}"),
            counts,
            ..FolderRow::default()
        };
        let inbox = FolderCounts {
            found: 1_240,
            written: 1_200,
            already_present: 5,
            skipped: 35,
            ..FolderCounts::default()
        };
        let rows = [row("INBOX", inbox), row("受信箱", FolderCounts::default())];
        let expected = "\
folder  found  written  already  skipped  from
INBOX   1,240    1,200        5       35  Mail/INBOX
受信箱      0        0        0        0  Mail/受信箱";
        assert_eq!(lines(&rows, false, None).join("\n"), expected);
        let counts = FolderCounts { found: 3, written: 1, duplicates: 2, ..FolderCounts::default() };
        let expected = "\
folder  found  to write  already  duplicate  skipped  from
Sent        3         1        0          2        0  Mail/Sent";
        assert_eq!(lines(&[row("Sent", counts)], true, None).join("\n"), expected);
    }
}
