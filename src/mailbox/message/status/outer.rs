//! Flags and dates of a message that are stored outside of it.

use crate::mailbox::message::emlx::StoreState;
use crate::mailbox::message::{Flags, Stamp, StatusFields};

/// The state of the one message in a file, by the name of the file and by its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct OuterState {
    /// MH has removed it, by the name of its file.
    pub is_removed: bool,
    pub store: StoreState,
}

impl OuterState {
    /// Adds the state to that of the header.
    pub(crate) fn complete(&self, fields: &mut StatusFields) {
        if let Some(flags) = self.store.flags() {
            fields.replace_flags(flags);
        }
        if self.is_removed || self.store.is_deleted() {
            fields.set_deleted();
        }
        if let Some(keyword) = self.store.keyword() {
            fields.add_keyword(keyword.into());
        }
    }

    /// Reports whether it has a flag or a keyword.
    pub(crate) fn has_flags(&self) -> bool {
        let has_letters = self.store.flags().is_some_and(|flags| flags != Flags::default());
        has_letters || self.is_removed || self.store.is_deleted() || self.store.keyword().is_some()
    }

    /// Reports whether the flags in the header do not count.
    pub(crate) fn is_known(&self) -> bool {
        self.is_removed || self.store.flags().is_some()
    }

    /// Returns the received date of the store.
    pub(crate) fn received(&self) -> Option<Stamp> {
        self.store.received.map(|local| Stamp { local, zone: Some(0) })
    }
}
