//! What holds for any bytes, stated once. Property tests ask here with text that looks like mail, the
//! fuzz targets with whatever they find; no other build has this module. Each function panics where
//! its promise is broken.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use std::{fmt, io};

use crate::convert::render::{Eol, Headers, RenderOptions, render};
use crate::deliver::lmtp::Recipients;
use crate::deliver::lmtp::address::EnvelopeAddress;
use crate::deliver::lmtp::command::{self, Command};
use crate::deliver::lmtp::data::DotUnstuffer;
use crate::deliver::lmtp::session::{self, LmtpOptions, Peer, SessionEnd};
use crate::deliver::lmtp::template::{AddressParts, Template};
use crate::inject;
use crate::mailbox::context::Cancel;
use crate::mailbox::finding::{self, Finding};
use crate::mailbox::maildir::name;
use crate::mailbox::mbox::boundary_list;
use crate::mailbox::mbox::from_line::{self, LineClass};
use crate::mailbox::mbox::gmail;
use crate::mailbox::mbox::quote::{self, Quoting};
use crate::mailbox::mbox::read::{self, Mbox, ReadOptions};
use crate::mailbox::mbox::scan_hooks::ScanHooks;
use crate::mailbox::mbox::status::{self, DeletedPolicy, LabelPolicy, Status};
use crate::mailbox::mbox::variant::Variant;
use crate::mailbox::mbox::verdict::{Extent, Overrides, Reason};
use crate::mailbox::mbox::write::{self, FromLineSpec, HeaderEdit, MboxMessage, MessageHead, MessageWriter};
use crate::mailbox::message::address::{Compat, list as list_of, print, token};
use crate::mailbox::message::date;
use crate::mailbox::message::date::Stamp;
use crate::mailbox::message::flags::Flags;
use crate::mailbox::message::header;
use crate::mailbox::message::header::decode_text;
use crate::transport::failure::{Failure, FailureReason};
use crate::transport::outcome::Outcome;
use crate::transport::reply::{Parser, Reply};
use crate::transport::spool;
use crate::transport::stuffing::DotStuffer;
use crate::transport::{netstring as net, qmqp};

/// Any bytes are divided, and nothing is lost: as every variant, and as the one they seem to be.
/// What has no message is refused by name, never read as a mailbox without mail.
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

/// Every byte is in one place, and is what that place says.
fn divided(mbox: &Mbox<'_>) {
    mbox.check_conservation().unwrap();
    let text = mbox.text();
    let mut accounted = 0;
    for extent in mbox.messages() {
        let lines = extent.from_lines(text).split_inclusive(|&b| b == b'\n');
        assert!({ lines }.all(|line| line.starts_with(b"From ")), "mail was taken for a From_ line");
        separated(mbox, accounted..extent.at);
        accounted = extent.end;
        message(mbox, extent);
    }
    separated(mbox, accounted..text.len() as u64);
    let mut findings: Vec<Finding> = mbox.findings.clone();
    finding::number_lines(&mut findings, text, &|_| ());
    assert!(findings.iter().all(|f| f.offset.is_none_or(|at| at < text.len() as u64)));
}

/// Outside of messages there are blank lines, frames, and what is reported as junk.
fn separated(mbox: &Mbox<'_>, gap: std::ops::Range<u64>) {
    let junk = &mbox.boundaries.junk;
    for at in gap {
        let byte = mbox.text()[at as usize];
        let is_separator = byte.is_ascii_whitespace() || byte == 1;
        assert!(is_separator || junk.iter().any(|j| j.contains(&at)), "byte {at} is nowhere");
    }
}

/// A message is a slice of the source less the quoting of its body, however its lines are to end, and
/// the sizes in its name are true.
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
        let file = rendered.pieces.concat();
        let bare = (0..file.len()).filter(|&n| file[n] == b'\n' && (n == 0 || file[n - 1] != b'\r')).count();
        let sizes = (file.len() as u64, (file.len() + bare) as u64);
        assert_eq!(rendered.sizes(mbox.has_cr || eol == Eol::Crlf), sizes);
        let kept = if headers == Headers::Keep { pieces.concat() } else { stripped.clone() };
        assert!(eol != Eol::Keep || file == kept);
        assert!(eol != Eol::Crlf || bare == 0);
    }
}

/// A list as it was printed changes nothing.
fn list_is_read_back(text: &[u8]) {
    let ask = ReadOptions { allow_empty: true, keep_candidates: true, ..ReadOptions::default() };
    let Ok(mbox) = read::read(text, &ask, ScanHooks::none()) else { return };
    let mut printed = boundary_list::format_header(text.len() as u64);
    for decided in &mbox.boundaries.decisions {
        printed += &boundary_list::format_line(text, decided, 1);
        printed.push('\n');
    }
    let overrules: Overrides = boundary_list::parse(printed.as_bytes(), Path::new("list"), text).unwrap();
    let again = read::read(text, &ReadOptions { overrides: overrules, ..ask }, ScanHooks::none()).unwrap();
    assert_eq!(again.messages(), mbox.messages());
}

/// `data` is a list and, behind the first NUL, the text it may or may not be for.
pub fn overrule(data: &[u8]) {
    let nul = data.iter().position(|&b| b == 0).unwrap_or(data.len());
    let (edited, text) = (&data[..nul], data.get(nul + 1..).unwrap_or_default());
    let Ok(overrules) = boundary_list::parse(edited, Path::new("list"), text) else { return };
    if let Ok(mbox) =
        read::read(text, &ReadOptions { overrides: overrules, ..ReadOptions::default() }, ScanHooks::none())
    {
        divided(&mbox);
    }
}

/// A sender is a part of its line.
pub fn from_line(line: &[u8]) {
    for line in [line, &[b"From ", line].concat()] {
        let found = from_line::parse(line);
        are_slices_in_order([found.sender].into_iter(), line);
        assert!(found.class != LineClass::Unknown || (found.sender.is_empty() && found.stamp.is_none()));
        assert!(!found.spelling.name().is_empty());
    }
}

/// Unquoting takes off `>` and nothing else, and as mboxrd it is the inverse of quoting.
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

/// A text in chunks is quoted as the whole is, and but for the letters of one `From ` nothing is held back.
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

/// Header and body cover the message but for the empty line; fields are parts of the header.
pub fn header(message: &[u8]) {
    let split = header::split(message);
    let gap = message.len() - split.header.len() - split.body.len();
    assert!(if split.closed { 1..=2 } else { 0..=0 }.contains(&gap));
    assert!(message.starts_with(split.header) && message.ends_with(split.body));
    assert_eq!(header::fields(message).split(), split);
    assert!(header::fields(message).eq(header::fields(split.header)));
    assert_eq!(&message[split.body_at(message)..], split.body);
    for field in header::fields(split.header) {
        assert!(!field.name.is_empty());
        are_slices_in_order([field.name, field.value].into_iter(), split.header);
        assert!(!header::unfold(field.value).contains(&b'\n'));
        decode_text(field.value);
        gmail::parse_labels(field.value).iter().for_each(|label| {
            let _ = gmail::system_label(label);
        });
        status::update_field(&field, Flags::SEEN);
        date::parse_header_date(field.value);
    }
    let is_volatile = header::fields(split.header).any(|field| header::is_volatile(&field));
    assert_eq!(header::volatile(split.header).next().is_some(), is_volatile);
    status::parse_fields(split.header, LabelPolicy::Keywords);
    status::is_pseudo_message(split.header);
}

/// `data` is messages, each ended by a byte 255. What is written as a variant and read back as that variant
/// gives the same messages, with the same dates and flags: their bytes less the fields that readers
/// rewrite, but for a final newline and the `>` that stays before a `From ` line of a header. mboxo and
/// mboxcl take off what they cannot tell from their own quoting, too.
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
            let letter = MboxMessage { message, from_line: envelope, status: Some(status), keywords };
            let before = text.len();
            match write::write(variant, &letter, &mut text) {
                Ok(changes) => sent.push((message, (status, keywords), envelope, changes)),
                Err(write::Unrepresentable) => assert!(variant == Mmdf && text.len() == before),
            }
        }
        let ask = ReadOptions { variant: Some(variant), keep_candidates: true, ..ReadOptions::default() };
        let mbox = read::read(&text, &ask, ScanHooks::none()).unwrap();
        // The one way in which mail that is quoted as mboxo has it looks like what it is not: the header of
        // an attached message at the very end of a message, and the end of its multipart in a later one.
        if variant == Mboxo && mbox.boundaries.decisions.iter().any(|d| d.reason == Reason::Row(4)) {
            continue;
        }
        assert_eq!(mbox.messages().len(), sent.len(), "as {variant}");
        assert!(mbox.boundaries.junk.is_empty());
        for (extent, (message, (status, keywords), envelope, changes)) in mbox.messages().iter().zip(sent) {
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
            let said = status::parse_fields(header::split(&got).header, LabelPolicy::Ignore);
            let wanted = keywords.unwrap_or_default();
            let status_said = said.status(DeletedPolicy::Flag);
            if header::fields(header::split(&got).header).any(|f| f.is("X-Gmail-Labels")) {
                // Gmail's labels stay as they are, and may say more.
                assert_eq!(status_said.flags | status.flags, status_said.flags);
                assert!(wanted.split_whitespace().all(|word| said.keywords.iter().any(|k| k == word)));
            } else {
                assert_eq!(said.keywords.join(" "), wanted);
                assert_eq!(status_said.flags, status.flags);
                let trashed = status.flags.has(Flags::TRASHED);
                assert_eq!(
                    status_said.belongs_in_cur(),
                    status.belongs_in_cur() || trashed || !wanted.is_empty()
                );
            }
            let lines = extent.from_lines(&text);
            let line = from_line::parse(first_line(lines));
            let FromLineSpec::Generated { epoch, .. } = envelope else { unreachable!() };
            assert_eq!(
                (line.class, line.stamp),
                (LineClass::Dated, Some(Stamp { local: epoch, zone: None }))
            );
        }
    }
}

/// What messages may have for keywords.
const KEYWORDS: [&str; 3] = ["", "Work", "$Label1 NonJunk"];

/// A message in chunks is written as the whole one is. Where not even all of its header is at hand it is
/// still read back.
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
            let letter = MboxMessage { message, from_line: envelope, status, keywords: None };
            let changes = write::write(variant, &letter, &mut whole);
            let (lines, body) = (split.header, Some(split.body));
            let set = |status| write::FlagFields::Set { status, keywords: None };
            let marks = status.map_or(write::FlagFields::Keep, set);
            let header =
                HeaderEdit::Rewrite { lines, complete: true, flag_fields: marks, length: None, body };
            match in_chunks(variant, header, &message[lines.len()..]) {
                Ok((out, ours)) => {
                    assert_eq!(bstr::BStr::new(&out), bstr::BStr::new(&whole));
                    assert_eq!(Ok(write::Changes { ambiguous: 0, ..changes.unwrap() }), Ok::<_, ()>(ours));
                }
                Err(write::Unrepresentable) => assert_eq!(changes, Err(write::Unrepresentable)),
            }
        }
        let held = first_line(split.header).len().max(cuts.iter().sum()).min(split.header.len());
        if held == 0 {
            continue;
        }
        let lines = &message[..held];
        let marks = write::FlagFields::Keep;
        let header =
            HeaderEdit::Rewrite { lines, complete: false, flag_fields: marks, length: None, body: None };
        let Ok((out, changes)) = in_chunks(variant, header, &message[held..]) else { continue };
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

/// What a reader takes off that the writer did not put on.
fn lossy(variant: Variant) -> Quoting {
    match variant.quoting() {
        Quoting::One => Quoting::One,
        Quoting::None | Quoting::Any => Quoting::None,
    }
}

fn first_line(lines: &[u8]) -> &[u8] {
    lines.split_inclusive(|&b| b == b'\n').next().unwrap_or_default()
}

/// A message without the fields that readers rewrite, and without `>` before the `From ` of its header.
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

/// Any file name can be taken apart, and put together again with other flags it is the same message.
/// A unique part is only taken for ours in the one spelling that we write.
pub fn maildir_name(name: &[u8]) {
    let parsed = name::parse(name);
    assert!(name.starts_with(parsed.base) && name.ends_with(parsed.info.unwrap_or_default()));
    let _ = (parsed.epoch(), parsed.field(b'S'), parsed.field(b'W'));
    if !parsed.base.is_empty() {
        for separator in [b':', b';', b'!'] {
            let whole = name::with_info(parsed.base, separator, parsed.flags(), parsed.keywords());
            let again = name::parse(whole.as_bytes());
            assert_eq!(
                (again.base, again.flags(), again.keywords()),
                (parsed.base, parsed.flags(), parsed.keywords())
            );
        }
    }
    if let Some((unique, copy)) = parsed.unique() {
        let base = name::BaseName { epoch: 0, unique, copy, host: "", size: 0, wire_size: 0 }.to_bytes();
        assert_eq!(base.split(|&b| b == b'.').nth(1), parsed.base.split(|&b| b == b'.').nth(1));
    }
}

/// No bytes and no number are too odd for a date, and the one that we write is read back.
pub fn dates(data: &[u8]) {
    if let Some(stamp) = date::parse_header_date(data) {
        for zone in [i32::MIN, 0, i32::MAX] {
            date::asctime_utc(stamp.epoch(zone));
        }
    }
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(data).for_each(|(byte, &d)| *byte = d);
    let epoch = i64::from_le_bytes(bytes);
    let (written, latest) = (date::asctime_utc(epoch), jiff::Timestamp::MAX.as_second());
    if (0..=latest).contains(&epoch) {
        assert_eq!(date::parse_header_date(written.as_bytes()), Some(Stamp { local: epoch, zone: None }));
    }
}

/// Each part lies in `whole`, behind the one before it. Empty ones lie nowhere.
fn are_slices_in_order<'a>(parts: impl Iterator<Item = &'a [u8]>, whole: &[u8]) {
    let mut from = whole.as_ptr();
    for part in parts.filter(|p| !p.is_empty()) {
        let range = part.as_ptr_range();
        assert!(from <= range.start && range.end <= whole.as_ptr_range().end, "no slice of the source");
        from = range.end;
    }
}

/// A message in the form for the wire has its end where the server sees it and nowhere else, for no reading of CR
/// and LF; all that changes are line ends, and a CR by itself is a blank. `cuts` are lengths of chunks.
pub fn stuffing(message: &[u8], cuts: &[usize]) {
    let wire = stuffed(message, &[]);
    assert_eq!(stuffed(message, cuts), wire);
    assert!(wire.is_empty() || wire.ends_with(b"\r\n"));
    for (n, &b) in wire.iter().enumerate() {
        assert_eq!(b == b'\n', n > 0 && wire[n - 1] == b'\r', "a CR or LF by itself");
        assert!(b != b'.' || n == 0 || wire[n - 1] != b'\n' || wire[n + 1] == b'.', "a dot is not doubled");
    }
    assert!(!wire.starts_with(b".") || wire.starts_with(b".."));
    let (out, taken) = unstuffed(&[&wire[..], b".\r\nQUIT\r\n"].concat(), cuts);
    assert_eq!(taken, wire.len() + 3);
    let mut lines = message.to_vec();
    if !lines.is_empty() && !lines.ends_with(b"\n") {
        // One at the very end is by itself, too.
        lines.extend_from_slice(if lines.ends_with(b"\r") { b"\0\n" } else { b"\n" });
    }
    let mut want = Vec::new();
    for (n, &b) in lines.iter().enumerate() {
        match (b, lines.get(n + 1)) {
            (b'\r', Some(b'\n')) => {}
            (b'\r', Some(0)) if n + 3 == lines.len() && message.ends_with(b"\r") => want.push(b' '),
            (b'\r', _) => want.push(b' '),
            (0, _) if n + 2 == lines.len() && n == message.len() => {}
            _ => want.push(b),
        }
    }
    assert_eq!(out, want);
}

fn stuffed(message: &[u8], cuts: &[usize]) -> Vec<u8> {
    let (mut stuffing, mut out) = (DotStuffer::new(), Vec::new());
    pieces_of(message, cuts).for_each(|piece| stuffing.push(piece, &mut out));
    stuffing.finish(&mut out);
    out
}

/// All of it, in pieces of these lengths and one of what is left.
fn pieces_of<'a>(mut bytes: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut cuts = cuts.iter();
    std::iter::from_fn(move || {
        let cut = cuts.next().map_or(bytes.len(), |&cut| cut.clamp(1, bytes.len().max(1)).min(bytes.len()));
        let (piece, rest) = bytes.split_at(cut);
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Any bytes are a netstring, the beginning of one, or refused: the same in whatever pieces they come, never with
/// more than may be, and what is read is spelled in one way only.
pub fn netstring(wire: &[u8], cuts: &[usize]) {
    const MOST: usize = 300;
    let read = |cuts: &[usize]| {
        let (mut decoder, mut taken) = (net::Decoder::new(MOST), 0);
        for piece in pieces_of(wire, cuts) {
            taken += decoder.take(piece).ok()?;
        }
        Some((taken, decoder.finish()))
    };
    let whole = read(&[]);
    assert_eq!(read(cuts), whole);
    if let Some((taken, Some(content))) = whole {
        assert!(content.len() <= MOST);
        assert_eq!(net::encode(&content), &wire[..taken]);
        let _: Outcome = qmqp::parse_reply(&content);
    }
}

/// Any bytes are an answer of an SMTP server, the beginning of one, or refused: the same in whatever pieces they
/// come. What is told of it is one line.
pub fn smtp_reply(wire: &[u8], cuts: &[usize]) {
    let read = |cuts: &[usize]| {
        let (mut parser, mut taken) = (Parser::default(), 0);
        for piece in pieces_of(wire, cuts) {
            taken += parser.take(piece).ok()?;
        }
        Some((taken, parser.finish()))
    };
    let whole = read(&[]);
    assert_eq!(read(cuts), whole);
    if let Some((taken, Some(reply))) = whole {
        let Reply { code, ref lines } = reply;
        assert!((200..600).contains(&code) && !lines.is_empty() && wire[..taken].ends_with(b"\n"));
        assert!(!reply.text().contains(char::is_control));
        if let Some(kind) = reply.kind() {
            let outcome = reply.outcome(kind);
            assert!(outcome.status.is_none_or(|status| status.as_bytes()[0] == wire[0]));
        }
    }
}

/// Any text is the same after stuffing and unstuffer, but for a line end at its end, in whatever chunks the
/// wire brings it; what follows it is left. `cuts` are lengths of chunks.
pub fn lmtp_data(text: &[u8], cuts: &[usize]) {
    // As bytes from the wire: no chunking changes what becomes of them.
    let whole = unstuffed(text, &[]);
    assert_eq!(unstuffed(text, cuts), whole);
    // As a text that is to be sent.
    let ended = if text.is_empty() || text.ends_with(b"\n") { text.to_vec() } else { [text, b"\n"].concat() };
    let mut wire = Vec::new();
    for line in ended.split_inclusive(|&b| b == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(&line[..line.len() - 1]);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\nQUIT\r\n");
    let (out, taken) = unstuffed(&wire, cuts);
    assert_eq!((out, &wire[taken..]), (ended, &b"QUIT\r\n"[..]));
}

fn unstuffed(wire: &[u8], cuts: &[usize]) -> (Vec<u8>, usize) {
    let (mut unstuffer, mut out, mut taken) = (DotUnstuffer::default(), Vec::new(), 0);
    let mut cuts = cuts.iter();
    while taken < wire.len() && !unstuffer.is_at_end() {
        let end = cuts.next().map_or(wire.len(), |&cut| wire.len().min(taken + cut.max(1)));
        let before = out.len();
        let took = unstuffer.decode(&wire[taken..end], &mut out);
        assert!(out.len() - before <= took + 1);
        assert!(took == end - taken || unstuffer.is_at_end());
        taken += took;
    }
    (out, taken)
}

/// Any line is a command or has a reply. A recipient that was understood can be written so that it is
/// understood again, and no part of it leads a path elsewhere.
pub fn lmtp_command(line: &[u8]) {
    let Ok(Command::Rcpt(address) | Command::Mail { sender: Some(address), .. }) = command::parse(line)
    else {
        return;
    };
    let mut quoted = b"RCPT TO:<\"".to_vec();
    quoted.extend(address.local.iter().flat_map(|&b| [b'\\', b]));
    quoted.push(b'"');
    if let Some(domain) = &address.domain {
        quoted.push(b'@');
        quoted.extend_from_slice(domain);
    }
    quoted.push(b'>');
    assert_eq!(command::parse(&quoted), Ok(Command::Rcpt(address.clone())));
    let template = Template::parse(b"/srv/%d/%u/.%e/").unwrap();
    for delimiters in [&b""[..], b"-+"] {
        let Ok(path) = template.expand(&AddressParts::split(&address, delimiters)) else { continue };
        assert!(path.components().all(|c| !matches!(c, Component::ParentDir | Component::CurDir)));
        assert!((4..=5).contains(&path.components().count()));
    }
}

/// A peer that sends these chunks one after the other, and keeps what it hears.
pub struct Script {
    chunks: Vec<Vec<u8>>,
    /// What it does in the end; `None`: it closes.
    pub end: Option<io::ErrorKind>,
    heard: Vec<u8>,
    writes: usize,
}

impl Script {
    /// Sends `wire` in chunks of these lengths, and then the rest.
    pub fn of(mut wire: &[u8], cuts: &[usize]) -> Script {
        let mut chunks = Vec::new();
        for &cut in cuts {
            let (chunk, rest) = wire.split_at(cut.clamp(1, wire.len().max(1)).min(wire.len()));
            chunks.push(chunk.to_vec());
            wire = rest;
        }
        chunks.push(wire.to_vec());
        chunks.retain(|chunk| !chunk.is_empty());
        chunks.reverse();
        Script { chunks, end: None, heard: Vec::new(), writes: 0 }
    }
}

impl Peer for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(mut chunk) = self.chunks.pop() else {
            return self.end.map_or(Ok(0), |kind| Err(kind.into()));
        };
        if chunk.len() > buffer.len() {
            self.chunks.push(chunk.split_off(buffer.len()));
        }
        buffer[..chunk.len()].copy_from_slice(&chunk);
        Ok(chunk.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.heard.extend_from_slice(bytes);
        self.writes += 1;
        Ok(())
    }

    fn reset_deadline(&mut self) {}
}

/// A session as its peer saw it, and the mail that came of it.
#[derive(Debug)]
pub struct Transcript {
    /// The lines it heard.
    pub replies: Vec<String>,
    /// In how many pieces.
    pub writes: usize,
    /// Sender, recipient and text of each delivery.
    pub delivered: Vec<(String, String, Vec<u8>)>,
    /// How it ended.
    pub(crate) ending: SessionEnd,
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.replies.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        for (sender, recipient, text) in &self.delivered {
            writeln!(f, "<{sender}> to {recipient}: {:?}", bstr::BStr::new(text))?;
        }
        writeln!(f, "{:?}", self.ending)
    }
}

/// Who is there depends on the name alone: `nobody` is not, `full` is over quota, `busy` is locked.
struct Village(Vec<(String, String, Vec<u8>)>);

impl Recipients for Village {
    type Mailbox = ();

    fn look_up(&mut self, recipient: &EnvelopeAddress) -> Result<(), Failure> {
        match &recipient.local[..] {
            b"nobody" => Err(Failure::new(FailureReason::NoSuchMailbox, "there is no nobody")),
            _ => Ok(()),
        }
    }

    fn deliver(
        &mut self,
        letter: &spool::SpooledMessage,
        sender: Option<&EnvelopeAddress>,
        recipient: &EnvelopeAddress,
        (): &(),
    ) -> Result<String, Failure> {
        match &recipient.local[..] {
            b"full" => Err(Failure::new(FailureReason::OverQuota, "full is over quota")),
            b"busy" => Err(Failure::new(FailureReason::Locked, "busy is locked")),
            _ => {
                let mut text = Vec::new();
                let keep = &mut |bytes: &[u8]| {
                    text.extend_from_slice(bytes);
                    Ok(())
                };
                letter.for_each_chunk(0, keep)?;
                let sender = sender.map(EnvelopeAddress::shown).unwrap_or_default();
                self.0.push((sender, recipient.shown(), text));
                Ok(format!("{} has it", recipient.shown()))
            }
        }
    }
}

/// Plays a session.
pub fn play_lmtp_session(script: Script, max_size: Option<u64>) -> Transcript {
    play_lmtp_session_until(script, max_size, Cancel::never())
}

/// Plays a session that ends when it is `interrupted`.
pub fn play_lmtp_session_until(mut script: Script, max_size: Option<u64>, cancel: &Cancel) -> Transcript {
    let mut village = Village(Vec::new());
    let options = LmtpOptions { host: "mx.example", max_size, spool_dir: Path::new("/tmp") };
    let ending = session::serve(&mut script, &mut village, &options, cancel);
    let heard = String::from_utf8(script.heard).expect("replies are ASCII");
    assert!(heard.is_empty() || heard.ends_with("\r\n"));
    let heard: Vec<String> = heard.split_terminator("\r\n").map(str::to_owned).collect();
    for line in &heard {
        assert!(line.len() <= 510 && line.bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{line:?}");
        assert!(line.len() > 4 && line.as_bytes()[..3].iter().all(u8::is_ascii_digit), "{line:?}");
    }
    Transcript { replies: heard, writes: script.writes, delivered: village.0, ending }
}

/// However the wire divides what a peer sends, it hears the same and the same is delivered; and if the wire is
/// cut after `until` bytes, what is delivered is the beginning of that, message by message.
pub fn lmtp_session(wire: &[u8], cuts: &[usize], until: usize) {
    let max_size = Some(100);
    let whole = play_lmtp_session(Script::of(wire, &[]), max_size);
    let divided = play_lmtp_session(Script::of(wire, cuts), max_size);
    assert_eq!(divided.to_string(), whole.to_string());
    let cut = play_lmtp_session(Script::of(&wire[..until], &[]), max_size);
    assert!(whole.delivered.starts_with(&cut.delivered) && whole.replies.starts_with(&cut.replies));
}
/// Any bytes are a `.qmail` file: each line is one instruction, and says again what it says when it is
/// written down.
pub fn dot_qmail(text: &[u8]) {
    use crate::deliver::dot_qmail::line::{self, Instruction};
    let lines = line::parse(text);
    assert!(!lines.is_empty());
    let newlines = text.iter().filter(|&&b| b == b'\n').count();
    assert_eq!(lines.len(), newlines + usize::from(!text.ends_with(b"\n")));
    let _ = line::check(&lines, false);
    for line in lines {
        let written = match &line.instruction {
            Instruction::Comment => b"#".to_vec(),
            Instruction::Blank => Vec::new(),
            Instruction::Unknown => b"+".to_vec(),
            Instruction::ForwardOnly => b"+list".to_vec(),
            Instruction::Program(text) => [b"|", &text[..]].concat(),
            Instruction::Mbox(path) | Instruction::Maildir(path) => path.clone(),
            Instruction::Forward(address) => [b"&", &address[..]].concat(),
        };
        assert_eq!(line::parse(&written)[0].instruction, line.instruction);
    }
}

/// Any text is read as a list of addresses, each fault has its place in it, and what is printed of it is read as
/// the same list again. An address in which nothing is doubtful can be written raw and quoted again.
pub fn addresses(text: &[u8]) {
    let text = [text, b"\n"].concat();
    for manner in [Compat::Qmail, Compat::Strict] {
        let list = list_of::AddressList::read(&text, manner);
        for fault in [list.fault, list.warning].into_iter().flatten() {
            assert!(fault.at < text.len());
        }
        if list.fault.is_some() {
            continue;
        }
        let raw = |list: &list_of::AddressList<'_>| -> Vec<Vec<u8>> {
            list.addresses().map(|address| address.to_bytes()).collect()
        };
        let printed = print::format_field(b"To", list.pieces(), manner);
        let again = list_of::AddressList::read(&printed[3..], manner);
        assert_eq!(again.fault, None);
        assert_eq!(raw(&again), raw(&list), "{}", printed.escape_ascii());
        let twice = print::format_field(b"To", again.pieces(), manner);
        assert_eq!(bstr::BStr::new(&twice), bstr::BStr::new(&printed));
        if list.warning.is_some() || manner == Compat::Qmail {
            continue;
        }
        let has_host = |address: &list_of::Address<'_>| {
            let at = address.tokens.iter().position(|token| token.kind == token::TokenKind::At);
            at.is_some_and(|at| at > 0)
        };
        for raw in list.addresses().filter(has_host).map(|address| address.to_bytes()) {
            let quoted = crate::transport::envelope::quote(&raw);
            let tokens = token::Tokens::read(&quoted, manner).unwrap();
            assert_eq!(list_of::Address { at: 0, tokens: tokens.iter().collect() }.to_bytes(), raw);
        }
    }
}

/// Any message is completed, or refused by name. What is completed has its body, hides who was to be hidden, and
/// is complete: doing it again changes nothing.
pub fn injected(message: &[u8]) {
    let author = inject::Author { user: b"ann".to_vec(), ..inject::Author::default() };
    let domains = inject::Domains {
        default_host: b"dh".to_vec(),
        default_domain: Some(b"dd.example".to_vec()),
        plus_domain: Some(b"pd.example".to_vec()),
        id_host: b"id.example".to_vec(),
    };
    let arguments = [b"arg@h.example".to_vec()];
    let complete = |message: &[u8], manner, header_too| {
        let options = inject::InjectOptions {
            compat: manner,
            crlf: manner == Compat::Strict,
            arguments: &arguments,
            header_recipients: header_too,
            sender: None,
            author: &author,
            flags: inject::InjectFlags::default(),
            domains: &domains,
            followup_lists: &[],
            now: 981_173_106,
            pid: 7,
            random: None,
        };
        let mut letter = spool::MessageSpool::new(Path::new("/tmp"), None);
        letter.push(message)?;
        let completed = inject::Injector::new(&options)?.complete(&letter.finish()?, Path::new("/tmp"))?;
        Ok::<_, inject::InjectError>((completed.message.head().to_vec(), completed.envelope))
    };
    for manner in [Compat::Qmail, Compat::Strict] {
        let Ok((whole, envelope)) = complete(message, manner, true) else { continue };
        assert_eq!(envelope.recipients[0], arguments[0]);
        let (split, was) = (header::split(&whole), header::split(message));
        for field in header::fields(split.header) {
            let gone = ["Bcc", "Resent-Bcc", "Return-Path", "Content-Length"];
            assert!(!gone.iter().any(|name| field.is(name)), "{}", field.name.escape_ascii());
        }
        if message.contains(&b'\r') {
            continue;
        }
        let body = [was.body, if was.body.ends_with(b"\n") || !was.closed { b"" } else { b"\n" }].concat();
        assert!(split.body.ends_with(&body) || was.body.is_empty());
        if manner == Compat::Strict {
            let (again, _) = complete(&whole, manner, false).unwrap();
            assert_eq!(bstr::BStr::new(&again), bstr::BStr::new(&whole));
        }
    }
}
