//! `courierpop3dsizelist`: the numbers of Courier's POP3 server, which counts apart from IMAP.

use std::collections::HashMap;

use crate::mailbox::maildir::name;
use crate::mailbox::message::uids::parse_number;

/// The name of the file in a Maildir.
pub(crate) const SIZE_LIST_NAME: &str = "courierpop3dsizelist";

/// Parses the file, and returns the UIDLs by base name. Other lines are ignored, as Courier ignores them.
pub(crate) fn parse_uidls(text: &[u8]) -> HashMap<&[u8], String> {
    let mut lines = text.split(|&b| b == b'\n');
    let header = lines.next().unwrap_or_default();
    let is_known = [b"/1 ", b"/2 ", b"/3 "].iter().any(|version| header.starts_with(*version));
    lines.filter(|_| is_known).filter_map(parse_line).collect()
}

/// Parses `NAME SIZE UID:VALIDITY:FLAG`. Version 2 has no flag, and version 1 no validity.
fn parse_line(line: &[u8]) -> Option<(&[u8], String)> {
    let mut words = line.rsplitn(3, |&b| b == b' ');
    let (numbers, _size, file) = (words.next()?, words.next()?, words.next()?);
    let mut numbers = numbers.split(|&b| b == b':').map(parse_number);
    let uid = numbers.next()??;
    let validity = numbers.next().map_or(Some(0), |validity| validity)?;
    let uidl = if validity == 0 { format!("UID{uid}") } else { format!("UID{uid}-{validity}") };
    Some((name::parse(file).base, uidl))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_uidls() {
        for (text, uidl) in [
            ("/3 13 1796004409\n17.M8.mx,S=410:2,FS 421 3:1796004409:0\n", "UID3-1796004409"),
            ("/2 13 1796004409\n17.M8.mx,S=410 421 3:1796004409\n", "UID3-1796004409"),
            ("/1 13\n17.M8.mx,S=410:2, 421 3\n", "UID3"),
            ("/3 13 5\n\nx\n17.M8.mx,S=410 421 3:0:0\nname 1 x:y:z", "UID3"),
        ] {
            let uidls = parse_uidls(text.as_bytes());
            assert_eq!(uidls.into_iter().collect::<Vec<_>>(), [(&b"17.M8.mx,S=410"[..], uidl.to_owned())]);
        }
        assert!(parse_uidls(b"/4 1 2\na 1 2:3:4\n").is_empty() && parse_uidls(b"").is_empty());
    }
}
