//! Programs with the interface of qmail-queue(8): the message on descriptor 0, the envelope on 1, the outcome as exit code.
//!
//! A program that exits with 82 has written its reason to descriptor 6.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{
    ChildPipes, Envelope, InputPipe, OutcomeKind, OutputPipe, PipeSource, Process, ProcessEnd, ProcessLimits,
    Refusal, Shutdown,
};
use crate::mailbox::escape;
use crate::transport::capture::capture_stderr;

/// The descriptor to which a queue program may write an error.
const ERRORS_FD: i32 = 6;
/// The part of the error that is read, in bytes.
const ERRORS_READ: usize = 255;
/// The exit code of a program that has written one.
const CUSTOM_ERROR: i32 = 82;

/// A program with the interface of qmail-queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueProgram<'a> {
    pub(crate) path: &'a Path,
    pub(crate) limits: ProcessLimits<'a>,
    /// Adds its standard error to a refusal. Otherwise it inherits that of this process.
    pub(crate) capture_stderr: bool,
}

impl QueueProgram<'_> {
    /// Passes a message to the program, from the current position of the file on. Returns the process ID of the
    /// program, which qmail calls qp and logs.
    ///
    /// The message is accepted only if the program exits with 0 and has read the whole message and envelope. A program
    /// that has not read them cannot have queued them.
    ///
    /// # Errors
    /// If the program was killed, the refusal is [`OutcomeKind::Unsure`] if it had read everything by then and may have
    /// queued it, and temporary if not.
    pub(crate) fn send(self, message: File, envelope: &Envelope) -> Result<u32, Refusal> {
        match self.capture_stderr {
            true => capture_stderr(|stderr| self.run(message, envelope, stderr)),
            false => self.run(message, envelope, Stdio::inherit()),
        }
    }

    fn run(self, message: File, envelope: &Envelope, stderr: Stdio) -> Result<u32, Refusal> {
        let envelope = encode(envelope)?;
        let program = self.path.display();
        let could_not = |e: io::Error| Refusal::temporary(format!("unable to run {program}: {e} (#4.3.0)"));
        let (process, mut pipes) = start(self.path, message, envelope, stderr).map_err(could_not)?;
        let id = process.id();
        let end = process.wait(self.limits, &mut pipes);
        let was_read = pipes.all_read();
        let ended_early = |text: &str| Err(Refusal::for_early_exit(was_read, text));
        match end {
            Ok(ProcessEnd::Exit(0)) if was_read => Ok(id),
            // The text of qmail's own tools for a program that exits before it has read all.
            Ok(ProcessEnd::Exit(0)) => Err(Refusal::temporary("qq read error (#4.3.0)")),
            Ok(ProcessEnd::Exit(CUSTOM_ERROR)) => {
                let errors = pipes.outputs.pop().map(OutputPipe::into_captured).unwrap_or_default();
                Err(parse_custom_error(&errors))
            }
            Ok(ProcessEnd::Exit(code)) => Err(refusal_for_exit_code(code)),
            Ok(ProcessEnd::Signal(_)) => ended_early("qq crashed (#4.3.0)"),
            Ok(ProcessEnd::TimeLimit) => ended_early("qq timeout (#4.3.0)"),
            Ok(ProcessEnd::Interrupted) => ended_early("interrupted (#4.3.2)"),
            Err(e) => ended_early(&could_not(e).text),
        }
    }
}

/// Encodes `F` and the sender, `T` and each recipient, each terminated by a NUL, and a final NUL.
fn encode(envelope: &Envelope) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let marked = envelope.recipients.iter().map(|recipient| (b'T', recipient));
    for (mark, address) in [(b'F', &envelope.sender)].into_iter().chain(marked) {
        if address.contains(&0) {
            return Err(Refusal::permanent("an address has a NUL in it (#5.1.3)"));
        }
        bytes.push(mark);
        bytes.extend_from_slice(address);
        bytes.push(0);
    }
    bytes.push(0);
    Ok(bytes)
}

/// Returns qmail's text for an exit code other than 0.
fn refusal_for_exit_code(code: i32) -> Refusal {
    let text = match code {
        11 | 115 => "envelope address too long for qq (#5.1.3)",
        31 => "mail server permanently rejected message (#5.3.0)",
        51 => "qq out of memory (#4.3.0)",
        52 => "qq timeout (#4.3.0)",
        53 => "qq write error or disk full (#4.3.0)",
        54 => "qq read error (#4.3.0)",
        55 => "qq unable to read configuration (#4.3.0)",
        56 => "qq trouble making network connection (#4.3.0)",
        61 => "qq trouble in home directory (#4.3.0)",
        62..=66 => "qq trouble creating files in queue (#4.3.0)",
        71 => "mail server temporarily rejected message (#4.3.0)",
        72 => "connection to mail server timed out (#4.4.1)",
        73 => "connection to mail server rejected (#4.4.1)",
        74 => "communication with mail server failed (#4.4.2)",
        81 | 91 => "qq internal bug (#4.3.0)",
        120 => "unable to exec qq (#4.3.0)",
        12..=40 => "qq permanent problem (#5.3.0)",
        _ => "qq temporary problem (#4.3.0)",
    };
    let kind = if matches!(code, 11..=40 | 115) { OutcomeKind::Permanent } else { OutcomeKind::Temporary };
    Refusal { kind, text: text.into() }
}

/// Parses what a program wrote to descriptor 6: `D` (permanent) or `Z` (temporary), and a text.
fn parse_custom_error(bytes: &[u8]) -> Refusal {
    let kind = match bytes.first() {
        Some(b'D') => OutcomeKind::Permanent,
        Some(b'Z') => OutcomeKind::Temporary,
        _ => return refusal_for_exit_code(CUSTOM_ERROR),
    };
    match escape(bytes[1..].trim_ascii_end()) {
        text if text.is_empty() => Refusal { kind, ..refusal_for_exit_code(CUSTOM_ERROR) },
        text => Refusal { kind, text },
    }
}

/// Starts the program with the message on descriptor 0, the envelope on 1, and a pipe for an error's text on 6.
fn start(
    program: &Path,
    message: File,
    envelope: Vec<u8>,
    stderr: Stdio,
) -> io::Result<(Process, ChildPipes)> {
    let message = InputPipe::new(PipeSource::File(message))?;
    let envelope = InputPipe::new(PipeSource::Bytes(envelope))?;
    let (errors, writer) = OutputPipe::new(ERRORS_READ)?;
    // The lowest free number from 6 on. If it is not 6, then 6 is in use, in the child too, and no descriptor that the
    // standard library needs before the dup2 can be 6.
    let writer = rustix::io::fcntl_dupfd_cloexec(&writer, ERRORS_FD)?;
    let mut command = Command::new(program);
    command.stdin(message.for_child()?).stdout(envelope.for_child()?).stderr(stderr);
    let fd = writer.as_raw_fd();
    // SAFETY: the closure runs between fork and exec and calls dup2(2) and fcntl(2) only, which are
    // async-signal-safe, on a descriptor that is open until `writer` is dropped below.
    unsafe {
        command.pre_exec(move || {
            let result = match fd {
                // dup2 onto itself would leave close-on-exec set.
                ERRORS_FD => libc::fcntl(fd, libc::F_SETFD, 0),
                _ => libc::dup2(fd, ERRORS_FD),
            };
            if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
        });
    }
    let process = Process::start(command, Shutdown::Terminate)?;
    Ok((process, ChildPipes { inputs: vec![message, envelope], outputs: vec![errors] }))
}

#[cfg(test)]
mod tests {
    use crate::mailbox::context::Cancel;
    use std::fs;
    use std::io::{Seek, Write};
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::OutcomeKind::*;
    use super::*;

    struct Stub {
        scratch: tempfile::TempDir,
    }

    impl Stub {
        fn new(script: &str) -> Stub {
            let scratch = tempfile::tempdir().unwrap();
            let stub = Stub { scratch };
            let dir = stub.scratch.path().display();
            fs::write(stub.path("queue"), format!("#!/bin/sh\ncd {dir} || exit 1\n{script}\n")).unwrap();
            fs::set_permissions(stub.path("queue"), fs::Permissions::from_mode(0o700)).unwrap();
            stub
        }

        fn path(&self, name: &str) -> std::path::PathBuf {
            self.scratch.path().join(name)
        }

        /// Once more where another test's child, not yet at its exec, still has the script open for writing.
        fn send(&self, message: &[u8], recipients: &[&str], time: Duration) -> Result<u32, Refusal> {
            loop {
                match self.try_send(message, recipients, time) {
                    Err(refusal) if refusal.text.contains("Text file busy") => {}
                    sent => return sent,
                }
            }
        }

        fn try_send(&self, message: &[u8], recipients: &[&str], time: Duration) -> Result<u32, Refusal> {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(message).unwrap();
            file.rewind().unwrap();
            let recipients = recipients.iter().map(|r| r.as_bytes().to_vec()).collect();
            let envelope = Envelope { sender: b"s@x.example".to_vec(), recipients };
            let limits = ProcessLimits { time, cancel: Cancel::never() };
            let path = &self.path("queue");
            QueueProgram { path, limits, capture_stderr: false }.send(file, &envelope)
        }
    }

    const LONG: Duration = Duration::from_secs(300);

    #[test]
    fn message_and_envelope_arrive_as_they_are_in_either_order() {
        let message = b"A: 1\n\n\0\xff no end".repeat(20_000);
        let recipients: Vec<String> = (0..9000).map(|n| format!("r{n}@h.example")).collect();
        let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
        let want = format!("Fs@x.example\0T{}\0\0", recipients.join("\0T"));
        for script in ["cat > message; cat <&1 > envelope", "cat <&1 > envelope; cat > message"] {
            let stub = Stub::new(script);
            assert!(stub.send(&message, &recipients, LONG).unwrap() > 1);
            assert!(fs::read(stub.path("message")).unwrap() == message);
            assert!(fs::read(stub.path("envelope")).unwrap() == want.as_bytes());
        }
    }

    #[test]
    fn exit_codes_mean_what_qmail_queue_means_by_them() {
        for (code, kind, word) in [
            (1, Temporary, "temporary problem"),
            (11, Permanent, "(#5.1.3)"),
            (31, Permanent, "(#5.3.0)"),
            (40, Permanent, "permanent problem"),
            (41, Temporary, "temporary problem"),
            (53, Temporary, "disk full"),
            (71, Temporary, "temporarily rejected"),
            (82, Temporary, "temporary problem"),
            (111, Temporary, "temporary problem"),
            (115, Permanent, "(#5.1.3)"),
            (127, Temporary, "temporary problem"),
        ] {
            let stub = Stub::new(&format!("cat >/dev/null; cat <&1 >/dev/null; exit {code}"));
            let refusal = stub.send(b"x", &["a@b"], LONG).unwrap_err();
            assert_eq!(refusal.kind, kind, "{code}: {refusal}");
            assert!(refusal.text.contains(word), "{code}: {refusal}");
        }
    }

    #[test]
    fn what_a_program_says_on_descriptor_6_is_reported() {
        for (text, kind, reported) in [
            ("Dno such luck (#5.7.1)\\n", Permanent, "no such luck (#5.7.1)"),
            ("Ztry later (#4.3.0)", Temporary, "try later (#4.3.0)"),
            ("hello", Temporary, "qq temporary problem (#4.3.0)"),
            ("D", Permanent, "qq temporary problem (#4.3.0)"),
        ] {
            let stub = Stub::new(&format!("cat >/dev/null; printf '{text}' >&6; exit 82"));
            assert_eq!(stub.send(b"x", &["a@b"], LONG), Err(Refusal { kind, text: reported.into() }));
        }
        // More than anybody reads does not hold it up, and more than a pipe holds neither.
        let stub = Stub::new("printf D >&6; head -c 1000000 /dev/zero | tr '\\0' x >&6; exit 82");
        let refusal = stub.send(b"x", &["a@b"], LONG).unwrap_err();
        assert_eq!((refusal.kind, refusal.text.len()), (Permanent, ERRORS_READ - 1));
    }

    #[test]
    fn what_was_not_read_was_not_accepted() {
        for (script, size) in [
            ("exit 0", 1),
            ("cat >/dev/null; exit 0", 1),
            ("cat <&1 >/dev/null; exit 0", 1),
            ("exec <&-; cat <&1 >/dev/null; exit 0", 1_000_000),
            ("head -c 10 >/dev/null; cat <&1 >/dev/null; exit 0", 1_000_000),
        ] {
            let refusal = Stub::new(script).send(&vec![b'x'; size], &["a@b"], LONG).unwrap_err();
            assert_eq!(refusal, Refusal::temporary("qq read error (#4.3.0)"), "{script}");
        }
    }

    #[test]
    fn a_program_that_dies_or_hangs_may_have_accepted_what_it_has_read_and_nothing_else() {
        // Until then a program has read what it reads, on a busy machine too.
        let soon = Duration::from_secs(2);
        let dies_or_hangs = |read: &str, size, kind| {
            let message = vec![b'x'; size];
            let crash = Stub::new(&format!("{read} kill -9 $$")).send(&message, &["a@b"], LONG);
            assert_eq!(crash, Err(Refusal { kind, text: "qq crashed (#4.3.0)".into() }), "{read}");
            let hang = Stub::new(&format!("{read} exec sleep 600")).send(&message, &["a@b"], soon);
            assert_eq!(hang, Err(Refusal { kind, text: "qq timeout (#4.3.0)".into() }), "{read}");
        };
        let cases = [
            ("cat >/dev/null; cat <&1 >/dev/null;", 1, Unsure),
            ("cat <&1 >/dev/null; cat >/dev/null;", 1_000_000, Unsure),
            ("cat >/dev/null;", 1, Temporary),
            ("cat <&1 >/dev/null; head -c 10 >/dev/null;", 1_000_000, Temporary),
            ("", 1, Temporary),
        ];
        std::thread::scope(|scope| {
            for (read, size, kind) in cases {
                scope.spawn(move || dies_or_hangs(read, size, kind));
            }
        });
    }

    #[test]
    fn a_program_that_is_not_there_has_accepted_nothing() {
        let stub = Stub::new("");
        fs::remove_file(stub.path("queue")).unwrap();
        let absent = stub.send(b"x", &["a@b"], LONG).unwrap_err();
        assert!(absent.kind == Temporary && absent.text.starts_with("unable to run"), "{absent}");
    }

    #[test]
    fn an_address_with_a_nul_would_be_two() {
        let refusal = Stub::new("exit 0").send(b"x", &["a\0Tb"], LONG).unwrap_err();
        assert_eq!(refusal.kind, Permanent);
    }
}
