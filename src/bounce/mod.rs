//! Bounces: who did not get a message, and why, from the report of a mail server.
//!
//! [`read`] recognises the reports of RFC 3464 (with RFC 6522 and 6533), of qmail (QSBMF), and by their wording those of
//! other programs. Bytes go in and a [`Bounce`] comes out: there is no I/O here. [`write`](mod@write) writes the first two
//! formats.

mod address;
mod delivery_status;
mod mime;
mod origin;
mod qsbmf;
mod read;
mod report;
mod status;
mod verp;
mod words;
pub(crate) mod write;

pub(crate) use read::read;
#[cfg(test)]
pub(crate) use report::BounceKind;
pub(crate) use report::{Bounce, BouncedRecipient};
pub(crate) use status::Status;
