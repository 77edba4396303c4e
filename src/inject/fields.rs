//! The header fields of a message: which are rewritten, removed or added.

use super::error::MAX_RECIPIENTS;
use super::generate::{FieldGenerator, VERP};
use super::head::RawField;
use super::rewrite::Rewriter;
use super::{InjectError, InjectOptions, followup};
use crate::mailbox::escape;
use crate::mailbox::message::address::list::{Address, AddressList, Piece};
use crate::mailbox::message::address::{Compat, Fault, FaultKind, print};

/// A field that is not simply copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KnownField {
    role: Role,
    /// Its name begins with Resent-, as in a message that is sent on.
    is_resent: bool,
}

/// The role of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    To,
    Cc,
    /// Recipients that are removed from the header.
    Bcc,
    ApparentlyTo,
    /// Addresses that are not recipients.
    Addresses,
    From,
    Date,
    MessageId,
    MailFollowupTo,
    ReturnPath,
    ContentLength,
}

/// Fields that may have Resent- before the name.
const RESENT_FIELDS: [(&str, Role); 8] = [
    ("To", Role::To),
    ("Cc", Role::Cc),
    ("Bcc", Role::Bcc),
    ("Sender", Role::Addresses),
    ("Reply-To", Role::Addresses),
    ("From", Role::From),
    ("Date", Role::Date),
    ("Message-ID", Role::MessageId),
];
const OTHER_FIELDS: [(&str, Role); 6] = [
    ("Apparently-To", Role::ApparentlyTo),
    ("Return-Receipt-To", Role::Addresses),
    ("Errors-To", Role::Addresses),
    ("Mail-Followup-To", Role::MailFollowupTo),
    ("Return-Path", Role::ReturnPath),
    ("Content-Length", Role::ContentLength),
];

impl KnownField {
    fn parse(name: &[u8]) -> Option<KnownField> {
        let prefix = b"Resent-";
        let resent =
            name.split_at_checked(prefix.len()).filter(|(start, _)| start.eq_ignore_ascii_case(prefix));
        let (name, others) = match resent {
            Some((_, rest)) => (rest, &[][..]),
            None => (name, &OTHER_FIELDS[..]),
        };
        let mut known = RESENT_FIELDS.iter().chain(others);
        let (_, role) = known.find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))?;
        Some(KnownField { role: *role, is_resent: resent.is_some() })
    }
}

impl Role {
    fn has_recipients(self) -> bool {
        matches!(self, Role::To | Role::Cc | Role::Bcc | Role::ApparentlyTo)
    }

    fn has_addresses(self) -> bool {
        self.has_recipients() || matches!(self, Role::Addresses | Role::From | Role::ReturnPath)
    }

    fn is_removed(self) -> bool {
        matches!(self, Role::Bcc | Role::ReturnPath | Role::ContentLength)
    }
}

/// The recipients of several fields, and the first error among them.
#[derive(Debug, Default)]
struct Recipients {
    addresses: Vec<Vec<u8>>,
    error: Option<InjectError>,
}

/// A field with addresses, split at its colon.
struct AddressField<'a, 'f> {
    known: KnownField,
    raw: &'a RawField<'f>,
    name: &'a [u8],
    /// Where the value starts in the text.
    value_at: usize,
}

impl AddressField<'_, '_> {
    fn value(&self) -> &[u8] {
        &self.raw.text[self.value_at..]
    }

    fn error(&self, fault: Fault) -> InjectError {
        let at = self.value_at + fault.at;
        let lines = memchr::memchr_iter(b'\n', &self.raw.text[..at]).count() as u64;
        let removed_crs = if self.raw.had_crs { lines } else { 0 };
        InjectError::Field {
            name: self.name.to_vec(),
            text: self.raw.text.to_vec(),
            line: self.raw.line + lines,
            byte: self.raw.at + at as u64 + removed_crs,
            kind: fault.kind,
        }
    }
}

/// Collects the fields of a message.
#[derive(Debug)]
pub(super) struct HeaderFields<'a> {
    options: &'a InjectOptions<'a>,
    rewriter: &'a Rewriter<'a>,
    seen: Vec<KnownField>,
    plain: Recipients,
    resent: Recipients,
    to_and_cc: Vec<Vec<u8>>,
    return_path: Option<Vec<u8>>,
    /// The fields that stay, in their order.
    pub(super) retained: Vec<u8>,
}

impl<'a> HeaderFields<'a> {
    pub(super) fn new(options: &'a InjectOptions<'a>, rewriter: &'a Rewriter<'a>) -> HeaderFields<'a> {
        HeaderFields {
            options,
            rewriter,
            seen: Vec::new(),
            plain: Recipients::default(),
            resent: Recipients::default(),
            to_and_cc: Vec::new(),
            return_path: None,
            retained: Vec::new(),
        }
    }

    /// Adds the next field.
    pub(super) fn add(&mut self, raw: &RawField<'_>) -> Result<(), InjectError> {
        let colon = memchr::memchr(b':', &raw.text).unwrap_or_default();
        let name = raw.text[..colon].trim_ascii_end();
        let Some(known) = KnownField::parse(name) else {
            self.retained.extend_from_slice(&raw.text);
            return Ok(());
        };
        let flags = self.options.flags;
        match known.role {
            Role::From if flags.delete_from && !known.is_resent => return Ok(()),
            Role::MessageId if flags.delete_message_id && !known.is_resent => return Ok(()),
            Role::ReturnPath if flags.ignore_return_path => return Ok(()),
            _ => {}
        }
        if !self.seen.contains(&known) {
            self.seen.push(known);
        }
        let rewritten = match known.role.has_addresses() {
            true => self.add_addresses(&AddressField { known, raw, name, value_at: colon + 1 })?,
            false => None,
        };
        if !known.role.is_removed() {
            self.retained.extend_from_slice(rewritten.as_deref().unwrap_or(&raw.text));
        }
        Ok(())
    }

    /// Adds a field with addresses, and returns the rewritten field unless it stays unchanged.
    fn add_addresses(&mut self, field: &AddressField<'_, '_>) -> Result<Option<Vec<u8>>, InjectError> {
        let (role, compat) = (field.known.role, self.options.compat);
        let list = AddressList::read(field.value(), compat);
        if role.has_recipients() {
            self.add_recipients(field, &list);
        } else if let Some(fault) = list.fault {
            return Err(field.error(fault));
        }
        if role == Role::ReturnPath {
            if let (Compat::Strict, Some(fault)) = (compat, list.warning) {
                return Err(field.error(fault));
            }
            self.set_return_path(&list);
        }
        let is_unchanged = match compat {
            _ if role.is_removed() => true,
            Compat::Strict => list.warning.is_some() || list.fault.is_some() || !self.changes(&list),
            Compat::Qmail => list.fault.is_some(),
        };
        let pieces = list.pieces().map(|piece| self.rewriter.complete_piece(piece));
        Ok((!is_unchanged).then(|| print::format_field(field.name, pieces, compat)))
    }

    fn add_recipients(&mut self, field: &AddressField<'_, '_>, list: &AddressList<'_>) {
        let KnownField { role, is_resent } = field.known;
        let recipients = if is_resent { &self.resent } else { &self.plain };
        let count = self.options.arguments.len() + recipients.addresses.len() + list.count();
        let error = match blocking_fault(list, self.options.compat) {
            Some(fault) => Some(field.error(fault)),
            None if count > MAX_RECIPIENTS => Some(InjectError::TooManyRecipients {
                place: format!("{}: line {}", escape(field.name), field.raw.line),
            }),
            None => None,
        };
        let mut addresses = Vec::new();
        if count <= MAX_RECIPIENTS {
            addresses.extend(list.addresses().map(|address| self.complete(address)));
        }
        let is_public = matches!(role, Role::To | Role::Cc) && !is_resent;
        if is_public && !self.options.followup_lists.is_empty() {
            self.to_and_cc.extend_from_slice(&addresses);
        }
        let recipients = if is_resent { &mut self.resent } else { &mut self.plain };
        recipients.addresses.append(&mut addresses);
        recipients.error = recipients.error.take().or(error);
    }

    /// Reports whether completion changes a list.
    fn changes(&self, list: &AddressList<'_>) -> bool {
        list.pieces().any(|piece| match piece {
            Piece::Word(_) => false,
            Piece::MissingComma => true,
            Piece::Address(mut address) => self.rewriter.rewrite(&mut address),
        })
    }

    fn complete<'t>(&self, mut address: Address<'t>) -> Vec<u8>
    where
        'a: 't,
    {
        self.rewriter.rewrite(&mut address);
        address.to_bytes()
    }

    /// Takes the sender from the first Return-Path; of several addresses, from the rightmost.
    fn set_return_path(&mut self, list: &AddressList<'_>) {
        if self.return_path.is_some() {
            return;
        }
        self.return_path = list.addresses().next().map(|address| {
            let mut sender = self.complete(address);
            if self.options.flags.sender_per_recipient {
                sender.extend_from_slice(VERP);
            }
            sender
        });
    }

    /// Returns the sender that a Return-Path names.
    pub(super) fn take_sender(&mut self) -> Option<Vec<u8>> {
        self.return_path.take()
    }

    /// Returns the recipients; if the message is sent on, only those of the Resent- fields.
    ///
    /// # Errors
    /// A field with recipients cannot be parsed. qmail-inject's `-n` ignores that.
    pub(super) fn take_recipients(&mut self) -> Result<Vec<Vec<u8>>, InjectError> {
        let recipients = if self.is_resent() { &mut self.resent } else { &mut self.plain };
        match recipients.error.take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut recipients.addresses)),
        }
    }

    fn is_resent(&self) -> bool {
        self.seen.iter().any(|known| known.is_resent)
    }

    /// Generates the fields that the message does not have.
    pub(super) fn missing_fields(&self, generator: &FieldGenerator<'_>) -> Result<Vec<u8>, InjectError> {
        let is_resent = self.is_resent();
        let prefix: &[u8] = if is_resent { b"Resent-" } else { b"" };
        let lacks = |role| !self.seen.contains(&KnownField { role, is_resent });
        let mut out = Vec::new();
        let mut add = |field: &[u8]| {
            out.extend_from_slice(prefix);
            out.extend_from_slice(field);
        };
        if lacks(Role::Date) {
            add(&generator.date());
        }
        if lacks(Role::MessageId) {
            add(&generator.message_id());
        }
        if lacks(Role::From) {
            add(&generator.from()?);
        }
        if lacks(Role::To) && lacks(Role::Cc) {
            add(b"Cc: recipient list not shown: ;\n");
        }
        if !is_resent
            && lacks(Role::MailFollowupTo)
            && let Some(field) = followup::field(&self.to_and_cc, self.options.followup_lists)
        {
            out.extend_from_slice(&field);
        }
        Ok(out)
    }
}

/// Returns the fault that keeps a message from being sent to this list.
fn blocking_fault(list: &AddressList<'_>, compat: Compat) -> Option<Fault> {
    match compat {
        Compat::Strict => list.fault.or(list.warning).or_else(|| {
            let empty = list.addresses().find(|address| address.tokens.is_empty());
            empty.map(|address| Fault { at: address.at, kind: FaultKind::Empty })
        }),
        Compat::Qmail => {
            [list.fault, list.warning].into_iter().flatten().find(|fault| fault.kind.loses_recipients())
        }
    }
}
