//! Keywords of one Maildir in another one: by name, since each Maildir has letters of its own.

use std::ffi::OsStr;
use std::path::Path;

use crate::mailbox::fs::modes::FILE_MODE;
use crate::mailbox::fs::{durable, read_regular};
use crate::mailbox::maildir::keywords::{self, FILE_NAME, MAX_KEYWORDS};
use crate::mailbox::maildir::{Entry, Fsync, KeywordSet, KeywordTable, MaildirWriter};
use crate::mailbox::message::{DeletedPolicy, StatusFields};
use crate::mailbox::text::grouped_plural;
use crate::mailbox::{Code, Error, Finding, Result};

/// The letters of the destination for those of the source.
#[derive(Debug)]
pub(super) struct LetterMapping {
    targets: [Option<usize>; MAX_KEYWORDS],
    /// The keywords of the destination.
    table: KeywordTable,
    /// Every letter stays the same.
    is_identity: bool,
}

/// The letters of an info as they are written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MappedInfo {
    pub(super) letters: Vec<u8>,
    /// Letters of the source that have no equivalent.
    pub(super) unmapped: KeywordSet,
    /// A keyword of the header has no letter.
    pub(super) lacks_letter: bool,
}

impl LetterMapping {
    /// Copies the keyword list of the source into a new Maildir.
    pub(super) fn for_new_maildir(
        source: &Path,
        writer: Option<&MaildirWriter>,
        fsync: Fsync,
    ) -> Result<LetterMapping> {
        if let Some(writer) = writer {
            copy_list(source, writer, fsync)?;
        }
        let table = KeywordTable::read(source)?;
        Ok(LetterMapping { targets: std::array::from_fn(Some), table, is_identity: true })
    }

    /// Maps the letters of the keywords `own` to those of the same keywords in `table`.
    pub(super) fn new(own: &KeywordTable, table: KeywordTable) -> LetterMapping {
        let targets = std::array::from_fn(|number| match own.name(number) {
            Some(name) => table.number(name),
            // A letter without a name may still mean something: it stays, unless it has a name there.
            None => Some(number).filter(|&number| table.name(number).is_none()),
        });
        let is_identity = (0..MAX_KEYWORDS).all(|number| targets[number] == Some(number));
        LetterMapping { targets, table, is_identity }
    }

    /// Maps the letters of an info. An info that needs no other letters stays the same to the byte.
    pub(super) fn info(&self, letters: &[u8]) -> MappedInfo {
        let own = KeywordSet::parse(letters);
        if self.is_identity || own.is_empty() {
            return MappedInfo {
                letters: letters.to_vec(),
                unmapped: KeywordSet::default(),
                lacks_letter: false,
            };
        }
        let (mut mapped, mut unmapped) = (KeywordSet::default(), KeywordSet::default());
        for number in own.numbers() {
            match self.targets[number] {
                Some(number) => mapped = mapped.with(number),
                None => unmapped = unmapped.with(number),
            }
        }
        let flags = letters.iter().copied().filter(|letter| !letter.is_ascii_lowercase());
        let letters = flags.chain(mapped.to_string().into_bytes()).collect();
        MappedInfo { letters, unmapped, lacks_letter: false }
    }

    /// Returns the info of a message whose flags are in its header.
    pub(super) fn info_of_header(&self, fields: &StatusFields) -> MappedInfo {
        let keywords = fields.keywords();
        let numbers = || keywords.iter().map(|keyword| self.table.number(&keywords::atom(keyword)));
        let letters = numbers().flatten().fold(KeywordSet::default(), KeywordSet::with);
        let flags = fields.status(DeletedPolicy::Flag).flags;
        MappedInfo {
            letters: format!("{flags}{letters}").into_bytes(),
            unmapped: KeywordSet::default(),
            lacks_letter: numbers().any(|number| number.is_none()),
        }
    }

    /// Returns the keywords of letters of the destination. A letter without a name is shown in brackets.
    pub(super) fn keywords(&self, letters: &[u8]) -> Vec<String> {
        let name = |number| match self.table.name(number) {
            Some(name) => name.to_owned(),
            None => format!("({})", KeywordSet::default().with(number)),
        };
        KeywordSet::parse(letters).numbers().map(name).collect()
    }
}

/// Returns the keyword letters that any of these messages has.
pub(super) fn union<'a>(entries: impl Iterator<Item = &'a Entry>) -> KeywordSet {
    entries.fold(KeywordSet::default(), |set, entry| set | entry.parsed().keywords())
}

/// Returns the finding about messages whose keyword letters got no equivalent.
pub(super) fn overflow_finding(messages: u64, unmapped: KeywordSet) -> Option<Finding> {
    let text = || {
        let letters = if unmapped.is_empty() { String::new() } else { format!(" of the letters {unmapped}") };
        let messages = grouped_plural(messages, "message");
        format!("{messages} without keywords{letters}: no letter is left for them")
    };
    (messages > 0).then(|| Finding::new(Code::KeywordsOverflow, text()))
}

/// Copies the source's list unchanged, in the place of one that another run left.
fn copy_list(source: &Path, writer: &MaildirWriter, fsync: Fsync) -> Result<()> {
    let (root, name) = (writer.root(), OsStr::new(FILE_NAME));
    if writer.is_staged() {
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
