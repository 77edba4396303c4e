//! The UIDs of a run: which messages keep theirs, and the list that makes a server use them.
//!
//! A folder has one set of UIDs, that of its list; without a list it is that of the first source that has UIDs. The
//! messages of other sources are numbered after them, in order.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{DestinationOptions, History, SourceUids, UidCounts, UidFormat, UidOptions, UidPolicy};
use crate::mailbox::fs::Dir;
use crate::mailbox::maildir::uids::pending::{self, PendingUidLists};
use crate::mailbox::maildir::uids::{LIST_NAME, UidEntry, UidList, UidListChange, UidListProblem};
use crate::mailbox::maildir::{DestinationState, Leftover, MaildirWriter};
use crate::mailbox::manifest::Digest;
use crate::mailbox::message::uids::UidSequence;
use crate::mailbox::text::grouped_plural;
use crate::mailbox::{Code, Context, Error, Finding, Result};

/// A message that a list gets.
#[derive(Debug, Default)]
pub(crate) struct NumberedMessage {
    /// The base name in the destination.
    pub(crate) name: Vec<u8>,
    /// The UID in the source; 0 for none.
    pub(crate) uid: u32,
    /// The fields in Dovecot's list.
    pub(crate) fields: Box<[u8]>,
    /// This run writes it.
    pub(crate) is_written: bool,
}

/// The list of the destination.
enum ExistingList {
    Absent,
    /// It is as mailferry left it.
    Own(UidList),
    /// Another program has changed it.
    Foreign,
}

/// Builds the list of a destination.
pub(crate) struct ListBuilder {
    format: UidFormat,
    /// None while the destination has no list and no source had UIDs, and if it has a list of another program.
    list: Option<UidList>,
    is_foreign: bool,
    before: BTreeMap<&'static str, Option<Vec<u8>>>,
    /// The UIDs in the list, by name.
    listed: HashMap<Box<[u8]>, u32>,
    /// The UIDs of a list that is extended, until the mailbox that it is of was added. A message of it that was not
    /// selected before gets its own UID, and the messages of other mailboxes are numbered after it.
    used: Option<HashSet<u32>>,
    sequence: UidSequence,
    counts: UidCounts,
    /// Messages that get other UIDs because the folder has those of another mailbox.
    renumbered: u64,
    /// Messages whose UIDs are unknown to the program that changed the list.
    unlisted: u64,
    /// Messages outside of the Maildir itself.
    pub(crate) elsewhere: u64,
}

/// The lists that a run writes, and what it reports about them.
#[derive(Debug, Default)]
pub(crate) struct UidPlan {
    changes: Vec<UidListChange>,
    pub(crate) counts: UidCounts,
    pub(crate) findings: Vec<Finding>,
}

impl ListBuilder {
    /// Reads the lists of a destination.
    pub(crate) fn open(
        path: &Path,
        state: &DestinationState,
        history: &History<'_>,
        options: UidOptions,
    ) -> Result<ListBuilder> {
        let mut builder = ListBuilder {
            format: options.format,
            list: None,
            is_foreign: false,
            before: BTreeMap::new(),
            listed: HashMap::new(),
            used: None,
            sequence: UidSequence::default(),
            counts: UidCounts::default(),
            renumbered: 0,
            unlisted: 0,
            elsewhere: 0,
        };
        let root = match state {
            DestinationState::Maildir => Some(Dir::open(path)?),
            _ => None,
        };
        for name in options.format.file_names() {
            let text = root.as_ref().map(|root| pending::read(root, name)).transpose()?.flatten();
            match existing_list(text.as_deref(), &history.uid_list_digests(name)) {
                ExistingList::Absent => {}
                ExistingList::Foreign => builder.is_foreign = true,
                ExistingList::Own(list) => builder.extend(list),
            }
            builder.before.insert(name, text);
        }
        if builder.is_foreign {
            builder.list = None;
        }
        Ok(builder)
    }

    fn extend(&mut self, list: UidList) {
        self.sequence = UidSequence::from_next(list.next);
        self.listed = list.entries.iter().map(|entry| (entry.name.clone(), entry.uid)).collect();
        self.used = Some(self.listed.values().copied().collect());
        self.list.get_or_insert(list);
    }

    /// Reports whether the messages are numbered after those of another source, which must come first.
    pub(crate) fn has_list(&self) -> bool {
        self.list.is_some() || self.is_foreign
    }

    /// Adds the messages of a source, in order.
    pub(crate) fn add(
        &mut self,
        source: Option<&SourceUids>,
        messages: impl Iterator<Item = NumberedMessage>,
    ) {
        if let (false, Some(source)) = (self.has_list(), source) {
            let SourceUids { validity, next, fields, .. } = source.clone();
            self.sequence = UidSequence::new(next.saturating_sub(1));
            self.list = Some(UidList { validity, next, fields, entries: Vec::new() });
        }
        for message in messages {
            self.add_message(source, message);
        }
        if let (Some(list), Some(source)) = (&mut self.list, source)
            && list.validity == source.validity
        {
            list.next = list.next.max(source.next);
            self.used = None;
        }
    }

    fn add_message(&mut self, source: Option<&SourceUids>, message: NumberedMessage) {
        let NumberedMessage { name, uid, fields, is_written } = message;
        let had_uid = source.is_some() && uid > 0;
        let Some(list) = &mut self.list else {
            self.unlisted += u64::from(had_uid && is_written);
            self.counts.changed += u64::from(had_uid && is_written);
            return;
        };
        let name = name.into_boxed_slice();
        let wanted =
            source.filter(|source| source.validity == list.validity).map(|_| uid).filter(|&uid| uid > 0);
        if let Some(&listed) = self.listed.get(&name) {
            let is_kept = wanted == Some(listed);
            self.counts.kept += u64::from(is_kept && is_written);
            let is_changed = had_uid && !is_kept && is_written;
            self.counts.changed += u64::from(is_changed);
            self.renumbered += u64::from(is_changed);
            return;
        }
        let is_free = |uid: &u32| self.used.as_ref().is_some_and(|used| !used.contains(uid));
        let free = wanted.filter(is_free);
        let Some(new) = free.filter(|&uid| uid < self.sequence.next()).or_else(|| self.sequence.take(wanted))
        else {
            // All UIDs are used up: the server has to begin anew.
            self.unlisted += u64::from(had_uid && is_written);
            self.counts.changed += u64::from(had_uid && is_written);
            return;
        };
        if !name.is_empty() {
            self.listed.insert(name.clone(), new);
        }
        if let Some(used) = &mut self.used {
            used.insert(new);
        }
        let mut entry = UidEntry { uid: new, fields, name };
        if let Some(source) = source.filter(|source| source.is_uw && had_uid) {
            entry.add_field(b'P', format!("{:08x}{uid:08x}", source.validity).as_bytes());
        }
        let is_kept = wanted == Some(new);
        if let Some(source) = source.filter(|_| had_uid && !is_kept) {
            // Dovecot's POP3 server would make another UIDL of the new UID.
            entry.add_field(b'P', format!("{uid:08x}{:08x}", source.validity).as_bytes());
            self.renumbered += u64::from(is_written);
        }
        self.counts.kept += u64::from(is_kept && is_written);
        self.counts.changed += u64::from(had_uid && !is_kept && is_written);
        list.entries.push(entry);
    }

    /// Returns the plan. `path` is the destination.
    ///
    /// # Errors
    /// [`Error::UidsNotKept`] if a message cannot keep its UID and `options` require it.
    pub(crate) fn finish(
        mut self,
        path: &Path,
        options: UidOptions,
        mut losses: Vec<Finding>,
    ) -> Result<UidPlan> {
        if let Some(list) = &mut self.list {
            list.next = list.next.max(self.sequence.next());
            list.entries.sort_by_key(|entry| entry.uid);
            add_guid(list, path);
        }
        let mut counts = self.counts;
        counts.changed += self.elsewhere;
        losses.extend(self.losses(path));
        if let (UidPolicy::Require, Some(first)) = (options.policy, losses.first()) {
            let path = first.path.clone().unwrap_or_else(|| path.to_owned());
            return Err(Error::UidsNotKept { path, reason: first.message.to_string() });
        }
        let change = |list: &UidList, name: &'static str, before: &Option<Vec<u8>>| UidListChange {
            name,
            before: before.clone(),
            after: if name == LIST_NAME { list.to_dovecot() } else { list.to_courier() },
        };
        let list = self.list.iter();
        let changes =
            list.flat_map(|list| self.before.iter().map(move |(name, before)| change(list, name, before)));
        Ok(UidPlan { changes: changes.collect(), counts, findings: losses })
    }

    fn losses(&self, path: &Path) -> impl Iterator<Item = Finding> {
        let losses = [
            (self.unlisted, format!("another program has changed {}", self.format.file_names().join(" or "))),
            (self.renumbered, "the folder has the UIDs of another mailbox".to_owned()),
            (self.elsewhere, "they are in other folders than the source".to_owned()),
        ];
        let path = path.to_owned();
        losses.into_iter().filter(|(messages, _)| *messages > 0).map(move |(messages, why)| {
            let text =
                format!("{} without the UIDs of the source: {why}", grouped_plural(messages, "message"));
            Finding::new(Code::UidsNotKept, text).in_file(path.clone())
        })
    }
}

/// Adds a GUID to a list without one, because Dovecot would rewrite the list to add it. The same messages in the same
/// folder get the same one, so that a killed run is continued.
fn add_guid(list: &mut UidList, path: &Path) {
    if list.fields.split(|&b| b == b' ').any(|field| field.starts_with(b"G")) {
        return;
    }
    let mut hash = blake3::Hasher::new();
    hash.update(&list.validity.to_le_bytes()).update(path.file_name().unwrap_or_default().as_bytes());
    for entry in &list.entries {
        hash.update(b"\0").update(&entry.name);
    }
    let guid = format!("G{}", &hash.finalize().to_hex()[..32]);
    let blank: &[u8] = if list.fields.is_empty() { b"" } else { b" " };
    list.fields = [guid.as_bytes(), blank, &list.fields].concat();
}

fn existing_list(text: Option<&[u8]>, own: &[Digest]) -> ExistingList {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return ExistingList::Absent };
    match UidList::parse(text) {
        Ok(parsed) if own.contains(&Digest::of(text)) => ExistingList::Own(parsed.list),
        _ => ExistingList::Foreign,
    }
}

impl UidPlan {
    /// Returns the hashes of the lists after the run.
    pub(crate) fn digests(&self) -> BTreeMap<String, Digest> {
        self.changes.iter().map(|change| (change.name.to_owned(), Digest::of(&change.after))).collect()
    }

    /// Reports whether a list differs from the one that is there.
    pub(crate) fn has_changes(&self) -> bool {
        self.changes.iter().any(|change| change.before.as_ref() != Some(&change.after))
    }

    /// Hands the lists over to the writer, which publishes them with the messages.
    pub(crate) fn hand_over(
        &mut self,
        writer: &mut MaildirWriter,
        leftover: &Leftover,
        options: &DestinationOptions<'_>,
        context: &Context<'_>,
    ) -> Result<()> {
        if matches!(leftover, Leftover::Stage(_)) {
            writer.remove_staged_uid_lists()?;
        }
        let changes = std::mem::take(&mut self.changes);
        if changes.is_empty() {
            return Ok(());
        }
        let is_required = options.uids.policy == UidPolicy::Require;
        writer.set_uid_lists(PendingUidLists::new(changes, context.locks, is_required))
    }

    /// Records that another program changed a list during the run.
    pub(crate) fn lose_lists(&mut self, path: &Path) {
        let UidCounts { kept, .. } = self.counts;
        self.counts = UidCounts { kept: 0, changed: self.counts.changed + kept };
        let text = format!(
            "{} without the UIDs of the source: another program changed {LIST_NAME} during the run",
            grouped_plural(kept, "message")
        );
        self.findings.push(Finding::new(Code::UidsNotKept, text).in_file(path));
    }
}

/// Returns the finding about a list of a source that no server would read.
pub(crate) fn damaged_list_finding(path: &Path, problem: &UidListProblem) -> Finding {
    let text =
        format!("its UIDs are lost: line {} {}; a server drops the list", problem.line, problem.reason);
    Finding::new(Code::UidsNotKept, text).in_file(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn builder(list: Option<UidList>) -> ListBuilder {
        let options = UidOptions::default();
        let nothing = DestinationState::Nothing;
        let mut builder = ListBuilder::open(Path::new("x"), &nothing, &History::default(), options).unwrap();
        list.into_iter().for_each(|list| builder.extend(list));
        builder
    }

    fn source(validity: u32, next: u32) -> SourceUids {
        SourceUids { validity, next, fields: Vec::new(), is_uw: false }
    }

    fn message(name: u8, uid: u32) -> NumberedMessage {
        NumberedMessage { name: vec![b'a' + name % 26], uid, is_written: true, ..NumberedMessage::default() }
    }

    fn list_of(builder: ListBuilder) -> UidList {
        let plan = builder.finish(Path::new("x"), UidOptions::default(), Vec::new()).unwrap();
        UidList::parse(&plan.changes[0].after).unwrap().list
    }

    #[test]
    fn a_message_that_was_not_selected_before_gets_its_own_uid() {
        let mut first = builder(None);
        first.add(Some(&source(7, 10)), [message(0, 2), message(1, 8)].into_iter());
        let mut second = builder(Some(list_of(first)));
        second.add(
            Some(&source(7, 12)),
            [message(0, 2), message(2, 5), message(1, 8), message(3, 11)].into_iter(),
        );
        // Another mailbox with the same validity, as UW-IMAP makes two in one second.
        second.add(Some(&source(7, 12)), [message(4, 3)].into_iter());
        let list = list_of(second);
        let uids: Vec<_> = list.entries.iter().map(|entry| (entry.uid, &*entry.name)).collect();
        assert_eq!(uids, [(2, &b"a"[..]), (5, b"c"), (8, b"b"), (11, b"d"), (12, b"e")]);
        assert_eq!(list.next, 13);
    }

    proptest! {
        #[test]
        fn an_extended_list_is_read_back_and_keeps_its_entries(
            sources in proptest::collection::vec((1..3u32, 1..60u32, proptest::collection::vec((any::<u8>(), 0..50u32), 0..12)), 1..5),
        ) {
            let mut list: Option<UidList> = None;
            for (validity, next, messages) in sources {
                let mut builder = builder(list.clone());
                builder.add(Some(&source(validity, next)), messages.into_iter().map(|(name, uid)| message(name, uid)));
                let extended = list_of(builder);
                prop_assert!(extended.entries.windows(2).all(|pair| pair[0].uid < pair[1].uid));
                prop_assert!(extended.entries.iter().all(|entry| entry.uid < extended.next));
                for before in list.iter().flat_map(|list| &list.entries) {
                    prop_assert!(extended.entries.contains(before));
                }
                prop_assert!(list.is_none_or(|list| list.next <= extended.next && list.validity == extended.validity));
                list = Some(extended);
            }
        }
    }
}
