//! The manifest's section of one mbox, line by line as its messages are written.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;

use data_encoding::BASE64;

use super::counts::byte_counts;
use super::dedupe::content_digest;
use super::planned::Disposition;
use super::{CheckedChunk, Fingerprint, PlannedMessage, PlannedSource, Rendered, SectionSource, StagedFile};
use crate::mailbox::maildir::{MaildirWriter, MessagePath, NewMessage};
use crate::mailbox::manifest::{
    self, Bytes, Digest, Gap, LEAD, MessageRecord, SectionFooter, SectionHeader, UnselectedRange,
};
use crate::mailbox::mbox::Extent;
use crate::mailbox::{Error, Result};

/// A source whose messages are written, with its section.
#[derive(Debug)]
pub(crate) struct SectionWriter<'a> {
    source: PlannedSource<'a>,
    /// None if the source has a section already, or no manifest is kept.
    header: Option<SectionHeader>,
}

/// The lines of a chunk.
#[derive(Debug)]
pub(crate) struct ChunkLines {
    n: usize,
    lines: Vec<u8>,
}

impl<'a> SectionWriter<'a> {
    /// Records nothing.
    pub(crate) fn unrecorded(source: PlannedSource<'a>) -> SectionWriter<'a> {
        SectionWriter { source, header: None }
    }

    /// Records a source. `name` is its path as the user gave it, and `options` the header with the options of the run.
    pub(crate) fn recorded(
        source: PlannedSource<'a>,
        name: &[u8],
        fingerprint: Fingerprint,
        options: SectionHeader,
    ) -> SectionWriter<'a> {
        let raw = source.source.raw();
        let header = SectionHeader {
            section: manifest::VERSION,
            program: concat!("mailferry ", env!("CARGO_PKG_VERSION")).into(),
            source: Bytes(name.to_vec()),
            size: raw.len() as u64,
            blake3: fingerprint.digest,
            lead: (raw.len() as u64).min(LEAD),
            lead_blake3: fingerprint.lead,
            variant: source.mbox.variant.name().into(),
            evidence: source.mbox.evidence.clone(),
            separator: Bytes(usual_separator(raw, source.mbox.messages())),
            cr_only: source.source.is_cr_only(),
            ..options
        };
        SectionWriter { source, header: Some(header) }
    }

    pub(crate) fn is_recorded(&self) -> bool {
        self.header.is_some()
    }

    /// Sets the section, from 1, that records an earlier state of the source.
    pub(crate) fn set_follows(&mut self, follows: Option<usize>) {
        if let Some(header) = &mut self.header {
            header.follows = follows;
        }
    }

    /// Sets the hashes of the lists of UIDs.
    pub(crate) fn set_uid_lists(&mut self, lists: &BTreeMap<String, Digest>) {
        if let Some(header) = &mut self.header {
            header.uid_lists = lists.clone();
        }
    }

    /// Sets the last hash before the section.
    pub(crate) fn set_previous(&mut self, previous: Option<Digest>) {
        if let Some(header) = &mut self.header {
            header.previous = previous;
        }
    }

    /// Sets the path of the folder below the root of its tree.
    pub(crate) fn set_folder(&mut self, folder: Option<&Path>) {
        if let Some(header) = &mut self.header {
            header.folder = folder.map(Bytes::of_path);
        }
    }

    /// Returns the lines of a chunk; none if nothing is recorded.
    fn chunk_lines(&self, n: usize, rendered: &[Rendered<'_>]) -> Vec<u8> {
        let Some(header) = &self.header else { return Vec::new() };
        let chunk = self.source.chunk(n);
        let mut lines = Lines::new(self.source, header, rendered.len() * 300);
        for (at, rendered) in (chunk.first..).zip(rendered) {
            lines.message(at, rendered);
        }
        lines.end_unselected();
        lines.out
    }

    fn new_messages<'b>(&self, chunk: usize, rendered: &'b [Rendered<'_>]) -> Vec<NewMessage<'b>>
    where
        'a: 'b,
    {
        let messages = self.source.chunk(chunk).messages.iter().zip(rendered);
        messages.filter_map(|(planned, rendered)| self.source.new_message(planned, rendered)).collect()
    }

    /// Returns the files of a message; None if one of them is not there.
    fn staged_files(
        &self,
        planned: &PlannedMessage,
        writer: &MaildirWriter,
    ) -> Result<Option<Vec<StagedFile>>> {
        let (subdir, base) = (self.source.subdir(planned), self.source.base_name(planned));
        let file = |&folder| {
            let name = self.source.final_name(planned, &base, folder);
            let is_there = writer.has_message(MessagePath { folder, subdir, name: &name }, planned.size)?;
            Ok(is_there.then_some(StagedFile { folder, subdir, name }))
        };
        planned.folders().iter().map(file).collect()
    }
}

impl SectionSource for SectionWriter<'_> {
    type Chunk = ChunkLines;

    fn header(&self) -> Option<Vec<u8>> {
        self.header.as_ref().map(manifest::to_line)
    }

    fn chunk_count(&self) -> usize {
        self.source.chunk_count()
    }

    fn chunk_size(&self, n: usize) -> (u64, u64) {
        let messages = self.source.chunk(n).messages;
        (messages.iter().map(|m| m.size).sum(), messages.len() as u64)
    }

    fn write_chunk(&self, n: usize, writer: &MaildirWriter, recorded: bool) -> Result<ChunkLines> {
        let rendered = self.source.render(self.source.chunk(n));
        writer.stage(&self.new_messages(n, &rendered))?;
        let lines = if recorded { self.chunk_lines(n, &rendered) } else { Vec::new() };
        Ok(ChunkLines { n, lines })
    }

    fn check_chunk(
        &self,
        n: usize,
        writer: Option<&MaildirWriter>,
    ) -> Result<Option<CheckedChunk<ChunkLines>>> {
        let chunk = self.source.chunk(n);
        let lines = self.chunk_lines(n, &self.source.render(chunk));
        let (mut files, mut staged) = (Vec::new(), 0);
        if let Some(writer) = writer {
            for planned in chunk.messages.iter().filter(|m| m.disposition == Disposition::Write) {
                let Some(of_message) = self.staged_files(planned, writer)? else { return Ok(None) };
                files.extend(of_message);
                staged += 1;
            }
        }
        let chunk_lines = ChunkLines { n, lines };
        Ok(Some(CheckedChunk { chunk: chunk_lines, messages: chunk.messages.len(), staged, files }))
    }

    fn lines<'c>(&self, chunk: &'c ChunkLines) -> Cow<'c, [u8]> {
        Cow::Borrowed(&chunk.lines)
    }

    fn finish_chunk(&self, chunk: ChunkLines) {
        self.source.release(chunk.n);
    }

    fn final_lines(&self) -> Vec<u8> {
        let Some(header) = &self.header else { return Vec::new() };
        let mut lines = Lines::new(self.source, header, 0);
        lines.gap_before(self.source.plan.messages.len());
        lines.out
    }

    fn footer(&self) -> SectionFooter {
        let PlannedSource { mbox, plan, .. } = self.source;
        SectionFooter {
            closes: 0,
            messages: plan.messages.len() as u64,
            mail: plan.messages.iter().filter(|m| m.disposition.is_mail()).count() as u64,
            not_selected: plan.not_selected(),
            bytes: byte_counts(mbox, &plan.messages),
            end: Digest([0; 32]),
        }
    }

    fn mtime(&self) -> Option<i64> {
        self.source.source.mtime()
    }

    fn check_unchanged(&self) -> Result<()> {
        self.source.source.check_unchanged()
    }

    /// The kernel reports a bad address if another program has truncated the source: its bytes are not in our
    /// mapping any more. The error must name the source and not the destination.
    fn blame(&self, error: Error) -> Error {
        match &error {
            Error::Io { source: cause, .. } if cause.raw_os_error() == Some(libc::EFAULT) => {
                self.check_unchanged().err().unwrap_or(error)
            }
            _ => error,
        }
    }
}

/// Lines of a section.
struct Lines<'a> {
    source: PlannedSource<'a>,
    header: &'a SectionHeader,
    out: Vec<u8>,
    /// The last messages, if they are not selected.
    unselected: Range<usize>,
}

impl<'a> Lines<'a> {
    fn new(source: PlannedSource<'a>, header: &'a SectionHeader, capacity: usize) -> Lines<'a> {
        Lines { source, header, out: Vec::with_capacity(capacity), unselected: 0..0 }
    }

    /// Adds the line of message `n`, with that of the gap before it.
    fn message(&mut self, n: usize, rendered: &Rendered<'_>) {
        let extent = &self.source.mbox.messages()[n];
        let planned = &self.source.plan.messages[n];
        if planned.disposition != Disposition::NotSelected {
            self.end_unselected();
        }
        if self.unselected.is_empty() {
            self.gap_before(n);
        }
        let kind = match planned.disposition {
            Disposition::Pseudo => "pseudo",
            Disposition::Deleted => "skipped",
            Disposition::NotSelected => {
                let first = if self.unselected.is_empty() { n } else { self.unselected.start };
                self.unselected = first..n + 1;
                return;
            }
            Disposition::Write | Disposition::Present | Disposition::Duplicate => {
                return self.push(&self.record(planned, extent, rendered));
            }
        };
        let (at, end) = (extent.at, extent.end);
        self.push(&Gap::new(kind, at, &self.source.source.raw()[at as usize..end as usize]));
    }

    /// Adds the line of the last messages, if they are not selected.
    fn end_unselected(&mut self) {
        let run = std::mem::take(&mut self.unselected);
        let extents = &self.source.mbox.messages()[run];
        let (Some(first), Some(last)) = (extents.first(), extents.last()) else { return };
        let bytes = &self.source.source.raw()[first.at as usize..last.end as usize];
        self.push(&UnselectedRange {
            unselected: extents.len() as u64,
            at: first.at,
            len: bytes.len() as u64,
            source: Digest::of(bytes),
        });
    }

    /// Adds the line of the bytes before message `n`, or after the last message, unless they are the usual
    /// separator between two messages.
    fn gap_before(&mut self, n: usize) {
        let (raw, extents) = (self.source.source.raw(), self.source.mbox.messages());
        let from = n.checked_sub(1).map_or(0, |n| extents[n].end);
        let to = extents.get(n).map_or(raw.len() as u64, |extent| extent.at);
        let bytes = &raw[from as usize..to as usize];
        let is_usual = n > 0 && bytes == self.header.separator.0;
        if !is_usual && !bytes.is_empty() {
            let is_junk = self.source.mbox.boundaries.junk.iter().any(|j| j.start < to && from < j.end);
            self.push(&Gap::new(if is_junk { "junk" } else { "separator" }, from, bytes));
        }
    }

    fn push(&mut self, line: &impl serde::Serialize) {
        // None of the types can fail to be written into memory.
        let written = serde_json::to_writer(&mut self.out, line);
        debug_assert!(written.is_ok());
        self.out.push(b'\n');
    }

    fn record(&self, planned: &PlannedMessage, extent: &Extent, rendered: &Rendered<'_>) -> MessageRecord {
        let raw = extent.message(self.source.source.raw());
        let source = planned.source;
        let is_source = rendered.is_unchanged() && !self.header.cr_only;
        let rendering = if is_source { source } else { rendered.digest() };
        let file = planned.existing_name().and_then(|name| name.file).unwrap_or(rendering);
        let rebuilt = file == rendering;
        let (keywords, unlettered) = self.source.run.keywords.names(planned);
        let folders = planned.placement().map_or(&[][..], |placement| &placement.folders);
        MessageRecord {
            at: extent.start,
            len: extent.end - extent.start,
            from: Bytes(extent.separator_lines(self.source.source.raw()).to_vec()),
            name: Bytes(self.source.base_name(planned)),
            source,
            file: (file != source).then_some(file),
            content: planned.has_volatile_fields.then(|| content_digest(raw)).flatten(),
            quotes: if rebuilt { self.quotes(planned, extent) } else { Vec::new() },
            eols: if rebuilt { rendered.eol_runs.clone() } else { Vec::new() },
            stripped: if rebuilt { stripped(rendered) } else { Vec::new() },
            date: planned.origin.name().into(),
            flags: planned.status.flags.to_string(),
            keywords,
            unlettered,
            folders: folders.iter().map(|&f| self.source.run.folders.levels(f).to_vec()).collect(),
            duplicate: planned.disposition == Disposition::Duplicate,
            verbatim: (!rebuilt).then(|| BASE64.encode(raw)),
            original: None,
        }
    }

    /// Returns the distances between the quoting `>` that were removed.
    fn quotes(&self, planned: &PlannedMessage, extent: &Extent) -> Vec<u64> {
        if planned.quotes == 0 {
            return Vec::new();
        }
        let mut last = 0;
        let offsets = self.source.mbox.quote_offsets(extent);
        offsets.map(|at| at as u64 - std::mem::replace(&mut last, at as u64)).collect()
    }
}

fn stripped(rendered: &Rendered<'_>) -> Vec<(u64, Bytes)> {
    rendered.stripped.iter().map(|(at, field)| (*at as u64, Bytes(field.to_vec()))).collect()
}

/// Returns the most frequent separator between the first messages.
fn usual_separator(raw: &[u8], extents: &[Extent]) -> Vec<u8> {
    let mut counts = HashMap::<&[u8], usize>::new();
    for pair in extents.windows(2).take(64) {
        *counts.entry(&raw[pair[0].end as usize..pair[1].at as usize]).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|&(bytes, n)| (n, std::cmp::Reverse(bytes)));
    most.map_or_else(|| b"\n".to_vec(), |(bytes, _)| bytes.to_vec())
}
