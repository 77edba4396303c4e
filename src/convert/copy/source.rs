//! The Maildir that is copied.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::convert::UidPolicy;
use crate::mailbox::fs::Dir;
use crate::mailbox::maildir::uids::FILE_NAMES;
use crate::mailbox::maildir::uids::courier::SIZE_LIST_NAME;
use crate::mailbox::maildir::{Entry, MaildirReader};
use crate::mailbox::{Code, Finding, Result, escape};

/// The Maildir that is copied.
pub(super) struct SourceMaildir {
    pub(super) files: MaildirReader,
    pub(super) entries: Vec<Entry>,
}

impl SourceMaildir {
    pub(super) fn open(path: &Path, now: i64) -> Result<SourceMaildir> {
        let files = MaildirReader::open(path, now)?;
        let entries = files.list()?.messages;
        Ok(SourceMaildir { files, entries })
    }
}

/// Returns the findings about files of an IMAP server that are not copied.
pub(super) fn server_findings(source: &Path, uids: UidPolicy) -> Result<Vec<Finding>> {
    const INDEXES: [&[u8]; 4] = [b"dovecot-uid", b"dovecot.", b"courierimapuid", b"courierpop3dsizelist"];
    const ACLS: [&[u8]; 2] = [b"dovecot-acl", b"courierimapacl"];
    let mut names = Dir::open(source)?.names()?;
    names.sort();
    let is_list = |name: &OsString| FILE_NAMES.iter().any(|list| name == list) || name == SIZE_LIST_NAME;
    names.retain(|name| uids == UidPolicy::New || !is_list(name));
    let find = |code, prefixes: &[&[u8]], why: &str| {
        let found =
            names.iter().filter(|name| prefixes.iter().any(|prefix| name.as_bytes().starts_with(prefix)));
        let found: Vec<String> = found.map(|name| escape(name.as_bytes())).collect();
        (!found.is_empty()).then(|| Finding::new(code, format!("not copied, {why}: {}", found.join(", "))))
    };
    let indexes = find(Code::IndexesLeft, &INDEXES, "for a server makes them anew");
    let acls = find(Code::AclsLeft, &ACLS, "with the rights of other users");
    Ok(indexes.into_iter().chain(acls).collect())
}
