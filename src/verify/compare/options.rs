//! Options of a comparison.

use std::path::PathBuf;

use jiff::tz::TimeZone;

use super::asked::AskedChanges;
use crate::mailbox::mbox::Variant;
use crate::mailbox::tree::MailboxKind;

/// How to compare.
#[derive(Debug)]
pub(crate) struct CompareOptions {
    /// Compare flags, received dates and the fields that readers rewrite as well.
    pub metadata: bool,
    /// Changes by a conversion that do not count. If it skipped messages marked as deleted, those of an mbox without a
    /// counterpart do not count either.
    pub asked: AskedChanges,
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
