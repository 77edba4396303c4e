//! Names of files in trees that tell one message from a mailbox.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::mailbox::mbox::bare::is_removed;

/// The extensions of files with one message.
const MESSAGE: [&str; 3] = [".eml", ".emlx", ".msg"];
/// The extensions that only mail has, and the stores of mail programs. A file with one of them is never passed over
/// silently.
const MAIL: [&str; 20] = [
    ".eml", ".emlx", ".msg", ".mbox", ".mboxrd", ".mboxcl", ".mbx", ".mmdf", ".mbs", ".pst", ".ost", ".dbx",
    ".olm", ".nsf", ".pmm", ".cnm", ".tbb", ".bmf", ".imm", ".imb",
];
/// The extensions of files about a mailbox that its name is a part of: checksums and signatures, logs and notes, and data
/// to repair it.
const ABOUT: &str = "md5 md5sum sha sha1 sha224 sha256 sha384 sha512 sha3 sha1sum sha256sum sha512sum b2 b2sum b3 b3sum \
                     blake2b blake3 crc crc32 cksum sfv sum sums xxh xxh64 xxh128 sig sign minisig par2 torrent \
                     log err out txt md csv json html";
const COMPRESSED: [&str; 5] = [".gz", ".bz2", ".xz", ".zst", ".lzma"];

/// Reports whether a file of this name is one message: a message saved by itself, or one that MH removed.
pub(crate) fn names_a_message(name: &[u8]) -> bool {
    ends_in(name, &MESSAGE) || is_removed(Path::new(OsStr::from_bytes(name)))
}

/// Reports whether a file of this name contains mail, whatever it looks like. Another extension may follow, as in
/// `inbox.mbox.gpg`, but `inbox.mbox.sha256` is about a mailbox.
pub(crate) fn promises_mail(name: &[u8]) -> bool {
    let point = name.iter().rposition(|&b| b == b'.').unwrap_or(name.len());
    let (inner, extension) = (&name[..point], name.get(point + 1..).unwrap_or_default());
    let is_about = || ABOUT.split(' ').any(|about| extension.eq_ignore_ascii_case(about.as_bytes()));
    let is_mail = ends_in(name, &MAIL) || is_removed(Path::new(OsStr::from_bytes(name)));
    is_mail || ends_in(inner, &MAIL) && !is_about()
}

/// Reports whether a name is a number, as MH names messages. Years are names of mailboxes, too.
pub(crate) fn is_number(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(u8::is_ascii_digit)
}

pub(crate) fn is_year(name: &[u8]) -> bool {
    is_number(name) && name.len() == 4 && (name.starts_with(b"19") || name.starts_with(b"20"))
}

fn ends_in(name: &[u8], extensions: &[&str]) -> bool {
    let lower = name.to_ascii_lowercase();
    let plain = COMPRESSED.iter().find_map(|end| lower.strip_suffix(end.as_bytes())).unwrap_or(&lower);
    extensions.iter().any(|end| plain.ends_with(end.as_bytes()) && plain.len() > end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_one_message() {
        for name in ["a.eml", "A.EML", "b.msg.gz", "x.emlx", ",3", "#41", ",3.gz", "#4.eml", ",3.EML.zst"] {
            assert!(names_a_message(name.as_bytes()) && promises_mail(name.as_bytes()), "{name}");
        }
        for name in ["a.mbox", "Old.PST", "in.mbx.xz", "in.mbox.gpg", "a.eml.br"] {
            assert!(!names_a_message(name.as_bytes()) && promises_mail(name.as_bytes()), "{name}");
        }
        for name in ["in.mbox.sha256", "in.mbox.MD5", "in.mbox.log", "a.eml.txt", "in.mbox.xz.sha256"] {
            assert!(!promises_mail(name.as_bytes()), "{name}");
        }
        for name in ["3", "Inbox", ".eml", ",x", "#", ",3.txt", ",3.", "emlx", "a.txt"] {
            assert!(!names_a_message(name.as_bytes()) && !promises_mail(name.as_bytes()), "{name}");
        }
        assert!(is_number(b"2004") && is_year(b"2004") && !is_year(b"3004") && !is_year(b"20"));
    }
}
