//! `inspect --boundaries`.

use serde_json::{Value, json};

use crate::cli::ui::Reporter;
use crate::inspect;
use crate::mailbox::escape;
use crate::mailbox::mbox::{Mbox, Reason, boundary_list};

/// Prints every candidate with its decision.
pub(super) fn show(mbox: &Mbox<'_>, reporter: &mut Reporter) {
    let text = mbox.text();
    reporter.line(boundary_list::format_header(text.len() as u64).trim_end());
    let (mut line, mut counted) = (1, 0);
    for decided in &mbox.boundaries.decisions {
        let offset = decided.candidate.offset as usize;
        line += memchr::memchr_iter(b'\n', &text[counted..offset]).count() as u64;
        counted = offset;
        if reporter.is_json() {
            let bytes = &text[offset..decided.candidate.end() as usize];
            reporter.object(&json!({
                "type": "boundary",
                "offset": offset,
                "line": line,
                "class": decided.candidate.class(),
                "row": row_json(decided.reason),
                "verdict": decided.verdict.name(),
                "spelling": decided.candidate.spelling.name(),
                "text": escape(bytes.trim_ascii_end()),
            }));
        } else {
            reporter.line(&boundary_list::format_line(text, decided, line));
        }
    }
}

/// Returns the row of the decision table: a number, or a word.
pub(super) fn row_json(reason: Reason) -> Value {
    match reason {
        Reason::Row(row) => json!(row),
        Reason::Glued | Reason::User => json!(inspect::reason_name(reason)),
    }
}
