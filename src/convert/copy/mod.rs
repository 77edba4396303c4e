//! convert, one Maildir into another: bytes, base names, flags, places and times stay what they are, since an
//! IMAP server knows a message by its base name.
//!
//! A Maildir is known by the names in it. A name that a closed section of the same path has was copied once and
//! is not looked at again: so a second run costs a listing, and what was deleted or moved in the destination
//! does not come back. Two messages of one name and other bytes stay two: the second gets a name of ours.

mod letters;

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Mutex;

use rayon::prelude::*;

use super::render::{Eol, Headers, render};
use super::resume::{self, ResumePoint};
use super::{Abort, FolderCount, Options, Outcome, Report, Totals, check_free_space, writer_options};
use crate::convert::commit;
use crate::convert::commit::{PendingLines, WrittenSections};
use crate::convert::history;
use crate::convert::history::History;
use crate::mailbox::context::{Events, Phase};
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::fs::durable::Dir;
use crate::mailbox::maildir::keywords::KeywordSet;
use crate::mailbox::maildir::list;
use crate::mailbox::maildir::list::{Entry, FoundMessage, MaildirReader};
use crate::mailbox::maildir::name::{self, BaseName, Unique};
use crate::mailbox::maildir::write::{
    self, DestinationState, Fsync, Leftover, MaildirWriter, NewMessage, Subdir,
};
use crate::mailbox::manifest::{
    self, Bytes, Digest, ManifestLocation, MessageRecord, SectionFooter, SectionHeader, to_line,
};
use crate::mailbox::mbox::quote::Quoting;
use crate::mailbox::message::header;
use crate::mailbox::message::received::Origin;
use crate::mailbox::reorder::Reorder;
use crate::mailbox::text::escape;
use letters::{LetterMapping, MappedInfo};

/// Messages that a worker reads and writes at once.
const MESSAGES: usize = 64;
/// Bytes after which he takes no further one.
const BYTES: u64 = 2 << 20;

/// Copies a Maildir, without its folders, into the one that `options` names. With an error nothing new is
/// visible there, except, in one that existed, the whole messages that the sums count as written.
///
/// Of the options those that say something about an mbox, or what its messages become, have no meaning here.
pub fn copy_maildir(source: &Path, options: &Options<'_>, progress: &dyn Events) -> Outcome {
    let mut told = Told::default();
    let (sums, error) = match run(source, options, progress, &mut told) {
        Ok(sums) => (sums, None),
        Err(Abort { error, published }) => {
            let not_reached = Totals {
                sources: 1,
                messages_found: published,
                written: published,
                bytes_source: told.bytes,
                bytes_not_reached: told.bytes,
                ..Totals::default()
            };
            (not_reached, Some(error))
        }
    };
    // A wrong sum is a bug of ours, and a migration must not be told that all is well.
    assert!(sums.balances(), "the sums do not add up: {sums:?}");
    let Told { findings, .. } = told;
    let report = Report { path: source.to_owned(), variant: None, evidence: String::new(), findings };
    let folders = if error.is_none() { FolderCount::inbox(sums.written) } else { Vec::new() };
    Outcome { reports: vec![report], sums, folders, error }
}

/// What is known by the time of an error.
#[derive(Default)]
struct Told {
    findings: Vec<Finding>,
    bytes: u64,
}

fn run(
    source: &Path,
    options: &Options<'_>,
    progress: &dyn Events,
    told: &mut Told,
) -> Result<Totals, Abort> {
    let standing = write::check_destination(options.destination)?;
    refuse_itself(source, options.destination, &standing)?;
    if options.ownership.owner.is_some() {
        refuse_links(source)?;
    }
    let store = SourceMaildir::open(source)?;
    if let Some(sums) = all_known(&store, options, &standing)? {
        let text = "all of its messages were copied before: nothing to do";
        told.findings.push(Finding::new(Code::SourceKnown, text));
        return Ok(sums);
    }
    told.findings.extend(indexes_left(source)?);
    let filling = if options.dry_run { None } else { Some(MaildirWriter::open(writer_options(options))?) };
    // Read under the lock: somebody else may have written it while we waited.
    let standing = write::check_destination(options.destination)?;
    let _lock = if options.dry_run { None } else { options.lock_manifest()? };
    let manifest = history::read_manifest(options, &standing)?;
    let past = manifest.as_ref().map_or_else(|| Ok(History::default()), History::parse)?;
    past.check_destination(options, &standing)?;
    let history = CopiedMessages::of(&past, source);
    let plan = plan(&store, &history, &past, options, &standing, told)?;
    told.bytes = plan.bytes();
    let in_use = (standing == DestinationState::Maildir).then_some(plan.letters_there);
    let filling_now = filling.as_ref().map(|(filling, _)| filling);
    let mapping = LetterMapping::new(source, plan.letters_used(), in_use, filling_now, options)?;
    let copying = Copying { store: &store, plan: &plan, mapping: &mapping, options, progress };
    let Some((filling, left)) = filling else {
        check_free_space(options.destination, &standing, plan.sizes(0))?;
        let mut tally = copying.look()?;
        plan.left_out.iter().for_each(|finding| tally.leave_out(finding.clone()));
        return Ok(tally.tell(&plan, told));
    };
    let recorded =
        options.manifest != ManifestLocation::None && (history.is_open || !plan.letters.is_empty());
    let mut ledger = CopySection::default();
    let head = recorded.then(|| to_line(&SectionHeader::for_maildir(PROGRAM, source, history.follows)));
    let (mut sections, mut end) = (history.sections, history.end);
    if let Leftover::Stage(text) = &left {
        let agreed = copying.take_over(&filling, text, head.as_deref().unwrap_or_default())?;
        (ledger, sections, end) = (agreed, 0, 0);
        end += ledger.bytes;
    }
    let done = vec![resume::SourceProgress {
        messages: ledger.tally.written as usize,
        ..resume::SourceProgress::default()
    }];
    let resumed = ResumePoint { done, has_files: true, sections, end };
    told.findings.extend(resumed.finding(&left));
    check_free_space(options.destination, &standing, plan.sizes(ledger.chunks))?;
    let manifest = if recorded { options.manifest.open(filling.root(), end)? } else { None };
    progress.begin(Phase::Writing, plan.letters.iter().map(|l| l.size).sum());
    let write = |filling: &MaildirWriter, lines: &PendingLines| {
        copying.write(filling, lines, head.as_deref(), &mut ledger)?;
        let tail = ledger.tail(sections + 1);
        let tails = head.iter().map(|_| tail.clone().seal(&ledger.lines)).collect();
        Ok(WrittenSections { tails, date: ledger.tally.newest })
    };
    commit::commit(filling, manifest, write, options, progress)?;
    plan.left_out.iter().for_each(|finding| ledger.tally.leave_out(finding.clone()));
    Ok(ledger.tally.tell(&plan, told))
}

const PROGRAM: &str = concat!("mailferry ", env!("CARGO_PKG_VERSION"));

fn refuse_itself(source: &Path, destination: &Path, standing: &DestinationState) -> Result<()> {
    if *standing == DestinationState::Nothing {
        return Ok(());
    }
    let identity = |path: &Path| Dir::open(path)?.file_id();
    if identity(source)? != identity(destination)? {
        return Ok(());
    }
    let reason = "is the source itself; a Maildir cannot be copied into itself".into();
    Err(Error::Destination { path: destination.to_owned(), reason })
}

/// The Maildir that is copied.
struct SourceMaildir<'a> {
    path: &'a Path,
    files: MaildirReader,
    entries: Vec<Entry>,
}

impl<'a> SourceMaildir<'a> {
    fn open(path: &'a Path) -> Result<SourceMaildir<'a>> {
        let files = MaildirReader::open(path)?;
        let mut seen = HashSet::new();
        let mut entries = list::list_messages(path)?;
        let twice: HashSet<Vec<u8>> = entries
            .iter()
            .filter(|entry| !seen.insert(entry.parsed().base))
            .map(|entry| entry.parsed().base.to_vec())
            .collect();
        // One that was moved while we listed was seen in both places, and is in one of them.
        let is_there = |entry: &Entry| std::fs::symlink_metadata(entry.path(path)).is_ok();
        entries.retain(|entry| !twice.contains(entry.parsed().base) || is_there(entry));
        Ok(SourceMaildir { path, files, entries })
    }
}

/// What is given away must lie where its new owner could not have led us to.
fn refuse_links(source: &Path) -> Result<()> {
    let linked = ["new", "cur"].iter().map(|name| source.join(name)).find(|path| is_link(path));
    linked.map_or(Ok(()), |path| {
        let reason =
            "is a symbolic link, and with --owner none is followed in a Maildir; name the one it leads to";
        Err(Error::Unsupported { path, reason: reason.into() })
    })
}

fn is_link(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink())
}

/// Files of an IMAP server that stay where they are. Its list of UIDs is of a place in its own index.
fn indexes_left(source: &Path) -> Result<Option<Finding>> {
    const BEGINNINGS: [&[u8]; 4] = [b"dovecot-uid", b"dovecot.", b"courierimapuid", b"courierpop3dsizelist"];
    let mut names = Dir::open(source)?.names()?;
    names.retain(|name| BEGINNINGS.iter().any(|beginning| name.as_bytes().starts_with(beginning)));
    names.sort();
    let names: Vec<String> = names.iter().map(|name| escape(name.as_bytes())).collect();
    Ok((!names.is_empty()).then(|| {
        let text = format!("not copied, for a server makes them anew: {}", names.join(", "));
        Finding::new(Code::IndexesLeft, text)
    }))
}

/// What the manifest tells of this Maildir.
struct CopiedMessages {
    /// What was copied, by its base name in the source, and its length.
    known: HashMap<Vec<u8>, u64>,
    /// Whether a section has to be written even if there is nothing to tell in it.
    is_open: bool,
    /// The open section that the one of this run stands for.
    follows: Option<usize>,
    /// How many sections stand before the one of this run.
    sections: usize,
    /// Where it begins in the manifest.
    end: u64,
}

impl CopiedMessages {
    fn of(past: &History<'_>, source: &Path) -> CopiedMessages {
        let outlines = &past.outlines;
        let is_ours = |n: usize| outlines[n].head.is_maildir() && outlines[n].head.source.is_path(source);
        let ours: Vec<usize> = (0..outlines.len()).filter(|&n| is_ours(n)).collect();
        let is_closed = |n: usize| outlines[n].tail.is_some();
        let known = ours.iter().filter(|&&n| is_closed(n)).flat_map(|&n| outlines[n].copied_names());
        let known = known.map(|copied| (copied.original.unwrap_or(copied.name).0, copied.len)).collect();
        let is_made_up_for = |n: usize| {
            (n + 1..outlines.len()).any(|later| is_closed(later) && manifest::follows(outlines, later, n))
        };
        let open = ours.iter().copied().rfind(|&n| !is_closed(n) && !is_made_up_for(n));
        let (sections, end) = (outlines.len(), past.end());
        // Nothing stands behind it: it is written anew, from its head on. What of it was published is found
        // by its name.
        let (follows, sections, end) = match open {
            Some(n) if n + 1 == sections => (outlines[n].head.follows, n, outlines[n].at as u64),
            Some(n) => (Some(n + 1), sections, end),
            None => (None, sections, end),
        };
        let is_open = open.is_some() || !ours.iter().any(|&n| is_closed(n));
        CopiedMessages { known, is_open, follows, sections, end }
    }
}

/// Where every message was copied before there is nothing to do, and nothing is touched: not even a lock.
fn all_known(
    store: &SourceMaildir<'_>,
    options: &Options<'_>,
    standing: &DestinationState,
) -> Result<Option<Totals>> {
    let Some(manifest) = history::read_manifest(options, standing)? else { return Ok(None) };
    let past = History::parse(&manifest)?;
    let history = CopiedMessages::of(&past, store.path);
    let lengths = store.entries.iter().map(|entry| history.known.get(entry.parsed().base).copied());
    let Some(lengths) = lengths.collect::<Option<Vec<u64>>>() else { return Ok(None) };
    if history.is_open || write::has_leftovers(options.destination)? {
        return Ok(None);
    }
    past.check_destination(options, standing)?;
    if options.fsync != Fsync::None && !options.dry_run {
        // A run that was killed may have left this to us.
        past.sync()?;
        write::sync_parent(options.destination)?;
    }
    let plan = Plan {
        letters: Vec::new(),
        chunks: Vec::new(),
        left_out: Vec::new(),
        letters_there: KeywordSet::default(),
        known: lengths.len() as u64,
        known_bytes: lengths.iter().sum(),
    };
    Ok(Some(Tally::default().sums(&plan)))
}

/// A message of the source that no earlier run has copied.
struct SourceMessage {
    entry: Entry,
    /// Its bytes, as an estimate.
    size: u64,
    fate: Disposition,
}

enum Disposition {
    /// Its name is free.
    Keeps,
    /// Its name is another message's; this one is free.
    Gets(Vec<u8>),
    /// It is there, whoever put it there.
    Present(DestinationMessage),
}

/// A message of the destination.
struct DestinationMessage {
    base: Vec<u8>,
    letters: Vec<u8>,
    length: u64,
    digest: Digest,
}

struct Plan {
    letters: Vec<SourceMessage>,
    /// Letters that are taken at once, in order.
    chunks: Vec<Range<usize>>,
    /// Why others are none.
    left_out: Vec<Finding>,
    /// Letters of keywords that messages of the destination have.
    letters_there: KeywordSet,
    /// How many messages were copied by earlier runs,
    known: u64,
    /// and how long they are.
    known_bytes: u64,
}

impl Plan {
    /// Letters of keywords that the messages to be copied have.
    fn letters_used(&self) -> KeywordSet {
        let written = self.letters.iter().filter(|letter| !matches!(letter.fate, Disposition::Present(_)));
        union(written.map(|letter| &letter.entry))
    }

    fn bytes(&self) -> u64 {
        self.known_bytes + self.letters.iter().map(|letter| letter.size).sum::<u64>()
    }

    /// Of the files that are to be written behind the first `chunks`.
    fn sizes(&self, chunks: usize) -> impl Iterator<Item = Option<u64>> {
        let first = self.chunks.get(chunks).map_or(self.letters.len(), |chunk| chunk.start);
        self.letters[first..].iter().map(|l| (!matches!(l.fate, Disposition::Present(_))).then_some(l.size))
    }
}

/// Decides for each message whether it is written, and by which name.
fn plan(
    store: &SourceMaildir<'_>,
    history: &CopiedMessages,
    past: &History<'_>,
    options: &Options<'_>,
    standing: &DestinationState,
    told: &mut Told,
) -> Result<Plan> {
    let mut there = match standing {
        DestinationState::Maildir => DestinationIndex::of(options.destination)?,
        _ => DestinationIndex::default(),
    };
    let (mut letters, mut known, mut known_bytes) = (Vec::new(), 0, 0);
    let mut left_out = Vec::new();
    for entry in &store.entries {
        match history.known.get(entry.parsed().base) {
            Some(length) => (known, known_bytes) = (known + 1, known_bytes + length),
            None => letters.push(SourceMessage {
                entry: entry.clone(),
                size: store.files.size(entry),
                fate: Disposition::Keeps,
            }),
        }
    }
    if options.ownership.owner.is_some() {
        // Users do link messages; but what is given away is not to be what its new owner could not read.
        let link = |letter: &SourceMessage| {
            let text = "is a symbolic link, and with --owner none is followed: it was not copied";
            let path = store.files.path(&letter.entry);
            is_link(&path).then(|| Finding::new(Code::MaildirNotAFile, text).in_file(path))
        };
        letters.retain(|letter| link(letter).map(|why| left_out.push(why)).is_none());
    }
    if !history.is_open {
        // Mostly there is no new one: a section that tells of nothing is not written again and again because of
        // a FIFO.
        letters.retain(|letter| {
            list::explain_unreadable(store.path, &letter.entry).map(|why| left_out.push(why)).is_none()
        });
    }
    // What has the name of another one is compared with it; for most Maildirs this is nothing.
    let mut names = HashSet::new();
    let clash = |letter: &SourceMessage| {
        let base = letter.entry.parsed().base;
        !names.insert(base.to_vec()) || there.entries.contains_key(base)
    };
    let clashes: Vec<bool> = letters.iter().map(clash).collect();
    if clashes.contains(&true) {
        let compare = |(letter, clash): (&SourceMessage, &bool)| {
            options.cancel.check()?;
            clash.then(|| there.compare(store, &letter.entry)).transpose()
        };
        let compared: Vec<Option<Collision>> =
            letters.par_iter().zip(&clashes).map(compare).collect::<Result<_>>()?;
        for section in &past.outlines {
            names.extend(section.names().into_iter().map(|named| named.name.0));
        }
        for (letter, compared) in letters.iter_mut().zip(compared) {
            letter.fate = match compared {
                None | Some(Collision::Unread) => continue,
                Some(Collision::Same(same)) => Disposition::Present(same),
                Some(Collision::Other(other)) => there.name(&other, options.host, &mut names)?,
            };
            if let Disposition::Gets(name) = &letter.fate {
                let text = format!("its name is that of another message; it is written as {}", escape(name));
                told.findings
                    .push(Finding::new(Code::NameTaken, text).in_file(store.files.path(&letter.entry)));
            }
        }
    }
    let chunks = chunks(&letters);
    let letters_there = there.letters();
    Ok(Plan { letters, chunks, left_out, letters_there, known, known_bytes })
}

fn chunks(letters: &[SourceMessage]) -> Vec<Range<usize>> {
    let mut chunks: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (n, letter) in letters.iter().enumerate() {
        match chunks.last_mut() {
            Some(chunk) if chunk.len() < MESSAGES && bytes < BYTES => chunk.end = n + 1,
            _ => {
                bytes = 0;
                chunks.push(n..n + 1);
            }
        }
        bytes += letter.size;
    }
    chunks
}

fn union<'a>(entries: impl Iterator<Item = &'a Entry>) -> KeywordSet {
    let info = |entry: &'a Entry| entry.parsed().info.unwrap_or_default();
    KeywordSet::parse(&entries.flat_map(info).copied().collect::<Vec<u8>>())
}

/// What lies in the destination already, by base name.
#[derive(Default)]
struct DestinationIndex {
    files: Option<MaildirReader>,
    entries: HashMap<Vec<u8>, Vec<Entry>>,
}

/// A message beside what has its name in the destination.
enum Collision {
    Same(DestinationMessage),
    Other(CollidingMessage),
    /// It is no message, or gone.
    Unread,
}

/// A message that needs another name.
struct CollidingMessage {
    digest: Digest,
    unique: Unique,
    epoch: i64,
    size: u64,
    wire_size: u64,
}

impl DestinationIndex {
    fn of(destination: &Path) -> Result<DestinationIndex> {
        let mut entries: HashMap<Vec<u8>, Vec<Entry>> = HashMap::new();
        for entry in list::list_messages(destination)? {
            entries.entry(entry.parsed().base.to_vec()).or_default().push(entry);
        }
        Ok(DestinationIndex { files: Some(MaildirReader::open(destination)?), entries })
    }

    fn letters(&self) -> KeywordSet {
        union(self.entries.values().flatten())
    }

    fn compare(&self, store: &SourceMaildir<'_>, entry: &Entry) -> Result<Collision> {
        let mut bytes = Vec::new();
        let Ok(FoundMessage { mtime, .. }) = store.files.read_or_explain(entry, &mut bytes)? else {
            return Ok(Collision::Unread);
        };
        let (base, digest) = (entry.parsed().base, Digest::of(&bytes));
        if let Some(same) = self.find(base, digest)? {
            return Ok(Collision::Same(same));
        }
        let (size, wire_size) =
            render(&bytes, &header::split(&bytes), Quoting::None, (Eol::Keep, Headers::Keep)).sizes(true);
        let epoch = entry.parsed().epoch().unwrap_or(mtime);
        Ok(Collision::Other(CollidingMessage { digest, unique: Unique::of(&bytes), epoch, size, wire_size }))
    }

    /// The file of this name that has these bytes.
    fn find(&self, base: &[u8], digest: Digest) -> Result<Option<DestinationMessage>> {
        let (Some(files), Some(entries)) = (&self.files, self.entries.get(base)) else { return Ok(None) };
        let mut bytes = Vec::new();
        for entry in entries {
            let found = match files.read(entry, &mut bytes) {
                Ok(found) => found,
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if Digest::of(&bytes) == digest {
                let letters = found.entry.parsed().info.unwrap_or_default();
                let letters = letters.to_vec();
                return Ok(Some(DestinationMessage {
                    base: base.to_vec(),
                    letters,
                    length: bytes.len() as u64,
                    digest,
                }));
            }
        }
        Ok(None)
    }

    /// The name that a message gets whose own is taken: of our making, by its bytes. Where it is there under
    /// that name an earlier run, which was killed, has written it.
    fn name(
        &mut self,
        other: &CollidingMessage,
        host: &str,
        taken: &mut HashSet<Vec<u8>>,
    ) -> Result<Disposition> {
        let CollidingMessage { digest, unique, epoch, size, wire_size } = *other;
        for copy in 0.. {
            let base = BaseName { epoch, unique, copy, host, size, wire_size }.to_bytes();
            if taken.contains(&base) {
                continue;
            }
            match self.find(&base, digest)? {
                Some(same) => {
                    taken.insert(base);
                    return Ok(Disposition::Present(same));
                }
                None if self.entries.contains_key(&base) => {}
                None => {
                    taken.insert(base.clone());
                    return Ok(Disposition::Gets(base));
                }
            }
        }
        unreachable!("there are more numbers than files")
    }
}

/// What became of messages.
#[derive(Default)]
struct Tally {
    written: u64,
    present: u64,
    skipped: u64,
    bytes: u64,
    /// The latest of their times.
    newest: Option<i64>,
    /// How many have keywords for which no letter is left,
    without: u64,
    /// and which letters of the source these are.
    left: KeywordSet,
    findings: Vec<Finding>,
}

impl Tally {
    fn add(&mut self, done: Tally) {
        self.written += done.written;
        self.present += done.present;
        self.skipped += done.skipped;
        self.bytes += done.bytes;
        self.newest = self.newest.max(done.newest);
        self.note_left(done.without, done.left);
        self.findings.extend(done.findings);
    }

    fn note_left(&mut self, messages: u64, left: KeywordSet) {
        self.without += messages;
        self.left = left.numbers().fold(self.left, KeywordSet::with);
    }

    fn leave_out(&mut self, finding: Finding) {
        // What was expunged is none of the messages found.
        self.skipped += u64::from(finding.code != Code::MessageExpunged);
        self.findings.push(finding);
    }

    fn sums(&self, plan: &Plan) -> Totals {
        let bytes = plan.known_bytes + self.bytes;
        Totals {
            sources: 1,
            messages_found: plan.known + self.written + self.present + self.skipped,
            written: self.written,
            already_present: plan.known + self.present,
            skipped: self.skipped,
            bytes_source: bytes,
            bytes_messages: bytes,
            ..Totals::default()
        }
    }

    fn tell(mut self, plan: &Plan, told: &mut Told) -> Totals {
        told.findings.append(&mut self.findings);
        told.findings.extend(letters::overflow_finding(self.without, self.left));
        self.sums(plan)
    }
}

/// Some messages, done; their lines yet without the places that those before them give them.
#[derive(Default)]
struct Done {
    messages: Vec<MessageRecord>,
    tally: Tally,
}

/// A section that is being written.
#[derive(Default)]
struct CopySection {
    /// Hash of its lines.
    lines: blake3::Hasher,
    /// How many bytes they are.
    bytes: u64,
    /// Whether the head is among them.
    begun: bool,
    /// How many chunks are done.
    chunks: usize,
    /// Bytes of their messages, one behind the other.
    at: u64,
    messages: u64,
    tally: Tally,
}

impl CopySection {
    /// The lines of the next messages.
    fn lines(&self, messages: &[MessageRecord]) -> Vec<u8> {
        let mut at = self.at;
        let mut lines = Vec::with_capacity(messages.len() * 300);
        for message in messages {
            lines.extend_from_slice(&to_line(&MessageRecord { at, ..message.clone() }));
            at += message.len;
        }
        lines
    }

    fn begin(&mut self, head: &[u8]) {
        self.begun = true;
        self.push(head);
    }

    fn add(&mut self, done: Done, lines: &[u8]) {
        self.push(lines);
        self.chunks += 1;
        self.at += done.messages.iter().map(|message| message.len).sum::<u64>();
        self.messages += done.messages.len() as u64;
        self.tally.add(done.tally);
    }

    fn push(&mut self, lines: &[u8]) {
        self.lines.update(lines);
        self.bytes += lines.len() as u64;
    }

    fn tail(&self, closes: usize) -> SectionFooter {
        SectionFooter {
            closes,
            messages: self.messages,
            mail: self.messages,
            bytes_messages: self.at,
            bytes_from_lines: 0,
            bytes_quoting: 0,
            bytes_separators: 0,
            bytes_junk: 0,
            end: Digest([0; 32]),
        }
    }
}

/// All that the workers need.
struct Copying<'a> {
    store: &'a SourceMaildir<'a>,
    plan: &'a Plan,
    mapping: &'a LetterMapping,
    options: &'a Options<'a>,
    progress: &'a dyn Events,
}

/// A message that was read, on its way.
struct Outgoing {
    place: Subdir,
    name: OsString,
    waiting: Vec<u8>,
    bytes: Vec<u8>,
    mtime: i64,
}

impl Copying<'_> {
    /// What would be done.
    fn look(&self) -> Result<Tally> {
        let mut tally = Tally::default();
        for letter in &self.plan.letters {
            self.options.cancel.check()?;
            match (&letter.fate, std::fs::metadata(self.store.files.path(&letter.entry))) {
                (Disposition::Present(there), _) => {
                    tally.present += 1;
                    tally.bytes += there.length;
                }
                (_, Ok(meta)) if meta.is_file() => {
                    tally.written += 1;
                    tally.bytes += meta.len();
                    let MappedInfo { unmapped: left, .. } = self.name(&letter.entry, b"").2;
                    tally.note_left(u64::from(!left.is_empty()), left);
                }
                (_, looked) => match (list::explain_unreadable(self.store.path, &letter.entry), looked) {
                    (Some(finding), _) => tally.leave_out(finding),
                    (None, Err(error)) => {
                        return Err(Error::io("look at", self.store.files.path(&letter.entry))(error));
                    }
                    // It is there again.
                    (None, Ok(_)) => {}
                },
            }
        }
        Ok(tally)
    }

    /// Writes what the ledger does not have yet.
    fn write(
        &self,
        filling: &MaildirWriter,
        lines: &PendingLines,
        head: Option<&[u8]>,
        ledger: &mut CopySection,
    ) -> Result<()> {
        let safe = filling.flushes_each();
        let first = ledger.chunks;
        if let Some(head) = head.filter(|_| !ledger.begun) {
            ledger.begin(head);
            lines.push(head, safe)?;
        }
        let mut push = |done: Done| {
            let text = if head.is_some() { ledger.lines(&done.messages) } else { Vec::new() };
            ledger.add(done, &text);
            lines.push(&text, safe)
        };
        let in_order = Mutex::new(Reorder::new(&mut push));
        // One after the other, as in fill.rs: else lines would wait for those before them.
        let chunks = self.plan.chunks[first..].iter().enumerate();
        chunks.par_bridge().try_for_each(|(n, chunk)| {
            self.options.cancel.check()?;
            let (done, outgoing) = self.read(chunk.clone())?;
            let incoming: Vec<NewMessage<'_>> = outgoing.iter().map(Outgoing::incoming).collect();
            filling.stage(&incoming)?;
            in_order.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).add(n, done)
        })
    }

    /// Reads a chunk.
    fn read(&self, chunk: Range<usize>) -> Result<(Done, Vec<Outgoing>)> {
        let (mut done, mut outgoing) = (Done::default(), Vec::with_capacity(chunk.len()));
        for n in chunk.clone() {
            let SourceMessage { entry, fate, size } = &self.plan.letters[n];
            if let Disposition::Present(there) = fate {
                done.tally.present += 1;
                done.tally.bytes += there.length;
                done.messages.push(there.message(entry.parsed().base, self.mapping));
                continue;
            }
            let mut bytes = Vec::new();
            let FoundMessage { entry, mtime } = match self.store.files.read_or_explain(entry, &mut bytes)? {
                Ok(found) => found,
                Err(finding) => {
                    done.tally.leave_out(finding);
                    continue;
                }
            };
            let original = entry.parsed().base;
            let base = if let Disposition::Gets(base) = fate { base } else { original };
            let (place, name, MappedInfo { letters, unmapped: left }) = self.name(&entry, base);
            let digest = Digest::of(&bytes);
            let length = bytes.len() as u64;
            let there = DestinationMessage { base: base.to_vec(), letters, length, digest };
            done.messages.push(there.message(original, self.mapping));
            done.tally.note_left(u64::from(!left.is_empty()), left);
            done.tally.written += 1;
            done.tally.bytes += length;
            done.tally.newest = done.tally.newest.max(Some(mtime));
            let waiting = self.waiting(n, digest, length, mtime);
            outgoing.push(Outgoing { place, name, waiting, bytes, mtime });
            self.progress.advance(*size, 1);
        }
        Ok((done, outgoing))
    }

    /// Where a message goes, its whole name, and its info. With flags it goes to cur/, wherever it was: readers
    /// look for them there.
    fn name(&self, entry: &Entry, base: &[u8]) -> (Subdir, OsString, MappedInfo) {
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

    /// The name under which a message waits in tmp/: of our making, so that the next run clears up after one
    /// that was killed, and of its number, so that copies have each its own.
    fn waiting(&self, n: usize, digest: Digest, size: u64, epoch: i64) -> Vec<u8> {
        let mut unique = [0; 12];
        unique.copy_from_slice(&digest.0[..12]);
        let copy = u32::try_from(n + 1).unwrap_or(u32::MAX);
        BaseName { epoch, unique: Unique(unique), copy, host: self.options.host, size, wire_size: size }
            .to_bytes()
    }

    /// Takes over what a killed run left of a new Maildir: what its manifest, `text`, lists stays as far as
    /// this run would write it, all else is removed.
    fn take_over(&self, filling: &MaildirWriter, text: &[u8], head: &[u8]) -> Result<CopySection> {
        let mut kept = HashSet::new();
        let ledger = self.agree(filling, text, head, &mut kept)?;
        // First the list, then what it lists: nothing must be listed that is removed and half written again.
        filling.open_manifest(ledger.bytes)?.commit();
        let messages = kept.len() as u64;
        filling.retain(&[kept], messages)?;
        Ok(ledger)
    }

    /// Nothing is believed but by comparison: each line is made anew and has to be the one that stands.
    fn agree(
        &self,
        filling: &MaildirWriter,
        text: &[u8],
        head: &[u8],
        kept: &mut HashSet<(Subdir, OsString)>,
    ) -> Result<CopySection> {
        /// Chunks read before the first of them is compared: few, since most of them may be in vain.
        const AHEAD: usize = 16;
        let mut ledger = CopySection::default();
        let Some(mut rest) = text.strip_prefix(head).filter(|_| !head.is_empty()) else { return Ok(ledger) };
        ledger.begin(head);
        for group in self.plan.chunks.chunks(AHEAD) {
            let read = |chunk: &Range<usize>| {
                self.options.cancel.check()?;
                let (done, outgoing) = self.read(chunk.clone())?;
                let places = outgoing.into_iter().map(|out| {
                    let holds = filling.has_message((0, out.place, &out.name), out.bytes.len() as u64)?;
                    Ok(holds.then_some((out.place, out.name)))
                });
                Ok((done, places.collect::<Result<Option<Vec<_>>>>()?))
            };
            for (done, places) in group.par_iter().map(read).collect::<Result<Vec<_>>>()? {
                let lines = ledger.lines(&done.messages);
                let (Some(places), Some(behind)) = (places, rest.strip_prefix(&lines[..])) else {
                    return Ok(ledger);
                };
                rest = behind;
                ledger.add(done, &lines);
                kept.extend(places);
            }
        }
        Ok(ledger)
    }
}

impl Outgoing {
    fn incoming(&self) -> NewMessage<'_> {
        NewMessage {
            folders: &[0],
            subdir: self.place,
            base: self.waiting.clone(),
            name: self.name.clone(),
            pieces: vec![&self.bytes],
            mtime: self.mtime,
            existing: None,
        }
    }
}

impl DestinationMessage {
    /// Its line, but for the place.
    fn message(&self, original: &[u8], mapping: &LetterMapping) -> MessageRecord {
        let flags = self.letters.iter().copied().filter(|letter| !letter.is_ascii_lowercase());
        MessageRecord {
            at: 0,
            len: self.length,
            from: Bytes::default(),
            name: Bytes(self.base.clone()),
            source: self.digest,
            file: None,
            content: None,
            quotes: Vec::new(),
            eols: Vec::new(),
            stripped: Vec::new(),
            date: Origin::Mtime.name().into(),
            flags: String::from_utf8_lossy(&flags.collect::<Vec<u8>>()).into_owned(),
            keywords: mapping.keywords(&self.letters),
            unlettered: Vec::new(),
            folders: Vec::new(),
            duplicate: false,
            verbatim: None,
            original: (original != self.base).then(|| Bytes(original.to_vec())),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::mailbox::context::Cancel;
    use std::time::Duration;

    use super::super::plan::{Dedupe, RenderOptions};
    use super::*;
    use crate::mailbox::context::LockOptions;

    /// Somebody who is at work in the Maildir while it is copied: listed it is, and not read yet.
    struct Meanwhile<F: Fn() + Sync>(F);

    impl<F: Fn() + Sync> Events for Meanwhile<F> {
        fn begin(&self, phase: Phase, _: u64) {
            if phase == Phase::Writing {
                (self.0)();
            }
        }
        fn advance(&self, _: u64, _: u64) {}
    }

    #[test]
    fn what_is_moved_meanwhile_is_copied_and_what_is_expunged_is_said() {
        let temp = tempfile::tempdir().unwrap();
        let (source, destination) = (temp.path().join("a"), temp.path().join("b"));
        for directory in ["new", "cur"] {
            std::fs::create_dir_all(source.join(directory)).unwrap();
        }
        for name in ["new/1.read", "new/2.stays", "cur/3.expunged:2,S"] {
            std::fs::write(source.join(name), name).unwrap();
        }
        let keywords_lock =
            LockOptions { methods: Vec::new(), timeout: Duration::ZERO, pid: 1, host: String::new() };
        let options = Options {
            destination: &destination,
            render: RenderOptions::default(),
            fsync: Fsync::None,
            host: "mailferry",
            info_separator: b':',
            dry_run: false,
            lock_timeout: Duration::ZERO,
            keywords_lock: &keywords_lock,
            now: 0,
            from_zone: None,
            date: None,
            dedupe: Dedupe::No,
            new_source: false,
            manifest: ManifestLocation::InMaildir,
            sync_group: None,
            ownership: Default::default(),
            cancel: Cancel::never(),
        };
        let meanwhile = Meanwhile(|| {
            std::fs::rename(source.join("new/1.read"), source.join("cur/1.read:2,RS")).unwrap();
            std::fs::remove_file(source.join("cur/3.expunged:2,S")).unwrap();
        });
        let Outcome { reports, sums, error, folders: _ } = copy_maildir(&source, &options, &meanwhile);
        assert!(error.is_none(), "{error:?}");
        assert_eq!((sums.messages_found, sums.written, sums.bytes_source), (2, 2, 21));
        let codes: Vec<Code> = reports[0].findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, [Code::MessageExpunged]);
        let names: Vec<Entry> = list::list_messages(&destination).unwrap();
        let names: Vec<_> = names.iter().map(|entry| entry.path(Path::new(""))).collect();
        assert_eq!(names, [Path::new("cur/1.read:2,RS"), Path::new("new/2.stays")]);
        let text = std::fs::read(destination.join(manifest::FILE_NAME)).unwrap();
        let sections = manifest::outline(&text, Path::new("m")).unwrap();
        let messages = sections[0].read().unwrap().messages;
        let told: Vec<_> = messages.iter().map(|m| (m.at, m.name.escaped(), &m.flags[..])).collect();
        assert_eq!(told, [(0, "1.read".into(), "RS"), (10, "2.stays".into(), "")]);
    }
}
