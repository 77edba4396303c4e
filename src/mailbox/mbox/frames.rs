//! The frames of an MMDF file (mmdf(5)).

use std::ops::Range;

use memchr::memmem;

use super::lines::{FRAME, line_end};

/// A framed message.
pub(super) struct Frame {
    /// The offset of the opening line.
    pub(super) open: u64,
    /// The offset after the opening line.
    pub(super) start: u64,
    /// The offset of the closing line, or the end of the file.
    pub(super) end: u64,
    pub(super) closed: bool,
}

/// Finds the lines of four ^A, with their line ends.
pub(super) fn frame_lines(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    memmem::find_iter(text, FRAME).filter_map(|at| {
        let end = line_end(text, at);
        let at_start = at == 0 || text[at - 1] == b'\n';
        (at_start && text[at..end].trim_ascii_end() == FRAME).then_some(at..end)
    })
}

/// Pairs the lines of four ^A: each opens a frame or closes the open one (mmdf(5)).
pub(super) fn find_frames(text: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut open: Option<Range<u64>> = None;
    for Range { start: at, end } in frame_lines(text) {
        match open.take() {
            None => open = Some(at as u64..end as u64),
            Some(line) => {
                frames.push(Frame { open: line.start, start: line.end, end: at as u64, closed: true });
            }
        }
    }
    if let Some(line) = open {
        frames.push(Frame { open: line.start, start: line.end, end: text.len() as u64, closed: false });
    }
    frames
}
