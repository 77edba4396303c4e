//! The mailboxes of Apple Mail. The messages of one are in several directories, such as
//! `INBOX.mbox/<UUID>/Data/4/1/1/Messages`, and its folder is the chain of the `.mbox` directories around them.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

use super::Folder;
use super::folder::{decode_level, strip_extension};
use super::message_name::is_number;
use crate::mailbox::fs::{Dir, entries};

/// The suffixes of directories that are mailboxes. The second one was used up to Mac OS X 10.4.
const SUFFIXES: [&[u8]; 2] = [b".mbox", b".imapmbox"];
const PARTIAL: &[u8] = b".partial.emlx";

/// A mailbox of Apple Mail.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AppleMailbox {
    /// The `.mbox` directory.
    pub path: PathBuf,
    pub folder: Folder,
    /// The messages, by their numbers.
    pub files: Vec<PathBuf>,
}

/// Takes the messages of Apple Mail's mailboxes out of a tree. `messages` are the single messages by directory.
pub(super) fn take_mailboxes(
    root: &Path,
    messages: &mut BTreeMap<PathBuf, Vec<PathBuf>>,
) -> Vec<AppleMailbox> {
    let mut mailboxes: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    messages.retain(|directory, files| {
        let below = directory.strip_prefix(root).unwrap_or(directory);
        let is_known = |path: &&Path| is_mailbox(path) || path.as_os_str().is_empty() && is_mailbox(root);
        let has_emlx = |_: &&Path| files.iter().any(|file| file.extension() == Some(OsStr::new("emlx")));
        let flat = || Some(below).filter(is_known).filter(has_emlx);
        match mailbox_of(below).filter(is_known).or_else(flat) {
            Some(path) => {
                mailboxes.entry(path.to_owned()).or_default().append(files);
                false
            }
            None => true,
        }
    });
    let accounts = Accounts::new(mailboxes.keys());
    let mailbox = |(path, mut files): (PathBuf, Vec<PathBuf>)| {
        files.sort_by_cached_key(|file| (number_of(file), file.clone()));
        let folder = Folder(accounts.levels(&path).chain(levels(&path)).collect());
        // A path that ends with a slash is not equal to that of the root.
        let path = if path.as_os_str().is_empty() { root.to_owned() } else { root.join(path) };
        AppleMailbox { path, folder, files }
    };
    mailboxes.into_iter().map(mailbox).collect()
}

/// Takes out the partial messages next to which the whole message is.
pub(super) fn take_superseded(files: &mut Vec<PathBuf>) -> Vec<PathBuf> {
    let whole = |file: &Path| {
        let stem = file.file_name()?.as_bytes().strip_suffix(PARTIAL)?;
        Some(file.with_file_name(OsStr::from_bytes(&[stem, b".emlx"].concat())))
    };
    let all: HashSet<&PathBuf> = files.iter().collect();
    let is_superseded = |file: &PathBuf| whole(file).is_some_and(|whole| all.contains(&whole));
    let superseded: HashSet<PathBuf> = files.iter().filter(|file| is_superseded(file)).cloned().collect();
    files.retain(|file| !superseded.contains(file));
    let mut superseded: Vec<PathBuf> = superseded.into_iter().collect();
    superseded.sort();
    superseded
}

/// Reports whether a directory has the attachments of the messages in the directory `Messages` next to it. Each is in
/// a directory with the number of its part, in one with the number of its message: `114892/1.2/report.pdf`. Folders of
/// MH may have these names, too, but not this layout.
pub(super) fn has_attachments(directory: &Path) -> bool {
    let is_apple = |name: &OsString| Path::new(name).extension() == Some(OsStr::new("emlx"));
    let messages = directory.with_file_name("Messages");
    directory.file_name() == Some(OsStr::new("Attachments"))
        && Dir::open(&messages).and_then(|dir| dir.names()).is_ok_and(|names| names.iter().any(is_apple))
        && is_laid_out_by_number(directory)
}

/// Reports whether there are directories with numbers, and in them only directories with numbers of parts.
fn is_laid_out_by_number(directory: &Path) -> bool {
    let (mut entries, mut found) = (entries::below(directory, false), false);
    while let Some(entry) = entries.next() {
        let Ok(entry) = entry else { return false };
        let name = entry.name().as_bytes();
        let is_numbered = match entry.depth {
            1 => is_number(name),
            _ => name.split(|&b| b == b'.').all(is_number),
        };
        match entry.is_dir() && is_numbered {
            true if entry.depth > 1 => entries.skip_current_dir(),
            true => found = true,
            // Such as .DS_Store.
            false if name.starts_with(b".") && !entry.is_dir() => {}
            false => return false,
        }
    }
    found
}

/// Returns the mailbox of a directory with messages.
fn mailbox_of(directory: &Path) -> Option<&Path> {
    let name = |path: &Path| path.file_name().map(OsStr::as_bytes).unwrap_or_default().to_owned();
    if name(directory) != b"Messages" {
        return None;
    }
    let messages = directory.parent()?;
    let mut data = messages;
    while matches!(&name(data)[..], [b'0'..=b'9']) {
        data = data.parent()?;
    }
    if name(data) != b"Data" {
        return Some(messages);
    }
    let mailbox = data.parent()?;
    match is_mailbox(mailbox) {
        true => Some(mailbox),
        // A UUID is between them.
        false => mailbox.parent(),
    }
}

fn is_mailbox(path: &Path) -> bool {
    path.file_name().is_some_and(|name| level(name).is_some())
}

/// Returns the level of a mailbox by the name of its directory. macOS decomposes accents in names.
fn level(name: &OsStr) -> Option<Vec<u8>> {
    let name = name.as_bytes();
    let short =
        SUFFIXES.iter().map(|suffix| strip_extension(name, suffix)).find(|short| short.len() < name.len())?;
    let level = decode_level(short);
    Some(
        String::from_utf8(level)
            .map_or_else(|e| e.into_bytes(), |text| text.nfc().collect::<String>().into_bytes()),
    )
}

fn names(path: &Path) -> impl Iterator<Item = &OsStr> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        _ => None,
    })
}

fn levels(mailbox: &Path) -> impl Iterator<Item = Vec<u8>> {
    names(mailbox).filter_map(level)
}

/// Returns the directories above the outermost mailbox: those of an account.
fn account(mailbox: &Path) -> Vec<&OsStr> {
    names(mailbox).take_while(|name| level(name).is_none()).collect()
}

/// Returns the number of a message.
fn number_of(file: &Path) -> u64 {
    let name = file.file_name().map(OsStr::as_bytes).unwrap_or_default();
    let digits = name.iter().take_while(|b| b.is_ascii_digit()).count();
    std::str::from_utf8(&name[..digits]).ok().and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX)
}

/// The accounts of a tree. Only several of them have levels of their own.
struct Accounts {
    count: usize,
    /// The last parts of their paths are different.
    are_short: bool,
}

impl Accounts {
    fn new<'a>(mailboxes: impl Iterator<Item = &'a PathBuf>) -> Accounts {
        let accounts: HashSet<Vec<&OsStr>> = mailboxes.map(|mailbox| account(mailbox)).collect();
        let last: HashSet<Option<&&OsStr>> = accounts.iter().map(|account| account.last()).collect();
        Accounts { count: accounts.len(), are_short: last.len() == accounts.len() }
    }

    fn levels(&self, mailbox: &Path) -> impl Iterator<Item = Vec<u8>> + use<> {
        let account = account(mailbox);
        let from = match (self.count, self.are_short) {
            (0 | 1, _) => account.len(),
            (_, true) => account.len().saturating_sub(1),
            (_, false) => 0,
        };
        let levels: Vec<Vec<u8>> = account[from..].iter().map(|name| decode_level(name.as_bytes())).collect();
        levels.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the mailboxes below `root` with their folders and files, and what is left.
    fn grouped(root: &str, files: &[&str]) -> (Vec<String>, usize) {
        let mut messages: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
        for file in files {
            let path = Path::new(root).join(file);
            messages.entry(path.parent().unwrap().to_owned()).or_default().push(path);
        }
        let mailboxes = take_mailboxes(Path::new(root), &mut messages);
        let line = |mailbox: &AppleMailbox| {
            let name = |file: &PathBuf| file.file_name().unwrap().to_str().unwrap().to_owned();
            let files: Vec<String> = mailbox.files.iter().map(name).collect();
            format!("{} {} {}", mailbox.path.display(), mailbox.folder, files.join(","))
        };
        (mailboxes.iter().map(line).collect(), messages.len())
    }

    #[test]
    fn the_folder_of_a_message_is_the_chain_of_mailboxes() {
        let files = [
            "V10/1A/INBOX.mbox/9F/Data/4/1/1/Messages/114892.emlx",
            "V10/1A/INBOX.mbox/9F/Data/Messages/7.emlx",
            "V10/1A/INBOX.mbox/9F/Data/1/Messages/1000.partial.emlx",
            "V10/1A/Archive.mbox/2019.mbox/9F/Data/0/7/Messages/70012.emlx",
            "V10/1A/Bu\u{308}ro.mbox/Messages/3.emlx",
            "V10/1A/Old.imapmbox/Data/Messages/3.emlx",
            "V10/1A/Flat.mbox/5.emlx",
            "V10/1A/Letters.mbox/5.eml",
            "letters/a.eml",
            "Messages/1.emlx",
        ];
        let (mailboxes, left) = grouped("/m", &files);
        assert_eq!(
            mailboxes,
            [
                "/m/V10/1A/Archive.mbox/2019.mbox Archive/2019 70012.emlx",
                "/m/V10/1A/Bu\u{308}ro.mbox Büro 3.emlx",
                "/m/V10/1A/Flat.mbox Flat 5.emlx",
                "/m/V10/1A/INBOX.mbox INBOX 7.emlx,1000.partial.emlx,114892.emlx",
                "/m/V10/1A/Old.imapmbox Old 3.emlx",
            ]
        );
        assert_eq!(left, 3);
        let inside = ["9F/Data/Messages/1.emlx", "Sub.mbox/9F/Data/Messages/2.emlx"];
        assert_eq!(
            grouped("/m/INBOX.mbox", &inside).0,
            ["/m/INBOX.mbox INBOX 1.emlx", "/m/INBOX.mbox/Sub.mbox Sub 2.emlx"]
        );
    }

    #[test]
    fn several_accounts_keep_their_mail_apart() {
        let of = |accounts: [&str; 2]| {
            let files = accounts.map(|account| format!("{account}/INBOX.mbox/9F/Data/Messages/1.emlx"));
            let (mailboxes, _) = grouped("/m", &files.each_ref().map(|file| &file[..]));
            mailboxes.iter().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(of(["V10/1A", "V10/2B"]), ["1A/INBOX", "2B/INBOX"]);
        assert_eq!(of(["V9/1A", "V10/1A"]), ["V10/1A/INBOX", "V9/1A/INBOX"]);
        assert_eq!(of(["Mailboxes", "IMAP-a@b"]), ["IMAP-a@b/INBOX", "Mailboxes/INBOX"]);
    }

    #[test]
    fn the_whole_message_supersedes_the_partial_one() {
        let mut files: Vec<PathBuf> = ["1.emlx", "1.partial.emlx", "2.partial.emlx", "3.emlx"]
            .map(|name| Path::new("/m").join(name))
            .into();
        assert_eq!(take_superseded(&mut files), [Path::new("/m/1.partial.emlx")]);
        assert_eq!(files.len(), 3);
    }
}
