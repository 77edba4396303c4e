//! One source, planned, with all that is written from it: messages and the lines that tell of them.

use std::ffi::OsString;

use crate::convert::Options;
use crate::convert::keywords::KeywordLetters;
use crate::convert::labels::LabelFolders;
use crate::convert::plan;
use crate::convert::plan::{CHUNK, Disposition, Plan, PlannedMessage, RenderOptions};
use crate::convert::render::{Headers, Rendered, render};
use crate::convert::section_writer::SectionWriter;
use crate::mailbox::maildir::name;
use crate::mailbox::maildir::write::{NewMessage, Subdir};
use crate::mailbox::mbox::boundary::Extent;
use crate::mailbox::mbox::read::Mbox;
use crate::mailbox::message::header;
use crate::mailbox::source::Source;

/// One source with its plan.
#[derive(Debug)]
pub struct PlannedSource<'a> {
    /// Its bytes.
    pub source: &'a Source,
    /// Its messages.
    pub mbox: &'a Mbox<'a>,
    /// What becomes of them.
    pub plan: &'a Plan,
    /// Where they go.
    pub folders: &'a LabelFolders,
    /// Makes its section; None for a source that has one, being known to the last byte, and where no
    /// manifest is kept.
    pub section: Option<SectionWriter<'a>>,
    /// The keywords of all messages, with their letters.
    pub keywords: &'a KeywordLetters<'a>,
    /// What the user wants of line ends and header.
    pub render_options: RenderOptions,
    /// The last part of new names.
    pub host: &'a str,
    /// Stands before the info.
    pub info_separator: u8,
}

/// Messages that a worker takes at once, a multiple of [`CHUNK`] from the beginning.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// Which message of the source is the first.
    pub first: usize,
    /// The messages.
    pub messages: &'a [PlannedMessage],
    /// Where they lie.
    pub extents: &'a [Extent],
}

impl Chunk<'_> {
    /// The number of the message behind the last.
    pub fn end(&self) -> usize {
        self.first + self.messages.len()
    }
}

impl<'a> PlannedSource<'a> {
    /// With nothing to record yet.
    pub fn new(
        source: &'a Source,
        mbox: &'a Mbox<'a>,
        plan: &'a Plan,
        (keywords, folders): (&'a KeywordLetters<'a>, &'a LabelFolders),
        options: &Options<'a>,
    ) -> PlannedSource<'a> {
        let Options { render: wishes, host, info_separator, .. } = *options;
        PlannedSource {
            source,
            mbox,
            plan,
            folders,
            section: None,
            keywords,
            render_options: wishes,
            host,
            info_separator,
        }
    }

    /// Its messages in chunks, in file order.
    pub fn chunks(&self) -> impl Iterator<Item = Chunk<'_>> + Send {
        let chunks = self.plan.messages.chunks(CHUNK).zip(self.mbox.messages().chunks(CHUNK)).enumerate();
        chunks.map(|(n, (messages, extents))| Chunk { first: n * CHUNK, messages, extents })
    }

    /// The files of a chunk, whether or not they are to be written.
    pub fn render(&self, chunk: Chunk<'a>) -> Vec<(&'a PlannedMessage, Rendered<'a>)> {
        let render = |(planned, extent): (&'a PlannedMessage, &'a Extent)| {
            let message = extent.message(self.mbox.text());
            // What was looked through once and had nothing to change is not looked through again.
            let is_file =
                planned.quotes == 0 && planned.eols == 0 && self.render_options.headers == Headers::Keep;
            let rendered = match is_file {
                true => Rendered::unchanged(message),
                false => {
                    let wishes = (self.render_options.eol, self.render_options.headers);
                    render(message, &header::split(message), self.mbox.variant.quoting(), wishes)
                }
            };
            (planned, rendered)
        };
        chunk.messages.iter().zip(chunk.extents).map(render).collect()
    }

    /// The lines of a chunk; none where nothing is recorded.
    pub fn manifest_lines(&self, chunk: Chunk<'_>, rendered: &[(&PlannedMessage, Rendered<'_>)]) -> Vec<u8> {
        let Some(recorder) = &self.section else { return Vec::new() };
        let mut lines = Vec::with_capacity(chunk.messages.len() * 300);
        for (n, (planned, rendered)) in rendered.iter().enumerate() {
            recorder.message_lines(chunk.first + n, rendered, &planned.base_name(self.host), &mut lines);
        }
        lines
    }

    /// Says that the bytes of a chunk are not needed soon.
    pub fn release(&self, chunk: Chunk<'_>) {
        self.source.release(plan::span(chunk.extents));
    }

    /// In which of the two directories of its folders a message is, and its whole name.
    pub fn final_name(&self, planned: &PlannedMessage) -> (Subdir, OsString) {
        self.place_of(planned, &planned.base_name(self.host))
    }

    fn place_of(&self, planned: &PlannedMessage, base: &[u8]) -> (Subdir, OsString) {
        if planned.status.belongs_in_cur() {
            let letters = self.keywords.letters(planned);
            (Subdir::Cur, name::with_info(base, self.info_separator, planned.status.flags, letters))
        } else {
            (Subdir::New, name::bare(base))
        }
    }

    /// A message on its way in; None if it is not to be written.
    pub fn new_message<'b>(
        &self,
        planned: &'b PlannedMessage,
        rendered: &'b Rendered<'_>,
    ) -> Option<NewMessage<'b>> {
        if planned.disposition != Disposition::Write {
            return None;
        }
        let there = planned.placement().and_then(|filed| filed.existing.as_deref());
        let base = planned.base_name(self.host);
        let (place, name) = self.place_of(planned, &base);
        let pieces = rendered.pieces.iter().map(|p| &p[..]).collect();
        Some(NewMessage {
            folders: planned.missing_folders(),
            subdir: place,
            base,
            name,
            pieces,
            mtime: planned.epoch,
            existing: there,
        })
    }
}
