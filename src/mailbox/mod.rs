//! The shared core: what a mailbox is, in bytes. No terminal, no environment, no clock, no network.

pub mod context;
pub mod error;
pub mod finding;
pub mod fs;
pub mod maildir;
pub mod manifest;
pub mod mbox;
pub mod message;
pub mod reorder;
pub mod source;
pub mod text;
pub mod tree;
