//! The message as it is sent.

use std::fs::File;

use super::{Envelope, SpooledMessage, TransportError};
use crate::mailbox::{Error, Result};

/// The size of the pieces that are written at once.
const CHUNK: usize = 1 << 16;

/// A message to send: its envelope, added lines, then a spooled message from an offset on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutgoingMessage<'a> {
    pub(crate) envelope: &'a Envelope,
    /// Complete lines that go before the message.
    pub(crate) prefix: &'a [u8],
    pub(crate) spooled: &'a SpooledMessage,
    /// How many bytes at the start of `spooled` are left out.
    pub(crate) offset: u64,
}

impl<'a> OutgoingMessage<'a> {
    /// Returns a spooled message without any change.
    pub(crate) fn unmodified(spooled: &'a SpooledMessage, envelope: &'a Envelope) -> OutgoingMessage<'a> {
        OutgoingMessage { envelope, prefix: b"", spooled, offset: 0 }
    }

    pub(crate) fn length(&self) -> u64 {
        self.prefix.len() as u64 + self.spooled.length().saturating_sub(self.offset)
    }

    /// Passes all bytes to `write` in order, at most 64 KiB at a time. An error of `write` ends it.
    pub(crate) fn for_each_chunk(
        &self,
        write: &mut dyn FnMut(&[u8]) -> Result<(), TransportError>,
    ) -> Result<(), TransportError> {
        self.prefix.chunks(CHUNK).try_for_each(&mut *write)?;
        let mut transport_error = None;
        let read = self.spooled.for_each_chunk(self.offset, &mut |bytes| {
            bytes.chunks(CHUNK).try_for_each(&mut *write).map_err(|e| {
                transport_error = Some(e);
                Error::Interrupted
            })
        });
        match (transport_error, read) {
            (Some(error), _) => Err(error),
            (None, Err(e)) => Err(TransportError::Local(e)),
            (None, Ok(())) => Ok(()),
        }
    }

    /// Copies the message into a new file for a program, and rewinds it.
    pub(crate) fn to_file(self) -> Result<File> {
        self.spooled.to_file(self.prefix, self.offset)
    }
}
