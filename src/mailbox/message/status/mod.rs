//! Flags and keywords in header fields, where mail programs keep them in an mbox.

pub(crate) mod gmail;
mod gmail_words;
mod letters;
pub(crate) mod list;
mod outer;
mod problems;

use std::borrow::Cow;
use std::collections::HashSet;

use self::gmail::{ReadState, SystemLabel};
use self::letters::StatusLetters;
pub(crate) use self::letters::{Status, is_kmail_field, x_status};
pub(crate) use self::outer::OuterState;
pub(crate) use self::problems::StatusProblems;
use crate::mailbox::escape;
use crate::mailbox::message::{Field, Flags, header};

/// The treatment of user labels in X-Gmail-Labels. Labels of Gmail itself become flags, or nothing.
// The doc comments of the variants are the help of --labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub(crate) enum LabelPolicy {
    /// Keywords of the message
    #[default]
    Keywords,
    /// Each label is a folder
    Folders,
    /// The first label is the folder
    First,
    /// They stay in the header
    Ignore,
}

impl LabelPolicy {
    /// Reports whether labels become folders.
    pub(crate) fn are_folders(self) -> bool {
        matches!(self, LabelPolicy::Folders | LabelPolicy::First)
    }

    /// Returns the word on the command line and in the manifest.
    pub(crate) fn name(self) -> &'static str {
        match self {
            LabelPolicy::Keywords => "keywords",
            LabelPolicy::Folders => "folders",
            LabelPolicy::First => "first",
            LabelPolicy::Ignore => "ignore",
        }
    }
}

/// The treatment of messages that are marked as deleted and not expunged.
// The doc comments of the variants are the help of --deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub(crate) enum DeletedPolicy {
    /// They do not get the flag T
    Keep,
    /// They get the flag T
    #[default]
    Flag,
    /// They are left out; --exact restores them from the manifest
    Skip,
}

impl DeletedPolicy {
    /// Returns the word on the command line and in the manifest.
    pub(crate) fn name(self) -> &'static str {
        match self {
            DeletedPolicy::Keep => "keep",
            DeletedPolicy::Flag => "flag",
            DeletedPolicy::Skip => "skip",
        }
    }
}

/// A field with flags whose value no mail program writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvalidField {
    pub name: &'static str,
    pub value: String,
}

/// The state of a message, collected from the fields of its header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct StatusFields {
    letters: StatusLetters,
    /// The flags of other fields, without T, see [`is_deleted`](StatusFields::is_deleted).
    flags: Flags,
    deleted: bool,
    old: bool,
    /// The keywords of the header, in order. Not all of them are IMAP atoms.
    keywords: Vec<String>,
    /// The keywords in lower case. A header can have a hundred thousand.
    known: HashSet<String>,
    /// Whether the message is read, by Gmail's labels. Status takes precedence.
    gmail: Option<ReadState>,
    has_gmail_labels: bool,
    /// It is from a group of Google, whose X-Gmail-Labels are the state of a topic.
    is_topic: bool,
    invalid: Vec<InvalidField>,
}

impl StatusFields {
    /// Adds the information of one field. Other fields are ignored.
    pub(crate) fn add(&mut self, field: &Field<'_>, labels: LabelPolicy) {
        match field.name.len() {
            6 if field.is("Status") => self.add_letters("Status", field.value),
            8 if field.is("X-Status") => self.add_letters("X-Status", field.value),
            10 if field.is("X-Keywords") => self.add_keywords(field.value),
            10 if field.is("X-GM-THRID") => self.add_thread_id(),
            11 if field.is("X-Evolution") => self.add_evolution(field.value),
            14 if field.is("X-Mozilla-Keys") => self.add_keywords(field.value),
            14 if field.is("X-Gmail-Labels") && !self.is_topic => self.add_gmail(field.value, labels),
            15 if field.is("X-Google-Groups") => self.add_group(),
            16 if field.is("X-Mozilla-Status") => self.add_mozilla("X-Mozilla-Status", field.value),
            17 if field.is("X-Mozilla-Status2") => self.add_mozilla("X-Mozilla-Status2", field.value),
            _ => self.letters.add_other(field),
        }
    }

    /// Returns the state.
    pub(crate) fn status(&self, deleted: DeletedPolicy) -> Status {
        let letters = self.letters.status();
        let mut status = Status { flags: self.flags | letters.flags, old: self.old | letters.old };
        if self.gmail == Some(ReadState::Read) && !self.letters.has_read_state() {
            status.flags |= Flags::SEEN;
        }
        if self.is_deleted() && deleted != DeletedPolicy::Keep {
            status.flags |= Flags::TRASHED;
        }
        status.old |= self.is_deleted() || !self.keywords.is_empty() || self.letters.is_spam();
        status
    }

    /// Reports whether a mail program has marked the message as deleted, and not expunged it.
    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted || self.letters.is_deleted()
    }

    /// Returns the keywords, in order. Not all of them are IMAP atoms.
    pub(crate) fn keywords(&self) -> Cow<'_, [String]> {
        if !self.letters.is_spam() || self.known.contains(JUNK_LOWER) {
            return Cow::Borrowed(&self.keywords);
        }
        Cow::Owned([&self.keywords[..], &[JUNK.to_owned()]].concat())
    }

    /// Reports whether only the labels of other messages can show if Gmail has this one as read.
    pub(crate) fn is_read_state_unknown(&self) -> bool {
        self.gmail == Some(ReadState::Unknown) && !self.letters.has_read_state()
    }

    /// Sets the message to read, since Gmail's word for unread is known in the language of its file.
    pub(crate) fn set_read_at_gmail(&mut self) {
        self.gmail = Some(ReadState::Read);
    }

    /// Replaces the flags of the header by those of the store.
    pub(crate) fn replace_flags(&mut self, flags: Flags) {
        let (keywords, known) = (std::mem::take(&mut self.keywords), std::mem::take(&mut self.known));
        *self = StatusFields { flags, keywords, known, ..StatusFields::default() };
    }

    /// Sets the message to deleted, since its store or the name of its file says so.
    pub(crate) fn set_deleted(&mut self) {
        self.deleted = true;
    }

    /// Returns the fields with an invalid value. No flag was taken from what is invalid.
    pub(crate) fn invalid(&self) -> &[InvalidField] {
        &self.invalid
    }

    fn add_invalid(&mut self, name: &'static str, value: &[u8]) {
        const LONGEST: usize = 40;
        let value = value.trim_ascii();
        let value = escape(&value[..value.len().min(LONGEST)]);
        self.invalid.push(InvalidField { name, value });
    }

    fn add_letters(&mut self, name: &'static str, value: &[u8]) {
        let is_valid = match name {
            "Status" => self.letters.add_status(value),
            _ => self.letters.add_x_status(value),
        };
        if !is_valid {
            self.add_invalid(name, value);
        }
    }

    /// X-Keywords of Dovecot, UW-IMAP and others, X-Mozilla-Keys of Thunderbird. Junk and NonJunk of Thunderbird keep
    /// their names: Thunderbird uses the same names on an IMAP server.
    fn add_keywords(&mut self, value: &[u8]) {
        let list = header::decode_text(value);
        list::split_keywords(&list).into_iter().for_each(|name| self.add_keyword(name));
    }

    /// Adds a keyword if it is new. Case does not matter. Several fields may contain the same keyword.
    pub(crate) fn add_keyword(&mut self, keyword: String) {
        if self.known.insert(keyword.to_ascii_lowercase()) {
            self.keywords.push(keyword);
        }
    }

    /// nsMsgMessageFlags in hex: the low half, and the high half in X-Mozilla-Status2.
    fn add_mozilla(&mut self, name: &'static str, value: &[u8]) {
        let Some(set) = hex(value) else { return self.add_invalid(name, value) };
        if name == "X-Mozilla-Status" {
            self.flags |= flags_of(set, &MOZILLA);
            self.deleted |= set & MOZILLA_DELETED != 0;
        } else {
            self.deleted |= set & IMAP_DELETED != 0;
        }
    }

    /// The flags of Camel in hex after the number of the message: `00000001-0010`.
    fn add_evolution(&mut self, value: &[u8]) {
        let Some((_, set, _)) = evolution(value) else { return self.add_invalid("X-Evolution", value) };
        self.flags |= flags_of(set, &CAMEL);
        self.deleted |= set & CAMEL_DELETED != 0;
        if set & CAMEL_JUNK != 0 {
            self.add_keyword(JUNK.into());
        }
    }

    /// Takeout adds this to every message, also to those without labels, which are read.
    fn add_thread_id(&mut self) {
        self.gmail = self.gmail.max(Some(ReadState::Read));
        self.old = true;
    }

    /// Takeout adds the name of the group before the state of the topic. Mail that came through a group has the field,
    /// too, but after the labels.
    fn add_group(&mut self) {
        self.is_topic |= self.gmail.is_some() && !self.has_gmail_labels;
    }

    /// Reports whether the labels are the state of a topic in a group of Google.
    pub(crate) fn is_topic(&self) -> bool {
        self.is_topic
    }

    /// Google Takeout labels unread messages. All others are read. Sent, Important, the categories and the like have
    /// no equivalent flag: every client treats them differently.
    fn add_gmail(&mut self, value: &[u8], policy: LabelPolicy) {
        self.has_gmail_labels = true;
        let labels = gmail::parse_labels(value);
        let state = gmail::read_state(&labels);
        // With two such fields, unread takes precedence.
        self.gmail = self.gmail.max(Some(state));
        for label in labels {
            match gmail::system_label(&label) {
                Some(SystemLabel::Starred) => self.flags |= Flags::FLAGGED,
                Some(SystemLabel::Draft) => self.flags |= Flags::DRAFT,
                Some(SystemLabel::Trash) => self.flags |= Flags::TRASHED,
                // The folder shows that.
                Some(SystemLabel::Spam) if policy.are_folders() => {}
                Some(SystemLabel::Spam) => self.add_keyword(JUNK.into()),
                Some(_) => {}
                None if policy == LabelPolicy::Keywords => self.add_keyword(label),
                None => {}
            }
        }
        self.old = true;
    }
}

/// The keyword of spam (IANA's list of IMAP keywords).
const JUNK: &str = "$Junk";
const JUNK_LOWER: &str = "$junk";

/// Bits and their flags.
type Bits = [(u32, Flags)];

/// nsMsgMessageFlags.h.
const MOZILLA: [(u32, Flags); 4] =
    [(0x1, Flags::SEEN), (0x2, Flags::REPLIED), (0x4, Flags::FLAGGED), (0x1000, Flags::PASSED)];
/// Set until the folder is compacted.
const MOZILLA_DELETED: u32 = 0x8;
/// A bit of the high half, in X-Mozilla-Status2.
const IMAP_DELETED: u32 = 0x0020_0000;

/// CamelMessageFlags of evolution-data-server.
const CAMEL: [(u32, Flags); 5] = [
    (0x1, Flags::REPLIED),
    (0x4, Flags::DRAFT),
    (0x8, Flags::FLAGGED),
    (0x10, Flags::SEEN),
    (0x400, Flags::PASSED),
];
const CAMEL_DELETED: u32 = 0x2;
const CAMEL_JUNK: u32 = 0x80;

fn flags_of(set: u32, bits: &Bits) -> Flags {
    let flags = bits.iter().filter(|(bit, _)| set & bit != 0);
    flags.fold(Flags::default(), |flags, (_, flag)| flags | *flag)
}

/// Returns the bits with those of `flags` updated.
fn with_flags(set: u32, flags: Flags, bits: &Bits, deleted: u32) -> u32 {
    let bits = bits.iter().copied().chain([(deleted, Flags::TRASHED)]);
    bits.fold(set, |set, (bit, flag)| if flags.has(flag) { set | bit } else { set & !bit })
}

/// Splits a value into the number with its dash, the flags, and the rest.
fn evolution(value: &[u8]) -> Option<(&str, u32, &str)> {
    let text = std::str::from_utf8(value.trim_ascii()).ok()?;
    let (flags, more) = text.split_at(text.find(';').unwrap_or(text.len()));
    let at = flags.rfind('-')? + 1;
    let set = hex(&flags.as_bytes()[at..])?;
    Some((&flags[..at], set, more))
}

/// Returns the new value of a field that contains flags as bits: X-Mozilla-Status, X-Mozilla-Status2, X-Evolution.
/// Other bits stay. Returns `None` for other fields and for an invalid value.
pub(crate) fn update_field(field: &Field<'_>, flags: Flags) -> Option<String> {
    match field.name.len() {
        11 if field.is("X-Evolution") => {
            let (number, set, more) = evolution(field.value)?;
            Some(format!("{number}{:04x}{more}", with_flags(set, flags, &CAMEL, CAMEL_DELETED)))
        }
        16 if field.is("X-Mozilla-Status") => {
            let set = hex(field.value).unwrap_or(0);
            Some(format!("{:04x}", with_flags(set, flags, &MOZILLA, MOZILLA_DELETED)))
        }
        17 if field.is("X-Mozilla-Status2") => {
            // X-Mozilla-Status has T, so the bit here is only ever cleared.
            let set = hex(field.value).unwrap_or(0);
            let goes = !flags.has(Flags::TRASHED);
            Some(format!("{:08x}", if goes { set & !IMAP_DELETED } else { set }))
        }
        _ => None,
    }
}

/// Returns the value of a Status.
pub(crate) fn status(status: Status) -> String {
    let read = if status.flags.has(Flags::SEEN) { "R" } else { "" };
    let old = if status.old { "O" } else { "" };
    [read, old].concat()
}

/// Returns the value of an X-Evolution with these flags.
pub(crate) fn evolution_status(flags: Flags) -> String {
    format!("00000000-{:04x}", with_flags(0, flags, &CAMEL, CAMEL_DELETED))
}

/// Returns the value of an X-Mozilla-Status with these flags.
pub(crate) fn mozilla_status(flags: Flags) -> String {
    format!("{:04x}", with_flags(0, flags, &MOZILLA, MOZILLA_DELETED))
}

/// Collects the state from a whole header.
pub(crate) fn parse_fields(header: &[u8], labels: LabelPolicy) -> StatusFields {
    let mut fields = StatusFields::default();
    header::fields(header).for_each(|field| fields.add(&field, labels));
    fields
}

/// Returns the state in a header under the default policies.
#[cfg(test)]
pub(crate) fn parse_status(header: &[u8]) -> Status {
    parse_fields(header, LabelPolicy::Ignore).status(DeletedPolicy::Flag)
}

fn hex(value: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(value.trim_ascii()).ok()?;
    // from_str_radix takes a sign.
    let is_hex = text.bytes().all(|b| b.is_ascii_hexdigit());
    u32::from_str_radix(text, 16).ok().filter(|_| is_hex)
}

/// Reports whether this is the pseudo message of UW-IMAP, which contains data about the folder. A message that only
/// has X-IMAP or X-IMAPbase is mail.
pub(crate) fn is_pseudo_message(header: &[u8]) -> bool {
    let mut subject = false;
    let mut uid_data = false;
    for field in header::fields(header) {
        subject |=
            field.is("Subject") && memchr::memmem::find(field.value, b"FOLDER INTERNAL DATA").is_some();
        uid_data |= field.is("X-IMAP") || field.is("X-IMAPbase");
        uid_data |=
            field.is("From") && memchr::memmem::find(field.value, b"Mail System Internal Data").is_some();
    }
    subject && uid_data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(header: &str) -> (String, bool) {
        let status = parse_status(header.as_bytes());
        (status.flags.to_string(), status.belongs_in_cur())
    }

    #[test]
    fn each_mail_program_has_its_own_field_for_flags() {
        for (header, letters, cur) in [
            ("Subject: x\n", "", false),
            ("Status: O\n", "", true),
            ("status:RO\nX-Status: AFTD\n", "DFRST", true),
            ("status: ro\nx-status: af\n", "FRS", true),
            ("X-Status: F\n", "F", true),
            ("X-Keywords:   \n", "", false),
            ("X-Keywords: Work\n", "", true),
            ("X-Mozilla-Status: 0000\n", "", false),
            ("X-Mozilla-Status: 1007\n", "FPRS", true),
            ("X-Mozilla-Status: 0009\nX-Mozilla-Status2: 00000000\n", "ST", true),
            ("X-Mozilla-Status2: 00200000\n", "T", true),
            ("X-Mozilla-Status: zz\n", "", false),
            ("X-Mozilla-Keys: \n", "", false),
            ("X-Mozilla-Keys: $label1 work   \n", "", true),
            ("X-Evolution: 00000001-0000\n", "", false),
            ("x-evolution: 0000a4f3-041f\n", "DFPRST", true),
            ("X-Evolution: mbox-12-0010\n", "S", true),
            ("X-Evolution: 00000001\nX-Evolution: x-\n", "", false),
        ] {
            assert_eq!(flags(header), (letters.to_string(), cur), "{header:?}");
        }
    }

    #[test]
    fn each_mailer_has_its_own_field_for_keywords() {
        let keywords =
            |header: &str| parse_fields(header.as_bytes(), LabelPolicy::Keywords).keywords().into_owned();
        for (header, want) in [
            ("X-Keywords: Work NonJunk           \n", &["Work", "NonJunk"][..]),
            ("X-Keywords: a\n b\tc\nX-Mozilla-Keys: $label1 a\n", &["a", "b", "c", "$label1"]),
            ("X-Evolution: 00000001-0090\n", &["$Junk"]),
            (
                "X-Gmail-Labels: Inbox,\"Work, urgent\",Spam,Caf\u{e9}\n",
                &["Work, urgent", "$Junk", "Caf\u{e9}"],
            ),
            // These are keywords of the file, not of this message.
            ("X-IMAPbase: 1 2 Work Play\n", &[]),
            // Free text of the user.
            ("X-Label: Work\nKeywords: a, b\n", &[]),
        ] {
            assert_eq!(keywords(header), want, "{header:?}");
        }
        let ignored = parse_fields(b"X-Gmail-Labels: Work,Spam\nX-Keywords: a\n", LabelPolicy::Ignore);
        assert_eq!(ignored.keywords()[..], ["$Junk", "a"]);
    }

    #[test]
    fn takeouts_labels_are_flags() {
        for (labels, letters) in [
            ("Inbox,Unread,Starred", "F"),
            ("=?UTF-8?Q?Entw=C3=BCrfe,Ungelesen?=", "D"),
            ("Opened", "S"),
            ("Trash,Unread", "T"),
            ("Inbox,Work", "S"),
            ("Work", ""),
        ] {
            assert_eq!(
                flags(&format!("X-Gmail-Labels: {labels}\n")),
                (letters.to_string(), true),
                "{labels}"
            );
        }
        assert_eq!(flags("X-GM-THRID: 1\nSubject: x\n"), ("S".into(), true));
        assert_eq!(flags("X-GM-THRID: 1\nX-Gmail-Labels: Inbox,Unread\n").0, "");
        // The Status field is newer than the export.
        assert_eq!(flags("X-Gmail-Labels: Inbox\nStatus: O\n").0, "");
        assert_eq!(flags("Status: RO\nX-Gmail-Labels: Inbox,Unread\n").0, "S");
    }

    #[test]
    fn deleted_messages_follow_the_policy() {
        for header in [
            "X-Status: D\n",
            "X-Mozilla-Status: 0008\n",
            "X-Mozilla-Status2: 00200000\n",
            "X-Evolution: 00000001-0002\n",
        ] {
            let fields = parse_fields(header.as_bytes(), LabelPolicy::Keywords);
            assert!(fields.is_deleted(), "{header}");
            let letters = |deleted| fields.status(deleted).flags.to_string();
            assert_eq!(
                (letters(DeletedPolicy::Flag), letters(DeletedPolicy::Keep)),
                ("T".into(), String::new()),
                "{header}"
            );
            assert!(fields.status(DeletedPolicy::Keep).belongs_in_cur(), "{header}");
        }
        // A message in the trash of Gmail is not marked as deleted.
        let trash = parse_fields(b"X-Gmail-Labels: Trash\n", LabelPolicy::Keywords);
        assert!(!trash.is_deleted());
        assert_eq!(trash.status(DeletedPolicy::Keep).flags.to_string(), "ST");
    }

    #[test]
    fn fields_of_bits_are_brought_up_to_date() {
        let updated = |field: &str, letters: &str| {
            let field = header::fields(field.as_bytes()).next().unwrap();
            update_field(&field, Flags::parse(letters.as_bytes()))
        };
        for (field, letters, want) in [
            ("X-Mozilla-Status: 0081", "PRT", Some("108a")),
            ("X-Mozilla-Status: 1fff", "", Some("0ff0")),
            ("X-Mozilla-Status2: 10200000", "", Some("10000000")),
            ("X-Mozilla-Status2: 10200000", "T", Some("10200000")),
            ("X-Evolution: 00000007-0023", "DS", Some("00000007-0034")),
            ("X-Evolution: 7-0000; tags=x-1", "S", Some("7-0010; tags=x-1")),
            ("X-Evolution: nonsense", "S", None),
            ("Status: RO", "", None),
        ] {
            assert_eq!(updated(field, letters).as_deref(), want, "{field}");
        }
        assert_eq!(mozilla_status(Flags::PASSED | Flags::SEEN), "1001");
    }

    #[test]
    fn only_uw_imaps_own_message_is_pseudo() {
        let uw = b"From: Mail System Internal Data <MAILER-DAEMON@x>\n\
            Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\nStatus: RO\n";
        assert!(is_pseudo_message(uw));
        assert!(!is_pseudo_message(b"Subject: hello\nX-IMAPbase: 1 2\n"));
        assert!(!is_pseudo_message(b"Subject: Re: what is FOLDER INTERNAL DATA?\nFrom: a@b\n"));
    }
}
