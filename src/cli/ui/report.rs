//! Reports: findings and totals, as text or as JSON Lines.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use anstream::{AutoStream, ColorChoice};
use serde::Serialize;
use serde_json::Value;

use super::finding_text::{FindingColumns, one_line};
use super::layout;
use super::{Exit, print_error};
use crate::cli::args::{CommonArgs, When};
use crate::cli::run_report::Record;
use crate::mailbox::finding::Severity;
use crate::mailbox::source::mapped;
use crate::mailbox::text::grouped;
use crate::mailbox::{Code, Error, Finding, display_path, escape};
use crate::report::RunReport;
use crate::transport::Failure;

const VERSION: &str = env!("MAILFERRY_VERSION");
/// Warnings with one code that are listed without `-v`.
const MAX_LISTED: u64 = 20;

/// Writes a report in one format to one stream.
pub(crate) struct Reporter {
    out: io::BufWriter<Box<dyn Write + Send>>,
    colour: bool,
    /// Columns of the terminal; None if the stream is not a terminal.
    width: Option<usize>,
    /// The path above the findings on a terminal, until another line is printed.
    heading: Option<Heading>,
    json: bool,
    quiet: bool,
    verbose: bool,
    pub(crate) errors: u64,
    /// All warnings, even those that are not listed.
    pub(crate) warnings: u64,
    started: Instant,
    start: SystemTime,
    closed: bool,
    /// Set if a part of the report could not be written.
    incomplete: bool,
    /// The report in a file, if there is to be one.
    record: Option<Record>,
}

/// Counts the findings about one file, listed and suppressed.
#[derive(Default)]
pub(crate) struct FindingCounts {
    all: HashMap<Code, u64>,
    suppressed: BTreeMap<Code, u64>,
}

/// A path and its findings in columns.
struct Heading {
    path: PathBuf,
    columns: FindingColumns,
}

impl Reporter {
    /// Returns a report on standard output.
    pub(crate) fn new(common: &CommonArgs) -> Reporter {
        let auto = AutoStream::choice(&io::stdout());
        let report = Reporter::on(Box::new(io::stdout()), auto, common);
        Reporter { width: layout::stdout_width(), ..report }
    }

    /// Returns a report on standard error, for commands that write mail to standard output.
    pub(crate) fn on_stderr(common: &CommonArgs) -> Reporter {
        let auto = AutoStream::choice(&io::stderr());
        let report = Reporter::on(Box::new(io::stderr()), auto, common);
        Reporter { width: layout::stderr_width(), ..report }
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
            width: None,
            heading: None,
            json: common.json,
            quiet: common.quiet,
            verbose: common.verbose,
            errors: 0,
            warnings: 0,
            started: Instant::now(),
            start: SystemTime::now(),
            closed: false,
            incomplete: false,
            record: None,
        }
    }

    /// Records what is reported for a file.
    pub(crate) fn record(&mut self, record: Record) {
        self.record = Some(record);
    }

    pub(crate) fn is_recording(&self) -> bool {
        self.record.is_some()
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Returns the columns of the terminal, for text that is shown there and not read by a program.
    pub(crate) fn table_width(&self) -> Option<usize> {
        self.width.filter(|_| !self.json)
    }

    /// Writes a line of text, unless the report is JSON or quiet.
    pub(crate) fn line(&mut self, text: &str) {
        if !self.json && !self.quiet {
            self.print(text);
        }
    }

    /// Writes a sentence, which a terminal shows broken between words.
    pub(crate) fn sentence(&mut self, text: &str) {
        match self.width {
            Some(width) => layout::wrap(text, width).into_iter().for_each(|line| self.line(line)),
            None => self.line(text),
        }
    }

    /// Writes a line that is formatted for either text or JSON.
    pub(crate) fn preformatted_line(&mut self, line: &str) {
        if self.json || !self.quiet {
            self.print(line);
        }
    }

    /// Writes a line to standard error, after what was reported so far: the report is data for other programs.
    pub(crate) fn note(&mut self, text: &str) {
        if self.width.is_some() && !self.closed {
            let _ = self.out.flush();
        }
        let lines = layout::stderr_width().map_or_else(|| vec![text], |width| layout::wrap(text, width));
        let _ = writeln!(io::stderr(), "{}", lines.join("\n"));
    }

    /// Writes a line of text with `-v`.
    pub(crate) fn detail(&mut self, text: &str) {
        if self.verbose {
            self.line(text);
        }
    }

    /// Writes a JSON object if the report is JSON.
    pub(crate) fn object(&mut self, object: &impl Serialize) {
        if self.json {
            match serde_json::to_string(object) {
                Ok(text) => self.print(&text),
                // Only keys that are not strings fail, and no object has any.
                Err(_) => self.incomplete = true,
            }
        }
    }

    /// Writes the JSON summary of a command: `keys`, and those that all commands have.
    pub(crate) fn summary(&mut self, command: &str, exit: Exit, mut keys: Value) {
        if !self.json {
            return;
        }
        keys["type"] = "summary".into();
        keys["command"] = command.into();
        keys["command_line"] = command_line().collect();
        keys["version"] = VERSION.into();
        keys["host"] = host().into();
        keys["start"] = timestamp(self.start).into();
        keys["end"] = timestamp(SystemTime::now()).into();
        keys["exit"] = exit.code().into();
        keys["warnings"] = self.warnings.into();
        keys["errors"] = self.errors.into();
        keys["seconds"] = self.seconds().into();
        self.object(&keys);
    }

    /// Writes the report that goes into a file, and returns how the run ended: one that cannot be written is not a
    /// success. Must come before [`summary`](Reporter::summary).
    pub(crate) fn write_record(&mut self, exit: Exit, report: RunReport) -> Exit {
        let Some(record) = self.record.take().filter(|_| exit != Exit::Usage) else { return exit };
        let written = record.write(RunReport {
            version: VERSION.to_owned(),
            host: host(),
            command_line: command_line().collect(),
            start: timestamp(self.start).unwrap_or_default(),
            end: timestamp(SystemTime::now()).unwrap_or_default(),
            seconds: self.seconds(),
            exit: exit.code(),
            ..report
        });
        match written {
            Ok(()) => exit,
            Err(error) => {
                self.error(&error);
                if exit == Exit::Interrupted { exit } else { Exit::CouldNotFinish }
            }
        }
    }

    /// Returns the time since the report began, in seconds rounded to milliseconds.
    pub(crate) fn seconds(&self) -> f64 {
        (self.started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
    }

    /// Reports all findings about one file, in order.
    pub(crate) fn findings(&mut self, path: &Path, findings: &[Finding]) {
        let mut counts = FindingCounts::default();
        let (verbose, quiet) = (self.verbose, self.quiet);
        let is_listed = |finding: &&Finding| match finding.severity {
            Severity::Info => verbose,
            Severity::Warning => !quiet,
            Severity::Error => true,
        };
        if !self.json && findings.iter().any(|finding| is_listed(&finding)) {
            self.open_columns(path);
        }
        if let Some(heading) = self.heading_for(path) {
            heading.columns.fit(findings.iter().filter(is_listed));
        }
        for finding in findings {
            self.finding(path, finding, Value::Null, &mut counts);
        }
        self.report_suppressed(path, counts);
    }

    /// Reports one finding; `more` is an object with additional keys. The last one must be followed by
    /// [`report_suppressed`](Reporter::report_suppressed).
    pub(crate) fn finding(
        &mut self,
        path: &Path,
        finding: &Finding,
        more: Value,
        counts: &mut FindingCounts,
    ) {
        match finding.severity {
            Severity::Info => {}
            Severity::Warning => self.warnings += 1,
            Severity::Error => self.errors += 1,
        }
        if let Some(record) = &mut self.record {
            record.add(path, finding);
        }
        let count = counts.all.entry(finding.code).or_default();
        *count += 1;
        let is_suppressed = match finding.severity {
            Severity::Info => !self.verbose,
            Severity::Warning => !self.verbose && *count > MAX_LISTED,
            Severity::Error => false,
        };
        if self.json {
            let mut object = finding.to_json(Some(path));
            if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
                object.extend(more);
            }
            self.object(&object);
        } else if !is_suppressed {
            // The first error of a kind names what to do, if none of them does.
            let remedy = match finding.severity {
                Severity::Error if finding.hint.is_none() && *count == 1 => finding.code.advice().hint(),
                _ => None,
            };
            match remedy {
                Some(remedy) => self.finding_lines(path, &finding.clone().with_hint(remedy)),
                None => self.finding_lines(path, finding),
            }
        } else if finding.severity == Severity::Warning {
            *counts.suppressed.entry(finding.code).or_default() += 1;
        }
    }

    /// Reports how many warnings were suppressed.
    pub(crate) fn report_suppressed(&mut self, path: &Path, counts: FindingCounts) {
        for (code, count) in counts.suppressed {
            let message = format!("{} more of this kind; list all with -v", grouped(count));
            self.finding_lines(path, &Finding::new(code, message));
        }
    }

    /// Writes a line about a path. On a terminal the findings about it follow in columns.
    pub(crate) fn heading(&mut self, path: &Path, text: &str) {
        self.sentence(text);
        if !self.json && !self.quiet {
            self.begin_columns(path);
        }
    }

    fn begin_columns(&mut self, path: &Path) {
        self.heading = self.width.map(|width| Heading {
            path: path.to_owned(),
            columns: FindingColumns { width, place_width: 0, colour: self.colour },
        });
    }

    /// Prints the path, unless it is the heading already. Without a terminal there are no columns.
    fn open_columns(&mut self, path: &Path) {
        if self.width.is_some() && self.heading_for(path).is_none() {
            self.print(&format!("{}:", display_path(path)));
            self.begin_columns(path);
        }
    }

    /// Returns the columns under the heading, if it is that of this path.
    fn heading_for(&mut self, path: &Path) -> Option<&mut Heading> {
        self.heading.as_mut().filter(|heading| heading.path == path)
    }

    fn finding_lines(&mut self, path: &Path, finding: &Finding) {
        if self.quiet && finding.severity != Severity::Error {
            return;
        }
        if self.width.is_none() {
            return self.print(&one_line(path, finding, self.colour));
        }
        self.open_columns(path);
        // Printing ends the columns.
        if let Some(mut heading) = self.heading.take() {
            heading.columns.fit([finding]);
            self.print(&heading.columns.format(path, finding));
            self.heading = Some(heading);
        }
    }

    /// Reports an error that ended the run: as text on standard error, and as a finding in JSON.
    pub(crate) fn error(&mut self, error: &Error) {
        self.errors += 1;
        if let Some(record) = &mut self.record {
            record.add_error(error);
        }
        // On a terminal, what was reported before comes first.
        if self.width.is_some() && !self.closed {
            let _ = self.out.flush();
        }
        print_error(&error.to_string(), error.hint());
        self.object(&error.to_json());
    }

    /// Reports why a message was not delivered. The status comes first, without the name of the program, because Postfix
    /// evaluates it there.
    pub(crate) fn failure(&mut self, code: Code, failure: &Failure) {
        self.errors += 1;
        let _ = writeln!(anstream::stderr(), "{failure}");
        let retry = failure.reason.is_temporary();
        self.object(&Finding { retry, ..Finding::new(code, failure.to_string()) }.to_json(None));
    }

    /// Writes bytes of a message, unchanged.
    pub(crate) fn data(&mut self, bytes: &[u8]) {
        if self.closed {
            return;
        }
        let written = mapped::windows(bytes).try_for_each(|window| self.out.write_all(window));
        if let Err(error) = written {
            self.out_failed(&error);
        }
    }

    fn print(&mut self, text: &str) {
        self.heading = None;
        if self.closed {
            return;
        }
        if let Err(error) = writeln!(self.out, "{text}") {
            self.out_failed(&error);
        }
    }

    /// Records a failed write. A closed pipe is the reader's decision, and not an error.
    fn out_failed(&mut self, error: &io::Error) {
        self.closed = true;
        if error.kind() != io::ErrorKind::BrokenPipe {
            self.incomplete = true;
            let _ = writeln!(io::stderr(), "mailferry: cannot write to standard output: {error}");
        }
    }

    /// Flushes the report and returns the exit code. A report or message that is lost on a full disk is not a success.
    pub(crate) fn finish(&mut self, exit: Exit) -> Exit {
        if !self.closed
            && let Err(error) = self.out.flush()
        {
            self.out_failed(&error);
        }
        if self.incomplete && exit != Exit::Interrupted { Exit::CouldNotFinish } else { exit }
    }
}

/// Returns the words of this process, escaped.
fn command_line() -> impl Iterator<Item = String> {
    std::env::args_os().map(|word| escape(word.as_bytes()))
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Formats a time by RFC 3339, in UTC.
fn timestamp(time: SystemTime) -> Option<String> {
    let time = jiff::Timestamp::try_from(time).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}
