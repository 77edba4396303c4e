//! Variable envelope return paths: the recipient in the address that a bounce was sent to.
//!
//! A list that sends from `list-return-joe=example.org@lists.example` learns from the address of a bounce who did not
//! get its mail, whatever the report says.

use super::report::Bounce;
use crate::mailbox::message::header;

/// Fields with the address to which a bounce was delivered, the most reliable first.
const FIELDS: [&str; 6] =
    ["Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "To", "Return-Path"];

/// More addresses are not looked at.
const MAX_ADDRESSES: usize = 100;

/// Sets the recipient that the address of the bounce has.
pub(super) fn find_recipients(head: &[u8], bounce: &mut Bounce) {
    let fields: Vec<_> = header::fields(head).filter(|field| field.value.contains(&b'=')).collect();
    let values = FIELDS.iter().flat_map(|name| fields.iter().filter(|field| field.is(name)));
    let addresses = values.flat_map(|field| addresses(&header::unfold(field.value)));
    let addresses: Vec<Vec<u8>> = addresses.take(MAX_ADDRESSES).collect();
    for recipient in &mut bounce.recipients {
        let known = [Some(&recipient.recipient), recipient.original_recipient.as_ref()];
        let known: Vec<&[u8]> = known.into_iter().flatten().map(Vec::as_slice).collect();
        if let Some(encoded) = addresses.iter().find_map(|address| decode(address, &known)) {
            recipient.verp_recipient = Some(encoded.address);
            recipient.is_heuristic |= encoded.is_guess;
        }
    }
}

/// A recipient that is a part of another address.
#[derive(Debug, PartialEq, Eq)]
struct EncodedRecipient {
    address: Vec<u8>,
    /// It may begin at another dash.
    is_guess: bool,
}

/// Returns the words of a field that have the form of an address with an encoded recipient.
fn addresses(value: &[u8]) -> Vec<Vec<u8>> {
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'<' | b'>' | b',' | b'"');
    let words = value.split(is_end).filter(|word| word.contains(&b'=') && word.contains(&b'@'));
    words.map(<[u8]>::to_vec).collect()
}

/// Returns the recipient in an address. `known` are those that the report names.
fn decode(address: &[u8], known: &[&[u8]]) -> Option<EncodedRecipient> {
    let (local, _) = split_at_host(address)?;
    let local = without_batv(local);
    // SRS rewrites the sender of a forwarded message.
    let is_srs = |prefix: &[u8]| local.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if is_srs(b"SRS0") || is_srs(b"SRS1") {
        return None;
    }
    let equals = memchr::memrchr(b'=', local)?;
    let (before, host) = (&local[..equals], &local[equals + 1..]);
    let is_known = known.iter().find_map(|known| known_start(before, host, known));
    let (start, is_guess) = match (is_known, memchr::memchr(b'+', before)) {
        (Some(start), _) => (start, false),
        // Mailman and Postfix.
        (None, Some(plus)) => (plus + 1, false),
        (None, None) => start_after_dash(before)?,
    };
    let user = &before[start..];
    (is_host(host) && !user.is_empty())
        .then(|| EncodedRecipient { address: [user, b"@", host].concat(), is_guess })
}

/// Returns where the local part of a known recipient begins.
fn known_start(before: &[u8], host: &[u8], known: &[u8]) -> Option<usize> {
    let (user, known_host) = split_at_host(known)?;
    let prefix = strip_suffix_ignore_case(before, user)?;
    let is_whole = known_host.eq_ignore_ascii_case(host) && matches!(prefix.last(), Some(b'-' | b'+' | b'='));
    is_whole.then_some(prefix.len())
}

/// Returns where the local part begins after the prefix of a list, and whether that is a guess: both may have dashes.
fn start_after_dash(before: &[u8]) -> Option<(usize, bool)> {
    // The last words of usual prefixes: ezmlm adds the number of the message to `-return-`.
    for word in ["-return-", "-bounces-", "-bounce-", "-owner-", "-errors-", "-request-"] {
        if let Some(at) = memchr::memmem::find(before, word.as_bytes()) {
            let after = at + word.len();
            let digits = before[after..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let has_number = digits > 0 && before.get(after + digits) == Some(&b'-');
            return Some((if has_number { after + digits + 1 } else { after }, false));
        }
    }
    let last = memchr::memrchr(b'-', before)?;
    Some((last + 1, memchr::memchr(b'-', &before[..last]).is_some()))
}

fn split_at_host(address: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memrchr(b'@', address)?;
    Some((&address[..at], &address[at + 1..]))
}

/// Removes `prvs=TAG=`, the signature of bounce address tag validation.
fn without_batv(local: &[u8]) -> &[u8] {
    let signed = local.get(..5).filter(|start| start.eq_ignore_ascii_case(b"prvs=")).map(|_| &local[5..]);
    let Some(end) = signed.and_then(|rest| memchr::memchr(b'=', rest)) else { return local };
    let (tag, rest) = (&local[5..5 + end], &local[5 + end + 1..]);
    let is_tag = tag.len() == 10 && tag.iter().all(u8::is_ascii_alphanumeric);
    if is_tag { rest } else { local }
}

/// Reports whether this is a host name with a dot.
fn is_host(host: &[u8]) -> bool {
    let is_label = |label: &[u8]| {
        !label.is_empty()
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte >= 0x80)
    };
    host.contains(&b'.') && host.split(|&byte| byte == b'.').all(is_label)
}

fn strip_suffix_ignore_case<'a>(text: &'a [u8], suffix: &[u8]) -> Option<&'a [u8]> {
    let at = text.len().checked_sub(suffix.len())?;
    text[at..].eq_ignore_ascii_case(suffix).then_some(&text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipient_is_decoded_from_the_address_of_the_bounce() {
        for (address, known, recipient, is_guess) in [
            ("list-bounces+joe=example.org@lists.example", "", Some("joe@example.org"), false),
            ("list+joe+home=example.org@lists.example", "", Some("joe+home@example.org"), false),
            ("list-return-12-joe-d=example.org@lists.example", "", Some("joe-d@example.org"), false),
            ("list-joe=example.org@lists.example", "", Some("joe@example.org"), false),
            ("my-list-joe=example.org@lists.example", "", Some("joe@example.org"), true),
            (
                "my-list-joe-d=example.org@lists.example",
                "joe-d@EXAMPLE.org",
                Some("joe-d@example.org"),
                false,
            ),
            ("bounces+12-joe=example.org@lists.example", "joe@example.org", Some("joe@example.org"), false),
            ("prvs=0123456789=ann@example.org", "", None, false),
            ("prvs=0123456789=list-joe=example.org@lists.example", "", Some("joe@example.org"), false),
            ("SRS0=abcd=ef=example.org=joe@forward.example", "", None, false),
            ("a=b@example.org", "", None, false),
            ("joe@example.org", "", None, false),
        ] {
            let found = decode(address.as_bytes(), &[known.as_bytes()]);
            let expected = recipient.map(|one| EncodedRecipient { address: one.into(), is_guess });
            assert_eq!(found, expected, "{address}");
        }
    }
}
