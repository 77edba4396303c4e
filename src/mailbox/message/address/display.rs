//! Lists of addresses for display.

use crate::mailbox::message::address::Compat;
use crate::mailbox::message::address::list::{AddressList, Piece};
use crate::mailbox::message::address::token::{Token, TokenKind};
use crate::mailbox::message::header::decode_text;

/// Formats a field as `Ada <ada@example.org>, bob@example.org`. Names are decoded (RFC 2047), also those in a comment
/// after the address. Addresses are raw. A decoded name that could pass for an address gets quotes. A field that is
/// not a plain list is only decoded.
pub(crate) fn display(value: &[u8]) -> String {
    plain_address(value).map_or_else(|| display_list(value), str::to_owned)
}

/// Returns `Ada <ada@example.org>` or `ada@example.org` in plain letters, which is shown as it is. Nearly every sender
/// is one.
fn plain_address(value: &[u8]) -> Option<&str> {
    let text = value.trim_ascii();
    let is_letter = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'+' | b'\'');
    let is_word = |word: &[u8]| !word.is_empty() && word.iter().all(is_letter);
    let (name, address) = match text.strip_suffix(b">") {
        Some(text) => {
            let open = memchr::memchr(b'<', text)?;
            (text[..open].strip_suffix(b" ")?, &text[open + 1..])
        }
        None => (&b"x"[..], text),
    };
    let at = memchr::memchr(b'@', address)?;
    let mut words =
        [&address[..at], &address[at + 1..]].into_iter().flat_map(|part| part.split(|&b| b == b'.'));
    let is_plain = name.split(|&b| b == b' ').all(is_word) && words.all(is_word);
    std::str::from_utf8(text).ok().filter(|_| is_plain)
}

fn display_list(value: &[u8]) -> String {
    let list = AddressList::read(value, Compat::Strict);
    let is_plain = list.fault.is_none() && list.warning.is_none() && list.count() > 0;
    match is_plain.then(|| plain(&list)).flatten() {
        Some(text) => text,
        None => decode_text(value),
    }
}

/// Returns `None` for a group or a missing comma.
fn plain(list: &AddressList<'_>) -> Option<String> {
    let mut all: Vec<String> = Vec::new();
    let mut one = One::default();
    for piece in list.pieces() {
        match piece {
            Piece::Address(address) => one.address = Some(decode_text(&address.to_bytes())),
            Piece::MissingComma => return None,
            Piece::Word(token) => match &token.kind {
                TokenKind::Comma => all.extend(std::mem::take(&mut one).shown()),
                TokenKind::Colon | TokenKind::Semi => return None,
                TokenKind::Comment(text) => one.comment = Some(text.to_vec()),
                TokenKind::Left | TokenKind::Right => {}
                _ => one.name.push(token),
            },
        }
    }
    all.extend(one.shown());
    Some(all.join(", "))
}

/// The parts of a list element.
#[derive(Default)]
struct One<'a> {
    name: Vec<Token<'a>>,
    comment: Option<Vec<u8>>,
    address: Option<String>,
}

impl One<'_> {
    fn shown(self) -> Option<String> {
        let address = self.address?;
        let name = match &self.name[..] {
            [] => decode_text(&self.comment.unwrap_or_default()),
            [Token { kind: TokenKind::Quoted(text), .. }] => in_quotes(&decode_text(text)),
            tokens => {
                let mut text = Vec::new();
                for token in tokens {
                    if token.spaced && !text.is_empty() {
                        text.push(b' ');
                    }
                    match &token.kind {
                        TokenKind::Atom(word) | TokenKind::Quoted(word) => text.extend_from_slice(word),
                        TokenKind::At => text.push(b'@'),
                        _ => text.push(b'.'),
                    }
                }
                decode_text(&text)
            }
        };
        Some(match name.trim() {
            "" => address,
            name if name.contains(['<', '>', '@', ',', ';']) => format!("{} <{address}>", in_quotes(name)),
            name => format!("{name} <{address}>"),
        })
    }
}

fn in_quotes(text: &str) -> String {
    match text.starts_with('"') && text.ends_with('"') && text.len() > 1 {
        true => text.to_owned(),
        false => format!("\"{text}\""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::mailbox::message::address::display::*;

    #[test]
    fn a_name_is_found_where_mail_has_it() {
        for (value, shown) in [
            (" Ada Lindqvist <ada@x.example>", "Ada Lindqvist <ada@x.example>"),
            ("John Q. Public <jqp@x>", "John Q. Public <jqp@x>"),
            (r#""Dilip Rao" <d@x>"#, r#""Dilip Rao" <d@x>"#),
            (r#""A. \"B\" C" <a@x>"#, r#""A. "B" C" <a@x>"#),
            ("ada@x (Ada\n Lindqvist)", "Ada Lindqvist <ada@x>"),
            ("ada@x (=?utf-8?Q?J=C3=BCrgen?=)", "J\u{fc}rgen <ada@x>"),
            ("=?utf-8?Q?J=C3=BCrgen?= =?utf-8?Q?_M?= <j@x>", "J\u{fc}rgen M <j@x>"),
            ("J\u{fc}rgen <j@m\u{fc}nchen.example>", "J\u{fc}rgen <j@m\u{fc}nchen.example>"),
            ("<a@x>", "a@x"),
            ("a@x, Bob <b@x>", "a@x, Bob <b@x>"),
            ("Ada <@hop:ada@x>", "Ada <@hop:ada@x>"),
            ("joe@x <joe@x>", r#""joe@x" <joe@x>"#),
            // A name cannot forge an address.
            ("=?utf-8?Q?boss=40x_=3Cboss=40x=3E=2C?= <eve@y>", r#""boss@x <boss@x>," <eve@y>"#),
            // Unchanged.
            ("friends: a@x, b@x;", "friends: a@x, b@x;"),
            ("bob al c@h", "bob al c@h"),
            ("Bob <bob@h", "Bob <bob@h"),
            ("=?utf-8?Q?J=C3=BCrgen?= at home", "J\u{fc}rgen at home"),
            ("", ""),
        ] {
            assert_eq!(display(value.as_bytes()), shown, "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_plain_address_is_shown_as_the_list_that_it_is(
            value in "[ ]{0,2}([A-Za-z0-9'_+.=?<>@(\",-]{1,5}[ ]{0,2}){0,3}[<]{0,1}[a-z0-9._+'-]{0,6}@[a-z0-9._+'-]{0,6}[>]{0,1}",
        ) {
            if let Some(plain) = plain_address(value.as_bytes()) {
                prop_assert_eq!(plain, display_list(value.as_bytes()));
            }
        }
    }
}
