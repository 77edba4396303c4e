//! mailferry: Maildir and mbox, read, written, converted and proved.
//!
//! The modules in reading order: [`mailbox`] is the formats and what touches the disk, the rest are
//! the operations of the command line, each with its options in and a report out. The library prints
//! nothing, exits nowhere and reads no environment, clock or host name: they are passed in.

pub mod mailbox;

pub mod convert;
pub mod deliver;
pub mod inject;
pub mod inspect;
pub mod transport;
pub mod verify;

#[cfg(any(test, fuzzing))]
pub mod promises;
