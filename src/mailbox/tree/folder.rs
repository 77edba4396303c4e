//! The names of folders: levels of bytes, and their encoding in each layout.
//!
//! A byte that a layout cannot represent is escaped as `\` and two hexadecimal digits, and so is `\` itself. Each
//! name can be decoded. (The listescape plugin of Dovecot writes the same.) An empty level, from `..x` next to cur/
//! or from mailferry.folders, is a lone `\`: written as nothing it would be another folder, or the parent directory.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::mailbox::escape;
use crate::mailbox::maildir::folders::{decode, encode};

/// A folder as its levels, the outermost first. INBOX has none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Folder(pub Vec<Vec<u8>>);

/// The layout of folders on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub(crate) enum Layout {
    /// Maildirs .A.B next to cur/, as in Courier and Dovecot
    #[default]
    #[cfg_attr(feature = "cli", value(name = "maildir++"))]
    MaildirPlusPlus,
    // INBOX is one of them. Each level is in modified UTF-7, as in Maildir++.
    /// Maildirs A/B
    Fs,
    /// mboxes `A/B` below the destination. Below a folder with mail of its own, `A.sbd/B`.
    #[cfg_attr(feature = "cli", value(skip))]
    Mboxes,
    /// Files of one message each, in the directories `A/B`. INBOX is the destination itself.
    #[cfg_attr(feature = "cli", value(skip))]
    MessageFiles,
}

/// The longest name on a file system, in bytes.
pub(crate) const NAME_MAX: usize = 255;
/// The suffixes of mbox files. They are not part of the name of the folder.
const SUFFIXES: [&[u8]; 6] = [b".mbox", b".mboxrd", b".mboxcl", b".mbx", b".mmdf", b".txt"];
/// The suffixes of compressed files.
const COMPRESSED: [&[u8]; 4] = [b".gz", b".zst", b".bz2", b".xz"];
/// The encoding of an empty level.
const NAMELESS: &[u8] = b"\\";
/// The suffix of the directory in which Thunderbird keeps the subfolders of a folder.
pub(crate) const SUBFOLDERS_SUFFIX: &[u8] = b".sbd";

impl Folder {
    pub(crate) const INBOX: Folder = Folder(Vec::new());

    /// Returns a subfolder.
    pub(crate) fn child(&self, level: Vec<u8>) -> Folder {
        Folder(self.0.iter().cloned().chain([level]).collect())
    }

    /// Parses the name that a user types: levels separated by `/`, or, without one, by dots. INBOX may be in any
    /// case.
    pub(crate) fn parse(text: &[u8]) -> Result<Folder, &'static str> {
        if text.is_empty() || text.eq_ignore_ascii_case(b"INBOX") {
            return Ok(Folder::INBOX);
        }
        let separator = if text.contains(&b'/') { b'/' } else { b'.' };
        let levels: Vec<Vec<u8>> = text.split(|&b| b == separator).map(<[u8]>::to_vec).collect();
        match levels.iter().any(Vec::is_empty) {
            true => Err("a level has no name"),
            false => Ok(Folder(levels)),
        }
    }
}

/// Levels separated by `/`.
impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("INBOX");
        }
        let shown = |level: &Vec<u8>| if level.is_empty() { "\\".to_owned() } else { escape(level) };
        f.write_str(&self.0.iter().map(shown).collect::<Vec<_>>().join("/"))
    }
}

impl Layout {
    /// Reports whether its folders have no manifest: they are exports.
    pub(crate) fn is_export(self) -> bool {
        matches!(self, Layout::Mboxes | Layout::MessageFiles)
    }

    /// Returns the value of `--layout`, or the word of reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Layout::MaildirPlusPlus => "maildir++",
            Layout::Fs => "fs",
            Layout::Mboxes => "mboxes",
            Layout::MessageFiles => "eml",
        }
    }

    /// Encodes one level. `first` is the outermost.
    pub(crate) fn encode_level(self, level: &[u8], first: bool) -> Vec<u8> {
        match self {
            _ if level.is_empty() => NAMELESS.to_vec(),
            Layout::MaildirPlusPlus => escape_and_encode(level, |at, b| {
                b == b'.' || needs_escape(b) || (first && at == 0 && b == b'~')
            }),
            Layout::Fs => {
                let is_list =
                    matches!(level, b"subscriptions" | b"mailferry.folders" | b"mailferry.manifest");
                let is_taken = matches!(level, b"cur" | b"new" | b"tmp") || first && is_list;
                // NAME.sbd would be read as the directory of NAME's subfolders.
                let dot = match ends_with(level, SUBFOLDERS_SUFFIX) {
                    true => level.len() - SUBFOLDERS_SUFFIX.len(),
                    false => usize::MAX,
                };
                escape_and_encode(level, |at, b| {
                    needs_escape(b) || at == dot || at == 0 && (is_taken || matches!(b, b'.' | b'~'))
                })
            }
            Layout::Mboxes | Layout::MessageFiles => {
                let suffix = SUFFIXES
                    .iter()
                    .chain(&COMPRESSED)
                    .chain([&SUBFOLDERS_SUFFIX])
                    .find(|suffix| ends_with(level, suffix));
                let dot = suffix.map_or(usize::MAX, |suffix| level.len() - suffix.len());
                // In Apple Mail, Name.mbox/mbox is the mailbox of its directory.
                let is_taken = match self {
                    Layout::MessageFiles => matches!(level, b"cur" | b"new" | b"tmp"),
                    _ => !first && level == b"mbox",
                };
                let needs_escape =
                    |at: usize, b: u8| needs_escape(b) || at == dot || at == 0 && (is_taken || b == b'.');
                let escaped = escape_level(level, needs_escape);
                // Only text that would be decoded as modified UTF-7: `R&D` would not.
                match escaped.contains(&b'&') && decode(&escaped).is_ok() {
                    true => escape_level(level, |at, b| needs_escape(at, b) || b == b'&'),
                    false => escaped,
                }
            }
        }
    }

    /// Returns the path of a folder below the root. [`naming`](super::naming) adds `.sbd` to the parents of mboxes.
    pub(crate) fn path(self, levels: &[Vec<u8>]) -> PathBuf {
        let encoded = levels.iter().enumerate().map(|(n, level)| self.encode_level(level, n == 0));
        match self {
            Layout::MaildirPlusPlus | Layout::MessageFiles if levels.is_empty() => PathBuf::new(),
            Layout::MaildirPlusPlus => {
                let mut name = Vec::new();
                encoded.for_each(|level| name.extend([&b"."[..], &level].concat()));
                OsString::from_vec(name).into()
            }
            _ if levels.is_empty() => "INBOX".into(),
            Layout::Fs | Layout::Mboxes | Layout::MessageFiles => encoded.map(OsString::from_vec).collect(),
        }
    }
}

/// Returns the directory of a folder in its Maildir, which is empty for the Maildir itself.
pub(crate) fn maildirpp_directory(levels: &[String]) -> PathBuf {
    let levels: Vec<Vec<u8>> = levels.iter().map(|level| level.as_bytes().to_vec()).collect();
    Layout::MaildirPlusPlus.path(&levels)
}

/// Returns the levels of a Maildir++ folder by the name of its directory. A name that is not modified UTF-7 is used
/// unchanged.
pub(crate) fn parse_maildirpp(directory: &[u8]) -> Vec<Vec<u8>> {
    let name = directory.strip_prefix(b".").unwrap_or(directory);
    name.split(|&b| b == b'.').map(decode_level).collect()
}

/// Decodes the name of a file or directory in a tree.
pub(crate) fn decode_level(name: &[u8]) -> Vec<u8> {
    let decoded = decode(name).map_or_else(|_| name.to_vec(), String::into_bytes);
    unescape_level(&decoded)
}

/// Returns the level of an mbox by the name of its file, without the suffixes of mboxes and compression.
pub(crate) fn level_of_mbox(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    let mut name = path.file_name().unwrap_or_default().as_bytes();
    for suffix in COMPRESSED {
        name = strip_extension(name, suffix);
    }
    for suffix in SUFFIXES {
        let shorter = strip_extension(name, suffix);
        if shorter.len() < name.len() {
            name = shorter;
            break;
        }
    }
    decode_level(name)
}

/// Removes a suffix from a name, unless nothing is left.
pub(crate) fn strip_extension<'a>(name: &'a [u8], suffix: &[u8]) -> &'a [u8] {
    if ends_with(name, suffix) { &name[..name.len() - suffix.len()] } else { name }
}

/// Returns the `name` in `.name.directory`, in which KMail keeps the subfolders of `name`.
pub(crate) fn kmail_folder(directory: &[u8]) -> Option<&[u8]> {
    let name = directory.strip_prefix(b".")?.strip_suffix(b".directory")?;
    (!name.is_empty()).then_some(name)
}

fn ends_with(name: &[u8], suffix: &[u8]) -> bool {
    name.len() > suffix.len() && name[name.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
}

/// Bytes that no layout can represent.
fn needs_escape(b: u8) -> bool {
    b == b'/' || b == b'\\' || b.is_ascii_control()
}

fn escape_and_encode(level: &[u8], needs_escape: impl Fn(usize, u8) -> bool) -> Vec<u8> {
    let escaped = escape_level(level, needs_escape);
    // Bytes that are not UTF-8 are escaped in ASCII.
    String::from_utf8(escaped).map_or_else(|e| e.into_bytes(), |text| encode(&text).into_bytes())
}

fn escape_level(level: &[u8], needs_escape: impl Fn(usize, u8) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(level.len());
    let mut at = 0;
    let push = |out: &mut Vec<u8>, b: u8| out.extend(format!("\\{b:02x}").into_bytes());
    for chunk in level.utf8_chunks() {
        for &b in chunk.valid().as_bytes() {
            if needs_escape(at, b) {
                push(&mut out, b)
            } else {
                out.push(b)
            }
            at += 1;
        }
        for &b in chunk.invalid() {
            push(&mut out, b);
            at += 1;
        }
    }
    out
}

/// The inverse of [`escape_level`]. A `\` from another program stays.
fn unescape_level(escaped: &[u8]) -> Vec<u8> {
    if escaped == NAMELESS {
        return Vec::new();
    }
    let mut out = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|digits| first == b'\\' && digits.iter().all(is_lower_hex));
        let byte = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(first);
                rest = after;
            }
        }
    }
    out
}

fn is_lower_hex(b: &u8) -> bool {
    matches!(b, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::*;

    const LAYOUTS: [Layout; 3] = [Layout::MaildirPlusPlus, Layout::Fs, Layout::Mboxes];

    fn path_in(layout: Layout, levels: &[&str]) -> String {
        let levels: Vec<Vec<u8>> = levels.iter().map(|level| level.as_bytes().to_vec()).collect();
        layout.path(&levels).to_str().unwrap().to_owned()
    }

    #[test]
    fn each_layout_encodes_what_it_cannot_represent() {
        for (levels, maildirpp, fs, mboxes) in [
            (&[][..], "", "INBOX", "INBOX"),
            (&["Sent"], ".Sent", "Sent", "Sent"),
            (&["Entwürfe", "alt"], ".Entw&APw-rfe.alt", "Entw&APw-rfe/alt", "Entwürfe/alt"),
            (&["v1.2", "a/b"], r".v1\2e2.a\2fb", r"v1.2/a\2fb", r"v1.2/a\2fb"),
            (&["R&D"], ".R&-D", "R&-D", "R&D"),
            (&["&APw-"], ".&-APw-", "&-APw-", r"\26APw-"),
            (&["cur"], ".cur", r"\63ur", "cur"),
            (&["subscriptions"], ".subscriptions", r"\73ubscriptions", "subscriptions"),
            (&["a", "mbox"], ".a.mbox", "a/mbox", r"a/\6dbox"),
            (&[".hidden"], r".\2ehidden", r"\2ehidden", r"\2ehidden"),
            (&["~peter"], r".\7epeter", r"\7epeter", "~peter"),
            (&["notes.txt"], r".notes\2etxt", "notes.txt", r"notes\2etxt"),
            (&["", ""], r".\.\", r"\/\", r"\/\"),
            (&["", "x"], r".\.x", r"\/x", r"\/x"),
            (&["a\tb\\c"], r".a\09b\5cc", r"a\09b\5cc", r"a\09b\5cc"),
        ] {
            for (layout, want) in LAYOUTS.into_iter().zip([maildirpp, fs, mboxes]) {
                assert_eq!(path_in(layout, levels), want, "{layout:?}");
            }
        }
    }

    #[test]
    fn an_mbox_is_not_called_by_its_format() {
        for (file, level) in [
            ("inbox", "inbox"),
            ("2005-November.txt.gz", "2005-November"),
            ("All mail Including Spam and Trash.mbox", "All mail Including Spam and Trash"),
            (".mbox", ".mbox"),
            ("Entw&APw-rfe", "Entwürfe"),
            ("R&D", "R&D"),
        ] {
            assert_eq!(level_of_mbox(Path::new(file)), level.as_bytes(), "{file}");
        }
    }

    #[test]
    fn kmails_directories_are_below_their_folders() {
        for (directory, folder) in
            [(".inbox.directory", Some("inbox")), (".directory", None), ("x.directory", None), (".x", None)]
        {
            assert_eq!(kmail_folder(directory.as_bytes()), folder.map(str::as_bytes), "{directory}");
        }
    }

    #[test]
    fn a_user_separates_levels_by_slashes_or_dots() {
        let parse = |text: &str| Folder::parse(text.as_bytes()).map(|folder| folder.to_string());
        assert_eq!(parse("Lists.qmail").unwrap(), "Lists/qmail");
        assert_eq!(parse("Lists/v1.2").unwrap(), "Lists/v1.2");
        assert_eq!(parse("inbox").unwrap(), "INBOX");
        assert!(parse("a//b").is_err());
    }

    fn level() -> impl Strategy<Value = Vec<u8>> {
        const TRICKY: [&[u8]; 15] = [
            b"",
            b".",
            b"..",
            b"cur",
            b"\\2e",
            b"&APw-",
            b"a.mbox",
            b"x.sbd",
            b"b.txt.gz",
            b"\xfc",
            b"~",
            b"a/b",
            b"\0",
            b"&-",
            b"&",
        ];
        let tricky = proptest::sample::select(&TRICKY[..]);
        prop_oneof![
            tricky.clone().prop_map(<[u8]>::to_vec),
            (tricky, any::<String>()).prop_map(|(tricky, text)| [tricky, text.as_bytes()].concat()),
            proptest::collection::vec(any::<u8>(), 1..8),
        ]
    }

    proptest! {
        #[test]
        fn encoded_folders_are_decoded_again(levels in proptest::collection::vec(level(), 1..4)) {
            let name = Layout::MaildirPlusPlus.path(&levels);
            prop_assert_eq!(&parse_maildirpp(name.as_os_str().as_bytes()), &levels);
            let fs = Layout::Fs.path(&levels);
            let parts: Vec<Vec<u8>> = fs.components().map(|part| decode_level(part.as_os_str().as_bytes())).collect();
            prop_assert_eq!(&parts, &levels);
            let mboxes = Layout::Mboxes.path(&levels);
            let parts: Vec<Vec<u8>> = mboxes.components().map(|part| level_of_mbox(part.as_os_str().as_ref())).collect();
            prop_assert_eq!(&parts, &levels);
        }
    }
}
