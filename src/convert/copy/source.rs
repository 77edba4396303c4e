//! The Maildir that is copied.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::mailbox::fs::Dir;
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

/// Returns the finding about files of an IMAP server, which are not copied. Its list of UIDs refers to its own
/// index.
pub(super) fn index_finding(source: &Path) -> Result<Option<Finding>> {
    const PREFIXES: [&[u8]; 4] = [b"dovecot-uid", b"dovecot.", b"courierimapuid", b"courierpop3dsizelist"];
    let mut names = Dir::open(source)?.names()?;
    names.retain(|name| PREFIXES.iter().any(|prefix| name.as_bytes().starts_with(prefix)));
    names.sort();
    let names: Vec<String> = names.iter().map(|name| escape(name.as_bytes())).collect();
    Ok((!names.is_empty()).then(|| {
        let text = format!("not copied, for a server makes them anew: {}", names.join(", "));
        Finding::new(Code::IndexesLeft, text)
    }))
}
