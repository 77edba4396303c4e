//! Comparison of two sides, message by message.

use rayon::prelude::*;

use super::both::Both;
use super::left_out;
use super::options::{CompareOptions, MailboxRef};
use super::pair::{self, Keys, LEVELS, Unmatched};
use super::report::{Case, CaseDifferences, Difference, DifferenceFinder};
use super::side::{CHUNK, MessageTraits, OpenMailbox, ScannedSide, Side};
use super::totals::MessageTotals;
use crate::mailbox::maildir::{FolderVersion, MaildirReader};
use crate::mailbox::mbox::{Mbox, ReadOptions};
use crate::mailbox::source::Source;
use crate::mailbox::tree::MailboxKind;
use crate::mailbox::{Context, NoEvents, Phase, Result};
use crate::verify::options::SourceOpener;

/// Comparisons of mailboxes in which messages move to another folder meanwhile.
pub(super) const ROUNDS: usize = 5;

/// The versions of the Maildirs among some mailboxes, before they are listed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Versions(Vec<Option<FolderVersion>>);

impl Versions {
    pub(super) fn read(sides: Both<&[MailboxRef]>, now: i64) -> Versions {
        let maildirs = sides.here.iter().chain(sides.there).filter(|m| m.kind == MailboxKind::Maildir);
        // The comparison reports what cannot be read.
        let version = |mailbox: &MailboxRef| MaildirReader::open_readable(&mailbox.path, now)?.version();
        Versions(maildirs.map(|mailbox| version(mailbox).ok()).collect())
    }
}

/// Opens the mailboxes and [compares](compare()) them.
///
/// A message that moves from a folder that is not listed yet to one that is listed is in neither listing. So where a
/// message has no counterpart and a folder has changed, all is compared again.
pub(crate) fn open_and_compare(
    sides: Both<&[MailboxRef]>,
    options: &CompareOptions,
    open: SourceOpener<'_>,
    context: &Context<'_>,
    report: &mut dyn FnMut(Difference),
) -> Result<MessageTotals> {
    for round in 1.. {
        let versions = Versions::read(sides, context.now);
        let mut differences = Vec::new();
        let totals =
            open_and_compare_once(sides, options, open, context, &mut |found| differences.push(found))?;
        let is_final = totals.has_counterparts() || round == ROUNDS;
        if is_final || versions == Versions::read(sides, context.now) {
            differences.into_iter().for_each(report);
            return Ok(totals);
        }
    }
    unreachable!("the last round is final")
}

/// Opens the mailboxes and compares them as they are listed.
pub(super) fn open_and_compare_once(
    sides: Both<&[MailboxRef]>,
    options: &CompareOptions,
    open: SourceOpener<'_>,
    context: &Context<'_>,
    report: &mut dyn FnMut(Difference),
) -> Result<MessageTotals> {
    let open_source = |mailbox: &MailboxRef| match mailbox.kind {
        MailboxKind::Mbox => open(&mailbox.path).map(Some),
        MailboxKind::Maildir | MailboxKind::Messages(_) => Ok(None),
    };
    let sources = sides.try_map(|side| side.iter().map(open_source).collect::<Result<Vec<_>>>())?;
    // The pass over the messages reports the progress.
    let quiet = Context { events: &NoEvents, ..*context };
    let opened = sides.zip(sources.as_ref()).try_map(|(side, sources)| {
        let mailboxes = side.iter().zip(sources);
        mailboxes.map(|(mailbox, source)| open_mailbox(mailbox, source.as_ref(), open, &quiet)).collect()
    })?;
    compare(opened.as_ref().map(|side: &Vec<OpenMailbox<'_>>| &side[..]), options, context, report)
}

fn open_mailbox<'a>(
    mailbox: &'a MailboxRef,
    source: Option<&'a Source>,
    open: SourceOpener<'a>,
    context: &Context<'_>,
) -> Result<OpenMailbox<'a>> {
    let read_options = ReadOptions { variant: mailbox.variant, ..ReadOptions::default() };
    Ok(match (&mailbox.kind, source) {
        (MailboxKind::Messages(files), _) => OpenMailbox::Messages { files, open },
        (_, Some(source)) => {
            let mbox = Box::new(Mbox::read(source, &read_options, context)?);
            OpenMailbox::Mbox { source, mbox }
        }
        (_, None) => OpenMailbox::Maildir(&mailbox.path),
    })
}

/// Compares two sides, each of one or more mailboxes taken together (a Maildir and its folders).
///
/// Passes the differences to `report` in the order of this side, then the messages that only the other side has.
/// Needs some 60 bytes of memory per message, besides the lists of the mailboxes and a few messages.
///
/// # Errors
/// [`Error::NotAMailbox`] for a directory that is not a Maildir, [`Error::Io`] for an unreadable message,
/// [`Error::Changed`], [`Error::Interrupted`]. The reported differences are not reliable then.
pub(crate) fn compare(
    mailboxes: Both<&[OpenMailbox<'_>]>,
    options: &CompareOptions,
    context: &Context<'_>,
    report: &mut dyn FnMut(Difference),
) -> Result<MessageTotals> {
    let sides = mailboxes.try_map(|side| Side::open(side, options, context.now))?;
    let mut totals = MessageTotals {
        folders: mailboxes.here.len() as u64,
        bytes: sides.here.bytes(),
        here: sides.here.len() as u64,
        there: sides.there.len() as u64,
        pseudo: sides.here.pseudo_messages() + sides.there.pseudo_messages(),
        translated: sides.here.is_translated() || sides.there.is_translated(),
        asked_by: options.asked.options(),
        ..MessageTotals::default()
    };
    let comparison = Comparison { sides: &sides, options, context };
    let mut cases = Vec::new();
    let traits = comparison.find_cases(&mut totals, &mut cases)?;
    cases.par_sort_unstable();
    comparison.examine(&cases, &traits, &mut totals, report)?;
    sides.here.check_unchanged()?;
    sides.there.check_unchanged()?;
    // A mismatch is a bug: abort rather than report success.
    assert!(totals.balances(), "the sums do not add up: {totals:?}");
    Ok(totals)
}

/// Removes some messages, and returns their number.
fn exclude(
    numbers: &mut Vec<usize>,
    traits: &[MessageTraits],
    is_excluded: impl Fn(&MessageTraits) -> bool,
) -> u64 {
    let before = numbers.len();
    numbers.retain(|&n| !is_excluded(&traits[n]));
    (before - numbers.len()) as u64
}

/// Returns the total size of some messages.
fn total_size(traits: &[MessageTraits], numbers: &[usize]) -> u64 {
    numbers.iter().map(|&n| u64::from(traits[n].size)).sum()
}

struct Comparison<'a> {
    sides: &'a Both<Side<'a>>,
    options: &'a CompareOptions,
    context: &'a Context<'a>,
}

impl Comparison<'_> {
    /// Finds the counterpart of every message, counts those that are the same, and collects the other cases.
    fn find_cases(
        &self,
        totals: &mut MessageTotals,
        cases: &mut Vec<Case>,
    ) -> Result<Both<Vec<MessageTraits>>> {
        let sides = self.sides.as_ref();
        self.context.events.begin(Phase::Reading, sides.here.bytes() + sides.there.bytes());
        let scanned = sides.try_map(|side| side.scan(self.options, self.context))?;
        let Both { here, there } = &scanned;
        let mut unmatched = Unmatched::all(sides.map(Side::len));
        let removed = Both {
            here: exclude(&mut unmatched.here, &here.traits, |traits| traits.removed),
            there: exclude(&mut unmatched.there, &there.traits, |traits| traits.removed),
        };
        // Of several copies, those with the same metadata belong together.
        let key = |side: &ScannedSide, n: usize| Some((side.digests[n], side.traits[n].rewritable()));
        let is_as_asked = |number: usize, other: usize| {
            u64::from(here.traits[number].as_asked || there.traits[other].as_asked)
        };
        unmatched.match_by(
            |n| key(here, n),
            |n| key(there, n),
            |number, other| {
                totals.same += 1;
                totals.as_asked += is_as_asked(number, other);
            },
        );
        let mut same = |number: usize, other: usize| {
            totals.same += 1;
            totals.as_asked += is_as_asked(number, other);
            totals.rewritten += u64::from(here.traits[number].fields != there.traits[other].fields);
            if self.options.metadata {
                cases.push(Case::Here { number, there: Some(other), same: true });
            }
        };
        // Then those with the same flags, keywords and date, whatever fields hold them.
        let key = |side: &ScannedSide, n: usize| Some((side.digests[n], side.traits[n].metadata()));
        unmatched.match_by(|n| key(here, n), |n| key(there, n), &mut same);
        unmatched.match_by(|n| Some(here.digests[n]), |n| Some(there.digests[n]), &mut same);
        let links = Both {
            here: sides.here.exclude_links(&mut unmatched.here, &here.digests),
            there: sides.there.exclude_links(&mut unmatched.there, &there.digests),
        };
        // The digests are no longer needed.
        let traits = scanned.map(|side| side.traits);
        let deleted = Both {
            here: exclude(&mut unmatched.here, &traits.here, |traits| traits.deleted),
            there: exclude(&mut unmatched.there, &traits.there, |traits| traits.deleted),
        };
        let left_out = left_out::exclude(&mut unmatched, self.sides)?;
        totals.here -= links.here + deleted.here + removed.here + left_out.here.sum();
        totals.there -= links.there + deleted.there + removed.there + left_out.there.sum();
        totals.duplicates = left_out.here.duplicates + left_out.there.duplicates;
        totals.not_selected = left_out.here.not_selected + left_out.there.not_selected;
        totals.removed = removed.here + removed.there;
        totals.links += links.here + links.there;
        totals.deleted = deleted.here + deleted.there;
        if !unmatched.is_exhausted() {
            unmatched = self.pair_changed(unmatched, &traits, cases)?;
        }
        cases.extend(unmatched.here.iter().map(|&number| Case::Here { number, there: None, same: false }));
        cases.extend(unmatched.there.iter().map(|&number| Case::Extra(number)));
        Ok(traits)
    }

    /// Pairs messages with different content by what they still have in common, and returns those without a
    /// counterpart.
    fn pair_changed(
        &self,
        unmatched: Unmatched,
        traits: &Both<Vec<MessageTraits>>,
        cases: &mut Vec<Case>,
    ) -> Result<Unmatched> {
        let Both { mut here, mut there } = unmatched;
        here.par_sort_unstable();
        there.par_sort_unstable();
        let bytes = total_size(&traits.here, &here) + total_size(&traits.there, &there);
        self.context.events.begin(Phase::Reading, bytes);
        let keys = self.read_keys(&self.sides.here, &here)?;
        let other_keys = self.read_keys(&self.sides.there, &there)?;
        let mut rest = Unmatched::all(Both { here: here.len(), there: there.len() });
        for level in 0..LEVELS {
            rest.match_by(
                |n| keys[n][level],
                |n| other_keys[n][level],
                |n, other| {
                    cases.push(Case::Here { number: here[n], there: Some(there[other]), same: false });
                },
            );
        }
        rest.here.iter_mut().for_each(|n| *n = here[*n]);
        rest.there.iter_mut().for_each(|n| *n = there[*n]);
        Ok(rest)
    }

    fn read_keys(&self, side: &Side<'_>, numbers: &[usize]) -> Result<Vec<Keys>> {
        let chunks = numbers.par_chunks(CHUNK).map(|chunk| {
            self.context.cancel.check()?;
            let (mut keys, mut bytes) = (Vec::with_capacity(chunk.len()), 0);
            for &number in chunk {
                let message = side.message(number)?;
                bytes += message.as_ref().map_or(0, |message| message.text.raw_len() as u64);
                keys.push(message.map_or_else(Keys::default, |message| pair::keys_of(&message.text)));
            }
            side.release(chunk.iter().copied());
            self.context.events.advance(bytes, chunk.len() as u64);
            Ok(keys)
        });
        let chunks: Vec<Vec<Keys>> = chunks.collect::<Result<_>>()?;
        Ok(chunks.into_iter().flatten().collect())
    }

    /// Reads the cases again, reports the differences and counts them.
    fn examine(
        &self,
        cases: &[Case],
        traits: &Both<Vec<MessageTraits>>,
        totals: &mut MessageTotals,
        report: &mut dyn FnMut(Difference),
    ) -> Result<()> {
        /// Cases whose differences are in memory at the same time.
        const AHEAD: usize = 16 * CHUNK;
        if cases.is_empty() {
            return Ok(());
        }
        let size = |case: &Case| {
            let size =
                |traits: &[MessageTraits], n: Option<usize>| n.map_or(0, |n| u64::from(traits[n].size));
            let numbers = case.numbers();
            size(&traits.here, numbers.here) + size(&traits.there, numbers.there)
        };
        self.context.events.begin(Phase::Reading, cases.iter().map(size).sum());
        let finder = DifferenceFinder::new(self.sides, cases, self.options, self.context)?;
        for cases in cases.chunks(AHEAD) {
            let differences = cases.par_iter().map(|case| {
                self.context.cancel.check()?;
                let Both { here, there } = case.numbers();
                let dates = here.zip(there).filter(|_| self.options.metadata);
                let dates = dates.map(|(here, there)| Both {
                    here: traits.here[here].date,
                    there: traits.there[there].date,
                });
                let found = finder.find(*case, dates)?;
                self.context.events.advance(size(case), 1);
                Ok(found)
            });
            let found: Vec<CaseDifferences> = differences.collect::<Result<_>>()?;
            self.sides.here.release(cases.iter().filter_map(|case| case.numbers().here));
            self.sides.there.release(cases.iter().filter_map(|case| case.numbers().there));
            for CaseDifferences { differences, removed } in found {
                totals.here -= u64::from(removed.here);
                totals.there -= u64::from(removed.there);
                totals.removed += u64::from(removed.here) + u64::from(removed.there);
                for difference in differences {
                    totals.count(difference.code);
                    report(difference);
                }
            }
        }
        Ok(())
    }
}
