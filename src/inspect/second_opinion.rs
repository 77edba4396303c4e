//! The lines at which simpler readers begin a message.

use std::collections::{BTreeMap, BTreeSet};

use crate::mailbox::mbox::Mbox;
use crate::mailbox::message::header;
use crate::mailbox::source::mapped;

/// The messages that another reader sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opinion {
    /// Name of the reader.
    pub name: &'static str,
    /// Number of messages that it reports.
    pub messages: u64,
    /// Offsets at which it begins a message.
    pub starts: BTreeSet<u64>,
    /// How its count differs from the number of starts.
    pub remark: Option<String>,
}

/// Returns the lines that begin with `From `, as `grep -c '^From '` counts them.
pub(crate) fn from_lines(bytes: &[u8]) -> BTreeSet<u64> {
    let first = bytes.starts_with(b"From ").then_some(0);
    first.into_iter().chain(mapped::find_all(bytes, b"\nFrom ").map(|lf| lf as u64 + 1)).collect()
}

/// Returns the messages of a reader that trusts every Content-Length, and otherwise takes every `From ` line.
pub(crate) fn content_length_starts(bytes: &[u8], from_lines: &BTreeSet<u64>) -> BTreeSet<u64> {
    let (mut starts, mut next) = (BTreeSet::new(), 0);
    while let Some(&start) = from_lines.range(next..).next() {
        starts.insert(start);
        let line_end = mapped::find_byte(b'\n', &bytes[start as usize..])
            .map_or(bytes.len(), |lf| start as usize + lf + 1);
        let message = &bytes[line_end..];
        let header = header::fields(message).find(|field| field.is("Content-Length"));
        let length =
            header.and_then(|field| std::str::from_utf8(field.value).ok()?.trim().parse::<u64>().ok());
        next = match length {
            Some(length) => {
                let body = line_end + header::split(message).body_at(message);
                (body as u64).saturating_add(length)
            }
            None => start + 1,
        };
    }
    starts
}

/// Returns the lines at which not all readers, or not mailferry, begin a message, and whether mailferry does.
pub(crate) fn disputed_lines(mbox: &Mbox<'_>, opinions: &[Opinion]) -> BTreeMap<u64, bool> {
    // The bytes before the first From_ line of a message are its own.
    let ours: BTreeSet<u64> = mbox.messages().iter().map(|message| message.at).collect();
    let all = opinions.iter().flat_map(|opinion| &opinion.starts).chain(&ours);
    let is_disputed =
        |at: &u64| opinions.iter().any(|opinion| opinion.starts.contains(at) != ours.contains(at));
    all.copied().filter(|at| is_disputed(at)).map(|at| (at, ours.contains(&at))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_of_lengths_skips_what_a_length_covers() {
        let text = b"From a\nContent-Length: 12\n\nFrom b\nbody\n\nFrom c\n\nx\nFrom d\n\n";
        let lines = from_lines(text);
        assert_eq!(lines.iter().copied().collect::<Vec<_>>(), [0, 27, 40, 50]);
        assert_eq!(content_length_starts(text, &lines).into_iter().collect::<Vec<_>>(), [0, 40, 50]);
        assert!(
            content_length_starts(b"From a\nContent-Length: 99999999999999999999\n\nx", &[0].into()).len()
                == 1
        );
    }
}
