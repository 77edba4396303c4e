//! `report --csv`: a row for each account, as RFC 4180 has it.

use crate::cli::ui::{Reporter, csv};
use crate::report::AccountsReport;
use crate::report::record::{AccountRecord, time};
use crate::report::totals::Accounts;

const HEADER: [&str; 11] =
    ["user", "outcome", "exit", "retry", "messages", "bytes", "seconds", "host", "start", "end", "reason"];

/// Prints the rows, and the verdict to standard error.
pub(super) fn print(accounts: &Accounts, report: &AccountsReport, reporter: &mut Reporter) {
    reporter.data(csv::row(&HEADER.map(str::to_owned)).as_bytes());
    for record in &accounts.records {
        reporter.data(csv::row(&cells(record)).as_bytes());
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
