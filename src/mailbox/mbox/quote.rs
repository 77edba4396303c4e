//! Quoting: the `>` that an mbox writer puts before body lines that look like a separator.

use memchr::memmem;

/// What a reader takes off the lines of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quoting {
    /// Nothing: mboxcl2 and MMDF never quote.
    None,
    /// One `>` off `>From `, no deeper: mboxo and mboxcl.
    One,
    /// One `>` off `>From `, `>>From ` and so on: mboxrd, the reversible one.
    Any,
}

/// Offsets in `body` of the `>` bytes that `quoting` takes off, in order.
pub fn quotes<'a>(body: &'a [u8], quoting: Quoting) -> impl Iterator<Item = usize> + use<'a> {
    // The needle has a rare byte pair, so that text full of `>` replies costs nothing.
    let finder = memmem::find_iter(body, b">From ");
    finder.take_while(move |_| quoting != Quoting::None).filter_map(move |at| {
        let depth = body[..at].iter().rev().take_while(|&&b| b == b'>').count();
        let start = at - depth;
        (is_line_start(body, start) && (depth == 0 || quoting == Quoting::Any)).then_some(start)
    })
}

/// Where a writer puts a `>` so that [`quotes`] finds it there: before `From ` at the start of a line,
/// and with [`Quoting::Any`] before each `>From `, `>>From ` too.
pub fn to_quote<'a>(body: &'a [u8], quoting: Quoting) -> impl Iterator<Item = usize> + use<'a> {
    let finder = memmem::find_iter(body, b"From ");
    finder.take_while(move |_| quoting != Quoting::None).filter_map(move |at| {
        let depth = body[..at].iter().rev().take_while(|&&b| b == b'>').count();
        (is_line_start(body, at - depth) && (depth == 0 || quoting == Quoting::Any)).then_some(at - depth)
    })
}

/// Whether a line begins here to those who look for From_ lines: also behind a NUL, see
/// [`scan`](super::scan).
pub(super) fn is_line_start(text: &[u8], at: usize) -> bool {
    at == 0 || matches!(text[at - 1], b'\n' | 0)
}

/// The pieces of a message (header and body) as they are without quoting: slices of it, in order.
/// The header is never touched: a `>From ` line there is a UUCP remnant and stays.
/// Returns how many `>` were left out.
pub fn unquoted<'a>(
    message: &'a [u8],
    body_at: usize,
    quoting: Quoting,
    pieces: &mut Vec<&'a [u8]>,
) -> usize {
    let mut kept_from = 0;
    let mut removed = 0;
    for at in quotes(&message[body_at..], quoting) {
        pieces.push(&message[kept_from..body_at + at]);
        kept_from = body_at + at + 1;
        removed += 1;
    }
    pieces.push(&message[kept_from..]);
    removed
}

/// The body as an mboxrd writer lays it down: one more `>` before every `>*From ` line.
/// [`unquoted`] with [`Quoting::Any`] is its inverse.
pub fn quoted_rd(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 16);
    push_quoted(body, to_quote(body, Quoting::Any), &mut out);
    out
}

/// Appends `text` with a `>` before each of these offsets.
pub fn push_quoted(text: &[u8], at: impl IntoIterator<Item = usize>, out: &mut Vec<u8>) {
    let mut from = 0;
    for at in at {
        out.extend_from_slice(&text[from..at]);
        out.push(b'>');
        from = at;
    }
    out.extend_from_slice(&text[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(message: &[u8], body_at: usize, quoting: Quoting) -> Vec<u8> {
        let mut pieces = Vec::new();
        unquoted(message, body_at, quoting, &mut pieces);
        pieces.concat()
    }

    #[test]
    fn each_variant_takes_off_what_its_writer_put_on() {
        let body = b">From a\n>>From b\n>From\n> From c\n>from d\nx>From e\n";
        assert_eq!(read(body, 0, Quoting::None), body);
        assert_eq!(read(body, 0, Quoting::One), b"From a\n>>From b\n>From\n> From c\n>from d\nx>From e\n");
        assert_eq!(read(body, 0, Quoting::Any), b"From a\n>From b\n>From\n> From c\n>from d\nx>From e\n");
    }

    #[test]
    fn a_uucp_remnant_in_the_header_stays() {
        let message = b">From uucp Mon\nA: 1\n\n>From body\n";
        assert_eq!(read(message, 21, Quoting::Any), b">From uucp Mon\nA: 1\n\nFrom body\n");
    }

    /// Text in which quoting happens often: any bytes at all would rarely hold a From.
    fn mail_like() -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            Just(b"From ".to_vec()),
            Just(b">".to_vec()),
            Just(b"\0".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r\n".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..4),
        ];
        proptest::collection::vec(word, 0..40).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn unquoting_is_the_inverse_of_quoting_and_takes_off_nothing_else(body in mail_like()) {
            crate::promises::quote(&body);
        }
    }
}
