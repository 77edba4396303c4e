//! The page of the results of many accounts.

use maud::{Markup, html};

use super::chart::Part;
use super::document::{Figure, Head, Header, Section, Table, Tone, capped, left_out, number, page, table};
use super::shared::{Breakdown, breakdown, conservation, findings};
use super::text::{Shown, time};
use crate::mailbox::text::{duration, grouped, grouped_plural, human_size, rough_duration};
use crate::report::{AccountRow, AccountsReport, HostRow};

/// Accounts that are not done, and hosts, that are shown.
const MAX_ROWS: usize = 500;
/// The slowest and the largest accounts that are shown.
const MAX_TOP: usize = 20;
/// What has all rows of a table.
const ALL_ROWS: &str = "mailferry report --json";

/// Returns the page of the results of many accounts.
pub(crate) fn accounts_page(report: &AccountsReport) -> String {
    let sections = [
        Some(Section { id: "outcomes", title: "Outcomes", body: outcomes(report) }),
        (!report.not_done.is_empty()).then(|| Section {
            id: "not-done",
            title: "Accounts that are not done",
            body: not_done(&report.not_done),
        }),
        Some(Section { id: "time", title: "Time and throughput", body: times(report) }),
        (!report.hosts.is_empty()).then(|| Section {
            id: "hosts",
            title: "Hosts",
            body: hosts(&report.hosts),
        }),
        (!report.slowest.is_empty()).then(|| Section {
            id: "slowest",
            title: "Slowest accounts",
            body: top(&report.slowest, "Slowest accounts"),
        }),
        (!report.largest.is_empty()).then(|| Section {
            id: "largest",
            title: "Largest accounts",
            body: top(&report.largest, "Largest accounts"),
        }),
        (report.messages_found > 0).then(|| Section {
            id: "messages",
            title: "Messages",
            body: messages(report),
        }),
        (report.bytes.source > 0).then(|| Section {
            id: "conservation",
            title: "Every byte",
            body: conservation(&report.bytes),
        }),
        Some(Section { id: "findings", title: "Findings", body: findings(&report.findings, ALL_ROWS) }),
    ];
    let sections: Vec<Section> = sections.into_iter().flatten().collect();
    page(&head(report), &sections)
}

fn head(report: &AccountsReport) -> Head {
    let mut figures = vec![
        Figure { name: "Accounts", value: grouped(report.accounts) },
        Figure { name: "Messages in place", value: grouped(report.in_place) },
        Figure { name: "Source size", value: human_size(report.bytes.source) },
        Figure { name: "Errors", value: grouped(report.errors) },
        Figure { name: "Warnings", value: grouped(report.warnings) },
    ];
    if let Some(seconds) = seconds_left(report) {
        figures.push(Figure { name: "Time left", value: rough_duration(seconds) });
    }
    Head {
        title: "Accounts report",
        tone: Tone::of_exit(report.exit),
        verdict: html! { p { strong { (Shown(&report.verdict)) } } },
        exit: format!("Exit code {}: {}.", report.exit, exit_meaning(report.exit)),
        figures,
        is_redacted: report.redacted,
    }
}

/// Returns what an exit code of report means.
fn exit_meaning(exit: u8) -> &'static str {
    match exit {
        0 => "all accounts are done",
        1 => "some accounts are not done, or their mail was skipped or damaged",
        2 => "a wrong option or argument",
        3 => "could not run or finish",
        4 => "interrupted",
        _ => "not an exit code of this command",
    }
}

fn outcomes(report: &AccountsReport) -> Markup {
    let part = |name, colour, value| Part { name, colour, value };
    let parts = [
        part("Done", "blue", report.done),
        part("Flawed", "amber", report.flawed),
        part("Failed", "red", report.failed),
        part("Interrupted", "purple", report.interrupted),
        part("Missing", "grey", report.missing),
        part("Unreadable result", "teal", report.unreadable),
    ];
    html! {
        (breakdown(&Breakdown { id: "accounts", title: "Accounts by outcome", unit: "Accounts" }, &parts))
        dl {
            dt { "Done" } dd { "All of the mail is there." }
            dt { "Flawed" } dd { "Finished, but mail was skipped, damaged or different." }
            dt { "Failed" }
            dd {
                "Not finished. The same command can succeed later for " (grouped(report.failed_for_now))
                " of " (grouped(report.failed)) "."
            }
            dt { "Missing" } dd { "In the list, without a result." }
            @if report.not_listed > 0 {
                dt { "Not in the list" }
                dd { (grouped_plural(report.not_listed, "result")) ", which no number here contains." }
            }
        }
    }
}

fn not_done(rows: &[AccountRow]) -> Markup {
    let shown = capped(rows, MAX_ROWS);
    let headers = [
        Header::Text("Account"),
        Header::Text("Outcome"),
        Header::Number("Exit code"),
        Header::Text("Retry"),
        Header::Text("Reason"),
    ];
    let body = html! {
        @for row in shown.shown {
            tr {
                th.name scope="row" { (Shown(&row.user)) }
                td { (Shown(&row.outcome)) }
                td.number { @if let Some(exit) = row.exit { (exit) } }
                td { @if row.retry { "yes" } @else { "no" } }
                td.words { @if let Some(reason) = &row.reason { (Shown(reason)) } }
            }
        }
    };
    html! {
        (table(Table { caption: "Accounts that are not done, by name", headers: &headers, rows: body, foot: None }))
        (left_out(shown.left_out, ALL_ROWS))
    }
}

/// Returns the time that is left, if accounts are missing.
fn seconds_left(report: &AccountsReport) -> Option<f64> {
    report.seconds_left.filter(|_| report.missing > 0)
}

fn times(report: &AccountsReport) -> Markup {
    let speed = |bytes: f64| format!("{}/s", human_size(bytes.max(0.0) as u64));
    html! {
        dl {
            @if let Some(start) = &report.start { dt { "Start of the first" } dd { (time(start)) } }
            @if let Some(end) = &report.end { dt { "End of the last" } dd { (time(end)) } }
            dt { "Time with accounts in progress" } dd { (duration(report.seconds)) }
            dt { "Sum over all accounts" } dd { (duration(report.account_seconds)) }
            @if let Some(bytes) = report.bytes_per_second { dt { "Throughput" } dd { (speed(bytes)) } }
            @if let Some(bytes) = report.bytes_left.filter(|_| report.missing > 0) {
                dt { "Left" }
                dd {
                    (grouped_plural(bytes, "byte")) " in the sources of missing accounts"
                    @if report.sizes_unknown > 0 {
                        ", without " (grouped_plural(report.sizes_unknown, "account")) " of unknown size"
                    }
                }
            }
            @if let Some(seconds) = seconds_left(report) {
                dt { "Time left" }
                dd { (rough_duration(seconds)) ", at the throughput so far" }
            }
        }
    }
}

fn hosts(rows: &[HostRow]) -> Markup {
    let shown = capped(rows, MAX_ROWS);
    let headers =
        [Header::Text("Host"), Header::Number("Accounts"), Header::Number("Bytes"), Header::Number("Time")];
    let body = html! {
        @for row in shown.shown {
            tr {
                th.name scope="row" { (Shown(&row.host)) }
                (number(row.accounts))
                (number(row.bytes))
                td.number { (duration(row.seconds)) }
            }
        }
    };
    html! {
        (table(Table { caption: "Accounts by host; the time is that with accounts in progress", headers: &headers, rows: body, foot: None }))
        (left_out(shown.left_out, ALL_ROWS))
    }
}

fn top(rows: &[AccountRow], caption: &str) -> Markup {
    let headers = [
        Header::Text("Account"),
        Header::Text("Outcome"),
        Header::Number("Messages"),
        Header::Number("Bytes"),
        Header::Number("Time"),
    ];
    let body = html! {
        @for row in capped(rows, MAX_TOP).shown {
            tr {
                th.name scope="row" { (Shown(&row.user)) }
                td { (Shown(&row.outcome)) }
                (number(row.messages))
                (number(row.bytes))
                td.number { (duration(row.seconds)) }
            }
        }
    };
    html! { (table(Table { caption, headers: &headers, rows: body, foot: None })) }
}

fn messages(report: &AccountsReport) -> Markup {
    let part = |name, colour, value| Part { name, colour, value };
    let parts = [
        part("In place", "blue", report.in_place),
        part("Duplicates", "purple", report.duplicates),
        part("Skipped", "amber", report.skipped),
        part("Not selected", "grey", report.not_selected),
    ];
    html! {
        p { "Messages that the last run of each account found: " (grouped(report.messages_found)) "." }
        (breakdown(&Breakdown { id: "found", title: "What became of the messages", unit: "Messages" }, &parts))
    }
}
