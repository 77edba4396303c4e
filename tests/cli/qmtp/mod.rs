//! QMTP and QMQP on standard input and output, with the programs that listen for them, with real clients, and with
//! hostile ones.

mod hostile;
mod peers;
mod servers;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bstr::BString;

use crate::lmtp::Domain;
use crate::support::*;

/// Users of the domain that have a Maildir. `full` is over quota, the Maildir of `odd` is damaged, and anybody else does
/// not exist.
const USERS: [&str; 5] = ["ann", "joe", "eve", "full", "odd"];

/// The Maildirs of the users.
fn domain() -> Domain {
    let domain = Domain::of(&USERS);
    fs::write(domain.path("full/Maildir/maildirsize"), "1S\n").unwrap();
    fs::remove_dir(domain.path("odd/Maildir/new")).unwrap();
    domain
}

fn netstring(bytes: &[u8]) -> Vec<u8> {
    [bytes.len().to_string().as_bytes(), b":", bytes, b","].concat()
}

/// A message with its envelope.
#[derive(Debug, Clone)]
struct Package {
    /// As it is on the wire: in QMTP with its first byte.
    message: Vec<u8>,
    sender: Vec<u8>,
    recipients: Vec<Vec<u8>>,
}

impl Package {
    fn new(protocol: &str, text: &str, recipients: &[&str]) -> Package {
        let first = if protocol == "qmtp" { "\n" } else { "" };
        Package {
            message: format!("{first}{text}").into(),
            sender: b"s@x.example".into(),
            recipients: recipients.iter().map(|to| format!("{to}@h.example").into()).collect(),
        }
    }

    fn wire(&self, protocol: &str) -> Vec<u8> {
        let recipients = self.recipients.iter().flat_map(|to| netstring(to)).collect::<Vec<_>>();
        let start = [netstring(&self.message), netstring(&self.sender)].concat();
        match protocol {
            "qmtp" => [start, netstring(&recipients)].concat(),
            _ => netstring(&[start, recipients].concat()),
        }
    }

    /// Returns the message as it is stored: of QMTP with the line ends that its first byte declares.
    fn stored(&self, protocol: &str) -> Vec<u8> {
        match (protocol, &self.message[..]) {
            ("qmtp", [b'\r', text @ ..]) => bstr::ByteSlice::replace(text, "\r\n", "\n"),
            ("qmtp", [_, text @ ..]) => text.to_vec(),
            (_, text) => text.to_vec(),
        }
    }
}

/// Parses netstrings. Returns those that are complete, and what follows them.
fn netstrings(mut bytes: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut all = Vec::new();
    while let Some((content, rest)) = one_netstring(bytes) {
        all.push(content);
        bytes = rest;
    }
    (all, bytes)
}

fn one_netstring(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = bytes.iter().position(|&b| b == b':')?;
    let length = std::str::from_utf8(&bytes[..colon]).ok()?;
    let count: usize = length.parse().ok().filter(|count: &usize| count.to_string() == length)?;
    let (content, rest) = bytes[colon + 1..].split_at_checked(count)?;
    Some((content, rest.strip_prefix(b",")?))
}

/// Returns the replies of a session, each as text.
#[track_caller]
fn replies(bytes: &[u8]) -> Vec<String> {
    let (replies, rest) = netstrings(bytes);
    assert!(rest.is_empty(), "{}", bytes.escape_ascii());
    replies.iter().map(|reply| String::from_utf8(reply.to_vec()).unwrap()).collect()
}

/// Counts the messages in new/ of each user by recipient and text, without the fields that the delivery adds.
#[track_caller]
fn delivered(domain: &Domain) -> BTreeMap<(String, BString), usize> {
    let mut all = BTreeMap::new();
    for user in ["ann", "joe", "eve", "full"] {
        for (to, text) in mail(&domain.path(user).join("Maildir")) {
            *all.entry((to, text)).or_default() += 1;
        }
    }
    all
}

/// Returns the messages of a Maildir: the recipient in Delivered-To, and the text after the fields that are added.
#[track_caller]
fn mail(maildir: &Path) -> Vec<(String, BString)> {
    let parse = |message: Message| {
        let bytes = &message.bytes[..];
        let fields = || {
            let rest = bytes.strip_prefix(b"Return-Path: <")?;
            let rest = &rest[rest.iter().position(|&b| b == b'\n')? + 1..];
            let rest = rest.strip_prefix(b"Delivered-To: ")?;
            let end = rest.iter().position(|&b| b == b'\n')?;
            // The fields have the line ends of the message.
            let to = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            Some((String::from_utf8_lossy(to).into_owned(), BString::from(&rest[end + 1..])))
        };
        fields().unwrap_or_else(|| panic!("{:?}: {}", message.path, bytes.escape_ascii()))
    };
    messages(maildir).into_iter().map(parse).collect()
}
