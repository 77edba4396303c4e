//! Trees of folders: the mailboxes in them, and the names of folders in each layout.

mod apple;
pub(crate) mod archive;
pub(crate) mod folder;
pub(crate) mod message_name;
pub(crate) mod naming;
pub(crate) mod own_files;
pub(crate) mod renames;
pub(crate) mod sniff;
pub(crate) mod subscriptions;
pub(crate) mod takeout;
pub(crate) mod walk;

pub(crate) use folder::{Folder, Layout};
pub(crate) use walk::{MailboxKind, Tree, TreeMailbox};
