//! Flags and keywords that mailers keep in header fields, turned into Maildir's.

use super::gmail::{self, SystemLabel};
use crate::mailbox::message::flags::Flags;
use crate::mailbox::message::header;
use crate::mailbox::message::header::Field;

/// What becomes of the labels of X-Gmail-Labels that are a user's own. Those of Gmail itself are flags, or
/// nothing, whatever is chosen here.
// The doc comments of the variants are the help of --labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum LabelPolicy {
    /// Keywords of the message
    #[default]
    Keywords,
    /// A folder each
    Folders,
    /// The first is the folder
    First,
    /// Nothing; they stay in the header
    Ignore,
}

impl LabelPolicy {
    /// Reports whether labels become folders.
    pub fn are_folders(self) -> bool {
        matches!(self, LabelPolicy::Folders | LabelPolicy::First)
    }

    /// The word on the command line and in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            LabelPolicy::Keywords => "keywords",
            LabelPolicy::Folders => "folders",
            LabelPolicy::First => "first",
            LabelPolicy::Ignore => "ignore",
        }
    }
}

/// What becomes of messages that a mailer has marked as deleted and that nobody has expunged.
// The doc comments of the variants are the help of --deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum DeletedPolicy {
    /// They come without the flag T
    Keep,
    /// They get the flag T
    #[default]
    Flag,
    /// They are left out; the manifest has them, and --exact puts them back
    Skip,
}

impl DeletedPolicy {
    /// The word on the command line and in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            DeletedPolicy::Keep => "keep",
            DeletedPolicy::Flag => "flag",
            DeletedPolicy::Skip => "skip",
        }
    }
}

/// A message's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// The flags.
    pub flags: Flags,
    /// Somebody has seen that it is there (Status: O, or R, or a keyword): it goes to cur/ even
    /// without a flag.
    pub old: bool,
}

impl Status {
    /// Whether it belongs into cur/: seen there before, or with any flag.
    pub fn belongs_in_cur(self) -> bool {
        self.old || !self.flags.is_empty()
    }
}

/// What a header says about a message's state, field by field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusFields {
    /// Without T for what is [`deleted`](Said::deleted).
    status: Status,
    /// A mailer has marked it as deleted, and nobody has expunged it since.
    pub deleted: bool,
    /// Keywords as the header has them, in its order, perhaps twice; not all of them are IMAP atoms.
    pub keywords: Vec<String>,
    /// What Gmail does not call unread is read, unless Status says otherwise.
    read_at_gmail: bool,
    has_status: bool,
}

impl StatusFields {
    /// Takes one field into account; all others are passed over.
    pub fn add(&mut self, field: &Field<'_>, labels: LabelPolicy) {
        match field.name.len() {
            6 if field.is("Status") => self.take_status(field.value),
            8 if field.is("X-Status") => self.take_x_status(field.value),
            10 if field.is("X-Keywords") => self.take_keywords(field.value),
            11 if field.is("X-Evolution") => self.take_evolution(field.value),
            14 if field.is("X-Mozilla-Keys") => self.take_keywords(field.value),
            14 if field.is("X-Gmail-Labels") => self.take_gmail(field.value, labels),
            16 if field.is("X-Mozilla-Status") => self.take_mozilla(field.value),
            17 if field.is("X-Mozilla-Status2") => self.deleted |= hex(field.value) & IMAP_DELETED != 0,
            _ => {}
        }
    }

    /// The whole of it.
    pub fn status(&self, deleted: DeletedPolicy) -> Status {
        let mut status = self.status;
        if self.read_at_gmail && !self.has_status {
            status.flags |= Flags::SEEN;
        }
        if self.deleted && deleted != DeletedPolicy::Keep {
            status.flags |= Flags::TRASHED;
        }
        status.old |= self.deleted || !self.keywords.is_empty();
        status
    }

    /// mbox(5) of mutt, UW-IMAP and Dovecot: R read, O old.
    fn take_status(&mut self, value: &[u8]) {
        let has = |letter| value.iter().any(|b| b.eq_ignore_ascii_case(&letter));
        if has(b'R') {
            self.status.flags |= Flags::SEEN;
        }
        self.status.old |= has(b'R') || has(b'O');
        self.has_status |= has(b'R') || has(b'O');
    }

    /// A answered, F flagged, T draft, D deleted.
    fn take_x_status(&mut self, value: &[u8]) {
        let has = |letter| value.iter().any(|b| b.eq_ignore_ascii_case(&letter));
        let letters = [(b'A', Flags::REPLIED), (b'F', Flags::FLAGGED), (b'T', Flags::DRAFT)];
        for (letter, flag) in letters {
            if has(letter) {
                self.status.flags |= flag;
            }
        }
        self.deleted |= has(b'D');
    }

    /// Names with blanks between them, and blanks behind them for those to come: X-Keywords of Dovecot and
    /// UW-IMAP, X-Mozilla-Keys of Thunderbird. Its Junk and NonJunk stay as they are called: by these names it
    /// keeps them on an IMAP server, too, and looks for them.
    fn take_keywords(&mut self, value: &[u8]) {
        let names = value.split(u8::is_ascii_whitespace).filter(|name| !name.is_empty());
        names.for_each(|name| self.call(String::from_utf8_lossy(name).into_owned()));
    }

    /// Adds a keyword, once: several fields may say the same. They compare without case.
    fn call(&mut self, keyword: String) {
        if !self.keywords.iter().any(|known| known.eq_ignore_ascii_case(&keyword)) {
            self.keywords.push(keyword);
        }
    }

    /// nsMsgMessageFlags, the low half, in hex.
    fn take_mozilla(&mut self, value: &[u8]) {
        let set = hex(value);
        self.status.flags |= flags_of(set, &MOZILLA);
        self.deleted |= set & MOZILLA_DELETED != 0;
    }

    /// Camel's flags in hex behind the number of the message: `00000001-0010`.
    fn take_evolution(&mut self, value: &[u8]) {
        let set = evolution(value).map_or(0, |(_, set, _)| set);
        self.status.flags |= flags_of(set, &CAMEL);
        self.deleted |= set & CAMEL_DELETED != 0;
        if set & CAMEL_JUNK != 0 {
            self.call(JUNK.into());
        }
    }

    /// Google Takeout says what is unread; what is not, is read. Sent, Important, the categories and the like
    /// say nothing that a flag could: every client makes of them what it wants.
    fn take_gmail(&mut self, value: &[u8], labels: LabelPolicy) {
        let mut is_read = true;
        for label in gmail::parse_labels(value) {
            match gmail::system_label(&label) {
                Some(SystemLabel::Unread) => is_read = false,
                Some(SystemLabel::Starred) => self.status.flags |= Flags::FLAGGED,
                Some(SystemLabel::Draft) => self.status.flags |= Flags::DRAFT,
                Some(SystemLabel::Trash) => self.status.flags |= Flags::TRASHED,
                // As a folder it says that by itself.
                Some(SystemLabel::Spam) if matches!(labels, LabelPolicy::Folders | LabelPolicy::First) => {}
                Some(SystemLabel::Spam) => self.call(JUNK.into()),
                Some(_) => {}
                None if labels == LabelPolicy::Keywords => self.call(label),
                None => {}
            }
        }
        self.read_at_gmail |= is_read;
        self.status.old = true;
    }
}

/// The keyword of spam (IANA's list of IMAP keywords).
const JUNK: &str = "$Junk";

/// Bits and the flags they are.
type Bits = [(u32, Flags)];

/// nsMsgMessageFlags.h.
const MOZILLA: [(u32, Flags); 4] =
    [(0x1, Flags::SEEN), (0x2, Flags::REPLIED), (0x4, Flags::FLAGGED), (0x1000, Flags::PASSED)];
/// Expunged: it goes when the folder is compacted.
const MOZILLA_DELETED: u32 = 0x8;
/// Of the high half, in X-Mozilla-Status2.
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

/// What was set, with the bits of these flags as they are now.
fn with_flags(set: u32, flags: Flags, bits: &Bits, deleted: u32) -> u32 {
    let bits = bits.iter().copied().chain([(deleted, Flags::TRASHED)]);
    bits.fold(set, |set, (bit, flag)| if flags.has(flag) { set | bit } else { set & !bit })
}

/// The number before the flags, with its dash, the flags, and what stands behind them.
fn evolution(value: &[u8]) -> Option<(&str, u32, &str)> {
    let text = std::str::from_utf8(value.trim_ascii()).ok()?;
    let (flags, more) = text.split_at(text.find(';').unwrap_or(text.len()));
    let at = flags.rfind('-')? + 1;
    let set = u32::from_str_radix(flags[at..].trim_ascii_end(), 16).ok()?;
    Some((&flags[..at], set, more))
}

/// The value of a field that has a message's flags as bits, so that it says these flags: X-Mozilla-Status,
/// X-Mozilla-Status2, X-Evolution. All other bits stay. None for other fields, and for what is no number.
pub fn update_field(field: &Field<'_>, flags: Flags) -> Option<String> {
    match field.name.len() {
        11 if field.is("X-Evolution") => {
            let (number, set, more) = evolution(field.value)?;
            Some(format!("{number}{:04x}{more}", with_flags(set, flags, &CAMEL, CAMEL_DELETED)))
        }
        16 if field.is("X-Mozilla-Status") => {
            Some(format!("{:04x}", with_flags(hex(field.value), flags, &MOZILLA, MOZILLA_DELETED)))
        }
        17 if field.is("X-Mozilla-Status2") => {
            // T is in the other field; here it may only have to go.
            let set = hex(field.value);
            let goes = !flags.has(Flags::TRASHED);
            Some(format!("{:08x}", if goes { set & !IMAP_DELETED } else { set }))
        }
        _ => None,
    }
}

/// The value of an X-Mozilla-Status that says these flags.
pub fn mozilla_status(flags: Flags) -> String {
    format!("{:04x}", with_flags(0, flags, &MOZILLA, MOZILLA_DELETED))
}

/// What a whole header says.
pub fn parse_fields(header: &[u8], labels: LabelPolicy) -> StatusFields {
    let mut said = StatusFields::default();
    header::fields(header).for_each(|field| said.add(&field, labels));
    said
}

/// The state that a whole header tells, as it is where no other is asked for.
pub fn parse_status(header: &[u8]) -> Status {
    parse_fields(header, LabelPolicy::Ignore).status(DeletedPolicy::Flag)
}

fn hex(value: &[u8]) -> u32 {
    let text = std::str::from_utf8(value.trim_ascii()).unwrap_or_default();
    u32::from_str_radix(text, 16).unwrap_or(0)
}

/// Whether this is UW-IMAP's pseudo message, which holds the folder's own data and is not mail.
/// A real message that merely carries X-IMAP or X-IMAPbase is mail.
pub fn is_pseudo_message(header: &[u8]) -> bool {
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
    fn each_mailer_says_it_in_its_own_field() {
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
        let keywords = |header: &str| parse_fields(header.as_bytes(), LabelPolicy::Keywords).keywords;
        for (header, want) in [
            ("X-Keywords: Work NonJunk           \n", &["Work", "NonJunk"][..]),
            ("X-Keywords: a\n b\tc\nX-Mozilla-Keys: $label1 a\n", &["a", "b", "c", "$label1"]),
            ("X-Evolution: 00000001-0090\n", &["$Junk"]),
            (
                "X-Gmail-Labels: Inbox,\"Work, urgent\",Spam,Caf\u{e9}\n",
                &["Work, urgent", "$Junk", "Caf\u{e9}"],
            ),
            // They are names that the file knows, and say nothing of this message.
            ("X-IMAPbase: 1 2 Work Play\n", &[]),
            // Free text of a user's.
            ("X-Label: Work\nKeywords: a, b\n", &[]),
        ] {
            assert_eq!(keywords(header), want, "{header:?}");
        }
        let ignored = parse_fields(b"X-Gmail-Labels: Work,Spam\nX-Keywords: a\n", LabelPolicy::Ignore);
        assert_eq!(ignored.keywords, ["$Junk", "a"]);
    }

    #[test]
    fn takeouts_labels_are_flags() {
        for (labels, letters) in [
            ("Inbox,Unread,Starred", "F"),
            ("=?UTF-8?Q?Entw=C3=BCrfe,Ungelesen?=", "D"),
            ("Opened", "S"),
            ("Trash,Unread", "T"),
            ("Work", "S"),
        ] {
            assert_eq!(
                flags(&format!("X-Gmail-Labels: {labels}\n")),
                (letters.to_string(), true),
                "{labels}"
            );
        }
        // A mailer's own word for it is newer than the export.
        assert_eq!(flags("X-Gmail-Labels: Inbox\nStatus: O\n").0, "");
        assert_eq!(flags("Status: RO\nX-Gmail-Labels: Inbox,Unread\n").0, "S");
    }

    #[test]
    fn deleted_messages_become_what_is_asked_for() {
        for header in [
            "X-Status: D\n",
            "X-Mozilla-Status: 0008\n",
            "X-Mozilla-Status2: 00200000\n",
            "X-Evolution: 00000001-0002\n",
        ] {
            let said = parse_fields(header.as_bytes(), LabelPolicy::Keywords);
            assert!(said.deleted, "{header}");
            let letters = |deleted| said.status(deleted).flags.to_string();
            assert_eq!(
                (letters(DeletedPolicy::Flag), letters(DeletedPolicy::Keep)),
                ("T".into(), String::new()),
                "{header}"
            );
            assert!(said.status(DeletedPolicy::Keep).belongs_in_cur(), "{header}");
        }
        // What lies in Gmail's trash is not marked for deletion, it lies there.
        let trash = parse_fields(b"X-Gmail-Labels: Trash\n", LabelPolicy::Keywords);
        assert!(!trash.deleted);
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
