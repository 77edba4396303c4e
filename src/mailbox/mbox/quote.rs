//! Quoting: the `>` that an mbox writer adds to body lines that look like a separator.

use crate::mailbox::source::mapped;

/// The quoting that a reader removes from the lines of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Quoting {
    /// Nothing: mboxcl2 and MMDF never quote.
    None,
    /// One `>` from `>From `, no deeper: mboxo and mboxcl.
    One,
    /// One `>` from `>From `, `>>From ` and so on: mboxrd, which is reversible.
    Any,
}

/// Returns the offsets in `body` of the `>` that `quoting` removes.
pub(crate) fn quote_offsets<'a>(body: &'a [u8], quoting: Quoting) -> impl Iterator<Item = usize> + use<'a> {
    let searched = if quoting == Quoting::None { &body[..0] } else { body };
    // The needle has a rare byte pair, so replies full of `>` cost nothing.
    mapped::find_all(searched, b">From ").filter_map(move |at| {
        let depth = body[..at].iter().rev().take_while(|&&b| b == b'>').count();
        let start = at - depth;
        (is_line_start(body, start) && (depth == 0 || quoting == Quoting::Any)).then_some(start)
    })
}

/// Returns the offsets at which a writer adds a `>` that [`quote_offsets`] finds: before `From ` at the start of a
/// line, and with [`Quoting::Any`] before `>From `, `>>From ` and so on.
pub(crate) fn offsets_to_quote<'a>(
    body: &'a [u8],
    quoting: Quoting,
) -> impl Iterator<Item = usize> + use<'a> {
    let finder = mapped::find_all(body, b"From ");
    finder.take_while(move |_| quoting != Quoting::None).filter_map(move |at| {
        let depth = body[..at].iter().rev().take_while(|&&b| b == b'>').count();
        (is_line_start(body, at - depth) && (depth == 0 || quoting == Quoting::Any)).then_some(at - depth)
    })
}

/// Reports whether a From_ line can begin at `at`: also after a NUL, see [`lines`](super::lines).
pub(crate) fn is_line_start(text: &[u8], at: usize) -> bool {
    at == 0 || matches!(text[at - 1], b'\n' | 0)
}

/// Collects the pieces of an unquoted message: slices of it, in order. Returns the number of `>` that were removed.
/// The header never changes: a `>From ` line in it is a remnant of UUCP.
pub(crate) fn unquote<'a>(
    message: &'a [u8],
    body_at: usize,
    quoting: Quoting,
    pieces: &mut Vec<&'a [u8]>,
) -> usize {
    let mut kept_from = 0;
    let mut removed = 0;
    for at in quote_offsets(&message[body_at..], quoting) {
        pieces.push(&message[kept_from..body_at + at]);
        kept_from = body_at + at + 1;
        removed += 1;
    }
    pieces.push(&message[kept_from..]);
    removed
}

/// Quotes a body as an mboxrd writer does: adds a `>` to every `>*From ` line. [`unquote`] with [`Quoting::Any`] is
/// the inverse.
#[cfg(any(test, fuzzing))]
pub(crate) fn quote_mboxrd(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 16);
    push_quoted(body, offsets_to_quote(body, Quoting::Any), &mut out);
    out
}

/// Quotes a text that comes in chunks, with the same result as [`push_quoted`] for the whole. The added `>` may be
/// anywhere in the run of `>` of a line, so runs need no buffering. At most four letters of a `From ` are held back
/// between two chunks.
#[derive(Debug)]
pub(crate) struct Quoter {
    quoting: Quoting,
    /// The state at the start of a line that may need quoting. `None` after that part of a line.
    head: Option<LineHead>,
}

#[derive(Debug, Clone, Copy)]
struct LineHead {
    /// A `>` was seen. With [`Quoting::One`] the line is not quoted then.
    quoted: bool,
    /// The number of bytes of `From ` that were seen and held back.
    matched: usize,
}

const FROM: &[u8] = b"From ";

impl Quoter {
    pub(crate) fn new(quoting: Quoting) -> Quoter {
        Quoter { quoting, head: Some(LineHead::START) }
    }

    /// Appends the quoted chunk, with the bytes held back before it.
    pub(crate) fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        if self.quoting == Quoting::None {
            return out.extend_from_slice(chunk);
        }
        let mut at = 0;
        while let Some(head) = self.head {
            let Some(&byte) = chunk.get(at) else { return };
            self.head = self.step(head, byte, out);
            at += 1;
        }
        // After the start of a line, a search is many times faster than single bytes.
        let rest = &chunk[at..];
        self.head = LineHead::at_end_of(rest);
        let text = &rest[..rest.len() - self.head.map_or(0, |head| head.matched)];
        push_quoted(text, offsets_to_quote(text, self.quoting).filter(|&at| at > 0), out);
    }

    /// Ends the text. The bytes held back were not a `From `.
    pub(crate) fn finish(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&FROM[..self.head.map_or(0, |head| head.matched)]);
    }

    /// Processes one byte at the start of a line.
    fn step(&self, head: LineHead, byte: u8, out: &mut Vec<u8>) -> Option<LineHead> {
        let LineHead { quoted, matched } = head;
        if byte == FROM[matched] && !(quoted && self.quoting == Quoting::One) {
            if matched + 1 < FROM.len() {
                return Some(LineHead { quoted, matched: matched + 1 });
            }
            out.extend_from_slice(b">From ");
            return None;
        }
        out.extend_from_slice(&FROM[..matched]);
        out.push(byte);
        match byte {
            b'\n' | 0 => Some(LineHead::START),
            b'>' if matched == 0 => Some(LineHead { quoted: true, matched }),
            _ => None,
        }
    }
}

impl LineHead {
    const START: LineHead = LineHead { quoted: false, matched: 0 };

    /// Returns the state after `text`, whose first byte is not at the start of a line.
    fn at_end_of(text: &[u8]) -> Option<LineHead> {
        (0..FROM.len()).rev().find_map(|matched| {
            let before = text.strip_suffix(&FROM[..matched])?;
            let quotes = before.iter().rev().take_while(|&&b| b == b'>').count();
            let start = before.len() - quotes;
            (start > 0 && is_line_start(before, start)).then_some(LineHead { quoted: quotes > 0, matched })
        })
    }
}

/// Appends `text` with a `>` at each offset.
pub(crate) fn push_quoted(text: &[u8], at: impl IntoIterator<Item = usize>, out: &mut Vec<u8>) {
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
        unquote(message, body_at, quoting, &mut pieces);
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

    /// Text with much quoting. Random bytes rarely contain a From.
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
        fn chunks_are_quoted_like_the_whole_text(
            body in mail_like(),
            cuts in proptest::collection::vec(0usize..12, 0..40),
        ) {
            crate::promises::quoter(&body, &cuts);
        }

        #[test]
        fn unquoting_is_the_inverse_of_quoting_and_takes_off_nothing_else(body in mail_like()) {
            crate::promises::quote(&body);
        }
    }
}
