//! The findings about decisions, one sentence a row.

use super::evidence::UndatedReason;
use crate::mailbox::mbox::candidate::NextLine;
use crate::mailbox::mbox::verdict::{Decision, Verdict};
use crate::mailbox::{Code, Finding};

/// Facts about the file that a finding names.
pub(super) struct FileFacts {
    /// The reason that row 9 made the line a separator.
    pub(super) undated_reason: Option<UndatedReason>,
    /// The open message and the end of its validated Content-Length, by offset.
    pub(super) open_length: Option<OpenLength>,
}

pub(super) struct OpenLength {
    pub(super) message: u64,
    pub(super) end: u64,
}

/// Returns the finding about a verdict of the user.
pub(super) fn about_override(decision: &Decision, user_verdict: Option<Verdict>) -> Finding {
    let Decision { candidate, verdict, .. } = decision;
    if *verdict == Verdict::Body && user_verdict == Some(Verdict::Doubled) {
        let message = "--boundaries calls this doubled, but it is not directly below a From_ line: left in the \
                       body";
        return Finding::at(Code::MboxFromInBody, candidate.offset, message);
    }
    let message = format!("decided by --boundaries: {}", verdict.name());
    Finding::at(Code::MboxUserBoundary, candidate.offset, message)
}

/// Returns the finding about a verdict by this row of the decision table.
pub(super) fn about_row(row: u8, decision: &Decision, facts: &FileFacts) -> Option<Finding> {
    let Decision { candidate, verdict, .. } = decision;
    let (code, message) = match (row, verdict) {
        (1, _) => (
            Code::MboxDoubledFrom,
            "a second From_ line directly after the first; it does not begin a message",
        ),
        (2, _) if candidate.is_confident() => {
            let message = covered(facts.open_length.as_ref());
            return Some(Finding::at(Code::MboxCoveredFrom, candidate.offset, message));
        }
        (3, _) if !candidate.blank_before => (
            Code::MboxLengthNoBlank,
            "the Content-Length ends exactly here, but there is no blank line before this From_ line",
        ),
        (4, _) => (
            Code::MboxAttachedFrom,
            "this From_ line heads an attached message whose multipart is closed below: left in the body",
        ),
        (5, _) if !candidate.blank_before => (
            Code::MboxNoBlankLine,
            "no blank line before this From_ line; it has a date and a header follows, so a message begins here",
        ),
        (6, _) => (Code::MboxNoHeader, "this message has no header, or is empty"),
        (7, Verdict::Separator) => (
            Code::MboxNoHeader,
            "no blank line before this From_ line and no header after it; it is spelled like the others, so a \
             message begins here",
        ),
        (7, _) => (
            Code::MboxFromInBody,
            "has a date, but no blank line before it, no header after it, and no other separator is spelled the same: \
             left in the body",
        ),
        (8, _) => (Code::MboxFromInBody, "has a date, but no header follows: left in the body"),
        (9, Verdict::Separator) => (Code::MboxUndated, undated(facts.undated_reason)),
        (10, Verdict::Separator) => (
            Code::MboxUndated,
            "a From_ line without a date; a header follows and other separators are spelled the same: a message begins here",
        ),
        (9 | 10, _) => (
            Code::MboxFromInBody,
            "a header follows, but the line has no date and the file's other separators have: left in the body",
        ),
        (11, Verdict::Separator) => (
            Code::MboxUndated,
            "a From_ line of unknown form; a header follows, and it is the first or one of several: a message begins \
             here",
        ),
        (11, _) if candidate.is_patch => (
            Code::MboxFromInBody,
            "the first line of a patch of git, and the file is not a series of patches: left in the body",
        ),
        (11, _) if candidate.next == NextLine::Header => (
            Code::MboxFromInBody,
            "a header follows, but the line is not a known form of From_ line; left in the body",
        ),
        _ => return None,
    };
    let finding = Finding::at(code, candidate.offset, message);
    Some(match code {
        Code::MboxFromInBody | Code::MboxUndated => finding.with_hint(OVERRULE),
        _ => finding,
    })
}

/// Returns the finding about a glued From_ line in a body.
pub(super) fn about_glued(offset: u64) -> Finding {
    let text = "a From_ line with a header after it, in the middle of a line: two messages may be glued together here";
    Finding::at(Code::MboxGluedFrom, offset, text).as_damage().with_hint(OVERRULE)
}

/// The remedy for a wrong verdict.
const OVERRULE: &str =
    "to change this, edit the output of mailferry inspect --boundaries, and use convert --boundaries FILE";

fn undated(reason: Option<UndatedReason>) -> &'static str {
    match reason {
        Some(UndatedReason::NoneDated) | None => {
            "a From_ line without a date; a header follows and the file has no dated ones, so a message begins here"
        }
        Some(UndatedReason::Mozilla) => {
            "a From_ line without a date, as Mozilla sometimes writes it; a message begins here"
        }
        Some(UndatedReason::Bare) => {
            "a From_ line without sender and date; a header follows, so a message begins here"
        }
        Some(UndatedReason::NamesSender) => {
            "a From_ line without a date; the header below names the same sender, so a message begins here"
        }
        Some(UndatedReason::LikeAnother) => {
            "a From_ line without a date; a header follows and other separators are spelled the same: a message begins here"
        }
    }
}

fn covered(length: Option<&OpenLength>) -> String {
    match length {
        Some(OpenLength { message, end }) => format!(
            "looks like a separator, but the message at byte {message} has a Content-Length that correctly ends at byte {end}: left in the body"
        ),
        None => "looks like a separator, but is inside an MMDF frame: left in the body".into(),
    }
}

/// Returns the finding about a header at the end of the file without an empty line. If its last line is complete, the
/// message may be complete, too.
pub(crate) fn header_cut(at: u64, message: &[u8]) -> Finding {
    if message.ends_with(b"\n") {
        let text = "the file ends with the header of this message: it has no body, or that is cut off";
        return Finding::at(Code::MboxHeaderCut, at, text);
    }
    let text = "the file ends inside the header of this message";
    Finding::at(Code::MboxHeaderCut, at, text).as_damage().with_hint("look for the rest of it in a backup")
}
