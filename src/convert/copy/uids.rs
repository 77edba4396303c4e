//! The UIDs of a Maildir that is copied.

use std::collections::HashMap;

use super::copied::CopiedMessages;
use super::plan::{CopyPlan, Disposition};
use super::source::SourceMaildir;
use crate::convert::{
    Destination, DestinationOptions, History, ListBuilder, NumberedMessage, SourceList, SourceUids, UidPlan,
};
use crate::mailbox::Result;
use crate::mailbox::maildir::uids::{UidEntry, UidList};
use crate::mailbox::message::uids::UidOrigin;

/// Builds the list of the destination: the entries of messages that it has.
pub(super) fn plan_list(
    source: SourceList,
    copied: Copied<'_>,
    destination: &Destination,
    history: &History<'_>,
    options: &DestinationOptions<'_>,
) -> Result<UidPlan> {
    let SourceList { list, findings } = source;
    let mut builder = ListBuilder::open(options.path, &destination.state, history, options.uids)?;
    if let Some(UidList { validity, next, fields, entries }) = list {
        let names = copied.names();
        let numbered = entries.into_iter().filter_map(|entry| {
            let (name, is_written) = names.get(&*entry.name)?;
            Some(numbered_message(entry, name, *is_written))
        });
        let source = SourceUids { validity, next, fields, is_uw: false };
        builder.add(Some(&source), numbered);
    }
    let mut plan = builder.finish(options.path, options.uids)?;
    plan.findings.extend(findings);
    Ok(plan)
}

/// The messages of the source that the destination has after the run.
#[derive(Clone, Copy)]
pub(super) struct Copied<'a> {
    pub(super) source: &'a SourceMaildir,
    pub(super) earlier: &'a CopiedMessages,
    pub(super) plan: &'a CopyPlan,
}

impl<'a> Copied<'a> {
    /// Returns the base names in the destination by those in the source, and whether this run writes the message.
    fn names(&self) -> HashMap<&'a [u8], (&'a [u8], bool)> {
        let Copied { source, earlier, plan } = *self;
        let known = source.entries.iter().filter(|entry| earlier.length(entry).is_some());
        let known = known.map(|entry| (entry.parsed().base, (earlier.name_there(entry), false)));
        let new = plan.messages.iter().map(|message| {
            let base = message.entry.parsed().base;
            let there: (&[u8], bool) = match &message.disposition {
                Disposition::KeepName => (base, true),
                Disposition::Rename(name) => (name, true),
                Disposition::Present(there) => (&there.base, false),
            };
            (base, there)
        });
        known.chain(new).collect()
    }
}

/// Returns a message as the list gets it. Dovecot takes the base name for the GUID, and an empty UIDL for the base name:
/// a message with another name keeps both.
fn numbered_message(mut entry: UidEntry, name: &[u8], is_written: bool) -> NumberedMessage {
    let before = entry.name.clone();
    if *before != *name {
        if entry.field(b'P') == Some(b"") {
            let fields = entry.fields.split(|&b| b == b' ').filter(|field| *field != b"P");
            entry.fields = fields.collect::<Vec<_>>().join(&b' ').into();
            entry.add_field(b'P', &before);
        }
        entry.add_field(b'G', &before);
    }
    NumberedMessage {
        name: name.to_vec(),
        uid: entry.uid,
        origin: UidOrigin::Kept,
        fields: entry.fields,
        is_written,
    }
}
