//! The fields by which a person recognizes a message.

use super::address::display::display;
use super::{Field, header};

/// The sender, subject and Message-ID of a message, decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Headline {
    /// From, with decoded names, and addresses in brackets.
    pub from: String,
    pub subject: String,
    /// Message-ID with its brackets.
    pub message_id: String,
}

impl Headline {
    /// Reads the header of a message.
    pub(crate) fn of(message: &[u8]) -> Headline {
        let mut headline = Headline::default();
        header::fields(message).for_each(|field| headline.add(&field));
        headline
    }

    /// Adds a field of the header. The first of a name counts.
    pub(crate) fn add(&mut self, field: &Field<'_>) {
        if field.is("From") && self.from.is_empty() {
            self.from = display(field.value);
        } else if field.is("Subject") && self.subject.is_empty() {
            self.subject = header::decode_text(field.value);
        } else if field.is("Message-ID") && self.message_id.is_empty() {
            self.message_id = header::decode_text(field.value);
        }
    }

    /// Returns the bytes that it takes in memory.
    pub(crate) fn memory(&self) -> usize {
        /// What an allocator adds to a string.
        const OVERHEAD: usize = 16;
        let texts = [&self.from, &self.subject, &self.message_id];
        size_of::<Headline>() + texts.iter().map(|text| text.capacity() + OVERHEAD).sum::<usize>()
    }
}
