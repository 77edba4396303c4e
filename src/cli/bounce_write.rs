//! `mailferry bounce --write`.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use super::clock;
use super::relay::bounce_host;
use crate::bounce::Status;
use crate::bounce::write::{
    BounceFormat, BounceReport, BounceSender, Reason, ReportingHost, WrittenBounce, parse_recipient,
    parse_remote_mta, parse_status,
};
use crate::cli::ui::{Exit, ExitCodes, print_error};
use crate::deliver::PreparedMessage;
use crate::mailbox::message::header;
use crate::mailbox::{Error, escape};
use crate::transport::{DeliveryEnvelope, Failure, FailureReason, SpooledMessage, envelope};

/// The options that write a bounce.
#[derive(Args, Debug)]
#[command(next_help_heading = "Writing")]
pub(super) struct WriteArgs {
    /// Write a bounce for the message on standard input
    ///
    /// It has the null sender. This sends it: mailferry bounce --write dsn ... < message | mailferry inject -h
    #[arg(long, value_enum, value_name = "FORMAT", requires_all = ["recipients", "status", "reason"])]
    write: Option<BounceFormat>,
    /// Recipient who did not get the message; repeat it for several
    #[arg(short = 'r', long = "recipient", value_name = "ADDRESS", requires = "write", allow_hyphen_values = true, value_parser = OsStringValueParser::new().try_map(|address| parse_recipient(address.as_bytes())))]
    recipients: Vec<String>,
    /// Status code of the failure, such as 5.1.1 (RFC 3463)
    #[arg(long, value_name = "CODE", requires = "write", value_parser = parse_status)]
    status: Option<Status>,
    /// Reason: a sentence, or the reply of an SMTP server
    #[arg(long, value_name = "TEXT", requires = "write", allow_hyphen_values = true, value_parser = OsStringValueParser::new().try_map(parse_reason))]
    reason: Option<Reason>,
    /// Host that refused the message
    #[arg(long, value_name = "HOST", requires = "write", value_parser = parse_remote_mta)]
    remote_mta: Option<String>,
    /// Sender of the message, who gets the bounce [default: $SENDER, Return-Path]
    #[arg(short = 'f', long, value_name = "ADDRESS", requires = "write", allow_hyphen_values = true)]
    sender: Option<OsString>,
}

fn parse_reason(text: OsString) -> Result<Reason, String> {
    Reason::new(text.as_bytes()).ok_or_else(|| "a sentence that says why".to_owned())
}

/// A bounce to write, as the command line asks for it.
#[derive(Debug)]
pub(super) struct WriteJob<'a> {
    args: &'a WriteArgs,
    format: BounceFormat,
    status: Status,
    reason: &'a Reason,
}

impl WriteArgs {
    /// Returns the bounce to write, if there is to be one. clap requires the other options then.
    pub(super) fn job(&self) -> Option<WriteJob<'_>> {
        let (format, status, reason) = (self.write?, self.status?, self.reason.as_ref()?);
        Some(WriteJob { args: self, format, status, reason })
    }
}

impl WriteJob<'_> {
    /// Writes a bounce for `message` to standard output.
    pub(super) fn run(&self, message: &SpooledMessage, codes: ExitCodes) -> Result<Exit, Failure> {
        let args = self.args;
        let sender = args.sender.clone().or_else(|| env::var_os("SENDER"));
        let sender = match sender {
            Some(sender) => Some(envelope::sender_of_mta(sender.as_bytes())),
            None => sender_on_top(message)?,
        };
        // Requiring the option would hide that most messages name their sender.
        let Some(sender) = sender else {
            let text = "--sender: missing, and the message has no Return-Path at the top";
            print_error(text, Some("name the sender with -f"));
            return Ok(match codes {
                ExitCodes::Sysexits => Exit::InjectUsage,
                ExitCodes::Qmail => Exit::NotDelivered(FailureReason::Configuration, codes),
            });
        };
        let sender = BounceSender::new(&sender).map_err(|why| {
            Failure::new(FailureReason::BadMessage, format_args!("<{}>: {why}", escape(&sender)))
        })?;
        let envelope =
            DeliveryEnvelope { sender: Some(sender.as_str().as_bytes().to_vec()), recipient: None };
        let original = PreparedMessage::new(message, &envelope, false)?;
        let report = BounceReport {
            sender,
            recipients: args.recipients.clone(),
            status: self.status,
            reason: self.reason.clone(),
            remote_mta: args.remote_mta.clone(),
            reporter: ReportingHost::new(&bounce_host()?, std::process::id()),
            now: clock::seconds_since_epoch(),
        };
        let bounce = WrittenBounce::new(self.format, &report, &original)?;
        let mut out = io::stdout().lock();
        let failed = || Error::io("write", "standard output");
        let written = bounce.for_each_chunk(&mut |bytes| out.write_all(bytes).map_err(failed()));
        match written.and_then(|()| out.flush().map_err(failed())) {
            // A closed pipe is the reader's decision.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
            other => Ok(other.map(|()| Exit::Done)?),
        }
    }
}

/// Returns the sender that the From_ line or the Return-Path of the message names.
fn sender_on_top(message: &SpooledMessage) -> Result<Option<Vec<u8>>, Failure> {
    let message = PreparedMessage::new(message, &DeliveryEnvelope::default(), false)?;
    let head = message.in_memory();
    // A Return-Path below a Received is that of an earlier delivery.
    let mut trace = header::fields(&head).take_while(|field| !field.is("Received"));
    let sender = trace.find(|field| field.is("Return-Path"));
    Ok(sender.map(|sender| envelope::unquote(&header::unfold(sender.value))))
}
