//! The next hop of a message, named by a URL.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::host::Host;
#[cfg(feature = "tls")]
use super::submission_hop::SubmissionHop;
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
    /// `smtps://[user@]host[:465]` or `smtp+starttls://[user@]host[:587]`
    #[cfg(feature = "tls")]
    Submission(Box<SubmissionHop>),
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

/// The known URLs, for error messages.
const URLS: &str = "smtps://[USER@]HOST, smtp+starttls://[USER@]HOST, qmqp://HOST, qmtp://HOST, smtp://HOST, \
                    lmtp://HOST:PORT, lmtp+unix:PATH, queue:PATH, sendmail:PATH, maildir:PATH, mbox:PATH";

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
            b"smtps" | b"smtp+starttls" => parse_submission(scheme, rest)?,
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

/// Hides a password in a URL, for messages. There it is an error, but another program may write the message to a log.
pub(crate) fn redact(url: &[u8]) -> Vec<u8> {
    let hidden = || {
        let start = memchr::memmem::find(url, b"://")? + 3;
        let at = start + memchr::memrchr(b'@', &url[start..])?;
        let colon = start + memchr::memchr(b':', &url[start..at])?;
        Some([&url[..=colon], b"...", &url[at..]].concat())
    };
    hidden().unwrap_or_else(|| url.to_vec())
}

#[cfg(feature = "tls")]
fn parse_submission(scheme: &[u8], rest: &[u8]) -> Result<NextHop, String> {
    SubmissionHop::parse(scheme, rest).map(|hop| NextHop::Submission(Box::new(hop)))
}

#[cfg(not(feature = "tls"))]
fn parse_submission(_: &[u8], _: &[u8]) -> Result<NextHop, String> {
    Err("this mailferry is built without TLS; build it with the feature tls".to_owned())
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

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NextHop::Qmqp(host) => write!(f, "qmqp://{host}"),
            NextHop::Qmtp(host) => write!(f, "qmtp://{host}"),
            NextHop::Smtp(host) => write!(f, "smtp://{host}"),
            #[cfg(feature = "tls")]
            NextHop::Submission(hop) => hop.fmt(f),
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

    #[cfg(feature = "tls")]
    #[test]
    fn a_user_ends_at_the_last_at_sign_and_a_password_is_refused() {
        for (url, want, user) in [
            ("smtps://h", "smtps://h:465", None),
            ("smtp+starttls://h.example", "smtp+starttls://h.example:587", None),
            ("smtps://ann@h:1465", "smtps://ann@h:1465", Some("ann")),
            ("smtps://ann@y.example@h", "smtps://ann@y.example@h:465", Some("ann@y.example")),
            ("smtps://ann%40y.example@[::1]", "smtps://ann@y.example@[::1]:465", Some("ann@y.example")),
            ("smtps://a%3ab%25@h", "smtps://a%3Ab%25@h:465", Some("a:b%")),
            ("smtps://\u{e4} b@h", "smtps://%C3%A4%20b@h:465", Some("\u{e4} b")),
        ] {
            let hop = NextHop::parse(OsStr::new(url)).unwrap();
            assert_eq!(hop.to_string(), want);
            assert_eq!(NextHop::parse(OsStr::from_bytes(&hop.to_url())).unwrap(), hop);
            let NextHop::Submission(hop) = hop else { panic!("{url}") };
            assert_eq!(hop.login.as_ref().map(|login| login.user.as_str()), user);
        }
        for url in [
            "smtps:h",
            "smtps://",
            "smtps://@h",
            "smtps://u@",
            "smtps://u%@h",
            "smtps://u%4@h",
            "smtps://u%0a@h",
            "smtps://u%ff@h",
            "smtps://u:p@h",
            "smtps://:@h",
            "smtps://h/x",
            "smtps:u@h",
            "SMTPS://h",
        ] {
            assert!(NextHop::parse(OsStr::new(url)).is_err(), "{url}");
        }
        assert!(NextHop::parse(OsStr::new("smtps://u:p@h")).unwrap_err().contains("--password-file"));
    }

    #[test]
    fn a_password_in_a_url_is_hidden_in_messages() {
        for (url, want) in [
            ("smtps://u:secret@h:1", "smtps://u:...@h:1"),
            ("smtp://u:a@b:c@h", "smtp://u:...@h"),
            ("smtps://h:1", "smtps://h:1"),
            ("maildir:a@b", "maildir:a@b"),
        ] {
            assert_eq!(redact(url.as_bytes()), want.as_bytes());
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
            "SMTP://h",
            "lmtp://h",
            "queue:",
            "queue://h/p",
        ] {
            assert!(NextHop::parse(OsStr::new(url)).is_err(), "{url}");
        }
    }
}
