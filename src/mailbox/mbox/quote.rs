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
pub fn quote_offsets<'a>(body: &'a [u8], quoting: Quoting) -> impl Iterator<Item = usize> + use<'a> {
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
pub fn offsets_to_quote<'a>(body: &'a [u8], quoting: Quoting) -> impl Iterator<Item = usize> + use<'a> {
    let finder = memmem::find_iter(body, b"From ");
    finder.take_while(move |_| quoting != Quoting::None).filter_map(move |at| {
        let depth = body[..at].iter().rev().take_while(|&&b| b == b'>').count();
        (is_line_start(body, at - depth) && (depth == 0 || quoting == Quoting::Any)).then_some(at - depth)
    })
}

/// Whether a line begins here to those who look for From_ lines: also behind a NUL, see
/// [`scan`](super::scan).
pub(crate) fn is_line_start(text: &[u8], at: usize) -> bool {
    at == 0 || matches!(text[at - 1], b'\n' | 0)
}

/// The pieces of a message (header and body) as they are without quoting: slices of it, in order.
/// The header is never touched: a `>From ` line there is a UUCP remnant and stays.
/// Returns how many `>` were left out.
pub fn unquote<'a>(message: &'a [u8], body_at: usize, quoting: Quoting, pieces: &mut Vec<&'a [u8]>) -> usize {
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

/// The body as an mboxrd writer lays it down: one more `>` before every `>*From ` line.
/// [`unquoted`] with [`Quoting::Any`] is its inverse.
pub fn quote_mboxrd(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 16);
    push_quoted(body, offsets_to_quote(body, Quoting::Any), &mut out);
    out
}

/// A quoter of a text that comes in chunks: for any chunking it gives what [`to_quote`] and [`push_quoted`]
/// give for the whole. The `>` that is added may stand anywhere in a line's run of `>`, so that no run has to
/// be waited for: what is held back between two chunks is at most four letters of a `From `.
#[derive(Debug)]
pub struct Quoter {
    quoting: Quoting,
    /// Where we are in a line that may yet be one to quote; None: past that, in the middle of a line.
    head: Option<LineHead>,
}

#[derive(Debug, Clone, Copy)]
struct LineHead {
    /// Whether a `>` was seen; with [`Quoting::One`] the line is not ours then.
    quoted: bool,
    /// How many bytes of `From ` were seen; these are held back.
    held: usize,
}

const FROM: &[u8] = b"From ";

impl Quoter {
    /// At the beginning of a text.
    pub fn new(quoting: Quoting) -> Quoter {
        Quoter { quoting, head: Some(LineHead::START) }
    }

    /// Appends `chunk` as it is to be written, with what was held back before it, less what is held back now.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        if self.quoting == Quoting::None {
            return out.extend_from_slice(chunk);
        }
        let mut at = 0;
        while let Some(head) = self.head {
            let Some(&byte) = chunk.get(at) else { return };
            self.head = self.step(head, byte, out);
            at += 1;
        }
        // From the middle of a line on whole lines are looked at, which is many times faster.
        let rest = &chunk[at..];
        self.head = LineHead::at_end_of(rest);
        let text = &rest[..rest.len() - self.head.map_or(0, |head| head.held)];
        push_quoted(text, offsets_to_quote(text, self.quoting).filter(|&at| at > 0), out);
    }

    /// Ends the text: what is held back was no `From `.
    pub fn finish(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&FROM[..self.head.map_or(0, |head| head.held)]);
    }

    /// Takes one byte in the head of a line.
    fn step(&self, head: LineHead, byte: u8, out: &mut Vec<u8>) -> Option<LineHead> {
        let LineHead { quoted, held } = head;
        if byte == FROM[held] && !(quoted && self.quoting == Quoting::One) {
            if held + 1 < FROM.len() {
                return Some(LineHead { quoted, held: held + 1 });
            }
            out.extend_from_slice(b">From ");
            return None;
        }
        out.extend_from_slice(&FROM[..held]);
        out.push(byte);
        match byte {
            b'\n' | 0 => Some(LineHead::START),
            b'>' if held == 0 => Some(LineHead { quoted: true, held }),
            _ => None,
        }
    }
}

impl LineHead {
    const START: LineHead = LineHead { quoted: false, held: 0 };

    /// The head of a line that `text` ends with; its first byte is in the middle of one.
    fn at_end_of(text: &[u8]) -> Option<LineHead> {
        (0..FROM.len()).rev().find_map(|held| {
            let before = text.strip_suffix(&FROM[..held])?;
            let quotes = before.iter().rev().take_while(|&&b| b == b'>').count();
            let start = before.len() - quotes;
            (start > 0 && is_line_start(before, start)).then_some(LineHead { quoted: quotes > 0, held })
        })
    }
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
        fn a_text_in_chunks_is_quoted_like_the_whole(
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
