//! `mailferry inspect`.

use std::ffi::OsString;

use crate::inspect::{self, Position, Row};
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::{self, Code, Finding};
use crate::mailbox::maildir::list::is_maildir;
use crate::mailbox::mbox::boundary::Reason;
use crate::mailbox::mbox::read::{self, Mbox, ReadOptions};
use crate::mailbox::mbox::scan_hooks::ScanHooks;
use crate::mailbox::message::received::DateRules;
use crate::mailbox::source::Source;
use crate::mailbox::text::{display_path, escape};
use clap::Args;
use serde_json::json;

use super::args::CommonArgs;
use super::mailbox_arg::{Format, MailboxArg};
use super::open::OpenArgs;
use super::signals;
use super::ui::exit::{self, Exit};
use super::ui::progress::ProgressDisplay;
use super::ui::report::Reporter;
use crate::mailbox::text::grouped;

/// Show what is in a mailbox, and why each boundary is where it is
///
/// Without a number: a line a message (number, byte offset or file, length, received date and its
/// origin, flags, From, Subject, Message-ID), separated by tabs. With a number: that message, raw, as
/// convert would write it.
#[derive(Args, Debug)]
#[command(after_help = help())]
pub struct InspectArgs {
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
pub fn run(args: InspectArgs) -> Exit {
    let mut reporter = Reporter::new(&args.common);
    let done = args
        .common
        .set_up_workers()
        .map_err(|e| Error::Unsupported { path: "--jobs".into(), reason: e.to_string() })
        .and_then(|()| show(&args, &mut reporter));
    let (messages, exit) = match done {
        Ok(messages) => (messages, Exit::finished(reporter.errors, reporter.warnings, args.common.strict)),
        Err(error) => {
            reporter.error(&error);
            (0, Exit::of(&error))
        }
    };
    // A message is data; an error has a summary in any case.
    if args.number.is_none() || exit != Exit::Done {
        let summary = json!({
            "type": "summary",
            "command": "inspect",
            "messages_found": messages,
            "warnings": reporter.warnings,
            "errors": reporter.errors,
        });
        reporter.object(&summary);
    }
    reporter.finish(exit)
}

/// The number of messages.
fn show(args: &InspectArgs, reporter: &mut Reporter) -> Result<usize> {
    let mailbox = MailboxArg::parse(&args.mailbox);
    if mailbox.format == Some(Format::Maildir) || (mailbox.format.is_none() && is_maildir(&mailbox.path)) {
        return show_maildir(args, &mailbox, reporter);
    }
    let cancel = signals::cancel_on_signals();
    let watcher = ProgressDisplay::new(&args.common);
    // Looking leaves nothing behind, not even for a moment.
    let mut source = args.open.open(&mailbox, &cancel, &watcher, true)?;
    let lock_findings = source.take_findings();
    let show_all = args.boundaries;
    let ask = ReadOptions {
        variant: mailbox.variant(),
        allow_empty: show_all,
        keep_candidates: show_all,
        ..ReadOptions::default()
    };
    let watch = ScanHooks { on_scan: &|_| (), on_release: &|range| source.release(range), cancel: &cancel };
    let read = read::read(source.text(), &ask, watch);
    watcher.finish();
    cancel.check()?;
    let mut mbox = read.map_err(|not| Error::NotAMailbox {
        path: mailbox.path.clone(),
        reason: not.reason,
        hint: not.hint,
    })?;
    let mut findings = std::mem::take(&mut mbox.findings);
    findings.extend(lock_findings);
    if let Some(number) = args.number {
        write_message(args, &source, &mbox, number, reporter)?;
    } else if args.boundaries {
        show_boundaries(&mbox, reporter);
    } else {
        list(args, &source, &mbox, findings, reporter)?;
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
        for piece in inspect::read_mbox_message(mbox, source.path(), number)?.pieces {
            reporter.data(&piece);
        }
    }
    Ok(())
}

fn list(
    args: &InspectArgs,
    source: &Source,
    mbox: &Mbox<'_>,
    mut findings: Vec<Finding>,
    reporter: &mut Reporter,
) -> Result<()> {
    let rules = DateRules {
        now: crate::cli::clock::seconds_since_epoch(),
        mtime: source.mtime(),
        from_zone: None,
        first: None,
    };
    let is_json = reporter.is_json();
    let tell = |rows: Vec<String>| rows.iter().for_each(|row| reporter.preformatted_line(row));
    let dates = inspect::list_mbox(source, mbox, &rules, |row| row_text(&row, is_json), tell)?;
    findings.extend(dates);
    if source.is_cr_only() {
        findings.push(Finding::new(Code::MboxCrOnly, "every line ends in CR, as on a classic Mac"));
    }
    finding::number_lines(&mut findings, source.text(), &|range| source.release(range));
    if reporter.is_json() || args.common.verbose {
        reporter.findings(source.path(), &findings);
    } else {
        tell_on_stderr(source, mbox, &findings, args.common.quiet);
    }
    let warnings = findings.iter().filter(|f| f.code.severity() == finding::Severity::Warning).count() as u64;
    reporter.warnings = warnings;
    Ok(())
}

/// The listing is data that people pipe into other programs, so what else there is to say goes aside.
fn tell_on_stderr(source: &Source, mbox: &Mbox<'_>, findings: &[Finding], quiet: bool) {
    if quiet {
        return;
    }
    let warnings = findings.iter().filter(|f| f.code.severity() >= finding::Severity::Warning).count();
    let path = display_path(source.path());
    eprintln!(
        "{path}: {} messages, {} ({})",
        grouped(mbox.messages().len() as u64),
        mbox.variant,
        mbox.evidence
    );
    if warnings > 0 {
        eprintln!("{path}: {} warnings; inspect -v lists them", grouped(warnings as u64));
    }
}

fn show_maildir(args: &InspectArgs, mailbox: &MailboxArg, reporter: &mut Reporter) -> Result<usize> {
    let maildir = &mailbox.path;
    mailbox.check_maildir()?;
    if args.boundaries || args.source {
        let reason = "is a Maildir; boundaries and source bytes are an mbox's".into();
        return Err(Error::Unsupported { path: maildir.clone(), reason });
    }
    if let Some(number) = args.number {
        reporter.data(&inspect::read_maildir_message(maildir, number)?);
        return Ok(1);
    }
    let (rows, findings) = inspect::list_maildir(maildir)?;
    rows.iter().for_each(|row| reporter.preformatted_line(&row_text(row, reporter.is_json())));
    if reporter.is_json() || args.common.verbose {
        reporter.findings(maildir, &findings);
    } else if !findings.is_empty() {
        reporter.errors += findings.len() as u64;
        let n = grouped(findings.len() as u64);
        eprintln!("{}: {n} that cannot be read were left out; inspect -v lists them", display_path(maildir));
    }
    Ok(rows.len())
}

/// A line of the listing, or the object that programs get instead.
fn row_text(row: &Row, is_json: bool) -> String {
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
    reporter.line(inspect::boundary_list_header(text.len() as u64).trim_end());
    let (mut line, mut counted) = (1, 0);
    for decided in &mbox.boundaries.decisions {
        let offset = decided.candidate.offset as usize;
        line += memchr::memchr_iter(b'\n', &text[counted..offset]).count() as u64;
        counted = offset;
        if reporter.is_json() {
            let bytes = &text[offset..decided.candidate.end() as usize];
            let row = match decided.reason {
                Reason::Row(row) => json!(row),
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
            reporter.line(&inspect::boundary_line(text, decided, line));
        }
    }
}
