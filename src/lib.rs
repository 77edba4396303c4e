//! mailferry: Maildir and mbox, read, written, converted and proved.
//!
//! The modules in reading order: [`mailbox`] is the formats and what touches the disk, [`letter`] a message on its
//! way and [`transport`] what it goes out by; the rest are the operations of the command line, each with its options
//! in and a report out. The library prints nothing, exits nowhere and reads no environment, clock or host name: they
//! are passed in.

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod mailbox;
pub mod transport;

pub mod convert;
pub mod deliver;
pub mod inject;
pub mod inspect;
pub mod relay;
pub mod verify;

#[cfg(any(test, fuzzing))]
pub mod promises;
