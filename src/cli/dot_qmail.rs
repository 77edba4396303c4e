//! `mailferry deliver --dot-qmail`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::deliver::dot_qmail::error::DotQmailError;
use crate::deliver::dot_qmail::find::{Candidate, SkipReason};
use crate::deliver::dot_qmail::home::{Editing, Trust};
use crate::deliver::dot_qmail::line::{Instruction, Line};
use crate::deliver::dot_qmail::program::OutputMode;
use crate::deliver::dot_qmail::{self, Executor, LocalRecipient, Route, RunOptions};
use crate::deliver::prepared_message::PreparedMessage;
use crate::deliver::{self, DeliverOptions, DeliveredMessage, DeliveryTarget};
use crate::mailbox::text::{display_path, escape};
use crate::transport::envelope;
use crate::transport::envelope::DeliveryEnvelope;
use crate::transport::failure::{Failure, FailureReason};
use crate::transport::message::OutgoingMessage;
use crate::transport::next_hop::NextHop;
use crate::transport::process::Limits;
use crate::transport::relay::RelayOutcome;
use crate::transport::spool::SpooledMessage;
use crate::transport::{self, queue};
use clap::Args;
use serde_json::{Value, json};

use super::inject_env::default_queue_program;
use super::mailbox_arg::{Format, MailboxArg};
use super::owner::{self, Privilege};
use super::ui::report::Reporter;
use crate::cli::relay::{outcome_failure, relay_message};

/// The options of `.qmail` delivery.
#[derive(Args, Debug)]
pub struct DotQmailArgs {
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

/// For one message, in seconds.
const PROGRAM_TIMEOUT: u64 = 900;
/// In a session, whose peer gives up after 600 seconds (RFC 5321, 4.5.3.2.6).
pub const SESSION_PROGRAM_TIMEOUT: u64 = 300;

/// A part of the manual page of deliver.
pub const MANUAL: &str = r#".SH ".QMAIL FILES"
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

/// What deliver knows.
pub struct DotQmailJob<'a> {
    /// The options.
    pub args: &'a DotQmailArgs,
    /// The default delivery.
    pub mailboxes: &'a [OsString],
    /// Sender and recipient.
    pub envelope: &'a DeliveryEnvelope,
    /// How to deliver into a mailbox.
    pub rules: DeliverOptions<'a>,
    /// Whether an MTA has written trace fields already.
    pub from_mta: bool,
}

/// Says what would be done with a message: each file that is looked for, and what each line does.
pub fn explain(order: &DotQmailJob<'_>, reporter: &mut Reporter) -> Result<(), Failure> {
    let route = Prepared::new(order)?;
    let mut tried = Vec::new();
    let found = route.find(&mut tried);
    for one in &tried {
        tell_tried(&route, one, reporter);
    }
    let found = found?;
    tell_route(&route, &found, reporter);
    if found.editing == Editing::Now {
        reporter.line("the home directory is sticky: until chmod -t all of this waits");
    }
    Ok(())
}

/// Delivers a message. What comes back are the mailboxes that have it.
pub fn run(
    order: &DotQmailJob<'_>,
    letter: &SpooledMessage,
    reporter: &mut Reporter,
) -> Result<Vec<DeliveredMessage>, Failure> {
    let mut prepared = Prepared::new(order)?;
    let sender = order.envelope.sender.clone();
    let told = DeliveryEnvelope { sender, recipient: Some(prepared.address.address()) };
    let draft = PreparedMessage::new(letter, &told, order.from_mta)?;
    // The message itself may say it: in a From_ line, or a Return-Path.
    prepared.address.sender = draft.sender().to_vec();
    let route = prepared.find(&mut Vec::new())?;
    refuse_crlf(&route)?;
    let DeliverOptions { now, cancel, .. } = order.rules;
    let time = Duration::from_secs(order.args.program_timeout.unwrap_or(PROGRAM_TIMEOUT));
    let how = RunOptions {
        epoch: now.as_secs() as i64,
        output: OutputMode::Capture,
        program_limits: Limits { time, cancel },
    };
    let mut native = Native {
        home: &prepared.home,
        draft: &draft,
        letter,
        rules: order.rules,
        delivered_to: [&envelope::delivered_to(&prepared.address.address())[..], b"\n"].concat(),
        delivered: Vec::new(),
        hops: &prepared.hops,
        time,
    };
    let done = dot_qmail::run(&route, &prepared.address, &how, &mut native)?;
    if done.forwards > 0 {
        let by = done.queued.map_or(String::new(), |process| format!(" by process {process}"));
        reporter.detail(&format!("forwarded to {}{by}", done.forwards));
    }
    if done.programs > 0 {
        reporter.detail(&format!("programs run: {}", done.programs));
    }
    Ok(native.delivered)
}

/// A file that was saved with another system's line ends: its owner can mend it, so mail waits. qmail takes the CR
/// for a part of the name, and has mail in mailboxes that nobody looks into.
fn refuse_crlf(route: &Route) -> Result<(), Failure> {
    let names = |what: &Instruction| match what {
        Instruction::Mbox(name) | Instruction::Forward(name) => name.ends_with(b"\r"),
        Instruction::Maildir(name) => name.ends_with(b"\r/") || name.ends_with(b"\r"),
        Instruction::Program(command) => command.ends_with(b"\r"),
        _ => false,
    };
    let Some(line) = route.lines.iter().find(|line| names(&line.instruction)) else { return Ok(()) };
    let file = route.file.as_ref().map_or_else(String::new, |name| display_path(&route.home.join(name)));
    let text = format!(
        "{file}: line {}: ends in CR; save the file with LF alone at the ends of its lines",
        line.number
    );
    Err(Failure::new(FailureReason::Configuration, text))
}

/// What each delivery of an LMTP session is told, before and behind what is its own: all that we were told, but
/// for what is the session's.
pub fn per_recipient_arguments(ours: impl Iterator<Item = OsString>) -> (Vec<OsString>, Vec<OsString>) {
    const OF_THE_SESSION: [&[u8]; 4] = [b"--protocol", b"--home", b"--user", b"--exit-codes"];
    let mut ours = ours.peekable();
    let mut first = Vec::new();
    while let Some(word) = ours.next_if(|word| word != "--") {
        let name = word.as_bytes().split(|&b| b == b'=').next().unwrap_or_default();
        match OF_THE_SESSION.contains(&name) {
            // The value may be the next word.
            true if name.len() == word.len() => drop(ours.next()),
            true => {}
            false => first.push(word),
        }
    }
    (first, ours.collect())
}

/// What is known before a file is looked for.
struct Prepared {
    home: PathBuf,
    address: LocalRecipient,
    default: Vec<u8>,
    hops: Vec<NextHop>,
    trust: Trust,
}

impl Prepared {
    /// Becomes the home's owner, too.
    fn new(order: &DotQmailJob<'_>) -> Result<Prepared, Failure> {
        let DotQmailArgs { home, user, delimiter, via, .. } = order.args;
        let wrong = |text: &str| Failure::new(FailureReason::Configuration, text);
        let home = home.as_ref().ok_or_else(|| wrong("--dot-qmail needs --home"))?;
        // Programs are told where it is, and each runs in it.
        let home = std::path::absolute(home).map_err(|e| wrong(&format!("--home: {e}")))?;
        let recipient = order.envelope.recipient.as_deref().filter(|recipient| !recipient.is_empty());
        let recipient = recipient.ok_or_else(|| {
            wrong("--dot-qmail goes by the recipient; say -r, or RECIPIENT in the environment")
        })?;
        let user = user.clone().or_else(|| {
            env::var_os("USER").filter(|user| is_user_of(user.as_bytes(), recipient, *delimiter))
        });
        let sender = order.envelope.sender.clone().unwrap_or_default();
        let host = order.rules.locks.host.as_bytes();
        let address = address(recipient, user.as_deref().map(OsStr::as_bytes), sender, *delimiter, host);
        let hops = match &via[..] {
            [] => vec![NextHop::Queue(default_queue_program())],
            urls => urls.iter().map(|url| place_of(url)).collect::<Result<_, _>>()?,
        };
        // Not $USER, which says who calls us.
        let trust = match owner::become_home_owner(&home, order.args.user.as_deref())? {
            Privilege::User => Trust::Owner,
            Privilege::Root => Trust::RootOnly,
        };
        let default = default_delivery(order.mailboxes, &home)?;
        Ok(Prepared { home, address, default, hops, trust })
    }

    fn find(&self, tried: &mut Vec<Candidate>) -> Result<Route, Failure> {
        Ok(Route::find(&self.home, &self.address, &self.default, self.trust, tried)?)
    }
}

/// Whether $USER is about this recipient, and not about whoever has started the mail system.
fn is_user_of(user: &[u8], recipient: &[u8], delimiter: Option<u8>) -> bool {
    let (local, _) = envelope::split(recipient);
    let rest = local.split_at_checked(user.len()).filter(|(own, _)| own.eq_ignore_ascii_case(user));
    let follows = |&b: &u8| b == b'-' || Some(b) == delimiter;
    !user.is_empty() && rest.is_some_and(|(_, rest)| rest.first().is_none_or(follows))
}

/// Divides a recipient into user and extension.
fn address(
    recipient: &[u8],
    user: Option<&[u8]>,
    sender: Vec<u8>,
    delimiter: Option<u8>,
    here: &[u8],
) -> LocalRecipient {
    let (local, domain) = envelope::split(recipient);
    let host = domain.strip_prefix(b"@").unwrap_or(here).to_vec();
    let is_delimiter = |&b: &u8| b == b'-' || Some(b) == delimiter;
    let first = || local.split(is_delimiter).next().unwrap_or_default();
    let user = user.unwrap_or_else(first);
    let rest = local.split_at_checked(user.len()).filter(|(own, _)| own.eq_ignore_ascii_case(user));
    let (dash, extension) = match rest {
        Some((_, [])) => (&b""[..], &b""[..]),
        Some((_, [delimiter, extension @ ..])) if is_delimiter(delimiter) => (&b"-"[..], extension),
        // Of a domain that is all this user's.
        _ => (&b"-"[..], local),
    };
    LocalRecipient {
        user: user.to_vec(),
        local: local.to_vec(),
        dash: dash.to_vec(),
        extension: extension.to_vec(),
        host,
        sender,
        delimiter,
    }
}

/// A place that forwards can go to. A path is one from here, wherever programs run.
fn place_of(url: &OsStr) -> Result<NextHop, Failure> {
    let wrong = |why: &str| {
        let text = format!("--via {}: {why}", escape(url.as_bytes()));
        Failure::new(FailureReason::Configuration, text)
    };
    let absolute = |path: PathBuf| std::path::absolute(path).map_err(|e| wrong(&e.to_string()));
    Ok(match NextHop::parse(url).map_err(|why| wrong(&why))? {
        NextHop::Maildir(_) | NextHop::Mbox(_) => {
            return Err(wrong("a mailbox is no next hop for forwards; it belongs into the .qmail file"));
        }
        NextHop::Queue(path) => NextHop::Queue(absolute(path)?),
        NextHop::Sendmail(path) => NextHop::Sendmail(absolute(path)?),
        NextHop::LmtpUnix(path) => NextHop::LmtpUnix(absolute(path)?),
        place => place,
    })
}

/// The mailboxes as lines of a `.qmail` file.
fn default_delivery(mailboxes: &[OsString], home: &Path) -> Result<Vec<u8>, Failure> {
    let mut lines = Vec::new();
    for arg in mailboxes {
        let mailbox = MailboxArg::parse(arg)?;
        let refuse = |why: &str| {
            Failure::new(FailureReason::Configuration, format!("{}: {why}", mailbox.display_name()))
        };
        let named = mailbox.path.as_os_str().as_bytes();
        // As a line it would lose the blanks at its end.
        let is_trimmed = named.trim_ascii_end().len() == named.len();
        if named.is_empty() || named.contains(&b'\n') || !is_trimmed || mailbox.is_standard_stream() {
            return Err(refuse("is no mailbox for a default delivery"));
        }
        let is_maildir = match mailbox.format {
            Some(Format::Maildir) => true,
            Some(_) => false,
            None if named.ends_with(b"/") => true,
            None => matches!(DeliveryTarget::detect(home.join(&mailbox.path))?, DeliveryTarget::Maildir(_)),
        };
        let below = if mailbox.path.is_absolute() || named.starts_with(b"./") { &b""[..] } else { b"./" };
        let slash = if is_maildir && !named.ends_with(b"/") { &b"/"[..] } else { b"" };
        lines.extend_from_slice(&[below, named, slash, b"\n"].concat());
    }
    Ok(if lines.is_empty() { b"./Maildir/\n".to_vec() } else { lines })
}

fn tell_tried(prepared: &Prepared, tried: &Candidate, reporter: &mut Reporter) {
    let path = prepared.home.join(&tried.name);
    let why = match tried.skip_reason {
        None => "taken",
        Some(SkipReason::Missing) => "there is none",
        Some(SkipReason::NotAFile) => "is no regular file",
    };
    reporter.line(&format!("{}: {why}", display_path(&path)));
    reporter.object(&json!({
        "type": "tried", "path": display_path(&path), "taken": tried.skip_reason.is_none(), "message": why,
    }));
}

fn tell_route(prepared: &Prepared, route: &Route, reporter: &mut Reporter) {
    let address = &prepared.address;
    let part = |bytes: &[u8]| format!("`{}`", escape(bytes));
    if let Some(rest) = route.default_offset.and_then(|at| address.extension.get(at..)) {
        reporter.line(&format!("`default` stands for {}", part(rest)));
    }
    match (&route.file, route.is_default) {
        (None, _) => reporter.line("no file: the default delivery"),
        (Some(_), true) => reporter.line("it is empty: the default delivery"),
        (Some(_), false) if route.forward_only => reporter.line("it is executable: it may only forward"),
        (Some(_), false) => {}
    }
    if route.new_sender != address.sender {
        let text = format!("what is forwarded has the sender {}", part(&route.new_sender));
        reporter.line(&text);
    }
    for Line { number, instruction: what } in &route.lines {
        let (does, text, sentence) = meaning(what, &prepared.home);
        reporter.line(&format!("line {number}: {sentence}"));
        reporter.object(&json!({
            "type": "instruction",
            "file": route.file.as_ref().filter(|_| !route.is_default).map(|name| display_path(&route.home.join(name))),
            "line": number,
            "does": does,
            "what": text,
            "message": sentence,
        }));
    }
}

/// A word for programs, what it is about, and a sentence for people.
fn meaning(what: &Instruction, home: &Path) -> (&'static str, Value, String) {
    let path = |path: &[u8]| display_path(&at(home, path));
    // A file that was saved with another system's line ends.
    let cr = |text: &[u8]| match text.ends_with(b"\r") {
        true => "; the CR at its end belongs to it: was this file saved with CRLF?",
        false => "",
    };
    match what {
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

/// The path of an instruction: `./` would be in the way in what people and programs read.
fn at(home: &Path, name: &[u8]) -> PathBuf {
    home.join(OsStr::from_bytes(name.strip_prefix(b"./").unwrap_or(name)))
}

/// The deliveries of one run.
struct Native<'a> {
    home: &'a Path,
    draft: &'a PreparedMessage<'a>,
    letter: &'a SpooledMessage,
    rules: DeliverOptions<'a>,
    delivered_to: Vec<u8>,
    delivered: Vec<DeliveredMessage>,
    hops: &'a [NextHop],
    time: Duration,
}

impl Executor for Native<'_> {
    fn deliver(&mut self, what: &Instruction) -> Result<(), Failure> {
        let target = match what {
            Instruction::Maildir(name) => DeliveryTarget::Maildir(at(self.home, name)),
            Instruction::Mbox(name) => DeliveryTarget::Mbox(at(self.home, name), None),
            _ => return Ok(()),
        };
        // Who writes down an mbox wants it made; a Maildir that is missing is a typing error, or a disk that
        // is not mounted.
        let create = self.rules.create || matches!(target, DeliveryTarget::Mbox(..));
        let delivered = deliver::deliver(self.draft, &[target], &DeliverOptions { create, ..self.rules })?;
        self.delivered.extend(delivered);
        Ok(())
    }

    fn message_file(&self) -> Result<File, Failure> {
        Ok(self.letter.to_file(b"", self.draft.message_offset())?)
    }

    fn forward(&mut self, envelope: &transport::envelope::Envelope) -> Result<Option<u32>, DotQmailError> {
        // An MTA may have written it already.
        let is_ours = self.draft.top().split(|&b| b == b'\n').any(|line| line.starts_with(b"Delivered-To: "));
        let top = if is_ours { &self.delivered_to[..] } else { b"" };
        let message =
            OutgoingMessage { prefix: top, spooled: self.letter, offset: self.draft.message_offset() };
        let cancel = self.rules.cancel;
        if let [NextHop::Queue(program)] = self.hops {
            let message = message.to_file().map_err(Failure::from)?;
            let limits = Limits { time: self.time, cancel };
            return queue::send_capturing_stderr(program, message, envelope, limits)
                .map(Some)
                .map_err(DotQmailError::Queue);
        }
        let told = relay_message(&message, envelope, self.hops, self.time, cancel).map_err(Failure::from)?;
        all_or_none(envelope, self.hops, &told)?;
        Ok(None)
    }
}

/// The outcome of a delivery whose forwards have an outcome each: as long as one of them can be sent later, all of it
/// is tried again.
fn all_or_none(
    envelope: &transport::envelope::Envelope,
    hops: &[NextHop],
    told: &[RelayOutcome],
) -> Result<(), Failure> {
    let failed = |(to, told): (&Vec<u8>, &RelayOutcome)| {
        let failure = outcome_failure(&told.outcome)?;
        let text = format!("forward to {}: {}: {}", escape(to), hops[told.hop_index], failure.text);
        Some(Failure { text, ..failure })
    };
    let mut failures: Vec<Failure> = envelope.recipients.iter().zip(told).filter_map(failed).collect();
    failures.sort_by_key(|failure| !failure.reason.is_temporary());
    let (count, all) = (failures.len(), told.len());
    let Some(mut first) = failures.into_iter().next() else { return Ok(()) };
    if !first.reason.is_temporary() {
        // What is wrong with an address elsewhere is nothing that is wrong with this one.
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

    #[track_caller]
    fn divides(recipient: &str, user: Option<&str>, delimiter: Option<u8>, want: [&str; 3]) {
        let user = user.map(str::as_bytes);
        let got = address(recipient.as_bytes(), user, Vec::new(), delimiter, b"here.example");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        assert_eq!([text(got.user), text(got.dash), text(got.extension)], want, "{recipient}");
    }

    #[test]
    fn a_recipient_is_a_user_and_an_extension() {
        divides("joe@h", None, None, ["joe", "", ""]);
        divides("joe-a-b@h", None, None, ["joe", "-", "a-b"]);
        divides("joe-@h", None, None, ["joe", "-", ""]);
        divides("joe+a@h", None, None, ["joe+a", "", ""]);
        divides("joe+a-b@h", None, Some(b'+'), ["joe", "-", "a-b"]);
        divides("Joe-a@h", Some("joe"), None, ["joe", "-", "a"]);
        divides("j-doe-a@h", Some("j-doe"), None, ["j-doe", "-", "a"]);
        divides("sales@h", Some("joe"), None, ["joe", "-", "sales"]);
        divides("joey@h", Some("joe"), None, ["joe", "-", "joey"]);
        divides("joe", Some("joe"), None, ["joe", "", ""]);
        divides("\"@h", None, None, ["\"", "", ""]);
    }

    #[test]
    fn a_recipient_without_a_domain_is_one_of_this_machine() {
        assert_eq!(address(b"joe", None, Vec::new(), None, b"here").address(), b"joe@here");
        assert_eq!(address(b"a@b@c", None, Vec::new(), None, b"here").host, b"c");
    }

    #[test]
    fn each_delivery_of_a_session_is_told_what_the_session_was_told() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let ours =
            "deliver --dot-qmail --protocol lmtp --home=/h/%u --user %u --once --delimiter + -- --home x";
        let (first, last) = per_recipient_arguments(words(ours).into_iter());
        assert_eq!(first, words("deliver --dot-qmail --once --delimiter +"));
        assert_eq!(last, words("-- --home x"));
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
    fn forwards_go_to_a_next_hop_and_not_into_a_mailbox() {
        assert_eq!(place_of(OsStr::new("queue:/q")).unwrap(), NextHop::Queue("/q".into()));
        assert_eq!(place_of(OsStr::new("smtp://h")).unwrap().to_string(), "smtp://h:25");
        for url in ["queue:", "smtp://h/p", "/q", "maildir:m", "mbox:/m"] {
            assert!(place_of(OsStr::new(url)).unwrap_err().text.contains(url));
        }
    }

    #[test]
    fn as_long_as_one_forward_can_be_sent_later_all_of_it_is_tried_again() {
        let hops = [NextHop::Queue("/q".into())];
        let told =
            |kind| RelayOutcome { hop_index: 0, outcome: Outcome { kind, status: None, text: "why".into() } };
        use OutcomeKind::{Accepted, Permanent, Temporary, Unsure};
        for (fates, reason) in [
            (&[Accepted, Accepted][..], None),
            (&[Accepted, Permanent], Some(FailureReason::Refused)),
            (&[Permanent, Temporary], Some(FailureReason::TryAgain)),
            (&[Accepted, Unsure], Some(FailureReason::TryAgain)),
        ] {
            let envelope =
                transport::envelope::Envelope { sender: Vec::new(), recipients: vec![b"a@b".to_vec(); 2] };
            let told: Vec<RelayOutcome> = fates.iter().copied().map(told).collect();
            let failure = all_or_none(&envelope, &hops, &told).err();
            assert_eq!(failure.map(|failure| failure.reason), reason);
        }
    }
}
