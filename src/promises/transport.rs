//! Properties of the protocols that mailferry sends.

use super::lmtp::unstuffed;
use crate::transport::outcome::Outcome;
use crate::transport::reply::{Parser, Reply};
use crate::transport::stuffing::DotStuffer;
use crate::transport::{netstring as net, qmqp};

/// On the wire, a message ends only where the server recognizes the end, however it treats CR and LF. Only line ends
/// change, and a lone CR becomes a blank. `cuts` are lengths of chunks.
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
        // A CR at the very end is a lone one, too.
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

/// Divides bytes into pieces of these lengths, and the rest.
fn pieces_of<'a>(mut bytes: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut cuts = cuts.iter();
    std::iter::from_fn(move || {
        let cut = cuts.next().map_or(bytes.len(), |&cut| cut.clamp(1, bytes.len().max(1)).min(bytes.len()));
        let (piece, rest) = bytes.split_at(cut);
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Any bytes are a netstring, the beginning of one, or an error: the same for any division into pieces. The size
/// limit holds, and each content has only one spelling.
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

/// Any bytes are the reply of an SMTP server, the beginning of one, or an error: the same for any division into
/// pieces. Its text is one line.
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
