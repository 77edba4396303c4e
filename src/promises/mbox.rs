//! Properties of mboxes.

use std::ops::Range;
use std::path::Path;

use super::are_slices_in_order;
use crate::convert::render::{RenderOptions, render};
use crate::mailbox::finding::{self, Code, Finding};
use crate::mailbox::mbox::bare;
use crate::mailbox::mbox::boundary_list;
use crate::mailbox::mbox::from_line::{self, LineClass};
use crate::mailbox::mbox::quote::{self, Quoting};
use crate::mailbox::mbox::read::{self, Mbox, ReadOptions};
use crate::mailbox::mbox::scan_hooks::ScanHooks;
use crate::mailbox::mbox::single::{SingleMessage, looks_like_emlx};
use crate::mailbox::mbox::variant::Variant;
use crate::mailbox::mbox::verdict::{Extent, Overrides, Reason};
use crate::mailbox::mbox::write::{
    self, BodyLines, FromLineSpec, HeaderEdit, MboxMessage, MessageHead, MessageWriter, UidFields,
};
use crate::mailbox::message::date::Stamp;
use crate::mailbox::message::emlx;
use crate::mailbox::message::flags::Flags;
use crate::mailbox::message::header;
use crate::mailbox::message::status::{self, DeletedPolicy, LabelPolicy, Status};
use crate::mailbox::message::uids;
use crate::mailbox::message::{Eol, Field, Headers};
use crate::mailbox::source::format::{FORMAT_HEAD, ForeignFormat};

/// Any bytes are divided into messages without a loss, in every variant. A text without a message gives an error, and
/// is never an empty mailbox.
pub fn reader(text: &[u8]) {
    use Variant::*;
    for variant in [None, Some(Mboxo), Some(Mboxrd), Some(Mboxcl), Some(Mboxcl2), Some(Mmdf), Some(Rfc822)] {
        match read::read(text, &ReadOptions { variant, ..ReadOptions::default() }, ScanHooks::none()) {
            Ok(mbox) => {
                // Blanks, or the byte order mark of an editor that saved an empty file.
                let nothing = matches!(text.trim_ascii(), b"" | b"\xef\xbb\xbf");
                assert!(!mbox.messages().is_empty() || nothing, "mail was read as nothing");
                divided(&mbox);
            }
            Err(not) => assert!(!not.reason.is_empty() && !text.is_empty()),
        }
    }
    list_is_read_back(text);
}

/// Every byte is in exactly one part of the file, and belongs there.
fn divided(mbox: &Mbox<'_>) {
    mbox.check_conservation().unwrap();
    let text = mbox.text();
    let is_emlx = mbox.variant == Variant::Rfc822 && looks_like_emlx(text);
    let (mut accounted, mut gaps) = (0, Vec::new());
    for extent in mbox.messages() {
        let lines = extent.separator_lines(text).split_inclusive(|&b| b == b'\n');
        assert!({ lines }.all(|line| line.starts_with(b"From ")), "mail was taken for a From_ line");
        gaps.push(accounted..extent.at);
        accounted = extent.end;
        message(mbox, extent);
    }
    gaps.push(accounted..text.len() as u64);
    match &gaps[..] {
        [before, after] if is_emlx => framed(mbox, before, after),
        _ => gaps.into_iter().for_each(|gap| separated(mbox, gap)),
    }
    let mut findings: Vec<Finding> = mbox.findings.clone();
    finding::number_lines(&mut findings, text, &|_| ());
    assert!(findings.iter().all(|f| f.offset.is_none_or(|at| at < text.len() as u64)));
}

/// Around the message of an .emlx there are a number and a property list. What follows the list is junk.
fn framed(mbox: &Mbox<'_>, before: &Range<u64>, after: &Range<u64>) {
    const END: &[u8] = b"</plist>";
    let text = |range: &Range<u64>| mbox.text()[range.start as usize..range.end as usize].trim_ascii();
    assert!(text(before).iter().all(u8::is_ascii_digit), "bytes before the message are nowhere");
    let end = match &mbox.boundaries.junk[..] {
        [] => after.end,
        [junk] if junk.end == after.end => junk.start,
        junk => panic!("{junk:?} is not after the property list"),
    };
    let list = text(&(after.start..end));
    let is_begun =
        [&b"<?xml"[..], b"<!DOCTYPE plist", b"<plist", b"bplist0"].iter().any(|s| list.starts_with(s));
    let is_damaged = mbox.findings.iter().any(|finding| finding.code == Code::EmlxPlist);
    assert!(list.is_empty() || is_begun, "bytes before the property list are nowhere");
    // Its end may be cut off.
    let is_cut = || list.ends_with(b">") || (1..END.len()).any(|n| list.ends_with(&END[..n]));
    assert!(
        list.ends_with(END) || is_damaged && end == after.end || is_cut(),
        "bytes of the list are nowhere"
    );
}

/// Outside of messages there are only blank lines, frames, and reported junk.
fn separated(mbox: &Mbox<'_>, gap: Range<u64>) {
    let junk = &mbox.boundaries.junk;
    for at in gap {
        let byte = mbox.text()[at as usize];
        let is_separator = byte.is_ascii_whitespace() || byte == 1;
        assert!(is_separator || junk.iter().any(|j| j.contains(&at)), "byte {at} is nowhere");
    }
}

/// A message is a slice of the source without its quoting, whatever its line ends become. The sizes in its name are
/// correct.
fn message(mbox: &Mbox<'_>, extent: &Extent) {
    let message = extent.message(mbox.text());
    let (split, quoting) = (header::split(message), mbox.variant.quoting());
    let mut pieces = Vec::new();
    let removed = mbox.pieces(extent, &mut pieces);
    assert!(pieces.concat().starts_with(split.header), "quoting was taken off a header");
    are_slices_in_order(pieces.iter().copied(), message);
    assert_eq!(pieces.iter().map(|p| p.len()).sum::<usize>() + removed, message.len());
    let stripped = header::without_volatile(split.header).unwrap_or_else(|| split.header.to_vec());
    let stripped = [&stripped, &pieces.concat()[split.header.len()..]].concat();
    let all = [Eol::Keep, Eol::Lf, Eol::Crlf].map(|eol| [(eol, Headers::Keep), (eol, Headers::Strip)]);
    for (eol, headers) in all.into_iter().flatten() {
        let rendered =
            render(message, &split, quoting, RenderOptions { eol, headers, ..RenderOptions::default() });
        let file = rendered.whole().expect("it is small");
        let bare = (0..file.len()).filter(|&n| file[n] == b'\n' && (n == 0 || file[n - 1] != b'\r')).count();
        let sizes = (file.len() as u64, (file.len() + bare) as u64);
        assert_eq!(rendered.sizes(mbox.has_cr || eol == Eol::Crlf), sizes);
        let kept = if headers == Headers::Keep { pieces.concat() } else { stripped.clone() };
        assert!(eol != Eol::Keep || *file == kept);
        assert!(eol != Eol::Crlf || bare == 0);
    }
}

/// A boundary list that was not edited changes nothing.
fn list_is_read_back(text: &[u8]) {
    let options = ReadOptions { allow_empty: true, keep_candidates: true, ..ReadOptions::default() };
    let Ok(mbox) = read::read(text, &options, ScanHooks::none()) else { return };
    let mut printed = boundary_list::format_header(text.len() as u64);
    for decided in &mbox.boundaries.decisions {
        printed += &boundary_list::format_line(text, decided, 1);
        printed.push('\n');
    }
    let overrides: Overrides = boundary_list::parse(printed.as_bytes(), Path::new("list"), text).unwrap();
    let again = read::read(text, &ReadOptions { overrides, ..options }, ScanHooks::none()).unwrap();
    assert_eq!(again.messages(), mbox.messages());
}

/// No boundary list loses a byte. `data` is a list, and after the first NUL the text.
pub fn boundary_list(data: &[u8]) {
    let nul = data.iter().position(|&b| b == 0).unwrap_or(data.len());
    let (edited, text) = (&data[..nul], data.get(nul + 1..).unwrap_or_default());
    let Ok(overrides) = boundary_list::parse(edited, Path::new("list"), text) else { return };
    if let Ok(mbox) =
        read::read(text, &ReadOptions { overrides, ..ReadOptions::default() }, ScanHooks::none())
    {
        divided(&mbox);
    }
}

/// The sender is a part of its line.
pub fn from_line(line: &[u8]) {
    for line in [line, &[b"From ", line].concat()] {
        let found = from_line::parse(line);
        are_slices_in_order([found.sender].into_iter(), line);
        assert!(found.class != LineClass::Unknown || (found.sender.is_empty() && found.stamp.is_none()));
        assert!(!found.spelling.name().is_empty());
    }
}

/// Unquoting removes only `>`. As mboxrd it is the inverse of quoting.
pub fn quote(body: &[u8]) {
    let quoted = quote::quote_mboxrd(body);
    let begins = [&b"\nFrom "[..], b"\0From "].iter().any(|s| memchr::memmem::find(&quoted, s).is_some());
    assert!(!quoted.starts_with(b"From ") && !begins);
    for text in [body, &quoted] {
        for quoting in [Quoting::None, Quoting::One, Quoting::Any] {
            let mut pieces = Vec::new();
            let removed = quote::unquote(text, 0, quoting, &mut pieces);
            are_slices_in_order(pieces.iter().copied(), text);
            assert_eq!(pieces.iter().map(|p| p.len()).sum::<usize>() + removed, text.len());
            assert!(quoting != Quoting::None || removed == 0);
        }
    }
    let mut pieces = Vec::new();
    quote::unquote(&quoted, 0, Quoting::Any, &mut pieces);
    assert_eq!(pieces.concat(), body);
}

/// A text in chunks is quoted like the whole, and at most four bytes are held back.
pub fn quoter(body: &[u8], cuts: &[usize]) {
    for quoting in [Quoting::None, Quoting::One, Quoting::Any] {
        let mut whole = Vec::new();
        quote::push_quoted(body, quote::offsets_to_quote(body, quoting), &mut whole);
        let (mut quoter, mut out, mut rest) = (quote::Quoter::new(quoting), Vec::new(), body);
        for &cut in cuts {
            let (chunk, more) = rest.split_at(cut.min(rest.len()));
            quoter.push(chunk, &mut out);
            assert!(whole.starts_with(&out) && body.len() - more.len() <= out.len() + 4);
            rest = more;
        }
        quoter.push(rest, &mut out);
        quoter.finish(&mut out);
        assert_eq!(out, whole);
    }
}

/// Messages that are written in a variant and read back in the same variant are the same, with the same dates and
/// flags. Exceptions: volatile fields, a final newline, and the `>` before a `From ` line in a header. mboxo and
/// mboxcl also unquote lines that were already quoted. In `data` a byte 255 ends each message.
pub fn writer(data: &[u8]) {
    use Variant::*;
    for variant in [Mboxo, Mboxrd, Mboxcl, Mboxcl2, Mmdf] {
        let (mut text, mut sent) = (Vec::new(), Vec::new());
        for (n, message) in data.split(|&b| b == 255).enumerate() {
            let flags = Flags::parse(&b"DFPRST"[message.len() % 7..]);
            let status = Status { flags, old: n % 2 == 0 };
            let sender = header::return_path(header::split(message).header).unwrap_or(message);
            let envelope = FromLineSpec::Generated { sender, epoch: 1_000_000_000 + n as i64 };
            let keywords = Some(KEYWORDS[message.len() % KEYWORDS.len()]);
            let uid_fields = match n % 2 {
                0 => UidFields::Keep,
                _ => UidFields::Set { base: Some("7 0000000009"), uid: Some(n as u32) },
            };
            let letter = MboxMessage {
                message,
                from_line: envelope,
                status: Some(status),
                keywords,
                uids: uid_fields,
            };
            let before = text.len();
            match write::write(variant, &letter, &mut text) {
                Ok(changes) => sent.push((message, (status, keywords, uid_fields), envelope, changes)),
                Err(write::Unrepresentable) => assert!(variant == Mmdf && text.len() == before),
            }
        }
        let options = ReadOptions { variant: Some(variant), keep_candidates: true, ..ReadOptions::default() };
        let mbox = read::read(&text, &options, ScanHooks::none()).unwrap();
        // The one exception: the header of an attached message at the end of a message in mboxo, and the end of its
        // multipart in a later message.
        if variant == Mboxo && mbox.boundaries.decisions.iter().any(|d| d.reason == Reason::Row(4)) {
            continue;
        }
        assert_eq!(mbox.messages().len(), sent.len(), "as {variant}");
        assert!(mbox.boundaries.junk.is_empty());
        for (extent, (message, (status, keywords, uid_fields), envelope, changes)) in
            mbox.messages().iter().zip(sent)
        {
            let mut pieces = Vec::new();
            mbox.pieces(extent, &mut pieces);
            let got = pieces.concat();
            let mut expected = Vec::new();
            quote::unquote(message, header::split(message).body_at(message), lossy(variant), &mut expected);
            let (expected, got_content) = (lasting(&expected.concat()), lasting(&got));
            assert!(
                got_content == expected || changes.final_newline && is_ended(&expected, &got_content),
                "as {variant}: {:?} is not {:?}",
                bstr::BStr::new(&got_content),
                bstr::BStr::new(&expected)
            );
            if let UidFields::Set { uid, .. } = uid_fields {
                let numbers = header::fields(header::split(&got).header).filter(|field| field.is("X-UID"));
                assert!(numbers.map(|field| uids::parse_uid(field.value)).eq([uid]));
            }
            let fields = status::parse_fields(header::split(&got).header, LabelPolicy::Ignore);
            let keywords = keywords.unwrap_or_default();
            let read_status = fields.status(DeletedPolicy::Flag);
            let is_of_gmail = |field: Field<'_>| field.is("X-Gmail-Labels") || field.is("X-GM-THRID");
            if header::fields(header::split(&got).header).any(is_of_gmail) {
                // The fields of Gmail stay unchanged, and may contain more: without a label, a message is read.
                assert_eq!(read_status.flags | status.flags, read_status.flags);
                assert!(keywords.split_whitespace().all(|word| fields.keywords().iter().any(|k| k == word)));
            } else {
                assert_eq!(fields.keywords().join(" "), keywords);
                assert_eq!(read_status.flags, status.flags);
                let trashed = status.flags.has(Flags::TRASHED);
                assert_eq!(
                    read_status.belongs_in_cur(),
                    status.belongs_in_cur() || trashed || !keywords.is_empty()
                );
            }
            let lines = extent.separator_lines(&text);
            let line = from_line::parse(first_line(lines));
            let FromLineSpec::Generated { epoch, .. } = envelope else { unreachable!() };
            assert_eq!(
                (line.class, line.stamp),
                (LineClass::Dated, Some(Stamp { local: epoch, zone: None }))
            );
        }
    }
}

/// The keywords of messages.
const KEYWORDS: [&str; 3] = ["", "Work", "$Label1 NonJunk"];

/// A message in chunks is written like the whole. It is read back even if only a part of its header is in memory.
pub fn writer_in_chunks(message: &[u8], cuts: &[usize]) {
    use Variant::*;
    let (split, eol) = (header::split(message), write::line_ending(message));
    let envelope = FromLineSpec::Generated { sender: b"a@b", epoch: 1_000_000_000 };
    let in_chunks = |variant, header: HeaderEdit<'_>, mut rest: &[u8]| {
        let mut out = Vec::new();
        let mut writing =
            MessageWriter::begin(variant, &MessageHead { from_line: envelope, header, eol }, &mut out)?;
        for &cut in cuts {
            let (chunk, more) = rest.split_at(cut.min(rest.len()));
            writing.push(chunk, &mut out)?;
            rest = more;
        }
        writing.push(rest, &mut out)?;
        writing.finish(&mut out).map(|changes| (out, changes))
    };
    for variant in [Mboxo, Mboxrd, Mmdf] {
        for status in [None, Some(Status { flags: Flags::parse(b"S"), old: true })] {
            let mut whole = Vec::new();
            let letter =
                MboxMessage { message, from_line: envelope, status, keywords: None, uids: UidFields::Keep };
            let changes = write::write(variant, &letter, &mut whole);
            let (lines, body) = (split.header, BodyLines::Of(split.body));
            let set = |status| write::FlagFields::Set { status, keywords: None };
            let marks = status.map_or(write::FlagFields::Keep, set);
            let header = HeaderEdit::Rewrite {
                lines,
                complete: true,
                flag_fields: marks,
                uids: UidFields::Keep,
                length: None,
                body,
            };
            match in_chunks(variant, header, &message[lines.len()..]) {
                Ok((out, ours)) => {
                    assert_eq!(bstr::BStr::new(&out), bstr::BStr::new(&whole));
                    assert_eq!(Ok(write::Changes { ambiguous: 0, ..changes.unwrap() }), Ok::<_, ()>(ours));
                }
                Err(write::Unrepresentable) => assert_eq!(changes, Err(write::Unrepresentable)),
            }
        }
        let first_len = first_line(split.header).len().max(cuts.iter().sum()).min(split.header.len());
        if first_len == 0 {
            continue;
        }
        let lines = &message[..first_len];
        let marks = write::FlagFields::Keep;
        let header = HeaderEdit::Rewrite {
            lines,
            complete: false,
            flag_fields: marks,
            uids: UidFields::Keep,
            length: None,
            body: BodyLines::Unknown,
        };
        let Ok((out, changes)) = in_chunks(variant, header, &message[first_len..]) else { continue };
        let mbox = read::read(
            &out,
            &ReadOptions { variant: Some(variant), ..ReadOptions::default() },
            ScanHooks::none(),
        )
        .unwrap();
        let mut pieces = Vec::new();
        assert_eq!(mbox.messages().len(), 1);
        mbox.pieces(&mbox.messages()[0], &mut pieces);
        let mut expected = Vec::new();
        quote::unquote(message, split.body_at(message), lossy(variant), &mut expected);
        let (expected, got) = (lasting(&expected.concat()), lasting(&pieces.concat()));
        assert!(got == expected || changes.final_newline && is_ended(&expected, &got));
    }
}

/// Returns the quoting that a reader removes and the writer did not add.
fn lossy(variant: Variant) -> Quoting {
    match variant.quoting() {
        Quoting::One => Quoting::One,
        Quoting::None | Quoting::Any => Quoting::None,
    }
}

fn first_line(lines: &[u8]) -> &[u8] {
    lines.split_inclusive(|&b| b == b'\n').next().unwrap_or_default()
}

/// Returns a message without volatile fields, and without `>` before the `From ` of its header.
fn lasting(message: &[u8]) -> Vec<u8> {
    let header = header::split(message).header;
    let mut out = Vec::new();
    let kept = header::without_volatile(header).unwrap_or_else(|| header.to_vec());
    let mut rest = &kept[..];
    while let Some(at) = quote::offsets_to_quote(rest, Quoting::Any).next() {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        rest = &rest[rest.iter().take_while(|&&b| b == b'>').count()..];
        out.extend_from_slice(&rest[..5]);
        rest = &rest[5..];
    }
    [&out, rest, &message[header.len()..]].concat()
}

fn is_ended(message: &[u8], ended: &[u8]) -> bool {
    [&b"\n"[..], b"\r\n"].iter().any(|eol| lasting(&[message, eol].concat()) == ended)
}

/// A file with one message has it after whole lines of something else, and its first block shows its format.
pub fn one_message(text: &[u8]) {
    let bare::BareMessage { at, start } = bare::locate(text);
    assert!(at <= start && start <= text.len(), "{at} {start}");
    let before = &text[..at];
    assert!(before.is_empty() || before.ends_with(b"\n") || before == b"\xef\xbb\xbf", "{at}");
    let mut from_lines = text[at..start].split_inclusive(|&b| b == b'\n');
    assert!(from_lines.all(|line| line.starts_with(b"From ")), "{at} {start}");
    assert!(at == 0 || bare::looks_like_message(&text[at..]), "{at}");
    let single = SingleMessage::locate(text);
    assert!(looks_like_emlx(text) || single.extent.start == start as u64);
    assert!(single.extent.at <= single.extent.start && single.extent.end <= text.len() as u64);
    emlx::missing_parts(single.extent.message(text));
    let first = &text[..text.len().min(FORMAT_HEAD)];
    assert_eq!(ForeignFormat::recognize(first), ForeignFormat::recognize(text));
    bare::has_buried_header(text);
    let options = ReadOptions { variant: Some(Variant::Rfc822), ..ReadOptions::default() };
    let mbox = read::read(text, &options, ScanHooks::none()).expect("any bytes are one message");
    assert_eq!(mbox.messages().len(), usize::from(!text.is_empty()));
    divided(&mbox);
}
