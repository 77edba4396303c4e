//! Identifies a source by what the manifest records, by its bytes and not by its name.

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::path::Path;

use super::SourceHash;
use crate::mailbox::manifest::{Digest, LEAD, Manifest};

/// The hashes of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// BLAKE3 of all bytes.
    pub(crate) digest: Digest,
    /// BLAKE3 of the first [`LEAD`] bytes.
    pub(crate) lead: Digest,
}

impl Fingerprint {
    /// For a run that needs none.
    pub(crate) const NONE: Fingerprint = Fingerprint { digest: Digest([0; 32]), lead: Digest([0; 32]) };
}

/// The relation of a source to the sections of a manifest, which are numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// No section records it.
    New,
    /// The same bytes were converted before.
    Same(usize),
    /// The same bytes were converted before, but not all messages were selected.
    Partial(usize),
    /// A run that converted the same bytes was killed.
    Unfinished(usize),
    /// It was converted when it was shorter.
    Grown(usize),
    /// It was converted and then rewritten: a section of this path names one of its messages.
    Rewritten(usize),
}

impl Identity {
    /// Returns the section that records an earlier state of the source.
    pub(crate) fn section(self) -> Option<usize> {
        match self {
            Identity::New => None,
            Identity::Same(n)
            | Identity::Partial(n)
            | Identity::Unfinished(n)
            | Identity::Grown(n)
            | Identity::Rewritten(n) => Some(n),
        }
    }
}

/// A source to identify.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdentityQuery<'a> {
    /// The canonical path; None for standard input.
    pub(crate) path: Option<&'a Path>,
    /// The identities of the other sources of this run: a section that one of them left unfinished is not that
    /// of another.
    pub(crate) taken: &'a [Identity],
    /// The sections of sources of the same command: this source is not a copy of another one, however similar they
    /// are.
    pub(crate) of_siblings: &'a [bool],
}

/// Identifies a source by its bytes. One that was rewritten looks new here: see
/// [`History::find_rewritten`](super::history::History::find_rewritten).
pub(crate) fn identify(
    manifest: &Manifest<'_>,
    hash: &SourceHash<'_>,
    query: IdentityQuery<'_>,
) -> (Identity, Fingerprint) {
    let IdentityQuery { path, taken, of_siblings } = query;
    let sections = &manifest.sections;
    let raw = hash.source.raw();
    let size = raw.len() as u64;
    let lead = Digest::of(&raw[..raw.len().min(LEAD as usize)]);
    let is_own = |n: usize| path.is_some_and(|path| sections[n].header.source.is_path(path));
    let is_of_sibling = |n: usize| of_siblings[n] && !is_own(n);
    // A Maildir's section has no hash of a file.
    let is_file = |n: &usize| !sections[*n].header.is_maildir();
    let has_same_lead = |n: &usize| {
        let header = &sections[*n].header;
        header.lead <= size && Digest::of(&raw[..header.lead as usize]) == header.lead_blake3
    };
    let mut shorter: Vec<usize> = (0..sections.len())
        .filter(|&n| !is_of_sibling(n))
        .filter(|&n| sections[n].header.size < size && sections[n].header.size > 0)
        .filter(has_same_lead)
        .collect();
    let digest = hash.whole();
    let fingerprint = Fingerprint { digest, lead };
    // A copy under another path may have completed what a run for this path left unfinished.
    let completed = OnceCell::new();
    let completed = || completed.get_or_init(|| manifest.superseded(|header| header.blake3));
    let is_completed = |n: usize| sections[n].footer.is_none() && completed()[n];
    // Mailboxes that are or were equal each continue their own section. Else the newest section counts.
    let preference = |n: &usize| (is_own(*n) && !is_completed(*n), *n);
    let is_free = |n: &usize| sections[*n].footer.is_some() || taken.iter().all(|t| t.section() != Some(*n));
    let is_same = |n: &usize| {
        let is_equal = sections[*n].header.size == size && sections[*n].header.blake3 == digest;
        is_file(n) && is_equal && is_free(n) && !is_of_sibling(*n)
    };
    let same = (0..sections.len()).filter(is_same).max_by_key(preference);
    let is_beginning = |n: &usize| {
        let header = &sections[*n].header;
        hash.beginning(header.size as usize) == header.blake3
    };
    let found = match same {
        Some(n) if sections[n].is_partial() => Some(Identity::Partial(n)),
        Some(n) if sections[n].footer.is_some() => Some(Identity::Same(n)),
        Some(n) => Some(Identity::Unfinished(n)),
        None => {
            // A source that grows often has many sections, and the newest one is nearly always the one.
            shorter.sort_unstable_by_key(|n| Reverse(preference(n)));
            shorter.into_iter().find(is_beginning).map(Identity::Grown)
        }
    };
    if let Some((n, found)) = found.and_then(|found| Some((found.section()?, found))) {
        // The file may be an earlier state of what its path held, or continue one. It follows the newest section of the
        // path anyway, so that the sections of a source form one line and the last one counts.
        let is_later = manifest.later_sections(n);
        let continues = |later: usize| is_later[later] || is_own(n) && is_file(&later);
        let newer = (n + 1..sections.len()).rev().find(|&later| is_own(later) && continues(later));
        return (newer.map_or(found, Identity::Rewritten), fingerprint);
    }
    (Identity::New, fingerprint)
}
