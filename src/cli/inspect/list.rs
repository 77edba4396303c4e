//! The list of the messages of a mailbox.

use std::fmt::Write;
use std::path::Path;

use serde_json::json;

use crate::cli::args::CommonArgs;
use crate::cli::ui::Reporter;
use crate::cli::ui::layout::{fit, truncate};
use crate::inspect::{self, MessageRow, Position};
use crate::mailbox::finding::{self, Severity};
use crate::mailbox::mbox::Mbox;
use crate::mailbox::message::Origin;
use crate::mailbox::source::Source;
use crate::mailbox::text::{escape_text, grouped, grouped_plural};
use crate::mailbox::{Code, Context, Finding, Result, display_path, escape};

/// The list of the messages of an mbox.
pub(super) struct Listing<'a> {
    pub common: &'a CommonArgs,
    pub source: &'a Source,
    pub mbox: &'a Mbox<'a>,
    pub context: &'a Context<'a>,
}

impl Listing<'_> {
    pub(super) fn show(&self, mut findings: Vec<Finding>, reporter: &mut Reporter) -> Result<()> {
        let source = self.source;
        let messages = self.mbox.messages();
        let largest = messages.iter().map(|message| message.end - message.start).max().unwrap_or(0);
        let format = RowFormat::new(reporter, messages.len(), largest);
        let print = |rows: Vec<String>| rows.iter().for_each(|row| reporter.preformatted_line(row));
        let show = |row| format.row(&row);
        findings.extend(inspect::list_mbox(source, self.mbox, self.context, show, print)?);
        if source.is_cr_only() {
            findings.push(Finding::new(Code::MboxCrOnly, "every line ends in CR, as on a classic Mac"));
        }
        finding::number_lines(&mut findings, source.text(), &|range| source.release(range));
        if reporter.is_json() || self.common.verbose {
            reporter.findings(source.path(), &findings);
        } else if !self.common.quiet {
            self.summarize(&findings, reporter);
        }
        reporter.warnings = count(&findings, |severity| severity == Severity::Warning);
        reporter.errors = count(&findings, |severity| severity == Severity::Error);
        Ok(())
    }

    /// Writes counts to standard error: the listing is data for other programs.
    fn summarize(&self, findings: &[Finding], reporter: &mut Reporter) {
        let warnings = count(findings, |severity| severity >= Severity::Warning);
        let path = display_path(self.source.path());
        reporter.note(&format!(
            "{path}: {}, {} ({})",
            grouped_plural(self.mbox.messages().len() as u64, "message"),
            self.mbox.variant,
            self.mbox.evidence
        ));
        if warnings > 0 {
            reporter.note(&format!("{path}: {}; list with inspect -v", grouped_plural(warnings, "warning")));
        }
    }
}

fn count(findings: &[Finding], is_counted: impl Fn(Severity) -> bool) -> u64 {
    findings.iter().filter(|finding| is_counted(finding.severity)).count() as u64
}

/// Lists the messages of a Maildir, and returns their number.
pub(super) fn show_maildir(
    maildir: &Path,
    context: &Context<'_>,
    common: &CommonArgs,
    reporter: &mut Reporter,
) -> Result<usize> {
    let (rows, mut findings) = inspect::list_maildir(maildir, context)?;
    let largest = rows.iter().map(|row| row.length).max().unwrap_or(0);
    let format = RowFormat::new(reporter, rows.len(), largest);
    rows.iter().for_each(|row| reporter.preformatted_line(&format.row(row)));
    if reporter.is_json() || common.verbose {
        reporter.findings(maildir, &findings);
        return Ok(rows.len());
    }
    findings.retain(|finding| finding.severity == Severity::Error);
    if !findings.is_empty() {
        reporter.errors += findings.len() as u64;
        let files = grouped_plural(findings.len() as u64, "unreadable file");
        reporter.note(&format!("{}: {files} left out; list with inspect -v", display_path(maildir)));
    }
    Ok(rows.len())
}

/// The form of the rows.
enum RowFormat {
    Json,
    /// Columns separated by tabs.
    Tabs,
    Table(TableWidths),
}

/// Columns of a table on a terminal.
struct TableWidths {
    number: usize,
    size: usize,
    from: usize,
    subject: usize,
}

impl RowFormat {
    /// Chooses the form, and prints the header of a table. `largest` is the size of the largest message.
    fn new(reporter: &mut Reporter, messages: usize, largest: u64) -> RowFormat {
        if reporter.is_json() {
            return RowFormat::Json;
        }
        let Some(width) = reporter.table_width() else { return RowFormat::Tabs };
        let widths = TableWidths::new(width, messages, largest);
        if messages > 0 {
            reporter.line(&widths.header());
        }
        RowFormat::Table(widths)
    }

    fn row(&self, row: &MessageRow) -> String {
        match self {
            RowFormat::Json => row_object(row),
            RowFormat::Tabs => tab_separated(row),
            RowFormat::Table(widths) => widths.row(row),
        }
    }
}

impl TableWidths {
    const DATE: &str = "2001-07-17 06:02";
    const FLAGS: usize = 6;

    fn new(width: usize, messages: usize, largest: u64) -> TableWidths {
        let number = messages.to_string().len();
        let size = grouped(largest).len().max("bytes".len());
        let fixed = number + Self::DATE.len() + Self::FLAGS + size + 5 * "  ".len();
        let text = width.saturating_sub(fixed);
        let from = (text * 2 / 5).clamp(10, 32);
        TableWidths { number, size, from, subject: text.saturating_sub(from).max(10) }
    }

    fn header(&self) -> String {
        self.line(["", "received", "flags", "bytes", "from", "subject"])
    }

    fn line(&self, [number, date, flags, size, from, subject]: [&str; 6]) -> String {
        format!(
            "{number:>w_number$}  {date:w_date$}  {flags:w_flags$}  {size:>w_size$}  {}  {}",
            fit(from, self.from),
            truncate(subject, self.subject),
            w_number = self.number,
            w_date = Self::DATE.len(),
            w_flags = Self::FLAGS,
            w_size = self.size,
        )
    }

    fn row(&self, row: &MessageRow) -> String {
        let date = jiff::Timestamp::from_second(row.epoch).ok().filter(|_| row.origin != Origin::None);
        let date = date.map(|date| date.strftime("%Y-%m-%d %H:%M").to_string()).unwrap_or_default();
        let text = |s: &str| escape(s.as_bytes());
        self.line([
            &row.number.to_string(),
            &date,
            &flags(row),
            &grouped(row.length),
            &text(name(&row.from)),
            &text(&row.subject),
        ])
    }
}

/// Returns the name of a sender, or else the address.
fn name(from: &str) -> &str {
    let name = from.rsplit_once('<').map_or(from, |(name, _)| name).trim().trim_matches('"');
    if name.is_empty() { from } else { name }
}

/// Returns the flags as letters, with N for a new message.
fn flags(row: &MessageRow) -> String {
    match (row.is_pseudo, row.flags.is_empty(), row.is_new) {
        (true, ..) => "pseudo".into(),
        (_, true, false) => "-".into(),
        (_, _, is_new) => format!("{}{}", row.flags, if is_new { "N" } else { "" }),
    }
}

/// Formats the JSON object of a message.
fn row_object(row: &MessageRow) -> String {
    let mut object = json!({
        "type": "message",
        "number": row.number,
        "length": row.length,
        "date": date(row),
        "epoch": row.epoch,
        "origin": row.origin.name(),
        "flags": row.flags.to_string(),
        "new": row.is_new,
        "pseudo": row.is_pseudo,
        "from": row.from,
        "subject": row.subject,
        "message_id": row.message_id,
    });
    match &row.position {
        Position::Offset(offset) => object["offset"] = json!(offset),
        Position::File(file) => object["file"] = json!(display_path(file)),
    }
    object.to_string()
}

/// Formats a row in columns separated by tabs.
fn tab_separated(row: &MessageRow) -> String {
    let at = match &row.position {
        Position::Offset(offset) => offset.to_string(),
        Position::File(file) => display_path(file),
    };
    // Room for the other columns.
    let length = 96 + row.from.len() + row.subject.len() + row.message_id.len();
    let mut line = String::with_capacity(length);
    // Writing to memory does not fail.
    let _ = write!(line, "{}\t{at}\t{}\t", row.number, row.length);
    push_date(row, &mut line);
    for column in [
        row.origin.name(),
        &flags(row),
        &escape_text(&row.from),
        &escape_text(&row.subject),
        &escape_text(&row.message_id),
    ] {
        line.push('\t');
        line.push_str(column);
    }
    line
}

fn date(row: &MessageRow) -> String {
    let mut text = String::new();
    push_date(row, &mut text);
    text
}

fn push_date(row: &MessageRow, text: &mut String) {
    if let Ok(date) = jiff::Timestamp::from_second(row.epoch) {
        // Writing to memory does not fail.
        let _ = write!(text, "{date}");
    }
}
