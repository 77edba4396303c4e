//! The flags of a message in a Maildir: those of its name, or of its header in a store of Thunderbird.

use std::path::Path;

use super::{Entry, Subdir};
use crate::mailbox::Finding;
use crate::mailbox::message::{DeletedPolicy, LabelPolicy, Status, StatusFields, StatusProblems, header};

impl Entry {
    /// Returns the flags of a message with this header.
    pub(crate) fn status(&self, header: &[u8]) -> Status {
        match self.status_fields(header) {
            Some(fields) => Status { old: true, ..fields.status(DeletedPolicy::Flag) },
            None => Status { flags: self.parsed().flags(), old: self.subdir == Subdir::Cur },
        }
    }

    /// Returns the flags and keywords in the header of a message that Thunderbird stored; `None` if its flags are in its
    /// name. nsMsgMaildirStore writes X-Mozilla-Status into the file, and a name without info into cur/. Messages in new/
    /// may have the field from their sender.
    pub(crate) fn status_fields(&self, header: &[u8]) -> Option<StatusFields> {
        if !self.may_have_status_fields() {
            return None;
        }
        let (mut status, mut is_thunderbirds) = (StatusFields::default(), false);
        for field in header::fields(header) {
            is_thunderbirds |= field.is("X-Mozilla-Status");
            if field.is("X-Mozilla-Status") || field.is("X-Mozilla-Status2") || field.is("X-Mozilla-Keys") {
                status.add(&field, LabelPolicy::Ignore);
            }
        }
        is_thunderbirds.then_some(status)
    }

    /// Returns the findings about the flags in the header of a message at this path.
    pub(crate) fn status_findings(fields: &StatusFields, path: &Path) -> Vec<Finding> {
        let mut problems = StatusProblems::default();
        problems.add(0, fields);
        let in_file = |finding| Finding { offset: None, ..finding }.in_file(path);
        problems.findings().into_iter().map(in_file).collect()
    }

    /// Reports whether the flags can be in the header.
    pub(crate) fn may_have_status_fields(&self) -> bool {
        self.subdir == Subdir::Cur && self.parsed().info.is_none()
    }
}
