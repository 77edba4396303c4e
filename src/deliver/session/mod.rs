//! A session with a mail system that hands over messages on a connection.
//!
//! ```text
//! serve                the choice of the protocol
//! lmtp, qmtp, qmqp     commands or netstrings from the peer;  netstrings, qmail_reply: of the latter two
//! engine, wire         what all protocols share: receive a message, deliver it, reply; limits on time
//! tolerance            limits on sessions that lead to no message
//! mailbox_recipients   delivery into the mailboxes of --mailbox and --recipient-map
//! program_recipients   delivery by a process per recipient;  unavailable: no delivery at all
//! address              the envelope;  template, map: from an address to a path
//! ```

pub(crate) mod address;
mod engine;
pub(crate) mod lmtp;
pub(crate) mod mailbox_recipients;
pub(crate) mod map;
mod netstrings;
pub(crate) mod program_recipients;
mod qmail_reply;
mod qmqp;
mod qmtp;
pub(crate) mod serve;
pub(crate) mod template;
mod tolerance;
pub(crate) mod unavailable;
pub(crate) mod wire;

use std::io;
use std::path::Path;

use crate::mailbox::text::plural;
use crate::transport::{Failure, SpooledMessage};
use address::EnvelopeAddress;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Lmtp,
    Qmtp,
    Qmqp,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionOptions<'a> {
    pub protocol: Protocol,
    /// Host name in the greeting.
    pub host: &'a str,
    /// Size limit of a message: as announced, and as counted with LF as line end.
    pub max_size: Option<u64>,
    /// Directory for messages that are too long for memory.
    pub spool_dir: &'a Path,
}

/// End of a session. Every delivery that was acknowledged is done.
#[derive(Debug)]
pub(crate) enum SessionEnd {
    /// QUIT, or closed between two messages, or the only message is done.
    Orderly,
    /// Closed within a command, a message, or the commands before a message.
    Disconnected,
    TimedOut,
    /// The peer made too many errors, or sent too much that led to no message.
    TooManyErrors,
    /// The peer sent something other than the protocol allows. What it sends after that has no meaning.
    ProtocolError(&'static str),
    Interrupted,
    /// Reading or writing failed.
    Failed(io::Error),
}

/// The outcome of one recipient: a sentence for the reply, or why the message was not delivered.
pub(crate) type Outcome = Result<String, Failure>;

/// Sends the reply to the next recipient. The error is the end of the session.
pub(crate) type SendReply<'a> = dyn FnMut(Outcome) -> Result<(), SessionEnd> + 'a;

/// A recipient that RCPT accepted.
#[derive(Debug)]
pub(crate) struct AcceptedRecipient<M> {
    pub(crate) address: EnvelopeAddress,
    pub(crate) mailbox: M,
}

/// A message, and who gets it.
pub(crate) struct AddressedMessage<'a, M> {
    pub(crate) message: &'a SpooledMessage,
    pub(crate) sender: Option<&'a EnvelopeAddress>,
    pub(crate) recipients: &'a [AcceptedRecipient<M>],
}

/// The recipients of a session.
pub(crate) trait Recipients {
    /// The result of [`Recipients::look_up`].
    type Mailbox;

    /// Finds a recipient before the message is sent. A refusal here spares the peer a transmission.
    fn look_up(&mut self, recipient: &EnvelopeAddress) -> Result<Self::Mailbox, Failure>;

    /// Delivers to one recipient. Success means that the message is on stable storage, or that the next hop has it.
    /// Returns a sentence for the reply. Without `sender` it is the null sender.
    fn deliver(
        &mut self,
        message: &SpooledMessage,
        sender: Option<&EnvelopeAddress>,
        recipient: &EnvelopeAddress,
        mailbox: &Self::Mailbox,
    ) -> Outcome;

    /// Delivers to all recipients. LMTP has the replies in their order, and each is sent as soon as it is known. After the
    /// end of the session no delivery begins: the peer sends the message to these recipients again.
    fn deliver_all(
        &mut self,
        message: &SpooledMessage,
        sender: Option<&EnvelopeAddress>,
        recipients: &[AcceptedRecipient<Self::Mailbox>],
        reply: &mut SendReply<'_>,
    ) -> Result<(), SessionEnd> {
        recipients.iter().try_for_each(|to| reply(self.deliver(message, sender, &to.address, &to.mailbox)))
    }

    /// Delivers messages that arrived together, with the replies in order.
    fn deliver_messages(
        &mut self,
        messages: &[AddressedMessage<'_, Self::Mailbox>],
        reply: &mut SendReply<'_>,
    ) -> Result<(), SessionEnd> {
        messages.iter().try_for_each(|AddressedMessage { message, sender, recipients }| {
            self.deliver_all(message, *sender, recipients, reply)
        })
    }

    /// Delivers to all recipients, with one outcome for all of them. A failure may leave some of them with the message.
    fn deliver_together(
        &mut self,
        message: &SpooledMessage,
        sender: Option<&EnvelopeAddress>,
        recipients: &[AcceptedRecipient<Self::Mailbox>],
    ) -> Outcome {
        let mut outcomes = Vec::new();
        let mut keep = |outcome| {
            outcomes.push(outcome);
            Ok(())
        };
        // Keeping an outcome does not end the session.
        let _ = self.deliver_all(message, sender, recipients, &mut keep);
        combine(outcomes.into_iter())
    }
}

/// Makes one outcome of several. A temporary failure counts before a permanent one: a later attempt can still succeed
/// for its recipient, and shows the permanent failures again.
fn combine(outcomes: impl Iterator<Item = Outcome>) -> Outcome {
    let (mut delivered, mut failed) = (Vec::new(), None::<Failure>);
    for outcome in outcomes {
        match outcome {
            Ok(text) => delivered.push(text),
            Err(failure)
                if failed
                    .as_ref()
                    .is_none_or(|first| !first.reason.is_temporary() && failure.reason.is_temporary()) =>
            {
                failed = Some(failure)
            }
            Err(_) => {}
        }
    }
    match failed {
        None => Ok(delivered.join(", ")),
        Some(failure) => Err(with_delivered(failure, delivered.len())),
    }
}

/// Adds to a failure that other recipients have the message.
fn with_delivered(failure: Failure, others: usize) -> Failure {
    match others {
        0 => failure,
        others => {
            let has = format!("{}; delivered to {}", failure.text, plural(others as u64, "other recipient"));
            Failure::new(failure.reason, has)
        }
    }
}
