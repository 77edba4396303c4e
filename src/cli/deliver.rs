//! `mailferry deliver`.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use crate::deliver::prepared_message::PreparedMessage;
use crate::deliver::{self, DeliverOptions, DeliveredMessage, DeliveryTarget};
use crate::mailbox::context::Cancel;
use crate::mailbox::context::LockOptions;
use crate::mailbox::finding::Code;
use crate::mailbox::maildir::folders;
use crate::mailbox::maildir::quota::Limits;
use crate::mailbox::message::flags::Flags;
use crate::mailbox::text::display_path;
use crate::transport::envelope;
use crate::transport::envelope::DeliveryEnvelope;
use crate::transport::failure::{Failure, FailureReason};
use crate::transport::spool::SpooledMessage;
use clap::Args;
use serde_json::json;

use super::args::CommonArgs;
use super::dot_qmail::{self, DotQmailArgs};
use super::generate::{SummaryKey, key};
use super::lmtp::{self, LmtpArgs};
use super::mailbox_arg::{Format, MailboxArg};
use super::open::{self, Locks};
use super::ui::exit::{self, Exit, ExitCodes};
use super::ui::report::Reporter;
use super::{clock, signals};

/// Deliver the message on standard input into a Maildir or mbox, safely
///
/// Success is said when the message and its directory are on stable storage, and not before; otherwise no
/// mailbox has it. Sender and recipient come from the options or from the environment of Postfix, Exim and
/// qmail; a From_ line on top is understood. A mailbox that is missing is refused: it is made with --create
/// alone.
#[derive(Args, Debug)]
#[command(after_help = help())]
pub struct DeliverArgs {
    /// Maildirs and mboxes, perhaps with their FORMAT (maildir:, mbox:, mmdf:) before the path. A path that ends in / is a
    /// Maildir. With several, all of them have the message in the end, or none
    #[arg(value_name = "MAILBOX", required_unless_present_any = ["protocol", "dot_qmail"])]
    mailboxes: Vec<OsString>,
    /// Envelope sender, empty for the null sender; default: $SENDER. Written as Return-Path
    #[arg(short = 'f', long, value_name = "ADDRESS", allow_hyphen_values = true, help_heading = "Envelope")]
    sender: Option<OsString>,
    /// Envelope recipient; default: $RECIPIENT, or $LOCAL@$DOMAIN and what Exim and qmail call them. Written as
    /// Delivered-To; a message that has been delivered to it before is refused as looping
    #[arg(short = 'r', long, value_name = "ADDRESS", allow_hyphen_values = true, help_heading = "Envelope")]
    recipient: Option<OsString>,
    /// A folder of the Maildirs that are named, its levels with dots between them: Lists.qmail
    #[arg(long, value_name = "NAME", value_parser = parse_folder, help_heading = "Mailbox")]
    folder: Option<Folder>,
    /// What a Maildir may hold, as 1000000S,500C: bytes, messages or both; default: what its maildirsize
    /// says. Over quota is for good (77)
    #[arg(long, value_name = "LIMITS", value_parser = Limits::parse, help_heading = "Mailbox")]
    quota: Option<Limits>,
    /// Over quota, ask to try again later (75)
    #[arg(long, help_heading = "Mailbox")]
    quota_temp: bool,
    /// Make what is missing: the mailbox, the folder
    #[arg(long, help_heading = "Mailbox")]
    create: bool,
    /// Flags of the message, letters of DFPRST; with any, it goes to cur/
    #[arg(long, value_name = "LETTERS", value_parser = parse_flags, default_value = "", hide_default_value = true, help_heading = "Mailbox")]
    flags: Flags,
    /// Leave a mailbox alone that has just this message already, so that a repeat doubles nothing
    #[arg(long, help_heading = "Mailbox")]
    once: bool,
    /// Refuse a message with more bytes
    #[arg(long, value_name = "BYTES", help_heading = "Mailbox")]
    max_size: Option<u64>,
    /// What is taken off the modes 0666 and 0777 of files and directories
    #[arg(long, value_name = "OCTAL", value_parser = parse_umask, default_value = "077", help_heading = "Mailbox")]
    umask: u32,
    /// Locks to take on an mbox, in this order: dotlock, fcntl, flock; or none
    #[arg(long, value_name = "LIST", default_value = open::ALL_LOCKS, value_parser = open::parse_locks, help_heading = "Mailbox")]
    lock: Locks,
    /// How long to wait for a lock
    #[arg(long, value_name = "SECS", default_value_t = 30, help_heading = "Mailbox")]
    lock_timeout: u64,
    /// Where a message of more than 8 MiB is kept meanwhile; default: $TMPDIR, or /tmp
    #[arg(long, value_name = "DIR", help_heading = "Mailbox")]
    spool_dir: Option<PathBuf>,
    /// Exit codes: those of sysexits(3), or qmail's 0, 100 and 111
    #[arg(long, value_enum, value_name = "KIND", default_value_t = ExitCodes::Sysexits, help_heading = "Report")]
    exit_codes: ExitCodes,
    /// Deliver nothing: say what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// The message comes straight from a mail system that writes trace fields: a Delivered-To above its first Received
    /// is of this delivery, and no loop. Known by itself of Postfix, of LMTP, and where a From_ line is on top
    #[arg(long, help_heading = "Envelope")]
    from_mta: bool,
    #[command(flatten)]
    dot_qmail: DotQmailArgs,
    #[command(flatten)]
    lmtp: LmtpArgs,
    #[command(flatten)]
    common: CommonArgs,
}

fn help() -> String {
    format!(
        "\
Examples:
  mailferry deliver ~/Maildir/ < message
  mailferry deliver -f ann@example.org -r joe@example.net --folder Lists.qmail --create ~/Maildir/
  mailferry deliver mbox:/var/mail/joe

{}",
        exit::DELIVERY_HELP
    )
}

fn parse_flags(letters: &str) -> Result<Flags, String> {
    let flags = Flags::parse(letters.as_bytes());
    match letters.chars().all(|c| flags.to_string().contains(c)) {
        true => Ok(flags),
        false => Err("letters of DFPRST: draft, flagged, passed, replied, seen, trashed".into()),
    }
}

/// A folder by the name of its directory.
#[derive(Debug, Clone)]
struct Folder(OsString);

fn parse_folder(levels: &str) -> Result<Folder, String> {
    folders::directory_of(levels).map(Folder)
}

fn parse_umask(text: &str) -> Result<u32, String> {
    let mask = u32::from_str_radix(text, 8).ok().filter(|mask| *mask <= 0o777);
    mask.ok_or_else(|| "an octal number up to 777".into())
}

/// What `--json` has in its summary, for the manual.
pub const SUMMARY: &[SummaryKey] = &[
    key("command", "deliver"),
    key("dry_run", "whether -n was given"),
    key("mailboxes", "how many were named"),
    key("bytes_source", "bytes of the message as it came in"),
    key("delivered", "the files that have it now; with -n, the mailboxes that would"),
    key("already_present", "how many of them had it before (--once)"),
    key("status", "the enhanced status code (RFC 3463)"),
    key("warnings", "warnings told"),
    key("errors", "errors told"),
    key("seconds", "how long it took"),
];

/// Runs the command.
pub fn run(args: DeliverArgs) -> Exit {
    if args.lmtp.protocol.is_some() {
        return speak(&args);
    }
    let started = std::time::Instant::now();
    let mut reporter = Reporter::new(&args.common);
    let mut bytes = 0;
    let done = deliver_one(&args, &mut bytes, &mut reporter);
    let status = match &done {
        Ok(_) => "2.0.0",
        Err(failure) => failure.reason.status(),
    };
    let delivered = done.as_deref().unwrap_or_default();
    for one in delivered {
        reporter.findings(&one.path, &one.findings);
        let path = display_path(&one.path);
        match args.common.verbose {
            _ if args.dry_run => reporter.line(&format!("{path}: would get the message")),
            true if one.already_present => reporter.line(&format!("{path} (was there already)")),
            true => reporter.line(&path),
            false => {}
        }
    }
    if let Err(failure) = &done {
        reporter.failure(Code::NotDelivered, failure);
    }
    reporter.object(&json!({
        "type": "summary",
        "command": "deliver",
        "dry_run": args.dry_run,
        "mailboxes": args.mailboxes.len(),
        "bytes_source": bytes,
        "delivered": delivered.iter().map(|one| display_path(&one.path)).collect::<Vec<_>>(),
        "already_present": delivered.iter().filter(|one| one.already_present).count(),
        "status": status,
        "warnings": reporter.warnings,
        "errors": reporter.errors,
        "seconds": started.elapsed().as_secs_f64(),
    }));
    // What is delivered stays so, whatever becomes of the report.
    reporter.finish(Exit::Done);
    Exit::of_delivery(done.err().map(|failure| failure.reason), args.exit_codes)
}

fn deliver_one(
    args: &DeliverArgs,
    bytes: &mut u64,
    reporter: &mut Reporter,
) -> Result<Vec<DeliveredMessage>, Failure> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(args.umask));
    let cancel = signals::cancel_on_signals_with(exit::TRY_AGAIN);
    let envelope = envelope(args);
    let locks = locks(args);
    let rules = rules(args, &locks, &cancel);
    if args.dot_qmail.dot_qmail {
        let order = dot_qmail::DotQmailJob {
            args: &args.dot_qmail,
            mailboxes: &args.mailboxes,
            envelope: &envelope,
            rules,
            from_mta: from_mta(args),
        };
        // A route depends on the recipient alone; no message is waited for.
        if args.dry_run {
            return dot_qmail::explain(&order, reporter).map(|()| Vec::new());
        }
        let letter = read_message(args, &cancel)?;
        *bytes = letter.length();
        return dot_qmail::run(&order, &letter, reporter);
    }
    // Before the message is read: a typing error is told at once.
    let targets = targets(args)?;
    let letter = read_message(args, &cancel)?;
    *bytes = letter.length();
    let draft = PreparedMessage::new(&letter, &envelope, from_mta(args))?;
    match args.dry_run {
        true => deliver::dry_run(&draft, &targets, &rules),
        false => deliver::deliver(&draft, &targets, &rules),
    }
}

/// A whole session instead of one message. Its outcomes are told in it; the exit code says how it ended.
fn speak(args: &DeliverArgs) -> Exit {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(args.umask));
    let cancel = signals::cancel_on_signals_with(exit::TRY_AGAIN);
    let locks = locks(args);
    let rules = rules(args, &locks, &cancel);
    let spool_dir = args.spool_dir.clone().unwrap_or_else(env::temp_dir);
    let setting = lmtp::Setting {
        rules,
        max_size: args.max_size,
        spool_dir: &spool_dir,
        delimiter: args.dot_qmail.delimiter,
        target: &|mailbox| in_folder(target(mailbox)?, args.folder.as_ref()),
    };
    let done = match &args.dot_qmail {
        DotQmailArgs { dot_qmail: true, home: Some(home), user, program_timeout, .. } => {
            let (mut arguments, last) = dot_qmail::per_recipient_arguments(env::args_os().skip(1));
            if !args.from_mta {
                arguments.push("--from-mta".into());
            }
            let time = program_timeout.unwrap_or_else(|| {
                let time = dot_qmail::SESSION_PROGRAM_TIMEOUT;
                arguments.push(format!("--program-timeout={time}").into());
                time
            });
            lmtp::run_dot_qmail(home, user.as_deref(), arguments, last, time, &setting)
        }
        _ => lmtp::run(&args.lmtp, &setting),
    };
    if let Err(failure) = &done {
        lmtp::print_diagnostic(failure);
    }
    Exit::of_delivery(done.err().map(|failure| failure.reason), args.exit_codes)
}

fn read_message(args: &DeliverArgs, cancel: &Cancel) -> Result<SpooledMessage, Failure> {
    let spool_dir = args.spool_dir.clone().unwrap_or_else(env::temp_dir);
    open::read_message(&spool_dir, args.max_size, cancel)
}

fn rules<'a>(args: &DeliverArgs, locks: &'a LockOptions, cancel: &'a Cancel) -> DeliverOptions<'a> {
    DeliverOptions {
        create: args.create,
        flags: args.flags,
        quota: args.quota,
        quota_is_temporary: args.quota_temp,
        dedupe: args.once,
        locks,
        now: clock::now(),
        cancel,
    }
}

fn targets(args: &DeliverArgs) -> Result<Vec<DeliveryTarget>, Failure> {
    let named = args.mailboxes.iter().map(|arg| target(&MailboxArg::parse(arg)?));
    named.map(|named| in_folder(named?, args.folder.as_ref())).collect()
}

fn in_folder(target: DeliveryTarget, folder: Option<&Folder>) -> Result<DeliveryTarget, Failure> {
    match (target, folder) {
        (target, None) => Ok(target),
        (DeliveryTarget::Maildir(path), Some(Folder(name))) => Ok(DeliveryTarget::Folder(path.join(name))),
        (target, Some(_)) => {
            let text = format!("{}: --folder is for Maildirs", display_path(target.path()));
            Err(Failure::new(FailureReason::Configuration, text))
        }
    }
}

/// The target that a person has named.
fn target(mailbox: &MailboxArg) -> Result<DeliveryTarget, Failure> {
    let refuse = |why: String| {
        Err(Failure::new(FailureReason::Configuration, format!("{}: {why}", mailbox.display_name())))
    };
    if mailbox.is_standard_stream() {
        return refuse("a message is delivered into a mailbox; name one".into());
    }
    match mailbox.format {
        None => DeliveryTarget::detect(mailbox.path.clone()),
        Some(Format::Maildir) => Ok(DeliveryTarget::Maildir(mailbox.path.clone())),
        Some(Format::Mbox) => Ok(DeliveryTarget::Mbox(mailbox.path.clone(), None)),
        Some(Format::Variant(variant)) => Ok(DeliveryTarget::Mbox(mailbox.path.clone(), Some(variant))),
    }
}

/// The options, else what the environment says: qmail's, Postfix's local(8) and Exim's pipe name these
/// alike for the most part.
fn envelope(args: &DeliverArgs) -> DeliveryEnvelope {
    let sender = args.sender.clone().or_else(|| env::var_os("SENDER"));
    // In a script an unset variable; there is no null recipient.
    let named = args.recipient.clone().filter(|recipient| !recipient.is_empty());
    let recipient = named.or_else(recipient_of_environment);
    DeliveryEnvelope {
        sender: sender.map(|sender| match sender.as_bytes() {
            // Postfix's pipe(8) says it for the null sender unless it is told otherwise.
            b"MAILER-DAEMON" => Vec::new(),
            address => envelope::unquote(address),
        }),
        recipient: recipient.map(|recipient| envelope::unquote(recipient.as_bytes())),
    }
}

fn recipient_of_environment() -> Option<OsString> {
    let said = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    said("RECIPIENT").or_else(|| {
        let exim = || {
            let part = |name: &str| env::var_os(name).unwrap_or_default();
            let [prefix, local, suffix] = ["LOCAL_PART_PREFIX", "LOCAL_PART", "LOCAL_PART_SUFFIX"].map(part);
            (!local.is_empty()).then(|| [prefix.as_bytes(), local.as_bytes(), suffix.as_bytes()].concat())
        };
        let local = said("LOCAL").map(OsString::into_vec).or_else(exim)?;
        let domain = said("DOMAIN").or_else(|| said("HOST"))?;
        Some(OsString::from_vec([&local[..], b"@", domain.as_bytes()].concat()))
    })
}

/// Whether we were told so, or Postfix runs us: it sets this for all its children.
fn from_mta(args: &DeliverArgs) -> bool {
    args.from_mta || env::var_os("MAIL_CONFIG").is_some()
}

fn locks(args: &DeliverArgs) -> LockOptions {
    args.lock.with_timeout(Duration::from_secs(args.lock_timeout))
}
