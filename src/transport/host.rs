//! The host of a URL.

use std::fmt;

/// A host and its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// A name, or an IPv4 or IPv6 address without brackets.
    pub(crate) name: String,
    pub(crate) port: u16,
}

impl Host {
    /// Parses `//host:port`. An IPv6 address is in brackets.
    pub(super) fn parse(rest: &[u8], default: Option<u16>) -> Result<Host, String> {
        let text = std::str::from_utf8(rest).map_err(|_| "the host is not UTF-8")?;
        let text = text.strip_prefix("//").ok_or("two slashes are missing before the host")?;
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or("the ] after the address is missing")?,
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        if name.contains('@') {
            return Err("a user needs TLS; use smtps:// or smtp+starttls://".to_owned());
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
        if name.is_empty() || !name.chars().all(is_name) {
            return Err("the host is missing, or has a character that no host name has".to_owned());
        }
        let port = match port.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|&port| port > 0).ok_or("a port is a number from 1 to 65535")?
            }
            Some(_) => return Err("a port is a number from 1 to 65535".to_owned()),
            None if port.is_empty() => default.ok_or("the port is missing: lmtp://HOST:PORT")?,
            None => return Err("only a port can follow the host".to_owned()),
        };
        Ok(Host { name: name.to_owned(), port })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.contains(':') {
            true => write!(f, "[{}]:{}", self.name, self.port),
            false => write!(f, "{}:{}", self.name, self.port),
        }
    }
}
