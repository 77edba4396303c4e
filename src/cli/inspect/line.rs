//! `inspect FILE:LINE`.

use serde_json::json;

use super::boundaries::row_json;
use crate::cli::ui::Reporter;
use crate::cli::ui::layout::{truncate, wrap};
use crate::inspect::{self, LineLocation, LinePart};
use crate::mailbox::mbox::from_line::LineClass;
use crate::mailbox::mbox::{Candidate, Mbox, NextLine, Reason, Verdict};
use crate::mailbox::source::Source;
use crate::mailbox::text::{grouped, grouped_plural, shell_quote};
use crate::mailbox::{Error, Result, display_path, escape};

/// Bytes of a line that are shown.
const MAX_SHOWN: usize = 1000;

/// Shows a line with those around it, and the decision about it.
pub(super) fn show(source: &Source, mbox: &Mbox<'_>, line: u64, reporter: &mut Reporter) -> Result<()> {
    let found = inspect::locate(mbox, line).map_err(|lines| {
        let has = grouped_plural(lines, "line");
        Error::unsupported(source.path(), format!("has {has}, no line {}", grouped(line)))
    })?;
    let lines = found.context.iter().map(|range| {
        let bytes = &mbox.text()[range.clone()];
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        escape(&bytes[..bytes.len().min(MAX_SHOWN)])
    });
    let lines: Vec<(u64, String)> = (found.context_line..).zip(lines).collect();
    if reporter.is_json() {
        reporter.object(&object(source, &found, &lines));
        return Ok(());
    }
    let path = display_path(source.path());
    reporter.line(&format!("{path}:{line} (byte {}): {}", found.offset, place(&found)));
    let width = reporter.table_width();
    let digits = lines.last().map_or(1, |(number, _)| number.to_string().len());
    for (number, text) in &lines {
        let mark = if *number == line { '>' } else { ' ' };
        let text = format!("{mark} {number:digits$} | {text}");
        reporter.line(&truncate(&text, width.unwrap_or(usize::MAX)));
    }
    let (Some(decision), Some(rule)) = (&found.decision, found.rule()) else { return Ok(()) };
    let evidence = evidence(&decision.candidate);
    let verdict = match decision.verdict {
        Verdict::Separator => "A message begins here",
        Verdict::Doubled => "No other message begins here",
        Verdict::Body => "No message begins here",
    };
    let row = match decision.reason {
        Reason::Row(row) => format!("row {row}"),
        reason => inspect::reason_name(reason),
    };
    let text = format!("{verdict} ({row}): {rule}.");
    for line in wrap(&text, width.unwrap_or(usize::MAX)) {
        reporter.line(line);
    }
    for (name, value) in evidence {
        reporter.line(&format!("  {name:<12}{value}"));
    }
    reporter.line("To decide differently, edit this list, and pass it to mailferry convert --boundaries:");
    reporter.line(&format!("  mailferry inspect --boundaries {} > list", shell_quote(source.path())));
    Ok(())
}

/// Describes the place of the line.
fn place(found: &LineLocation) -> String {
    let part = match found.part {
        LinePart::FromLine => "the From_ line",
        LinePart::Header => "in the header",
        LinePart::Body => "in the body",
        LinePart::Separator => "between two messages",
        LinePart::Junk => "in bytes that belong to no message",
    };
    found.message.map_or_else(|| part.to_owned(), |number| format!("{part} of message {number}"))
}

/// Returns the evidence of the decision table, each with its letter.
fn evidence(candidate: &Candidate) -> [(&'static str, &'static str); 3] {
    let line = match candidate.line {
        LineClass::Dated => "a sender and a date (D)",
        LineClass::Known => "a known form without a date (K)",
        LineClass::Shaped | LineClass::Unknown => "not a known form of a From_ line (U)",
    };
    let next = match candidate.next {
        NextLine::Header => "a header field or a From_ line (H)",
        NextLine::Empty => "an empty line, or the end of the file (E)",
        NextLine::Text => "other text (T)",
    };
    let before = if candidate.blank_before { "a blank line, or no message yet (B)" } else { "text (N)" };
    [("line:", line), ("next line:", next), ("before:", before)]
}

fn object(source: &Source, found: &LineLocation, lines: &[(u64, String)]) -> serde_json::Value {
    let context = lines.iter().map(|(line, text)| json!({ "line": line, "text": text }));
    let decision = found.decision.as_ref();
    json!({
        "type": "line",
        "path": display_path(source.path()),
        "line": found.line,
        "offset": found.offset,
        "part": found.part.name(),
        "message": found.message,
        "context": context.collect::<Vec<_>>(),
        "class": decision.map(|decision| decision.candidate.class()),
        "row": decision.map(|decision| row_json(decision.reason)),
        "verdict": decision.map(|decision| decision.verdict.name()),
        "rule": found.rule(),
    })
}
