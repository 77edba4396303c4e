//! The tokens of a field (RFC 5322 §3.2).

use std::borrow::Cow;

use crate::mailbox::message::address::{Compat, Fault, FaultKind};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// The offset in the text.
    pub at: usize,
    /// Preceded by blanks.
    pub spaced: bool,
    pub kind: TokenKind<'a>,
}

/// The kind of a token. Words have their value, without quotes and backslashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenKind<'a> {
    /// `.`
    Dot,
    /// `,`
    Comma,
    /// `@`
    At,
    /// `<`
    Left,
    /// `>`
    Right,
    /// `:`
    Colon,
    /// `;`
    Semi,
    /// A word without quotes. Under [`Compat::Qmail`], one with bytes over 127 is `Quoted`.
    Atom(Cow<'a, [u8]>),
    /// `"..."`, or a word that needs quotes.
    Quoted(Cow<'a, [u8]>),
    /// `[...]`
    Literal(Cow<'a, [u8]>),
    /// `(...)`, without the inner parentheses.
    Comment(Cow<'a, [u8]>),
}

impl TokenKind<'_> {
    /// Returns the character of a token without a value.
    pub(crate) fn sign(&self) -> Option<u8> {
        match self {
            TokenKind::Dot => Some(b'.'),
            TokenKind::Comma => Some(b','),
            TokenKind::At => Some(b'@'),
            TokenKind::Left => Some(b'<'),
            TokenKind::Right => Some(b'>'),
            TokenKind::Colon => Some(b':'),
            TokenKind::Semi => Some(b';'),
            _ => None,
        }
    }

    /// Reports whether the token has a value.
    pub(crate) fn is_word(&self) -> bool {
        self.sign().is_none()
    }
}

/// The most tokens in a text. No real list has more.
pub(crate) const MAX_TOKENS: usize = 2_000_000;

/// The tokens of a text, by their offsets: a header may have hundreds of thousands.
#[derive(Debug, Clone)]
pub(crate) struct Tokens<'a> {
    text: &'a [u8],
    compat: Compat,
    starts: Vec<u32>,
}

impl<'a> Tokens<'a> {
    /// Splits a text into tokens.
    ///
    /// # Errors
    /// [`FaultKind::Unclosed`], [`FaultKind::NotOpened`], [`FaultKind::TooLong`].
    pub(crate) fn read(text: &'a [u8], compat: Compat) -> Result<Tokens<'a>, Fault> {
        let mut starts = Vec::new();
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            if is_blank(byte) {
                at += 1;
                continue;
            }
            match u32::try_from(at) {
                Ok(start) if starts.len() < MAX_TOKENS => starts.push(start),
                _ => return Err(Fault { at, kind: FaultKind::TooLong }),
            }
            (_, at) = kind_at(text, at, compat)?;
        }
        Ok(Tokens { text, compat, starts })
    }

    /// Returns no tokens of this text.
    pub(crate) fn empty(text: &'a [u8], compat: Compat) -> Tokens<'a> {
        Tokens { text, compat, starts: Vec::new() }
    }

    pub(crate) fn compat(&self) -> Compat {
        self.compat
    }

    /// Returns the token at this offset.
    pub(crate) fn at(&self, at: usize) -> Token<'a> {
        let spaced = at > 0 && is_blank(self.text[at - 1]);
        match kind_at(self.text, at, self.compat) {
            Ok((kind, _)) => Token { at, spaced, kind },
            Err(_) => unreachable!("a token was read here before"),
        }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = Token<'a>> {
        self.starts.iter().map(|&at| self.at(at as usize))
    }

    pub(crate) fn last(&self) -> Option<Token<'a>> {
        self.starts.last().map(|&at| self.at(at as usize))
    }

    pub(crate) fn pop(&mut self) -> Option<Token<'a>> {
        self.starts.pop().map(|at| self.at(at as usize))
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Parses the token at `at`. Also returns its end.
fn kind_at(text: &[u8], at: usize, compat: Compat) -> Result<(TokenKind<'_>, usize), Fault> {
    let enclosed = |open| enclosed(text, at + 1, open, compat).ok_or(Fault { at, kind: FaultKind::Unclosed });
    Ok(match text[at] {
        b'.' => (TokenKind::Dot, at + 1),
        b',' => (TokenKind::Comma, at + 1),
        b'@' => (TokenKind::At, at + 1),
        b'<' => (TokenKind::Left, at + 1),
        b'>' => (TokenKind::Right, at + 1),
        b':' => (TokenKind::Colon, at + 1),
        b';' => (TokenKind::Semi, at + 1),
        b')' | b']' => return Err(Fault { at, kind: FaultKind::NotOpened }),
        b'(' => enclosed(b'(').map(|(text, end)| (TokenKind::Comment(text), end))?,
        b'"' => enclosed(b'"').map(|(text, end)| (TokenKind::Quoted(text), end))?,
        b'[' => enclosed(b'[').map(|(text, end)| (TokenKind::Literal(text), end))?,
        _ => atom(text, at, compat),
    })
}

/// Parses the text up to its closing character. Also returns the end of the token. `None` if there is no closing
/// character.
fn enclosed(text: &[u8], from: usize, open: u8, compat: Compat) -> Option<(Cow<'_, [u8]>, usize)> {
    let close = match open {
        b'(' => b')',
        b'[' => b']',
        open => open,
    };
    let is_plain =
        |&b: &u8| b != close && b != b'\\' && b != b'\r' && b != b'\n' && (b != b'(' || open != b'(');
    let plain = text[from..].iter().take_while(|b| is_plain(b)).count();
    let mut at = from + plain;
    if text.get(at) == Some(&close) {
        return Some((Cow::Borrowed(&text[from..at]), at + 1));
    }
    let mut content = text[from..at].to_vec();
    let mut depth = 1;
    loop {
        match *text.get(at)? {
            b'\\' => {
                at = escaped_at(text, at, compat);
                content.push(*text.get(at)?);
            }
            b if b == close => {
                depth -= 1;
                if depth == 0 {
                    return Some((content.into(), at + 1));
                }
            }
            b'(' if open == b'(' => depth += 1,
            _ if compat == Compat::Strict && is_fold(&text[at..]) => {}
            b => content.push(b),
        }
        at += 1;
    }
}

/// Reports whether a line ends here and is continued.
fn is_fold(text: &[u8]) -> bool {
    matches!(text, [b'\n', b' ' | b'\t', ..] | [b'\r', b'\n', b' ' | b'\t', ..])
}

/// Returns the offset of the character that the backslash at `at` escapes. Lines are unfolded first (RFC 5322 §2.2.3),
/// so it is never the end of a line. (qmail-inject escapes the line end itself.)
fn escaped_at(text: &[u8], at: usize, compat: Compat) -> usize {
    let rest = &text[at + 1..];
    let line_end = match rest {
        [b'\r', b'\n'] | [b'\n'] => rest.len(),
        _ if is_fold(rest) => 1 + usize::from(rest[0] == b'\r'),
        _ => 0,
    };
    at + 1 + if compat == Compat::Strict { line_end } else { 0 }
}

fn atom(text: &[u8], from: usize, compat: Compat) -> (TokenKind<'_>, usize) {
    let is_plain = |(n, &b): (usize, &u8)| b != b'\\' && (n == 0 || !ends_atom(b));
    let plain = text[from..].iter().enumerate().take_while(|&byte| is_plain(byte)).count();
    let mut at = from + plain;
    let mut content = Cow::Borrowed(&text[from..at]);
    while let Some(&byte) = text.get(at).filter(|&&b| at == from || !ends_atom(b)) {
        if byte == b'\\' {
            at = escaped_at(text, at, compat);
            // At the end of the text a backslash is ignored.
            content.to_mut().extend(text.get(at));
            at += 1;
            continue;
        }
        content.to_mut().push(byte);
        at += 1;
    }
    let at = at.min(text.len());
    // An empty word would not be printed.
    let is_printed = !content.is_empty() || compat == Compat::Qmail;
    match is_printed && content.iter().all(|&b| is_printed_bare(b, compat)) {
        true => (TokenKind::Atom(content), at),
        false => (TokenKind::Quoted(content), at),
    }
}

fn ends_atom(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b'\t' | b'\r' | b'\n' | b'(' | b'[' | b'"' | b'<' | b'>' | b';' | b':' | b'@' | b',' | b'.'
    )
}

/// Reports whether an atom may contain this byte, with or without a backslash. (qmail-inject prints a blank after a
/// backslash without the backslash, which then divides the atom. It quotes bytes over 127; RFC 6532 allows them.)
fn is_printed_bare(byte: u8, compat: Compat) -> bool {
    let is_over_127 = byte > 127 && compat == Compat::Strict;
    is_over_127 || (33..=126).contains(&byte) && !b")]\\<>;:@,.".contains(&byte)
}

#[cfg(test)]
mod tests {
    use crate::mailbox::message::address::token::*;

    /// Returns a word per token: its kind and its value.
    fn shown(text: &str) -> String {
        let shown = Tokens::read(text.as_bytes(), Compat::Strict).map(|tokens| {
            let shown = tokens.iter().map(|token| match &token.kind {
                TokenKind::Atom(text) => format!("a:{}", text.escape_ascii()),
                TokenKind::Quoted(text) => format!("q:{}", text.escape_ascii()),
                TokenKind::Literal(text) => format!("l:{}", text.escape_ascii()),
                TokenKind::Comment(text) => format!("c:{}", text.escape_ascii()),
                sign => format!("{sign:?}"),
            });
            shown.collect::<Vec<_>>().join(" ")
        });
        shown.unwrap_or_else(|fault| format!("{:?} at {}", fault.kind, fault.at))
    }

    #[test]
    fn a_field_is_divided_into_words_and_signs() {
        for (text, want) in [
            ("a.b@c <d>, e: f;", "a:a Dot a:b At a:c Left a:d Right Comma a:e Colon a:f Semi"),
            (r#""a \"b\" c" d"#, r#"q:a \"b\" c a:d"#),
            ("(a (b) \\) c)", "c:a b ) c"),
            ("[1.2\\]]", "l:1.2]"),
            ("a\\ b", "q:a b"),
            ("a\\(b", "a:a(b"),
            ("a)b", "q:a)b"),
            ("caf\u{e9}", "a:caf\\xc3\\xa9"),
            ("\"a\n b\r\n\tc\"", "q:a b\\tc"),
            ("\"a\\\n b\" c\\\r\n\td", "q:a b q:c\\td"),
            ("a\\\n", "a:a"),
            ("\\\n", "q:"),
            ("", ""),
            ("x (y", "Unclosed at 2"),
            ("\"x\\", "Unclosed at 0"),
            ("[", "Unclosed at 0"),
            ("x )", "NotOpened at 2"),
        ] {
            assert_eq!(shown(text), want, "{text:?}");
        }
    }
}
