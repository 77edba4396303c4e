//! Reports: findings and sums as text or as JSON Lines. The only place that prints.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::Path;

use crate::mailbox::error::Error;
use crate::mailbox::finding::{Code, Finding, Severity};
use crate::mailbox::text::display_path;
use crate::transport::failure::Failure;
use anstream::{AutoStream, ColorChoice};
use serde::Serialize;
use serde_json::{Value, json};

use super::exit::Exit;
use crate::cli::args::{CommonArgs, When};

/// Findings of one code that are told one by one without `-v`.
const TOLD: u64 = 20;

/// Where a report goes, and in which shape.
pub(crate) struct Reporter {
    out: io::BufWriter<Box<dyn Write + Send>>,
    colour: bool,
    json: bool,
    quiet: bool,
    verbose: bool,
    /// Errors told.
    pub(crate) errors: u64,
    /// Warnings told, or left untold for being too many of a kind.
    pub(crate) warnings: u64,
    closed: bool,
    /// Whether what was to be said or shown could not be written.
    lost: bool,
}

/// How many findings of each kind were told, and how many were too many.
#[derive(Default)]
pub(crate) struct FindingCounts {
    told: HashMap<Code, u64>,
    untold: BTreeMap<Code, u64>,
}

impl Reporter {
    /// A report on standard output.
    pub(crate) fn new(common: &CommonArgs) -> Reporter {
        Reporter::on(Box::new(io::stdout()), AutoStream::choice(&io::stdout()), common)
    }

    /// A report on standard error, where standard output carries the mail.
    pub(crate) fn on_stderr(common: &CommonArgs) -> Reporter {
        Reporter::on(Box::new(io::stderr()), AutoStream::choice(&io::stderr()), common)
    }

    fn on(out: Box<dyn Write + Send>, auto: ColorChoice, common: &CommonArgs) -> Reporter {
        let choice = match common.color {
            When::Auto => auto,
            When::Always => ColorChoice::Always,
            When::Never => ColorChoice::Never,
        };
        Reporter {
            out: io::BufWriter::new(out),
            colour: choice != ColorChoice::Never,
            json: common.json,
            quiet: common.quiet,
            verbose: common.verbose,
            errors: 0,
            warnings: 0,
            closed: false,
            lost: false,
        }
    }

    /// Whether the report is JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// A line of text, unless the report is JSON or quiet.
    pub(crate) fn line(&mut self, text: &str) {
        if !self.json && !self.quiet {
            self.print(text);
        }
    }

    /// A line that has the report's shape already.
    pub(crate) fn preformatted_line(&mut self, line: &str) {
        if self.json || !self.quiet {
            self.print(line);
        }
    }

    /// A line of text for those who want to know more: with `-v`.
    pub(crate) fn detail(&mut self, text: &str) {
        if self.verbose {
            self.line(text);
        }
    }

    /// A JSON object, if the report is JSON.
    pub(crate) fn object(&mut self, object: &impl Serialize) {
        if self.json {
            match serde_json::to_string(object) {
                Ok(text) => self.print(&text),
                // Of an object with keys that are no text: there is none.
                Err(_) => self.lost = true,
            }
        }
    }

    /// All findings about one file, in their order.
    pub(crate) fn findings(&mut self, path: &Path, findings: &[Finding]) {
        let mut told = FindingCounts::default();
        for finding in findings {
            self.finding(path, finding, Value::Null, &mut told);
        }
        self.report_suppressed(path, told);
    }

    /// One finding of many; `more` is an object with further keys for programs. The last one is to be
    /// followed by [`untold`](Reporter::untold).
    pub(crate) fn finding(&mut self, path: &Path, finding: &Finding, more: Value, told: &mut FindingCounts) {
        match finding.code.severity() {
            Severity::Info => {}
            Severity::Warning => self.warnings += 1,
            Severity::Error => self.errors += 1,
        }
        let count = told.told.entry(finding.code).or_default();
        *count += 1;
        let held_back = match finding.code.severity() {
            Severity::Info => !self.verbose,
            Severity::Warning => !self.verbose && *count > TOLD,
            Severity::Error => false,
        };
        if self.json {
            let mut object = finding_object(path, finding);
            if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
                object.extend(more);
            }
            self.object(&object);
        } else if !held_back {
            self.finding_line(path, finding);
        } else if finding.code.severity() == Severity::Warning {
            *told.untold.entry(finding.code).or_default() += 1;
        }
    }

    /// Says how many warnings were too many of a kind to be told.
    pub(crate) fn report_suppressed(&mut self, path: &Path, told: FindingCounts) {
        for (code, count) in told.untold {
            self.line(&format!(
                "{}: {count} more warnings of the kind {}; -v lists them",
                display_path(path),
                code.name()
            ));
        }
    }

    fn finding_line(&mut self, path: &Path, finding: &Finding) {
        let path = finding.path.as_deref().unwrap_or(path);
        let severity = finding.code.severity();
        if self.quiet && severity != Severity::Error {
            return;
        }
        let (style, reset) = match severity {
            _ if !self.colour => ("", ""),
            Severity::Info => ("\x1b[36m", "\x1b[0m"),
            Severity::Warning => ("\x1b[33m", "\x1b[0m"),
            Severity::Error => ("\x1b[31m", "\x1b[0m"),
        };
        let place = match (finding.line, finding.offset) {
            (Some(line), Some(offset)) => format!(":{line} (byte {offset})"),
            (None, Some(offset)) => format!(" (byte {offset})"),
            _ => String::new(),
        };
        let mut text = format!(
            "{style}{}{reset}: {}{place}: {} [{}]",
            severity.name(),
            display_path(path),
            finding.message,
            finding.code.name()
        );
        if let Some(mend) = &finding.hint {
            text.push_str(&format!("; {mend}"));
        }
        self.print(&text);
    }

    /// An error that ended the run: to standard error for people, as a finding for programs.
    pub(crate) fn error(&mut self, error: &Error) {
        self.errors += 1;
        let mend = error.hint().map(|m| format!("; {m}")).unwrap_or_default();
        let _ = writeln!(anstream::stderr(), "mailferry: {error}{mend}");
        self.object(&json!({
            "type": "finding",
            "code": error.code().name(),
            "severity": "error",
            "path": error.path().map(display_path),
            "message": error.to_string(),
            "mend": error.hint(),
            "retry": error.retry_helps(),
        }));
    }

    /// Why a message was not delivered. Its status comes first, without our name: so Postfix reads it.
    pub(crate) fn failure(&mut self, code: Code, failure: &Failure) {
        self.errors += 1;
        let _ = writeln!(anstream::stderr(), "{failure}");
        self.object(&json!({
            "type": "finding",
            "code": code.name(),
            "severity": "error",
            "path": Value::Null,
            "message": failure.to_string(),
            "retry": failure.reason.is_temporary(),
        }));
    }

    /// Bytes that are data, not a report: as they are.
    pub(crate) fn data(&mut self, bytes: &[u8]) {
        if self.closed {
            return;
        }
        if let Err(error) = self.out.write_all(bytes) {
            self.out_failed(&error);
        }
    }

    fn print(&mut self, text: &str) {
        if self.closed {
            return;
        }
        if let Err(error) = writeln!(self.out, "{text}") {
            self.out_failed(&error);
        }
    }

    /// A closed pipe is the reader's decision and no error; anything else is.
    fn out_failed(&mut self, error: &io::Error) {
        self.closed = true;
        if error.kind() != io::ErrorKind::BrokenPipe {
            self.lost = true;
            let _ = writeln!(io::stderr(), "mailferry: cannot write to standard output: {error}");
        }
    }

    /// Flushes what is buffered. Whoever redirects a message or a report to a full disk must not be
    /// told that it is there.
    pub(crate) fn finish(&mut self, exit: Exit) -> Exit {
        if !self.closed
            && let Err(error) = self.out.flush()
        {
            self.out_failed(&error);
        }
        if self.lost && exit != Exit::Interrupted { Exit::CouldNotFinish } else { exit }
    }
}

fn finding_object(path: &Path, finding: &Finding) -> Value {
    let path = finding.path.as_deref().unwrap_or(path);
    let mut object = json!({
        "type": "finding",
        "code": finding.code.name(),
        "severity": finding.code.severity().name(),
        "path": display_path(path),
        "message": finding.message,
    });
    let optional = [
        ("offset", finding.offset.map(Value::from)),
        ("line", finding.line.map(Value::from)),
        ("mend", finding.hint.as_deref().map(Value::from)),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            object[key] = value;
        }
    }
    object
}
