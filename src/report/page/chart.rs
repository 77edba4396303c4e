//! Charts in SVG. Positions across are per cent, so that a chart fits any width and its text keeps its size.

use maud::{Markup, html};

use crate::mailbox::text::grouped;

/// A part of a whole.
pub(super) struct Part {
    pub(super) name: &'static str,
    /// A class of the style.
    pub(super) colour: &'static str,
    pub(super) value: u64,
}

/// A column of a chart. It has a label, and its value as text.
pub(super) struct Column {
    pub(super) label: String,
    pub(super) value: u64,
    pub(super) text: String,
}

/// The names of a chart: its id in the page, and its text alternative.
pub(super) struct Names<'a> {
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    pub(super) description: String,
}

/// A part that is not zero is at least this wide, in per cent.
const MIN_WIDTH: f64 = 1.0;
const BAR_HEIGHT: u32 = 32;
/// Of the columns' area, in pixels; above it is the largest value, below it are the labels.
const COLUMNS_TOP: f64 = 22.0;
const COLUMNS_HEIGHT: f64 = 110.0;
const LABEL_HEIGHT: f64 = 20.0;
/// More labels would overlap on a narrow screen.
const MAX_LABELS: usize = 8;

/// Draws a bar with a segment for each part.
pub(super) fn bar(names: &Names<'_>, parts: &[Part]) -> Markup {
    let widths = widths(parts);
    let starts = widths.iter().scan(0.0, |end, width| {
        let start = *end;
        *end += width;
        Some(start)
    });
    let segments = parts.iter().zip(starts).zip(&widths).filter(|((part, _), _)| part.value > 0);
    html! {
        svg.bar role="img" width="100%" height=(BAR_HEIGHT) aria-labelledby=(label_ids(names)) {
            (text_alternative(names))
            @for ((part, start), width) in segments {
                rect class=(part.colour) x=(percent(start)) y="0" width=(percent(*width)) height=(BAR_HEIGHT) {
                    title { (part.name) ": " (grouped(part.value)) }
                }
            }
        }
    }
}

/// Draws the colour of a part, for the first cell of its row in a table.
pub(super) fn swatch(colour: &str) -> Markup {
    html! {
        svg.swatch aria-hidden="true" width="12" height="12" { rect class=(colour) width="12" height="12" {} }
    }
}

/// Draws columns from left to right.
pub(super) fn columns(names: &Names<'_>, columns: &[Column], colour: &str) -> Markup {
    let largest = columns.iter().max_by_key(|column| column.value);
    let maximum = largest.map_or(0, |column| column.value).max(1) as f64;
    let step = 100.0 / columns.len().max(1) as f64;
    let height = |value: u64| match value {
        0 => 0.0,
        value => (value as f64 / maximum * COLUMNS_HEIGHT).max(1.0),
    };
    let bottom = COLUMNS_TOP + COLUMNS_HEIGHT;
    let labelled = columns.len().div_ceil(MAX_LABELS).max(1);
    html! {
        svg.columns role="img" width="100%" height=(bottom + LABEL_HEIGHT) aria-labelledby=(label_ids(names)) {
            (text_alternative(names))
            line.axis x1="0" x2="100%" y1=(COLUMNS_TOP) y2=(COLUMNS_TOP) {}
            @if let Some(largest) = largest { text x="0" y=(COLUMNS_TOP - 6.0) { (largest.text) } }
            @for (n, column) in columns.iter().enumerate() {
                @let height = height(column.value);
                rect class=(colour) x=(percent((n as f64 + 0.1) * step)) y=(pixels(bottom - height))
                    width=(percent(step * 0.8)) height=(pixels(height)) {
                    title { (column.label) ": " (column.text) }
                }
                @if n % labelled == 0 {
                    // Many columns are narrow, and a label in the middle of the first would begin left of the chart.
                    @let (x, anchor) = if n == 0 && labelled > 1 { (0.1, "start") } else { (n as f64 + 0.5, "middle") };
                    text x=(percent(x * step)) y=(bottom + 15.0) text-anchor=(anchor) { (column.label) }
                }
            }
            line.axis x1="0" x2="100%" y1=(bottom) y2=(bottom) {}
        }
    }
}

fn label_ids(names: &Names<'_>) -> String {
    format!("{0}-title {0}-description", names.id)
}

fn text_alternative(names: &Names<'_>) -> Markup {
    html! {
        title id={ (names.id) "-title" } { (names.title) }
        desc id={ (names.id) "-description" } { (names.description) }
    }
}

/// Reports whether a bar shows a part wider than it is.
pub(super) fn is_widened(parts: &[Part]) -> bool {
    shares(parts).into_iter().any(is_small)
}

fn is_small(share: f64) -> bool {
    share > 0.0 && share < MIN_WIDTH
}

/// Returns the shares of parts in per cent.
fn shares(parts: &[Part]) -> Vec<f64> {
    let total: f64 = parts.iter().map(|part| part.value as f64).sum();
    let share = |part: &Part| if total > 0.0 { part.value as f64 / total * 100.0 } else { 0.0 };
    parts.iter().map(share).collect()
}

/// Returns the widths of parts in per cent. Their sum is 100 unless all are zero.
fn widths(parts: &[Part]) -> Vec<f64> {
    let shares = shares(parts);
    let small = shares.iter().filter(|share| is_small(**share)).count() as f64 * MIN_WIDTH;
    let rest: f64 = shares.iter().filter(|share| !is_small(**share)).sum();
    shares
        .iter()
        .map(|&share| match is_small(share) {
            true => MIN_WIDTH,
            false if rest > 0.0 => share / rest * (100.0 - small),
            false => 0.0,
        })
        .collect()
}

fn percent(value: f64) -> String {
    format!("{value:.2}%")
}

fn pixels(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(values: &[u64]) -> Vec<Part> {
        values.iter().map(|&value| Part { name: "part", colour: "blue", value }).collect()
    }

    #[test]
    fn a_bar_is_full_and_shows_every_part_that_is_not_zero() {
        for values in [&[5, 5][..], &[1, 1_000_000, 0, 3], &[u64::MAX, u64::MAX, 1], &[1]] {
            let widths = widths(&parts(values));
            assert!((widths.iter().sum::<f64>() - 100.0).abs() < 1e-6, "{widths:?}");
            for (value, width) in values.iter().zip(widths) {
                assert_eq!(*value == 0, width == 0.0);
                assert!(*value == 0 || width > 0.9, "{values:?}: {width}");
            }
        }
        assert_eq!(widths(&parts(&[0, 0])), [0.0, 0.0]);
    }
}
