//! The UIDs that IMAP and POP3 servers give the messages of a Maildir, in the lists of Dovecot and Courier.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

pub(crate) mod courier;
mod list;
pub(crate) mod pending;

/// Dovecot's list in a Maildir and in each of its folders.
pub(crate) const LIST_NAME: &str = "dovecot-uidlist";
/// Courier's list.
pub(crate) const COURIER_NAME: &str = "courierimapuiddb";
/// The end of the name in tmp/ while a list is written.
pub(crate) const PARTIAL_SUFFIX: &str = ".mailferry-partial";

/// The lists that mailferry writes.
pub(crate) const FILE_NAMES: [&str; 2] = [LIST_NAME, COURIER_NAME];

/// Reports whether a file in tmp/ is a list that a killed run was writing.
pub(crate) fn is_partial(name: &OsStr) -> bool {
    let list = name.as_bytes().strip_suffix(PARTIAL_SUFFIX.as_bytes());
    list.is_some_and(|list| FILE_NAMES.iter().any(|name| name.as_bytes() == list))
}

/// The UIDs of a Maildir.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct UidList {
    pub validity: u32,
    /// UIDNEXT: above all UIDs.
    pub next: u32,
    /// The fields of the header other than these two, as Dovecot writes them: `G<32 hex digits> P<format>`.
    pub fields: Vec<u8>,
    /// By UID.
    pub entries: Vec<UidEntry>,
}

/// A message in a list of UIDs. It may have no file any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UidEntry {
    pub uid: u32,
    /// Fields as Dovecot writes them: `P<UIDL> O<order> G<GUID>`, and others.
    pub fields: Box<[u8]>,
    /// The base name.
    pub name: Box<[u8]>,
}

/// A list as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ParsedUidList {
    pub list: UidList,
    /// Faults that a server ignores or repairs.
    pub problems: Vec<UidListProblem>,
}

/// A list to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UidListChange {
    pub name: &'static str,
    /// The list that it replaces; None if there is none.
    pub before: Option<Vec<u8>>,
    pub after: Vec<u8>,
}

/// A line of a list that no server writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UidListProblem {
    /// From 1.
    pub line: u64,
    pub reason: String,
}
