//! The section of the source that is restored.

use std::path::Path;

use super::options::SourceSelector;
use crate::mailbox::manifest::{self, Manifest, Outline};
use crate::mailbox::{Error, Result, display_path};

/// Chooses the section of a source. One that grew or was rewritten has older sections, which do not count.
pub(super) fn choose<'a, 'b>(
    manifest: &'b Manifest<'a>,
    selector: Option<&SourceSelector>,
    path: &Path,
) -> Result<&'b Outline<'a>> {
    let outlines = &manifest.sections;
    let superseded = manifest.superseded(|header| header.source.clone());
    // A copy under another path may have completed what this one left unfinished.
    let completed = manifest.superseded(|header| header.blake3);
    let is_superseded = |n: usize| superseded[n] || outlines[n].footer.is_none() && completed[n];
    let newest: Vec<&Outline<'_>> =
        (0..outlines.len()).filter(|&n| !is_superseded(n)).map(|n| &outlines[n]).collect();
    let refuse = |reason: String| Error::destination(path, reason);
    let names = || {
        let names =
            newest.iter().enumerate().map(|(n, o)| format!("{} {}", n + 1, o.header.source.escaped()));
        names.collect::<Vec<_>>().join(", ")
    };
    if newest.is_empty() {
        return Err(refuse("has no source of its own; name the folder that has it".to_owned()));
    }
    let chosen = match selector {
        None if newest.iter().all(|o| o.header.is_maildir()) => newest[0],
        // The last state of the only path counts.
        None if newest.iter().all(|o| o.header.source == newest[0].header.source) => newest[newest.len() - 1],
        None => {
            return Err(refuse(format!(
                "has {} sources; choose one with --source: {}",
                newest.len(),
                names()
            )));
        }
        Some(SourceSelector::Number(n)) => match n.checked_sub(1).and_then(|n| newest.get(n)) {
            Some(outline) => outline,
            None => return Err(refuse(format!("has no source number {n}: {}", names()))),
        },
        Some(SourceSelector::Path(path)) => {
            let name = manifest::source_name(path);
            let is_end = |o: &&&Outline<'_>| manifest::is_end_of_name(path, o.header.source.to_path());
            let same = newest.iter().rev().find(|o| o.header.source.is_path(&name)).or_else(|| {
                let mut ends = newest.iter().rev().filter(is_end);
                let last = ends.next()?;
                ends.all(|o| o.header.source == last.header.source).then_some(last)
            });
            same.ok_or_else(|| refuse(format!("has no source {}: {}", display_path(path), names())))?
        }
    };
    if chosen.header.is_maildir() {
        let source = chosen.header.source.escaped();
        return Err(refuse(format!("{source} was a Maildir; to copy it, run convert {source} maildir:DIR")));
    }
    if chosen.footer.is_none() {
        // A footer that was changed is an error of its own, not an unfinished run.
        chosen.read()?;
        let source = chosen.header.source.escaped();
        return Err(refuse(format!("the conversion of {source} was not finished; run it again first")));
    }
    Ok(chosen)
}
