//! Keywords: letters a–z after the flags, and `dovecot-keywords`, which names them. Each line is `N name`, and
//! letter a is 0, as in Dovecot. Names ignore case, as IMAP keywords do.
//!
//! A letter never gets another name: its messages would change their keyword.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::folders;
use crate::mailbox::fs::lock::{self, LockMode};
use crate::mailbox::fs::modes::FILE_MODE;
use crate::mailbox::fs::{Dir, durable};
use crate::mailbox::{Cancel, Code, Error, Finding, LockOptions, Result, escape};

/// The name of the file in a Maildir and in each of its folders.
pub(crate) const FILE_NAME: &str = "dovecot-keywords";
/// The name in tmp/ while the file is written. The locks of the Maildir and of the file allow one at a time.
pub(crate) const PARTIAL_NAME: &str = "dovecot-keywords.mailferry-partial";
/// The number of keywords that a Maildir can have.
pub(crate) const MAX_KEYWORDS: usize = 26;
/// A longer file is not a list of keywords.
const LONGEST: u64 = 1 << 20;

/// A set of keyword letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub(crate) struct KeywordSet(u32);

impl KeywordSet {
    /// Parses an info; other characters than a–z are ignored.
    pub(crate) fn parse(info: &[u8]) -> KeywordSet {
        let letters = info.iter().filter(|b| b.is_ascii_lowercase());
        letters.fold(KeywordSet::default(), |set, letter| set.with(usize::from(letter - b'a')))
    }

    /// Adds the letter of this number, from 0.
    pub(crate) fn with(self, number: usize) -> KeywordSet {
        debug_assert!(number < MAX_KEYWORDS);
        KeywordSet(self.0 | 1 << number)
    }

    /// Reports whether it has the letter of this number.
    pub(crate) fn has(self, number: usize) -> bool {
        self.0 >> number & 1 != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the numbers of its letters.
    pub(crate) fn numbers(self) -> impl Iterator<Item = usize> {
        (0..MAX_KEYWORDS).filter(move |&number| self.has(number))
    }
}

impl std::ops::BitOr for KeywordSet {
    type Output = KeywordSet;
    fn bitor(self, other: KeywordSet) -> KeywordSet {
        KeywordSet(self.0 | other.0)
    }
}

/// In ASCII order, as names require.
impl fmt::Display for KeywordSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.numbers().try_for_each(|number| write!(f, "{}", char::from(b'a' + number as u8)))
    }
}

/// The keywords of a Maildir by letter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct KeywordTable {
    names: Box<[Option<String>; MAX_KEYWORDS]>,
    /// Letters of messages that have no name.
    unnamed: KeywordSet,
    /// The text of the file, with what was added.
    text: Vec<u8>,
}

impl KeywordTable {
    /// Parses the file. Other lines are ignored and kept. If two lines name one letter, or two letters have one
    /// name, the first line counts.
    pub(crate) fn parse(text: &[u8]) -> KeywordTable {
        let mut names = KeywordTable { text: text.to_owned(), ..KeywordTable::default() };
        for line in text.split(|&b| b == b'\n') {
            let Some((number, name)) = parse_line(line) else { continue };
            if names.names[number].is_none() && names.number(name).is_none() {
                names.names[number] = Some(name.to_owned());
            }
        }
        names
    }

    /// Reads the file of a Maildir; the table is empty without one.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn read(maildir: &Path) -> Result<KeywordTable> {
        match Dir::open(maildir) {
            Ok(root) => Ok(KeywordTable::read_in(&root)?.map(|(table, _)| table).unwrap_or_default()),
            Err(error) if error.is(io::ErrorKind::NotFound) => Ok(KeywordTable::default()),
            Err(error) => Err(error),
        }
    }

    /// Reads the table and the mode of the file.
    fn read_in(root: &Dir) -> Result<Option<(KeywordTable, u32)>> {
        let failed = || Error::io("read", root.path().join(FILE_NAME));
        let file = match root.open_file(OsStr::new(FILE_NAME)) {
            Err(error) if error.is(io::ErrorKind::NotFound) => return Ok(None),
            file => file?,
        };
        let meta = file.metadata().map_err(failed())?;
        if !meta.is_file() || meta.len() > LONGEST {
            return Err(failed()(io::Error::other("it is not a list of keywords")));
        }
        let mut text = Vec::new();
        (&file).take(LONGEST).read_to_end(&mut text).map_err(failed())?;
        Ok(Some((KeywordTable::parse(&text), meta.permissions().mode() & 0o777)))
    }

    /// Keeps letters that messages have, but that have no name, from being assigned: these messages would get the
    /// keyword.
    pub(crate) fn reserve(&mut self, letters: KeywordSet) {
        let unnamed = letters.numbers().filter(|&number| self.names[number].is_none());
        self.unnamed = unnamed.fold(self.unnamed, KeywordSet::with);
    }

    /// Returns the number of a keyword's letter.
    pub(crate) fn number(&self, name: &str) -> Option<usize> {
        self.names
            .iter()
            .position(|known| known.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(name)))
    }

    /// Returns the keyword of a letter.
    pub(crate) fn name(&self, number: usize) -> Option<&str> {
        self.names.get(number)?.as_deref()
    }

    /// Reports whether no letter has a name.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.iter().all(Option::is_none)
    }

    /// Reports whether no letter is left for another keyword.
    pub(crate) fn is_full(&self) -> bool {
        self.free().is_none()
    }

    /// Returns the next letter: the one after the last assigned letter, if it is free.
    fn free(&self) -> Option<usize> {
        let is_free = |number: &usize| self.names[*number].is_none() && !self.unnamed.has(*number);
        let behind = self.names.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        (behind..MAX_KEYWORDS).chain(0..behind).find(is_free)
    }

    /// Returns the letter of a keyword, and assigns one if needed; `None` if all are taken. `name` is an atom.
    pub(crate) fn add(&mut self, name: &str) -> Option<usize> {
        let known = self.number(name);
        if known.is_some() {
            return known;
        }
        // A longer file is not read back.
        let number = self.free().filter(|_| self.text.len() + name.len() + 8 <= LONGEST as usize)?;
        if self.text.last().is_some_and(|&last| last != b'\n') {
            self.text.push(b'\n');
        }
        self.text.extend_from_slice(format!("{number} {name}\n").as_bytes());
        self.names[number] = Some(name.to_owned());
        Some(number)
    }

    /// Returns the table that a Maildir would have after adding these keywords. `in_use` are the letters of its
    /// messages.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn preview<'a>(
        maildir: &Path,
        keywords: impl Iterator<Item = &'a str>,
        in_use: KeywordSet,
    ) -> Result<KeywordTable> {
        let mut table = KeywordTable::read(maildir)?;
        table.extend(keywords, in_use);
        Ok(table)
    }

    fn extend<'a>(&mut self, keywords: impl Iterator<Item = &'a str>, in_use: KeywordSet) {
        self.reserve(in_use);
        for keyword in keywords {
            self.add(keyword);
        }
    }

    /// Writes the file into a Maildir that no reader sees yet, and flushes its text. Its name is flushed with
    /// `root`.
    pub(crate) fn create(&self, root: &Dir, mode: u32) -> Result<()> {
        self.create_as(OsStr::new(FILE_NAME), root, mode)
    }

    /// Replaces the file; this process has the lock.
    fn replace(&self, root: &Dir, tmp: &Dir, mode: u32) -> Result<()> {
        let unfinished = OsStr::new(PARTIAL_NAME);
        // A killed run may have left one over.
        tmp.unlink_if_exists(unfinished)?;
        let written = self.create_as(unfinished, tmp, mode);
        let done = written.and_then(|()| tmp.replace_in(unfinished, root, OsStr::new(FILE_NAME)));
        done.inspect_err(|_| {
            // The first error is reported.
            let _ = tmp.unlink_if_exists(unfinished);
        })
    }

    fn create_as(&self, name: &OsStr, dir: &Dir, mode: u32) -> Result<()> {
        let file = dir.create_file(name, mode)?;
        let written = durable::write_all(&file, &self.text).and_then(|()| durable::sync_file(&file));
        written.map_err(Error::io("write", dir.path().join(name)))
    }
}

fn parse_line(line: &[u8]) -> Option<(usize, &str)> {
    let (number, name) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let number = number.parse().ok().filter(|&number| number < MAX_KEYWORDS)?;
    (!name.is_empty()).then_some((number, name))
}

/// The keywords of a Maildir that other programs use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SharedKeywords<'a> {
    /// The Maildir, or a folder of it.
    pub root: &'a Dir,
    /// The tmp/ of the Maildir.
    pub tmp: &'a Dir,
    /// True if the names are on stable storage when [`SharedKeywords::add`] returns.
    pub flush: bool,
    /// The lock that Dovecot takes for the file, too.
    pub locks: &'a LockOptions,
    /// Ends the wait for the lock.
    pub cancel: &'a Cancel,
}

impl SharedKeywords<'_> {
    /// Assigns letters to keywords, as long as there are any. `in_use` are the letters of its messages.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Interrupted`], [`Error::Io`].
    pub(crate) fn add<'k>(
        &self,
        keywords: impl Iterator<Item = &'k str>,
        in_use: KeywordSet,
    ) -> Result<KeywordTable> {
        let root = self.root;
        let path = root.path().join(FILE_NAME);
        // The lock is that of the file, which may not exist yet.
        let open =
            || root.as_fd().try_clone_to_owned().map(File::from).map_err(Error::io("open", root.path()));
        let (_lock, _) = lock::acquire_with(&path, open, LockMode::Write, self.locks, self.cancel)?;
        let (mut table, mode) = KeywordTable::read_in(root)?.unwrap_or((KeywordTable::default(), FILE_MODE));
        let before = table.text.len();
        table.extend(keywords, in_use);
        if table.text.len() > before {
            table.replace(root, self.tmp, mode)?;
        }
        // Also if the file existed: the run that wrote it may have been killed before this.
        if self.flush {
            root.sync()?;
        }
        Ok(table)
    }
}

/// Returns a keyword as an IMAP atom (RFC 3501: printable ASCII except `( ) { % * " \ ]` and blanks). Others are
/// changed as Thunderbird makes a tag's key of its name: such characters become `_`, and the rest becomes modified
/// UTF-7. (Thunderbird also changes capitals to small letters, which destroys the UTF-7.)
pub(crate) fn atom(keyword: &str) -> Cow<'_, str> {
    let is_atom_char = |c: char| matches!(c, '!'..='~') && !"(){%*\"\\]".contains(c);
    if !keyword.is_empty() && keyword.chars().all(is_atom_char) {
        return Cow::Borrowed(keyword);
    }
    let is_special = |c: char| c.is_ascii() && !is_atom_char(c) || c.is_whitespace() || c.is_control();
    let plain: String = keyword.chars().map(|c| if is_special(c) { '_' } else { c }).collect();
    Cow::Owned(folders::encode(&plain))
}

/// Returns the finding about a keyword that IMAP cannot name.
pub(crate) fn renamed_finding(at: u64, keyword: &str, atom: &str) -> Finding {
    let keyword = escape(keyword.as_bytes());
    Finding::at(
        Code::KeywordRenamed,
        at,
        format!("the keyword \"{keyword}\" is not valid in IMAP, and is now {atom}"),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::mailbox::context::LockMethod;

    #[test]
    fn letters_are_written_sorted_and_read_back() {
        let letters = KeywordSet::parse(b"FSzab3");
        assert_eq!((letters.to_string().as_str(), letters.is_empty()), ("abz", false));
        assert!(letters.has(25) && !letters.has(2));
        assert!(KeywordSet::parse(b"DFPRST").is_empty());
    }

    #[test]
    fn the_file_is_read_as_dovecot_does_and_extended_at_its_end() {
        let mut names =
            KeywordTable::parse(b"0 $Label1\nnonsense\n2 Work\n2 other\n3 WORK\n26 x\n-1 y\n1 a b");
        let known: Vec<_> = (0..4).map(|n| names.name(n)).collect();
        assert_eq!(known, [Some("$Label1"), Some("a b"), Some("Work"), None]);
        assert_eq!((names.number("$label1"), names.number("other")), (Some(0), None));
        assert_eq!((names.add("work"), names.add("New"), names.add("Newer")), (Some(2), Some(3), Some(4)));
        assert!(names.text.ends_with(b"\n1 a b\n3 New\n4 Newer\n"));
        assert_eq!(KeywordTable::parse(&names.text).number("Newer"), Some(4));
    }

    #[test]
    fn a_letter_that_messages_have_gets_no_name_and_the_27th_keyword_no_letter() {
        let mut names = KeywordTable::parse(b"24 x\n");
        names.reserve(KeywordSet::parse(b"ya"));
        assert_eq!((names.add("y"), names.add("z")), (Some(25), Some(1)));
        let given = (0..30).filter_map(|n| names.add(&format!("k{n}"))).count();
        assert_eq!((given, names.is_full(), names.name(0)), (22, true, None));
        assert_eq!((names.add("more"), names.add("K3")), (None, names.number("k3")));
    }

    #[test]
    fn any_keyword_becomes_an_atom() {
        for (keyword, want) in [
            ("Work", "Work"),
            ("$Label1", "$Label1"),
            ("R&D/new", "R&D/new"),
            ("Work, urgent", "Work,_urgent"),
            ("a(b)c\"d\\e]f%g*h{", "a_b_c_d_e_f_g_h_"),
            ("Entw\u{fc}rfe & mehr", "Entw&APw-rfe_&-_mehr"),
            ("\u{a0}x\n\u{7f}", "_x__"),
            ("", ""),
        ] {
            assert_eq!(atom(keyword), want);
        }
    }

    #[test]
    fn a_maildir_that_others_use_is_extended_under_dovecots_lock() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("tmp")).unwrap();
        let (root, tmp) = (Dir::open(temp.path()).unwrap(), Dir::open(&temp.path().join("tmp")).unwrap());
        let methods = vec![LockMethod::Dotlock];
        let host = "h".to_owned();
        let locks = LockOptions { methods, timeout: Duration::ZERO, pid: std::process::id(), host };
        let extend = |keywords: &[&'static str]| {
            let keywords = keywords.iter().copied();
            let shared = SharedKeywords {
                root: &root,
                tmp: &tmp,
                flush: true,
                locks: &locks,
                cancel: Cancel::never(),
            };
            shared.add(keywords, KeywordSet::default())
        };
        extend(&["a", "b"]).unwrap();
        let file = temp.path().join(FILE_NAME);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(extend(&["B", "c"]).unwrap().number("C"), Some(2));
        assert_eq!(fs::read(&file).unwrap(), b"0 a\n1 b\n2 c\n");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!((root.names().unwrap().len(), tmp.names().unwrap().len()), (2, 0));
        fs::write(temp.path().join("dovecot-keywords.lock"), "Dovecot").unwrap();
        assert!(matches!(extend(&["d"]), Err(Error::Locked { .. })));
        assert_eq!(fs::read(&file).unwrap(), b"0 a\n1 b\n2 c\n");
        // Another kind of file is not read.
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
        assert!(KeywordTable::read(temp.path()).is_err());
        assert!(KeywordTable::read(&temp.path().join("absent")).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn any_keyword_is_an_atom_in_the_end_and_stays_one(keyword: String) {
            let once = atom(&keyword).into_owned();
            prop_assert!(once.bytes().all(|b| matches!(b, b'!'..=b'~')));
            prop_assert_eq!(atom(&once), once.as_str());
        }

        #[test]
        fn any_file_is_read_and_what_is_added_is_found_again(text: Vec<u8>, name in "[a-z]{1,3}") {
            let mut names = KeywordTable::parse(&text);
            let number = names.add(&name);
            prop_assert_eq!(KeywordTable::parse(&names.text).number(&name), number);
        }
    }
}
