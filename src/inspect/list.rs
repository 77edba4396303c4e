//! The messages of a mailbox, in order.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::mailbox::fs::ignore_poison;
use crate::mailbox::maildir::{Entry, FoundMessage, MaildirReader, Subdir, keywords};
use crate::mailbox::mbox::{Extent, Mbox, quote};
use crate::mailbox::message::{
    DateFields, DateRules, DeletedPolicy, Flags, FromLineDates, FromLineStats, Headline, LabelPolicy, Origin,
    OriginCheck, PackedStamp, Status, StatusFields, StatusProblems, header, received,
};
use crate::mailbox::reorder::Reorder;
use crate::mailbox::source::{Contents, Source};
use crate::mailbox::{Code, Context, Finding, Result};

/// Messages per task.
const CHUNK: usize = 64;
/// Bytes of headlines that stay in memory until all messages are dated. Where there are more, the headers are read again.
const KEPT_HEADLINES: usize = 24 << 20;

/// A message in a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MessageRow {
    /// Number from 1.
    pub number: usize,
    /// Position in the mailbox.
    pub position: Position,
    /// Bytes of the message, without From_ line and quoting.
    pub length: u64,
    /// Received date, seconds since 1970.
    pub epoch: i64,
    /// Origin of the date.
    pub origin: Origin,
    /// Flags of the message.
    pub flags: Flags,
    /// True if no mailer has shown it in a list yet.
    pub is_new: bool,
    /// True if it is UW-IMAP's pseudo message.
    pub is_pseudo: bool,
    /// From, with decoded names, and addresses in brackets.
    pub from: String,
    /// Subject, decoded.
    pub subject: String,
    /// Message-ID with its brackets.
    pub message_id: String,
}

/// Position of a listed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Position {
    /// Offset of the From_ line in the mbox.
    Offset(u64),
    /// File in the Maildir, relative to it.
    File(PathBuf),
}

impl Default for Position {
    fn default() -> Position {
        Position::Offset(0)
    }
}

/// Facts about a message that depend on no other message, except for its From_ line.
struct Facts {
    length: u64,
    /// The date without the From_ line.
    date: (i64, Origin),
    from_line: PackedStamp,
    status: Status,
}

/// Facts about some messages.
#[derive(Default)]
struct ScannedChunk {
    facts: Vec<Facts>,
    stats: FromLineStats,
    /// Keywords and the index of their message, for the few messages with keywords.
    keywords: Vec<(usize, Vec<String>)>,
    problems: StatusProblems,
    /// Those of all messages, or none.
    headlines: Vec<Headline>,
}

impl ScannedChunk {
    fn add(&mut self, mbox: &Mbox<'_>, n: usize, rules: &DateRules, keeps_headline: bool) {
        let (extent, text) = (&mbox.messages()[n], mbox.text());
        let message = extent.message(text);
        let from = mbox.first_stamp(extent);
        let mut dates = DateFields { from, ..DateFields::default() };
        let mut status = StatusFields::default();
        let mut headline = Headline::default();
        let mut fields = header::fields(message);
        for field in &mut fields {
            status.add(&field, LabelPolicy::default());
            dates.read_field(&field);
            if keeps_headline {
                headline.add(&field);
            }
        }
        if keeps_headline {
            self.headlines.push(headline);
        }
        mbox.complete_status(&mut status);
        self.problems.add(extent.at, &status);
        let body = &message[fields.split().body_at(message)..];
        self.stats.add(&dates);
        self.facts.push(Facts {
            length: (message.len() - quote::quote_offsets(body, mbox.quoting(extent)).count()) as u64,
            date: received::fallback_date(&dates, rules),
            from_line: PackedStamp::pack(dates.from),
            status: status.status(DeletedPolicy::default()),
        });
        if !status.keywords().is_empty() {
            self.keywords.push((n, status.keywords().into_owned()));
        }
    }
}

/// Lists the messages of an mbox, and returns the findings about dates, keywords and pseudo messages.
///
/// `show` formats messages, on several threads. `print` receives the results, many at a time, in order.
pub(crate) fn list_mbox<T: Send>(
    source: &Source,
    mbox: &Mbox<'_>,
    context: &Context<'_>,
    show: impl Fn(MessageRow) -> T + Sync,
    mut print: impl FnMut(Vec<T>) + Send,
) -> Result<Vec<Finding>> {
    let rules = DateRules { now: context.now, mtime: source.mtime(), from_zone: None, first: None };
    let extents = mbox.messages();
    let kept = AtomicUsize::new(0);
    let scans = extents.par_chunks(CHUNK).enumerate().map(|(chunk, extents)| {
        context.cancel.check()?;
        let mut scanned = ScannedChunk::default();
        let keeps_headlines = kept.load(Ordering::Relaxed) < KEPT_HEADLINES;
        (chunk * CHUNK..).zip(extents).for_each(|(n, _)| scanned.add(mbox, n, &rules, keeps_headlines));
        kept.fetch_add(scanned.headlines.iter().map(Headline::memory).sum(), Ordering::Relaxed);
        source.release(Extent::span(extents));
        Ok(scanned)
    });
    let mut scanned: Vec<ScannedChunk> = scans.collect::<Result<_>>()?;
    let (mut stats, mut problems) = (FromLineStats::default(), StatusProblems::default());
    for chunk in &mut scanned {
        stats.merge(std::mem::take(&mut chunk.stats));
        problems.merge(std::mem::take(&mut chunk.problems));
    }
    let from_lines = FromLineDates::new(&stats, &rules);
    let resolve = |facts: &Facts| {
        let preferred = from_lines.preferred(facts.from_line, facts.date.1, &rules);
        preferred.map_or(facts.date, |epoch| (epoch, Origin::FromLine))
    };
    let pseudo = mbox.pseudo_message().map(|message| message.at);
    let findings =
        {
            let facts = scanned.iter().flat_map(|chunk| &chunk.facts);
            let origins = extents.iter().zip(facts).map(|(extent, facts)| (extent.at, resolve(facts).1));
            let keywords = scanned.iter().flat_map(|chunk| &chunk.keywords);
            let keywords = keywords.filter(|(n, _)| !(pseudo.is_some() && *n == 0));
            let keywords = keywords.flat_map(|(n, keywords)| keywords.iter().map(|k| (extents[*n].at, &**k)));
            from_lines
                .finding()
                .into_iter()
                .chain(pseudo.map(|at| {
                    Finding::at(Code::MboxPseudo, at, "UW-IMAP's pseudo message: no mail, skipped")
                }))
                .chain(OriginCheck::check(origins, &rules))
                .chain(renamed_keywords(keywords))
                .chain(problems.findings())
                .collect()
        };
    // Pages must be released in order: a page released too early is read again for the chunk before.
    let mut done = |(extents, shown): (&[Extent], Vec<T>)| {
        source.release(Extent::span(extents));
        print(shown);
        Ok(())
    };
    let reorder = Mutex::new(Reorder::new(&mut done));
    let chunks = scanned.into_iter().zip(extents.chunks(CHUNK)).enumerate();
    chunks.par_bridge().try_for_each(|(chunk, (scanned, extents))| {
        context.cancel.check()?;
        let rows = scanned.facts.iter().zip(extents).zip(chunk * CHUNK + 1..);
        let mut headlines = scanned.headlines.into_iter();
        let mut row = |((facts, extent), number): ((&Facts, &Extent), usize)| {
            let (epoch, origin) = resolve(facts);
            let headline = headlines.next();
            let headline = headline.unwrap_or_else(|| Headline::of(extent.message(mbox.text())));
            MessageRow {
                number,
                position: Position::Offset(extent.at),
                length: facts.length,
                epoch,
                origin,
                flags: facts.status.flags,
                is_new: !facts.status.belongs_in_cur(),
                is_pseudo: pseudo == Some(extent.at),
                ..MessageRow::with_headline(headline)
            }
        };
        let shown = rows.map(|message| show(row(message))).collect();
        ignore_poison(reorder.lock()).add(chunk, (extents, shown))
    })?;
    Ok(findings)
}

/// Returns the findings about keywords that IMAP cannot name, each once.
fn renamed_keywords<'a>(keywords: impl Iterator<Item = (u64, &'a str)>) -> Vec<Finding> {
    let mut known = HashSet::new();
    let renamed = keywords.filter_map(|(at, keyword)| {
        let atom = keywords::atom(keyword);
        let is_first = known.insert(atom.to_ascii_lowercase());
        (is_first && atom != keyword).then(|| keywords::renamed_finding(at, keyword, &atom))
    });
    renamed.collect()
}

/// Lists the messages of a Maildir, and reports entries that are not messages.
pub(crate) fn list_maildir(maildir: &Path, context: &Context<'_>) -> Result<(Vec<MessageRow>, Vec<Finding>)> {
    let reader = MaildirReader::open(maildir, context.now)?;
    let (mut rows, mut findings) = (Vec::new(), Vec::new());
    let mut contents = Contents::default();
    for (n, entry) in reader.list()?.messages.iter().enumerate() {
        context.cancel.check()?;
        match reader.read_or_explain(entry, &mut contents)? {
            Ok(found) => {
                if let Some(fields) = entry.status_fields(header::split(&contents).header) {
                    findings.extend(Entry::status_findings(&fields, &reader.path(entry)));
                }
                rows.push(MessageRow::from_file(&reader, &found, n + 1, &contents));
            }
            Err(finding) => findings.push(finding),
        }
    }
    Ok((rows, findings))
}

/// Returns the sizes of the messages in a Maildir.
pub(crate) fn maildir_sizes(maildir: &Path, context: &Context<'_>) -> Result<Vec<u64>> {
    let reader = MaildirReader::open(maildir, context.now)?;
    let mut sizes = Vec::new();
    for entry in &reader.list()?.messages {
        context.cancel.check()?;
        sizes.extend(reader.current_size(entry)?.ok().map(|(_, size)| size));
    }
    Ok(sizes)
}

impl MessageRow {
    fn with_headline(headline: Headline) -> MessageRow {
        let Headline { from, subject, message_id } = headline;
        MessageRow { from, subject, message_id, ..MessageRow::default() }
    }

    fn from_file(
        reader: &MaildirReader,
        found: &FoundMessage<'_>,
        number: usize,
        bytes: &[u8],
    ) -> MessageRow {
        let entry: &Entry = &found.entry;
        let header = header::split(bytes).header;
        let (epoch, origin) = reader.received_date(found, header);
        MessageRow {
            number,
            position: Position::File(Path::new(entry.subdir.dir()).join(&entry.name)),
            length: bytes.len() as u64,
            epoch,
            origin,
            flags: entry.status(header).flags,
            is_new: entry.subdir == Subdir::New,
            ..MessageRow::with_headline(Headline::of(bytes))
        }
    }
}
