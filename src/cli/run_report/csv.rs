//! The folders of a report as comma-separated values (RFC 4180).

use crate::cli::ui::csv;
use crate::report::FolderRow;

/// Returns a line with the names of the columns, and a line for each folder.
pub(super) fn write(folders: &[FolderRow]) -> String {
    let names = ["folder", "found", "written", "already_present", "duplicates", "skipped", "not_selected"];
    let mut out = csv::row(&names.map(str::to_owned));
    for row in folders {
        let FolderRow { folder, found, written, already_present, duplicates, skipped, not_selected } = row;
        let counts = [found, written, already_present, duplicates, skipped, not_selected];
        let cells: Vec<String> = std::iter::once(folder.clone()).chain(counts.map(u64::to_string)).collect();
        out.push_str(&csv::row(&cells));
    }
    out
}
