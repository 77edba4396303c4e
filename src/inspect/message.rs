//! Messages by their numbers.

use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use crate::mailbox::maildir::MaildirReader;
use crate::mailbox::mbox::{Extent, Mbox};
use crate::mailbox::source::{Contents, Source};
use crate::mailbox::text::grouped_plural;
use crate::mailbox::{Context, Error, Finding, Result};

/// Numbers of messages, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageRange {
    first: usize,
    /// None for the last message of the mailbox.
    last: Option<usize>,
}

impl FromStr for MessageRange {
    type Err = String;

    /// Parses `N`, `N-M` or `N-`.
    fn from_str(text: &str) -> Result<MessageRange, String> {
        let number = |text: &str| {
            text.parse::<usize>().map_err(|_| "a message or a range, such as 17, 17-20 or 17-".to_owned())
        };
        let range = match text.split_once('-') {
            None => {
                let first = number(text)?;
                MessageRange { first, last: Some(first) }
            }
            Some((first, "")) => MessageRange { first: number(first)?, last: None },
            Some((first, last)) => MessageRange { first: number(first)?, last: Some(number(last)?) },
        };
        match range.last {
            Some(last) if last < range.first => Err(format!("{last} is less than {}", range.first)),
            _ => Ok(range),
        }
    }
}

impl MessageRange {
    /// Returns the indices, if a mailbox with this number of messages has all of them.
    fn indices(&self, count: usize, path: &Path) -> Result<RangeInclusive<usize>> {
        let last = self.last.unwrap_or(count);
        match [self.first, last].into_iter().find(|number| !(1..=count).contains(number)) {
            Some(number) => Err(Error::unsupported(
                path,
                format!("has {}, no number {number}", grouped_plural(count as u64, "message")),
            )),
            None => Ok(self.first - 1..=last - 1),
        }
    }
}

/// Returns the messages of an mbox as convert would write them, in pieces.
pub(crate) fn read_mbox_message<'a>(
    mbox: &Mbox<'a>,
    path: &Path,
    range: &MessageRange,
) -> Result<impl Iterator<Item = &'a [u8]>> {
    let extents = &mbox.messages()[range.indices(mbox.messages().len(), path)?];
    Ok(extents.iter().flat_map(|extent| message_pieces(mbox, extent)))
}

fn message_pieces<'a>(mbox: &Mbox<'a>, extent: &Extent) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let (message, mut from) = (extent.message(mbox.text()), 0);
    let cuts = mbox.quote_offsets(extent).chain([message.len()]);
    cuts.map(move |cut| &message[std::mem::replace(&mut from, cut + 1)..cut])
}

/// Returns the messages as in the source, with From_ lines, quoting and the blank lines between them, but without the
/// one after the last.
pub(crate) fn source_bytes<'a>(
    source: &'a Source,
    mbox: &Mbox<'_>,
    range: &MessageRange,
) -> Result<&'a [u8]> {
    let extents = &mbox.messages()[range.indices(mbox.messages().len(), source.path())?];
    Ok(&source.raw()[Extent::span(extents)])
}

/// Passes messages of a Maildir to `put`, in the order of [`list_maildir`](super::list_maildir).
pub(crate) fn write_maildir_messages(
    maildir: &Path,
    range: &MessageRange,
    context: &Context<'_>,
    put: &mut dyn FnMut(&[u8]),
) -> Result<()> {
    let reader = MaildirReader::open(maildir, context.now)?;
    let entries = reader.list()?.messages;
    let mut contents = Contents::default();
    for entry in &entries[range.indices(entries.len(), maildir)?] {
        context.cancel.check()?;
        match reader.read_or_explain(entry, &mut contents)? {
            Ok(_) => put(&contents),
            Err(Finding { message, .. }) => {
                let path = reader.path(entry);
                return Err(Error::Unsupported { path, reason: message.into_owned() });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_messages_is_a_number_or_two() {
        let indices = |text: &str| text.parse::<MessageRange>().unwrap().indices(9, Path::new("m"));
        assert_eq!(indices("1").unwrap(), 0..=0);
        assert_eq!(indices("2-4").unwrap(), 1..=3);
        assert_eq!(indices("8-").unwrap(), 7..=8);
        for (text, number) in
            [("0", "number 0"), ("10", "number 10"), ("3-12", "number 12"), ("10-", "number 10")]
        {
            assert!(indices(text).unwrap_err().to_string().contains(number), "{text}");
        }
        for text in ["", "x", "4-2", "-3", "1-2-3", "1,2"] {
            assert!(text.parse::<MessageRange>().is_err(), "{text}");
        }
    }
}
