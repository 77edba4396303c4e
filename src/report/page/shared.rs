//! The sections that both pages have.

use maud::{Markup, html};

use super::chart::{Names, Part, bar, is_widened, swatch};
use super::document::{Header, Table, Tone, capped, left_out, number, table};
use super::text::{Shown, share};
use crate::mailbox::text::{grouped, grouped_plural};
use crate::report::{ByteRow, FindingExample, FindingRow};

/// Codes that are shown.
const MAX_CODES: usize = 200;
/// Findings of a code that are shown.
const MAX_EXAMPLES: usize = 5;

/// Shows the bytes of sources by kind. They add up to the sizes of the sources.
pub(super) fn conservation(bytes: &ByteRow) -> Markup {
    let part = |name, colour, value| Part { name, colour, value };
    let parts = [
        part("Messages", "blue", bytes.messages),
        part("From_ lines", "teal", bytes.from_lines),
        part("Quoting", "purple", bytes.quoting),
        part("Separators", "grey", bytes.separators),
        part("Junk", "amber", bytes.junk),
        part("Not reached", "red", bytes.not_reached),
    ];
    let sum = parts.iter().fold(0u64, |sum, part| sum.saturating_add(part.value));
    let adds_up = sum == bytes.source;
    let size = grouped_plural(bytes.source, "byte");
    html! {
        @if adds_up {
            p { "Every byte of the sources is counted once. The parts add up to their size: " (size) "." }
        } @else {
            p.bad {
                "The parts add up to " (grouped_plural(sum, "byte")) ", but the sources have " (size)
                ". This is an error in mailferry or in this report."
            }
        }
        (breakdown(&Breakdown { id: "bytes", title: "Bytes of the sources", unit: "Bytes" }, &parts))
    }
}

/// The names of a whole and of its parts.
pub(super) struct Breakdown<'a> {
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    pub(super) unit: &'static str,
}

/// Shows the parts of a whole as a bar, and below it as a table.
pub(super) fn breakdown(names: &Breakdown<'_>, parts: &[Part]) -> Markup {
    let sum = parts.iter().fold(0u64, |sum, part| sum.saturating_add(part.value));
    let list: Vec<String> = parts
        .iter()
        .filter(|part| part.value > 0)
        .map(|part| format!("{} {}", part.name, grouped(part.value)))
        .collect();
    let description = match list.is_empty() {
        true => "Nothing.".to_owned(),
        false => format!("{}. The table below has all numbers.", list.join(", ")),
    };
    let rows = html! {
        @for part in parts {
            tr {
                th.part scope="row" { (swatch(part.colour)) (part.name) }
                (number(part.value))
                td.number { (share(part.value, sum)) }
            }
        }
    };
    let foot = html! { tr { th scope="row" { "Total" } (number(sum)) td.number { (share(sum, sum)) } } };
    let headers = [Header::Text("Part"), Header::Number(names.unit), Header::Number("Share")];
    html! {
        @if sum > 0 { (bar(&Names { id: names.id, title: names.title, description }, parts)) }
        @if is_widened(parts) { p.note { "A part below 1 % is drawn as 1 %." } }
        (table(Table { caption: names.title, headers: &headers, rows, foot: Some(foot) }))
    }
}

/// Shows findings by code. `place` has those that are left out.
pub(super) fn findings(rows: &[FindingRow], place: &str) -> Markup {
    let codes = capped(rows, MAX_CODES);
    let has_examples = rows.iter().any(|row| !row.examples.is_empty());
    let headers = [
        Header::Text("Severity"),
        Header::Text("Code"),
        Header::Number("Count"),
        Header::Text(if has_examples { "What to do, and the first of them" } else { "What to do" }),
    ];
    let body = html! { @for row in codes.shown { (finding(row, place)) } };
    html! {
        @if rows.is_empty() {
            p { "There are no findings." }
        } @else {
            p { "The manual page mailferry-findings(7) explains each code." }
            (table(Table { caption: "Findings by code", headers: &headers, rows: body, foot: None }))
            (left_out(codes.left_out, place))
        }
    }
}

fn finding(row: &FindingRow, place: &str) -> Markup {
    let examples = capped(&row.examples, MAX_EXAMPLES);
    let more = row.count.saturating_sub(examples.shown.len() as u64);
    html! {
        tr {
            td { span class=[Tone::of_severity(&row.severity).map(Tone::class)] { (Shown(&row.severity)) } }
            th.code scope="row" { code { (Shown(&row.code)) } }
            (number(row.count))
            td.words {
                @if let Some(remedy) = &row.remedy { (Shown(remedy)) }
                @if !examples.shown.is_empty() {
                    ul.examples { @for example in examples.shown { li { (finding_example(example)) } } }
                    (left_out(more, place))
                }
            }
        }
    }
}

fn finding_example(example: &FindingExample) -> Markup {
    let places: [Option<String>; 2] = [
        example.line.map(|line| format!("line {line}")),
        example.offset.map(|offset| format!("byte {offset}")),
    ];
    let place = places.into_iter().flatten().collect::<Vec<_>>().join(", ");
    html! {
        @if let Some(path) = &example.path { (Shown(path)) }
        @if !place.is_empty() {
            @if example.path.is_some() { ", " }
            (place)
        }
        @if !example.message.is_empty() {
            @if example.path.is_some() || !place.is_empty() { ": " }
            (Shown(&example.message))
        }
    }
}
