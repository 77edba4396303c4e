//! The names of Maildir++ folders: `.A.B` beside cur/ is B in A, each in the modified UTF-7 of IMAP
//! (RFC 3501 §5.1.3).

use data_encoding::{Encoding, Specification};
use std::sync::LazyLock;

/// Base64 with a comma for the slash and without padding.
static BASE64: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification.symbols.push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,");
    // None of what it can be specified wrongly with is here.
    specification.encoding().unwrap_or(data_encoding::BASE64_NOPAD)
});

/// The levels of a folder by its directory's name, decoded; the error is a phrase that says what is wrong.
pub fn levels(directory: &[u8]) -> Result<Vec<String>, String> {
    let name = directory.strip_prefix(b".").ok_or("does not begin with a dot")?;
    name.split(|&b| b == b'.').map(decode).collect()
}

/// One level of a folder's name. Refuses what RFC 3501 does not allow, as an IMAP server may: bytes beyond
/// ASCII, a shift that is never ended or that says nothing, printable ASCII in base64, halves of surrogate
/// pairs.
pub fn decode(level: &[u8]) -> Result<String, String> {
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

/// What stands between `&` and `-`: UTF-16, big end first.
fn shifted(base64: &[u8]) -> Result<String, String> {
    let bytes = BASE64.decode(base64).map_err(|_| "has bad base64 behind an &")?;
    let (pairs, odd) = bytes.as_chunks::<2>();
    if !odd.is_empty() {
        return Err("has half a character behind an &".into());
    }
    let text: String = char::decode_utf16(pairs.iter().map(|pair| u16::from_be_bytes(*pair)))
        .collect::<Result<_, _>>()
        .map_err(|_| "has half a surrogate pair behind an &")?;
    match text.chars().any(|c| matches!(c, ' '..='~')) {
        true => Err("has plain characters in base64".into()),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_as_imap_names_them() {
        for (name, want) in [
            (".Sent", vec!["Sent"]),
            (".A.B C", vec!["A", "B C"]),
            (".R&-D", vec!["R&D"]),
            (".Entw&APw-rfe", vec!["Entwürfe"]),
            // The example of RFC 3501.
            (".~peter.mail.&U,BTFw-.&ZeVnLIqe-", vec!["~peter", "mail", "台北", "日本語"]),
            (".&2D3eAA-", vec!["😀"]),
        ] {
            assert_eq!(levels(name.as_bytes()).unwrap(), want, "{name}");
        }
    }

    #[test]
    fn what_no_server_would_write_is_refused() {
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
}
