//! Formats of files that are not mailboxes but are mistaken for them, recognized by their first bytes.

use std::path::Path;

use super::Compression;
use crate::mailbox::Error;
use crate::mailbox::fs::archived;

/// How many first bytes of a file [`ForeignFormat::recognize`] needs: one block of a tar archive.
pub(crate) const FORMAT_HEAD: usize = 512;

/// The remedy for archives that are read, on standard input or in a tree.
const ITSELF: Option<&str> = Some("name the archive itself as a source, as a file and without a prefix");
/// The remedy for an archive in an archive.
const UNPACK_OUTER: Option<&str> = Some("unpack the archive that it is in, and name it as a source");
/// The remedy for other archives.
const UNPACK: Option<&str> = Some("unpack it first");
const ICONV: Option<&str> = Some("convert it with iconv, for example iconv -f UTF-16 -t UTF-8");
const MAILUTIL: Option<&str> = Some("convert it to mbox with mailutil copy");

/// A format that is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ForeignFormat {
    /// A noun phrase, or "compressed with" a program: it follows "it is".
    name: &'static str,
    /// How to get at the mail. Without one, there is none in it.
    hint: Option<&'static str>,
}

/// The formats that one message or a whole mailbox is wrapped in, and that are not unwrapped.
const WRAPPINGS: &[(&[u8], &str, Option<&str>)] = &[
    (b"CRYPTED\x03\x07", "a file that Dovecot has encrypted", Some("read it with doveadm")),
    (b"Dovecot-LZ4\r*\x9b\xc5", "compressed with Dovecot's lz4", Some("read it with doveadm")),
    (b"LZIP\x01", "compressed with lzip", Some("unpack it first: lzip -d")),
    (b"\x89LZO\0\r\n\x1a\n", "compressed with lzop", Some("unpack it first: lzop -d")),
    (b"\x04\x22\x4d\x18", "compressed with lz4", Some("unpack it first: lz4 -d")),
    (b"\x02\x21\x4c\x18", "compressed with lz4", Some("unpack it first: lz4 -d")),
    (b"\xff\x06\0\0sNaPpY", "compressed with snappy", UNPACK),
    (b"\x78\x01", "compressed with zlib", UNPACK),
    (b"\x78\x9c", "compressed with zlib", UNPACK),
    (b"\x78\xda", "compressed with zlib", UNPACK),
    (b"LRZI\0", "compressed with lrzip", Some("unpack it first: lrzip -d")),
    (b"\x1f\x9d", "compressed with compress", Some("unpack it first: uncompress")),
    (b"\x1f\x1e", "compressed with pack", Some("unpack it first: gzip -d")),
    (b"\x1f\xa0", "compressed with compress -H", Some("unpack it first: gzip -d")),
];

const MAGIC_NUMBERS: &[(&[u8], &str, Option<&str>)] = &[
    (b"BABYL OPTIONS", "a Babyl file", Some("convert it to mbox with Emacs: M-x unrmail")),
    (b"*mbx*\r\n", "a UW-IMAP mbx file", MAILUTIL),
    (b":msg:", "a UW-IMAP mix file", MAILUTIL),
    (b"\x20\x08\x79\x19", "a message base of The Bat!", Some("export it from The Bat! as a Unix mailbox")),
    (
        b"\x10\x10\x10\x10\x10\x10\x11\x11\x11\x11\x11\x11S",
        "a Foxmail mailbox",
        Some("export its messages from Foxmail as .eml files"),
    ),
    (b"!BDN", "an Outlook PST file", Some("convert it to mbox with readpst")),
    (b"\xcf\xad\x12\xfe", "an Outlook Express DBX file", Some("convert it to mbox with undbx")),
    (
        b"JMF",
        "an Outlook Express 4 mailbox",
        Some("open it with Outlook Express 5, and convert the DBX file"),
    ),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Outlook msg file", Some("convert it with msgconvert")),
    (b"070701", "a cpio archive", UNPACK),
    (b"070702", "a cpio archive", UNPACK),
    (b"070707", "a cpio archive", UNPACK),
    (b"!<arch>\n", "an ar archive", UNPACK),
    (b"!<thin>\n", "an ar archive", UNPACK),
    (b"PK\x03\x04", "a zip archive", ITSELF),
    (b"PK\x05\x06", "a zip archive", ITSELF),
    (b"PK\x07\x08", "a zip archive", ITSELF),
    (b"PK00PK\x03\x04", "a zip archive", ITSELF),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!\x1a\x07", "a rar archive", UNPACK),
    (b"RE~^", "a rar archive", UNPACK),
    (b"MSCF\0\0\0\0", "a cabinet archive", UNPACK),
    (b"\x60\xea", "an arj archive", UNPACK),
    (b"xar!\0", "a xar archive", UNPACK),
    (b"StuffIt ", "a StuffIt archive", UNPACK),
    (b"SIT!", "a StuffIt archive", UNPACK),
    (b"hsqs", "a squashfs image", UNPACK),
    (b"\x89PNG", "a PNG image", None),
    (b"\xff\xd8\xff", "a JPEG image", None),
    (b"GIF8", "a GIF image", None),
    (b"%PDF", "a PDF document", None),
];

type Test = fn(&[u8]) -> bool;

/// Formats whose magic number is not at the start, or is more than a number.
const TESTS: &[(Test, &str, Option<&str>)] = &[
    (is_utf32, "UTF-32 text", ICONV),
    (is_utf16, "UTF-16 text", ICONV),
    (is_tar, "a tar archive", ITSELF),
    (is_binary_cpio, "a cpio archive", UNPACK),
    (is_lha, "an lha archive", UNPACK),
    (is_dbox, "a Dovecot dbox file", Some("convert its user's mail with doveadm backup maildir:DIR")),
    (is_mtx, "a UW-IMAP mtx or tenex file", MAILUTIL),
];

impl ForeignFormat {
    /// Recognizes a format by the first bytes of a file, uncompressed; [`FORMAT_HEAD`] bytes are enough.
    pub(crate) fn recognize(head: &[u8]) -> Option<ForeignFormat> {
        let by_number = || find_number(MAGIC_NUMBERS, head);
        let by_test = || TESTS.iter().find(|(test, ..)| test(head));
        let by_test = || by_test().map(|&(_, name, hint)| ForeignFormat { name, hint });
        ForeignFormat::recognize_wrapping(head).or_else(by_number).or_else(by_test)
    }

    /// Recognizes the compression or encryption of one message, by its first 13 bytes.
    pub(crate) fn recognize_wrapping(head: &[u8]) -> Option<ForeignFormat> {
        let lzma = ForeignFormat {
            name: "compressed with lzma",
            hint: Some("unpack it first: xz -d --format=lzma"),
        };
        find_number(WRAPPINGS, head).or_else(|| is_lzma(head).then_some(lzma))
    }

    /// Recognizes a format by the first bytes that a decoder gives. A second layer of compression is one.
    pub(crate) fn recognize_decoded(head: &[u8]) -> Option<ForeignFormat> {
        let twice = ForeignFormat { name: "compressed twice", hint: Some("unpack it once first") };
        Compression::detect(head).map(|_| twice).or_else(|| ForeignFormat::recognize(head))
    }

    /// Returns a phrase about the file.
    pub(crate) fn reason(self) -> String {
        format!("it is {}", self.name)
    }

    /// Returns the remedy. A file without one holds no mail.
    pub(crate) fn hint(self) -> Option<&'static str> {
        self.hint
    }

    /// Returns the remedy for the file at this path. What is in an archive cannot be named as a source.
    pub(crate) fn hint_for(self, path: &Path) -> Option<&'static str> {
        if self.hint == ITSELF && archived::is_member(path) { UNPACK_OUTER } else { self.hint }
    }

    /// Returns the error about the file.
    pub(super) fn in_file(self, path: &Path) -> Error {
        let hint = self.hint.map(str::to_owned);
        Error::NotAMailbox { path: path.to_owned(), reason: self.reason(), hint }
    }
}

fn find_number(table: &[(&[u8], &'static str, Option<&'static str>)], head: &[u8]) -> Option<ForeignFormat> {
    let &(_, name, hint) = table.iter().find(|(magic, ..)| head.starts_with(magic))?;
    Some(ForeignFormat { name, hint })
}

/// Reports whether bytes are not text: more than one in fifty is a control character. NULs alone are a hole that a
/// crash left.
pub(crate) fn is_binary(bytes: &[u8]) -> bool {
    let is_control = |&&b: &&u8| matches!(b, 0..=8 | 14..=26 | 28..=31 | 127);
    let controls = bytes.iter().filter(is_control).count();
    controls * 50 > bytes.len() && bytes.iter().any(|&b| b != 0)
}

/// A tar archive of any kind (v7, ustar, GNU, pax) begins with a header that has its checksum: the sum of its bytes,
/// with blanks in place of the checksum. Some writers took the bytes as signed. A text may have the word ustar in the
/// right place, but not this number.
pub(super) fn is_tar(head: &[u8]) -> bool {
    head.first() != Some(&0) && is_tar_header(head)
}

/// Reports whether a block has its checksum.
pub(super) fn is_tar_header(head: &[u8]) -> bool {
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    let Some(block) = head.get(..512) else { return false };
    let named = tar_number(&block[CHECKSUM]);
    let byte = |n: usize| if CHECKSUM.contains(&n) { b' ' } else { block[n] };
    let unsigned: i64 = (0..512).map(|n| i64::from(byte(n))).sum();
    let signed: i64 = (0..512).map(|n| i64::from(byte(n).cast_signed())).sum();
    named.is_some_and(|sum| sum == unsigned || sum == signed)
}

/// Reads a number in a header of tar: octal digits, or bytes of a large number after a byte with the highest bit.
pub(super) fn tar_number(field: &[u8]) -> Option<i64> {
    if let Some((&first, rest)) = field.split_first().filter(|(first, _)| **first & 0x80 != 0) {
        // The bit after the mark is the sign.
        let begin = if first & 0x40 != 0 { -1 } else { i64::from(first & 0x3f) };
        return rest
            .iter()
            .try_fold(begin, |number: i64, &b| number.checked_mul(256).map(|number| number | i64::from(b)));
    }
    let digits = field.trim_ascii_start();
    let length = digits.iter().take_while(|b| (b'0'..=b'7').contains(b)).count();
    let is_ended = digits[length..].iter().all(|b| matches!(b, 0 | b' '));
    let text = std::str::from_utf8(&digits[..length]).ok().filter(|_| is_ended)?;
    // An empty field is 0.
    if text.is_empty() { Some(0) } else { i64::from_str_radix(text, 8).ok() }
}

/// Reports whether a zip archive begins here.
pub(super) fn is_zip(head: &[u8]) -> bool {
    find_number(MAGIC_NUMBERS, head).is_some_and(|format| format.name == "a zip archive")
}

/// The binary header of cpio in either byte order: a number, the type of a file, and the length of a name that ends in
/// a NUL.
fn is_binary_cpio(head: &[u8]) -> bool {
    let is_little = head.starts_with(b"\xc7\x71");
    if !is_little && !head.starts_with(b"\x71\xc7") {
        return false;
    }
    let short = |at: usize| {
        let pair = [*head.get(at)?, *head.get(at + 1)?];
        Some(if is_little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) })
    };
    let is_type = short(6).is_some_and(|mode| matches!(mode >> 12, 1 | 2 | 4 | 6 | 8 | 10 | 12));
    let end = short(20).filter(|&length| length > 1).map(|length| 26 + usize::from(length) - 1);
    is_type && end.is_some_and(|end| end >= head.len().min(FORMAT_HEAD) || head[end] == 0)
}

fn is_lha(head: &[u8]) -> bool {
    matches!(head.get(2..7), Some([b'-', b'l', b'h' | b'z', _, b'-']))
}

/// LZMA without a container has no magic number: its first byte packs three small numbers, the size of the dictionary
/// is a power of two or one and a half of it, and the size is unknown or not absurd. These are the tests of xz.
fn is_lzma(head: &[u8]) -> bool {
    let Some((&properties, rest)) = head.split_first() else { return false };
    let Some((dictionary, rest)) = rest.split_first_chunk() else { return false };
    let Some((size, _)) = rest.split_first_chunk() else { return false };
    let (dictionary, size) = (u32::from_le_bytes(*dictionary), u64::from_le_bytes(*size));
    let is_usual = dictionary == u32::MAX
        || dictionary >= 1 << 12
            && (dictionary.is_power_of_two()
                || dictionary.is_multiple_of(3) && (dictionary / 3).is_power_of_two());
    // lzma and xz write 3, 0 and 2 unless they are told otherwise.
    let is_default = properties == 0x5d;
    is_usual && (size == u64::MAX && properties < 225 || is_default && (1..1 << 38).contains(&size))
}

/// A file header such as `2 M1e C5ef2f6a0`, and the mark of a message.
fn is_dbox(head: &[u8]) -> bool {
    let end = memchr::memchr(b'\n', &head[..head.len().min(80)]);
    end.is_some_and(|end| head[..end].starts_with(b"2 M") && head[end + 1..].starts_with(b"\x01\x02"))
}

/// A line such as ` 3-Jan-2005 10:00:00 +0000,93;000000000001`: date, size, flags.
fn is_mtx(head: &[u8]) -> bool {
    let Some(end) = memchr::memchr(b'\n', &head[..head.len().min(80)]) else { return false };
    let mut parts = head[..end].trim_ascii().splitn(2, |&b| b == b',');
    let date = parts.next().unwrap_or_default();
    let mut numbers = parts.next().unwrap_or_default().splitn(2, |&b| b == b';');
    let (size, flags) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let is_date = date.len() >= 24 && date.contains(&b'-') && date.contains(&b':') && date.contains(&b' ');
    let are_digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    is_date && are_digits(size) && flags.len() >= 12 && are_digits(&flags[..12])
}

fn is_utf32(head: &[u8]) -> bool {
    let has_mark = head.starts_with(b"\xff\xfe\0\0") || head.starts_with(b"\0\0\xfe\xff");
    has_mark || is_wide(head, 4, 0) || is_wide(head, 4, 3)
}

fn is_utf16(head: &[u8]) -> bool {
    let has_mark = head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff");
    has_mark || is_wide(head, 2, 0) || is_wide(head, 2, 1)
}

/// Reports whether text begins with ASCII characters of some width, one byte of each not a NUL.
fn is_wide(head: &[u8], width: usize, at: usize) -> bool {
    const CHARACTERS: usize = 8;
    let is_text = |b: u8| b.is_ascii_graphic() || b.is_ascii_whitespace();
    let is_character =
        |unit: &[u8]| unit.iter().enumerate().all(|(n, &b)| if n == at { is_text(b) } else { b == 0 });
    head.len() >= CHARACTERS * width && head.chunks(width).take(CHARACTERS).all(is_character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(head: &[u8]) -> Option<&'static str> {
        ForeignFormat::recognize(head).map(|format| format.name)
    }

    /// A header of the first tar, without a magic number.
    fn v7_header() -> Vec<u8> {
        let mut block = vec![0; 512];
        block[..4].copy_from_slice(b"mbox");
        block[100..107].copy_from_slice(b"0000644");
        block[124..135].copy_from_slice(b"00000000144");
        block[148..156].copy_from_slice(b"        ");
        let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    #[test]
    fn a_tar_archive_is_recognized_by_its_checksum() {
        let header = v7_header();
        assert_eq!(name(&header), Some("a tar archive"));
        assert_eq!(name(&header[..511]), None);
        let mut damaged = header.clone();
        damaged[0] = b'n';
        assert_eq!(name(&damaged), None);
        let mut signed = header;
        signed[1] = 0xe4;
        let sum: i32 = signed.iter().enumerate().fold(0, |sum, (n, &b)| {
            sum + if (148..156).contains(&n) { 32 } else { i32::from(b.cast_signed()) }
        });
        signed[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert_eq!(name(&signed), Some("a tar archive"));
        let text = [&b"From a@b Mon Jan  1 10:00:05 2001\nSubject: x\n"[..], &[b'.'; 600]].concat();
        assert_eq!(name(&text), None);
        assert_eq!(name(&[0; 512]), None);
    }

    #[test]
    fn formats_without_a_plain_magic_number_are_recognized() {
        let wide = |text: &str, width: usize, at: usize| -> Vec<u8> {
            text.bytes().flat_map(|b| (0..width).map(move |n| if n == at { b } else { 0 })).collect()
        };
        let cpio = [&b"\xc7\x71\0\0\0\0\xa4\x81"[..], &[0; 12], b"\x05\0\0\0\0\0mbox\0"].concat();
        for (head, want) in [
            (&b"\xff\xfeF\0r\0"[..], Some("UTF-16 text")),
            (b"\xff\xfe\0\0F\0\0\0", Some("UTF-32 text")),
            (&wide("Subject: x\n", 2, 0), Some("UTF-16 text")),
            (&wide("Subject: x\n", 2, 1), Some("UTF-16 text")),
            (&wide("Subject: x\n", 4, 3), Some("UTF-32 text")),
            (&cpio, Some("a cpio archive")),
            (b"\xc7\x71 text", None),
            (b"]\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0", Some("compressed with lzma")),
            (b"]\0\0\x80\0\x64\0\0\0\0\0\0\0\0", Some("compressed with lzma")),
            (b"] text of thirteen", None),
            (b"\x1a\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0", None),
            (b"2 M1e C5ef2f6a0\n\x01\x02N   ", Some("a Dovecot dbox file")),
            (b"2 Meals\nfor the week\n", None),
            (
                b" 3-Jan-2005 10:00:00 +0000,93;000000000001\r\nFrom: a\r\n",
                Some("a UW-IMAP mtx or tenex file"),
            ),
            (b"27-Feb-2016 20:21:27 +0000,390;000000000005-00000001\n", Some("a UW-IMAP mtx or tenex file")),
            (b"27-Feb-2016 20:21:27 +0000, 390; and so on\n", None),
            (b"\x1a\x02-lh5-", Some("an lha archive")),
            (b"From a@b Mon Jan  1 10:00:05 2001\nSubject: x\n\ny\n", None),
            (b"Subject: x\n\ny\n", None),
            (b"", None),
        ] {
            assert_eq!(name(head), want, "{}", crate::mailbox::text::escape(head));
        }
    }

    #[test]
    fn text_with_a_few_control_characters_is_not_binary() {
        assert!(is_binary(b"\x01\x02\0\0\0\0mail"));
        assert!(!is_binary("grüße\n\tan \x1b[1malle\x1b[0m\n\x0c".as_bytes()));
        assert!(!is_binary(&[0; 100]));
        assert!(!is_binary(b""));
    }
}
