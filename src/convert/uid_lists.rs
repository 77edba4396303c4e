//! The UIDs of a run: which messages keep theirs, and the list that makes a server use them.
//!
//! A folder has one set of UIDs, that of its list; without a list it is that of the first source that has UIDs. The
//! messages of other sources are numbered after them, in order.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::numbered_list::{NumberedList, NumberedMessage};
use super::planned::{Disposition, PlannedMessage};
use super::{DestinationOptions, History, Plan, SourceUids, UidCounts, UidFormat, UidOptions, UidPolicy};
use crate::mailbox::fs::Dir;
use crate::mailbox::maildir::uids::pending::{self, PendingUidLists};
use crate::mailbox::maildir::uids::{LIST_NAME, UidList, UidListChange, UidListProblem};
use crate::mailbox::maildir::{DestinationState, Leftover, MaildirWriter};
use crate::mailbox::manifest::Digest;
use crate::mailbox::mbox::Mbox;
use crate::mailbox::message::uids::UidOrigin;
use crate::mailbox::text::grouped_plural;
use crate::mailbox::{Code, Context, Finding, Result};

/// The list of the destination.
enum ExistingList {
    Absent,
    /// It is as mailferry left it.
    Own(UidList),
    /// Another program has changed it.
    Foreign,
}

/// Builds the lists of a destination.
pub(crate) struct ListBuilder {
    format: UidFormat,
    /// The lists of the destination. Servers number messages by themselves, so two lists may have different UIDs. None
    /// while there is no list and no source had UIDs, and if there is a list of another program.
    lists: Vec<NumberedList>,
    /// The lists that another program has changed.
    foreign: Vec<&'static str>,
    before: BTreeMap<&'static str, Option<Vec<u8>>>,
    counts: UidCounts,
    /// Messages that get other UIDs because the folder has those of another mailbox.
    renumbered: u64,
    /// Messages whose UIDs are unknown to the program that changed the list.
    unlisted: u64,
    /// Messages for which no UID is left.
    unnumbered: u64,
    /// Messages outside of the Maildir itself.
    elsewhere: u64,
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
            lists: Vec::new(),
            foreign: Vec::new(),
            before: BTreeMap::new(),
            counts: UidCounts::default(),
            renumbered: 0,
            unlisted: 0,
            unnumbered: 0,
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
                ExistingList::Foreign => builder.foreign.push(name),
                ExistingList::Own(list) => builder.extend(name, list),
            }
            builder.before.insert(name, text);
        }
        if !builder.foreign.is_empty() {
            builder.lists.clear();
        }
        Ok(builder)
    }

    fn extend(&mut self, name: &'static str, list: UidList) {
        match self.lists.iter_mut().find(|numbered| numbered.has_uids_of(&list)) {
            Some(same) => same.files.push(name),
            None => self.lists.push(NumberedList::extend(name, list)),
        }
    }

    /// Returns the validity of the list that is extended.
    pub(crate) fn validity(&self) -> Option<u32> {
        self.lists.first().map(|numbered| numbered.list.validity)
    }

    /// Adds the messages of a source, in order.
    pub(crate) fn add(
        &mut self,
        source: Option<&SourceUids>,
        messages: impl Iterator<Item = NumberedMessage>,
    ) {
        if self.lists.is_empty() && self.foreign.is_empty() {
            self.lists.extend(source.map(NumberedList::new));
        }
        self.lists.iter_mut().for_each(|numbered| numbered.begin_source(source));
        for message in messages {
            self.add_message(source, &message);
        }
        self.lists.iter_mut().for_each(NumberedList::end_source);
    }

    /// Adds a message that is written into another folder than the Maildir itself.
    pub(crate) fn add_elsewhere(&mut self, origin: UidOrigin) {
        self.counts.changed += u64::from(origin != UidOrigin::New);
        self.elsewhere += u64::from(origin == UidOrigin::Kept);
    }

    fn add_message(&mut self, source: Option<&SourceUids>, message: &NumberedMessage) {
        let (mut is_kept, mut is_numbered) = (message.origin == UidOrigin::Kept, true);
        for numbered in &mut self.lists {
            let kept = numbered.add(source, message);
            is_kept &= kept == Some(true);
            is_numbered &= kept.is_some();
        }
        if message.origin == UidOrigin::New || !message.is_written {
            return;
        }
        if is_kept && !self.lists.is_empty() {
            self.counts.kept += 1;
            return;
        }
        self.counts.changed += 1;
        match message.origin {
            // A finding about the source counts it.
            UidOrigin::Renumbered => {}
            _ if self.lists.is_empty() => self.unlisted += 1,
            _ if !is_numbered => self.unnumbered += 1,
            _ => self.renumbered += 1,
        }
    }

    /// Returns the plan. `path` is the destination.
    ///
    /// # Errors
    /// [`Error::UidsNotKept`](crate::mailbox::Error::UidsNotKept) if a message cannot keep its UID and `options` require it.
    pub(crate) fn finish(mut self, path: &Path, options: UidOptions) -> Result<UidPlan> {
        self.lists.iter_mut().for_each(|numbered| add_guid(&mut numbered.list, path));
        let findings: Vec<Finding> = self.losses(path).collect();
        findings.iter().try_for_each(|loss| options.policy.refuse(loss, path))?;
        let change = |name: &'static str| {
            let has_file = |numbered: &&NumberedList| numbered.files.contains(&name);
            // A list that does not exist yet gets the UIDs of the one that does.
            let NumberedList { list, .. } = self.lists.iter().find(has_file).or(self.lists.first())?;
            let after = if name == LIST_NAME { list.to_dovecot() } else { list.to_courier() };
            Some(UidListChange { name, before: self.before[name].clone(), after })
        };
        let changes = self.format.file_names().iter().filter_map(|name| change(name)).collect();
        Ok(UidPlan { changes, counts: self.counts, findings })
    }

    fn losses(&self, path: &Path) -> impl Iterator<Item = Finding> {
        let losses = [
            (self.unlisted, format!("another program has changed {}", self.foreign.join(" and "))),
            (self.unnumbered, "all UIDs of the folder are used up".to_owned()),
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
    /// Writes no list, since no source has UIDs that a server would keep.
    pub(crate) fn without_list<'a>(messages: impl Iterator<Item = &'a PlannedMessage>) -> UidPlan {
        let changed = messages.filter(|message| loses_uid(message)).count() as u64;
        UidPlan { counts: UidCounts { kept: 0, changed }, ..UidPlan::default() }
    }

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

    /// Records that another program changed a list during the run, so that none was replaced.
    pub(crate) fn lose_lists(&mut self, changed: &str, path: &Path) {
        let UidCounts { kept, .. } = self.counts;
        self.counts = UidCounts { kept: 0, changed: self.counts.changed + kept };
        let text = format!(
            "{} without the UIDs of the source: another program changed {changed} during the run",
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

/// Returns the finding about messages of an mbox whose UIDs no server would keep.
pub(crate) fn renumbered_finding(plan: &Plan, mbox: &Mbox<'_>) -> Option<Finding> {
    let mut lost = plan.messages.iter().zip(mbox.messages()).filter(|(message, _)| loses_uid(message));
    let (_, first) = lost.next()?;
    let why = match plan.uids {
        Some(_) => "X-UID occurs twice or does not rise",
        None => "all UIDs are used up",
    };
    let messages = grouped_plural(1 + lost.count() as u64, "message");
    let text = format!("{messages} without the UIDs of the source: {why}");
    Some(Finding::at(Code::UidsNotKept, first.at, text))
}

/// Reports whether a message is written, and no server would keep its UID.
fn loses_uid(message: &PlannedMessage) -> bool {
    message.uid_origin == UidOrigin::Renumbered && message.disposition == Disposition::Write
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mailbox::maildir::uids::COURIER_NAME;

    fn builder(lists: &[(&'static str, UidList)]) -> ListBuilder {
        let options = UidOptions { format: UidFormat::Both, ..UidOptions::default() };
        let nothing = DestinationState::Nothing;
        let mut builder = ListBuilder::open(Path::new("x"), &nothing, &History::default(), options).unwrap();
        lists.iter().for_each(|(name, list)| builder.extend(name, list.clone()));
        builder
    }

    fn source(validity: u32, next: u32) -> SourceUids {
        SourceUids { validity, next, fields: Vec::new(), is_uw: false }
    }

    fn message(name: u8, uid: u32) -> NumberedMessage {
        let (name, origin) = (vec![b'a' + name % 26], UidOrigin::Kept);
        NumberedMessage { name, uid, origin, is_written: true, ..NumberedMessage::default() }
    }

    /// Returns the lists of Dovecot and Courier.
    fn lists_of(builder: ListBuilder) -> [UidList; 2] {
        let plan = builder.finish(Path::new("x"), UidOptions::default()).unwrap();
        let list = |n: usize| UidList::parse(&plan.changes[n].after).unwrap().list;
        [list(0), list(1)]
    }

    fn uids(list: &UidList) -> Vec<(u32, &str)> {
        let entries = list.entries.iter();
        entries.map(|entry| (entry.uid, std::str::from_utf8(&entry.name).unwrap())).collect()
    }

    #[test]
    fn no_uid_below_uidnext_is_given_to_a_message() {
        let mut first = builder(&[]);
        first.add(Some(&source(7, 10)), [message(0, 2), message(1, 8)].into_iter());
        // Another mailbox with the same validity, as UW-IMAP makes two in one second.
        first.add(Some(&source(7, 15)), [message(2, 9), message(3, 12), message(4, 3)].into_iter());
        assert_eq!((first.counts.kept, first.counts.changed), (2, 3));
        let [list, courier] = lists_of(first);
        assert_eq!(uids(&list), [(2, "a"), (8, "b"), (15, "c"), (16, "d"), (17, "e")]);
        assert_eq!((uids(&courier), list.next), (uids(&list), 18));
        // A message that was not selected before. Clients have seen UIDNEXT, and Dovecot would give it another UID.
        let mut second = builder(&[(LIST_NAME, list)]);
        second.add(Some(&source(7, 12)), [message(0, 2), message(5, 5), message(1, 8)].into_iter());
        let [list, _] = lists_of(second);
        assert_eq!((uids(&list)[5], list.next), ((18, "f"), 19));
    }

    #[test]
    fn lists_with_different_uids_are_extended_each_by_itself() {
        let list = |validity, messages: &[(u8, u32)]| {
            let mut builder = builder(&[]);
            let next = 1 + messages.last().unwrap().1;
            builder
                .add(Some(&source(validity, next)), messages.iter().map(|&(name, uid)| message(name, uid)));
            lists_of(builder)[0].clone()
        };
        let (dovecot, courier) = (list(7, &[(0, 1), (1, 2), (2, 3)]), list(9, &[(2, 1), (3, 2)]));
        let mut both = builder(&[(LIST_NAME, dovecot), (COURIER_NAME, courier)]);
        both.add(Some(&source(9, 4)), [message(2, 1), message(3, 2), message(4, 3)].into_iter());
        assert_eq!((both.counts.kept, both.counts.changed), (0, 3));
        let [dovecot, courier] = lists_of(both);
        assert_eq!(uids(&dovecot), [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")]);
        assert_eq!(uids(&courier), [(1, "c"), (2, "d"), (3, "e")]);
        assert_eq!((dovecot.validity, dovecot.next, courier.validity, courier.next), (7, 6, 9, 4));
    }

    proptest! {
        #[test]
        fn an_extended_list_is_read_back_and_keeps_its_entries(
            sources in proptest::collection::vec((1..3u32, 1..60u32, proptest::collection::vec((any::<u8>(), 0..50u32), 0..12)), 1..5),
        ) {
            let mut list: Option<UidList> = None;
            for (validity, next, messages) in sources {
                let lists: Vec<_> = list.iter().map(|list| (LIST_NAME, list.clone())).collect();
                let mut builder = builder(&lists);
                builder.add(Some(&source(validity, next)), messages.into_iter().map(|(name, uid)| message(name, uid)));
                let [extended, courier] = lists_of(builder);
                prop_assert_eq!(uids(&courier), uids(&extended));
                prop_assert!(extended.entries.windows(2).all(|pair| pair[0].uid < pair[1].uid));
                prop_assert!(extended.entries.iter().all(|entry| entry.uid < extended.next));
                let before = list.as_ref().map_or(&[][..], |list| &list.entries);
                prop_assert_eq!(&extended.entries[..before.len()], before);
                let floor = list.as_ref().map_or(1, |list| list.next);
                prop_assert!(extended.entries[before.len()..].iter().all(|entry| entry.uid >= floor));
                prop_assert!(list.is_none_or(|list| list.next <= extended.next && list.validity == extended.validity));
                list = Some(extended);
            }
        }
    }
}
