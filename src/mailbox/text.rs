//! Text for the user: bytes and paths escaped, counts with their nouns.

use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::member_path;

/// Formats a path for the screen, on one line. It does not open the file: paths are bytes.
pub(crate) fn display_path(path: &Path) -> String {
    escape(member_path::shown(path).as_os_str().as_bytes())
}

/// Formats a path as one word of a command that the user may paste into a shell, whatever the path is. All printed commands use
/// it.
pub(crate) fn shell_quote(path: &Path) -> String {
    let path = member_path::shown(path);
    let bytes = path.as_os_str().as_bytes();
    // A dash begins an option, an equals sign is expanded by zsh, and a colon may end a FORMAT.
    let is_special = bytes.starts_with(b"-") || bytes.starts_with(b"=") || bytes.contains(&b':');
    let prefix = if is_special && !bytes.starts_with(b"/") { "./" } else { "" };
    let shown = escape(bytes);
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,=:@".contains(c);
    if shown.as_bytes() != bytes || bytes.contains(&b'\\') {
        // In fish a backslash in single quotes may escape the quote. A shell without this form sees a wrong name, in
        // quotes that nothing in the path can close.
        return format!("$'{prefix}{}'", octal_escapes(bytes));
    }
    match !shown.is_empty() && shown.chars().all(is_plain) {
        true => format!("{prefix}{shown}"),
        false => format!("'{prefix}{}'", shown.replace('\'', r"'\''")),
    }
}

fn octal_escapes(bytes: &[u8]) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+,=:@ ".contains(&b);
    bytes
        .iter()
        .map(|&b| if is_plain(b) { char::from(b).to_string() } else { format!("\\{b:03o}") })
        .collect()
}

/// Formats a count with its noun, as `1 byte` or `2 bytes`.
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

/// Formats a number of bytes for the user, as `200 MB`.
pub(crate) fn human_size(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB", "PB", "EB"];
    let mut size = bytes as f64;
    let mut unit = "bytes";
    for next in units {
        // 999.5 would be shown as 1000.
        if size < 999.5 {
            break;
        }
        (size, unit) = (size / 1000.0, next);
    }
    match size < 9.95 && unit != "bytes" {
        true => format!("{size:.1} {unit}"),
        false => format!("{size:.0} {unit}"),
    }
}

/// Formats a time that has passed.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0 if seconds < 0.05 => "less than 0.1 s".to_owned(),
        0..10 => format!("{seconds:.1} s"),
        10..120 => format!("{whole} s"),
        120..7200 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Formats a time to come, roughly.
pub(crate) fn rough_duration(seconds: f64) -> String {
    match seconds.ceil() as u64 {
        0..=1 => "about a second".to_owned(),
        whole @ 2..=90 => format!("about {whole} s"),
        whole @ 91..=5400 => format!("about {} min", whole.div_ceil(60)),
        whole => format!("about {} h", whole.div_ceil(3600)),
    }
}

/// Returns the verb of `1 of 3 messages is` or `2 of 3 messages are`.
pub(crate) fn is_or_are(count: u64, of: u64) -> &'static str {
    if count == 1 || of == 1 { "is" } else { "are" }
}

/// Formats bytes for the screen. Valid UTF-8 stays, except for control characters and marks of writing direction.
pub(crate) fn escape(bytes: &[u8]) -> String {
    use std::fmt::Write;
    if let Some(plain) = std::str::from_utf8(bytes).ok().filter(|_| is_printable(bytes)) {
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

/// Escapes text like [`escape`]. Nearly every text is unchanged.
pub(crate) fn escape_text(text: &str) -> Cow<'_, str> {
    match is_printable(text.as_bytes()) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(escape(text.as_bytes())),
    }
}

fn is_printable(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| (b' '..=b'~').contains(b))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::process::Command;

    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(
            ["7", "999", "1,000", "200,033,902"],
            [7, 999, 1000, 200_033_902].map(grouped).each_ref().map(|s| s.as_str())
        );
    }

    #[test]
    fn a_size_has_two_or_three_digits() {
        let sizes = [7, 999, 1000, 9_949, 9_951, 999_499, 999_500, 200_033_902, 4_512_000_000];
        assert_eq!(
            sizes.map(human_size),
            ["7 bytes", "999 bytes", "1.0 kB", "9.9 kB", "10 kB", "999 kB", "1.0 MB", "200 MB", "4.5 GB"]
        );
    }

    #[test]
    fn times_are_rounded_to_what_matters() {
        assert_eq!(
            [0.04, 9.4, 59.6, 191.0, 7300.0].map(duration),
            ["less than 0.1 s", "9.4 s", "60 s", "3 min 11 s", "2 h 1 min"]
        );
        assert_eq!(
            [0.2, 3.1, 91.0, 9000.0].map(rough_duration),
            ["about a second", "about 4 s", "about 2 min", "about 3 h"]
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
            (&b"/var/mail/ada.2"[..], "/var/mail/ada.2"),
            (b"Old Mail/.Sent", "'Old Mail/.Sent'"),
            ("Entw\u{fc}rfe".as_bytes(), "Entw\u{fc}rfe"),
            (b"it's $HOME", r"'it'\''s $HOME'"),
            (b"-rf", "./-rf"),
            (b"-r f", "'./-r f'"),
            (b"mbox:x", "./mbox:x"),
            (b"/M/cur/1.a,S=1:2,S", "/M/cur/1.a,S=1:2,S"),
            (b"=ls", "./=ls"),
            (b"", "''"),
            (b"a\nb", r"$'a\012b'"),
            (b"x\\' ; reboot", r"$'x\134\047 \073 reboot'"),
            (b"\xff!", r"$'\377\041'"),
        ] {
            assert_eq!(shell_quote(Path::new(OsStr::from_bytes(path))), want);
        }
    }

    /// In a shell without `$'...'` it may be another word, but it is one.
    #[test]
    fn a_pasted_path_is_that_path() {
        let words: [&[u8]; 12] = [
            b"a b",
            b"$(id)",
            b"`id`",
            b"a;b|c&d>e",
            b"'",
            b"\\'",
            b"\n'",
            b"~",
            b"*",
            b"#x",
            b"\x1b[2J\xff\\",
            b"!!",
        ];
        for word in words {
            let quoted = shell_quote(Path::new(OsStr::from_bytes(word)));
            for shell in ["bash", "sh"] {
                let script = format!("printf '%s\\0' {quoted}");
                let Ok(run) = Command::new(shell).args(["-c", &script]).output() else { continue };
                assert!(run.status.success(), "{quoted}");
                assert_eq!(run.stdout.iter().filter(|b| **b == 0).count(), 1, "{quoted}");
                if shell == "bash" {
                    assert_eq!(run.stdout.strip_suffix(b"\0"), Some(word), "{quoted}");
                }
            }
        }
    }
}
