//! Netstrings: `5:hello,` (cr.yp.to/proto/netstrings.txt), parsed strictly.
//!
//! A length has no leading zero, and is checked before anything is stored. qmail's own servers also accept `005:hello,`
//! and `:,`, but no client sends them.

use super::TransportError;

/// Returns `LENGTH:`, which the content and a comma follow.
pub(crate) fn length_prefix(length: u64) -> String {
    format!("{length}:")
}

pub(crate) fn encode(bytes: &[u8]) -> Vec<u8> {
    [length_prefix(bytes.len() as u64).as_bytes(), bytes, b","].concat()
}

/// Returns the size of the netstring that has so many bytes of content.
pub(crate) fn encoded_length(content: u64) -> u64 {
    length_prefix(content).len() as u64 + content + 1
}

/// Why bytes are not a netstring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NetstringError {
    Malformed,
    /// The length exceeds the limit.
    TooLong,
}

/// Decodes the start of a netstring, `LENGTH:`, that arrives byte by byte.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LengthDecoder {
    max_length: u64,
    length: Option<u64>,
}

impl LengthDecoder {
    pub(crate) fn new(max_length: u64) -> LengthDecoder {
        LengthDecoder { max_length, length: None }
    }

    /// Consumes a byte. Returns the length once it is complete.
    pub(crate) fn push(&mut self, byte: u8) -> Result<Option<u64>, NetstringError> {
        match (self.length, byte) {
            (Some(length), b':') => return Ok(Some(length)),
            // No digit may follow a leading zero.
            (None | Some(1..), b'0'..=b'9') => {}
            _ => return Err(NetstringError::Malformed),
        }
        let longer = self.length.unwrap_or(0).saturating_mul(10).saturating_add(u64::from(byte - b'0'));
        if longer > self.max_length {
            return Err(NetstringError::TooLong);
        }
        self.length = Some(longer);
        Ok(None)
    }
}

/// Decodes one netstring that arrives in pieces of any size.
#[derive(Debug)]
pub(crate) struct Decoder {
    max_length: usize,
    state: State,
    content: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Length(LengthDecoder),
    Content(usize),
    Comma,
    End,
}

impl Decoder {
    pub(crate) fn new(max_length: usize) -> Decoder {
        let state = State::Length(LengthDecoder::new(max_length as u64));
        Decoder { max_length, state, content: Vec::new() }
    }

    /// Consumes bytes and returns how many: all, unless the netstring ends among them.
    ///
    /// # Errors
    /// [`TransportError::Garbled`]: this is not a netstring, or it is too long.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        let mut at = 0;
        while at < bytes.len() && !self.is_complete() {
            if let State::Content(length) = self.state {
                let end = bytes.len().min(at + length - self.content.len());
                self.content.extend_from_slice(&bytes[at..end]);
                at = end;
                if self.content.len() == length {
                    self.state = State::Comma;
                }
                continue;
            }
            self.step(bytes[at]).map_err(|error| self.describe(error))?;
            at += 1;
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<(), NetstringError> {
        match (&mut self.state, byte) {
            (State::Length(decoder), byte) => match decoder.push(byte)? {
                Some(0) => self.state = State::Comma,
                // At most max_length, which is a usize.
                Some(length) => self.state = State::Content(length as usize),
                None => {}
            },
            (State::Comma, b',') => self.state = State::End,
            _ => return Err(NetstringError::Malformed),
        }
        Ok(())
    }

    fn describe(&self, error: NetstringError) -> TransportError {
        TransportError::Garbled(match error {
            NetstringError::Malformed => "the answer is not a netstring".into(),
            NetstringError::TooLong => format!("the answer has more than {} bytes", self.max_length),
        })
    }

    /// Returns the content if the netstring is complete.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        self.is_complete().then_some(self.content)
    }

    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.state, State::End)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(wire: &[u8], most: usize) -> Result<Option<Vec<u8>>, TransportError> {
        let mut decoder = Decoder::new(most);
        decoder.take(wire)?;
        Ok(decoder.finish())
    }

    #[test]
    fn a_netstring_is_read_strictly() {
        for (wire, content) in [
            (&b"5:hello,"[..], &b"hello"[..]),
            (b"0:,", b""),
            (b"3:\0:,,", b"\0:,"),
            (b"2:ab,tail", b"ab"),
            (b"10:0123456789,", b"0123456789"),
        ] {
            assert_eq!(decoded(wire, 10).unwrap().as_deref(), Some(content));
        }
        let malformed: [&[u8]; 12] = [
            b":,",
            b"05:hello,",
            b"00:,",
            b"+1:a,",
            b" 1:a,",
            b"-1:a,",
            b"1a:",
            b"1:ab",
            b"11:",
            b"x",
            b",",
            b"99999999999999999999999999999999:",
        ];
        for wire in malformed {
            assert!(decoded(wire, 10).is_err(), "{wire:?}");
        }
        let unfinished: [&[u8]; 5] = [b"", b"1", b"1:", b"1:a", b"0:"];
        for wire in unfinished {
            assert_eq!(decoded(wire, 10).unwrap(), None, "{wire:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_in_pieces_of_any_size(
            content in prop::collection::vec(any::<u8>(), 0..300),
            behind in prop::collection::vec(any::<u8>(), 0..9),
            cuts in prop::collection::vec(1usize..40, 1..20),
        ) {
            let wire = [encode(&content), behind].concat();
            prop_assert_eq!(encoded_length(content.len() as u64), encode(&content).len() as u64);
            crate::promises::netstring(&wire, &cuts);
            let mut decoder = Decoder::new(300);
            prop_assert_eq!(decoder.take(&wire).unwrap(), encode(&content).len());
            prop_assert_eq!(decoder.finish(), Some(content));
        }

        #[test]
        fn any_bytes_are_a_netstring_or_refused(
            wire in "[0-9]{0,3}[:x]?[a-z,]{0,12}",
            cuts in prop::collection::vec(1usize..5, 1..5),
        ) {
            crate::promises::netstring(wire.as_bytes(), &cuts);
        }
    }
}
