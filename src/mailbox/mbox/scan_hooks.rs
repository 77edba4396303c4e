//! Callbacks of the reader: progress, memory and signals.

use std::ops::Range;

use crate::mailbox::Cancel;

#[derive(Clone, Copy)]
pub(crate) struct ScanHooks<'a> {
    /// Called with each range that was scanned.
    pub on_scan: &'a (dyn Fn(Range<usize>) + Sync),
    /// Called with ranges that are not read again soon, so that their pages can be released.
    pub on_release: &'a (dyn Fn(Range<usize>) + Sync),
    /// Once requested, reading ends soon, and its result is not usable.
    pub cancel: &'a Cancel,
}

impl ScanHooks<'_> {
    pub(crate) fn none() -> ScanHooks<'static> {
        ScanHooks { on_scan: &|_| (), on_release: &|_| (), cancel: Cancel::never() }
    }
}
