//! Trees of folders: the mailboxes in them, and the names of folders in each layout.

pub mod folder;
pub mod naming;
pub mod renames;
pub mod sniff;
pub mod subscriptions;
pub mod walk;
