//! Glued From_ lines: an append to an mbox without a final newline leaves `From SENDER DATE` after the last text.

use memchr::{memchr, memmem, memrchr2};

use super::from_line::{self, LineClass};
use super::header_block;
use crate::mailbox::message::header;

/// Finds glued From_ lines in file order.
#[derive(Debug, Default)]
pub(super) struct GluedScan {
    /// The end of the last header block that was read. Lines before it are not read again.
    read_until: usize,
}

impl GluedScan {
    /// Reports whether the `From ` at `at`, in the middle of a line, is a From_ line: it has a sender and a date, and a
    /// header block follows.
    pub(super) fn is_glued(&mut self, text: &[u8], at: usize) -> bool {
        /// Longer than any From_ line. A line with a million `From ` is read once.
        const MAX_LINE: usize = 1000;
        let reach = &text[at..text.len().min(at + MAX_LINE)];
        let Some(lf) = memchr(b'\n', reach) else { return false };
        let (line, below) = (&reach[..lf], at + lf + 1);
        if below < self.read_until || !header::is_field_line(&text[below..]) {
            return false;
        }
        let is_last = memmem::find(&line[1..], b"From ").is_none();
        let parsed = from_line::parse(line);
        let is_dated = matches!(parsed.class, LineClass::Dated | LineClass::Shaped);
        if !is_last || !is_dated || parsed.sender.is_empty() {
            return false;
        }
        let line_start = memrchr2(b'\n', 0, &text[..at]).map_or(0, |lf| lf + 1);
        if is_citation(&text[line_start..at]) || is_in_field(&text[..at]) {
            return false;
        }
        let block = header_block::read(&text[below..]);
        self.read_until = below + block.len;
        block.is_header
    }
}

/// Reports whether the text before `From ` shows that the line cites a From_ line: marks of a reply or a diff, or the line
/// number that grep prints.
fn is_citation(before: &[u8]) -> bool {
    let is_mark = |byte: &u8| matches!(byte, b'>' | b'|' | b'+' | b'-' | b':' | b' ' | b'\t');
    before.iter().all(is_mark) || is_grep_prefix(before)
}

/// Reports whether a text ends in a field of a header, such as that of an attached message.
fn is_in_field(text: &[u8]) -> bool {
    /// A header can have longer fields, but none of these cites From_ lines.
    const MAX_LINES: usize = 50;
    let mut lines = text.rsplit(|&b| b == b'\n').take(MAX_LINES);
    lines.find(|line| !matches!(line, [b' ' | b'\t', ..])).is_some_and(header_block::is_mail_field)
}

/// Reports whether the text is `12:`, `12:345:` or `inbox:12:`, with any blanks after it.
fn is_grep_prefix(before: &[u8]) -> bool {
    let Some(prefix) = before.trim_ascii_end().strip_suffix(b":") else { return false };
    let mut parts = prefix.rsplit(|&b| b == b':');
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let has_blank = prefix.iter().any(u8::is_ascii_whitespace);
    parts.next().is_some_and(is_number) && !has_blank
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "From: Ada <ada@example.org>\nSubject: x\n\ntext\n";

    fn glued(before: &str, line: &str, below: &str) -> bool {
        let text = format!("text\n{before}{line}\n{below}");
        GluedScan::default().is_glued(text.as_bytes(), 5 + before.len())
    }

    #[test]
    fn text_before_a_from_line_with_a_header_below() {
        for line in ["From a@b.example Mon Jan  5 10:07:00 2009", "From - Mon, 5 Jan 2009 10:07:00 +0100\r"] {
            for before in ["Hello 6.", "-- Ada", "see 12: ", "Note: bye ", "> text", "wrote:"] {
                assert!(glued(before, line, HEADER), "{before}{line}");
            }
            for before in [
                "> ",
                ">",
                "| ",
                "+",
                "-",
                ": ",
                " ",
                "12:",
                "12:345:",
                "inbox:12:",
                "Subject: ",
                "X-A: x ",
                "Received: by a\n\tvia b\n (c; ",
            ] {
                assert!(!glued(before, line, HEADER), "{before}{line}");
            }
            assert!(!glued("Hello", line, "text\n") && !glued("Hello", line, "X-A: 1\n\n"));
            assert!(!glued("Hello", line, "Subject: x\ntext\n"));
        }
        for line in [
            "From a@b.example",
            "From here to there",
            "From Mon Jan  5 10:07:00 2009",
            "From a@b.example Jan 2009",
        ] {
            assert!(!glued("Hello", line, HEADER), "{line}");
        }
        assert!(!glued("Hello", "From a@b.exampleFrom c@d Mon Jan  5 10:07:00 2009", HEADER));
    }

    #[test]
    fn lines_of_one_header_block_are_read_once() {
        let line = "X-A: bFrom a@b.example Mon Jan  5 10:07:00 2009\n";
        let text = format!("b{line}{line}{line}Subject: x\n\n");
        let mut scan = GluedScan::default();
        let found: Vec<bool> = memmem::find_iter(text.as_bytes(), b"From ")
            .map(|at| scan.is_glued(text.as_bytes(), at))
            .collect();
        assert_eq!(found, [true, false, false]);
    }
}
