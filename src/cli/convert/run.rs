//! The state that every job of a run shares.

use super::args::{ConvertArgs, Mailboxes};
use crate::cli::open::Opener;
use crate::cli::ui::progress::ProgressDisplay;
use crate::mailbox::context::{Context, LockOptions};

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
