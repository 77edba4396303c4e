//! The sources of an import.

use std::path::PathBuf;

use super::run::Run;
use crate::cli::folders::{nothing_read, refuse_empty, skipped_findings};
use crate::cli::mailbox_arg::{Format, MailboxArg};
use crate::convert::{Input, Report};
use crate::mailbox::mbox::Variant;
use crate::mailbox::tree::{MailboxKind, TreeMailbox};
use crate::mailbox::{Error, Result};

impl Run<'_> {
    /// Opens the sources. Those of an archive are its mboxes and messages; `skipped` gets what it has besides.
    pub(super) fn inputs(&self, skipped: &mut Vec<Report>) -> Result<Vec<Input>> {
        let (mut inputs, mut earlier) = (Vec::new(), Vec::new());
        for source in &self.mailboxes.sources {
            if !source.is_archive()? {
                inputs.push(self.args.open(source, self.opener)?);
                continue;
            }
            let mut tree = self.opener.walk_after(&source.path, false, &earlier)?;
            refuse_empty(&mut tree, &source.path)?;
            if let Some(error) = tree.refused.drain(..).next() {
                return Err(error);
            }
            earlier.push(tree.root.clone());
            for TreeMailbox { path, kind, .. } in &tree.mailboxes {
                let open = |variant, path: &PathBuf| {
                    self.args.open(&MailboxArg { format: Some(variant), path: path.clone() }, self.opener)
                };
                match kind {
                    MailboxKind::Mbox => inputs.push(open(Format::Mbox, path)?),
                    MailboxKind::Messages(files) => {
                        for file in files {
                            inputs.push(open(Format::Variant(Variant::Rfc822), file)?);
                        }
                    }
                    MailboxKind::Maildir => {
                        let reason = "is a Maildir, which has folders and no labels; leave out --labels";
                        return Err(Error::unsupported(path, reason));
                    }
                }
            }
            let findings = skipped_findings(&tree).into_iter();
            skipped.extend(findings.map(|(path, finding)| Report::new(&path, vec![finding])));
        }
        if inputs.is_empty() {
            return Err(nothing_read(&self.mailboxes.sources));
        }
        Ok(inputs)
    }
}
