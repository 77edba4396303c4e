//! The order in which messages and the lines of the manifest become safe and visible. No policy.

use std::sync::{Mutex, MutexGuard};

use rayon::prelude::*;

use super::{Abort, DestinationOptions, ResumePoint, SectionProgress, SectionSource};
use crate::mailbox::fs::ignore_poison;
use crate::mailbox::maildir::{Fsync, MaildirWriter};
use crate::mailbox::manifest::{ManifestAppender, ManifestLocation, SectionFooter, to_line};
use crate::mailbox::reorder::Reorder;
use crate::mailbox::{Context, Error, Phase, Result};

/// The commit of a run: its sources, where they were resumed, and their destination.
pub(crate) struct Commit<'a, S> {
    pub(crate) sources: &'a [S],
    pub(crate) resume: &'a ResumePoint,
    pub(crate) options: &'a DestinationOptions<'a>,
    pub(crate) context: &'a Context<'a>,
}

impl<S: SectionSource> Commit<'_, S> {
    /// Writes, flushes and publishes. The sections are open in the manifest before the first message is visible,
    /// and are closed after the last one is safe. Returns the list of UIDs that another program has changed, so that all lists
    /// stay as they were.
    pub(crate) fn run(
        &self,
        mut writer: MaildirWriter,
        manifest: Option<ManifestAppender>,
    ) -> Result<Option<&'static str>, Abort> {
        let events = self.context.events;
        let sizes = self.sources.iter().flat_map(|s| (0..s.chunk_count()).map(|n| s.chunk_size(n).0));
        let bytes = sizes.sum();
        events.begin(Phase::Writing, bytes);
        let lines = PendingLines { waiting: Mutex::default(), manifest: manifest.map(Mutex::new) };
        let mut footers = Vec::new();
        let written = writer.flush_while(
            bytes,
            |sync| {
                let before = lines.take();
                sync()?;
                lines.append(&before)
            },
            || {
                footers = self.write(&writer, &lines)?;
                Ok(())
            },
        );
        match written.and_then(|()| self.context.cancel.check()) {
            Err(Error::Interrupted) if writer.is_staged() => {
                lines.keep(self.options.fsync)?;
                let path = writer.root().path().to_owned();
                return Err(Error::InterruptedStage { path }.into());
            }
            written => written?,
        }
        events.begin(Phase::Flushing, 0);
        writer.flush()?;
        // A manifest elsewhere does not appear with the Maildir: it must not say more than is visible.
        let at_once = writer.is_staged() && self.options.manifest == ManifestLocation::InMaildir;
        let mut manifest = lines.finish()?;
        if let Some(manifest) = &mut manifest {
            if at_once {
                footers.drain(..).try_for_each(|footer| manifest.append(&to_line(&footer)))?;
                if let Some(epoch) = self.sources.iter().filter_map(SectionSource::mtime).max() {
                    manifest.set_mtime(epoch)?;
                }
            }
            writer.flush_manifest(manifest)?;
        }
        let mut published = 0;
        let done = writer.commit(&mut published);
        if let Some(manifest) = manifest.as_mut().filter(|_| done.is_ok() || published > 0) {
            manifest.commit();
        }
        let closed = done.and_then(|changed_list| {
            if let Some(manifest) = &mut manifest {
                footers.drain(..).try_for_each(|footer| manifest.append(&to_line(&footer)))?;
                writer.flush_manifest(manifest)?;
            }
            Ok(changed_list)
        });
        closed.map_err(|error| Abort { error, published })
    }

    /// Writes all sources; returns the footers of their sections.
    fn write(&self, writer: &MaildirWriter, lines: &PendingLines) -> Result<Vec<SectionFooter>> {
        let mut footers = Vec::new();
        for (source, progress) in self.sources.iter().zip(&self.resume.progress) {
            let hash =
                self.write_section(source, progress, writer, lines).map_err(|error| source.blame(error))?;
            if source.header().is_some() {
                let closes = self.resume.sections + footers.len() + 1;
                footers.push(SectionFooter { closes, ..source.footer() }.seal(&hash));
            }
        }
        self.sources.iter().try_for_each(SectionSource::check_unchanged)?;
        Ok(footers)
    }

    /// Writes one source, and the lines of its section; returns their hash.
    fn write_section(
        &self,
        source: &S,
        progress: &SectionProgress,
        writer: &MaildirWriter,
        lines: &PendingLines,
    ) -> Result<blake3::Hasher> {
        let Context { cancel, events, .. } = *self.context;
        let header = source.header();
        let is_recorded = header.is_some();
        let mut hash = progress.hash.clone();
        let mut push = |new: &[u8]| {
            hash.update(new);
            lines.push(new, writer.flushes_each())
        };
        if let Some(header) = header.filter(|_| !progress.has_header) {
            push(&header)?;
        }
        // In order: pages released while an earlier chunk is still read would stay in memory after all.
        let mut finish = |chunk: S::Chunk| {
            push(&source.lines(&chunk))?;
            source.finish_chunk(chunk);
            Ok(())
        };
        let reorder = Mutex::new(Reorder::new(&mut finish));
        let count = source.chunk_count();
        let first = if self.resume.has_files { progress.chunks } else { 0 };
        let write = |(turn, n): (usize, usize)| {
            cancel.check()?;
            let chunk = source.write_chunk(n, writer, is_recorded && n >= progress.chunks)?;
            let (bytes, messages) = source.chunk_size(n);
            events.advance(bytes, messages);
            ignore_poison(reorder.lock()).add(turn, chunk)
        };
        let mut chunks = (first..count).enumerate();
        match count {
            // Waking another thread for it takes longer than the folder of a tree that it may be.
            ..=1 => chunks.try_for_each(write)?,
            // Not a parallel iterator over the range, which begins in several places at once: lines would wait
            // for those before them until half of all is written.
            _ => chunks.par_bridge().try_for_each(write)?,
        }
        if is_recorded && !progress.is_complete {
            push(&source.final_lines())?;
        }
        Ok(hash)
    }
}

/// Lines of the manifest whose messages are not safe yet.
struct PendingLines {
    waiting: Mutex<Vec<u8>>,
    manifest: Option<Mutex<ManifestAppender>>,
}

impl PendingLines {
    /// Adds lines whose messages are written, and already safe if `safe`.
    fn push(&self, lines: &[u8], safe: bool) -> Result<()> {
        if safe {
            return self.append(lines);
        }
        self.waiting().extend_from_slice(lines);
        Ok(())
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<u8>> {
        ignore_poison(self.waiting.lock())
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.waiting())
    }

    fn append(&self, lines: &[u8]) -> Result<()> {
        match &self.manifest {
            Some(manifest) if !lines.is_empty() => ignore_poison(manifest.lock()).append(lines),
            _ => Ok(()),
        }
    }

    /// Keeps the lines whose messages are safe for the run that continues. Without flushes, the user takes all messages
    /// for safe.
    fn keep(self, fsync: Fsync) -> Result<()> {
        if fsync == Fsync::None {
            self.append(&self.take())?;
        }
        if let Some(manifest) = self.manifest {
            ignore_poison(manifest.into_inner()).commit();
        }
        Ok(())
    }

    /// Appends all lines, since all messages are safe.
    fn finish(self) -> Result<Option<ManifestAppender>> {
        self.append(&self.take())?;
        Ok(self.manifest.map(|manifest| manifest.into_inner().unwrap_or_else(|p| p.into_inner())))
    }
}
