//! What a program is told of the message: qmail-command(8), ENVIRONMENT VARIABLES.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;

use super::LocalRecipient;
use super::find::ListOwner;
use crate::transport::envelope;

/// The variables of a program, by name; None: not to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variables(pub Vec<(&'static str, Option<Vec<u8>>)>);

impl Variables {
    /// Of a message for `address`. `default_at` is where in the extension `default` stood for the rest,
    /// `epoch` the time of delivery in seconds since 1970.
    pub fn new(
        address: &LocalRecipient,
        home: &Path,
        new_sender: &[u8],
        default_at: Option<usize>,
        epoch: i64,
    ) -> Variables {
        let LocalRecipient { user, local, extension, host, sender, .. } = address;
        let behind = |dashes| behind(extension, dashes, address.delimiter).to_vec();
        let before = |dots| before(host, dots).to_vec();
        let line = |line: Vec<u8>| [&line[..], b"\n"].concat();
        let default = default_at.and_then(|at| extension.get(at..)).map(<[u8]>::to_vec);
        let all = [
            ("USER", user.clone()),
            ("HOME", home.as_os_str().as_bytes().to_vec()),
            ("LOCAL", local.clone()),
            ("HOST", host.clone()),
            ("HOST2", before(1)),
            ("HOST3", before(2)),
            ("HOST4", before(3)),
            ("EXT", extension.clone()),
            ("EXT2", behind(1)),
            ("EXT3", behind(2)),
            ("EXT4", behind(3)),
            ("SENDER", sender.clone()),
            ("NEWSENDER", new_sender.to_vec()),
            ("RECIPIENT", address.address()),
            ("DTLINE", line(envelope::delivered_to(&address.address()))),
            ("RPLINE", line(envelope::return_path(sender))),
            ("UFLINE", line(from_line(sender, epoch))),
        ];
        let set = all.into_iter().map(|(name, value)| (name, Some(value)));
        Variables(set.chain([("DEFAULT", default)]).collect())
    }

    /// Gives them to a command. A NUL, which no variable can have, is told as `_`.
    pub fn apply_to(&self, command: &mut Command) {
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

/// What follows so many dashes; nothing where there are fewer.
fn behind(extension: &[u8], dashes: usize, delimiter: Option<u8>) -> &[u8] {
    let is_dash = |&b: &u8| b == b'-' || Some(b) == delimiter;
    extension.splitn(dashes + 1, is_dash).nth(dashes).unwrap_or_default()
}

/// A host's name without its last labels; as it is where it has none to lose.
fn before(host: &[u8], dots: usize) -> &[u8] {
    (0..dots).fold(host, |host, _| &host[..memchr::memrchr(b'.', host).unwrap_or(host.len())])
}

/// The From_ line of qmail-local, without its line end: in UTC, the day with a zero, and a sender without
/// blanks.
pub fn from_line(sender: &[u8], epoch: i64) -> Vec<u8> {
    let sender = if sender.is_empty() { b"MAILER-DAEMON" } else { sender };
    let sender: Vec<u8> =
        sender.iter().map(|&b| if matches!(b, b' ' | b'\t' | b'\n' | 0) { b'-' } else { b }).collect();
    let time = Timestamp::from_second(epoch).unwrap_or(Timestamp::UNIX_EPOCH);
    let date = time.strftime("%a %b %d %H:%M:%S %Y").to_string();
    [b"From ", &sender[..], b" ", date.as_bytes()].concat()
}

/// The sender of what is forwarded. A bounce keeps its own: a bounce of it must go nowhere.
pub fn new_sender(address: &LocalRecipient, owners: ListOwner) -> Vec<u8> {
    let LocalRecipient { local, host, sender, .. } = address;
    match owners {
        _ if sender.is_empty() || sender == b"#@[]" => sender.clone(),
        ListOwner::None => sender.clone(),
        ListOwner::Single => [&local[..], b"-owner@", host].concat(),
        ListOwner::Verp => [&local[..], b"-owner-@", host, b"-@[]"].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_lose_their_beginning_and_hosts_their_end() {
        let ext = |dashes| behind(b"a-B.c-d", dashes, None);
        assert_eq!([ext(1), ext(2), ext(3)], [&b"B.c-d"[..], b"d", b""]);
        assert_eq!(behind(b"a+b-c", 2, Some(b'+')), b"c");
        let host = |dots| before(b"w.x.y.z", dots);
        assert_eq!([host(1), host(2), host(3), host(4)], [&b"w.x.y"[..], b"w.x", b"w", b"w"]);
    }

    #[test]
    fn a_from_line_has_a_sender_of_one_word_and_a_date_in_utc() {
        let at = |sender: &[u8]| String::from_utf8(from_line(sender, 981_173_106)).unwrap();
        assert_eq!(at(b"s@x"), "From s@x Sat Feb 03 04:05:06 2001");
        assert_eq!(at(b""), "From MAILER-DAEMON Sat Feb 03 04:05:06 2001");
        assert_eq!(at(b"a\tb\nc d@x"), "From a-b-c-d@x Sat Feb 03 04:05:06 2001");
    }
}
