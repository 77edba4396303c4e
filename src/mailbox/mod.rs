//! The shared core: what a mailbox is, in bytes. No terminal, no environment, no clock, no network.

pub mod address;
pub mod date;
pub mod durable;
pub mod error;
pub mod finding;
pub mod header;
pub mod input;
pub mod lock;
pub mod maildir;
pub mod manifest;
pub mod mapped;
pub mod mbox;
pub mod source;
pub mod together;
pub mod tree;
pub mod whole;

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// All of a regular file. What lies under a name among mail may be anybody's: a FIFO is not waited for, and a device
/// that has no end is not read.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(meta.len()).unwrap_or(0).saturating_add(1))?;
    // Of a file itself the standard library would ask the size once more.
    file.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A path for the screen: one line, control characters and bytes that are no UTF-8 escaped.
/// Never for opening a file: paths are bytes.
pub fn shown(path: &Path) -> String {
    escaped(path.as_os_str().as_bytes())
}

/// A path as a word of a command that a person may paste into a shell. Control characters and bytes that are
/// no UTF-8 are shown escaped: such a command names no file, and does no harm.
pub fn quoted(path: &Path) -> String {
    let shown = shown(path);
    let plain = |c: char| c.is_alphanumeric() || "/._-+,=:@%".contains(c);
    // What begins with a dash would be an option.
    let dash = if shown.starts_with('-') { "./" } else { "" };
    if !shown.is_empty() && shown.chars().all(plain) {
        return format!("{dash}{shown}");
    }
    format!("'{dash}{}'", shown.replace('\'', r"'\''"))
}

/// `1 byte`, `2 bytes`: a count with its noun.
pub fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The verb of `1 of 3 messages is` and `2 of 3 messages are`.
pub fn is_or_are(count: u64, of: u64) -> &'static str {
    if count == 1 || of == 1 { "is" } else { "are" }
}

/// Bytes for the screen: valid UTF-8 as it is, control characters, those that turn the direction of what stands
/// around them, and all else as escapes.
pub fn escaped(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let is_plain = bytes.iter().all(|b| (b' '..=b'~').contains(b));
    if let Some(plain) = std::str::from_utf8(bytes).ok().filter(|_| is_plain) {
        return plain.to_owned();
    }
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.extend(c.escape_default()),
                c if c.is_control() => out.extend(c.escape_default()),
                c => out.push(c),
            }
        }
        for b in chunk.invalid() {
            let _ = write!(out, "\\x{b:02x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_a_cursor_reaches_the_screen() {
        assert_eq!(escaped(b"In\x1b[2Jbox\n"), "In\\u{1b}[2Jbox\\n");
        assert_eq!(escaped("gpj.\u{202e}exe".as_bytes()), "gpj.\\u{202e}exe");
        assert_eq!(escaped("Entwürfe".as_bytes()), "Entwürfe");
        assert_eq!(escaped(b"Entw\xfcrfe"), "Entw\\xfcrfe");
    }

    #[test]
    fn a_path_in_a_command_is_one_word_and_no_option() {
        for (path, want) in [
            ("/var/mail/ada.2", "/var/mail/ada.2"),
            ("Old Mail/.Sent", "'Old Mail/.Sent'"),
            ("it's $HOME", r"'it'\''s $HOME'"),
            ("-rf", "./-rf"),
            ("-r f", "'./-r f'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(Path::new(path)), want);
        }
    }
}
