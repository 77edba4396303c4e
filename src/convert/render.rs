//! The bytes of a message's file: the source's, less the quoting, with other line ends on request.

use std::borrow::Cow;

use crate::mailbox::mbox::quote::{self, Quoting};

/// Line ends of the messages written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Eol {
    /// As they are.
    #[default]
    Keep,
    /// CRLF becomes LF.
    Lf,
    /// LF becomes CRLF.
    Crlf,
}

/// A message in pieces, most of them slices of the source.
#[derive(Debug)]
pub struct Rendered<'a> {
    /// Their concatenation is the file.
    pub pieces: Vec<Cow<'a, [u8]>>,
    /// How many `>` were taken off.
    pub quotes: u32,
    /// How many line ends were changed.
    pub eols: u32,
}

/// Renders a message whose body begins at `body_at`.
pub fn render(message: &[u8], body_at: usize, quoting: Quoting, eol: Eol) -> Rendered<'_> {
    let mut slices = Vec::new();
    let quotes = quote::unquoted(message, body_at, quoting, &mut slices) as u32;
    if eol == Eol::Keep {
        return Rendered { pieces: slices.into_iter().map(Cow::Borrowed).collect(), quotes, eols: 0 };
    }
    let (mut out, mut eols) = (Vec::with_capacity(message.len() + message.len() / 32), 0);
    for line in slices.concat().split_inclusive(|&b| b == b'\n') {
        eols += push_line(line, eol, &mut out);
    }
    Rendered { pieces: vec![Cow::Owned(out)], quotes, eols }
}

fn push_line(line: &[u8], eol: Eol, out: &mut Vec<u8>) -> u32 {
    let Some(text) = line.strip_suffix(b"\n") else {
        out.extend_from_slice(line);
        return 0;
    };
    let (bare, is_crlf) = match text.strip_suffix(b"\r") {
        Some(bare) => (bare, true),
        None => (text, false),
    };
    match (eol, is_crlf) {
        (Eol::Lf, true) => out.extend_from_slice(&[bare, b"\n"].concat()),
        (Eol::Crlf, false) => out.extend_from_slice(&[bare, b"\r\n"].concat()),
        _ => {
            out.extend_from_slice(line);
            return 0;
        }
    }
    1
}

impl Rendered<'_> {
    /// Size of the file, and its size with every bare LF counted as CRLF (`S=` and `W=`).
    pub fn sizes(&self, may_have_crlf: bool) -> (u64, u64) {
        let (mut size, mut bare) = (0, 0);
        for piece in &self.pieces {
            size += piece.len() as u64;
            let lfs = memchr::memchr_iter(b'\n', piece);
            bare += if may_have_crlf {
                // Pieces begin behind a `>`, so that an LF and its CR are never in two of them.
                lfs.filter(|&at| at == 0 || piece[at - 1] != b'\r').count()
            } else {
                lfs.count()
            } as u64;
        }
        (size, size + bare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(message: &[u8], eol: Eol) -> (Vec<u8>, u32, (u64, u64)) {
        let rendered = render(message, 0, Quoting::Any, eol);
        (rendered.pieces.concat(), rendered.eols, rendered.sizes(true))
    }

    #[test]
    fn line_ends_change_only_on_request_and_are_counted() {
        let mixed = b"a\r\n>From b\nc\rd\r\r\n";
        assert_eq!(rendered(mixed, Eol::Keep), (b"a\r\nFrom b\nc\rd\r\r\n".to_vec(), 0, (16, 17)));
        assert_eq!(rendered(mixed, Eol::Lf), (b"a\nFrom b\nc\rd\r\n".to_vec(), 2, (14, 16)));
        assert_eq!(rendered(mixed, Eol::Crlf), (b"a\r\nFrom b\r\nc\rd\r\r\n".to_vec(), 1, (17, 17)));
    }
}
