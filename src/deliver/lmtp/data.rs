//! The message behind DATA: where it ends, and what of it is only there for the wire (RFC 5321, 4.5.2).

use memchr::memchr;

/// Takes the wire's form off a message, in pieces as they come: CRLF becomes LF, the dot that was put before
/// a line with a dot goes.
///
/// Only CR LF `.` CR LF ends a message, and only behind CR LF does a line begin: a CR or LF by itself is a
/// byte of the message and is kept. Programs that disagree about that can be made to take one message for
/// two ("SMTP smuggling").
#[derive(Debug, Default)]
pub struct Unstuffing(Place);

/// What the bytes so far are the beginning of. A CR waits here for the byte behind it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    LineStart,
    /// A dot at the start of a line: it goes, whatever follows.
    Dot,
    DotCr,
    Text,
    Cr,
    End,
}

impl Unstuffing {
    /// Takes bytes from the wire and puts those of the message into `out`, which grows by at most one byte
    /// more than were taken. Says how many were taken: all, unless the message ends among them.
    pub fn take(&mut self, wire: &[u8], out: &mut Vec<u8>) -> usize {
        let mut at = 0;
        while at < wire.len() && self.0 != Place::End {
            if self.0 == Place::Text {
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

    /// Whether the message has ended.
    pub fn is_at_end(&self) -> bool {
        self.0 == Place::End
    }

    fn step(&self, byte: u8, out: &mut Vec<u8>) -> Place {
        use Place::*;
        match (self.0, byte) {
            (LineStart, b'.') => Dot,
            (Dot, b'\r') => DotCr,
            (DotCr, b'\n') => End,
            (Cr, b'\n') => {
                out.push(b'\n');
                LineStart
            }
            // The CR before this byte was one by itself.
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
            // NUL and a dot that a careless client did not double.
            ("\0\r\n.a\r\n.\r\n", "\0\na\n", ""),
        ] {
            let (mut unstuffing, mut out) = (Unstuffing::default(), Vec::new());
            let taken = unstuffing.take(wire.as_bytes(), &mut out);
            assert!(unstuffing.is_at_end(), "{wire:?}");
            assert_eq!((BStr::new(&out), &wire[taken..]), (BStr::new(message), left), "{wire:?}");
        }
    }

    /// Bytes that matter, and some that do not.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(0), any::<u8>()];
        proptest::collection::vec(byte, 0..60)
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_and_stuffing_is_undone(text in text(), cuts in proptest::collection::vec(1usize..9, 60)) {
            crate::promises::lmtp_data(&text, &cuts);
        }
    }
}
