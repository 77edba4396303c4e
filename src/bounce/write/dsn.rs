//! Delivery status notifications: a multipart/report of a text, fields for programs, and the original message.
//!
//! Text in UTF-8 in the fields makes them a message/global-delivery-status, and in the header of the original makes that
//! a message/global (RFC 6533). Otherwise they are a message/delivery-status (RFC 3464) and a message/rfc822.

use memchr::memmem::Finder;

use super::report::BounceReport;
use super::text::{self, field};
use crate::deliver::PreparedMessage;
use crate::mailbox::Result;
use crate::mailbox::message::{DateFields, header};
use crate::transport::envelope;

/// Returns everything before and after the original message.
pub(super) fn frame(report: &BounceReport, original: &PreparedMessage<'_>) -> Result<(Vec<u8>, Vec<u8>)> {
    let in_memory = original.in_memory();
    let original_header = header::split(&in_memory).header;
    let is_ascii = is_ascii(original)?;
    let explanation = explanation(report);
    let explanation = part("text/plain", &explanation, explanation.is_ascii());
    let status = status_fields(report, original_header);
    let status_type = match status.is_ascii() {
        true => "message/delivery-status",
        false => "message/global-delivery-status",
    };
    let status = part(status_type, &status, status.is_ascii());
    let is_global = !original_header.is_ascii() && std::str::from_utf8(original_header).is_ok();
    let original_type = if is_global { "message/global" } else { "message/rfc822" };
    let original_head = part(original_type, "", is_ascii);
    let boundary = boundary(report, &[&explanation, &status, &original_head], original)?;
    let is_8bit = !is_ascii || !explanation.is_ascii() || !status.is_ascii();
    let mut head = report.header();
    head += &format!("Message-ID: {}\n", message_id(report));
    head += "Subject: Delivery failed: your message is returned\n\
             Auto-Submitted: auto-replied\n\
             MIME-Version: 1.0\n";
    head += &format!(
        "Content-Type: multipart/report; report-type=delivery-status;\n boundary=\"{boundary}\"\n\
         Content-Transfer-Encoding: {}\n\n\
         This is a report in the format of MIME.\n",
        encoding(!is_8bit)
    );
    for part in [explanation, status, original_head] {
        head += &format!("\n--{boundary}\n{part}");
    }
    Ok((head.into_bytes(), format!("\n--{boundary}--\n").into_bytes()))
}

/// Returns the header of a part, and its text.
fn part(media_type: &str, text: &str, is_ascii: bool) -> String {
    let charset = match media_type {
        "text/plain" if is_ascii => "; charset=us-ascii",
        "text/plain" => "; charset=utf-8",
        _ => "",
    };
    let encoding = encoding(is_ascii);
    format!("Content-Type: {media_type}{charset}\nContent-Transfer-Encoding: {encoding}\n\n{text}")
}

fn encoding(is_ascii: bool) -> &'static str {
    if is_ascii { "7bit" } else { "8bit" }
}

/// Returns the text for the user.
fn explanation(report: &BounceReport) -> String {
    let mut text = format!(
        "This is the mailferry program at {}.\n\n\
         Your message was not delivered to these addresses, for the reasons below.\n\
         No further attempt will be made. The message is at the end of this report.\n",
        report.reporter.host
    );
    let mut reason = String::new();
    if let Some(host) = &report.remote_mta {
        reason += &format!("    {host} said:\n");
    }
    for line in report.reason.lines() {
        text::wrap(line, text::WIDTH - 4).lines().for_each(|line| reason += &format!("    {line}\n"));
    }
    for recipient in &report.recipients {
        text += &format!("\n<{recipient}>:\n{reason}");
    }
    text
}

/// Returns the fields about the message, then a group of fields for each recipient.
fn status_fields(report: &BounceReport, original_header: &[u8]) -> String {
    let mut text = field("Reporting-MTA", &format!("dns; {}", report.reporter.host));
    if let Some(arrival) = arrival(original_header) {
        text += &field("Arrival-Date", &text::date(arrival));
    }
    for recipient in &report.recipients {
        // Not folded: blanks in a quoted local part belong to it.
        text += &format!("\nFinal-Recipient: {}\n", typed_address(recipient));
        text += &format!("Action: failed\nStatus: {}\n", report.status);
        if let Some(host) = &report.remote_mta {
            text += &field("Remote-MTA", &format!("dns; {host}"));
        }
        let diagnostic_type = if report.reason.is_smtp_reply() { "smtp" } else { "X-mailferry" };
        text += &field("Diagnostic-Code", &format!("{diagnostic_type}; {}", report.reason.line()));
    }
    text
}

/// Returns an address with its type. The type utf-8 has an escape for some characters (RFC 6533 §3).
fn typed_address(address: &str) -> String {
    let address = envelope::quote(address.as_bytes());
    let address = String::from_utf8_lossy(&address);
    if address.is_ascii() {
        return format!("rfc822; {address}");
    }
    let escape = |c: char| match c {
        ' ' | '\\' | '+' | '=' => format!("\\x{{{:02X}}}", u32::from(c)),
        c => c.to_string(),
    };
    format!("utf-8; {}", address.chars().map(escape).collect::<String>())
}

/// Returns the date in the topmost Received field of the original: when it came to this host.
fn arrival(header: &[u8]) -> Option<i64> {
    let topmost = header::fields(header).find(|field| field.is("Received"))?;
    let mut dates = DateFields::default();
    dates.read_field(&topmost);
    dates.received.map(|stamp| stamp.epoch(0))
}

fn message_id(report: &BounceReport) -> String {
    let time = jiff::Timestamp::from_second(report.now).unwrap_or_default();
    let time = time.strftime("%Y%m%d%H%M%S");
    format!("<{time}.{}.bounce@{}>", report.reporter.pid, report.reporter.host)
}

/// Returns a boundary that is in none of the parts and not in the original.
fn boundary(report: &BounceReport, parts: &[&String], original: &PreparedMessage<'_>) -> Result<String> {
    let mut number = 0_u64;
    loop {
        // `=_` is in no text in base64 or quoted-printable.
        let boundary = format!("=_{}.{}.{number}", report.now, report.reporter.pid);
        if !parts.iter().any(|part| part.contains(&boundary)) && !contains(original, boundary.as_bytes())? {
            return Ok(boundary);
        }
        number += 1;
    }
}

/// Reports whether `word` is in the message.
fn contains(message: &PreparedMessage<'_>, word: &[u8]) -> Result<bool> {
    let finder = Finder::new(word);
    let mut found = false;
    // The end of the bytes before, where the word may begin.
    let mut end = Vec::new();
    message.for_each_chunk(&mut |bytes| {
        let start = &bytes[..bytes.len().min(word.len() - 1)];
        found |= finder.find(bytes).is_some() || finder.find(&[&end, start].concat()).is_some();
        end.extend_from_slice(&bytes[bytes.len() - start.len()..]);
        end.drain(..end.len().saturating_sub(word.len() - 1));
        Ok(())
    })?;
    Ok(found)
}

fn is_ascii(message: &PreparedMessage<'_>) -> Result<bool> {
    let mut is_ascii = true;
    message.for_each_chunk(&mut |bytes| {
        is_ascii &= bytes.is_ascii();
        Ok(())
    })?;
    Ok(is_ascii)
}
