//! The list of the mailboxes in a directory.

use std::borrow::Cow;
use std::path::Path;

use serde_json::json;

use super::inspection::{Inspection, Shown};
use crate::cli::mailbox_arg::{Format, MailboxArg};
use crate::cli::ui::table::{Column, Table};
use crate::cli::ui::{Exit, Reporter};
use crate::inspect;
use crate::mailbox::fs::files;
use crate::mailbox::mbox::{Mbox, ReadOptions};
use crate::mailbox::text::{grouped, grouped_plural};
use crate::mailbox::tree::{MailboxKind, TreeMailbox};
use crate::mailbox::{Error, Result, display_path, member_path};

/// A mailbox and what is in it.
struct MailboxRow {
    path: String,
    folder: String,
    format: String,
    messages: u64,
    bytes: u64,
}

impl Inspection<'_> {
    /// Lists the mailboxes with their counts.
    pub(super) fn tree(&self, reporter: &mut Reporter) -> Result<Shown> {
        let root = &self.mailbox.path;
        let (mailboxes, mut unfinished) = self.mailboxes(reporter)?;
        let mut rows = Vec::new();
        for mailbox in &mailboxes {
            match self.count(mailbox, root) {
                Ok(row) => rows.push(row),
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => {
                    unfinished.get_or_insert(Exit::of(&error));
                    reporter.error(&error);
                }
            }
        }
        self.watcher.finish();
        let messages = rows.iter().map(|row| row.messages).sum();
        let bytes = rows.iter().map(|row| row.bytes).sum();
        show(&rows, reporter);
        if !reporter.is_json() && !self.args.common.quiet {
            let (messages, bytes) = (grouped_plural(messages, "message"), grouped_plural(bytes, "byte"));
            let count = rows.len() as u64;
            let mailboxes =
                if count == 1 { "1 mailbox".into() } else { format!("{} mailboxes", grouped(count)) };
            reporter.note(&format!("{}: {mailboxes}, {messages}, {bytes}", display_path(root)));
        }
        let keys = json!({ "mailboxes": rows.len(), "bytes": bytes });
        Ok(Shown { messages, keys, unfinished })
    }

    fn count(&self, mailbox: &TreeMailbox, root: &Path) -> Result<MailboxRow> {
        let TreeMailbox { path, folder, kind } = mailbox;
        self.context.cancel.check()?;
        let (format, messages, bytes) = match kind {
            MailboxKind::Mbox => {
                let source =
                    self.opener.open(&MailboxArg { format: Some(Format::Mbox), path: path.clone() })?;
                let mbox = Mbox::read(&source, &ReadOptions::default(), self.context)?;
                let messages = mbox.messages().len() - usize::from(mbox.pseudo_message().is_some());
                (mbox.variant.to_string(), messages as u64, source.raw().len() as u64)
            }
            MailboxKind::Maildir => {
                let sizes = inspect::maildir_sizes(path, self.context)?;
                ("maildir".to_owned(), sizes.len() as u64, sizes.iter().sum())
            }
            MailboxKind::Messages(messages) => {
                let sizes = messages.iter().map(|file| files::size(file));
                ("messages".to_owned(), messages.len() as u64, sizes.sum())
            }
        };
        let root =
            if files::is_dir(root) { Cow::Borrowed(root) } else { Cow::Owned(member_path::root_of(root)) };
        let relative = path.strip_prefix(&root).ok().filter(|path| !path.as_os_str().is_empty());
        let path = display_path(relative.unwrap_or(path));
        Ok(MailboxRow { path, folder: folder.to_string(), format, messages, bytes })
    }
}

fn show(rows: &[MailboxRow], reporter: &mut Reporter) {
    let Some(width) = reporter.table_width() else {
        for MailboxRow { path, folder, format, messages, bytes } in rows {
            reporter.line(&format!("{path}\t{folder}\t{format}\t{messages}\t{bytes}"));
            reporter.object(&json!({
                "type": "mailbox",
                "path": path,
                "folder": folder,
                "format": format,
                "messages": messages,
                "bytes": bytes,
            }));
        }
        return;
    };
    let header = ["folder", "messages", "bytes", "format", "from"].map(str::to_owned).to_vec();
    let cells = rows.iter().map(|row| {
        let (messages, bytes) = (grouped(row.messages), grouped(row.bytes));
        vec![row.folder.clone(), messages, bytes, row.format.clone(), row.path.clone()]
    });
    let columns = vec![Column::Text, Column::Number, Column::Number, Column::Text, Column::Text];
    let table = Table { columns, rows: std::iter::once(header).chain(cells).collect() };
    table.lines(Some(width)).iter().for_each(|line| reporter.line(line));
}
