//! The files `relays`: the next hops of a machine or of a user, one on each line.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::mailbox::fs::files;
use crate::mailbox::{display_path, escape};
#[cfg(feature = "tls")]
use crate::transport::secret::PasswordSource;
use crate::transport::{Failure, FailureReason, NextHop};

/// The largest file that is read. A list of servers is much smaller.
const MAX_LENGTH: u64 = 1 << 20;

/// An option of a next hop.
#[derive(Debug, Clone, PartialEq, Eq)]
enum RelayOption {
    Ca(PathBuf),
    PasswordFile(PathBuf),
    PasswordCommand(OsString),
}

/// A next hop and its options.
#[derive(Debug, PartialEq, Eq)]
struct RelayLine<'a> {
    url: &'a [u8],
    options: Vec<RelayOption>,
}

/// Reads a file. The list is empty if there is no such file, or only comments in it.
///
/// # Errors
/// The file is readable and in order, or no next hop of it is used: a line that is left out could send mail elsewhere.
pub(crate) fn read(path: &Path) -> Result<Vec<NextHop>, Failure> {
    let failed =
        |why: String| Failure::new(FailureReason::Configuration, format!("{}: {why}", display_path(path)));
    let text = match read_trusted(path) {
        Ok(text) => text,
        Err(why) => return why.map_or(Ok(Vec::new()), |why| Err(failed(why))),
    };
    parse(&text).map_err(failed)
}

/// Reads a file that only its user and root can have written. The error is `None` if there is no such file.
fn read_trusted(path: &Path) -> Result<Vec<u8>, Option<String>> {
    let unreadable = |error: io::Error| Some(format!("cannot read: {error}"));
    let file = files::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => None,
        _ => unreadable(error),
    })?;
    // Of the open file: the name may lead to another one by now.
    let meta = file.metadata().map_err(unreadable)?;
    let refused = |why: &str| Err(Some(why.to_owned()));
    if !meta.is_file() {
        return refused("is not a regular file");
    }
    // Who writes it can read all mail, and run a command as its user.
    if ![0, rustix::process::geteuid().as_raw()].contains(&meta.uid()) {
        return refused("belongs to another user; give it to root or to the user who sends");
    }
    if meta.mode() & 0o022 != 0 {
        return refused("other users can write to it; run chmod go-w on it");
    }
    if meta.len() > MAX_LENGTH {
        return refused("is larger than 1 MiB");
    }
    let mut text = Vec::new();
    file.take(MAX_LENGTH).read_to_end(&mut text).map_err(unreadable)?;
    Ok(text)
}

fn parse(text: &[u8]) -> Result<Vec<NextHop>, String> {
    let lines = text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii).zip(1..);
    let lines = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with(b"#"));
    let hop = |(line, number): (&[u8], u32)| {
        // The line itself may have a password in a place where it is not allowed.
        RelayLine::parse(line).and_then(RelayLine::into_hop).map_err(|why| format!("line {number}: {why}"))
    };
    lines.map(hop).collect()
}

impl RelayLine<'_> {
    /// Parses a URL and its options, with blanks between them.
    fn parse(line: &[u8]) -> Result<RelayLine<'_>, String> {
        let (url, mut rest) = split_word(line);
        let mut options = Vec::new();
        while !rest.is_empty() {
            // A command has blanks itself.
            if let Some(command) = rest.strip_prefix(b"password-command=") {
                options.push(RelayOption::command(command.trim_ascii_start())?);
                break;
            }
            let (word, after) = split_word(rest);
            options.push(RelayOption::file(word)?);
            rest = after;
        }
        Ok(RelayLine { url, options })
    }

    fn into_hop(self) -> Result<NextHop, String> {
        let mut hop = NextHop::parse(OsStr::from_bytes(self.url))?;
        match &hop {
            NextHop::LmtpUnix(path)
            | NextHop::Queue(path)
            | NextHop::Sendmail(path)
            | NextHop::Maildir(path)
            | NextHop::Mbox(path)
                // The current directory is that of whatever program sends mail.
                if path.is_relative() =>
            {
                return Err("the path in the URL is not absolute".to_owned());
            }
            _ => {}
        }
        complete(&mut hop, self.options)?;
        Ok(hop)
    }
}

/// Gives a next hop its options.
#[cfg(feature = "tls")]
fn complete(hop: &mut NextHop, options: Vec<RelayOption>) -> Result<(), String> {
    let NextHop::Submission(hop) = hop else { return without_options(&options) };
    for option in options {
        let password = match option {
            RelayOption::Ca(path) => {
                if hop.ca.replace(path).is_some() {
                    return Err("ca= is there twice".to_owned());
                }
                continue;
            }
            RelayOption::PasswordFile(path) => PasswordSource::File(path),
            RelayOption::PasswordCommand(command) => PasswordSource::Command(command),
        };
        let login = hop.login.as_mut().ok_or("a password needs a user; write USER@ before the host")?;
        if login.password.replace(password).is_some() {
            return Err("there are two passwords; give one".to_owned());
        }
    }
    match &hop.login {
        Some(login) if login.password.is_none() => {
            Err("the password of the user is missing; add password-file=FILE or password-command=COMMAND"
                .to_owned())
        }
        _ => Ok(()),
    }
}

#[cfg(not(feature = "tls"))]
fn complete(_: &mut NextHop, options: Vec<RelayOption>) -> Result<(), String> {
    without_options(&options)
}

fn without_options(options: &[RelayOption]) -> Result<(), String> {
    match options {
        [] => Ok(()),
        _ => Err("only smtps:// and smtp+starttls:// have options".to_owned()),
    }
}

impl RelayOption {
    fn file(word: &[u8]) -> Result<RelayOption, String> {
        let (name, value) = match memchr::memchr(b'=', word) {
            Some(at) => (&word[..at], &word[at + 1..]),
            None => (word, &b""[..]),
        };
        let path = || match Path::new(OsStr::from_bytes(value)) {
            path if path.is_absolute() => Ok(path.to_owned()),
            _ => Err(format!("{}= has an absolute path after it", escape(name))),
        };
        match name {
            b"ca" => path().map(RelayOption::Ca),
            b"password-file" => path().map(RelayOption::PasswordFile),
            _ => Err("after the URL there is something else than ca=FILE, password-file=FILE or \
                      password-command=COMMAND"
                .to_owned()),
        }
    }

    fn command(command: &[u8]) -> Result<RelayOption, String> {
        match command {
            [] => Err("password-command= has a command after it".to_owned()),
            command => Ok(RelayOption::PasswordCommand(OsString::from_vec(command.to_vec()))),
        }
    }
}

/// Splits at the first blanks.
fn split_word(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    (&line[..end], line[end..].trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn errors(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn each_line_is_a_next_hop_in_order() {
        let hops = parse(b"# first\n\n \tsmtp://one \r\n#smtp://no\nqmqp://two:1\nmaildir:/unsent").unwrap();
        let urls: Vec<String> = hops.iter().map(ToString::to_string).collect();
        assert_eq!(urls, ["smtp://one:25", "qmqp://two:1", "maildir:/unsent"]);
        assert!(parse(b"").unwrap().is_empty());
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_command_is_the_rest_of_its_line() {
        let text = b"smtps://a@h  ca=/ca.pem password-command= pass show 'a  b' ca=/x # y \n\
                     smtp+starttls://b@x.example@h\tpassword-file=/pw ca=/other.pem\nsmtps://h";
        let hops = parse(text).unwrap();
        let found = |n: usize| match &hops[n] {
            NextHop::Submission(hop) => {
                let password = hop.login.as_ref().and_then(|login| login.password.clone());
                (hop.ca.clone(), password)
            }
            _ => unreachable!("all lines need TLS"),
        };
        let command = PasswordSource::Command("pass show 'a  b' ca=/x # y".into());
        assert_eq!(found(0), (Some("/ca.pem".into()), Some(command)));
        assert_eq!(found(1), (Some("/other.pem".into()), Some(PasswordSource::File("/pw".into()))));
        assert_eq!(found(2), (None, None));
    }

    #[test]
    fn an_invalid_line_is_an_error_with_its_number() {
        for (line, why) in [
            ("smtp://h x", "something else than ca="),
            ("smtp://h ca", "absolute path"),
            ("smtp://h ca=relative", "absolute path"),
            ("smtp://h ca=/x", "only smtps://"),
            ("smtp://h password-command=", "has a command"),
            ("smtp:h", "two slashes"),
            ("maildir:unsent", "not absolute"),
            ("queue:qmail-queue", "not absolute"),
            ("mail.example.org", "one of "),
        ] {
            let error = errors(&format!("smtp://one\n# two\n{line}\nsmtp://four\n"));
            assert!(error.starts_with("line 3: ") && error.contains(why), "{line}: {error}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn an_error_has_no_part_of_a_password() {
        for (line, why) in [
            ("smtps://joe:hunter2@h", "password"),
            ("smtps://joe@h password=hunter2", "something else"),
            ("smtps://joe@h hunter2", "something else"),
            ("smtps://joe@h", "is missing"),
            ("smtps://h password-file=/hunter2", "needs a user"),
            ("smtps://joe@h password-file=/a password-command=echo hunter2", "two passwords"),
            ("smtps://h ca=/a ca=/b", "twice"),
        ] {
            let error = errors(line);
            assert!(error.contains(why) && !error.contains("hunter2"), "{line}: {error}");
        }
    }

    #[test]
    fn a_file_that_others_can_write_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("relays");
        assert_eq!(read(&path), Ok(Vec::new()));
        assert_eq!(read(&path.join("below")), Ok(Vec::new()));
        std::fs::write(&path, "smtp://h\n").unwrap();
        for (mode, refused) in [(0o600, false), (0o644, false), (0o664, true), (0o606, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let hops = read(&path);
            assert_eq!(hops.is_err(), refused, "{mode:o}: {hops:?}");
            if let Err(failure) = hops {
                assert!(failure.text.contains("chmod go-w"), "{failure}");
            }
        }
        let link = scratch.path().join("link");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&path, &link).unwrap();
        assert_eq!(read(&link).unwrap().len(), 1);
        assert!(read(scratch.path()).unwrap_err().text.contains("not a regular file"));
    }
}
