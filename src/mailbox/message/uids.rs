//! UIDs that a mail server wrote into the header of a message, and the rule by which they are kept.

/// The largest UID of a message (RFC 3501; Dovecot refuses the one above it).
pub(crate) const MAX_UID: u32 = u32::MAX - 1;

/// The UIDs of an mbox, from X-IMAPbase or X-IMAP of its first message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UidBase {
    pub validity: u32,
    /// The last UID that was given.
    pub last: u32,
}

impl UidBase {
    /// Parses the value of X-IMAPbase: the validity, the last UID and keywords. Dovecot pads the UID with zeros.
    pub(crate) fn parse(value: &[u8]) -> Option<UidBase> {
        let mut words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let validity = parse_number(words.next()?).filter(|&validity| validity > 0)?;
        let last = words.next().map_or(Some(0), parse_number)?;
        Some(UidBase { validity, last })
    }
}

/// Parses the value of X-UID, which servers pad with blanks.
pub(crate) fn parse_uid(value: &[u8]) -> Option<u32> {
    parse_number(value.trim_ascii()).filter(|uid| (1..=MAX_UID).contains(uid))
}

/// Parses decimal digits. `u32::from_str` takes a sign.
pub(crate) fn parse_number(digits: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_digit))?;
    text.parse().ok()
}

/// The relation of a message's UID to the one that its source has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum UidOrigin {
    /// The source has none: no server has seen the message yet.
    #[default]
    New,
    /// It is the one of the source.
    Kept,
    /// The source has another, which no server would keep.
    Renumbered,
}

/// The UIDs of messages in order. A UID that is rising and free is kept; any other becomes the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UidSequence {
    previous: u32,
    last: u32,
}

impl UidSequence {
    /// Begins with the messages of a source in which UIDs up to `last` were given, in a mailbox where no UID below
    /// `next` is free.
    pub(crate) fn new(next: u32, last: u32) -> UidSequence {
        let previous = next.saturating_sub(1);
        UidSequence { previous, last: last.max(previous) }
    }

    /// Returns the UID of the next message, which had `wanted` before; None if no UID is left.
    pub(crate) fn take(&mut self, wanted: Option<u32>) -> Option<u32> {
        // Any sender can write X-UID. One that is far above the others would use up all UIDs.
        let is_sane = |&uid: &u32| uid <= self.last.max(MAX_UID / 2);
        let kept = wanted.filter(|&uid| uid > self.previous && uid <= MAX_UID).filter(is_sane);
        let uid = kept.or_else(|| Some(self.next()).filter(|&uid| uid <= MAX_UID))?;
        self.previous = uid;
        Some(uid)
    }

    /// Returns UIDNEXT.
    pub(crate) fn next(&self) -> u32 {
        self.previous.max(self.last).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_read_with_padding_and_not_with_other_text() {
        let base = |text: &str| UidBase::parse(text.as_bytes()).map(|base| (base.validity, base.last));
        assert_eq!(base(" 1796004352 0000000018 $Forwarded NonJunk"), Some((1796004352, 18)));
        assert_eq!(base(" 1796004559 4711"), Some((1796004559, 4711)));
        assert_eq!(base("7"), Some((7, 0)));
        for broken in ["", "0 5", "x 5", "5 x", "-5 3", "4294967296 1", "1 4294967296"] {
            assert_eq!(base(broken), None, "{broken}");
        }
        let uid = |text: &str| parse_uid(text.as_bytes());
        assert_eq!((uid(" 12       "), uid("\n\t0007")), (Some(12), Some(7)));
        for broken in ["", "0", "1 2", "+3", "4294967295", "99999999999"] {
            assert_eq!(uid(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_uid_that_is_rising_and_free_is_kept_and_any_other_is_the_next() {
        let number = |last, wanted: &[u32]| {
            let mut sequence = UidSequence::new(1, last);
            let uids = wanted.iter().map(|&uid| sequence.take(Some(uid).filter(|&uid| uid > 0)));
            (uids.map(Option::unwrap).collect::<Vec<u32>>(), sequence.next())
        };
        assert_eq!(number(9, &[1, 2, 4, 9, 7, 8]), (vec![1, 2, 4, 9, 10, 11], 12));
        assert_eq!(number(4, &[1, 2, 0, 4]), (vec![1, 2, 5, 6], 7));
        assert_eq!(number(4711, &[1, 2, 4711]), (vec![1, 2, 4711], 4712));
        assert_eq!(number(3, &[1, 1, 4294967294]), (vec![1, 4, 5], 6));
        assert_eq!(number(20, &[]), (vec![], 21));
        let mut full = UidSequence::new(1, MAX_UID);
        assert_eq!((full.take(Some(MAX_UID)), full.take(None)), (Some(MAX_UID), None));
        // In a mailbox where UIDs up to 9 were given.
        let mut appended = UidSequence::new(10, 14);
        let uids = [Some(12), Some(3), None, Some(9)].map(|wanted| appended.take(wanted).unwrap());
        assert_eq!((uids, appended.next()), ([12, 15, 16, 17], 18));
    }

    proptest! {
        #[test]
        fn uids_rise_and_stay_below_the_next_one(last in 0..100u32, wanted: Vec<Option<u8>>) {
            let mut sequence = UidSequence::new(1, last);
            let mut previous = 0;
            for uid in wanted {
                let uid = sequence.take(uid.map(u32::from)).unwrap();
                prop_assert!(uid > previous);
                previous = uid;
            }
            prop_assert!(sequence.next() > previous.max(last));
        }
    }
}
