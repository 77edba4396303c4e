//! Files and directories that mail programs and mailferry keep next to mail, by name.

use super::renames;
use crate::mailbox::manifest;

const FILES: [&str; 26] = [
    "maildirsize",
    "maildirfolder",
    "table_of_contents",
    "Info.plist",
    ".DS_Store",
    ".mh_sequences",
    ".mh_profile",
    ".mxindex",
    ".mixmeta",
    ".mixindex",
    ".mixstatus",
    "dovecot-keywords",
    "dovecot.sieve",
    "mailferry.counting",
    manifest::FILE_NAME,
    renames::FILE_NAME,
    "msgFilterRules.dat",
    "popstate.dat",
    "foldertree.json",
    ".nomedia",
    "subscriptions",
    "sieve",
    "mailfilter",
    "keywords",
    "msgid.cache",
    "loginexec",
];
const SUFFIXES: [&str; 9] = [
    ".emlxpart",
    ".msf",
    ".lock",
    ".cmeta",
    ".ev-summary",
    ".ev-summary-meta",
    ".ibex.index",
    ".ibex.index.data",
    ".ovw",
];
/// The beginnings of names. Folders may be called `dovecot-users` or `cyrus.info`.
const PREFIXES: [&str; 23] = [
    "dovecot.index",
    "dovecot.list.index",
    "dovecot.map.index",
    "dovecot.mailbox.log",
    "dovecot.auto",
    "dovecot-uidlist",
    "dovecot-uidvalidity",
    "dovecot-attributes",
    "dovecot-acl",
    "dovecot-shared",
    "dovecot-expunges.log",
    "courierimap",
    "courierpop3d",
    "maildirshared",
    "shared-folders",
    "shared-timestamp",
    "sqwebmail",
    "quotawarn",
    "cyrus.header",
    "cyrus.index",
    "cyrus.cache",
    "cyrus.annotations",
    "cyrus.squat",
];
/// The ends of names that begin with a dot: KMail kept `.name.index` next to the mbox or Maildir `name`.
const DOT_SUFFIXES: [&str; 3] = [".index", ".index.ids", ".index.sorted"];
/// Directories in a Maildir; elsewhere a user may have given a folder such a name.
const MAILDIR_DIRECTORIES: [&str; 2] = ["courierimapkeywords", "courierimaphieracl"];

/// Reports whether a file of this name belongs to a program. A user may have mail under such a name: its content decides.
pub(crate) fn is_own_file(name: &[u8]) -> bool {
    FILES.iter().any(|n| name == n.as_bytes())
        || SUFFIXES.iter().any(|end| name.ends_with(end.as_bytes()))
        || PREFIXES.iter().any(|begin| name.starts_with(begin.as_bytes()))
        || (name.starts_with(b".") && DOT_SUFFIXES.iter().any(|end| name.ends_with(end.as_bytes())))
}

/// Reports whether a directory of this name belongs to a program.
pub(crate) fn is_own_directory(name: &[u8], in_maildir: bool) -> bool {
    // In a Maildir the name of a folder begins with a dot, and that of its stage with another one.
    let stage: &[u8] = if in_maildir { b".." } else { b"." };
    let is_stage = name.starts_with(stage) && name.ends_with(b".mailferry-partial");
    is_stage || name == b".imap" || in_maildir && MAILDIR_DIRECTORIES.iter().any(|n| name == n.as_bytes())
}
