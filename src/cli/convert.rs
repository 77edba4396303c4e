//! `mailferry convert`.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::convert::copy;
use crate::convert::export;
use crate::convert::export::{MboxTarget, OutputMode};
use crate::convert::import::import_mboxes;
use crate::convert::render::{Eol, Headers, RenderOptions};
use crate::convert::restore;
use crate::convert::restore::{RestoreTarget, SourceSelector};
use crate::convert::{
    CopyOptions, Dedupe, DestinationOptions, FolderCount, ImportOptions, Input, Outcome, Totals,
};
use crate::mailbox::context::{Cancel, Context, LockOptions};
use crate::mailbox::error::{Error, Result};
use crate::mailbox::fs::durable::Owner;
use crate::mailbox::maildir::detect::is_maildir;
use crate::mailbox::maildir::write::{Fsync, Ownership};
use crate::mailbox::manifest::{ByteCounts, ManifestLocation};
use crate::mailbox::mbox::boundary_list;
use crate::mailbox::mbox::read::ReadOptions;
use crate::mailbox::mbox::status::LabelPolicy;
use crate::mailbox::mbox::variant::Variant;
use crate::mailbox::message::received::Origin;
use crate::mailbox::source::SpoolOptions;
use crate::mailbox::text::{display_path, escape};
use crate::mailbox::tree::folder::Layout;
use clap::{Args, ValueEnum};
use serde_json::{Map, json};

use super::args::{CommonArgs, DeletedArg, LabelsArg};
use super::mailbox_arg::{Format, MailboxArg};
use super::open::OpenArgs;
use super::tree::{self, TreeArgs};
use super::ui::exit::{self, Exit};
use super::ui::progress::ProgressDisplay;
use super::ui::report::Reporter;
use super::{clock, owner, signals};
use crate::mailbox::text::grouped;

/// Convert mboxes into a Maildir, in parallel and durably, and back
///
/// A SOURCE is an mbox (mboxo, mboxrd, mboxcl, mboxcl2 or MMDF; found out by content, or named by a
/// prefix such as mboxrd:PATH), compressed or not, or - for standard input; or it is a Maildir. The
/// DESTINATION is of the other kind unless a prefix says otherwise (maildir:PATH copies a Maildir, names and
/// flags and all); an mbox is written as mboxrd, or as the prefix says (mboxcl2:PATH), and to standard output
/// for -. A new Maildir or mbox is built beside its
/// name and appears whole; into an existing Maildir each message is moved, never over another name; an
/// existing file is left alone without --append or --force. When the command returns 0, all of it is on
/// stable storage. Sources are never changed.
///
/// A SOURCE that is any other directory is a tree: each mailbox in it (mboxes, Maildirs, directories of messages;
/// the directories of Thunderbird, KMail, Apple Mail and MH among them) becomes a folder of the DESTINATION, which
/// is a Maildir with folders, with --layout fs a directory of Maildirs, or with mbox:PATH/ a directory of mboxes. A
/// Maildir with folders is a tree, too, where the DESTINATION is a directory. Several sources go into one tree; an
/// mbox among them is INBOX. What is no mail is passed over and counted (-v lists it); where there may be mail that
/// could not be read, the rest is converted and the exit code is 1. Subscriptions come along, and names that a layout
/// cannot say are escaped and told: mailferry-formats(5).
#[derive(Args, Debug)]
#[command(after_help = help())]
pub struct ConvertArgs {
    /// Sources, then the destination
    #[arg(required = true, num_args = 1.., value_names = ["SOURCE", "DESTINATION"])]
    mailboxes: Vec<OsString>,
    /// Write nothing, report what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// When to flush: once for all, each message, or not at all
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = FsyncArg::Batch)]
    fsync: FsyncArg,
    /// Line ends of the messages written
    #[arg(long, value_enum, value_name = "EOL", default_value_t = EolArg::Keep)]
    eol: EolArg,
    /// What becomes of a user's own labels in X-Gmail-Labels, as Google Takeout writes it
    #[arg(long, value_enum, value_name = "AS", default_value_t = LabelsArg::Keywords)]
    labels: LabelsArg,
    /// What becomes of messages that a mailer has marked as deleted
    #[arg(long, value_enum, value_name = "HOW", default_value_t = DeletedArg::Flag)]
    deleted: DeletedArg,
    /// The fields that only mailers write, Status, X-Keywords, X-Mozilla-Status, Content-Length and the like
    #[arg(long, value_enum, value_name = "HOW", default_value_t = HeadersArg::Keep)]
    headers: HeadersArg,
    /// The received date is looked for here first
    #[arg(long, value_enum, value_name = "ORIGIN", default_value_t = DateArg::From)]
    date: DateArg,
    /// Zone of From_ lines that name none: +0100, UTC, Europe/Berlin; default: what the Received
    /// fields show, else UTC
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    from_zone: Option<jiff::tz::TimeZone>,
    /// The last part of the names
    #[arg(long, value_name = "WORD", default_value = "mailferry")]
    host: String,
    /// What stands before the flags in a name: some file systems cannot say the colon
    #[arg(long, value_name = "CHAR", default_value = ":", value_parser = [":", ";", "!"])]
    info_sep: String,
    /// Decide boundaries as this list says, which inspect --boundaries printed and you edited
    #[arg(long, value_name = "FILE")]
    boundaries: Option<std::path::PathBuf>,
    /// Leave messages out that are there already: the same content (less Status and the like), or the
    /// same Message-ID
    #[arg(long, value_enum, value_name = "BY")]
    dedupe: Option<DedupeArg>,
    /// Take a path that was converted before for another mailbox, though it begins otherwise now
    #[arg(long)]
    new_source: bool,
    /// Keep the manifest in this file; default: mailferry.manifest in the Maildir
    #[arg(long, value_name = "PATH", conflicts_with = "no_manifest")]
    manifest: Option<std::path::PathBuf>,
    /// Keep no manifest: --exact, growth and deletions are not known to later runs then
    #[arg(long)]
    no_manifest: bool,
    /// Give a source back byte for byte, from a Maildir and its manifest, into a file or -
    #[arg(long, conflicts_with_all = ["dedupe", "new_source", "no_manifest", "boundaries", "dry_run"])]
    exact: bool,
    /// With --exact: which source, by its path or its number
    #[arg(long, value_name = "PATH|N", requires = "exact")]
    source: Option<OsString>,
    /// Into an mbox, and with --exact: replace a file that exists
    #[arg(long)]
    force: bool,
    /// Into an mbox: write behind what is there, under its locks; on any error it is cut back
    #[arg(long, conflicts_with_all = ["force", "exact"])]
    append: bool,
    /// Give all that is made to this user, and group; who is not root can give it to nobody else. Symbolic links in
    /// Maildirs are not followed then: they may lead to what is somebody else's
    #[arg(long, value_name = "USER[:GROUP]", value_parser = owner::parse)]
    owner: Option<Owner>,
    /// Mode of the files that are made; who may read them may enter their directories
    #[arg(long, value_name = "OCTAL", value_parser = parse_mode, default_value = "600")]
    mode: u32,
    /// Of mboxes that are in use: hold the locks only while each is opened; what others append meanwhile is
    /// left for the next run
    #[arg(long, conflicts_with = "exact", help_heading = "Source")]
    live: bool,
    #[command(flatten)]
    tree: TreeArgs,
    #[command(flatten)]
    open: OpenArgs,
    #[command(flatten)]
    common: CommonArgs,
}

fn help() -> String {
    format!(
        "\
Examples:
  mailferry convert inbox.mbox ~/Maildir
  zcat old.gz | mailferry convert - ~/Maildir/.Old
  mailferry convert -n archive.mbox.zst ~/Maildir
  mailferry convert ~/Mail ~/Maildir
  mailferry convert --labels folders Takeout.mbox ~/Maildir
  mailferry convert ~/Maildir out.mbox
  mailferry convert ~/Maildir mbox:~/Mail/
  mailferry convert ~/Maildir maildir:/backup/Maildir
  mailferry convert --append ~/Maildir/.Old mboxcl2:archive
  mailferry convert --exact ~/Maildir inbox.mbox

{}",
        exit::HELP
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FsyncArg {
    Batch,
    Each,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EolArg {
    Keep,
    Lf,
    Crlf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DedupeArg {
    Content,
    MessageId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DateArg {
    /// The From_ line
    From,
    /// The topmost Received field
    Received,
    /// The Date field
    Header,
    /// The source file
    Mtime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HeadersArg {
    /// They stay
    Keep,
    /// They are taken out; the manifest has them, and --exact puts them back
    Strip,
}

impl ConvertArgs {
    fn ownership(&self) -> Ownership {
        Ownership { owner: self.owner, mode: Some(self.mode) }
    }
}

fn parse_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode & !0o666 == 0 && mode & 0o600 == 0o600 => Ok(mode),
        _ => Err(format!(
            "{text} is no mode of mail: its owner must be able to read and write it, and nobody runs it; for example 640"
        )),
    }
}

fn parse_zone(text: &str) -> Result<jiff::tz::TimeZone, String> {
    let zone = match jiff::fmt::temporal::DateTimeParser::new().parse_time_zone(text) {
        Ok(zone) => Ok(zone),
        // +0100 without the colon is what mail writes.
        Err(first) => match text.len() {
            5 => jiff::fmt::temporal::DateTimeParser::new()
                .parse_time_zone(format!("{}:{}", &text[..3], &text[3..]))
                .map_err(|_| first),
            _ => Err(first),
        },
    };
    zone.map_err(|e| e.to_string())
}

/// Runs the command.
pub fn run(mut args: ConvertArgs) -> Exit {
    let started = Instant::now();
    match args.tree.read_files_from() {
        Ok(listed) => drop(args.mailboxes.splice(..0, listed)),
        Err(error) => return refuse(&args, &error, started),
    }
    if args.mailboxes.len() < 2 {
        eprintln!(
            "mailferry: there is no source: name one before the destination, or list some with --files-from"
        );
        return Exit::Usage;
    }
    // Just that mode, whatever our caller's mask is.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(!args.ownership().dir_mode() & 0o777));
    let (sources, destination) = mailboxes(&args);
    let mut reporter = match destination.is_standard_stream() {
        true => Reporter::on_stderr(&args.common),
        false => Reporter::new(&args.common),
    };
    let watcher = ProgressDisplay::new(&args.common);
    if args.exact {
        return restore(&args, &watcher, &mut reporter, started);
    }
    let are_folders = tree::is_tree(&args.tree, &sources, &destination);
    if let Ok(true) = are_folders {
        return convert_tree(&args, &watcher, &mut reporter, started);
    }
    let failed = |error| {
        let sums = Totals { sources: sources.len() as u64, ..Totals::default() };
        (Outcome { reports: Vec::new(), sums, folders: Vec::new(), error: Some(error) }, None)
    };
    let kind = args
        .common
        .set_up_workers()
        .map_err(|e| Error::Unsupported { path: "--jobs".into(), reason: e.to_string() })
        .and(are_folders)
        .and_then(|_| kind(&args, &sources, &destination));
    let (outcome, written) = match kind {
        Ok(Kind::Maildir) => (convert(&args, &watcher), None),
        Ok(Kind::Copy) => (copy(&args, &watcher), None),
        Ok(Kind::Mbox) => into_mbox(&args, &watcher).unwrap_or_else(failed),
        Err(error) => failed(error),
    };
    watcher.finish();
    if let (Some(variant), None) = (written, &outcome.error) {
        reporter.line(&format!("{}: written as {variant}", display_path(&destination.path)));
    }
    report(&args, &outcome, written, started.elapsed(), &mut reporter)
}

/// An error before there is anything to report.
fn refuse(args: &ConvertArgs, error: &Error, started: Instant) -> Exit {
    let mut reporter = Reporter::new(&args.common);
    reporter.error(error);
    let summary = sums_as_json(args, &Totals::default(), started.elapsed(), &reporter);
    reporter.object(&summary);
    reporter.finish(Exit::of(error))
}

/// Of trees.
fn convert_tree(
    args: &ConvertArgs,
    watcher: &ProgressDisplay,
    reporter: &mut Reporter,
    started: Instant,
) -> Exit {
    let told = args
        .common
        .set_up_workers()
        .map_err(|e| Error::Unsupported { path: "--jobs".into(), reason: e.to_string() })
        .and_then(|()| run_tree(args, watcher));
    watcher.finish();
    let (sums, folders, exit) = match &told {
        Err(error) => {
            reporter.error(error);
            (Totals::default(), Vec::new(), Exit::of(error))
        }
        Ok(told) => {
            told.report(reporter);
            if let Some(error) = &told.outcome.error {
                reporter.error(error);
            }
            (told.sums(), told.folders(), told.exit(reporter, args.common.strict))
        }
    };
    if let Ok(told) = &told {
        told.table(reporter, args.dry_run);
        if told.outcome.error.is_none() {
            sums_as_text(&sums, args.dry_run).iter().for_each(|line| reporter.line(line));
        }
    }
    let mut object = sums_as_json(args, &sums, started.elapsed(), reporter);
    object["folders"] = folders.len().into();
    object["variant"] = serde_json::Value::Null;
    object["table"] = folders.into();
    reporter.object(&object);
    reporter.finish(exit)
}

fn run_tree(args: &ConvertArgs, watcher: &ProgressDisplay) -> Result<tree::TreeReport> {
    let cancel = signals::cancel_on_signals();
    let (sources, destination) = mailboxes(args);
    refuse_twice(&sources)?;
    let for_one = [
        (args.manifest.is_some(), "--manifest", "each folder keeps its own"),
        (args.boundaries.is_some(), "--boundaries", "it is for one mbox"),
    ];
    if let Some((_, option, why)) = for_one.iter().find(|(given, ..)| *given) {
        let reason = format!("is not for folders: {why}; convert that mailbox by itself");
        return Err(Error::Unsupported { path: option.into(), reason });
    }
    refuse_labels_for_folders(args)?;
    refuse_within(&sources)?;
    let suits = |layout, are_maildirs| match layout {
        Layout::Mboxes => refuse_options_for_mbox(args),
        Layout::MaildirPlusPlus | Layout::Fs => {
            refuse_to_replace(args, &destination)?;
            if are_maildirs { refuse_for_copy(args) } else { Ok(()) }
        }
    };
    let locks = args.open.lock_options(args.dry_run);
    let mboxes = || {
        let to = match () {
            () if args.append => OutputMode::Append(&locks),
            () if args.force => OutputMode::Replace,
            () => OutputMode::New,
        };
        MboxTarget { variant: destination.variant(), to }
    };
    let open = |path: &std::path::Path, variant: Option<Variant>| {
        let mailbox = MailboxArg { format: variant.map(Format::Variant), path: path.to_owned() };
        open(args, &mailbox, 1, &cancel, watcher)
    };
    let spool_dir = args.open.spool_dir();
    let spooling =
        SpoolOptions { dir: &spool_dir, limit: args.open.spool_limit, cancel: &cancel, progress: &|_| () };
    let keywords_lock = args.open.dotlock_options();
    let options = options(args, &destination);
    let context = context(args, &keywords_lock, &cancel, watcher);
    let job = tree::Job {
        args: &args.tree,
        sources: &sources,
        destination: &destination,
        options: &options,
        mboxes: &mboxes,
        open: &open,
        suits: &suits,
        spooling: &spooling,
    };
    tree::run(&job, &context)
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A Maildir, from mboxes.
    Maildir,
    /// A Maildir, from another one.
    Copy,
    Mbox,
}

/// The destination's format is the other one, unless a prefix names it.
fn kind(args: &ConvertArgs, sources: &[MailboxArg], destination: &MailboxArg) -> Result<Kind> {
    let refuse =
        |reason: &str| Err(Error::Unsupported { path: destination.path.clone(), reason: reason.to_owned() });
    let maildirs = sources.iter().map(|s| s.is_maildir().map(usize::from)).sum::<Result<usize>>()?;
    if args.live && (maildirs > 0 || sources.iter().any(MailboxArg::is_standard_stream)) {
        let reason = "is for mboxes: nothing else has locks that could be given back".into();
        return Err(Error::Unsupported { path: "--live".into(), reason });
    }
    let kind = match destination.format {
        Some(Format::Maildir) => Kind::Maildir,
        Some(Format::Variant(Variant::Rfc822)) => {
            return refuse("an rfc822 file holds one message; name an mbox");
        }
        Some(Format::Mbox | Format::Variant(_)) => Kind::Mbox,
        None if maildirs == 0 => Kind::Maildir,
        None if maildirs == sources.len() => Kind::Mbox,
        None => return refuse("is to come from mboxes and Maildirs; say mbox: or maildir: before it"),
    };
    refuse_owner_of_labels(args)?;
    match kind {
        Kind::Maildir if destination.is_standard_stream() => {
            refuse("a Maildir cannot be written to standard output; an mbox can, with mbox: before the -")
        }
        Kind::Maildir if maildirs > 0 && sources.len() > 1 => refuse(
            "a Maildir is copied by itself: name one as the source, and the others in commands of their own",
        ),
        Kind::Maildir if args.append || args.force => refuse_to_replace(args, destination).map(|()| kind),
        Kind::Mbox if is_maildir(&destination.path)? => {
            refuse("is a Maildir, and an mbox is a file; say maildir: before it to copy into it")
        }
        Kind::Mbox => refuse_for_mbox(args, sources, destination).map(|()| kind),
        Kind::Maildir if maildirs > 0 => refuse_for_copy(args).map(|()| Kind::Copy),
        Kind::Maildir | Kind::Copy => Ok(kind),
    }
}

/// Nothing of a Maildir is ever replaced.
fn refuse_to_replace(args: &ConvertArgs, destination: &MailboxArg) -> Result<()> {
    if !args.append && !args.force {
        return Ok(());
    }
    let reason =
        "--append and --force are for an mbox; into a Maildir messages only ever go beside others".into();
    Err(Error::Unsupported { path: destination.path.clone(), reason })
}

/// Folders of labels lie in one Maildir, of one mbox.
fn refuse_labels_for_folders(args: &ConvertArgs) -> Result<()> {
    if !LabelPolicy::from(args.labels).are_folders() {
        return Ok(());
    }
    let reason =
        "makes folders of one mbox, and a folder of a tree can hold none; convert that mbox by itself".into();
    Err(Error::Unsupported { path: "--labels".into(), reason })
}

/// Folders of labels are ours.
fn refuse_owner_of_labels(args: &ConvertArgs) -> Result<()> {
    if LabelPolicy::from(args.labels).are_folders() && (args.owner.is_some() || args.mode != 0o600) {
        let reason = "is not for folders of labels; run the command as that user".into();
        return Err(Error::Unsupported { path: "--owner or --mode".into(), reason });
    }
    Ok(())
}

/// Options that would change what a copy leaves as it is, or that say something about an mbox.
fn refuse_for_copy(args: &ConvertArgs) -> Result<()> {
    let options = [
        (args.dedupe.is_some(), "--dedupe"),
        (args.new_source, "--new-source"),
        (args.boundaries.is_some(), "--boundaries"),
        (args.eol != EolArg::Keep, "--eol"),
        (args.date != DateArg::From, "--date"),
        (args.from_zone.is_some(), "--from-zone"),
        (args.live, "--live"),
        (args.labels != LabelsArg::Keywords, "--labels"),
        (args.deleted != DeletedArg::Flag, "--deleted"),
        (args.headers != HeadersArg::Keep, "--headers"),
    ];
    match options.iter().find(|(given, _)| *given) {
        None => Ok(()),
        Some((_, option)) => {
            let reason = "is for an mbox as the source; a Maildir is copied as it is".into();
            Err(Error::Unsupported { path: option.into(), reason })
        }
    }
}

/// Options that say something about a Maildir only.
fn refuse_options_for_mbox(args: &ConvertArgs) -> Result<()> {
    let options = [
        (args.dedupe.is_some(), "--dedupe"),
        (args.new_source, "--new-source"),
        (args.host != "mailferry", "--host"),
        (args.info_sep != ":", "--info-sep"),
        (args.date != DateArg::From, "--date"),
        (args.labels != LabelsArg::Keywords, "--labels"),
        (args.deleted != DeletedArg::Flag, "--deleted"),
        (args.headers != HeadersArg::Keep, "--headers"),
    ];
    match options.iter().find(|(given, _)| *given) {
        None => Ok(()),
        Some((_, option)) => {
            let reason = "is for what goes into a Maildir, not into an mbox".into();
            Err(Error::Unsupported { path: option.into(), reason })
        }
    }
}

/// Those, and an mbox that would be appended to itself, or replaced by what is made of it.
fn refuse_for_mbox(args: &ConvertArgs, sources: &[MailboxArg], destination: &MailboxArg) -> Result<()> {
    refuse_options_for_mbox(args)?;
    let file = |mailbox: &MailboxArg| std::fs::canonicalize(&mailbox.path).ok();
    let is_source = sources.iter().any(|s| file(s).is_some() && file(s) == file(destination));
    let refuse =
        |reason: &str| Err(Error::Unsupported { path: destination.path.clone(), reason: reason.into() });
    match is_source {
        true if args.append => refuse("is a source too; an mbox cannot be appended to itself"),
        true if args.force => refuse("is a source too, and a source is never changed; name another file"),
        _ => Ok(()),
    }
}

/// Maildirs, and mboxes of other variants, into an mbox.
fn into_mbox(args: &ConvertArgs, watcher: &ProgressDisplay) -> Result<(Outcome, Option<Variant>)> {
    let cancel = signals::cancel_on_signals();
    let (sources, destination) = mailboxes(args);
    refuse_twice(&sources)?;
    let mailboxes = sources.iter().map(|source| {
        if source.is_maildir()? {
            return Ok(export::ExportSource::Maildir(source.path.clone()));
        }
        open(args, source, sources.len(), &cancel, watcher)
            .map(|input| export::ExportSource::Mbox(Box::new(input)))
    });
    let mailboxes = mailboxes.collect::<Result<_>>()?;
    let wanted = args.open.lock_options(args.dry_run);
    let mut stdout = std::io::stdout();
    let to = match destination.is_standard_stream() {
        true => OutputMode::Stream(&mut stdout),
        false if args.append => OutputMode::Append(&wanted),
        false if args.force => OutputMode::Replace,
        false => OutputMode::New,
    };
    let writing = MboxTarget { variant: destination.variant(), to };
    let keywords_lock = args.open.dotlock_options();
    let options = options(args, &destination);
    let context = context(args, &keywords_lock, &cancel, watcher);
    let (mut outcome, variant) = export::export(mailboxes, &options, writing, &context);
    if destination.is_standard_stream() && outcome.error.as_ref().is_some_and(is_closed_pipe) {
        outcome.error = None;
        // Nobody knows how much of it was read: nothing is summed up.
        outcome.sums = Totals { sources: outcome.sums.sources, ..Totals::default() };
        say_closed(args);
    }
    Ok((outcome, Some(variant)))
}

fn say_closed(args: &ConvertArgs) {
    if !args.common.quiet {
        eprintln!("standard output was closed by its reader before the end; the rest was not written");
    }
}

/// A closed pipe is its reader's decision and no error.
fn is_closed_pipe(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe)
}

/// `--exact`.
fn restore(args: &ConvertArgs, watcher: &ProgressDisplay, reporter: &mut Reporter, started: Instant) -> Exit {
    let mut findings = Vec::new();
    let restored = args
        .common
        .set_up_workers()
        .map_err(|e| Error::Unsupported { path: "--jobs".into(), reason: e.to_string() })
        .and_then(|()| restore_one(args, watcher, &mut findings));
    watcher.finish();
    let (sources, destination) = mailboxes(args);
    let to_stream = destination.is_standard_stream();
    if to_stream {
        // Standard output is the file.
        findings.iter().for_each(|f| eprintln!("mailferry: {}", f.message));
        reporter.errors += findings.len() as u64;
    } else {
        reporter.findings(&sources[0].path, &findings);
    }
    let (messages, bytes, exit) = match &restored {
        Ok(restored) => {
            let sentence = format!(
                "{} messages of {} written, byte for byte the {} bytes that were converted.",
                grouped(restored.messages),
                display_path(&restored.source),
                grouped(restored.bytes)
            );
            if to_stream {
                eprintln!("{sentence}")
            } else {
                reporter.line(&sentence)
            }
            (restored.messages, restored.bytes, Exit::Done)
        }
        Err(error) if to_stream && is_closed_pipe(error) => {
            say_closed(args);
            (0, 0, Exit::Done)
        }
        Err(error) => {
            reporter.error(error);
            (0, 0, Exit::of(error))
        }
    };
    let sums = Totals {
        sources: 1,
        messages_found: messages,
        written: messages,
        bytes_source: bytes,
        bytes: ByteCounts { messages: bytes, ..ByteCounts::default() },
        ..Totals::default()
    };
    let mut object = sums_as_json(args, &sums, started.elapsed(), reporter);
    object["exact"] = true.into();
    reporter.object(&object);
    reporter.finish(exit)
}

fn restore_one(
    args: &ConvertArgs,
    watcher: &ProgressDisplay,
    findings: &mut Vec<crate::mailbox::finding::Finding>,
) -> Result<restore::RestoreSummary> {
    let cancel = signals::cancel_on_signals();
    let (sources, destination) = mailboxes(args);
    let [maildir] = &sources[..] else {
        let reason = "--exact takes one Maildir and one file to write".into();
        return Err(Error::Unsupported { path: destination.path, reason });
    };
    is_maildir(&maildir.path)?;
    let which = args.source.as_ref().map(|which| match which.to_str().and_then(|w| w.parse().ok()) {
        Some(number) => SourceSelector::Number(number),
        None => SourceSelector::Path(which.into()),
    });
    let mut stdout = std::io::stdout().lock();
    let to = if destination.is_standard_stream() {
        RestoreTarget::Stream(&mut stdout)
    } else {
        RestoreTarget::File(&destination.path)
    };
    let mut options = restore::RestoreOptions {
        maildir: &maildir.path,
        manifest: args.manifest.as_deref(),
        source: which.as_ref(),
        destination: to,
        force: args.force,
        cancel: &cancel,
    };
    restore::restore(&mut options, watcher, findings)
}

fn convert(args: &ConvertArgs, watcher: &ProgressDisplay) -> Outcome {
    let cancel = signals::cancel_on_signals();
    let (sources, destination) = mailboxes(args);
    let opened = refuse_twice(&sources).and_then(|()| {
        sources.iter().map(|source| open(args, source, sources.len(), &cancel, watcher)).collect()
    });
    let inputs = match opened {
        Ok(inputs) => inputs,
        Err(error) => {
            let sums = Totals { sources: sources.len() as u64, ..Totals::default() };
            return Outcome { reports: Vec::new(), sums, folders: Vec::new(), error: Some(error) };
        }
    };
    let keywords_lock = args.open.dotlock_options();
    let context = context(args, &keywords_lock, &cancel, watcher);
    import_mboxes(inputs, &options(args, &destination), &context)
}

/// A Maildir into another one.
fn copy(args: &ConvertArgs, watcher: &ProgressDisplay) -> Outcome {
    let cancel = signals::cancel_on_signals();
    let (sources, destination) = mailboxes(args);
    let keywords_lock = args.open.dotlock_options();
    let options = CopyOptions { destination: options(args, &destination).destination };
    let context = context(args, &keywords_lock, &cancel, watcher);
    let mut outcome = copy::copy_maildir(&sources[0].path, &options, &context);
    match export::find_nested_folders(&sources[0].path) {
        Ok(left) => {
            outcome.reports.iter_mut().take(1).for_each(|report| report.findings.extend(left.clone()))
        }
        Err(error) => outcome.error = outcome.error.or(Some(error)),
    }
    outcome
}

fn context<'a>(
    args: &'a ConvertArgs,
    locks: &'a LockOptions,
    cancel: &'a Cancel,
    events: &'a ProgressDisplay,
) -> Context<'a> {
    Context { cancel, events, now: clock::seconds_since_epoch(), host: &args.host, locks }
}

fn options<'a>(args: &'a ConvertArgs, destination: &'a MailboxArg) -> ImportOptions<'a> {
    let destination = DestinationOptions {
        path: &destination.path,
        manifest: match &args.manifest {
            _ if args.no_manifest => ManifestLocation::None,
            Some(path) => ManifestLocation::File(path),
            None => ManifestLocation::InMaildir,
        },
        fsync: match args.fsync {
            FsyncArg::Batch => Fsync::Batch,
            FsyncArg::Each => Fsync::Each,
            FsyncArg::None => Fsync::None,
        },
        info_separator: args.info_sep.as_bytes()[0],
        dry_run: args.dry_run,
        ownership: args.ownership(),
        sync_group: None,
    };
    ImportOptions {
        destination,
        siblings: &[],
        render: RenderOptions {
            eol: match args.eol {
                EolArg::Keep => Eol::Keep,
                EolArg::Lf => Eol::Lf,
                EolArg::Crlf => Eol::Crlf,
            },
            headers: match args.headers {
                HeadersArg::Keep => Headers::Keep,
                HeadersArg::Strip => Headers::Strip,
            },
            deleted: args.deleted.into(),
            labels: args.labels.into(),
        },
        from_zone: args.from_zone.clone(),
        date: match args.date {
            DateArg::From => None,
            DateArg::Received => Some(Origin::Received),
            DateArg::Header => Some(Origin::Header),
            DateArg::Mtime => Some(Origin::Mtime),
        },
        dedupe: match args.dedupe {
            None => Dedupe::No,
            Some(DedupeArg::Content) => Dedupe::Content,
            Some(DedupeArg::MessageId) => Dedupe::MessageId,
        },
        new_source: args.new_source,
    }
}

fn mailboxes(args: &ConvertArgs) -> (Vec<MailboxArg>, MailboxArg) {
    let mut all: Vec<MailboxArg> = args.mailboxes.iter().map(|arg| MailboxArg::parse(arg)).collect();
    let destination = all.pop().unwrap_or_else(|| unreachable!("clap asks for two"));
    (all, destination)
}

fn refuse_twice(sources: &[MailboxArg]) -> Result<()> {
    for (n, source) in sources.iter().enumerate() {
        let is_same = |other: &MailboxArg| {
            other.path == source.path || identity(other).is_some() && identity(other) == identity(source)
        };
        if sources[..n].iter().any(is_same) {
            let reason = "is named twice as a source; its mail would be there twice".into();
            return Err(Error::Unsupported { path: source.path.clone(), reason });
        }
    }
    Ok(())
}

/// Which file or directory it is, by whatever name it goes.
fn identity(mailbox: &MailboxArg) -> Option<(u64, u64)> {
    let meta = std::fs::metadata(&mailbox.path).ok().filter(|_| !mailbox.is_standard_stream())?;
    Some((meta.dev(), meta.ino()))
}

/// What lies in another source of a command is in it already.
fn refuse_within(sources: &[MailboxArg]) -> Result<()> {
    let real: Vec<_> = sources.iter().map(|source| source.path.canonicalize().ok()).collect();
    for (n, path) in real.iter().enumerate() {
        let is_around = |(m, other): &(usize, &Option<PathBuf>)| {
            *m != n && path.as_ref().zip(other.as_ref()).is_some_and(|(path, other)| path.starts_with(other))
        };
        if let Some((around, _)) = real.iter().enumerate().find(is_around) {
            let around = display_path(&sources[around].path);
            let reason = format!("lies in {around}, which is a source, too; its mail would be there twice");
            return Err(Error::Unsupported { path: sources[n].path.clone(), reason });
        }
    }
    Ok(())
}

fn open(
    args: &ConvertArgs,
    mailbox: &MailboxArg,
    count: usize,
    cancel: &Cancel,
    watcher: &ProgressDisplay,
) -> Result<Input> {
    let open = if args.live { OpenArgs::open_live } else { OpenArgs::open };
    let source = open(&args.open, mailbox, cancel, watcher, args.dry_run)?;
    let overrules = match &args.boundaries {
        None => Default::default(),
        Some(path) if count > 1 => {
            let reason = "--boundaries is for one source; convert the sources one by one".into();
            return Err(Error::Boundaries { path: path.clone(), line: 1, reason });
        }
        Some(path) => {
            let list = std::fs::read(path).map_err(Error::io("read", path))?;
            boundary_list::parse(&list, path, source.text())?
        }
    };
    let name = mailbox.path.clone();
    Ok(Input {
        name,
        read_options: ReadOptions {
            variant: mailbox.variant(),
            overrides: overrules,
            ..ReadOptions::default()
        },
        source,
    })
}

fn report(
    args: &ConvertArgs,
    outcome: &Outcome,
    written: Option<Variant>,
    elapsed: Duration,
    reporter: &mut Reporter,
) -> Exit {
    for report in &outcome.reports {
        if let Some(variant) = report.variant {
            reporter.line(&format!("{}: {variant} ({})", display_path(&report.path), report.evidence));
        }
        reporter.findings(&report.path, &report.findings);
    }
    if let Some(error) = &outcome.error {
        reporter.error(error);
    }
    let exit = match &outcome.error {
        Some(error) => Exit::of(error),
        None => Exit::finished(reporter.errors, reporter.warnings, args.common.strict),
    };
    reporter.object(&summary(args, outcome, written, elapsed, reporter));
    if outcome.error.is_none() {
        let by_labels = matches!(args.labels, LabelsArg::Folders | LabelsArg::First);
        for folder in outcome.folders.iter().filter(|_| by_labels) {
            reporter.line(&filled(folder));
        }
        for line in sums_as_text(&outcome.sums, args.dry_run) {
            reporter.line(&line);
        }
    }
    reporter.finish(exit)
}

fn summary(
    args: &ConvertArgs,
    outcome: &Outcome,
    written: Option<Variant>,
    elapsed: Duration,
    reporter: &Reporter,
) -> serde_json::Value {
    let sums = &outcome.sums;
    let variants: Vec<&str> = outcome.reports.iter().filter_map(|r| r.variant).map(|v| v.name()).collect();
    let variant = match variants[..] {
        [] => written.map(Variant::name),
        [one] => Some(one),
        [first, ..] if variants.iter().all(|v| *v == first) => Some(first),
        _ => Some("mixed"),
    };
    let mut object = sums_as_json(args, sums, elapsed, reporter);
    let by_folder = outcome.folders.iter().map(|folder| (folder.name.clone(), folder.written.into()));
    object["folders"] = outcome.folders.len().into();
    object["written_by_folder"] = by_folder.collect::<Map<_, _>>().into();
    object["variant"] = variant.into();
    object
}

fn sums_as_json(
    args: &ConvertArgs,
    sums: &Totals,
    elapsed: Duration,
    reporter: &Reporter,
) -> serde_json::Value {
    json!({
        "type": "summary",
        "command": "convert",
        "dry_run": args.dry_run,
        "sources": sums.sources,
        "folders": 0,
        "messages_found": sums.messages_found,
        "written": sums.written,
        "already_present": sums.already_present,
        "duplicates": sums.duplicates,
        "skipped": sums.skipped,
        "variant": serde_json::Value::Null,
        "bytes_source": sums.bytes_source,
        "bytes_messages": sums.bytes.messages,
        "bytes_from_lines": sums.bytes.from_lines,
        "bytes_quoting": sums.bytes.quoting,
        "bytes_separators": sums.bytes.separators,
        "bytes_junk": sums.bytes.junk,
        "bytes_not_reached": sums.bytes_not_reached,
        "line_ends_changed": sums.line_ends_changed,
        "links": sums.links,
        "warnings": reporter.warnings,
        "errors": reporter.errors,
        "seconds": clock::round_seconds(elapsed),
    })
}

/// The line of a folder.
fn filled(FolderCount { name, directory, written }: &FolderCount) -> String {
    let at =
        directory.as_ref().map_or(String::new(), |directory| format!(" (in {})", display_path(directory)));
    let messages = if *written == 1 { "message" } else { "messages" };
    format!("{}{at}: {} {messages}", escape(name.as_bytes()), grouped(*written))
}

fn sums_as_text(sums: &Totals, dry_run: bool) -> Vec<String> {
    let byte_counts = [
        (sums.bytes.messages, "messages"),
        (sums.bytes.from_lines, "From_ lines"),
        (sums.bytes.quoting, "quoting"),
        (sums.bytes.separators, "separators"),
        (sums.bytes.junk, "junk"),
    ];
    let terms: Vec<String> = byte_counts.iter().map(|(n, what)| format!("{} {what}", grouped(*n))).collect();
    let mut lines = vec![format!("bytes: {} = {}", grouped(sums.bytes_source), terms.join(" + "))];
    if sums.line_ends_changed > 0 {
        lines.push(format!("{} line ends changed", grouped(sums.line_ends_changed)));
    }
    let mut sentence = format!(
        "{} messages found, {} {}",
        grouped(sums.messages_found),
        grouped(sums.written),
        if dry_run { "would be written" } else { "written" }
    );
    for (count, what) in [
        (sums.links, if sums.links == 1 { "link in further folders" } else { "links in further folders" }),
        (sums.already_present, "there already"),
        (sums.duplicates, "duplicates left out"),
        (sums.skipped, "skipped"),
    ] {
        if count > 0 {
            sentence.push_str(&format!(", {} {what}", grouped(count)));
        }
    }
    lines.push(format!("{sentence}; every byte of {} accounted for.", grouped(sums.bytes_source)));
    lines
}
