//! `report --json`.

use serde_json::{Value, json};

use crate::cli::ui::Reporter;
use crate::report::{AccountRow, AccountsReport, FindingRow, HostRow};

/// Prints an object for each account that is not done.
pub(super) fn print(report: &AccountsReport, reporter: &mut Reporter) {
    for row in &report.not_done {
        let mut object = account(row);
        object["type"] = "account".into();
        reporter.object(&object);
    }
}

/// Returns the keys of the summary. `warnings` and `errors` are those of all accounts; the report itself has none.
pub(super) fn summary(report: &AccountsReport) -> Value {
    let accounts = |rows: &[AccountRow]| rows.iter().map(account).collect::<Vec<_>>();
    let bytes = &report.bytes;
    json!({
        "accounts": report.accounts,
        "done": report.done,
        "flawed": report.flawed,
        "failed": report.failed,
        "failed_for_now": report.failed_for_now,
        "interrupted": report.interrupted,
        "missing": report.missing,
        "unreadable": report.unreadable,
        "not_listed": report.not_listed,
        "messages_found": report.messages_found,
        "in_place": report.in_place,
        "duplicates": report.duplicates,
        "skipped": report.skipped,
        "not_selected": report.not_selected,
        "bytes_source": bytes.source,
        "bytes_messages": bytes.messages,
        "bytes_from_lines": bytes.from_lines,
        "bytes_quoting": bytes.quoting,
        "bytes_separators": bytes.separators,
        "bytes_junk": bytes.junk,
        "bytes_not_reached": bytes.not_reached,
        "first_start": report.start,
        "last_end": report.end,
        "busy_seconds": report.seconds,
        "account_seconds": report.account_seconds,
        "bytes_per_second": report.bytes_per_second,
        "bytes_left": report.bytes_left,
        "sizes_unknown": report.sizes_unknown,
        "seconds_left": report.seconds_left,
        "hosts": report.hosts.iter().map(host).collect::<Vec<_>>(),
        "slowest": accounts(&report.slowest),
        "largest": accounts(&report.largest),
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "verdict": report.verdict,
    })
}

fn account(row: &AccountRow) -> Value {
    json!({
        "user": row.user,
        "outcome": row.outcome,
        "exit": row.exit,
        "retry": row.retry,
        "messages": row.messages,
        "bytes": row.bytes,
        "seconds": row.seconds,
        "reason": row.reason,
    })
}

fn host(row: &HostRow) -> Value {
    json!({ "host": row.host, "accounts": row.accounts, "bytes": row.bytes, "busy_seconds": row.seconds })
}

fn finding(row: &FindingRow) -> Value {
    json!({ "code": row.code, "severity": row.severity, "count": row.count, "hint": row.remedy })
}
