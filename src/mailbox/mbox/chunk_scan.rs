//! Line scanners whose input comes in chunks.

/// The message has a line of four ^A, which would end its MMDF frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unrepresentable;

/// Finds the empty line in the chunks of a header. The state is that of the current line.
#[derive(Debug)]
pub(super) enum HeaderEnd {
    LineStart,
    Cr,
    InLine,
}

impl HeaderEnd {
    /// Returns the offset after the empty line, if it ends in this chunk.
    pub(super) fn find(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = chunk.get(at) {
            at += 1;
            *self = match (&*self, byte) {
                (HeaderEnd::LineStart | HeaderEnd::Cr, b'\n') => return Some(at),
                (HeaderEnd::LineStart, b'\r') => HeaderEnd::Cr,
                (HeaderEnd::InLine, b'\n') => HeaderEnd::LineStart,
                _ => {
                    at += memchr::memchr(b'\n', &chunk[at..]).unwrap_or(chunk.len() - at);
                    HeaderEnd::InLine
                }
            };
        }
        None
    }
}

/// Counts the lines `>From ` in the chunks of a body. The state is the number of bytes of that seen in the current
/// line, if it begins so.
#[derive(Debug)]
pub(super) struct QuotedLines {
    seen: Option<usize>,
    count: u32,
}

impl Default for QuotedLines {
    fn default() -> QuotedLines {
        QuotedLines { seen: Some(0), count: 0 }
    }
}

impl QuotedLines {
    pub(super) fn push(&mut self, mut chunk: &[u8]) {
        const QUOTED: &[u8] = b">From ";
        while let [byte, rest @ ..] = chunk {
            self.seen = match self.seen {
                _ if matches!(byte, b'\n' | 0) => Some(0),
                Some(seen) if *byte == QUOTED[seen] => Some(seen + 1),
                _ => None,
            };
            if self.seen == Some(QUOTED.len()) {
                self.count += 1;
                self.seen = None;
            }
            // After the start of a line, a search is many times faster than single bytes.
            let next = match self.seen {
                None => memchr::memchr2(b'\n', 0, rest).unwrap_or(rest.len()),
                Some(_) => 0,
            };
            chunk = &rest[next..];
        }
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }
}

/// Finds a line of four ^A in the chunks of a message, as [`frame_lines`](super::frames::frame_lines) does. The
/// state is the number of ^A in the current line, if only blanks follow them.
#[derive(Debug)]
pub(super) struct FrameLines(Option<usize>);

impl Default for FrameLines {
    fn default() -> FrameLines {
        FrameLines(Some(0))
    }
}

impl FrameLines {
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), Unrepresentable> {
        while let [byte, rest @ ..] = bytes {
            bytes = rest;
            self.0 = match (self.0, byte) {
                (Some(4), b'\n') => return Err(Unrepresentable),
                (_, b'\n') => Some(0),
                (Some(seen @ 0..4), 1) => Some(seen + 1),
                (Some(4), blank) if blank.is_ascii_whitespace() => Some(4),
                _ => {
                    bytes = &rest[memchr::memchr(b'\n', rest).unwrap_or(rest.len())..];
                    None
                }
            };
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), Unrepresentable> {
        if self.0 == Some(4) { Err(Unrepresentable) } else { Ok(()) }
    }
}
