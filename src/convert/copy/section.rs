//! The section of a Maildir that is copied: reads its messages, writes them, and records them.

use std::borrow::Cow;
use std::ffi::OsString;
use std::sync::{Mutex, MutexGuard};

use super::collisions::DestinationMessage;
use super::letters::{LetterMapping, MappedInfo};
use super::plan::{CopyPlan, Disposition, SourceMessage};
use super::source::SourceMaildir;
use super::tally::CopyTally;
use crate::convert::chunks::MessageChunk;
use crate::convert::{CheckedChunk, DestinationOptions, SectionSource, StagedFile};
use crate::mailbox::fs::ignore_poison;
use crate::mailbox::maildir::write::MessageContent;
use crate::mailbox::maildir::{
    BaseName, Entry, FoundMessage, MaildirWriter, MessagePath, NewMessage, Subdir, Unique, name,
};
use crate::mailbox::manifest::{ByteCounts, Bytes, Digest, MessageRecord, SectionFooter, to_line};
use crate::mailbox::message::{Flags, Origin, StatusFields};
use crate::mailbox::source::Contents;
use crate::mailbox::{Context, Result};

/// The messages of a copy, and their section of the manifest.
pub(super) struct CopySection<'a> {
    pub(super) source: &'a SourceMaildir,
    pub(super) plan: &'a CopyPlan,
    pub(super) mapping: &'a LetterMapping,
    pub(super) options: &'a DestinationOptions<'a>,
    pub(super) context: &'a Context<'a>,
    /// The section's first line; None if nothing is recorded.
    pub(super) header: Option<Vec<u8>>,
    pub(super) done: Mutex<Done>,
}

/// The messages of the chunks that are done.
#[derive(Debug, Default)]
pub(super) struct Done {
    tally: CopyTally,
    /// Messages with a line.
    messages: u64,
    /// Their bytes: the offset of the next one.
    bytes: u64,
}

/// A chunk, done. Its lines lack the offsets, which the chunks before it determine.
pub(super) struct CopiedChunk {
    records: Vec<MessageRecord>,
    tally: CopyTally,
}

/// A message that was read, on its way.
struct Outgoing {
    subdir: Subdir,
    name: OsString,
    /// The name in tmp/.
    base: Vec<u8>,
    contents: Contents,
    mtime: i64,
}

impl<'a> CopySection<'a> {
    fn done(&self) -> MutexGuard<'_, Done> {
        ignore_poison(self.done.lock())
    }

    pub(super) fn into_tally(self) -> CopyTally {
        ignore_poison(self.done.into_inner()).tally
    }

    /// Returns what a run would do.
    pub(super) fn preview(&self) -> Result<CopyTally> {
        let mut tally = CopyTally::default();
        for message in &self.plan.messages {
            self.context.cancel.check()?;
            if let Disposition::Present(there) = &message.disposition {
                tally.present += 1;
                tally.bytes += there.length;
                continue;
            }
            match self.source.files.current_size(&message.entry)? {
                Ok((entry, size)) => {
                    tally.written += 1;
                    tally.bytes += size;
                    let info = self.final_name(&entry, message.status.as_ref(), b"").2;
                    tally.mail.add_message(
                        Flags::parse(&info.letters),
                        entry.parsed().real_epoch(self.context.now),
                    );
                    tally.note_unmapped(&info);
                }
                Err(none) => tally.skip(none.finding(self.source.files.path(&message.entry))),
            }
        }
        Ok(tally)
    }

    fn read_chunk(&self, n: usize) -> Result<(CopiedChunk, Vec<Outgoing>)> {
        let range = self.plan.chunks[n].messages.clone();
        let mut outgoing = Vec::with_capacity(range.len());
        let mut chunk = CopiedChunk { records: Vec::with_capacity(range.len()), tally: CopyTally::default() };
        for n in range {
            let SourceMessage { entry, disposition, status, .. } = &self.plan.messages[n];
            if let Disposition::Present(there) = disposition {
                chunk.tally.present += 1;
                chunk.tally.bytes += there.length;
                chunk.records.push(self.record(there, entry.parsed().base));
                continue;
            }
            let mut contents = Contents::default();
            // A copy keeps the bytes, whatever a server has done to them.
            let found = self.source.files.read_stored(entry, &mut contents)?;
            let FoundMessage { entry, mtime } = match found {
                Ok(found) => found,
                Err(none) => {
                    chunk.tally.skip(none.finding(self.source.files.path(entry)));
                    continue;
                }
            };
            let original = entry.parsed().base;
            let base = if let Disposition::Rename(base) = disposition { base } else { original };
            let (subdir, name, info) = self.final_name(&entry, status.as_ref(), base);
            chunk.tally.note_unmapped(&info);
            let digest = Digest::of(&contents);
            contents.check_complete(&self.source.files.path(&entry))?;
            let length = contents.len() as u64;
            let message = DestinationMessage { base: base.to_vec(), letters: info.letters, length, digest };
            chunk.records.push(self.record(&message, original));
            chunk.tally.written += 1;
            chunk.tally.bytes += length;
            chunk.tally.mail.add_message(Flags::parse(&message.letters), Some(mtime));
            chunk.tally.newest = chunk.tally.newest.max(Some(mtime));
            let base = self.tmp_name(n, &message, mtime);
            outgoing.push(Outgoing { subdir, name, base, contents, mtime });
        }
        Ok((chunk, outgoing))
    }

    /// Returns the directory of a message, its complete name and its info. `status` are the flags in its header. A
    /// message with flags goes to cur/, wherever it was: readers look for flags there.
    fn final_name(
        &self,
        entry: &Entry,
        status: Option<&StatusFields>,
        base: &[u8],
    ) -> (Subdir, OsString, MappedInfo) {
        if let Some(status) = status.filter(|_| entry.may_have_status_fields()) {
            let info = self.mapping.info_of_header(status);
            let name = name::with_letters(base, self.options.info_separator, &info.letters);
            return (Subdir::Cur, name, info);
        }
        let letters = entry.parsed().info;
        let info = self.mapping.info(letters.unwrap_or_default());
        match letters {
            Some(letters) if entry.subdir == Subdir::Cur || !letters.is_empty() => {
                let name = name::with_letters(base, self.options.info_separator, &info.letters);
                (Subdir::Cur, name, info)
            }
            _ => (entry.subdir, name::bare(base), info),
        }
    }

    /// Returns the name of a message in tmp/. It has mailferry's form, so that the next run removes it after a
    /// kill, and the message's number, so that each copy has a name of its own.
    fn tmp_name(&self, n: usize, message: &DestinationMessage, epoch: i64) -> Vec<u8> {
        let mut unique = [0; 12];
        unique.copy_from_slice(&message.digest.0[..12]);
        let copy = u32::try_from(n + 1).unwrap_or(u32::MAX);
        let (host, size) = (self.context.host, message.length);
        BaseName { epoch, unique: Unique(unique), copy, host, size, wire_size: size }.to_bytes()
    }

    /// Returns the record of a message, yet without its offset.
    fn record(&self, message: &DestinationMessage, original: &[u8]) -> MessageRecord {
        let flags = message.letters.iter().copied().filter(|letter| !letter.is_ascii_lowercase());
        MessageRecord {
            len: message.length,
            name: Bytes(message.base.clone()),
            source: message.digest,
            date: Origin::Mtime.name().into(),
            flags: String::from_utf8_lossy(&flags.collect::<Vec<u8>>()).into_owned(),
            keywords: self.mapping.keywords(&message.letters),
            original: (original != message.base).then(|| Bytes(original.to_vec())),
            ..MessageRecord::default()
        }
    }
}

impl SectionSource for CopySection<'_> {
    type Chunk = CopiedChunk;

    fn header(&self) -> Option<Vec<u8>> {
        self.header.clone()
    }

    fn chunk_count(&self) -> usize {
        self.plan.chunks.len()
    }

    fn chunk_size(&self, n: usize) -> (u64, u64) {
        let MessageChunk { messages, size } = &self.plan.chunks[n];
        (*size, messages.len() as u64)
    }

    fn write_chunk(&self, n: usize, writer: &MaildirWriter, _recorded: bool) -> Result<CopiedChunk> {
        let (chunk, outgoing) = self.read_chunk(n)?;
        let messages: Vec<NewMessage<'_>> = outgoing.iter().map(Outgoing::new_message).collect();
        writer.stage(&messages)?;
        Ok(chunk)
    }

    fn check_chunk(
        &self,
        n: usize,
        writer: Option<&MaildirWriter>,
    ) -> Result<Option<CheckedChunk<CopiedChunk>>> {
        self.context.cancel.check()?;
        let (chunk, outgoing) = self.read_chunk(n)?;
        let mut files = Vec::with_capacity(outgoing.len());
        for Outgoing { subdir, name, contents, .. } in outgoing {
            let size = contents.len() as u64;
            if !writer.map_or(Ok(true), |writer| {
                writer.has_message(MessagePath { folder: 0, subdir, name: &name }, size)
            })? {
                return Ok(None);
            }
            files.push(StagedFile { folder: 0, subdir, name });
        }
        let staged = chunk.tally.written;
        Ok(Some(CheckedChunk { chunk, messages: staged as usize, staged, files }))
    }

    fn lines<'c>(&self, chunk: &'c CopiedChunk) -> Cow<'c, [u8]> {
        let mut lines = Vec::with_capacity(chunk.records.len() * 300);
        if self.header.is_some() {
            let mut at = self.done().bytes;
            for record in &chunk.records {
                lines.extend_from_slice(&to_line(&MessageRecord { at, ..record.clone() }));
                at += record.len;
            }
        }
        Cow::Owned(lines)
    }

    fn finish_chunk(&self, chunk: CopiedChunk) {
        let mut done = self.done();
        done.bytes += chunk.records.iter().map(|record| record.len).sum::<u64>();
        done.messages += chunk.records.len() as u64;
        done.tally.add(chunk.tally);
    }

    fn footer(&self) -> SectionFooter {
        let done = self.done();
        SectionFooter {
            closes: 0,
            messages: done.messages,
            mail: done.messages,
            not_selected: 0,
            bytes: ByteCounts { messages: done.bytes, ..ByteCounts::default() },
            end: Digest([0; 32]),
        }
    }

    fn mtime(&self) -> Option<i64> {
        self.done().tally.newest
    }
}

impl Outgoing {
    fn new_message(&self) -> NewMessage<'_> {
        NewMessage {
            folders: &[0],
            subdir: self.subdir,
            base: self.base.clone(),
            name: self.name.clone(),
            further_names: Vec::new(),
            content: MessageContent::Slices(vec![&self.contents[..]].into()),
            mtime: self.mtime,
            existing: None,
        }
    }
}
