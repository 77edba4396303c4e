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
