//! Envelope addresses, and the header fields that record them.

/// Sender and recipients of a message to send; raw addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// Empty for the null sender.
    pub(crate) sender: Vec<u8>,
    /// In order, with duplicates.
    pub(crate) recipients: Vec<Vec<u8>>,
}

/// Sender and recipient of a message to deliver, as reported by the mail system.
///
/// Addresses are raw, without quotes or brackets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DeliveryEnvelope {
    /// Empty for the null sender of a bounce, `None` if unknown.
    pub(crate) sender: Option<Vec<u8>>,
    pub(crate) recipient: Option<Vec<u8>>,
}

/// Returns `Return-Path: <sender>` without a line end (RFC 5321 §4.4). The local part is quoted if necessary.
pub(crate) fn return_path(sender: &[u8]) -> Vec<u8> {
    one_line([b"Return-Path: <", &quote(sender)[..], b">"].concat())
}

/// Returns `Delivered-To: recipient` without a line end, unquoted as in qmail-local.
pub(crate) fn delivered_to(recipient: &[u8]) -> Vec<u8> {
    one_line([b"Delivered-To: ", recipient].concat())
}

/// Replaces line ends, with which an address would add lines to the header. qmail-local writes `_` for a newline, too.
fn one_line(mut line: Vec<u8>) -> Vec<u8> {
    line.iter_mut().filter(|b| matches!(b, b'\n' | b'\r' | 0)).for_each(|b| *b = b'_');
    line
}

/// Converts a raw address to its form in a header (RFC 5321 §4.1.2): a local part that is not a dot-atom is quoted.
pub(crate) fn quote(address: &[u8]) -> Vec<u8> {
    let (local, domain) = split(address);
    match address.is_empty() {
        true => Vec::new(),
        false => [&quote_local(local)[..], domain].concat(),
    }
}

/// Converts a raw local part to its form in a header.
pub(crate) fn quote_local(local: &[u8]) -> Vec<u8> {
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

/// Converts an address that may be quoted or in angle brackets to its raw form: the inverse of [`quote`].
pub(crate) fn unquote(address: &[u8]) -> Vec<u8> {
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
                // Quotes are valid only around a whole local part.
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

/// Returns the raw sender in an option or a variable of an MTA.
pub(crate) fn sender_of_mta(sender: &[u8]) -> Vec<u8> {
    match sender {
        // The null sender of Postfix's pipe(8), unless configured otherwise.
        b"MAILER-DAEMON" => Vec::new(),
        sender => unquote(sender),
    }
}

/// Splits at the last `@` into the local part and `@domain`, which may be empty.
pub(crate) fn split(address: &[u8]) -> (&[u8], &[u8]) {
    address.split_at(memchr::memrchr(b'@', address).unwrap_or(address.len()))
}

fn is_dot_atom(local: &[u8]) -> bool {
    let is_atom = |word: &[u8]| {
        !word.is_empty()
            && word.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(b))
    };
    local.split(|&b| b == b'.').all(is_atom)
}

/// Compares two addresses, ignoring case in the domain only: the meaning of a local part is up to its host.
pub(crate) fn is_same(a: &[u8], b: &[u8]) -> bool {
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
            assert_eq!(quote(raw), in_header);
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
            prop_assert_eq!(unquote(&quote(raw.as_bytes())), raw.as_bytes());
        }
    }
}
