//! The envelope of a message, and the lines of a header that tell of it.

/// From whom and for whom, as the mail system says; addresses are raw, without quotes or brackets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The envelope sender; empty for the null sender of a bounce, None where nobody has said.
    pub sender: Option<Vec<u8>>,
    /// The recipient.
    pub recipient: Option<Vec<u8>>,
}

/// `Return-Path: <sender>` without a line end (RFC 5321 §4.4), its local part quoted where it must be.
pub fn return_path(sender: &[u8]) -> Vec<u8> {
    one_line([b"Return-Path: <", &quoted(sender)[..], b">"].concat())
}

/// `Delivered-To: recipient` without a line end, as qmail-local writes it: not quoted.
pub fn delivered_to(recipient: &[u8]) -> Vec<u8> {
    one_line([b"Delivered-To: ", recipient].concat())
}

/// An address must not add lines of its own to a header; qmail-local has `_` for a newline.
fn one_line(mut line: Vec<u8>) -> Vec<u8> {
    line.iter_mut().filter(|b| matches!(b, b'\n' | b'\r' | 0)).for_each(|b| *b = b'_');
    line
}

/// A raw address as it stands in a header (RFC 5321 §4.1.2): a local part that is no dot-atom goes into
/// quotes.
pub fn quoted(address: &[u8]) -> Vec<u8> {
    let (local, domain) = split(address);
    match address.is_empty() {
        true => Vec::new(),
        false => [&quoted_local(local)[..], domain].concat(),
    }
}

/// A raw local part as it stands in a header.
pub fn quoted_local(local: &[u8]) -> Vec<u8> {
    if is_dot_atom(local) {
        return local.to_vec();
    }
    let mut out = vec![b'"'];
    for &b in local {
        if matches!(b, b'\r' | b'\n' | b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(b);
    }
    out.push(b'"');
    out
}

/// A raw address of one that may be quoted: the inverse of [`quoted`]. Brackets around it are taken off.
pub fn unquoted(address: &[u8]) -> Vec<u8> {
    let inner = address.strip_prefix(b"<").and_then(|inner| inner.strip_suffix(b">"));
    let address = inner.unwrap_or(address);
    let Some(rest) = address.strip_prefix(b"\"") else { return address.to_vec() };
    let mut local = Vec::new();
    let mut bytes = rest.iter();
    while let Some(&b) = bytes.next() {
        match b {
            b'\\' => local.extend(bytes.next().copied()),
            b'"' => {
                let domain = bytes.as_slice();
                // A quote in the middle of something else: it is no quoting.
                return match domain {
                    [] | [b'@', ..] => [&local, domain].concat(),
                    _ => address.to_vec(),
                };
            }
            _ => local.push(b),
        }
    }
    address.to_vec()
}

/// The local part, and `@domain`, which may be empty; split at the last `@`.
pub fn split(address: &[u8]) -> (&[u8], &[u8]) {
    address.split_at(memchr::memrchr(b'@', address).unwrap_or(address.len()))
}

fn is_dot_atom(local: &[u8]) -> bool {
    let is_atom = |word: &[u8]| {
        !word.is_empty()
            && word.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(b))
    };
    local.split(|&b| b == b'.').all(is_atom)
}

/// Whether two addresses are those of one mailbox as far as anybody can tell: a domain is compared
/// without case.
pub fn is_same(a: &[u8], b: &[u8]) -> bool {
    let ((a, a_domain), (b, b_domain)) = (split(a), split(b));
    a == b && a_domain.eq_ignore_ascii_case(b_domain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::transport::envelope::*;

    #[test]
    fn a_local_part_is_quoted_where_it_must_be() {
        for (raw, in_header) in [
            (&b""[..], &b""[..]),
            (b"joe@h.example", b"joe@h.example"),
            (b"a b@x", b"\"a b\"@x"),
            (b".a@x", b"\".a\"@x"),
            (b"a..b@x", b"\"a..b\"@x"),
            (b"a\"b\\@x", b"\"a\\\"b\\\\\"@x"),
            (b"@x", b"\"\"@x"),
            (b"a@b@x", b"\"a@b\"@x"),
            (b"\xe9@x", b"\"\xe9\"@x"),
            (b"#@[]", b"#@[]"),
        ] {
            assert_eq!(quoted(raw), in_header);
        }
    }

    #[test]
    fn no_address_adds_a_line_to_the_header() {
        assert_eq!(return_path(b"a\nb@x"), b"Return-Path: <\"a\\_b\"@x>");
        assert_eq!(delivered_to(b"a\r\nBcc: x@y"), b"Delivered-To: a__Bcc: x@y");
    }

    proptest! {
        #[test]
        fn unquoting_is_the_inverse_of_quoting(raw in "[a-z \"\\\\.@<>]{0,8}@[a-z]{1,3}") {
            prop_assert_eq!(unquoted(&quoted(raw.as_bytes())), raw.as_bytes());
        }
    }
}
