//! Passwords: where they come from, and the memory that holds one.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

use super::{ChildPipes, Process, ProcessEnd, ProcessLimits, Shutdown};
use crate::mailbox::display_path;
use crate::mailbox::fs::{files, identity};

/// The longest password, in bytes.
const MAX_LENGTH: usize = 4096;

/// A password. It has no `Debug` and no `Display`, and its memory is overwritten at the end.
pub(crate) struct Secret(Zeroizing<Vec<u8>>);

/// Where a password comes from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum PasswordSource {
    /// A command for the shell. Its first line of output is the password.
    Command(OsString),
    /// A file that only its owner can read. Its first line is the password.
    File(PathBuf),
}

/// A command may contain a password, and is not shown.
impl fmt::Debug for PasswordSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PasswordSource::Command(_) => f.write_str("Command"),
            PasswordSource::File(path) => write!(f, "File({path:?})"),
        }
    }
}

impl PasswordSource {
    /// Returns the option that names it.
    pub(crate) fn option(&self) -> &'static str {
        match self {
            PasswordSource::Command(_) => "--password-command",
            PasswordSource::File(_) => "--password-file",
        }
    }

    /// Gets the password. From here on no other process can look into this one, and it leaves no core dump.
    ///
    /// # Errors
    /// A sentence that says what failed and what to do. It has no part of the command or of its output.
    pub(crate) fn read(&self, limits: ProcessLimits<'_>) -> Result<Secret, String> {
        identity::seclude().map_err(|e| format!("cannot keep a password out of core dumps: {e}"))?;
        match self {
            PasswordSource::Command(command) => {
                run(command, limits).map_err(|why| format!("--password-command: {why}"))
            }
            PasswordSource::File(path) => {
                read_file(path).map_err(|why| format!("{}: {why}", display_path(path)))
            }
        }
    }
}

fn read_file(path: &Path) -> Result<Secret, String> {
    let unreadable = |e: io::Error| format!("cannot read the password: {e}");
    let file = files::open(path).map_err(unreadable)?;
    // Of the open file: the name may lead to another one by now.
    let meta = file.metadata().map_err(unreadable)?;
    if !meta.is_file() {
        return Err("the password is not in a regular file".to_owned());
    }
    let caller = rustix::process::geteuid().as_raw();
    if ![0, caller].contains(&meta.uid()) {
        return Err("the password file belongs to another user; use one of your own".to_owned());
    }
    if meta.mode() & 0o077 != 0 {
        return Err("other users have access to the password file; run chmod 600 on it".to_owned());
    }
    Secret::read_line(file)
}

/// Runs a command by the shell, like the option passwordeval of msmtp.
fn run(command: &OsString, limits: ProcessLimits<'_>) -> Result<Secret, String> {
    let failed = |e: io::Error| format!("cannot run the shell: {e}");
    let (output, child_end) = io::pipe().map_err(failed)?;
    // A process that the command leaves in the background may keep the pipe open.
    rustix::io::ioctl_fionbio(&output, true).map_err(|e| failed(e.into()))?;
    let mut shell = Command::new("/bin/sh");
    // What it writes to standard error is its user's affair. It is never part of an error here.
    shell.arg("-c").arg(command).stdin(Stdio::null()).stdout(child_end);
    let process = Process::start(shell, Shutdown::Terminate).map_err(failed)?;
    // A password fits into the pipe, so that nothing has to be read before the end.
    match process.wait(limits, &mut ChildPipes::default()).map_err(failed)? {
        ProcessEnd::Exit(0) => Secret::read_line(output),
        ProcessEnd::Exit(code) => Err(format!("the command failed with exit status {code}")),
        ProcessEnd::Signal(signal) => Err(format!("the command was ended by signal {signal}")),
        ProcessEnd::TimeLimit => Err("the command did not end in time".to_owned()),
        ProcessEnd::Interrupted => Err("interrupted".to_owned()),
    }
}

impl Secret {
    /// Reads the first line. The buffer never grows, since that would leave a copy in memory.
    fn read_line(mut reader: impl Read) -> Result<Secret, String> {
        // With the line end.
        let mut line = Zeroizing::new(vec![0; MAX_LENGTH + 2]);
        let mut length = 0;
        while length < line.len() && !line[..length].contains(&b'\n') {
            match reader.read(&mut line[length..]) {
                Ok(0) => break,
                Ok(n) => length += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(format!("cannot read the password: {e}")),
            }
        }
        let end = memchr::memchr(b'\n', &line[..length]).unwrap_or(length);
        let end = if line[..end].ends_with(b"\r") { end - 1 } else { end };
        match () {
            () if end == 0 => Err("the first line, which is the password, is empty".to_owned()),
            () if end > MAX_LENGTH => Err(format!("the password has more than {MAX_LENGTH} bytes")),
            () if line[..end].contains(&0) => Err("the password contains a NUL".to_owned()),
            () => {
                line.truncate(end);
                Ok(Secret(line))
            }
        }
    }

    /// Reports whether a text contains the password, or what was sent of it.
    pub(super) fn is_in(&self, text: &[u8], sent: &[u8]) -> bool {
        let base64 = sent.trim_ascii().rsplit(|&b| b == b' ').next().unwrap_or_default();
        let contains = |part: &[u8]| !part.is_empty() && memchr::memmem::find(text, part).is_some();
        contains(&self.0) || contains(base64)
    }

    /// Returns a line of SASL in base64 (RFC 4954): `before`, the password, a line end.
    pub(super) fn to_sasl_line(&self, command: &str, before: &[u8]) -> Zeroizing<Vec<u8>> {
        let plain = before.len() + self.0.len();
        let mut text = Zeroizing::new(Vec::with_capacity(plain));
        text.extend_from_slice(before);
        text.extend_from_slice(&self.0);
        let base64 = data_encoding::BASE64;
        let mut line = Zeroizing::new(vec![0; command.len() + base64.encode_len(plain) + 2]);
        let end = line.len() - 2;
        line[..command.len()].copy_from_slice(command.as_bytes());
        base64.encode_mut(&text, &mut line[command.len()..end]);
        line[end..].copy_from_slice(b"\r\n");
        line
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;
    use crate::mailbox::Cancel;

    const LIMITS: fn() -> ProcessLimits<'static> =
        || ProcessLimits { time: Duration::from_secs(60), cancel: Cancel::never() };

    fn read(source: &PasswordSource) -> Result<Vec<u8>, String> {
        source.read(LIMITS()).map(|secret| secret.0.to_vec())
    }

    fn output(command: &str) -> Result<Vec<u8>, String> {
        read(&PasswordSource::Command(command.into()))
    }

    #[test]
    fn a_password_is_the_first_line() {
        for (command, want) in [
            ("printf 'secret'", "secret"),
            ("printf 'secret\\nmore\\n'", "secret"),
            ("printf ' a b \\r\\n'", " a b "),
            // A process in the background keeps the pipe open.
            ("sleep 60 & echo secret", "secret"),
        ] {
            assert_eq!(output(command), Ok(want.as_bytes().to_vec()), "{command}");
        }
        let long = format!("printf %{MAX_LENGTH}s x");
        assert_eq!(output(&long).map(|password| password.len()), Ok(MAX_LENGTH));
        for (command, why) in [
            ("true", "is empty"),
            ("echo; echo x", "is empty"),
            ("echo secret; exit 3", "the command failed with exit status 3"),
            ("echo secret; kill -9 $$", "the command was ended by signal 9"),
            ("printf 'a\\0b'", "contains a NUL"),
            (&format!("printf %{}s x", MAX_LENGTH + 1), "has more than 4096 bytes"),
        ] {
            let error = output(command).unwrap_err();
            assert!(error.starts_with("--password-command: ") && error.contains(why), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_password_file_is_its_owners_only() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("password");
        fs::write(&path, "secret\n").unwrap();
        let source = PasswordSource::File(path.clone());
        for (mode, is_private) in
            [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o610, false)]
        {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            match read(&source) {
                Ok(password) => assert_eq!((is_private, &password[..]), (true, &b"secret"[..]), "{mode:o}"),
                Err(error) => assert!(!is_private && error.ends_with("run chmod 600 on it"), "{error}"),
            }
        }
        if rustix::process::geteuid().is_root() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
            assert!(read(&source).unwrap_err().contains("belongs to another user"));
        }
        let error = read(&PasswordSource::File(scratch.path().to_owned())).unwrap_err();
        assert!(error.contains("not in a regular file"), "{error}");
    }

    #[test]
    fn a_process_with_a_password_cannot_be_looked_into() {
        output("echo secret").unwrap();
        let behavior = rustix::process::dumpable_behavior().unwrap();
        assert_eq!(behavior, rustix::process::DumpableBehavior::NotDumpable);
    }

    #[test]
    fn no_text_shows_a_password_or_a_command() {
        let command = PasswordSource::Command("echo secret".into());
        assert_eq!(format!("{command:?}"), "Command");
    }
}
