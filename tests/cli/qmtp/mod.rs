//! Sessions with the programs that listen for them.

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
            Some((String::from_utf8_lossy(&rest[..end]).into_owned(), BString::from(&rest[end + 1..])))
        };
        fields().unwrap_or_else(|| panic!("{:?}: {}", message.path, bytes.escape_ascii()))
    };
    messages(maildir).into_iter().map(parse).collect()
}
