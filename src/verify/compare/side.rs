//! One side of a comparison: its messages in one row, whatever they lie in, looked at and read again.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::mailbox::context::Events;
use crate::mailbox::error::{Error, Result};
use crate::mailbox::fs::durable::Dir;
use crate::mailbox::maildir::keywords::{self, KeywordTable};
use crate::mailbox::maildir::list;
use crate::mailbox::maildir::list::Entry;
use crate::mailbox::maildir::write::Subdir;
use crate::mailbox::mbox::boundary::Extent;
use crate::mailbox::mbox::from_line;
use crate::mailbox::mbox::quote::Quoting;
use crate::mailbox::mbox::read::Mbox;
use crate::mailbox::mbox::status::{self, DeletedPolicy, LabelPolicy, Status, StatusFields};
use crate::mailbox::message::date::Stamp;
use crate::mailbox::message::header;
use crate::mailbox::message::received::{self, DateFields, DateRules, FromLineDates, Origin};
use crate::mailbox::source::Source;
use crate::verify::compare::CompareOptions;
use crate::verify::compare::text::{Digest, Text};

/// Messages a worker takes at once.
pub(crate) const CHUNK: usize = 64;
/// A date that is not known.
pub(crate) const NO_DATE: i64 = i64::MIN;

/// Opens an mbox, or a file that is a message.
pub type SourceOpener<'a> = &'a (dyn Fn(&Path) -> Result<Source> + Sync);

/// A mailbox to compare.
#[derive(Clone, Copy)]
pub enum OpenMailbox<'a> {
    /// An mbox of any variant, opened and read.
    Mbox {
        /// Its bytes.
        source: &'a Source,
        /// The same, divided.
        mbox: &'a Mbox<'a>,
    },
    /// A Maildir, without its folders: each of them is one of its own.
    Maildir(&'a Path),
    /// Files that are a message each. They are opened one by one, since there may be more of them than a
    /// process may have open.
    Messages {
        /// Which.
        files: &'a [PathBuf],
        /// How.
        open: SourceOpener<'a>,
    },
}

/// All messages of one side, numbered through from 0.
pub(crate) struct Side<'a>(Vec<Part<'a>>);

struct Part<'a> {
    /// The number of its first message.
    first: usize,
    len: usize,
    location: Location<'a>,
}

enum Location<'a> {
    Mbox {
        source: &'a Source,
        mbox: &'a Mbox<'a>,
        /// Of its messages: 1 where the first one is UW-IMAP's pseudo message.
        skipped: usize,
    },
    Maildir {
        /// Of the Maildir, or of the folder.
        path: &'a Path,
        /// Of the Maildir that it is, or a folder of.
        root: &'a Path,
        entries: Vec<Entry>,
        /// Of all files.
        bytes: u64,
        /// Of its letters.
        keywords: KeywordTable,
    },
    Files {
        files: &'a [PathBuf],
        open: SourceOpener<'a>,
        /// Of all files.
        bytes: u64,
    },
}

/// What is kept of each message while all are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MessageTraits {
    /// Hash of the fields that readers rewrite; 0 where there are none.
    pub fields: u64,
    /// Received, seconds since 1970. [`NO_DATE`] where it is not known or not wanted.
    pub date: i64,
    /// Flags; the default where they are not wanted.
    pub status: FlagState,
    /// Hash of the keywords; 0 where there are none, and where they are not wanted.
    pub keywords: u64,
    /// Whether it is marked as deleted in an mbox, and such messages are not counted where they have no
    /// counterpart.
    pub deleted: bool,
    /// Bytes in the file, at most 4 GiB: for progress.
    pub size: u32,
}

/// What a first look at some messages gave.
#[derive(Default)]
struct Looked {
    digests: Vec<Digest>,
    marks: Vec<MessageTraits>,
    /// The dates that messages of an mbox offer, where dates are wanted: which one counts, all of them
    /// together decide.
    offered: Vec<DateFields>,
}

/// What flags say, as it shows in a Maildir: letters, and whether it is in cur/.
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

/// A message read again.
pub(crate) struct StoredMessage<'a> {
    pub text: Text<'a>,
    pub location: MessageLocation<'a>,
}

/// Where a message lies.
pub(crate) enum MessageLocation<'a> {
    Mbox { path: &'a Path, number: usize, extent: Extent, from_line: &'a [u8] },
    File { path: PathBuf, entry: Entry, keywords: &'a KeywordTable },
    WholeFile { path: &'a Path },
}

impl<'a> Side<'a> {
    /// Lists the Maildirs; messages of mboxes are listed already.
    ///
    /// # Errors
    /// [`Error::NotAMailbox`] for a directory without cur/ and new/, [`Error::Io`].
    pub fn open(mailboxes: &[OpenMailbox<'a>]) -> Result<Side<'a>> {
        let (mut parts, mut first) = (Vec::with_capacity(mailboxes.len()), 0);
        let mut root: Option<&Path> = None;
        for mailbox in mailboxes {
            let (lies, len) = match *mailbox {
                OpenMailbox::Mbox { source, mbox } => {
                    let skipped = usize::from(begins_with_pseudo(mbox));
                    (Location::Mbox { source, mbox, skipped }, mbox.messages().len() - skipped)
                }
                OpenMailbox::Maildir(path) => {
                    let (entries, bytes) = list(path)?;
                    let len = entries.len();
                    // Its folders come behind it.
                    let root = root.filter(|root| path.starts_with(root)).unwrap_or(path);
                    (
                        Location::Maildir { path, root, entries, bytes, keywords: KeywordTable::read(path)? },
                        len,
                    )
                }
                OpenMailbox::Messages { files, open } => {
                    let sizes = files.iter().map(|file| fs::metadata(file).map_or(0, |found| found.len()));
                    (Location::Files { files, open, bytes: sizes.sum() }, files.len())
                }
            };
            if let Location::Maildir { root: of_this, .. } = lies {
                root = Some(of_this);
            }
            parts.push(Part { first, len, location: lies });
            first += len;
        }
        Ok(Side(parts))
    }

    pub fn len(&self) -> usize {
        self.0.last().map_or(0, |part| part.first + part.len)
    }

    /// Bytes of all mailboxes.
    pub fn bytes(&self) -> u64 {
        let bytes = self.0.iter().map(|part| match &part.location {
            Location::Mbox { mbox, .. } => mbox.text().len() as u64,
            Location::Maildir { bytes, .. } | Location::Files { bytes, .. } => *bytes,
        });
        bytes.sum()
    }

    /// UW-IMAP's pseudo messages, which are no mail and left out.
    pub fn pseudo(&self) -> u64 {
        let skipped = self.0.iter().map(|part| match part.location {
            Location::Mbox { skipped, .. } => skipped as u64,
            Location::Maildir { .. } | Location::Files { .. } => 0,
        });
        skipped.sum()
    }

    /// Whether a source of CR line ends is read as if they were LF.
    pub fn is_translated(&self) -> bool {
        self.sources().any(Source::is_cr_only)
    }

    fn sources(&self) -> impl Iterator<Item = &'a Source> {
        self.0.iter().filter_map(|part| match part.location {
            Location::Mbox { source, .. } => Some(source),
            Location::Maildir { .. } | Location::Files { .. } => None,
        })
    }

    /// Whether the files still are what they were when they were opened.
    pub fn check_unchanged(&self) -> Result<()> {
        self.sources().try_for_each(Source::check_unchanged)
    }

    /// Looks at every message once.
    pub fn scan(
        &self,
        options: &CompareOptions<'_>,
        progress: &dyn Events,
    ) -> Result<(Vec<Digest>, Vec<MessageTraits>)> {
        let (mut digests, mut marks) = (Vec::with_capacity(self.len()), Vec::with_capacity(self.len()));
        for part in &self.0 {
            let looked: Vec<Looked> =
                part.chunks(|chunk| part.look(chunk, options, progress)).collect::<Result<_>>()?;
            // What From_ lines have in common is asked of all of them, as convert does.
            let pseudo = part.pseudo().filter(|_| options.metadata);
            let mut offered: Vec<DateFields> = pseudo.iter().map(StoredMessage::offered).collect();
            let left_out = offered.len();
            for looked in looked {
                digests.extend(looked.digests);
                marks.extend(looked.marks);
                offered.extend(looked.offered);
            }
            let dates = received(&offered, options).skip(left_out);
            marks[part.first..].iter_mut().zip(dates).for_each(|(marks, date)| marks.date = date);
        }
        Ok((digests, marks))
    }

    /// Leaves those of `messages` out that are there already, in another folder of their Maildir: under the same
    /// base name and with the same content. That is how a message lies in several folders. Says how many.
    pub fn exclude_links(&self, messages: &mut Vec<usize>, digests: &[Digest]) -> u64 {
        let key = |n: usize| match &self.part(n).location {
            Location::Maildir { root, path, entries, .. } => {
                let base = entries[n - self.part(n).first].parsed().base;
                Some(((*root, base, digests[n]), *path))
            }
            Location::Mbox { .. } | Location::Files { .. } => None,
        };
        messages.sort_unstable();
        // Where each of them lies otherwise, if it does.
        let mut elsewhere: HashMap<_, Option<&Path>> =
            messages.iter().filter_map(|&n| Some((key(n)?.0, None))).collect();
        if elsewhere.is_empty() {
            return 0;
        }
        let is_in_question = |n: &usize| messages.binary_search(n).is_ok();
        for (key, path) in (0..self.len()).filter(|n| !is_in_question(n)).filter_map(key) {
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

    /// Reads a message again.
    pub fn message(&self, number: usize) -> Result<StoredMessage<'_>> {
        let part = self.part(number);
        part.message(number - part.first)
    }

    fn part(&self, number: usize) -> &Part<'a> {
        &self.0[self.0.partition_point(|part| part.first + part.len <= number)]
    }

    /// Says that nothing from the first to the last of these messages is needed soon. Many at a time:
    /// pages are handed back in large blocks.
    pub fn release(&self, numbers: impl Iterator<Item = usize> + Clone) {
        let (Some(first), Some(last)) = (numbers.clone().min(), numbers.max()) else { return };
        for part in &self.0 {
            let Location::Mbox { source, mbox, skipped } = part.location else { continue };
            let own = first.max(part.first)..(last + 1).min(part.first + part.len);
            if own.start < own.end {
                let extent = |n: usize| mbox.messages()[n - part.first + skipped];
                source.release(extent(own.start).at as usize..extent(own.end - 1).end as usize);
            }
        }
    }

    /// The lines of the files in which these messages begin, counted from 1. The numbers are sorted;
    /// those of messages in Maildirs are left out.
    pub fn lines(&self, numbers: &[usize], options: &CompareOptions<'_>) -> Result<Vec<(usize, u64)>> {
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
                    options.cancel.check()?;
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
    fn chunks<'s, T: Send>(
        &'s self,
        look: impl Fn(Range<usize>) -> T + Sync + Send + 's,
    ) -> impl IndexedParallelIterator<Item = T> + 's {
        let len = self.len;
        (0..len.div_ceil(CHUNK)).into_par_iter().map(move |n| look(n * CHUNK..len.min((n + 1) * CHUNK)))
    }

    fn look(
        &self,
        chunk: Range<usize>,
        options: &CompareOptions<'_>,
        progress: &dyn Events,
    ) -> Result<Looked> {
        options.cancel.check()?;
        let (mut looked, mut bytes) = (Looked::default(), 0);
        for n in chunk.clone() {
            let message = self.message(n)?;
            let StoredMessage { text, location: lies } = &message;
            let mut marks = MessageTraits {
                fields: text.volatile_hash(),
                date: NO_DATE,
                status: FlagState::default(),
                keywords: 0,
                deleted: false,
                size: text.raw_len().try_into().unwrap_or(u32::MAX),
            };
            if options.metadata {
                let said = status::parse_fields(text.header(), options.labels);
                marks.status = lies.flags(&said, options.deleted);
                marks.keywords = hash_of(&lies.keywords(&said));
                match lies {
                    MessageLocation::File { path, entry, .. } => marks.date = date_of_file(path, entry),
                    MessageLocation::Mbox { .. } | MessageLocation::WholeFile { .. } => {
                        looked.offered.push(message.offered())
                    }
                }
            }
            if options.deleted == DeletedPolicy::Skip
                && matches!(lies, MessageLocation::Mbox { .. } | MessageLocation::WholeFile { .. })
            {
                marks.deleted = status::parse_fields(text.header(), LabelPolicy::Ignore).deleted;
            }
            bytes += text.raw_len() as u64;
            looked.digests.push(text.digest());
            looked.marks.push(marks);
        }
        if let Location::Mbox { source, mbox, skipped } = self.location {
            let extents = &mbox.messages()[chunk.start + skipped..chunk.end + skipped];
            if let (Some(first), Some(last)) = (extents.first(), extents.last()) {
                source.release(first.at as usize..last.end as usize);
            }
        }
        progress.advance(bytes, looked.digests.len() as u64);
        Ok(looked)
    }

    /// The pseudo message.
    fn pseudo(&self) -> Option<StoredMessage<'_>> {
        match self.location {
            Location::Mbox { source, mbox, skipped: 1 } => Some(in_mbox(source, mbox, 0)),
            _ => None,
        }
    }

    fn message(&self, n: usize) -> Result<StoredMessage<'_>> {
        match &self.location {
            Location::Mbox { source, mbox, skipped } => Ok(in_mbox(source, mbox, n + skipped)),
            Location::Maildir { path, entries, keywords, .. } => {
                let (entry, raw) = list::read_entry(path, &entries[n])?;
                Ok(StoredMessage {
                    text: Text::new(Cow::Owned(raw), 0, Quoting::None),
                    location: MessageLocation::File { path: entry.path(path), entry, keywords },
                })
            }
            Location::Files { files, open, .. } => {
                let source = open(&files[n])?;
                let text = source.text().to_vec();
                source.check_unchanged()?;
                Ok(StoredMessage {
                    text: Text::new(Cow::Owned(text), 0, Quoting::None),
                    location: MessageLocation::WholeFile { path: &files[n] },
                })
            }
        }
    }
}

impl StoredMessage<'_> {
    /// The dates that it offers.
    fn offered(&self) -> DateFields {
        let mut offered = DateFields { from: self.location.stamp(), ..DateFields::default() };
        header::fields(self.text.header()).for_each(|field| offered.read_field(&field));
        offered
    }
}

impl MessageLocation<'_> {
    /// The file that it lies in.
    pub fn path(&self) -> &Path {
        match self {
            MessageLocation::Mbox { path, .. } | MessageLocation::WholeFile { path } => path,
            MessageLocation::File { path, .. } => path,
        }
    }

    /// Flags as convert takes them: a Maildir has them in the name, an mbox in the header, which is `said`.
    pub fn flags(&self, said: &StatusFields, deleted: DeletedPolicy) -> FlagState {
        match self {
            MessageLocation::Mbox { .. } | MessageLocation::WholeFile { .. } => said.status(deleted).into(),
            MessageLocation::File { entry, .. } => {
                Status { flags: entry.parsed().flags(), old: entry.subdir == Subdir::Cur }.into()
            }
        }
    }

    /// Keywords likewise, in order and in lower case. Where all letters of a Maildir are taken those of the
    /// header count that have none: more a Maildir cannot say.
    pub fn keywords(&self, said: &StatusFields) -> Vec<String> {
        let lower = |name: &str| keywords::atom(name).to_ascii_lowercase();
        let in_header = said.keywords.iter().map(|keyword| lower(keyword));
        let mut all: Vec<String> = match self {
            MessageLocation::Mbox { .. } | MessageLocation::WholeFile { .. } => in_header.collect(),
            MessageLocation::File { entry, keywords: names, .. } => {
                // A letter that nothing names is no keyword to anybody.
                let letters = entry.parsed().keywords().numbers().filter_map(|n| names.name(n)).map(lower);
                letters
                    .chain(in_header.filter(|name| names.is_full() && names.number(name).is_none()))
                    .collect()
            }
        };
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The date of the From_ line, of the first one if there are several.
    pub fn stamp(&self) -> Option<Stamp> {
        match self {
            MessageLocation::Mbox { from_line, .. } => from_line::parse(first_line(from_line)).stamp,
            MessageLocation::File { .. } | MessageLocation::WholeFile { .. } => None,
        }
    }
}

fn hash_of(keywords: &[String]) -> u64 {
    let mut hasher = DefaultHasher::new();
    keywords.hash(&mut hasher);
    if keywords.is_empty() { 0 } else { hasher.finish() }
}

fn in_mbox<'a>(source: &'a Source, mbox: &'a Mbox<'_>, n: usize) -> StoredMessage<'a> {
    let extent = mbox.messages()[n];
    let (raw, from_line) = (extent.message(mbox.text()), extent.from_lines(mbox.text()));
    StoredMessage {
        text: Text::new(Cow::Borrowed(raw), extent.start, mbox.variant.quoting()),
        location: MessageLocation::Mbox { path: source.path(), number: n + 1, extent, from_line },
    }
}

fn first_line(lines: &[u8]) -> &[u8] {
    lines.split_inclusive(|&b| b == b'\n').next().unwrap_or_default()
}

fn begins_with_pseudo(mbox: &Mbox<'_>) -> bool {
    let first = mbox.messages().first();
    first.is_some_and(|extent| status::is_pseudo_message(header::split(extent.message(mbox.text())).header))
}

/// The messages of a Maildir and their bytes. A directory or a FIFO under a message's name is none,
/// and reading the FIFO would wait for ever.
fn list(maildir: &Path) -> Result<(Vec<Entry>, u64)> {
    let has = |place: Subdir| maildir.join(place.dir()).is_dir();
    if maildir.is_dir() && !has(Subdir::New) && !has(Subdir::Cur) {
        // Perhaps it only may not be looked into.
        Dir::open(maildir)?;
        let reason = "it is a directory without cur/ and new/".into();
        return Err(Error::NotAMailbox { path: maildir.to_owned(), reason, hint: None });
    }
    let entries = list::list_messages(maildir)?.into_par_iter().filter_map(|entry| {
        match fs::metadata(entry.path(maildir)) {
            Ok(found) => found.is_file().then_some((entry, found.len())),
            // It may have moved to cur/ meanwhile: whoever reads it looks again.
            Err(_) => Some((entry, 0)),
        }
    });
    let (entries, sizes): (Vec<Entry>, Vec<u64>) = entries.unzip();
    Ok((entries, sizes.iter().sum()))
}

/// Convert puts the received date into name and mtime; other programs may have other names.
fn date_of_file(path: &Path, entry: &Entry) -> i64 {
    use std::os::unix::fs::MetadataExt;
    let mtime = || fs::metadata(path).map_or(NO_DATE, |found| found.mtime());
    entry.parsed().epoch().unwrap_or_else(mtime)
}

/// The received dates of all messages of an mbox as convert takes them. One that it would take from
/// the mtime of the file, or from nowhere, is not known.
fn received(offered: &[DateFields], options: &CompareOptions<'_>) -> impl Iterator<Item = i64> {
    let rules =
        DateRules { now: options.now, mtime: None, from_zone: options.from_zone.clone(), first: None };
    let from_dates = FromLineDates::from_messages(offered.iter(), &rules);
    offered.iter().map(move |offered| match received::received_date(offered, &from_dates, &rules) {
        (_, Origin::None) => NO_DATE,
        (date, _) => date,
    })
}
