//! A server that takes mail over TLS only: RFC 8314 and RFC 6409.

use std::fmt;
use std::path::PathBuf;

use super::host::Host;
use super::secret::PasswordSource;

/// A server that is reached over TLS, and the login that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubmissionHop {
    pub(crate) start: TlsStart,
    pub(crate) host: Host,
    pub(crate) login: Option<Login>,
    /// The certificates of authorities that replace the system's.
    pub(crate) ca: Option<PathBuf>,
}

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsStart {
    /// With the first byte: `smtps`.
    Immediate,
    /// After the command STARTTLS: `smtp+starttls`.
    Command,
}

/// A user, and where the password is. It belongs to one host, and goes to no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: Option<PasswordSource>,
}

impl TlsStart {
    fn scheme(self) -> &'static str {
        match self {
            TlsStart::Immediate => "smtps",
            TlsStart::Command => "smtp+starttls",
        }
    }

    fn port(self) -> u16 {
        match self {
            TlsStart::Immediate => 465,
            TlsStart::Command => 587,
        }
    }
}

impl SubmissionHop {
    /// Parses what follows the scheme: `//[user@]host[:port]`. The user ends at the last `@`, so an address needs no
    /// escapes; `%XX` is a byte.
    pub(super) fn parse(scheme: &[u8], rest: &[u8]) -> Result<SubmissionHop, String> {
        let start = if scheme == b"smtps" { TlsStart::Immediate } else { TlsStart::Command };
        let at = memchr::memrchr(b'@', rest);
        let (login, host) = match at {
            None => (None, Host::parse(rest, Some(start.port()))?),
            Some(at) => {
                let user = rest[..at].strip_prefix(b"//").ok_or("two slashes are missing before the user")?;
                let host = [b"//", &rest[at + 1..]].concat();
                (Some(Login::parse(user)?), Host::parse(&host, Some(start.port()))?)
            }
        };
        Ok(SubmissionHop { start, host, login, ca: None })
    }
}

impl Login {
    fn parse(user: &[u8]) -> Result<Login, String> {
        if user.contains(&b':') {
            let why = "every user of the machine can see a password in a URL; use --password-file or \
                       --password-command, and write a colon of the user's name as %3A";
            return Err(why.to_owned());
        }
        let user = decode_percent(user).ok_or("after a % of the user's name there are two digits")?;
        let user = String::from_utf8(user).map_err(|_| "the user's name is not UTF-8")?;
        if user.is_empty() || user.chars().any(char::is_control) {
            return Err("the user's name is missing, or has a control character".to_owned());
        }
        Ok(Login { user, password: None })
    }
}

fn decode_percent(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>()?;
        decoded.extend(data_encoding::HEXLOWER_PERMISSIVE.decode(digits).ok()?);
        rest = after;
    }
    Some(decoded)
}

impl fmt::Display for SubmissionHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.start.scheme())?;
        if let Some(login) = &self.login {
            for &byte in login.user.as_bytes() {
                match byte.is_ascii_alphanumeric() || b"-._+=@".contains(&byte) {
                    true => write!(f, "{}", char::from(byte))?,
                    false => write!(f, "%{byte:02X}")?,
                }
            }
            f.write_str("@")?;
        }
        self.host.fmt(f)
    }
}
