//! `mailferry deliver --dot-qmail`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::inject_env::default_queue_program;
use super::mailbox_arg::MailboxArg;
use super::owner::{self, Privilege};
use super::relay::{outcome_failure, relay_message};
use super::ui::report::Reporter;
use crate::deliver::dot_qmail::error::DotQmailError;
use crate::deliver::dot_qmail::find::{Candidate, SkipReason};
use crate::deliver::dot_qmail::home::Trust;
use crate::deliver::dot_qmail::line::{Instruction, Line};
use crate::deliver::dot_qmail::program::OutputMode;
use crate::deliver::dot_qmail::recipient::{LocalRecipient, is_of_user};
use crate::deliver::dot_qmail::route::Route;
use crate::deliver::dot_qmail::run::{self, Executor, RunOptions};
use crate::deliver::prepared_message::PreparedMessage;
use crate::deliver::target::{DeliveryTarget, TargetFormat};
use crate::deliver::transaction::{self, DeliverOptions, DeliveredMessage};
use crate::mailbox::context::Context;
use crate::mailbox::error::Error;
use crate::mailbox::text::{display_path, escape};
use crate::transport::envelope::{self, DeliveryEnvelope, Envelope};
use crate::transport::failure::{Failure, FailureReason};
use crate::transport::message::OutgoingMessage;
use crate::transport::next_hop::NextHop;
use crate::transport::process::ProcessLimits;
use crate::transport::queue;
use crate::transport::relay::RelayOutcome;
use crate::transport::spool::SpooledMessage;

/// The options of `.qmail` delivery.
#[derive(Args, Debug)]
pub(crate) struct DotQmailArgs {
    /// Deliver as the .qmail files in --home say: dot-qmail(5). The MAILBOXes, relative to it, are the default
    /// delivery, for an address without a file and for an empty file; without any it is ./Maildir/
    #[arg(
        long,
        requires = "home",
        group = "recipients",
        conflicts_with = "folder",
        help_heading = ".qmail files"
    )]
    pub dot_qmail: bool,
    /// The home directory. As root, deliver becomes the account --user, or else the home's owner, before it looks
    /// inside. With --protocol it and --user may have %u, %d and %e
    #[arg(long, value_name = "DIR", requires = "dot_qmail", help_heading = ".qmail files")]
    pub home: Option<OsString>,
    /// Whose home it is: what follows this name and a delimiter in the local part is the extension, and all of it
    /// where it begins otherwise. Default: $USER where the local part begins so, or else that up to its first delimiter
    #[arg(long, value_name = "NAME", requires = "dot_qmail", help_heading = ".qmail files")]
    pub user: Option<OsString>,
    /// A second delimiter beside `-`, such as `+`; in the names of files it is a `-`
    #[arg(long, value_name = "C", value_parser = parse_delimiter, help_heading = ".qmail files")]
    pub delimiter: Option<u8>,
    /// How long a program may run, the queue program, too; then its process group is killed. A next hop for
    /// forwards may take as long. Default: 900, with --protocol 300, and 30 more are all that a recipient has there
    #[arg(long, value_name = "SECS", help_heading = ".qmail files")]
    pub program_timeout: Option<u64>,
    /// Where forwards go: qmqp://HOST, qmtp://HOST, smtp://HOST, lmtp://HOST:PORT, lmtp+unix:PATH, queue:PATH or
    /// sendmail:PATH. Given again, a place for those that the one before could not take for now. Default:
    /// queue:$QMAILQUEUE, or queue:$QMAILHOME/bin/qmail-queue; $QMAILHOME is /var/qmail
    #[arg(long, value_name = "URL", requires = "dot_qmail", help_heading = ".qmail files")]
    pub via: Vec<OsString>,
}

/// Seconds for a program of one message.
const PROGRAM_TIMEOUT: u64 = 900;
/// Seconds for a program in a session, whose peer gives up after 600 seconds (RFC 5321, 4.5.3.2.6).
pub(crate) const SESSION_PROGRAM_TIMEOUT: u64 = 300;

/// Part of the manual page of deliver.
pub(crate) const MANUAL: &str = r#".SH ".QMAIL FILES"
With \-\-dot\-qmail a message goes where the recipient's file in the home directory says, as with qmail:
dot\-qmail(5). For the recipient joe\-lists\-rust of the user joe the extension is lists\-rust, and the first of
these that is a regular file is taken:
.IP
\&.qmail\-lists\-rust, .qmail\-lists\-default, .qmail\-default
.PP
In these names the extension is in lower case and has a colon for each dot. For joe himself it is .qmail, or there is
none and the MAILBOXes are the default delivery; so they are for an empty file. An address without a file is no
mailbox (67). \-n shows each file that is looked for, and what each line of the one that is taken does.
.PP
A line is, by how it begins:
.TP
.B #
a comment. A blank line does nothing, either; it may not be the first.
.TP
.B |
a command for /bin/sh, in the home directory, with the message on its standard input. It exits with 0 when it is
done; with 99, and the lines behind it are left out; with 64, 65, 70, 76, 77, 78, 100 or 112 when it refuses the
message for good (69); with anything else when it is to be tried again (75).
.TP
.BR / " or " .
a Maildir, if it ends in a slash, or else an mbox, which is made if it is not there.
.TP
.B &
an address to forward to; so is a line that begins with a letter or a digit. All forwards go last and as one message,
with a Delivered\-To on top, as \-\-via says. A queue program has qmail\-queue(8)'s interface; that it exits with 0
counts only if it has read the message and the envelope. Where only some of the forwards are accepted, all of it is
tried again, and those get it twice.
.TP
.B +list
From here on there may only be forwards; so in a file that its owner may execute.
.PP
A home directory or a file that anybody may write to is not believed, and a home directory with the sticky bit is
being edited: mail waits, as it does for a file with CR at the ends of its lines. With a file
\&.qmail\-EXTENSION\-owner what is forwarded has the sender LOCAL\-owner@HOST; with
\&.qmail\-EXTENSION\-owner\-default, too, LOCAL\-owner\-@HOST\-@[].
.PP
Root becomes the account that \-\-user names, if the home directory is its own or root's; without such an
account it becomes the owner. It stays root for root alone, and then follows only what root owns and nobody else may
write: the home directory, the way to it, and the file.
.PP
Programs find in their environment USER, HOME, LOCAL, HOST, RECIPIENT, SENDER, NEWSENDER, EXT, EXT2, EXT3, EXT4, HOST2,
HOST3, HOST4, DEFAULT, DTLINE, RPLINE and UFLINE, as qmail\-command(8) has them. What they write is kept and told if they
fail, its first 1000 bytes.
.PP
With \-\-json each file that is looked for is an object of the type tried (path, taken, message), and each line one of
the type instruction (file, line, does, what, message).
.PP
The first instruction that fails ends the delivery. What stands above it has been done, and is done again when the
message comes again; so a program that may fail belongs at the top.
.SH QMAIL\-LOCAL
Through a link of the name qmail\-local the program takes the arguments of qmail\-local(8), and has its output and its
exit codes. It differs in that it looks through the whole file before it does anything, so that a line that may not be
followed costs no repeated deliveries; in that an mbox that lacks its final newline gets one first, and is locked with
fcntl(2), too, and with a dot\-lock where one can be made; and in that it flushes directories and keeps a Maildir's quota.
"#;

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
    let setup = Setup::new(job)?;
    let mut candidates = Vec::new();
    let route = setup.find_route(&mut candidates);
    for candidate in &candidates {
        explain_candidate(&setup.home, candidate, reporter);
    }
    let route = route?;
    explain_route(&setup.recipient, &route, reporter);
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
    let mut setup = Setup::new(job)?;
    let sender = job.envelope.sender.clone();
    let envelope = DeliveryEnvelope { sender, recipient: Some(setup.recipient.address()) };
    let prepared = PreparedMessage::new(message, &envelope, job.from_mta)?;
    // The sender may come from the message: from a From_ line, or a Return-Path.
    setup.recipient.sender = prepared.sender().to_vec();
    let route = setup.find_route(&mut Vec::new())?;
    refuse_crlf(&route)?;
    let program_time = Duration::from_secs(job.args.program_timeout.unwrap_or(PROGRAM_TIMEOUT));
    let epoch = job.options.time.as_secs() as i64;
    let mut executor = MessageExecutor {
        setup: &setup,
        message,
        prepared: &prepared,
        options: job.options,
        time_limit: program_time,
        ctx: job.ctx,
        delivered: Vec::new(),
    };
    let options = RunOptions { epoch, output: OutputMode::Capture, program_time };
    let summary = run::run(&route, &setup.recipient, options, &mut executor, job.ctx.cancel)?;
    if summary.forwards > 0 {
        let by = summary.queued.map_or(String::new(), |process| format!(" by process {process}"));
        reporter.detail(&format!("forwarded to {}{by}", summary.forwards));
    }
    if summary.programs > 0 {
        reporter.detail(&format!("programs run: {}", summary.programs));
    }
    Ok(executor.delivered)
}

/// Refuses a file with CRLF as its line ends: mail waits until its owner fixes it. qmail takes the CR for a part of the
/// name, and delivers into mailboxes that no user reads.
fn refuse_crlf(route: &Route) -> Result<(), Failure> {
    let Some(line) = route.lines.iter().find(|line| line.instruction.ends_in_cr()) else { return Ok(()) };
    let file = route.file.as_ref().map_or_else(String::new, |name| display_path(&route.home.join(name)));
    let text = format!(
        "{file}: line {}: ends in CR; save the file with LF alone at the ends of its lines",
        line.number
    );
    Err(Failure::new(FailureReason::Configuration, text))
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

/// The job after its options are checked, before a file is looked for.
struct Setup {
    home: PathBuf,
    recipient: LocalRecipient,
    default: Vec<u8>,
    next_hops: Vec<NextHop>,
    trust: Trust,
}

impl Setup {
    /// Also becomes the home's owner.
    fn new(job: &DotQmailJob<'_>) -> Result<Setup, Failure> {
        let DotQmailArgs { home, user, delimiter, via, .. } = job.args;
        let wrong = |text: &str| Failure::new(FailureReason::Configuration, text);
        let home = home.as_ref().ok_or_else(|| wrong("--dot-qmail needs --home"))?;
        // Programs run in it, and find it in their environment.
        let home = std::path::absolute(home).map_err(|e| Error::usage("--home", e.to_string()))?;
        let address = job.envelope.recipient.as_deref().filter(|address| !address.is_empty());
        let address = address.ok_or_else(|| {
            wrong("--dot-qmail goes by the recipient; say -r, or RECIPIENT in the environment")
        })?;
        let of_environment =
            || env::var_os("USER").filter(|user| is_of_user(address, user.as_bytes(), *delimiter));
        let user = user.clone().or_else(of_environment);
        let host = job.ctx.locks.host.as_bytes();
        let mut recipient =
            LocalRecipient::split(address, user.as_deref().map(OsStr::as_bytes), *delimiter, host);
        recipient.sender = job.envelope.sender.clone().unwrap_or_default();
        let next_hops = match &via[..] {
            [] => vec![NextHop::Queue(default_queue_program())],
            urls => urls.iter().map(|url| parse_next_hop(url)).collect::<Result<_, _>>()?,
        };
        // Without $USER, which is the user who runs this process.
        let trust = match owner::become_home_owner(&home, job.args.user.as_deref())? {
            Privilege::User => Trust::Owner,
            Privilege::Root => Trust::RootOnly,
        };
        let default = default_delivery(job.mailboxes, &home)?;
        Ok(Setup { home, recipient, default, next_hops, trust })
    }

    fn find_route(&self, candidates: &mut Vec<Candidate>) -> Result<Route, Failure> {
        Ok(Route::find(&self.home, &self.recipient, &self.default, self.trust, candidates)?)
    }
}

/// Parses a next hop for forwards. A relative path is relative to here, wherever programs run.
fn parse_next_hop(url: &OsStr) -> Result<NextHop, Failure> {
    let wrong = |why: &str| Failure::from(Error::usage(format!("--via {}", escape(url.as_bytes())), why));
    let absolute = |path: PathBuf| std::path::absolute(path).map_err(|e| wrong(&e.to_string()));
    Ok(match NextHop::parse(url).map_err(|why| wrong(&why))? {
        NextHop::Maildir(_) | NextHop::Mbox(_) => {
            return Err(wrong("a mailbox is no next hop for forwards; it belongs into the .qmail file"));
        }
        NextHop::Queue(path) => NextHop::Queue(absolute(path)?),
        NextHop::Sendmail(path) => NextHop::Sendmail(absolute(path)?),
        NextHop::LmtpUnix(path) => NextHop::LmtpUnix(absolute(path)?),
        hop => hop,
    })
}

/// Writes the mailboxes as lines of a `.qmail` file.
fn default_delivery(mailboxes: &[OsString], home: &Path) -> Result<Vec<u8>, Failure> {
    let mut lines = Vec::new();
    for arg in mailboxes {
        let mailbox = MailboxArg::parse(arg)?;
        let path = mailbox.path.as_os_str().as_bytes();
        // A line loses the blanks at its end.
        let is_trimmed = path.trim_ascii_end().len() == path.len();
        if path.is_empty() || path.contains(&b'\n') || !is_trimmed || mailbox.is_standard_stream() {
            let text = format!("{}: is no mailbox for a default delivery", mailbox.display_name());
            return Err(Failure::new(FailureReason::Configuration, text));
        }
        let is_maildir = match mailbox.target_format() {
            TargetFormat::Maildir => true,
            TargetFormat::Mbox(_) => false,
            TargetFormat::Detect if path.ends_with(b"/") => true,
            TargetFormat::Detect => {
                let target = DeliveryTarget::detect(home.join(&mailbox.path))?;
                matches!(target, DeliveryTarget::Maildir(_))
            }
        };
        let prefix = if mailbox.path.is_absolute() || path.starts_with(b"./") { &b""[..] } else { b"./" };
        let slash = if is_maildir && !path.ends_with(b"/") { &b"/"[..] } else { b"" };
        lines.extend_from_slice(&[prefix, path, slash, b"\n"].concat());
    }
    Ok(if lines.is_empty() { b"./Maildir/\n".to_vec() } else { lines })
}

fn explain_candidate(home: &Path, candidate: &Candidate, reporter: &mut Reporter) {
    let path = home.join(&candidate.name);
    let message = match candidate.skip_reason {
        None => "taken",
        Some(SkipReason::Missing) => "there is none",
        Some(SkipReason::NotAFile) => "is no regular file",
    };
    reporter.line(&format!("{}: {message}", display_path(&path)));
    reporter.object(&json!({
        "type": "tried",
        "path": display_path(&path),
        "taken": candidate.skip_reason.is_none(),
        "message": message,
    }));
}

fn explain_route(recipient: &LocalRecipient, route: &Route, reporter: &mut Reporter) {
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
        reporter.line(&format!("what is forwarded has the sender {}", part(&route.new_sender)));
    }
    for Line { number, instruction } in &route.lines {
        let (does, what, message) = describe(instruction, &route.home);
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
    let path = |path: &[u8]| display_path(&mailbox_path(home, path));
    // In a file that was saved with CRLF.
    let cr = |text: &[u8]| match text.ends_with(b"\r") {
        true => "; the CR at its end belongs to it: was this file saved with CRLF?",
        false => "",
    };
    match instruction {
        Instruction::Comment => ("comment", Value::Null, "a comment".into()),
        Instruction::Blank => ("blank", Value::Null, "blank".into()),
        Instruction::Unknown => ("unknown", Value::Null, "nothing that is known; passed over".into()),
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

/// The path of an instruction, without `./` for reports.
fn mailbox_path(home: &Path, name: &[u8]) -> PathBuf {
    home.join(OsStr::from_bytes(name.strip_prefix(b"./").unwrap_or(name)))
}

/// The deliveries of one message.
struct MessageExecutor<'a> {
    setup: &'a Setup,
    message: &'a SpooledMessage,
    prepared: &'a PreparedMessage<'a>,
    options: DeliverOptions,
    /// For a next hop.
    time_limit: Duration,
    ctx: &'a Context<'a>,
    delivered: Vec<DeliveredMessage>,
}

impl Executor for MessageExecutor<'_> {
    fn deliver(&mut self, instruction: &Instruction) -> Result<(), Failure> {
        let home = &self.setup.home;
        let target = match instruction {
            Instruction::Maildir(name) => DeliveryTarget::Maildir(mailbox_path(home, name)),
            Instruction::Mbox(name) => DeliveryTarget::Mbox(mailbox_path(home, name), None),
            _ => return Ok(()),
        };
        // A missing mbox is created. A missing Maildir is a typing error, or on a disk that is not mounted.
        let create = self.options.create || matches!(target, DeliveryTarget::Mbox(..));
        let options = DeliverOptions { create, ..self.options };
        self.delivered.extend(transaction::deliver(self.prepared, &[target], &options, self.ctx)?);
        Ok(())
    }

    fn message_file(&self) -> Result<File, Failure> {
        Ok(self.message.to_file(b"", self.prepared.message_offset())?)
    }

    fn forward(&mut self, envelope: &Envelope) -> Result<Option<u32>, DotQmailError> {
        let delivered_to = [&envelope::delivered_to(&self.setup.recipient.address())[..], b"\n"].concat();
        // The MTA may have written this field.
        let is_added =
            self.prepared.prefix().split(|&b| b == b'\n').any(|line| line.starts_with(b"Delivered-To: "));
        let prefix = if is_added { &delivered_to[..] } else { b"" };
        let message =
            OutgoingMessage { prefix, spooled: self.message, offset: self.prepared.message_offset() };
        let next_hops = &self.setup.next_hops[..];
        if let [NextHop::Queue(program)] = next_hops {
            let message = message.to_file().map_err(Failure::from)?;
            let limits = ProcessLimits { time: self.time_limit, cancel: self.ctx.cancel };
            return queue::send_capturing_stderr(program, message, envelope, limits)
                .map(Some)
                .map_err(DotQmailError::Queue);
        }
        let outcomes = relay_message(&message, envelope, next_hops, self.time_limit, self.ctx.cancel)
            .map_err(Failure::from)?;
        all_or_none(envelope, next_hops, &outcomes)?;
        Ok(None)
    }
}

/// The outcome of a delivery whose forwards have an outcome each: all are retried as long as one can succeed later.
fn all_or_none(envelope: &Envelope, next_hops: &[NextHop], outcomes: &[RelayOutcome]) -> Result<(), Failure> {
    let failure = |(to, relayed): (&Vec<u8>, &RelayOutcome)| {
        let failure = outcome_failure(&relayed.outcome)?;
        let text = format!("forward to {}: {}: {}", escape(to), next_hops[relayed.hop_index], failure.text);
        Some(Failure { text, ..failure })
    };
    let mut failures: Vec<Failure> = envelope.recipients.iter().zip(outcomes).filter_map(failure).collect();
    failures.sort_by_key(|failure| !failure.reason.is_temporary());
    let (count, all) = (failures.len(), outcomes.len());
    let Some(mut first) = failures.into_iter().next() else { return Ok(()) };
    if !first.reason.is_temporary() {
        // The fault is in the address elsewhere, not in the recipient's.
        first.reason = FailureReason::Refused;
    }
    if all > 1 {
        first.text += &format!("; {} of {all} forwards were accepted", all - count);
    }
    Err(first)
}

#[cfg(test)]
mod tests {
    use crate::transport::outcome::{Outcome, OutcomeKind};

    use super::*;

    #[test]
    fn each_recipient_gets_the_arguments_of_the_session() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let session =
            "deliver --dot-qmail --protocol lmtp --home=/h/%u --user %u --once --delimiter + -- --home x";
        let arguments = per_recipient_arguments(words(session).into_iter());
        assert_eq!(arguments.leading, words("deliver --dot-qmail --once --delimiter +"));
        assert_eq!(arguments.trailing, words("-- --home x"));
    }

    #[test]
    fn mailboxes_become_lines() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("dir")).unwrap();
        std::fs::write(home.path().join("file"), "").unwrap();
        let lines = |args: &[&str]| {
            let args: Vec<OsString> = args.iter().map(OsString::from).collect();
            default_delivery(&args, home.path()).map(|lines| String::from_utf8(lines).unwrap())
        };
        assert_eq!(lines(&[]).unwrap(), "./Maildir/\n");
        assert_eq!(lines(&["dir", "file", "./x/", "/y/"]).unwrap(), "./dir/\n./file\n./x/\n/y/\n");
        assert_eq!(lines(&["maildir:m", "mbox:new"]).unwrap(), "./m/\n./new\n");
        for wrong in ["absent", "-", "mbox:", "a\nb/"] {
            assert_eq!(lines(&[wrong]).unwrap_err().reason, FailureReason::Configuration, "{wrong:?}");
        }
    }

    #[test]
    fn forwards_go_to_a_next_hop_but_not_to_a_mailbox() {
        assert_eq!(parse_next_hop(OsStr::new("queue:/q")).unwrap(), NextHop::Queue("/q".into()));
        assert_eq!(parse_next_hop(OsStr::new("smtp://h")).unwrap().to_string(), "smtp://h:25");
        for url in ["queue:", "smtp://h/p", "/q", "maildir:m", "mbox:/m"] {
            assert!(parse_next_hop(OsStr::new(url)).unwrap_err().text.contains(url));
        }
    }

    #[test]
    fn one_temporary_forward_makes_all_of_it_temporary() {
        let next_hops = [NextHop::Queue("/q".into())];
        let outcome =
            |kind| RelayOutcome { hop_index: 0, outcome: Outcome { kind, status: None, text: "why".into() } };
        use OutcomeKind::{Accepted, Permanent, Temporary, Unsure};
        for (kinds, reason) in [
            (&[Accepted, Accepted][..], None),
            (&[Accepted, Permanent], Some(FailureReason::Refused)),
            (&[Permanent, Temporary], Some(FailureReason::TryAgain)),
            (&[Accepted, Unsure], Some(FailureReason::TryAgain)),
        ] {
            let envelope = Envelope { sender: Vec::new(), recipients: vec![b"a@b".to_vec(); 2] };
            let outcomes: Vec<RelayOutcome> = kinds.iter().copied().map(outcome).collect();
            let failure = all_or_none(&envelope, &next_hops, &outcomes).err();
            assert_eq!(failure.map(|failure| failure.reason), reason);
        }
    }
}
