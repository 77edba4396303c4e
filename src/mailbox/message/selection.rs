//! The messages that the user selects, by received date.

use serde::{Deserialize, Serialize};

/// A selection of messages by received date. A message without a real date counts as received in 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Selection {
    /// The first second that is selected, since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<i64>,
    /// The first second after these that is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<i64>,
}

impl Selection {
    pub(crate) const ALL: Selection = Selection { since: None, before: None };

    /// Returns the selection of what both select.
    pub(crate) fn intersection(self, other: Selection) -> Selection {
        Selection {
            since: self.since.max(other.since),
            before: [self.before, other.before].into_iter().flatten().min(),
        }
    }

    pub(crate) fn contains(self, epoch: i64) -> bool {
        self.since.is_none_or(|since| since <= epoch) && self.before.is_none_or(|before| epoch < before)
    }
}
