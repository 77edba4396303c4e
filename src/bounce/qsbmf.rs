//! qmail's bounces: QSBMF, the qmail-send bounce message format.
//!
//! The body has paragraphs, which blank lines divide. The first one begins with `Hi. This is the`. One that begins with
//! `<` is about a recipient: `<address>:` with the address unquoted, then the reason, which may be missing. One that begins
//! with `-` ends the report, and the original message follows. Others are reserved.

use super::delivery_status::fold_blanks;
use super::report::{Action, BouncedRecipient};
use super::status::Status;

/// A report in this format.
#[derive(Debug)]
pub(super) struct QmailReport<'a> {
    pub(super) recipients: Vec<BouncedRecipient>,
    /// The original message, perhaps cut off or absent.
    pub(super) original: &'a [u8],
    /// The original is a bounce itself: qmail reports to the postmaster that it could not be returned.
    pub(super) is_double: bool,
}

/// Parses the body of a message with LF line ends. None if the format is another one.
pub(super) fn parse(body: &[u8]) -> Option<QmailReport<'_>> {
    let body = body.trim_ascii_start();
    if !body.starts_with(b"Hi. This is the") {
        return None;
    }
    let mut report = QmailReport { recipients: Vec::new(), original: b"", is_double: false };
    let mut at = 0;
    let introduction = next_paragraph(body, &mut at)?;
    while let Some(paragraph) = next_paragraph(body, &mut at) {
        match paragraph.first() {
            Some(b'<') => report.recipients.extend(recipient(paragraph)),
            Some(b'-') => {
                report.is_double = memchr::memmem::find(paragraph, b"original bounce").is_some();
                report.original = &body[at..];
                break;
            }
            _ => {}
        }
    }
    if report.recipients.is_empty() {
        // Relays that reformat the text may drop the blank line.
        let start = memchr::memmem::find(introduction, b"\n<")? + 1;
        let found = recipient(&introduction[start..])?;
        report.recipients.push(BouncedRecipient { is_heuristic: true, ..found });
    }
    Some(report)
}

/// Returns the next lines up to an empty one.
fn next_paragraph<'a>(body: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    *at += body[*at..].iter().take_while(|&&b| b == b'\n').count();
    let rest = &body[*at..];
    let end = memchr::memmem::find(rest, b"\n\n").map_or(rest.len(), |end| end + 1);
    *at += end;
    (!rest.is_empty()).then_some(&rest[..end])
}

/// Parses the paragraph of a recipient. None if its first line has another form.
fn recipient(paragraph: &[u8]) -> Option<BouncedRecipient> {
    let end = memchr::memchr(b'\n', paragraph).unwrap_or(paragraph.len());
    let (first, reason) = paragraph.split_at(end);
    let address = first.trim_ascii_end().strip_prefix(b"<")?.strip_suffix(b">:")?;
    let recipient = BouncedRecipient::new(address.to_vec());
    let reason = String::from_utf8_lossy(reason);
    let status = Status::find_qmail(reason.as_bytes()).or_else(|| Status::find(reason.as_bytes()));
    let reason = Some(fold_blanks(&reason)).filter(|reason| !reason.is_empty());
    (!address.is_empty()).then_some(BouncedRecipient {
        action: Some(Action::Failed),
        status,
        reason,
        ..recipient
    })
}
