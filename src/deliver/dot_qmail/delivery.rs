//! The delivery of one message by a `.qmail` file.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    Candidate, DotQmailError, Executor, Instruction, LocalRecipient, OutputMode, OwnPrograms, Route,
    RunOptions, RunSummary, Trust, line, run,
};
use crate::deliver::{
    DeliverOptions, DeliveredMessage, DeliveryTarget, PreparedMessage, TargetFormat, transaction,
};
use crate::mailbox::{Context, Result, display_path, escape};
use crate::transport::{
    DeliveryEnvelope, Envelope, Failure, FailureReason, NextHop, OutgoingMessage, ProcessLimits,
    QueueProgram, RelayOutcome, SpooledMessage, envelope,
};

/// Relays a message, and returns one outcome per recipient.
pub(crate) type Relay<'a> = dyn Fn(&OutgoingMessage<'_>, &[NextHop]) -> Result<Vec<RelayOutcome>> + 'a;

/// A delivery, before its file is looked for.
pub(crate) struct DotQmailDelivery<'a> {
    pub home: PathBuf,
    pub recipient: LocalRecipient,
    /// The envelope sender, if it is known.
    pub sender: Option<Vec<u8>>,
    /// An MTA has written trace fields.
    pub from_mta: bool,
    /// The default delivery, in the form of a `.qmail` file.
    pub default: Vec<u8>,
    /// Where forwards go.
    pub next_hops: Vec<NextHop>,
    pub own_programs: OwnPrograms,
    pub trust: Trust,
    pub options: DeliverOptions,
    /// The time limit of a program, and of a next hop.
    pub time_limit: Duration,
    pub ctx: &'a Context<'a>,
}

impl DotQmailDelivery<'_> {
    /// Finds the file of the recipient: see [`Route::find`].
    pub(crate) fn find_route(&self, candidates: &mut Vec<Candidate>) -> Result<Route, Failure> {
        Ok(Route::find(&self.home, &self.recipient, &self.default, self.trust, candidates)?)
    }

    /// Delivers a message. Returns the mailboxes that have it, and what else was done.
    pub(crate) fn deliver(
        mut self,
        message: &SpooledMessage,
        relay: &Relay<'_>,
    ) -> Result<(Vec<DeliveredMessage>, RunSummary), Failure> {
        let envelope =
            DeliveryEnvelope { sender: self.sender.take(), recipient: Some(self.recipient.address()) };
        PreparedMessage::require_input(message)?;
        let prepared = PreparedMessage::new(message, &envelope, self.from_mta)?;
        // The sender may come from the message: from a From_ line, or a Return-Path.
        self.recipient.sender = prepared.sender().to_vec();
        let route = self.find_route(&mut Vec::new())?;
        refuse_crlf(&route)?;
        let epoch = self.options.time.as_secs() as i64;
        let options = RunOptions {
            epoch,
            output: OutputMode::Capture,
            program_time: self.time_limit,
            own_programs: &self.own_programs,
        };
        let mut executor =
            MessageExecutor { delivery: &self, message, prepared: &prepared, relay, delivered: Vec::new() };
        let summary = run::run(&route, &self.recipient, options, &mut executor, self.ctx.cancel)?;
        Ok((executor.delivered, summary))
    }
}

/// Refuses a file with CRLF as its line ends: mail waits until its owner fixes it. qmail takes the CR for a part of the
/// name, and delivers into mailboxes that no user reads.
fn refuse_crlf(route: &Route) -> Result<(), Failure> {
    let Some(line) = route.lines.iter().find(|line| line.instruction.ends_in_cr()) else { return Ok(()) };
    let file = route.file.as_ref().map_or_else(String::new, |name| display_path(&route.home.join(name)));
    let text = format!("{file}: line {}: ends in CR; save the file with LF line ends", line.number);
    Err(Failure::new(FailureReason::Configuration, text))
}

/// Returns the line of a `.qmail` file that delivers into a mailbox, whose path is relative to the home.
pub(crate) fn mailbox_line(home: &Path, format: TargetFormat, path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = path.as_os_str().as_bytes();
    // A line loses the blanks at its end.
    let is_trimmed = bytes.trim_ascii_end().len() == bytes.len();
    if bytes.is_empty() || bytes == b"-" || bytes.contains(&b'\n') || !is_trimmed {
        let text = format!("{}: cannot be a default delivery", display_path(path));
        return Err(Failure::new(FailureReason::Configuration, text));
    }
    let is_maildir = matches!(DeliveryTarget::new(format, home.join(path))?, DeliveryTarget::Maildir(_));
    let prefix = if path.is_absolute() || bytes.starts_with(b"./") { &b""[..] } else { b"./" };
    let slash = if is_maildir && !bytes.ends_with(b"/") { &b"/"[..] } else { b"" };
    Ok([prefix, bytes, slash, b"\n"].concat())
}

/// The deliveries of one message.
struct MessageExecutor<'a> {
    delivery: &'a DotQmailDelivery<'a>,
    message: &'a SpooledMessage,
    prepared: &'a PreparedMessage<'a>,
    relay: &'a Relay<'a>,
    delivered: Vec<DeliveredMessage>,
}

impl Executor for MessageExecutor<'_> {
    fn deliver(&mut self, instruction: &Instruction) -> Result<(), Failure> {
        let DotQmailDelivery { home, options, ctx, .. } = self.delivery;
        let target = match instruction {
            Instruction::Maildir(name) => DeliveryTarget::Maildir(line::mailbox_path(home, name)),
            Instruction::Mbox(name) => DeliveryTarget::Mbox(line::mailbox_path(home, name), None),
            _ => return Ok(()),
        };
        // A missing mbox is created. A missing Maildir is a typing error, or on a disk that is not mounted.
        let create = options.create || matches!(target, DeliveryTarget::Mbox(..));
        let options = DeliverOptions { create, ..*options };
        self.delivered.extend(transaction::deliver(self.prepared, &[target], &options, ctx)?);
        Ok(())
    }

    fn message_file(&self) -> Result<File, Failure> {
        Ok(self.message.to_file(b"", self.prepared.message_offset())?)
    }

    fn forward(&mut self, envelope: &Envelope) -> Result<Option<u32>, DotQmailError> {
        let DotQmailDelivery { recipient, next_hops, time_limit, ctx, .. } = self.delivery;
        let delivered_to = [&envelope::delivered_to(&recipient.address())[..], b"\n"].concat();
        // The MTA may have written this field.
        let mut lines = self.prepared.prefix().split(|&b| b == b'\n');
        let is_added = lines.any(|line| line.starts_with(b"Delivered-To: "));
        let prefix = if is_added { &delivered_to[..] } else { b"" };
        let offset = self.prepared.message_offset();
        let message = OutgoingMessage { envelope, prefix, spooled: self.message, offset };
        if let [NextHop::Queue(program)] = &next_hops[..] {
            let message = message.to_file().map_err(Failure::from)?;
            let limits = ProcessLimits { time: *time_limit, cancel: ctx.cancel };
            let program = QueueProgram { path: program, limits, capture_stderr: true };
            return program.send(message, envelope).map(Some).map_err(DotQmailError::Queue);
        }
        let outcomes = (self.relay)(&message, next_hops).map_err(Failure::from)?;
        all_or_none(envelope, next_hops, &outcomes)?;
        Ok(None)
    }
}

/// The outcome of a delivery whose forwards have an outcome each: all are retried as long as one can succeed later.
fn all_or_none(envelope: &Envelope, next_hops: &[NextHop], outcomes: &[RelayOutcome]) -> Result<(), Failure> {
    let failure = |(to, relayed): (&Vec<u8>, &RelayOutcome)| {
        let mut failure = relayed.outcome.failure()?;
        if failure.reason == FailureReason::LoginRefused {
            // The mail waits until the administrator has fixed the login.
            failure.reason = FailureReason::Configuration;
        }
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
        first.text += &format!("; accepted: {} of {all} forwards", all - count);
    }
    Err(first)
}
