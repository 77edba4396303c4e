//! The names of files with one message: `<date>-<slug>-<hash>.eml`.
//!
//! The same message of the same source has the same name on every machine, so the date is that of UTC. A name is valid
//! on every file system: it begins with a digit, ends in `.eml`, has no byte below 0x80 but letters, digits, `-`, `_`
//! and `.`, and is shorter than the 143 bytes that eCryptfs allows.

use std::collections::HashMap;
use std::ffi::OsString;

use jiff::Timestamp;

use crate::mailbox::manifest::Digest;
use crate::mailbox::message::header;

/// The most bytes of the subject in a name.
const SLUG_BYTES: usize = 80;
/// The hexadecimal digits of the hash in a name.
const HASH_DIGITS: usize = 16;
/// The subject of a message without one.
const NO_SUBJECT: &str = "no-subject";

/// Returns the name of a message without a suffix and without `.eml`.
pub(super) fn stem(epoch: i64, message: &[u8], hash: Digest) -> String {
    let date = Timestamp::from_second(epoch).unwrap_or(Timestamp::UNIX_EPOCH);
    let subject = header::fields(message).find(|field| field.is("Subject"));
    let slug = slug(&subject.map(|field| header::decode_text(field.value)).unwrap_or_default());
    let hash = blake3::Hash::from_bytes(hash.0).to_hex();
    format!("{}-{slug}-{}", date.strftime("%Y-%m-%d"), &hash[..HASH_DIGITS])
}

/// Returns the name of the file for the `copy`-th message with a stem, from 0.
pub(super) fn numbered(stem: &str, copy: u32) -> OsString {
    match copy {
        0 => format!("{stem}.eml").into(),
        copy => format!("{stem}_{copy}.eml").into(),
    }
}

/// Returns the letters and digits of a text, with a `-` for each run of other characters.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    let mut follows_gap = false;
    for c in text.chars() {
        if !(c.is_alphanumeric() || is_mark(c)) {
            follows_gap = !slug.is_empty();
            continue;
        }
        if slug.len() + usize::from(follows_gap) + c.len_utf8() > SLUG_BYTES {
            break;
        }
        if std::mem::take(&mut follows_gap) {
            slug.push('-');
        }
        slug.push(c);
    }
    if slug.is_empty() { NO_SUBJECT.to_owned() } else { slug }
}

/// Reports whether a character changes the letter before it: an accent, or a sign of a script of India or Southeast
/// Asia.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{900}'..='\u{963}' | '\u{981}'..='\u{df3}' | '\u{e31}'..='\u{e4e}')
        || matches!(c, '\u{eb1}'..='\u{ece}' | '\u{1a7f}' | '\u{20d0}'..='\u{20ff}' | '\u{3099}' | '\u{309a}')
}

/// The names that a run has given, by stem.
#[derive(Debug, Default)]
pub(super) struct GivenNames(HashMap<[u8; 16], u32>);

impl GivenNames {
    /// Returns the number of the next copy with this stem.
    pub(super) fn next(&mut self, stem: &str) -> &mut u32 {
        let Digest(hash) = Digest::of(stem.as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&hash[..16]);
        self.0.entry(key).or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slug_keeps_letters_and_digits_of_every_script() {
        for (subject, want) in [
            ("Re: [qmail] patch for 1.03", "Re-qmail-patch-for-1-03"),
            ("Grüße aus Köln", "Grüße-aus-Köln"),
            ("会議の議事録(第2版)", "会議の議事録-第2版"),
            ("हिन्दी में", "हिन्दी-में"),
            ("  ../../etc/passwd\0\n", "etc-passwd"),
            ("CON", "CON"),
            ("a\u{202e}b\u{200b}c", "a-b-c"),
            ("", NO_SUBJECT),
            ("🎉 !!", NO_SUBJECT),
        ] {
            assert_eq!(slug(subject), want, "{subject:?}");
        }
    }

    #[test]
    fn a_name_has_the_date_of_utc_and_the_hash_of_the_message() {
        let message = b"Subject: =?utf-8?q?caf=C3=A9?=\n\nx\n";
        let hash = Digest::of(message);
        let digits = &blake3::hash(message).to_hex()[..16];
        assert_eq!(stem(1_104_537_599, message, hash), format!("2004-12-31-café-{digits}"));
        assert_eq!(numbered("a", 0), "a.eml");
        assert_eq!(numbered("a", 2), "a_2.eml");
    }

    proptest! {
        #[test]
        fn every_subject_gives_a_name_for_every_file_system(subject in any::<String>(), epoch in any::<i64>()) {
            let message = format!("Subject: {subject}\n\n");
            let name = numbered(&stem(epoch, message.as_bytes(), Digest::of(b"")), u32::MAX);
            let name = name.to_str().unwrap();
            prop_assert!(name.len() <= 143, "{name}");
            prop_assert!(!name.chars().any(|c| c.is_control() || c.is_whitespace() || r#"<>:"/\|?*"#.contains(c)), "{name}");
        }
    }
}
