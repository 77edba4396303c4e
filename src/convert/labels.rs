//! Which folders a message of a Takeout goes to, by its X-Gmail-Labels.
//!
//! The labels of Gmail itself name the folders that every mailbox has, or say something else and name none;
//! each other one is a folder, and `A/B` is B in A. A message without the field is none of Gmail's and goes
//! into the Maildir itself. One that no label puts anywhere goes to the archive, which is where Gmail has it:
//! its "Archived" says that it is not in the inbox, and is no folder beside others.

use std::collections::HashMap;
use std::ffi::OsString;

use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::maildir::folders;
use crate::mailbox::manifest::Message;
use crate::mailbox::mbox::status::{Labels, gmail_labels};

/// Whether labels are folders.
pub fn are_folders(labels: Labels) -> bool {
    matches!(labels, Labels::Folders | Labels::First)
}

/// A folder by its number in [`Folders`]; 0 is the Maildir itself.
pub type Folder = u32;

/// The folders that the messages of a run go to.
#[derive(Debug)]
pub struct Folders {
    /// What names them.
    pub labels: Labels,
    /// The levels of each, none for the Maildir itself.
    levels: Vec<Vec<String>>,
    numbers: HashMap<Vec<String>, Folder>,
    /// Those of a field that was read before: there are many messages and few different fields.
    of_field: HashMap<Box<[u8]>, Vec<Folder>>,
    /// Labels that no folder can be called by.
    renamed: HashMap<Folder, String>,
    findings: Vec<Finding>,
}

impl Default for Folders {
    fn default() -> Folders {
        Folders::of(Labels::default())
    }
}

impl Folders {
    /// The Maildir itself, and no other yet.
    pub fn of(labels: Labels) -> Folders {
        Folders {
            labels,
            levels: vec![Vec::new()],
            numbers: HashMap::from([(Vec::new(), 0)]),
            of_field: HashMap::new(),
            renamed: HashMap::new(),
            findings: Vec::new(),
        }
    }

    /// The number of a folder.
    pub fn number(&mut self, levels: Vec<String>) -> Folder {
        let Folders { levels: all, numbers, .. } = self;
        *numbers.entry(levels).or_insert_with_key(|levels| {
            all.push(levels.clone());
            all.len() as Folder - 1
        })
    }

    /// The levels of a folder.
    pub fn levels(&self, folder: Folder) -> &[String] {
        &self.levels[folder as usize]
    }

    /// How many they are, the Maildir itself among them.
    pub fn count(&self) -> usize {
        self.levels.len()
    }

    /// The directory of each folder, relative to the Maildir; empty for the Maildir itself.
    pub fn directories(&self) -> Vec<OsString> {
        self.levels.iter().map(|levels| folders::directory(levels).into()).collect()
    }

    /// The folders of a message with this value of X-Gmail-Labels, the one of its file first.
    pub fn of_labels(&mut self, value: &[u8]) -> Vec<Folder> {
        if let Some(folders) = self.of_field.get(value) {
            return folders.clone();
        }
        let labels = gmail_labels(value);
        let systems: Vec<System> = labels.iter().filter_map(|label| System::of(label)).collect();
        let mut folders = Vec::new();
        let own = labels.iter().filter(|label| System::of(label).is_none());
        let named = match self.labels {
            Labels::First => own.take(1).collect::<Vec<_>>(),
            _ => own.collect(),
        };
        let named: Vec<Folder> = named.into_iter().map(|label| self.of_label(label)).collect();
        let standard = STANDARD.iter().filter(|(system, _)| systems.contains(system));
        if self.labels == Labels::Folders || named.is_empty() {
            folders.extend(standard.map(|(_, levels)| self.number(owned(levels))));
        }
        folders.extend(named);
        if folders.is_empty() {
            folders.push(self.number(owned(ARCHIVE)));
        }
        if self.labels == Labels::First {
            folders.truncate(1);
        }
        let mut seen = std::collections::HashSet::new();
        folders.retain(|&folder| seen.insert(folder));
        self.of_field.insert(value.into(), folders.clone());
        folders
    }

    fn of_label(&mut self, label: &str) -> Folder {
        let levels = said(label);
        let folder = self.number(levels);
        let name = self.name(folder);
        if name != label && self.renamed.insert(folder, label.to_owned()).is_none() {
            let message = format!("no folder can have the name of the label {label:?}: it is {name}");
            self.findings.push(Finding::new(Code::FolderRenamed, message));
        }
        folder
    }

    /// What a person is told of folders that have other names than their labels, each once.
    pub fn findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.findings)
    }

    /// The label of a folder that could not be called by it.
    pub fn renamed(&self, folder: Folder) -> Option<&str> {
        self.renamed.get(&folder).map(|label| &**label)
    }

    /// The name of a folder for people.
    pub fn name(&self, folder: Folder) -> String {
        name(self.levels(folder))
    }
}

/// The names of the folders that a manifest has a message in, for people.
pub fn names(message: &Message) -> impl Iterator<Item = String> {
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

/// The folders of Gmail's own labels, in the order in which the first one counts: what was thrown away stays
/// there, a draft is no mail yet, and what one wrote to oneself is to be read.
const STANDARD: [(System, &[&str]); 6] = [
    (System::Trash, &["Trash"]),
    (System::Spam, &["Junk"]),
    (System::Drafts, &["Drafts"]),
    (System::Inbox, &[]),
    (System::Sent, &["Sent"]),
    (System::Chat, &["Chats"]),
];
/// Where a message is that no label puts anywhere.
const ARCHIVE: &[&str] = &["Archive"];

/// A label that is Gmail's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum System {
    Inbox,
    Sent,
    Drafts,
    Spam,
    Trash,
    Chat,
    /// It says something of a message and puts it nowhere.
    Nowhere,
}

impl System {
    fn of(label: &str) -> Option<System> {
        const NAMES: [(&[&str], System); 7] = [
            (&["Inbox", "Posteingang"], System::Inbox),
            (&["Sent", "Gesendet"], System::Sent),
            (&["Drafts", "Draft", "Entwürfe"], System::Drafts),
            (&["Spam"], System::Spam),
            (&["Trash", "Papierkorb"], System::Trash),
            (&["Chat", "Chats"], System::Chat),
            (
                &[
                    "Unread",
                    "Ungelesen",
                    "Opened",
                    "Geöffnet",
                    "Starred",
                    "Markiert",
                    "Important",
                    "Wichtig",
                    "Archived",
                    "Archiviert",
                ],
                System::Nowhere,
            ),
        ];
        let is_category = label.starts_with("Category ");
        let named = NAMES.iter().find(|(names, _)| names.iter().any(|n| n.eq_ignore_ascii_case(label)));
        named.map(|(_, system)| *system).or(is_category.then_some(System::Nowhere))
    }
}

/// The levels of the folder of a label, as they can be said in Maildir++. What cannot is written as `%` and
/// the two digits of each byte, so that the label can be read from the name: dots, control characters, the
/// INBOX that is not the Maildir itself; and a `%` that would be read as such. A level without a name is `%_`.
///
/// A name that is too long for a directory is cut and ends with `%` and a hash of all of it.
fn said(label: &str) -> Vec<String> {
    /// What a file system takes as a name (NAME_MAX).
    const LONGEST: usize = 255;
    const HASH: usize = 16;
    let mut levels: Vec<String> = label.split('/').map(said_level).collect();
    if let [only] = &mut levels[..]
        && only.eq_ignore_ascii_case("INBOX")
    {
        only.replace_range(..1, &escaped(&label[..1]));
    }
    let length = |levels: &[String]| folders::directory(levels).len();
    if length(&levels) > LONGEST {
        let end = format!("%{}", &blake3::hash(label.as_bytes()).to_hex()[..HASH]);
        while length(&levels) + end.len() > LONGEST {
            levels.pop_if(|last| last.pop().is_none());
        }
        levels.last_mut().into_iter().for_each(|last| last.push_str(&end));
    }
    levels
}

fn said_level(level: &str) -> String {
    if level.is_empty() {
        return "%_".to_owned();
    }
    let mut said = String::with_capacity(level.len());
    for (at, c) in level.char_indices() {
        let behind = level.as_bytes()[at + c.len_utf8()..].iter().take(2);
        let is_like_ours = || {
            let behind: Vec<u8> = behind.copied().collect();
            behind.first() == Some(&b'_') || behind.len() == 2 && behind.iter().all(u8::is_ascii_hexdigit)
        };
        match c {
            '.' => said.push_str(&escaped(".")),
            '%' if is_like_ours() => said.push_str(&escaped("%")),
            c if c.is_control() => said.push_str(&escaped(c.encode_utf8(&mut [0; 4]))),
            c => said.push(c),
        }
    }
    said
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folders_of(labels: Labels, value: &str) -> Vec<String> {
        let mut folders = Folders::of(labels);
        folders.of_labels(value.as_bytes()).into_iter().map(|folder| folders.name(folder)).collect()
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
            assert_eq!(folders_of(Labels::Folders, labels), all, "{labels}");
            assert_eq!(folders_of(Labels::First, labels), [first], "{labels}");
        }
    }

    #[test]
    fn a_name_that_no_folder_can_have_is_replaced_and_told_once() {
        for (label, folder) in [
            ("v1.0", "v1%2E0"),
            ("a\tb", "a%09b"),
            ("50% off", "50% off"),
            ("50%25", "50%2525"),
            ("a//b", "a/%_/b"),
            ("inbox", "%69nbox"),
            ("Inbox/old", "Inbox/old"),
            ("..", "%2E%2E"),
        ] {
            assert_eq!(said(label).join("/"), folder);
            let mut folders = Folders::of(Labels::Folders);
            let number = folders.of_label(label);
            assert_eq!(folders.of_label(label), number);
            let found = folders.findings();
            assert_eq!(found.len(), usize::from(folder != label), "{found:?}");
        }
        let long =
            ["ä".repeat(200), "x".repeat(300), ["level"; 80].join("/"), format!("{}/b", "a".repeat(254))];
        for label in long {
            let directory = folders::directory(&said(&label));
            assert!((200..=255).contains(&directory.len()), "{directory}");
            assert_ne!(said(&label), said(&(label + "2")), "the hash tells them apart");
        }
    }

    /// What a person reads the label by.
    fn read(level: &str) -> Vec<u8> {
        let (mut label, mut rest) = (Vec::new(), level.as_bytes());
        if rest == b"%_" {
            return label;
        }
        while let Some((&first, after)) = rest.split_first() {
            let digits = after.get(..2).filter(|d| first == b'%' && d.iter().all(u8::is_ascii_hexdigit));
            match digits.and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 16).ok()) {
                Some(byte) => {
                    label.push(byte);
                    rest = &after[2..];
                }
                None => {
                    label.push(first);
                    rest = after;
                }
            }
        }
        label
    }

    proptest! {
        #[test]
        fn the_label_can_be_read_from_the_folders_name(label in prop_oneof!["[a-f2%_./ä]{1,12}", "inbox|INBOX|InBox", "\\PC{1,20}", any::<String>()]) {
            let levels = said(&label);
            let directory = folders::directory(&levels);
            if directory.len() < 230 {
                let labels: Vec<Vec<u8>> = levels.iter().map(|level| read(level)).collect();
                prop_assert_eq!(labels.join(&b'/'), label.into_bytes());
            }
            prop_assert!(!directory.contains('/') && !directory.eq_ignore_ascii_case(".INBOX"));
            prop_assert_eq!(folders::levels(directory.as_bytes()), Ok(levels));
        }
    }
}
