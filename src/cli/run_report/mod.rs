//! `--report`: a file about a run of convert or verify, to keep and to show.

mod csv;
mod fill;
mod record;
mod text;

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use super::identity;
use super::report_file::ReportFile;
use crate::mailbox::fs::files;
use crate::mailbox::fs::identity::IdentityThread;
use crate::mailbox::{Error, Result, display_path};
use crate::report::{RunReport, run_page};
pub(super) use fill::{add_boundaries, add_messages, hex, manifest_row};
pub(super) use record::Record;

/// Options for a report in a file.
#[derive(Args, Debug, Clone, Default)]
pub(super) struct ReportArgs {
    /// Write a report to keep into FILE.html, .json, .csv or .txt
    ///
    /// It has what was found and done, the findings, and the hashes that prove it later. An existing file is replaced.
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(|path| ReportPath::new(path.into())), conflicts_with = "dry_run", hide_short_help = true, help_heading = "Report")]
    report: Option<ReportPath>,
    /// Leave names, addresses and subjects out of that report
    #[arg(long, requires = "report", hide_short_help = true, help_heading = "Report")]
    redact: bool,
}

/// The path of a report, whose extension is that of a format.
#[derive(Debug, Clone)]
struct ReportPath {
    path: PathBuf,
    format: ReportFormat,
}

#[derive(Debug, Clone, Copy)]
enum ReportFormat {
    Html,
    Json,
    Csv,
    Text,
}

impl ReportPath {
    fn new(path: PathBuf) -> Result<ReportPath, &'static str> {
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        let format = match extension.as_ref().and_then(|extension| extension.to_str()) {
            Some("html") => ReportFormat::Html,
            Some("json") => ReportFormat::Json,
            Some("csv") => ReportFormat::Csv,
            Some("txt") => ReportFormat::Text,
            _ => return Err("a file that ends in .html, .json, .csv or .txt"),
        };
        Ok(ReportPath { path, format })
    }
}

impl ReportArgs {
    /// Starts the thread that writes the report, if there is to be one. The thread has the rights of the owner of that
    /// path: it starts before the command takes another identity and enters the sandbox.
    pub(super) fn start_writer(&self) -> Result<Option<ReportWriter>> {
        let Some(ReportPath { path, format }) = &self.report else { return Ok(None) };
        let thread = identity::start_writer(path)?;
        Ok(Some(ReportWriter { path: path.clone(), format: *format, redact: self.redact, thread }))
    }
}

/// The writer of a report, before the mailboxes can be looked at.
#[derive(Debug)]
pub(super) struct ReportWriter {
    path: PathBuf,
    format: ReportFormat,
    redact: bool,
    thread: IdentityThread,
}

impl ReportWriter {
    /// Opens the directory of the report.
    ///
    /// # Errors
    /// [`Error::Usage`] for a report that is one of `paths`, or in one of them, and errors about a directory that cannot
    /// be written to.
    pub(super) fn open<'p>(self, paths: impl Iterator<Item = &'p Path>) -> Result<RunReportFile> {
        let ReportWriter { path, format, redact, thread } = self;
        let open = {
            let path = path.clone();
            move || {
                let file = ReportFile::open(&path)?;
                let real = file.real_path()?;
                Ok((file, real))
            }
        };
        let (file, real): (ReportFile, PathBuf) = thread.run(open)?;
        for other in paths.filter(|path| path.as_os_str() != "-") {
            if real_path(other).is_some_and(|other| real.starts_with(other)) {
                let verb = if path == other { "is" } else { "is in" };
                let (path, other) = (display_path(&path), display_path(other));
                let reason = format!("{path} {verb} {other}, which this command uses; name a file elsewhere");
                return Err(Error::usage("--report", reason));
            }
        }
        Ok(RunReportFile { file, format, redact, thread })
    }
}

/// Returns a path without links, as far as it exists.
fn real_path(path: &Path) -> Option<PathBuf> {
    path.ancestors().find_map(|existing| {
        let above = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
        let rest = path.strip_prefix(existing).unwrap_or(Path::new(""));
        let real = files::canonicalize(above).ok()?;
        Some(if rest.as_os_str().is_empty() { real } else { real.join(rest) })
    })
}

/// The file of a run's report.
#[derive(Debug)]
pub(super) struct RunReportFile {
    file: ReportFile,
    format: ReportFormat,
    redact: bool,
    thread: IdentityThread,
}

impl RunReportFile {
    /// Writes the report. An existing file is replaced at once.
    fn write(self, mut report: RunReport) -> Result<()> {
        let RunReportFile { file, format, redact, thread } = self;
        if redact {
            report.redact();
        }
        let bytes = match format {
            ReportFormat::Html => run_page(&report).into_bytes(),
            ReportFormat::Json => json(&report),
            ReportFormat::Csv => csv::write(&report.folders).into_bytes(),
            ReportFormat::Text => text::write(&report).into_bytes(),
        };
        thread.run(move || file.write(&bytes))
    }
}

fn json(report: &RunReport) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(report).unwrap_or_else(|_| unreachable!("all keys are strings"));
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_decides_the_format() {
        let is_known = |path: &str| ReportPath::new(path.into()).is_ok();
        for path in ["r.html", "r.json", "a/b.CSV", "x.y.txt"] {
            assert!(is_known(path), "{path}");
        }
        for path in ["", "r", "r.", ".json", "r.xml", "json", "r.json.gz"] {
            assert!(!is_known(path), "{path}");
        }
    }
}
