//! What differs, where, and in which bytes: for people and for programs.

use std::path::{Path, PathBuf};

use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::mbox::status;
use crate::mailbox::message::date;
use crate::mailbox::message::header;
use crate::mailbox::text::{display_path, escape};
use crate::verify::compare::side::{FlagState, MessageLocation, NO_DATE, Side, StoredMessage};
use crate::verify::compare::text::{Digest, Spot, Text, Tolerance};
use crate::verify::compare::{Case, CompareOptions};

/// A difference between the two sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `message-missing` to `fields-differ`.
    pub code: Code,
    /// The message on this side; None if only the other one has it.
    pub here: Option<MessageRef>,
    /// The message on the other side; None if only this one has it.
    pub there: Option<MessageRef>,
    /// In what they differ; None where one of the two is not there.
    pub detail: Option<Detail>,
    /// Of a message that only one side has: what it says, by which another folder is asked for it.
    pub(crate) digest: Option<Digest>,
}

/// In what two messages differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// In their bytes: the first one that is not the same, here and there.
    Bytes(Spot, Spot),
    /// In their metadata: what it is here and there, for people.
    Values(String, String),
}

/// A message where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRef {
    /// The mbox, or the file in the Maildir.
    pub path: PathBuf,
    /// Its number in the mbox as `inspect` counts, from 1. A Maildir has the file.
    pub number: Option<usize>,
    /// Byte of its From_ line in the (uncompressed) mbox.
    pub offset: Option<u64>,
    /// Line of its From_ line in the mbox, counted from 1.
    pub line: Option<u64>,
    /// What its Date field says, or else its From_ line or file name; seconds since 1970.
    pub date: Option<i64>,
    /// Message-ID with its brackets; empty if it has none.
    pub message_id: String,
    /// Subject, decoded.
    pub subject: String,
}

/// The lines in which the messages of the cases begin, by their numbers.
pub(crate) struct LineNumbers {
    here: Vec<(usize, u64)>,
    there: Vec<(usize, u64)>,
}

impl LineNumbers {
    pub fn of(
        (here, mut ours): (&Side<'_>, Vec<usize>),
        (there, mut theirs): (&Side<'_>, Vec<usize>),
        options: &CompareOptions<'_>,
    ) -> Result<LineNumbers> {
        ours.sort_unstable();
        theirs.sort_unstable();
        Ok(LineNumbers { here: here.lines(&ours, options)?, there: there.lines(&theirs, options)? })
    }
}

fn line_of(lines: &[(usize, u64)], number: usize) -> Option<u64> {
    lines.binary_search_by_key(&number, |&(n, _)| n).ok().map(|at| lines[at].1)
}

/// All that is to be said of a case. `dates`: when the two were received, where metadata counts.
///
/// # Errors
/// Those of reading; [`Error::Changed`] where two messages differed before and do no longer.
pub(crate) fn find_differences(
    here: &Side<'_>,
    there: &Side<'_>,
    case: Case,
    (lines, dates, options): (&LineNumbers, Option<(i64, i64)>, &CompareOptions<'_>),
) -> Result<Vec<Difference>> {
    let alone = |code, message: &StoredMessage<'_>, (here, there)| {
        vec![Difference { code, here, there, detail: None, digest: Some(message.text.digest()) }]
    };
    let (number, other, same) = match case {
        Case::Here { number, there: Some(other), same } => (number, other, same),
        Case::Here { number, there: None, .. } => {
            let message = here.message(number)?;
            let sighting = MessageRef::of(&message, line_of(&lines.here, number));
            return Ok(alone(Code::MessageMissing, &message, (Some(sighting), None)));
        }
        Case::Extra(number) => {
            let message = there.message(number)?;
            let sighting = MessageRef::of(&message, line_of(&lines.there, number));
            return Ok(alone(Code::MessageExtra, &message, (None, Some(sighting))));
        }
    };
    let (message, counterpart) = (here.message(number)?, there.message(other)?);
    let mut told = Vec::new();
    if !same {
        let spots = message.text.first_difference(&counterpart.text);
        let Some((spot, other_spot)) = spots else { return Err(rewritten(&message, &counterpart)) };
        told.push((kind(&message, &counterpart), Detail::Bytes(spot, other_spot)));
    }
    if let Some(dates) = dates {
        told.extend(metadata(&message, &counterpart, dates, options));
    }
    let sighting = MessageRef::of(&message, line_of(&lines.here, number));
    let other_sighting = MessageRef::of(&counterpart, line_of(&lines.there, other));
    let differences = told.into_iter().map(|(code, detail)| Difference {
        code,
        here: Some(sighting.clone()),
        there: Some(other_sighting.clone()),
        detail: Some(detail),
        digest: None,
    });
    Ok(differences.collect())
}

/// Nobody writes into a message that lies in a Maildir, and an mbox is locked; somebody did.
fn rewritten(message: &StoredMessage<'_>, counterpart: &StoredMessage<'_>) -> Error {
    let file = [message, counterpart].into_iter().find_map(|message| match &message.location {
        MessageLocation::File { path, .. } => Some(path.as_path()),
        MessageLocation::Mbox { .. } | MessageLocation::WholeFile { .. } => None,
    });
    let path = file.unwrap_or_else(|| message.location.path());
    Error::Changed { path: path.to_owned(), how: "a message was written to".into() }
}

/// Of which kind the difference between two messages is.
fn kind(message: &StoredMessage<'_>, counterpart: &StoredMessage<'_>) -> Code {
    let (text, other) = (&message.text, &counterpart.text);
    let differ_but = |trifles| text.tolerant_digest(trifles) != other.tolerant_digest(trifles);
    if differ_but(Tolerance::ALL) {
        return Code::MessageDiffers;
    }
    // A file may end without a newline; a message of an mbox cannot, unless it is the last one.
    let added = |by: &StoredMessage<'_>| {
        by.text.ends_in_newline() && matches!(by.location, MessageLocation::Mbox { .. })
    };
    if differ_but(Tolerance { final_newline: false, ..Tolerance::ALL })
        && !added(message)
        && !added(counterpart)
    {
        Code::MessageDiffers
    } else if differ_but(Tolerance { quoting: false, ..Tolerance::ALL }) {
        Code::MessageQuoting
    } else if differ_but(Tolerance { line_ends: false, ..Tolerance::ALL }) {
        Code::MessageLineEnds
    } else {
        Code::MessageFinalNewline
    }
}

fn metadata(
    message: &StoredMessage<'_>,
    counterpart: &StoredMessage<'_>,
    (date, other_date): (i64, i64),
    options: &CompareOptions<'_>,
) -> Vec<(Code, Detail)> {
    let mut told = Vec::new();
    let flags = |message: &StoredMessage<'_>| {
        let said = status::parse_fields(message.text.header(), options.labels);
        (message.location.flags(&said, options.deleted), message.location.keywords(&said))
    };
    let (flagged, other) = (flags(message), flags(counterpart));
    if flagged != other {
        told.push((Code::FlagsDiffer, Detail::Values(shown_flags(&flagged), shown_flags(&other))));
    }
    // What a From_ line without a zone means depends on the other messages of its mbox.
    let stamps = (message.location.stamp(), counterpart.location.stamp());
    let alike = stamps.0.is_some() && stamps.0 == stamps.1;
    if date != other_date && date != NO_DATE && other_date != NO_DATE && !alike {
        told.push((Code::DateDiffers, Detail::Values(shown_date(date), shown_date(other_date))));
    }
    let (fields, other) = unlike_fields(&message.text, &counterpart.text);
    if fields != other {
        told.push((Code::FieldsDiffer, Detail::Values(listed(&fields), listed(&other))));
    }
    told
}

fn shown_flags((flagged, keywords): &(FlagState, Vec<String>)) -> String {
    let flags = match (flagged.flags.is_empty(), flagged.in_cur) {
        (false, _) => flagged.flags.to_string(),
        (true, true) => "none".into(),
        (true, false) => "none, and new".into(),
    };
    if keywords.is_empty() { flags } else { format!("{flags} (keywords {})", keywords.join(" ")) }
}

fn shown_date(epoch: i64) -> String {
    jiff::Timestamp::from_second(epoch).map_or_else(|_| format!("@{epoch}"), |date| date.to_string())
}

/// The fields that readers rewrite, less those that are the same on both sides. Names compare without
/// case and values without folding.
fn unlike_fields(text: &Text<'_>, other: &Text<'_>) -> (Vec<String>, Vec<String>) {
    let fields = |text: &Text<'_>| {
        let ranges = header::volatile(text.header());
        let fields = ranges.filter_map(|range| {
            let field = header::fields(&text.header()[range]).next()?;
            let name = String::from_utf8_lossy(field.name).to_ascii_lowercase();
            Some((name, header::unfold(field.value)))
        });
        fields.collect::<Vec<_>>()
    };
    let (ours, theirs) = (fields(text), fields(other));
    let values = |all: &[(String, Vec<u8>)], name: &str| {
        all.iter().filter(|(n, _)| n == name).map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let unlike = |all: &[(String, Vec<u8>)]| {
        let unlike = all.iter().filter(|(name, _)| values(&ours, name) != values(&theirs, name));
        unlike.map(|(name, value)| format!("{name}: {}", escape(value))).collect::<Vec<_>>()
    };
    (unlike(&ours), unlike(&theirs))
}

fn listed(fields: &[String]) -> String {
    if fields.is_empty() { "none".into() } else { fields.join(", ") }
}

impl MessageRef {
    fn of(message: &StoredMessage<'_>, line: Option<u64>) -> MessageRef {
        let mut sighting = MessageRef {
            path: message.location.path().to_owned(),
            number: None,
            offset: None,
            line,
            date: None,
            message_id: String::new(),
            subject: String::new(),
        };
        for field in header::fields(message.text.header()) {
            if field.is("Message-ID") && sighting.message_id.is_empty() {
                sighting.message_id = header::decode_text(field.value);
            } else if field.is("Subject") && sighting.subject.is_empty() {
                sighting.subject = header::decode_text(field.value);
            } else if field.is("Date") && sighting.date.is_none() {
                sighting.date = date::parse_header_date(field.value).map(|stamp| stamp.epoch(0));
            }
        }
        match &message.location {
            MessageLocation::Mbox { number, extent, .. } => {
                sighting.number = Some(*number);
                sighting.offset = Some(extent.at);
                let from = || message.location.stamp().map(|stamp| stamp.epoch(0));
                sighting.date = sighting.date.or_else(from);
            }
            MessageLocation::File { entry, .. } => {
                sighting.date = sighting.date.or_else(|| entry.parsed().epoch());
            }
            MessageLocation::WholeFile { .. } => {}
        }
        sighting
    }

    /// Where it is, for people.
    pub fn location(&self) -> String {
        match (self.line, self.offset) {
            (Some(line), Some(offset)) => format!("{}:{line} (byte {offset})", display_path(&self.path)),
            _ => display_path(&self.path),
        }
    }

    /// Which message it is, for people.
    pub fn describe(&self) -> String {
        let mut name = self.number.map_or_else(|| "the message".into(), |n| format!("message {n}"));
        if let Some(date) = self.date {
            name += &format!(" of {}", shown_date(date));
        }
        if !self.message_id.is_empty() {
            name += &format!(", {}", escape(shortened(&self.message_id).as_bytes()));
        }
        if !self.subject.is_empty() {
            name += &format!(", \"{}\"", escape(shortened(&self.subject).as_bytes()));
        }
        name
    }
}

/// So much of a field as a line of a report has room for.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl Spot {
    /// For people; the byte stands at the bracket.
    fn shown(&self) -> String {
        let Spot { line, offset, before, after, .. } = self;
        if after.is_empty() {
            return format!("its line {line}, byte {offset} \"{before}\" is the end");
        }
        format!("its line {line}, byte {offset} \"{before}[{after}\"")
    }
}

impl Difference {
    /// The message the finding is about: this side's, unless only the other one has it.
    pub fn message(&self) -> &MessageRef {
        // One of the two is there: a difference of nothing is none.
        match (&self.here, &self.there) {
            (Some(sighting), _) | (None, Some(sighting)) => sighting,
            (None, None) => unreachable!("a difference without a message"),
        }
    }

    /// The folder on the other side, where it is another one.
    pub fn other_folder(&self) -> Option<&str> {
        match &self.detail {
            Some(Detail::Values(_, other)) if self.code == Code::FolderDiffers => Some(other),
            _ => None,
        }
    }

    /// The file the finding is about.
    pub fn path(&self) -> &Path {
        &self.message().path
    }

    /// As a finding. `here` and `there` name the two sides.
    pub fn finding(&self, here: &str, there: &str) -> Finding {
        let sighting = self.message();
        let name = sighting.describe();
        let place = self.there.as_ref().map(MessageRef::location).unwrap_or_default();
        let message = match (&self.detail, self.code) {
            (None, Code::MessageExtra) => format!("not in {here}: {name}"),
            (None, _) => format!("not in {there}: {name}"),
            (Some(Detail::Bytes(spot, other)), code) => {
                let how = match code {
                    Code::MessageQuoting => "only in its quoting",
                    Code::MessageLineEnds => "only in its line ends",
                    Code::MessageFinalNewline => "only in the newline at its end",
                    _ if spot.in_header || other.in_header => "in its header",
                    _ => "in its body",
                };
                let (spot, other) = (spot.shown(), other.shown());
                format!("{name} differs {how} from {place}: {spot}, there {other}")
            }
            (Some(Detail::Values(value, other)), code) => {
                let what = match code {
                    Code::FlagsDiffer => "flags",
                    Code::DateDiffers => "received",
                    Code::FolderDiffers => "in the folder",
                    _ => "fields",
                };
                format!("{name}: {what} {value} here, {other} in {place}")
            }
        };
        Finding { offset: sighting.offset, line: sighting.line, ..Finding::new(self.code, message) }
    }
}
