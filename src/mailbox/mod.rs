//! The shared core: what a mailbox is, in bytes. No terminal, no environment, no clock, no network.

pub mod date;
pub mod durable;
pub mod error;
pub mod finding;
pub mod header;
pub mod lock;
pub mod maildir;
pub mod manifest;
pub mod mapped;
pub mod mbox;
pub mod source;
pub mod whole;

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A path for the screen: one line, control characters and bytes that are no UTF-8 escaped.
/// Never for opening a file: paths are bytes.
pub fn shown(path: &Path) -> String {
    escaped(path.as_os_str().as_bytes())
}

/// Bytes for the screen: valid UTF-8 as it is, control characters and all else as escapes.
pub fn escaped(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
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
    use super::escaped;

    #[test]
    fn nothing_that_moves_a_cursor_reaches_the_screen() {
        assert_eq!(escaped(b"In\x1b[2Jbox\n"), "In\\u{1b}[2Jbox\\n");
        assert_eq!(escaped("Entwürfe".as_bytes()), "Entwürfe");
        assert_eq!(escaped(b"Entw\xfcrfe"), "Entw\\xfcrfe");
    }
}
