//! Which source is this? What the manifest knows of it, by its bytes and not by its name.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::mailbox::error::{Error, Result};
use crate::mailbox::manifest::{self, Digest, LEAD, Outline};
use crate::mailbox::source::Source;

/// Less is hashed by the time that another thread would have begun.
pub const MIN_PARALLEL: usize = 1 << 20;

/// The hashes by which a source is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// Of all of it.
    pub digest: Digest,
    /// Of its first [`LEAD`] bytes.
    pub lead: Digest,
}

impl Fingerprint {
    /// Where nobody asks for it.
    pub const NONE: Fingerprint = Fingerprint { digest: Digest([0; 32]), lead: Digest([0; 32]) };
}

/// What a manifest knows of a source. The numbers are places in its list of sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// Nothing.
    New,
    /// It was converted, these very bytes.
    Same(usize),
    /// These very bytes were being converted when the run was killed.
    Unfinished(usize),
    /// It was converted when it was shorter.
    Grown(usize),
    /// It was converted before it was rewritten: same path, same leading bytes.
    Rewritten(usize),
}

impl Identity {
    /// The section that tells of this source as it was.
    pub fn section(self) -> Option<usize> {
        match self {
            Identity::New => None,
            Identity::Same(n) | Identity::Unfinished(n) | Identity::Grown(n) | Identity::Rewritten(n) => {
                Some(n)
            }
        }
    }
}

/// What is asked about a source.
#[derive(Debug, Clone, Copy)]
pub struct IdentityQuery<'a> {
    /// Its path as it was given; None for standard input.
    pub path: Option<&'a Path>,
    /// Its hash, if it is known.
    pub whole: Option<Digest>,
    /// Whether a path may be that of another mailbox than before.
    pub new_source: bool,
    /// What the other sources of this run are: what one of them left unfinished is not another's.
    pub taken: &'a [Identity],
    /// Paths of other sources of the same command: of what came from one of them it is no copy, however alike
    /// they are.
    pub siblings: &'a HashSet<&'a Path>,
}

/// Looks a source up.
///
/// # Errors
/// [`Error::Destination`] where a section names the path and the file begins otherwise, unless
/// `new_source`.
pub fn identify(
    sections: &[Outline<'_>],
    source: &Source,
    asked: IdentityQuery<'_>,
) -> Result<(Identity, Fingerprint)> {
    let IdentityQuery { path, whole, new_source, taken, siblings: beside } = asked;
    let raw = source.raw();
    let size = raw.len() as u64;
    let lead = Digest::of(&raw[..raw.len().min(LEAD as usize)]);
    let is_own = |n: usize| path.is_some_and(|path| names(&sections[n], path));
    let is_others = |n: usize| {
        let from = Path::new(OsStr::from_bytes(&sections[n].head.source.0));
        !is_own(n) && beside.contains(from)
    };
    // What a Maildir is known by is no bytes of one file.
    let is_file = |n: &usize| !sections[*n].head.is_maildir();
    let begins_alike = |n: &usize| {
        let head = &sections[*n].head;
        head.lead <= size && Digest::of(&raw[..head.lead as usize]) == head.lead_blake3
    };
    let shorter: Vec<usize> = (0..sections.len())
        .filter(|&n| !is_others(n))
        .filter(|&n| sections[n].head.size < size && sections[n].head.size > 0)
        .filter(begins_alike)
        .collect();
    let cuts: Vec<u64> = shorter.iter().map(|&n| sections[n].head.size).collect();
    let (whole, at_cuts) = match whole {
        Some(whole) if cuts.is_empty() => (whole, Vec::new()),
        _ => digests(source, &cuts),
    };
    let fingerprint = Fingerprint { digest: whole, lead };
    // What one path gave up half-way a copy under another may have completed.
    let is_completed = |n: usize| {
        let is_end = |later: usize| {
            let later = &sections[later];
            later.tail.is_some() && later.head.blake3 == sections[n].head.blake3
        };
        let open = sections[n].tail.is_none();
        open && (n + 1..sections.len()).any(|later| is_end(later) && manifest::follows(sections, later, n))
    };
    // Mailboxes that are or were the same go on each with its own. Else the newest word counts.
    let choose = |n: &usize| (is_own(*n) && !is_completed(*n), *n);
    let is_free = |n: &usize| sections[*n].tail.is_some() || taken.iter().all(|t| t.section() != Some(*n));
    let is_same = |n: &usize| {
        let is_equal = sections[*n].head.size == size && sections[*n].head.blake3 == whole;
        is_file(n) && is_equal && is_free(n) && !is_others(*n)
    };
    let same = (0..sections.len()).filter(is_same).max_by_key(choose);
    let is_grown = |(n, digest): (&usize, Digest)| (sections[*n].head.blake3 == digest).then_some(*n);
    let grown = shorter.iter().zip(at_cuts).filter_map(is_grown).max_by_key(choose);
    let found = match (same, grown) {
        (Some(n), _) if sections[n].tail.is_some() => Some(Identity::Same(n)),
        (Some(n), _) => Some(Identity::Unfinished(n)),
        (None, Some(n)) => Some(Identity::Grown(n)),
        (None, None) => None,
    };
    if let Some((n, found)) = found.and_then(|found| Some((found.section()?, found))) {
        // What its path holds now is an earlier state of it, or goes on from one: it follows the newest
        // one all the same, so that the sections of a source make one line and the last one counts.
        let newer = (n + 1..sections.len())
            .rev()
            .find(|&later| is_own(later) && manifest::follows(sections, later, n));
        return Ok((newer.map_or(found, Identity::Rewritten), fingerprint));
    }
    let Some(path) = path.filter(|_| !new_source) else { return Ok((Identity::New, fingerprint)) };
    match (0..sections.len()).rev().find(|&n| is_own(n) && is_file(&n)) {
        None => Ok((Identity::New, fingerprint)),
        // An emptied mailbox has no beginning that could be another.
        Some(n) if size == 0 || begins_alike(&n) => Ok((Identity::Rewritten(n), fingerprint)),
        Some(_) => Err(Error::Destination {
            path: path.to_owned(),
            reason:
                "was converted into this Maildir before and begins otherwise now; if it is another mailbox, \
                     say so with --new-source"
                    .into(),
        }),
    }
}

fn names(section: &Outline<'_>, path: &Path) -> bool {
    section.head.source.0 == path.as_os_str().as_bytes()
}

/// BLAKE3 of all of a source.
pub fn hash_source(source: &Source) -> Digest {
    source.initial_hash().map_or_else(|| digests(source, &[]).0, Digest::from)
}

/// BLAKE3 of all of a source, and of its beginnings up to each of `cuts`.
fn digests(source: &Source, cuts: &[u64]) -> (Digest, Vec<Digest>) {
    const WINDOW: usize = 16 << 20;
    let raw = source.raw();
    let mut order: Vec<usize> = (0..cuts.len()).collect();
    order.sort_by_key(|&n| cuts[n]);
    let mut at_cuts = vec![Digest([0; 32]); cuts.len()];
    let mut hasher = blake3::Hasher::new();
    let mut at = 0;
    let mut advance = |hasher: &mut blake3::Hasher, until: usize| {
        while at < until {
            let end = (at + WINDOW).min(until);
            match raw.len() {
                ..MIN_PARALLEL => hasher.update(&raw[at..end]),
                _ => hasher.update_rayon(&raw[at..end]),
            };
            source.release(at..end);
            at = end;
        }
    };
    for n in order {
        advance(&mut hasher, cuts[n] as usize);
        at_cuts[n] = hasher.finalize().into();
    }
    advance(&mut hasher, raw.len());
    (hasher.finalize().into(), at_cuts)
}
