//! Lists of addresses: the addresses, and the words around them.

use crate::mailbox::message::address::token::{Token, TokenKind, Tokens};
use crate::mailbox::message::address::{Compat, Fault, FaultKind};

/// The most tokens in an address. The longest that a mail system accepts has hundreds.
const MOST: usize = 10_000;

/// An address: its tokens in order, without comments. `<>` has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address<'a> {
    /// The offset in the text.
    pub at: usize,
    pub tokens: Vec<Token<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A token outside of addresses: names, comments, brackets, commas, groups.
    Word(Token<'a>),
    Address(Address<'a>),
    /// A comma is missing here.
    MissingComma,
}

/// A parsed list. It stores offsets in its text, and creates its pieces on demand.
#[derive(Debug, Clone)]
pub(crate) struct AddressList<'a> {
    text: Tokens<'a>,
    parts: Vec<Part>,
    /// The offsets of the tokens of addresses, from right to left in each address.
    starts: Vec<u32>,
    /// The fault that ended parsing early. Parsing goes from right to left, so the list then has only what follows
    /// the fault.
    pub fault: Option<Fault>,
    /// A tolerated fault.
    pub warning: Option<Fault>,
}

/// A [`Piece`] by its offset.
#[derive(Debug, Clone, Copy)]
enum Part {
    Word(u32),
    /// The offset, and the number of its starts.
    Address(u32, u32),
    MissingComma,
}

impl<'a> AddressList<'a> {
    pub(crate) fn read(text: &'a [u8], compat: Compat) -> AddressList<'a> {
        match Tokens::read(text, compat) {
            Ok(tokens) => parse(tokens),
            Err(fault) => {
                let text = Tokens::empty(text, compat);
                AddressList { text, parts: Vec::new(), starts: Vec::new(), fault: Some(fault), warning: None }
            }
        }
    }

    /// Returns the pieces in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece<'a>> {
        let mut left = &self.starts[..];
        self.parts.iter().map(move |part| match *part {
            Part::Word(at) => Piece::Word(self.text.at(at as usize)),
            Part::Address(at, count) => {
                let starts = left.split_off(left.len() - count as usize..).unwrap_or_default();
                Piece::Address(address(&self.text, at, starts))
            }
            Part::MissingComma => Piece::MissingComma,
        })
    }

    /// Returns the addresses from right to left, in the order of qmail-inject.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Address<'a>> {
        let mut left = &self.starts[..];
        self.parts.iter().rev().filter_map(move |part| match *part {
            Part::Address(at, count) => {
                let starts = left.split_off(..count as usize).unwrap_or_default();
                Some(address(&self.text, at, starts))
            }
            _ => None,
        })
    }

    /// Returns the number of addresses.
    pub(crate) fn count(&self) -> usize {
        self.parts.iter().filter(|part| matches!(part, Part::Address(..))).count()
    }
}

impl Address<'_> {
    /// Returns the raw address: without quotes, brackets and comments.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for token in &self.tokens {
            match &token.kind {
                TokenKind::Atom(text) | TokenKind::Quoted(text) => out.extend_from_slice(text),
                TokenKind::Literal(text) => out.extend([&b"["[..], text, b"]"].concat()),
                TokenKind::Comment(_) => {}
                sign => out.extend(sign.sign()),
            }
        }
        out
    }

    /// Checks that this can be an address of the envelope. `<>` is allowed for a sender. The domain may be missing,
    /// since it may be added. A local part may have dots anywhere, since such addresses exist.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let fault = |at, kind| Err(Fault { at, kind });
        let mut tokens = &self.tokens[route_len(&self.tokens)..];
        if let [rest @ .., Token { kind: TokenKind::Dot, .. }] = tokens {
            tokens = rest;
        }
        if self.tokens.is_empty() {
            return Ok(());
        }
        for token in tokens {
            let text = match &token.kind {
                TokenKind::Atom(text) | TokenKind::Quoted(text) | TokenKind::Literal(text) => text,
                TokenKind::Left => return fault(token.at, FaultKind::BracketNotClosed),
                TokenKind::Dot | TokenKind::At | TokenKind::Comment(_) => continue,
                TokenKind::Comma | TokenKind::Right | TokenKind::Colon | TokenKind::Semi => {
                    return fault(token.at, FaultKind::BadDomain);
                }
            };
            if text.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
                return fault(token.at, FaultKind::Control);
            }
        }
        let at = tokens.iter().position(|token| token.kind == TokenKind::At);
        let (local, domain) = tokens.split_at(at.unwrap_or(tokens.len()));
        let has_text = |token: &Token<'_>| matches!(&token.kind, TokenKind::Atom(text) | TokenKind::Quoted(text) | TokenKind::Literal(text) if !text.is_empty());
        if !local.iter().any(has_text) {
            return fault(self.at, FaultKind::Empty);
        }
        if let Some(pair) = local.windows(2).find(|pair| pair.iter().all(|token| token.kind.is_word())) {
            return fault(pair[1].at, FaultKind::TwoWords);
        }
        if let Some(literal) = local.iter().find(|token| matches!(token.kind, TokenKind::Literal(_))) {
            return fault(literal.at, FaultKind::LiteralInName);
        }
        // A trailing @ is ignored.
        let Some((_, domain)) = domain.split_first().filter(|(_, domain)| !domain.is_empty()) else {
            return Ok(());
        };
        if let Some(second) = domain.iter().find(|token| token.kind == TokenKind::At) {
            return fault(second.at, FaultKind::SecondAt);
        }
        let is_label = |text: &[u8]| {
            let is_known = |b: &u8| b.is_ascii_alphanumeric() || b"-_+".contains(b) || *b > 127;
            text.iter().all(is_known) && text.iter().any(|b| *b != b'+')
        };
        let mut labels = domain.split(|token| token.kind == TokenKind::Dot);
        let is_name = labels
            .all(|label| matches!(label, [Token { kind: TokenKind::Atom(text), .. }] if is_label(text)));
        let is_plain = |b: &u8| b.is_ascii_graphic() && !b"@<>[]()\\\"".contains(b);
        let is_literal =
            matches!(domain, [Token { kind: TokenKind::Literal(text), .. }] if text.iter().all(is_plain));
        match is_name || is_literal {
            true => Ok(()),
            false => fault(domain[0].at, FaultKind::BadDomain),
        }
    }
}

/// Returns the number of tokens in the route at the beginning of an address: `@a,@b:`. Without a colon these are all
/// tokens.
pub(crate) fn route_len(tokens: &[Token<'_>]) -> usize {
    match tokens.first() {
        Some(Token { kind: TokenKind::At, .. }) => {
            let colon = tokens.iter().position(|token| token.kind == TokenKind::Colon);
            colon.map_or(tokens.len(), |colon| colon + 1)
        }
        _ => 0,
    }
}

/// Builds the address at `at`. The offsets of its tokens are from right to left.
fn address<'a>(text: &Tokens<'a>, at: u32, starts: &[u32]) -> Address<'a> {
    Address { at: at as usize, tokens: starts.iter().rev().map(|&at| text.at(at as usize)).collect() }
}

fn parse(tokens: Tokens<'_>) -> AddressList<'_> {
    let text = Tokens::empty(b"", tokens.compat());
    let mut parser = Parser {
        list: AddressList { text, parts: Vec::new(), starts: Vec::new(), fault: None, warning: None },
        left: tokens,
        address: 0,
        group_end: None,
        word_ok: true,
    };
    let fault = parser.run().err();
    parser.flush();
    if fault.is_none()
        && let Some(at) = parser.group_end
    {
        parser.warn(at, FaultKind::GroupNotOpened);
    }
    let Parser { mut list, left, .. } = parser;
    list.parts.reverse();
    AddressList { text: left, fault, ..list }
}

/// Parses from right to left: that way the role of a word is known before the word. The parts are collected in that
/// order, too.
struct Parser<'a> {
    left: Tokens<'a>,
    list: AddressList<'a>,
    /// The first start of the current address.
    address: usize,
    /// The offset of the `;` of the current group.
    group_end: Option<usize>,
    /// A word would be part of the current address.
    word_ok: bool,
}

impl<'a> Parser<'a> {
    fn run(&mut self) -> Result<(), Fault> {
        while let Some(token) = self.left.pop() {
            let at = token.at;
            match token.kind {
                TokenKind::Semi => {
                    self.flush_before_another();
                    if self.group_end.replace(at).is_some() {
                        return Err(Fault { at, kind: FaultKind::GroupInGroup });
                    }
                    self.put(token);
                    self.word_ok = true;
                }
                TokenKind::Colon => {
                    self.flush();
                    if self.group_end.take().is_none() {
                        let kind = match is_route(&self.left) {
                            true => FaultKind::BareRoute,
                            false => FaultKind::GroupNotClosed,
                        };
                        return Err(Fault { at, kind });
                    }
                    self.put(token);
                    self.put_through_comma();
                    self.word_ok = true;
                }
                TokenKind::Right => {
                    self.flush_before_another();
                    self.put(token);
                    self.bracketed(at)?;
                    self.word_ok = false;
                }
                TokenKind::Atom(_) | TokenKind::Quoted(_) | TokenKind::Literal(_) => {
                    if !self.word_ok {
                        self.flush_before_another();
                    }
                    self.word_ok = false;
                    self.collect(token.at)?;
                }
                // A comment is a blank. It moves after the address that contains it.
                TokenKind::Comment(_) => self.put(token),
                TokenKind::Comma => {
                    self.flush();
                    self.put(token);
                    self.word_ok = true;
                }
                TokenKind::Dot | TokenKind::At | TokenKind::Left => {
                    self.word_ok = true;
                    self.collect(token.at)?;
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, token: Token<'a>) {
        self.list.parts.push(Part::Word(token.at as u32));
    }

    /// Adds a token to the current address.
    fn collect(&mut self, at: usize) -> Result<(), Fault> {
        if self.list.starts.len() - self.address == MOST {
            self.list.starts.truncate(self.address);
            return Err(Fault { at, kind: FaultKind::TooLong });
        }
        self.list.starts.push(at as u32);
        Ok(())
    }

    /// Reads the name of a group.
    fn put_through_comma(&mut self) {
        while let Some(token) = self.left.pop() {
            let is_comma = token.kind == TokenKind::Comma;
            if !is_comma && !is_of_name(&token) {
                self.warn(token.at, FaultKind::AddressInName);
            }
            self.put(token);
            if is_comma {
                return;
            }
        }
    }

    /// Reads the address before `>`, and the name before that.
    fn bracketed(&mut self, right: usize) -> Result<(), Fault> {
        let left = loop {
            match self.left.pop() {
                Some(token) if token.kind == TokenKind::Left => break Some(token),
                Some(token)
                    if self.left.compat() == Compat::Strict
                        && matches!(token.kind, TokenKind::Comment(_)) =>
                {
                    self.put(token);
                }
                Some(token) => self.collect(token.at)?,
                None => break None,
            }
        };
        // Also an empty one.
        self.end_address(left.as_ref().map_or(right, |left| left.at));
        let Some(left) = left else { return Err(Fault { at: right, kind: FaultKind::BracketNotOpened }) };
        self.put(left);
        let (mut name, mut has_at) = (Vec::new(), false);
        let may_be_name = |token: &Token<'_>| is_of_name(token) || token.kind == TokenKind::At;
        while let Some(token) = self.left.last().filter(may_be_name) {
            self.left.pop();
            if !matches!(token.kind, TokenKind::Comment(_)) {
                has_at |= token.kind == TokenKind::At;
                name.push(token.at as u32);
            }
            self.put(token);
        }
        if let Some(Token { at, kind: TokenKind::Literal(_), .. }) = self.left.last() {
            self.warn(at, FaultKind::LiteralInName);
        }
        // Many programs write `joe@example.org <joe@example.org>`.
        if let Some(&at) = name.last().filter(|_| has_at)
            && (name.len() > MOST || address(&self.left, at, &name).check().is_err())
        {
            self.warn(at as usize, FaultKind::AddressInName);
        }
        Ok(())
    }

    fn flush(&mut self) {
        if let Some(&first) = self.list.starts[self.address..].last() {
            self.end_address(first as usize);
        }
    }

    /// Ends the current address where another one follows on the left without a comma.
    fn flush_before_another(&mut self) {
        if self.address < self.list.starts.len() {
            self.flush();
            self.list.parts.push(Part::MissingComma);
        }
    }

    fn end_address(&mut self, at: usize) {
        let from = std::mem::replace(&mut self.address, self.list.starts.len());
        let starts = &self.list.starts[from..];
        let (at, count) = (at as u32, starts.len() as u32);
        if let Err(fault) = address(&self.left, at, starts).check() {
            self.warn(fault.at, fault.kind);
        }
        self.list.parts.push(Part::Address(at, count));
    }

    /// Sets the warning. The leftmost one wins, unless one may lose a recipient.
    fn warn(&mut self, at: usize, kind: FaultKind) {
        let keep = self.list.warning.is_some_and(|warning| warning.kind.loses_recipients());
        if !keep {
            self.list.warning = Some(Fault { at, kind });
        }
    }
}

/// Reports whether the token can be part of a name.
fn is_of_name(token: &Token<'_>) -> bool {
    use TokenKind::{Atom, Comment, Dot, Quoted};
    matches!(token.kind, Atom(_) | Quoted(_) | Comment(_) | Dot)
}

/// Reports whether the tokens are `@a,@b`.
fn is_route(tokens: &Tokens<'_>) -> bool {
    let mut in_hop = false;
    for token in tokens.iter() {
        match token.kind {
            TokenKind::At if !in_hop => in_hop = true,
            TokenKind::Comma if in_hop => in_hop = false,
            TokenKind::At | TokenKind::Comma => return false,
            _ if in_hop => {}
            _ => return false,
        }
    }
    in_hop
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::mailbox::message::address::list::*;

    /// Returns the addresses from left to right, and the faults.
    fn read(text: &str, compat: Compat) -> String {
        let list = AddressList::read(text.as_bytes(), compat);
        let mut addresses: Vec<String> =
            list.addresses().map(|address| address.to_bytes().escape_ascii().to_string()).collect();
        addresses.reverse();
        let mut out = addresses.join(" | ");
        for (mark, fault) in [("!", list.fault), ("?", list.warning)] {
            if let Some(fault) = fault {
                out += &format!(" {mark}{:?} {}", fault.kind, fault.at);
            }
        }
        out
    }

    #[test]
    fn real_fields_are_parsed() {
        for (text, want) in [
            ("", ""),
            ("bob", "bob"),
            ("bob@h.example", "bob@h.example"),
            (r#"Bob Q. Smith <bob@h>, "Smith, Al" <al@h>"#, "bob@h | al@h"),
            ("bob@h (Bob), (Al) al@h", "bob@h | al@h"),
            ("bob (the builder) @ (at) h . example", "bob@h.example"),
            ("<bob@h (x)>", "bob@h"),
            ("friends: a@h, b; , c@d", "a@h | b | c@d"),
            ("none: ;", ""),
            ("<@a,@b:bob@h>", "@a,@b:bob@h"),
            (r#""john doe"@h, "a\"b"@h"#, r#"john doe@h | a\"b@h"#),
            ("bob@[127.0.0.1]", "bob@[127.0.0.1]"),
            (", , bob@h,,al@h ,", "bob@h | al@h"),
            ("a..b.@h", "a..b.@h"),
            ("joe@x.example <joe@x.example>", "joe@x.example"),
            ("=?utf-8?Q?J=C3=BCrgen?= <j@h>", "j@h"),
            ("J\u{fc}rgen <j@m\u{fc}nchen.example>", r"j@m\xc3\xbcnchen.example"),
            (r"a\ b@h", "a b@h"),
            ("bob al c@h", "bob | al | c@h"),
            ("ann@h\n bob@h", "ann@h | bob@h"),
            ("<>", ""),
        ] {
            assert_eq!(read(text, Compat::Strict), want, "{text}");
        }
    }

    #[test]
    fn a_fault_is_reported_with_its_offset() {
        for (text, want) in [
            ("a@h, g: b@h", "b@h !GroupNotClosed 6"),
            ("g1: a@h, g2: b@h; ;", " !GroupInGroup 16"),
            ("bob@h>", "bob@h !BracketNotOpened 5"),
            ("ok@h, <bob@h", "ok@h | <bob@h ?BracketNotClosed 6"),
            ("a@h; b@h", "a@h | b@h ?GroupNotOpened 3"),
            ("@a:bob@h", "bob@h !BareRoute 2"),
            ("@a,@b:bob@h", "bob@h !BareRoute 5"),
            ("ann@h, @a:bob@h", "bob@h !GroupNotClosed 9"),
            ("Bob [X] <bob@h>", "Bob | [X] | bob@h ?LiteralInName 4"),
            ("ann@x Bob <bob@h>", "bob@h ?AddressInName 0"),
            ("<ann@x> friends: bob@h;", "bob@h ?AddressInName 0"),
            ("a@b@c", "a@b@c ?SecondAt 3"),
            ("<a b@h>", "ab@h ?TwoWords 3"),
            ("@h", "@h ?Empty 0"),
            (r#"""@h"#, "@h ?Empty 0"),
            ("bob@h..x", "bob@h..x ?BadDomain 4"),
            ("bob@[a@b]", "bob@[a@b] ?BadDomain 4"),
            ("bob@+", "bob@+ ?BadDomain 4"),
            ("\"a\0b\"@h", r"a\x00b@h ?Control 0"),
        ] {
            assert_eq!(read(text, Compat::Strict), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_what_is_printed_is_read_again(text: Vec<u8>) {
            crate::promises::addresses(&text);
        }

        #[test]
        fn any_signs_too(text in r#"([a-c.@,:;<>+ "()\[\]\\\r\n]|é|a@b|\n ){0,30}"#) {
            crate::promises::addresses(text.as_bytes());
        }
    }
}
