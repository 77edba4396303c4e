//! Delivery of messages: into mailboxes, as `.qmail` files say, and for a peer on a connection.
//!
//! ```text
//! transaction       one message into several mailboxes, all or none
//! target            where to: a Maildir, a folder, an mbox
//! prepared_message  the message with its envelope in its header
//! dedupe            whether a mailbox has the message already
//! dot_qmail         delivery by the instructions of a .qmail file
//! drain             the mail of a Maildir to the end of an mbox
//! session           delivery for a peer on a connection
//! ```

mod dedupe;
pub(crate) mod dot_qmail;
pub(crate) mod drain;
pub(crate) mod prepared_message;
pub(crate) mod session;
pub(crate) mod target;
pub(crate) mod transaction;

pub(crate) use prepared_message::PreparedMessage;
pub(crate) use target::{DeliveryTarget, TargetFormat};
pub(crate) use transaction::{DeliverOptions, DeliveredMessage};
