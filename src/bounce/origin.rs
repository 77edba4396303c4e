//! Who sent a message: a mail server, a person, a list, or a program that answers.

use crate::mailbox::message::header::{self, decode_text};

/// What the header says about the sender.
#[derive(Debug)]
pub(super) struct Origin {
    /// The envelope sender is null, or qmail's `#@[]` of a double bounce. None if it is not recorded.
    pub(super) is_null_sender: Option<bool>,
    /// The author is a mail server.
    pub(super) is_from_server: bool,
    /// The mail went through a mailing list.
    pub(super) is_list_mail: bool,
    /// The message answers another one automatically: it is neither a report nor written by a person.
    pub(super) is_automatic_reply: bool,
    /// A program sent it (RFC 3834), or nobody reads answers to it.
    pub(super) is_automatic: bool,
}

/// Local parts of servers.
const SERVERS: [&str; 9] = [
    "mailer-daemon",
    "mailerdaemon",
    "mailer_daemon",
    "postmaster",
    "mail-daemon",
    "maildaemon",
    "mdaemon",
    "mmdf",
    "mailmaster",
];

impl Origin {
    pub(super) fn of(head: &[u8]) -> Origin {
        let mut origin = Origin {
            is_null_sender: None,
            is_from_server: false,
            is_list_mail: false,
            is_automatic_reply: false,
            is_automatic: false,
        };
        for field in header::fields(head) {
            let name = field.name.to_ascii_lowercase();
            let text = || decode_text(field.value).to_lowercase();
            match &name[..] {
                b"return-path" if origin.is_null_sender.is_none() => {
                    origin.is_null_sender = Some(is_null(field.value));
                    // Some servers write their name instead of the null sender.
                    origin.is_from_server |= SERVERS[..4].iter().any(|name| text().contains(name));
                }
                b"from" | b"sender" => {
                    let text = text();
                    origin.is_from_server |= is_server(&text) || text == "<>";
                    origin.is_automatic |= ["no-reply", "noreply", "no_reply", "donotreply", "do-not-reply"]
                        .iter()
                        .any(|name| text.contains(name));
                }
                b"list-id" | b"list-post" | b"list-unsubscribe" | b"x-mailing-list" | b"mailing-list"
                | b"x-beenthere" => origin.is_list_mail = true,
                b"auto-submitted" => {
                    let text = text();
                    origin.is_automatic |= !text.starts_with("no");
                    origin.is_automatic_reply |= text.contains("vacation");
                }
                b"x-autoreply" | b"x-autorespond" | b"x-auto-reply" | b"x-vacation" => {
                    origin.is_automatic_reply |= !text().starts_with("no");
                }
                b"precedence" => origin.is_automatic_reply |= text().contains("auto_reply"),
                _ => {}
            }
        }
        origin
    }

    /// Reports whether a server may have sent this message, as far as the header shows.
    pub(super) fn is_server(&self) -> bool {
        !self.is_automatic_reply
            && !self.is_list_mail
            && (self.is_from_server || self.is_null_sender == Some(true))
    }
}

/// Reports whether a Return-Path is that of a bounce.
fn is_null(value: &[u8]) -> bool {
    let address = header::unfold(value);
    let open = memchr::memchr(b'<', &address).map_or(0, |at| at + 1);
    let close = memchr::memchr(b'>', &address[open..]).map_or(address.len(), |at| open + at);
    matches!(address[open..close].trim_ascii(), b"" | b"#@[]")
}

/// Reports whether a From field names a mail server.
fn is_server(from: &str) -> bool {
    SERVERS.iter().any(|name| from.contains(name)) || from.contains("mail delivery")
}
