//! Earlier copies of a Maildir, as the manifest records them.

use std::collections::HashMap;
use std::path::Path;

use crate::convert::History;
use crate::mailbox::maildir::Entry;
use crate::mailbox::manifest;

/// The messages of a Maildir that earlier runs copied.
pub(super) struct CopiedMessages {
    /// Their lengths, by base name in the source.
    lengths: HashMap<Vec<u8>, u64>,
    /// A section has to be written even if there is no new message.
    pub(super) is_open: bool,
    /// The open section that the one of this run replaces.
    pub(super) follows: Option<usize>,
    /// The number of sections before the one of this run.
    pub(super) sections: usize,
    /// The offset of that section in the manifest.
    pub(super) end: u64,
}

impl CopiedMessages {
    pub(super) fn new(history: &History<'_>, source: &Path) -> CopiedMessages {
        let outlines = &history.outlines;
        let is_own = |n: usize| outlines[n].header.is_maildir() && outlines[n].header.source.is_path(source);
        let own: Vec<usize> = (0..outlines.len()).filter(|&n| is_own(n)).collect();
        let is_closed = |n: usize| outlines[n].footer.is_some();
        let copied = own.iter().filter(|&&n| is_closed(n)).flat_map(|&n| outlines[n].copied_names());
        let lengths = copied.map(|copied| (copied.original.unwrap_or(copied.name).0, copied.len)).collect();
        let is_replaced = |n: usize| {
            (n + 1..outlines.len()).any(|later| is_closed(later) && manifest::follows(outlines, later, n))
        };
        let open = own.iter().copied().rfind(|&n| !is_closed(n) && !is_replaced(n));
        let (sections, end) = (outlines.len(), history.end());
        // An open section at the end is written again, from its header on. Those of its messages that were
        // published are found by name.
        let (follows, sections, end) = match open {
            Some(n) if n + 1 == sections => (outlines[n].header.follows, n, outlines[n].at as u64),
            Some(n) => (Some(n + 1), sections, end),
            None => (None, sections, end),
        };
        let is_open = open.is_some() || !own.iter().any(|&n| is_closed(n));
        CopiedMessages { lengths, is_open, follows, sections, end }
    }

    /// Returns the length of a message that was copied.
    pub(super) fn length(&self, entry: &Entry) -> Option<u64> {
        self.lengths.get(entry.parsed().base).copied()
    }
}
