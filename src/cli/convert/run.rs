//! The state that every job of a run shares.

use super::ConvertArgs;
use super::args::Mailboxes;
use crate::cli::open::Opener;
use crate::cli::ui::ProgressDisplay;
use crate::mailbox::{Context, LockOptions};

/// The arguments and the context of a run.
pub(super) struct Run<'a> {
    pub(super) args: &'a ConvertArgs,
    pub(super) mailboxes: &'a Mailboxes,
    pub(super) context: Context<'a>,
    /// The lock of dovecot-keywords, the only one, whatever --lock asks for.
    pub(super) keywords_lock: &'a LockOptions,
    pub(super) opener: &'a Opener<'a>,
    pub(super) display: &'a ProgressDisplay,
}
