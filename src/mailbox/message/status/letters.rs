//! The letters of Status and X-Status, which mean different things to KMail and to all other programs.
//!
//! Pine, UW-IMAP, Dovecot and mutt write R and O into Status, and A, F, T and D into X-Status. KMail writes RO into the
//! Status of every message, and the state into X-Status (statusToStr in kmmsgbase.cpp). There T is an attachment.

use crate::mailbox::message::{Field, Flags};

/// The state of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Status {
    pub flags: Flags,
    /// A mail program listed the message before (Status: O, or R, or a keyword). It goes to cur/ even without a flag.
    pub old: bool,
}

impl Status {
    /// Reports whether the message goes to cur/: listed before, or with a flag.
    pub(crate) fn belongs_in_cur(self) -> bool {
        self.old || !self.flags.is_empty()
    }
}

/// A set of the letters A–Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Letters(u32);

impl Letters {
    const fn new(letters: &[u8]) -> Letters {
        let (mut set, mut n) = (0, 0);
        while n < letters.len() {
            set |= 1 << (letters[n] - b'A');
            n += 1;
        }
        Letters(set)
    }

    /// Adds letters in any case. Returns false for other bytes than letters of `valid` and blanks, which it skips.
    fn add(&mut self, value: &[u8], valid: Letters) -> bool {
        let mut is_valid = true;
        for byte in value.iter().map(u8::to_ascii_uppercase).filter(|byte| !byte.is_ascii_whitespace()) {
            if byte.is_ascii_uppercase() && valid.has(byte) {
                self.0 |= 1 << (byte - b'A');
            } else {
                is_valid = false;
            }
        }
        is_valid
    }

    fn has(self, letter: u8) -> bool {
        self.0 >> (letter - b'A') & 1 != 0
    }

    fn has_any(self, other: Letters) -> bool {
        self.0 & other.0 != 0
    }
}

/// R read, O old. U unread and N new are from qpopper and old mailx.
const STATUS: Letters = Letters::new(b"RONU");
/// All letters of X-Status. Of any program: A answered, D deleted, F and T.
const X_STATUS: Letters = Letters::new(b"ADFTNUORQKSGWIPHC");
/// New, unread, old, read, queued, to do, sent, flagged, watched, ignored, spam, ham, no attachment.
const KMAIL_ONLY: Letters = Letters::new(b"NUORQKSGWIPHC");

/// The letters in the header of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct StatusLetters {
    status: Letters,
    x_status: Option<Letters>,
    has_kmail_field: bool,
}

impl StatusLetters {
    /// Adds the value of a Status. Returns false if it has other letters; they are skipped.
    pub(super) fn add_status(&mut self, value: &[u8]) -> bool {
        self.status.add(value, STATUS)
    }

    /// Adds the value of an X-Status. Returns false if it has other letters; they are skipped.
    pub(super) fn add_x_status(&mut self, value: &[u8]) -> bool {
        self.x_status.get_or_insert_default().add(value, X_STATUS)
    }

    /// Adds another field: KMail adds X-KMail-EncryptionState and the like.
    pub(super) fn add_other(&mut self, field: &Field<'_>) {
        self.has_kmail_field |= is_kmail_field(field);
    }

    /// Returns the letters of X-Status if KMail wrote them.
    fn kmail(&self) -> Option<Letters> {
        self.x_status.filter(|letters| self.has_kmail_field || letters.has_any(KMAIL_ONLY))
    }

    /// Returns the state, without T.
    pub(super) fn status(&self) -> Status {
        let (kmail, x_status) = (self.kmail(), self.x_status.unwrap_or_default());
        let is_unread = kmail.is_some_and(|letters| letters.has_any(Letters::new(b"NU")));
        let is_read = self.status.has(b'R') || kmail.is_some_and(|letters| letters.has(b'R'));
        let is_new = kmail.is_some_and(|letters| letters.has(b'N'));
        let meanings = match kmail {
            Some(_) => [(b'A', Flags::REPLIED), (b'F', Flags::PASSED), (b'G', Flags::FLAGGED)],
            None => [(b'A', Flags::REPLIED), (b'F', Flags::FLAGGED), (b'T', Flags::DRAFT)],
        };
        let mut flags = Flags::default();
        for (letter, flag) in meanings {
            if x_status.has(letter) {
                flags |= flag;
            }
        }
        if is_read && !is_unread {
            flags |= Flags::SEEN;
        }
        let is_old = self.status.has_any(Letters::new(b"RO")) || kmail.is_some_and(|letters| letters.0 != 0);
        Status { flags, old: is_old && !is_new }
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.x_status.is_some_and(|letters| letters.has(b'D'))
    }

    pub(super) fn is_spam(&self) -> bool {
        self.kmail().is_some_and(|letters| letters.has(b'P'))
    }

    /// Reports whether a mail program has read or listed the message.
    pub(super) fn has_read_state(&self) -> bool {
        let is_known = |letters: Letters| letters.has_any(Letters::new(b"NUOR"));
        self.status.has_any(Letters::new(b"RO")) || self.kmail().is_some_and(is_known)
    }
}

/// Reports whether only KMail writes this field. An X-Status next to it has KMail's letters.
pub(crate) fn is_kmail_field(field: &Field<'_>) -> bool {
    const PREFIX: &[u8] = b"X-KMail-";
    field.name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// Returns the value of an X-Status. P has no letter, except in KMail's, which has none for D.
pub(crate) fn x_status(status: Status, is_kmail: bool) -> String {
    let has = |flag| status.flags.has(flag);
    let letters: &[(bool, char)] = if is_kmail {
        &[
            (!has(Flags::SEEN) && !status.old, 'N'),
            (!has(Flags::SEEN) && status.old, 'U'),
            (has(Flags::SEEN), 'R'),
            (has(Flags::TRASHED), 'D'),
            (has(Flags::REPLIED), 'A'),
            (has(Flags::PASSED), 'F'),
            (has(Flags::FLAGGED), 'G'),
        ]
    } else {
        &[
            (has(Flags::REPLIED), 'A'),
            (has(Flags::FLAGGED), 'F'),
            (has(Flags::DRAFT), 'T'),
            (has(Flags::TRASHED), 'D'),
        ]
    };
    letters.iter().filter(|(is_set, _)| *is_set).map(|(_, letter)| letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(status: &str, x_status: &str, kmail: bool) -> (String, bool, bool) {
        let mut letters = StatusLetters { has_kmail_field: kmail, ..StatusLetters::default() };
        let is_valid = letters.add_status(status.as_bytes());
        let is_valid = (x_status.is_empty() || letters.add_x_status(x_status.as_bytes())) && is_valid;
        let state = letters.status();
        let deleted = if letters.is_deleted() { "T" } else { "" };
        let spam = if letters.is_spam() { "$" } else { "" };
        (format!("{}{deleted}{spam}", state.flags), state.old, is_valid)
    }

    #[test]
    fn kmails_letters_have_kmails_meaning() {
        for (status, x_status, kmail, flags, old) in [
            // Pine, Dovecot.
            ("RO", "AFT", false, "DFRS", true),
            ("O", "TD", false, "DT", true),
            // KMail's fields, or letters of KMail alone.
            ("RO", "RT", true, "S", true),
            ("RO", "RT", false, "S", true),
            ("RO", "T", true, "S", true),
            ("RO", "RF", false, "PS", true),
            ("RO", "RG", false, "FS", true),
            ("RO", "RAT", true, "RS", true),
            ("RO", "RP", false, "S$", true),
            ("RO", "RKHQSWIC", false, "S", true),
            ("RO", "RD", false, "ST", true),
            ("RO", "OD", false, "ST", true),
            // KMail writes R and RO into the Status of unread messages.
            ("RO", "U", false, "", true),
            ("RO", "UTG", true, "F", true),
            ("R", "N", true, "", false),
            ("R", "N", false, "", false),
            ("", "U", true, "", true),
        ] {
            let got = letters(status, x_status, kmail);
            assert_eq!(got, (flags.to_owned(), old, true), "{status} {x_status} {kmail}");
        }
    }

    #[test]
    fn invalid_letters_are_skipped_and_reported() {
        for (status, x_status, flags) in [
            ("RX", "", "S"),
            ("7", "", ""),
            ("R,O", "", "S"),
            ("D", "", ""),
            ("", "AZ", "R"),
            ("", "A\0", "R"),
        ] {
            let (got, _, is_valid) = letters(status, x_status, false);
            assert_eq!((got.as_str(), is_valid), (flags, false), "{status} {x_status}");
        }
        for (status, x_status) in [("", ""), (" ro ", "a f"), ("U", ""), ("N", ""), ("RO\r\n ", " \t")] {
            assert!(letters(status, x_status, false).2, "{status} {x_status}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for flags in Flags::changes() {
            for (kmail, old) in [(false, true), (true, true), (true, false)] {
                let status = Status { flags, old: old || !flags.is_empty() };
                let mut letters = StatusLetters { has_kmail_field: kmail, ..StatusLetters::default() };
                letters.add_status(if flags.has(Flags::SEEN) { b"RO" } else { b"O" });
                assert!(letters.add_x_status(x_status(status, kmail).as_bytes()));
                let mut got = letters.status();
                if letters.is_deleted() {
                    got.flags |= Flags::TRASHED;
                }
                // These have no letter.
                let unsaid = if kmail { Flags::DRAFT } else { Flags::PASSED };
                assert_eq!(
                    got,
                    Status { flags: if flags.has(unsaid) { flags ^ unsaid } else { flags }, old: status.old },
                    "{flags} {kmail}"
                );
            }
        }
    }
}
