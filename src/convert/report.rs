//! The sources of a conversion and its outcome.

use std::borrow::Cow;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{FolderCount, SourceDetails, Totals};
use crate::mailbox::finding::Severity;
use crate::mailbox::manifest::{self, SourceState};
use crate::mailbox::mbox::bare::looks_like_message;
use crate::mailbox::mbox::boundary_summary::BoundarySummary;
use crate::mailbox::mbox::{Mbox, ReadOptions, Variant};
use crate::mailbox::message::header;
use crate::mailbox::source::Source;
use crate::mailbox::text::grouped_plural;
use crate::mailbox::{Code, Context, Error, Finding, Result, finding};

/// An opened mbox.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) source: Source,
    /// The findings of its locks.
    pub(crate) lock_findings: Vec<Finding>,
    /// The name in the manifest: the canonical path, or `-` for standard input.
    name: PathBuf,
    pub(crate) read_options: ReadOptions,
}

/// The outcome for one source.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) path: PathBuf,
    /// The variant it was read as; None if it could not be read.
    pub(crate) variant: Option<Variant>,
    /// The evidence for that variant.
    pub(crate) evidence: String,
    /// In file order.
    pub(crate) findings: Vec<Finding>,
    /// The state of the source, if it was identified.
    pub(crate) state: Option<SourceState>,
    /// What a report shows of it, if that is collected.
    pub(crate) details: Option<Box<SourceDetails>>,
}

/// The outcome of a conversion.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// One for each source.
    pub(crate) reports: Vec<Report>,
    /// Over all sources.
    pub(crate) totals: Totals,
    /// The folders that messages of the sources belong to, by name.
    pub(crate) folders: Vec<FolderCount>,
    /// Why it ended early.
    pub(crate) error: Option<Error>,
}

/// An early end, with the number of messages that had become visible by then.
pub(crate) struct Abort {
    pub(crate) error: Error,
    pub(crate) published: u64,
}

impl From<Error> for Abort {
    fn from(error: Error) -> Abort {
        Abort { error, published: 0 }
    }
}

impl Outcome {
    /// Returns the outcome of a run over so many sources and bytes, yet without reports.
    pub(crate) fn new(
        done: Result<(Totals, Vec<FolderCount>), Abort>,
        sources: usize,
        bytes_source: u64,
    ) -> Outcome {
        let (totals, folders, error) = match done {
            Ok((totals, folders)) => (totals, folders, None),
            Err(Abort { error, published }) => {
                (Totals::not_reached(sources, bytes_source, published), Vec::new(), Some(error))
            }
        };
        totals.check();
        Outcome { reports: Vec::new(), totals, folders, error }
    }

    /// Returns the outcome of a run that failed before it read any of so many sources.
    pub(crate) fn failed(sources: usize, error: Error) -> Outcome {
        let totals = Totals { sources: sources as u64, ..Totals::default() };
        Outcome { reports: Vec::new(), totals, folders: Vec::new(), error: Some(error) }
    }
}

impl Report {
    pub(crate) fn new(path: &Path, findings: Vec<Finding>) -> Report {
        Report {
            path: path.to_owned(),
            variant: None,
            evidence: String::new(),
            findings,
            state: None,
            details: None,
        }
    }
}

/// Returns a warning about lines that a program wrote above the header of a message: they are kept.
fn banner_finding(mbox: &Mbox<'_>) -> Option<Finding> {
    let message = mbox.messages().first().filter(|_| mbox.variant == Variant::Rfc822)?;
    let text = message.message(mbox.text());
    let has_banner = !header::is_field_line(text) && !text.starts_with(b">From ") && looks_like_message(text);
    let message = "this message does not begin with a header: the lines before it were kept";
    has_banner.then(|| Finding::at(Code::MessageNoHeader, 0, message))
}

impl Input {
    pub(crate) fn new(
        source: Source,
        path: &Path,
        read_options: ReadOptions,
        lock_findings: Vec<Finding>,
    ) -> Input {
        Input { source, lock_findings, name: manifest::source_name(path), read_options }
    }

    /// Returns the name in the manifest.
    pub(crate) fn name(&self) -> &[u8] {
        self.name.as_os_str().as_bytes()
    }

    /// Returns the canonical path; None for standard input.
    pub(crate) fn recorded_path(&self) -> Option<&Path> {
        Some(&*self.name).filter(|name| name.as_os_str() != "-")
    }

    /// Reads the mbox and reports on it, even if it is not a mailbox.
    pub(crate) fn read(&self, context: &Context<'_>) -> (Result<Mbox<'_>>, Report) {
        self.read_with(context, &|_| ())
    }

    /// Reads the mbox as [`Input::read`] does, and calls `on_scan` with each window of it.
    pub(crate) fn read_with(
        &self,
        context: &Context<'_>,
        on_scan: &(dyn Fn(Range<usize>) + Sync),
    ) -> (Result<Mbox<'_>>, Report) {
        let source = &self.source;
        let mut report = Report::new(source.path(), self.lock_findings.clone());
        let mut read_options = Cow::Borrowed(&self.read_options);
        if context.collect_details {
            read_options.to_mut().keep_candidates = true;
            report.details = Some(Box::new(self.size_only()));
        }
        match Mbox::read_with(source, &read_options, context, on_scan) {
            Ok(mut mbox) => {
                if let Some(details) = &mut report.details {
                    details.format = Some(mbox.variant.name());
                    details.boundaries = BoundarySummary::of(&mbox, source.path());
                }
                report.variant = Some(mbox.variant);
                report.evidence = mbox.evidence.clone();
                // Other damage comes over as it is. Junk is left out.
                let junk = mbox.findings.iter_mut().filter(|finding| finding.code == Code::MboxJunk);
                junk.for_each(|finding| finding.severity = Severity::Error);
                report.findings.append(&mut mbox.findings);
                report.findings.extend(banner_finding(&mbox));
                if source.is_cr_only() {
                    let message = "every line ends in CR, as on a classic Mac; the messages get LF";
                    report.findings.push(Finding::new(Code::MboxCrOnly, message));
                }
                (Ok(mbox), report)
            }
            Err(error) => (Err(error), report),
        }
    }

    /// Returns what is known of a source that was not read.
    pub(super) fn size_only(&self) -> SourceDetails {
        SourceDetails { size: self.source.raw().len() as u64, ..SourceDetails::default() }
    }

    /// Adds what is known after the run: whether the source has grown, and the line numbers of findings.
    pub(crate) fn complete_report(&self, report: &mut Report, has_succeeded: bool) {
        report.findings.extend(self.growth_finding().filter(|_| has_succeeded));
        let release = |range| self.source.release(range);
        finding::number_lines(&mut report.findings, self.source.text(), &release);
    }

    fn growth_finding(&self) -> Option<Finding> {
        // A run that has succeeded does not fail because the size cannot be looked up.
        let bytes = self.source.grown_by().unwrap_or(0);
        let text = || {
            format!(
                "appended while it was read: {}; run the same command again to convert them",
                grouped_plural(bytes, "byte")
            )
        };
        (bytes > 0).then(|| Finding::new(Code::SourceGrowing, text()))
    }
}
