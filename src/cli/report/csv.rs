//! `report --csv`: a row for each account, as RFC 4180 has it.

use crate::cli::ui::Reporter;
use crate::report::AccountsReport;
use crate::report::record::{AccountRecord, time};
use crate::report::totals::Accounts;

const HEADER: [&str; 11] =
    ["user", "outcome", "exit", "retry", "messages", "bytes", "seconds", "host", "start", "end", "reason"];

/// Prints the rows, and the verdict to standard error.
pub(super) fn print(accounts: &Accounts, report: &AccountsReport, reporter: &mut Reporter) {
    reporter.data(row(&HEADER.map(str::to_owned)).as_bytes());
    for record in &accounts.records {
        reporter.data(row(&cells(record)).as_bytes());
    }
    reporter.note(&report.verdict);
}

fn cells(record: &AccountRecord) -> [String; 11] {
    [
        record.user.to_string(),
        record.status.name().to_owned(),
        record.exit.map(|exit| exit.to_string()).unwrap_or_default(),
        record.retry.to_string(),
        record.messages().to_string(),
        record.bytes().to_string(),
        record.seconds().to_string(),
        record.host.to_string(),
        record.start.and_then(time).unwrap_or_default(),
        record.end.and_then(time).unwrap_or_default(),
        record.reason.as_deref().unwrap_or_default().to_owned(),
    ]
}

fn row(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    cells.join(",") + "\r\n"
}

/// Quotes a cell where it needs quotes. A spreadsheet would compute what begins like a formula, unless an apostrophe comes
/// first.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    match text.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_and_never_a_formula() {
        for (text, expected) in [
            ("joe", "joe"),
            ("Doe, Joe", "\"Doe, Joe\""),
            ("a \"b\"", "\"a \"\"b\"\"\""),
            ("=HYPERLINK(\"x\",1)", "\"'=HYPERLINK(\"\"x\"\",1)\""),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@joe", "'@joe"),
            ("joe@example.org", "joe@example.org"),
            ("", ""),
        ] {
            assert_eq!(cell(text), expected);
        }
    }
}
