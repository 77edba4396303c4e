//! LMTP (RFC 2033): a message for several recipients, with an outcome for each.
//!
//! ```text
//! conversation    commands and replies in their order
//! command, path   the peer's lines
//! data            the message on the wire
//! reply           mailferry's lines
//! ```
//!
//! With SIZE, PIPELINING, 8BITMIME and ENHANCEDSTATUSCODES.

pub(crate) mod command;
pub(crate) mod conversation;
pub(crate) mod data;
mod path;
pub(crate) mod reply;
