//! `mailferry verify`.

mod args;
mod recorded;
mod verdict;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::folders::{refuse_empty, report_skipped};
use super::mailbox_arg::{Format, MailboxArg};
use super::open::{Opener, context};
use super::{compare, signals};
use crate::cli::run_report::Record;
use crate::cli::ui::{Exit, ProgressDisplay, Reporter, report_waits};
use crate::mailbox::fs::files;
use crate::mailbox::manifest::ManifestLocation;
use crate::mailbox::mbox::{ReadOptions, Variant};
use crate::mailbox::text::grouped_plural;
use crate::mailbox::tree::MailboxKind;
use crate::mailbox::{Code, Context, Error, Finding, Phase, Result, display_path};
use crate::report::{RunReport, SourceRow};
use crate::verify::compare::unread_clause;
use crate::verify::repair::{RepairOptions, repair};
use crate::verify::report::FolderSummary;
use crate::verify::{self, Depth, MaildirOutcome, SourceStatus, VerifyOptions, VerifyReport};
use recorded::Recorded;
use verdict::{FaultCounts, MailboxCounts, mailbox_verdict, source_sentence};

/// The most sources of a Maildir that have a sentence each, even if they are one intact message.
const LISTED_SOURCES: usize = 20;

pub(crate) use args::VerifyArgs;

/// Counts over all mailboxes.
#[derive(Default)]
struct Totals {
    sound: u64,
    folders: u64,
    messages: u64,
    bytes: u64,
    repairs: u64,
    sources: Vec<SourceStatus>,
    compared: compare::Outcome,
    /// The exit of a mailbox that could not be verified.
    unfinished: Option<Exit>,
}

/// Returns the numbers of errors and of warnings in words; None if there are none.
fn faults(findings: &[Finding]) -> Option<String> {
    let FaultCounts { errors, warnings } = FaultCounts::of(findings);
    let (error_count, warning_count) = (grouped_plural(errors, "error"), grouped_plural(warnings, "warning"));
    match (errors, warnings) {
        (0, 0) => None,
        (0, _) => Some(warning_count),
        (_, 0) => Some(error_count),
        (_, _) => Some(format!("{error_count}, {warning_count}")),
    }
}

/// One mailbox to verify.
enum Target {
    /// A file, a Maildir, or standard input.
    Mailbox(MailboxArg),
    /// Files in a directory that are one message each.
    Messages(PathBuf, Vec<PathBuf>),
}

/// Runs the command.
pub(super) fn run(args: VerifyArgs) -> Exit {
    let cancel = report_waits(signals::cancel_on_signals(), &args.common);
    let locks = args.open.lock_options(false);
    let context = context(&cancel, &ProgressDisplay::Silent, "", &locks);
    let mut run = Run {
        reporter: Reporter::new(&args.common),
        totals: Totals::default(),
        verdict: String::new(),
        recorded: Recorded::default(),
        args: &args,
        context,
    };
    let done = run.prepare().and_then(|()| match &args.against {
        Some(other) => run.compare(other),
        None => run.verify_all(),
    });
    let exit = done.unwrap_or_else(|error| {
        run.reporter.error(&error);
        let exit = Exit::of(&error);
        if exit != Exit::Usage {
            run.verdict = run.unfinished_verdict(&error);
            run.reporter.line(&run.verdict);
        }
        exit
    });
    let report = std::mem::take(&mut run.recorded).into_report();
    let exit = run.reporter.write_record(exit, RunReport { verdict: run.verdict.clone(), ..report });
    run.reporter.summary("verify", exit, run.summary());
    run.reporter.finish(exit)
}

/// Result for one argument.
struct Verified {
    faults: FaultCounts,
    verdict: String,
}

/// One run of the command.
struct Run<'a> {
    args: &'a VerifyArgs,
    context: Context<'a>,
    reporter: Reporter,
    totals: Totals,
    /// The last sentence of the report.
    verdict: String,
    /// The mailboxes, for a report in a file.
    recorded: Recorded,
}

impl Run<'_> {
    /// Checks the arguments, takes the identity for the mailboxes and enters the sandbox.
    fn prepare(&mut self) -> Result<()> {
        let writer = self.args.report.start_writer()?;
        self.args.check()?;
        if let Some(writer) = writer {
            self.reporter.record(Record::new(self.args.open_report(writer)?));
            self.context.collect_details = true;
        }
        self.args.set_up()
    }

    fn exit(&self) -> Exit {
        let Reporter { errors, warnings, .. } = self.reporter;
        self.totals.unfinished.unwrap_or(Exit::finished(errors, warnings, self.args.common.strict))
    }

    /// Returns the verdict of a run that an error ended.
    fn unfinished_verdict(&self, error: &Error) -> String {
        let name = match &self.args.mailboxes[..] {
            [one] => display_path(Path::new(one)),
            all => format!("{} mailboxes", all.len()),
        };
        match (error, &self.args.against) {
            (Error::Interrupted, _) => format!("{name}: interrupted before a verdict."),
            (_, Some(other)) => {
                format!("{name} could not be compared with {}.", display_path(Path::new(other)))
            }
            (_, None) => format!("{name} could not be verified."),
        }
    }

    /// Runs `--against`.
    fn compare(&mut self, other: &OsStr) -> Result<Exit> {
        let args = self.args;
        let watcher = ProgressDisplay::new(&args.common, self.context.cancel, &[Phase::Reading]);
        let mailboxes = args.mailboxes()?;
        let job = compare::CompareJob {
            mailboxes: &mailboxes,
            other: &MailboxArg::parse(other)?,
            args: &args.compare,
            folders: &args.folders,
            opener: &args.opener(self.context.cancel, &watcher),
            context: &Context { events: &watcher, ..self.context },
        };
        let compared = compare::compare(&job, &mut self.reporter);
        watcher.finish();
        let compared = compared?;
        self.totals.folders = compared.totals.folders;
        self.totals.messages = compared.totals.here;
        self.totals.bytes = compared.totals.bytes;
        let one = (mailboxes.len() == 1).then_some(compared.totals.here);
        let named =
            mailboxes.iter().map(|mailbox| (mailbox, one)).chain([(job.other, Some(compared.totals.there))]);
        for (mailbox, messages) in named {
            self.recorded.add_source(SourceRow {
                path: display_path(&mailbox.path),
                format: "compared".to_owned(),
                messages: messages.unwrap_or(0),
                ..SourceRow::default()
            });
        }
        let is_same = compared.totals.is_complete() && compared.is_finished();
        self.totals.sound = if is_same { mailboxes.len() as u64 } else { 0 };
        self.reporter.sentence(&compared.sentence);
        self.verdict.clone_from(&compared.sentence);
        self.totals.unfinished = compared.unfinished;
        self.totals.compared = compared;
        Ok(self.exit())
    }

    /// Verifies one mailbox after the other, even if one fails.
    fn verify_all(&mut self) -> Result<Exit> {
        let mut counts = MailboxCounts::default();
        for mailbox in self.args.mailboxes()? {
            let verified = match mailbox.is_tree() {
                Ok(true) => self.verify_tree(&mailbox.path),
                Ok(false) => self.verify_one(&Target::Mailbox(mailbox)),
                Err(error) => Err(error),
            };
            match self.finished(verified)? {
                Some(verified) => {
                    counts.add(verified.faults);
                    self.verdict = verified.verdict;
                }
                None => counts.failed += 1,
            }
        }
        self.totals.sound = counts.sound;
        match &self.args.mailboxes[..] {
            [one] if counts.failed == 1 => {
                self.verdict = format!("{} could not be verified.", display_path(Path::new(one)));
            }
            [_] => return Ok(self.exit()),
            _ => self.verdict = counts.verdict("", true) + ".",
        }
        self.reporter.sentence(&self.verdict);
        Ok(self.exit())
    }

    /// Reports the error of one mailbox, so that the others are verified anyway.
    fn finished(&mut self, verified: Result<Verified>) -> Result<Option<Verified>> {
        match verified {
            Ok(verified) => Ok(Some(verified)),
            Err(Error::Interrupted) => Err(Error::Interrupted),
            // It promises more bytes than it has: damage, and not a reason to try again.
            Err(error @ Error::Compressed { .. }) => {
                self.reporter.error(&error);
                let faults = FaultCounts { errors: 1, warnings: 0 };
                let name = error.path().map_or_else(String::new, display_path);
                let verdict = mailbox_verdict(&name, "", faults);
                self.reporter.sentence(&verdict);
                Ok(Some(Verified { faults, verdict }))
            }
            Err(error) => {
                self.reporter.error(&error);
                self.totals.unfinished = Some(Exit::of(&error));
                Ok(None)
            }
        }
    }

    /// Verifies every mailbox in a directory.
    fn verify_tree(&mut self, root: &Path) -> Result<Verified> {
        let mut tree = self
            .args
            .opener(self.context.cancel, &ProgressDisplay::Silent)
            .walk(root, self.args.folders.follow)?;
        refuse_empty(&mut tree, root)?;
        let maildirs: Vec<&Path> =
            tree.mailboxes.iter().filter(|m| m.kind == MailboxKind::Maildir).map(|m| &*m.path).collect();
        // The folders of a Maildir are verified with it.
        tree.refused.retain(|error| {
            !maildirs.iter().any(|maildir| error.path().is_some_and(|path| path.starts_with(maildir)))
        });
        if let Some(error) = tree.refused.first() {
            self.totals.unfinished = Some(Exit::of(error));
        }
        report_skipped(&tree, &mut self.reporter);
        self.reporter.findings(root, &verify::check_folder_names(&tree.root)?);
        let listed = verify::check_tree(&tree.root)?;
        self.reporter.findings(root, &listed);
        let listed_faults = faults(&listed);
        let (messages, bytes) = (self.totals.messages, self.totals.bytes);
        let (mut counts, mut all) = (MailboxCounts::default(), FaultCounts::of(&listed));
        let maildirs: Vec<PathBuf> = maildirs.into_iter().map(Path::to_owned).collect();
        let mut outcomes = self.verify_maildirs(&maildirs)?;
        for found in std::mem::take(&mut tree.mailboxes) {
            let mailbox = |format, path| Target::Mailbox(MailboxArg { format: Some(format), path });
            let verified = match found.kind {
                MailboxKind::Maildir => match outcomes.remove(&found.path) {
                    Some(report) => {
                        let target = mailbox(Format::Maildir, found.path);
                        report.map(|report| self.report_one(&target, &report))
                    }
                    // A folder is verified with its Maildir.
                    None => continue,
                },
                MailboxKind::Mbox => self.verify_one(&mailbox(Format::Mbox, found.path)),
                MailboxKind::Messages(files) => self.verify_one(&Target::Messages(found.path, files)),
            };
            match self.finished(verified)? {
                Some(verified) => {
                    counts.add(verified.faults);
                    all.errors += verified.faults.errors;
                    all.warnings += verified.faults.warnings;
                }
                None => counts.failed += 1,
            }
        }
        let may_be_mail = tree.skipped.iter().filter(|skipped| skipped.may_be_mail).count();
        let not_read = (may_be_mail + tree.refused.len()) as u64;
        all.errors += not_read + counts.failed;
        let verdict = format!(
            "{}; {}{}{}.",
            counts.verdict(&format!(" in {}", display_path(root)), not_read == 0),
            format_size(self.totals.messages - messages, self.totals.bytes - bytes),
            listed_faults
                .as_ref()
                .map_or_else(String::new, |faults| format!("; {faults} in the list of folders")),
            unread_clause(not_read),
        );
        self.reporter.sentence(&verdict);
        Ok(Verified { faults: all, verdict })
    }

    /// Verifies the Maildirs of a tree, and repairs them on request. One that cannot be repaired does not stop the others.
    fn verify_maildirs(&mut self, paths: &[PathBuf]) -> Result<HashMap<PathBuf, Result<VerifyReport>>> {
        let verify = |run: &Self, paths: &[PathBuf]| -> Result<HashMap<_, _>> {
            let outcomes =
                run.with_options(|_, options, context| verify::verify_maildirs(paths, options, context))?;
            Ok(outcomes.into_iter().map(|MaildirOutcome { path, report }| (path, report)).collect())
        };
        let mut outcomes = verify(self, paths)?;
        let (mut repaired, mut failed) = (Vec::new(), Vec::new());
        for path in paths {
            let Some(Ok(report)) = outcomes.get(path) else { continue };
            match self.repair(report) {
                Ok(true) => repaired.push(path.clone()),
                Ok(false) => {}
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => failed.push((path.clone(), Err(error))),
            }
        }
        // A message of one manifest may be in any Maildir.
        let has_manifest = outcomes.values().flatten().any(|report| !report.sources.is_empty());
        if !repaired.is_empty() {
            outcomes.extend(verify(self, if has_manifest { paths } else { &repaired })?);
        }
        outcomes.extend(failed);
        Ok(outcomes)
    }

    /// Verifies a mailbox, repairs it on request, and reports.
    fn verify_one(&mut self, target: &Target) -> Result<Verified> {
        let mut report = self.verify_target(target)?;
        if self.repair(&report)? {
            // The report is about what is left.
            report = self.verify_target(target)?;
        }
        Ok(self.report_one(target, &report))
    }

    /// Repairs a mailbox on request. Returns true if something was changed.
    fn repair(&mut self, report: &VerifyReport) -> Result<bool> {
        if !self.args.repair || report.steps.is_empty() {
            return Ok(false);
        }
        self.totals.repairs += report.steps.len() as u64;
        let options = RepairOptions { dry_run: self.args.dry_run };
        let reporter = &mut self.reporter;
        repair(&report.steps, options, &self.context, &mut |step, finding| {
            if reporter.is_json() {
                reporter.findings(&step.path(), &[finding]);
            } else {
                reporter.line(&format!("repair: {}: {}", display_path(&step.path()), finding.message));
            }
        })?;
        Ok(!self.args.dry_run)
    }

    fn verify_target(&self, target: &Target) -> Result<VerifyReport> {
        self.with_options(|opener, options, context| {
            let verify_mbox = |mailbox: &MailboxArg| {
                let read_options = ReadOptions {
                    variant: mailbox.variant(),
                    keep_candidates: true,
                    ..ReadOptions::default()
                };
                verify::mbox::verify(&mut opener.open(mailbox)?, &read_options, options.depth, context)
            };
            match target {
                Target::Mailbox(mailbox) => {
                    let is_directory = files::is_dir(&mailbox.path) && !mailbox.is_standard_stream();
                    match mailbox.format == Some(Format::Maildir) || is_directory {
                        true => verify::verify_maildir(&mailbox.path, options, context),
                        false => verify_mbox(mailbox),
                    }
                }
                Target::Messages(directory, files) => {
                    let format = Some(Format::Variant(Variant::Rfc822));
                    let reports =
                        files.iter().map(|file| verify_mbox(&MailboxArg { format, path: file.clone() }));
                    reports
                        .collect::<Result<Vec<_>>>()
                        .map(|reports| VerifyReport::merge_messages(directory, reports))
                }
            }
        })
    }

    /// Passes the options to `verify`, and shows its progress.
    fn with_options<T>(
        &self,
        verify: impl FnOnce(&Opener<'_>, &VerifyOptions<'_>, &Context<'_>) -> Result<T>,
    ) -> Result<T> {
        let args = self.args;
        let watcher = ProgressDisplay::new(&args.common, self.context.cancel, &[Phase::Reading]);
        let context = Context { events: &watcher, ..self.context };
        // A source that a manifest names may be gone; one that the user names must be there.
        if let Some(path) = &args.source {
            files::metadata(path).map_err(Error::io("open", path))?;
        }
        let opener = args.opener(context.cancel, &watcher);
        let open_source =
            |path: &Path| opener.open(&MailboxArg { format: Some(Format::Mbox), path: path.to_owned() });
        let options = VerifyOptions {
            depth: if args.quick { Depth::Structure } else { Depth::Contents },
            manifest: args.manifest.as_deref(),
            source: args.source.as_deref(),
            open_source: Some(&open_source),
        };
        let done = verify(&opener, &options, &context);
        watcher.finish();
        done
    }

    /// Reports on one mailbox.
    fn report_one(&mut self, target: &Target, report: &VerifyReport) -> Verified {
        if report.findings.iter().any(|finding| finding.code == Code::NotAMailbox) {
            self.totals.unfinished = Some(Exit::CouldNotFinish);
        }
        let (faults, verdict) = self.report(target, report);
        Verified { faults, verdict }
    }

    /// Reports on one mailbox, and returns its faults and its verdict.
    fn report(&mut self, target: &Target, report: &VerifyReport) -> (FaultCounts, String) {
        let format = format_name(target, &report.folders);
        let reporter = &mut self.reporter;
        let faults = FaultCounts::of(&report.findings);
        let path = display_path(&report.path);
        let messages = report.folders.iter().map(|f| f.messages).sum();
        let bytes = report.folders.iter().map(|f| f.bytes).sum();
        let size = format_size(messages, bytes);
        if !faults.is_none() || self.args.common.verbose {
            reporter.heading(&report.path, &format!("{path}: {format}, {size}"));
        }
        reporter.findings(&report.path, &report.findings);
        if report.folders.len() > 1 {
            for FolderSummary { path, messages, bytes, .. } in &report.folders {
                reporter.detail(&format!("{}: {}", display_path(path), format_size(*messages, *bytes)));
            }
        }
        let mut verdict = mailbox_verdict(&path, &size, faults);
        reporter.sentence(&verdict);
        // The sentence about a source counts its messages, and no other errors.
        let others = faults.without_counted(&report.findings);
        let is_crowd = report.sources.len() > LISTED_SOURCES;
        for source in &report.sources {
            let others = if report.sources.len() == 1 { others } else { FaultCounts::default() };
            verdict = source_sentence(&display_path(&source.source), source, others);
            // The empty folders of a tree are in the sum only, and so are many files with one message each.
            let is_listed = source.messages > 0 && !(is_crowd && source.messages == 1 && source.is_intact());
            if is_listed || report.sources.len() == 1 || reporter.is_verbose() {
                reporter.sentence(&verdict);
            }
        }
        if let [first, _, ..] = &report.sources[..] {
            let mut all = SourceStatus::new(PathBuf::new(), &report.path, first.depth);
            report.sources.iter().for_each(|source| all.add(source));
            verdict = source_sentence(&format!("{} sources", report.sources.len()), &all, others);
            reporter.sentence(&verdict);
        }
        if self.reporter.is_recording() {
            let is_maildir =
                matches!(target, Target::Mailbox(_)) && report.folders.iter().all(|f| f.variant.is_none());
            let manifest = is_maildir.then(|| ManifestLocation::named(self.args.manifest.as_deref()));
            self.recorded.add(format, report, manifest, &self.context);
        }
        self.totals.folders += report.folders.len() as u64;
        self.totals.messages += messages;
        self.totals.bytes += bytes;
        self.totals.sources.extend(report.sources.iter().cloned());
        (faults, verdict)
    }

    fn summary(&self) -> serde_json::Value {
        let of = |count: fn(&SourceStatus) -> u64| self.totals.sources.iter().map(count).sum::<u64>();
        let compared = &self.totals.compared.totals;
        json!({
            "dry_run": self.args.dry_run,
            "mailboxes": self.args.mailboxes.len(),
            "sound": self.totals.sound,
            "folders": self.totals.folders,
            "folders_missing": self.totals.compared.folders_missing,
            "folders_extra": self.totals.compared.folders_extra,
            "messages_found": self.totals.messages,
            "bytes_source": self.totals.bytes,
            "sources": self.totals.sources.len(),
            "converted": of(|p| p.messages),
            "kept": of(|p| p.intact),
            "moved": of(|p| p.moved) + compared.moved,
            "reflagged": of(|p| p.reflagged),
            "renamed": of(|p| p.renamed),
            "changed": of(|p| p.changed),
            "gone": of(|p| p.gone),
            "same": compared.same,
            "as_asked": compared.as_asked,
            "line_ends": compared.line_ends,
            "final_newline": compared.final_newline,
            "quoting": compared.quoting,
            "differ": compared.differ,
            "missing": compared.missing,
            "extra": compared.extra,
            "deleted": compared.deleted,
            "duplicates": compared.duplicates,
            "not_selected": of(|p| p.not_selected) + compared.not_selected,
            "removed": compared.removed,
            "flags": compared.flags,
            "dates": compared.dates,
            "fields": compared.fields,
            "repairs": self.totals.repairs,
            "verdict": self.verdict,
        })
    }
}

fn format_size(messages: u64, bytes: u64) -> String {
    format!("{}, {}", grouped_plural(messages, "message"), grouped_plural(bytes, "byte"))
}

/// Describes the format of a mailbox.
fn format_name(target: &Target, folders: &[FolderSummary]) -> String {
    match (target, folders) {
        (Target::Messages(..), _) => "files with a message each".into(),
        (_, [FolderSummary { variant: Some(variant), .. }]) => variant.to_string(),
        (_, [_]) => "Maildir".into(),
        (_, folders) => format!("Maildir with {}", grouped_plural(folders.len() as u64 - 1, "folder")),
    }
}
