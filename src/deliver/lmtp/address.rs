//! The paths of MAIL and RCPT (RFC 5321, 4.1.2).

use crate::mailbox::text::escape;

/// An address of the envelope, without quotes: `"a b"@c` has the local part `a b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// What stands before the last `@`; never empty, without control characters.
    pub local: Vec<u8>,
    /// What stands behind it; `None` for `<postmaster>`.
    pub domain: Option<Vec<u8>>,
}

impl Address {
    /// `local@domain`, without quotes: as programs get it in their arguments.
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.domain {
            Some(domain) => [&self.local, &b"@"[..], domain].concat(),
            None => self.local.clone(),
        }
    }

    /// For the screen.
    pub fn shown(&self) -> String {
        escape(&self.to_bytes())
    }
}

/// Takes a path in angle brackets off the front of `text`. `Some((None, rest))` is `<>`; `None` is no path.
///
/// More is allowed than the RFC does, since mail goes to and comes from such addresses: dots anywhere in a
/// local part, bytes over 127, an empty domain literal (the sender `#@[]` of qmail's double bounces). A source
/// route is dropped, as the RFC tells.
pub fn take_path(text: &[u8]) -> Option<(Option<Address>, &[u8])> {
    let text = text.strip_prefix(b"<")?;
    if let Some(rest) = text.strip_prefix(b">") {
        return Some((None, rest));
    }
    let text = without_route(text)?;
    let (local, text) = take_local_part(text)?;
    let (domain, text) = match text.strip_prefix(b"@") {
        Some(text) => take_domain(text).map(|(domain, text)| (Some(domain.to_vec()), text))?,
        None => (None, text),
    };
    Some((Some(Address { local, domain }), text.strip_prefix(b">")?))
}

/// `@a,@b:` goes.
fn without_route(mut text: &[u8]) -> Option<&[u8]> {
    if !text.starts_with(b"@") {
        return Some(text);
    }
    loop {
        let (_, rest) = take_domain(text.strip_prefix(b"@")?)?;
        match rest.split_first()? {
            (b':', rest) => return Some(rest),
            (b',', rest) => text = rest,
            _ => return None,
        }
    }
}

fn take_local_part(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|&b| !is_atom(b)).unwrap_or(text.len());
        let (local, rest) = text.split_at(end);
        return (!local.is_empty()).then(|| (local.to_vec(), rest));
    };
    let mut local = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        let byte = match byte {
            b'"' => return (!local.is_empty()).then(|| (local, &quoted[at + 1..])),
            b'\\' => *bytes.next()?.1,
            byte => byte,
        };
        if byte.is_ascii_control() {
            return None;
        }
        local.push(byte);
    }
    None
}

/// A name, or a literal in square brackets.
fn take_domain(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = if text.starts_with(b"[") {
        let end = text.iter().position(|&b| b == b']')?;
        let inner = &text[1..end];
        let is_literal = |b: &u8| b.is_ascii_graphic() && !matches!(b, b'[' | b'\\' | b'<' | b'>');
        if !inner.iter().all(is_literal) {
            return None;
        }
        end + 1
    } else {
        let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.') || b >= 128;
        let end = text.iter().position(|&b| !is_name(b)).unwrap_or(text.len());
        if text[..end].split(|&b| b == b'.').any(<[u8]>::is_empty) {
            return None;
        }
        end
    };
    Some(text.split_at(end))
}

/// What may stand in a local part without quotes: all that prints but the specials.
fn is_atom(byte: u8) -> bool {
    byte >= 128 || (byte.is_ascii_graphic() && !b"<>()[],;:\\\"@".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        for (text, want) in [
            ("<joe@h.example>", "joe|h.example|"),
            ("<joe@h.example> SIZE=1", "joe|h.example| SIZE=1"),
            ("<>", "null|"),
            ("<> X", "null| X"),
            ("<postmaster>", "postmaster||"),
            ("<\"a b\"@h>", "a b|h|"),
            ("<\"a@b>c\"@h>", "a@b>c|h|"),
            (r#"<"a\"\\b"@h>"#, r#"a"\b|h|"#),
            ("<@a,@b.c:joe@h>", "joe|h|"),
            ("<@a:\"x y\"@h>", "x y|h|"),
            ("<#@[]>", "#|[]|"),
            ("<joe@[127.0.0.1]>", "joe|[127.0.0.1]|"),
            ("<..a..@h>", "..a..|h|"),
            ("<a/../b@h>", "a/../b|h|"),
            ("<SRS0=x=y+z@h>", "SRS0=x=y+z|h|"),
        ] {
            let (address, rest) = take_path(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            let got = match address {
                Some(a) => {
                    let domain = a.domain.unwrap_or_default();
                    [&a.local, &b"|"[..], &domain, b"|", rest].concat()
                }
                None => [b"null|", rest].concat(),
            };
            assert_eq!(String::from_utf8(got).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn what_is_no_path_is_none() {
        for text in [
            "",
            "<",
            "joe@h",
            "<joe@h",
            "<joe@>",
            "<@h>",
            "<joe@h..x>",
            "<joe@.h>",
            "<joe@h.>",
            "<a b@h>",
            "<a@b@c>",
            "<\"\"@h>",
            "<\"a@h>",
            "<\"a\\",
            "<\"a\tb\"@h>",
            "<a\0@h>",
            "<joe@[x>",
            "<@a joe@h>",
            "<@a:>",
            "<@a,joe@h>",
            "< joe@h>",
            "<joe@h >",
        ] {
            assert_eq!(take_path(text.as_bytes()), None, "{text:?}");
        }
    }
}
