//! Name of a message file: `time.unique.host,S=…,W=…`. In cur/, the info `:2,` and the flags follow.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;

use data_encoding::HEXLOWER;

use super::KeywordSet;
use crate::mailbox::manifest::Digest;
use crate::mailbox::message::{DateFields, DateRules, Flags, Origin, header, received};

/// Unique part of a name: 96 bits of BLAKE3(h ‖ From_ lines), where h is the BLAKE3 of the source bytes. The same message
/// of the same source has the same name on any machine, with any number of workers. The manifest has h and the From_
/// lines, so a message is hashed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Unique(pub [u8; 12]);

impl Unique {
    /// Returns the unique part of a message with these bytes in the source, without its From_ lines.
    pub(crate) fn of(source: Digest, from_lines: &[u8]) -> Unique {
        let hash = blake3::Hasher::new().update(&source.0).update(from_lines).finalize();
        let mut bits = [0; 12];
        bits.copy_from_slice(&hash.as_bytes()[..12]);
        Unique(bits)
    }
}

/// Name of a message without the info. Readers identify the message by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BaseName<'a> {
    /// Received date, in seconds since 1970.
    pub epoch: i64,
    pub unique: Unique,
    /// Number of earlier messages with the same bytes.
    pub copy: u32,
    /// Any word; `/`, `:` and control characters are escaped as maildir(5) requires.
    pub host: &'a str,
    /// Size of the file in bytes.
    pub size: u64,
    /// Size in bytes with every line end counted as CRLF.
    pub wire_size: u64,
}

impl BaseName<'_> {
    /// Returns the name as bytes, without info.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut hex = [0; 24];
        HEXLOWER.encode_mut(&self.unique.0, &mut hex);
        let mut name = Vec::with_capacity(80);
        // Writing to memory does not fail.
        let _ = write!(name, "{}.", self.epoch);
        name.extend_from_slice(&hex);
        if self.copy > 0 {
            let _ = write!(name, "_{}", self.copy);
        }
        name.push(b'.');
        push_host(self.host, &mut name);
        push_sizes(self.size, self.wire_size, &mut name);
        name
    }
}

/// Appends a host to a name. Characters that would end the name or a part of it are escaped as maildir(5)
/// requires.
pub(crate) fn push_host(host: &str, name: &mut Vec<u8>) {
    for c in host.bytes() {
        match c {
            // Non-ASCII bytes are escaped because a name does not declare its encoding.
            b'/' | b':' | b'!' | b';' | b',' | 0..=32 | 127.. => {
                name.extend_from_slice(format!("\\{c:03o}").as_bytes());
            }
            _ => name.push(c),
        }
    }
}

/// Appends the sizes that readers and quotas use.
pub(crate) fn push_sizes(size: u64, wire_size: u64, name: &mut Vec<u8>) {
    let _ = write!(name, ",S={size},W={wire_size}");
}

/// Returns the file name in cur/: base name, separator, `2,`, flags and keyword letters.
pub(crate) fn with_info(base: &[u8], separator: u8, flags: Flags, keywords: KeywordSet) -> OsString {
    with_letters(base, separator, format!("{flags}{keywords}").as_bytes())
}

/// Returns the file name in cur/ with letters from another name, which may include keyword letters.
pub(crate) fn with_letters(base: &[u8], separator: u8, letters: &[u8]) -> OsString {
    OsString::from_vec([base, &[separator], b"2,", letters].concat())
}

/// Returns the file name in new/, which has no info.
pub(crate) fn bare(base: &[u8]) -> OsString {
    OsString::from_vec(base.to_vec())
}

/// The length of `:2,`.
const SEPARATOR: usize = 3;

/// A file name on disk, split into its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParsedName<'a> {
    /// Name up to the info; identifies the message.
    pub base: &'a [u8],
    /// Letters after `2,`; None without info.
    pub info: Option<&'a [u8]>,
}

/// Splits any file name into its parts. It never fails: a name in another format is all base. `;` and `!`
/// separate like `:`, because some file systems do not allow a colon.
pub(crate) fn parse(name: &[u8]) -> ParsedName<'_> {
    let separator = memchr::memrchr_iter(b',', name)
        .filter_map(|comma| comma.checked_sub(2))
        .find(|&at| matches!(name[at], b':' | b';' | b'!') && name[at + 1] == b'2')
        .filter(|&at| at > 0);
    ParsedName::with_base_length(name, separator.unwrap_or(name.len()))
}

impl<'a> ParsedName<'a> {
    /// Splits a name whose base name has this length.
    pub(crate) fn with_base_length(name: &'a [u8], base_length: usize) -> ParsedName<'a> {
        let (base, info) = name.split_at(base_length);
        ParsedName { base, info: info.get(SEPARATOR..) }
    }

    /// Returns the received date of a file: the earlier one of its name and its modification time. Only a real date
    /// counts, and the dates in the header do where neither is.
    ///
    /// A copy has the later time of copying. An IMAP server sets the modification time of a message that a client
    /// appends to the earlier date that the client gives.
    pub(crate) fn received_date(&self, mtime: i64, header: &[u8], now: i64) -> (i64, Origin) {
        let by_mtime = Some((mtime, Origin::Mtime)).filter(|_| received::is_in_window(mtime, now));
        let by_name = self.real_epoch(now).map(|epoch| (epoch, Origin::Name));
        let earlier = by_name.into_iter().chain(by_mtime).min_by_key(|&(date, _)| date);
        earlier.unwrap_or_else(|| {
            let mut fields = DateFields::default();
            header::fields(header).for_each(|field| fields.read_field(&field));
            received::fallback_date(&fields, &DateRules { now, mtime: None, from_zone: None, first: None })
        })
    }

    /// Returns the number at the start of the name, which is the seconds since 1970 in a Maildir. OfflineIMAP writes
    /// `1104746400_0.12.host`.
    pub(crate) fn epoch(&self) -> Option<i64> {
        let digits = self.base.split(|&b| b == b'.' || b == b'_').next()?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// Returns the date at the start of the name, if it is real. Other programs write microseconds or numbers there.
    pub(crate) fn real_epoch(&self, now: i64) -> Option<i64> {
        self.epoch().filter(|&epoch| received::is_in_window(epoch, now))
    }

    /// Returns the unique part and copy number if mailferry wrote the name. Only mailferry's spelling counts:
    /// `_01` from another program is not the message `_1`.
    pub(crate) fn unique(&self) -> Option<(Unique, u32)> {
        let part = self.base.split(|&b| b == b'.').nth(1)?;
        let (hex, copy) = match part.iter().position(|&b| b == b'_') {
            Some(at) => (&part[..at], copy_number(&part[at + 1..])?),
            None => (part, 0),
        };
        let bits = HEXLOWER.decode(hex).ok()?.try_into().ok()?;
        Some((Unique(bits), copy))
    }

    /// Returns the number in a field such as `,S=`.
    pub(crate) fn field(&self, letter: u8) -> Option<u64> {
        let mut fields = self.base.split(|&b| b == b',').skip(1);
        let value = fields.find_map(|f| f.strip_prefix(&[letter, b'='][..]))?;
        std::str::from_utf8(value).ok()?.parse().ok()
    }

    /// Returns the flags; empty without info.
    pub(crate) fn flags(&self) -> Flags {
        Flags::parse(self.info.unwrap_or_default())
    }

    /// Returns the keyword letters; empty without info.
    pub(crate) fn keywords(&self) -> KeywordSet {
        KeywordSet::parse(self.info.unwrap_or_default())
    }
}

/// Parses a number from 1, without a sign or leading zeros.
fn copy_number(digits: &[u8]) -> Option<u32> {
    let plain = matches!(digits, [b'1'..=b'9', ..]);
    std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn base(host: &str) -> BaseName<'_> {
        BaseName {
            epoch: 978343201,
            unique: Unique::of(Digest::of(b"x"), b"From a\n"),
            copy: 0,
            host,
            size: 4,
            wire_size: 5,
        }
    }

    #[test]
    fn the_name_is_the_one_the_manual_promises() {
        let name = String::from_utf8(base("mailferry").to_bytes()).unwrap();
        let hex = blake3::hash(&[blake3::hash(b"x").as_bytes(), &b"From a\n"[..]].concat()).to_hex();
        assert_eq!(name, format!("978343201.{}.mailferry,S=4,W=5", &hex[..24]));
        let second = BaseName { copy: 1, ..base("mailferry") }.to_bytes();
        assert_eq!(
            String::from_utf8(second).unwrap(),
            format!("978343201.{}_1.mailferry,S=4,W=5", &hex[..24])
        );
        let in_cur =
            with_info(&base("h").to_bytes(), b':', Flags::SEEN | Flags::FLAGGED, KeywordSet::default());
        assert!(in_cur.to_str().unwrap().ends_with(".h,S=4,W=5:2,FS"));
    }

    #[test]
    fn a_host_cannot_break_out_of_the_name() {
        let name = String::from_utf8(base("a/b:2,S").to_bytes()).unwrap();
        assert!(name.contains(".a\\057b\\0722\\054S,S=4"), "{name}");
    }

    #[test]
    fn only_mailferrys_own_names_have_a_unique_part() {
        let unique = |part: &str| parse(format!("1.{part}.h").as_bytes()).unique();
        assert_eq!(unique("070707070707070707070707"), Some((Unique([7; 12]), 0)));
        assert_eq!(unique("070707070707070707070707_10"), Some((Unique([7; 12]), 10)));
        for copy in ["_0", "_01", "_+1", "_", "_1_1", "_4294967296"] {
            assert_eq!(unique(&format!("070707070707070707070707{copy}")), None, "{copy}");
        }
        for hex in ["+70707070707070707070707", "0A0707070707070707070707", "0707"] {
            assert_eq!(unique(hex), None, "{hex}");
        }
    }

    #[test]
    fn the_received_date_is_the_earlier_real_one() {
        use Origin::*;
        const NOW: i64 = 1_800_000_000;
        let header = b"Date: Mon, 3 Jan 2005 10:00:00 +0000\n";
        for (name, mtime, expected) in [
            ("1104746400.a.h", 1_600_000_000, (1_104_746_400, Name)),
            ("1600000000.a.h", 1_104_746_400, (1_104_746_400, Mtime)),
            ("1104746400.a.h", 0, (1_104_746_400, Name)),
            ("1104746400_0.12.h,U=1", 1_600_000_000, (1_104_746_400, Name)),
            ("1653988153000000.eml", 1_600_000_000, (1_600_000_000, Mtime)),
            ("123.eml", 1_600_000_000, (1_600_000_000, Mtime)),
            ("4102444800.x", 1_600_000_000, (1_600_000_000, Mtime)),
            ("letter.eml", 1_600_000_000, (1_600_000_000, Mtime)),
            ("123.eml", 0, (1_104_746_400, Header)),
        ] {
            assert_eq!(parse(name.as_bytes()).received_date(mtime, header, NOW), expected, "{name} {mtime}");
        }
        assert_eq!(parse(b"123.eml").received_date(0, b"", NOW), (0, None));
    }

    proptest! {
        #[test]
        fn a_written_name_is_read_back(
            epoch in 0i64..1 << 33, copy in 0u32..9, host in "\\PC{0,8}", size: u64, wire: u64,
            letters in "D?F?P?R?S?T?a?b?z?", sep in prop_oneof![Just(b':'), Just(b';'), Just(b'!')],
        ) {
            let base = BaseName {
                epoch, unique: Unique([7; 12]), copy, host: &host, size, wire_size: wire,
            }.to_bytes();
            prop_assert!(!base.contains(&b'/') && !base.contains(&b':'));
            let (flags, keywords) = (Flags::parse(letters.as_bytes()), KeywordSet::parse(letters.as_bytes()));
            let name = with_info(&base, sep, flags, keywords).into_vec();
            let parsed = parse(&name);
            prop_assert_eq!(parsed.base, &base[..]);
            prop_assert_eq!(parsed.info, Some(letters.as_bytes()));
            prop_assert_eq!(parsed.epoch(), Some(epoch));
            prop_assert_eq!(parsed.unique(), Some((Unique([7; 12]), copy)));
            prop_assert_eq!((parsed.field(b'S'), parsed.field(b'W')), (Some(size), Some(wire)));
        }

        #[test]
        fn any_name_can_be_parsed(name: Vec<u8>) {
            crate::promises::maildir_name(&name);
        }
    }
}
