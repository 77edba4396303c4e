//! One side of a comparison: all its messages in one sequence, scanned once and read again on demand.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::options::CompareOptions;
use super::text::{Digest, MessageBytes, Text};
use crate::mailbox::fs::Dir;
use crate::mailbox::fs::files;
use crate::mailbox::maildir::{
    Entry, FoundMessage, KeywordTable, MaildirReader, NoMessage, Subdir, keywords,
};
use crate::mailbox::mbox::single::SingleMessage;
use crate::mailbox::mbox::{Extent, Mbox, Quoting};
use crate::mailbox::message::status::OuterState;
use crate::mailbox::message::{
    DateFields, DateRules, DeletedPolicy, FromLineDates, LabelPolicy, Origin, Stamp, Status, StatusFields,
    header, received, status,
};
use crate::mailbox::message::{Eol, Headers};
use crate::mailbox::source::{Contents, Source};
use crate::mailbox::{Context, Error, Result};
use crate::verify::options::SourceOpener;

/// Messages per task.
pub(crate) const CHUNK: usize = 64;
/// An unknown date.
pub(crate) const NO_DATE: i64 = i64::MIN;

/// An open mailbox.
pub(crate) enum OpenMailbox<'a> {
    Mbox {
        source: &'a Source,
        mbox: Box<Mbox<'a>>,
    },
    /// A Maildir without its folders: each folder is a mailbox of its own.
    Maildir(&'a Path),
    /// Files that are one message each. They are opened one by one, since a process cannot open all of them.
    Messages {
        files: &'a [PathBuf],
        open: SourceOpener<'a>,
    },
}

/// All messages of one side, numbered from 0.
pub(crate) struct Side<'a>(pub(super) Vec<Part<'a>>);

pub(super) struct Part<'a> {
    /// Number of the first message.
    pub(super) first: usize,
    len: usize,
    pub(super) location: Location<'a>,
    /// Line ends that the messages are compared with.
    eol: Eol,
}

pub(super) enum Location<'a> {
    Mbox {
        source: &'a Source,
        mbox: &'a Mbox<'a>,
        /// Skipped messages: 1 if the first one is UW-IMAP's pseudo message.
        skipped: usize,
    },
    Maildir {
        path: &'a Path,
        /// The Maildir that contains the folder.
        root: &'a Path,
        reader: MaildirReader,
        entries: Vec<Entry>,
        bytes: u64,
        keywords: KeywordTable,
    },
    Files {
        files: &'a [PathBuf],
        open: SourceOpener<'a>,
        bytes: u64,
    },
}

/// Metadata of a message that is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct MessageTraits {
    /// Hash of the fields that readers rewrite; 0 if there are none.
    pub fields: u64,
    /// Received date, seconds since 1970; [`NO_DATE`] if it is unknown or not compared.
    pub date: i64,
    /// Flags; the default if they are not compared.
    pub flags: FlagState,
    /// Hash of the keywords; 0 if there are none or they are not compared.
    pub keywords: u64,
    /// True if the message is left out without a counterpart, since it is marked as deleted in an mbox.
    pub deleted: bool,
    /// True if the message is compared as if the conversion's options had changed it.
    pub as_asked: bool,
    /// True if the message was removed since it was listed.
    pub removed: bool,
    /// Size in the file for progress, at most 4 GiB.
    pub size: u32,
}

impl MessageTraits {
    /// Returns everything that may differ between two messages of the same content.
    pub(super) fn rewritable(&self) -> (u64, i64, FlagState, u64) {
        (self.fields, self.date, self.flags, self.keywords)
    }

    /// Returns date, flags and keywords.
    pub(super) fn metadata(&self) -> (i64, FlagState, u64) {
        (self.date, self.flags, self.keywords)
    }
}

/// Result of a scan, by message number.
#[derive(Default)]
pub(crate) struct ScannedSide {
    pub digests: Vec<Digest>,
    pub traits: Vec<MessageTraits>,
}

/// Result of a scan of some messages.
#[derive(Default)]
struct ScannedChunk {
    digests: Vec<Digest>,
    traits: Vec<MessageTraits>,
    /// Dates of messages of an mbox, if dates are compared. Which date of a message counts depends on all messages.
    dates: Vec<DateFields>,
}

/// Flags of a message as a Maildir shows them: letters, and the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct FlagState {
    pub flags: crate::mailbox::message::flags::Flags,
    pub in_cur: bool,
}

impl From<Status> for FlagState {
    fn from(status: Status) -> FlagState {
        FlagState { flags: status.flags, in_cur: status.belongs_in_cur() }
    }
}

/// A message with its bytes.
pub(crate) struct StoredMessage<'a> {
    pub text: Text<'a>,
    pub location: MessageLocation<'a>,
}

/// Location of a message.
pub(crate) enum MessageLocation<'a> {
    Mbox { path: &'a Path, number: usize, extent: Extent, mbox: &'a Mbox<'a> },
    File { path: PathBuf, entry: Cow<'a, Entry>, mtime: i64, keywords: &'a KeywordTable },
    WholeFile { path: &'a Path, stamp: Option<Stamp>, outer: OuterState },
}

impl<'a> Side<'a> {
    /// Lists the messages of the mailboxes.
    ///
    /// # Errors
    /// [`Error::NotAMailbox`] for a directory without cur/ and new/, [`Error::Io`].
    pub(super) fn open(
        mailboxes: &'a [OpenMailbox<'a>],
        options: &CompareOptions,
        now: i64,
    ) -> Result<Side<'a>> {
        let (mut parts, mut first) = (Vec::with_capacity(mailboxes.len()), 0);
        let mut root: Option<&Path> = None;
        for mailbox in mailboxes {
            let (location, len) = match mailbox {
                OpenMailbox::Mbox { source, mbox } => {
                    let skipped = usize::from(mbox.pseudo_message().is_some());
                    (Location::Mbox { source, mbox, skipped }, mbox.messages().len() - skipped)
                }
                OpenMailbox::Maildir(path) => {
                    let MaildirMessages { reader, entries, bytes } = list(path, now)?;
                    let (len, keywords) = (entries.len(), KeywordTable::read(path)?);
                    // The folders of a Maildir come after it.
                    let root = root.filter(|root| path.starts_with(root)).unwrap_or(path);
                    (Location::Maildir { path, root, reader, entries, bytes, keywords }, len)
                }
                OpenMailbox::Messages { files, open } => {
                    let sizes = files.iter().map(|file| files::size(file));
                    (Location::Files { files, open, bytes: sizes.sum() }, files.len())
                }
            };
            if let Location::Maildir { root: of_this, .. } = location {
                root = Some(of_this);
            }
            let eol = match mailbox {
                OpenMailbox::Maildir(path) => options.asked.eol_of_maildir(path),
                OpenMailbox::Mbox { .. } | OpenMailbox::Messages { .. } => options.asked.eol_of_source(),
            };
            parts.push(Part { first, len, location, eol });
            first += len;
        }
        Ok(Side(parts))
    }

    pub(super) fn len(&self) -> usize {
        self.0.last().map_or(0, |part| part.first + part.len)
    }

    /// Returns the size of all mailboxes.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = self.0.iter().map(|part| match &part.location {
            Location::Mbox { mbox, .. } => mbox.text().len() as u64,
            Location::Maildir { bytes, .. } | Location::Files { bytes, .. } => *bytes,
        });
        bytes.sum()
    }

    /// Counts UW-IMAP's pseudo messages, which are left out.
    pub(super) fn pseudo_messages(&self) -> u64 {
        let skipped = self.0.iter().map(|part| match part.location {
            Location::Mbox { skipped, .. } => skipped as u64,
            Location::Maildir { .. } | Location::Files { .. } => 0,
        });
        skipped.sum()
    }

    /// Reports whether a source has CR line ends, which are read as LF.
    pub(super) fn is_translated(&self) -> bool {
        self.sources().any(Source::is_cr_only)
    }

    fn sources(&self) -> impl Iterator<Item = &'a Source> {
        self.0.iter().filter_map(|part| match part.location {
            Location::Mbox { source, .. } => Some(source),
            Location::Maildir { .. } | Location::Files { .. } => None,
        })
    }

    /// Fails if a source has changed since it was opened.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        self.sources().try_for_each(Source::check_unchanged)
    }

    /// Reads every message once.
    pub(super) fn scan(&self, options: &CompareOptions, context: &Context<'_>) -> Result<ScannedSide> {
        let (mut digests, mut traits) = (Vec::with_capacity(self.len()), Vec::with_capacity(self.len()));
        for part in &self.0 {
            let chunks: Vec<ScannedChunk> =
                part.chunks(|chunk| part.scan(chunk, options, context)).collect::<Result<_>>()?;
            part.close();
            // As in convert, the pseudo message counts for what all From_ lines have in common.
            let pseudo = part.pseudo_message().filter(|_| options.metadata);
            let mut dates: Vec<DateFields> = pseudo.iter().map(StoredMessage::dates).collect();
            let skipped = dates.len();
            for chunk in chunks {
                digests.extend(chunk.digests);
                traits.extend(chunk.traits);
                dates.extend(chunk.dates);
            }
            // Each file is a source of its own in convert, and an mbox is one.
            let of_source = match part.location {
                Location::Files { .. } => 1,
                Location::Mbox { .. } | Location::Maildir { .. } => dates.len().max(1),
            };
            let sources = dates.chunks(of_source);
            let dates = sources.flat_map(|dates| received_dates(dates, options, context.now)).skip(skipped);
            traits[part.first..].iter_mut().zip(dates).for_each(|(traits, date)| traits.date = date);
        }
        Ok(ScannedSide { digests, traits })
    }

    /// Removes messages that another folder of their Maildir has with the same base name and content, and returns their
    /// number. These are links: one message in several folders.
    pub(super) fn exclude_links(&self, messages: &mut Vec<usize>, digests: &[Digest]) -> u64 {
        let key = |n: usize| match &self.part(n).location {
            Location::Maildir { root, path, entries, .. } => {
                let base = entries[n - self.part(n).first].parsed().base;
                Some(((*root, base, digests[n]), *path))
            }
            Location::Mbox { .. } | Location::Files { .. } => None,
        };
        messages.sort_unstable();
        // The other folder that has each of them.
        let mut elsewhere: HashMap<_, Option<&Path>> =
            messages.iter().filter_map(|&n| Some((key(n)?.0, None))).collect();
        if elsewhere.is_empty() {
            return 0;
        }
        let is_listed = |n: &usize| messages.binary_search(n).is_ok();
        for (key, path) in (0..self.len()).filter(|n| !is_listed(n)).filter_map(key) {
            elsewhere.entry(key).and_modify(|at| *at = Some(path));
        }
        let before = messages.len();
        messages.retain(|&n| {
            let Some((key, path)) = key(n) else { return true };
            let at = elsewhere.entry(key).or_default();
            let is_link = at.is_some_and(|at| at != path);
            *at = at.or(Some(path));
            !is_link
        });
        (before - messages.len()) as u64
    }

    /// Reads a message; None if it was removed since it was listed.
    pub(super) fn message(&self, number: usize) -> Result<Option<StoredMessage<'_>>> {
        let part = self.part(number);
        part.message(number - part.first)
    }

    pub(super) fn part(&self, number: usize) -> &Part<'a> {
        &self.0[self.0.partition_point(|part| part.first + part.len <= number)]
    }

    /// Releases the pages from the first to the last of these messages, and closes their Maildirs. Pages are released in
    /// large blocks, so pass many messages.
    pub(super) fn release(&self, numbers: impl Iterator<Item = usize> + Clone) {
        let (Some(first), Some(last)) = (numbers.clone().min(), numbers.max()) else { return };
        for part in &self.0 {
            let own = first.max(part.first)..(last + 1).min(part.first + part.len);
            if own.start < own.end {
                part.close();
                let Location::Mbox { source, mbox, skipped } = part.location else { continue };
                let first = skipped + own.start - part.first;
                source.release(Extent::span(&mbox.messages()[first..first + own.len()]));
            }
        }
    }

    /// Finds the lines of the files at which these messages begin, from 1. The numbers must be sorted; messages in
    /// Maildirs have no line.
    pub(super) fn lines(&self, numbers: &[usize], context: &Context<'_>) -> Result<Vec<(usize, u64)>> {
        let mut lines = Vec::new();
        for part in &self.0 {
            let Location::Mbox { source, mbox, skipped } = part.location else { continue };
            let own = part.first..part.first + part.len;
            let numbers = &numbers[numbers.partition_point(|&n| n < own.start)..];
            let numbers = &numbers[..numbers.partition_point(|&n| n < own.end)];
            let (mut line, mut counted) = (1, 0);
            for &number in numbers {
                let at = mbox.messages()[number - part.first + skipped].at as usize;
                while counted < at {
                    const WINDOW: usize = 8 << 20;
                    context.cancel.check()?;
                    let window = counted..at.min(counted + WINDOW);
                    line += memchr::memchr_iter(b'\n', &mbox.text()[window.clone()]).count() as u64;
                    counted = window.end;
                    source.release(window);
                }
                lines.push((number, line));
            }
        }
        Ok(lines)
    }
}

impl<'a> Part<'a> {
    /// Closes the directories of a Maildir until they are needed again.
    fn close(&self) {
        if let Location::Maildir { reader, .. } = &self.location {
            reader.close();
        }
    }

    fn chunks<'s, T: Send>(
        &'s self,
        scan: impl Fn(Range<usize>) -> T + Sync + Send + 's,
    ) -> impl IndexedParallelIterator<Item = T> + 's {
        let len = self.len;
        (0..len.div_ceil(CHUNK)).into_par_iter().map(move |n| scan(n * CHUNK..len.min((n + 1) * CHUNK)))
    }

    fn scan(
        &self,
        chunk: Range<usize>,
        options: &CompareOptions,
        context: &Context<'_>,
    ) -> Result<ScannedChunk> {
        context.cancel.check()?;
        let (mut scanned, mut bytes) = (ScannedChunk::default(), 0);
        for n in chunk.clone() {
            let Some(message) = self.message(n)? else {
                scanned.digests.push(Digest::default());
                scanned.traits.push(MessageTraits { removed: true, ..MessageTraits::default() });
                continue;
            };
            let StoredMessage { text, location } = &message;
            let (fields, is_stripped) = match (text.volatile_hash(), options.asked.headers) {
                (fields, Headers::Keep) => (fields, false),
                (fields, Headers::Strip) => (0, fields != 0),
            };
            let mut traits = MessageTraits {
                fields,
                as_asked: is_stripped || text.has_other_line_ends(),
                date: NO_DATE,
                flags: FlagState::default(),
                keywords: 0,
                deleted: false,
                removed: false,
                size: text.raw_len().try_into().unwrap_or(u32::MAX),
            };
            if options.metadata {
                let fields = message.status_fields(options.asked.labels);
                traits.flags = message.flags(&fields, options.asked.deleted);
                traits.keywords = hash_keywords(&message.keywords(&fields));
                match location {
                    // Convert puts the received date into name and mtime; other programs may use other names.
                    MessageLocation::File { entry, mtime, .. } => {
                        let parsed = entry.parsed();
                        traits.date = parsed.received_date(*mtime, text.header(), context.now).0;
                    }
                    MessageLocation::Mbox { .. } | MessageLocation::WholeFile { .. } => {
                        scanned.dates.push(message.dates());
                    }
                }
            }
            let is_file = matches!(location, MessageLocation::File { .. });
            if options.asked.deleted == DeletedPolicy::Skip && !is_file {
                traits.deleted = message.status_fields(LabelPolicy::Ignore).is_deleted();
            }
            bytes += text.raw_len() as u64;
            scanned.digests.push(text.digest());
            text.check_unchanged(location.path())?;
            scanned.traits.push(traits);
        }
        if let Location::Mbox { source, mbox, skipped } = self.location {
            source.release(Extent::span(&mbox.messages()[chunk.start + skipped..chunk.end + skipped]));
        }
        context.events.advance(bytes, scanned.digests.len() as u64);
        Ok(scanned)
    }

    fn pseudo_message(&self) -> Option<StoredMessage<'_>> {
        match self.location {
            Location::Mbox { source, mbox, skipped: 1 } => Some(self.mbox_message(source, mbox, 0)),
            _ => None,
        }
    }

    fn message(&self, n: usize) -> Result<Option<StoredMessage<'_>>> {
        match &self.location {
            Location::Mbox { source, mbox, skipped } => {
                Ok(Some(self.mbox_message(source, mbox, n + skipped)))
            }
            Location::Maildir { path, reader, entries, keywords, .. } => {
                let mut raw = Contents::default();
                let found = match reader.read(&entries[n], &mut raw)? {
                    // Files that cannot be read are the same if their bytes are.
                    Err(NoMessage::Unreadable(_)) => reader.read_stored(&entries[n], &mut raw)?,
                    found => found,
                };
                let FoundMessage { entry, mtime } = match found {
                    Ok(found) => found,
                    Err(none) => return require_absent(none, reader.path(&entries[n])).map(|()| None),
                };
                Ok(Some(StoredMessage {
                    text: Text::new(MessageBytes::File(raw), 0, Quoting::None, self.eol),
                    location: MessageLocation::File { path: entry.path(path), entry, mtime, keywords },
                }))
            }
            Location::Files { files, open, .. } => {
                let source = Box::new(open(&files[n])?);
                let single = SingleMessage::locate(source.text()).in_file(&files[n]);
                let (stamp, extent) = (single.first_stamp(source.text()), single.extent);
                let bytes = MessageBytes::Source { source, extent };
                Ok(Some(StoredMessage {
                    text: Text::new(bytes, extent.start, Quoting::None, self.eol),
                    location: MessageLocation::WholeFile { path: &files[n], stamp, outer: single.outer },
                }))
            }
        }
    }

    fn mbox_message<'s>(&self, source: &'s Source, mbox: &'s Mbox<'s>, n: usize) -> StoredMessage<'s> {
        let extent = mbox.messages()[n];
        let raw = extent.message(mbox.text());
        StoredMessage {
            text: Text::new(MessageBytes::Mbox(raw), extent.start, mbox.quoting(&extent), self.eol),
            location: MessageLocation::Mbox { path: source.path(), number: n + 1, extent, mbox },
        }
    }
}

impl StoredMessage<'_> {
    fn dates(&self) -> DateFields {
        let mut dates = DateFields { from: self.location.stamp(), ..DateFields::default() };
        header::fields(self.text.header()).for_each(|field| dates.read_field(&field));
        dates
    }

    /// Returns the fields of the header that have flags and keywords.
    pub(super) fn status_fields(&self, labels: LabelPolicy) -> StatusFields {
        let mut fields = status::parse_fields(self.text.header(), labels);
        match self.location {
            MessageLocation::Mbox { mbox, .. } => mbox.complete_status(&mut fields),
            MessageLocation::WholeFile { outer, .. } => outer.complete(&mut fields),
            MessageLocation::File { .. } => {}
        }
        fields
    }

    /// Returns the flags as convert takes them: from the name in a Maildir, and from the header in an mbox.
    pub(super) fn flags(&self, fields: &StatusFields, deleted: DeletedPolicy) -> FlagState {
        match &self.location {
            MessageLocation::Mbox { .. } | MessageLocation::WholeFile { .. } => fields.status(deleted).into(),
            MessageLocation::File { entry, .. } => entry.status(self.text.header()).into(),
        }
    }

    /// Returns the keywords as convert takes them, sorted and in lower case. In a Maildir without a free letter, keywords
    /// of the header count too, if they have no letter.
    pub(super) fn keywords(&self, fields: &StatusFields) -> Vec<String> {
        let lower = |name: &str| keywords::atom(name).to_ascii_lowercase();
        let all_lower = |fields: &StatusFields| -> Vec<String> {
            fields.keywords().iter().map(|keyword| lower(keyword)).collect()
        };
        let mut all = all_lower(fields);
        if let MessageLocation::File { entry, keywords: names, .. } = &self.location {
            let thunderbird = entry.status_fields(self.text.header());
            match thunderbird {
                Some(fields) => all = all_lower(&fields),
                None => all.retain(|name| names.is_full() && names.number(name).is_none()),
            }
            // A letter without a name is not a keyword.
            all.extend(entry.parsed().keywords().numbers().filter_map(|n| names.name(n)).map(lower));
        }
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl MessageLocation<'_> {
    /// Returns the file with the message.
    pub(super) fn path(&self) -> &Path {
        match self {
            MessageLocation::Mbox { path, .. } | MessageLocation::WholeFile { path, .. } => path,
            MessageLocation::File { path, .. } => path,
        }
    }

    /// Returns the date of the first From_ line.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        match self {
            MessageLocation::Mbox { mbox, extent, .. } => mbox.first_stamp(extent),
            MessageLocation::WholeFile { stamp, .. } => *stamp,
            MessageLocation::File { .. } => None,
        }
    }
}

fn hash_keywords(keywords: &[String]) -> u64 {
    let mut hasher = DefaultHasher::new();
    keywords.hash(&mut hasher);
    if keywords.is_empty() { 0 } else { hasher.finish() }
}

/// The messages of a Maildir.
struct MaildirMessages {
    reader: MaildirReader,
    entries: Vec<Entry>,
    /// Their total size.
    bytes: u64,
}

/// Lists the messages of a Maildir. Directories, FIFOs and links to nothing are skipped.
fn list(maildir: &Path, now: i64) -> Result<MaildirMessages> {
    let has = |place: Subdir| files::is_dir(maildir.join(place.dir()));
    if files::is_dir(maildir) && !has(Subdir::New) && !has(Subdir::Cur) {
        // It may only be unreadable.
        Dir::open(maildir)?;
        return Err(Error::not_a_mailbox(maildir, "it is a directory without cur/ and new/"));
    }
    let reader = MaildirReader::open(maildir, now)?;
    let entries = reader.list()?.messages.into_par_iter().map(|entry| match reader.current_size(&entry)? {
        Ok((entry, size)) => Ok(Some((entry.into_owned(), size))),
        Err(none) => require_absent(none, reader.path(&entry)).map(|()| None),
    });
    let entries: Vec<Option<(Entry, u64)>> = entries.collect::<Result<_>>()?;
    let (entries, sizes): (Vec<Entry>, Vec<u64>) = entries.into_iter().flatten().unzip();
    reader.close();
    Ok(MaildirMessages { reader, entries, bytes: sizes.iter().sum() })
}

/// Fails if there is a message, and it cannot be compared: the two sides would seem to be the same.
fn require_absent(none: NoMessage, path: PathBuf) -> Result<()> {
    match none {
        NoMessage::Sparse(size) => Err(Error::Sparse { path, size }),
        _ => Ok(()),
    }
}

/// Returns the received dates of the messages of an mbox, as convert takes them. A date from the mtime of the source, or
/// from nowhere, is unknown.
fn received_dates(dates: &[DateFields], options: &CompareOptions, now: i64) -> impl Iterator<Item = i64> {
    let rules = DateRules { now, mtime: None, from_zone: options.from_zone.clone(), first: None };
    let from_lines = FromLineDates::from_messages(dates.iter(), &rules);
    dates.iter().map(move |dates| match received::received_date(dates, &from_lines, &rules) {
        (_, Origin::None) => NO_DATE,
        (date, _) => date,
    })
}
