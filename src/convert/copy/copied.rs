//! Earlier copies of a Maildir, as the manifest records them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::convert::History;
use crate::mailbox::maildir::Entry;
use crate::mailbox::manifest::{Bytes, Digest, SectionHeader, to_line};
use crate::mailbox::message::Selection;

const PROGRAM: &str = concat!("mailferry ", env!("CARGO_PKG_VERSION"));

/// The messages of a Maildir that earlier runs copied.
pub(super) struct CopiedMessages {
    /// Their lengths, by base name in the source.
    lengths: HashMap<Vec<u8>, u64>,
    /// The base names in the destination that differ, by base name in the source.
    renamed: HashMap<Vec<u8>, Vec<u8>>,
    /// A section has to be written even if there is no new message.
    pub(super) is_open: bool,
    /// The open section that the one of this run replaces.
    follows: Option<usize>,
    /// The last hash before the section of this run.
    previous: Option<Digest>,
    /// The number of sections before the one of this run.
    pub(super) sections: usize,
    /// The offset of that section in the manifest.
    pub(super) end: u64,
}

impl CopiedMessages {
    pub(super) fn new(history: &History<'_>, source: &Path) -> CopiedMessages {
        let manifest = &history.manifest;
        let outlines = &manifest.sections;
        let is_own = |n: usize| outlines[n].header.is_maildir() && outlines[n].header.source.is_path(source);
        let own: Vec<usize> = (0..outlines.len()).filter(|&n| is_own(n)).collect();
        let is_closed = |n: usize| outlines[n].footer.is_some();
        let (mut lengths, mut renamed) = (HashMap::new(), HashMap::new());
        for copied in own.iter().filter(|&&n| is_closed(n)).flat_map(|&n| outlines[n].copied_names()) {
            let name = copied.original.map_or(copied.name.clone(), |original| {
                renamed.insert(original.0.clone(), copied.name.0.clone());
                original
            });
            lengths.insert(name.0, copied.len);
        }
        let replaced = manifest.superseded(|_| ());
        let open = own.iter().copied().rfind(|&n| !is_closed(n) && !replaced[n]);
        let (sections, end) = (outlines.len(), history.end());
        // An open section at the end is written again, from its header on. Those of its messages that were
        // published are found by name.
        let (follows, sections, end) = match open {
            Some(n) if outlines[n].end() as u64 == end => {
                (outlines[n].header.follows, n, outlines[n].at as u64)
            }
            Some(n) => (Some(n + 1), sections, end),
            None => (None, sections, end),
        };
        let is_open = open.is_some() || !own.iter().any(|&n| is_closed(n));
        let previous = manifest.hash_before(end as usize);
        CopiedMessages { lengths, renamed, is_open, follows, previous, sections, end }
    }

    /// Returns the first line of the section of this run. `folder` is the path below the root of a tree.
    pub(super) fn header(
        &self,
        source: &Path,
        folder: Option<&Path>,
        selection: Selection,
        uid_lists: BTreeMap<String, Digest>,
    ) -> Vec<u8> {
        to_line(&SectionHeader {
            selection,
            uid_lists,
            follows: self.follows,
            previous: self.previous,
            folder: folder.map(Bytes::of_path),
            ..SectionHeader::for_maildir(PROGRAM, source)
        })
    }

    /// Returns the base name of a copied message in the destination.
    pub(super) fn name_there<'a>(&'a self, entry: &'a Entry) -> &'a [u8] {
        let base = entry.parsed().base;
        self.renamed.get(base).map_or(base, |name| name)
    }

    /// Returns the length of a message that was copied.
    pub(super) fn length(&self, entry: &Entry) -> Option<u64> {
        self.lengths.get(entry.parsed().base).copied()
    }
}
