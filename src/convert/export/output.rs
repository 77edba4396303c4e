//! The mbox of an export while it is written.
//!
//! Workers render a chunk of messages, take their turn for a place in the file, and write there concurrently. The
//! order is that of the messages, and only the chunks at work are in memory.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Mutex;

use super::OutputMode;
use super::ready_source::ReadySource;
use super::render::Renderer;
use super::tally::Tally;
use crate::convert::ExportOptions;
use crate::convert::chunks::MessageChunk;
use crate::convert::read_back::{self, WrittenMbox};
use crate::convert::turn_queue::TurnQueue;
use crate::mailbox::fs::atomic_file::AtomicFile;
use crate::mailbox::fs::{durable, files, ignore_poison, system};
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
        let queue = TurnQueue::new(work.chunks.len(), End { at, stream, tallies });
        let End { at, tallies, .. } = queue
            .run(|queue| write_chunks(queue, work, Renderer::new(self.variant, work.options.eol), file))?;
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
            system::begin_writeback(file, at, bytes.len() as u64);
        }
        Ok(())
    }
}

/// The end of the mbox in the turn of a chunk.
struct End<'a> {
    at: u64,
    stream: Option<&'a Mutex<dyn Write + Send>>,
    tallies: Vec<Tally>,
}

impl End<'_> {
    /// Writes to the stream, if there is one.
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.stream.map_or(Ok(()), |stream| ignore_poison(stream.lock()).write_all(bytes))
    }
}

/// Runs one worker. If a chunk does not fit into memory, it keeps its turn meanwhile.
fn write_chunks(
    queue: &TurnQueue<End<'_>>,
    work: &Work<'_>,
    mut renderer: Renderer,
    file: Option<&File>,
) -> Result<()> {
    let failed = || Error::io("write", work.options.destination);
    while let Some(mut chunk) = queue.take() {
        let SourceChunk { source, part } = &work.chunks[chunk.number];
        work.context.cancel.check()?;
        let ready = &work.sources[*source];
        let tally = renderer.render(ready, part.messages.clone(), &mut |bytes| {
            work.context.cancel.check()?;
            let end = chunk.turn()?;
            end.write(bytes).map_err(failed())?;
            file.map_or(Ok(()), |file| work.write_at(file, bytes, end.at))?;
            end.at += bytes.len() as u64;
            Ok(())
        })?;
        let (bytes, end) = (&renderer.out, chunk.turn()?);
        let at = end.at;
        end.at += bytes.len() as u64;
        end.tallies[*source] += tally;
        ready.release(part.messages.clone());
        end.write(bytes).map_err(failed())?;
        chunk.finish()?;
        file.map_or(Ok(()), |file| work.write_at(file, bytes, at))?;
        work.context.events.advance(part.size, part.messages.len() as u64);
    }
    Ok(())
}
