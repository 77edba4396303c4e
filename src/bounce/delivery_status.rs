//! `message/delivery-status` (RFC 3464) and `message/global-delivery-status` (RFC 6533).

use std::borrow::Cow;

use super::address;
use super::mime::{decode_base64, without_cr};
use super::report::{Action, BouncedRecipient};
use super::status::Status;
use crate::mailbox::message::Field;
use crate::mailbox::message::header::{self, decode_text};

/// More recipients than this are not read.
const MAX_RECIPIENTS: usize = 100_000;

/// The fields of a report.
#[derive(Debug, Default)]
pub(super) struct DeliveryStatus {
    pub(super) reporting_mta: Option<Vec<u8>>,
    pub(super) envelope_id: Option<Vec<u8>>,
    pub(super) groups: Vec<Group>,
}

/// The fields about one recipient.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) final_recipient: Option<Vec<u8>>,
    original_recipient: Option<Vec<u8>>,
    /// sendmail's address after its own rewriting.
    actual_recipient: Option<Vec<u8>>,
    action: Option<Option<Action>>,
    status: Option<Option<Status>>,
    remote_mta: Option<Vec<u8>>,
    reason: Option<String>,
    has_recipient_field: bool,
}

impl DeliveryStatus {
    /// Reads a part. Groups may be divided by any number of blank lines, or torn by them: what follows belongs to the
    /// recipient before it, until another recipient is named.
    pub(super) fn parse(text: &[u8]) -> DeliveryStatus {
        let text = decode_groups(text);
        let mut report = DeliveryStatus::default();
        let mut group = Group::default();
        for block in blocks(&text) {
            let mut is_first = true;
            for field in header::fields(block) {
                if report.add(&field) {
                    continue;
                }
                if group.is_before(&field, is_first) {
                    report.push(std::mem::take(&mut group));
                }
                is_first &= !group.add(&field);
            }
        }
        report.push(group);
        report
    }

    /// Takes a field about the message.
    fn add(&mut self, field: &Field<'_>) -> bool {
        if field.is("Reporting-MTA") {
            self.reporting_mta =
                self.reporting_mta.take().or_else(|| address::server_of_field(&value(field)));
        } else if field.is("Original-Envelope-Id") {
            let id = Some(value(field)).filter(|id| !id.is_empty());
            self.envelope_id = self.envelope_id.take().or(id);
        } else {
            return false;
        }
        true
    }

    fn push(&mut self, group: Group) {
        if !group.is_empty() && self.groups.len() < MAX_RECIPIENTS {
            self.groups.push(group);
        }
    }
}

impl Group {
    /// Reports whether the field begins the group of another recipient. `is_first` says that the lines since the last
    /// empty one had no field of a group.
    fn is_before(&self, field: &Field<'_>, is_first: bool) -> bool {
        let is_complete = is_first && self.has_recipient_field && self.action.is_some();
        if field.is("Final-Recipient") {
            self.final_recipient.is_some() || is_complete
        } else if field.is("Original-Recipient") {
            self.original_recipient.is_some() || is_complete
        } else if field.is("Action") {
            self.action.is_some()
        } else {
            false
        }
    }

    /// Takes a field; a repeated one has no effect. Reports whether it is about a recipient.
    fn add(&mut self, field: &Field<'_>) -> bool {
        let value = value(field);
        if field.is("Final-Recipient") {
            self.has_recipient_field = true;
            self.final_recipient = address::of_field(&value);
        } else if field.is("Original-Recipient") {
            self.has_recipient_field = true;
            self.original_recipient = address::of_field(&value);
        } else if field.is("X-Actual-Recipient") {
            self.actual_recipient = self.actual_recipient.take().or_else(|| address::of_field(&value));
        } else if field.is("Action") {
            self.action = Some(Action::parse(&value));
        } else if field.is("Status") {
            self.status.get_or_insert(Status::at_start(&value));
        } else if field.is("Remote-MTA") {
            self.remote_mta = self.remote_mta.take().or_else(|| address::server_of_field(&value));
        } else if field.is("Diagnostic-Code") {
            let text = decode_text(address::split_type(&value).1);
            self.reason =
                self.reason.take().or_else(|| Some(fold_blanks(&text)).filter(|text| !text.is_empty()));
        } else {
            return false;
        }
        true
    }

    fn is_empty(&self) -> bool {
        !self.has_recipient_field && self.action.is_none() && self.status.is_none()
    }

    /// Returns the recipient. One that the report does not name is guessed from its other fields, or is `fallback`.
    pub(super) fn into_recipient(self, fallback: Option<&[u8]>) -> Option<BouncedRecipient> {
        let is_named = self.final_recipient.is_some();
        let guess =
            || self.original_recipient.clone().or(self.actual_recipient).or(fallback.map(<[u8]>::to_vec));
        let recipient = self.final_recipient.or_else(guess)?;
        let (action, status) = (self.action.flatten(), self.status.flatten());
        Some(BouncedRecipient {
            original_recipient: self.original_recipient,
            action: action.or_else(|| status.map(Action::of_status)),
            status,
            reason: self.reason,
            remote_mta: self.remote_mta,
            is_heuristic: !is_named || action.is_none() && status.is_some(),
            ..BouncedRecipient::new(recipient)
        })
    }
}

/// Divides a text at empty lines.
fn blocks(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let empty = rest.iter().take_while(|&&byte| byte == b'\n').count();
        let text = &rest[empty..];
        let end = memchr::memmem::find(text, b"\n\n").map_or(text.len(), |end| end + 1);
        let (block, after) = text.split_at(end);
        rest = after;
        (!block.is_empty()).then_some(block)
    })
}

/// Decodes single groups, which some gateways encode: the group before names the encoding.
fn decode_groups(text: &[u8]) -> Cow<'_, [u8]> {
    let is_encoding = |field: &Field<'_>| field.is("Content-Transfer-Encoding");
    let is_base64 = |block: &[u8]| {
        header::fields(block)
            .any(|field| is_encoding(&field) && value(&field).eq_ignore_ascii_case(b"base64"))
    };
    if !blocks(text).any(is_base64) {
        return Cow::Borrowed(text);
    }
    let (mut decoded, mut is_encoded) = (Vec::with_capacity(text.len()), false);
    for block in blocks(text) {
        match is_encoded {
            true => decoded.extend(without_cr(decode_base64(block))),
            false => decoded.extend_from_slice(block),
        }
        decoded.extend_from_slice(b"\n\n");
        is_encoded = is_base64(block);
    }
    Cow::Owned(decoded)
}

fn value(field: &Field<'_>) -> Vec<u8> {
    header::unfold(field.value)
}

/// Returns a text on one line, with one blank where it has several.
pub(super) fn fold_blanks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}
