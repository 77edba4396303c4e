//! The connection: buffers in both directions, deadlines, and the end of a session.

use std::io;
use std::time::Duration;

use super::SessionEnd;
use crate::mailbox::Cancel;

/// Size of a read.
const CHUNK: usize = 1 << 16;

/// The client, over any kind of connection.
pub(crate) trait Peer {
    /// Reads some bytes; none once the peer has closed.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] after the deadline. [`io::ErrorKind::Interrupted`]: check for cancellation, and
    /// read again.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Gives the peer its full time from now on.
    fn reset_deadline(&mut self);
    fn extend_deadline(&mut self, by: Duration);
}

/// Decodes a message in pieces.
pub(crate) trait BodyDecoder {
    /// Decodes bytes of the wire into `out`, which grows by at most one byte more. Returns how many it took: all,
    /// unless the message ends among them.
    fn decode(&mut self, wire: &[u8], out: &mut Vec<u8>) -> usize;
    fn is_at_end(&self) -> bool;
}

/// A buffered connection to the peer.
pub(super) struct Wire<'a> {
    pub(super) peer: &'a mut dyn Peer,
    cancel: &'a Cancel,
    unread: Vec<u8>,
    at: usize,
    unsent: Vec<u8>,
}

impl<'a> Wire<'a> {
    pub(super) fn new(peer: &'a mut dyn Peer, cancel: &'a Cancel) -> Wire<'a> {
        Wire { peer, cancel, unread: Vec::new(), at: 0, unsent: Vec::new() }
    }

    /// Returns the bytes that have arrived and are not processed yet.
    pub(super) fn unread(&self) -> &[u8] {
        &self.unread[self.at..]
    }

    /// Marks bytes as processed.
    pub(super) fn consume(&mut self, count: usize) {
        self.at += count;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.unread.len()
    }

    /// Reads more, once everything is processed. Returns how much; nothing once the peer has closed. Replies are sent
    /// only then, so that commands sent together have their replies together (RFC 2920).
    pub(super) fn fill(&mut self) -> Result<usize, SessionEnd> {
        self.flush()?;
        self.unread.resize(CHUNK, 0);
        self.at = 0;
        let received = loop {
            if self.cancel.is_requested() {
                break Err(SessionEnd::Interrupted);
            }
            match self.peer.read(&mut self.unread) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::TimedOut => break Err(SessionEnd::TimedOut),
                other => break other.map_err(SessionEnd::Failed),
            }
        };
        self.unread.truncate(*received.as_ref().unwrap_or(&0));
        received
    }

    /// Appends a reply, which [`Wire::fill`] or [`Wire::flush`] sends.
    pub(super) fn reply(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
    }

    pub(super) fn flush(&mut self) -> Result<(), SessionEnd> {
        let sent = if self.unsent.is_empty() { Ok(()) } else { self.peer.write_all(&self.unsent) };
        self.unsent.clear();
        sent.map_err(SessionEnd::Failed)
    }
}
