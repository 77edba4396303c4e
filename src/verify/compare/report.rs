//! Differences between messages: which message, where, in which bytes.

use std::path::{Path, PathBuf};

use super::both::Both;
use super::options::CompareOptions;
use super::side::{FlagState, MessageLocation, NO_DATE, Side, StoredMessage};
use super::text::{DiffPoint, Digest, Text, Tolerance};
use crate::mailbox::message::Headers;
use crate::mailbox::message::{date, header};
use crate::mailbox::{Code, Context, Error, Finding, Result, display_path, escape};

/// A difference between the two sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// One of `message-missing` to `fields-differ`.
    pub code: Code,
    /// The message on this side; None if only the other side has it.
    pub here: Option<MessageRef>,
    /// The message on the other side; None if only this side has it.
    pub there: Option<MessageRef>,
    /// How the two differ; None if there is only one.
    pub detail: Option<Detail>,
    /// Content of a message that only one side has, by which other folders are searched.
    pub(crate) digest: Option<Digest>,
}

/// How two messages differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Detail {
    /// The first bytes that differ.
    Bytes(Both<DiffPoint>),
    /// Metadata, as shown to the user.
    Values(Both<String>),
}

/// A message in a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageRef {
    /// The mbox, or the file in the Maildir.
    pub path: PathBuf,
    /// Number in the mbox, from 1, as in `inspect`; None in a Maildir.
    pub number: Option<usize>,
    /// Offset of the From_ line in the (uncompressed) mbox.
    pub offset: Option<u64>,
    /// Line of the From_ line in the mbox, from 1.
    pub line: Option<u64>,
    /// Date of the Date field, or else of the From_ line or the file name; seconds since 1970.
    pub date: Option<i64>,
    /// Message-ID with its brackets; empty if there is none.
    pub message_id: String,
    /// Subject, decoded.
    pub subject: String,
}

/// A message that is read a second time. The order is that of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Case {
    /// A message of this side, and its counterpart if it has one.
    Here { number: usize, there: Option<usize>, same: bool },
    /// A message that only the other side has.
    Extra(usize),
}

impl Case {
    pub(super) fn numbers(&self) -> Both<Option<usize>> {
        match *self {
            Case::Here { number, there, .. } => Both { here: Some(number), there },
            Case::Extra(number) => Both { here: None, there: Some(number) },
        }
    }
}

/// The differences of a case.
#[derive(Default)]
pub(crate) struct CaseDifferences {
    pub differences: Vec<Difference>,
    /// True for a message that was removed since it was scanned, and is not counted.
    pub removed: Both<bool>,
}

/// The lines at which messages begin, by message number.
struct LineNumbers(Vec<(usize, u64)>);

impl LineNumbers {
    fn find(side: &Side<'_>, mut numbers: Vec<usize>, context: &Context<'_>) -> Result<LineNumbers> {
        numbers.sort_unstable();
        Ok(LineNumbers(side.lines(&numbers, context)?))
    }

    fn of(&self, number: usize) -> Option<u64> {
        self.0.binary_search_by_key(&number, |&(n, _)| n).ok().map(|at| self.0[at].1)
    }
}

/// Finds the differences of cases.
pub(crate) struct DifferenceFinder<'a> {
    sides: &'a Both<Side<'a>>,
    lines: Both<LineNumbers>,
    options: &'a CompareOptions,
}

impl<'a> DifferenceFinder<'a> {
    pub(super) fn new(
        sides: &'a Both<Side<'a>>,
        cases: &[Case],
        options: &'a CompareOptions,
        context: &Context<'_>,
    ) -> Result<DifferenceFinder<'a>> {
        let here = cases.iter().filter_map(|case| case.numbers().here).collect();
        let there = cases.iter().filter_map(|case| case.numbers().there).collect();
        let lines = Both {
            here: LineNumbers::find(&sides.here, here, context)?,
            there: LineNumbers::find(&sides.there, there, context)?,
        };
        Ok(DifferenceFinder { sides, lines, options })
    }

    /// Finds all differences of a case. `dates` are the received dates, if metadata is compared.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Changed`] if two messages no longer differ.
    pub(super) fn find(&self, case: Case, dates: Option<Both<i64>>) -> Result<CaseDifferences> {
        let numbers = case.numbers();
        let here = numbers.here.map(|n| self.sides.here.message(n)).transpose()?.flatten();
        let there = numbers.there.map(|n| self.sides.there.message(n)).transpose()?.flatten();
        let removed = Both {
            here: numbers.here.is_some() && here.is_none(),
            there: numbers.there.is_some() && there.is_none(),
        };
        if matches!(case, Case::Here { same: true, .. }) && (removed.here || removed.there) {
            // The two were the same, and are counted.
            return Ok(CaseDifferences::default());
        }
        let differences = self.differences(case, Both { here, there }, dates)?;
        Ok(CaseDifferences { differences, removed })
    }

    fn differences(
        &self,
        case: Case,
        messages: Both<Option<StoredMessage<'_>>>,
        dates: Option<Both<i64>>,
    ) -> Result<Vec<Difference>> {
        let (numbers, Both { here, there }) = (case.numbers(), messages);
        let message_ref =
            |message: &Option<StoredMessage<'_>>, number: Option<usize>, lines: &LineNumbers| {
                Some(MessageRef::new(message.as_ref()?, lines.of(number?)))
            };
        let refs = Both {
            here: message_ref(&here, numbers.here, &self.lines.here),
            there: message_ref(&there, numbers.there, &self.lines.there),
        };
        let difference = |code, detail, digest| {
            let Both { here, there } = refs.clone();
            Difference { code, here, there, detail, digest }
        };
        let messages = match (here, there) {
            (Some(here), Some(there)) => Both { here, there },
            (Some(message), None) => {
                return Ok(vec![difference(Code::MessageMissing, None, Some(message.text.digest()))]);
            }
            (None, Some(message)) => {
                return Ok(vec![difference(Code::MessageExtra, None, Some(message.text.digest()))]);
            }
            (None, None) => return Ok(Vec::new()),
        };
        let mut details = Vec::new();
        if !matches!(case, Case::Here { same: true, .. }) {
            let points = messages.here.text.first_difference(&messages.there.text);
            let Some(points) = points else { return Err(concurrent_write(&messages)) };
            details.push((classify(&messages), Detail::Bytes(points)));
        }
        if let Some(dates) = dates {
            details.extend(compare_metadata(&messages, dates, self.options));
        }
        Ok(details.into_iter().map(|(code, detail)| difference(code, Some(detail), None)).collect())
    }
}

/// Returns the error for a message that changed between two reads. No program may write to a message in a Maildir, and
/// an mbox is locked.
fn concurrent_write(messages: &Both<StoredMessage<'_>>) -> Error {
    let locations = [&messages.here.location, &messages.there.location];
    let file = locations.into_iter().find(|location| matches!(location, MessageLocation::File { .. }));
    let path = file.unwrap_or(locations[0]).path();
    Error::Changed { path: path.to_owned(), how: "a message was written to".into() }
}

/// Returns the code of a difference in content.
fn classify(messages: &Both<StoredMessage<'_>>) -> Code {
    let differ_with =
        |tolerance| !messages.as_ref().map(|message| message.text.tolerant_digest(tolerance)).is_same();
    if differ_with(Tolerance::ALL) {
        return Code::MessageDiffers;
    }
    // A file may end without a newline; a message of an mbox cannot, unless it is the last one.
    let is_added = |message: &StoredMessage<'_>| {
        message.text.ends_in_newline() && matches!(message.location, MessageLocation::Mbox { .. })
    };
    let added = is_added(&messages.here) || is_added(&messages.there);
    if differ_with(Tolerance { final_newline: false, ..Tolerance::ALL }) && !added {
        Code::MessageDiffers
    } else if differ_with(Tolerance { quoting: false, ..Tolerance::ALL }) {
        Code::MessageQuoting
    } else if differ_with(Tolerance { line_ends: false, ..Tolerance::ALL }) {
        Code::MessageLineEnds
    } else {
        Code::MessageFinalNewline
    }
}

fn compare_metadata(
    messages: &Both<StoredMessage<'_>>,
    dates: Both<i64>,
    options: &CompareOptions,
) -> Vec<(Code, Detail)> {
    let mut differences = Vec::new();
    let mut add = |code, values| differences.push((code, Detail::Values(values)));
    let flags = messages.as_ref().map(|message| {
        let fields = message.status_fields(options.asked.labels);
        (message.flags(&fields, options.asked.deleted), message.keywords(&fields))
    });
    if !flags.is_same() {
        add(Code::FlagsDiffer, flags.map(|(state, keywords)| display_flags(state, &keywords)));
    }
    // The meaning of a From_ line without a zone depends on the other messages of its mbox.
    let stamps = messages.as_ref().map(|message| message.location.stamp());
    let is_known = dates.here != NO_DATE && dates.there != NO_DATE;
    if !dates.is_same() && is_known && !(stamps.here.is_some() && stamps.is_same()) {
        add(Code::DateDiffers, dates.map(display_date));
    }
    let fields = differing_fields(messages);
    if options.asked.headers == Headers::Keep && !fields.is_same() {
        let display = |fields: Vec<String>| match &fields[..] {
            [] => "none".into(),
            fields => fields.join(", "),
        };
        add(Code::FieldsDiffer, fields.map(display));
    }
    differences
}

fn display_flags(state: FlagState, keywords: &[String]) -> String {
    let flags = match (state.flags.is_empty(), state.in_cur) {
        (false, _) => state.flags.to_string(),
        (true, true) => "none".into(),
        (true, false) => "none, and new".into(),
    };
    if keywords.is_empty() { flags } else { format!("{flags} (keywords {})", keywords.join(" ")) }
}

fn display_date(epoch: i64) -> String {
    jiff::Timestamp::from_second(epoch).map_or_else(|_| format!("@{epoch}"), |date| date.to_string())
}

/// Returns the fields that readers rewrite and that differ. Names compare without case, and values without folding.
fn differing_fields(messages: &Both<StoredMessage<'_>>) -> Both<Vec<String>> {
    let fields = |text: &Text<'_>| {
        let ranges = header::volatile(text.header());
        let fields = ranges.filter_map(|range| {
            let field = header::fields(&text.header()[range]).next()?;
            let name = String::from_utf8_lossy(field.name).to_ascii_lowercase();
            Some((name, header::unfold(field.value)))
        });
        fields.collect::<Vec<_>>()
    };
    let all = messages.as_ref().map(|message| fields(&message.text));
    let values = |fields: &[(String, Vec<u8>)], name: &str| {
        fields.iter().filter(|(n, _)| n == name).map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let differing = |fields: &Vec<(String, Vec<u8>)>| {
        let fields = fields.iter().filter(|(name, _)| values(&all.here, name) != values(&all.there, name));
        fields.map(|(name, value)| format!("{name}: {}", escape(value))).collect::<Vec<_>>()
    };
    all.as_ref().map(differing)
}

impl MessageRef {
    fn new(message: &StoredMessage<'_>, line: Option<u64>) -> MessageRef {
        let mut found = MessageRef {
            path: message.location.path().to_owned(),
            number: None,
            offset: None,
            line,
            date: None,
            message_id: String::new(),
            subject: String::new(),
        };
        for field in header::fields(message.text.header()) {
            if field.is("Message-ID") && found.message_id.is_empty() {
                found.message_id = header::decode_text(field.value);
            } else if field.is("Subject") && found.subject.is_empty() {
                found.subject = header::decode_text(field.value);
            } else if field.is("Date") && found.date.is_none() {
                found.date = date::parse_header_date(field.value).map(|stamp| stamp.epoch(0));
            }
        }
        match &message.location {
            MessageLocation::Mbox { number, extent, .. } => {
                found.number = Some(*number);
                found.offset = Some(extent.at);
                let from_line = || message.location.stamp().map(|stamp| stamp.epoch(0));
                found.date = found.date.or_else(from_line);
            }
            MessageLocation::File { entry, .. } => {
                found.date = found.date.or_else(|| entry.parsed().epoch());
            }
            MessageLocation::WholeFile { .. } => {}
        }
        found
    }

    /// Describes the location.
    pub(crate) fn location(&self) -> String {
        match (self.line, self.offset) {
            (Some(line), Some(offset)) => format!("{}:{line} (byte {offset})", display_path(&self.path)),
            _ => display_path(&self.path),
        }
    }

    /// Describes the message.
    pub(crate) fn describe(&self) -> String {
        let mut text = self.number.map_or_else(|| "the message".into(), |n| format!("message {n}"));
        if let Some(date) = self.date {
            text += &format!(" of {}", display_date(date));
        }
        if !self.message_id.is_empty() {
            text += &format!(", {}", escape(shorten(&self.message_id).as_bytes()));
        }
        if !self.subject.is_empty() {
            text += &format!(", \"{}\"", escape(shorten(&self.subject).as_bytes()));
        }
        text
    }
}

/// Shortens a field to what fits into a line of a report.
fn shorten(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl DiffPoint {
    /// Describes the location; the bracket marks the byte.
    fn describe(&self) -> String {
        let DiffPoint { line, offset, before, after, .. } = self;
        if after.is_empty() {
            return format!("its line {line}, byte {offset} \"{before}\" is the end");
        }
        format!("its line {line}, byte {offset} \"{before}[{after}\"")
    }
}

impl Difference {
    /// Returns the message on this side, or else the one on the other side.
    pub(crate) fn message(&self) -> &MessageRef {
        match (&self.here, &self.there) {
            (Some(message), _) | (None, Some(message)) => message,
            (None, None) => unreachable!("a difference without a message"),
        }
    }

    /// Returns the folder on the other side, if it is another one.
    pub(crate) fn other_folder(&self) -> Option<&str> {
        match &self.detail {
            Some(Detail::Values(values)) if self.code == Code::FolderDiffers => Some(&values.there),
            _ => None,
        }
    }

    /// Returns the file of [`Difference::message`].
    pub(crate) fn path(&self) -> &Path {
        &self.message().path
    }

    /// Returns the finding about the difference. `names` are the names of the two sides.
    pub(crate) fn finding(&self, names: &Both<&str>) -> Finding {
        let message = self.message();
        let name = message.describe();
        let location = self.there.as_ref().map(MessageRef::location).unwrap_or_default();
        let text = match (&self.detail, self.code) {
            (None, Code::MessageExtra) => format!("not in {}: {name}", names.here),
            (None, _) => format!("not in {}: {name}", names.there),
            (Some(Detail::Bytes(points)), code) => {
                let how = match code {
                    Code::MessageQuoting => "only in its quoting",
                    Code::MessageLineEnds => "only in its line ends",
                    Code::MessageFinalNewline => "only in the newline at its end",
                    _ if points.here.in_header || points.there.in_header => "in its header",
                    _ => "in its body",
                };
                let Both { here, there } = points.as_ref().map(DiffPoint::describe);
                format!("{name} differs {how} from {location}: {here}, there {there}")
            }
            (Some(Detail::Values(Both { here, there })), code) => {
                let what = match code {
                    Code::FlagsDiffer => "flags",
                    Code::DateDiffers => "received",
                    Code::FolderDiffers => "in the folder",
                    _ => "fields",
                };
                format!("{name}: {what} {here} here, {there} in {location}")
            }
        };
        Finding { offset: message.offset, line: message.line, ..Finding::new(self.code, text) }
    }
}
