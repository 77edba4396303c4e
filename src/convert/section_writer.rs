//! The manifest's section of one source, line by line beside the writing.

use std::collections::HashMap;

use data_encoding::BASE64;

use crate::convert::identity::Fingerprint;
use crate::convert::keywords::KeywordLetters;
use crate::convert::labels::LabelFolders;
use crate::convert::plan::{Disposition, PlannedMessage, RenderOptions, content_digest};
use crate::convert::planned_source::PlannedSource;
use crate::convert::render::Rendered;
use crate::mailbox::manifest::{
    Bytes, Digest, Gap, LEAD, MessageRecord, SectionFooter, SectionHeader, VERSION,
};
use crate::mailbox::mbox::boundary::Extent;
use crate::mailbox::mbox::read::Mbox;

/// Makes the lines of a section.
#[derive(Debug)]
pub struct SectionWriter<'a> {
    raw: &'a [u8],
    mbox: &'a Mbox<'a>,
    messages: &'a [PlannedMessage],
    extents: &'a [Extent],
    keywords: &'a KeywordLetters<'a>,
    folders: &'a LabelFolders,
    separator: Vec<u8>,
    head: SectionHeader,
}

impl<'a> SectionWriter<'a> {
    /// Of a planned source. `name` is its path as it was given, `follows` the section, from 1, that
    /// tells of it as it was.
    pub fn new(
        load: &PlannedSource<'a>,
        name: &[u8],
        fingerprint: Fingerprint,
        follows: Option<usize>,
    ) -> SectionWriter<'a> {
        let PlannedSource { source, mbox, plan, folders, keywords, render_options: wishes, .. } = *load;
        let (raw, messages, extents) = (source.raw(), &plan.messages[..], mbox.messages());
        let separator = usual_separator(raw, extents);
        let usual = RenderOptions::default();
        let head = SectionHeader {
            section: VERSION,
            program: concat!("mailferry ", env!("CARGO_PKG_VERSION")).into(),
            source: Bytes(name.to_vec()),
            size: raw.len() as u64,
            blake3: fingerprint.digest,
            lead: (raw.len() as u64).min(LEAD),
            lead_blake3: fingerprint.lead,
            follows,
            variant: mbox.variant.name().into(),
            evidence: mbox.evidence.clone(),
            separator: Bytes(separator.clone()),
            cr_only: source.is_cr_only(),
            eol: wishes.eol.name().into(),
            labels: (wishes.labels != usual.labels).then(|| wishes.labels.name().into()),
            deleted: (wishes.deleted != usual.deleted).then(|| wishes.deleted.name().into()),
            headers: (wishes.headers != usual.headers).then(|| wishes.headers.name().into()),
        };
        SectionWriter { raw, mbox, messages, extents, keywords, folders, separator, head }
    }

    /// The section's head.
    pub fn header(&self) -> &SectionHeader {
        &self.head
    }

    /// The lines of message `n`: what comes before it, and itself.
    pub fn message_lines(&self, n: usize, rendered: &Rendered<'_>, base_name: &[u8], out: &mut Vec<u8>) {
        let (planned, extent) = (&self.messages[n], &self.extents[n]);
        let before = n.checked_sub(1).map_or(0, |n| self.extents[n].end);
        self.gap(before, extent.at, n > 0, out);
        let kind = match planned.disposition {
            Disposition::Pseudo => "pseudo",
            Disposition::Deleted => "skipped",
            Disposition::Write | Disposition::Present | Disposition::Duplicate => {
                push(out, &self.message((planned, extent), rendered, base_name));
                return;
            }
        };
        let (at, end) = (extent.at, extent.end);
        push(out, &Gap::new(kind, at, &self.raw[at as usize..end as usize]));
    }

    /// The line of what comes after the last message.
    pub fn final_gap(&self, out: &mut Vec<u8>) {
        let end = self.extents.last().map_or(0, |extent| extent.end);
        self.gap(end, self.raw.len() as u64, !self.extents.is_empty(), out);
    }

    fn gap(&self, from: u64, to: u64, may_be_usual: bool, out: &mut Vec<u8>) {
        let bytes = &self.raw[from as usize..to as usize];
        let is_usual = may_be_usual && bytes == self.separator;
        if !is_usual && !bytes.is_empty() {
            let junk = self.mbox.boundaries.junk.iter().any(|j| j.start < to && from < j.end);
            push(out, &Gap::new(if junk { "junk" } else { "separator" }, from, bytes));
        }
    }

    fn message(
        &self,
        (planned, extent): (&PlannedMessage, &Extent),
        rendered: &Rendered<'_>,
        base_name: &[u8],
    ) -> MessageRecord {
        let raw = extent.message(self.raw);
        let source = Digest::of(raw);
        let is_source =
            rendered.quotes == 0 && rendered.eols == 0 && rendered.stripped.is_empty() && !self.head.cr_only;
        let rendering = if is_source { source } else { rendered.digest() };
        let file = planned.existing_name().and_then(|kept| kept.file).unwrap_or(rendering);
        let rebuilt = file == rendering;
        MessageRecord {
            at: extent.start,
            len: extent.end - extent.start,
            from: Bytes(extent.from_lines(self.raw).to_vec()),
            name: Bytes(base_name.to_vec()),
            source,
            file: (file != source).then_some(file),
            content: planned.has_volatile_fields.then(|| content_digest(raw)).flatten(),
            quotes: if rebuilt { self.quotes(planned, extent) } else { Vec::new() },
            eols: if rebuilt { rendered.eol_runs.clone() } else { Vec::new() },
            stripped: if rebuilt { stripped(rendered) } else { Vec::new() },
            date: planned.origin.name().into(),
            flags: planned.status.flags.to_string(),
            keywords: self.keywords.names(planned, true),
            unlettered: self.keywords.names(planned, false),
            folders: planned.placement().map_or_else(Vec::new, |filed| {
                filed.folders.iter().map(|&folder| self.folders.levels(folder).to_vec()).collect()
            }),
            duplicate: planned.disposition == Disposition::Duplicate,
            verbatim: (!rebuilt).then(|| BASE64.encode(raw)),
            original: None,
        }
    }

    /// Distances between the quoting `>` that were taken off.
    fn quotes(&self, planned: &PlannedMessage, extent: &Extent) -> Vec<u64> {
        if planned.quotes == 0 {
            return Vec::new();
        }
        let mut last = 0;
        let offsets = self.mbox.quote_offsets(extent);
        offsets.map(|at| at as u64 - std::mem::replace(&mut last, at as u64)).collect()
    }

    /// The section's tail.
    pub fn footer(&self) -> SectionFooter {
        let mut tail = SectionFooter {
            closes: 0,
            messages: self.messages.len() as u64,
            mail: 0,
            bytes_messages: 0,
            bytes_from_lines: 0,
            bytes_quoting: 0,
            bytes_separators: 0,
            bytes_junk: self.mbox.boundaries.junk.iter().map(|j| j.end - j.start).sum(),
            end: Digest([0; 32]),
        };
        for (PlannedMessage { quotes, disposition: fate, .. }, extent) in
            self.messages.iter().zip(self.extents)
        {
            tail.mail += u64::from(!matches!(fate, Disposition::Pseudo | Disposition::Deleted));
            tail.bytes_from_lines += extent.start - extent.at;
            tail.bytes_quoting += u64::from(*quotes);
            tail.bytes_messages += extent.end - extent.start - u64::from(*quotes);
        }
        let counted = tail.bytes_messages + tail.bytes_from_lines + tail.bytes_quoting + tail.bytes_junk;
        tail.bytes_separators = self.raw.len() as u64 - counted;
        tail
    }
}

fn stripped(rendered: &Rendered<'_>) -> Vec<(u64, Bytes)> {
    rendered.stripped.iter().map(|(at, field)| (*at as u64, Bytes(field.to_vec()))).collect()
}

fn push(out: &mut Vec<u8>, line: &impl serde::Serialize) {
    // None of our types can fail to be written into memory.
    let written = serde_json::to_writer(&mut *out, line);
    debug_assert!(written.is_ok());
    out.push(b'\n');
}

/// What stands most often between the first messages.
fn usual_separator(raw: &[u8], extents: &[Extent]) -> Vec<u8> {
    let mut counts = HashMap::<&[u8], usize>::new();
    for pair in extents.windows(2).take(64) {
        *counts.entry(&raw[pair[0].end as usize..pair[1].at as usize]).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|&(bytes, n)| (n, std::cmp::Reverse(bytes)));
    most.map_or_else(|| b"\n".to_vec(), |(bytes, _)| bytes.to_vec())
}
