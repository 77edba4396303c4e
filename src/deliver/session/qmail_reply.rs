//! Replies of QMTP and QMQP: a netstring with a letter and a sentence.

use super::Outcome;
use crate::transport::{Failure, FailureReason, netstring};

/// More than a reply needs, and less than any client reads.
const MAX_TEXT: usize = 500;

/// The first byte of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Accepted = b'K' as isize,
    Temporary = b'Z' as isize,
    Permanent = b'D' as isize,
}

pub(super) fn write_outcome(outcome: &Outcome, out: &mut Vec<u8>) {
    match outcome {
        Ok(text) => write(Class::Accepted, "2.0.0", &format!("ok: {text}"), out),
        Err(failure) => {
            let class = if failure.reason.is_temporary() { Class::Temporary } else { Class::Permanent };
            write(class, failure.reason.status(), &failure.text, out);
        }
    }
}

/// Appends a reply with the status at its end, as in qmail. Other bytes than printable ASCII are escaped, and a long
/// text is cut.
pub(super) fn write(class: Class, status: &str, text: &str, out: &mut Vec<u8>) {
    let mut content = String::from(class as u8 as char);
    for c in text.chars() {
        if c.is_ascii_graphic() || c == ' ' {
            content.push(c);
        } else {
            content.extend(c.escape_default());
        }
    }
    content.truncate(MAX_TEXT);
    content.push_str(&format!(" (#{status})"));
    out.extend_from_slice(&netstring::encode(content.as_bytes()));
}

pub(super) fn bad_sender() -> Failure {
    Failure::new(FailureReason::BadSender, "the sender has 1000 bytes or more, or a NUL")
}

pub(super) fn bad_recipient() -> Failure {
    Failure::new(FailureReason::BadAddress, "the address has 1000 bytes or more, or a NUL")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(outcome: &Outcome) -> String {
        let mut out = Vec::new();
        write_outcome(outcome, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_reply_says_whether_a_retry_can_help() {
        assert_eq!(written(&Ok("/a/b".into())), "18:Kok: /a/b (#2.0.0),");
        let failed = |reason, text: &str| written(&Err(Failure::new(reason, text)));
        assert_eq!(failed(FailureReason::NoSuchMailbox, "no joe"), "16:Dno joe (#5.1.1),");
        assert_eq!(failed(FailureReason::Locked, "a\r\n\u{fc}"), "21:Za\\r\\n\\u{fc} (#4.2.0),");
        let long = failed(FailureReason::TryAgain, &"x".repeat(100_000));
        assert!(long.starts_with("509:Zxx") && long.ends_with("xx (#4.3.0),"), "{long}");
    }
}
