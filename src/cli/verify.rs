//! `mailferry verify`.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::mailbox::context::Cancel;
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::{Code, Finding, Severity};
use crate::mailbox::mbox::read::ReadOptions;
use crate::mailbox::mbox::variant::Variant;
use crate::mailbox::text::{display_path, is_or_are};
use crate::mailbox::tree::walk::{MailboxKind, walk};
use crate::verify::compare::unread_clause;
use crate::verify::manifest::SourceStatus;
use crate::verify::{self, Depth, VerifyOptions, VerifyReport};
use clap::Args;
use serde_json::json;

use super::args::{CommonArgs, DeletedArg, LabelsArg};
use super::folders::{FolderArgs, has_no_mail, report_skipped};
use super::generate::{SummaryKey, key};
use super::mailbox_arg::{Format, MailboxArg};
use super::open::OpenArgs;
use super::signals;
use super::ui::exit::{self, Exit};
use super::ui::progress::ProgressDisplay;
use super::ui::report::Reporter;
use crate::cli::compare;
use crate::mailbox::text::grouped;

/// Say whether mailboxes are sound, and whether they still hold the mail that was converted
///
/// An mbox: where messages begin and on what evidence, lengths that lie, junk, NULs, damaged headers, a
/// cut end. A Maildir, and the folders in it: directories, modes, names, sizes, tmp/, mbox remains, the
/// quota's sums. A Maildir with a manifest: every message that was converted, unchanged, moved,
/// re-flagged, changed or gone, without the source. Any other directory: every mailbox that lies in it.
/// Nothing is changed, but by --repair.
#[derive(Args, Debug)]
#[command(after_help = help())]
pub struct VerifyArgs {
    /// mboxes, Maildirs, directories with such in them, or - for an mbox on standard input
    #[arg(required = true, value_name = "MAILBOX")]
    mailboxes: Vec<OsString>,
    /// Look at the structure only: framing, names, sizes, modes; not at what messages contain
    #[arg(long)]
    quick: bool,
    /// Instead: is it the same mail as in OTHER, message by message, whatever the two lie in? Several
    /// mailboxes are taken together. Where both sides have folders it has to be the same in each; a single
    /// mailbox is compared with all folders together. --into and --map are as convert was given them
    #[arg(long, value_name = "OTHER", conflicts_with_all = ["quick", "manifest", "source", "repair"])]
    against: Option<OsString>,
    /// With --against: compare flags, received dates and the fields that readers rewrite as well
    #[arg(long, requires = "against")]
    metadata: bool,
    /// With --against: what convert made of a user's own Gmail labels; default: what the manifest says
    #[arg(long, value_enum, value_name = "AS", requires = "against")]
    labels: Option<LabelsArg>,
    /// With --against: what convert made of messages that are marked as deleted; with skip, those of an
    /// mbox without a counterpart are left out; default: what the manifest says
    #[arg(long, value_enum, value_name = "HOW", requires = "against")]
    deleted: Option<DeletedArg>,
    /// The manifest of the Maildir; default: mailferry.manifest in it
    #[arg(long, value_name = "PATH")]
    manifest: Option<PathBuf>,
    /// Where the source that was converted lies now; default: where the manifest says
    #[arg(long, value_name = "PATH")]
    source: Option<PathBuf>,
    /// Mend what can be mended without touching a message: missing directories, modes, the end of an
    /// mbox; stale files of tmp/ are moved to mailferry-lost/
    #[arg(long)]
    repair: bool,
    /// Write nothing: with --repair, report what it would do
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    folders: FolderArgs,
    #[command(flatten)]
    open: OpenArgs,
    #[command(flatten)]
    common: CommonArgs,
}

fn help() -> String {
    format!(
        "\
Examples:
  mailferry verify inbox.mbox
  mailferry verify ~/Maildir
  mailferry verify --quick --strict ~/Maildir archive/*.mbox
  mailferry verify --against old.mbox ~/Maildir
  mailferry verify --against ~/Maildir --metadata ~/Mail
  mailferry verify --against ~/Maildir --map 'Sent Items=Sent' ~/Mail
  mailferry verify --repair -n ~/Maildir

{}",
        exit::HELP
    )
}

/// What `--json` has in its summary, for the manual.
pub const SUMMARY: &[SummaryKey] = &[
    key("command", "verify"),
    key("dry_run", "whether -n was given"),
    key("mailboxes", "how many were named"),
    key("sound", "how many of them have no errors"),
    key("folders", "folders looked at; an mbox is one; with --against not those of OTHER"),
    key(
        "folders_missing",
        "with --against: folders with mail that OTHER does not have, where folders are compared",
    ),
    key("folders_extra", "folders with mail that only OTHER has"),
    key("messages_found", "messages in them"),
    key("bytes_source", "bytes of mboxes and of the messages in Maildirs; with --against not those of OTHER"),
    key("sources", "sources that manifests tell of"),
    key("converted", "messages of these sources"),
    key("kept", "of these, how many are there byte for byte (with --quick: by name)"),
    key(
        "moved",
        "of the kept ones, how many lie in another folder, or in new/ again; with --against: messages that lie in another folder of OTHER",
    ),
    key("reflagged", "of the kept ones, how many have other flags"),
    key("renamed", "of the kept ones, how many have another base name"),
    key("changed", "how many have other bytes"),
    key("gone", "how many are not there"),
    key("same", "with --against: messages of the same content on both sides"),
    key("line_ends", "pairs that differ only in line ends"),
    key("final_newline", "pairs that differ only in the newline at the end"),
    key("quoting", "pairs that differ only in the > before From"),
    key("differ", "pairs that differ otherwise"),
    key("missing", "messages that OTHER does not have"),
    key("extra", "messages that only OTHER has"),
    key("deleted", "messages marked as deleted and left out, having no counterpart"),
    key("flags", "with --metadata: pairs whose flags or keywords differ"),
    key("dates", "pairs whose received dates differ"),
    key("fields", "pairs whose fields that readers rewrite differ"),
    key("repairs", "what --repair did; with -n, what it would do"),
    key("warnings", "warnings told"),
    key("errors", "errors told"),
    key("verdict", "the last sentence of the report as text"),
    key("seconds", "how long it took"),
];

/// The sums over all mailboxes.
#[derive(Default)]
struct Sums {
    sound: u64,
    folders: u64,
    messages: u64,
    bytes: u64,
    repairs: u64,
    proofs: Vec<SourceStatus>,
    compared: compare::Outcome,
    /// How the first mailbox ended that could not be looked at.
    unfinished: Option<Exit>,
}

/// What one report is about.
enum Target {
    /// A file, a Maildir, or standard input.
    Mailbox(MailboxArg),
    /// Files in this directory that are a message each.
    Messages(PathBuf, Vec<PathBuf>),
}

/// Runs the command.
pub fn run(args: VerifyArgs) -> Exit {
    let started = Instant::now();
    let mut reporter = Reporter::new(&args.common);
    let mut sums = Sums::default();
    let mut verdict = String::new();
    let exit = match check(&args) {
        Ok(()) => match &args.against {
            Some(other) => verify_against(&args, other, &mut reporter, &mut sums, &mut verdict),
            None => verify_all(&args, &mut reporter, &mut sums, &mut verdict),
        },
        Err(error) => {
            reporter.error(&error);
            Exit::Usage
        }
    };
    reporter.object(&summary(&args, &sums, &verdict, started, &reporter));
    reporter.finish(exit)
}

/// What clap cannot say.
fn check(args: &VerifyArgs) -> Result<()> {
    args.common
        .set_up_workers()
        .map_err(|e| Error::Unsupported { path: "--jobs".into(), reason: e.to_string() })?;
    let are_many =
        args.mailboxes.len() > 1 || args.mailboxes.iter().any(|arg| is_tree(&MailboxArg::parse(arg)));
    if let Some(path) = args.manifest.as_ref().or(args.source.as_ref()).filter(|_| are_many) {
        let reason = "is for one mailbox; verify them one by one".into();
        return Err(Error::Unsupported { path: path.clone(), reason });
    }
    if args.folders.is_used() && args.against.is_none() {
        let (path, reason) = ("--map".into(), "and --into are for --against".into());
        return Err(Error::Unsupported { path, reason });
    }
    let named = args.mailboxes.iter().chain(&args.against).map(|arg| MailboxArg::parse(arg));
    if named.filter(MailboxArg::is_standard_stream).count() > 1 {
        let reason = "standard input can be read but once".into();
        return Err(Error::Unsupported { path: "-".into(), reason });
    }
    Ok(())
}

/// Whether mailboxes lie in it, and it is none itself.
fn is_tree(mailbox: &MailboxArg) -> bool {
    let is_directory = !mailbox.is_standard_stream() && mailbox.path.is_dir();
    mailbox.format.is_none() && is_directory && !verify::maildir::is_folder(&mailbox.path)
}

/// `--against`.
fn verify_against(
    args: &VerifyArgs,
    other: &OsStr,
    reporter: &mut Reporter,
    sums: &mut Sums,
    verdict: &mut String,
) -> Exit {
    let cancel = signals::cancel_on_signals();
    let watcher = ProgressDisplay::new(&args.common);
    let mailboxes: Vec<MailboxArg> = args.mailboxes.iter().map(|arg| MailboxArg::parse(arg)).collect();
    let job = compare::CompareJob {
        mailboxes: &mailboxes,
        other: &MailboxArg::parse(other),
        wanted: compare::CompareChoices {
            metadata: args.metadata,
            labels: args.labels.map(Into::into),
            deleted: args.deleted.map(Into::into),
        },
        folders: &args.folders,
        open: &args.open,
        watcher: &watcher,
        cancel: &cancel,
    };
    let compared = compare::compare(&job, reporter);
    watcher.finish();
    match compared {
        Ok(compared) => {
            sums.folders = compared.sums.folders;
            sums.messages = compared.sums.here;
            sums.bytes = compared.sums.bytes;
            let is_same = compared.sums.is_complete() && compared.is_finished();
            sums.sound = if is_same { mailboxes.len() as u64 } else { 0 };
            reporter.line(&compared.sentence);
            *verdict = compared.sentence.clone();
            sums.unfinished = compared.unfinished;
            sums.compared = compared;
            let finished = Exit::finished(reporter.errors, reporter.warnings, args.common.strict);
            sums.unfinished.unwrap_or(finished)
        }
        Err(error) => {
            reporter.error(&error);
            Exit::of(&error)
        }
    }
}

/// One mailbox after the other; a bad one does not keep the others from being looked at.
fn verify_all(args: &VerifyArgs, reporter: &mut Reporter, sums: &mut Sums, verdict: &mut String) -> Exit {
    let cancel = signals::cancel_on_signals();
    for argument in &args.mailboxes {
        let mailbox = MailboxArg::parse(argument);
        let looked = match is_tree(&mailbox) {
            true => tree(args, &mailbox.path, &cancel, reporter, sums),
            false => one(args, &Target::Mailbox(mailbox), &cancel, reporter, sums),
        };
        match looked {
            Ok(looked) => {
                sums.sound += u64::from(looked.is_sound);
                *verdict = looked.verdict;
            }
            Err(Error::Interrupted) => {
                reporter.error(&Error::Interrupted);
                return Exit::Interrupted;
            }
            Err(error) => sums.not_looked_at(&error, reporter),
        }
    }
    let count = args.mailboxes.len() as u64;
    if count > 1 {
        let (sound, verb) = (grouped(sums.sound), is_or_are(sums.sound, count));
        *verdict = format!("{sound} of {} mailboxes {verb} sound.", grouped(count));
        reporter.line(verdict);
    }
    let finished = Exit::finished(reporter.errors, reporter.warnings, args.common.strict);
    sums.unfinished.unwrap_or(finished)
}

impl Sums {
    /// Says why a mailbox could not be looked at; the others can.
    fn not_looked_at(&mut self, error: &Error, reporter: &mut Reporter) {
        reporter.error(error);
        self.unfinished = Some(Exit::of(error));
    }
}

/// What came of one argument.
struct Looked {
    is_sound: bool,
    /// The last line about it.
    verdict: String,
    /// The folders that were looked at.
    folders: Vec<PathBuf>,
}

/// Verifies each mailbox that lies in a directory.
fn tree(
    args: &VerifyArgs,
    root: &Path,
    cancel: &Cancel,
    reporter: &mut Reporter,
    sums: &mut Sums,
) -> Result<Looked> {
    let spool_dir = args.open.spool_dir();
    let mut tree = walk(root, args.folders.follow, &args.open.spooling(&spool_dir, cancel, &|_| ()))?;
    if has_no_mail(&tree) {
        let reason = "there is no mailbox in it".into();
        return Err(Error::NotAMailbox { path: root.to_owned(), reason, hint: None });
    }
    report_skipped(&tree, reporter);
    reporter.findings(root, &verify::check_folder_names(root)?);
    let (messages, bytes) = (sums.messages, sums.bytes);
    let (mut count, mut sound) = (0, 0);
    // A Maildir is looked at with the folders in it, which come after it here.
    let mut folders = HashSet::new();
    for found in std::mem::take(&mut tree.mailboxes) {
        let target = match found.kind {
            MailboxKind::Maildir if folders.contains(&found.path) => continue,
            MailboxKind::Maildir => {
                Target::Mailbox(MailboxArg { format: Some(Format::Maildir), path: found.path })
            }
            MailboxKind::Mbox => Target::Mailbox(MailboxArg { format: Some(Format::Mbox), path: found.path }),
            MailboxKind::Messages(files) => Target::Messages(found.path, files),
        };
        count += 1;
        match one(args, &target, cancel, reporter, sums) {
            Ok(looked) => {
                sound += u64::from(looked.is_sound);
                folders.extend(looked.folders);
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => sums.not_looked_at(&error, reporter),
        }
    }
    let not_read = tree.skipped.iter().filter(|skipped| skipped.may_be_mail).count() as u64;
    let mut verdict = format!(
        "{} of {} in {} {} sound: {} in {}",
        grouped(sound),
        if count == 1 { "1 mailbox".into() } else { format!("{} mailboxes", grouped(count)) },
        display_path(root),
        is_or_are(sound, count),
        counted(sums.messages - messages, "message"),
        counted(sums.bytes - bytes, "byte"),
    );
    verdict += &unread_clause(not_read, grouped);
    verdict.push('.');
    reporter.line(&verdict);
    Ok(Looked { is_sound: sound == count && not_read == 0, verdict, folders: folders.into_iter().collect() })
}

/// Verifies a mailbox, mends it if that is asked for, and reports.
fn one(
    args: &VerifyArgs,
    target: &Target,
    cancel: &Cancel,
    reporter: &mut Reporter,
    sums: &mut Sums,
) -> Result<Looked> {
    let mut report = look(args, target, cancel)?;
    if args.repair && !report.steps.is_empty() {
        let steps = std::mem::take(&mut report.steps);
        sums.repairs += steps.len() as u64;
        for step in steps {
            if !args.dry_run {
                step.apply(&args.open.lock_options(false), cancel)?;
            }
            tell_step(args, &step, reporter);
        }
        if !args.dry_run {
            // What is told is what is left.
            report = look(args, target, cancel)?;
        }
    }
    let (is_sound, verdict) = tell(&report, reporter, sums);
    let folders = report.folders.into_iter().map(|folder| folder.path).collect();
    Ok(Looked { is_sound, verdict, folders })
}

fn look(args: &VerifyArgs, target: &Target, cancel: &Cancel) -> Result<VerifyReport> {
    let watcher = ProgressDisplay::new(&args.common);
    // One that the manifest names may be gone; one that a person names is to be there.
    if let Some(path) = &args.source {
        std::fs::metadata(path).map_err(Error::io("open", path))?;
    }
    let open_source = |path: &Path| match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        _ => {
            let mailbox = MailboxArg { format: Some(Format::Mbox), path: path.to_owned() };
            args.open.open(&mailbox, cancel, &watcher, true).map(Some)
        }
    };
    let options = VerifyOptions {
        depth: if args.quick { Depth::Structure } else { Depth::Contents },
        now: crate::cli::clock::seconds_since_epoch(),
        manifest: args.manifest.as_deref(),
        source: args.source.as_deref(),
        open_source: &open_source,
        cancel,
    };
    let mbox = |mailbox: &MailboxArg| {
        let ask = ReadOptions { variant: mailbox.variant(), keep_candidates: true, ..ReadOptions::default() };
        // Looking leaves nothing behind, not even for a moment.
        args.open
            .open(mailbox, cancel, &watcher, true)
            .and_then(|mut source| verify::mbox::verify(&mut source, &ask, &options, &watcher))
    };
    let report = match target {
        Target::Mailbox(mailbox) => {
            let is_directory = mailbox.path.is_dir() && !mailbox.is_standard_stream();
            match mailbox.format == Some(Format::Maildir) || is_directory {
                true => verify::maildir::verify(&mailbox.path, &options, &watcher),
                false => mbox(mailbox),
            }
        }
        Target::Messages(directory, files) => {
            let format = Some(Format::Variant(Variant::Rfc822));
            let each = files.iter().map(|file| mbox(&MailboxArg { format, path: file.clone() }));
            each.collect::<Result<Vec<_>>>().map(|each| VerifyReport::merge_messages(directory, each))
        }
    };
    watcher.finish();
    report
}

fn tell_step(args: &VerifyArgs, step: &verify::repair::RepairStep, reporter: &mut Reporter) {
    let (code, verb) =
        if args.dry_run { (Code::RepairPlanned, "would") } else { (Code::RepairDone, "done:") };
    let path = step.path();
    let text = format!("{verb} {}", step.describe());
    if reporter.is_json() {
        reporter.findings(&path, &[Finding::new(code, text)]);
    } else {
        reporter.line(&format!("repair: {}: {text}", display_path(&path)));
    }
}

/// Reports on one mailbox: whether it is sound, and the verdict, which is told last.
fn tell(report: &VerifyReport, reporter: &mut Reporter, sums: &mut Sums) -> (bool, String) {
    reporter.findings(&report.path, &report.findings);
    let of = |severity| report.findings.iter().filter(|f| f.code.severity() == severity).count() as u64;
    let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
    let path = display_path(&report.path);
    for folder in &report.folders {
        match &folder.variant {
            Some((variant, why)) => reporter.line(&format!("{path}: {variant} ({why})")),
            None if report.folders.len() > 1 => reporter.line(&format!(
                "{}: {} in {}",
                display_path(&folder.path),
                counted(folder.messages, "message"),
                counted(folder.bytes, "byte")
            )),
            None => {}
        }
    }
    let messages = report.folders.iter().map(|f| f.messages).sum();
    let bytes = report.folders.iter().map(|f| f.bytes).sum();
    let state = match (errors, warnings) {
        (0, 0) => "sound".to_owned(),
        (0, warnings) => format!("sound, {}", counted(warnings, "warning")),
        (errors, 0) => counted(errors, "error"),
        (errors, warnings) => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    };
    let mut verdict =
        format!("{path}: {} in {}; {state}.", counted(messages, "message"), counted(bytes, "byte"));
    reporter.line(&verdict);
    for proof in &report.sources {
        verdict = proved(proof);
        reporter.line(&verdict);
    }
    sums.folders += report.folders.len() as u64;
    sums.messages += messages;
    sums.bytes += bytes;
    sums.proofs.extend(report.sources.iter().cloned());
    (errors == 0, verdict)
}

/// The sentence about one source.
fn proved(proof: &SourceStatus) -> String {
    let mut sentence = format!(
        "{} of {} of {} {} in {}",
        grouped(proof.intact),
        counted(proof.messages, "message"),
        display_path(&proof.source),
        is_or_are(proof.intact, proof.messages),
        display_path(&proof.maildir),
    );
    sentence.push_str(match proof.depth {
        Depth::Contents => ", byte for byte",
        Depth::Structure => ", by their names",
    });
    let besides: Vec<String> = [
        (proof.changed, "changed"),
        (proof.gone, "gone"),
        (proof.renamed, "renamed"),
        (proof.moved, "moved"),
        (proof.reflagged, "with other flags"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{} {what}", grouped(*count)))
    .collect();
    if !besides.is_empty() {
        sentence.push_str(&format!("; {}", besides.join(", ")));
    }
    sentence.push('.');
    sentence
}

/// `1 message`, `39,031 messages`.
fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "s" })
}

fn summary(
    args: &VerifyArgs,
    sums: &Sums,
    verdict: &str,
    started: Instant,
    reporter: &Reporter,
) -> serde_json::Value {
    let of = |count: fn(&SourceStatus) -> u64| sums.proofs.iter().map(count).sum::<u64>();
    let compared = &sums.compared.sums;
    json!({
        "type": "summary",
        "command": "verify",
        "dry_run": args.dry_run,
        "mailboxes": args.mailboxes.len(),
        "sound": sums.sound,
        "folders": sums.folders,
        "folders_missing": sums.compared.folders_missing,
        "folders_extra": sums.compared.folders_extra,
        "messages_found": sums.messages,
        "bytes_source": sums.bytes,
        "sources": sums.proofs.len(),
        "converted": of(|p| p.messages),
        "kept": of(|p| p.intact),
        "moved": of(|p| p.moved) + compared.moved,
        "reflagged": of(|p| p.reflagged),
        "renamed": of(|p| p.renamed),
        "changed": of(|p| p.changed),
        "gone": of(|p| p.gone),
        "same": compared.same,
        "line_ends": compared.line_ends,
        "final_newline": compared.final_newline,
        "quoting": compared.quoting,
        "differ": compared.differ,
        "missing": compared.missing,
        "extra": compared.extra,
        "deleted": compared.deleted,
        "flags": compared.flags,
        "dates": compared.dates,
        "fields": compared.fields,
        "repairs": sums.repairs,
        "warnings": reporter.warnings,
        "errors": reporter.errors,
        "verdict": verdict,
        "seconds": crate::cli::clock::round_seconds(started.elapsed()),
    })
}
