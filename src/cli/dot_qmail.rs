//! `mailferry deliver --dot-qmail`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::identity::{self, Privilege};
use super::inject_env::default_queue_program;
use super::mailbox_arg::MailboxArg;
use super::qmail::name::QmailProgram;
use super::relay::relay_message;
#[cfg(feature = "tls")]
use super::tls_args::TlsArgs;
use crate::cli::args::seconds;
use crate::cli::ui::Reporter;
use crate::deliver::dot_qmail::delivery::{DotQmailDelivery, mailbox_line};
use crate::deliver::dot_qmail::recipient::is_of_user;
use crate::deliver::dot_qmail::{
    Candidate, Instruction, Line, LocalRecipient, Route, SkipReason, Trust, line,
};
use crate::deliver::{DeliverOptions, DeliveredMessage};
use crate::mailbox::{Context, Error, display_path, escape};
use crate::transport::next_hop::redact;
use crate::transport::{DeliveryEnvelope, Failure, FailureReason, NextHop, OutgoingMessage, SpooledMessage};

/// The options of `.qmail` delivery.
#[derive(Args, Debug)]
pub(crate) struct DotQmailArgs {
    /// Deliver by the .qmail files in --home, see dot-qmail(5)
    ///
    /// The MAILBOX arguments, relative to --home, are the default delivery: for an address without a file, and for an
    /// empty file. Without arguments it is ./Maildir/.
    #[arg(
        long,
        requires = "home",
        group = "recipients",
        conflicts_with = "folder",
        help_heading = ".qmail files"
    )]
    pub dot_qmail: bool,
    /// Home directory; root acts as --user, or as its owner
    ///
    /// With --protocol, --home and --user may contain %u, %d and %e.
    #[arg(long, value_name = "DIR", requires = "dot_qmail", help_heading = ".qmail files")]
    pub home: Option<OsString>,
    /// Owner of the home; the rest of the local part is the extension
    ///
    /// The extension follows this name and a delimiter. If the local part does not begin with the name, all of it is the
    /// extension. The default is $USER if the local part begins with it, otherwise the part before the first delimiter.
    #[arg(long, value_name = "NAME", requires = "dot_qmail", help_heading = ".qmail files")]
    pub user: Option<OsString>,
    /// Delimiter besides `-`, such as `+`; in file names it is `-`
    #[arg(long, value_name = "C", value_parser = parse_delimiter, help_heading = ".qmail files")]
    pub delimiter: Option<u8>,
    /// Time limit for a program or next hop [default: 900; with --protocol 300]
    ///
    /// Then its process group is killed. With --protocol, all deliveries of a message to one user have 30 seconds more.
    #[arg(long, value_name = "SECS", value_parser = seconds, help_heading = ".qmail files")]
    pub program_timeout: Option<u64>,
    /// Next hop of forwarded mail; repeat it for fallbacks
    ///
    /// A URL is smtps://HOST or smtp+starttls://HOST (both over TLS, with USER@ before HOST for a login), qmqp://HOST,
    /// qmtp://HOST, smtp://HOST, lmtp://HOST:PORT, lmtp+unix:PATH, queue:PATH or sendmail:PATH. A later one gets the
    /// recipients for which the one before it failed temporarily. The default is queue:$QMAILQUEUE, or
    /// queue:$QMAILHOME/bin/qmail-queue; $QMAILHOME is /var/qmail unless set.
    #[arg(long, value_name = "URL", requires = "dot_qmail", help_heading = ".qmail files")]
    pub via: Vec<OsString>,
    #[cfg(feature = "tls")]
    #[command(flatten)]
    pub tls: TlsArgs,
}

impl DotQmailArgs {
    /// Refuses options that have no effect without `--dot-qmail`.
    pub(crate) fn refuse_unused(&self) -> Result<(), Failure> {
        #[cfg(feature = "tls")]
        if let (false, Some(option)) = (self.dot_qmail, self.tls.first_option()) {
            return Err(Error::usage(option, "it is for next hops of --dot-qmail").into());
        }
        Ok(())
    }
}

/// Seconds for a program of one message.
const PROGRAM_TIMEOUT: u64 = 900;
/// Seconds for a program in a session, whose peer gives up after 600 seconds (RFC 5321, 4.5.3.2.6).
pub(crate) const SESSION_PROGRAM_TIMEOUT: u64 = 300;

fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii_punctuation() && !b"/@\"".contains(byte) => Ok(*byte),
        _ => Err("one character, such as +".into()),
    }
}

/// A `.qmail` delivery, as the command line asks for it.
pub(crate) struct DotQmailJob<'a> {
    pub args: &'a DotQmailArgs,
    /// The default delivery.
    pub mailboxes: &'a [OsString],
    pub envelope: &'a DeliveryEnvelope,
    pub options: DeliverOptions,
    /// An MTA has written trace fields.
    pub from_mta: bool,
    pub ctx: &'a Context<'a>,
}

/// Reports each file that is looked for, and what each line of the route does.
pub(crate) fn explain(job: &DotQmailJob<'_>, reporter: &mut Reporter) -> Result<(), Failure> {
    let delivery = set_up(job)?;
    let mut candidates = Vec::new();
    let route = delivery.find_route(&mut candidates);
    for candidate in &candidates {
        explain_candidate(&delivery.home, candidate, reporter);
    }
    let route = route?;
    explain_route(&delivery, &route, reporter);
    if route.is_sticky {
        reporter.line("the home directory is sticky: until chmod -t all of this waits");
    }
    Ok(())
}

/// Delivers a message. Returns the mailboxes that have it.
pub(crate) fn run(
    job: &DotQmailJob<'_>,
    message: &SpooledMessage,
    reporter: &mut Reporter,
) -> Result<Vec<DeliveredMessage>, Failure> {
    let delivery = set_up(job)?;
    let time_limit = delivery.time_limit;
    let relay = |message: &OutgoingMessage<'_>, hops: &[NextHop]| {
        relay_message(message, hops, time_limit, job.ctx.cancel)
    };
    let (delivered, summary) = delivery.deliver(message, &relay)?;
    if summary.forwards > 0 {
        let by = summary.queued.map_or(String::new(), |process| format!(" by process {process}"));
        reporter.detail(&format!("forwarded to {}{by}", summary.forwards));
    }
    if summary.programs > 0 {
        reporter.detail(&format!("programs run: {}", summary.programs));
    }
    Ok(delivered)
}

/// Arguments of the process for each recipient of a session, before and after those of the recipient.
pub(crate) struct ProgramArguments {
    pub leading: Vec<OsString>,
    pub trailing: Vec<OsString>,
}

/// Derives them from the arguments of the session.
pub(crate) fn per_recipient_arguments(session: impl Iterator<Item = OsString>) -> ProgramArguments {
    const SESSION_OPTIONS: [&[u8]; 4] = [b"--protocol", b"--home", b"--user", b"--exit-codes"];
    let mut words = session.peekable();
    let mut leading = Vec::new();
    while let Some(word) = words.next_if(|word| word != "--") {
        let name = word.as_bytes().split(|&b| b == b'=').next().unwrap_or_default();
        match SESSION_OPTIONS.contains(&name) {
            // The value is the next word.
            true if name.len() == word.len() => drop(words.next()),
            true => {}
            false => leading.push(word),
        }
    }
    ProgramArguments { leading, trailing: words.collect() }
}

/// Checks the options, and becomes the home's owner.
fn set_up<'a>(job: &DotQmailJob<'a>) -> Result<DotQmailDelivery<'a>, Failure> {
    let DotQmailArgs { home, user, delimiter, via, program_timeout, .. } = job.args;
    let wrong = |text: &str| Failure::new(FailureReason::Configuration, text);
    let home = home.as_ref().ok_or_else(|| wrong("--dot-qmail needs --home"))?;
    // Programs run in it, and find it in their environment.
    let home = std::path::absolute(home).map_err(|e| Error::usage("--home", e.to_string()))?;
    let address = job.envelope.recipient.as_deref().filter(|address| !address.is_empty());
    let address = address
        .ok_or_else(|| wrong("--dot-qmail needs a recipient; use -r, or set RECIPIENT in the environment"))?;
    let of_environment =
        || env::var_os("USER").filter(|user| is_of_user(address, user.as_bytes(), *delimiter));
    let split_user = user.clone().or_else(of_environment);
    let split_user = split_user.as_deref().map(OsStr::as_bytes);
    let recipient = LocalRecipient::split(address, split_user, *delimiter, job.ctx.locks.host.as_bytes());
    let next_hops = match &via[..] {
        [] => vec![NextHop::Queue(default_queue_program())],
        urls => urls.iter().map(|url| parse_next_hop(url)).collect::<Result<_, _>>()?,
    };
    #[cfg(feature = "tls")]
    let next_hops = job.args.tls.complete(next_hops)?;
    // Without $USER, which is the user who runs this process.
    let trust = match identity::become_home_owner(&home, user.as_deref())? {
        Privilege::User => Trust::Owner,
        Privilege::Root => Trust::RootOnly,
    };
    let mut default = Vec::new();
    for mailbox in MailboxArg::parse_all(job.mailboxes)? {
        default.append(&mut mailbox_line(&home, mailbox.target_format(), &mailbox.path)?);
    }
    if default.is_empty() {
        default = b"./Maildir/\n".to_vec();
    }
    Ok(DotQmailDelivery {
        home,
        recipient: LocalRecipient { sender: job.envelope.sender.clone().unwrap_or_default(), ..recipient },
        sender: job.envelope.sender.clone(),
        from_mta: job.from_mta,
        default,
        own_programs: QmailProgram::for_commands(next_hops.clone())?,
        next_hops,
        trust,
        options: job.options,
        time_limit: Duration::from_secs(program_timeout.unwrap_or(PROGRAM_TIMEOUT)),
        ctx: job.ctx,
    })
}

/// Parses a next hop for forwards. A relative path is relative to here, wherever programs run.
fn parse_next_hop(url: &OsStr) -> Result<NextHop, Failure> {
    let wrong =
        |why: &str| Failure::from(Error::usage(format!("--via {}", escape(&redact(url.as_bytes()))), why));
    let absolute = |path: PathBuf| std::path::absolute(path).map_err(|e| wrong(&e.to_string()));
    Ok(match NextHop::parse(url).map_err(|why| wrong(&why))? {
        NextHop::Maildir(_) | NextHop::Mbox(_) => {
            return Err(wrong("a mailbox cannot be the next hop of forwards; write it into the .qmail file"));
        }
        NextHop::Queue(path) => NextHop::Queue(absolute(path)?),
        NextHop::Sendmail(path) => NextHop::Sendmail(absolute(path)?),
        NextHop::LmtpUnix(path) => NextHop::LmtpUnix(absolute(path)?),
        hop => hop,
    })
}

fn explain_candidate(home: &Path, candidate: &Candidate, reporter: &mut Reporter) {
    let path = home.join(&candidate.name);
    let message = match candidate.skip_reason {
        None => "taken",
        Some(SkipReason::Missing) => "there is none",
        Some(SkipReason::NotAFile) => "is not a regular file",
    };
    reporter.line(&format!("{}: {message}", display_path(&path)));
    reporter.object(&json!({
        "type": "tried",
        "path": display_path(&path),
        "taken": candidate.skip_reason.is_none(),
        "message": message,
    }));
}

fn explain_route(delivery: &DotQmailDelivery<'_>, route: &Route, reporter: &mut Reporter) {
    let recipient = &delivery.recipient;
    let part = |bytes: &[u8]| format!("`{}`", escape(bytes));
    if let Some(rest) = route.default_offset.and_then(|at| recipient.extension.get(at..)) {
        reporter.line(&format!("`default` stands for {}", part(rest)));
    }
    match (&route.file, route.is_default) {
        (None, _) => reporter.line("no file: the default delivery"),
        (Some(_), true) => reporter.line("it is empty: the default delivery"),
        (Some(_), false) if route.forward_only => reporter.line("it is executable: it may only forward"),
        (Some(_), false) => {}
    }
    if route.new_sender != recipient.sender {
        reporter.line(&format!("forwarded mail has the sender {}", part(&route.new_sender)));
    }
    for Line { number, instruction } in &route.lines {
        let (does, what, mut message) = describe(instruction, &route.home);
        if let Instruction::Program(command) = instruction {
            for name in delivery.own_programs.named_in(command) {
                message += &format!("; {name} is mailferry's own, because $PATH has none");
            }
        }
        reporter.line(&format!("line {number}: {message}"));
        reporter.object(&json!({
            "type": "instruction",
            "file": route.location(*number).file.as_deref().map(display_path),
            "line": number,
            "does": does,
            "what": what,
            "message": message,
        }));
    }
}

/// Returns a keyword, the object, and a sentence.
fn describe(instruction: &Instruction, home: &Path) -> (&'static str, Value, String) {
    let path = |path: &[u8]| display_path(&line::mailbox_path(home, path));
    // In a file that was saved with CRLF.
    let cr = |text: &[u8]| match text.ends_with(b"\r") {
        true => "; it ends in CR: save the file with LF line ends",
        false => "",
    };
    match instruction {
        Instruction::Comment => ("comment", Value::Null, "a comment".into()),
        Instruction::Blank => ("blank", Value::Null, "blank".into()),
        Instruction::Unknown => ("unknown", Value::Null, "unknown; skipped".into()),
        Instruction::ForwardOnly => ("forward-only", Value::Null, "from here on only forwards".into()),
        Instruction::Program(command) => {
            ("program", json!(escape(command)), format!("runs {}{}", escape(command), cr(command)))
        }
        Instruction::Mbox(name) => {
            ("mbox", json!(path(name)), format!("into the mbox {}{}", path(name), cr(name)))
        }
        Instruction::Maildir(name) => {
            ("maildir", json!(path(name)), format!("into the Maildir {}", path(name)))
        }
        Instruction::Forward(to) => {
            ("forward", json!(escape(to)), format!("forwards to {}{}", escape(to), cr(to)))
        }
    }
}
