//! The report of `mailferry convert`: findings, sums, and the exit code.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::ConvertArgs;
use super::tree::TreeReport;
use crate::cli::ui::{Exit, Reporter};
use crate::convert::restore::RestoreSummary;
use crate::convert::{FolderCount, Outcome, Totals};
use crate::mailbox::manifest::ByteCounts;
use crate::mailbox::mbox::Variant;
use crate::mailbox::text::grouped;
use crate::mailbox::{Error, Finding, Result, display_path, escape};

pub(super) struct ConvertReport<'a> {
    args: &'a ConvertArgs,
    reporter: Reporter,
    /// Standard output carries the mail, and standard error the report.
    to_stream: bool,
}

impl<'a> ConvertReport<'a> {
    pub(super) fn new(args: &'a ConvertArgs, to_stream: bool) -> ConvertReport<'a> {
        let reporter =
            if to_stream { Reporter::on_stderr(&args.common) } else { Reporter::new(&args.common) };
        ConvertReport { args, reporter, to_stream }
    }

    pub(super) fn line(&mut self, text: &str) {
        self.reporter.line(text);
    }

    /// Reports an error before there is anything else to report.
    pub(super) fn fail(self, error: Error, sources: usize) -> Exit {
        self.outcome(&Outcome::failed(sources, error), None)
    }

    /// Reports an import, a copy or an export; `written` is the variant of the mbox that was written.
    pub(super) fn outcome(mut self, outcome: &Outcome, written: Option<Variant>) -> Exit {
        for report in &outcome.reports {
            if let Some(variant) = report.variant {
                self.line(&format!("{}: {variant} ({})", display_path(&report.path), report.evidence));
            }
            self.reporter.findings(&report.path, &report.findings);
        }
        let exit = self.exit(outcome.error.as_ref());
        let mut object = self.summary(&outcome.totals);
        let by_folder = outcome.folders.iter().map(|folder| (folder.name.clone(), folder.written.into()));
        object["folders"] = outcome.folders.len().into();
        object["written_by_folder"] = by_folder.collect::<Map<_, _>>().into();
        object["variant"] = variant(outcome, written).into();
        self.reporter.summary("convert", object);
        if outcome.error.is_none() {
            for folder in outcome.folders.iter().filter(|_| self.args.labels.are_folders()) {
                self.reporter.line(&folder_line(folder));
            }
            self.totals(&outcome.totals);
        }
        self.reporter.finish(exit)
    }

    /// Reports `--exact`.
    pub(super) fn restored(
        mut self,
        maildir: &Path,
        findings: &[Finding],
        restored: Result<RestoreSummary>,
    ) -> Exit {
        if self.to_stream {
            findings.iter().for_each(|f| eprintln!("mailferry: {}", f.message));
            self.reporter.errors += findings.len() as u64;
        } else {
            self.reporter.findings(maildir, findings);
        }
        let (messages, bytes, exit) = match &restored {
            Ok(restored) => {
                let sentence = format!(
                    "{} messages of {} written, byte for byte the {} bytes that were converted.",
                    grouped(restored.messages),
                    display_path(&restored.source),
                    grouped(restored.bytes)
                );
                if self.to_stream {
                    eprintln!("{sentence}")
                } else {
                    self.line(&sentence)
                }
                (restored.messages, restored.bytes, Exit::Done)
            }
            Err(error) if self.to_stream && is_closed_pipe(error) => {
                report_closed_pipe(self.args);
                (0, 0, Exit::Done)
            }
            Err(error) => {
                self.reporter.error(error);
                (0, 0, Exit::of(error))
            }
        };
        let mut object = self.summary(&Totals {
            sources: 1,
            messages_found: messages,
            written: messages,
            bytes_source: bytes,
            bytes: ByteCounts { messages: bytes, ..ByteCounts::default() },
            ..Totals::default()
        });
        object["exact"] = true.into();
        self.reporter.summary("convert", object);
        self.reporter.finish(exit)
    }

    /// Reports a tree, or why it could not be converted.
    pub(super) fn tree(mut self, converted: &Result<TreeReport>) -> Exit {
        let error = match converted {
            Ok(tree) => {
                tree.report(&mut self.reporter);
                tree.outcome.error.as_ref()
            }
            Err(error) => Some(error),
        };
        let refused = converted.as_ref().ok().and_then(TreeReport::refused);
        let exit = match (error, refused) {
            (None, Some(refused)) => Exit::of(refused),
            _ => self.exit(error),
        };
        let (mut totals, mut folders) = (Totals::default(), Vec::new());
        if let Ok(tree) = converted {
            (totals, folders) = (tree.totals(), tree.folders());
            tree.table(&mut self.reporter, self.args.dry_run);
        }
        if error.is_none() {
            self.totals(&totals);
        }
        let mut object = self.summary(&totals);
        object["folders"] = folders.len().into();
        object["table"] = folders.into();
        self.reporter.summary("convert", object);
        self.reporter.finish(exit)
    }

    /// Reports the error that ended the run, if one did, and returns how the run ended.
    fn exit(&mut self, error: Option<&Error>) -> Exit {
        match error {
            Some(error) => {
                self.reporter.error(error);
                Exit::of(error)
            }
            None => Exit::finished(self.reporter.errors, self.reporter.warnings, self.args.common.strict),
        }
    }

    fn totals(&mut self, totals: &Totals) {
        totals_as_text(totals, self.args.dry_run).iter().for_each(|line| self.line(line));
    }

    fn summary(&self, totals: &Totals) -> Value {
        json!({
            "dry_run": self.args.dry_run,
            "sources": totals.sources,
            "folders": 0,
            "messages_found": totals.messages_found,
            "written": totals.written,
            "already_present": totals.already_present,
            "duplicates": totals.duplicates,
            "skipped": totals.skipped,
            "variant": Value::Null,
            "bytes_source": totals.bytes_source,
            "bytes_messages": totals.bytes.messages,
            "bytes_from_lines": totals.bytes.from_lines,
            "bytes_quoting": totals.bytes.quoting,
            "bytes_separators": totals.bytes.separators,
            "bytes_junk": totals.bytes.junk,
            "bytes_not_reached": totals.bytes_not_reached,
            "line_ends_changed": totals.line_ends_changed,
            "links": totals.links,
        })
    }
}

/// Reports whether the reader of standard output closed it, which is not an error.
pub(super) fn is_closed_pipe(error: &Error) -> bool {
    error.is(std::io::ErrorKind::BrokenPipe)
}

pub(super) fn report_closed_pipe(args: &ConvertArgs) {
    if !args.common.quiet {
        eprintln!("standard output was closed by its reader before the end; the rest was not written");
    }
}

/// Returns the one variant of all sources, or the one that was written where there are only Maildirs.
fn variant(outcome: &Outcome, written: Option<Variant>) -> Option<&'static str> {
    let variants: Vec<&str> = outcome.reports.iter().filter_map(|r| r.variant).map(|v| v.name()).collect();
    match variants[..] {
        [] => written.map(Variant::name),
        [first, ..] if variants.iter().all(|variant| *variant == first) => Some(first),
        _ => Some("mixed"),
    }
}

fn folder_line(FolderCount { name, directory, written }: &FolderCount) -> String {
    let at =
        directory.as_ref().map_or(String::new(), |directory| format!(" (in {})", display_path(directory)));
    let messages = if *written == 1 { "message" } else { "messages" };
    format!("{}{at}: {} {messages}", escape(name.as_bytes()), grouped(*written))
}

fn totals_as_text(totals: &Totals, dry_run: bool) -> Vec<String> {
    let byte_counts = [
        (totals.bytes.messages, "messages"),
        (totals.bytes.from_lines, "From_ lines"),
        (totals.bytes.quoting, "quoting"),
        (totals.bytes.separators, "separators"),
        (totals.bytes.junk, "junk"),
    ];
    let terms: Vec<String> = byte_counts.iter().map(|(n, what)| format!("{} {what}", grouped(*n))).collect();
    let mut lines = vec![format!("bytes: {} = {}", grouped(totals.bytes_source), terms.join(" + "))];
    if totals.line_ends_changed > 0 {
        lines.push(format!("{} line ends changed", grouped(totals.line_ends_changed)));
    }
    let mut sentence = format!(
        "{} messages found, {} {}",
        grouped(totals.messages_found),
        grouped(totals.written),
        if dry_run { "would be written" } else { "written" }
    );
    for (count, what) in [
        (
            totals.links,
            if totals.links == 1 { "link in further folders" } else { "links in further folders" },
        ),
        (totals.already_present, "there already"),
        (totals.duplicates, "duplicates left out"),
        (totals.skipped, "skipped"),
    ] {
        if count > 0 {
            sentence.push_str(&format!(", {} {what}", grouped(count)));
        }
    }
    lines.push(format!("{sentence}; every byte of {} accounted for.", grouped(totals.bytes_source)));
    lines
}
