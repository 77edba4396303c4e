//! The fields and the envelope sender that a message does not have.

use super::rewrite::Rewriter;
use super::{Author, InjectError, InjectOptions};
use crate::mailbox::message::address::list::AddressList;
use crate::mailbox::message::address::print::{self, push_token};
use crate::mailbox::message::address::token::TokenKind;
use crate::mailbox::message::address::{Compat, FaultKind};
use crate::transport::envelope;

/// The end of a VERP sender, which qmail-send replaces by the recipient.
pub(super) const VERP: &[u8] = b"-@[]";

/// Generates missing fields, each with its line end.
#[derive(Debug)]
pub(super) struct FieldGenerator<'a> {
    pub(super) options: &'a InjectOptions<'a>,
    pub(super) rewriter: &'a Rewriter<'a>,
}

impl FieldGenerator<'_> {
    /// Returns `From: "Name" <user@host>`.
    pub(super) fn from(&self) -> Result<Vec<u8>, InjectError> {
        let Author { user, host, name, .. } = self.options.author;
        let address = format_address(user, host.as_deref());
        let as_comment = self.options.flags.name_as_comment;
        let name = name.as_ref().map(|name| {
            // The user may have set it to anything; it must not add a line to the header.
            let mut name = name.clone();
            name.iter_mut().filter(|b| matches!(b, b'\n' | b'\r' | 0)).for_each(|b| *b = b' ');
            let mut out = Vec::new();
            let token = match as_comment {
                true => TokenKind::Comment(name.into()),
                false => TokenKind::Quoted(name.into()),
            };
            push_token(&mut out, &token);
            out
        });
        let text = match name {
            Some(name) if as_comment => [&address[..], b" ", &name].concat(),
            Some(name) => [&name[..], b" <", &address, b">"].concat(),
            None => address,
        };
        let list = self.parse(&text)?;
        let pieces = list.pieces().map(|piece| self.rewriter.complete_piece(piece));
        Ok(print::format_field(b"From", pieces, self.options.compat))
    }

    /// Returns the envelope sender.
    pub(super) fn sender(&self) -> Result<Vec<u8>, InjectError> {
        let InjectOptions { author, flags, now, pid, .. } = self.options;
        let mut user = author.sender_user.clone().unwrap_or_else(|| author.user.clone());
        if flags.sender_per_message {
            user.extend_from_slice(format!("-{now}.{pid}").as_bytes());
        }
        if flags.sender_per_recipient {
            user.push(b'-');
        }
        let host = author.sender_host.as_ref().or(author.host.as_ref());
        let text = format_address(&user, host.map(Vec::as_slice));
        let list = self.parse(&text)?;
        let mut sender = match list.addresses().next() {
            Some(mut address) => {
                self.rewriter.rewrite(&mut address);
                address.to_bytes()
            }
            None => Vec::new(),
        };
        if flags.sender_per_recipient {
            sender.extend_from_slice(VERP);
        }
        Ok(sender)
    }

    /// Returns `Date: 3 Feb 2001 04:05:06 -0000`, in UTC. -0000 means that the author's time zone is unknown
    /// (RFC 5322 §3.3).
    pub(super) fn date(&self) -> Vec<u8> {
        self.format_time("Date: %-d %b %Y %H:%M:%S -0000\n").into_bytes()
    }

    /// Returns `Message-ID: <...@idhost>`.
    pub(super) fn message_id(&self) -> Vec<u8> {
        let unique = match self.options.random {
            Some(random) => data_encoding::HEXLOWER.encode(&random),
            None => self.format_time("%Y%m%d%H%M%S") + &format!(".{}.qmail", self.options.pid),
        };
        let mut host = self.options.domains.id_host.clone();
        host.retain(|b| !b.is_ascii_control());
        [b"Message-ID: <", unique.as_bytes(), b"@", &host, b">\n"].concat()
    }

    fn format_time(&self, format: &str) -> String {
        let now = jiff::Timestamp::from_second(self.options.now).unwrap_or_default();
        now.strftime(format).to_string()
    }

    fn parse<'t>(&'t self, text: &'t [u8]) -> Result<AddressList<'t>, InjectError> {
        let compat = self.options.compat;
        let list = AddressList::read(text, compat);
        let Some(fault) = list.fault.or(list.warning) else { return Ok(list) };
        let is_invalid = compat == Compat::Strict || list.fault.is_some() || fault.kind == FaultKind::Control;
        match is_invalid {
            true => Err(InjectError::Setting { text: text.to_vec(), why: fault.kind.to_string() }),
            false => Ok(list),
        }
    }
}

/// Returns an address as it is written in a field.
fn format_address(user: &[u8], host: Option<&[u8]>) -> Vec<u8> {
    let local = envelope::quote_local(user);
    match host {
        Some(host) => [&local[..], b"@", host].concat(),
        None => local,
    }
}
