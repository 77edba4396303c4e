//! Names of Maildir++ folders: `.A.B` next to cur/ is folder B in A. Each level is in the modified UTF-7 of
//! IMAP (RFC 3501 §5.1.3).

use std::ffi::OsString;
use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};

/// Base64 with `,` instead of `/` and without padding.
static BASE64: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification.symbols.push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,");
    // This specification is valid, so the fallback is never used.
    specification.encoding().unwrap_or(data_encoding::BASE64_NOPAD)
});

/// Decodes a folder's directory name into its levels. The error is a phrase that says what is wrong.
pub(crate) fn levels(directory: &[u8]) -> Result<Vec<String>, String> {
    let name = directory.strip_prefix(b".").ok_or("does not begin with a dot")?;
    name.split(|&b| b == b'.').map(decode).collect()
}

/// Decodes one level of a folder's name. It rejects what RFC 3501 does not allow, because an IMAP server may
/// reject it too. Examples are non-ASCII bytes, unended or empty shifts, printable ASCII in base64 and half
/// surrogate pairs.
pub(crate) fn decode(level: &[u8]) -> Result<String, String> {
    if level.is_empty() {
        return Err("has a level without a name".into());
    }
    let mut decoded = String::new();
    let mut rest = level;
    while let Some((&first, after)) = rest.split_first() {
        rest = match first {
            b'&' => {
                let end = memchr::memchr(b'-', after).ok_or("has an & that no - ends")?;
                decoded.push_str(&if end == 0 { "&".to_owned() } else { shifted(&after[..end])? });
                &after[end + 1..]
            }
            0x20..=0x7e => {
                decoded.push(first.into());
                after
            }
            0x80.. => return Err("has bytes beyond ASCII".into()),
            _ => return Err("has control characters".into()),
        };
    }
    Ok(decoded)
}

/// Decodes the text between `&` and `-`: big-endian UTF-16 in base64.
fn shifted(base64: &[u8]) -> Result<String, String> {
    let bytes = BASE64.decode(base64).map_err(|_| "has bad base64 after an &")?;
    let (pairs, odd) = bytes.as_chunks::<2>();
    if !odd.is_empty() {
        return Err("has half a character after an &".into());
    }
    let text: String = char::decode_utf16(pairs.iter().map(|pair| u16::from_be_bytes(*pair)))
        .collect::<Result<_, _>>()
        .map_err(|_| "has half a surrogate pair after an &")?;
    match text.chars().any(|c| matches!(c, ' '..='~')) {
        true => Err("has plain characters in base64".into()),
        false => Ok(text),
    }
}

/// Encodes one level of a folder's name in modified UTF-7; the inverse of [`decode`].
pub(crate) fn encode(level: &str) -> String {
    let mut encoded = String::new();
    let mut rest = level;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| is_plain(c) != is_plain(first)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        if is_plain(first) {
            encoded.push_str(&run.replace('&', "&-"));
        } else {
            let utf16: Vec<u8> = run.encode_utf16().flat_map(u16::to_be_bytes).collect();
            encoded.push('&');
            BASE64.encode_append(&utf16, &mut encoded);
            encoded.push('-');
        }
        rest = after;
    }
    encoded
}

/// Returns true for a character that needs no base64. This includes `&`, which is written as `&-`.
fn is_plain(c: char) -> bool {
    matches!(c, ' '..='~')
}

/// Returns the directory of a folder that the user names by its levels, as in `Lists.qmail`. The error is a
/// phrase that says what is wrong with the name.
pub(crate) fn directory_of(levels: &str) -> Result<OsString, String> {
    if levels.eq_ignore_ascii_case("INBOX") {
        return Err("INBOX is the Maildir itself; leave the option out".into());
    }
    let mut directory = String::new();
    for level in levels.split('.') {
        if level.is_empty() {
            return Err("a level has no name; a folder is such as Lists.qmail".into());
        }
        if level.contains('/') {
            return Err("a / cannot be in a name; a dot separates levels, such as Lists.qmail".into());
        }
        if level.chars().any(char::is_control) {
            return Err("control characters cannot be in a name".into());
        }
        directory.push('.');
        directory.push_str(&encode(level));
    }
    if directory.len() > LONGEST {
        return Err(format!(
            "its directory would have a name of {} bytes; at most {LONGEST} are possible",
            directory.len()
        ));
    }
    Ok(directory.into())
}

/// Longest file name that file systems accept (NAME_MAX).
const LONGEST: usize = 255;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn folders_are_named_as_imap_names_them() {
        for (name, want) in [
            (".Sent", vec!["Sent"]),
            (".A.B C", vec!["A", "B C"]),
            (".R&-D", vec!["R&D"]),
            (".Entw&APw-rfe", vec!["Entwürfe"]),
            // The example comes from RFC 3501.
            (".~peter.mail.&U,BTFw-.&ZeVnLIqe-", vec!["~peter", "mail", "台北", "日本語"]),
            (".&2D3eAA-", vec!["😀"]),
        ] {
            assert_eq!(levels(name.as_bytes()).unwrap(), want, "{name}");
            assert_eq!(directory_of(&want.join(".")).unwrap(), name);
        }
    }

    #[test]
    fn invalid_modified_utf7_is_refused() {
        for name in [
            &b".A..B"[..],
            b".",
            b".A.",
            b".Entw\xc3\xbcrfe",
            b".&",
            b".&APw",
            b".&A-",
            b".&AP-",
            b".&AGE-",
            b".&2D0-",
            b".&!!-",
            b".&AP\xff-",
            b".a\tb",
            b"Sent",
            b".&APx-",
        ] {
            assert!(levels(name).is_err(), "{}", String::from_utf8_lossy(name));
        }
    }

    #[test]
    fn a_name_that_no_folder_can_have_is_refused() {
        let long = "ä".repeat(100);
        let (longest, too_long) = ("a".repeat(254), "a".repeat(255));
        for name in
            ["", ".", "A.", ".A", "A..B", "A/B", "..", "A\0", "A\u{7f}", "A\n.B", "inbox", &long, &too_long]
        {
            assert!(directory_of(name).is_err(), "{name}");
        }
        assert_eq!(directory_of(&longest).unwrap().len(), 255);
        assert_eq!(directory_of("INBOX.Sent").unwrap(), ".INBOX.Sent");
    }

    proptest! {
        #[test]
        fn an_encoded_level_is_decoded_again(level in prop_oneof![".{1,12}", "[&a-c+,äöü台😀\\-]{1,12}", any::<String>()]) {
            prop_assume!(!level.is_empty());
            let encoded = encode(&level);
            prop_assert!(encoded.bytes().all(|b| matches!(b, b' '..=b'~')));
            prop_assert_eq!(decode(encoded.as_bytes()), Ok(level));
        }

        #[test]
        fn a_valid_folder_name_is_read_back(name: String) {
            if let Ok(directory) = directory_of(&name) {
                let read = levels(directory.as_encoded_bytes()).unwrap();
                prop_assert_eq!(read.join("."), name);
            }
        }
    }
}
