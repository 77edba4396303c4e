//! One mbox with its plan: the files of its messages, and their names.

use std::ffi::OsString;

use super::plan::CHUNK;
use super::planned::Disposition;
use super::render::render;
use super::{FolderIndex, KeywordLetters, LabelFolders, Plan, PlannedMessage, RenderOptions, Rendered};
use crate::mailbox::maildir::{NewMessage, Subdir, name};
use crate::mailbox::mbox::{Extent, Mbox};
use crate::mailbox::message::{Headers, header};
use crate::mailbox::source::Source;

/// One mbox with its plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlannedSource<'a> {
    pub(crate) source: &'a Source,
    pub(crate) mbox: &'a Mbox<'a>,
    pub(crate) plan: &'a Plan,
    pub(crate) run: RunOptions<'a>,
}

/// Options and tables that all sources of a run share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunOptions<'a> {
    pub(crate) render: RenderOptions,
    /// The folders of all messages.
    pub(crate) folders: &'a LabelFolders,
    /// The keywords of all messages, with their letters.
    pub(crate) keywords: &'a KeywordLetters<'a>,
    /// The last part of new names.
    pub(crate) host: &'a str,
    /// The separator between base name and info.
    pub(crate) info_separator: u8,
}

/// Messages that a worker takes at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunk<'a> {
    /// The number of the first message.
    pub(crate) first: usize,
    pub(crate) messages: &'a [PlannedMessage],
    pub(crate) extents: &'a [Extent],
}

impl<'a> PlannedSource<'a> {
    pub(crate) fn chunk_count(&self) -> usize {
        self.plan.messages.len().div_ceil(CHUNK)
    }

    pub(crate) fn chunk(&self, n: usize) -> Chunk<'a> {
        let first = n * CHUNK;
        let range = first..self.plan.messages.len().min(first + CHUNK);
        Chunk { first, messages: &self.plan.messages[range.clone()], extents: &self.mbox.messages()[range] }
    }

    /// Renders the files of a chunk, even of messages that are not written.
    pub(crate) fn render(&self, chunk: Chunk<'a>) -> Vec<Rendered<'a>> {
        let options = self.run.render;
        let render = |(planned, extent): (&'a PlannedMessage, &'a Extent)| {
            let message = extent.message(self.mbox.text());
            // Planning has found nothing to change.
            let is_left_out = planned.disposition == Disposition::NotSelected;
            if is_left_out || planned.quotes == 0 && planned.eols == 0 && options.headers == Headers::Keep {
                return Rendered::unchanged(message);
            }
            render(message, &header::split(message), self.mbox.variant.quoting(), options)
        };
        chunk.messages.iter().zip(chunk.extents).map(render).collect()
    }

    /// Tells the system that the bytes of a chunk are not needed soon.
    pub(crate) fn release(&self, n: usize) {
        self.source.release(Extent::span(self.chunk(n).extents));
    }

    pub(crate) fn base_name(&self, planned: &PlannedMessage) -> Vec<u8> {
        planned.base_name(self.run.host)
    }

    /// Returns the directory of a message in each of its folders.
    pub(crate) fn subdir(&self, planned: &PlannedMessage) -> Subdir {
        if planned.status.belongs_in_cur() { Subdir::Cur } else { Subdir::New }
    }

    /// Returns the complete name of a message in one of its folders. `base` is its base name.
    pub(crate) fn final_name(&self, planned: &PlannedMessage, base: &[u8], folder: FolderIndex) -> OsString {
        match self.subdir(planned) {
            Subdir::New => name::bare(base),
            Subdir::Cur => {
                let letters = self.run.keywords.letters(planned, folder);
                name::with_info(base, self.run.info_separator, planned.status.flags, letters)
            }
        }
    }

    /// Returns a message as the writer takes it; None if it is not written.
    pub(crate) fn new_message<'b>(
        &self,
        planned: &'b PlannedMessage,
        rendered: &'b Rendered<'_>,
    ) -> Option<NewMessage<'b>> {
        if planned.disposition != Disposition::Write {
            return None;
        }
        let existing = planned.placement().and_then(|placement| placement.existing.as_deref());
        let base = self.base_name(planned);
        let (folders, mtime) = (planned.missing_folders(), planned.epoch);
        let (&first, further) = folders.split_first()?;
        let name = self.final_name(planned, &base, first);
        let further_names = further.iter().map(|&folder| self.final_name(planned, &base, folder)).collect();
        let (subdir, content) = (self.subdir(planned), rendered.content());
        Some(NewMessage { folders, subdir, base, name, further_names, content, mtime, existing })
    }
}
