//! What a report shows of each source. It is collected on request, because it takes time for each message.

use super::planned::Disposition;
use super::{Plan, PlannedMessage};
use crate::mailbox::maildir::{Entry, MaildirReader};
use crate::mailbox::mbox::boundary_summary::BoundarySummary;
use crate::mailbox::mbox::{Extent, Mbox};
use crate::mailbox::message::breakdown::{Breakdown, LargeMessage, find_largest};
use crate::mailbox::message::{Headline, Origin};
use crate::mailbox::source::{Contents, Source};
use crate::mailbox::{Context, Result};

/// What a report shows of a source.
#[derive(Debug, Clone, Default)]
pub(crate) struct SourceDetails {
    /// Such as `mboxrd`; None if it could not be read.
    pub(crate) format: Option<&'static str>,
    /// Its bytes, uncompressed.
    pub(crate) size: u64,
    pub(crate) messages: Breakdown,
    pub(crate) boundaries: BoundarySummary,
}

impl SourceDetails {
    /// Adds the messages of an mbox.
    pub(super) fn add_messages(&mut self, source: &Source, mbox: &Mbox<'_>, plan: &Plan) {
        let size = |(message, extent): (&PlannedMessage, &Extent)| {
            extent.end - extent.start - u64::from(message.quotes)
        };
        let received = |message: &PlannedMessage| {
            let is_dated = message.origin.is_real(false) && message.disposition != Disposition::Pseudo;
            is_dated.then_some(message.epoch)
        };
        let all = || plan.messages.iter().zip(mbox.messages());
        for (message, extent) in all() {
            let is_pseudo = message.disposition == Disposition::Pseudo;
            let origin = if is_pseudo { Origin::None } else { message.origin };
            self.messages.add(size((message, extent)), received(message), origin);
        }
        for n in find_largest(all().map(size)) {
            let (message, extent) = (&plan.messages[n], &mbox.messages()[n]);
            if message.disposition == Disposition::Pseudo {
                continue;
            }
            self.messages.add_large(LargeMessage {
                path: source.path().to_owned(),
                offset: Some(extent.at),
                bytes: size((message, extent)),
                received: received(message),
                headline: Headline::of(extent.message(mbox.text())),
            });
        }
    }

    /// Looks at messages of a Maildir. Those that are gone meanwhile have no date.
    pub(crate) fn of_maildir(
        reader: &MaildirReader,
        entries: &[Entry],
        context: &Context<'_>,
    ) -> Result<SourceDetails> {
        let mut messages = Breakdown::default();
        let sizes: Vec<u64> = entries.iter().map(|entry| reader.size(entry)).collect();
        for (entry, bytes) in entries.iter().zip(&sizes) {
            context.cancel.check()?;
            let (received, origin) = reader.find_date(entry)?.unwrap_or((0, Origin::None));
            messages.add(*bytes, (origin != Origin::None).then_some(received), origin);
        }
        let mut contents = Contents::default();
        for n in find_largest(sizes.iter().copied()) {
            let entry = &entries[n];
            let headline = reader.read(entry, &mut contents)?.map(|_| Headline::of(&contents));
            messages.add_large(LargeMessage {
                path: reader.path(entry),
                offset: None,
                bytes: sizes[n],
                received: reader.find_date(entry)?.ok().map(|(received, _)| received),
                headline: headline.unwrap_or_default(),
            });
        }
        let boundaries = BoundarySummary::default();
        Ok(SourceDetails { format: Some("Maildir"), size: messages.all.bytes, messages, boundaries })
    }

    /// Returns the details of a Maildir if they are collected.
    pub(super) fn collect(
        reader: &MaildirReader,
        entries: &[Entry],
        context: &Context<'_>,
    ) -> Result<Option<Box<SourceDetails>>> {
        match context.collect_details {
            true => {
                SourceDetails::of_maildir(reader, entries, context).map(|details| Some(Box::new(details)))
            }
            false => Ok(None),
        }
    }

    /// Adds those of another source.
    pub(crate) fn add(&mut self, other: SourceDetails) {
        self.format = self.format.or(other.format);
        self.size += other.size;
        self.messages += &other.messages;
        self.boundaries += other.boundaries;
    }
}
