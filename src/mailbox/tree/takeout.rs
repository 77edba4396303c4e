//! The mboxes of a Google Takeout, recognized by their first message. The names of files and directories are in the
//! language of the account.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::folder::Folder;

/// The kinds of mail that Google exports into an mbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TakeoutExport {
    Mail,
    /// A group, by its name.
    Group(Vec<u8>),
}

/// Recognizes an mbox by its first lines: `From NUMBER@xxx DATE`, and then the fields that Takeout adds to each message.
pub(crate) fn recognize(head: &[u8]) -> Option<TakeoutExport> {
    let mut lines = head.trim_ascii_start().split(|&b| b == b'\n');
    let (number, _) = split_at_mark(lines.next()?.strip_prefix(b"From ")?)?;
    let is_number = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
    lines.next().filter(|line| is_number && line.starts_with(b"X-GM-THRID:"))?;
    let group = lines.next().and_then(|line| line.strip_prefix(b"X-Google-Groups:"));
    Some(match group.map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()) {
        Some(name) => TakeoutExport::Group(name.to_vec()),
        None => TakeoutExport::Mail,
    })
}

fn split_at_mark(sender: &[u8]) -> Option<(&[u8], &[u8])> {
    const MARK: &[u8] = b"@xxx ";
    let at = sender.windows(MARK.len()).take(32).position(|window| window == MARK)?;
    Some((&sender[..at], &sender[at..]))
}

/// Names the folders of a Takeout: a group is a folder of its name. The directory in which all other mail is, such as
/// `Takeout/Mail`, is no part of the names. Where exports are in several directories, their names stay.
pub(crate) fn name_folders<'a>(
    mailboxes: impl Iterator<Item = (&'a Path, &'a mut Folder)>,
    exports: &HashMap<PathBuf, TakeoutExport>,
) {
    let is_mail = |path: &PathBuf| exports.get(path) == Some(&TakeoutExport::Mail);
    let mut directories: Vec<Option<&Path>> =
        exports.keys().filter(|path| is_mail(path)).map(|path| path.parent()).collect();
    directories.sort();
    directories.dedup();
    let is_in_one = directories.len() == 1;
    for (path, folder) in mailboxes {
        match exports.get(path) {
            Some(TakeoutExport::Group(name)) => *folder = Folder(vec![name.clone()]),
            Some(TakeoutExport::Mail) if is_in_one => {
                let name = folder.0.pop();
                *folder = Folder(name.into_iter().collect());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_recognized_by_its_first_message() {
        let from = "From 1800000000000000000@xxx Sat Jun 09 06:07:13 +0000 2012\r\nX-GM-THRID: 1\r\n";
        let group = |text: &str| recognize([from, text].concat().as_bytes());
        assert_eq!(group("X-Gmail-Labels: Inbox\r\nX-Google-Groups: a\r\n"), Some(TakeoutExport::Mail));
        assert_eq!(group("X-Google-Groups: vecinos\r\n"), Some(TakeoutExport::Group(b"vecinos".to_vec())));
        assert_eq!(recognize(b"From a@xxx Sat Jun 09 06:07:13 2012\nX-GM-THRID: 1\n"), None);
        assert_eq!(recognize(b"From 1@xxx Sat Jun 09 06:07:13 2012\nSubject: 1\n"), None);
    }
}
