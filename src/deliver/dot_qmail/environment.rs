//! The environment of a program: qmail-command(8), ENVIRONMENT VARIABLES.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;

use super::LocalRecipient;
use crate::transport::envelope;

/// Variables by name; None removes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variables(Vec<(&'static str, Option<Vec<u8>>)>);

impl Variables {
    /// `default_offset` is the part of the extension that `default` matched, `epoch` the time of delivery.
    pub(crate) fn new(
        recipient: &LocalRecipient,
        home: &Path,
        new_sender: &[u8],
        default_offset: Option<usize>,
        epoch: i64,
    ) -> Variables {
        let LocalRecipient { user, local, extension, host, sender, .. } = recipient;
        let extension_after = |dashes| after_dashes(extension, dashes, recipient.delimiter).to_vec();
        let parent_host = |labels| without_last_labels(host, labels).to_vec();
        let line = |line: Vec<u8>| [&line[..], b"\n"].concat();
        let default = default_offset.and_then(|at| extension.get(at..)).map(<[u8]>::to_vec);
        let all = [
            ("USER", user.clone()),
            ("HOME", home.as_os_str().as_bytes().to_vec()),
            ("LOCAL", local.clone()),
            ("HOST", host.clone()),
            ("HOST2", parent_host(1)),
            ("HOST3", parent_host(2)),
            ("HOST4", parent_host(3)),
            ("EXT", extension.clone()),
            ("EXT2", extension_after(1)),
            ("EXT3", extension_after(2)),
            ("EXT4", extension_after(3)),
            ("SENDER", sender.clone()),
            ("NEWSENDER", new_sender.to_vec()),
            ("RECIPIENT", recipient.address()),
            ("DTLINE", line(envelope::delivered_to(&recipient.address()))),
            ("RPLINE", line(envelope::return_path(sender))),
            ("UFLINE", line(from_line(sender, epoch))),
        ];
        let set = all.into_iter().map(|(name, value)| (name, Some(value)));
        Variables(set.chain([("DEFAULT", default)]).collect())
    }

    /// Sets them for a command. A NUL, which no variable can have, becomes `_`.
    pub(crate) fn apply_to(&self, command: &mut Command) {
        for (name, value) in &self.0 {
            match value {
                Some(value) => {
                    let value: Vec<u8> = value.iter().map(|&b| if b == 0 { b'_' } else { b }).collect();
                    command.env(name, OsStr::from_bytes(&value));
                }
                None => {
                    command.env_remove(name);
                }
            }
        }
    }
}

/// Returns the rest after so many dashes; empty if there are fewer.
fn after_dashes(extension: &[u8], dashes: usize, delimiter: Option<u8>) -> &[u8] {
    let is_dash = |&b: &u8| b == b'-' || Some(b) == delimiter;
    extension.splitn(dashes + 1, is_dash).nth(dashes).unwrap_or_default()
}

/// Removes the last labels of a host name. The first label always stays.
fn without_last_labels(host: &[u8], labels: usize) -> &[u8] {
    (0..labels).fold(host, |host, _| &host[..memchr::memrchr(b'.', host).unwrap_or(host.len())])
}

/// Returns the From_ line of qmail-local without its line end: in UTC, with a two-digit day and a sender without blanks.
pub(crate) fn from_line(sender: &[u8], epoch: i64) -> Vec<u8> {
    let sender = if sender.is_empty() { b"MAILER-DAEMON" } else { sender };
    // `From :` is a header field.
    let is_replaced = |at: usize, b: u8| matches!(b, b' ' | b'\t' | b'\n' | 0) || (at == 0 && b == b':');
    let sender: Vec<u8> =
        sender.iter().enumerate().map(|(at, &b)| if is_replaced(at, b) { b'-' } else { b }).collect();
    let time = Timestamp::from_second(epoch).unwrap_or(Timestamp::UNIX_EPOCH);
    let date = time.strftime("%a %b %d %H:%M:%S %Y").to_string();
    [b"From ", &sender[..], b" ", date.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_lose_their_start_and_hosts_their_end() {
        let ext = |dashes| after_dashes(b"a-B.c-d", dashes, None);
        assert_eq!([ext(1), ext(2), ext(3)], [&b"B.c-d"[..], b"d", b""]);
        assert_eq!(after_dashes(b"a+b-c", 2, Some(b'+')), b"c");
        let host = |labels| without_last_labels(b"w.x.y.z", labels);
        assert_eq!([host(1), host(2), host(3), host(4)], [&b"w.x.y"[..], b"w.x", b"w", b"w"]);
    }

    #[test]
    fn a_from_line_has_a_sender_of_one_word_and_a_date_in_utc() {
        let at = |sender: &[u8]| String::from_utf8(from_line(sender, 981_173_106)).unwrap();
        assert_eq!(at(b"s@x"), "From s@x Sat Feb 03 04:05:06 2001");
        assert_eq!(at(b""), "From MAILER-DAEMON Sat Feb 03 04:05:06 2001");
        assert_eq!(at(b"a\tb\nc d@x"), "From a-b-c-d@x Sat Feb 03 04:05:06 2001");
        assert_eq!(at(b":a:@x"), "From -a:@x Sat Feb 03 04:05:06 2001");
    }
}
