//! Reading a bounce of any kind.

use super::delivery_status::{DeliveryStatus, Group};
use super::mime::{Part, Parts, without_cr};
use super::origin::Origin;
use super::report::{Bounce, BounceKind, BouncedRecipient, NotABounce, OriginalMessage};
use super::{qsbmf, verp};
use crate::mailbox::message::header;

/// Reads the report in a message.
///
/// # Errors
/// The message is not a bounce. Mail of people and lists, and automatic replies never are.
pub(crate) fn read(message: &[u8]) -> Result<Bounce, NotABounce> {
    let message = &without_cr(message.to_vec())[..];
    let message = without_from_line(message.trim_ascii_start());
    let head = header::split(message).header;
    let origin = Origin::of(head);
    let parts = Parts::of(message);
    let mut bounce = match read_report(head, &parts, &origin) {
        Some(bounce) => bounce?,
        None => read_qmail(&parts, &origin)?,
    };
    verp::find_recipients(head, &mut bounce);
    Ok(bounce)
}

/// Returns the message without the separator line of an mbox.
fn without_from_line(message: &[u8]) -> &[u8] {
    match (message.starts_with(b"From "), memchr::memchr(b'\n', message)) {
        (true, Some(end)) => &message[end + 1..],
        _ => message,
    }
}

/// Reads a report with a part for programs. None if there is no such part.
fn read_report(head: &[u8], parts: &Parts<'_>, origin: &Origin) -> Option<Result<Bounce, NotABounce>> {
    const STATUS: [&str; 2] = ["message/delivery-status", "message/global-delivery-status"];
    let Some(part) = parts.find(&STATUS) else {
        const RECEIPT: [&str; 2] =
            ["message/disposition-notification", "message/global-disposition-notification"];
        let other =
            [(&RECEIPT[..], NotABounce::ReadReceipt), (&["message/feedback-report"], NotABounce::SpamReport)];
        return other.into_iter().find_map(|(types, reason)| parts.find(types).map(|_| Err(reason)));
    };
    // A person may attach a report to a message, but not as its structure.
    if !parts.is_report && !origin.is_server() {
        return None;
    }
    let DeliveryStatus { reporting_mta, envelope_id, groups } = DeliveryStatus::parse(&part.decoded_body());
    let failed = failed_recipients(head);
    let fallback = failed.first().filter(|_| failed.len() == 1 && groups.len() == 1);
    let recipients: Vec<BouncedRecipient> = groups
        .into_iter()
        .filter_map(|group: Group| group.into_recipient(fallback.map(|one| &one[..])))
        .collect();
    if recipients.is_empty() {
        return Some(Err(NotABounce::NoRecipient));
    }
    let original = OriginalMessage { message_id: returned_message_id(parts), envelope_id };
    Some(Ok(Bounce { kind: BounceKind::Dsn, reporting_mta, original, recipients }))
}

/// Returns the addresses in the X-Failed-Recipients of Exim and Gmail.
fn failed_recipients(head: &[u8]) -> Vec<Vec<u8>> {
    let fields = header::fields(head).filter(|field| field.is("X-Failed-Recipients"));
    let values = fields.map(|field| header::unfold(field.value));
    let addresses = values.flat_map(|value| {
        let words = value.split(|&b| b == b',').map(|word| word.trim_ascii().to_vec());
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>()
    });
    addresses.collect()
}

/// Returns the Message-ID of the message that a report returns, or of its header.
fn returned_message_id(parts: &Parts<'_>) -> Option<Vec<u8>> {
    const RETURNED: [&str; 4] =
        ["message/rfc822", "message/global", "text/rfc822-headers", "message/rfc822-headers"];
    let is_report = |part: &Part<'_>| {
        let content_type = part.content_type();
        content_type.is("message/global-delivery-status") || content_type.is("message/global-disposition")
    };
    let is_returned = |part: &Part<'_>| {
        let content_type = part.content_type();
        RETURNED.iter().any(|name| content_type.is(name))
    };
    let mut returned = parts.leaves.iter().filter(|part| is_returned(part) && !is_report(part));
    returned.find_map(|part| message_id(&part.decoded_body()))
}

/// Returns the Message-ID of a message or header.
pub(super) fn message_id(message: &[u8]) -> Option<Vec<u8>> {
    let message = without_from_line(message.trim_ascii_start());
    let field = header::fields(message).find(|field| field.is("Message-ID"))?;
    Some(header::unfold(field.value)).filter(|id| !id.is_empty())
}

/// Reads a bounce of qmail.
fn read_qmail(parts: &Parts<'_>, origin: &Origin) -> Result<Bounce, NotABounce> {
    // Some relays wrap the report in MIME.
    let text = parts.leaves.first().map(Part::decoded_body).unwrap_or_default();
    let Some(report) = qsbmf::parse(&text).filter(|_| origin.is_server()) else {
        return Err(match origin {
            Origin { is_automatic_reply: true, .. } => NotABounce::AutomaticReply,
            Origin { is_list_mail: true, .. } => NotABounce::ListMail,
            _ => NotABounce::NoReport,
        });
    };
    let message_id = match report.is_double {
        // The Message-ID would be that of the message that the returned bounce returns.
        true => None,
        false => message_id(report.original).or_else(|| returned_message_id(parts)),
    };
    let original = OriginalMessage { message_id, envelope_id: None };
    Ok(Bounce { kind: BounceKind::Qsbmf, reporting_mta: None, original, recipients: report.recipients })
}
