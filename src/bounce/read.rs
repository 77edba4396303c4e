//! Reading a bounce of any kind.

use super::delivery_status::{DeliveryStatus, Group};
use super::mime::{Part, Parts, without_cr};
use super::origin::Origin;
use super::report::{Bounce, BounceKind, BouncedRecipient, NotABounce, OriginalMessage};
use super::{qsbmf, verp, words};
use crate::mailbox::message::header;

/// Types of the part for programs.
const STATUS: [&str; 2] = ["message/delivery-status", "message/global-delivery-status"];
/// Types of the part with the returned message, or with its header.
const RETURNED: [&str; 5] = [
    "message/rfc822",
    "message/global-headers",
    "text/rfc822-headers",
    "message/rfc822-headers",
    "message/global",
];

/// Reads the report in a message.
///
/// # Errors
/// The message is not a bounce. Mail of people and lists, and automatic replies never are.
pub(crate) fn read(message: &[u8]) -> Result<Bounce, NotABounce> {
    let message = without_cr(message.to_vec());
    let received = Received::new(&message);
    let mut bounce = received.bounce()?;
    verp::find_recipients(received.head, &mut bounce);
    Ok(bounce)
}

/// Returns the message without the separator line of an mbox.
fn without_from_line(message: &[u8]) -> &[u8] {
    match (message.starts_with(b"From "), memchr::memchr(b'\n', message)) {
        (true, Some(end)) => &message[end + 1..],
        _ => message,
    }
}

/// The message that may be a bounce.
struct Received<'a> {
    message: &'a [u8],
    head: &'a [u8],
    parts: Parts<'a>,
    origin: Origin,
    /// The addresses in the X-Failed-Recipients of Exim and Gmail.
    failed: Vec<Vec<u8>>,
}

impl<'a> Received<'a> {
    fn new(message: &'a [u8]) -> Received<'a> {
        let message = without_from_line(message.trim_ascii_start());
        let head = header::split(message).header;
        Received {
            message,
            head,
            parts: Parts::of(message),
            origin: Origin::of(head),
            failed: failed_recipients(head),
        }
    }

    fn bounce(&self) -> Result<Bounce, NotABounce> {
        if let Some(reason) = self.other_report() {
            return Err(reason);
        }
        let bounce = self.format().or_else(|| self.prose());
        bounce.ok_or_else(|| self.reason())
    }

    /// Reads a report in a format for programs.
    fn format(&self) -> Option<Bounce> {
        let bounce = self.delivery_status(&self.parts).or_else(|| self.qmail_report());
        // Some mail programs have lost the Content-Type of the message.
        bounce.or_else(|| self.delivery_status(&Parts::guess(self.message)?))
    }

    /// Returns the reason if the message is a report of another kind.
    fn other_report(&self) -> Option<NotABounce> {
        const RECEIPT: [&str; 2] =
            ["message/disposition-notification", "message/global-disposition-notification"];
        let reason = match self.parts.find(&RECEIPT) {
            // Some servers refuse mail with a receipt (RFC 5429).
            Some(part) if self.origin.is_from_server && is_refusal(&part) => return None,
            Some(_) => NotABounce::ReadReceipt,
            None => self.parts.find(&["message/feedback-report"]).map(|_| NotABounce::SpamReport)?,
        };
        self.parts.find(&STATUS).is_none().then_some(reason)
    }

    /// Returns why nothing was found.
    fn reason(&self) -> NotABounce {
        match self.origin {
            Origin { is_automatic_reply: true, .. } => NotABounce::AutomaticReply,
            _ if self.parts.is_report => NotABounce::NoRecipient,
            Origin { is_list_mail: true, .. } => NotABounce::ListMail,
            _ => NotABounce::NoReport,
        }
    }

    /// Reads a report with a part for programs. A person may attach one to a message, but not as its structure.
    fn delivery_status(&self, parts: &Parts<'_>) -> Option<Bounce> {
        let is_report = parts.is_report || self.origin.is_server();
        let part = parts.find(&STATUS).filter(|_| is_report)?;
        let DeliveryStatus { reporting_mta, envelope_id, groups } =
            DeliveryStatus::parse(&part.decoded_body());
        let fallback = self.failed.first().filter(|_| self.failed.len() == 1 && groups.len() == 1);
        let recipient = |group: Group| group.into_recipient(fallback.map(|one| &one[..]));
        Some(Bounce {
            kind: BounceKind::Dsn,
            reporting_mta,
            original: OriginalMessage { message_id: returned_message_id(parts), envelope_id },
            recipients: groups.into_iter().filter_map(recipient).collect(),
        })
        .filter(|bounce| !bounce.recipients.is_empty())
    }

    /// Reads a bounce of qmail.
    fn qmail_report(&self) -> Option<Bounce> {
        // Some relays wrap the report in MIME.
        let text = self.parts.leaves.first().map(Part::decoded_body).unwrap_or_default();
        let report = qsbmf::parse(&text).filter(|_| self.origin.is_server())?;
        let message_id = match report.is_double {
            // The Message-ID would be that of the message that the returned bounce returns.
            true => None,
            false => message_id(report.original).or_else(|| returned_message_id(&self.parts)),
        };
        Some(Bounce {
            kind: BounceKind::Qsbmf,
            reporting_mta: None,
            original: OriginalMessage { message_id, envelope_id: None },
            recipients: report.recipients,
        })
    }

    /// Reads a report by its words.
    fn prose(&self) -> Option<Bounce> {
        let returned = returned(&self.parts).next().map(|part| part.decoded_body()).unwrap_or_default();
        let report = words::read(self.head, &self.parts, &self.origin, &self.failed, &returned)?;
        // A gateway may return the report of another server.
        let enclosed = report.names_none.then(|| Received::new(&returned).format()).flatten();
        let (recipients, original) = match enclosed {
            Some(Bounce { recipients, original, .. }) => {
                let guess = |one| BouncedRecipient { is_heuristic: true, ..one };
                (recipients.into_iter().map(guess).collect(), original)
            }
            None => {
                let message_id = message_id(&report.original);
                (report.recipients, OriginalMessage { message_id, envelope_id: None })
            }
        };
        Some(Bounce { kind: BounceKind::Words, reporting_mta: None, original, recipients })
            .filter(|bounce| !bounce.recipients.is_empty())
    }
}

fn returned_message_id(parts: &Parts<'_>) -> Option<Vec<u8>> {
    returned(parts).find_map(|part| message_id(&part.decoded_body()))
}

/// Returns the parts with the returned message, or its header.
fn returned<'a, 'b>(parts: &'b Parts<'a>) -> impl Iterator<Item = &'b Part<'a>> {
    parts.leaves.iter().filter(|part| {
        let content_type = part.content_type();
        RETURNED.iter().any(|name| content_type.is(name)) && !STATUS.iter().any(|name| content_type.is(name))
    })
}

/// Reports whether a receipt says that a program deleted the message.
fn is_refusal(receipt: &Part<'_>) -> bool {
    let body = receipt.decoded_body();
    let disposition = header::fields(&body).find(|field| field.is("Disposition"));
    disposition.is_some_and(|field| {
        let value = header::unfold(field.value).to_ascii_lowercase();
        value.starts_with(b"automatic-action") && value.ends_with(b"deleted")
    })
}

fn failed_recipients(head: &[u8]) -> Vec<Vec<u8>> {
    let fields = header::fields(head).filter(|field| field.is("X-Failed-Recipients"));
    let values = fields.map(|field| header::unfold(field.value));
    let addresses = values.flat_map(|value| {
        let words = value.split(|&b| b == b',').map(|word| word.trim_ascii().to_vec());
        // Gmail has encoded addresses there beyond recognition.
        words.filter(|word| word.contains(&b'@')).collect::<Vec<_>>()
    });
    addresses.collect()
}

/// Returns the Message-ID of a message or header.
fn message_id(message: &[u8]) -> Option<Vec<u8>> {
    let message = without_from_line(message.trim_ascii_start());
    let field = header::fields(message).find(|field| field.is("Message-ID"))?;
    Some(header::unfold(field.value)).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    /// Lines of which reports are made.
    const LINES: [&str; 24] = [
        "From: MAILER-DAEMON@a.example",
        "Return-Path: <>",
        "To: list-return-1-joe=example.org@a.example",
        "Subject: failure notice",
        "Content-Type: multipart/report; boundary=b",
        "Content-Type: message/delivery-status",
        "Content-Type: text/html",
        "Content-Transfer-Encoding: base64",
        "X-Failed-Recipients: joe@example.org",
        "--b",
        "--b--",
        "",
        "Final-Recipient: rfc822; joe@example.org",
        "Original-Recipient: <",
        "Action: failed",
        "Status: 5.1.1",
        "Hi. This is the",
        "<joe@example.org>:",
        "  joe@example.org",
        "    (expanded from: <ann@example.org>)",
        "550 <joe@example.org>... (#5.1.1)",
        "could not be delivered to: <joe@example.org",
        "--- Below this line is a copy of the message.",
        "UnVtcGVsc3RpbHo=",
    ];

    proptest! {
        #[test]
        fn any_bytes_are_a_report_or_none(message: Vec<u8>) {
            crate::promises::bounce(&message);
        }

        #[test]
        fn any_lines_of_reports_are_a_report_or_none(lines in prop::collection::vec(0..LINES.len(), 0..30)) {
            let lines: Vec<&str> = lines.into_iter().map(|n| LINES[n]).collect();
            crate::promises::bounce(lines.join("\n").as_bytes());
        }
    }
}
