//! A message is completed and gets its envelope: what qmail-inject does with half a header.
//!
//! Added are Date, Message-ID, From, a Cc that says that there is no list, and Mail-Followup-To, in their Resent-
//! form where a message is sent on; addresses are completed and recipients taken from them; Bcc, Return-Path and
//! Content-Length go. All other fields stay as they are, byte for byte.

mod author;
pub mod control;
mod fields;
mod followup;
mod head;
mod rewrite;

use std::path::Path;

use crate::mailbox::message::address::list::{Address, AddressList};
use crate::mailbox::message::address::token::Tokens;
use crate::mailbox::message::address::{Compat, Fault, FaultKind};
use crate::mailbox::text::escape;
use crate::transport::Envelope;
use crate::transport::envelope;
use crate::transport::failure::{Failure, Reason};
use crate::transport::spool::Letter;

pub use author::{Author, Habits};
pub use followup::read_list as read_followup_list;
pub use rewrite::Domains;

use author::Made;
use fields::Fields;
use rewrite::Rewriter;

/// As many recipients a message has at most: they are held in memory, and so is what becomes of each.
pub const MOST_RECIPIENTS: usize = 100_000;

/// How to complete a message.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// What is let pass.
    pub manner: Compat,
    /// Whether a message whose first line ends in CRLF was written for the wire: each of its CRLFs is one line end
    /// then. Nothing behind us would take the CR for a part of one.
    pub crlf: bool,
    /// Recipients as they are named, raw.
    pub arguments: &'a [Vec<u8>],
    /// Whether those of the header are recipients, too.
    pub header_too: bool,
    /// The envelope sender, raw; empty for the null sender. None: what the message and the author say.
    pub sender: Option<&'a [u8]>,
    /// Who writes.
    pub author: &'a Author,
    /// What the environment asks for beyond the usual.
    pub habits: Habits,
    /// What addresses are completed with.
    pub domains: &'a Domains,
    /// Mailing lists: mail for one of them gets a Mail-Followup-To.
    pub lists: &'a [Vec<u8>],
    /// Now, in seconds since 1970.
    pub now: i64,
    /// Our process.
    pub pid: u32,
    /// For a Message-ID that tells neither.
    pub random: Option<[u8; 16]>,
}

/// A completed message, and for whom it is.
#[derive(Debug)]
pub struct Completed {
    /// The message, lines ending in LF.
    pub letter: Letter,
    /// Its envelope.
    pub envelope: Envelope,
}

/// Why a message is not sent.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// A field that cannot be parsed.
    #[error("{}: line {line}, byte {byte}: {trouble}", escape(name))]
    Field {
        /// Its name.
        name: Vec<u8>,
        /// The field as it stands.
        text: Vec<u8>,
        /// Line of the message, counted from 1.
        line: u64,
        /// Byte of the message, counted from 0.
        byte: u64,
        /// What is wrong there.
        trouble: FaultKind,
    },
    /// An address that was given.
    #[error("{}: {why}", escape(address))]
    Address {
        /// As it was given.
        address: Vec<u8>,
        /// What is wrong with it.
        why: String,
        /// Whether it is the sender's.
        is_sender: bool,
    },
    /// A host or user that addresses are to be completed with.
    #[error("{}: {why}", escape(text))]
    Setting {
        /// As it is set.
        text: Vec<u8>,
        /// What is wrong with it.
        why: String,
    },
    /// More recipients than are held.
    #[error("{place}: more than {MOST_RECIPIENTS} recipients; divide the message among them")]
    TooManyRecipients {
        /// The field that has the first of too many, with its line, or the arguments.
        place: String,
    },
    /// Nobody to send it to.
    #[error("no recipients: none was named, and the header has none")]
    NoRecipients,
    /// A header that does not end in what is held in memory.
    #[error("the header has more than {0} bytes")]
    LongHeader(usize),
    /// A line that is no field, with one behind it that names recipients: it would be text, and read by all.
    #[error(
        "line {line} is no field and ends the header; {} in line {behind} would be part of the text",
        escape(name)
    )]
    Torn {
        /// Line of the message, counted from 1.
        line: u64,
        /// The field.
        name: Vec<u8>,
        /// Its line.
        behind: u64,
    },
    /// The machine.
    #[error("{}", .0.text)]
    Failed(Failure),
}

impl Refused {
    /// The class.
    pub fn reason(&self) -> Reason {
        match self {
            Refused::Setting { .. } => Reason::Configuration,
            Refused::Failed(failure) => failure.reason,
            _ => Reason::BadMessage,
        }
    }

    fn of_sender(self) -> Refused {
        match self {
            Refused::Address { address, why, .. } => Refused::Address { address, why, is_sender: true },
            other => other,
        }
    }
}

impl<T: Into<Failure>> From<T> for Refused {
    fn from(failure: T) -> Refused {
        Refused::Failed(failure.into())
    }
}

/// What can be asked before the message is read: sender and recipients that were named, and what addresses are
/// completed with.
#[derive(Debug)]
pub struct Ready<'a> {
    options: &'a Options<'a>,
    rewriter: Rewriter<'a>,
    sender: Option<Vec<u8>>,
    recipients: Vec<Vec<u8>>,
}

impl<'a> Ready<'a> {
    /// Looks at all that was given besides the message.
    pub fn new(options: &'a Options<'a>) -> Result<Ready<'a>, Refused> {
        if options.manner == Compat::Strict {
            options.domains.check()?;
        }
        let rewriter = Rewriter::new(options.domains)?;
        let given = |raw: &[u8], no_part: &[u8]| given(raw, no_part, &rewriter, options.manner);
        let sender = match options.sender {
            None => None,
            Some(b"") => Some(Vec::new()),
            // With an @, too: the sender of VERP has one.
            Some(raw) => Some(given(raw, b"<>,").map_err(Refused::of_sender)?),
        };
        let recipients = options.arguments.iter().map(|raw| {
            let recipient = given(raw, b"<>,@")?;
            match options.manner == Compat::Strict && recipient.is_empty() {
                true => Err(refused(raw, FaultKind::Empty)),
                false => Ok(recipient),
            }
        });
        let recipients: Vec<Vec<u8>> = recipients.collect::<Result<_, Refused>>()?;
        if recipients.len() > MOST_RECIPIENTS {
            return Err(Refused::TooManyRecipients { place: "the arguments".into() });
        }
        Ok(Ready { options, rewriter, sender, recipients })
    }

    /// Completes a message. `spool_dir` is for what is longer than memory should hold.
    pub fn complete(self, letter: &Letter, spool_dir: &Path) -> Result<Completed, Refused> {
        let Ready { options, rewriter, sender, mut recipients } = self;
        if options.manner == Compat::Strict && letter.length() == 0 {
            let text = "there is no message: standard input is empty";
            return Err(Failure::new(Reason::BadMessage, text).into());
        }
        let mut fields = Fields::new(options, &rewriter);
        let end = head::read(letter, options.crlf, |field| fields.take(field))?;
        if options.manner == Compat::Strict {
            head::check_torn(letter, end)?;
        }
        if options.header_too {
            recipients.append(&mut fields.recipients()?);
        }
        if options.manner == Compat::Strict && recipients.is_empty() {
            return Err(Refused::NoRecipients);
        }
        let made = Made { options, rewriter: &rewriter };
        let sender = match sender.or_else(|| fields.take_sender()) {
            Some(sender) => sender,
            None => made.sender()?,
        };
        let added = fields.added(&made)?;
        let letter = head::rebuilt([&added, &fields.kept], letter, end, spool_dir)?;
        Ok(Completed { letter, envelope: Envelope { sender, recipients } })
    }
}

/// An address that was given raw, completed. `no_part` are signs that nobody has in a local part, and that tell of
/// a name or of a second address.
fn given(raw: &[u8], no_part: &[u8], rewriter: &Rewriter<'_>, manner: Compat) -> Result<Vec<u8>, Refused> {
    let (local, _) = envelope::split(raw);
    if manner == Compat::Strict && local.iter().any(|b| no_part.contains(b)) {
        let why = "give one address, without a name and without brackets, each as an argument of its own";
        return Err(Refused::Address { address: raw.to_vec(), why: why.into(), is_sender: false });
    }
    if raw.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
        return Err(refused(raw, FaultKind::Control));
    }
    let quoted = envelope::quoted(raw);
    let tokens = Tokens::read(&quoted, manner).map_err(|fault| refused(raw, fault.kind))?;
    let mut address = Address { at: 0, tokens: tokens.iter().collect() };
    let checked = address.check();
    if let (Compat::Strict, Err(fault)) = (manner, checked) {
        return Err(refused(raw, fault.kind));
    }
    rewriter.rewrite(&mut address);
    Ok(address.to_bytes())
}

fn refused(address: &[u8], trouble: FaultKind) -> Refused {
    Refused::Address { address: address.to_vec(), why: trouble.to_string(), is_sender: false }
}

/// What of a list that was read keeps a message from being sent to it.
fn hindrance(list: &AddressList<'_>, manner: Compat) -> Option<Fault> {
    let worst = list.fault.or(list.warning);
    match manner {
        Compat::Strict => worst.or_else(|| {
            let empty = list.addresses().find(|address| address.tokens.is_empty());
            empty.map(|address| Fault { at: address.at, kind: FaultKind::Empty })
        }),
        Compat::Qmail => {
            [list.fault, list.warning].into_iter().flatten().find(|fault| fault.kind.loses_recipients())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_message_is_completed_or_refused(message: Vec<u8>) {
            crate::promises::injected(&message);
        }

        #[test]
        fn any_header_too(message in r#"((To|Cc|Bcc|From|Resent-To|Return-Path|Date|Content-Length|X|From )(: ?)?([a-c.@,:;<>+ "()]|a@b|\n )*\n){0,6}(\n[a-c\n]*)?"#) {
            crate::promises::injected(message.as_bytes());
        }
    }
}
