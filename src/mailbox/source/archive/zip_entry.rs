//! A member as the central directory of a zip archive has it.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;
use rustix::fs::{FileType, RawMode};

/// The length of a record without its names.
pub(super) const ENTRY: usize = 46;

/// The kind of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Link,
    Special(FileType),
}

/// A member.
#[derive(Debug)]
pub(super) struct Entry {
    pub name: Vec<u8>,
    pub kind: Kind,
    pub method: u16,
    pub checksum: u32,
    pub packed: u64,
    pub size: u64,
    /// The offset of its own header, from the start of the archive.
    pub start: u64,
    pub mtime: i64,
    flags: u16,
}

/// The systems whose archives have backslashes in names.
const DOS: [u8; 3] = [0, 10, 14];
const UNIX: [u8; 2] = [3, 19];

/// The upper half of the character set of DOS (CP437).
const UPPER: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// Returns a number of up to four bytes in a record.
pub(super) fn field(record: &[u8], at: usize, length: usize) -> u64 {
    let bytes = record.get(at..at + length).unwrap_or_default();
    bytes.iter().rev().fold(0, |number, &b| number << 8 | u64::from(b))
}

/// Returns a number of eight bytes.
pub(super) fn long_field(record: &[u8], at: usize) -> u64 {
    field(record, at, 8)
}

impl Entry {
    /// Returns the length of the names and extra fields that follow a record.
    pub(super) fn names_length(record: &[u8; ENTRY]) -> usize {
        [28, 30, 32].iter().map(|&at| field(record, at, 2) as usize).sum()
    }

    /// Parses a record, with the names that follow it.
    pub(super) fn parse(record: &[u8; ENTRY], names: &[u8]) -> Entry {
        let name_length = field(record, 28, 2) as usize;
        let extra_length = field(record, 30, 2) as usize;
        let raw = &names[..name_length.min(names.len())];
        let extra = names.get(name_length..name_length + extra_length).unwrap_or_default();
        let flags = field(record, 8, 2) as u16;
        let system = record[5];
        let mut entry = Entry {
            name: decode_name(raw, flags, system, extra),
            kind: Kind::File,
            method: field(record, 10, 2) as u16,
            checksum: field(record, 16, 4) as u32,
            packed: field(record, 20, 4),
            size: field(record, 24, 4),
            start: field(record, 42, 4),
            mtime: dos_time(field(record, 14, 2), field(record, 12, 2)),
            flags,
        };
        entry.take_extra(extra);
        let mode = (field(record, 38, 4) >> 16) as RawMode;
        entry.kind = match FileType::from_raw_mode(mode) {
            _ if entry.name.ends_with(b"/") => Kind::Directory,
            FileType::Symlink if UNIX.contains(&system) => Kind::Link,
            kind
            @ (FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice | FileType::Socket)
                if UNIX.contains(&system) =>
            {
                Kind::Special(kind)
            }
            FileType::Directory if UNIX.contains(&system) => Kind::Directory,
            _ => Kind::File,
        };
        entry
    }

    /// Takes sizes beyond 4 GiB and the time in UTC from the extra fields.
    fn take_extra(&mut self, extra: &[u8]) {
        const ABSENT: u64 = u32::MAX as u64;
        for (id, value) in extra_fields(extra) {
            match id {
                1 => {
                    let mut numbers = value.chunks_exact(8).map(|number| long_field(number, 0));
                    for known in [&mut self.size, &mut self.packed, &mut self.start] {
                        if *known == ABSENT {
                            *known = numbers.next().unwrap_or(ABSENT);
                        }
                    }
                }
                0x5455 if value.len() >= 5 && value[0] & 1 != 0 => {
                    self.mtime = i64::from((field(value, 1, 4) as u32).cast_signed());
                }
                _ => {}
            }
        }
    }

    /// Returns the reason that a member cannot be read.
    pub(super) fn refusal(&self) -> Option<String> {
        const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
        (self.flags & ENCRYPTED != 0).then(|| "it is encrypted".to_owned())
    }
}

fn extra_fields(mut extra: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        let id = field(extra, 0, 2);
        let length = field(extra, 2, 2) as usize;
        let value = extra.get(4..4 + length)?;
        extra = &extra[4 + length..];
        Some((id, value))
    })
}

/// Returns a name as bytes of UTF-8, or as it is where a Unix system wrote it.
fn decode_name(raw: &[u8], flags: u16, system: u8, extra: &[u8]) -> Vec<u8> {
    const UTF8: u16 = 1 << 11;
    const UNICODE_PATH: u64 = 0x7075;
    let is_for_name = |value: &[u8]| {
        let mut checksum = flate2::Crc::new();
        checksum.update(raw);
        value.len() > 5 && value[0] == 1 && field(value, 1, 4) as u32 == checksum.sum()
    };
    let unicode = extra_fields(extra).find(|(id, value)| *id == UNICODE_PATH && is_for_name(value));
    let mut name = match unicode {
        Some((_, value)) => value[5..].to_vec(),
        None if flags & UTF8 != 0 || UNIX.contains(&system) || std::str::from_utf8(raw).is_ok() => {
            raw.to_vec()
        }
        None => raw.iter().map(|&b| upper_half(b)).collect::<String>().into_bytes(),
    };
    if DOS.contains(&system) && !name.contains(&b'/') {
        name.iter_mut().filter(|b| **b == b'\\').for_each(|b| *b = b'/');
    }
    name
}

fn upper_half(byte: u8) -> char {
    match byte.checked_sub(0x80) {
        Some(n) => UPPER.chars().nth(n.into()).unwrap_or(char::REPLACEMENT_CHARACTER),
        None => char::from(byte),
    }
}

/// Returns the seconds since 1970 of a date and time of DOS, which has no zone.
fn dos_time(date: u64, time: u64) -> i64 {
    let (year, month, day) = (1980 + (date >> 9), (date >> 5) & 15, date & 31);
    let (hour, minute, second) = (time >> 11, (time >> 5) & 63, (time & 31) * 2);
    let date = Date::new(year as i16, month as i8, day as i8);
    let time = Time::new(hour as i8, minute as i8, second as i8, 0);
    let civil = date.and_then(|date| Ok(DateTime::from_parts(date, time?)));
    civil.and_then(|civil| Offset::UTC.to_timestamp(civil)).map_or(0, |time| time.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_as_their_system_wrote_them() {
        let name = |raw: &[u8], flags, system| {
            String::from_utf8_lossy(&decode_name(raw, flags, system, b"")).into_owned()
        };
        assert_eq!(name(b"Entw\x81rfe\\a", 0, 0), "Entwürfe/a");
        assert_eq!(name("Entwürfe".as_bytes(), 0, 3), "Entwürfe");
        assert_eq!(name(b"a\\b", 0, 3), "a\\b");
        assert_eq!(decode_name(b"Entw\xfcrfe", 0, 3, b""), b"Entw\xfcrfe");
        assert_eq!(UPPER.chars().count(), 128);
    }

    #[test]
    fn times_are_those_of_dos() {
        assert_eq!(dos_time(44 << 9 | 4 << 5 | 7, 14 << 11 | 20 << 5), 1_712_499_600);
        assert_eq!(dos_time(0, 0), 0);
    }
}
