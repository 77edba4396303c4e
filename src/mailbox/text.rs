//! Text for the user: bytes and paths escaped, counts with their nouns.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A path for the screen: one line, control characters and bytes that are no UTF-8 escaped.
/// Never for opening a file: paths are bytes.
pub(crate) fn display_path(path: &Path) -> String {
    escape(path.as_os_str().as_bytes())
}

/// A path as a word of a command that a person may paste into a shell. Control characters and bytes that are
/// no UTF-8 are shown escaped: such a command names no file, and does no harm.
pub(crate) fn shell_quote(path: &Path) -> String {
    let shown = display_path(path);
    let plain = |c: char| c.is_alphanumeric() || "/._-+,=:@%".contains(c);
    // What begins with a dash would be an option.
    let dash = if shown.starts_with('-') { "./" } else { "" };
    if !shown.is_empty() && shown.chars().all(plain) {
        return format!("{dash}{shown}");
    }
    format!("'{dash}{}'", shown.replace('\'', r"'\''"))
}

/// `1 byte`, `2 bytes`: a count with its noun.
pub(crate) fn plural(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Formats a number with grouped digits, as `39,031`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Formats a count with grouped digits and its noun, as `39,031 messages`.
pub(crate) fn grouped_plural(count: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// The verb of `1 of 3 messages is` and `2 of 3 messages are`.
pub(crate) fn is_or_are(count: u64, of: u64) -> &'static str {
    if count == 1 || of == 1 { "is" } else { "are" }
}

/// Bytes for the screen: valid UTF-8 as it is, control characters, those that turn the direction of what stands
/// around them, and all else as escapes.
pub(crate) fn escape(bytes: &[u8]) -> String {
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
    fn thousands_are_grouped() {
        assert_eq!(
            ["7", "999", "1,000", "200,033,902"],
            [7, 999, 1000, 200_033_902].map(grouped).each_ref().map(|s| s.as_str())
        );
    }

    #[test]
    fn nothing_that_moves_a_cursor_reaches_the_screen() {
        assert_eq!(escape(b"In\x1b[2Jbox\n"), "In\\u{1b}[2Jbox\\n");
        assert_eq!(escape("gpj.\u{202e}exe".as_bytes()), "gpj.\\u{202e}exe");
        assert_eq!(escape("Entwürfe".as_bytes()), "Entwürfe");
        assert_eq!(escape(b"Entw\xfcrfe"), "Entw\\xfcrfe");
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
            assert_eq!(shell_quote(Path::new(path)), want);
        }
    }
}
