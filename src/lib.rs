//! mailferry: Maildir and mbox, read, written, converted and proved.
//!
//! The modules in reading order.

pub mod mailbox;
