//! against: is it the same mail? Two sides compared message by message, by content.
//!
//! Content is a message's bytes as they were before an mbox quoted them, less the fields that readers
//! rewrite (Status, X-Status, X-Keywords, Content-Length and so on). Order does not
//! count; duplicates count by their number. UW-IMAP's pseudo message is no mail and left out, as convert
//! leaves it out.
//!
//! First all messages are looked at, and of each some fifty bytes are kept: a hash of the content and
//! what metadata it has. What has the same hash on both sides is the same. Only the others are read
//! again, paired by what they still have in common, and told.
//!
//! What counts as an error is what a signature would notice: other words, and other quoting of
//! `From `, which is words too. Line ends, and the newline that an mbox must add to a message that ends
//! without one, are changed by every second program that mail goes through, and are warnings. Messages
//! that only the other side has are errors: which side was made from which is not known here, and
//! seen from the other side they are missing.

mod pair;
mod report;
mod side;
#[cfg(test)]
mod tests;
mod text;
pub mod tree;

use std::path::PathBuf;

use jiff::tz::TimeZone;
use rayon::prelude::*;

use crate::mailbox::context::Cancel;
use crate::mailbox::context::{Events, Phase};
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::Code;
use crate::mailbox::mbox::read::{self, Mbox, ReadOptions};
use crate::mailbox::mbox::scan_hooks::ScanHooks;
use crate::mailbox::mbox::status::{DeletedPolicy, LabelPolicy};
use crate::mailbox::mbox::variant::Variant;
use crate::mailbox::message::header;
use crate::mailbox::source::Source;
use crate::mailbox::text::is_or_are;
use crate::mailbox::tree::walk::MailboxKind;
use crate::verify::compare::pair::Unmatched;
use crate::verify::compare::report::LineNumbers;
pub use crate::verify::compare::report::{Detail, Difference, MessageRef};
use crate::verify::compare::side::{CHUNK, MessageTraits, Side};
pub use crate::verify::compare::side::{OpenMailbox, SourceOpener};
pub use crate::verify::compare::text::Spot;
use crate::verify::compare::text::{Text, Tolerance};

/// How to compare.
#[derive(Debug)]
pub struct CompareOptions<'a> {
    /// Whether flags, received dates and the fields that readers rewrite are compared as well.
    pub metadata: bool,
    /// What convert made of a user's own Gmail labels: whether they are keywords.
    pub labels: LabelPolicy,
    /// What convert made of messages that are marked as deleted. If it left them out, those of an mbox that
    /// have no counterpart are not counted.
    pub deleted: DeletedPolicy,
    /// Now, in seconds since 1970: which dates are real is judged by it.
    pub now: i64,
    /// The zone of From_ lines that name none.
    pub from_zone: Option<TimeZone>,
    /// Set by a signal.
    pub cancel: &'a Cancel,
}

/// What came out. Every message of either side is counted once in `same` to `extra`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct MessageTotals {
    /// Folders of this side; an mbox is one.
    pub folders: u64,
    /// Bytes of this side: of mboxes all, of Maildirs those of their messages.
    pub bytes: u64,
    /// Messages of this side. One that lies in several folders of a Maildir is one, unless the other side has
    /// it as often.
    pub here: u64,
    /// Messages of the other one.
    pub there: u64,
    /// Pairs of the same content.
    pub same: u64,
    /// Pairs that differ only in line ends (and perhaps in the final newline).
    pub line_ends: u64,
    /// Pairs that differ only in quoting (and perhaps in line ends and the final newline).
    pub quoting: u64,
    /// Pairs that differ only in the final newline, which an mbox had to add.
    pub final_newline: u64,
    /// Pairs whose content differs.
    pub differ: u64,
    /// Messages that only this side has.
    pub missing: u64,
    /// Messages that only the other side has.
    pub extra: u64,
    /// Pairs of the same content in different folders, where folders are compared.
    pub moved: u64,
    /// Pairs of the same content whose fields that readers rewrite are not the same bytes.
    pub rewritten: u64,
    /// Pairs whose flags differ. This and the next two are 0 unless metadata is compared.
    pub flags: u64,
    /// Pairs whose received dates differ.
    pub dates: u64,
    /// Pairs whose fields that readers rewrite differ.
    pub fields: u64,
    /// Files of messages that lie in several folders and were counted once, on both sides together.
    pub links: u64,
    /// Pseudo messages left out, on both sides together.
    pub pseudo: u64,
    /// Messages marked as deleted that are left out, on both sides together.
    pub deleted: u64,
    /// Whether one of the mailboxes has CR line ends, which are read as LF.
    pub translated: bool,
}

impl MessageTotals {
    /// Whether every message of either side has its counterpart, with all its words.
    pub fn is_complete(&self) -> bool {
        self.quoting + self.differ + self.missing + self.extra + self.moved == 0
    }

    fn balances(&self) -> bool {
        let pairs = self.same + self.line_ends + self.quoting + self.final_newline + self.differ + self.moved;
        self.here == pairs + self.missing && self.there == pairs + self.extra
    }

    fn count(&mut self, code: Code) {
        match code {
            Code::MessageMissing => self.missing += 1,
            Code::MessageExtra => self.extra += 1,
            Code::MessageDiffers => self.differ += 1,
            Code::MessageQuoting => self.quoting += 1,
            Code::MessageLineEnds => self.line_ends += 1,
            Code::MessageFinalNewline => self.final_newline += 1,
            Code::FlagsDiffer => self.flags += 1,
            Code::DateDiffers => self.dates += 1,
            Code::FieldsDiffer => self.fields += 1,
            _ => unreachable!("no difference: {}", code.name()),
        }
    }

    /// The last line of a report. `here` and `there` name the mailboxes; `not_read` is how many files were
    /// passed over in which mail may be; `grouped` writes numbers as people read them.
    pub fn sentence(&self, here: &str, there: &str, not_read: u64, grouped: fn(u64) -> String) -> String {
        self.clauses(&format!("of {here}"), (here, there), grouped) + &unread_clause(not_read, grouped) + "."
    }

    /// The same without the full stop. `of_here`: whose messages they are.
    fn clauses(&self, of_here: &str, (here, there): (&str, &str), grouped: fn(u64) -> String) -> String {
        if self.here + self.there == 0 {
            return format!("There is no message in {here}, and none in {there}");
        }
        let mut text = format!(
            "{} of {} {of_here} {} in {there}, byte for byte",
            grouped(self.same),
            if self.here == 1 { "1 message".into() } else { format!("{} messages", grouped(self.here)) },
            is_or_are(self.same, self.here),
        );
        if self.rewritten > 0 {
            let which =
                if self.rewritten == self.same { "" } else { &format!("{} of ", grouped(self.rewritten)) };
            text +=
                &format!(" but for fields that readers rewrite (Status, Content-Length …) in {which}them");
        }
        if self.translated {
            text += ", CR line ends read as LF";
        }
        let differing = [
            (self.line_ends, " only in line ends"),
            (self.final_newline, " only in a newline at the end"),
            (self.quoting, " only in quoting"),
            (self.differ, ""),
        ];
        for (count, how) in differing.into_iter().filter(|(count, _)| *count > 0) {
            text += &format!("; {} differ{}{how}", grouped(count), if count == 1 { "s" } else { "" });
        }
        if self.deleted > 0 {
            let verb = if self.deleted == 1 { "is" } else { "are" };
            text += &format!("; {} marked as deleted {verb} left out", grouped(self.deleted));
        }
        if self.moved > 0 {
            text +=
                &format!("; {} {} in another folder", grouped(self.moved), is_or_are(self.moved, self.here));
        }
        if self.missing > 0 {
            text += &format!("; {} {} missing", grouped(self.missing), is_or_are(self.missing, self.here));
        }
        if self.extra > 0 {
            text += &format!("; {there} has {} more", grouped(self.extra));
        }
        if self.links > 0 {
            text += &format!("; {} more files are the same ones in further folders", grouped(self.links));
        }
        for (count, what) in [(self.flags, "flags"), (self.dates, "dates"), (self.fields, "rewritten fields")]
        {
            if count > 0 {
                text += &format!("; the {what} of {} differ", grouped(count));
            }
        }
        text
    }

    /// Adds what came out of another folder.
    fn add(&mut self, other: &MessageTotals) {
        for (sum, more) in [
            (&mut self.folders, other.folders),
            (&mut self.bytes, other.bytes),
            (&mut self.here, other.here),
            (&mut self.there, other.there),
            (&mut self.same, other.same),
            (&mut self.line_ends, other.line_ends),
            (&mut self.quoting, other.quoting),
            (&mut self.final_newline, other.final_newline),
            (&mut self.differ, other.differ),
            (&mut self.missing, other.missing),
            (&mut self.extra, other.extra),
            (&mut self.moved, other.moved),
            (&mut self.deleted, other.deleted),
            (&mut self.rewritten, other.rewritten),
            (&mut self.flags, other.flags),
            (&mut self.dates, other.dates),
            (&mut self.fields, other.fields),
            (&mut self.pseudo, other.pseudo),
        ] {
            *sum += more;
        }
        self.translated |= other.translated;
    }
}

/// What a verdict has to say of what was passed over.
pub fn unread_clause(files: u64, grouped: fn(u64) -> String) -> String {
    match files {
        0 => String::new(),
        1 => "; mail may be in 1 file that was not read".into(),
        n => format!("; mail may be in {} files that were not read", grouped(n)),
    }
}

/// A mailbox by its place.
#[derive(Debug, Clone)]
pub struct MailboxRef {
    /// Where it lies.
    pub path: PathBuf,
    /// What it is.
    pub kind: MailboxKind,
    /// Which variant of mbox it is, where somebody said so.
    pub variant: Option<Variant>,
}

/// Opens the mailboxes and [compares](compare()) them.
pub fn open_and_compare(
    (here, there): (&[MailboxRef], &[MailboxRef]),
    options: &CompareOptions<'_>,
    open: SourceOpener<'_>,
    progress: &dyn Events,
    tell: &mut dyn FnMut(Difference),
) -> Result<MessageTotals> {
    let source = |mailbox: &MailboxRef| match mailbox.kind {
        MailboxKind::Mbox => open(&mailbox.path).map(Some),
        MailboxKind::Maildir | MailboxKind::Messages(_) => Ok(None),
    };
    let sources = |side: &[MailboxRef]| side.iter().map(source).collect::<Result<Vec<_>>>();
    let (our_sources, their_sources) = (sources(here)?, sources(there)?);
    let ours = divided(here, &our_sources, options.cancel)?;
    let theirs = divided(there, &their_sources, options.cancel)?;
    let ours = mailboxes(here, &our_sources, &ours, open);
    let theirs = mailboxes(there, &their_sources, &theirs, open);
    compare(&ours, &theirs, options, progress, tell)
}

/// The messages of the mboxes among them.
fn divided<'a>(
    side: &[MailboxRef],
    sources: &'a [Option<Source>],
    cancel: &Cancel,
) -> Result<Vec<Option<Mbox<'a>>>> {
    let divided = side.iter().zip(sources).map(|(mailbox, source)| {
        let Some(source) = source else { return Ok(None) };
        let ask = ReadOptions { variant: mailbox.variant, ..ReadOptions::default() };
        let watch = ScanHooks { on_scan: &|_| (), on_release: &|range| source.release(range), cancel };
        let read = read::read(source.text(), &ask, watch);
        cancel.check()?;
        let path = mailbox.path.clone();
        read.map(Some).map_err(|not| Error::NotAMailbox { path, reason: not.reason, hint: not.hint })
    });
    divided.collect()
}

fn mailboxes<'a>(
    side: &'a [MailboxRef],
    sources: &'a [Option<Source>],
    mboxes: &'a [Option<Mbox<'a>>],
    open: SourceOpener<'a>,
) -> Vec<OpenMailbox<'a>> {
    let opened = side.iter().zip(sources).zip(mboxes).map(|((mailbox, source), mbox)| {
        match (&mailbox.kind, source, mbox) {
            (MailboxKind::Messages(files), _, _) => OpenMailbox::Messages { files, open },
            (MailboxKind::Mbox, Some(source), Some(mbox)) => OpenMailbox::Mbox { source, mbox },
            _ => OpenMailbox::Maildir(&mailbox.path),
        }
    });
    opened.collect()
}

/// Compares two sides, each of one or more mailboxes taken together (a Maildir and its folders). What
/// differs goes to `tell`: in the order of this side, and then what only the other one has.
///
/// Memory: some 60 bytes a message of either side, beyond what the mailboxes themselves take (an mbox
/// its extents, a Maildir its names) and a few messages at a time.
///
/// # Errors
/// [`Error::NotAMailbox`] for a directory that is no Maildir, [`Error::Io`] for a message that cannot be
/// read, [`Error::Changed`], [`Error::Interrupted`]: then what was told is not to be relied upon.
pub fn compare(
    here: &[OpenMailbox<'_>],
    there: &[OpenMailbox<'_>],
    options: &CompareOptions<'_>,
    progress: &dyn Events,
    tell: &mut dyn FnMut(Difference),
) -> Result<MessageTotals> {
    let sides = Sides { here: Side::open(here)?, there: Side::open(there)?, options, progress };
    let mut verdict = MessageTotals {
        folders: here.len() as u64,
        bytes: sides.here.bytes(),
        here: sides.here.len() as u64,
        there: sides.there.len() as u64,
        pseudo: sides.here.pseudo() + sides.there.pseudo(),
        translated: sides.here.is_translated() || sides.there.is_translated(),
        ..MessageTotals::default()
    };
    let (mut cases, marks) = sides.cases(&mut verdict)?;
    cases.par_sort_unstable();
    sides.examine(&cases, &marks, &mut verdict, tell)?;
    sides.here.check_unchanged()?;
    sides.there.check_unchanged()?;
    // A wrong sum is a bug of ours, and nobody must be told that all is well.
    assert!(verdict.balances(), "the sums do not add up: {verdict:?}");
    Ok(verdict)
}

/// Messages that a second look is taken at. Sorted as they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Case {
    /// A message of this side, and its counterpart if it has one.
    Here { number: usize, there: Option<usize>, same: bool },
    /// A message that only the other side has.
    Extra(usize),
}

impl Case {
    /// The messages on this side and on the other.
    fn numbers(&self) -> (Option<usize>, Option<usize>) {
        match *self {
            Case::Here { number, there, .. } => (Some(number), there),
            Case::Extra(number) => (None, Some(number)),
        }
    }
}

/// The marks of all messages.
struct BothMarks {
    here: Vec<MessageTraits>,
    there: Vec<MessageTraits>,
}

impl BothMarks {
    /// When the two messages of a case were received.
    fn dates(&self, case: &Case) -> Option<(i64, i64)> {
        let (ours, theirs) = case.numbers();
        Some((self.here[ours?].date, self.there[theirs?].date))
    }
}

/// Takes out messages that are marked as deleted, and says how many.
fn leave_out(numbers: &mut Vec<usize>, marks: &[MessageTraits]) -> u64 {
    let before = numbers.len();
    numbers.retain(|&n| !marks[n].deleted);
    (before - numbers.len()) as u64
}

/// Bytes of some messages.
fn sizes(marks: &[MessageTraits], numbers: &[usize]) -> u64 {
    numbers.iter().map(|&n| u64::from(marks[n].size)).sum()
}

struct Sides<'a> {
    here: Side<'a>,
    there: Side<'a>,
    options: &'a CompareOptions<'a>,
    progress: &'a dyn Events,
}

impl Sides<'_> {
    /// Finds the counterpart of every message. Counts those that are the same.
    fn cases(&self, verdict: &mut MessageTotals) -> Result<(Vec<Case>, BothMarks)> {
        let (options, progress) = (self.options, self.progress);
        progress.begin(Phase::Reading, self.here.bytes() + self.there.bytes());
        let (digests, here) = self.here.scan(options, progress)?;
        let (other_digests, there) = self.there.scan(options, progress)?;
        let mut unpaired = Unmatched::all(self.here.len(), self.there.len());
        let mut cases = Vec::new();
        // Of several copies those with the same metadata belong together.
        unpaired.match_by(
            |n| Some((digests[n], here[n].rewritable())),
            |n| Some((other_digests[n], there[n].rewritable())),
            |_, _| verdict.same += 1,
        );
        let mut same = |number: usize, other: usize| {
            verdict.same += 1;
            verdict.rewritten += u64::from(here[number].fields != there[other].fields);
            if options.metadata {
                cases.push(Case::Here { number, there: Some(other), same: true });
            }
        };
        // Else those of which the mailboxes say the same, whatever fields say it.
        unpaired.match_by(
            |n| Some((digests[n], here[n].said())),
            |n| Some((other_digests[n], there[n].said())),
            &mut same,
        );
        unpaired.match_by(|n| Some(digests[n]), |n| Some(other_digests[n]), &mut same);
        let further = self.here.exclude_links(&mut unpaired.here, &digests);
        let further_there = self.there.exclude_links(&mut unpaired.there, &other_digests);
        verdict.here -= further;
        verdict.there -= further_there;
        verdict.links += further + further_there;
        drop((digests, other_digests));
        let marks = BothMarks { here, there };
        let (ours, theirs) =
            (leave_out(&mut unpaired.here, &marks.here), leave_out(&mut unpaired.there, &marks.there));
        verdict.here -= ours;
        verdict.there -= theirs;
        verdict.deleted = ours + theirs;
        if !unpaired.is_empty() {
            unpaired = self.pair_changed(unpaired, &marks, &mut cases)?;
        }
        cases.extend(unpaired.here.iter().map(|&number| Case::Here { number, there: None, same: false }));
        cases.extend(unpaired.there.iter().map(|&number| Case::Extra(number)));
        Ok((cases, marks))
    }

    /// Pairs messages whose content is not the same by what they still have in common. Gives back
    /// those that have nothing.
    fn pair_changed(
        &self,
        unpaired: Unmatched,
        marks: &BothMarks,
        cases: &mut Vec<Case>,
    ) -> Result<Unmatched> {
        let Unmatched { mut here, mut there } = unpaired;
        here.par_sort_unstable();
        there.par_sort_unstable();
        self.progress.begin(Phase::Reading, sizes(&marks.here, &here) + sizes(&marks.there, &there));
        let keys = self.keys(&self.here, &here)?;
        let other_keys = self.keys(&self.there, &there)?;
        let mut strangers = Unmatched::all(here.len(), there.len());
        for level in 0..LEVELS {
            strangers.match_by(
                |n| keys[n][level],
                |n| other_keys[n][level],
                |n, other| {
                    cases.push(Case::Here { number: here[n], there: Some(there[other]), same: false });
                },
            );
        }
        strangers.here.iter_mut().for_each(|n| *n = here[*n]);
        strangers.there.iter_mut().for_each(|n| *n = there[*n]);
        Ok(strangers)
    }

    fn keys(&self, side: &Side<'_>, numbers: &[usize]) -> Result<Vec<Keys>> {
        let chunks = numbers.par_chunks(CHUNK).map(|chunk| {
            self.options.cancel.check()?;
            let (mut keys, mut bytes) = (Vec::with_capacity(chunk.len()), 0);
            for &number in chunk {
                let message = side.message(number)?;
                bytes += message.text.raw_len() as u64;
                keys.push(keys_of(&message.text));
            }
            side.release(chunk.iter().copied());
            self.progress.advance(bytes, chunk.len() as u64);
            Ok(keys)
        });
        let chunks: Vec<Vec<Keys>> = chunks.collect::<Result<_>>()?;
        Ok(chunks.into_iter().flatten().collect())
    }

    /// Reads the cases again, says what differs and counts it.
    fn examine(
        &self,
        cases: &[Case],
        marks: &BothMarks,
        verdict: &mut MessageTotals,
        tell: &mut dyn FnMut(Difference),
    ) -> Result<()> {
        /// Cases whose texts wait to be told at the same time.
        const AHEAD: usize = 16 * CHUNK;
        if cases.is_empty() {
            return Ok(());
        }
        let all = |pick: fn(&Case) -> Option<usize>| cases.iter().filter_map(pick).collect::<Vec<_>>();
        let (ours, theirs) = (all(|case| case.numbers().0), all(|case| case.numbers().1));
        self.progress.begin(Phase::Reading, sizes(&marks.here, &ours) + sizes(&marks.there, &theirs));
        let lines = LineNumbers::of((&self.here, ours), (&self.there, theirs), self.options)?;
        for cases in cases.chunks(AHEAD) {
            let differences = cases.par_iter().map(|case| {
                self.options.cancel.check()?;
                let dates = marks.dates(case).filter(|_| self.options.metadata);
                let told = (&lines, dates, self.options);
                let differences = report::find_differences(&self.here, &self.there, *case, told)?;
                let (ours, theirs) = case.numbers();
                let size =
                    |marks: &[MessageTraits], n: Option<usize>| n.map_or(0, |n| u64::from(marks[n].size));
                self.progress.advance(size(&marks.here, ours) + size(&marks.there, theirs), 1);
                Ok(differences)
            });
            let differences: Vec<Vec<Difference>> = differences.collect::<Result<_>>()?;
            self.here.release(cases.iter().filter_map(|case| case.numbers().0));
            self.there.release(cases.iter().filter_map(|case| case.numbers().1));
            for difference in differences.into_iter().flatten() {
                verdict.count(difference.code);
                tell(difference);
            }
        }
        Ok(())
    }
}

impl MessageTraits {
    /// All that may differ between two messages of the same content.
    fn rewritable(&self) -> (u64, (i64, side::FlagState, u64)) {
        (self.fields, self.said())
    }

    /// Date, flags and keywords.
    fn said(&self) -> (i64, side::FlagState, u64) {
        (self.date, self.status, self.keywords)
    }
}

const LEVELS: usize = 5;

/// By what messages are paired whose content is not the same, best first: the words; the header, if it
/// says which message it is; the Message-ID with the body; the Message-ID; Date, From and Subject. Short
/// hashes will do, since the pairs are compared anyway.
type Keys = [Option<std::num::NonZeroU64>; LEVELS];

fn keys_of(text: &Text<'_>) -> Keys {
    let key = |hash: &[u8]| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hash[..8]);
        std::num::NonZeroU64::new(u64::from_le_bytes(bytes))
    };
    let hash = |parts: &[&[u8]]| {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&part.len().to_le_bytes());
            hasher.update(part);
        }
        key(hasher.finalize().as_bytes())
    };
    let field = |name| {
        let value = header::fields(text.header()).find(|f| f.is(name)).map(|f| header::unfold(f.value));
        value.filter(|value| !value.is_empty())
    };
    let (id, date) = (field("Message-ID"), field("Date"));
    let named = id.is_some() || date.is_some();
    let body = id.as_ref().map(|_| text.tolerant_body_digest(Tolerance::ALL));
    let (from, subject) = (field("From").unwrap_or_default(), field("Subject").unwrap_or_default());
    [
        key(&text.tolerant_digest(Tolerance::ALL)),
        named.then(|| text.tolerant_header_digest(Tolerance::ALL)).and_then(|hash| key(&hash)),
        id.as_ref().zip(body).and_then(|(id, body)| hash(&[id, &body])),
        id.as_ref().and_then(|id| hash(&[id])),
        date.as_ref().and_then(|date| hash(&[date, &from, &subject])),
    ]
}
