//! What becomes of each message: its name, date, flags and place. The only policy; no byte is
//! written here.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Mutex;

use rayon::prelude::*;

use super::keywords::Keywords;
use super::labels::{self, FolderIndex, LabelFolders};
use super::render::{Eol, Headers, Rendered, render};
use crate::mailbox::error::Result;
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::maildir::keywords::{self, KeywordSet};
use crate::mailbox::maildir::name::{self, BaseName, Unique};
use crate::mailbox::manifest::{Digest, Section};
use crate::mailbox::mbox::boundary::Extent;
use crate::mailbox::mbox::from_line;
use crate::mailbox::mbox::read::Mbox;
use crate::mailbox::mbox::status::{self, DeletedPolicy, LabelPolicy, Status, StatusFields};
use crate::mailbox::message::header;
use crate::mailbox::message::received::{
    self, DateFields, DateRules, FromLineDates, FromLineStats, Origin, PackedStamp,
};
use crate::mailbox::source::Source;

/// What is done with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Disposition {
    /// It is written.
    #[default]
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
pub struct RenderOptions {
    /// Line ends of the messages written.
    pub eol: Eol,
    /// What becomes of fields that mailers write.
    pub headers: Headers,
    /// What becomes of messages that are marked as deleted.
    pub deleted: DeletedPolicy,
    /// What becomes of a user's own Gmail labels.
    pub labels: LabelPolicy,
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
pub struct ExistingName {
    /// Its base name.
    pub name: Vec<u8>,
    /// BLAKE3 of the file of that name, where it is known.
    pub file: Option<Digest>,
    /// The folders it is in; none is the Maildir itself.
    pub folders: Vec<FolderIndex>,
}

/// Where a message goes that does not go into the Maildir itself and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderPlacement {
    /// Its folders, that of its file first; in the others are links.
    pub folders: Vec<FolderIndex>,
    /// Those that do not have it yet.
    pub missing: Vec<FolderIndex>,
    /// Its file, relative to the Maildir, where a killed run came as far as one of its folders.
    pub existing: Option<PathBuf>,
}

/// A message with all that its file needs, but for where it lies: that is in [`Mbox::messages`] under the
/// same number. There is one for each message as long as a conversion runs, so it is small.
#[derive(Debug, Clone, Default)]
pub struct PlannedMessage {
    /// The unique part of its name; None where nobody asks for names.
    pub unique: Option<Unique>,
    /// 0 for the first with these bytes, k for the k-th further one.
    pub copy: u32,
    /// Received date, seconds since 1970.
    pub epoch: i64,
    /// Where the date comes from.
    pub origin: Origin,
    /// Flags and whether it is old.
    pub status: Status,
    /// Bytes of the file.
    pub size: u64,
    /// The same with CRLF line ends.
    pub wire_size: u64,
    /// How many quoting `>` are taken off.
    pub quotes: u32,
    /// How many line ends are changed.
    pub eols: u32,
    /// Whether it has fields that readers rewrite.
    pub has_volatile_fields: bool,
    /// What is done with it.
    pub disposition: Disposition,
    rare: Option<Box<RareFields>>,
}

/// What most messages do not have.
#[derive(Debug, Clone, Default)]
struct RareFields {
    /// Its keywords, by their numbers in [`Memory::keywords`].
    keywords: Box<[u32]>,
    /// Its name, if it does not get a new one.
    kept: Option<ExistingName>,
    /// Its folders, if it does not go into the Maildir itself alone.
    filed: Option<FolderPlacement>,
}

/// All messages of one source.
#[derive(Debug)]
pub struct Plan {
    /// In file order.
    pub messages: Vec<PlannedMessage>,
    /// What was noticed while planning.
    pub findings: Vec<Finding>,
}

/// Messages a worker takes at once. A chunk is small enough to spread evenly and large enough that
/// handing its pages back costs nothing.
pub const CHUNK: usize = 64;

/// What is known before a source is planned, and grows with each: names given, names on disk, the
/// messages of earlier runs.
#[derive(Debug, Default)]
pub struct NameTable {
    /// The keywords of all messages.
    pub keywords: Keywords,
    /// Letters that messages on disk have.
    pub letters_in_use: KeywordSet,
    /// The last part of new names; None where messages get none.
    host: Option<String>,
    /// Names that a manifest holds or that this run gave to another source: nobody else gets them. Those of
    /// the first messages with their bytes, which is nearly all,
    claimed: HashSet<Unique>,
    /// and those of their copies.
    claimed_copies: HashSet<(Unique, u32)>,
    /// Of the source that is being planned, how those begin that more than one message has.
    repeated: HashSet<u64>,
    /// Whether no source comes behind it: then nobody else asks for the names it gets.
    is_last: bool,
    /// The next copy number to try, where there is more than one.
    copies: HashMap<Unique, u32>,
    /// Base names of ours on disk.
    on_disk: HashMap<(Unique, u32), Vec<u8>>,
    /// Where these files lie, relative to the Maildir; only where there are folders to look into.
    lying: HashMap<(Unique, u32), Vec<(FolderIndex, PathBuf)>>,
    /// The folders that messages go to.
    pub folders: LabelFolders,
    /// Names of an unfinished run that this run has given again.
    given: HashSet<Vec<u8>>,
    /// For `--dedupe`: what is there, and under which name.
    originals: HashMap<Digest, ExistingName>,
}

/// The messages of one source as earlier runs left them, by content.
#[derive(Debug, Default)]
pub struct PreviousMessages(HashMap<Digest, VecDeque<PreviousMessage>>);

/// A message of an earlier run.
#[derive(Debug, Clone)]
struct PreviousMessage {
    name: Vec<u8>,
    file: Digest,
    /// The levels of its folders.
    folders: Vec<Vec<String>>,
    /// Whether its section was closed: then a file that is gone was taken away by the user.
    closed: bool,
    /// Whether it has no file of its own.
    duplicate: bool,
}

impl PreviousMessages {
    /// Of all sections that tell of this source, oldest first: a later one says the same names again.
    /// What one closed section names is settled, whatever a later open one says of it.
    pub fn from_sections(sections: &[Section]) -> PreviousMessages {
        let mut known = HashSet::new();
        let mut lineage = PreviousMessages::default();
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
                    let ancestor = PreviousMessage {
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
    fn take(&mut self, digests: &Digests) -> Option<PreviousMessage> {
        let same = self.0.get_mut(&digests.content)?;
        let alike = same.iter().position(|ancestor| ancestor.file == digests.file);
        same.remove(alike.unwrap_or(0))
    }
}

impl NameTable {
    /// Of the base names on disk and the sections of the manifest; `host` ends the names to come.
    pub fn new(base_names: impl Iterator<Item = Vec<u8>>, sections: &[Section], host: &str) -> NameTable {
        let mut memory = NameTable { host: Some(host.to_owned()), ..NameTable::default() };
        for name in base_names {
            if let Some(unique) = name::parse(&name).unique() {
                memory.on_disk.insert(unique, name);
            }
        }
        for message in sections.iter().flat_map(|s| &s.messages) {
            if let Some(unique) = name::parse(&message.name.0).unique() {
                memory.claim(unique);
            }
        }
        memory
    }

    fn claim(&mut self, (unique, copy): (Unique, u32)) {
        match copy {
            0 => self.claimed.insert(unique),
            _ => self.claimed_copies.insert((unique, copy)),
        };
    }

    fn is_claimed(&self, name: (Unique, u32)) -> bool {
        match name {
            (unique, 0) => self.claimed.contains(&unique),
            copy => self.claimed_copies.contains(&copy),
        }
    }

    /// No other source comes behind the next one.
    pub fn expect_last_source(&mut self) {
        self.is_last = true;
    }

    /// Lets go of what only who gives names needs, which is as much as the messages are many.
    pub fn forget_names(&mut self) {
        let NameTable { keywords, letters_in_use, folders, host, .. } = std::mem::take(self);
        *self = NameTable { keywords, letters_in_use, folders, host, ..NameTable::default() };
    }

    /// For a run that writes nothing: where nothing is known either, it needs no names.
    pub fn for_dry_run(self) -> NameTable {
        let nothing = self.claimed.is_empty() && self.claimed_copies.is_empty() && self.on_disk.is_empty();
        NameTable { host: self.host.filter(|_| !nothing), ..self }
    }

    /// Remembers where a file lies.
    pub fn add_file(&mut self, base_name: &[u8], folder: FolderIndex, path: PathBuf) {
        if let Some(unique) = name::parse(base_name).unique() {
            self.lying.entry(unique).or_default().push((folder, path));
        }
    }

    /// Remembers a message that is there, for `--dedupe`.
    pub fn add_original(&mut self, key: Digest, name: Vec<u8>, file: Digest) {
        let folders = self.lying_as(&name).iter().map(|(folder, _)| *folder).collect();
        self.originals.entry(key).or_insert(ExistingName { name, file: Some(file), folders });
    }

    fn lying_as(&self, name: &[u8]) -> &[(FolderIndex, PathBuf)] {
        let lying = name::parse(name).unique().and_then(|unique| self.lying.get(&unique));
        lying.map_or(&[], |lying| lying)
    }

    /// Whether a file of this name is in each folder that the message goes to. If only in some, it is to be
    /// put into the others.
    fn is_everywhere(&self, message: &mut PlannedMessage, name: &[u8]) -> bool {
        let lying = self.lying_as(name);
        let Some((_, there)) = lying.first() else { return self.has_on_disk(name) };
        let folders = message.folders().to_vec();
        let is_missing = |folder: &FolderIndex| lying.iter().all(|(at, _)| at != folder);
        let missing: Vec<FolderIndex> = folders.iter().copied().filter(is_missing).collect();
        let none_is = missing.is_empty();
        if !none_is {
            message.rare().filed = Some(FolderPlacement { folders, missing, existing: Some(there.clone()) });
        }
        none_is
    }

    fn has_on_disk(&self, name: &[u8]) -> bool {
        name::parse(name).unique().is_some_and(|unique| self.on_disk.contains_key(&unique))
    }

    /// Gives a message its fate and its name.
    fn place(
        &mut self,
        message: &mut PlannedMessage,
        lineage: &mut PreviousMessages,
        digests: Option<&Digests>,
    ) {
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
                    message.file(self.settled(ancestor.folders));
                }
                message.disposition = match ancestor.duplicate {
                    true => Disposition::Duplicate,
                    _ if ancestor.closed || self.is_everywhere(message, &ancestor.name) => {
                        Disposition::Present
                    }
                    _ => Disposition::Write,
                };
                let folders = message.filed_in();
                let kept = ExistingName { name: ancestor.name, file: Some(ancestor.file), folders };
                if let Some(key) = digests.and_then(|digests| digests.key) {
                    self.originals.entry(key).or_insert_with(|| kept.clone());
                }
                message.rare().kept = Some(kept);
                return;
            }
        }
        let key = digests.and_then(|digests| digests.key);
        if let Some(original) = key.and_then(|key| self.originals.get(&key)) {
            message.disposition = Disposition::Duplicate;
            message.file(FolderPlacement::at(original.folders.clone()));
            message.rare().kept = Some(original.clone());
            return;
        }
        self.name(message);
        if let (Some(key), Some(digests)) = (key, digests) {
            let name = message.base_name(self.host.as_deref().unwrap_or_default());
            let folders = message.filed_in();
            self.originals.insert(key, ExistingName { name, file: Some(digests.file), folders });
        }
    }

    /// The folders that a closed section names.
    fn settled(&mut self, folders: Vec<Vec<String>>) -> Option<FolderPlacement> {
        let numbers = folders.into_iter().map(|levels| self.folders.intern(levels));
        let mut filed = FolderPlacement::at(numbers.collect())?;
        filed.missing.clear();
        Some(filed)
    }

    /// The first copy number that nobody has. A file on disk that no manifest claims, with our name for
    /// these very bytes, was written by a run without a manifest: it is this message.
    fn name(&mut self, message: &mut PlannedMessage) {
        let Some(unique) = message.unique else { return };
        let mut copy = self.copies.get(&unique).copied().unwrap_or(0);
        while self.is_claimed((unique, copy)) {
            copy += 1;
        }
        if !self.is_last {
            self.claim((unique, copy));
        }
        if copy > 0 || self.repeated.contains(&beginning(unique)) {
            self.copies.insert(unique, copy + 1);
        }
        message.copy = copy;
        if let Some(name) = self.on_disk.get(&(unique, copy)).cloned() {
            if self.is_everywhere(message, &name) {
                message.disposition = Disposition::Present;
            }
            let folders = message.filed_in();
            message.rare().kept = Some(ExistingName { name, file: None, folders });
        }
    }
}

impl FolderPlacement {
    /// In these folders, if that is not the Maildir itself alone.
    fn at(folders: Vec<FolderIndex>) -> Option<FolderPlacement> {
        let is_elsewhere = !matches!(folders[..], [] | [0]);
        is_elsewhere.then(|| FolderPlacement { missing: folders.clone(), folders, existing: None })
    }
}

/// What was there before.
#[derive(Debug)]
pub struct Earlier {
    /// The messages of this source from earlier runs.
    pub previous: PreviousMessages,
    /// Which messages of other sources, and of this one, are left out as the same.
    pub dedupe: Dedupe,
}

/// Plans every message of a source. `planned` hears of the bytes that are done, and may end it.
pub fn plan(
    source: &Source,
    mbox: &Mbox<'_>,
    wishes: RenderOptions,
    rules: &DateRules,
    memory: &mut NameTable,
    earlier: Earlier,
    planned: &(dyn Fn(u64) -> Result<()> + Sync),
) -> Result<Plan> {
    let Earlier { previous: mut lineage, dedupe } = earlier;
    let looking = Analysis {
        source,
        mbox,
        wishes,
        rules,
        names: memory.host.is_some(),
        labels: labels::are_folders(memory.folders.labels),
        gathered: Mutex::default(),
        digests: (!lineage.0.is_empty() || dedupe != Dedupe::No).then_some(dedupe),
    };
    let extents = mbox.messages();
    let mut messages = vec![PlannedMessage::default(); extents.len()];
    let mut from_lines = vec![PackedStamp::NONE; extents.len()];
    let look = |part: Part<'_>| {
        let range = span(part.extents);
        let odd = looking.at_part(part);
        source.release(range.clone());
        planned(range.len() as u64)?;
        Ok(odd)
    };
    let odd: Vec<Vec<UnusualMessage>> = match extents.len() {
        // Waking another thread for it takes longer.
        ..=CHUNK => {
            vec![look(Part { first: 0, extents, messages: &mut messages, from_lines: &mut from_lines })?]
        }
        _ => {
            let parts = extents.par_chunks(CHUNK).zip(messages.par_chunks_mut(CHUNK));
            let parts = parts.zip(from_lines.par_chunks_mut(CHUNK)).enumerate();
            let part = |(n, ((extents, messages), from_lines))| Part {
                first: n * CHUNK,
                extents,
                messages,
                from_lines,
            };
            parts.map(|which| look(part(which))).collect::<Result<_>>()?
        }
    };
    lineage
        .prefer(odd.iter().flatten().filter_map(|odd| odd.digests.as_ref()), |name| memory.has_on_disk(name));
    let mut findings = Vec::new();
    let gathered = looking.gathered.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    let from_dates = FromLineDates::new(&gathered, rules);
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
    for (planned, written) in messages.iter_mut().zip(from_lines) {
        let otherwise = (planned.epoch, planned.origin);
        (planned.epoch, planned.origin) = received::resolve_date(written, otherwise, &from_dates, rules);
    }
    memory.repeated = repeated(&messages);
    let (mut from_mtime, mut deleted) = (0, 0);
    let mut odd = odd.into_iter().flatten().peekable();
    for (n, (extent, planned)) in extents.iter().zip(&mut messages).enumerate() {
        let pseudo = n == 0 && status::is_pseudo_message(header::split(extent.message(mbox.text())).header);
        if pseudo {
            findings.push(Finding::at(
                Code::MboxPseudo,
                extent.at,
                "UW-IMAP's pseudo message: no mail, skipped",
            ));
        }
        match planned.origin {
            Origin::Mtime if rules.first != Some(Origin::Mtime) => from_mtime += 1,
            Origin::None => findings.push(Finding::at(
                Code::DateMissing,
                extent.at,
                "no date of this message is real, and the source has no modification time: dated 1970",
            )),
            _ => {}
        }
        let odd = odd.next_if(|odd| odd.number == n).unwrap_or_default();
        if let Some(labels) = odd.labels {
            planned.file(FolderPlacement::at(memory.folders.for_labels(&labels)));
        }
        if pseudo {
            planned.disposition = Disposition::Pseudo;
        } else if odd.deleted && wishes.deleted == DeletedPolicy::Skip {
            planned.disposition = Disposition::Deleted;
            deleted += 1;
        } else {
            memory.place(planned, &mut lineage, odd.digests.as_ref());
            if !odd.keywords.is_empty() {
                let keywords = memory.keywords.intern(&odd.keywords, &mut |keyword, atom| {
                    findings.push(keywords::renamed_finding(extent.at, keyword, atom));
                });
                if planned.disposition == Disposition::Write {
                    memory.keywords.require(&keywords);
                }
                planned.rare().keywords = keywords;
            }
        }
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

/// How unique parts begin that more than one of these messages has. By sorting, and of eight bytes: a set of all
/// of them would be the largest thing in memory.
fn repeated(messages: &[PlannedMessage]) -> HashSet<u64> {
    let mut all: Vec<u64> = messages.iter().filter_map(|message| message.unique).map(beginning).collect();
    all.par_sort_unstable();
    all.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect()
}

fn beginning(Unique(bytes): Unique) -> u64 {
    bytes.iter().take(8).fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// From the first byte of the first message to behind the last of the last.
pub fn span(messages: &[Extent]) -> std::ops::Range<usize> {
    match (messages.first(), messages.last()) {
        (Some(first), Some(last)) => first.at as usize..last.end as usize,
        _ => 0..0,
    }
}

/// What is looked for in each message.
struct Analysis<'a> {
    source: &'a Source,
    mbox: &'a Mbox<'a>,
    wishes: RenderOptions,
    rules: &'a DateRules,
    /// Whether names are asked for.
    names: bool,
    /// Whether folders are made by Gmail's labels.
    labels: bool,
    /// What the dates of all parts have in common.
    gathered: Mutex<FromLineStats>,
    /// What messages are known again by, where there is something to know again.
    digests: Option<Dedupe>,
}

/// Messages that a worker takes at once, and room for what it finds.
struct Part<'p> {
    /// The number of the first.
    first: usize,
    extents: &'p [Extent],
    messages: &'p mut [PlannedMessage],
    from_lines: &'p mut [PackedStamp],
}

/// What few messages have, or all of a run of few, and does not go into [`Planned`] as it is.
#[derive(Default)]
struct UnusualMessage {
    /// Which message it is of.
    number: usize,
    deleted: bool,
    /// As the header has them.
    keywords: Vec<String>,
    digests: Option<Digests>,
    /// X-Gmail-Labels, where folders are made by it. The first: Takeout puts its own before all others.
    labels: Option<Box<[u8]>>,
}

/// What a message is known again by.
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

impl Analysis<'_> {
    /// Fills in what each message says by itself: for a date what it is without its From_ line. Returns the
    /// odd ones.
    fn at_part(&self, part: Part<'_>) -> Vec<UnusualMessage> {
        let (mut found, mut gathered) = (Vec::new(), FromLineStats::default());
        let messages = part.extents.iter().zip(part.messages).zip(part.from_lines);
        for (n, ((extent, planned), from_line)) in messages.enumerate() {
            let (offered, odd) = self.at(extent, planned);
            *from_line = PackedStamp::pack(offered.from);
            gathered.add(&offered);
            let is_odd =
                odd.deleted || !odd.keywords.is_empty() || odd.digests.is_some() || odd.labels.is_some();
            if is_odd {
                found.push(UnusualMessage { number: part.first + n, ..odd });
            }
        }
        self.gathered.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).merge(gathered);
        found
    }

    fn at(&self, extent: &Extent, planned: &mut PlannedMessage) -> (DateFields, UnusualMessage) {
        let Analysis { mbox, wishes, .. } = *self;
        let text = mbox.text();
        let message = extent.message(text);
        let (mut said, mut labels) = (StatusFields::default(), None);
        let mut offered = DateFields {
            from: from_line::parse(first_line(extent.from_lines(text))).stamp,
            ..DateFields::default()
        };
        let mut fields = header::fields(message);
        for field in &mut fields {
            if self.labels && labels.is_none() && field.is("X-Gmail-Labels") {
                labels = Some(field.value.into());
            }
            said.add(&field, wishes.labels);
            offered.read_field(&field);
            planned.has_volatile_fields |= header::is_volatile(&field);
        }
        let rendered = render(message, &fields.split(), mbox.variant.quoting(), (wishes.eol, wishes.headers));
        (planned.size, planned.wire_size) = rendered.sizes(mbox.has_cr || wishes.eol == Eol::Crlf);
        (planned.quotes, planned.eols) = (rendered.quotes, rendered.eols);
        (planned.epoch, planned.origin) = received::fallback_date(&offered, self.rules);
        planned.status = said.status(wishes.deleted);
        let raw = &self.source.raw()[extent.at as usize..extent.end as usize];
        planned.unique = self.names.then(|| Unique::of(raw));
        let digests = self.digests.map(|dedupe| Digests::of(self.source, extent, &rendered, dedupe));
        (
            offered,
            UnusualMessage { number: 0, deleted: said.deleted, keywords: said.keywords, digests, labels },
        )
    }
}

impl PlannedMessage {
    /// Its keywords, by their numbers in [`Memory::keywords`].
    pub fn keywords(&self) -> &[u32] {
        self.rare.as_ref().map_or(&[], |rare| &rare.keywords)
    }

    /// Its name, if it does not get a new one.
    pub fn existing_name(&self) -> Option<&ExistingName> {
        self.rare.as_ref()?.kept.as_ref()
    }

    /// Its folders, if it does not go into the Maildir itself alone.
    pub fn placement(&self) -> Option<&FolderPlacement> {
        self.rare.as_ref()?.filed.as_ref()
    }

    fn rare(&mut self) -> &mut RareFields {
        self.rare.get_or_insert_default()
    }

    fn file(&mut self, filed: Option<FolderPlacement>) {
        if filed.is_some() || self.placement().is_some() {
            self.rare().filed = filed;
        }
    }

    /// Where it belongs.
    pub fn folders(&self) -> &[FolderIndex] {
        self.placement().map_or(&[0], |filed| &filed.folders)
    }

    fn filed_in(&self) -> Vec<FolderIndex> {
        self.placement().map_or_else(Vec::new, |filed| filed.folders.clone())
    }

    /// Where it is to be written.
    pub fn missing_folders(&self) -> &[FolderIndex] {
        match self.placement() {
            _ if self.disposition != Disposition::Write => &[],
            Some(filed) => &filed.missing,
            None => &[0],
        }
    }

    /// Its name up to the info: the one it has, or a new one that ends with `host`.
    ///
    /// # Panics
    /// Where it was planned without names.
    pub fn base_name(&self, host: &str) -> Vec<u8> {
        if let Some(kept) = self.existing_name() {
            return kept.name.clone();
        }
        let PlannedMessage { epoch, copy, size, wire_size, .. } = *self;
        let unique = self.unique.expect("planned without names");
        BaseName { epoch, unique, copy, host, size, wire_size }.to_bytes()
    }
}

fn first_line(lines: &[u8]) -> &[u8] {
    &lines[..memchr::memchr(b'\n', lines).map_or(lines.len(), |lf| lf + 1)]
}
