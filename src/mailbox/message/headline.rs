//! The fields by which a person recognizes a message.

use super::address::display::display;
use super::header;

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
        for field in header::fields(message) {
            if field.is("From") && headline.from.is_empty() {
                headline.from = display(field.value);
            } else if field.is("Subject") && headline.subject.is_empty() {
                headline.subject = header::decode_text(field.value);
            } else if field.is("Message-ID") && headline.message_id.is_empty() {
                headline.message_id = header::decode_text(field.value);
            }
        }
        headline
    }
}
