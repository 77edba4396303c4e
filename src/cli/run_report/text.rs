//! A report as plain text of at most 100 columns.

use console::measure_text_width;

use crate::cli::ui::layout;
use crate::cli::ui::table::{Column, Table};
use crate::mailbox::text::{grouped, grouped_plural};
use crate::report::{
    BoundaryRow, ByteRow, DoubtfulLine, FindingExample, FindingRow, LargeMessage, RunReport, SizeRow,
    SourceRow, YearRow,
};

const WIDTH: usize = 100;
const INDENT: &str = "  ";
/// Folders and sources that are listed. A report in JSON has all of them.
const LISTED: usize = 1000;

/// Returns the whole report.
pub(super) fn write(report: &RunReport) -> String {
    let mut page = Page::default();
    page.line(&format!("mailferry {}: {}", report.command, outcome(report.exit)));
    if report.redacted {
        page.line("Names, addresses, subjects and lines of mail are left out.");
    } else {
        page.line(&report.verdict);
    }
    page.facts(report);
    page.sources(&report.sources);
    page.bytes(&report.bytes);
    page.folders(report);
    page.years(&report.years);
    page.table("Origins of the dates", &["origin", "messages"], &report.date_origins, |row| {
        vec![row.name.clone(), grouped(row.messages)]
    });
    page.table("Sizes", &["below", "messages", "bytes"], &report.sizes, |row: &SizeRow| {
        vec![power_of_two(row.below), grouped(row.messages), grouped(row.bytes)]
    });
    page.largest(&report.largest);
    page.boundaries(&report.boundaries);
    page.doubtful(report);
    page.findings(&report.findings);
    page.manifests(report);
    page.0
}

fn outcome(exit: u8) -> &'static str {
    match exit {
        0 => "done",
        1 => "finished, with errors (exit code 1)",
        4 => "interrupted (exit code 4)",
        _ => "could not finish (exit code 3)",
    }
}

/// Formats a limit of a class of sizes.
fn power_of_two(bytes: u64) -> String {
    match bytes.trailing_zeros() {
        0..20 => format!("{} KiB", bytes >> 10),
        20..30 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", grouped(bytes >> 30)),
    }
}

/// Formats a day in UTC.
fn day(epoch: i64) -> String {
    let time = jiff::Timestamp::from_second(epoch);
    time.map_or_else(|_| epoch.to_string(), |time| time.strftime("%Y-%m-%d").to_string())
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn put(&mut self, line: &str) {
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }

    /// Writes text, broken between words.
    fn line(&mut self, text: &str) {
        self.indented("", text);
    }

    /// Writes text after blanks, broken between words, and inside of words that are too long.
    fn indented(&mut self, indent: &str, text: &str) {
        // The user may not be able to scroll sideways on paper.
        for line in layout::wrap(text, WIDTH - indent.len()) {
            let mut rest = line;
            while measure_text_width(rest) > WIDTH - indent.len() {
                let fits = |end: &usize| measure_text_width(&rest[..*end]) <= WIDTH - indent.len();
                let ends = rest.char_indices().map(|(at, c)| at + c.len_utf8());
                let end = ends.take_while(fits).last().unwrap_or(rest.len());
                self.put(&format!("{indent}{}", &rest[..end]));
                rest = &rest[end..];
            }
            self.put(&format!("{indent}{rest}"));
        }
    }

    fn heading(&mut self, text: &str) {
        self.put("");
        self.put(text);
    }

    fn facts(&mut self, report: &RunReport) {
        self.heading("Run");
        let RunReport { version, host, command_line, start, end, seconds, destination, proof, .. } = report;
        let command = command_line.join(" ");
        let time = format!("{start} to {end} ({seconds} s)");
        for (name, value) in [
            ("command", Some(&command).filter(|_| !report.redacted)),
            ("version", Some(version)),
            ("host", Some(host).filter(|_| !report.redacted)),
            ("time", Some(&time)),
            ("destination", destination.as_ref()),
            ("check it any time", proof.as_ref()),
        ] {
            if let Some(value) = value {
                self.indented(INDENT, &format!("{name}: {value}"));
            }
        }
    }

    /// Writes a table under a heading, if it has rows. The first column is text, and the others are numbers.
    fn table<T>(&mut self, heading: &str, names: &[&str], rows: &[T], row: impl Fn(&T) -> Vec<String>) {
        if rows.is_empty() {
            return;
        }
        self.heading(heading);
        let mut table = Table { columns: vec![Column::Number; names.len()], rows: Vec::new() };
        table.columns[0] = Column::Text;
        table.rows.push(names.iter().map(|name| (*name).to_owned()).collect());
        table.rows.extend(rows.iter().take(LISTED).map(row));
        for line in table.lines(Some(WIDTH - INDENT.len())) {
            self.put(&format!("{INDENT}{line}"));
        }
        if rows.len() > LISTED {
            self.put(&format!("{INDENT}and {} more", grouped((rows.len() - LISTED) as u64)));
        }
    }

    fn sources(&mut self, sources: &[SourceRow]) {
        self.table("Sources", &["path", "format", "messages", "bytes"], sources, |row| {
            vec![row.path.clone(), row.format.clone(), grouped(row.messages), grouped(row.bytes)]
        });
        let hashed: Vec<&SourceRow> =
            sources.iter().filter(|row| row.blake3.is_some()).take(LISTED).collect();
        if !hashed.is_empty() {
            self.heading("BLAKE3 of the sources");
        }
        for row in hashed {
            let hash = row.blake3.as_deref().unwrap_or_default();
            self.indented(INDENT, &format!("{hash} {}", row.path));
        }
    }

    fn bytes(&mut self, bytes: &ByteRow) {
        let ByteRow { source, messages, from_lines, quoting, separators, junk, not_reached } = *bytes;
        if source == 0 {
            return;
        }
        let rows = [
            ("messages", messages),
            ("From_ lines", from_lines),
            ("quoting", quoting),
            ("separators", separators),
            ("junk", junk),
            ("not reached", not_reached),
            ("all", source),
        ];
        let rows: Vec<_> = rows.iter().filter(|(name, bytes)| *bytes > 0 || *name == "junk").collect();
        self.table("Bytes of the sources", &["kind", "bytes"], &rows, |(name, bytes)| {
            vec![(*name).to_owned(), grouped(*bytes)]
        });
    }

    fn folders(&mut self, report: &RunReport) {
        let names = ["folder", "found", "written", "already", "duplicate", "skipped", "not selected"];
        let verified = ["folder", "messages"];
        let is_conversion = report.command == "convert";
        let names = if is_conversion { &names[..] } else { &verified[..] };
        self.table("Folders", names, &report.folders, |row| {
            let counts =
                [row.found, row.written, row.already_present, row.duplicates, row.skipped, row.not_selected];
            let counts = counts.iter().take(names.len() - 1).map(|count| grouped(*count));
            std::iter::once(row.folder.clone()).chain(counts).collect()
        });
    }

    fn years(&mut self, years: &[YearRow]) {
        self.table("Years (UTC)", &["year", "messages", "bytes"], years, |row| {
            let year = row.year.map_or("undated".to_owned(), |year| year.to_string());
            vec![year, grouped(row.messages), grouped(row.bytes)]
        });
    }

    fn largest(&mut self, largest: &[LargeMessage]) {
        if largest.is_empty() {
            return;
        }
        self.heading("Largest messages");
        for LargeMessage { path, offset, bytes, received, from, subject } in largest {
            let at = offset.map(|offset| format!(", byte {offset}")).unwrap_or_default();
            let date = received.map(|received| format!(", {}", day(received))).unwrap_or_default();
            self.indented(INDENT, &format!("{}{date}: {path}{at}", grouped_plural(*bytes, "byte")));
            for (name, value) in [("From", from), ("Subject", subject)] {
                if !value.is_empty() {
                    self.indented("    ", &format!("{name}: {value}"));
                }
            }
        }
    }

    fn boundaries(&mut self, rows: &[BoundaryRow]) {
        if rows.is_empty() {
            return;
        }
        self.heading("Lines that begin with \"From \", by the row of the table in mailferry-mbox(5)");
        for BoundaryRow { row, rule, separators, not_separators } in rows {
            let row = if *row == 0 { String::new() } else { format!("row {row}: ") };
            let counts = format!("{} separate, {} do not", grouped(*separators), grouped(*not_separators));
            self.indented(INDENT, &format!("{row}{counts}: {rule}"));
        }
    }

    fn doubtful(&mut self, report: &RunReport) {
        if report.doubtful.is_empty() {
            return;
        }
        self.heading("Doubtful lines");
        for DoubtfulLine { path, offset, row, is_separator, before, line, after } in &report.doubtful {
            let verdict = if *is_separator { "a separator" } else { "not a separator" };
            let row = if *row == 0 { String::new() } else { format!(" (row {row})") };
            self.indented(INDENT, &format!("{path}, byte {offset}: {verdict}{row}"));
            before.iter().for_each(|line| self.indented("    | ", line));
            if !line.is_empty() {
                self.indented("    > ", line);
            }
            after.iter().for_each(|line| self.indented("    | ", line));
        }
        if report.doubtful_left_out > 0 {
            self.put(&format!("{INDENT}and {} more", grouped(report.doubtful_left_out)));
        }
    }

    fn findings(&mut self, findings: &[FindingRow]) {
        if findings.is_empty() {
            return;
        }
        self.heading("Findings");
        for FindingRow { code, severity, count, remedy, examples } in findings {
            self.indented(INDENT, &format!("{severity} {code}: {}", grouped_plural(*count, "time")));
            if let Some(remedy) = remedy {
                self.indented("    ", &format!("to do: {remedy}"));
            }
            for FindingExample { path, offset, line, message } in examples {
                let offset = offset.map(|offset| format!(", byte {offset}")).unwrap_or_default();
                let line = line.map(|line| format!(", line {line}")).unwrap_or_default();
                let path = path.as_deref().unwrap_or_default();
                let place = format!("{path}{offset}{line}");
                let parts = [&place, message].into_iter().filter(|part| !part.is_empty());
                let parts: Vec<&str> = parts.map(String::as_str).collect();
                self.indented("    ", &parts.join(": "));
            }
            let left_out = count.saturating_sub(examples.len() as u64);
            if left_out > 0 {
                self.put(&format!("    and {} more", grouped(left_out)));
            }
        }
    }

    fn manifests(&mut self, report: &RunReport) {
        if report.manifests.is_empty() {
            return;
        }
        self.heading("BLAKE3 of the manifests");
        for row in report.manifests.iter().take(LISTED) {
            self.indented(INDENT, &format!("{} {}", row.blake3, row.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::FolderRow;

    #[test]
    fn no_line_has_more_than_100_columns() {
        let long = "図書館/".repeat(200);
        let source = SourceRow { path: long.clone(), blake3: Some("0".repeat(64)), ..SourceRow::default() };
        let report = RunReport {
            command: "convert".to_owned(),
            command_line: vec!["x".repeat(500)],
            verdict: format!("word {long} word"),
            sources: vec![source],
            folders: vec![FolderRow { folder: long.clone(), ..FolderRow::default() }; 1500],
            doubtful: vec![DoubtfulLine {
                line: "From ".repeat(99),
                before: vec![long.clone()],
                ..DoubtfulLine::default()
            }],
            ..RunReport::default()
        };
        let text = write(&report);
        let widest = text.lines().map(measure_text_width).max();
        assert!(widest.is_some_and(|width| (90..=WIDTH).contains(&width)), "{widest:?}");
        assert!(text.contains("and 500 more"));
    }
}
