//! LMTP (RFC 2033): a message for several recipients, with an outcome for each.
//!
//! ```text
//! session              the conversation: order, limits, replies
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

use crate::transport::{Failure, SpooledMessage};
use address::EnvelopeAddress;

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
    ) -> Result<String, Failure>;
}
