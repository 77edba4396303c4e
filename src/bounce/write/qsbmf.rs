//! The qmail-send bounce message format.
//!
//! A program reads it by paragraphs, which end at a blank line. The first begins with `Hi. This is the`. One that
//! begins with `<` is about a recipient, and one that begins with `-` ends them. Then comes the original message.

use super::report::BounceReport;
use super::text;

/// Returns everything before the original message.
pub(super) fn head(report: &BounceReport) -> Vec<u8> {
    let mut text = report.header();
    text += "Subject: failure notice\n\n";
    text += &format!(
        "Hi. This is the mailferry program at {}.\n\
         Your message was not delivered to these addresses, for the reasons below.\n\
         No further attempt will be made.\n\n",
        report.reporter.host
    );
    let reason = reason(report);
    for recipient in &report.recipients {
        text += &format!("<{recipient}>:\n{reason}\n");
    }
    text += "--- Below this line is a copy of the message.\n\n";
    text.into_bytes()
}

/// Returns the lines of a recipient's paragraph after its address. No line is empty, and none begins as a paragraph
/// does: such a line is indented, because some readers do not wait for a blank line. The status comes last.
fn reason(report: &BounceReport) -> String {
    let mut lines = Vec::new();
    if let Some(host) = &report.remote_mta {
        lines.push(format!("Remote host {host} said:"));
    }
    lines.extend_from_slice(report.reason.lines());
    let status = format!("(#{})", report.status);
    if let Some(last) = lines.last_mut().filter(|last| !last.ends_with(&status)) {
        *last = format!("{last} {status}");
    }
    let mut text = String::new();
    for line in lines {
        for line in text::wrap(&line, text::MAX_LINE).lines() {
            let indent = if line.starts_with(['-', '<']) { " " } else { "" };
            text += &format!("{indent}{line}\n");
        }
    }
    text
}
