//! The report as text.

use crate::cli::ui::Reporter;
use crate::cli::ui::table::{Column, Table};
use crate::mailbox::text::{duration, grouped, grouped_plural, human_size};
use crate::report::{AccountRow, AccountsReport};

/// Accounts that are listed on a terminal without `-v`.
const MAX_LISTED: usize = 20;

/// Prints the report, with the verdict last.
pub(super) fn print(report: &AccountsReport, reporter: &mut Reporter) {
    if reporter.is_quiet() {
        return report.not_done.iter().for_each(|row| reporter.data((line(row) + "\n").as_bytes()));
    }
    let listed = match reporter.table_width().filter(|_| !reporter.is_verbose()) {
        Some(_) => report.not_done.len().min(MAX_LISTED),
        None => report.not_done.len(),
    };
    let more = match (report.not_done.len() - listed) as u64 {
        0 => None,
        more => Some(format!("{} not done; list all with -v", grouped_plural(more, "more account"))),
    };
    for (table, note) in [
        (outcomes(report), None),
        (not_done(&report.not_done[..listed]), more),
        (findings(report), None),
        (ranking("slowest", &report.slowest), None),
        (ranking("largest", &report.largest), None),
        (hosts(report), None),
    ] {
        if table.rows.len() > 1 {
            table.lines(reporter.table_width()).iter().for_each(|line| reporter.line(line));
            note.iter().for_each(|note: &String| reporter.line(note));
            reporter.line("");
        }
    }
    totals(report).iter().for_each(|line| reporter.sentence(line));
    reporter.sentence(&report.verdict);
}

/// Returns an account as a line for `--quiet`.
fn line(row: &AccountRow) -> String {
    let exit = row.exit.map(|exit| format!(" (exit code {exit})")).unwrap_or_default();
    let reason = row.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{}: {}{exit}{reason}", row.user, row.outcome)
}

fn table<const N: usize>(columns: [Column; N], header: [&str; N], rows: Vec<[String; N]>) -> Table {
    let header = std::iter::once(header.map(str::to_owned));
    Table { columns: columns.to_vec(), rows: header.chain(rows).map(Vec::from).collect() }
}

fn outcomes(report: &AccountsReport) -> Table {
    let retry = match report.failed_for_now {
        0 => String::new(),
        count => format!("the same command can succeed later for {}", grouped(count)),
    };
    let rows = [
        ("done", report.done, String::new()),
        ("flawed", report.flawed, "mail was skipped or is damaged".to_owned()),
        ("failed", report.failed, retry),
        ("interrupted", report.interrupted, "the same command continues".to_owned()),
        ("missing", report.missing, "in the list, without a result".to_owned()),
        ("unreadable", report.unreadable, "the result cannot be read".to_owned()),
        ("not listed", report.not_listed, "not in the list, and not counted".to_owned()),
    ];
    let rows = rows.into_iter().filter(|(_, count, _)| *count > 0);
    let rows = rows.map(|(outcome, count, note)| [outcome.to_owned(), grouped(count), note]);
    table([Column::Text, Column::Number, Column::Text], ["outcome", "accounts", ""], rows.collect())
}

fn not_done(rows: &[AccountRow]) -> Table {
    let row = |row: &AccountRow| {
        [
            row.user.clone(),
            row.outcome.clone(),
            row.exit.map(|exit| exit.to_string()).unwrap_or_default(),
            if row.retry { "yes" } else { "no" }.to_owned(),
            row.reason.clone().unwrap_or_default(),
        ]
    };
    let columns = [Column::Text, Column::Text, Column::Number, Column::Text, Column::Sentence];
    table(columns, ["not done", "outcome", "exit", "retry", "reason"], rows.iter().map(row).collect())
}

fn findings(report: &AccountsReport) -> Table {
    let rows = report.findings.iter().map(|row| [row.code.clone(), row.severity.clone(), grouped(row.count)]);
    table([Column::Text, Column::Text, Column::Number], ["finding", "severity", "count"], rows.collect())
}

fn ranking(name: &str, rows: &[AccountRow]) -> Table {
    let row = |row: &AccountRow| {
        [row.user.clone(), grouped(row.messages), grouped(row.bytes), duration(row.seconds)]
    };
    let columns = [Column::Text, Column::Number, Column::Number, Column::Number];
    table(columns, [name, "messages", "bytes", "time"], rows.iter().map(row).collect())
}

fn hosts(report: &AccountsReport) -> Table {
    let rows = report.hosts.iter().map(|row| {
        let rate = if row.seconds > 0.0 { rate(row.bytes as f64 / row.seconds) } else { String::new() };
        [row.host.clone(), grouped(row.accounts), grouped(row.bytes), duration(row.seconds), rate]
    });
    let columns = [Column::Text, Column::Number, Column::Number, Column::Number, Column::Number];
    table(columns, ["host", "accounts", "bytes", "time", "speed"], rows.collect())
}

fn rate(bytes_per_second: f64) -> String {
    format!("{}/s", human_size(bytes_per_second as u64))
}

/// Returns the lines about all accounts.
fn totals(report: &AccountsReport) -> Vec<String> {
    let bytes = &report.bytes;
    let mut lines = vec![
        sum(
            report.messages_found,
            "messages",
            &[
                (report.in_place, "in place"),
                (report.duplicates, "duplicates"),
                (report.skipped, "skipped"),
                (report.not_selected, "not selected"),
            ],
        ),
        sum(
            bytes.source,
            "bytes",
            &[
                (bytes.messages, "messages"),
                (bytes.from_lines, "From_ lines"),
                (bytes.quoting, "quoting"),
                (bytes.separators, "separators"),
                (bytes.junk, "junk"),
                (bytes.not_reached, "not reached"),
            ],
        ),
    ];
    if let Some(speed) = report.bytes_per_second {
        let time = duration(report.seconds);
        lines.push(format!("{} in {time}: {}.", human_size(bytes.source), rate(speed)));
    }
    if let Some(left) = report.bytes_left.filter(|_| report.missing > 0) {
        let unknown = match report.sizes_unknown {
            0 => String::new(),
            count => format!(", without {} of unknown size", grouped_plural(count, "account")),
        };
        lines.push(format!("{} are left{unknown}.", human_size(left)));
    }
    lines
}

/// Returns a sum with its terms. Terms that do not add up are shown as such.
fn sum(all: u64, noun: &str, terms: &[(u64, &str)]) -> String {
    let added = terms.iter().fold(0, |sum: u64, (count, _)| sum.saturating_add(*count));
    let sign = if added == all { "=" } else { "is not" };
    let shown = terms.iter().enumerate().filter(|(n, (count, _))| *n == 0 || *count > 0);
    let shown: Vec<String> = shown.map(|(_, (count, what))| format!("{} {what}", grouped(*count))).collect();
    format!("{noun}: {} {sign} {}", grouped(all), shown.join(" + "))
}
