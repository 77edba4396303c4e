//! `mailferry inspect`.

use std::ffi::OsString;

use clap::Args;
use serde_json::json;

use super::args::CommonArgs;
use super::identity::{self, Paths};
use super::mailbox_arg::MailboxArg;
use super::open::{OpenArgs, context};
use super::sandbox::{SandboxArgs, SandboxPaths};
use super::signals;
use super::ui::exit;
use crate::cli::ui::{Exit, ProgressDisplay, Reporter, report_waits};
use crate::inspect::{self, MessageRow, Position};
use crate::mailbox::finding::{self, Severity};
use crate::mailbox::mbox::{Mbox, ReadOptions, Reason, boundary_list};
use crate::mailbox::source::Source;
use crate::mailbox::text::grouped;
use crate::mailbox::{Code, Context, Error, Finding, NoEvents, Phase, Result, display_path, escape};

/// Show what is in a mailbox, and why each boundary is where it is
///
/// Without a number: a line a message (number, byte offset or file, length, received date and its
/// origin, flags, From, Subject, Message-ID), separated by tabs. With a number: that message, raw, as
/// convert would write it.
#[derive(Args, Debug)]
#[command(after_help = help())]
pub(super) struct InspectArgs {
    /// An mbox, a Maildir, or - for an mbox on standard input
    mailbox: OsString,
    /// Write this message to standard output, raw
    #[arg(value_name = "N")]
    number: Option<usize>,
    /// With N: its bytes as they lie in the mbox, From_ line and quoting included
    #[arg(long, requires = "number")]
    source: bool,
    /// Print every line that could begin a message, and why it does or does not
    #[arg(long, conflicts_with = "number")]
    boundaries: bool,
    #[command(flatten)]
    open: OpenArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
    #[command(flatten)]
    common: CommonArgs,
}

fn help() -> String {
    format!(
        "\
Examples:
  mailferry inspect inbox.mbox
  mailferry inspect inbox.mbox 17 | less
  mailferry inspect --boundaries inbox.mbox > list

{}",
        exit::HELP
    )
}

/// Runs the command.
pub(super) fn run(args: InspectArgs) -> Exit {
    let mut reporter = Reporter::new(&args.common);
    let done = show(&args, &mut reporter);
    let (messages, exit) = match done {
        Ok(messages) => (messages, Exit::finished(reporter.errors, reporter.warnings, args.common.strict)),
        Err(error) => {
            reporter.error(&error);
            (0, Exit::of(&error))
        }
    };
    // A message is data; an error has a summary in any case.
    if args.number.is_none() || exit != Exit::Done {
        reporter.summary("inspect", exit, json!({ "messages_found": messages }));
    }
    reporter.finish(exit)
}

/// Shows what the options ask for, and returns the number of messages.
fn show(args: &InspectArgs, reporter: &mut Reporter) -> Result<usize> {
    let mailbox = MailboxArg::parse(&args.mailbox)?;
    let read = if mailbox.is_standard_stream() { vec![] } else { vec![&*mailbox.path] };
    identity::take(&Paths { read, ..Paths::default() })?;
    let is_maildir = mailbox.is_maildir()?;
    let mut paths = SandboxPaths::new(&args.open.spool_directory());
    paths.read_mailbox(&mailbox);
    if is_maildir {
        paths.read_linked_messages(&mailbox.path);
    }
    paths.enter(args.sandbox, args.common.verbose);
    args.common.set_up_workers()?;
    let cancel = report_waits(signals::cancel_on_signals(), &args.common);
    let watcher = ProgressDisplay::new(&args.common, &cancel, &[Phase::Reading]);
    let locks = args.open.lock_options(true);
    let context = context(&cancel, &NoEvents, "", &locks);
    // No dot-lock: inspect leaves no trace, not even for a moment.
    let opener = args.open.opener(&cancel, &watcher, true);
    if is_maildir {
        return show_maildir(args, &mailbox, &context, reporter);
    }
    let mut source = opener.open(&mailbox)?;
    let lock_findings = source.take_findings();
    let options = ReadOptions {
        variant: mailbox.variant(),
        allow_empty: args.boundaries,
        keep_candidates: args.boundaries,
        ..ReadOptions::default()
    };
    let read = Mbox::read(&source, &options, &context);
    watcher.finish();
    let mut mbox = read?;
    let mut findings = std::mem::take(&mut mbox.findings);
    findings.extend(lock_findings);
    if let Some(number) = args.number {
        write_message(args, &source, &mbox, number, reporter)?;
    } else if args.boundaries {
        show_boundaries(&mbox, reporter);
    } else {
        let listing = Listing { args, source: &source, mbox: &mbox, context: &context };
        listing.show(findings, reporter)?;
    }
    source.check_unchanged()?;
    Ok(mbox.messages().len())
}

fn write_message(
    args: &InspectArgs,
    source: &Source,
    mbox: &Mbox<'_>,
    number: usize,
    reporter: &mut Reporter,
) -> Result<()> {
    if args.source {
        reporter.data(inspect::read_source_bytes(source, mbox, number)?);
    } else {
        for piece in inspect::read_mbox_message(mbox, source.path(), number)? {
            reporter.data(piece);
        }
    }
    Ok(())
}

/// The list of the messages of an mbox.
struct Listing<'a> {
    args: &'a InspectArgs,
    source: &'a Source,
    mbox: &'a Mbox<'a>,
    context: &'a Context<'a>,
}

impl Listing<'_> {
    fn show(&self, mut findings: Vec<Finding>, reporter: &mut Reporter) -> Result<()> {
        let source = self.source;
        let is_json = reporter.is_json();
        let print = |rows: Vec<String>| rows.iter().for_each(|row| reporter.preformatted_line(row));
        let show = |row| row_text(&row, is_json);
        findings.extend(inspect::list_mbox(source, self.mbox, self.context, show, print)?);
        if source.is_cr_only() {
            findings.push(Finding::new(Code::MboxCrOnly, "every line ends in CR, as on a classic Mac"));
        }
        finding::number_lines(&mut findings, source.text(), &|range| source.release(range));
        if reporter.is_json() || self.args.common.verbose {
            reporter.findings(source.path(), &findings);
        } else if !self.args.common.quiet {
            self.summarize(&findings);
        }
        reporter.warnings = count(&findings, |severity| severity == Severity::Warning);
        reporter.errors = count(&findings, |severity| severity == Severity::Error);
        Ok(())
    }

    /// Writes counts to standard error: the listing is data for other programs.
    fn summarize(&self, findings: &[Finding]) {
        let warnings = count(findings, |severity| severity >= Severity::Warning);
        let path = display_path(self.source.path());
        eprintln!(
            "{path}: {} messages, {} ({})",
            grouped(self.mbox.messages().len() as u64),
            self.mbox.variant,
            self.mbox.evidence
        );
        if warnings > 0 {
            eprintln!("{path}: {} warnings; inspect -v lists them", grouped(warnings));
        }
    }
}

fn count(findings: &[Finding], is_counted: impl Fn(Severity) -> bool) -> u64 {
    findings.iter().filter(|finding| is_counted(finding.severity)).count() as u64
}

fn show_maildir(
    args: &InspectArgs,
    mailbox: &MailboxArg,
    context: &Context<'_>,
    reporter: &mut Reporter,
) -> Result<usize> {
    let maildir = &mailbox.path;
    if args.boundaries || args.source {
        let option = if args.boundaries { "--boundaries" } else { "--source" };
        let reason = format!("is for an mbox, and {} is a Maildir", display_path(maildir));
        return Err(Error::usage(option, reason));
    }
    if let Some(number) = args.number {
        reporter.data(&inspect::read_maildir_message(maildir, number, context.now)?);
        return Ok(1);
    }
    let (rows, mut findings) = inspect::list_maildir(maildir, context)?;
    rows.iter().for_each(|row| reporter.preformatted_line(&row_text(row, reporter.is_json())));
    if reporter.is_json() || args.common.verbose {
        reporter.findings(maildir, &findings);
        return Ok(rows.len());
    }
    findings.retain(|finding| finding.severity == Severity::Error);
    if !findings.is_empty() {
        reporter.errors += findings.len() as u64;
        let n = grouped(findings.len() as u64);
        eprintln!("{}: {n} that cannot be read were left out; inspect -v lists them", display_path(maildir));
    }
    Ok(rows.len())
}

/// Formats a line of the listing, or its JSON object.
fn row_text(row: &MessageRow, is_json: bool) -> String {
    let date = jiff::Timestamp::from_second(row.epoch).map(|t| t.to_string()).unwrap_or_default();
    let mut flags = row.flags.to_string();
    if row.is_new {
        flags.push('N');
    }
    if is_json {
        let mut object = json!({
            "type": "message",
            "number": row.number,
            "length": row.length,
            "date": date,
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
        return object.to_string();
    }
    let at = match &row.position {
        Position::Offset(offset) => offset.to_string(),
        Position::File(file) => display_path(file),
    };
    let flags = match (row.is_pseudo, flags.is_empty()) {
        (true, _) => "pseudo",
        (false, true) => "-",
        (false, false) => &flags,
    };
    let text = |s: &str| escape(s.as_bytes());
    format!(
        "{}\t{at}\t{}\t{date}\t{}\t{flags}\t{}\t{}\t{}",
        row.number,
        row.length,
        row.origin.name(),
        text(&row.from),
        text(&row.subject),
        text(&row.message_id)
    )
}

fn show_boundaries(mbox: &Mbox<'_>, reporter: &mut Reporter) {
    let text = mbox.text();
    reporter.line(boundary_list::format_header(text.len() as u64).trim_end());
    let (mut line, mut counted) = (1, 0);
    for decided in &mbox.boundaries.decisions {
        let offset = decided.candidate.offset as usize;
        line += memchr::memchr_iter(b'\n', &text[counted..offset]).count() as u64;
        counted = offset;
        if reporter.is_json() {
            let bytes = &text[offset..decided.candidate.end() as usize];
            let row = match decided.reason {
                Reason::Row(row) => json!(row),
                Reason::Glued => json!("glued"),
                Reason::User => json!("user"),
            };
            reporter.object(&json!({
                "type": "boundary",
                "offset": offset,
                "line": line,
                "class": decided.candidate.class(),
                "row": row,
                "verdict": decided.verdict.name(),
                "spelling": decided.candidate.spelling.name(),
                "text": escape(bytes.trim_ascii_end()),
            }));
        } else {
            reporter.line(&boundary_list::format_line(text, decided, line));
        }
    }
}
