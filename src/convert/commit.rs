//! Writing, flushing, publishing: the order in which messages and the lines of the manifest become safe
//! and visible. No policy.

use std::sync::Mutex;

use rayon::prelude::*;

use crate::convert::plan::CHUNK;
use crate::convert::planned_source::{Chunk, PlannedSource};
use crate::convert::resume::{ResumePoint, SourceProgress};
use crate::convert::{Abort, Options};
use crate::mailbox::context::{Events, Phase};
use crate::mailbox::error::{Error, Result};
use crate::mailbox::maildir::write::{MaildirWriter, NewMessage};
use crate::mailbox::manifest::{ManifestAppender, ManifestLocation, SectionFooter, to_line};
use crate::mailbox::reorder::Reorder;
use crate::mailbox::source::Source;

/// Writes, flushes, publishes; the manifest's sections stand open before the first message is visible
/// and are closed after the last one is safe.
pub fn commit_sources(
    filling: MaildirWriter,
    loads: &[PlannedSource<'_>],
    resumed: &ResumePoint,
    manifest: Option<ManifestAppender>,
    options: &Options<'_>,
    progress: &dyn Events,
) -> Result<(), Abort> {
    let bytes = loads.iter().flat_map(|l| &l.plan.messages).map(|m| m.size).sum();
    progress.begin(Phase::Writing, bytes);
    let write = |filling: &MaildirWriter, lines: &PendingLines| {
        let mut tails = Vec::new();
        for (load, done) in loads.iter().zip(&resumed.done) {
            let hash = write(filling, load, done, resumed.has_files, lines, options, progress)
                .map_err(|error| blame_source(error, load.source))?;
            tails.extend(load.section.as_ref().map(|recorder| {
                let closes = resumed.sections + tails.len() + 1;
                SectionFooter { closes, ..recorder.footer() }.seal(&hash)
            }));
        }
        loads.iter().try_for_each(|load| load.source.check_unchanged())?;
        Ok(WrittenSections { tails, date: loads.iter().filter_map(|l| l.source.mtime()).max() })
    };
    commit(filling, manifest, write, options, progress)
}

/// What was written and is not safe yet.
pub struct WrittenSections {
    /// What closes the sections.
    pub tails: Vec<SectionFooter>,
    /// The time that a new manifest gets, seconds since 1970.
    pub date: Option<i64>,
}

/// The order itself: `write` writes messages and pushes their lines.
pub fn commit(
    mut filling: MaildirWriter,
    manifest: Option<ManifestAppender>,
    write: impl FnOnce(&MaildirWriter, &PendingLines) -> Result<WrittenSections>,
    options: &Options<'_>,
    progress: &dyn Events,
) -> Result<(), Abort> {
    let lines = PendingLines { waiting: Mutex::default(), manifest: manifest.map(Mutex::new) };
    let mut written = WrittenSections { tails: Vec::new(), date: None };
    filling.flush_while(
        |flush| {
            let before = lines.take();
            flush()?;
            lines.append(&before)
        },
        || {
            written = write(&filling, &lines)?;
            Ok(())
        },
    )?;
    let WrittenSections { mut tails, date } = written;
    progress.begin(Phase::Flushing, 0);
    options.cancel.check()?;
    filling.chown()?;
    filling.flush()?;
    // A manifest elsewhere does not appear with the Maildir: it must not say more than is visible.
    let whole_at_once = filling.is_staged() && options.manifest == ManifestLocation::InMaildir;
    let mut manifest = lines.finish()?;
    if let Some(manifest) = &mut manifest {
        if whole_at_once {
            tails.drain(..).try_for_each(|tail| manifest.append(&to_line(&tail)))?;
            if let Some(epoch) = date {
                manifest.set_mtime(epoch)?;
            }
        }
        filling.flush_manifest(manifest)?;
    }
    let mut published = 0;
    let done = filling.commit(&mut published);
    if let Some(manifest) = manifest.as_mut().filter(|_| done.is_ok() || published > 0) {
        manifest.commit();
    }
    done.map_err(|error| Abort { error, published })?;
    if let Some(manifest) = &mut manifest {
        let closed = tails.drain(..).try_for_each(|tail| manifest.append(&to_line(&tail)));
        closed.and_then(|()| filling.flush_manifest(manifest)).map_err(|error| Abort { error, published })?;
    }
    Ok(())
}

/// Lines of the manifest. They wait until the messages they tell of are safe.
pub struct PendingLines {
    waiting: Mutex<Vec<u8>>,
    manifest: Option<Mutex<ManifestAppender>>,
}

impl PendingLines {
    /// Adds lines whose messages are written, and safe already if `safe`.
    pub fn push(&self, lines: &[u8], safe: bool) -> Result<()> {
        if safe {
            return self.append(lines);
        }
        self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).extend_from_slice(lines);
        Ok(())
    }

    /// What waits.
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    fn append(&self, lines: &[u8]) -> Result<()> {
        match &self.manifest {
            Some(manifest) if !lines.is_empty() => {
                manifest.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).append(lines)
            }
            _ => Ok(()),
        }
    }

    /// All messages are safe: so are all lines.
    fn finish(self) -> Result<Option<ManifestAppender>> {
        self.append(&self.take())?;
        Ok(self.manifest.map(|manifest| manifest.into_inner().unwrap_or_else(|p| p.into_inner())))
    }
}

/// Writes one source, and the lines of its section beside it; returns their hash. The tail is for later.
fn write<'l>(
    filling: &MaildirWriter,
    load: &'l PlannedSource<'_>,
    done: &SourceProgress,
    has_messages: bool,
    lines: &PendingLines,
    options: &Options<'_>,
    progress: &dyn Events,
) -> Result<blake3::Hasher> {
    let mut hash = done.lines.clone();
    let mut push = |new: &[u8]| {
        hash.update(new);
        lines.push(new, filling.flushes_each())
    };
    if let Some(recorder) = load.section.as_ref().filter(|_| !done.has_header) {
        push(&to_line(recorder.header()))?;
    }
    // In order: what is handed back while a chunk before it is looked at would stay ours after all.
    let mut done_with = |(chunk, lines): (Chunk<'l>, Vec<u8>)| {
        load.release(chunk);
        push(&lines)
    };
    let in_order = Mutex::new(Reorder::new(&mut done_with));
    // Not a parallel iterator over a range, which begins in several places at once: lines would wait for
    // those before them until half of all is written.
    let write = |(n, chunk): (usize, Chunk<'l>)| {
        options.cancel.check()?;
        let is_listed = chunk.end() <= done.messages;
        let is_there = has_messages && is_listed;
        let lines = write_chunk(filling, load, chunk, !is_there, !is_listed, progress)?;
        in_order.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).add(n, (chunk, lines))
    };
    match load.plan.messages.len() {
        // Waking another thread for it takes longer than the folder of a tree that it may be.
        ..=CHUNK => load.chunks().enumerate().try_for_each(write)?,
        _ => load.chunks().enumerate().par_bridge().try_for_each(write)?,
    }
    if let Some(recorder) = load.section.as_ref().filter(|_| !done.is_complete) {
        let mut last = Vec::new();
        recorder.final_gap(&mut last);
        push(&last)?;
    }
    Ok(hash)
}

fn write_chunk(
    filling: &MaildirWriter,
    load: &PlannedSource<'_>,
    chunk: Chunk<'_>,
    is_written: bool,
    is_recorded: bool,
    progress: &dyn Events,
) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    if is_written || is_recorded {
        let rendered = load.render(chunk);
        if is_written {
            let messages =
                rendered.iter().filter_map(|(planned, rendered)| load.new_message(planned, rendered));
            filling.stage(&messages.collect::<Vec<NewMessage<'_>>>())?;
        }
        if is_recorded {
            lines = load.manifest_lines(chunk, &rendered);
        }
    }
    let bytes = chunk.messages.iter().map(|m| m.size).sum();
    progress.advance(bytes, chunk.messages.len() as u64);
    Ok(lines)
}

/// The kernel calls it a bad address when what it is to write is no longer behind our mapping:
/// somebody has truncated the source, and it is not the destination that is to be named.
fn blame_source(error: Error, source: &Source) -> Error {
    match &error {
        Error::Io { source: cause, .. } if cause.raw_os_error() == Some(libc::EFAULT) => {
            source.check_unchanged().err().unwrap_or(error)
        }
        _ => error,
    }
}
