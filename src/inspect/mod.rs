//! inspect: lists the messages of a mailbox, writes single ones, and explains where they begin.

mod list;
mod location;
mod message;
mod rules;
mod second_opinion;
mod stats;

pub(crate) use list::{MessageRow, Position, list_maildir, list_mbox, maildir_sizes};
pub(crate) use location::{LineLocation, LinePart, locate};
pub(crate) use message::{MessageRange, read_mbox_message, source_bytes, write_maildir_messages};
pub(crate) use rules::{reason_name, rule};
pub(crate) use second_opinion::{Opinion, content_length_starts, disputed_lines, from_lines};
pub(crate) use stats::{GroupBy, MailStats, MessageGroup};
