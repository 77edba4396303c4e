//! `mailferry convert`: chooses the job, runs it, and reports.

mod account_totals;
mod accounts;
mod applies;
mod args;
mod dates;
mod inputs;
mod job;
mod parents;
mod recorded;
mod report;
mod run;
mod summary;
mod table;
mod tree;
mod unchanged;

use std::path::Path;
use std::sync::Mutex;

use super::open::context;
use super::signals;
use crate::cli::ui::{Exit, ProgressDisplay, report_waits};
use crate::convert::export::{self, OutputMode, find_nested_folders};
use crate::convert::import::import_mboxes;
use crate::convert::{
    DestinationOptions, ExportOptions, ExportSource, ImportOptions, Outcome, Totals, copy, restore,
};
use crate::mailbox::fs::modes::mode_of;
use crate::mailbox::maildir::create::remove_empty;
use crate::mailbox::mbox::Variant;
use crate::mailbox::message::Selection;
use crate::mailbox::{Context, Error, Phase, Result};
use job::Job;
use report::{ConvertReport, usage};
use run::Run;
use summary::Written;
use unchanged::AccountState;

pub(crate) use args::ConvertArgs;

/// Runs the command.
pub(crate) fn run(mut args: ConvertArgs) -> Exit {
    if args.accounts.accounts.is_some() {
        return accounts::run(&args);
    }
    match args.tree.read_files_from() {
        Ok(listed) => drop(args.mailboxes.splice(..0, listed)),
        Err(error) => return ConvertReport::new(&args, None).fail(error, 0),
    }
    if args.mailboxes.len() < 2 {
        eprintln!(
            "mailferry: there is no source: name one before the destination, or list some with --files-from"
        );
        return Exit::Usage;
    }
    let mailboxes = match args.mailboxes() {
        Ok(mailboxes) => mailboxes,
        Err(error) => return usage(&error),
    };
    let writer = match args.report.start_writer() {
        Ok(writer) => writer,
        Err(error) => return ConvertReport::new(&args, None).fail(error, mailboxes.sources.len()),
    };
    match args.take_identity(&mailboxes) {
        Ok(()) => {}
        Err(error @ Error::Usage { .. }) => return usage(&error),
        Err(error) => {
            return ConvertReport::new(&args, None).fail(error, mailboxes.sources.len());
        }
    }
    let mut report = ConvertReport::new(&args, Some(&mailboxes));
    match writer.map(|writer| args.open_report(writer, &mailboxes)).transpose() {
        Ok(file) => file.into_iter().for_each(|file| report.record(file)),
        Err(error @ Error::Usage { .. }) => return usage(&error),
        Err(error) => return report.fail(error, mailboxes.sources.len()),
    }
    // Just that mode, whatever the caller's mask is.
    rustix::process::umask(mode_of(!args.modes().dir_mode() & 0o777));
    let cancel = report_waits(signals::cancel_on_signals(), &args.common);
    let phases = &[Phase::Reading, Phase::Planning, Phase::Writing];
    let display = ProgressDisplay::new(&args.common, &cancel, phases);
    let (locks, keywords_lock) = (args.open.lock_options(args.dry_run), args.open.dotlock_options());
    let context =
        Context { collect_details: report.is_recording(), ..context(&cancel, &display, &args.host, &locks) };
    let mut opener = args.open.opener(&cancel, &display, args.dry_run);
    opener.is_live = args.live;
    let stdout = Mutex::new(std::io::stdout());
    if let Some(earlier) = &args.fingerprint {
        let state = match AccountState::read(&mailboxes, args.tree.folders.follow, &cancel) {
            Ok(state) => state,
            Err(error) => return report.fail(error, mailboxes.sources.len()),
        };
        if state.fingerprint() == *earlier {
            return report.unchanged();
        }
        report.state = Some(state);
    }
    let job = match Job::choose(&args, &mailboxes, &stdout) {
        Ok(job) => job,
        Err(error @ Error::Usage { .. }) => return usage(&error),
        Err(error) => return report.fail(error, mailboxes.sources.len()),
    };
    let run = Run {
        args: &args,
        mailboxes: &mailboxes,
        context,
        keywords_lock: &keywords_lock,
        opener: &opener,
        display: &display,
    };
    let created = match args.parents && !args.dry_run && !mailboxes.destination.is_standard_stream() {
        true => parents::create(&mailboxes.destination.path),
        false => Ok(Vec::new()),
    };
    let created = match created {
        Ok(created) => created,
        Err(error) => return report.fail(error, mailboxes.sources.len()),
    };
    let exit = run.job(job, report);
    remove_empty(&created);
    exit
}

impl Run<'_> {
    fn job(&self, job: Job<'_>, report: ConvertReport<'_>) -> Exit {
        if let Err(error) = self.args.common.set_up_workers() {
            return report.fail(error, self.mailboxes.sources.len());
        }
        match job {
            Job::Import(options) => {
                let outcome = self.import(&options);
                self.display.finish();
                report.outcome(&outcome, Written::Maildir(None))
            }
            Job::Copy(source, selection, options) => {
                let outcome = self.copy(source, selection, &options);
                self.display.finish();
                report.outcome(&outcome, Written::Maildir(None))
            }
            Job::Export(options) => match self.export(&options) {
                Ok((outcome, variant)) => {
                    self.display.finish();
                    let to_stream = self.mailboxes.destination.is_standard_stream();
                    let written = match options.output {
                        OutputMode::Files => Written::Files(None),
                        _ if to_stream => Written::Stream(variant),
                        _ => Written::Mbox(variant),
                    };
                    report.outcome(&outcome, written)
                }
                Err(error) => {
                    self.display.finish();
                    report.fail(error, self.mailboxes.sources.len())
                }
            },
            Job::Restore(options) => {
                let mut findings = Vec::new();
                let restored = restore::restore(&options, &self.context, &mut findings);
                self.display.finish();
                report.restored(&self.mailboxes.sources[0].path, &findings, restored)
            }
            Job::Tree(import, export) => {
                let converted = self.tree(&import, &export);
                self.display.finish();
                // What the tree holds decides over some options.
                match converted.as_ref().map_or_else(Some, |tree| tree.outcome.error.as_ref()) {
                    Some(error @ Error::Usage { .. }) => usage(error),
                    _ => report.tree(&converted),
                }
            }
        }
    }

    /// Returns the context of what writes Maildirs.
    fn maildir_context(&self) -> Context<'_> {
        Context { locks: self.keywords_lock, ..self.context }
    }

    fn import(&self, options: &ImportOptions<'_>) -> Outcome {
        let mut skipped = Vec::new();
        let mut outcome = match self.inputs(&mut skipped) {
            Ok(inputs) => import_mboxes(&inputs, options, &self.maildir_context()),
            Err(error) => Outcome::failed(self.mailboxes.sources.len(), error),
        };
        outcome.reports.extend(skipped);
        outcome
    }

    fn copy(&self, source: &Path, selection: Selection, options: &DestinationOptions<'_>) -> Outcome {
        let context = self.maildir_context();
        let split = self.args.split();
        let mut outcome = copy::copy(source, selection, split.as_ref(), options, &context);
        match find_nested_folders(source) {
            Ok(finding) => {
                outcome.reports.iter_mut().take(1).for_each(|report| report.findings.extend(finding.clone()))
            }
            Err(error) => outcome.error = outcome.error.or(Some(error)),
        }
        outcome
    }

    fn export(&self, options: &ExportOptions<'_>) -> Result<(Outcome, Variant)> {
        let sources = self.mailboxes.sources.iter().map(|source| match source.is_maildir()? {
            true => Ok(ExportSource::Maildir(source.path.clone())),
            false => {
                let input = self.args.open(source, self.opener)?;
                Ok(ExportSource::Mbox(Box::new(input)))
            }
        });
        let sources = sources.collect::<Result<Vec<_>>>()?;
        let (mut outcome, variant) = export::export(&sources, options, &self.context);
        let to_stream = self.mailboxes.destination.is_standard_stream();
        if to_stream && outcome.error.as_ref().is_some_and(report::is_closed_pipe) {
            outcome.error = None;
            // How much of it was read cannot be known: nothing is summed up.
            outcome.totals = Totals { sources: outcome.totals.sources, ..Totals::default() };
            report::report_closed_pipe(self.args);
        }
        Ok((outcome, variant))
    }
}
