//! Options about UIDs, and counts of them.

use std::path::Path;

use crate::mailbox::maildir::uids::{COURIER_NAME, LIST_NAME};
use crate::mailbox::{Error, Finding, Result};

/// The treatment of UIDs.
// The doc comments of the variants are the help of --uids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub(crate) enum UidPolicy {
    /// Keep them where possible, and warn otherwise
    #[default]
    Keep,
    /// Let the server give new ones
    New,
    /// Keep them, or write nothing
    Require,
}

/// The form of the list of UIDs.
// The doc comments of the variants are the help of --uid-format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub(crate) enum UidFormat {
    /// dovecot-uidlist
    #[default]
    Dovecot,
    /// courierimapuiddb
    Courier,
    /// Both lists
    Both,
}

/// Options about UIDs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct UidOptions {
    pub(crate) policy: UidPolicy,
    pub(crate) format: UidFormat,
}

impl UidPolicy {
    /// Refuses a loss of UIDs if they are required. `path` is the destination.
    ///
    /// # Errors
    /// [`Error::UidsNotKept`].
    pub(crate) fn refuse(self, loss: &Finding, path: &Path) -> Result<()> {
        if self != UidPolicy::Require {
            return Ok(());
        }
        let path = loss.path.as_deref().unwrap_or(path).to_owned();
        let first = loss.offset.map_or_else(String::new, |offset| format!(", first at byte {offset}"));
        Err(Error::UidsNotKept { path, reason: format!("{}{first}", loss.message) })
    }
}

impl UidFormat {
    /// Returns the names of the lists.
    pub(crate) fn file_names(self) -> &'static [&'static str] {
        match self {
            UidFormat::Dovecot => &[LIST_NAME],
            UidFormat::Courier => &[COURIER_NAME],
            UidFormat::Both => &[LIST_NAME, COURIER_NAME],
        }
    }
}

/// The UIDs of a source, without those of its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceUids {
    pub(crate) validity: u32,
    /// UIDNEXT.
    pub(crate) next: u32,
    /// Further fields of the header of Dovecot's list.
    pub(crate) fields: Vec<u8>,
    /// The server was UW-IMAP, whose POP3 server makes other UIDLs of the UIDs than Dovecot's.
    pub(crate) is_uw: bool,
}

/// Messages that were written, by what became of their UIDs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UidCounts {
    pub(crate) kept: u64,
    /// Messages that had other UIDs.
    pub(crate) changed: u64,
}

impl std::ops::AddAssign for UidCounts {
    fn add_assign(&mut self, other: UidCounts) {
        self.kept += other.kept;
        self.changed += other.changed;
    }
}
