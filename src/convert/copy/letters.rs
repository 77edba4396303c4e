//! Keywords on their way from one Maildir into another: by their names, since each Maildir gives letters of its
//! own to them.

use std::ffi::OsStr;
use std::path::Path;

use super::super::Options;
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::fs::durable;
use crate::mailbox::fs::read_regular;
use crate::mailbox::maildir::keywords::{FILE_NAME, KeywordSet, KeywordTable, MAX_KEYWORDS};
use crate::mailbox::maildir::write::{FILE_MODE, Fsync, MaildirWriter};

/// Which letter of the destination a letter of the source becomes.
#[derive(Debug)]
pub struct LetterMapping {
    becomes: [Option<usize>; MAX_KEYWORDS],
    /// What the letters of the destination stand for.
    names: KeywordTable,
    /// Whether every letter stays.
    is_plain: bool,
}

/// An info, as it is written.
#[derive(Debug, PartialEq, Eq)]
pub struct MappedInfo {
    /// Its letters.
    pub letters: Vec<u8>,
    /// Letters of the source that have none.
    pub unmapped: KeywordSet,
}

impl LetterMapping {
    /// Makes the list of keywords of a new Maildir, which is that of the source, or gives letters to those
    /// that the messages copied have, `used`, in one that is there; on disk before the first name with such a
    /// letter is visible. Without a filling nothing is written, as it is said then.
    pub fn new(
        source: &Path,
        used: KeywordSet,
        there: Option<KeywordSet>,
        filling: Option<&MaildirWriter>,
        options: &Options<'_>,
    ) -> Result<LetterMapping> {
        let ours = KeywordTable::read(source)?;
        let Some(in_use) = there else {
            if let Some(filling) = filling {
                write_list(source, filling, options.fsync)?;
            }
            return Ok(LetterMapping { becomes: std::array::from_fn(Some), names: ours, is_plain: true });
        };
        let wanted = || used.numbers().filter_map(|number| ours.name(number));
        let names = match filling {
            Some(filling) => {
                filling.assign_keywords(wanted(), in_use, (options.keywords_lock, options.cancel))?
            }
            None => {
                let mut names = KeywordTable::read(options.destination)?;
                names.reserve(in_use);
                for name in wanted() {
                    names.add(name);
                }
                names
            }
        };
        let becomes = std::array::from_fn(|number| match ours.name(number) {
            Some(name) => names.number(name),
            // It means something to somebody: it stays, unless it means another thing there.
            None => Some(number).filter(|&number| names.name(number).is_none()),
        });
        let is_plain = (0..MAX_KEYWORDS).all(|number| becomes[number] == Some(number));
        Ok(LetterMapping { becomes, names, is_plain })
    }

    /// An info in the letters of the destination. One that needs no other letters stays to the byte.
    pub fn info(&self, letters: &[u8]) -> MappedInfo {
        let ours = KeywordSet::parse(letters);
        if self.is_plain || ours.is_empty() {
            return MappedInfo { letters: letters.to_vec(), unmapped: KeywordSet::default() };
        }
        let (mut theirs, mut left) = (KeywordSet::default(), KeywordSet::default());
        for number in ours.numbers() {
            match self.becomes[number] {
                Some(number) => theirs = theirs.with(number),
                None => left = left.with(number),
            }
        }
        let flags = letters.iter().copied().filter(|letter| !letter.is_ascii_lowercase());
        MappedInfo { letters: flags.chain(theirs.to_string().into_bytes()).collect(), unmapped: left }
    }

    /// What letters of the destination stand for; one without a name stands for itself, in brackets.
    pub fn keywords(&self, letters: &[u8]) -> Vec<String> {
        let name = |number| match self.names.name(number) {
            Some(name) => name.to_owned(),
            None => format!("({})", KeywordSet::default().with(number)),
        };
        KeywordSet::parse(letters).numbers().map(name).collect()
    }
}

/// What came without letters.
pub fn overflow_finding(messages: u64, left: KeywordSet) -> Option<Finding> {
    let text = || {
        format!("{messages} messages come without the keywords of the letters {left}: none is left for them")
    };
    (messages > 0).then(|| Finding::new(Code::KeywordsOverflow, text()))
}

/// The source's list as it is, and not one that another run left.
fn write_list(source: &Path, filling: &MaildirWriter, fsync: Fsync) -> Result<()> {
    let (root, name) = (filling.root(), OsStr::new(FILE_NAME));
    if filling.is_staged() {
        root.unlink_if_exists(name)?;
    }
    let path = source.join(FILE_NAME);
    let list = match read_regular(&path) {
        Ok(list) => list,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("read", &path)(error)),
    };
    let file = root.create_with(name, FILE_MODE, &list)?;
    match fsync {
        Fsync::None => Ok(()),
        _ => durable::sync_file(&file).map_err(Error::io("flush", root.path().join(FILE_NAME))),
    }
}
