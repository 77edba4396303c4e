//! The report of `mailferry convert`: findings, sums, and the exit code.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::args::Mailboxes;
use super::summary::{Summary, Written};
use super::table::{self, FolderCounts, FolderRow};
use super::tree::TreeReport;
use super::unchanged::AccountState;
use super::{ConvertArgs, recorded};
use crate::cli::mailbox_arg::MailboxArg;
use crate::cli::run_report::{Record, RunReportFile};
use crate::cli::ui::layout::{stderr_width, stdout_width};
use crate::cli::ui::{Exit, Reporter, print_error};
use crate::convert::restore::RestoreSummary;
use crate::convert::{Outcome, Totals};
use crate::mailbox::fs::{Dir, files};
use crate::mailbox::manifest::ByteCounts;
use crate::mailbox::mbox::Variant;
use crate::mailbox::text::grouped_plural;
use crate::mailbox::{Error, Finding, Result, display_path};
use crate::report::{ManifestRow, RunReport};

pub(super) struct ConvertReport<'a> {
    args: &'a ConvertArgs,
    reporter: Reporter,
    /// None before the arguments are understood.
    mailboxes: Option<&'a Mailboxes>,
    /// Standard output carries the mail, and standard error the report.
    to_stream: bool,
    /// The account that this is one of many of.
    pub(super) state: Option<AccountState<'a>>,
}

impl<'a> ConvertReport<'a> {
    pub(super) fn new(args: &'a ConvertArgs, mailboxes: Option<&'a Mailboxes>) -> ConvertReport<'a> {
        let to_stream = mailboxes.is_some_and(|mailboxes| mailboxes.named.is_standard_stream());
        let reporter =
            if to_stream { Reporter::on_stderr(&args.common) } else { Reporter::new(&args.common) };
        ConvertReport { args, reporter, mailboxes, to_stream, state: None }
    }

    /// Reports an account that is as an earlier run left it.
    pub(super) fn unchanged(mut self) -> Exit {
        self.reporter.summary("convert", Exit::Done, json!({ "unchanged": true }));
        self.reporter.finish(Exit::Done)
    }

    /// Records the run for a report in a file.
    pub(super) fn record(&mut self, file: RunReportFile) {
        self.reporter.record(Record::new(file));
    }

    pub(super) fn is_recording(&self) -> bool {
        self.reporter.is_recording()
    }

    /// Reports an error before there is anything else to report.
    pub(super) fn fail(self, error: Error, sources: usize) -> Exit {
        self.outcome(&Outcome::failed(sources, error), Written::Maildir(None))
    }

    /// Reports an import, a copy or an export.
    pub(super) fn outcome(mut self, outcome: &Outcome, written: Written) -> Exit {
        let removes_quoting = outcome.totals.bytes.quoting > 0;
        for report in &outcome.reports {
            // What was read as mboxrd and has no quoting reads alike as most variants; -v lists the finding.
            let matters = |variant| variant != Variant::Mboxrd || removes_quoting;
            if let Some(variant) =
                report.variant.filter(|&variant| matters(variant) && !self.args.common.verbose)
            {
                let path = display_path(&report.path);
                self.reporter.sentence(&format!("{path}: {variant} ({})", report.evidence));
            }
            self.reporter.findings(&report.path, &report.findings);
        }
        let exit = self.exit(outcome.error.as_ref());
        let has_labels = self.args.folders_option().is_some();
        let labels = outcome.folders.iter().filter(|_| has_labels && outcome.error.is_none());
        let rows: Vec<FolderRow> = labels.map(FolderRow::of_label).collect();
        let written = match written {
            Written::Maildir(_) if has_labels => {
                Written::Maildir(Some(rows.iter().filter(|row| row.has_mail()).count() as u64))
            }
            written => written,
        };
        let recorded = self.is_recording().then(|| RunReport {
            manifests: match written {
                Written::Maildir(_) => self.manifest(),
                _ => Vec::new(),
            },
            ..recorded::of_outcome(outcome, self.sources())
        });
        let by_folder = outcome.folders.iter().map(|folder| (folder.name.clone(), folder.written.into()));
        let mut keys = json!({
            "folders": outcome.folders.len(),
            "written_by_folder": by_folder.collect::<Map<_, _>>(),
            "variant": variant(outcome, written),
        });
        if has_labels {
            keys["table"] = rows.iter().map(FolderRow::json).collect();
        }
        self.end(
            &outcome.totals,
            End { written, rows: &rows, keys, error: outcome.error.as_ref(), exit, recorded },
        )
    }

    /// Reports `--exact`.
    pub(super) fn restored(
        mut self,
        maildir: &Path,
        findings: &[Finding],
        restored: Result<Option<RestoreSummary>>,
    ) -> Exit {
        if self.to_stream {
            findings.iter().for_each(|f| print_error(&f.message, f.hint.as_deref()));
            self.reporter.errors += findings.len() as u64;
        } else {
            self.reporter.findings(maildir, findings);
        }
        let mut verdict = String::new();
        let (messages, bytes, exit) = match &restored {
            Ok(None) => (0, 0, self.exit(None)),
            Ok(Some(restored)) => {
                let sentence = format!(
                    "{} of {} written, byte for byte the {} that were converted.",
                    grouped_plural(restored.messages, "message"),
                    display_path(&restored.source),
                    grouped_plural(restored.bytes, "byte")
                );
                match self.to_stream {
                    true => eprintln!("{sentence}"),
                    false => self.reporter.sentence(&sentence),
                }
                verdict = sentence;
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
        let totals = Totals {
            sources: 1,
            messages_found: messages,
            written: messages,
            bytes_source: bytes,
            bytes: ByteCounts { messages: bytes, ..ByteCounts::default() },
            ..Totals::default()
        };
        let mut object = self.counts(&totals);
        object["exact"] = true.into();
        let destination = self.mailboxes.map(|mailboxes| display_path(&mailboxes.named.path));
        object["destination"] = destination.clone().into();
        if verdict.is_empty() {
            verdict = restored.as_ref().err().map_or("Nothing was written.".to_owned(), not_finished);
        }
        let exit = self.reporter.write_record(
            exit,
            RunReport {
                command: "convert".to_owned(),
                verdict,
                destination,
                sources: recorded::named(self.sources()),
                bytes: recorded::bytes(&totals),
                ..RunReport::default()
            },
        );
        self.reporter.summary("convert", exit, object);
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
        let (totals, rows, written, keys) = match converted {
            Ok(tree) => (tree.totals(), tree.rows(), tree.written(), tree.folders()),
            Err(_) => (Totals::default(), Vec::new(), Written::Maildir(None), Vec::new()),
        };
        let layout = converted.as_ref().ok().map(TreeReport::layout_name);
        let keys = json!({ "folders": keys.len(), "table": keys, "layout": layout });
        let recorded = self.is_recording().then(|| match converted {
            Ok(tree) => RunReport {
                manifests: self.mailboxes.map_or_else(Vec::new, |mailboxes| {
                    recorded::tree_manifests(self.args, &mailboxes.named.path, tree)
                }),
                ..recorded::of_tree(tree)
            },
            Err(_) => RunReport { sources: recorded::named(self.sources()), ..RunReport::default() },
        });
        let end = End { written, rows: &rows, keys, error, exit, recorded };
        if let (Ok(tree), None) = (converted, error) {
            tree.skipped_line(self.args.common.verbose).iter().for_each(|line| self.reporter.sentence(line));
        }
        self.end(&totals, end)
    }

    /// Writes the table and the summary, and ends the report.
    fn end(mut self, totals: &Totals, end: End<'_>) -> Exit {
        let End { written, rows, keys, error, exit, recorded } = end;
        let mut exit = exit;
        let terminal = if self.to_stream { stderr_width() } else { stdout_width() };
        if !rows.is_empty() {
            for line in table::lines(rows, self.args.dry_run, terminal) {
                self.reporter.line(&line);
            }
        }
        let mut object = self.counts(totals);
        merge(&mut object, keys);
        if let Some(Mailboxes { named: destination, .. }) = self.mailboxes {
            let summary = Summary {
                args: self.args,
                totals,
                written,
                destination: &destination.path,
                free: if self.args.dry_run { free_bytes(&destination.path) } else { None },
                seconds: self.reporter.seconds(),
                has_errors: self.reporter.errors > 0,
            };
            merge(&mut object, summary.json().into());
            if error.is_none() {
                self.reporter.detail(&summary.byte_line());
                summary.lines().iter().for_each(|line| self.reporter.sentence(line));
                // A command is copied from the screen, and a line end would run half of it.
                summary.next_line().iter().for_each(|line| self.reporter.line(line));
            }
            if let Some(recorded) = recorded {
                let verdict = error.map_or_else(|| summary.sentence(), not_finished);
                let (bytes, proof) = (recorded::bytes(totals), summary.proof().filter(|_| error.is_none()));
                let destination = Some(display_path(&destination.path));
                let report = RunReport { verdict, bytes, proof, destination, ..recorded };
                exit = self.reporter.write_record(exit, report);
            }
        }
        if let Some(state) = &self.state {
            merge(&mut object, state.keys());
        }
        self.reporter.summary("convert", exit, object);
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

    fn manifest(&self) -> Vec<ManifestRow> {
        self.mailboxes.map_or_else(Vec::new, |mailboxes| recorded::manifest(self.args, &mailboxes.named.path))
    }

    fn sources(&self) -> &'a [MailboxArg] {
        self.mailboxes.map_or(&[], |mailboxes| &mailboxes.sources)
    }

    fn counts(&self, totals: &Totals) -> Value {
        let mut object = json!({
            "dry_run": self.args.dry_run,
            "sources": totals.sources,
            "folders": 0,
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
            "uids_kept": totals.uids.kept,
            "uids_changed": totals.uids.changed,
        });
        merge(&mut object, FolderCounts::from(totals).json().into());
        object
    }
}

/// The end of a report.
struct End<'a> {
    written: Written,
    rows: &'a [FolderRow],
    /// Keys of the summary in JSON.
    keys: Value,
    /// The error that ended the run.
    error: Option<&'a Error>,
    exit: Exit,
    /// What is known of the sources, the folders and the messages for a report in a file.
    recorded: Option<RunReport>,
}

/// Returns the verdict on a run that an error ended.
fn not_finished(error: &Error) -> String {
    format!("The conversion did not finish: {error}.")
}

/// Adds the keys of one object to another.
fn merge(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}

/// Returns the bytes that are free where a path is, or would be.
fn free_bytes(path: &Path) -> Option<u64> {
    Some(Dir::open(files::nearest_dir(path)).ok()?.free_space().ok()?.bytes)
}

/// Reports a usage error: that is all of the report.
pub(super) fn usage(error: &Error) -> Exit {
    print_error(&error.to_string(), error.hint());
    Exit::Usage
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
fn variant(outcome: &Outcome, written: Written) -> Option<&'static str> {
    let variants: Vec<&str> = outcome.reports.iter().filter_map(|r| r.variant).map(|v| v.name()).collect();
    match variants[..] {
        [] => match written {
            Written::Mbox(variant) | Written::Stream(variant) => Some(variant.name()),
            _ => None,
        },
        [first, ..] if variants.iter().all(|variant| *variant == first) => Some(first),
        _ => Some("mixed"),
    }
}
