//! Tables of text, with columns that align whatever the width of the characters.

use console::{measure_text_width, truncate_str};

/// Blanks between two columns.
const GAP: usize = 2;
/// Columns of the terminal that text keeps where it is shortened.
const MIN_TEXT: usize = 12;

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// Text that starts at the left, and is shortened where the terminal is too narrow.
    Text,
    /// A sentence, whose beginning stays where it is shortened.
    Sentence,
    /// Numbers, which end at the right.
    Number,
}

/// A table. The first row is the header.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    /// Returns the lines of the table. `terminal` is its width, which no line exceeds if text can be shortened.
    pub(crate) fn lines(&self, terminal: Option<usize>) -> Vec<String> {
        let width = |n: usize| self.rows.iter().map(|row| measure_text_width(&row[n])).max().unwrap_or(0);
        let mut widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        if let Some(terminal) = terminal {
            self.fit(&mut widths, terminal);
        }
        self.rows.iter().map(|row| self.line(row, &widths)).collect()
    }

    /// Shortens the widest text until the table fits.
    fn fit(&self, widths: &mut [usize], terminal: usize) {
        let gaps = GAP * widths.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > terminal {
            let texts = (0..widths.len()).filter(|&n| self.columns[n] != Column::Number);
            match texts.max_by_key(|&n| widths[n]) {
                Some(widest) if widths[widest] > MIN_TEXT => widths[widest] -= 1,
                _ => return,
            }
        }
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let cell = |((text, &width), column): ((&String, &usize), &Column)| {
            let text = match column {
                Column::Sentence => truncate_str(text, width, "…").into_owned(),
                Column::Text | Column::Number => shorten(text, width),
            };
            let padding = " ".repeat(width.saturating_sub(measure_text_width(&text)));
            match column {
                Column::Text | Column::Sentence => text + &padding,
                Column::Number => padding + &text,
            }
        };
        let cells: Vec<String> = row.iter().zip(widths).zip(&self.columns).map(cell).collect();
        cells.join(&" ".repeat(GAP)).trim_end().to_owned()
    }
}

/// Shortens a text to this width. Its end stays: that is where names of files differ.
fn shorten(text: &str, width: usize) -> String {
    if measure_text_width(text) <= width {
        return text.to_owned();
    }
    let mut starts = text.char_indices().map(|(start, _)| start);
    let end = starts.find(|&start| measure_text_width(&text[start..]) < width).unwrap_or(text.len());
    format!("…{}", &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        Table {
            columns: vec![Column::Text, Column::Number, Column::Text],
            rows: vec![
                row(["folder", "found", "from"]),
                row(["受信箱", "1,234", "Mail/受信箱"]),
                row(["INBOX/Travel", "7", "Mail/Inbox.sbd/Travel in the summer"]),
            ],
        }
    }

    #[test]
    fn columns_align_whatever_the_width_of_the_characters() {
        let expected = "\
folder        found  from
受信箱        1,234  Mail/受信箱
INBOX/Travel      7  Mail/Inbox.sbd/Travel in the summer";
        assert_eq!(table().lines(None).join("\n"), expected);
    }

    #[test]
    fn a_table_is_shortened_to_the_width_of_the_terminal() {
        let lines = table().lines(Some(40));
        assert_eq!(lines[2], "INBOX/Travel      7  …avel in the summer");
        assert!(lines.iter().all(|line| measure_text_width(line) <= 40), "{lines:?}");
        assert_eq!(shorten("受信箱/古い", 7), "…/古い");
    }
}
