//! `mailferry inspect`.

mod args;
mod boundaries;
mod inspection;
mod line;
mod list;
mod second_opinion;
mod stats;
mod tree;

use serde_json::json;

use super::identity::{self, Paths};
use super::open::context;
use super::sandbox::SandboxPaths;
use super::signals;
use crate::cli::ui::{Exit, ProgressDisplay, Reporter, report_waits};
use crate::inspect;
use crate::mailbox::{NoEvents, Phase, Result};
pub(super) use args::InspectArgs;
use args::{check_options, parse_target};
use inspection::{Inspection, Shown};

/// Runs the command.
pub(super) fn run(args: InspectArgs) -> Exit {
    let mut reporter = Reporter::new(&args.common);
    let (mut shown, exit) = match show(&args, &mut reporter) {
        Ok(shown) => {
            let finished = Exit::finished(reporter.errors, reporter.warnings, args.common.strict);
            let exit = shown.unfinished.unwrap_or(finished);
            (shown, exit)
        }
        Err(error) => {
            reporter.error(&error);
            (Shown::default(), Exit::of(&error))
        }
    };
    // A message is data; an error has a summary in any case.
    if args.messages.is_none() || exit != Exit::Done {
        if !shown.keys.is_object() {
            shown.keys = json!({});
        }
        shown.keys["messages_found"] = json!(shown.messages);
        reporter.summary("inspect", exit, shown.keys);
    }
    reporter.finish(exit)
}

/// Shows what the options ask for.
fn show(args: &InspectArgs, reporter: &mut Reporter) -> Result<Shown> {
    let (mailbox, line) = parse_target(&args.mailbox)?;
    let read = if mailbox.is_standard_stream() { vec![] } else { vec![&*mailbox.path] };
    identity::take(&Paths { read, ..Paths::default() })?;
    let is_maildir = mailbox.is_maildir()?;
    let is_tree = !is_maildir && mailbox.is_tree()?;
    check_options(args, &mailbox, line.is_some())?;
    let mut paths = SandboxPaths::new(&args.open.spool_directory());
    paths.read_mailbox(&mailbox);
    if is_maildir {
        paths.read_linked_messages(&mailbox.path);
    }
    paths.enter(args.sandbox, args.common.verbose);
    args.common.set_up_workers()?;
    let cancel = report_waits(signals::cancel_on_signals(), &args.common);
    let watcher = &ProgressDisplay::new(&args.common, &cancel, &[Phase::Reading]);
    let locks = args.open.lock_options(true);
    let context = &context(&cancel, &NoEvents, "", &locks);
    // No dot-lock: inspect leaves no trace, not even for a moment.
    let opener = &args.open.opener(&cancel, watcher, true);
    let inspection = Inspection { args, mailbox, opener, watcher, context };
    match line {
        _ if args.stats => inspection.stats(reporter),
        _ if is_tree => inspection.tree(reporter),
        _ if is_maildir => inspection.maildir(reporter),
        Some(line) => inspection.line(line, reporter),
        None => inspection.mbox(reporter),
    }
}

impl Inspection<'_> {
    fn maildir(&self, reporter: &mut Reporter) -> Result<Shown> {
        let maildir = &self.mailbox.path;
        if let Some(range) = &self.args.messages {
            inspect::write_maildir_messages(maildir, range, self.context, &mut |bytes| reporter.data(bytes))?;
            return Ok(Shown::default());
        }
        let messages = list::show_maildir(maildir, self.context, &self.args.common, reporter)?;
        Ok(Shown::messages(messages))
    }

    fn mbox(&self, reporter: &mut Reporter) -> Result<Shown> {
        let args = self.args;
        let keeps_candidates = args.boundaries || args.second_opinion;
        let mut source = self.opener.open(&self.mailbox)?;
        let lock_findings = source.take_findings();
        let mut mbox = self.read(&source, keeps_candidates)?;
        let mut shown = Shown::messages(mbox.messages().len());
        if let Some(range) = &args.messages {
            match args.source {
                true => reporter.data(inspect::source_bytes(&source, &mbox, range)?),
                false => inspect::read_mbox_message(&mbox, source.path(), range)?
                    .for_each(|piece| reporter.data(piece)),
            }
        } else if args.boundaries {
            boundaries::show(&mbox, reporter);
        } else if args.second_opinion {
            shown.keys = second_opinion::show(&source, &mbox, &args.open.spool_directory(), reporter)?;
        } else {
            let mut findings = std::mem::take(&mut mbox.findings);
            findings.extend(lock_findings);
            let listing =
                list::Listing { common: &args.common, source: &source, mbox: &mbox, context: self.context };
            listing.show(findings, reporter)?;
        }
        source.check_unchanged()?;
        Ok(shown)
    }

    fn line(&self, line: u64, reporter: &mut Reporter) -> Result<Shown> {
        let source = self.opener.open(&self.mailbox)?;
        let mbox = self.read(&source, true)?;
        line::show(&source, &mbox, line, reporter)?;
        source.check_unchanged()?;
        Ok(Shown::messages(mbox.messages().len()))
    }
}
