//! What becomes of each field.

use super::author::{Made, VERP};
use super::head::Raw;
use super::rewrite::Rewriter;
use super::{MOST_RECIPIENTS, Options, Refused, followup, hindrance};
use crate::mailbox::message::address::list::{Address, AddressList, Piece};
use crate::mailbox::message::address::{Compat, Fault, print};
use crate::mailbox::text::escape;

/// The fields that are known. All others stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Recipients whom everybody may see.
    To,
    Cc,
    /// Recipients whom nobody may see.
    Bcc,
    ApparentlyTo,
    /// Addresses of no recipients.
    Addresses,
    From,
    Date,
    MessageId,
    MailFollowupTo,
    ReturnPath,
    ContentLength,
    Resent(Resent),
}

/// Of a message that is sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resent {
    To,
    Cc,
    Bcc,
    Addresses,
    From,
    Date,
    MessageId,
}

const KNOWN: [(&str, Known); 22] = [
    ("To", Known::To),
    ("Cc", Known::Cc),
    ("Bcc", Known::Bcc),
    ("Apparently-To", Known::ApparentlyTo),
    ("Sender", Known::Addresses),
    ("Reply-To", Known::Addresses),
    ("Return-Receipt-To", Known::Addresses),
    ("Errors-To", Known::Addresses),
    ("From", Known::From),
    ("Date", Known::Date),
    ("Message-ID", Known::MessageId),
    ("Mail-Followup-To", Known::MailFollowupTo),
    ("Return-Path", Known::ReturnPath),
    ("Content-Length", Known::ContentLength),
    ("Resent-To", Known::Resent(Resent::To)),
    ("Resent-Cc", Known::Resent(Resent::Cc)),
    ("Resent-Bcc", Known::Resent(Resent::Bcc)),
    ("Resent-Sender", Known::Resent(Resent::Addresses)),
    ("Resent-Reply-To", Known::Resent(Resent::Addresses)),
    ("Resent-From", Known::Resent(Resent::From)),
    ("Resent-Date", Known::Resent(Resent::Date)),
    ("Resent-Message-ID", Known::Resent(Resent::MessageId)),
];

impl Known {
    fn of(name: &[u8]) -> Option<Known> {
        let mut known = KNOWN.iter();
        known.find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes())).map(|(_, known)| *known)
    }

    fn has_recipients(self) -> bool {
        use Known::*;
        matches!(
            self,
            To | Cc | Bcc | ApparentlyTo | Resent(self::Resent::To | self::Resent::Cc | self::Resent::Bcc)
        )
    }

    fn has_addresses(self) -> bool {
        use Known::*;
        self.has_recipients()
            || matches!(
                self,
                Addresses | From | ReturnPath | Resent(self::Resent::Addresses | self::Resent::From)
            )
    }

    fn is_dropped(self) -> bool {
        use Known::*;
        matches!(self, Bcc | ReturnPath | ContentLength | Resent(self::Resent::Bcc))
    }
}

/// The recipients of some fields, and what is wrong with one of them.
#[derive(Debug, Default)]
struct Recipients {
    addresses: Vec<Vec<u8>>,
    refused: Option<Refused>,
}

/// The fields that were taken.
#[derive(Debug)]
pub struct Fields<'a> {
    options: &'a Options<'a>,
    rewriter: &'a Rewriter<'a>,
    seen: Vec<Known>,
    plain: Recipients,
    resent: Recipients,
    to_and_cc: Vec<Vec<u8>>,
    return_path: Option<Vec<u8>>,
    /// What stays, in its order.
    pub kept: Vec<u8>,
}

impl<'a> Fields<'a> {
    /// None yet.
    pub fn new(options: &'a Options<'a>, rewriter: &'a Rewriter<'a>) -> Fields<'a> {
        Fields {
            options,
            rewriter,
            seen: Vec::new(),
            plain: Recipients::default(),
            resent: Recipients::default(),
            to_and_cc: Vec::new(),
            return_path: None,
            kept: Vec::new(),
        }
    }

    /// Takes the next field.
    pub fn take(&mut self, field: &Raw<'_>) -> Result<(), Refused> {
        let colon = memchr::memchr(b':', &field.text).unwrap_or_default();
        let name = field.text[..colon].trim_ascii_end();
        let Some(known) = Known::of(name) else {
            self.kept.extend_from_slice(&field.text);
            return Ok(());
        };
        let habits = self.options.habits;
        match known {
            Known::From if habits.delete_from => return Ok(()),
            Known::MessageId if habits.delete_message_id => return Ok(()),
            Known::ReturnPath if habits.ignore_return_path => return Ok(()),
            _ => {}
        }
        if !self.seen.contains(&known) {
            self.seen.push(known);
        }
        let rewritten = match known.has_addresses() {
            true => self.addresses(known, field, name, colon + 1)?,
            false => None,
        };
        if !known.is_dropped() {
            self.kept.extend_from_slice(rewritten.as_deref().unwrap_or(&field.text));
        }
        Ok(())
    }

    /// Takes a field with addresses. What comes back is what it is rewritten to; None: it stays as it is.
    fn addresses(
        &mut self,
        known: Known,
        field: &Raw<'_>,
        name: &[u8],
        value: usize,
    ) -> Result<Option<Vec<u8>>, Refused> {
        let manner = self.options.manner;
        let refuse = |fault: Fault| {
            let at = value + fault.at;
            let lines = memchr::memchr_iter(b'\n', &field.text[..at]).count() as u64;
            let crs = if field.had_crs { lines } else { 0 };
            Refused::Field {
                name: name.to_vec(),
                text: field.text.to_vec(),
                line: field.line + lines,
                byte: field.at + at as u64 + crs,
                trouble: fault.kind,
            }
        };
        let list = AddressList::read(&field.text[value..], manner);
        let hindrance = hindrance(&list, manner);
        if known.has_recipients() {
            let is_resent = matches!(known, Known::Resent(_));
            let recipients = if is_resent { &self.resent } else { &self.plain };
            let count = self.options.arguments.len() + recipients.addresses.len() + list.count();
            let refused = match hindrance {
                Some(fault) => Some(refuse(fault)),
                None if count > MOST_RECIPIENTS => Some(Refused::TooManyRecipients {
                    place: format!("{}: line {}", escape(name), field.line),
                }),
                None => None,
            };
            let mut addresses = Vec::new();
            if count <= MOST_RECIPIENTS {
                addresses.extend(list.addresses().map(|address| self.completed(address)));
            }
            if matches!(known, Known::To | Known::Cc) && !self.options.lists.is_empty() {
                self.to_and_cc.extend_from_slice(&addresses);
            }
            let recipients = if is_resent { &mut self.resent } else { &mut self.plain };
            recipients.addresses.append(&mut addresses);
            recipients.refused = recipients.refused.take().or(refused);
        } else if let Some(fault) = list.fault {
            return Err(refuse(fault));
        }
        if known == Known::ReturnPath {
            if let (Compat::Strict, Some(fault)) = (manner, list.warning) {
                return Err(refuse(fault));
            }
            self.sender_of(&list);
        }
        let as_it_was = match manner {
            _ if known.is_dropped() => true,
            Compat::Strict => list.warning.is_some() || list.fault.is_some() || !self.changes(&list),
            Compat::Qmail => list.fault.is_some(),
        };
        let pieces = list.pieces().map(|piece| self.rewriter.completed(piece));
        Ok((!as_it_was).then(|| print::format_field(name, pieces, manner)))
    }

    /// Whether anything of a list is to be another than it is.
    fn changes(&self, list: &AddressList<'_>) -> bool {
        list.pieces().any(|piece| match piece {
            Piece::Word(_) => false,
            Piece::MissingComma => true,
            Piece::Address(mut address) => self.rewriter.rewrite(&mut address),
        })
    }

    fn completed<'t>(&self, mut address: Address<'t>) -> Vec<u8>
    where
        'a: 't,
    {
        self.rewriter.rewrite(&mut address);
        address.to_bytes()
    }

    /// The first of these fields counts, and of a list the rightmost address.
    fn sender_of(&mut self, list: &AddressList<'_>) {
        if self.return_path.is_some() {
            return;
        }
        self.return_path = list.addresses().next().map(|address| {
            let mut sender = self.completed(address);
            if self.options.habits.sender_per_recipient {
                sender.extend_from_slice(VERP);
            }
            sender
        });
    }

    /// The sender that a Return-Path names.
    pub fn take_sender(&mut self) -> Option<Vec<u8>> {
        self.return_path.take()
    }

    /// The recipients: of a message that is sent on, those to whom it is sent on, and nobody else.
    ///
    /// # Errors
    /// One of their fields cannot be read. `-n` of qmail-inject does not care.
    pub fn recipients(&mut self) -> Result<Vec<Vec<u8>>, Refused> {
        let recipients = if self.is_resent() { &mut self.resent } else { &mut self.plain };
        match recipients.refused.take() {
            Some(refused) => Err(refused),
            None => Ok(std::mem::take(&mut recipients.addresses)),
        }
    }

    fn is_resent(&self) -> bool {
        self.seen.iter().any(|known| matches!(known, Known::Resent(_)))
    }

    /// The fields that are missing.
    pub fn added(&self, made: &Made<'_>) -> Result<Vec<u8>, Refused> {
        let resent = self.is_resent();
        let prefix: &[u8] = if resent { b"Resent-" } else { b"" };
        let lacks = |plain: Known, again: Resent| {
            !self.seen.contains(&if resent { Known::Resent(again) } else { plain })
        };
        let mut out = Vec::new();
        let mut add = |field: &[u8]| {
            out.extend_from_slice(prefix);
            out.extend_from_slice(field);
        };
        if lacks(Known::Date, Resent::Date) {
            add(&made.date());
        }
        if lacks(Known::MessageId, Resent::MessageId) {
            add(&made.message_id());
        }
        if lacks(Known::From, Resent::From) {
            add(&made.from()?);
        }
        if lacks(Known::To, Resent::To) && lacks(Known::Cc, Resent::Cc) {
            add(b"Cc: recipient list not shown: ;\n");
        }
        if !resent
            && !self.seen.contains(&Known::MailFollowupTo)
            && let Some(field) = followup::field(&self.to_and_cc, self.options.lists)
        {
            out.extend_from_slice(&field);
        }
        Ok(out)
    }
}
