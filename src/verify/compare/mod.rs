//! compare: compares two sides message by message, by content.
//!
//! Content is the bytes of a message before an mbox quoted them, without the fields that readers rewrite (Status,
//! X-Status, X-Keywords, Content-Length and so on). Order does not count; the number of duplicates does. UW-IMAP's
//! pseudo message is left out, as by convert.
//!
//! The first pass keeps some fifty bytes of each message: a hash of the content, and a summary of the metadata.
//! Messages with the same hash on both sides are the same. What a conversion changed on
//! request, as the manifest says, is changed in the same way before hashing. Only the others are read again and paired by what they
//! still have in common.
//!
//! A difference that a signature would notice is an error: other words, or other quoting of `From `. Many programs
//! change line ends and the final newline, so these are warnings. Messages that only the other side has are errors:
//! it is not known which side was made from which, and seen from the other side they are missing.

mod asked;
mod both;
mod left_out;
mod messages;
mod options;
mod pair;
mod report;
mod side;
#[cfg(test)]
mod tests;
mod text;
mod totals;
pub(crate) mod tree;

pub(crate) use asked::AskedChanges;
pub(crate) use both::Both;
pub(crate) use messages::open_and_compare;
pub(crate) use options::{CompareOptions, MailboxRef};
pub(crate) use report::Difference;
pub(crate) use totals::{MessageTotals, unread_clause};
