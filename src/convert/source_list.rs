//! The list of UIDs of a Maildir that is converted.

use std::path::Path;

use super::UidPolicy;
use super::uid_lists::damaged_list_finding;
use crate::mailbox::fs::Dir;
use crate::mailbox::maildir::uids::{COURIER_NAME, LIST_NAME, UidList, pending};
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
    pub(crate) fn read(source: &Path, policy: UidPolicy) -> Result<SourceList> {
        let mut found = SourceList::default();
        if policy == UidPolicy::New {
            return Ok(found);
        }
        let root = Dir::open(source)?;
        for name in [LIST_NAME, COURIER_NAME] {
            let Some(text) = pending::read(&root, name)? else { continue };
            match UidList::parse(&text) {
                Ok(parsed) => {
                    found.list = Some(parsed.list);
                    break;
                }
                Err(problem) => found.findings.push(damaged_list_finding(&source.join(name), &problem)),
            }
        }
        Ok(found)
    }
}
