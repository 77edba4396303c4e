//! Properties of the LMTP server's lines.

use std::path::Component;

use crate::deliver::session::lmtp::command::{self, Command};
use crate::deliver::session::lmtp::data::DotUnstuffer;
use crate::deliver::session::template::{AddressParts, Template};
use crate::deliver::session::wire::BodyDecoder;

/// Any text is the same after stuffing and unstuffing, except for a final line end, for any division into chunks. The
/// bytes after it stay unread. `cuts` are lengths of chunks.
pub fn lmtp_data(text: &[u8], cuts: &[usize]) {
    // As bytes from the wire.
    let whole = unstuffed(text, &[]);
    assert_eq!(unstuffed(text, cuts), whole);
    // As a text to send.
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

pub(super) fn unstuffed(wire: &[u8], cuts: &[usize]) -> (Vec<u8>, usize) {
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

/// Any line is a command or an error with a reply. A parsed recipient can be written so that it is parsed again. No
/// part of it leads to another directory.
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
