//! Addresses in reports.

/// Returns the address of a field of RFC 3464, such as `rfc822; joe@example.org`: without its type, angle brackets and a
/// comment after it. None if nothing is left.
///
/// Many programs leave the type out or add brackets. A mailbox that is a file or a program stays as it is.
pub(super) fn of_field(value: &[u8]) -> Option<Vec<u8>> {
    let (kind, address) = split_type(value);
    let address = without_brackets(without_comment(address));
    let is_utf8 = kind.is_some_and(|kind| kind.eq_ignore_ascii_case(b"utf-8"));
    let address = if is_utf8 { decode_utf8_address(address) } else { address.to_vec() };
    (!address.is_empty()).then_some(address)
}

/// Returns the name of a server in a field such as `dns; mx.example.org (192.0.2.1)`.
pub(super) fn server_of_field(value: &[u8]) -> Option<Vec<u8>> {
    let (_, name) = split_type(value);
    let end = name.iter().position(|byte| byte.is_ascii_whitespace() || *byte == b'(');
    let name = &name[..end.unwrap_or(name.len())];
    (!name.is_empty()).then(|| name.to_vec())
}

/// Splits `type; value`. Both are trimmed.
pub(super) fn split_type(value: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let value = value.trim_ascii();
    let parts = memchr::memchr(b';', value).map(|at| (value[..at].trim_ascii(), &value[at + 1..]));
    let is_type =
        |word: &[u8]| word.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    match parts {
        Some((kind, rest)) if is_type(kind) => (Some(kind), rest.trim_ascii()),
        _ => (None, value),
    }
}

pub(super) fn without_brackets(address: &[u8]) -> &[u8] {
    let inside = address.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">"));
    inside.map_or(address, <[u8]>::trim_ascii)
}

/// Removes ` (comment)` from the end. A local part may have parentheses, but no blank before the last one unless it is
/// quoted.
fn without_comment(address: &[u8]) -> &[u8] {
    let is_comment = address.ends_with(b")");
    let start = memchr::memmem::rfind(address, b" (").filter(|_| is_comment);
    let is_quoted = |before: &[u8]| memchr::memchr_iter(b'"', before).count() % 2 == 1;
    match start {
        Some(at) if !is_quoted(&address[..at]) => address[..at].trim_ascii_end(),
        _ => address,
    }
}

/// Decodes the `\x{221E}` of a utf-8-addr (RFC 6533 §3). What is not a character stays.
fn decode_utf8_address(address: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(address.len()), address);
    while let Some(at) = memchr::memmem::find(rest, br"\x{") {
        out.extend_from_slice(&rest[..at]);
        let escaped = &rest[at + 3..];
        // No character has more than six digits.
        let end = escaped.iter().take(7).position(|&byte| byte == b'}');
        let digits = end.and_then(|end| std::str::from_utf8(&escaped[..end]).ok());
        let code = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        match (end, code.and_then(|code| u32::from_str_radix(code, 16).ok()).and_then(char::from_u32)) {
            (Some(end), Some(character)) => {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &escaped[end + 1..];
            }
            _ => {
                out.extend_from_slice(br"\x{");
                rest = escaped;
            }
        }
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_field_is_without_type_brackets_and_comment() {
        for (value, address) in [
            (" rfc822; joe@example.org", "joe@example.org"),
            ("RFC822 ;<joe@example.org>", "joe@example.org"),
            ("joe@example.org", "joe@example.org"),
            ("rfc822;joe@example.org (the one)", "joe@example.org"),
            (r#"rfc822; "joe (at) home)"@example.org"#, r#""joe (at) home)"@example.org"#),
            (r#"rfc822; "a\"b<c>"@example.org"#, r#""a\"b<c>"@example.org"#),
            ("rfc822; |/bin/program joe; exit 1", "|/bin/program joe; exit 1"),
            (r"utf-8; d\x{F6}r@example.org", "dör@example.org"),
            (r"utf-8; \x{110000}\x{}\x{41", r"\x{110000}\x{}\x{41"),
            (r"rfc822; d\x{F6}r@example.org", r"d\x{F6}r@example.org"),
            ("utf-8; 用户@example.org", "用户@example.org"),
        ] {
            let found = of_field(value.as_bytes()).map(|address| String::from_utf8(address).unwrap());
            assert_eq!(found.as_deref(), Some(address));
        }
        for value in ["", "rfc822;", "rfc822; <>", " "] {
            assert_eq!(of_field(value.as_bytes()), None);
        }
    }

    #[test]
    fn a_server_is_a_name_without_its_type() {
        assert_eq!(server_of_field(b"dns; mx.example.org (192.0.2.1)"), Some(b"mx.example.org".to_vec()));
        assert_eq!(server_of_field(b"mx.example.org"), Some(b"mx.example.org".to_vec()));
        assert_eq!(server_of_field(b"dns;"), None);
    }
}
