//! Flags that mailers keep in header fields, turned into Maildir's.

use crate::mailbox::header::{self, Field};
use crate::mailbox::maildir::flags::Flags;

/// What becomes of the labels of X-Gmail-Labels that are a user's own. Those of Gmail itself are flags, or
/// nothing, whatever is chosen here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Labels {
    /// Keywords.
    #[default]
    Keywords,
    /// A folder each; a message with several lies in several.
    Folders,
    /// The first is its folder.
    First,
    /// Nothing; they stay in the header.
    Ignore,
}

impl Labels {
    /// The word on the command line and in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Labels::Keywords => "keywords",
            Labels::Folders => "folders",
            Labels::First => "first",
            Labels::Ignore => "ignore",
        }
    }
}

/// What becomes of messages that a mailer has marked as deleted and that nobody has expunged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Deleted {
    /// They come without T.
    Keep,
    /// They get T.
    #[default]
    Flag,
    /// They are left out.
    Skip,
}

impl Deleted {
    /// The word on the command line and in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Deleted::Keep => "keep",
            Deleted::Flag => "flag",
            Deleted::Skip => "skip",
        }
    }
}

/// What a header says about a message's state.
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
    pub fn goes_to_cur(self) -> bool {
        self.old || !self.flags.is_empty()
    }

    /// Takes one field into account; all others are passed over.
    pub fn take(&mut self, field: &Field<'_>) {
        match field.name.len() {
            6 if field.is("Status") => self.take_status(field.value),
            8 if field.is("X-Status") => self.take_x_status(field.value),
            10 if field.is("X-Keywords") => self.old |= !field.value.trim_ascii().is_empty(),
            14 if field.is("X-Gmail-Labels") => self.take_gmail(field.value),
            16 if field.is("X-Mozilla-Status") => self.take_mozilla(field.value),
            17 if field.is("X-Mozilla-Status2") => self.take_mozilla2(field.value),
            _ => {}
        }
    }

    /// mbox(5) of mutt, UW-IMAP and Dovecot: R read, O old.
    fn take_status(&mut self, value: &[u8]) {
        let has = |letter| value.iter().any(|b| b.eq_ignore_ascii_case(&letter));
        if has(b'R') {
            self.flags |= Flags::SEEN;
        }
        self.old |= has(b'R') || has(b'O');
    }

    /// A answered, F flagged, T draft, D deleted.
    fn take_x_status(&mut self, value: &[u8]) {
        let letters =
            [(b'A', Flags::REPLIED), (b'F', Flags::FLAGGED), (b'T', Flags::DRAFT), (b'D', Flags::TRASHED)];
        for (letter, flag) in letters {
            if value.iter().any(|b| b.eq_ignore_ascii_case(&letter)) {
                self.flags |= flag;
            }
        }
    }

    /// nsMsgMessageFlags, the low half, in hex.
    fn take_mozilla(&mut self, value: &[u8]) {
        let bits = [
            (0x1, Flags::SEEN),
            (0x2, Flags::REPLIED),
            (0x4, Flags::FLAGGED),
            (0x8, Flags::TRASHED),
            (0x1000, Flags::PASSED),
        ];
        let set = hex(value);
        for (bit, flag) in bits {
            if set & bit != 0 {
                self.flags |= flag;
            }
        }
    }

    /// The high half: of Maildir's flags only IMAPDeleted is there.
    fn take_mozilla2(&mut self, value: &[u8]) {
        if hex(value) & 0x0020_0000 != 0 {
            self.flags |= Flags::TRASHED;
        }
    }

    /// Google Takeout says what is unread; what is not, is read.
    fn take_gmail(&mut self, value: &[u8]) {
        let labels = gmail_labels(value);
        let has = |names: &[&str]| labels.iter().any(|l| names.iter().any(|n| l.eq_ignore_ascii_case(n)));
        if !has(&["Unread", "Ungelesen"]) {
            self.flags |= Flags::SEEN;
        }
        for (names, flag) in [
            (&["Starred", "Markiert"], Flags::FLAGGED),
            (&["Drafts", "Draft"], Flags::DRAFT),
            (&["Trash", "Papierkorb"], Flags::TRASHED),
        ] {
            if has(names) {
                self.flags |= flag;
            }
        }
        self.old = true;
    }
}

/// The state of a whole header.
pub fn of(header: &[u8]) -> Status {
    let mut status = Status::default();
    header::fields(header).for_each(|field| status.take(&field));
    status
}

fn hex(value: &[u8]) -> u32 {
    let text = std::str::from_utf8(value.trim_ascii()).unwrap_or_default();
    u32::from_str_radix(text, 16).unwrap_or(0)
}

/// The labels of an X-Gmail-Labels field: encoded words decoded first, since Takeout encodes the
/// whole list, commas and all; then split at the commas that are not quoted.
pub fn gmail_labels(value: &[u8]) -> Vec<String> {
    let list = header::decoded_text(value);
    let (mut labels, mut label, mut quoted) = (Vec::new(), String::new(), false);
    for c in list.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => labels.push(std::mem::take(&mut label)),
            _ => label.push(c),
        }
    }
    labels.push(label);
    labels.iter().map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect()
}

/// Whether this is UW-IMAP's pseudo message, which holds the folder's own data and is not mail.
/// A real message that merely carries X-IMAP or X-IMAPbase is mail.
pub fn is_pseudo(header: &[u8]) -> bool {
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
        let status = of(header.as_bytes());
        (status.flags.to_string(), status.goes_to_cur())
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
        ] {
            assert_eq!(flags(header), (letters.to_string(), cur), "{header:?}");
        }
    }

    #[test]
    fn takeouts_labels_are_decoded_before_they_are_split() {
        assert_eq!(gmail_labels(b" Inbox,\"Work, urgent\",Starred"), ["Inbox", "Work, urgent", "Starred"]);
        assert_eq!(gmail_labels(b" =?UTF-8?Q?Arch=C3=A9,Unread?="), ["Arché", "Unread"]);
        assert_eq!(flags("X-Gmail-Labels: Inbox,Unread,Starred\n").0, "F");
        assert_eq!(flags("X-Gmail-Labels: =?UTF-8?Q?Entw=C3=BCrfe,Ungelesen?=\n").0, "");
        assert_eq!(flags("X-Gmail-Labels: Opened\n").0, "S");
    }

    #[test]
    fn only_uw_imaps_own_message_is_pseudo() {
        let uw = b"From: Mail System Internal Data <MAILER-DAEMON@x>\n\
            Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\nStatus: RO\n";
        assert!(is_pseudo(uw));
        assert!(!is_pseudo(b"Subject: hello\nX-IMAPbase: 1 2\n"));
        assert!(!is_pseudo(b"Subject: Re: what is FOLDER INTERNAL DATA?\nFrom: a@b\n"));
    }
}
