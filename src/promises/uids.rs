//! Properties of UIDs.

use crate::mailbox::maildir::uids::{UidList, courier};
use crate::mailbox::message::uids::{UidBase, parse_uid};

/// A list that is read is written so that it is read the same, without problems. Its UIDs rise, and the next is free.
pub fn uid_list(text: &[u8]) {
    courier::parse_uidls(text);
    UidBase::parse(text);
    parse_uid(text);
    let Ok(parsed) = UidList::parse(text) else { return };
    let list = &parsed.list;
    assert!(list.entries.windows(2).all(|pair| pair[0].uid < pair[1].uid));
    assert!(list.entries.iter().all(|entry| 0 < entry.uid && entry.uid < list.next));
    let again = UidList::parse(&list.to_dovecot()).expect("it was written by mailferry");
    assert_eq!((&again.list, again.problems.len()), (list, 0));
}
