//! The form of a message after DATA (RFC 5321, 4.5.2): lines end in CRLF, and a leading dot is doubled.
//!
//! LF and CRLF both end a line. A CR by itself does not, and must not be sent (RFC 5321, 2.3.8): some servers treat it as a
//! line end, so a message could contain a second one after a dot that only they see ("SMTP smuggling"). It becomes a
//! blank, like in Postfix. Refusing it would lose the mail of every cron job with a progress bar. All other bytes are
//! sent unchanged, even NUL, in lines of any length; the server decides about them.

use memchr::memchr2;

/// Converts a message to its form on the wire, in pieces of any size.
#[derive(Debug)]
pub(crate) struct DotStuffer {
    at_line_start: bool,
    after_cr: bool,
}

impl DotStuffer {
    pub(crate) fn new() -> DotStuffer {
        DotStuffer { at_line_start: true, after_cr: false }
    }

    /// Appends the converted bytes to `out`.
    pub(crate) fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some(&first) = bytes.first() {
            if self.after_cr && first != b'\n' {
                out.push(b' ');
                self.at_line_start = false;
            }
            self.after_cr = first == b'\r';
            match first {
                b'\n' => {
                    out.extend_from_slice(b"\r\n");
                    self.at_line_start = true;
                    bytes = &bytes[1..];
                }
                b'\r' => bytes = &bytes[1..],
                _ => {
                    if first == b'.' && self.at_line_start {
                        out.push(b'.');
                    }
                    self.at_line_start = false;
                    let run = memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
                    out.extend_from_slice(&bytes[..run]);
                    bytes = &bytes[run..];
                }
            }
        }
    }

    /// Ends the last line if it has no line end. The final dot is not written.
    pub(crate) fn finish(self, out: &mut Vec<u8>) {
        if self.after_cr {
            out.push(b' ');
        }
        if self.after_cr || !self.at_line_start {
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use bstr::BStr;
    use proptest::prelude::*;

    use super::*;

    fn stuffed(message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut stuffer = DotStuffer::new();
        stuffer.push(message, &mut out);
        stuffer.finish(&mut out);
        out
    }

    #[test]
    fn lines_end_in_crlf_and_dots_are_doubled() {
        for (message, wire) in [
            (&b""[..], &b""[..]),
            (b"a\nb\n", b"a\r\nb\r\n"),
            (b"a\r\nb\r\n", b"a\r\nb\r\n"),
            (b"no end", b"no end\r\n"),
            (b".\n..\n.a\n", b"..\r\n...\r\n..a\r\n"),
            (b".", b"..\r\n"),
            (b"\n\n", b"\r\n\r\n"),
            (b"a\0\xff\n", b"a\0\xff\r\n"),
            // None of these ends the message for anybody.
            (b"a\n.\nb\n", b"a\r\n..\r\nb\r\n"),
            (b"a\r.\rb\n", b"a . b\r\n"),
            (b"a\r\n.\rb\n", b"a\r\n.. b\r\n"),
            (b"a\r.\r\nb\n", b"a .\r\nb\r\n"),
            (b"\r.\r\n", b" .\r\n"),
            (b"a\r\r\nb", b"a \r\nb\r\n"),
            (b"a\r", b"a \r\n"),
            (b"\r", b" \r\n"),
        ] {
            assert_eq!(BStr::new(&stuffed(message)), BStr::new(wire), "{:?}", BStr::new(message));
        }
    }

    proptest! {
        #[test]
        fn what_was_stuffed_is_unstuffed(message in "[a\\.\r\n\0]{0,40}", cuts in prop::collection::vec(1usize..9, 1..9)) {
            crate::promises::stuffing(message.as_bytes(), &cuts);
        }
    }
}
