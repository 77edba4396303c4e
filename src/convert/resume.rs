//! How far a run had come that was killed: as far as its manifest says what this run would say.
//!
//! Nothing of it is believed but by comparison: each line is made anew from the source and has to be the
//! one that stands. So it does not matter what has changed since, the source, the options or the program:
//! what differs is not continued.

use std::collections::HashSet;
use std::ffi::OsString;

use rayon::prelude::*;

use super::labels::FolderIndex;
use super::plan::{Disposition, PlannedMessage};
use crate::convert::planned_source::{Chunk, PlannedSource};
use crate::mailbox::error::Result;
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::maildir::write::{Leftover, MaildirWriter, Subdir};
use crate::mailbox::manifest::to_line;

/// What of one source need not be done again.
#[derive(Debug, Clone, Default)]
pub struct SourceProgress {
    /// Hash of the lines that stand.
    pub lines: blake3::Hasher,
    /// Whether the head is among them.
    pub has_header: bool,
    /// So many messages are: whole chunks.
    pub messages: usize,
    /// Whether the line behind the last message is, too.
    pub is_complete: bool,
}

/// Where this run goes on.
#[derive(Debug)]
pub struct ResumePoint {
    /// What need not be done again, a source each.
    pub done: Vec<SourceProgress>,
    /// Whether the messages of what is done are where they belong; else their lines alone are.
    pub has_files: bool,
    /// How many sections the manifest has before those of these sources.
    pub sections: usize,
    /// Where new lines go in the manifest.
    pub end: u64,
}

impl ResumePoint {
    /// What a person is told of what an earlier run left.
    pub fn finding(&self, left: &Leftover) -> Option<Finding> {
        let kept: usize = self.done.iter().map(|done| done.messages).sum();
        match left {
            Leftover::Nothing => None,
            Leftover::Stage(_) if kept > 0 => {
                let message =
                    format!("a run that was killed is being completed: {kept} messages are safe already");
                Some(Finding::new(Code::SourceResumed, message))
            }
            Leftover::Stage(_) | Leftover::Removed => {
                let message = "an unfinished conversion of an earlier run was removed";
                Some(Finding::new(Code::StageRemoved, message))
            }
        }
    }
}

/// What need not be done again.
#[derive(Debug, Default)]
pub struct MatchedLines {
    /// A source each.
    pub done: Vec<SourceProgress>,
    /// Bytes of the lines that stand.
    pub bytes: usize,
    /// Whether nothing stands there that this run would not say; a run that was killed a little later
    /// would have said more.
    pub is_prefix: bool,
}

/// Compares `text`, lines of the sections of these sources, with what this run would write. `is_safe` is
/// asked whether a message that is listed is there.
pub fn match_lines(
    text: &[u8],
    loads: &[PlannedSource<'_>],
    is_safe: &(dyn Fn(&PlannedSource<'_>, &PlannedMessage) -> Result<bool> + Sync),
) -> Result<MatchedLines> {
    let mut agreed =
        MatchedLines { done: vec![SourceProgress::default(); loads.len()], bytes: 0, is_prefix: false };
    for (load, done) in loads.iter().zip(&mut agreed.done) {
        let Some(recorder) = &load.section else { continue };
        let mut standing = Standing { rest: &text[agreed.bytes..], differs: false };
        done.has_header = standing.take(&to_line(recorder.header()), done);
        if done.has_header {
            agree_on_messages(&mut standing, load, done, is_safe)?;
        }
        if done.has_header && done.messages == load.plan.messages.len() {
            let mut last = Vec::new();
            recorder.final_gap(&mut last);
            done.is_complete = standing.take(&last, done);
        }
        agreed.bytes = text.len() - standing.rest.len();
        if !done.is_complete {
            agreed.is_prefix = !standing.differs;
            return Ok(agreed);
        }
    }
    // Behind the last line there may be tails.
    agreed.is_prefix =
        text[agreed.bytes..].split_inclusive(|&b| b == b'\n').all(|l| l.starts_with(b"{\"closes\":"));
    Ok(agreed)
}

fn agree_on_messages(
    standing: &mut Standing<'_>,
    load: &PlannedSource<'_>,
    done: &mut SourceProgress,
    is_safe: &(dyn Fn(&PlannedSource<'_>, &PlannedMessage) -> Result<bool> + Sync),
) -> Result<()> {
    /// Lines made before the first of them is compared: few, since most of them may be in vain.
    const AHEAD: usize = 64;
    let chunks: Vec<Chunk<'_>> = load.chunks().collect();
    for group in chunks.chunks(AHEAD) {
        let made: Vec<(Chunk<'_>, Vec<u8>, bool)> = group
            .par_iter()
            .map(|&chunk| {
                let lines = load.manifest_lines(chunk, &load.render(chunk));
                let mut written =
                    chunk.messages.iter().filter(|planned| planned.disposition == Disposition::Write);
                let safe = written.try_fold(true, |safe, planned| Ok(safe && is_safe(load, planned)?))?;
                Ok((chunk, lines, safe))
            })
            .collect::<Result<_>>()?;
        for (chunk, lines, safe) in made {
            load.release(chunk);
            if !safe || !standing.take(&lines, done) {
                return Ok(());
            }
            done.messages = chunk.end();
        }
    }
    Ok(())
}

/// What is left to compare.
struct Standing<'a> {
    rest: &'a [u8],
    differs: bool,
}

impl Standing<'_> {
    /// Whether these lines are the next ones. Where they are cut off nothing differs yet.
    fn take(&mut self, lines: &[u8], done: &mut SourceProgress) -> bool {
        match self.rest.strip_prefix(lines) {
            Some(rest) => {
                self.rest = rest;
                done.lines.update(lines);
                true
            }
            None => {
                self.differs = !lines.starts_with(self.rest);
                false
            }
        }
    }
}

/// Takes over what a killed run left of a new Maildir: what its manifest, `text`, lists stays as far as
/// this run would write it, all else is removed.
pub fn adopt_stage(
    filling: &MaildirWriter,
    text: &[u8],
    loads: &[PlannedSource<'_>],
) -> Result<MatchedLines> {
    let is_safe = |load: &PlannedSource<'_>, planned: &PlannedMessage| {
        let (place, name) = load.final_name(planned);
        let holds = |&folder: &FolderIndex| filling.has_message((folder, place, &name), planned.size);
        planned.folders().iter().map(holds).try_fold(true, |all, holds| Ok(all && holds?))
    };
    let agreed = match_lines(text, loads, &is_safe)?;
    // First the list, then what it lists: nothing must be listed that is removed and half written again.
    filling.open_manifest(agreed.bytes as u64)?.commit();
    let (kept, messages) = kept(loads, &agreed.done);
    filling.retain(&kept, messages)?;
    Ok(agreed)
}

/// The messages that stay, by their folders, and how many they are.
fn kept(loads: &[PlannedSource<'_>], done: &[SourceProgress]) -> (Vec<HashSet<(Subdir, OsString)>>, u64) {
    let (mut kept, mut messages) = (Vec::new(), 0);
    for (load, done) in loads.iter().zip(done) {
        kept.resize_with(load.folders.count(), HashSet::new);
        for planned in
            load.plan.messages[..done.messages].iter().filter(|p| p.disposition == Disposition::Write)
        {
            messages += 1;
            for &folder in planned.folders() {
                kept[folder as usize].insert(load.final_name(planned));
            }
        }
    }
    (kept, messages)
}
