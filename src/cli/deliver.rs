//! `mailferry deliver`.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::args::{CommonArgs, bytes, seconds};
use super::dot_qmail::{self, DotQmailArgs, DotQmailJob};
use super::identity::{self, Paths};
use super::mailbox_arg::MailboxArg;
use super::open::{self, Locks, delivery_context};
use super::sandbox::{SandboxArgs, SandboxPaths};
use super::session::{self, Protocol, SessionArgs};
use super::ui::exit;
use super::{clock, signals};
use crate::cli::ui::{Exit, ExitCodes, Reporter, report_waits};
use crate::deliver::{DeliverOptions, DeliveredMessage, DeliveryTarget, PreparedMessage, transaction};
use crate::mailbox::fs::modes::mode_of;
use crate::mailbox::maildir::folders;
use crate::mailbox::maildir::quota::Limits;
use crate::mailbox::message::Flags;
use crate::mailbox::source::{UnpackOptions, unpack_in};
use crate::mailbox::{Cancel, Code, Context, display_path};
use crate::transport::{DeliveryEnvelope, Failure, SpooledMessage, envelope};

/// Deliver the message on standard input into a Maildir or mbox, safely
///
/// Exit status 0 means that the message and its directory are on stable storage.
/// Sender and recipient come from the options, from the environment of Postfix, Exim and qmail, or from a From_ line on
/// top. A missing mailbox is refused, unless --create is given.
#[derive(Args, Debug)]
#[command(after_help = help())]
pub(crate) struct DeliverArgs {
    /// Maildir or mbox, also as FORMAT:PATH; a path that ends in / is a Maildir
    ///
    /// With several mailboxes, either all of them get the message, or the exit status is 75 and the error names those
    /// that have it.
    #[arg(value_name = "MAILBOX", required_unless_present_any = ["protocol", "dot_qmail"])]
    mailboxes: Vec<OsString>,
    /// Envelope sender, may be empty; written as Return-Path [default: $SENDER]
    #[arg(short = 'f', long, value_name = "ADDRESS", allow_hyphen_values = true, help_heading = "Envelope")]
    sender: Option<OsString>,
    /// Envelope recipient; written as Delivered-To [default: $RECIPIENT]
    ///
    /// Without $RECIPIENT it is taken from $LOCAL and $DOMAIN, or from Exim's or qmail's variables. A message that has this
    /// Delivered-To already is looping, and is refused.
    #[arg(short = 'r', long, value_name = "ADDRESS", allow_hyphen_values = true, help_heading = "Envelope")]
    recipient: Option<OsString>,
    /// Folder of the Maildir, such as Lists.qmail
    #[arg(long, value_name = "NAME", value_parser = parse_folder, help_heading = "Mailbox")]
    folder: Option<Folder>,
    /// Quota of the Maildir, such as 1000000S,500C [default: in maildirsize]
    ///
    /// S is a number of bytes, C a number of messages; one of them is enough. A message over quota is refused permanently
    /// (77), unless --quota-temp is given.
    #[arg(long, value_name = "LIMITS", value_parser = Limits::parse, help_heading = "Mailbox")]
    quota: Option<Limits>,
    /// Report a message over quota as a temporary failure (75)
    #[arg(long, help_heading = "Mailbox")]
    quota_temp: bool,
    /// Create a missing mailbox or folder
    #[arg(long, help_heading = "Mailbox")]
    create: bool,
    /// Flags of the message (DFPRST); a message with flags goes to cur/
    #[arg(long, value_name = "LETTERS", value_parser = parse_flags, default_value = "", hide_default_value = true, help_heading = "Mailbox")]
    flags: Flags,
    /// Skip a mailbox that already has this message
    #[arg(long, help_heading = "Mailbox")]
    once: bool,
    /// Refuse a message with more bytes
    #[arg(long, value_name = "BYTES", value_parser = bytes, help_heading = "Mailbox")]
    max_size: Option<u64>,
    /// File mode creation mask
    #[arg(long, value_name = "OCTAL", value_parser = parse_umask, default_value = "077", help_heading = "Mailbox")]
    umask: u32,
    /// Locks to take on an mbox, in this order: dotlock, fcntl, flock; or none
    #[arg(long, value_name = "LIST", default_value = open::ALL_LOCKS, value_parser = open::parse_locks, help_heading = "Mailbox")]
    lock: Locks,
    /// Time limit for locks, in seconds
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value_t = 30, help_heading = "Mailbox")]
    lock_timeout: u64,
    /// Directory for messages of more than 8 MiB [default: $TMPDIR or /tmp]
    #[arg(long, value_name = "DIR", help_heading = "Mailbox")]
    spool_dir: Option<PathBuf>,
    /// Exit codes: those of sysexits(3), or qmail's 0, 100 and 111
    #[arg(long, value_enum, value_name = "KIND", default_value_t = ExitCodes::Sysexits, help_heading = "Report")]
    exit_codes: ExitCodes,
    /// Deliver nothing; report what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// The message comes directly from an MTA that writes trace fields
    ///
    /// A Delivered-To above the first Received field then belongs to this delivery, and is not a loop. This is detected
    /// for Postfix, for LMTP, and for a message with a From_ line.
    #[arg(long, help_heading = "Envelope")]
    from_mta: bool,
    #[command(flatten)]
    dot_qmail: DotQmailArgs,
    #[command(flatten)]
    session: SessionArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
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

/// The name of a folder's directory.
#[derive(Debug, Clone)]
struct Folder(OsString);

fn parse_folder(levels: &str) -> Result<Folder, String> {
    folders::directory_of(levels).map(Folder)
}

fn parse_umask(text: &str) -> Result<u32, String> {
    // Mail that its owner cannot read is lost.
    let mask = u32::from_str_radix(text, 8).ok().filter(|mask| *mask <= 0o077);
    mask.ok_or_else(|| "an octal number from 0 to 077, such as 027".into())
}

/// Runs the command.
pub(crate) fn run(args: DeliverArgs) -> Exit {
    rustix::process::umask(mode_of(args.umask));
    let cancel = report_waits(signals::cancel_on_signals_with(exit::TRY_AGAIN), &args.common);
    let locks = args.lock.with_timeout(Duration::from_secs(args.lock_timeout));
    let ctx = delivery_context(&cancel, &locks);
    if let Some(protocol) = args.session.protocol {
        return serve_session(&args, protocol, &ctx);
    }
    let mut reporter = Reporter::new(&args.common);
    let mut bytes = 0;
    let result = deliver_one(&args, &ctx, &mut bytes, &mut reporter);
    let status = match &result {
        Ok(_) => "2.0.0",
        Err(failure) => failure.reason.status(),
    };
    let delivered = result.as_deref().unwrap_or_default();
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
    if let Err(failure) = &result {
        reporter.failure(Code::NotDelivered, failure);
    }
    let summary = json!({
        "dry_run": args.dry_run,
        "mailboxes": args.mailboxes.len(),
        "bytes_source": bytes,
        "delivered": delivered.iter().map(|one| display_path(&one.path)).collect::<Vec<_>>(),
        "already_present": delivered.iter().filter(|one| one.already_present).count(),
        "status": status,
    });
    let exit = Exit::of_delivery(result.err().map(|failure| failure.reason), args.exit_codes);
    reporter.summary("deliver", exit, summary);
    // A failure of the report does not undo the delivery.
    reporter.finish(Exit::Done);
    exit
}

fn deliver_one(
    args: &DeliverArgs,
    ctx: &Context<'_>,
    bytes: &mut u64,
    reporter: &mut Reporter,
) -> Result<Vec<DeliveredMessage>, Failure> {
    let envelope = envelope(args);
    let options = args.options();
    // Postfix sets MAIL_CONFIG for all its children.
    let from_mta = args.from_mta || env::var_os("MAIL_CONFIG").is_some();
    if args.dot_qmail.dot_qmail {
        let (mailboxes, envelope) = (&args.mailboxes, &envelope);
        let job = DotQmailJob { args: &args.dot_qmail, mailboxes, envelope, options, from_mta, ctx };
        // The route depends on the recipient alone, so that a dry run needs no message.
        if args.dry_run {
            return dot_qmail::explain(&job, reporter).map(|()| Vec::new());
        }
        let message = args.read_message(ctx.cancel)?;
        *bytes = message.length();
        return dot_qmail::run(&job, &message, reporter);
    }
    args.dot_qmail.refuse_unused()?;
    // Before the message is read, so that a typing error is reported at once.
    let spool_dir = args.spool_dir();
    args.unpack_messages(ctx);
    let targets = args.targets()?;
    let mut paths = SandboxPaths::for_delivery(&spool_dir);
    for target in &targets {
        paths.deliver_into(target, args.create);
        if args.once && !matches!(target, DeliveryTarget::Mbox(..)) {
            paths.read_linked_messages(target.path());
        }
    }
    paths.enter(args.sandbox, args.common.verbose);
    let message = open::read_message(&spool_dir, args.max_size, ctx.cancel)?;
    *bytes = message.length();
    PreparedMessage::require_input(&message)?;
    let message = PreparedMessage::new(&message, &envelope, from_mta)?;
    match args.dry_run {
        true => transaction::dry_run(&message, &targets, &options, ctx),
        false => transaction::deliver(&message, &targets, &options, ctx),
    }
}

/// Serves a session, which reports its outcomes itself. The exit code says how it ended.
fn serve_session(args: &DeliverArgs, protocol: Protocol, ctx: &Context<'_>) -> Exit {
    args.unpack_messages(ctx);
    // An LMTP client writes trace fields.
    let from_mta = args.from_mta || protocol == Protocol::Lmtp;
    let session = session::Session {
        protocol,
        from_mta,
        options: args.options(),
        max_size: args.max_size,
        spool_dir: &args.spool_dir(),
        delimiter: args.dot_qmail.delimiter,
        folder: args.folder.as_ref().map(|Folder(name)| name.as_os_str()),
        ctx,
    };
    let result = match &args.dot_qmail {
        DotQmailArgs { dot_qmail: true, home: Some(home), user, program_timeout, .. } => {
            let mut arguments = dot_qmail::per_recipient_arguments(env::args_os().skip(1));
            if from_mta && !args.from_mta {
                arguments.leading.push("--from-mta".into());
            }
            let timeout = program_timeout.unwrap_or_else(|| {
                let timeout = dot_qmail::SESSION_PROGRAM_TIMEOUT;
                arguments.leading.push(format!("--program-timeout={timeout}").into());
                timeout
            });
            session.with_programs(home, user.as_deref(), arguments, timeout)
        }
        options => options.refuse_unused().and_then(|()| session.with_mailboxes(&args.session, args.sandbox)),
    };
    if let Err(failure) = &result {
        session::print_diagnostic(failure);
    }
    Exit::of_delivery(result.err().map(|failure| failure.reason), args.exit_codes)
}

impl DeliverArgs {
    fn options(&self) -> DeliverOptions {
        DeliverOptions {
            create: self.create,
            flags: self.flags,
            quota: self.quota,
            quota_is_temporary: self.quota_temp,
            dedupe: self.once,
            time: clock::now(),
        }
    }

    /// Takes the identity for the mailboxes, and finds out what they are.
    fn targets(&self) -> Result<Vec<DeliveryTarget>, Failure> {
        let mailboxes = MailboxArg::parse_all(&self.mailboxes)?;
        let written = mailboxes.iter().filter(|mailbox| !mailbox.is_standard_stream());
        identity::take(&Paths {
            written: written.map(|mailbox| &*mailbox.path).collect(),
            locks: true,
            ..Paths::default()
        })?;
        let targets = mailboxes.into_iter().map(|mailbox| {
            let target = DeliveryTarget::new(mailbox.target_format(), mailbox.path)?;
            match &self.folder {
                Some(Folder(name)) => target.folder(name),
                None => Ok(target),
            }
        });
        targets.collect()
    }

    /// Sets where compressed messages are decompressed, with which `--once` compares.
    fn unpack_messages(&self, ctx: &Context<'_>) {
        unpack_in(UnpackOptions { dir: self.spool_dir(), limit: None, cancel: ctx.cancel.clone() });
    }

    fn spool_dir(&self) -> PathBuf {
        self.spool_dir.clone().unwrap_or_else(env::temp_dir)
    }

    fn read_message(&self, cancel: &Cancel) -> Result<SpooledMessage, Failure> {
        open::read_message(&self.spool_dir(), self.max_size, cancel)
    }
}

/// Takes the envelope from the options, or from the environment of qmail, Postfix's local(8) or Exim's pipe, which
/// mostly use the same names.
fn envelope(args: &DeliverArgs) -> DeliveryEnvelope {
    let sender = args.sender.clone().or_else(|| env::var_os("SENDER"));
    // An empty one comes from an unset variable of a script: there is no null recipient.
    let named = args.recipient.clone().filter(|recipient| !recipient.is_empty());
    let recipient = named.or_else(recipient_of_environment);
    DeliveryEnvelope {
        sender: sender.map(|sender| envelope::sender_of_mta(sender.as_bytes())),
        recipient: recipient.map(|recipient| envelope::unquote(recipient.as_bytes())),
    }
}

fn recipient_of_environment() -> Option<OsString> {
    let var = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    var("RECIPIENT").or_else(|| {
        let exim = || {
            let part = |name: &str| env::var_os(name).unwrap_or_default();
            let [prefix, local, suffix] = ["LOCAL_PART_PREFIX", "LOCAL_PART", "LOCAL_PART_SUFFIX"].map(part);
            (!local.is_empty()).then(|| [prefix.as_bytes(), local.as_bytes(), suffix.as_bytes()].concat())
        };
        let local = var("LOCAL").map(OsString::into_vec).or_else(exim)?;
        let domain = var("DOMAIN").or_else(|| var("HOST"))?;
        Some(OsString::from_vec([&local[..], b"@", domain.as_bytes()].concat()))
    })
}
