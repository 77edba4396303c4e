//! The end of an mbox: how to continue the file, and what its end lacks.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::frames::frame_lines;
use super::lines::{FRAME, closing_blank};
use super::read::{self, MboxHead, NotAMailbox};
use super::write::line_ending;
use super::{ReadOptions, ScanHooks, Variant};
use crate::mailbox::source::Compression;
use crate::mailbox::{Cancel, Error, Result};

/// The continuation of an mbox.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// The variant to continue with.
    pub(super) variant: Variant,
    /// The bytes that the end of the mbox lacks: a final newline, a blank line.
    pub(super) repair: Vec<u8>,
}

/// How much is read at either end of an mbox before a delivery: the header of its first message, and enough to
/// find out whether its frames are closed.
const WINDOW: usize = 64 << 10;

/// Examines both ends of an mbox, as far as [`WINDOW`] reaches.
pub(super) fn examine_ends(file: &File, length: u64, path: &Path, variant: Option<Variant>) -> Result<Tail> {
    let failed = || Error::io("read", path);
    let size = length.min(WINDOW as u64) as usize;
    let mut head = vec![0; size];
    file.read_exact_at(&mut head, 0).map_err(failed())?;
    let mut tail = head.clone();
    if length > size as u64 {
        file.read_exact_at(&mut tail, length - size as u64).map_err(failed())?;
        // An incomplete line is not judged.
        head.truncate(memchr::memrchr(b'\n', &head).map_or(size, |lf| lf + 1));
    }
    tail_of(Window { head: &head, tail: &tail, length }, path, variant)
}

/// The first and last bytes of an mbox. They overlap in a short one.
struct Window<'a> {
    head: &'a [u8],
    tail: &'a [u8],
    length: u64,
}

fn tail_of(window: Window<'_>, path: &Path, variant: Option<Variant>) -> Result<Tail> {
    let Window { head, tail, length } = window;
    let refuse = |reason: String| Error::destination(path, reason);
    check_lines(head).map_err(refuse)?;
    let MboxHead { framed, .. } = read::examine_head(head).map_err(|not| not_a_mailbox(not, path))?;
    let is_blank = length == head.len() as u64 && head.trim_ascii().is_empty();
    let variant = match variant {
        Some(named) if is_blank || (named == Variant::Mmdf) == framed => named,
        None if framed => Variant::Mmdf,
        None => Variant::Mboxrd,
        Some(named) => return Err(refuse(wrong_format(framed, named))),
    };
    if framed && !closes_frame(tail, length) {
        return Err(refuse(UNCLOSED_FRAME.into()));
    }
    Ok(Tail { variant, repair: repair(line_ending(head), tail, framed) })
}

/// Reports whether all frames of an MMDF file are closed. Read from its first line, the lines of four ^A open and
/// close frames in turn. In a window, the text before the last ones is in a frame, so the next one closes it.
fn closes_frame(tail: &[u8], length: u64) -> bool {
    if length == tail.len() as u64 {
        let (count, end) = frame_lines(tail).fold((0u64, 0), |(n, _), line| (n + 1, line.end));
        return count.is_multiple_of(2) && tail[end..].trim_ascii().is_empty();
    }
    let lines = tail.trim_ascii_end().rsplit(|&b| b == b'\n');
    lines.take_while(|line| line.trim_ascii_end() == FRAME).count() % 2 == 1
}

/// Examines a whole mbox.
pub(super) fn examine(text: &[u8], path: &Path, variant: Option<Variant>, cancel: &Cancel) -> Result<Tail> {
    let refuse = |reason: String| Error::destination(path, reason);
    check_lines(text).map_err(refuse)?;
    let hooks = ScanHooks { on_scan: &|_| (), on_release: &|_| (), cancel };
    let mbox = read::read(text, &ReadOptions { variant, ..ReadOptions::default() }, hooks);
    cancel.check()?;
    let mbox = mbox.map_err(|not| not_a_mailbox(not, path))?;
    let blank = text.trim_ascii().is_empty();
    let framed = frame_lines(text).next().is_some_and(|line| text[..line.start].trim_ascii().is_empty());
    let variant = mbox.variant;
    if !blank && framed != (variant == Variant::Mmdf) {
        return Err(refuse(wrong_format(framed, variant)));
    }
    if framed && frame_lines(text).count() % 2 == 1 {
        return Err(refuse(UNCLOSED_FRAME.into()));
    }
    Ok(Tail { variant, repair: repair(line_ending(text), text, framed) })
}

const UNCLOSED_FRAME: &str = "ends in an MMDF frame that is never closed; close it first";

/// Refuses a file without lines to append to.
fn check_lines(text: &[u8]) -> Result<(), String> {
    if let Some(format) = Compression::detect(&text[..text.len().min(16)]) {
        return Err(format!("is compressed ({}); nothing can be appended to it", format.name()));
    }
    let lf = memchr::memchr(b'\n', text).is_some();
    if !lf && memchr::memchr(b'\r', text).is_some() {
        return Err("has lines that end in CR alone; convert it into a new file instead".into());
    }
    Ok(())
}

fn not_a_mailbox(not: NotAMailbox, path: &Path) -> Error {
    let reason = format!("{}; nothing was appended", not.reason);
    NotAMailbox { reason, ..not }.in_file(path)
}

fn wrong_format(framed: bool, named: Variant) -> String {
    let is = if framed { "an MMDF file" } else { "no MMDF file" };
    format!("is {is}; {named} cannot be appended to it")
}

/// Returns the bytes to write between the end of an mbox and the next From_ line, or the next frame.
pub(super) fn repair(eol: &[u8], text: &[u8], framed: bool) -> Vec<u8> {
    let mut repair = Vec::new();
    if !text.is_empty() && !text.ends_with(b"\n") {
        repair.extend_from_slice(eol);
    }
    if !text.is_empty() && !framed && (!repair.is_empty() || closing_blank(text) == 0) {
        repair.extend_from_slice(eol);
    }
    repair
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_line_end_is_added_as_the_file_writes_it() {
        for (text, missing) in [
            ("", ""),
            ("From a\n\nx\n\n", ""),
            ("From a\n\nx\n", "\n"),
            ("From a\n\nx", "\n\n"),
            ("From a\n", "\n"),
            ("From a\r\n\r\nx\r\n\r\n", ""),
            ("From a\r\n\r\nx\r\n", "\r\n"),
            ("From a\r\n\r\nx", "\r\n\r\n"),
            ("\n", ""),
            ("From a\n\nx\n\0\0", "\n\n"),
        ] {
            assert_eq!(
                repair(line_ending(text.as_bytes()), text.as_bytes(), false),
                missing.as_bytes(),
                "{text:?}"
            );
        }
        assert_eq!(repair(b"\n", b"\x01\x01\x01\x01\nx\n\x01\x01\x01\x01", true), b"\n");
        assert_eq!(repair(b"\n", b"\x01\x01\x01\x01\nx\n\x01\x01\x01\x01\n", true), b"");
    }
}
