//! The message after DATA: its end, and its form on the wire (RFC 5321, 4.5.2).

use memchr::memchr;

use crate::deliver::session::wire::BodyDecoder;

/// Decodes a message in pieces: CRLF becomes LF, and the dot added before a line with a dot is removed.
///
/// Only CR LF `.` CR LF ends a message, and a line begins only after CR LF. A lone CR or LF is a byte of the message.
/// Programs that disagree about this can be made to see two messages in one ("SMTP smuggling").
#[derive(Debug, Default)]
pub(crate) struct DotUnstuffer(State);

/// Position in the stream. A CR is held back until the next byte.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    LineStart,
    /// After a dot at the start of a line. It is removed in any case.
    Dot,
    DotCr,
    Text,
    Cr,
    End,
}

impl BodyDecoder for DotUnstuffer {
    fn decode(&mut self, wire: &[u8], out: &mut Vec<u8>) -> usize {
        let mut at = 0;
        while at < wire.len() && self.0 != State::End {
            if self.0 == State::Text {
                let run = memchr(b'\r', &wire[at..]).unwrap_or(wire.len() - at);
                out.extend_from_slice(&wire[at..at + run]);
                at += run;
                if at == wire.len() {
                    break;
                }
            }
            self.0 = self.step(wire[at], out);
            at += 1;
        }
        at
    }

    fn is_at_end(&self) -> bool {
        self.0 == State::End
    }
}

impl DotUnstuffer {
    fn step(&self, byte: u8, out: &mut Vec<u8>) -> State {
        use State::*;
        match (self.0, byte) {
            (LineStart, b'.') => Dot,
            (Dot, b'\r') => DotCr,
            (DotCr, b'\n') => End,
            (Cr, b'\n') => {
                out.push(b'\n');
                LineStart
            }
            // The CR before this byte is a lone one.
            (DotCr | Cr, b'\r') => {
                out.push(b'\r');
                Cr
            }
            (DotCr | Cr, other) => {
                out.extend([b'\r', other]);
                Text
            }
            (LineStart | Text, b'\r') => Cr,
            (LineStart | Dot | Text, other) => {
                out.push(other);
                Text
            }
            (End, _) => End,
        }
    }
}

#[cfg(test)]
mod tests {
    use bstr::BStr;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_line_of_one_dot_between_crlfs_ends_a_message() {
        for (wire, message, left) in [
            ("a\r\n.\r\nQUIT\r\n", "a\n", "QUIT\r\n"),
            (".\r\n", "", ""),
            ("\r\n.\r\n", "\n", ""),
            ("..\r\n...\r\n.\r\n", ".\n..\n", ""),
            // None of these ends it.
            ("a\n.\nb\r\n.\r\n", "a\n.\nb\n", ""),
            ("a\r.\rb\r\n.\r\n", "a\r.\rb\n", ""),
            ("a\r\n.\nb\r\n.\r\n", "a\n\nb\n", ""),
            ("a\r\n.\rb\r\n.\r\n", "a\n\rb\n", ""),
            ("a\n.\r\nb\r\n.\r\n", "a\n.\nb\n", ""),
            ("a\r.\r\nb\r\n.\r\n", "a\r.\nb\n", ""),
            ("a\r\n.\r\r\n.\r\n", "a\n\r\n", ""),
            ("a\r\r\n.\r\n", "a\r\n", ""),
            ("a\r\r\r\n.\r\n", "a\r\r\n", ""),
            // NUL, and a dot that the client failed to double.
            ("\0\r\n.a\r\n.\r\n", "\0\na\n", ""),
        ] {
            let (mut unstuffer, mut out) = (DotUnstuffer::default(), Vec::new());
            let taken = unstuffer.decode(wire.as_bytes(), &mut out);
            assert!(unstuffer.is_at_end(), "{wire:?}");
            assert_eq!((BStr::new(&out), &wire[taken..]), (BStr::new(message), left), "{wire:?}");
        }
    }

    /// Mostly bytes that the decoder treats specially.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(0), any::<u8>()];
        proptest::collection::vec(byte, 0..60)
    }

    proptest! {
        #[test]
        fn chunks_change_nothing_and_stuffing_is_undone(text in text(), cuts in proptest::collection::vec(1usize..9, 60)) {
            crate::promises::lmtp_data(&text, &cuts);
        }
    }
}
