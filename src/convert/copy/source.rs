//! The Maildir that is copied.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::convert::UidPolicy;
use crate::mailbox::fs::Dir;
use crate::mailbox::maildir::uids::FILE_NAMES;
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

/// Returns the finding about files of an IMAP server that are not copied.
pub(super) fn index_finding(source: &Path, uids: UidPolicy) -> Result<Option<Finding>> {
    const PREFIXES: [&[u8]; 4] = [b"dovecot-uid", b"dovecot.", b"courierimapuid", b"courierpop3dsizelist"];
    let mut names = Dir::open(source)?.names()?;
    let is_list = |name: &OsString| FILE_NAMES.iter().any(|list| name == list);
    names.retain(|name| PREFIXES.iter().any(|prefix| name.as_bytes().starts_with(prefix)));
    names.retain(|name| uids == UidPolicy::New || !is_list(name));
    names.sort();
    let names: Vec<String> = names.iter().map(|name| escape(name.as_bytes())).collect();
    Ok((!names.is_empty()).then(|| {
        let text = format!("not copied, because a server creates its own: {}", names.join(", "));
        Finding::new(Code::IndexesLeft, text)
    }))
}
