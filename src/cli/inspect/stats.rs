//! `inspect --stats`.

use serde_json::{Value, json};

use super::inspection::{Inspection, Shown};
use crate::cli::mailbox_arg::{Format, MailboxArg};
use crate::cli::ui::table::{Column, Table};
use crate::cli::ui::{Exit, Reporter};
use crate::inspect::{self, GroupBy, MailStats, MessageGroup, MessageRow};
use crate::mailbox::mbox::{Mbox, ReadOptions, Variant};
use crate::mailbox::text::grouped;
use crate::mailbox::tree::{MailboxKind, TreeMailbox};
use crate::mailbox::{Error, Result};

impl Inspection<'_> {
    /// Counts the messages of the mailbox, or of all in the directory.
    pub(super) fn stats(&self, reporter: &mut Reporter) -> Result<Shown> {
        let by = self.args.by.unwrap_or(GroupBy::Year);
        let (mailboxes, mut unfinished) = self.mailboxes(reporter)?;
        let mut stats = MailStats::new(by);
        for mailbox in &mailboxes {
            match self.add(mailbox, by, &mut stats, reporter) {
                Ok(()) => {}
                Err(error) if mailboxes.len() == 1 || matches!(error, Error::Interrupted) => {
                    return Err(error);
                }
                Err(error) => {
                    unfinished.get_or_insert(Exit::of(&error));
                    reporter.error(&error);
                }
            }
        }
        self.watcher.finish();
        let total = stats.total();
        show(&stats.groups(self.args.top), &total, by, reporter);
        let mut keys = json!({ "mailboxes": mailboxes.len(), "by": by.name() });
        add_counts(&mut keys, &total);
        Ok(Shown { messages: total.messages, keys, unfinished })
    }

    fn add(
        &self,
        mailbox: &TreeMailbox,
        by: GroupBy,
        stats: &mut MailStats,
        reporter: &mut Reporter,
    ) -> Result<()> {
        let TreeMailbox { path, folder, kind } = mailbox;
        let folder = folder.to_string();
        if by == GroupBy::Folder {
            // An empty folder has a row, too.
            stats.group(folder.clone());
        }
        let mut add = |row: &MessageRow| {
            if !row.is_pseudo {
                stats.group(by.key(&folder, row)).count(row);
            }
        };
        let mut add_mbox = |mailbox: &MailboxArg| {
            let source = self.opener.open(mailbox)?;
            let options = ReadOptions { variant: mailbox.variant(), ..ReadOptions::default() };
            let mbox = Mbox::read(&source, &options, self.context)?;
            let count = |rows: Vec<MessageRow>| rows.iter().for_each(&mut add);
            inspect::list_mbox(&source, &mbox, self.context, |row| row, count)?;
            source.check_unchanged()
        };
        match kind {
            MailboxKind::Mbox if *path == self.mailbox.path => add_mbox(&self.mailbox),
            MailboxKind::Mbox => add_mbox(&MailboxArg { format: Some(Format::Mbox), path: path.clone() }),
            MailboxKind::Messages(files) => files.iter().try_for_each(|path| {
                add_mbox(&MailboxArg { format: Some(Format::Variant(Variant::Rfc822)), path: path.clone() })
            }),
            MailboxKind::Maildir => {
                let (rows, findings) = inspect::list_maildir(path, self.context)?;
                rows.iter().for_each(add);
                reporter.findings(path, &findings);
                Ok(())
            }
        }
    }
}

fn show(groups: &[(&str, &MessageGroup)], total: &MessageGroup, by: GroupBy, reporter: &mut Reporter) {
    if reporter.is_json() {
        for (key, group) in groups {
            let mut object = json!({ "type": "group", "by": by.name(), "key": key });
            add_counts(&mut object, group);
            object["messages"] = json!(group.messages);
            reporter.object(&object);
        }
        return;
    }
    let Some(width) = reporter.table_width() else {
        for (key, group) in groups {
            let MessageGroup { messages, bytes, unread, flagged, deleted, .. } = group;
            let [first, last] = days(group);
            reporter.line(&format!(
                "{key}\t{messages}\t{bytes}\t{unread}\t{flagged}\t{deleted}\t{first}\t{last}"
            ));
        }
        return;
    };
    let row = |name: &str, group: &MessageGroup| {
        let counts = [group.messages, group.bytes, group.unread, group.flagged, group.deleted].map(grouped);
        [vec![name.to_owned()], counts.to_vec(), days(group).to_vec()].concat()
    };
    let header = [by.name(), "messages", "bytes", "unread", "flagged", "deleted", "first", "last"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(groups.iter().map(|(key, group)| row(key, group)));
    rows.push(row("total", total));
    // Few mailboxes have flagged and deleted messages, and the names of folders need the space.
    let is_shown = [true, true, true, true, total.flagged > 0, total.deleted > 0, true, true];
    for row in &mut rows {
        let mut shown = is_shown.iter();
        row.retain(|_| shown.next() == Some(&true));
    }
    let mut columns = vec![Column::Text];
    columns.resize(rows[0].len(), Column::Number);
    Table { columns, rows }.lines(Some(width)).iter().for_each(|line| reporter.line(line));
}

/// Returns the days of the first and the last message; empty without dates.
fn days(group: &MessageGroup) -> [String; 2] {
    let day = |epoch| jiff::Timestamp::from_second(epoch).map(|date| date.strftime("%Y-%m-%d").to_string());
    let dates = group.dates.map(|(first, last)| [first, last]);
    dates.map(|dates| dates.map(|epoch| day(epoch).unwrap_or_default())).unwrap_or_default()
}

fn add_counts(object: &mut Value, group: &MessageGroup) {
    let [first, last] = days(group);
    let counts = [
        ("bytes", group.bytes),
        ("unread", group.unread),
        ("flagged", group.flagged),
        ("deleted", group.deleted),
    ];
    counts.into_iter().for_each(|(key, count)| object[key] = json!(count));
    let day = |day: String| if day.is_empty() { Value::Null } else { day.into() };
    object["first"] = day(first);
    object["last"] = day(last);
}
