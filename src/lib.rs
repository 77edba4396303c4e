//! Reads, writes, converts and verifies Maildir and mbox without losing a message.
//!
//! - [`MboxFile`] opens an mbox, compressed or not; [`Mbox`] finds its messages, whatever program wrote them.
//! - [`Maildir`] lists, delivers durably and verifies.
//! - Odd mail is a [`Finding`] with a stable [`Code`], a byte and a line. Only the disk gives an [`Error`], which has
//!   the path and says whether a retry can help.
//!
//! The library never prints, exits, or reads the environment, the clock or the host name: the caller passes them in.
//! The command line is behind the default feature `cli`; a program that depends on the library turns it off with
//! `default-features = false`.
//!
//! # Stability
//!
//! The names that are re-exported here follow semantic versioning: before 1.0 a minor version may change them, and
//! CHANGELOG names each change. [`Code`]'s names are permanent: they are only ever added to.

// The command line uses more of the core than the facade does.
#![cfg_attr(not(feature = "cli"), allow(dead_code, unused_imports))]

#[cfg(any(feature = "cli", test, fuzzing))]
mod accounts;
#[cfg(any(feature = "cli", test, fuzzing))]
mod bounce;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[cfg(any(feature = "cli", test, fuzzing))]
mod convert;
#[cfg(any(feature = "cli", test, fuzzing))]
mod deliver;
mod facade;
#[cfg(any(feature = "cli", test, fuzzing))]
mod inject;
#[cfg(any(feature = "cli", test, fuzzing))]
mod inspect;
mod mailbox;
#[cfg(any(feature = "cli", test))]
mod report;
#[cfg(any(feature = "cli", test, fuzzing))]
mod transport;
mod verify;

#[cfg(feature = "parts")]
#[doc(hidden)]
#[allow(missing_docs)]
pub mod parts;
#[cfg(any(test, fuzzing))]
pub mod promises;

pub use facade::{Maildir, MaildirEntry, Mbox, MboxFile, Message};
pub use mailbox::context::{LockMethod, LockOptions};
pub use mailbox::error::{Error, Result};
pub use mailbox::finding::{Advice, Code, Finding, Severity};
