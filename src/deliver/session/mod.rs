//! A session with a mail system that hands over messages on a connection.
//!
//! ```text
//! lmtp                 the protocol: commands and replies
//! engine, wire         what all protocols share: receive a message, deliver it, reply; limits on time
//! tolerance            limits on sessions that lead to no message
//! mailbox_recipients   delivery into the mailboxes of --mailbox and --recipient-map
//! program_recipients   delivery by a process per recipient
//! address              the envelope;  template, map: from an address to a path
//! ```

pub(crate) mod address;
mod engine;
pub(crate) mod lmtp;
pub(crate) mod mailbox_recipients;
pub(crate) mod map;
pub(crate) mod program_recipients;
pub(crate) mod template;
mod tolerance;
pub(crate) mod wire;

use std::io;
use std::path::Path;

use crate::transport::{Failure, SpooledMessage};
use address::EnvelopeAddress;

#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionOptions<'a> {
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
    /// QUIT, or closed between two messages.
    Orderly,
    /// Closed within a command, a message, or the commands before a message.
    Disconnected,
    TimedOut,
    /// The peer made too many errors.
    TooManyErrors,
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
}
