//! Writes a bounce: QSBMF as qmail-send does, or a delivery status notification (RFC 3464, RFC 6533).
//!
//! ```text
//! text     texts that are safe in a header field and in a paragraph;  report: what failed, checked
//! qsbmf    the format of qmail;  dsn: a multipart/report
//! ```

mod dsn;
mod qsbmf;
mod report;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use report::{BounceReport, BounceSender, ReportingHost, parse_status};
pub(crate) use text::{Reason, parse_recipient, parse_remote_mta};

use crate::deliver::PreparedMessage;
use crate::mailbox::Result;

/// The formats of a bounce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub(crate) enum BounceFormat {
    /// The paragraphs of qmail-send
    Qsbmf,
    /// A delivery status notification: multipart/report
    Dsn,
}

/// A bounce to send with the null sender: added text, the original message, and the end.
#[derive(Debug)]
pub(crate) struct WrittenBounce<'a> {
    head: Vec<u8>,
    original: &'a PreparedMessage<'a>,
    tail: Vec<u8>,
}

impl<'a> WrittenBounce<'a> {
    /// Writes the report about `original`, whose Return-Path is the sender of the report.
    pub(crate) fn new(
        format: BounceFormat,
        report: &BounceReport,
        original: &'a PreparedMessage<'a>,
    ) -> Result<WrittenBounce<'a>> {
        let (head, tail) = match format {
            BounceFormat::Qsbmf => (qsbmf::head(report), Vec::new()),
            BounceFormat::Dsn => dsn::frame(report, original)?,
        };
        Ok(WrittenBounce { head, original, tail })
    }

    /// Passes all bytes to `write`, in order.
    pub(crate) fn for_each_chunk(&self, write: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        write(&self.head)?;
        self.original.for_each_chunk(write)?;
        write(&self.tail)
    }
}
