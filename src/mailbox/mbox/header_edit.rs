//! The header of a message in an mbox: flags, keywords and lengths are written into its fields.

use super::lines::begins_from_line;
use super::{Quoting, quote};
use crate::mailbox::message::{Field, Flags, Status, header, status};

/// The header of a message, and how it is written. The body, or the whole message, follows in chunks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum HeaderEdit<'a> {
    /// The fields that an mbox keeps in the header are edited, and only the body is quoted.
    Rewrite {
        /// The header without the empty line. The chunks continue after it: with the empty line, if any.
        lines: &'a [u8],
        /// False where `lines` is only the beginning of a header that is too long for memory (at least the name
        /// of its first field). The chunks continue with the rest of the header, which is quoted and not edited.
        complete: bool,
        flag_fields: FlagFields<'a>,
        uids: UidFields<'a>,
        /// The value of Content-Length. By default there is no such field.
        length: Option<usize>,
        /// A field Lines stays if its number of lines is right.
        body: BodyLines<'a>,
    },
    /// As qmail-local writes: these lines, then the chunks, which begin with the first byte of the message.
    /// Each line `>*From ` of the chunks is quoted, in the header too. Nothing else changes.
    Verbatim(&'a [u8]),
}

/// The lines of a body.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BodyLines<'a> {
    Unknown,
    Of(&'a [u8]),
    Count(usize),
}

/// The treatment of the fields that contain flags and keywords.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FlagFields<'a> {
    /// They stay unchanged.
    Keep,
    /// Status and X-Status get the flags, and X-Keywords the keywords. X-Mozilla-Status, X-Mozilla-Keys and
    /// X-Evolution are updated where they exist. P has no letter, so it adds an X-Mozilla-Status. Next to
    /// fields of KMail, X-Status gets KMail's letters. Other fields stay.
    Set {
        status: Status,
        /// See [`MboxMessage::keywords`](super::write::MboxMessage::keywords).
        keywords: Option<&'a str>,
    },
    /// As `Set`, for a delivery: all other such fields come from the sender, and are removed. Dovecot does the
    /// same.
    Reset(Status),
}

/// The treatment of the fields that contain UIDs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum UidFields<'a> {
    /// They stay unchanged.
    #[default]
    Keep,
    /// The header has these and no other. The base is in the first message only, and comes first: Dovecot and
    /// UW-IMAP ignore an X-UID before it.
    Set {
        /// The value of X-IMAPbase.
        base: Option<&'a str>,
        uid: Option<u32>,
    },
}

const UID_FIELDS: [&str; 3] = ["X-UID", "X-IMAP", "X-IMAPbase"];

/// The fields besides Status and X-Status in which mail readers keep flags and numbers. X-Gmail-Labels is not
/// among them: only an export of Google has it.
const READER_FIELDS: [&str; 8] = [
    "X-UID",
    "X-IMAP",
    "X-IMAPbase",
    "X-Keywords",
    "X-Mozilla-Status",
    "X-Mozilla-Status2",
    "X-Mozilla-Keys",
    "X-Evolution",
];

impl<'a> HeaderEdit<'a> {
    /// Prepares the header of a delivery, without a Content-Length. `start` is the `whole` message, or as much of
    /// it as fits into memory. Also returns the part of `start` that is the first chunk.
    pub(crate) fn for_delivery(
        start: &'a [u8],
        whole: bool,
        status: Option<Status>,
    ) -> (HeaderEdit<'a>, &'a [u8]) {
        let split = header::split(start);
        let complete = whole || split.closed;
        let (lines, body) =
            (split.header, if whole { BodyLines::Of(split.body) } else { BodyLines::Unknown });
        let flag_fields = FlagFields::Reset(status.unwrap_or_default());
        let uids = UidFields::Keep;
        (
            HeaderEdit::Rewrite { lines, complete, flag_fields, uids, length: None, body },
            &start[lines.len()..],
        )
    }
}

/// The new values of the fields, see [`HeaderEdit::Rewrite`].
pub(super) struct FieldValues<'a> {
    pub(super) flag_fields: FlagFields<'a>,
    pub(super) uids: UidFields<'a>,
    pub(super) length: Option<usize>,
    pub(super) body: BodyLines<'a>,
}

/// A header with edited fields.
#[derive(Default)]
pub(super) struct EditedHeader {
    /// Fields to write before it.
    pub(super) before: Vec<u8>,
    /// The header, with new fields in place of old ones and quoted `From ` lines.
    pub(super) lines: Vec<u8>,
    /// New fields that replace none.
    pub(super) after: Vec<u8>,
    pub(super) quotes: u32,
    /// The fields with UIDs are among the lines.
    has_uids: bool,
}

impl EditedHeader {
    pub(super) fn new(header: &[u8], fields: &FieldValues<'_>, eol: &[u8]) -> EditedHeader {
        let mut out =
            EditedHeader { lines: Vec::with_capacity(header.len() + 80), ..EditedHeader::default() };
        let (now, keywords, is_new) = match fields.flag_fields {
            FlagFields::Keep => (None, None, false),
            FlagFields::Set { status, keywords } => (Some(status), keywords, false),
            FlagFields::Reset(status) => (Some(status), None, true),
        };
        // A header with KMail's fields is read with KMail's letters.
        let is_kmail = now.is_some() && header::fields(header).any(|field| status::is_kmail_field(&field));
        // An empty value removes the field.
        let (status, x_status) =
            now.map(|now| (status::status(now), status::x_status(now, is_kmail))).unzip();
        // X-Status has no letter for P, and KMail's has none for D.
        let passed = now.filter(|now| now.flags.has(Flags::PASSED) && !is_kmail);
        let mut passed = passed.map(|now| status::mozilla_status(now.flags));
        let draft = now.filter(|now| now.flags.has(Flags::DRAFT) && is_kmail);
        let mut draft = draft.map(|now| status::evolution_status(now.flags));
        // An old Content-Length is removed even if it is right: with enough of them a file of quoted lines looks
        // like one whose lengths mark the ends of messages.
        let mut new_fields = [
            ("Status", status),
            ("X-Status", x_status),
            ("X-Keywords", keywords.map(str::to_owned)),
            ("Content-Length", Some(fields.length.map(|n| n.to_string()).unwrap_or_default())),
        ];
        let has_uids = matches!(fields.uids, UidFields::Set { .. });
        // Searched once, since most headers have none.
        let has_from = quote::offsets_to_quote(header, Quoting::One).next().is_some();
        for (lines, field) in header::logical_lines(header) {
            let has_status = |field: &Field<'_>| new_fields.iter().any(|(name, _)| field.is(name));
            if has_uids && !out.has_uids && field.as_ref().is_some_and(has_status) {
                out.push_uids(fields.uids, eol);
            }
            let set =
                field.and_then(|f| new_fields.iter_mut().find(|(name, value)| value.is_some() && f.is(name)));
            match (set, field) {
                (Some((name, value)), _) => {
                    push_field(name, value.replace(String::new()), eol, &mut out.lines)
                }
                (None, Some(field)) if has_uids && UID_FIELDS.iter().any(|name| field.is(name)) => {}
                (None, Some(field)) if is_new && READER_FIELDS.iter().any(|name| field.is(name)) => {}
                (None, Some(field)) if has_bits(&field, now) => {
                    let value = now.and_then(|now| status::update_field(&field, now.flags));
                    let name = String::from_utf8_lossy(field.name);
                    passed = passed.filter(|_| !field.is("X-Mozilla-Status"));
                    draft = draft.filter(|_| !field.is("X-Evolution"));
                    push_field(&name, value, eol, &mut out.lines);
                }
                (None, Some(field)) if keywords.is_some() && field.is("X-Mozilla-Keys") => {
                    push_field("X-Mozilla-Keys", keywords.map(str::to_owned), eol, &mut out.lines);
                }
                (None, Some(field)) if field.is("Lines") && !has_line_count(&field, fields.body) => {}
                _ if has_from => out.copy(lines),
                _ => out.lines.extend_from_slice(lines),
            }
        }
        if has_uids && !out.has_uids {
            out.after = uid_lines(fields.uids, eol);
        }
        for (name, value) in new_fields {
            push_field(name, value, eol, &mut out.after);
        }
        push_field("X-Mozilla-Status", passed, eol, &mut out.after);
        push_field("X-Evolution", draft, eol, &mut out.after);
        out
    }

    /// Writes the fields with UIDs before the others that servers write: Dovecot removes an X-Keywords whose keywords
    /// X-IMAPbase has not listed yet.
    fn push_uids(&mut self, uids: UidFields<'_>, eol: &[u8]) {
        self.lines.extend(uid_lines(uids, eol));
        self.has_uids = true;
    }

    /// Copies a field. A line in it that begins with `From ` is quoted, since readers split there. That is
    /// permanent: readers remove no `>` from a header. A field `From :` is not such a line.
    fn copy(&mut self, lines: &[u8]) {
        let at: Vec<usize> = quote::offsets_to_quote(lines, Quoting::One)
            .filter(|&at| begins_from_line(&lines[at..]))
            .collect();
        self.quotes += at.len() as u32;
        quote::push_quoted(lines, at, &mut self.lines);
    }

    /// Makes sure that a header field follows the From_ line, as readers expect.
    ///
    /// Where the header does not begin with a field, the new fields are written first, or an empty one. Where it
    /// begins with a continuation line, that would continue them. Returns true then: the From_ line must be
    /// written twice, which counts as a field. `rest` is the line that follows unedited.
    pub(super) fn place_first_line(&mut self, rest: &[u8], eol: &[u8]) -> bool {
        let first = if self.lines.is_empty() { rest } else { &self.lines };
        let first = match first {
            [] => return false,
            [b' ' | b'\t', ..] => return true,
            first => first,
        };
        let quoted = first.starts_with(b">From ");
        if !quoted && !header::is_field_line(first) {
            self.before = std::mem::take(&mut self.after);
            if self.before.is_empty() {
                self.before = [b"X-Status: ", eol].concat();
            }
        }
        false
    }
}

fn uid_lines(uids: UidFields<'_>, eol: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    if let UidFields::Set { base, uid } = uids {
        push_field("X-IMAPbase", base.map(str::to_owned), eol, &mut lines);
        push_field("X-UID", uid.map(|uid| uid.to_string()), eol, &mut lines);
    }
    lines
}

/// Reports whether a field contains flags as bits.
fn has_bits(field: &Field<'_>, now: Option<Status>) -> bool {
    now.is_some_and(|now| status::update_field(field, now.flags).is_some())
}

fn has_line_count(field: &Field<'_>, body: BodyLines<'_>) -> bool {
    let number = match body {
        BodyLines::Unknown => None,
        BodyLines::Of(body) => Some(memchr::memchr_iter(b'\n', body).count()),
        BodyLines::Count(lines) => Some(lines),
    };
    let value = std::str::from_utf8(field.value.trim_ascii()).ok().and_then(|value| value.parse().ok());
    number.is_some() && value == number
}

/// Writes a field, if it has a value.
fn push_field(name: &str, value: Option<String>, eol: &[u8], out: &mut Vec<u8>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        out.extend_from_slice(format!("{name}: {value}").as_bytes());
        out.extend_from_slice(eol);
    }
}
