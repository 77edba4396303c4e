//! Boundary lists: `inspect --boundaries` prints one, the user edits it, and `convert --boundaries FILE` reads it.

use std::path::Path;

use super::{Reason, Verdict};
use crate::mailbox::mbox::scan;
use crate::mailbox::mbox::verdict::{Decision, Overrides};
use crate::mailbox::{Error, Result, escape};

/// Parses a list for the source `text`. Every offset must be that of a candidate, and the size in the first line
/// of the list must be that of the source.
pub(crate) fn parse(list: &[u8], path: &Path, text: &[u8]) -> Result<Overrides> {
    let mut overrides = Overrides::new();
    for (n, line) in list.split(|&b| b == b'\n').enumerate() {
        let refuse = |reason: String| Error::Boundaries { path: path.to_owned(), line: n as u64 + 1, reason };
        let line = line.trim_ascii_end();
        if let Some(comment) = line.strip_prefix(b"#") {
            check_size(comment, text.len()).map_err(refuse)?;
            continue;
        }
        if line.is_empty() {
            continue;
        }
        let (offset, verdict) = entry(line).map_err(refuse)?;
        let begins = |at: usize| scan::is_candidate(text, at);
        if !usize::try_from(offset).is_ok_and(|at| at < text.len() && begins(at)) {
            return Err(refuse(format!("no From_ line can begin at byte {offset} of the source")));
        }
        overrides.insert(offset, verdict);
    }
    Ok(overrides)
}

fn check_size(comment: &[u8], size: usize) -> Result<(), String> {
    let words: Vec<&[u8]> = comment.trim_ascii().split(|&b| b == b' ').collect();
    let [b"mailferry", b"boundaries", b"of", count, b"bytes"] = words[..] else { return Ok(()) };
    if count == size.to_string().as_bytes() {
        return Ok(());
    }
    Err(format!("this list is for a source of {} bytes, and the source has {size}", escape(count)))
}

fn entry(line: &[u8]) -> Result<(u64, Verdict), String> {
    let columns: Vec<&[u8]> = line.splitn(6, |&b| b == b'\t').collect();
    let [offset, _, _, _, verdict, ..] = columns[..] else {
        return Err("expected offset, line, class, row and verdict, separated by tabs".into());
    };
    let number = std::str::from_utf8(offset).ok().and_then(|o| o.trim().parse().ok());
    let offset = number.ok_or_else(|| format!("{:?} is not an offset", escape(offset)))?;
    let verdict = match verdict.trim_ascii() {
        b"separator" => Verdict::Separator,
        b"doubled" => Verdict::Doubled,
        b"body" => Verdict::Body,
        other => return Err(format!("{:?} is not a verdict: separator, doubled or body", escape(other))),
    };
    Ok((offset, verdict))
}

/// Returns the head of a list. It names the size of the source, so that the list is not used for another file.
pub(crate) fn format_header(size: u64) -> String {
    format!(
        "# mailferry boundaries of {size} bytes\n\
         # change separator to body or body to separator, then: mailferry convert --boundaries THIS FILE …\n\
         # offset\tline\tclass\trow\tverdict\tthe line\n"
    )
}

/// Returns a line of a list without its line end. `line` counts from 1.
pub(crate) fn format_line(text: &[u8], decision: &Decision, line: u64) -> String {
    const MAX_SHOWN: usize = 200;
    let candidate = &decision.candidate;
    let row = match decision.reason {
        Reason::Row(row) => row.to_string(),
        Reason::Glued => "glued".into(),
        Reason::User => "user".into(),
    };
    let bytes = text[candidate.offset as usize..candidate.end() as usize].trim_ascii_end();
    let shown = escape(&bytes[..bytes.len().min(MAX_SHOWN)]);
    let (offset, class, verdict) = (candidate.offset, candidate.class(), decision.verdict.name());
    format!("{offset}\t{line}\t{class}\t{row}\t{verdict}\t{shown}")
}

#[cfg(test)]
mod tests {
    use crate::mailbox::mbox::boundary_list::*;

    const TEXT: &[u8] = b"From a\nX: y\n\nFrom b\nX: y\n";

    fn parsed(list: &str) -> Result<Overrides, String> {
        parse(list.as_bytes(), Path::new("list"), TEXT).map_err(|e| e.to_string())
    }

    #[test]
    fn an_edited_list_is_read_and_a_wrong_line_refused() {
        let list = "# mailferry boundaries of 25 bytes\n0\t1\tKHB\t9\tseparator\tFrom a\n13\t4\tKHB\t9\tbody\tFrom b\n";
        let overrides = parsed(list).unwrap();
        assert_eq!(overrides.into_iter().collect::<Vec<_>>(), [(0, Verdict::Separator), (13, Verdict::Body)]);
        for (list, says) in [
            ("# mailferry boundaries of 26 bytes\n", "list: line 1: this list is for a source of 26 bytes"),
            (
                "0\t1\tKHB\t9\tseparator\tx\n12\t4\tKHB\t9\tbody\tx\n",
                "list: line 2: no From_ line can begin at byte 12",
            ),
            ("99\t1\tKHB\t9\tbody\tx\n", "line 1: no From_ line can begin"),
            ("0 separator\n", "separated by tabs"),
            ("0\t1\tKHB\t9\tmaybe\tx\n", "\"maybe\" is not a verdict"),
        ] {
            let error = parsed(list).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
