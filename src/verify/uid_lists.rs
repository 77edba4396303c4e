//! The lists of UIDs in a Maildir: lines that make a server drop the list, and lines that it repairs.

use std::path::Path;

use crate::mailbox::fs::Dir;
use crate::mailbox::maildir::uids::{FILE_NAMES, UidList, UidListProblem, pending};
use crate::mailbox::text::plural;
use crate::mailbox::{Code, Finding, Result};

/// Checks the lists of a Maildir or of one of its folders. An entry without a file is not a fault: servers keep those of
/// expunged messages.
pub(super) fn check(folder: &Path) -> Result<Vec<Finding>> {
    let root = Dir::open(folder)?;
    let mut findings = Vec::new();
    for name in FILE_NAMES {
        let text = match pending::read(&root, name) {
            Ok(Some(text)) if !text.is_empty() => text,
            // An empty list says nothing: the server begins it.
            Ok(_) => continue,
            Err(error) => {
                findings.push(Finding::from(&error));
                continue;
            }
        };
        let message = match UidList::parse(&text) {
            Err(UidListProblem { line, reason }) => {
                format!("line {line} {reason}: a server drops the list, and clients download all mail again")
            }
            Ok(parsed) => match &parsed.problems[..] {
                [] => continue,
                [UidListProblem { line, reason }, rest @ ..] => {
                    let rest = match rest.len() as u64 {
                        0 => String::new(),
                        more => format!(", and {} more", plural(more, "line")),
                    };
                    format!("line {line}: {reason}{rest}")
                }
            },
        };
        findings.push(Finding::new(Code::UidListDamaged, message).in_file(folder.join(name)));
    }
    Ok(findings)
}
