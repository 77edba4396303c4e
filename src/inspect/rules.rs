//! The decision table in words, as in mailferry-mbox(5).

use crate::mailbox::mbox::Reason;

/// Returns the row for reports and JSON: a number from 1 to 11, `glued` or `user`.
pub(crate) fn reason_name(reason: Reason) -> String {
    match reason {
        Reason::Row(row) => row.to_string(),
        Reason::Glued => "glued".into(),
        Reason::User => "user".into(),
    }
}

/// Returns the rule that decided a line.
pub(crate) fn rule(reason: Reason) -> &'static str {
    match reason {
        Reason::Row(1) => "it directly follows a From_ line, so it is a second one of the same message",
        Reason::Row(2) => "it is inside an MMDF frame, or inside the Content-Length of the message before",
        Reason::Row(3) => "the Content-Length of the message before ends here",
        Reason::Row(4) => "it is the first line of an attached message",
        Reason::Row(5) => "it has a sender and a date, and a header follows",
        Reason::Row(6) => "it has a sender and a date after a blank line, and an empty line follows",
        Reason::Row(7) => {
            "it has a sender and a date, no blank line before and an empty line after it; such a line separates \
             if it is spelled like other separators of the file"
        }
        Reason::Row(8) => "it has a sender and a date, but text follows and no header",
        Reason::Row(9) => {
            "it has no date, but a blank line before and a header after it; such a line separates if the file \
             or the header confirms it"
        }
        Reason::Row(10) => {
            "it has no date and no blank line before, but a header follows; such a line separates if other \
             separators of the file look the same"
        }
        Reason::Row(_) => {
            "it is not a known form of a From_ line; such a line separates only between a blank line and a \
             header, and if another line has its form or no message is open"
        }
        Reason::Glued => "it is in the middle of a line, after text that was written without a line end",
        Reason::User => "the list of --boundaries decides it",
    }
}
