//! The paths of MAIL and RCPT (RFC 5321, 4.1.2).

use crate::deliver::session::address::EnvelopeAddress;

/// Parses the path in angle brackets at the start of `text`. `Some((None, rest))` is `<>`.
///
/// Allows more than the RFC, because such addresses are in use: dots anywhere in a local part, bytes over 127, and an
/// empty domain literal (the sender `#@[]` of qmail's double bounces). Drops a source route, as the RFC says.
pub(crate) fn parse_path(text: &[u8]) -> Option<(Option<EnvelopeAddress>, &[u8])> {
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
    Some((Some(EnvelopeAddress { local, domain }), text.strip_prefix(b">")?))
}

/// Removes `@a,@b:`.
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

/// Splits off a host name, or a literal in square brackets.
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

/// Printable characters without the specials, as in an unquoted local part.
fn is_atom(byte: u8) -> bool {
    byte >= 128 || (byte.is_ascii_graphic() && !b"<>()[],;:\\\"@".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_parsed() {
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
            let (address, rest) = parse_path(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
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
    fn malformed_paths_are_rejected() {
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
            assert_eq!(parse_path(text.as_bytes()), None, "{text:?}");
        }
    }
}
