//! The charsets of mail: bytes to text.

use std::borrow::Cow;

use data_encoding::{BASE64_NOPAD, Encoding as BaseEncoding};
use encoding_rs::Encoding;

/// Text, and whether some bytes were not of its charset. They became U+FFFD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DecodedText {
    pub text: String,
    pub is_damaged: bool,
}

/// Decodes bytes; `None` if the charset is unknown. Names are those of the Encoding Standard, and others that mail
/// programs write.
pub(crate) fn decode(charset: &[u8], bytes: &[u8]) -> Option<DecodedText> {
    let name = String::from_utf8_lossy(charset).trim().to_ascii_lowercase();
    let decoded = |encoding: &'static Encoding, bytes: &[u8]| {
        let (text, is_damaged) = encoding.decode_without_bom_handling(bytes);
        DecodedText { text: text.into_owned(), is_damaged }
    };
    let known = |name: &str| Encoding::for_label_no_replacement(name.as_bytes());
    Some(match &name[..] {
        "utf-7" | "utf7" | "unicode-1-1-utf-7" | "csutf7" | "cp65000" => utf7(bytes),
        "hz-gb-2312" | "hz" => decoded(encoding_rs::GBK, &from_hz(bytes)),
        "iso-2022-kr" | "csiso2022kr" => decoded(encoding_rs::EUC_KR, &from_iso_2022_kr(bytes)),
        "cp437" | "ibm437" | "437" => ibm(bytes, CP437),
        "cp850" | "ibm850" | "850" | "cspc850multilingual" => ibm(bytes, CP850),
        name => match known(name).or_else(|| known(&alias(name)?))? {
            encoding if encoding == encoding_rs::ISO_2022_JP => decoded(encoding, &without_empty_runs(bytes)),
            encoding => decoded(encoding, bytes),
        },
    })
}

/// Returns the name in the Encoding Standard of a charset that mail programs name differently.
fn alias(name: &str) -> Option<Cow<'static, str>> {
    // cp1252, cp-1252 and win-1252 are windows-1252. iso_8859_1, iso8859_1 and iso-8859.1 are iso-8859-1.
    let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
    let prefix = name[..name.len() - digits.len()].trim_end_matches(['-', '_']);
    let is_plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    Some(match name {
        "cp932" | "ms932" | "windows-932" | "windows-31j-ms" | "shiftjis" => "shift_jis".into(),
        "cp936" | "ms936" | "windows-936" => "gbk".into(),
        "cp949" | "ms949" | "uhc" | "ks_c_5601" | "ksc5601-1987" => "euc-kr".into(),
        "cp950" | "ms950" | "windows-950" | "big-5" | "big5-eten" | "big5_hkscs" => "big5".into(),
        "cp51932" | "eucjp" | "euc_jp" | "ujis" | "eucjp-ms" => "euc-jp".into(),
        "euckr" | "euc_kr" => "euc-kr".into(),
        "euccn" | "euc-cn" | "gb-2312" | "gb2312-80" => "gb2312".into(),
        "gb-18030" | "cp54936" | "windows-54936" => "gb18030".into(),
        "cp50220" | "cp50221" | "cp50222" | "iso-2022-jp-ms" | "iso-2022-jp-1" | "iso-2022-jp-2"
        | "iso-2022-jp-3" | "jis" => "iso-2022-jp".into(),
        "utf-8-mac" | "utf8mb4" | "cp65001" | "utf_8" => "utf-8".into(),
        _ if is_plain && matches!(prefix, "cp" | "win" | "windows" | "ms" | "x-cp" | "x-windows") => {
            format!("windows-{digits}").into()
        }
        _ => {
            let number = name.strip_prefix("iso")?.trim_start_matches(['-', '_']).strip_prefix("8859")?;
            format!("iso-8859-{}", number.trim_start_matches(['-', '_', '.'])).into()
        }
    })
}

/// Decodes UTF-7 (RFC 2152). `+` begins UTF-16 in base64, which ends at the first other byte. A `-` there is dropped.
fn utf7(bytes: &[u8]) -> DecodedText {
    let mut decoded = DecodedText { text: String::with_capacity(bytes.len()), is_damaged: false };
    let mut rest = bytes;
    while let Some(plus) = memchr::memchr(b'+', rest) {
        decoded.push_ascii(&rest[..plus]);
        rest = &rest[plus + 1..];
        let end = rest.iter().position(|b| !b.is_ascii_alphanumeric() && !matches!(b, b'+' | b'/'));
        let (base64, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after.strip_prefix(b"-").unwrap_or(after);
        if base64.is_empty() {
            decoded.text.push('+');
            continue;
        }
        let bytes = base64_prefix(base64);
        let units = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        for unit in char::decode_utf16(units) {
            decoded.is_damaged |= unit.is_err();
            decoded.text.push(unit.unwrap_or(char::REPLACEMENT_CHARACTER));
        }
    }
    decoded.push_ascii(rest);
    decoded
}

impl DecodedText {
    fn push_ascii(&mut self, bytes: &[u8]) {
        self.is_damaged |= !bytes.is_ascii();
        self.text.push_str(&String::from_utf8_lossy(bytes));
    }
}

/// Decodes base64 without padding, and without the bits after the last whole byte.
pub(crate) fn base64_prefix(base64: &[u8]) -> Vec<u8> {
    static LENIENT: std::sync::LazyLock<BaseEncoding> = std::sync::LazyLock::new(|| {
        let mut specification = BASE64_NOPAD.specification();
        specification.check_trailing_bits = false;
        specification.encoding().unwrap_or(BASE64_NOPAD)
    });
    // One letter has no whole byte.
    let whole = base64.len() - usize::from(base64.len() % 4 == 1);
    LENIENT.decode(&base64[..whole]).unwrap_or_default()
}

/// Returns EUC for HZ (RFC 1843): `~{` begins two bytes for each character, `~}` ends them.
fn from_hz(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut rest, mut high) = (Vec::with_capacity(bytes.len()), bytes, 0);
    loop {
        (high, rest) = match rest {
            [] => return out,
            [b'~', b'{', rest @ ..] => (0x80, rest),
            [b'~', b'}', rest @ ..] => (0, rest),
            [b'~', b'~', rest @ ..] if high == 0 => {
                out.push(b'~');
                (high, rest)
            }
            [byte, rest @ ..] => {
                out.push(byte | high);
                (high, rest)
            }
        };
    }
}

/// Returns EUC for ISO-2022-KR (RFC 1557): after `ESC $ ) C`, SO begins two bytes for each character, SI ends them.
fn from_iso_2022_kr(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut rest, mut high) = (Vec::with_capacity(bytes.len()), bytes, 0);
    loop {
        (high, rest) = match rest {
            [] => return out,
            [0x1b, b'$', b')', b'C', rest @ ..] => (high, rest),
            [0x0e, rest @ ..] => (0x80, rest),
            [0x0f, rest @ ..] => (0, rest),
            // Blanks are not shifted.
            [byte @ ..=b' ', rest @ ..] => {
                out.push(*byte);
                (high, rest)
            }
            [byte, rest @ ..] => {
                out.push(byte | high);
                (high, rest)
            }
        };
    }
}

/// Removes each escape sequence of ISO-2022-JP that is directly followed by another one, as adjacent words have them.
/// The Encoding Standard makes an error of it.
fn without_empty_runs(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
    loop {
        rest = match rest {
            [] => return out,
            [0x1b, b'(' | b'$', b'@'..=b'Z', rest @ ..] if rest.first() == Some(&0x1b) => rest,
            [byte, rest @ ..] => {
                out.push(*byte);
                rest
            }
        };
    }
}

/// Decodes a charset of the IBM PC. `upper` has the characters of the bytes from 128 on.
fn ibm(bytes: &[u8], upper: &str) -> DecodedText {
    let upper: Vec<char> = upper.chars().collect();
    let text = bytes.iter().map(|&byte| match byte.checked_sub(128) {
        Some(n) => upper[usize::from(n)],
        None => char::from(byte),
    });
    DecodedText { text: text.collect(), is_damaged: false }
}

const CP437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";
const CP850: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒáíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐└┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{ad}±‗¾¶§÷¸°¨·¹³²■\u{a0}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_charsets_of_mail_are_decoded_by_their_many_names() {
        for (charset, bytes, text) in [
            ("UTF-8", &b"J\xc3\xbcrgen"[..], "Jürgen"),
            ("utf8", b"\xe2\x82\xac", "€"),
            ("ISO-8859-1", b"\xfc\x80", "ü€"),
            ("iso_8859-15", b"\xa4", "€"),
            ("ISO8859_2", b"\xb1", "ą"),
            ("cp1251", b"\xcf\xf0\xe8", "При"),
            ("WIN-1252", b"\x80", "€"),
            ("koi8-r", b"\xf0\xd2\xc9", "При"),
            ("cp866", b"\x8f\xe0\xa8", "При"),
            ("cp850", b"\x81\x9b", "üø"),
            ("IBM437", b"\x81\xe0\xff", "üα\u{a0}"),
            ("ISO-2022-JP", b"\x1b$BF|K\\8l\x1b(B", "日本語"),
            ("cp50220", b"\x1b$BF|K\\8l\x1b(B", "日本語"),
            ("Shift_JIS", b"\x93\xfa\x96{", "日本"),
            ("cp932", b"\x93\xfa\x96{", "日本"),
            ("EUC-JP", b"\xc6\xfc\xcb\xdc", "日本"),
            ("gb2312", b"\xc4\xe3\xba\xc3", "你好"),
            ("cp936", b"\xc4\xe3\xba\xc3", "你好"),
            ("GB18030", b"\xc4\xe3\x81\x30\x81\x30", "你\u{80}"),
            ("hz-gb-2312", b"~{DcJ=~}ok", "你式ok"),
            ("Big5", b"\xa7A\xa6n", "你好"),
            ("cp950", b"\xa7A\xa6n", "你好"),
            ("EUC-KR", b"\xbe\xc8\xb3\xe7", "안녕"),
            ("ks_c_5601-1987", b"\xbe\xc8\xb3\xe7", "안녕"),
            ("cp949", b"\xbe\xc8\xb3\xe7", "안녕"),
            ("ISO-2022-KR", b"\x1b$)C\x0e>H3g\x0f a", "안녕 a"),
            ("UTF-7", b"J+APw-rgen +AGE +- 1+-1", "Jürgen a + 1+1"),
            ("utf-7", b"+ZeVnLIqe", "日本語"),
            ("unicode-1-1-utf-7", b"+2D3eAA", "\u{1f600}"),
            ("us-ascii", b"plain", "plain"),
        ] {
            let decoded = decode(charset.as_bytes(), bytes).map(|decoded| decoded.text);
            assert_eq!(decoded.as_deref(), Some(text), "{charset}");
        }
        for charset in ["", "x-unknown", "unknown-8bit", "iso-8859-99", "\u{fc}"] {
            assert_eq!(decode(charset.as_bytes(), b"a"), None, "{charset}");
        }
        assert!(decode(b"utf-8", b"\xff").is_some_and(|decoded| decoded.is_damaged));
        assert_eq!((CP437.chars().count(), CP850.chars().count()), (128, 128));
    }
}
