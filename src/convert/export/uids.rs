//! The UIDs that an mbox gets: those of its first source, as Dovecot and UW-IMAP keep them in the header.

use super::maildir_uids::{MaildirUids, UidEdit};
use super::options::{ExportOptions, OutputMode};
use super::ready_source::ReadySource;
use crate::convert::planned::Disposition;
use crate::convert::{PlannedMessage, Report, SourceUids, UidCounts, UidPolicy, renumbered_finding};
use crate::mailbox::fs::files;
use crate::mailbox::maildir::KeywordTable;
use crate::mailbox::maildir::keywords::{self, MAX_KEYWORDS};
use crate::mailbox::message::uids::UidOrigin;
use crate::mailbox::text::grouped_plural;
use crate::mailbox::{Code, Finding, Result};

/// The UIDs of an export.
#[derive(Debug, Default)]
pub(super) struct ExportUids {
    pub(super) counts: UidCounts,
    pub(super) findings: Vec<Finding>,
    has_base: bool,
}

impl ExportUids {
    /// Decides which source gives the mbox its UIDs.
    ///
    /// # Errors
    /// [`Error::UidsNotKept`](crate::mailbox::Error::UidsNotKept) if messages of another source have UIDs, and the
    /// options require them.
    pub(super) fn plan(
        sources: &mut [ReadySource<'_>],
        reports: &mut [Report],
        options: &ExportOptions<'_>,
    ) -> Result<ExportUids> {
        let mut uids = ExportUids::default();
        if options.uids == UidPolicy::New {
            return Ok(uids);
        }
        if matches!(options.output, OutputMode::Files) {
            let messages = sources.iter().map(|source| count_messages(source, UidOrigin::Kept)).sum();
            uids.lose(messages, "without the UIDs of the source: .eml files have none", options)?;
            return Ok(uids);
        }
        let appends = match options.output {
            OutputMode::Continue => true,
            OutputMode::Append => files::symlink_metadata(options.destination).is_ok(),
            _ => false,
        };
        let (mut others, mut uidls) = (0, 0);
        for (n, (source, report)) in sources.iter_mut().zip(reports).enumerate() {
            let is_first = n == 0 && !appends && options.split.is_none();
            let messages = count_messages(source, UidOrigin::Kept);
            uids.counts.changed += count_messages(source, UidOrigin::Renumbered);
            match source {
                ReadySource::Maildir(maildir) => {
                    uidls += maildir.uids.map_or(0, |uids| uids.uidls);
                    maildir.uid_edit = match maildir.uids {
                        Some(MaildirUids { validity, next, .. }) if is_first => {
                            uids.has_base = !maildir.messages.is_empty();
                            UidEdit::Set(uid_base(validity, next, &maildir.keywords))
                        }
                        None if is_first => UidEdit::Keep,
                        _ => UidEdit::Remove,
                    };
                }
                ReadySource::Mbox { mbox, plan, uid_edit, .. } => {
                    if let Some(loss) = renumbered_finding(plan, mbox) {
                        options.uids.refuse(&loss, &report.path)?;
                        report.findings.push(loss);
                    }
                    // The first message may be the pseudo message, or not be selected. Its keywords go with its UIDs.
                    let has_lost_base = is_first && plan.first_written() != Some(0);
                    *uid_edit = match plan.uids.as_ref().filter(|_| has_lost_base) {
                        Some(SourceUids { validity, next, .. }) => {
                            uids.has_base = messages > 0;
                            let words = mbox.uid_base_words();
                            UidEdit::Set(format!("{validity} {:010}{words}", next.saturating_sub(1)))
                        }
                        None if n == 0 && !appends => UidEdit::Keep,
                        // Servers would take them for UIDs of the mbox, which may be those of expunged messages.
                        None => UidEdit::Remove,
                    };
                }
            }
            match is_first {
                true => uids.counts.kept += messages,
                false => others += messages,
            }
        }
        uids.counts.changed += others;
        let why = match () {
            () if options.split.is_some() => "the mailbox is split",
            () if appends => "the mbox has its own",
            () => "the mbox has those of the first source",
        };
        uids.lose(others, &format!("without the UIDs of the source: {why}"), options)?;
        uids.lose(uidls, "with POP3 UIDLs of their own, which an mbox cannot keep", options)?;
        Ok(uids)
    }

    /// Checks that the message with X-IMAPbase was written.
    pub(super) fn check_base(&mut self, is_written: bool, options: &ExportOptions<'_>) -> Result<()> {
        if !self.has_base || is_written {
            return Ok(());
        }
        let UidCounts { kept, changed } = self.counts;
        self.counts = UidCounts { kept: 0, changed: changed + kept };
        self.lose(kept, "without the UIDs of the source: the first message was not written", options)
    }

    fn lose(&mut self, messages: u64, why: &str, options: &ExportOptions<'_>) -> Result<()> {
        if messages == 0 {
            return Ok(());
        }
        let text = format!("{} {why}", grouped_plural(messages, "message"));
        let loss = Finding::new(Code::UidsNotKept, text).in_file(options.destination);
        options.uids.refuse(&loss, options.destination)?;
        self.findings.push(loss);
        Ok(())
    }
}

/// Counts the messages of a source that are written and have UIDs of this origin.
fn count_messages(source: &ReadySource<'_>, origin: UidOrigin) -> u64 {
    match source {
        ReadySource::Maildir(maildir) if origin == UidOrigin::Kept => {
            maildir.messages.iter().filter(|message| message.uid > 0).count() as u64
        }
        ReadySource::Mbox { plan, .. } => {
            let is_written = |message: &&PlannedMessage| message.disposition == Disposition::Write;
            let messages = plan.messages.iter().filter(is_written);
            messages.filter(|message| message.uid_origin == origin).count() as u64
        }
        ReadySource::Maildir(_) => 0,
    }
}

/// Returns the value of X-IMAPbase. Dovecot removes keywords of messages that it does not list.
fn uid_base(validity: u32, next: u32, table: &KeywordTable) -> String {
    let mut base = format!("{validity} {:010}", next.saturating_sub(1));
    for keyword in (0..MAX_KEYWORDS).filter_map(|number| table.name(number)) {
        base.push(' ');
        base.push_str(&keywords::atom(keyword));
    }
    base
}
