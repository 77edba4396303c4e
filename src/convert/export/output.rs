//! The mbox of an export while it is written.
//!
//! Workers render a chunk of messages, take their turn for a place in the file, and write there concurrently. The
//! order is that of the messages, and only the chunks at work are in memory.

use std::fs::File;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};

use super::OutputMode;
use super::ready_source::ReadySource;
use super::render::Renderer;
use super::tally::Tally;
use crate::convert::ExportOptions;
use crate::convert::chunks::MessageChunk;
use crate::convert::read_back::{self, WrittenMbox};
use crate::mailbox::fs::atomic_file::AtomicFile;
use crate::mailbox::fs::{durable, files, ignore_poison};
use crate::mailbox::maildir::Fsync;
use crate::mailbox::mbox::{MboxAppender, Variant};
use crate::mailbox::{Context, Error, Finding, Result};

/// The mbox while it is written.
pub(super) struct Output<'a> {
    sink: Sink<'a>,
    pub(super) variant: Variant,
    pub(super) findings: Vec<Finding>,
}

enum Sink<'a> {
    New(AtomicFile),
    Append(MboxAppender),
    Stream(&'a Mutex<dyn Write + Send>),
    DryRun,
}

/// Messages that a worker renders and writes at once.
pub(super) const MESSAGES_AT_ONCE: usize = 256;

/// A chunk of one of the sources.
pub(super) struct SourceChunk {
    pub(super) source: usize,
    pub(super) part: MessageChunk,
}

/// Everything that the workers need.
pub(super) struct Work<'a> {
    pub(super) sources: &'a [ReadySource<'a>],
    pub(super) chunks: &'a [SourceChunk],
    pub(super) options: &'a ExportOptions<'a>,
    pub(super) context: &'a Context<'a>,
}

impl<'a> Output<'a> {
    pub(super) fn open(options: &ExportOptions<'a>, context: &Context<'_>) -> Result<Output<'a>> {
        let ExportOptions { destination: path, variant, output: mode, dry_run, .. } = *options;
        let new = |sink| Output { sink, variant: variant.unwrap_or(Variant::Mboxrd), findings: Vec::new() };
        let replace = matches!(mode, OutputMode::Replace);
        match mode {
            OutputMode::Stream(_) if dry_run => Ok(new(Sink::DryRun)),
            OutputMode::Stream(stream) => Ok(new(Sink::Stream(stream))),
            OutputMode::Append | OutputMode::Continue if files::symlink_metadata(path).is_ok() => {
                let mut appender = MboxAppender::open(path, variant, context.locks, context.cancel)?;
                let (variant, findings) = (appender.variant, std::mem::take(&mut appender.findings));
                let sink = if dry_run { Sink::DryRun } else { Sink::Append(appender) };
                Ok(Output { sink, variant, findings })
            }
            _ if dry_run => AtomicFile::check(path, replace).map(|_| new(Sink::DryRun)),
            _ => {
                let file = AtomicFile::create(path, replace, context.locks.timeout, context.cancel)?;
                set_mode(&file, options)?;
                Ok(new(Sink::New(file)))
            }
        }
    }

    /// Writes all chunks, and returns the counts of each source.
    pub(super) fn write(&mut self, work: &Work<'_>) -> Result<Vec<Tally>> {
        let path = work.options.destination;
        let (file, at, stream) = match &mut self.sink {
            Sink::New(file) => (Some(&file.file), 0, None),
            Sink::Append(appender) => {
                appender.begin_parallel()?;
                let (file, length) = (&appender.file, appender.length);
                durable::write_all_at(file, &appender.repair, length).map_err(Error::io("write", path))?;
                (Some(file), length + appender.repair.len() as u64, None)
            }
            Sink::Stream(stream) => (None, 0, Some(*stream)),
            Sink::DryRun => (None, 0, None),
        };
        let tallies = work.sources.iter().map(|_| Tally::default()).collect();
        let queue = Queue {
            next: AtomicUsize::new(0),
            turn: Mutex::new(Turn { chunk: 0, at, stream, failed: false, tallies }),
            moved: Condvar::new(),
        };
        let work_to_the_end = || {
            let renderer = Renderer::new(self.variant, work.options.eol);
            let end = catch_unwind(AssertUnwindSafe(|| queue.work(work, renderer, file)));
            if !matches!(end, Ok(Ok(()))) {
                queue.stop();
            }
            end.unwrap_or_else(|panic| resume_unwind(panic))
        };
        rayon::broadcast(|_| work_to_the_end()).into_iter().collect::<Result<()>>()?;
        let Turn { at, tallies, .. } = ignore_poison(queue.turn.into_inner());
        if let Sink::Append(appender) = &mut self.sink {
            appender.finish_parallel(at)?;
        }
        Ok(tallies)
    }

    /// Returns a finding for each message that reads back differently without a prefix. A stream is not read.
    pub(super) fn read_back(&self, options: &ExportOptions<'_>, messages: u64) -> Result<Vec<Finding>> {
        let (file, start) = match &self.sink {
            Sink::New(file) => (&file.file, 0),
            Sink::Append(appender) => (&appender.file, appender.length),
            Sink::Stream(_) | Sink::DryRun => return Ok(Vec::new()),
        };
        let (path, variant) = (options.destination, self.variant);
        read_back::check(WrittenMbox { file, path, variant, start, messages })
    }

    pub(super) fn finish(self, options: &ExportOptions<'_>) -> Result<()> {
        let flush = options.fsync != Fsync::None;
        match self.sink {
            Sink::New(file) => file.commit(flush),
            Sink::Append(appender) => {
                if flush {
                    appender.sync()?;
                }
                appender.commit();
                Ok(())
            }
            Sink::Stream(stream) => {
                ignore_poison(stream.lock()).flush().map_err(Error::io("write", options.destination))
            }
            Sink::DryRun => Ok(()),
        }
    }
}

/// Gives a new mbox the mode of the options.
fn set_mode(file: &AtomicFile, options: &ExportOptions<'_>) -> Result<()> {
    let Some(mode) = options.modes.files else { return Ok(()) };
    durable::set_mode(&file.file, mode).map_err(Error::io("change its mode", options.destination))
}

impl Work<'_> {
    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> Result<()> {
        durable::write_all_at(file, bytes, at).map_err(Error::io("write", self.options.destination))?;
        if self.options.fsync != Fsync::None {
            durable::begin_writeback(file, at, bytes.len() as u64);
        }
        Ok(())
    }
}

/// Hands out places in the mbox in the order of the chunks.
struct Queue<'a> {
    next: AtomicUsize,
    turn: Mutex<Turn<'a>>,
    moved: Condvar,
}

struct Turn<'a> {
    chunk: usize,
    at: u64,
    stream: Option<&'a Mutex<dyn Write + Send>>,
    /// A worker ended early: there is no next turn.
    failed: bool,
    tallies: Vec<Tally>,
}

impl Turn<'_> {
    /// Writes to the stream, if there is one.
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.stream.map_or(Ok(()), |stream| ignore_poison(stream.lock()).write_all(bytes))
    }
}

impl<'a> Queue<'a> {
    fn turn(&self) -> MutexGuard<'_, Turn<'a>> {
        ignore_poison(self.turn.lock())
    }

    /// Wakes the others when a worker ends early, by an error or a panic: they would wait for its turn.
    fn stop(&self) {
        self.turn().failed = true;
        self.moved.notify_all();
    }

    /// Waits for the turn of a chunk; None if there is no next turn.
    fn wait(&self, chunk: usize) -> Option<MutexGuard<'_, Turn<'a>>> {
        let is_waiting = |turn: &mut Turn<'_>| turn.chunk != chunk && !turn.failed;
        let turn = ignore_poison(self.moved.wait_while(self.turn(), is_waiting));
        (!turn.failed).then_some(turn)
    }

    /// Runs one worker. It holds one chunk. If that does not fit into memory, the worker keeps its turn meanwhile. The chunks before it are held by other running workers, so every wait
    /// ends.
    fn work(&self, work: &Work<'_>, mut renderer: Renderer, file: Option<&File>) -> Result<()> {
        let failed = || Error::io("write", work.options.destination);
        loop {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(SourceChunk { source, part }) = work.chunks.get(n) else { return Ok(()) };
            work.context.cancel.check()?;
            let ready = &work.sources[*source];
            let mut kept = None;
            let rendered = renderer.render(ready, part.messages.clone(), &mut |bytes| {
                work.context.cancel.check()?;
                // A worker that failed has the error to report.
                let mut turn = kept.take().or_else(|| self.wait(n)).ok_or(Error::Interrupted)?;
                turn.write(bytes).map_err(failed())?;
                file.map_or(Ok(()), |file| work.write_at(file, bytes, turn.at))?;
                turn.at += bytes.len() as u64;
                kept = Some(turn);
                Ok(())
            });
            let tally = rendered?;
            let bytes = &renderer.out;
            let Some(mut turn) = kept.or_else(|| self.wait(n)) else { return Ok(()) };
            let at = turn.at;
            turn.at += bytes.len() as u64;
            turn.chunk += 1;
            turn.tallies[*source] += tally;
            ready.release(part.messages.clone());
            turn.write(bytes).map_err(failed())?;
            drop(turn);
            self.moved.notify_all();
            file.map_or(Ok(()), |file| work.write_at(file, bytes, at))?;
            work.context.events.advance(part.size, part.messages.len() as u64);
        }
    }
}
