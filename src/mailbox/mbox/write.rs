//! The bytes of a message in an mbox, for each variant: its From_ line, its header with the fields that
//! an mbox keeps there, its body quoted, and what separates it from the next one.
//!
//! Total over any bytes: what is written is read back as the same message, whatever it begins and ends
//! with (`promises::writer`). The one thing that cannot be said is refused: a line of four ^A in MMDF.

use std::borrow::Cow;

use super::from_line::{self, LineClass};
use super::quote::{self, Quoter, Quoting};
use super::scan::FRAME;
use super::status::{self, Status};
use super::variant::Variant;
use crate::mailbox::message::date;
use crate::mailbox::message::flags::Flags;
use crate::mailbox::message::header;
use crate::mailbox::message::header::Field;

/// A message to write.
#[derive(Debug, Clone, Copy)]
pub struct MboxMessage<'a> {
    /// Its bytes, unquoted.
    pub message: &'a [u8],
    /// What stands above it.
    pub envelope: FromLineSpec<'a>,
    /// Its flags, where a Maildir has them; None: the fields of the header say them already.
    pub status: Option<Status>,
    /// Its keywords, with blanks between them, where the Maildir says them; None: those of the header stay.
    pub keywords: Option<&'a str>,
}

/// The From_ line.
#[derive(Debug, Clone, Copy)]
pub enum FromLineSpec<'a> {
    /// As an mbox had it, line end included. The first of these lines has a date.
    Verbatim(&'a [u8]),
    /// `From SENDER DATE`, the date in UTC.
    Made {
        /// The envelope sender; empty for none, which is written MAILER-DAEMON.
        sender: &'a [u8],
        /// The received date, seconds since 1970.
        epoch: i64,
    },
}

/// What was done to a message beyond what its reader undoes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// It had no final newline and got one.
    pub final_newline: bool,
    /// Lines `From ` in its header that got a `>` for good: readers take none off a header.
    pub header_quotes: u32,
    /// Lines of its body that were quoted already: mboxo and mboxcl cannot tell them from their own.
    pub ambiguous: u32,
    /// Its From_ line stands there twice, since its first line is the continuation of none.
    pub doubled: bool,
}

/// The message has a line of four ^A, which would end its MMDF frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unrepresentable;

/// Appends a message to `out`.
pub fn write(
    variant: Variant,
    letter: &MboxMessage<'_>,
    out: &mut Vec<u8>,
) -> Result<Changes, Unrepresentable> {
    let (split, eol) = (header::split(letter.message), line_ending(letter.message));
    let quoting = variant.quoting();
    let ended = || split.body.len() + missing_line_end(split.body.last(), eol).len();
    let head = MessageHead {
        from_line: letter.envelope,
        header: HeaderEdit::Edited {
            lines: split.header,
            complete: true,
            flag_fields: match letter.status {
                None => FlagFields::AsTheyAre,
                Some(status) => FlagFields::Set { status, keywords: letter.keywords },
            },
            length: has_length(variant)
                .then(|| ended() + quote::offsets_to_quote(split.body, quoting).count()),
            body: Some(split.body),
        },
        eol,
    };
    let before = out.len();
    let written = write_whole(variant, &head, &letter.message[split.header.len()..], out);
    let changes = written.inspect_err(|Unrepresentable| out.truncate(before))?;
    let ambiguous = match quoting {
        Quoting::One => quote::quote_offsets(split.body, quoting).count() as u32,
        Quoting::Any | Quoting::None => 0,
    };
    Ok(Changes { ambiguous, ..changes })
}

fn write_whole(
    variant: Variant,
    head: &MessageHead<'_>,
    rest: &[u8],
    out: &mut Vec<u8>,
) -> Result<Changes, Unrepresentable> {
    let mut writing = MessageWriter::begin(variant, head, out)?;
    writing.push(rest, out)?;
    writing.finish(out)
}

/// What is known of a message before its body, which comes in chunks.
#[derive(Debug, Clone, Copy)]
pub struct MessageHead<'a> {
    /// The From_ line.
    pub from_line: FromLineSpec<'a>,
    /// The header, and what is to be done with it.
    pub header: HeaderEdit<'a>,
    /// How the lines end that are added, see [`line_end`].
    pub eol: &'static [u8],
}

/// The header of a message that comes in chunks.
#[derive(Debug, Clone, Copy)]
pub enum HeaderEdit<'a> {
    /// The fields that an mbox keeps in a header are edited, and only the body is quoted.
    Edited {
        /// The header without the empty line. The chunks go on behind it: with the empty line, or with
        /// nothing where the message has none.
        lines: &'a [u8],
        /// False where `lines` is but the beginning of a header (the name of its first field at least)
        /// that was too long to be held: the chunks go on with the rest of it, which is quoted as a header
        /// is, and not edited.
        complete: bool,
        /// What becomes of the fields that tell its flags.
        flag_fields: FlagFields<'a>,
        /// The value of Content-Length; None: there is to be no such field.
        length: Option<usize>,
        /// The body, where it is at hand: a field Lines stays that tells its number of lines.
        body: Option<&'a [u8]>,
    },
    /// As qmail-local writes: these lines, then the chunks, which are the message from its first byte on.
    /// Each line `>*From ` of them is quoted, in the header too, and nothing else is touched.
    Verbatim(&'a [u8]),
}

/// What becomes of the fields by which an mbox says what was done with a message.
#[derive(Debug, Clone, Copy)]
pub enum FlagFields<'a> {
    /// They say it already, and stay.
    AsTheyAre,
    /// Status and X-Status say this, and X-Keywords the keywords; X-Mozilla-Status, X-Mozilla-Keys and
    /// X-Evolution say the same where they are there. P has no letter: it gets an X-Mozilla-Status. Others stay.
    Set {
        /// The flags.
        status: Status,
        /// The keywords, see [`Letter::keywords`].
        keywords: Option<&'a str>,
    },
    /// The same for a message that comes in: whatever else it says of itself was said by its sender, and goes,
    /// as Dovecot's delivery has it.
    Reset(Status),
}

/// The fields besides Status and X-Status that mail readers keep a message's flags and numbers in. Left out is
/// X-Gmail-Labels, which only Google's export has.
const KEPT_BY_READERS: [&str; 8] = [
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
    /// Of a message that comes in, without a Content-Length: it begins with `start`, which is `whole` or all
    /// that can be held of it, and gets these flags, if any. Says what of `start` is the first chunk.
    pub fn for_delivery(start: &'a [u8], whole: bool, status: Option<Status>) -> (HeaderEdit<'a>, &'a [u8]) {
        let split = header::split(start);
        let complete = whole || split.closed;
        let (lines, body) = (split.header, whole.then_some(split.body));
        let marks = FlagFields::Reset(status.unwrap_or_default());
        (
            HeaderEdit::Edited { lines, complete, flag_fields: marks, length: None, body },
            &start[lines.len()..],
        )
    }
}

/// A message that is written as its chunks come in.
#[derive(Debug)]
pub struct MessageWriter {
    variant: Variant,
    eol: &'static [u8],
    /// While the chunks are still in the header.
    header: Option<HeaderEnd>,
    quoter: Quoter,
    frames: FrameLines,
    /// The last byte of the message; None while there is none.
    last: Option<u8>,
    changes: Changes,
}

impl MessageWriter {
    /// Appends to `out` what stands before the first chunk.
    pub fn begin(
        variant: Variant,
        head: &MessageHead<'_>,
        out: &mut Vec<u8>,
    ) -> Result<MessageWriter, Unrepresentable> {
        let eol = head.eol;
        if variant == Variant::Mmdf {
            out.extend_from_slice(&[FRAME, eol].concat());
        }
        let mut writing = MessageWriter {
            variant,
            eol,
            header: None,
            quoter: Quoter::new(variant.quoting()),
            frames: FrameLines::default(),
            last: None,
            changes: Changes::default(),
        };
        let from_line = from_line(head.from_line, eol);
        match head.header {
            HeaderEdit::Verbatim(lines) => {
                writing.look_at(lines)?;
                for part in [&from_line, lines] {
                    out.extend_from_slice(part);
                }
            }
            HeaderEdit::Edited { lines, complete: true, flag_fields: marks, length, body } => {
                let ended = [lines, missing_line_end(lines.last(), eol)].concat();
                // With that line end the last line may have become the empty one.
                let split = header::split(&ended);
                let fields = Fields { marks, length, body };
                writing.changes.final_newline = ended.len() > lines.len();
                writing.push_header(&from_line, Edited::new(split.header, &fields, eol), &[], out);
                writing.look_at(&ended)?;
                out.extend_from_slice(&ended[split.header.len()..]);
            }
            HeaderEdit::Edited { lines, complete: false, flag_fields: marks, length, body } => {
                // The field in which it is cut off is passed on as it is.
                let cut = lines.len() - header::logical_lines(lines).last().map_or(0, |(last, _)| last.len());
                let (lines, rest) = lines.split_at(cut);
                let fields = Fields { marks, length, body };
                writing.push_header(&from_line, Edited::new(lines, &fields, eol), rest, out);
                writing.look_at(lines)?;
                writing.push(rest, out)?;
            }
        }
        Ok(writing)
    }

    fn push_header(&mut self, from_line: &[u8], mut header: Edited, rest: &[u8], out: &mut Vec<u8>) {
        let doubled = header.place_first_line(rest, self.eol);
        for _ in 0..1 + usize::from(doubled) {
            out.extend_from_slice(from_line);
        }
        for part in [&header.before, &header.kept, &header.after] {
            out.extend_from_slice(part);
        }
        self.changes = Changes { header_quotes: header.quotes, doubled, ..self.changes };
        self.header = Some(HeaderEnd::LineStart);
        self.quoter = Quoter::new(Quoting::One);
    }

    /// Appends a chunk to `out`, as it is to be written.
    pub fn push(&mut self, mut chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unrepresentable> {
        self.look_at(chunk)?;
        if let Some(header) = &mut self.header
            && let Some(end) = header.find(chunk)
        {
            self.quoter.push(&chunk[..end], out);
            chunk = &chunk[end..];
            self.header = None;
            self.quoter = Quoter::new(self.variant.quoting());
        }
        self.quoter.push(chunk, out);
        Ok(())
    }

    /// Appends to `out` what stands behind the last chunk. Says what was changed, but for what only who has
    /// the whole body can know: which lines are ambiguous.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<Changes, Unrepresentable> {
        let mut changes = self.changes;
        self.quoter.finish(out);
        let missing = missing_line_end(self.last.as_ref(), self.eol);
        changes.final_newline |= !missing.is_empty();
        out.extend_from_slice(missing);
        if self.variant == Variant::Mmdf {
            self.frames.finish()?;
            out.extend_from_slice(FRAME);
        }
        out.extend_from_slice(self.eol);
        Ok(changes)
    }

    /// Looks at bytes of the message, in order.
    fn look_at(&mut self, bytes: &[u8]) -> Result<(), Unrepresentable> {
        self.last = bytes.last().copied().or(self.last);
        if self.variant == Variant::Mmdf { self.frames.look_at(bytes) } else { Ok(()) }
    }
}

/// Looks for the empty line in the chunks of a header: what the line at hand is so far.
#[derive(Debug)]
enum HeaderEnd {
    LineStart,
    Cr,
    InLine,
}

impl HeaderEnd {
    /// The offset behind the empty line, if it ends in this chunk.
    fn find(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = chunk.get(at) {
            at += 1;
            *self = match (&*self, byte) {
                (HeaderEnd::LineStart | HeaderEnd::Cr, b'\n') => return Some(at),
                (HeaderEnd::LineStart, b'\r') => HeaderEnd::Cr,
                (HeaderEnd::InLine, b'\n') => HeaderEnd::LineStart,
                _ => {
                    at += memchr::memchr(b'\n', &chunk[at..]).unwrap_or(chunk.len() - at);
                    HeaderEnd::InLine
                }
            };
        }
        None
    }
}

/// Looks for a line of four ^A in the chunks of a message: how many the line at hand has so far, if it has
/// nothing else but blanks behind them. The same as [`boundary::frame_lines`](super::boundary::frame_lines).
#[derive(Debug)]
struct FrameLines(Option<usize>);

impl Default for FrameLines {
    fn default() -> FrameLines {
        FrameLines(Some(0))
    }
}

impl FrameLines {
    fn look_at(&mut self, mut bytes: &[u8]) -> Result<(), Unrepresentable> {
        while let [byte, rest @ ..] = bytes {
            bytes = rest;
            self.0 = match (self.0, byte) {
                (Some(4), b'\n') => return Err(Unrepresentable),
                (_, b'\n') => Some(0),
                (Some(seen @ 0..4), 1) => Some(seen + 1),
                (Some(4), blank) if blank.is_ascii_whitespace() => Some(4),
                _ => {
                    bytes = &rest[memchr::memchr(b'\n', rest).unwrap_or(rest.len())..];
                    None
                }
            };
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Unrepresentable> {
        if self.0 == Some(4) { Err(Unrepresentable) } else { Ok(()) }
    }
}

/// Whether Content-Length says where a message of this variant ends.
fn has_length(variant: Variant) -> bool {
    matches!(variant, Variant::Mboxcl | Variant::Mboxcl2)
}

/// The line end of a message: that of its first line.
pub fn line_ending(message: &[u8]) -> &'static [u8] {
    match memchr::memchr(b'\n', message) {
        Some(lf) if message[..lf].ends_with(b"\r") => b"\r\n",
        _ => b"\n",
    }
}

/// What a text with this last byte lacks at its end; an empty one lacks nothing.
fn missing_line_end(last: Option<&u8>, eol: &'static [u8]) -> &'static [u8] {
    match last {
        None | Some(b'\n') => b"",
        Some(_) => eol,
    }
}

/// The From_ line with its line end. What is in the sender must not break the line: blanks and control
/// characters become `-`, as qmail-local has it.
fn from_line<'a>(envelope: FromLineSpec<'a>, eol: &[u8]) -> Cow<'a, [u8]> {
    let (sender, epoch) = match envelope {
        FromLineSpec::Verbatim(lines) if lines.ends_with(b"\n") => return Cow::Borrowed(lines),
        FromLineSpec::Verbatim(line) => return Cow::Owned([line, eol].concat()),
        FromLineSpec::Made { sender, epoch } => (sender, epoch),
    };
    let mut line = b"From ".to_vec();
    match sender {
        b"" => line.extend_from_slice(b"MAILER-DAEMON"),
        _ => line.extend(sender.iter().map(|&b| if b <= b' ' || b == 127 { b'-' } else { b })),
    }
    line.push(b' ');
    line.extend_from_slice(date::asctime_utc(epoch.clamp(0, LATEST)).as_bytes());
    line.extend_from_slice(eol);
    Cow::Owned(line)
}

/// The last second of the year 9999: a From_ line has room for four digits.
const LATEST: i64 = 253_402_300_799;

/// The envelope sender in a message's first Return-Path: the address without its brackets, empty for
/// that of a bounce; None where there is no such field.
pub fn return_path(header: &[u8]) -> Option<&[u8]> {
    let value = header::fields(header).find(|f| f.is("Return-Path"))?.value;
    let inside = || {
        let open = memchr::memchr(b'<', value)? + 1;
        let close = open + memchr::memchr(b'>', &value[open..])?;
        Some(&value[open..close])
    };
    Some(inside().unwrap_or(value).trim_ascii())
}

/// What the fields are to say that an mbox keeps in the header.
struct Fields<'a> {
    marks: FlagFields<'a>,
    /// The value of Content-Length; None: no such field.
    length: Option<usize>,
    /// Whose number of lines a field Lines may tell.
    body: Option<&'a [u8]>,
}

/// mbox(5) of mutt, UW-IMAP and Dovecot; see [`Said::take`](super::status::Said::take). P has no letter.
fn status_values(status: Status) -> (String, String) {
    let letters = |all: &[(bool, char)]| all.iter().filter(|(set, _)| *set).map(|(_, l)| l).collect();
    let has = |flag| status.flags.has(flag);
    (
        letters(&[(has(Flags::SEEN), 'R'), (status.old, 'O')]),
        letters(&[
            (has(Flags::REPLIED), 'A'),
            (has(Flags::FLAGGED), 'F'),
            (has(Flags::DRAFT), 'T'),
            (has(Flags::TRASHED), 'D'),
        ]),
    )
}

/// A header with its fields edited.
#[derive(Default)]
struct Edited {
    /// Fields that stand before it.
    before: Vec<u8>,
    /// The header, with new fields in the place of old ones and `From ` lines quoted.
    kept: Vec<u8>,
    /// Fields that had no place in it.
    after: Vec<u8>,
    quotes: u32,
}

impl Edited {
    fn new(header: &[u8], fields: &Fields<'_>, eol: &[u8]) -> Edited {
        let mut out = Edited { kept: Vec::with_capacity(header.len() + 80), ..Edited::default() };
        let (now, keywords, is_new) = match fields.marks {
            FlagFields::AsTheyAre => (None, None, false),
            FlagFields::Set { status, keywords } => (Some(status), keywords, false),
            FlagFields::Reset(status) => (Some(status), None, true),
        };
        // Empty: no such field.
        let (status, x_status) = now.map(status_values).unzip();
        let passed = now.filter(|now| now.flags.has(Flags::PASSED));
        let mut passed = passed.map(|now| status::mozilla_status(now.flags));
        // A Content-Length that is not ours may not stay even where it fits: with enough of them a file
        // of quoted lines looks like one whose lengths say where a message ends.
        let mut ours = [
            ("Status", status),
            ("X-Status", x_status),
            ("X-Keywords", keywords.map(str::to_owned)),
            ("Content-Length", Some(fields.length.map(|n| n.to_string()).unwrap_or_default())),
        ];
        // Once for the whole header: most have none.
        let has_from = quote::offsets_to_quote(header, Quoting::One).next().is_some();
        for (lines, field) in header::logical_lines(header) {
            let set = field.and_then(|f| ours.iter_mut().find(|(name, value)| value.is_some() && f.is(name)));
            match (set, field) {
                (Some((name, value)), _) => {
                    push_field(name, value.replace(String::new()), eol, &mut out.kept)
                }
                (None, Some(field)) if is_new && KEPT_BY_READERS.iter().any(|name| field.is(name)) => {}
                (None, Some(field)) if has_bits(&field, now) => {
                    let value = now.and_then(|now| status::update_field(&field, now.flags));
                    let name = String::from_utf8_lossy(field.name);
                    passed = passed.filter(|_| !field.is("X-Mozilla-Status"));
                    push_field(&name, value, eol, &mut out.kept);
                }
                (None, Some(field)) if keywords.is_some() && field.is("X-Mozilla-Keys") => {
                    push_field("X-Mozilla-Keys", keywords.map(str::to_owned), eol, &mut out.kept);
                }
                (None, Some(field)) if field.is("Lines") && !says_lines(&field, fields.body) => {}
                _ if has_from => out.keep(lines, fields.length.is_some()),
                _ => out.kept.extend_from_slice(lines),
            }
        }
        for (name, value) in ours {
            push_field(name, value, eol, &mut out.after);
        }
        push_field("X-Mozilla-Status", passed, eol, &mut out.after);
        out
    }

    /// Keeps a field. A line of it that begins `From ` is quoted, since readers split there, and for
    /// good, since they take no `>` off a header. Spared is a field `From :`, which is no less a sender
    /// for its blank and which our reader takes for nothing else (where it has no length to look for).
    fn keep(&mut self, lines: &[u8], has_length: bool) {
        let at: Vec<usize> = quote::offsets_to_quote(lines, Quoting::One)
            .filter(|&at| {
                let line = &lines[at..];
                let end = memchr::memchr(b'\n', line).map_or(line.len(), |lf| lf + 1);
                let spared =
                    header::is_field_line(line) && from_line::parse(&line[..end]).class != LineClass::Dated;
                has_length || at > 0 || !spared
            })
            .collect();
        self.quotes += at.len() as u32;
        quote::push_quoted(lines, at, &mut self.kept);
    }

    /// Behind a From_ line a reader wants a header field. Where the message does not begin with one, the
    /// fields that would follow come first; an empty one where there are none. Where it begins with a
    /// continuation line it would continue these: then the From_ line is to stand there twice, which is
    /// as good as a field. Says whether. `rest` is the line that follows without being edited.
    fn place_first_line(&mut self, rest: &[u8], eol: &[u8]) -> bool {
        let first = if self.kept.is_empty() { rest } else { &self.kept };
        let first = match first {
            [] => return false,
            [b' ' | b'\t', ..] => return true,
            first => first,
        };
        let quoted = first.starts_with(b">From ");
        if !quoted && (!header::is_field_line(first) || first.starts_with(b"From ")) {
            self.before = std::mem::take(&mut self.after);
            if self.before.is_empty() {
                self.before = [b"X-Status: ", eol].concat();
            }
        }
        false
    }
}

/// Whether a field says flags in a way that is to be brought up to date.
fn has_bits(field: &Field<'_>, now: Option<Status>) -> bool {
    now.is_some_and(|now| status::update_field(field, now.flags).is_some())
}

fn says_lines(field: &Field<'_>, body: Option<&[u8]>) -> bool {
    let number = body.map(|body| memchr::memchr_iter(b'\n', body).count());
    let said = std::str::from_utf8(field.value.trim_ascii()).ok().and_then(|value| value.parse().ok());
    number.is_some() && said == number
}

/// A field, if it has a value.
fn push_field(name: &str, value: Option<String>, eol: &[u8], out: &mut Vec<u8>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        out.extend_from_slice(format!("{name}: {value}").as_bytes());
        out.extend_from_slice(eol);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ENVELOPE: FromLineSpec<'static> = FromLineSpec::Made { sender: b"a@b", epoch: 978_343_205 };
    const FROM: &str = "From a@b Mon Jan  1 10:00:05 2001\n";

    fn written_as(variant: Variant, message: &str, letters: &str, old: bool) -> String {
        let status = Some(Status { flags: Flags::parse(letters.as_bytes()), old });
        let letter = MboxMessage { message: message.as_bytes(), envelope: ENVELOPE, status, keywords: None };
        let mut out = Vec::new();
        write(variant, &letter, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[track_caller]
    fn is_written(message: &str, letters: &str, expected: &str) {
        let written = written_as(Variant::Mboxrd, message, letters, !letters.is_empty());
        assert_eq!(written, format!("{FROM}{expected}\n"));
    }

    #[test]
    fn flags_replace_old_ones_in_their_place_or_stand_at_the_end_of_the_header() {
        is_written("A: 1\n\nx\n", "", "A: 1\n\nx\n");
        is_written("A: 1\n\nx\n", "RS", "A: 1\nStatus: RO\nX-Status: A\n\nx\n");
        is_written(
            "status : O\n more\nA: 1\nX-Status: D\nStatus: R\n\n",
            "DFS",
            "Status: RO\nA: 1\nX-Status: FT\n\n",
        );
        is_written("Status: RO\nX-Status: F\nX-UID: 7\n\n", "", "X-UID: 7\n\n");
        is_written("A: 1\n", "T", "A: 1\nStatus: O\nX-Status: D\n");
        is_written("", "S", "Status: RO\n");
    }

    #[test]
    fn fields_of_other_mailers_say_the_same() {
        is_written(
            "X-Mozilla-Status: 0001\nx-evolution: 00000007-0030\nX-Mozilla-Status2: 00200000\n\n",
            "F",
            "X-Mozilla-Status: 0004\nx-evolution: 00000007-0028\nX-Mozilla-Status2: 00000000\n\
             Status: O\nX-Status: F\n\n",
        );
        is_written("A: 1\n\n", "PS", "A: 1\nStatus: RO\nX-Mozilla-Status: 1001\n\n");
        is_written("X-Mozilla-Status: 0001\n\n", "P", "X-Mozilla-Status: 1000\nStatus: O\n\n");
        let with_keywords = |message: &str, keywords| {
            let status = Some(Status::default());
            let letter = MboxMessage { message: message.as_bytes(), envelope: ENVELOPE, status, keywords };
            let mut out = Vec::new();
            write(Variant::Mboxrd, &letter, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        for (message, keywords, expected) in [
            ("A: 1\n\n", Some("Work Play"), "A: 1\nX-Keywords: Work Play\n\n"),
            ("X-Keywords: old  \nA: 1\n\n", Some("Work"), "X-Keywords: Work\nA: 1\n\n"),
            ("X-Mozilla-Keys: old\n\n", Some("Work"), "X-Mozilla-Keys: Work\nX-Keywords: Work\n\n"),
            ("X-Keywords: old\nX-Mozilla-Keys: old\nA: 1\n\n", Some(""), "A: 1\n\n"),
            ("X-Keywords: old\nX-Mozilla-Keys: old\n\n", None, "X-Keywords: old\nX-Mozilla-Keys: old\n\n"),
        ] {
            assert_eq!(with_keywords(message, keywords), format!("{FROM}{expected}\n"));
        }
    }

    #[test]
    fn from_lines_are_quoted_as_the_variant_has_it_and_in_headers_for_good() {
        let message = "A: 1\nFrom b\n\nFrom c\n>From d\n>>From e\n\0From f\nx From g\n";
        let header = format!("{FROM}A: 1\n>From b\n");
        let body = |c: &str, d: &str, e: &str, f: &str| {
            format!("\n{c}From c\n{d}>From d\n{e}>>From e\n\0{f}From f\nx From g\n\n")
        };
        for (variant, length, body) in [
            (Variant::Mboxrd, "", body(">", ">", ">", ">")),
            (Variant::Mboxo, "", body(">", "", "", ">")),
            (Variant::Mboxcl, "Content-Length: 43\n", body(">", "", "", ">")),
            (Variant::Mboxcl2, "Content-Length: 41\n", body("", "", "", "")),
        ] {
            assert_eq!(written_as(variant, message, "", false), format!("{header}{length}{body}"));
        }
    }

    #[test]
    fn lengths_that_no_longer_fit_go() {
        let message = "Content-Length: 99\nLines: 1\nA: 1\nlines: 7\ncontent-length:2\n\nx\n";
        is_written(message, "", "Lines: 1\nA: 1\n\nx\n");
        let written = written_as(Variant::Mboxcl2, message, "", false);
        assert_eq!(written, format!("{FROM}Content-Length: 2\nLines: 1\nA: 1\n\nx\n\n"));
    }

    #[test]
    fn a_message_that_begins_with_no_field_gets_one_or_its_from_line_twice() {
        is_written("hello\n\nx\n", "S", "Status: RO\nhello\n\nx\n");
        is_written("hello\n", "", "X-Status: \nhello\n");
        is_written(" folded\n\n", "S", &format!("{FROM} folded\nStatus: RO\n\n"));
        is_written("From : a@b\n\n", "S", "Status: RO\nFrom : a@b\n\n");
        is_written(
            "A: 1\nFrom  :a@b\nFrom : Mon Jan  1 10:00:05 2001\n\n",
            "",
            "A: 1\nFrom  :a@b\n>From : Mon Jan  1 10:00:05 2001\n\n",
        );
        is_written("\nx\n", "", "\nx\n");
    }

    #[test]
    fn line_ends_are_those_of_the_message_and_mmdf_has_frames() {
        let crlf = written_as(Variant::Mboxrd, "A: 1\r\n\r\nx", "S", true);
        assert_eq!(crlf, format!("{FROM}A: 1\nStatus: RO\n\nx\n\n").replace('\n', "\r\n"));
        let mmdf = written_as(Variant::Mmdf, "A: 1\n\nFrom x", "", false);
        assert_eq!(mmdf, format!("\x01\x01\x01\x01\n{FROM}A: 1\n\nFrom x\n\x01\x01\x01\x01\n"));
        let framed = MboxMessage {
            message: b"A: 1\n\n\x01\x01\x01\x01 ",
            envelope: ENVELOPE,
            status: None,
            keywords: None,
        };
        assert_eq!(write(Variant::Mmdf, &framed, &mut Vec::new()), Err(Unrepresentable));
    }

    #[test]
    fn a_sender_cannot_break_its_line() {
        for (sender, shown) in [("", "MAILER-DAEMON"), ("a b\n@c\0", "a-b-@c-"), ("ä@c", "ä@c")] {
            let envelope = FromLineSpec::Made { sender: sender.as_bytes(), epoch: -5 };
            let line = from_line(envelope, b"\n").into_owned();
            assert_eq!(String::from_utf8(line).unwrap(), format!("From {shown} Thu Jan  1 00:00:00 1970\n"));
        }
        assert_eq!(return_path(b"A: 1\nreturn-path : <a@b> (x)\n"), Some(&b"a@b"[..]));
        assert_eq!(return_path(b"Return-Path:\n a@b\n"), Some(&b"a@b"[..]));
        assert_eq!(return_path(b"Return-Path: <>\n"), Some(&b""[..]));
        assert_eq!(return_path(b"A: 1\n"), None);
    }

    /// Of what is confused with the parts of an mbox; a byte 255 ends a message, as the promise has it.
    fn messages() -> impl Strategy<Value = Vec<u8>> {
        let words = proptest::sample::select(&[
            "From ",
            "From : x",
            "From a@b Mon Jan  1 10:00:05 2001",
            ">",
            "\n",
            "\n",
            "\n\n",
            "\r\n",
            "\r",
            "\0",
            " folded",
            "\t",
            "A: 1\n",
            "Status: RO\n",
            "X-Status: F\n",
            "Content-Length: 4\n",
            "Lines: 1\n",
            "Content-Length",
            "Content-Type: multipart/mixed; boundary=x\n",
            "Content-Type: message/rfc822\n",
            "--x\n",
            "--x--\n",
            "\u{1}\u{1}\u{1}\u{1}",
            "text",
            "Return-Path: <c d>\n",
        ]);
        let word = prop_oneof![
            12 => words.prop_map(|word| word.as_bytes().to_vec()),
            3 => Just(vec![255]),
            1 => proptest::collection::vec(any::<u8>(), 0..4),
        ];
        proptest::collection::vec(word, 0..40).prop_map(|words| words.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn what_is_written_is_read_back(data in messages()) {
            crate::promises::writer(&data);
        }

        #[test]
        fn a_message_in_chunks_is_written_like_the_whole(
            message in messages(),
            cuts in proptest::collection::vec(0usize..24, 0..20),
        ) {
            crate::promises::writer_in_chunks(&message, &cuts);
        }
    }
}
