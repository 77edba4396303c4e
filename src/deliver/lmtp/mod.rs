//! LMTP (RFC 2033): a message for several recipients, with an outcome for each.
//!
//! ```text
//! session, tolerance   the conversation: order, limits, replies
//! command, address     the peer's lines
//! data                 the message on the wire
//! reply                our lines
//! mailbox_recipients   delivery into the mailboxes of --mailbox and --map
//! program_recipients   delivery by a process per recipient
//! template, map        from an address to a path
//! ```
//!
//! With SIZE, PIPELINING, 8BITMIME and ENHANCEDSTATUSCODES.

pub(crate) mod address;
pub(crate) mod command;
pub(crate) mod data;
pub(crate) mod mailbox_recipients;
pub(crate) mod map;
pub(crate) mod program_recipients;
pub(crate) mod reply;
pub(crate) mod session;
pub(crate) mod template;
mod tolerance;

use std::io;

use crate::transport::{Failure, SpooledMessage};
use address::EnvelopeAddress;

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
