//! Lists printed as a field, folded at commas.

use crate::mailbox::message::address::Compat;
use crate::mailbox::message::address::list::Piece;
use crate::mailbox::message::address::token::{Token, TokenKind};

/// The length of a line, unless it has no comma.
const LINE: usize = 78;

/// Formats `NAME: list`, with its line end. It is folded only at commas.
pub(crate) fn format_field<'a>(
    name: &[u8],
    pieces: impl Iterator<Item = Piece<'a>>,
    compat: Compat,
) -> Vec<u8> {
    let out = [name, b":"].concat();
    let mut printer =
        Printer { line: out.len(), out, segment: Vec::new(), before: None, in_name: false, compat };
    for piece in pieces {
        match piece {
            Piece::Word(token) => printer.token(&token, true),
            Piece::Address(address) => address.tokens.iter().for_each(|token| printer.token(token, false)),
            Piece::MissingComma => {
                printer.token(&Token { at: 0, spaced: false, kind: TokenKind::Comma }, true);
            }
        }
    }
    printer.end_segment();
    printer.out.push(b'\n');
    printer.out
}

struct Printer {
    out: Vec<u8>,
    /// The length of the last line.
    line: usize,
    /// The text after the last comma.
    segment: Vec<u8>,
    /// The token before, and whether it is part of a name.
    before: Option<Before>,
    in_name: bool,
    compat: Compat,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Word,
    Dot,
    Blank,
    Sign,
}

impl Printer {
    fn end_segment(&mut self) {
        let is_first = !self.out.ends_with(b",");
        if !is_first && !self.segment.is_empty() && self.line + self.segment.len() > LINE {
            self.out.extend_from_slice(b"\n ");
            self.line = 1;
        }
        self.line += self.segment.len();
        self.out.append(&mut self.segment);
    }

    fn token(&mut self, token: &Token<'_>, in_name: bool) {
        let needs_space = match self.before {
            // After the colon.
            None | Some(Before::Blank) => true,
            _ if token.kind == TokenKind::Left => true,
            Some(Before::Word) => token.kind.is_word(),
            // `John Q. Public`, but not `john . doe@h`.
            Some(Before::Dot) => {
                let is_name = self.in_name && in_name && token.kind.is_word();
                is_name && token.spaced && self.compat == Compat::Strict
            }
            Some(Before::Sign) => false,
        };
        if needs_space {
            self.segment.push(b' ');
        }
        push_token(&mut self.segment, &token.kind);
        if token.kind == TokenKind::Comma {
            self.end_segment();
        }
        self.in_name = in_name;
        self.before = Some(match &token.kind {
            TokenKind::Comma | TokenKind::Colon => Before::Blank,
            TokenKind::Dot => Before::Dot,
            kind if kind.is_word() => Before::Word,
            _ => Before::Sign,
        });
    }
}

/// Appends a token as it is written in a field.
pub(crate) fn push_token(out: &mut Vec<u8>, kind: &TokenKind<'_>) {
    let (open, text, close): (&[u8], &[u8], &[u8]) = match kind {
        TokenKind::Atom(text) => (b"", text, b""),
        TokenKind::Quoted(text) => (b"\"", text, b"\""),
        TokenKind::Literal(text) => (b"[", text, b"]"),
        TokenKind::Comment(text) => (b"(", text, b")"),
        sign => return out.extend(sign.sign()),
    };
    out.extend_from_slice(open);
    for &byte in text {
        if b"\"[]()\\\r\n".contains(&byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.extend_from_slice(close);
}
