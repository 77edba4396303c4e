//! The names of the folders of a tree in another layout. Each keeps its name if possible. No two names differ only in
//! case or accents, since some file systems and users see no difference.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use unicode_normalization::UnicodeNormalization;

use super::folder::{NAME_MAX, SUBFOLDERS_SUFFIX};
use super::{Folder, Layout};
use crate::mailbox::manifest::Digest;

/// The name of a folder in the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FolderName {
    pub folder: Folder,
    /// The path below the root of the destination. Empty for the root.
    pub directory: PathBuf,
    /// The reason for a new name, a phrase.
    pub rename_reason: Option<&'static str>,
}

/// Assigns a name to each of `folders` in turn. The same name twice is two folders.
pub(crate) fn assign_names(folders: &[Folder], layout: Layout) -> Vec<FolderName> {
    let mut names = Names::new(folders, layout);
    let mut seen = HashSet::new();
    let assign = |folder| match seen.insert(folder) {
        true => names.name(folder),
        false => names.name_duplicate(folder),
    };
    let all: Vec<Assigned> = folders.iter().map(assign).collect();
    let mail: HashSet<Folder> = all.iter().map(|(folder, _)| folder.clone()).collect();
    let named = all.into_iter().map(|(folder, rename_reason)| {
        let directory = match layout {
            Layout::Mboxes => mbox_path(&folder, &mail),
            Layout::MaildirPlusPlus | Layout::Fs | Layout::MessageFiles => layout.path(&folder.0),
        };
        FolderName { folder, directory, rename_reason }
    });
    named.collect()
}

/// An mbox is a file, and has no files below it: the subfolders of `A` are in `A.sbd`.
fn mbox_path(folder: &Folder, mail: &HashSet<Folder>) -> PathBuf {
    let mut path = PathBuf::new();
    for n in 0..folder.0.len() {
        let mut encoded = Layout::Mboxes.encode_level(&folder.0[n], n == 0);
        let is_mail = || match n {
            0 if is_spelling_of_inbox(&folder.0[0]) => true,
            _ => mail.contains(&Folder(folder.0[..=n].to_vec())),
        };
        if n + 1 < folder.0.len() && is_mail() {
            encoded.extend_from_slice(SUBFOLDERS_SUFFIX);
        }
        path.push(OsStr::from_bytes(&encoded));
    }
    if folder.0.is_empty() { Layout::Mboxes.path(&[]) } else { path }
}

/// A folder in the destination, and the reason if its name is new.
type Assigned = (Folder, Option<&'static str>);

/// The assigned names.
struct Names {
    layout: Layout,
    /// The names of the children of each folder, folded.
    taken: HashMap<Folder, HashSet<String>>,
    /// The new name of each folder, and the reason.
    assigned: HashMap<Folder, Assigned>,
    /// The spelling of INBOX that becomes INBOX.
    inbox: Option<Vec<u8>>,
}

impl Names {
    fn new(folders: &[Folder], layout: Layout) -> Names {
        let inbox = spelling_of_inbox(folders);
        let mut names = Names { layout, taken: HashMap::new(), assigned: HashMap::new(), inbox };
        names.take(&Folder::INBOX, b"INBOX");
        names
    }

    fn name(&mut self, folder: &Folder) -> Assigned {
        let Some((level, above)) = folder.0.split_last() else { return (Folder::INBOX, None) };
        if above.is_empty() && self.inbox.as_ref() == Some(level) {
            return (Folder::INBOX, None);
        }
        if let Some(known) = self.assigned.get(folder) {
            return known.clone();
        }
        let named = self.assign(above, level, None);
        self.assigned.insert(folder.clone(), named.clone());
        named
    }

    /// Names the second folder of the same name.
    fn name_duplicate(&mut self, folder: &Folder) -> Assigned {
        let reason = Some("another mailbox has its name");
        match folder.0.split_last() {
            Some((level, above)) => self.assign(above, level, reason),
            None => self.assign(&[], b"INBOX", reason),
        }
    }

    fn assign(&mut self, above: &[Vec<u8>], level: &[u8], reason: Option<&'static str>) -> Assigned {
        let (mut parent, parent_reason) = self.name(&Folder(above.to_vec()));
        if parent == Folder::INBOX && !above.is_empty() {
            // INBOX has no name, but its children have one below it.
            parent = Folder(vec![b"INBOX".to_vec()]);
        }
        let mut reason = reason.or(parent_reason);
        let mut name = level.to_vec();
        if let Some(shorter) = self.shortened(&parent, level) {
            reason = Some("its name is too long");
            match shorter {
                Some(shorter) => name = shorter,
                // No name fits below its parent.
                None => {
                    name = marked(&[], &[&above.join(&b'/')[..], b"/", level].concat());
                    parent = Folder::INBOX;
                }
            }
        }
        let mut copy = 1;
        while !self.take(&parent, &name) {
            reason = reason.or(Some("another folder has its name, apart from case or accents"));
            copy += 1;
            name = [level, format!(" ({copy})").as_bytes()].concat();
            if let Some(Some(shorter)) = self.shortened(&parent, &name) {
                name = shorter;
            }
        }
        (parent.child(name), reason)
    }

    /// Takes a name if it is free.
    fn take(&mut self, parent: &Folder, level: &[u8]) -> bool {
        let folded = String::from_utf8_lossy(level).nfc().collect::<String>().to_lowercase().nfc().collect();
        self.taken.entry(parent.clone()).or_default().insert(folded)
    }

    /// Shortens a level that is too long for the file system, and adds a hash of it. `None` if it fits. `Some(None)`
    /// if the parents leave no space for any name.
    fn shortened(&self, parent: &Folder, level: &[u8]) -> Option<Option<Vec<u8>>> {
        // The stage next to it has a longer name.
        const MAX: usize = NAME_MAX - ".".len() - ".mailferry-partial".len();
        let fits = |level: &[u8]| match self.layout {
            Layout::MaildirPlusPlus => {
                self.layout.path(&parent.child(level.to_vec()).0).as_os_str().len() <= MAX
            }
            Layout::Fs | Layout::Mboxes | Layout::MessageFiles => {
                self.layout.encode_level(level, parent.0.is_empty()).len() <= MAX
            }
        };
        if fits(level) {
            return None;
        }
        let is_whole =
            |kept: &usize| std::str::from_utf8(level).is_ok_and(|text| text.is_char_boundary(*kept));
        let is_text = std::str::from_utf8(level).is_ok();
        let lengths = (1..level.len()).rev().filter(|kept| !is_text || is_whole(kept));
        Some(lengths.map(|kept| marked(&level[..kept], level)).find(|cut| fits(cut)))
    }
}

/// Appends a hash of the whole name.
fn marked(kept: &[u8], whole: &[u8]) -> Vec<u8> {
    let hash = blake3::Hash::from_bytes(Digest::of(whole).0).to_hex();
    [kept, b"~", &hash.as_bytes()[..8]].concat()
}

/// Finds the spelling of INBOX that becomes INBOX. If a folder is INBOX already, a folder of that name is another one,
/// but subfolders without such a parent are those of INBOX: `.INBOX.Travel` in a Maildir.
fn spelling_of_inbox(folders: &[Folder]) -> Option<Vec<u8>> {
    let has_inbox = folders.contains(&Folder::INBOX);
    let is_another = |level: &Vec<u8>| has_inbox && folders.iter().any(|f| f.0[..] == [&level[..]]);
    let spellings =
        folders.iter().filter_map(|folder| folder.0.first()).filter(|level| is_spelling_of_inbox(level));
    // INBOX sorts before Inbox, and Inbox before inbox.
    spellings.filter(|level| !is_another(level)).min().cloned()
}

/// Renames the folders that [`assign_names`] would make INBOX, and their children. Then the folders of a tree have
/// the same names as in every tree converted from it.
pub(crate) fn normalize_inbox(folders: &mut [Folder]) {
    let Some(inbox) = spelling_of_inbox(folders) else { return };
    for folder in folders {
        match &mut folder.0[..] {
            [only] if *only == inbox => *folder = Folder::INBOX,
            [first, ..] if *first == inbox => *first = b"INBOX".to_vec(),
            _ => {}
        }
    }
}

/// Compares without case (RFC 3501 §5.1).
fn is_spelling_of_inbox(level: &[u8]) -> bool {
    level.eq_ignore_ascii_case(b"INBOX")
}

/// Returns the levels of `folder` below `from`, if it is `from` or a subfolder. INBOX alone has no subfolders: its
/// children are below its name.
pub(crate) fn levels_below<'a>(from: &Folder, folder: &'a Folder) -> Option<&'a [Vec<u8>]> {
    if from.0.is_empty() {
        return (folder.0.is_empty() || may_be_inbox(folder)).then_some(&[]);
    }
    let (begin, rest) = folder.0.split_at_checked(from.0.len())?;
    let is_same = |(n, (a, b)): (usize, (&Vec<u8>, &Vec<u8>))| {
        a == b || n == 0 && is_spelling_of_inbox(a) && is_spelling_of_inbox(b)
    };
    begin.iter().zip(&from.0).enumerate().all(is_same).then_some(rest)
}

/// Reports whether a folder may be INBOX because of its name.
pub(crate) fn may_be_inbox(folder: &Folder) -> bool {
    matches!(&folder.0[..], [only] if is_spelling_of_inbox(only))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folders(names: &[&str]) -> Vec<Folder> {
        let levels = |name: &&str| name.split('/').map(|level| level.as_bytes().to_vec()).collect();
        names.iter().map(|name| Folder(if name.is_empty() { Vec::new() } else { levels(name) })).collect()
    }

    fn directories(names: &[&str], layout: Layout) -> Vec<String> {
        assign_names(&folders(names), layout)
            .iter()
            .map(|n| n.directory.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn one_of_the_spellings_is_inbox() {
        let all = ["INBOX", "Inbox", "Inbox/child", "INBOX/other", "inbox"];
        assert_eq!(
            directories(&all, Layout::MaildirPlusPlus),
            ["", ".Inbox (2)", ".Inbox (2).child", ".INBOX.other", ".inbox (3)"]
        );
        assert_eq!(directories(&["inbox/child", "inbox"], Layout::Fs), ["INBOX/child", "INBOX"]);
        assert_eq!(directories(&["", "inbox"], Layout::Fs), ["INBOX", "inbox (2)"]);
    }

    #[test]
    fn a_maildir_keeps_the_folders_below_its_inbox() {
        for (names, layout, expected) in [
            (
                &["", "INBOX/a", "INBOX/a/b"][..],
                Layout::Mboxes,
                &["INBOX", "INBOX.sbd/a", "INBOX.sbd/a.sbd/b"][..],
            ),
            (&["", "INBOX/a"], Layout::MaildirPlusPlus, &["", ".INBOX.a"]),
            (&["", "Inbox/a"], Layout::Fs, &["INBOX", "INBOX/a"]),
            (&["", "INBOX", "INBOX/a"], Layout::Mboxes, &["INBOX", "INBOX (2)", "INBOX (2).sbd/a"]),
        ] {
            assert_eq!(directories(names, layout), expected, "{layout:?}");
        }
    }

    #[test]
    fn folders_are_named_as_in_a_converted_tree() {
        for (names, want) in [
            (&["inbox", "inbox/child", "Sent"][..], &["", "INBOX/child", "Sent"][..]),
            (&["INBOX", "Inbox", "Inbox/child"], &["", "Inbox", "Inbox/child"]),
            (&["", "inbox"], &["", "inbox"]),
            (&["Inbox/child"], &["INBOX/child"]),
        ] {
            let mut all = folders(names);
            normalize_inbox(&mut all);
            assert_eq!(all, folders(want), "{names:?}");
        }
    }

    #[test]
    fn names_that_look_the_same_become_different() {
        let all = ["Work", "work", "work/x", "Entwu\u{308}rfe", "Entwürfe", "Work"];
        let named = assign_names(&folders(&all), Layout::Fs);
        let names: Vec<String> = named.iter().map(|n| n.folder.to_string()).collect();
        assert_eq!(names, ["Work", "work (2)", "work (2)/x", "Entwu\u{308}rfe", "Entwürfe (2)", "Work (3)"]);
        let renamed: Vec<bool> = named.iter().map(|n| n.rename_reason.is_some()).collect();
        assert_eq!(renamed, [false, true, true, false, true, true]);
    }

    #[test]
    fn subfolders_of_an_mbox_are_in_a_directory_of_another_name() {
        assert_eq!(
            directories(&["A", "A/B", "A/B/C", "D/E", "INBOX", "INBOX/F", "x.sbd"], Layout::Mboxes),
            ["A", "A.sbd/B", "A.sbd/B.sbd/C", "D/E", "INBOX", "INBOX.sbd/F", r"x\2esbd"]
        );
    }

    #[test]
    fn long_names_are_cut_and_stay_different() {
        let long = "ä".repeat(120);
        let (a, b) = (format!("{long}a"), format!("{long}b"));
        let deep = format!("{a}/{a}/{a}/{a}");
        for layout in [Layout::MaildirPlusPlus, Layout::Fs, Layout::Mboxes] {
            let all = assign_names(&folders(&[&a, &b, &deep]), layout);
            let directories: HashSet<&PathBuf> = all.iter().map(|n| &n.directory).collect();
            assert_eq!(directories.len(), 3);
            for part in all.iter().flat_map(|n| n.directory.components()) {
                assert!(part.as_os_str().len() <= 240, "{part:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_two_folders_get_the_same_name(names in proptest::collection::vec("[aAäb]{1,2}(/[aAb.]{1,2}){0,2}|(INBOX|inbox)(/a)?", 1..12)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            for layout in [Layout::MaildirPlusPlus, Layout::Fs, Layout::Mboxes] {
                let all = assign_names(&folders(&names), layout);
                let folded: HashSet<String> =
                    all.iter().map(|n| n.directory.to_str().unwrap().to_lowercase()).collect();
                prop_assert_eq!(folded.len(), all.len(), "{:?}", all);
            }
        }
    }
}
