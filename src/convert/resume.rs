//! How far a killed run had come: as far as its manifest says what this run would say.
//!
//! Nothing in it is trusted without a comparison. Each line is made again from the source and must equal the
//! one in the manifest. So it does not matter what has changed since, the source, the options or the program:
//! what differs is not continued.

use std::collections::HashSet;
use std::ffi::OsString;

use rayon::prelude::*;

use super::{SectionSource, StagedFile};
use crate::mailbox::maildir::{Leftover, MaildirWriter, Subdir};
use crate::mailbox::manifest::ManifestLocation;
use crate::mailbox::text::grouped_plural;
use crate::mailbox::{Code, Finding, Result};

/// The part of one source that need not be written again.
#[derive(Debug, Clone, Default)]
pub(crate) struct SectionProgress {
    /// Hash of the lines that the manifest has.
    pub(crate) hash: blake3::Hasher,
    /// The header is among them.
    pub(crate) has_header: bool,
    /// The chunks whose lines are among them.
    pub(crate) chunks: usize,
    /// Messages of these chunks.
    pub(crate) messages: usize,
    /// The lines after the last chunk are among them.
    pub(crate) is_complete: bool,
}

/// The point where this run continues.
#[derive(Debug)]
pub(crate) struct ResumePoint {
    /// One for each source.
    pub(crate) progress: Vec<SectionProgress>,
    /// The files of these messages exist; else only their lines do.
    pub(crate) has_files: bool,
    /// The number of sections before those of these sources.
    pub(crate) sections: usize,
    /// The offset of new lines in the manifest.
    pub(crate) end: u64,
}

impl ResumePoint {
    /// Returns the start of `sources` new sections at offset `end`.
    pub(crate) fn new_sections(sources: usize, sections: usize, end: u64) -> ResumePoint {
        ResumePoint { progress: vec![SectionProgress::default(); sources], has_files: false, sections, end }
    }

    /// Returns the finding about what an earlier run left.
    pub(crate) fn finding(&self, leftover: &Leftover) -> Option<Finding> {
        let kept: usize = self.progress.iter().map(|progress| progress.messages).sum();
        match leftover {
            Leftover::Nothing => None,
            Leftover::Stage(_) if kept > 0 => {
                let kept = grouped_plural(kept as u64, "message");
                let message = format!("completing a run that was killed; already safe: {kept}");
                Some(Finding::new(Code::SourceResumed, message))
            }
            Leftover::Stage(_) | Leftover::Removed => {
                let message = "an unfinished conversion of an earlier run was removed";
                Some(Finding::new(Code::StageRemoved, message))
            }
        }
    }
}

/// The lines of a manifest that this run would write, too.
#[derive(Debug, Default)]
pub(crate) struct MatchedLines {
    /// One for each source.
    pub(crate) progress: Vec<SectionProgress>,
    /// The length of these lines.
    pub(crate) bytes: usize,
    /// The manifest has no other lines: a run killed a little later would have written more of the same.
    pub(crate) is_prefix: bool,
    /// The files of the messages.
    files: Vec<StagedFile>,
    /// How many messages have files.
    staged: u64,
}

/// Compares `text`, the lines of the sections of these sources, with what this run would write. With a
/// `writer`, a line counts only if it has the files of the message.
pub(crate) fn match_lines<S: SectionSource>(
    text: &[u8],
    sources: &[S],
    writer: Option<&MaildirWriter>,
) -> Result<MatchedLines> {
    let progress = vec![SectionProgress::default(); sources.len()];
    let mut matched = MatchedLines { progress, ..MatchedLines::default() };
    for (n, source) in sources.iter().enumerate() {
        let Some(header) = source.header() else { continue };
        let mut rest = Remainder { text: &text[matched.bytes..], differs: false };
        let mut progress = SectionProgress::default();
        progress.has_header = rest.strip(&header, &mut progress);
        if progress.has_header && matched.match_chunks(&mut rest, source, &mut progress, writer)? {
            progress.is_complete = rest.strip(&source.final_lines(), &mut progress);
        }
        matched.bytes = text.len() - rest.text.len();
        let is_complete = progress.is_complete;
        matched.progress[n] = progress;
        if !is_complete {
            matched.is_prefix = !rest.differs;
            return Ok(matched);
        }
    }
    // After the last line there may be footers.
    matched.is_prefix =
        text[matched.bytes..].split_inclusive(|&b| b == b'\n').all(|l| l.starts_with(b"{\"closes\":"));
    Ok(matched)
}

impl MatchedLines {
    /// Compares chunk after chunk; returns false if one differs.
    fn match_chunks<S: SectionSource>(
        &mut self,
        rest: &mut Remainder<'_>,
        source: &S,
        progress: &mut SectionProgress,
        writer: Option<&MaildirWriter>,
    ) -> Result<bool> {
        /// Chunks made before the first of them is compared: few, since most of them may be in vain.
        const AHEAD: usize = 64;
        let count = source.chunk_count();
        for first in (0..count).step_by(AHEAD) {
            let group = first..count.min(first + AHEAD);
            let checked = group.into_par_iter().map(|n| source.check_chunk(n, writer));
            for checked in checked.collect::<Result<Vec<_>>>()? {
                let Some(checked) = checked else { return Ok(false) };
                if !rest.strip(&source.lines(&checked.chunk), progress) {
                    return Ok(false);
                }
                source.finish_chunk(checked.chunk);
                progress.chunks += 1;
                progress.messages += checked.messages;
                self.staged += checked.staged;
                self.files.extend(checked.files);
            }
        }
        Ok(true)
    }

    fn files_by_folder(&mut self, folders: usize) -> Vec<HashSet<(Subdir, OsString)>> {
        let mut by_folder = vec![HashSet::new(); folders];
        for StagedFile { folder, subdir, name } in self.files.drain(..) {
            by_folder[folder as usize].insert((subdir, name));
        }
        by_folder
    }
}

/// The lines that are not compared yet.
struct Remainder<'a> {
    text: &'a [u8],
    differs: bool,
}

impl Remainder<'_> {
    /// Strips these lines if they are next. Lines that are cut off do not differ.
    fn strip(&mut self, lines: &[u8], progress: &mut SectionProgress) -> bool {
        match self.text.strip_prefix(lines) {
            Some(rest) => {
                self.text = rest;
                progress.hash.update(lines);
                true
            }
            None => {
                self.differs = !lines.starts_with(self.text);
                false
            }
        }
    }
}

/// Adopts the stage of a killed run. What its manifest, `text`, lists is kept as far as this run would write
/// the same, in one of so many `folders`. Everything else is removed.
pub(crate) fn adopt_stage<S: SectionSource>(
    writer: &MaildirWriter,
    text: &[u8],
    sources: &[S],
    folders: usize,
) -> Result<ResumePoint> {
    let mut matched = match_lines(text, sources, Some(writer))?;
    let end = matched.bytes as u64;
    // First the list, then what it lists: a message that is listed must not be removed and written again.
    if let Some(mut manifest) = ManifestLocation::InMaildir.open(writer.root(), end)? {
        manifest.commit();
    }
    writer.retain(&matched.files_by_folder(folders), matched.staged)?;
    Ok(ResumePoint { progress: matched.progress, has_files: true, sections: 0, end })
}
