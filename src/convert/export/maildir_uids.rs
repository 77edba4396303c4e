//! The UIDs of a Maildir that becomes an mbox.

use crate::mailbox::maildir::uids::UidList;
use crate::mailbox::mbox::write::UidFields;

/// The UIDs of a Maildir.
#[derive(Debug, Clone, Copy)]
pub(super) struct MaildirUids {
    pub(super) validity: u32,
    pub(super) next: u32,
    /// Entries with a POP3 UIDL that no server makes of the UID.
    pub(super) uidls: u64,
}

/// The treatment of the UIDs in the headers of one source.
#[derive(Debug)]
pub(super) enum UidEdit {
    Keep,
    Remove,
    /// Each message gets its own, and the first one X-IMAPbase.
    Set(String),
}

impl MaildirUids {
    pub(super) fn of(list: &UidList) -> MaildirUids {
        let UidList { validity, next, .. } = *list;
        let is_lost = |uid: u32, uidl: &[u8]| {
            let (dovecot, uw) = (format!("{uid:08x}{validity:08x}"), format!("{validity:08x}{uid:08x}"));
            uidl != dovecot.as_bytes() && uidl != uw.as_bytes()
        };
        let uidls = list.entries.iter().filter_map(|entry| Some((entry.uid, entry.field(b'P')?)));
        MaildirUids { validity, next, uidls: uidls.filter(|(uid, uidl)| is_lost(*uid, uidl)).count() as u64 }
    }
}

impl UidEdit {
    /// Returns the fields of a message.
    pub(super) fn fields(&self, is_first: bool, uid: u32) -> UidFields<'_> {
        match self {
            UidEdit::Keep => UidFields::Keep,
            UidEdit::Remove => UidFields::Set { base: None, uid: None },
            UidEdit::Set(base) => UidFields::Set {
                base: Some(&**base).filter(|_| is_first),
                uid: Some(uid).filter(|&uid| uid > 0),
            },
        }
    }
}
