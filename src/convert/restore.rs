//! Restore (`convert --exact`): a source back, byte for byte, from its Maildir and the manifest. Where a message is
//! gone or changed, it is named and nothing is written.

use std::collections::HashSet;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use data_encoding::BASE64;
use rayon::prelude::*;

use super::render::LARGE;
use crate::mailbox::finding::Severity;
use crate::mailbox::fs::atomic_file::AtomicFile;
use crate::mailbox::fs::{durable, ignore_poison};
use crate::mailbox::maildir::{Entry, MaildirReader, NoMessage, list};
use crate::mailbox::manifest::{
    self, Digest, Gap, Manifest, ManifestLocation, MessageRecord, Outline, Section, SectionHeader,
    UnselectedRange,
};
use crate::mailbox::message::line_ends::{LineEndChange, LineEndRuns, LineEnds};
use crate::mailbox::source::{Contents, mapped};
use crate::mailbox::text::{grouped, grouped_plural};
use crate::mailbox::{Code, Context, Error, Finding, Phase, Result, display_path};

/// The source to restore, and its target.
pub(crate) struct RestoreOptions<'a> {
    /// The Maildir.
    pub maildir: &'a Path,
    /// The manifest.
    pub manifest: ManifestLocation<'a>,
    /// The source to restore, where there are several.
    pub source: Option<SourceSelector>,
    /// Where the bytes go.
    pub target: RestoreTarget<'a>,
}

/// A source named by the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourceSelector {
    /// By its path, or by the end of it if no other source's path has that end.
    Path(PathBuf),
    /// By its number, from 1, in the order of the manifest.
    Number(usize),
}

/// Where the bytes of a source go.
pub(crate) enum RestoreTarget<'a> {
    /// A file, which appears complete.
    File {
        /// The path.
        path: &'a Path,
        /// Replace a file that exists.
        replace: bool,
    },
    /// A stream.
    Stream(&'a Mutex<dyn Write + Send>),
}

/// A source that was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RestoreSummary {
    /// The source as the manifest names it.
    pub source: PathBuf,
    /// The number of messages.
    pub messages: u64,
    /// The number of bytes.
    pub bytes: u64,
}

/// Restores a source. The findings name the messages that are gone or changed. Returns None if not all of its messages
/// were converted, which a finding says.
pub(crate) fn restore(
    options: &RestoreOptions<'_>,
    context: &Context<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Option<RestoreSummary>> {
    let manifest = options.manifest.read_existing(options.maildir)?;
    let path = &manifest.path;
    let section = choose(&manifest.parse()?, options.source.as_ref(), path)?.read()?;
    if let Some(finding) = unselected_finding(&section) {
        findings.push(finding);
        return Ok(None);
    }
    let mut folders = vec![Folder::open(options.maildir, &section, context)?];
    // Folders are the user's to change: what is not in the Maildir itself may have been moved into one.
    let elsewhere = folders[0].lacks_any(&section);
    for directory in if elsewhere { list::list_folders(options.maildir)? } else { Vec::new() } {
        folders.push(Folder::open(&options.maildir.join(directory), &section, context)?);
    }
    let files = SectionFiles::new(options.maildir, &folders, &section, context);

    context.events.begin(Phase::Reading, section.header.size);
    // Nothing is written before all of it is known to be right.
    findings.extend(files.check(path)?);
    if !findings.is_empty() {
        let reason = format!(
            "cannot be restored byte for byte: {} of {} messages are gone or changed; each is listed",
            findings.len(),
            section.messages.len()
        );
        return Err(Error::destination(&section.source(), reason));
    }
    context.events.begin(Phase::Writing, section.header.size);
    match &options.target {
        RestoreTarget::Stream(stream) => {
            let (mut stream, name) = (ignore_poison(stream.lock()), Path::new("standard output"));
            files.write(path, &mut |bytes| stream.write_all(bytes).map_err(Error::io("write", name)))?;
            stream.flush().map_err(Error::io("write", name))?;
        }
        RestoreTarget::File { path: file, replace } => {
            let atomic = AtomicFile::create(file, *replace, Duration::ZERO, context.cancel)?;
            write_file(atomic, file, |out| files.write(path, out))?;
        }
    }
    let bytes = section.header.size;
    Ok(Some(RestoreSummary { source: section.source(), messages: section.messages.len() as u64, bytes }))
}

/// Returns the finding about messages that were not selected: how many, and the first ranges of the source.
fn unselected_finding(section: &Section) -> Option<Finding> {
    /// Ranges that are named.
    const NAMED: usize = 3;
    let first = section.unselected.first()?.at;
    let count: u64 = section.unselected.iter().map(|range| range.unselected).sum();
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for UnselectedRange { at, len, .. } in &section.unselected {
        let separator = section.header.separator.0.len() as u64;
        match ranges.last_mut().filter(|last| last.end + separator == *at) {
            Some(last) => last.end = at + len,
            None => ranges.push(*at..at + len),
        }
    }
    let named = ranges.iter().take(NAMED).map(|range| format!("{} to {}", range.start, range.end));
    let mut named = named.collect::<Vec<_>>().join(", ");
    if ranges.len() > NAMED {
        named += &format!(", and {} more", grouped((ranges.len() - NAMED) as u64));
    }
    let message = format!(
        "{} of {} of {} were not selected, and cannot be restored: bytes {named}",
        grouped(count),
        grouped_plural(count + section.messages.len() as u64, "message"),
        display_path(&section.source()),
    );
    let hint = "convert the source again without --since and --before; then it can be restored";
    let finding = Finding::at(Code::NotSelected, first, message).with_hint(hint);
    Some(Finding { severity: Severity::Error, ..finding })
}

/// Chooses the section of a source. One that grew or was rewritten has older sections, which do not count.
fn choose<'a, 'b>(
    manifest: &'b Manifest<'a>,
    selector: Option<&SourceSelector>,
    path: &Path,
) -> Result<&'b Outline<'a>> {
    let outlines = &manifest.sections;
    let superseded = manifest.superseded(|header| header.source.clone());
    // A copy under another path may have completed what this one left unfinished.
    let completed = manifest.superseded(|header| header.blake3);
    let is_superseded = |n: usize| superseded[n] || outlines[n].footer.is_none() && completed[n];
    let newest: Vec<&Outline<'_>> =
        (0..outlines.len()).filter(|&n| !is_superseded(n)).map(|n| &outlines[n]).collect();
    let refuse = |reason: String| Error::destination(path, reason);
    let names = || {
        let names =
            newest.iter().enumerate().map(|(n, o)| format!("{} {}", n + 1, o.header.source.escaped()));
        names.collect::<Vec<_>>().join(", ")
    };
    if newest.is_empty() {
        return Err(refuse("has no source of its own; name the folder that has it".to_owned()));
    }
    let chosen = match selector {
        None if newest.iter().all(|o| o.header.is_maildir()) => newest[0],
        // The last state of the only path counts.
        None if newest.iter().all(|o| o.header.source == newest[0].header.source) => newest[newest.len() - 1],
        None => {
            return Err(refuse(format!(
                "has {} sources; choose one with --source: {}",
                newest.len(),
                names()
            )));
        }
        Some(SourceSelector::Number(n)) => match n.checked_sub(1).and_then(|n| newest.get(n)) {
            Some(outline) => outline,
            None => return Err(refuse(format!("has no source number {n}: {}", names()))),
        },
        Some(SourceSelector::Path(path)) => {
            let name = manifest::source_name(path);
            let is_end = |o: &&&Outline<'_>| manifest::is_end_of_name(path, o.header.source.to_path());
            let same = newest.iter().rev().find(|o| o.header.source.is_path(&name)).or_else(|| {
                let mut ends = newest.iter().rev().filter(is_end);
                let last = ends.next()?;
                ends.all(|o| o.header.source == last.header.source).then_some(last)
            });
            same.ok_or_else(|| refuse(format!("has no source {}: {}", display_path(path), names())))?
        }
    };
    if chosen.header.is_maildir() {
        let source = chosen.header.source.escaped();
        return Err(refuse(format!("{source} was a Maildir; to copy it, run convert {source} maildir:DIR")));
    }
    if chosen.footer.is_none() {
        // A footer that was changed is an error of its own, not an unfinished run.
        chosen.read()?;
        let source = chosen.header.source.escaped();
        return Err(refuse(format!("the conversion of {source} was not finished; run it again first")));
    }
    Ok(chosen)
}

/// The Maildir itself, or a folder of it.
struct Folder {
    reader: MaildirReader,
    /// The messages that the section names.
    entries: Vec<Entry>,
}

impl Folder {
    fn open(path: &Path, section: &Section, context: &Context<'_>) -> Result<Folder> {
        let reader = MaildirReader::open(path, context.now)?;
        let mut entries = reader.list()?.messages;
        let named: HashSet<&[u8]> = names(section).collect();
        entries.retain(|entry| named.contains(entry.parsed().base));
        Ok(Folder { reader, entries })
    }

    /// Reports whether a message that should have a file has none here.
    fn lacks_any(&self, section: &Section) -> bool {
        let here: HashSet<&[u8]> = self.entries.iter().map(|entry| entry.parsed().base).collect();
        names(section).any(|name| !here.contains(name))
    }
}

/// Returns the base names of the messages that should have a file.
fn names(section: &Section) -> impl Iterator<Item = &[u8]> {
    let with_file = section.messages.iter().filter(|message| message.verbatim.is_none());
    with_file.map(|message| &message.name.0[..])
}

/// A section and the files of its messages.
struct SectionFiles<'a> {
    context: &'a Context<'a>,
    maildir: &'a Path,
    /// Sorted by base name: a message may be in several folders.
    files: Vec<(&'a [u8], &'a MaildirReader, &'a Entry)>,
    section: &'a Section,
}

impl<'a> SectionFiles<'a> {
    fn new(
        maildir: &'a Path,
        folders: &'a [Folder],
        section: &'a Section,
        context: &'a Context<'a>,
    ) -> SectionFiles<'a> {
        let in_folder = |folder: &'a Folder| {
            folder.entries.iter().map(|entry| (entry.parsed().base, &folder.reader, entry))
        };
        let mut files: Vec<_> = folders.iter().flat_map(in_folder).collect();
        files.par_sort_by_key(|(base, ..)| *base);
        SectionFiles { context, maildir, files, section }
    }

    /// Returns the files of this base name.
    fn named(&self, name: &[u8]) -> impl Iterator<Item = (&'a MaildirReader, &'a Entry)> {
        let first = self.files.partition_point(|(base, ..)| *base < name);
        let same = self.files[first..].iter().take_while(move |(base, ..)| *base == name);
        same.map(|&(_, reader, entry)| (reader, entry))
    }

    /// Finds every message that is gone or changed. Where there is none, compares the hash of what would be written
    /// with that of the source.
    fn check(&self, manifest: &Path) -> Result<Vec<Finding>> {
        let mut faults = Vec::new();
        let digest = self.rebuild(&mut |_| Ok(()), &mut faults)?;
        if faults.is_empty() {
            self.require_source(digest, manifest)?;
        }
        Ok(faults)
    }

    fn require_source(&self, digest: Digest, manifest: &Path) -> Result<()> {
        if digest == self.section.header.blake3 {
            return Ok(());
        }
        let reason = "begins a section whose parts do not add up to its source".into();
        Err(Error::Manifest { path: manifest.to_owned(), line: self.section.first_line, reason })
    }

    /// Finds the bytes of a message as they were in the source, or the fault of its file.
    fn find(&self, message: &MessageRecord) -> Result<Result<Restored, Finding>> {
        let name = message.name.escaped();
        if let Some(verbatim) = &message.verbatim {
            let source = BASE64.decode(verbatim.as_bytes()).unwrap_or_default();
            if Digest::of(&source) == message.source {
                return Ok(Ok(Restored::Source(source)));
            }
        }
        let mut is_there = message.verbatim.is_some();
        for (reader, entry) in self.named(&message.name.0).filter(|_| message.verbatim.is_none()) {
            let mut file = Contents::default();
            let path = match reader.read(entry, &mut file)? {
                Ok(found) => reader.path(&found.entry),
                Err(none @ (NoMessage::Sparse(_) | NoMessage::Unreadable(_))) => {
                    return Ok(Err(none.finding(reader.path(entry))));
                }
                Err(_) => continue,
            };
            is_there = true;
            let restored = match file.len() > LARGE {
                true => Restored::File(file),
                false => {
                    let mut source = Vec::with_capacity(file.len() + message.quotes.len());
                    self.emit(message, &Restored::File(file), &mut |bytes| {
                        source.extend_from_slice(bytes);
                        Ok(())
                    })?;
                    Restored::Source(source)
                }
            };
            let mut hasher = blake3::Hasher::new();
            self.emit(message, &restored, &mut |bytes| {
                hasher.update(bytes);
                Ok(())
            })?;
            if let Restored::File(file) = &restored {
                file.check_complete(&path)?;
            }
            if Digest::from(hasher.finalize()) == message.source {
                return Ok(Ok(restored));
            }
        }
        let maildir = display_path(self.maildir);
        let (code, text) = match is_there {
            true => (Code::MessageChanged, format!("{name} in {maildir} was changed since it was written")),
            false => (Code::MessageGone, format!("{name} is gone from {maildir}")),
        };
        Ok(Err(Finding::at(code, message.at, text)))
    }

    /// Passes on the bytes of a message as they were in the source.
    fn emit(&self, message: &MessageRecord, restored: &Restored, put: Put<'_>) -> Result<()> {
        match restored {
            Restored::Source(source) => put(source),
            Restored::File(file) => restore_message(message, file, &self.section.header, put),
        }
    }

    /// Divides the messages into batches that are in memory at once.
    fn batches(&self) -> impl Iterator<Item = &'a [MessageRecord]> {
        const MESSAGES: usize = 256;
        let mut rest = &self.section.messages[..];
        std::iter::from_fn(move || {
            let (mut count, mut bytes) = (0, 0);
            while count < rest.len().min(MESSAGES) && bytes < LARGE as u64 {
                bytes += rest[count].len;
                count += 1;
            }
            let (batch, after) = rest.split_at(count);
            rest = after;
            (count > 0).then_some(batch)
        })
    }

    /// Writes the source. The messages may have changed since they were checked.
    fn write(&self, manifest: &Path, out: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut faults = Vec::new();
        let digest = self.rebuild(out, &mut faults)?;
        match faults.pop() {
            Some(fault) => Err(Error::Changed { path: self.maildir.to_owned(), how: fault.message.into() }),
            None => self.require_source(digest, manifest),
        }
    }

    /// Passes on the bytes of the source up to the first message with a fault, and returns their hash.
    fn rebuild(&self, out: &mut dyn FnMut(&[u8]) -> Result<()>, faults: &mut Vec<Finding>) -> Result<Digest> {
        let head = &self.section.header;
        let mut position = Position { at: 0, gaps: &self.section.gaps, usual: &head.separator.0 };
        let mut hasher = blake3::Hasher::new();
        let mut put = |bytes: &[u8]| {
            hasher.update(bytes);
            out(bytes)
        };
        for messages in self.batches() {
            self.context.cancel.check()?;
            let sources: Vec<_> = messages.par_iter().map(|m| self.find(m)).collect::<Result<_>>()?;
            for (message, source) in messages.iter().zip(sources) {
                self.context.events.advance(message.len, 1);
                match source {
                    Ok(source) if faults.is_empty() => {
                        position
                            .advance_to(message.at.saturating_sub(message.from.0.len() as u64), &mut put)?;
                        put(&message.from.0)?;
                        self.emit(message, &source, &mut put)?;
                        position.at = message.at + message.len;
                    }
                    Ok(_) => {}
                    Err(fault) => faults.push(fault),
                }
            }
        }
        if faults.is_empty() {
            position.advance_to(head.size, &mut put)?;
        }
        Ok(hasher.finalize().into())
    }
}

/// A position in the source that is written.
struct Position<'a> {
    at: u64,
    gaps: &'a [Gap],
    usual: &'a [u8],
}

impl Position<'_> {
    /// Writes the bytes between messages: the gaps that have a line, or the usual separator.
    fn advance_to(&mut self, end: u64, put: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        while self.at < end {
            let bytes = match self.gaps.split_first() {
                Some((gap, rest)) if gap.at == self.at => {
                    self.gaps = rest;
                    gap.bytes().unwrap_or_default()
                }
                _ => self.usual.to_vec(),
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

/// A message whose file is unchanged.
enum Restored {
    /// As it was in the source.
    Source(Vec<u8>),
    /// A large one, as it is in the Maildir.
    File(Contents),
}

/// Takes bytes, in order.
type Put<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// Turns the file of a message back into the bytes of the source: line ends first, then fields and quoting.
fn restore_message(message: &MessageRecord, file: &[u8], head: &SectionHeader, put: Put<'_>) -> Result<()> {
    const CHUNK: usize = 1 << 18;
    let mut put_in_source = |bytes: &[u8]| match head.cr_only && memchr::memchr(b'\n', bytes).is_some() {
        true => put(&bytes.iter().map(|&b| if b == b'\n' { b'\r' } else { b }).collect::<Vec<u8>>()),
        false => put(bytes),
    };
    // The fields are in the header, and all quoting is after it.
    let fields = message.stripped.iter().map(|(at, field)| (*at, &field.0[..]));
    let quotes = message.quotes.iter().scan(0, |at, distance| {
        *at = u64::saturating_add(*at, *distance);
        Some((*at, &b">"[..]))
    });
    let mut insertions = Insertions { all: fields.chain(quotes).peekable(), at: 0 };
    if message.eols.is_empty() {
        mapped::windows(file).try_for_each(|window| insertions.push(window, &mut put_in_source))?;
    } else {
        let revert = if head.eol == "lf" { LineEndChange::AddCr } else { LineEndChange::RemoveCr };
        let mut runs = LineEndRuns::new(&message.eols, revert);
        let (mut line_ends, mut out) = (LineEnds::new(|_| runs.next()), Vec::new());
        for chunk in mapped::windows(file).flat_map(|window| window.chunks(CHUNK)) {
            line_ends.push(chunk, &mut out);
            insertions.push(&out, &mut put_in_source)?;
            out.clear();
        }
        line_ends.finish(&mut out);
        insertions.push(&out, &mut put_in_source)?;
    }
    insertions.all.try_for_each(|(_, bytes)| put_in_source(bytes))
}

/// Inserts bytes into a text that comes in chunks.
struct Insertions<I: Iterator> {
    /// The offset after the insertion of the ones before, and the bytes.
    all: std::iter::Peekable<I>,
    /// The number of bytes so far.
    at: u64,
}

impl<'a, I: Iterator<Item = (u64, &'a [u8])>> Insertions<I> {
    fn push(&mut self, mut chunk: &[u8], put: Put<'_>) -> Result<()> {
        while let Some((at, bytes)) =
            self.all.next_if(|(at, _)| at.saturating_sub(self.at) <= chunk.len() as u64)
        {
            let before;
            (before, chunk) = chunk.split_at(at.saturating_sub(self.at) as usize);
            put(before)?;
            put(bytes)?;
            self.at += (before.len() + bytes.len()) as u64;
        }
        self.at += chunk.len() as u64;
        put(chunk)
    }
}

/// Writes a file that appears complete or not at all.
fn write_file(
    file: AtomicFile,
    path: &Path,
    write: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
) -> Result<()> {
    let failed = || Error::io("write", path);
    let mut buffer = Vec::with_capacity(1 << 20);
    let mut put = |bytes: &[u8]| {
        buffer.extend_from_slice(bytes);
        if buffer.len() >= 1 << 20 {
            durable::write_all(&file.file, &buffer).map_err(failed())?;
            buffer.clear();
        }
        Ok(())
    };
    write(&mut put)?;
    durable::write_all(&file.file, &buffer).map_err(failed())?;
    file.commit(true)
}
