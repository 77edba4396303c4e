//! Subscribed folders: a list in the root, in one of several formats.

use super::folder::decode_level;
use super::{Folder, Layout};

/// The names of lists, and the separator of levels in each.
pub(crate) const FILES: [(&str, u8); 4] = [
    ("subscriptions", b'.'),
    (".subscriptions", b'/'),
    (".mailboxlist", b'/'),
    ("courierimapsubscribed", b'.'),
];
/// The first line of the second format of Dovecot, in which a TAB separates levels.
const SECOND: &[u8] = b"V\t2";

/// Parses a list. `separator` separates levels, unless the list is in the second format of Dovecot.
pub(crate) fn parse(text: &[u8], separator: u8) -> Vec<Folder> {
    let mut lines =
        text.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).peekable();
    let separator = if lines.next_if_eq(&SECOND).is_some() { b'\t' } else { separator };
    let folders = lines.filter(|line| !line.is_empty()).map(|line| {
        let levels: Vec<Vec<u8>> = line.split(|&b| b == separator).map(decode_level).collect();
        match &levels[..] {
            [inbox] if inbox.eq_ignore_ascii_case(b"INBOX") => Folder::INBOX,
            // All names of Courier begin with it.
            [inbox, ..] if inbox == b"INBOX" && separator == b'.' => Folder(levels[1..].to_vec()),
            _ => Folder(levels),
        }
    });
    folders.collect()
}

/// Returns the name of the list in a layout, and its separator unless it is in the second format of Dovecot.
pub(crate) fn file_for(layout: Layout) -> (&'static str, u8) {
    match layout {
        Layout::Mboxes | Layout::MessageFiles => (".subscriptions", b'/'),
        Layout::MaildirPlusPlus | Layout::Fs => ("subscriptions", b'.'),
    }
}

/// Formats a list: in the second format of Dovecot for Maildirs, in its first for mboxes.
pub(crate) fn format(folders: &[Folder], layout: Layout) -> Vec<u8> {
    let (mut text, separator) = match layout {
        Layout::Mboxes | Layout::MessageFiles => (Vec::new(), b'/'),
        Layout::MaildirPlusPlus | Layout::Fs => ([SECOND, b"\n\n"].concat(), b'\t'),
    };
    for folder in folders {
        let encoded = folder.0.iter().enumerate().map(|(n, level)| layout.encode_level(level, n == 0));
        let levels: Vec<Vec<u8>> = encoded.collect();
        let line = if levels.is_empty() { b"INBOX".to_vec() } else { levels.join(&separator) };
        text.extend([&line[..], b"\n"].concat());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(text: &str, separator: u8) -> Vec<String> {
        parse(text.as_bytes(), separator).iter().map(Folder::to_string).collect()
    }

    #[test]
    fn each_program_has_its_form() {
        assert_eq!(folders("INBOX\nSent\nLists/qmail\n", b'/'), ["INBOX", "Sent", "Lists/qmail"]);
        assert_eq!(folders("Sent\nEntw&APw-rfe.alt\n", b'.'), ["Sent", "Entwürfe/alt"]);
        assert_eq!(folders("INBOX\nINBOX.Sent\nINBOX.A.B\n", b'.'), ["INBOX", "Sent", "A/B"]);
        assert_eq!(folders("V\t2\n\nINBOX\nLists\tqmail\r\na.b\n", b'.'), ["INBOX", "Lists/qmail", "a.b"]);
        assert_eq!(folders("", b'.'), [""; 0]);
    }

    #[test]
    fn a_written_list_is_read_back() {
        let list = vec![Folder::INBOX, Folder(vec!["Entwürfe".into(), "v1.2".into()])];
        let text = format(&list, Layout::MaildirPlusPlus);
        assert_eq!(text, b"V\t2\n\nINBOX\nEntw&APw-rfe\tv1\\2e2\n");
        assert_eq!(parse(&text, b'.'), list);
        let text = format(&list, Layout::Mboxes);
        assert_eq!(text, "INBOX\nEntwürfe/v1.2\n".as_bytes());
        assert_eq!(parse(&text, b'/'), list);
    }
}
