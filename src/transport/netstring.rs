//! Netstrings: `5:hello,` (cr.yp.to/proto/netstrings.txt), read strictly: a length has no leading zero and no
//! more digits than it may, and it is looked at before anything is stored. qmail's own servers are more lenient
//! (`005:hello,`, and `:,` for the empty one); nobody sends what only they understand.

use super::net::Broken;

/// `LENGTH:` of a netstring whose bytes follow, and a comma behind them.
pub fn head(length: u64) -> String {
    format!("{length}:")
}

/// A whole netstring.
pub fn encoded(bytes: &[u8]) -> Vec<u8> {
    [head(bytes.len() as u64).as_bytes(), bytes, b","].concat()
}

/// What a netstring of so many bytes has in all.
pub fn length_of(content: u64) -> u64 {
    head(content).len() as u64 + content + 1
}

/// A netstring that comes in, in pieces of any size.
#[derive(Debug)]
pub struct Decoder {
    most: usize,
    at: At,
    content: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Length(usize),
    Content(usize),
    Comma,
    End,
}

impl Decoder {
    /// For one of `most` bytes of content at most.
    pub fn new(most: usize) -> Decoder {
        Decoder { most, at: At::Start, content: Vec::new() }
    }

    /// Takes bytes and says how many: all, unless the netstring ends among them.
    ///
    /// # Errors
    /// [`Broken::Garbled`]: these bytes do not continue a netstring, or one that is too long.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        let mut at = 0;
        while at < bytes.len() && self.at != At::End {
            if let At::Content(length) = self.at {
                let end = bytes.len().min(at + length - self.content.len());
                self.content.extend_from_slice(&bytes[at..end]);
                at = end;
                if self.content.len() == length {
                    self.at = At::Comma;
                }
                continue;
            }
            self.at = self.step(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }

    fn step(&self, byte: u8) -> Result<At, Broken> {
        match (self.at, byte) {
            (At::Start, b'0'..=b'9') => self.length(0, byte),
            // A zero is the whole length.
            (At::Length(length @ 1..), b'0'..=b'9') => self.length(length, byte),
            (At::Length(0), b':') => Ok(At::Comma),
            (At::Length(length), b':') => Ok(At::Content(length)),
            (At::Comma, b',') => Ok(At::End),
            _ => Err(Broken::Garbled("the answer is no netstring".into())),
        }
    }

    fn length(&self, so_far: usize, digit: u8) -> Result<At, Broken> {
        match so_far.saturating_mul(10).saturating_add(usize::from(digit - b'0')) {
            length if length <= self.most => Ok(At::Length(length)),
            _ => Err(Broken::Garbled(format!("the answer has more than {} bytes", self.most))),
        }
    }

    /// The content, once all of it has come.
    pub fn finish(self) -> Option<Vec<u8>> {
        (self.at == At::End).then_some(self.content)
    }

    /// Whether all of it has come.
    pub fn is_at_end(&self) -> bool {
        self.at == At::End
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(wire: &[u8], most: usize) -> Result<Option<Vec<u8>>, Broken> {
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
            let wire = [encoded(&content), behind].concat();
            prop_assert_eq!(length_of(content.len() as u64), encoded(&content).len() as u64);
            crate::promises::netstring(&wire, &cuts);
            let mut decoder = Decoder::new(300);
            prop_assert_eq!(decoder.take(&wire).unwrap(), encoded(&content).len());
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
