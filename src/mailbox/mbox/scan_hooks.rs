//! Who looks on while a source is read: progress, memory and signals, handed down.

use crate::mailbox::context::Cancel;
use std::ops::Range;

/// Who looks on while a source is read.
#[derive(Clone, Copy)]
pub struct ScanHooks<'a> {
    /// Hears of each range once it has been scanned.
    pub on_scan: &'a (dyn Fn(Range<usize>) + Sync),
    /// Hears of ranges that will not be read again soon, so that their pages can be handed back.
    pub on_release: &'a (dyn Fn(Range<usize>) + Sync),
    /// Set by a signal: the reading ends soon, with a result that is not to be used.
    pub cancel: &'a Cancel,
}

impl ScanHooks<'_> {
    /// Nobody looks on.
    pub fn none() -> ScanHooks<'static> {
        ScanHooks { on_scan: &|_| (), on_release: &|_| (), cancel: Cancel::never() }
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.cancel.is_requested()
    }
}
