//! The file of `--map`: lines `ADDRESS MAILBOX`.
//!
//! The mailbox is the rest of the line after the blanks. `@domain` is for all addresses of a domain without a line of
//! their own. Empty lines and lines that begin with `#` are ignored.

use std::collections::HashMap;
use std::path::Path;

use super::address::EnvelopeAddress;
use super::template::AddressParts;
use crate::mailbox::{display_path, escape};

/// Mailboxes by address; `M` is the caller's type of a mailbox.
#[derive(Debug)]
pub(crate) struct RecipientMap<M> {
    entries: HashMap<Vec<u8>, M>,
}

impl<M> RecipientMap<M> {
    /// Parses the text of the file at `path`; `mailbox` parses the rest of a line.
    ///
    /// # Errors
    /// A message with path and line. Half a map would bounce the mail of the other half.
    pub(crate) fn parse(
        text: &[u8],
        path: &Path,
        mailbox: impl Fn(&[u8]) -> Result<M, String>,
    ) -> Result<RecipientMap<M>, String> {
        let mut entries = HashMap::new();
        for (n, line) in text.split(|&b| b == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let wrong = |why: String| format!("{}: line {}: {why}", display_path(path), n + 1);
            let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
            let address = line[..end].to_ascii_lowercase();
            check(&address).map_err(|why| wrong(format!("{}: {why}", escape(&address))))?;
            if end == line.len() {
                return Err(wrong(format!("{} has no mailbox after it", escape(&address))));
            }
            let mailbox = mailbox(line[end..].trim_ascii_start()).map_err(wrong)?;
            let shown = escape(&address);
            if entries.insert(address, mailbox).is_some() {
                return Err(wrong(format!("{shown} has a mailbox already")));
            }
        }
        if entries.is_empty() {
            return Err(format!(
                "{}: has no addresses; check that it is the right file, and complete",
                display_path(path)
            ));
        }
        Ok(RecipientMap { entries })
    }

    /// Returns the mailboxes of all lines.
    pub(crate) fn mailboxes(&self) -> impl Iterator<Item = &M> {
        self.entries.values()
    }

    /// Finds the mailbox of the address, then of the address without its extension if `for_extensions` allows it, then
    /// of the domain. `delimiters` divide user and extension.
    pub(crate) fn find(
        &self,
        address: &EnvelopeAddress,
        delimiters: &[u8],
        for_extensions: impl Fn(&M) -> bool,
    ) -> Option<&M> {
        let parts = AddressParts::split(address, delimiters);
        let of = |local: &[u8]| self.entries.get(&[local, b"@", &parts.domain].concat());
        // Every line has a domain, so that an address without one finds nothing.
        of(&address.local.to_ascii_lowercase())
            .or_else(|| of(&parts.user).filter(|mailbox| !parts.user.is_empty() && for_extensions(mailbox)))
            .or_else(|| of(b""))
    }
}

/// Refuses what no recipient can have as an address. Mail must not bounce for a typing error.
fn check(address: &[u8]) -> Result<(), &'static str> {
    let Some(at) = address.iter().rposition(|&b| b == b'@') else { return Err("an address contains an @") };
    let (local, domain) = (&address[..at], &address[at + 1..]);
    let in_brackets = domain.starts_with(b"[") && domain.ends_with(b"]");
    match () {
        () if domain.is_empty() => Err("an address has a domain after its @"),
        () if local == b"*" => Err("the rest of a domain is written @DOMAIN, without a *"),
        () if local.iter().any(|b| b"<>()[],;:\"\\".contains(b)) => {
            Err("an address is written without quotes and brackets")
        }
        () if !in_brackets && domain.iter().any(|b| !is_domain_byte(*b)) => {
            Err("only a domain can follow the @")
        }
        () if domain.starts_with(b".") || domain.ends_with(b".") => {
            Err("a domain begins and ends without a dot")
        }
        () => Ok(()),
    }
}

fn is_domain_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._".contains(&byte) || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> Result<RecipientMap<String>, String> {
        RecipientMap::parse(text.as_bytes(), Path::new("map"), |mailbox| {
            Ok(String::from_utf8_lossy(mailbox).into_owned())
        })
    }

    fn find<'a>(map: &'a RecipientMap<String>, local: &str, domain: &str, delimiters: &str) -> &'a str {
        let address = EnvelopeAddress { local: local.into(), domain: Some(domain.into()) };
        let found = map.find(&address, delimiters.as_bytes(), |mailbox| mailbox.contains("%e"));
        found.map_or("nothing", |mailbox| mailbox)
    }

    #[test]
    fn exact_beats_user_beats_domain() {
        let text = "# who\tgets what\n\n joe@h.example\t maildir:/a b/ \r\nJoe-X@H.example /x\nann@h.example /ann/.%e/\n\
                    @h.example /rest/%u\n";
        let map = map(text).unwrap();
        for (local, domain, want) in [
            ("joe", "h.example", "maildir:/a b/"),
            ("JOE", "H.EXAMPLE", "maildir:/a b/"),
            ("joe-x", "h.example", "/x"),
            ("joe-y", "h.example", "/rest/%u"),
            ("ann", "h.example", "/ann/.%e/"),
            ("ann-y", "h.example", "/ann/.%e/"),
            ("ann+y", "h.example", "/rest/%u"),
            ("-y", "h.example", "/rest/%u"),
            ("joe", "other.example", "nothing"),
        ] {
            assert_eq!(find(&map, local, domain, "-"), want, "{local}@{domain}");
        }
        let postmaster = EnvelopeAddress { local: b"postmaster".to_vec(), domain: None };
        assert_eq!(map.find(&postmaster, b"-", |_| true), None);
    }

    #[test]
    fn a_malformed_line_is_reported_with_its_number() {
        for (text, want) in [
            ("\njoe /x", "map: line 2: joe: an address contains an @"),
            ("joe@ /x", "map: line 1: joe@: an address has a domain after its @"),
            ("joe@h", "map: line 1: joe@h has no mailbox after it"),
            ("joe@h /x\nJOE@H /y", "map: line 2: joe@h has a mailbox already"),
            ("joe@h: /x", "map: line 1: joe@h:: only a domain can follow the @"),
            ("joe@h, /x", "map: line 1: joe@h,: only a domain can follow the @"),
            ("<joe@h> /x", "map: line 1: <joe@h>: an address is written without quotes and brackets"),
            ("joe@h. /x", "map: line 1: joe@h.: a domain begins and ends without a dot"),
            ("*@h /x", "map: line 1: *@h: the rest of a domain is written @DOMAIN, without a *"),
            ("# nobody\n", "map: has no addresses; check that it is the right file, and complete"),
        ] {
            assert_eq!(map(text).unwrap_err(), want);
        }
        let refuse = |_: &[u8]| -> Result<(), String> { Err("%x is unknown".into()) };
        let error = RecipientMap::parse(b"a@b /%x", Path::new("map"), refuse).unwrap_err();
        assert_eq!(error, "map: line 1: %x is unknown");
    }
}
