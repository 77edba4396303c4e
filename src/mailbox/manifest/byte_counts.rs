//! Counts of the bytes of a source by kind.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// Counts of the bytes of a source. Every byte is counted once.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ByteCounts {
    /// Bytes of messages, without quoting.
    #[serde(rename = "bytes_messages")]
    pub messages: u64,
    #[serde(rename = "bytes_from_lines")]
    pub from_lines: u64,
    /// The `>` before quoted lines.
    #[serde(rename = "bytes_quoting")]
    pub quoting: u64,
    /// Blank lines and frames between messages.
    #[serde(rename = "bytes_separators")]
    pub separators: u64,
    /// Bytes outside of messages that are not separators.
    #[serde(rename = "bytes_junk")]
    pub junk: u64,
}

impl ByteCounts {
    /// Reports whether the counts add up to `size`.
    pub(crate) fn balances(&self, size: u64) -> bool {
        let parts = [self.messages, self.from_lines, self.quoting, self.separators, self.junk];
        parts.iter().try_fold(0u64, |sum, &part| sum.checked_add(part)) == Some(size)
    }
}

impl AddAssign for ByteCounts {
    fn add_assign(&mut self, other: ByteCounts) {
        self.messages += other.messages;
        self.from_lines += other.from_lines;
        self.quoting += other.quoting;
        self.separators += other.separators;
        self.junk += other.junk;
    }
}
