//! Text that fits the width of a terminal.

use std::borrow::Cow;
use std::io::IsTerminal;

use console::{Alignment, Term, measure_text_width, pad_str, truncate_str};

/// Columns of a terminal that does not report its size.
const DEFAULT_WIDTH: usize = 80;
/// Columns that every terminal is assumed to have, so that a column of text has room.
const MIN_WIDTH: usize = 40;

/// Returns the columns of the terminal on standard output; None if it is not a terminal.
pub(crate) fn stdout_width() -> Option<usize> {
    std::io::stdout().is_terminal().then(|| columns(&Term::stdout()))
}

/// Returns the columns of the terminal on standard error; None if it is not a terminal.
pub(crate) fn stderr_width() -> Option<usize> {
    std::io::stderr().is_terminal().then(|| columns(&Term::stderr()))
}

fn columns(terminal: &Term) -> usize {
    terminal.size_checked().map_or(DEFAULT_WIDTH, |(_, columns)| usize::from(columns).max(MIN_WIDTH))
}

/// Breaks text between words into lines of at most `width` columns. A longer word has a line of its own and is not
/// broken, so that a path or a command can be copied.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<&str> {
    let (mut lines, mut start, mut end) = (Vec::new(), 0, 0);
    for word in text.split(' ') {
        let word_start = word.as_ptr().addr() - text.as_ptr().addr();
        let word_end = word_start + word.len();
        if end > start && measure_text_width(&text[start..word_end]) > width {
            lines.push(text[start..end].trim_end());
            start = word_start;
        }
        end = word_end;
    }
    lines.push(&text[start..]);
    lines
}

/// Shortens text to `width` columns, and fills it with blanks up to them.
pub(crate) fn fit(text: &str, width: usize) -> String {
    pad_str(&truncate(text, width), width, Alignment::Left, None).into_owned()
}

/// Shortens text to `width` columns.
pub(crate) fn truncate(text: &str, width: usize) -> Cow<'_, str> {
    truncate_str(text, width, "…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words_by_its_width_on_the_screen() {
        assert_eq!(wrap("one two three", 80), ["one two three"]);
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a /very/long/path b", 4), ["a", "/very/long/path", "b"]);
        assert_eq!(wrap("図書 館の 端末", 9), ["図書 館の", "端末"]);
        assert_eq!(wrap("", 9), [""]);
    }

    #[test]
    fn text_is_shortened_and_filled_by_its_width_on_the_screen() {
        assert_eq!(fit("図書館の端末", 8), "図書館… ");
        assert_eq!(fit("端末", 8), "端末    ");
        assert_eq!(fit("terminal room", 8), "termina…");
        assert_eq!(truncate("端末", 8), "端末");
    }
}
