//! Trees of folders: what they are called in each layout, and which mailboxes lie in one.

pub mod folder;
pub mod naming;
pub mod renames;
pub mod sniff;
pub mod subscriptions;
pub mod walk;
