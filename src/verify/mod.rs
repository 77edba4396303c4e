//! verify: checks mailboxes for damage, against their manifest, and against another mailbox.
//!
//! Only [`repair`] changes anything, and it never touches a message.

pub(crate) mod compare;
mod file;
mod folder_list;
mod folder_names;
pub(crate) mod maildir;
mod maildirs;
mod manifest;
pub(crate) mod mbox;
mod message;
pub(crate) mod options;
pub(crate) mod repair;
pub(crate) mod report;
mod uid_lists;

pub(crate) use folder_list::check_tree;
pub(crate) use folder_names::check_folder_names;
pub(crate) use maildirs::{MaildirOutcome, verify_maildir, verify_maildirs};
pub(crate) use options::{Depth, VerifyOptions};
pub(crate) use report::{SourceStatus, VerifyReport};
