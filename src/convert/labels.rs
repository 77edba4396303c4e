//! The folders of a message of a Takeout, by its X-Gmail-Labels.
//!
//! Gmail's own labels name the folders that every mailbox has, or no folder. Each other label is a folder, and
//! `A/B` is B in A. A message without the field is not from Gmail and goes into the Maildir itself. A message
//! that no label puts into a folder goes to the archive, which is where Gmail shows it. The label "Archived" only
//! means that a message is not in the inbox.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::mailbox::manifest::MessageRecord;
use crate::mailbox::message::LabelPolicy;
use crate::mailbox::message::status::gmail::{self, SystemLabel};
use crate::mailbox::tree::Layout;
use crate::mailbox::tree::folder::{self, Folder as TreeFolder, maildirpp_directory};
use crate::mailbox::tree::naming::{self, FolderName};
use crate::mailbox::{Code, Finding, display_path, escape};

/// The number of a folder in [`LabelFolders`]; 0 is the Maildir itself.
pub(crate) type FolderIndex = u32;

/// The folders that the messages of a run go to.
#[derive(Debug)]
pub(crate) struct LabelFolders {
    pub(crate) labels: LabelPolicy,
    /// The levels of each folder; none for the Maildir itself.
    levels: Vec<Vec<String>>,
    numbers: HashMap<Vec<String>, FolderIndex>,
    /// The folders of each field that was read: there are many messages and few different fields.
    of_field: HashMap<Box<[u8]>, Vec<FolderIndex>>,
    /// Labels that differ from the names of their folders.
    renamed: HashMap<FolderIndex, String>,
    findings: Vec<Finding>,
}

impl Default for LabelFolders {
    fn default() -> LabelFolders {
        LabelFolders::new(LabelPolicy::default())
    }
}

impl LabelFolders {
    /// Returns the Maildir itself, without folders.
    pub(crate) fn new(labels: LabelPolicy) -> LabelFolders {
        LabelFolders {
            labels,
            levels: vec![Vec::new()],
            numbers: HashMap::from([(Vec::new(), 0)]),
            of_field: HashMap::new(),
            renamed: HashMap::new(),
            findings: Vec::new(),
        }
    }

    /// Returns the number of a folder.
    pub(crate) fn intern(&mut self, levels: Vec<String>) -> FolderIndex {
        let LabelFolders { levels: all, numbers, .. } = self;
        *numbers.entry(levels).or_insert_with_key(|levels| {
            all.push(levels.clone());
            all.len() as FolderIndex - 1
        })
    }

    pub(crate) fn levels(&self, folder: FolderIndex) -> &[String] {
        &self.levels[folder as usize]
    }

    /// Returns the number of folders, including the Maildir itself.
    pub(crate) fn count(&self) -> usize {
        self.levels.len()
    }

    /// Returns the directory of each folder, relative to the Maildir; empty for the Maildir itself.
    pub(crate) fn directories(&self) -> Vec<OsString> {
        self.levels.iter().map(|levels| maildirpp_directory(levels).into()).collect()
    }

    /// Returns the folders of a message with this value of X-Gmail-Labels. The first one gets its file.
    pub(crate) fn for_labels(&mut self, value: &[u8]) -> Vec<FolderIndex> {
        if let Some(folders) = self.of_field.get(value) {
            return folders.clone();
        }
        let labels = gmail::parse_labels(value);
        let systems: Vec<SystemLabel> =
            labels.iter().filter_map(|label| gmail::system_label(label)).collect();
        let mut folders = Vec::new();
        let own = labels.iter().filter(|label| gmail::system_label(label).is_none());
        let named = match self.labels {
            LabelPolicy::First => own.take(1).collect::<Vec<_>>(),
            _ => own.collect(),
        };
        let named: Vec<FolderIndex> = named.into_iter().map(|label| self.of_label(label)).collect();
        let standard = STANDARD.iter().filter(|(system, _)| systems.contains(system));
        if self.labels == LabelPolicy::Folders || named.is_empty() {
            folders.extend(standard.map(|(_, levels)| self.intern(owned(levels))));
        }
        folders.extend(named);
        if folders.is_empty() {
            folders.push(self.intern(owned(ARCHIVE)));
        }
        if self.labels == LabelPolicy::First {
            folders.truncate(1);
        }
        let mut seen = std::collections::HashSet::new();
        folders.retain(|&folder| seen.insert(folder));
        self.of_field.insert(value.into(), folders.clone());
        folders
    }

    fn of_label(&mut self, label: &str) -> FolderIndex {
        let (levels, why) = levels_of(label);
        let directory = maildirpp_directory(&levels);
        let folder = self.intern(levels);
        let has_escapes = directory.as_os_str().as_bytes().contains(&b'\\');
        let why = why.or(has_escapes.then_some("Maildir++ cannot represent its name"));
        let why = why.or((self.name(folder) != label).then_some("INBOX in any spelling is the inbox"));
        if let Some(why) = why.filter(|_| self.renamed.insert(folder, label.to_owned()).is_none()) {
            let message = format!(
                "the label {} is the folder {}: {why}",
                escape(label.as_bytes()),
                display_path(&directory)
            );
            self.findings.push(Finding::new(Code::FolderRenamed, message));
        }
        folder
    }

    /// Takes the findings about folders whose names differ from their labels, each once.
    pub(crate) fn take_findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.findings)
    }

    /// Returns the directory of a folder whose name differs from its label.
    pub(crate) fn renamed_directory(&self, folder: FolderIndex) -> Option<PathBuf> {
        self.renamed.get(&folder).map(|_| maildirpp_directory(self.levels(folder)))
    }

    /// Returns the name of a folder to display.
    pub(crate) fn name(&self, folder: FolderIndex) -> String {
        name(self.levels(folder))
    }
}

/// Returns the names to display of the folders of a message in a manifest.
pub(crate) fn folder_names(message: &MessageRecord) -> impl Iterator<Item = String> {
    let inbox = message.folders.is_empty().then(|| name(&[]));
    inbox.into_iter().chain(message.folders.iter().map(|levels| name(levels)))
}

fn name(levels: &[String]) -> String {
    match levels {
        [] => "INBOX".to_owned(),
        levels => levels.join("/"),
    }
}

fn owned(levels: &[&str]) -> Vec<String> {
    levels.iter().map(|&level| level.to_owned()).collect()
}

/// The folders of Gmail's own labels. If several apply, the first one counts: mail in the trash stays there, a
/// draft is not mail yet, and mail to oneself is in the inbox.
const STANDARD: [(SystemLabel, &[&str]); 6] = [
    (SystemLabel::Trash, &["Trash"]),
    (SystemLabel::Spam, &["Junk"]),
    (SystemLabel::Draft, &["Drafts"]),
    (SystemLabel::Inbox, &[]),
    (SystemLabel::Sent, &["Sent"]),
    (SystemLabel::Chat, &["Chats"]),
];
/// The folder of a message that no label puts into one.
const ARCHIVE: &[&str] = &["Archive"];

/// Returns the levels of a label's folder, and why they differ from those of the label. A label with an empty
/// level is a single level, including its slashes.
fn levels_of(label: &str) -> (Vec<String>, Option<&'static str>) {
    let mut levels: Vec<Vec<u8>> = label.split('/').map(|level| level.as_bytes().to_vec()).collect();
    if levels.iter().any(Vec::is_empty) {
        levels = vec![label.as_bytes().to_vec()];
    }
    let mut named = naming::assign_names(&[TreeFolder(levels)], Layout::MaildirPlusPlus);
    let Some(FolderName { folder, rename_reason: renamed, .. }) = named.pop() else {
        return (Vec::new(), None);
    };
    // A name that is too long is cut between characters.
    let levels = folder.0.into_iter().map(|level| String::from_utf8_lossy(&level).into_owned());
    (levels.collect(), renamed)
}

/// Returns the levels of the folder in this directory; None if no label can name it.
pub(crate) fn parse_directory(directory: &[u8]) -> Option<Vec<String>> {
    folder::parse_maildirpp(directory).into_iter().map(|level| String::from_utf8(level).ok()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folders_of(labels: LabelPolicy, value: &str) -> Vec<String> {
        let mut folders = LabelFolders::new(labels);
        folders.for_labels(value.as_bytes()).into_iter().map(|folder| folders.name(folder)).collect()
    }

    #[test]
    fn each_label_puts_a_message_where_the_manual_says() {
        for (labels, all, first) in [
            ("Inbox,Unread", &["INBOX"][..], "INBOX"),
            ("Inbox,Important,Opened,Category Updates", &["INBOX"], "INBOX"),
            ("Sent", &["Sent"], "Sent"),
            ("Drafts", &["Drafts"], "Drafts"),
            ("Trash,Unread", &["Trash"], "Trash"),
            ("Spam", &["Junk"], "Junk"),
            ("Chat", &["Chats"], "Chats"),
            ("Archived", &["Archive"], "Archive"),
            ("Starred,Opened", &["Archive"], "Archive"),
            ("", &["Archive"], "Archive"),
            ("Inbox,Sent", &["INBOX", "Sent"], "INBOX"),
            ("Inbox,Trash", &["Trash", "INBOX"], "Trash"),
            ("Inbox,Work", &["INBOX", "Work"], "Work"),
            ("Work,Inbox,Home", &["INBOX", "Work", "Home"], "Work"),
            ("Archived,Lists/qmail,Work", &["Lists/qmail", "Work"], "Lists/qmail"),
            ("Work,Work", &["Work"], "Work"),
            ("\"Work, urgent\",Archive", &["Work, urgent", "Archive"], "Work, urgent"),
            ("=?UTF-8?Q?Entw=C3=BCrfe,B=C3=BCro/M=C3=BCnchen?=", &["Drafts", "Büro/München"], "Büro/München"),
        ] {
            assert_eq!(folders_of(LabelPolicy::Folders, labels), all, "{labels}");
            assert_eq!(folders_of(LabelPolicy::First, labels), [first], "{labels}");
        }
    }

    #[test]
    fn a_name_that_no_folder_can_have_is_replaced_and_told_once() {
        for (label, at) in [
            ("Lists/qmail", ".Lists.qmail"),
            ("v1.0", r".v1\2e0"),
            (r"a\2e", r".a\5c2e"),
            ("a\tb", r".a\09b"),
            ("a//b", r".a\2f\2fb"),
            ("Inbox/old", ".INBOX.old"),
            ("..", r".\2e\2e"),
        ] {
            let (levels, _) = levels_of(label);
            assert_eq!(maildirpp_directory(&levels).to_str(), Some(at));
            assert_eq!(super::parse_directory(at.as_bytes()), Some(levels));
            let mut folders = LabelFolders::new(LabelPolicy::Folders);
            let number = folders.of_label(label);
            assert_eq!(folders.of_label(label), number);
            let found = folders.take_findings();
            assert_eq!(found.len(), usize::from(label != "Lists/qmail"), "{found:?}");
        }
        let long = ["ä".repeat(200), "x".repeat(300), ["level"; 80].join("/")];
        for label in long {
            let at = maildirpp_directory(&levels_of(&label).0);
            assert!(at.as_os_str().len() <= 255, "{at:?}");
            assert_ne!(at, maildirpp_directory(&levels_of(&(label + "2")).0), "the hash tells them apart");
        }
    }

    proptest! {
        #[test]
        fn the_label_can_be_read_from_the_folders_name(label in prop_oneof![r"[a-f2\\_./ä]{1,12}", "\\PC{1,20}", any::<String>()]) {
            let (named, why) = levels_of(&label);
            prop_assume!(why.is_none() && !named.is_empty());
            let at = maildirpp_directory(&named);
            prop_assert_eq!(at.components().count(), 1);
            let levels = parse_directory(at.as_os_str().as_bytes());
            prop_assert_eq!(levels.map(|levels| levels.join("/")), Some(label));
        }
    }
}
