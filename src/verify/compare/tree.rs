//! Two trees of folders. Those that have the same name are compared as two mailboxes are; for what one of
//! them lacks all others are asked.
//!
//! A folder at a time is open, or a few: what is kept of the others is where their messages without a
//! counterpart lie, and a hash of each.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;

use crate::mailbox::context::{Events, Phase};
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::text::{is_or_are, plural};
use crate::mailbox::tree::folder::Folder;
use crate::mailbox::tree::naming::normalize_inbox;
use crate::mailbox::tree::walk::MailboxKind;
use crate::verify::compare::report::{Detail, Difference};
use crate::verify::compare::text::Digest;
use crate::verify::compare::{
    CompareOptions, MailboxRef, MessageTotals as Sums, SourceOpener, open_and_compare, unread_clause,
};

/// Pairs of folders that are compared side by side.
const SIDE_BY_SIDE: usize = 64;

/// The mailboxes of one folder on both sides. Several of one name are taken together.
#[derive(Debug, Clone)]
pub struct FolderPair {
    /// Which folder.
    pub folder: Folder,
    here: Vec<MailboxRef>,
    there: Vec<MailboxRef>,
}

/// Pairs folders by their names. INBOX is INBOX in any case, as where they are converted.
pub fn pair_folders(here: Vec<(Folder, MailboxRef)>, there: Vec<(Folder, MailboxRef)>) -> Vec<FolderPair> {
    let mut pairs: BTreeMap<Folder, FolderPair> = BTreeMap::new();
    let side_of: [fn(&mut FolderPair) -> &mut Vec<MailboxRef>; 2] =
        [|pair| &mut pair.here, |pair| &mut pair.there];
    for (side, side_of) in [here, there].into_iter().zip(side_of) {
        let (mut folders, mailboxes): (Vec<Folder>, Vec<MailboxRef>) = side.into_iter().unzip();
        normalize_inbox(&mut folders);
        for (folder, mailbox) in folders.into_iter().zip(mailboxes) {
            let new = || FolderPair { folder: folder.clone(), here: Vec::new(), there: Vec::new() };
            side_of(pairs.entry(folder.clone()).or_insert_with(new)).push(mailbox);
        }
    }
    pairs.into_values().collect()
}

/// What is to be told.
#[derive(Debug)]
pub enum CompareEvent<'a> {
    /// A difference between messages, and the folder on this side, or else on the other.
    Message(Box<Difference>, &'a Folder),
    /// A folder that only one side has.
    Folder(LoneFolder<'a>),
    /// A folder that could not be compared, and why.
    Failed(Error, &'a Folder),
}

/// A folder that only one side has.
#[derive(Debug)]
pub struct LoneFolder<'a> {
    /// [`Code::FolderMissing`], [`Code::FolderExtra`] or [`Code::FolderEmpty`].
    pub code: Code,
    /// Which.
    pub folder: &'a Folder,
    /// Whether it is this side that has it.
    pub is_here: bool,
    /// Where it lies, or the first of it.
    pub path: &'a Path,
    /// How many messages it has.
    pub messages: u64,
    /// How many of them lie in other folders of the other side.
    pub elsewhere: u64,
    /// In which, if it is one.
    pub other_folder: Option<&'a Folder>,
}

impl LoneFolder<'_> {
    /// As a finding. `other` names the side that does not have it.
    pub fn finding(&self, other: &str) -> Finding {
        let mut message = format!(
            "the folder {}, with {}, is not in {other}",
            self.folder,
            plural(self.messages, "message")
        );
        if self.elsewhere > 0 {
            let which = match self.elsewhere == self.messages {
                true => "all of its mail lies".to_owned(),
                false => format!("{} of them lie", self.elsewhere),
            };
            let place = self.other_folder.map_or_else(|| "other folders".into(), Folder::to_string);
            message += &format!("; {which} in {place} there");
        }
        Finding::new(self.code, message)
    }
}

/// What came out.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct FolderTotals {
    /// Over all folders.
    pub sums: Sums,
    /// Folders with mail that only this side has.
    pub missing: u64,
    /// Folders with mail that only the other side has.
    pub extra: u64,
    /// Folders that could not be compared. Their messages are in no sum.
    pub failed: u64,
}

impl FolderTotals {
    /// The last line of a report, as [`Sums::sentence`] has it. `not_read`: how many files were passed over
    /// in which mail may be.
    pub fn sentence(&self, here: &str, there: &str, not_read: u64, grouped: fn(u64) -> String) -> String {
        let count = |n: u64, what: &str| format!("{} {what}{}", grouped(n), if n == 1 { "" } else { "s" });
        let of_here = format!("in {} of {here}", count(self.sums.folders, "folder"));
        let mut text = self.sums.clauses(&of_here, (here, there), grouped);
        if self.missing > 0 {
            let verb = is_or_are(self.missing, self.missing);
            text += &format!("; {} {verb} missing", count(self.missing, "folder"));
        }
        if self.extra > 0 {
            text += &format!("; {there} has {} more", count(self.extra, "folder"));
        }
        if self.failed > 0 {
            text += &format!("; {} could not be compared", count(self.failed, "folder"));
        }
        text + &unread_clause(not_read, grouped) + "."
    }
}

/// Compares the folders. One that cannot be compared is told, and does not keep the others from being it.
///
/// Memory: as for the largest folders by themselves, and some hundred bytes for each message that has no
/// counterpart in its folder.
///
/// # Errors
/// [`Error::Interrupted`].
pub fn compare(
    pairs: &[FolderPair],
    options: &CompareOptions<'_>,
    open: SourceOpener<'_>,
    progress: &dyn Events,
    tell: &mut dyn FnMut(CompareEvent<'_>),
) -> Result<FolderTotals> {
    progress.begin(Phase::Reading, pairs.iter().map(FolderPair::bytes).sum());
    let mut verdict = FolderTotals::default();
    let mut lone = Lone::default();
    let mut sizes = vec![0; pairs.len()];
    for (n, batch) in pairs.chunks(SIDE_BY_SIDE).enumerate() {
        let compared: Vec<Result<(Sums, Vec<Difference>)>> =
            batch.par_iter().map(|pair| pair.compare(options, open, progress)).collect();
        for (n, compared) in (n * SIDE_BY_SIDE..).zip(compared) {
            let (sums, differences) = match compared {
                Ok(compared) => compared,
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => {
                    verdict.failed += 1;
                    tell(CompareEvent::Failed(error, &pairs[n].folder));
                    continue;
                }
            };
            sizes[n] = sums.here + sums.there;
            verdict.sums.add(&sums);
            for difference in differences {
                match difference.code {
                    Code::MessageMissing => lone.missing.push((n, difference)),
                    Code::MessageExtra => lone.extra.push((n, difference)),
                    _ => tell(CompareEvent::Message(Box::new(difference), &pairs[n].folder)),
                }
            }
        }
    }
    let moved = lone.moved();
    verdict.sums.moved = moved.len() as u64;
    verdict.sums.missing -= verdict.sums.moved;
    verdict.sums.extra -= verdict.sums.moved;
    assert!(verdict.sums.balances(), "the sums do not add up: {verdict:?}");
    let elsewhere = Elsewhere::of(&moved);
    for (n, pair) in pairs.iter().enumerate() {
        let Some(alone) = pair.alone(n, sizes[n], &elsewhere, pairs) else { continue };
        match alone.code {
            Code::FolderMissing => verdict.missing += 1,
            Code::FolderExtra => verdict.extra += 1,
            _ => {}
        }
        tell(CompareEvent::Folder(alone));
    }
    for Moved { from, to, difference } in moved {
        // A folder that lies whole in another one was told by that.
        let is_told = |n: usize| pairs[n].is_alone() && elsewhere.all_in_one(n, sizes[n]).is_some();
        if !is_told(from) && !is_told(to) {
            let (from, to) = (&pairs[from].folder, &pairs[to].folder);
            let detail = Some(Detail::Values(from.to_string(), to.to_string()));
            tell(CompareEvent::Message(Box::new(Difference { detail, ..difference }), from));
        }
    }
    for (n, difference) in lone.missing.into_iter().chain(lone.extra) {
        tell(CompareEvent::Message(Box::new(difference), &pairs[n].folder));
    }
    Ok(verdict)
}

impl FolderPair {
    fn compare(
        &self,
        options: &CompareOptions<'_>,
        open: SourceOpener<'_>,
        progress: &dyn Events,
    ) -> Result<(Sums, Vec<Difference>)> {
        let part = FirstLook { progress, phases: AtomicU32::new(0) };
        let mut differences = Vec::new();
        let tell = &mut |difference| differences.push(difference);
        let mut sums = open_and_compare((&self.here, &self.there), options, open, &part, tell)?;
        // Several mailboxes of one name are one folder.
        sums.folders = u64::from(!self.here.is_empty());
        Ok((sums, differences))
    }

    fn is_alone(&self) -> bool {
        self.here.is_empty() || self.there.is_empty()
    }

    /// What is to be said of a folder that only one side has; `messages` of them are in it.
    fn alone<'a>(
        &'a self,
        n: usize,
        messages: u64,
        elsewhere: &Elsewhere,
        pairs: &'a [FolderPair],
    ) -> Option<LoneFolder<'a>> {
        // Each Maildir++ has an INBOX, whether there was one or not.
        if !self.is_alone() || (messages == 0 && self.folder == Folder::INBOX) {
            return None;
        }
        let mailbox = self.here.iter().chain(&self.there).next()?;
        let code = match messages {
            0 => Code::FolderEmpty,
            _ if self.there.is_empty() => Code::FolderMissing,
            _ => Code::FolderExtra,
        };
        let (elsewhere, lie_in) = elsewhere.of_folder(n);
        let lie_in = lie_in.map(|n| &pairs[n].folder);
        let (folder, is_here) = (&self.folder, self.there.is_empty());
        Some(LoneFolder {
            code,
            folder,
            is_here,
            path: &mailbox.path,
            messages,
            elsewhere,
            other_folder: lie_in,
        })
    }

    /// Bytes of what is a file, for progress.
    fn bytes(&self) -> u64 {
        let files = self.here.iter().chain(&self.there).flat_map(|mailbox| match &mailbox.kind {
            MailboxKind::Mbox => std::slice::from_ref(&mailbox.path),
            MailboxKind::Messages(files) => files,
            MailboxKind::Maildir => &[][..],
        });
        files.map(|file: &PathBuf| std::fs::metadata(file).map_or(0, |meta| meta.len())).sum()
    }
}

/// Messages without a counterpart in their own folder, with the number of its pair.
#[derive(Default)]
struct Lone {
    missing: Vec<(usize, Difference)>,
    extra: Vec<(usize, Difference)>,
}

/// A message that lies in two different folders.
struct Moved {
    from: usize,
    to: usize,
    difference: Difference,
}

impl Lone {
    /// Takes out what lies in another folder, copy by copy.
    fn moved(&mut self) -> Vec<Moved> {
        let mut places: HashMap<Digest, VecDeque<usize>> = HashMap::new();
        for (at, (_, extra)) in self.extra.iter().enumerate() {
            if let Some(words) = extra.digest {
                places.entry(words).or_default().push_back(at);
            }
        }
        let mut found: Vec<Option<usize>> = vec![None; self.extra.len()];
        let (mut moved, mut missing) = (Vec::new(), Vec::new());
        for (from, difference) in std::mem::take(&mut self.missing) {
            let words = difference.digest.as_ref();
            match words.and_then(|words| places.get_mut(words)).and_then(VecDeque::pop_front) {
                Some(at) => {
                    found[at] = Some(moved.len());
                    moved.push(Moved {
                        from,
                        to: self.extra[at].0,
                        difference: Difference { code: Code::FolderDiffers, ..difference },
                    });
                }
                None => missing.push((from, difference)),
            }
        }
        self.missing = missing;
        let mut extra = Vec::new();
        for ((n, difference), found) in std::mem::take(&mut self.extra).into_iter().zip(found) {
            match found {
                Some(pair) => moved[pair].difference.there = difference.there,
                None => extra.push((n, difference)),
            }
        }
        self.extra = extra;
        moved
    }
}

/// In which other folders the messages of a folder lie, and how many of them.
struct Elsewhere(HashMap<usize, HashMap<usize, u64>>);

impl Elsewhere {
    fn of(moved: &[Moved]) -> Elsewhere {
        let mut all: HashMap<usize, HashMap<usize, u64>> = HashMap::new();
        for &Moved { from, to, .. } in moved {
            for (folder, other) in [(from, to), (to, from)] {
                *all.entry(folder).or_default().entry(other).or_default() += 1;
            }
        }
        Elsewhere(all)
    }

    /// How many, and in which folder if it is one.
    fn of_folder(&self, n: usize) -> (u64, Option<usize>) {
        let Some(others) = self.0.get(&n) else { return (0, None) };
        let one = others.keys().next().filter(|_| others.len() == 1).copied();
        (others.values().sum(), one)
    }

    /// The folder in which all of them lie.
    fn all_in_one(&self, n: usize, messages: u64) -> Option<usize> {
        let (count, other) = self.of_folder(n);
        other.filter(|_| count == messages)
    }
}

/// Passes on how far the first look at a folder is: only that goes over all of it.
struct FirstLook<'a> {
    progress: &'a dyn Events,
    phases: AtomicU32,
}

impl Events for FirstLook<'_> {
    fn begin(&self, _: Phase, _: u64) {
        self.phases.fetch_add(1, Ordering::Relaxed);
    }

    fn advance(&self, bytes: u64, messages: u64) {
        if self.phases.load(Ordering::Relaxed) <= 1 {
            self.progress.advance(bytes, messages);
        }
    }
}
