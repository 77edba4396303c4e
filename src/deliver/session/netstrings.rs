//! Netstrings on a connection, read without keeping more than an address in memory.

use super::SessionEnd;
use super::wire::{BodyDecoder, Wire};
use crate::transport::netstring::{LengthDecoder, NetstringError};

/// Addresses are shorter than this, as in qmail.
const MAX_ADDRESS: u64 = 1000;
/// No message is longer. It only keeps the sums of lengths in range.
pub(super) const MAX_CONTENT: u64 = 1 << 62;

/// The part of a netstring that is not read yet.
#[derive(Debug)]
pub(super) struct Netstring {
    left: u64,
}

impl Netstring {
    /// Treats a connection like the content of a netstring without end.
    pub(super) fn connection() -> Netstring {
        Netstring { left: u64::MAX }
    }

    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Begins the next netstring in this one: reads its length, and checks it before anything is stored.
    ///
    /// # Errors
    /// [`SessionEnd::ProtocolError`] if it is longer than `max_length`, or than what is left of this one.
    pub(super) fn open(&mut self, wire: &mut Wire<'_>, max_length: u64) -> Result<Netstring, SessionEnd> {
        let mut decoder = LengthDecoder::new(max_length.min(MAX_CONTENT));
        let length = loop {
            match decoder.push(self.byte(wire)?) {
                Ok(None) => {}
                Ok(Some(length)) => break length,
                Err(NetstringError::Malformed) => return Err(not_a_netstring()),
                Err(NetstringError::TooLong) => {
                    return Err(SessionEnd::ProtocolError("the peer announced more bytes than are read"));
                }
            }
        };
        // The content and its comma.
        self.left = self.left.checked_sub(length + 1).ok_or_else(not_a_netstring)?;
        Ok(Netstring { left: length })
    }

    pub(super) fn byte(&mut self, wire: &mut Wire<'_>) -> Result<u8, SessionEnd> {
        self.left = self.left.checked_sub(1).ok_or_else(not_a_netstring)?;
        next_byte(wire)
    }

    /// Reads the comma after the content, all of which must have been read.
    pub(super) fn close(self, wire: &mut Wire<'_>) -> Result<(), SessionEnd> {
        if self.left > 0 || next_byte(wire)? != b',' {
            return Err(not_a_netstring());
        }
        Ok(())
    }

    /// Reads an address to its comma. Returns nothing for one that is too long or contains a NUL.
    pub(super) fn into_address(mut self, wire: &mut Wire<'_>) -> Result<Option<Vec<u8>>, SessionEnd> {
        let is_too_long = self.left >= MAX_ADDRESS;
        let mut address = Vec::new();
        while self.left > 0 {
            if wire.is_empty() && wire.fill()? == 0 {
                return Err(SessionEnd::Disconnected);
            }
            let arrived = wire.unread();
            let count = self.left.min(arrived.len() as u64) as usize;
            if !is_too_long {
                address.extend_from_slice(&arrived[..count]);
            }
            wire.consume(count);
            self.left -= count as u64;
        }
        self.close(wire)?;
        Ok(Some(address).filter(|address| !is_too_long && !address.contains(&0)))
    }
}

/// Reports whether the next netstrings have arrived completely. One that is malformed has not.
pub(super) fn have_arrived(mut unread: &[u8], count: usize) -> bool {
    let mut skip = || {
        let mut decoder = LengthDecoder::new(MAX_CONTENT);
        let mut bytes = unread.iter();
        let length = loop {
            if let Some(length) = decoder.push(*bytes.next()?).ok()? {
                break usize::try_from(length).ok()?;
            }
        };
        // After the comma.
        unread = bytes.as_slice().get(length + 1..)?;
        Some(())
    };
    (0..count).all(|_| skip().is_some())
}

fn next_byte(wire: &mut Wire<'_>) -> Result<u8, SessionEnd> {
    if wire.is_empty() && wire.fill()? == 0 {
        return Err(SessionEnd::Disconnected);
    }
    let byte = wire.unread()[0];
    wire.consume(1);
    Ok(byte)
}

fn not_a_netstring() -> SessionEnd {
    SessionEnd::ProtocolError("the peer sent something other than the netstrings of the protocol")
}

/// A message whose length is known beforehand.
#[derive(Debug)]
pub(super) struct CountedBody {
    left: u64,
    line_ends: LineEnds,
    /// The byte before is a CR, which is held back.
    after_cr: bool,
}

/// The line ends of a message on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineEnds {
    /// LF; all bytes are kept.
    Lf,
    /// CRLF, which becomes LF. A CR or LF by itself is kept.
    Crlf,
}

impl CountedBody {
    /// Decodes the rest of a netstring.
    pub(super) fn new(netstring: &mut Netstring, line_ends: LineEnds) -> CountedBody {
        CountedBody { left: std::mem::take(&mut netstring.left), line_ends, after_cr: false }
    }
}

impl BodyDecoder for CountedBody {
    fn decode(&mut self, wire: &[u8], out: &mut Vec<u8>) -> usize {
        let count = self.left.min(wire.len() as u64) as usize;
        self.left -= count as u64;
        let mut rest = &wire[..count];
        if self.line_ends == LineEnds::Lf {
            out.extend_from_slice(rest);
            return count;
        }
        while !rest.is_empty() {
            if self.after_cr && rest[0] != b'\n' {
                out.push(b'\r');
            }
            let run = memchr::memchr(b'\r', rest);
            self.after_cr = run.is_some();
            out.extend_from_slice(&rest[..run.unwrap_or(rest.len())]);
            rest = run.map_or(&[], |cr| &rest[cr + 1..]);
        }
        if self.is_at_end() && std::mem::take(&mut self.after_cr) {
            out.push(b'\r');
        }
        count
    }

    fn is_at_end(&self) -> bool {
        self.left == 0
    }
}
