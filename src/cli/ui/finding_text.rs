//! Findings as text: one line in a pipe, and lines that fit on a terminal.

use std::path::Path;

use super::layout::wrap;
use crate::mailbox::finding::Severity;
use crate::mailbox::{Finding, display_path};

/// Columns of the longest severity, and the blanks after it.
const SEVERITY_WIDTH: usize = "warning  ".len();
/// Columns that a message has at least, however narrow the terminal is.
const MIN_TEXT_WIDTH: usize = 30;

/// Formats a finding as one line, in the form of compiler messages: grep and editors understand it.
pub(crate) fn one_line(path: &Path, finding: &Finding, colour: bool) -> String {
    let path = display_path(finding.path.as_deref().unwrap_or(path));
    let line = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
    let (style, reset) = style(finding.severity, colour);
    let hint = finding.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    let (severity, message) = (finding.severity.name(), message(finding));
    format!("{path}{line}: {style}{severity}{reset}: {message}{hint} [{}]", finding.code.name())
}

/// Returns the message, with the offset if that is all that is known about the place.
fn message(finding: &Finding) -> String {
    match (finding.line, finding.offset) {
        (None, Some(offset)) => format!("byte {offset}: {}", finding.message),
        _ => finding.message.to_string(),
    }
}

/// The lines of findings under a heading, in columns: line, severity, text.
pub(crate) struct FindingColumns {
    /// Columns of the terminal.
    pub(crate) width: usize,
    /// Columns for the line numbers; 0 if no finding has one.
    pub(crate) place_width: usize,
    pub(crate) colour: bool,
}

impl FindingColumns {
    /// Makes room for the line numbers of these findings.
    pub(crate) fn fit<'a>(&mut self, findings: impl IntoIterator<Item = &'a Finding>) {
        let widths =
            findings.into_iter().filter_map(|finding| finding.line).map(|line| place(line).len() + 2);
        self.place_width = widths.fold(self.place_width, usize::max);
    }

    /// Formats a finding. `heading` is the path that the lines before name.
    pub(crate) fn format(&self, heading: &Path, finding: &Finding) -> String {
        let place = finding.line.map(place).unwrap_or_default();
        let place_width = self.place_width;
        let (style, reset) = style(finding.severity, self.colour);
        let severity = finding.severity.name();
        let padding = " ".repeat(SEVERITY_WIDTH - severity.len());
        let mut text = format!("  {place:place_width$}{style}{severity}{reset}{padding}");
        let indent = 2 + place_width + SEVERITY_WIDTH;
        let of_other_file = finding.path.as_deref().filter(|path| *path != heading);
        let file = of_other_file
            .map(|path| format!("{}: ", display_path(path.strip_prefix(heading).unwrap_or(path))));
        let message = format!("{}{}  [{}]", file.unwrap_or_default(), message(finding), finding.code.name());
        let width = self.width.saturating_sub(indent).max(MIN_TEXT_WIDTH);
        let hint = finding.hint.iter().flat_map(|hint| wrap(hint, width));
        for (n, line) in wrap(&message, width).into_iter().chain(hint).enumerate() {
            if n > 0 {
                text.push('\n');
                text.push_str(&" ".repeat(indent));
            }
            text.push_str(line);
        }
        text
    }
}

fn place(line: u64) -> String {
    format!("line {line}")
}

fn style(severity: Severity, colour: bool) -> (&'static str, &'static str) {
    match severity {
        _ if !colour => ("", ""),
        Severity::Info => ("\x1b[36m", "\x1b[0m"),
        Severity::Warning => ("\x1b[33m", "\x1b[0m"),
        Severity::Error => ("\x1b[31m", "\x1b[0m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Code;

    fn findings() -> [Finding; 3] {
        let cut = Finding {
            line: Some(32),
            ..Finding::at(Code::MboxHeaderCut, 976, "the file ends inside a header")
        };
        [
            Finding {
                line: Some(1),
                ..Finding::at(Code::MboxBlankLead, 0, "one blank line before the first message")
            },
            Finding { severity: Severity::Error, ..cut.with_hint("look for the rest in a backup") },
            Finding::new(Code::MaildirMode, "nobody may read it").in_file(Path::new("M/cur/1.a")),
        ]
    }

    #[test]
    fn a_finding_in_a_pipe_is_one_line_as_compilers_print_it() {
        let lines = findings().map(|finding| one_line(Path::new("M"), &finding, false));
        assert_eq!(
            lines,
            [
                "M:1: info: one blank line before the first message [mbox-blank-lead]",
                "M:32: error: the file ends inside a header; look for the rest in a backup [mbox-header-cut]",
                "M/cur/1.a: warning: nobody may read it [maildir-mode]",
            ]
        );
    }

    #[test]
    fn findings_on_a_terminal_are_columns_that_fit() {
        let findings = findings();
        let mut columns = FindingColumns { width: 50, place_width: 0, colour: false };
        columns.fit(&findings);
        let text = findings.each_ref().map(|finding| columns.format(Path::new("M"), finding)).join("\n");
        let expected = "\
\x20 line 1   info     one blank line before the
                    first message
                    [mbox-blank-lead]
  line 32  error    the file ends inside a header
                    [mbox-header-cut]
                    look for the rest in a backup
           warning  cur/1.a: nobody may read it
                    [maildir-mode]";
        assert_eq!(text, expected);
    }
}
