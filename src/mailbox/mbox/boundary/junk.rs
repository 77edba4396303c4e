//! Bytes that belong to no message.

use std::ops::Range;

use crate::mailbox::finding::Severity;
use crate::mailbox::mbox::header_block;
use crate::mailbox::mbox::lines::{BOM, FRAME};
use crate::mailbox::mbox::verdict::Extent;
use crate::mailbox::message::header;
use crate::mailbox::text::plural;
use crate::mailbox::{Code, Finding};

/// Returns the bytes before and between messages that are neither blank lines nor frame lines.
pub(super) fn find_junk(text: &[u8], messages: &[Extent], framed: bool) -> Vec<Range<u64>> {
    let size = text.len() as u64;
    if !framed {
        let before = 0..messages.first().map_or(size, |message| message.at);
        return Some(before).filter(|range| !range.is_empty()).into_iter().collect();
    }
    let mut junk: Vec<Range<u64>> = Vec::new();
    let mut offset = 0;
    let ends = messages.iter().map(|message| (message.at, message.end)).chain([(size, size)]);
    for (at, end) in ends {
        for line in text[offset as usize..at as usize].split_inclusive(|&b| b == b'\n') {
            let after = offset + line.len() as u64;
            let trimmed = line.trim_ascii_end();
            if !trimmed.is_empty() && trimmed != FRAME {
                match junk.last_mut() {
                    Some(last) if last.end == offset => last.end = after,
                    _ => junk.push(offset..after),
                }
            }
            offset = after;
        }
        offset = end;
    }
    junk
}

/// Returns the findings about junk: a byte order mark and blank lines have their own.
pub(crate) fn about_junk(text: &[u8], junk: &[Range<u64>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for range in junk {
        let mut bytes = &text[range.start as usize..range.end as usize];
        if range.start == 0
            && let Some(rest) = bytes.strip_prefix(BOM)
        {
            findings.push(Finding::at(Code::MboxBom, 0, "the file begins with a UTF-8 byte order mark"));
            bytes = rest;
        }
        let (offset, count) = (range.end - bytes.len() as u64, plural(bytes.len() as u64, "byte"));
        if bytes.is_empty() {
            continue;
        }
        if bytes.trim_ascii().is_empty() {
            let message = format!("{count} of blank lines before the first message");
            findings.push(Finding::at(Code::MboxBlankLead, offset, message));
            continue;
        }
        let is_mail = header_block::contains_message(bytes);
        let what = if is_mail { "look like a message without a From_ line" } else { "belong to no message" };
        let message = format!("{count} that {what}; they are not converted");
        let mut finding = Finding::at(Code::MboxJunk, offset, message).as_damage();
        if is_mail {
            // Every command misses this mail.
            finding.severity = Severity::Error;
        }
        // For example a bare message with an attached message that has a From_ line.
        if range.start == 0 && header::is_field_line(bytes) {
            finding = finding.with_hint("if the whole file is one message, write rfc822: before the path");
        }
        findings.push(finding);
    }
    findings
}
