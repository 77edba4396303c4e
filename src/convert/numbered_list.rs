//! A list of UIDs that grows by the messages of one source after another.

use std::collections::HashMap;

use super::SourceUids;
use crate::mailbox::maildir::uids::{UidEntry, UidList};
use crate::mailbox::message::uids::{UidOrigin, UidSequence};

/// A message that a list gets.
#[derive(Debug, Default)]
pub(crate) struct NumberedMessage {
    /// The base name in the destination.
    pub(crate) name: Vec<u8>,
    /// The UID in the source; 0 for none.
    pub(crate) uid: u32,
    pub(crate) origin: UidOrigin,
    /// The fields in Dovecot's list.
    pub(crate) fields: Box<[u8]>,
    /// This run writes it.
    pub(crate) is_written: bool,
}

/// A list, with the messages that this run adds.
#[derive(Debug)]
pub(super) struct NumberedList {
    /// The names of its files, as far as they exist.
    pub(super) files: Vec<&'static str>,
    pub(super) list: UidList,
    /// The UIDs by name.
    listed: HashMap<Box<[u8]>, u32>,
    sequence: UidSequence,
}

impl NumberedList {
    /// Begins a list with the UIDs of a source.
    pub(super) fn new(source: &SourceUids) -> NumberedList {
        let SourceUids { validity, fields, .. } = source.clone();
        NumberedList {
            files: Vec::new(),
            list: UidList { validity, next: 1, fields, entries: Vec::new() },
            listed: HashMap::new(),
            sequence: UidSequence::new(1, 0),
        }
    }

    /// Continues a list that exists.
    pub(super) fn extend(file: &'static str, list: UidList) -> NumberedList {
        NumberedList {
            files: vec![file],
            listed: list.entries.iter().map(|entry| (entry.name.clone(), entry.uid)).collect(),
            sequence: UidSequence::new(list.next, 0),
            list,
        }
    }

    /// Reports whether another list gives the same UIDs to the same messages.
    pub(super) fn has_uids_of(&self, other: &UidList) -> bool {
        let uids = |list: &UidList| (list.validity, list.next, list.entries.len());
        let mut pairs = self.list.entries.iter().zip(&other.entries);
        uids(&self.list) == uids(other) && pairs.all(|(a, b)| (a.uid, &a.name) == (b.uid, &b.name))
    }

    /// Begins the messages of a source. No UID below UIDNEXT is given: it may be that of an expunged message, and Dovecot
    /// gives a message another UID if it appears with one below the UIDNEXT that clients have seen.
    pub(super) fn begin_source(&mut self, source: Option<&SourceUids>) {
        let own = source.filter(|source| source.validity == self.list.validity);
        let last = own.map_or(0, |source| source.next.saturating_sub(1));
        self.sequence = UidSequence::new(self.list.next, last);
    }

    /// Ends the messages of a source.
    pub(super) fn end_source(&mut self) {
        self.list.next = self.list.next.max(self.sequence.next());
    }

    /// Numbers a message, unless it is in the list. Returns whether it has the UID of the source; None if no UID is left.
    pub(super) fn add(&mut self, source: Option<&SourceUids>, message: &NumberedMessage) -> Option<bool> {
        let NumberedMessage { ref name, uid, origin, ref fields, .. } = *message;
        let own = source.filter(|source| source.validity == self.list.validity);
        let wanted = own.map(|_| uid).filter(|&uid| uid > 0);
        if let Some(&listed) = self.listed.get(&**name) {
            return Some(wanted == Some(listed));
        }
        let new = self.sequence.take(wanted)?;
        if !name.is_empty() {
            self.listed.insert(name.as_slice().into(), new);
        }
        let mut entry = UidEntry { uid: new, fields: fields.clone(), name: name.as_slice().into() };
        if let Some(source) = source.filter(|source| source.is_uw && uid > 0) {
            entry.add_field(b'P', format!("{:08x}{uid:08x}", source.validity).as_bytes());
        }
        if let Some(source) = source.filter(|_| origin == UidOrigin::Kept && wanted != Some(new)) {
            // Dovecot's POP3 server would make another UIDL of the new UID.
            entry.add_field(b'P', format!("{uid:08x}{:08x}", source.validity).as_bytes());
        }
        self.list.entries.push(entry);
        Some(wanted == Some(new))
    }
}
