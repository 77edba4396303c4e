//! The page of one run of convert or verify.

use maud::{Markup, html};

use super::chart::{Column, Names, Part, columns};
use super::document::{Figure, Head, Header, Section, Table, Tone, capped, left_out, number, page, table};
use super::shared::{Breakdown, breakdown, conservation, findings};
use super::text::{Shown, command, command_line, day, share, time};
use crate::mailbox::text::{duration, grouped, grouped_plural, human_size};
use crate::report::{
    CountRow, DoubtfulLine, FolderRow, LargeMessage, ManifestRow, RunReport, SizeRow, SourceRow, YearRow,
};

/// Rows of a table that are shown.
const MAX_ROWS: usize = 200;
/// Lines with their context that are shown.
const MAX_DOUBTFUL: usize = 50;
const MAX_LARGEST: usize = 10;
/// A longer span of years has a column for each year with mail, and none for those without.
const MAX_YEARS_WITH_GAPS: usize = 100;
/// What has all rows of a table.
const ALL_ROWS: &str = "--report FILE.json";

/// Returns the page of a run.
pub(crate) fn run_page(report: &RunReport) -> String {
    let sections = [
        Some(Section { id: "run", title: "Sources and run", body: run(report) }),
        (report.bytes.source > 0).then(|| Section {
            id: "conservation",
            title: "Every byte",
            body: conservation(&report.bytes),
        }),
        section("folders", "Messages by folder", &report.folders, flow),
        section("years", "Mail by year", &report.years, years),
        (!report.boundaries.is_empty() || !report.doubtful.is_empty()).then(|| Section {
            id: "boundaries",
            title: "Where messages begin",
            body: boundaries(report),
        }),
        Some(Section {
            id: "findings",
            title: "Findings",
            body: findings(&report.findings, &all_findings(report)),
        }),
        section("dates", "Where dates come from", &report.date_origins, date_origins),
        (!report.sizes.is_empty() || !report.largest.is_empty()).then(|| Section {
            id: "sizes",
            title: "Sizes",
            body: sizes(&report.sizes, &report.largest),
        }),
        (!report.manifests.is_empty() || report.proof.is_some()).then(|| Section {
            id: "proof",
            title: "Proof",
            body: proof(&report.manifests, report.proof.as_deref()),
        }),
    ];
    let sections: Vec<Section> = sections.into_iter().flatten().collect();
    page(&head(report), &sections)
}

fn section<T>(
    id: &'static str,
    title: &'static str,
    rows: &[T],
    body: impl Fn(&[T]) -> Markup,
) -> Option<Section> {
    (!rows.is_empty()).then(|| Section { id, title, body: body(rows) })
}

/// Returns what has all findings of a run.
fn all_findings(report: &RunReport) -> String {
    match report.command.as_str() {
        "convert" => "mailferry convert --json".to_owned(),
        _ => "mailferry verify --json".to_owned(),
    }
}

fn head(report: &RunReport) -> Head {
    let is_conversion = report.command == "convert";
    let count = |severity: &str| {
        let rows = report.findings.iter().filter(|row| row.severity == severity);
        rows.fold(0u64, |sum, row| sum.saturating_add(row.count))
    };
    let total = total(&report.folders);
    // verify does not count bytes by kind.
    let size = report.sources.iter().fold(0u64, |sum, source| sum.saturating_add(source.bytes));
    let messages = match report.folders.is_empty() {
        true => report.sources.iter().fold(0u64, |sum, source| sum.saturating_add(source.messages)),
        false => total.found,
    };
    let mut figures = vec![Figure { name: "Messages found", value: grouped(messages) }];
    if is_conversion {
        figures.push(Figure { name: "Written", value: grouped(total.written) });
    }
    figures.extend([
        Figure { name: "Source size", value: human_size(size) },
        Figure { name: "Errors", value: grouped(count("error")) },
        Figure { name: "Warnings", value: grouped(count("warning")) },
        Figure { name: "Time taken", value: duration(report.seconds) },
    ]);
    Head {
        title: if is_conversion { "Conversion report" } else { "Verification report" },
        tone: Tone::of_exit(report.exit),
        verdict: html! { @if !report.verdict.is_empty() { p { strong { (Shown(&report.verdict)) } } } },
        exit: match (report.exit, count("warning")) {
            (0, 1..) => "Exit code 0: done; nothing is lost. The warnings say what is unusual.".to_owned(),
            (exit, _) => format!("Exit code {exit}: {}.", exit_meaning(exit)),
        },
        figures,
        is_redacted: report.redacted,
    }
}

/// Returns what an exit code of convert and verify means.
fn exit_meaning(exit: u8) -> &'static str {
    match exit {
        0 => "done; nothing is lost, nothing is damaged",
        1 => "finished, but mail was skipped, damaged or different (with --strict, warnings count too)",
        2 => "a wrong option or argument",
        3 => "could not run or finish; no half-written mailbox is visible",
        4 => "interrupted; the same command continues",
        _ => "not an exit code of this command",
    }
}

fn run(report: &RunReport) -> Markup {
    let sources = capped(&report.sources, MAX_ROWS);
    let headers =
        [Header::Text("Source"), Header::Text("Format"), Header::Number("Messages"), Header::Number("Bytes")];
    let rows = html! { @for source in sources.shown { (source_row(source)) } };
    html! {
        @if !report.sources.is_empty() {
            (table(Table { caption: "Sources, with the BLAKE3 of their bytes", headers: &headers, rows, foot: None }))
            (left_out(sources.left_out, ALL_ROWS))
        }
        dl {
            @if let Some(destination) = &report.destination { dt { "Destination" } dd { (Shown(destination)) } }
            @if !report.command_line.is_empty() {
                dt { "Command" }
                dd { (command(&command_line(&report.command_line))) }
            }
            dt { "Start" } dd { (time(&report.start)) }
            dt { "End" } dd { (time(&report.end)) }
            @if !report.host.is_empty() { dt { "Host" } dd { (Shown(&report.host)) } }
            dt { "Version" } dd { "mailferry " (Shown(&report.version)) }
        }
    }
}

fn source_row(source: &SourceRow) -> Markup {
    html! {
        tr {
            th.words scope="row" {
                (Shown(&source.path))
                @if let Some(blake3) = &source.blake3 { span.hash { (Shown(blake3)) } }
            }
            td { (Shown(&source.format)) }
            (number(source.messages))
            (number(source.bytes))
        }
    }
}

fn total(rows: &[FolderRow]) -> FolderRow {
    rows.iter().fold(FolderRow::default(), |sum, row| FolderRow {
        folder: String::new(),
        found: sum.found.saturating_add(row.found),
        written: sum.written.saturating_add(row.written),
        already_present: sum.already_present.saturating_add(row.already_present),
        duplicates: sum.duplicates.saturating_add(row.duplicates),
        skipped: sum.skipped.saturating_add(row.skipped),
        not_selected: sum.not_selected.saturating_add(row.not_selected),
    })
}

fn flow(rows: &[FolderRow]) -> Markup {
    let folders = capped(rows, MAX_ROWS);
    let total = total(rows);
    let part = |name, colour, value| Part { name, colour, value };
    let parts = [
        part("Written", "blue", total.written),
        part("Already present", "teal", total.already_present),
        part("Duplicates", "purple", total.duplicates),
        part("Skipped", "amber", total.skipped),
        part("Not selected", "grey", total.not_selected),
    ];
    let headers = [
        Header::Text("Folder"),
        Header::Number("Found"),
        Header::Number("Written"),
        Header::Number("Already present"),
        Header::Number("Duplicates"),
        Header::Number("Skipped"),
        Header::Number("Not selected"),
    ];
    let numbers = |row: &FolderRow| {
        let all =
            [row.found, row.written, row.already_present, row.duplicates, row.skipped, row.not_selected];
        html! { @for value in all { (number(value)) } }
    };
    let body = html! {
        @for row in folders.shown { tr { th.words scope="row" { (Shown(&row.folder)) } (numbers(row)) } }
    };
    let label = match folders.left_out {
        0 => "All folders".to_owned(),
        _ => format!("All {} folders", grouped(rows.len() as u64)),
    };
    let foot = html! { tr { th scope="row" { (label) } (numbers(&total)) } };
    html! {
        (breakdown(&Breakdown { id: "flow", title: "What became of the messages", unit: "Messages" }, &parts))
        h3 { "By folder" }
        p { "The messages found in a folder are the sum of the other columns." }
        (table(Table {
            caption: "Messages by folder",
            headers: &headers,
            rows: body,
            foot: Some(foot),
        }))
        (left_out(folders.left_out, ALL_ROWS))
    }
}

fn years(rows: &[YearRow]) -> Markup {
    let shown = capped(rows, MAX_ROWS);
    let filled = with_gaps(shown.shown);
    let column = |row: &YearRow, value, text| Column { label: year(row.year), value, text };
    let messages: Vec<Column> =
        filled.iter().map(|row| column(row, row.messages, grouped_plural(row.messages, "message"))).collect();
    let bytes: Vec<Column> = filled.iter().map(|row| column(row, row.bytes, human_size(row.bytes))).collect();
    let body = html! {
        @for row in shown.shown {
            tr { th scope="row" { (year(row.year)) } (number(row.messages)) (number(row.bytes)) }
        }
    };
    let headers = [Header::Text("Year"), Header::Number("Messages"), Header::Number("Bytes")];
    let names = |id, title, columns: &[Column]| Names { id, title, description: describe(columns) };
    html! {
        h3 { "Messages" }
        (columns(&names("year-messages", "Messages by year", &messages), &messages, "blue"))
        h3 { "Bytes" }
        (columns(&names("year-bytes", "Bytes by year", &bytes), &bytes, "teal"))
        (table(Table { caption: "Messages by year of receipt, in UTC", headers: &headers, rows: body, foot: None }))
        (left_out(shown.left_out, ALL_ROWS))
    }
}

/// Describes columns by the number of them and the largest.
fn describe(columns: &[Column]) -> String {
    let largest = columns.iter().filter(|column| column.value > 0).max_by_key(|column| column.value);
    match largest {
        Some(largest) => format!(
            "{}; the largest is {} with {}. The table below has all numbers.",
            grouped_plural(columns.len() as u64, "column"),
            largest.label,
            largest.text
        ),
        None => "Nothing.".to_owned(),
    }
}

fn year(year: Option<i16>) -> String {
    year.map_or_else(|| "no date".to_owned(), |year| year.to_string())
}

/// Adds the years without mail, so that a chart shows the gaps.
fn with_gaps(rows: &[YearRow]) -> Vec<YearRow> {
    let mut filled: Vec<YearRow> = Vec::new();
    for row in rows {
        let last = filled.last().and_then(|row| row.year);
        if let (Some(last), Some(year)) = (last, row.year) {
            let missing = last.saturating_add(1)..year;
            if missing.len() > MAX_YEARS_WITH_GAPS {
                return rows.to_vec();
            }
            filled.extend(missing.map(|year| YearRow { year: Some(year), messages: 0, bytes: 0 }));
        }
        filled.push(row.clone());
    }
    match filled.len() > MAX_YEARS_WITH_GAPS {
        true => rows.to_vec(),
        false => filled,
    }
}

fn boundaries(report: &RunReport) -> Markup {
    let rows = capped(&report.boundaries, MAX_ROWS);
    let headers = [
        Header::Number("Row"),
        Header::Text("Rule"),
        Header::Number("Separators"),
        Header::Number("Not separators"),
    ];
    let body = html! {
        @for row in rows.shown {
            tr {
                th.number scope="row" { (row.row) }
                td.words { (Shown(&row.rule)) }
                (number(row.separators))
                (number(row.not_separators))
            }
        }
    };
    let doubtful = capped(&report.doubtful, MAX_DOUBTFUL);
    let more = report.doubtful_left_out.saturating_add(doubtful.left_out);
    html! {
        p {
            "A line that begins with \"From \" may begin a message or be part of one. "
            "The first row of the table in mailferry-mbox(5) that applies decides."
        }
        @if !rows.shown.is_empty() {
            (table(Table { caption: "Lines by the row that decided", headers: &headers, rows: body, foot: None }))
            (left_out(rows.left_out, ALL_ROWS))
        }
        @if !doubtful.shown.is_empty() {
            h3 { "Lines to look at" }
            p {
                "The evidence for these lines is weak. To change a decision, edit the output of "
                code { "mailferry inspect --boundaries" } ", and use " code { "mailferry convert --boundaries FILE" } "."
            }
            @for line in doubtful.shown { (doubtful_line(line)) }
            (left_out(more, "mailferry inspect --boundaries"))
        }
    }
}

fn doubtful_line(line: &DoubtfulLine) -> Markup {
    let is_quoted = !(line.line.is_empty() && line.before.is_empty() && line.after.is_empty());
    html! {
        figure {
            figcaption {
                (Shown(&line.path)) ", byte " (line.offset) ": "
                @if line.is_separator { "begins a message" } @else { "is part of a message" }
                " (row " (line.row) ")"
            }
            @if is_quoted {
                pre {
                    @for before in &line.before { (Shown(before)) "\n" }
                    mark { (Shown(&line.line)) } "\n"
                    @for after in &line.after { (Shown(after)) "\n" }
                }
            }
        }
    }
}

fn date_origins(rows: &[CountRow]) -> Markup {
    let shown = capped(rows, MAX_ROWS);
    let sum = rows.iter().fold(0u64, |sum, row| sum.saturating_add(row.messages));
    let headers = [Header::Text("Origin"), Header::Number("Messages"), Header::Number("Share")];
    let body = html! {
        @for row in shown.shown {
            tr {
                th scope="row" { (date_origin(&row.name)) }
                (number(row.messages))
                td.number { (share(row.messages, sum)) }
            }
        }
    };
    let foot = html! { tr { th scope="row" { "Total" } (number(sum)) td.number { (share(sum, sum)) } } };
    html! {
        (table(Table { caption: "Origins of the dates of receipt", headers: &headers, rows: body, foot: Some(foot) }))
        (left_out(shown.left_out, ALL_ROWS))
    }
}

/// Shows the origin of a date in words.
fn date_origin(name: &str) -> Markup {
    let words = match name {
        "from" => "From_ line",
        "received" => "Received field",
        "date" => "Date field",
        "mtime" => "Time of the file",
        "name" => "Name of the file",
        "none" => "No date found",
        other => return html! { (Shown(other)) },
    };
    html! { (words) }
}

fn sizes(sizes: &[SizeRow], largest: &[LargeMessage]) -> Markup {
    let rows = capped(sizes, MAX_ROWS);
    let bars: Vec<Column> = rows
        .shown
        .iter()
        .map(|row| Column {
            label: below(row.below),
            value: row.messages,
            text: grouped_plural(row.messages, "message"),
        })
        .collect();
    let names = Names { id: "size-messages", title: "Messages by size", description: describe(&bars) };
    let headers = [Header::Text("Size"), Header::Number("Messages"), Header::Number("Bytes")];
    let body = html! {
        @for row in rows.shown {
            tr { th scope="row" { (below(row.below)) } (number(row.messages)) (number(row.bytes)) }
        }
    };
    let largest = &largest[..largest.len().min(MAX_LARGEST)];
    let large_headers = [
        Header::Text("Subject and sender"),
        Header::Text("Place"),
        Header::Number("Received"),
        Header::Number("Bytes"),
    ];
    let large_body = html! { @for message in largest { (large_message(message)) } };
    html! {
        @if !rows.shown.is_empty() {
            (columns(&names, &bars, "blue"))
            (table(Table { caption: "Messages by size", headers: &headers, rows: body, foot: None }))
            (left_out(rows.left_out, ALL_ROWS))
        }
        @if !largest.is_empty() {
            h3 { "The largest messages" }
            (table(Table { caption: "Largest first", headers: &large_headers, rows: large_body, foot: None }))
        }
    }
}

fn below(limit: u64) -> String {
    match limit {
        u64::MAX => "larger".to_owned(),
        limit => format!("< {}", human_size(limit)),
    }
}

fn large_message(message: &LargeMessage) -> Markup {
    html! {
        tr {
            td.words {
                (Shown(&message.subject))
                @if !message.from.is_empty() { div.note { (Shown(&message.from)) } }
            }
            td.words {
                (Shown(&message.path))
                @if let Some(offset) = message.offset { ", byte " (offset) }
            }
            td.number { @if let Some(received) = message.received { (day(received)) } @else { "no date" } }
            (number(message.bytes))
        }
    }
}

fn proof(manifests: &[ManifestRow], proof: Option<&str>) -> Markup {
    let rows = capped(manifests, MAX_ROWS);
    let headers = [Header::Text("Manifest"), Header::Text("BLAKE3")];
    let body = html! {
        @for row in rows.shown {
            tr { th.words scope="row" { (Shown(&row.path)) } td.words { span.hash { (Shown(&row.blake3)) } } }
        }
    };
    html! {
        @if let Some(proof) = proof {
            p { "This command compares every message with the manifest, at any later time:" }
            pre { (command(proof)) }
        }
        @if !rows.shown.is_empty() {
            p { "A manifest lists every message that was converted. It is unchanged while its hash is this:" }
            (table(Table { caption: "Manifests after this run", headers: &headers, rows: body, foot: None }))
            (left_out(rows.left_out, ALL_ROWS))
        }
    }
}
