//! Comparison of two trees of folders. Folders with the same name are compared as two mailboxes; a message without a
//! counterpart is then searched in all other folders.
//!
//! Few folders are open at a time. Of the others, only the messages without a counterpart are in memory, with a hash.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;

use super::both::Both;
use super::messages::{ROUNDS, Versions, open_and_compare_once};
use super::options::{CompareOptions, MailboxRef};
use super::report::{Detail, Difference};
use super::text::Digest;
use super::totals::{MessageTotals, unread_clause};
use crate::mailbox::fs::files;
use crate::mailbox::text::{grouped_plural, is_or_are, plural};
use crate::mailbox::tree::naming::normalize_inbox;
use crate::mailbox::tree::{Folder, MailboxKind};
use crate::mailbox::{Code, Context, Error, Events, Finding, Phase, Result};
use crate::verify::options::SourceOpener;

/// Pairs of folders that are compared in parallel.
const PARALLEL_PAIRS: usize = 64;

/// A mailbox and its folder.
#[derive(Debug, Clone)]
pub(crate) struct FolderMailbox {
    /// Folder of the mailbox.
    pub folder: Folder,
    /// The mailbox.
    pub mailbox: MailboxRef,
}

/// The mailboxes of one folder on both sides. Several of the same name are taken together.
#[derive(Debug, Clone)]
pub(crate) struct FolderPair {
    /// The folder.
    pub folder: Folder,
    sides: Both<Vec<MailboxRef>>,
}

/// Pairs folders by their names. INBOX matches in any case, as in a conversion.
pub(crate) fn pair_folders(sides: Both<Vec<FolderMailbox>>) -> Vec<FolderPair> {
    let mut pairs: BTreeMap<Folder, FolderPair> = BTreeMap::new();
    let mut add = |side: Vec<FolderMailbox>, side_of: fn(&mut FolderPair) -> &mut Vec<MailboxRef>| {
        let (mut folders, mailboxes): (Vec<Folder>, Vec<MailboxRef>) =
            side.into_iter().map(|found| (found.folder, found.mailbox)).unzip();
        normalize_inbox(&mut folders);
        for (folder, mailbox) in folders.into_iter().zip(mailboxes) {
            let new = || FolderPair { folder: folder.clone(), sides: Both::default() };
            side_of(pairs.entry(folder.clone()).or_insert_with(new)).push(mailbox);
        }
    };
    add(sides.here, |pair| &mut pair.sides.here);
    add(sides.there, |pair| &mut pair.sides.there);
    pairs.into_values().collect()
}

/// A result of a comparison.
#[derive(Debug)]
pub(crate) enum CompareEvent<'a> {
    /// A difference between messages, and the folder on this side, or else on the other side.
    Message(Box<Difference>, &'a Folder),
    /// A folder that only one side has.
    Folder(UnmatchedFolder<'a>),
    /// The reason why a folder could not be compared.
    Failed(Error, &'a Folder),
}

/// A folder that only one side has.
#[derive(Debug)]
pub(crate) struct UnmatchedFolder<'a> {
    /// [`Code::FolderMissing`], [`Code::FolderExtra`] or [`Code::FolderEmpty`].
    pub code: Code,
    /// The folder.
    pub folder: &'a Folder,
    /// True if this side has it.
    pub is_here: bool,
    /// Path of its first mailbox.
    pub path: &'a Path,
    /// Number of its messages.
    pub messages: u64,
    /// Number of its messages that are in other folders of the other side.
    pub elsewhere: u64,
    /// The folder with these messages, if it is one.
    pub other_folder: Option<&'a Folder>,
}

impl UnmatchedFolder<'_> {
    /// Returns the finding. `other` is the name of the side without the folder.
    pub(crate) fn finding(&self, other: &str) -> Finding {
        let mut message = format!(
            "the folder {}, with {}, is not in {other}",
            self.folder,
            plural(self.messages, "message")
        );
        if self.elsewhere > 0 {
            let which = match self.elsewhere == self.messages {
                true => "all of its mail is".to_owned(),
                false => format!("{} of them are", self.elsewhere),
            };
            let place = self.other_folder.map_or_else(|| "other folders".into(), Folder::to_string);
            message += &format!("; {which} in {place} there");
        }
        Finding::new(self.code, message)
    }
}

/// Counts of a comparison of trees.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FolderTotals {
    /// Counts over all folders.
    pub messages: MessageTotals,
    /// Folders with mail that only this side has.
    pub missing: u64,
    /// Folders with mail that only the other side has.
    pub extra: u64,
    /// Folders that could not be compared. Their messages are not counted.
    pub failed: u64,
}

impl FolderTotals {
    /// Returns the last line of a report, as [`MessageTotals::sentence`].
    pub(crate) fn sentence(&self, names: &Both<&str>, not_read: u64) -> String {
        let count = |n| grouped_plural(n, "folder");
        let of_here = format!("in {} of {}", count(self.messages.folders), names.here);
        let mut text = self.messages.clauses(&of_here, names);
        if self.missing > 0 {
            text += &format!("; {} {} missing", count(self.missing), is_or_are(self.missing, self.missing));
        }
        if self.extra > 0 {
            text += &format!("; {} has {} more", names.there, count(self.extra));
        }
        if self.failed > 0 {
            text += &format!("; {} could not be compared", count(self.failed));
        }
        text + &unread_clause(not_read) + "."
    }
}

/// Compares the folders. A folder that cannot be compared is reported, and the others are compared anyway.
///
/// Needs memory for the largest folders, and some hundred bytes for each message without a counterpart in its folder.
///
/// # Errors
/// [`Error::Interrupted`].
pub(crate) fn compare(
    pairs: &[FolderPair],
    options: &CompareOptions,
    open: SourceOpener<'_>,
    context: &Context<'_>,
    report: &mut dyn FnMut(CompareEvent<'_>),
) -> Result<FolderTotals> {
    context.events.begin(Phase::Reading, pairs.iter().map(FolderPair::bytes).sum());
    let compare = |n: usize| pairs[n].compare(options, open, context);
    let mut compared: Vec<ComparedPair> = Vec::with_capacity(pairs.len());
    for first in (0..pairs.len()).step_by(PARALLEL_PAIRS) {
        let batch = first..pairs.len().min(first + PARALLEL_PAIRS);
        compared.par_extend(batch.into_par_iter().map(compare));
        context.cancel.check()?;
    }
    // A message may have moved to a folder that was compared before, or that was compared after it.
    for _ in 1..ROUNDS {
        if compared.iter().all(ComparedPair::has_counterparts) {
            break;
        }
        let is_changed = |n: &usize| pairs[*n].versions(context.now) != compared[*n].versions;
        let changed: Vec<usize> = (0..pairs.len()).filter(is_changed).collect();
        if changed.is_empty() {
            break;
        }
        for n in changed {
            compared[n] = compare(n);
            context.cancel.check()?;
        }
    }
    let mut totals = FolderTotals::default();
    let mut unmatched = UnmatchedMessages::default();
    let mut sizes = vec![0; pairs.len()];
    for (n, ComparedPair { result, .. }) in compared.into_iter().enumerate() {
        let (messages, differences) = match result {
            Ok(result) => result,
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => {
                totals.failed += 1;
                report(CompareEvent::Failed(error, &pairs[n].folder));
                continue;
            }
        };
        sizes[n] = messages.here + messages.there;
        totals.messages.add(&messages);
        for difference in differences {
            match difference.code {
                Code::MessageMissing => unmatched.missing.push((n, difference)),
                Code::MessageExtra => unmatched.extra.push((n, difference)),
                _ => report(CompareEvent::Message(Box::new(difference), &pairs[n].folder)),
            }
        }
    }
    let moved = unmatched.take_moved();
    totals.messages.moved = moved.len() as u64;
    totals.messages.missing -= totals.messages.moved;
    totals.messages.extra -= totals.messages.moved;
    // A mismatch is a bug: abort rather than report success.
    assert!(totals.messages.balances(), "the sums do not add up: {totals:?}");
    let elsewhere = Elsewhere::new(&moved);
    for (n, pair) in pairs.iter().enumerate() {
        let Some(code) = pair.code_if_unmatched(sizes[n]) else { continue };
        match code {
            Code::FolderMissing => totals.missing += 1,
            Code::FolderExtra => totals.extra += 1,
            _ => {}
        }
        let (count, other) = elsewhere.of_folder(n);
        let mut mailboxes = pair.sides.here.iter().chain(&pair.sides.there);
        let Some(mailbox) = mailboxes.next() else { continue };
        report(CompareEvent::Folder(UnmatchedFolder {
            code,
            folder: &pair.folder,
            is_here: pair.sides.there.is_empty(),
            path: &mailbox.path,
            messages: sizes[n],
            elsewhere: count,
            other_folder: other.map(|n| &pairs[n].folder),
        }));
    }
    for MovedMessage { from, to, difference } in moved {
        // The finding about a folder covers its messages if all of them are in one other folder.
        let is_covered = |n: usize| {
            let (count, other) = elsewhere.of_folder(n);
            pairs[n].is_unmatched() && other.is_some() && count == sizes[n]
        };
        if !is_covered(from) && !is_covered(to) {
            let (from, to) = (&pairs[from].folder, &pairs[to].folder);
            let detail = Some(Detail::Values(Both { here: from.to_string(), there: to.to_string() }));
            report(CompareEvent::Message(Box::new(Difference { detail, ..difference }), from));
        }
    }
    for (n, difference) in unmatched.missing.into_iter().chain(unmatched.extra) {
        report(CompareEvent::Message(Box::new(difference), &pairs[n].folder));
    }
    Ok(totals)
}

impl FolderPair {
    fn compare(
        &self,
        options: &CompareOptions,
        open: SourceOpener<'_>,
        context: &Context<'_>,
    ) -> ComparedPair {
        let versions = self.versions(context.now);
        let events = FirstPass { events: context.events, phases: AtomicU32::new(0) };
        let context = Context { events: &events, ..*context };
        let mut differences = Vec::new();
        let totals =
            open_and_compare_once(self.sides(), options, open, &context, &mut |d| differences.push(d));
        // Several mailboxes of the same name are one folder.
        let folders = u64::from(!self.sides.here.is_empty());
        let result = totals.map(|totals| (MessageTotals { folders, ..totals }, differences));
        ComparedPair { versions, result }
    }

    fn sides(&self) -> Both<&[MailboxRef]> {
        self.sides.as_ref().map(|side| &side[..])
    }

    fn versions(&self, now: i64) -> Versions {
        Versions::read(self.sides(), now)
    }

    fn is_unmatched(&self) -> bool {
        self.sides.here.is_empty() || self.sides.there.is_empty()
    }

    /// Returns the code of the finding about a folder that only one side has.
    fn code_if_unmatched(&self, messages: u64) -> Option<Code> {
        match messages {
            _ if !self.is_unmatched() => None,
            // Every Maildir++ has an INBOX, even if it was created without mail.
            0 => (self.folder != Folder::INBOX).then_some(Code::FolderEmpty),
            _ if self.sides.there.is_empty() => Some(Code::FolderMissing),
            _ => Some(Code::FolderExtra),
        }
    }

    /// Returns the size of all files for progress.
    fn bytes(&self) -> u64 {
        let files = self.sides.here.iter().chain(&self.sides.there).flat_map(|mailbox| match &mailbox.kind {
            MailboxKind::Mbox => std::slice::from_ref(&mailbox.path),
            MailboxKind::Messages(files) => files,
            MailboxKind::Maildir => &[][..],
        });
        files.map(|file: &PathBuf| files::size(file)).sum()
    }
}

/// The comparison of a pair.
struct ComparedPair {
    /// Before its Maildirs were listed.
    versions: Versions,
    result: Result<(MessageTotals, Vec<Difference>)>,
}

impl ComparedPair {
    fn has_counterparts(&self) -> bool {
        self.result.as_ref().is_ok_and(|(totals, _)| totals.has_counterparts())
    }
}

/// Messages without a counterpart in their folder, with the index of its pair.
#[derive(Default)]
struct UnmatchedMessages {
    missing: Vec<(usize, Difference)>,
    extra: Vec<(usize, Difference)>,
}

/// A message that is in different folders on the two sides.
struct MovedMessage {
    from: usize,
    to: usize,
    difference: Difference,
}

impl UnmatchedMessages {
    /// Takes out messages that another folder has, copy by copy.
    fn take_moved(&mut self) -> Vec<MovedMessage> {
        let mut by_digest: HashMap<Digest, VecDeque<usize>> = HashMap::new();
        for (at, (_, extra)) in self.extra.iter().enumerate() {
            if let Some(digest) = extra.digest {
                by_digest.entry(digest).or_default().push_back(at);
            }
        }
        let mut found: Vec<Option<usize>> = vec![None; self.extra.len()];
        let mut moved = Vec::new();
        for (from, difference) in std::mem::take(&mut self.missing) {
            let candidates = difference.digest.as_ref().and_then(|digest| by_digest.get_mut(digest));
            match candidates.and_then(VecDeque::pop_front) {
                Some(at) => {
                    found[at] = Some(moved.len());
                    let difference = Difference { code: Code::FolderDiffers, ..difference };
                    moved.push(MovedMessage { from, to: self.extra[at].0, difference });
                }
                None => self.missing.push((from, difference)),
            }
        }
        for ((n, difference), found) in std::mem::take(&mut self.extra).into_iter().zip(found) {
            match found {
                Some(pair) => moved[pair].difference.there = difference.there,
                None => self.extra.push((n, difference)),
            }
        }
        moved
    }
}

/// Numbers of messages by the folder that misses them and the folder that has them.
struct Elsewhere(HashMap<usize, HashMap<usize, u64>>);

impl Elsewhere {
    fn new(moved: &[MovedMessage]) -> Elsewhere {
        let mut all: HashMap<usize, HashMap<usize, u64>> = HashMap::new();
        for &MovedMessage { from, to, .. } in moved {
            for (folder, other) in [(from, to), (to, from)] {
                *all.entry(folder).or_default().entry(other).or_default() += 1;
            }
        }
        Elsewhere(all)
    }

    /// Returns the number of messages of a folder that are elsewhere, and the other folder if it is one.
    fn of_folder(&self, n: usize) -> (u64, Option<usize>) {
        let Some(others) = self.0.get(&n) else { return (0, None) };
        let one = others.keys().next().filter(|_| others.len() == 1).copied();
        (others.values().sum(), one)
    }
}

/// Passes on the progress of the first pass over a folder, which alone reads all of it.
struct FirstPass<'a> {
    events: &'a dyn Events,
    phases: AtomicU32,
}

impl Events for FirstPass<'_> {
    fn begin(&self, _: Phase, _: u64) {
        self.phases.fetch_add(1, Ordering::Relaxed);
    }

    fn advance(&self, bytes: u64, messages: u64) {
        if self.phases.load(Ordering::Relaxed) <= 1 {
            self.events.advance(bytes, messages);
        }
    }
}
