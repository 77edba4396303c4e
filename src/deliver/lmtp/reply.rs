//! What the server says: a code, an enhanced code (RFC 2034) and a sentence.

use crate::transport::failure::{Failure, FailureReason};

/// A line holds 512 bytes with its CRLF (RFC 5321, 4.5.3.1.5).
const LONGEST: usize = 510;

/// One line of one reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply(String);

impl Reply {
    /// `text` begins with the enhanced code, where one belongs. What a line of a reply cannot hold is
    /// escaped, and a long sentence is cut: with a line end in it, the peer would take one reply for two.
    pub fn new(code: u16, text: &str) -> Reply {
        let mut line = format!("{code} ");
        for c in text.chars() {
            if c.is_ascii_graphic() || c == ' ' {
                line.push(c);
            } else {
                line.extend(c.escape_default());
            }
        }
        line.truncate(LONGEST);
        Reply(line)
    }

    /// Of a recipient, or of a message for it.
    pub fn of(failure: &Failure) -> Reply {
        let code = match failure.reason {
            FailureReason::OverQuotaForNow | FailureReason::DiskFull => 452,
            reason if reason.is_temporary() => 451,
            FailureReason::OverQuota | FailureReason::TooLarge => 552,
            FailureReason::NoSuchMailbox | FailureReason::BadAddress => 550,
            _ => 554,
        };
        Reply::new(code, &failure.to_string())
    }

    /// The line with its end.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_one_line_whatever_a_path_is_called() {
        let mut out = Vec::new();
        let text = format!("/a\r\n250 2.0.0 ok\u{fc}{}", "x".repeat(1000));
        Reply::of(&Failure::new(FailureReason::Locked, text)).write(&mut out);
        let line = String::from_utf8(out).unwrap();
        assert!(line.starts_with("451 4.2.0 /a\\r\\n250 2.0.0 ok\\u{fc}xxx"), "{line}");
        assert!(line.len() == 512 && line.find("\r\n") == Some(510) && line.is_ascii());
    }

    #[test]
    fn codes_say_whether_to_try_again() {
        use FailureReason::*;
        for (reason, want) in [
            (TryAgain, "451 4.3.0 x"),
            (DiskFull, "452 4.3.1 x"),
            (Locked, "451 4.2.0 x"),
            (OverQuotaForNow, "452 4.2.2 x"),
            (Interrupted, "451 4.3.2 x"),
            (Configuration, "451 4.3.5 x"),
            (OverQuota, "552 5.2.2 x"),
            (NoSuchMailbox, "550 5.1.1 x"),
            (BadAddress, "550 5.1.3 x"),
            (BadMessage, "554 5.6.0 x"),
            (TooLarge, "552 5.3.4 x"),
            (Looping, "554 5.4.6 x"),
            (Refused, "554 5.3.0 x"),
        ] {
            assert_eq!(Reply::of(&Failure::new(reason, "x")), Reply(want.into()));
        }
    }
}
