//! The frame of a page, its sections and its tables.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::style::{POLICY, STYLE};
use crate::mailbox::text::grouped;

/// How a verdict looks.
#[derive(Clone, Copy)]
pub(super) enum Tone {
    Good,
    Warning,
    Bad,
}

impl Tone {
    /// Returns the tone of an exit code.
    pub(super) fn of_exit(exit: u8) -> Tone {
        match exit {
            0 => Tone::Good,
            1 => Tone::Warning,
            _ => Tone::Bad,
        }
    }

    /// Returns the tone of a finding with that severity.
    pub(super) fn of_severity(severity: &str) -> Option<Tone> {
        match severity {
            "error" => Some(Tone::Bad),
            "warning" => Some(Tone::Warning),
            _ => None,
        }
    }

    /// Returns the class of the style.
    pub(super) fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Warning => "warning",
            Tone::Bad => "bad",
        }
    }
}

/// What a page begins with.
pub(super) struct Head {
    pub(super) title: &'static str,
    pub(super) tone: Tone,
    /// A paragraph; empty where the verdict is left out.
    pub(super) verdict: Markup,
    /// A sentence: what the exit code means.
    pub(super) exit: String,
    /// The most important numbers, each with its name.
    pub(super) figures: Vec<Figure>,
    pub(super) is_redacted: bool,
}

/// A number with its name.
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) value: String,
}

/// A section of a page.
pub(super) struct Section {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) body: Markup,
}

/// Returns the whole page.
pub(super) fn page(head: &Head, sections: &[Section]) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                meta name="robots" content="noindex";
                title { (head.title) " – mailferry" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (head.title) }
                    div class={ "verdict " (head.tone.class()) } {
                        (head.verdict)
                        p { (head.exit) }
                    }
                    dl.figures {
                        @for figure in &head.figures { div { dt { (figure.name) } dd { (figure.value) } } }
                    }
                    @if head.is_redacted {
                        p.note { "Names, addresses, subjects and lines of mail are left out of this report." }
                    }
                    nav aria-label="Contents" {
                        ul { @for section in sections { li { a href={ "#" (section.id) } { (section.title) } } } }
                    }
                }
                main {
                    @for section in sections {
                        section id=(section.id) aria-labelledby={ (section.id) "-heading" } {
                            h2 id={ (section.id) "-heading" } { (section.title) }
                            (section.body)
                        }
                    }
                }
                footer {
                    p { "Made by mailferry. This file has no script and loads nothing. All times are in UTC." }
                }
            }
        }
    };
    page.into_string()
}

/// A column of a table.
#[derive(Clone, Copy)]
pub(super) enum Header {
    Text(&'static str),
    Number(&'static str),
}

/// A table. Its body and foot have rows of cells.
pub(super) struct Table<'a> {
    /// The caption, which also names the area that scrolls.
    pub(super) caption: &'a str,
    pub(super) headers: &'a [Header],
    pub(super) rows: Markup,
    pub(super) foot: Option<Markup>,
}

/// Shows a table. On a narrow screen it scrolls by itself.
pub(super) fn table(table: Table<'_>) -> Markup {
    html! {
        div.scroll role="group" tabindex="0" aria-label=(table.caption) {
            table {
                caption { (table.caption) }
                thead {
                    tr {
                        @for header in table.headers {
                            @match header {
                                Header::Text(name) => { th scope="col" { (name) } }
                                Header::Number(name) => { th.number scope="col" { (name) } }
                            }
                        }
                    }
                }
                tbody { (table.rows) }
                @if let Some(foot) = &table.foot { tfoot { (foot) } }
            }
        }
    }
}

/// Shows a number in a cell.
pub(super) fn number(value: u64) -> Markup {
    html! { td.number { (grouped(value)) } }
}

/// Shows that rows are left out, and where they are.
pub(super) fn left_out(count: u64, place: &str) -> Markup {
    html! {
        @if count > 0 { p.note { "…, and " (grouped(count)) " more; " (place) " lists all." } }
    }
}

/// Returns the first `limit` of some rows, and how many are left out.
pub(super) fn capped<T>(rows: &[T], limit: usize) -> Capped<'_, T> {
    Capped { shown: &rows[..rows.len().min(limit)], left_out: rows.len().saturating_sub(limit) as u64 }
}

/// The first of some rows.
pub(super) struct Capped<'a, T> {
    pub(super) shown: &'a [T],
    pub(super) left_out: u64,
}
