//! Comma-separated values (RFC 4180).

/// Returns a line.
pub(crate) fn row(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    cells.join(",") + "\r\n"
}

/// Quotes a cell where it needs quotes. A spreadsheet would compute what begins like a formula, and a stranger may have
/// chosen the text: an apostrophe before it makes it text.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    match text.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_and_never_a_formula() {
        for (text, expected) in [
            ("joe", "joe"),
            ("a\nb", "\"a\nb\""),
            ("-1,2", "\"'-1,2\""),
            ("Doe, Joe", "\"Doe, Joe\""),
            ("a \"b\"", "\"a \"\"b\"\"\""),
            ("=HYPERLINK(\"x\",1)", "\"'=HYPERLINK(\"\"x\"\",1)\""),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@joe", "'@joe"),
            ("joe@example.org", "joe@example.org"),
            ("", ""),
        ] {
            assert_eq!(cell(text), expected);
        }
    }
}
