//! The list of UIDs of a Maildir that is converted.

use std::path::Path;

use super::UidPolicy;
use super::uid_lists::damaged_list_finding;
use crate::mailbox::fs::Dir;
use crate::mailbox::maildir::uids::{COURIER_NAME, LIST_NAME, UidList, courier, pending};
use crate::mailbox::{Finding, Result};

/// The list of a Maildir that is converted.
#[derive(Debug, Default)]
pub(crate) struct SourceList {
    pub(crate) list: Option<UidList>,
    /// Lists that no server would read.
    pub(crate) findings: Vec<Finding>,
}

impl SourceList {
    /// Reads the list of Dovecot, or else that of Courier. Neither reads that of the other.
    ///
    /// # Errors
    /// [`Error::UidsNotKept`](crate::mailbox::Error::UidsNotKept) if a server would drop a list, and `policy` requires
    /// the UIDs.
    pub(crate) fn read(source: &Path, policy: UidPolicy) -> Result<SourceList> {
        let mut found = SourceList::default();
        if policy == UidPolicy::New {
            return Ok(found);
        }
        let root = Dir::open(source)?;
        for name in [LIST_NAME, COURIER_NAME] {
            let Some(text) = pending::read(&root, name)?.filter(|text| !text.is_empty()) else { continue };
            match UidList::parse(&text) {
                Ok(parsed) => {
                    let mut list = parsed.list;
                    if name == COURIER_NAME {
                        add_uidls(&root, &mut list)?;
                    }
                    found.list = Some(list);
                    break;
                }
                Err(problem) => {
                    let finding = damaged_list_finding(&source.join(name), &problem);
                    policy.refuse(&finding, source)?;
                    found.findings.push(finding);
                }
            }
        }
        Ok(found)
    }
}

/// Adds the UIDLs of Courier's POP3 server, which no other server makes of the UIDs.
fn add_uidls(root: &Dir, list: &mut UidList) -> Result<()> {
    let Some(text) = pending::read(root, courier::SIZE_LIST_NAME)? else { return Ok(()) };
    let uidls = courier::parse_uidls(&text);
    for entry in &mut list.entries {
        if let Some(uidl) = uidls.get(&*entry.name) {
            entry.add_field(b'P', uidl.as_bytes());
        }
    }
    Ok(())
}
