//! One message as Apple Mail keeps it: a line with the number of its bytes, the message, and a property list with its
//! flags and received date.

mod parts;
mod plist;

use std::ops::Range;

use self::plist::{Plist, PlistFault};
use super::Flags;
use crate::mailbox::text::grouped_plural;
use crate::mailbox::{Code, Finding};

pub(crate) use self::parts::{MissingPart, PartEncoding, missing_parts};

/// A message as Apple Mail keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Emlx {
    /// The message in the file.
    pub message: Range<usize>,
    /// The end of the property list.
    pub end: usize,
    pub state: StoreState,
    pub findings: Vec<Finding>,
}

/// The state of a message that its store keeps outside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct StoreState {
    /// The bits; None if they are not known.
    bits: Option<u64>,
    /// Seconds since 1970.
    pub received: Option<i64>,
}

/// The bits with an equivalent (jwz.org/blog/2005/07/emlx-flags). The others are counts, sizes, and marks of the
/// program itself; those from 31 on are set in many files and documented nowhere.
const READ: u64 = 1;
const DELETED: u64 = 1 << 1;
const ANSWERED: u64 = 1 << 2;
const FLAGGED: u64 = 1 << 4;
const DRAFT: u64 = 1 << 6;
/// Forwarded, or redirected: maildir(5) has one flag for both.
const PASSED: u64 = 1 << 8 | 1 << 9;
const JUNK: u64 = 1 << 24;
const NOT_JUNK: u64 = 1 << 25;

impl StoreState {
    /// Returns the flags without T; None if they are not known.
    pub(crate) fn flags(self) -> Option<Flags> {
        const LETTERS: [(u64, Flags); 5] = [
            (READ, Flags::SEEN),
            (ANSWERED, Flags::REPLIED),
            (FLAGGED, Flags::FLAGGED),
            (DRAFT, Flags::DRAFT),
            (PASSED, Flags::PASSED),
        ];
        let set = LETTERS.iter().filter(|(bit, _)| self.has(*bit));
        self.bits.map(|_| set.fold(Flags::default(), |flags, (_, flag)| flags | *flag))
    }

    pub(crate) fn is_deleted(self) -> bool {
        self.has(DELETED)
    }

    /// Returns the keyword by which IMAP servers mark what a filter or the user decided about spam.
    pub(crate) fn keyword(self) -> Option<&'static str> {
        match (self.has(JUNK), self.has(NOT_JUNK)) {
            (true, _) => Some("$Junk"),
            (false, true) => Some("$NotJunk"),
            (false, false) => None,
        }
    }

    fn has(self, bit: u64) -> bool {
        self.bits.is_some_and(|bits| bits & bit != 0)
    }
}

/// The first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    bytes: u64,
    /// The end of the line, where the message begins.
    end: usize,
}

impl Count {
    /// Reads a number that is alone on its line, or padded with blanks to ten characters without a line end.
    fn parse(text: &[u8]) -> Option<Count> {
        const PADDED: usize = 10;
        const DIGITS: usize = 19;
        let head = &text[..text.len().min(64)];
        let is_blank = |b: &u8| matches!(b, b' ' | b'\t');
        let digits_at = head.iter().position(|b| !is_blank(b))?;
        let digits = head[digits_at..].iter().take_while(|b| b.is_ascii_digit()).count();
        let number = std::str::from_utf8(&head[digits_at..digits_at + digits]).ok()?;
        let bytes = number.parse().ok().filter(|_| digits <= DIGITS)?;
        let mut end = digits_at + digits;
        end += head[end..].iter().take_while(|b| is_blank(b)).count();
        match &head[end..] {
            [b'\n', ..] => Some(Count { bytes, end: end + 1 }),
            [b'\r', b'\n', ..] => Some(Count { bytes, end: end + 2 }),
            rest if end == PADDED && digits < PADDED && !rest.is_empty() => Some(Count { bytes, end }),
            _ => None,
        }
    }

    /// Returns the end of the message, if the file has so many bytes.
    fn message_end(self, text: &[u8]) -> Option<usize> {
        let end = usize::try_from(self.bytes).ok()?.checked_add(self.end)?;
        (end <= text.len()).then_some(end)
    }
}

/// Returns the rest of the text after the byte count in its first line, if it has one.
pub(crate) fn after_count(text: &[u8]) -> Option<&[u8]> {
    Count::parse(text).map(|count| &text[count.end..])
}

/// Reports whether the first part of a file has the byte count and, where the message ends, the property list.
pub(crate) fn has_frame(head: &[u8]) -> bool {
    let end = Count::parse(head).and_then(|count| count.message_end(head));
    end.is_some_and(|end| plist::begins(head[end..].trim_ascii_start()))
}

/// Divides a file that begins with a byte count; None for any other file. Where the count is wrong, the property list
/// at the end of the file shows where the message ends.
pub(crate) fn parse(text: &[u8]) -> Option<Emlx> {
    let count = Count::parse(text)?;
    let counted = count.message_end(text);
    let is_end = |&end: &usize| {
        let rest = text[end..].trim_ascii_start();
        rest.is_empty() || plist::begins(rest)
    };
    let mut findings = Vec::new();
    let end = counted.filter(is_end).unwrap_or_else(|| {
        let (end, what) = match plist::find_last(&text[count.end..]) {
            Some(at) => (count.end + at, "are before the property list"),
            None => (text.len(), "follow"),
        };
        let length = grouped_plural((end - count.end) as u64, "byte");
        let message =
            format!("its first line counts {}, and {length} {what}", grouped_plural(count.bytes, "byte"));
        findings.push(Finding::at(Code::EmlxLength, 0, message).as_damage());
        end
    });
    let rest = &text[end..];
    let plist_at = end + (rest.len() - rest.trim_ascii_start().len());
    let Plist { flags, received, fault, end: list_end } = Plist::parse(&text[plist_at..]);
    if let Some(PlistFault { at, reason }) = fault {
        let unknown = match (flags, received) {
            (None, None) => ": its flags and received date are not known",
            (None, Some(_)) => ": its flags are not known",
            (Some(_), None) => ": its received date is not known",
            (Some(_), Some(_)) => "",
        };
        // At the end of the file it is about the last byte.
        let offset = (plist_at + at).min(text.len().saturating_sub(1)) as u64;
        findings.push(Finding::at(Code::EmlxPlist, offset, format!("{reason}{unknown}")));
    }
    let state = StoreState { bits: flags, received };
    Some(Emlx { message: count.end..end, end: plist_at + list_end, state, findings })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MESSAGE: &str = "Subject: x\nFrom: a@b\n\ny\n";

    fn plist(dict: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
             \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">\n<dict>\n{dict}</dict>\n</plist>\n"
        )
    }

    fn flags(bits: u64) -> String {
        format!("\t<key>flags</key>\n\t<integer>{bits}</integer>\n")
    }

    /// Returns the message, the state, and the codes of the findings.
    fn parsed(text: &str) -> (&str, StoreState, Vec<&'static str>) {
        let Emlx { message, state, findings, .. } = parse(text.as_bytes()).unwrap();
        (&text[message], state, findings.iter().map(|finding| finding.code.name()).collect())
    }

    fn parsed_state(text: &str) -> StoreState {
        parsed(text).1
    }

    #[test]
    fn each_bit_with_an_equivalent_becomes_a_flag_or_a_keyword() {
        for (bit, letters, is_deleted, keyword) in [
            (0, "S", false, None),
            (1, "", true, None),
            (2, "R", false, None),
            (4, "F", false, None),
            (6, "D", false, None),
            (8, "P", false, None),
            (9, "P", false, None),
            (24, "", false, Some("$Junk")),
            (25, "", false, Some("$NotJunk")),
        ] {
            let text = format!("{:<10}\n{MESSAGE}{}", MESSAGE.len(), plist(&flags(0x2_0000_0000 | 1 << bit)));
            let (message, state, codes) = parsed(&text);
            assert_eq!((message, codes), (MESSAGE, vec![]));
            assert_eq!(state.flags().unwrap().to_string(), letters, "{bit}");
            assert_eq!((state.is_deleted(), state.keyword()), (is_deleted, keyword), "{bit}");
        }
        for bit in [3, 5, 7, 10, 15, 16, 22, 23, 26, 28, 29, 30, 31, 33, 34, 63] {
            let state = parsed_state(&["0\n", &plist(&flags(1 << bit))].concat());
            assert_eq!(state.flags(), Some(Flags::default()), "{bit}");
            assert!(!state.is_deleted() && state.keyword().is_none(), "{bit}");
        }
    }

    #[test]
    fn a_count_has_many_spellings_and_only_the_count_ends_the_message() {
        let quoted = format!("Subject: x\n\n{}", plist(&flags(0)));
        for message in [MESSAGE, "", "no newline", &quoted, "a\r\nb\r\n"] {
            let length = message.len();
            for count in [
                format!("{length}\n"),
                format!("{length:<10}\n"),
                format!("{length}\r\n"),
                format!("{length:<10}"),
            ] {
                if message.is_empty() && !count.ends_with('\n') {
                    continue;
                }
                for between in ["", "\n"] {
                    let text = format!("{count}{message}{between}{}", plist(&flags(1)));
                    let (found, state, codes) = parsed(&text);
                    assert_eq!((found, codes), (message, vec![]), "{text}");
                    assert_eq!(state.flags(), Some(Flags::SEEN));
                }
            }
        }
        for text in ["", "From: a@b\n", "12 monkeys\n", "12", "1234567890123456789012\n", "\n12\n"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn damage_is_a_finding_and_the_mail_is_kept() {
        let list = plist(&flags(1));
        let length = MESSAGE.len();
        for (text, message, codes) in [
            (format!("{}\n{MESSAGE}{list}", length - 3), MESSAGE, &["emlx-length"][..]),
            (format!("{}\n{MESSAGE}{list}", length + 3), MESSAGE, &["emlx-length"]),
            (format!("99999\n{MESSAGE}{list}"), MESSAGE, &["emlx-length"]),
            (format!("99999\n{MESSAGE}"), MESSAGE, &["emlx-length", "emlx-plist"]),
            (format!("{}\n{MESSAGE}", u64::MAX / 2), MESSAGE, &["emlx-length", "emlx-plist"]),
            (format!("{length}\n{MESSAGE}"), MESSAGE, &["emlx-plist"]),
            (format!("{length}\n{MESSAGE}{}", &list[..list.len() / 2]), MESSAGE, &["emlx-plist"]),
            (format!("{length}\n{MESSAGE}bplist00\u{1}\u{2}"), MESSAGE, &["emlx-plist"]),
        ] {
            let (found, state, found_codes) = parsed(&text);
            assert_eq!((found, &found_codes[..]), (message, codes), "{text}");
            assert_eq!(state.flags().is_some(), !codes.contains(&"emlx-plist"), "{text}");
        }
        // Without the key, the flags are not known; the date is.
        let (_, state, codes) = parsed(&format!(
            "{length}\n{MESSAGE}{}",
            plist("<key>date-received</key><real>1506911253.7</real>")
        ));
        assert_eq!((state.flags(), state.received, codes), (None, Some(1_506_911_253), vec![]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_divided_in_bounds(
            count in any::<u32>(),
            parts in proptest::collection::vec(prop_oneof![
                Just(MESSAGE.as_bytes().to_vec()),
                Just(plist(&flags(1)).into_bytes()),
                Just(b"<?xml".to_vec()),
                proptest::collection::vec(any::<u8>(), 0..20),
            ], 0..5),
        ) {
            let text = [format!("{}\n", count % 600).as_bytes(), &parts.concat()].concat();
            let Emlx { message, .. } = parse(&text).unwrap();
            prop_assert!(message.start <= message.end && message.end <= text.len());
        }
    }
}
