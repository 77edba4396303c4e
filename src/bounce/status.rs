//! Enhanced status codes (RFC 3463).

use std::fmt;

/// An enhanced status code, such as 5.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Status {
    class: u8,
    subject: u16,
    detail: u16,
}

impl Status {
    /// Parses the code at the start of a text, which may continue after it.
    pub(crate) fn at_start(text: &[u8]) -> Option<Status> {
        let (class, rest) = number(text)?;
        let (subject, rest) = number(rest.strip_prefix(b".")?)?;
        let (detail, rest) = number(rest.strip_prefix(b".")?)?;
        let class = u8::try_from(class).ok().filter(|class| matches!(class, 2 | 4 | 5))?;
        // A fourth number makes an IP address of it.
        let ends =
            !matches!(rest, [b'.', b'0'..=b'9', ..]) && !rest.first().is_some_and(u8::is_ascii_alphanumeric);
        ends.then_some(Status { class, subject, detail })
    }

    /// Returns the first code in a text that is neither a part of a word nor of an IP address. Its subject is a known
    /// one, unlike that of most version numbers.
    pub(super) fn find(text: &[u8]) -> Option<Status> {
        let starts = memchr::memchr3_iter(b'2', b'4', b'5', text);
        let mut codes =
            starts.filter(|&at| !is_in_word(&text[..at])).filter_map(|at| Status::at_start(&text[at..]));
        codes.find(|code| code.subject <= 7)
    }

    /// Returns the code of the last `(#x.y.z)` in a text. qmail's programs end their reasons with it.
    pub(super) fn find_qmail(text: &[u8]) -> Option<Status> {
        let mut marks: Vec<usize> = memchr::memmem::find_iter(text, b"(#").collect();
        marks.reverse();
        marks.into_iter().find_map(|at| Status::at_start(&text[at + 2..]))
    }

    /// Returns the first number: 2 for success, 4 for a temporary and 5 for a permanent failure.
    pub(crate) fn class(self) -> u8 {
        self.class
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// Reports whether a digit after this text continues a word, a number or a host name.
fn is_in_word(before: &[u8]) -> bool {
    match before {
        // The lines of a reply of SMTP: `550-5.1.1`.
        [.., b'0'..=b'9', b'-'] => false,
        [.., byte] => byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'@' | b'/'),
        [] => false,
    }
}

/// Splits off one to three digits.
fn number(text: &[u8]) -> Option<(u16, &[u8])> {
    let length = text.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
    let digits = std::str::from_utf8(&text[..length]).ok().filter(|_| length <= 3)?;
    Some((digits.parse().ok()?, &text[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_between_other_numbers() {
        for (text, code) in [
            (&b"5.1.1"[..], Some("5.1.1")),
            (b"550 5.7.133 denied", Some("5.7.133")),
            (b"550-5.1.1 no", Some("5.1.1")),
            (b"host mx[4.2.1.9] said: 452 4.2.2 full", Some("4.2.2")),
            (b"Exim 4.96.2 on mx-5.1.1.example", None),
            (b"at 4.2.1.9", None),
            (b"3.1.1 5.1.1111", None),
            (b"(5.4.6).", Some("5.4.6")),
            (b"", None),
        ] {
            let found = Status::find(text).map(|status| status.to_string());
            assert_eq!(found.as_deref(), code, "{}", text.escape_ascii());
        }
    }
}
