//! Line ends of a text that comes in chunks.

/// The change of one line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineEndChange {
    Keep,
    AddCr,
    RemoveCr,
}

/// The line ends that convert changed, as the manifest has them: the lengths of alternate runs of changed and unchanged
/// lines.
pub(crate) struct LineEndRuns<'a> {
    runs: std::slice::Iter<'a, u64>,
    is_changed: bool,
    left: u64,
    change: LineEndChange,
}

impl<'a> LineEndRuns<'a> {
    /// `change` is that of the changed lines.
    pub(crate) fn new(runs: &'a [u64], change: LineEndChange) -> LineEndRuns<'a> {
        let mut runs = runs.iter();
        let left = runs.next().copied().unwrap_or(0);
        LineEndRuns { runs, is_changed: true, left, change }
    }

    /// Returns the change of the next line end.
    pub(crate) fn next(&mut self) -> LineEndChange {
        while self.left == 0 {
            let next = self.runs.next();
            self.is_changed = next.is_some() && !self.is_changed;
            self.left = next.copied().unwrap_or(u64::MAX);
        }
        self.left -= 1;
        if self.is_changed { self.change } else { LineEndChange::Keep }
    }
}

/// Changes line ends. `F` decides about each, by whether it is CRLF.
pub(crate) struct LineEnds<F> {
    change: F,
    /// The last chunk ended with a CR, which may belong to a line end.
    held_cr: bool,
    /// The last chunk ended in the middle of a line.
    in_line: bool,
}

impl<F: FnMut(bool) -> LineEndChange> LineEnds<F> {
    pub(crate) fn new(change: F) -> LineEnds<F> {
        LineEnds { change, held_cr: false, in_line: false }
    }

    /// Appends the changed chunk to `out`.
    pub(crate) fn push(&mut self, mut chunk: &[u8], out: &mut Vec<u8>) {
        while !chunk.is_empty() {
            let end = memchr::memchr(b'\n', chunk);
            let line = &chunk[..end.unwrap_or(chunk.len())];
            chunk = &chunk[end.map_or(chunk.len(), |lf| lf + 1)..];
            if self.held_cr && !line.is_empty() {
                out.push(b'\r');
                self.held_cr = false;
            }
            let bare = line.strip_suffix(b"\r").unwrap_or(line);
            out.extend_from_slice(bare);
            let is_crlf = bare.len() < line.len() || self.held_cr;
            (self.held_cr, self.in_line) = (is_crlf && end.is_none(), end.is_none());
            if end.is_some() {
                let crs = match (self.change)(is_crlf) {
                    LineEndChange::Keep => usize::from(is_crlf),
                    LineEndChange::AddCr => usize::from(is_crlf) + 1,
                    LineEndChange::RemoveCr => 0,
                };
                out.extend_from_slice(&b"\r\r\n"[2 - crs..]);
            }
        }
    }

    /// Ends the text. Returns true if its last line has no line end.
    pub(crate) fn finish(self, out: &mut Vec<u8>) -> bool {
        if self.held_cr {
            out.push(b'\r');
        }
        self.in_line
    }
}
