//! The next hop of a message, named by a URL.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::mailbox::display_path;

/// A server, a program or a mailbox that gets messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NextHop {
    /// `qmqp://host[:628]`
    Qmqp(Host),
    /// `qmtp://host[:209]`
    Qmtp(Host),
    /// `smtp://host[:25]`
    Smtp(Host),
    /// `lmtp://host:port`
    Lmtp(Host),
    /// `lmtp+unix:/path`
    LmtpUnix(PathBuf),
    /// `queue:/path/to/qmail-queue`
    Queue(PathBuf),
    /// `sendmail:/path`
    Sendmail(PathBuf),
    /// `maildir:PATH`
    Maildir(PathBuf),
    /// `mbox:PATH`
    Mbox(PathBuf),
}

/// A host and its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// A name, or an IPv4 or IPv6 address without brackets.
    pub(crate) name: String,
    pub(crate) port: u16,
}

/// The known URLs, for error messages.
const URLS: &str = "qmqp://HOST, qmtp://HOST, smtp://HOST, lmtp://HOST:PORT, lmtp+unix:PATH, queue:PATH, \
                    sendmail:PATH, maildir:PATH, mbox:PATH";

impl NextHop {
    /// Parses a URL. A path is used byte for byte, and may be relative.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(crate) fn parse(url: &OsStr) -> Result<NextHop, String> {
        let unknown = || format!("one of {URLS}");
        let url = url.as_bytes();
        let colon = memchr::memchr(b':', url).ok_or_else(unknown)?;
        let (scheme, rest) = (&url[..colon], &url[colon + 1..]);
        let path = || match rest {
            [] => Err("the path after the colon is missing".to_owned()),
            [b'/', b'/', ..] => Err("a path begins with one slash and has no host before it".to_owned()),
            path if path.contains(&0) => Err("a path cannot contain a NUL".to_owned()),
            path => Ok(PathBuf::from(OsStr::from_bytes(path))),
        };
        // A name without a slash would be searched in $PATH.
        let program =
            || path().map(|path| if rest.contains(&b'/') { path } else { Path::new(".").join(path) });
        let host = |port| Host::parse(rest, port);
        Ok(match scheme {
            b"qmqp" => NextHop::Qmqp(host(Some(628))?),
            b"qmtp" => NextHop::Qmtp(host(Some(209))?),
            b"smtp" => NextHop::Smtp(host(Some(25))?),
            b"lmtp" => NextHop::Lmtp(host(None)?),
            b"lmtp+unix" => NextHop::LmtpUnix(path()?),
            b"queue" => NextHop::Queue(program()?),
            b"sendmail" => NextHop::Sendmail(program()?),
            b"maildir" => NextHop::Maildir(path()?),
            b"mbox" => NextHop::Mbox(path()?),
            _ => return Err(unknown()),
        })
    }
}

impl NextHop {
    /// Returns a URL that [`NextHop::parse`] reads as the same.
    pub(crate) fn to_url(&self) -> Vec<u8> {
        let path = |scheme: &[u8], path: &Path| [scheme, path.as_os_str().as_bytes()].concat();
        match self {
            NextHop::LmtpUnix(socket) => path(b"lmtp+unix:", socket),
            NextHop::Queue(program) => path(b"queue:", program),
            NextHop::Sendmail(program) => path(b"sendmail:", program),
            NextHop::Maildir(mailbox) => path(b"maildir:", mailbox),
            NextHop::Mbox(mailbox) => path(b"mbox:", mailbox),
            host => host.to_string().into_bytes(),
        }
    }
}

impl Host {
    /// Parses `//host:port`. An IPv6 address is in brackets.
    fn parse(rest: &[u8], default: Option<u16>) -> Result<Host, String> {
        let text = std::str::from_utf8(rest).map_err(|_| "the host is not UTF-8")?;
        let text = text.strip_prefix("//").ok_or("two slashes are missing before the host")?;
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or("the ] after the address is missing")?,
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
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

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NextHop::Qmqp(host) => write!(f, "qmqp://{host}"),
            NextHop::Qmtp(host) => write!(f, "qmtp://{host}"),
            NextHop::Smtp(host) => write!(f, "smtp://{host}"),
            NextHop::Lmtp(host) => write!(f, "lmtp://{host}"),
            NextHop::LmtpUnix(path) => write!(f, "lmtp+unix:{}", display_path(path)),
            NextHop::Queue(path) => write!(f, "queue:{}", display_path(path)),
            NextHop::Sendmail(path) => write!(f, "sendmail:{}", display_path(path)),
            NextHop::Maildir(path) => write!(f, "maildir:{}", display_path(path)),
            NextHop::Mbox(path) => write!(f, "mbox:{}", display_path(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::transport::next_hop::*;

    #[test]
    fn places_are_read_and_shown_with_their_port() {
        for (url, want) in [
            ("qmqp://h", "qmqp://h:628"),
            ("qmtp://h.example", "qmtp://h.example:209"),
            ("smtp://127.0.0.1:2525", "smtp://127.0.0.1:2525"),
            ("smtp://[::1]", "smtp://[::1]:25"),
            ("lmtp://[fe80::1%eth0]:24", "lmtp://[fe80::1%eth0]:24"),
            ("lmtp+unix:/run/lmtp", "lmtp+unix:/run/lmtp"),
            ("queue:/var/qmail/bin/qmail-queue", "queue:/var/qmail/bin/qmail-queue"),
            ("sendmail:bin/my sendmail", "sendmail:bin/my sendmail"),
            // Not the one in $PATH.
            ("queue:q", "queue:./q"),
            ("sendmail:s", "sendmail:./s"),
            ("maildir:Mail:dir/", "maildir:Mail:dir/"),
            ("mbox:m", "mbox:m"),
        ] {
            let hop = NextHop::parse(OsStr::new(url)).unwrap();
            assert_eq!(hop.to_string(), want);
            assert_eq!(NextHop::parse(OsStr::from_bytes(&hop.to_url())).unwrap(), hop);
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for url in [
            "",
            "/var/qmail",
            "smtp",
            "smtp:h",
            "smtp://",
            "smtp://h:",
            "smtp://h:0",
            "smtp://h:65536",
            "smtp://h:+25",
            "smtp://h/path",
            "smtp://u@h",
            "smtp://[::1",
            "smtp://[::1]25",
            "smtp://h h",
            "smtps://h",
            "SMTP://h",
            "lmtp://h",
            "queue:",
            "queue://h/p",
        ] {
            assert!(NextHop::parse(OsStr::new(url)).is_err(), "{url}");
        }
    }
}
