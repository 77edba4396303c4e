//! The bytes of a source, rebuilt from its section and the files of its messages.
//!
//! Each worker rebuilds a chunk of messages in memory. The chunks are hashed in order, and written concurrently.

use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use data_encoding::BASE64;
use serde::Deserialize;

use super::files::MessageFiles;
use super::message::{Change, Put, restore_message};
use crate::convert::turn_queue::{TakenChunk, TurnQueue};
use crate::mailbox::fs::{durable, ignore_poison, system};
use crate::mailbox::maildir::NoMessage;
use crate::mailbox::manifest::{Bytes, BytesRef, Digest, DividedSection, Gap, Outline};
use crate::mailbox::source::Contents;
use crate::mailbox::{Code, Context, Error, Finding, Result, display_path, escape};

/// The messages of a chunk. Their bytes stay in the cache of a core until they are hashed and written.
pub(super) const MESSAGES_AT_ONCE: usize = 64;
/// How much of a chunk is in memory.
const BUFFER: usize = 4 << 20;

/// A source to rebuild.
pub(super) struct Rebuild<'a> {
    pub(super) outline: &'a Outline<'a>,
    pub(super) section: &'a DividedSection<'a>,
    pub(super) files: &'a MessageFiles<'a>,
    pub(super) context: &'a Context<'a>,
}

/// The check of the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Only the hash of the whole source, which does not show what differs. The first fault ends the rebuild.
    Whole,
    /// The hash of each message as well. All faults are found.
    EachMessage,
}

/// Where the bytes go.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    Nowhere,
    /// A file, and its path.
    File(&'a File, &'a Path),
    Stream(&'a Mutex<dyn Write + Send>),
}

/// The outcome of a rebuild.
pub(super) enum Rebuilt {
    /// The bytes are those of the source.
    Same,
    /// No message has a fault, but the bytes are not those of the source.
    Different,
    /// Messages are gone or changed. The bytes end before the first of them.
    Faults(Vec<Finding>),
}

/// A message of the section, without what a rebuild does not need.
#[derive(Deserialize)]
struct SourceMessage<'a> {
    at: u64,
    len: u64,
    #[serde(borrow, default)]
    from: BytesRef<'a>,
    #[serde(borrow)]
    name: BytesRef<'a>,
    source: Digest,
    #[serde(default)]
    quotes: Vec<u64>,
    #[serde(default)]
    eols: Vec<u64>,
    #[serde(default)]
    stripped: Vec<(u64, Bytes)>,
    #[serde(borrow, default)]
    verbatim: Option<Cow<'a, str>>,
}

impl SourceMessage<'_> {
    /// Returns the offset of its From_ lines.
    fn start(&self) -> u64 {
        self.at.saturating_sub(self.from.0.len() as u64)
    }

    fn change(&self) -> Change<'_> {
        Change { quotes: &self.quotes, eols: &self.eols, stripped: &self.stripped }
    }
}

/// The end of the rebuilt bytes, in the turn of a chunk.
struct End<'a> {
    at: u64,
    hasher: blake3::Hasher,
    target: Target<'a>,
    faults: Vec<Finding>,
}

impl End<'_> {
    /// Adds bytes, and returns the offset at which a file gets them; None after a fault.
    fn push(&mut self, bytes: &[u8]) -> Result<Option<u64>> {
        if !self.faults.is_empty() {
            return Ok(None);
        }
        self.hasher.update(bytes);
        if let Target::Stream(stream) = self.target {
            let failed = Error::io("write", Path::new("standard output"));
            ignore_poison(stream.lock()).write_all(bytes).map_err(failed)?;
        }
        let at = self.at;
        self.at += bytes.len() as u64;
        Ok(Some(at))
    }
}

impl Target<'_> {
    /// Writes bytes into a file. Several workers may write at once.
    fn write_at(self, bytes: &[u8], at: u64) -> Result<()> {
        if let Target::File(file, path) = self {
            durable::write_all_at(file, bytes, at).map_err(Error::io("write", path))?;
            system::begin_writeback(file, at, bytes.len() as u64);
        }
        Ok(())
    }
}

impl Rebuild<'_> {
    /// Rebuilds the source.
    pub(super) fn run(&self, check: Check, target: Target<'_>) -> Result<Rebuilt> {
        let end = End { at: 0, hasher: blake3::Hasher::new(), target, faults: Vec::new() };
        // A section without messages is one chunk of gaps.
        let queue = TurnQueue::new(self.section.chunk_count().max(1), end);
        let is_ended = AtomicBool::new(false);
        let End { hasher, faults, .. } = queue.run(|queue| {
            let mut worker = Worker::new(self, check, target);
            while let Some(mut chunk) = queue.take() {
                self.context.cancel.check()?;
                if !is_ended.load(Ordering::Relaxed) {
                    worker.rebuild(&mut chunk)?;
                }
                let end = chunk.turn()?;
                let at = end.push(&worker.out)?;
                end.faults.append(&mut worker.faults);
                is_ended.fetch_or(check == Check::Whole && !end.faults.is_empty(), Ordering::Relaxed);
                chunk.finish()?;
                at.map_or(Ok(()), |at| target.write_at(&worker.out, at))?;
                worker.out.clear();
            }
            Ok(())
        })?;
        Ok(match () {
            () if !faults.is_empty() => Rebuilt::Faults(faults),
            () if Digest::from(hasher.finalize()) == self.outline.header.blake3 => Rebuilt::Same,
            () => Rebuilt::Different,
        })
    }
}

/// A worker, and its chunk as far as that is not written yet.
struct Worker<'a> {
    rebuild: &'a Rebuild<'a>,
    check: Check,
    target: Target<'a>,
    /// A buffer for one file.
    file: Contents,
    out: Vec<u8>,
    faults: Vec<Finding>,
}

impl<'a> Worker<'a> {
    fn new(rebuild: &'a Rebuild<'a>, check: Check, target: Target<'a>) -> Worker<'a> {
        Worker { rebuild, check, target, file: Contents::default(), out: Vec::new(), faults: Vec::new() }
    }

    /// Rebuilds a chunk: its messages, and what is between them and before the next chunk.
    fn rebuild(&mut self, chunk: &mut TakenChunk<'_, End<'_>>) -> Result<()> {
        let Rebuild { outline: Outline { header, .. }, section, context, .. } = *self.rebuild;
        let messages: Vec<SourceMessage<'_>> = section.read_chunk(chunk.number)?;
        let next: Option<SourceMessage<'_>> = section.read_first(chunk.number + 1)?;
        let start = messages.first().filter(|_| chunk.number > 0).map_or(0, SourceMessage::start);
        let mut position = Position::new(start, &section.gaps, &header.separator.0);
        for message in &messages {
            if self.faults.is_empty() {
                position.advance_to(message.start(), &mut |bytes| self.push(bytes, chunk))?;
                self.push(&message.from.0, chunk)?;
                position.at = message.at.saturating_add(message.len);
            }
            self.message(message, chunk)?;
        }
        if self.faults.is_empty() {
            let end = next.map_or(header.size, |message| message.start());
            position.advance_to(end, &mut |bytes| self.push(bytes, chunk))?;
        }
        let bytes = messages.iter().fold(0, |sum: u64, message| sum.saturating_add(message.len));
        context.events.advance(bytes, messages.len() as u64);
        Ok(())
    }

    /// Adds bytes to the chunk, unless it has a fault.
    fn push(&mut self, bytes: &[u8], chunk: &mut TakenChunk<'_, End<'_>>) -> Result<()> {
        if !self.faults.is_empty() {
            return Ok(());
        }
        self.out.extend_from_slice(bytes);
        if self.out.len() < BUFFER {
            return Ok(());
        }
        // The chunk is too large for the memory, so it keeps its turn.
        self.rebuild.context.cancel.check()?;
        let at = chunk.turn()?.push(&self.out)?;
        at.map_or(Ok(()), |at| self.target.write_at(&self.out, at))?;
        self.out.clear();
        Ok(())
    }

    /// Adds a message, or the fault of its file.
    fn message(&mut self, message: &SourceMessage<'_>, chunk: &mut TakenChunk<'_, End<'_>>) -> Result<()> {
        let found = match &message.verbatim {
            Some(verbatim) => {
                let bytes = BASE64.decode(verbatim.as_bytes()).unwrap_or_default();
                match Digest::of(&bytes) == message.source {
                    true => self.push(&bytes, chunk).map(Ok)?,
                    false => Err(self.fault(message, true)),
                }
            }
            None => {
                let mut file = std::mem::take(&mut self.file);
                let found = self.find(message, &mut file, chunk);
                self.file = file;
                found?
            }
        };
        self.faults.extend(found.err());
        Ok(())
    }

    /// Adds the message of the first file that has it.
    fn find(
        &mut self,
        message: &SourceMessage<'_>,
        file: &mut Contents,
        chunk: &mut TakenChunk<'_, End<'_>>,
    ) -> Result<Result<(), Finding>> {
        let mut is_there = false;
        let found = self.rebuild.files.find(&message.name.0, |reader, entry| {
            let entry = match reader.read(entry, file)? {
                Ok(found) => found.entry,
                Err(none @ (NoMessage::Sparse(_) | NoMessage::Unreadable(_))) => {
                    return Ok(Some(Err(none.finding(reader.path(entry)))));
                }
                Err(_) => return Ok(None),
            };
            is_there = true;
            let path = reader.error_path(&entry);
            if self.check == Check::EachMessage && !self.has_hash(message, file)? {
                return file.check_complete(&path).map(|()| None);
            }
            let length = self.push_file(message, file, chunk)?;
            file.check_complete(&path)?;
            Ok(Some(if length == message.len { Ok(()) } else { Err(self.fault(message, true)) }))
        })?;
        Ok(found.unwrap_or_else(|| Err(self.fault(message, is_there))))
    }

    fn has_hash(&self, message: &SourceMessage<'_>, file: &[u8]) -> Result<bool> {
        let mut hasher = blake3::Hasher::new();
        restore_message(&message.change(), file, &self.rebuild.outline.header, &mut |bytes| {
            hasher.update(bytes);
            Ok(())
        })?;
        Ok(Digest::from(hasher.finalize()) == message.source)
    }

    /// Adds the message in a file, and returns its length in the source.
    fn push_file(
        &mut self,
        message: &SourceMessage<'_>,
        file: &[u8],
        chunk: &mut TakenChunk<'_, End<'_>>,
    ) -> Result<u64> {
        let mut length = 0;
        restore_message(&message.change(), file, &self.rebuild.outline.header, &mut |bytes| {
            length += bytes.len() as u64;
            self.push(bytes, chunk)
        })?;
        Ok(length)
    }

    /// Returns the finding about a message without a file that has its bytes.
    fn fault(&self, message: &SourceMessage<'_>, is_there: bool) -> Finding {
        let (name, maildir) = (escape(&message.name.0), display_path(self.rebuild.files.maildir()));
        let (code, text) = match is_there {
            true => (Code::MessageChanged, format!("{name} in {maildir} was changed since it was written")),
            false => (Code::MessageGone, format!("{name} is gone from {maildir}")),
        };
        Finding::at(code, message.at, text)
    }
}

/// A position in the source.
struct Position<'a> {
    at: u64,
    /// Those from here on.
    gaps: &'a [Gap],
    usual: &'a [u8],
}

impl<'a> Position<'a> {
    fn new(at: u64, gaps: &'a [Gap], usual: &'a [u8]) -> Position<'a> {
        let first = gaps.partition_point(|gap| gap.at < at);
        Position { at, gaps: &gaps[first..], usual }
    }

    /// Passes on the bytes between messages: the gaps that have a line, or the usual separator.
    fn advance_to(&mut self, end: u64, put: Put<'_>) -> Result<()> {
        while self.at < end {
            let bytes = match self.gaps.split_first() {
                Some((gap, rest)) if gap.at == self.at => {
                    self.gaps = rest;
                    Cow::Owned(gap.bytes().unwrap_or_default())
                }
                _ => Cow::Borrowed(self.usual),
            };
            if bytes.is_empty() {
                // The hash at the end shows that something is missing.
                return Ok(());
            }
            put(&bytes)?;
            self.at += bytes.len() as u64;
        }
        Ok(())
    }
}
