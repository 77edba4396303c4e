//! The shared core: what a mailbox is, in bytes. No terminal, no environment, no clock, no network.

pub(crate) mod context;
pub(crate) mod error;
pub(crate) mod finding;
pub(crate) mod fs;
pub(crate) mod maildir;
pub(crate) mod manifest;
pub(crate) mod mbox;
pub(crate) mod member_path;
pub(crate) mod message;
pub(crate) mod reorder;
pub(crate) mod source;
pub(crate) mod text;
pub(crate) mod tree;

pub(crate) use context::{Cancel, Context, Events, LockOptions, NoEvents, Phase};
pub(crate) use error::{Error, Result};
pub(crate) use finding::{Code, Finding};
pub(crate) use text::{display_path, escape};
