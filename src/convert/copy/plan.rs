//! The plan of a copy: which messages are written, and by which names.

use std::borrow::Cow;
use std::collections::HashSet;

use rayon::prelude::*;

use super::collisions::{Collision, DestinationIndex, DestinationMessage, NewName};
use super::copied::CopiedMessages;
use super::letters;
use super::source::SourceMaildir;
use crate::convert::chunks::{MessageChunk, divide};
use crate::convert::{DestinationOptions, History};
use crate::mailbox::maildir::{DestinationState, Entry, KeywordSet, keywords};
use crate::mailbox::message::{Selection, StatusFields, header};
use crate::mailbox::source::Contents;
use crate::mailbox::{Code, Context, Finding, Result, escape};

/// Messages that a worker takes at once.
const MESSAGES_AT_ONCE: usize = 64;

/// A message of the source that no earlier run has copied.
pub(super) struct SourceMessage {
    pub(super) entry: Entry,
    /// An estimate of its size.
    pub(super) size: u64,
    pub(super) disposition: Disposition,
    /// The flags in its header, if they are not in its name.
    pub(super) status: Option<StatusFields>,
}

pub(super) enum Disposition {
    /// The name is free.
    KeepName,
    /// The name is taken, and this one is free.
    Rename(Vec<u8>),
    /// The destination has it, whatever program wrote it.
    Present(DestinationMessage),
}

#[derive(Default)]
pub(super) struct CopyPlan {
    pub(super) messages: Vec<SourceMessage>,
    /// Messages that a worker takes at once.
    pub(super) chunks: Vec<MessageChunk>,
    /// Why other files are not copied.
    pub(super) skipped: Vec<Finding>,
    /// Keyword letters that messages of the destination have.
    pub(super) letters_there: KeywordSet,
    /// Messages that earlier runs copied.
    pub(super) known: u64,
    /// The size of these messages.
    pub(super) known_bytes: u64,
    /// Messages that are not selected, and that no earlier run has copied.
    pub(super) not_selected: u64,
    /// The size of these messages.
    pub(super) not_selected_bytes: u64,
}

impl CopyPlan {
    pub(super) fn add_known(&mut self, length: u64) {
        self.known += 1;
        self.known_bytes += length;
    }

    pub(super) fn add_unselected(&mut self, size: u64) {
        self.not_selected += 1;
        self.not_selected_bytes += size;
    }

    /// Returns the keyword letters of the messages that are written.
    pub(super) fn letters_used(&self) -> KeywordSet {
        letters::union(self.messages.iter().filter(|m| !m.is_present()).map(|message| &message.entry))
    }

    /// Returns the keywords in the headers of the messages that are written, as atoms.
    pub(super) fn header_keywords(&self) -> Vec<String> {
        let written = self.messages.iter().filter(|message| !message.is_present());
        let keywords = written.filter_map(|message| message.status.as_ref()).map(StatusFields::keywords);
        let mut atoms: Vec<String> = Vec::new();
        let mut known = HashSet::new();
        for keyword in keywords.flat_map(Cow::into_owned) {
            let atom = keywords::atom(&keyword).into_owned();
            if known.insert(atom.to_ascii_lowercase()) {
                atoms.push(atom);
            }
        }
        atoms
    }

    pub(super) fn bytes(&self) -> u64 {
        self.known_bytes
            + self.not_selected_bytes
            + self.messages.iter().map(|message| message.size).sum::<u64>()
    }

    /// Returns the sizes of the files to write after the first `chunks`; None for a message that is only
    /// recorded.
    pub(super) fn sizes(&self, chunks: usize) -> impl Iterator<Item = Option<u64>> {
        let first = self.chunks.get(chunks).map_or(self.messages.len(), |chunk| chunk.messages.start);
        self.messages[first..].iter().map(|m| (!m.is_present()).then_some(m.size))
    }
}

impl SourceMessage {
    fn is_present(&self) -> bool {
        matches!(self.disposition, Disposition::Present(_))
    }
}

/// The inputs of a plan.
pub(super) struct Planner<'a> {
    pub(super) source: &'a SourceMaildir,
    pub(super) selection: Selection,
    pub(super) copied: &'a CopiedMessages,
    pub(super) history: &'a History<'a>,
    pub(super) options: &'a DestinationOptions<'a>,
    pub(super) context: &'a Context<'a>,
}

impl Planner<'_> {
    /// Decides for each message whether it is written, and by which name.
    pub(super) fn plan(&self, state: &DestinationState, findings: &mut Vec<Finding>) -> Result<CopyPlan> {
        let index = match state {
            DestinationState::Maildir => DestinationIndex::open(self.options.path, self.context.now)?,
            _ => DestinationIndex::default(),
        };
        let (mut plan, mut messages) = (CopyPlan::default(), Vec::new());
        for entry in &self.source.entries {
            match self.copied.length(entry) {
                Some(length) => plan.add_known(length),
                None if !self.source.files.is_selected(entry, self.selection)? => {
                    plan.add_unselected(self.source.files.size(entry));
                }
                None => {
                    let status = self.read_status(entry)?;
                    if let Some(status) = &status {
                        findings.extend(Entry::status_findings(status, &self.source.files.path(entry)));
                    }
                    let (size, disposition) = (self.source.files.size(entry), Disposition::KeepName);
                    messages.push(SourceMessage { entry: entry.clone(), size, disposition, status });
                }
            }
        }
        let mut skipped = Vec::new();
        self.skip_unreadable(&mut messages, &mut skipped)?;
        self.resolve_collisions(&mut messages, &index, findings)?;
        let chunks = divide(messages.iter().map(|message| message.size), MESSAGES_AT_ONCE);
        Ok(CopyPlan { messages, chunks, skipped, letters_there: index.letters(), ..plan })
    }

    /// Reads the flags in the header of a message of Thunderbird.
    fn read_status(&self, entry: &Entry) -> Result<Option<StatusFields>> {
        if !entry.may_have_status_fields() {
            return Ok(None);
        }
        self.context.cancel.check()?;
        let mut contents = Contents::default();
        let found = self.source.files.read(entry, &mut contents)?;
        Ok(found.ok().and_then(|found| found.entry.status_fields(header::split(&contents).header)))
    }

    fn skip_unreadable(&self, messages: &mut Vec<SourceMessage>, skipped: &mut Vec<Finding>) -> Result<()> {
        if !self.copied.is_open {
            // Mostly there is no new message. Without this, a FIFO would cause an empty section in every run.
            let mut readable = Vec::with_capacity(messages.len());
            for message in messages.drain(..) {
                match self.source.files.current_size(&message.entry)? {
                    Ok(_) => readable.push(message),
                    Err(none) => skipped.push(none.finding(self.source.files.path(&message.entry))),
                }
            }
            *messages = readable;
        }
        Ok(())
    }

    /// Compares messages with those that have the same name; in most Maildirs there are none.
    fn resolve_collisions(
        &self,
        messages: &mut [SourceMessage],
        index: &DestinationIndex,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let mut names = HashSet::new();
        let collides = |message: &SourceMessage| {
            let base = message.entry.parsed().base;
            !names.insert(base.to_vec()) || index.contains(base)
        };
        let collides: Vec<bool> = messages.iter().map(collides).collect();
        if !collides.contains(&true) {
            return Ok(());
        }
        let compare = |(message, collides): (&SourceMessage, &bool)| {
            self.context.cancel.check()?;
            collides.then(|| index.compare(self.source, &message.entry)).transpose()
        };
        let collisions: Vec<Option<Collision>> =
            messages.par_iter().zip(&collides).map(compare).collect::<Result<_>>()?;
        for section in &self.history.manifest.sections {
            names.extend(section.names().into_iter().map(|message| message.name.0.into_owned()));
        }
        for (message, collision) in messages.iter_mut().zip(collisions) {
            message.disposition = match collision {
                None | Some(Collision::Unread) => continue,
                Some(Collision::Same(same)) => Disposition::Present(same),
                Some(Collision::Other(other)) => {
                    match index.new_name(&other, self.context.host, &mut names)? {
                        NewName::Present(same) => Disposition::Present(same),
                        NewName::Free(name) => {
                            let shown = escape(&name);
                            let text =
                                format!("its name is that of another message; it is written as {shown}");
                            let path = self.source.files.path(&message.entry);
                            findings.push(Finding::new(Code::NameTaken, text).in_file(path));
                            Disposition::Rename(name)
                        }
                    }
                }
            };
        }
        Ok(())
    }
}
