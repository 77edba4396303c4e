//! Reading an mbox: recognizes the format, finds the messages and judges the variant. A message is a slice.

use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use super::bare::{self, looks_like_message};
use super::boundary;
use super::candidate::NextLine;
use super::from_line;
use super::lines::{BOM, FRAME, line_end};
use super::quote::{self, Quoting};
use super::quoted_blocks::QuotedBlocks;
use super::scan::{self, Scan};
use super::scan_hooks::ScanHooks;
use super::single::{SingleMessage, looks_like_emlx};
use super::variant::{Evidence, Variant, judge};
use super::verdict::{Boundaries, BoundaryOptions, Extent, Overrides};
use crate::mailbox::message::status::{self, OuterState, StatusFields, gmail::LabelSurvey};
use crate::mailbox::message::uids::UidBase;
use crate::mailbox::message::{Field, Stamp, has_hole, header};
use crate::mailbox::source::Source;
use crate::mailbox::source::format::{ForeignFormat, is_binary};
use crate::mailbox::text::{grouped, grouped_plural, plural};
use crate::mailbox::{Code, Context, Error, Finding, Result};

/// How much of a file is searched for signs of mail, if it is no mbox.
const SAMPLE: usize = 64 << 10;

/// Choices of the user that override the evidence in the file.
#[derive(Debug, Default, Clone)]
pub(crate) struct ReadOptions {
    pub variant: Option<Variant>,
    pub overrides: Overrides,
    /// Accept a file in which no candidate is a separator: `inspect --boundaries` shows why.
    pub allow_empty: bool,
    /// Fill in [`Boundaries::decisions`].
    pub keep_candidates: bool,
}

/// An mbox, divided into messages. All offsets are bytes of the uncompressed source.
#[derive(Debug)]
pub(crate) struct Mbox<'a> {
    text: &'a [u8],
    pub variant: Variant,
    /// The evidence for the variant, a phrase.
    pub evidence: String,
    pub boundaries: Boundaries,
    /// Without line numbers, see [`number_lines`](crate::mailbox::finding::number_lines).
    pub findings: Vec<Finding>,
    /// The file contains a CR. Without one, line ends need no conversion.
    pub has_cr: bool,
    /// Gmail's word for unread is known in the language of the file, see [`Mbox::complete_status`].
    is_unread_known: OnceLock<bool>,
    /// The state of the one message of a file, from outside of the message.
    pub outer: OuterState,
    quoted_blocks: QuotedBlocks,
}

/// The reason that a file is not a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotAMailbox {
    /// A phrase.
    pub reason: String,
    /// The remedy.
    pub hint: Option<String>,
    pub guess: ContentGuess,
}

/// The probable content of a file that is not an mbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentGuess {
    /// One message.
    Message,
    /// Another kind of mailbox, or a damaged one.
    MaybeMail,
    /// No mail.
    Other,
}

/// Reads `text`, which has LF line ends (see [`Source::text`](crate::mailbox::source::Source::text)).
pub(crate) fn read<'a>(
    text: &'a [u8],
    options: &ReadOptions,
    hooks: ScanHooks<'_>,
) -> Result<Mbox<'a>, NotAMailbox> {
    let is_undecided = options.variant.is_none() && options.overrides.is_empty();
    if options.variant == Some(Variant::Rfc822) || is_undecided && looks_like_emlx(text) {
        return Ok(single_message(text, hooks));
    }
    refuse_foreign(text)?;
    let framed = match options.variant {
        Some(named) => named == Variant::Mmdf,
        None => begins_with_frame(text),
    };
    let scan = scan::scan(text, hooks);
    let quotes_all = match options.variant {
        Some(named) => named == Variant::Mboxrd,
        None => scan.deeper_than_text > scan.deep_as_text,
    };
    let known = BoundaryOptions {
        framed,
        quotes_all,
        overrides: &options.overrides,
        keep_candidates: options.keep_candidates,
    };
    let mut boundaries = boundary::decide(text, &scan.candidates, known, hooks);
    let is_allowed = options.allow_empty && !scan.candidates.is_empty();
    if boundaries.messages.is_empty() && !is_blank(text) && !is_allowed {
        return Err(no_separator(text, &scan));
    }
    if options.variant.is_none() && options.overrides.is_empty() {
        refuse_binary_lead(text, &boundaries)?;
    }
    let evidence = collect_evidence(text, &scan, &boundaries);
    let (variant, why) = match options.variant {
        Some(named) => (named, "named by the user".to_string()),
        None if framed => (Variant::Mmdf, "its first line is a frame of four ^A".to_string()),
        None => judge(evidence),
    };
    let mut findings = std::mem::take(&mut boundaries.findings);
    findings.push(Finding::new(Code::MboxVariant, format!("{variant}: {why}")));
    if options.variant.is_none() && evidence.is_split() && variant.quoting() != Quoting::None {
        findings.push(split_votes(evidence, variant));
    }
    findings.extend(find_unusual_bytes(text, &scan));
    let has_cr = scan.crlf > 0 || scan.lone_cr > 0;
    let is_unread_known = OnceLock::new();
    Ok(Mbox {
        text,
        variant,
        evidence: why,
        boundaries,
        findings,
        has_cr,
        is_unread_known,
        outer: OuterState::default(),
        quoted_blocks: scan.quoted_blocks,
    })
}

impl NotAMailbox {
    /// Returns the error about the file.
    pub(crate) fn in_file(self, path: &Path) -> Error {
        Error::NotAMailbox { path: path.to_owned(), reason: self.reason, hint: self.hint }
    }
}

impl<'a> Mbox<'a> {
    /// Reads a source. Reports progress to the context, and releases pages.
    ///
    /// # Errors
    /// [`Error::NotAMailbox`], [`Error::Interrupted`], [`Error::Changed`].
    pub(crate) fn read(source: &'a Source, options: &ReadOptions, context: &Context<'_>) -> Result<Mbox<'a>> {
        Mbox::read_with(source, options, context, &|_| ())
    }

    /// Reads a source, and calls `on_scan` with each window of it while the bytes are in the cache.
    pub(crate) fn read_with(
        source: &'a Source,
        options: &ReadOptions,
        context: &Context<'_>,
        on_scan: &(dyn Fn(Range<usize>) + Sync),
    ) -> Result<Mbox<'a>> {
        let hooks = ScanHooks {
            on_scan: &|range| {
                context.events.advance(range.len() as u64, 0);
                on_scan(range);
            },
            on_release: &|range| source.release(range),
            cancel: context.cancel,
        };
        let mbox = read(source.text(), options, hooks).map(|mut mbox| {
            mbox.outer.is_removed = mbox.variant == Variant::Rfc822 && bare::is_removed(source.path());
            mbox
        });
        context.cancel.check()?;
        mbox.or_else(|not| {
            // A file that another program truncates meanwhile may no longer look like a mailbox.
            source.check_unchanged()?;
            Err(not.in_file(source.path()))
        })
    }

    /// Returns the received date that a message has outside of its header: in its store, or in its first From_ line.
    pub(crate) fn first_stamp(&self, extent: &Extent) -> Option<Stamp> {
        self.outer.received().or_else(|| from_line::first_stamp(extent.separator_lines(self.text)))
    }

    /// Returns the messages in file order.
    pub(crate) fn messages(&self) -> &[Extent] {
        &self.boundaries.messages
    }

    /// Returns the source with LF line ends.
    pub(crate) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Returns UW-IMAP's pseudo message, which can only be the first one.
    pub(crate) fn pseudo_message(&self) -> Option<&Extent> {
        let header = |extent: &Extent| header::split(extent.message(self.text)).header;
        self.messages().first().filter(|first| status::is_pseudo_message(header(first)))
    }

    /// Reports whether a message is the last one.
    pub(crate) fn is_last(&self, extent: &Extent) -> bool {
        self.messages().last() == Some(extent)
    }

    /// Returns the UIDs of the mailbox, from the first message, be it the pseudo message or not. The first field counts,
    /// as in Dovecot and UW-IMAP.
    pub(crate) fn uid_base(&self) -> Option<UidBase> {
        UidBase::parse(self.uid_base_field()?.value)
    }

    /// Returns the keywords after the UIDs of the mailbox, each with a blank before it.
    pub(crate) fn uid_base_words(&self) -> String {
        let words =
            self.uid_base_field().map(|field| String::from_utf8_lossy(field.value)).unwrap_or_default();
        words.split_ascii_whitespace().skip(2).map(|word| format!(" {word}")).collect()
    }

    fn uid_base_field(&self) -> Option<Field<'_>> {
        let first = self.messages().first().filter(|_| self.variant != Variant::Rfc822)?;
        let mut fields = header::fields(header::split(first.message(self.text)).header);
        fields.find(|field| field.is("X-IMAPbase") || field.is("X-IMAP"))
    }

    /// Completes what the header says by what the file says. Whether a message is read may depend on the Gmail labels
    /// of the other messages: the headers of all messages are read the first time.
    pub(crate) fn complete_status(&self, fields: &mut StatusFields) {
        self.outer.complete(fields);
        if !fields.is_read_state_unknown() {
            return;
        }
        let labels = |extent: &Extent| {
            let mut fields = header::fields(extent.message(self.text));
            Some(fields.find(|field| field.is("X-Gmail-Labels"))?.value)
        };
        let survey = || LabelSurvey::of(self.messages().iter().filter_map(labels)).is_unread_known();
        if *self.is_unread_known.get_or_init(survey) {
            fields.set_read_at_gmail();
        }
    }

    /// Checks conservation: messages and junk are in order and do not overlap, so every other byte is separator.
    /// An error is a bug in mailferry. Reads no byte of the text, since its pages may be released.
    pub(crate) fn check_conservation(&self) -> Result<(), String> {
        let size = self.text.len() as u64;
        let end_of_file = Extent { at: size, start: size, end: size };
        let mut junk = self.boundaries.junk.iter().peekable();
        let mut accounted = 0;
        for extent in self.messages().iter().chain([&end_of_file]) {
            let Extent { at, start, end } = *extent;
            while let Some(junk) = junk.next_if(|junk| junk.start < at) {
                if junk.start < accounted || junk.is_empty() || junk.end > at {
                    return Err(format!("junk {junk:?} overlaps {accounted} or {extent:?}"));
                }
                accounted = junk.end;
            }
            if accounted > at || at > start || start > end || end > size {
                return Err(format!("{extent:?} is out of order: {accounted} of {size} bytes before it"));
            }
            accounted = end;
        }
        junk.next().map_or(Ok(()), |junk| Err(format!("junk {junk:?} beyond the end")))
    }

    /// Returns the quoting to remove from a message: none if it has no quoted line.
    pub(crate) fn quoting(&self, extent: &Extent) -> Quoting {
        match self.quoted_blocks.may_be_in(extent.start..extent.end) {
            true => self.variant.quoting(),
            false => Quoting::None,
        }
    }

    /// Returns the offsets in the quoted message of the `>` to remove.
    pub(crate) fn quote_offsets(&self, extent: &Extent) -> impl Iterator<Item = usize> + use<'a> {
        let message = extent.message(self.text);
        let body_at = header::split(message).body_at(message);
        quote::quote_offsets(&message[body_at..], self.quoting(extent)).map(move |at| body_at + at)
    }

    /// Collects the pieces of the unquoted message. Returns the number of `>` that were removed.
    pub(crate) fn pieces(&self, extent: &Extent, pieces: &mut Vec<&'a [u8]>) -> usize {
        let message = extent.message(self.text);
        let body_at = header::split(message).body_at(message);
        quote::unquote(message, body_at, self.quoting(extent), pieces)
    }
}

fn single_message<'a>(text: &'a [u8], hooks: ScanHooks<'_>) -> Mbox<'a> {
    let SingleMessage { extent, junk, evidence, outer, mut findings } = SingleMessage::locate(text);
    let messages = if text.is_empty() { Vec::new() } else { vec![extent] };
    let junk: Vec<Range<u64>> = junk.into_iter().collect();
    findings.extend(boundary::about_junk(text, &junk));
    findings.extend(find_unusual_bytes(text, &scan::scan(text, hooks)));
    let message = extent.message(text);
    // A message without a body is common. It ends with a complete line.
    if !message.is_empty() && !message.ends_with(b"\n") && !header::split(message).closed {
        findings.push(boundary::header_cut(extent.start, message));
    }
    Mbox {
        text,
        variant: Variant::Rfc822,
        evidence: evidence.into(),
        boundaries: Boundaries { messages, junk, ..Boundaries::default() },
        findings,
        has_cr: true,
        is_unread_known: OnceLock::new(),
        outer,
        quoted_blocks: QuotedBlocks::default(),
    }
}

/// What the first part of an mbox shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MboxHead {
    /// It is MMDF, as [`read()`] decides it.
    pub framed: bool,
    /// How many messages begin in this part.
    pub messages: usize,
}

/// Examines the first part of an mbox.
///
/// # Errors
/// The file has another format, or no message begins in this part.
pub(crate) fn examine_head(head: &[u8]) -> Result<MboxHead, NotAMailbox> {
    refuse_foreign(head)?;
    let framed = begins_with_frame(head);
    let scan = scan::scan(head, ScanHooks::none());
    let known = BoundaryOptions {
        framed,
        quotes_all: false,
        overrides: &Overrides::default(),
        keep_candidates: false,
    };
    let boundaries = boundary::decide(head, &scan.candidates, known, ScanHooks::none());
    if boundaries.messages.is_empty() && !is_blank(head) {
        return Err(no_separator(head, &scan));
    }
    refuse_binary_lead(head, &boundaries)?;
    Ok(MboxHead { framed, messages: boundaries.messages.len() })
}

/// Reports whether the text is only blanks, or the byte order mark of an editor that saved an empty file.
fn is_blank(text: &[u8]) -> bool {
    text.trim_ascii().is_empty() || text.trim_ascii() == BOM
}

fn begins_with_frame(text: &[u8]) -> bool {
    let text = text.strip_prefix(BOM).unwrap_or(text).trim_ascii_start();
    text.starts_with(FRAME) && text[..line_end(text, 0)].trim_ascii_end() == FRAME
}

fn refuse_foreign(text: &[u8]) -> Result<(), NotAMailbox> {
    let Some(format) = ForeignFormat::recognize(text) else { return Ok(()) };
    // A file that can be converted contains mail.
    let guess = if format.hint().is_some() { ContentGuess::MaybeMail } else { ContentGuess::Other };
    Err(NotAMailbox { reason: format.reason(), hint: format.hint().map(str::to_owned), guess })
}

/// Refuses a file whose first separator comes after kilobytes of binary data: it is an archive or a store of a kind
/// that is not known here, and what follows a separator in it would not end where the message ends.
fn refuse_binary_lead(text: &[u8], boundaries: &Boundaries) -> Result<(), NotAMailbox> {
    const LEAD: u64 = 2 << 10;
    let lead = boundaries.messages.first().map_or(0, |first| first.at);
    if lead < LEAD || !is_binary(&text[..SAMPLE.min(lead as usize)]) {
        return Ok(());
    }
    Err(NotAMailbox {
        reason: format!("its first separator comes after {} bytes of binary data", grouped(lead)),
        hint: Some("to take it as an mbox anyway, write mboxrd: before the path".into()),
        guess: ContentGuess::MaybeMail,
    })
}

fn no_separator(text: &[u8], scan: &Scan) -> NotAMailbox {
    let bytes = text.len();
    if text.iter().all(|&b| b == 0) {
        let reason = format!("it has nothing but NULs: {}", grouped_plural(bytes as u64, "byte"));
        return NotAMailbox { reason, hint: None, guess: ContentGuess::MaybeMail };
    }
    let first = &text[..line_end(text, 0)];
    let is_message = looks_like_message(text);
    let is_buried = !is_message && bare::has_buried_header(&text[..text.len().min(SAMPLE)]);
    if is_message || header::is_field_line(first) && !is_buried {
        return NotAMailbox {
            reason: "it has no From_ line; it looks like one bare message".into(),
            hint: Some("to take it as one message, write rfc822: before the path".into()),
            guess: if is_message { ContentGuess::Message } else { ContentGuess::Other },
        };
    }
    let reason = match scan.candidates.iter().filter(|c| !c.glued).count() {
        0 if is_buried => {
            "the header of a message comes after other data, in a form that is not read".to_owned()
        }
        0 => format!("no line of its {} begins with \"From \"", grouped_plural(bytes as u64, "byte")),
        1 => "its one line that begins with \"From \" is not a separator".to_owned(),
        n => format!("none of its {n} lines that begin with \"From \" is a separator"),
    };
    let hint = (!scan.candidates.is_empty()).then(|| {
        "mailferry inspect --boundaries shows them; convert --boundaries FILE decides differently".into()
    });
    // A From_ line of an unknown form before a header.
    let has_header = scan.candidates.iter().any(|c| c.next == NextLine::Header);
    let guess = if has_header || is_buried { ContentGuess::MaybeMail } else { ContentGuess::Other };
    NotAMailbox { reason, hint, guess }
}

fn collect_evidence(text: &[u8], scan: &Scan, boundaries: &Boundaries) -> Evidence {
    Evidence {
        messages: boundaries.messages.len() as u64,
        lengths: boundaries.lengths,
        raw_under_length: boundaries.raw_under_length,
        quoted_once: scan.quoted_once,
        deeper_than_text: scan.deeper_than_text,
        deep_as_text: scan.deep_as_text,
        server_fields: boundaries.messages.iter().take(8).any(|m| has_server_fields(m.message(text))),
    }
}

fn has_server_fields(message: &[u8]) -> bool {
    header::fields(header::split(message).header).any(|f| f.is("X-UID") || f.is("X-IMAPbase"))
}

fn split_votes(evidence: Evidence, variant: Variant) -> Finding {
    let message = format!(
        "{} deeper quoted lines speak for mboxrd and {} for mboxo; read as {variant}",
        evidence.deeper_than_text, evidence.deep_as_text
    );
    Finding::new(Code::MboxVotesSplit, message)
        .with_hint("write mboxo: or mboxrd: before the path to decide it")
}

fn find_unusual_bytes(text: &[u8], scan: &Scan) -> Vec<Finding> {
    let mut findings: Vec<Finding> = scan
        .nul_runs
        .iter()
        .map(|nuls| {
            let length = nuls.range.end - nuls.range.start;
            let message = match nuls.count {
                1 => "a NUL byte; it was kept".to_owned(),
                count => format!("{count} NUL bytes within {length} bytes; they were kept"),
            };
            let finding = Finding::at(Code::MboxNul, nuls.range.start, message);
            let bytes = &text[nuls.range.start as usize..nuls.range.end as usize];
            if has_hole(bytes) { finding.as_damage() } else { finding }
        })
        .collect();
    let reported: u64 = scan.nul_runs.iter().map(|nuls| nuls.count).sum();
    if scan.nul_bytes > reported {
        let more = plural(scan.nul_bytes - reported, "more NUL byte");
        let message = format!("{more} further on; also kept");
        let finding = Finding::new(Code::MboxNul, message);
        let end = scan.nul_runs.last().map_or(0, |nuls| nuls.range.end as usize);
        findings.push(if has_hole(&text[end..]) { finding.as_damage() } else { finding });
    }
    if let Some(at) = scan.first_lone_cr {
        let message = match scan.lone_cr {
            1 => "a CR without an LF; it was kept".to_owned(),
            count => format!("{count} CRs without an LF in the file, the first here; they were kept"),
        };
        findings.push(Finding::at(Code::MboxLoneCr, at, message));
    }
    findings
}

#[cfg(test)]
mod tests {
    use bstr::BString;
    use proptest::prelude::*;

    use super::*;
    use crate::promises;

    /// The parts of mailboxes, and text that resembles them. Random bytes rarely contain one.
    fn part() -> impl Strategy<Value = Vec<u8>> {
        let common = proptest::sample::select(&[
            "From a@b Mon Jan  1 10:00:05 2001",
            "From - Mon Jan  1 10:00:05 2001",
            "From joe at b.example  Mon Jan  1 10:00 EST 2001",
            "Subject: hello",
            "",
            "text",
        ]);
        let odd = proptest::sample::select(&[
            "From ",
            "From -",
            "From a@b",
            "From the beginning to the end",
            ">From a@b Mon Jan  1 10:00:05 2001",
            ">>From there",
            "> >From there",
            "From: a@b",
            "Status: RO",
            " folded",
            "Content-Type: multipart/mixed; boundary=\"x\"",
            "Content-Type: message/rfc822",
            "--x",
            "--x--",
            "\u{1}\u{1}\u{1}\u{1}",
            "\u{1}\u{1}",
            "\u{feff}",
            "\0\0\0",
            "From a@b Mon Jan  1 10:00:05 2001\0\0From c@d",
            "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA",
            "X-IMAPbase: 1 2",
        ]);
        let length = prop_oneof![
            (0u64..60).prop_map(|n| format!("Content-Length: {n}")),
            any::<u64>().prop_map(|n| format!("Content-Length: {n}0")),
            Just("Content-Length: -1".to_owned()),
        ];
        let line = prop_oneof![
            6 => common.prop_map(str::as_bytes).prop_map(<[u8]>::to_vec),
            3 => odd.prop_map(str::as_bytes).prop_map(<[u8]>::to_vec),
            1 => length.prop_map(String::into_bytes),
            1 => proptest::collection::vec(any::<u8>(), 0..8),
        ];
        let eol = proptest::sample::select(&["\n", "\n", "\n", "\n", "\n\n", "\r\n", "\r", ""]);
        (line, eol).prop_map(|(line, eol)| [&line, eol.as_bytes()].concat())
    }

    /// A message with a Content-Length, sometimes a wrong one.
    fn counted() -> impl Strategy<Value = Vec<u8>> {
        let body = proptest::collection::vec(part(), 0..6).prop_map(|parts| parts.concat());
        (body, proptest::sample::select(&[0i64, 0, 0, 1, -1, 7]), any::<bool>()).prop_map(
            |(body, wrong, blank)| {
                let length = body.len() as i64 + wrong;
                let head = format!("From a@b Mon Jan  1 10:00:05 2001\nContent-Length: {length}\nA: 1\n\n");
                [head.as_bytes(), &body, if blank { b"\n" } else { b"" }].concat()
            },
        )
    }

    fn framed() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(part(), 0..6)
            .prop_map(|parts| [b"\x01\x01\x01\x01\n", &parts.concat()[..], b"\x01\x01\x01\x01\n"].concat())
    }

    fn mail_like() -> impl Strategy<Value = BString> {
        let mailbox =
            |stretch| proptest::collection::vec(stretch, 0..6).prop_map(|s: Vec<Vec<u8>>| s.concat());
        let parts = || proptest::collection::vec(part(), 0..12).prop_map(|parts| parts.concat());
        prop_oneof![
            3 => parts(),
            2 => mailbox(prop_oneof![counted(), parts()].boxed()),
            1 => mailbox(prop_oneof![4 => framed(), 1 => parts()].boxed()),
        ]
        .prop_map(BString::from)
    }

    proptest! {
        #[test]
        fn mail_is_divided_and_nothing_is_lost(text in mail_like()) {
            promises::reader(&text);
        }

        #[test]
        fn no_override_loses_a_byte(
            text in mail_like(),
            verdicts in proptest::collection::vec(0usize..3, 0..12),
        ) {
            let options = ReadOptions { allow_empty: true, keep_candidates: true, ..ReadOptions::default() };
            let Ok(mbox) = read(&text, &options, ScanHooks::none()) else { return Ok(()) };
            let mut list = Vec::new();
            for (decided, verdict) in mbox.boundaries.decisions.iter().zip(verdicts) {
                let verdict = ["separator", "doubled", "body"][verdict];
                let line = format!("{}\t1\tDHB\t5\t{verdict}\tFrom\n", decided.candidate.offset);
                list.extend(line.into_bytes());
            }
            list.push(0);
            promises::boundary_list(&[&list[..], &text].concat());
        }
    }

    #[test]
    fn every_kind_of_wrong_extent_breaks_conservation() {
        let text = b"junk\n\nFrom a@b Mon Jan  1 10:00:05 2001\nA: 1\n\nbody\n\n";
        let mbox = || read(text, &ReadOptions::default(), ScanHooks::none()).unwrap();
        assert_eq!(mbox().check_conservation(), Ok(()));
        let breaks: [fn(&mut Boundaries); 6] = [
            |b| b.messages[0].at = 0,
            |b| b.messages[0].start = b.messages[0].at - 1,
            |b| b.messages[0].end = b.messages[0].start - 1,
            |b| b.messages[0].end += 9,
            |b| b.messages.push(b.messages[0]),
            |b| b.junk.push(7..9),
        ];
        for (n, break_it) in breaks.iter().enumerate() {
            let mut broken = mbox();
            break_it(&mut broken.boundaries);
            assert!(broken.check_conservation().is_err(), "{n}");
        }
    }
}
