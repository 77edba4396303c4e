//! Properties of headers, dates, addresses and names.

use std::os::unix::ffi::OsStrExt;

use super::are_slices_in_order;
use crate::mailbox::maildir::name;
use crate::mailbox::message::address::{Compat, list as list_of, print, token};
use crate::mailbox::message::header::decode_text;
use crate::mailbox::message::status::{self, LabelPolicy, gmail};
use crate::mailbox::message::{Flags, Stamp, date, header};

/// Header and body cover the message except for the empty line. Fields are parts of the header.
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

/// Any file name can be parsed. With other flags it is the name of the same message. Only names in mailferry's own
/// spelling count as its names.
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

/// No bytes and no number break the dates, and a date that was written is read back.
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

/// Any text is a list of addresses. Each fault has an offset in it, and the printed list of a field is parsed as the
/// same list.
/// A faultless address can be written raw and quoted again.
pub fn addresses(text: &[u8]) {
    let text = [text, b"\n"].concat();
    let is_one_field = text.windows(2).all(|pair| pair[0] != b'\n' || matches!(pair[1], b' ' | b'\t'));
    for manner in [Compat::Qmail, Compat::Strict] {
        let list = list_of::AddressList::read(&text, manner);
        for fault in [list.fault, list.warning].into_iter().flatten() {
            assert!(fault.at < text.len());
        }
        // Only in a field is a line end always a fold.
        if list.fault.is_some() || manner == Compat::Strict && !is_one_field {
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
