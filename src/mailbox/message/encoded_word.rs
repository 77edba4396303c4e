//! Encoded words (RFC 2047): `=?charset?B?base64?=` and `=?charset?Q?quoted-printable?=`.
//!
//! Many programs cut a text into words without regard to its characters. So the bytes of adjacent words of one
//! charset and encoding are joined before the charset is decoded.

use super::charset::{self, DecodedText};

/// An encoded word.
#[derive(Debug, Clone, Copy)]
struct EncodedWord<'a> {
    charset: &'a [u8],
    encoding: WordEncoding,
    text: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WordEncoding {
    Base64,
    QuotedPrintable,
}

/// Decodes the encoded words of an unfolded value. Blanks between two words are not part of the text. Other bytes are
/// UTF-8.
pub(crate) fn decode(value: &[u8]) -> String {
    let (mut text, mut rest) = (String::with_capacity(value.len()), value);
    let mut words: Vec<EncodedWord<'_>> = Vec::new();
    // No word begins after the last end of one. Without this, each beginning would be searched for its end.
    let last_end = memchr::memmem::rfind(value, b"?=").unwrap_or(0);
    // The bytes after the last word, up to the next one.
    let mut plain = 0;
    while let Some(at) = memchr::memmem::find(&rest[plain..], b"=?").map(|at| plain + at) {
        if value.len() - rest.len() + at >= last_end {
            break;
        }
        let Some((word, length)) = EncodedWord::parse(&rest[at..]) else {
            plain = at + 2;
            continue;
        };
        let between = &rest[..at];
        let is_adjacent = !words.is_empty() && between.iter().all(u8::is_ascii_whitespace);
        if !is_adjacent {
            push_words(&mut words, &mut text);
            text.push_str(&String::from_utf8_lossy(between));
        } else if !words.last().is_some_and(|last| last.continues_in(&word)) {
            push_words(&mut words, &mut text);
        }
        words.push(word);
        (rest, plain) = (&rest[at + length..], 0);
    }
    push_words(&mut words, &mut text);
    text.push_str(&String::from_utf8_lossy(rest));
    text
}

impl<'a> EncodedWord<'a> {
    /// Parses the word at the start of the bytes, and returns its length.
    fn parse(bytes: &'a [u8]) -> Option<(EncodedWord<'a>, usize)> {
        // No name of a charset is longer. The limit keeps the time linear.
        const LONGEST_NAME: usize = 80;
        let rest = bytes.strip_prefix(b"=?")?;
        let end = rest.iter().take(LONGEST_NAME).position(|&b| b == b'?')?;
        let (name, rest) = (&rest[..end], &rest[end + 1..]);
        // RFC 2231 adds the language: `utf-8*en`.
        let charset = name.split(|&b| b == b'*').next().unwrap_or_default();
        let is_name = !charset.is_empty() && charset.iter().all(u8::is_ascii_graphic);
        let encoding = match rest {
            [b'b' | b'B', b'?', ..] => WordEncoding::Base64,
            [b'q' | b'Q', b'?', ..] => WordEncoding::QuotedPrintable,
            _ => return None,
        };
        let rest = &rest[2..];
        let length = encoding.length(rest)?;
        let word = EncodedWord { charset, encoding, text: &rest[..length] };
        let end = bytes.len() - rest.len() + length + 2;
        is_name.then_some((word, end))
    }

    fn continues_in(&self, next: &EncodedWord<'_>) -> bool {
        self.encoding == next.encoding && self.charset.eq_ignore_ascii_case(next.charset)
    }
}

impl WordEncoding {
    /// Returns the length of the text before `?=`. Blanks in it are invalid, but common.
    fn length(self, text: &[u8]) -> Option<usize> {
        let end = match self {
            WordEncoding::Base64 => {
                let is_text = |b: &u8| b.is_ascii_alphanumeric() || b"+/= \t-_".contains(b);
                text.iter().position(|b| !is_text(b))?
            }
            WordEncoding::QuotedPrintable => memchr::memmem::find(text, b"?=")?,
        };
        text[end..].starts_with(b"?=").then_some(end)
    }

    fn decode(self, text: &[u8]) -> Vec<u8> {
        match self {
            WordEncoding::Base64 => {
                // Padding in the middle ends a text, and another one follows.
                text.split(|&b| b == b'=').flat_map(|part| charset::base64_prefix(&letters(part))).collect()
            }
            WordEncoding::QuotedPrintable => decode_quoted_printable(text),
        }
    }
}

/// Returns the letters of base64. Those of the URL alphabet become the usual ones.
fn letters(text: &[u8]) -> Vec<u8> {
    let letters = text.iter().filter(|b| !b.is_ascii_whitespace());
    letters
        .map(|&b| match b {
            b'-' => b'+',
            b'_' => b'/',
            b => b,
        })
        .collect()
}

/// An invalid `=` is itself.
fn decode_quoted_printable(text: &[u8]) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text);
    loop {
        rest = match rest {
            [] => return bytes,
            [b'=', high, low, rest @ ..] if digit(*high).is_some() && digit(*low).is_some() => {
                bytes.push(digit(*high).unwrap_or_default() << 4 | digit(*low).unwrap_or_default());
                rest
            }
            [b'_', rest @ ..] => {
                bytes.push(b' ');
                rest
            }
            [byte, rest @ ..] => {
                bytes.push(*byte);
                rest
            }
        };
    }
}

/// Decodes adjacent words of one charset and encoding, and removes them from `words`.
fn push_words(words: &mut Vec<EncodedWord<'_>>, text: &mut String) {
    let Some(&EncodedWord { charset, encoding, .. }) = words.first() else { return };
    let bytes: Vec<u8> = words.iter().flat_map(|word| encoding.decode(word.text)).collect();
    let mut decoded = charset::decode(charset, &bytes);
    // Some programs also cut base64 within its groups of four letters. Then only the letters together make sense.
    let is_cut = |word: &EncodedWord<'_>| !letters(word.text).len().is_multiple_of(4);
    if encoding == WordEncoding::Base64 && words.iter().rev().skip(1).any(is_cut) {
        let joined: Vec<u8> = words.iter().flat_map(|word| word.text).copied().collect();
        let joined = charset::decode(charset, &encoding.decode(&joined));
        if decoded.as_ref().is_some_and(|decoded| decoded.is_damaged) {
            decoded = joined.filter(|joined| !joined.is_damaged).or(decoded);
        }
    }
    match (decoded, String::from_utf8(bytes)) {
        (Some(DecodedText { text: decoded, .. }), _) | (None, Ok(decoded)) => text.push_str(&decoded),
        // The charset is unknown: the words stay encoded.
        (None, Err(_)) => {
            for (n, word) in words.iter().enumerate() {
                let letter = if encoding == WordEncoding::Base64 { 'B' } else { 'Q' };
                let [charset, encoded] = [word.charset, word.text].map(String::from_utf8_lossy);
                let blank = if n > 0 { " " } else { "" };
                text.push_str(&format!("{blank}=?{charset}?{letter}?{encoded}?="));
            }
        }
    }
    words.clear();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_decoded_as_mail_programs_write_them() {
        for (value, text) in [
            ("=?utf-8?Q?J=C3=BCrgen_M?=", "Jürgen M"),
            ("a =?utf-8?Q?b?= c", "a b c"),
            ("(=?utf-8?Q?b?=)", "(b)"),
            ("=?utf-8?Q?a?= =?utf-8?Q?_b?=", "a b"),
            ("=?utf-8?Q?a?= =?iso-8859-1?Q?=FC?=\t=?utf-8?B?w7w=?=", "aüü"),
            // Cut within a character.
            ("=?UTF-8?B?5pel5pys6A==?= =?utf-8?B?qp4=?=", "日本語"),
            ("=?utf-8?Q?=E6=97?= =?utf-8?Q?=A5?=", "日"),
            ("=?big5?B?p0Gm?= =?big5?B?bg==?=", "你好"),
            ("=?iso-2022-jp?B?GyRCRnxLXA==?= =?iso-2022-jp?B?OGwbKEI=?=", "日本語"),
            // Each word ends in ASCII, as it should.
            ("=?iso-2022-jp?B?GyRCRnwbKEI=?= =?iso-2022-jp?B?GyRCS1wbKEI=?=", "日本"),
            // Cut within a group of base64.
            ("=?utf-8?B?5pel5p?= =?utf-8?B?ys6Kqe?=", "日本語"),
            // Without padding.
            ("=?utf-8?B?SsO8cmdlbg?=", "Jürgen"),
            ("=?utf-8?B?SsO8cmdlb?=", "Jürge"),
            ("=?utf-8?B?YQ?= =?utf-8?B?Yg?=", "ab"),
            ("=?utf-8?B?YQ==Yg==?=", "ab"),
            // Blanks, quotes and a language.
            ("=?utf-8*en?Q?Kategorie: \"x\"?=", "Kategorie: \"x\""),
            ("=?utf-8?B?Sg ==?=", "J"),
            ("=?utf-8?Q?100=_=zz=4?=", "100= =zz=4"),
            // Not a word.
            ("=?utf-8?X?a?=", "=?utf-8?X?a?="),
            ("=?utf-8?Q?a", "=?utf-8?Q?a"),
            ("=?utf-8?B?a*b?=", "=?utf-8?B?a*b?="),
            ("=??Q?a?= =?=?utf-8?Q?b?=", "=??Q?a?= =?b"),
            // The charset is unknown.
            ("=?x-none?Q?=FC?= =?x-none?q?=FD?=", "=?x-none?Q?=FC?= =?x-none?Q?=FD?="),
            ("=?x-none?Q?abc?=", "abc"),
            ("caf\u{e9} =?utf-8?Q?b?=", "caf\u{e9} b"),
            ("", ""),
        ] {
            assert_eq!(decode(value.as_bytes()), text, "{value}");
        }
        assert_eq!(decode(b"caf\xe9"), "caf\u{fffd}");
    }

    #[test]
    fn a_long_value_takes_linear_time() {
        for piece in ["=?a?Q?x ", "=?utf-8?Q?", "=?", "=?utf-8?B?YQ", "=?utf-8?Q?a?=", "=?utf-8?B?YQ?= "] {
            decode(piece.repeat((1 << 20) / piece.len()).as_bytes());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded(value: Vec<u8>, words in "(=\\?|\\?=|utf-8|\\?[BQ]\\?|[ a-zA-Z0-9+/=]{0,3}){0,12}") {
            decode(&value);
            decode(words.as_bytes());
        }

        #[test]
        fn a_text_that_is_cut_anywhere_is_read_back(text in "\\PC{1,20}", at in 0usize..60) {
            let bytes = text.as_bytes();
            let (a, b) = bytes.split_at(at.min(bytes.len()));
            let base64 = |bytes| data_encoding::BASE64.encode(bytes);
            let words = format!("=?utf-8?B?{}?=\t=?UTF-8?b?{}?=", base64(a), base64(b));
            prop_assert_eq!(decode(words.as_bytes()), text.as_str());
            let quoted = |bytes: &[u8]| bytes.iter().map(|b| format!("={b:02X}")).collect::<String>();
            let words = format!("=?utf-8?q?{}?= =?utf-8?Q?{}?=", quoted(a), quoted(b));
            prop_assert_eq!(decode(words.as_bytes()), text);
        }
    }
}
