//! How a message is completed, and for whom.

use super::InjectError;
use crate::mailbox::message::address::Compat;

/// How to complete a message.
#[derive(Debug, Clone)]
pub(crate) struct InjectOptions<'a> {
    pub(crate) compat: Compat,
    /// Converts every CRLF to LF if the first line ends in CRLF. Such a message was written for the wire, and qmail's
    /// programs would treat the CR as text.
    pub(crate) crlf: bool,
    /// Recipients named by the caller, raw.
    pub(crate) arguments: &'a [Vec<u8>],
    /// Adds the recipients of the header.
    pub(crate) header_recipients: bool,
    /// The envelope sender, raw; empty for the null sender. `None` takes it from the message or the author.
    pub(crate) sender: Option<&'a [u8]>,
    pub(crate) author: &'a Author,
    pub(crate) flags: InjectFlags,
    pub(crate) domains: &'a Domains,
    /// Mailing lists. A message to one of them gets a Mail-Followup-To.
    pub(crate) followup_lists: &'a [Vec<u8>],
    /// Seconds since 1970.
    pub(crate) now: i64,
    pub(crate) pid: u32,
    /// Makes a Message-ID that contains neither time nor process.
    pub(crate) random: Option<[u8; 16]>,
}

/// The author of messages without From, as configured in the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Author {
    /// The local part of From.
    pub(crate) user: Vec<u8>,
    /// The host of From; `None` for the default host.
    pub(crate) host: Option<Vec<u8>>,
    /// The display name of From.
    pub(crate) name: Option<Vec<u8>>,
    /// The local part of the envelope sender, if it differs from From.
    pub(crate) sender_user: Option<Vec<u8>>,
    /// The host of the envelope sender, if it differs from From.
    pub(crate) sender_host: Option<Vec<u8>>,
}

/// The letters of `$QMAILINJECT`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct InjectFlags {
    /// `c`: writes From as `address (name)`.
    pub(crate) name_as_comment: bool,
    /// `s`: does not take the sender from Return-Path.
    pub(crate) ignore_return_path: bool,
    /// `f`: replaces From.
    pub(crate) delete_from: bool,
    /// `i`: replaces Message-ID.
    pub(crate) delete_message_id: bool,
    /// `m`: puts time and process into the sender, so that a bounce identifies the message.
    pub(crate) sender_per_message: bool,
    /// `r`: puts the recipient into the sender, so that a bounce identifies it (VERP).
    pub(crate) sender_per_recipient: bool,
}

impl InjectFlags {
    /// Parses the letters. Unknown ones are ignored, as in qmail-inject.
    pub(crate) fn parse(letters: &[u8]) -> InjectFlags {
        let has = |letter| letters.contains(&letter);
        InjectFlags {
            name_as_comment: has(b'c'),
            ignore_return_path: has(b's'),
            delete_from: has(b'f'),
            delete_message_id: has(b'i'),
            sender_per_message: has(b'm'),
            sender_per_recipient: has(b'r'),
        }
    }
}

/// The hosts and domains that complete addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Domains {
    /// Goes after a local part without a host.
    pub(crate) default_host: Vec<u8>,
    /// Goes after a host without a dot, if there is one.
    pub(crate) default_domain: Option<Vec<u8>>,
    /// Replaces a `+` at the end of a host.
    pub(crate) plus_domain: Option<Vec<u8>>,
    /// Goes after the `@` of a Message-ID.
    pub(crate) id_host: Vec<u8>,
}

impl Domains {
    /// Refuses an invalid host, which would change every address without one.
    pub(crate) fn check(&self) -> Result<(), InjectError> {
        let settings = [
            (Some(&self.default_host), "the default host (QMAILDEFAULTHOST, or control/defaulthost or me)"),
            (
                self.default_domain.as_ref(),
                "the default domain (QMAILDEFAULTDOMAIN, or control/defaultdomain or me)",
            ),
            (self.plus_domain.as_ref(), "the plus domain (QMAILPLUSDOMAIN, or control/plusdomain or me)"),
        ];
        for (host, setting) in settings {
            if let Some(host) = host.filter(|host| !is_host(host)) {
                return Err(InjectError::Setting {
                    text: host.clone(),
                    why: format!("{setting} is not a host name"),
                });
            }
        }
        Ok(())
    }
}

fn is_host(host: &[u8]) -> bool {
    let is_literal = host.starts_with(b"[") && host.ends_with(b"]");
    let is_label = |label: &[u8]| {
        !label.is_empty()
            && label.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b) || !b.is_ascii())
    };
    // A `+` at the end stands for the plus domain.
    let plain = host.strip_suffix(b"+").unwrap_or(host);
    is_literal || plain.split(|&b| b == b'.').all(is_label)
}
