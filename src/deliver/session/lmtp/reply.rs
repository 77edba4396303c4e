//! Replies to the peer: a code, an enhanced code (RFC 2034) and a sentence.

use crate::transport::{Failure, FailureReason};

/// RFC 5321, 4.5.3.1.5: 512 bytes with CRLF.
const MAX_LENGTH: usize = 510;

/// A reply of one line, without its line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplyLine(String);

impl ReplyLine {
    /// `text` begins with the enhanced code, if there is one. Other bytes than printable ASCII are escaped: a line
    /// end would make two replies of it. A long text is cut.
    pub(crate) fn new(code: u16, text: &str) -> ReplyLine {
        let mut line = format!("{code} ");
        for c in text.chars() {
            if c.is_ascii_graphic() || c == ' ' {
                line.push(c);
            } else {
                line.extend(c.escape_default());
            }
        }
        line.truncate(MAX_LENGTH);
        ReplyLine(line)
    }

    /// The reply about a recipient that failed.
    pub(crate) fn for_failure(failure: &Failure) -> ReplyLine {
        let code = match failure.reason {
            FailureReason::OverQuotaForNow | FailureReason::DiskFull => 452,
            reason if reason.is_temporary() => 451,
            FailureReason::OverQuota | FailureReason::TooLarge => 552,
            FailureReason::NoSuchMailbox | FailureReason::BadAddress => 550,
            _ => 554,
        };
        ReplyLine::new(code, &failure.to_string())
    }

    /// Reports whether the client made an error: of syntax, of order, or with a parameter (RFC 5321, 4.2.1).
    pub(super) fn is_protocol_error(&self) -> bool {
        matches!(self.0.get(..3), Some("500" | "501" | "502" | "503" | "555"))
    }

    pub(super) fn is_refusal(&self) -> bool {
        self.0.starts_with(['4', '5'])
    }

    /// Appends the line and CRLF.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_one_line_for_any_path() {
        let mut out = Vec::new();
        let text = format!("/a\r\n250 2.0.0 ok\u{fc}{}", "x".repeat(1000));
        ReplyLine::for_failure(&Failure::new(FailureReason::Locked, text)).write_to(&mut out);
        let line = String::from_utf8(out).unwrap();
        assert!(line.starts_with("451 4.2.0 /a\\r\\n250 2.0.0 ok\\u{fc}xxx"), "{line}");
        assert!(line.len() == 512 && line.find("\r\n") == Some(510) && line.is_ascii());
    }

    #[test]
    fn codes_show_whether_a_retry_can_help() {
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
            assert_eq!(ReplyLine::for_failure(&Failure::new(reason, "x")), ReplyLine(want.into()));
        }
    }
}
