//! LMTP (RFC 2033): an MTA hands a message over for several recipients, and hears of each how it went.
//!
//! ```text
//! session      the conversation: whose turn it is, limits, replies in order
//! command      a line → a command; address: the paths in it
//! data         the message behind DATA: where it ends, less what is only for the wire
//! reply        code, enhanced code, sentence
//! template     `/srv/mail/%d/%u/`: the path of a recipient's mailbox; nothing leads out of it
//! map          a file of recipients and their mailboxes
//! child        delivery by a process for each recipient
//! ```
//!
//! With SIZE, PIPELINING, 8BITMIME and ENHANCEDSTATUSCODES.

pub mod address;
pub mod command;
pub mod data;
pub mod map;
pub mod program_recipients;
pub mod reply;
pub mod session;
pub mod template;

use address::Address;

use crate::transport::failure::Failure;
use crate::transport::spool::SpooledMessage;

/// Those for whom mail is taken.
pub trait Recipients {
    /// Where a recipient's mail goes.
    type Mailbox;

    /// Finds a recipient, before the message has come: whoever is refused here costs nobody a message.
    fn look_up(&mut self, recipient: &Address) -> Result<Self::Mailbox, Failure>;

    /// Delivers to one of them. With `Ok` the message is on stable storage, or the next hop has it; the sentence
    /// says where. No sender is the null sender.
    fn deliver(
        &mut self,
        letter: &SpooledMessage,
        sender: Option<&Address>,
        recipient: &Address,
        mailbox: &Self::Mailbox,
    ) -> Result<String, Failure>;
}
