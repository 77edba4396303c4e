//! What becomes of each message: its name, date, flags and place. The only policy; no byte is
//! written here.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;

use rayon::prelude::*;

use super::dates::{self, FromDates, Offered, Origin, Rules};
use super::keywords::Keywords;
use super::labels::{self, Folder, Folders};
use super::render::{Eol, Headers, Rendered, render};
use crate::mailbox::error::Result;
use crate::mailbox::escaped;
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::header;
use crate::mailbox::maildir::keywords::Letters;
use crate::mailbox::maildir::name::{self, BaseName, Unique};
use crate::mailbox::manifest::{Digest, Section};
use crate::mailbox::mbox::boundary::Extent;
use crate::mailbox::mbox::from_line;
use crate::mailbox::mbox::read::Mbox;
use crate::mailbox::mbox::status::{self, Deleted, Labels, Said, Status};
use crate::mailbox::source::Source;

/// What is done with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is written.
    Write,
    /// It is in the destination already, or was and the user took it away.
    Present,
    /// It is the same as one that is in the destination, and `--dedupe` leaves it out.
    Duplicate,
    /// It is UW-IMAP's pseudo message: no mail.
    Pseudo,
    /// It was deleted, and `--deleted skip` leaves it out.
    Deleted,
}

/// What the user wants of flags, header and line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wishes {
    /// Line ends of the messages written.
    pub eol: Eol,
    /// What becomes of fields that mailers write.
    pub headers: Headers,
    /// What becomes of messages that are marked as deleted.
    pub deleted: Deleted,
    /// What becomes of a user's own Gmail labels.
    pub labels: Labels,
}

/// What is the same, for `--dedupe`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dedupe {
    /// Nothing: every message counts.
    No,
    /// Messages whose bytes are the same, less the fields that readers rewrite.
    Content,
    /// Messages with the same Message-ID.
    MessageId,
}

/// A message that has its name already: from an earlier run, or as the duplicate of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its base name.
    pub name: Vec<u8>,
    /// BLAKE3 of the file of that name, where it is known.
    pub file: Option<Digest>,
    /// The folders it is in; none is the Maildir itself.
    pub folders: Vec<Folder>,
}

/// Where a message goes that does not go into the Maildir itself and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filed {
    /// Its folders, that of its file first; in the others are links.
    pub folders: Vec<Folder>,
    /// Those that do not have it yet.
    pub missing: Vec<Folder>,
    /// Its file, relative to the Maildir, where a killed run came as far as one of its folders.
    pub there: Option<PathBuf>,
}

/// A message with all that its file needs.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Where it lies in the source.
    pub extent: Extent,
    /// The unique part of its name.
    pub unique: Unique,
    /// 0 for the first with these bytes, k for the k-th further one.
    pub copy: u32,
    /// Received date, seconds since 1970.
    pub epoch: i64,
    /// Where the date comes from.
    pub origin: Origin,
    /// Flags and whether it is old.
    pub status: Status,
    /// Its keywords, by their numbers in [`Memory::keywords`].
    pub keywords: Box<[u32]>,
    /// Bytes of the file.
    pub size: u64,
    /// The same with CRLF line ends.
    pub wire_size: u64,
    /// How many quoting `>` are taken off.
    pub quotes: u32,
    /// How many line ends are changed.
    pub eols: u32,
    /// Whether it has fields that readers rewrite.
    pub volatile: bool,
    /// What is done with it.
    pub fate: Fate,
    /// Its name, if it does not get a new one.
    pub kept: Option<Box<Kept>>,
    /// Its folders, if it does not go into the Maildir itself alone.
    pub filed: Option<Box<Filed>>,
}

/// All messages of one source.
#[derive(Debug)]
pub struct Plan {
    /// In file order.
    pub messages: Vec<Planned>,
    /// What was noticed while planning.
    pub findings: Vec<Finding>,
}

/// Messages a worker takes at once. A chunk is small enough to spread evenly and large enough that
/// handing its pages back costs nothing.
pub(super) const CHUNK: usize = 64;

/// What is known before a source is planned, and grows with each: names given, names on disk, the
/// messages of earlier runs.
#[derive(Debug, Default)]
pub struct Memory {
    /// The keywords of all messages.
    pub keywords: Keywords,
    /// Letters that messages on disk have.
    pub letters_in_use: Letters,
    /// The last part of new names.
    host: String,
    /// Names that a manifest holds or that this run gave: nobody else gets them.
    claimed: HashSet<(Unique, u32)>,
    /// The next copy number to try.
    copies: HashMap<Unique, u32>,
    /// Base names of ours on disk.
    on_disk: HashMap<(Unique, u32), Vec<u8>>,
    /// Where these files lie, relative to the Maildir; only where there are folders to look into.
    lying: HashMap<(Unique, u32), Vec<(Folder, PathBuf)>>,
    /// The folders that messages go to.
    pub folders: Folders,
    /// Names of an unfinished run that this run has given again.
    given: HashSet<Vec<u8>>,
    /// For `--dedupe`: what is there, and under which name.
    originals: HashMap<Digest, Kept>,
}

/// The messages of one source as earlier runs left them, by content.
#[derive(Debug, Default)]
pub struct Lineage(HashMap<Digest, VecDeque<Ancestor>>);

/// A message of an earlier run.
#[derive(Debug, Clone)]
struct Ancestor {
    name: Vec<u8>,
    file: Digest,
    /// The levels of its folders.
    folders: Vec<Vec<String>>,
    /// Whether its section was closed: then a file that is gone was taken away by the user.
    closed: bool,
    /// Whether it has no file of its own.
    duplicate: bool,
}

impl Lineage {
    /// Of all sections that tell of this source, oldest first: a later one says the same names again.
    /// What one closed section names is settled, whatever a later open one says of it.
    pub fn of(sections: &[Section]) -> Lineage {
        let mut known = HashSet::new();
        let mut lineage = Lineage::default();
        let (closed, open): (Vec<&Section>, Vec<&Section>) =
            sections.iter().rev().partition(|section| section.tail.is_some());
        for section in closed.into_iter().chain(open) {
            let closed = section.tail.is_some();
            // Duplicates have the name of their original.
            let mut named = HashMap::<&[u8], u32>::new();
            for message in section.messages.iter().filter(|m| closed || !m.duplicate) {
                let nth = named.entry(&message.name.0).or_default();
                *nth += 1;
                if known.insert((&message.name.0, *nth)) {
                    let ancestor = Ancestor {
                        name: message.name.0.clone(),
                        file: message.file_digest(),
                        folders: message.folders.clone(),
                        closed,
                        duplicate: message.duplicate,
                    };
                    lineage.0.entry(message.content_digest()).or_default().push_back(ancestor);
                }
            }
        }
        lineage
    }

    /// Of several with the same content as many stay as the source has now. Those that are there come
    /// first: they can be given back. Those that their user took away come before those that only a
    /// killed run named.
    fn prefer<'a>(&mut self, now: impl Iterator<Item = &'a Digests>, is_there: impl Fn(&[u8]) -> bool) {
        let mut wanted = HashMap::<&Digest, usize>::new();
        now.for_each(|digests| *wanted.entry(&digests.content).or_default() += 1);
        for (content, same) in self.0.iter_mut().filter(|(_, same)| same.len() > 1) {
            same.make_contiguous().sort_by_cached_key(|a| (!is_there(&a.name), !a.closed));
            same.truncate(wanted.get(content).copied().unwrap_or(0));
        }
    }

    /// One with this content, and if there is one, with the very bytes.
    fn take(&mut self, digests: &Digests) -> Option<Ancestor> {
        let same = self.0.get_mut(&digests.content)?;
        let alike = same.iter().position(|ancestor| ancestor.file == digests.file);
        same.remove(alike.unwrap_or(0))
    }
}

impl Memory {
    /// Of the base names on disk and the sections of the manifest; `host` ends the names to come.
    pub fn of(base_names: impl Iterator<Item = Vec<u8>>, sections: &[Section], host: &str) -> Memory {
        let mut memory = Memory { host: host.to_owned(), ..Memory::default() };
        for name in base_names {
            if let Some(unique) = name::parse(&name).unique() {
                memory.on_disk.insert(unique, name);
            }
        }
        for message in sections.iter().flat_map(|s| &s.messages) {
            if let Some(unique) = name::parse(&message.name.0).unique() {
                memory.claimed.insert(unique);
            }
        }
        memory
    }

    /// Remembers where a file lies.
    pub fn lies(&mut self, base_name: &[u8], folder: Folder, path: PathBuf) {
        if let Some(unique) = name::parse(base_name).unique() {
            self.lying.entry(unique).or_default().push((folder, path));
        }
    }

    /// Remembers a message that is there, for `--dedupe`.
    pub fn know(&mut self, key: Digest, name: Vec<u8>, file: Digest) {
        let folders = self.lying_as(&name).iter().map(|(folder, _)| *folder).collect();
        self.originals.entry(key).or_insert(Kept { name, file: Some(file), folders });
    }

    fn lying_as(&self, name: &[u8]) -> &[(Folder, PathBuf)] {
        let lying = name::parse(name).unique().and_then(|unique| self.lying.get(&unique));
        lying.map_or(&[], |lying| lying)
    }

    /// Whether a file of this name is in each folder that the message goes to. If only in some, it is to be
    /// put into the others.
    fn is_everywhere(&self, message: &mut Planned, name: &[u8]) -> bool {
        let lying = self.lying_as(name);
        let Some((_, there)) = lying.first() else { return self.has_on_disk(name) };
        let folders = message.folders().to_vec();
        let is_missing = |folder: &Folder| lying.iter().all(|(at, _)| at != folder);
        let missing: Vec<Folder> = folders.iter().copied().filter(is_missing).collect();
        let none_is = missing.is_empty();
        if !none_is {
            message.filed = Some(Box::new(Filed { folders, missing, there: Some(there.clone()) }));
        }
        none_is
    }

    fn has_on_disk(&self, name: &[u8]) -> bool {
        name::parse(name).unique().is_some_and(|unique| self.on_disk.contains_key(&unique))
    }

    /// Gives a message its fate and its name.
    fn place(&mut self, message: &mut Planned, lineage: &mut Lineage, digests: Option<&Digests>) {
        let ancestor = digests.and_then(|digests| {
            // A name that another source of this run goes by is not this one's.
            std::iter::from_fn(|| lineage.take(digests))
                .find(|ancestor| ancestor.closed || self.given.insert(ancestor.name.clone()))
        });
        if let Some(ancestor) = ancestor {
            let is_there = self.has_on_disk(&ancestor.name);
            // The name holds the size: another rendering than that of the killed run needs another.
            let same_file = digests.is_some_and(|digests| digests.file == ancestor.file);
            if is_there || ancestor.closed || same_file {
                // What is settled stays where it was put, or where its user put it.
                if ancestor.closed {
                    message.filed = self.settled(ancestor.folders);
                }
                message.fate = match ancestor.duplicate {
                    true => Fate::Duplicate,
                    _ if ancestor.closed || self.is_everywhere(message, &ancestor.name) => Fate::Present,
                    _ => Fate::Write,
                };
                let folders = message.filed_in();
                let kept = Kept { name: ancestor.name, file: Some(ancestor.file), folders };
                if let Some(key) = digests.and_then(|digests| digests.key) {
                    self.originals.entry(key).or_insert_with(|| kept.clone());
                }
                message.kept = Some(Box::new(kept));
                return;
            }
        }
        let key = digests.and_then(|digests| digests.key);
        if let Some(original) = key.and_then(|key| self.originals.get(&key)) {
            message.fate = Fate::Duplicate;
            message.filed = Filed::at(original.folders.clone());
            message.kept = Some(Box::new(original.clone()));
            return;
        }
        self.name(message);
        if let (Some(key), Some(digests)) = (key, digests) {
            let name = message.base_name(&self.host);
            let folders = message.filed_in();
            self.originals.insert(key, Kept { name, file: Some(digests.file), folders });
        }
    }

    /// The folders that a closed section names.
    fn settled(&mut self, folders: Vec<Vec<String>>) -> Option<Box<Filed>> {
        let numbers = folders.into_iter().map(|levels| self.folders.number(levels));
        let mut filed = Filed::at(numbers.collect())?;
        filed.missing.clear();
        Some(filed)
    }

    /// The first copy number that nobody has. A file on disk that no manifest claims, with our name for
    /// these very bytes, was written by a run without a manifest: it is this message.
    fn name(&mut self, message: &mut Planned) {
        let mut copy = self.copies.get(&message.unique).copied().unwrap_or(0);
        while !self.claimed.insert((message.unique, copy)) {
            copy += 1;
        }
        self.copies.insert(message.unique, copy + 1);
        message.copy = copy;
        if let Some(name) = self.on_disk.get(&(message.unique, copy)).cloned() {
            if self.is_everywhere(message, &name) {
                message.fate = Fate::Present;
            }
            let folders = message.filed_in();
            message.kept = Some(Box::new(Kept { name, file: None, folders }));
        }
    }
}

impl Filed {
    /// In these folders, if that is not the Maildir itself alone.
    fn at(folders: Vec<Folder>) -> Option<Box<Filed>> {
        let is_elsewhere = !matches!(folders[..], [] | [0]);
        is_elsewhere.then(|| Box::new(Filed { missing: folders.clone(), folders, there: None }))
    }
}

/// What was there before.
#[derive(Debug)]
pub struct Earlier {
    /// The messages of this source from earlier runs.
    pub lineage: Lineage,
    /// Which messages of other sources, and of this one, are left out as the same.
    pub dedupe: Dedupe,
}

/// Plans every message of a source. `planned` hears of the bytes that are done, and may end it.
pub fn plan(
    source: &Source,
    mbox: &Mbox<'_>,
    wishes: Wishes,
    rules: &Rules,
    memory: &mut Memory,
    earlier: Earlier,
    planned: &(dyn Fn(u64) -> Result<()> + Sync),
) -> Result<Plan> {
    let Earlier { mut lineage, dedupe } = earlier;
    let labels = labels::are_folders(memory.folders.labels);
    let wanted = (!lineage.0.is_empty() || dedupe != Dedupe::No).then_some(dedupe);
    let look = |chunk: &[Extent]| {
        let facts =
            chunk.iter().map(|extent| Facts::of(source, mbox, extent, wishes, wanted, labels)).collect();
        let range = span(chunk);
        source.release(range.clone());
        planned(range.len() as u64)?;
        Ok(facts)
    };
    let facts: Vec<Vec<Facts>> = match mbox.messages() {
        // Waking another thread for it takes longer.
        few if few.len() <= CHUNK => vec![look(few)?],
        many => many.par_chunks(CHUNK).map(look).collect::<Result<_>>()?,
    };
    let facts: Vec<Facts> = facts.into_iter().flatten().collect();
    lineage.prefer(facts.iter().filter_map(|f| f.digests.as_ref()), |name| memory.has_on_disk(name));
    let mut findings = Vec::new();
    let from_dates = FromDates::learn(facts.iter().map(|f| &f.offered), rules);
    if let Some(seconds) = from_dates.found_offset {
        findings.push(Finding::new(
            Code::DateZone,
            format!(
                "the From_ lines name no zone; by the Received fields theirs is {:+03}:{:02}",
                seconds / 3600,
                seconds.abs() % 3600 / 60
            ),
        ));
    }
    let (mut from_mtime, mut deleted) = (0, 0);
    let mut messages = Vec::with_capacity(facts.len());
    for (n, (extent, mut facts)) in mbox.messages().iter().zip(facts).enumerate() {
        let (epoch, origin) = dates::received(&facts.offered, &from_dates, rules);
        let pseudo = n == 0 && facts.pseudo;
        if pseudo {
            findings.push(Finding::at(
                Code::MboxPseudo,
                extent.at,
                "UW-IMAP's pseudo message: no mail, skipped",
            ));
        }
        match origin {
            Origin::Mtime if rules.first != Some(Origin::Mtime) => from_mtime += 1,
            Origin::None => findings.push(Finding::at(
                Code::DateMissing,
                extent.at,
                "no date of this message is real, and the source has no modification time: dated 1970",
            )),
            _ => {}
        }
        let (digests, is_deleted) = (facts.digests, facts.deleted);
        let said = std::mem::take(&mut facts.keywords);
        let filed = facts.labels.as_deref().and_then(|labels| Filed::at(memory.folders.of_labels(labels)));
        let mut planned = Planned { filed, ..facts.planned(*extent, epoch, origin) };
        if pseudo {
            planned.fate = Fate::Pseudo;
        } else if is_deleted && wishes.deleted == Deleted::Skip {
            planned.fate = Fate::Deleted;
            deleted += 1;
        } else {
            memory.place(&mut planned, &mut lineage, digests.as_ref());
            if !said.is_empty() {
                planned.keywords = memory.keywords.number(&said, &mut |keyword, atom| {
                    findings.push(renamed(extent.at, keyword, atom));
                });
                if planned.fate == Fate::Write {
                    memory.keywords.want(&planned.keywords);
                }
            }
        }
        messages.push(planned);
    }
    if from_mtime > 0 {
        let message = format!("{from_mtime} messages have no date that is real; dated as the source file");
        findings.push(Finding::new(Code::DateFromMtime, message));
    }
    if deleted > 0 {
        let message =
            format!("{deleted} messages are marked as deleted, and left out as --deleted skip has it");
        findings.push(Finding::new(Code::DeletedSkipped, message));
    }
    findings.extend(memory.folders.findings());
    Ok(Plan { messages, findings })
}

fn renamed(at: u64, keyword: &str, atom: &str) -> Finding {
    let keyword = escaped(keyword.as_bytes());
    Finding::at(
        Code::KeywordRenamed,
        at,
        format!("the keyword \"{keyword}\" is no word to IMAP, and called {atom}"),
    )
}

/// From the first byte of the first message to behind the last of the last.
fn span(messages: &[Extent]) -> std::ops::Range<usize> {
    match (messages.first(), messages.last()) {
        (Some(first), Some(last)) => first.at as usize..last.end as usize,
        _ => 0..0,
    }
}

/// What a message alone says.
struct Facts {
    unique: Unique,
    offered: Offered,
    status: Status,
    deleted: bool,
    /// As the header has them.
    keywords: Vec<String>,
    pseudo: bool,
    size: u64,
    wire_size: u64,
    quotes: u32,
    eols: u32,
    volatile: bool,
    digests: Option<Digests>,
    /// X-Gmail-Labels, where folders are made by it. The first: Takeout puts its own before all others.
    labels: Option<Box<[u8]>>,
}

/// What a message is known again by; made only where there is something to know again.
#[derive(Debug, Clone, Copy)]
struct Digests {
    content: Digest,
    file: Digest,
    key: Option<Digest>,
}

impl Digests {
    fn of(source: &Source, extent: &Extent, rendered: &Rendered<'_>, dedupe: Dedupe) -> Digests {
        let raw = extent.message(source.raw());
        let content = content_digest(raw).unwrap_or_else(|| Digest::of(raw));
        let key = match dedupe {
            Dedupe::No => None,
            // As its file has it, since it is compared with files.
            _ => {
                let file = rendered.pieces.concat();
                dedupe.key(&file, content_digest(&file).unwrap_or_else(|| Digest::of(&file)))
            }
        };
        Digests { content, file: rendered.digest(), key }
    }
}

impl Dedupe {
    /// By what a message counts as the same.
    pub fn key(self, message: &[u8], content: Digest) -> Option<Digest> {
        match self {
            Dedupe::No => None,
            Dedupe::Content => Some(content),
            Dedupe::MessageId => {
                let header = header::split(message).header;
                let id = header::fields(header).find(|f| f.is("Message-ID"))?;
                let id = header::unfold(id.value);
                (!id.is_empty()).then(|| Digest::of(&id))
            }
        }
    }
}

/// BLAKE3 of a message less the fields that readers rewrite; None where it has none of them.
pub fn content_digest(message: &[u8]) -> Option<Digest> {
    let split = header::split(message);
    let header = header::without_volatile(split.header)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&header);
    hasher.update(&message[split.header.len()..]);
    Some(hasher.finalize().into())
}

impl Facts {
    fn of(
        source: &Source,
        mbox: &Mbox<'_>,
        extent: &Extent,
        wishes: Wishes,
        wanted: Option<Dedupe>,
        labels_wanted: bool,
    ) -> Facts {
        let text = mbox.text();
        let message = extent.message(text);
        let split = header::split(message);
        let mut said = Said::default();
        let mut offered = Offered {
            from: from_line::parse(first_line(extent.from_lines(text))).stamp,
            ..Offered::default()
        };
        let (mut volatile, mut labels) = (false, None);
        for field in header::fields(split.header) {
            if labels_wanted && labels.is_none() && field.is("X-Gmail-Labels") {
                labels = Some(field.value.into());
            }
            said.take(&field, wishes.labels);
            offered.take(&field);
            volatile |= header::is_volatile(&field);
        }
        let rendered = render(message, &split, mbox.variant.quoting(), (wishes.eol, wishes.headers));
        let (size, wire_size) = rendered.sizes(mbox.has_cr || wishes.eol == Eol::Crlf);
        Facts {
            unique: Unique::of(&source.raw()[extent.at as usize..extent.end as usize]),
            offered,
            status: said.status(wishes.deleted),
            deleted: said.deleted,
            keywords: said.keywords,
            pseudo: status::is_pseudo(split.header),
            size,
            wire_size,
            quotes: rendered.quotes,
            eols: rendered.eols,
            volatile,
            digests: wanted.map(|dedupe| Digests::of(source, extent, &rendered, dedupe)),
            labels,
        }
    }

    fn planned(self, extent: Extent, epoch: i64, origin: Origin) -> Planned {
        let Facts { unique, status, size, wire_size, quotes, eols, volatile, .. } = self;
        Planned {
            extent,
            unique,
            copy: 0,
            epoch,
            origin,
            status,
            keywords: Box::default(),
            size,
            wire_size,
            quotes,
            eols,
            volatile,
            fate: Fate::Write,
            kept: None,
            filed: None,
        }
    }
}

impl Planned {
    /// Where it belongs.
    pub fn folders(&self) -> &[Folder] {
        self.filed.as_ref().map_or(&[0], |filed| &filed.folders)
    }

    fn filed_in(&self) -> Vec<Folder> {
        self.filed.as_ref().map_or_else(Vec::new, |filed| filed.folders.clone())
    }

    /// Where it is to be written.
    pub fn missing(&self) -> &[Folder] {
        match &self.filed {
            _ if self.fate != Fate::Write => &[],
            Some(filed) => &filed.missing,
            None => &[0],
        }
    }

    /// Its name up to the info: the one it has, or a new one that ends with `host`.
    pub fn base_name(&self, host: &str) -> Vec<u8> {
        if let Some(kept) = &self.kept {
            return kept.name.clone();
        }
        let Planned { epoch, unique, copy, size, wire_size, .. } = *self;
        BaseName { epoch, unique, copy, host, size, wire_size }.to_bytes()
    }
}

fn first_line(lines: &[u8]) -> &[u8] {
    &lines[..memchr::memchr(b'\n', lines).map_or(lines.len(), |lf| lf + 1)]
}
