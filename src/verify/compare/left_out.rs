//! Messages that a conversion left out on request, as the manifests of the Maildirs say.

use std::collections::HashMap;

use super::both::Both;
use super::side::{Location, Side};
use crate::mailbox::Result;
use crate::mailbox::maildir::{Entry, MaildirReader};
use crate::mailbox::manifest::{
    Digest, Manifest, ManifestLocation, SectionHeader, UnselectedRange, source_name,
};
use crate::mailbox::mbox::Extent;

/// Messages that conversions into the Maildirs of a side left out.
#[derive(Default)]
struct LeftOut {
    /// The duplicates, with the number of each, by the hash in the source.
    duplicates: HashMap<Digest, u64>,
    /// The messages of mboxes that were not selected.
    unselected: Vec<UnselectedRange>,
    /// The conversions of Maildirs.
    maildirs: Vec<SectionHeader>,
}

impl LeftOut {
    /// Reads the manifests of the Maildirs. Verify without --against reports their damage.
    fn read(side: &Side<'_>) -> LeftOut {
        let mut left_out = LeftOut::default();
        for part in &side.0 {
            let Location::Maildir { path, .. } = &part.location else { continue };
            let Ok(Some(file)) = ManifestLocation::InMaildir.read(path) else { continue };
            if let Ok(manifest) = file.parse() {
                left_out.add(&manifest);
            }
        }
        left_out
    }

    fn add(&mut self, manifest: &Manifest<'_>) {
        let superseded = manifest.superseded(|_| ());
        for (section, superseded) in manifest.sections.iter().zip(superseded) {
            if section.header.is_maildir() {
                self.maildirs.extend(section.footer.is_some().then(|| section.header.clone()));
            } else if !superseded {
                for digest in section.duplicates() {
                    *self.duplicates.entry(digest).or_default() += 1;
                }
                let partial = section.is_partial().then(|| section.read().ok()).flatten();
                self.unselected.extend(partial.into_iter().flat_map(|section| section.unselected));
            }
        }
        self.unselected.sort_unstable_by_key(|range| range.at);
    }

    fn take_duplicate(&mut self, raw: &[u8]) -> bool {
        if self.duplicates.is_empty() {
            return false;
        }
        match self.duplicates.get_mut(&Digest::of(raw)) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }

    /// Reports whether a message of an mbox is in a range that was not selected, and that is unchanged.
    fn is_unselected(&self, extent: &Extent, raw: &[u8], checked: &mut CheckedRange) -> bool {
        let n = self.unselected.partition_point(|range| range.at <= extent.at);
        // Conversions of several sources may have left out ranges at the same place.
        let around = self.unselected[..n].iter().enumerate().rev();
        let mut around = around.take_while(|(_, range)| extent.end <= range.at.saturating_add(range.len));
        around.any(|(n, range)| checked.is_unchanged(n, range, raw))
    }

    /// Reports whether no conversion of this Maildir selected a message.
    fn is_unselected_entry(
        &self,
        reader: &MaildirReader,
        entry: &Entry,
        headers: &[&SectionHeader],
    ) -> Result<bool> {
        if headers.is_empty() {
            return Ok(false);
        }
        let date = reader.find_date(entry)?;
        Ok(date.is_ok_and(|(date, _)| headers.iter().all(|header| !header.selection.contains(date))))
    }
}

/// The last range that was compared with a source: one has many messages.
#[derive(Default)]
struct CheckedRange(Option<(usize, bool)>);

impl CheckedRange {
    fn is_unchanged(&mut self, n: usize, range: &UnselectedRange, raw: &[u8]) -> bool {
        match self.0 {
            Some((last, is_unchanged)) if last == n => is_unchanged,
            _ => {
                let is_unchanged = range.bytes_in(raw).is_some();
                self.0 = Some((n, is_unchanged));
                is_unchanged
            }
        }
    }
}

/// Counts of messages that were removed from a comparison.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct LeftOutCounts {
    pub(super) duplicates: u64,
    pub(super) not_selected: u64,
}

impl LeftOutCounts {
    pub(super) fn sum(self) -> u64 {
        self.duplicates + self.not_selected
    }
}

/// Removes messages that conversions into the other side left out.
pub(super) fn exclude(
    unmatched: &mut Both<Vec<usize>>,
    sides: &Both<Side<'_>>,
) -> Result<Both<LeftOutCounts>> {
    Ok(Both {
        here: sides.here.exclude_left_out(&mut unmatched.here, &sides.there)?,
        there: sides.there.exclude_left_out(&mut unmatched.there, &sides.here)?,
    })
}

impl Side<'_> {
    fn exclude_left_out(&self, messages: &mut Vec<usize>, other: &Side<'_>) -> Result<LeftOutCounts> {
        let mut counts = LeftOutCounts::default();
        if messages.is_empty() {
            return Ok(counts);
        }
        let mut left_out = LeftOut::read(other);
        messages.sort_unstable();
        let mut kept = Vec::with_capacity(messages.len());
        let (mut checked, mut of_part) = (CheckedRange::default(), usize::MAX);
        let mut headers: Vec<&SectionHeader> = Vec::new();
        let maildirs = std::mem::take(&mut left_out.maildirs);
        for &n in &*messages {
            let part = self.part(n);
            if of_part != part.first {
                (checked, of_part) = (CheckedRange::default(), part.first);
                headers.clear();
                if let Location::Maildir { path, .. } = &part.location {
                    let name = source_name(path);
                    headers.extend(maildirs.iter().filter(|header| header.source.is_path(&name)));
                }
            }
            match &part.location {
                Location::Mbox { source, mbox, skipped } => {
                    let extent = &mbox.messages()[n - part.first + skipped];
                    if left_out.take_duplicate(extent.message(source.raw())) {
                        counts.duplicates += 1;
                    } else if left_out.is_unselected(extent, source.raw(), &mut checked) {
                        counts.not_selected += 1;
                    } else {
                        kept.push(n);
                    }
                }
                Location::Maildir { reader, entries, .. }
                    if left_out.is_unselected_entry(reader, &entries[n - part.first], &headers)? =>
                {
                    counts.not_selected += 1;
                }
                Location::Maildir { .. } | Location::Files { .. } => kept.push(n),
            }
        }
        *messages = kept;
        Ok(counts)
    }
}
