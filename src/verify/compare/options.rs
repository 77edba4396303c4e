//! Options of a comparison.

use std::path::PathBuf;

use jiff::tz::TimeZone;

use crate::mailbox::mbox::{DeletedPolicy, LabelPolicy, Variant};
use crate::mailbox::tree::MailboxKind;

/// How to compare.
#[derive(Debug)]
pub(crate) struct CompareOptions {
    /// Compare flags, received dates and the fields that readers rewrite as well.
    pub metadata: bool,
    /// How convert treated a user's own Gmail labels.
    pub labels: LabelPolicy,
    /// How convert treated messages marked as deleted. If it skipped them, those of an mbox without a counterpart do
    /// not count.
    pub deleted: DeletedPolicy,
    /// The zone of From_ lines without one.
    pub from_zone: Option<TimeZone>,
}

/// A mailbox that is not open yet.
#[derive(Debug, Clone)]
pub(crate) struct MailboxRef {
    /// Path of the mailbox.
    pub path: PathBuf,
    /// Kind of the mailbox.
    pub kind: MailboxKind,
    /// The variant of the mbox, if the user named it.
    pub variant: Option<Variant>,
}
