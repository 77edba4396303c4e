//! Dates in the charsets of old programs, which neither a From_ line nor a Date field names.

use super::DateParser;
use super::grammar::{parse_decoded, parse_prefix};
use crate::mailbox::message::charset;

/// In an order in which no name of a month or weekday is taken for another one.
const CHARSETS: [&str; 25] = [
    "windows-1252",
    "windows-1250",
    "iso-8859-2",
    "windows-1251",
    "koi8-u",
    "iso-8859-5",
    "ibm866",
    "windows-1253",
    "iso-8859-7",
    "windows-1254",
    "windows-1257",
    "iso-8859-13",
    "iso-8859-4",
    "windows-1258",
    "macintosh",
    "ibm850",
    "windows-1255",
    "windows-1256",
    "iso-8859-6",
    "windows-874",
    "shift_jis",
    "euc-jp",
    "gbk",
    "big5",
    "euc-kr",
];

#[cfg(test)]
pub(super) fn of_one_byte() -> &'static [&'static str] {
    &CHARSETS[..20]
}

/// Decodes a text that is not ASCII until `find` finds a date in it: as UTF-8, in which blanks that do not break lines
/// are replaced, and then from each charset.
pub(crate) fn find_in_charsets<T>(text: &[u8], find: impl Fn(&[u8], DateParser) -> Option<T>) -> Option<T> {
    // As many blanks, so that offsets stay.
    let with_blanks = |text: &str| text.replace('\u{a0}', "  ").replace('\u{202f}', "   ");
    let utf8 = std::str::from_utf8(text).ok().map(with_blanks);
    utf8.and_then(|text| find(text.as_bytes(), parse_prefix)).or_else(|| {
        CHARSETS.iter().find_map(|charset| {
            let decoded = charset::decode(charset.as_bytes(), text)?;
            find(decoded.text.replace('\u{a0}', " ").as_bytes(), parse_decoded)
        })
    })
}
