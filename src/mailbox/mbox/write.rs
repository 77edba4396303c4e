//! Writing a message into an mbox: its From_ line, its header, its quoted body, and the separator after it.
//!
//! Any message is written, and read back as the same message (`promises::writer`). The exception is a message
//! with a line of four ^A, which MMDF cannot represent.

use std::borrow::Cow;

pub(crate) use super::chunk_scan::Unrepresentable;

use super::chunk_scan::{FrameLines, HeaderEnd, QuotedLines};
use super::header_edit::{EditedHeader, FieldValues};
use super::lines::FRAME;
use super::quote::{self, Quoter};
use super::{Quoting, Variant};
use crate::mailbox::Result;
use crate::mailbox::message::{Status, header};

pub(crate) use super::from_line::FromLineSpec;
pub(crate) use super::header_edit::{BodyLines, FlagFields, HeaderEdit, UidFields};

/// A message to write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MboxMessage<'a> {
    /// The unquoted bytes.
    pub message: &'a [u8],
    pub from_line: FromLineSpec<'a>,
    /// The flags in a Maildir. By default the fields of the header stay.
    pub status: Option<Status>,
    /// The keywords in a Maildir, separated by blanks. By default those of the header stay.
    pub keywords: Option<&'a str>,
    pub uids: UidFields<'a>,
}

impl<'a> MboxMessage<'a> {
    fn flag_fields(&self) -> FlagFields<'a> {
        match self.status {
            None => FlagFields::Keep,
            Some(status) => FlagFields::Set { status, keywords: self.keywords },
        }
    }
}

/// The changes to a message that a reader does not undo.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// A final newline was added.
    pub final_newline: bool,
    /// The number of `From ` lines in its header that got a `>`. Readers remove none from a header.
    pub header_quotes: u32,
    /// The number of lines in its body that were already quoted. Readers of mboxo and mboxcl unquote them, too.
    pub ambiguous: u32,
    /// The From_ line was written twice, since the message begins with a continuation line.
    pub doubled: bool,
}

/// Appends a message to `out`.
pub(crate) fn write(
    variant: Variant,
    message: &MboxMessage<'_>,
    out: &mut Vec<u8>,
) -> Result<Changes, Unrepresentable> {
    let (split, eol) = (header::split(message.message), line_ending(message.message));
    let quoting = variant.quoting();
    let ended = || split.body.len() + missing_line_end(split.body.last(), eol).len();
    let head = MessageHead {
        from_line: message.from_line,
        header: HeaderEdit::Rewrite {
            lines: split.header,
            complete: true,
            flag_fields: message.flag_fields(),
            uids: message.uids,
            length: has_length(variant)
                .then(|| ended() + quote::offsets_to_quote(split.body, quoting).count()),
            body: BodyLines::Of(split.body),
        },
        eol,
    };
    let before = out.len();
    let written = write_whole(variant, &head, &message.message[split.header.len()..], out);
    let changes = written.inspect_err(|Unrepresentable| out.truncate(before))?;
    let ambiguous = match quoting {
        Quoting::One => quote::quote_offsets(split.body, quoting).count() as u32,
        Quoting::Any | Quoting::None => 0,
    };
    Ok(Changes { ambiguous, ..changes })
}

/// Passes on chunks of bytes, in order.
pub(crate) type ChunkSink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// How much of a large message is in memory, besides a chunk. A longer header is copied without new fields.
pub(crate) const HEAD: usize = 1 << 20;

/// Writes a message that is too large for the memory. `message` has only its first part, of [`HEAD`] bytes.
/// `for_each` passes on all of it, and is called twice.
pub(crate) fn write_large(
    variant: Variant,
    message: &MboxMessage<'_>,
    for_each: &dyn Fn(ChunkSink<'_>) -> Result<()>,
    put: ChunkSink<'_>,
) -> Result<Result<Changes, Unrepresentable>> {
    let (split, eol) = (header::split(message.message), line_ending(message.message));
    let body_at = split.body_at(message.message);
    let mut body = BodyCounts::new(variant);
    after(body_at, for_each, &mut |chunk| {
        body.push(chunk);
        Ok(())
    })?;
    let (lines, ambiguous) = (body.lines, body.quoted.count());
    let length = body.finish(eol);
    let head = MessageHead {
        from_line: message.from_line,
        header: HeaderEdit::Rewrite {
            lines: split.header,
            complete: split.closed,
            flag_fields: message.flag_fields(),
            uids: message.uids,
            length: (has_length(variant) && split.closed).then_some(length),
            body: if split.closed { BodyLines::Count(lines) } else { BodyLines::Unknown },
        },
        eol,
    };
    let mut out = Vec::new();
    let Ok(mut writer) = MessageWriter::begin(variant, &head, &mut out) else {
        return Ok(Err(Unrepresentable));
    };
    let mut written = Ok(());
    after(split.header.len(), for_each, &mut |chunk| {
        if written.is_ok() {
            written = writer.push(chunk, &mut out);
            put(&out)?;
            out.clear();
        }
        Ok(())
    })?;
    let changes = written.and_then(|()| writer.finish(&mut out));
    put(&out)?;
    let ambiguous = if variant.quoting() == Quoting::One { ambiguous } else { 0 };
    Ok(changes.map(|changes| Changes { ambiguous, ..changes }))
}

/// Passes on the bytes after the first `skipped` ones.
fn after(
    mut skipped: usize,
    for_each: &dyn Fn(ChunkSink<'_>) -> Result<()>,
    put: ChunkSink<'_>,
) -> Result<()> {
    for_each(&mut |chunk| {
        let skip = skipped.min(chunk.len());
        skipped -= skip;
        put(&chunk[skip..])
    })
}

/// Counts in the body of a large message.
struct BodyCounts {
    quoter: Quoter,
    quoted: QuotedLines,
    /// The bytes when it is quoted.
    length: usize,
    lines: usize,
    last: Option<u8>,
    out: Vec<u8>,
}

impl BodyCounts {
    fn new(variant: Variant) -> BodyCounts {
        let quoter = Quoter::new(variant.quoting());
        BodyCounts {
            quoter,
            quoted: QuotedLines::default(),
            length: 0,
            lines: 0,
            last: None,
            out: Vec::new(),
        }
    }

    fn push(&mut self, chunk: &[u8]) {
        self.quoter.push(chunk, &mut self.out);
        self.length += self.out.len();
        self.out.clear();
        self.quoted.push(chunk);
        self.lines += memchr::memchr_iter(b'\n', chunk).count();
        self.last = chunk.last().copied().or(self.last);
    }

    /// Returns the length of the body with its last line end.
    fn finish(mut self, eol: &'static [u8]) -> usize {
        self.quoter.finish(&mut self.out);
        self.length + self.out.len() + missing_line_end(self.last.as_ref(), eol).len()
    }
}

fn write_whole(
    variant: Variant,
    head: &MessageHead<'_>,
    rest: &[u8],
    out: &mut Vec<u8>,
) -> Result<Changes, Unrepresentable> {
    let mut writer = MessageWriter::begin(variant, head, out)?;
    writer.push(rest, out)?;
    writer.finish(out)
}

/// The part of a message before its chunks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageHead<'a> {
    pub from_line: FromLineSpec<'a>,
    pub header: HeaderEdit<'a>,
    /// The line end of added lines, see [`line_ending`].
    pub eol: &'static [u8],
}

/// Writes a message whose body comes in chunks.
#[derive(Debug)]
pub(crate) struct MessageWriter {
    variant: Variant,
    eol: &'static [u8],
    /// Set while the chunks are in the header.
    header: Option<HeaderEnd>,
    quoter: Quoter,
    frames: FrameLines,
    /// The last byte of the message so far.
    last: Option<u8>,
    changes: Changes,
}

impl MessageWriter {
    /// Appends the part before the first chunk to `out`.
    pub(crate) fn begin(
        variant: Variant,
        head: &MessageHead<'_>,
        out: &mut Vec<u8>,
    ) -> Result<MessageWriter, Unrepresentable> {
        let eol = head.eol;
        if variant == Variant::Mmdf {
            out.extend_from_slice(&[FRAME, eol].concat());
        }
        let mut writer = MessageWriter {
            variant,
            eol,
            header: None,
            quoter: Quoter::new(variant.quoting()),
            frames: FrameLines::default(),
            last: None,
            changes: Changes::default(),
        };
        let from_line = head.from_line.render(eol);
        match head.header {
            HeaderEdit::Verbatim(lines) => {
                writer.scan(lines)?;
                for part in [&from_line, lines] {
                    out.extend_from_slice(part);
                }
            }
            HeaderEdit::Rewrite { lines, complete: true, flag_fields, uids, length, body } => {
                let missing = missing_line_end(lines.last(), eol);
                let ended: Cow<'_, [u8]> = match missing.is_empty() {
                    true => lines.into(),
                    false => [lines, missing].concat().into(),
                };
                // With that line end the last line may be the empty line.
                let split = header::split(&ended);
                let fields = FieldValues { flag_fields, uids, length, body };
                writer.changes.final_newline = !missing.is_empty();
                writer.push_header(&from_line, EditedHeader::new(split.header, &fields, eol), &[], out);
                writer.scan(&ended)?;
                out.extend_from_slice(&ended[split.header.len()..]);
            }
            HeaderEdit::Rewrite { lines, complete: false, flag_fields, uids, length, body } => {
                // The incomplete last field is copied unedited.
                let cut = lines.len() - header::logical_lines(lines).last().map_or(0, |(last, _)| last.len());
                let (lines, rest) = lines.split_at(cut);
                let fields = FieldValues { flag_fields, uids, length, body };
                writer.push_header(&from_line, EditedHeader::new(lines, &fields, eol), rest, out);
                writer.scan(lines)?;
                writer.push(rest, out)?;
            }
        }
        Ok(writer)
    }

    fn push_header(&mut self, from_line: &[u8], mut header: EditedHeader, rest: &[u8], out: &mut Vec<u8>) {
        let doubled = header.place_first_line(rest, self.eol);
        for _ in 0..1 + usize::from(doubled) {
            out.extend_from_slice(from_line);
        }
        for part in [&header.before, &header.lines, &header.after] {
            out.extend_from_slice(part);
        }
        self.changes = Changes { header_quotes: header.quotes, doubled, ..self.changes };
        self.header = Some(HeaderEnd::LineStart);
        self.quoter = Quoter::new(Quoting::One);
    }

    /// Appends a chunk to `out`, quoted.
    pub(crate) fn push(&mut self, mut chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unrepresentable> {
        self.scan(chunk)?;
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

    /// Appends the part after the last chunk to `out`. [`Changes::ambiguous`] is not counted: that takes the whole
    /// body.
    pub(crate) fn finish(self, out: &mut Vec<u8>) -> Result<Changes, Unrepresentable> {
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

    /// Scans the next bytes of the message.
    fn scan(&mut self, bytes: &[u8]) -> Result<(), Unrepresentable> {
        self.last = bytes.last().copied().or(self.last);
        if self.variant == Variant::Mmdf { self.frames.push(bytes) } else { Ok(()) }
    }
}

/// Reports whether messages of this variant have a Content-Length.
fn has_length(variant: Variant) -> bool {
    matches!(variant, Variant::Mboxcl | Variant::Mboxcl2)
}

/// Returns the line end of a message: that of its first line.
pub(crate) fn line_ending(message: &[u8]) -> &'static [u8] {
    match memchr::memchr(b'\n', message) {
        Some(lf) if message[..lf].ends_with(b"\r") => b"\r\n",
        _ => b"\n",
    }
}

/// Returns the line end that a text with this last byte lacks. An empty text lacks none.
fn missing_line_end(last: Option<&u8>, eol: &'static [u8]) -> &'static [u8] {
    match last {
        None | Some(b'\n') => b"",
        Some(_) => eol,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mailbox::message::flags::Flags;

    const ENVELOPE: FromLineSpec<'static> = FromLineSpec::Generated { sender: b"a@b", epoch: 978_343_205 };
    const FROM: &str = "From a@b Mon Jan  1 10:00:05 2001\n";

    #[test]
    fn uids_replace_those_of_the_header_and_the_base_comes_first() {
        let uids = UidFields::Set { base: Some("7 0000000009 Work"), uid: Some(4) };
        let message = MboxMessage {
            message: b"X-UID: 8\nX-IMAP: 1 2\nA: 1\nX-IMAPbase: 3 4\n\nx\n",
            from_line: ENVELOPE,
            status: None,
            keywords: None,
            uids,
        };
        let written = |uids| {
            let mut out = Vec::new();
            write(Variant::Mboxrd, &MboxMessage { uids, ..message }, &mut out).unwrap();
            String::from_utf8(out).unwrap().replacen(FROM, "", 1)
        };
        assert_eq!(written(uids), "A: 1\nX-IMAPbase: 7 0000000009 Work\nX-UID: 4\n\nx\n\n");
        assert_eq!(written(UidFields::Set { base: None, uid: None }), "A: 1\n\nx\n\n");
        assert_eq!(written(UidFields::Keep), String::from_utf8_lossy(message.message).into_owned() + "\n");
    }

    fn written_as(variant: Variant, message: &str, letters: &str, old: bool) -> String {
        let status = Some(Status { flags: Flags::parse(letters.as_bytes()), old });
        let message = MboxMessage {
            message: message.as_bytes(),
            from_line: ENVELOPE,
            status,
            keywords: None,
            uids: UidFields::Keep,
        };
        let mut out = Vec::new();
        write(variant, &message, &mut out).unwrap();
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
    fn fields_of_other_mail_programs_get_the_same_flags() {
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
            let message = MboxMessage {
                message: message.as_bytes(),
                from_line: ENVELOPE,
                status,
                keywords,
                uids: UidFields::Keep,
            };
            let mut out = Vec::new();
            write(Variant::Mboxrd, &message, &mut out).unwrap();
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
    fn lengths_that_no_longer_fit_are_removed() {
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
        is_written("From : a@b\n\n", "S", "From : a@b\nStatus: RO\n\n");
        is_written(
            "A: 1\nFrom  :a@b\nFrom : Mon Jan  1 10:00:05 2001\n\n",
            "",
            "A: 1\nFrom  :a@b\nFrom : Mon Jan  1 10:00:05 2001\n\n",
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
            from_line: ENVELOPE,
            status: None,
            keywords: None,
            uids: UidFields::Keep,
        };
        assert_eq!(write(Variant::Mmdf, &framed, &mut Vec::new()), Err(Unrepresentable));
    }

    #[test]
    fn a_sender_cannot_break_its_line() {
        for (sender, shown) in
            [("", "MAILER-DAEMON"), ("a b\n@c\0", "a-b-@c-"), (":@c", "-@c"), ("ä@c", "ä@c")]
        {
            let envelope = FromLineSpec::Generated { sender: sender.as_bytes(), epoch: -5 };
            let line = envelope.render(b"\n").into_owned();
            assert_eq!(String::from_utf8(line).unwrap(), format!("From {shown} Thu Jan  1 00:00:00 1970\n"));
        }
        assert_eq!(header::return_path(b"A: 1\nreturn-path : <a@b> (x)\n"), Some(&b"a@b"[..]));
        assert_eq!(header::return_path(b"Return-Path:\n a@b\n"), Some(&b"a@b"[..]));
        assert_eq!(header::return_path(b"Return-Path: <>\n"), Some(&b""[..]));
        assert_eq!(header::return_path(b"A: 1\n"), None);
    }

    /// Parts of an mbox, and text that resembles them. A byte 255 ends a message, see the promise.
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
        fn a_written_name_is_read_back(data in messages()) {
            crate::promises::writer(&data);
        }

        #[test]
        fn chunks_are_written_like_the_whole_message(
            message in messages(),
            cuts in proptest::collection::vec(0usize..24, 0..20),
        ) {
            crate::promises::writer_in_chunks(&message, &cuts);
        }
    }
}
