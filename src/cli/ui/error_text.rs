//! Errors on standard error, in one form for all of them: `mailferry: WHAT: what failed; what to do`.

use std::io::Write;

use super::layout::{stderr_width, wrap};

/// Prints an error: one line in a pipe. On a terminal it is wrapped, and the remedy has lines of its own.
pub(crate) fn print_error(text: &str, remedy: Option<&str>) {
    let lines = lines(&format!("mailferry: {text}"), remedy, stderr_width());
    // There is nowhere to report that this failed. A panic would give Rust's own exit code.
    let _ = writeln!(std::io::stderr(), "{}", lines.join("\n"));
}

fn lines(text: &str, remedy: Option<&str>, width: Option<usize>) -> Vec<String> {
    const INDENT: &str = "  ";
    let Some(width) = width else {
        return vec![remedy.map_or_else(|| text.to_owned(), |remedy| format!("{text}; {remedy}"))];
    };
    // Some messages name their remedy themselves.
    let (text, own) = text.split_once("; ").map_or((text, None), |(text, own)| (text, Some(own)));
    let remedies = own.into_iter().chain(remedy);
    let indented = |text| wrap(text, width - INDENT.len()).into_iter().map(|line| format!("{INDENT}{line}"));
    let mut wrapped = wrap(text, width).into_iter();
    let mut lines: Vec<String> = wrapped.next().map(str::to_owned).into_iter().collect();
    lines.extend(wrapped.map(|line| format!("{INDENT}{line}")));
    lines.extend(remedies.flat_map(indented));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_in_a_pipe_and_fits_a_terminal() {
        let (text, remedy) = ("mailferry: in.mbox: cannot open: no such file or directory", "check the path");
        assert_eq!(lines(text, Some(remedy), None), [format!("{text}; {remedy}")]);
        assert_eq!(
            lines(text, Some(remedy), Some(40)),
            ["mailferry: in.mbox: cannot open: no such", "  file or directory", "  check the path"]
        );
        let text = "mailferry: --owner: is for a file; leave it out";
        assert_eq!(lines(text, None, Some(80)), ["mailferry: --owner: is for a file", "  leave it out"]);
    }
}
