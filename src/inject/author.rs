//! Who writes: From and the envelope sender, where the message does not say.

use super::rewrite::Rewriter;
use super::{Options, Refused};
use crate::mailbox::message::address::list::AddressList;
use crate::mailbox::message::address::print;
use crate::mailbox::message::address::print::push_token;
use crate::mailbox::message::address::token::TokenKind;
use crate::mailbox::message::address::{Compat, FaultKind};

/// Who writes, as the environment says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Author {
    /// The local part of From.
    pub user: Vec<u8>,
    /// Its host; None: the default one.
    pub host: Option<Vec<u8>>,
    /// The name for From.
    pub name: Option<Vec<u8>>,
    /// The local part of the envelope sender; None: as in From.
    pub sender_user: Option<Vec<u8>>,
    /// Its host; None: as in From.
    pub sender_host: Option<Vec<u8>>,
}

/// What `$QMAILINJECT` asks for, a letter each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Habits {
    /// `c`: From as `address (name)`.
    pub name_as_comment: bool,
    /// `s`: a Return-Path of the message is not the sender.
    pub ignore_return_path: bool,
    /// `f`: a From of the message goes.
    pub delete_from: bool,
    /// `i`: a Message-ID of the message goes.
    pub delete_message_id: bool,
    /// `m`: a sender that tells which message bounces.
    pub sender_per_message: bool,
    /// `r`: a sender that tells which recipient bounces (VERP).
    pub sender_per_recipient: bool,
}

impl Habits {
    /// Other letters are for others.
    pub fn parse(letters: &[u8]) -> Habits {
        let has = |letter| letters.contains(&letter);
        Habits {
            name_as_comment: has(b'c'),
            ignore_return_path: has(b's'),
            delete_from: has(b'f'),
            delete_message_id: has(b'i'),
            sender_per_message: has(b'm'),
            sender_per_recipient: has(b'r'),
        }
    }
}

/// What makes a VERP sender of an address: qmail-send puts the recipient there.
pub const VERP: &[u8] = b"-@[]";

/// What is made where the message does not say it.
#[derive(Debug)]
pub struct Made<'a> {
    /// What is asked for.
    pub options: &'a Options<'a>,
    /// Completes addresses.
    pub rewriter: &'a Rewriter<'a>,
}

impl Made<'_> {
    /// `From: "Name" <user@host>`, with its line end.
    pub fn from(&self) -> Result<Vec<u8>, Refused> {
        let Author { user, host, name, .. } = self.options.author;
        let address = self.address(user, host.as_deref());
        let as_comment = self.options.habits.name_as_comment;
        // A name is what somebody typed into a terminal: it must not add a line to the header.
        let name = name.as_ref().map(|name| {
            let mut name = name.clone();
            name.iter_mut().filter(|b| matches!(b, b'\n' | b'\r' | 0)).for_each(|b| *b = b' ');
            let mut out = Vec::new();
            let kind =
                if as_comment { TokenKind::Comment(name.into()) } else { TokenKind::Quoted(name.into()) };
            push_token(&mut out, &kind);
            out
        });
        let text = match name {
            Some(name) if as_comment => [&address[..], b" ", &name].concat(),
            Some(name) => [&name[..], b" <", &address, b">"].concat(),
            None => address,
        };
        let list = self.read(&text)?;
        let pieces = list.pieces().map(|piece| self.rewriter.completed(piece));
        Ok(print::format_field(b"From", pieces, self.options.manner))
    }

    /// The envelope sender.
    pub fn sender(&self) -> Result<Vec<u8>, Refused> {
        let Options { author, habits, now, pid, .. } = self.options;
        let mut user = author.sender_user.clone().unwrap_or_else(|| author.user.clone());
        if habits.sender_per_message {
            user.extend_from_slice(format!("-{now}.{pid}").as_bytes());
        }
        if habits.sender_per_recipient {
            user.push(b'-');
        }
        let host = author.sender_host.as_ref().or(author.host.as_ref());
        let text = self.address(&user, host.map(Vec::as_slice));
        let list = self.read(&text)?;
        let mut sender = match list.addresses().next() {
            Some(mut address) => {
                self.rewriter.rewrite(&mut address);
                address.to_bytes()
            }
            None => Vec::new(),
        };
        if habits.sender_per_recipient {
            sender.extend_from_slice(VERP);
        }
        Ok(sender)
    }

    /// `Date: 3 Feb 2001 04:05:06 -0000`: in UTC, and -0000 says that the zone of who writes is not known
    /// (RFC 5322 §3.3).
    pub fn date(&self) -> Vec<u8> {
        self.time("Date: %-d %b %Y %H:%M:%S -0000\n").into_bytes()
    }

    /// `Message-ID: <...@idhost>`.
    pub fn message_id(&self) -> Vec<u8> {
        let unique = match self.options.random {
            Some(random) => data_encoding::HEXLOWER.encode(&random),
            None => self.time("%Y%m%d%H%M%S") + &format!(".{}.qmail", self.options.pid),
        };
        let mut host = self.options.domains.id_host.clone();
        host.retain(|b| !b.is_ascii_control());
        [b"Message-ID: <", unique.as_bytes(), b"@", &host, b">\n"].concat()
    }

    fn time(&self, format: &str) -> String {
        let now = jiff::Timestamp::from_second(self.options.now).unwrap_or_default();
        now.strftime(format).to_string()
    }

    /// As it stands in a field.
    fn address(&self, user: &[u8], host: Option<&[u8]>) -> Vec<u8> {
        let local = crate::transport::envelope::quoted_local(user);
        match host {
            Some(host) => [&local[..], b"@", host].concat(),
            None => local,
        }
    }

    fn read<'t>(&'t self, text: &'t [u8]) -> Result<AddressList<'t>, Refused> {
        let bad = |trouble: FaultKind| Refused::Setting { text: text.to_vec(), why: trouble.to_string() };
        let manner = self.options.manner;
        let list = AddressList::read(text, manner);
        let trouble = list.fault.or(list.warning).map(|fault| fault.kind);
        let is_bad = manner == Compat::Strict || list.fault.is_some() || trouble == Some(FaultKind::Control);
        match trouble.filter(|_| is_bad) {
            Some(trouble) => Err(bad(trouble)),
            None => Ok(list),
        }
    }
}
