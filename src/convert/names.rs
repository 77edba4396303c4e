//! The names that messages get: what an earlier run, another source or a file on disk uses already.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::dedupe::{MessageDigests, Twin, content_digest_with};
use super::keywords::Keywords;
use super::planned::{Disposition, ExistingName, FolderPlacement};
use super::{FolderIndex, LabelFolders, PlannedMessage};
use crate::mailbox::maildir::{KeywordSet, Unique, name};
use crate::mailbox::manifest::{Digest, MessageRecord, Section};
use crate::mailbox::{display_path, escape};

/// Names in use and dedupe state, shared by all sources of a run.
#[derive(Debug, Default)]
pub(crate) struct NameTable {
    /// The keywords of all messages.
    pub(crate) keywords: Keywords,
    /// The keyword letters of messages on disk, by folder.
    pub(crate) letters_in_use: HashMap<FolderIndex, KeywordSet>,
    /// The folders that messages go to.
    pub(crate) folders: LabelFolders,
    /// The last part of new names; None if messages get none.
    host: Option<String>,
    /// Names of copy 0 that a manifest holds, or that another source of this run was given.
    claimed: HashSet<Unique>,
    /// The same for further copies. Nearly all names are of copy 0, so a set of both would waste memory.
    claimed_copies: HashSet<(Unique, u32)>,
    /// The first bytes of unique parts that several messages of the current source share.
    repeated: HashSet<u64>,
    /// The current source is the last one: no other will ask for the names it gets.
    is_last: bool,
    /// The next copy number to try, where there is more than one.
    copies: HashMap<Unique, u32>,
    /// Base names on disk that mailferry wrote.
    on_disk: HashMap<(Unique, u32), Vec<u8>>,
    /// Where these files are, relative to the Maildir; filled only if the run has folders.
    locations: HashMap<(Unique, u32), Vec<(FolderIndex, PathBuf)>>,
    /// Names of an unfinished run that this run has given again.
    reused: HashSet<Vec<u8>>,
    /// For `--dedupe`: the messages that exist, by key.
    originals: HashMap<Digest, Original>,
    /// The sources so far, by the names that messages to the user have.
    sources: Vec<String>,
}

/// A message that `--dedupe` compares others with.
#[derive(Debug)]
struct Original {
    name: ExistingName,
    /// Without the fields that mail readers rewrite.
    content: Digest,
    /// The source in this run, and the number there.
    place: Option<(usize, usize)>,
}

/// How many line ends at the end of a message may have been added since an earlier run, in bytes.
const MOST_LINE_ENDS: usize = 8;

/// The messages of one source as earlier runs wrote them.
#[derive(Debug, Default)]
pub(crate) struct PreviousMessages {
    by_content: HashMap<Digest, VecDeque<PreviousMessage>>,
    /// The last message of each earlier state, whose last line ends may have been missing.
    last: Vec<LastMessage>,
}

#[derive(Debug)]
struct LastMessage {
    content: Digest,
    /// The length of its bytes; None if it has fields that mail readers rewrite.
    length: Option<u64>,
}

#[derive(Debug, Clone)]
struct PreviousMessage {
    name: Vec<u8>,
    file: Digest,
    /// The levels of its folders.
    folders: Vec<Vec<String>>,
    /// The section was closed: if the file is gone, the user removed it.
    closed: bool,
    /// It has no file of its own.
    duplicate: bool,
    /// The source has a message of its date, which it stays with.
    reserved: bool,
}

impl PreviousMessage {
    fn has_date(&self, epoch: i64) -> bool {
        name::parse(&self.name).epoch() == Some(epoch)
    }
}

impl PreviousMessages {
    /// Collects the messages of all sections of a source, oldest section first. A later section repeats the
    /// names of an earlier one. What a closed section names is settled, whatever a later open one names.
    pub(crate) fn from_sections(sections: &[Section]) -> PreviousMessages {
        let mut known = HashSet::new();
        let mut previous = PreviousMessages::default();
        let (closed, open): (Vec<&Section>, Vec<&Section>) =
            sections.iter().rev().partition(|section| section.footer.is_some());
        for section in closed.into_iter().chain(open) {
            let closed = section.footer.is_some();
            // Duplicates have the name of their original.
            let mut named = HashMap::<&[u8], u32>::new();
            for message in section.messages.iter().filter(|m| closed || !m.duplicate) {
                let nth = named.entry(&message.name.0).or_default();
                *nth += 1;
                if known.insert((&message.name.0, *nth)) {
                    let entry = PreviousMessage {
                        name: message.name.0.clone(),
                        file: message.file_digest(),
                        folders: message.folders.clone(),
                        closed,
                        duplicate: message.duplicate,
                        reserved: false,
                    };
                    previous.by_content.entry(message.content_digest()).or_default().push_back(entry);
                }
            }
        }
        let last = sections.iter().filter_map(|section| section.messages.last());
        previous.last = last.map(LastMessage::new).collect();
        previous
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_content.is_empty()
    }

    /// Returns the number of messages with different contents.
    pub(crate) fn len(&self) -> usize {
        self.by_content.len()
    }

    /// Returns the content by which a message is known: its own, or that of a message with other line ends at its end.
    /// A source may have ended without the newline or the blank line that a later append added, and the other way round.
    /// `content` is that of `message`; `is_last` is true for the last message of the source.
    pub(crate) fn find_content(&self, message: &[u8], content: Digest, is_last: bool) -> Option<Digest> {
        if self.is_empty() {
            return None;
        }
        if self.by_content.contains_key(&content) {
            return Some(content);
        }
        let bare = without_line_ends(message);
        let lengths = bare.len() as u64..=message.len() as u64 + 2;
        let may_be = |last: &LastMessage| last.length.is_none_or(|length| lengths.contains(&length));
        if !is_last && !self.last.iter().any(may_be) {
            return None;
        }
        let is_known = |content: &Digest| {
            let is_last = is_last || self.last.iter().any(|last| last.content == *content);
            is_last && self.by_content.contains_key(content)
        };
        let line_ends = &message[bare.len()..];
        let parts = (0..line_ends.len()).map(|end| &line_ends[..end]).take(MOST_LINE_ENDS);
        let line_ends = parts.chain([&b"\n"[..], b"\r\n"]);
        line_ends.map(|line_ends| content_digest_with(bare, line_ends)).find(is_known)
    }

    /// Keeps as many messages with the same content as the source has `now`, of which it gets contents and dates.
    /// Those on disk come first: they can be reused. Those that the user removed come before those that only a
    /// killed run named. If the source has more of them, because not all were selected, each stays with its date.
    pub(crate) fn prefer(
        &mut self,
        now: impl Iterator<Item = (Digest, i64)> + Clone,
        is_on_disk: impl Fn(&[u8]) -> bool,
    ) {
        let mut counts = HashMap::<Digest, usize>::new();
        now.clone().for_each(|(content, _)| *counts.entry(content).or_default() += 1);
        let count = |content: &Digest| counts.get(content).copied().unwrap_or(0);
        for (content, same) in self.by_content.iter_mut().filter(|(_, same)| same.len() > 1) {
            same.make_contiguous().sort_by_cached_key(|m| (!is_on_disk(&m.name), !m.closed));
            same.truncate(count(content));
        }
        let is_scarce =
            |content: &Digest| self.by_content.get(content).is_some_and(|same| same.len() < count(content));
        let mut dated = HashMap::<(Digest, i64), usize>::new();
        let scarce = now.filter(|(content, _)| count(content) > 1 && is_scarce(content));
        scarce.for_each(|message| *dated.entry(message).or_default() += 1);
        for ((content, epoch), count) in dated {
            let same = self.by_content.get_mut(&content).into_iter().flatten();
            let of_date = same.filter(|message| message.has_date(epoch)).take(count);
            of_date.for_each(|message| message.reserved = true);
        }
    }

    /// Takes one with this content, preferably one with the same file and date.
    fn take(&mut self, digests: &MessageDigests, epoch: i64) -> Option<PreviousMessage> {
        let same = self.by_content.get_mut(&digests.content)?;
        let is_free = |message: &PreviousMessage| !message.reserved || message.has_date(epoch);
        let is_exact = |message: &&PreviousMessage| message.file == digests.file;
        let is_same = |message: &PreviousMessage| is_exact(&message) && message.has_date(epoch);
        let found = same.iter().position(is_same);
        let found = found.or_else(|| same.iter().position(|m| is_exact(&m) && is_free(m)));
        same.remove(found.or_else(|| same.iter().position(is_free))?)
    }
}

impl LastMessage {
    fn new(record: &MessageRecord) -> LastMessage {
        let length = record.content.is_none().then_some(record.len);
        LastMessage { content: record.content_digest(), length }
    }
}

/// Returns a message without the line ends at its end.
fn without_line_ends(message: &[u8]) -> &[u8] {
    let end = message.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
    &message[..end.map_or(0, |end| end + 1)]
}

impl NameTable {
    /// Collects the base names on disk and those of the manifest's sections. New names end with `host`.
    pub(crate) fn new(
        base_names: impl Iterator<Item = Vec<u8>>,
        sections: &[Section],
        host: &str,
    ) -> NameTable {
        let mut names = NameTable { host: Some(host.to_owned()), ..NameTable::default() };
        for name in base_names {
            if let Some(unique) = name::parse(&name).unique() {
                names.on_disk.insert(unique, name);
            }
        }
        for message in sections.iter().flat_map(|s| &s.messages) {
            if let Some((unique, copy)) = name::parse(&message.name.0).unique() {
                names.claim(unique, copy);
            }
        }
        names
    }

    fn claim(&mut self, unique: Unique, copy: u32) {
        match copy {
            0 => self.claimed.insert(unique),
            _ => self.claimed_copies.insert((unique, copy)),
        };
    }

    fn is_claimed(&self, unique: Unique, copy: u32) -> bool {
        match copy {
            0 => self.claimed.contains(&unique),
            _ => self.claimed_copies.contains(&(unique, copy)),
        }
    }

    /// Tells the table that the next source is the last one.
    pub(crate) fn expect_last_source(&mut self) {
        self.is_last = true;
    }

    /// Reports whether messages get names at all.
    pub(crate) fn gives_names(&self) -> bool {
        self.host.is_some()
    }

    /// Frees what only giving names needs: its size grows with the number of messages.
    pub(crate) fn forget_names(&mut self) {
        let NameTable { keywords, letters_in_use, folders, host, .. } = std::mem::take(self);
        *self = NameTable { keywords, letters_in_use, folders, host, ..NameTable::default() };
    }

    /// Turns off names for a run that writes nothing, unless it must compare them with existing ones.
    pub(crate) fn for_dry_run(self) -> NameTable {
        let is_empty = self.claimed.is_empty() && self.claimed_copies.is_empty() && self.on_disk.is_empty();
        NameTable { host: self.host.filter(|_| !is_empty), ..self }
    }

    /// Records where a file is.
    pub(crate) fn add_file(&mut self, base_name: &[u8], folder: FolderIndex, path: PathBuf) {
        if let Some(unique) = name::parse(base_name).unique() {
            self.locations.entry(unique).or_default().push((folder, path));
        }
    }

    /// Records a message on disk for `--dedupe`.
    pub(crate) fn add_original(&mut self, name: Vec<u8>, digests: &MessageDigests) {
        let folders = self.locations_of(&name).iter().map(|(folder, _)| *folder).collect();
        if let Some(key) = digests.key {
            let name = ExistingName { name, file: Some(digests.file), folders };
            let original = Original { name, content: digests.content, place: None };
            self.originals.entry(key).or_insert(original);
        }
    }

    fn locations_of(&self, name: &[u8]) -> &[(FolderIndex, PathBuf)] {
        let locations = name::parse(name).unique().and_then(|unique| self.locations.get(&unique));
        locations.map_or(&[], |locations| locations)
    }

    /// Reports whether each folder of the message has a file with this name. If only some have it, the message
    /// is placed into the others.
    fn is_in_all_folders(&self, message: &mut PlannedMessage, name: &[u8]) -> bool {
        let locations = self.locations_of(name);
        let Some((_, existing)) = locations.first() else { return self.is_on_disk(name) };
        let folders = message.folders().to_vec();
        let is_missing = |folder: &FolderIndex| locations.iter().all(|(at, _)| at != folder);
        let missing: Vec<FolderIndex> = folders.iter().copied().filter(is_missing).collect();
        let in_all = missing.is_empty();
        if !in_all {
            let existing = Some(existing.clone());
            message.set_placement(Some(FolderPlacement { folders, missing, existing }));
        }
        in_all
    }

    pub(crate) fn is_on_disk(&self, name: &[u8]) -> bool {
        name::parse(name).unique().is_some_and(|unique| self.on_disk.contains_key(&unique))
    }

    /// Prepares for the messages of another source.
    pub(crate) fn begin_source(&mut self, path: &Path, messages: &[PlannedMessage]) {
        self.sources.push(display_path(path));
        self.repeated = repeated(messages);
    }

    /// Decides what is done with message `number` of the source, counted from 1, and gives it its name. One that is not
    /// selected gets none, unless the destination has it. Returns its twin if it is a duplicate that no earlier run has
    /// left out.
    pub(crate) fn place(
        &mut self,
        number: usize,
        message: &mut PlannedMessage,
        previous: &mut PreviousMessages,
        digests: Option<&MessageDigests>,
    ) -> Option<Twin> {
        let place = Some((self.sources.len().saturating_sub(1), number));
        if let Some(existing) = self.reuse_previous(message, previous, digests) {
            if let (Some(digests), Some(key)) = (digests, digests.and_then(|digests| digests.key)) {
                let original = Original { name: existing.clone(), content: digests.content, place };
                self.originals.entry(key).or_insert(original);
            }
            message.set_existing_name(existing);
            return None;
        }
        if message.disposition == Disposition::NotSelected {
            return None;
        }
        let digests = digests.filter(|digests| digests.key.is_some());
        if let Some((digests, original)) =
            digests.and_then(|digests| Some((digests, self.originals.get(&digests.key?)?)))
        {
            message.disposition = Disposition::Duplicate;
            message.set_placement(FolderPlacement::new(original.name.folders.clone()));
            message.set_existing_name(original.name.clone());
            return Some(self.twin(original, digests));
        }
        self.name(message);
        if let Some((key, digests)) = digests.and_then(|digests| Some((digests.key?, digests))) {
            let name = message.base_name(self.host.as_deref().unwrap_or_default());
            let folders = message.placed_folders();
            let name = ExistingName { name, file: Some(digests.file), folders };
            self.originals.insert(key, Original { name, content: digests.content, place });
        }
        None
    }

    fn twin(&self, original: &Original, digests: &MessageDigests) -> Twin {
        let place = match original.place {
            Some((source, number)) => format!("message {number} of {}", self.sources[source]),
            None => escape(&original.name.name),
        };
        Twin { place, differs: digests.content != original.content }
    }

    /// Decides what is done with a message that an earlier run has, and returns its name there.
    fn reuse_previous(
        &mut self,
        message: &mut PlannedMessage,
        previous: &mut PreviousMessages,
        digests: Option<&MessageDigests>,
    ) -> Option<ExistingName> {
        let digests = digests?;
        let is_selected = message.disposition != Disposition::NotSelected;
        let mut candidates = std::iter::from_fn(|| previous.take(digests, message.epoch));
        let candidate = candidates.find(|previous| match previous.closed {
            true => true,
            false if !is_selected && !self.is_on_disk(&previous.name) => false,
            // Another source of this run may use the name of an unfinished run already.
            false => self.reused.insert(previous.name.clone()),
        });
        let previous = candidate?;
        // A name holds the size: if the killed run rendered the message differently, it needs another name.
        let same_file = digests.file == previous.file;
        if !(previous.closed || same_file || self.is_on_disk(&previous.name)) {
            return None;
        }
        // A settled message stays in the folders it was put into, or into which the user moved it.
        if previous.closed {
            message.set_placement(self.settled_placement(previous.folders));
        }
        message.disposition = match previous.duplicate {
            true => Disposition::Duplicate,
            _ if previous.closed || self.is_in_all_folders(message, &previous.name) => Disposition::Present,
            _ => Disposition::Write,
        };
        let folders = message.placed_folders();
        Some(ExistingName { name: previous.name, file: Some(previous.file), folders })
    }

    /// Returns the folders that a closed section names.
    fn settled_placement(&mut self, folders: Vec<Vec<String>>) -> Option<FolderPlacement> {
        let numbers = folders.into_iter().map(|levels| self.folders.intern(levels));
        let mut placement = FolderPlacement::new(numbers.collect())?;
        placement.missing.clear();
        Some(placement)
    }

    /// Gives a message the first free copy number. A file on disk with that name that no manifest claims was
    /// written by a run without a manifest. It is this message, since the name is derived from the bytes.
    fn name(&mut self, message: &mut PlannedMessage) {
        let Some(unique) = message.unique else { return };
        let mut copy = self.copies.get(&unique).copied().unwrap_or(0);
        while self.is_claimed(unique, copy) {
            copy += 1;
        }
        if !self.is_last {
            self.claim(unique, copy);
        }
        if copy > 0 || self.repeated.contains(&prefix(unique)) {
            self.copies.insert(unique, copy + 1);
        }
        message.copy = copy;
        if let Some(name) = self.on_disk.get(&(unique, copy)).cloned() {
            if self.is_in_all_folders(message, &name) {
                message.disposition = Disposition::Present;
            }
            let folders = message.placed_folders();
            message.set_existing_name(ExistingName { name, file: None, folders });
        }
    }
}

/// Returns the prefixes of unique parts that several of these messages share. A set of all unique parts would
/// be the largest thing in memory, so this sorts prefixes of eight bytes.
fn repeated(messages: &[PlannedMessage]) -> HashSet<u64> {
    let mut all: Vec<u64> = messages.iter().filter_map(|message| message.unique).map(prefix).collect();
    all.par_sort_unstable();
    all.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect()
}

fn prefix(Unique(bytes): Unique) -> u64 {
    bytes.iter().take(8).fold(0, |number, &byte| number << 8 | u64::from(byte))
}
