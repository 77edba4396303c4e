//! The message in a file with one message, in each form in which programs keep such files.

use std::ops::Range;
use std::path::Path;

use super::bare::{self, BareMessage, looks_like_message};
use super::from_line;
use super::verdict::Extent;
use crate::mailbox::Finding;
use crate::mailbox::message::Stamp;
use crate::mailbox::message::emlx::{self, Emlx};
use crate::mailbox::message::status::OuterState;

/// The one message of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SingleMessage {
    pub extent: Extent,
    /// The bytes that belong neither to it nor to its form.
    pub junk: Option<Range<u64>>,
    /// A phrase.
    pub evidence: &'static str,
    pub outer: OuterState,
    /// Damage of the form.
    pub findings: Vec<Finding>,
}

impl SingleMessage {
    /// Finds the message in the text of a file.
    pub(crate) fn locate(text: &[u8]) -> SingleMessage {
        if let Some(Emlx { message, end, state, findings }) = find_emlx(text) {
            let start = message.start as u64;
            let more = text[end..].trim_ascii_start().len();
            return SingleMessage {
                extent: Extent { at: start, start, end: message.end as u64 },
                junk: (more > 0).then_some((text.len() - more) as u64..text.len() as u64),
                evidence: "its first line counts its bytes, as in Apple Mail",
                outer: OuterState { store: state, ..OuterState::default() },
                findings,
            };
        }
        let BareMessage { at, start } = bare::locate(text);
        SingleMessage {
            extent: Extent { at: at as u64, start: start as u64, end: text.len() as u64 },
            junk: (at > 0).then_some(0..at as u64),
            evidence: "named by the user",
            outer: OuterState::default(),
            findings: Vec::new(),
        }
    }

    /// Adds what the name of the file says.
    pub(crate) fn in_file(mut self, path: &Path) -> SingleMessage {
        self.outer.is_removed = bare::is_removed(path);
        self
    }

    /// Returns the received date that the store, or the first From_ line, has.
    pub(crate) fn first_stamp(&self, text: &[u8]) -> Option<Stamp> {
        self.outer.received().or_else(|| from_line::first_stamp(self.extent.separator_lines(text)))
    }
}

/// Reports whether a text, or the first part of one, is a message as Apple Mail keeps it.
pub(crate) fn looks_like_emlx(text: &[u8]) -> bool {
    emlx::after_count(text).is_some_and(|rest| emlx::has_frame(text) || looks_like_message(rest))
}

fn find_emlx(text: &[u8]) -> Option<Emlx> {
    if looks_like_emlx(text) { emlx::parse(text) } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::promises;

    fn part() -> impl Strategy<Value = Vec<u8>> {
        let text = proptest::sample::select(&[
            "Subject: x\nFrom: a@b\n",
            "Content-Type: multipart/mixed; boundary=x\n",
            "Content-Type: message/rfc822\n",
            "X-Apple-Content-Length: 12\n",
            "\n",
            "--x\n",
            "--x--\n",
            "text\n",
            "<?xml version=\"1.0\"?>\n<!DOCTYPE plist>\n<plist version=\"1.0\">\n<dict>\n",
            "<key>flags</key><integer>1</integer>\n",
            "<key>date-received</key><real>1.5</real>\n",
            "</dict>\n</plist>\n",
            "bplist00",
        ]);
        prop_oneof![
            8 => text.prop_map(|text| text.as_bytes().to_vec()),
            1 => proptest::collection::vec(any::<u8>(), 0..8),
        ]
    }

    proptest! {
        #[test]
        fn an_emlx_of_any_bytes_is_one_message(
            count in 0usize..400,
            blanks in 0usize..8,
            parts in proptest::collection::vec(part(), 0..14),
        ) {
            let first = format!("{count}{:blanks$}\n", "");
            promises::one_message(&[first.into_bytes(), parts.concat()].concat());
        }
    }
}
